# SPDX-License-Identifier: GPL-2.0-or-later
"""What lasts: a tap that goes away, resources over many cycles, the end."""

import time

from netlib import BROADCAST, HOST_MAC, Host, delete_link, raw_frame
from qtestlib import case, check, eq, wait_for
from virtiolib import (BASIC, CTRL, F_MQ, F_RING_RESET, MAC, NEEDS_RESET, Modern, Nic, bits, find_virtio, tap_args)

TUN = ("root", "tun")
OTHER_MAC = bytes.fromhex("525400aaaa02")


def tap_deleted(t, queues):
    vm = t.vm(*tap_args("t0", queues, ident="n0"), *tap_args("t1", ident="n1", mac="52:54:00:aa:aa:02"))
    devices = find_virtio(vm)
    for d in devices:
        d.msix_setup()
    nic, witness = (Nic(Modern(d)) for d in devices)
    host, other = Host("t0"), Host("t1")
    features = BASIC | (CTRL | bits(F_MQ) if queues > 1 else 0)
    nic.start(features, pairs=queues, vectors=True)
    if queues > 1:
        nic.set_pairs(queues)
    witness.start()
    nic.both_ways(host)
    nic.pci.msix_clear()
    delete_link("t0")
    wait_for(lambda: nic.status_field() == 0, "link down")
    nic.pci.msix_wait(0, "configuration interrupt")
    for pair in range(queues):
        nic.send(pair, raw_frame(HOST_MAC, MAC, size=60), wait=False)
    cpu = vm.cpu_seconds()
    time.sleep(0.3)
    check(vm.cpu_seconds() - cpu < 0.1, f"{vm.cpu_seconds() - cpu} s of CPU in 0.3 s")
    witness.both_ways(other, mac=OTHER_MAC)
    for _ in range(2):
        check(not nic.t.status & NEEDS_RESET, "NEEDS_RESET although the driver did nothing wrong")
        nic.t.reset()
        nic.start(features, pairs=queues, vectors=True)
        eq(nic.status_field(), 0, "link after another start")
        if queues > 1:
            nic.set_pairs(queues)
        witness.both_ways(other, mac=OTHER_MAC)


@case("virtio-net/tap-deleted-while-running", needs=TUN)
def tap_gone(t):
    tap_deleted(t, 1)


@case("virtio-net/tap-deleted-while-running-with-4-queues", needs=TUN)
def tap_gone_mq(t):
    tap_deleted(t, 4)


@case("virtio-net/tap-down-and-up", needs=TUN)
def tap_down(t):
    from netlib import IFF_UP, SIOCSIFFLAGS, _control
    import struct
    vm = t.vm(*tap_args())
    nic, host = Nic(Modern(find_virtio(vm)[0])), Host("t0")
    nic.start()
    nic.both_ways(host)
    _control(SIOCSIFFLAGS, struct.pack("16sh22x", b"t0", 0))
    for _ in range(5):
        nic.send(0, raw_frame(HOST_MAC, MAC, size=60))
    cpu = vm.cpu_seconds()
    time.sleep(0.2)
    check(vm.cpu_seconds() - cpu < 0.1, "CPU used while the tap is down")
    _control(SIOCSIFFLAGS, struct.pack("16sh22x", b"t0", IFF_UP))
    host = Host("t0")
    nic.both_ways(host)


@case("virtio-net/idle-device-uses-no-cpu", needs=TUN)
def idle(t):
    vm = t.vm(*tap_args(queues=4))
    nic, host = Nic(Modern(find_virtio(vm)[0])), Host("t0")
    nic.start(BASIC | CTRL | bits(F_MQ), pairs=4)
    nic.set_pairs(4)
    nic.both_ways(host)
    time.sleep(0.05)
    cpu = vm.cpu_seconds()
    time.sleep(0.4)
    check(vm.cpu_seconds() - cpu < 0.05, f"{vm.cpu_seconds() - cpu} s of CPU in 0.4 s")


