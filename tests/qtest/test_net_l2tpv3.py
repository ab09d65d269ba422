# SPDX-License-Identifier: GPL-2.0-or-later
"""-netdev l2tpv3 (RFC 3931): headers as both ends agreed on, over UDP and IP; what is not of the session is counted."""

import os
import select
import shutil
import socket
import struct
import subprocess
from pathlib import Path

from netlib import BROADCAST, HOST_MAC, Host, raw_frame, set_up
from qmplib import Qmp
from qtestlib import WAIT_S, Skip, _die_with_parent, case, check, eq, wait_for
from virtiolib import MAC, MAC_TEXT, Modern, Nic, find_virtio

ROOT = ("root",)
HERE, THERE = 4001, 4002                   # UDP ports of the emulator and of the case
TX, RX = 0x11223344, 0xa1b2c3d4            # sessions as the emulator sees them
SESSIONS = f",txsession={TX},rxsession={RX}"
TX_COOKIE, RX_COOKIE = 0x0102030405060708, 0xf1f2f3f4f5f6f7f8
DATA = b"\0\3\0\0"
IPPROTO_L2TP = 115


def enable_ipv6():
    """::1 is there; namespaces of cases begin without."""
    Path("/proc/sys/net/ipv6/conf/lo/disable_ipv6").write_text("0", encoding="ascii")
    wait_for(lambda: " 80 " in Path("/proc/self/net/if_inet6").read_text(encoding="ascii"), "::1")


class Tunnel:
    """A machine with one NIC on l2tpv3, and the other end as a socket of the case's. Over UDP unless KIND is SOCK_RAW.
    HEAD_OUT(i) is what the emulator puts before its frame number i, HEAD_IN what the case does."""

    def __init__(self, t, options="", head_out=None, head_in=None, kind=socket.SOCK_DGRAM, family=socket.AF_INET,
                 nic_options="", posted=32):
        set_up("lo")
        udp, v6 = kind == socket.SOCK_DGRAM, family == socket.AF_INET6
        flags = DATA if udp else b""
        self.head_out = head_out or (lambda i: flags + struct.pack(">I", TX))
        self.head_in = head_in if head_in is not None else flags + struct.pack(">I", RX)
        self.ip_header = 0 if udp or v6 else 20
        host = "::1" if v6 else "127.0.0.1"
        if v6:
            enable_ipv6()
        self.sock = socket.socket(family, kind, 0 if udp else IPPROTO_L2TP)
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
        self.sock.bind((host, THERE if udp else 0))
        self.there = (host, HERE if udp else 0)
        ports = f",udp=on,srcport={HERE},dstport={THERE}" if udp else ""
        self.vm = t.vm("-netdev", f"l2tpv3,id=n0,src={host},dst={host}{',ipv6=on' if v6 else ''}{ports}{SESSIONS}{options}",
                       "-device", f"virtio-net-pci,netdev=n0,mac={MAC_TEXT},id=nic0{nic_options}", qmp=True)
        self.qmp = Qmp(self.vm.qmp_path)
        self.nic = Nic(Modern(find_virtio(self.vm)[0])).start(posted=posted)
        self.sent = 0

    def send(self, frame):
        self.sock.sendto(self.head_in + frame, self.there)

    def packet(self, timeout=WAIT_S):
        """The next packet that the emulator sent; None when none comes. Raw sockets of one host see their own too."""
        while select.select([self.sock], [], [], timeout)[0]:
            packet = self.sock.recv(1 << 17)[self.ip_header:]
            if packet[:4] != struct.pack(">I", RX):
                return packet
        return None

    def expect(self, frame, what):
        eq(self.packet(), self.head_out(self.sent) + frame, what)
        self.sent += 1

    def stats(self):
        return self.qmp.cmd("query-net-queues", arguments_={"name": "nic0"})[0]["stats"]


@case("net-l2tpv3/udp", needs=ROOT)
def udp(t):
    wire = Tunnel(t)
    wire.nic.both_ways(wire, n=6)
    info = wire.qmp.cmd("human-monitor-command", command_line="info network")
    check(f"n0: type=l2tpv3,udp,src=127.0.0.1:{HERE},dst=127.0.0.1:{THERE},txsession={TX}" in info, info)
    frame = raw_frame(MAC, HOST_MAC, b"jumbo", size=9000)
    wire.send(frame)
    wire.nic.expect(0, frame, "a frame of several buffers")
    wire.nic.send(0, frame, pieces=5)
    wire.expect(frame, "a frame in pieces")


