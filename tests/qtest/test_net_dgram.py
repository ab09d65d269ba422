# SPDX-License-Identifier: GPL-2.0-or-later
"""-netdev dgram and the datagram part of -netdev socket."""

import os
import socket
import struct

from netlib import HOST_MAC, raw_frame, set_up
from qtestlib import case, check, eq, wait_for
from socketlib import LOOPBACK, DgramPeer, Machine, numbered
from test_net_stream import offer, take, taken
from virtiolib import MAC

NETNS = ("root",)
GROUP = "230.0.0.1"


def udp():
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.bind((LOOPBACK, 0))
    return sock


def inet(name, port):
    return f"{name}.type=inet,{name}.host={LOOPBACK},{name}.port={port}"


def to_guest(i, size=200):
    return numbered(i, size, HOST_MAC, MAC)


@case("net-dgram/inet")
def dgram_inet(t):
    sock = udp()
    port = sock.getsockname()[1]
    m = Machine(t, f"dgram,{inet('local', 0)},{inet('remote', port)}")
    here = int(m.info().split("/")[0].rsplit(":", 1)[1])
    eq(m.info(), f"type=dgram,udp={LOOPBACK}:{here}/{LOOPBACK}:{port}", "info network")
    peer = DgramPeer(sock, (LOOPBACK, here))
    m.both_ways(peer)
    for k in range(0, 300, 30):
        for i in range(k, k + 30):
            peer.send(to_guest(i, 60 + i))
        for i in range(k, k + 30):
            m.nic.expect(0, to_guest(i, 60 + i), f"frame {i}")
        offer(m, range(k, k + 30))
        for i in range(k, k + 30):
            peer.expect(numbered(i, 60 + i), f"frame {i} from the guest")
        take(m, 30)
    m.idle()
    sock.close()  # nobody there: the host says so, and it stays a working netdev
    for i in range(20):
        m.nic.send(0, numbered(i))
    m.idle()
    back = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    back.bind((LOOPBACK, port))
    m.both_ways(DgramPeer(back, (LOOPBACK, here)))


@case("net-dgram/unix")
def dgram_unix(t):
    local, remote = str(t.dir / "here"), str(t.dir / "there")
    m = Machine(t, f"dgram,local.type=unix,local.path={local},remote.type=unix,remote.path={remote}")
    eq(m.info(), f"type=dgram,udp={local}:{remote}", "info network")
    m.nic.send(0, numbered(0))  # nobody there yet
    eq(m.stats()["tx-dropped"], 1, "frames dropped without a peer")
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    sock.bind(remote)
    peer = DgramPeer(sock, local)
    m.both_ways(peer)
    # A peer that does not read has a short queue: the guest's frames wait, without spinning for long.
    offer(m, range(200), 8000)
    wait_for(lambda: m.stats()["tx-again"] > 3, "frames without room")
    done = taken(m)
    check(0 < done < 200, f"{done} of 200 frames went to a peer that does not read")
    for k in range(200):
        peer.expect(numbered(k, 8000), f"frame {k} of those that waited")
    take(m, 200 - done)
    offer(m, range(200), 8000)
    wait_for(lambda: m.stats()["tx-again"] > 6, "frames without room")
    sock.close()
    take(m, 200 - taken(m))
    m.delete()
    check(not os.path.exists(local), "the socket's file stays after netdev_del")
    check(os.path.exists(remote), "the peer's socket file went")


@case("net-dgram/fd")
def dgram_fd(t):
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    m = Machine(t, f"dgram,local.type=fd,local.str={theirs.fileno()}", pass_fds=(theirs.fileno(),))
    theirs.close()
    m.both_ways(DgramPeer(ours))
    m.delete()
    a, b = udp(), udp()
    a.connect(b.getsockname())
    m.qmp.cmd("getfd", fds=[a.fileno()], fdname="udp")
    m.qmp.cmd("netdev_add", arguments_={"type": "socket", "id": "n0", "fd": "udp"})
    m.both_ways(DgramPeer(b, a.getsockname()))
    a.close()
    b.close()  # an error of the socket for each frame sent
    for i in range(20):
        m.nic.send(0, numbered(i))
    m.idle()


@case("net-dgram/hostile")
def hostile(t):
    local, remote = str(t.dir / "here"), str(t.dir / "there")
    m = Machine(t, f"dgram,local.type=unix,local.path={local},remote.type=unix,remote.path={remote}")
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    sock.bind(remote)
    peer = DgramPeer(sock, local)
    errors = m.stats()["rx-errors"]
    peer.send(b"")
    peer.send(bytes(100000))
    peer.send(bytes(65601))
    peer.send(to_guest(1))
    m.nic.expect(0, to_guest(1), "after datagrams of no length and too much")
    for n in range(1, 14):
        peer.send(bytes(n))
    peer.send(to_guest(2, 65600))
    m.nic.expect(0, to_guest(2, 65600), "after datagrams shorter than a frame's header")
    eq(m.stats()["rx-errors"] - errors, 16, "bad datagrams, counted")
    m.both_ways(peer)


@case("net-dgram/mcast", needs=NETNS)
def dgram_mcast(t):
    set_up("lo")
    group = f"remote.type=inet,remote.host={GROUP},remote.port=4000,local.type=inet,local.host={LOOPBACK},local.port=0"
    a = Machine(t, f"dgram,{group}")
    eq(a.info(), f"type=dgram,mcast={GROUP}:4000", "info network")
    b = Machine(t, f"socket,mcast={GROUP}:4000,localaddr={LOOPBACK}")
    eq(b.info(), f"type=socket,socket: mcast={GROUP}:4000", "info network")
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    sock.bind((GROUP, 4000))
    mreq = struct.pack("4s4s", socket.inet_aton(GROUP), socket.inet_aton(LOOPBACK))
    sock.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, mreq)
    sock.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, socket.inet_aton(LOOPBACK))
    peer = DgramPeer(sock, (GROUP, 4000))
    frame = raw_frame(MAC, HOST_MAC, b"all", size=100)
    peer.send(frame)
    peer.expect(frame, "our own frame")
    for m in (a, b):
        m.nic.expect(0, frame, "a frame to the group")
        out = raw_frame(HOST_MAC, MAC, b"one", size=80)
        m.nic.send(0, out)
        peer.expect(out, "a frame from a guest")
    b.delete()
    a.nic.send(0, raw_frame(HOST_MAC, MAC, b"left", size=80))
    peer.expect(raw_frame(HOST_MAC, MAC, b"left", size=80), "a frame after the other one has left")


@case("net-dgram/socket-udp")
def socket_udp(t):
    sock = udp()
    port = sock.getsockname()[1]
    spare = udp()
    here = spare.getsockname()[1]
    spare.close()
    m = Machine(t, f"socket,udp={LOOPBACK}:{port},localaddr={LOOPBACK}:{here}")
    eq(m.info(), f"type=socket,socket: udp={LOOPBACK}:{port}", "info network")
    m.both_ways(DgramPeer(sock, (LOOPBACK, here)))
