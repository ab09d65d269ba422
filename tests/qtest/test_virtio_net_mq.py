# SPDX-License-Identifier: GPL-2.0-or-later
"""Queue pairs of virtio-net on a multiqueue tap, and the threads that move them."""

import json
import struct

from netlib import HOST_MAC, Host, drops, raw_frame, udp_frame
from qtestlib import case, check, eq, wait_for
from virtiolib import (BASIC, CTRL, CTRL_MQ, ERR, F_CTRL_VQ, F_MQ, F_RING_RESET, MAC, MAC_TEXT,
                       NEEDS_RESET, OK, Legacy, Modern, Nic, bits, find_virtio, tap_args)

TUN = ("root", "tun")
MQ = BASIC | CTRL | bits(F_MQ)


def mq_nic(t, queues=4, **kw):
    vm = t.vm(*tap_args(queues=queues, **kw))
    return vm, Nic(Modern(find_virtio(vm)[0])), Host("t0")


def exchange(nic, host, pair, tag):
    """A frame from PAIR, by which the tap learns the flow, and the answer."""
    flow = 1000 + pair
    frame = udp_frame(HOST_MAC, MAC, flow, 2000, b"out %d " % pair + tag, from_guest=True)
    nic.send(pair, frame)
    host.expect(frame, f"frame from pair {pair} {tag.decode()}")
    frame = udp_frame(MAC, HOST_MAC, 2000, flow, b"in %d " % pair + tag)
    host.send(frame)
    nic.expect(pair, frame, f"frame to pair {pair} {tag.decode()}")


def flood(nic, host, active, flows=120):
    """Frames of many flows: each arrives once, at an active pair."""
    before = drops("t0")
    missing = {}
    for i in range(flows):
        frame = udp_frame(MAC, HOST_MAC, 3000 + i, 4000 + 7 * i, b"flow")
        missing[frame] = i
        host.send(frame)
    used = set()

    def collect():
        for pair in nic.rx:
            got = nic.recv(pair, wait=False)
            if got:
                check(pair < active, f"frame at pair {pair}, only {active} are active")
                check(got[1] in missing, "a frame that was not sent, or twice")
                del missing[got[1]]
                used.add(pair)
        return not missing
    wait_for(collect, f"{len(missing)} frames of {flows} with {active} pairs")
    eq(drops("t0"), before, "dropped frames of the tap")
    check(active == 1 or len(used) > 1, "all flows at one pair")


@case("virtio-net/5.1.6.5.5/vq-pairs-set-in-all-orders", needs=TUN)
def all_orders(t):
    _, nic, host = mq_nic(t)
    eq(nic.max_pairs(), 4, "max_virtqueue_pairs")
    nic.start(MQ, pairs=4, posted=128)
    for a in range(1, 5):
        for b in range(1, 5):
            nic.set_pairs(a)
            nic.set_pairs(b)
            for pair in range(b):
                exchange(nic, host, pair, b"%d to %d" % (a, b))


@case("virtio-net/5.1.6.5.5/no-frame-goes-to-an-inactive-pair", needs=TUN)
def inactive(t):
    _, nic, host = mq_nic(t)
    nic.start(MQ, pairs=4, posted=128)
    flood(nic, host, 1)
    for n in (4, 2, 3, 1, 4):
        nic.set_pairs(n)
        flood(nic, host, n)
    for pair in range(4):  # flows learned by pairs that go
        exchange(nic, host, pair, b"learn")
    nic.set_pairs(2)
    before = drops("t0")
    frames = [udp_frame(MAC, HOST_MAC, 2000, 1000 + p, b"late") for p in range(4)]
    for f in frames:
        host.send(f)
    got = []
    wait_for(lambda: got.extend(x[1] for p in range(2) for x in [nic.recv(p, wait=False)] if x) or len(got) == 4,
             "the frames of flows whose pairs are gone")
    eq(sorted(got), sorted(frames), "frames")
    eq(drops("t0"), before, "dropped frames of the tap")


