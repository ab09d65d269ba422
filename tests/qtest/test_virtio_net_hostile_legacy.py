# SPDX-License-Identifier: GPL-2.0-or-later
"""The table of ring faults again, by a driver of the legacy interface, and
faults that only it can make. It has no DEVICE_NEEDS_RESET to see (VIRTIO 1.2,
2.1): its device stops moving anything until it is reset."""

import random
import time

from netlib import Host, raw_frame
from qtestlib import QUIET_S, SCALE, case, check, eq, wait_for
from test_virtio_net_hostile import BREAKS, OTHER_MAC, Broken
from virtiolib import BASIC, CTRL, MAC, Legacy, Modern, Nic, find_virtio, tap_args

TUN = ("root", "tun")
FEATURES = (BASIC | CTRL) & 0xffffffff
NEEDS_REGISTERS_IN_MEMORY = {"buffer-is-a-device-register"}


class Pair:
    """A legacy driver that misbehaves, a modern one beside it."""

    def __init__(self, t):
        self.vm = t.vm(*tap_args("t0", ident="n0"), *tap_args("t1", ident="n1", mac="52:54:00:aa:aa:02"))
        devices = find_virtio(self.vm)
        self.victim, self.witness = Nic(Legacy(devices[0])), Nic(Modern(devices[1]))
        self.hosts = Host("t0"), Host("t1")
        self.witness.start()

    def start(self, features=0, posted=0):
        self.victim.start(FEATURES | features & 0xffffffff, posted=posted)

    def works(self, what):
        """After a reset frames pass both ways."""
        check(self.vm.alive(), f"{what}: the process died")
        self.witness.both_ways(self.hosts[1], mac=OTHER_MAC, n=1)
        self.vm.heap = 8 << 20
        self.start(posted=32)
        self.hosts[0].drain()
        end = raw_frame(MAC, payload=b"sync", size=64)
        self.hosts[0].send(end)
        wait_for(lambda: self.victim.recv(0)[1] == end, f"{what}: a frame after the reset")
        self.victim.both_ways(self.hosts[0], n=1)
        eq(self.victim.command(0, 0, b"\1"), 0, f"{what}: a command after the reset")


def stands_still(p, what):
    """No frame is taken, though it would be a good one."""
    nic = p.victim
    before = [r.used_idx for r in (nic.rx[0], nic.tx[0], nic.ctrl)]
    nic.tx[0].push(nic.tx[0].add(out=[(nic.tx_buf, 80)]))
    p.hosts[0].send(raw_frame(MAC, payload=b"more", size=64))
    time.sleep(QUIET_S * SCALE / 4)
    eq([r.used_idx for r in (nic.rx[0], nic.tx[0], nic.ctrl)], before, f"{what}: used indices of a stopped device")


def run_table(t, queue):
    p = Pair(t)
    for name, queues, features, harmless, func in BREAKS:
        if queue not in queues or name in NEEDS_REGISTERS_IN_MEMORY:
            continue
        p.start(features)
        p.hosts[0].drain()
        func(Broken(p.victim, queue))
        time.sleep(QUIET_S * SCALE / 4)
        if not harmless:
            stands_still(p, name)
        p.works(name)


for table_queue, table_name in enumerate(("receive", "transmit", "control")):
    case(f"virtio-net/hostile/legacy/{table_name}/every-ring-fault", needs=TUN)(
        lambda t, queue=table_queue: run_table(t, queue))


@case("virtio-net/hostile/legacy/2.7/ring-addresses", needs=TUN)
def addresses(t):
    """The page number is all that a legacy driver says of a ring."""
    p = Pair(t)
    for queue in range(3):
        for page in (0xffffffff, 0x80000000, len(p.vm.ram) >> 12, (len(p.vm.ram) >> 12) - 1, 0xa0, 0x100000):
            t_ = p.victim.t
            t_.negotiate(FEATURES)
            for q in range(3):
                if q == queue:
                    t_.select(q)
                    t_.set(8, 4, page)
                    eq(t_.get(8, 4), page, "page number as written")
                else:
                    t_.make_ring(q)
            t_.add_status(4)
            for q in range(3):
                t_.notify(q)
            p.vm.qtest.batch(["endianness"] * 3)
        p.works(f"queue {queue}")


@case("virtio-net/hostile/legacy/page-number-changes-while-running", needs=TUN)
def page_moves(t):
    p = Pair(t)
    rng = random.Random(31)
    for _ in range(10):
        p.start(posted=16)
        nic = p.victim
        for _ in range(20):
            nic.t.select(rng.randrange(4))
            nic.t.set(8, 4, rng.choice((0, 0, rng.getrandbits(32), nic.tx[0].desc >> 12, nic.rx[0].desc >> 12)))
            nic.t.notify(rng.randrange(4))
            p.hosts[0].send(raw_frame(MAC, size=80))
        p.works("page numbers")
