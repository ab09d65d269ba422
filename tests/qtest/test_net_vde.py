# SPDX-License-Identifier: GPL-2.0-or-later
"""-netdev vde: machines on a switch of Virtual Distributed Ethernet, the program vde_switch."""

import glob
import os
import shutil
import signal
import socket
import stat
import subprocess
import time

from netlib import BROADCAST, HOST_MAC, raw_frame
from qmplib import Qmp, QmpError
from qtestlib import Failure, Skip, case, check, eq, wait_for
from test_hotplug import sanitized
from test_net_hot import refused, state
from virtiolib import MAC, MAC_TEXT, Modern, Nic, find_virtio

NET = ("root",)
MACS = [bytes.fromhex(f"5254000000{i:02x}") for i in (1, 2)]


class Switch:
    def __init__(self, t):
        program = shutil.which("vde_switch")
        if not program:
            raise Skip("needs vde_switch (package vde2)")
        self.t, self.path = t, f"{t.dir}/switch"
        self.process = None
        self.program = program
        self.start()

    def start(self):
        shutil.rmtree(self.path, ignore_errors=True)
        self.process = subprocess.Popen([self.program, "-s", self.path], stdin=subprocess.PIPE,
                                        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        wait_for(lambda: os.path.exists(f"{self.path}/ctl"), "the switch")

    def stop(self):
        self.process.kill()
        self.process.wait()


def not_sanitized(t):
    if sanitized(t):
        raise Skip("libvdeplug loads its parts in a way that sanitizers refuse (RTLD_DEEPBIND)")


def machine(t, switch, index, options=""):
    not_sanitized(t)
    mac = ":".join(f"{b:02x}" for b in MACS[index])
    vm = t.vm("-netdev", f"vde,id=n0,sock={switch.path}{options}", "-device",
              f"virtio-net-pci,netdev=n0,id=nic0,mac={mac}", qmp=True)
    nic = Nic(Modern(find_virtio(vm)[0])).start()
    return vm, Qmp(vm.qmp_path), nic


def exchange(one, two, n=20):
    """Frames of all sizes from one to the other, whose address the switch knows after the first."""
    two.send(0, raw_frame(BROADCAST, MACS[1], b"here", size=60))
    one.expect(0, raw_frame(BROADCAST, MACS[1], b"here", size=60), "a broadcast")
    for i in range(n):
        frame = raw_frame(MACS[1], MACS[0], b"one%d" % i, size=(60, 61, 1514, 700)[i % 4])
        one.send(0, frame)
        two.expect(0, frame, f"frame {i} there")
        frame = raw_frame(MACS[0], MACS[1], b"two%d" % i, size=(1514, 60, 999, 64)[i % 4])
        two.send(0, frame)
        one.expect(0, frame, f"frame {i} back")


@case("net-vde/two-machines", needs=NET)
def two_machines(t):
    switch = Switch(t)
    try:
        one, two = machine(t, switch, 0), machine(t, switch, 1, ",mode=0600")
        exchange(one[2], two[2])
        check(f"type=vde,sock={switch.path}" in one[1].cmd("human-monitor-command", command_line="info network"),
              "info network does not tell the switch")
        modes = {stat.S_IMODE(os.stat(f"{switch.path}/{name}").st_mode) for name in os.listdir(switch.path)
                 if name != "ctl"}
        check(0o600 in modes, f"mode=0600: the sockets have {[oct(m) for m in modes]}")
    finally:
        switch.stop()


@case("net-vde/life", needs=NET)
def life(t):
    """Deleted and made again; a switch that goes away and comes back."""
    switch = Switch(t)
    try:
        (vm, qmp, one), (_, _, two) = machine(t, switch, 0), machine(t, switch, 1)
        add = {"type": "vde", "id": "n0", "sock": switch.path}
        exchange(one, two, 2)
        before = None
        for i in range(3):
            qmp.cmd("netdev_del", id="n0")
            now = state(qmp, vm)
            if i:
                eq(now, before, f"state after deletion {i}")
            before = now
            qmp.cmd("netdev_add", arguments_=add)
            exchange(one, two, 2)
        switch.stop()
        while qmp.event("NETDEV_BACKEND_CHANGED")["data"]["present"]:
            pass
        qmp.cmd("netdev_del", id="n0")
        eq(state(qmp, vm), before, "state after the switch's end")
        switch.start()
        qmp.cmd("netdev_add", arguments_=add)
        one.send(0, raw_frame(BROADCAST, MACS[0], b"alone", size=60))
    finally:
        switch.stop()


@case("net-vde/a-switch-that-does-not-answer", needs=NET)
def silent(t):
    """netdev_add fails after a while; what the switch gives later is given back."""
    not_sanitized(t)
    switch = Switch(t)
    try:
        vm = t.vm(qmp=True)
        qmp = Qmp(vm.qmp_path)
        add = {"type": "vde", "id": "n0", "sock": switch.path}
        qmp.cmd("netdev_add", arguments_=add)
        qmp.cmd("netdev_del", id="n0")
        before, files = state(qmp, vm), sorted(os.listdir(switch.path))
        for end in (signal.SIGCONT, signal.SIGKILL):
            switch.process.send_signal(signal.SIGSTOP)
            begin = time.monotonic()
            try:
                qmp.cmd("netdev_add", arguments_=add)
            except QmpError as e:
                eq(e.desc, f"netdev 'n0': sock={switch.path}: cannot connect to a VDE switch: Connection timed out",
                   "the error")
            else:
                raise Failure("netdev_add of a switch that is stopped was taken")
            check(4 < time.monotonic() - begin < 8, "not about 5 seconds")
            switch.process.send_signal(end)
            wait_for(lambda: len(os.listdir(f"/proc/{vm.process.pid}/task")) == len(before["threads"]),
                     "the end of the attempt")
            eq(state(qmp, vm), before, "state after the attempt")
        eq(sorted(os.listdir(switch.path)), files, "files at the switch")
    finally:
        switch.stop()


@case("net-vde/the-data-ends", needs=NET)
def data_ends(t):
    """A connection without a control socket says by the data's that it is over."""
    not_sanitized(t)
    if not glob.glob("/usr/lib/*/vdeplug/libvdeplug_seqpacket.so"):
        raise Skip("needs libvdeplug with the type seqpacket")
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with ours, theirs:
        vm = t.vm("-netdev", f"vde,id=n0,sock=seqpacket://{theirs.fileno()}", "-device",
                  f"virtio-net-pci,netdev=n0,id=nic0,mac={MAC_TEXT}", qmp=True, pass_fds=(theirs.fileno(),))
        theirs.close()
        qmp, nic = Qmp(vm.qmp_path), Nic(Modern(find_virtio(vm)[0])).start()
        frame = raw_frame(MAC, HOST_MAC, b"to the guest", size=80)
        ours.send(frame)
        nic.expect(0, frame, "a frame before the end")
    while qmp.event("NETDEV_BACKEND_CHANGED")["data"]["present"]:
        pass
    wait_for(lambda: vm.log().count("netdev 'n0': the switch has gone") == 1, "the warning")
    wait_for(vm.idle, "threads to sleep")
    before = vm.cpu_seconds()
    time.sleep(0.5)
    check(vm.cpu_seconds() - before < 0.15, "the emulator spins")
    qmp.cmd("netdev_del", id="n0")
