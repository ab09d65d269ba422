# SPDX-License-Identifier: GPL-2.0-or-later
"""What QMP shows of virtio devices, receive filters, queue pairs and counters, while packets flow."""

import os
import socket
import struct
import subprocess
import time

from netlib import HOST_MAC, Host, raw_frame, udp_frame, vlan_frame
from qmplib import Qmp, QmpError
from qtestlib import SANITIZER_MARKS, SCALE, Failure, Skip, case, check, eq, wait_for
from virtiolib import (ACKNOWLEDGE, BASIC, CTRL, CTRL_MAC, CTRL_RX, CTRL_VLAN, DRIVER, ERR, F_CTRL_VLAN, F_EVENT_IDX,
                       F_INDIRECT, F_MQ, FEATURES_OK, INDIRECT, MAC, MAC_TEXT, NEXT, NEEDS_RESET, OK, WRITE, Legacy,
                       Modern, Nic, bits, find_virtio, tap_args)

TUN = ("root", "tun")
FULL = BASIC | CTRL | bits(F_CTRL_VLAN, F_INDIRECT)
STATUS = "VIRTIO_CONFIG_S_"
INSTANT = {f"{ring}-{what}" for ring in ("rx", "tx") for what in ("backlog", "ring-size", "ring-occupancy")}
NO_RX = {"rx-filtered": 0, "rx-too-long": 0, "rx-errors": 0}
NO_TX = {"tx-bad-header": 0, "tx-dropped": 0}


class Setup:
    """A machine with one NIC on a tap, its driver, and a monitor."""

    def __init__(self, t, pairs=1, driver=Modern, **kw):
        self.vm = t.vm(*tap_args(queues=pairs, **kw), qmp=True)
        self.qmp = Qmp(self.vm.qmp_path)
        self.nic = Nic(driver(find_virtio(self.vm)[0]))
        self.host = Host("t0")
        self.pairs = pairs
        self.features = FULL | (bits(F_MQ) if pairs > 1 else 0)
        listed = self.qmp.cmd("x-query-virtio")
        eq([d["name"] for d in listed], ["virtio-net"], "devices")
        self.path = listed[0]["path"]

    def start(self, features=0, **kw):
        self.nic.start(self.features | features, pairs=self.pairs, **kw)
        if self.pairs > 1:
            self.nic.set_pairs(self.pairs)

    def status(self):
        return self.qmp.cmd("x-query-virtio-status", path=self.path)

    def queue(self, index):
        return self.qmp.cmd("x-query-virtio-queue-status", path=self.path, queue=index)

    def element(self, queue, index=None):
        more = {} if index is None else {"index": index}
        return self.qmp.cmd("x-query-virtio-queue-element", path=self.path, queue=queue, **more)

    def pair_stats(self):
        """The counters of each pair, as both commands tell them: they may count on between two commands."""
        before = [q["stats"] for q in self.qmp.cmd("query-net-queues")]
        results = self.qmp.cmd("query-stats", target="net-queue")
        after = [q["stats"] for q in self.qmp.cmd("query-net-queues")]
        eq([r["pair"] for r in results], list(range(self.pairs)), "pairs of query-stats")
        by_stats = []
        for r, low, high in zip(results, before, after, strict=True):
            eq((r["provider"], r["qom-path"]), ("net", self.path), "source of statistics")
            now = {s["name"]: s["value"] for s in r["stats"]}
            eq(set(now), set(low), "names of statistics")
            check(all(low[k] <= v <= high[k] for k, v in now.items() if k not in INSTANT),
                  f"query-net-queues {low}, then query-stats {now}, then query-net-queues {high}")
            by_stats.append(now)
        return by_stats


def refused(qmp, part, command, /, **arguments):
    """The command fails, and its error says PART."""
    try:
        got = qmp.cmd(command, arguments_=arguments)
    except QmpError as e:
        eq(e.cls, "GenericError", f"error class of {command} {arguments}")
        check(part in e.desc, f"{command} {arguments}: '{e.desc}' does not say '{part}'")
        return
    raise Failure(f"{command} {arguments} gave {got}")


def names(texts):
    """The part of each text before the colon."""
    check(all(": " in text for text in texts), f"texts without a name: {texts}")
    return {text.split(":")[0] for text in texts}


def statuses(answer):
    check("unknown-statuses" not in answer["status"], "status bits without a name")
    return {name.removeprefix(STATUS) for name in names(answer["status"]["statuses"])}


# ---- devices and their states ----

