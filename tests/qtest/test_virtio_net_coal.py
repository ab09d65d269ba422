# SPDX-License-Identifier: GPL-2.0-or-later
"""Interrupts that may wait, and counters that the driver reads by command.

Whether an interrupt was asked for is told by the counters of query-net-queues,
read when the pair's thread is known to be through: a setting of the other
direction has to pass it.
"""

import random
import struct
import time

from netlib import GSO_TCPV4, HOST_MAC, NEEDS_CSUM, TCP_AT, TCP_PAYLOAD_AT, Host, net_hdr, raw_frame, tcp_frame
from qmplib import Qmp
from qtestlib import case, check, eq, wait_for
from test_virtio_net_mq import exchange
from virtiolib import (BASIC, CTRL, ERR, F_CSUM, F_CTRL_VQ, F_EVENT_IDX, F_HOST_TSO4, F_MQ, F_RING_RESET, MAC, OK,
                       Legacy, Modern, Nic, bits, find_virtio, tap_args)

TUN = ("root", "tun")
F_DEVICE_STATS, F_VQ_NOTF_COAL, F_NOTF_COAL = 50, 52, 53
COAL, TX_SET, RX_SET, VQ_SET, VQ_GET = 6, 0, 1, 2, 3
STATS, QUERY, GET = 8, 0, 1
FOREVER = 0xffffffff
NEW = bits(F_DEVICE_STATS, F_VQ_NOTF_COAL, F_NOTF_COAL)
FULL = BASIC | CTRL | NEW

RX_BASIC, TX_BASIC, TX_CSUM, TX_GSO, CVQ = 0, 16, 17, 18, 32
NAMES = {
    RX_BASIC: ("notifications", "packets", "bytes", "interrupts", "drops", "overruns"),
    TX_BASIC: ("notifications", "packets", "bytes", "interrupts", "drops", "malformed"),
    TX_CSUM: ("none", "needs"),
    TX_GSO: ("packets", "bytes", "segments", "segment-bytes", "unsegmented", "unsegmented-bytes"),
    CVQ: ("commands", "ok"),
}


