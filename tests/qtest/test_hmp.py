# SPDX-License-Identifier: GPL-2.0-or-later
"""The human monitor: every command, by QMP, on a socket and at a terminal."""

import array
import fcntl
import os
import pty
import re
import select
import socket
import struct
import subprocess
import termios
import time
from pathlib import Path

from qmplib import Qmp, QmpError
from qtestlib import WAIT_S, Failure, Skip, case, check, eq, wait_for
from virtiolib import tap_args

TUN = ("root", "tun")
MACHINES = {
    "pc": ("-device", "virtio-net-pci,id=nic0,mac=52:54:00:00:00:01", "-object", "iothread,id=io0",
           "-chardev", "ringbuf,id=ring0", "-serial", "null", "-name", "smoke"),
    "none": ("-object", "iothread,id=io0", "-chardev", "ringbuf,id=ring0"),
}
ENDS = ("quit",)  # commands after which there is nothing to ask
NIC = "/machine/peripheral/nic0/virtio-backend"
# What is known to be right for a parameter; others get what is in HOSTILE.
GOOD = {"DEVICE": "ring0", "SIZE": "16", "DATA": "text", "ID": "ring0", "INDEX": "0", "PATH": "/objects/io0",
        "PROPERTY": "poll-max-ns", "VALUE": "4096", "QUEUE": "0", "TARGET": "vm", "COMMAND": "info",
        "SUBJECT": "status", "NAME": "x",
        "SECONDS": "1", "SAMPLE_PAGES": "512"}
HOSTILE = ("x", "0", "-1", "-a", "18446744073709551616", "0x", "\"", "\"a", "\\", "/", "//", "/machine/../x",
           "%s%n%n", "a,b,c", "a=b", "{", "{\"a\":1}", "\u00e9\u4e2d", "\x1b[2J\x07", "\x7f", "help", "?",
           "a" * 5000, "a " * 3000, "id=" + "a" * 300, ",".join("a.%d=1" % i for i in range(50)), "1 2 3 4 5 6 7 8")


class Hmp:
    """A VM whose human monitor is asked by QMP."""

    def __init__(self, t, *args, machine="pc"):
        self.vm = t.vm(*args, machine=machine, memory=machine == "pc", qmp=True)
        self.qmp = Qmp(self.vm.qmp_path)

    def run(self, line, **more):
        """What the user sees."""
        text = self.qmp.cmd("human-monitor-command", command_line=line, **more)
        check(isinstance(text, str), f"{line!r}: no text but {text!r}")
        check(text == "" or text.endswith("\r\n"), f"{line!r}: the last line has no end: {text[-80:]!r}")
        check("\n" not in text.replace("\r\n", ""), f"{line!r}: a line that does not end in CR LF")
        return text.replace("\r\n", "\n")

    def commands(self):
        """{name: [parameter...]} of all commands and subjects, as help tells them."""
        found = {}
        for line in self.run("help").splitlines() + self.run("help info").splitlines():
            usage, dashes, text = line.partition(" -- ")
            check(dashes and text, f"a line of help without explanation: {line!r}")
            words = usage.split()
            n = 2 if words[0] == "info" and len(words) > 1 and not words[1].startswith("[") else 1
            found[" ".join(words[:n])] = words[n:]
        check(len(found) > 40, f"help knows {len(found)} commands only")
        return found


def argument(param):
    name = param.strip("[]")
    return name if name.startswith("-") else GOOD.get(name, "x")


def smoke(t, machine):
    hmp = Hmp(t, *MACHINES[machine], machine=machine)
    for name, params in sorted(hmp.commands().items()):
        if name in ENDS:
            continue
        required = [argument(p) for p in params if not p.startswith("[")]
        every = [argument(p) for p in params]
        for arguments in (required, every):
            answer = hmp.run(" ".join([name] + arguments))
            check("unknown command" not in answer, f"{name}: {answer}")
            check("is missing" not in answer and "is too much" not in answer, f"{name} {arguments}: {answer}")
        if required:
            check(hmp.run(name).startswith(f"Error: {name}: "), f"{name} without arguments: {hmp.run(name)!r}")
        check(hmp.run(f"help {name}").startswith(name), f"help {name}: {hmp.run(f'help {name}')!r}")
    hmp.run("cont")
    eq(hmp.qmp.cmd("query-status")["status"], "running", "state after all commands")


@case("hmp/smoke/pc")
def smoke_pc(t):
    smoke(t, "pc")


@case("hmp/smoke/none")
def smoke_none(t):
    smoke(t, "none")


