# SPDX-License-Identifier: GPL-2.0-or-later
"""Many NICs of many pairs, and pairs that flood beside pairs and commands that must not wait for them.

A flood is made by another process: it makes every buffer of a ring available
again as soon as it is used. What is checked are counts and orders of frames,
not times.
"""

import json
import os
import signal
import socket
import struct
import time

from netlib import HOST_MAC, Host, raw_frame, set_up, udp_frame
from qmplib import Qmp
from qtestlib import Failure, case, check, eq, wait_for
from virtiolib import BASIC, CTRL, CTRL_RX, F_MQ, NEEDS_RESET, OK, Modern, Nic, bits, find_virtio

TUN = ("root", "tun")
MQ = BASIC | CTRL | bits(F_MQ)
NICS, PAIRS = 16, 8
BUDGET = 64  # frames that a direction of a pair may move in a row
SO_RCVBUFFORCE = 33


def mac_of(n):
    return bytes((0x52, 0x54, 0, 0x12, 0x34, n))


def nic_args(n, pairs, iothreads=None, **options):
    """Options of NIC N on tap tN; IOTHREADS: that of each pair."""
    device = {"driver": "virtio-net-pci", "id": f"nic{n}", "netdev": f"n{n}", "mac": mac_of(n).hex(":"), **options}
    queues = f",queues={pairs}" if pairs > 1 else ""
    if pairs > 1:
        device["mq"] = True
    if iothreads:
        device["queue-mapping"] = [{"pair": i, "backend": "iothread", "iothread": io} for i, io in enumerate(iothreads)]
    return ["-netdev", f"tap,id=n{n},ifname=t{n},script=no,downscript=no{queues}", "-device", json.dumps(device)]


def iothread_args(names):
    return [x for name in names for x in ("-object", f"iothread,id={name}")]


def drivers(vm, pairs, posted=8):
    """A driver for each NIC of the machine, all pairs in use."""
    nics = []
    for n, pci in enumerate(find_virtio(vm)):
        nic = Nic(Modern(pci))
        eq(nic.mac(), mac_of(n), f"mac of NIC {n}")
        nic.start(MQ if pairs > 1 else BASIC, pairs=pairs, posted=posted)
        if pairs > 1:
            nic.set_pairs(pairs)
        nics.append(nic)
    return nics


def exchange(nic, host, n, pair, tag):
    """A frame from PAIR of NIC N, by which the tap learns the flow, and the answer."""
    mac, flow = mac_of(n), 1000 + pair
    frame = udp_frame(HOST_MAC, mac, flow, 2000, b"out %d.%d " % (n, pair) + tag, from_guest=True)
    nic.send(pair, frame)
    host.expect(frame, f"frame of NIC {n}, pair {pair}, {tag.decode()}")
    frame = udp_frame(mac, HOST_MAC, 2000, flow, b"in %d.%d " % (n, pair) + tag)
    host.send(frame)
    nic.expect(pair, frame, f"frame to NIC {n}, pair {pair}, {tag.decode()}")


# ---- many ----

@case("virtio-net/scale/16-nics-of-8-pairs", needs=TUN)
def many_nics(t):
    vm = t.vm(*[a for n in range(NICS) for a in nic_args(n, PAIRS)])
    nics = drivers(vm, PAIRS)
    hosts = [Host(f"t{n}") for n in range(NICS)]
    for pair in range(PAIRS):
        for n in range(NICS):
            exchange(nics[n], hosts[n], n, pair, b"of many")
    names = list(vm.thread_names().values())
    ours = sum(name.startswith("IO ") for name in names)
    check(ours <= NICS * min(PAIRS, os.cpu_count()), f"{ours} iothreads on {os.cpu_count()} CPUs")
    check(len(names) - ours <= 4, f"threads besides: {sorted(name for name in names if not name.startswith('IO '))}")


