# SPDX-License-Identifier: GPL-2.0-or-later
"""One start of the emulator: its NICs, its command line, and a booted guest."""

import json
import os
import re
import shlex
import subprocess
import time
from dataclasses import dataclass, field, replace

from . import counters
from .agent import SLOW
from .report import Stalled, expect

APPEND = "console=ttyS0 loglevel=4 panic=-1 mitigations=off random.trust_cpu=on net.ifnames=0 " \
         "nowatchdog rcupdate.rcu_cpu_stall_suppress=1"  # an emulated host may be slow, a hang still times out
PORT = 5000
SEQ_PORT = 5100
IPERF3_PORT = 5201       # of the first server, which is iperf3's usual one; the second has the next


@dataclass
class Nic:
    queues: int = 4
    vhost: bool = True
    props: dict = field(default_factory=dict)   # further device properties
    tap_mtu: int = 1500
    netdev: str = ""    # another netdev than a tap, with its options: {id}, {state}, {tools}
    joined: bool = False    # that netdev, by another program, to the NIC's tap

    @property
    def has_tap(self):
        return self.joined or not self.netdev


@dataclass
class Config:
    """How to start the emulator. Lists are in the order of the command line."""

    nics: list
    smp: str = "4"
    memory: int = 512                # MiB
    kernel: str = "vmlinuz"          # or "vmlinux": ELF with a PVH entry
    append: str = ""
    objects: list = field(default_factory=list)
    no_reboot: bool = False
    args: list = field(default_factory=list)    # further options: {state}, {tools}
    cpus: int = 1                    # CPUs of L1 in the lab
    before: list = field(default_factory=list)  # commands for the host, before the emulator: {state}, {tools}
    after: list = field(default_factory=list)   # and after it
    programs: tuple = ()             # that the host needs for it

    @property
    def vcpus(self):
        return int(self.smp.split(",")[0])


class Emulator:
    """The program under test and what it can do."""

    def __init__(self, path):
        self.path = os.path.realpath(path)
        self.top = self._find_top()
        self.programs = [self.path] + ([self.top] if self.top else [])

    def _find_top(self):
        """qemu-mq-top of the same build, or None."""
        here = os.path.dirname(self.path)
        for path in (f"{here}/contrib/qemu-mq-top/qemu-mq-top", f"{here}/qemu-mq-top"):
            if os.access(path, os.X_OK):
                return path
        return None

    def probe(self, run):
        """Ask for its version and properties. run: callable(command) -> (status, output)."""
        quoted = shlex.quote(self.path)
        self.version = run(f"{quoted} -version")[1].splitlines()[:1]
        self.version = self.version[0] if self.version else "unknown"
        self.properties = set(re.findall(r"^\s*([\w-]+)=", run(f"{quoted} -device virtio-net-pci,help")[1],
                                         re.M))
        return self

    def probe_here(self):
        """probe() on this machine; answers need neither KVM nor a display."""
        def run(command):
            done = subprocess.run(command, shell=True, capture_output=True, text=True, timeout=60, check=False)
            return done.returncode, done.stdout + done.stderr
        return self.probe(run)

    def has(self, prop):
        """True if virtio-net-pci has the property."""
        return prop in self.properties

    @property
    def native(self):
        """True for qemu-mq itself, False for another emulator with the same command line."""
        return self.has("queue-mapping")


