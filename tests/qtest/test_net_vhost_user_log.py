# SPDX-License-Identifier: GPL-2.0-or-later
"""Pages that vhost-user back-ends write (LOG_SHMFD), as calc-dirty-rate sees them."""

import struct

from netlib import HOST_MAC, raw_frame
from qtestlib import MIB, Failure, case, check, eq, wait_for
from test_dirty_rate import MS, Rate, refused
from test_net_vhost_user import MQ, User
from test_net_vhost_user_dpdk import Echo
from vhostuserlib import DIE, RING_LOG
from vhostusermsg import (F_LOG_ALL, FEATURES, P_LOG_SHMFD, P_MEM_SLOTS, P_RESET_DEVICE, P_STATUS, PROTOCOL, Raw,
                          pack)
from virtiolib import F_PACKED, MAC, PackedRing, bits

LOG = PROTOCOL | bits(P_LOG_SHMFD)
BITMAP = {"calc-time": 1, "mode": "dirty-bitmap"}


def logged(u, ms=100, n=60, tag=b"", post=True):
    """N frames to each pair while pages are logged, each into a page of its own: the rate is that of pages that differ,
    and the back-end has marked them. Measured for longer when the back-end was not done in time."""
    for pair in range(u.queues if post else 0):
        u.vm.alloc(0, 4096)
        u.nic.post(pair, n, 4096)
    since = u.back.mark()
    rate = Rate(u.vm, u.qmp, ms=ms, mode="dirty-bitmap")
    u.back.wait(lambda: u.back.logs and all(r.flags == RING_LOG for r in u.back.rings[:2 * u.queues]), "the log")
    eq(len(u.back.told("SET_LOG_BASE", since)), 1, "logs told of")
    for pair in range(u.queues):
        for i in range(n):
            u.back.send(raw_frame(MAC, HOST_MAC, tag + struct.pack(">HI", pair, i), size=1300), pair)
    u.back.wait(lambda: not any(u.back.pending), "frames to be taken")
    with u.back.lock:
        marked = sum(bin(b).count("1") for b in u.back.log[:])
    early = rate.query()["status"] == "measuring"
    pages = rate.pages()
    for pair in range(u.queues):
        for i in range(n):
            u.nic.expect(pair, raw_frame(MAC, HOST_MAC, tag + struct.pack(">HI", pair, i), size=1300), f"frame {i}")
    if not early:
        check(ms < 5000, "never done in time")
        rate.result()
        return logged(u, ms * 4, n, tag + b"later", post=False)  # pages may be the same
    # One may be that of interrupts, which the back-end does not write.
    check(pages - marked in (0, 1), f"{marked} pages marked, {pages} changed")
    rate.expect(pages, "frames to the guest")
    # It was told to stop, and nothing is left in its log.
    u.back.wait(lambda: not u.back.logs and not any(r.flags for r in u.back.rings), "the end of the log")
    eq(any(u.back.log[:]), False, "bits left in the log")
    return pages


@case("net-vhost-user-log/pages")
def log_pages(t):
    u = User(t, protocol=LOG).start(posted=0)
    for tag in (b"once", b"again"):
        check(logged(u, tag=tag) > 60, "pages")
    u.all_pairs()
    u.close()


@case("net-vhost-user-log/two-pairs")
def log_two(t):
    u = User(t, queues=2, protocol=LOG | bits(P_STATUS, P_MEM_SLOTS, P_RESET_DEVICE)).start(posted=0)
    logged(u)
    u.all_pairs()
    u.close()


@case("net-vhost-user-log/answers")
def log_answers(t):
    """The answer has a number or nothing."""
    for payload in (b"", b"\xff" * 8):
        u = User(t, protocol=LOG, answers={"SET_LOG_BASE": lambda b, m, p=payload: (b.set_log_base(m), p)[1]})
        u.start(posted=0)
        logged(u, n=8)
        u.close()
        u.path.unlink(missing_ok=True)


@case("net-vhost-user-log/reconnect")
def log_reconnect(t):
    """The back-end goes while pages are logged; the next one goes on."""
    u = User(t, queues=2, server=True, protocol=LOG).start(posted=0)
    for pair in range(2):
        u.vm.alloc(0, 4096)
        u.nic.post(pair, 100, 4096)
    rate = Rate(u.vm, u.qmp, ms=1000, mode="dirty-bitmap")
    pages = marked = 0
    for n in range(3):
        u.back.wait_ready(2)
        u.back.wait(lambda: u.back.logs and all(r.flags == RING_LOG for r in u.back.rings), "the log")
        for i in range(30):
            u.back.send(raw_frame(MAC, HOST_MAC, struct.pack(">HI", n, i), size=1300), n % 2)
        u.back.wait(lambda: not any(u.back.pending), "frames to be taken")
        with u.back.lock:
            marked = max(marked, sum(bin(b).count("1") for b in u.back.log[:]))
        if n < 2:
            u.close()
            u.qmp.event("NETDEV_VHOST_USER_DISCONNECTED")
            u.again(protocol=LOG)
            u.qmp.event("NETDEV_VHOST_USER_CONNECTED")
    if rate.query()["status"] == "measuring":
        pages = rate.pages()
        check(90 < pages < 100, f"{pages} pages changed")
        check(marked >= 90, f"{marked} pages in the log that outlives back-ends")
        rate.expect(pages, "frames of three back-ends")
    u.back.wait(lambda: not u.back.logs, "the end of the log")
    for pair, n in ((0, 60), (1, 30)):
        for i in range(n):
            u.nic.recv(pair)
    u.all_pairs()
    u.close()


