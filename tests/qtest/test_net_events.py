# SPDX-License-Identifier: GPL-2.0-or-later
"""What a NIC tells by itself: rings that nobody serves, rings that are broken, a back-end that goes."""

import ctypes
import os
import re
import time

from netlib import HOST_MAC, delete_link, raw_frame
from qmplib import Qmp
from qtestlib import QUIET_S, SCALE, Skip, case, check, eq
from test_net_hot import Hot, refused
from test_virtio_net_mq import flood
from test_virtio_net_options import run
from virtiolib import (ACKNOWLEDGE, BASIC, CTRL, DRIVER, DRIVER_OK, F_IN_ORDER, F_PACKED, F_RING_RESET, MAC, Legacy,
                       Nic, bits)

TUN = ("root", "tun")
PATH = "/machine/peripheral/nic0/virtio-backend"
STALL, ERROR, BACKEND = "NET_QUEUE_STALLED", "NET_QUEUE_ERROR", "NETDEV_BACKEND_CHANGED"
FORMATS = {"split": 0, "packed": bits(F_PACKED), "in-order": bits(F_IN_ORDER),
           "packed-in-order": bits(F_PACKED, F_IN_ORDER)}
OFFERS = ",packed=on,in_order=on"
NOWHERE = 0x7000000000
MS = 1000000
T = 1000  # the timeout of most cases, milliseconds


class Watched(Hot):
    """A NIC whose rings are watched, on an iothread that polls nothing: it looks at a ring when it is kicked."""

    def __init__(self, t, queues=1, timeout=T, **kw):
        opts = f",stall-timeout={timeout},iothread-vq-mapping.0.iothread=io0" + OFFERS + kw.pop("nic_opts", "")
        super().__init__(t, queues, ("-object", "iothread,id=io0,poll-max-ns=0", *kw.pop("extra", ())), nic_opts=opts,
                         **kw)

    def step(self, ms):
        self.vm.clock_step(ms * MS)

    def timeout(self, ms):
        self.qmp.cmd("qom-set", arguments_={"path": "/machine/peripheral/nic0", "property": "stall-timeout",
                                            "value": ms})

    def none(self, name, what):
        """There was no such event."""
        self.qmp.cmd("query-name")
        eq([e["data"] for e in self.qmp.events if e["event"] == name], [], f"{name}: {what}")

    def stalled(self, pair, direction, stalled, what, least=None):
        data = self.qmp.event(STALL)["data"]
        ms = data.pop("milliseconds")
        eq(data, {"nic": "nic0", "qom-path": PATH, "pair": pair, "direction": direction, "stalled": stalled}, what)
        if least is not None:
            eq(ms, least, f"milliseconds, {what}")
        self.shows(pair, direction, stalled)

    def shows(self, pair, direction, stalled):
        eq(self.pairs()[pair][f"{direction}-stalled"], stalled, f"{direction}-stalled of query-net-queues")
        line, = (x for x in self.hmp("info network").splitlines() if x.startswith(f"  pair {pair}:"))
        eq(f",{direction}-stalled" in line, stalled, f"{direction}-stalled in '{line}'")

    def starve(self):
        """A frame, for which the driver gives no buffers."""
        self.host.send(raw_frame(MAC, size=60))

    def offer_silently(self, pair=0, payload=b"silent"):
        """A packet in the transmit ring of which the device is not told."""
        ring, frame = self.nic.tx[pair], raw_frame(HOST_MAC, MAC, payload, size=60)
        at = self.vm.alloc(64 + len(frame))
        self.vm.ram[at + self.nic.hdr_len:at + self.nic.hdr_len + len(frame)] = frame
        ring.offer(ring.add(out=[(at, self.nic.hdr_len), (at + self.nic.hdr_len, len(frame))]))
        ring.publish()
        return frame

    def stall_tx(self, pair=0):
        frame = self.offer_silently(pair)
        self.step(2 * T)
        self.stalled(pair, "tx", True, "stalled")
        return frame


# ---- a ring is not served ----

