# SPDX-License-Identifier: GPL-2.0-or-later
"""Commands for character devices and for file descriptors that a client passes."""

import base64
import os
import select
import socket
import stat

from qmplib import Qmp, QmpError
from qtestlib import SCALE, WAIT_S, case, check, eq, wait_for

COM1 = 0x3f8
LSR_DATA, LSR_BREAK, LSR_EMPTY = 0x01, 0x10, 0x20
BACKENDS = {"file", "pipe", "null", "pty", "socket", "stdio", "ringbuf", "memory"}


def unix_addr(path):
    return {"type": "unix", "data": {"path": str(path)}}


def ringbuf(size=4096):
    return {"type": "ringbuf", "data": {"size": size}}


NULL = {"type": "null", "data": {}}


def start(t, *args):
    vm = t.vm(*args, memory=False, qmp=True)
    return vm, Qmp(vm.qmp_path)


def chardev(q, label):
    """What query-chardev says of it; None: it is not there."""
    return next((c for c in q.cmd("query-chardev") if c["label"] == label), None)


def refused(q, text, command, fds=(), **arguments):
    try:
        q.cmd(command, fds=fds, **arguments)
    except QmpError as e:
        check(text in str(e), f"{command} {arguments}: the error {e} does not say {text!r}")
        eq(e.cls, "GenericError", f"class of the error of {command} {arguments}")
    else:
        check(False, f"{command} {arguments} is accepted")


def read_exactly(file, n):
    """N bytes from a socket, or a descriptor."""
    fd = file if isinstance(file, int) else file.fileno()
    data = b""
    while len(data) < n:
        check(select.select([fd], [], [], WAIT_S)[0], f"only {data!r} came of {n} bytes")
        part = os.read(fd, n - len(data))
        check(part, f"the end came after {data!r}")
        data += part
    return data


def connect(path):
    sock = socket.socket(socket.AF_UNIX)
    sock.connect(str(path))
    return sock


class Uart:
    """COM1 as a guest's driver sees it."""

    def __init__(self, vm):
        self.vm = vm
        vm.port_out(COM1 + 2, 1, 0x07)      # FIFOs on and empty

    def status(self):
        return self.vm.port_in(COM1 + 5, 1)

    def send(self, data):
        for byte in data:
            wait_for(lambda: self.status() & LSR_EMPTY, "an empty transmitter")
            self.vm.port_out(COM1, 1, byte)

    def receive(self, n):
        data = bytearray()
        while len(data) < n:
            wait_for(lambda: self.status() & LSR_DATA, f"byte {len(data)} of {n}, after {bytes(data)!r}")
            data.append(self.vm.port_in(COM1, 1))
        return bytes(data)


# ---- queries ----

@case("chardev/query")
def query(t):
    path = t.dir / "ser"
    _, q = start(t, "-chardev", f"socket,id=ser,path={path},server=on,wait=off", "-serial", "chardev:ser",
                 "-chardev", "null,id=spare")
    eq(chardev(q, "ser"), {"label": "ser", "filename": f"disconnected:unix:{path},server=on", "frontend-open": True},
       "the serial port's device")
    eq(chardev(q, "spare"), {"label": "spare", "filename": "null", "frontend-open": False}, "a device without user")
    with connect(path):
        wait_for(lambda: chardev(q, "ser")["filename"] == f"unix:{path},server=on", "the peer to be seen")
    eq({b["name"] for b in q.cmd("query-chardev-backends")}, BACKENDS, "query-chardev-backends")


# ---- adding and removing ----

def every_backend(t, listener):
    """Name and configuration of each kind; what they need is there."""
    for suffix in (".in", ".out"):
        os.mkfifo(t.dir / f"fifo{suffix}")
    port = {"type": "inet", "data": {"host": "127.0.0.1", "port": "0"}}
    return {
        "file": {"type": "file", "data": {"out": str(t.dir / "out"), "in": "/dev/null", "append": True,
                                          "logfile": str(t.dir / "log"), "logappend": False}},
        "pipe": {"type": "pipe", "data": {"device": str(t.dir / "fifo")}},
        "null": NULL,
        "pty": {"type": "pty", "data": {}},
        "unix-server": {"type": "socket", "data": {"addr": unix_addr(t.dir / "srv")}},
        "tcp-server": {"type": "socket", "data": {"addr": port, "server": True, "wait": False, "nodelay": True}},
        "unix-client": {"type": "socket", "data": {"addr": unix_addr(listener), "server": False}},
        "reconnecting": {"type": "socket", "data": {"addr": unix_addr(t.dir / "nobody"), "server": False,
                                                    "reconnect": 1}},
        "stdio": {"type": "stdio", "data": {"signal": False}},
        "ringbuf": ringbuf(65536),
        "memory": {"type": "memory", "data": {}},
        "mux": {"type": "mux", "data": {"chardev": "base"}},
    }