def hostile(t, machine):
    hmp = Hmp(t, *MACHINES[machine], machine=machine)
    for name, params in sorted(hmp.commands().items()):
        if name in ENDS or not params:
            continue
        for text in HOSTILE:
            hmp.run(f"{name} {text}")
            if len(params) > 1:
                hmp.run(f"{name} {argument(params[0])} {text}")
            if len(params) > 2:
                hmp.run(f"{name} {argument(params[0])} {argument(params[1])} {text}")
    for line in ("", " ", "\t", "\n", "a\nb", "info", "info info", "info  ", "help help", "quitx", "Q"):
        try:
            hmp.run(line)
        except QmpError as e:
            check("command-line" in str(e), f"{line!r}: {e}")
    hmp.qmp.cmd("query-status")


@case("hmp/hostile/pc")
def hostile_pc(t):
    hostile(t, "pc")


@case("hmp/hostile/none")
def hostile_none(t):
    hostile(t, "none")


@case("hmp/documented")
def documented(t):
    """Every command and subject has an entry of its own in the manual, and the man page names it."""
    docs = Path(__file__).resolve().parents[2] / "docs"
    manual = (docs / "system/monitor.rst").read_text(encoding="utf-8")
    man_page = (docs / "man/qemu-system-x86_64.rst").read_text(encoding="utf-8")
    hmp = Hmp(t)
    entries = {re.split(r"[ ,]", line)[0] for line in manual.splitlines() if re.match(r"[a-z]", line)}
    subjects = {line.split()[1] for line in manual.splitlines() if line.startswith("info ")}
    for name, params in hmp.commands().items():
        words = name.split()
        check(words[-1] in (entries if len(words) == 1 else subjects), f"the manual has no entry for {name}")
        check(len(words) == 2 or f"``{name}``" in man_page, f"the man page does not name {name}")
        usage = " ".join([name] + params)
        usage = usage.replace("[COMMAND] [SUBJECT]", "[COMMAND [SUBJECT]]")
        check(re.search(rf"^{re.escape(usage)}(, .)?$", manual, re.M), f"the manual does not have: {usage}")


@case("hmp/info/values")
def values(t):
    uuid = "01234567-89ab-cdef-0123-456789abcdef"
    hmp = Hmp(t, *MACHINES["pc"], "-smp", "2", "-uuid", uuid)
    eq(hmp.run("info name"), "smoke\n", "name")
    eq(hmp.run("info uuid"), uuid + "\n", "UUID")
    eq(hmp.run("info kvm"), "kvm support: disabled\n", "KVM")
    eq(hmp.run("info status"), "VM status: running\n", "status")
    eq(hmp.run("stop"), "", "stop")
    eq(hmp.run("info status"), "VM status: paused\n", "status when stopped")
    eq(hmp.run("c"), "", "c")
    eq(hmp.qmp.cmd("query-status")["running"], True, "running after c")
    eq(hmp.run("info memory_size_summary").splitlines()[0], "base memory: 67108864", "memory")
    check("memory backend: mem\n  size: 67108864\n" in hmp.run("info memdev"), "memory backend")
    check(re.fullmatch(r"io0:\n  thread_id=\d+\n  poll-max-ns=32768\n.*  aio-max-batch=0\n", hmp.run("info iothreads"), re.S), "iothreads")
    check("ring0: filename=ringbuf\n" in hmp.run("info chardev"), "chardev")
    check(NIC in hmp.run("info virtio"), "virtio")
    check("device-id: 1\n" in hmp.run(f"info virtio-status {NIC}"), "virtio-status")
    check("vring-num-default: 256\n" in hmp.run(f"info virtio-queue-status {NIC} 0"), "virtio-queue-status")
    check("Error: " in hmp.run(f"info virtio-queue-status {NIC} 999"), "a queue that is not there")
    check("nic0" in hmp.run("info qtree") and "nic0" in hmp.run("info qom-tree"), "trees")
    check("provider: net" in hmp.run("info stats net-queue"), "stats")
    eq(hmp.run("info stats net-queue rx-packets net").splitlines()[1], "  rx-packets: 0", "one counter")


