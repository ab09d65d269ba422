# SPDX-License-Identifier: GPL-2.0-or-later
"""Packed rings and in-order use: both formats, all sizes, all that moves rings about, and drivers that lie."""

import random
import struct
import time

from netlib import HOST_MAC, Host, raw_frame
from qmplib import Qmp
from qtestlib import QUIET_S, SCALE, case, check, eq, wait_for
from test_virtio_net_hostile import HOLE, NOWHERE, Pair
from test_virtio_net_inflight import Counted, device_resets, owners_change, pairs_change, reset_ring, stop_cont
from test_virtio_net_mq import MQ, exchange
from virtiolib import (AT_POSITION, AVAIL, BASIC, CTRL, DISABLE, DRIVER_OK, ENABLE, F_EVENT_IDX, F_IN_ORDER, F_INDIRECT,
                       F_PACKED, F_RING_RESET, FEATURES_OK, INDIRECT, MAC, NEEDS_RESET, NEXT, OK, USED, WRITE, Modern,
                       Nic, bits, find_virtio, tap_args)

TUN = ("root", "tun")
# name: options, features
FORMATS = {
    "split": ("", 0),
    "packed": (",packed=on", bits(F_PACKED)),
    "packed-event-idx": (",packed=on", bits(F_PACKED, F_EVENT_IDX)),
    "packed-in-order": (",packed=on,in_order=on", bits(F_PACKED, F_IN_ORDER)),
    "in-order": (",in_order=on", bits(F_IN_ORDER)),
    "in-order-event-idx": (",in_order=on", bits(F_IN_ORDER, F_EVENT_IDX)),
}
NEW = [name for name in FORMATS if name != "split"]


def one_nic(t, fmt, nic_opts="", queues=1, **kw):
    opts, features = FORMATS[fmt]
    vm = t.vm(*tap_args(queues=queues, nic_opts=opts + nic_opts), **kw)
    pci = find_virtio(vm)[0]
    pci.msix_setup()
    return vm, Nic(Modern(pci)), Host("t0"), features


def for_formats(name, formats=NEW):
    """A case for each format; it gets the format's name."""
    def mark(func):
        for fmt in formats:
            case(f"virtio-net/rings/{fmt}/{name}", needs=TUN)(lambda t, fmt=fmt: func(t, fmt))
        return func
    return mark


# ---- negotiation ----

@case("virtio-net/rings/offered-when-asked-for", needs=TUN)
def offered(t):
    for i, (opts, expected) in enumerate((("", 0), (",packed=on", bits(F_PACKED)), (",in_order=on", bits(F_IN_ORDER)),
                                          (",packed=on,in_order=on", bits(F_PACKED, F_IN_ORDER)))):
        vm = t.vm(*tap_args(f"t{i}", nic_opts=opts))
        transport = Modern(find_virtio(vm)[0])
        eq(transport.offered() & bits(F_PACKED, F_IN_ORDER), expected, f"offered with '{opts}'")
        eq(transport.negotiate(BASIC | bits(F_PACKED)), bool(expected & bits(F_PACKED)), f"packed with '{opts}'")


@case("virtio-net/rings/feature-names", needs=TUN)
def feature_names(t):
    vm = t.vm(*tap_args(nic_opts=",packed=on,in_order=on"), qmp=True)
    qmp = Qmp(vm.qmp_path)
    path = qmp.cmd("x-query-virtio")[0]["path"]
    Nic(Modern(find_virtio(vm)[0])).start(BASIC | bits(F_PACKED, F_IN_ORDER))
    status = qmp.cmd("x-query-virtio-status", path=path)
    for which in ("host-features", "guest-features"):
        names = {text.split(":")[0] for text in status[which]["transports"]}
        check({"VIRTIO_F_RING_PACKED", "VIRTIO_F_IN_ORDER"} <= names, f"{which}: {names}")


