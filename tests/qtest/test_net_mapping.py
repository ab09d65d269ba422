# SPDX-License-Identifier: GPL-2.0-or-later
"""Queue pairs that are given to other threads, and threads to other CPUs, while frames flow.

vhost-net is played in tests/unit (test-net-move), as hosts of tests need not have it.
"""

import os
import random
import struct
import time

from netlib import HOST_MAC, delete_link, raw_frame, udp_frame
from qmplib import Qmp
from qtestlib import case, check, eq, wait_for
from test_net_hot import ID, Hot, refused, refused_line, state
from test_virtio_net_inflight import Counted
from test_virtio_net_mq import MQ
from virtiolib import (BASIC, F_EVENT_IDX, F_IN_ORDER, F_INDIRECT, F_PACKED, F_RING_RESET, MAC, NEEDS_RESET,
                       bits)

TUN = ("root", "tun")
NAMES = ("io0", "io1", "io2")
THREADS = [o for i in NAMES for o in ("-object", f"iothread,id={i}")]
COMMAND = "virtio-net-set-queue-mapping"
EVENT = "NET_QUEUE_MAPPING_CHANGED"
PATH = "/machine/peripheral/nic0/virtio-backend"


def to(pair, iothread=None, **more):
    entry = {"pair": pair, "backend": "iothread", **more}
    return {**entry, "iothread": iothread} if iothread else entry


def move(qmp, *entries, ident="nic0"):
    qmp.cmd(COMMAND, arguments_={"id": ident, "mapping": list(entries)})


def owners(qmp):
    return [q.get("iothread") or q["owner"] for q in qmp.cmd("query-net-queues")]


def moves(qmp):
    """How often each pair was moved."""
    return [q["stats"]["moves"] for q in qmp.cmd("query-net-queues")]


def events(qmp):
    """Those of moves that have come; takes them. One in a second for each pair is sent."""
    qmp.cmd("query-name")
    found = [e["data"] for e in qmp.events if e["event"] == EVENT]
    qmp.events = [e for e in qmp.events if e["event"] != EVENT]
    return found


# ---- refused ----

@case("net-mapping/refused/command", needs=TUN)
def refused_command(t):
    hot = Hot(t, queues=2, extra=THREADS).start()
    move(hot.qmp, to(0, "io0"), to(1, "io1"))
    events(hot.qmp)
    before = state(hot.qmp, hot.vm)
    eq(owners(hot.qmp), ["io0", "io1"], "owners")
    for text, mapping in (("pair 2 is not in 0..1", [to(0, "io2"), to(2, "io0")]),
                          ("pair 65535 is not in 0..1", [to(65535, "io0")]),
                          ("pair 0 is named twice", [to(0, "io2"), to(1, "io2"), to(0, "io2")]),
                          ("pair 1: iothread 'nobody' not found", [to(0, "io2"), to(1, "nobody")]),
                          ("pair 0: iothread '' not found", [{**to(0), "iothread": ""}]),
                          ("pair 1: backend 'vhost' needs a netdev with vhost=on",
                           [to(0, "io2"), {"pair": 1, "backend": "vhost"}]),
                          ("pair 0: 'iothread' goes with backend 'iothread' only",
                           [{"pair": 0, "backend": "vhost", "iothread": "io0"}]),
                          ("backend' does not accept value 'user'", [{"pair": 0, "backend": "user"}]),
                          ("backend' is missing", [{"pair": 0, "iothread": "io2"}]),
                          ("pair' is missing", [{"backend": "iothread"}]),
                          ("pair'.*integer", [to(65536, "io0")]),
                          ("pair'.*integer", [to(-1, "io0")]),
                          ("pair'.*integer", [to("0", "io0")]),
                          ("colour'", [to(0, "io2", colour=1)]),
                          ("iothread'.*string", [{**to(0), "iothread": 1}]),
                          ("object", [0]),
                          ("array", to(0, "io2"))):
        refused(hot.qmp, hot.vm, text, COMMAND, {"id": "nic0", "mapping": mapping}, before=before)
    good = [to(0, "io2")]
    for text, arguments, cls in (("'nobody' not found", {"id": "nobody", "mapping": good}, "DeviceNotFound"),
                                 ("'' not found", {"id": "", "mapping": good}, "DeviceNotFound"),
                                 ("'n0' is a netdev", {"id": "n0", "mapping": good}, "GenericError"),
                                 ("'id' is missing", {"mapping": good}, "GenericError"),
                                 ("'mapping' is missing", {"id": "nic0"}, "GenericError"),
                                 ("'force'", {"id": "nic0", "mapping": good, "force": True}, "GenericError")):
        refused(hot.qmp, hot.vm, text, COMMAND, arguments, cls, before=before)
    eq(events(hot.qmp), [], "events")
    hot.nic.both_ways(hot.host)


