# SPDX-License-Identifier: GPL-2.0-or-later
"""Medians, bests and ratios of the rows of a run."""

import statistics
from dataclasses import dataclass

from .plan import TRAFFIC


def median(values):
    """Of numbers; None when there are none."""
    values = [v for v in values if v is not None]
    return statistics.median(values) if values else None


@dataclass
class Figure:
    """One system in one mode with so many pairs, over all rounds."""

    rows: dict  # by round

    def median(self, key):
        """Over rounds."""
        return median(r.get(key) for r in self.rows.values())

    def best(self, key):
        """The largest rate, or the least cost."""
        values = [r[key] for r in self.rows.values()]
        return max(values) if key == "pps" else min(values)


class Figures:
    """Everything measured, by mode, pairs and system."""

    def __init__(self, rows):
        self.table, self.extra = {}, {}
        for row in rows:
            place = (row["mode"], row["n"], row["system"])
            if isinstance(row["run"], int):
                self.table.setdefault(place, Figure({})).rows[row["run"]] = row
            else:
                self.extra[(row["run"], *place)] = row

    def places(self):
        """(mode, pairs) of traffic that was measured, in order."""
        found = {(m, n) for m, n, _ in self.table}
        return sorted((p for p in found if p[0] in TRAFFIC), key=lambda p: (TRAFFIC.index(p[0]), p[1]))

    def pairs(self, mode):
        """Numbers of pairs that a mode was measured with."""
        return sorted({n for m, n, _ in [*self.table, *(k[1:] for k in self.extra)] if m == mode})

    def get(self, mode, pairs, system):
        """A Figure, or None."""
        return self.table.get((mode, pairs, system))

    def ratio(self, key, mode, pairs, system, other):
        """SYSTEM's over OTHER's, each round by itself, the median of rounds: a machine that
        slows down for a while slows both."""
        a, b = self.get(mode, pairs, system), self.get(mode, pairs, other)
        if not a or not b:
            return None
        return median(a.rows[r][key] / b.rows[r][key] for r in a.rows if r in b.rows and b.rows[r][key])

    def per_packet(self, key, mode, pairs, system):
        """Of the run that counted system calls: calls a packet, or None."""
        row = self.extra.get(("syscalls", mode, pairs, system))
        if not row or not row.get("counted_packets"):
            return None
        return row[key] / row["counted_packets"]
