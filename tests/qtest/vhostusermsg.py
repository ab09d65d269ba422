# SPDX-License-Identifier: GPL-2.0-or-later
"""The vhost-user protocol as a back-end sees it: numbers, messages, memory, rings."""

import mmap
import os
import struct

from qtestlib import Failure, check
from virtiolib import (F_CTRL_VQ, F_EVENT_IDX, F_GUEST_ANNOUNCE, F_INDIRECT, F_MQ, F_MRG_RXBUF, F_MTU, F_STATUS,
                       F_VERSION_1, INDIRECT, NEXT, WRITE, bits)

REQUESTS = {
    1: "GET_FEATURES", 2: "SET_FEATURES", 3: "SET_OWNER", 4: "RESET_OWNER", 5: "SET_MEM_TABLE", 6: "SET_LOG_BASE",
    7: "SET_LOG_FD", 8: "SET_VRING_NUM", 9: "SET_VRING_ADDR", 10: "SET_VRING_BASE", 11: "GET_VRING_BASE",
    12: "SET_VRING_KICK", 13: "SET_VRING_CALL", 14: "SET_VRING_ERR", 15: "GET_PROTOCOL_FEATURES",
    16: "SET_PROTOCOL_FEATURES", 17: "GET_QUEUE_NUM", 18: "SET_VRING_ENABLE", 19: "SEND_RARP", 20: "NET_SET_MTU",
    21: "SET_BACKEND_REQ_FD", 24: "GET_CONFIG", 25: "SET_CONFIG", 31: "GET_INFLIGHT_FD", 32: "SET_INFLIGHT_FD",
    34: "RESET_DEVICE", 36: "GET_MAX_MEM_SLOTS", 37: "ADD_MEM_REG", 38: "REM_MEM_REG", 39: "SET_STATUS",
    40: "GET_STATUS"}
NUMBER = {name: number for number, name in REQUESTS.items()}
BACKEND_CONFIG_CHANGE = 2
VERSION, REPLY, NEED_REPLY = 1, 4, 8
NO_FD = 0x100

P_MQ, P_LOG_SHMFD, P_RARP, P_REPLY_ACK, P_MTU, P_BACKEND_REQ, P_CROSS_ENDIAN = range(7)
P_CONFIG, P_BACKEND_SEND_FD, P_HOST_NOTIFIER, P_INFLIGHT, P_RESET_DEVICE = 9, 10, 11, 12, 13
P_INBAND, P_MEM_SLOTS, P_STATUS = 14, 15, 16
F_LOG_ALL, F_PROTOCOL = 26, 30

FEATURES = bits(F_VERSION_1, F_MRG_RXBUF, F_MQ, F_CTRL_VQ, F_GUEST_ANNOUNCE, F_STATUS, F_MTU, F_INDIRECT, F_EVENT_IDX,
                F_LOG_ALL, F_PROTOCOL)
PROTOCOL = bits(P_MQ, P_REPLY_ACK)


class Message:
    """A request as it came."""

    def __init__(self, request, flags, payload, fds):
        self.request, self.flags, self.payload, self.fds = request, flags, payload, fds
        self.name = REQUESTS.get(request, f"request {request}")
        self.n_fds = len(fds)

    @property
    def u64(self):
        return struct.unpack_from("<Q", self.payload)[0]

    @property
    def state(self):
        """(ring, value) of a vring state."""
        return struct.unpack_from("<II", self.payload)

    def __repr__(self):
        return f"{self.name}({self.payload.hex()}, flags {self.flags:#x}, {self.n_fds} fds)"


def pack(request, payload=b"", flags=VERSION | REPLY, size=None):
    return struct.pack("<III", NUMBER.get(request, request), flags, len(payload) if size is None else size) + payload


class Raw:
    """An answer as it goes on the wire."""

    def __init__(self, data, fds=()):
        self.data, self.fds = data, list(fds)


