# SPDX-License-Identifier: GPL-2.0-or-later
"""Every frame is counted while pairs, owners and rings change under it: each
arrives once, in the order of its queue.

Frames carry a number. Those of the guest are offered many at once and not
waited for; those of the host go to as many flows as there are frames.
"""

import itertools
import struct
import time

from netlib import HOST_MAC, Host, drops, raw_frame, udp_frame
from qmplib import Qmp
from qtestlib import QUIET_S, SCALE, Failure, case, check, eq, wait_for
from test_virtio_net_mq import MQ, exchange
from virtiolib import (BASIC, CTRL, F_EVENT_IDX, F_INDIRECT, F_RING_RESET, MAC, NEEDS_RESET, Modern, Nic, bits,
                       find_virtio, tap_args)

TUN = ("root", "tun")
OUT_SIZE = 120


class Counted:
    """A NIC whose frames are numbered in both directions."""

    def __init__(self, t, pairs=4, features=MQ | bits(F_EVENT_IDX), args=(), qmp=False, size=None,
                 **kw):
        self.vm = t.vm(*args, *tap_args(queues=pairs, **kw), qmp=qmp)
        self.pci = find_virtio(self.vm)[0]
        self.pci.msix_setup()
        self.nic = Nic(Modern(self.pci))
        self.host = Host("t0")
        self.pairs = pairs
        self.features = features
        self.size = size
        self.start()

    def start(self):
        self.out = {p: 0 for p in range(self.pairs)}    # frames offered
        self.seen = {p: [] for p in range(self.pairs)}  # numbers that arrived at the host
        self.sent_in = 0
        self.got_in = []
        self.nic.start(self.features, pairs=self.pairs, vectors=True, posted=min(200, self.size or 200),
                       size=self.size)
        if self.pairs > 1:
            self.nic.set_pairs(self.pairs)
        self.host.drain()
        self.dropped = drops("t0")

    # ---- guest to host ----

    def frame(self, pair, number):
        return raw_frame(HOST_MAC, MAC, struct.pack(">BI", pair, number), size=OUT_SIZE)

    def offer(self, pair, n):
        """N more frames of PAIR; they are not kicked."""
        ring = self.nic.tx[pair]
        base = self.vm.alloc(n * 256, 64)
        for i in range(n):
            at = base + 256 * i
            data = bytes(12) + self.frame(pair, self.out[pair] + i)
            self.vm.ram[at:at + len(data)] = data
            ring.offer(ring.add(out=[(at, len(data))]))
        self.out[pair] += n
        ring.publish()

    def kick(self, pairs):
        m = self.nic.t
        self.vm.qtest.batch([f"writew {m.notify_at + m.notify_step * q:#x} {q}"
                             for p in pairs for q in (2 * p, 2 * p + 1)])

    def take_sent(self):
        for ring in self.nic.tx.values():
            while ring.take():
                pass

    def collect_host(self):
        """Takes what came to the host; each frame's content is checked."""
        while True:
            got = self.host.recv(0)
            if got is None:
                return
            pair, number = struct.unpack_from(">BI", got, 14)
            check(pair in self.seen, f"a frame of pair {pair}")
            if got != self.frame(pair, number):
                raise Failure(f"frame {number} of pair {pair} was changed: {got[:40].hex()}")
            self.seen[pair].append(number)

    # ---- host to guest ----

    def send_in(self, n):
        for i in range(self.sent_in, self.sent_in + n):
            self.host.send(udp_frame(MAC, HOST_MAC, 2000 + i % 5000, 7000 + i % 89, struct.pack(">I", i)))
        self.sent_in += n

    def collect_guest(self):
        for pair in self.nic.rx:
            while True:
                got = self.nic.recv(pair, wait=False)
                if got is None:
                    break
                number = struct.unpack_from(">I", got[1], 42)[0]
                self.got_in.append(number)

    # ---- both ----

    def all_there(self):
        self.collect_host()
        self.collect_guest()
        return (all(len(self.seen[p]) >= self.out[p] for p in self.seen) and len(self.got_in) >= self.sent_in)

    def settle(self, what, lossy=False):
        """All frames arrived, each once, in order. LOSSY: some of the host's did not, because the kernel empties a
        tap queue that is detached."""
        if lossy:
            wait_for(lambda: drain_guest(self), f"{what}: the tap to be empty")
            eq(len(set(self.got_in)), len(self.got_in), f"{what}: frames that came twice")
            self.got_in = list(range(self.sent_in))
        try:
            wait_for(self.all_there, what)
        except Failure:
            raise Failure(f"{what}: sent {self.out}, at the host {({p: len(v) for p, v in self.seen.items()})}; "
                          f"in {self.sent_in}, got {len(self.got_in)}") from None
        time.sleep(QUIET_S * SCALE / 5)
        self.all_there()
        for pair, numbers in self.seen.items():
            eq(numbers, list(range(self.out[pair])), f"{what}: frames of pair {pair} at the host")
        eq(sorted(self.got_in), list(range(self.sent_in)), f"{what}: frames at the guest")
        eq(drops("t0"), self.dropped, f"{what}: frames that the tap dropped")
        self.take_sent()
        eq({p: r.used_idx for p, r in self.nic.tx.items()}, {p: r.avail_idx for p, r in self.nic.tx.items()},
           f"{what}: used transmit buffers")
        check(not self.nic.t.status & NEEDS_RESET, f"{what}: NEEDS_RESET")

    def used(self):
        return [r.used_idx for r in (*self.nic.rx.values(), *self.nic.tx.values())]


