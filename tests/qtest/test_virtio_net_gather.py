# SPDX-License-Identifier: GPL-2.0-or-later
"""tx-gather: datagrams of a burst that go to the tap as one frame arrive as if each had gone by itself: read from a
second tap behind a bridge, byte for byte, and from sockets of the host."""

import random
import socket
import struct

from netlib import (HOST_MAC, Wire, add_address, add_neighbour, checksum, mac_of, make_bridge, net_hdr,
                    refuse_tap_offloads, set_up)
from offloadlib import GUEST4, GUEST6, HOST4, HOST6, TCP, UDP, Flow, payload
from qmplib import Qmp
from qtestlib import SCALE, case, check, eq
from test_net_stats import settle, values
from virtiolib import (BASIC, F_CSUM, F_HOST_TSO4, F_HOST_USO, F_PACKED, MAC, Modern, Nic, bits, find_virtio, tap_args)

TUN = ("root", "tun")
TUN_F_USO = 0x60
FEATURES = BASIC | bits(F_CSUM, F_HOST_TSO4, F_HOST_USO)


class Sender:
    """A NIC on a tap of its own whose driver sends bursts."""

    def __init__(self, t, gather=True, tap="t0", features=0, tap_opts="", nic_opts=""):
        opts = ",id=nic0" + ("" if gather is None else f",tx-gather={'on' if gather else 'off'}") + nic_opts
        self.vm = t.vm(*tap_args(tap, nic_opts=opts, tap_opts=tap_opts), qmp=True)
        self.qmp = Qmp(self.vm.qmp_path)
        self.nic = Nic(Modern(find_virtio(self.vm)[0]))
        self.buffer = self.vm.alloc(8 << 20, 4096)
        self.nic.start(BASIC | (FEATURES | features) & self.nic.t.offered(), posted=8)

    def stats(self):
        return values(self.qmp.cmd("query-stats", target="net-queue")[0])

    def offer(self, frames):
        """Puts (header, frame) after (header, frame) into the ring, then shows them all at once."""
        ring, at = self.nic.tx[0], self.buffer
        for hdr, frame in frames:
            data = hdr.ljust(self.nic.hdr_len, b"\0") + frame
            self.vm.ram[at:at + len(data)] = data
            ring.offer(ring.add(out=[(at, len(data))]))
            at += len(data) + 63 & -64
        ring.publish()
        ring.kick()

    def burst(self, frames):
        self.offer(frames)
        for i in range(len(frames)):
            eq(self.nic.tx[0].wait(f"sent frame {i}")[1], 0, "used length of a sent frame")

    def becomes(self, **want):
        settle(self.stats, "pair", want)


def bridged(t, tap="t0", wire="w0", bridge="b0", **kw):
    s = Sender(t, tap=tap, **kw)
    s.wire = Wire(wire)
    set_up(tap)
    make_bridge(bridge, tap, wire)
    return s


def datagram(flow, data, ident=0, fragment=0x4000, partial=True):
    return flow.ip(flow.transport(data, partial), ident & 0xffff, fragment=fragment)


def row(flow, sizes, ident=0xfffe, **kw):
    """(what the driver gives, what is to arrive) of datagrams of SIZES."""
    parts = [payload(n, i) for i, n in enumerate(sizes)]
    return ([(flow.hdr(), datagram(flow, p, ident + i, **kw)) for i, p in enumerate(parts)],
            [datagram(flow, p, ident + i, partial=False, **kw) for i, p in enumerate(parts)])


# sizes of a burst's payloads; datagrams of them that go within another's frame
ROWS = (([18] * 2, 1), ([18] * 20, 19), ([1400] * 40, 39), ([1472] * 64, 62), ([18] * 64, 63), ([18], 0),
        ([700, 700, 699, 700, 700], 3), ([100, 200, 300], 0), ([300, 200, 100], 1), ([1, 1, 1], 2), ([18, 0, 0, 18], 0))


