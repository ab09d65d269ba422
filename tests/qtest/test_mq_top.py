# SPDX-License-Identifier: GPL-2.0-or-later
"""qemu-mq-top: its output without a screen, and its screen in a real terminal (tmux)."""

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import threading
import time
from pathlib import Path

from qmplib import Qmp
from qtestlib import SANITIZER_MARKS, WAIT_S, Failure, Skip, case, check, eq, wait_for
from test_virtio_net_mq import MQ, exchange
from netlib import Host, set_up
from virtiolib import Modern, Nic, find_virtio, tap_args

TUN = ("root", "tun")


def program(t):
    path = Path(t.emulator).parent / "contrib" / "qemu-mq-top" / "qemu-mq-top"
    if not path.exists():
        raise Skip("qemu-mq-top was not built (needs libncurses-dev)")
    return str(path)


def run_top(t, *args, status=0, timeout=WAIT_S):
    """Runs it to its end; what it printed."""
    r = subprocess.run([program(t), *map(str, args)], stdin=subprocess.DEVNULL, capture_output=True, text=True,
                       timeout=timeout, check=False)
    check(not any(m in r.stderr for m in SANITIZER_MARKS), f"sanitizer report: {r.stderr}")
    eq(r.returncode, status, f"exit status of qemu-mq-top {args}: {r.stderr}")
    if status:
        eq(r.stdout, "", f"output of qemu-mq-top {args}")
        check(re.fullmatch(r"qemu-mq-top: [^\n]+\n", r.stderr), f"no single line on stderr: {r.stderr!r}")
        return r.stderr
    eq(r.stderr, "", f"stderr of qemu-mq-top {args}")
    return r.stdout


class Watched:
    """A machine with nic0 on n0 (the tap t0), two iothreads, and a QMP socket for qemu-mq-top."""

    def __init__(self, t, queues=2, start=True, extra=()):
        self.t, self.queues = t, queues
        self.top_path = t.dir / "qmp-top"
        io = [x for i in (0, 1) for x in ("-object", f"iothread,id=io{i}")]
        self.vm = t.vm(*io, *tap_args(queues=queues, nic_opts=",id=nic0" + self.mapping(queues)), *extra,
                       "-name", "watched", "-qmp", f"unix:{self.top_path},server=on,wait=off", qmp=True)
        self.qmp = Qmp(self.vm.qmp_path)
        self.pci = find_virtio(self.vm)[0]
        self.pci.msix_setup()
        self.nic = Nic(Modern(self.pci))
        self.host = Host("t0")
        if start:
            self.nic.start(MQ, pairs=queues, vectors=True)
            self.nic.set_pairs(queues)

    @staticmethod
    def mapping(queues):
        return "".join(f",queue-mapping.{i}.pair={i},queue-mapping.{i}.backend=iothread,queue-mapping.{i}.iothread=io0"
                       for i in range(queues))

    def pairs(self):
        return self.qmp.cmd("query-net-queues", arguments_={"name": "nic0"})