@case("virtio-net/scale/128-pairs-with-an-iothread-each", needs=TUN)
def own_iothreads(t):
    name = "io{}.{}".format
    vm = t.vm(*iothread_args(name(n, p) for n in range(NICS) for p in range(PAIRS)),
              *[a for n in range(NICS) for a in nic_args(n, PAIRS, [name(n, p) for p in range(PAIRS)])], qmp=True)
    nics = drivers(vm, PAIRS)
    hosts = [Host(f"t{n}") for n in range(NICS)]
    queues = {(q["netdev"], q["pair"]): q for q in Qmp(vm.qmp_path).cmd("query-net-queues")}
    eq(len(queues), NICS * PAIRS, "pairs")
    eq(len({q["thread-id"] for q in queues.values()}), NICS * PAIRS, "threads that own pairs")
    for n in range(NICS):
        for pair in range(PAIRS):
            queue = queues[f"n{n}", pair]
            eq((queue["owner"], queue["iothread"]), ("iothread", name(n, pair)), f"owner of NIC {n}, pair {pair}")
            before = vm.thread_runs(queue["thread-id"])
            exchange(nics[n], hosts[n], n, pair, b"by its own thread")
            check(vm.thread_runs(queue["thread-id"]) > before, f"NIC {n}, pair {pair}: its thread did not run")
    threads = len(vm.thread_names())
    check(threads <= NICS * PAIRS + 4, f"{threads} threads for {NICS * PAIRS} iothreads")


# ---- beside a flood ----

