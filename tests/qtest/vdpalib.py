# SPDX-License-Identifier: GPL-2.0-or-later
"""A vDPA network device that does what a case tells it, wrong things too: behind a file that vdpa-preload.c, inside the
emulator, makes one of <linux/vhost.h>'s vhost-vdpa devices.

Rings and frames are those of vhostuserlib.Backend; what is different is how a front-end speaks to it. It is strict: what
was not mapped is no memory, what was said in an order that the kernel does not allow is an error, a kick before DRIVER_OK
is none.
"""

import errno
import os
import struct
from pathlib import Path

from qtestlib import Failure, Skip, check
from vhostuserlib import USUAL, Backend
from virtiolib import (AVAIL, DRIVER_OK, F_CTRL_GUEST_OFFLOADS, F_CTRL_MAC_ADDR, F_CTRL_RX, F_CTRL_RX_EXTRA, F_CTRL_VLAN,
                       F_CTRL_VQ, F_EVENT_IDX, F_GUEST_CSUM, F_GUEST_TSO4, F_INDIRECT, F_MAC, F_MQ, F_MRG_RXBUF, F_PACKED,
                       F_STATUS, F_VERSION_1, FEATURES_OK, MAC, NEEDS_RESET, NEXT, USED, WRITE, bits)

F_ACCESS_PLATFORM = 33
B_MSG_V2, B_BATCH, B_SUSPEND, B_ENABLE_AFTER_DRIVER_OK = 1, 2, 4, 6

CTRL_FEATURES = bits(F_CTRL_VQ, F_CTRL_RX, F_CTRL_RX_EXTRA, F_CTRL_VLAN, F_CTRL_MAC_ADDR, F_CTRL_GUEST_OFFLOADS, F_MQ)
FEATURES = CTRL_FEATURES | bits(F_VERSION_1, F_ACCESS_PLATFORM, F_MRG_RXBUF, F_INDIRECT, F_EVENT_IDX, F_MAC, F_STATUS,
                                F_GUEST_CSUM, F_GUEST_TSO4)
BACKEND = bits(B_MSG_V2, B_BATCH, B_SUSPEND)

VHOST = {0x00: "GET_FEATURES", 0x01: "SET_OWNER", 0x10: "SET_VRING_NUM", 0x11: "SET_VRING_ADDR", 0x12: "VRING_BASE",
         0x20: "SET_VRING_KICK", 0x21: "SET_VRING_CALL", 0x22: "SET_VRING_ERR", 0x25: "SET_BACKEND_FEATURES",
         0x26: "GET_BACKEND_FEATURES", 0x70: "GET_DEVICE_ID", 0x71: "GET_STATUS", 0x72: "SET_STATUS",
         0x73: "GET_CONFIG", 0x75: "SET_VRING_ENABLE", 0x76: "GET_VRING_NUM", 0x77: "SET_CONFIG_CALL",
         0x78: "GET_IOVA_RANGE", 0x80: "GET_VQS_COUNT", 0x7d: "SUSPEND"}
UPDATE, INVALIDATE, BATCH_BEGIN, BATCH_END = 2, 3, 5, 6


class Refusal(Exception):
    """The request fails with this error number."""


class Request:
    """What came: its name, its bytes, a descriptor or none."""

    def __init__(self, name, payload, fds):
        self.name, self.payload, self.fds = name, payload, fds

    @property
    def pair(self):
        """The two numbers that requests about a ring have."""
        return struct.unpack_from("<Ii", self.payload)

    def __repr__(self):
        return f"{self.name}({self.payload.hex()})"


def preload(test):
    """The library, beside the emulator."""
    found = list((Path(test.emulator).resolve().parent / "tests/qtest").glob("libvdpa-preload.so"))
    if not found:
        raise Skip("vdpa-preload is not built beside the emulator")
    return str(found[0])


