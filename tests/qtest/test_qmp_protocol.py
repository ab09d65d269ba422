# SPDX-License-Identifier: GPL-2.0-or-later
"""The management protocol itself. Numbers in names are sections of the QMP specification."""

import json
import os
import re
import select
import signal
import socket
import subprocess
import time
from pathlib import Path

from qmplib import Qmp, QmpError
from qtestlib import MIB, SCALE, WAIT_S, Failure, _die_with_parent, case, check, eq, wait_for

COMMAND = b'{"execute":"query-version"}'
MEMORY_FACTOR = 1 if SCALE <= 1 else 400  # sanitizers keep what was freed, hundreds of MiB of it


def rss(pid, field="VmRSS"):
    text = Path(f"/proc/{pid}/status").read_text()
    return int(re.search(rf"^{field}:\s+(\d+) kB", text, re.M).group(1)) * 1024


def is_error(answer, cls, desc=None):
    eq(answer.get("error", {}).get("class"), cls, f"class of {answer}")
    if desc is not None:
        eq(answer["error"]["desc"], desc, "desc")


def refused(qmp, cls, name, **kw):
    try:
        qmp.cmd(name, **kw)
    except QmpError as e:
        eq(e.cls, cls, f"class of {e}")
        return e.desc
    raise Failure(f"{name} {kw} was not refused")


def still_works(qmp):
    eq(qmp.cmd("query-version")["package"], "", "query-version afterwards")


def start(test, *args, **kw):
    vm = test.vm(*args, qmp=True, memory=False, **kw)
    return vm, Qmp(vm.qmp_path)


def raw_socket(path):
    sock = socket.socket(socket.AF_UNIX)
    sock.settimeout(WAIT_S)
    sock.connect(str(path))
    return sock


def lines(sock, n):
    """The next N lines as they come, CR LF and all."""
    data = b""
    while data.count(b"\n") < n:
        more = sock.recv(1 << 16)
        check(more, f"connection closed after {data!r}")
        data += more
    return data


# ---- 2: messages ----


@case("qmp/2.1.1-every-line-ends-in-cr-lf")
def _(test):
    vm = test.vm(qmp=True, memory=False)
    sock = raw_socket(vm.qmp_path)
    sock.sendall(b'{"execute":"qmp_capabilities"}' + COMMAND + b"{]\n" + COMMAND)
    for line in lines(sock, 5).split(b"\n")[:-1]:
        check(line.endswith(b"\r") and line.count(b"\r") == 1, f"line {line!r}")
        json.loads(line)


@case("qmp/2.1-output-is-ascii")
def _(test):
    vm = test.vm(qmp=True, memory=False)
    sock = raw_socket(vm.qmp_path)
    sock.sendall('{"execute":"ä","id":"h\u00e9\U0001f600"}'.encode())
    data = lines(sock, 2)
    check(all(b < 0x80 for b in data), f"not ASCII: {data!r}")
    eq(json.loads(data.split(b"\r\n")[1])["id"], "h\u00e9\U0001f600", "id")


@case("qmp/2.2-greeting")
def _(test):
    _, qmp = start(test)
    eq(list(qmp.greeting), ["QMP"], "members")
    version = qmp.greeting["QMP"]["version"]
    eq(set(version), {"qemu", "package"}, "members of version")
    check(all(isinstance(version["qemu"][k], int) for k in ("major", "minor", "micro")), "numbers of version")
    eq(qmp.greeting["QMP"]["capabilities"], ["oob"], "capabilities")
    eq(qmp.cmd("query-version"), version, "query-version")


@case("qmp/2.3-many-commands-in-one-write")
def _(test):
    _, qmp = start(test)
    qmp.send_bytes(b"".join(json.dumps({"execute": "query-version", "id": i}).encode() for i in range(1000)))
    for i in range(1000):
        eq(qmp.answer()["id"], i, "id")


@case("qmp/2.3-one-command-in-many-writes")
def _(test):
    _, qmp = start(test)
    for byte in b'{ "execute" :\r\n"query-version",\t"id": "a\\u0062c" }':
        qmp.send_bytes(bytes([byte]))
        time.sleep(0.001)
    eq(qmp.answer()["id"], "abc", "id")


