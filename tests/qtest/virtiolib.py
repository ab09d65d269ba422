# SPDX-License-Identifier: GPL-2.0-or-later
"""A guest driver for virtio over PCI: transports, split and packed rings, virtio-net."""

import collections
import struct
import time

from netlib import net_hdr
from qtestlib import CAP_VENDOR, QUIET_S, SCALE, Failure, check, eq, pci_scan, wait_for

ACKNOWLEDGE, DRIVER, DRIVER_OK, FEATURES_OK, NEEDS_RESET, FAILED = 1, 2, 4, 8, 0x40, 0x80
NO_VECTOR = 0xffff

F_CSUM, F_GUEST_CSUM, F_CTRL_GUEST_OFFLOADS, F_MTU, F_MAC, F_GSO = 0, 1, 2, 3, 5, 6
F_GUEST_TSO4, F_GUEST_TSO6, F_GUEST_ECN, F_GUEST_UFO = 7, 8, 9, 10
F_HOST_TSO4, F_HOST_TSO6, F_HOST_ECN, F_HOST_UFO = 11, 12, 13, 14
F_MRG_RXBUF, F_STATUS, F_CTRL_VQ, F_CTRL_RX, F_CTRL_VLAN, F_CTRL_RX_EXTRA = 15, 16, 17, 18, 19, 20
F_GUEST_ANNOUNCE, F_MQ, F_CTRL_MAC_ADDR = 21, 22, 23
F_NOTIFY_ON_EMPTY, F_ANY_LAYOUT, F_INDIRECT, F_EVENT_IDX, F_VERSION_1 = 24, 27, 28, 29, 32
F_RING_RESET, F_SPEED_DUPLEX = 40, 63
F_GUEST_USO4, F_GUEST_USO6, F_HOST_USO, F_GUEST_HDRLEN = 54, 55, 56, 59
F_HASH_REPORT, F_RSS = 57, 60

F_PACKED, F_IN_ORDER = 34, 35

NEXT, WRITE, INDIRECT = 1, 2, 4
AVAIL, USED = 1 << 7, 1 << 15  # in packed rings
ENABLE, DISABLE, AT_POSITION = range(3)
CTRL_RX, CTRL_MAC, CTRL_VLAN, CTRL_ANNOUNCE, CTRL_MQ, CTRL_OFFLOADS = range(6)
OK, ERR = 0, 1


def bits(*numbers):
    return sum(1 << n for n in numbers)


