# SPDX-License-Identifier: GPL-2.0-or-later
"""Filters on a tap of four queues: captures, mirrors, redirectors, buffers, replays; they come and go under load."""

import os
import re
import select
import shutil
import socket
import struct
import subprocess
import time

from netlib import HOST_MAC, raw_frame, udp_frame
from qtestlib import WAIT_S, Failure, Skip, case, check, eq, wait_for
from test_net_elastic import Stream, dealt, set_queues
from test_net_hot import Hot, TUN, refused
from test_virtio_net_mq import exchange
from virtiolib import MAC

PAIRS = 4


def add(hot, kind, ident, **more):
    hot.qmp.cmd("object-add", arguments_={"qom-type": f"filter-{kind}", "id": ident, "netdev": "n0",
                                          **{k.replace("queue_index", "queue-index"): v for k, v in more.items()}})


def delete(hot, ident):
    hot.qmp.cmd("object-del", id=ident)


def get(hot, ident, what):
    return hot.qmp.cmd("qom-get", path=f"/objects/{ident}", property=what)


def status(hot, ident, on):
    hot.qmp.cmd("qom-set", path=f"/objects/{ident}", property="status", value="on" if on else "off")


class Channel:
    """A chardev of the emulator's, and the other end of it."""

    def __init__(self, hot, name):
        self.path = hot.t.dir / name
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(str(self.path))
        listener.listen(1)
        hot.qmp.cmd("chardev-add", arguments_={"id": name, "backend": {"type": "socket", "data": {
            "server": False, "addr": {"type": "unix", "data": {"path": str(self.path)}}}}})
        self.sock, _ = listener.accept()
        listener.close()
        self.buf = b""

    def _need(self, n):
        while len(self.buf) < n:
            check(select.select([self.sock], [], [], WAIT_S)[0], "nothing came from the chardev")
            data = self.sock.recv(1 << 16)
            check(data, "the chardev was closed")
            self.buf += data
        part, self.buf = self.buf[:n], self.buf[n:]
        return part

    def recv(self, vnet=False):
        """The next frame; with VNET, its header and it."""
        size, = struct.unpack(">I", self._need(4))
        header = struct.unpack(">I", self._need(4))[0] if vnet else 0
        data = self._need(size)
        return (data[:header], data[header:]) if vnet else data

    def quiet(self):
        return not self.buf and not select.select([self.sock], [], [], 0.05)[0]

    def send(self, frame, header=None):
        if header is None:
            self.sock.sendall(struct.pack(">I", len(frame)) + frame)
        else:
            self.sock.sendall(struct.pack(">II", len(header) + len(frame), len(header)) + header + frame)


def tshark(path, *fields):
    """The fields of each frame of a capture, as an independent program reads it."""
    if not shutil.which("tshark"):
        raise Skip("no tshark")
    args = [a for f in fields for a in ("-e", f)]
    run = subprocess.run(["tshark", "-r", str(path), "-n", "-T", "fields", *args], capture_output=True, text=True,
                         check=False, env={**os.environ, "HOME": str(path.parent), "XDG_RUNTIME_DIR": str(path.parent)})
    check(run.returncode == 0, f"tshark: {run.stderr}")
    return [line.split("\t") for line in run.stdout.splitlines()]


def tcpdump_count(path):
    if not shutil.which("tcpdump"):
        raise Skip("no tcpdump")
    run = subprocess.run(["tcpdump", "-n", "-r", str(path)], capture_output=True, text=True, check=False)
    check(run.returncode == 0 and "truncated" not in run.stderr, f"tcpdump: {run.stderr}")
    return len(run.stdout.splitlines())


def numbers(rows):
    """(interface, seconds, direction, flow, number) of each row of the fields below."""
    out = []
    for name, stamp, port, data in rows:
        flow, number = struct.unpack_from(">II", bytes.fromhex(data.replace(":", "")))
        out.append((name, stamp, "down" if int(port) < 6000 else "up", flow, number))
    return out


FIELDS = ("frame.interface_name", "frame.time_epoch", "udp.srcport", "udp.payload")


