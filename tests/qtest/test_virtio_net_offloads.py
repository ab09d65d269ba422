# SPDX-License-Identifier: GPL-2.0-or-later
"""Offloads of virtio-net by content. On transmit, what the kernel makes of a
frame is read from a second tap behind a bridge, without header or offloads,
and compared byte for byte with what the frame should become. On receive,
sockets of the host, and frames merged by GRO, send through the tap; header,
checksums and payload of what arrives are computed again."""

import itertools
import random
import socket
import struct
from pathlib import Path

from netlib import (GSO_ECN, GSO_NONE, GSO_TCPV4, GSO_TCPV6, GSO_UDP, GSO_UDP_L4, HOST_MAC, NEEDS_CSUM, Host, Wire,
                    add_address, add_neighbour, mac_of, make_bridge, net_hdr, raw_frame, refuse_tap_offloads, set_up)
from offloadlib import (ACK, CWR, DATA_VALID, ECE, FIN, GUEST4, GUEST6, HOST4, HOST6, PSH, TCP, UDP, Flow, Received,
                        connect, payload)
from qtestlib import SCALE, case, check, eq
from virtiolib import (BASIC, CTRL, CTRL_OFFLOADS, ERR, F_CSUM, F_CTRL_GUEST_OFFLOADS, F_GSO, F_GUEST_CSUM,
                       F_GUEST_ECN, F_GUEST_HDRLEN, F_GUEST_TSO4, F_GUEST_TSO6, F_GUEST_UFO, F_GUEST_USO4,
                       F_GUEST_USO6, F_HOST_ECN, F_HOST_TSO4, F_HOST_TSO6, F_HOST_UFO, F_HOST_USO, F_INDIRECT,
                       F_MRG_RXBUF, MAC, OK, Legacy, Modern, Nic, bits, find_virtio, tap_args)

TUN = ("root", "tun")
TUN_F_UFO, TUN_F_USO = 0x10, 0x60
UDP_SEGMENT = 103
TX = bits(F_CSUM, F_HOST_TSO4, F_HOST_TSO6, F_HOST_ECN, F_HOST_UFO, F_HOST_USO)
RX = bits(F_GUEST_CSUM, F_GUEST_TSO4, F_GUEST_TSO6, F_GUEST_ECN, F_GUEST_UFO, F_GUEST_USO4, F_GUEST_USO6)
USO = bits(F_GUEST_USO4, F_GUEST_USO6, F_HOST_USO)
UFO = bits(F_GUEST_UFO, F_HOST_UFO)
LOW = 0xffffffff
NO_ECN = (GSO_TCPV4, GSO_TCPV6, GSO_UDP_L4)
EVERY_TYPE = (*NO_ECN, GSO_ECN)

# How the driver talks to the device: the transport and the features that shape the header.
SHAPES = {
    "modern": (Modern, BASIC),
    "modern-without-merging": (Modern, BASIC & ~bits(F_MRG_RXBUF)),
    "legacy-10-byte-header": (Legacy, BASIC & ~bits(F_MRG_RXBUF) & LOW),
    "legacy-12-byte-header": (Legacy, BASIC & LOW),
}


def start(t, features, shape="modern", nic_opts="", tap_opts="", **kw):
    """A NIC started with those of FEATURES that are offered."""
    transport, basic = SHAPES[shape]
    nic = Nic(transport(find_virtio(t.vm(*tap_args(nic_opts=nic_opts, tap_opts=tap_opts)))[0]))
    kw.setdefault("posted", 64)
    if not basic & bits(F_MRG_RXBUF):
        kw = {"posted": 24, "rx_size": 65600} | kw
    nic.start(basic | features & nic.t.offered() | features & bits(F_INDIRECT), **kw)
    eq(nic.hdr_len, 10 if shape == "legacy-10-byte-header" else 12, "header length")
    return nic


def wired(t, features, shape="modern", napi=False, mtu=None, **kw):
    """A NIC whose tap is bridged with a Wire."""
    nic = start(t, features, shape, **kw)
    wire = Wire("w0", mtu, napi)
    set_up("t0", mtu)
    make_bridge("b0", "t0", "w0")
    return nic, wire


def routed(t, features, shape="modern", v6=False, mtu=None, **kw):
    """A NIC whose guest the host's sockets reach; the tap's MAC address beside it."""
    nic = start(t, features, shape, **kw)
    if v6:
        Path("/proc/sys/net/ipv6/conf/t0/disable_ipv6").write_text("0")
    set_up("t0", mtu)
    add_address("t0", HOST6 if v6 else HOST4, 64 if v6 else 24)
    add_neighbour("t0", GUEST6 if v6 else GUEST4, MAC)
    return nic, mac_of("t0")


def end(t):
    """Ends the last machine; its tap goes with it."""
    t.vms[-1].close()
    t.vms[-1].ended = True


def each_shape(name, *shapes):
    """Registers a case for each of SHAPES (all); it gets the shape's name."""
    def mark(func):
        for shape in shapes or SHAPES:
            def one(t, shape=shape):
                func(t, shape)
            case(f"virtio-net/offload/{name}/{shape}", needs=TUN)(one)
        return func
    return mark