@case("qmp/2.3-half-a-command-waits")
def _(test):
    vm, qmp = start(test)
    qmp.send_bytes(b'{"execute": "query-ver')
    check(not select.select([qmp.sock], [], [], 0.1)[0], "an answer to half a command")
    vm.port_in(0x71, 1)  # nobody is held up by that
    qmp.send_bytes(b'sion"}')
    check("return" in qmp.answer(), "no answer to the rest")


@case("qmp/2.3-members-of-a-command")
def _(test):
    _, qmp = start(test)
    for request, desc in [
            ([], "QMP input must be a JSON object"),
            (None, "QMP input must be a JSON object"),
            (17, "QMP input must be a JSON object"),
            ({}, "QMP input lacks member 'execute'"),
            ({"id": 1}, "QMP input lacks member 'execute'"),
            ({"execute": 1}, "QMP input member 'execute' must be a string"),
            ({"execute": "stop", "arguments": []}, "QMP input member 'arguments' must be an object"),
            ({"execute": "no-such", "extra": True}, "QMP input member 'extra' is unexpected"),
            ({"exec-oob": "query-version"}, "QMP input member 'exec-oob' is unexpected"),
            ({"execute": "query-version", "arguments": {"a": 1}}, "Parameter 'a' is unexpected")]:
        is_error(qmp.raw(request), "GenericError", desc)
    still_works(qmp)


@case("qmp/2.4.1-id-of-any-type-comes-back")
def _(test):
    _, qmp = start(test)
    for ident in (0, -1, 1.5, "", "x", None, True, [], {}, {"a": [{"b": None}]}, 2 ** 63, "\u20ac\n\"\\"):
        answer = qmp.raw({"execute": "query-version", "id": ident})
        check("id" in answer and answer["id"] == ident, f"id {ident!r}: {answer}")
        answer = qmp.raw({"execute": "no-such", "id": ident})
        check("id" in answer and answer["id"] == ident, f"id {ident!r}: {answer}")
    check("id" not in qmp.raw({"execute": "query-version"}), "an id that nobody gave")


@case("qmp/2.4.2-command-not-found")
def _(test):
    _, qmp = start(test)
    eq(refused(qmp, "CommandNotFound", "no-such-cmd"), "The command no-such-cmd has not been found", "desc")
    long = refused(qmp, "CommandNotFound", "n" * 100000)
    check(len(long) < 300, f"an endless name comes back: {len(long)} bytes")


@case("qmp/3-query-commands-names-what-runs")
def _(test):
    _, qmp = start(test)
    names = [c["name"] for c in qmp.cmd("query-commands")]
    check({"qmp_capabilities", "query-version", "query-commands", "quit"} <= set(names), f"names: {names}")
    eq(len(names), len(set(names)), "names that are there twice")


# ---- 2.3.1: out of band ----


@case("qmp/2.3.1-oob-overtakes")
def _(test):
    vm = test.vm(qmp=True, memory=False)
    qmp = Qmp(vm.qmp_path, oob=True)
    batch = b"".join(b'{"execute":"query-commands","id":%d}' % i for i in range(5))
    qmp.send_bytes(batch + b'{"exec-oob":"query-version","id":"oob"}')
    eq([qmp.answer()["id"] for _ in range(6)], ["oob", 0, 1, 2, 3, 4], "order of answers")


@case("qmp/2.3.1-oob-errors")
def _(test):
    vm = test.vm(qmp=True, memory=False)
    qmp = Qmp(vm.qmp_path, oob=True)
    is_error(qmp.raw({"exec-oob": "query-commands"}), "GenericError",
             "The command query-commands does not support OOB")
    is_error(qmp.raw({"exec-oob": "no-such", "id": 3}), "CommandNotFound")
    is_error(qmp.raw({"exec-oob": "query-version", "execute": "query-version"}), "GenericError")
    still_works(qmp)


@case("qmp/2.3.1-queue-of-in-band-commands-is-limited")
def _(test):
    vm = test.vm(qmp=True, memory=False)
    qmp = Qmp(vm.qmp_path, oob=True)
    batch = b"".join(b'{"execute":"query-version","id":%d}' % i for i in range(60))
    qmp.send_bytes(batch + b'{"exec-oob":"query-version","id":"oob"}')
    ids = [qmp.answer()["id"] for _ in range(61)]
    eq([i for i in ids if i != "oob"], list(range(60)), "order of in-band answers")
    check(ids.index("oob") >= 50, f"the queue holds more than it should: {ids}")