class Terminal:
    """qemu-mq-top in a terminal of tmux, on a server of its own."""

    def __init__(self, t, *args, width=100, height=30):
        if not shutil.which("tmux"):
            raise Skip("tmux is not installed")
        self.socket = str(t.dir / "tmux")
        self.status = t.dir / "status"
        self.after = t.dir / "stty"
        self.errors = t.dir / "top-stderr"
        command = " ".join(f"'{a}'" for a in [program(t), *map(str, args)])
        # what the shell sees afterwards tells whether the terminal was given back
        shell = (f"trap : INT; stty -a > {self.after}-before; {command} 2> {self.errors}; echo $? > {self.status}.new; "
                 f"stty -a > {self.after}; mv {self.status}.new {self.status}; echo back again; cat")
        self.tmux("-f", "/dev/null", "new-session", "-d", "-x", width, "-y", height, "sh", "-c", shell)

    def tmux(self, *args):
        env = {**os.environ, "LC_ALL": "C.UTF-8", "TERM": "xterm-256color"}
        r = subprocess.run(["tmux", "-S", self.socket, *map(str, args)], capture_output=True, text=True, env=env,
                           timeout=WAIT_S, check=False)
        check(r.returncode == 0, f"tmux {args}: {r.stderr}")
        return r.stdout

    def screen(self):
        return self.tmux("capture-pane", "-p")

    def keys(self, *keys):
        self.tmux("send-keys", *keys)

    def wait(self, pattern, what):
        """Waits until the screen matches; the match."""
        end = time.monotonic() + WAIT_S
        while True:
            text = self.screen()
            found = re.search(pattern, text, re.M)
            if found:
                return found
            if time.monotonic() > end:
                errors = self.errors.read_text(errors="replace") if self.errors.exists() else ""
                raise Failure(f"{what}: the screen does not match '{pattern}':\n{text}{errors}")
            time.sleep(0.05)

    def resize(self, width, height):
        self.tmux("resize-window", "-x", width, "-y", height)

    def ended(self, status):
        """It ended so, and the terminal is as before."""
        wait_for(self.status.exists, "qemu-mq-top to end")
        eq(self.status.read_text().strip(), str(status), "exit status")
        before, after = (re.sub(r"rows \d+; columns \d+;", "", p.read_text())
                         for p in (Path(f"{self.after}-before"), self.after))
        eq(after, before, "terminal settings afterwards")
        self.wait("back again", "the shell after it")
        check("qemu-mq-top  " not in self.screen(), f"the screen was not given back:\n{self.screen()}")
        return self.errors.read_text()

    def close(self):
        subprocess.run(["tmux", "-S", self.socket, "kill-server"], capture_output=True, check=False)
        errors = self.errors.read_text(errors="replace") if self.errors.exists() else ""
        check(not any(m in errors for m in SANITIZER_MARKS), f"sanitizer report: {errors}")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


# ---- without a screen ----

@case("mq-top/bad-options")
def bad_options(t):
    for args, text in ((("--colour", "/x"), "--colour"), (("--interval", "0", "/x"), "0.1 to 3600"),
                       (("--count", "x", "/x"), "--count 'x'"), ((), "missing"), (("/x", "/y"), "more than one"),
                       (("--json", "/x"), "--once"), (("--once", "/no/such/socket"), "/no/such/socket"),
                       (("/no/such/socket",), "/no/such/socket"), (("--once", "tcp:x"), "HOST:PORT")):
        check(text in run_top(t, *args, status=1), f"{args}: '{text}' is not in the message")
    check("--interval" in run_top(t, "--help"), "--help")
    check(re.fullmatch(r"qemu-mq-top \d+\.\d+\.\d+\n", run_top(t, "--version")), "--version")


@case("mq-top/no-terminal")
def no_terminal(t):
    vm = t.vm("-qmp", f"unix:{t.dir}/top,server=on,wait=off")
    check("--once" in run_top(t, t.dir / "top", status=1), "a screen where there is none")
    vm.clock_step(1)  # answered by the main loop: from then on SIGTERM is a request
    check(vm.alive(), "the emulator")


@case("mq-top/once-without-nics")
def once_without_nics(t):
    t.vm("-qmp", f"unix:{t.dir}/top,server=on,wait=off")
    eq(json.loads(run_top(t, "--once", "--json", "--interval", "0.1", t.dir / "top"))["nics"], [], "NICs")
    check("no NICs" in run_top(t, "--once", "--interval", "0.1", t.dir / "top"), "the table")