@case("virtio-net/gather/on-the-wire", needs=TUN)
def on_the_wire(t):
    s = bridged(t)
    packets = gathered = 0
    for v6 in (False, True):
        for vlan in (None, 77):
            for fragment in (0x4000,) if v6 else (0x4000, 0):
                flow = Flow(UDP, v6, vlan=vlan)
                for sizes, more in ROWS:
                    frames, want = row(flow, sizes, **({} if v6 else {"fragment": fragment}))
                    s.burst(frames)
                    s.wire.expect(want, f"IPv{6 if v6 else 4}, VLAN {vlan}, {len(sizes)} of {sizes[0]}")
                    packets, gathered = packets + len(sizes), gathered + more
                    s.becomes(tx_packets=packets, tx_gathered=gathered, tx_dropped=0)
    eq(s.stats()["tx-again"], 0, "tx-again")


@case("virtio-net/gather/off-by-default", needs=TUN)
def off(t):
    s = bridged(t, gather=None)
    frames, want = row(Flow(UDP), [18] * 20)
    s.burst(frames)
    s.wire.expect(want, "20 datagrams")
    s.becomes(tx_packets=20, tx_gathered=0)
    eq(s.qmp.cmd("qom-get", path="/machine/peripheral/nic0", property="tx-gather"), False, "tx-gather")


@case("virtio-net/gather/packed-ring", needs=TUN)
def packed(t):
    s = bridged(t, nic_opts=",packed=on", features=bits(F_PACKED))
    for _ in range(5):
        frames, want = row(Flow(UDP), [18] * 60)
        s.burst(frames)
        s.wire.expect(want, "60 datagrams")
    s.becomes(tx_packets=300, tx_gathered=5 * 59)


@case("virtio-net/gather/order-among-flows", needs=TUN)
def flows(t):
    """Frames of others, and those that must not be touched, end a run and keep their place."""
    s = bridged(t)
    a, b, six, tcp = Flow(UDP), Flow(UDP, dport=5001), Flow(UDP, True), Flow(TCP)
    ident = 100

    def some(flow, n, **kw):
        nonlocal ident
        ident += n
        return row(flow, [50] * n, ident - n, **kw)

    def whole(flow, n, wrong=False):
        """Their checksums are the driver's own."""
        frames = []
        for i in range(n):
            f = bytearray(datagram(flow, payload(50, i), i, partial=False))
            f[flow.l4 + 6] ^= wrong
            frames.append(bytes(f))
        return [(net_hdr(), f) for f in frames], frames

    def stream(n):
        frames = [tcp.frame(payload(100, i), partial=True) for i in range(n)]
        return [(tcp.hdr(), f) for f in frames], [tcp.frame(payload(100, i)) for i in range(n)]

    def super_packet():
        data = payload(3000)
        return [(a.hdr(1000), a.frame(data, True))], a.segments(data, 1000)

    parts = [some(a, 3), some(b, 2), some(a, 1), some(b, 1), some(six, 4), whole(a, 3), some(a, 2), stream(2),
             some(a, 2), whole(a, 1, True), some(a, 2), super_packet(), some(a, 2), some(six, 1), whole(six, 2)]
    s.burst([f for frames, _ in parts for f in frames])
    s.wire.expect([f for _, want in parts for f in want], "frames of several flows")
    s.becomes(tx_packets=sum(len(frames) for frames, _ in parts), tx_gathered=2 + 1 + 3 + 1 + 1 + 1 + 1, tx_dropped=0)


@case("virtio-net/gather/identifications", needs=TUN)
def identifications(t):
    """Of packets that may be fragmented they stay; of others the kernel counts them up."""
    s = bridged(t)
    flow = Flow(UDP)
    idents = (5, 6, 7, 9, 10, 3, 0xffff, 0, 1, 1)

    def frames(fragment, partial, numbers=idents):
        return [datagram(flow, payload(40, k), i, fragment, partial) for k, i in enumerate(numbers)]
    s.burst([(flow.hdr(), f) for f in frames(0, True)])
    s.wire.expect(frames(0, False), "packets that may be fragmented")
    s.becomes(tx_packets=10, tx_gathered=2 + 1 + 2)
    s.burst([(flow.hdr(), f) for f in frames(0x4000, True)])
    s.wire.expect(frames(0x4000, False, range(5, 15)), "packets that may not")
    s.becomes(tx_packets=20, tx_gathered=5 + 9)


