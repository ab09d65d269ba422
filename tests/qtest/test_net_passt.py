# SPDX-License-Identifier: GPL-2.0-or-later
"""-netdev passt: the program passt(1) of the host, in a network namespace with one interface of its own."""

import os
import shutil
import socket
import subprocess
import time
from pathlib import Path

from inetlib import Guest, Stream, ip4
from netlib import Wire, add_address, set_up
from qmplib import Qmp
from qtestlib import WAIT_S, Skip, case, check, eq, wait_for
from test_net_hot import refused, state
from test_net_user import accepted, connected, local_server, receive
from virtiolib import MAC_TEXT, Modern, Nic, find_virtio

NET = ("root", "tun")
OWN, GATEWAY = "192.0.2.10", "192.0.2.1"


def processes():
    """Those of passt that live in this namespace."""
    own = os.readlink("/proc/self/ns/net")
    found = []
    for p in Path("/proc").glob("[0-9]*"):
        try:
            if b"--one-off" in (p / "cmdline").read_bytes() and os.readlink(p / "ns/net") == own:
                found.append(int(p.name))
        except OSError:
            pass
    return found


class Passt:
    def __init__(self, t, options="", start=True):
        if not shutil.which("passt"):
            raise Skip("needs passt")
        set_up("lo")
        self.wire = Wire("w0")
        add_address("w0", ip4(OWN), 24)
        subprocess.run(["ip", "route", "add", "default", "via", GATEWAY, "dev", "w0"], check=True)
        self.why_not()
        self.vm = t.vm("-netdev", f"passt,id=n0{options}", "-device",
                       f"virtio-net-pci,netdev=n0,id=nic0,mac={MAC_TEXT}", qmp=True)
        self.qmp = Qmp(self.vm.qmp_path)
        self.nic = Nic(Modern(find_virtio(self.vm)[0]))
        if start:
            self.nic.start()
        self.guest = Guest(self.nic, ip4(OWN))

    @staticmethod
    def why_not():
        """passt wants namespaces of its own."""
        ours, theirs = socket.socketpair()
        with ours, theirs:
            end = subprocess.run(["passt", "--one-off", "--quiet", "--fd", str(theirs.fileno())], check=False,
                                 pass_fds=[theirs.fileno()], capture_output=True, timeout=WAIT_S)
        if end.returncode:
            raise Skip(f"passt does not run here: {end.stderr.decode(errors='replace').strip().splitlines()[-1:]}")
        wait_for(lambda: not processes(), "passt to end after its client")


@case("net-passt/dhcp-tcp", needs=NET)
def dhcp_tcp(t):
    """The guest has the host's address, gets to the host's loopback by the gateway's, and is got at by a port."""
    u = Passt(t, ",tcp-ports=2222:22,tcp-ports=8080:80,mtu=1400")
    found = u.guest.dhcp()
    eq((found["address"], found[3], found[26]), (ip4(OWN), ip4(GATEWAY), b"\5\x78"), "address, router, MTU")
    server, port = local_server()
    s = Stream.connect(u.guest, ip4(GATEWAY), 3000, port)
    conn = accepted(server)
    s.send(b"there")
    eq(conn.recv(100), b"there", "what the host received")
    conn.sendall(b"back")
    eq(s.recv(4), b"back", "what the guest received")
    client = connected(("127.0.0.1", 2222))
    client.sendall(b"early")
    s = Stream.accept(u.guest, 22)
    eq(s.recv(5), b"early", "what the guest received")
    s.send(b"late")
    eq(receive(client, 4), b"late", "what the host received")
    check("type=passt,/" in u.qmp.cmd("human-monitor-command", command_line="info network"), "info network")


@case("net-passt/inbound", needs=NET)
def inbound(t):
    """Ports of the host into the guest. The guest's SYN and ACK get no answer of their own before there are data (passt of
    2023-03), so a server of the guest's sees a connection when its client has said something."""
    u = Passt(t, ",tcp-ports=2222:22,udp-ports=5000:50")
    u.guest.dhcp()
    client = connected(("127.0.0.1", 2222))
    s = Stream.answer(u.guest, 22)
    for i in range(3):
        client.sendall(b"question %d" % i)
        eq(s.recv(10), b"question %d" % i, "what the guest received")
        s.send(b"answer %d" % i)
        eq(receive(client, 8), b"answer %d" % i, "what the host received")
    client.close()
    s.recv(1)
    s.close()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        sender.settimeout(WAIT_S)
        sender.sendto(b"datagram", ("127.0.0.1", 5000))
        got = u.guest.wait_udp(50, "a forwarded datagram")
        eq(got.data, b"datagram", "the datagram")
        u.guest.send_udp(got.src, 50, got.sport, b"back")
        eq(sender.recv(100), b"back", "the answer")