@case("net-mapping/refused/human-monitor", needs=TUN)
def refused_lines(t):
    hot = Hot(t, queues=2, extra=THREADS).start()
    line = "virtio_net_set_queue_mapping "
    for text, rest in (("is missing", ""), ("is missing", "nic0"), ("'0': expects PAIR=OWNER", "nic0 0"),
                       ("'': expects PAIR=OWNER", "nic0 0=iothread:io0,"), ("owner 'io0' is none of", "nic0 0=io0"),
                       ("owner '' is none of", "nic0 0="), ("'PAIR'", "nic0 x=vhost"), ("'PAIR'", "nic0 =vhost"),
                       ("'PAIR'", "nic0 65536=vhost"), ("'PAIR'", "nic0 -1=vhost"),
                       ("iothread '' not found", "nic0 0=iothread:"),
                       ("pair 1: iothread 'x' not found", "nic0 0=iothread:io0,1=iothread:x"),
                       ("pair 0: backend 'vhost' needs", "nic0 0=vhost"), ("'x' not found", "x 0=iothread"),
                       ("pair 7 is not in 0..1", "nic0 7=iothread"), ("too much", "nic0 0=iothread 1=iothread")):
        refused_line(hot, text, (line + rest).strip())
    line = "iothread_set_affinity "
    for text, rest in (("is missing", ""), ("is missing", "io0"), ("'x' not found", "x 0"),
                       ("'9-' is no list of CPUs", "io0 9-"), ("CPU 0 is named twice", "io0 0:0"),
                       ("CPU 65535 does not exist", "io0 65535")):
        refused_line(hot, text, (line + rest).strip())
    line = "virtio_net_set_vhost_affinity "
    for text, rest in (("is missing", ""), ("is missing", "nic0"), ("'9-' is no list of CPUs", "nic0 9-"),
                       ("'' not found", "'' 0"), ("'x' not found", "x 0"), ("'n0' is a netdev", "n0 0"),
                       ("cpus: CPU 0 is named twice", "nic0 0:0"),
                       ("no pair of 'nic0' is meant for vhost-net", "nic0 0"),
                       ("pair 1: has no vhost worker: it needs a netdev with vhost=on", "nic0 all 1"),
                       ("pair 2 is not in 0..1", "nic0 0 2"), ("'PAIR'", "nic0 0 x"), ("'PAIR'", "nic0 0 0,"),
                       ("'PAIR'", "nic0 0 65536"), ("too much", "nic0 0 0 1")):
        refused_line(hot, text, (line + rest).strip())
    hot.nic.both_ways(hot.host)


# ---- moves of pairs at rest ----

