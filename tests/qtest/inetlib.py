# SPDX-License-Identifier: GPL-2.0-or-later
"""As much of an IP stack as it takes to be a guest of a user-mode network: ARP, DHCP, UDP, TCP, a little IPv6. Nothing is
sent again: the wire loses nothing."""

import socket
import struct

from netlib import BROADCAST, checksum, ipv4
from qtestlib import Failure, check, eq
from virtiolib import MAC

ARP, IPV4, IPV6 = 0x0806, 0x0800, 0x86dd
TCP, UDP, ICMPV6 = 6, 17, 58
FIN, SYN, RST, PSH, ACK = 1, 2, 4, 8, 16
WINDOW = 60000
PENDING = 64
ANY, ALL = bytes(4), b"\xff" * 4
MAGIC = b"\x63\x82\x53\x63"  # RFC 2131
ALL_ROUTERS = socket.inet_pton(socket.AF_INET6, "ff02::2")


def ip4(text):
    return socket.inet_pton(socket.AF_INET, text)


def ip6(text):
    return socket.inet_pton(socket.AF_INET6, text)


def pseudo_sum(protocol, src, dst, body):
    """The checksum of a transport header over IPv4 or IPv6."""
    middle = struct.pack(">BBH" if len(src) == 4 else ">IxxxB", *((0, protocol, len(body)) if len(src) == 4 else
                                                                 (len(body), protocol)))
    return checksum(src + dst + middle + body)


def with_sum(protocol, src, dst, body, at):
    return body[:at] + struct.pack(">H", pseudo_sum(protocol, src, dst, body)) + body[at + 2:]


class Packet:
    """A received frame, taken apart."""

    def __init__(self, frame):
        self.frame = frame
        self.src_mac = frame[6:12]
        self.ethertype = struct.unpack_from(">H", frame, 12)[0]
        self.protocol, self.body = None, frame[14:]
        if self.ethertype == IPV4:
            header = (frame[14] & 15) * 4
            total = struct.unpack_from(">H", frame, 16)[0]
            eq(checksum(frame[14:14 + header]), 0, "checksum of an IPv4 header")
            self.protocol, self.src, self.dst = frame[23], frame[26:30], frame[30:34]
            self.body = frame[14 + header:14 + total]
        elif self.ethertype == IPV6:
            self.protocol, self.src, self.dst = frame[20], frame[22:38], frame[38:54]
            self.body = frame[54:54 + struct.unpack_from(">H", frame, 18)[0]]
        if self.protocol in (TCP, ICMPV6) or (self.protocol == UDP and self.body[6:8] != b"\0\0"):
            eq(pseudo_sum(self.protocol, self.src, self.dst, self.body), 0, f"checksum of protocol {self.protocol}")
        if self.protocol in (TCP, UDP):
            self.sport, self.dport = struct.unpack_from(">HH", self.body)
        if self.protocol == UDP:
            self.data = self.body[8:]
        if self.protocol == TCP:
            self.seq, self.ack, offset, self.flags, self.window = struct.unpack_from(">IIBBH", self.body, 4)
            self.data = self.body[(offset >> 4) * 4:]