# ---- 2.5: events ----


@case("qmp/2.5-events-reach-every-session-that-negotiated")
def _(test):
    other = test.dir / "other"
    vm = test.vm("-qmp", f"unix:{other},server=on,wait=off", qmp=True, memory=False)
    a, b = Qmp(vm.qmp_path), Qmp(other, negotiate=False)
    a.cmd("stop")
    stamp = a.event("STOP")["timestamp"]
    check(abs(stamp["seconds"] - time.time()) < 60 and 0 <= stamp["microseconds"] < 1000000, f"timestamp {stamp}")
    b.cmd("qmp_capabilities")
    check(not b.events, f"an event before negotiation: {b.events}")
    a.cmd("cont")
    eq(set(a.event("RESUME")), {"timestamp", "event"}, "members of an event without data")
    b.event("RESUME")


def set_rtc(vm, register, value):
    vm.port_out(0x70, 1, register)
    vm.port_out(0x71, 1, value)


@case("qmp/2.5-rtc-change")
def _(test):
    vm, qmp = start(test, "-rtc", "base=2020-06-01T10:00:00,clock=vm")
    set_rtc(vm, 0x0b, 0x82)  # stop, 24 hours, BCD
    set_rtc(vm, 4, 0x12)
    set_rtc(vm, 0x0b, 0x02)
    data = qmp.event("RTC_CHANGE")["data"]
    eq(data["offset"], 7200, "offset")
    check(data["qom-path"].startswith("/machine/"), f"path {data}")


@case("qmp/2.5.1-rate-limit")
def _(test):
    vm, qmp = start(test, "-rtc", "base=2020-06-01T10:00:00")
    begin = time.monotonic()
    for day in range(1, 21):
        set_rtc(vm, 7, int(str(day), 16))
    first = last = qmp.event("RTC_CHANGE")
    check(abs(first["data"]["offset"]) < 60, f"the first: {first}")
    periods = 0
    while abs(last["data"]["offset"] - 19 * 86400) > 60:
        last = qmp.event("RTC_CHANGE")
        periods += 1
    took = time.monotonic() - begin
    check(1 <= periods <= took / 0.9, f"{periods} events after the first in {took:.2f} s")
    time.sleep(0.1)
    still_works(qmp)
    check(not qmp.events, f"more events: {qmp.events}")


# ---- 2.6: a known state ----


GARBAGE = {
    "wrong-bracket": b"{]\n",
    "0xff": b"{\xff",
    "0xff-alone": b"\xff",
    "control-character": b"{\x01",
    "0xff-in-string": b"{'bad \xff",
    "newline-in-string": b"{'execute': 'nonexistent', 'id':'\n",
    "nul": b"\0",
    "nul-in-string": b'{"execute": "query\0',
    "percent": b"%p",
    "words": b"hello, world\n",
    "nan": b'{"execute": NaN}\n',
    "comment": b"// x\n",
    "unquoted": b'{execute: "query-version"}',
    "no-colon": b'{"execute" "query-version"}',
    "trailing-comma": b'{"execute": "query-version",}',
    "big-integer": b'{"execute": "query-version", "id": 123456789012345678901234567890}',
    "bad-escape": b'{"execute": "\\q"}',
    "nul-escape": b'{"execute": "query-version\\u0000"}',
    "half-surrogate": b'{"execute": "\\ud800"}',
    "not-utf8": b'{"execute": "\xc0\x80"}',
    "latin1": b'{"execute": "caf\xe9"}',
    "utf8-cut": b'{"execute": "\xe2\x82"}',
    "deep-arrays": b"[" * 10000 + b"]" * 10000,
    "deep-objects": b'{"a":' * 10000 + b"\n",
    "deep-id": b'{"execute": "query-version", "id": ' + b"[" * 2000 + b"]" * 2000 + b"}",
    "many-tokens": b"[" + b"[]," * 300000 + b"[]]",
}


def garbage_case(name, data):
    @case(f"qmp/2.6-garbage-{name}")
    def _(test):
        _, qmp = start(test)
        for piece in (data, data):
            qmp.send_bytes(piece)
            is_error(qmp.answer(), "GenericError")
            still_works(qmp)
        if len(data) < 100:
            for byte in data:
                qmp.send_bytes(bytes([byte]))
            is_error(qmp.answer(), "GenericError")
            still_works(qmp)


