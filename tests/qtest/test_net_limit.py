# SPDX-License-Identifier: GPL-2.0-or-later
"""Rate limits of a NIC that its queue pairs share.

What passes is counted in the rings, against the machine's clock. More than the
limit allows is a failure on any machine; that enough passes is asked for with
plenty of room, since a busy machine moves less.
"""

import os
import random
import signal
import socket
import time

from netlib import HOST_MAC, Host, raw_frame, udp_frame
from qmplib import Qmp, QmpError
from qtestlib import Failure, Skip, case, check, eq, wait_for
from test_hotplug import Machine
from test_net_hot import ID, Hot, refused, refused_line
from test_virtio_net_mq import MQ
from test_virtio_net_options import TAP, run
from test_virtio_net_rss import rss_nic
from virtiolib import BASIC, F_RING_RESET, MAC, NEEDS_RESET, Modern, Nic, bits, find_virtio, tap_args

TUN = ("root", "tun")
SMALL, WIRE, LONG = 64, 1514, 65000
SO_SNDBUFFORCE = 32
QUANTUM = 2048  # bytes that a pair may hold, however small the burst
SECONDS = 0.6
NONE = {"nic": "nic0", "qom-path": "/machine/peripheral/nic0/virtio-backend"}


def limits(qmp):
    info, = qmp.cmd("query-net-rate-limits", arguments_={"name": "nic0"})
    return info


def settings(qmp):
    return {k: v for k, v in limits(qmp).items() if k != "pairs"}


class Limited(Hot):
    """A machine whose pairs are driven as fast as this process can, in both directions."""

    def __init__(self, t, queues=1, size=WIRE, **kw):
        super().__init__(t, queues=queues, **kw)
        self.size = size
        self.child = None
        self.frame = self.vm.alloc(12 + size)
        data = bytes(12) + udp_frame(HOST_MAC, MAC, 1000, 2000, bytes(size - 42), from_guest=True)
        self.vm.ram[self.frame:self.frame + len(data)] = data
        self.moved = {}

    def start(self, features=None, **kw):
        kw.setdefault("posted", 16 if self.size > 4096 else 128)
        return super().start(features, rx_size=self.size + 64 if self.size > 4096 else 2048, **kw)

    def set(self, **directions):
        self.qmp.cmd("virtio-net-set-rate-limit", id="nic0", **directions)

    def flood(self):
        """A process that sends frames of many flows to the guest until the case ends."""
        host = Host("t0", mtu=65500 if self.size > 1514 else None)
        # The sender must not be what holds frames back: all pairs' queues have some.
        host.sock.setsockopt(socket.SOL_SOCKET, SO_SNDBUFFORCE, 16 << 20)
        frames = [udp_frame(MAC, HOST_MAC, 5000 + i, 6000 + 3 * i, bytes(self.size - 42)) for i in range(64)]
        self.child = os.fork()
        if self.child == 0:
            while True:
                for f in frames:
                    try:
                        host.send(f)
                    except OSError:
                        time.sleep(0.0005)

    def stop(self):
        if self.child:
            os.kill(self.child, signal.SIGKILL)
            os.waitpid(self.child, 0)
            self.child = None

    def pump_rx(self, pair):
        """Takes what has come and gives the buffers back."""
        ring = self.nic.rx[pair]
        n = 0
        while True:
            got = ring.take()
            if not got:
                break
            n += 1
            at, size = got[2]
            ring.offer(ring.add(into=[(at, size)], tag=(at, size)))
        if n:
            ring.publish()
            ring.kick()
        return n

    def pump_tx(self, pair):
        """Takes what is sent and fills the ring."""
        ring = self.nic.tx[pair]
        n = 0
        while ring.take():
            n += 1
        if len(ring.free) > 128:
            while len(ring.free) > 16:
                ring.offer(ring.add(out=[(self.frame, 12 + self.size)]))
            ring.publish()
            ring.kick()
        return n

    def run(self, seconds=SECONDS, rx=True, tx=True):
        """Moves frames for so long: ([received of each pair], [sent], seconds that it took)."""
        got, sent = [0] * self.queues, [0] * self.queues
        began = time.monotonic()
        for pair in range(self.queues):  # what has passed so far
            self.pump_rx(pair)
            self.pump_tx(pair)
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            for pair in range(self.queues):
                if rx:
                    got[pair] += self.pump_rx(pair)
                if tx:
                    sent[pair] += self.pump_tx(pair)
            time.sleep(0.0005)
        return got, sent, time.monotonic() - began

    def expect(self, frames, elapsed, rate, burst, what, bytes_=True, least=0.1):
        """FRAMES, of all pairs, in that time are within the limit, and reach LEAST of it."""
        size = self.size if bytes_ else 1
        slack = self.queues * ((QUANTUM if bytes_ else 1) + size)
        most = 1.1 * rate * elapsed + burst + slack
        check(frames * size <= most, f"{what}: {frames} frames, {frames * size / elapsed:.0f} a second with a limit of "
                                     f"{rate}")
        check(frames * size + slack >= least * rate * elapsed,
              f"{what}: only {frames} frames, {frames * size / elapsed:.0f} a second with a limit of {rate}")


