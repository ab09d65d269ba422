# SPDX-License-Identifier: GPL-2.0-or-later
"""-netdev user: a guest on libslirp's network, which these cases play through the NIC. The host's side is this process, in
a network namespace of its own."""

import os
import socket
import struct
import subprocess
import time
from pathlib import Path

from inetlib import ICMPV6, IPV6, UDP, Guest, Packet, Stream, ip4, ip6, refused, with_sum
from netlib import set_up
from qmplib import Qmp
from qtestlib import WAIT_S, Skip, case, check, eq, wait_for
from test_hotplug import sanitized
from test_net_hot import state
from virtiolib import MAC, MAC_TEXT, Modern, Nic, find_virtio

NET = ("root",)
FLOOD = 3000
HOST, GUEST, DNS = ip4("10.0.2.2"), ip4("10.0.2.15"), ip4("10.0.2.3")
LINK_LOCAL, OWN6, HOST6 = ip6("fe80::5054:ff:fe12:3456"), ip6("fec0::15"), ip6("fec0::2")


class User:
    """A machine with a NIC on the user netdev n0."""

    def __init__(self, t, options="", extra=(), start=True):
        set_up("lo")
        self.t = t
        self.vm = t.vm(*extra, "-netdev", f"user,id=n0{options}", "-device",
                       f"virtio-net-pci,netdev=n0,id=nic0,mac={MAC_TEXT}", qmp=True)
        self.qmp = Qmp(self.vm.qmp_path)
        self.nic = Nic(Modern(find_virtio(self.vm)[0]))
        if start:
            self.nic.start()
        self.guest = Guest(self.nic, GUEST)

    def hmp(self, line):
        return self.qmp.cmd("human-monitor-command", command_line=line)


def local_server(kind=socket.SOCK_STREAM, port=0, family=socket.AF_INET, host="127.0.0.1"):
    s = socket.socket(family, kind)
    s.settimeout(WAIT_S)
    s.bind((host, port))
    if kind == socket.SOCK_STREAM:
        s.listen()
    return s, s.getsockname()[1]


def accepted(server):
    conn, _ = server.accept()
    conn.settimeout(WAIT_S)
    return conn


def receive(sock, n):
    data = b""
    while len(data) < n:
        more = sock.recv(n - len(data))
        check(more, f"the connection ended after {len(data)} of {n} bytes")
        data += more
    return data


def connected(address):
    """A client; the server is there already, or soon."""
    found = []

    def attempt():
        s = socket.socket(socket.AF_UNIX if isinstance(address, str) else socket.AF_INET)
        s.settimeout(WAIT_S)
        try:
            s.connect(address)
        except OSError:
            s.close()
            return False
        found.append(s)
        return True
    wait_for(attempt, f"a connection to {address}")
    return found[0]


def pattern(n):
    return bytes(i * 31 + (i >> 8) & 0xff for i in range(n))


# ---- addresses ----

@case("net-user/dhcp", needs=NET)
def dhcp(t):
    u = User(t)
    found = u.guest.dhcp()
    eq(found["address"], GUEST, "address")
    eq((found[1], found[3], found[6], found[54]), (ip4("255.255.255.0"), HOST, DNS, HOST), "mask, router, DNS, server")


@case("net-user/dhcp-options", needs=NET)
def dhcp_options(t):
    # libslirp 4.7 never frees this name.
    server = "" if sanitized(t) else ",tftp-server-name=store"
    u = User(t, ",net=172.20.0.0/16,host=172.20.1.1,dhcpstart=172.20.9.9,dns=172.20.1.3,hostname=fritz,domainname=b.example,"
                "dnssearch=a.example,dnssearch=b.example,bootfile=/boot/x" + server)
    found = u.guest.dhcp()
    eq(found["address"], ip4("172.20.9.9"), "address")
    eq((found[1], found[3], found[6]), (ip4("255.255.0.0"), ip4("172.20.1.1"), ip4("172.20.1.3")), "mask, router, DNS")
    eq((found[12], found[15], found["file"]), (b"fritz", b"b.example", b"/boot/x"), "names")
    check(not server or found[66] == b"store", f"name of the TFTP server: {found.get(66)}")
    eq(found[119], b"\1a\7example\0\1b\xc0\2", "search list (RFC 3397)")
    check("net=172.20.0.0" in u.hmp("info network"), "info network does not tell the network")


