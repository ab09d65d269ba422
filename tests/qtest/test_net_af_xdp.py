# SPDX-License-Identifier: GPL-2.0-or-later
"""-netdev af-xdp: queues of a veth pair, with libxdp's program and with one that somebody else attached."""

from netlib import HOST_MAC, Host, delete_link, raw_frame, refuse_bpf, set_down, set_up, udp_frame
from qmplib import Qmp
from qtestlib import check, case, eq, wait_for
from test_net_hot import refused, state
from test_virtio_net_mq import MQ
from virtiolib import BASIC, F_STATUS, MAC, MAC_TEXT, Modern, Nic, bits, find_virtio
from xdplib import Redirect, attached, make_veth, xsk_socket

ROOT = ("root",)
NONE, NATIVE, SKB = range(3)
RX_RING, TX_RING = 2048, 1024


def netdev(ident="n0", **more):
    return {"type": "af-xdp", "id": ident, "ifname": "v0", **{k.replace("_", "-"): v for k, v in more.items()}}


def text(options):
    """The same for -netdev."""
    words = {True: "on", False: "off"}
    return ",".join([options["type"]] + [f"{k}={words.get(v, v) if isinstance(v, bool) else v}"
                                         for k, v in options.items() if k != "type"])


class Machine:
    """A NIC on queues of v0, whose other end is v1."""

    def __init__(self, t, queues=2, there=None, make=True, options=None, nics=1, pass_fds=()):
        if make:
            make_veth("v0", "v1", there or queues)
        self.queues = queues
        args = []
        for i in range(nics):
            more = {"mode": "skb"} if options is None else options
            one = netdev(f"n{i}", queues=queues, start_queue=i * queues, **more)
            args += ["-netdev", text(one), "-device",
                     f"virtio-net-pci,netdev=n{i},id=nic{i},mac={MAC_TEXT[:-1]}{i}" + (",mq=on" if queues > 1 else "")]
        self.vm = t.vm(*args, qmp=True, pass_fds=pass_fds)
        self.qmp = Qmp(self.vm.qmp_path)
        self.nics = []
        for pci in find_virtio(self.vm):
            pci.msix_setup()
            self.nics.append(Nic(Modern(pci)))
        self.nic = self.nics[0]
        self.host = Host("v1")

    def start(self, posted=64, **kw):
        for nic in self.nics:
            features = (MQ if self.queues > 1 else BASIC) | bits(F_STATUS)
            nic.start(features, pairs=self.queues, vectors=True, posted=posted, **kw)
            if self.queues > 1:
                nic.set_pairs(self.queues)
        return self

    def end(self):
        self.vm.close()
        self.vm.ended = True

    def add(self, **more):
        self.qmp.cmd("netdev_add", arguments_=netdev(**{"queues": self.queues, "mode": "skb", **more}))

    def delete(self, ident="n0"):
        self.qmp.cmd("netdev_del", id=ident)


def frame_to(guest, i, size=0):
    return udp_frame(MAC, HOST_MAC, 3000 + i, 4000 + 7 * i, (b"to %d " % i + guest).ljust(size, b"."))


def flows(m, tag, n=60, also=None):
    """Frames of N flows: each arrives once; the pairs that got some, of each NIC. More of ALSO may come."""
    missing = {frame_to(tag, i) for i in range(n)}
    used = set()
    for f in missing:
        m.host.send(f)

    def collect():
        for k, nic in enumerate(m.nics):
            for pair in nic.rx:
                while got := nic.recv(pair, wait=False):
                    if got[1] == also:
                        continue
                    check(got[1] in missing, f"a frame that was not sent, or twice: {got[1][:60].hex()}")
                    eq(got[0], bytes(10) + b"\1\0", "header")
                    missing.remove(got[1])
                    used.add((k, pair))
        return not missing
    wait_for(collect, "frames of all flows")
    return used


def from_guest(m, tag, nic=None):
    """Frames of several sizes from every pair arrive as they were sent."""
    for pair in (nic or m.nic).tx:
        for size in (14, 60, 61, 1514):
            frame = raw_frame(HOST_MAC, MAC, b"pair %d " % pair + tag, size=size)[:max(size, 60)]
            (nic or m.nic).send(pair, frame, pieces=1 + size % 3)
            m.host.expect(frame, f"{size} bytes from pair {pair} {tag.decode()}")


