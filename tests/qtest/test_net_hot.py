# SPDX-License-Identifier: GPL-2.0-or-later
"""The network of a running machine: netdevs come and go, links go down and up, NICs announce themselves."""

import fcntl
import json
import os
import re
import socket
import stat
import struct
import time

from netlib import (BROADCAST, HOST_MAC, IFF_NO_PI, IFF_TAP, NEEDS_CSUM, GSO_TCPV4, TCP_AT, TCP_PAYLOAD_AT, TUNSETIFF,
                    Host, delete_link, net_hdr, raw_frame, tcp_frame)
from qmplib import Qmp, QmpError
from qtestlib import QUIET_S, WAIT_S, Failure, case, check, eq, wait_for
from test_virtio_net_churn import Traffic
from test_virtio_net_mq import MQ, exchange, flood
from virtiolib import (BASIC, CTRL, CTRL_ANNOUNCE, F_CTRL_GUEST_OFFLOADS, F_CSUM, F_GUEST_ANNOUNCE, F_GUEST_CSUM,
                       F_GUEST_TSO4, F_HOST_TSO4, F_STATUS, FEATURES_OK, ACKNOWLEDGE, DRIVER, MAC, NEEDS_RESET, OK,
                       Legacy, Modern, Nic, bits, find_virtio, tap_args)

TUN = ("root", "tun")
IFF_VNET_HDR, IFF_MULTI_QUEUE = 0x4000, 0x100
ID = ",id=nic0"
GSO = bits(F_CSUM, F_GUEST_CSUM, F_GUEST_TSO4, F_HOST_TSO4)


def tap(ident="n0", ifname="t0", **more):
    """Arguments of netdev_add."""
    plain = {} if "fd" in more or "fds" in more else {"ifname": ifname, "script": "no", "downscript": "no"}
    return {"type": "tap", "id": ident, **plain, **{k.replace("_", "-") if k == "poll_us" else k: v
                                                    for k, v in more.items()}}


class Hot:
    """A machine with one NIC, called nic0, on the netdev n0, the tap t0."""

    def __init__(self, t, queues=1, extra=(), vnet_hdr=False, **kw):
        self.t, self.queues, self.vnet_hdr = t, queues, vnet_hdr
        self.vm = t.vm(*tap_args(queues=queues, nic_opts=ID + kw.pop("nic_opts", ""), **kw), *extra, qmp=True)
        self.qmp = Qmp(self.vm.qmp_path)
        self.pci = find_virtio(self.vm)[0]
        self.pci.msix_setup()
        self.nic = Nic(Modern(self.pci))
        self.host = Host("t0", vnet_hdr=vnet_hdr)

    def start(self, features=None, **kw):
        features = features or (MQ if self.queues > 1 else BASIC)
        self.nic.start(features, pairs=self.queues, vectors=True, **kw)
        if self.queues > 1:
            self.nic.set_pairs(self.queues)
        return self

    def add(self, **more):
        queues = {"queues": self.queues} if self.queues > 1 and "queues" not in more and "fds" not in more else {}
        self.qmp.cmd("netdev_add", arguments_=tap(**queues, **more))

    def delete(self):
        self.qmp.cmd("netdev_del", id="n0")

    def back(self, **more):
        self.add(**more)
        self.host = Host("t0", vnet_hdr=self.vnet_hdr)

    def link(self, up, name="nic0"):
        self.qmp.cmd("set_link", arguments_={"name": name, "up": up})

    def expect_link(self, up, what):
        """The driver was interrupted, and sees the link so."""
        self.pci.msix_wait(0, f"configuration interrupt: {what}")
        eq(self.nic.status_field(), int(up), what)

    def pairs(self):
        return self.qmp.cmd("query-net-queues", arguments_={"name": "nic0"})

    def hmp(self, line):
        return self.qmp.cmd("human-monitor-command", command_line=line)


def links():
    return sorted(name for _, name in socket.if_nameindex())


def state(qmp, vm):
    """What a refused command must not change."""
    queues = qmp.cmd("query-net-queues")
    for q in queues:
        del q["stats"]
    return {"queues": queues, "network": re.sub(r",[rt]x-.*", "", qmp.cmd("human-monitor-command",
                                                                          command_line="info network")),
            "fdsets": qmp.cmd("query-fdsets"), "iothreads": qmp.cmd("query-iothreads"),
            "fds": vm.fds(), "threads": sorted(vm.thread_names().values()), "links": links()}


def refused(qmp, vm, text, command, arguments=None, cls=None, before=None):
    """COMMAND fails with an error that matches TEXT, in one line, and nothing has changed."""
    before = before or state(qmp, vm)
    try:
        qmp.cmd(command, arguments_=arguments)
    except QmpError as e:
        check(re.search(text, e.desc), f"{command} {arguments}: '{e.desc}' does not match '{text}'")
        check("\n" not in e.desc, f"{command} {arguments}: more than a line: {e.desc}")
        check(cls is None or e.cls == cls, f"{command} {arguments}: class {e.cls}")
    else:
        raise Failure(f"{command} {arguments} was taken")
    eq(state(qmp, vm), before, f"state after the refused {command} {arguments}")


def refused_line(hot, text, line):
    before = state(hot.qmp, hot.vm)
    answer = hot.hmp(line)
    check(answer.startswith("Error: ") and re.search(text, answer), f"{line}: '{answer}' does not match '{text}'")
    eq(state(hot.qmp, hot.vm), before, f"state after {line}")


def open_tap(name, flags=IFF_VNET_HDR):
    fd = os.open("/dev/net/tun", os.O_RDWR)
    fcntl.ioctl(fd, TUNSETIFF, struct.pack("16sH22x", name.encode(), IFF_TAP | IFF_NO_PI | flags))
    return fd


def give(qmp, name, fd):
    qmp.cmd("getfd", fds=[fd], fdname=name)
    os.close(fd)


# ---- refused ----