# ---- the guest sends ----

def sends(nic, wire, frame, hdr, want, what, pieces=3):
    nic.send(0, frame, hdr, pieces=pieces)
    wire.expect(want, what)


def with_sum(flow, size):
    """A payload of SIZE bytes with which the sum of the flow's packet is 0."""
    data = bytes(2) + payload(size)[2:]
    now = struct.unpack_from(">H", flow.transport(data, False), flow.sum_at)[0]
    return struct.pack(">H", now) + data[2:]


@each_shape("tx-checksums-completed")
def tx_csum(t, shape):
    nic, wire = wired(t, TX, shape)
    for protocol in (TCP, UDP):
        for v6 in (False, True):
            for vlan in (None, 77):
                flow = Flow(protocol, v6, vlan=vlan)
                for n in (0, 1, 2, 17, 1000, 1399):
                    what = f"protocol {protocol}, IPv{6 if v6 else 4}, VLAN {vlan}, {n} bytes"
                    data = payload(n)
                    whole = flow.frame(data)
                    sends(nic, wire, flow.frame(data, partial=True), flow.hdr(), [whole], what)
                    sends(nic, wire, whole, net_hdr(), [whole], f"{what}, whole")
    flow = Flow(UDP)
    data = with_sum(flow, 600)
    eq(flow.frame(data)[flow.l4 + 6:flow.l4 + 8], b"\xff\xff", "the checksum that this case wants")
    sends(nic, wire, flow.frame(data, partial=True), flow.hdr(), [flow.frame(data)], "UDP checksum 0 is 0xffff")
    wrong = bytearray(flow.frame(payload(600)))
    wrong[flow.l4 + 6] ^= 1
    sends(nic, wire, bytes(wrong), net_hdr(), [bytes(wrong)], "a whole checksum that is wrong")


# payload, size of a segment
CUTS = ((1401, 1400), (2800, 1400), (2801, 1400), (1000, 100), (333, 1), (30000, 1400), (65000, 1400), (9999, 535))


def cut_all(nic, wire, flow, cuts=CUTS, **tcp):
    for n, size in cuts:
        data = payload(n, n & 0xff)
        sends(nic, wire, flow.frame(data, partial=True, **tcp), flow.hdr(size), flow.segments(data, size, **tcp),
              f"IPv{6 if flow.v6 else 4}, VLAN {flow.vlan}, {n} bytes by {size}", pieces=1 + n % 17)


@each_shape("tx-tso")
def tx_tso(t, shape):
    nic, wire = wired(t, TX, shape)
    for v6 in (False, True):
        cut_all(nic, wire, Flow(TCP, v6), flags=ACK | PSH)
        cut_all(nic, wire, Flow(TCP, v6, vlan=5), CUTS[2:4], flags=ACK | FIN)
        cut_all(nic, wire, Flow(TCP, v6), ((7000, 1400),), seq=0xfffff000, ack=7, options=b"\1\1\x08\x0a" + bytes(8))
    short = payload(900)
    flow = Flow(TCP)
    sends(nic, wire, flow.frame(short, partial=True), flow.hdr(1400), [flow.frame(short)], "less than a segment")


@each_shape("tx-tso-with-ecn")
def tx_ecn(t, shape):
    nic, wire = wired(t, TX, shape)
    for v6 in (False, True):
        flow = Flow(TCP, v6)
        data = payload(5000)
        tcp = dict(flags=ACK | PSH | CWR, tos=2)
        segments = flow.segments(data, 1400, **tcp)
        eq([bool(f[flow.l4 + 13] & CWR) for f in segments], [True, False, False, False], "segments that have CWR")
        sends(nic, wire, flow.frame(data, partial=True, **tcp), flow.hdr(1400, gso=flow.gso() | GSO_ECN), segments,
              "a frame with CWR")


@each_shape("tx-uso", "modern", "modern-without-merging")
def tx_uso(t, shape):
    nic, wire = wired(t, TX, shape)
    for v6 in (False, True):
        cut_all(nic, wire, Flow(UDP, v6), ((1473, 1472), (3000, 1000), (64000, 1452), (777, 100), (100, 1)))
        cut_all(nic, wire, Flow(UDP, v6, vlan=9), ((5000, 1200),))


@each_shape("tx-ufo")
def tx_ufo(t, shape):
    nic, wire = wired(t, TX, shape)
    flow = Flow(UDP)
    for n, size in ((3000, 1480), (1473, 1480), (2960 - 8, 1480), (65000, 1480), (5000, 512)):
        data = payload(n)
        frame = flow.ip(flow.transport(data, True), fragment=0)
        sends(nic, wire, frame, flow.hdr(size, gso=GSO_UDP), flow.fragments(data, size), f"{n} bytes by {size}")