class Rig:
    """A NIC, its host's side and a monitor."""

    def __init__(self, t, features=FULL, pairs=1, vnet_hdr=False, args=(), **kw):
        self.vm = t.vm(*args, *tap_args(queues=pairs, **kw), qmp=True)
        self.qmp = Qmp(self.vm.qmp_path)
        self.pci = find_virtio(self.vm)[0]
        self.pci.msix_setup()
        self.nic = Nic(Modern(self.pci))
        self.host = Host("t0", vnet_hdr=vnet_hdr)
        self.pairs = pairs
        self.features = features | (bits(F_MQ) if pairs > 1 else 0)
        self.start()

    def start(self):
        self.nic.start(self.features, pairs=self.pairs, vectors=True, posted=64)
        if self.pairs > 1:
            self.nic.set_pairs(self.pairs)
        self.base = self.counters()

    # ---- commands ----

    def query(self, cls, cmd, data=b"", room=64):
        """A command with ROOM bytes for a result: acknowledgement and result."""
        vm, ring = self.vm, self.nic.ctrl
        at = vm.alloc(2 + len(data))
        vm.ram[at:at + 2 + len(data)] = bytes((cls, cmd)) + data
        into = vm.alloc(1 + room)
        vm.ram[into:into + 1 + room] = b"\xee" * (1 + room)
        parts = [(into, 1)] + ([(into + 1, room)] if room else [])
        ring.push(ring.add(out=[(at, 2 + len(data))], into=parts))
        _, written, _ = ring.wait("an answered command")
        check(1 <= written <= 1 + room, f"{written} bytes written of {1 + room}")
        got = bytes(vm.ram[into:into + 1 + room])
        eq(got[written:], b"\xee" * (1 + room - written), "bytes after the answer")
        return got[0], got[1:written]

    def set(self, cmd, packets, usecs):
        eq(self.query(COAL, cmd, struct.pack("<II", packets, usecs)), (OK, b""), f"command {cmd} {packets} {usecs}")

    def set_vq(self, index, packets, usecs, reserved=0):
        return self.query(COAL, VQ_SET, struct.pack("<HHII", index, reserved, packets, usecs))

    def get_vq(self, index):
        ack, data = self.query(COAL, VQ_GET, struct.pack("<HH", index, 0x5555))
        eq((ack, len(data)), (OK, 8), f"VQ_GET {index}")
        return struct.unpack("<II", data)

    def settings(self):
        return [self.get_vq(i) for i in range(2 * self.pairs)]

    def statistics(self, *asked, room=4096):
        """STATS_GET for (queue, type...); {(queue, type): {name: value}}."""
        data = b"".join(struct.pack("<HHHHQ", q, 9, 9, 9, bits(*types)) for q, *types in asked)
        ack, reply = self.query(STATS, GET, data, room)
        eq(ack, OK, f"STATS_GET {asked}")
        found = {}
        while reply:
            kind, _, queue, _, size = struct.unpack_from("<BBHHH", reply)
            eq(size, 8 + 8 * len(NAMES[kind]), f"size of type {kind}")
            found[queue, kind] = dict(zip(NAMES[kind], struct.unpack_from(f"<{len(NAMES[kind])}Q", reply, 8)))
            reply = reply[size:]
        eq(sorted(found), sorted((q, k) for q, *types in asked for k in types), "types of the reply")
        return found

    # ---- interrupts ----

    def pass_thread(self):
        """What the pairs' threads have begun is over; no setting changes."""
        for index in range(2 * self.pairs):
            eq(self.set_vq(index, *self.get_vq(index))[0], OK, "VQ_SET of what is set")

    def counters(self):
        return [q["stats"] for q in self.qmp.cmd("query-net-queues")]

    def interrupts(self, pair=0):
        """(rx, tx) asked for since the driver started; all earlier work is done."""
        self.pass_thread()
        now, base = self.counters()[pair], self.base[pair]
        return tuple(now[k] - base[k] for k in ("rx-signals", "tx-signals"))

    def wait_interrupt(self, queue):
        self.pci.msix_wait(1 + queue, f"interrupt of queue {queue}")

    # ---- frames ----

    def tx(self, n=1, pair=0):
        """N frames in one kick; back when all are used."""
        ring = self.nic.tx[pair]
        for i in range(n):
            frame = bytes(12) + raw_frame(HOST_MAC, MAC, b"%d" % i, size=60)
            at = self.vm.alloc(len(frame))
            self.vm.ram[at:at + len(frame)] = frame
            ring.offer(ring.add(out=[(at, len(frame))]))
        ring.publish()
        ring.kick()
        for _ in range(n):
            ring.wait("a sent frame")

    def rx(self, n=1):
        """N frames to the only pair; back when all are used."""
        for i in range(n):
            self.host.send(raw_frame(MAC, payload=b"%d" % i, size=60))
        for _ in range(n):
            self.nic.rx[0].wait("a received frame")


def counts(t, features):
    """Used at once, told when there are enough: not before, and not twice."""
    r = Rig(t, features)
    r.set(TX_SET, 4, FOREVER)
    r.set(RX_SET, 6, FOREVER)
    r.tx(3)
    r.rx(5)
    eq(r.interrupts(), (0, 0), "interrupts before the counts are full")
    r.tx()
    r.wait_interrupt(1)
    eq(r.interrupts(), (0, 1), "interrupts after 4 frames sent")
    r.rx()
    r.wait_interrupt(0)
    eq(r.interrupts(), (1, 1), "interrupts after 6 frames received")
    r.nic.rx[0].set_used_event(6)
    r.nic.tx[0].set_used_event(4)
    r.tx(2)
    r.tx()
    r.rx(5)
    eq(r.interrupts(), (1, 1), "interrupts before the counts are full again")
    r.tx()
    r.rx()
    r.wait_interrupt(1)
    r.wait_interrupt(0)
    eq(r.interrupts(), (2, 2), "interrupts after the second lot")