BAD_NETDEVS = (
    ("'type' is missing", {"id": "x"}),
    ("'type'.*'pigeon'", {"type": "pigeon", "id": "x"}),
    ("'type'.*backend", {"type": "nic", "id": "x"}),
    ("'type'.*backend", {"type": "none", "id": "x"}),
    ("'id' is missing", {"type": "tap"}),
    ("'id'|identifier", {"type": "tap", "id": ""}),
    ("'id'|identifier", {"type": "tap", "id": "1x"}),
    ("'id'|identifier", {"type": "tap", "id": "a b"}),
    ("Duplicate ID 'n0'", tap("n0")),
    ("'colour'", tap("x", colour="red")),
    ("'queues'.*(integer|string)", tap("x", queues="2")),
    ("1 to 256 queues", tap("x", "t9", queues=0)),
    ("1 to 256 queues", tap("x", "t9", queues=257)),
    ("1 to 15 char", tap("x", "")),
    ("1 to 15 char", tap("x", "sixteen-chars-xx")),
    ("ifname=t0", tap("x", "t0")),
    ("ifname=lo", tap("x", "lo")),
    ("'/no/such'", {"type": "tap", "id": "x", "ifname": "t9", "script": "/no/such"}),
    ("'/bin/false' failed with status 1", {"type": "tap", "id": "x", "ifname": "t9", "script": "/bin/false"}),
    ("fd: file descriptor 9999", tap("x", fd="9999")),
    ("fd: .*'nobody' not found", tap("x", fd="nobody")),
    ("fd: .*/dev/fdset/7.*no such set", tap("x", fd="/dev/fdset/7")),
    ("fd: .*/dev/fdset/x.*NUMBER", tap("x", fd="/dev/fdset/x")),
    ("fd: file descriptor 0 is not an open tap", tap("x", fd="0")),
    ("fds: .*'nobody' not found", tap("x", fds="0:nobody")),
    ("the same file", tap("x", fds="0:0")),
    ("queues=3 does not fit", tap("x", fds="0:1", queues=3)),
    ("ifname= cannot be used with fd=", {"type": "tap", "id": "x", "fd": "0", "ifname": "t9"}),
    ("vhostfd= cannot be used with vhost=", tap("x", "t9", vhost=False, vhostfd="0")),
    ("vhostfd: file descriptor 0 is not an open vhost", tap("x", "t9", vhost=True, vhostfd="0")),
    ("vnet_hdr=off cannot be used with vhost=on", tap("x", "t9", vhost=True, vnet_hdr=False)),
    ("helper '/no/such'", {"type": "bridge", "id": "x", "helper": "/no/such"}),
    ("helper '/bin/false'.*status 1", {"type": "bridge", "id": "x", "helper": "/bin/false"}),
    ("'queues'", {"type": "bridge", "id": "x", "queues": 2}),
)


@case("net-hot/refused/netdev_add", needs=TUN)
def refused_add(t):
    hot = Hot(t).start()
    before = state(hot.qmp, hot.vm)
    for text, arguments in BAD_NETDEVS:
        refused(hot.qmp, hot.vm, text, "netdev_add", arguments, before=before)
    own = hot.pairs()[0]["fd"]
    refused(hot.qmp, hot.vm, f"fd: file descriptor {own} is in use by netdev 'n0'", "netdev_add", tap("x", fd=str(own)))
    hot.nic.both_ways(hot.host)


@case("net-hot/script-that-takes-its-time", needs=TUN)
def slow_script(t):
    """It is waited for as long as it takes; a warning says so; frames of others pass meanwhile."""
    hot = Hot(t).start()
    script, go = t.dir / "slow", t.dir / "go"
    script.write_text(f"#!/bin/sh\nwhile [ ! -e {go} ]; do sleep 0.02; done\n", encoding="ascii")
    script.chmod(0o755)
    arguments = {"type": "tap", "id": "n1", "ifname": "t1", "script": str(script), "downscript": "no"}
    hot.qmp.send_bytes(json.dumps({"execute": "netdev_add", "arguments": arguments}).encode())
    wait_for(lambda: f"script '{script}' has not ended after 5 seconds; the monitor waits for it" in hot.vm.log(),
             "the warning")
    frame = raw_frame(MAC, HOST_MAC, b"meanwhile", size=80)
    hot.host.send(frame)
    wait_for(lambda: hot.nic.rx[0].used_idx != hot.nic.rx[0].seen, "a frame that the iothread moved")
    check("t1" in links() and hot.vm.alive(), "the new tap")
    go.touch()
    eq(hot.qmp.answer()["return"], {}, "the answer in the end")
    hot.nic.expect(0, frame, "the frame")
    eq(hot.vm.log().count("has not ended"), 1, "warnings")
    hot.nic.both_ways(hot.host)


@case("net-hot/refused/netdev_del", needs=TUN)
def refused_del(t):
    hot = Hot(t).start()
    refused(hot.qmp, hot.vm, "'nobody' not found", "netdev_del", {"id": "nobody"}, "DeviceNotFound")
    refused(hot.qmp, hot.vm, "'nic0' is not a netdev", "netdev_del", {"id": "nic0"}, "GenericError")
    refused(hot.qmp, hot.vm, "'id' is missing", "netdev_del")
    refused(hot.qmp, hot.vm, "'id', expected: string", "netdev_del", {"id": 0})
    refused(hot.qmp, hot.vm, "'force'", "netdev_del", {"id": "n0", "force": True})
    hot.nic.both_ways(hot.host)


@case("net-hot/refused/set_link", needs=TUN)
def refused_link(t):
    hot = Hot(t).start()
    refused(hot.qmp, hot.vm, "'nobody' not found", "set_link", {"name": "nobody", "up": False}, "DeviceNotFound")
    refused(hot.qmp, hot.vm, "'up' is missing", "set_link", {"name": "nic0"})
    refused(hot.qmp, hot.vm, "'name' is missing", "set_link", {"up": False})
    refused(hot.qmp, hot.vm, "'up', expected: boolean", "set_link", {"name": "nic0", "up": "off"})
    refused(hot.qmp, hot.vm, "'name', expected: string", "set_link", {"name": None, "up": False})
    hot.nic.both_ways(hot.host)


ROUNDS = {"initial": 0, "max": 0, "rounds": 1, "step": 0}