@case("net-passt/life", needs=NET)
def life(t):
    """The program lives as long as the netdev; its death is told; a new one takes its place."""
    u = Passt(t, start=False)
    eq(len(processes()), 1, "programs")
    u.qmp.cmd("netdev_del", id="n0")
    wait_for(lambda: not processes(), "passt to end")
    u.qmp.cmd("netdev_add", type="passt", id="n0")
    u.nic.start()
    u.guest.dhcp()
    u.qmp.cmd("netdev_del", id="n0")
    before = state(u.qmp, u.vm)
    u.qmp.cmd("netdev_add", type="passt", id="n0")
    wait_for(lambda: len(processes()) == 1, "one passt")
    u.guest.dhcp()
    os.kill(processes()[0], 9)
    eq(u.qmp.event("NETDEV_STREAM_DISCONNECTED")["data"], {"netdev-id": "n0"}, "the event")
    check("passt has ended" in u.qmp.cmd("human-monitor-command", command_line="info network"), "info network")
    u.guest.send_arp(1, None, ip4(GATEWAY))
    u.qmp.cmd("netdev_del", id="n0")
    eq(state(u.qmp, u.vm), before, "state after the end")
    u.qmp.cmd("netdev_add", type="passt", id="n0")
    u.guest.dhcp()
    u.vm.close()
    u.vm.ended = True
    wait_for(lambda: not processes(), "passt to end with the emulator")


@case("net-passt/never-ready", needs=NET)
def never_ready(t):
    """A program that closes its stderr, and neither ends nor goes to the background."""
    program, number = Path(t.dir) / "p", Path(t.dir) / "number"
    vm = t.vm(qmp=True)
    qmp = Qmp(vm.qmp_path)
    before = state(qmp, vm)
    program.write_text(f"#!/bin/sh\necho $$ > {number}\nexec 2>&-\nexec sleep 60\n")
    program.chmod(0o755)
    begin = time.monotonic()
    refused(qmp, vm, f"'{program}' was not ready in 10 seconds", "netdev_add",
            {"type": "passt", "id": "n0", "path": str(program)})
    check(9 < time.monotonic() - begin < 15, "not about 10 seconds")
    check(not os.path.exists(f"/proc/{int(number.read_text())}"), "the program goes on")
    eq(state(qmp, vm), before, "state after it")


@case("net-passt/arguments", needs=NET)
def arguments(t):
    """What the program is given, by one that writes it down."""
    program, out = Path(t.dir) / "p", Path(t.dir) / "out"
    program.write_text(f'#!/bin/sh\nprintf "%s\\n" "$@" > {out}\n')
    program.chmod(0o755)
    vm = t.vm("-netdev", f"passt,id=n0,path={program},quiet=off,mtu=0,address=1.2.3.4,netmask=24,mac=02::1,gateway=1.2.3.1,"
         "interface=e0,outbound=1.1.1.1,outbound-if4=e1,outbound-if6=e2,dns=9.9.9.9,search=a,search=b,fqdn=f.g,dhcp-dns=off,"
         "dhcp-search=on,map-host-loopback=1.2.3.2,map-guest-addr=1.2.3.3,dns-forward=1.2.3.5,dns-host=1.2.3.6,tcp=on,udp=off,"
         "icmp=off,dhcp=off,ndp=off,dhcpv6=off,ra=off,freebind=on,ipv6=off,tcp-ports=1,,2,udp-ports=3,param=--pcap,"
         "param=/x", qmp=True)
    Qmp(vm.qmp_path)
    eq(out.read_text().split(), (
        "--one-off --fd 3 --mtu 0 --address 1.2.3.4 --netmask 24 --mac-addr 02::1 --gateway 1.2.3.1 --interface e0 "
        "--outbound 1.1.1.1 --outbound-if4 e1 --outbound-if6 e2 --dns 9.9.9.9 --fqdn f.g --map-host-loopback 1.2.3.2 "
        "--map-guest-addr 1.2.3.3 --dns-forward 1.2.3.5 --dns-host 1.2.3.6 --no-dhcp-dns --dhcp-search --no-udp --no-icmp "
        "--no-dhcp --no-ndp --no-dhcpv6 --no-ra --freebind --ipv4-only --search a --search b --tcp-ports 1,2 "
        "--udp-ports 3 --pcap /x").split(), "arguments")
