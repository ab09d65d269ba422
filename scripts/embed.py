#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Turns a file into a C array: embed.py FILE OUT NAME."""

import sys
from pathlib import Path


def main():
    source, out, name = sys.argv[1:]
    data = Path(source).read_bytes()
    rows = (data[i:i + 16] for i in range(0, len(data), 16))
    text = "\n".join("    " + " ".join(f"{b:#04x}," for b in row) for row in rows)
    Path(out).write_text(f"static const unsigned char {name}[] __attribute__((aligned(8))) = {{\n{text}\n}};\n",
                         encoding="ascii")


main()