@case("net-hot/refused/announce-self", needs=TUN)
def refused_announce(t):
    hot = Hot(t).start()
    for name, most in (("initial", 100000), ("max", 100000), ("rounds", 1000), ("step", 10000)):
        for value in (-1, most + 1, -1 << 63, (1 << 63) - 1):
            refused(hot.qmp, hot.vm, f"'{name}' expects a value from 0 to {most}", "announce-self",
                    {**ROUNDS, name: value})
        refused(hot.qmp, hot.vm, f"'{name}' is missing", "announce-self",
                {k: v for k, v in ROUNDS.items() if k != name})
        refused(hot.qmp, hot.vm, f"'{name}', expected: ", "announce-self", {**ROUNDS, name: "1"})
    for names in (["nobody"], ["nic0", "nobody"], ["n0"], [""]):
        refused(hot.qmp, hot.vm, f"'interfaces'.*'{names[-1]}'", "announce-self", {**ROUNDS, "interfaces": names})
    refused(hot.qmp, hot.vm, "'interfaces', expected: array", "announce-self", {**ROUNDS, "interfaces": "nic0"})
    refused(hot.qmp, hot.vm, "'id', expected: string", "announce-self", {**ROUNDS, "id": 1})
    check(hot.host.recv(QUIET_S) is None, "a frame after refused announcements")


@case("net-hot/refused/human-monitor", needs=TUN)
def refused_lines(t):
    hot = Hot(t).start()
    for text, line in (("'type'.*'help'.*tap, bridge", "netdev_add help"), ("'id' is missing", "netdev_add tap"),
                       ("'help'.*-netdev tap,help", "netdev_add tap,id=x,help"),
                       ("Duplicate ID 'n0'", "netdev_add tap,id=n0,ifname=t9,script=no"),
                       ("is missing", "netdev_add"), ("is missing", "netdev_del"),
                       ("'x' not found", "netdev_del x"), ("not a netdev", "netdev_del nic0"),
                       ("is missing", "set_link nic0"), ("'nobody' not found", "set_link nobody on"),
                       ("'on|off'", "set_link nic0 perhaps"), ("'interfaces'.*'n0'", "announce_self n0"),
                       ("'interfaces'.*''", "announce_self nic0,"), ("too much", "announce_self nic0 id more")):
        refused_line(hot, text, line)
    hot.nic.both_ways(hot.host)


# ---- netdevs by themselves ----

def script(t, name, out):
    path = t.dir / name
    path.write_text(f"#!/bin/sh\necho {name} $1 >>{out}\n")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return str(path)


@case("net-hot/netdev/scripts-and-interface", needs=TUN)
def scripts(t):
    hot = Hot(t)
    out = t.dir / "out"
    before = state(hot.qmp, hot.vm)
    hot.qmp.cmd("netdev_add", arguments_={"type": "tap", "id": "x", "ifname": "t9", "script": script(t, "up", out),
                                          "downscript": script(t, "down", out)})
    eq(out.read_text(), "up t9\n", "scripts after netdev_add")
    check("t9" in links(), "no interface t9")
    check("x: type=tap,ifname=t9" in hot.hmp("info network"), hot.hmp("info network"))
    hot.qmp.cmd("netdev_del", id="x")
    eq(out.read_text(), "up t9\ndown t9\n", "scripts after netdev_del")
    eq(state(hot.qmp, hot.vm), before, "state after both")
    hot.start()
    hot.delete()
    hot.qmp.cmd("netdev_add", arguments_={"type": "tap", "id": "n0", "ifname": "t0", "script": script(t, "up", out),
                                          "downscript": script(t, "down", out)})
    hot.delete()
    eq(out.read_text(), "up t9\ndown t9\nup t0\ndown t0\n", "scripts of a netdev deleted under a NIC")


@case("net-hot/netdev/human-monitor", needs=TUN)
def by_lines(t):
    hot = Hot(t).start()
    before = state(hot.qmp, hot.vm)
    eq(hot.hmp("netdev_add tap,id=x,ifname=t9,script=no,downscript=no,queues=2"), "", "netdev_add")
    check("x: type=tap,queues=2" in hot.hmp("info network"), hot.hmp("info network"))
    eq(hot.hmp("netdev_del x"), "", "netdev_del")
    eq(state(hot.qmp, hot.vm), before, "state after both")
    eq(hot.hmp('netdev_add {"type": "tap", "id": "x", "ifname": "t9", "script": "no"}'), "", "netdev_add of JSON")
    eq(hot.hmp("set_link nic0 off"), "", "set_link off")
    hot.expect_link(False, "link after set_link off")
    check(",link=down" in hot.hmp("info network"), hot.hmp("info network"))
    eq(hot.hmp("set_link nic0 on"), "", "set_link on")
    hot.expect_link(True, "link after set_link on")
    eq(hot.hmp("netdev_del n0"), "", "netdev_del under the NIC")
    check("nic0: " in hot.hmp("info network") and "netdev=n0 (deleted)" in hot.hmp("info network"),
          hot.hmp("info network"))


@case("net-hot/netdev/passed-descriptors", needs=TUN)
def passed(t):
    hot = Hot(t).start()
    kinds = hot.vm.fds()
    for i in range(2):
        give(hot.qmp, f"q{i}", open_tap("t9", IFF_VNET_HDR | IFF_MULTI_QUEUE))
    before = state(hot.qmp, hot.vm)
    # What is refused leaves the names.
    refused(hot.qmp, hot.vm, "'nobody' not found", "netdev_add", tap("x", fds="q0:nobody"), before=before)
    refused(hot.qmp, hot.vm, "the same file", "netdev_add", tap("x", fds="q0:q0"), before=before)
    refused(hot.qmp, hot.vm, "vnet_hdr=off out", "netdev_add", tap("x", fds="q0:q1", vnet_hdr=False), before=before)
    hot.qmp.cmd("netdev_add", arguments_=tap("x", fds="q0:q1"))
    for name in ("q0", "q1"):
        refused(hot.qmp, hot.vm, f"'{name}' not found", "closefd", {"fdname": name})
    hot.qmp.cmd("netdev_del", id="x")
    eq(hot.vm.fds(), kinds, "open files")
    wait_for(lambda: "t9" not in links(), "the end of t9")


