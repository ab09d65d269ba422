# SPDX-License-Identifier: GPL-2.0-or-later
"""Statistics of queue pairs and of netdevs' queues: each number, after frames that were counted here."""

import re
import time
from pathlib import Path

from netlib import HOST_MAC, Host, delete_link, raw_frame, udp_frame
from qmplib import Qmp
from qtestlib import Failure, Skip, case, check, eq, wait_for
from test_virtio_qmp import FULL, refused
from virtiolib import (CTRL_RX, F_IN_ORDER, F_MQ, F_PACKED, F_RING_RESET, MAC, OK, Modern, Nic, bits,
                       find_virtio, tap_args)

TUN = ("root", "tun")
FRAME = raw_frame(HOST_MAC, MAC, size=100)   # from the guest
COUNTERS = {f"rx-{n}" for n in ("packets", "bytes", "filtered", "too-long", "no-buffer", "errors", "rss-moved",
                                "rss-dropped", "kicks", "signals", "signals-suppressed", "link-down", "bad-offload")} | \
           {f"tx-{n}" for n in ("packets", "bytes", "bad-header", "dropped", "again", "gathered", "kicks", "signals",
                                "signals-suppressed", "link-down")} | {"moves"}
BURSTS = {"rx-bursts", "tx-bursts"}
BACKLOGS = {"rx-backlog", "tx-backlog"}
RINGS = {f"{d}-ring-{what}" for d in ("rx", "tx") for what in ("size", "occupancy")}
QUEUE_COUNTERS = {"rx-packets", "rx-bytes", "rx-errors", "tx-packets", "tx-bytes", "tx-dropped", "tx-again"}
QUEUE_FLAGS = {"enabled", "rx-waiting", "tx-writable"}


class Net:
    """A machine with a NIC on the tap t0, its driver and a monitor."""

    def __init__(self, t, pairs=1, extra=(), nic=None, **kw):
        args = nic or tap_args(queues=pairs, nic_opts=",id=nic0" + kw.pop("nic_opts", ""), **kw)
        self.vm = t.vm(*extra, *args, qmp=True)
        self.qmp = Qmp(self.vm.qmp_path)
        self.nic = Nic(Modern(find_virtio(self.vm)[0]))
        self.host = Host("t0")
        self.pairs = pairs
        self.path = self.qmp.cmd("x-query-virtio")[0]["path"]

    def start(self, features=0, **kw):
        self.nic.start(FULL | features | (bits(F_MQ) if self.pairs > 1 else 0), pairs=self.pairs, **kw)
        if self.pairs > 1:
            self.nic.set_pairs(self.pairs)
        return self

    def results(self, target="net-queue", **kw):
        return self.qmp.cmd("query-stats", target=target, **kw)

    def pair(self, index=0):
        """Statistics of one pair; what query-net-queues has of them is the same."""
        mine = [r for r in self.results() if r["pair"] == index]
        eq(len(mine), 1, f"results of pair {index}")
        return values(mine[0])

    def queue(self, index=0):
        mine = [r for r in self.results("netdev-queue") if r["queue"] == index]
        eq([r["netdev"] for r in mine], ["n0"], f"results of queue {index}")
        return values(mine[0])

    def becomes(self, pair=0, **want):
        """Waits for these values: they may lag behind the ring by a moment."""
        settle(lambda: self.pair(pair), f"pair {pair}", want)

    def queue_becomes(self, queue=0, **want):
        settle(lambda: self.queue(queue), f"queue {queue}", want)

    def to_guest(self, n, dst=MAC, size=60):
        for _ in range(n):
            self.host.send(raw_frame(dst, size=size))

    def load(self, n, frame=FRAME, pair=0):
        """Puts N frames into the transmit ring, all of them visible at once, and tells nobody."""
        ring = self.nic.tx[pair]
        data = bytes(self.nic.hdr_len) + frame
        at = self.vm.alloc(len(data))
        self.vm.ram[at:at + len(data)] = data
        for _ in range(n):
            ring.offer(ring.add(out=[(at, len(data))]))
        ring.publish()

    def sent(self, n, pair=0):
        for _ in range(n):
            self.nic.tx[pair].wait("a sent frame")

    def hmp(self, line):
        return self.qmp.cmd("human-monitor-command", command_line=line).replace("\r\n", "\n")


