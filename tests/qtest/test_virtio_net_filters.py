# SPDX-License-Identifier: GPL-2.0-or-later
"""Receive filters and offloads of virtio-net against a model: every
combination of modes, tables at and over their limit, every subset of offloads."""

import itertools
import random
import struct

from netlib import (BROADCAST, GSO_ECN, GSO_NONE, GSO_TCPV4, GSO_TCPV6, HOST_MAC, NEEDS_CSUM, TCP_AT, TCP_PAYLOAD_AT,
                    checksum, net_hdr, raw_frame, tcp_frame, vlan_frame)
from qtestlib import case, check, eq
from test_virtio_net_ctrl import (ALLMULTI, ALLUNI, GROUP, KINDS, NOBCAST, NOMULTI, NOUNI, OTHER, PROMISC, ctrl_nic,
                                  mode, passes, table)
from virtiolib import (BASIC, CTRL, CTRL_MAC, CTRL_OFFLOADS, CTRL_VLAN, ERR, F_CSUM, F_CTRL_GUEST_OFFLOADS,
                       F_CTRL_VLAN, F_GUEST_CSUM, F_GUEST_ECN, F_GUEST_TSO4, F_GUEST_TSO6, F_GUEST_UFO, F_HOST_ECN,
                       F_HOST_TSO4, F_HOST_TSO6, MAC, OK, Legacy, Nic, bits, find_virtio, tap_args)

TUN = ("root", "tun")
ENTRIES = 64  # addresses of a table before it overflows
IN_TABLE = bytes.fromhex("525400777777"), bytes.fromhex("01005e777777")
FRAMES = KINDS + tuple(raw_frame(d, payload=b"table", size=64) for d in IN_TABLE)
DESTINATIONS = (MAC, OTHER, GROUP, BROADCAST) + IN_TABLE


def expected(modes, destination, uni, multi):
    """VIRTIO 1.2, 5.1.6.5.1: whether a frame passes; UNI and MULTI are the table, None when it overflowed."""
    if PROMISC in modes:
        return True
    if destination == BROADCAST:
        return NOBCAST not in modes
    if destination[0] & 1:
        return NOMULTI not in modes and (ALLMULTI in modes or multi is None or destination in multi)
    return NOUNI not in modes and (ALLUNI in modes or uni is None or destination == MAC or destination in uni)


def all_modes(t, uni, multi, data):
    _, nic, host = ctrl_nic(t)
    heap = nic.vm.heap
    eq(nic.command(CTRL_MAC, 0, data), OK, "MAC_TABLE_SET")
    # Promiscuous first sets the marker through whatever the other modes are.
    for on in itertools.product((0, 1), repeat=5):
        modes = {m for m, x in zip((ALLMULTI, ALLUNI, NOMULTI, NOUNI, NOBCAST), on) if x}
        for m in (ALLMULTI, ALLUNI, NOMULTI, NOUNI, NOBCAST):
            mode(nic, m, m in modes)
        for promisc in (1, 0):
            mode(nic, PROMISC, promisc)
            active = modes | ({PROMISC} if promisc else set())
            want = tuple(expected(active, d, uni, multi) for d in DESTINATIONS)
            if not any(want):
                continue  # nothing could tell the end; other rows have each mode
            marker = next(d for d, w in zip(DESTINATIONS, want) if w)
            eq(passes(nic, host, *FRAMES, marker=marker), want, f"modes {sorted(active)}")
        nic.vm.heap = heap


@case("virtio-net/5.1.6.5.1/every-combination-of-receive-modes", needs=TUN)
def modes_plain(t):
    all_modes(t, [IN_TABLE[0]], [IN_TABLE[1]], table([IN_TABLE[0]], [IN_TABLE[1]]))


@case("virtio-net/5.1.6.5.1/every-combination-with-overflowed-tables", needs=TUN)
def modes_overflow(t):
    unicast = [bytes([2, 0, 0, 0, 1, i]) for i in range(ENTRIES + 1)]
    multicast = [bytes([3, 0, 0, 0, 1, i]) for i in range(ENTRIES + 1)]
    all_modes(t, None, None, table(unicast, multicast))


