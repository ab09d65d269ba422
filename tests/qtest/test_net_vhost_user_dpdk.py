# SPDX-License-Identifier: GPL-2.0-or-later
"""Pairs that other people's programs serve: DPDK's testpmd and Open vSwitch's userspace datapath.

testpmd sends each frame back where it came from, with the addresses swapped; Open vSwitch joins two machines. Cases
are skipped where a program is missing.
"""

import collections
import os
import shutil
import signal
import struct
import subprocess
import time
from pathlib import Path

from netlib import BROADCAST, HOST_MAC, raw_frame
from qmplib import Qmp
from qtestlib import WAIT_S, Skip, _die_with_parent, case, check, eq, wait_for
from test_net_filters import tshark
from test_net_vhost_user import MQ, options
from virtiolib import F_INDIRECT, F_PACKED, MAC, MAC_TEXT, NEEDS_RESET, Modern, Nic, PackedRing, bits, find_virtio

EAL = ["--no-huge", "--no-pci", "--no-telemetry", "--no-shconf"]
SCHEMA = "/usr/share/openvswitch/vswitch.ovsschema"
VSWITCHD = ("/usr/lib/openvswitch-switch-dpdk/ovs-vswitchd-dpdk", "ovs-vswitchd")


def program(*names):
    for name in names:
        found = shutil.which(name)
        if found:
            return found
    raise Skip(f"{names[0]} is not installed")


def spawn(t, name, command, **kw):
    """A program that ends with the case; what it says goes to a file of its name."""
    with open(t.dir / name, "ab") as log:
        return subprocess.Popen(command, stdout=log, stderr=log, preexec_fn=_die_with_parent, cwd=t.dir,
                                env={**os.environ, "HOME": str(t.dir), "XDG_RUNTIME_DIR": str(t.dir)}, **kw)


def end(process, sig=signal.SIGTERM):
    process.send_signal(sig)
    process.wait(WAIT_S)


# ---- testpmd ----

class Testpmd:
    """A port of two pairs at PATH."""

    def __init__(self, t, path, client=False):
        self.path, self.client = path, client
        vdev = f"net_vhost0,iface={path},queues=2{',client=1' if client else ''}"
        # Both of its threads may run on each of the first two CPUs that there are.
        cpus = ",".join(str(c) for c in sorted(os.sched_getaffinity(0))[:2])
        self.process = spawn(t, "testpmd", [
            program("dpdk-testpmd"), *EAL, "-m", "256", "--lcores", f"0@({cpus}),1@({cpus})", "--vdev", vdev, "--",
            "--no-mlockall", "--total-num-mbufs=2048", "--disable-link-check", "--forward-mode=macswap", "--rxq=2",
            "--txq=2", "--nb-cores=1"], stdin=subprocess.PIPE)
        if not client:
            wait_for(path.exists, "testpmd's socket")

    def kill(self):
        end(self.process, signal.SIGKILL)
        if not self.client:
            self.path.unlink()