@case("virtio-net/gather/to-a-socket", needs=TUN)
def to_socket(t):
    rng = random.Random(4)
    for v6 in (False, True):
        s = Sender(t)
        if v6:
            with open("/proc/sys/net/ipv6/conf/t0/disable_ipv6", "w") as f:
                f.write("0")
        set_up("t0")
        add_address("t0", HOST6 if v6 else HOST4, 64 if v6 else 24)
        add_neighbour("t0", GUEST6 if v6 else GUEST4, MAC)
        family = socket.AF_INET6 if v6 else socket.AF_INET
        flow = Flow(UDP, v6, host_mac=mac_of("t0"))
        with socket.socket(family, socket.SOCK_DGRAM) as sock:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
            sock.bind((socket.inet_ntop(family, HOST6 if v6 else HOST4), 5000))
            sock.settimeout(3 * SCALE)
            n = 0
            for k in range(60):
                size = rng.choice((1, 18, 500, 1472))
                sizes = [size if rng.random() < 0.9 else rng.randrange(1, 1473) for _ in range(rng.randrange(1, 65))]
                parts = [struct.pack(">I", n + i)[-min(4, z):] + payload(max(0, z - 4), i) for i, z in enumerate(sizes)]
                s.burst([(flow.hdr(), datagram(flow, p, n + i)) for i, p in enumerate(parts)])
                for i, p in enumerate(parts):
                    eq(sock.recv(1 << 16), p, f"datagram {i} of {len(parts)} of burst {k}")
                n += len(parts)
            s.becomes(tx_packets=n, tx_dropped=0, tx_again=0)
            check(s.stats()["tx-gathered"] > n // 3, f"{s.stats()['tx-gathered']} of {n} gathered")
        s.vm.close()
        s.vm.ended = True


@case("virtio-net/gather/without-io_uring", needs=TUN)
def plain_calls(t):
    """With a limited send buffer each frame is a system call."""
    s = bridged(t, tap_opts=",sndbuf=20000")
    sent = 0
    for k in range(6):
        frames, want = row(Flow(UDP), [1000 + k] * 100, sent)
        s.burst(frames)
        s.wire.expect(want, f"burst {k}")
        sent += len(frames)
    s.becomes(tx_packets=sent, tx_dropped=0, tx_again=0, tx_gathered=sent - 6 * 2)


@case("virtio-net/gather/a-tap-that-refuses", needs=TUN)
def refuses(t):
    """An interface that is down: each datagram of the frame is counted as lost."""
    s = Sender(t)
    frames, _ = row(Flow(UDP), [18] * 30)
    s.burst(frames)
    s.becomes(tx_packets=0, tx_dropped=30, tx_gathered=0)
    s.wire = Wire("w0")
    set_up("t0")
    make_bridge("b0", "t0", "w0")
    frames, want = row(Flow(UDP), [18] * 30)
    s.burst(frames)
    s.wire.expect(want, "after it is up")
    s.becomes(tx_packets=30, tx_dropped=30, tx_gathered=29)


@case("virtio-net/gather/a-new-netdev", needs=TUN)
def new_netdev(t):
    s = bridged(t)
    for i in range(1, 4):
        frames, want = row(Flow(UDP), [18] * 10)
        s.burst(frames)
        s.wire.expect(want, f"by netdev {i}")
        s.becomes(tx_packets=10 * i, tx_gathered=9 * i)
        s.qmp.cmd("netdev_del", id="n0")
        s.qmp.cmd("netdev_add", type="tap", id="n0", ifname="t0", script="no", downscript="no")
        s.wire.close()
        s.wire = Wire(f"w{i}")
        set_up("t0")
        make_bridge(f"b{i}", "t0", f"w{i}")


@case("virtio-net/gather/warnings", needs=TUN)
def warnings(t):
    s = Sender(t)
    check("tx-gather" not in s.vm.log(), f"a warning without a reason: {s.vm.log()}")
    no_uso = "tx-gather=on has no effect: netdev 'n0' takes no USO frames"
    s = Sender(t, tap="t1", tap_opts=",vnet_hdr=off")
    check(no_uso in s.vm.log(), f"a tap without header, no warning: {s.vm.log()}")
    refuse_tap_offloads(TUN_F_USO)
    s = bridged(t, tap="t2")
    check(no_uso in s.vm.log(), f"a kernel without USO, no warning: {s.vm.log()}")
    frames, want = row(Flow(UDP), [18] * 10)
    s.burst(frames)
    s.wire.expect(want, "a tap without USO")
    s.becomes(tx_packets=10, tx_gathered=0)


# ---- whatever the driver sends ----

def plain_ident(frame):
    """The frame without an identification that has no meaning."""
    at = 18 if frame[12:14] == b"\x81\0" else 14
    if frame[at - 2:at] == b"\x08\0" and len(frame) >= at + 20 and frame[at] == 0x45 and frame[at + 6] & 0x40 and \
            checksum(frame[at:at + 20]) == 0:
        frame = frame[:at + 4] + b"\0\0" + frame[at + 6:at + 10] + b"\0\0" + frame[at + 12:]
    return frame


def spoiled(rng, hdr, frame, flow):
    """The same, or with one thing that is not as it should be."""
    frame, hdr = bytearray(frame), bytearray(hdr)
    kind = rng.randrange(30)
    if kind == 0:
        frame[rng.randrange(12, flow.l4 + 8)] ^= 1 << rng.randrange(8)
    elif kind == 1:
        del frame[rng.randrange(flow.l4 + 8, len(frame)):]
    elif kind == 2:
        frame += bytes(rng.randrange(1, 20))
    elif kind == 3:
        hdr[rng.randrange(6, 10)] ^= 1 << rng.randrange(8)
    elif kind == 4:
        hdr[0] ^= 1
    return bytes(hdr), bytes(frame)


@case("virtio-net/gather/as-without-it", needs=TUN)
def as_without(t):
    """Bursts at random, hostile headers among them: what leaves is what leaves a NIC that gathers nothing."""
    rng = random.Random(11)
    both = (bridged(t), bridged(t, "t1", "w1", "b1", gather=False))
    packets = 0
    for k in range(120):
        flows = [Flow(UDP, v6, dport=5000 + i, vlan=vlan) for i in range(2) for v6 in (False, True)
                 for vlan in (None, 9)]
        flow, size, burst = flows[0], 18, []
        fragment, ident = 0x4000, rng.randrange(1 << 16)
        for i in range(rng.randrange(1, 64)):
            if rng.random() < 0.1:
                flow = rng.choice(flows)
            if rng.random() < 0.1:
                size, fragment = rng.choice((1, 18, 18, 200, 1400)), rng.choice((0, 0x4000))
            ident += rng.random() < 0.95
            n = size if rng.random() < 0.95 else rng.randrange(0, 1400)
            frame = datagram(flow, payload(n, i), ident, fragment)
            burst.append(spoiled(rng, flow.hdr(), frame, flow))
        packets += len(burst)
        for s in both:
            s.burst(burst)
        got = []
        for s in both:
            frames = []
            while (f := s.wire.recv(0)) is not None:
                frames.append(plain_ident(f))
            got.append(frames)
        eq(got[0], got[1], f"what came of burst {k}")
    with_it, without = (s.stats() for s in both)
    for name in ("tx-packets", "tx-bytes", "tx-bad-header", "tx-dropped", "tx-again"):
        eq(with_it[name], without[name], name)
    check(with_it["tx-gathered"] > packets // 3, f"{with_it['tx-gathered']} of {packets} gathered")
    eq(without["tx-gathered"], 0, "gathered without it")
    check(all(s.nic.healthy() for s in both), "NEEDS_RESET")
