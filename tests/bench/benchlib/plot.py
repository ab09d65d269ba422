# SPDX-License-Identifier: GPL-2.0-or-later
"""Bar charts as SVG, without a library."""

import math
from html import escape

COLOURS = {"raw": "#9aa5b1", "raw-uring": "#5f6b7a", "auto": "#1f77b4", "epoll": "#7fb3de", "poll": "#17877d",
           "qemu": "#d9822b"}
NAMES = {"raw": "raw tap, read/write", "raw-uring": "raw tap, io_uring", "auto": "this emulator",
         "epoll": "this emulator, engine=epoll", "poll": "this emulator, long poll-max-ns", "qemu": "peer"}
WIDTH, PANEL, LEFT, BAR, GAP = 960, 220, 64, 13, 18


def ceiling(value):
    """A round number not below VALUE, and a step for the grid."""
    if value <= 0:
        return 1, 1
    step = 10 ** math.floor(math.log10(value))
    for part in (0.2, 0.5, 1, 2):
        if value / (step * part) <= 6:
            return math.ceil(value / (step * part)) * step * part, step * part
    return math.ceil(value / step) * step, step


def text(x, y, words, anchor="middle", size=11, extra=""):
    """One line of text."""
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" font-size="{size}"{extra}>{escape(words)}</text>'


def panel(top, title, groups):
    """Bars of GROUPS, [(label, [(series, value)])], and the grid; a list of elements."""
    high, step = ceiling(max(v for _, bars in groups for _, v in bars))
    height = PANEL - 66
    base = top + 34 + height
    out = [text(LEFT, top + 18, title, "start", 13, ' font-weight="bold"')]
    for i in range(round(high / step) + 1):
        y = base - height * i * step / high
        out.append(f'<line x1="{LEFT}" y1="{y:.1f}" x2="{WIDTH - 16}" y2="{y:.1f}" stroke="#dde2e8"/>')
        out.append(text(LEFT - 6, y + 4, f"{i * step:g}", "end"))
    x = LEFT + GAP / 2
    for label, bars in groups:
        out.append(text(x + len(bars) * BAR / 2, base + 16, label))
        for series, value in bars:
            h = height * value / high
            out.append(f'<rect x="{x:.1f}" y="{base - h:.1f}" width="{BAR - 2}" height="{h:.1f}" '
                       f'fill="{COLOURS[series]}"><title>{escape(NAMES[series])}, {escape(label)}: {value:.4g}'
                       '</title></rect>')
            x += BAR
        x += GAP
    return out


def legend(top, series):
    """Which colour is whose."""
    out, x = [], LEFT
    for s in series:
        out.append(f'<rect x="{x}" y="{top}" width="11" height="11" fill="{COLOURS[s]}"/>')
        out.append(text(x + 16, top + 10, NAMES[s], "start"))
        x += 40 + 6.3 * len(NAMES[s])
    return out


def chart(path, panels):
    """Writes PANELS, [(title, groups)], to PATH; nothing when they are empty."""
    panels = [(title, [g for g in groups if g[1]]) for title, groups in panels]
    panels = [(title, groups) for title, groups in panels if groups]
    if not panels:
        return False
    series = [s for s in COLOURS if any(s == b for _, groups in panels for _, bars in groups for b, _ in bars)]
    height = PANEL * len(panels) + 34
    out = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" height="{height}" '
           'font-family="sans-serif" fill="#1c2430">',
           f'<rect width="{WIDTH}" height="{height}" fill="#ffffff"/>', *legend(10, series)]
    for i, (title, groups) in enumerate(panels):
        out += panel(28 + PANEL * i, title, groups)
    path.write_text("\n".join([*out, "</svg>", ""]), encoding="utf-8")
    return True


def groups(figures, modes, key, scale):
    """One group a mode and number of pairs."""
    found = []
    for mode in modes:
        for n in figures.pairs(mode):
            bars = [(s, figures.get(mode, n, s).median(key) * scale) for s in COLOURS if figures.get(mode, n, s)]
            found.append((f"{mode} {n}", bars))
    return found


def draw(figures, out):
    """All charts into folder OUT; the names of those written."""
    small, large = ("tx", "rx", "mixed"), ("tso", "rtso")
    charts = {
        "bench-cpu.svg": [("CPU time a packet, ns: 60-byte frames, by mode and queue pairs",
                           groups(figures, small, "cpu_ns_pkt", 1)),
                          ("CPU time a frame, ns: 64 KiB frames", groups(figures, large, "cpu_ns_pkt", 1))],
        "bench-rate.svg": [("Thousand packets a second: 60-byte frames", groups(figures, small, "pps", 1e-3)),
                           ("Gbit/s: 64 KiB frames", groups(figures, large, "mbps", 1e-3))],
        "bench-round-trip.svg": [("Round trip of one frame, median us, by queue pairs",
                                  groups(figures, ("echo",), "rr_us_p50", 1))],
    }
    return [name for name, panels in charts.items() if chart(out / name, panels)]