@case("virtio-net/offload/tx-gso-of-old-drivers", needs=TUN)
def tx_old_gso(t):
    nic, wire = wired(t, bits(F_CSUM, F_GSO), "legacy-10-byte-header")
    eq(nic.features & bits(F_CSUM, F_GSO), bits(F_CSUM, F_GSO), "CSUM and GSO")
    cut_all(nic, wire, Flow(TCP), CUTS[:3])
    cut_all(nic, wire, Flow(TCP, True), CUTS[:3])
    flow, data = Flow(UDP), payload(4000)
    frame = flow.ip(flow.transport(data, True), fragment=0)
    sends(nic, wire, frame, flow.hdr(1480, gso=GSO_UDP), flow.fragments(data, 1480), "UFO")


@case("virtio-net/offload/tx-uso-to-a-socket", needs=TUN)
def tx_uso_socket(t):
    for v6 in (False, True):
        nic, host_mac = routed(t, TX, v6=v6)
        family = socket.AF_INET6 if v6 else socket.AF_INET
        with socket.socket(family, socket.SOCK_DGRAM) as s:
            s.bind((socket.inet_ntop(family, HOST6 if v6 else HOST4), 5000))
            s.settimeout(3 * SCALE)
            flow = Flow(UDP, v6, host_mac=host_mac)
            for n, size in ((4000, 1000), (30000, 1452), (10, 3)):
                data = payload(n)
                nic.send(0, flow.frame(data, partial=True), flow.hdr(size))
                for at in range(0, n, size):
                    eq(s.recv(1 << 16), data[at:at + size], f"datagram at {at} of {n}")
        end(t)


# ---- hostile headers ----

def refused_headers():
    """(what, features, header, frame) that must not reach the host."""
    tcp, tcp6, udp = Flow(TCP), Flow(TCP, True), Flow(UDP)
    big = tcp.frame(payload(3000), partial=True)
    n = len(big)
    return (
        ("checksum from the end", TX, net_hdr(NEEDS_CSUM, 0, 0, 0, n, 0), big),
        ("checksum past the end by one", TX, net_hdr(NEEDS_CSUM, 0, 0, 0, n - 17, 16), big),
        ("checksum far past", TX, net_hdr(NEEDS_CSUM, 0, 0, 0, 65535, 65535), big),
        ("checksum that wraps", TX, net_hdr(NEEDS_CSUM, 0, 0, 0, 65534, 0), big),
        ("segments of no size", TX, net_hdr(NEEDS_CSUM, GSO_TCPV4, 54, 0, 34, 16), big),
        ("datagrams of no size", TX, net_hdr(NEEDS_CSUM, GSO_UDP_L4, 42, 0, 34, 6), udp.frame(payload(3000), True)),
        ("TSO without a partial checksum", TX, net_hdr(0, GSO_TCPV4, 54, 1400, 34, 16), big),
        ("USO without a partial checksum", TX, net_hdr(0, GSO_UDP_L4, 42, 1400, 34, 6), udp.frame(payload(3000), True)),
        ("ECN alone", TX, net_hdr(0, GSO_ECN, 0, 0), big),
        ("ECN not negotiated", TX & ~bits(F_HOST_ECN), tcp.hdr(1400, gso=GSO_TCPV4 | GSO_ECN), big),
        ("TSO4 not negotiated", TX & ~bits(F_HOST_TSO4), tcp.hdr(1400), big),
        ("TSO6 not negotiated", TX & ~bits(F_HOST_TSO6), tcp6.hdr(1400), tcp6.frame(payload(3000), True)),
        ("UFO not negotiated", TX & ~bits(F_HOST_UFO), udp.hdr(1480, gso=GSO_UDP), udp.frame(payload(3000), True)),
        ("USO not negotiated", TX & ~bits(F_HOST_USO), udp.hdr(1400), udp.frame(payload(3000), True)),
        ("CSUM not negotiated", 0, tcp.hdr(), tcp.frame(b"x", True)),
        ("type 2", TX, tcp.hdr(1400, gso=2), big),
        ("type 6", TX, tcp.hdr(1400, gso=6), big),
        ("type 0x7f", TX, tcp.hdr(1400, gso=0x7f), big),
    )


@each_shape("tx-hostile-headers-are-dropped", "modern", "legacy-10-byte-header")
def tx_refused(t, shape):
    nic, wire = wired(t, TX, shape)
    legacy = SHAPES[shape][0] is Legacy
    whole = Flow(TCP).frame(b"after")
    for what, features, hdr, frame in refused_headers():
        nic.start(SHAPES[shape][1] | features & nic.t.offered() & (LOW if legacy else ~0), posted=8)
        sends(nic, wire, frame, hdr, [], what)
        sends(nic, wire, whole, net_hdr(), [whole], f"after: {what}")
        nic.vm.heap = nic.tx_buf + (1 << 17)
    check(nic.healthy(), "NEEDS_RESET")


