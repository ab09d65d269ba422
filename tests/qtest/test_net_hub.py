# SPDX-License-Identifier: GPL-2.0-or-later
"""Hubs: what comes in by one hubport goes out by all others, between NICs and netdevs, on a running machine too."""

import re
import struct

from netlib import BROADCAST, HOST_MAC, Host, raw_frame
from qmplib import Qmp
from qtestlib import QUIET_S, case, check, eq, wait_for
from socketlib import connect
from test_net_hot import refused, tap
from test_virtio_net_options import run
from vhostuserlib import Backend
from virtiolib import (BASIC, CTRL, F_CSUM, F_GUEST_CSUM, F_GUEST_TSO4, F_GUEST_UFO, F_HOST_TSO4, F_HOST_USO, F_MQ,
                       Modern, Nic, bits, find_virtio)

TUN = ("root", "tun")
TAP = "tap,id=n0,ifname=t0,script=no,downscript=no"
MACS = [bytes.fromhex(f"52540000000{i}") for i in range(1, 4)]


def mac_text(mac):
    return ":".join(f"{b:02x}" for b in mac)


class Hub:
    """NICs at hub 7, called nic0 and so on, at the ports h0 and so on; the tap t0 with its port ht."""

    def __init__(self, t, nics=2, nic_opts="", with_tap=True):
        args = ["-netdev", TAP, "-netdev", "hubport,id=ht,hubid=7,netdev=n0"] if with_tap else []
        for i in range(nics):
            args += ["-netdev", f"hubport,id=h{i},hubid=7",
                     "-device", f"virtio-net-pci,id=nic{i},netdev=h{i},mac={mac_text(MACS[i])}{nic_opts}"]
        self.vm = t.vm(*args, qmp=True)
        self.qmp = Qmp(self.vm.qmp_path)
        self.nics = [Nic(Modern(pci)) for pci in find_virtio(self.vm)]
        self.host = Host("t0") if with_tap else None

    def start(self, **kw):
        for nic in self.nics:
            nic.start(**kw)
        return self

    def info(self):
        return self.qmp.cmd("human-monitor-command", command_line="info network")

    def cmd(self, command, **arguments):
        return self.qmp.cmd(command, arguments_=arguments)

    def everyone(self, tag):
        """A frame of each reaches all others, once and as it was."""
        ends = [(lambda f, n=n: n.send(0, f), lambda f, what, n=n: n.expect(0, f, what)) for n in self.nics]
        if self.host:
            ends.append((self.host.send, self.host.expect))
        for i, (send, _) in enumerate(ends):
            for size in (60, 1514):
                frame = raw_frame(b"\xff" * 6, HOST_MAC, b"%d " % i + tag, size=size)
                send(frame)
                for k, (_, expect) in enumerate(ends):
                    if k != i:
                        expect(frame, f"{tag}: frame of {size} bytes from end {i} at end {k}")
        self.silence(tag)

    def silence(self, what):
        check(self.host is None or self.host.recv(QUIET_S) is None, f"{what}: one more frame at the tap")
        for i, nic in enumerate(self.nics):
            check(nic.recv(0, wait=False) is None, f"{what}: one more frame at nic{i}")


@case("net-hub/two-nics-and-a-tap", needs=TUN)
def three(t):
    hub = Hub(t).start()
    hub.everyone(b"three")
    lines = hub.info().splitlines()
    at = lines.index("hub 7")
    for line, text in zip(lines[at + 1:], (r" \\ ht: n0: type=tap,ifname=t0", r" \\ h0: nic0: type=nic,model=virtio",
                                           r" \\ h1: nic1: type=nic,model=virtio")):
        check(re.match(text, line), f"info network: '{line}' does not match '{text}'")
    check(any(l.startswith("nic1: type=nic") for l in lines), "info network does not show nic1")
    eq(sum("ifname=t0" in l for l in lines), 1, "lines about the tap in info network")
    check(any(n.startswith("hub 7") for n in hub.vm.thread_names().values()), "no thread of the hub's")


@case("net-hub/nics-alone")
def nics_alone(t):
    hub = Hub(t, nics=3, with_tap=False).start()
    hub.everyone(b"alone")
    check("hub 7 joins no netdev of the host" in hub.vm.log(), f"no warning: {hub.vm.log()}")