class Region:
    """A part of guest RAM."""

    def __init__(self, guest, size, user, offset, fd):
        self.guest, self.size, self.user, self.offset = guest, size, user, offset
        self.map = mmap.mmap(fd, size + offset)
        os.close(fd)


class Vring:
    """What the back-end knows of a ring, and the ring itself."""

    def __init__(self, backend, index):
        self.backend, self.index = backend, index
        self.num = self.base = 0
        self.desc = self.used = self.avail = None
        self.kick = self.call = self.err = None
        self.enabled = self.started = False
        self.addresses = (0, 0, 0)
        self.flags = self.log = 0
        self.kicks = self.calls = 0

    def close(self):
        for fd in (self.kick, self.call, self.err):
            if fd is not None:
                os.close(fd)
        self.kick = self.call = self.err = None
        self.started = False

    @property
    def ready(self):
        return self.started and self.enabled and self.desc is not None and self.num

    def map_parts(self):
        """Where the parts lie, at the addresses that were told, in the memory that was told."""
        desc, used, avail = self.addresses
        user = self.backend.user
        self.desc, self.avail = user(desc, 16 * self.num), user(avail, 6 + 2 * self.num)
        self.used = user(used, 6 + 8 * self.num)

    def u16(self, part, at):
        # The machine's own format, here and for indices below: it is loaded and stored whole, "<H" byte by byte.
        return struct.unpack_from("H", part[0], part[1] + at)[0]

    def avail_idx(self):
        return self.u16(self.avail, 2)

    def waiting(self):
        """How many chains the driver has given that were not taken."""
        n = self.avail_idx() - self.base & 0xffff
        check(n <= self.num, f"ring {self.index}: {n} chains in a ring of {self.num}")
        return n

    def chain(self, ahead=0):
        """(head, parts to read, parts to write) of the chain that is next but AHEAD."""
        head = self.u16(self.avail, 4 + 2 * ((self.base + ahead) % self.num))
        table, n, i = self.desc, self.num, head
        out, into = [], []
        for _ in range(self.num + 1):
            check(i < n, f"ring {self.index}: descriptor {i} of {n}")
            addr, length, flags, following = struct.unpack_from("<QIHH", table[0], table[1] + 16 * i)
            if flags & INDIRECT:
                table, n, i = self.backend.guest(addr, length), length // 16, 0
                continue
            (into if flags & WRITE else out).append((self.backend.guest(addr, length), length))
            if not flags & NEXT:
                return head, out, into
            i = following
        raise Failure(f"ring {self.index}: a chain without an end")

    def use(self, done):
        """Gives back chains: (head, length) of each."""
        used, at = self.used
        idx = old = struct.unpack_from("H", used, at + 2)[0]
        for head, length in done:
            struct.pack_into("<II", used, at + 4 + 8 * (idx % self.num), head, length)
            self.logged(4 + 8 * (idx % self.num), 8)
            idx = idx + 1 & 0xffff
        struct.pack_into("H", used, at + 2, idx)
        self.logged(2, 2)
        self.base = self.base + len(done) & 0xffff
        self.tell(old, idx)

    def logged(self, offset, size):
        """Notes what was written to the used ring."""
        if self.flags:
            self.backend.wrote(self.log + offset, size)

    def tell(self, old, new):
        if self.backend.accepted & bits(F_EVENT_IDX):
            event = self.u16(self.avail, 4 + 2 * self.num)
            wanted = (new - event - 1 & 0xffff) < (new - old & 0xffff)
        else:
            wanted = not self.u16(self.avail, 0) & 1
        if wanted and self.call is not None:
            self.calls += 1
            os.eventfd_write(self.call, 1)

    def ask_for_kicks(self):
        """With event indices the driver kicks only at the chain that was named; true when one came meanwhile."""
        if self.backend.accepted & bits(F_EVENT_IDX):
            struct.pack_into("H", self.used[0], self.used[1] + 4 + 8 * self.num, self.base)
        return self.avail_idx() != self.base
