# SPDX-License-Identifier: GPL-2.0-or-later
"""A driver that breaks every rule: the device stops until it is reset, or
ignores it; the process and other devices go on."""

import random

from netlib import Host, raw_frame
from qtestlib import case, check, eq, wait_for
from virtiolib import (ACKNOWLEDGE, BASIC, CTRL, DRIVER, DRIVER_OK, F_INDIRECT, F_MQ, F_RING_RESET, FEATURES_OK,
                       INDIRECT, MAC, NEEDS_RESET, NEXT, WRITE, Modern, Nic, bits, find_virtio, tap_args)

TUN = ("root", "tun")
OTHER_MAC = bytes.fromhex("525400aaaa02")
HOLE = 0xa0000        # between the two parts of low RAM
NOWHERE = 0x7000000000
RX, TX, CTRL_Q = 0, 1, 2


class Pair:
    """The device to be broken and one that has to go on."""

    def __init__(self, t, nic_opts="", queues=1):
        self.vm = t.vm(*tap_args("t0", queues, ident="n0", nic_opts=nic_opts),
                       *tap_args("t1", ident="n1", mac="52:54:00:aa:aa:02"))
        devices = find_virtio(self.vm)
        for d in devices:
            d.msix_setup()
        self.victim, self.witness = (Nic(Modern(d)) for d in devices)
        self.hosts = Host("t0"), Host("t1")
        self.witness.start()

    def start(self, features=BASIC | CTRL, **kw):
        self.victim.start(features, vectors=True, posted=0, **kw)
        self.victim.pci.msix_clear()

    def witness_lives(self):
        self.witness.both_ways(self.hosts[1], mac=OTHER_MAC)

    def recovers(self):
        """After a reset the broken device works."""
        check(self.vm.alive(), "the process died")
        self.witness_lives()
        self.hosts[0].drain()
        self.victim.start(BASIC | CTRL, vectors=True)
        end = raw_frame(MAC, payload=b"sync", size=64)
        self.hosts[0].send(end)
        wait_for(lambda: self.victim.recv(0)[1] == end, "a frame after the reset")
        self.hosts[0].drain()
        self.victim.both_ways(self.hosts[0])
        eq(self.victim.command(0, 0, b"\1"), 0, "a command after the reset")


