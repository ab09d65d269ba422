# SPDX-License-Identifier: GPL-2.0-or-later
"""-netdev stream and the TCP part of -netdev socket: connections come and go, frames are cut anywhere, peers lie."""

import os
import socket
import struct

from netlib import HOST_MAC, raw_frame
from qtestlib import case, check, eq, wait_for
from socketlib import LOOPBACK, Machine, StreamPeer, accept, connect, framed, listener, numbered
from virtiolib import BASIC, F_INDIRECT, MAC, bits

CONNECTED, DISCONNECTED = "NETDEV_STREAM_CONNECTED", "NETDEV_STREAM_DISCONNECTED"
TCP_SERVER = f"stream,server=on,addr.type=inet,addr.host={LOOPBACK},addr.port=0"


def unix_server(t, more=""):
    path = str(t.dir / "net")
    return path, f"stream,server=on,addr.type=unix,addr.path={path}{more}"


def to_guest(i, size=200):
    return numbered(i, size, HOST_MAC, MAC)


def gone(m):
    eq(m.qmp.event(DISCONNECTED)["data"], {"netdev-id": "n0"}, DISCONNECTED)


@case("net-stream/unix-server")
def unix_server_case(t):
    path, options = unix_server(t)
    m = Machine(t, options)
    eq(m.info(), f"type=stream,listening on unix:{path}", "info network without a peer")
    m.nic.send(0, numbered(0))  # nobody there: dropped, not kept
    files = m.vm.fds()
    for i in range(3):
        peer = connect(path)
        eq(m.qmp.event(CONNECTED)["data"], {"netdev-id": "n0", "addr": {"type": "unix", "path": ""}}, CONNECTED)
        eq(m.info(), f"type=stream,unix:{path}", "info network with a peer")
        m.both_ways(peer, b"%d" % i)
        m.idle()
        peer.close()
        gone(m)
    m.wait_info("listening")
    eq(m.vm.fds(), files, "descriptors after three peers")
    m.delete()
    check(not os.path.exists(path), "the socket's file stays after netdev_del")
    m.qmp.cmd("netdev_add", arguments_={"type": "stream", "id": "n0", "server": True,
                                        "addr": {"type": "unix", "path": path}})
    peer = m.peer(path)
    m.both_ways(peer, b"again")
    eq(m.vm.fds(), {**files, "socket": files["socket"] + 1}, "descriptors with a new netdev and a peer")


@case("net-stream/inet-server")
def inet_server(t):
    m = Machine(t, TCP_SERVER)
    address = (LOOPBACK, m.port())
    peer = connect(address)
    host, port = peer.sock.getsockname()
    eq(m.qmp.event(CONNECTED)["data"]["addr"], {"type": "inet", "host": host, "port": str(port)}, "peer's address")
    eq(m.info(), f"type=stream,tcp:{host}:{port}", "info network with a peer")
    second = connect(address)  # waits in the kernel's queue
    second.send(to_guest(7))
    m.both_ways(peer)
    peer.close()
    m.nic.expect(0, to_guest(7), "the first frame of the peer that waited")
    m.both_ways(second)


def client_options(sock, more):
    return f"stream,addr.type=inet,addr.host={LOOPBACK},addr.port={sock.getsockname()[1]}{more}"


@case("net-stream/client-reconnect")
def client_reconnect(t):
    sock = listener()
    m = Machine(t, client_options(sock, ",reconnect-ms=20"))
    for i in range(3):
        peer = accept(sock)
        addr = {"type": "inet", "host": LOOPBACK, "port": str(sock.getsockname()[1])}
        if i > 0:  # nobody had the first one
            eq(m.qmp.event(CONNECTED)["data"]["addr"], addr, "server's address")
        m.both_ways(peer, b"%d" % i)
        peer.close()
        gone(m)
    address = sock.getsockname()
    accept(sock).close()
    sock.close()
    m.wait_info("connection error")
    sock = listener(address=address)
    m.both_ways(accept(sock, "after the server came back"), b"back")


@case("net-stream/client-before-server")
def client_before_server(t):
    path = str(t.dir / "late")
    m = Machine(t, f"stream,server=off,addr.type=unix,addr.path={path},reconnect=1")
    m.wait_info("connection error")
    m.nic.send(0, numbered(0))
    sock = listener(path)
    m.both_ways(accept(sock))
    m.delete()
    check(os.path.exists(path), "a client removed the server's socket file")


