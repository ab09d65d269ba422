# SPDX-License-Identifier: GPL-2.0-or-later
"""Sphinx configuration of the manual."""

import os
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

project = "qemu-mq"
author = "the qemu-mq developers"
version = release = "0.1"
extensions = ["qapidoc"]
master_doc = "index"
exclude_patterns = ["_build"]
html_theme = "alabaster"
man_pages = [("man/qemu-system-x86_64", "qemu-system-x86_64", "virtual machine monitor with multiqueue networking",
              author, 1),
             ("man/qemu-mq-top", "qemu-mq-top", "live view of the queue pairs of a virtual machine", author, 1),
             ("man/qemu-bridge-helper", "qemu-bridge-helper", "puts a tap on a bridge for an unprivileged user",
              author, 8)]
man_make_section_directory = False