def rss_kib(vm):
    with open(f"/proc/{vm.process.pid}/statm", encoding="ascii") as f:
        return int(f.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") // 1024


@case("chardev/add-remove")
def add_remove(t):
    """200 times each: no descriptor stays behind, and no memory."""
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(t.dir / "peer"))
        listener.listen(64)
        vm, q = start(t, "-chardev", "null,id=base")
        backends = every_backend(t, t.dir / "peer")

        def once(config):
            answer = q.cmd("chardev-add", id="c0", backend=config)
            eq("pty" in answer, config["type"] == "pty", f"pty in the answer to {config['type']}")
            q.cmd("chardev-remove", id="c0")
            if select.select([listener], [], [], 0)[0]:
                listener.accept()[0].close()

        for config in backends.values():    # first use: locale, buffers...
            for _ in range(10):
                once(config)
        fds, memory = vm.fds(), rss_kib(vm)
        for name, config in backends.items():
            for _ in range(200):
                once(config)
            eq(vm.fds(), fds, f"open files after {name}")
        grown = rss_kib(vm) - memory
        # A sanitizer keeps freed memory; it looks for leaks itself.
        check(grown < 2048 or SCALE > 1, f"{grown} KiB more memory after {200 * len(backends)} devices")
        check(not (t.dir / "srv").exists(), "a removed server's socket file is still there")
        eq([c["label"] for c in q.cmd("query-chardev") if c["label"] == "c0"], [], "devices left")


@case("chardev/add-pty")
def add_pty(t):
    """The answer has the path; nothing is said on the emulator's own output."""
    vm, q = start(t)
    path = q.cmd("chardev-add", id="p", backend={"type": "pty", "data": {}})["pty"]
    check(stat.S_ISCHR(os.stat(path).st_mode), f"{path} is no terminal")
    eq(chardev(q, "p")["filename"], f"pty:{path}", "its filename")
    eq(vm.log(), "", "what the emulator printed")