@case("net-hot/netdev/descriptor-sets", needs=TUN)
def sets(t):
    hot = Hot(t).start()
    kinds = hot.vm.fds()
    infos = []
    for i in range(2):
        fd = open_tap("t9", IFF_VNET_HDR | IFF_MULTI_QUEUE)
        infos.append(hot.qmp.cmd("add-fd", fds=[fd], fdset_id=i))
        os.close(fd)
    with_sets = state(hot.qmp, hot.vm)
    refused(hot.qmp, hot.vm, "the same file", "netdev_add", tap("x", fds="/dev/fdset/0:/dev/fdset/0"))
    refused(hot.qmp, hot.vm, "the same file", "netdev_add", tap("x", fds=f"/dev/fdset/0:{infos[0]['fd']}"))
    refused(hot.qmp, hot.vm, "no such set", "netdev_add", tap("x", fds="/dev/fdset/0:/dev/fdset/3"))
    refused(hot.qmp, hot.vm, "vnet_hdr=off out", "netdev_add",
            tap("x", fds="/dev/fdset/0:/dev/fdset/1", vnet_hdr=False))
    for fds in ("/dev/fdset/0:/dev/fdset/1", f"{infos[0]['fd']}:{infos[1]['fd']}"):
        hot.qmp.cmd("netdev_add", arguments_=tap("x", fds=fds))
        refused(hot.qmp, hot.vm, "in use by netdev 'x'", "netdev_add", tap("y", fd="/dev/fdset/0"))
        hot.qmp.cmd("netdev_del", id="x")
        eq(state(hot.qmp, hot.vm), with_sets, "the sets keep what is theirs")
    # The netdev lives on what it has, without the set.
    hot.delete()
    hot.qmp.cmd("netdev_add", arguments_=tap("n0", fds="/dev/fdset/0:/dev/fdset/1"))
    for i in range(2):
        hot.qmp.cmd("remove-fd", fdset_id=i)
    hot.nic.both_ways(Host("t9"))
    hot.delete()
    hot.back()
    eq(hot.vm.fds(), kinds, "open files")


@case("net-hot/netdev/number-of-a-named-descriptor", needs=TUN)
def number_of_named(t):
    hot = Hot(t).start()
    kinds = hot.vm.fds()
    base = f"/proc/{hot.vm.process.pid}/fd"
    before = set(os.listdir(base))
    give(hot.qmp, "q", open_tap("t9"))
    new, = (fd for fd in set(os.listdir(base)) - before if os.path.exists(f"{base}/{fd}"))
    hot.qmp.cmd("netdev_add", arguments_=tap("x", fd=new))
    refused(hot.qmp, hot.vm, "'q' not found", "closefd", {"fdname": "q"})
    hot.qmp.cmd("netdev_del", id="x")
    eq(hot.vm.fds(), kinds, "open files")


@case("net-hot/netdev/before-the-machine-is-made", needs=TUN)
def preconfig(t):
    vm = t.vm("-preconfig", qmp=True)
    qmp = Qmp(vm.qmp_path)
    qmp.cmd("netdev_add", arguments_=tap("x", "t9"))
    check("t9" in links(), "no interface t9")
    qmp.cmd("netdev_del", id="x")
    check("t9" not in links(), "t9 is still there")
    for command, arguments in (("set_link", {"name": "x", "up": True}), ("announce-self", ROUNDS)):
        try:
            qmp.cmd(command, arguments_=arguments)
        except QmpError as e:
            check("only after machine" in e.desc, f"{command}: {e}")
        else:
            raise Failure(f"{command} was taken")
    qmp.cmd("x-exit-preconfig")


# ---- a netdev goes and comes under its NIC ----

def owners(hot):
    return [(p["pair"], p["owner"], p.get("iothread"), p["enabled"], p["active"]) for p in hot.pairs()]


def del_and_add(t, queues):
    hot = Hot(t, queues).start()
    for pair in range(queues):
        hot.nic.both_ways(hot.host) if queues == 1 else exchange(hot.nic, hot.host, pair, b"before")
    before, hot_owners, kinds = state(hot.qmp, hot.vm), owners(hot), hot.vm.fds()
    hot.pci.msix_clear()
    hot.delete()
    hot.expect_link(False, "link without a netdev")
    check("t0" not in links(), "t0 is still there")
    eq({(p["owner"], p.get("netdev"), p.get("fd"), p["enabled"]) for p in hot.pairs()}, {("main", None, None, False)},
       "pairs without a netdev")
    eq(hot.vm.fds().get("/dev/net/tun", 0), 0, "open taps")
    late = raw_frame(HOST_MAC, MAC, b"sent while there was none", size=60)
    for pair in range(queues):
        hot.nic.send(pair, late, wait=False)
    time.sleep(QUIET_S)
    eq([r.used_idx == r.seen for r in hot.nic.tx.values()], [True] * queues, "rings wait")
    hot.back()
    hot.expect_link(True, "link with the netdev again")
    for pair in range(queues):
        hot.nic.tx[pair].wait("the frame that waited")
        hot.host = Host("t0") if pair == 0 else hot.host
    hot.host.drain()
    for pair in range(queues):
        hot.nic.both_ways(hot.host) if queues == 1 else exchange(hot.nic, hot.host, pair, b"after")
    eq(owners(hot), hot_owners, "owners")
    eq(hot.vm.fds(), kinds, "open files")
    after = state(hot.qmp, hot.vm)
    for s in (before, after):
        for q in s["queues"]:
            q.pop("fd")
        s["network"] = re.sub(r"fd=\d+", "", s["network"])
    eq(after, before, "state after both")
    event = hot.qmp.event("NETDEV_BACKEND_CHANGED")
    eq(event["data"], {"netdev": "n0", "nic": "nic0", "qom-path": "/machine/peripheral/nic0/virtio-backend",
                       "present": True}, "the event")
    if queues > 1:
        for n in (2, 1, 4):
            hot.nic.set_pairs(n)
            flood(hot.nic, hot.host, n)
    eq(hot.nic.t.status & NEEDS_RESET, 0, "NEEDS_RESET")


@case("net-hot/re-attach/1-pair", needs=TUN)
def reattach_one(t):
    del_and_add(t, 1)


@case("net-hot/re-attach/4-pairs", needs=TUN)
def reattach_four(t):
    del_and_add(t, 4)


