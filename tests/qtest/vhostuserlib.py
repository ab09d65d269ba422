# SPDX-License-Identifier: GPL-2.0-or-later
"""A vhost-user back-end for network cards that does what a case tells it, wrong things too.

Numbers and layouts are those of the vhost-user protocol's specification. A Backend serves its socket and its rings
in a thread of its own; a case looks at what came (.messages, .rings, recv()), gives frames (send()) and may change how
requests are answered (.answers), stop to look at the rings (.stalled) or end at once (die()).
"""

import array
import collections
import mmap
import os
import select
import socket
import struct
import threading

from netlib import HOST_MAC, net_hdr, raw_frame
from qtestlib import WAIT_S, Failure, check, eq, wait_for
from vhostusermsg import (F_LOG_ALL, F_PROTOCOL, FEATURES, NEED_REPLY, NO_FD, P_BACKEND_REQ, P_CONFIG, P_INFLIGHT,
                          P_LOG_SHMFD, P_MEM_SLOTS, P_MQ, P_MTU, P_RARP, P_RESET_DEVICE, P_STATUS, PROTOCOL, REPLY,
                          VERSION, Message, Raw, Region, Vring, pack)
from virtiolib import F_MRG_RXBUF, F_VERSION_1, MAC, bits

# What an entry of Backend.answers may return instead of bytes, the answer's payload.
SILENCE, DIE, USUAL = object(), object(), object()
RING_LOG = 1  # a flag of a ring's addresses: what is written to the used ring is logged