# ---- what is refused ----

BAD_LIMITS = (
    ({"bytes-per-second": 125000000001}, "-bytes-per-second=125000000001: must be 1 to 125000000000, or 0"),
    ({"bytes-per-second": 2 ** 64 - 1}, "-bytes-per-second=18446744073709551615: must be"),
    ({"bytes-per-second": 2 ** 63}, "-bytes-per-second=9223372036854775808: must be"),
    ({"packets-per-second": 1000000001}, "-packets-per-second=1000000001: must be 1 to 1000000000, or 0"),
    ({"packets-per-second": 2 ** 64 - 1}, "-packets-per-second=18446744073709551615: must be"),
    ({"bytes-per-second": 1, "burst-bytes": (1 << 40) + 1}, "-burst-bytes=1099511627777: must be 1 to 1099511627776"),
    ({"bytes-per-second": 1, "burst-bytes": 2 ** 64 - 1}, "-burst-bytes=18446744073709551615: must be"),
    ({"packets-per-second": 1, "burst-packets": 1000000001}, "-burst-packets=1000000001: must be 1 to 1000000000"),
    ({"burst-bytes": 100000}, "-burst-bytes=100000 needs .x-bytes-per-second"),
    ({"burst-packets": 10}, "-burst-packets=10 needs .x-packets-per-second"),
    ({"bytes-per-second": 0, "burst-bytes": 1}, "-burst-bytes=1 needs"),
    ({"packets-per-second": 5, "burst-bytes": 1}, "-burst-bytes=1 needs"),
    ({"bytes-per-second": -1}, "bytes-per-second' expects an integer between 0 and"),
    ({"bytes-per-second": "1000"}, "bytes-per-second.*expected: integer"),
    ({"bytes-per-second": 1.5}, "bytes-per-second.*expected: integer"),
    ({"bytes-per-second": None}, "bytes-per-second.*expected: integer"),
    ({"bits-per-second": 1}, "'bits-per-second'|bits-per-second"),
    (1000, "expected: object"),
    ([], "expected: object"),
)


