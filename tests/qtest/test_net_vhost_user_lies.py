# SPDX-License-Identifier: GPL-2.0-or-later
"""Back-ends that lie, are silent or end at the wrong moment: the machine lives, says in a line why it hung up, leaks
nothing, and the next back-end serves it."""

import os
import struct
import time

from netlib import HOST_MAC, net_hdr, raw_frame
from qtestlib import QUIET_S, SCALE, case, check, eq, wait_for
from test_net_vhost_user import MQ, User
from vhostuserlib import DIE, SILENCE, USUAL
from vhostusermsg import FEATURES, P_INFLIGHT, P_MEM_SLOTS, PROTOCOL, REPLY, VERSION, Raw, pack
from virtiolib import MAC, bits


def u64(value):
    return lambda *_: struct.pack("<Q", value)


def raw(name, payload=b"\0" * 8, **kw):
    return lambda *_: Raw(pack(name, payload, **kw))


def with_fds(name, payload, n):
    """An answer with descriptors that nobody asked for."""
    def answer(*_):
        fd = os.open("/dev/null", os.O_RDONLY)
        return Raw(pack(name, payload), [fd] * n)
    return answer


def garbled(name):
    """Ways to answer NAME wrongly."""
    return [
        (f"{name}: end", {name: lambda *_: DIE}),
        (f"{name}: no payload", {name: lambda *_: b""}),
        (f"{name}: short", {name: lambda *_: b"\1\0\0\0"}),
        (f"{name}: long", {name: lambda *_: bytes(300)}),
        (f"{name}: size beyond all", {name: raw(name, size=0xffffffff)}),
        (f"{name}: size of more than comes", {name: raw(name, size=0x1000)}),
        (f"{name}: no reply flag", {name: raw(name, flags=VERSION)}),
        (f"{name}: another version", {name: raw(name, flags=2 | REPLY)}),
        (f"{name}: answer to another request", {name: raw("GET_STATUS")}),
        (f"{name}: noise", {name: lambda *_: Raw(os.urandom(64))}),
    ]


AT_CONNECT = [
    *garbled("GET_FEATURES"), *garbled("GET_PROTOCOL_FEATURES"), *garbled("GET_QUEUE_NUM"),
    ("no pairs", {"GET_QUEUE_NUM": u64(0)}),
    ("too few pairs", {"GET_QUEUE_NUM": u64(1)}),
    ("no slots", {"GET_MAX_MEM_SLOTS": u64(0)}, bits(P_MEM_SLOTS)),
]
AT_START = [
    ("memory refused", {"SET_MEM_TABLE": u64(1)}),
    ("end at the memory", {"SET_MEM_TABLE": lambda *_: DIE}),
    ("a slot refused", {"ADD_MEM_REG": u64(1)}, bits(P_MEM_SLOTS)),
    ("a buffer for what is in flight that cannot be",
     {"GET_INFLIGHT_FD": with_fds("GET_INFLIGHT_FD", struct.pack("<QQHHI", 1 << 63, 1 << 63, 4, 256, 0), 1)},
     bits(P_INFLIGHT)),
    ("end at the features", {"SET_FEATURES": lambda *_: DIE}),
    ("end at a ring", {"SET_VRING_ADDR": lambda *_: DIE}),
    ("end at a kick", {"SET_VRING_KICK": lambda *_: DIE}),
]
AT_STOP = [
    *garbled("GET_VRING_BASE"),
    ("position of another ring", {"GET_VRING_BASE": lambda *_: struct.pack("<II", 77, 0)}),
    ("a position beyond 16 bits", {"GET_VRING_BASE": lambda b, m: struct.pack("<II", m.state[0], 0x12345678)}),
]