@case("virtio-net/rings/2.8.10.1/any-size", needs=TUN)
def any_size(t):
    _, nic, _, features = one_nic(t, "packed", ",rx_queue_size=1024")
    m = nic.t
    check(m.negotiate(BASIC | features), "features refused")
    m.select(0)
    for size, got in ((1, 1), (3, 3), (777, 777), (1024, 1024), (1025, 1024), (0, 1024), (300, 300)):
        m.set(0x18, 2, size)
        eq(m.get(0x18, 2), got, f"queue size after {size} was written")
    check(m.negotiate(BASIC), "features refused")
    m.select(0)
    m.set(0x18, 2, 777)
    eq(m.get(0x18, 2), 1024, "size of a split ring")


# ---- frames ----

@for_formats("frames")
def frames(t, fmt):
    _, nic, host, features = one_nic(t, fmt)
    nic.start(BASIC | features)
    nic.both_ways(host, n=12)


@for_formats("2.8.7/indirect")
def indirect(t, fmt):
    _, nic, host, features = one_nic(t, fmt)
    nic.start(BASIC | bits(F_INDIRECT) | features)
    for i in range(600):
        frame = raw_frame(HOST_MAC, MAC, b"indirect %d" % i, size=60 + i)
        nic.send(0, frame, pieces=1 + i % 40, indirect=i % 3 > 0)
        host.expect(frame, f"frame {i}")
    nic.both_ways(host, n=3)


@for_formats("frame-in-several-buffers")
def mergeable(t, fmt):
    """Frames take up to 24 receive buffers; in order, one element for most of them."""
    _, nic, host, features = one_nic(t, fmt)
    nic.start(BASIC | features, posted=0)
    nic.post(0, 200, size=64)
    for i in range(80):
        frame = raw_frame(MAC, HOST_MAC, b"rx%d" % i, size=60 + 18 * i)
        host.send(frame)
        nic.expect(0, frame, f"frame {i} of {len(frame)} bytes")


@for_formats("control-queue")
def control(t, fmt):
    """More commands than the control queue has entries."""
    _, nic, host, features = one_nic(t, fmt)
    nic.start(BASIC | CTRL | features)
    for i in range(200):
        eq(nic.command(0, 0, bytes((i % 2,)), split=bool(i % 3)), OK, f"command {i}")
    nic.both_ways(host)


# ---- many laps ----

def many_laps(t, fmt, size, most):
    """A burst as large as the ring has room for, at all offsets, over the end many times."""
    opts, features = FORMATS[fmt]
    x = Counted(t, pairs=1, features=BASIC | CTRL | features, size=size,
                nic_opts=f"{opts},rx_queue_size={most},tx_queue_size={most}")
    heap = x.vm.heap
    rand = random.Random(size)
    while x.out[0] < 12 * size:
        x.offer(0, rand.randint(1, min(size, 400)))
        x.send_in(rand.randint(1, 100))
        x.kick((0,))
        x.settle(f"{x.out[0]} frames")
        x.vm.heap = heap
    check(x.sent_in > 3 * 200, "receive buffers did not go round")


for laps_size, laps_most in ((256, 256), (300, 512), (511, 512), (512, 512), (777, 1024), (1000, 1024), (1024, 1024)):
    for laps_fmt in FORMATS:
        if not laps_fmt.startswith("packed") and laps_size & laps_size - 1:
            continue  # split rings have powers of two
        case(f"virtio-net/rings/{laps_fmt}/2.8.1/laps/{laps_size}", needs=TUN)(
            lambda t, f=laps_fmt, s=laps_size, m=laps_most: many_laps(t, f, s, m))


