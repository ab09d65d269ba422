# SPDX-License-Identifier: GPL-2.0-or-later
"""What offloads do to frames, computed here: checksums, segments, fragments,
and a small TCP that plays the guest's end of a connection."""

import socket
import struct
import time

from netlib import GSO_ECN, GSO_NONE, GSO_TCPV4, GSO_TCPV6, GSO_UDP_L4, HOST_MAC, NEEDS_CSUM, checksum, net_hdr
from qtestlib import WAIT_S, Failure, check, eq
from virtiolib import MAC

TCP, UDP = 6, 17
FIN, SYN, RST, PSH, ACK, ECE, CWR = 1, 2, 4, 8, 0x10, 0x40, 0x80
GUEST4, HOST4 = bytes((192, 0, 2, 1)), bytes((192, 0, 2, 2))
GUEST6, HOST6 = bytes.fromhex("20010db8" + "00" * 11 + "01"), bytes.fromhex("20010db8" + "00" * 11 + "02")
DATA_VALID = 2


def sum_pseudo(src, dst, protocol, length):
    """What the checksum field of a partial frame holds."""
    return ~checksum(src + dst + struct.pack(">II", length, protocol)) & 0xffff


def sum_whole(src, dst, protocol, segment):
    return checksum(src + dst + struct.pack(">II", len(segment), protocol) + segment)


class Flow:
    """Builds frames of one connection, from the guest or to it."""

    def __init__(self, protocol, v6=False, from_guest=True, sport=4000, dport=5000, vlan=None, guest_mac=MAC,
                 host_mac=HOST_MAC):
        self.protocol, self.v6, self.vlan = protocol, v6, vlan
        guest, host = (GUEST6, HOST6) if v6 else (GUEST4, HOST4)
        self.src, self.dst = (guest, host) if from_guest else (host, guest)
        macs = host_mac + guest_mac if from_guest else guest_mac + host_mac
        self.link = macs + (struct.pack(">HH", 0x8100, vlan) if vlan is not None else b"")
        self.link += b"\x86\xdd" if v6 else b"\x08\0"
        self.sport, self.dport = sport, dport
        self.l3 = len(self.link)
        self.l4 = self.l3 + (40 if v6 else 20)
        self.sum_at = 16 if protocol == TCP else 6

    def ip(self, body, ident=0x1234, tos=0, fragment=0x4000, next_header=None):
        """BODY behind link and IP headers."""
        protocol = next_header or self.protocol
        if self.v6:
            return self.link + struct.pack(">IHBB", 6 << 28 | tos << 20, len(body), protocol, 64) + self.src + \
                self.dst + body
        head = struct.pack(">BBHHHBBH", 0x45, tos, 20 + len(body), ident & 0xffff, fragment, 64, protocol, 0)
        head += self.src + self.dst
        return self.link + head[:10] + struct.pack(">H", checksum(head)) + head[12:] + body

    def transport(self, payload, partial, seq=0x11223344, ack=1, flags=ACK, window=8192, options=b""):
        """Header and payload; its checksum is whole or, PARTIAL, the pseudo-header's."""
        if self.protocol == TCP:
            head = struct.pack(">HHIIBBHHH", self.sport, self.dport, seq & 0xffffffff, ack & 0xffffffff,
                               20 + len(options) << 2, flags, window, 0, 0) + options
        else:
            head = struct.pack(">HHHH", self.sport, self.dport, 8 + len(payload), 0)
        body = head + payload
        value = (sum_pseudo(self.src, self.dst, self.protocol, len(body)) if partial
                 else sum_whole(self.src, self.dst, self.protocol, body) or 0xffff)
        return body[:self.sum_at] + struct.pack(">H", value) + body[self.sum_at + 2:]

    def frame(self, payload, partial=False, ident=0x1234, tos=0, **tcp):
        return self.ip(self.transport(payload, partial, **tcp), ident, tos)

    def headers(self, options=b""):
        """Length of all headers."""
        return self.l4 + (20 + len(options) if self.protocol == TCP else 8)

    def gso(self):
        return GSO_UDP_L4 if self.protocol == UDP else GSO_TCPV6 if self.v6 else GSO_TCPV4

    def hdr(self, size=0, gso=None, hdr_len=None, flags=NEEDS_CSUM):
        """The virtio-net header of a partial frame; SIZE: to be segmented."""
        gso = (self.gso() if size else GSO_NONE) if gso is None else gso
        return net_hdr(flags, gso, self.headers() if hdr_len is None else hdr_len, size, self.l4, self.sum_at)

    def segments(self, payload, size, ident=0x1234, tos=0, seq=0x11223344, flags=ACK, **tcp):
        """The frames that a payload with GSO size SIZE becomes."""
        parts = [payload[i:i + size] for i in range(0, len(payload), size)]
        frames = []
        for i, part in enumerate(parts):
            if self.protocol == TCP:
                f = flags if i + 1 == len(parts) else flags & ~(FIN | PSH)
                tcp.update(seq=seq + i * size, flags=f if i == 0 else f & ~CWR)
            frames.append(self.frame(part, ident=ident + i, tos=tos, **tcp))
        return frames

    def fragments(self, payload, size):
        """The IPv4 fragments that a datagram with UFO size SIZE becomes."""
        body = self.transport(payload, False)
        frames = []
        for at in range(0, len(body), size):
            more = 0x2000 if at + size < len(body) else 0
            frames.append(self.ip(body[at:at + size], fragment=more | at >> 3))
        return frames


