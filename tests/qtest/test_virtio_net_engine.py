# SPDX-License-Identifier: GPL-2.0-or-later
"""How an iothread moves bursts: -object iothread,engine=."""

import os
import subprocess

from netlib import HOST_MAC, Host, refuse_io_uring, udp_frame
from qmplib import Qmp
from qtestlib import SCALE, case, check, eq
from virtiolib import BASIC, CTRL, F_MQ, MAC, Modern, Nic, bits, find_virtio, tap_args

TUN = ("root", "tun")
BURST = 40  # more than one read tries, less than a burst


def engine_vm(t, engine, nic_opts=",iothread-vq-mapping.0.iothread=io0", queues=2):
    vm = t.vm("-object", f"iothread,id=io0,engine={engine}", *tap_args(queues=queues, nic_opts=nic_opts), qmp=True)
    nic = Nic(Modern(find_virtio(vm)[0]))
    nic.start(BASIC | CTRL | bits(F_MQ), pairs=queues, posted=128)
    return vm, nic, Host("t0")


def bursts(nic, host, rounds=5):
    """Frames of all sizes, many at once, in both directions: each arrives once, whole and in order."""
    for r in range(rounds):
        out = [udp_frame(HOST_MAC, MAC, 1000, 2000, b"%d %d " % (r, i) + bytes(i * 35), from_guest=True)
               for i in range(BURST)]
        for frame in out:
            nic.send(0, frame, wait=False)
        for i, frame in enumerate(out):
            host.expect(frame, f"frame {i} of burst {r} from the guest")
        back = [udp_frame(MAC, HOST_MAC, 2000, 1000, b"%d %d " % (r, i) + bytes(i * 35)) for i in range(BURST)]
        for frame in back:
            host.send(frame)
        for i, frame in enumerate(back):
            nic.expect(0, frame, f"frame {i} of burst {r} to the guest")
        while nic.tx[0].take():
            pass


def rings(vm):
    """io_uring files that the emulator has open."""
    base = f"/proc/{vm.process.pid}/fd"
    return sum("io_uring" in os.readlink(f"{base}/{fd}") for fd in os.listdir(base))


def by_ring(t, engine):
    vm, nic, host = engine_vm(t, engine)
    check(rings(vm) > 0, f"engine={engine} without io_uring")
    bursts(nic, host)
    qmp = Qmp(vm.qmp_path)
    eq(qmp.cmd("qom-get", path="/objects/io0", property="engine"), engine, "engine")
    e = qmp.raw({"execute": "qom-set", "arguments": {"path": "/objects/io0", "property": "engine", "value": "epoll"}})
    check("error" in e, "engine changed while the thread runs")


@case("virtio-net/engine/auto", needs=TUN)
def auto(t):
    by_ring(t, "auto")


@case("virtio-net/engine/io_uring", needs=TUN)
def io_uring(t):
    by_ring(t, "io_uring")


@case("virtio-net/engine/epoll", needs=TUN)
def by_calls(t):
    vm, nic, host = engine_vm(t, "epoll")
    eq(rings(vm), 0, "io_urings")
    bursts(nic, host)


@case("virtio-net/engine/auto-where-io_uring-is-refused", needs=TUN)
def refused(t):
    refuse_io_uring()
    vm, nic, host = engine_vm(t, "auto")
    eq(rings(vm), 0, "io_urings")
    bursts(nic, host)


@case("virtio-net/engine/io_uring-where-it-is-refused")
def insisted(t):
    refuse_io_uring()
    r = subprocess.run([t.emulator, "-nodefaults", "-machine", "none", "-accel", "qtest", "-display", "none",
                        "-object", "iothread,id=io0,engine=io_uring"], text=True, stdout=subprocess.PIPE,
                       stderr=subprocess.STDOUT, check=False, timeout=30 * SCALE)
    eq(r.returncode, 1, "exit status")
    eq(len(r.stdout.splitlines()), 1, f"lines: {r.stdout}")
    check("engine=io_uring: the kernel refuses" in r.stdout, r.stdout)


@case("virtio-net/engine/pairs-come-and-go", needs=TUN)
def files_of_a_ring(t):
    """A ring lets go of the tap queues of pairs that stop: nothing stays open."""
    vm, nic, host = engine_vm(t, "io_uring", queues=4)
    before = vm.fds()
    for i in range(100):
        nic.set_pairs(1 + i % 4)
    nic.set_pairs(4)
    eq(vm.fds(), before, "open files")
    bursts(nic, host, 1)
