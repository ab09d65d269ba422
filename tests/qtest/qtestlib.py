# SPDX-License-Identifier: GPL-2.0-or-later
"""Starts the emulator under `-accel qtest` and drives it from outside.

A test case is a function marked with @case; it gets a Test, which starts
machines (Vm) and ends them. Guest RAM is a shared file that the case reads and
writes directly; registers are reached by the qtest protocol. Interrupts by
MSI-X are aimed at words of guest RAM.
"""

import ctypes
import mmap
import os
import select
import signal
import socket
import subprocess
import time
from pathlib import Path

MIB = 1 << 20
CASES = []
SANITIZER_MARKS = ("AddressSanitizer", "LeakSanitizer", "ThreadSanitizer", "runtime error:", "UndefinedBehavior")
PR_SET_PDEATHSIG = 1
SCALE = float(os.environ.get("QTEST_TIMEOUT_SCALE", "1"))
WAIT_S = 30.0 * SCALE  # for what must come; the machine may be busy
QUIET_S = 0.05         # how long nothing has to come


class Failure(Exception):
    """A check of a case did not hold."""


class Skip(Exception):
    """A case cannot run here; the text says why."""


def case(name, needs=()):
    """Registers a case; NEEDS is a subset of "tun" and "root"."""
    def mark(func):
        func.case_name = name
        func.needs = needs
        CASES.append(func)
        return func
    return mark


def check(condition, what):
    if not condition:
        raise Failure(what)


def eq(got, want, what):
    if got != want:
        show = [f"{v:#x}" if isinstance(v, int) and not isinstance(v, bool) else repr(v)[:300] for v in (got, want)]
        raise Failure(f"{what}: got {show[0]}, expected {show[1]}")


def wait_for(func, what, timeout=None):
    """Polls until FUNC returns something true, which is the result."""
    end = time.monotonic() + (WAIT_S if timeout is None else timeout)
    while True:
        value = func()
        if value:
            return value
        if time.monotonic() > end:
            raise Failure(f"waited in vain for {what}")
        time.sleep(0.0005)


class Qtest:
    """The client's end of the qtest protocol."""

    def __init__(self, path):
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(str(path))
        self.listener.listen(1)
        self.sock = None
        self.buf = b""
        self.irqs = []  # ("raise" or "lower", line)

    def accept(self, process, log):
        end = time.monotonic() + WAIT_S
        while not select.select([self.listener], [], [], 0.02)[0]:
            if process.poll() is not None:
                raise Failure(f"the emulator ended with status {process.returncode}: {log()}")
            if time.monotonic() > end:
                raise Failure(f"the emulator did not connect: {log()}")
        self.sock, _ = self.listener.accept()
        self.listener.close()

    def _line(self):
        while b"\n" not in self.buf:
            if not select.select([self.sock], [], [], WAIT_S)[0]:
                raise Failure("qtest: no answer, the main loop hangs")
            try:
                data = self.sock.recv(1 << 16)
            except ConnectionError:
                data = b""
            if not data:
                raise Failure("qtest: the emulator closed the connection")
            self.buf += data
        line, self.buf = self.buf.split(b"\n", 1)
        return line.decode()

    def _answer(self):
        while True:
            line = self._line()
            if not line.startswith("IRQ "):
                return line
            _, what, number = line.split()
            self.irqs.append((what, int(number)))

    def send(self, text):
        try:
            self.sock.sendall(text.encode())
        except ConnectionError:
            raise Failure("qtest: the emulator closed the connection") from None

    def command(self, text):
        """One command; its value, or None."""
        self.send(text + "\n")
        answer = self._answer()
        if not answer.startswith("OK"):
            raise Failure(f"qtest: {text}: {answer}")
        return int(answer[3:], 0) if answer[3:4].isdigit() else None

    def batch(self, commands):
        """Many commands at once; their raw answers."""
        answers = []
        for at in range(0, len(commands), 256):
            part = commands[at:at + 256]
            self.send("\n".join(part) + "\n")
            answers += [self._answer() for _ in part]
        return answers


