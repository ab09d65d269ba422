# SPDX-License-Identifier: GPL-2.0-or-later
"""What a vhost-user back-end asks of the machine: by a channel of its own, honest or not; and the state of its link."""

import contextlib
import os
import socket
import struct
import time

from qtestlib import SCALE, WAIT_S, case, check, eq, wait_for
from test_net_vhost_user import User
from test_net_vhost_user_lies import Liar, u64
from vhostuserlib import USUAL
from vhostusermsg import (BACKEND_CONFIG_CHANGE, NEED_REPLY, P_BACKEND_REQ, P_CONFIG, P_MEM_SLOTS, P_RESET_DEVICE,
                          PROTOCOL, REPLY, VERSION, Raw, pack)
from virtiolib import bits

CHANNEL = PROTOCOL | bits(P_BACKEND_REQ, P_CONFIG)
RESETS = PROTOCOL | bits(P_MEM_SLOTS, P_RESET_DEVICE)


def answer(back, request):
    """The result that the machine answers REQUEST with."""
    back.requests.settimeout(WAIT_S)
    data = b""
    while len(data) < 20:
        part = back.requests.recv(20 - len(data))
        check(part, f"the channel was closed instead of an answer to {request}")
        data += part
    number, flags, size, result = struct.unpack("<IIIQ", data)
    eq((number, flags, size), (request, VERSION | REPLY, 8), "header of an answer")
    return result


def ask(back, request, payload=b""):
    back.ask(request, payload, VERSION | NEED_REPLY)
    return answer(back, request)


def say_link(u, up):
    u.back.link = up
    eq(ask(u.back, BACKEND_CONFIG_CHANGE), 0, "result of CONFIG_CHANGE_MSG")


# ---- the link ----

@case("net-vhost-user/channel/link")
def link(t):
    """The driver sees the link down when the back-end, or set_link, says so."""
    u = User(t, queues=2, server=True, protocol=CHANNEL).start()
    u.expect_link(True, "as the back-end said when it came")
    u.all_pairs()
    for up in (False, True):
        u.pci.msix_clear()
        say_link(u, up)
        u.pci.msix_wait(0, "configuration interrupt")
        u.expect_link(up, "as the back-end says")
    u.back.wait_ready(2)
    u.all_pairs(b"up again")
    u.link(False)
    say_link(u, False)
    u.link(True)
    u.expect_link(False, "as the back-end says, whatever set_link did")
    u.close()
    u.again(protocol=CHANNEL)
    u.expect_link(True, "with the next back-end")
    u.back.wait_ready(2)
    u.all_pairs(b"next")
    u.close()


@case("net-vhost-user/channel/link-that-is-down-at-first")
def link_down_first(t):
    u = User(t, server=True, protocol=CHANNEL)
    u.close()
    u.qmp.event("NETDEV_VHOST_USER_DISCONNECTED")
    u.qmp.events.clear()

    def down(back, _):
        back.link = False
        return USUAL
    u.again(protocol=CHANNEL, answers={"GET_PROTOCOL_FEATURES": down})
    u.qmp.event("NETDEV_VHOST_USER_CONNECTED")
    u.expect_link(False, "of a back-end that says so when it comes")
    u.nic.start(vectors=True)
    say_link(u, True)
    u.expect_link(True, "as the back-end says")
    u.back.wait_ready()
    u.all_pairs()
    u.close()


@case("net-vhost-user/channel/no-configuration")
def no_configuration(t):
    """One that has none to show, or no state of the link in it, has a link that is up."""
    for answers, kw in (({"GET_CONFIG": lambda *_: b""}, {}), ({}, {"features": 1 << 32 | 1 << 30})):
        u = User(t, protocol=CHANNEL, answers=answers, **kw)
        u.back.link = False
        u.start(1 << 32 | (0 if kw else 1 << 16))
        eq(ask(u.back, BACKEND_CONFIG_CHANGE), 0, "result of CONFIG_CHANGE_MSG")
        if not kw:
            u.back.wait_told("GET_CONFIG", u.back.mark() - 1)
            u.expect_link(True, "without a configuration")
        u.all_pairs()
        u.close()