class Echo:
    """A driver on two pairs that testpmd serves: numbered frames go out, and come back at the same pair."""

    def __init__(self, t, client, features=MQ, nic_opts=""):
        self.path = t.dir / "vhost"
        self.t, self.client = t, client
        self.other = Testpmd(t, self.path, client)
        self.vm = t.vm(*options(self.path, 2, server=client, reconnect=0 if client else 1, nic_opts=nic_opts), qmp=True)
        self.qmp = Qmp(self.vm.qmp_path)
        pci = find_virtio(self.vm)[0]
        pci.msix_setup()
        self.nic = Nic(Modern(pci)).start(features, pairs=2, vectors=True, posted=128)
        self.nic.set_pairs(2)
        self.indirect = bool(features & bits(F_INDIRECT))
        self.sent, self.back = [0, 0], [[], []]

    def send(self, pair):
        n = self.sent[pair]
        self.sent[pair] += 1
        self.nic.send(pair, self.frame(pair, n, HOST_MAC, MAC), wait=False, indirect=self.indirect)

    @staticmethod
    def frame(pair, n, dst, src):
        return raw_frame(dst, src, struct.pack(">BI", pair, n), size=60 + n % 900)

    def collect(self):
        for pair in range(2):
            while self.nic.tx[pair].take():
                pass
            while True:
                got = self.nic.recv(pair, wait=False)
                if not got:
                    break
                n = struct.unpack_from(">I", got[1], 15)[0]
                eq(got[1], self.frame(pair, n, MAC, HOST_MAC), f"frame that came back to pair {pair}")
                check(not self.back[pair] or n > self.back[pair][-1], f"pair {pair}: frame {n} a second time")
                self.back[pair].append(n)

    def answered(self):
        """Sends at both pairs until they answer, which a port that was just started does not at once."""
        goal = list(self.sent)

        def both():
            self.collect()
            for pair in range(2):
                if self.sent[pair] < goal[pair] + 100:
                    self.send(pair)
            time.sleep(0.005)
            return all(b and b[-1] >= g for b, g in zip(self.back, goal))
        wait_for(both, f"answers: {[len(b) for b in self.back]} of {self.sent}")
        self.settle()

    def settle(self):
        wait_for(lambda: self.collect() or all(b and b[-1] == s - 1 for b, s in zip(self.back, self.sent)),
                 "the last answers")

    def load(self, n):
        """N frames more at each pair, a few at a time under way, none of them lost."""
        goal = [s + n for s in self.sent]
        before = [len(b) for b in self.back]

        def more():
            self.collect()
            for pair in range(2):
                if self.sent[pair] < goal[pair] and self.sent[pair] - self.back[pair][-1] < 32:
                    self.send(pair)
            return all(b[-1] == g - 1 for b, g in zip(self.back, goal))
        wait_for(more, f"frames of testpmd: {[len(b) for b in self.back]}")
        eq([len(b) - o for b, o in zip(self.back, before)], [n, n], "frames that came back")

    def restart(self):
        """The port dies while frames are under way; another takes its place."""
        for pair in range(2):
            for _ in range(30):
                self.send(pair)
        self.other.kill()
        for pair in range(2):
            for _ in range(10):
                self.send(pair)
        self.qmp.event("NETDEV_VHOST_USER_DISCONNECTED")
        self.other = Testpmd(self.t, self.path, self.client)
        self.qmp.event("NETDEV_VHOST_USER_CONNECTED")
        self.answered()
        eq(self.nic.t.status & NEEDS_RESET, 0, "NEEDS_RESET after a restart of testpmd")


def testpmd(t, client):
    echo = Echo(t, client)
    echo.answered()
    echo.load(300)
    for n in (1, 2):
        echo.nic.set_pairs(n)
    echo.answered()
    echo.load(100)
    for _ in range(2):
        echo.restart()
        echo.load(100)
    echo.nic.start(MQ, pairs=2, vectors=True, posted=128)
    echo.nic.set_pairs(2)
    echo.answered()
    echo.load(50)
    echo.other.kill()


@case("net-vhost-user/dpdk-testpmd/a-server-killed-and-restarted")
def testpmd_server(t):
    testpmd(t, client=False)


@case("net-vhost-user/dpdk-testpmd/a-client-killed-and-restarted")
def testpmd_client(t):
    testpmd(t, client=True)


@case("net-vhost-user/dpdk-testpmd/packed-rings")
def testpmd_packed(t):
    PackedRing.strict = False
    features = MQ | bits(F_PACKED, F_INDIRECT)
    echo = Echo(t, True, features, ",packed=on")
    echo.answered()
    echo.load(300)
    echo.restart()  # the rings say where it was
    echo.load(100)
    echo.nic.start(features, pairs=2, vectors=True, posted=128)
    echo.nic.set_pairs(2)
    echo.answered()
    echo.load(50)
    echo.other.kill()


def captured(t, features=MQ, nic_opts="", restart=False):
    """Both pairs are captured for a while, in which testpmd may be killed and restarted: the file has each frame that
    passed, once on its way out and once on its way back."""
    PackedRing.strict = False
    echo = Echo(t, True, features, nic_opts)
    echo.answered()
    echo.qmp.cmd("object-add", arguments_={"qom-type": "filter-dump", "id": "f0", "netdev": "n0", "format": "pcapng",
                                           "file": str(t.dir / "all.pcapng")})
    eq([q["owner"] for q in echo.qmp.cmd("query-net-queues")], ["iothread"] * 2, "owners")
    ranges = []
    for dies in (False, True)[:1 + restart]:
        if dies:
            echo.restart()
        echo.answered()
        first = list(echo.sent)
        echo.load(300)
        ranges.append([range(a, b) for a, b in zip(first, echo.sent)])
    echo.qmp.cmd("object-del", id="f0")
    eq([q["owner"] for q in echo.qmp.cmd("query-net-queues")], ["vhost"] * 2, "owners afterwards")
    echo.answered()
    echo.load(100)
    echo.other.kill()
    seen = collections.Counter()
    for name, dst, data in tshark(t.dir / "all.pcapng", "frame.interface_name", "eth.dst", "data.data"):
        pair, n = struct.unpack_from(">BI", bytes.fromhex(data.replace(":", "")))
        eq(name, f"n0.{pair}", f"interface of frame {n}")
        seen[pair, n, bytes.fromhex(dst.replace(":", ""))] += 1
    for pairs in ranges:
        for pair, numbers in enumerate(pairs):
            for dst in (MAC, HOST_MAC):
                eq([seen[pair, n, dst] for n in numbers], [1] * len(numbers), f"frames of pair {pair} in the capture")