@case("net-mapping/owners-events-and-counters", needs=TUN)
def owners_and_events(t):
    hot = Hot(t, queues=4, extra=THREADS).start()
    own = owners(hot.qmp)
    check(all(o.startswith("IO nic0/") for o in own), f"owners at start: {own}")
    fds = hot.vm.fds()
    move(hot.qmp, *(to(i, NAMES[i % 2]) for i in range(4)))
    eq(owners(hot.qmp), ["io0", "io1", "io0", "io1"], "four pairs on two iothreads")
    eq(events(hot.qmp), [{"nic": "nic0", "qom-path": PATH, "pair": i, "owner": "iothread", "iothread": NAMES[i % 2]}
                         for i in range(4)], "events")
    check(not any(n.startswith("IO nic0") for n in hot.vm.thread_names().values()), "threads that nobody needs")
    tids = {i["id"]: i["thread-id"] for i in hot.qmp.cmd("query-iothreads")}
    eq([q["thread-id"] for q in hot.pairs()], [tids[NAMES[i % 2]] for i in range(4)], "thread ids")
    for i in range(4):
        hot.nic.both_ways(hot.host, 0)
    move(hot.qmp, to(1, "io1"), to(2, "io0"))
    move(hot.qmp)
    eq(events(hot.qmp), [], "events of moves that are none")
    move(hot.qmp, to(3, "io2"), to(2, "io0"))
    data = hot.qmp.event(EVENT)["data"]
    eq((data["pair"], data["iothread"]), (3, "io2"), "the only event")
    eq(moves(hot.qmp), [1, 1, 1, 2], "counted moves")
    move(hot.qmp, *(to(i) for i in range(4)))
    eq(owners(hot.qmp), own, "owners made for the device")
    move(hot.qmp, *(to(i) for i in range(4)))
    eq(moves(hot.qmp), [2, 2, 2, 3], "counted moves")
    last = [hot.qmp.event(EVENT)["data"] for _ in range(4)]
    eq(sorted((e["pair"], e["iothread"]) for e in last), list(enumerate(own)), "events")
    eq(hot.vm.fds(), fds, "open files")
    check(all("moving-to" not in q for q in hot.pairs()), "moving-to")
    hot.nic.both_ways(hot.host)


@case("net-mapping/human-monitor", needs=TUN)
def by_line(t):
    hot = Hot(t, queues=2, extra=THREADS).start()
    eq(hot.hmp("virtio_net_set_queue_mapping nic0 0=iothread:io2,1=iothread:io0"), "", "line")
    eq(owners(hot.qmp), ["io2", "io0"], "owners")
    check("owner=iothread,iothread=io2" in hot.hmp("info network"), hot.hmp("info network"))
    eq(hot.hmp("virtio_net_set_queue_mapping nic0 1=iothread"), "", "line")
    eq(owners(hot.qmp)[0], "io2", "owner of the pair that is not named")
    check(owners(hot.qmp)[1].startswith("IO nic0/"), f"owners {owners(hot.qmp)}")
    hot.nic.both_ways(hot.host)


@case("net-mapping/pairs-that-do-not-run", needs=TUN)
def not_running(t):
    """They start where the last mapping put them: before DRIVER_OK, while the driver uses fewer, while the machine is
    stopped or there is no netdev, after a reset."""
    hot = Hot(t, queues=2, extra=THREADS)
    move(hot.qmp, to(0, "io0"), to(1, "io1"))
    eq(owners(hot.qmp), ["main", "main"], "owners before the driver")
    hot.start()
    eq(owners(hot.qmp), ["io0", "io1"], "owners")
    hot.nic.set_pairs(1)
    move(hot.qmp, to(1, "io2"))
    eq(owners(hot.qmp), ["io0", "main"], "owners of one pair")
    hot.nic.set_pairs(2)
    eq(owners(hot.qmp), ["io0", "io2"], "owners of both")
    hot.qmp.cmd("stop")
    move(hot.qmp, to(0, "io1"), to(1, "io0"))
    hot.qmp.cmd("cont")
    eq(owners(hot.qmp), ["io1", "io0"], "owners after stop and cont")
    hot.delete()
    move(hot.qmp, to(0, "io2"))
    refused(hot.qmp, hot.vm, "pair 1: backend 'vhost' needs a netdev: 'nic0' has none", COMMAND,
            {"id": "nic0", "mapping": [to(0, "io0"), {"pair": 1, "backend": "vhost"}]})
    hot.back()
    eq(owners(hot.qmp), ["io2", "io0"], "owners with the netdev that came back")
    hot.nic.t.reset()
    move(hot.qmp, to(1, "io1"))
    hot.start()
    eq(owners(hot.qmp), ["io2", "io1"], "owners after a reset")
    eq(events(hot.qmp), [], "events")
    hot.link(False)
    move(hot.qmp, to(0, "io1"))
    eq(owners(hot.qmp), ["io1", "io1"], "owners while the link is down")
    hot.link(True)
    hot.nic.both_ways(hot.host)