@case("virtio-net/5.1.6.5.2/mac-table-at-its-limit", needs=TUN)
def table_limit(t):
    _, nic, host = ctrl_nic(t)
    mode(nic, PROMISC, 0)
    uni = [bytes([2, 0, 0, 0, 2, i]) for i in range(ENTRIES)]
    multi = [bytes([3, 0, 0, 0, 2, i]) for i in range(ENTRIES)]
    probes = tuple(raw_frame(d, payload=b"probe", size=64) for d in (uni[0], uni[-1], multi[0], multi[-1], OTHER, GROUP))
    eq(nic.command(CTRL_MAC, 0, table(uni, multi)), OK, "full tables")
    eq(passes(nic, host, *probes), (True,) * 4 + (False,) * 2, "full tables")
    eq(nic.command(CTRL_MAC, 0, table(uni, multi + [GROUP])), OK, "multicast overflow")
    eq(passes(nic, host, *probes), (True,) * 4 + (False, True), "multicast overflow: unicast is still filtered")
    eq(nic.command(CTRL_MAC, 0, table(uni + [OTHER], multi)), OK, "unicast overflow")
    eq(passes(nic, host, *probes), (True,) * 5 + (False,), "unicast overflow: multicast is still filtered")
    eq(nic.command(CTRL_MAC, 0, table(uni[1:], multi[1:])), OK, "shorter tables")
    eq(passes(nic, host, *probes), (False, True, False, True, False, False), "after the overflows")


@case("virtio-net/5.1.6.5.3/vlan-table-against-a-model", needs=TUN)
def vlan_model(t):
    _, nic, host = ctrl_nic(t, BASIC | CTRL | bits(F_CTRL_VLAN))
    rng = random.Random(12)
    heap, inside = nic.vm.heap, set()
    interesting = [0, 1, 31, 32, 33, 63, 64, 2047, 2048, 4094, 4095]
    for _ in range(60):
        for _ in range(10):
            v = rng.choice(interesting) if rng.random() < 0.6 else rng.randrange(4096)
            add = rng.random() < 0.6
            eq(nic.command(CTRL_VLAN, 0 if add else 1, struct.pack("<H", v)), OK, f"VLAN {v}")
            (inside.add if add else inside.discard)(v)
        probe = interesting + rng.sample(range(4096), 4)
        eq(passes(nic, host, *(vlan_frame(MAC, v) for v in probe)), tuple(v in inside for v in probe), f"VLANs {probe}")
        nic.vm.heap = heap
    untagged = raw_frame(MAC, payload=b"no tag", size=64)
    eq(passes(nic, host, untagged), (True,), "a frame without a tag")


@case("virtio-net/5.1.6.5.1/filters-of-a-legacy-driver", needs=TUN)
def legacy_filters(t):
    from netlib import Host
    vm = t.vm(*tap_args())
    nic, host = Nic(Legacy(find_virtio(vm)[0])), Host("t0")
    nic.start((BASIC | CTRL | bits(F_CTRL_VLAN)) & 0xffffffff, posted=64)
    mode(nic, PROMISC, 0)
    eq(nic.command(CTRL_MAC, 0, table([OTHER], [GROUP])), OK, "MAC_TABLE_SET")
    eq(passes(nic, host, *FRAMES), (True, True, True, True, False, False), "table")
    eq(nic.command(CTRL_VLAN, 0, struct.pack("<H", 7)), OK, "VLAN 7")
    eq(passes(nic, host, vlan_frame(MAC, 7), vlan_frame(MAC, 8)), (True, False), "VLANs")


# ---- offloads ----

GUEST = (F_GUEST_CSUM, F_GUEST_TSO4, F_GUEST_TSO6, F_GUEST_ECN, F_GUEST_UFO)


def tcp6_frame(dst, src, payload, from_guest=False):
    """As netlib.tcp_frame(), over IPv6."""
    a, b = (bytes.fromhex("20010db8" + "00" * 11 + x) for x in ("01", "02"))
    ends = (a, b) if from_guest else (b, a)
    length = 20 + len(payload)
    pseudo = ~checksum(ends[0] + ends[1] + struct.pack(">II", length, 6)) & 0xffff
    tcp = struct.pack(">HHIIBBHHH", 4000, 5000, 1000, 1, 0x50, 0x10, 8192, pseudo, 0)
    return dst + src + b"\x86\xdd" + struct.pack(">IHBB", 6 << 28, length, 6, 64) + ends[0] + ends[1] + tcp + payload


PAYLOAD = bytes(i * 5 & 0xff for i in range(5000))
KIND4 = GSO_TCPV4, TCP_AT, TCP_PAYLOAD_AT, tcp_frame
KIND6 = GSO_TCPV6, TCP_AT + 20, TCP_PAYLOAD_AT + 20, tcp6_frame