@case("net-limit/refused/virtio-net-set-rate-limit", needs=TUN)
def bad_arguments(t):
    x = Limited(t, queues=2).start()
    command = "virtio-net-set-rate-limit"
    for force in ({}, {"rx": {"bytes-per-second": 10 ** 9}, "tx": {"packets-per-second": 10 ** 6, "burst-packets": 7}}):
        if force:
            x.set(**force)
        before = settings(x.qmp)
        for bad, text in BAD_LIMITS:
            for dir_, other in (("rx", "tx"), ("tx", "rx")):
                refused(x.qmp, x.vm, text, command, {"id": "nic0", dir_: bad})
                refused(x.qmp, x.vm, text, command, {"id": "nic0", dir_: bad, other: {"bytes-per-second": 5000}})
                eq(settings(x.qmp), before, f"limits after the refused {bad}")
        for arguments, text, cls in (({"id": "nobody", "rx": {}}, "'nobody' not found", "DeviceNotFound"),
                                     ({"id": "", "rx": {}}, "'' not found", "DeviceNotFound"),
                                     ({"id": "n0", "rx": {}}, "'n0' is a netdev", "GenericError"),
                                     ({"id": "nic0"}, "neither 'rx' nor 'tx'", "GenericError"),
                                     ({"rx": {}}, "'id' is missing", None),
                                     ({"id": 1, "rx": {}}, "'id', expected", None),
                                     ({"id": "nic0", "both": {}}, "'both'", None)):
            refused(x.qmp, x.vm, text, command, arguments, cls)
            eq(settings(x.qmp), before, f"limits after the refused {arguments}")
    for arguments, text in (({"name": "nobody"}, "invalid net client name: nobody"), ({"name": "n0"}, "isn't a NIC"),
                            ({"name": 1}, "'name', expected"), ({"id": "nic0"}, "'id'")):
        refused(x.qmp, x.vm, text, "query-net-rate-limits", arguments)
    x.set(rx={}, tx={})
    x.nic.both_ways(x.host)


@case("net-limit/refused/human-monitor", needs=TUN)
def bad_lines(t):
    x = Limited(t).start()
    for line, text in (("", "ID is missing"), (" nic0", "is missing"), (" nic0 rx", "is missing"),
                       (" nic0 up off", "'up': expects rx"), (" nobody rx off", "'nobody' not found"),
                       (" n0 rx off", "is a netdev"),
                       (" nic0 rx 1000", "expects off, or bytes-per-second=N"), (" nic0 rx bytes-per-second=", "bytes"),
                       (" nic0 rx bytes-per-second=fast", "bytes-per-second"), (" nic0 tx bps=1", "'bps'"),
                       (" nic0 tx burst-bytes=1", "tx-burst-bytes=1 needs tx-bytes-per-second"),
                       (" nic0 tx packets-per-second=1000000001", "must be 1 to 1000000000")):
        refused_line(x, text, "virtio_net_set_rate_limit" + line)
        eq(settings(x.qmp), NONE, f"limits after {line}")
    x.nic.both_ways(x.host)


# ---- what is set is shown ----

@case("net-limit/settings/as-set", needs=TUN)
def shown(t):
    x = Limited(t, queues=2).start()
    eq(settings(x.qmp), NONE, "limits at the start")
    check("rate limits" not in x.hmp("info network"), "limits in info network at the start")
    x.set(rx={"bytes-per-second": 125000000})
    eq(settings(x.qmp), {**NONE, "rx": {"bytes-per-second": 125000000, "burst-bytes": 2500000}}, "rx")
    x.set(tx={"packets-per-second": 10, "bytes-per-second": 1, "burst-packets": 3})
    eq(settings(x.qmp), {**NONE, "rx": {"bytes-per-second": 125000000, "burst-bytes": 2500000},
                         "tx": {"bytes-per-second": 1, "burst-bytes": 65600, "packets-per-second": 10,
                                "burst-packets": 3}}, "rx and tx")
    check("  rate limits: rx=125000000 bytes/s (burst 2500000) tx=1 bytes/s (burst 65600) tx=10 packets/s (burst 3); "
          "waits: rx=0 (0 ms) tx=0 (0 ms)" in x.hmp("info network"), x.hmp("info network"))
    eq([p["pair"] for p in limits(x.qmp)["pairs"]], [0, 1], "pairs")
    x.set(rx={"bytes-per-second": 0, "packets-per-second": 49}, tx={})
    eq(settings(x.qmp), {**NONE, "rx": {"packets-per-second": 49, "burst-packets": 1}}, "rx alone")
    eq(x.hmp("virtio_net_set_rate_limit nic0 rx off"), "", "off")
    eq(settings(x.qmp), NONE, "none")
    eq(x.hmp("virtio_net_set_rate_limit nic0 tx bytes-per-second=125000000000,burst-bytes=1099511627776,"
             "packets-per-second=1000000000,burst-packets=1000000000"), "", "the most")
    eq(settings(x.qmp)["tx"], {"bytes-per-second": 125000000000, "burst-bytes": 1 << 40,
                               "packets-per-second": 1000000000, "burst-packets": 1000000000}, "the most")
    x.set(rx={"bytes-per-second": 125000000000, "burst-bytes": 1})
    x.nic.both_ways(x.host)
    eq(len(x.qmp.cmd("query-net-rate-limits")), 1, "NICs")