class Liar:
    """A machine for rows of lies: each row has its back-end, and after it an honest one shows that all is well."""

    def __init__(self, t, **kw):
        self.u = User(t, queues=2, server=True, **kw)
        self.u.close()
        self.u.qmp.event("NETDEV_VHOST_USER_DISCONNECTED")
        self.fds = self.u.vm.fds()

    def gone(self, what):
        u = self.u
        u.back.wait(lambda: u.back.connections and not u.back.sock, f"the end of the connection: {what}")

    def honest(self, what):
        """The machine lives and the next back-end serves it."""
        u = self.u
        u.vm.read(0, 4)
        u.qmp.cmd("query-status")
        u.back.die()
        u.again()
        u.start(posted=16)
        u.all_pairs(b"after " + what.encode()[:20])
        u.nic.t.reset()
        u.close()
        wait_for(lambda: u.vm.fds() == self.fds, f"as many descriptors as before: {what}: {self.fds}")

    def lines(self, since):
        return [l for l in self.u.vm.log_path.read_text(errors="replace").splitlines()[since:] if l]

    def row(self, what, answers, protocol=0, start=False, stop=False):
        u = self.u
        since = len(self.u.vm.log_path.read_text(errors="replace").splitlines())
        u.again(answers=answers, protocol=PROTOCOL | protocol)
        if start or stop:
            u.nic.start(MQ, pairs=2, vectors=True, posted=8)
            u.nic.set_pairs(2)
        if stop:
            u.back.wait_ready(2)
            u.nic.t.reset()
        self.gone(what)
        wait_for(lambda: self.lines(since), f"a word about: {what}")
        said = self.lines(since)
        check(1 <= len(said) <= 3, f"{what}: {len(said)} lines: {said}")
        self.honest(what)


def rows(t, table, **kw):
    liar = Liar(t)
    for what, answers, *protocol in table:
        liar.row(what, answers, *protocol, **kw)


@case("net-vhost-user/lies/when-it-connects")
def lies_connect(t):
    rows(t, AT_CONNECT)


@case("net-vhost-user/lies/when-the-device-starts")
def lies_start(t):
    rows(t, AT_START, start=True)


@case("net-vhost-user/lies/when-the-device-stops")
def lies_stop(t):
    rows(t, AT_STOP, stop=True)


@case("net-vhost-user/lies/descriptors-that-nobody-asked-for")
def lies_fds(t):
    liar = Liar(t)
    u = liar.u
    u.again(answers={"GET_FEATURES": with_fds("GET_FEATURES", struct.pack("<Q", FEATURES), 8),
                     "GET_VRING_BASE": with_fds("GET_VRING_BASE", bytes(8), 3)})
    wait_for(lambda: u.back.told("GET_FEATURES"), "GET_FEATURES")
    time.sleep(QUIET_S * SCALE)
    liar.honest("descriptors")


def silence(t, name, act=lambda u: None):
    """Who says nothing costs time, which is limited."""
    liar = Liar(t)
    u = liar.u
    u.again(answers={name: lambda *_: SILENCE})
    started = time.monotonic()
    act(u)
    u.back.wait_told(name)
    u.qmp.cmd("query-status")
    u.vm.read(0, 4)
    check(time.monotonic() - started < 10 * max(1, SCALE), f"{name}: the machine hangs")
    liar.gone(name)
    liar.honest(name)


@case("net-vhost-user/lies/no-answer-to-the-first-question")
def lies_silence_first(t):
    silence(t, "GET_FEATURES")


@case("net-vhost-user/lies/no-answer-to-further-questions")
def lies_silence_second(t):
    silence(t, "GET_PROTOCOL_FEATURES")


@case("net-vhost-user/lies/no-answer-when-the-device-stops")
def lies_silence_stop(t):
    def stop(u):
        u.start(posted=8)
        u.nic.t.reset()
    silence(t, "GET_VRING_BASE", stop)


@case("net-vhost-user/lies/slow-again-and-again")
def lies_slow(t):
    """Whoever answers slowly, but in time, and comes back uses up what there is for all of its connections."""
    def slow(*_):
        time.sleep(4.6)
        return USUAL
    liar = Liar(t)
    u = liar.u
    since = len(liar.lines(0))
    names = ("GET_PROTOCOL_FEATURES", "GET_QUEUE_NUM", "GET_MAX_MEM_SLOTS")
    for _ in range(2):
        u.again(answers=dict.fromkeys(names, slow), protocol=PROTOCOL | bits(P_MEM_SLOTS))
        wait_for(lambda: u.back.told("SET_VRING_CALL") or u.back.connections and not u.back.sock,
                 "the end of questions")
        u.back.die()
    wait_for(lambda: any("slow answers" in l for l in liar.lines(since)), "a word about slow answers")
    liar.honest("slow ones")


@case("net-vhost-user/lies/eventfds-that-block")
def lies_block(t):
    """O_NONBLOCK is taken from all eventfds, and the kick's counter filled up: nobody waits for them."""
    liar = Liar(t)
    u = liar.u
    u.again()
    u.start(posted=8)
    u.all_pairs()
    with u.back.lock:
        for ring in u.back.rings:
            for fd in (ring.err, ring.kick, ring.call):
                os.set_blocking(fd, True)
    u.close()
    u.qmp.event("NETDEV_VHOST_USER_DISCONNECTED")
    u.again()
    u.back.wait_ready(2)
    u.all_pairs(b"blocking")
    with u.back.lock:
        u.back.stalled = True
        os.eventfd_write(u.back.rings[0].kick, (1 << 64) - 3)
    u.back.die()
    u.again(stalled=True)
    u.qmp.cmd("query-status")
    u.nic.t.reset()
    liar.honest("eventfds that block")


