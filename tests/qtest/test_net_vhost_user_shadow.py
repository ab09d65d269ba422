# SPDX-License-Identifier: GPL-2.0-or-later
"""Pairs of a vhost-user NIC that an iothread serves for a while: filtered, captured, mapped, limited. The back-end has
rings of the emulator's then; no frame is lost on the way there and back, or changes its place."""

import struct

from netlib import HOST_MAC, raw_frame
from qtestlib import case, check, eq, wait_for
from test_net_filters import Channel, tshark
from test_net_vhost_user import MQ, User
from test_net_vhost_user_life import Load
from vhostusermsg import FEATURES, P_INFLIGHT, P_MEM_SLOTS, PROTOCOL
from virtiolib import (BASIC, F_EVENT_IDX, F_INDIRECT, F_MRG_RXBUF, F_VERSION_1, MAC, NEEDS_RESET, bits)

SHADOW = 1 << 32


def add(u, kind, ident="f0", **more):
    u.qmp.cmd("object-add", arguments_={"qom-type": f"filter-{kind}", "id": ident, "netdev": "n0",
                                        **{k.replace("_", "-"): v for k, v in more.items()}})


def delete(u, ident="f0"):
    u.qmp.cmd("object-del", id=ident)


def owners(u):
    return [q["owner"] for q in u.qmp.cmd("query-net-queues")]


def mapping(u, backend, pairs):
    u.qmp.cmd("virtio-net-set-queue-mapping", id="nic0", mapping=[{"pair": p, "backend": backend} for p in pairs])


def limit(u, rate):
    u.qmp.cmd("virtio-net-set-rate-limit", id="nic0", rx={"packets-per-second": rate}, tx={"packets-per-second": rate})


def shadowed(u, pair):
    """The back-end's rings of the pair lie where no guest memory is."""
    with u.back.lock:
        region = [r for r in u.back.regions if r.guest == SHADOW]
        return bool(region) and all(region[0].user <= a < region[0].user + region[0].size
                                    for r in u.back.rings[2 * pair:2 * pair + 2] for a in r.addresses)


# ---- frames ----

@case("net-vhost-user/shadow/a-capture-of-all-pairs-and-back")
def capture(t):
    u = User(t, queues=2, server=True).start()
    u.all_pairs(b"before")
    u.qmp.events.clear()
    path = t.dir / "all.pcapng"
    add(u, "dump", file=str(path), format="pcapng")
    for pair in range(2):
        event = u.qmp.event("NET_QUEUE_MAPPING_CHANGED")["data"]
        eq((event["pair"], event["owner"]), (pair, "iothread"), "event of a pair that is captured")
        check("filter-dump" in event["reason"], f"reason: {event}")
    eq(owners(u), ["iothread"] * 2, "owners")
    u.back.wait_ready(2)
    check(shadowed(u, 0) and shadowed(u, 1), "rings of the guest's at a captured pair")
    u.all_pairs(b"captured")
    big = raw_frame(MAC, HOST_MAC, b"several buffers", size=9000)
    u.back.send(big, 1)
    u.nic.expect(1, big, "a frame in several buffers")
    delete(u)
    for pair in range(2):
        event = u.qmp.event("NET_QUEUE_MAPPING_CHANGED")["data"]
        eq((event["pair"], event["owner"]), (pair, "vhost"), "event of a pair that was captured")
    eq(owners(u), ["vhost"] * 2, "owners afterwards")
    u.back.wait_ready(2)
    check(not shadowed(u, 0) and not shadowed(u, 1), "rings of ours at a pair that is not captured")
    u.all_pairs(b"after")
    rows = tshark(path, "frame.interface_name", "frame.len")
    eq(sorted(map(tuple, rows)),
       sorted([(f"n0.{p}", n) for p in range(2) for n in ("60", "61", "1514") * 2] + [("n0.1", "9000")]),
       "frames of the capture")
    u.close()


@case("net-vhost-user/shadow/ring-features")
def ring_features(t):
    for extra in (0, bits(F_MRG_RXBUF), bits(F_EVENT_IDX), bits(F_MRG_RXBUF, F_INDIRECT, F_EVENT_IDX)):
        u = User(t, features=FEATURES & ~bits(F_MRG_RXBUF, F_INDIRECT, F_EVENT_IDX) | extra)
        mapping(u, "iothread", [0])
        u.start(bits(F_VERSION_1) | extra)
        check(shadowed(u, 0), "rings of the guest's")
        for i in range(90):  # more than once around
            u.back.both_ways(u.nic, tag=b"%x.%d" % (extra, i))
        u.close()


