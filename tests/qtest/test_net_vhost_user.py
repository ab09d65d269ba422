# SPDX-License-Identifier: GPL-2.0-or-later
"""Pairs whose rings a back-end in another process serves: what passes, what the protocol says, what comes and goes."""

import os
import struct

from netlib import HOST_MAC, raw_frame
from qmplib import Qmp
from qtestlib import case, check, eq, wait_for
from vhostuserlib import Backend
from vhostusermsg import (F_LOG_ALL, F_PROTOCOL, FEATURES, NEED_REPLY, P_INFLIGHT, P_MEM_SLOTS, P_MTU, P_RARP,
                          P_REPLY_ACK, P_RESET_DEVICE, P_STATUS, PROTOCOL)
from virtiolib import (BASIC, CTRL, F_CSUM, F_EVENT_IDX, F_GUEST_CSUM, F_GUEST_ECN, F_GUEST_TSO4, F_GUEST_TSO6,
                       F_HOST_ECN, F_HOST_TSO4, F_HOST_TSO6, F_INDIRECT, F_MQ, F_MRG_RXBUF, F_MTU, F_RING_RESET,
                       F_VERSION_1, MAC, MAC_TEXT, Modern, Nic, bits, find_virtio)

MQ = BASIC | CTRL | bits(F_MQ)


def options(path, queues=1, server=False, reconnect=0, nic_opts="", chardev_opts=""):
    """Options of a NIC, nic0, on the netdev n0 behind the chardev c0."""
    how = ",server=on,wait=off" if server else f",reconnect={reconnect}" if reconnect else ""
    mq = ",mq=on" if queues > 1 else ""
    return ["-chardev", f"socket,id=c0,path={path}{how}{chardev_opts}",
            "-netdev", f"vhost-user,id=n0,chardev=c0,queues={queues}",
            "-device", f"virtio-net-pci,netdev=n0,mac={MAC_TEXT},id=nic0{mq}{nic_opts}"]


class User:
    """A machine with a NIC on a back-end of ours."""

    def __init__(self, t, queues=1, server=False, reconnect=0, nic_opts="", **back):
        self.t, self.queues, self.server = t, queues, server
        self.path = t.dir / "vhost"
        back.setdefault("pairs", queues)
        self.back = self.backend(**back)
        self.vm = t.vm(*options(self.path, queues, server, reconnect, nic_opts), qmp=True)
        self.qmp = Qmp(self.vm.qmp_path)
        self.pci = find_virtio(self.vm)[0]
        self.pci.msix_setup()
        self.nic = Nic(Modern(self.pci))

    def backend(self, **back):
        return Backend(self.path, listen=not self.server, **back)

    def start(self, features=None, pairs=None, **kw):
        self.nic.start(features or (MQ if self.queues > 1 else BASIC), pairs=self.queues, vectors=True, **kw)
        if self.queues > 1:
            self.nic.set_pairs(pairs or self.queues)
        self.back.wait_ready(pairs or self.queues)
        return self

    def all_pairs(self, tag=b""):
        for pair in range(self.queues):
            self.back.both_ways(self.nic, pair, tag)

    def again(self, **back):
        """Another back-end takes the place of the one that died."""
        back.setdefault("pairs", self.queues)
        self.back = self.backend(**back)

    def link(self, up):
        self.qmp.cmd("set_link", arguments_={"name": "nic0", "up": up})

    def expect_link(self, up, what):
        wait_for(lambda: self.nic.status_field() & 1 == int(up), f"link {'up' if up else 'down'}: {what}")

    def close(self):
        self.back.finish()


# ---- frames ----

@case("net-vhost-user/frames-both-ways")
def both_ways(t):
    u = User(t).start()
    u.all_pairs()
    big = raw_frame(MAC, HOST_MAC, b"several buffers", size=9000)
    u.back.send(big)
    u.nic.expect(0, big, "a frame in several buffers")
    u.close()


@case("net-vhost-user/frames-both-ways-of-a-client")
def both_ways_client(t):
    u = User(t, queues=2, server=True).start()
    u.all_pairs()
    u.close()


@case("net-vhost-user/frames-on-four-pairs")
def four_pairs(t):
    u = User(t, queues=4).start()
    for tag in (b"once", b"again"):
        u.all_pairs(tag)
    eq(sum(len(f) for f in u.back.frames), 0, "more frames than were sent")
    u.close()


