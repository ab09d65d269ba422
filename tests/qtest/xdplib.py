# SPDX-License-Identifier: GPL-2.0-or-later
"""The host's side of AF_XDP: a veth pair with queues, what is attached to it, and a program and a map of sockets such
as somebody else prepares for a netdev (bpf(2), if_xdp.h)."""

import ctypes
import os
import socket
import struct

from netlib import _attribute, _netlink, set_up
from qtestlib import Failure, Skip, check

AF_XDP = 44
BPF_MAP_CREATE, BPF_MAP_UPDATE_ELEM, BPF_PROG_LOAD, BPF_OBJ_PIN, BPF_LINK_CREATE = 0, 2, 5, 6, 28
MAP_TYPE_XSKMAP, PROG_TYPE_XDP, ATTACH_XDP, XDP_SKB = 17, 6, 37, 2
SYS_BPF = 321


def make_veth(name, peer, queues=2, native=False):
    """A pair of interfaces, both up, NAME with QUEUES queues for each direction. The peer sends by as many where an XDP
    program is native, and by one more else: a packet of its queue 2 is one of our queue 1 then, of 0 and 1 one of 0."""
    counts = _attribute(31, struct.pack("=I", queues)) + _attribute(32, struct.pack("=I", queues))
    sends = _attribute(31, struct.pack("=I", queues + (0 if native or queues == 1 else 1)))
    other = _attribute(1, bytes(16) + _attribute(3, peer.encode() + b"\0") + sends + counts[8:])
    kind = _attribute(1, b"veth") + _attribute(2, other)
    body = bytes(16) + _attribute(3, name.encode() + b"\0") + counts + _attribute(18, kind)
    _netlink(16, 0x600, body, f"veth {name}")
    for interface in (name, peer):
        set_up(interface)


def attached(name):
    """How a program is attached to the interface: 0 not at all, 1 native, 2 skb (IFLA_XDP_ATTACHED)."""
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0) as s:
        s.send(struct.pack("=IHHII", 32, 18, 1, 1, 0) + struct.pack("=BxHiII", 0, 0, socket.if_nametoindex(name), 0, 0))
        data = s.recv(1 << 16)
    at = 32
    while at + 4 <= len(data):
        size, kind = struct.unpack_from("=HH", data, at)
        if kind & 0x3fff == 43:  # IFLA_XDP
            inner = data[at + 4:at + size]
            at = 0
            while struct.unpack_from("=H", inner, at + 2)[0] != 2:
                at += -(-struct.unpack_from("=H", inner, at)[0] // 4) * 4
            return inner[at + 4]
        at += -(-size // 4) * 4
    raise Failure(f"{name}: no IFLA_XDP")


def _bpf(command, attr):
    libc = ctypes.CDLL(None, use_errno=True)
    attr = attr.ljust(128, b"\0")
    r = libc.syscall(SYS_BPF, command, attr, len(attr))
    if r < 0:
        raise Skip(f"no bpf(2) command {command}: {os.strerror(ctypes.get_errno())}")
    return r


class Redirect:
    """A program on an interface that leads the frames of each of its queues to the socket of that number in a map, and
    the others on."""

    def __init__(self, name, entries=4):
        self.map = _bpf(BPF_MAP_CREATE, struct.pack("=IIII", MAP_TYPE_XSKMAP, 4, 4, entries))
        code = [(0x61, 1 << 4 | 2, 16, 0),                          # r2 = context.rx_queue_index
                (0x18, 1 << 4 | 1, 0, self.map), (0, 0, 0, 0),      # r1 = the map
                (0xb7, 3, 0, 2), (0x85, 0, 0, 51), (0x95, 0, 0, 0)]  # return redirect_map(r1, r2, XDP_PASS)
        code = ctypes.create_string_buffer(b"".join(struct.pack("=BBhi", *c) for c in code), 8 * len(code))
        text = ctypes.create_string_buffer(b"GPL")
        self.program = _bpf(BPF_PROG_LOAD, struct.pack("=IIQQ", PROG_TYPE_XDP, len(code) // 8, ctypes.addressof(code),
                                                       ctypes.addressof(text)))
        self.link = _bpf(BPF_LINK_CREATE, struct.pack("=IIII", self.program, socket.if_nametoindex(name), ATTACH_XDP,
                                                      XDP_SKB))

    def put(self, index, fd):
        key, value = (ctypes.create_string_buffer(struct.pack("=I", v), 4) for v in (index, fd))
        _bpf(BPF_MAP_UPDATE_ELEM, struct.pack("=IxxxxQQ", self.map, ctypes.addressof(key), ctypes.addressof(value)))

    def pin(self, directory):
        """The map's path in a file system of its own at DIRECTORY."""
        os.makedirs(directory)
        libc = ctypes.CDLL(None, use_errno=True)
        check(libc.mount(b"bpf", str(directory).encode(), b"bpf", 0, None) == 0, "mounting a bpf file system")
        path = ctypes.create_string_buffer(str(directory / "xsks").encode())
        _bpf(BPF_OBJ_PIN, struct.pack("=QI", ctypes.addressof(path), self.map))
        return path.value.decode()

    def close(self):
        for fd in (self.link, self.program, self.map):
            os.close(fd)


def xsk_socket():
    return socket.socket(AF_XDP, socket.SOCK_RAW, 0)