@case("mq-top/host-with-two-addresses", ("root",))
def two_addresses(t):
    hosts = t.dir / "hosts"
    hosts.write_text("127.0.0.1 both\n127.0.0.2 both\n")
    subprocess.run(["mount", "--bind", hosts, "/etc/hosts"], check=True)  # in a namespace of this case's own
    set_up("lo")
    found = [a[4][0] for a in socket.getaddrinfo("both", 4444, type=socket.SOCK_STREAM)]
    if len(found) < 2:
        raise Skip("the host's resolver takes one line of /etc/hosts only (multi of host.conf)")
    t.vm("-qmp", f"tcp:{found[1]}:4444,server=on,wait=off")
    eq(json.loads(run_top(t, "--once", "--json", "--interval", "0.1", "both:4444"))["nics"], [], "NICs")
    check("refused" in run_top(t, "--once", "both:4445", status=1), "nobody listens at either address")


@case("mq-top/once-json-as-query-net-queues", TUN)
def once_json(t):
    w = Watched(t)
    done = threading.Event()

    def talk():
        while not done.is_set():
            exchange(w.nic, w.host, 0, b"again")
    thread = threading.Thread(target=talk)
    thread.start()
    try:
        before = w.pairs()
        reports = [json.loads(line) for line in run_top(t, "--once", "--json", "--count", 2, "--interval", 0.5,
                                                        f"unix:{w.top_path}").splitlines()]
        after = w.pairs()
    finally:
        done.set()
        thread.join()
    eq(len(reports), 2, "reports")
    report = reports[1]
    eq((report["vm"], report["iothreads"], report["pairs-left-out"]), ("watched", ["io0", "io1"], 0), "machine")
    check(0.4 < report["elapsed"] < 5, f"elapsed: {report['elapsed']}")
    nic, = report["nics"]
    eq((nic["name"], nic["netdev"], nic["link"], nic["qom-path"]), ("nic0", "n0", True, after[0]["qom-path"]), "NIC")
    eq(len(nic["pairs"]), 2, "pairs")
    for p, first, last in zip(nic["pairs"], before, after):
        for mine, theirs in (("pair", "pair"), ("owner", "owner"), ("iothread", "iothread"), ("thread-id", "thread-id"),
                             ("attached", "enabled"), ("active", "active")):
            eq(p[mine], last[theirs], mine)
        eq(set(p["counters"]), set(last["stats"]), "counters")
        for name in ("rx-packets", "tx-packets", "rx-bytes", "tx-bytes"):
            check(first["stats"][name] <= p["counters"][name] <= last["stats"][name], f"{name} of pair {p['pair']}")
            if name.endswith("packets"):
                moved = p["counters"][name] - reports[0]["nics"][0]["pairs"][p["pair"]]["counters"][name]
                rate = moved / report["elapsed"]
                check(abs(p["rates"][name] - rate) <= 0.01 * rate + 0.01, f"rate of {name}: {p['rates']}, not {rate}")
    check(nic["pairs"][0]["rates"]["rx-packets"] > 0 and nic["rates"]["tx-packets"] > 0, f"no rates: {nic['rates']}")
    check(nic["pairs"][0]["rates"]["rx-bits"] > nic["pairs"][0]["rates"]["rx-packets"] * 8, "bits")


@case("mq-top/once-table", TUN)
def once_table(t):
    w = Watched(t)
    lines = run_top(t, "--once", "--interval", 0.2, w.top_path).splitlines()
    check(re.match(r"NIC / PAIR +OWNER +IOTHREAD +THREAD +CPU% +STATE ", lines[0]), lines[0])
    check(re.match(r"nic0 +link up +n0 .* 2 pairs ", lines[1]), lines[1])
    check(re.match(rf"  pair 0 +iothread +io0 +{w.pairs()[0]['thread-id']} ", lines[2]), lines[2])
    eq(len(lines), 4, "lines")