@case("net-vhost-user/lies/eventfds-that-are-full")
def lies_full(t):
    """Counters are filled up and wait for whoever adds to them: a doorbell, and an iothread that has the pair later."""
    u = User(t, server=True, stalled=True)
    u.start(posted=8)
    ring = u.back.rings[1]
    fds = [os.dup(ring.kick), os.dup(ring.call)]
    u.pci.msix_mask(2, True)
    for fd in fds:
        os.set_blocking(fd, True)
        os.eventfd_write(fd, (1 << 64) - 3)
    frame = raw_frame(HOST_MAC, MAC, b"doorbell")
    u.nic.send(0, frame, wait=False)
    u.vm.read(0, 4)
    u.qmp.cmd("netdev_del", id="n0")
    u.close()
    u.qmp.cmd("netdev_add", type="hubport", id="n0", hubid=0)
    os.set_blocking(fds[0], True)
    wait_for(u.nic.tx[0].take, "the frame of the doorbell, used by an iothread")
    for _ in range(3):
        u.nic.send(0, frame)
    u.qmp.cmd("stop")
    u.qmp.cmd("cont")
    u.nic.send(0, frame)
    u.nic.t.reset()
    for fd in fds:
        os.close(fd)


@case("net-vhost-user/lies/end-between-enabling-and-its-answer")
def lies_enabled(t):
    """A ring may be served before the process says so: the next one goes on where it was left."""
    frames = [raw_frame(MAC, HOST_MAC, b"early%d" % i) for i in range(3)]

    def serve_and_die(b, m):
        if m.state != (0, 1):
            return USUAL
        b.rings[0].enabled = b.rings[0].started = True
        for frame in frames:
            check(b.give(b.rings[0], frame, net_hdr()), "no buffer for a frame")
        return DIE
    liar = Liar(t)
    u = liar.u
    u.again(answers={"SET_VRING_ENABLE": serve_and_die})
    u.nic.start(MQ, pairs=2, vectors=True, posted=8)
    liar.gone("between enabling and its answer")
    for frame in frames:
        u.nic.expect(0, frame, "a frame of the one that has gone")
    u.back.die()
    u.again()
    u.back.wait_ready(1)
    eq([m.state for m in u.back.told("SET_VRING_BASE")], [(0, 3), (1, 0)], "places where the next one begins")
    u.nic.set_pairs(2)
    u.back.wait_ready(2)
    u.all_pairs(b"next")
    u.nic.t.reset()
    u.close()


@case("net-vhost-user/lies/noise-on-the-socket")
def lies_noise(t):
    liar = Liar(t)
    u = liar.u
    for data in (pack("GET_FEATURES", bytes(8)), b"\xff" * 4096, pack("GET_FEATURES", b"", VERSION, 0xffffffff)):
        u.again()
        u.start(posted=8)
        u.all_pairs()
        with u.back.lock:
            u.back.sock.sendall(data)
        liar.gone("noise")
        liar.honest("noise")


@case("net-vhost-user/lies/used-index-ahead")
def lies_used(t):
    """Rings are left behind at positions that cannot be: nobody goes on there."""
    liar = Liar(t)
    u = liar.u
    for ahead in (1, 1000, 0x8000):
        u.again()
        u.start(posted=8)
        u.all_pairs()
        with u.back.lock:
            ring = u.back.rings[1]
            struct.pack_into("<H", ring.used[0], ring.used[1] + 2, ring.avail_idx() + ahead & 0xffff)
        u.pci.msix_clear()
        u.close()
        u.again()
        u.nic.wait_broken(f"a used index that is {ahead} ahead")
        liar.honest(f"a used index {ahead} ahead")


@case("net-vhost-user/lies/ring-error")
def lies_error(t):
    liar = Liar(t)
    u = liar.u
    u.again()
    u.start(posted=8)
    u.all_pairs()
    with u.back.lock:
        check(u.back.rings[0].err is not None, "no descriptor for errors")
        os.eventfd_write(u.back.rings[0].err, 1)
    u.nic.wait_broken("an error of a ring")
    liar.honest("an error of a ring")