@case("virtio-net/5.1.6.5.9/interrupt-after-so-many-packets", needs=TUN)
def by_count(t):
    counts(t, FULL)


@case("virtio-net/5.1.6.5.9/interrupt-after-so-many-packets-with-event-index", needs=TUN)
def by_count_event_idx(t):
    counts(t, FULL | bits(F_EVENT_IDX))


@case("virtio-net/5.1.6.5.9/interrupt-after-so-long", needs=TUN)
def by_time(t):
    r = Rig(t)
    r.set(TX_SET, 1000, 30000)
    r.set(RX_SET, 1000, 30000)
    for move, queue in ((r.tx, 1), (r.rx, 0)) * 3:
        began = time.monotonic()
        move()
        r.wait_interrupt(queue)
        check(time.monotonic() - began >= 0.03, f"queue {queue} did not wait")
    eq(r.interrupts(), (3, 3), "interrupts")


@case("virtio-net/5.1.6.5.9/zero-means-at-once", needs=TUN)
def zero(t):
    r = Rig(t)
    told = 0
    for packets, usecs in ((0, FOREVER), (FOREVER, 0), (0, 0), (1, FOREVER)):
        r.set(TX_SET, packets, usecs)
        r.set(RX_SET, packets, usecs)
        for _ in range(2):
            r.tx()
            r.wait_interrupt(1)
            r.rx()
            r.wait_interrupt(0)
            told += 1
            eq(r.interrupts(), (told, told), f"interrupts with {packets} packets, {usecs} us")


@case("virtio-net/5.1.6.5.9/new-settings-apply-to-what-waits", needs=TUN)
def change(t):
    r = Rig(t)
    r.set(TX_SET, 15, FOREVER)
    r.tx(10)
    r.set(TX_SET, 11, FOREVER)
    eq(r.interrupts(), (0, 0), "interrupts with 10 of 11")
    r.set(TX_SET, 8, FOREVER)
    r.wait_interrupt(1)
    eq(r.interrupts(), (0, 1), "interrupts with 10 of 8")
    r.tx(2)
    r.set(TX_SET, 8, 1000)  # the first of them is older than that, or soon
    r.wait_interrupt(1)
    r.set(TX_SET, 8, FOREVER)
    r.tx(2)
    r.set(TX_SET, 0, 0)
    r.wait_interrupt(1)
    eq(r.interrupts(), (0, 3), "interrupts after time and off")


@case("virtio-net/5.1.6.5.9/suppressed-interrupts-stay-so", needs=TUN)
def suppressed(t):
    r = Rig(t)
    r.tx()
    r.wait_interrupt(1)  # the first of a ring comes in any case
    r.set(TX_SET, 4, FOREVER)
    r.nic.tx[0].suppress_interrupts(True)
    r.tx(4)
    eq(r.interrupts(), (0, 1), "interrupts although the driver wants none")
    r.nic.tx[0].suppress_interrupts(False)
    r.tx(4)
    r.wait_interrupt(1)


@case("virtio-net/coal/no-wait-for-packets-that-cannot-come", needs=TUN)
def starved(t):
    r = Rig(t)
    r.set(RX_SET, 1000, FOREVER)
    r.rx(63)
    eq(r.interrupts(), (0, 0), "interrupts with a buffer left")
    r.rx()
    r.host.send(raw_frame(MAC, payload=b"one more", size=60))
    r.wait_interrupt(0)
    r.nic.post(0, 8)
    r.nic.rx[0].wait("the frame that waited for buffers")
    size = r.nic.tx[0].size
    r.set(TX_SET, FOREVER, FOREVER)
    r.tx(size - 1)
    eq(r.interrupts()[1], 0, "interrupts with a ring less one")
    r.tx()
    r.wait_interrupt(1)


