#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Rules of the tree that no compiler checks; prints each breach, status 1 if there is one."""

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
LIMIT = 700  # lines of a C file, past every target size
TEST_LIMIT = 1100  # tests are tables and many small cases


def tracked():
    out = subprocess.run(["git", "ls-files"], cwd=ROOT, text=True, capture_output=True, check=True).stdout
    return [f for f in out.split("\n") if f and (ROOT / f).is_file()]


def breaches(name):
    text = (ROOT / name).read_text(errors="replace")
    is_c = name.endswith((".c", ".h"))
    if (is_c or name.endswith((".py", ".sh"))) and "SPDX-License-Identifier: GPL-2.0-or-later" not in text[:300]:
        yield "no SPDX line"
    limit = TEST_LIMIT if name.startswith("tests/") else LIMIT
    if is_c and text.count("\n") > limit:
        yield f"longer than {limit} lines"
    in_process = not name.startswith("tests/") and not name.endswith(".bpf.c")
    if name.endswith(".c") and in_process and not re.search(r'#include "util/osdep.h"', text):
        yield 'does not include "util/osdep.h"'
    if name.startswith("include/") and "Threads:" not in text:
        yield "header without a Threads: paragraph"
    if is_c and re.search(r"\b(TODO|FIXME|XXX)\b", text):
        yield "unfinished work"


def layering(name):
    """Floors include only floors below them: the net layer and virtio rings do not know each other."""
    text = (ROOT / name).read_text(errors="replace")
    includes = re.findall(r'#include "([^"]+)"', text)
    if re.match(r"net/|include/net/", name):
        return [f"includes {i}" for i in includes if i.startswith("hw/virtio") or i.startswith("hw/net")]
    if re.match(r"(include/)?hw/virtio/", name):
        return [f"includes {i}" for i in includes if i.startswith(("net/", "hw/net"))]
    if re.match(r"(include/)?util/", name):
        return [f"includes {i}" for i in includes if i.startswith(("hw/", "net/", "system/", "accel/", "qom/"))]
    return []


def main():
    found = 0
    for name in tracked():
        for text in [*breaches(name), *layering(name)]:
            print(f"{name}: {text}")
            found += 1
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