@each_shape("tx-odd-headers-do-not-alter-the-frame", "modern", "legacy-10-byte-header")
def tx_odd(t, shape):
    nic, wire = wired(t, TX, shape)
    flow, data = Flow(TCP), payload(3000)
    small = flow.frame(data[:700])
    partial = flow.frame(data[:700], partial=True)
    whole = flow.frame(data, partial=True)
    for hdr_len in (0, 1, 13, 14, 33, 34, 53, 54, 55, len(small) - 1, len(small), len(small) + 1, 3054, 3055, 65535):
        what = f"hdr_len {hdr_len}"
        sends(nic, wire, small, net_hdr(0, 0, hdr_len), [small], what)
        sends(nic, wire, partial, flow.hdr(hdr_len=hdr_len), [small], f"{what}, partial checksum")
        sends(nic, wire, whole, flow.hdr(1400, hdr_len=hdr_len), flow.segments(data, 1400), f"{what}, TSO")
    for flags in (DATA_VALID, 4, 0x80, 0xfe):
        sends(nic, wire, small, net_hdr(flags), [small], f"flags {flags:#x}")
        sends(nic, wire, partial, flow.hdr(flags=flags | NEEDS_CSUM), [small], f"flags {flags:#x}, partial checksum")
    sends(nic, wire, small, net_hdr(0, 0, 0, 65535, 65535, 65535), [small], "fields without a meaning")


@case("virtio-net/offload/tx-contradictory-headers-harm-nobody", needs=TUN)
def tx_contradictions(t):
    nic, wire = wired(t, TX)
    frames = [Flow(p, v6).frame(payload(3000), True) for p in (TCP, UDP) for v6 in (False, True)]
    frames += [raw_frame(HOST_MAC, MAC, size=3000), raw_frame(HOST_MAC, MAC, size=60), frames[0][:54]]
    types = (GSO_NONE, GSO_TCPV4, GSO_TCPV6, GSO_UDP, GSO_UDP_L4, GSO_TCPV4 | GSO_ECN)
    rng = random.Random(5)
    for frame, gso, size in itertools.product(frames, types, (1, 1400, 65535)):
        for at, offset in ((34, 16), (34, 6), (54, 16), (0, 0), (14, 10), (33, 16), (len(frame) - 2, 0)):
            if at + offset + 2 > len(frame) or rng.random() < 0.5:
                continue
            hdr_len = rng.choice((0, 54, 3000, 65535))
            nic.send(0, frame, net_hdr(NEEDS_CSUM, gso, hdr_len, size if gso else 0, at, offset))
            while wire.recv(0) is not None:
                pass
    while wire.recv(0.05) is not None:
        pass
    after = Flow(TCP).frame(b"after")
    sends(nic, wire, after, net_hdr(), [after], "a good frame after all")
    check(nic.healthy(), "NEEDS_RESET")


# ---- the host sends ----