@case("net-filters/dump/pcapng-of-four-queues", needs=TUN)
def dump_pcapng(t):
    hot = Hot(t, queues=PAIRS).start(posted=128)
    path = t.dir / "all.pcapng"
    stream = Stream(hot)
    add(hot, "dump", "d0", file=str(path), format="pcapng")
    stream.pump(60)
    stream.settle()
    passed = get(hot, "d0", "frames")
    eq(get(hot, "d0", "dropped"), 0, "frames that the capture lost")
    delete(hot, "d0")
    rows = numbers(tshark(path, *FIELDS))
    eq(len(rows), passed, "frames in the file")
    eq(sorted((d, f, n) for _, _, d, f, n in rows),
       sorted((d, f, n) for d, side in (("down", stream.down), ("up", stream.up))
              for f, sent in enumerate(side.sent) for n in range(sent)), "frames in the capture, each once")
    last, clock = {}, ""
    for name, stamp, way, flow, number in rows:
        check(number == last.get((way, flow), -1) + 1, f"{way} flow {flow}: {number} after {last.get((way, flow))}")
        check(stamp >= clock, "a time stamp goes back")
        last[way, flow], clock = number, stamp
        if way == "up":
            eq(name, f"n0.{flow % PAIRS}", f"interface of a frame that pair {flow % PAIRS} sent")
    eq({r[0] for r in rows}, {f"n0.{i}" for i in range(PAIRS)}, "interfaces with frames")
    check(any(len(r[1].split(".")[1].rstrip("0")) > 6 for r in rows), "no time stamp has nanoseconds")
    eq(tcpdump_count(path), passed, "frames that tcpdump reads")


@case("net-filters/dump/pcap-of-one-direction-cut", needs=TUN)
def dump_pcap(t):
    hot = Hot(t, queues=PAIRS).start(posted=128)
    rx, tx, one = t.dir / "rx.pcap", t.dir / "tx.pcap", t.dir / "one.pcap"
    add(hot, "dump", "rx", file=str(rx), queue="rx", maxlen=60)
    add(hot, "dump", "tx", file=str(tx), queue="tx")
    add(hot, "dump", "one", file=str(one), queue="rx", queue_index=2)
    for pair in range(PAIRS):
        exchange(hot.nic, hot.host, pair, b"x" * 40)
    status(hot, "rx", False)
    exchange(hot.nic, hot.host, 0, b"off")
    status(hot, "rx", True)
    exchange(hot.nic, hot.host, 1, b"on")
    lines = hot.hmp("info network")
    check("filters:" in lines and re.search("  - rx: type=filter-dump,.*netdev=n0,queue=rx,", lines), lines)
    for ident in ("rx", "tx", "one"):
        delete(hot, ident)
    check("filters:" not in hot.hmp("info network"), "filters that have gone are listed")
    eq([(r[0], r[1]) for r in tshark(rx, "udp.srcport", "frame.cap_len")],
       [(str(1000 + p), "60") for p in range(PAIRS)] + [("1001", "50")], "what the guest sent")
    eq([r[0] for r in tshark(tx, "udp.dstport")], ["1000", "1001", "1002", "1003", "1000", "1001"],
       "what the guest was sent")
    eq([r[0] for r in tshark(one, "udp.srcport")], ["1002"], "what queue 2 was sent")


@case("net-filters/load/attach-and-detach-lose-nothing", needs=TUN)
def load(t):
    hot = Hot(t, queues=PAIRS).start(posted=128)
    stream = Stream(hot)
    stream.pump(20)
    for i in range(6):
        add(hot, "dump", "d", file=str(t.dir / f"{i}.pcap"))
        stream.pump(4)
        add(hot, "buffer", "b", interval=3000, position="head" if i % 2 else "tail")
        stream.pump(8)
        status(hot, "b", False)
        stream.pump(4)
        status(hot, "b", True)
        stream.pump(6)
        delete(hot, "b" if i % 2 else "d")
        stream.pump(4)
        delete(hot, "d" if i % 2 else "b")
        stream.pump(2)
    stream.settle()
    for side, what in ((stream.down, "to the guest"), (stream.up, "from the guest")):
        eq(side.here(), sum(side.sent), f"frames {what}")
        eq(side.repeated, 0, f"frames {what} that came twice")
        eq(side.disordered, 0, f"frames {what} out of order")