@case("chardev/errors")
def errors(t):
    """Bad arguments of every command, and nothing half-made by them."""
    vm, q = start(t, "-chardev", "ringbuf,id=rb", "-chardev", "ringbuf,id=ser", "-serial", "chardev:ser",
                  "-chardev", "null,id=shared,mux=on")
    fds = vm.fds()
    socket_at = lambda **data: {"type": "socket", "data": data}     # noqa: E731
    for text, backend in [
            ("backend.type", {}), ("carrier-pigeon", {"type": "carrier-pigeon", "data": {}}),
            ("backend.data", {"type": "null"}), ("'backend'", "null"), ("out", {"type": "file", "data": {}}), ("colour", {"type": "null", "data":
                                                                                    {"colour": "red"}}),
            ("/nowhere/x", {"type": "file", "data": {"out": "/nowhere/x"}}),
            ("/nowhere/i", {"type": "file", "data": {"out": "/dev/null", "in": "/nowhere/i"}}),
            ("/nowhere/l", {"type": "null", "data": {"logfile": "/nowhere/l"}}),
            ("/nowhere/p", {"type": "pipe", "data": {"device": "/nowhere/p"}}),
            ("power of two", ringbuf(1000)), ("power of two", ringbuf(-1)), ("power of two", ringbuf(1 << 40)),
            ("'nope' is not", {"type": "mux", "data": {"chardev": "nope"}}),
            ("already in use", {"type": "mux", "data": {"chardev": "ser"}}),
            ("cannot connect", socket_at(addr=unix_addr(t.dir / "nobody"), server=False)),
            ("cannot listen", socket_at(addr=unix_addr("/nowhere/s"))),
            ("1 to 107 bytes", socket_at(addr=unix_addr("x" * 200))),
            ("'wait' is for servers", socket_at(addr=unix_addr("/x"), server=False, wait=True)),
            ("'reconnect' is for clients", socket_at(addr=unix_addr("/x"), reconnect=1)),
            ("'nope' not found", socket_at(addr={"type": "fd", "data": {"str": "nope"}})),
            ("expects a socket", socket_at(addr={"type": "fd", "data": {"str": "0"}}))]:
        refused(q, text, "chardev-add", id="c0", backend=backend)
    refused(q, "Chardev with id 'rb' already exists", "chardev-add", id="rb", backend=NULL)
    for bad in ("", "1x", "a b", "x" * 10 + "\n"):
        refused(q, "'id' expects", "chardev-add", id=bad, backend=NULL)
    refused(q, "'id'", "chardev-add", backend=NULL)
    refused(q, "Chardev 'nope' does not exist", "chardev-change", id="nope", backend=NULL)
    refused(q, "/nowhere/x", "chardev-change", id="ser", backend={"type": "file", "data": {"out": "/nowhere/x"}})
    refused(q, "Mux device hotswap", "chardev-change", id="shared", backend=NULL)
    refused(q, "Mux device hotswap", "chardev-change", id="rb", backend={"type": "mux", "data": {"chardev": "rb"}})
    refused(q, "does not support", "chardev-change", id="shared-base", backend=NULL)
    monitor = next(c["label"] for c in q.cmd("query-chardev") if f"unix:{vm.qmp_path}" in c["filename"])
    refused(q, "does not support", "chardev-change", id=monitor, backend=NULL)
    refused(q, f"Chardev '{monitor}' is busy", "chardev-remove", id=monitor)
    refused(q, "Chardev 'ser' is busy", "chardev-remove", id="ser")
    refused(q, "Chardev 'shared-base' is busy", "chardev-remove", id="shared-base")
    refused(q, "Chardev 'nope' not found", "chardev-remove", id="nope")
    refused(q, "Chardev 'nope' not found", "chardev-send-break", id="nope")
    refused(q, "Device 'nope' not found", "ringbuf-write", device="nope", data="x")
    refused(q, "not a ring buffer", "ringbuf-write", device="shared", data="x")
    refused(q, "base64", "ringbuf-write", device="rb", data="@@@", format="base64")
    refused(q, "format", "ringbuf-write", device="rb", data="x", format="rot13")
    refused(q, "Device 'nope' not found", "ringbuf-read", device="nope", size=1)
    refused(q, "not a ring buffer", "ringbuf-read", device="shared", size=1)
    for size in (0, -5):
        refused(q, "greater than zero", "ringbuf-read", device="rb", size=size)
    eq(vm.fds(), fds, "open files")
    eq(chardev(q, "c0"), None, "a device after all the errors")
    eq(chardev(q, "ser")["filename"], "ringbuf", "the serial port's device")
    eq(q.cmd("ringbuf-read", device="rb", size=10), "", "what refused commands wrote")


@case("chardev/ringbuf")
def ring_buffer(t):
    vm, q = start(t, "-chardev", "ringbuf,id=rb,size=16", "-serial", "chardev:rb")
    q.cmd("ringbuf-write", device="rb", data="grüße")
    eq(q.cmd("ringbuf-read", device="rb", size=3), "gr\ufffd", "a character cut in two")
    eq(q.cmd("ringbuf-read", device="rb", size=100, format="utf8"), "\ufffdße", "the rest")
    raw = bytes([0, 255, 10, 0x80])
    q.cmd("ringbuf-write", device="rb", data=base64.b64encode(raw).decode(), format="base64")
    eq(base64.b64decode(q.cmd("ringbuf-read", device="rb", size=100, format="base64")), raw, "bytes as base64")
    Uart(vm).send(b"0123456789abcdefXYZ")
    eq(q.cmd("ringbuf-read", device="rb", size=1 << 40), "3456789abcdefXYZ", "the last 16 bytes of a guest")
    eq(q.cmd("ringbuf-read", device="rb", size=1), "", "an empty buffer")


@case("chardev/send-break")
def send_break(t):
    vm, q = start(t, "-chardev", "null,id=ser", "-serial", "chardev:ser", "-chardev", "null,id=idle")
    uart = Uart(vm)
    q.cmd("chardev-send-break", id="idle")
    check(not uart.status() & LSR_BREAK, "a break before its time")
    q.cmd("chardev-send-break", id="ser")
    check(uart.status() & LSR_BREAK, "the guest sees no break")