@case("net-hot/re-attach/legacy-driver-keeps-its-header", needs=TUN)
def reattach_legacy(t):
    hot = Hot(t)
    hot.nic = Nic(Legacy(hot.pci))
    hot.nic.t.msix = True
    hot.nic.start(bits(F_STATUS))
    eq(hot.nic.hdr_len, 10, "header of a legacy driver")
    hot.nic.both_ways(hot.host)
    hot.delete()
    eq(hot.nic.status_field(), 0, "link without a netdev")
    hot.back()
    eq(hot.nic.status_field(), 1, "link with the netdev again")
    hot.nic.both_ways(hot.host)


def gso_arrives(hot):
    """A large segment comes to the driver whole, or in parts that it would have asked for."""
    frame = tcp_frame(MAC, HOST_MAC, bytes(i * 3 & 0xff for i in range(6000)))
    hot.host.send(frame, net_hdr(NEEDS_CSUM, GSO_TCPV4, TCP_PAYLOAD_AT, 1448, TCP_AT, 16))
    return len(hot.nic.recv(0)[1]) == len(frame)


@case("net-hot/re-attach/offloads-are-restored", needs=TUN)
def reattach_offloads(t):
    hot = Hot(t, vnet_hdr=True)
    hot.start(BASIC | CTRL | GSO | bits(F_CTRL_GUEST_OFFLOADS), posted=64)
    check(gso_arrives(hot), "no large segment")
    hot.delete()
    hot.back()
    check(gso_arrives(hot), "no large segment after the netdev came back")
    eq(hot.nic.command(5, 0, struct.pack("<Q", 0)), OK, "offloads off")
    hot.delete()
    hot.back()
    check(not gso_arrives(hot), "a large segment although the driver turned that off")


@case("net-hot/re-attach/a-back-end-without-what-the-driver-uses", needs=TUN)
def reattach_lacking(t):
    hot = Hot(t).start(BASIC | GSO)
    hot.nic.both_ways(hot.host)
    hot.delete()
    hot.pci.msix_clear()
    lacking = tap(vnet_hdr=False)
    refused(hot.qmp, hot.vm, "netdev 'n0': NIC 'nic0'.*VIRTIO_NET_F_CSUM.*VIRTIO_NET_F_GUEST_TSO4.*vnet_hdr=on",
            "netdev_add", lacking)
    out = t.dir / "out"
    refused(hot.qmp, hot.vm, "vnet_hdr=on", "netdev_add",
            {**lacking, "script": script(t, "up", out), "downscript": script(t, "down", out)})
    eq(out.read_text(), "up t0\ndown t0\n", "scripts of a netdev that was refused")
    give(hot.qmp, "q", open_tap("t0", 0))
    refused(hot.qmp, hot.vm, "vnet_hdr=on", "netdev_add", tap(fd="q", vnet_hdr=False))
    hot.qmp.cmd("closefd", fdname="q")
    check(not hot.pci.msix_take(0), "the driver heard of refused netdevs")
    hot.back()
    hot.nic.both_ways(hot.host)
    # The driver starts anew while there is none: it is offered less.
    hot.delete()
    hot.nic.t.reset()
    eq(hot.nic.t.offered() & GSO, 0, "offloads without a netdev")
    hot.start(BASIC)
    eq(hot.nic.status_field(), 0, "link")
    hot.back(vnet_hdr=False)
    hot.expect_link(True, "link with a netdev without headers")
    hot.nic.both_ways(hot.host)
    hot.delete()
    hot.back()
    hot.nic.both_ways(hot.host)
    hot.nic.t.reset()
    eq(hot.nic.t.offered() & GSO, GSO, "offloads with headers again")


@case("net-hot/re-attach/while-the-driver-chooses-features", needs=TUN)
def reattach_negotiating(t):
    hot = Hot(t)
    hot.nic.t.reset()
    hot.nic.t.add_status(ACKNOWLEDGE)
    hot.nic.t.add_status(DRIVER)
    eq(hot.nic.t.offered() & GSO, GSO, "offloads offered")
    hot.delete()
    hot.back(vnet_hdr=False)
    eq(hot.nic.t.offered() & GSO, 0, "offloads that the new netdev lacks")
    hot.nic.t.accept(BASIC | GSO)
    check(not hot.nic.t.add_status(FEATURES_OK) & FEATURES_OK, "the device took features that it cannot serve")
    hot.start(BASIC)
    hot.nic.both_ways(hot.host)


@case("net-hot/re-attach/stopped-machine", needs=TUN)
def reattach_stopped(t):
    hot = Hot(t, 4).start()
    hot.qmp.cmd("stop")
    hot.pci.msix_clear()
    hot.delete()
    hot.back()
    eq({p["owner"] for p in hot.pairs()}, {"main"}, "owners of a stopped machine's pairs")
    hot.qmp.cmd("cont")
    eq({p["owner"] for p in hot.pairs()}, {"iothread"}, "owners")
    for pair in range(4):
        exchange(hot.nic, hot.host, pair, b"after")
    hot.delete()
    hot.qmp.cmd("stop")
    hot.qmp.cmd("cont")
    eq({p["owner"] for p in hot.pairs()}, {"main"}, "owners without a netdev")
    hot.back()
    flood(hot.nic, hot.host, 4)


@case("net-hot/re-attach/more-queues-than-pairs", needs=TUN)
def more_queues(t):
    hot = Hot(t, 2).start()
    hot.delete()
    hot.back(queues=6)
    flood(hot.nic, hot.host, 2)  # to queues that nobody reads the host steers nothing
    for n in (1, 2):
        hot.nic.set_pairs(n)
        flood(hot.nic, hot.host, n)
    eq(hot.nic.max_pairs(), 2, "max_virtqueue_pairs")