@case("net-hub/no-offloads-one-pair", needs=TUN)
def no_offloads(t):
    hub = Hub(t, nics=1, nic_opts=",mq=on")
    check("mq=on: netdev 'h0' has one queue" in hub.vm.log(), f"nothing about mq=on: {hub.vm.log()}")
    nic = hub.nics[0]
    wrong = nic.t.offered() & bits(F_CSUM, F_GUEST_CSUM, F_GUEST_TSO4, F_GUEST_UFO, F_HOST_TSO4, F_HOST_USO)
    eq(wrong, 0, "offloads that are offered")
    nic.start(BASIC | CTRL | bits(F_MQ))
    eq(nic.max_pairs(), 1, "max_virtqueue_pairs")
    nic.both_ways(hub.host, mac=MACS[0])
    check(nic.command(4, 0, b"\2\0") != 0, "two pairs were taken")
    nic.both_ways(hub.host, mac=MACS[0])


@case("net-hub/ports-come-and-go", needs=TUN)
def come_and_go(t):
    hub = Hub(t).start()
    before = hub.vm.fds(), sorted(hub.vm.thread_names().values())
    hub.everyone(b"first")
    hub.cmd("netdev_del", id="n0")
    check(r" \ ht: netdev=n0 (deleted)" in hub.info(), hub.info())
    frame = raw_frame(MACS[1], MACS[0], b"without", size=80)
    hub.nics[0].send(0, frame)
    hub.nics[1].expect(0, frame, "while the tap is away")
    hub.cmd("netdev_add", **tap())
    hub.host = Host("t0")
    hub.everyone(b"again")
    hub.cmd("netdev_del", id="h1")
    hub.nics[0].send(0, frame)
    hub.host.expect(frame, "while nic1 is away")
    hub.cmd("netdev_add", type="hubport", id="h1", hubid=7)
    hub.everyone(b"all back")
    hub.cmd("netdev_del", id="ht")
    hub.nics[0].send(0, frame)
    hub.nics[1].expect(0, frame, "while the tap has no port")
    hub.host.send(frame)
    hub.silence("a port that is gone")
    hub.cmd("netdev_add", type="hubport", id="ht", hubid=7, netdev="n0")
    wait_for(lambda: hub.host.recv(0) is None, "the tap to be empty")
    hub.nics[0].send(0, frame)
    hub.host.expect(frame, "after all came back")
    eq((hub.vm.fds(), sorted(hub.vm.thread_names().values())), before, "descriptors and threads")


@case("net-hub/nothing-is-left", needs=TUN)
def nothing_left(t):
    vm = t.vm("-netdev", TAP, qmp=True)
    qmp = Qmp(vm.qmp_path)
    before = vm.fds()
    for _ in range(3):
        qmp.cmd("netdev_add", type="hubport", id="a", hubid=1)
        qmp.cmd("netdev_add", type="hubport", id="b", hubid=1, netdev="n0")
        qmp.cmd("netdev_add", type="hubport", id="c", hubid=-2)
        check("hub -2" in qmp.cmd("human-monitor-command", command_line="info network"), "no hub -2")
        for name in "abc":
            qmp.cmd("netdev_del", id=name)
        eq(vm.fds(), before, "descriptors")
        eq([n for n in vm.thread_names().values() if n.startswith("hub")], [], "threads of hubs")
    check("hub" not in qmp.cmd("human-monitor-command", command_line="info network"), "a hub is left")


@case("net-hub/refused", needs=TUN)
def not_at_a_hub(t):
    hub = Hub(t, nics=1)
    hub.cmd("netdev_add", **tap("m", "t7", queues=2))
    for text, arguments in (("'n0' is in use by 'ht'", {"netdev": "n0"}), ("netdev=h0: is a hubport", {"netdev": "h0"}),
                            ("netdev=m: has 2 queues.*queues=1", {"netdev": "m"}), ("netdev=nic0: .*no such", {"netdev": "nic0"}),
                            ("netdev=x: .*no such", {"netdev": "x"})):
        refused(hub.qmp, hub.vm, text, "netdev_add", {"type": "hubport", "id": "x", "hubid": 7, **arguments})
    refused(hub.qmp, hub.vm, "'ht' is a hubport for another netdev", "device_add",
            {"driver": "virtio-net-pci", "netdev": "ht", "id": "d"})
    refused(hub.qmp, hub.vm, "cannot change|must be 1 to 1", "netdev-set-queues", {"id": "n0", "queues": 2})
    refused(hub.qmp, hub.vm, "cannot change|must be 1 to 1", "netdev-set-queues", {"id": "h0", "queues": 2})
    hub.start().everyone(b"as before")