@case("hmp/info/cpus")
def cpus(t):
    hmp = Hmp(t, "-smp", "2")
    listed = hmp.run("info cpus").splitlines()
    eq([line[:10] for line in listed], ["* CPU #0: ", "  CPU #1: "], "CPUs")
    check(hmp.run("info registers").startswith("Error: nothing runs CPU 0"), "registers without an accelerator")
    check(hmp.run("info registers", cpu_index=1).startswith("Error: nothing runs CPU 1"), "registers of cpu-index")
    eq(hmp.run("cpu 1"), "", "cpu 1")
    eq(hmp.run("cpu 2"), "Error: there is no CPU 2 (info cpus lists them)\n", "cpu 2")
    for index in (-1, 2, 1 << 40):
        try:
            hmp.run("info cpus", cpu_index=index)
        except QmpError as e:
            check("cpu-index" in e.desc, f"cpu-index {index}: {e.desc}")
        else:
            raise Failure(f"cpu-index {index} is accepted")


@case("hmp/info/network", needs=TUN)
def network(t):
    hmp = Hmp(t, *tap_args(queues=2))
    lines = hmp.run("info network").splitlines()
    pairs = [line for line in lines if line.startswith("  pair ")]
    eq(len(pairs), 2, "queue pairs")
    fds = set()
    for i, line in enumerate(pairs):
        found = re.match(rf"  pair {i}: owner=stopped,fd=(\d+),.*rx-packets=0,.*tx-drops=0$", line)
        check(found, f"a pair's line: {line}")
        fds.add(int(found[1]))
        check("tun" in os.readlink(f"/proc/{hmp.vm.process.pid}/fd/{found[1]}"), f"fd {found[1]} is no tap")
    eq(len(fds), 2, "descriptors")


@case("hmp/objects")
def objects(t):
    hmp = Hmp(t)
    eq(hmp.run("object_add iothread,id=a,poll-max-ns=77"), "", "object_add")
    eq(hmp.run("object_add {\"qom-type\":\"iothread\",\"id\":\"b\"}"), "", "object_add with JSON")
    eq(hmp.run("qom-get /objects/a poll-max-ns"), "77\n", "property")
    eq(hmp.run("qom-set /objects/a poll-max-ns 78"), "", "qom-set")
    eq(hmp.run("qom-set -j /objects/a poll-max-ns 79"), "", "qom-set with JSON")
    eq(hmp.run("qom-get a poll-max-ns"), "79\n", "changed property")
    check("Error: " in hmp.run("qom-set -j /objects/a poll-max-ns {"), "JSON that is none")
    check("a (child<iothread>)\n" in hmp.run("qom-list /objects"), "qom-list")
    for line in ("object_add iothread,id=a", "object_add nonsense,id=c", "object_add iothread", "object_add iothread,id=c,x=y",
                 "object_del c", "qom-get /objects/c x", "qom-get /objects/a x", "qom-list /objects/c"):
        check(hmp.run(line).startswith("Error: "), f"{line}: {hmp.run(line)}")
    eq(hmp.run("object_del a") + hmp.run("object_del b"), "", "object_del")
    eq(hmp.run("info iothreads"), "", "iothreads that are left")


def monitor_socket(t, vm):
    """The human monitor on a local socket, after its greeting."""
    sock = socket.socket(socket.AF_UNIX)
    sock.connect(str(t.dir / "mon"))
    until(sock.fileno(), b"(qemu) ")
    return sock


def until(fd, end, seconds=None):
    """Reads up to END."""
    text, limit = b"", time.monotonic() + (seconds or WAIT_S)
    while end not in text:
        if not select.select([fd], [], [], max(0, limit - time.monotonic()))[0]:
            raise Failure(f"waited in vain for {end!r}, got {text!r}")
        try:
            data = os.read(fd, 65536)
        except OSError:
            data = b""
        if not data:
            raise Failure(f"the end, before {end!r}: {text!r}")
        text += data
    return text


