# SPDX-License-Identifier: GPL-2.0-or-later
"""What a NIC on vhost-user cannot have: said in a line that gives the reason, and nothing has changed."""

import struct
import time

from netlib import HOST_MAC, raw_frame
from qmplib import QmpError
from qtestlib import Failure, case, check, eq
from test_net_vhost_user import MQ, User, options
from test_virtio_net_options import run
from vhostuserlib import Backend
from vhostusermsg import PROTOCOL
from virtiolib import AVAIL, F_INDIRECT, F_PACKED, MAC, NEEDS_RESET, USED, bits

MEMORY = ["-m", "64M", "-object", "memory-backend-memfd,id=m,size=64M", "-machine", "pc,memory-backend=m"]


def refused(u, words, command, arguments):
    try:
        u.qmp.cmd(command, arguments_=arguments)
    except QmpError as e:
        check(all(w in str(e) for w in words), f"{command}: {e}")
        return
    raise Failure(f"{command} {arguments}: no error")


@case("net-vhost-user/refused/by-command")
def by_command(t):
    u = User(t, queues=2, server=True).start()
    nic = {"id": "nic0"}
    for words, command, arguments in (
            (["vhost-user"], "virtio-net-set-vhost-affinity", nic | {"pairs": [0], "cpus": [0]}),
            (["cannot change"], "netdev-set-queues", {"id": "n0", "queues": 1}),
            (["busy"], "chardev-remove", {"id": "c0"}),
            (["in use"], "netdev_add", {"type": "vhost-user", "id": "n1", "chardev": "c0"})):
        refused(u, words, command, arguments)
    u.all_pairs()
    u.close()


@case("net-vhost-user/refused/at-the-start")
def at_start(t):
    path = t.dir / "vhost"
    back = Backend(path, pairs=2)
    status, out, err = run(t, *MEMORY, *options(path, 4))
    eq((status, out), (1, ""), f"queues=4: status and stdout; {err}")
    eq(len(err.splitlines()), 1, f"queues=4: lines on stderr: {err}")
    check("queues=4" in err and "queues=2" in err, f"queues=4: {err}")
    back.finish()


@case("net-vhost-user/refused/netdev-add-with-nobody-there")
def nobody(t):
    u = User(t, queues=2, server=True).start()
    u.qmp.cmd("netdev_del", id="n0")
    u.close()
    begin = time.monotonic()
    refused(u, ["nobody has connected"], "netdev_add",
            {"type": "vhost-user", "id": "n0", "chardev": "c0", "queues": 2})
    check(time.monotonic() - begin < 20, "the machine was made to wait")
    u.again()
    refused(u, ["2 queue pairs", "queues=2"], "netdev_add",
            {"type": "vhost-user", "id": "n0", "chardev": "c0", "queues": 1})
    u.close()
    u.again()
    u.qmp.cmd("netdev_add", type="vhost-user", id="n0", chardev="c0", queues=2)
    u.back.wait_ready(2)
    u.all_pairs()
    u.close()


PACKED = MQ | bits(F_PACKED, F_INDIRECT, 30)


def mark_used(ring, slot, ident):
    """What a device writes that is done with the chain at SLOT of the first lap."""
    struct.pack_into("<IHH", ring.vm.ram, ring.desc + 16 * slot + 8, 0, ident, AVAIL | USED)


@case("net-vhost-user/packed-rings-without-their-back-end")
def packed_left(t):
    """Where it was is read from the descriptors."""
    u = User(t, queues=2, server=True, nic_opts=",packed=on", features=PACKED, stalled=True)
    u.nic.start(MQ | bits(F_PACKED, F_INDIRECT), pairs=2, vectors=True, posted=4)
    u.nic.set_pairs(2)
    for pieces in (1, 2, 1):
        u.nic.send(0, raw_frame(HOST_MAC, MAC, b"packed"), wait=False, pieces=pieces, indirect=True)
    mark_used(u.nic.tx[0], 0, 0)
    mark_used(u.nic.tx[0], 1, 1)
    mark_used(u.nic.rx[1], 0, 0)
    u.close()
    u.again(features=PACKED, stalled=True)
    u.back.wait_ready(2)
    eq([(m.state[0], m.state[1] & 0xffff) for m in u.back.told("SET_VRING_BASE")],
       [(0, 0x8000), (1, 0x8002), (2, 0x8001), (3, 0x8000)], "places where the next one begins")
    check(all(m.state[1] >> 16 == m.state[1] & 0xffff for m in u.back.told("SET_VRING_BASE")), "the used halves")
    eq(u.nic.t.status & NEEDS_RESET, 0, "NEEDS_RESET")
    u.close()


@case("net-vhost-user/a-packed-ring-that-does-not-tell-its-place")
def packed_lost(t):
    """Is the next slot of the last chain that was used, or of another one? Nobody knows: the device needs a reset."""
    u = User(t, queues=2, server=True, nic_opts=",packed=on", features=PACKED, stalled=True)
    u.nic.start(MQ | bits(F_PACKED), pairs=2, vectors=True)
    u.nic.set_pairs(2)
    u.nic.send(0, raw_frame(HOST_MAC, MAC, b"packed"), wait=False)
    mark_used(u.nic.tx[0], 0, 0)
    u.close()
    u.again(features=PACKED, stalled=True)
    u.nic.wait_broken("a packed ring whose back-end is gone")
    u.close()


@case("net-vhost-user/monitor")
def monitor(t):
    u = User(t, queues=2, protocol=PROTOCOL).start()
    path = u.qmp.cmd("x-query-virtio")[0]["path"]
    status = u.qmp.cmd("x-query-virtio-status", path=path)
    check(status["vhost-started"], "vhost has the rings")
    names = [n.split(":")[0] for n in status["vhost-dev"]["protocol-features"]["protocols"]]
    eq(names, ["VHOST_USER_PROTOCOL_F_MQ", "VHOST_USER_PROTOCOL_F_REPLY_ACK"], "protocol features")
    since = u.back.mark()
    check("last-avail-idx" not in u.qmp.cmd("x-query-virtio-queue-status", path=path, queue=0), "a place of the ring")
    u.qmp.cmd("x-query-virtio-vhost-queue-status", path=path, queue=0)
    refused(u, ["only when it stops"], "x-query-virtio-queue-element", {"path": path, "queue": 0})
    eq(u.back.told("GET_VRING_BASE", since), [], "rings that a look stopped")
    owners = [q["owner"] for q in u.qmp.cmd("query-net-queues")]
    eq(owners, ["vhost", "vhost"], "owners of the pairs")
    u.all_pairs()
    u.close()
