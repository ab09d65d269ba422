# SPDX-License-Identifier: GPL-2.0-or-later
"""calc-dirty-rate: how fast guest memory is written, by samples of pages and by the log of all."""

import itertools
import socket
import struct

from netlib import HOST_MAC, raw_frame
from qmplib import Qmp, QmpError
from qtestlib import MIB, Failure, case, check, eq, wait_for
from socketlib import LOOPBACK
from test_net_dgram import inet
from virtiolib import BASIC, F_EVENT_IDX, F_PACKED, MAC, MAC_TEXT, Modern, Nic, bits, find_virtio

MS = {"calc-time-unit": "millisecond"}


class Rate:
    """A measurement of MS milliseconds, begun; RAM is remembered as it is then."""

    def __init__(self, vm, qmp, ms=50, **arguments):
        self.vm, self.qmp, self.ms = vm, qmp, ms
        self.before = bytes(vm.ram)
        qmp.cmd("calc-dirty-rate", arguments_={"calc-time": ms, **MS, **arguments})

    def query(self):
        return self.qmp.cmd("query-dirty-rate", arguments_=dict(MS))

    def result(self):
        info = wait_for(lambda: (i := self.query()) and i["status"] == "measured" and i, "the measurement")
        check(self.ms <= info["calc-time"] < self.ms + 30000, f"a time of {info['calc-time']} for {self.ms} ms")
        return info

    def pages(self):
        """Pages that differ from the start."""
        now = bytes(self.vm.ram)
        return sum(now[at:at + 4096] != self.before[at:at + 4096] for at in range(0, len(now), 4096))

    def expect(self, pages, what):
        """That many pages were written."""
        info = self.result()
        eq(info["dirty-rate"], pages * 4096 * 1000 // MIB // info["calc-time"], f"rate: {what}, {pages} pages")
        return info


def refused(qmp, why, **arguments):
    try:
        qmp.cmd("calc-dirty-rate", arguments_=arguments)
    except QmpError as e:
        check(why in e.desc and "\n" not in e.desc, f"{arguments}: {e.desc!r} lacks {why!r}")
    else:
        raise Failure(f"{arguments} is taken")


BAD = (
    ({"calc-time": 0}, "must be 1 to 60 seconds"), ({"calc-time": 61}, "must be 1 to 60 seconds"),
    ({"calc-time": -1}, "must be"), ({"calc-time": 1 << 62}, "must be 1 to 60"),
    ({"calc-time": 49, **MS}, "must be 50 to 60000 milliseconds"), ({"calc-time": 60001, **MS}, "50 to 60000"),
    ({"calc-time": 1, "sample-pages": 127}, "128 to 16384"), ({"calc-time": 1, "sample-pages": 16385}, "128 to 16384"),
    ({"calc-time": 1, "sample-pages": 512, "mode": "dirty-bitmap"}, "is for mode 'page-sampling'"),
    ({"calc-time": 1, "mode": "dirty-ring"}, "use 'page-sampling' or 'dirty-bitmap'"),
    ({"calc-time": 1, "mode": "guess"}, "mode"), ({}, "calc-time"),
)


@case("dirty-rate/arguments")
def arguments(t):
    vm = t.vm(qmp=True)
    qmp = Qmp(vm.qmp_path)
    for bad, why in BAD:
        refused(qmp, why, **bad)
        info = qmp.cmd("query-dirty-rate")
        eq((info["status"], "dirty-rate" in info), ("unstarted", False), f"after {bad}")
    for mode in ("page-sampling", "dirty-bitmap"):
        rate = Rate(vm, qmp, ms=400, mode=mode)
        info = rate.query()
        refused(qmp, "under way", **{"calc-time": 1})
        eq((info["mode"], info["sample-pages"]), (mode, 512 if mode == "page-sampling" else 0), "mode")
        eq(rate.result()["dirty-rate"], 0, f"rate of a machine at rest, {mode}")
        eq(qmp.cmd("query-dirty-rate")["calc-time"], rate.query()["calc-time"] // 1000, "seconds")
    # It does not outlive the machine, nor hold it up.
    qmp.cmd("calc-dirty-rate", arguments_={"calc-time": 60})
    nothing = t.vm(machine="none", memory=False, qmp=True)
    qmp = Qmp(nothing.qmp_path)
    refused(qmp, "no guest RAM", **{"calc-time": 1})
    qmp.cmd("calc-dirty-rate", arguments_={"calc-time": 60, "mode": "dirty-bitmap"})


@case("dirty-rate/sampling")
def sampling(t):
    """Most of memory is written: samples have to see that."""
    vm = t.vm(qmp=True)
    qmp = Qmp(vm.qmp_path)
    for share in (1, 2):
        for ms in (60, 240, 960, 3840):
            rate = Rate(vm, qmp, ms=ms, **{"sample-pages": 16384})
            n = 0
            while rate.query()["status"] == "measuring":
                n += 1
                stamp = struct.pack("<II", ms, n)
                for at in range(0, len(vm.ram) // share, 4096):
                    vm.ram[at + 100:at + 108] = stamp
            info = rate.result()
            if n >= 4:  # once at least between the two looks
                break
        all_of_it = len(vm.ram) / MIB * 1000 / info["calc-time"]
        check(0.9 * all_of_it / share - 1 <= info["dirty-rate"] <= 1.1 * all_of_it / share,
              f"{info} where 1/{share} of {all_of_it} was written")


@case("dirty-rate/hmp")
def hmp(t):
    vm = t.vm(qmp=True)
    qmp = Qmp(vm.qmp_path)

    def run(line):
        return qmp.cmd("human-monitor-command", command_line=line).replace("\r\n", "\n")
    check("Status: unstarted" in run("info dirty_rate"), "before")
    check("one of them" in run("calc_dirty_rate -r -b 1"), "two modes")
    check("dirty-bitmap" in run("calc_dirty_rate -r 1"), "a mode that there is not")
    check("1 to 60 seconds" in run("calc_dirty_rate 0"), "no time")
    check("info dirty_rate" in run("calc_dirty_rate 1 1024"), "the start")
    text = run("info dirty_rate")
    for part in ("Status: measuring\n", "Period: 1 (sec)\n", "Mode: page-sampling\n", "Sample Pages: 1024 (per GB)\n",
                 "Dirty rate: (not ready)\n"):
        check(part in text, f"{part!r} is not in {text!r}")
    check("under way" in run("calc_dirty_rate -b 1"), "another one")
    text = wait_for(lambda: (s := run("info dirty_rate")) and "Status: measured\n" in s and s, "the end")
    check("Dirty rate: 0 (MB/s)\n" in text, f"the end: {text!r}")


# ---- the log of all pages ----

@case("dirty-rate/written-by-the-cpu")
def by_cpu(t):
    vm = t.vm(qmp=True)
    qmp = Qmp(vm.qmp_path)
    vm.qtest.command(f"memset 0x200000 {8 * MIB:#x} 0x11")  # before
    values = itertools.count(0x22)

    def write():
        value = next(values)
        vm.qtest.command(f"memset 0x400800 {4 * MIB:#x} {value:#x}")  # 1025 pages
        for _ in range(3):
            for i in range(200):
                vm.write(0xa00000 + 4096 * i, 1 << i % 4, value)
    eq(written_while(vm, qmp, write, "memset and stores"), 1225, "pages that changed")
    Rate(vm, qmp, mode="dirty-bitmap").expect(0, "nothing since")


def written_while(vm, qmp, act, what, times=(50, 200, 800, 3200)):
    """ACT writes guest memory through the emulator, and nothing else does: the log has all pages that differ. Measured
    for longer when it was not done in time."""
    for ms in times:
        rate = Rate(vm, qmp, ms=ms, mode="dirty-bitmap")
        act()
        if rate.query()["status"] == "measuring":
            pages = rate.pages()
            rate.expect(pages, what)
            return pages
        rate.result()
    raise Failure(f"{what}: takes more than {times[-1]} ms")


class Receiver:
    """A NIC whose frames an iothread receives, each into a page of its own."""

    def __init__(self, t, features, nic_opts=""):
        self.sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.sock.bind((LOOPBACK, 0))
        self.vm = t.vm("-netdev", f"dgram,id=n0,{inet('local', 0)},{inet('remote', self.sock.getsockname()[1])}",
                       "-device", f"virtio-net-pci,netdev=n0,mac={MAC_TEXT}{nic_opts}", qmp=True)
        self.qmp = Qmp(self.vm.qmp_path)
        text = self.qmp.cmd("human-monitor-command", command_line="info network")
        self.port = int(text.split("udp=")[1].split("/")[0].rsplit(":", 1)[1])
        self.nic = Nic(Modern(find_virtio(self.vm)[0])).start(features, posted=0)
        self.vm.alloc(0, 4096)
        self.nic.post(0, 200, 4096)

    def receive(self):
        """200 frames, none of which the driver takes."""
        ring = self.nic.rx[0]
        for k in range(0, 200, 20):
            for i in range(k, k + 20):
                frame = raw_frame(MAC, HOST_MAC, struct.pack(">I", i), size=1400)
                self.sock.sendto(frame, (LOOPBACK, self.port))
            wait_for(lambda: ring.used_idx - ring.seen & 0xffff == k + 20, "the frames")


@case("dirty-rate/written-by-iothreads")
def by_iothreads(t):
    for features, nic_opts in ((BASIC, ""), (BASIC | bits(F_EVENT_IDX), ""), (BASIC | bits(F_PACKED), ",packed=on")):
        for ms in (50, 400, 3200):
            r = Receiver(t, features, nic_opts)
            rate = Rate(r.vm, r.qmp, ms=ms, mode="dirty-bitmap")
            r.receive()
            if rate.query()["status"] == "measuring":
                break
        pages = rate.pages()
        check(200 < pages < 210, f"200 frames changed {pages} pages")
        rate.expect(pages, "frames received")
        Rate(r.vm, r.qmp, mode="dirty-bitmap").expect(0, "nothing since")