def leak(t, cycle, warm=2, cycles=20):
    """CYCLE leaves fds, threads and memory as they were."""
    for i in range(warm):
        cycle(i)
    vm = t.vms[0]
    before = vm.fds(), sorted(vm.thread_names().values())
    for i in range(cycles):
        cycle(i)
    eq((vm.fds(), sorted(vm.thread_names().values())), before, f"fds and threads after {cycles} cycles")


@case("virtio-net/no-leak/device-resets", needs=TUN)
def leak_resets(t):
    vm = t.vm(*tap_args(queues=4))
    pci = find_virtio(vm)[0]
    pci.msix_setup()
    nic, host = Nic(Modern(pci)), Host("t0")

    def cycle(i):
        nic.start(BASIC | CTRL | bits(F_MQ), pairs=4, vectors=True)
        nic.set_pairs(1 + i % 4)
        host.drain()
        nic.send(0, raw_frame(HOST_MAC, MAC, size=60))
        host.send(raw_frame(BROADCAST, size=60))
        nic.t.reset()
    leak(t, cycle)


@case("virtio-net/no-leak/pair-counts", needs=TUN)
def leak_pairs(t):
    vm = t.vm(*tap_args(queues=4))
    nic, host = Nic(Modern(find_virtio(vm)[0])), Host("t0")
    nic.start(BASIC | CTRL | bits(F_MQ), pairs=4)

    def cycle(i):
        for n in (4, 2, 3, 1):
            nic.set_pairs(n)
        nic.both_ways(host, n=1)
    leak(t, cycle, warm=3)


@case("virtio-net/no-leak/ring-resets-and-vector-changes", needs=TUN)
def leak_rings(t):
    vm = t.vm(*tap_args())
    pci = find_virtio(vm)[0]
    pci.msix_setup()
    nic = Nic(Modern(pci))
    nic.start(BASIC | bits(F_RING_RESET), vectors=True)

    def cycle(i):
        for q in range(2):
            nic.t.queue_reset(q)
            nic.t.make_ring(q, vector=1 + q)
            nic.t.set_vector(q, 0)
            pci.msix_mask(1 + q, True)
            pci.msix_mask(1 + q, False)
        pci.msix_enable(False)
        pci.msix_enable(True)
    leak(t, cycle)


@case("virtio-net/no-leak/faults", needs=TUN)
def leak_faults(t):
    vm = t.vm(*tap_args())
    nic = Nic(Modern(find_virtio(vm)[0]))

    def cycle(i):
        nic.start(posted=0)
        nic.tx[0].set_desc(0, 1 << 60, 100)
        nic.tx[0].offer(0)
        nic.tx[0].publish()
        nic.tx[0].kick()
        nic.wait_broken("a bad buffer")
    leak(t, cycle)


@case("virtio-net/no-leak/machine-resets", needs=TUN)
def leak_machine(t):
    vm = t.vm(*tap_args(queues=2))
    pci = find_virtio(vm)[0]
    nic = Nic(Modern(pci))

    def cycle(i):
        pci.msix_setup()
        nic.start(BASIC | CTRL | bits(F_MQ), pairs=2, vectors=True)
        nic.set_pairs(2)
        vm.port_out(0xcf9, 1, 6)
        wait_for(lambda: pci.read(4, 2) == 0, "reset")
        for bar in pci.bars.values():
            pci.place_bar(bar.index, bar.addr)
        pci.write(4, 2, 7)
    leak(t, cycle)


@case("virtio-net/sigterm-in-the-middle-of-traffic", needs=TUN)
def sigterm(t):
    for i in range(4):
        vm = t.vm(*tap_args(f"t{i}", 2))
        nic, host = Nic(Modern(find_virtio(vm)[0])), Host(f"t{i}")
        nic.start(BASIC | CTRL | bits(F_MQ), pairs=2)
        nic.set_pairs(2)
        for k in range(30):
            host.send(raw_frame(MAC, payload=b"%d" % k, size=300))
            nic.send(k % 2, raw_frame(HOST_MAC, MAC, size=300), wait=False)
        vm.process.terminate()
        eq(vm.wait_end(), 0, "exit status")