@case("net-vhost-user/ring-features")
def ring_features(t):
    for features in (0, bits(F_MRG_RXBUF), bits(F_INDIRECT), bits(F_EVENT_IDX),
                     bits(F_MRG_RXBUF, F_INDIRECT, F_EVENT_IDX)):
        u = User(t, features=FEATURES & ~bits(F_MRG_RXBUF, F_INDIRECT, F_EVENT_IDX) | features)
        offered = u.nic.t.offered() & bits(F_MRG_RXBUF, F_INDIRECT, F_EVENT_IDX)
        eq(offered, features, "what the guest is offered of what the back-end has")
        u.start(bits(F_VERSION_1) | features)
        u.back.both_ways(u.nic, tag=b"%x" % features)
        frame = raw_frame(HOST_MAC, MAC, b"indirect", size=700)
        u.nic.send(0, frame, pieces=3, indirect=bool(features & bits(F_INDIRECT)))
        u.back.expect(frame, "a frame from the guest")
        u.close()


@case("net-vhost-user/5.1.3.1/what-is-offered-may-be-taken")
def offer_is_taken(t):
    """A back-end with offloads that lacks one which others of them need: those are not offered, and the rest is taken."""
    offloads = bits(F_CSUM, F_GUEST_CSUM, F_GUEST_TSO4, F_GUEST_TSO6, F_GUEST_ECN, F_HOST_TSO4, F_HOST_TSO6, F_HOST_ECN)
    for lacking, gone in ((bits(F_HOST_TSO4, F_HOST_TSO6), bits(F_HOST_ECN)),
                          (bits(F_GUEST_TSO4, F_GUEST_TSO6), bits(F_GUEST_ECN)),
                          (bits(F_HOST_TSO4, F_GUEST_TSO6), 0),
                          (bits(F_CSUM), bits(F_HOST_TSO4, F_HOST_TSO6, F_HOST_ECN)),
                          (bits(F_GUEST_CSUM), bits(F_GUEST_TSO4, F_GUEST_TSO6, F_GUEST_ECN))):
        u = User(t, features=FEATURES | offloads & ~lacking)
        eq(u.nic.t.offered() & offloads, offloads & ~lacking & ~gone, f"offloads offered by one without {lacking:#x}")
        u.start(u.nic.t.offered() & (FEATURES | offloads) & ~bits(F_LOG_ALL, F_PROTOCOL))
        u.close()


@case("net-vhost-user/5.1.6.5.5/active-pairs-are-enabled-rings")
def active_pairs(t):
    u = User(t, queues=4).start()
    since = u.back.mark()
    for n in (1, 3, 2, 4, 1, 4):
        u.nic.set_pairs(n)
        u.back.wait(lambda n=n: u.back.enabled() == [True] * 2 * n + [False] * 2 * (4 - n), f"{n} enabled pairs")
        for pair in range(n):
            u.back.both_ways(u.nic, pair, b"of %d" % n, n=1)
    eq(u.back.told("GET_VRING_BASE", since), [], "rings that were taken back")
    u.close()


@case("net-vhost-user/pairs-that-are-not-active-go-with-the-others")
def inactive_pairs(t):
    u = User(t, queues=2, server=True).start()

    def again():
        u.back.wait_ready(1)
        u.back.both_ways(u.nic, 0, b"alone", n=1)
        eq(u.back.enabled(), [True, True, False, False], "enabled rings")
        u.nic.set_pairs(2)
        u.back.wait_ready(2)
        u.all_pairs(b"both")
        u.nic.set_pairs(1)
    u.nic.set_pairs(1)
    again()
    u.close()
    u.again()
    again()
    for command in ("stop", "cont"):
        u.qmp.cmd(command)
    again()
    for up in (False, True):
        u.link(up)
    again()
    u.qmp.cmd("netdev_del", id="n0")
    u.close()
    u.again()
    u.qmp.cmd("netdev_add", type="vhost-user", id="n0", chardev="c0", queues=2)
    again()
    u.nic.t.reset()
    u.start()
    u.all_pairs(b"after a reset")
    u.close()