@case("net-vhost-user/shadow/one-pair-of-two")
def one_of_two(t):
    u = User(t, queues=2, server=True).start()
    add(u, "buffer", queue_index=1, interval=1000)
    eq(owners(u), ["vhost", "iothread"], "owners")
    u.back.wait_ready(2)
    check(shadowed(u, 1) and not shadowed(u, 0), "rings of one pair")
    u.all_pairs(b"one filtered")
    for n in (1, 2, 1, 2):
        u.nic.set_pairs(n)
    u.back.wait_ready(2)
    u.all_pairs(b"after a change of their number")
    delete(u)
    u.back.wait_ready(2)
    u.all_pairs(b"none filtered")
    u.close()


@case("net-vhost-user/shadow/pairs-that-are-not-active-stay-so")
def inactive(t):
    """What is done to a pair that the driver does not use has it served by nobody, until the driver uses it."""
    u = User(t, queues=2, server=True).start()
    u.nic.set_pairs(1)
    one, both = [True] * 2 + [False] * 2, [True] * 4
    for what, do in (("nothing", lambda: None), ("a filter", lambda: add(u, "buffer", interval=1)),
                     ("no filter", lambda: delete(u)), ("a mapping", lambda: mapping(u, "iothread", [1]))):
        do()
        u.back.both_ways(u.nic, 0, what.encode())
        eq(u.back.enabled(), one, f"rings that are enabled with {what}")
    u.nic.set_pairs(2)
    u.all_pairs(b"active")
    eq(u.back.enabled(), both, "rings that are enabled")
    check(shadowed(u, 1) and not shadowed(u, 0), "rings of the pair that was mapped")
    u.nic.set_pairs(1)
    mapping(u, "vhost", [1])
    eq(u.back.enabled(), one, "rings that are enabled after the way back")
    u.nic.set_pairs(2)
    u.all_pairs(b"active again")
    check(not shadowed(u, 1), "rings of ours after the way back")
    u.close()


@case("net-vhost-user/shadow/a-mirror-sees-both-directions")
def mirror(t):
    u = User(t, server=True).start()
    channel = Channel(u, "m0")
    add(u, "mirror", outdev="m0")
    u.back.wait_ready()
    for i in range(20):
        up, down = (raw_frame(*ends, b"%d" % i, size=60 + 50 * i) for ends in ((HOST_MAC, MAC), (MAC, HOST_MAC)))
        u.nic.send(0, up)
        u.back.expect(up, "a frame from the guest")
        eq(channel.recv(), up, "its copy")
        u.back.send(down)
        u.nic.expect(0, down, "a frame to the guest")
        eq(channel.recv(), down, "its copy")
    u.close()


# ---- moves ----

def lossless(load):
    """All that was sent has come, in its order; but for what a back-end that got no CPU has not taken in time from
    rings that end, which is counted."""
    u = load.u

    def dropped():
        return [p["stats"]["tx-dropped"] for p in u.qmp.cmd("query-net-queues", arguments_={"name": "nic0"})]

    def done():
        u.back.failed()
        for pair in range(u.queues):
            load.collect(pair)
        out = [len(o) + n for o, n in zip(load.out, dropped())]
        return (out, [len(c) for c in load.came]) == (load.sent, load.given)
    wait_for(done, f"all frames: {load.sent} {load.given}")
    for pair in range(u.queues):
        eq(load.out[pair], sorted(set(load.out[pair])), f"frames from the guest at pair {pair}, once each and in order")
        eq(load.came[pair], list(range(load.given[pair])), f"frames to the guest at pair {pair}")


@case("net-vhost-user/shadow/moves-under-load-keep-order-and-count")
def moves(t):
    u = User(t, queues=2, server=True).start(posted=64)
    load = Load(u)
    load.run(20)
    filters = (lambda: add(u, "dump", file=str(t.dir / "d.pcap")), lambda: add(u, "buffer", "f1", interval=500),
               lambda: delete(u, "f0"), lambda: delete(u, "f1"))
    limits = lambda: limit(u, 1000000), lambda: limit(u, 0)
    mappings = lambda: mapping(u, "iothread", [0, 1]), lambda: mapping(u, "vhost", [1, 0])
    for step in filters * 2 + limits * 2 + mappings * 2 + filters:
        for _ in range(3):
            load.turn()
        step()
        load.run(15)
    eq(owners(u), ["vhost"] * 2, "owners at last")
    lossless(load)
    u.close()