@case("virtio-net/rings/packed/laps/small", needs=TUN)
def small(t):
    """The smallest rings that have room for a frame each way."""
    for size in (1, 2, 3, 5):
        opts, features = FORMATS["packed-event-idx"]
        name = f"t{len(t.vms)}"
        vm = t.vm(*tap_args(name, nic_opts=opts))
        nic, host = Nic(Modern(find_virtio(vm)[0])), Host(name)
        nic.start(BASIC | bits(F_INDIRECT) | features, posted=size, size=size)
        for i in range(7 * size + 20):
            frame = raw_frame(HOST_MAC, MAC, b"tx%d" % i, size=100)
            nic.send(0, frame, indirect=True)
            host.expect(frame, f"size {size}: frame {i} from the guest")
            frame = raw_frame(MAC, HOST_MAC, b"rx%d" % i, size=100)
            host.send(frame)
            nic.expect(0, frame, f"size {size}: frame {i} to the guest")


@for_formats("2.8.8/one-element-for-a-burst", ("packed-in-order", "in-order"))
def in_order(t, fmt):
    opts, features = FORMATS[fmt]
    x = Counted(t, pairs=1, features=BASIC | CTRL | features, qmp=True, nic_opts=opts)
    qmp = Qmp(x.vm.qmp_path)
    ring = x.nic.tx[0]
    qmp.cmd("stop")
    x.offer(0, 60)
    x.kick((0,))
    if fmt == "in-order":
        for i in range(60):
            x.vm.m32[(ring.used + 4) // 4 + 2 * i] = 0xeeeeeeee
    qmp.cmd("cont")
    wait_for(lambda: ring.used_idx == 60, "60 used buffers")
    if fmt == "in-order":
        at = (ring.used + 4) // 4
        ids = [x.vm.m32[at + 2 * i] for i in range(60)]
        check(ids.count(0xeeeeeeee) > 30, f"used elements of a burst: {ids}")
    else:
        check(ring.runs >= 1, "each chain has a used descriptor")
    x.settle("a burst")


# ---- notifications ----

def tx_burst(x, n):
    x.offer(0, n)
    x.kick((0,))
    wait_for(lambda: x.nic.tx[0].used_idx == x.nic.tx[0].avail_idx, "used buffers")
    x.take_sent()
    x.collect_host()


@for_formats("2.8.10/driver-events", ("packed", "packed-event-idx", "packed-in-order"))
def driver_events(t, fmt):
    """The driver asks for interrupts never, always, and at a position."""
    opts, features = FORMATS[fmt]
    x = Counted(t, pairs=1, features=BASIC | CTRL | features, size=100, nic_opts=opts + ",rx_queue_size=256")
    ring, pci = x.nic.tx[0], x.pci
    tx_burst(x, 1)
    pci.msix_wait(2, "first interrupt")
    for _ in range(3):
        ring.set_event(DISABLE)
        tx_burst(x, 70)
        pci.msix_quiet(2, "the driver wants none")
        ring.set_event(ENABLE)
        tx_burst(x, 1)
        pci.msix_wait(2)
        if features & bits(F_EVENT_IDX):
            slot, wrap = (ring.next + 50) % 100, ring.wrap ^ (ring.next + 50 >= 100)
            ring.set_event(AT_POSITION, slot, wrap)
            tx_burst(x, 50)
            pci.msix_quiet(2, "the position is not reached")
            tx_burst(x, 1)
            pci.msix_wait(2, "interrupt at the position")
            tx_burst(x, 10)
            pci.msix_quiet(2, "the position is passed")


@for_formats("2.8.10/device-events", ("packed", "packed-event-idx"))
def device_events(t, fmt):
    """An idle device wants to be kicked at the next chain, and says where that is."""
    opts, features = FORMATS[fmt]
    x = Counted(t, pairs=1, features=BASIC | CTRL | features, size=100, nic_opts=opts)
    ring = x.nic.tx[0]
    for _ in range(12):
        tx_burst(x, 31)
        expected = (AT_POSITION, ring.next, ring.wrap) if features & bits(F_EVENT_IDX) else (ENABLE, 0, 0)
        wait_for(lambda: ring.device_event == expected, f"device event {expected}")


# ---- everything that moves rings ----

@for_formats("stop-and-cont")
def stops(t, fmt):
    opts, features = FORMATS[fmt]
    stop_cont(t, rounds=6, pairs=2, features=MQ | features, nic_opts=opts)


@case("virtio-net/rings/packed/stop-and-cont-at-odd-sizes", needs=TUN)
def stops_odd(t):
    opts, features = FORMATS["packed-event-idx"]
    stop_cont(t, rounds=12, pairs=1, features=BASIC | CTRL | features, size=211, nic_opts=opts)


@for_formats("pair-counts")
def pair_counts(t, fmt):
    opts, features = FORMATS[fmt]
    pairs_change(t, features=MQ | features, nic_opts=opts)


@for_formats("owners", ("packed-event-idx", "packed-in-order", "in-order"))
def owners(t, fmt):
    opts, features = FORMATS[fmt]
    owners_change(t, features=MQ | features, nic_opts=opts)


@for_formats("device-resets", ("packed", "packed-event-idx", "in-order"))
def resets(t, fmt):
    opts, features = FORMATS[fmt]
    device_resets(t, features=MQ | features, nic_opts=opts)


for ring_fmt in ("packed", "packed-in-order", "in-order"):
    for ring_queue, ring_name in enumerate(("receive-0", "transmit-0")):
        case(f"virtio-net/rings/{ring_fmt}/2.6.1/ring-resets/{ring_name}", needs=TUN)(
            lambda t, f=ring_fmt, q=ring_queue: reset_ring(t, q, features=FORMATS[f][1], nic_opts=FORMATS[f][0]))


@case("virtio-net/rings/formats-in-turn", needs=TUN)
def in_turn(t):
    """The same device, reset between drivers of every format."""
    vm, nic, host, _ = one_nic(t, "packed-in-order")
    heap = vm.heap
    for _ in range(3):
        for features in (bits(F_PACKED), 0, bits(F_IN_ORDER), bits(F_PACKED, F_IN_ORDER, F_EVENT_IDX)):
            vm.heap = heap
            nic.start(BASIC | CTRL | features)
            host.drain()
            nic.both_ways(host, n=6)
            eq(nic.command(0, 0, b"\1"), OK, "a command")


# ---- what monitors show ----

@for_formats("queue-status", ("packed", "packed-in-order"))
def queue_status(t, fmt):
    """Positions with wrap counters in bit 15, as the driver has them."""
    opts, features = FORMATS[fmt]
    x = Counted(t, pairs=1, features=BASIC | CTRL | features, size=100, qmp=True, nic_opts=opts)
    qmp = Qmp(x.vm.qmp_path)
    path = qmp.cmd("x-query-virtio")[0]["path"]
    ring = x.nic.tx[0]
    for _ in range(9):
        tx_burst(x, 37)
        position = ring.next | ring.wrap << 15
        s = qmp.cmd("x-query-virtio-queue-status", path=path, queue=1)
        eq((s["last-avail-idx"], s["used-idx"], s["signalled-used"]), (position,) * 3, "positions")
        eq((s["inuse"], s["vring-num"], s["vring-desc"], s["vring-avail"], s["vring-used"]),
           (0, 100, ring.desc, ring.avail, ring.used), "the ring")
        check("shadow-avail-idx" not in s, "a packed ring has no available index")


@case("virtio-net/rings/packed/queue-element", needs=TUN)
def queue_element(t):
    vm, nic, _, features = one_nic(t, "packed", qmp=True)
    qmp = Qmp(vm.qmp_path)
    path = qmp.cmd("x-query-virtio")[0]["path"]
    nic.start(BASIC | CTRL | bits(F_INDIRECT) | features, size=100, driver_ok=False)
    ring = nic.tx[0]
    ring.set_event(DISABLE, 5, 1)
    a, b = vm.alloc(64), vm.alloc(64)
    ring.offer(ring.add(out=[(a, 12), (b, 34)], into=[(a, 5)]))
    ring.offer(ring.add(out=[(a, 12), (b, 34)], into=[(b, 7)], indirect=True))
    ring.publish()

    def element(**kw):
        return qmp.cmd("x-query-virtio-queue-element", path=path, queue=1, **kw)

    e = element()
    eq(e["descs"], [{"addr": a, "len": 12, "flags": ["next", "avail"]},
                    {"addr": b, "len": 34, "flags": ["next", "avail"]},
                    {"addr": a, "len": 5, "flags": ["write", "avail"]}], "descriptors")
    eq(e["index"], 0, "first slot")
    eq(e["avail"], {"flags": DISABLE, "idx": 5 | 1 << 15, "ring": 0}, "driver's event suppression")
    eq(e["used"], {"flags": 0, "idx": 0}, "device's event suppression")
    inner = element(index=3)
    eq([(d["addr"], d["len"]) for d in inner["descs"]], [(a, 12), (b, 34), (b, 7)], "an indirect table")
    eq(element(index=3 | 1 << 15)["index"], 3, "a position with its wrap counter")
    eq(element(index=103)["index"], 3, "a slot beyond the ring")

    ring.write_desc(99, a, 1, 0, NEXT | AVAIL)
    got = element(index=99)["descs"]
    eq([d["len"] for d in got], [1, 12, 34, 5], "a chain over the end of the ring")
    for slot in range(100):
        ring.write_desc(slot, a, 1, 0, NEXT | AVAIL)
    for addr, length, flags, part in ((a, 1, NEXT | AVAIL, "loop"), (a, 24, INDIRECT | AVAIL, "multiple of 16"),
                                      (NOWHERE, 32, INDIRECT | AVAIL, "not in guest RAM")):
        ring.write_desc(0, addr, length, 0, flags)
        reply = qmp.raw({"execute": "x-query-virtio-queue-element",
                         "arguments": {"path": path, "queue": 1, "index": 0}})
        check(part in reply["error"]["desc"], f"error {reply}, expected '{part}'")


# ---- drivers that lie ----

HOSTILE = []


def breaks(name, features=0, harmless=False):
    def mark(func):
        HOSTILE.append((name, features, harmless, func))
        return func
    return mark


class Broken:
    """Writes packed descriptors as they are, from slot 0."""

    def __init__(self, nic, ring, flag):
        self.vm, self.ring, self.flag = nic.vm, ring, flag
        self.size = ring.size
        self.buf = nic.vm.alloc(4096, 64)

    def desc(self, slot, addr=None, length=64, flags=0, own=AVAIL):
        self.ring.write_desc(slot, self.buf if addr is None else addr, length, slot, flags | own)

    def go(self):
        self.ring.kick()


@breaks("all-descriptors-are-one-chain")
def _(b):
    for i in reversed(range(b.size)):
        b.desc(i, length=1, flags=b.flag | NEXT)


@breaks("all-descriptors-are-one-chain-of-nothing")
def _(b):
    for i in reversed(range(b.size)):
        b.desc(i, length=0, flags=b.flag | NEXT)


@breaks("next-is-not-available")
def _(b):
    b.desc(0, flags=b.flag | NEXT)


@breaks("next-is-used")
def _(b):
    b.desc(1, flags=b.flag, own=AVAIL | USED)
    b.desc(0, flags=b.flag | NEXT)


@breaks("next-is-of-the-other-lap")
def _(b):
    b.desc(1, flags=b.flag, own=USED)
    b.desc(0, flags=b.flag | NEXT)


@breaks("buffer-in-the-hole")
def _(b):
    b.desc(0, addr=HOLE, flags=b.flag)


@breaks("buffer-outside-ram")
def _(b):
    b.desc(0, addr=NOWHERE, flags=b.flag)


@breaks("buffer-over-the-end-of-ram")
def _(b):
    b.desc(0, addr=len(b.vm.ram) - 32, flags=b.flag)


@breaks("buffer-wraps-around")
def _(b):
    b.desc(0, addr=2 ** 64 - 16, flags=b.flag)


@breaks("readable-after-writable")
def _(b):
    b.desc(1)
    b.desc(0, flags=WRITE | NEXT)


@breaks("indirect-not-negotiated")
def _(b):
    b.desc(0, flags=INDIRECT)


@breaks("indirect-table-outside-ram", features=bits(F_INDIRECT))
def _(b):
    b.desc(0, addr=NOWHERE, length=16, flags=INDIRECT)


@breaks("indirect-table-of-17-bytes", features=bits(F_INDIRECT))
def _(b):
    b.desc(0, length=17, flags=INDIRECT)


@breaks("indirect-table-of-nothing", features=bits(F_INDIRECT))
def _(b):
    b.desc(0, length=0, flags=INDIRECT)


@breaks("indirect-table-of-4-gib", features=bits(F_INDIRECT))
def _(b):
    b.desc(0, length=0xfffffff0, flags=INDIRECT)


@breaks("indirect-table-of-all-ram", features=bits(F_INDIRECT))
def _(b):
    b.desc(0, addr=b.buf, length=len(b.vm.ram) // 2, flags=INDIRECT)


@breaks("indirect-with-next", features=bits(F_INDIRECT))
def _(b):
    b.desc(1, flags=b.flag)
    b.desc(0, length=16, flags=INDIRECT | NEXT)


@breaks("indirect-after-a-direct-one", features=bits(F_INDIRECT))
def _(b):
    b.desc(1, length=16, flags=INDIRECT)
    b.desc(0, flags=b.flag | NEXT)


@breaks("indirect-in-indirect", features=bits(F_INDIRECT))
def _(b):
    struct.pack_into("<QIHH", b.vm.ram, b.buf, b.buf, 16, 0, INDIRECT)
    b.desc(0, length=16, flags=INDIRECT)


@breaks("events-of-noise", features=bits(F_EVENT_IDX), harmless=True)
def _(b):
    for i in range(64):
        b.vm.m32[b.ring.avail // 4] = 0x9e3779b1 * i & 0xffffffff
        b.ring.kick()


@breaks("both-or-neither-flag", harmless=True)
def _(b):
    """Used or never written: nothing for the device."""
    b.desc(1, flags=b.flag, own=0)
    b.desc(0, flags=b.flag, own=AVAIL | USED)


def hostile_case(name, which, features, harmless, func):
    def run(t):
        pair = Pair(t, nic_opts=",packed=on")
        nic = pair.victim
        pair.start(BASIC | CTRL | bits(F_PACKED) | features)
        b = Broken(nic, (nic.rx[0], nic.tx[0], nic.ctrl)[which], WRITE if which == 0 else 0)
        func(b)
        b.go()
        if which == 0:
            pair.hosts[0].send(raw_frame(MAC, payload=b"poke", size=64))
        if harmless:
            check(nic.healthy(), "NEEDS_RESET")
        else:
            nic.wait_broken(name)
        pair.recovers()
    case(f"virtio-net/rings/hostile/{name}/{('receive', 'transmit', 'control')[which]}", needs=TUN)(run)


for hostile_name, hostile_features, hostile_harmless, hostile_func in HOSTILE:
    for hostile_which in range(3):
        hostile_case(hostile_name, hostile_which, hostile_features, hostile_harmless, hostile_func)


@case("virtio-net/rings/hostile/taken-buffers-made-available-again", needs=TUN)
def again(t):
    """Receive buffers that the device has are offered once more, a lap ahead."""
    pair = Pair(t, nic_opts=",packed=on")
    nic = pair.victim
    pair.start(BASIC | CTRL | bits(F_PACKED), size=4)
    ring = nic.rx[0]
    base = nic.vm.alloc(4 * 2048)
    for lap in (AVAIL, USED, AVAIL, USED):
        for slot in range(4):
            ring.write_desc(slot, base + 2048 * slot, 2048, slot, WRITE | lap)
        ring.kick()
        for i in range(3):
            pair.hosts[0].send(raw_frame(MAC, payload=b"poke %d" % i, size=64))
        time.sleep(QUIET_S * SCALE / 5)
    check(pair.vm.alive(), "the process died")
    pair.recovers()


@case("virtio-net/rings/hostile/bad-places", needs=TUN)
def bad_places(t):
    """Rings where there is none to be had: the device refuses to run, and works after a reset."""
    pair = Pair(t, nic_opts=",packed=on")
    nic = pair.victim
    ram = len(pair.vm.ram)
    good = [pair.vm.alloc(16 * 100, 16), pair.vm.alloc(4, 4), pair.vm.alloc(4, 4)]
    for which, addr in ((0, good[0] + 8), (1, good[1] + 2), (2, good[2] + 2), (0, ram - 16), (1, ram), (2, NOWHERE),
                        (0, HOLE), (2, 2 ** 64 - 4)):
        nic.t.negotiate(BASIC | CTRL | bits(F_PACKED))
        places = list(good)
        places[which] = addr
        nic.t.set_config_vector(0)
        nic.t.set_ring(1, 100, *places)
        nic.t.enable(1)
        nic.t.add_status(DRIVER_OK)
        wait_for(lambda: nic.t.status & NEEDS_RESET, f"NEEDS_RESET with area {which} at {addr:#x}")
    pair.recovers()


@case("virtio-net/rings/hostile/noise", needs=TUN)
def noise(t):
    """Random descriptors, flags and events in running rings, while frames come."""
    pair = Pair(t, nic_opts=",packed=on,in_order=on")
    nic, rand = pair.victim, random.Random(34)
    heap = pair.vm.heap
    for round_ in range(60):
        pair.vm.heap = heap
        features = rand.choice((0, bits(F_EVENT_IDX), bits(F_INDIRECT), bits(F_IN_ORDER, F_INDIRECT, F_EVENT_IDX)))
        pair.start(BASIC | CTRL | bits(F_PACKED) | features, size=rand.randint(1, 256))
        buf = pair.vm.alloc(65536, 4096)
        for _ in range(8):
            for ring in (nic.rx[0], nic.tx[0], nic.ctrl):
                for slot in range(ring.size):
                    flags = rand.getrandbits(16) & (NEXT | WRITE | AVAIL | USED)
                    flags |= INDIRECT if not rand.randrange(8) else 0
                    ring.write_desc(slot, buf + rand.randrange(60000), rand.choice((0, 1, 16, 64, 2048)),
                                    rand.getrandbits(16), flags)
                pair.vm.m32[ring.avail // 4] = rand.getrandbits(32)
                ring.kick()
            pair.hosts[0].send(raw_frame(MAC, payload=b"noise", size=200))
        if round_ % 10 == 0:
            pair.witness_lives()
    pair.recovers()


@case("virtio-net/rings/packed/pairs-exchange", needs=TUN)
def packed_pairs(t):
    """Four pairs, and the control queue behind them, all packed."""
    _, nic, host, features = one_nic(t, "packed-event-idx", queues=4)
    nic.start(MQ | features, pairs=4)
    for n in (4, 1, 3, 2, 4):
        nic.set_pairs(n)
        for pair in range(n):
            exchange(nic, host, pair, b"of %d" % n)
    eq(nic.t.status & (NEEDS_RESET | FEATURES_OK | DRIVER_OK), FEATURES_OK | DRIVER_OK, "status")


@case("virtio-net/rings/in-order/2.6.1/with-queue-reset", needs=TUN)
def in_order_reset(t):
    """A ring that is reset in the middle of its laps begins at its first descriptor."""
    for fmt in ("in-order", "packed-in-order"):
        opts, features = FORMATS[fmt]
        name = f"t{len(t.vms)}"
        vm = t.vm(*tap_args(name, nic_opts=opts))
        nic, host = Nic(Modern(find_virtio(vm)[0])), Host(name)
        nic.start(BASIC | bits(F_RING_RESET) | features)
        for _ in range(4):
            nic.both_ways(host, n=5)
            nic.t.queue_reset(1)
            nic.tx[0] = nic.t.make_ring(1)
        nic.both_ways(host, n=5)