@case("net-hub/refused/vhost-user")
def no_vhost_user(t):
    path, text = t.dir / "vhost", "netdev=u0: type vhost-user moves frames between other programs"
    back = Backend(path)
    status, out, err = run(t, "-m", "64M", "-object", "memory-backend-memfd,id=m,size=64M", "-machine",
                           "pc,memory-backend=m", "-chardev", f"socket,id=c0,path={path}",
                           "-netdev", "vhost-user,id=u0,chardev=c0", "-netdev", "hubport,id=hu,hubid=0,netdev=u0")
    eq((status, out, len(err.splitlines())), (1, "", 1), f"status, stdout and lines on stderr: {err}")
    check(text in err, err)
    back.finish()


@case("net-hub/link-down", needs=TUN)
def link(t):
    hub = Hub(t).start()
    frame = raw_frame(b"\xff" * 6, HOST_MAC, b"down", size=70)
    for name in ("n0", "ht", "h1", "nic1"):
        hub.cmd("set_link", name=name, up=False)
        hub.nics[0].send(0, frame)
        if name in ("n0", "ht"):
            hub.nics[1].expect(0, frame, f"{name} is down: nic1")
            hub.host.send(frame)
        else:
            hub.host.expect(frame, f"{name} is down: the tap")
            hub.nics[1].send(0, frame)
        hub.silence(f"{name} is down")
        hub.cmd("set_link", name=name, up=True)
        hub.everyone(b"up")


@case("net-hub/a-port-that-does-not-keep-up", needs=TUN)
def flood(t):
    hub = Hub(t)
    hub.nics[0].start(size=256)
    hub.nics[1].start(posted=8)
    frames = [raw_frame(MACS[1], MACS[0], b"%d" % i, size=60) for i in range(1300)]
    for frame in frames:
        hub.nics[0].send(0, frame)
        hub.host.expect(frame, "at the tap, which keeps up")
    dropped = wait_for(lambda: re.search(r"h1 \((\d+) dropped\)", hub.info()), "drops at h1")
    lost = int(dropped[1])
    check(150 <= lost <= 300, f"{lost} dropped")
    for i, frame in enumerate(frames[:1300 - lost]):
        hub.nics[1].expect(0, frame, f"frame {i} of those that were kept")
    hub.everyone(b"after the flood")


@case("net-hub/legacy-net-options", needs=TUN)
def legacy(t):
    vm = t.vm("-net", f"nic,macaddr={mac_text(MACS[0])}", "-net", TAP.replace(",id=n0", ""),
              "-net", f"nic,model=virtio,macaddr={mac_text(MACS[1])}", qmp=True)
    qmp = Qmp(vm.qmp_path)
    info = "\n".join(qmp.cmd("human-monitor-command", command_line="info network").splitlines())
    for text in (r"^hub 0$", r"^ \\ hub0port0: \S+: type=nic", r"^ \\ hub0port1: \S+: type=tap,ifname=t0",
                 r"^ \\ hub0port2: \S+: type=nic"):
        check(re.search(text, info, re.M), f"no '{text}' in {info}")
    a, b = (Nic(Modern(pci)).start() for pci in find_virtio(vm))
    host = Host("t0")
    frame = raw_frame(b"\xff" * 6, HOST_MAC, b"legacy", size=99)
    host.send(frame)
    a.expect(0, frame, "the first NIC")
    b.expect(0, frame, "the second NIC")
    a.send(0, frame)
    b.expect(0, frame, "NIC to NIC")
    host.expect(frame, "NIC to tap")


@case("net-hub/nic-option", needs=TUN)
def nic_option(t):
    vm = t.vm("-nic", f"hubport,hubid=3,model=virtio-net-pci,mac={mac_text(MACS[0])}", "-netdev", TAP,
              "-netdev", "hubport,hubid=3,id=p,netdev=n0")
    Nic(Modern(find_virtio(vm)[0])).start().both_ways(Host("t0"), mac=MACS[0])