@case("net-filters/load/queues-that-come-get-them", needs=TUN)
def elastic(t):
    hot = Hot(t, queues=PAIRS).start(posted=128)
    stream = Stream(hot)
    path = t.dir / "elastic.pcapng"
    add(hot, "dump", "d", file=str(path), format="pcapng")
    add(hot, "buffer", "b", interval=500)
    for n in (2, 4, 1, 3, 4):
        set_queues(hot, n)
        stream.pump(12)
        dealt(hot, n)
    stream.settle()
    eq((stream.down.repeated, stream.up.repeated), (0, 0), "frames that came twice")
    eq(stream.up.here(), sum(stream.up.sent), "frames from the guest")
    delete(hot, "b")
    delete(hot, "d")
    rows = numbers(tshark(path, *FIELDS))
    eq(sorted((f, n) for _, _, way, f, n in rows if way == "up"),
       sorted((f, n) for f, sent in enumerate(stream.up.sent) for n in range(sent)), "frames from the guest, captured")


@case("net-filters/buffer/batches", needs=TUN)
def buffer(t):
    hot = Hot(t, queues=PAIRS).start(posted=128)
    add(hot, "buffer", "b", interval=200000, queue="tx")
    frames = [udp_frame(MAC, HOST_MAC, 2000, 1001, b"%d" % i) for i in range(6)]
    hot.nic.send(1, udp_frame(HOST_MAC, MAC, 1001, 2000, b"learn", from_guest=True))
    hot.host.recv()
    for frame in frames:
        hot.host.send(frame)
    got = [hot.nic.recv(1) for _ in frames]
    check([g[1] for g in got] == frames, "the frames of a batch, in their order")
    hot.qmp.cmd("stop")
    hot.host.send(frames[0])
    hot.qmp.cmd("cont")
    hot.nic.expect(1, frames[0], "a frame from before cont")
    hot.host.send(frames[1])  # held for long, but not when the filter goes
    wait_for(lambda: get(hot, "b", "frames") == len(frames) + 2, "the frame at the filter")
    delete(hot, "b")
    hot.nic.expect(1, frames[1], "a frame that the filter held when it went")
    hot.nic.both_ways(hot.host)


@case("net-filters/mirror/both-framings", needs=TUN)
def mirror(t):
    hot = Hot(t, queues=PAIRS).start(posted=128)
    plain, vnet = Channel(hot, "plain"), Channel(hot, "vnet")
    add(hot, "mirror", "m0", queue="rx", outdev="plain")
    add(hot, "mirror", "m1", queue="tx", outdev="vnet", vnet_hdr_support=True)
    for pair in range(PAIRS):
        exchange(hot.nic, hot.host, pair, b"mirrored")
        eq(plain.recv(), udp_frame(HOST_MAC, MAC, 1000 + pair, 2000, b"out %d mirrored" % pair, from_guest=True),
           "copy of a frame of the guest's")
        header, frame = vnet.recv(vnet=True)
        eq((len(header), frame), (12, udp_frame(MAC, HOST_MAC, 2000, 1000 + pair, b"in %d mirrored" % pair)),
           "copy of a frame to the guest")
    try:
        hot.qmp.cmd("chardev-remove", id="plain")
        raise Failure("the chardev of a filter was removed")
    except Exception as e:
        check("busy" in str(e), str(e))
    plain.sock.close()  # frames go on without a peer
    exchange(hot.nic, hot.host, 0, b"alone")
    delete(hot, "m0")
    hot.qmp.cmd("chardev-remove", id="plain")
    hot.delete()        # and the filter goes with its netdev
    eq([o["name"] for o in hot.qmp.cmd("qom-list", path="/objects") if o["type"].startswith("child<filter")], [],
       "filters of a netdev that was deleted")
    hot.qmp.cmd("chardev-remove", id="vnet")
    hot.back()
    hot.nic.both_ways(hot.host)