@case("net-user/ipv6", needs=NET)
def ipv6(t):
    for scope in ("all", "lo"):
        path = Path(f"/proc/sys/net/ipv6/conf/{scope}/disable_ipv6")
        if not path.exists():
            raise Skip("the host has no IPv6")
        path.write_text("0")
    u = User(t, ",ipv6=on,ipv6-net=fec0::/64")
    server, port = local_server(socket.SOCK_DGRAM, family=socket.AF_INET6, host="::1")
    ra = u.guest.router(LINK_LOCAL)
    at = ra.body.index(struct.pack(">BBB", 3, 4, 64), 16)
    eq(ra.body[at + 16:at + 32], ip6("fec0::"), "advertised prefix")
    body = struct.pack(">HHHH", 4000, port, 12, 0) + b"ping"
    u.guest.send_ip6(UDP, ra.src_mac, OWN6, HOST6, with_sum(UDP, OWN6, HOST6, body, 6), hops=64)
    data, peer = server.recvfrom(100)
    eq(data, b"ping", "what the host received")
    server.sendto(b"pong", peer)
    u.guest.answer_neighbours(OWN6)
    answer = u.guest.wait_udp(4000, "the host's answer")
    eq((answer.ethertype, answer.src, answer.data), (IPV6, HOST6, b"pong"), "the host's answer")
    u.guest.send_arp(1, None, HOST)
    check(not any(p.ethertype == 0x0806 for p in u.guest.pending), "ipv6=on alone leaves IPv4 on")


# ---- what the guest asks for ----

@case("net-user/dns", needs=NET)
def dns(t):
    resolv = Path(t.dir) / "resolv.conf"
    resolv.write_text("nameserver 127.0.0.1\n")
    if subprocess.run(["mount", "--bind", resolv, "/etc/resolv.conf"], capture_output=True, check=False).returncode:
        raise Skip("cannot put another file at /etc/resolv.conf")
    set_up("lo")
    server, _ = local_server(socket.SOCK_DGRAM, 53)
    u = User(t)
    u.guest.send_udp(DNS, 5353, 53, b"query")
    data, peer = server.recvfrom(100)
    eq(data, b"query", "query at the host's server")
    server.sendto(b"answer", peer)
    answer = u.guest.wait_udp(5353, "an answer of the name server")
    eq((answer.src, answer.sport, answer.data), (DNS, 53, b"answer"), "the answer")


@case("net-user/tftp", needs=NET)
def tftp(t):
    root = Path(t.dir) / "tftp"
    root.mkdir()
    content = pattern(1300)
    (root / "boot").write_bytes(content)
    (Path(t.dir) / "secret").write_bytes(b"x")
    u = User(t, f",tftp={root}")

    def ask(port, name):
        u.guest.send_udp(HOST, port, 69, b"\0\1" + name + b"\0octet\0")
        return u.guest.wait_udp(port, "an answer of TFTP")
    got, answer = b"", ask(2000, b"/boot")
    for block in (1, 2, 3):
        eq(answer.data[:4], struct.pack(">HH", 3, block), "kind and number of a block")
        got += answer.data[4:]
        u.guest.send_udp(HOST, 2000, 69, struct.pack(">HH", 4, block))
        if block < 3:
            answer = u.guest.wait_udp(2000, "the next block")
    eq(got, content, "the file")
    eq(ask(2001, b"../secret").data[:2], b"\0\5", "answer for a file outside of the directory")
    eq(ask(2002, b"/none").data[:2], b"\0\5", "answer for a file that is not there")


@case("net-user/tcp", needs=NET)
def tcp(t):
    """A connection to the host; much to the guest and from it."""
    u = User(t)
    server, port = local_server()
    s = Stream.connect(u.guest, HOST, 3000, port)
    conn = accepted(server)
    data = pattern(200_000)
    conn.setblocking(True)
    conn.settimeout(WAIT_S)
    pid = os.fork()
    if pid == 0:
        conn.sendall(data)
        os._exit(int(receive(conn, len(data)) != data))
    eq(s.recv(len(data)), data, "what the host sent")
    s.send(data)
    eq(os.waitpid(pid, 0)[1], 0, "status of the host's side: what it received")
    table = u.hmp("info usernet")
    check(table.startswith("n0:") and "TCP[ESTABLISHED]" in table and f" {port} " in table, f"info usernet: {table}")
    conn.close()
    s.recv(1)
    s.close()


@case("net-user/restrict", needs=NET)
def restrict(t):
    u = User(t, ",restrict=on,guestfwd=tcp:10.0.2.100:7-cmd:cat")
    server, port = local_server()
    server.settimeout(0)
    refused(u.guest, HOST, 3000, port)
    s = Stream.connect(u.guest, ip4("10.0.2.100"), 3001, 7)
    s.send(b"still")
    eq(s.recv(5), b"still", "what the command sent back")
    try:
        server.accept()
        check(False, "the host has a connection")
    except BlockingIOError:
        pass