def sum_is_right(frame, at):
    addresses = frame[26:34] if at == TCP_AT else frame[22:54]
    return checksum(addresses + struct.pack(">II", len(frame) - at, 6) + frame[at:]) == 0


def arrives(nic, host, kind, whole, partial, what):
    """A GSO frame of the host: WHOLE as it is, or as segments, complete with checksums unless PARTIAL."""
    gso, at, payload_at, make = kind
    frame = make(MAC, HOST_MAC, PAYLOAD)
    host.send(frame, net_hdr(NEEDS_CSUM, gso, payload_at, 1400, at, 16))
    data = b""
    while len(data) < len(PAYLOAD):
        hdr, got = nic.recv(0, what=what)
        flags, gso_type, _, size, start, offset = struct.unpack("<BBHHHH", hdr[:10])
        if whole:
            eq((flags & NEEDS_CSUM, gso_type, size, start, offset), (NEEDS_CSUM, gso, 1400, at, 16), f"{what}: header")
            eq(got, frame, f"{what}: the frame")
            return
        eq(gso_type, GSO_NONE, f"{what}: GSO type of a segment")
        check(len(got) <= payload_at + 1400, f"{what}: segment of {len(got)} bytes")
        if not (partial and flags & NEEDS_CSUM):
            eq(flags & NEEDS_CSUM, 0, f"{what}: flags of a segment")
            check(sum_is_right(got, at), f"{what}: checksum of a segment")
        data += got[payload_at:]
    eq(data, PAYLOAD, f"{what}: payload of the segments")


def leaves(nic, host, kind, what):
    """A GSO frame of the guest reaches the host as it is, whatever the guest's side of the offloads."""
    gso, at, payload_at, make = kind
    frame = make(HOST_MAC, MAC, PAYLOAD, from_guest=True)
    nic.send(0, frame, net_hdr(NEEDS_CSUM, gso, payload_at, 1400, at, 16), pieces=3)
    hdr, got = host.recv()
    eq(got, frame, f"{what}: frame at the host")
    eq(struct.unpack("<BBHHHH", hdr)[:2], (NEEDS_CSUM, gso), f"{what}: header at the host")


@case("virtio-net/5.1.6.5.8/every-subset-of-guest-offloads", needs=TUN)
def offload_subsets(t):
    wanted = BASIC | CTRL | bits(F_CTRL_GUEST_OFFLOADS, F_CSUM, F_HOST_TSO4, F_HOST_TSO6, F_HOST_ECN, *GUEST)
    _, nic, host = ctrl_nic(t, vnet_hdr=True)
    have = [b for b in GUEST if nic.t.offered() >> b & 1]
    check({F_GUEST_CSUM, F_GUEST_TSO4, F_GUEST_TSO6} <= set(have), f"offered {have}")
    nic.start(wanted & nic.t.offered(), posted=64)
    heap = nic.vm.heap
    for n in range(len(have) + 1):
        for subset in itertools.combinations(have, n):
            what = f"offloads {subset}"
            eq(nic.command(CTRL_OFFLOADS, 0, struct.pack("<Q", bits(*subset))), OK, what)
            csum = F_GUEST_CSUM in subset
            for kind, feature in ((KIND4, F_GUEST_TSO4), (KIND6, F_GUEST_TSO6)):
                arrives(nic, host, kind, csum and feature in subset, csum, what)
                leaves(nic, host, kind, what)
            nic.vm.heap = heap
    for bad in range(64):
        if bad not in have:
            eq(nic.command(CTRL_OFFLOADS, 0, struct.pack("<Q", bits(*have) | 1 << bad)), ERR, f"offload {bad}")


@case("virtio-net/5.1.6.2/tx-gso-with-ecn", needs=TUN)
def tx_ecn(t):
    _, nic, host = ctrl_nic(t, vnet_hdr=True)
    frame = tcp_frame(HOST_MAC, MAC, PAYLOAD, from_guest=True)
    hdr = net_hdr(NEEDS_CSUM, GSO_TCPV4 | GSO_ECN, TCP_PAYLOAD_AT, 1400, TCP_AT, 16)
    nic.start(BASIC | bits(F_CSUM, F_HOST_TSO4, F_HOST_ECN))
    nic.send(0, frame, hdr)
    got = host.recv()
    eq((got[0][1], got[1]), (GSO_TCPV4 | GSO_ECN, frame), "a frame with ECN")
    nic.start(BASIC | bits(F_CSUM, F_HOST_TSO4))
    nic.send(0, frame, hdr)
    check(host.recv(0.03) is None, "a frame with ECN, which was not negotiated")