class Guest:
    """A host with one address on queue pair 0 of NIC."""

    def __init__(self, nic, address=None):
        self.nic, self.ip = nic, address
        self.ip6, self.router_mac = None, None  # of IPv6, when it is in use
        self.macs, self.pending = {}, []

    def wait(self, wanted, what):
        """The first packet that WANTED is true for; ARP is answered meanwhile."""
        for i, packet in enumerate(self.pending):
            if wanted(packet):
                return self.pending.pop(i)
        while True:
            packet = Packet(self.nic.recv(0, what=what)[1])
            self.on_packet(packet)
            if wanted(packet):
                return packet
            self.pending = self.pending[1 - PENDING:] + [packet]

    # ---- Ethernet and IP ----

    def on_packet(self, packet):
        """Answers who asks for our addresses."""
        if packet.ethertype == ARP:
            self.on_arp(packet)
        elif self.ip6 and packet.protocol == ICMPV6 and packet.body[0] == 135 and packet.body[8:24] == self.ip6:
            self.advertise(self.ip6, packet)

    def send_segment(self, protocol, dst, body, at):
        """A transport's BODY, its checksum AT, to an address of IPv4 or IPv6."""
        if len(dst) == 4:
            self.send_ip(protocol, dst, with_sum(protocol, self.ip, dst, body, at))
        else:
            self.send_ip6(protocol, self.router_mac, self.ip6, dst, with_sum(protocol, self.ip6, dst, body, at), hops=64)

    def on_arp(self, packet):
        op, src_mac, src, target = struct.unpack_from(">xxxxxxH6s4s6x4s", packet.body)
        self.macs[src] = src_mac
        if op == 1 and target == self.ip:
            self.send_arp(2, src_mac, src)

    def send_arp(self, op, mac, target):
        self.nic.send(0, (mac if op == 2 else BROADCAST) + MAC + struct.pack(
            ">HHHBBH6s4s6s4s", ARP, 1, IPV4, 6, 4, op, MAC, self.ip or ANY, mac if op == 2 else bytes(6), target))

    def mac_of(self, address):
        if address == ALL:
            return BROADCAST
        if address not in self.macs:
            self.send_arp(1, None, address)
            self.wait(lambda p: p.ethertype == ARP and address in self.macs, f"an ARP answer for {address.hex('.')}")
        return self.macs[address]

    def send_ip(self, protocol, dst, body, src=None):
        self.nic.send(0, self.mac_of(dst) + MAC + struct.pack(">H", IPV4) + ipv4(protocol, src or self.ip, dst, body))

    def send_udp(self, dst, sport, dport, data, src=None):
        body = struct.pack(">HHHH", sport, dport, 8 + len(data), 0) + data
        self.send_ip(UDP, dst, with_sum(UDP, src or self.ip, dst, body, 6), src)

    def wait_udp(self, port, what):
        return self.wait(lambda p: p.protocol == UDP and p.dport == port, what)

    # ---- DHCP ----

    def dhcp(self):
        """Gets an address; what the server said, by the number of the option ("file": the boot file)."""
        offer = self._dhcp_turn(1, b"", 2)
        self.ip = None
        ack = self._dhcp_turn(3, b"\x32\4" + offer["address"] + b"\x36\4" + offer[54], 5)
        self.ip = ack["address"]
        return ack

    def _dhcp_turn(self, kind, options, answer):
        head = struct.pack(">BBBBIHH4s4s4s4s6s10x64x128x", 1, 1, 6, 0, 0x1234, 0, 0x8000, ANY, ANY, ANY, ANY, MAC)
        self.send_udp(ALL, 68, 67, head + MAGIC + bytes((53, 1, kind)) + options + b"\xff", src=ANY)
        body = self.wait_udp(68, "an answer of DHCP").data
        found = {"address": body[16:20], "file": body[108:236].split(b"\0")[0]}
        eq(body[236:240], MAGIC, "magic cookie of DHCP")
        at = 240
        while body[at] != 255:
            found[body[at]] = body[at + 2:at + 2 + body[at + 1]]
            at += 2 + body[at + 1]
        eq(found[53], bytes((answer,)), "type of DHCP's answer")
        return found

    # ---- IPv6 ----

    def send_ip6(self, protocol, dst_mac, src, dst, body, hops=255):
        self.nic.send(0, dst_mac + MAC + struct.pack(">HIHBB", IPV6, 6 << 28, len(body), protocol, hops) + src + dst +
                      body)

    def router(self, own):
        """Asks for a router, with the link-local address OWN: the advertisement."""
        body = with_sum(ICMPV6, own, ALL_ROUTERS, b"\x85" + bytes(7), 2)
        self.send_ip6(ICMPV6, bytes.fromhex("333300000002"), own, ALL_ROUTERS, body)
        return self.wait(lambda p: p.protocol == ICMPV6 and p.body[0] == 134, "a router advertisement")

    def answer_neighbours(self, own):
        """A packet comes for OWN after the router has asked who has it."""
        packet = self.wait(lambda p: p.protocol == ICMPV6 and p.body[0] == 135 and p.body[8:24] == own,
                           "a neighbour solicitation")
        self.advertise(own, packet)

    def advertise(self, own, packet):
        body = b"\x88\0\0\0\x60\0\0\0" + own + b"\2\1" + MAC
        self.send_ip6(ICMPV6, packet.src_mac, own, packet.src, with_sum(ICMPV6, own, packet.src, body, 2))

    def use_ip6(self, link_local, own):
        """Has the address OWN of a router's network from now on; the router's advertisement."""
        answer = self.router(link_local)
        self.router_mac, self.ip6 = answer.src_mac, own
        return answer