@case("net-limit/settings/properties", needs=TUN)
def properties(t):
    x = Limited(t, nic_opts=",rx-bytes-per-second=1000000,rx-burst-bytes=5000,tx-packets-per-second=77").start()
    path = "/machine/peripheral/nic0"
    first = {**NONE, "rx": {"bytes-per-second": 1000000, "burst-bytes": 5000},
             "tx": {"packets-per-second": 77, "burst-packets": 1}}

    def get(name):
        return x.qmp.cmd("qom-get", path=path, property=name)

    def put(name, value):
        x.qmp.cmd("qom-set", path=path, property=name, value=value)
    eq(settings(x.qmp), first, "limits by options")
    eq([get(p) for p in ("rx-bytes-per-second", "rx-burst-bytes", "tx-packets-per-second", "tx-burst-packets")],
       [1000000, 5000, 77, 0], "properties")
    for name, value, text in (("tx-burst-bytes", 1, "needs tx-bytes-per-second"), ("rx-bytes-per-second", 0, "needs"),
                              ("tx-packets-per-second", 2 ** 64 - 1, "must be 1 to 1000000000"),
                              ("rx-burst-bytes", -1, "rx-burst-bytes"), ("rx-burst-bytes", "much", "rx-burst-bytes")):
        refused(x.qmp, x.vm, text, "qom-set", {"path": path, "property": name, "value": value})
        eq(settings(x.qmp), first, f"limits after the refused {name}={value}")
    put("rx-burst-bytes", 0)
    put("tx-burst-packets", 9)
    put("tx-packets-per-second", 78)
    eq(settings(x.qmp), {**NONE, "rx": {"bytes-per-second": 1000000, "burst-bytes": 65600},
                         "tx": {"packets-per-second": 78, "burst-packets": 9}}, "limits by qom-set")
    x.set(rx={}, tx={"bytes-per-second": 4000000})
    eq([get(p) for p in ("rx-bytes-per-second", "tx-bytes-per-second", "tx-packets-per-second")], [0, 4000000, 0],
       "properties after the command")
    x.nic.both_ways(x.host)


@case("net-limit/settings/bad-properties", needs=TUN)
def bad_properties(t):
    from test_virtio_net_options import TAP, run
    for options, text in (("rx-bytes-per-second=125000000001", "rx-bytes-per-second=125000000001: must be"),
                          ("tx-burst-packets=5", "tx-burst-packets=5 needs tx-packets-per-second"),
                          ("tx-packets-per-second=-5", "tx-packets-per-second"),
                          ("rx-bytes-per-second=1G", "rx-bytes-per-second")):
        status, out, err = run(t, "-netdev", TAP, "-device", f"virtio-net-pci,netdev=n0,{options}")
        eq((status, out, len(err.splitlines())), (1, "", 1), f"{options}: {err}")
        check(text in err, f"{options}: {err}")


# ---- what passes ----

def one_direction(t, queues, size, rate, direction, bytes_=True, burst=None):
    x = Limited(t, queues=queues, size=size)
    kind = "bytes" if bytes_ else "packets"
    limit = {f"{kind}-per-second": rate, **({f"burst-{kind}": burst} if burst else {})}
    try:
        x.start()
        x.set(**{direction: limit})
        if direction == "rx":
            x.flood()
        got, sent, elapsed = x.run(rx=direction == "rx", tx=direction == "tx")
        frames = got if direction == "rx" else sent
        x.expect(sum(frames), elapsed, rate, settings(x.qmp)[direction][f"burst-{kind}"],
                 f"{direction}, {queues} pairs, frames of {size}", bytes_)
        waits = [p[direction] for p in limits(x.qmp)["pairs"]]
        check(all(w["waits"] > 0 and w["wait-ns"] > 0 for w in waits), f"waits: {waits}")
        other = [p["tx" if direction == "rx" else "rx"] for p in limits(x.qmp)["pairs"]]
        check(all(w == {"waiting": False, "waits": 0, "wait-ns": 0} for w in other), f"waits: {other}")
        share = sum(frames) / queues
        # Exact shares are the unit test's, in virtual time; here threads get their CPU when they get it.
        check(all(n >= 0.15 * share for n in frames), f"a pair starves: {frames}")
    finally:
        x.stop()