@case("chardev/socket/guest-that-does-not-read")
def unread(t):
    """A user who typed in vain and went can come back and see what the guest says."""
    path = t.dir / "ser"
    vm, q = start(t, "-chardev", f"socket,id=ser,path={path},server=on,wait=off", "-serial", "chardev:ser")
    uart = Uart(vm)
    with connect(path) as peer:
        wait_for(lambda: not chardev(q, "ser")["filename"].startswith("disconnected"), "the peer to be seen")
        peer.sendall(b"x" * 100)
    with connect(path) as peer:
        def heard():
            vm.port_out(COM1, 1, ord("!"))
            return select.select([peer], [], [], 0)[0]
        wait_for(heard, "the guest's output")


# ---- another back-end under a serial port ----

@case("chardev/change/serial")
def change_serial(t):
    """The guest's output goes on with the new device, its input too, and not a byte is lost or twice."""
    vm, q = start(t, "-chardev", "ringbuf,id=ser", "-serial", "chardev:ser")
    uart = Uart(vm)
    fds = None
    for turn in range(10):
        text = b"turn%d" % turn
        uart.send(text + b"-ring")
        eq(q.cmd("ringbuf-read", device="ser", size=100), f"turn{turn}-ring", "in the ring buffer")
        out = t.dir / f"out{turn}"
        q.cmd("chardev-change", id="ser", backend={"type": "file", "data": {"out": str(out)}})
        uart.send(text + b"-file")
        eq(out.read_bytes(), text + b"-file", "in the file")
        path = t.dir / "sock"
        for _ in range(2):      # the second one takes the first one's path
            q.cmd("chardev-change", id="ser", backend={"type": "socket", "data": {"addr": unix_addr(path)}})
            uart.send(b"nobody listens")
            with connect(path) as peer:
                wait_for(lambda: chardev(q, "ser")["filename"] == f"unix:{path},server=on", "the peer to be seen")
                uart.send(text)
                eq(read_exactly(peer, len(text)), text, "at the socket's peer")
                peer.sendall(b"to the guest")
                eq(uart.receive(12), b"to the guest", "from the socket's peer")
        q.cmd("chardev-change", id="ser", backend=ringbuf())
        check(not path.exists(), "the socket file is still there")
        check(chardev(q, "ser")["frontend-open"], "the serial port has lost its device")
        fds = fds or vm.fds()
        eq(vm.fds(), fds, "open files")


@case("chardev/change/slow-peer")
def change_slow_peer(t):
    """A guest that waits for a peer that does not read goes on with the new device."""
    vm, q = start(t, "-chardev", f"socket,id=ser,path={t.dir}/s,server=on,wait=off", "-serial", "chardev:ser")
    uart = Uart(vm)
    with connect(t.dir / "s") as peer:
        wait_for(lambda: not chardev(q, "ser")["filename"].startswith("disconnected"), "the peer to be seen")
        peer.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        sent = 0
        while uart.status() & LSR_EMPTY:
            check(sent < 4 << 20, "the transmitter never fills")
            vm.qtest.batch([f"outb {COM1:#x} 0x41"] * 4096)
            sent += 4096
        q.cmd("chardev-change", id="ser", backend=ringbuf())
        wait_for(lambda: uart.status() & LSR_EMPTY, "the transmitter to empty")
        check(set(q.cmd("ringbuf-read", device="ser", size=100)) == {"A"}, "what waited did not go to the new device")
        uart.send(b"now")
        eq(q.cmd("ringbuf-read", device="ser", size=100), "now", "after the change")


@case("chardev/change/pty")
def change_pty(t):
    vm, q = start(t, "-serial", "null")
    uart = Uart(vm)
    path = q.cmd("chardev-change", id="serial0", backend={"type": "pty", "data": {}})["pty"]
    fd = os.open(path, os.O_RDWR | os.O_NOCTTY)
    os.write(fd, b"typed")
    eq(uart.receive(5), b"typed", "what was typed")
    uart.send(b"shown")
    eq(read_exactly(fd, 5), b"shown", "what was shown")
    os.close(fd)


# ---- descriptors ----

def null_fd(flags=os.O_RDWR):
    return os.open("/dev/null", flags)


def pass_fd(q, command, fd, **arguments):
    """Runs a command with FD beside it and closes ours."""
    try:
        return q.cmd(command, fds=[fd], **arguments)
    finally:
        os.close(fd)