def values(result):
    return {s["name"]: s["value"] for s in result["stats"]}


def settle(read, what, want):
    want = {k.replace("_", "-"): v for k, v in want.items()}
    try:
        wait_for(lambda: want.items() <= read().items(), what)
    except Failure:
        got = read()
        eq({k: got.get(k) for k in want}, want, f"statistics of {what}")


def buckets(*sizes):
    """The histogram of bursts of these sizes, without those of none."""
    counts = [0] * 8
    for n in sizes:
        counts[min(n.bit_length(), 7)] += 1
    return counts[1:]


# ---- what there is ----

@case("stats/net/schemas", needs=TUN)
def schemas(t):
    net = Net(t).start()
    by_target = {s["target"]: {v["name"]: {k: x for k, x in v.items() if k != "name"} for v in s["stats"]}
                 for s in net.qmp.cmd("query-stats-schemas", provider="net")}
    cumulative, instant = {"type": "cumulative", "exponent": 0}, {"type": "instant", "exponent": 0}
    size = dict(cumulative, unit="bytes")
    flag = dict(instant, unit="boolean")
    want = {n: cumulative for n in COUNTERS} | {n: size for n in ("rx-bytes", "tx-bytes")}
    want |= {n: {"type": "log2-histogram", "exponent": 0} for n in BURSTS} | {n: instant for n in BACKLOGS | RINGS}
    want["thread-cpu-time"] = {"type": "cumulative", "unit": "seconds", "base": 10, "exponent": -9}
    eq({n: v for n, v in by_target["net-queue"].items() if n in want}, want, "schema of pairs")
    eq(by_target["netdev-queue"],
       {n: cumulative for n in QUEUE_COUNTERS} | {n: size for n in ("rx-bytes", "tx-bytes")} | {"pairs": instant} |
       {n: flag for n in QUEUE_FLAGS}, "schema of queues")
    for target, schema in by_target.items():
        got = values(net.results(target)[0])
        eq(list(got), [n for n in schema if n in got], f"order of {target}")
        eq(set(got), set(schema), f"statistics of {target} of a running pair")
        for name, value in got.items():
            kind = list if schema[name]["type"].endswith("histogram") else \
                bool if schema[name].get("unit") == "boolean" else int
            eq(type(value), kind, f"type of {name}")
    info = net.qmp.cmd("query-net-queues")[0]["stats"]
    eq(set(info), set(by_target["net-queue"]), "names in query-net-queues")


@case("stats/net/what-is-not-known-is-absent", needs=TUN)
def absent(t):
    net = Net(t, 2)
    eq(set(net.pair()) & (RINGS | {"thread-cpu-time"}), set(), "of a pair without rings and thread")
    check(COUNTERS | BURSTS | BACKLOGS <= set(net.pair()), "counters of a pair at rest")
    eq([(r["owner"], "thread-id" in r, "iothread" in r) for r in net.results()], [("main", False, False)] * 2, "owners")
    net.start()
    check(RINGS | {"thread-cpu-time"} <= set(net.pair(1)), "statistics of a running pair")
    net.nic.set_pairs(1)
    check("thread-cpu-time" not in net.pair(1) and "rx-ring-size" in net.pair(1), "a pair not in use")
    eq({k: v for k, v in net.queue(1).items() if k in QUEUE_FLAGS | {"pairs"}}, {"pairs": 0, "enabled": False},
       "a detached queue")
    eq({k: v for k, v in net.queue(0).items() if k in QUEUE_FLAGS | {"pairs"}},
       {"pairs": 1, "enabled": True, "rx-waiting": False, "tx-writable": True}, "an attached queue")
    net.qmp.cmd("stop")
    check("thread-cpu-time" not in net.pair(0), "a thread of a stopped pair")
    net.qmp.cmd("cont")
    delete_link("t0")
    wait_for(lambda: not QUEUE_FLAGS - {"enabled"} & set(net.queue(0)), "flags of a deleted tap to go")
    net.nic.t.reset()
    eq(set(net.pair()) & RINGS, set(), "rings after the reset")
    net.qmp.cmd("netdev_del", id="n0")
    eq(net.results("netdev-queue"), [], "queues of a deleted netdev")
    eq([r["pair"] for r in net.results()], [0, 1], "pairs without a netdev")


