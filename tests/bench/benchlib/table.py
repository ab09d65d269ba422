# SPDX-License-Identifier: GPL-2.0-or-later
"""The tables that the benchmark prints."""

from .plan import MOVES, SYSTEMS

HEAD = ("mode", "pairs", "system", "kpps", "best", "Gbit/s", "ns/pkt", "best", "user", "cores", "CPU/uring", "CPU/raw",
        "peer/CPU", "pps/peer")


def number(value, form):
    """Formatted, or nothing for None."""
    return "" if value is None else format(value, form)


def traffic_row(figures, mode, pairs, system):
    """Cells of one system."""
    f = figures.get(mode, pairs, system)
    ours = not system.startswith(("raw", "qemu"))
    peer = "qemu-irq" if system.endswith("-irq") else "qemu"

    def ratio(key, a, b, wanted):
        return number(figures.ratio(key, mode, pairs, a, b), ".2f") if wanted else ""

    return (mode, str(pairs), system, number(f.median("pps") / 1e3, ".0f"), number(f.best("pps") / 1e3, ".0f"),
            number(f.median("mbps") / 1e3, ".2f"), number(f.median("cpu_ns_pkt"), ".0f"),
            number(f.best("cpu_ns_pkt"), ".0f"), "" if system.startswith("raw") else number(f.median("user_share"), ".0%"),
            number(f.median("cores"), ".2f"), ratio("cpu_ns_pkt", system, "raw-uring", system != "raw-uring"),
            ratio("cpu_ns_pkt", system, "raw", system != "raw"), ratio("cpu_ns_pkt", peer, system, ours),
            ratio("pps", system, peer, ours))


def show(head, rows):
    """Lines of right-aligned columns; the third, the system, on the left."""
    widths = [max(len(r[i]) for r in [head, *rows]) for i in range(len(head))]
    left = {i for i, h in enumerate(head) if h in ("mode", "system", "calls")}
    lines = []
    for row in [head, *rows]:
        lines.append("  ".join(c.ljust(w) if i in left else c.rjust(w)
                               for i, (c, w) in enumerate(zip(row, widths))).rstrip())
    return lines


def traffic(figures):
    """One line a system."""
    rows = [traffic_row(figures, mode, n, s) for mode, n in figures.places() for s in SYSTEMS
            if figures.get(mode, n, s)]
    return show(HEAD, rows) if rows else []


def round_trips(figures):
    """One frame at a time."""
    rows = []
    for n in figures.pairs("echo"):
        for s in SYSTEMS:
            f = figures.get("echo", n, s)
            if f:
                rows.append(("echo", str(n), s, number(f.median("rr_us_p50"), ".1f"), number(f.best("rr_us_p50"), ".1f"),
                             number(f.median("rr_us_p99"), ".1f"), number(f.median("rr_cpu_us"), ".1f")))
    return show(("mode", "pairs", "system", "p50 us", "best", "p99 us", "CPU us"), rows) if rows else []


def calls(figures):
    """System calls and idle costs."""
    counted = [(m, str(n), s, f"{row['syscalls'] / row['counted_packets']:.4f}",
                f"{1e6 * row['futexes'] / row['counted_packets']:.2f}", str(row["counted_packets"]),
                row["syscall_names"].replace(",", " "))
               for (what, m, n, s), row in figures.extra.items() if what == "syscalls" and row.get("counted_packets")]
    idle = [(m, str(n), s, f"{row['idle_us_per_s']:.0f}", f"{row['wakeups_per_s']:.1f}")
            for (what, m, n, s), row in figures.extra.items() if what == "idle"]
    lines = []
    if counted:
        lines += show(("mode", "pairs", "system", "syscalls/pkt", "futex/Mpkt", "packets", "calls"), counted)
    if idle:
        lines += [""] * bool(lines) + show(("mode", "pairs", "system", "CPU us/s", "wake-ups/s"), idle)
    return lines


def moves(figures):
    """How long a pair stands still when it gets another owner, beside how long it does anyway."""
    rows = [(m, str(n), str(row["moves"]), f"{row['pps'] / 1e3:.0f}",
             *(f"{row[f'{what}_us_{p}']:.0f}" for what in ("pause", "usual") for p in ("p50", "p99", "max")),
             f"{row['pause_us_p50'] / row['usual_us_p50']:.2f}", f"{row['move_command_us']:.0f}")
            for (_, m, n, _), row in figures.extra.items() if m in MOVES]
    return show(("mode", "pairs", "moves", "kpps", "pause p50 us", "p99", "max", "without p50 us", "p99", "max", "ratio",
                 "command us"), rows) if rows else []
