# SPDX-License-Identifier: GPL-2.0-or-later
"""Filters on each type of netdev that is no tap, both ways: a table of netdevs, and one of what a filter does to them."""

import glob
import socket
import struct

from netlib import HOST_MAC, Host, raw_frame, set_up
from qmplib import Qmp
from qtestlib import QUIET_S, WAIT_S, Skip, case, check, eq, wait_for
from socketlib import DgramPeer, connect
from test_hotplug import sanitized
from test_net_filters import Channel, add, delete, get, pcap, status
from virtiolib import MAC, MAC_TEXT, Modern, Nic, find_virtio
from xdplib import make_veth

ANSWER, ASK = 2, 1  # of ARP
GUEST_IP, GATEWAY_IP = bytes((10, 0, 2, 15)), bytes((10, 0, 2, 2))


# ---- the netdevs: options, and who is at the other end ----

def local_pair(t):
    """A socket bound at `there`, for a netdev at `here`."""
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    sock.bind(str(t.dir / "there"))
    return (f"local.type=unix,local.path={t.dir}/here,remote.type=unix,remote.path={t.dir}/there",
            DgramPeer(sock, str(t.dir / "here")))


def dgram(t):
    options, peer = local_pair(t)
    return [f"dgram,id=n0,{options}"], (), lambda: peer


def hubport(t):
    options, peer = local_pair(t)
    return [f"dgram,id=far,{options}", "hubport,id=hf,hubid=5,netdev=far", "hubport,id=n0,hubid=5"], (), lambda: peer


def stream(t):
    return [f"stream,id=n0,server=on,addr.type=unix,addr.path={t.dir}/wire"], (), lambda: connect(str(t.dir / "wire"))


