# SPDX-License-Identifier: GPL-2.0-or-later
"""-netdev user over IPv6: TCP both ways, forwarded ports, the host and the name server at addresses of one's choice; and
ports of the host that are local sockets."""

import os
import socket
import struct
import subprocess
from pathlib import Path

from inetlib import UDP, Stream, ip6, refused
from netlib import set_up
from qtestlib import WAIT_S, Skip, case, check, eq, wait_for
from test_net_user import HOST, HOST6, LINK_LOCAL, OWN6, User, accepted, connected, local_server, pattern, receive

NET = ("root",)
NET7, HOST7, DNS7, OWN7 = (ip6(f"fd00:7::{part}") for part in ("", "9", "53", "77"))


def enable_ipv6():
    """::1 is there; namespaces of cases begin without."""
    for scope in ("all", "lo"):
        path = Path(f"/proc/sys/net/ipv6/conf/{scope}/disable_ipv6")
        if not path.exists():
            raise Skip("the host has no IPv6")
        path.write_text("0", encoding="ascii")
    set_up("lo")
    wait_for(lambda: " 80 " in Path("/proc/self/net/if_inet6").read_text(encoding="ascii"), "::1")


def user6(t, options, own=OWN6):
    """A machine whose guest has the address OWN; with the router's advertisement."""
    enable_ipv6()
    u = User(t, options)
    return u, u.guest.use_ip6(LINK_LOCAL, own)


def server6(kind=socket.SOCK_STREAM, port=0):
    return local_server(kind, port, socket.AF_INET6, "::1")


def client6(port):
    s = socket.socket(socket.AF_INET6)
    s.settimeout(WAIT_S)
    s.connect(("::1", port))
    return s


def there_and_back(stream, sock, text):
    """Both ends of a connection get what the other one sends."""
    sock.sendall(text)
    eq(stream.recv(len(text)), text, "what the guest received")
    stream.send(text[::-1])
    eq(receive(sock, len(text)), text[::-1], "what the host received")


@case("net-user6/tcp", needs=NET)
def tcp(t):
    u, _ = user6(t, ",ipv6=on")
    server, port = server6()
    s = Stream.connect(u.guest, HOST6, 3000, port)
    conn = accepted(server)
    data = pattern(50_000)
    pid = os.fork()
    if pid == 0:
        conn.sendall(data)
        os._exit(int(receive(conn, len(data)) != data))
    eq(s.recv(len(data)), data, "what the host sent")
    s.send(data)
    eq(os.waitpid(pid, 0)[1], 0, "status of the host's side: what it received")
    conn.close()
    s.recv(1)
    s.close()
    server.close()
    refused(u.guest, HOST6, 3001, port)


@case("net-user6/network-host-and-name-server", needs=NET)
def addresses(t):
    """ipv6-net=, ipv6-host= and ipv6-dns=: advertised, and there."""
    resolv = Path(t.dir) / "resolv.conf"
    resolv.write_text("nameserver ::1\n", encoding="ascii")
    if subprocess.run(["mount", "--bind", resolv, "/etc/resolv.conf"], capture_output=True, check=False).returncode:
        raise Skip("cannot put another file at /etc/resolv.conf")
    u, ra = user6(t, ",ipv6-net=fd00:7::/64,ipv6-host=fd00:7::9,ipv6-dns=fd00:7::53", own=OWN7)
    at = ra.body.index(struct.pack(">BBB", 3, 4, 64), 16)
    eq(ra.body[at + 16:at + 32], NET7, "advertised prefix (RFC 4861, 4.6.2)")
    at = ra.body.index(struct.pack(">BB", 25, 3), 16)
    eq(ra.body[at + 8:at + 24], DNS7, "advertised name server (RFC 8106, 5.1)")
    server, port = server6()
    s = Stream.connect(u.guest, HOST7, 3000, port)
    there_and_back(s, accepted(server), b"at ipv6-host")
    names, _ = server6(socket.SOCK_DGRAM, 53)
    u.guest.send_segment(UDP, DNS7, struct.pack(">HHHH", 5353, 53, 13, 0) + b"query", 6)
    data, peer = names.recvfrom(100)
    eq(data, b"query", "query at the host's server")
    names.sendto(b"answer", peer)
    answer = u.guest.wait_udp(5353, "an answer of the name server")
    eq((answer.src, answer.sport, answer.data), (DNS7, 53, b"answer"), "the answer")
    server, port = local_server()  # IPv4 is there as ever
    s = Stream.connect(u.guest, HOST, 3001, port)
    there_and_back(s, accepted(server), b"by IPv4")