# ---- forwarding ----

def through(u, port, guest_port, text):
    """A connection to the host's PORT gets to the guest, there and back."""
    client = connected(("127.0.0.1", port))
    s = Stream.accept(u.guest, guest_port)
    client.sendall(text)
    eq(s.recv(len(text)), text, "what the guest received")
    s.send(text[::-1])
    eq(receive(client, len(text)), text[::-1], "what the host received")
    return client, s


@case("net-user/hostfwd", needs=NET)
def hostfwd(t):
    u = User(t, ",hostfwd=tcp::2222-:22,hostfwd=tcp:127.0.0.1:8080-10.0.2.15:80,hostfwd=udp::5000-:50")
    client, s = through(u, 2222, 22, b"first")
    through(u, 8080, 80, b"second")
    client.close()
    s.recv(1)
    s.close()
    sender = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sender.settimeout(WAIT_S)
    sender.sendto(b"datagram", ("127.0.0.1", 5000))
    got = u.guest.wait_udp(50, "a forwarded datagram")
    eq(got.data, b"datagram", "the datagram")
    u.guest.send_udp(got.src, 50, got.sport, b"back")
    eq(sender.recv(100), b"back", "the answer")


@case("net-user/hostfwd-monitor", needs=NET)
def hostfwd_monitor(t):
    """hostfwd_add and hostfwd_remove, with the netdev's id and without, while packets flow."""
    u = User(t)
    for line in ("hostfwd_add tcp:127.0.0.1:2300-:23", "hostfwd_add n0 udp::2301-:23"):
        eq(u.hmp(line), "", line)
    through(u, 2300, 23, b"hot")
    check("TCP[HOST_FORWARD]" in u.hmp("info usernet"), "info usernet does not list the port")
    check("cannot listen" in u.hmp("hostfwd_add tcp:127.0.0.1:2300-:24"), "a port was taken twice")
    check("expects [tcp|udp]" in u.hmp("hostfwd_add n0 icmp::1-:1"), "a bad rule is taken")
    check("no netdev 'n9'" in u.hmp("hostfwd_add n9 tcp::2302-:23"), "a netdev is found that is not there")
    eq(u.hmp("hostfwd_remove tcp:127.0.0.1:2300").strip(), "host forwarding rule for tcp:127.0.0.1:2300 removed", "answer")
    eq(u.hmp("hostfwd_remove tcp:127.0.0.1:2300").strip(), "host forwarding rule for tcp:127.0.0.1:2300 not found",
       "answer")
    eq(u.hmp("hostfwd_remove n0 udp::2301").strip(), "host forwarding rule for udp::2301 removed", "answer")
    with socket.socket() as s:
        check(s.connect_ex(("127.0.0.1", 2300)) != 0, "the port is still open")


@case("net-user/hostfwd-without-ipv4", needs=NET)
def hostfwd_without_ipv4(t):
    u = User(t, ",ipv4=off")
    check("has ipv4=off" in u.hmp("hostfwd_add n0 tcp:127.0.0.1:2222-:22"), "hostfwd_add with ipv4=off")
    with socket.socket() as s:
        check(s.connect_ex(("127.0.0.1", 2222)) != 0, "the port is open all the same")


@case("net-user/guestfwd-command", needs=NET)
def guestfwd_command(t):
    """Each connection has a command of its own, which ends with it."""
    script = Path(t.dir) / "who"
    script.write_text("#!/bin/sh\necho $$\nexec cat\n")
    script.chmod(0o755)
    u = User(t, f",guestfwd=tcp:10.0.2.100:1234-cmd:{script}")
    streams = [Stream.connect(u.guest, ip4("10.0.2.100"), 3000 + i, 1234) for i in range(2)]
    pids = []
    for s in streams:
        line = b""
        while not line.endswith(b"\n"):
            line += s.recv(1)
        pids.append(int(line))
        s.send(b"echo")
        eq(s.recv(4), b"echo", "what the command sent back")
    check(pids[0] != pids[1], "one command for two connections")
    streams[0].close()
    wait_for(lambda: not Path(f"/proc/{pids[0]}/cmdline").exists() or not
             Path(f"/proc/{pids[0]}/cmdline").read_bytes(), "the command to end with its connection")
    u.vm.close()
    wait_for(lambda: not Path(f"/proc/{pids[1]}/cmdline").exists() or not
             Path(f"/proc/{pids[1]}/cmdline").read_bytes(), "the command to end with the emulator")
    u.vm.ended = True