@case("net-stream/client-once")
def client_once(t):
    sock = listener()
    m = Machine(t, client_options(sock, ""))
    peer = accept(sock)
    m.both_ways(peer)
    peer.close()
    gone(m)
    eq(m.info(), "type=stream,disconnected", "info network of a client that does not connect again")
    m.nic.send(0, numbered(1))
    m.idle()


@case("net-stream/fds")
def given(t):
    ours, theirs = socket.socketpair()
    waiting = listener(t.dir / "given")
    m = Machine(t, f"stream,addr.type=fd,addr.str={theirs.fileno()}", pass_fds=(theirs.fileno(),))
    theirs.close()
    m.both_ways(StreamPeer(ours))
    m.delete()
    eq(ours.recv(1), b"", "bytes behind the end")
    m.qmp.cmd("getfd", fds=[waiting.fileno()], fdname="srv")
    m.qmp.cmd("netdev_add", arguments_={"type": "stream", "id": "n0", "server": True,
                                        "addr": {"type": "fd", "str": "srv"}})
    m.both_ways(m.peer(str(t.dir / "given")))


# ---- frames ----

@case("net-stream/cut-anywhere")
def cut_anywhere(t):
    """Lengths and frames in pieces of every kind; long ones too."""
    path, options = unix_server(t)
    m = Machine(t, options)
    peer = m.peer(path)
    frames = [to_guest(i, size) for i, size in enumerate((14, 60, 61, 1514, 2036, 2037, 9000, 65535, 65600))]
    data = b"".join(framed(f) for f in frames)
    for step in (1, 3, 4, 5, 4096):
        part = data if step > 5 else data[:400]
        whole = frames if step > 5 else frames[:3]
        for i in range(0, len(part), step):
            peer.sock.sendall(part[i:i + step])
        for i, frame in enumerate(whole):
            m.nic.expect(0, frame, f"frame {i} in pieces of {step}")
        if step <= 5:  # the begun frame goes with its peer
            peer.close()
            peer = connect(path)


@case("net-stream/bursts")
def bursts(t):
    """Many frames by one call each way, in their order."""
    path, options = unix_server(t)
    m = Machine(t, options)
    peer = m.peer(path)
    for i in range(0, 600, 60):
        peer.sock.sendall(b"".join(framed(to_guest(k, 60 + k)) for k in range(i, i + 60)))
        for k in range(i, i + 60):
            m.nic.expect(0, to_guest(k, 60 + k), f"frame {k}")
    mark = m.vm.heap
    for i in range(0, 600, 60):
        m.vm.heap = mark
        offer(m, range(i, i + 60))
        for k in range(i, i + 60):
            peer.expect(numbered(k, 60 + k), f"frame {k} from the guest")
        take(m, 60)


@case("net-stream/frame-in-1024-elements")
def many_elements(t):
    """The most that the kernel takes, so that there is none for the frame's length; others before and behind it."""
    path, options = unix_server(t)
    m = Machine(t, options, start=False, tx_queue_size=1024)
    m.nic.start(BASIC | bits(F_INDIRECT))
    peer = m.peer(path)
    ring, n = m.nic.tx[0], 1024
    frames = [numbered(i, size=1500 + 9000 * (i % 2)) for i in range(9)]
    base = m.vm.alloc(sum(len(f) + 64 for f in frames), 64)
    for i, frame in enumerate(frames):
        data = bytes(m.nic.hdr_len) + frame
        m.vm.ram[base:base + len(data)] = data
        pieces = n if i % 3 == 1 else 3
        first = len(data) - pieces + 1
        parts = [(base, first)] + [(base + first + k, 1) for k in range(pieces - 1)]
        ring.offer(ring.add(out=parts, indirect=True))
        base += len(data)
    ring.publish()
    ring.kick()
    for i, frame in enumerate(frames):
        peer.expect(frame, f"frame {i}")
        ring.wait("a sent frame")
    eq(m.stats()["tx-dropped"], 0, "tx-dropped")
    m.both_ways(peer)


