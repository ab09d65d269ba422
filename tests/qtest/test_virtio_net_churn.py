# SPDX-License-Identifier: GPL-2.0-or-later
"""Everything changes while frames flow as fast as they can, both ways.

What arrives is counted only: these cases are there for the thread sanitizer,
for crashes, hangs and lost wake-ups.
"""

import os
import random
import signal
import struct
import time

from netlib import HOST_MAC, Host, delete_link, udp_frame
from qtestlib import case, check, eq, wait_for
from test_pc_machine import Monitor, monitor_args
from virtiolib import (BASIC, CTRL, F_CTRL_VLAN, F_EVENT_IDX, F_MQ, F_RING_RESET, MAC, NEEDS_RESET, OK, Modern, Nic,
                       bits, find_virtio, tap_args)

TUN = ("root", "tun")
FEATURES = BASIC | CTRL | bits(F_MQ, F_EVENT_IDX, F_RING_RESET, F_CTRL_VLAN)
SECONDS = 1.0


class Flood:
    """A process that sends frames of many flows until it is stopped."""

    def __init__(self, name):
        host = Host(name)  # before the fork: whoever deletes the link then finds the child ready
        self.pid = os.fork()
        if self.pid == 0:
            frames = [udp_frame(MAC, HOST_MAC, 5000 + i, 6000 + 3 * i, bytes(40 * i % 1400)) for i in range(64)]
            while True:
                for f in frames:
                    try:
                        host.send(f)
                    except OSError:
                        time.sleep(0.001)

    def stop(self):
        os.kill(self.pid, signal.SIGKILL)
        os.waitpid(self.pid, 0)


class Traffic:
    """A device with traffic in both directions."""

    def __init__(self, t, pairs=4, extra=()):
        self.vm = t.vm(*tap_args(queues=pairs), *extra)
        self.pci = find_virtio(self.vm)[0]
        self.pci.msix_setup()
        self.nic = Nic(Modern(self.pci))
        self.pairs = pairs
        self.host = Host("t0")
        self.frame = self.vm.alloc(2048)
        data = bytes(12) + udp_frame(HOST_MAC, MAC, 1000, 2000, bytes(200), from_guest=True)
        self.vm.ram[self.frame:self.frame + len(data)] = data
        self.frame_len = len(data)
        self.received = self.sent = 0
        self.flood = Flood("t0")

    def start(self):
        heap = self.vm.heap
        self.nic.start(FEATURES, pairs=self.pairs, vectors=True, posted=64)
        self.vm.heap = max(heap, self.vm.heap) if self.vm.heap < 40 << 20 else 2 << 20

    def pump(self, active):
        """Takes what has come, gives new buffers, sends what the ring takes."""
        for pair in range(active):
            while True:
                got = self.nic.rx[pair].take()
                if not got:
                    break
                self.received += 1
                at, size = got[2]
                ring = self.nic.rx[pair]
                ring.offer(ring.add(into=[(at, size)], tag=(at, size)))
            self.nic.rx[pair].publish()
            self.nic.rx[pair].kick()
            ring = self.nic.tx[pair]
            while ring.take():
                self.sent += 1
            while len(ring.free) > 200:
                ring.offer(ring.add(out=[(self.frame, self.frame_len)]))
            ring.publish()
            ring.kick()

    def finish(self):
        """Stops the flood; frames still pass in both directions."""
        check(not self.nic.t.status & NEEDS_RESET, "NEEDS_RESET")
        self.flood.stop()
        check(self.received > 50 and self.sent > 50, f"{self.received} frames received, {self.sent} sent")
        self.vm.heap = 2 << 20
        self.start()
        self.host = Host("t0")  # without the frames sent so far
        end = udp_frame(MAC, HOST_MAC, 1, 1, b"the end")
        self.host.send(end)
        wait_for(lambda: self.nic.recv(0)[1] == end, "the last frame")
        self.host.drain()
        self.nic.both_ways(self.host)


def until():
    end = time.monotonic() + SECONDS
    while time.monotonic() < end:
        yield


@case("virtio-net/churn/pair-counts", needs=TUN)
def pair_counts(t):
    x, rng = Traffic(t), random.Random(1)
    x.start()
    for _ in until():
        n = rng.randrange(1, 5)
        x.nic.set_pairs(n)
        for _ in range(3):
            x.pump(n)
    x.finish()


@case("virtio-net/churn/device-resets", needs=TUN)
def resets(t):
    x = Traffic(t)
    for _ in until():
        x.start()
        x.nic.set_pairs(4)
        for _ in range(3):
            x.pump(4)
        x.nic.t.reset()
    x.finish()