@case("net-af-xdp/two-queues-both-ways", needs=ROOT)
def both_ways(t):
    m = Machine(t).start()
    eq(attached("v0"), SKB, "attached program")
    shown = m.qmp.cmd("human-monitor-command", command_line="info network")
    check("type=af-xdp,queues=2,ifname=v0,start-queue=0,mode=skb" in shown, shown)
    for turn in range(3):
        from_guest(m, b"turn %d" % turn)
        eq(flows(m, b"turn %d" % turn), {(0, 0), (0, 1)}, "pairs that received")
    m.end()
    eq(attached("v0"), NONE, "program after the end")


@case("net-af-xdp/native-mode-and-the-default", needs=ROOT)
def modes(t):
    make_veth("v0", "v1", native=True)
    for options, mode in (({"mode": "native"}, NATIVE), ({}, NATIVE), ({"force_copy": True}, NATIVE)):
        m = Machine(t, make=False, options=options).start()
        eq(attached("v0"), mode, f"{options}: attached program")
        from_guest(m, b"")
        flows(m, b"")
        m.end()
        eq(attached("v0"), NONE, f"{options}: program after the end")


@case("net-af-xdp/bursts-keep-their-order", needs=ROOT)
def bursts(t):
    m = Machine(t, queues=1).start(posted=128)
    nic, ring = m.nic, m.nic.tx[0]
    for turn in range(8):
        frames = [raw_frame(HOST_MAC, MAC, b"%d of burst %d" % (i, turn), size=60 + 11 * i) for i in range(100)]
        for frame in frames:
            base = m.vm.alloc(12 + len(frame))
            m.vm.ram[base:base + 12 + len(frame)] = bytes(12) + frame
            ring.offer(ring.add(out=[(base, 12 + len(frame))]))
        ring.publish()
        ring.kick()
        for i, frame in enumerate(frames):
            ring.wait("a sent frame")
            m.host.expect(frame, f"frame {i} of burst {turn}")
        for i in range(100):
            m.host.send(frame_to(b"guest", i, size=10 * i))
        for i in range(100):
            nic.expect(0, frame_to(b"guest", i, size=10 * i), f"frame {i} of burst {turn}")


@case("net-af-xdp/long-frames", needs=ROOT)
def long_frames(t):
    m = Machine(t, queues=1).start(posted=32, rx_size=4200)
    for name in ("v0", "v1"):
        set_up(name, 9000)
    m.host.send(raw_frame(MAC, HOST_MAC, b"too long", size=3841))
    frame = raw_frame(MAC, HOST_MAC, b"fits", size=3840)
    m.host.send(frame)
    m.nic.expect(0, frame, "the longest frame to the guest")
    m.nic.send(0, raw_frame(HOST_MAC, MAC, b"too long", size=4097), pieces=3)
    frame = raw_frame(HOST_MAC, MAC, b"fits", size=4096)
    m.nic.send(0, frame, pieces=3)
    m.host.expect(frame, "the longest frame from the guest")
    stats = m.qmp.cmd("query-net-queues")[0]["stats"]
    eq((stats["tx-packets"], stats["tx-dropped"]), (1, 1), "sent and dropped")


@case("net-af-xdp/full-ring-drops-the-newest", needs=ROOT)
def full(t):
    m = Machine(t, queues=1).start(posted=0)
    more = 300
    for i in range(RX_RING + more):
        m.host.send(frame_to(b"full", i))
    m.nic.post(0, 128)
    for i in range(RX_RING):
        m.nic.expect(0, frame_to(b"full", i), f"frame {i}")
    flows(m, b"behind it")
    stats = m.qmp.cmd("query-net-queues")[0]["stats"]
    eq(stats["rx-packets"], RX_RING + 60, "rx-packets")