@case("virtio-net/5.1.6.5.9/settings-of-each-queue", needs=TUN)
def per_queue(t):
    r = Rig(t, FULL | bits(F_RING_RESET), pairs=3)
    eq(r.settings(), [(0, 0)] * 6, "settings after reset")
    r.set(RX_SET, 10, 100)
    eq(r.settings(), [(10, 100), (0, 0)] * 3, "after RX_SET")
    r.set(TX_SET, 20, 200)
    eq(r.set_vq(2, 5, FOREVER, reserved=0xffff), (OK, b""), "VQ_SET, reserved bits set")
    eq(r.set_vq(3, FOREVER, 7)[0], OK, "VQ_SET")
    want = [(10, 100), (20, 200), (5, FOREVER), (FOREVER, 7), (10, 100), (20, 200)]
    eq(r.settings(), want, "after VQ_SET")
    shown = [(q["rx-coalesce"], q["tx-coalesce"]) for q in r.qmp.cmd("query-net-queues")]
    eq([(c["max-packets"], c["max-usecs"]) for pair in shown for c in pair], want, "settings shown by QMP")
    text = r.qmp.cmd("human-monitor-command", arguments_={"command-line": "info network"})
    check("rx-coalesce=5 packets or 4294967295 us,tx-coalesce=4294967295 packets or 7 us" in text, "info network")
    # stopping the machine or the pair changes nothing; a reset of the ring takes the settings of its kind
    r.qmp.cmd("stop")
    r.qmp.cmd("cont")
    r.nic.set_pairs(1)
    r.nic.set_pairs(3)
    eq(r.settings(), want, "after a stop and a pause of pairs")
    r.nic.t.queue_reset(2)
    eq(r.query(COAL, VQ_GET, struct.pack("<HH", 2, 0))[0], ERR, "VQ_GET of a queue that is off")
    eq(r.set_vq(2, 1, 1)[0], ERR, "VQ_SET of a queue that is off")
    r.nic.rx[1] = r.nic.t.make_ring(2, vector=3)
    r.nic.post(1, 32)
    want[2] = (10, 100)
    eq(r.settings(), want, "after the reset of queue 2")
    r.set(TX_SET, 2, FOREVER)
    eq(r.settings(), [(10, 100), (2, FOREVER)] * 3, "TX_SET over VQ_SET")
    # each queue counts by itself
    r.set(RX_SET, 0, 0)
    r.base = r.counters()
    r.tx(1, pair=0)
    r.tx(1, pair=2)
    eq([r.interrupts(p)[1] for p in range(3)], [0, 0, 0], "interrupts after one frame each")
    r.tx(1, pair=2)
    r.wait_interrupt(5)
    eq([r.interrupts(p)[1] for p in range(3)], [0, 0, 1], "interrupts after two frames of pair 2")
    r.start()
    eq(r.settings(), [(0, 0)] * 6, "settings after a device reset")
    r.host.drain()
    for pair in range(3):
        exchange(r.nic, r.host, pair, b"after all")


@case("virtio-net/coal/who-lets-go-of-a-pair-tells", needs=TUN)
def flushed(t):
    r = Rig(t, FULL | bits(F_RING_RESET), pairs=2)
    r.set(TX_SET, 200, FOREVER)
    told = [0, 0]
    for what in ("stop", "pairs", "ring", "stop"):
        r.tx(3, pair=1)
        eq([r.interrupts(p)[1] for p in range(2)], told, f"interrupts before {what}")
        if what == "stop":
            r.qmp.cmd("stop")
            r.qmp.cmd("cont")
        elif what == "pairs":
            r.nic.set_pairs(1)
            r.nic.set_pairs(2)
        else:
            r.nic.t.queue_reset(2)  # the other ring of the pair
            r.nic.rx[1] = r.nic.t.make_ring(2, vector=3)
            r.nic.post(1, 32)
        told[1] += 1
        r.wait_interrupt(3)
        eq([r.interrupts(p)[1] for p in range(2)], told, f"interrupts after {what}")
    r.tx(3, pair=1)
    r.nic.t.reset()  # with one that waits