@case("net-hot/re-attach/fewer-queues-than-pairs", needs=TUN)
def fewer_queues(t):
    hot = Hot(t, 4).start()
    for queues in (1, 3, 2):
        hot.delete()
        hot.back(queues=queues)
        eq([p["fd"] for p in hot.pairs()][queues:], [hot.pairs()[i % queues]["fd"] for i in range(queues, 4)],
           "descriptors of the pairs beyond")
        eq({p["owner"] for p in hot.pairs()}, {"iothread"}, "owners")
        for pair in range(4):  # each pair sends; the answer comes where its queue is received
            frame = raw_frame(HOST_MAC, MAC, b"from %d" % pair, size=100)
            hot.nic.send(pair, frame)
            hot.host.expect(frame, f"frame from pair {pair} of {queues} queues")
        flood(hot.nic, hot.host, queues)
        hot.nic.set_pairs(1)
        flood(hot.nic, hot.host, 1)
        hot.nic.set_pairs(4)
        flood(hot.nic, hot.host, queues)
    hot.delete()
    hot.back()
    flood(hot.nic, hot.host, 4)


@case("net-hot/re-attach/mapped-iothreads-stay", needs=TUN)
def mapped(t):
    hot = Hot(t, 2, ("-object", "iothread,id=io0", "-object", "iothread,id=io1"),
              nic_opts=",iothread-vq-mapping.0.iothread=io1,iothread-vq-mapping.1.iothread=io0").start()
    eq([p["iothread"] for p in hot.pairs()], ["io1", "io0"], "iothreads")
    hot.delete()
    for name in ("io0", "io1"):
        refused(hot.qmp, hot.vm, f"'{name}' is in use by '.*nic0", "object-del", {"id": name})
    hot.back()
    eq([p["iothread"] for p in hot.pairs()], ["io1", "io0"], "iothreads after the netdev came back")
    for pair in range(2):
        exchange(hot.nic, hot.host, pair, b"after")
    hot.qmp.cmd("object-add", arguments_={"qom-type": "iothread", "id": "io2"})
    hot.qmp.cmd("object-del", id="io2")
    refused(hot.qmp, hot.vm, "'io2' not found", "object-del", {"id": "io2"})
    refused_line(hot, "'io1' is in use by '.*nic0", "object_del io1")


@case("net-hot/re-attach/a-nic-mapped-to-vhost-asks-for-it", needs=TUN)
def mapped_vhost(t):
    if not os.path.exists("/dev/vhost-net"):
        hot = Hot(t).start()  # without vhost-net nothing is lost by asking for it
        refused(hot.qmp, hot.vm, "/dev/vhost-net", "netdev_add", tap("x", "t9", vhost=True))
        return
    hot = Hot(t, tap_opts=",vhost=on", nic_opts=",queue-mapping.0.pair=0,queue-mapping.0.backend=vhost").start()
    eq(hot.pairs()[0]["owner"], "vhost", "owner")
    hot.delete()
    refused(hot.qmp, hot.vm, "pair 0 is mapped to vhost", "netdev_add", tap())
    hot.back(vhost=True)
    eq(hot.pairs()[0]["owner"], "vhost", "owner")
    hot.nic.both_ways(hot.host)
    hot.link(False)
    eq(hot.pairs()[0]["owner"], "iothread", "owner while the link is down")
    hot.link(True)
    eq(hot.pairs()[0]["owner"], "vhost", "owner")
    hot.nic.both_ways(hot.host)
    delete_link("t0")
    eq(hot.qmp.event("NETDEV_BACKEND_CHANGED")["data"]["present"], True, "came back")
    eq(hot.qmp.event("NETDEV_BACKEND_CHANGED")["data"]["present"], False, "gone")


@case("net-hot/re-attach/another-nic-takes-nothing", needs=TUN)
def other_nic(t):
    hot = Hot(t, extra=tap_args("t1", ident="n1", mac="52:54:00:aa:aa:02", nic_opts=",id=nic1")).start()
    hot.delete()
    hot.qmp.cmd("netdev_add", arguments_=tap("other", "t9"))
    eq(hot.nic.status_field(), 0, "link")
    hot.qmp.cmd("netdev_del", id="n1")
    hot.back()
    eq(hot.nic.status_field(), 1, "link")
    eq([(p["nic"], p.get("netdev")) for p in hot.qmp.cmd("query-net-queues")], [("nic0", "n0"), ("nic1", None)],
       "who has which")
    hot.nic.both_ways(hot.host)


# ---- link ----

@case("net-hot/link/of-nic-and-netdev", needs=TUN)
def link(t):
    hot = Hot(t, 2).start()
    for name in ("nic0", "n0"):
        for _ in range(2):
            hot.link(False, name)
            hot.expect_link(False, f"link of {name} down")
            hot.link(False, name)
            hot.pci.msix_quiet(0, "the link was down before")
            for pair in range(2):
                hot.nic.send(pair, raw_frame(HOST_MAC, MAC, size=60))
            check(hot.host.recv(QUIET_S) is None, "a frame left although the link is down")
            stats = hot.pairs()[0]["stats"]["rx-filtered"]
            for _ in range(20):
                hot.host.send(raw_frame(MAC, size=60))
            wait_for(lambda: sum(p["stats"]["rx-filtered"] for p in hot.pairs()) >= stats + 20, "frames dropped")
            check(all(hot.nic.recv(p, wait=False) is None for p in range(2)), "a frame came although the link is down")
            hot.link(True, name)
            hot.expect_link(True, f"link of {name} up")
            for pair in range(2):
                exchange(hot.nic, hot.host, pair, name.encode())
    check(sum(p["stats"]["tx-dropped"] for p in hot.pairs()) == 8, "frames dropped while the link was down")


@case("net-hot/link/both-must-be-up", needs=TUN)
def link_both(t):
    hot = Hot(t).start()
    hot.link(False, "n0")
    hot.expect_link(False, "netdev down")
    hot.link(True, "nic0")
    hot.pci.msix_quiet(0, "the netdev's link is down still")
    eq(hot.nic.status_field(), 0, "link")
    hot.link(True, "n0")
    hot.expect_link(True, "both up")
    hot.link(False, "nic0")
    hot.expect_link(False, "NIC down")
    hot.nic.t.reset()
    hot.start()
    eq(hot.nic.status_field(), 0, "link after a reset")
    hot.link(True, "n0")
    hot.expect_link(True, "a netdev's NIC goes with it")
    hot.nic.both_ways(hot.host)