@case("net-vhost-user-log/not-able")
def log_not_able(t):
    """A back-end that cannot is told by name; nothing else changes, and one that comes later may."""
    u = User(t, queues=2, server=True).start()
    since = u.back.mark()
    refused(u.qmp, "LOG_SHMFD", **BITMAP)
    eq([m.name for m in u.back.messages[since:]], [], "messages")
    u.all_pairs()
    info = Rate(u.vm, u.qmp).result()  # by samples it is possible
    refused(u.qmp, "LOG_SHMFD", **BITMAP)
    eq(u.qmp.cmd("query-dirty-rate", arguments_=dict(MS)), info, "the last result")
    u.close()
    u.again(protocol=LOG, features=FEATURES & ~bits(F_LOG_ALL))
    u.back.wait_ready(2)
    refused(u.qmp, "LOG_SHMFD", **BITMAP)
    u.all_pairs(b"still")
    # With nobody there it begins; who comes is told, or missed, which is said.
    u.close()
    u.qmp.event("NETDEV_VHOST_USER_DISCONNECTED")
    u.qmp.event("NETDEV_VHOST_USER_DISCONNECTED")
    rate = Rate(u.vm, u.qmp, ms=1000, mode="dirty-bitmap")
    u.again()
    u.back.wait_ready(2)
    u.all_pairs(b"not logged")
    check("LOG_SHMFD" in u.vm.log(), "a line that says that pages are missing")
    u.close()
    u.again(protocol=LOG)
    u.back.wait_ready(2)
    eq(bool(u.back.logs), rate.query()["status"] == "measuring", "the next is told")
    rate.result()
    u.all_pairs(b"the end")
    u.close()


def lie(b, m):
    b.set_log_base(m)
    return Raw(pack("SET_LOG_BASE", bytes(4)))


@case("net-vhost-user-log/lies")
def log_lies(t):
    """Wrong answers end the connection, not the measurement; bits of pages that are not there do not count."""
    for answer, why in ((lie, "bytes"), (lambda b, m: DIE, "closed"),
                        (lambda b, m: Raw(pack("SET_VRING_NUM", bytes(8))), "instead")):
        u = User(t, server=True, protocol=LOG, answers={"SET_LOG_BASE": answer}).start()
        rate = Rate(u.vm, u.qmp, ms=60, mode="dirty-bitmap")
        u.qmp.event("NETDEV_VHOST_USER_DISCONNECTED")
        rate.result()
        u.close()
        u.again(protocol=LOG)
        u.back.wait_ready()
        u.all_pairs(why.encode())
        u.close()
        u.path.unlink(missing_ok=True)