for name_, data_ in GARBAGE.items():
    garbage_case(name_, data_)


@case("qmp/2.6-depth-of-1024-is-fine")
def _(test):
    _, qmp = start(test)
    qmp.send_bytes(b'{"execute": "query-version", "id": ' + b"[" * 1023 + b"]" * 1023 + b"}")
    check(b"[" * 1023 + b"]" * 1023 in lines(qmp.sock, 1), "the id did not come back")


@case("qmp/2.6-a-string-of-100-mb")
def _(test):
    vm, qmp = start(test)
    before = rss(vm.process.pid)
    qmp.send_bytes(b'{"execute": "')
    for _ in range(100):
        qmp.send_bytes(b"x" * MIB)
    qmp.send_bytes(b'"}\n')
    is_error(qmp.answer(), "GenericError", "Invalid JSON syntax: longer than 64 MiB")
    still_works(qmp)
    peak, after = rss(vm.process.pid, "VmHWM"), rss(vm.process.pid)
    check(peak < before + 140 * MIB * MEMORY_FACTOR, f"{(peak - before) / MIB:.0f} MiB at the most")
    check(after < before + 8 * MIB * MEMORY_FACTOR, f"{(after - before) / MIB:.0f} MiB kept")


@case("qmp/2.6-a-string-of-20-mb-comes-back")
def _(test):
    vm, qmp = start(test)
    text = "y" * (20 * MIB)
    before = rss(vm.process.pid)
    eq(len(qmp.raw({"execute": "query-version", "id": text})["id"]), len(text), "length of the id")
    still_works(qmp)
    check(rss(vm.process.pid) < before + 16 * MIB * MEMORY_FACTOR, "memory is kept")


@case("qmp/2.6-random-bytes")
def _(test):
    _, qmp = start(test)
    for _ in range(20):
        qmp.send_bytes(os.urandom(3000) + b'\xff{"execute":"query-version","id":"mark"}')
        while qmp.answer().get("id") != "mark":
            pass


# ---- 4: negotiation ----


@case("qmp/4-only-negotiation-at-first")
def _(test):
    vm = test.vm(qmp=True, memory=False)
    qmp = Qmp(vm.qmp_path, negotiate=False)
    want = "Expecting capabilities negotiation with 'qmp_capabilities'"
    for name in ("query-version", "no-such", "quit"):
        eq(refused(qmp, "CommandNotFound", name), want, "desc")
    refused(qmp, "GenericError", "qmp_capabilities", enable=["no-such"])
    refused(qmp, "GenericError", "qmp_capabilities", enable="oob")
    refused(qmp, "GenericError", "qmp_capabilities", nothing=1)
    eq(refused(qmp, "CommandNotFound", "query-version"), want, "desc after a negotiation that failed")
    eq(qmp.cmd("qmp_capabilities", enable=[]), {}, "qmp_capabilities")
    eq(refused(qmp, "CommandNotFound", "qmp_capabilities"),
       "Capabilities negotiation is already complete, command ignored", "desc")
    still_works(qmp)


@case("qmp/4-negotiation-is-per-connection")
def _(test):
    vm, qmp = start(test)
    still_works(qmp)
    qmp.send_bytes(b'{"execute": "half a comm')
    qmp.close()
    qmp = Qmp(vm.qmp_path, negotiate=False)
    refused(qmp, "CommandNotFound", "query-version")
    qmp.cmd("qmp_capabilities")
    still_works(qmp)


# ---- monitors ----


@case("qmp/monitors-several-at-once")
def _(test):
    paths = [test.dir / f"m{i}" for i in range(4)]
    args = [a for p in paths for a in ("-qmp", f"unix:{p},server=on,wait=off")]
    vm = test.vm(*args, memory=False)
    clients = [Qmp(p, oob=i == 2) for i, p in enumerate(paths)]
    for i, qmp in enumerate(clients):
        qmp.send_bytes(b'{"execute":"query-version","id":%d' % i)
    for i, qmp in reversed(list(enumerate(clients))):
        qmp.send_bytes(b"}")
        eq(qmp.answer()["id"], i, "id")
    is_error(clients[0].raw({"exec-oob": "query-version"}), "GenericError")
    check("return" in clients[2].raw({"exec-oob": "query-version"}), "oob in the session that asked for it")
    check(vm.alive(), "alive")