# ---- numbers of pairs ----

def orders(t, first):
    """Every permutation of 1 to 4 that begins with FIRST."""
    x = Counted(t)
    heap = x.vm.heap
    for rest in itertools.permutations(set(range(1, 5)) - {first}):
        for n in (first, *rest):
            x.nic.set_pairs(n)
            for pair in range(n):
                exchange(x.nic, x.host, pair, b"%d of " % n + bytes(rest))
            x.vm.heap = heap
    check(not x.nic.t.status & NEEDS_RESET, "NEEDS_RESET")


for order_first in range(1, 5):
    case(f"virtio-net/5.1.6.5.5/all-permutations-of-pair-counts/from-{order_first}", needs=TUN)(
        lambda t, first=order_first: orders(t, first))


@case("virtio-net/in-flight/pairs-go-and-come-back", needs=TUN)
def pairs_change(t, **kw):
    x = Counted(t, **kw)
    for n in (1, 3, 2, 1, 2, 3):
        for pair in range(4):
            x.offer(pair, 30)
        x.kick(range(4))
        x.send_in(40)
        x.nic.set_pairs(n)
        x.send_in(20)
        x.nic.set_pairs(4)
        x.kick(range(4))
        x.settle(f"4 to {n} and back", lossy=True)
        x.send_in(40)
        x.settle(f"after 4 to {n} and back")


@case("virtio-net/in-flight/owners-are-iothreads-given-by-name", needs=TUN)
def owners_change(t, nic_opts="", **kw):
    """Pairs share two iothreads; each change of the count moves owners about."""
    objects = [o for i in ("ioA", "ioB") for o in ("-object", f"iothread,id={i}")]
    x = Counted(t, args=objects,
                nic_opts=",iothread-vq-mapping.0.iothread=ioA,iothread-vq-mapping.1.iothread=ioB" + nic_opts, **kw)
    for n in (2, 1, 3, 1):
        for pair in range(4):
            x.offer(pair, 30)
        x.kick(range(4))
        x.send_in(40)
        x.nic.set_pairs(n)
        x.nic.set_pairs(4)
        x.kick(range(4))
        x.settle(f"4 to {n} and back", lossy=True)
        x.send_in(40)
        x.settle(f"after 4 to {n} and back")


# ---- stop and cont ----