class Device(Backend):
    """ANSWERS: a request's name to a function (device, request) that returns the answer's bytes, USUAL, or raises
    Refusal."""

    def __init__(self, test, pairs=2, features=FEATURES, backend=BACKEND, answers=None, mac=MAC, mtu=0, ring_max=1024,
                 iova=(0, (1 << 64) - 1), device_id=1):
        self.test, self.backend_features, self.iova, self.device_id = test, backend, iova, device_id
        self.mac, self.config_mtu, self.ring_max = mac, mtu, ring_max
        self.vm = None
        self.maps = []               # (address, bytes, address in the emulator)
        self.batch = False
        self.commands = []           # of the control queue: (class, command, data)
        self.refuse = set()          # classes of commands that are refused
        self.mute = False            # commands are not answered
        self.used_id = None          # what answers to commands say that they answer
        self.config_call = None
        self.suspended = False
        self.kicks_dropped = 0
        self.file = test.dir / "vhost-vdpa-0"
        self.file.touch()
        super().__init__(test.dir / "vdpa.sock", pairs=pairs + 1, features=features, answers=answers)
        self.pairs_told = pairs

    def start_vm(self, *args, **kw):
        """An emulator that finds the device."""
        mine = {"LD_PRELOAD": preload(self.test), "VDPA_FILE": str(self.file), "VDPA_SOCKET": self.path}
        os.environ.update(mine)
        try:
            self.vm = self.test.vm(*args, **kw)
        finally:
            for name in mine:
                del os.environ[name]
        return self.vm

    def forget(self):
        super().forget()
        self.maps, self.batch, self.status, self.suspended = [], False, 0, False

    # ---- requests ----

    def serve(self):
        head, fds = self.read_exactly(12)
        if head is None:
            self.drop_connection()
            return
        number, size, _ = struct.unpack("<III", head)
        payload, more = self.read_exactly(size) if size else (b"", [])
        if payload is None:
            self.drop_connection()
            return
        name = VHOST.get(number & 0xff, f"request {number:#x}") if number else "MESSAGE"
        if name == "VRING_BASE":
            name = ("GET_" if number >> 30 & 2 else "SET_") + name
        if number & 0xff == 0 and number >> 30 == 1:
            name = "SET_FEATURES"
        request = Request(name, payload, fds + more)
        self.messages.append(request)
        try:
            answer = self.answers.get(name, lambda *_: USUAL)(self, request)
            if answer is USUAL:
                answer = getattr(self, name.lower())(request)
            result = size if name == "MESSAGE" else 0
        except Refusal as e:
            answer, result = None, -e.args[0]
        self.close_fds(request)
        self.sock.sendall(struct.pack("<iI", result, len(answer or b"")) + (answer or b""))

    def set_owner(self, _):
        self.maps, self.status = [], 0

    def get_features(self, _):
        return struct.pack("<Q", self.features)

    def set_features(self, r):
        self.accepted = struct.unpack("<Q", r.payload)[0]
        check(not self.status & FEATURES_OK, "SET_FEATURES after FEATURES_OK")
        check(not self.accepted & ~self.features, f"features {self.accepted & ~self.features:#x}, which it does not have")
        if self.features & bits(F_ACCESS_PLATFORM) and not self.accepted & bits(F_ACCESS_PLATFORM):
            raise Refusal(errno.EINVAL)

    def get_backend_features(self, _):
        return struct.pack("<Q", self.backend_features)

    def set_backend_features(self, r):
        check(not struct.unpack("<Q", r.payload)[0] & ~self.backend_features, "back-end features that were not offered")

    def get_device_id(self, _):
        return struct.pack("<I", self.device_id)

    def get_status(self, _):
        return bytes([self.status])

    def set_status(self, r):
        status = r.payload[0]
        if not status:
            for ring in self.rings:
                ring.enabled = ring.started = False
                ring.base = 0
            self.status, self.suspended, self.accepted = 0, False, 0
            return
        check(not self.status & ~status, f"status {self.status:#x} to {status:#x} without a reset")
        if status & DRIVER_OK and not self.status & DRIVER_OK:
            self.drop_kicks()
            for i, ring in enumerate(self.rings):
                if ring.num and ring.kick is not None and not (self.accepted & bits(F_CTRL_VQ) and
                                                               i == self.ctrl_index()):
                    ring.map_parts()
        self.status = status

    def drop_kicks(self):
        """Nobody looked at those that came too early."""
        for ring in self.rings:
            if ring.kick is not None:
                try:
                    os.eventfd_read(ring.kick)
                    self.kicks_dropped += 1
                except BlockingIOError:
                    pass
            ring.started = False

    def get_config(self, r):
        off, length = struct.unpack_from("<II", r.payload)
        config = self.mac + struct.pack("<HHH", int(self.link), self.pairs_told, self.config_mtu)
        if off + length > len(config):
            raise Refusal(errno.E2BIG)
        return config[off:off + length]

    def set_config_call(self, r):
        if self.config_call is not None:
            os.close(self.config_call)
        self.config_call = r.fds.pop() if r.fds else None

    def get_vring_num(self, _):
        return struct.pack("<H", self.ring_max)

    def get_vqs_count(self, _):
        return struct.pack("<I", 2 * self.pairs_told + 1)

    def get_iova_range(self, _):
        return struct.pack("<QQ", *self.iova)

    def suspend(self, _):
        check(self.status & DRIVER_OK, "SUSPEND of a device that does not run")
        self.suspended = True

    # ---- rings ----

    def ring(self, index):
        check(index < len(self.rings), f"ring {index} is not there")
        return self.rings[index]

    def set_vring_num(self, r):
        index, num = r.pair
        check(0 < num <= self.ring_max, f"ring {index} of {num} entries")
        self.ring(index).num = num

    def set_vring_base(self, r):
        index, base = r.pair
        self.ring(index).base = base & 0xffff

    def get_vring_base(self, r):
        index, _ = r.pair
        check(self.suspended, "GET_VRING_BASE of a device that was not suspended")
        return struct.pack("<II", index, self.ring(index).base)

    def set_vring_addr(self, r):
        index, flags, desc, used, avail, _ = struct.unpack("<IIQQQQ", r.payload)
        self.ring(index).addresses, self.ring(index).flags = (desc, used, avail), flags

    def set_file(self, r, what):
        index, _ = r.pair
        ring = self.ring(index)
        old = getattr(ring, what)
        if old is not None:
            os.close(old)
        setattr(ring, what, r.fds.pop() if r.fds else None)

    def set_vring_kick(self, r):
        self.set_file(r, "kick")

    def set_vring_call(self, r):
        self.set_file(r, "call")

    def set_vring_err(self, r):
        self.set_file(r, "err")

    def set_vring_enable(self, r):
        index, on = r.pair
        check(on == 1, "a ring that is disabled")
        late = self.status & DRIVER_OK and not self.backend_features & bits(B_ENABLE_AFTER_DRIVER_OK)
        check(not late, "a ring that is enabled after DRIVER_OK")
        self.ring(index).enabled = True

    # ---- memory ----

    def message(self, r):
        kind, asid, iova, size, uaddr, perm, what = struct.unpack_from("<IIQQQBB", r.payload)
        check((kind, asid) == (2, 0), f"message of type {kind} for address space {asid}")
        if what in (BATCH_BEGIN, BATCH_END):
            check(self.backend_features & bits(B_BATCH), "a batch, which it does not offer")
            check(self.batch == (what == BATCH_END), "a batch in a batch, or an end without a begin")
            self.batch = not self.batch
            return
        if what == INVALIDATE:
            check([m for m in self.maps if m[:2] == (iova, size)], f"no mapping of {size} bytes at {iova:#x}")
            self.maps = [m for m in self.maps if m[:2] != (iova, size)]
            return
        check(what == UPDATE and perm == 3 and not (iova | size | uaddr) & 0xfff, "mapping of no whole pages")
        check(self.iova[0] <= iova and iova + size - 1 <= self.iova[1], f"address {iova:#x} is out of range")
        check(not any(iova < a + n and a < iova + size for a, n, _ in self.maps), f"{iova:#x} is mapped already")
        self.maps.append((iova, size, uaddr))

    def translate(self, addr, size):
        for iova, length, uaddr in self.maps:
            if iova <= addr and addr + size <= iova + length:
                return uaddr + addr - iova
        raise Failure(f"{size} bytes at {addr:#x} are not mapped")

    def guest(self, addr, size):
        """(buffer, offset): guest RAM, at its guest-physical addresses."""
        self.translate(addr, size)
        check(addr + size <= len(self.vm.ram), f"{addr:#x} is mapped, and no guest RAM")
        return self.vm.ram, addr

    user = guest

    def wrote_at(self, where, offset, size):
        """It keeps no log."""

    def read(self, addr, size):
        """Any memory of the emulator's that was mapped."""
        with open(f"/proc/{self.vm.process.pid}/mem", "rb", 0) as f:
            return os.pread(f.fileno(), size, self.translate(addr, size))

    def write(self, addr, data):
        with open(f"/proc/{self.vm.process.pid}/mem", "r+b", 0) as f:
            os.pwrite(f.fileno(), data, self.translate(addr, len(data)))

    # ---- what runs ----

    def ctrl_index(self):
        return 2 * self.pairs_told if self.accepted & bits(F_MQ) else 2

    def active(self):
        """Pairs that frames go to."""
        told = [struct.unpack("<H", data)[0] for cls, cmd, data in self.commands if (cls, cmd) == (4, 0)]
        return told[-1] if told else 1

    def serve_rings(self):
        if not self.status & DRIVER_OK or self.suspended or self.vm is None:
            return
        ctrl = self.rings[self.ctrl_index()]
        packed = self.accepted & bits(F_PACKED)
        if self.accepted & bits(F_CTRL_VQ) and ctrl.enabled and ctrl.started and not self.mute:
            (self.serve_packed_ctrl if packed else self.serve_ctrl)(ctrl)
        if packed:
            return  # pairs are left alone
        pairs = [(self.rings[2 * i], self.rings[2 * i + 1], i) for i in range(self.active())]
        for rx, tx, pair in pairs:
            while tx.started and tx.enabled and (self.take(tx) or tx.ask_for_kicks()):
                pass
            while rx.started and rx.enabled and self.pending[pair]:
                if self.give(rx, *self.pending[pair][0]):
                    self.pending[pair].popleft()
                elif not rx.ask_for_kicks():
                    break

    def serve_ctrl(self, ring):
        """A split ring in the emulator's own memory."""
        desc, used, avail = ring.addresses
        while True:
            idx = struct.unpack("<H", self.read(avail + 2, 2))[0]
            if idx == ring.base:
                if not self.accepted & bits(F_EVENT_IDX):
                    return
                self.write(used + 4 + 8 * ring.num, struct.pack("<H", ring.base))
                if struct.unpack("<H", self.read(avail + 2, 2))[0] == ring.base:
                    return
                continue
            head = struct.unpack("<H", self.read(avail + 4 + 2 * (ring.base % ring.num), 2))[0]
            self.serve_command(ring, desc, used, head)

    def serve_packed_ctrl(self, ring):
        """The same of a packed one, whose place is in ring.base with the wrap counter."""
        while True:
            first, wrap = ring.base & 0x7fff, ring.base >> 15
            slot, counter, out, ack = first, wrap, b"", None
            while True:
                at = ring.addresses[0] + 16 * slot
                addr, length, ident, flags = struct.unpack("<QIHH", self.read(at, 16))
                if bool(flags & AVAIL) != bool(counter) or bool(flags & USED) == bool(counter):
                    check(slot == first, "a chain that is not available to its end")
                    return
                if flags & WRITE:
                    ack = addr
                else:
                    out += self.read(addr, length)
                slot = (slot + 1) % ring.num
                counter ^= slot == 0
                if not flags & NEXT:
                    break
            self.commands.append((out[0], out[1], out[2:]))
            self.write(ack, bytes([out[0] in self.refuse]))
            at = ring.addresses[0] + 16 * first
            self.write(at + 8, struct.pack("<IH", 1, ident))
            self.write(at + 14, struct.pack("<H", WRITE | (AVAIL | USED if wrap else 0)))
            ring.base = slot | counter << 15
            os.eventfd_write(ring.call, 1)

    def serve_command(self, ring, desc, used, head):
        out, i, ack = b"", head, None
        for _ in range(ring.num):
            addr, length, flags, following = struct.unpack("<QIHH", self.read(desc + 16 * i, 16))
            if flags & WRITE:
                ack = addr
            else:
                out += self.read(addr, length)
            if not flags & NEXT:
                break
            i = following
        check(ack is not None and len(out) >= 2, "no command")
        self.commands.append((out[0], out[1], out[2:]))
        self.write(ack, bytes([out[0] in self.refuse]))
        idx = struct.unpack("<H", self.read(used + 2, 2))[0]
        self.write(used + 4 + 8 * (idx % ring.num), struct.pack("<II", head if self.used_id is None else self.used_id, 1))
        self.write(used + 2, struct.pack("<H", idx + 1 & 0xffff))
        ring.base = ring.base + 1 & 0xffff
        os.eventfd_write(ring.call, 1)

    # ---- what cases do ----

    def wait_runs(self, rings=2):
        """It runs with so many rings of pairs."""
        return self.wait(lambda: self.status & DRIVER_OK and not self.suspended and
                         sum(r.enabled for i, r in enumerate(self.rings)
                             if not self.accepted & bits(F_CTRL_VQ) or i != self.ctrl_index()) == rings,
                         f"a device that runs with {rings} rings")

    def told_commands(self, cls=None):
        with self.lock:
            return [c for c in self.commands if cls in (None, c[0])]

    def change(self, **what):
        """Changes the configuration, and says so."""
        with self.lock:
            for name, value in what.items():
                setattr(self, name, value)
            os.eventfd_write(self.config_call, 1)

    def fail(self):
        self.change(status=self.status | NEEDS_RESET)
