# SPDX-License-Identifier: GPL-2.0-or-later
"""virtio-net on a tap: interfaces, negotiation, configuration, frames, interrupts."""

import struct
import time

from netlib import (GSO_NONE, GSO_TCPV4, GSO_UDP_L4, HOST_MAC, NEEDS_CSUM, TCP_AT, TCP_PAYLOAD_AT, Host, net_hdr,
                    raw_frame, tcp_frame)
from qtestlib import QUIET_S, SCALE, case, check, eq, wait_for
from virtiolib import (ACKNOWLEDGE, BASIC, CTRL, DRIVER, DRIVER_OK, F_ANY_LAYOUT, F_CSUM, F_CTRL_VQ, F_EVENT_IDX,
                       F_GSO, F_GUEST_CSUM, F_GUEST_TSO4, F_HOST_TSO4, F_INDIRECT, F_MAC, F_MRG_RXBUF, F_MTU,
                       F_NOTIFY_ON_EMPTY, F_RING_RESET, F_SPEED_DUPLEX, F_STATUS, F_VERSION_1, FAILED, MAC,
                       NEEDS_RESET, NO_VECTOR, Legacy, Modern, Nic, bits, find_virtio, tap_args)

TUN = ("root", "tun")


def one_nic(t, nic="virtio-net-pci", nic_opts="", tap_opts="", vnet_hdr=False, mtu=None, **kw):
    vm = t.vm(*tap_args(nic=nic, nic_opts=nic_opts, tap_opts=tap_opts), **kw)
    return vm, find_virtio(vm)[0], Host("t0", mtu, vnet_hdr)


def modern(t, **kw):
    vm, pci, host = one_nic(t, **kw)
    return vm, Nic(Modern(pci)), host


# ---- the three faces ----

@case("virtio-net/4.1.2/ids-of-the-three-types", needs=TUN)
def ids(t):
    for nic, device, subsystem, legacy, revision in (("virtio-net-pci", 0x1000, 1, True, 0),
                                                     ("virtio-net-pci-transitional", 0x1000, 1, True, 0),
                                                     ("virtio-net-pci-non-transitional", 0x1041, None, False, 1),
                                                     ("virtio-net-pci,disable-legacy=on", 0x1041, None, False, 1)):
        name = f"t{len(t.vms)}"
        vm = t.vm(*tap_args(name, nic=nic))
        pci = find_virtio(vm)[0]
        eq(pci.ids, (0x1af4, device), f"{nic}: ids")
        eq(pci.read(0x08, 1) >= 1, revision == 1, f"{nic}: revision")
        eq(pci.read(0x0a, 2), 0x0200, f"{nic}: class")
        if subsystem is not None:
            eq(pci.read(0x2e, 2), subsystem, f"{nic}: subsystem id")
        else:
            check(pci.read(0x2e, 2) >= 0x40, f"{nic}: subsystem id below 0x40")
        eq(0 in pci.bars, legacy, f"{nic}: has a port BAR")
        Modern(pci)


@case("virtio-net/frames/modern", needs=TUN)
def frames_modern(t):
    _, nic, host = modern(t)
    nic.start()
    nic.both_ways(host, n=6)


@case("virtio-net/frames/non-transitional", needs=TUN)
def frames_non_transitional(t):
    _, nic, host = modern(t, nic="virtio-net-pci-non-transitional")
    nic.start()
    nic.both_ways(host, n=6)


def legacy_frames(t, nic_type, features, msix):
    vm, pci, host = one_nic(t, nic=nic_type)
    if msix:
        pci.msix_setup()
    transport = Legacy(pci)
    transport.msix = msix
    nic = Nic(transport)
    check(transport.offered() & features == features, "features are not offered")
    nic.start(features, vectors=msix)
    nic.both_ways(host, n=6)
    if msix:
        pci.msix_wait(1)
        pci.msix_wait(2)
    nic.both_ways(host)
    eq(nic.mac(), MAC, "MAC address in the legacy configuration")


@case("virtio-net/4.1.4.10/legacy-frames", needs=TUN)
def frames_legacy(t):
    legacy_frames(t, "virtio-net-pci", bits(F_MAC, F_STATUS, F_ANY_LAYOUT), False)


@case("virtio-net/4.1.4.10/legacy-frames-mergeable-msix", needs=TUN)
def frames_legacy_msix(t):
    legacy_frames(t, "virtio-net-pci-transitional", bits(F_MAC, F_STATUS, F_MRG_RXBUF, F_NOTIFY_ON_EMPTY), True)


