# SPDX-License-Identifier: GPL-2.0-or-later
"""netdev-set-queues: a tap gets more queues, or fewer, while numbered frames pass both ways.

Each flow's frames arrive in their order, once each, and all of them where the kernel lets the emulator steer.
"""

import fcntl
import json
import os
import random
import re
import select
import struct
import time

from netlib import HOST_MAC, Host, delete_link, refuse_bpf, udp_frame
from qmplib import QmpError
from qtestlib import QUIET_S, WAIT_S, Failure, case, check, eq, wait_for
from test_net_hot import (Hot, IFF_MULTI_QUEUE, IFF_VNET_HDR, TUN, give, links, no_leak, open_tap, refused,
                          refused_line, state, tap)
from test_virtio_net_mq import exchange, flood
from test_virtio_net_rss import RSS, configure, need_program
from virtiolib import MAC, NEEDS_RESET

TUNSETQUEUE, IFF_DETACH_QUEUE, TUNGETIFF = 0x400454d9, 0x400, 0x800454d2
AT = 14 + 20 + 8   # of the number, behind the headers


def set_queues(hot, n, **more):
    hot.qmp.cmd("netdev-set-queues", arguments_={"id": "n0", "queues": n, **more})


def dealt(hot, n):
    """Pairs share N queues as they should, and each works."""
    pairs = hot.pairs()
    fds = [p["fd"] for p in pairs]
    eq(len(set(fds)), n, f"different descriptors with {n} queues")
    eq(fds, [fds[i % n] for i in range(len(fds))], f"descriptors of pairs with {n} queues")
    queues = rf",queues={n}\b" if n > 1 else r"n0: type=tap,ifname"
    check(re.search(queues, hot.hmp("info network")), hot.hmp("info network"))


def detach(fd):
    fcntl.ioctl(fd, TUNSETQUEUE, struct.pack("16sH22x", b"", IFF_DETACH_QUEUE))


class Numbers:
    """Flows of numbered frames: what came of them."""

    def __init__(self, flows):
        self.next = [0] * flows           # the first that is not here yet
        self.early = [set() for _ in self.next]
        self.sent = [0] * flows
        self.disordered = self.repeated = 0

    def arrive(self, flow, number):
        if number < self.next[flow] or number in self.early[flow]:
            self.repeated += 1
            return
        self.early[flow].add(number)
        while self.next[flow] in self.early[flow]:
            self.early[flow].remove(self.next[flow])
            self.next[flow] += 1

    def here(self):
        return sum(self.next) + sum(len(e) for e in self.early)

    def under_way(self):
        return sum(self.sent) - self.here()


