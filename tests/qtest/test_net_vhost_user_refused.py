# SPDX-License-Identifier: GPL-2.0-or-later
"""What a NIC on vhost-user cannot have: said in a line that gives the reason, and nothing has changed."""

import time

from qmplib import QmpError
from qtestlib import Failure, case, check, eq
from test_net_vhost_user import MQ, User, options
from test_virtio_net_options import run
from vhostuserlib import Backend
from vhostusermsg import PROTOCOL
from virtiolib import F_PACKED, bits

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
    u.qmp.cmd("object-add", arguments_={"qom-type": "iothread", "id": "io0"})
    nic = {"id": "nic0"}
    for words, command, arguments in (
            (["vhost-user", "iothread"], "virtio-net-set-queue-mapping",
             nic | {"mapping": [{"pair": 1, "backend": "iothread", "iothread": "io0"}]}),
            (["vhost-user"], "virtio-net-set-vhost-affinity", nic | {"pairs": [0], "cpus": [0]}),
            (["vhost-user"], "virtio-net-set-rate-limit", nic | {"rx": {"bytes-per-second": 1000000}}),
            (["cannot change"], "netdev-set-queues", {"id": "n0", "queues": 1}),
            (["vhost-user"], "object-add",
             {"qom-type": "filter-buffer", "id": "f0", "netdev": "n0", "interval": 1000}),
            (["busy"], "chardev-remove", {"id": "c0"}),
            (["in use"], "netdev_add", {"type": "vhost-user", "id": "n1", "chardev": "c0"})):
        refused(u, words, command, arguments)
    u.all_pairs()
    u.close()


@case("net-vhost-user/refused/at-the-start")
def at_start(t):
    path = t.dir / "vhost"
    back = Backend(path, pairs=2)
    io = ["-object", "iothread,id=io0"]
    for queues, words, nic_opts in (
            (4, ("queues=4", "queues=2"), ""),
            (2, ("vhost-user", "iothread"), ',queue-mapping.0.pair=0,queue-mapping.0.backend=iothread'),
            (2, ("vhost-user", "iothread"), ",iothread-vq-mapping.0.iothread=io0"),
            (2, ("vhost-user", "rate"), ",rx-bytes-per-second=1000000")):
        status, out, err = run(t, *MEMORY, *io, *options(path, queues, nic_opts=nic_opts))
        eq((status, out), (1, ""), f"{nic_opts}: status and stdout; {err}")
        eq(len(err.splitlines()), 1, f"{nic_opts}: lines on stderr: {err}")
        check(all(w in err for w in words), f"{nic_opts}: {err}")
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


@case("net-vhost-user/packed-ring-without-its-back-end")
def packed_lost(t):
    """Its place is known to nobody: the device says that it needs a reset."""
    u = User(t, queues=2, server=True, nic_opts=",packed=on", features=MQ | bits(F_PACKED, 30), stalled=True)
    u.nic.start(MQ | bits(F_PACKED), pairs=2, vectors=True)
    u.nic.set_pairs(2)
    u.close()
    u.again(features=MQ | bits(F_PACKED, 30), stalled=True)
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