@case("net-vhost-user-log/hostile-bits")
def log_hostile(t):
    u = User(t, protocol=LOG).start()
    rate = Rate(u.vm, u.qmp, ms=300, mode="dirty-bitmap")
    u.back.wait(lambda: u.back.logs, "the log")
    with u.back.lock:
        u.back.log[:] = b"\xff" * len(u.back.log)
        for size in (len(u.back.log) // 2, 2 * len(u.back.log)):
            try:
                u.back.log.resize(size)
            except (SystemError, OSError, ValueError):
                continue
            raise Failure(f"the log can be made {size} bytes")
    if rate.query()["status"] == "measuring":
        tree = u.qmp.cmd("human-monitor-command", command_line="info mtree")
        ram = [[int(x, 16) for x in line.split(":")[0].split("-")] for line in tree.splitlines()
               if line.endswith(": ram")]
        rate.expect(sum(end + 1 - start for start, end in ram) >> 12, "all of memory, and no more")
    u.all_pairs()
    u.close()


@case("net-vhost-user-log/dpdk-testpmd")
def log_testpmd(t):
    """DPDK marks what it writes: pages of frames that came back, of used rings, and no others."""
    for features, nic_opts in ((MQ, ""), (MQ | bits(F_PACKED), ",packed=on")):
        PackedRing.strict = False
        echo = Echo(t, True, features, nic_opts)
        echo.nic.start(features, pairs=2, vectors=True, posted=128, rx_size=4096)
        echo.nic.set_pairs(2)
        echo.answered()
        for ms in (100, 400, 1600, 6400):
            buffers = {at >> 12 for ring in echo.nic.rx.values() for _, (at, _) in ring.chains.values()}
            rate = Rate(echo.vm, echo.qmp, ms=ms, mode="dirty-bitmap")
            echo.load(140)
            if rate.query()["status"] == "measuring":
                break
        changed = sum(echo.vm.ram[4096 * p:4096 * (p + 1)] != rate.before[4096 * p:4096 * (p + 1)] for p in buffers)
        eq(changed, 256, "pages of buffers that frames came to")
        info = rate.result()
        least, most = (n * 4096 * 1000 // MIB // info["calc-time"] for n in (256, 256 + 16))
        check(least <= info["dirty-rate"] <= most, f"{info}, from {least} to {most}")
        echo.answered()
        if not nic_opts:
            echo.restart()
        echo.load(50)
        echo.other.kill()
        echo.path.unlink(missing_ok=True)


@case("net-vhost-user-log/filtered")
def log_filtered(t):
    """A filtered pair's rings are an iothread's, which marks what it writes: its back-end need not be able to."""
    u = User(t).start(posted=0)
    refused(u.qmp, "LOG_SHMFD", **BITMAP)
    u.qmp.cmd("object-add", arguments_={"qom-type": "filter-dump", "id": "f0", "netdev": "n0",
                                        "file": str(t.dir / "dump")})
    u.back.wait_ready()
    u.vm.alloc(0, 4096)
    u.nic.post(0, 120, 4096)
    for part, ms in enumerate((100, 1000)):
        rate = Rate(u.vm, u.qmp, ms=ms, mode="dirty-bitmap")
        for i in range(60):
            u.back.send(raw_frame(MAC, HOST_MAC, struct.pack(">H", i), size=1300))
        ring = u.nic.rx[0]
        wait_for(lambda: ring.used_idx == 60 * part + 60, "frames")
        if rate.query()["status"] == "measuring":
            break
    pages = rate.pages()
    check(60 <= pages < 65, f"{pages} pages changed")
    rate.expect(pages, "frames through an iothread")
    eq(u.back.told("SET_LOG_BASE"), [], "logs that the back-end was told of")
    for i in range(60 * part + 60):
        u.nic.recv(0)
    u.qmp.cmd("object-del", id="f0")
    u.back.wait_ready()
    u.all_pairs()
    u.close()


@case("net-vhost-user-log/whatever-happens-meanwhile")
def log_meanwhile(t):
    """What starts rings anew while pages are logged, or ends them; the machine ends before the measurement does."""
    u = User(t, queues=2, server=True, protocol=LOG | bits(P_STATUS, P_RESET_DEVICE)).start()
    u.qmp.cmd("calc-dirty-rate", arguments_={**BITMAP, "calc-time": 60})

    def goes_on(what, queues=2):
        u.back.wait_ready(queues)
        u.back.wait(lambda: u.back.logs and all(r.flags == RING_LOG for r in u.back.rings[:2 * queues]),
                    f"the log after {what}")
        u.all_pairs(what.encode())
        eq(u.qmp.cmd("query-dirty-rate")["status"], "measuring", f"after {what}")

    def restart():
        u.nic.t.reset()
        u.start()

    def unplug():
        u.qmp.cmd("device_del", id="nic0")
        u.vm.qtest.command(f"outl 0xae08 {1 << u.pci.devfn // 8:#x}")
        u.qmp.event("DEVICE_DELETED")
        u.qmp.events.clear()

    def filtered():
        u.qmp.cmd("object-add", arguments_={"qom-type": "filter-dump", "id": "f0", "netdev": "n0",
                                            "file": str(t.dir / "dump")})
        u.back.wait_ready()
        u.all_pairs(b"filtered")
        u.qmp.cmd("object-del", id="f0")
    goes_on("the start")
    for what, act in (("stop", lambda: (u.qmp.cmd("stop"), u.qmp.cmd("cont"))),
                      ("the link", lambda: (u.link(False), u.link(True))),
                      ("a filter", filtered), ("a reset", restart),
                      ("another back-end", lambda: (u.close(), u.again(protocol=LOG)))):
        act()
        goes_on(what)
    u.qmp.cmd("netdev_del", id="n0")
    u.close()
    u.again(protocol=LOG)
    u.qmp.cmd("netdev_add", type="vhost-user", id="n0", chardev="c0", queues=2)
    goes_on("netdev_add")
    unplug()
    eq(bool(u.back.logs) and any(r.started for r in u.back.rings), False, "rings that are logged")
    u.qmp.cmd("netdev_del", id="n0")
    eq(u.qmp.cmd("query-dirty-rate")["status"], "measuring", "without the NIC")
    u.close()


@case("net-vhost-user-log/says-once")
def log_says_once(t):
    """A driver that starts rings again and again does not fill the host's log."""
    u = User(t, server=True).start()
    u.close()
    u.qmp.event("NETDEV_VHOST_USER_DISCONNECTED")
    u.qmp.cmd("calc-dirty-rate", arguments_={**BITMAP, "calc-time": 60})
    u.again()
    for i in range(3):
        u.back.wait_ready()
        u.all_pairs(b"%d" % i)
        u.nic.t.reset()
        u.start()
    eq(u.vm.log().count("LOG_SHMFD"), 1, "lines that say that pages are missing")
    u.close()