for _queues in (1, 4):
    for _direction in ("rx", "tx"):
        for _size, _rate in ((SMALL, 120000), (WIRE, 3000000), (LONG, 10000000)):
            @case(f"net-limit/rate/{_direction}-bytes-{_queues}-pairs-frames-of-{_size}", needs=TUN)
            def byte_rate(t, args=(_queues, _size, _rate, _direction)):
                one_direction(t, *args)

        @case(f"net-limit/rate/{_direction}-packets-{_queues}-pairs", needs=TUN)
        def packet_rate(t, args=(_queues, SMALL, 1500, _direction, False)):
            one_direction(t, *args)


def small_burst(t, direction):
    x = Limited(t, size=LONG).start()
    x.set(**{direction: {"bytes-per-second": 2000000, "burst-bytes": 1}})
    if direction == "rx":
        x.flood()
    try:
        got, sent, elapsed = x.run()
        frames = sum(got if direction == "rx" else sent)
        x.expect(frames, elapsed, 2000000, 1, f"{direction}, a burst of 1 byte", least=0)
        check(frames > 3, f"{frames} frames of {LONG} bytes")
    finally:
        x.stop()


@case("net-limit/rate/rx-small-burst-and-long-frames", needs=TUN)
def small_burst_rx(t):
    small_burst(t, "rx")


@case("net-limit/rate/tx-small-burst-and-long-frames", needs=TUN)
def small_burst_tx(t):
    small_burst(t, "tx")


@case("net-limit/rate/directions-are-separate", needs=TUN)
def separate(t):
    x = Limited(t, queues=2, size=SMALL).start()
    x.flood()
    try:
        x.set(rx={"packets-per-second": 200})
        got, sent, elapsed = x.run()
        x.expect(sum(got), elapsed, 200, 4, "rx", bytes_=False)
        check(sum(sent) > 1000 * elapsed, f"tx is not limited: {sent}")
        x.set(rx={}, tx={"packets-per-second": 300})
        got, sent, elapsed = x.run()
        x.expect(sum(sent), elapsed, 300, 6, "tx", bytes_=False)
        check(sum(got) > 1000 * elapsed, f"rx is not limited: {got}")
        x.set(rx={"packets-per-second": 500})
        got, sent, elapsed = x.run()
        x.expect(sum(got), elapsed, 500, 10, "rx of both", bytes_=False)
        x.expect(sum(sent), elapsed, 300, 6, "tx of both", bytes_=False)
    finally:
        x.stop()


@case("net-limit/rate/both-kinds-the-smaller-counts", needs=TUN)
def both_kinds(t):
    x = Limited(t, queues=2, size=WIRE).start()
    x.set(tx={"packets-per-second": 400, "bytes-per-second": 10 ** 9})
    _, sent, elapsed = x.run(rx=False)
    x.expect(sum(sent), elapsed, 400, 8, "packets", bytes_=False)
    x.set(tx={"packets-per-second": 10 ** 6, "bytes-per-second": 10 ** 6})
    _, sent, elapsed = x.run(rx=False)
    x.expect(sum(sent), elapsed, 10 ** 6, 65600, "bytes")