class Vm:
    """One emulator process with its guest RAM."""

    def __init__(self, test, *args, ram=64 * MIB, memory=True, machine="pc", pass_fds=(), qmp=False):
        self.test = test
        n = len(test.vms)
        self.dir = test.dir
        self.log_path = self.dir / f"log{n}"
        self.ended = False
        self.expect_status = 0
        command = [test.emulator, "-nodefaults", "-accel", "qtest", "-qtest-log", "none", "-m", f"{ram // MIB}M",
                   "-qtest", f"unix:{self.dir}/qtest{n}", "-machine",
                   f"{machine},memory-backend=mem" if memory else machine]
        if memory:
            ram_path = test.ram_dir / f"ram{n}"
            fd = os.open(ram_path, os.O_RDWR | os.O_CREAT | os.O_TRUNC, 0o600)
            os.ftruncate(fd, ram)
            self.ram = mmap.mmap(fd, ram)
            os.close(fd)
            # Native items are stored and loaded whole, which struct does not promise.
            view = memoryview(self.ram)
            self.m16, self.m32, self.m64 = view.cast("H"), view.cast("I"), view.cast("Q")
            command += ["-object", f"memory-backend-file,id=mem,size={ram},mem-path={ram_path},share=on"]
        if qmp:
            self.qmp_path = self.dir / f"qmp{n}"
            command += ["-qmp", f"unix:{self.qmp_path},server=on,wait=off"]
        self.heap = 1 * MIB
        self.next_mem, self.next_port = 0xe0000000, 0xc000
        self.qtest = Qtest(self.dir / f"qtest{n}")
        with open(self.log_path, "wb") as log:
            self.process = subprocess.Popen(command + [str(a) for a in args], stdin=subprocess.DEVNULL, stdout=log,
                                            stderr=log, preexec_fn=_die_with_parent, pass_fds=pass_fds)
        test.vms.append(self)
        self.qtest.accept(self.process, self.log)

    def log(self):
        return self.log_path.read_text(errors="replace").strip()[-12000:]

    def alive(self):
        return self.process.poll() is None

    def alloc(self, size, align=16):
        """Zeroed guest RAM; its guest-physical address."""
        at = (self.heap + align - 1) & -align
        self.heap = at + size
        check(self.heap <= len(self.ram), "guest RAM used up by the case")
        self.ram[at:at + size] = bytes(size)
        return at

    def port_in(self, port, size):
        return self.qtest.command(f"in{'?bw?l'[size]} {port:#x}")

    def port_out(self, port, size, value):
        self.qtest.command(f"out{'?bw?l'[size]} {port:#x} {value:#x}")

    def read(self, addr, size):
        return self.qtest.command(f"read{'?bw?l???q'[size]} {addr:#x}")

    def write(self, addr, size, value):
        self.qtest.command(f"write{'?bw?l???q'[size]} {addr:#x} {value:#x}")

    def clock_step(self, ns):
        self.qtest.command(f"clock_step {ns}")

    def intercept_irqs(self):
        self.qtest.command("irq_intercept_in ioapic")

    def irq_level(self, line):
        """The line's level as the events so far tell it."""
        self.qtest.batch(["endianness"])
        level = False
        for what, number in self.qtest.irqs:
            if number == line:
                level = what == "raise"
        return level

    def wait_end(self, what="the process to end"):
        """Waits until the process ended by itself; its status."""
        wait_for(lambda: not self.alive(), what)
        self.ended = True
        return self.process.returncode

    def thread_names(self):
        """Name of each thread by its id."""
        base = Path(f"/proc/{self.process.pid}/task")
        return {int(t.name): (t / "comm").read_text().strip() for t in base.iterdir()}

    def thread_runs(self, tid):
        """How often the thread was put on a CPU."""
        return int(Path(f"/proc/{self.process.pid}/task/{tid}/schedstat").read_text().split()[2])

    def idle(self):
        """True when every thread sleeps: what is there to be done is done."""
        base = Path(f"/proc/{self.process.pid}/task")
        return all((t / "stat").read_text().rsplit(")", 1)[1].split()[0] == "S" for t in base.iterdir())

    def cpu_seconds(self):
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def fds(self):
        """What the process has open, by kind."""
        base = f"/proc/{self.process.pid}/fd"
        kinds = {}
        for fd in os.listdir(base):
            try:
                kind = os.readlink(f"{base}/{fd}").split(":")[0]
            except FileNotFoundError:
                continue
            kinds[kind] = kinds.get(kind, 0) + 1
        return kinds

    def close(self):
        """Ends the process and checks how it went."""
        if not self.ended and not self.alive():
            raise Failure(f"the emulator ended by itself with status {self.process.returncode}")
        if self.alive():
            self.process.send_signal(signal.SIGTERM)
            try:
                status = self.process.wait(WAIT_S)
            except subprocess.TimeoutExpired:
                self.kill()
                raise Failure("the emulator ignores SIGTERM") from None
            eq(status, self.expect_status, "exit status after SIGTERM")
        check(not any(m in self.log() for m in SANITIZER_MARKS), "sanitizer report")

    def kill(self):
        if self.alive():
            self.process.kill()
            self.process.wait()