@case("mq-top/hostile-servers")
def hostile_servers(t):
    """What no emulator says: a line on stderr and status 1, and no escapes from the server in it."""
    greeting = b'{"QMP": {"version": {}, "capabilities": []}}\r\n'
    ready = (greeting, b'{"return": {}, "id": 1}')
    commands = (*ready, b'{"return": [{"name": "query-net-queues"}], "id": 2}{"return": {}, "id": 3}')
    for what, answers, text in (
            ("ssh", (b"SSH-2.0-x\r\n",), "does not speak QMP"),
            ("escapes", (b"\x1b[2J\x1b]0;x\x07",), "does not speak QMP"),
            ("plain QEMU", (*ready, b'{"return": [{"name": "query-status"}], "id": 2}'), "no query-net-queues"),
            ("endless", (greeting, b'{"event": "' + b"a" * (9 << 20)), "longer than 8 MiB"),
            ("deep", (greeting, b"[" * 100000), "does not speak QMP"),
            ("gone", ready, "closed the connection"),
            ("no list", (*commands, b'{"return": 5, "id": 4}'), "the answer is no list"),
            ("error", (*commands, b'{"error": {"class": "X", "desc": "\\u001b[31mred\\u009b1m"}, "id": 4}'),
             "query-net-queues: ?[31mred?1m")):
        path = t.dir / f"hostile-{what.replace(' ', '-')}"
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(str(path))
            listener.listen(1)
            thread = threading.Thread(target=answer_in_turn, args=(listener, answers))
            thread.start()
            message = run_top(t, "--once", path, status=1)
            thread.join()
            check(text in message, f"{what}: '{text}' is not in {message!r}")
            check(re.fullmatch(r"[ -~]+\n", message), f"{what}: unprintable: {message!r}")


def answer_in_turn(listener, answers):
    """A server that says each of ANSWERS when the client has said something, the first at once."""
    peer, _ = listener.accept()
    with peer:
        try:
            for answer in answers:
                peer.sendall(answer)
                peer.recv(1 << 16)
        except OSError:
            pass


# ---- with a screen ----

PAIR_0 = r"^  pair 0 +{} +{} "


@case("mq-top/screen", TUN)
def screen(t):
    w = Watched(t)
    with Terminal(t, "--interval", "0.2", w.top_path) as term:
        term.wait(r"^qemu-mq-top  watched  .*  1 NICs, 2 pairs  every 0.2 s", "title")
        term.wait(r"^nic0 +link up +n0 .*2 pairs", "the NIC")
        term.wait(rf"^  pair 0 +iothread +io0 +{w.pairs()[0]['thread-id']} .*active", "its pair")
        flood_until_rates(w, term)

        term.keys("Down")
        term.keys("m")
        term.wait(r"^MOVE PAIR 0 OF nic0 TO\n +0  vhost-net\n +1  iothread io0\n +2  iothread io1", "owners")
        term.keys("2")
        term.wait(r"nic0: pair 0 to iothread io1: done|NET_QUEUE_MAPPING_CHANGED", "the message of the move")
        term.wait(PAIR_0.format("iothread", "io1"), "the new owner")
        eq([q["iothread"] for q in w.pairs()], ["io1", "io0"], "owners after the key")

        # refused: in the status line and among the messages, nothing changed
        term.keys("m", "0")
        term.wait(r"^\d\d:\d\d:\d\d nic0: pair 0 to vhost-net: .*vhost", "the refusal")
        eq(w.pairs()[0]["iothread"], "io1", "owner after the refusal")
        term.keys("e")
        term.wait(r"^MESSAGES[^\n]*\n(.*\n)*.*pair 0 to vhost-net: (.*\n)*.*NET_QUEUE_MAPPING_CHANGED", "all messages")
        term.keys("e")

        term.keys("Home", "m", "Enter")
        term.wait(r"nic0: all pairs to vhost-net: ", "all pairs")
        term.keys("q")
        eq(term.ended(0), "", "stderr")


def flood_until_rates(w, term):
    end = time.monotonic() + WAIT_S
    while not re.search(r"^  pair 0 .*active +[1-9]", term.screen(), re.M):
        check(time.monotonic() < end, f"no rates:\n{term.screen()}")
        exchange(w.nic, w.host, 0, b"again")


