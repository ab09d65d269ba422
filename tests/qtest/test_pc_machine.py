# SPDX-License-Identifier: GPL-2.0-or-later
"""The `pc` machine without a CPU: chipset, ports, power."""

import calendar
import select
import socket
import struct
import time

from netlib import HOST_MAC, Host, raw_frame
from qtestlib import (MIB, QUIET_S, SCALE, Failure, PciDevice, WAIT_S, case, check, eq, pci_scan, wait_for)
from virtiolib import ACKNOWLEDGE, DRIVER, MAC, Modern, Nic, find_virtio, tap_args

TUN = ("root", "tun")


class Monitor:
    """The human monitor on a Unix socket."""

    def __init__(self, path):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.connect(str(path))
        self.read()

    def read(self):
        """Up to the next prompt."""
        text, end = b"", time.monotonic() + WAIT_S
        while not text.rstrip().endswith(b"(qemu)"):
            if not select.select([self.sock], [], [], max(0, end - time.monotonic()))[0]:
                raise Failure(f"the monitor has no prompt: {text!r}")
            data = self.sock.recv(65536)
            if not data:
                raise Failure("the monitor closed the connection")
            text += data
        return text.decode()

    def command(self, text):
        self.sock.sendall(text.encode() + b"\n")
        return self.read()


def monitor_args(t):
    return "-monitor", f"unix:{t.dir}/mon,server=on,wait=off"


@case("pc/pci/chipset-ids")
def chipset(t):
    vm = t.vm()
    found = {d.devfn: d.ids for d in pci_scan(vm)}
    eq(found, {0: (0x8086, 0x1237), 8: (0x8086, 0x7000), 11: (0x8086, 0x7113)}, "functions")
    for devfn, cls in ((0, 0x0600), (8, 0x0601), (11, 0x0680)):
        d = PciDevice(vm, devfn >> 3, devfn & 7)
        eq(d.read(0x0a, 2), cls, f"class of {devfn}")
        eq((d.read(0x2c, 2), d.read(0x2e, 2)), (0x1af4, 0x1100), f"subsystem of {devfn}")


@case("pc/pci/configuration-ports")
def config_ports(t):
    vm = t.vm()
    vm.port_out(0xcf8, 4, 0x80000000)
    eq(vm.port_in(0xcf8, 4), 0x80000000, "address register")
    eq(vm.port_in(0xcfc, 4), 0x12378086, "32 bits")
    eq([vm.port_in(0xcfc + i, 1) for i in range(4)], [0x86, 0x80, 0x37, 0x12], "bytes")
    eq([vm.port_in(0xcfc + i, 2) for i in (0, 2)], [0x8086, 0x1237], "words")
    vm.port_out(0xcf8, 4, 0)
    eq(vm.port_in(0xcfc, 4), 0xffffffff, "without the enable bit")
    vm.port_out(0xcf8, 4, 0x80010000)
    eq(vm.port_in(0xcfc, 4), 0xffffffff, "bus 1")
    vm.port_out(0xcf8, 4, 0x8000f800)
    eq(vm.port_in(0xcfc, 4), 0xffffffff, "slot 31")


