# SPDX-License-Identifier: GPL-2.0-or-later
"""What can be learnt of a guest that fell silent, before it is ended: from its host and from the emulator's monitor.

Each step is bounded in time, and what goes wrong in one is a line of its text: the failure that is to be explained
stands whatever happens here. The most telling comes first, for whoever prints it may cut it.
"""

import re
import time

from .agent import CommandFailed, Gone
from .report import Failed

STEP_SECONDS = 10
ALL_SECONDS = 90        # then no further step is begun
MOST_LINES = 20         # of a step
WIDTH = 240
RING = ("vring-num", "inuse", "last-avail-idx", "shadow-avail-idx", "used-idx", "signalled-used")

THREADS = (
    "for t in /proc/{pid}/task/* $(for p in /proc/[0-9]*; do read -r n <$p/comm && [ \"$n\" = vhost-{pid} ] && "
    "echo $p; done 2>/dev/null); do read -r ns w c <$t/schedstat; read -r name <$t/comm; "
    "state=$(sed 's/.*) \\(.\\).*/\\1/' $t/stat); wchan=$(cat $t/wchan 2>/dev/null); "
    "echo \"${{t##*/}} $ns $state ${{wchan:-0}} $name\"; done 2>/dev/null")


class Diagnosis:
    """Collects text about a session's guest."""

    def __init__(self, session):
        self.s = session
        self.lines = []
        self.end = time.monotonic() + ALL_SECONDS

    def step(self, title, function, *args):
        """One step; what it returns is added below its title."""
        if time.monotonic() > self.end:
            return
        try:
            text = function(*args)
        except (Gone, CommandFailed, Failed, OSError, ValueError, AssertionError) as e:
            text = f"({type(e).__name__}: {str(e)[:WIDTH]})"
        rows = [line.rstrip()[:WIDTH] for line in (text or "").replace("\x00", "").splitlines() if line.strip()]
        if len(rows) > MOST_LINES:
            rows[MOST_LINES - 1:] = [f"... {len(rows) - MOST_LINES + 1} more lines"]
        self.lines += [f"{title}:"] + ["  " + row for row in rows] if rows else []

    def host(self, command):
        """Output of a command on the guest's host, whatever its status."""
        return self.s.host.run(command, STEP_SECONDS)[1]

    def monitor(self, line):
        """What the monitor prints, without the line itself and the prompt."""
        text = self.s.monitor(line, STEP_SECONDS)
        silent = "" if text.rstrip().endswith("(qemu)") else "\n(the monitor gives no prompt)"
        return "\n".join(row for row in text.splitlines() if "(qemu)" not in row and row.strip() != line) + silent

    # --- what moves

    def _threads(self):
        pid = self.s.host.emulator_pid()
        rows = (line.split(" ", 4) for line in self.host(THREADS.format(pid=pid)).splitlines())
        return {r[0]: r for r in rows if len(r) == 5}

    def _cpus(self):
        text = self.monitor("info registers -a")
        return dict(re.findall(r"CPU#(\d+).*?\b[RE]IP=([0-9a-f]+)", text, re.S))

    def motion(self):
        """Threads and vCPUs, twice, half a second apart."""
        first, cpus, start = self._threads(), self._registers_or_none(), time.monotonic()
        time.sleep(0.5)
        again, later = self._registers_or_none(), self._threads()
        passed = time.monotonic() - start
        rows = [f"vCPU {n}: at {cpus[n]}, later {'the same' if again.get(n) == cpus[n] else again.get(n)}"
                for n in cpus]
        for tid, row in later.items():
            used = (int(row[1]) - int(first[tid][1])) / 1e6 if tid in first else 0
            rows.append(f"{tid} {row[4]}: {row[2]}, in {row[3]}, {used:.1f} ms of CPU in {passed:.1f} s")
        return "\n".join(rows)

    def _registers_or_none(self):
        try:
            return self._cpus()
        except (Gone, CommandFailed, Failed):
            return {}

    # --- where frames are

    def rings(self):
        """A line for each ring that the driver has set up."""
        rows = []
        paths = re.findall(r"(/\S+) \[virtio-net\]", self.monitor("info virtio"))
        for path in paths:
            for queue in range(2 * max(n.queues for n in self.s.config.nics) + 1):
                text = self.monitor(f"info virtio-queue-status {path} {queue}")
                if "Error" in text:
                    break
                has = dict(re.findall(r"^([\w-]+): (\S+)$", text, re.M))
                if has.get("vring-desc") != "0":
                    rows.append(f"{path} {queue}: " + " ".join(f"{k}={has.get(k)}" for k in RING))
        return "\n".join(rows)

    def answers(self):
        """Is the guest's kernel alive? Its agent is busy or mute."""
        return "\n".join(self.host(f"ping -q -c 3 -i 0.3 -W 1 10.0.{i}.2 | tail -2")
                         for i in range(len(self.s.config.nics)))

    def collect(self):
        """Everything, as text."""
        taps = " ".join(f"tap{i}" for i in range(len(self.s.config.nics)))
        self.step("what moves", self.motion)
        self.step("pings", self.answers)
        self.step("info network", self.monitor, "info network")
        self.step("rings", self.rings)
        self.step("connections", self.host, "ss -tinemO 2>/dev/null | grep -v 127.0.0.1")
        self.step("taps", self.host, f"for t in {taps}; do ip -s -s link show $t; done")
        self.step("queueing disciplines", self.host,
                  f"for t in {taps}; do tc -s qdisc show dev $t | tr -d '\\n'; echo; done")
        self.step("info cpus", self.monitor, "info cpus")
        self.step("the host's kernel", self.host, "dmesg | tail -12")
        return "\n".join(self.lines)


def diagnose(session):
    """Text about the session's guest; never raises for what it finds, "" when there is no emulator to ask."""
    try:
        if not session.host.alive() or session.host.emulator_status() is not None:
            return ""
        return Diagnosis(session).collect()
    except (Gone, CommandFailed, OSError, ValueError) as e:
        return f"no diagnosis: {e}"