class Flood:
    """Rings whose buffers are available again as soon as they are used."""

    def __init__(self, t, nic, pairs, receive=()):
        self.t, self.vm, self.nic = t, nic.vm, nic
        self.rings = [self.fill(nic.tx[p], False) for p in pairs] + [self.fill(nic.rx[p], True) for p in receive]
        self.start = {r.index: r.used_idx for r in self.rings}
        self.frames = {r.index: 0 for r in self.rings}
        self.children = [self.fork(self.pump)]
        self.kick()

    def fill(self, ring, into):
        """Every descriptor is a chain of its own; the available ring names them in turn."""
        frame = bytes(self.nic.hdr_len) + raw_frame(HOST_MAC, self.nic.mac(), b"flood", size=60)
        base = self.vm.alloc(ring.size * 2048 if into else len(frame), 64)
        if not into:
            self.vm.ram[base:base + len(frame)] = frame
        check(not ring.chains, f"queue {ring.index} has buffers of the case")
        for i in range(ring.size):
            ring.set_desc(i, base + 2048 * i * into, 2048 if into else len(frame), 2 if into else 0)
            self.vm.m16[(ring.avail + 4) // 2 + i] = i
        return ring

    def fork(self, func):
        pid = os.fork()
        if pid == 0:
            try:
                func()
            finally:
                os._exit(0)
        return pid

    def pump(self):
        """The process that makes them available."""
        m16 = self.vm.m16
        places = [(r.avail // 2 + 1, r.used // 2 + 1, r.size) for r in self.rings]
        while os.getppid() != 1:
            for avail, used, size in places:
                m16[avail] = m16[used] + size & 0xffff
            time.sleep(0.00002)

    def send_from(self, name, mac):
        """Another process sends to the guest without end."""
        def sender():
            s = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
            s.bind((name, 0))
            frames = [udp_frame(mac, HOST_MAC, 5000 + i, 6000, b"flood") for i in range(64)]
            while os.getppid() != 1:
                for frame in frames:
                    try:
                        s.send(frame)
                    except OSError:  # the interface's queue is full, or it is gone
                        time.sleep(0.0001)
        self.children.append(self.fork(sender))

    def kick(self):
        """For a ring that the pump found empty too late; notes how far each got."""
        t = self.nic.t
        self.vm.qtest.batch([f"writew {t.notify_at + t.notify_step * r.index:#x} {r.index}" for r in self.rings])
        for r in self.rings:
            now = r.used_idx
            self.frames[r.index] += now - self.start[r.index] & 0xffff
            self.start[r.index] = now

    def wait(self, n):
        """Until every ring moved N frames more."""
        goal = {index: moved + n for index, moved in self.frames.items()}

        def there():
            self.kick()
            return all(self.frames[index] >= goal[index] for index in goal)
        wait_for(there, f"{n} more frames in each of {len(goal)} flooding rings")

    def stop(self):
        for pid in self.children:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
        self.children = []


def beside_flood(t, work, pairs=2, all_pairs=False, receive=False):
    """One iothread has all pairs of two NICs; those of the first flood while WORK(nics, host of the second, flood)."""
    vm = t.vm(*iothread_args(["io0"]), *[a for n in range(2) for a in nic_args(n, pairs, ["io0"] * pairs)])
    nics = [Nic(Modern(pci)) for pci in find_virtio(vm)]
    for nic, posted in zip(nics, (0 if receive else 8, 64)):
        nic.start(MQ, pairs=pairs, posted=posted)
        nic.set_pairs(pairs)
    set_up("t0")
    host = Host("t1")
    flood = Flood(t, nics[0], range(pairs if all_pairs else 1), [0] if receive else [])
    try:
        if receive:
            flood.send_from("t0", mac_of(0))
        flood.wait(2000)
        work(nics, host, flood)
        flood.wait(2000)
        eq(nics[0].t.status & NEEDS_RESET, 0, "NEEDS_RESET of the flooding NIC")
    finally:
        flood.stop()


@case("virtio-net/fair/pairs-beside-a-flood-make-progress", needs=TUN)
def progress(t):
    def work(nics, host, flood):
        for i in range(40):
            exchange(nics[1], host, 1, i % 2, b"beside")
            flood.kick()
    beside_flood(t, work)


@case("virtio-net/fair/pairs-beside-a-flood-both-ways-make-progress", needs=TUN)
def progress_both(t):
    def work(nics, host, flood):
        for i in range(40):
            exchange(nics[1], host, 1, i % 2, b"beside")
            flood.kick()
    beside_flood(t, work, receive=True)


@case("virtio-net/fair/commands-while-all-pairs-flood", needs=TUN)
def commands(t):
    def work(nics, host, flood):
        for i in range(60):
            for nic in nics:
                eq(nic.command(CTRL_RX, 0, bytes((i % 2,))), OK, "promiscuous mode")
            flood.kick()
        for n in (1, 4, 3, 2, 4):
            for nic in nics:
                nic.set_pairs(n)
        exchange(nics[1], host, 1, 3, b"after commands")
    beside_flood(t, work, pairs=4, all_pairs=True)


def numbered(nic, pair, n):
    """Puts N frames of PAIR, which say whose they are and which, into its ring, not yet visible."""
    ring = nic.tx[pair]
    base = nic.vm.alloc(n * 128, 64)
    for i in range(n):
        data = bytes(12) + raw_frame(HOST_MAC, mac_of(0), struct.pack(">BI", pair, i), size=60)
        nic.vm.ram[base + 128 * i:base + 128 * i + len(data)] = data
        ring.offer(ring.add(out=[(base + 128 * i, len(data))]))


def full_rings(nic, host, pairs, frames):
    """Makes FRAMES frames of each pair visible at once; the order in which they came, as (pair, number)."""
    for pair in range(pairs):
        numbered(nic, pair, frames)
    for ring in nic.tx.values():
        ring.publish()
    t = nic.t
    nic.vm.qtest.batch([f"writew {t.notify_at + t.notify_step * r.index:#x} {r.index}" for r in nic.tx.values()])
    order = []
    while len(order) < pairs * frames:
        got = host.recv()
        check(got is not None, f"{len(order)} frames of {pairs * frames} came")
        order.append(struct.unpack_from(">BI", got, 14))
    for pair in range(pairs):
        eq([i for p, i in order if p == pair], list(range(frames)), f"order of pair {pair}")
        for _ in range(frames):
            nic.tx[pair].wait("a sent frame")
    return [pair for pair, _ in order]


@case("virtio-net/fair/full-rings-of-one-iothread-take-turns", needs=TUN)
def turns(t):
    """While all rings have frames, bursts are short and no pair gets two of them running."""
    pairs, frames = 3, 1000
    vm = t.vm(*iothread_args(["io0"]), *nic_args(0, pairs, ["io0"] * pairs, tx_queue_size=1024))
    nic = drivers(vm, pairs)[0]
    host = Host("t0")
    host.sock.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, 16 << 20)
    for _ in range(20):
        order = full_rings(nic, host, pairs, frames)
        # From when the last of them has begun to when the first has ended: each has as much to do as it may.
        first = max(order.index(pair) for pair in range(pairs))
        last = len(order) - 1 - max(order[::-1].index(pair) for pair in range(pairs))
        for pair in range(pairs):
            mine = [at for at in range(first, last + 1) if order[at] == pair]
            gap = max((b - a - 1 for a, b in zip(mine, mine[1:])), default=0)
            check(gap <= (pairs - 1) * BUDGET,
                  f"pair {pair} waited for {gap} frames of {pairs - 1} others, whose budget is {BUDGET} each")
        if last - first > 5 * pairs * BUDGET:
            return
    raise Failure("the pairs were never busy together")