@case("virtio-net/5.1.6.5.9/wrong-commands-are-refused", needs=TUN)
def hostile(t):
    r = Rig(t, pairs=2)
    r.set(RX_SET, 3, 30)
    r.set(TX_SET, 4, 40)
    want = [(3, 30), (4, 40)] * 2
    pair = struct.pack("<II", 9, 9)
    bad = [(cmd, data) for cmd in (TX_SET, RX_SET) for data in (b"", pair[:7], pair + b"\0", pair * 2, pair * 4000)]
    bad += [(VQ_SET, struct.pack("<HH", i, 0) + pair) for i in (4, 5, 6, 0x7fff, 0xffff)]
    bad += [(VQ_GET, struct.pack("<HH", i, 0)) for i in (4, 5, 0x8000, 0xffff)]
    bad += [(VQ_SET, data) for data in (b"", pair, bytes(11), bytes(13))]
    bad += [(VQ_GET, data) for data in (b"", b"\0\0", bytes(3), bytes(5), bytes(12))]
    bad += [(cmd, pair) for cmd in (4, 5, 255)]
    for cmd, data in bad:
        eq(r.query(COAL, cmd, data), (ERR, b""), f"command {cmd} with {data[:12].hex()}")
    eq(r.settings(), want, "settings after refused commands")
    for room in range(9):  # a result that has no room is cut
        eq(r.query(COAL, VQ_GET, bytes(4), room), (OK, struct.pack("<II", 3, 30)[:room]), f"VQ_GET into {room} bytes")
    rng = random.Random(52)
    for _ in range(60):  # settings change while frames move
        r.set(rng.choice((TX_SET, RX_SET)), rng.choice((0, 2, 5, FOREVER)), rng.choice((0, 1, 50, FOREVER)))
        r.tx(rng.randrange(1, 9), pair=rng.randrange(2))
    check(r.nic.healthy(), "the device broke")
    r.host.drain()
    exchange(r.nic, r.host, 0, b"after all")


@case("virtio-net/5.1.3/coalescing-and-statistics-negotiated", needs=TUN)
def negotiated(t):
    r = Rig(t, BASIC | CTRL)
    pair = struct.pack("<II", 5, 5)
    commands = ((F_NOTF_COAL, COAL, TX_SET, pair), (F_NOTF_COAL, COAL, RX_SET, pair),
                (F_VQ_NOTF_COAL, COAL, VQ_SET, bytes(4) + pair), (F_VQ_NOTF_COAL, COAL, VQ_GET, bytes(4)),
                (F_DEVICE_STATS, STATS, QUERY, b""), (F_DEVICE_STATS, STATS, GET, struct.pack("<QQ", 0, 1)))
    eq(r.nic.t.offered() & NEW, NEW, "features offered by default")
    check("rx-coalesce" not in r.qmp.cmd("query-net-queues")[0], "settings shown to nobody's use")
    for taken in (None, F_NOTF_COAL, F_VQ_NOTF_COAL, F_DEVICE_STATS):
        if taken:
            r.features = BASIC | CTRL | bits(taken)
            r.start()
        for needs, cls, cmd, data in commands:
            eq(r.query(cls, cmd, data)[0], OK if needs == taken else ERR, f"command {cls}.{cmd} with feature {taken}")
    for f in (F_NOTF_COAL, F_VQ_NOTF_COAL, F_DEVICE_STATS):
        check(not r.nic.t.negotiate(BASIC | bits(f)), f"feature {f} taken without a control queue")