@case("virtio-net/5.1.4.2/legacy-driver-writes-mac", needs=TUN)
def legacy_mac(t):
    _, pci, host = one_nic(t)
    nic = Nic(Legacy(pci))
    nic.start(bits(F_MAC, F_STATUS))
    new = bytes.fromhex("525400aabbcc")
    for i, byte in enumerate(new):
        nic.t.set(20 + i, 1, byte)
    eq(nic.mac(), new, "MAC address after the write")
    nic.both_ways(host, mac=new)
    nic.t.reset()
    eq(nic.mac(), MAC, "MAC address after reset")


@case("virtio-net/4.1.4.10/legacy-and-modern-alternate", needs=TUN)
def alternate(t):
    _, pci, host = one_nic(t)
    for _ in range(3):
        Nic(Legacy(pci)).start(bits(F_MAC)).both_ways(host)
        Nic(Modern(pci)).start().both_ways(host)


# ---- negotiation ----

@case("virtio-net/2.1/status-bits-stay-until-reset", needs=TUN)
def status_bits(t):
    _, nic, _ = modern(t)
    m = nic.t
    m.reset()
    eq(m.status, 0, "status after reset")
    m.status = ACKNOWLEDGE
    m.status = DRIVER
    eq(m.status, ACKNOWLEDGE | DRIVER, "a bit once set stays")
    m.status = NEEDS_RESET | ACKNOWLEDGE
    eq(m.status, ACKNOWLEDGE | DRIVER, "the driver cannot set NEEDS_RESET")
    m.status = FAILED | DRIVER
    check(m.status & FAILED, "FAILED is kept")
    m.reset()
    eq(m.status, 0, "status after reset")


@case("virtio-net/2.2.2/features-not-offered-are-refused", needs=TUN)
def not_offered(t):
    _, nic, _ = modern(t)
    offered = nic.t.offered()
    for bit in list(range(64)):
        if not offered >> bit & 1:
            check(not nic.t.negotiate(BASIC | bits(bit)), f"feature {bit}, not offered, was accepted")


@case("virtio-net/6.1/version-1-is-offered-and-required", needs=TUN)
def version_1(t):
    _, nic, _ = modern(t)
    offered = nic.t.offered()
    for bit in (F_VERSION_1, F_RING_RESET, F_MRG_RXBUF, F_INDIRECT, F_EVENT_IDX, F_CTRL_VQ):
        check(offered >> bit & 1, f"feature {bit} is not offered")
    for bit in (F_NOTIFY_ON_EMPTY, F_ANY_LAYOUT, F_GSO):
        check(not offered >> bit & 1, f"legacy feature {bit} is offered to a modern driver")
    check(not nic.t.negotiate(BASIC & ~bits(F_VERSION_1)), "FEATURES_OK without VERSION_1")
    check(nic.t.negotiate(offered), "everything offered is refused")


@case("virtio-net/5.1.3.1/feature-dependencies", needs=TUN)
def dependencies(t):
    _, nic, _ = modern(t)
    for wrong in (bits(F_GUEST_TSO4), bits(F_HOST_TSO4), CTRL & ~bits(F_CTRL_VQ)):
        check(not nic.t.negotiate(BASIC | wrong), f"features {wrong:#x} without what they need were accepted")
    check(nic.t.negotiate(BASIC | bits(F_GUEST_TSO4, F_GUEST_CSUM, F_HOST_TSO4, F_CSUM)), "right ones were refused")


@case("virtio-net/3.1.1/features-are-fixed-after-features-ok", needs=TUN)
def features_late(t):
    _, nic, host = modern(t)
    nic.start()
    nic.t.accept(BASIC & ~bits(F_MRG_RXBUF))
    nic.both_ways(host)


@case("virtio-net/3.1.1/driver-ok-without-features-ok", needs=TUN)
def no_features_ok(t):
    _, nic, host = modern(t)
    nic.t.reset()
    nic.t.status = ACKNOWLEDGE | DRIVER
    nic.t.accept(BASIC)
    nic.t.status = ACKNOWLEDGE | DRIVER | DRIVER_OK
    wait_for(lambda: nic.t.status & NEEDS_RESET or not nic.t.status & DRIVER_OK, "a refusal")
    nic.start().both_ways(host)


