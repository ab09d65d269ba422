# SPDX-License-Identifier: GPL-2.0-or-later
"""The control queue of virtio-net: filters, offloads, wrong commands."""

import random
import struct

from netlib import (BROADCAST, GSO_TCPV4, HOST_MAC, NEEDS_CSUM, TCP_AT, TCP_PAYLOAD_AT, Host, checksum, net_hdr,
                    raw_frame, tcp_frame, vlan_frame)
from qtestlib import case, check, eq, wait_for
from test_pc_machine import Monitor, monitor_args
from virtiolib import (BASIC, CTRL, CTRL_ANNOUNCE, CTRL_MAC, CTRL_OFFLOADS, CTRL_RX, CTRL_VLAN, ERR, F_CSUM,
                       F_CTRL_GUEST_OFFLOADS, F_CTRL_MAC_ADDR, F_CTRL_RX, F_CTRL_RX_EXTRA, F_CTRL_VLAN,
                       F_GUEST_ANNOUNCE, F_GUEST_CSUM, F_GUEST_TSO4, F_GUEST_TSO6, MAC, Modern, Nic, OK, bits,
                       find_virtio, tap_args)

TUN = ("root", "tun")
OTHER = bytes.fromhex("525400999999")
GROUP = bytes.fromhex("01005e010203")
PROMISC, ALLMULTI, ALLUNI, NOMULTI, NOUNI, NOBCAST = range(6)


def ctrl_nic(t, features=BASIC | CTRL, vnet_hdr=False, **kw):
    vm = t.vm(*tap_args(**kw))
    nic = Nic(Modern(find_virtio(vm)[0]))
    host = Host("t0", vnet_hdr=vnet_hdr)
    nic.start(features, posted=64)
    return vm, nic, host


def passes(nic, host, *frames, marker=MAC):
    """Which of FRAMES come through; one to MARKER tells that all had their chance."""
    end = raw_frame(marker, payload=b"end of list", size=64)
    for f in frames + (end,):
        host.send(f)
    got = []
    while True:
        frame = nic.recv(0)[1]
        if frame == end:
            return tuple(f in got for f in frames)
        got.append(frame)


def mode(nic, cmd, on):
    eq(nic.command(CTRL_RX, cmd, bytes([on])), OK, f"receive mode {cmd}={on}")


def table(unicast=(), multicast=()):
    return b"".join(struct.pack("<I", len(x)) + b"".join(x) for x in (unicast, multicast))


KINDS = tuple(raw_frame(d, payload=b"kind", size=64) for d in (MAC, OTHER, GROUP, BROADCAST))


@case("virtio-net/5.1.6.5.1/receive-modes", needs=TUN)
def rx_modes(t):
    _, nic, host = ctrl_nic(t)
    eq(passes(nic, host, *KINDS), (True,) * 4, "own, other, group, broadcast after reset (promiscuous)")
    mode(nic, PROMISC, 0)
    eq(passes(nic, host, *KINDS), (True, False, False, True), "not promiscuous")
    for cmd, expected in ((ALLMULTI, (True, False, True, True)), (ALLUNI, (True, True, False, True)),
                          (NOBCAST, (True, False, False, False)), (PROMISC, (True,) * 4)):
        mode(nic, cmd, 1)
        eq(passes(nic, host, *KINDS), expected, f"mode {cmd}")
        mode(nic, cmd, 0)
    mode(nic, NOUNI, 1)
    eq(passes(nic, host, *KINDS, marker=BROADCAST), (False, False, False, True), "no unicast")
    mode(nic, NOUNI, 0)
    mode(nic, ALLMULTI, 1)
    mode(nic, NOMULTI, 1)
    eq(passes(nic, host, *KINDS), (True, False, False, True), "no multicast wins")
    nic.start(BASIC | CTRL, posted=64)
    eq(passes(nic, host, *KINDS), (True,) * 4, "after another reset")


@case("virtio-net/5.1.6.5.2/mac-table", needs=TUN)
def mac_table(t):
    _, nic, host = ctrl_nic(t)
    mode(nic, PROMISC, 0)
    eq(nic.command(CTRL_MAC, 0, table([OTHER], [GROUP])), OK, "MAC_TABLE_SET")
    eq(passes(nic, host, *KINDS), (True,) * 4, "addresses of the table")
    eq(nic.command(CTRL_MAC, 0, table([], [GROUP])), OK, "MAC_TABLE_SET")
    eq(passes(nic, host, *KINDS), (True, False, True, True), "only the group")
    macs = [bytes([2, 0, 0, 0, i >> 8, i & 255]) for i in range(300)]
    eq(nic.command(CTRL_MAC, 0, table(macs, [])), OK, "a table that is too long")
    eq(passes(nic, host, *KINDS), (True, True, False, True), "after the overflow: all unicast, no group")
    eq(nic.command(CTRL_MAC, 0, table()), OK, "an empty table")
    eq(passes(nic, host, *KINDS), (True, False, False, True), "empty table")
    for bad in (b"", b"\1\0\0", struct.pack("<I", 1) + OTHER, struct.pack("<II", 0, 1), struct.pack("<I", 1 << 31),
                struct.pack("<I", 0xffffffff) + OTHER * 3, table([OTHER]) + b"x"):
        eq(nic.command(CTRL_MAC, 0, bad), ERR, f"table {bad.hex()}")
    eq(passes(nic, host, *KINDS), (True, False, False, True), "after refused tables")


