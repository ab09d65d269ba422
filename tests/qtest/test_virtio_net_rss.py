# SPDX-License-Identifier: GPL-2.0-or-later
"""RSS and hash reports: where flows land, what the header says, wrong commands, who steers.

The Toeplitz hash here is written from its definition, bit by bit; the first
case holds it against the vectors of the standard.
"""

import base64
import contextlib
import ctypes
import os
import random
import socket
import struct
import subprocess
import threading
import time

from netlib import HOST_MAC, TEST_TYPE, Host, raw_frame
from qmplib import Qmp
from qtestlib import SCALE, Failure, Skip, case, check, eq, wait_for
from test_virtio_net_options import run
from virtiolib import (BASIC, CTRL, CTRL_MQ, ERR, F_CTRL_VQ, F_HASH_REPORT, F_MQ, F_MRG_RXBUF, F_RSS, MAC, MAC_TEXT, Modern,
                       Nic, OK, bits, find_virtio, tap_args)

TUN = ("root", "tun")
VQ_PAIRS_SET, RSS_CONFIG, HASH_CONFIG = 0, 1, 2
IPV4, TCPV4, UDPV4, IPV6, TCPV6, UDPV6, IPV6_EX, TCPV6_EX, UDPV6_EX = (1 << i for i in range(9))
ALL_TYPES = 0x1ff
TYPE_NAMES = ["ipv4", "tcpv4", "udpv4", "ipv6", "tcpv6", "udpv6", "ipv6-ex", "tcpv6-ex", "udpv6-ex"]
# of a report: its type's bit number + 1
KEY = bytes.fromhex("6d5a56da255b0ec24167253d43a38fb0d0ca2bcbae7b30b477cb2da38030f20c6a42b73bbeac01fa")
RSS = BASIC | CTRL | bits(F_RSS, F_MQ)
HASH = BASIC | CTRL | bits(F_HASH_REPORT)
PAIRS = 4
CAP_SYS_ADMIN, CAP_BPF, PR_CAPBSET_DROP = 21, 39, 24