@case("net-limit/rate/changes-while-frames-flow", needs=TUN)
def changes(t):
    x = Limited(t, queues=4, size=SMALL).start()
    x.flood()
    try:
        for rate in (1000, 3000, 200, 2000):
            x.set(rx={"packets-per-second": rate}, tx={"packets-per-second": rate})
            got, sent, elapsed = x.run(0.4)
            x.expect(sum(got), elapsed, rate, rate // 50, f"rx with {rate}", bytes_=False)
            x.expect(sum(sent), elapsed, rate, rate // 50, f"tx with {rate}", bytes_=False)
        x.set(rx={}, tx={})
        got, sent, elapsed = x.run(0.4)
        check(sum(got) > 4000 * elapsed and sum(sent) > 4000 * elapsed, f"without a limit: {got} {sent}")
        check(not any(p[d]["waiting"] for p in limits(x.qmp)["pairs"] for d in ("rx", "tx")), "pairs wait for nothing")
    finally:
        x.stop()


@case("net-limit/rate/equal-shares-of-long-and-short-frames", needs=TUN)
def shares(t):
    x = Limited(t, queues=4, size=WIRE).start()
    long_at = x.vm.alloc(12 + LONG)
    data = bytes(12) + raw_frame(HOST_MAC, MAC, b"long", size=LONG)
    x.vm.ram[long_at:long_at + len(data)] = data
    rate = 4000000
    x.set(tx={"bytes-per-second": rate})
    sent = [0] * 4
    # Two pairs send long frames, two short ones.
    end = None
    while end is None or time.monotonic() < end:
        for pair in range(4):
            ring = x.nic.tx[pair]
            while ring.take():
                sent[pair] += LONG if pair < 2 else WIRE
            if len(ring.free) > 16:
                while len(ring.free) > 8:
                    ring.offer(ring.add(out=[(long_at, 12 + LONG) if pair < 2 else (x.frame, 12 + WIRE)]))
                ring.publish()
                ring.kick()
        if end is None:
            began, end, sent = time.monotonic(), time.monotonic() + 1.5, [0] * 4
        time.sleep(0.0005)
    elapsed = time.monotonic() - began
    total = sum(sent)
    check(total <= 1.1 * rate * elapsed + rate // 50 + 4 * LONG, f"{total} bytes in {elapsed} s: {sent}")
    check(all(n >= 0.15 * total / 4 for n in sent), f"a pair starves: {sent}")


@case("net-limit/rate/one-pair-may-use-it-all", needs=TUN)
def one_of_four(t):
    x = Limited(t, queues=4, size=WIRE).start()
    x.set(tx={"bytes-per-second": 3000000})
    x.queues = 1
    _, sent, elapsed = x.run(rx=False)
    x.expect(sum(sent), elapsed, 3000000, 65600, "one pair of four")


@case("net-limit/rate/frames-handed-over-by-rss-count-once", needs=TUN)
def handed_over(t):
    vm, nic, host, qmp = rss_nic(t, ",rss=on,rss-steering=user,id=nic0")
    qmp.cmd("virtio-net-set-rate-limit", id="nic0", rx={"packets-per-second": 400, "burst-packets": 20})
    frames = [udp_frame(MAC, HOST_MAC, 3000 + i, 4000 + 7 * i, b"flow %d" % i) for i in range(200)]
    began = time.monotonic()
    for f in frames:
        host.send(f)
    missing = set(frames)

    def collect():
        for pair in nic.rx:
            got = nic.recv(pair, wait=False)
            if got:
                check(got[1] in missing, "a frame that was not sent, or twice")
                missing.remove(got[1])
        return not missing
    wait_for(collect, f"{len(missing)} frames of {len(frames)}")
    elapsed = time.monotonic() - began
    check(elapsed >= (len(frames) - 20 - 2 * len(nic.rx)) / 440, f"{len(frames)} frames in {elapsed} s")
    stats = [q["stats"] for q in qmp.cmd("query-net-queues")]
    eq(sum(s["rx-rss-dropped"] for s in stats), 0, "frames lost on the way")


@case("net-limit/idle/waiting-costs-no-time", needs=TUN)
def no_busy_loop(t):
    x = Limited(t, queues=2, size=SMALL).start()
    x.flood()
    try:
        x.set(rx={"packets-per-second": 1}, tx={"packets-per-second": 1})
        x.run(0.2)
        before = x.vm.cpu_seconds()
        time.sleep(0.6)
        used = x.vm.cpu_seconds() - before
        check(used < 0.3, f"{used} s of CPU in 0.6 s of waiting")
    finally:
        x.stop()


# ---- life ----

TINY = {"packets-per-second": 1}


def waits_all(x):
    """Every pair waits, in both directions."""
    def look():
        for pair in range(x.queues):
            x.pump_rx(pair)
            x.pump_tx(pair)
        return all(p[d]["waiting"] for p in limits(x.qmp)["pairs"] for d in ("rx", "tx"))
    wait_for(look, "all pairs to wait")


@case("net-limit/life/tiny-limits-hang-nothing", needs=TUN)
def tiny(t):
    x = Limited(t, queues=4, size=SMALL, nic_opts=",rx-bytes-per-second=1,tx-bytes-per-second=1")
    x.start(MQ | bits(F_RING_RESET))
    x.flood()
    try:
        x.set(rx=TINY, tx=TINY)
        waits_all(x)
        x.qmp.cmd("stop")
        check(not any(p[d]["waiting"] for p in limits(x.qmp)["pairs"] for d in ("rx", "tx")), "who is stopped waits")
        x.qmp.cmd("cont")
        waits_all(x)
        x.nic.set_pairs(1)
        x.nic.set_pairs(4)
        waits_all(x)
        x.nic.t.queue_reset(2)
        x.nic.t.queue_reset(3)
        x.link(False)
        x.link(True)
        x.vm.heap = 8 << 20
        x.start()
        waits_all(x)
        x.stop()
        x.delete()
        x.back()
        x.flood()
        waits_all(x)
        x.vm.qtest.command("clock_step 1000")
        check(not x.nic.t.status & NEEDS_RESET, "NEEDS_RESET")
        x.set(rx={}, tx={})
        got, sent, _ = x.run(0.3)
        check(sum(got) > 100 and sum(sent) > 100, f"after the limits: {got} {sent}")
        x.set(rx=TINY, tx=TINY)
        waits_all(x)  # and the process ends
    finally:
        x.stop()


@case("net-limit/life/everything-changes-while-frames-flow", needs=TUN)
def churn(t):
    """For the thread sanitizer, crashes, hangs and lost wake-ups."""
    x, rng = Limited(t, queues=4, size=SMALL), random.Random(7)
    x.start()
    x.flood()
    heap = x.vm.heap
    try:
        end = time.monotonic() + 1.5
        while time.monotonic() < end:
            x.set(**{d: rng.choice(({}, TINY, {"packets-per-second": 3000}, {"bytes-per-second": 10 ** 6},
                                    {"bytes-per-second": 10 ** 8, "packets-per-second": 10 ** 5}))
                     for d in rng.choice((("rx",), ("tx",), ("rx", "tx")))})
            x.run(0.01)
            what = rng.randrange(5)
            if what == 0:
                x.nic.set_pairs(rng.randrange(1, 5))
            elif what == 1:
                x.vm.heap = heap
                x.start()
            elif what == 2:
                x.qmp.cmd("stop")
                x.qmp.cmd("cont")
        check(not x.nic.t.status & NEEDS_RESET, "NEEDS_RESET")
        x.set(rx={}, tx={})
        x.vm.heap = heap
        x.start()
        got, sent, _ = x.run(0.3)
        check(sum(got) > 100 and sum(sent) > 100, f"after the limits: {got} {sent}")
    finally:
        x.stop()


@case("net-limit/life/unplug-while-pairs-wait", needs=TUN)
def unplug(t):
    m = Machine(t, "-netdev", "tap,id=n0,ifname=t0,script=no,downscript=no", "-device",
                "virtio-net-pci,id=nic0,netdev=n0,addr=5,tx-packets-per-second=1,rx-packets-per-second=1")
    m.acpi_on()
    nic = Nic(Modern(find_virtio(m.vm)[0])).start(BASIC)
    host = Host("t0")
    for i in range(4):
        nic.send(0, raw_frame(HOST_MAC, MAC, b"%d" % i, size=60), wait=False)
        host.send(raw_frame(MAC, HOST_MAC, b"%d" % i, size=60))
    wait_for(lambda: all(limits(m.qmp)["pairs"][0][d]["waiting"] for d in ("rx", "tx")), "the pair to wait")
    m.remove("nic0", 5)
    eq(m.qmp.cmd("query-net-rate-limits"), [], "limits of NICs")


@case("net-limit/life/resets-give-nothing-away", needs=TUN)
def resets(t):
    """A driver that resets its device gains nothing by it."""
    x = Limited(t, size=SMALL).start()
    x.set(tx={"packets-per-second": 20})
    total, began = 0, time.monotonic()
    while time.monotonic() < began + 1:
        x.vm.heap = 8 << 20
        x.start()
        for _ in range(20):
            total += x.pump_tx(0)
        time.sleep(0.01)
        total += x.pump_tx(0)
    elapsed = time.monotonic() - began
    check(total <= 1.1 * 20 * elapsed + 3, f"{total} frames in {elapsed} s")
    check(total > 3, f"{total} frames in {elapsed} s")


# ---- vhost-net ----

def need_vhost():
    if not os.access("/dev/vhost-net", os.R_OK | os.W_OK):
        raise Skip("needs /dev/vhost-net")


def owners(x):
    return [q["owner"] for q in x.pairs()]


@case("net-limit/vhost/pairs-move-for-a-limit-and-back", needs=TUN)
def vhost_moves(t):
    need_vhost()
    x = Limited(t, queues=2, tap_opts=",vhost=on").start()
    eq(owners(x), ["vhost"] * 2, "owners")
    x.set(tx={"bytes-per-second": 1000000})
    eq(owners(x), ["iothread"] * 2, "owners with a limit")
    x.set(rx={"bytes-per-second": 1000000}, tx={})
    eq(owners(x), ["iothread"] * 2, "owners with the other limit")
    x.nic.both_ways(x.host)
    x.set(rx={})
    eq(owners(x), ["vhost"] * 2, "owners without a limit")
    x.nic.both_ways(x.host)


@case("net-limit/vhost/refused-where-it-is-insisted-on", needs=TUN)
def vhost_insisted(t):
    need_vhost()
    mapping = ",queue-mapping.0.pair=1,queue-mapping.0.backend=vhost"
    for i, (tap_opts, nic_opts, text) in enumerate((
            (",vhost=on", mapping, "pair 1 is mapped to vhost; map it to an iothread first"),
            (",vhost=on,vhostforce=on", "", "pair 0 is on a netdev with vhostforce=on"))):
        tap = TAP.replace("t0", f"other{i}")
        status, _, err = run(t, "-netdev", tap + tap_opts + ",queues=2", "-device",
                             f"virtio-net-pci,mq=on,netdev=n0,rx-bytes-per-second=5{nic_opts}")
        check(status == 1 and len(err.splitlines()) == 1 and text in err, f"at the start: {status} {err}")
        vm = t.vm(*tap_args(f"t{i}", queues=2, tap_opts=tap_opts, nic_opts=ID + nic_opts), qmp=True)
        qmp = Qmp(vm.qmp_path)
        for limit in ({"bytes-per-second": 1000}, {"packets-per-second": 5}):
            refused(qmp, vm, text, "virtio-net-set-rate-limit", {"id": "nic0", "rx": limit})
        eq(settings(qmp), NONE, "limits")
        qmp.cmd("virtio-net-set-rate-limit", id="nic0", rx={}, tx={})  # which is none


@case("net-limit/vhost/a-netdev-that-insists-does-not-come-back", needs=TUN)
def vhost_rejoin(t):
    need_vhost()
    x = Limited(t).start()
    x.set(rx={"bytes-per-second": 1000000})
    x.delete()
    try:
        x.add(vhost=True, vhostforce=True)
    except QmpError as e:
        check("pair 0 is on a netdev with vhostforce=on" in e.desc, e.desc)
    else:
        raise Failure("a netdev with vhostforce=on came back to a limited NIC")
    x.back(vhost=True)
    eq(owners(x), ["iothread"], "owner")
    x.nic.both_ways(x.host)
