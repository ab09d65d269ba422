# SPDX-License-Identifier: GPL-2.0-or-later
"""Stream, dgram and socket netdevs with the QEMU of the distribution on the other end: there a hub joins the netdev to
a tap, and frames cross from our guest to that tap and back."""

import os
import socket
import subprocess

from netlib import Host, set_up
from qtestlib import Skip, case, check, eq, wait_for
from socketlib import LOOPBACK, Machine
from virtiolib import MAC

TUN = ("root", "tun")
OTHER = "/usr/bin/qemu-system-x86_64"
GROUP = "230.0.0.1"
A, B = f"{LOOPBACK}:5001", f"{LOOPBACK}:5002"


class Other:
    """The other program: NETDEV in a hub with the tap p0."""

    def __init__(self, t, netdev):
        if not os.access(OTHER, os.X_OK):
            raise Skip(f"there is no {OTHER}")
        set_up("lo")
        self.log = t.dir / "other"
        with open(self.log, "wb") as log:
            self.process = subprocess.Popen(
                [OTHER, "-nodefaults", "-machine", "none", "-display", "none",
                 "-netdev", "tap,id=t0,ifname=p0,script=no,downscript=no", "-netdev", f"{netdev},id=x0",
                 "-netdev", "hubport,id=h0,hubid=1,netdev=t0", "-netdev", "hubport,id=h1,hubid=1,netdev=x0"],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        wait_for(self.has_tap, "the other program's tap")
        self.host = Host("p0")

    def has_tap(self):
        check(self.process.poll() is None, f"{OTHER} ended: {self.log.read_text()}")
        return os.path.exists("/sys/class/net/p0") or "p0" in (n for _, n in socket.if_nameindex())

    def end(self):
        eq(self.process.poll(), None, f"{OTHER} ended by itself: {self.log.read_text()}")
        self.process.terminate()
        self.process.wait()


def meets(t, other, ours, ready="", ours_first=False):
    """READY: what our `info network` says once the two are joined."""
    if ours_first:
        m = Machine(t, ours)
        there = Other(t, other)
    else:
        there = Other(t, other)
        m = Machine(t, ours)
    try:
        m.wait_info(ready)
        m.nic.both_ways(there.host, n=6)
    finally:
        there.end()
    return m


def inet(name, port, host=LOOPBACK):
    return f"{name}.type=inet,{name}.host={host},{name}.port={port}"


def unix(name, path):
    return f"{name}.type=unix,{name}.path={path}"


@case("net-interop/stream-inet", needs=TUN)
def stream_inet(t):
    set_up("lo")
    m = meets(t, f"stream,server=off,{inet('addr', 5001)}", f"stream,server=on,{inet('addr', 5001)}", "stream,tcp:",
              ours_first=True)
    m.wait_info("listening")


@case("net-interop/stream-unix", needs=TUN)
def stream_unix(t):
    path = t.dir / "s"
    m = meets(t, f"stream,server=on,{unix('addr', path)}", f"stream,server=off,{unix('addr', path)},reconnect-ms=50",
              "stream,unix:")
    meets_again(t, m, f"stream,server=on,{unix('addr', path)}")


def meets_again(t, m, other):
    """The other one is started again: our client finds it."""
    there = Other(t, other)
    try:
        m.wait_info("stream,unix:")
        m.nic.both_ways(there.host, tag=b"again")
    finally:
        there.end()


@case("net-interop/socket-tcp", needs=TUN)
def socket_tcp(t):
    set_up("lo")
    meets(t, f"socket,connect={A}", f"socket,listen={A}", "connection from", ours_first=True)
    meets(t, f"socket,listen={B}", f"socket,connect={B}", "connect to")
    meets(t, f"stream,server=off,{inet('addr', 5003)}", f"socket,listen={LOOPBACK}:5003", "connection from",
          ours_first=True)


@case("net-interop/dgram", needs=TUN)
def dgram(t):
    set_up("lo")
    meets(t, f"dgram,{inet('local', 5001)},{inet('remote', 5002)}",
          f"dgram,{inet('local', 5002)},{inet('remote', 5001)}")
    here, there = t.dir / "a", t.dir / "b"
    meets(t, f"dgram,{unix('local', there)},{unix('remote', here)}",
          f"dgram,{unix('local', here)},{unix('remote', there)}")


@case("net-interop/socket-datagrams", needs=TUN)
def socket_datagrams(t):
    set_up("lo")
    meets(t, f"socket,udp={A},localaddr={B}", f"socket,udp={B},localaddr={A}")
    m = Machine(t, f"socket,mcast={GROUP}:5005,localaddr={LOOPBACK}")
    there = Other(t, f"dgram,{inet('remote', 5005, GROUP)},{inet('local', 0)}")
    try:
        for size in (60, 1514):  # both see their own frames as well, as the group has no sides
            frame = there.host.name.encode().ljust(size, b"x")
            frame = b"\x02\0\0\0\0\xfe" + MAC + b"\x88\xb5" + frame[14:]
            m.nic.send(0, frame)
            there.host.expect(frame, f"{size} bytes to the group")
            m.nic.expect(0, frame, "our own frame")
            frame = MAC + b"\x02\0\0\0\0\xfe" + frame[12:]
            there.host.send(frame)
            m.nic.expect(0, frame, f"{size} bytes from the group")
            there.host.expect(frame, "its own frame")
    finally:
        there.end()