class Stream:
    """A TCP connection of a Guest's."""

    def __init__(self, guest, peer, sport, dport):
        self.guest, self.peer, self.sport, self.dport = guest, peer, sport, dport
        self.seq, self.acked, self.expected, self.window = 1000, 1000, 0, 0
        self.received, self.ended = b"", False

    @classmethod
    def connect(cls, guest, peer, sport, dport):
        s = cls(guest, peer, sport, dport)
        s._send(SYN)
        answer = s._wait("an answer to SYN")
        if answer.flags & RST:
            raise ConnectionRefusedError
        eq(answer.flags & (SYN | ACK), SYN | ACK, "flags of the answer to SYN")
        s._begin(answer)
        s._send(ACK)
        return s

    @classmethod
    def answer(cls, guest, port):
        """Accepts a connection, which is not complete yet."""
        syn = guest.wait(lambda p: p.protocol == TCP and p.dport == port and p.flags & SYN, f"SYN for port {port}")
        s = cls(guest, syn.src, port, syn.sport)
        s._begin(syn)
        s._send(SYN | ACK)
        return s

    @classmethod
    def accept(cls, guest, port):
        s = cls.answer(guest, port)
        s.take(s._wait("an answer to SYN and ACK"))
        return s

    def _begin(self, syn):
        self.expected, self.window = syn.seq + 1 & 0xffffffff, syn.window
        self.acked = self.seq

    def _send(self, flags, data=b""):
        options = b"\2\4\5\xb4" if flags & SYN else b""  # a segment has up to 1460 bytes
        head = struct.pack(">HHIIBBHHH", self.sport, self.dport, self.seq, self.expected, 0x50 + 4 * len(options), flags,
                           WINDOW, 0, 0) + options
        self.guest.send_segment(TCP, self.peer, head + data, 16)
        self.seq = self.seq + len(data) + bool(flags & (SYN | FIN)) & 0xffffffff

    def _wait(self, what):
        return self.guest.wait(lambda p: p.protocol == TCP and (p.sport, p.dport) == (self.dport, self.sport), what)

    def take(self, packet):
        check(not packet.flags & RST, "the connection was reset")
        if packet.flags & ACK:
            self.acked, self.window = packet.ack, packet.window
        if packet.seq == self.expected and (packet.data or packet.flags & FIN):
            self.received += packet.data
            self.ended |= bool(packet.flags & FIN)
            self.expected = self.expected + len(packet.data) + bool(packet.flags & FIN) & 0xffffffff
        if packet.data or packet.flags & FIN:
            self._send(ACK)

    def send(self, data, what="room in the peer's window"):
        for at in range(0, len(data), 1400):
            piece = data[at:at + 1400]
            while self.seq - self.acked + len(piece) > self.window:
                self.take(self._wait(what))
            self._send(ACK | PSH, piece)

    def recv(self, n, what="data over TCP"):
        """N bytes; fewer at the end of the stream."""
        while len(self.received) < n and not self.ended:
            self.take(self._wait(what))
        data, self.received = self.received[:n], self.received[n:]
        return data

    def close(self):
        self._send(FIN | ACK)
        while self.acked != self.seq or not self.ended:
            self.take(self._wait("the end of a connection"))


def refused(guest, peer, sport, dport):
    """Nobody answers a SYN but with a reset."""
    try:
        Stream.connect(guest, peer, sport, dport)
    except ConnectionRefusedError:
        return
    raise Failure("a connection was made that should be refused")