@case("qmp/monitors-pretty")
def _(test):
    paths = [test.dir / "a", test.dir / "b"]
    test.vm("-qmp-pretty", f"unix:{paths[0]},server=on,wait=off", "-chardev",
            f"socket,id=c,path={paths[1]},server=on,wait=off", "-mon", "chardev=c,mode=control,pretty=on",
            memory=False)
    for path in paths:
        sock = raw_socket(path)
        text = lines(sock, 13)
        check(text.startswith(b'{\r\n    "QMP": {\r\n        "version": {\r\n'), f"greeting {text!r}")
        eq(json.loads(text)["QMP"]["capabilities"], ["oob"], "capabilities")
        sock.sendall(b'{"execute":"qmp_capabilities"}')
        eq(lines(sock, 3), b'{\r\n    "return": {}\r\n}\r\n', "answer")


@case("qmp/monitors-mon-option")
def _(test):
    path, human = test.dir / "c", test.dir / "h"
    vm = test.vm("-chardev", f"socket,id=c,path={path},server=on,wait=off",
                 "-chardev", f"socket,id=h,path={human},server=on,wait=off",
                 "-mon", "c,mode=control,id=first", "-mon", "chardev=h,mode=readline,id=second", memory=False)
    still_works(Qmp(path))
    sock = raw_socket(human)
    wait_for(lambda: b"(qemu) " in sock.recv(1 << 16), "the prompt")
    check(vm.alive(), "alive")


def run_emulator(test, *args, stdin=subprocess.DEVNULL, **kw):
    command = [test.emulator, "-nodefaults", "-machine", "none", "-display", "none", *map(str, args)]
    return subprocess.Popen(command, stdin=stdin, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                            preexec_fn=_die_with_parent, **kw)


@case("qmp/monitors-bad-options")
def _(test):
    null = ("-chardev", "null,id=c")
    for args, words in [
            (("-mon", "chardev=nosuch,mode=control"), "-mon chardev=nosuch,mode=control: there is no chardev 'nosuch'"),
            ((*null, "-mon", "c,mode=martian"), "'mode' does not accept value 'martian'"),
            ((*null, "-mon", "c,pretty=on"), "'pretty' is for mode=control only"),
            ((*null, "-mon", "c,mode=control", "-mon", "c,mode=control"), "'c' is already in use"),
            ((*null, "-chardev", "null,id=d", "-mon", "c,id=m,mode=control", "-mon", "d,id=m"),
             "there is a monitor with id 'm' already"),
            (("-mon", "mode=control"), "'chardev' is missing"),
            (("-qmp", "martian:x"), "-qmp martian:x: "),
            (("-qmp", "chardev:nosuch"), "'chardev:nosuch' expects the id of a chardev"),
            (("-preconfig", "-daemonize"), "-preconfig and -daemonize exclude each other")]:
        process = run_emulator(test, *args)
        _, err = process.communicate(timeout=WAIT_S)
        eq(process.returncode, 1, f"status with {args}")
        check(words in err.decode() and err.count(b"\n") == 1, f"{args}: {err!r}, expected {words!r}")


# ---- transports ----


@case("qmp/transport-stdio")
def _(test):
    process = run_emulator(test, "-qmp", "stdio", stdin=subprocess.PIPE)
    out, err = process.communicate(b'{"execute":"qmp_capabilities"}\n{"execute":"query-version","id":1}\n'
                                   b'{"execute":"quit","id":2}\n', timeout=WAIT_S)
    eq(process.returncode, 0, "status")
    eq(err, b"", "stderr")
    messages = [json.loads(line) for line in out.splitlines()]
    check("QMP" in messages[0] and messages[1] == {"return": {}}, f"messages {messages}")
    eq([m.get("id") for m in messages if "return" in m], [None, 1, 2], "ids")


@case("qmp/transport-tcp")
def _(test):
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    process = run_emulator(test, "-qmp", f"tcp:127.0.0.1:{port},server=on,wait=off")
    try:
        sock = wait_for(lambda: _connect(port), "the port")
        lines(sock, 1)
        sock.sendall(b'{"execute":"qmp_capabilities"}{"execute":"quit","id":9}')
        check(b'"id": 9' in lines(sock, 2), "the answer to quit")
        eq(process.wait(WAIT_S), 0, "status")
    finally:
        process.kill()
        process.communicate()