@case("virtio-net/5.1.6.5.5/wrong-pair-counts-are-refused", needs=TUN)
def wrong_counts(t):
    _, nic, host = mq_nic(t)
    nic.start(MQ, pairs=4, posted=16)
    nic.set_pairs(2)
    for n in (0, 5, 0x8000, 0xffff):
        eq(nic.command(CTRL_MQ, 0, struct.pack("<H", n)), ERR, f"VQ_PAIRS_SET {n}")
    for data in (b"", b"\1", b"\1\0\0"):
        eq(nic.command(CTRL_MQ, 0, data), ERR, f"VQ_PAIRS_SET with {len(data)} bytes")
    eq(nic.command(CTRL_MQ, 1, b"\1\0"), ERR, "another command of the class")
    for pair in range(2):
        exchange(nic, host, pair, b"still two")


@case("virtio-net/5.1.6.5.5/reset-goes-back-to-one-pair", needs=TUN)
def reset_one(t):
    _, nic, host = mq_nic(t)
    for n in (4, 2, 3):
        nic.start(MQ, pairs=4, posted=128)
        flood(nic, host, 1)
        nic.set_pairs(n)
        flood(nic, host, n)


@case("virtio-net/5.1.2/control-queue-index-without-mq", needs=TUN)
def ctrl_index(t):
    _, nic, host = mq_nic(t)
    nic.start(BASIC | CTRL)
    eq(nic.ctrl.index, 2, "index of the control queue")
    eq(nic.command(0, 0, b"\1"), OK, "promiscuous mode by queue 2")
    eq(nic.command(CTRL_MQ, 0, b"\1\0"), ERR, "VQ_PAIRS_SET without MQ")
    nic.both_ways(host)
    flood(nic, host, 1, flows=20)


@case("virtio-net/5.1.2/legacy-driver-with-mq", needs=TUN)
def legacy_mq(t):
    vm = t.vm(*tap_args(queues=2))
    nic = Nic(Legacy(find_virtio(vm)[0]))
    host = Host("t0")
    nic.start((MQ | bits(F_CTRL_VQ)) & 0xffffffff, pairs=2)
    nic.set_pairs(2)
    for pair in range(2):
        exchange(nic, host, pair, b"legacy")


def ring_reset(t, index, pairs):
    _, nic, host = mq_nic(t, queues=pairs)
    nic.start((MQ if pairs > 1 else BASIC) | bits(F_RING_RESET), pairs=pairs)
    if pairs > 1:
        nic.set_pairs(pairs)
    pair, transmit = index // 2, index % 2
    for round_ in range(3):
        exchange(nic, host, pair, b"before")
        nic.t.queue_reset(index)
        if transmit:
            frame = udp_frame(MAC, HOST_MAC, 2000, 1000 + pair, b"lonely")
            host.send(frame)
            nic.expect(pair, frame, "frame while the other ring is reset")
        else:
            frame = udp_frame(HOST_MAC, MAC, 1000 + pair, 2000, b"lonely", from_guest=True)
            nic.send(pair, frame)
            host.expect(frame, "frame while the other ring is reset")
        for other in range(pairs):
            if other != pair:
                exchange(nic, host, other, b"other")
        ring = nic.t.make_ring(index)
        if transmit:
            nic.tx[pair] = ring
        else:
            nic.rx[pair] = ring
            nic.post(pair, 16)
        exchange(nic, host, pair, b"after")
    eq(nic.t.status & NEEDS_RESET, 0, "NEEDS_RESET")


@case("virtio-net/2.6.1/reset-of-the-receive-ring-alone", needs=TUN)
def reset_rx_ring(t):
    ring_reset(t, 0, 1)


@case("virtio-net/2.6.1/reset-of-the-transmit-ring-alone", needs=TUN)
def reset_tx_ring(t):
    ring_reset(t, 1, 1)


@case("virtio-net/2.6.1/reset-of-one-ring-of-several-pairs", needs=TUN)
def reset_rings_mq(t):
    ring_reset(t, 2, 3)