@case("net-filters/redirector/through-a-program", needs=TUN)
def redirector(t):
    """Frames leave by one redirector and come back by another one, changed on the way."""
    hot = Hot(t, queues=PAIRS).start(posted=128)
    out, back = Channel(hot, "out"), Channel(hot, "back")
    add(hot, "redirector", "r0", queue="rx", outdev="out", vnet_hdr_support=True)
    add(hot, "redirector", "r1", queue="rx", indev="back", vnet_hdr_support=True, position="head")
    frames = [udp_frame(HOST_MAC, MAC, 3000 + i, 2000, b"a" * 60, from_guest=True) for i in range(40)]
    for i, frame in enumerate(frames):
        hot.nic.send(i % PAIRS, frame)
    seen = []
    for _ in frames:
        header, frame = out.recv(vnet=True)
        seen.append(frame)
        back.send(frame.replace(b"aaaa", b"bbbb"), header)
    eq(sorted(seen), sorted(frames), "frames that were redirected")
    got = sorted(hot.host.recv() for _ in frames)
    eq(got, sorted(f.replace(b"aaaa", b"bbbb") for f in frames), "frames that came back")
    check(out.quiet(), "frames went round")
    delete(hot, "r1")
    add(hot, "redirector", "r2", queue="tx", indev="back")
    flow = [udp_frame(MAC, HOST_MAC, 2000, 1002, b"injected %d" % i) for i in range(200)]
    for frame in flow:
        back.send(frame)
    missing = list(flow)

    def collect():
        for pair in range(PAIRS):
            while (g := hot.nic.recv(pair, wait=False)):
                check(g[1] == missing.pop(0), "the frames of a flow are not in their order")
        return not missing
    wait_for(collect, "injected frames")


@case("net-filters/redirector/hostile-peer", needs=TUN)
def hostile(t):
    hot = Hot(t, queues=PAIRS).start(posted=128)
    for i, data in enumerate((b"\xff" * 64, bytes(64), struct.pack(">II", 100, 100) + bytes(200),
                              struct.pack(">II", 70000, 0), struct.pack(">II", 100, 0xffffffff))):
        ch = Channel(hot, f"bad{i}")
        add(hot, "redirector", "r", queue="all", indev=f"bad{i}", vnet_hdr_support=True)
        ch.sock.sendall(data)
        hot.nic.both_ways(hot.host)
        delete(hot, "r")
        ch.sock.close()
    ch = Channel(hot, "odd")
    add(hot, "redirector", "r", queue="rx", indev="odd", vnet_hdr_support=True)
    for header in (struct.pack("<BBHHHHH", 1, 0, 0, 0, 60000, 60000, 0), struct.pack("<BBHHHHH", 0, 1, 0, 0, 0, 0, 0)):
        ch.send(raw_frame(HOST_MAC, MAC, b"odd", size=60), header)
    wait_for(lambda: get(hot, "r", "dropped") == 2, "the frames with impossible headers")
    ch.send(raw_frame(HOST_MAC, MAC, b"even", size=60), bytes(12))
    hot.host.expect(raw_frame(HOST_MAC, MAC, b"even", size=60), "the frame behind them")
    ch.sock.sendall(struct.pack(">II", 100, 0) + b"half")
    ch.sock.close()
    hot.nic.both_ways(hot.host)


def pcap(frames, gap=0.001):
    data = struct.pack("<IHHIIII", 0xa1b2c3d4, 2, 4, 0, 0, 65536, 1)
    for i, frame in enumerate(frames):
        data += struct.pack("<IIII", 1000, int(i * gap * 1e6), len(frame), len(frame)) + frame
    return data


@case("net-filters/replay/a-capture", needs=TUN)
def replay(t):
    hot = Hot(t, queues=PAIRS).start(posted=128)
    frames = [udp_frame(MAC, HOST_MAC, 2000, 1000, b"replayed %d" % i) for i in range(100)]
    path = t.dir / "in.pcap"
    path.write_bytes(pcap(frames))
    begin = time.monotonic()
    add(hot, "replay", "p", file=str(path), queue="tx", queue_index=3)
    for frame in frames:
        hot.nic.expect(3, frame, "a frame of the file")
    check(time.monotonic() - begin >= 0.099, "frames came before their time")
    eq(get(hot, "p", "played"), 100, "played")
    hot.nic.both_ways(hot.host)