def _connect(port):
    try:
        sock = socket.create_connection(("127.0.0.1", port))
    except OSError:
        return None
    sock.settimeout(WAIT_S)
    return sock


@case("qmp/transport-unix-client")
def _(test):
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(test.dir / "l"))
    listener.listen(1)
    listener.settimeout(WAIT_S)
    test.vm("-qmp", f"unix:{test.dir}/l", memory=False)
    sock, _ = listener.accept()
    sock.settimeout(WAIT_S)
    check(b'"QMP"' in lines(sock, 1), "greeting")
    sock.sendall(b'{"execute":"qmp_capabilities"}')
    eq(lines(sock, 1), b'{"return": {}}\r\n', "answer")


@case("qmp/transport-daemonize")
def _(test):
    path, pidfile = test.dir / "d", test.dir / "pid"
    process = run_emulator(test, "-daemonize", "-pidfile", pidfile, "-qmp", f"unix:{path},server=on,wait=off")
    eq(process.wait(WAIT_S), 0, "status of the foreground process")
    process.communicate()
    pid = int(pidfile.read_text())
    try:
        qmp = Qmp(path)
        still_works(qmp)
        qmp.cmd("quit")
        wait_for(lambda: not Path(f"/proc/{pid}").exists() or not pidfile.exists(), "the end of the process")
        check(not path.exists(), "the socket is left behind")
    finally:
        if pidfile.exists():
            os.kill(pid, signal.SIGKILL)


@case("qmp/quit-is-answered-first")
def _(test):
    for _ in range(5):
        vm, qmp = start(test)
        eq(qmp.cmd("quit"), {}, "answer")
        eq(vm.wait_end(), 0, "status")
        check(not vm.qmp_path.exists(), "the socket is left behind")
        vm.qmp_path.unlink(missing_ok=True)


# ---- clients that misbehave ----


@case("qmp/client-vanishes-mid-command")
def _(test):
    vm, qmp = start(test)
    for i, piece in enumerate((b"{", b'{"execute":"', b'{"execute":"query-version","id":[[[', COMMAND * 500,
                               b"\xff\xff{", b'"' + b"x" * MIB)):
        qmp.send_bytes(piece)
        qmp.close()
        qmp = Qmp(vm.qmp_path)
        eq(qmp.cmd("query-version")["package"], "", f"query-version in the session after {i}")
    check(vm.alive(), "alive")


@case("qmp/client-leaves-after-its-command")
def _(test):
    vm, qmp = start(test)
    qmp.send_bytes(COMMAND * 5 + b'{"execute":"quit"}')
    qmp.close()
    eq(vm.wait_end(), 0, "status")


@case("qmp/client-ends-its-input-and-reads-on")
def _(test):
    vm = test.vm(qmp=True, memory=False)
    for n in (1, 30, 200):  # in one buffer, and in several
        sock = raw_socket(vm.qmp_path)
        sock.sendall(b'{"execute":"qmp_capabilities"}' + COMMAND * n)
        sock.shutdown(socket.SHUT_WR)
        eq(lines(sock, 2 + n).count(b'"return"'), 1 + n, f"answers to {n} commands and the end of input")
        eq(sock.recv(1), b"", "the end of the connection")


@case("qmp/client-never-reads")
def _(test):
    other = test.dir / "other"
    vm = test.vm("-qmp", f"unix:{other},server=on,wait=off", qmp=True, memory=False)
    fine, slow = Qmp(other), Qmp(vm.qmp_path)
    before = rss(vm.process.pid)
    slow.sock.setblocking(False)
    sent, stuck_at = 0, None
    batch = (b'{"execute":"query-commands"}' * 100)
    end = time.monotonic() + WAIT_S
    while time.monotonic() < end and (stuck_at is None or time.monotonic() < stuck_at + 0.3):
        try:
            sent += slow.sock.send(batch)
            stuck_at = None
        except BlockingIOError:
            stuck_at = stuck_at or time.monotonic()
            still_works(fine)
    check(stuck_at, f"{sent} bytes of commands were taken and no answer read")
    for _ in range(3000):  # events for nobody, or for those who read
        fine.send_bytes(b'{"execute":"stop"}{"execute":"cont"}')
        check("return" in fine.answer() and "return" in fine.answer(), "stop, cont")
        fine.events.clear()
    grown = rss(vm.process.pid) - before
    check(grown < 6 * MIB * MEMORY_FACTOR, f"{grown / MIB:.1f} MiB are kept for a client that does not read")
    idle = vm.cpu_seconds()
    time.sleep(0.5)
    check(vm.cpu_seconds() - idle < 0.2, "the emulator is busy with a client that does not read")
    slow.sock.setblocking(True)  # it reads after all
    answers = 0
    while answers < 2000:
        answers += "return" in slow.answer()
    slow.close()
    still_works(Qmp(vm.qmp_path))