@case("virtio-net/2.6.1/reset-of-the-control-ring", needs=TUN)
def reset_ctrl_ring(t):
    _, nic, host = mq_nic(t)
    nic.start(MQ | bits(F_RING_RESET), pairs=4)
    nic.set_pairs(2)
    for _ in range(3):
        nic.t.queue_reset(8)
        exchange(nic, host, 1, b"control ring is reset")
        nic.ctrl = nic.t.make_ring(8)
        nic.set_pairs(3)
        nic.set_pairs(2)


@case("virtio-net/2.6.1/queue-reset-needs-its-feature", needs=TUN)
def reset_unnegotiated(t):
    _, nic, host = mq_nic(t, queues=1)
    nic.start()
    nic.t.select(0)
    nic.t.set(0x3a, 2, 1)
    eq(nic.t.get(0x1c, 2), 1, "queue_enable after a queue_reset that was not negotiated")
    nic.both_ways(host)


@case("virtio-net/mq-on-with-one-queue", needs=TUN)
def one_queue(t):
    vm = t.vm(*tap_args(nic_opts=",mq=on"))
    nic, host = Nic(Modern(find_virtio(vm)[0])), Host("t0")
    eq(nic.max_pairs(), 1, "max_virtqueue_pairs")
    nic.start(MQ)
    nic.set_pairs(1)
    eq(nic.command(CTRL_MQ, 0, b"\2\0"), ERR, "VQ_PAIRS_SET 2")
    nic.both_ways(host)