def udp_bursts(nic, v6, allowed, csum, whole):
    """Datagrams of a host's socket, cut by UDP_SEGMENT; WHOLE: they arrive as one frame."""
    family = socket.AF_INET6 if v6 else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as s:
        s.bind((socket.inet_ntop(family, HOST6 if v6 else HOST4), 5000))
        s.connect((socket.inet_ntop(family, GUEST6 if v6 else GUEST4), 4000))
        for n, size in ((1452, 1452), (2904, 1452), (3000, 1000), (50000, 1400), (777, 100)):
            s.setsockopt(socket.IPPROTO_UDP, UDP_SEGMENT, size)
            data = payload(n, size & 0xff)
            eq(s.send(data), n, "sent bytes")
            parts = []
            while sum(map(len, parts)) < n:
                hdr, frame = nic.recv(0, what=f"{n} bytes by {size}")
                if frame[20 if v6 else 23] != UDP:
                    continue  # the host's IPv6 speaks, too
                r = Received(hdr, frame, allowed, csum)
                eq((r.sport, r.dport), (5000, 4000), "ports")
                parts.append(r.payload)
            eq(b"".join(parts), data, f"{n} bytes by {size}")
            eq(len(parts), 1 if whole else -(-n // size), f"frames of {n} bytes by {size}")


@each_shape("rx-uso", "modern", "modern-without-merging")
def rx_uso(t, shape):
    for v6 in (False, True):
        nic, _ = routed(t, RX, shape, v6=v6)
        udp_bursts(nic, v6, (GSO_UDP_L4,), True, True)
        end(t)


@each_shape("rx-datagrams-without-uso")
def rx_no_uso(t, shape):
    nic, _ = routed(t, RX & ~USO, shape)
    udp_bursts(nic, False, (), True, False)


@each_shape("rx-datagrams-without-any-offload")
def rx_nothing(t, shape):
    nic, _ = routed(t, 0, shape)
    udp_bursts(nic, False, (), False, False)


@case("virtio-net/offload/rx-uso-needs-both-families", needs=TUN)
def rx_one_uso(t):
    """The kernel knows USO for both families together: with one negotiated there is none."""
    nic, _ = routed(t, RX & ~bits(F_GUEST_USO6))
    udp_bursts(nic, False, (), True, False)


@case("virtio-net/offload/rx-partial-checksum-when-negotiated", needs=TUN)
def rx_partial(t):
    nic, _ = routed(t, RX)
    for features, partial in ((RX, NEEDS_CSUM), (bits(F_GUEST_CSUM), NEEDS_CSUM), (0, 0)):
        nic.start(BASIC | features)
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
            for n in (0, 1, 1000, 1472):
                s.sendto(payload(n), (socket.inet_ntoa(GUEST4), 4000))
                r = Received(*nic.recv(0), csum=bool(partial))
                eq((r.flags, r.payload), (partial, payload(n)), f"flags and payload of {n} bytes")


@case("virtio-net/offload/rx-fragments-with-and-without-ufo", needs=TUN)
def rx_ufo(t):
    """A tap never hands out UFO frames; the kernel cuts them."""
    flow, data = Flow(UDP, from_guest=False), payload(9000)
    nic = start(t, RX)
    host = Host("t0", vnet_hdr=True)
    for features in (RX, RX & ~UFO, 0):
        nic.start(BASIC | features)
        frame = flow.ip(flow.transport(data, True), fragment=0)
        host.send(frame, flow.hdr(1480, gso=GSO_UDP))
        for i, want in enumerate(flow.fragments(data, 1480)):
            hdr, got = nic.recv(0, what=f"fragment {i}")
            check(hdr[0] == 0 or features and hdr[0] == DATA_VALID, f"flags {hdr[0]:#x}, features {features:#x}")
            eq((hdr[1], got), (GSO_NONE, want), f"GSO type and bytes of fragment {i}")


@each_shape("rx-gro-frames-and-data-valid")
def rx_gro(t, shape):
    """What comes by a wire has whole checksums: GRO has checked them, and merges segments."""
    nic, wire = wired(t, RX, shape, napi=True)
    rx_size, posted = (2048, 64) if nic.features & bits(F_MRG_RXBUF) else (65600, 24)
    for features in (RX, RX & ~bits(F_GUEST_TSO4, F_GUEST_TSO6, F_GUEST_ECN), 0):
        nic.start(SHAPES[shape][1] | features & (LOW if "legacy" in shape else ~0), posted=posted, rx_size=rx_size)
        csum, tso = bool(features & bits(F_GUEST_CSUM)), bool(features & bits(F_GUEST_TSO4))
        for v6 in (False, True):
            flow = Flow(TCP, v6, from_guest=False)
            seen = set()
            for n in (100, 1400, 4200, 14000):
                data = payload(n)
                for frame in flow.segments(data, 1400, flags=ACK | PSH):
                    wire.send(frame)
                got = b""
                while len(got) < n:
                    hdr, frame = nic.recv(0, what=f"{n} bytes of IPv{6 if v6 else 4}")
                    r = Received(hdr, frame, EVERY_TYPE if tso else (), csum)
                    got += r.payload
                    seen.add(r.flags)
                eq(got, data, f"{n} bytes of IPv{6 if v6 else 4}")
            check(seen == {0} or csum, f"flags {seen} although the driver takes no checksums")
            check(DATA_VALID in seen or not csum, f"flags {seen}, never DATA_VALID")


@case("virtio-net/offload/rx-ecn-follows-its-feature", needs=TUN)
def rx_ecn(t):
    nic = start(t, RX)
    host = Host("t0", vnet_hdr=True)
    for features in (RX, RX & ~bits(F_GUEST_ECN)):
        nic.start(BASIC | features, posted=64)
        for v6 in (False, True):
            flow = Flow(TCP, v6, from_guest=False)
            data, tcp = payload(4200), dict(flags=ACK | CWR, tos=2)
            host.send(flow.frame(data, partial=True, **tcp), flow.hdr(1400, gso=flow.gso() | GSO_ECN))
            if features & bits(F_GUEST_ECN):
                r = Received(*nic.recv(0), EVERY_TYPE, True)
                eq((r.ecn, r.payload, r.tcp_flags), (True, data, ACK | CWR), "a frame with ECN")
                continue
            for want in flow.segments(data, 1400, **tcp):
                hdr, got = nic.recv(0)
                r = Received(hdr, got, (), True)
                eq((r.payload, r.tcp_flags), (want[flow.headers():], want[flow.l4 + 13]), "a segment of it")


@case("virtio-net/offload/rx-frames-of-an-earlier-driver", needs=TUN)
def rx_stale(t):
    """The tap keeps frames while nobody reads. Those with offloads are not for a driver that has none."""
    nic = start(t, RX)
    host = Host("t0", vnet_hdr=True)
    tcp, udp = Flow(TCP, from_guest=False), Flow(UDP, from_guest=False)
    for features in (0, bits(F_GUEST_CSUM), bits(F_GUEST_CSUM, F_GUEST_TSO6), RX & ~bits(F_GUEST_TSO4)):
        nic.start(BASIC | RX & nic.t.offered(), posted=8)
        nic.t.reset()
        data = payload(4000)
        host.send(tcp.frame(data, partial=True), tcp.hdr(1400))
        host.send(udp.frame(data[:900], partial=True), udp.hdr())
        host.send(udp.frame(data[:800]))
        nic.start(BASIC | features & nic.t.offered(), posted=32)
        csum = bool(features & bits(F_GUEST_CSUM))
        for n in (900, 800) if csum else (800,):
            r = Received(*nic.recv(0, what=f"{n} bytes"), (), csum)
            eq(r.payload, data[:n], f"features {features:#x}: what the new driver is given")
        host.send(udp.frame(data[:700]))
        eq(Received(*nic.recv(0), (), csum).payload, data[:700], "a frame after them")
        nic.vm.heap = nic.tx_buf + (1 << 17)


# ---- both at once: TCP connections of the host's sockets ----

def bulk(nic, host_mac, to_guest=1 << 20, from_guest=300000, v6=False, **kw):
    """A connection with bulk data in both directions; the guest's end of it."""
    sock, peer = connect(nic, host_mac, v6, **kw)
    data = random.Random(to_guest).randbytes(to_guest)
    view, sent = memoryview(data), 0

    def pump():
        nonlocal sent
        try:
            sent += sock.send(view[sent:sent + (1 << 18)]) if sent < to_guest else 0
        except BlockingIOError:
            pass
        return len(peer.data) >= to_guest
    peer.until(pump, "bulk data")
    check(bytes(peer.data) == data, "bulk data to the guest is altered")
    data = random.Random(from_guest).randbytes(from_guest)
    check(peer.send_all(sock, data) == data, "bulk data to the host is altered")
    sock.close()
    return peer


@each_shape("tcp-both-ways")
def tcp_full(t, shape):
    nic, host_mac = routed(t, TX | RX, shape)
    peer = bulk(nic, host_mac, allowed=EVERY_TYPE, csum=True)
    check(peer.gso_frames > 5, f"{peer.gso_frames} large frames of {peer.frames}")


@each_shape("tcp-both-ways-over-ipv6", "modern", "legacy-10-byte-header")
def tcp_v6(t, shape):
    nic, host_mac = routed(t, TX | RX, shape, v6=True)
    peer = bulk(nic, host_mac, v6=True, mss=1428, allowed=EVERY_TYPE, csum=True)
    check(peer.gso_frames > 5, f"{peer.gso_frames} large frames of {peer.frames}")


@each_shape("tcp-without-offloads")
def tcp_bare(t, shape):
    nic, host_mac = routed(t, 0, shape)
    bulk(nic, host_mac, 300000, 60000, tx_gso=False, tx_csum=False)


@each_shape("tcp-on-a-tap-without-header")
def tcp_no_hdr(t, shape):
    nic, host_mac = routed(t, TX | RX | bits(F_GSO, F_GUEST_HDRLEN), shape, tap_opts=",vnet_hdr=off")
    eq(nic.t.offered() & (TX | RX | bits(F_GSO, F_GUEST_HDRLEN, F_CTRL_GUEST_OFFLOADS)), 0, "offloads offered")
    peer = bulk(nic, host_mac, 300000, 60000, tx_gso=False, tx_csum=False)
    eq(peer.gso_frames, 0, "large frames")


@case("virtio-net/offload/tcp-congestion-tells-ecn", needs=TUN)
def tcp_ecn(t):
    """The host's answer to ECE is a large frame with CWR, which needs GUEST_ECN."""
    nic, host_mac = routed(t, TX | RX)
    Path("/proc/sys/net/ipv4/tcp_ecn").write_text("1")
    for features in (RX, RX & ~bits(F_GUEST_ECN)):
        nic.start(BASIC | TX | features, posted=64)
        sock, peer = connect(nic, host_mac, allowed=EVERY_TYPE if features == RX else NO_ECN, csum=True)
        peer.extra_flags = ECE
        data = payload(200000)
        sock.setblocking(False)
        sent = 0

        def pump():
            nonlocal sent
            try:
                sent += sock.send(data[sent:]) if sent < len(data) else 0
            except BlockingIOError:
                pass
            peer.extra_flags = 0 if peer.cwr_frames else ECE
            return len(peer.data) >= len(data)
        peer.until(pump, "bulk data")
        check(bytes(peer.data) == data, "bulk data is altered")
        check(peer.cwr_frames > 0, "no frame with CWR came")
        eq(peer.ecn_frames > 0, features == RX, "large frames with CWR")
        sock.close()


@case("virtio-net/offload/5.1.6.5.8/switched-while-data-flows", needs=TUN)
def live(t):
    nic, host_mac = routed(t, TX | RX | CTRL | bits(F_CTRL_GUEST_OFFLOADS, F_GUEST_HDRLEN))
    have = nic.features & RX
    rng = random.Random(9)
    sock, peer = connect(nic, host_mac, allowed=EVERY_TYPE, csum=True)
    data = rng.randbytes(3 << 20)
    sent = switches = seen = 0

    def pump():
        nonlocal sent, switches, seen
        try:
            sent += sock.send(data[sent:sent + (1 << 17)]) if sent < len(data) else 0
        except BlockingIOError:
            pass
        if peer.frames - seen >= 20:
            seen = peer.frames
            switches += 1
            offloads = have & ~rng.choice((have, bits(F_GUEST_TSO4), bits(F_GUEST_CSUM))) if switches % 2 else have
            eq(nic.command(CTRL_OFFLOADS, 0, struct.pack("<Q", offloads)), OK, f"offloads {offloads:#x}")
        return len(peer.data) >= len(data)
    peer.until(pump, "bulk data")
    check(bytes(peer.data) == data, "bulk data is altered")
    check(switches >= 6 and 0 < peer.gso_frames < peer.frames,
          f"{switches} switches, {peer.gso_frames} large frames of {peer.frames}")
    eq(nic.command(CTRL_OFFLOADS, 0, bytes(8)), OK, "all off")
    while peer.poll() is not None:
        pass
    peer.allowed, peer.csum = (), False  # from now on nothing is left that was on its way
    more = rng.randbytes(200000)
    before, sent = len(peer.data), 0

    def pump_more():
        nonlocal sent
        try:
            sent += sock.send(more[sent:]) if sent < len(more) else 0
        except BlockingIOError:
            pass
        return len(peer.data) - before >= len(more)
    peer.until(pump_more, "data with all offloads off")
    check(bytes(peer.data[before:]) == more, "data with all offloads off is altered")


@case("virtio-net/offload/5.1.6.5.8/hdrlen-is-taken-for-a-guest-offload-by-linux", needs=TUN)
def hdrlen_command(t):
    nic = start(t, RX | CTRL | bits(F_CTRL_GUEST_OFFLOADS, F_GUEST_HDRLEN))
    for offloads in (bits(F_GUEST_CSUM, F_GUEST_HDRLEN), bits(F_GUEST_HDRLEN), bits(F_GUEST_CSUM)):
        eq(nic.command(CTRL_OFFLOADS, 0, struct.pack("<Q", offloads)), OK, f"offloads {offloads:#x}")
    nic.start(BASIC | CTRL | RX & nic.t.offered() | bits(F_CTRL_GUEST_OFFLOADS))
    eq(nic.command(CTRL_OFFLOADS, 0, struct.pack("<Q", bits(F_GUEST_HDRLEN))), ERR, "not negotiated")


# ---- buffers ----

@case("virtio-net/offload/5.1.6.4/large-frames-over-many-small-buffers", needs=TUN)
def small_buffers(t):
    nic, host_mac = routed(t, TX | RX, posted=250, rx_size=300)
    peer = bulk(nic, host_mac, 2 << 20, 50000, allowed=EVERY_TYPE, csum=True)
    check(peer.gso_frames > 5, f"{peer.gso_frames} large frames of {peer.frames}")


@case("virtio-net/offload/5.1.6.4/64-kib-frames-fill-the-ring", needs=TUN)
def full_ring(t):
    """Each frame takes all of the ring, one buffer short of it, or most of it."""
    nic = start(t, RX, posted=256, rx_size=257)
    host = Host("t0", vnet_hdr=True)
    flow = Flow(TCP, from_guest=False)
    for n in (65792 - 12 - 54 - 400, 40000, 100, 65000, 65000, 3000):
        frame = flow.frame(payload(n), partial=True)
        host.send(frame, flow.hdr(1400 if n > 1400 else 0))
        hdr, got = nic.recv(0, what=f"{n} bytes")
        check(got == frame, f"a frame with {n} bytes is altered")
        eq(struct.unpack_from("<H", hdr, 10)[0], -(-(len(frame) + 12) // 257), f"num_buffers for {n} bytes")


@case("virtio-net/offload/5.1.6.4/mtu-9000", needs=TUN)
def jumbo(t):
    for opts, posted, size in (("", 200, 128), ("", 64, 2048), (",host_mtu=9000", 64, 1526)):
        nic, host_mac = routed(t, TX, mtu=9000, nic_opts=opts, posted=posted, rx_size=size)
        peer = bulk(nic, host_mac, 500000, 200000, mss=8948, mtu=9000)
        eq(peer.gso_frames, 0, "GSO frames, which were not negotiated")
        end(t)


@case("virtio-net/offload/5.1.6.4/small-and-large-frames-mixed", needs=TUN)
def mixed(t):
    nic = start(t, RX, posted=200, rx_size=1000)
    host = Host("t0", vnet_hdr=True)
    rng = random.Random(3)
    for kind in (TCP, UDP):
        flow = Flow(kind, from_guest=False)
        for _ in range(30):
            want = []
            for _ in range(rng.randrange(1, 6)):
                n = rng.choice((1, 60, 900, 1000, 1400, 5000, 20000))
                frame = flow.frame(payload(n, rng.randrange(256)), partial=True)
                host.send(frame, flow.hdr(1400 if n > 1400 else 0))
                want.append(frame)
            for i, frame in enumerate(want):
                hdr, got = nic.recv(0)
                check(got == frame, f"frame {i} of {len(want)} is altered: {len(got)} bytes, expected {len(frame)}")
                Received(hdr, got, EVERY_TYPE, True)


@case("virtio-net/offload/5.1.6.3.1/headers-in-pieces", needs=TUN)
def split_headers(t):
    """Buffers in pieces that end within the virtio-net header and within the headers of the packet."""
    nic = start(t, RX | bits(F_INDIRECT), posted=0)
    host = Host("t0", vnet_hdr=True)
    flow, ring = Flow(TCP, from_guest=False), nic.rx[0]
    for cut in ((1, 1), (2, 9), (11, 1), (1, 11), (12, 14), (13, 40)):
        base = nic.vm.alloc(8192)
        sizes = (*cut, 8192 - sum(cut))
        places = [(base + sum(sizes[:i]), n) for i, n in enumerate(sizes)]
        ring.push(ring.add(into=places, tag=(base, 8192)))
        frame = flow.frame(payload(5000), partial=True)
        host.send(frame, flow.hdr(1400))
        _, written, _ = ring.wait(f"a frame in pieces of {sizes}")
        eq(written, 12 + len(frame), "written bytes")
        got = bytes(nic.vm.ram[base:base + written])
        Received(got[:12], got[12:], EVERY_TYPE, True)
        check(got[12:] == frame, f"a frame in pieces of {sizes} is altered")


# ---- exact header lengths ----

@each_shape("guest-hdrlen", "modern", "modern-without-merging")
def hdrlen(t, shape):
    nic, wire = wired(t, TX | bits(F_GUEST_HDRLEN), shape)
    check(nic.features & bits(F_GUEST_HDRLEN), "GUEST_HDRLEN is not offered")
    for flow in (Flow(TCP), Flow(TCP, True), Flow(UDP), Flow(UDP, True)):
        data = payload(20000)
        for options in (b"", bytes(40)) if flow.protocol == TCP else (b"",):
            extra = {"options": options} if options else {}
            frame, want = flow.frame(data, partial=True, **extra), flow.segments(data, 1400, **extra)
            exact = flow.headers(options)
            for value in (exact, 0, 1, flow.l4, exact - 1, exact + 1, 20000, 65535):
                sends(nic, wire, frame, flow.hdr(1400, hdr_len=value), want, f"hdr_len {value}, {exact} is right")


# ---- what is offered ----

@case("virtio-net/offload/5.1.3/offered-with-all-the-kernel-has", needs=TUN)
def offered(t):
    nic = start(t, 0)
    eq(nic.t.offered() & (TX | RX | bits(F_GUEST_HDRLEN, F_CTRL_GUEST_OFFLOADS)),
       TX | RX | bits(F_GUEST_HDRLEN, F_CTRL_GUEST_OFFLOADS), "offered offloads")


# Which properties are off, and which features are gone with them.
GONE = {
    "csum=off": TX,
    "guest_csum=off": RX,
    "host_tso4=off": bits(F_HOST_TSO4),
    "host_tso4=off,host_tso6=off": bits(F_HOST_TSO4, F_HOST_TSO6, F_HOST_ECN),
    "guest_tso6=off,guest_tso4=off": bits(F_GUEST_TSO4, F_GUEST_TSO6, F_GUEST_ECN),
    "guest_hdrlen=off": bits(F_GUEST_HDRLEN),
    "host_uso=off,guest_uso4=off,guest_uso6=off": USO,
}


@case("virtio-net/offload/5.1.3.1/nothing-is-offered-without-what-it-needs", needs=TUN)
def closed(t):
    everything = TX | RX | bits(F_GUEST_HDRLEN)
    for opts, gone in GONE.items():
        nic = start(t, TX | RX | bits(F_GUEST_HDRLEN), nic_opts=f",{opts}")
        eq(nic.t.offered() & everything, everything & ~gone, f"offered with {opts}")
        nic.both_ways(Host("t0"))
        end(t)


@case("virtio-net/offload/kernel-without-uso", needs=TUN)
def no_uso(t):
    refuse_tap_offloads(TUN_F_USO)
    nic, host_mac = routed(t, TX | RX | CTRL | bits(F_CTRL_GUEST_OFFLOADS))
    eq(nic.t.offered() & (TX | RX), (TX | RX) & ~USO, "offered offloads")
    peer = bulk(nic, host_mac, allowed=(GSO_TCPV4,), csum=True)
    check(peer.gso_frames > 5, f"{peer.gso_frames} large frames of {peer.frames}")
    udp_bursts(nic, False, (), True, False)
    eq(nic.command(CTRL_OFFLOADS, 0, struct.pack("<Q", bits(F_GUEST_USO4))), ERR, "an offload that was not offered")


@case("virtio-net/offload/kernel-without-uso-and-ufo", needs=TUN)
def no_ufo(t):
    refuse_tap_offloads(TUN_F_USO | TUN_F_UFO)
    nic, host_mac = routed(t, TX | RX)
    eq(nic.t.offered() & (TX | RX), (TX | RX) & ~USO & ~UFO, "offered offloads")
    bulk(nic, host_mac, 300000, 100000, allowed=(GSO_TCPV4,), csum=True)


@case("virtio-net/offload/kernel-without-ufo-and-an-old-driver", needs=TUN)
def no_ufo_legacy(t):
    refuse_tap_offloads(TUN_F_UFO)
    nic, wire = wired(t, bits(F_CSUM, F_GSO), "legacy-10-byte-header")
    flow = Flow(UDP)
    sends(nic, wire, flow.frame(payload(3000), True), flow.hdr(1480, gso=GSO_UDP), [], "UFO by the bit for everything")
    cut_all(nic, wire, Flow(TCP), CUTS[:3])
