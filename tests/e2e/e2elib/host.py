# SPDX-License-Identifier: GPL-2.0-or-later
"""The machine that runs the emulator under test: this one, or L1 of the nested lab.

Both kinds run commands in an agent, start the emulator with its standard input
and output as the guest's serial console, and know where the guest's kernel is.
"""

import os
import re
import shlex
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from pathlib import Path

from .agent import Agent, Gone
from .assets import HERE, SYSTEM_PATH, which

L1_APPEND = "console=ttyS0 loglevel=5 panic=-1 mitigations=off random.trust_cpu=on"


class Host:
    """What both kinds share. Subclasses set the attributes below in start()."""

    kind = ""          # "lab" or "direct"
    agent = None       # Agent that runs commands on the host
    tool_dir = ""      # where xfer and the tiny kernels are
    state_dir = ""     # where files of the running emulator go
    redirect = ""      # shell redirections that connect the emulator's standard streams
    guest_port = ""    # device or fifo that leads to our end of the guest's console
    vmlinuz = vmlinux = initrd = ""

    def __init__(self, assets, log_dir=None):
        self.assets = assets
        self.log_dir = Path(log_dir) if log_dir else None
        self.process = None
        self.dir = None
        self._spawned = 0

    def alive(self):
        """True while the machine (or its agent) lives."""
        return self.process is not None and self.process.poll() is None

    def run(self, command, seconds=60):
        """Run a command line: (status, output)."""
        return self.agent.run(command, seconds)

    def check(self, command, seconds=60):
        """Run a command line that must succeed; return its output."""
        return self.agent.check(command, seconds)

    def last_words(self):
        """The end of the machine's console, if it has one."""
        return ""

    def spawn(self, argv, name="guest"):
        """Start the emulator. Returns the Agent of its guest's serial console."""
        self._drain(self.guest_out_fd)
        self._spawned += 1
        words = " ".join(shlex.quote(a) for a in argv)
        d = self.state_dir
        self.check(f"rm -f {d}/emu.*; {{ sh -c 'echo $$ >{d}/emu.pid; exec \"$@\"' sh {words} "
                   f"{self.redirect} 2>{d}/emu.err; rc=$?; echo $rc >{d}/emu.rc; "
                   f"printf '\\n@@EXIT %d %d\\n' {self._spawned} $rc >{self.guest_port}; }} & "
                   f"while [ ! -s {d}/emu.pid ]; do sleep 0.05; done")
        return Agent(name, self.guest_out_fd, self.guest_in_fd, alive=self.alive,
                     exit_tag=str(self._spawned))

    @staticmethod
    def _drain(fd):
        try:
            while os.read(fd, 65536):
                pass
        except BlockingIOError:
            pass

    def emulator_pid(self):
        """Process id of the emulator started last."""
        return int(self.check(f"cat {self.state_dir}/emu.pid"))

    def emulator_status(self):
        """Exit status of the emulator, or None while it runs."""
        text = self.run(f"cat {self.state_dir}/emu.rc 2>/dev/null")[1].strip()
        return int(text) if text else None

    def wait_emulator(self, seconds):
        """Wait for the emulator's end; its exit status, or None if it still runs."""
        limit = time.monotonic() + seconds
        while True:
            status = self.emulator_status()
            if status is not None or time.monotonic() > limit:
                return status
            time.sleep(0.2)

    def emulator_stderr(self):
        """What the emulator has written to its standard error."""
        return self.run(f"cat {self.state_dir}/emu.err 2>/dev/null")[1].strip()

    def kill_emulator_if_any(self):
        """End the emulator if one was started and still runs, and wait for its end."""
        if self.run(f"[ -e {self.state_dir}/emu.pid ] && [ ! -e {self.state_dir}/emu.rc ]")[0] == 0:
            self.run(f"kill -9 $(cat {self.state_dir}/emu.pid)")
            self.wait_emulator(10)

    def close(self):
        """Stop everything that start() started."""
        if self.process and self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(5)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        self.process = None
        if self.dir:
            if self.log_dir:
                self.log_dir.mkdir(parents=True, exist_ok=True)
                for path in self.dir.glob("log-*"):
                    shutil.copy(path, self.log_dir / f"{path.name}-{self.dir.name}")
            shutil.rmtree(self.dir, ignore_errors=True)
        self.dir = None


