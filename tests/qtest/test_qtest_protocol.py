# SPDX-License-Identifier: GPL-2.0-or-later
"""The qtest protocol itself, and the options that clients of it pass."""

import os
import socket
import subprocess
import time
from pathlib import Path

from netlib import Host, raw_frame
from qtestlib import QUIET_S, SCALE, WAIT_S, Failure, Skip, case, check, eq, wait_for
from virtiolib import MAC, Modern, Nic, find_virtio, tap_args

TUN = ("root", "tun")
KEPT_KIB = 300000 if SCALE > 1 else 0  # what a sanitizer keeps of freed memory
DATA_MAX = 2 << 20  # bytes of guest RAM in one command
RTC_INDEX, RTC_DATA = 0x70, 0x71
PM_BASE, PM_HZ = 0x600, 3579545


def raw(vm, *commands):
    return vm.qtest.batch(list(commands))


def fails(vm, *commands):
    for command, answer in zip(commands, raw(vm, *commands)):
        check(answer.startswith("FAIL "), f"{command[:80]!r} was answered with {answer[:80]!r}")


def rss_kib(vm):
    for line in Path(f"/proc/{vm.process.pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1])
    raise Failure("no VmRSS")


# ---- answers ----

@case("qtest/answers/as-documented")
def answers(t):
    vm = t.vm()
    wanted = {
        "endianness": "OK little",
        "writeq 0x10000 0x1122334455667788": "OK",
        "readb 0x10000": "OK 0x0000000000000088",
        "readw 0x10000": "OK 0x0000000000007788",
        "readl 0x10000": "OK 0x0000000055667788",
        "readq 0x10000": "OK 0x1122334455667788",
        "writeb 0x10000 0xff": "OK",
        "writew 65538 0xeeee": "OK",
        "writel 0x10004 0xdddddddd": "OK",
        "read 0x10000 8": "OK 0xff77eeeedddddddd",
        "write 0x10000 3 0x010203": "OK",
        "b64read 0x10000 0x3": "OK AQID",
        "b64write 0x10000 3 BAUG": "OK",
        "read 0x10000 4": "OK 0x040506ee",
        "memset 0x10000 4 0x5a": "OK",
        "readl 0x10000 ": "OK 0x000000005a5a5a5a",
        "memset 0x10000 0 0": "OK",
        "outl 0xcf8 0x80000000": "OK",
        "inl 0xcfc": "OK 0x12378086",
        "inw 0xcfc": "OK 0x8086",
        "inb 0xcfd": "OK 0x0080",
        "clock_step 0": "OK 0",
        "irq_intercept_in ioapic": "OK",
        "set_irq_in ioapic unnamed-gpio-in 5 0": "OK",
    }
    for command, answer in wanted.items():
        eq(raw(vm, command), [answer], command)


@case("qtest/answers/events-come-before-the-answer")
def irq_order(t):
    vm = t.vm()
    vm.intercept_irqs()
    vm.qtest.send("set_irq_in ioapic unnamed-gpio-in 7 1\nset_irq_in ioapic unnamed-gpio-in 7 1\n"
                  "set_irq_in ioapic unnamed-gpio-in 7 0\n")
    eq([vm.qtest._line() for _ in range(5)], ["IRQ raise 7", "OK", "OK", "IRQ lower 7", "OK"], "lines")


@case("qtest/irq/what-can-be-intercepted")
def intercept(t):
    vm = t.vm("-serial", "null")
    units = [f"/machine/unattached/device[{i}]" for i in range(12)]
    piix = [u for u in units if raw(vm, f"irq_intercept_out {u} isa-irqs") == ["OK"]]
    eq(len(piix), 1, "devices with outputs isa-irqs")
    fails(vm, "irq_intercept_in ioapic", "irq_intercept_in /machine/nowhere", f"irq_intercept_out {piix[0]}",
          f"irq_intercept_out {piix[0]} nothing", f"irq_intercept_in {piix[0]}", "irq_intercept_out ioapic",
          "irq_intercept_in", "irq_intercept_in a b", "set_irq_in ioapic unnamed-gpio-in 24 1",
          "set_irq_in ioapic other 4 1", f"set_irq_in {piix[0]} unnamed-gpio-in 4 1", "set_irq_in ioapic 4 1")
    eq(raw(vm, f"irq_intercept_out {piix[0]} isa-irqs"), ["OK"], "the same again")
    vm.port_out(0x3f8 + 1, 1, 2)  # interrupt when the transmitter is empty
    vm.port_out(0x3f8 + 4, 1, 8)
    check(vm.irq_level(4), "interrupt 4 by the outputs of the bridge")
    vm.port_out(0x3f8 + 1, 1, 0)
    check(not vm.irq_level(4), "interrupt 4 after it was turned off")


# ---- hostile input ----

@case("qtest/hostile/every-command-without-what-it-needs")
def missing(t):
    vm = t.vm()
    for command, args in (("inb", 1), ("inw", 1), ("inl", 1), ("outb", 2), ("outw", 2), ("outl", 2), ("readb", 1),
                          ("readw", 1), ("readl", 1), ("readq", 1), ("writeb", 2), ("writew", 2), ("writel", 2),
                          ("writeq", 2), ("read", 2), ("write", 3), ("b64read", 2), ("b64write", 3), ("memset", 3),
                          ("clock_set", 1), ("irq_intercept_in", 1), ("irq_intercept_out", 1), ("set_irq_in", 4)):
        for n in range(args):
            fails(vm, " ".join([command] + ["1"] * n))
        fails(vm, " ".join([command] + ["0x1"] * 8))
    for value in ("", "0x", "x", "-1", "+1", "1x", "0xg", "99999999999999999999", "0x10000000000000000", "1.5", "\x01"):
        fails(vm, f"readl {value}", f"outb 0x80 {value}", f"read 0x1000 {value}", f"memset 0x1000 {value} 0",
              f"memset 0x1000 1 {value}", f"clock_set {value}")
    fails(vm, "clock_step x", "clock_step 1 2", "clock_step 0xffffffffffffffff", "clock_set 0x8000000000000000",
          "rtas x 0 0 0 0", "module_load hw- x", "", "     ", "ENDIANNESS", "endianness now", "x" * 1000)
    eq(vm.port_in(0xcf8, 4), 0, "after it all")


@case("qtest/hostile/sizes-and-data")
def sizes(t):
    vm = t.vm(ram=32 << 20)
    end = 32 << 20
    fails(vm, f"read 0 {DATA_MAX + 1}", "read 0 0xffffffffffffffff", "read 0xffffffffffffffff 2",
          f"read {end - 16:#x} 0x20000", f"b64read 0 {DATA_MAX + 1}", "write 0x1000 4 01020304", "write 0x1000 4 0x010",
          "write 0x1000 4 0x0102030405", "write 0x1000 4 0xgg", f"write 0x1000 {DATA_MAX + 1} 0x00",
          "write 0xffffffffffffffff 2 0x0000", "b64write 0x1000 4 AQID", "b64write 0x1000 3 ====", "b64write 0x1000 3 %",
          f"memset {end:#x} 0x20000 0", f"memset 0x1000 {end:#x} 0", "memset 0 0xffffffffffffffff 0", "memset 0 1 256",
          "inb 0x10000", "outl 0xffffffff 0")
    # A port or a register that is nowhere reads as all ones, it is no error.
    eq(raw(vm, "inl 0xfffc", "readl 0xd0000000", "writeq 0xfffffffffffffff8 1"),
       ["OK 0xffffffff", "OK 0x00000000ffffffff", "OK"], "nowhere")
    big = os.urandom(DATA_MAX)
    vm.qtest.send(f"write 0x100000 {DATA_MAX:#x} 0x{big.hex()}\n")
    eq(vm.qtest._answer(), "OK", "the largest write")
    eq(bytes(vm.ram[0x100000:0x100000 + DATA_MAX]), big, "RAM after the largest write")
    vm.qtest.send(f"read 0x100000 {DATA_MAX:#x}\n")
    eq(bytes.fromhex(vm.qtest._answer()[5:]), big, "the largest read")


@case("qtest/hostile/lines-that-are-none")
def lines(t):
    vm = t.vm()
    vm.qtest.sock.sendall(b"outb 0x80 1\0 2\n\0\n\xff\xfe\n\r\n")
    for _ in range(4):
        check(vm.qtest._answer().startswith("FAIL "), "a line that is no command")
    for part in ("en", "dian", "", "ness\nend", "ianness\r", "\n"):
        vm.qtest.sock.sendall(part.encode())
        time.sleep(0.002)
    eq([vm.qtest._answer() for _ in range(2)], ["OK little"] * 2, "lines in pieces")
    before = rss_kib(vm)
    junk = b"z" * (1 << 20)
    for _ in range(40):  # one line of 40 MiB
        vm.qtest.sock.sendall(junk)
    vm.qtest.sock.sendall(b"\nendianness\n")
    check(vm.qtest._answer().startswith("FAIL "), "a line of 40 MiB")
    eq(vm.qtest._answer(), "OK little", "after a line of 40 MiB")
    check(rss_kib(vm) - before < 20000 + KEPT_KIB, f"memory grew from {before} to {rss_kib(vm)} KiB")


@case("qtest/hostile/a-peer-that-does-not-read")
def no_reader(t):
    vm = t.vm()
    vm.intercept_irqs()
    before = rss_kib(vm)
    vm.qtest.sock.setblocking(False)
    command = b"read 0 0x100000\n" * 64
    sent, end = 0, time.monotonic() + 1
    while time.monotonic() < end and sent < 64 << 20:
        try:
            sent += vm.qtest.sock.send(command)
        except BlockingIOError:
            time.sleep(0.01)
    check(rss_kib(vm) - before < 40000 + KEPT_KIB, f"memory grew from {before} to {rss_kib(vm)} KiB")
    check(sent < 8 << 20, f"{sent} bytes of commands were taken although nobody reads the answers")

    def quiet():
        cpu = vm.cpu_seconds()
        time.sleep(0.2)
        return vm.cpu_seconds() - cpu < 0.1
    wait_for(quiet, "an emulator that uses no CPU while nothing moves")


@case("qtest/hostile/random-bytes")
def fuzz(t):
    import random
    vm = t.vm()
    rng = random.Random(8)
    words = ["inb", "outl", "read", "write", "b64write", "memset", "clock_step", "irq_intercept_in", "set_irq_in",
             "ioapic", "0x1000", "0xffffffffffffffff", "-1", "AAAA", "0x", "2097152", "0", "\t", "unnamed-gpio-in"]
    sent = 0
    for _ in range(2000):
        if rng.random() < 0.7:
            line = " ".join(rng.choice(words) for _ in range(rng.randrange(1, 7))).encode()
        else:
            line = rng.randbytes(rng.randrange(60)).replace(b"\n", b"")
        if line.startswith(b"outl"):
            continue
        vm.qtest.sock.sendall(line + b"\n")
        sent += 1
        answer = vm.qtest._answer()
        check(answer.startswith(("OK", "FAIL ")), f"{line!r} was answered with {answer[:60]!r}")
    eq(raw(vm, "endianness"), ["OK little"], "after it all")


# ---- where it talks ----

def connects(vm):
    eq(raw(vm, "endianness"), ["OK little"], "endianness")


def client(path, line):
    """One command over a socket that the emulator listens on; the answer."""
    with socket.socket(socket.AF_UNIX) as s:
        s.settimeout(WAIT_S)
        wait_for(lambda: s.connect_ex(str(path)) == 0, "the socket")
        s.sendall(line + b"\n")
        data = b""
        while not data.endswith(b"\n"):
            data += s.recv(4096)
        return data.decode().rstrip("\n")


def run(t, *args):
    return subprocess.Popen([t.emulator, "-nodefaults", "-display", "none", "-accel", "qtest", *map(str, args)],
                            text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def ask(p, command):
    """The answer on stdout; empty when the process ended."""
    try:
        p.stdin.write(command + "\n")
        p.stdin.flush()
    except BrokenPipeError:
        pass
    return p.stdout.readline()


def end(p):
    p.terminate()
    out, err = p.communicate(timeout=WAIT_S)
    eq(p.returncode, 0, f"exit status, {err}")
    return out, err


@case("qtest/transport/stdio")
def stdio(t):
    p = run(t, "-qtest", "stdio", "-qtest-log", "/dev/null")
    p.stdin.write("endianness\nreadb 0\n")
    p.stdin.flush()
    eq([p.stdout.readline() for _ in range(2)], ["OK little\n", "OK 0x0000000000000000\n"], "answers")
    end(p)


@case("qtest/transport/chardev-by-id-and-several-connections")
def by_id(t):
    path = t.dir / "sock"
    p = run(t, "-chardev", f"socket,id=c0,path={path},server=on,wait=off", "-qtest", "chardev:c0", "-qtest-log", "none")
    wait_for(path.exists, "the socket")
    for _ in range(3):
        eq(client(path, b"irq_intercept_in ioapic"), "OK", "a connection of its own")
        client(path, b"inb")  # half of what a client says is lost with it
    eq(client(path, b"set_irq_in ioapic unnamed-gpio-in 3 1"), "OK", "no interception is left of the one before")
    end(p)


@case("qtest/transport/server-that-does-not-wait")
def server(t):
    path = t.dir / "sock"
    p = run(t, "-qtest", f"unix:{path},server=on,wait=off", "-qtest-log", "none")
    wait_for(path.exists, "the socket")
    eq(client(path, b"endianness"), "OK little", "answer")
    end(p)


@case("qtest/log/what-it-has")
def log(t):
    path = t.dir / "qtest.log"
    vm = t.vm("-qtest-log", path)
    connects(vm)
    vm.intercept_irqs()
    vm.qtest.send("set_irq_in ioapic unnamed-gpio-in 3 1\nnonsense\n")
    vm.qtest._answer(), vm.qtest._answer()
    lines_ = [l.split("] ", 1) for l in path.read_text().splitlines()]
    eq([(a[:2], b) for a, b in lines_],
       [("[I", "OPENED"), ("[R", "endianness"), ("[S", "OK little"), ("[R", "irq_intercept_in ioapic"), ("[S", "OK"),
        ("[R", "set_irq_in ioapic unnamed-gpio-in 3 1"), ("[S", "IRQ raise 3"), ("[S", "OK"), ("[R", "nonsense"),
        ("[S", "FAIL Unknown command 'nonsense'")], "log")
    times = [float(a.split("+")[1]) for a, _ in lines_]
    eq(times, sorted(times), "times of the log")
    p = run(t, "-qtest", "stdio", "-qtest-log", "/nowhere/log")
    eq(p.wait(WAIT_S), 1, "exit status with a log that cannot be written")
    check("/nowhere/log" in p.stderr.read(), "the message names the log")


# ---- options ----

@case("qtest/options/what-clients-pass")
def options(t):
    for args in (["-audio", "none"], ["-audio", "driver=none"], ["-audiodev", "none,id=snd0"], ["-display", "none"],
                 ["-vga", "none"], ["-nodefaults"], ["-no-shutdown"], ["-cpu", "max"], ["-cpu", "qemu64"],
                 ["-global", "virtio-net-pci.mq=on"], ["-sandbox", "off"], ["-machine", "pc,accel=qtest"],
                 ["-machine", "accel=tcg:qtest", "-m", "32M"], ["-S"], ["-no-reboot"], ["-smp", "4"], ["-m", "1G"],
                 ["-serial", "none", "-parallel", "none"], ["-no-user-config"], ["-name", "t,debug-threads=on"],
                 ["-rtc", "clock=vm"], ["-monitor", "none"], ["-boot", "order=c"], ["-M", "none"]):
        p = subprocess.Popen([t.emulator, "-qtest", "stdio", "-qtest-log", "/dev/null", "-display", "none", "-audio",
                              "none", *([] if "accel" in args[1:2] or "accel=" in str(args) else ["-accel", "qtest"]),
                              *args], text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        line = ask(p, "endianness")
        p.terminate()
        _, err = p.communicate(timeout=WAIT_S)
        eq((line, p.returncode), ("OK little\n", 0), f"{' '.join(args)}: {err}")


@case("qtest/options/accelerators-in-order-of-preference")
def accels(t):
    def start(*args):
        p = subprocess.Popen([t.emulator, "-nodefaults", "-qtest", "stdio", "-qtest-log", "none", *args], text=True,
                             stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        line = ask(p, "clock_step 0")
        p.terminate()
        return line, p.communicate(timeout=WAIT_S)[1]

    for args in (("-accel", "qtest", "-accel", "tcg"), ("-machine", "accel=qtest:tcg"), ("-machine", "accel=tcg:qtest")):
        line, err = start(*args)
        eq(line, "OK 0\n", f"{args}: {err}")
        check("invalid" not in err, f"{args}: {err}")
    for args, names in ((("-accel", "tcg", "-accel", "qtest"), ["tcg"]),
                        (("-accel", "tcg,thread=multi", "-accel", "xen", "-accel", "qtest"), ["tcg", "xen"])):
        line, err = start(*args)
        eq(line, "OK 0\n", f"{args}: {err}")
        for name in names:
            check(f"invalid accelerator {name}" in err, f"{args}: nothing about {name}: {err}")
        check("falling back to qtest" in err, f"{args}: {err}")
    for args in (("-accel", "tcg"), ("-accel", "tcg", "-accel", "xen"), ("-machine", "accel=tcg:xen")):
        line, err = start(*args)
        eq(line, "", f"{args} starts")
        eq(len(err.splitlines()), 1, f"lines about {args}: {err}")
        check("invalid accelerator 'tcg" in err, f"{args}: {err}")


@case("qtest/client/that-knows-nothing-of-this-project", needs=TUN)
def foreign_client(t):
    program = Path(t.emulator).parent / "tests" / "qtest" / "virtio-net-client"
    if not program.exists():
        raise Skip("tests/qtest/virtio-net-client was not built")
    r = subprocess.run([program, t.emulator], text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False,
                       timeout=3 * WAIT_S)
    eq(r.returncode, 0, f"exit status: {r.stdout[-2000:]}")
    eq([l for l in r.stdout.splitlines() if l.startswith("ok ")],
       ["ok 1 protocol", "ok 2 frames with MSI-X", "ok 3 frames with an interrupt line"], "cases")


# ---- the clock ----

def cmos(vm, reg, value=None):
    vm.port_out(RTC_INDEX, 1, reg)
    if value is not None:
        vm.port_out(RTC_DATA, 1, value)
        return None
    return vm.port_in(RTC_DATA, 1)


@case("qtest/clock/stands-still-but-for-the-test")
def clock(t):
    vm = t.vm()
    eq(raw(vm, "clock_step 1000", "clock_step 0x10", "clock_set 5000", "clock_set 100", "clock_step"),
       ["OK 1000", "OK 1016", "OK 5000", "OK 5000", "OK 5000"], "time")
    first = vm.port_in(PM_BASE + 8, 4)
    time.sleep(0.02)
    eq(vm.port_in(PM_BASE + 8, 4), first, "power management timer while the clock stands")
    vm.clock_step(1000000000)
    eq(vm.port_in(PM_BASE + 8, 4) - first & 0xffffff, PM_HZ, "its ticks in a second")
    toggle = vm.port_in(0x61, 1) & 0x10
    vm.clock_step(15085)
    check(vm.port_in(0x61, 1) & 0x10 != toggle, "refresh bit after its period")


@case("qtest/clock/step-goes-to-the-next-timer")
def next_timer(t):
    vm = t.vm()
    vm.intercept_irqs()
    vm.port_out(0xb2, 1, 0xf1)
    vm.port_out(PM_BASE + 2, 2, 1)  # interrupt when the timer's top bit changes
    at = -(-(1 << 23) * 10 ** 9 // PM_HZ)
    eq(raw(vm, "clock_step"), [f"OK {at}"], "time of the timer's top bit")
    check(vm.irq_level(9), "interrupt 9")
    eq(vm.port_in(PM_BASE + 8, 4), 1 << 23, "power management timer")
    eq(raw(vm, "clock_step"), [f"OK {at}"], "no timer until the status is cleared")
    vm.port_out(PM_BASE, 2, 1)
    check(not vm.irq_level(9), "interrupt 9 after the status was cleared")
    eq(raw(vm, "clock_step 1"), [f"OK {at + 1}"], "one more")
    vm.clock_step(10 * 10 ** 9)
    check(vm.irq_level(9), "interrupt 9 in the middle of a step")


@case("qtest/clock/real-time-clock-by-the-machine-s-time")
def rtc(t):
    vm = t.vm("-rtc", "base=2026-02-28T23:59:50,clock=vm")
    vm.intercept_irqs()
    cmos(vm, 11, 6)  # binary, 24 hours

    def now():
        return [cmos(vm, r) for r in (0x32, 9, 8, 7, 4, 2, 0)]
    eq(now(), [20, 26, 2, 28, 23, 59, 50], "the beginning")
    time.sleep(0.02)
    eq(now(), [20, 26, 2, 28, 23, 59, 50], "while the clock stands")
    vm.clock_step(12 * 10 ** 9)
    eq(now(), [20, 26, 3, 1, 0, 0, 2], "12 seconds later")
    vm.clock_step(366 * 86400 * 10 ** 9)
    eq(now(), [20, 27, 3, 2, 0, 0, 2], "a year and a day later")
    # An alarm within the day, by steps that are its timers.
    cmos(vm, 1, 30), cmos(vm, 3, 15), cmos(vm, 5, 6)
    cmos(vm, 12)
    cmos(vm, 11, 0x26)
    vm.clock_step((6 * 3600 + 15 * 60 + 27) * 10 ** 9)
    check(not vm.irq_level(8), "interrupt before the alarm")
    vm.qtest.command("clock_step")
    check(vm.irq_level(8), "interrupt at the alarm")
    eq(now()[4:], [6, 15, 30], "time of the alarm")
    eq(cmos(vm, 12) & 0xa0, 0xa0, "register C")
    check(not vm.irq_level(8), "interrupt after register C was read")
    # The periodic interrupt: 1024 a second, as they are served.
    cmos(vm, 10, 0x26)
    cmos(vm, 11, 0x46)
    cmos(vm, 12)
    before = vm.qtest.command("clock_step")
    for _ in range(16):
        check(vm.irq_level(8), "periodic interrupt")
        cmos(vm, 12)
        after = vm.qtest.command("clock_step")
        check(976562 <= after - before <= 976563, f"period of {after - before} ns")
        before = after


@case("qtest/clock/a-very-long-step-ends")
def long_step(t):
    vm = t.vm("-rtc", "clock=vm")
    cmos(vm, 11, 0x76)  # every interrupt there is
    vm.port_out(PM_BASE + 2, 2, 1)
    for _ in range(3):
        vm.clock_step(50 * 365 * 86400 * 10 ** 9)
        cmos(vm, 12)


# ---- doorbells and messages without KVM ----

@case("qtest/eventfd/a-doorbell-wakes-the-pair-s-thread-and-its-message-lands-in-ram", needs=TUN)
def doorbell(t):
    vm = t.vm("-object", "iothread,id=io0,poll-max-ns=0", *tap_args(nic_opts=",iothread-vq-mapping.0.iothread=io0"))
    pci = find_virtio(vm)[0]
    pci.msix_setup()
    nic, host = Nic(Modern(pci)), Host("t0")
    nic.start(vectors=True)
    tid = next(i for i, n in vm.thread_names().items() if n == "IO io0")

    def quiet():
        runs = vm.thread_runs(tid)
        time.sleep(QUIET_S * SCALE)
        return vm.thread_runs(tid) == runs
    wait_for(quiet, "the thread to sleep")
    runs = vm.thread_runs(tid)
    nic.t.select(0)
    vm.qtest.command("endianness")
    check(vm.thread_runs(tid) - runs <= 1, "the thread runs without a doorbell")
    frame = raw_frame(b"\2" * 6, MAC, size=64)
    for _ in range(5):
        runs = vm.thread_runs(tid)
        nic.send(0, frame)
        pci.msix_wait(2, "sent frame")
        host.expect(frame, "frame")
        check(vm.thread_runs(tid) > runs, "the doorbell did not wake the thread")