@case("qmp/client-never-reads-and-goes")
def _(test):
    vm, slow = start(test)
    slow.sock.setblocking(False)
    try:
        while True:
            slow.sock.send(b'{"execute":"query-commands"}' * 100)
            time.sleep(0.0002)
    except BlockingIOError:
        pass
    slow.close()
    still_works(Qmp(vm.qmp_path))


@case("qmp/client-passes-fds-nobody-takes")
def _(test):
    vm, qmp = start(test)
    still_works(qmp)
    before = sum(vm.fds().values())
    null = os.open("/dev/null", os.O_RDONLY)
    for _ in range(10):
        qmp.cmd("query-version", fds=[null] * 5)
    os.close(null)
    check(sum(vm.fds().values()) <= before + 16, "more descriptors wait than may")
    qmp.close()
    qmp = Qmp(vm.qmp_path)
    eq(sum(vm.fds().values()), before, "descriptors after the client went")


# ---- preconfig ----


@case("qmp/preconfig")
def _(test):
    vm, qmp = start(test, "-preconfig")
    eq(refused(qmp, "GenericError", "system_powerdown"),
       "The command 'system_powerdown' is permitted only after machine initialization has completed", "desc")
    refused(qmp, "CommandNotFound", "no-such")
    eq(qmp.cmd("query-status")["status"], "prelaunch", "status")
    check("x-exit-preconfig" in [c["name"] for c in qmp.cmd("query-commands")], "query-commands")
    eq(vm.port_in(0x71, 1), 0xff, "a register before there is a machine")
    # What follows in the same write finds the machine.
    qmp.send_bytes(b'{"execute":"x-exit-preconfig","id":1}{"execute":"query-status","id":2}')
    eq(qmp.answer(), {"return": {}, "id": 1}, "x-exit-preconfig")
    eq(qmp.answer()["return"]["status"], "running", "status")
    eq(refused(qmp, "GenericError", "x-exit-preconfig"),
       "The command is permitted only before machine initialization", "desc")
    check(vm.port_in(0xcfc, 4) is not None, "the machine answers")


@case("qmp/preconfig-ends")
def _(test):
    vm, qmp = start(test, "-preconfig")
    eq(qmp.cmd("quit"), {}, "quit")
    eq(vm.wait_end(), 0, "status")
    vm.qmp_path.unlink(missing_ok=True)
    start(test, "-preconfig")  # SIGTERM at the end of the case


@case("qmp/preconfig-late-errors")
def _(test):
    vm, qmp = start(test, "-preconfig", "-device", "nosuch")
    qmp.send_bytes(b'{"execute":"x-exit-preconfig"}')
    eq(vm.wait_end(), 1, "status")
    check(re.search(r"-device nosuch: .*nosuch", vm.log()) and vm.log().count("\n") == 0, f"message {vm.log()!r}")
    qmp.close()


@case("qmp/preconfig-is-off-otherwise")
def _(test):
    _, qmp = start(test)
    eq(refused(qmp, "GenericError", "x-exit-preconfig"),
       "The command is permitted only before machine initialization", "desc")


@case("qmp/preconfig-and-every-command")
def _(test):
    vm, qmp = start(test, "-preconfig")
    for name in [c["name"] for c in qmp.cmd("query-commands")]:
        if name not in ("quit", "x-exit-preconfig"):
            answer = qmp.raw({"execute": name})
            check("return" in answer or answer["error"]["desc"], f"{name}: {answer}")
    qmp.cmd("x-exit-preconfig")
    still_works(qmp)
    check(vm.alive(), "alive")