@case("pc/pci/bar-sizing-and-moves")
def bars(t):
    vm = t.vm("-device", "virtio-net-pci")
    d = next(x for x in pci_scan(vm) if x.ids[0] == 0x1af4)
    for bar in d.size_bars().values():
        check(bar.size and bar.size & bar.size - 1 == 0, f"size {bar.size:#x} of BAR {bar.index}")
    d.enable()
    msix = next(b for b in d.bars.values() if not b.port and not b.wide)
    old = msix.addr
    vm.write(old, 4, 0xabcd0000)
    d.place_bar(msix.index, 0xf8000000)
    eq((vm.read(0xf8000000, 4), vm.read(old, 4)), (0xabcd0000, 0xffffffff), "new and old place")
    d.write(4, 2, 0)
    eq(vm.read(0xf8000000, 4), 0xffffffff, "with decoding off")
    d.write(4, 2, 2)
    eq(vm.read(0xf8000000, 4), 0xabcd0000, "with decoding on again")
    d.place_bar(msix.index, 0x100000)  # over RAM: RAM wins
    vm.m32[0x100000 // 4] = 0x11223344
    eq(vm.read(0x100000, 4), 0x11223344, "RAM under a BAR")
    d.place_bar(msix.index, 0xf8000000)
    eq(vm.read(0xf8000000, 4), 0xabcd0000, "back in the hole")


@case("pc/ram/layout")
def ram(t):
    vm = t.vm()
    for at in (0, 0x9fff8, 0xc0000, 0xffff8, 0x100000, len(vm.ram) - 8):
        vm.m64[at // 8] = at ^ 0x5555aaaa12345678
        eq(vm.read(at, 8), at ^ 0x5555aaaa12345678, f"RAM at {at:#x}")
    vm.write(0x2000, 8, 0x0102030405060708)
    eq(vm.m64[0x2000 // 8], 0x0102030405060708, "a write")
    for at in (0xa0000, 0xbfff8, len(vm.ram), 0xe0000000):
        eq(vm.read(at, 8), 2 ** 64 - 1, f"nothing at {at:#x}")
        vm.write(at, 8, 0)


@case("pc/serial/output-to-a-file")
def serial(t):
    path = t.dir / "serial"
    vm = t.vm("-chardev", f"file,id=c0,path={path}", "-serial", "chardev:c0")
    text = b"hello from the other side\r\n" * 20
    for byte in text:
        check(vm.port_in(0x3fd, 1) & 0x20, "transmitter holding register is not empty")
        vm.port_out(0x3f8, 1, byte)
    wait_for(lambda: path.read_bytes() == text, "the text in the file")
    eq(vm.port_in(0x2fd, 1), 0xff, "no second port")


@case("pc/serial/input-interrupt-and-loopback")
def serial_in(t):
    here, there = socket.socket(socket.AF_UNIX), None
    here.bind(str(t.dir / "ser"))
    here.listen(1)
    vm = t.vm("-chardev", f"socket,id=c0,path={t.dir}/ser", "-serial", "chardev:c0")
    there, _ = here.accept()
    vm.intercept_irqs()
    vm.port_out(0x3fc, 1, 8)  # OUT2 lets interrupts through
    vm.port_out(0x3f9, 1, 1)
    there.sendall(b"A")
    wait_for(lambda: vm.irq_level(4), "interrupt 4")
    eq(vm.port_in(0x3fa, 1) & 0xf, 4, "identification: data available")
    eq(vm.port_in(0x3f8, 1), 0x41, "the byte")
    check(not vm.irq_level(4), "interrupt 4 after the byte was read")
    vm.port_out(0x3fc, 1, 0x18)
    vm.port_out(0x3f8, 1, 0x5a)
    wait_for(lambda: vm.port_in(0x3fd, 1) & 1, "the byte looped back")
    eq(vm.port_in(0x3f8, 1), 0x5a, "the byte looped back")
    vm.port_out(0x3fc, 1, 8)
    there.sendall(b"x" * 10000)  # more than there is room for
    got = 0
    while got < 10000:
        wait_for(lambda: vm.port_in(0x3fd, 1) & 1, f"byte {got}")
        eq(vm.port_in(0x3f8, 1), 0x78, f"byte {got}")
        got += 1
        if got == 200:
            break


def fw_read(vm, key, n):
    vm.port_out(0x510, 2, key)
    return bytes(vm.port_in(0x511, 1) for _ in range(n))


def fw_dma(vm, control, addr, length):
    request = vm.alloc(16)
    vm.ram[request:request + 16] = struct.pack(">IIQ", control, length, addr)
    vm.port_out(0x514, 4, 0)
    vm.port_out(0x518, 4, struct.unpack("<I", struct.pack(">I", request))[0])
    return struct.unpack(">I", vm.ram[request:request + 4])[0]


def fw_files(vm):
    count = struct.unpack(">I", fw_read(vm, 0x19, 4))[0]
    data = fw_read(vm, 0x19, 4 + 64 * count)[4:]
    files = {}
    for i in range(count):
        size, key, _, name = struct.unpack(">IHH56s", data[64 * i:64 * i + 64])
        files[name.rstrip(b"\0").decode()] = key, size
    return files


@case("pc/fw_cfg/items-by-port")
def fw_items(t):
    vm = t.vm("-smp", "3,maxcpus=4", "-fw_cfg", "name=opt/test/hello,string=good morning")
    eq(fw_read(vm, 0, 4), b"QEMU", "signature")
    eq(fw_read(vm, 1, 4)[0] & 3, 3, "id: ports and DMA")
    eq(struct.unpack("<Q", fw_read(vm, 3, 8))[0], 64 * MIB, "RAM size")
    eq(struct.unpack("<H", fw_read(vm, 5, 2))[0], 3, "CPUs")
    eq(struct.unpack("<H", fw_read(vm, 0x0f, 2))[0], 4, "most CPUs")
    eq(fw_read(vm, 0, 6), b"QEMU\0\0", "past the end")
    eq(fw_read(vm, 0x1234, 4), bytes(4), "a key that does not exist")
    files = fw_files(vm)
    check("etc/e820" in files and "opt/test/hello" in files, f"files {sorted(files)}")
    eq(list(files), sorted(files), "order of the files")
    key, size = files["opt/test/hello"]
    eq(fw_read(vm, key, size), b"good morning", "file by port")
    key, size = files["etc/e820"]
    eq(struct.unpack("<QQI", fw_read(vm, key, 20)), (0, 64 * MIB, 1), "first range of etc/e820")


@case("pc/fw_cfg/dma")
def fw_by_dma(t):
    vm = t.vm("-fw_cfg", "name=opt/test/long,string=" + "0123456789" * 50)
    eq(struct.pack("<II", vm.port_in(0x514, 4), vm.port_in(0x518, 4)), b"QEMU CFG", "DMA signature")
    buf = vm.alloc(4096)
    eq(fw_dma(vm, 0 << 16 | 8 | 2, buf, 4), 0, "select and read")
    eq(bytes(vm.ram[buf:buf + 4]), b"QEMU", "signature")
    key, size = fw_files(vm)["opt/test/long"]
    eq(size, 500, "size")
    eq(fw_dma(vm, key << 16 | 8 | 2, buf, 600), 0, "read past the end")
    eq(bytes(vm.ram[buf:buf + 600]), b"0123456789" * 50 + bytes(100), "file")
    eq(fw_dma(vm, key << 16 | 8 | 4, 0, 495), 0, "skip")
    eq(fw_dma(vm, 2, buf, 5), 0, "read on")
    eq(bytes(vm.ram[buf:buf + 5]), b"56789", "after the skip")
    for control, addr, length in ((key << 16 | 8 | 2, 0x7000000000, 16), (2, len(vm.ram) - 4, 64), (2, buf, 0xffffffff),
                                  (2, 2 ** 64 - 8, 64), (0x10, buf, 4)):
        eq(fw_dma(vm, control, addr, length), 1, f"request {control:#x} {addr:#x} {length:#x}")
    vm.port_out(0x514, 4, 0xffffffff)
    vm.port_out(0x518, 4, 0xffffffff)  # a request that is nowhere
    eq(fw_read(vm, 0, 4), b"QEMU", "signature after all that")


def cmos(vm, reg):
    vm.port_out(0x70, 1, reg)
    return vm.port_in(0x71, 1)


@case("pc/cmos/memory-sizes-and-cpus")
def cmos_sizes(t):
    vm = t.vm("-smp", "5")
    eq(cmos(vm, 0x15) | cmos(vm, 0x16) << 8, 640, "KiB of base memory")
    for reg in (0x17, 0x30):
        eq(cmos(vm, reg) | cmos(vm, reg + 1) << 8, 63 * 1024, "KiB above 1 MiB")
    eq(cmos(vm, 0x34) | cmos(vm, 0x35) << 8, 48 * 16, "64-KiB units above 16 MiB")
    eq([cmos(vm, r) for r in (0x5b, 0x5c, 0x5d)], [0, 0, 0], "64-KiB units above 4 GiB")
    eq(cmos(vm, 0x5f), 4, "CPUs less one")


@case("pc/cmos/memory-above-4-gib")
def cmos_high(t):
    vm = t.vm(ram=5 << 30, memory=False)
    eq(cmos(vm, 0x34) | cmos(vm, 0x35) << 8, (3072 - 16) * 16, "64-KiB units above 16 MiB")
    eq(sum(cmos(vm, 0x5b + i) << 8 * i for i in range(3)), 2048 * 16, "64-KiB units above 4 GiB")
    for at in (0xbffffff8, 0x100000000, 0x17ffffff8):
        vm.write(at, 8, at)
        eq(vm.read(at, 8), at, f"RAM at {at:#x}")
    eq(vm.read(0xc0000000, 8), 2 ** 64 - 1, "the hole below 4 GiB")


@case("pc/rtc/shows-utc")
def rtc(t):
    vm = t.vm()

    def read():
        while cmos(vm, 10) & 0x80:
            pass
        return [cmos(vm, r) for r in (0x32, 9, 8, 7, 4, 2, 0)]

    before = int(time.time())
    while True:
        v = read()
        if v == read():
            break
    after = int(time.time())
    eq(cmos(vm, 11) & 6, 2, "BCD, 24 hours")
    v = [(x >> 4) * 10 + (x & 15) for x in v]
    guest = calendar.timegm((v[0] * 100 + v[1], *v[2:]))
    check(before <= guest <= after, f"clock shows {guest} between {before} and {after}")
    eq(cmos(vm, 13) & 0x80, 0x80, "valid RAM and time")


@case("pc/isa-debug-exit/exit-status")
def debug_exit(t):
    for value, port, opts in ((0x10, 0xf4, "iobase=0xf4,iosize=4"), (0, 0x501, "")):
        vm = t.vm("-device", "isa-debug-exit" + ("," + opts if opts else ""))
        vm.qtest.send(f"outb {port:#x} {value:#x}\n")
        eq(vm.wait_end(), value << 1 | 1, "exit status")


@case("pc/acpi/power-off-by-pm1a")
def power_off(t):
    vm = t.vm()
    vm.qtest.send("outw 0x604 0x2000\n")
    eq(vm.wait_end(), 0, "exit status")


@case("pc/acpi/no-shutdown-stops-the-machine")
def no_shutdown(t):
    vm = t.vm("-no-shutdown", *monitor_args(t))
    mon = Monitor(t.dir / "mon")
    vm.port_out(0x604, 2, 0x2000)
    wait_for(lambda: "shutdown" in mon.command("info status"), "the state shutdown")
    check(vm.alive(), "the process ended")
    mon.sock.sendall(b"quit\n")
    eq(vm.wait_end(), 0, "exit status")


@case("pc/acpi/timer-and-power-button")
def pm(t):
    vm = t.vm(*monitor_args(t))
    mon = Monitor(t.dir / "mon")
    first = vm.port_in(0x608, 4)
    vm.clock_step(50000000)
    eq(vm.port_in(0x608, 4) - first & 0xffffff, 3579545 // 20, "ticks in 50 ms")
    vm.intercept_irqs()
    vm.port_out(0xb2, 1, 0xf1)
    eq(vm.port_in(0x604, 2) & 1, 1, "SCI_EN after the command that enables ACPI")
    vm.port_out(0x602, 2, 0x0100)
    mon.command("system_powerdown")
    wait_for(lambda: vm.irq_level(9), "interrupt 9")
    eq(vm.port_in(0x600, 2) & 0x100, 0x100, "power button status")
    vm.port_out(0x600, 2, 0x100)
    eq(vm.port_in(0x600, 2) & 0x100, 0, "power button status, cleared")
    check(not vm.irq_level(9), "interrupt 9 after the status was cleared")


RESETS = {"0xcf9": "outb 0xcf9 6", "i8042-0xfe": "outb 0x64 0xfe", "port-0x92": "outb 0x92 1"}


def reset_case(name, command):
    @case(f"pc/reset/by-{name}", needs=TUN)
    def run(t):
        vm = t.vm(*tap_args())
        pci = find_virtio(vm)[0]
        pci.msix_setup()
        nic, host = Nic(Modern(pci)), Host("t0")
        for _ in range(2):
            nic.start(vectors=True)
            nic.both_ways(host)
            vm.m64[0x300000 // 8] = 0x1122334455667788
            vm.port_out(0x604, 2, 1)
            vm.qtest.command(command)
            wait_for(lambda: pci.read(4, 2) == 0, "the command register to be cleared")
            eq([pci.read(0x10 + 4 * i, 4) & ~15 for i in range(6)], [0] * 6, "BARs after reset")
            eq(pci.read(pci.msix_cap() + 2, 2) & 0xc000, 0, "MSI-X control after reset")
            eq(vm.port_in(0x604, 2), 0, "PM1 control after reset")
            eq(vm.m64[0x300000 // 8], 0x1122334455667788, "RAM after reset")
            for bar in pci.bars.values():
                pci.place_bar(bar.index, bar.addr)
            pci.write(4, 2, 7)
            eq(nic.t.status, 0, "virtio status after reset")
            eq(nic.t.get(0x10, 2), 0xffff, "configuration vector after reset")
            pci.msix_setup()
        nic.start(vectors=True).both_ways(host)


for reset_name, reset_command in RESETS.items():
    reset_case(reset_name, reset_command)


@case("pc/reset/no-reboot-ends-the-process")
def no_reboot(t):
    for command in ("outb 0xcf9 6", "outb 0x64 0xfe"):
        vm = t.vm("-no-reboot")
        vm.qtest.send(command + "\n")
        eq(vm.wait_end(), 0, f"exit status after {command}")


@case("pc/reset/0xcf9-without-the-start-bit")
def no_reset(t):
    vm = t.vm("-no-reboot")
    for value in (0, 2):
        vm.port_out(0xcf9, 1, value)
    time.sleep(QUIET_S * SCALE)
    check(vm.alive(), "the process ended")


@case("pc/run-state/paused-start-and-cont", needs=TUN)
def paused(t):
    vm = t.vm("-S", *monitor_args(t), *tap_args())
    mon, host = Monitor(t.dir / "mon"), Host("t0")
    nic = Nic(Modern(find_virtio(vm)[0]))
    check("paused" in mon.command("info status"), "not paused with -S")
    nic.start()
    frame = raw_frame(HOST_MAC, MAC, b"S", size=60)
    nic.send(0, frame, wait=False)
    time.sleep(QUIET_S * SCALE)
    eq((nic.tx[0].used_idx, host.recv(0)), (0, None), "frames of a paused machine")
    mon.command("cont")
    nic.tx[0].wait()
    host.expect(frame, "the frame after cont")
    nic.both_ways(host)
    for _ in range(3):
        mon.command("stop")
        check("paused" in mon.command("info status"), "not paused after stop")
        nic.send(0, frame, wait=False)
        late = raw_frame(MAC, payload=b"late", size=60)
        host.send(late)
        time.sleep(QUIET_S * SCALE)
        eq(host.recv(0), None, "a frame of a stopped machine")
        mon.command("cont")
        nic.tx[0].wait()
        host.expect(frame, "the frame after cont")
        nic.expect(0, late, "the frame that came meanwhile")
    check(nic.t.status & (ACKNOWLEDGE | DRIVER), "status after stop and cont")
    mon.sock.sendall(b"quit\n")
    eq(vm.wait_end(), 0, "exit status after quit")


@case("pc/ports/garbage-everywhere")
def garbage(t):
    import random
    vm = t.vm("-device", "virtio-net-pci", "-serial", "null")
    rng = random.Random(1)
    # Not: power-off, reset and the data ports that may program one.
    avoid = set(range(0x600, 0x608)) | {0x64, 0x60, 0x92, 0xcf9} | set(range(0xcf4, 0xd00)) | {0x61}
    commands = []
    for _ in range(6000):
        size, letter = rng.choice(((1, "b"), (2, "w"), (4, "l")))
        port = rng.choice((rng.randrange(0x10000 - size), rng.randrange(0x1000), 0x70, 0x71, 0x510, 0x514, 0x518, 0x511,
                           0x3f8 + rng.randrange(8), 0xb2, 0x608, 0xafe0 + rng.randrange(4), 0x4d0))
        if rng.random() < 0.3:
            commands.append(f"in{letter} {port:#x}")
        elif not any(port + i in avoid for i in range(size)):
            commands.append(f"out{letter} {port:#x} {rng.getrandbits(8 * size):#x}")
    eq([a for a in vm.qtest.batch(commands) if not a.startswith("OK")][:1], [], "answers")
    eq(fw_read(vm, 0, 4), b"QEMU", "fw_cfg signature")