# ---- requests ----

@case("net-vhost-user/channel/what-is-not-done-is-refused")
def refused(t):
    u = User(t, protocol=CHANNEL).start()
    u.all_pairs()
    before = u.vm.fds()
    for request, payload in ((0, b""), (1, bytes(40)), (3, bytes(24)), (4, bytes(8)), (5, bytes(8)), (6, bytes(16)),
                             (77, bytes(256)), (0xffffffff, b""), (BACKEND_CONFIG_CHANGE, b"x")):
        check(ask(u.back, request, payload), f"request {request} with {len(payload)} bytes is not refused")
        u.back.ask(request, payload)  # nobody wants to know
    null = os.open("/dev/null", os.O_RDONLY)
    socket.send_fds(u.back.requests, [pack(3, bytes(24), VERSION | NEED_REPLY)], [null] * 16)
    os.close(null)
    check(answer(u.back, 3), "a request with descriptors is not refused")
    eq(ask(u.back, BACKEND_CONFIG_CHANGE), 0, "result of what is done")
    eq(u.vm.fds(), before, "descriptors")
    u.all_pairs(b"after refusals")
    u.close()
    u = User(t, protocol=PROTOCOL | bits(P_BACKEND_REQ)).start()
    check(ask(u.back, BACKEND_CONFIG_CHANGE), "CONFIG_CHANGE_MSG without CONFIG is not refused")
    u.all_pairs()
    u.close()


@case("net-vhost-user/channel/messages-in-pieces")
def pieces(t):
    u = User(t, protocol=CHANNEL).start()
    message = pack(77, b"twenty bytes of data", VERSION | NEED_REPLY)
    for i in range(len(message)):
        u.back.requests.send(message[i:i + 1])
        if i % 9 == 0:
            u.qmp.cmd("query-status")
    check(answer(u.back, 77), "a message in pieces is not refused")
    u.back.requests.send(message[:17])
    u.all_pairs(b"half a message")
    u.nic.t.reset()
    u.start()
    u.all_pairs(b"after a reset")
    u.back.requests.send(message[17:])
    check(answer(u.back, 77), "a message in halves is not refused")
    u.back.requests.send(message[:5])
    u.close()


@case("net-vhost-user/channel/who-waits-for-us-while-we-wait")
def both_wait(t):
    """The machine waits for an answer of a back-end that waits for one of the machine's."""
    results = []

    def ask_first(back, _):
        results.extend(ask(back, request) for request in (BACKEND_CONFIG_CHANGE, 77))
        return USUAL
    u = User(t, protocol=CHANNEL, answers={"GET_VRING_BASE": ask_first}).start()
    u.all_pairs()
    begin = time.monotonic()
    u.nic.t.reset()
    check(time.monotonic() - begin < 4 * max(1, SCALE), "both wait for each other")
    eq([bool(r) for r in results], [False, True] * 2, "refused requests")
    u.start()
    u.all_pairs(b"after both waited")
    u.close()


@case("net-vhost-user/channel/a-back-end-that-does-without")
def without(t):
    u = User(t, server=True, protocol=CHANNEL, answers={"SET_BACKEND_REQ_FD": u64(1)}).start()
    u.all_pairs()
    eq(u.back.requests, None, "a channel that was refused")
    u.close()
    u.again(protocol=CHANNEL)
    u.back.wait_ready()
    eq(ask(u.back, BACKEND_CONFIG_CHANGE), 0, "result of CONFIG_CHANGE_MSG")
    u.back.requests.close()
    u.all_pairs(b"after the channel's end")
    u.nic.t.reset()
    u.start()
    u.all_pairs(b"after a reset")
    u.back.requests = None
    u.close()


# ---- lies ----

def send_noise(data):
    def act(u):
        with contextlib.suppress(OSError):  # the connection may have ended
            u.back.requests.sendall(data)
    return act


