# SPDX-License-Identifier: GPL-2.0-or-later
"""The host's side of a tap: a private network namespace, frames, counters."""

import ctypes
import errno
import fcntl
import os
import select
import socket
import struct
from pathlib import Path

from qtestlib import Skip, WAIT_S, Failure, check, wait_for

CLONE_NEWNS, CLONE_NEWNET = 0x00020000, 0x40000000
MS_REC, MS_PRIVATE = 0x4000, 1 << 18
SIOCGIFFLAGS, SIOCSIFFLAGS, SIOCSIFMTU = 0x8913, 0x8914, 0x8922
SIOCGIFHWADDR, SIOCBRADDIF = 0x8927, 0x89a2
IFF_UP = 1
ETH_P_ALL = 3
SOL_PACKET, PACKET_VNET_HDR, PACKET_IGNORE_OUTGOING = 263, 15, 23
TUNSETIFF, IFF_TAP, IFF_NO_PI, IFF_NAPI = 0x400454ca, 2, 0x1000, 0x10

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


def set_down(name):
    flags = struct.unpack("16xh", _control(SIOCGIFFLAGS, struct.pack("16sh22x", name.encode(), 0))[:18])[0]
    _control(SIOCSIFFLAGS, struct.pack("16sh22x", name.encode(), flags & ~IFF_UP))


def _netlink(kind, flags, body, what):
    """One request of rtnetlink(7)."""
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0) as s:
        s.send(struct.pack("=IHHII", 16 + len(body), kind, 5 | flags, 1, 0) + body)
        error = struct.unpack("=i", s.recv(4096)[16:20])[0]
        check(error == 0, f"{what}: {os.strerror(-error)}")


def _attribute(kind, data):
    return struct.pack("=HH", 4 + len(data), kind) + data + bytes(-len(data) % 4)


def delete_link(name):
    """RTM_DELLINK."""
    _netlink(17, 0, struct.pack("=BxHiII", 0, 0, socket.if_nametoindex(name), 0, 0), f"deleting {name}")


def add_address(name, address, prefix):
    """RTM_NEWADDR: an address of 4 or 16 bytes, without duplicate address detection."""
    family = socket.AF_INET if len(address) == 4 else socket.AF_INET6
    body = struct.pack("=BBBBI", family, prefix, 2 if len(address) == 16 else 0, 0, socket.if_nametoindex(name))
    _netlink(20, 0x600, body + _attribute(2, address) + _attribute(1, address), f"an address for {name}")
    if len(address) == 16:  # the kernel takes it into use a little later
        wait_for(lambda: f"{address.hex()} 80 " in Path("/proc/self/net/ipv6_route").read_text(), "a local IPv6 route")


def add_neighbour(name, address, mac):
    """RTM_NEWNEIGH: who has ADDRESS, for good."""
    family = socket.AF_INET if len(address) == 4 else socket.AF_INET6
    body = struct.pack("=BxxxiHBB", family, socket.if_nametoindex(name), 0x80, 0, 0)
    _netlink(28, 0x500, body + _attribute(1, address) + _attribute(2, mac), f"a neighbour on {name}")


def mac_of(name):
    return _control(SIOCGIFHWADDR, struct.pack("16s24x", name.encode()))[18:24]


def make_bridge(name, *ports):
    """A bridge of interfaces, which forwards at once and says nothing itself (no multicast snooping)."""
    kind = _attribute(1, b"bridge") + _attribute(2, _attribute(23, b"\0"))
    _netlink(16, 0x600, bytes(16) + _attribute(3, name.encode() + b"\0") + _attribute(18, kind), f"bridge {name}")
    for port in ports:
        _control(SIOCBRADDIF, struct.pack("16si20x", name.encode(), socket.if_nametoindex(port)))
    set_up(name)


class Wire:
    """A tap of ours without header and offloads: what it gives is what a wire would carry. NAPI: what is written to
    it passes the kernel's GRO."""

    def __init__(self, name, mtu=None, napi=False):
        self.fd = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
        flags = IFF_TAP | IFF_NO_PI | (IFF_NAPI if napi else 0)
        fcntl.ioctl(self.fd, TUNSETIFF, struct.pack("16sH22x", name.encode(), flags))
        set_up(name, mtu)

    def recv(self, timeout=None):
        """The next frame; None when none comes in time."""
        if not select.select([self.fd], [], [], WAIT_S if timeout is None else timeout)[0]:
            return None
        return os.read(self.fd, 1 << 17)

    def send(self, frame):
        os.write(self.fd, frame)

    def close(self):
        os.close(self.fd)

    def expect(self, frames, what):
        """FRAMES come, in their order, and nothing else so far."""
        for i, frame in enumerate(frames):
            got = self.recv()
            check(got is not None, f"{what}: frame {i} of {len(frames)} did not come")
            if got != frame:
                at = next((k for k, (x, y) in enumerate(zip(got, frame)) if x != y), min(len(got), len(frame)))
                raise Failure(f"{what}: frame {i} of {len(frames)} differs from byte {at} of {len(frame)} ({len(got)} "
                              f"came): {got[at:at + 20].hex()}, expected {frame[at:at + 20].hex()}")
        extra = self.recv(0)
        check(extra is None, f"{what}: one more frame: {(extra or b'')[:80].hex()}")


class _Filter(ctypes.Structure):
    _fields_ = [("code", ctypes.c_ushort), ("jt", ctypes.c_ubyte), ("jf", ctypes.c_ubyte), ("k", ctypes.c_uint)]


class _Program(ctypes.Structure):
    _fields_ = [("len", ctypes.c_ushort), ("filter", ctypes.POINTER(_Filter))]


def refuse_tap_offloads(mask):
    """From now on, for this process and what it starts, TUNSETOFFLOAD with a flag of MASK fails as in kernels from
    before there was that flag (seccomp(2), x86-64)."""
    load, equal, anyof, ret = 0x20, 0x15, 0x45, 0x06
    code = [(load, 0, 0, 0), (equal, 0, 5, 16),            # the system call: ioctl?
            (load, 0, 0, 24), (equal, 0, 3, 0x400454d0),   # its request: TUNSETOFFLOAD?
            (load, 0, 0, 32), (anyof, 0, 1, mask),         # its argument
            (ret, 0, 0, 0x00050000 | 22), (ret, 0, 0, 0x7fff0000)]
    _install_filter(code)


def refuse_io_uring():
    """From now on, for this process and what it starts, the kernel has no io_uring."""
    load, equal, ret = 0x20, 0x15, 0x06
    _install_filter([(load, 0, 0, 0), (equal, 0, 1, 425), (ret, 0, 0, 0x00050000 | errno.ENOSYS), (ret, 0, 0, 0x7fff0000)])


def refuse_bpf():
    """From now on, for this process and what it starts, the kernel loads no programs."""
    load, equal, ret = 0x20, 0x15, 0x06
    _install_filter([(load, 0, 0, 0), (equal, 0, 1, 321), (ret, 0, 0, 0x00050000 | errno.EPERM), (ret, 0, 0, 0x7fff0000)])


def _install_filter(code):
    array = (_Filter * len(code))(*(_Filter(*c) for c in code))
    program = _Program(len(code), array)
    libc = ctypes.CDLL(None, use_errno=True)
    failed = libc.prctl(38, 1, 0, 0, 0) or libc.prctl(22, 2, ctypes.byref(program), 0, 0)
    if failed:
        raise Skip(f"no seccomp filter: {os.strerror(ctypes.get_errno())}")


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
