# SPDX-License-Identifier: GPL-2.0-or-later
"""Back-ends that come, go and die under load, and what the machine makes of that."""

import mmap
import os
import re
import struct

from netlib import HOST_MAC, raw_frame
from qtestlib import MIB, Failure, case, check, eq, wait_for
from test_net_vhost_user import MQ, User, options
from test_virtio_net_options import run
from vhostuserlib import Backend
from vhostusermsg import FEATURES, P_INFLIGHT, P_MEM_SLOTS, PROTOCOL
from virtiolib import F_MRG_RXBUF, MAC, NEEDS_RESET, Modern, Nic, bits, find_virtio


# ---- events ----

def connected(u):
    eq(u.qmp.event("NETDEV_VHOST_USER_CONNECTED")["data"], {"netdev-id": "n0", "chardev-id": "c0"}, "event")


def disconnected(u):
    eq(u.qmp.event("NETDEV_VHOST_USER_DISCONNECTED")["data"], {"netdev-id": "n0"}, "event")


@case("net-vhost-user/events")
def events(t):
    u = User(t, server=True)
    u.qmp.events.clear()
    for _ in range(3):
        u.close()
        disconnected(u)
        u.again()
        connected(u)
    u.qmp.cmd("query-status")
    eq([e for e in u.qmp.events if e["event"].startswith("NETDEV_VHOST")], [], "more events")
    u.close()


# ---- restart ----