def payload(n, seed=0):
    """N bytes that tell their place."""
    return bytes((i * 37 + (i >> 8) * 11 + seed) & 0xff for i in range(n))


class Received:
    """A TCP or UDP frame for the guest, taken apart and checked against its virtio-net header. ALLOWED: the GSO types,
    and GSO_ECN; CSUM: the checksum may be partial."""

    def __init__(self, hdr, frame, allowed=(), csum=False, mtu=1500):
        self.flags, gso, hdr_len, self.size, start, offset = struct.unpack_from("<BBHHHH", hdr)
        self.gso, self.ecn = gso & ~GSO_ECN, bool(gso & GSO_ECN)
        self.frame = frame
        v6 = frame[12:14] == b"\x86\xdd"
        ip = frame[14:]
        self.l4 = 54 if v6 else 34
        if v6:
            length, self.protocol = 40 + struct.unpack_from(">H", ip, 4)[0], ip[6]
            self.src, self.dst = ip[8:24], ip[24:40]
        else:
            length, self.protocol = struct.unpack_from(">H", ip, 2)[0], ip[9]
            self.src, self.dst = ip[12:16], ip[16:20]
            eq(checksum(ip[:20]), 0, "sum of an IP header")
        eq(len(ip), length, "length of the IP packet")
        segment = ip[self.l4 - 14:]
        at = 16 if self.protocol == TCP else 6
        self.sport, self.dport = struct.unpack_from(">HH", segment)
        head = (segment[12] >> 4) * 4 if self.protocol == TCP else 8
        self.payload = segment[head:]
        if self.protocol == TCP:
            self.seq, self.ack = struct.unpack_from(">II", segment, 4)
            self.tcp_flags, self.window = segment[13], struct.unpack_from(">H", segment, 14)[0]
        if self.flags & NEEDS_CSUM:
            check(csum, "a partial checksum, which was not asked for")
            eq((start, offset), (self.l4, at), "place of the checksum")
            eq(struct.unpack_from(">H", segment, at)[0], sum_pseudo(self.src, self.dst, self.protocol, len(segment)),
               "sum of the pseudo-header")
        else:
            eq(sum_whole(self.src, self.dst, self.protocol, segment), 0, "checksum")
            check(csum or self.flags == 0, f"flags {self.flags:#x} although the checksum was not negotiated")
        if self.gso == GSO_NONE:
            check(not self.ecn and self.size == 0, f"GSO type {gso:#x}, size {self.size} of a frame for one packet")
            check(len(ip) <= mtu, f"a packet of {len(ip)} bytes")
        else:
            check(self.gso in allowed, f"GSO type {self.gso}, which was not negotiated")
            eq(self.gso, GSO_UDP_L4 if self.protocol == UDP else GSO_TCPV6 if v6 else GSO_TCPV4, "GSO type")
            check(self.flags & NEEDS_CSUM, "a frame to be segmented has its checksum already")
            check(0 < self.size < len(self.payload), f"GSO size {self.size} of {len(self.payload)} bytes")
            check(self.l4 - 14 + head + self.size <= mtu, f"GSO size {self.size}")
            check(not self.ecn or GSO_ECN in allowed, "GSO type with ECN, which was not negotiated")
            eq(self.ecn, self.protocol == TCP and bool(self.tcp_flags & CWR), "ECN in the GSO type, CWR in the header")
            check(hdr_len >= self.l4 + head, f"hdr_len {hdr_len}")