def offer(m, numbers, size=None):
    """The guest sends many frames by one kick."""
    ring = m.nic.tx[0]
    for k in numbers:
        frame = bytes(m.nic.hdr_len) + numbered(k, size or 60 + k)
        at = m.vm.alloc(len(frame))
        m.vm.ram[at:at + len(frame)] = frame
        ring.offer(ring.add(out=[(at, len(frame))]))
    ring.publish()
    ring.kick()


def take(m, n):
    for _ in range(n):
        m.nic.tx[0].wait("a sent frame")


def taken(m):
    n = 0
    while m.nic.tx[0].take():
        n += 1
    return n


def fill(m, size=8000, n=200):
    """Offers N frames that no socket holds to a peer that does not read; how many were taken."""
    offer(m, range(n), size)
    wait_for(lambda: m.stats()["tx-again"] > 0, "a frame without room")
    m.idle()
    count = taken(m)
    check(0 < count < n, f"{count} of {n} frames went to a peer that does not read")
    return count


@case("net-stream/peer-does-not-read")
def back_pressure(t):
    path, options = unix_server(t)
    m = Machine(t, options)
    peer = m.peer(path)
    done = fill(m)
    for k in range(200):
        peer.expect(numbered(k, 8000), f"frame {k} of those that waited")
    take(m, 200 - done)
    m.both_ways(peer)
    done = fill(m)
    peer.close()  # the room that comes is nobody's
    take(m, 200 - done)
    m.wait_info("listening")
    m.both_ways(m.peer(path), b"next")


@case("net-stream/rest-of-the-last-frame")
def rest_of_a_frame(t):
    """What the socket took in part goes on by itself, also when the guest neither sends more nor has receive buffers."""
    path, options = unix_server(t)
    m = Machine(t, options, posted=0)
    peer = m.peer(path)
    count = fill(m, 60000, 20)  # so many are taken, the last one in part
    peer.close()
    take(m, 20 - count)
    m.wait_info("listening")
    peer = m.peer(path)
    mark = m.vm.heap
    offer(m, range(count), 60000)
    take(m, count)
    for k in range(count):
        peer.expect(numbered(k, 60000), f"frame {k} of {count}")
    m.vm.heap = mark


@case("net-stream/deleted-while-full")
def deleted_while_full(t):
    path, options = unix_server(t)
    m = Machine(t, options)
    peer = m.peer(path)
    fill(m)
    m.delete()
    peer.wait_closed("netdev_del")
    m.idle()


@case("net-stream/guest-not-started")
def guest_not_started(t):
    """Peers come and go while nobody takes frames; what one leaves waits a while."""
    path, options = unix_server(t)
    m = Machine(t, options, start=False)
    for _ in range(3):
        connect(path).close()
        m.qmp.event(CONNECTED)
        gone(m)
    peer = connect(path)
    peer.send(to_guest(1))
    m.qmp.event(CONNECTED)
    m.start()
    m.nic.expect(0, to_guest(1), "a frame from before the driver")
    m.nic.t.reset()
    peer.send(to_guest(2))
    peer.close()
    peer = connect(path)
    gone(m)  # after a while: nobody took it
    m.qmp.event(CONNECTED)
    m.start()
    m.both_ways(peer)


@case("net-stream/no-buffers")
def no_buffers(t):
    """A driver without buffers finds all that came later, though the peer has gone."""
    path, options = unix_server(t)
    m = Machine(t, options, start=False)
    m.start(posted=1)
    peer = connect(path)
    for k in range(40):
        peer.send(to_guest(k))
    peer.close()
    for k in range(40):
        m.nic.expect(0, to_guest(k), f"frame {k}")
    gone(m)


# ---- hostile ----