# ---- filters ----

@case("stats/net/filters", needs=TUN)
def filters(t):
    net = Net(t, 2, extra=tap_args("t1", ident="n1", mac="52:54:00:12:34:57", nic_opts=",id=nic1"))
    devices = [q["qom-path"] for q in net.qmp.cmd("query-net-queues")]
    eq(len(set(devices)), 2, "devices")
    eq([r["qom-path"] for r in net.results()], devices, "all pairs")
    for path in set(devices):
        eq([r["qom-path"] for r in net.results(devices=[path, "/machine"])], [d for d in devices if d == path],
           "pairs of one device")
    eq(sorted((r["netdev"], r["queue"]) for r in net.results("netdev-queue")), [("n0", 0), ("n0", 1), ("n1", 0)],
       "all queues")
    eq([(r["netdev"], r["queue"]) for r in net.results("netdev-queue", netdevs=["n1", "x"])], [("n1", 0)], "of one")
    check(all("qom-path" not in r and "pair" not in r and "owner" not in r for r in net.results("netdev-queue")),
          "members of a queue's result")
    check(all("netdev" not in r and "queue" not in r for r in net.results()), "members of a pair's result")
    for none in ([], ["x"], ["nic0"], [""]):
        eq(net.results("netdev-queue", netdevs=none), [], f"queues of {none}")
        eq(net.results(devices=none), [], f"pairs of {none}")

    def named(target, *names, provider="net"):
        return [[s["name"] for s in r["stats"]] for r in
                net.results(target, providers=[{"provider": provider, "names": list(names)}])]

    eq(named("net-queue", "tx-bursts", "rx-packets", "nothing"), [["rx-packets", "tx-bursts"]] * 3, "names")
    eq(named("netdev-queue", "tx-bytes"), [["tx-bytes"]] * 3, "a name of queues")
    for target, names in (("net-queue", ["nothing"]), ("net-queue", []), ("net-queue", ["pairs"]),
                          ("netdev-queue", ["moves"]), ("net-queue", ["RX-PACKETS"]), ("net-queue", [""])):
        eq(named(target, *names), [], f"{names} of {target}")
        eq(named(target, *names, provider="kvm"), [], f"{names} of KVM")
    eq(net.results("vm", providers=[{"provider": "net"}]), [], "the machine's")
    eq(net.results("vcpu"), [], "CPUs'")
    for part, arguments in (("'virtio-net'", {"target": "net-queue", "providers": [{"provider": "virtio-net"}]}),
                            ("'netdev'", {"target": "netdev"}), ("'pair'", {"target": "net-queue", "pair": 0}),
                            ("names", {"target": "net-queue", "providers": [{"provider": "net", "names": "x"}]}),
                            ("provider", {"target": "net-queue", "providers": [{"names": []}]})):
        refused(net.qmp, part, "query-stats", **arguments)


# ---- bursts, rings, backlog ----