FORMATS = (
    # options, what is between session and frame: sent, received
    (f",txcookie={TX_COOKIE & 0xffffffff},rxcookie={RX_COOKIE & 0xffffffff}",
     lambda i: struct.pack(">I", TX_COOKIE & 0xffffffff), struct.pack(">I", RX_COOKIE & 0xffffffff)),
    (f",cookie64=on,txcookie={TX_COOKIE},rxcookie={RX_COOKIE},counter=on,offset=7",
     lambda i: struct.pack(">QI7x", TX_COOKIE, i), struct.pack(">QI7x", RX_COOKIE, 99)),
    (",counter=on", lambda i: struct.pack(">I", i), struct.pack(">I", 0x40000001)),
    (",counter=on,pincounter=on", lambda i: bytes(4), struct.pack(">I", 5)),
    (",pincounter=on", lambda i: b"", b""),
    (",counter=on,pincounter=on,offset=1024", lambda i: bytes(1028), bytes(1028)),
    (",offset=4", lambda i: bytes(4), b"\1\2\3\4"),
)


def add_format(number, options, out, into, **kw):
    flags = DATA if kw.get("kind", socket.SOCK_DGRAM) == socket.SOCK_DGRAM else b""

    @case(f"net-l2tpv3/format/{number}", needs=ROOT)
    def one_format(t):
        wire = Tunnel(t, options, lambda i: flags + struct.pack(">I", TX) + out(i), flags + struct.pack(">I", RX) + into, **kw)
        wire.nic.both_ways(wire)
        burst(wire, 40)


for index, row in enumerate(FORMATS):
    add_format(index, *row)
add_format("ipv6", *FORMATS[1], family=socket.AF_INET6)
add_format("raw-ip", *FORMATS[1], kind=socket.SOCK_RAW)
add_format("raw-ipv6", *FORMATS[0], kind=socket.SOCK_RAW, family=socket.AF_INET6)


def burst(wire, n):
    """Many frames each way, in their order."""
    frames = [raw_frame(MAC, HOST_MAC, b"burst %d" % i, size=60 + 30 * i) for i in range(n)]
    for frame in frames:
        wire.nic.send(0, frame, wait=False)
    for i, frame in enumerate(frames):
        wire.expect(frame, f"frame {i} of a burst out")
    wire.nic.tx[0].wait("the burst")
    for frame in frames:
        wire.send(frame)
    for i, frame in enumerate(frames):
        wire.nic.expect(0, frame, f"frame {i} of a burst in")


@case("net-l2tpv3/what-is-not-of-the-session", needs=ROOT)
def strangers(t):
    head = DATA + struct.pack(">IQI", RX, RX_COOKIE, 1)
    wire = Tunnel(t, f",cookie64=on,txcookie={TX_COOKIE},rxcookie={RX_COOKIE},counter=on",
                 lambda i: DATA + struct.pack(">IQI", TX, TX_COOKIE, i), head)
    frame = raw_frame(MAC, HOST_MAC, b"no", size=60)
    good = head + frame
    bad = [b"", b"\0", head[:-1], head, head + frame[:13],
           b"\x80" + good[1:], b"\0\2" + good[2:], b"\xc8\3" + good[2:],
           DATA + struct.pack(">I", TX) + good[8:], DATA + bytes(4) + good[8:],
           DATA + struct.pack(">IQ", RX, RX_COOKIE ^ 1) + good[16:],
           DATA + struct.pack(">IQ", RX, RX_COOKIE ^ 1 << 63) + good[16:],
           good[:16], os.urandom(1400), bytes(65000), b"\xff" * 300]
    for packet in bad:
        wire.sock.sendto(packet, wire.there)
    wire.send(frame)
    wire.nic.expect(0, frame, "the first good one")
    eq(wire.stats()["rx-errors"], len(bad), "rx-errors")
    for i in range(200):
        wire.sock.sendto(bad[i % len(bad)], wire.there)
        if i % 10 == 0:
            wire.send(frame)
            wire.nic.expect(0, frame, "a good one among bad ones")
    wire.nic.both_ways(wire)
    reserved = b"\x30\xf3\x12\x34" + good[4:]   # bits that a receiver ignores (4.1.2.1)
    wire.sock.sendto(reserved, wire.there)
    wire.nic.expect(0, frame, "reserved bits set")