def states(t, pairs):
    s = Setup(t, pairs)
    now = s.status()
    eq(statuses(now), set(), "status after reset")
    eq((now["started"], now["broken"], now["vm-running"], now["vhost-started"]), (False, False, True, False), "reset")
    eq((now["device-id"], now["num-vqs"], now["name"]), (1, 2 * pairs + 1, "virtio-net"), "what it is")
    eq((now["bus-name"], now["device-endian"], now["isr"]), ("pci.0", "little", 0), "registers after reset")
    check("vhost-dev" not in now, "a vhost back-end although there is none")
    eq(now["guest-features"], {"transports": [], "dev-features": []}, "features before negotiation")
    host = names(now["host-features"]["dev-features"])
    check({"VIRTIO_NET_F_MAC", "VIRTIO_NET_F_MRG_RXBUF", "VIRTIO_NET_F_CTRL_VQ"} <= host, "features offered")
    eq("VIRTIO_NET_F_MQ" in host, pairs > 1, "multiqueue offered")
    check("VIRTIO_F_VERSION_1" in names(now["host-features"]["transports"]), "VERSION_1 offered")
    check("unknown-dev-features" not in now["host-features"], "offered features without a name")
    every_queue(s, set_up=())

    s.nic.t.negotiate(s.features)
    s.nic.t.select(2)
    now = s.status()
    eq(statuses(now), {"ACKNOWLEDGE", "DRIVER", "FEATURES_OK"}, "status after FEATURES_OK")
    eq(now["queue-sel"], 2, "selected queue")
    eq(names(now["guest-features"]["transports"]), {"VIRTIO_F_VERSION_1", "VIRTIO_RING_F_INDIRECT_DESC"},
       "transport features accepted")
    eq("VIRTIO_NET_F_CTRL_VLAN" in names(now["guest-features"]["dev-features"]), True, "device features accepted")
    every_queue(s, set_up=())

    s.start()
    now = s.status()
    eq(statuses(now), {"ACKNOWLEDGE", "DRIVER", "FEATURES_OK", "DRIVER_OK"}, "status of a running device")
    eq((now["started"], now["broken"], now["disabled"]), (True, False, False), "running")
    every_queue(s, set_up=range(2 * pairs + 1))
    s.nic.both_ways(s.host)

    s.qmp.cmd("stop")
    now = s.status()
    eq((now["started"], now["vm-running"]), (False, False), "stopped")
    every_queue(s, set_up=range(2 * pairs + 1))
    s.qmp.cmd("cont")
    eq(s.status()["started"], True, "started after cont")
    s.nic.both_ways(s.host)

    ring = s.nic.tx[0]
    s.vm.m16[(ring.avail + 4) // 2 + ring.avail_idx % ring.size] = 0xffff
    s.vm.m16[ring.avail // 2 + 1] = ring.avail_idx + 1 & 0xffff
    ring.kick()
    s.nic.wait_broken("a head beyond the table")
    now = s.status()
    eq((now["started"], now["broken"]), (False, True), "broken")
    check("NEEDS_RESET" in statuses(now), "NEEDS_RESET in the status")
    refused(s.qmp, "beyond its table", "x-query-virtio-queue-element", path=s.path, queue=1)
    every_queue(s, set_up=set(range(2 * pairs + 1)) - {1})

    s.nic.t.reset()
    now = s.status()
    eq((statuses(now), now["broken"]), (set(), False), "after the reset")
    every_queue(s, set_up=())
    s.start()
    s.nic.both_ways(s.host)


def every_queue(s, set_up):
    """Each command about each queue, and about those beyond; SET_UP have chains to show."""
    count = 2 * s.pairs + 1
    for i in range(count):
        q = s.queue(i)
        eq((q["name"], q["queue-index"]), ("virtio-net", i), "queue")
        eq(q["vring-num-default"], 64 if i == count - 1 else 256, f"size of queue {i}")
        check(q["inuse"] <= q["vring-num"], f"{q['inuse']} chains in use in queue {i}")
        check("shadow-avail-idx" in q and "last-avail-idx" in q, "indices of a queue that is ours")
        refused(s.qmp, "not on vhost", "x-query-virtio-vhost-queue-status", path=s.path, queue=i)
        if i in set_up:
            check(q["vring-desc"] and q["vring-avail"] and q["vring-used"], "places of a ring")
            check(s.element(i)["descs"], "a chain without descriptors")
        elif not set_up:
            eq((q["vring-desc"], q["vring-avail"], q["vring-used"]), (0, 0, 0), f"places of queue {i}")
            refused(s.qmp, "is not set up", "x-query-virtio-queue-element", path=s.path, queue=i)
    for i in (count, 0xffff):
        for command in ("queue-status", "vhost-queue-status", "queue-element"):
            refused(s.qmp, f"Invalid virtqueue number {i}", f"x-query-virtio-{command}", path=s.path, queue=i)


@case("virtio/qmp/every-state-of-one-pair", needs=TUN)
def states_one(t):
    states(t, 1)


@case("virtio/qmp/every-state-of-four-pairs", needs=TUN)
def states_four(t):
    states(t, 4)


@case("virtio/qmp/paths-that-are-no-device", needs=TUN)
def paths(t):
    s = Setup(t, ident="net0", nic_opts=",id=nic0")
    eq(s.path, "/machine/peripheral/nic0/virtio-backend", "path of a device with an id")
    for path in ("", "/", "/machine", "/machine/peripheral/nic0", s.path + "/x", "nonsense", "\u0001", "a" * 100000):
        refused(s.qmp, "is not a realized VirtIODevice", "x-query-virtio-status", path=path)
        for command in ("queue-status", "vhost-queue-status", "queue-element"):
            refused(s.qmp, "is not a realized VirtIODevice", f"x-query-virtio-{command}", path=path, queue=0)
    for queue in (-1, 65536, "0", None):
        for command in ("queue-status", "vhost-queue-status", "queue-element"):
            refused(s.qmp, "queue", f"x-query-virtio-{command}", path=s.path, queue=queue)
    refused(s.qmp, "index", "x-query-virtio-queue-element", path=s.path, queue=0, index=65536)


@case("virtio/qmp/without-a-device")
def no_device(t):
    vm = t.vm(qmp=True)
    qmp = Qmp(vm.qmp_path)
    for command in ("x-query-virtio", "query-rx-filter", "query-net-queues"):
        eq(qmp.cmd(command), [], command)
    eq(qmp.cmd("query-stats", target="net-queue"), [], "query-stats")
    refused(qmp, "invalid net client name: x", "query-rx-filter", name="x")


@case("virtio/qmp/bus-mastering-off", needs=TUN)
def disabled(t):
    s = Setup(t)
    s.start()
    s.nic.pci.write(4, 2, s.nic.pci.read(4, 2) & ~4)
    now = s.status()
    eq((now["disabled"], now["started"]), (True, False), "without bus mastering")
    s.nic.pci.write(4, 2, s.nic.pci.read(4, 2) | 4)
    eq(s.status()["disabled"], False, "with bus mastering")
    s.nic.both_ways(s.host)


@case("virtio/qmp/legacy-driver", needs=TUN)
def legacy(t):
    s = Setup(t, driver=Legacy)
    s.nic.start(0)
    now = s.status()
    eq(statuses(now), {"ACKNOWLEDGE", "DRIVER", "DRIVER_OK"}, "status")
    eq(now["guest-features"]["transports"], [], "transport features")
    q = s.queue(0)
    eq(q["vring-align"], 4096, "alignment")
    eq(q["vring-avail"], q["vring-desc"] + 16 * q["vring-num"], "available ring after the table")
    eq(q["vring-used"] % 4096, 0, "used ring on a page")
    eq(s.element(0, 0)["descs"][0]["flags"], ["write"], "a receive buffer")
    s.nic.both_ways(s.host)


# ---- queues while packets flow ----

def busy(t, pairs, **kw):
    s = Setup(t, pairs, **kw)
    s.start(posted=64)
    sent = [0] * pairs
    end = time.monotonic() + 1.0 * SCALE
    rounds = 0
    while time.monotonic() < end or rounds < 3:
        for pair in range(pairs):
            for k in range(4):
                s.nic.send(pair, udp_frame(HOST_MAC, MAC, 1000 + pair, 2000, b"out", from_guest=True))
                s.host.send(udp_frame(MAC, HOST_MAC, 2000, 1000 + 16 * k + pair, b"in"))
                sent[pair] += 1
            for queue in (2 * pair, 2 * pair + 1):
                look(s, queue)
        s.status()
        s.pair_stats()
        for pair in range(pairs):
            while s.nic.recv(pair, wait=False):
                pass
        rounds += 1
    for pair in range(pairs):
        q, ring = s.queue(2 * pair + 1), s.nic.tx[pair]
        eq((q["last-avail-idx"], q["used-idx"]), (sent[pair] & 0xffff,) * 2, f"indices of transmit queue {pair}")
        eq((q["inuse"], ring.used_idx), (0, sent[pair] & 0xffff), "nothing in use, by the ring's word too")
        eq(s.pair_stats()[pair]["tx-packets"], sent[pair], f"packets sent by pair {pair}")


def look(s, queue):
    """A queue that its owner is busy with: the numbers fit together."""
    q = s.queue(queue)
    behind = q["last-avail-idx"] - q["used-idx"] & 0xffff
    check(behind <= q["vring-num"], f"used index {q['used-idx']} and last-avail {q['last-avail-idx']}")
    check(q["shadow-avail-idx"] - q["last-avail-idx"] & 0xffff <= q["vring-num"], "shadow index")
    check(q["inuse"] <= behind, f"{q['inuse']} in use of {behind}")
    e = s.element(queue)
    eq(e["index"], e["avail"]["ring"], "head of the chain")
    check(e["used"]["idx"] - q["used-idx"] & 0xffff < 0x8000, "used index went back")
    check(1 <= len(e["descs"]) <= q["vring-num"], "descriptors of a chain")


@case("virtio/qmp/while-packets-flow-in-one-pair", needs=TUN)
def busy_one(t):
    busy(t, 1)


@case("virtio/qmp/while-packets-flow-in-four-pairs", needs=TUN)
def busy_four(t):
    busy(t, 4)


@case("virtio/qmp/indices-go-round", needs=TUN)
def wrap(t):
    s = Setup(t)
    s.start()
    ring = s.nic.tx[0]
    frame = raw_frame(HOST_MAC, MAC, b"wrap", size=60)
    for _ in range(300):
        s.nic.send(0, frame)
    eq(s.queue(1)["last-avail-idx"], 300, "index past the ring's size")
    head = s.vm.m16[(ring.avail + 4) // 2 + 299 % 256]
    eq(s.element(1, 299)["index"], head, "entry 299")
    eq(s.element(1, 299 + 256)["index"], head, "entry 299, a round later")
    eq(s.element(1, 43)["index"], head, "entry 43, which is the same")


# ---- chains ----

@case("virtio/qmp/chain-of-descriptors", needs=TUN)
def chain(t):
    s = Setup(t)
    s.start(driver_ok=False)
    ring = s.nic.tx[0]
    a, b = s.vm.alloc(64), s.vm.alloc(64)
    head = ring.add(out=[(a, 12), (b, 34)], into=[(a, 5)])
    ring.offer(head)
    ring.publish()
    e = s.element(1)
    eq(e["descs"], [{"addr": a, "len": 12, "flags": ["next"]}, {"addr": b, "len": 34, "flags": ["next"]},
                    {"addr": a, "len": 5, "flags": ["write"]}], "descriptors")
    eq((e["index"], e["avail"]["ring"], e["avail"]["idx"], e["avail"]["flags"]), (head, head, 1, 0), "available ring")
    eq(e["used"], {"flags": 0, "idx": 0}, "used ring")
    inner = ring.add(out=[(a, 12), (b, 34)], indirect=True)
    ring.offer(inner)
    ring.publish()
    eq([d["len"] for d in s.element(1, 1)["descs"]], [12, 34], "lengths in an indirect table")
    ring.set_desc(head, a, 1, 0x8080 | WRITE)
    eq(s.element(1, 0)["descs"], [{"addr": a, "len": 1, "flags": ["write", "avail", "used"]}], "flags of packed rings")


@case("virtio/qmp/chains-of-a-hostile-driver", needs=TUN)
def hostile(t):
    s = Setup(t)
    s.start(driver_ok=False)
    ring, vm = s.nic.tx[0], s.vm
    ram = len(vm.ram)
    table = vm.alloc(64)

    def shows(part):
        refused(s.qmp, part, "x-query-virtio-queue-element", path=s.path, queue=1, index=0)

    entry = (ring.avail + 4) // 2
    for head in (256, 257, 0x7fff, 0xffff):
        vm.m16[entry] = head
        shows("beyond its table")
    vm.m16[entry] = 0
    ring.set_desc(0, 0, 1, NEXT, 0)
    shows("is a loop")
    refused(s.qmp, "Nothing is offered in this queue: Descriptor 0", "x-query-virtio-queue-element", path=s.path,
            queue=1)
    for i in range(256):
        ring.set_desc(i, 0, 1, NEXT, i + 1 & 255)
    shows("is a loop")
    ring.set_desc(255, 0, 1, NEXT, 256)
    shows("beyond its table")
    for length in (0, 1, 15, 17, 0xffffffff):
        ring.set_desc(0, table, length, INDIRECT)
        shows("multiple of 16")
    for addr in (ram, ram - 15, 1 << 40, 0xfffffffffffffff0, 0xffffffffffffffff):
        ring.set_desc(0, addr, 16, INDIRECT)
        shows("not in guest RAM")
    ring.set_desc(0, table, 32, INDIRECT)
    ring.set_desc(0, table, 32, INDIRECT, table=table)
    shows("refers to another")
    ring.set_desc(0, 0, 0, NEXT, 1, table=table)
    ring.set_desc(1, 0, 0, NEXT, 0, table=table)
    shows("is a loop")
    ring.set_desc(1, 0, 0, NEXT, 2, table=table)
    shows("beyond its table")
    ring.set_desc(0, table, 0xfffffff0, INDIRECT)
    ring.set_desc(1, 0, 0, NEXT, 0, table=table)
    shows("too long")
    ring.set_desc(0, 0xffffffffffffffff, 0xffffffff, 0)
    eq(s.element(1, 0)["descs"], [{"addr": 2 ** 64 - 1, "len": 2 ** 32 - 1, "flags": []}],
       "a buffer is only shown, not looked at")


@case("virtio/qmp/rings-outside-of-memory", needs=TUN)
def places(t):
    s = Setup(t)
    good = s.vm.alloc(8192, 4096)
    ram = len(s.vm.ram)
    for bad in (ram, ram - 2, 1 << 40, 2 ** 64 - 2, 2 ** 64 - 4):
        for what, rings in (("available ring", (good, bad, good)), ("used ring", (good, good + 4096, bad))):
            s.nic.t.negotiate(s.features)
            s.nic.t.set_ring(1, 8, *rings)
            s.nic.t.enable(1)
            refused(s.qmp, f"The {what} of virtqueue 1 is not in guest RAM", "x-query-virtio-queue-element",
                    path=s.path, queue=1)
            eq(s.queue(1)["vring-num"], 8, "size of such a queue")
        s.nic.t.negotiate(s.features)
        s.nic.t.set_ring(1, 8, bad & -16, good, good + 4096)
        s.nic.t.enable(1)
        got = s.qmp.raw({"execute": "x-query-virtio-queue-element", "arguments": {"path": s.path, "queue": 1}})
        if "error" in got:
            check("not in guest RAM" in got["error"]["desc"], f"table at {bad:#x}: {got}")
        else:
            check(bad & -16 <= ram - 16, f"table at {bad:#x}: {got}")


# ---- receive filter ----

def rx_filter(s, name=None):
    got = s.qmp.cmd("query-rx-filter", arguments_={"name": name} if name else {})
    eq(len(got), 1, "filters")
    return got[0]


def no_event(s):
    s.qmp.cmd("query-name")
    eq([e["event"] for e in s.qmp.events], [], "events")


@case("virtio/qmp/rx-filter-follows-the-control-queue", needs=TUN)
def filter_changes(t):
    s = Setup(t, ident="net0", nic_opts=",id=nic0")
    first = {"name": "nic0", "promiscuous": True, "multicast": "normal", "unicast": "normal", "vlan": "all",
             "broadcast-allowed": True, "multicast-overflow": False, "unicast-overflow": False, "main-mac": MAC_TEXT,
             "vlan-table": [], "unicast-table": [], "multicast-table": []}
    eq(rx_filter(s), first, "filter of a device at rest")
    s.start()
    want = dict(first, vlan="normal")
    eq(rx_filter(s, "nic0"), want, "filter after the start")

    def changed(what, cls, cmd, data, **change):
        eq(s.nic.command(cls, cmd, data), OK, what)
        event = s.qmp.event("NIC_RX_FILTER_CHANGED")
        eq(event["data"], {"name": "nic0", "path": s.path}, "event")
        want.update(change)
        eq(rx_filter(s), want, f"filter after {what}")
        no_event(s)

    changed("promiscuous off", CTRL_RX, 0, b"\0", promiscuous=False)
    changed("all groups", CTRL_RX, 1, b"\1", multicast="all")
    changed("all stations", CTRL_RX, 2, b"\1", unicast="all")
    changed("no groups", CTRL_RX, 3, b"\1", multicast="none")
    changed("no stations", CTRL_RX, 4, b"\1", unicast="none")
    changed("no broadcast", CTRL_RX, 5, b"\1", **{"broadcast-allowed": False})
    for cmd in (1, 2, 3, 4, 5):
        eq(s.nic.command(CTRL_RX, cmd, b"\0"), OK, "mode off")
    s.qmp.event("NIC_RX_FILTER_CHANGED")
    want.update({"multicast": "normal", "unicast": "normal", "broadcast-allowed": True})
    eq(rx_filter(s), want, "filter after all modes off")
    no_event(s)

    changed("VLAN 0", CTRL_VLAN, 0, struct.pack("<H", 0), **{"vlan-table": [0]})
    changed("VLAN 4095", CTRL_VLAN, 0, struct.pack("<H", 4095), **{"vlan-table": [0, 4095]})
    changed("no VLAN 0", CTRL_VLAN, 1, struct.pack("<H", 0), **{"vlan-table": [4095]})
    changed("another address", CTRL_MAC, 1, bytes.fromhex("52540000aabb"), **{"main-mac": "52:54:00:00:aa:bb"})
    table = struct.pack("<I6sI12s", 1, bytes.fromhex("525400000001"), 2, bytes.fromhex("01005e00000133330000000f"))
    changed("tables", CTRL_MAC, 0, table, **{"unicast-table": ["52:54:00:00:00:01"],
                                             "multicast-table": ["01:00:5e:00:00:01", "33:33:00:00:00:0f"]})
    many = struct.pack("<I", 65) + bytes(6 * 65)
    changed("long tables", CTRL_MAC, 0, many + struct.pack("<I", 0),
            **{"unicast-table": [], "multicast-table": [], "unicast-overflow": True})

    eq(s.nic.command(CTRL_RX, 77, b"\0"), ERR, "an unknown command")
    eq(s.nic.command(CTRL_VLAN, 0, struct.pack("<H", 4096)), ERR, "VLAN 4096")
    no_event(s)
    eq(rx_filter(s), want, "filter after refused commands")
    s.nic.t.reset()
    eq(rx_filter(s), first, "filter after the reset")


@case("virtio/qmp/rx-filter-event-comes-once", needs=TUN)
def filter_event(t):
    s = Setup(t, 2)
    s.start()
    eq(rx_filter(s)["name"], s.qmp.cmd("query-net-queues")[0]["nic"], "name of a NIC without id")
    for _ in range(3):
        for vlan in range(10):
            eq(s.nic.command(CTRL_VLAN, 0, struct.pack("<H", vlan)), OK, "VLAN")
        s.qmp.event("NIC_RX_FILTER_CHANGED")
        no_event(s)
        eq(rx_filter(s)["vlan-table"], list(range(10)), "VLANs")


@case("virtio/qmp/rx-filter-names", needs=TUN)
def filter_names(t):
    s = Setup(t, ident="net0", nic_opts=",id=nic0")
    for command in ("query-rx-filter", "query-net-queues"):
        refused(s.qmp, "invalid net client name: nic1", command, name="nic1")
        refused(s.qmp, "net client(net0) isn't a NIC", command, name="net0")
        eq(len(s.qmp.cmd(command, arguments_={"name": "nic0"})), 1, command)


# ---- counters ----

def counted(s, pair, **want):
    """Waits until the pair's counters are as wanted: they may lag behind the ring by a moment."""
    want = {k.replace("_", "-"): v for k, v in want.items()}

    def look_again():
        got = s.pair_stats()[pair]
        return all(got[k] == v for k, v in want.items())
    try:
        wait_for(look_again, "counters")
    except Failure:
        got = s.pair_stats()[pair]
        eq({k: got[k] for k in want}, want, f"counters of pair {pair}")


def traffic_counted(t, pairs):
    s = Setup(t, pairs)
    s.start(posted=64)
    before = s.pair_stats()
    for pair in range(pairs):
        for i in range(10 + pair):
            s.nic.send(pair, udp_frame(HOST_MAC, MAC, 1000 + pair, 2000, bytes(20), from_guest=True))
        for i in range(20 + pair):
            s.host.send(udp_frame(MAC, HOST_MAC, 2000, 1000 + pair, bytes(30)))
            s.nic.recv(pair)
        counted(s, pair, tx_packets=10 + pair, tx_bytes=62 * (10 + pair), rx_packets=20 + pair,
                rx_bytes=72 * (20 + pair), **{k.replace("-", "_"): v for k, v in {**NO_RX, **NO_TX}.items()})
    for pair, now in enumerate(s.pair_stats()):
        check(before[pair]["tx-kicks"] < now["tx-kicks"] <= before[pair]["tx-kicks"] + 10 + pair, "transmit kicks")
        signals = now["rx-signals"] + now["rx-signals-suppressed"]
        check(1 <= signals <= 21 + pair, f"{signals} receive signals, wanted and not")
    return s


@case("virtio/qmp/counters-of-one-pair", needs=TUN)
def counters_one(t):
    traffic_counted(t, 1)


@case("virtio/qmp/counters-of-four-pairs", needs=TUN)
def counters_four(t):
    s = traffic_counted(t, 4)
    got = s.qmp.cmd("query-stats", target="net-queue", devices=[s.path], providers=[
        {"provider": "net", "names": ["rx-packets", "tx-packets"]}])
    eq([[x["value"] for x in r["stats"]] for r in got], [[20 + i, 10 + i] for i in range(4)], "chosen counters")
    eq(s.qmp.cmd("query-stats", target="net-queue", devices=["/machine"]), [], "counters of no device")
    eq(s.qmp.cmd("query-stats", target="net-queue", providers=[{"provider": "kvm"}]), [], "counters of another source")


@case("virtio/qmp/drops-are-counted-by-reason", needs=TUN)
def drops_counted(t):
    s = Setup(t)
    s.start()
    eq(s.nic.command(CTRL_RX, 0, b"\0"), OK, "promiscuous off")
    for _ in range(3):
        s.host.send(raw_frame(bytes.fromhex("525400999999"), size=60))
    s.host.send(vlan_frame(MAC, 5))
    counted(s, 0, rx_filtered=4, rx_packets=0)
    s.nic.send(0, raw_frame(HOST_MAC, MAC, size=60), hdr=b"\0\x77".ljust(12, b"\0"))
    s.nic.send(0, raw_frame(HOST_MAC, MAC, size=60))
    counted(s, 0, tx_bad_header=1, tx_packets=1)


@case("virtio/qmp/signals-not-wanted-are-counted", needs=TUN)
def suppressed(t):
    s = Setup(t)
    s.start(bits(F_EVENT_IDX))
    for _ in range(20):  # used_event stays 0: the driver wants the first only
        s.nic.send(0, raw_frame(HOST_MAC, MAC, size=60))
    now = s.pair_stats()[0]
    check(now["tx-signals-suppressed"] >= 1 and now["tx-signals"] >= 1, f"signals {now}")
    check(now["tx-signals-suppressed"] + now["tx-signals"] <= 20, f"signals {now}")


# ---- who has a pair ----

@case("virtio/qmp/owners-of-pairs", needs=TUN)
def owners(t):
    mapping = '{"driver":"virtio-net-pci","id":"nic0","netdev":"n0","mq":true,"iothread-vq-mapping":' \
              '[{"iothread":"io0"},{"iothread":"io1"}]}'
    vm = t.vm("-object", "iothread,id=io0", "-object", "iothread,id=io1",
              "-netdev", "tap,id=n0,ifname=t0,script=no,downscript=no,queues=3", "-device", mapping, qmp=True)
    qmp = Qmp(vm.qmp_path)
    nic = Nic(Modern(find_virtio(vm)[0]))
    Host("t0")
    for q in qmp.cmd("query-net-queues"):
        eq((q["owner"], q["netdev"], q["nic"]), ("main", "n0", "nic0"), "a pair at rest")
        check("iothread" not in q and "thread-id" not in q and "vhost-fd" not in q, "owner of a pair at rest")
    nic.start(FULL | bits(F_MQ), pairs=3)
    nic.set_pairs(2)
    queues = qmp.cmd("query-net-queues", arguments_={"name": "nic0"})
    eq([(q["pair"], q["owner"], q["active"], q["enabled"]) for q in queues],
       [(0, "iothread", True, True), (1, "iothread", True, True), (2, "main", False, False)], "pairs")
    eq([q.get("iothread") for q in queues], ["io0", "io1", None], "iothreads")
    eq(len({q["fd"] for q in queues}), 3, "file descriptors")
    threads = vm.thread_names()
    for q in queues[:2]:
        check(q["thread-id"] in threads, f"thread {q['thread-id']}")
    nic.set_pairs(3)
    eq([q.get("iothread") for q in qmp.cmd("query-net-queues")], ["io0", "io1", "io0"], "iothreads of three")
    qmp.cmd("stop")
    eq([q["owner"] for q in qmp.cmd("query-net-queues")], ["main"] * 3, "owners of a stopped machine")


# ---- statistics of KVM ----

def listens(path):
    """True when somebody does at this socket; the path is there a little earlier."""
    with socket.socket(socket.AF_UNIX) as probe:
        return probe.connect_ex(str(path)) == 0


class KvmVm:
    """A paused machine under KVM, with a monitor."""

    def __init__(self, t, *args):
        self.log = t.dir / "kvm.log"
        path = t.dir / "qmp-kvm"
        with open(self.log, "wb") as log:
            self.process = subprocess.Popen(
                [t.emulator, "-nodefaults", "-display", "none", "-accel", "kvm", "-S", "-m", "64M", *args,
                 "-qmp", f"unix:{path},server=on,wait=off"], stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        try:
            wait_for(lambda: self.process.poll() is not None or listens(path), "the monitor's socket", 5 * SCALE)
            if self.process.poll() is not None:
                raise Skip(f"no machine under KVM here: {self.text()}")
            self.qmp = Qmp(path)
        except BaseException:
            self.process.kill()
            self.process.wait()
            raise

    def text(self):
        return self.log.read_text(errors="replace").strip()

    def end(self):
        self.qmp.cmd("quit")
        eq(self.process.wait(8 * SCALE), 0, "exit status")
        check(not any(m in self.text() for m in SANITIZER_MARKS), "sanitizer report")


def check_values(schema, stats):
    """Each value is of the kind that the schema says."""
    kinds = {s["name"]: s for s in schema}
    for s in stats:
        kind, value = kinds[s["name"]], s["value"]
        if kind["type"].endswith("histogram"):
            check(isinstance(value, list) and len(value) > 1, f"{s['name']}: {value}")
        elif kind.get("unit") == "boolean":
            check(isinstance(value, bool), f"{s['name']}: {value}")
        else:
            check(isinstance(value, int) and value >= 0, f"{s['name']}: {value}")
        eq("base" in kind, kind["exponent"] != 0, f"base of {s['name']}")
        eq("bucket-size" in kind, kind["type"] == "linear-histogram", f"bucket size of {s['name']}")


@case("stats/kvm/machine-and-cpus")
def kvm_stats(t):
    if not os.access("/dev/kvm", os.R_OK | os.W_OK):
        raise Skip("no /dev/kvm")
    vm = KvmVm(t, "-smp", "2")
    try:
        qmp = vm.qmp
        schemas = {s["target"]: s["stats"] for s in qmp.cmd("query-stats-schemas", provider="kvm")}
        if not schemas:
            vm.end()
            raise Skip("this kernel has no statistics of KVM")
        eq(set(schemas), {"vm", "vcpu"}, "targets of KVM")
        eq({s["provider"] for s in qmp.cmd("query-stats-schemas")}, {"kvm", "net"}, "providers")
        machine = qmp.cmd("query-stats", target="vm")
        eq(len(machine), 1, "results for the machine")
        check("qom-path" not in machine[0] and "pair" not in machine[0], "the machine has no path")
        eq([s["name"] for s in machine[0]["stats"]], [s["name"] for s in schemas["vm"]], "names")
        check_values(schemas["vm"], machine[0]["stats"])

        paths_of = [c["qom-path"] for c in qmp.cmd("query-cpus-fast")]
        cpus = qmp.cmd("query-stats", target="vcpu")
        eq([c["qom-path"] for c in cpus], paths_of, "paths of CPUs")
        for c in cpus:
            eq([s["name"] for s in c["stats"]], [s["name"] for s in schemas["vcpu"]], "names")
            check_values(schemas["vcpu"], c["stats"])
        one = qmp.cmd("query-stats", target="vcpu", vcpus=[paths_of[1]],
                      providers=[{"provider": "kvm", "names": ["exits", "nothing"]}])
        eq([(c["qom-path"], [s["name"] for s in c["stats"]]) for c in one], [(paths_of[1], ["exits"])], "one of one")
        eq(qmp.cmd("query-stats", target="vcpu", vcpus=["/machine"]), [], "no CPU")
        eq(qmp.cmd("query-stats", target="vcpu", providers=[{"provider": "net"}]), [], "another provider")
        before = len(os.listdir(f"/proc/{vm.process.pid}/fd"))
        for _ in range(50):
            qmp.cmd("query-stats", target="vm")
            qmp.cmd("query-stats-schemas")
        eq(len(os.listdir(f"/proc/{vm.process.pid}/fd")), before, "open files")
        vm.end()
    finally:
        vm.process.kill()
        vm.process.wait()


@case("stats/arguments-that-make-no-sense", needs=TUN)
def stats_arguments(t):
    s = Setup(t)
    refused(s.qmp, "target", "query-stats")
    refused(s.qmp, "target", "query-stats", target="nothing")
    refused(s.qmp, "providers", "query-stats", target="vm", providers=[{"provider": "nobody"}])
    refused(s.qmp, "'providers' has 'net' twice", "query-stats", target="net-queue",
            providers=[{"provider": "kvm"}] + [{"provider": "net"}] * 40000)
    refused(s.qmp, "vcpus", "query-stats", target="vm", vcpus=[])
    refused(s.qmp, "devices", "query-stats", target="vcpu", devices=[])
    refused(s.qmp, "provider", "query-stats-schemas", provider="nobody")
    refused(s.qmp, "providers", "query-stats", target="net-queue", providers=[{"provider": "virtio-net"}])
    refused(s.qmp, "devices", "query-stats", target="netdev-queue", devices=[])
    refused(s.qmp, "netdevs", "query-stats", target="net-queue", netdevs=["n0"])
    refused(s.qmp, "'netdevs', expected: array", "query-stats", target="netdev-queue", netdevs="n0")
    refused(s.qmp, "'netdevs[0]'", "query-stats", target="netdev-queue", netdevs=[0])
    refused(s.qmp, "'net' twice", "query-stats", target="netdev-queue", providers=[{"provider": "net"}] * 2)
    schemas = s.qmp.cmd("query-stats-schemas")
    eq([(x["provider"], x["target"]) for x in schemas], [("net", "net-queue"), ("net", "netdev-queue")],
       "schemas under qtest")
    eq(s.qmp.cmd("query-stats", target="vm"), [], "machine under qtest")
    eq(s.qmp.cmd("query-stats", target="vcpu"), [], "CPUs under qtest")