class Session:
    """A running guest. Cases get one and may ask it anything."""

    def __init__(self, host, emulator, config, log):
        self.host, self.emulator, self.config, self.log = host, emulator, config, log
        self.guest = None
        self.booted = False        # the guest's userland has answered since the last (re)start

    # --- starting and stopping

    def command_line(self):
        c = self.config
        args = [self.emulator.path, "-accel", "kvm", "-cpu", "host", "-smp", c.smp, "-m", str(c.memory),
                "-nodefaults", "-display", "none", "-serial", "stdio",
                "-kernel", getattr(self.host, c.kernel), "-initrd", self.host.initrd,
                "-append", (APPEND + " " + c.append).strip()]
        if not self.emulator.native:
            args += ["-name", "e2e,debug-threads=on"]
        if c.no_reboot:
            args.append("-no-reboot")
        args += ["-chardev", f"pipe,id=monitor,path={self._monitor_path}", "-mon", "chardev=monitor",
                 "-chardev", f"pipe,id=events,path={self._events_path}", "-mon", "chardev=events,mode=control",
                 "-qmp", f"unix:{self.qmp_path},server=on,wait=off"]
        args += [self._on_host(text) for text in c.args]
        for text in c.objects:
            args += ["-object", text]
        for i, nic in enumerate(c.nics):
            args += ["-netdev", self._netdev(i, nic), "-device", self._device(i, nic)]
        return args

    def _on_host(self, text, **names):
        return text.format(state=self.host.state_dir, tools=self.host.tool_dir, **names)

    def _netdev(self, i, nic):
        if nic.netdev:
            return self._on_host(nic.netdev, id=f"n{i}")
        return f"tap,id=n{i},ifname=tap{i},script=no,downscript=no,queues={nic.queues}," \
               f"vhost={'on' if nic.vhost else 'off'}"

    @staticmethod
    def _device(i, nic):
        if any(not isinstance(v, (str, int)) for v in nic.props.values()):
            return json.dumps({"driver": "virtio-net-pci", "netdev": f"n{i}", "id": f"nic{i}", "mq": True,
                               **nic.props})
        words = ["virtio-net-pci", f"netdev=n{i}", f"id=nic{i}"] + (["mq=on"] if nic.queues > 1 else [])
        return ",".join(words + [f"{k}={v}" for k, v in nic.props.items()])

    def start(self):
        """Make the taps, start the emulator and wait for the guest's userland."""
        self.host.kill_emulator_if_any()
        for i in range(len(self.config.nics)):
            self.make_tap(i)
        self.serve()
        for command in self.config.before:
            self.host.check(self._on_host(command))
        self._open_monitors()
        self.guest = self.host.spawn(self.command_line())
        self.host.check(f"echo '{{\"execute\": \"qmp_capabilities\"}}' >{self._events_path}.in")
        self.wait_userland()
        self.setup_network()

    @property
    def _monitor_path(self):
        return f"{self.host.state_dir}/monitor"

    @property
    def _events_path(self):
        return f"{self.host.state_dir}/events"

    @property
    def qmp_path(self):
        """A socket of the emulator's, for a QMP client on the host."""
        return f"{self.host.state_dir}/qmp"

    def _open_monitors(self):
        """The pipes, and files of all that the monitors print."""
        for p in (self._monitor_path, self._events_path):
            self.host.check(f"rm -f {p}.in {p}.out; mkfifo {p}.in {p}.out && : >{p}.log && "
                            f"{{ cat {p}.out >>{p}.log 2>/dev/null & }}")

    def make_tap(self, i):
        """A new tap for a NIC, in the place of one that is there."""
        nic = self.config.nics[i]
        if not nic.has_tap:
            return
        self.host.run(f"ip link del tap{i} 2>/dev/null")
        self.host.check(f"ip tuntap add tap{i} mode tap multi_queue vnet_hdr && "
                        f"ip addr add 10.0.{i}.1/24 dev tap{i} && "
                        f"ip link set tap{i} mtu {nic.tap_mtu} up")
        counters.watch_tap(self.host, f"tap{i}", nic.queues)

    def serve(self):
        """Start the servers that guests talk to, unless they run already."""
        started = f"{self.host.state_dir}/servers"
        self.host.check(f"[ -e {started} ] || {{ touch {started}; "
                        f"{self.host.tool_dir}/xfer serve {PORT} >/dev/null 2>&1 & "
                        f"{self.host.tool_dir}/seq serve {SEQ_PORT} >/dev/null 2>&1 & "
                        f"for p in {IPERF3_PORT} {IPERF3_PORT + 1}; do iperf3 -s -p $p >/dev/null 2>&1 & done; }}")

    def wait_userland(self, seconds=60):
        """Wait for the guest's greeting after a start or a reboot."""
        self.booted = False
        uptime = self.guest.wait_up(seconds)
        self.booted = True
        return uptime

    def setup_network(self):
        """Bring the guest's interfaces up with all their queue pairs."""
        for i in range(len(self.config.nics)):
            self.setup_nic(i)

    def setup_nic(self, i):
        """Bring one of them up; those without a tap are for DHCP."""
        if not self.config.nics[i].has_tap:
            return
        queues = self.config.nics[i].queues
        self.guest.check(f"ip link set eth{i} up && ip addr add 10.0.{i}.2/24 dev eth{i}")
        if queues > 1 and self.channels(i)[1] != min(queues, self.channels(i)[0]):
            self.set_channels(queues, i)

    def stop(self):
        """End the emulator however it is, and remove the taps."""
        self.host.kill_emulator_if_any()
        for command in self.config.after:
            self.host.run(self._on_host(command))
        for i in range(len(self.config.nics)):
            self.host.run(f"ip link del tap{i} 2>/dev/null")

    # --- things to do with the guest

    def monitor(self, line, seconds=20):
        """One line to the human monitor; what it prints until its next prompt."""
        p = self._monitor_path
        return self.host.check(
            f"n=$(wc -c <{p}.log); echo '{line}' >{p}.in; i=0; while [ $i -lt {int(seconds * SLOW * 5)} ]; do "
            f"t=$(tail -c +$((n+1)) {p}.log); case \"$t\" in *'(qemu) ') break;; esac; i=$((i+1)); sleep 0.2; done; "
            "echo \"$t\"", seconds * SLOW + 10)

    def events_mark(self):
        """Where the events are that come from now on."""
        return int(self.host.check(f"wc -c <{self._events_path}.log"))

    def events(self, name, mark=0):
        """Data of the events of that name since `mark`, in their order."""
        lines = self.host.check(f"tail -c +{mark + 1} {self._events_path}.log").splitlines()
        return [e["data"] for e in (json.loads(line) for line in lines if line.startswith("{") and line.endswith("}"))
                if e.get("event") == name]

    def unplug(self, nic=0):
        """Ask the guest to let go of a NIC; wait until it is gone on both sides."""
        text = self.monitor(f"device_del nic{nic}")
        expect("Error" not in text, f"device_del nic{nic}: {text}")
        self.wait_until(lambda: f'id "nic{nic}"' not in self.monitor("info qtree"), f"nic{nic} to be removed")
        self.guest.check(f"[ ! -e /sys/class/net/eth{nic} ]")

    def plug(self, nic=0, **props):
        """Give the guest a NIC like the one at the start; wait for its interface."""
        like = self.config.nics[nic]
        text = self.monitor("device_add " + self._device(nic, replace(like, props={**like.props, **props})))
        expect("Error" not in text, f"device_add: {text}")
        self.wait_until(lambda: self.guest.run(f"[ -e /sys/class/net/eth{nic} ]")[0] == 0, f"the guest's eth{nic}")

    @staticmethod
    def wait_until(condition, what, seconds=30):
        end = time.monotonic() + seconds * SLOW
        while not condition():
            if time.monotonic() > end:
                raise Stalled(f"waited {seconds} s for {what}")
            time.sleep(0.2)

    def channels(self, nic=0):
        """(maximum, current) number of combined channels the guest's driver reports."""
        text = self.guest.check(f"ethtool -l eth{nic}")
        numbers = re.findall(r"Combined:\s+(\d+)", text)
        expect(len(numbers) == 2, f"ethtool -l eth{nic} shows no channels: {text}")
        return int(numbers[0]), int(numbers[1])

    def set_channels(self, count, nic=0):
        """ethtool -L; the driver rejects a change to the present number."""
        if self.channels(nic)[1] != count:
            self.guest.check(f"ethtool -L eth{nic} combined {count}")
        expect(self.channels(nic)[1] == count, f"eth{nic} did not take {count} channels")

    def xfer_command(self, way, mib, streams=None, nic=0, cpu=0):
        """Command line, to run in the guest, that moves and compares `mib` MiB each way asked for."""
        streams = streams or self.config.vcpus
        return f"/e2e/xfer {way} 10.0.{nic}.1 {PORT} {int(mib * (1 << 20))} {streams} {cpu}"

    def xfer(self, way, mib, streams=None, nic=0, cpu=0, seconds=120):
        """Move and compare; a wrong or missing byte fails the case."""
        status, text = self.guest.run(self.xfer_command(way, mib, streams, nic, cpu), seconds)
        if status:
            raise Stalled(f"xfer {way} {mib} MiB: {text}")
        return text

    def seq_command(self, seconds, flows, rate, nic=0):
        """Command line, to run in the guest, that counts datagrams both ways: `rate` a second of each flow and way."""
        return f"/e2e/seq run 10.0.{nic}.1 {SEQ_PORT} {seconds} {flows} {rate}"

    def background(self, command, name="bg"):
        """Start a command in the guest and go on; wait_background() collects it. /tmp/NAME.pid: its shell."""
        self.guest.check(f"rm -f /tmp/{name}.*; {{ {command} >/tmp/{name}.out 2>&1; echo $? >/tmp/{name}.rc; }} & "
                         f"echo $! >/tmp/{name}.pid")

    def background_runs(self):
        return self.guest.run("[ -e /tmp/bg.rc ]")[0] != 0

    def wait_background(self, seconds=60, name="bg"):
        """Wait for the background command: (status, output)."""
        text = self.guest.check(f"n=0; while [ ! -e /tmp/{name}.rc ] && [ $n -lt {int(seconds * SLOW * 5)} ]; do "
                                f"n=$((n+1)); sleep 0.2; done; cat /tmp/{name}.rc /tmp/{name}.out", seconds + 60)
        status, _, rest = text.partition("\n")
        if not status.strip().isdigit():
            raise Stalled(f"background traffic did not end in {seconds} s: {text[-200:]}")
        return int(status), rest

    def pin_to_pair(self, pair, nic=0):
        """Make the guest send everything on one pair; the tap answers on the same one."""
        mask = f"{(1 << self.config.vcpus) - 1:x}"
        self.guest.check(f"cd /sys/class/net/eth{nic}/queues && for q in tx-*; do "
                         f"if [ $q = tx-{pair} ]; then echo {mask}; else echo 0; fi >$q/xps_cpus || exit 1; done")

    def spread(self, nic=0):
        """Let each pair be used by the vCPU of the same number again."""
        self.guest.check(f"cd /sys/class/net/eth{nic}/queues && for q in tx-*; do n=${{q#tx-}}; "
                         f"printf '%x' $((1 << (n % {self.config.vcpus}))) >$q/xps_cpus || exit 1; done")

    def pair_owners(self, nic=0, mib=2):
        """Which thread carries each pair, seen by the CPU time used while only that pair works."""
        owners = []
        for pair in range(self.config.nics[nic].queues):
            self.pin_to_pair(pair, nic)
            before = counters.threads(self.host)
            self.xfer("both", mib, 1, nic)
            owners.append(counters.busiest(before, counters.threads(self.host)))
        self.spread(nic)
        return owners