@case("net-l2tpv3/buffer-of-1024-elements", needs=ROOT)
def many_elements(t):
    """The most that the kernel takes, so that there is none for the packet's header."""
    wire = Tunnel(t, nic_options=",rx_queue_size=1024", posted=0)
    ring, size, n = wire.nic.rx[0], 64, 1024
    frame = raw_frame(MAC, HOST_MAC, os.urandom(200), size=1514)
    for i in range(3):
        base = wire.vm.alloc(2 * size * n, 64)
        parts = [(base + 2 * size * k, size) for k in range(n)]
        ring.push(ring.add(into=parts))
        if i == 1:
            wire.sock.sendto(b"not of the session", wire.there)
        wire.send(frame)
        _, written, _ = ring.wait(f"frame {i}")
        data = b"".join(bytes(wire.vm.ram[at:at + size]) for at, size in parts)
        eq((written, data[wire.nic.hdr_len:written]), (wire.nic.hdr_len + len(frame), frame), f"frame {i}")
    eq(wire.stats()["rx-errors"], 1, "rx-errors")


@case("net-l2tpv3/frame-in-1024-elements", needs=ROOT)
def many_elements_out(t):
    """Likewise from the guest, the virtio-net header in front of the first payload."""
    wire = Tunnel(t, nic_options=",tx_queue_size=1024")
    ring, n = wire.nic.tx[0], 1024
    for i, size in enumerate((1514, 40000)):
        frame = raw_frame(HOST_MAC, MAC, b"%d" % i, size=size)
        data = bytes(wire.nic.hdr_len) + frame
        base = wire.vm.alloc(len(data), 64)
        wire.vm.ram[base:base + len(data)] = data
        first = len(data) - n + 1
        ring.push(ring.add(out=[(base, first)] + [(base + first + k, 1) for k in range(n - 1)]))
        ring.wait("the sent frame")
        wire.expect(frame, f"frame {i}")
    wire.nic.both_ways(wire)
    eq(wire.stats()["tx-dropped"], 0, "tx-dropped")


@case("net-l2tpv3/longest-frames", needs=ROOT)
def longest(t):
    wire = Tunnel(t)
    frame = raw_frame(MAC, HOST_MAC, size=65507 - 8)
    wire.nic.send(0, frame)
    wire.expect(frame, "the longest frame that a datagram holds")
    wire.send(frame)
    wire.nic.expect(0, frame, "the longest frame that comes")
    wire.nic.send(0, frame + b"x")
    wait_for(lambda: wire.stats()["tx-dropped"] == 1, "a drop")
    wire.sent += 1
    wire.nic.both_ways(wire)


@case("net-l2tpv3/deleted-and-added", needs=ROOT)
def again(t):
    wire = Tunnel(t)
    before = wire.vm.fds()
    for _ in range(3):
        wire.qmp.cmd("netdev_del", id="n0")
        wire.qmp.cmd("netdev_add", arguments_={
            "type": "l2tpv3", "id": "n0", "src": "127.0.0.1", "dst": "127.0.0.1", "udp": True, "srcport": str(HERE),
            "dstport": str(THERE), "txsession": TX, "rxsession": RX})
        wire.nic.both_ways(wire)
    eq(wire.vm.fds(), before, "descriptors")


@case("net-l2tpv3/nobody-listens", needs=ROOT)
def nobody(t):
    wire = Tunnel(t)
    wire.sock.close()
    for i in range(20):
        wire.nic.send(0, raw_frame(HOST_MAC, MAC, b"%d" % i, size=60))
    wire.sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    wire.sock.bind(("127.0.0.1", THERE))
    wire.nic.both_ways(wire)


@case("net-l2tpv3/at-a-hub", needs=("root", "tun"))
def hub(t):
    set_up("lo")
    other = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    other.bind(("127.0.0.1", THERE))
    t.vm("-netdev", f"l2tpv3,id=n0,src=127.0.0.1,dst=127.0.0.1,udp=on,srcport={HERE},dstport={THERE}{SESSIONS}",
         "-netdev", "hubport,id=a,hubid=0,netdev=n0", "-netdev", "tap,id=n1,ifname=t0,script=no,downscript=no",
         "-netdev", "hubport,id=b,hubid=0,netdev=n1")
    tap_to_tunnel(other, "t0")