@case("virtio-net/5.1.6.5.2/mac-address-set", needs=TUN)
def mac_set(t):
    _, nic, host = ctrl_nic(t)
    mode(nic, PROMISC, 0)
    eq(nic.command(CTRL_MAC, 1, OTHER), OK, "MAC_ADDR_SET")
    eq(nic.mac(), OTHER, "mac in the configuration")
    eq(passes(nic, host, *KINDS, marker=OTHER), (False, True, False, True), "the new address")
    for bad in (b"", OTHER[:5], OTHER + b"\0"):
        eq(nic.command(CTRL_MAC, 1, bad), ERR, f"address of {len(bad)} bytes")
    eq(nic.mac(), OTHER, "mac after refused ones")
    nic.t.reset()
    eq(nic.mac(), MAC, "mac after reset")


@case("virtio-net/5.1.6.5.3/vlan-filter", needs=TUN)
def vlan(t):
    _, nic, host = ctrl_nic(t, BASIC | CTRL | bits(F_CTRL_VLAN))
    frames = tuple(vlan_frame(MAC, v) for v in (0, 1, 31, 32, 100, 4095))

    def add(v, cmd=0):
        eq(nic.command(CTRL_VLAN, cmd, struct.pack("<H", v)), OK, f"VLAN command {cmd} {v}")
    eq(passes(nic, host, *frames), (False,) * 6, "no VLAN added")
    for v in (1, 32, 4095):
        add(v)
    eq(passes(nic, host, *frames), (False, True, False, True, False, True), "three VLANs")
    eq(passes(nic, host, vlan_frame(MAC, 0xe000 | 32), vlan_frame(MAC, 0xe000 | 33)), (True, False), "priority bits")
    add(32, 1)
    add(100)
    eq(passes(nic, host, *frames), (False, True, False, False, True, True), "one less, one more")
    for bad in (b"\1", struct.pack("<H", 4096), b"\0\0\0"):
        eq(nic.command(CTRL_VLAN, 0, bad), ERR, f"VLAN {bad.hex()}")
    eq(nic.command(CTRL_VLAN, 2, b"\1\0"), ERR, "a command of the class that does not exist")
    nic.start(BASIC | CTRL, posted=64)
    eq(passes(nic, host, *frames), (True,) * 6, "without CTRL_VLAN")


@case("virtio-net/5.1.6.5.4/announce-ack-unasked-is-refused", needs=TUN)
def announce(t):
    _, nic, _ = ctrl_nic(t, BASIC | CTRL | bits(F_GUEST_ANNOUNCE))
    eq(nic.status_field(), 1, "status: no announcement asked for")
    eq(nic.command(CTRL_ANNOUNCE, 0), ERR, "ANNOUNCE_ACK")


@case("virtio-net/5.1.6.5.4/announcement-asked-for-and-acknowledged", needs=TUN)
def announce_self(t):
    vm = t.vm(*tap_args(), *monitor_args(t))
    monitor = Monitor(t.dir / "mon")
    nic = Nic(Modern(find_virtio(vm)[0]))
    monitor.command("announce_self")
    nic.start(BASIC | CTRL | bits(F_GUEST_ANNOUNCE), posted=64)
    eq(nic.status_field(), 1, "status: asked for before the driver was there")
    monitor.command("announce_self")
    wait_for(lambda: nic.status_field() == 3, "status: link up, announcement asked for")
    eq(nic.command(CTRL_ANNOUNCE, 0), OK, "ANNOUNCE_ACK")
    eq(nic.status_field(), 1, "status after the acknowledgement")