@case("mq-top/screen-link-and-queues", TUN)
def screen_link_and_queues(t):
    w = Watched(t)
    with Terminal(t, "--interval", "0.2", w.top_path) as term:
        term.wait(r"^nic0 +link up", "the NIC")
        term.keys("l")
        term.wait(r"^Take the link of nic0 down\? \(y/n\)", "the question")
        term.keys("n")
        term.wait(r"^m move ", "the table again")
        eq(w.nic.status_field(), 1, "link after n")
        term.keys("l", "y")
        term.wait(r"^nic0 +LINK DOWN", "the link down")
        wait_for(lambda: w.nic.status_field() == 0, "the driver to see it")
        term.keys("l")
        term.wait(r"^nic0 +link up", "the link up")
        wait_for(lambda: w.nic.status_field() == 1, "the driver to see it")

        term.keys("c")
        term.wait(r"^Queues of netdev n0: _", "the question")
        term.keys("9", "BSpace", "1")
        term.wait(r"^Queues of netdev n0: 1_", "what was typed")
        term.keys("Enter")
        term.wait(r"n0: 1 queues: done|NET", "the message")
        wait_for(lambda: len({q["fd"] for q in w.pairs()}) == 1, "one queue")
        term.keys("c", "2", "Enter")
        wait_for(lambda: len({q["fd"] for q in w.pairs()}) == 2, "two queues")
        term.keys("c", "9", "9", "9", "9", "9", "Enter")
        term.wait(r"^\d\d:\d\d:\d\d n0: 99999 queues: ", "the refusal")
        term.keys("C-c")  # the shell gets it as well
        eq(term.ended(0), "", "stderr")


@case("mq-top/screen-sizes", TUN)
def screen_sizes(t):
    """Each size shows what fits, and nothing is garbled."""
    w = Watched(t, queues=8)
    with Terminal(t, "--interval", "0.2", w.top_path) as term:
        term.wait(r"^  pair 7 ", "all pairs")
        for width, height in ((200, 50), (40, 6), (80, 24), (41, 7), (120, 8)):
            term.resize(width, height)
            rows = min(height - 4, 9)
            term.wait(rf"\A{'qemu-mq-top  watched'}.*\nNIC / PAIR     OWNER.*\n(nic0|  pair).*\n(  pair \d .*\n){{{rows - 1}}}",
                      f"the table in {width}x{height}")
            check(len(term.screen().splitlines()) <= height, f"too many lines in {width}x{height}")
        check("TXRING%" in (term.resize(200, 50) or term.wait("TXRING%", "all columns")[0]), "columns")
        term.resize(40, 6)
        term.wait(r"\A.*\nNIC", "small")
        term.keys("End")
        term.wait(r"^  pair 7 ", "the last pair")
        for key in ("h", "e", "d", "m", "c", "l"):
            term.keys(key)
            term.wait(r"goes bac", f"the list of {key}")
            term.keys("x")
            term.wait(r"^m move", "the table")
        for width, height in ((39, 20), (100, 5), (10, 2), (1, 2)):
            term.resize(width, height)
            want = f"too small: {width}x{height}, min 40x6"[:width]
            term.wait(rf"\A{re.escape(want)}\s*\Z", f"the message in {width}x{height}")
        term.resize(100, 30)
        term.wait(r"^  pair 7 ", "the table again")
        term.keys("h")
        term.wait(r"^KEYS", "help")
        term.keys("x", "s")
        term.wait(r"every 0.2 s  by rx", "sorted")
        term.keys("+")
        term.wait(r"every 0.5 s", "a longer interval")
        term.keys("d")
        term.wait(r"^NIC0|^nic0 PAIR 7", "details")
        term.wait(r"^rx-packets +\d+ +\S+", "a counter")
        term.keys("x", "q")
        eq(term.ended(0), "", "stderr")


