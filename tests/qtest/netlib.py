# SPDX-License-Identifier: GPL-2.0-or-later
"""The host's side of a tap: a private network namespace, frames, counters."""

import ctypes
import fcntl
import os
import select
import socket
import struct
from pathlib import Path

from qtestlib import Skip, WAIT_S, Failure, check

CLONE_NEWNS, CLONE_NEWNET = 0x00020000, 0x40000000
MS_REC, MS_PRIVATE = 0x4000, 1 << 18
SIOCGIFFLAGS, SIOCSIFFLAGS, SIOCSIFMTU = 0x8913, 0x8914, 0x8922
IFF_UP = 1
ETH_P_ALL = 3
SOL_PACKET, PACKET_VNET_HDR, PACKET_IGNORE_OUTGOING = 263, 15, 23
TUNSETIFF, IFF_TAP, IFF_NO_PI = 0x400454ca, 2, 0x1000

TEST_TYPE = 0x88b5  # local experimental Ethertype (IEEE 802)
HOST_MAC = bytes.fromhex("0200000000fe")
BROADCAST = b"\xff" * 6

# struct virtio_net_hdr
NEEDS_CSUM = 1
GSO_NONE, GSO_TCPV4, GSO_UDP, GSO_TCPV6, GSO_UDP_L4, GSO_ECN = 0, 1, 3, 4, 5, 0x80


def enter_namespace():
    """A network namespace of this process's own, without IPv6 chatter."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(CLONE_NEWNET | CLONE_NEWNS):
        raise Skip(f"no network namespace: {os.strerror(ctypes.get_errno())}")
    libc.mount(b"none", b"/", None, MS_REC | MS_PRIVATE, None)
    for scope in ("all", "default"):
        path = Path(f"/proc/sys/net/ipv6/conf/{scope}/disable_ipv6")
        if path.exists():
            path.write_text("1")


def _control(request, arg):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        return fcntl.ioctl(s, request, arg)


def set_up(name, mtu=None):
    if mtu:
        _control(SIOCSIFMTU, struct.pack("16si20x", name.encode(), mtu))
    flags = struct.unpack("16xh", _control(SIOCGIFFLAGS, struct.pack("16sh22x", name.encode(), 0))[:18])[0]
    _control(SIOCSIFFLAGS, struct.pack("16sh22x", name.encode(), flags | IFF_UP))


def delete_link(name):
    """RTM_DELLINK (rtnetlink(7))."""
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0) as s:
        body = struct.pack("=BxHiII", 0, 0, socket.if_nametoindex(name), 0, 0)
        s.send(struct.pack("=IHHII", 16 + len(body), 17, 5, 1, 0) + body)
        error = struct.unpack("=i", s.recv(4096)[16:20])[0]
        check(error == 0, f"deleting {name}: {os.strerror(-error)}")


def drops(name):
    """Frames that the tap could not hand to the emulator (tx drop)."""
    for line in Path("/proc/self/net/dev").read_text().splitlines():
        if line.strip().startswith(name + ":"):
            return int(line.split(":")[1].split()[11])
    raise Failure(f"{name} is not in /proc/net/dev")


class Host:
    """Sends to and receives from the guest through the interface."""

    def __init__(self, name, mtu=None, vnet_hdr=False):
        set_up(name, mtu)
        self.name = name
        self.vnet_hdr = vnet_hdr
        self.sock = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
        self.sock.setsockopt(SOL_PACKET, PACKET_IGNORE_OUTGOING, 1)
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4 << 20)
        if vnet_hdr:
            self.sock.setsockopt(SOL_PACKET, PACKET_VNET_HDR, 1)
        self.sock.bind((name, ETH_P_ALL))

    def send(self, frame, hdr=None):
        if self.vnet_hdr:
            frame = (hdr or net_hdr()) + frame
        self.sock.send(frame)

    def recv(self, timeout=None):
        """The next frame from the guest; with vnet_hdr a pair of header and frame."""
        left = WAIT_S if timeout is None else timeout
        if not select.select([self.sock], [], [], max(left, 0))[0]:
            return None
        data = self.sock.recv(1 << 17)
        return (data[:10], data[10:]) if self.vnet_hdr else data

    def drain(self):
        while self.recv(0) is not None:
            pass

    def expect(self, frame, what):
        got = self.recv()
        if self.vnet_hdr and got is not None:
            got = got[1]
        check(got is not None, f"{what}: nothing came")
        if got != frame:
            raise Failure(f"{what}: another frame came: {len(got)} bytes {got[:60].hex()}, "
                          f"expected {len(frame)} bytes {frame[:60].hex()}")


def net_hdr(flags=0, gso_type=0, hdr_len=0, gso_size=0, csum_start=0, csum_offset=0):
    return struct.pack("<BBHHHH", flags, gso_type, hdr_len, gso_size, csum_start, csum_offset)


def raw_frame(dst, src=HOST_MAC, payload=b"", ethertype=TEST_TYPE, size=0):
    """An Ethernet frame, padded to SIZE with bytes that tell their place."""
    frame = dst + src + struct.pack(">H", ethertype) + payload
    return frame + bytes(i * 7 & 0xff for i in range(len(frame), size))


def vlan_frame(dst, vlan, payload=b""):
    return raw_frame(dst, payload=struct.pack(">HH", vlan, TEST_TYPE) + payload, ethertype=0x8100, size=64)


def checksum(data):
    if len(data) % 2:
        data += b"\0"
    total = sum(struct.unpack(f">{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xffff) + (total >> 16)
    return ~total & 0xffff


def ipv4(protocol, src, dst, body):
    head = struct.pack(">BBHHHBBH4s4s", 0x45, 0, 20 + len(body), 1, 0x4000, 64, protocol, 0, src, dst)
    return head[:10] + struct.pack(">H", checksum(head)) + head[12:] + body


GUEST_IP, HOST_IP = bytes((192, 0, 2, 1)), bytes((192, 0, 2, 2))


def udp_frame(dst, src, sport, dport, payload=b"", from_guest=False):
    ends = (GUEST_IP, HOST_IP) if from_guest else (HOST_IP, GUEST_IP)
    udp = struct.pack(">HHHH", sport, dport, 8 + len(payload), 0) + payload
    return dst + src + b"\x08\0" + ipv4(17, *ends, udp)


def tcp_frame(dst, src, payload, from_guest=False):
    """A TCP segment whose checksum field holds the pseudo-header's sum only."""
    ends = (GUEST_IP, HOST_IP) if from_guest else (HOST_IP, GUEST_IP)
    length = 20 + len(payload)
    pseudo = ~checksum(ends[0] + ends[1] + struct.pack(">BBH", 0, 6, length)) & 0xffff
    tcp = struct.pack(">HHIIBBHHH", 4000, 5000, 1000, 1, 0x50, 0x10, 8192, pseudo, 0)
    return dst + src + b"\x08\0" + ipv4(6, *ends, tcp + payload)


TCP_AT = 14 + 20      # offset of the TCP header in the frames above
TCP_PAYLOAD_AT = 54