@case("net-hot/link/stays-while-the-netdev-changes", needs=TUN)
def link_stays(t):
    hot = Hot(t).start()
    hot.link(False)
    hot.expect_link(False, "link down")
    hot.delete()
    hot.link(True)
    hot.pci.msix_quiet(0, "there is no netdev")
    hot.link(False)
    hot.back()
    hot.pci.msix_quiet(0, "the NIC's link is down")
    eq(hot.nic.status_field(), 0, "link")
    hot.link(True)
    hot.expect_link(True, "link up")
    hot.nic.both_ways(hot.host)


@case("net-hot/link/one-name-for-both", needs=TUN)
def link_same_name(t):
    vm = t.vm(*tap_args(ident="net0", nic_opts=",id=net0"), *tap_args("t1", ident="net1", mac="52:54:00:aa:aa:02"),
              qmp=True)
    qmp = Qmp(vm.qmp_path)
    nics = [Nic(Modern(d)).start() for d in find_virtio(vm)]
    qmp.cmd("set_link", arguments_={"name": "net0", "up": False})
    eq([n.status_field() for n in nics], [0, 1], "links: net0 is the name of a NIC and of its netdev")
    qmp.cmd("set_link", arguments_={"name": "net0", "up": True})
    eq([n.status_field() for n in nics], [1, 1], "links")
    name, = {p["nic"] for p in qmp.cmd("query-net-queues")} - {"net0"}
    qmp.cmd("set_link", arguments_={"name": name, "up": False})
    eq([n.status_field() for n in nics], [1, 0], f"links: {name} is the name of a NIC without an id")
    nics[0].both_ways(Host("t0"))


@case("net-hot/link/driver-without-status", needs=TUN)
def link_without_status(t):
    hot = Hot(t)
    hot.start(BASIC & ~bits(F_STATUS))
    hot.link(False)
    hot.nic.send(0, raw_frame(HOST_MAC, MAC, size=60))
    check(hot.host.recv(QUIET_S) is None, "a frame left although the link is down")
    hot.link(True)
    hot.nic.both_ways(hot.host)


# ---- announcements ----

def rarp(mac):
    head = BROADCAST + mac + struct.pack(">HHHBBH", 0x8035, 1, 0x0800, 6, 4, 3)
    return (head + mac + bytes(4) + mac + bytes(4)).ljust(60, b"\0")


def announced(hot, n, mac=MAC):
    """When each of N announcements came."""
    times = []
    for i in range(n):
        hot.host.expect(rarp(mac), f"announcement {i}")
        times.append(time.monotonic())
    return times


def announce(hot, **more):
    hot.qmp.cmd("announce-self", arguments_={**ROUNDS, **more})


@case("net-hot/announce/rounds-and-delays", needs=TUN)
def announce_rounds(t):
    hot = Hot(t).start()
    begin = time.monotonic()
    announce(hot, initial=100, max=250, rounds=4, step=100)
    times = announced(hot, 4)
    eq(hot.host.recv(0.3), None, "a fifth announcement")
    for came, least in zip(times, (0.1, 0.3, 0.55, 0.8)):
        check(least <= came - begin, f"announcements came after {[round(c - begin, 3) for c in times]} s")
    hot.nic.both_ways(hot.host)


@case("net-hot/announce/interfaces-and-ids", needs=TUN)
def announce_interfaces(t):
    other_mac = bytes.fromhex("525400aaaa02")
    hot = Hot(t, extra=tap_args("t1", ident="n1", mac="52:54:00:aa:aa:02", nic_opts=",id=nic1"))
    other = Host("t1")
    announce(hot, interfaces=["nic1"])
    other.expect(rarp(other_mac), "announcement of nic1")
    eq(hot.host.recv(QUIET_S), None, "announcement of nic0, which was not asked for")
    announce(hot, interfaces=[])
    eq((hot.host.recv(QUIET_S), other.recv(0)), (None, None), "announcements of no interface")
    announce(hot)
    announced(hot, 1)
    other.expect(rarp(other_mac), "announcement of nic1")
    # Two series at once; one of them is replaced, then ended.
    announce(hot, initial=100000, max=100000, rounds=1000, id="slow")
    announce(hot, initial=100000, max=100000, rounds=1000, id="other")
    announce(hot, rounds=2, id="slow", interfaces=["nic0"])
    announced(hot, 2)
    announce(hot, initial=300, max=300, rounds=1, id="other")
    announce(hot, rounds=0, id="other")
    eq((hot.host.recv(0.5), other.recv(0)), (None, None), "announcements of a series that was ended")
    announce(hot, initial=100000, max=100000, rounds=1000)  # the machine ends before it does


@case("net-hot/announce/driver-is-asked", needs=TUN)
def announce_driver(t):
    hot = Hot(t).start(BASIC | CTRL | bits(F_GUEST_ANNOUNCE))
    announce(hot)
    hot.pci.msix_wait(0, "configuration interrupt")
    eq(hot.nic.status_field(), 3, "status: link up, announcement asked for")
    announced(hot, 1)
    eq(hot.nic.command(CTRL_ANNOUNCE, 0), OK, "ANNOUNCE_ACK")
    eq(hot.nic.status_field(), 1, "status after the acknowledgement")
    eq(hot.nic.command(1, 1, bytes.fromhex("525400aaaa07")), OK, "MAC_ADDR_SET")
    eq(hot.hmp("announce_self nic0 mine"), "", "announce_self")
    announced(hot, 5, bytes.fromhex("525400aaaa07"))


@case("net-hot/announce/not-while-the-link-is-down", needs=TUN)
def announce_down(t):
    hot = Hot(t, 4).start()
    hot.link(False)
    announce(hot)
    eq(hot.host.recv(QUIET_S), None, "an announcement although the link is down")
    hot.link(True)
    hot.delete()
    announce(hot)
    hot.back()
    announce(hot)
    announced(hot, 1)
    hot.qmp.cmd("stop")
    announce(hot)
    announced(hot, 1)


# ---- the device behind the netdev goes ----