BAD = (
    ("'netdev' is missing", {"qom-type": "filter-dump", "id": "x"}),
    ("'nobody' not found", {"qom-type": "filter-dump", "id": "x", "netdev": "nobody"}),
    ("'nic0' is not a netdev", {"qom-type": "filter-dump", "id": "x", "netdev": "nic0"}),
    ("'both'", {"qom-type": "filter-dump", "id": "x", "netdev": "n0", "queue": "both"}),
    ("queue-index=4: netdev 'n0' has queues 0 to 3", {"qom-type": "filter-dump", "id": "x", "netdev": "n0",
                                                      "queue-index": 4}),
    ("queue-index=-2", {"qom-type": "filter-dump", "id": "x", "netdev": "n0", "queue-index": -2}),
    ("status", {"qom-type": "filter-dump", "id": "x", "netdev": "n0", "status": "maybe"}),
    ("position=middle: must be head, tail or id=", {"qom-type": "filter-dump", "id": "x", "netdev": "n0",
                                                    "position": "middle"}),
    ("position=id=nobody: netdev 'n0' has no such filter", {"qom-type": "filter-dump", "id": "x", "netdev": "n0",
                                                            "position": "id=nobody"}),
    ("insert", {"qom-type": "filter-dump", "id": "x", "netdev": "n0", "insert": "after"}),
    ("file: .*/no/such", {"qom-type": "filter-dump", "id": "x", "netdev": "n0", "file": "/no/such/file"}),
    ("maxlen: must be 1", {"qom-type": "filter-dump", "id": "x", "netdev": "n0", "file": "/dev/null", "maxlen": 0}),
    ("'format'|'pcapx'", {"qom-type": "filter-dump", "id": "x", "netdev": "n0", "format": "pcapx"}),
    ("'interval' is missing", {"qom-type": "filter-buffer", "id": "x", "netdev": "n0"}),
    ("interval: must be 1", {"qom-type": "filter-buffer", "id": "x", "netdev": "n0", "interval": 0}),
    ("'outdev' is missing", {"qom-type": "filter-mirror", "id": "x", "netdev": "n0"}),
    ("outdev: chardev 'nobody' not found", {"qom-type": "filter-mirror", "id": "x", "netdev": "n0", "outdev": "nobody"}),
    ("outdev: .*in use", {"qom-type": "filter-mirror", "id": "x", "netdev": "n0", "outdev": "taken"}),
    ("at least one", {"qom-type": "filter-redirector", "id": "x", "netdev": "n0"}),
    ("both 'c'", {"qom-type": "filter-redirector", "id": "x", "netdev": "n0", "indev": "c", "outdev": "c"}),
    ("file: .*/no/such", {"qom-type": "filter-replay", "id": "x", "netdev": "n0", "file": "/no/such"}),
    ("file: .*regular file", {"qom-type": "filter-replay", "id": "x", "netdev": "n0", "file": "/dev/null"}),
    ("file: '/etc/passwd' is no pcap", {"qom-type": "filter-replay", "id": "x", "netdev": "n0", "file": "/etc/passwd"}),
    ("'qom-type'.*'filter-rewriter'", {"qom-type": "filter-rewriter", "id": "x", "netdev": "n0"}),
)


@case("net-filters/refused", needs=TUN)
def bad_options(t):
    hot = Hot(t, queues=PAIRS).start(posted=128)
    channel, taken = Channel(hot, "c"), Channel(hot, "taken")
    add(hot, "mirror", "m", outdev="taken", queue="rx", queue_index=1)
    for text, arguments in BAD:
        refused(hot.qmp, hot.vm, text, "object-add", arguments)
    exchange(hot.nic, hot.host, 1, b"after all that")
    taken.recv()
    check(channel.quiet() and taken.quiet(), "a filter that was refused sends")


@case("net-filters/order/head-tail-before-behind", needs=TUN)
def order(t):
    hot = Hot(t, queues=PAIRS).start(posted=128)
    add(hot, "buffer", "b", interval=1000)
    add(hot, "buffer", "a", interval=1000, position="head")
    add(hot, "buffer", "d", interval=1000, position="tail")
    add(hot, "buffer", "c", interval=1000, position="id=b")
    add(hot, "buffer", "e", interval=1000, position="id=a", insert="before")
    listed = [line.split()[1].rstrip(":") for line in hot.hmp("info network").splitlines()
              if line.startswith("  - ")]
    eq(listed, ["e", "a", "b", "c", "d"], "filters from head to tail")
    for pair in range(PAIRS):
        exchange(hot.nic, hot.host, pair, b"through five")


