# SPDX-License-Identifier: GPL-2.0-or-later
"""Bad options of every type of netdev: one line that says what is wrong, on the command line with status 1, and nothing
half-made. The options are in badnetdevs.py."""

import os
import re

from badnetdevs import BAD_NETDEVS
from qmplib import Qmp
from qtestlib import Failure, Skip, case, check, eq
from test_hotplug import sanitized
from test_net_hot import state
from test_virtio_net_options import run

IN_NAMESPACE = ("root",)


def what_is_there(t, qmp, vm):
    """All that a refused netdev could leave behind."""
    return {**state(qmp, vm), "files": sorted(os.listdir(t.dir))}


def refused_on_the_command_line(t, options, text):
    status, out, err = run(t, "-netdev", options)
    eq((status, out), (1, ""), f"-netdev {options}: status and stdout; {err}")
    eq(len(err.splitlines()), 1, f"-netdev {options}: lines on stderr: {err}")
    check(re.search(text, err), f"-netdev {options}: '{err.strip()}' does not match '{text}'")


def refused_while_running(t, qmp, vm, options, text, before):
    answer = qmp.cmd("human-monitor-command", command_line=f"netdev_add {options}").strip()
    check(answer.startswith("Error: ") and re.search(text, answer),
          f"netdev_add {options}: '{answer}' does not match '{text}'")
    check(len(answer.splitlines()) == 1, f"netdev_add {options}: more than a line: {answer}")
    eq(what_is_there(t, qmp, vm), before, f"state after the refused netdev_add {options}")


def check_type(t, rows):
    vm = t.vm(qmp=True)
    qmp = Qmp(vm.qmp_path)
    before = what_is_there(t, qmp, vm)
    wrong = []
    for options, text in rows:
        try:
            refused_on_the_command_line(t, options, text)
            refused_while_running(t, qmp, vm, options, text, before)
        except Failure as e:
            wrong.append(str(e))
    check(not wrong, "; ".join(wrong))


def add_case(kind, rows):
    @case(f"net-bad/{kind}", needs=IN_NAMESPACE)
    def bad_options(t):
        if kind == "vde" and sanitized(t):
            raise Skip("libvdeplug loads its parts in a way that sanitizers refuse (RTLD_DEEPBIND)")
        check_type(t, rows)


for name, table in BAD_NETDEVS.items():
    add_case(name, table)