@case("net-user/guestfwd-chardev", needs=NET)
def guestfwd_chardev(t):
    """A device that takes nothing stops the guest, and nothing is lost."""
    path = f"{t.dir}/peer"
    u = User(t, ",guestfwd=tcp:10.0.2.101:80-chardev:c0",
             extra=("-chardev", f"socket,id=c0,path={path},server=on,wait=off"))
    peer = connected(path)
    peer.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    s = Stream.connect(u.guest, ip4("10.0.2.101"), 3000, 80)
    peer.sendall(b"hello")
    eq(s.recv(5), b"hello", "what the device's peer sent")
    data = pattern(1_000_000)
    pid = os.fork()
    if pid == 0:
        select_later(peer)
        os._exit(int(receive(peer, len(data)) != data))
    s.send(data)
    eq(os.waitpid(pid, 0)[1], 0, "status of the peer: what it received")


def select_later(peer):
    """Returns when as much waits at PEER as will, nobody having read."""
    import fcntl
    import termios
    last = []

    def stalled():
        n = struct.unpack("i", fcntl.ioctl(peer, termios.FIONREAD, bytes(4)))[0]
        last.append(n)
        return n > 0 and last[-20:] == [n] * 20
    wait_for(stalled, "the device to be full")


# ---- life ----

@case("net-user/life", needs=NET)
def life(t):
    """Deleted and made again under a NIC, many times, with connections: nothing is left; what comes is used."""
    u = User(t, ",hostfwd=tcp::2222-:22,guestfwd=tcp:10.0.2.100:7-cmd:cat")
    client, _ = through(u, 2222, 22, b"before")
    before = None
    for i in range(4):
        u.qmp.cmd("netdev_del", id="n0")
        with socket.socket() as s:
            check(s.connect_ex(("127.0.0.1", 2222)) != 0, "the port is open without a netdev")
        now = state(u.qmp, u.vm)
        check("net-user" not in u.vm.thread_names().values(), "the thread is left")
        if i:
            eq(now, before, f"state after deletion {i}")
        before = now
        u.qmp.cmd("netdev_add", arguments_={
            "type": "user", "id": "n0", "hostfwd": [{"str": "tcp::2222-:22"}],
            "guestfwd": [{"str": "tcp:10.0.2.100:7-cmd:cat"}]})
        u.guest.pending.clear()
        s = Stream.connect(u.guest, ip4("10.0.2.100"), 3000 + i, 7)
        s.send(b"again")
        eq(s.recv(5), b"again", "what the command sent back")
        through(u, 2222, 22, b"after")
    client.close()


@case("net-user/flood", needs=NET)
def flood(t):
    """A guest that sends whatever: broken headers, long frames, a flood nobody waits for; and does not receive."""
    u = User(t)
    ring = u.nic.tx[0]
    head = b"\xff" * 6 + MAC
    bodies = [b"\x08\0" + pattern(n) for n in (0, 1, 19, 20, 60, 1500, 9000, 60000)]
    bodies += [b"\x08\6" + pattern(n) for n in (0, 5, 27, 28)]
    bodies += [b"\x86\xdd" + bytes((0x60, 0, 0, 0, n >> 8, n & 255, ICMPV6, 255)) + pattern(40 + n) for n in (0, 4, 24, 1000)]
    bodies += [b"\x08\0" + bytes((0x40 | n, 0)) + pattern(40) for n in (0, 5, 15)]
    for body in bodies:
        u.nic.send(0, head + body)
    base = u.vm.alloc(4096, 64)
    request = bytes(12) + head + bytes.fromhex("08060001080006040001") + MAC + GUEST + bytes(6) + HOST
    u.vm.ram[base:base + len(request)] = request
    taken = 0
    for _ in range(FLOOD):
        if not ring.free:
            taken += bool(ring.wait("a sent frame"))
        ring.push(ring.add(out=[(base, len(request))]))
    for _ in range(FLOOD - taken):
        ring.wait("a sent frame")
    check(u.vm.alive(), "the emulator ended")
    u.guest.macs.clear()

    def fetched():
        """What the flood was answered is out of the way: while it fills the queues, further answers are dropped."""
        u.guest.send_arp(1, None, DNS)
        time.sleep(0.02)
        while got := u.nic.recv(0, wait=False):
            u.guest.on_packet(Packet(got[1]))
        return DNS in u.guest.macs
    wait_for(fetched, "an answer after the flood")
    check(u.guest.dhcp()["address"], "no address after the flood")