class Broken:
    """Writes descriptors as they are into a ring and offers head 0."""

    def __init__(self, nic, which):
        self.nic, self.vm = nic, nic.vm
        self.ring = (nic.rx[0], nic.tx[0], nic.ctrl)[which]
        self.flag = WRITE if which == RX else 0
        self.buf = nic.vm.alloc(4096, 64)
        self.size = self.ring.size

    def desc(self, i, addr=None, length=64, flags=0, following=0, table=None):
        self.ring.set_desc(i, self.buf if addr is None else addr, length, flags, following, table)

    def go(self, head=0, step=1):
        r = self.ring
        self.vm.m16[(r.avail + 4) // 2 + r.avail_idx % r.size] = head
        r.avail_idx = r.avail_idx + step & 0xffff
        r.publish()
        r.kick()


BREAKS = []


def breaks(name, queues=(RX, TX, CTRL_Q), features=0, harmless=False):
    def mark(func):
        BREAKS.append((name, queues, features, harmless, func))
        return func
    return mark


@breaks("chain-is-a-loop-of-one")
def _(b):
    b.desc(0, flags=b.flag | NEXT, following=0)
    b.go()


@breaks("chain-is-a-loop-of-three")
def _(b):
    for i in range(3):
        b.desc(i, flags=b.flag | NEXT, following=(i + 1) % 3)
    b.go()


@breaks("loop-of-empty-buffers")
def _(b):
    for i in range(2):
        b.desc(i, length=0, flags=b.flag | NEXT, following=1 - i)
    b.go()


@breaks("head-out-of-range")
def _(b):
    b.go(head=b.size)


@breaks("head-0xffff")
def _(b):
    b.go(head=0xffff)


@breaks("next-out-of-range")
def _(b):
    b.desc(0, flags=b.flag | NEXT, following=b.size)
    b.go()


@breaks("buffer-outside-ram")
def _(b):
    b.desc(0, addr=NOWHERE, flags=b.flag)
    b.go()


@breaks("buffer-in-the-hole")
def _(b):
    b.desc(0, addr=HOLE, flags=b.flag)
    b.go()


@breaks("buffer-over-the-end-of-ram")
def _(b):
    b.desc(0, addr=len(b.vm.ram) - 32, length=64, flags=b.flag)
    b.go()


@breaks("buffer-wraps-around")
def _(b):
    b.desc(0, addr=2 ** 64 - 16, length=64, flags=b.flag)
    b.go()


@breaks("buffer-of-4-gib")
def _(b):
    b.desc(0, length=0xffffffff, flags=b.flag)
    b.go()


@breaks("buffer-is-a-device-register")
def _(b):
    b.desc(0, addr=b.nic.t.common, flags=b.flag)
    b.go()


@breaks("available-index-jumps")
def _(b):
    for i in range(b.size):
        b.desc(i, flags=b.flag)
    b.go(step=b.size + 1)


@breaks("available-index-jumps-half-way-round")
def _(b):
    b.desc(0, flags=b.flag)
    b.go(step=0x8000)


@breaks("available-index-goes-back", queues=(TX,))
def _(b):
    b.desc(0)
    b.go()
    wait_for(lambda: b.ring.used_idx == 1, "the first frame")
    b.go(step=-1)


@breaks("empty-chain")
def _(b):
    b.desc(0, length=0, flags=b.flag)
    b.go()


@breaks("readable-buffer-after-writable")
def _(b):
    b.desc(0, flags=WRITE | NEXT, following=1)
    b.desc(1)
    b.go()


@breaks("readable-buffer-in-receive-queue", queues=(RX,))
def _(b):
    b.desc(0, flags=NEXT, following=1)
    b.desc(1, length=2000, flags=WRITE)
    b.go()


@breaks("receive-buffer-shorter-than-header", queues=(RX,))
def _(b):
    b.desc(0, length=11, flags=WRITE)
    b.go()


@breaks("writable-buffer-in-transmit-queue", queues=(TX,))
def _(b):
    b.desc(0, flags=NEXT, following=1)
    b.desc(1, flags=WRITE)
    b.go()


@breaks("transmit-buffer-shorter-than-header", queues=(TX,))
def _(b):
    b.desc(0, length=11)
    b.go()


@breaks("command-without-room-for-the-answer", queues=(CTRL_Q,))
def _(b):
    b.desc(0, length=3)
    b.go()


@breaks("command-of-one-byte", queues=(CTRL_Q,))
def _(b):
    b.desc(0, length=1, flags=NEXT, following=1)
    b.desc(1, length=1, flags=WRITE)
    b.go()


@breaks("indirect-not-negotiated")
def _(b):
    table = b.vm.alloc(64)
    b.desc(0, flags=b.flag, table=table)
    b.desc(0, addr=table, length=16, flags=INDIRECT)
    b.go()


def indirect(name, **kw):
    return breaks("indirect-" + name, features=bits(F_INDIRECT), **kw)


@indirect("table-is-empty")
def _(b):
    b.desc(0, length=0, flags=INDIRECT)
    b.go()


@indirect("table-of-17-bytes")
def _(b):
    b.desc(0, length=17, flags=INDIRECT)
    b.go()


@indirect("table-outside-ram")
def _(b):
    b.desc(0, addr=NOWHERE, length=32, flags=INDIRECT)
    b.go()


@indirect("table-over-the-end-of-ram")
def _(b):
    b.desc(0, addr=len(b.vm.ram) - 16, length=32, flags=INDIRECT)
    b.go()


@indirect("table-of-4-gib")
def _(b):
    b.desc(0, length=0xfffffff0, flags=INDIRECT)
    b.go()


@indirect("with-next")
def _(b):
    table = b.vm.alloc(64)
    b.desc(0, flags=b.flag, table=table)
    b.desc(0, addr=table, length=16, flags=INDIRECT | NEXT, following=1)
    b.desc(1, flags=b.flag)
    b.go()


@indirect("table-in-a-table")
def _(b):
    table = b.vm.alloc(64)
    b.desc(0, addr=table + 32, length=16, flags=INDIRECT, table=table)
    b.desc(2, flags=b.flag, table=table)
    b.desc(0, addr=table, length=16, flags=INDIRECT)
    b.go()


@indirect("table-refers-to-itself")
def _(b):
    table = b.vm.alloc(64)
    b.desc(0, addr=table, length=16, flags=INDIRECT, table=table)
    b.desc(0, addr=table, length=16, flags=INDIRECT)
    b.go()


@indirect("loop-in-the-table")
def _(b):
    table = b.vm.alloc(64)
    for i in range(4):
        b.desc(i, flags=b.flag | NEXT, following=(i + 1) % 4, table=table)
    b.desc(0, addr=table, length=64, flags=INDIRECT)
    b.go()


@indirect("next-out-of-the-table")
def _(b):
    table = b.vm.alloc(64)
    b.desc(0, flags=b.flag | NEXT, following=4, table=table)
    b.desc(0, addr=table, length=64, flags=INDIRECT)
    b.go()


@indirect("table-longer-than-any-chain")
def _(b):
    n = 3000
    table = b.vm.alloc(16 * n)
    for i in range(n):
        b.desc(i, length=1, flags=b.flag | (NEXT if i + 1 < n else 0), following=i + 1, table=table)
    b.desc(0, addr=table, length=16 * n, flags=INDIRECT)
    b.go()


@indirect("garbage-descriptors")
def _(b):
    rng = random.Random(99)
    table = b.vm.alloc(4096)
    b.vm.ram[table:table + 4096] = rng.randbytes(4096)
    b.desc(0, addr=table, length=4096, flags=INDIRECT)
    b.go()


@breaks("kicks-without-anything", harmless=True)
def _(b):
    for _ in range(100):
        b.ring.kick()


def register_break(name, queue, features, harmless, func):
    where = ("receive", "transmit", "control")[queue]

    @case(f"virtio-net/hostile/{where}/{name}", needs=TUN)
    def run(t):
        p = Pair(t)
        for _ in range(2):
            p.start(BASIC | CTRL | features)
            func(Broken(p.victim, queue))
            if harmless:
                check(p.victim.healthy(), f"NEEDS_RESET after {name}")
            else:
                p.victim.wait_broken(name)
                p.victim.t.add_status(DRIVER_OK)  # does not help
                p.victim.tx[0].kick()
                check(p.victim.t.status & NEEDS_RESET, "NEEDS_RESET stays until reset")
            p.witness_lives()
        p.recovers()


for entry_name, entry_queues, entry_features, entry_harmless, entry_func in BREAKS:
    for entry_queue in entry_queues:
        register_break(entry_name, entry_queue, entry_features, entry_harmless, entry_func)


# ---- rings that are nowhere ----

def bad_ring(t, change, broken):
    """CHANGE(ram size, desc, avail, used) are the ring's addresses of each queue in turn."""
    p = Pair(t)
    nic = p.victim
    for queue in (RX, TX, CTRL_Q):
        nic.start(BASIC | CTRL, vectors=True, posted=0, driver_ok=False)
        nic.t.reset()
        check(nic.t.negotiate(BASIC | CTRL), "features")
        nic.t.set_config_vector(0)
        nic.pci.msix_clear()
        for q in range(3):
            ring = nic.t.make_ring(q, enable=False)
            if q == queue:
                nic.t.set_ring(q, 64, *change(len(p.vm.ram), ring.desc, ring.avail, ring.used))
            nic.t.enable(q)
        nic.t.add_status(DRIVER_OK)
        for q in range(3):
            nic.t.notify(q)
        if broken:
            nic.wait_broken(f"a bad ring address of queue {queue}")
        else:
            check(nic.healthy(), "NEEDS_RESET")
        p.witness_lives()
    p.recovers()


for ring_name, ring_change in (
        ("descriptors-outside-ram", lambda n, d, a, u: (NOWHERE, a, u)),
        ("available-ring-outside-ram", lambda n, d, a, u: (d, NOWHERE, u)),
        ("used-ring-outside-ram", lambda n, d, a, u: (d, a, NOWHERE)),
        ("rings-over-the-end-of-ram", lambda n, d, a, u: (n - 64, n - 64, n - 64)),
        ("ring-into-the-hole", lambda n, d, a, u: (d, a, HOLE - 64)),
        ("addresses-wrap-around", lambda n, d, a, u: (2 ** 64 - 16, 2 ** 64 - 16, 2 ** 64 - 16)),
        ("descriptors-misaligned", lambda n, d, a, u: (d + 8, a, u)),
        ("available-ring-misaligned", lambda n, d, a, u: (d, a + 1, u)),
        ("used-ring-misaligned", lambda n, d, a, u: (d, a, u + 2))):
    case(f"virtio-net/hostile/2.7/{ring_name}", needs=TUN)(
        lambda t, change=ring_change: bad_ring(t, change, True))


@case("virtio-net/hostile/4.1.4.3/queue-sizes", needs=TUN)
def queue_sizes(t):
    p = Pair(t)
    m = p.victim.t
    check(m.negotiate(BASIC | CTRL), "features")
    for q in range(3):
        m.select(q)
        most = m.get(0x18, 2)
        for wrong in (0, 3, 100, 255, 2 * most, 0x8000, 0xffff):
            m.set(0x18, 2, wrong)
            eq(m.get(0x18, 2), most, f"size of queue {q} after {wrong} was written")
    p.start(size=2)
    p.victim.vm.ram[p.victim.tx_buf:p.victim.tx_buf + 72] = bytes(12) + raw_frame(MAC, size=60)
    p.victim.send(0, raw_frame(MAC, size=60))
    p.recovers()


@case("virtio-net/hostile/4.1.4.3/enable-in-the-wrong-state", needs=TUN)
def wrong_enable(t):
    p = Pair(t)
    m = p.victim.t
    m.reset()
    for q in range(4):  # before anything, and a queue that does not exist
        m.enable(q)
    m.status = ACKNOWLEDGE | DRIVER
    m.status = ACKNOWLEDGE | DRIVER | FEATURES_OK | DRIVER_OK
    p.witness_lives()
    p.start()
    m.select(1)
    for offset, size, value in ((0x18, 2, 16), (0x20, 4, NOWHERE & 0xffffffff), (0x28, 4, 0), (0x30, 4, 4),
                                (0x1c, 2, 0), (0x1c, 2, 2)):
        m.set(offset, size, value)
    eq((m.get(0x18, 2), m.get(0x1c, 2)), (256, 1), "size and enable of a running queue")
    p.victim.send(0, raw_frame(MAC, size=60))
    m.enable(1)
    p.victim.send(0, raw_frame(MAC, size=60))
    check(p.victim.healthy(), "NEEDS_RESET")
    p.recovers()


@case("virtio-net/hostile/2.6.1/queue-reset-storm", needs=TUN)
def reset_storm(t):
    p = Pair(t)
    rng = random.Random(5)
    p.start(BASIC | CTRL | bits(F_RING_RESET))
    m, c = p.victim.t, p.victim.t.common
    commands = []
    for _ in range(400):
        q = rng.randrange(4)
        commands.append(f"writew {c + 0x16:#x} {q}")
        commands.append(rng.choice((f"writew {c + 0x3a:#x} 1", f"writew {c + 0x1c:#x} 1",
                                    f"writew {m.notify_at + m.notify_step * q:#x} {q}",
                                    f"writel {c + 0x20:#x} {p.victim.tx_buf + 16 * q:#x}",
                                    f"writel {c + 0x28:#x} {p.victim.tx_buf + 8192:#x}",
                                    f"writel {c + 0x30:#x} {p.victim.tx_buf + 16384:#x}")))
    p.vm.qtest.batch(commands)
    p.recovers()


@case("virtio-net/hostile/2.1/status-storm", needs=TUN)
def status_storm(t):
    p = Pair(t, queues=4)
    rng = random.Random(6)
    m = p.victim.t
    for _ in range(20):
        p.victim.start(BASIC | CTRL | bits(F_MQ), pairs=4, vectors=True)
        p.victim.set_pairs(rng.randrange(1, 5))
        p.vm.qtest.batch([f"writeb {m.common + 0x14:#x} {rng.choice((0, 1, 3, 4, 7, 8, 11, 15, 64, 128, 255)):#x}"
                          for _ in range(20)])
    p.recovers()


# ---- garbage ----

def garbage_values(rng):
    return rng.choice((0, 1, 2, 0xff, 0xffff, 0xffffffff, rng.getrandbits(8), rng.getrandbits(16), rng.getrandbits(32),
                       1 << rng.randrange(32)))


def garbage(t, seed, accesses, started):
    p = Pair(t, nic_opts=",modern-pio-notify=on")
    rng = random.Random(seed)
    for round_ in range(4):
        if started:
            p.start()
        commands = []
        for _ in range(accesses // 4):
            bar = rng.choice(list(p.victim.pci.bars.values()))
            # Half of it where the registers are dense.
            limit = bar.size if rng.random() < 0.5 else min(bar.size, 64)
            size = rng.choice((1, 2, 4) if bar.port else (1, 2, 4, 8))
            at = bar.addr + rng.randrange(limit)
            if bar.port:
                at = min(at, bar.addr + bar.size - size)
            letter = "?bwwl???q"[size]
            if rng.random() < 0.2:
                commands.append(f"{'in' if bar.port else 'read'}{letter} {at:#x}")
            else:
                value = garbage_values(rng) if size < 8 else garbage_values(rng) << 32 | garbage_values(rng)
                commands.append(f"{'out' if bar.port else 'write'}{letter} {at:#x} {value:#x}")
        answers = p.vm.qtest.batch(commands)
        eq([a for a in answers if not a.startswith("OK")][:1], [], "answers of qtest")
        p.victim.pci.msix_setup()
        p.recovers()


for garbage_seed in range(4):
    case(f"virtio-net/hostile/garbage-in-every-bar/seed-{garbage_seed}", needs=TUN)(
        lambda t, seed=garbage_seed: garbage(t, seed, 4000, seed % 2 == 1))


@case("virtio-net/hostile/every-register-at-every-width", needs=TUN)
def every_register(t):
    p = Pair(t)
    for value in (0, 0xffffffffffffffff, 0x0101010101010101):
        p.start()
        commands = []
        for bar in p.victim.pci.bars.values():
            for offset in range(min(bar.size, 64)):
                for size, letter in ((1, "b"), (2, "w"), (4, "l")):
                    if bar.port and offset + size > bar.size:
                        continue
                    verb = ("in", "out") if bar.port else ("read", "write")
                    commands.append(f"{verb[1]}{letter} {bar.addr + offset:#x} {value & (1 << 8 * size) - 1:#x}")
                    commands.append(f"{verb[0]}{letter} {bar.addr + offset:#x}")
        p.vm.qtest.batch(commands)
        p.victim.pci.msix_setup()
        p.recovers()


@case("virtio-net/hostile/garbage-in-pci-configuration-space", needs=TUN)
def garbage_config(t):
    p = Pair(t)
    rng = random.Random(77)
    pci = p.victim.pci
    for _ in range(3):
        p.start()
        commands = []
        for _ in range(700):
            size, letter = rng.choice(((1, "b"), (2, "w"), (4, "l")))
            offset = rng.randrange(256)
            commands.append(f"outl 0xcf8 {1 << 31 | pci.devfn << 8 | offset & 0xfc:#x}")
            # No BAR over RAM, the witness or the chipset: the upper half of the 32-bit hole.
            value = garbage_values(rng)
            if 0x0c < offset < 0x28:
                value = 0xf0000000 | value & 0x7ffffff
            commands.append(f"out{letter} {0xcfc + (offset & 3):#x} {value & (1 << 8 * size) - 1:#x}")
        p.vm.qtest.batch(commands)
        for index, bar in pci.bars.items():
            pci.place_bar(index, bar.addr)
        pci.write(4, 2, 7)
        pci.msix_setup()
        p.recovers()


@case("virtio-net/hostile/driver-scribbles-over-live-rings", needs=TUN)
def scribble(t):
    p = Pair(t)
    rng = random.Random(11)
    for _ in range(15):
        p.start(BASIC | CTRL | bits(F_INDIRECT))
        nic = p.victim
        nic.post(0, 32)
        for ring in (nic.rx[0], nic.tx[0], nic.ctrl):
            for _ in range(60):
                at = rng.choice((ring.desc, ring.desc, ring.avail, ring.used)) + rng.randrange(0, 512)
                p.vm.ram[at] = rng.getrandbits(8)
                if rng.random() < 0.3:
                    ring.kick()
                    p.hosts[0].send(raw_frame(MAC, size=200))
        p.witness_lives()
    p.recovers()