@case("virtio-net/2.1.1/nothing-moves-before-driver-ok", needs=TUN)
def before_driver_ok(t):
    _, nic, host = modern(t)
    nic.start(driver_ok=False)
    frame = raw_frame(HOST_MAC, MAC, b"early", size=60)
    nic.send(0, frame, wait=False)
    time.sleep(QUIET_S * SCALE)
    eq(nic.tx[0].used_idx, 0, "used index of the transmit queue")
    eq(host.recv(0), None, "a frame on the host")
    nic.t.add_status(DRIVER_OK)
    nic.tx[0].wait("the frame that was queued before")
    host.expect(frame, "the frame that was queued before")
    nic.both_ways(host)


# ---- configuration space ----

@case("virtio-net/5.1.4/mac-status-mtu-speed-duplex", needs=TUN)
def config_space(t):
    _, nic, host = modern(t, nic_opts=",host_mtu=1400,speed=25000,duplex=full")
    offered = nic.t.offered()
    for bit in (F_MAC, F_STATUS, F_MTU, F_SPEED_DUPLEX):
        check(offered >> bit & 1, f"feature {bit} is not offered")
    nic.start(BASIC | bits(F_MTU, F_SPEED_DUPLEX))
    eq(nic.mac(), MAC, "mac")
    eq(nic.status_field(), 1, "status: link up")
    eq(nic.max_pairs(), 1, "max_virtqueue_pairs")
    eq(nic.t.config(10, 2), 1400, "mtu")
    eq(nic.t.config(12, 4), 25000, "speed")
    eq(nic.t.config(16, 1), 1, "duplex")
    eq(nic.t.config(0x200, 4), 0, "configuration past its end")
    nic.vm.write(nic.t.device, 1, 0xaa)
    eq(nic.mac(), MAC, "mac after a modern driver's write")
    nic.both_ways(host)


@case("virtio-net/5.1.3/mtu-and-speed-are-not-offered-unasked", needs=TUN)
def no_mtu(t):
    _, nic, _ = modern(t)
    eq(nic.t.offered() & bits(F_MTU, F_SPEED_DUPLEX), 0, "MTU and SPEED_DUPLEX")


@case("virtio-net/4.1.4.9/configuration-access-capability", needs=TUN)
def cfg_access(t):
    _, pci, _ = one_nic(t)
    cap = next(at for kind, at in pci.capabilities() if kind == 9 and pci.read(at + 3, 1) == 5)
    m = Modern(pci)
    bar, offset = next((i, m.device - b.addr) for i, b in pci.bars.items() if b.addr <= m.device < b.addr + b.size)

    def window(at, size, value=None):
        pci.write(cap + 4, 1, bar)
        pci.write(cap + 8, 4, at)
        pci.write(cap + 12, 4, size)
        if value is None:
            return pci.read(cap + 16, size)
        pci.write(cap + 16, size, value)
        return None
    eq(bytes(window(offset + i, 1) for i in range(6)), MAC, "mac through the window")
    common = m.common - pci.bars[bar].addr
    window(common + 0x14, 1, ACKNOWLEDGE)
    eq(m.status, ACKNOWLEDGE, "status written through the window")
    for bad_bar, at, size in ((bar, 0xfffffffc, 4), (bar, common + 1, 4), (bar, common, 3), (7, 0, 4), (255, 0, 4),
                              (bar, common, 0), (bar, common, 0xffffffff)):
        pci.write(cap + 4, 1, bad_bar)
        pci.write(cap + 8, 4, at)
        pci.write(cap + 12, 4, size)
        pci.write(cap + 16, 4, 0xffffffff)
        pci.read(cap + 16, 4)
    eq(m.status, ACKNOWLEDGE, "status after bad windows")
    pci.vm.port_out(0xcf9, 1, 6)
    wait_for(lambda: not pci.read(4, 2), "the machine's reset")
    eq([pci.read(cap + at, 4) for at in (4, 8, 12, 16)], [0] * 4, "the window after the machine's reset")


# ---- frames in all shapes ----