@case("net-stream/hostile")
def hostile(t):
    path, options = unix_server(t)
    m = Machine(t, options)

    def dies(data, what):
        peer = connect(path)
        m.qmp.event(CONNECTED)
        try:
            peer.sock.sendall(data)
        except ConnectionError:
            pass
        peer.wait_closed(what)
        gone(m)

    def lives(data, what):
        m.wait_info("listening")
        peer = m.peer(path)
        peer.sock.sendall(data + framed(to_guest(9)))
        m.nic.expect(0, to_guest(9), what)
        m.both_ways(peer)
        peer.close()

    # A frame of a peer that ends the connection is the guest's all the same.
    dies(b"\xff" * 4, "length 2^32 - 1")
    dies(struct.pack(">I", 69633) + bytes(70000), "one byte too long")
    dies(b"GET / HTTP/1.1\r\n\r\n" * 4000, "another protocol")
    dies(framed(to_guest(3)) + b"\x80\0\0\0", "a good frame first")
    m.nic.expect(0, to_guest(3), "the good frame before")
    m.qmp.events.clear()
    lives(bytes(4) * 300000, "after a flood of frames of no bytes")
    errors = m.stats()["rx-errors"]
    odd = [65601] + [69632] * 20 + list(range(1, 14))
    lives(b"".join(framed(bytes(n)) for n in odd), "after frames that no NIC takes")
    eq(m.stats()["rx-errors"] - errors, len(odd), "frames that no NIC takes, counted")
    peer = connect(path)
    peer.sock.sendall(struct.pack(">I", 1000) + bytes(500))
    peer.sock.shutdown(socket.SHUT_WR)
    peer.wait_closed("half a frame and the end")
    lives(b"", "after half a frame")
    eq(m.vm.log().count("warning"), 1, "warnings about broken framing")


@case("net-stream/storms")
def storms(t):
    """Connections that end at once, with and without frames, and resets."""
    path, options = unix_server(t)
    for options, n in ((options, 60), (TCP_SERVER, 9)):
        m = Machine(t, options)
        address = path if n == 60 else (LOOPBACK, m.port())
        files = m.vm.fds()
        for i in range(n):
            # More than two in a row, and the kernel makes TCP's clients wait.
            peer = connect(address) if n == 60 else m.peer(address)
            if i % 3 == 0:
                peer.sock.sendall(framed(to_guest(i)) * 3 + b"\0")
            elif i % 3 == 1 and n != 60:
                peer.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            m.nic.send(0, numbered(i))
            peer.close()
        wait_for(lambda: "listening" in m.info() and m.vm.fds() == files, "the last peer's end")
        while m.nic.recv(0, wait=False):
            pass
        m.both_ways(m.peer(address))


# ---- socket ----

@case("net-stream/socket-listen-connect")
def socket_listen_connect(t):
    m = Machine(t, f"socket,listen={LOOPBACK}:0")
    address = (LOOPBACK, m.port())
    eq(m.info(), f"type=socket,socket: listening on tcp:{address[0]}:{address[1]}", "info network without a peer")
    peer = connect(address)
    host, port = peer.sock.getsockname()
    m.wait_info(f"type=socket,socket: connection from {host}:{port}")
    m.both_ways(peer)
    peer.close()
    m.wait_info("listening")
    m.both_ways(m.peer(address))
    sock = listener()
    m.delete()
    m.qmp.cmd("netdev_add", arguments_={"type": "socket", "id": "n0", "connect": f"{LOOPBACK}:{sock.getsockname()[1]}"})
    peer = accept(sock)
    m.wait_info(f"type=socket,socket: connect to {LOOPBACK}:{sock.getsockname()[1]}")
    m.both_ways(peer)
    check(not [e for e in m.qmp.events if e["event"].startswith("NETDEV_STREAM")], "events of a socket netdev")


@case("net-stream/socket-fd")
def socket_fd(t):
    ours, theirs = socket.socketpair()
    m = Machine(t, f"socket,fd={theirs.fileno()}", pass_fds=(theirs.fileno(),))
    eq(m.info(), f"type=socket,socket: fd={theirs.fileno()}", "info network")
    theirs.close()
    m.both_ways(StreamPeer(ours))
    ours.close()
    m.wait_info("disconnected")


@case("net-stream/two-machines")
def two_machines(t):
    """One machine's server, another one's client: many frames, the NICs find each other."""
    path, options = unix_server(t)
    a = Machine(t, options)
    b = Machine(t, f"stream,addr.type=unix,addr.path={path}")
    for k in range(20):
        frame = raw_frame(MAC, HOST_MAC, b"%d" % k, size=60 + 70 * k)
        (a, b)[k % 2].nic.send(0, frame)
        (b, a)[k % 2].nic.expect(0, frame, f"frame {k}")