class Peer:
    """The guest's end of a TCP connection that the host's socket SOCK opens; every frame is checked."""

    def __init__(self, nic, host_mac, v6=False, mss=1448, allowed=(), csum=False, mtu=1500, tx_gso=True, tx_csum=True):
        self.nic, self.mss = nic, mss
        self.allowed, self.csum, self.mtu = allowed, csum, mtu
        self.tx_gso, self.tx_csum = tx_gso, tx_csum
        self.out = Flow(TCP, v6, host_mac=host_mac, sport=7000)
        self.next, self.una, self.expected = 0x7fffff00, 0x7fffff00, None
        self.window = 0
        self.data = bytearray()
        self.gso_frames = self.cwr_frames = self.ecn_frames = self.frames = 0
        self.extra_flags = 0

    def poll(self):
        """Takes one frame of the connection; None when none is there."""
        got = self.nic.recv(0, wait=False)
        if got is None:
            return None
        hdr, frame = got
        ours = b"\x86\xdd" if self.out.v6 else b"\x08\0"
        if frame[12:14] != ours or frame[20 if self.out.v6 else 23] != TCP:
            return False
        r = Received(hdr, frame, self.allowed, self.csum, self.mtu)
        if r.dport != self.out.sport:
            return False
        self.take(r)
        return r

    def reply(self, data=b"", flags=ACK, options=b""):
        tcp = dict(seq=self.next, ack=self.expected, flags=flags | self.extra_flags, window=65535, options=options)
        whole = len(data) <= self.mss
        partial = self.tx_csum and bool(data)
        frame = self.out.frame(data, partial=partial, **tcp)
        hdr = self.out.hdr(size=0 if whole else self.mss) if partial else None
        self.nic.send(0, frame, hdr)
        self.next = self.next + len(data) + bool(flags & SYN) & 0xffffffff

    def take(self, r):
        check(not r.tcp_flags & RST, "the host resets the connection")
        if r.tcp_flags & SYN:
            self.out.dport = r.sport
            self.expected = r.seq + 1 & 0xffffffff
            options = struct.pack(">BBH", 2, 4, self.mss) + b"\1\3\3\7"
            ecn = ECE if r.tcp_flags & ECE else 0
            self.reply(flags=SYN | ACK | ecn, options=options)
            return
        self.frames += 1
        self.gso_frames += r.gso != GSO_NONE
        self.cwr_frames += bool(r.tcp_flags & CWR)
        self.ecn_frames += r.ecn
        self.una, self.window = r.ack, r.window
        if r.payload:
            if r.seq == self.expected:
                self.data += r.payload
                self.expected = self.expected + len(r.payload) & 0xffffffff
            self.reply()

    def until(self, done, what):
        """Serves the connection until DONE() is true."""
        end = time.monotonic() + 3 * WAIT_S
        while not done():
            if self.poll() is None and time.monotonic() > end:
                raise Failure(f"waited in vain for {what}; {len(self.data)} bytes came in {self.frames} frames")

    def send_all(self, sock, data):
        """Sends DATA to the host's socket in frames as large as there may be; what SOCK received."""
        got = bytearray()
        step = (min(24 * self.mss, 60000) if self.tx_gso else self.mss) - 7
        sock.setblocking(False)

        def drain():
            try:
                got.extend(sock.recv(1 << 20))
            except BlockingIOError:
                pass
            return self.una == self.next and len(got) == self.sent
        self.sent = 0
        for at in range(0, len(data), step):
            part = data[at:at + step]
            self.sent += len(part)
            self.reply(part, flags=ACK | PSH)
            self.until(drain, f"the acknowledgement of byte {self.sent}")
        return bytes(got)


def connect(nic, host_mac, v6=False, **kw):
    """A connected pair: the host's socket and the guest's Peer."""
    sock = socket.socket(socket.AF_INET6 if v6 else socket.AF_INET)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
    sock.setblocking(False)
    peer = Peer(nic, host_mac, v6, **kw)
    address = (socket.inet_ntop(sock.family, GUEST6 if v6 else GUEST4), 7000)
    check(sock.connect_ex(address) in (0, 115), "connect()")
    peer.until(lambda: sock.connect_ex(address) in (0, 106), "the connection")
    return sock, peer