class Load:
    """Numbered frames in both directions through all pairs, as much as fits."""

    def __init__(self, u):
        self.u = u
        self.sent = [0] * u.queues          # by the guest
        self.given = [0] * u.queues         # to the back-end, for the guest
        self.came = [[] for _ in range(u.queues)]
        self.out = [[] for _ in range(u.queues)]

    def number(self, frame):
        return struct.unpack_from(">I", frame, 14)[0]

    def frame(self, n, to_guest):
        ends = (MAC, HOST_MAC) if to_guest else (HOST_MAC, MAC)
        return raw_frame(*ends, struct.pack(">I", n), size=60 + n % 700)

    def turn(self):
        """A few frames more each way."""
        u = self.u
        for pair in range(u.queues):
            ring = u.nic.tx[pair]
            while ring.take():
                pass
            for _ in range(min(4, len(ring.free) // 2)):
                u.nic.send(pair, self.frame(self.sent[pair], False), wait=False)
                self.sent[pair] += 1
            if u.back and not u.back.ended and len(u.back.pending[pair]) < 8:
                u.back.send(self.frame(self.given[pair], True), pair)
                self.given[pair] += 1
            self.collect(pair)

    def collect(self, pair):
        u = self.u
        while True:
            got = u.nic.recv(pair, wait=False)
            if not got:
                break
            n = self.number(got[1])
            eq(got[1], self.frame(n, True), "frame to the guest")
            self.came[pair].append(n)
        while u.back and u.back.frames[pair]:
            frame = u.back.frames[pair].popleft()[1]
            n = self.number(frame)
            eq(frame, self.frame(n, False), "frame from the guest")
            self.out[pair].append(n)

    def run(self, more):
        """Until MORE frames further have passed everywhere."""
        goal = [(len(a) + more, len(b) + more) for a, b in zip(self.came, self.out)]

        def step():
            self.u.back.failed()
            self.turn()
            return all(len(a) >= g and len(b) >= h for a, b, (g, h) in zip(self.came, self.out, goal))
        wait_for(step, "frames under load")

    def settle(self):
        """The last frames have passed; nothing came twice or out of order. What was sent while nobody was there
        may be lost."""
        def done():
            self.u.back.failed()
            for pair in range(self.u.queues):
                self.collect(pair)
            return all(o[-1] == s - 1 for o, s in zip(self.out, self.sent))
        wait_for(done, f"the last frames: {[o[-1] for o in self.out]} of {self.sent}")
        for pair in range(self.u.queues):
            for what, numbers in (("from", self.out[pair]), ("to", self.came[pair])):
                check(all(m < n for m, n in zip(numbers, numbers[1:])),
                      f"pair {pair}: a frame {what} the guest twice or out of order")


def restart_under_load(t, **kw):
    u = User(t, queues=2, **kw).start(posted=64)
    load = Load(u)
    for _ in range(2):
        load.run(60)
        u.close()
        for _ in range(5):
            load.turn()  # nobody is there; the rings fill up
        u.again()
        u.back.wait_ready(2)
        load.run(60)
        eq(u.nic.t.status & NEEDS_RESET, 0, "NEEDS_RESET after a restart of the back-end")
        u.expect_link(True, "after a restart of the back-end")
    load.settle()
    u.all_pairs(b"at last")
    u.close()


@case("net-vhost-user/restart-under-load/a-client")
def restart_client(t):
    restart_under_load(t, server=True)


@case("net-vhost-user/restart-under-load/a-server")
def restart_server(t):
    restart_under_load(t, reconnect=1)


@case("net-vhost-user/restart-under-load/with-an-inflight-buffer")
def restart_inflight(t):
    restart_under_load(t, server=True, protocol=PROTOCOL | bits(P_INFLIGHT))


@case("net-vhost-user/restart-under-load/memory-slots")
def restart_slots(t):
    restart_under_load(t, server=True, protocol=PROTOCOL | bits(P_MEM_SLOTS))


@case("net-vhost-user/reset-while-nobody-is-there")
def reset_alone(t):
    u = User(t, queues=2, server=True).start()
    u.all_pairs()
    u.close()
    disconnected(u)
    u.nic.t.reset()
    u.nic.start(MQ, pairs=2, vectors=True)
    u.nic.set_pairs(2)
    u.again()
    u.back.wait_ready(2)
    u.expect_link(True, "with the next back-end")
    u.all_pairs(b"after a reset alone")
    u.close()


@case("net-vhost-user/system-reset")
def system_reset(t):
    u = User(t, queues=2).start()
    for i in range(2):
        u.all_pairs(b"before %d" % i)
        since = u.back.mark()
        u.qmp.cmd("system_reset")
        u.qmp.event("RESET")
        eq(sorted(m.state[0] for m in u.back.told("GET_VRING_BASE", since)), [0, 1, 2, 3], "stopped rings")
        u.pci = find_virtio(u.vm)[0]
        u.pci.msix_setup()
        u.nic = Nic(Modern(u.pci))
        u.start(posted=16)
    u.all_pairs(b"at last")
    u.close()


@case("net-vhost-user/link-goes-with-the-back-end")
def link(t):
    u = User(t, server=True).start()
    u.expect_link(True, "with a back-end")
    u.pci.msix_clear()
    u.close()
    u.expect_link(False, "without a back-end")
    u.pci.msix_wait(0, "configuration interrupt")
    u.again()
    u.expect_link(True, "with the next back-end")
    u.pci.msix_wait(0, "configuration interrupt")
    u.back.wait_ready()
    u.all_pairs()
    u.link(False)
    u.close()
    u.again()
    connected(u)
    connected(u)
    u.expect_link(False, "with a back-end, as set_link said")
    u.link(True)
    u.expect_link(True, "after set_link")
    u.back.wait_ready()
    u.all_pairs(b"after set_link")
    u.close()


@case("net-vhost-user/another-back-end-without-a-feature-in-use-is-refused")
def fewer_features(t):
    u = User(t, server=True).start()
    u.all_pairs()
    u.close()
    disconnected(u)
    u.again(features=FEATURES & ~bits(F_MRG_RXBUF))
    u.back.wait(lambda: u.back.connections and not u.back.sock, "the end of the connection")
    u.close()
    lines = [l for l in u.vm.log().splitlines() if "n0" in l or "vhost" in l]
    check(lines and "mrg" in lines[-1].lower() or "feature" in lines[-1].lower(), f"no word about it: {lines}")
    u.again()
    u.back.wait_ready()
    u.all_pairs(b"with all features again")
    u.close()


# ---- commands ----

@case("net-vhost-user/netdev-del-and-add")
def netdev_del(t):
    u = User(t, queues=2, server=True).start()
    before = u.vm.fds(), sorted(u.vm.thread_names().values())
    for tag in (b"second", b"third"):
        u.all_pairs(tag)
        u.qmp.cmd("netdev_del", id="n0")
        u.expect_link(False, "without a netdev")
        u.close()
        u.again()
        u.qmp.cmd("netdev_add", type="vhost-user", id="n0", chardev="c0", queues=2)
        u.back.wait_ready(2)
        u.expect_link(True, "with a netdev again")
    u.all_pairs(b"fourth")
    eq((u.vm.fds(), sorted(u.vm.thread_names().values())), before, "descriptors and threads")
    u.close()


@case("net-vhost-user/netdev-add-that-fails-tells-of-nothing")
def netdev_add_fails(t):
    u = User(t, server=True).start(bits(32, F_MRG_RXBUF))
    u.qmp.cmd("netdev_del", id="n0")
    u.close()
    u.qmp.events.clear()
    u.again(features=FEATURES & ~bits(F_MRG_RXBUF))
    answer = u.qmp.raw({"execute": "netdev_add", "arguments": {"type": "vhost-user", "id": "n0", "chardev": "c0"}})
    check("error" in answer, f"netdev_add of what lacks a feature in use: {answer}")
    u.qmp.cmd("query-status")
    eq([e["event"] for e in u.qmp.events if e["event"].startswith("NETDEV_VHOST")], [], "events")
    u.close()
    u.again()
    u.qmp.cmd("netdev_add", type="vhost-user", id="n0", chardev="c0")
    connected(u)
    u.back.wait_ready(1)
    u.all_pairs()
    u.close()


@case("net-vhost-user/device-del")
def device_del(t):
    u = User(t, queues=2, server=True).start()
    u.all_pairs()
    u.qmp.cmd("device_del", id="nic0")
    u.vm.qtest.command(f"outl 0xae08 {1 << u.pci.devfn // 8:#x}")  # the guest ejects the slot
    u.qmp.event("DEVICE_DELETED")
    u.qmp.cmd("netdev_del", id="n0")
    u.close()
    u.qmp.cmd("chardev-remove", id="c0")
    eq(u.qmp.cmd("query-chardev") and [c["label"] for c in u.qmp.cmd("query-chardev") if c["label"] == "c0"], [],
       "the chardev")


@case("net-vhost-user/info-network")
def info_network(t):
    u = User(t, queues=2).start()
    text = u.qmp.cmd("human-monitor-command", command_line="info network")
    check(re.search(r"n0: .*type=vhost-user", text), f"info network: {text}")
    pairs = u.qmp.cmd("query-net-queues", arguments_={"name": "nic0"})
    eq([(p["pair"], p["owner"], p["active"]) for p in pairs], [(0, "vhost", True), (1, "vhost", True)], "pairs")
    u.close()


# ---- refused ----

@case("net-vhost-user/private-memory-is-refused")
def private_memory(t):
    path = t.dir / "vhost"
    back = Backend(path, pairs=1)
    shared = ["-object", "memory-backend-memfd,id=m,size=64M", "-machine", "pc,memory-backend=m"]
    for memory in (["-m", "64M"], ["-m", "64M", *shared[:1], shared[1] + ",share=off", *shared[2:]]):
        status, out, err = run(t, *memory, *options(path))
        eq((status, out), (1, ""), f"{memory}: status and stdout; {err}")
        eq(len(err.splitlines()), 1, f"{memory}: lines on stderr: {err}")
        check("share=on" in err, f"{memory}: nothing about share=on: {err}")
    back.finish()


def open_ram(vm, size):
    """Maps the guest RAM of a machine that has it in a memory descriptor."""
    base = f"/proc/{vm.process.pid}/fd"
    for name in os.listdir(base):
        if os.readlink(f"{base}/{name}").startswith("/memfd:") and os.stat(f"{base}/{name}").st_size == size:
            with open(f"{base}/{name}", "r+b") as f:
                vm.ram = mmap.mmap(f.fileno(), size)
            view = memoryview(vm.ram)
            vm.m16, vm.m32, vm.m64 = view.cast("H"), view.cast("I"), view.cast("Q")
            return
    raise Failure("the machine has no such descriptor")


@case("net-vhost-user/memory-that-no-file-system-knows")
def memfd(t):
    path = t.dir / "vhost"
    back = Backend(path, pairs=1)
    vm = t.vm("-object", "memory-backend-memfd,id=m,size=64M,share=on", *options(path), memory=False,
              machine="pc,memory-backend=m")
    open_ram(vm, 64 * MIB)
    nic = Nic(Modern(find_virtio(vm)[0])).start()
    back.wait_ready().both_ways(nic)
    back.finish()
