# SPDX-License-Identifier: GPL-2.0-or-later
"""Many commands, many connections: no growth in memory, descriptors or time."""

from qmplib import Qmp
from qtestlib import MIB, SCALE, case, check, wait_for
from test_qmp_protocol import MEMORY_FACTOR, rss, still_works

COMMANDS, CONNECTIONS = int(100000 / SCALE), int(1000 / SCALE)
BATCH = 400


def no_growth(vm, work, what):
    """Does ten tenths of WORK; memory does not grow and the last is no slower than the first; the time is the emulator's own."""
    seconds, memory, fds = [], [], None
    for _ in range(10):
        began = vm.cpu_seconds()
        connection = work()  # still open: the count of descriptors is one to compare
        seconds.append(vm.cpu_seconds() - began)
        still_works(connection)
        memory.append(rss(vm.process.pid))
        fds = fds or sum(vm.fds().values())
        wait_for(lambda: sum(vm.fds().values()) == fds, f"{fds} descriptors as after the first tenth of {what}")
    # A leak shows in every tenth; an arena of the allocator that grows by a MiB shows in one.
    grown = min(after - earlier for earlier, after in zip(memory, memory[1:]))
    check(grown < MIB // 10 * MEMORY_FACTOR, f"{what}: memory after each tenth: {memory}")
    check(min(seconds[-2:]) < 2 * seconds[0] + 0.05,
          f"{what}: the tenths took {', '.join(f'{s:.2f}' for s in seconds)} s")


@case("qmp/load-commands-on-one-connection")
def _(test):
    vm = test.vm(qmp=True, memory=False)
    qmp = Qmp(vm.qmp_path)
    names = [b"query-version", b"query-status", b"no-such", b"query-version"]

    def work():
        for _ in range(0, COMMANDS // 10, BATCH):
            qmp.send_bytes(b"".join(b'{"execute":"%s","id":%d}\r\n' % (names[i % 4], i) for i in range(BATCH)))
            answers = b""
            while answers.count(b"\n") < BATCH:
                answers += qmp.sock.recv(1 << 20)
            check(answers.endswith(b'"id": %d}\r\n' % (BATCH - 1)), f"last answer {answers[-200:]!r}")
            check(answers.count(b'"return"') == BATCH * 3 // 4, "answers that are errors")
        return qmp

    no_growth(vm, work, f"{COMMANDS} commands")


@case("qmp/load-connections-one-after-another")
def _(test):
    vm = test.vm(qmp=True, memory=False)
    last = []

    def work():
        while last:
            last.pop().close()
        for i in range(CONNECTIONS // 10):
            qmp = Qmp(vm.qmp_path)
            qmp.cmd("query-version")
            qmp.send_bytes(b'{"execute": "half' if i % 2 else b" ")
            qmp.close()
        last.append(Qmp(vm.qmp_path))
        return last[0]

    no_growth(vm, work, f"{CONNECTIONS} connections")