@case("net-filters/command-line", needs=TUN)
def command_line(t):
    path = t.dir / "line.pcap"
    hot = Hot(t, queues=PAIRS, extra=("-object", f"filter-dump,id=d,netdev=n0,file={path},queue=rx,status=on",
                                      "-chardev", "null,id=c", "-object", "filter-mirror,id=m,netdev=n0,outdev=c"))
    hot.start(posted=128)
    for pair in range(PAIRS):
        exchange(hot.nic, hot.host, pair, b"line")
    hot.qmp.cmd("quit")
    hot.vm.wait_end()
    eq(len(tshark(path, "udp.srcport")), PAIRS, "frames of a capture that the end of the process completed")


@case("net-filters/vhost-net/moves-to-an-iothread-and-back", needs=TUN)
def vhost(t):
    if not os.path.exists("/dev/vhost-net"):
        raise Skip("no /dev/vhost-net")
    hot = Hot(t, queues=PAIRS, tap_opts=",vhost=on").start(posted=128)
    path = t.dir / "vhost.pcap"
    exchange(hot.nic, hot.host, 1, b"vhost")
    add(hot, "dump", "d", file=str(path), queue_index=1)
    event = hot.qmp.event("NET_QUEUE_MAPPING_CHANGED")["data"]
    eq((event["pair"], event["owner"]), (1, "iothread"), "where the pair went")
    check("filter-dump 'd'" in event["reason"], event["reason"])
    eq([p["owner"] for p in hot.pairs()], ["vhost", "iothread", "vhost", "vhost"], "owners")
    exchange(hot.nic, hot.host, 1, b"filtered")
    delete(hot, "d")
    event = hot.qmp.event("NET_QUEUE_MAPPING_CHANGED")["data"]
    eq((event["pair"], event["owner"]), (1, "vhost"), "where the pair went back")
    exchange(hot.nic, hot.host, 1, b"vhost again")
    eq(len(tshark(path, "udp.srcport")), 2, "frames captured")


@case("net-filters/redirector-with-few-pairs", needs=TUN)
def redirector_few_pairs(t):
    """The driver uses one pair of four: all frames from indev are for it."""
    hot = Hot(t, queues=PAIRS).start(posted=128)
    back = Channel(hot, "back")
    add(hot, "redirector", "r", queue="tx", indev="back")
    want = [udp_frame(MAC, HOST_MAC, 2000, 1000 + i, b"injected %d" % i) for i in range(64)]
    for f in want[:32]:  # to all four; those that are not taken wait
        back.send(f)
    got = []
    wait_for(lambda: got.extend(x[1] for x in (hot.nic.recv(p, wait=False) for p in range(PAIRS)) if x)
             or len(got) >= 32, "32 frames")
    eq(sorted(got), sorted(want[:32]), "frames on four pairs")
    hot.nic.set_pairs(1)
    for f in want[32:]:
        back.send(f)
    eq([hot.nic.recv(0)[1] for _ in want[32:]], want[32:], "frames on one pair")


@case("net-filters/buffer-of-queues-that-go", needs=TUN)
def buffer_and_shrink(t):
    """What a buffer is given of a queue that goes, under a machine that is stopped, is for the guest."""
    hot = Hot(t, queues=PAIRS).start(posted=128)
    add(hot, "buffer", "b", interval=100000)
    hot.qmp.cmd("stop")
    want = [udp_frame(MAC, HOST_MAC, 2000, 1000 + p, b"late %d" % i) for p in range(PAIRS) for i in range(10)]
    for f in want:
        hot.host.send(f)
    set_queues(hot, 1)
    hot.qmp.cmd("cont")
    got = []
    wait_for(lambda: got.extend(x[1] for x in (hot.nic.recv(p, wait=False) for p in range(PAIRS)) if x)
             or len(got) >= len(want), f"{len(want)} frames")
    eq(sorted(got), sorted(want), "the frames")