@case("fds/getfd")
def getfd(t):
    vm, q = start(t)
    fds = vm.fds()
    refused(q, "No file descriptor supplied via SCM_RIGHTS", "getfd", fdname="n")
    refused(q, "not starting with a digit", "getfd", fds=[0], fdname="1n")
    refused(q, "not starting with a digit", "getfd", fds=[0], fdname="")
    refused(q, "'fdname'", "getfd")
    refused(q, "File descriptor named 'n' not found", "closefd", fdname="n")
    eq(vm.fds(), fds, "open files after errors")
    for _ in range(200):    # the same name: the older one goes
        pass_fd(q, "getfd", null_fd(), fdname="n")
    q.cmd("closefd", fdname="n")
    refused(q, "File descriptor named 'n' not found", "closefd", fdname="n")
    eq(vm.fds(), fds, "open files")


@case("fds/getfd/socket")
def getfd_socket(t):
    """A connected socket, then a listening one, by their names."""
    vm, q = start(t, "-serial", "null")
    uart = Uart(vm)
    fds = vm.fds()
    ours, theirs = socket.socketpair()
    pass_fd(q, "getfd", theirs.detach(), fdname="sock")
    addr = {"type": "fd", "data": {"str": "sock"}}
    backend = {"type": "socket", "data": {"addr": addr, "server": False}}
    q.cmd("chardev-change", id="serial0", backend=backend)
    refused(q, "'sock' not found", "chardev-add", id="c1", backend=backend)
    refused(q, "'sock' not found", "closefd", fdname="sock")
    uart.send(b"out")
    eq(read_exactly(ours, 3), b"out", "through the passed socket")
    ours.sendall(b"in")
    eq(uart.receive(2), b"in", "through the passed socket")
    q.cmd("chardev-change", id="serial0", backend=NULL)
    eq(ours.recv(1), b"", "the end of the connection")
    eq(vm.fds(), fds, "open files")

    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(t.dir / "l"))
    listener.listen(1)
    pass_fd(q, "getfd", listener.detach(), fdname="sock")
    refused(q, "needs server=on", "chardev-add", id="c1", backend=backend)   # the name stays
    backend["data"]["server"] = True
    q.cmd("chardev-add", id="c1", backend=backend)
    with connect(t.dir / "l"):
        wait_for(lambda: not chardev(q, "c1")["filename"].startswith("disconnected"), "the peer to be seen")
    q.cmd("chardev-remove", id="c1")
    eq(vm.fds(), fds, "open files")


@case("fds/sets")
def fdsets(t):
    vm, q = start(t)
    fds = vm.fds()
    eq(q.cmd("query-fdsets"), [], "sets at the start")
    refused(q, "No file descriptor supplied via SCM_RIGHTS", "add-fd")
    refused(q, "non-negative", "add-fd", fds=[0], fdset_id=-1)
    refused(q, "fdset-id:7' not found", "remove-fd", fdset_id=7)
    refused(q, "'fdset-id'", "remove-fd")
    eq(vm.fds(), fds, "open files after errors")
    a = pass_fd(q, "add-fd", null_fd())
    b = pass_fd(q, "add-fd", null_fd(), fdset_id=a["fdset-id"], opaque="two:/x")
    c = pass_fd(q, "add-fd", null_fd(), fdset_id=77)
    eq((a["fdset-id"], c["fdset-id"]), (0, 77), "numbers of sets")
    want = [{"fdset-id": 0, "fds": [{"fd": a["fd"]}, {"fd": b["fd"], "opaque": "two:/x"}]},
            {"fdset-id": 77, "fds": [{"fd": c["fd"]}]}]
    eq(q.cmd("query-fdsets"), want, "sets")
    refused(q, "fd:999' not found", "remove-fd", fdset_id=0, fd=999)
    q.cmd("remove-fd", fdset_id=0, fd=a["fd"])
    eq(q.cmd("query-fdsets")[0]["fds"], want[0]["fds"][1:], "the set without one")
    q.cmd("remove-fd", fdset_id=0)
    q.cmd("remove-fd", fdset_id=77)
    refused(q, "fdset-id:0' not found", "remove-fd", fdset_id=0)
    eq(q.cmd("query-fdsets"), [], "sets at the end")
    eq(vm.fds(), fds, "open files")