def stop_cont(t, rounds=8, **kw):
    x = Counted(t, qmp=True, **kw)
    qmp = Qmp(x.vm.qmp_path)
    for round_ in range(rounds):
        for pair in range(x.pairs):
            x.offer(pair, 30)
        x.send_in(40)
        x.kick(range(x.pairs))
        qmp.cmd("stop")
        used = x.used()
        eq(qmp.cmd("query-status")["running"], False, "running after stop")
        for pair in range(x.pairs):
            x.offer(pair, 10)
        x.kick(range(x.pairs))
        x.send_in(20)
        time.sleep(0.005)
        eq(x.used(), used, "used indices of a stopped machine")
        qmp.cmd("cont")
        if round_ % 2:
            qmp.cmd("stop")
            qmp.cmd("cont")
        x.settle(f"round {round_}")
    eq(len([e for e in qmp.events if e["event"] == "STOP"]), rounds + rounds // 2, "STOP events")


@case("virtio-net/in-flight/stop-and-cont", needs=TUN)
def stop_cont_one(t):
    stop_cont(t, pairs=1, features=BASIC | CTRL)


@case("virtio-net/in-flight/stop-and-cont-with-4-pairs", needs=TUN)
def stop_cont_mq(t):
    stop_cont(t)


@case("virtio-net/in-flight/stop-and-cont-without-ioeventfd", needs=TUN)
def stop_cont_slow(t):
    stop_cont(t, rounds=4, pairs=2, nic_opts=",ioeventfd=off")


# ---- resets ----

@case("virtio-net/in-flight/device-resets", needs=TUN)
def device_resets(t, **kw):
    """What was sent before is not sent again; no frame of before comes after."""
    x = Counted(t, pairs=2, **kw)
    for _ in range(8):
        x.offer(0, 60)
        x.offer(1, 60)
        x.kick((0, 1))
        x.send_in(30)
        x.nic.t.reset()
        used = x.used()
        x.collect_host()
        time.sleep(0.005)
        counts = {p: len(v) for p, v in x.seen.items()}
        x.collect_host()
        eq({p: len(v) for p, v in x.seen.items()}, counts, "frames after the reset")
        eq(x.used(), used, "used indices after the reset")
        for pair in (0, 1):
            numbers = x.seen[pair]
            eq(numbers, list(range(len(numbers))), f"frames of pair {pair}")
            eq(len(numbers), x.nic.tx[pair].used_idx, f"frames of pair {pair} that were sent, by its ring")
        x.vm.heap = 4 << 20
        x.start()
        wait_for(lambda: drain_guest(x), "the tap to be empty")
        x.got_in = []
    x.offer(0, 20)
    x.kick((0, 1))
    x.send_in(20)
    x.settle("after the last reset")


def drain_guest(x):
    """Takes the frames that waited in the tap; true when no more come."""
    x.collect_guest()
    n = len(x.got_in)
    idle = x.vm.idle()
    x.collect_guest()
    return idle and len(x.got_in) == n


def reset_ring(t, queue, features=0, **kw):
    """One ring is reset again and again while all carry frames."""
    x = Counted(t, pairs=2, features=MQ | bits(F_RING_RESET) | features, **kw)
    pair, transmit = queue // 2, queue % 2
    other = 1 - pair
    for round_ in range(8):
        x.vm.heap = max(x.vm.heap, 8 << 20) if x.vm.heap < 40 << 20 else 8 << 20
        x.offer(pair, 50)
        x.offer(other, 50)
        x.send_in(40)
        x.kick((0, 1))
        x.nic.t.queue_reset(queue)
        ring = x.nic.tx[pair] if transmit else x.nic.rx[pair]
        used = ring.used_idx
        x.send_in(20)
        x.offer(other, 20)
        x.kick((other,))
        time.sleep(0.003)
        eq(ring.used_idx, used, "used index of a ring that was reset")
        if transmit:
            x.collect_host()
            x.out[pair] = len(x.seen[pair])  # the others are gone with the ring
            eq(x.out[pair] & 0xffff, total_used(x, pair, used), f"round {round_}: frames sent and used")
            x.nic.tx[pair] = x.nic.t.make_ring(queue, vector=1 + queue)
        else:
            x.collect_guest()
            x.nic.rx[pair] = x.nic.t.make_ring(queue, vector=1 + queue)
            x.nic.post(pair, 200)
        x.settle(f"round {round_}")


def total_used(x, pair, used):
    """Frames of PAIR that went out by all its rings so far; the last used USED."""
    x.base = getattr(x, "base", 0)
    total = x.base + used
    x.base = total
    return total & 0xffff


for reset_queue, reset_name in enumerate(("receive-0", "transmit-0", "receive-1", "transmit-1")):
    case(f"virtio-net/in-flight/2.6.1/ring-resets/{reset_name}", needs=TUN)(
        lambda t, queue=reset_queue: reset_ring(t, queue))


@case("virtio-net/in-flight/system-reset-by-qmp", needs=TUN)
def system_reset(t):
    x = Counted(t, pairs=2, qmp=True)
    qmp = Qmp(x.vm.qmp_path)
    for _ in range(4):
        x.offer(0, 60)
        x.offer(1, 60)
        x.kick((0, 1))
        x.send_in(30)
        qmp.cmd("system_reset")
        eq(qmp.event("RESET")["data"]["guest"], False, "RESET: by the guest")
        eq(x.pci.read(4, 2), 0, "command register after the reset")
        used = x.used()
        time.sleep(0.005)
        eq(x.used(), used, "used indices after the reset")
        for bar in x.pci.bars.values():
            x.pci.place_bar(bar.index, bar.addr)
        x.pci.write(4, 2, 7)
        eq(x.nic.t.status, 0, "virtio status after the reset")
        x.vm.heap = 4 << 20
        x.pci.msix_words = 0
        x.pci.msix_setup()
        x.start()
        wait_for(lambda: drain_guest(x), "the tap to be empty")
        x.got_in = []
    x.offer(1, 20)
    x.kick((0, 1))
    x.send_in(20)
    x.settle("after the last reset")


@case("virtio-net/in-flight/indirect-and-event-index", needs=TUN)
def indirect(t):
    x = Counted(t, pairs=2, features=MQ | bits(F_EVENT_IDX, F_INDIRECT, F_RING_RESET))
    for round_ in range(6):
        for pair in (0, 1):
            x.offer(pair, 100)
        x.kick((0, 1))
        x.send_in(80)
        x.settle(f"round {round_}")