def all_bursts(t, features=0, nic_opts=""):
    net = Net(t, nic_opts=nic_opts).start(features, posted=256)
    sizes = (1, 2, 3, 4, 7, 8, 15, 16, 31, 33, 63, 64)
    for i, n in enumerate(sizes):
        net.qmp.cmd("stop")
        net.to_guest(n)
        before = net.pair()["rx-packets"]
        check(net.queue()["rx-waiting"] is True, "frames wait in the tap")
        net.qmp.cmd("cont")
        for _ in range(n):
            net.nic.recv(0)
        net.becomes(rx_packets=before + n)
        eq(net.pair()["rx-bursts"][1:], buckets(*sizes[:i + 1]), f"receive bursts after one of {n}")
        check(net.queue()["rx-waiting"] is False, "frames wait although all were read")
    for i, n in enumerate(sizes):
        net.load(n)
        net.nic.tx[0].kick()
        net.sent(n)
        eq(net.pair()["tx-bursts"][1:], buckets(*sizes[:i + 1]), f"transmit bursts after one of {n}")
    net.load(200)
    net.nic.tx[0].kick()
    net.sent(200)
    eq(net.pair()["tx-bursts"][1:], buckets(*sizes, 64, 64, 64, 8), "transmit bursts after 200 frames")
    total = sum(sizes)
    net.becomes(rx_packets=total, rx_bytes=60 * total, tx_packets=total + 200, tx_bytes=100 * (total + 200),
                rx_backlog=0, tx_backlog=0)
    net.queue_becomes(rx_packets=total, rx_bytes=60 * total, tx_packets=total + 200, tx_bytes=100 * (total + 200),
                      rx_errors=0, tx_dropped=0, tx_again=0)


@case("stats/net/bursts", needs=TUN)
def bursts(t):
    all_bursts(t)


@case("stats/net/bursts-of-a-packed-ring", needs=TUN)
def bursts_packed(t):
    all_bursts(t, bits(F_PACKED, F_IN_ORDER), ",packed=on,in_order=on")


def occupancy(t, features=0, nic_opts=""):
    net = Net(t, nic_opts=nic_opts).start(features, posted=40, size=256)
    rings = {"rx-ring-size": 256, "tx-ring-size": 256}
    net.becomes(rx_ring_occupancy=40, tx_ring_occupancy=0, **rings)
    net.to_guest(7)
    for _ in range(7):
        net.nic.rx[0].wait("a frame")  # not given back
    net.becomes(rx_ring_occupancy=33)
    net.nic.post(0, 10)
    net.becomes(rx_ring_occupancy=43)
    net.qmp.cmd("stop")
    net.load(19)
    net.becomes(rx_ring_occupancy=43, tx_ring_occupancy=19)
    net.to_guest(4)
    net.becomes(rx_ring_occupancy=43)
    net.qmp.cmd("cont")
    net.sent(19)
    net.becomes(rx_ring_occupancy=39, tx_ring_occupancy=0)
    for _ in range(30):  # several times round the ring
        net.load(50)
        net.nic.tx[0].kick()
        net.sent(50)
    net.becomes(tx_ring_occupancy=0)
    net.qmp.cmd("stop")
    net.load(256)
    net.becomes(tx_ring_occupancy=256)
    return net