@case("hmp/socket/editor-and-fds")
def plain_socket(t):
    """The simple editor, and descriptors that come over the socket."""
    vm = t.vm("-monitor", f"unix:{t.dir}/mon,server=on,wait=off")
    sock = monitor_socket(t, vm)
    sock.sendall(b"infq\x7fo \x1b[A\x1b[1;5C\x1bODstatus\r")
    check(b"VM status: running\r\n" in until(sock.fileno(), b"\n(qemu) "), "answer")
    sock.sendall(b"nonsense\x15info name\x03help q\n")
    check(b"quit -- " in until(sock.fileno(), b"\n(qemu) "), "erased lines")
    sock.sendall(b"getfd f0\n")
    check(b"Error: no file descriptor came" in until(sock.fileno(), b"\n(qemu) "), "getfd without one")
    before = vm.fds()
    fd = os.open("/dev/zero", os.O_RDONLY)
    sock.sendmsg([b"getfd f0\n"], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [fd]))])
    os.close(fd)
    check(b"Error" not in until(sock.fileno(), b"\n(qemu) "), "getfd")
    eq(vm.fds().get("/dev/zero"), 1, "descriptors of /dev/zero")
    sock.sendall(b"closefd f0\n")
    check(b"Error" not in until(sock.fileno(), b"\n(qemu) "), "closefd")
    eq(vm.fds(), before, "descriptors after closefd")
    sock.sendall(b"closefd f0\n")
    check(b"Error: " in until(sock.fileno(), b"\n(qemu) "), "closefd again")
    check("readline" not in maps(vm.process.pid), "the terminal's editor is loaded without a terminal")
    sock.close()
    sock = socket.socket(socket.AF_UNIX)  # the next one is greeted as well
    sock.connect(str(t.dir / "mon"))
    check(until(sock.fileno(), b"(qemu) ").startswith(b"QEMU "), "greeting of the second client")
    sock.close()


# ---- at a terminal ----

def maps(pid):
    with open(f"/proc/{pid}/maps", encoding="utf-8") as f:
        return f.read()


def terminal_modes(fd):
    return termios.tcgetattr(fd)[:4]