def never_read(u):
    """Asks for more answers than fit, and reads none."""
    data, channel = pack(77, b"", VERSION | NEED_REPLY), u.back.requests
    with contextlib.suppress(OSError):
        for _ in range(5000):
            channel.send(data)


@case("net-vhost-user/channel/lies")
def lies(t):
    liar = Liar(t)
    u = liar.u
    for what, act in (("an answer", send_noise(pack(2, b"", VERSION | REPLY))),
                      ("version 2", send_noise(pack(2, b"", 2))),
                      ("a size beyond all", send_noise(pack(77, b"", VERSION, size=0xffffffff))),
                      ("one byte too many", send_noise(pack(77, b"", VERSION, size=257))),
                      ("noise", send_noise(b"\xff" * 4096)),
                      ("answers that nobody reads", never_read)):
        since = len(liar.lines(0))
        u.again(protocol=CHANNEL)
        u.start(posted=8)
        act(u)
        liar.gone(what)
        wait_for(lambda since=since: liar.lines(since), f"a word about {what}")
        eq(len(liar.lines(since)), 1, f"lines about {what}: {liar.lines(since)}")
        check("request" in liar.lines(since)[0], f"{what}: {liar.lines(since)}")
        liar.honest(what)


@case("net-vhost-user/channel/configurations-that-lie")
def config_lies(t):
    liar = Liar(t)
    u = liar.u
    for what, bad in (("short", lambda *_: bytes(4)), ("long", lambda *_: bytes(300)),
                      ("not of us", lambda *_: Raw(pack("GET_STATUS", bytes(20))))):
        liar.row(f"GET_CONFIG: {what}", {"GET_CONFIG": bad}, bits(P_CONFIG))
    u.again(protocol=CHANNEL)
    u.start(posted=8)
    u.back.answers["GET_CONFIG"] = lambda *_: bytes(4)
    u.back.ask(BACKEND_CONFIG_CHANGE)
    liar.gone("a configuration that changes into nothing")
    liar.honest("a configuration that changes into nothing")


@case("net-vhost-user/channel/flood")
def flood(t):
    """Thousands of changes are a few questions, and the machine goes on meanwhile."""
    u = User(t, queues=2, protocol=CHANNEL).start()
    since = u.back.mark()
    begin = time.monotonic()
    data = pack(BACKEND_CONFIG_CHANGE, b"", VERSION)
    for i in range(4):
        for _ in range(400):
            u.back.requests.send(data)
        u.qmp.cmd("query-status")
        u.back.both_ways(u.nic, i % 2, b"flood", n=1)
    say_link(u, False)
    u.expect_link(False, "after the flood")
    took = time.monotonic() - begin
    asked = len(u.back.told("GET_CONFIG", since))
    check(asked <= 3 + took / 0.04, f"{asked} questions in {took} seconds")
    u.close()


# ---- memory after a reset ----

def slots_reset(t, answers):
    u = User(t, queues=2, server=True, protocol=RESETS, answers=answers).start()
    for _ in range(2):
        u.all_pairs(b"before")
        since = u.back.mark()
        u.nic.t.reset()
        check(u.back.told("RESET_DEVICE", since), "RESET_DEVICE was not told")
        u.start(posted=16)
        u.all_pairs(b"after a reset")
        known = [(r.guest, r.size) for r in u.back.regions]
        eq(len(set(known)), len(known), "regions that are there twice")
    u.close()
    u.again(protocol=RESETS, answers=answers)
    u.back.wait_ready(2)
    check(u.back.told("ADD_MEM_REG"), "the next back-end was told of no memory")
    u.all_pairs(b"next")
    u.nic.t.reset()
    u.start(posted=16)
    u.all_pairs(b"after its reset")
    u.close()


@case("net-vhost-user/protocol/memory-slots-after-reset-device/kept")
def slots_kept(t):
    slots_reset(t, {})


@case("net-vhost-user/protocol/memory-slots-after-reset-device/forgotten")
def slots_forgotten(t):
    """It knows all of its memory afterwards, once."""
    def forget(back, _):
        back.regions.clear()
        return USUAL
    slots_reset(t, {"RESET_DEVICE": forget})