@case("stats/net/occupancy", needs=TUN)
def occupancy_split(t):
    net = occupancy(t, bits(F_RING_RESET))
    ring = net.nic.tx[0]
    net.vm.m16[ring.avail // 2 + 1] = ring.avail_idx + 1 & 0xffff
    check("tx-ring-occupancy" not in net.pair(), "occupancy of a ring with an index that makes no sense")
    net.vm.m16[ring.avail // 2 + 1] = ring.avail_idx
    net.becomes(tx_ring_occupancy=256)
    net.qmp.cmd("cont")
    net.sent(256)
    net.nic.t.queue_reset(1)
    check("tx-ring-occupancy" not in net.pair() and "tx-ring-size" not in net.pair(), "a ring that was reset")
    net.becomes(rx_ring_occupancy=39)


@case("stats/net/occupancy-of-packed-rings", needs=TUN)
def occupancy_packed(t):
    occupancy(t, bits(F_PACKED), ",packed=on")


@case("stats/net/occupancy-of-packed-rings-in-order", needs=TUN)
def occupancy_in_order(t):
    occupancy(t, bits(F_PACKED, F_IN_ORDER), ",packed=on,in_order=on")


@case("stats/net/receive-backlog", needs=TUN)
def receive_backlog(t):
    net = Net(t).start(posted=2, rx_size=512)
    net.to_guest(1, size=1500)
    net.becomes(rx_backlog=1, rx_no_buffer=1, rx_packets=0, rx_ring_occupancy=2)
    net.queue_becomes(rx_packets=1, rx_bytes=1500)
    net.nic.post(0, 6, 512)
    net.becomes(rx_backlog=0, rx_packets=1, rx_bytes=1500, rx_ring_occupancy=5)
    net.to_guest(1, size=1500)
    net.becomes(rx_packets=2, rx_ring_occupancy=2)
    net.to_guest(1, size=1500)
    net.becomes(rx_backlog=1)
    net.nic.t.reset()
    net.becomes(rx_backlog=0)


# ---- drops, signals ----

@case("stats/net/drops-by-cause", needs=TUN)
def drops(t):
    net = Net(t).start()
    eq(net.nic.command(CTRL_RX, 0, b"\0"), OK, "promiscuous off")
    net.to_guest(3, bytes.fromhex("525400999999"))
    net.becomes(rx_filtered=3, rx_link_down=0, rx_bad_offload=0)
    net.nic.send(0, FRAME, hdr=b"\0\x77".ljust(12, b"\0"))
    net.nic.send(0, FRAME)
    net.becomes(tx_bad_header=1, tx_packets=1, tx_dropped=0)
    net.qmp.cmd("set_link", arguments_={"name": "nic0", "up": False})
    net.to_guest(4)
    for _ in range(2):
        net.nic.send(0, FRAME)
    net.becomes(rx_filtered=7, rx_link_down=4, rx_packets=0, tx_dropped=2, tx_link_down=2, tx_packets=1)
    # The queue gave all of these, and was given only what was sent.
    net.queue_becomes(rx_packets=7, rx_bytes=420, tx_packets=1, tx_bytes=100, tx_dropped=0)
    net.qmp.cmd("set_link", arguments_={"name": "nic0", "up": True})
    net.host.drain()
    net.nic.both_ways(net.host, n=1)
    net.becomes(rx_filtered=7, tx_dropped=2, rx_packets=1, tx_packets=2)


@case("stats/net/too-long-frames", needs=TUN)
def too_long(t):
    net = Net(t)
    net.nic.start(FULL & ~bits(15), rx_size=600)  # without MRG_RXBUF
    net.to_guest(2, size=1500)
    net.to_guest(1, size=500)
    net.becomes(rx_too_long=2, rx_packets=1, rx_filtered=0)
    net.queue_becomes(rx_packets=3, rx_bytes=3500)


@case("stats/net/signals-and-kicks", needs=TUN)
def signals(t):
    net = Net(t).start()
    net.nic.tx[0].suppress_interrupts(True)
    for _ in range(20):
        net.nic.send(0, FRAME)
    # The first is always told.
    net.becomes(tx_signals=1, tx_signals_suppressed=19)
    net.nic.tx[0].suppress_interrupts(False)
    for _ in range(5):
        net.nic.send(0, FRAME)
    net.becomes(tx_signals=6, tx_signals_suppressed=19)
    before = net.pair()
    net.qmp.cmd("stop")
    net.load(30)
    net.nic.tx[0].kick()
    net.qmp.cmd("cont")
    net.sent(30)
    net.becomes(tx_signals=7, tx_kicks=before["tx-kicks"] + 1)


# ---- owners and their time ----

MAPPED = ("-netdev", "tap,id=n0,ifname=t0,script=no,downscript=no,queues=3", "-device",
          '{"driver":"virtio-net-pci","id":"nic0","netdev":"n0","mq":true,"mac":"52:54:00:12:34:56",'
          '"iothread-vq-mapping":[{"iothread":"io0"},{"iothread":"io1"}]}')
IOTHREADS = ("-object", "iothread,id=io0", "-object", "iothread,id=io1")


def run_time(vm, tid):
    """Nanoseconds that the scheduler has counted so far."""
    return int(Path(f"/proc/{vm.process.pid}/task/{tid}/schedstat").read_text().split()[0])


@case("stats/net/threads-and-their-time", needs=TUN)
def threads(t):
    net = Net(t, 3, extra=IOTHREADS, nic=MAPPED).start()
    results = net.results()
    eq([(r["owner"], r["iothread"]) for r in results],
       [("iothread", "io0"), ("iothread", "io1"), ("iothread", "io0")], "owners")
    eq([r["thread-id"] for r in results], [q["thread-id"] for q in net.qmp.cmd("query-net-queues")], "threads")
    eq(results[0]["thread-id"], results[2]["thread-id"], "one thread of two pairs")
    tids = [r["thread-id"] for r in results]
    check(set(tids) <= set(net.vm.thread_names()), "thread ids")
    for _ in range(300):
        net.nic.send(1, FRAME)
    wait_for(lambda: run_time(net.vm, tids[1]) == (time.sleep(0.05), run_time(net.vm, tids[1]))[1], "an idle thread")
    low = [run_time(net.vm, tid) for tid in tids]
    now = [values(r)["thread-cpu-time"] for r in net.results()]
    check(all(x <= y for x, y in zip(low, now)), f"the scheduler says {low}, query-stats {now}")
    high = [run_time(net.vm, tid) for tid in tids]
    check(all(x <= y + 20_000_000 for x, y in zip(now, high)), f"query-stats says {now}, the scheduler {high}")
    check(now[1] > 0 and now[2] >= now[0], f"times {now}")
    for _ in range(300):
        net.nic.send(1, FRAME)
    check(net.pair(1)["thread-cpu-time"] > now[1], "time that does not grow")


@case("stats/net/moves", needs=TUN)
def moves(t):
    net = Net(t, 3, extra=IOTHREADS, nic=MAPPED).start()
    if not any(c["name"] == "virtio-net-set-queue-mapping" for c in net.qmp.cmd("query-commands")):
        raise Skip("no command that moves pairs")
    eq([net.pair(i)["moves"] for i in range(3)], [0, 0, 0], "moves before one")
    for i in range(1, 4):
        net.qmp.cmd("virtio-net-set-queue-mapping", arguments_={
            "id": "nic0", "mapping": [{"pair": 0, "backend": "iothread", "iothread": "io1" if i % 2 else "io0"}]})
        net.nic.send(0, FRAME)
        eq([net.pair(k)["moves"] for k in range(3)], [i, 0, 0], "moves")
        eq(net.results()[0]["iothread"], "io1" if i % 2 else "io0", "owner after a move")
        net.becomes(tx_packets=i)
        net.queue_becomes(tx_packets=i, tx_bytes=100 * i)


# ---- queues of netdevs ----

@case("stats/net/queues-of-the-netdev", needs=TUN)
def queues(t):
    net = Net(t, 2).start()
    for pair in range(2):
        for _ in range(5 + pair):
            net.nic.send(pair, udp_frame(HOST_MAC, MAC, 1000 + pair, 2000, bytes(20), from_guest=True))
        for _ in range(3 + pair):
            net.host.send(udp_frame(MAC, HOST_MAC, 2000, 1000 + pair, bytes(30)))
            net.nic.recv(pair)
        net.queue_becomes(pair, tx_packets=5 + pair, tx_bytes=62 * (5 + pair), rx_packets=3 + pair,
                          rx_bytes=72 * (3 + pair), pairs=1, enabled=True)
    # A driver that starts anew, and a machine that stops, change no number.
    before = [net.queue(i) for i in range(2)]
    net.qmp.cmd("stop")
    eq([net.queue(i) for i in range(2)], before, "queues of a stopped machine")
    net.qmp.cmd("cont")
    net.nic.t.reset()
    eq([{k: v for k, v in net.queue(i).items() if k in QUEUE_COUNTERS} for i in range(2)],
       [{k: v for k, v in b.items() if k in QUEUE_COUNTERS} for b in before], "queues after a reset")
    net.start()
    net.nic.send(0, FRAME)
    net.queue_becomes(0, tx_packets=6, tx_bytes=62 * 5 + 100)
    net.becomes(0, tx_packets=6)


@case("stats/net/a-queue-that-pairs-share", needs=TUN)
def shared(t):
    net = Net(t, 2).start()
    net.nic.send(0, FRAME)
    net.qmp.cmd("netdev_del", id="n0")
    net.qmp.cmd("netdev_add", arguments_={"type": "tap", "id": "n0", "ifname": "t0", "script": "no",
                                          "downscript": "no"})
    net.host = Host("t0")
    net.queue_becomes(0, tx_packets=0, rx_packets=0, pairs=2)
    for pair, n in ((0, 3), (1, 4)):
        for _ in range(n):
            net.nic.send(pair, FRAME)
    net.to_guest(2)
    for _ in range(2):
        net.nic.recv(0)
    net.becomes(0, tx_packets=4, rx_packets=2)
    net.becomes(1, tx_packets=4, rx_packets=0)
    net.queue_becomes(0, tx_packets=7, tx_bytes=700, rx_packets=2, rx_bytes=120, pairs=2)


# ---- the human monitor ----

@case("stats/net/human-monitor", needs=TUN)
def human(t):
    net = Net(t, 2, extra=IOTHREADS[:2], nic=("-netdev", "tap,id=n0,ifname=t0,script=no,downscript=no,queues=2",
                                            "-device", '{"driver":"virtio-net-pci","id":"nic0","netdev":"n0",'
                                            '"mq":true,"iothread-vq-mapping":[{"iothread":"io0"}]}'))
    text = net.hmp("info stats net-queue")
    check(re.search(r"^provider: net, /\S+, pair 1, owner stopped$", text, re.M), text)
    check("  rx-bursts: nothing\n" in text, text)
    net.start()
    net.load(9)
    net.nic.tx[0].kick()
    net.sent(9)
    net.load(2)
    net.nic.tx[0].kick()
    net.sent(2)
    text = net.hmp("info stats net-queue tx-packets,tx-bursts,thread-cpu-time net").splitlines()
    check(re.fullmatch(r"provider: net, /\S+, pair 0, owner iothread io0, thread \d+", text[0]), text)
    eq(text[1], "  tx-packets: 11", "packets")
    check(re.fullmatch(r"  tx-bursts: (0: \d+, )?2-3: 1, 8-15: 1", text[2]), text)
    check(re.fullmatch(r"  thread-cpu-time: \d+ ns", text[3]), text)
    eq(len(text), 8, "lines of two pairs")
    text = net.hmp("info stats netdev-queue tx-packets,tx-writable,pairs").splitlines()
    eq(text[:4], ["provider: net, netdev n0, queue 0", "  tx-packets: 11", "  pairs: 1", "  tx-writable: yes"],
       "a netdev's queue")
    for line, part in (("info stats netdev", "'netdev'"), ("info stats net-queue * virtio-net", "'virtio-net'"),
                       ("info stats", "is missing")):
        answer = net.hmp(line)
        check(answer.startswith("Error: ") and part in answer, answer)
    eq(net.hmp("info stats netdev-queue nothing"), "", "a name that there is not")