@case("net-af-xdp/interface-down-and-up", needs=ROOT)
def down_and_up(t):
    m = Machine(t, queues=1).start()
    frame = raw_frame(HOST_MAC, MAC, b"down", size=60)
    set_down("v0")
    for _ in range(TX_RING + 100):  # the driver's ring goes on
        m.nic.send(0, frame)
    stats = m.qmp.cmd("query-net-queues")[0]["stats"]
    eq((stats["tx-packets"], stats["tx-dropped"]), (TX_RING, 100), "sent and dropped")
    set_up("v0")
    for i in range(TX_RING):
        m.host.expect(frame, f"frame {i} that waited")
    from_guest(m, b"up again")
    probe = raw_frame(MAC, HOST_MAC, b"probe", size=60)

    def arrives():
        """The other end learns a little later that there is a carrier again, and drops its packets till then."""
        m.host.send(probe)
        return m.nic.recv(0, wait=False)
    wait_for(arrives, "a frame to the guest")
    flows(m, b"up again", also=probe)


@case("net-af-xdp/inactive-queue-keeps-nothing", needs=ROOT)
def inactive(t):
    m = Machine(t).start()
    m.nic.set_pairs(1)
    for i in range(60):
        m.host.send(frame_to(b"lost in part", i))
    m.nic.set_pairs(2)
    while got := m.nic.recv(0, wait=False):
        check(got[1].find(b"lost in part") > 0, "another frame")
    eq(m.nic.recv(1, wait=False), None, "a frame from before")
    from_guest(m, b"two again")


@case("net-af-xdp/del-add-and-two-netdevs-on-one-interface", needs=ROOT)
def share(t):
    m = Machine(t, queues=1, there=2, nics=2).start()
    eq(flows(m, b"both"), {(0, 0), (1, 0)}, "NICs that received")
    fds = None
    for turn in range(3):
        m.delete()
        eq(attached("v0"), SKB, "program while the other netdev needs it")
        eq(m.nic.status_field(), 0, "link without netdev")
        from_guest(m, b"alone", m.nics[1])
        m.add()
        eq(m.nic.status_field(), 1, "link")
        fds = fds or m.vm.fds()  # of the netdev that found the program there
        eq(m.vm.fds(), fds, f"open files, turn {turn}")
        from_guest(m, b"again")
        eq(flows(m, b"both again"), {(0, 0), (1, 0)}, "NICs that received")
    m.delete()
    m.delete("n1")
    eq(attached("v0"), NONE, "program without a netdev")
    m.add()
    eq(attached("v0"), SKB, "program of the new one")
    m.end()
    eq(attached("v0"), NONE, "program after the end")


@case("net-af-xdp/two-pairs-send-by-one-queue", needs=ROOT)
def two_senders(t):
    m = Machine(t).start()
    m.delete()
    m.add(queues=1)
    wait_for(lambda: m.nic.status_field() == 1, "the link to come up")
    want = {pair: [raw_frame(HOST_MAC, MAC, b"%d %d" % (pair, i), size=60 + i) for i in range(100)] for pair in (0, 1)}
    for pair, frames in want.items():
        ring = m.nic.tx[pair]
        for frame in frames:
            base = m.vm.alloc(12 + len(frame))
            m.vm.ram[base:base + 12 + len(frame)] = bytes(12) + frame
            ring.offer(ring.add(out=[(base, 12 + len(frame))]))
        ring.publish()
    for pair in want:
        m.nic.tx[pair].kick()
    got = [m.host.recv() for _ in range(200)]
    for pair, frames in want.items():
        eq([f for f in got if f in frames], frames, f"frames of pair {pair}, in their order")


@case("net-af-xdp/interface-deleted-under-it", needs=ROOT)
def deleted(t):
    m = Machine(t).start()
    fds = m.vm.fds()
    from_guest(m, b"first")
    for turn in range(2):
        delete_link("v0")
        m.nic.pci.msix_wait(0, "configuration interrupt: link down")
        eq(m.nic.status_field(), 0, "link after the interface went")
        m.delete()
        make_veth("v0", "v1")
        m.host = Host("v1")
        m.nic.pci.msix_take(0)
        m.add()
        wait_for(lambda: m.nic.status_field() == 1, "the link to come up")
        from_guest(m, b"new interface")
        flows(m, b"new interface")
        eq(m.vm.fds(), fds, f"open files, turn {turn}")


def given(redirect, n=2):
    """Sockets in the map."""
    sockets = [xsk_socket() for _ in range(n)]
    for i, s in enumerate(sockets):
        redirect.put(i, s.fileno())
    return sockets