@case("net-vhost-user/interrupts")
def interrupts(t):
    u = User(t, queues=2).start(posted=8)
    u.pci.msix_clear()
    for pair in range(2):
        frame = raw_frame(MAC, HOST_MAC, b"interrupt %d" % pair, size=100)
        u.back.send(frame, pair)
        u.pci.msix_wait(1 + 2 * pair, "interrupt of the frame")
        u.nic.expect(pair, frame, "the frame")
        u.nic.send(pair, frame, wait=False)
        u.pci.msix_wait(2 + 2 * pair, "interrupt of the sent frame")
    u.close()


# ---- what is agreed upon ----

@case("net-vhost-user/protocol/none")
def no_protocol(t):
    u = User(t, features=FEATURES & ~bits(F_PROTOCOL))
    u.start()
    u.all_pairs()
    for name in ("GET_PROTOCOL_FEATURES", "SET_PROTOCOL_FEATURES", "SET_VRING_ENABLE", "GET_QUEUE_NUM"):
        check(not u.back.told(name), f"{name} without protocol features")
    u.close()


@case("net-vhost-user/protocol/each-feature-alone")
def each_feature(t):
    for number in [None, *range(17)]:
        u = User(t, protocol=0 if number is None else bits(number), nic_opts=",host_mtu=1400")
        u.start()
        u.back.both_ways(u.nic, tag=b"%r" % number, n=1)
        u.close()


@case("net-vhost-user/protocol/mq")
def protocol_mq(t):
    u = User(t, queues=2, pairs=3).start()
    eq(u.nic.max_pairs(), 2, "pairs of the NIC, as the option says")
    check(u.back.told("GET_QUEUE_NUM"), "GET_QUEUE_NUM was not asked")
    u.all_pairs()
    u.close()


@case("net-vhost-user/protocol/reply-ack")
def protocol_reply_ack(t):
    for protocol in (bits(P_REPLY_ACK), 0):
        u = User(t, protocol=protocol).start()
        asked = {m.name for m in u.back.messages if m.flags & NEED_REPLY}
        eq("SET_MEM_TABLE" in asked, bool(protocol), "acknowledgement of the table of memory")
        if not protocol:
            eq(asked, set(), "acknowledgements without the feature")
        u.all_pairs()
        u.close()


@case("net-vhost-user/protocol/mtu")
def protocol_mtu(t):
    u = User(t, protocol=PROTOCOL | bits(P_MTU), server=True, nic_opts=",host_mtu=1400").start(BASIC | bits(F_MTU))
    eq(u.nic.t.config(10, 2), 1400, "MTU in the configuration")
    for _ in range(2):
        u.back.wait_ready()
        eq(u.back.mtu, 1400, "MTU that the back-end was told")
        u.close()
        u.again(protocol=PROTOCOL | bits(P_MTU))
    u.close()


@case("net-vhost-user/protocol/rarp")
def protocol_rarp(t):
    """A driver that cannot announce itself is announced by the back-end."""
    u = User(t, protocol=PROTOCOL | bits(P_RARP)).start()
    u.qmp.cmd("announce-self", initial=50, max=50, rounds=1, step=0)
    u.back.wait(lambda: u.back.rarp, "SEND_RARP")
    eq(u.back.rarp, MAC, "address that the back-end was told")
    u.close()


@case("net-vhost-user/protocol/memory-slots")
def protocol_slots(t):
    u = User(t, protocol=PROTOCOL | bits(P_MEM_SLOTS), slots=16).start()
    check(u.back.told("GET_MAX_MEM_SLOTS"), "GET_MAX_MEM_SLOTS was not asked")
    check(u.back.told("ADD_MEM_REG") and not u.back.told("SET_MEM_TABLE"), "memory does not come by slots")
    u.all_pairs()
    u.nic.t.reset()
    u.start()
    u.all_pairs(b"after a reset")
    u.close()


@case("net-vhost-user/protocol/status")
def protocol_status(t):
    u = User(t, protocol=PROTOCOL | bits(P_STATUS)).start()
    u.back.wait(lambda: u.back.status & 4, "DRIVER_OK at the back-end")
    u.all_pairs()
    u.nic.t.reset()
    u.back.wait(lambda: not u.back.status & 4, "a back-end without DRIVER_OK after the reset")
    u.start()
    u.back.wait(lambda: u.back.status & 4, "DRIVER_OK at the back-end")
    u.all_pairs(b"after a reset")
    u.close()