@case("virtio-net/options/coalescing-and-statistics-off", needs=TUN)
def options(t):
    for i, (opts, want) in enumerate(((",notf_coal=off", {F_VQ_NOTF_COAL, F_DEVICE_STATS}),
                                      (",vq_notf_coal=off", {F_NOTF_COAL, F_DEVICE_STATS}),
                                      (",device_stats=off", {F_NOTF_COAL, F_VQ_NOTF_COAL}), (",ctrl_vq=off", set()))):
        vm = t.vm(*tap_args(f"t{i}", nic_opts=opts))
        offered = Modern(find_virtio(vm)[0]).offered()
        eq({f for f in (F_DEVICE_STATS, F_VQ_NOTF_COAL, F_NOTF_COAL) if offered >> f & 1}, want, f"offered with {opts}")
    vm = t.vm(*tap_args("t9"))
    nic = Nic(Legacy(find_virtio(vm)[0]))
    nic.start(bits(F_CTRL_VQ))
    for cls, cmd in ((COAL, TX_SET), (STATS, QUERY)):
        eq(nic.command(cls, cmd, bytes(8) if cls == COAL else b""), ERR, f"command {cls}.{cmd} of a legacy driver")
    nic.both_ways(Host("t9"))


# ---- statistics ----

@case("virtio-net/stats/equal-the-traffic", needs=TUN)
def stats_traffic(t):
    r = Rig(t, FULL | bits(F_CSUM, F_HOST_TSO4), vnet_hdr=True)
    ack, caps = r.query(STATS, QUERY)
    eq((ack, struct.unpack("<Q", caps)[0]), (OK, bits(RX_BASIC, TX_BASIC, TX_CSUM, TX_GSO, CVQ)), "types on offer")
    everything = ((0, RX_BASIC), (1, TX_BASIC, TX_CSUM, TX_GSO), (2, CVQ))
    first = r.statistics(*everything)
    sizes = (60, 61, 1000, 1514)
    for size in sizes:
        r.nic.send(0, raw_frame(HOST_MAC, MAC, size=size))
        frame = raw_frame(MAC, HOST_MAC, size=size)
        r.host.send(frame)
        r.nic.expect(0, frame, f"frame of {size} bytes")
    small = tcp_frame(HOST_MAC, MAC, bytes(100), from_guest=True)
    r.nic.send(0, small, net_hdr(NEEDS_CSUM, csum_start=TCP_AT, csum_offset=16))
    large = tcp_frame(HOST_MAC, MAC, bytes(9000), from_guest=True)
    r.nic.send(0, large, net_hdr(NEEDS_CSUM, GSO_TCPV4, TCP_PAYLOAD_AT, 1448, TCP_AT, 16))
    r.nic.send(0, small, net_hdr(gso_type=99))  # dropped
    r.wait_interrupt(0)
    r.wait_interrupt(1)
    r.pass_thread()
    now = r.statistics(*everything)
    diff = {k: {n: v - first[k][n] for n, v in now[k].items()} for k in now}
    kicks = {q: diff[q, RX_BASIC if q == 0 else TX_BASIC].pop("notifications") for q in (0, 1)}
    eq(kicks[1], 7, "kicks of the transmit queue")
    check(1 <= kicks[0] <= 4, f"{kicks[0]} kicks of the receive queue")
    eq(diff[0, RX_BASIC], {"packets": 4, "bytes": sum(sizes), "interrupts": 4, "drops": 0, "overruns": 0}, "received")
    eq(diff[1, TX_BASIC], {"packets": 6, "bytes": sum(sizes) + len(small) + len(large), "interrupts": 7, "drops": 1,
                           "malformed": 1}, "sent")
    eq(diff[1, TX_CSUM], {"none": 4, "needs": 2}, "checksums")
    eq(diff[1, TX_GSO], {"packets": 1, "bytes": len(large), "segments": 0, "segment-bytes": 0, "unsegmented": 1,
                         "unsegmented-bytes": len(large)}, "segmentation")
    before = r.statistics((2, CVQ))[2, CVQ]
    eq(r.query(COAL, 99), (ERR, b""), "a wrong command")
    after = r.statistics((2, CVQ))[2, CVQ]
    eq((after["commands"] - before["commands"], after["ok"] - before["ok"]), (2, 1), "commands, and those that went well")
    r.start()  # a reset leaves the counters
    check(r.statistics((1, TX_BASIC))[1, TX_BASIC]["packets"] >= 6, "counters after a reset")