@case("fds/sets/chardev")
def fdset_chardev(t):
    """A chardev opens a file that only the client can reach; removal from the set does not touch it."""
    vm, q = start(t, "-serial", "null")
    uart = Uart(vm)
    fds = vm.fds()
    path = t.dir / "passed"
    path.write_bytes(b"old ")
    added = pass_fd(q, "add-fd", os.open(path, os.O_WRONLY), opaque=f"w:{path}")
    at = f"/dev/fdset/{added['fdset-id']}"
    refused(q, at, "chardev-add", id="c", backend={"type": "file", "data": {"out": "/dev/null", "in": at}})
    refused(q, "/dev/fdset/9", "chardev-add", id="c", backend={"type": "file", "data": {"out": "/dev/fdset/9"}})
    refused(q, "/dev/fdset/x", "chardev-add", id="c", backend={"type": "file", "data": {"out": "/dev/fdset/x"}})
    q.cmd("chardev-change", id="serial0", backend={"type": "file", "data": {"out": at, "append": True}})
    uart.send(b"new")
    eq(path.read_bytes(), b"old new", "the file")
    q.cmd("remove-fd", fdset_id=added["fdset-id"])
    uart.send(b"er")
    eq(path.read_bytes(), b"old newer", "the file after remove-fd")
    q.cmd("chardev-change", id="serial0", backend=NULL)
    eq(vm.fds(), fds, "open files")

    rd, wr = os.pipe()      # a log that some service collects
    pass_fd(q, "add-fd", wr, fdset_id=3)
    q.cmd("chardev-change", id="serial0", backend={"type": "ringbuf", "data": {"logfile": "/dev/fdset/3"}})
    q.cmd("remove-fd", fdset_id=3)
    uart.send(b"logged")
    eq(read_exactly(rd, 6), b"logged", "through the log's pipe")
    q.cmd("chardev-change", id="serial0", backend=NULL)
    eq(os.read(rd, 100), b"", "the end of the log")
    os.close(rd)
    eq(vm.fds(), fds, "open files")


@case("fds/add-fd-option")
def add_fd_option(t):
    """-add-fd: duplicates in sets; what was inherited is closed; chardevs open them from the start."""
    path = t.dir / "serial"
    out, inp = os.open(path, os.O_WRONLY | os.O_CREAT), null_fd(os.O_RDONLY)
    ram = os.open(t.dir / "ram", os.O_RDWR | os.O_CREAT)
    vm = t.vm("-add-fd", f"fd={out},set=2,opaque=w", "-add-fd", f"fd={inp},set=2", "-add-fd", f"fd={out},set=5",
              "-serial", "file:/dev/fdset/2", "-add-fd", f"fd={ram},set=9", "-object",
              "memory-backend-file,id=m,size=1M,share=on,mem-path=/dev/fdset/9", memory=False, qmp=True, pass_fds=(out, inp, ram))
    for fd in (out, inp, ram):
        os.close(fd)
    q = Qmp(vm.qmp_path)
    Uart(vm).send(b"hello")
    eq(path.read_bytes(), b"hello", "the file")
    sets = q.cmd("query-fdsets")
    eq([(s["fdset-id"], [f.get("opaque") for f in s["fds"]]) for s in sets], [(2, ["w", None]), (5, [None]), (9, [None])],
       "sets")
    numbers = {f["fd"] for s in sets for f in s["fds"]}
    eq(len(numbers), 4, "descriptors in sets")
    eq((t.dir / "ram").stat().st_size, 1 << 20, "size of the memory's file")
    links = [os.readlink(f"/proc/{vm.process.pid}/fd/{n}") for n in os.listdir(f"/proc/{vm.process.pid}/fd")]
    eq(links.count(str(path)), 3, "descriptors of the file: two in sets, one of the serial port")
    for s in sets:
        q.cmd("remove-fd", fdset_id=s["fdset-id"])
    eq(q.cmd("query-fdsets"), [], "sets at the end")


@case("fds/vanishing-client")
def vanishing(t):
    """A client that goes in the middle of its command leaves none of its descriptors behind."""
    vm, q = start(t)
    fds = vm.fds()
    for i in range(20):
        q.send_bytes(b'{"execute": "getfd"' if i % 2 else b" ", fds=[0, 1, 2])
        q.close()
        q = Qmp(vm.qmp_path)
    wait_for(lambda: vm.fds() == fds, f"{vm.fds()} to become {fds}")
