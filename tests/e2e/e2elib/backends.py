# SPDX-License-Identifier: GPL-2.0-or-later
"""Cases: a Linux guest on back-ends without a tap, and the programs that are at their other ends."""

import base64
import re
import struct

from .report import expect
from .session import PORT

# In the guest: what a DHCP client does with the answer, and tells.
DHCP_SCRIPT = ("#!/bin/sh\\n[ $1 = bound ] || exit 0\\nip addr add $ip/$mask dev $interface\\n"
               "echo ip=$ip mask=$mask router=$router dns=$dns\\n")
NAME, ADDRESS = "some.test", "192.0.2.53"       # what dns.c answers
MIB = 4

# On the host, before the emulator: where names are resolved, and a default route for passt to take its addresses from.
RESOLVER = ("echo nameserver 127.0.0.1 >{state}/resolv.conf && {{ [ -e /etc/resolv.conf ] || : >/etc/resolv.conf; }} && "
            "mount --bind {state}/resolv.conf /etc/resolv.conf; {tools}/dns serve 53 >/dev/null 2>&1 & ")
UPLINK = ("ip tuntap add up0 mode tap && ip addr add 10.77.0.2/24 dev up0 && ip link set up0 up && "
          "ip route add default via 10.77.0.1 dev up0")
# The lab runs in the first file system of all, which pivot_root(2) cannot leave, as passt wants to: it gets another one.
# It runs as nobody, and its socket is in a directory where that may be.
PASST_SOCKET = "{state}/passt/socket"
INBOUND = 5700      # on the host; leads to the guest's PORT
PASST_END = ("if [ -e {state}/passt.pid ]; then kill $(cat {state}/passt.pid); fi; "
             "rm -rf {state}/passt.pid {state}/passt; ip link del up0 2>/dev/null; true")
PASST = ("mkdir -p {state}/root && mkdir -m 777 {state}/passt && "
         "{{ unshare -m sh -c 'echo $$ >{state}/passt.pid && mount -o rbind / {state}/root && cd {state}/root && mount -o move . / && "
         f"exec chroot . passt -f -e -t {INBOUND}:{PORT} -s {PASST_SOCKET}' >{{state}}/passt.log 2>&1 & n=0; "
         f"while [ ! -S {PASST_SOCKET} ] && [ $n -lt 100 ]; do n=$((n + 1)); sleep 0.1; done; }}}}; "
         f"[ -S {PASST_SOCKET} ] || {{{{ cat {{state}}/passt.log; false; }}}}")
# A hub of a tap, a user network and the guest. What crosses the tap's port is kept. libslirp does not look at whom frames
# are for: without restrict=on it would answer for the tap's address too, and with it resets TCP connections there.
HUB_TAP_END = "rm -f {state}/hub.pcap; ip link del hub0 2>/dev/null; true"
HUB_TAP = "ip tuntap add hub0 mode tap && ip addr add 10.78.0.50/24 dev hub0 && ip link set hub0 up"
HUB = ["-netdev", "tap,id=t0,ifname=hub0,script=no,downscript=no", "-netdev", "hubport,id=p0,hubid=0,netdev=t0",
       "-netdev", "user,id=u0,net=10.78.0.0/24,restrict=on", "-netdev", "hubport,id=p1,hubid=0,netdev=u0",
       "-object", "filter-dump,id=d0,netdev=t0,file={state}/hub.pcap,maxlen=128"]
HUB_PINGS = 50
ENDS = [PASST_END, HUB_TAP_END]
STARTS = [RESOLVER, UPLINK, PASST, HUB_TAP]


def _dhcp(s, nic):
    """The guest asks for an address; what it was told."""
    s.guest.check(f"printf '{DHCP_SCRIPT}' >/tmp/dhcp.sh && chmod +x /tmp/dhcp.sh && ip link set eth{nic} up")
    text = s.guest.check(f"busybox udhcpc -i eth{nic} -f -q -n -t 10 -T 2 -s /tmp/dhcp.sh", 60)
    told = re.search(r"ip=(\S*) mask=(\S*) router=(\S*) dns=(\S*)", text)
    expect(told, f"udhcpc: {text[-300:]}")
    return told.groups()


def _tcp(s, host, port=PORT):
    """Bytes both ways, compared, from the guest to a server that the host has on its loopback."""
    return s.guest.check(f"/e2e/xfer both {host} {port} {MIB << 20} 4 0", 120)


def _name(s, server):
    text = s.guest.check(f"busybox nslookup -type=a {NAME} {server}", 30)
    expect(ADDRESS in text, f"nslookup: {text}")