@case("virtio-net/5.1.6.5.8/offloads-set-live", needs=TUN)
def offloads(t):
    both = bits(F_GUEST_CSUM, F_GUEST_TSO4)
    _, nic, host = ctrl_nic(t, BASIC | CTRL | bits(F_CTRL_GUEST_OFFLOADS) | both, vnet_hdr=True)
    payload = bytes(i * 3 & 0xff for i in range(6000))
    frame = tcp_frame(MAC, HOST_MAC, payload)

    def gso_arrives():
        host.send(frame, net_hdr(NEEDS_CSUM, GSO_TCPV4, TCP_PAYLOAD_AT, 1448, TCP_AT, 16))
        hdr, got = nic.recv(0)
        return hdr, got
    hdr, got = gso_arrives()
    eq((hdr[1], got), (GSO_TCPV4, frame), "GSO frame whole")
    eq(nic.command(CTRL_OFFLOADS, 0, struct.pack("<Q", 0)), OK, "GUEST_OFFLOADS_SET 0")
    hdr, got = gso_arrives()
    data = b""
    while True:
        eq((hdr[0] & NEEDS_CSUM, hdr[1]), (0, 0), "header of a segment")
        check(len(got) <= 1514, f"segment of {len(got)} bytes")
        length = len(got) - TCP_AT
        eq(checksum(got[26:34] + struct.pack(">BBH", 0, 6, length) + got[TCP_AT:]), 0, "TCP checksum of a segment")
        data += got[TCP_PAYLOAD_AT:]
        if len(data) >= len(payload):
            break
        hdr, got = nic.recv(0)
    eq(data, payload, "payload of the segments")
    for bad in (both | bits(F_GUEST_TSO6), bits(F_CSUM), 1 << 63):
        eq(nic.command(CTRL_OFFLOADS, 0, struct.pack("<Q", bad)), ERR, f"offloads {bad:#x}, not negotiated")
    for bad in (b"", bytes(7), bytes(9)):
        eq(nic.command(CTRL_OFFLOADS, 0, bad), ERR, f"offloads of {len(bad)} bytes")
    eq(nic.command(CTRL_OFFLOADS, 0, struct.pack("<Q", both)), OK, "offloads on again")
    hdr, got = gso_arrives()
    eq((hdr[1], got), (GSO_TCPV4, frame), "GSO frame whole again")
    nic.start(posted=64)
    hdr, got = gso_arrives()
    check(len(got) <= 1514 and hdr[1] == 0, "a GSO frame although nothing was negotiated")


@case("virtio-net/5.1.6.5/commands-need-their-features", needs=TUN)
def unnegotiated(t):
    _, nic, _ = ctrl_nic(t, BASIC | CTRL & ~bits(F_CTRL_RX, F_CTRL_RX_EXTRA, F_CTRL_MAC_ADDR))
    for cls, cmd, data in ((CTRL_RX, PROMISC, b"\1"), (CTRL_MAC, 0, table()), (CTRL_MAC, 1, OTHER),
                           (CTRL_VLAN, 0, b"\1\0"), (4, 0, b"\1\0"), (CTRL_OFFLOADS, 0, bytes(8))):
        eq(nic.command(cls, cmd, data), ERR, f"command {cls}.{cmd}")


@case("virtio-net/5.1.6.5/garbage-commands-are-answered-with-err", needs=TUN)
def garbage(t):
    _, nic, host = ctrl_nic(t, BASIC | CTRL | bits(F_CTRL_VLAN))
    rng = random.Random(4711)
    mode(nic, PROMISC, 0)
    for cls in list(range(6, 256, 5)) + [255]:
        eq(nic.command(cls, rng.randrange(256), rng.randbytes(rng.randrange(40))), ERR, f"class {cls}")
    for cls in range(6):
        for _ in range(12):
            cmd = rng.randrange(6, 256)
            eq(nic.command(cls, cmd, rng.randbytes(rng.randrange(40)), split=rng.random() < 0.5), ERR,
               f"command {cls}.{cmd}")
    eq(nic.command(CTRL_RX, PROMISC, b""), ERR, "receive mode without data")
    eq(nic.command(CTRL_MAC, 0, bytes(60000)), ERR, "60000 bytes of data")
    eq(nic.mac(), MAC, "mac after garbage")
    eq(passes(nic, host, *KINDS), (True, False, False, True), "filter after garbage")


@case("virtio-net/2.7.4/command-in-many-pieces", needs=TUN)
def pieces(t):
    _, nic, _ = ctrl_nic(t)
    base = nic.vm.alloc(64)
    nic.vm.ram[base:base + 8] = bytes((CTRL_MAC, 1)) + OTHER
    ring = nic.ctrl
    ring.push(ring.add(out=[(base + i, 1) for i in range(8)], into=[(base + 32, 0), (base + 33, 1), (base + 40, 8)]))
    ring.wait()
    eq(nic.vm.ram[base + 33], OK, "acknowledgement")
    eq(nic.mac(), OTHER, "mac")


@case("virtio-net/5.1.6.5/many-commands-in-one-kick", needs=TUN)
def many(t):
    _, nic, _ = ctrl_nic(t)
    ring, base = nic.ctrl, nic.vm.alloc(64 * 16)
    for i in range(32):
        at = base + 16 * i
        nic.vm.ram[at:at + 8] = bytes((CTRL_MAC, 1)) + MAC[:5] + bytes([i])
        nic.vm.ram[at + 8] = 0xee
        ring.offer(ring.add(out=[(at, 8)], into=[(at + 8, 1)]))
    ring.publish()
    ring.kick()
    for _ in range(32):
        ring.wait("a command of many")
    eq([nic.vm.ram[base + 16 * i + 8] for i in range(32)], [OK] * 32, "acknowledgements")
    eq(nic.mac(), MAC[:5] + bytes([31]), "mac after the last command")