@case("virtio-net/churn/ring-resets", needs=TUN)
def ring_resets(t):
    x, rng = Traffic(t, pairs=2), random.Random(2)
    x.start()
    x.nic.set_pairs(2)
    for _ in until():
        q = rng.randrange(4)
        x.nic.t.queue_reset(q)
        heap = x.vm.heap
        ring = x.nic.t.make_ring(q, vector=1 + q)
        if q % 2:
            x.nic.tx[q // 2] = ring
        else:
            x.nic.rx[q // 2] = ring
            x.nic.post(q // 2, 64)
        if heap > 40 << 20:
            break
        for _ in range(3):
            x.pump(2)
    x.finish()


@case("virtio-net/churn/receive-filters", needs=TUN)
def filters(t):
    x, rng = Traffic(t), random.Random(3)
    x.start()
    x.nic.set_pairs(4)
    for _ in until():
        heap = x.vm.heap
        for _ in range(5):
            cls, cmd, data = rng.choice(((0, rng.randrange(6), bytes([rng.randrange(2)])), (1, 1, MAC),
                                         (1, 0, struct.pack("<I", 1) + MAC + struct.pack("<I", 0)),
                                         (2, rng.randrange(2), struct.pack("<H", rng.randrange(4096)))))
            eq(x.nic.command(cls, cmd, data), OK, f"command {cls}.{cmd}")
        eq(x.nic.command(0, 0, b"\1"), OK, "promiscuous")
        eq(x.nic.command(0, 4, b"\0"), OK, "unicast")
        x.vm.heap = heap
        x.pump(4)
    x.finish()


@case("virtio-net/churn/interrupt-vectors", needs=TUN)
def vectors(t):
    x, rng = Traffic(t, pairs=2), random.Random(4)
    x.start()
    x.nic.set_pairs(2)
    for _ in until():
        what = rng.randrange(4)
        if what == 0:
            x.nic.t.set_vector(rng.randrange(4), rng.randrange(6))
        elif what == 1:
            x.pci.msix_mask(rng.randrange(6), rng.random() < 0.5)
        elif what == 2:
            x.pci.msix_enable(rng.random() < 0.7, rng.random() < 0.3)
        else:
            x.pci.msix_entry(rng.randrange(6), x.pci.msix_words + 4 * rng.randrange(6), 7, False)
        x.pump(2)
    x.pci.msix_setup()
    x.finish()


@case("virtio-net/churn/stop-and-cont", needs=TUN)
def stop_cont(t):
    x = Traffic(t, extra=monitor_args(t))
    mon = Monitor(t.dir / "mon")
    x.start()
    x.nic.set_pairs(4)
    for _ in until():
        mon.command("stop")
        used = [r.used_idx for r in (*x.nic.rx.values(), *x.nic.tx.values())]
        x.pump(4)
        time.sleep(0.002)
        now = [r.used_idx for r in (*x.nic.rx.values(), *x.nic.tx.values())]
        eq(now, used, "used indices of a stopped machine")
        check("owner=stopped" in mon.command("info network"), "a pair of a stopped machine has an owner")
        mon.command("cont")
        for _ in range(3):
            x.pump(4)
        check("rx-packets=" in mon.command("info network"), "no counters in `info network`")
    x.finish()


@case("virtio-net/churn/machine-resets", needs=TUN)
def machine_resets(t):
    x = Traffic(t, pairs=2)
    for _ in until():
        x.pci.msix_setup()
        x.start()
        x.nic.set_pairs(2)
        for _ in range(3):
            x.pump(2)
        x.vm.port_out(0xcf9, 1, 6)
        wait_for(lambda: x.pci.read(4, 2) == 0, "reset")
        for bar in x.pci.bars.values():
            x.pci.place_bar(bar.index, bar.addr)
        x.pci.write(4, 2, 7)
    x.pci.msix_setup()
    x.finish()


@case("virtio-net/churn/tap-deleted-under-load", needs=TUN)
def tap_deleted(t):
    x = Traffic(t)
    x.start()
    x.nic.set_pairs(4)
    for _ in range(20):
        x.pump(4)
    delete_link("t0")
    # Without receive buffers nothing tells of the end before the next kick.
    wait_for(lambda: x.pump(4) or x.nic.status_field() == 0, "link down")
    x.flood.stop()
    for _ in range(3):
        x.pump(4)
        x.nic.set_pairs(1)
        x.nic.set_pairs(4)
    cpu = x.vm.cpu_seconds()
    time.sleep(0.3)
    check(x.vm.cpu_seconds() - cpu < 0.1, "CPU used without a tap")
    check(not x.nic.t.status & NEEDS_RESET, "NEEDS_RESET")