@case("net-vhost-user/dpdk-testpmd/captured")
def testpmd_captured(t):
    captured(t, restart=True)


@case("net-vhost-user/dpdk-testpmd/captured-packed-rings")
def testpmd_captured_packed(t):
    captured(t, MQ | bits(F_PACKED), ",packed=on")


# ---- Open vSwitch ----

class Switch:
    """A database, a switch and a bridge whose ports are clients of sockets."""

    def __init__(self, t, sockets):
        self.db = f"unix:{t.dir}/db.sock"
        tool, server, self.vsctl = program("ovsdb-tool"), program("ovsdb-server"), program("ovs-vsctl")
        switch = program(*VSWITCHD)
        if not Path(SCHEMA).exists():
            raise Skip(f"{SCHEMA} is not installed")
        subprocess.run([tool, "create", t.dir / "conf.db", SCHEMA], check=True, timeout=WAIT_S)
        os.environ.update({f"OVS_{k}DIR": str(t.dir) for k in ("RUN", "LOG", "DB", "SYSCONF")})
        self.processes = [spawn(t, "ovsdb", [server, t.dir / "conf.db", f"--remote=p{self.db}",
                                             f"--unixctl={t.dir}/db.ctl"])]
        wait_for((t.dir / "db.sock").exists, "the switch's database")
        first = min(os.sched_getaffinity(0))
        extra = " ".join([*EAL, "--legacy-mem", "-m 512"])
        self.configure("--no-wait", "init", "--", "set", "Open_vSwitch", ".", "other_config:dpdk-init=true",
                       f"other_config:dpdk-extra={extra}", f"other_config:pmd-cpu-mask={1 << first:x}",
                       "other_config:per-port-memory=true")
        self.processes.append(spawn(t, "vswitchd", [switch, self.db, f"--unixctl={t.dir}/sw.ctl"]))
        bridge = ["add-br", "br0", "--", "set", "bridge", "br0", "datapath_type=netdev"]
        for i, path in enumerate(sockets):
            bridge += ["--", "add-port", "br0", f"v{i}", "--", "set", "Interface", f"v{i}", "type=dpdkvhostuserclient",
                       f"options:vhost-server-path={path}"]
        self.configure(*bridge)

    def configure(self, *words):
        subprocess.run([self.vsctl, f"--db={self.db}", "--timeout=20", *words], check=True, timeout=WAIT_S,
                       stdout=subprocess.DEVNULL)

    def stop(self):
        for p in reversed(self.processes):
            end(p)


def join(t, path, mac, queues):
    vm = t.vm(*[o.replace(MAC_TEXT, mac) for o in options(path, queues, server=True)], qmp=True)
    nic = Nic(Modern(find_virtio(vm)[0])).start(MQ, pairs=queues, posted=64)
    nic.set_pairs(queues)
    return nic


def come(nics, frames, what):
    """FRAMES come at whichever pair, each once; frames of others, as a switch's own, do not count."""
    missing = list(frames)

    def look():
        for pair in nics.rx:
            got = nics.recv(pair, wait=False)
            if got and got[1] in missing:
                missing.remove(got[1])
        return not missing
    wait_for(look, what)


@case("net-vhost-user/open-vswitch/two-machines-on-one-switch", needs=("root", "tun"))
def open_vswitch(t):
    macs = [bytes.fromhex("52540012340%d" % i) for i in range(2)]
    paths = [t.dir / f"v{i}" for i in range(2)]
    switch = Switch(t, paths)
    nics = [join(t, path, ":".join(f"{b:02x}" for b in mac), 2) for path, mac in zip(paths, macs)]
    hello = raw_frame(BROADCAST, macs[0], b"hello", size=64)

    def heard():
        nics[0].send(0, hello)
        time.sleep(0.02)
        return any(got and got[1] == hello for got in (nics[1].recv(p, wait=False) for p in nics[1].rx))
    wait_for(heard, "the first frame through the switch")
    for i in range(20):
        for a, b in ((0, 1), (1, 0)):
            frames = [raw_frame(macs[b], macs[a], b"%d %d %d" % (a, i, pair), size=(60, 700, 1514)[i % 3])
                      for pair in range(2)]
            for pair, frame in enumerate(frames):
                nics[a].send(pair, frame)
            come(nics[b], frames, f"frames {i} from machine {a}")
    switch.stop()