@case("net-vhost-user/shadow/frames-that-wait-for-buffers-stay-in-their-order")
def no_buffers(t):
    u = User(t, server=True).start(posted=4)
    mapping(u, "iothread", [0])
    u.back.wait_ready()
    frames = [raw_frame(MAC, HOST_MAC, b"%d" % i, size=200 + i) for i in range(40)]
    for f in frames:
        u.back.send(f)
    u.back.wait(lambda: not u.back.pending[0], "frames that the back-end got rid of")
    mapping(u, "vhost", [0])
    eq(owners(u), ["iothread"], "owner while frames wait")
    up = raw_frame(HOST_MAC, MAC, b"meanwhile")
    u.nic.send(0, up)
    u.back.expect(up, "a frame from the guest meanwhile")
    for f in frames[:20]:
        u.nic.expect(0, f, "a frame that waited")
    add(u, "buffer", interval=1)
    for f in frames[20:]:
        u.nic.expect(0, f, "a frame that waited")
    delete(u)
    wait_for(lambda: owners(u) == ["vhost"], "the return to the back-end")
    u.back.wait_ready()
    u.all_pairs(b"back")
    u.close()


@case("net-vhost-user/shadow/a-back-end-that-stands-still-gets-all-frames-later")
def stalled(t):
    u = User(t, server=True).start(posted=64)
    mapping(u, "iothread", [0])
    u.back.wait_ready()
    u.all_pairs()
    u.back.stalled = True
    u.back.poke()
    frames = [raw_frame(HOST_MAC, MAC, b"%d" % i, size=60 + i) for i in range(500)]
    ring, sent = u.nic.tx[0], 0
    while sent < 100 or (sent < len(frames) and (ring.take() or len(ring.free) > 4)):
        while ring.take():
            pass
        if len(ring.free) < 4:
            break
        u.nic.send(0, frames[sent], wait=False)
        sent += 1
    u.back.resume()
    for f in frames[:sent]:
        u.back.expect(f, "a frame that waited")
    wait_for(lambda: ring.take() is None and len(ring.free) == ring.size, "the driver's buffers")
    u.all_pairs(b"afterwards")
    u.close()


# ---- what is set before the start ----

@case("net-vhost-user/shadow/by-options")
def by_options(t):
    u = User(t, queues=2, server=True, nic_opts=',queue-mapping.0.pair=0,queue-mapping.0.backend=iothread').start()
    eq(owners(u), ["iothread", "vhost"], "owners with queue-mapping=")
    u.all_pairs()
    u.nic.t.reset()
    u.start()
    check(shadowed(u, 0) and not shadowed(u, 1), "rings after a reset")
    u.all_pairs(b"again")
    for command in ("stop", "cont"):
        u.qmp.cmd(command)
    u.back.wait_ready(2)
    u.all_pairs(b"after stop and cont")
    u.link(False)
    u.link(True)
    u.back.wait_ready(2)
    u.all_pairs(b"after set_link")
    u.close()


@case("net-vhost-user/shadow/rate-limits")
def rate_limits(t):
    u = User(t, queues=2, server=True, nic_opts=",rx-packets-per-second=100000,tx-bytes-per-second=100000000").start()
    eq(owners(u), ["iothread"] * 2, "owners of limited pairs")
    u.all_pairs()
    limit(u, 0)
    eq(owners(u), ["vhost"] * 2, "owners of unlimited pairs")
    u.back.wait_ready(2)
    u.all_pairs(b"unlimited")
    u.close()


@case("net-vhost-user/shadow/announcement")
def announce(t):
    u = User(t, server=True).start(bits(F_VERSION_1))
    mapping(u, "iothread", [0])
    u.back.wait_ready()
    u.qmp.cmd("announce-self", arguments_={"initial": 50, "max": 50, "rounds": 1, "step": 10})
    frame = u.back.recv()[1]
    eq((frame[6:12], frame[12:14]), (MAC, b"\x80\x35"), "source and type of an announcement")
    u.close()


# ---- the back-end comes and goes ----

def restarts(t, **kw):
    u = User(t, queues=2, server=True, **kw).start(posted=64)
    load = Load(u)
    add(u, "dump", file=str(t.dir / "d.pcap"), queue_index=1)
    for i in range(3):
        load.run(40)
        u.close()
        for _ in range(5):
            load.turn()  # nobody is there
        if i == 1:
            add(u, "buffer", "f1", interval=1, queue_index=0)
        u.again()
        u.back.wait_ready(2)
        load.run(40)
        eq(u.nic.t.status & NEEDS_RESET, 0, "NEEDS_RESET after a restart of the back-end")
    eq(owners(u), ["iothread"] * 2, "owners")
    delete(u, "f1")
    delete(u, "f0")
    u.back.wait_ready(2)
    load.run(40)
    load.settle()
    wait_for(lambda: all(c[-1] == g - 1 for c, g in zip(load.came, load.given)) or load.collect(0) or load.collect(1),
             "the last frames to the guest")
    u.all_pairs(b"at last")
    u.close()