@case("virtio-net/stats/of-many-queues-in-one-command", needs=TUN)
def stats_many(t):
    r = Rig(t, pairs=4)
    eq(struct.unpack("<Q", r.query(STATS, QUERY)[1])[0], bits(RX_BASIC, TX_BASIC, CVQ), "types without offloads")
    asked = [(q, TX_BASIC if q % 2 else RX_BASIC) for q in range(8)] + [(8, CVQ)]
    before = r.statistics(*asked)
    for pair in range(4):
        r.tx(1 + pair, pair=pair)
    now = r.statistics(*asked)
    eq([now[2 * p + 1, TX_BASIC]["packets"] - before[2 * p + 1, TX_BASIC]["packets"] for p in range(4)], [1, 2, 3, 4],
       "frames sent by each pair")
    r.nic.set_pairs(1)  # pairs that rest still have counters
    eq(r.statistics((7, TX_BASIC))[7, TX_BASIC]["packets"], now[7, TX_BASIC]["packets"], "frames of a pair at rest")


@case("virtio-net/stats/wrong-commands-are-refused", needs=TUN)
def stats_hostile(t):
    r = Rig(t, pairs=2)
    one = struct.pack("<HHHHQ", 0, 0, 0, 0, bits(RX_BASIC))
    bad = [(QUERY, b"\0"), (QUERY, one), (2, b""), (255, one), (GET, b""), (GET, one[:15]), (GET, one + b"\0")]
    bad += [(GET, struct.pack("<QQ", q, bits(kind))) for q, kind in
            ((0, TX_BASIC), (1, RX_BASIC), (4, RX_BASIC), (0, CVQ), (1, TX_CSUM), (1, TX_GSO), (0, 1), (0, 3), (1, 19),
             (5, CVQ), (6, RX_BASIC), (0xffff, CVQ), (0, 63))]
    bad += [(GET, one * 5 + struct.pack("<QQ", 5, 0)), (GET, one * 4000)]
    for cmd, data in bad:
        eq(r.query(STATS, cmd, data), (ERR, b""), f"command {cmd} with {data[:16].hex()}")
    whole = r.query(STATS, GET, one * 3)[1]
    eq(len(whole), 64, "a result cut where the buffer ends")
    for room in (0, 1, 7, 8, 9, 55, 56, 57, 167, 168, 169):
        ack, got = r.query(STATS, GET, one * 3, room)
        eq((ack, len(got)), (OK, min(room, 168)), f"result into {room} bytes")
    for _ in range(5):  # the host's own frames may come in between
        ack, got = r.query(STATS, GET, one * 3000, 200000)  # the longest that is read
        eq((ack, len(got)), (OK, 168000), "result of 3000 questions")
        if got == got[:56] * 3000:
            break
    eq(got, got[:56] * 3000, "the same answer to each")
    check(r.nic.healthy(), "the device broke")
    r.host.drain()
    exchange(r.nic, r.host, 1, b"after all")


@case("virtio-net/stats/read-while-packets-flow", needs=TUN)
def stats_flow(t):
    r = Rig(t)
    last, sent = 0, 0
    for n in range(40):
        r.tx(1 + n % 7)
        sent += 1 + n % 7
        now = r.statistics((1, TX_BASIC))[1, TX_BASIC]["packets"]
        check(last < now, f"{now} packets after {last}")
        last = now
    eq(wait_for(lambda: r.statistics((1, TX_BASIC))[1, TX_BASIC]["packets"], "statistics"), sent, "packets")
