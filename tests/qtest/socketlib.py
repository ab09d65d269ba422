# SPDX-License-Identifier: GPL-2.0-or-later
"""The other ends of stream and datagram netdevs."""

import select
import socket
import struct
import time

from netlib import HOST_MAC, raw_frame
from qmplib import Qmp
from qtestlib import WAIT_S, Failure, check, wait_for
from virtiolib import BASIC, MAC, MAC_TEXT, Modern, Nic, find_virtio

LOOPBACK = "127.0.0.1"


def framed(frame):
    return struct.pack(">I", len(frame)) + frame


def numbered(i, size=200, src=MAC, dst=HOST_MAC):
    return raw_frame(dst, src, struct.pack(">I", i), size=size)


class Expecting:
    """What every peer can do that has recv()."""

    def expect(self, frame, what):
        got = self.recv()
        check(got is not None, f"{what}: nothing came")
        if got != frame:
            raise Failure(f"{what}: {len(got)} bytes {got[:60].hex()}, expected {len(frame)} bytes {frame[:60].hex()}")


class StreamPeer(Expecting):
    """Frames behind their lengths on a connected socket."""

    def __init__(self, sock):
        self.sock = sock
        self.buf = b""

    def send(self, frame):
        self.sock.sendall(framed(frame))

    def _fill(self, n, timeout):
        while len(self.buf) < n:
            if not select.select([self.sock], [], [], timeout)[0]:
                return False
            data = self.sock.recv(1 << 20)
            check(data, "the emulator closed the connection")
            self.buf += data
        return True

    def recv(self, timeout=WAIT_S):
        if not self._fill(4, timeout):
            return None
        n = struct.unpack(">I", self.buf[:4])[0]
        check(0 < n <= 70000, f"a frame of {n} bytes from the emulator")
        if not self._fill(4 + n, timeout):
            return None
        frame, self.buf = self.buf[4:4 + n], self.buf[4 + n:]
        return frame

    def wait_closed(self, what):
        """The emulator ends the connection; bytes of the guest's before that are dropped."""
        end = time.monotonic() + WAIT_S
        while time.monotonic() < end:
            if select.select([self.sock], [], [], 0.1)[0]:
                try:
                    if not self.sock.recv(1 << 20):
                        return
                except ConnectionError:
                    return
        raise Failure(f"the connection stays: {what}")

    def close(self):
        self.sock.close()


class DgramPeer(Expecting):
    """One frame in each datagram."""

    def __init__(self, sock, to=None):
        self.sock, self.to = sock, to

    def send(self, frame):
        if self.to is None:
            self.sock.send(frame)
        else:
            self.sock.sendto(frame, self.to)

    def recv(self, timeout=WAIT_S):
        if not select.select([self.sock], [], [], timeout)[0]:
            return None
        return self.sock.recv(1 << 17)

    def close(self):
        self.sock.close()


class Machine:
    """An emulator with a NIC called nic0 on the netdev n0 of OPTIONS."""

    def __init__(self, t, options, pass_fds=(), start=True, posted=64, tx_queue_size=256):
        self.t = t
        self.vm = t.vm("-netdev", f"{options},id=n0", "-device",
                       f"virtio-net-pci,netdev=n0,id=nic0,mac={MAC_TEXT},tx_queue_size={tx_queue_size}", qmp=True,
                       pass_fds=pass_fds)
        self.qmp = Qmp(self.vm.qmp_path)
        self.nic = Nic(Modern(find_virtio(self.vm)[0]))
        if start:
            self.start(posted)

    def start(self, posted=64):
        self.nic.start(BASIC, posted=posted)

    def info(self):
        """The netdev's part of `info network`."""
        text = self.qmp.cmd("human-monitor-command", command_line="info network")
        return next((line.split(": ", 1)[1] for line in text.splitlines() if " n0: " in f" {line}"), "")

    def wait_info(self, text):
        wait_for(lambda: text in self.info(), f"'{text}' in info network, which is '{self.info()}'")

    def port(self):
        """Of the address in `info network`."""
        return int(self.info().rsplit(":", 1)[1].split("/")[0].split()[0])

    def peer(self, address):
        """A client of this server's that it has accepted."""
        peer = connect(address)
        wait_for(lambda: "listening" not in self.info(), "a connection in info network")
        return peer

    def stats(self):
        return self.qmp.cmd("query-net-queues", arguments_={"name": "nic0"})[0]["stats"]

    def both_ways(self, peer, tag=b""):
        self.nic.both_ways(peer, tag=tag)

    def delete(self):
        self.qmp.cmd("netdev_del", id="n0")

    def idle(self):
        """Nothing is to be done and nobody looks all the same."""
        wait_for(self.vm.idle, "threads to sleep")
        before = self.vm.cpu_seconds()
        time.sleep(0.3)
        check(self.vm.cpu_seconds() - before < 0.15, "the emulator spins")


def listener(path=None, address=(LOOPBACK, 0)):
    sock = socket.socket(socket.AF_UNIX if path else socket.AF_INET)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    sock.bind(str(path) if path else address)
    sock.listen(8)
    return sock


def accept(sock, what="a connection"):
    check(select.select([sock], [], [], WAIT_S)[0], f"{what}: nobody connects")
    return StreamPeer(sock.accept()[0])


def connect(address):
    sock = socket.socket(socket.AF_INET if isinstance(address, tuple) else socket.AF_UNIX)
    sock.connect(address)
    return StreamPeer(sock)