@case("mq-top/screen-emulator-goes", TUN)
def screen_emulator_goes(t):
    w = Watched(t, start=False)
    with Terminal(t, "--interval", "0.2", w.top_path) as term:
        term.wait(r"^  pair 0 +stopped +- ", "a pair that nobody has")
        w.qmp.cmd("quit")
        w.vm.wait_end()
        check("closed the connection" in term.ended(1), "the message")


@case("mq-top/screen-reconnect", TUN)
def screen_reconnect(t):
    path = t.dir / "later"
    with Terminal(t, "--interval", "0.2", "--reconnect", path) as term:
        term.wait(r"trying again", "the message")
        vm = t.vm("-qmp", f"unix:{path},server=on,wait=off", qmp=True)
        term.wait(r"^no NICs", "the emulator")
        qmp = Qmp(vm.qmp_path)
        qmp.cmd("netdev_add", type="tap", id="n0", ifname="t0", script="no", downscript="no")
        qmp.cmd("device_add", driver="virtio-net-pci", netdev="n0", id="late", bus="pci.0")
        term.wait(r"^late +link", "a NIC that came")
        qmp.cmd("quit")
        vm.wait_end()
        term.wait(r"closed the connection; trying again", "the message")
        term.wait(r"^late +link", "what was last seen")
        term.keys("l", "y")
        term.wait(r"link down: not connected", "no action without an emulator")
        term.keys("q")
        eq(term.ended(0), "", "stderr")


@case("mq-top/screen-signal")
def screen_signal(t):
    """SIGTERM gives the terminal back as well."""
    vm = t.vm("-qmp", f"unix:{t.dir}/top,server=on,wait=off")
    with Terminal(t, t.dir / "top") as term:
        term.wait(r"^no NICs", "the screen")
        pane = int(term.tmux("display-message", "-p", "#{pane_pid}"))
        child = int(Path(f"/proc/{pane}/task/{pane}/children").read_text().split()[0])
        os.kill(child, signal.SIGTERM)
        term.ended(128 + signal.SIGTERM)
    check(vm.alive(), "the emulator")


@case("mq-top/screen-hostile-text")
def screen_hostile_text(t):
    """Names and messages of the server are no terminal commands."""
    evil = "\x1b[2J\x1b[31mevil\u009b\n\x07\u202e"
    queues = [{"nic": evil, "qom-path": "/a", "pair": i, "owner": "iothread", "iothread": evil, "netdev": evil,
               "stats": {evil: 1, "rx-packets": 2 ** 64 - 1, "x" * 5000: [1] * 5000}} for i in range(300)]
    answers = {"qmp_capabilities": {}, "query-commands": [{"name": n} for n in ("query-net-queues", "query-iothreads")],
               "query-name": {"name": evil}, "query-iothreads": [{"id": evil}], "query-net-queues": queues}
    path = t.dir / "evil"
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(path))
    listener.listen(1)

    def serve():
        peer, _ = listener.accept()
        with peer, peer.makefile("rw", encoding="utf-8") as f:
            f.write('{"QMP": {}}\n')
            f.flush()
            for line in f:
                command = json.loads(line)
                f.write(json.dumps({"id": command["id"], "return": answers[command["execute"]]}) + "\n")
                f.write(json.dumps({"event": evil, "data": {evil: evil, "x": {"y": [evil]}}}) + "\n")
                f.flush()
    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    with Terminal(t, "--interval", "0.1", path) as term:
        term.wait(r"^\?\[2J\?\[31mevil\+ +", "the NIC's name")
        term.wait(r"^\d\d:\d\d:\d\d \?\[2J\?\[31mevil\?\?\?\? ", "the event")
        for keys in (("Down", "d"), ("x", "e"), ("x", "m"), ("x", "c"), ("Escape",), ("x", "End")):
            term.keys(*keys)
            time.sleep(0.1)
            check("\x1b" not in term.screen() and re.search("^qemu-mq-top", term.screen()), f"garbled:\n{term.screen()}")
        term.wait(r"^  pair 299 ", "the last pair")
        term.keys("q")
        eq(term.ended(0), "", "stderr")