class Terminal:
    """The emulator with a terminal of its own."""

    def __init__(self, t, *args, term="xterm"):
        self.fd, tty = pty.openpty()
        self.tty = tty
        self.resize(24, 80)
        self.modes = terminal_modes(tty)
        env = {k: v for k, v in os.environ.items() if k not in ("INPUTRC", "LINES", "COLUMNS")}
        env.update(HOME=str(t.dir), TERM=term, INPUTRC="/dev/null")
        self.process = subprocess.Popen([t.emulator, "-machine", "none", "-accel", "qtest", *args], stdin=tty, stdout=tty,
                                        stderr=tty, env=env, start_new_session=True)

    def resize(self, rows, columns):
        fcntl.ioctl(self.fd, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def type(self, keys):
        os.write(self.fd, keys.encode() if isinstance(keys, str) else keys)

    def expect(self, end):
        return until(self.fd, end.encode(), WAIT_S * 2).decode(errors="replace")

    def ask(self, keys, end="\n(qemu) "):
        self.type(keys)
        return self.expect(end)

    def loaded(self):
        return "libreadline" in maps(self.process.pid)

    def end(self):
        """By quit; the terminal is as it was."""
        self.type("quit\r")
        wait_for(lambda: self.process.poll() is not None, "the end after quit")
        eq(self.process.returncode, 0, "exit status")
        eq(terminal_modes(self.tty), self.modes, "the terminal's modes")

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        os.close(self.fd)
        os.close(self.tty)


def with_editor(t, *args):
    """A Terminal that has the full editor."""
    term = Terminal(t, "-nodefaults", "-display", "none", *args)
    term.expect("(qemu) ")
    return term


def need_editor(term):
    if not term.loaded():
        raise Skip("this build, or this host, has no readline")


@case("hmp/terminal/editing")
def editing(t):
    with with_editor(t, "-monitor", "stdio") as term:
        need_editor(term)
        # Left, insert, Home, Delete, End, word by word, transposed, killed and brought back
        check("stop -- " in term.ask("help sop\x1b[D\x1b[Dt\r"), "Left and an insertion")
        check("stop -- " in term.ask("xhelp stop\x1b[H\x1b[3~\r"), "Home and Delete")
        check("stop -- " in term.ask("lp stop\x01he\x05\r"), "Ctrl-A and Ctrl-E")
        check("stop -- " in term.ask("help quit\x17stop\r"), "Ctrl-W")
        check("stop -- " in term.ask("hepl\x14 stop\r"), "Ctrl-T")
        check("stop -- " in term.ask("stop\x15help \x19\r"), "Ctrl-U and Ctrl-Y")
        check("stop -- " in term.ask("help stopped\x1b[D\x1b[D\x1b[D\x0b\r"), "Ctrl-K")
        check("stop -- " in term.ask("help nonsense stop\x1bb\x1bb\x1bd\x1b[3~\r"), "word by word")
        # Ctrl-D deletes and is no end of input
        check("stop -- " in term.ask("\x04\x04help sstop\x1bb\x04\r"), "Ctrl-D")
        # bytes that are no ASCII, a key that means nothing, a line that wraps
        check("unknown command: '\u00e9'" in term.ask("\u00e9\r"), "UTF-8")
        check("stop -- " in term.ask("\x1b[24~\x15help stop\r"), "a key that means nothing")
        check("'" + "a" * 60 in term.ask("a" * 500 + "\r"), "a line that wraps")
        term.end()


@case("hmp/terminal/history")
def history(t):
    with with_editor(t, "-monitor", "stdio") as term:
        need_editor(term)
        term.ask("help quit\r")
        term.ask("help stop\r")
        term.ask("help stop\r")
        check("stop -- " in term.ask("\x1b[A\r"), "Up")
        check("quit -- " in term.ask("\x1b[A\x1b[A\r"), "Up, Up: equal lines are kept once")
        check("stop -- " in term.ask("\x1b[A\x1b[A\x1b[A\x1b[B\r"), "Down")
        check("stop -- " in term.ask("\x12sto\r"), "Ctrl-R")
        check("cont -- " in term.ask("\x10" + "\x7f" * 4 + "cont\r"), "Ctrl-P and another end")
        term.end()


@case("hmp/terminal/completion")
def completion(t):
    with with_editor(t, "-monitor", "stdio", "-object", "iothread,id=io0", "-object", "iothread,id=io1",
                     "-chardev", "ringbuf,id=ring") as term:
        need_editor(term)
        check("system_reset -- " in term.ask("help system_r\t\r"), "a command")
        check("VM status: " in term.ask("inf\tstatu\t\r"), "a subject")
        shown = term.ask("info vi\t\t\t", "(qemu) info virtio")
        check("virtio-queue-status" in shown and "virtio-status" in shown, f"the choice: {shown!r}")
        term.ask("\x15\r")
        check("child<iothread>" in term.ask("qom-list /obj\t\r"), "a path")
        check("32768" in term.ask("qom-get /obj\t/io\t0 poll-m\t\r"), "a path in steps, and a property")
        term.ask("ringbuf_write r\ttext\r")
        check("text" in term.ask("ringbuf_read \t16\r"), "a device")
        term.ask("object_del io\t1\r")
        check("io1" not in term.ask("info iothreads\r"), "an object")
        check("\a" in term.ask("nonsense \t", "\a"), "nothing to complete")
        check("unknown command: '/et'" in term.ask("\x15/et\t\r"), "file names")
        term.end()


@case("hmp/terminal/size")
def size(t):
    """A line longer than the terminal is wide; wider later, without a signal."""
    with with_editor(t, "-monitor", "stdio") as term:
        need_editor(term)
        term.resize(24, 40)
        narrow = term.ask("a" * 50 + "\r")
        term.resize(24, 132)
        wide = term.ask("b" * 50 + "\r")
        check("a" * 50 not in narrow.split("\n", 1)[0], "a wrapped line")
        check("b" * 50 in wide, "a line that fits")
        term.end()


@case("hmp/terminal/mux")
def mux(t):
    """Ctrl-a c goes to the monitor and back; the editor comes with the first look at it."""
    with Terminal(t, "-M", "pc", "-nographic", "-nodefaults", "-serial", "mon:stdio") as term:
        wait_for(lambda: "(raw)" if not terminal_modes(term.tty)[3] & termios.ICANON else None, "raw mode")
        check(not term.loaded(), "the editor is loaded before anybody looks at the monitor")
        check("monitor - type 'help'" in term.ask("\x01c", "(qemu) "), "greeting")
        check("VM status: running" in term.ask("info status\r"), "the monitor")
        term.ask("help sto", "help sto")
        term.type("\x01c")
        term.ask("\x01c", "\n(qemu) help sto")  # what is being typed is shown again
        check("stop -- " in term.ask("p\r"), "the rest of the line")
        check("unknown command: 'ok'" in term.ask("nonsense\x03ok\r"), "Ctrl-C empties the line")
        term.ask("\x01h", "Ctrl-a Ctrl-a")
        term.end()


@case("hmp/terminal/simple")
def simple(t):
    """Without TERM, and without a terminal, there is the simple editor."""
    with Terminal(t, "-nodefaults", "-display", "none", "-monitor", "stdio", term="") as term:
        term.expect("(qemu) ")
        check(not term.loaded(), "the full editor without TERM")
        check("stop -- " in term.ask("help quit\x15help stop\r"), "an answer")
        term.end()
    answer = subprocess.run([t.emulator, "-machine", "none", "-accel", "qtest", "-nodefaults", "-display", "none",
                             "-monitor", "stdio"], input=b"help stop\nquit\n", capture_output=True, timeout=WAIT_S,
                            check=True).stdout
    check(b"stop -- " in answer, "through pipes")