class Backend:
    """A back-end at PATH. LISTEN: it is the socket's server; otherwise it connects. ANSWERS: request's name to a
    function (backend, message) that returns the payload of the answer, SILENCE, DIE or USUAL."""

    def __init__(self, path, listen=True, pairs=2, features=FEATURES, protocol=PROTOCOL, answers=None, slots=8,
                 stalled=False):
        self.path, self.pairs, self.features, self.protocol = str(path), pairs, features, protocol
        self.answers, self.slots = dict(answers or {}), slots
        self.stalled = stalled
        self.lock = threading.RLock()
        self.messages = []
        self.connections = 0
        self.errors = []
        self.frames = [collections.deque() for _ in range(pairs)]     # from the guest
        self.pending = [collections.deque() for _ in range(pairs)]    # to the guest, no buffer yet
        self.mtu = self.rarp = None
        self.link = True               # in the configuration
        self.status = 0
        self.sock = self.listener = None
        self.forget()
        if listen:
            self.listener = socket.socket(socket.AF_UNIX)
            self.listener.bind(self.path)
            self.listener.listen(1)
        self.wake = os.eventfd(0, os.EFD_NONBLOCK)
        self.ended = False
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.thread.start()

    def connect(self):
        """Connects once a server listens, or the case ended us."""
        while not self.ended:
            s = socket.socket(socket.AF_UNIX)
            try:
                s.connect(self.path)
                return s
            except (FileNotFoundError, ConnectionRefusedError):
                s.close()
                select.select([self.wake], [], [], 0.002)
        return None

    def forget(self):
        """The state of a back-end that was just started."""
        self.accepted = self.accepted_protocol = 0
        self.rings = [Vring(self, i) for i in range(2 * self.pairs)]
        self.regions = []
        self.requests = None
        self.log = None  # a bit for each page that is written

    # ---- the thread ----

    def run(self):
        try:
            if not self.listener:
                self.adopt(self.connect())
            while not self.ended:
                self.turn()
            self.drop_connection()
        except BaseException as e:  # told to the case by finish() and by what it waits for
            self.errors.append(e)
            self.drop_connection()

    def turn(self):
        with self.lock:
            kicks = {r.kick: r for r in self.rings if r.kick is not None} if not self.stalled else {}
            # A connection at a time: the next one waits in the kernel.
            door = self.sock or self.listener
        # The case's thread never closes one of these: drop_connection() runs in this one.
        readable = select.select([self.wake, *kicks] + ([door] if door else []), [], [])[0]
        with self.lock:
            if self.wake in readable:
                os.eventfd_read(self.wake)
            if self.ended:
                return
            if door in readable:
                if door is self.listener:
                    self.adopt(door.accept()[0])
                else:
                    self.serve()
            for fd in readable:
                ring = kicks.get(fd)
                if ring is not None and ring.kick == fd:
                    os.eventfd_read(fd)
                    ring.kicks += 1
                    ring.started = True
            if not self.stalled:
                self.serve_rings()

    def adopt(self, sock):
        self.sock = sock
        self.connections += 1

    def drop_connection(self):
        with self.lock:
            for ring in self.rings:
                ring.close()
            if self.requests:
                self.requests.close()
            if self.sock:
                self.sock.close()
            self.sock = None
            self.forget()

    def read_exactly(self, n):
        data, fds = b"", []
        while len(data) < n:
            try:
                part, extra, _, _ = self.sock.recvmsg(n - len(data), socket.CMSG_SPACE(4 * 16), socket.MSG_CMSG_CLOEXEC)
            except ConnectionError:
                part, extra = b"", []
            for _, _, raw in extra:
                got = array.array("i")
                got.frombytes(raw[:len(raw) // 4 * 4])
                fds += got
            if not part:
                return None, fds
            data += part
        return data, fds

    def serve(self):
        """One request."""
        head, fds = self.read_exactly(12)
        if head is None:
            self.drop_connection()
            return
        request, flags, size = struct.unpack("<III", head)
        check(flags & 3 == VERSION and not flags & REPLY, f"flags {flags:#x} of request {request}")
        check(size <= 4096, f"request {request} of {size} bytes")
        payload, more = self.read_exactly(size) if size else (b"", [])
        if payload is None:
            self.drop_connection()
            return
        message = Message(request, flags, payload, fds + more)
        self.messages.append(message)
        answer = self.answers.get(message.name, lambda *_: USUAL)(self, message)
        if answer is USUAL:
            answer = getattr(self, message.name.lower(), self.unknown)(message)
        elif answer is SILENCE:
            self.close_fds(message)
            return
        self.close_fds(message)
        if answer is DIE:
            self.drop_connection()
        elif answer is None and flags & NEED_REPLY:
            self.reply(pack(request, struct.pack("<Q", 0)))
        elif answer is not None:
            self.reply(answer if isinstance(answer, Raw) else pack(request, answer), message)

    def reply(self, data, message=None):
        """Sends an answer and its descriptors, which are not needed any more."""
        fds = getattr(message, "reply_fds", [])
        if isinstance(data, Raw):
            fds, data = data.fds, data.data
        try:
            self.sock.sendmsg([data], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", fds))] if fds else [])
        except ConnectionError:
            self.drop_connection()
        for fd in set(fds):
            os.close(fd)

    @staticmethod
    def close_fds(message):
        for fd in message.fds:
            os.close(fd)
        message.fds = []

    # ---- requests ----

    @staticmethod
    def unknown(message):
        raise Failure(f"the front-end asks what it must not: {message}")

    def has(self, feature):
        return bool(self.accepted_protocol & bits(feature))

    def get_features(self, _):
        return struct.pack("<Q", self.features)

    def set_features(self, m):
        check(m.u64 & ~self.features == 0, f"features {m.u64:#x} of {self.features:#x}")
        self.accepted = m.u64
        if not self.features & bits(F_PROTOCOL):
            for ring in self.rings:
                ring.enabled = True

    def get_protocol_features(self, _):
        check(self.features & bits(F_PROTOCOL), "GET_PROTOCOL_FEATURES without the feature")
        return struct.pack("<Q", self.protocol)

    def set_protocol_features(self, m):
        check(m.u64 & ~self.protocol == 0, f"protocol features {m.u64:#x} of {self.protocol:#x}")
        self.accepted_protocol = m.u64

    def set_owner(self, _):
        pass

    def reset_owner(self, _):
        pass

    def set_log_base(self, m):
        check(self.has(P_LOG_SHMFD), "SET_LOG_BASE without the feature")
        size, offset = struct.unpack("<QQ", m.payload)
        eq(m.n_fds, 1, "descriptors of SET_LOG_BASE")
        self.log = mmap.mmap(m.fds[0], size + offset)
        return b""  # as DPDK does

    def get_queue_num(self, _):
        check(self.has(P_MQ), "GET_QUEUE_NUM without the feature")
        return struct.pack("<Q", self.pairs)

    def add_region(self, raw, fd):
        guest, size, user, offset = struct.unpack("<QQQQ", raw)
        self.regions.append(Region(guest, size, user, offset, fd))

    def set_mem_table(self, m):
        n = struct.unpack_from("<I", m.payload)[0]
        eq(len(m.payload), 8 + 32 * n, f"bytes of a table of {n} regions")
        eq(m.n_fds, n, "descriptors of the table")
        self.regions = []
        for i in range(n):
            self.add_region(m.payload[8 + 32 * i:40 + 32 * i], m.fds.pop(0))
        self.place_rings()

    def get_max_mem_slots(self, _):
        check(self.has(P_MEM_SLOTS), "GET_MAX_MEM_SLOTS without the feature")
        return struct.pack("<Q", self.slots)

    def add_mem_reg(self, m):
        check(self.has(P_MEM_SLOTS), "ADD_MEM_REG without the feature")
        eq((len(m.payload), m.n_fds), (40, 1), "bytes and descriptors of ADD_MEM_REG")
        self.add_region(m.payload[8:], m.fds.pop(0))
        check(len(self.regions) <= self.slots, "more regions than slots")

    def rem_mem_reg(self, m):
        check(self.has(P_MEM_SLOTS), "REM_MEM_REG without the feature")
        guest, size, user, _ = struct.unpack("<QQQQ", m.payload[8:])
        found = [r for r in self.regions if (r.guest, r.size, r.user) == (guest, size, user)]
        check(len(found) == 1, f"REM_MEM_REG of {guest:#x}, {size:#x}, {user:#x}")
        self.regions.remove(found[0])

    def ring(self, index):
        check(index < len(self.rings), f"ring {index} of {len(self.rings)}")
        return self.rings[index]

    def set_vring_num(self, m):
        index, n = m.state
        self.ring(index).num = n

    def set_vring_base(self, m):
        index, base = m.state
        self.ring(index).base = base

    def set_vring_addr(self, m):
        index, flags, desc, used, avail, log = struct.unpack("<IIQQQQ", m.payload)
        ring = self.ring(index)
        check(not ring.started or ring.addresses == (desc, used, avail), f"the running ring {index} moves")
        check(flags in (0, RING_LOG) and (flags or not log), f"flags {flags:#x} and log {log:#x} of ring {index}")
        ring.addresses, ring.flags, ring.log = (desc, used, avail), flags, log
        ring.map_parts()

    def place_rings(self):
        for ring in self.rings:
            if ring.desc is not None:
                ring.map_parts()

    def get_vring_base(self, m):
        ring = self.ring(m.state[0])
        if ring.kick is not None:
            os.close(ring.kick)
        ring.kick, ring.started = None, False
        return struct.pack("<II", ring.index, ring.base)

    def take_fd(self, m, what):
        eq(len(m.payload), 8, f"bytes of {m.name}")
        ring = self.ring(m.u64 & 0xff)
        none = bool(m.u64 & NO_FD)
        eq(m.n_fds, 0 if none else 1, f"descriptors of {m!r}")
        if getattr(ring, what) is not None:
            os.close(getattr(ring, what))
        setattr(ring, what, None if none else m.fds.pop(0))
        return ring

    def set_vring_kick(self, m):
        ring = self.take_fd(m, "kick")
        ring.started = ring.kick is None  # without one the back-end looks by itself

    def set_vring_call(self, m):
        self.take_fd(m, "call")

    def set_vring_err(self, m):
        self.take_fd(m, "err")

    def set_vring_enable(self, m):
        check(self.features & bits(F_PROTOCOL), "SET_VRING_ENABLE without the feature")
        index, on = m.state
        check(on in (0, 1), f"SET_VRING_ENABLE {on}")
        self.ring(index).enabled = bool(on)

    def send_rarp(self, m):
        check(self.has(P_RARP), "SEND_RARP without the feature")
        self.rarp = m.payload[:6]

    def net_set_mtu(self, m):
        check(self.has(P_MTU), "NET_SET_MTU without the feature")
        self.mtu = m.u64

    def get_config(self, m):
        check(self.has(P_CONFIG), "GET_CONFIG without the feature")
        offset, size, flags = struct.unpack_from("<III", m.payload)
        eq((len(m.payload), flags), (12 + size, 0), "bytes and flags of GET_CONFIG")
        space = bytes(6) + struct.pack("<HHH", int(self.link), self.pairs, 1500)
        check(offset + size <= len(space), f"GET_CONFIG of {size} bytes at {offset}")
        return m.payload[:12] + space[offset:offset + size]

    def set_backend_req_fd(self, m):
        check(self.has(P_BACKEND_REQ), "SET_BACKEND_REQ_FD without the feature")
        self.requests = socket.socket(fileno=m.fds.pop(0))

    def reset_device(self, _):
        check(self.has(P_RESET_DEVICE), "RESET_DEVICE without the feature")
        for ring in self.rings:
            ring.close()
            ring.enabled = False

    def set_status(self, m):
        check(self.has(P_STATUS), "SET_STATUS without the feature")
        self.status = m.u64

    def get_status(self, _):
        check(self.has(P_STATUS), "GET_STATUS without the feature")
        return struct.pack("<Q", self.status)

    def get_inflight_fd(self, m):
        check(self.has(P_INFLIGHT), "GET_INFLIGHT_FD without the feature")
        _, _, queues, size, _ = struct.unpack("<QQHHI", m.payload)
        room = queues * (16 + 16 * size)
        fd = os.memfd_create("inflight")
        os.ftruncate(fd, room)
        m.reply_fds = [fd]
        return struct.pack("<QQHHI", room, 0, queues, size, 0)

    def set_inflight_fd(self, m):
        check(self.has(P_INFLIGHT), "SET_INFLIGHT_FD without the feature")
        room, offset, queues, size, _ = struct.unpack("<QQHHI", m.payload)
        check(room >= queues * (16 + 16 * size), f"{room} bytes for {queues} queues of {size}")
        mmap.mmap(m.fds[0], room + offset).close()

    # ---- memory ----

    def user(self, addr, size):
        """(mapping, offset) of the front-end's address ADDR."""
        for r in self.regions:
            if r.user <= addr and addr + size <= r.user + r.size:
                return r.map, addr - r.user + r.offset
        raise Failure(f"no region has {size} bytes at {addr:#x} of the front-end")

    def guest(self, addr, size):
        for r in self.regions:
            if r.guest <= addr and addr + size <= r.guest + r.size:
                return r.map, addr - r.guest + r.offset
        raise Failure(f"no region has {size} bytes at {addr:#x} of the guest")

    # ---- the log of pages written ----

    @property
    def logs(self):
        return self.log is not None and self.accepted & bits(F_LOG_ALL)

    def wrote(self, addr, size):
        """SIZE bytes at the guest's address ADDR."""
        if self.logs:
            for page in range(addr >> 12, (addr + size - 1 >> 12) + 1):
                check(page < 8 * len(self.log), f"the log has no bit for page {page:#x}")
                self.log[page >> 3] |= 1 << (page & 7)

    def wrote_at(self, where, offset, size):
        """The same in a region's mapping WHERE."""
        region = next(r for r in self.regions if r.map is where and r.offset <= offset < r.offset + r.size)
        self.wrote(offset - region.offset + region.guest, size)

    # ---- frames ----

    @property
    def hdr_len(self):
        return 12 if self.accepted & bits(F_VERSION_1, F_MRG_RXBUF) else 10

    def serve_rings(self):
        for pair in range(self.pairs):
            rx, tx = self.rings[2 * pair], self.rings[2 * pair + 1]
            while tx.started and tx.desc and (self.take(tx) or tx.ask_for_kicks()):
                pass
            while rx.ready and self.pending[pair]:
                if not self.give(rx, *self.pending[pair][0]):
                    if not rx.ask_for_kicks():
                        break
                else:
                    self.pending[pair].popleft()

    def take(self, ring):
        """A frame from the guest; false when there is none."""
        if not ring.waiting():
            return False
        head, out, into = ring.chain()
        check(not into, f"ring {ring.index}: a frame in buffers to write")
        data = b"".join(bytes(m[at:at + n]) for (m, at), n in out)
        if ring.enabled:  # what a disabled one sends is thrown away
            self.frames[ring.index // 2].append((data[:self.hdr_len], data[self.hdr_len:]))
        ring.use([(head, 0)])
        return True

    def give(self, ring, frame, hdr):
        """A frame to the guest; false when the buffers do not suffice."""
        data = hdr[:10] + bytes(self.hdr_len - 10) + frame
        most = ring.waiting() if self.accepted & bits(F_MRG_RXBUF) else min(1, ring.waiting())
        done, at, first = [], 0, None
        while at < len(data):
            if len(done) == most:
                return False
            head, out, into = ring.chain(len(done))
            check(not out, f"ring {ring.index}: a buffer to read")
            start = at
            for (m, where), n in into:
                part = data[at:at + n]
                first = first or (m, where)
                m[where:where + len(part)] = part
                if part:
                    self.wrote_at(m, where, len(part))
                at += len(part)
            done.append((head, at - start))
        if self.hdr_len == 12:
            struct.pack_into("<H", first[0], first[1] + 10, len(done))
        ring.use(done)
        return True

    # ---- what cases do ----

    def failed(self):
        if self.errors:
            raise Failure(f"the back-end: {self.errors[0]}") from self.errors[0]

    def wait(self, condition, what):
        """Waits until CONDITION, called under the lock, gives something true."""
        def look():
            self.failed()
            with self.lock:
                return condition()
        return wait_for(look, what)

    def told(self, name, since=0):
        """The requests of that name that came."""
        with self.lock:
            return [m for m in self.messages[since:] if m.name == name]

    def mark(self):
        with self.lock:
            return len(self.messages)

    def wait_told(self, name, since=0, match=lambda m: True):
        return self.wait(lambda: next((m for m in self.messages[since:] if m.name == name and match(m)), None), name)

    def wait_ready(self, pairs=1):
        """The rings of the first PAIRS pairs run."""
        self.wait(lambda: all(r.enabled and r.num and (r.kick is not None or r.started)
                              for r in self.rings[:2 * pairs]), f"{pairs} running pairs")
        return self

    def enabled(self):
        with self.lock:
            return [r.enabled for r in self.rings]

    def recv(self, pair=0, what="a frame", timeout=None):
        """(header, frame) of the guest's next frame."""
        def look():
            self.failed()
            return bool(self.frames[pair])
        wait_for(look, f"{what} at pair {pair} of the back-end", timeout)
        return self.frames[pair].popleft()

    def expect(self, frame, what, pair=0):
        got = self.recv(pair, what)[1]
        if got != frame:
            raise Failure(f"{what}: {len(got)} bytes {got[:60].hex()}, expected {len(frame)} bytes {frame[:60].hex()}")

    def send(self, frame, pair=0, hdr=None):
        with self.lock:
            self.pending[pair].append((frame, hdr or net_hdr()))
        self.poke()

    def poke(self):
        os.eventfd_write(self.wake, 1)

    def resume(self):
        with self.lock:
            self.stalled = False
            for ring in self.rings:
                ring.started = ring.started or ring.kick is not None
        self.poke()

    def both_ways(self, nic, pair=0, tag=b"", n=3):
        """Frames of several sizes in both directions through PAIR."""
        for i in range(n):
            size = (60, 61, 1514)[i % 3]
            frame = raw_frame(HOST_MAC, MAC, b"tx%d.%d" % (pair, i) + tag, size=size)
            nic.send(pair, frame, pieces=1 + i % 3)
            self.expect(frame, f"frame {i} from the guest {tag.decode()}", pair)
            frame = raw_frame(MAC, HOST_MAC, b"rx%d.%d" % (pair, i) + tag, size=size)
            self.send(frame, pair)
            nic.expect(pair, frame, f"frame {i} to the guest {tag.decode()}")

    def ask(self, request, payload=b"", flags=VERSION):
        """A request of the back-end's own to the front-end."""
        with self.lock:
            check(self.requests, "the front-end gave no channel for requests")
            self.requests.send(pack(request, payload, flags))

    def die(self):
        """Ends as a killed process does: nothing is finished, everything is closed."""
        self.ended = True
        self.poke()
        self.thread.join(WAIT_S)
        check(not self.thread.is_alive(), "the back-end's thread hangs")
        if self.listener:
            self.listener.close()
            os.unlink(self.path)
            self.listener = None

    def finish(self):
        self.die()
        self.failed()
