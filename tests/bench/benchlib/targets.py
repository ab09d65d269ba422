# SPDX-License-Identifier: GPL-2.0-or-later
"""What the datapath has to show, and whether it did."""

from dataclasses import dataclass

from .plan import MOVES

# CPU per packet over that of the raw tap by io_uring: at most
RAW_URING = {("tx", 1): 1.25, ("rx", 1): 1.25, ("tx", 2): 1.15, ("tx", 4): 1.15, ("rx", 2): 1.15,
             ("mixed", 1): 1.15, ("mixed", 2): 1.15, ("mixed", 4): 1.15,
             ("tso", 1): 1.12, ("tso", 2): 1.12, ("tso", 4): 1.12}
# the same over the raw tap's read()
RAW_PLAIN = {("rtso", 1): 1.25, ("rtso", 2): 1.25, ("rtso", 4): 1.25}
# the peer's CPU per packet over ours: at least
PEER_CPU = {("tx", 1): 1.7, ("tx", 2): 1.7, ("tx", 4): 1.7, ("rx", 1): 1.9, ("rx", 2): 1.5,
            ("tso", 1): 1.4, ("tso", 2): 1.4, ("tso", 4): 1.4, ("rtso", 1): 1.8, ("rtso", 2): 1.8, ("rtso", 4): 1.8}
# our packets per second over the peer's: at least
PEER_RATE = {("tx", 1): 1.6, ("tx", 2): 2.6, ("tx", 4): 2.8, ("mixed", 2): 2.6}
RX_SHARE = 1 / 3  # of the frames when both directions are busy
SYSCALLS = 0.05  # a packet, with io_uring
SYSCALL_MODES = ("tx", "rx", "mixed", "tso")
ROUND_TRIP_US = 6  # polling, one pair
MOVE_PAUSE_US = 200  # of a pair that gets another owner, median
IDLE_US = 1000  # of CPU a second: a thousandth of a core


@dataclass
class Verdict:
    """One target: AT_MOST or at least LIMIT, and what was measured."""

    what: str
    at_most: bool
    limit: float
    value: float
    strictly: bool = False
    unit: str = ""

    @property
    def met(self):
        """Whether the figure is on the right side."""
        if self.strictly:
            return self.value < self.limit
        return self.value <= self.limit if self.at_most else self.value >= self.limit

    def line(self):
        """For the terminal."""
        sign = "<" if self.strictly else "at most" if self.at_most else "at least"
        return (f"{'met   ' if self.met else 'MISSED'}  {self.what:58}  {sign:>8} {self.limit:8.4g}  "
                f"measured {self.value:8.4g} {self.unit}").rstrip()


def against_raw(figures):
    """CPU per packet beside the tap itself."""
    for limits, other, name in ((RAW_URING, "raw-uring", "raw io_uring"), (RAW_PLAIN, "raw", "raw read")):
        for (mode, n), limit in limits.items():
            for system in ("auto", "auto-irq"):
                value = figures.ratio("cpu_ns_pkt", mode, n, system, other)
                if value is not None:
                    interrupts = ", interrupts" if system == "auto-irq" else ""
                    yield Verdict(f"{mode} {n}{interrupts}: CPU a packet / {name}", True, limit, value)


def against_peer(figures):
    """CPU per packet and packets per second beside the peer."""
    for (mode, n), limit in PEER_CPU.items():
        for ours, theirs in (("auto", "qemu"), ("auto-irq", "qemu-irq")):
            value = figures.ratio("cpu_ns_pkt", mode, n, theirs, ours)
            if value is not None:
                interrupts = ", interrupts" if ours == "auto-irq" else ""
                yield Verdict(f"{mode} {n}{interrupts}: the peer's CPU a packet / ours", False, limit, value)
    for (mode, n), limit in PEER_RATE.items():
        value = figures.ratio("pps", mode, n, "auto", "qemu")
        if value is not None:
            yield Verdict(f"{mode} {n}: packets a second / the peer's", False, limit, value)
    for n in figures.pairs("mixed"):
        ours = figures.get("mixed", n, "auto")
        if ours:
            yield Verdict(f"mixed {n}: received frames' share", False, RX_SHARE,
                          1 - ours.median("tx_pps") / ours.median("pps"))


def system_calls(figures):
    """Counted in runs of their own."""
    for mode in SYSCALL_MODES:
        for n in figures.pairs(mode):
            value = figures.per_packet("syscalls", mode, n, "auto")
            if value is not None:
                yield Verdict(f"{mode} {n}: system calls a packet", True, SYSCALLS, value)
                yield Verdict(f"{mode} {n}: futex calls a million packets", True, 0,
                              1e6 * figures.per_packet("futexes", mode, n, "auto"))


def latency_and_idle(figures):
    """Round trips of one frame; what a NIC without traffic costs."""
    for n in figures.pairs("echo"):
        ours, theirs, polling = (figures.get("echo", n, s) for s in ("auto", "qemu", "poll"))
        if ours and theirs and n in (1, 4):
            yield Verdict(f"round trip, pairs {n}: median, beside the peer's", True, theirs.median("rr_us_p50"),
                          ours.median("rr_us_p50"), strictly=n > 1, unit="us")
        if polling and n == 1:
            yield Verdict("round trip, pairs 1, polling: median", True, ROUND_TRIP_US, polling.median("rr_us_p50"),
                          unit="us")
    for n in figures.pairs("idle"):
        row = figures.extra.get(("idle", "idle", n, "auto"))
        if row:
            yield Verdict(f"idle, pairs {n}: CPU us a second", True, IDLE_US, row["idle_us_per_s"])


def pauses(figures):
    """Of a pair under traffic that gets another owner."""
    for (_, mode, n, _), row in figures.extra.items():
        if mode in MOVES:
            yield Verdict(f"{mode} {n}: pause of the pair, median", True, MOVE_PAUSE_US, row["pause_us_p50"], unit="us")


def verdicts(figures):
    """All that the measured modes allow."""
    return [*against_raw(figures), *against_peer(figures), *system_calls(figures), *latency_and_idle(figures),
            *pauses(figures)]