def user_dhcp(s, nic=0):
    """-netdev user: DHCP gives the documented addresses."""
    told = _dhcp(s, nic)
    expect(told == ("10.0.2.15", "24", "10.0.2.2", "10.0.2.3"), f"DHCP told {told}")


def user_tcp(s):
    """-netdev user: TCP to the host, compared byte by byte."""
    _tcp(s, "10.0.2.2")


def user_names(s):
    """-netdev user: names are resolved by the host's resolver."""
    _name(s, "10.0.2.3")


def user_tftp(s):
    """-netdev user: a file by TFTP, whole."""
    s.guest.check("busybox tftp -g -r xfer -l /tmp/xfer.got 10.0.2.2 && cmp /tmp/xfer.got /e2e/xfer", 60)


def user_hostfwd(s):
    """-netdev user,hostfwd=: a connection from the host to a server in the guest; rules come and go."""
    s.background(f"/e2e/xfer serve {PORT}", "server")
    s.host.check(f"/e2e/xfer both 127.0.0.1 5600 {MIB << 20} 2 0", 120)
    text = s.monitor(f"hostfwd_add n0 tcp:127.0.0.1:5601-:{PORT}")
    expect("rror" not in text and "nvalid" not in text, text)
    s.host.check(f"/e2e/xfer both 127.0.0.1 5601 {MIB << 20} 2 0", 120)
    expect("removed" in s.monitor("hostfwd_remove n0 tcp:127.0.0.1:5601"), "hostfwd_remove")
    expect(s.host.run(f"/e2e/xfer both 127.0.0.1 5601 {MIB << 20} 1 0", 60)[0] != 0, "a rule that was removed works")
    s.guest.check("kill $(pidof xfer)")


def passt_dhcp(s, nic=1):
    """passt over -netdev stream: DHCP gives the host's own address."""
    ip, _, router, _ = _dhcp(s, nic)
    expect((ip, router) == ("10.77.0.2", "10.77.0.1"), f"DHCP told {ip}, router {router}")


def passt_tcp(s):
    """passt over -netdev stream: TCP to the host, compared byte by byte."""
    _tcp(s, "10.77.0.1")


def passt_names(s):
    """passt over -netdev stream: names are resolved by the host's resolver."""
    _name(s, "10.77.0.1")


def passt_inbound(s):
    """passt over -netdev stream: a connection to a port of the host gets to a server in the guest, compared byte by byte."""
    s.background(f"/e2e/xfer serve {PORT}", "server")
    # Not more: once, of 2 MiB, one connection of four stood still while the others and those after it went on.
    s.host.check(f"/e2e/xfer both 127.0.0.1 {INBOUND} {1 << 20} 2 0", 120)
    s.guest.check("kill $(pidof xfer)")


def _captured(s, path):
    """Frames of a pcap file of the host's: (time, in seconds; the bytes that were kept), as they are in it."""
    data = base64.b64decode(s.host.check(f"base64 {path}", 60))
    magic, _, _, _, _, _, link = struct.unpack_from("<IHHIIII", data)
    expect((magic, link) == (0xA1B2C3D4, 1), f"{path}: magic {magic:#x}, link type {link}")
    frames, at = [], 24
    while at < len(data):
        seconds, micros, kept, _ = struct.unpack_from("<IIII", data, at)
        frames.append((seconds + micros / 1e6, data[at + 16:at + 16 + kept]))
        at += 16 + kept
    return frames


def _pings(frames):
    """(type, sequence number) of each ICMP echo among Ethernet frames, in their order."""
    return [struct.unpack_from(">BxxxxxH", f, 34) for _, f in frames if f[12:14] == b"\x08\x00" and f[23] == 1]


def hub(s, nic=2):
    """A hub of a tap, a user network and a capture: the guest reaches both, and each frame is in the capture once."""
    told = _dhcp(s, nic)[0]
    expect(told == "10.78.0.15", f"DHCP told {told}")
    text = s.guest.run(f"ping -q -i 0.02 -c {HUB_PINGS} 10.78.0.50", 60)[1]
    expect(" 0% packet loss" in text and "duplicates" not in text, f"to the tap: {text[-200:]}")
    frames = _captured(s, f"{s.host.state_dir}/hub.pcap")
    want = [(kind, n) for n in range(1, HUB_PINGS + 1) for kind in (8, 0)]
    expect(_pings(frames) == want, f"the capture has {_pings(frames)}")
    times = [t for t, _ in frames]
    expect(times == sorted(times), "the capture's times go back")
    text = s.guest.run("ping -q -i 0.02 -c 5 10.78.0.2", 60)[1]
    expect(" 0% packet loss" in text, f"to the user network: {text[-200:]}")