@case("net-vhost-user/shadow/restart-under-load")
def restart(t):
    restarts(t)


@case("net-vhost-user/shadow/restart-under-load/with-an-inflight-buffer-and-slots")
def restart_inflight(t):
    restarts(t, protocol=PROTOCOL | bits(P_INFLIGHT, P_MEM_SLOTS))


@case("net-vhost-user/shadow/netdev-del-and-device-reset-leave-nothing")
def leave(t):
    u = User(t, queues=2, server=True).start()
    before = None
    for _ in range(3):
        add(u, "buffer", interval=1)
        u.back.wait_ready(2)
        u.all_pairs(b"filtered")
        u.qmp.cmd("netdev_del", id="n0")  # and with it its filters
        u.close()
        u.again()
        u.qmp.cmd("netdev_add", type="vhost-user", id="n0", chardev="c0", queues=2)
        u.back.wait_ready(2)
        u.all_pairs(b"again")
        before = before or (u.vm.fds(), sorted(u.vm.thread_names().values()))
    eq((u.vm.fds(), sorted(u.vm.thread_names().values())), before, "descriptors and threads")
    u.close()


# ---- lies ----

def used(ring, count, ident, length):
    """Writes COUNT elements into the used ring, whatever is true."""
    part, at = ring.used
    idx = struct.unpack_from("<H", part, at + 2)[0]
    for i in range(count):
        struct.pack_into("<II", part, at + 4 + 8 * ((idx + i) % ring.num), ident, length)
    struct.pack_into("<H", part, at + 2, idx + count & 0xffff)
    ring.tell(idx, idx + count & 0xffff)


LIES = ((0, 1, 0xffffffff, 100), (0, 1, 300, 100), (0, 300, 0, 100), (0, 2, 0, 5), (0, 1, 0, 70000),
        (0, 40000, 0, 0), (1, 1, 0, 0), (1, 1, 7, 7))


@case("net-vhost-user/shadow/a-back-end-that-lies-is-dropped")
def lies(t):
    u = User(t, server=True).start()
    add(u, "buffer", interval=1)
    for ring, *lie in LIES:
        u.back.wait_ready()
        u.all_pairs(b"before a lie")
        with u.back.lock:
            used(u.back.rings[ring], *lie)
        if ring == 1:  # where nobody looks without a reason
            u.nic.send(0, raw_frame(HOST_MAC, MAC, b"lost"))
        u.back.wait(lambda: u.back.connections and not u.back.sock, f"the end of the connection: {ring} {lie}")
        u.close()
        u.again()
        u.qmp.events.clear()
        eq(u.nic.t.status & NEEDS_RESET, 0, "NEEDS_RESET after a lie")
    u.back.wait_ready()
    u.all_pairs(b"at last")
    u.close()


@case("net-vhost-user/shadow/headers-that-lie-are-dropped")
def headers(t):
    """Frames that are no frames are dropped, and what follows passes."""
    u = User(t, server=True).start(BASIC)
    mapping(u, "iothread", [0])
    u.back.wait_ready()
    ring = u.back.rings[0]
    u.back.wait(lambda: ring.waiting() >= 8, "buffers")
    for size, n in ((0, 1), (11, 1), (12, 1), (100, 9), (100, 65535), (0, 0)):
        with u.back.lock:
            head, _, into = ring.chain()
            (m, at), _ = into[0]
            m[at:at + 12] = bytes(10) + struct.pack("<H", n)
            ring.use([(head, size)])
    with u.back.lock:  # longer than any frame may be
        chains = [ring.chain(ahead) for ahead in range(2)]
        (m, at), _ = chains[0][2][0]
        m[at:at + 12] = bytes(10) + struct.pack("<H", 2)
        ring.use([(chain[0], 69632) for chain in chains])
    u.all_pairs(b"afterwards")
    u.close()


@case("net-vhost-user/shadow/no-slot-for-the-memory")
def no_slot(t):
    """A process that takes no further region keeps the rings that it has: the pair waits, and says why."""
    u = User(t, server=True, protocol=PROTOCOL | bits(P_MEM_SLOTS)).start()
    with u.back.lock:
        n = len(u.back.regions)
    u.close()
    u.again(protocol=PROTOCOL | bits(P_MEM_SLOTS), slots=n)
    u.back.wait_ready()
    add(u, "buffer", interval=1)
    wait_for(lambda: "shadow" in u.vm.log(), "a word about it")
    delete(u)
    u.back.wait_ready()
    u.all_pairs()
    u.close()