@case("net-hub/four-pairs-on-a-port", needs=TUN)
def four_pairs(t):
    """A NIC whose tap of four queues gave way to a port: all pairs send through it, pair 0 receives."""
    vm = t.vm("-netdev", TAP + ",queues=4", "-device", f"virtio-net-pci,netdev=n0,mac={mac_text(MACS[0])},mq=on",
              "-netdev", TAP.replace("n0", "n1").replace("t0", "t1"), "-netdev", "hubport,id=p1,hubid=0,netdev=n1", qmp=True)
    qmp = Qmp(vm.qmp_path)
    nic = Nic(Modern(find_virtio(vm)[0])).start(BASIC | CTRL | bits(F_MQ), pairs=4)
    nic.set_pairs(4)
    qmp.cmd("netdev_del", id="n0")
    qmp.cmd("netdev_add", type="hubport", id="n0", hubid=0)
    host = Host("t1")
    frames = [[raw_frame(HOST_MAC, MACS[0], b"%d %3d" % (pair, i), size=64) for i in range(100)] for pair in range(4)]
    for row in zip(*frames):
        for pair, frame in enumerate(row):
            nic.send(pair, frame, wait=False)
    got = [host.recv() for _ in range(400)]
    for pair in range(4):
        eq([f for f in got if f[14:15] == b"%d" % pair], frames[pair], f"frames of pair {pair}")
    frame = raw_frame(MACS[0], HOST_MAC, b"back", size=64)
    host.send(frame)
    nic.expect(0, frame, "to pair 0")


@case("net-hub/filters-come-and-go-while-frames-wait", needs=TUN)
def frames_wait(t):
    """What waits for a netdev that has no room stays in its order when the netdev gets and loses a filter."""
    path = str(t.dir / "net")
    vm = t.vm("-netdev", f"stream,id=n0,server=on,addr.type=unix,addr.path={path}",
              "-netdev", "hubport,id=hn,hubid=7,netdev=n0", "-netdev", "hubport,id=h0,hubid=7",
              "-device", f"virtio-net-pci,id=nic0,netdev=h0,mac={mac_text(MACS[0])}", qmp=True)
    qmp = Qmp(vm.qmp_path)
    nic = Nic(Modern(find_virtio(vm)[0])).start()
    peer = connect(path)
    qmp.event("NETDEV_STREAM_CONNECTED")
    n = 900
    for i in range(n):
        nic.send(0, raw_frame(HOST_MAC, MACS[0], struct.pack(">I", i), size=1514))
        if i in (600, 700, 800):
            qmp.cmd("object-add", **{"qom-type": "filter-dump", "id": "f0", "netdev": "n0", "file": str(t.dir / "dump")})
        if i in (650, 750, 850):
            qmp.cmd("object-del", id="f0")
    for i in range(n):
        peer.expect(raw_frame(HOST_MAC, MACS[0], struct.pack(">I", i), size=1514), f"frame {i}")
    info = qmp.cmd("human-monitor-command", command_line="info network")
    check("dropped" not in info, info)
    for i in range(n):
        nic.send(0, raw_frame(HOST_MAC, MACS[0], struct.pack(">I", i), size=1514))
    qmp.cmd("netdev_del", id="n0")
    info = qmp.cmd("human-monitor-command", command_line="info network")
    dropped = re.search(r"hn \((\d+) dropped\)", info)
    check(dropped and 100 < int(dropped[1]) <= n, f"frames that waited for a netdev that left are not counted: {info}")


def arp_request(mac, address, wanted):
    return raw_frame(BROADCAST, mac, struct.pack(">HHBBH6s4s6s4s", 1, 0x800, 6, 4, 1, mac, address, bytes(6), wanted),
                     ethertype=0x806, size=60)


@case("net-hub/tap-user-and-capture", needs=TUN)
def worlds(t):
    """A hub joins a tap with user mode networking; a capture at one of them begins and ends meanwhile."""
    hub = Hub(t, nics=1)
    hub.cmd("netdev_add", type="user", id="u0")
    hub.cmd("netdev_add", type="hubport", id="hu", hubid=7, netdev="u0")
    hub.start()
    dump = t.dir / "dump.pcap"
    guest, gateway = bytes((10, 0, 2, 9)), bytes((10, 0, 2, 2))
    ask = arp_request(HOST_MAC, guest, gateway)
    for captured in (False, True, False):
        if captured:
            hub.cmd("object-add", **{"qom-type": "filter-dump", "id": "f0", "netdev": "u0", "file": str(dump)})
        hub.host.send(ask)
        hub.nics[0].expect(0, ask, "the NIC hears the question")
        answer = hub.host.recv()
        check(answer[:6] == HOST_MAC and answer[12:14] == b"\x08\x06" and answer[28:32] == gateway, f"ARP: {answer.hex()}")
        hub.nics[0].expect(0, answer, "the NIC hears the answer")
        if captured:
            hub.cmd("object-del", id="f0")
            data = dump.read_bytes()
            eq((data.count(ask), data.count(answer)), (1, 1), "question and answer in the capture")