class Stream:
    """Numbered frames in both directions, by one thread: it goes on while a command is under way."""

    FLOWS, MOST = 24, 160

    def __init__(self, hot, pairs=4):
        self.hot, self.nic, self.vm = hot, hot.nic, hot.vm
        self.pairs = pairs
        self.down, self.up = Numbers(self.FLOWS), Numbers(self.FLOWS)
        self.down_frames = [udp_frame(MAC, HOST_MAC, 5000 + i, 6000 + 3 * i, bytes(60)) for i in range(self.FLOWS)]
        self.up_frames = [udp_frame(HOST_MAC, MAC, 7000 + i, 8000 + 3 * i, bytes(60), from_guest=True)
                          for i in range(self.FLOWS)]
        self.slots = {p: [self.vm.alloc(256, 64) for _ in range(48)] for p in range(pairs)}
        self.turn = 0
        self.rng = random.Random(5)

    def numbered(self, frame, flow, number):
        return frame[:AT] + struct.pack(">II", flow, number) + frame[AT + 8:]

    def send_down(self, most=None):
        for _ in range(min(16, (most or self.MOST) - self.down.under_way())):
            flow = self.rng.randrange(self.FLOWS)
            self.hot.host.send(self.numbered(self.down_frames[flow], flow, self.down.sent[flow]))
            self.down.sent[flow] += 1

    def send_up(self):
        for pair in range(self.pairs):
            ring = self.nic.tx[pair]
            while (used := ring.take()):
                self.slots[pair].append(used[2])
            for _ in range(min(6, len(self.slots[pair]))):
                if self.up.under_way() >= 2 * self.MOST:
                    break
                flow = pair + self.pairs * self.rng.randrange(self.FLOWS // self.pairs)
                frame = bytes(12) + self.numbered(self.up_frames[flow], flow, self.up.sent[flow])
                self.up.sent[flow] += 1
                at = self.slots[pair].pop()
                self.vm.ram[at:at + len(frame)] = frame
                ring.offer(ring.add(out=[(at, len(frame))], tag=at))
            ring.publish()
            ring.kick()

    def take_down(self):
        """What the driver has. A frame that was here at the first look finds those before it at the second."""
        first = {p: self.nic.rx[p].used_idx - self.nic.rx[p].seen & 0xffff for p in range(self.pairs)}
        sure = []
        for pair in range(self.pairs):
            ring, n = self.nic.rx[pair], 0
            while (used := ring.take()):
                _, written, (at, size) = used
                frame = bytes(self.vm.ram[at + 12:at + written])
                ring.offer(ring.add(into=[(at, size)], tag=(at, size)))
                if len(frame) < AT + 8 or frame[:6] != MAC:
                    continue
                flow, number = struct.unpack_from(">II", frame, AT)
                check(flow < self.FLOWS and frame == self.numbered(self.down_frames[flow], flow, number),
                      "a frame that was not sent")
                self.down.arrive(flow, number)
                n += 1
                if n <= first[pair]:
                    sure.append((flow, number))
            ring.publish()
            ring.kick()
        self.down.disordered += sum(number >= self.down.next[flow] for flow, number in sure)

    def take_up(self):
        while (frame := self.hot.host.recv(0)) is not None:
            flow, number = struct.unpack_from(">II", frame, AT)
            self.up.disordered += number > self.up.next[flow]
            self.up.arrive(flow, number)

    def pump(self, turns=1):
        for _ in range(turns):
            self.send_down()
            self.send_up()
            self.take_down()
            self.take_up()

    def command(self, name, **arguments):
        """Runs a command of the monitor; frames pass meanwhile."""
        qmp = self.hot.qmp
        qmp.send_bytes(json.dumps({"execute": name, "arguments": arguments}).encode() + b"\r\n")
        end = time.monotonic() + WAIT_S
        while not select.select([qmp.sock], [], [], 0)[0]:
            check(time.monotonic() < end, f"no answer to {name}")
            self.pump()
        answer = qmp.answer()
        check("return" in answer, f"{name} {arguments}: {answer}")

    def set_queues(self, n):
        self.command("netdev-set-queues", id="n0", queues=n)

    def settle(self):
        """Takes what is under way; what has not come after a while is lost."""
        end = time.monotonic() + 20 * QUIET_S
        while (self.down.under_way() or self.up.under_way()) and time.monotonic() < end:
            before = self.down.under_way(), self.up.under_way()
            self.take_down()
            self.take_up()
            if (self.down.under_way(), self.up.under_way()) != before:
                end = time.monotonic() + 20 * QUIET_S

    def finish(self, exact=True):
        self.settle()
        check(self.nic.t.status & NEEDS_RESET == 0, "NEEDS_RESET")
        check(min(self.down.next) + min(self.up.next) > 0, f"flows without frames: {self.down.next} {self.up.next}")
        for name, n in (("to", self.down), ("from", self.up)):
            eq(n.repeated, 0, f"frames repeated {name} the guest")
            if exact or n is self.up:
                eq((n.under_way(), n.disordered), (0, 0), f"frames lost and out of order {name} the guest, of "
                   f"{sum(n.sent)}")


def streaming(t, queues=4, **kw):
    hot = Hot(t, queues, **kw)
    hot.start(posted=64)
    return hot, Stream(hot, queues)


# ---- refused ----

@case("net-elastic/refused/arguments", needs=TUN)
def refused_arguments(t):
    hot = Hot(t, 4).start()
    hot.qmp.cmd("netdev_add", arguments_=tap("one", "t1"))
    hot.qmp.cmd("netdev_add", arguments_=tap("free", "t2", queues=2))
    give(hot.qmp, "passed", open_tap("t3"))
    hot.qmp.cmd("netdev_add", arguments_=tap("passed", fd="passed"))
    give(hot.qmp, "passed", open_tap("t4", IFF_VNET_HDR | IFF_MULTI_QUEUE))
    hot.qmp.cmd("netdev_add", arguments_=tap("many", fd="passed"))
    set_queues(hot, 2)
    for name, ifname, flags in (("single", "t5", IFF_VNET_HDR), ("other", "t6", IFF_VNET_HDR | IFF_MULTI_QUEUE),
                                ("a", "t0", IFF_VNET_HDR | IFF_MULTI_QUEUE),
                                ("b", "t0", IFF_VNET_HDR | IFF_MULTI_QUEUE)):
        fd = open_tap(ifname, flags)
        if ifname == "t0":
            detach(fd)
        give(hot.qmp, name, fd)
    before = state(hot.qmp, hot.vm)
    for text, arguments, *cls in (
            ("'id' is missing", {"queues": 2}), ("'queues' is missing", {"id": "n0"}),
            ("'queues'.*integer", {"id": "n0", "queues": "2"}), ("'id', expected: string", {"id": 0, "queues": 2}),
            ("'queues'", {"id": "n0", "queues": -1}), ("'queues'", {"id": "n0", "queues": 1 << 32}),
            ("'now'", {"id": "n0", "queues": 1, "now": True}), ("'fds'", {"id": "n0", "queues": 3, "fds": 7}),
            ("'nobody' not found", {"id": "nobody", "queues": 2}, "DeviceNotFound"),
            ("'nic0' is not a netdev", {"id": "nic0", "queues": 2}, "GenericError"),
            ("queues=0: must be 1 to 4, the queue pairs of NIC 'nic0'", {"id": "n0", "queues": 0}),
            ("queues=5: must be 1 to 4, the queue pairs of NIC 'nic0'", {"id": "n0", "queues": 5}),
            ("queues=257: must be 1 to 256$", {"id": "free", "queues": 257}),
            ("queues=0: must be 1 to 256$", {"id": "free", "queues": 0}),
            ("'t1'.*IFF_MULTI_QUEUE.*netdev_add it with queues=2", {"id": "one", "queues": 2}),
            ("'t3'.*IFF_MULTI_QUEUE.*files of a multi_queue tap", {"id": "passed", "queues": 2, "fds": "a"}),
            ("somebody else: give fds, 2 queues of tap 't4'", {"id": "many", "queues": 3}),
            ("fds has 2 file descriptors for 1 queues", {"id": "n0", "queues": 3, "fds": "a:b"}),
            ("fds has 1 file descriptors for 2 queues", {"id": "n0", "queues": 4, "fds": "a"}),
            ("fds: .*'nobody' not found", {"id": "n0", "queues": 3, "fds": "nobody"}),
            ("fds: .*'nobody' not found", {"id": "n0", "queues": 4, "fds": "a:nobody"}),
            ("fds: .*file descriptor", {"id": "n0", "queues": 3, "fds": ""}),
            ("fds: .*no such set", {"id": "n0", "queues": 3, "fds": "/dev/fdset/9"}),
            ("the same file", {"id": "n0", "queues": 4, "fds": "a:a"}),
            ("fds: file descriptor 0 is not an open tap", {"id": "n0", "queues": 3, "fds": "0"}),
            ("of tap 't6', but netdev 'n0' has 't0'", {"id": "n0", "queues": 3, "fds": "other"}),
            ("'t6'|different taps", {"id": "n0", "queues": 4, "fds": "a:other"}),
            ("in use by netdev 'n0'", {"id": "n0", "queues": 3, "fds": str(hot.pairs()[0]["fd"])}),
            ("vhostfds: netdev 'n0' has vhost=off", {"id": "n0", "queues": 3, "vhostfds": "0"}),
            ("fds: netdev 'n0' has 2 queues already", {"id": "n0", "queues": 2, "fds": "a"}),
            ("fds: netdev 'n0' has 2 queues already", {"id": "n0", "queues": 1, "fds": "a"}),
            ("vhostfds: netdev 'n0' has 2 queues", {"id": "n0", "queues": 1, "vhostfds": "0"})):
        refused(hot.qmp, hot.vm, text, "netdev-set-queues", arguments, *cls, before=before)
    for text, line in (("is missing", "netdev_set_queues"), ("is missing", "netdev_set_queues n0"),
                       ("'N'|number|integer", "netdev_set_queues n0 many"),
                       ("'nobody' not found", "netdev_set_queues nobody 2"),
                       ("queues=5: must be 1 to 4", "netdev_set_queues n0 5"), ("too much", "netdev_set_queues n0 2 3")):
        refused_line(hot, text, line)
    for name in ("single", "other", "a", "b"):
        hot.qmp.cmd("closefd", fdname=name)
    for pair in range(4):
        exchange(hot.nic, hot.host, pair, b"after refusals") if pair < 2 else None
    flood(hot.nic, hot.host, 2)


@case("net-elastic/refused/another-flag", needs=TUN)
def refused_header(t):
    hot = Hot(t, 2).start()
    hot.qmp.cmd("netdev_add", arguments_=tap("bare", "t1", queues=2, vnet_hdr=False))
    fd = open_tap("t2", IFF_MULTI_QUEUE | IFF_VNET_HDR)
    give(hot.qmp, "q", fd)
    refused(hot.qmp, hot.vm, "opened with IFF_VNET_HDR", "netdev-set-queues", {"id": "bare", "queues": 3, "fds": "q"})
    hot.qmp.cmd("closefd", fdname="q")


@case("net-elastic/refused/tap-is-gone", needs=TUN)
def refused_gone(t):
    hot = Hot(t, 2).start()
    hot.qmp.cmd("netdev_add", arguments_=tap("free", "t1", queues=2))
    delete_link("t1")
    refused(hot.qmp, hot.vm, "'t1' is gone; netdev_del it", "netdev-set-queues", {"id": "free", "queues": 3})
    check("t1" not in links(), "another t1")
    delete_link("t0")
    wait_for(lambda: hot.nic.status_field() == 0, "link down")
    for n in (1,):
        refused(hot.qmp, hot.vm, "is gone; netdev_del it", "netdev-set-queues", {"id": "n0", "queues": n})


# ---- what it says, and that each pair works ----

@case("net-elastic/all-counts", needs=TUN)
def all_counts(t):
    hot = Hot(t, 4).start(posted=128)
    kinds = hot.vm.fds()
    for a in range(1, 5):
        for b in range(1, 5):
            set_queues(hot, a)
            set_queues(hot, b)
            dealt(hot, b)
            for pair in range(b):
                exchange(hot.nic, hot.host, pair, b"%d to %d" % (a, b))
            flood(hot.nic, hot.host, b)
    # Fewer queues can be more descriptors: loops have duplicates where pairs share one.
    eq(hot.vm.fds(), kinds, "open files")
    eq(hot.hmp("netdev_set_queues n0 2"), "", "by the human monitor")
    dealt(hot, 2)


@case("net-elastic/without-a-nic", needs=TUN)
def without_nic(t):
    hot = Hot(t, 2).start()
    hot.qmp.cmd("netdev_add", arguments_=tap("x", "t1", queues=2))
    before = state(hot.qmp, hot.vm)
    for n in (256, 1, 7, 2):
        hot.qmp.cmd("netdev-set-queues", id="x", queues=n)
        eq(hot.vm.fds()["/dev/net/tun"], 2 + n, f"open queues with {n}")
        check("x: type=tap" + (f",queues={n}," if n > 1 else ",ifname") in hot.hmp("info network"),
              hot.hmp("info network"))
    after = state(hot.qmp, hot.vm)
    before["network"], after["network"] = (re.sub(r"fd=\d+", "", s["network"]) for s in (before, after))
    eq(after, before, "state")


@case("net-elastic/pairs-that-the-driver-does-not-use", needs=TUN)
def with_active_pairs(t):
    hot = Hot(t, 4).start(posted=128)
    for active, queues in ((2, 4), (2, 1), (2, 3), (1, 4), (4, 2), (3, 2), (3, 4), (1, 1), (4, 1), (4, 4), (2, 2),
                           (4, 3)):
        hot.nic.set_pairs(active)
        set_queues(hot, queues)
        pairs = hot.pairs()
        eq([p["active"] for p in pairs], [i < active for i in range(4)], "active pairs")
        eq([p["enabled"] for p in pairs if p["pair"] < queues], [i < active for i in range(queues)],
           f"attached queues with {active} of {queues}")
        flood(hot.nic, hot.host, min(active, queues))
        for pair in range(min(active, queues)):
            exchange(hot.nic, hot.host, pair, b"%d of %d" % (active, queues))
    hot.nic.t.reset()
    set_queues(hot, 2)
    set_queues(hot, 4)
    hot.start(posted=128)
    flood(hot.nic, hot.host, 4)


@case("net-elastic/netdev-that-came-back", needs=TUN)
def came_back(t):
    hot = Hot(t, 4).start(posted=128)
    for queues, then in ((2, 4), (4, 2), (3, 1), (6, 3), (6, 4)):
        hot.delete()
        hot.back(queues=queues)
        set_queues(hot, then)
        dealt(hot, then)
        flood(hot.nic, hot.host, then)
    set_queues(hot, 1)
    hot.delete()
    eq(hot.vm.fds().get("/dev/net/tun", 0), 0, "open taps")
    hot.back()
    flood(hot.nic, hot.host, 4)


# ---- files that are passed ----

@case("net-elastic/passed-descriptors", needs=TUN)
def passed(t):
    hot = Hot(t, 4).start(posted=128)
    kinds = hot.vm.fds()
    for attached in (False, True):
        set_queues(hot, 2)
        for name in ("a", "b"):
            fd = open_tap("t0", IFF_VNET_HDR | IFF_MULTI_QUEUE)
            if not attached:
                detach(fd)
            give(hot.qmp, name, fd)
        set_queues(hot, 4, fds="a:b")
        for name in ("a", "b"):
            refused(hot.qmp, hot.vm, f"'{name}' not found", "closefd", {"fdname": name})
        dealt(hot, 4)
        flood(hot.nic, hot.host, 4)
        eq(hot.vm.fds(), kinds, "open files")


@case("net-elastic/descriptor-sets", needs=TUN)
def sets(t):
    hot = Hot(t, 4).start(posted=128)
    set_queues(hot, 2)
    fd = open_tap("t0", IFF_VNET_HDR | IFF_MULTI_QUEUE)
    detach(fd)
    hot.qmp.cmd("add-fd", fds=[fd], fdset_id=3)
    with_set = hot.vm.fds()
    for _ in range(3):  # it is given again and again, and detached in between
        set_queues(hot, 3, fds="/dev/fdset/3")
        flood(hot.nic, hot.host, 3)
        set_queues(hot, 2)
        flood(hot.nic, hot.host, 2)
        flags, = struct.unpack_from("=H", fcntl.ioctl(fd, TUNGETIFF, bytes(40)), 16)
        check(flags & IFF_DETACH_QUEUE, "the queue that went is attached still")
        eq(hot.vm.fds(), with_set, "open files")
    os.close(fd)
    # So does a netdev that is deleted and made of the same files.
    hot.delete()
    for i in range(2):
        fd = open_tap("t8", IFF_VNET_HDR | IFF_MULTI_QUEUE)
        hot.qmp.cmd("add-fd", fds=[fd], fdset_id=10 + i)
        os.close(fd)
    for _ in range(3):
        hot.qmp.cmd("netdev_add", arguments_=tap("n0", fds="/dev/fdset/10:/dev/fdset/11"))
        host = Host("t8")
        hot.nic.set_pairs(4)
        flood_t8 = [udp_frame(MAC, HOST_MAC, 3000 + i, 4000 + 7 * i, b"flow") for i in range(40)]
        for f in flood_t8:
            host.send(f)
        got = []
        wait_for(lambda: got.extend(x[1] for p in range(4) for x in [hot.nic.recv(p, wait=False)] if x)
                 or len(got) == len(flood_t8), "frames by queues of sets")
        eq(sorted(got), sorted(flood_t8), "frames by queues of sets")
        hot.nic.set_pairs(1)
        hot.delete()


# ---- closed for good ----

@case("net-elastic/queues-end-with-their-netdev", needs=TUN)
def ends(t):
    """A tap with one queue can be opened again at once, and new queues of a tap get its first numbers."""
    hot = Hot(t)
    hot.start()
    for i in range(10):
        hot.nic.both_ways(hot.host)
        burst = [udp_frame(MAC, HOST_MAC, k, k) for k in range(40)]  # an iothread's ring knows the file then
        for frame in burst:
            hot.host.send(frame)
        for k, frame in enumerate(burst):
            hot.nic.expect(0, frame, f"frame {k} of a burst")
        hot.delete()
        check("t0" not in links(), "t0 is still there")
        hot.back()


# ---- numbered frames ----

def counts(t, changes, act=None, **kw):
    hot, s = streaming(t, **kw)
    s.pump(20)
    before = None
    for i, n in enumerate(changes):
        s.set_queues(n)
        s.pump(2)
        if act:
            act(hot, s, i)
        if i in (5, len(changes) - 1):
            s.set_queues(4)
            now = hot.vm.fds(), sorted(hot.vm.thread_names().values())
            eq(now, before or now, "open files and threads")
            before = now
    s.pump(20)
    return hot, s


def random_counts(n, seed):
    rng = random.Random(seed)
    return [rng.randrange(1, 5) for _ in range(n)]


@case("net-elastic/traffic/to-one-and-back", needs=TUN)
def to_one(t):
    need_program(t)
    _, s = counts(t, [1, 4] * 8 + [3, 2, 1, 2, 3, 4])
    s.finish()


@case("net-elastic/traffic/100-random-counts", needs=TUN)
def hundred(t):
    need_program(t)
    _, s = counts(t, random_counts(100, 1))
    s.finish()


@case("net-elastic/traffic/no-right-to-load-a-program", needs=TUN)
def without_program(t):
    refuse_bpf()
    _, s = counts(t, random_counts(60, 2))
    s.finish(exact=False)
    # What comes in the moment between the last look at a queue and its end.
    lost = s.down.under_way()
    check(lost <= 60, f"{lost} frames lost, of {sum(s.down.sent)}")


@case("net-elastic/traffic/rss-by-a-program", needs=TUN)
def rss_program(t):
    need_program(t)
    rss_counts(t, "ebpf")


@case("net-elastic/traffic/rss-by-the-pairs", needs=TUN)
def rss_pairs(t):
    need_program(t)
    rss_counts(t, "user")


def rss_counts(t, how):
    hot = Hot(t, 4, nic_opts=f",rss=on,rss-steering={how}")
    hot.start(RSS, posted=64)
    table = [3, 1, 0, 2, 2, 3, 1, 0] * 4
    configure(hot.nic, table)
    s = Stream(hot)
    s.pump(20)
    for n in random_counts(30, 3):
        s.set_queues(n)
        s.pump(3)
    s.set_queues(4)
    s.finish()
    eq(hot.qmp.cmd("query-net-rss")[0]["steering"], how, "who steers")
    eq([p["stats"]["rx-rss-dropped"] for p in hot.pairs()], [0] * 4, "frames lost between pairs")
    # The table says where frames go, modulo the number of queues.
    for n in (4, 3, 2, 1):
        set_queues(hot, n)
        before = [p["stats"]["rx-packets"] for p in hot.pairs()]
        configure(hot.nic, [2] * 8, unclassified=2)
        for i in range(20):
            hot.host.send(udp_frame(MAC, HOST_MAC, 100 + i, 200 + i, bytes(20)))
        wait_for(lambda: sum(p["stats"]["rx-packets"] for p in hot.pairs()) == sum(before) + 20, "20 frames")
        eq([p["stats"]["rx-packets"] - b for p, b in zip(hot.pairs(), before)],
           [20 if i == 2 % n else 0 for i in range(4)], f"frames of queue 2 with {n} queues")
        for _ in range(20):
            hot.nic.recv(2 % n)


@case("net-elastic/traffic/with-other-changes", needs=TUN)
def with_others(t):
    """Nothing is lost by queues that come and go while the machine is stopped, or pairs are not in use."""
    need_program(t)
    hot, s = streaming(t)
    rng = random.Random(4)
    for i in range(20):
        s.set_queues(rng.randrange(1, 5))
        s.pump(3)
        if i % 4 == 0:
            s.settle()
            s.command("stop")
            for n in random_counts(3, i):
                s.command("netdev-set-queues", id="n0", queues=n)
            s.command("cont")
        elif i % 4 == 1:
            s.settle()  # detached queues are emptied by the kernel
            n = rng.randrange(1, 5)
            hot.nic.set_pairs(n)
            s.pairs, pairs = n, s.pairs
            s.set_queues(rng.randrange(1, 5))
            s.settle()
            hot.nic.set_pairs(4)
            s.pairs = pairs
        elif i % 4 == 2:
            s.settle()
            hot.link(False)
            set_queues(hot, rng.randrange(1, 5))
            hot.link(True)
        else:
            s.settle()
            hot.delete()
            hot.back(queues=rng.randrange(2, 5))
    s.finish()


# ---- a driver without buffers, a machine that is stopped ----

def waiting_frames(t, stopped, n=100):
    """N frames wait in a queue that goes: all of them are kept for the driver."""
    hot = Hot(t, 2).start(posted=4)
    flows = [udp_frame(MAC, HOST_MAC, 3000 + i, 4000, bytes(20)) for i in range(40)]
    used = {0: [], 1: []}
    for f in flows:  # which flow goes to which queue
        hot.host.send(f)
        p = wait_for(lambda: [p for p in (0, 1) if hot.nic.rx[p].used_idx != hot.nic.rx[p].seen] or None, "a frame")[0]
        eq(hot.nic.recv(p)[1], f, "the frame")
        used[p].append(f)
    flow = used[1][0]
    before = hot.pairs()[1]["stats"]
    if stopped:
        hot.qmp.cmd("stop")
    else:
        for _ in range(4):  # takes the driver's buffers, which it does not give again
            hot.host.send(flow)
        wait_for(lambda: hot.pairs()[1]["stats"]["rx-packets"] == before["rx-packets"] + 4, "4 frames")
    sent = [udp_frame(MAC, HOST_MAC, *struct.unpack_from(">HH", flow, 34), struct.pack(">I", i) + bytes(16))
            for i in range(n)]
    for f in sent:
        hot.host.send(f)
    time.sleep(QUIET_S)
    set_queues(hot, 1)
    eq(hot.pairs()[1]["stats"]["rx-backlog"], n, "frames that wait")
    if stopped:
        hot.qmp.cmd("cont")
    else:
        for _ in range(4):
            hot.nic.rx[1].take()
    hot.nic.post(1, 16)  # fewer than wait: each is given again when its frame has been looked at
    eq([hot.nic.recv(1)[1] for _ in range(n)], sent, "frames that were kept, in their order")
    stats = hot.pairs()[1]["stats"]
    eq((stats["rx-errors"], stats["rx-backlog"]), (before["rx-errors"], 0), "errors and backlog")
    set_queues(hot, 2)
    flood(hot.nic, hot.host, 2)


@case("net-elastic/frames-that-find-no-buffer", needs=TUN)
def no_buffers(t):
    waiting_frames(t, False)


@case("net-elastic/frames-of-a-stopped-machine", needs=TUN)
def stopped_machine(t):
    waiting_frames(t, True)


@case("net-elastic/few-frames-of-a-stopped-machine", needs=TUN)
def few_frames(t):
    waiting_frames(t, True, 20)


@case("net-elastic/a-full-queue-that-finds-no-buffer", needs=TUN)
def full_queue(t):
    waiting_frames(t, False, 450)


# ---- many times ----

@case("net-elastic/no-leak", needs=TUN)
def leak(t):
    hot = Hot(t, 4).start(posted=64)
    give(hot.qmp, "single", open_tap("t7"))

    def cycle(i):
        set_queues(hot, 1 + i % 3)
        for arguments in ({"queues": 9}, {"queues": 4, "fds": "single:nobody"}, {"queues": 4, "vhostfds": "0"}):
            try:
                hot.qmp.cmd("netdev-set-queues", arguments_={"id": "n0", **arguments})
            except QmpError:
                continue
            raise Failure(f"{arguments} was taken")
        set_queues(hot, 4)
        exchange(hot.nic, hot.host, i % 4, b"%d" % i)
    no_leak(hot.vm, cycle, cycles=40)