@case("net-vhost-user/protocol/reset-device")
def protocol_reset(t):
    u = User(t, protocol=PROTOCOL | bits(P_RESET_DEVICE)).start()
    u.all_pairs()
    for _ in range(2):
        u.nic.t.reset()
        u.start()
        u.all_pairs(b"after a reset")
    u.close()


@case("net-vhost-user/protocol/inflight")
def protocol_inflight(t):
    u = User(t, queues=2, protocol=PROTOCOL | bits(P_INFLIGHT)).start()
    asked, given = u.back.told("GET_INFLIGHT_FD"), u.back.told("SET_INFLIGHT_FD")
    check(asked and given, "no buffer for what is in flight")
    _, _, queues, size = struct.unpack_from("<QQHH", asked[0].payload)
    check(queues >= 4 and size >= 256, f"a buffer for {queues} queues of {size}")
    u.all_pairs()
    u.close()


# ---- memory ----

@case("net-vhost-user/memory-is-told-as-it-is")
def memory_table(t):
    u = User(t).start()
    vm = u.vm
    vm.ram[0x500000:0x500008] = b"somebody"
    with u.back.lock:
        m, at = u.back.guest(0x500000, 8)
        eq(bytes(m[at:at + 8]), b"somebody", "guest RAM as the back-end sees it")
        check(sum(r.size for r in u.back.regions) <= len(vm.ram), "more memory than there is")
    u.close()


# ---- what happens to the device ----

@case("net-vhost-user/reset-and-start-again")
def reset_again(t):
    u = User(t, queues=2).start()
    u.all_pairs()
    for i in range(3):
        since = u.back.mark()
        u.nic.t.reset()
        eq(sorted(m.state[0] for m in u.back.told("GET_VRING_BASE", since)), [0, 1, 2, 3], "stopped rings")
        u.start(posted=16)
        u.all_pairs(b"round %d" % i)
    u.close()


@case("net-vhost-user/2.6.1/reset-of-one-queue")
def queue_reset(t):
    u = User(t)
    if not u.nic.t.offered() & bits(F_RING_RESET):
        u.close()
        return
    u.start(BASIC | bits(F_RING_RESET))
    u.all_pairs()
    since = u.back.mark()
    u.nic.t.queue_reset(1)
    check(1 in [m.state[0] for m in u.back.told("GET_VRING_BASE", since)], "the ring was not stopped")
    u.nic.tx[0] = u.nic.t.make_ring(1, None, 2)
    u.back.both_ways(u.nic, tag=b"after the reset of a queue")
    u.close()


@case("net-vhost-user/set-link")
def set_link(t):
    u = User(t, queues=2).start()
    u.all_pairs()
    for tag in (b"first", b"second"):
        u.link(False)
        u.expect_link(False, "after set_link")
        u.back.send(raw_frame(MAC, HOST_MAC, b"while down", size=80))
        u.nic.send(0, raw_frame(HOST_MAC, MAC, b"while down", size=80), wait=False)
        u.link(True)
        u.expect_link(True, "after set_link")
        u.back.wait_ready(2)
        u.back.poke()
        wait_for(lambda: drain(u), "what was sent while the link was down, or nothing")
        u.all_pairs(tag)
    u.close()


def drain(u):
    """Takes what is left from before, on both sides; true when the pair answers."""
    probe = raw_frame(HOST_MAC, MAC, b"probe" + os.urandom(8), size=80)
    u.nic.send(0, probe, wait=False)
    while u.back.recv(0)[1] != probe:
        pass
    while u.nic.tx[0].take():
        pass
    answer = raw_frame(MAC, HOST_MAC, b"answer" + os.urandom(8), size=80)
    u.back.send(answer)
    while u.nic.recv(0)[1] != answer:
        pass
    return True


@case("net-vhost-user/stop-and-cont")
def stop_cont(t):
    u = User(t, queues=2).start()
    u.all_pairs()
    since = u.back.mark()
    u.qmp.cmd("stop")
    eq(sorted(m.state[0] for m in u.back.told("GET_VRING_BASE", since)), [0, 1, 2, 3], "stopped rings")
    u.qmp.cmd("cont")
    u.back.wait_ready(2)
    u.all_pairs(b"after cont")
    u.close()