def given(t, kind, text):
    """A netdev on one end of a pair of sockets."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, kind)
    return [f"{text}{theirs.fileno()}"], (theirs,), lambda: DgramPeer(ours)


def legacy_socket(t):
    return given(t, socket.SOCK_DGRAM, "socket,id=n0,fd=")


def vde(t):
    if sanitized(t):
        raise Skip("libvdeplug loads its parts in a way that sanitizers refuse (RTLD_DEEPBIND)")
    if not glob.glob("/usr/lib/*/vdeplug/libvdeplug_seqpacket.so"):
        raise Skip("needs libvdeplug with the type seqpacket")
    return given(t, socket.SOCK_SEQPACKET, "vde,id=n0,sock=seqpacket://")


def af_xdp(t):
    make_veth("v0", "v1", queues=1)
    return ["af-xdp,id=n0,ifname=v0,mode=skb"], (), lambda: Host("v1")


class Tunnel(DgramPeer):
    """The other end of L2TPv3 over UDP, without cookies."""

    HEAD = b"\0\3\0\0\0\0\0\1"

    def send(self, frame):
        super().send(self.HEAD + frame)

    def recv(self, timeout=WAIT_S):
        packet = super().recv(timeout)
        return packet and packet[len(self.HEAD):]


def l2tpv3(t):
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.bind(("127.0.0.1", 4002))
    return (["l2tpv3,id=n0,src=127.0.0.1,dst=127.0.0.1,udp=on,srcport=4001,dstport=4002,txsession=1"], (),
            lambda: Tunnel(sock, ("127.0.0.1", 4001)))


def user(t):
    return ["user,id=n0"], (), lambda: None


NETDEVS = {"user": user, "stream": stream, "dgram": dgram, "socket": legacy_socket, "hubport": hubport, "af-xdp": af_xdp,
           "vde": vde, "l2tpv3": l2tpv3}


def arp(op, mac, address, target_mac, target):
    return raw_frame(target_mac if op == ANSWER else b"\xff" * 6, mac, struct.pack(
        ">HHBBH6s4s6s4s", 1, 0x800, 6, 4, op, mac, address, target_mac, target), ethertype=0x806)


class Wire:
    """A machine with a NIC on the netdev n0 of a type, and what is at its other end: anybody, or (user) who answers
    questions of ARP."""

    def __init__(self, t, kind):
        set_up("lo")
        self.t = t
        netdevs, files, peer = NETDEVS[kind](t)
        self.vm = t.vm(*[a for n in netdevs for a in ("-netdev", n)], "-device",
                       f"virtio-net-pci,netdev=n0,id=nic0,mac={MAC_TEXT}", qmp=True,
                       pass_fds=tuple(f.fileno() for f in files))
        for f in files:
            f.close()
        self.qmp = Qmp(self.vm.qmp_path)
        self.nic = Nic(Modern(find_virtio(self.vm)[0])).start(posted=64)
        self.peer = peer()
        if kind == "stream":
            self.qmp.event("NETDEV_STREAM_CONNECTED")
        self.sent = 0
        self.answer = self.learn() if kind == "user" else None

    def learn(self):
        self.nic.send(0, self.next_out())
        while True:
            frame = self.nic.recv(0, what="an answer of ARP")[1]
            if frame[12:14] == b"\x08\x06" and frame[21] == ANSWER:
                return frame

    def next_out(self):
        """A frame for the guest to send."""
        self.sent += 1
        if self.peer is None:
            return arp(ASK, MAC, GUEST_IP, bytes(6), GATEWAY_IP)
        return raw_frame(HOST_MAC, MAC, b"out %d" % self.sent, size=60 + self.sent)

    def next_in(self):
        """One for it to receive, which is the answer to the last where somebody answers."""
        return self.answer or raw_frame(MAC, HOST_MAC, b"in %d" % self.sent, size=61 + self.sent)

    def arrives(self, out, into):
        """OUT is on the wire, and INTO comes from there."""
        if self.peer is not None:
            self.peer.expect(out, "a frame from the guest on the wire")
            self.peer.send(into)

    def exchange(self):
        """One frame each way, end to end."""
        out, into = self.next_out(), self.next_in()
        self.nic.send(0, out)
        self.arrives(out, into)
        self.nic.expect(0, into, "a frame to the guest")
        return out, into

    def quiet(self, what):
        """Nothing gets to the wire, nor to the guest."""
        check(self.peer is None or self.peer.recv(QUIET_S) is None, f"{what}: a frame on the wire")
        check(self.nic.recv(0, wait=False) is None, f"{what}: a frame for the guest")


def frames_of(path):
    """Of a pcap file."""
    data, at, found = path.read_bytes(), 24, []
    eq(data[:4], struct.pack("<I", 0xa1b2c3d4), "magic number of a pcap file")
    while at < len(data):
        size = struct.unpack_from("<I", data, at + 8)[0]
        found.append(data[at + 16:at + 16 + size])
        at += 16 + size
    return found


# ---- what filters do ----

def dump(w):
    path = w.t.dir / "all.pcap"
    w.exchange()
    add(w, "dump", "d", file=str(path))
    passed = [f for _ in range(3) for f in w.exchange()]
    delete(w, "d")
    w.exchange()
    eq(frames_of(path), passed, "frames in the capture")


def mirror(w):
    for name, queue in (("cm0", "rx"), ("cm1", "tx")):
        channel = Channel(w, name)
        add(w, "mirror", f"m-{queue}", queue=queue, outdev=name)
        setattr(w, queue, channel)
    for _ in range(2):
        out, into = w.exchange()
        eq((w.rx.recv(), w.tx.recv()), (out, into), "copies of a frame from the guest, and of one to it")
    delete(w, "m-rx")
    delete(w, "m-tx")
    w.exchange()
    check(w.rx.quiet() and w.tx.quiet(), "mirrors that have gone go on")


def redirector(w):
    """What is redirected goes nowhere else, and goes on where it is put back."""
    away, back = Channel(w, "away"), Channel(w, "back")
    for queue in ("rx", "tx"):
        out, into = w.next_out(), w.next_in()
        add(w, "redirector", "r0", queue=queue, outdev="away")
        w.nic.send(0, out)
        if queue == "tx":
            w.arrives(out, into)
        taken = out if queue == "rx" else into
        eq(away.recv(), taken, f"what was redirected ({queue})")
        w.quiet(f"redirector of {queue}")
        delete(w, "r0")
        add(w, "redirector", "r1", queue=queue, indev="back")
        back.send(taken)
        if queue == "rx":
            w.arrives(out, into)
        w.nic.expect(0, into, f"the frame to the guest ({queue})")
        delete(w, "r1")
    w.exchange()


def buffer(w):
    add(w, "buffer", "b", interval=2000)
    for _ in range(3):
        w.exchange()
    delete(w, "b")
    for queue in ("rx", "tx"):
        add(w, "buffer", "b", interval=100_000_000, queue=queue)
        out, into = w.next_out(), w.next_in()
        w.nic.send(0, out)
        if queue == "tx":
            w.arrives(out, into)
        wait_for(lambda: get(w, "b", "frames") == 1, f"the frame at the filter ({queue})")
        w.quiet(f"buffer of {queue}")
        if queue == "rx":
            status(w, "b", False)
            w.arrives(out, into)
        delete(w, "b")
        w.nic.expect(0, into, f"the frame to the guest ({queue})")
    w.exchange()


def replay(w):
    n = 5
    path = w.t.dir / "in.pcap"
    for queue in ("rx", "tx"):
        frames = [(w.next_out(), w.next_in()) for _ in range(n)]
        path.write_bytes(pcap([f[queue == "tx"] for f in frames], gap=0.0001))
        add(w, "replay", "p", file=str(path), queue=queue)
        for out, into in frames:
            if queue == "rx":
                w.arrives(out, into)
            w.nic.expect(0, into, f"a frame to the guest ({queue})")
        wait_for(lambda: get(w, "p", "played") == n, "the end of the file")
        delete(w, "p")
    w.exchange()


def everything(w):
    """All at once, on a netdev that goes while they are there and comes back."""
    channel = Channel(w, "all")
    add(w, "dump", "d", file=str(w.t.dir / "last.pcap"))
    add(w, "buffer", "b", interval=1000)
    add(w, "mirror", "m", queue="all", outdev="all")
    passed = sorted(w.exchange() + w.exchange())
    eq(sorted(channel.recv() for _ in passed), passed, "copies")
    w.qmp.cmd("netdev_del", id="n0")
    eq([o["name"] for o in w.qmp.cmd("qom-list", path="/objects") if o["type"].startswith("child<filter")], [],
       "filters of a netdev that was deleted")
    eq(sorted(frames_of(w.t.dir / "last.pcap")), passed, "frames in the capture of a netdev that was deleted")


def add_case(kind):
    @case(f"net-filters/types/{kind}", needs=("root",))
    def each_filter(t):
        wire = Wire(t, kind)
        for what in (dump, mirror, redirector, buffer, replay, everything):
            what(wire)


for name in NETDEVS:
    add_case(name)