def _die_with_parent():
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


class Test:
    """What a case gets: where it may write, what it started."""

    def __init__(self, emulator, directory, ram_dir):
        self.emulator = emulator
        self.dir = Path(directory)
        self.ram_dir = Path(ram_dir)
        self.vms = []

    def vm(self, *args, **kw):
        return Vm(self, *args, **kw)

    def finish(self):
        for vm in self.vms:
            vm.close()

    def give_up(self):
        for vm in self.vms:
            vm.kill()

    def logs(self):
        return "\n".join(vm.log() for vm in self.vms if vm.log_path.exists()).strip()


# ---- PCI ----

CONFIG_ADDRESS, CONFIG_DATA = 0xcf8, 0xcfc
COMMAND_IO, COMMAND_MEMORY, COMMAND_MASTER, COMMAND_INTX_OFF = 1, 2, 4, 0x400
CAP_VENDOR, CAP_MSIX = 0x09, 0x11


class Bar:
    """A base address register: what it is and where it lies."""

    def __init__(self, index, port, size, wide, prefetch):
        self.index, self.port, self.size, self.wide, self.prefetch = index, port, size, wide, prefetch
        self.addr = 0


class PciDevice:
    """A function on bus 0."""

    def __init__(self, vm, slot, function=0):
        self.vm = vm
        self.devfn = slot << 3 | function
        self.bars = {}
        self.msix_words = 0
        self.msix_table = 0
        self.msix_pba = 0
        self.n_vectors = 0

    def _select(self, offset):
        self.vm.port_out(CONFIG_ADDRESS, 4, 1 << 31 | self.devfn << 8 | offset & 0xfc)

    def read(self, offset, size):
        self._select(offset)
        return self.vm.port_in(CONFIG_DATA + (offset & 3), size)

    def write(self, offset, size, value):
        self._select(offset)
        self.vm.port_out(CONFIG_DATA + (offset & 3), size, value)

    @property
    def ids(self):
        return self.read(0, 2), self.read(2, 2)

    def capabilities(self):
        """(id, offset) of each, in the order of the list."""
        found, at = [], self.read(0x34, 1)
        while at:
            check(len(found) < 48 and at >= 0x40, "capability list is broken")
            found.append((self.read(at, 1), at))
            at = self.read(at + 1, 1)
        return found

    def size_bars(self):
        """Reads kinds and sizes with decoding off."""
        command = self.read(4, 2)
        self.write(4, 2, command & ~(COMMAND_IO | COMMAND_MEMORY))
        index = 0
        while index < 6:
            reg = 0x10 + 4 * index
            self.write(reg, 4, 0xffffffff)
            value = self.read(reg, 4)
            step = 1
            if value:
                port, wide = bool(value & 1), value & 7 == 4
                mask = value & (~3 if port else ~15)
                if wide:
                    self.write(reg + 4, 4, 0xffffffff)
                    mask |= self.read(reg + 4, 4) << 32
                    step = 2
                size = (~mask & (2 ** 64 - 1 if wide else 2 ** 32 - 1)) + 1
                if port:
                    size &= 0xffff
                self.bars[index] = Bar(index, port, size, wide, bool(value & 8) and not port)
            index += step
        self.write(4, 2, command)
        return self.bars

    def place_bar(self, index, addr):
        bar = self.bars[index]
        self.write(0x10 + 4 * index, 4, addr & 0xffffffff)
        if bar.wide:
            self.write(0x14 + 4 * index, 4, addr >> 32)
        bar.addr = addr

    def enable(self):
        """Gives every BAR a place; decoding and bus mastering on."""
        for bar in self.size_bars().values():
            if bar.port:
                at = (self.vm.next_port + bar.size - 1) & -bar.size
                self.vm.next_port = at + bar.size
            else:
                at = (self.vm.next_mem + max(bar.size, 4096) - 1) & -max(bar.size, 4096)
                self.vm.next_mem = at + bar.size
            self.place_bar(bar.index, at)
        self.write(4, 2, COMMAND_IO | COMMAND_MEMORY | COMMAND_MASTER)

    # MSI-X: every vector's message is a store into a word of its own.

    def msix_cap(self):
        return next((at for kind, at in self.capabilities() if kind == CAP_MSIX), None)

    def msix_setup(self, enable=True):
        cap = self.msix_cap()
        check(cap, "no MSI-X capability")
        self.n_vectors = (self.read(cap + 2, 2) & 0x7ff) + 1
        table, pba = self.read(cap + 4, 4), self.read(cap + 8, 4)
        self.msix_table = self.bars[table & 7].addr + (table & ~7)
        self.msix_pba = self.bars[pba & 7].addr + (pba & ~7)
        if not self.msix_words:
            self.msix_words = self.vm.alloc(4 * self.n_vectors, 64)
        for v in range(self.n_vectors):
            self.msix_entry(v, self.msix_words + 4 * v, v + 1, masked=False)
        if enable:
            self.msix_enable(True)

    def msix_entry(self, vector, addr, data, masked):
        at = self.msix_table + 16 * vector
        self.vm.qtest.batch([f"writel {at:#x} {addr & 0xffffffff:#x}", f"writel {at + 4:#x} {addr >> 32:#x}",
                             f"writel {at + 8:#x} {data:#x}", f"writel {at + 12:#x} {int(masked)}"])

    def msix_mask(self, vector, masked):
        self.vm.write(self.msix_table + 16 * vector + 12, 4, int(masked))

    def msix_enable(self, on, mask_all=False):
        cap = self.msix_cap()
        value = self.read(cap + 2, 2) & 0x3fff
        self.write(cap + 2, 2, value | (0x8000 if on else 0) | (0x4000 if mask_all else 0))

    def msix_pending(self, vector):
        return bool(self.vm.read(self.msix_pba + vector // 32 * 4, 4) >> vector % 32 & 1)

    def msix_clear(self):
        for v in range(self.n_vectors):
            self.vm.m32[self.msix_words // 4 + v] = 0

    def msix_take(self, vector):
        """True when the vector's message came since the last call."""
        at = self.msix_words // 4 + vector
        came = self.vm.m32[at]
        if came:
            eq(came, vector + 1, f"data of vector {vector}")
            self.vm.m32[at] = 0
        return bool(came)

    def msix_wait(self, vector, what="interrupt"):
        wait_for(lambda: self.msix_take(vector), f"{what} of vector {vector}")

    def msix_quiet(self, vector, what):
        time.sleep(QUIET_S * SCALE)
        check(not self.msix_take(vector), f"interrupt of vector {vector} although {what}")


def pci_scan(vm):
    """All functions of bus 0."""
    found = []
    for slot in range(32):
        first = PciDevice(vm, slot)
        if first.read(0, 2) == 0xffff:
            continue
        found.append(first)
        if first.read(0x0e, 1) & 0x80:
            found += [d for d in (PciDevice(vm, slot, f) for f in range(1, 8)) if d.read(0, 2) != 0xffff]
    return found