def through6(u, port, guest_port, text):
    client = client6(port)
    s = Stream.accept(u.guest, guest_port)
    eq(s.peer, HOST6, "address of the host in the guest's network")
    there_and_back(s, client, text)
    return client, s


@case("net-user6/hostfwd", needs=NET)
def hostfwd(t):
    u, _ = user6(t, ",hostfwd=tcp:[::1]:2222-[fec0::15]:22,hostfwd=udp:[::1]:5000-[fec0::15]:50,hostfwd=tcp::2222-:2")
    client, s = through6(u, 2222, 22, b"by IPv6")
    client.close()
    s.recv(1)
    s.close()
    four = connected(("127.0.0.1", 2222))
    there_and_back(Stream.accept(u.guest, 2), four, b"by IPv4")
    with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as sender:
        sender.settimeout(WAIT_S)
        sender.sendto(b"datagram", ("::1", 5000))
        got = u.guest.wait_udp(50, "a forwarded datagram")
        eq(got.data, b"datagram", "the datagram")
        u.guest.send_segment(UDP, got.src, struct.pack(">HHHH", 50, got.sport, 12, 0) + b"back", 6)
        eq(sender.recv(100), b"back", "the answer")


@case("net-user6/hostfwd-monitor", needs=NET)
def hostfwd_monitor(t):
    """Rules for IPv6 come and go; a rule that names no address of the host's is of its guest's kind."""
    u, _ = user6(t, "")
    for line in ("hostfwd_add tcp:[::1]:2300-[fec0::15]:23", "hostfwd_add n0 tcp::2301-[fec0::15]:24",
                 "hostfwd_add n0 tcp:127.0.0.1:2300-:25"):
        eq(u.hmp(line), "", line)
    through6(u, 2300, 23, b"one")
    through6(u, 2301, 24, b"two")
    check("cannot listen" in u.hmp("hostfwd_add tcp:[::1]:2300-[fec0::15]:26"), "a port was taken twice")
    for rule in ("tcp:[::1]:2300", "tcp::2301"):
        for word in ("removed", "not found"):
            eq(u.hmp(f"hostfwd_remove {rule}").strip(), f"host forwarding rule for {rule} {word}", "answer")
    with socket.socket(socket.AF_INET6) as s:
        check(s.connect_ex(("::1", 2300)) != 0, "the port is still open")
    client = connected(("127.0.0.1", 2300))
    there_and_back(Stream.accept(u.guest, 25), client, b"three")


@case("net-user6/ipv6-alone", needs=NET)
def alone(t):
    """With IPv4 off, ports lead to IPv6 only."""
    u, _ = user6(t, ",ipv4=off,hostfwd=tcp:[::1]:2222-[fec0::15]:22")
    through6(u, 2222, 22, b"alone")
    check("ipv4=off" in u.hmp("hostfwd_add n0 tcp:127.0.0.1:2223-:22"), "a rule for IPv4 was taken")


@case("net-user/hostfwd-unix", needs=NET)
def hostfwd_unix(t):
    """A local socket that leads into the guest; its file goes with it, and one that was left there is no obstacle."""
    path, other = f"{t.dir}/port-22", f"{t.dir}/other"
    with socket.socket(socket.AF_UNIX) as stale:
        stale.bind(path)
    u = User(t, f",hostfwd=unix:{path}-:22")
    for i in range(2):
        client = connected(path)
        s = Stream.accept(u.guest, 22)
        eq(s.peer, HOST, "address of the host in the guest's network")
        there_and_back(s, client, b"by a file %d" % i)
    eq(u.hmp(f"hostfwd_add n0 unix:{other}-10.0.2.15:23"), "", "hostfwd_add")
    client = connected(other)
    there_and_back(Stream.accept(u.guest, 23), client, b"another")
    check("Address already in use" in u.hmp(f"hostfwd_add n0 unix:{other}-:24"), "a path was taken twice")
    client = connected(other)
    there_and_back(Stream.accept(u.guest, 23), client, b"still there")
    eq(u.hmp(f"hostfwd_remove unix:{other}").strip(), f"host forwarding rule for unix:{other} removed", "hostfwd_remove")
    check(not os.path.exists(other), "the file is left")
    eq(u.hmp(f"hostfwd_remove unix:{other}").strip(), f"host forwarding rule for unix:{other} not found", "again")
    plain = Path(t.dir) / "file"
    plain.write_text("x", encoding="ascii")
    check("cannot listen at the host's path" in u.hmp(f"hostfwd_add unix:{plain}-:24"), "a file was taken for a socket")
    eq(plain.read_text(encoding="ascii"), "x", "the file")
    u.qmp.cmd("netdev_del", id="n0")
    check(not os.path.exists(path), "the file is left after netdev_del")
