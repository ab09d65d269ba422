# SPDX-License-Identifier: GPL-2.0-or-later
"""What is run: systems, the command lines of each, the order."""

import json
import os
import subprocess

TRAFFIC = ("tx", "rx", "mixed", "tso", "rtso")
MOVES = ("moves", "moves-rx", "moves-vhost")
MODES = ("echo", *TRAFFIC, "idle", *MOVES)
IRQ_MODES = ("tx", "rx")  # also measured with a guest that takes interrupts
POLL_NS = 200_000  # poll-max-ns of the system "poll": longer than any round trip
COUNTED_SECONDS = 0.5  # of traffic whose system calls are counted
IDLE_SECONDS = 2
MOVE_COUNT = 1000  # of one pair in a run
MOVE_SECONDS = 3  # that a run of them takes, about
RUN_LIMIT = 120  # seconds, for one run of one program

# Name in the table and the JSON: what it is.
SYSTEMS = {
    "raw": "the tap itself, read() and write()",
    "raw-uring": "the tap itself, bursts of 64 by io_uring",
    "auto": "this emulator as it comes: engine=auto",
    "epoll": "this emulator, engine=epoll: a system call a frame",
    "poll": f"this emulator, poll-max-ns={POLL_NS}",
    "auto-irq": "auto, and the guest takes interrupts",
    "qemu": "the peer",
    "qemu-irq": "the peer, and the guest takes interrupts",
}


class ToolFailed(Exception):
    """A program of the benchmark, or one under test, did not come to a result."""


def systems_for(mode, peer):
    """Which systems have a figure in this mode."""
    if mode in MOVES:
        return ["auto"]
    if mode in ("echo", "idle"):
        names = ["auto", "epoll", "poll"] if mode == "echo" else ["auto", "epoll"]
        return names + ["qemu"] * peer
    names = ["raw", "raw-uring", "auto", "epoll"]
    if mode in IRQ_MODES:
        names.append("auto-irq")
    if peer:
        names += ["qemu", "qemu-irq"] if mode in IRQ_MODES else ["qemu"]
    return names


def iothreads(pairs, options):
    """Arguments for as many iothreads as the device would make for itself."""
    count = min(pairs, os.cpu_count() or 1)
    mapping = "".join(f",iothread-vq-mapping.{i}.iothread=io{i}" for i in range(count))
    objects = [word for i in range(count) for word in ("-object", f"iothread,id=io{i},{options}")]
    return ["--dev-args", mapping], objects


class Bench:
    """Runs the tools and collects the rows they give."""

    def __init__(self, options, out):
        self.options = options
        self.data = open(out / "data.jsonl", "w", encoding="utf-8")
        self.rows = []
        self.failed = []

    def record(self, row):
        """Keeps a row, and writes it to data.jsonl."""
        self.rows.append(row)
        self.data.write(json.dumps(row) + "\n")
        self.data.flush()

    def command(self, system, mode, pairs, *extra):
        """The command line that measures one system."""
        o = self.options
        if system.startswith("raw"):
            suffix = "-uring" if system == "raw-uring" else ""
            return [f"{o.tools}/tapraw", "--modes", mode + suffix, "--queues", str(pairs), *extra]
        binary = o.peer if system.startswith("qemu") else o.emulator
        words = [f"{o.tools}/mqbench", "--bin", binary, "--label", system, "--modes", mode, "--queues", str(pairs)]
        objects = []
        if system == "epoll":
            arguments, objects = iothreads(pairs, "engine=epoll")
            words += arguments
        elif system == "poll":
            arguments, objects = iothreads(pairs, f"poll-max-ns={POLL_NS}")
            words += arguments
        if system.endswith("-irq"):
            words.append("--irq")
        return [*words, *extra, *(["--", *objects] if objects else [])]

    def run(self, what, system, mode, pairs, *extra):
        """One row; WHAT is the number of the round, or the kind of extra run."""
        command = self.command(system, mode, pairs, "--repeat", "1", "--json", "-", *extra)
        try:
            r = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                               text=True, errors="replace", timeout=RUN_LIMIT, check=False)
        except subprocess.TimeoutExpired as e:
            raise ToolFailed(f"no result in {RUN_LIMIT} s: {' '.join(command)}") from e
        rows = [json.loads(line) for line in r.stdout.splitlines() if line.startswith("{")]
        if len(rows) != 1:
            raise ToolFailed(f"{' '.join(command)}\n{r.stdout}{r.stderr}".rstrip())
        row = {"run": what, "system": system, **rows[0], "mode": mode, "n": pairs}
        self.record(row)
        if not row["ok"]:
            self.failed.append(f"{mode}, pairs {pairs}, {system}: frames failed verification\n{r.stdout}{r.stderr}")
        return row