@case("net-hot/gone/event-and-back", needs=TUN)
def gone(t):
    hot = Hot(t, 4).start()
    kinds = hot.vm.fds()
    hot.pci.msix_clear()
    delete_link("t0")
    event = hot.qmp.event("NETDEV_BACKEND_CHANGED")
    eq(event["data"], {"netdev": "n0", "nic": "nic0", "qom-path": "/machine/peripheral/nic0/virtio-backend",
                       "present": False}, "the event")
    hot.expect_link(False, "link")
    time.sleep(1.1)  # the period of the event's limit
    hot.delete()
    hot.back()
    eq(hot.qmp.event("NETDEV_BACKEND_CHANGED")["data"]["present"], True, "the event")
    hot.expect_link(True, "link")
    flood(hot.nic, hot.host, 4)
    eq(hot.vm.fds(), kinds, "open files")


@case("net-hot/gone/events-are-limited-per-netdev", needs=TUN)
def gone_limit(t):
    hot = Hot(t, extra=tap_args("t1", ident="n1", mac="52:54:00:aa:aa:02", nic_opts=",id=nic1")).start()
    begin = time.monotonic()
    for _ in range(5):
        hot.delete()
        hot.back()
    hot.qmp.cmd("netdev_del", id="n1")
    hot.qmp.cmd("netdev_add", arguments_=tap("n1", "t1"))
    eq(hot.qmp.event("NETDEV_BACKEND_CHANGED")["data"]["netdev"], "n0", "the first event")
    eq(hot.qmp.event("NETDEV_BACKEND_CHANGED")["data"]["netdev"], "n1", "the other netdev's")
    delete_link("t0")
    n = 1
    while hot.qmp.event("NETDEV_BACKEND_CHANGED")["data"]["present"]:
        n += 1
    check(n <= time.monotonic() - begin < WAIT_S, f"{n + 1} events in {time.monotonic() - begin} s")
    time.sleep(1.2)
    hot.qmp.cmd("query-name")
    eq([e for e in hot.qmp.events if e["event"] == "NETDEV_BACKEND_CHANGED"], [], "more events")


# ---- many times, and under load ----

def no_leak(vm, cycle, cycles=50, warm=3):
    for i in range(warm):
        cycle(i)
    before = vm.fds(), sorted(vm.thread_names().values())
    for i in range(cycles):
        cycle(i)
    eq((vm.fds(), sorted(vm.thread_names().values())), before, f"fds and threads after {cycles} cycles")


@case("net-hot/no-leak/netdev_del-and-netdev_add", needs=TUN)
def leak_netdev(t):
    hot = Hot(t, 4).start(posted=64)

    def cycle(i):
        hot.delete()
        hot.back(queues=(4, 2, 6)[i % 3])
        exchange(hot.nic, hot.host, 0, b"%d" % i)
    no_leak(hot.vm, cycle, cycles=51)


@case("net-hot/no-leak/set_link", needs=TUN)
def leak_link(t):
    hot = Hot(t).start()

    def cycle(i):
        for name in ("nic0", "n0"):
            hot.link(False, name)
            hot.link(True, name)
        hot.nic.both_ways(hot.host, n=1)
    no_leak(hot.vm, cycle)


@case("net-hot/no-leak/passed-descriptors-and-refusals", needs=TUN)
def leak_passed(t):
    hot = Hot(t).start(BASIC | GSO)

    def cycle(i):
        hot.delete()
        give(hot.qmp, "bare", open_tap("t1", 0))
        for arguments in (tap(fd="bare"), tap(fd="bare", vnet_hdr=False), tap(vnet_hdr=False)):
            try:
                hot.qmp.cmd("netdev_add", arguments_=arguments)
            except QmpError:
                continue
            raise Failure(f"netdev_add {arguments} was taken")
        hot.qmp.cmd("closefd", fdname="bare")
        give(hot.qmp, "good", open_tap("t0"))
        hot.qmp.cmd("netdev_add", arguments_=tap(fd="good"))
    no_leak(hot.vm, cycle)
    hot.nic.both_ways(Host("t0"))


class HotTraffic(Traffic):
    """Traffic on 4 pairs both ways, and a client."""

    def __init__(self, t):
        super().__init__(t, extra=("-qmp", f"unix:{t.dir}/q,server=on,wait=off"))
        self.qmp = Qmp(t.dir / "q")
        self.start()
        self.nic.set_pairs(4)

    def pump_some(self, n=3):
        for _ in range(n):
            self.pump(4)

    def renew(self, queues):
        """The netdev goes and comes, while the driver goes on."""
        self.flood.stop()
        self.qmp.cmd("netdev_del", id="n0")
        self.pump_some(1)
        self.qmp.cmd("netdev_add", arguments_=tap(queues=queues))
        self.host = Host("t0")
        self.flood = type(self.flood)("t0")


@case("net-hot/load/netdev_del-and-netdev_add", needs=TUN)
def load_netdev(t):
    x = HotTraffic(t)
    x.pump_some(20)
    before = None
    for i in range(50):
        x.renew((4, 3, 4, 8)[i % 4])
        x.pump_some(4)
        if i == 3:
            before = x.vm.fds(), sorted(x.vm.thread_names().values())
        if i % 4 == 3:
            eq((x.vm.fds(), sorted(x.vm.thread_names().values())), before, f"fds and threads after {i} cycles")
    x.renew(4)
    x.finish()


@case("net-hot/load/set_link", needs=TUN)
def load_link(t):
    x = HotTraffic(t)
    for i in range(50):
        x.qmp.cmd("set_link", arguments_={"name": "n0", "up": False})
        x.pump_some(1 + i % 5)
        x.qmp.cmd("set_link", arguments_={"name": "n0", "up": True})
        x.pump_some()
    x.finish()


@case("net-hot/load/announce-self", needs=TUN)
def load_announce(t):
    x = HotTraffic(t)
    for i in range(20):
        x.qmp.cmd("announce-self", initial=0, max=1, rounds=50, step=0, id=f"a{i}")
        x.pump_some()
        if i % 5 == 4:
            x.renew(4)
    x.qmp.cmd("stop")
    x.qmp.cmd("cont")
    x.pump_some()
    x.finish()


@case("net-hot/load/tap-deleted-and-back", needs=TUN)
def load_gone(t):
    x = HotTraffic(t)
    for _ in range(10):
        x.pump_some()
        delete_link("t0")
        wait_for(lambda: x.pump(4) or x.nic.status_field() == 0, "link down")
        x.renew(4)
    x.finish()