class Ring:
    """A split virtqueue in guest RAM."""

    def __init__(self, transport, index, size, desc, avail, used):
        self.transport, self.index, self.size = transport, index, size
        self.vm = transport.vm
        self.desc, self.avail, self.used = desc, avail, used
        self.free = list(range(size))
        self.chains = {}  # head: (descriptors, tag)
        self.avail_idx = self.seen = 0
        self.event_idx = False
        self.indirect_tables = {}
        self.in_order = bool(transport.accepted & bits(F_IN_ORDER))
        self.order = collections.deque()  # in order: heads offered
        self.run = collections.deque()    # in order: used by the element last read, not taken yet
        self.room = {}                    # head: bytes that the device may write

    def set_desc(self, i, addr, length, flags=0, following=0, table=None):
        struct.pack_into("<QIHH", self.vm.ram, (self.desc if table is None else table) + 16 * i, addr, length, flags,
                         following)

    def add(self, out=(), into=(), tag=None, indirect=False):
        """Puts a chain of (address, length) into the table; its head."""
        parts = [(a, n, 0) for a, n in out] + [(a, n, WRITE) for a, n in into]
        if indirect:
            head = self.free_desc()
            self.room[head] = sum(n for _, n in into)
            table = self.vm.alloc(16 * len(parts))
            for i, (a, n, flags) in enumerate(parts):
                self.set_desc(i, a, n, flags | (NEXT if i + 1 < len(parts) else 0), i + 1, table)
            self.set_desc(head, table, 16 * len(parts), INDIRECT)
            self.chains[head] = ([head], tag)
            return head
        check(len(self.free) >= len(parts), "the case overfills a ring")
        ids = [self.free_desc() for _ in parts]
        self.room[ids[0]] = sum(n for _, n in into)
        for k, (a, n, flags) in enumerate(parts):
            more = k + 1 < len(parts)
            self.set_desc(ids[k], a, n, flags | (NEXT if more else 0), ids[k + 1] if more else 0)
        self.chains[ids[0]] = (ids, tag)
        return ids[0]

    def free_desc(self):
        """A free descriptor: with in-order use they go round (2.7.9)."""
        return self.free.pop(0 if self.in_order else -1)

    def offer(self, head):
        """Puts HEAD into the available ring, not yet visible."""
        self.vm.m16[(self.avail + 4) // 2 + self.avail_idx % self.size] = head
        self.avail_idx = self.avail_idx + 1 & 0xffff
        if self.in_order:
            self.order.append(head)

    def publish(self):
        self.vm.m16[self.avail // 2 + 1] = self.avail_idx

    def kick(self):
        self.transport.notify(self.index)

    def push(self, head):
        self.offer(head)
        self.publish()
        self.kick()

    @property
    def used_idx(self):
        return self.vm.m16[self.used // 2 + 1]

    def set_used_event(self, value):
        self.vm.m16[(self.avail + 4) // 2 + self.size] = value & 0xffff

    @property
    def avail_event(self):
        return self.vm.m16[(self.used + 4) // 2 + 4 * self.size]

    def suppress_interrupts(self, on):
        self.vm.m16[self.avail // 2] = int(on)

    def take(self):
        """The next used chain as (head, written, tag), or None."""
        if self.in_order:
            if not self.run and not self.take_run():
                return None
            head, written = self.run.popleft()
        else:
            if self.used_idx == self.seen:
                return None
            at = (self.used + 4) // 4 + 2 * (self.seen % self.size)
            head, written = self.vm.m32[at], self.vm.m32[at + 1]
        self.seen = self.seen + 1 & 0xffff
        check(head in self.chains, f"queue {self.index}: used id {head} was not available")
        ids, tag = self.chains.pop(head)
        self.free += ids
        return head, written, tag

    def take_run(self):
        """An element stands for all chains up to the one it names; those before were used to the end (2.7.9)."""
        if self.used_idx == self.seen:
            return False
        at = (self.used + 4) // 4 + 2 * (self.seen % self.size)
        last, written = self.vm.m32[at], self.vm.m32[at + 1]
        run_up_to(self, last, written, self.run)
        check(len(self.run) <= (self.used_idx - self.seen & 0xffff),
              f"queue {self.index}: used id {last} is further ahead than the used index")
        return True

    def wait(self, what="a used buffer"):
        return wait_for(self.take, f"{what} in queue {self.index}")


def run_up_to(ring, last, written, run):
    """Moves the chains of RING up to LAST from those offered to RUN."""
    check(last in ring.order, f"queue {ring.index}: used id {last} was not available")
    while True:
        head = ring.order.popleft()
        run.append((head, written if head == last else ring.room[head]))
        if head == last:
            return


class PackedRing:
    """A packed virtqueue in guest RAM (VIRTIO 1.2, 2.8), to be used as a Ring. Indices count chains."""

    strict = True  # the length of what was not written is 0, although it is reserved (2.8.8)

    def __init__(self, transport, index, size, desc, avail, used):
        self.transport, self.index, self.size = transport, index, size
        self.vm = transport.vm
        self.desc, self.avail, self.used = desc, avail, used  # the last two: event suppression
        self.free = list(range(size))  # ids
        self.slots = size              # that are ours
        self.chains = {}               # id: (parts, tag)
        self.room = {}
        self.next, self.wrap = 0, 1
        self.used_slot, self.used_wrap = 0, 1
        self.avail_idx = self.seen = self.found = 0
        self.hidden = None             # where and what the flags are that make the burst visible
        self.in_order = bool(transport.accepted & bits(F_IN_ORDER))
        self.order = collections.deque()
        self.run = collections.deque()
        self.runs = 0                  # used descriptors that stood for several chains

    def write_desc(self, slot, addr, length, ident, flags):
        """A descriptor, its flags last."""
        struct.pack_into("<QIH", self.vm.ram, self.desc + 16 * slot, addr, length, ident)
        self.vm.m16[(self.desc + 16 * slot + 14) // 2] = flags

    def add(self, out=(), into=(), tag=None, indirect=False):
        """Notes a chain of (address, length); its id."""
        parts = [(a, n, 0) for a, n in out] + [(a, n, WRITE) for a, n in into]
        if indirect:
            table = self.vm.alloc(16 * len(parts))
            for i, (a, n, flags) in enumerate(parts):
                struct.pack_into("<QIHH", self.vm.ram, table + 16 * i, a, n, 0, flags)
            parts = [(table, 16 * len(parts), INDIRECT)]
        check(self.slots >= len(parts), "the case overfills a ring")
        ident = self.free.pop(0)
        self.slots -= len(parts)
        self.chains[ident] = (parts, tag)
        self.room[ident] = sum(n for _, n in into)
        return ident

    def offer(self, ident):
        """Writes the chain, visible only if another before it is not."""
        parts = self.chains[ident][0]
        for i, (addr, length, flags) in enumerate(parts):
            flags |= (NEXT if i + 1 < len(parts) else 0) | (AVAIL if self.wrap else USED)
            if self.hidden is None:
                self.hidden = self.next, flags
                struct.pack_into("<QIH", self.vm.ram, self.desc + 16 * self.next, addr, length, ident)
            else:
                self.write_desc(self.next, addr, length, ident, flags)
            self.next += 1
            if self.next == self.size:
                self.next, self.wrap = 0, self.wrap ^ 1
        if self.in_order:
            self.order.append(ident)
        self.avail_idx = self.avail_idx + 1 & 0xffff

    def publish(self):
        if self.hidden is not None:
            slot, flags = self.hidden
            self.hidden = None
            self.vm.m16[(self.desc + 16 * slot + 14) // 2] = flags

    def kick(self):
        self.transport.notify(self.index)

    def push(self, ident):
        self.offer(ident)
        self.publish()
        self.kick()

    def poll(self):
        """Reads used descriptors as far as there are any."""
        while True:
            at = self.desc + 16 * self.used_slot
            flags = self.vm.m16[(at + 14) // 2]
            if flags & (AVAIL | USED) != (AVAIL | USED if self.used_wrap else 0):
                return
            length, ident = struct.unpack_from("<IH", self.vm.ram, at + 8)
            check(ident in self.chains, f"queue {self.index}: used id {ident} was not available")
            if self.strict:
                eq(bool(flags & WRITE), length != 0, f"queue {self.index}: write flag of a used descriptor")
            length = length if flags & WRITE else 0
            before = len(self.run)
            if self.in_order:
                run_up_to(self, ident, length, self.run)
            else:
                self.run.append((ident, length))
            new = len(self.run) - before
            self.runs += new > 1
            self.found = self.found + new & 0xffff
            for i in range(before, before + new):
                self.used_slot += len(self.chains[self.run[i][0]][0])
            if self.used_slot >= self.size:
                self.used_slot -= self.size
                self.used_wrap ^= 1

    @property
    def used_idx(self):
        self.poll()
        return self.found

    def set_event(self, mode, slot=0, wrap=0):
        """The driver's event suppression (2.8.14)."""
        self.vm.m32[self.avail // 4] = slot | wrap << 15 | mode << 16

    @property
    def device_event(self):
        """(mode, slot, wrap counter) of the device's."""
        word = self.vm.m32[self.used // 4]
        return word >> 16, word & 0x7fff, word >> 15 & 1

    def suppress_interrupts(self, on):
        self.set_event(DISABLE if on else ENABLE)

    def take(self):
        """The next used chain as (id, written, tag), or None."""
        if not self.run:
            self.poll()
        if not self.run:
            return None
        ident, written = self.run.popleft()
        self.seen = self.seen + 1 & 0xffff
        parts, tag = self.chains.pop(ident)
        self.free.append(ident)
        self.slots += len(parts)
        return ident, written, tag

    def wait(self, what="a used buffer"):
        return wait_for(self.take, f"{what} in queue {self.index}")


class Modern:
    """The registers of VIRTIO 1.2, 4.1.4."""

    legacy = False

    def __init__(self, pci):
        self.pci, self.vm = pci, pci.vm
        self.accepted = 0
        self.common = self.isr = self.device = self.notify_at = None
        for kind, at in pci.capabilities():
            if kind != CAP_VENDOR:
                continue
            cfg_type, bar, offset = pci.read(at + 3, 1), pci.read(at + 4, 1), pci.read(at + 8, 4)
            addr = pci.bars[bar].addr + offset if bar in pci.bars else None
            if cfg_type == 1:
                self.common = addr
            elif cfg_type == 2 and self.notify_at is None:
                self.notify_at, self.notify_step = addr, pci.read(at + 16, 4)
                self.notify_port = pci.bars[bar].port
            elif cfg_type == 3:
                self.isr = addr
            elif cfg_type == 4:
                self.device = addr
        check(None not in (self.common, self.isr, self.device, self.notify_at), "virtio capabilities are missing")

    def get(self, offset, size):
        return self.vm.read(self.common + offset, size)

    def set(self, offset, size, value):
        self.vm.write(self.common + offset, size, value)

    @property
    def status(self):
        return self.get(0x14, 1)

    @status.setter
    def status(self, value):
        self.set(0x14, 1, value)

    def add_status(self, value):
        self.status = self.status | value
        return self.status

    def reset(self):
        self.status = 0
        wait_for(lambda: self.status == 0, "reset")

    def offered(self):
        words = []
        for i in range(2):
            self.set(0, 4, i)
            words.append(self.get(4, 4))
        return words[0] | words[1] << 32

    def accept(self, features):
        self.accepted = features
        for i in range(2):
            self.set(8, 4, i)
            self.set(12, 4, features >> 32 * i & 0xffffffff)

    def negotiate(self, features):
        """Reset to FEATURES_OK; true when the device took them."""
        self.reset()
        self.add_status(ACKNOWLEDGE)
        self.add_status(DRIVER)
        self.accept(features)
        return bool(self.add_status(FEATURES_OK) & FEATURES_OK)

    def config(self, offset, size):
        return self.vm.read(self.device + offset, size)

    def n_queues(self):
        return self.get(0x12, 2)

    def select(self, index):
        self.set(0x16, 2, index)

    def set_config_vector(self, vector):
        self.set(0x10, 2, vector)
        return self.get(0x10, 2)

    def set_vector(self, index, vector):
        self.select(index)
        self.set(0x1a, 2, vector)
        return self.get(0x1a, 2)

    def read_isr(self):
        return self.vm.read(self.isr, 1)

    def ring_commands(self, index, size, desc, avail, used):
        c = self.common
        commands = [f"writew {c + 0x16:#x} {index}", f"writew {c + 0x18:#x} {size}"]
        for at, value in ((0x20, desc), (0x28, avail), (0x30, used)):
            commands += [f"writel {c + at:#x} {value & 0xffffffff:#x}", f"writel {c + at + 4:#x} {value >> 32:#x}"]
        return commands

    def set_ring(self, index, size, desc, avail, used):
        """Size and addresses as they are, without a look at them."""
        self.vm.qtest.batch(self.ring_commands(index, size, desc, avail, used))

    def make_ring(self, index, size=None, vector=None, enable=True):
        self.select(index)
        most = self.get(0x18, 2)
        check(most, f"queue {index} does not exist")
        size = size or most
        if self.accepted & bits(F_PACKED):
            ring = PackedRing(self, index, size, self.vm.alloc(16 * size, 16), self.vm.alloc(4, 4),
                              self.vm.alloc(4, 4))
        else:
            ring = Ring(self, index, size, self.vm.alloc(16 * size, 16), self.vm.alloc(6 + 2 * size, 2),
                        self.vm.alloc(6 + 8 * size, 4))
        commands = self.ring_commands(index, size, ring.desc, ring.avail, ring.used)
        if vector is not None:
            commands.append(f"writew {self.common + 0x1a:#x} {vector}")
        if enable:
            commands.append(f"writew {self.common + 0x1c:#x} 1")
        self.vm.qtest.batch(commands)
        if vector is not None:
            eq(self.get(0x1a, 2), vector, f"vector of queue {index}")
        return ring

    def enable(self, index):
        self.select(index)
        self.set(0x1c, 2, 1)
        return self.get(0x1c, 2)

    def queue_reset(self, index):
        self.select(index)
        self.set(0x3a, 2, 1)
        wait_for(lambda: self.get(0x3a, 2) == 0, f"reset of queue {index}")
        eq(self.get(0x1c, 2), 0, "queue_enable after queue_reset")

    def notify(self, index):
        store = self.vm.port_out if self.notify_port else self.vm.write
        store(self.notify_at + self.notify_step * index, 2, index)


class Legacy:
    """The registers of VIRTIO 1.2, 4.1.4.10."""

    legacy = True
    accepted = 0  # of the features that rings follow from

    def __init__(self, pci):
        self.pci, self.vm = pci, pci.vm
        check(0 in pci.bars and pci.bars[0].port, "no legacy port BAR")
        self.base = pci.bars[0].addr
        self.msix = False

    def get(self, offset, size):
        return self.vm.port_in(self.base + offset, size)

    def set(self, offset, size, value):
        self.vm.port_out(self.base + offset, size, value)

    @property
    def status(self):
        return self.get(18, 1)

    @status.setter
    def status(self, value):
        self.set(18, 1, value)

    def add_status(self, value):
        self.status = self.status | value
        return self.status

    def reset(self):
        self.status = 0

    def offered(self):
        return self.get(0, 4)

    def negotiate(self, features):
        self.reset()
        self.add_status(ACKNOWLEDGE)
        self.add_status(DRIVER)
        self.set(4, 4, features & 0xffffffff)
        return True

    def config(self, offset, size):
        return self.get((24 if self.msix else 20) + offset, size)

    def select(self, index):
        self.set(14, 2, index)

    def set_config_vector(self, vector):
        self.set(20, 2, vector)
        return self.get(20, 2)

    def set_vector(self, index, vector):
        self.select(index)
        self.set(22, 2, vector)
        return self.get(22, 2)

    def read_isr(self):
        return self.get(19, 1)

    def make_ring(self, index, size=None, vector=None, enable=True):
        self.select(index)
        size = self.get(12, 2)
        check(size, f"queue {index} does not exist")
        avail = 16 * size
        used = (avail + 6 + 2 * size + 4095) & -4096
        base = self.vm.alloc(used + 6 + 8 * size, 4096)
        if vector is not None:
            eq(self.set_vector(index, vector), vector, f"vector of queue {index}")
        if enable:
            self.set(8, 4, base >> 12)
        return Ring(self, index, size, base, base + avail, base + used)

    def notify(self, index):
        self.set(16, 2, index)


MAC = bytes.fromhex("525400123456")
MAC_TEXT = "52:54:00:12:34:56"
BASIC = bits(F_MAC, F_STATUS, F_MRG_RXBUF, F_VERSION_1)
CTRL = bits(F_CTRL_VQ, F_CTRL_RX, F_CTRL_RX_EXTRA, F_CTRL_MAC_ADDR)
RX_SIZE = 2048


def find_virtio(vm):
    """The virtio functions, enabled."""
    found = [d for d in pci_scan(vm) if d.read(0, 2) == 0x1af4]
    for d in found:
        d.enable()
    return found


class Nic:
    """A virtio-net driver on a transport."""

    def __init__(self, transport):
        self.t, self.vm, self.pci = transport, transport.vm, transport.pci
        self.rx, self.tx, self.ctrl = {}, {}, None
        self.features = 0
        self.hdr_len = 12
        self.vectors = False
        self.tx_buf = self.vm.alloc(1 << 17, 4096)

    def start(self, features=BASIC, pairs=1, want_ctrl=None, vectors=False, posted=32, size=None, rx_size=RX_SIZE,
              driver_ok=True, shared_vector=False):
        """Reset to DRIVER_OK. VECTORS: vector 0 for the configuration, 1 + i for queue i."""
        check(self.t.negotiate(features), f"the device refuses features {features:#x}")
        self.features = features
        self.hdr_len = (20 if features & bits(F_HASH_REPORT) else
                        12 if not self.t.legacy or features & bits(F_MRG_RXBUF) else 10)
        self.vectors = vectors
        if vectors:
            eq(self.t.set_config_vector(0), 0, "configuration vector")
        vector = (lambda q: 1 if shared_vector else 1 + q) if vectors else lambda q: None
        self.rx, self.tx, self.ctrl = {}, {}, None
        for i in range(pairs):
            self.rx[i] = self.t.make_ring(2 * i, size, vector(2 * i))
            self.tx[i] = self.t.make_ring(2 * i + 1, size, vector(2 * i + 1))
        if want_ctrl if want_ctrl is not None else features & bits(F_CTRL_VQ):
            at = 2 * self.max_pairs() if features & bits(F_MQ) else 2
            self.ctrl = self.t.make_ring(at, None, vector(at))
        for i in range(pairs):
            self.post(i, posted, rx_size, kick=False)
        if driver_ok:
            self.t.add_status(DRIVER_OK)
            eq(self.t.status & NEEDS_RESET, 0, "NEEDS_RESET after DRIVER_OK")
            for ring in self.rx.values():
                ring.kick()
        return self

    def max_pairs(self):
        return self.t.config(8, 2)

    def mac(self):
        return bytes(self.t.config(i, 1) for i in range(6))

    def status_field(self):
        return self.t.config(6, 2)

    # ---- frames ----

    def post(self, pair, n, size=RX_SIZE, kick=True):
        ring = self.rx[pair]
        base = self.vm.alloc(n * size, 64)
        for i in range(n):
            at = base + i * size
            ring.offer(ring.add(into=[(at, size)], tag=(at, size)))
        ring.publish()
        if kick:
            ring.kick()

    def repost(self, pair, at, size):
        ring = self.rx[pair]
        ring.push(ring.add(into=[(at, size)], tag=(at, size)))

    def recv(self, pair, wait=True, what="a frame"):
        """(header, frame) of the next received frame; None when WAIT is false and none is there."""
        ring = self.rx[pair]
        first = ring.wait(what) if wait else ring.take()
        if first is None:
            return None
        used = [first]
        _, written, (at, size) = first
        check(self.hdr_len <= written <= size, f"{written} bytes written into a buffer of {size}")
        hdr = bytes(self.vm.ram[at:at + self.hdr_len])
        n = struct.unpack_from("<H", hdr, 10)[0] if self.hdr_len >= 12 else 1
        check(n >= 1, "num_buffers is 0")
        used += [ring.wait("the rest of a frame") for _ in range(n - 1)]
        data = b"".join(bytes(self.vm.ram[a:a + w]) for _, w, (a, _) in used)
        for _, _, (a, s) in used:
            self.repost(pair, a, s)
        return hdr, data[self.hdr_len:]

    def send(self, pair, frame, hdr=None, wait=True, pieces=1, indirect=False):
        """Sends one frame in PIECES buffers after the header's."""
        ring = self.tx[pair]
        if wait:
            base = self.tx_buf
        else:
            base = self.vm.alloc(len(frame) + 64)
        hdr = (hdr or net_hdr()).ljust(self.hdr_len, b"\0")
        self.vm.ram[base:base + len(hdr) + len(frame)] = hdr + frame
        step = max(1, -(-len(frame) // pieces))
        parts = [(base, len(hdr))]
        parts += [(base + len(hdr) + i, min(step, len(frame) - i)) for i in range(0, len(frame), step)]
        ring.push(ring.add(out=parts, indirect=indirect))
        if wait:
            _, written, _ = ring.wait("a sent frame")
            eq(written, 0, "used length of a sent frame")

    def expect(self, pair, frame, what):
        got = self.recv(pair, what=what)[1]
        if got != frame:
            raise Failure(f"{what}: {len(got)} bytes {got[:60].hex()}, expected {len(frame)} bytes {frame[:60].hex()}")

    def both_ways(self, host, pair=0, mac=MAC, n=3, tag=b""):
        """Frames of several sizes in both directions, byte for byte."""
        from netlib import HOST_MAC, raw_frame
        for i in range(n):
            size = (60, 61, 1514)[i % 3]
            frame = raw_frame(HOST_MAC, mac, b"tx%d" % i + tag, size=size)
            self.send(pair, frame, pieces=1 + i % 3)
            host.expect(frame, f"frame {i} of {size} bytes from the guest")
            frame = raw_frame(mac, HOST_MAC, b"rx%d" % i + tag, size=size)
            host.send(frame)
            self.expect(pair, frame, f"frame {i} of {size} bytes to the guest")

    # ---- control queue ----

    def command(self, cls, cmd, data=b"", split=True):
        """One command; its acknowledgement."""
        base = self.vm.alloc(16 + len(data) + 16)
        self.vm.ram[base:base + 2 + len(data)] = bytes((cls, cmd)) + data
        ack = base + 2 + len(data)
        self.vm.ram[ack] = 0xee
        out = [(base, 2)] + ([(base + 2, len(data))] if data else []) if split else [(base, 2 + len(data))]
        self.ctrl.push(self.ctrl.add(out=out, into=[(ack, 1)]))
        _, written, _ = self.ctrl.wait("an acknowledged command")
        eq(written, 1, "used length of a command")
        return self.vm.ram[ack]

    def set_pairs(self, n):
        eq(self.command(CTRL_MQ, 0, struct.pack("<H", n)), OK, f"VQ_PAIRS_SET {n}")

    # ---- faults ----

    def wait_broken(self, what):
        wait_for(lambda: self.t.status & NEEDS_RESET, f"NEEDS_RESET after {what}")
        if self.vectors:
            self.pci.msix_wait(0, "configuration interrupt")

    def healthy(self):
        time.sleep(QUIET_S * SCALE)
        return not self.t.status & NEEDS_RESET


def tap_args(name="t0", queues=1, nic="virtio-net-pci", ident="n0", nic_opts="", tap_opts="", mac=MAC_TEXT):
    """Options of a NIC on a tap of its own."""
    q = f",queues={queues}" if queues > 1 else ""
    mq = ",mq=on" if queues > 1 else ""
    return ["-netdev", f"tap,id={ident},ifname={name},script=no,downscript=no{q}{tap_opts}",
            "-device", f"{nic},netdev={ident},mac={mac}{mq}{nic_opts}"]