@case("net-events/stalled/no-receive-buffers", needs=TUN)
def no_buffers(t):
    w = Watched(t).start(posted=0)
    w.step(10 * T)
    w.none(STALL, "an idle NIC")
    w.starve()
    w.step(T // 2)  # the first look that finds the frame
    w.step(T - 1)
    w.none(STALL, "before the time was over")
    w.step(1)
    w.stalled(0, "rx", True, "stalled", T)
    w.step(10 * T)
    w.none(STALL, "told once")
    w.shows(0, "rx", True)
    w.shows(0, "tx", False)
    w.nic.post(0, 8)
    w.nic.expect(0, raw_frame(MAC, size=60), "the frame that waited")
    w.step(T // 2)
    w.stalled(0, "rx", False, "served again", 11 * T + T // 2)
    w.nic.both_ways(w.host)
    w.step(10 * T)
    w.none(STALL, "all is well")


def not_kicked(t, features):
    w = Watched(t).start(BASIC | features, posted=64)
    for n in range(300):  # past the ring's end
        w.nic.send(0, raw_frame(HOST_MAC, MAC, b"%d" % n, size=60), pieces=1 + n % 3)
        w.host.expect(raw_frame(HOST_MAC, MAC, b"%d" % n, size=60), f"frame {n}")
    w.step(10 * T)
    w.none(STALL, "all were sent")
    frame = w.offer_silently()
    w.step(T // 2)
    w.step(T)
    w.stalled(0, "tx", True, "stalled", T)
    check(w.host.recv(0) is None, "the device sent a packet that it was not told of")
    w.shows(0, "rx", False)
    w.nic.tx[0].kick()
    w.host.expect(frame, "the packet that waited")
    w.nic.tx[0].wait("the packet that waited")
    w.step(T // 2)
    w.stalled(0, "tx", False, "served again")
    # Receiving goes on meanwhile, and is none of the transmit ring's progress.
    w.offer_silently()
    for n in range(3):
        w.none(STALL, f"look {n}")
        w.host.send(raw_frame(MAC, payload=b"%d" % n, size=60))
        w.nic.expect(0, raw_frame(MAC, payload=b"%d" % n, size=60), f"frame {n}")
        w.step(T // 2)
    w.stalled(0, "tx", True, "stalled while frames come", T)
    w.nic.tx[0].kick()
    w.nic.tx[0].wait("the packet that waited")
    w.step(T // 2)
    w.stalled(0, "tx", False, "served again")


for _name, _features in FORMATS.items():
    case(f"net-events/stalled/packet-without-a-kick/{_name}", needs=TUN)(
        lambda t, features=_features: not_kicked(t, features))


PTRACE_DETACH, PTRACE_SEIZE, PTRACE_INTERRUPT, WALL = 17, 0x4206, 0x4207, 0x40000000


class Held:
    """A thread of the emulator that stands still (ptrace(2))."""

    def __init__(self, tid):
        self.libc, self.tid = ctypes.CDLL(None, use_errno=True), tid
        self.ptrace(PTRACE_SEIZE)

    def ptrace(self, request):
        if self.libc.ptrace(ctypes.c_long(request), self.tid, ctypes.c_void_p(), ctypes.c_void_p()) < 0:
            raise Skip(f"ptrace: {os.strerror(ctypes.get_errno())}")

    def __enter__(self):
        self.ptrace(PTRACE_INTERRUPT)
        os.waitpid(self.tid, WALL)

    def __exit__(self, *_):
        self.ptrace(PTRACE_DETACH)


@case("net-events/stalled/the-iothread-does-nothing", needs=TUN)
def held(t):
    w = Watched(t).start()
    sent, came = raw_frame(HOST_MAC, MAC, b"held", size=60), raw_frame(MAC, payload=b"held", size=60)
    with Held(w.pairs()[0]["thread-id"]):
        w.nic.send(0, sent, wait=False)
        w.host.send(came)
        w.step(T)
        w.step(T)
        w.stalled(0, "rx", True, "stalled")
        w.stalled(0, "tx", True, "stalled")
    w.host.expect(sent, "the packet that waited")
    w.nic.expect(0, came, "the frame that waited")
    w.step(T // 2)
    w.stalled(0, "rx", False, "served again")
    w.stalled(0, "tx", False, "served again")
    w.nic.tx[0].wait()
    w.nic.both_ways(w.host)


@case("net-events/stalled/one-pair-of-several", needs=TUN)
def one_of_several(t):
    w = Watched(t, 4).start()
    w.offer_silently(2)
    for _ in range(4):
        flood_one(w, 1)
        w.step(T // 2)
    w.stalled(2, "tx", True, "pair 2")
    w.none(STALL, "the other pairs")
    eq([(p["rx-stalled"], p["tx-stalled"]) for p in w.pairs()], [(False, i == 2) for i in range(4)], "pairs")
    # A pair that the driver does not use any more is not expected to be served.
    w.nic.set_pairs(2)
    w.step(T // 2)
    w.stalled(2, "tx", False, "not used any more")
    w.step(10 * T)
    w.none(STALL, "a pair that is not used")
    w.nic.set_pairs(4)  # looks at the ring
    w.host.expect(raw_frame(HOST_MAC, MAC, b"silent", size=60), "the packet that waited")


def flood_one(w, pair):
    frame = raw_frame(HOST_MAC, MAC, b"pair", size=60)
    w.nic.send(pair, frame)
    w.host.expect(frame, "a frame of another pair")


# ---- what ends a stall, and what is none ----

def ends(name, what, start=BASIC | CTRL | bits(F_RING_RESET)):
    """What happens to a NIC whose transmit ring is stalled; the stall is over at the next look."""
    def mark(func):
        def run_case(t):
            w = Watched(t).start(start)
            w.stall_tx()
            func(w)
            w.step(T // 2)
            w.stalled(0, "tx", False, what)
            w.step(10 * T)
            w.none(STALL, "after the end")
        case(f"net-events/stalled/ends/{name}", needs=TUN)(run_case)
    return mark


@ends("link-down", "with the link")
def _(w):
    w.link(False)


@ends("netdev-deleted", "with the netdev")
def _(w):
    w.delete()


@ends("tap-deleted", "with the tap")
def _(w):
    delete_link("t0")
    eq(w.qmp.event(BACKEND)["data"]["present"], False, "the tap")


@ends("driver-resets-the-device", "with the reset")
def _(w):
    w.nic.t.reset()


@ends("driver-resets-the-ring", "with the ring's reset")
def _(w):
    w.nic.t.queue_reset(1)


@ends("machine-reset", "with the machine's reset")
def _(w):
    w.qmp.cmd("system_reset")
    w.qmp.event("RESET")


@ends("off", "with the watch")
def _(w):
    w.timeout(0)


@ends("index-taken-back", "with the packet")
def _(w):
    w.vm.m16[w.nic.tx[0].avail // 2 + 1] = w.nic.tx[0].used_idx


@case("net-events/stalled/ends/device-unplugged", needs=TUN)
def unplugged(t):
    w = Watched(t).start()
    w.stall_tx()
    w.qmp.cmd("device_del", id="nic0")
    w.qmp.cmd("system_reset")
    w.qmp.event("DEVICE_DELETED")
    w.step(10 * T)
    eq(w.qmp.event(STALL)["data"]["stalled"], False, "the end")


@case("net-events/stalled/not-while-the-machine-is-stopped", needs=TUN)
def stopped(t):
    w = Watched(t).start(posted=0)
    w.starve()
    w.offer_silently()
    w.step(T)
    w.qmp.cmd("stop")
    w.step(10 * T)
    w.none(STALL, "a machine that is stopped")
    w.qmp.cmd("cont")  # looks at the transmit ring
    w.host.expect(raw_frame(HOST_MAC, MAC, b"silent", size=60), "the packet that waited")
    w.step(T // 2)
    w.step(T // 2)
    w.none(STALL, "too early")
    w.step(T // 2)
    w.stalled(0, "rx", True, "since the machine goes on", T)
    w.qmp.cmd("stop")
    w.shows(0, "rx", True)
    w.qmp.cmd("cont")
    w.nic.post(0, 8)
    w.nic.recv(0)
    w.step(T // 2)
    w.stalled(0, "rx", False, "served")


@case("net-events/stalled/not-while-there-is-no-link", needs=TUN)
def no_link(t):
    w = Watched(t).start(posted=0)
    w.link(False)
    w.starve()
    w.offer_silently()
    w.step(10 * T)
    w.none(STALL, "the link is down")
    w.delete()
    w.step(10 * T)
    w.none(STALL, "there is no netdev")
    w.link(True)
    w.back()
    w.starve()
    w.step(2 * T)
    w.stalled(0, "rx", True, "the new netdev")


@case("net-events/stalled/reset-between-two-looks", needs=TUN)
def reset_between(t):
    w = Watched(t).start(BASIC | bits(F_RING_RESET))
    for again in (lambda: w.start(BASIC | bits(F_RING_RESET)), lambda: requeue(w)):
        w.offer_silently()
        w.step(T // 2)
        w.step(T // 2)
        again()
        w.offer_silently()
        w.step(T // 2)
        w.step(T // 2)
        w.none(STALL, "another life of the ring")
        w.step(T // 2)
        w.stalled(0, "tx", True, "the new ring", T)
        w.nic.tx[0].kick()
        w.nic.tx[0].wait()
        w.step(T // 2)
        w.stalled(0, "tx", False, "served")


def requeue(w):
    w.nic.t.queue_reset(1)
    w.nic.tx[0] = w.nic.t.make_ring(1, vector=2)


@case("net-events/stalled/indices-that-lie", needs=TUN)
def lies(t):
    w = Watched(t).start()
    ring = w.nic.tx[0]
    avail, used = ring.avail // 2 + 1, ring.used // 2 + 1
    for n in range(200):
        w.vm.m16[avail] = n * 7919 & 0xffff
        w.vm.m16[used] = n * 104729 & 0xffff
        w.step(T // 2)
    w.none(STALL, "the used index moved")
    w.vm.m16[avail], w.vm.m16[used] = 0xffff, 0
    w.step(2 * T)
    w.stalled(0, "tx", True, "the lie is believed, and harms nobody")
    w.vm.m16[avail] = w.vm.m16[used] = 0
    w.nic.both_ways(w.host)


@case("net-events/stalled/legacy-driver", needs=TUN)
def legacy(t):
    w = Watched(t, nic_opts=",disable-legacy=off")
    w.nic = Nic(Legacy(w.pci))
    w.nic.start(BASIC & 0xffffffff, posted=0)
    w.starve()
    w.step(2 * T)
    w.stalled(0, "rx", True, "stalled")
    w.nic.post(0, 4)
    w.nic.recv(0)
    w.step(T // 2)
    w.stalled(0, "rx", False, "served")


# ---- the property ----

BAD = (("99", "is 99, but must be 0 \\(off\\) or 100 to 3600000"), ("1", "is 1, but must be"),
       ("3600001", "is 3600001, but must be 0"), ("4294967296", "stall-timeout"), ("-1", "stall-timeout"),
       ("x", "stall-timeout"), ("1.5", "stall-timeout"), ("", "stall-timeout"))


@case("net-events/stall-timeout/refused-on-the-command-line")
def bad_options(t):
    for value, text in BAD:
        status, out, err = run(t, "-device", f"virtio-net-pci,stall-timeout={value}")
        eq((status, out), (1, ""), f"stall-timeout={value}: status and stdout; {err}")
        eq(len(err.splitlines()), 1, f"stall-timeout={value}: lines on stderr: {err}")
        check(re.search(text, err), f"stall-timeout={value}: nothing about {text}: {err}")


@case("net-events/stall-timeout/refused-live", needs=TUN)
def bad_values(t):
    w = Watched(t).start(posted=0)
    where = {"path": "/machine/peripheral/nic0", "property": "stall-timeout"}
    for value, text in ((99, "is 99, but must be 0 \\(off\\) or 100 to 3600000"), (3600001, "must be 0"),
                        (-1, "stall-timeout"), (1 << 32, "stall-timeout"), (1 << 63, "stall-timeout"),
                        ("soon", "stall-timeout"), (1.5, "stall-timeout"), (True, "stall-timeout"),
                        (None, "stall-timeout"), ([], "stall-timeout"), ({}, "stall-timeout")):
        refused(w.qmp, w.vm, text, "qom-set", {**where, "value": value})
        eq(w.qmp.cmd("qom-get", arguments_=where), T, f"stall-timeout after {value}")
    w.starve()
    w.step(2 * T)
    w.stalled(0, "rx", True, "by the old time")


@case("net-events/stall-timeout/changed-live", needs=TUN)
def live(t):
    w = Watched(t, timeout=0).start(posted=0)
    w.starve()
    w.step(3600 * 1000)
    w.none(STALL, "off")
    for ms in (T, 100, 60000):
        w.timeout(ms)
        eq(w.qmp.cmd("qom-get", path="/machine/peripheral/nic0", property="stall-timeout"), ms, "stall-timeout")
        w.step(ms)
        w.none(STALL, f"after {ms} ms: too early")
        w.step(ms // 2)
        w.stalled(0, "rx", True, f"after {ms} ms", ms)
        w.timeout(0)
        w.stalled(0, "rx", False, "off again")
        w.step(10 * ms)
        w.none(STALL, "off")
    # Shorter while nothing has been told yet: the time that has passed counts.
    w.timeout(100 * T)
    w.step(60 * T)
    w.timeout(T)
    w.step(T // 2)
    w.stalled(0, "rx", True, "by the shorter time", 10 * T + T // 2)


@case("net-events/stall-timeout/default")
def default(t):
    vm = t.vm("-device", "virtio-net-pci,id=nic0", qmp=True)
    qmp = Qmp(vm.qmp_path)
    eq(qmp.cmd("qom-get", path="/machine/peripheral/nic0", property="stall-timeout"), 5000, "the default")
    rows = {p["name"]: p for p in qmp.cmd("device-list-properties", typename="virtio-net-pci")}
    eq(rows["stall-timeout"].get("default-value"), 5000, "default-value")


# ---- limits ----

@case("net-events/limit/stalls", needs=TUN)
def limit_stalls(t):
    w = Watched(t, 2, timeout=100).start()
    begin = time.monotonic()
    cycles = 0
    while time.monotonic() - begin < 2.5 or cycles < 20:
        w.offer_silently()
        w.step(150)
        w.nic.tx[0].kick()
        w.nic.tx[0].wait()
        w.host.drain()
        w.step(50)
        cycles += 1
        if cycles == 10:
            w.offer_silently(1)  # another pair's is not held up
            w.step(150)
            w.nic.tx[1].kick()
            w.nic.tx[1].wait()
            w.host.drain()
            w.step(50)
    time.sleep(1.1)
    w.qmp.cmd("query-name")
    seconds = time.monotonic() - begin
    events = [e["data"] for e in w.qmp.events if e["event"] == STALL]
    mine = [e for e in events if e["pair"] == 0]
    check(cycles > 10 and 2 <= len(mine) <= seconds + 2, f"{len(mine)} events of {cycles} stalls in {seconds:.1f} s")
    eq([e["stalled"] for e in mine][::len(mine) - 1], [True, False], "the first and the last")
    eq([e["stalled"] for e in events if e["pair"] == 1], [True, False], "the other pair")


@case("net-events/limit/errors", needs=TUN)
def limit_errors(t):
    w = Watched(t)
    begin, faults, heap = time.monotonic(), 0, w.vm.heap
    while time.monotonic() - begin < 2.5 or faults < 20:
        for queue in (0, 1):
            w.vm.heap = heap  # a machine may be faster than its memory lasts
            w.start(posted=0)
            offend(w, queue)
            w.nic.wait_broken(f"fault {faults}")
            faults += 1
    time.sleep(1.1)
    w.start()
    seconds = time.monotonic() - begin
    w.qmp.cmd("query-name")
    for queue in (0, 1):
        n = sum(e["event"] == ERROR and e["data"]["queue"] == queue for e in w.qmp.events)
        check(2 <= n <= seconds + 2, f"{n} events of {faults} faults in {seconds:.1f} s for queue {queue}")
    w.nic.both_ways(w.host)


# ---- broken rings ----

def offend(w, queue):
    """A buffer that is not in RAM."""
    ring = (w.nic.rx[0], w.nic.tx[0], w.nic.ctrl)[queue]
    out, into = ([], [(NOWHERE, 2048)]) if queue == 0 else ([(NOWHERE, 64)], [])
    ring.push(ring.add(out=out, into=into))


def error_of(w, what, **want):
    data = w.qmp.event(ERROR)["data"]
    eq(data, {"nic": "nic0", "qom-path": PATH, "needs-reset": True, **want}, what)


def broken(t, features):
    w = Watched(t)
    for queue in (0, 1, 2):
        w.start(BASIC | CTRL | features, posted=0)
        w.pci.msix_clear()
        offend(w, queue)
        error_of(w, f"queue {queue}", **({"pair": 0} if queue < 2 else {}), queue=queue,
                 owner="iothread" if queue < 2 else "main", reason="buffer is not in RAM")
        w.nic.wait_broken(f"a fault of queue {queue}")
        for other in (0, 1, 2):
            offend(w, other)
        w.qmp.cmd("stop")
        w.qmp.cmd("cont")
        time.sleep(QUIET_S * SCALE)
        w.none(ERROR, "told once until the reset")
    w.start(BASIC | CTRL | features)
    w.nic.both_ways(w.host)


for _name, _features in FORMATS.items():
    case(f"net-events/error/in-each-ring/{_name}", needs=TUN)(lambda t, features=_features: broken(t, features))


@case("net-events/error/of-the-pair-that-broke", needs=TUN)
def broken_pair(t):
    w = Watched(t, 4).start()
    ring = w.nic.tx[3]
    ring.push(ring.add(out=[(NOWHERE, 64)]))
    error_of(w, "pair 3", pair=3, queue=7, owner="iothread", reason="buffer is not in RAM")


@case("net-events/error/ring-that-cannot-be-taken-up", needs=TUN)
def unusable(t):
    w = Watched(t)
    w.nic.t.negotiate(BASIC)
    w.nic.t.make_ring(0)
    ring = w.nic.t.make_ring(1, enable=False)
    w.nic.t.set_ring(1, ring.size, ring.desc, NOWHERE, ring.used)
    w.nic.t.enable(1)
    w.nic.t.add_status(DRIVER_OK)
    error_of(w, "a ring outside RAM", pair=0, queue=1, owner="main", reason="a ring is not in writable RAM")
    eq(w.pairs()[0]["owner"], "main", "owner")


@case("net-events/error/of-the-whole-device", needs=TUN)
def whole(t):
    w = Watched(t)
    w.nic.t.reset()
    w.nic.t.status = ACKNOWLEDGE
    w.nic.t.status = ACKNOWLEDGE | DRIVER
    w.nic.t.accept(BASIC)
    w.nic.t.status = ACKNOWLEDGE | DRIVER | DRIVER_OK
    error_of(w, "no FEATURES_OK", owner="main", reason="DRIVER_OK without FEATURES_OK")


# ---- the back-end goes while nobody has the pairs ----

def goes(name):
    """A state of the NIC in which its tap is deleted; returns nothing."""
    def mark(func):
        def run_case(t):
            w = Watched(t, 2)
            func(w)
            w.pci.msix_clear()
            kinds = w.vm.fds()
            eq(w.nic.status_field(), 1, "link before")
            delete_link("t0")
            eq(w.qmp.event(BACKEND)["data"], {"netdev": "n0", "nic": "nic0", "qom-path": PATH, "present": False},
               "the event")
            eq(w.nic.status_field(), 0, "link")
            time.sleep(1.1)  # the period of the event's limit
            w.none(BACKEND, "told once")
            w.delete()
            w.back()
            eq(w.qmp.event(BACKEND)["data"]["present"], True, "the event")
            eq(w.nic.status_field(), 1, "link")
            eq(w.vm.fds(), kinds, "open files")
            w.qmp.cmd("cont")
            w.start()
            flood(w.nic, w.host, 2)
        case(f"net-events/backend/goes/{name}", needs=TUN)(run_case)
    return mark


@goes("before-a-driver-starts")
def _(w):
    pass


@goes("after-a-driver-reset")
def _(w):
    w.start()
    w.nic.t.reset()


@goes("while-the-machine-is-stopped")
def _(w):
    w.start()
    w.qmp.cmd("stop")


@goes("while-the-device-is-broken")
def _(w):
    w.start(posted=0)
    offend(w, 1)
    w.nic.wait_broken("a fault")


@goes("after-a-netdev-came-back")
def _(w):
    w.delete()
    w.back()
    eq(w.qmp.event(BACKEND)["data"]["present"], True, "the event")
    time.sleep(1.1)


@goes("on-its-iothread")
def _(w):
    w.start()


@goes("on-its-iothread-without-receive-buffers")
def _(w):
    w.start(posted=0)
    for _ in range(20):
        w.host.send(raw_frame(MAC, size=60))


@goes("while-the-machine-is-stopped-and-frames-wait")
def _(w):
    w.start()
    w.qmp.cmd("stop")
    for _ in range(20):
        w.host.send(raw_frame(MAC, size=60))


@case("net-events/backend/on-vhost-net", needs=TUN)
def vhost_goes(t):
    if not os.path.exists("/dev/vhost-net"):
        raise Skip("no /dev/vhost-net")
    hot = Hot(t, tap_opts=",vhost=on").start()
    eq(hot.pairs()[0]["owner"], "vhost", "owner")
    delete_link("t0")
    eq(hot.qmp.event(BACKEND)["data"]["present"], False, "the event")
    hot.delete()
    time.sleep(1.1)
    hot.back(vhost=True)
    eq(hot.qmp.event(BACKEND)["data"]["present"], True, "the event")
    hot.nic.both_ways(hot.host)