@case("virtio-net/5.1.6.4/mergeable-gso-frame-from-tap", needs=TUN)
def rx_gso(t):
    _, nic, host = modern(t, vnet_hdr=True)
    nic.start(BASIC | bits(F_GUEST_CSUM, F_GUEST_TSO4), posted=64, rx_size=1526)
    for length in (1448 * 3, 60000, 65000):
        payload = bytes(i * 31 & 0xff for i in range(length))
        frame = tcp_frame(MAC, HOST_MAC, payload)
        host.send(frame, net_hdr(NEEDS_CSUM, GSO_TCPV4, TCP_PAYLOAD_AT, 1448, TCP_AT, 16))
        hdr, got = nic.recv(0)
        flags, gso, _, size, start, offset, n = struct.unpack("<BBHHHHH", hdr)
        eq(got, frame, f"GSO frame of {len(frame)} bytes")
        eq((flags, gso, size, start, offset), (NEEDS_CSUM, GSO_TCPV4, 1448, TCP_AT, 16), "header")
        eq(n, -(-(len(frame) + 12) // 1526), "num_buffers")
    nic.both_ways(host)


@case("virtio-net/5.1.6.3.1/gso-frame-in-one-big-chain", needs=TUN)
def rx_big(t):
    _, nic, host = modern(t, vnet_hdr=True)
    nic.start((BASIC & ~bits(F_MRG_RXBUF)) | bits(F_GUEST_CSUM, F_GUEST_TSO4), posted=6, rx_size=65562)
    payload = bytes(i * 13 & 0xff for i in range(50000))
    frame = tcp_frame(MAC, HOST_MAC, payload)
    host.send(frame, net_hdr(NEEDS_CSUM, GSO_TCPV4, TCP_PAYLOAD_AT, 1448, TCP_AT, 16))
    hdr, got = nic.recv(0)
    eq(got, frame, "GSO frame")
    eq(struct.unpack_from("<H", hdr, 10)[0], 1, "num_buffers")


@case("virtio-net/5.1.6.4/frame-waits-for-buffers", needs=TUN)
def rx_starved(t):
    _, nic, host = modern(t)
    nic.start(posted=0)
    frames = [raw_frame(MAC, HOST_MAC, b"w%d" % i, size=900 + i) for i in range(20)]
    for f in frames:
        host.send(f)
    time.sleep(QUIET_S * SCALE)
    nic.post(0, 32, 200)  # a frame takes several buffers now
    for f in frames:
        nic.expect(0, f, "a frame that waited")
    nic.both_ways(host)


@case("virtio-net/5.1.6.4/frame-longer-than-buffer-is-dropped", needs=TUN)
def rx_too_long(t):
    _, nic, host = modern(t)
    nic.start(BASIC & ~bits(F_MRG_RXBUF), posted=8, rx_size=256)
    host.send(raw_frame(MAC, HOST_MAC, b"long", size=1000))
    small = raw_frame(MAC, HOST_MAC, b"small", size=100)
    host.send(small)
    nic.expect(0, small, "the frame after one that is too long")
    check(nic.healthy(), "NEEDS_RESET after a long frame")


@case("virtio-net/5.1.6.2/tx-gso-and-checksum-headers", needs=TUN)
def tx_offloads(t):
    _, nic, host = modern(t, vnet_hdr=True)
    nic.start(BASIC | bits(F_CSUM, F_HOST_TSO4))
    frame = tcp_frame(HOST_MAC, MAC, bytes(i & 0xff for i in range(30000)), from_guest=True)
    nic.send(0, frame, net_hdr(NEEDS_CSUM, GSO_TCPV4, TCP_PAYLOAD_AT, 1400, TCP_AT, 16), pieces=9)
    hdr, got = host.recv()
    eq(got, frame, "GSO frame on the host")
    eq(struct.unpack("<BBHHHH", hdr)[:2], (NEEDS_CSUM, GSO_TCPV4), "flags and type on the host")
    eq(struct.unpack("<BBHHHH", hdr)[3:], (1400, TCP_AT, 16), "size and checksum fields on the host")
    frame = tcp_frame(HOST_MAC, MAC, b"x" * 100, from_guest=True)
    nic.send(0, frame, net_hdr(NEEDS_CSUM, GSO_NONE, 0, 0, TCP_AT, 16))
    hdr, got = host.recv()
    eq((got, hdr[0]), (frame, NEEDS_CSUM), "frame with a partial checksum")


@case("virtio-net/5.1.6.2/tx-bad-headers-are-dropped", needs=TUN)
def tx_bad_headers(t):
    _, nic, host = modern(t, vnet_hdr=True)
    nic.start(BASIC | bits(F_CSUM, F_HOST_TSO4))
    frame = tcp_frame(HOST_MAC, MAC, b"y" * 3000, from_guest=True)
    bad = [net_hdr(NEEDS_CSUM, 2, 54, 1400, TCP_AT, 16), net_hdr(NEEDS_CSUM, 0x7f, 54, 1400, TCP_AT, 16),
           net_hdr(NEEDS_CSUM, GSO_UDP_L4, 54, 1400, TCP_AT, 16), net_hdr(NEEDS_CSUM, GSO_TCPV4, 54, 0, TCP_AT, 16),
           net_hdr(0, GSO_TCPV4, 54, 1400, TCP_AT, 16), net_hdr(NEEDS_CSUM, 0, 0, 0, 65535, 65535),
           net_hdr(NEEDS_CSUM, 0, 0, 0, len(frame) - 1, 0), net_hdr(NEEDS_CSUM, GSO_TCPV4 | 0x80, 54, 1400, TCP_AT, 16)]
    for hdr in bad:
        nic.send(0, frame, hdr)
        check(host.recv(0.01) is None, f"frame with header {hdr.hex()} reached the host")
    for size in (0, 1, 13):
        nic.send(0, bytes(size))
    nic.both_ways(host)
    check(nic.healthy(), "NEEDS_RESET after frames with bad headers")


@case("virtio-net/5.1.6.2/tx-offloads-not-negotiated", needs=TUN)
def tx_not_negotiated(t):
    _, nic, host = modern(t, vnet_hdr=True)
    nic.start()
    frame = tcp_frame(HOST_MAC, MAC, b"z" * 3000, from_guest=True)
    nic.send(0, frame, net_hdr(NEEDS_CSUM, GSO_TCPV4, 54, 1400, TCP_AT, 16))
    nic.send(0, frame[:1000], net_hdr(NEEDS_CSUM, 0, 0, 0, TCP_AT, 16))
    check(host.recv(0.03) is None, "a frame with an offload that was not negotiated reached the host")
    nic.both_ways(host)


@case("virtio-net/5.1.6.2/tx-longest-frame", needs=TUN)
def tx_longest(t):
    _, nic, host = modern(t, vnet_hdr=True)
    nic.start(BASIC | bits(F_CSUM, F_HOST_TSO4))
    frame = tcp_frame(HOST_MAC, MAC, bytes(65535 - 40), from_guest=True)
    nic.send(0, frame, net_hdr(NEEDS_CSUM, GSO_TCPV4, TCP_PAYLOAD_AT, 1400, TCP_AT, 16), pieces=17)
    hdr, got = host.recv()
    eq(len(got), len(frame), "length on the host")
    nic.send(0, bytes(100000))
    nic.both_ways(host)


@case("virtio-net/2.7.4/tx-chain-as-long-as-the-ring", needs=TUN)
def tx_longest_chain(t):
    _, nic, host = modern(t, nic_opts=",tx_queue_size=1024,rx_queue_size=1024")
    nic.start()
    eq((nic.rx[0].size, nic.tx[0].size), (1024, 1024), "queue sizes")
    for pieces in (1023, 700):
        frame = raw_frame(HOST_MAC, MAC, b"c", size=1500 if pieces < 1000 else 1023)
        nic.send(0, frame, pieces=pieces)
        host.expect(frame, f"frame in {pieces} pieces")
    ring, n = nic.tx[0], 1024  # no buffer ends where the header does
    frame = raw_frame(HOST_MAC, MAC, b"d", size=n)
    base = nic.tx_buf
    nic.vm.ram[base:base + 12 + n] = bytes(12) + frame
    parts = [(base, 13)] + [(base + 13 + i, 1) for i in range(n - 1)]
    ring.push(ring.add(out=parts))
    ring.wait()
    host.expect(frame, "frame in 1024 pieces of which the first has the header")
    check(nic.healthy(), "NEEDS_RESET")


@case("virtio-net/2.7.5.3/indirect-descriptors", needs=TUN)
def indirect(t):
    _, nic, host = modern(t)
    nic.start(BASIC | bits(F_INDIRECT))
    for i in range(6):
        frame = raw_frame(HOST_MAC, MAC, b"i%d" % i, size=1400)
        nic.send(0, frame, pieces=1 + 40 * i, indirect=True)
        host.expect(frame, "frame by an indirect table")
    ring = nic.rx[0]
    base = nic.vm.alloc(8192)
    nic.start(BASIC | bits(F_INDIRECT), posted=0)
    ring = nic.rx[0]
    parts = [(base + 300 * i, 300) for i in range(8)]
    ring.push(ring.add(into=parts, tag=(base, 2400), indirect=True))
    frame = raw_frame(MAC, HOST_MAC, b"in", size=1400)
    host.send(frame)
    _, written, _ = ring.wait()
    eq(written, 1412, "written bytes")
    eq(bytes(nic.vm.ram[base + 12:base + 1412]), frame, "frame by an indirect table")


@case("virtio-net/2.7.6/ring-indices-wrap", needs=TUN)
def wrap(t):
    _, nic, host = modern(t)
    nic.start(BASIC | bits(F_EVENT_IDX), posted=8)
    base = nic.vm.alloc(4096)
    frame = raw_frame(HOST_MAC, MAC, b"wrap", size=60)
    nic.vm.ram[base:base + 72] = bytes(12) + frame
    ring, batch, sent = nic.tx[0], 256, 0
    seen = 0
    while sent < 66000:
        for _ in range(batch):
            ring.offer(ring.add(out=[(base, 72)]))
        ring.publish()
        ring.kick()
        sent += batch
        wait_for(lambda: ring.used_idx == ring.avail_idx, "a full ring")
        while ring.take():
            pass
        while host.recv(0):
            seen += 1
    check(seen > 0, "no frame on the host")
    host.drain()
    nic.both_ways(host)


@case("virtio-net/5.1.6/tap-without-vnet-header", needs=TUN)
def no_vnet_hdr(t):
    _, nic, host = modern(t, tap_opts=",vnet_hdr=off")
    eq(nic.t.offered() & bits(F_CSUM, F_GUEST_CSUM, F_HOST_TSO4, F_GUEST_TSO4), 0, "offloads offered without them")
    nic.start().both_ways(host, n=6)


# ---- interrupts and kicks ----

@case("virtio-net/4.1.4.5/intx-with-vectors-0", needs=TUN)
def intx(t):
    vm, pci, host = one_nic(t, nic_opts=",vectors=0")
    check(pci.msix_cap() is None, "vectors=0 has an MSI-X capability")
    eq(pci.read(0x3d, 1), 1, "interrupt pin")
    # route all PIRQs of the PIIX3 to interrupt 11
    from qtestlib import PciDevice
    piix3 = PciDevice(vm, 1)
    for i in range(4):
        piix3.write(0x60 + i, 1, 11)
    vm.intercept_irqs()
    nic = Nic(Modern(pci))
    nic.start()
    frame = raw_frame(HOST_MAC, MAC, b"intx", size=60)
    for _ in range(3):
        nic.send(0, frame)
        wait_for(lambda: vm.irq_level(11), "interrupt 11")
        check(pci.read(6, 2) & 8, "interrupt status in the PCI status register")
        eq(nic.t.read_isr() & 1, 1, "ISR: queue")
        wait_for(lambda: not vm.irq_level(11), "interrupt 11 to fall")
        eq(nic.t.read_isr(), 0, "ISR after it was read")
    pci.write(4, 2, 0x407)  # interrupt disable
    nic.send(0, frame)
    time.sleep(QUIET_S * SCALE)
    check(not vm.irq_level(11), "interrupt although disabled in the command register")
    pci.write(4, 2, 7)
    wait_for(lambda: vm.irq_level(11), "interrupt 11 when enabled again")
    nic.t.reset()
    wait_for(lambda: not vm.irq_level(11), "interrupt 11 to fall at reset")


@case("virtio-net/4.1.5.1.2/msix-vectors-of-queues", needs=TUN)
def msix(t):
    _, pci, host = one_nic(t)
    pci.msix_setup()
    nic = Nic(Modern(pci))
    nic.start(vectors=True)
    pci.msix_clear()
    nic.send(0, raw_frame(HOST_MAC, MAC, size=60))
    pci.msix_wait(2, "transmit interrupt")
    pci.msix_quiet(1, "nothing was received")
    host.send(raw_frame(MAC, size=60))
    pci.msix_wait(1, "receive interrupt")
    eq(nic.t.set_config_vector(pci.n_vectors), NO_VECTOR, "a configuration vector that does not exist")
    eq(nic.t.set_vector(0, pci.n_vectors), NO_VECTOR, "a queue vector that does not exist")


@case("virtio-net/4.1.5.1.2/few-vectors-are-shared", needs=TUN)
def few_vectors(t):
    _, pci, host = one_nic(t, nic_opts=",vectors=2")
    pci.msix_setup()
    eq(pci.n_vectors, 2, "vectors")
    nic = Nic(Modern(pci))
    nic.start(vectors=True, shared_vector=True)
    nic.send(0, raw_frame(HOST_MAC, MAC, size=60))
    pci.msix_wait(1, "shared transmit interrupt")
    host.send(raw_frame(MAC, size=60))
    pci.msix_wait(1, "shared receive interrupt")


@case("virtio-net/pci-6.8.2/msix-mask-and-pending", needs=TUN)
def msix_mask(t):
    _, pci, host = one_nic(t)
    pci.msix_setup()
    nic = Nic(Modern(pci))
    nic.start(vectors=True)
    for mask, unmask in ((lambda: pci.msix_mask(2, True), lambda: pci.msix_mask(2, False)),
                         (lambda: pci.msix_enable(True, True), lambda: pci.msix_enable(True))):
        mask()
        pci.msix_clear()
        nic.send(0, raw_frame(HOST_MAC, MAC, size=60))
        wait_for(lambda: pci.msix_pending(2), "the pending bit")
        pci.msix_quiet(2, "masked")
        unmask()
        pci.msix_wait(2, "interrupt when unmasked")
        check(not pci.msix_pending(2), "pending bit after the interrupt")
        pci.msix_quiet(2, "nothing happened")


@case("virtio-net/4.1.5.1.2/vector-and-message-change-while-running", needs=TUN)
def vector_change(t):
    vm, pci, host = one_nic(t)
    pci.msix_setup()
    nic = Nic(Modern(pci))
    nic.start(vectors=True)

    def sends(vector):
        pci.msix_clear()
        nic.send(0, raw_frame(HOST_MAC, MAC, size=60))
        pci.msix_wait(vector, "transmit interrupt")
    sends(2)
    eq(nic.t.set_vector(1, 0), 0, "vector of queue 1")
    sends(0)
    eq(nic.t.set_vector(1, NO_VECTOR), NO_VECTOR, "vector of queue 1")
    pci.msix_clear()
    nic.send(0, raw_frame(HOST_MAC, MAC, size=60))
    for v in range(3):
        pci.msix_quiet(v, "the queue has no vector")
    eq(nic.t.set_vector(1, 2), 2, "vector of queue 1")
    sends(2)
    word = vm.alloc(4)
    pci.msix_entry(2, word, 0x1234, masked=False)
    nic.send(0, raw_frame(HOST_MAC, MAC, size=60))
    wait_for(lambda: vm.m32[word // 4] == 0x1234, "the changed message")
    pci.msix_enable(False)
    pci.msix_enable(True)
    vm.m32[word // 4] = 0
    nic.send(0, raw_frame(HOST_MAC, MAC, size=60))
    wait_for(lambda: vm.m32[word // 4] == 0x1234, "interrupt after MSI-X was off and on")


@case("virtio-net/2.7.7/interrupt-suppression", needs=TUN)
def suppression(t):
    _, pci, host = one_nic(t)
    pci.msix_setup()
    nic = Nic(Modern(pci))
    frame = raw_frame(HOST_MAC, MAC, size=60)
    nic.start(vectors=True)
    nic.send(0, frame)
    pci.msix_wait(2)
    nic.tx[0].suppress_interrupts(True)
    nic.send(0, frame)
    pci.msix_quiet(2, "NO_INTERRUPT is set")
    nic.tx[0].suppress_interrupts(False)
    nic.send(0, frame)
    pci.msix_wait(2)
    nic.start(BASIC | bits(F_EVENT_IDX), vectors=True)
    nic.send(0, frame)
    pci.msix_wait(2)
    nic.tx[0].set_used_event(nic.tx[0].seen + 2)
    nic.send(0, frame)
    nic.send(0, frame)
    pci.msix_quiet(2, "used_event is ahead")
    nic.send(0, frame)
    pci.msix_wait(2, "interrupt at used_event")


@case("virtio-net/2.7.10/kick-suppression", needs=TUN)
def kick_suppression(t):
    _, nic, host = modern(t)
    nic.start(BASIC | bits(F_EVENT_IDX))
    for _ in range(3):
        nic.both_ways(host)
        wait_for(lambda: nic.tx[0].avail_event == nic.tx[0].avail_idx, "avail_event that asks for the next kick")


@case("virtio-net/2.9/ioeventfd-off", needs=TUN)
def ioeventfd_off(t):
    _, nic, host = modern(t, nic_opts=",ioeventfd=off")
    nic.start().both_ways(host, n=6)


@case("virtio-net/4.1.4.4/page-per-vq-and-port-doorbell", needs=TUN)
def doorbells(t):
    vm, pci, host = one_nic(t, nic_opts=",page-per-vq=on,modern-pio-notify=on")
    m = Modern(pci)
    caps = [at for kind, at in pci.capabilities() if kind == 9 and pci.read(at + 3, 1) == 2]
    eq(len(caps), 2, "notification capabilities")
    nic = Nic(m).start()
    for at in caps:
        bar, step = pci.bars[pci.read(at + 4, 1)], pci.read(at + 16, 4)
        if bar.port:
            m.notify = lambda q, a=bar.addr: vm.port_out(a, 2, q)
        else:
            eq(step, 4096, "doorbell distance with page-per-vq")
            m.notify = lambda q, a=bar.addr + pci.read(at + 8, 4): vm.write(a + 4096 * q, 2, q)
        nic.both_ways(host)


@case("virtio-net/pci/bus-master-off-stops-dma", needs=TUN)
def bus_master(t):
    _, nic, host = modern(t)
    nic.start()
    nic.both_ways(host)
    nic.pci.write(4, 2, 3)
    frame = raw_frame(HOST_MAC, MAC, b"off", size=60)
    nic.send(0, frame, wait=False)
    time.sleep(QUIET_S * SCALE)
    eq(host.recv(0), None, "a frame without bus mastering")
    nic.pci.write(4, 2, 7)
    nic.tx[0].kick()
    nic.tx[0].wait()
    host.expect(frame, "the frame when bus mastering is on again")
    nic.both_ways(host)


@case("virtio-net/pci/bar-moves-while-running", needs=TUN)
def bar_move(t):
    vm, pci, host = one_nic(t)
    nic = Nic(Modern(pci)).start()
    nic.both_ways(host)
    index = next(i for i, b in pci.bars.items() if b.wide)
    old = pci.bars[index].addr
    for new in (0xf0000000, 0x800000000):
        delta = new - pci.bars[index].addr
        pci.place_bar(index, new)
        m = nic.t
        m.common, m.isr, m.device, m.notify_at = (a + delta for a in (m.common, m.isr, m.device, m.notify_at))
        eq(vm.read(old, 4), 0xffffffff, "the old place")
        eq(m.status, 15, "status at the new place")
        nic.both_ways(host)


# ---- reset ----

@case("virtio-net/2.4/reset-in-the-middle-of-traffic", needs=TUN)
def reset_in_traffic(t):
    _, pci, host = one_nic(t)
    pci.msix_setup()
    nic = Nic(Modern(pci))
    for round_ in range(12):
        nic.start(BASIC | (bits(F_EVENT_IDX) if round_ % 2 else 0), vectors=True, posted=16)
        for i in range(16):
            host.send(raw_frame(MAC, HOST_MAC, b"r%d" % i, size=200))
            nic.send(0, raw_frame(HOST_MAC, MAC, b"s%d" % i, size=200), wait=False)
        nic.t.reset()
        eq(nic.t.status, 0, "status after reset")
        used = nic.rx[0].used_idx, nic.tx[0].used_idx
        marks = bytes(nic.vm.ram[nic.rx[0].used:nic.rx[0].used + 64])
        host.send(raw_frame(MAC, HOST_MAC, b"after", size=200))
        time.sleep(0.003)
        eq((nic.rx[0].used_idx, nic.tx[0].used_idx), used, "used indices after reset")
        eq(bytes(nic.vm.ram[nic.rx[0].used:nic.rx[0].used + 64]), marks, "used ring after reset")
    nic.start(vectors=True)
    end = raw_frame(MAC, HOST_MAC, b"end", size=99)
    host.send(end)
    wait_for(lambda: nic.recv(0)[1] == end, "the last frame")
    host.drain()
    nic.both_ways(host)


@case("virtio-net/2.4/reset-restores-registers", needs=TUN)
def reset_registers(t):
    _, pci, _ = one_nic(t)
    pci.msix_setup()
    m = Modern(pci)
    nic = Nic(m)
    nic.start(vectors=True)
    m.reset()
    eq(m.get(0x10, 2), NO_VECTOR, "config_msix_vector")
    for q in range(2):
        m.select(q)
        eq(m.get(0x18, 2), 256, "queue_size")
        eq(m.get(0x1a, 2), NO_VECTOR, "queue_msix_vector")
        eq(m.get(0x1c, 2), 0, "queue_enable")
        eq([m.get(o, 4) for o in range(0x20, 0x38, 4)], [0] * 6, "queue addresses")
    eq(m.get(0x0c, 4), 0, "driver_feature")
    m.select(9)
    eq(m.get(0x18, 2), 0, "size of a queue that does not exist")