def tap_to_tunnel(other, name):
    """Frames cross an emulator that joins a tap and a tunnel, both ways."""
    host = Host(name)
    for i in range(50):
        frame = raw_frame(BROADCAST, HOST_MAC, b"%d" % i, size=60 + 20 * i)
        host.send(frame)
        eq(other.recv(1 << 16), DATA + struct.pack(">I", TX) + frame, "from the tap")
        other.sendto(DATA + struct.pack(">I", RX) + frame, ("127.0.0.1", HERE))
        host.expect(frame, "to the tap")


# ---- the other end is QEMU ----


def start_qemu(t, tunnel):
    """Debian's QEMU joins TUNNEL and the tap q0 by a hub."""
    program = shutil.which("qemu-system-x86_64")
    if not program:
        raise Skip("no qemu-system-x86_64 to talk to")
    version = subprocess.run([program, "--version"], capture_output=True, text=True, check=False).stdout
    if "Fabrice" not in version:
        raise Skip(f"{program} is not QEMU")
    log = open(t.dir / "log-qemu", "w", encoding="utf-8")
    process = subprocess.Popen(
        [program, "-machine", "none", "-display", "none", "-nodefaults", "-monitor", "none", "-serial", "none",
         "-netdev", tunnel, "-netdev", "hubport,id=a,hubid=0,netdev=tunnel",
         "-netdev", "tap,id=n1,ifname=q0,script=no,downscript=no", "-netdev", "hubport,id=b,hubid=0,netdev=n1"],
        stdin=subprocess.DEVNULL, stdout=log, stderr=log, preexec_fn=_die_with_parent)
    wait_for(lambda: any(name == "q0" for _, name in socket.if_nameindex()) or process.poll() is not None,
             "QEMU's tap")
    eq(process.poll(), None, f"QEMU ended: {(t.dir / 'log-qemu').read_text()}")
    return process


INTEROP = {
    "udp": ("127.0.0.1", "udp=on", ""),
    "udp-cookies-and-counter": ("127.0.0.1", "udp=on", ",cookie64=on,counter=on"),
    "udp-ipv6-offset": ("::1", "udp=on", ",ipv6=on,offset=4,counter=on,pincounter=on"),
    "udp-pincounter-alone": ("127.0.0.1", "udp=on", ",pincounter=on"),
    "ip": ("127.0.0.1", "udp=off", ",counter=on"),
    "ip6": ("::1", "udp=off", ",ipv6=on,cookie64=on,counter=on"),
}


def tunnel_options(ident, host, transport, options, ours):
    """One end's -netdev; each end's RX is the other's TX."""
    at, to = (HERE, THERE) if ours else (THERE, HERE)
    ports = f",srcport={at},dstport={to}" if transport == "udp=on" else ""
    tx, rx = (TX, RX) if ours else (RX, TX)
    cookies = ""
    if "cookie64" in options:
        cookies = f",txcookie={TX_COOKIE if ours else RX_COOKIE},rxcookie={RX_COOKIE if ours else TX_COOKIE}"
    return (f"l2tpv3,id={ident},src={host},dst={host},{transport}{ports},txsession={tx},rxsession={rx}{cookies}"
            f"{options}")


def add_interop(name, host, transport, options):
    @case(f"net-l2tpv3/with-qemu/{name}", needs=("root", "tun"))
    def with_qemu(t):
        set_up("lo")
        if host == "::1":
            enable_ipv6()
        vm = t.vm("-netdev", tunnel_options("n0", host, transport, options, True),
                  "-device", f"virtio-net-pci,netdev=n0,mac={MAC_TEXT}")
        nic = Nic(Modern(find_virtio(vm)[0])).start()
        qemu = start_qemu(t, tunnel_options("tunnel", host, transport, options, False))
        try:
            far = Host("q0")
            nic.both_ways(far, n=9)
            frames = [raw_frame(HOST_MAC, MAC, b"%d" % i, size=60 + 20 * i) for i in range(70)]
            for frame in frames:
                nic.send(0, frame, wait=False)
            for i, frame in enumerate(frames):
                far.expect(frame, f"frame {i} of many to QEMU")
            for frame in frames:
                far.send(frame[6:12] + frame[:6] + frame[12:])
            for i, frame in enumerate(frames):
                nic.expect(0, frame[6:12] + frame[:6] + frame[12:], f"frame {i} of many from QEMU")
        finally:
            qemu.kill()
            qemu.wait()


for case_name, row in INTEROP.items():
    add_interop(case_name, *row)