def toeplitz(data, key=KEY):
    bits_of = int.from_bytes(key.ljust(40, b"\0") + bytes(8), "big")
    total = 8 * 48
    value = 0
    for i in range(8 * len(data)):
        if data[i // 8] & 0x80 >> i % 8:
            value ^= bits_of >> total - 32 - i & 0xffffffff
    return value


class Flow:
    """A packet and what its hash is taken over."""

    def __init__(self, name, frame, parts=b"", report=0, kinds=()):
        self.name, self.frame = name, frame
        self.choices = list(kinds) or ([(report, parts)] if report else [])

    def hash(self, types, key=KEY):
        """(value, report) with these types of hash allowed."""
        for report, parts in self.choices:
            if types & 1 << report - 1:
                return toeplitz(parts, key), report
        return 0, 0


def ether(kind, body, tags=()):
    frame = MAC + HOST_MAC
    for i, tag in enumerate(tags):
        frame += struct.pack(">HH", 0x88a8 if i + 1 < len(tags) else 0x8100, tag)
    return frame + struct.pack(">H", kind) + body


def ports_of(sport, dport, protocol):
    pair = struct.pack(">HH", sport, dport)
    return pair, pair + bytes(16 if protocol == 6 else 4)


def v4(src, dst, sport, dport, protocol, mark=b"", tags=(), fragment=0, options=0):
    src, dst = (socket.inet_aton(a) for a in (src, dst))
    pair, rest = ports_of(sport, dport, protocol)
    body = rest + mark
    head = struct.pack(">BBHHHBBH4s4s", 0x45 + options, 0, 20 + 4 * options + len(body), 1, fragment, 64, protocol, 0,
                       src, dst) + b"\1" * 4 * options
    number = {6: 2, 17: 3}.get(protocol)
    kinds = [(number, src + dst + pair)] if number and not fragment & 0x3fff else []
    return Flow(f"{protocol} over IPv4 {sport} tags={tags} fragment={fragment:#x}", ether(0x800, head + body, tags),
                kinds=kinds + [(1, src + dst)])


def v6(src, dst, sport, dport, protocol, mark=b"", tags=(), home=None, route=None, filler=(), fragment=None):
    src, dst = (socket.inet_pton(socket.AF_INET6, a) for a in (src, dst))
    pair, rest = ports_of(sport, dport, protocol)
    headers = [(kind, bytes(6)) for kind in filler]
    ex_src, ex_dst = src, dst
    if route:
        ex_dst = socket.inet_pton(socket.AF_INET6, route)
        headers.append((43, bytes((2, 1)) + bytes(4) + ex_dst))
    if home:
        ex_src = socket.inet_pton(socket.AF_INET6, home)
        headers.append((60, bytes((1, 2, 0, 0, 0xc9, 16)) + ex_src))
    if fragment is not None:
        headers.append((44, struct.pack(">H", fragment) + b"\0\0\0\7"))
    body, following = rest + mark, protocol
    for kind, content in reversed(headers):
        check((len(content) + 2) % 8 == 0, "the case's extension header has no whole length")
        units = 0 if kind == 44 else len(content) // 8
        body = bytes((following, units)) + content + body
        following = kind
    head = struct.pack(">IHBB", 6 << 28, len(body), following, 64) + src + dst
    ported = {6: 5, 17: 6}.get(protocol) if not fragment else None
    kinds = []
    if headers:
        kinds += [(ported + 3, ex_src + ex_dst + pair)] if ported else []
        kinds.append((7, ex_src + ex_dst))
    kinds += [(ported, src + dst + pair)] if ported else []
    kinds.append((4, src + dst))
    return Flow(f"{protocol} over IPv6 {sport} {[k for k, _ in headers]} tags={tags} fragment={fragment}",
                ether(0x86dd, head + body, tags), kinds=kinds)


def other(n):
    return Flow(f"no IP {n}", raw_frame(MAC, payload=b"other%d" % n, ethertype=TEST_TYPE, size=64))


def flows(count=12, seed=1):
    """Packets of every kind, each with bytes of its own."""
    rng = random.Random(seed)
    made = []

    def mark():
        return b"flow %06d" % len(made) + bytes(40)

    def a4():
        return f"10.{rng.randrange(256)}.{rng.randrange(256)}.{rng.randrange(1, 255)}"

    def a6():
        return f"fd00::{rng.randrange(65536):x}:{rng.randrange(1, 65536):x}"

    for i in range(count):
        ends4, ends6 = (a4(), a4(), rng.randrange(65536), rng.randrange(65536)), \
                       (a6(), a6(), rng.randrange(65536), rng.randrange(65536))
        for protocol in (6, 17, 1):
            made.append(v4(*ends4, protocol, mark(), tags=((), (5,), (6, 7))[i % 3], options=(0, 3, 10)[i // 3 % 3]))
            made.append(v6(*ends6, protocol, mark(), tags=((), (5,), (6, 7))[i % 3]))
            made.append(v6(*ends6, protocol, mark(), home=a6(), filler=(0, 135)[:i % 3]))
            made.append(v6(*ends6, protocol, mark(), route=a6(), home=(None, a6())[i % 2], filler=(0, 60)[:i % 3]))
        made.append(v4(*ends4, 17, mark(), fragment=(0x2000, 0x0010, 0x2010)[i % 3]))
        made.append(v6(*ends6, 17, mark(), fragment=(0x0001, 0x0008, 0x0000)[i % 3]))
        made.append(other(i))
    return made


def rss_data(table, types=ALL_TYPES, unclassified=0, pairs=PAIRS, key=KEY, mask=None, key_len=None):
    return struct.pack(f"<IHH{len(table)}HHB", types, len(table) - 1 if mask is None else mask, unclassified, *table, pairs,
                       len(key) if key_len is None else key_len) + key


def hash_data(types=ALL_TYPES, key=KEY, reserved=bytes(8)):
    return struct.pack("<I", types) + reserved + bytes([len(key)]) + key


def rss_args(opts=",rss=on", queues=PAIRS, **kw):
    return tap_args(queues=queues, nic_opts=opts, **kw)


def rss_nic(t, opts=",rss=on", features=RSS, pairs=PAIRS, posted=128, **kw):
    vm = t.vm(*rss_args(opts, queues=max(pairs, 1)), qmp=True, **kw)
    nic = Nic(Modern(find_virtio(vm)[0]))
    host = Host("t0")
    nic.start(features, pairs=pairs, posted=posted)
    return vm, nic, host, Qmp(vm.qmp_path)


def configure(nic, table, **kw):
    eq(nic.command(CTRL_MQ, RSS_CONFIG, rss_data(table, **kw)), OK, "RSS_CONFIG")


def receive_all(nic, count):
    """COUNT frames from any pair: {frame: (pair, header)}."""
    got = {}

    def take():
        for p in nic.rx:
            while (one := nic.recv(p, wait=False)) is not None:
                check(one[1] not in got, f"a frame twice: {one[1][:60].hex()}")
                got[one[1]] = (p, one[0])
        return len(got) >= count
    try:
        wait_for(take, f"{count} frames")
    except Failure as e:
        raise Failure(f"{e}; {len(got)} came") from None
    return got


def land(nic, host, sent, table, types, unclassified=0, key=KEY, reports=False):
    """Sends the flows; each has to come to the pair of the table, whole."""
    for i in range(0, len(sent), 64):
        part = sent[i:i + 64]
        for flow in part:
            host.send(flow.frame)
        got = receive_all(nic, len(part))
        for flow in part:
            check(flow.frame in got, f"{flow.name}: did not come, or changed")
            pair, hdr = got[flow.frame]
            value, report = flow.hash(types, key)
            home = table[value % len(table)] if report else unclassified
            eq(pair, home, f"pair of {flow.name}, hash {value:#x} of type {report}")
            if reports:
                eq(struct.unpack_from("<IHH", hdr, 12), (value, report, 0), f"hash report of {flow.name}")


def end(vm):
    vm.close()
    vm.ended = True


def rss_info(qmp):
    infos = qmp.cmd("query-net-rss")
    eq(len(infos), 1, "NICs with RSS")
    return infos[0]


def counters(qmp, name):
    return [q["stats"][name] for q in qmp.cmd("query-net-queues")]


def drop_bpf():
    """What this case starts from now on may not load programs."""
    libc = ctypes.CDLL(None, use_errno=True)
    for cap in (CAP_SYS_ADMIN, CAP_BPF):
        check(libc.prctl(PR_CAPBSET_DROP, cap, 0, 0, 0) == 0, f"cannot drop capability {cap}")


def why_no_program(t):
    """Why no program can be loaded here; None: one can."""
    status, _, err = run(t, "-netdev", "tap,id=n0,ifname=probe0,script=no,downscript=no,queues=2", "-device",
                         "virtio-net-pci,netdev=n0,mq=on,rss=on,rss-steering=ebpf", "-device", "virtio-net-pci,netdev=nobody")
    eq(status, 1, "status with a netdev that does not exist")
    return None if "there is no such -netdev" in err else err.strip()


def need_program(t):
    if reason := why_no_program(t):
        raise Skip(f"no program can be loaded: {reason}")


def both_ways_to_steer(t):
    return ([] if why_no_program(t) else [",rss-steering=ebpf"]) + [",rss-steering=user"]


# ---- what is offered ----

@case("virtio-net/5.1.4/rss-fields-and-features", needs=TUN)
def offered(t):
    eq(toeplitz(socket.inet_aton("66.9.149.187") + socket.inet_aton("161.142.100.80") + struct.pack(">HH", 2794, 1766)),
       0x51ccc178, "the case's own hash of a vector of the standard")
    for opts, want in (("", 0), (",rss=on", bits(F_RSS)), (",hash=on", bits(F_HASH_REPORT)),
                       (",rss=on,hash=on", bits(F_RSS, F_HASH_REPORT)), (",rss=on,hash=on,ctrl_vq=off", 0)):
        vm = t.vm(*tap_args(queues=2, nic_opts=opts))
        dev = Modern(find_virtio(vm)[0])
        eq(dev.offered() & bits(F_RSS, F_HASH_REPORT), want, f"features with '{opts}'")
        eq((dev.config(17, 1), dev.config(18, 2), dev.config(20, 4)), (40, 128, ALL_TYPES) if "on" in opts else (0, 0, 0),
           f"RSS fields with '{opts}'")
        for needs_ctrl in (F_RSS, F_HASH_REPORT):
            if want & bits(needs_ctrl):
                check(not dev.negotiate(BASIC | bits(needs_ctrl)), f"feature {needs_ctrl} was taken without CTRL_VQ")
                check(dev.negotiate(BASIC | bits(needs_ctrl, F_CTRL_VQ)), f"feature {needs_ctrl} alone was refused")
        end(vm)


@case("virtio-net/5.1.2/rss-without-mq-has-all-queues", needs=TUN)
def without_mq(t):
    vm = t.vm("-netdev", "tap,id=n0,ifname=t1,script=no,downscript=no,queues=2", "-device",
              f"virtio-net-pci,netdev=n0,mac={MAC_TEXT},rss=on")
    check("add mq=on" not in vm.log(), f"a hint about mq: {vm.log()}")
    nic = Nic(Modern(find_virtio(vm)[0]))
    host = Host("t1")
    nic.start(RSS & ~bits(F_MQ), pairs=2, want_ctrl=False, driver_ok=False)
    nic.ctrl = nic.t.make_ring(4)
    nic.t.add_status(4)
    for ring in nic.rx.values():
        ring.kick()
    configure(nic, [1], pairs=2)
    frame = flows(1)[0].frame
    host.send(frame)
    nic.expect(1, frame, "a frame by RSS without MQ")


# ---- steering ----

def steering(t, opts, how):
    vm, nic, host, qmp = rss_nic(t, ",rss=on" + opts)
    eq(rss_info(qmp)["steering"], how, "who steers")
    everything = flows()
    for table, types, unclassified in (([0, 1, 2, 3], ALL_TYPES, 2), ([3, 1, 0, 2, 2, 0, 1, 3] * 16, ALL_TYPES, 1),
                                       ([2], ALL_TYPES, 0), ([1, 3], IPV4 | IPV6, 2), ([0, 1, 2, 3] * 4, TCPV4 | UDPV6_EX, 3),
                                       ([3, 2, 1, 0], TCPV6 | UDPV6 | IPV6_EX, 1), ([0, 1], 0, 3)):
        configure(nic, table, types=types, unclassified=unclassified)
        land(nic, host, everything, table, types, unclassified)
    key = bytes(range(200, 216))
    configure(nic, [3, 2, 1, 0, 0, 1, 2, 3], key=key)
    land(nic, host, everything, [3, 2, 1, 0, 0, 1, 2, 3], ALL_TYPES, key=key)
    moved, lost = sum(counters(qmp, "rx-rss-moved")), sum(counters(qmp, "rx-rss-dropped"))
    check(how == "user" or moved == 0, f"{moved} frames were handed over although a program steers")
    check(how == "ebpf" or moved > len(everything), f"only {moved} frames were handed over")
    eq(lost, 0, "frames lost")
    return vm, nic, host, qmp


@case("virtio-net/5.1.6.5.7/flows-land-by-the-table-ebpf", needs=TUN)
def by_program(t):
    need_program(t)
    vm, *_ = steering(t, ",rss-steering=ebpf", "ebpf")
    eq(vm.log(), "", "messages")


@case("virtio-net/5.1.6.5.7/flows-land-by-the-table-user-space", needs=TUN)
def by_pairs(t):
    steering(t, ",rss-steering=user", "user")


@case("virtio-net/5.1.6.5.7/no-right-to-load-a-program", needs=TUN)
def fallback(t):
    need_program(t)
    drop_bpf()
    vm, nic, host, qmp = rss_nic(t)
    eq(len(vm.log().splitlines()), 1, f"lines on stderr: {vm.log()}")
    check("rss=on: no program" in vm.log() and "CAP_BPF" in vm.log(), f"the warning: {vm.log()}")
    eq(rss_info(qmp)["steering"], "user", "who steers")
    configure(nic, [3, 1, 2, 0])
    land(nic, host, flows(4), [3, 1, 2, 0], ALL_TYPES)
    status, out, err = run(t, "-netdev", "tap,id=n0,ifname=t1,script=no,downscript=no,queues=2", "-device",
                           "virtio-net-pci,netdev=n0,mq=on,rss=on,rss-steering=ebpf")
    eq((status, out), (1, ""), "rss-steering=ebpf without the right")
    check("CAP_BPF" in err and len(err.splitlines()) == 1, f"the error: {err}")


class TcHook(ctypes.Structure):
    """struct bpf_tc_hook (libbpf)."""
    _fields_ = [("sz", ctypes.c_size_t), ("ifindex", ctypes.c_int), ("point", ctypes.c_int), ("parent", ctypes.c_uint32)]


class TcOpts(ctypes.Structure):
    """struct bpf_tc_opts."""
    _fields_ = [("sz", ctypes.c_size_t), ("prog_fd", ctypes.c_int), ("flags", ctypes.c_uint32), ("prog_id", ctypes.c_uint32),
                ("handle", ctypes.c_uint32), ("priority", ctypes.c_uint32)]


def push_tags(name, vlan):
    """From now on each frame on its way out of NAME gets a tag, which the kernel keeps beside it."""
    bpf = ctypes.CDLL("libbpf.so.1", use_errno=True)
    insns = b"".join(struct.pack("<BBhi", code, regs, 0, imm) for code, regs, imm in (
        (0xb7, 2, 0x0081), (0xb7, 3, vlan), (0x85, 0, 18), (0xb7, 0, 0), (0x95, 0, 0)))  # bpf_skb_vlan_push(); TC_ACT_OK
    fd = bpf.bpf_prog_load(3, b"push", b"GPL", insns, ctypes.c_size_t(len(insns) // 8), None)
    hook = TcHook(ctypes.sizeof(TcHook), socket.if_nametoindex(name), 2, 0)
    opts = TcOpts(ctypes.sizeof(TcOpts), fd, 0, 0, 1, 1)
    if fd < 0 or bpf.bpf_tc_hook_create(ctypes.byref(hook)) or bpf.bpf_tc_attach(ctypes.byref(hook), ctypes.byref(opts)):
        raise Skip(f"the kernel does not push tags: {os.strerror(ctypes.get_errno())}")


@case("virtio-net/5.1.6.5.7/vlan-tags-beside-the-frame", needs=TUN)
def vlan_beside(t):
    need_program(t)
    _, nic, host, _ = rss_nic(t, ",rss=on,rss-steering=ebpf")
    table = [0, 1, 2, 3]
    configure(nic, table)
    push_tags("t0", 9)
    for flow in flows(6):
        # The tags of the frame and the pushed one; from the third on they hide what follows.
        tags = sum(flow.frame[at:at + 2] in (b"\x81\x00", b"\x88\xa8") for at in (12, 16))
        host.send(flow.frame)
        (frame, (pair, _)), = receive_all(nic, 1).items()
        eq(frame, flow.frame[:12] + b"\x81\x00\x00\x09" + flow.frame[12:], f"frame of {flow.name}")
        value, report = flow.hash(ALL_TYPES) if tags < 2 else (0, 0)
        eq(pair, table[value % 4] if report else 0, f"pair of {flow.name}")


@case("virtio-net/5.1.6.5.7/pairs-follow-the-command", needs=TUN)
def active_pairs(t):
    for opts in both_ways_to_steer(t):
        vm, nic, host, qmp = rss_nic(t, ",rss=on" + opts)

        def active(qmp=qmp):
            return [q["active"] and q["enabled"] for q in qmp.cmd("query-net-queues")]
        eq(active(), [True, False, False, False], "pairs before any command")
        some = flows(4)
        for table, unclassified, pairs, want in (([0, 1], 0, 2, 2), ([0], 0, 4, 4), ([0, 0], 0, 1, 1), ([3, 0], 0, 1, 4),
                                                 ([0, 1], 2, 1, 3), ([1, 0, 1, 0], 0, 2, 2), ([0, 1, 2, 3], 3, 4, 4)):
            configure(nic, table, unclassified=unclassified, pairs=pairs)
            eq(active(), [i < want for i in range(PAIRS)], f"pairs after {table}, {unclassified}, {pairs}")
            land(nic, host, some, table, ALL_TYPES, unclassified)
        nic.set_pairs(2)
        eq(active(), [True, True, False, False], "pairs after VQ_PAIRS_SET")
        info = rss_info(qmp)
        eq((info["enabled"], info["indirection-table"]), (False, []), "RSS after VQ_PAIRS_SET")
        for flow in some[:8]:
            host.send(flow.frame)
        receive_all(nic, 8)
        configure(nic, [3, 2, 1, 0])
        land(nic, host, some, [3, 2, 1, 0], ALL_TYPES)
        qmp.cmd("stop")
        for flow in some[:20]:
            host.send(flow.frame)
        qmp.cmd("cont")
        got = receive_all(nic, 20)
        for flow in some[:20]:
            value, report = flow.hash(ALL_TYPES)
            eq(got[flow.frame][0], [3, 2, 1, 0][value % 4] if report else 0, f"pair of {flow.name} after stop and cont")
        # A driver that comes anew without RSS gets the kernel's own way.
        nic.start(BASIC, posted=64)
        eq(active(), [True, False, False, False], "pairs after reset")
        for flow in some[:20]:
            host.send(flow.frame)
            nic.expect(0, flow.frame, "a frame after reset")
        end(vm)


@case("virtio-net/5.1.6.5.7/table-changes-under-load", needs=TUN)
def under_load(t):
    for opts in both_ways_to_steer(t):
        vm, nic, host, qmp = rss_nic(t, ",rss=on" + opts, posted=256)
        rng = random.Random(7)
        some, stop = flows(6), threading.Event()

        def sender(host=host, some=some, stop=stop):
            while not stop.is_set():
                for flow in some:
                    with contextlib.suppress(OSError):
                        host.send(flow.frame)
                time.sleep(0.001)
        thread = threading.Thread(target=sender)
        thread.start()
        try:
            seen = set()
            frames = {f.frame for f in some}
            for i in range(24):
                if i % 7 == 6:
                    nic.set_pairs(rng.randrange(1, PAIRS + 1))
                else:
                    configure(nic, [rng.randrange(PAIRS) for _ in range(1 << rng.randrange(8))], pairs=PAIRS)
                for p in range(PAIRS):
                    for _ in range(60):
                        one = nic.recv(p, wait=False)
                        if one is None:
                            break
                        check(one[1] in frames, f"a frame that nobody sent: {one[1][:60].hex()}")
                        seen.add(p)
        finally:
            stop.set()
            thread.join()
        eq(seen, set(range(PAIRS)), "pairs that got frames")
        check(nic.healthy(), "NEEDS_RESET")
        end(vm)


@case("virtio-net/5.1.6.5.7/slow-path-is-bounded-and-counted", needs=TUN)
def bounded(t):
    _, nic, host, qmp = rss_nic(t, ",rss=on,rss-steering=user", posted=0)
    configure(nic, [3])
    for p in (0, 1, 2):
        nic.post(p, 64)
    frames = [v4("10.0.0.1", "10.0.0.2", 1000 + i, 7, 17, b"bounded %06d" % i + bytes(30)).frame for i in range(600)]
    for i, frame in enumerate(frames):
        host.send(frame)
        if i % 50 == 49:
            time.sleep(0.02 * SCALE)  # or the tap's own queues fill

    def counted():
        return sum(counters(qmp, "rx-rss-moved")), sum(counters(qmp, "rx-rss-dropped"))
    wait_for(lambda: sum(counted()) >= 300, "frames that are handed over or dropped")
    time.sleep(0.2 * SCALE)
    moved, lost = counted()
    check(0 < moved <= 256 and lost > 0, f"{moved} frames wait, {lost} are lost")
    eq(counters(qmp, "rx-backlog"), [0, 0, 0, moved], "frames that wait")
    for p in (0, 1, 2):
        check(nic.recv(p, wait=False) is None, f"a frame of pair 3 came to pair {p}")
    # Buffers come: what waits, here and in the tap, arrives.
    nic.post(3, 120)
    got = receive_all(nic, len(frames) - lost)
    eq({p for p, _ in got.values()}, {3}, "pairs")
    check(set(got) <= set(frames), "frames that nobody sent")
    eq(counted(), (moved, lost), "frames handed over and lost, when all had come")
    eq(counters(qmp, "rx-backlog"), [0] * PAIRS, "frames that wait, when all had come")
    # From then on all is well again.
    land(nic, host, flows(3), [3], ALL_TYPES, unclassified=0)


@case("virtio-net/5.1.6.5.7/slow-path-with-small-and-few-buffers", needs=TUN)
def small_buffers(t):
    for features in (RSS, RSS & ~bits(F_MRG_RXBUF), RSS | bits(F_HASH_REPORT)):
        vm, nic, host, qmp = rss_nic(t, ",rss=on,hash=on,rss-steering=user", features, posted=0)
        size = 96 if features & bits(F_MRG_RXBUF) else 1600
        for p in range(PAIRS):
            nic.post(p, 120, size=size)
        table = [3, 0, 2, 1]
        configure(nic, table)
        for n, flow in enumerate(flows(4, seed=9)):
            big = Flow(flow.name, flow.frame + bytes(i * 5 + n & 0xff for i in range((n * 211) % 1300)), kinds=flow.choices)
            land(nic, host, [big], table, ALL_TYPES, reports=bool(features & bits(F_HASH_REPORT)))
        eq(sum(counters(qmp, "rx-rss-dropped")), 0, "frames lost")
        end(vm)


# ---- hash reports ----

@case("virtio-net/5.1.6.4.3/hash-reports", needs=TUN)
def reports(t):
    _, nic, host, qmp = rss_nic(t, ",hash=on", HASH, pairs=1)
    everything = flows()
    eq(rss_info(qmp)["hash-types"], [], "types before any command")
    land(nic, host, everything[:30], [0], 0, reports=True)
    for types in (ALL_TYPES, IPV4 | IPV6, TCPV4 | TCPV6, UDPV4 | UDPV6 | IPV6_EX, TCPV6_EX | IPV4, 0, UDPV6_EX):
        eq(nic.command(CTRL_MQ, HASH_CONFIG, hash_data(types)), OK, "HASH_CONFIG")
        land(nic, host, everything, [0], types, reports=True)
        info = rss_info(qmp)
        eq((info["hash-report"], info["enabled"], info["key"]), (True, False, KEY.hex()), "query-net-rss")
        eq(info["hash-types"], [n for i, n in enumerate(TYPE_NAMES) if types & 1 << i], "types")
    # A frame in many small buffers, and one to send, have the long header too.
    nic.start(HASH, posted=0)
    nic.post(0, 200, size=40)
    eq(nic.command(CTRL_MQ, HASH_CONFIG, hash_data()), OK, "HASH_CONFIG")
    land(nic, host, everything[:60], [0], ALL_TYPES, reports=True)
    nic.both_ways(host, n=6)
    nic.start(HASH & ~bits(F_MRG_RXBUF), posted=64)
    eq(nic.command(CTRL_MQ, HASH_CONFIG, hash_data()), OK, "HASH_CONFIG")
    land(nic, host, everything[:60], [0], ALL_TYPES, reports=True)
    # Without the feature the header is short again.
    nic.start(BASIC | CTRL, posted=64)
    nic.both_ways(host, n=6)


@case("virtio-net/5.1.6.4.3/hash-reports-with-rss", needs=TUN)
def reports_and_rss(t):
    for opts in both_ways_to_steer(t):
        vm, nic, host, qmp = rss_nic(t, ",rss=on,hash=on" + opts, RSS | HASH)
        table = [1, 2, 3, 0, 2, 1, 0, 3]
        configure(nic, table, unclassified=1)
        land(nic, host, flows(8), table, ALL_TYPES, unclassified=1, reports=True)
        # Automatic steering, but reports go on: with the new types and key.
        nic.set_pairs(1)
        land(nic, host, flows(2), [0], ALL_TYPES, reports=True)
        key = KEY[::-1]
        eq(nic.command(CTRL_MQ, HASH_CONFIG, hash_data(IPV4 | TCPV6_EX, key)), OK, "HASH_CONFIG")
        land(nic, host, flows(2), [0], IPV4 | TCPV6_EX, key=key, reports=True)
        info = rss_info(qmp)
        eq((info["enabled"], info["hash-types"], info["key"]), (False, ["ipv4", "tcpv6-ex"], key.hex()), "query-net-rss")
        end(vm)


@case("virtio-net/5.1.6.4.3/hash-of-truncated-and-hostile-frames", needs=TUN)
def truncated(t):
    _, nic, host, _ = rss_nic(t, ",rss=on,hash=on,rss-steering=user", RSS | HASH)
    configure(nic, [0, 1, 2, 3])
    rng = random.Random(99)
    sent = []
    for flow in flows(3, seed=5):
        for cut in (14, 15, 17, 18, 20, 33, 34, 37, 38, 53, 54, 55, 58, 61, 62, 80):
            sent.append(flow.frame[:cut] if cut < len(flow.frame) else flow.frame)
        for _ in range(12):
            bad = bytearray(flow.frame)
            for _ in range(rng.randrange(1, 6)):
                bad[rng.randrange(12, len(bad))] = rng.choice((0, 1, 0xff, rng.randrange(256)))
            sent.append(bytes(bad))
    for i in range(0, len(sent), 32):
        part = list(dict.fromkeys(sent[i:i + 32]))
        for frame in part:
            host.send(frame)
        eq(set(receive_all(nic, len(part))), set(part), "hostile frames")
    land(nic, host, flows(2), [0, 1, 2, 3], ALL_TYPES, reports=True)


# ---- commands ----

def bad_rss():
    good = [0, 1, 2, 3]
    yield "empty", b""
    yield "head only", rss_data(good)[:8]
    for cut in range(1, 60, 7):
        yield f"{cut} bytes short", rss_data(good)[:-cut]
    yield "a byte too long", rss_data(good) + b"\0"
    for table in ([0, 1, 2], [0] * 5, [0] * 127, [0] * 129, [0] * 256, [0] * 1000):
        yield f"table of {len(table)}", rss_data(table)
    for mask in (0, 1, 2, 7, 127, 128, 0x7fff, 0xffff):
        yield f"mask {mask} for 4 entries", rss_data(good, mask=mask)
    for entry in (4, 255, 256, 0x7fff, 0xffff):
        yield f"entry {entry}", rss_data([0, entry])
        yield f"unclassified queue {entry}", rss_data(good, unclassified=entry)
    for pairs in (0, 5, 256, 0xffff):
        yield f"max_tx_vq {pairs}", rss_data(good, pairs=pairs)
    for types in (0x200, 0x80000000, 0xffffffff):
        yield f"types {types:#x}", rss_data(good, types=types)
    for length in (41, 48, 255):
        yield f"key of {length}", rss_data(good, key=bytes(length))
    for length in (0, 39, 41, 255):
        yield f"key said to have {length}", rss_data(good, key_len=length)


@case("virtio-net/5.1.6.5.7/wrong-commands-change-nothing", needs=TUN)
def wrong_rss(t):
    _, nic, host, qmp = rss_nic(t, ",rss=on,hash=on", RSS | HASH)
    table = [2, 3, 1, 0]
    configure(nic, table, unclassified=3)
    before = rss_info(qmp)
    line = [l for l in qmp.cmd("human-monitor-command", arguments_={"command-line": "info network"}).splitlines()
            if "rss:" in l]
    eq(line, ["  rss: steering=ebpf,enabled,table=4,hash-types=" + "+".join(TYPE_NAMES) + ",hash-report=on"]
       if before["steering"] == "ebpf" else line, "info network")
    eq((before["indirection-table"], before["unclassified-queue"], before["enabled"]), (table, 3, True), "query-net-rss")
    for what, data in bad_rss():
        eq(nic.command(CTRL_MQ, RSS_CONFIG, data), ERR, f"RSS_CONFIG with {what}")
    for what, data in (("nothing", b""), ("no key length", hash_data()[:12]), ("a short key", hash_data()[:-1]),
                       ("a long key", hash_data() + b"\0"), ("41 bytes of key", hash_data(key=bytes(41))),
                       ("255 bytes of key", hash_data(key=bytes(255))), ("unknown types", hash_data(0x200))):
        eq(nic.command(CTRL_MQ, HASH_CONFIG, data), ERR, f"HASH_CONFIG with {what}")
    rng = random.Random(3)
    for _ in range(200):
        cmd, data = rng.choice((RSS_CONFIG, HASH_CONFIG)), rng.randbytes(rng.randrange(80))
        eq(nic.command(CTRL_MQ, cmd, data, split=rng.random() < 0.5), ERR, f"command {cmd} {data.hex()}")
    for cmd in (3, 4, 255):
        eq(nic.command(CTRL_MQ, cmd, rss_data(table)), ERR, f"command {cmd}")
    eq(rss_info(qmp), before, "RSS after wrong commands")
    land(nic, host, flows(3), table, ALL_TYPES, unclassified=3, reports=True)
    # The largest of everything; the smallest key.
    configure(nic, [i % 4 for i in range(128)], key=KEY)
    configure(nic, [0], key=b"")
    eq(rss_info(qmp)["key"], "", "a key of no bytes")
    nic.t.reset()
    after = rss_info(qmp)
    eq((after["enabled"], after["hash-types"], after["key"], after["indirection-table"], after["unclassified-queue"]),
       (False, [], "", [], 0), "RSS after reset")


@case("virtio-net/5.1.6.5.7/commands-need-their-feature", needs=TUN)
def unnegotiated(t):
    _, nic, _, qmp = rss_nic(t, ",rss=on,hash=on", BASIC | CTRL | bits(F_MQ))
    eq(nic.command(CTRL_MQ, RSS_CONFIG, rss_data([0])), ERR, "RSS_CONFIG without RSS")
    eq(nic.command(CTRL_MQ, HASH_CONFIG, hash_data()), ERR, "HASH_CONFIG without HASH_REPORT")
    nic.start(RSS, pairs=PAIRS)
    eq(nic.command(CTRL_MQ, HASH_CONFIG, hash_data()), ERR, "HASH_CONFIG with RSS alone")
    nic.start(HASH)
    eq(nic.command(CTRL_MQ, RSS_CONFIG, rss_data([0], pairs=1)), ERR, "RSS_CONFIG with HASH_REPORT alone")
    # A queue that the driver has not enabled gets nothing.
    nic.start(RSS, pairs=2)
    eq(nic.command(CTRL_MQ, RSS_CONFIG, rss_data([0, 2], pairs=2)), ERR, "a queue that is not enabled")
    eq(nic.command(CTRL_MQ, RSS_CONFIG, rss_data([0, 1], pairs=2)), OK, "queues that are enabled")
    eq(rss_info(qmp)["indirection-table"], [0, 1], "the table")


@case("virtio-net/rss/refused-options", needs=TUN)
def refused(t):
    tap = "tap,id=n0,ifname=t0,script=no,downscript=no,queues=2"
    for options, what in (("rss=on,rss-steering=kernel", "rss-steering=kernel"), ("rss=maybe", "rss"), ("hash=maybe", "hash"),
                          ("ebpf-rss-fds=3:4:5:6", "needs rss=on"), ("rss=on,ebpf-rss-fds=3:4", "2 file descriptors"),
                          ("rss=on,ebpf-rss-fds=a:b:c:d", "ebpf-rss-fds"), ("rss=on,ebpf-rss-fds=0:0:0:0", "is not the program"),
                          ("rss=on,ebpf-rss-fds=900:901:902:903", "900"),
                          ("rss=on,rss-steering=user,ebpf-rss-fds=0:1:2:2", "not rss-steering=user")):
        status, out, err = run(t, "-netdev", tap, "-device", f"virtio-net-pci,netdev=n0,mq=on,{options}")
        eq((status, out), (1, ""), f"{options}: status and stdout; {err}")
        check(what in err and len(err.splitlines()) == 1, f"{options}: nothing about {what}, or too much: {err}")
    _, out, _ = run(t, "-device", "virtio-net-pci,help")
    for name in ("rss=", "hash=", "ebpf-rss-fds=", "rss-steering="):
        check(f"  {name}" in out, f"{name} is not in the device's help")


# ---- a program that somebody else has loaded ----

def load_elsewhere(elf):
    """The fds of the program and its maps, in the object's order."""
    try:
        bpf = ctypes.CDLL("libbpf.so.1", use_errno=True)
    except OSError as e:
        raise Skip(f"no libbpf here: {e}") from None
    for name in ("bpf_object__open_mem", "bpf_object__next_map", "bpf_object__next_program"):
        getattr(bpf, name).restype = ctypes.c_void_p
    obj = ctypes.c_void_p(bpf.bpf_object__open_mem(elf, ctypes.c_size_t(len(elf)), None))
    check(obj.value, "libbpf does not open the object")
    if bpf.bpf_object__load(obj):
        raise Skip("the kernel takes no program")
    fds = [bpf.bpf_program__fd(ctypes.c_void_p(bpf.bpf_object__next_program(obj, None)))]
    at = None
    while at := bpf.bpf_object__next_map(obj, ctypes.c_void_p(at)):
        fds.append(bpf.bpf_map__fd(ctypes.c_void_p(at)))
    return fds


@case("virtio-net/rss/ebpf-rss-fds", needs=TUN)
def passed_fds(t):
    vm = t.vm(qmp=True)
    qmp = Qmp(vm.qmp_path)
    answer = qmp.raw({"execute": "request-ebpf", "arguments": {"id": "rss"}})
    if "error" in answer:
        raise Skip(answer["error"]["desc"])
    elf = base64.b64decode(answer["return"]["object"], validate=True)
    eq(elf[:4], b"\x7fELF", "the object's first bytes")
    fds = load_elsewhere(elf)
    eq(len(fds), 4, "program and maps")
    drop_bpf()
    by_list = ",rss=on" + "".join(f",ebpf-rss-fds.{i}={fd}" for i, fd in enumerate(fds))
    for opts in (",rss=on,ebpf-rss-fds=" + ":".join(map(str, fds)), by_list):
        vm, nic, host, qmp = rss_nic(t, opts, pass_fds=fds)
        eq(vm.log(), "", "messages")
        eq(rss_info(qmp)["steering"], "ebpf", "who steers")
        configure(nic, [3, 1, 2, 0])
        land(nic, host, flows(4), [3, 1, 2, 0], ALL_TYPES)
        eq(sum(counters(qmp, "rx-rss-moved")), 0, "frames handed over")
        end(vm)
    # The wrong order is seen.
    wrong = [fds[0], fds[2], fds[1], fds[3]]
    r = subprocess.run([t.emulator, "-nodefaults", "-display", "none", "-accel", "qtest", *rss_args(
        ",rss=on,ebpf-rss-fds=" + ":".join(map(str, wrong)))], capture_output=True, text=True, pass_fds=fds, timeout=10 * SCALE,
        stdin=subprocess.DEVNULL, check=False)
    eq(r.returncode, 1, "maps in a wrong order")
    check("is not the map" in r.stderr, f"the error: {r.stderr}")
    for fd in fds:
        os.fstat(fd)


@case("virtio-net/rss/netdev-with-fewer-queues-comes-back", needs=TUN)
def fewer_queues(t):
    """Flows of pairs without a queue of their own land at the pairs that have one."""
    for opts in both_ways_to_steer(t):
        vm, nic, host, qmp = rss_nic(t, ",rss=on" + opts)
        configure(nic, [0, 1, 2, 3])
        land(nic, host, flows(4), [0, 1, 2, 3], ALL_TYPES)
        for queues, table in ((2, [0, 1, 0, 1]), (1, [0]), (4, [0, 1, 2, 3])):
            qmp.cmd("netdev_del", id="n0")
            qmp.cmd("netdev_add", arguments_={"type": "tap", "id": "n0", "ifname": "t0", "script": "no",
                                              "downscript": "no", "queues": queues})
            land(nic, Host("t0"), flows(4, seed=queues), table, ALL_TYPES)
        end(vm)