@case("net-af-xdp/sockets-of-somebody-else", needs=ROOT)
def sock_fds(t):
    make_veth("v0", "v1")
    redirect = Redirect("v0")
    sockets = given(redirect)
    numbers = [s.fileno() for s in sockets]
    m = Machine(t, make=False, options={"inhibit": True, "sock-fds": ":".join(map(str, numbers))}, pass_fds=numbers)
    m.start()
    fds = m.vm.fds()
    for turn in range(3):
        for s in sockets:
            s.close()
        eq(attached("v0"), SKB, "the other program")
        from_guest(m, b"given sockets")
        eq(flows(m, b"given sockets"), {(0, 0), (0, 1)}, "pairs that received")
        eq(m.vm.fds(), fds, f"open files, turn {turn}")
        m.delete()
        sockets = given(redirect)
        for i, s in enumerate(sockets):
            m.qmp.cmd("getfd", fds=[s.fileno()], fdname=f"q{i}")
        refused(m.qmp, m.vm, "sock-fds= has 2 .*queues=1", "netdev_add",
                netdev(queues=1, inhibit=True, sock_fds="q0:q1"))
        m.qmp.cmd("netdev_add", arguments_=netdev(queues=2, inhibit=True, sock_fds="q0:q1"))
        refused(m.qmp, m.vm, "'q0'", "closefd", {"fdname": "q0"})
    redirect.close()


@case("net-af-xdp/map-of-somebody-else", needs=ROOT)
def map_path(t):
    make_veth("v0", "v1")
    redirect = Redirect("v0")
    path = redirect.pin(t.dir / "bpf")
    m = Machine(t, make=False, options={"inhibit": True, "map-path": path}).start()
    for turn in range(2):
        from_guest(m, b"map")
        eq(flows(m, b"map"), {(0, 0), (0, 1)}, "pairs that received")
        m.delete()
        m.qmp.cmd("netdev_add", arguments_=netdev(queues=2, inhibit=True, map_path=path))
    m.delete()
    m.qmp.cmd("netdev_add", arguments_=netdev(inhibit=True, map_path=path, start_queue=1, map_start_index=1))
    # Frames of queue 0 go on to the host, as nobody has its place in the map.
    for i in range(40):
        m.host.send(frame_to(b"one", i))
    wait_for(lambda: m.nic.recv(0, wait=False), "a frame of queue 1")
    for what, more in (("map-start-index=9: the map does not take.* queue 0 at index 9", {"map_start_index": 9}),
                       ("map-path=/dev/null: cannot open", {"map_path": "/dev/null"})):
        refused(m.qmp, m.vm, what, "netdev_add", netdev("x", **{"inhibit": True, "map_path": path, **more}))
    redirect.close()


# ---- refused ----

@case("net-af-xdp/refused", needs=ROOT)
def wrong(t):
    m = Machine(t, queues=1, there=2).start()
    before = state(m.qmp, m.vm)
    for what, more in (("ifname=v9: there is no such interface", {"ifname": "v9"}),
                       ("start-queue=0, queues=3.*'v0' has no queue 2.* 0..1", {"queues": 3, "start_queue": 0}),
                       ("start-queue=7.*no queue 7.* 0..1", {"start_queue": 7}),
                       ("queue 0 of interface 'v0' is taken", {}),
                       ("interface 'lo'.*mode=native.*use mode=skb", {"ifname": "lo", "mode": "native"})):
        refused(m.qmp, m.vm, what, "netdev_add", netdev("x", **more), before=before)
        eq(attached("v0"), SKB, "program after the refused one")
        eq(attached("lo"), NONE, "program of lo")
    from_guest(m, b"unharmed")


@case("net-af-xdp/refused-without-rights", needs=ROOT)
def no_rights(t):
    make_veth("v0", "v1")
    refuse_bpf()
    vm = t.vm(qmp=True)
    qmp = Qmp(vm.qmp_path)
    refused(qmp, vm, "'v0'.*CAP_NET_RAW.*CAP_BPF", "netdev_add", netdev("x", mode="skb"))
    eq(attached("v0"), NONE, "program")