class Lab(Host):
    """L1: a Debian kernel under Debian's QEMU in software emulation, which offers SVM."""

    kind = "lab"
    tool_dir, state_dir = "/e2e", "/tmp"
    redirect, guest_port = "<>/dev/vport0p2 >&0", "/dev/vport0p2"
    vmlinuz, vmlinux, initrd = "/boot/vmlinuz", "/boot/vmlinux", "/boot/initrd"

    def __init__(self, assets, emulators, cpus=2, memory="3G", log_dir=None):
        super().__init__(assets, log_dir)
        self.emulators, self.cpus, self.memory = emulators, cpus, memory
        self._sockets = []

    def start(self):
        """Boot L1. Raises Gone if it does not come up."""
        self.dir = Path(tempfile.mkdtemp(prefix="e2e-lab-"))
        initrd = self.dir / "initrd"
        self._write_initrd(initrd)
        args = [which("qemu-system-x86_64"), "-accel", "tcg,thread=multi", "-cpu", "max,+svm,-pku",
                "-smp", str(self.cpus), "-m", self.memory, "-nodefaults", "-display", "none", "-no-reboot",
                "-serial", f"file:{self.dir}/log-console", "-device", "virtio-serial-pci",
                "-kernel", str(self.assets.vmlinuz), "-initrd", str(initrd), "-append", L1_APPEND]
        for name in ("agent", "guest"):
            args += ["-chardev", f"socket,id={name},path={self.dir}/{name},server=on,wait=off",
                     "-device", f"virtserialport,chardev={name}"]
        with open(self.dir / "log-stderr", "wb") as err:
            self.process = subprocess.Popen(args, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                                            stderr=err, start_new_session=True)
        agent_fd = self._connect("agent")
        self.guest_out_fd = self.guest_in_fd = self._connect("guest")
        self.agent = Agent("L1", agent_fd, alive=self.alive)
        self.agent.wait_up(90)
        os.unlink(initrd)
        return self

    def _write_initrd(self, path):
        extra = self.dir / "emulator.cpio"
        self.assets.emulator_archive(extra, self.emulators)
        with open(path, "wb") as out:
            for part in (self.assets.l1_base, extra):
                with open(part, "rb") as f:
                    shutil.copyfileobj(f, out, 1 << 20)
        os.unlink(extra)

    def _connect(self, name):
        s = socket.socket(socket.AF_UNIX)
        for _ in range(100):
            try:
                s.connect(str(self.dir / name))
            except OSError:
                if self.process.poll() is not None:
                    break
                time.sleep(0.1)
                continue
            s.setblocking(False)
            self._sockets.append(s)
            return s.fileno()
        raise Gone("L1 did not start: " + (self.dir / "log-stderr").read_text()[-300:])

    def last_words(self):
        try:
            return "\n".join((self.dir / "log-console").read_text(errors="replace").splitlines()[-15:])
        except (OSError, TypeError):
            return ""

    def close(self):
        super().close()
        for s in self._sockets:
            s.close()
        self._sockets = []


class Direct(Host):
    """This machine, in network and mount namespaces of its own."""

    kind = "direct"
    _fds = ()

    def start(self):
        """Make the namespaces and start the agent in them."""
        self.dir = Path(tempfile.mkdtemp(prefix="e2e-direct-"))
        self.tool_dir, self.state_dir = str(self.assets.tools), str(self.dir)
        self.vmlinuz, self.vmlinux = str(self.assets.vmlinuz), str(self.assets.vmlinux)
        self.initrd = str(self.assets.l2_initrd)
        self.guest_port = f"{self.dir}/guest-out"
        self.redirect = f"<>{self.dir}/guest-in >{self.guest_port}"
        fds = {}
        for name in ("agent-in", "agent-out", "guest-in", "guest-out"):
            os.mkfifo(self.dir / name)
            # Open both ways: no end-of-file when the other side comes and goes.
            fds[name] = os.open(self.dir / name, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
        self._fds = list(fds.values())
        self.guest_in_fd, self.guest_out_fd = fds["guest-in"], fds["guest-out"]
        # No PID namespace: vhost workers would be invisible in it, and are named by global pid.
        self.process = subprocess.Popen(
            ["unshare", "--net", "--mount", "sh", "-c",
             'mount -t sysfs sysfs /sys && ip link set lo up && exec sh "$@"', "sh",
             str(HERE / "guest/agent.sh"), str(self.dir / "agent-in"), str(self.dir / "agent-out")],
            env=dict(os.environ, PATH=SYSTEM_PATH, LC_ALL="C"), stdin=subprocess.DEVNULL,
            start_new_session=True)
        self.agent = Agent("host", fds["agent-out"], fds["agent-in"], alive=self.alive)
        self.agent.wait_up(20)
        return self

    def close(self):
        if self.process:
            # The agent leads a process group with everything it has started.
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()
        super().close()
        for fd in self._fds:
            os.close(fd)
        self._fds = []


def direct_obstacle():
    """Why guests cannot run directly on this machine, or None if they can.

    A /dev/kvm alone proves nothing: a paravirtual KVM opens and creates machines but
    boots no stock kernel. Only a real one announces itself in the CPU's flags.
    """
    if os.geteuid() != 0:
        return "not root"
    for device in ("/dev/kvm", "/dev/vhost-net", "/dev/net/tun"):
        try:
            os.close(os.open(device, os.O_RDWR | os.O_CLOEXEC))
        except OSError as e:
            return f"{device}: {e.strerror}"
    if not re.search(r"^flags\s*:.*\b(vmx|svm)\b", Path("/proc/cpuinfo").read_text(), re.M):
        return "the CPU offers neither VMX nor SVM, so /dev/kvm is a paravirtual one"
    for module in ("kvm_intel", "kvm_amd"):
        if os.path.isdir(f"/sys/module/{module}"):
            return None
    return "neither kvm_intel nor kvm_amd is loaded"


def choose_mode(wanted):
    """("lab" or "direct", the reason in words) for "auto", "lab" or "direct"."""
    if wanted != "auto":
        return wanted, f"mode: {wanted}, as told"
    obstacle = direct_obstacle()
    if obstacle:
        return "lab", f"mode: nested lab ({obstacle})"
    return "direct", "mode: direct (real KVM and vhost-net)"
