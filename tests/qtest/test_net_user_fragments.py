# SPDX-License-Identifier: GPL-2.0-or-later
"""-netdev user: datagrams of the guest's that come in fragments, in any order, and such that never become one."""

import socket
import struct

from inetlib import IPV4, UDP, with_sum
from netlib import checksum, ipv4
from qtestlib import case, eq
from test_net_user import GUEST, HOST, NET, User, local_server, pattern
from virtiolib import MAC

MORE = 1 << 13


def fragment(body, ident, at, end):
    """The bytes from AT to END of a datagram's BODY, as an IPv4 packet."""
    packet = bytearray(ipv4(UDP, GUEST, HOST, body[at:end]))
    struct.pack_into(">HH", packet, 4, ident, at // 8 | (MORE if end < len(body) else 0))
    struct.pack_into(">H", packet, 10, 0)
    struct.pack_into(">H", packet, 10, checksum(bytes(packet[:20])))
    return packet


class Sender:
    def __init__(self, t):
        self.u = User(t)
        self.server, self.port = local_server(socket.SOCK_DGRAM)
        self.router = self.u.guest.mac_of(HOST)

    def body(self, data):
        return with_sum(UDP, GUEST, HOST, struct.pack(">HHHH", 4000, self.port, 8 + len(data), 0) + data, 6)

    def send(self, packet):
        self.u.nic.send(0, self.router + MAC + struct.pack(">H", IPV4) + packet)

    def received(self, data, what):
        eq(self.server.recv(70000), data, what)


@case("net-user/fragments", needs=NET)
def fragments(t):
    s = Sender(t)
    data = pattern(4000)
    body = s.body(data)
    parts = [(0, 1480), (1480, 2960), (2960, len(body))]
    for n, order in enumerate(([0, 1, 2], [2, 1, 0], [2, 0, 1], [1, 0, 2], [0, 0, 2, 2, 1])):
        for i in order:
            s.send(fragment(body, n, *parts[i]))
        s.received(data, f"a datagram whose fragments come as {order}")
    other = s.body(data[:3000])
    for at, end in ((1480, len(other)), (0, 1480)):
        s.send(fragment(body, 20, at, 2960 if at else end))
        s.send(fragment(other, 21, at, end))
    s.received(data[:3000], "the second of two at a time")
    s.send(fragment(body, 20, *parts[2]))
    s.received(data, "the first of them")
    longest = s.body(pattern(65507))
    for at in range(0, len(longest), 1480):
        s.send(fragment(longest, 22, at, min(at + 1480, len(longest))))
    s.received(pattern(65507), "the longest datagram")


@case("net-user/fragments-that-lie", needs=NET)
def fragments_that_lie(t):
    s = Sender(t)
    data = pattern(2000)
    body = s.body(data)
    for ident in range(40):                                     # last ones alone: more than are kept
        s.send(fragment(body, ident, 1480, len(body)))
    s.send(fragment(body, 50, 1480, len(body)))                 # two ends
    s.send(fragment(body[:1600], 50, 1480, 1600))
    s.send(fragment(body + bytes(800), 51, 2400, 2408))         # behind the end
    s.send(fragment(body, 51, 1480, len(body)))
    s.send(fragment(body, 52, 0, 1001))                         # an end that no fragment has
    packet = fragment(body, 53, 0, 1480)
    packet[11] ^= 1
    s.send(packet)                                              # a wrong sum
    packet = fragment(body, 54, 1480, len(body))
    struct.pack_into(">H", packet, 6, 0x1fff)
    struct.pack_into(">H", packet, 10, 0)
    struct.pack_into(">H", packet, 10, checksum(bytes(packet[:20])))
    s.send(packet)                                              # beyond 64 KiB
    for ident in (50, 51, 60):
        for at, end in ((0, 1480), (1480, len(body))):
            s.send(fragment(body, ident, at, end))
        s.received(data, f"datagram {ident} afterwards")