@case("virtio-net/256-queue-pairs-start-and-stop", needs=TUN)
def many(t):
    vm, nic, host = mq_nic(t, queues=256)
    eq(nic.max_pairs(), 256, "max_virtqueue_pairs")
    for n in (256, 77):
        nic.start(MQ, pairs=256, posted=2)
        nic.set_pairs(n)
        for pair in (0, 1, n // 2, n - 1):
            exchange(nic, host, pair, b"of many")
    nic.set_pairs(1)
    nic.both_ways(host)
    check(len(vm.thread_names()) < 100, f"{len(vm.thread_names())} threads")


@case("virtio-net/two-nics", needs=TUN)
def two(t):
    macs = (MAC, bytes.fromhex("525400aaaa02"))
    vm = t.vm(*tap_args("t0", 2, ident="n0"), *tap_args("t1", 2, ident="n1", mac="52:54:00:aa:aa:02"))
    nics = [Nic(Modern(d)) for d in find_virtio(vm)]
    hosts = [Host("t0"), Host("t1")]
    for nic in nics:
        nic.start(MQ, pairs=2)
        nic.set_pairs(2)
    for i in range(3):
        for nic, host, mac in zip(nics, hosts, macs):
            eq(nic.mac(), mac, "mac")
            nic.both_ways(host, mac=mac, tag=b"%d" % i)
        nics[i % 2].start(MQ, pairs=2)


@case("virtio-net/fds-opened-outside", needs=TUN)
def given_fds(t):
    import fcntl
    import os
    from netlib import TUNSETIFF
    fds = []
    for _ in range(2):
        fd = os.open("/dev/net/tun", os.O_RDWR)
        fcntl.ioctl(fd, TUNSETIFF, struct.pack("16sh22x", b"t0", 0x2 | 0x1000 | 0x4000 | 0x100))
        os.set_inheritable(fd, True)
        fds.append(fd)
    vm = t.vm("-netdev", f"tap,id=n0,fds={fds[0]}:{fds[1]}", "-device",
              f"virtio-net-pci,netdev=n0,mq=on,mac={MAC_TEXT}", pass_fds=fds)
    nic, host = Nic(Modern(find_virtio(vm)[0])), Host("t0")
    nic.start(MQ, pairs=2)
    nic.set_pairs(2)
    for pair in range(2):
        exchange(nic, host, pair, b"fds")


# ---- threads ----

def check_threads(vm, nic, host, owners):
    """OWNERS: name of the thread of each pair. Frames of a pair wake it and no other."""
    names = {name: tid for tid, name in vm.thread_names().items()}
    for name in owners:
        check(name in names, f"no thread {name} among {sorted(names)}")
    for pair, name in enumerate(owners):
        exchange(nic, host, pair, b"warm")
    for pair, name in enumerate(owners):
        before = {n: vm.thread_runs(names[n]) for n in owners}
        for _ in range(20):
            exchange(nic, host, pair, b"thread")
        ran = {n: vm.thread_runs(names[n]) - before[n] for n in before}
        check(ran[name] >= 10, f"thread {name} ran {ran[name]} times for 40 frames of pair {pair}")
        for other in set(owners) - {name}:
            check(ran[other] <= 3, f"thread {other} ran {ran[other]} times for frames of pair {pair}")


def mapped(t, threads, option, value, queues=4, text=False):
    objects = [x for i in threads for x in ("-object", f"iothread,id={i},poll-max-ns=0")]
    device = {"driver": "virtio-net-pci", "netdev": "n0", "mq": True, "mac": MAC_TEXT}
    if text:
        device = ",".join(["virtio-net-pci,netdev=n0,mq=on", f"mac={MAC_TEXT}", value])
    else:
        device = json.dumps({**device, option: value})
    vm = t.vm(*objects, "-netdev", f"tap,id=n0,ifname=t0,script=no,downscript=no,queues={queues}", "-device", device)
    nic, host = Nic(Modern(find_virtio(vm)[0])), Host("t0")
    nic.start(MQ, pairs=queues)
    nic.set_pairs(queues)
    return vm, nic, host


@case("virtio-net/threads/queue-mapping", needs=TUN)
def queue_mapping(t):
    owners = ["ioA", "ioB", "ioA", "ioC"]
    vm, nic, host = mapped(t, ("ioA", "ioB", "ioC"), "queue-mapping",
                           [{"pair": i, "backend": "iothread", "iothread": o} for i, o in enumerate(owners)])
    check_threads(vm, nic, host, ["IO " + o for o in owners])


@case("virtio-net/threads/iothread-vq-mapping", needs=TUN)
def vq_mapping(t):
    vm, nic, host = mapped(t, ("ioA", "ioB"), "iothread-vq-mapping",
                           [{"iothread": "ioA", "vqs": [0, 1, 6, 7]}, {"iothread": "ioB", "vqs": [2, 3, 4, 5]}])
    check_threads(vm, nic, host, ["IO ioA", "IO ioB", "IO ioB", "IO ioA"])


@case("virtio-net/threads/iothread-vq-mapping-round-robin-as-option-text", needs=TUN)
def vq_mapping_text(t):
    vm, nic, host = mapped(t, ("ioA", "ioB"), None,
                           "iothread-vq-mapping.0.iothread=ioA,iothread-vq-mapping.1.iothread=ioB", text=True)
    check_threads(vm, nic, host, ["IO ioA", "IO ioB", "IO ioA", "IO ioB"])


@case("virtio-net/threads/main-loop-moves-no-frames-by-default", needs=TUN)
def own_threads(t):
    vm, nic, host = mq_nic(t, queues=2)
    nic.start(MQ, pairs=2)
    nic.set_pairs(2)
    names = [n for n in vm.thread_names().values() if n.startswith("IO ")]
    check(names, f"no iothread of the device among {sorted(vm.thread_names().values())}")
    main = vm.process.pid
    base = nic.vm.alloc(2048)
    ring = nic.tx[0]
    vm.ram[base:base + 72] = bytes(12) + raw_frame(HOST_MAC, MAC, size=60)
    before = vm.thread_runs(main)
    for _ in range(200):
        host.send(udp_frame(MAC, HOST_MAC, 2000, 1000, b"x"))
    wait_for(lambda: sum(nic.rx[p].used_idx for p in nic.rx) >= 32, "frames")
    check(vm.thread_runs(main) - before < 40, "the main loop ran for received frames")