@case("net-mapping/iothreads-come-and-go", needs=TUN)
def iothread_users(t):
    hot = Hot(t, queues=2, extra=THREADS).start()
    move(hot.qmp, to(0, "io0"), to(1, "io0"))
    for i in range(10):
        hot.qmp.cmd("object-add", arguments_={"qom-type": "iothread", "id": f"new{i}"})
        move(hot.qmp, to(0, f"new{i}"), to(1, f"new{i}"))
        refused(hot.qmp, hot.vm, f"iothread 'new{i}' is in use by 'nic0';", "object-del", {"id": f"new{i}"})
        refused(hot.qmp, hot.vm, "pair 1: iothread 'gone' not found", COMMAND,
                {"id": "nic0", "mapping": [to(0, "io0"), to(1, "gone")]})
        move(hot.qmp, to(0, "io0"))
        refused(hot.qmp, hot.vm, f"iothread 'new{i}' is in use by 'nic0';", "object-del", {"id": f"new{i}"})
        move(hot.qmp, to(1, "io0"))
        hot.qmp.cmd("object-del", id=f"new{i}")
        refused(hot.qmp, hot.vm, f"pair 0: iothread 'new{i}' not found", COMMAND,
                {"id": "nic0", "mapping": [to(0, f"new{i}")]})
    eq(owners(hot.qmp), ["io0", "io0"], "owners")
    for i in ("io1", "io2"):
        hot.qmp.cmd("object-del", id=i)
    hot.nic.both_ways(hot.host)
    eq(sorted(i["id"] for i in hot.qmp.cmd("query-iothreads")), ["io0"], "iothreads")


# ---- under traffic ----

class Moved(Counted):
    """Numbered frames, and pairs that move among iothreads."""

    def __init__(self, t, indirect=False, nic_opts="", **kw):
        self.indirect = indirect
        super().__init__(t, args=THREADS, qmp=True, nic_opts=ID + nic_opts, **kw)
        self.qmp = Qmp(self.vm.qmp_path)

    def offer(self, pair, n):
        if not self.indirect:
            return super().offer(pair, n)
        ring = self.nic.tx[pair]
        for i in range(n):
            data = bytes(12) + self.frame(pair, self.out[pair] + i)
            at = self.vm.alloc(256, 64)
            self.vm.ram[at:at + len(data)] = data
            ring.offer(ring.add(out=[(at, 12), (at + 12, len(data) - 12)], indirect=True))
        self.out[pair] += n
        ring.publish()

    def collect_guest(self):
        """The frames of a flow come in their order."""
        done = len(self.got_in)
        super().collect_guest()
        for n in self.got_in[done:]:
            flow = n % FLOWS
            check(n > self.last.get(flow, -1), f"frame {n} of flow {flow} came after {self.last.get(flow)}")
            self.last[flow] = n

    def send_in(self, n):
        for i in range(self.sent_in, self.sent_in + n):
            self.host.send(udp_frame(MAC, HOST_MAC, 2000 + i % FLOWS, 7000, struct.pack(">I", i)))
        self.sent_in += n

    def start(self):
        self.last = {}
        super().start()


FLOWS = 16


def traffic(t, n=60, pairs=4, seed=1, **kw):
    x, rng = Moved(t, pairs=pairs, **kw), random.Random(seed)
    heap = x.vm.heap
    for k in range(n):
        for pair in range(pairs):
            x.offer(pair, 12)
        x.kick(range(pairs))
        x.send_in(16)
        chosen = rng.sample(range(pairs), rng.randrange(1, pairs + 1))
        entries = [to(p, rng.choice((None, *NAMES))) for p in chosen]
        move(x.qmp, *entries)
        now = owners(x.qmp)
        for e in entries:
            want = e.get("iothread", "IO nic0/")
            check(now[e["pair"]].startswith(want), f"move {k}: {entries} made {now}")
        if k % 5 == 4:
            x.settle(f"move {k}")
            x.vm.heap = heap
    x.settle("all moves")
    check(sum(moves(x.qmp)) > n // 2, f"{moves(x.qmp)} moves")


for kind, features, more in (("split", 0, {}), ("event-idx", bits(F_EVENT_IDX), {}),
                             ("indirect", bits(F_INDIRECT, F_EVENT_IDX), {"indirect": True}),
                             ("in-order", bits(F_IN_ORDER), {"nic_opts": ",in_order=on"}),
                             ("packed", bits(F_PACKED), {"nic_opts": ",packed=on"}),
                             ("packed-event-idx", bits(F_PACKED, F_EVENT_IDX), {"nic_opts": ",packed=on"}),
                             ("packed-indirect", bits(F_PACKED, F_INDIRECT),
                              {"nic_opts": ",packed=on", "indirect": True}),
                             ("packed-odd-size", bits(F_PACKED, F_IN_ORDER, F_EVENT_IDX),
                              {"nic_opts": ",packed=on,in_order=on", "size": 251})):
    case(f"net-mapping/traffic/{kind}", needs=TUN)(
        lambda t, features=features, more=more: traffic(t, features=MQ | features, **more))


@case("net-mapping/traffic/200-random-moves", needs=TUN)
def many(t):
    traffic(t, n=200, seed=2, features=MQ | bits(F_EVENT_IDX))


@case("net-mapping/traffic/one-pair-without-control-queue", needs=TUN)
def one_pair(t):
    traffic(t, pairs=1, seed=3, features=BASIC | bits(F_EVENT_IDX))


@case("net-mapping/traffic/stop-and-cont", needs=TUN)
def stopped(t):
    """Frames that were offered while the machine stood still go out by the pair's new thread."""
    x, rng = Moved(t), random.Random(4)
    heap = x.vm.heap
    for k in range(20):
        for pair in range(4):
            x.offer(pair, 30)
        x.kick(range(4))
        x.send_in(40)
        x.qmp.cmd("stop")
        for pair in range(4):
            x.offer(pair, 10)
        move(x.qmp, *(to(p, rng.choice(NAMES)) for p in range(4)))
        if k % 2:
            move(x.qmp, *(to(p, rng.choice(NAMES)) for p in range(4)))
        x.send_in(20)
        x.qmp.cmd("cont")
        x.settle(f"round {k}")
        x.vm.heap = heap


@case("net-mapping/traffic/starved", needs=TUN)
def starved(t, **kw):
    """Frames that wait for the driver's buffers go with the pair, in front of those that come later."""
    hot = Hot(t, extra=THREADS, **kw)
    hot.nic.start(BASIC | bits(F_EVENT_IDX), posted=2, rx_size=256, vectors=True)
    move(hot.qmp, to(0, "io0"))
    sent = got = short = 0
    for k in range(30):
        for _ in range(1 + k % 3):
            hot.host.send(udp_frame(MAC, HOST_MAC, 2000, 7000, struct.pack(">I", sent) + bytes(1000 + 50 * (k % 7))))
            sent += 1
        # The first needs more buffers than there are.
        wait_for(lambda: hot.pairs()[0]["stats"]["rx-no-buffer"] > k, "a pair that waits for buffers")
        for name in NAMES[:1 + k % 3]:
            move(hot.qmp, to(0, name))
        eq(hot.nic.rx[0].used_idx, hot.nic.rx[0].seen, "used buffers while frames wait")
        while got < sent:
            hot.nic.post(0, 1, 256)
            if hot.nic.rx[0].used_idx == hot.nic.rx[0].seen:
                time.sleep(0.002)
                continue
            frame = take(hot.nic)
            eq(struct.unpack_from(">I", frame, 42)[0], got, "number of a frame")
            got += 1
        short += use_up(hot, 2)
    stats = hot.pairs()[0]["stats"]
    eq((stats["rx-errors"], stats["rx-too-long"], stats["rx-filtered"]), (0, 0, 0), "losses")
    eq(stats["rx-packets"], sent + short, "packets")
    check(not hot.nic.t.status & NEEDS_RESET, "NEEDS_RESET")


def take(nic):
    """A frame whose buffers are not posted again."""
    ring = nic.rx[0]
    _, written, (at, _) = ring.wait("a frame")
    n = struct.unpack_from("<H", nic.vm.ram, at + 10)[0]
    data = bytes(nic.vm.ram[at:at + written])
    for _ in range(n - 1):
        _, written, (at, _) = ring.wait("the rest of a frame")
        data += bytes(nic.vm.ram[at:at + written])
    return data[nic.hdr_len:]


def use_up(hot, left):
    """Short frames, until only LEFT buffers are with the device; how many."""
    n = 0
    while len(hot.nic.rx[0].chains) > left:
        hot.host.send(raw_frame(MAC, payload=b"x", size=60))
        take(hot.nic)
        n += 1
    return n


@case("net-mapping/traffic/resets", needs=TUN)
def resets(t):
    """The driver resets device and rings between moves."""
    x, rng = Moved(t, features=MQ | bits(F_EVENT_IDX, F_RING_RESET)), random.Random(5)
    heap = x.vm.heap
    for k in range(15):
        for pair in range(4):
            x.offer(pair, 20)
        x.kick(range(4))
        x.send_in(20)
        move(x.qmp, *(to(p, rng.choice(NAMES)) for p in range(4)))
        x.settle(f"round {k}")
        if k % 3 == 0:
            x.vm.heap = heap
            x.start()
        elif k % 3 == 1:
            q = 2 * rng.randrange(4) + 1
            x.nic.t.queue_reset(q)
            move(x.qmp, to(q // 2, rng.choice(NAMES)))
            x.nic.tx[q // 2] = x.nic.t.make_ring(q, vector=1 + q)
    check(not x.nic.t.status & NEEDS_RESET, "NEEDS_RESET")


@case("net-mapping/broken-device", needs=TUN)
def broken(t):
    """A driver that broke a ring gets it back in order by a reset, by the thread that was named meanwhile."""
    hot = Hot(t, queues=2, extra=THREADS).start()
    move(hot.qmp, to(0, "io0"), to(1, "io0"))
    ring = hot.nic.tx[0]
    hot.vm.m16[(ring.avail + 4) // 2 + ring.avail_idx % ring.size] = 9999
    ring.avail_idx += 1
    ring.publish()
    ring.kick()
    hot.nic.wait_broken("a bad head")
    move(hot.qmp, to(0, "io1"), to(1, "io1"))
    hot.qmp.cmd("object-del", id="io0")
    hot.start()
    eq(owners(hot.qmp), ["io1", "io1"], "owners")
    hot.nic.both_ways(hot.host)


@case("net-mapping/backend-gone", needs=TUN)
def backend_gone(t):
    hot = Hot(t, queues=2, extra=THREADS).start()
    move(hot.qmp, to(0, "io0"), to(1, "io0"))
    delete_link("t0")
    hot.qmp.event("NETDEV_BACKEND_CHANGED")
    move(hot.qmp, to(0, "io1"), to(1, "io2"))
    eq(owners(hot.qmp), ["main", "main"], "owners")
    hot.qmp.cmd("object-del", id="io0")
    hot.delete()
    hot.back()
    eq(owners(hot.qmp), ["io1", "io2"], "owners")
    hot.nic.both_ways(hot.host)


# ---- CPUs ----

def cpus(qmp, ident="io0"):
    return qmp.cmd("qom-get", path=f"/objects/{ident}", property="cpu-affinity")


def allowed(qmp, ident="io0"):
    tid = next(i["thread-id"] for i in qmp.cmd("query-iothreads") if i["id"] == ident)
    return os.sched_getaffinity(tid)


@case("net-mapping/affinity/iothread", needs=TUN)
def affinity(t):
    everywhere = os.sched_getaffinity(0)
    first, last = min(everywhere), max(everywhere)
    hot = Hot(t, extra=("-object", f"iothread,id=io0,cpu-affinity={last}", "-object", "iothread,id=io1", "-object",
                        f"iothread,id=io2,cpu-affinity.0={first}")).start()
    eq((cpus(hot.qmp), allowed(hot.qmp)), ([last], {last}), "io0 by the option")
    eq((cpus(hot.qmp, "io1"), allowed(hot.qmp, "io1")), ([], everywhere), "io1 without")
    eq((cpus(hot.qmp, "io2"), allowed(hot.qmp, "io2")), ([first], {first}), "io2 by the option")
    move(hot.qmp, to(0, "io0"))
    for i in range(20):
        want = [first] if i % 2 else [last]
        hot.qmp.cmd("iothread-set-affinity", arguments_={"id": "io0", "cpus": want})
        eq((cpus(hot.qmp), allowed(hot.qmp)), (want, set(want)), "after the command")
        hot.nic.both_ways(hot.host, n=1)
    hot.qmp.cmd("iothread-set-affinity", arguments_={"id": "io0", "cpus": []})
    eq((cpus(hot.qmp), allowed(hot.qmp)), ([], everywhere), "after the command with no CPUs")
    for value, want in (([last], {last}), (f"{first}", {first}), ("all", everywhere), (f"{last}", {last}),
                        ([], everywhere), (f"{first}-{first}", {first}), ("", everywhere),
                        (sorted(everywhere), everywhere)):
        hot.qmp.cmd("qom-set", arguments_={"path": "/objects/io0", "property": "cpu-affinity", "value": value})
        eq(allowed(hot.qmp), want, f"after qom-set {value}")
    eq(hot.hmp(f"iothread_set_affinity io0 {last}"), "", "iothread_set_affinity")
    eq((cpus(hot.qmp), allowed(hot.qmp)), ([last], {last}), "after the line")
    eq(hot.hmp("iothread_set_affinity io0 all"), "", "iothread_set_affinity")
    eq((cpus(hot.qmp), allowed(hot.qmp)), ([], everywhere), "after the line with all")
    hot.nic.both_ways(hot.host)


@case("net-mapping/affinity/vhost-workers/refused", needs=TUN)
def refused_vhost_affinity(t):
    hot = Hot(t, queues=2, extra=THREADS).start()
    before = state(hot.qmp, hot.vm)
    lacks = "has no vhost worker: it needs a netdev with vhost=on"
    for text, more in (("pair 2 is not in 0..1", {"pairs": [2], "cpus": [0]}),
                       ("pair 65535 is not in 0..1", {"pairs": [65535], "cpus": []}),
                       (f"pair 1: {lacks}", {"pairs": [1, 0], "cpus": [0]}),
                       (f"pair 0: {lacks}", {"pairs": [0, 0], "cpus": []}),
                       ("'pairs' names none", {"pairs": [], "cpus": [0]}),
                       ("no pair of 'nic0' is meant for vhost-net: that needs a netdev with vhost=on", {"cpus": [0]}),
                       ("no pair of 'nic0' is meant for vhost-net", {"cpus": []}),
                       ("cpus: CPU 3 is named twice", {"cpus": [3, 0, 3]}),
                       ("'cpus.*integer", {"cpus": [65536]}), ("'cpus.*integer", {"cpus": [-1]}),
                       ("'cpus.*integer", {"cpus": ["0"]}), ("'cpus.*array", {"cpus": 0}),
                       ("'cpus' is missing", {"pairs": [0]}),
                       ("'pairs.*integer", {"pairs": [65536], "cpus": [0]}),
                       ("'pairs.*integer", {"pairs": [-1], "cpus": [0]}),
                       ("'pairs.*integer", {"pairs": ["0"], "cpus": [0]}),
                       ("'pairs.*array", {"pairs": 0, "cpus": [0]}),
                       ("'force'", {"cpus": [0], "force": True})):
        refused(hot.qmp, hot.vm, text, "virtio-net-set-vhost-affinity", {"id": "nic0", **more}, before=before)
    for text, arguments, cls in (("'nobody' not found", {"id": "nobody", "cpus": [0]}, "DeviceNotFound"),
                                 ("'' not found", {"id": "", "cpus": [0]}, "DeviceNotFound"),
                                 ("'n0' is a netdev", {"id": "n0", "cpus": [0]}, "GenericError"),
                                 ("'id' is missing", {"cpus": [0]}, "GenericError")):
        refused(hot.qmp, hot.vm, text, "virtio-net-set-vhost-affinity", arguments, cls, before=before)
    hot.delete()
    refused(hot.qmp, hot.vm, "pair 0: has no vhost worker: 'nic0' has no netdev", "virtio-net-set-vhost-affinity",
            {"id": "nic0", "pairs": [0], "cpus": [0]})
    hot.back()
    check(not any("vhost-cpus" in q for q in hot.qmp.cmd("query-net-queues")), "CPUs that were never set")
    hot.nic.both_ways(hot.host)


@case("net-mapping/affinity/refused", needs=TUN)
def refused_affinity(t):
    last = max(os.sched_getaffinity(0))
    vm = t.vm("-object", f"iothread,id=io0,cpu-affinity={last}", qmp=True)
    qmp = Qmp(vm.qmp_path)

    def same():
        eq((cpus(qmp), allowed(qmp)), ([last], {last}), "CPUs after what was refused")

    none = "does not exist, is offline, or this process may not use it"
    for text, arguments, cls in (
            ("'nobody' not found", {"id": "nobody", "cpus": [last]}, "DeviceNotFound"),
            (f"CPU 65535 {none}", {"id": "io0", "cpus": [65535]}, "GenericError"),
            (f"CPU 1023 {none}", {"id": "io0", "cpus": [last, 1023]}, "GenericError"),
            (f"CPU {last} is named twice", {"id": "io0", "cpus": [last, last]}, "GenericError"),
            ("'cpus.*integer", {"id": "io0", "cpus": [65536]}, None),
            ("'cpus.*integer", {"id": "io0", "cpus": [-1]}, None),
            ("'cpus.*integer", {"id": "io0", "cpus": [str(last)]}, None),
            ("'cpus'.*array", {"id": "io0", "cpus": str(last)}, None),
            ("'cpus' is missing", {"id": "io0"}, None), ("'id' is missing", {"cpus": [last]}, None)):
        refused(qmp, vm, text, "iothread-set-affinity", arguments, cls)
        same()
    for text, value in ((f"CPU 1023 {none}", "1023"), (f"CPU {last} is named twice", f"{last}:{last}"),
                        ("'1-' is no list", "1-"), ("'2-1' is no list", "2-1"), ("':' is no list", ":"),
                        ("'0:' is no list", "0:"), ("'x' is no list", "x"), ("'65536' is no list", "65536"),
                        ("'-1' is no list", "-1"), ("'99999999999999999999' is no list", "9" * 20),
                        ("cpu-affinity.*array", 1), ("cpu-affinity.*array", {"0": 1}), ("cpu-affinity.*", [None]),
                        ("cpu-affinity.*", [65536])):
        refused(qmp, vm, text, "qom-set", {"path": "/objects/io0", "property": "cpu-affinity", "value": value})
        same()
    refused(qmp, vm, f"CPU 1023 {none}", "object-add", {"qom-type": "iothread", "id": "x", "cpu-affinity": [1023]})
    refused(qmp, vm, "CPU 0 is named twice", "object-add", {"qom-type": "iothread", "id": "x",
                                                            "cpu-affinity": [0, 0]})
