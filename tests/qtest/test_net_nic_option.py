# SPDX-License-Identifier: GPL-2.0-or-later
"""-nic TYPE and -net TYPE make a NIC with a netdev of each type; help tells of all; a NIC has as many queue pairs as its
netdev serves, whatever mq= says."""

import re

from qmplib import Qmp
from qtestlib import Skip, case, check, eq
from test_virtio_net_options import run
from virtiolib import BASIC, CTRL, F_MQ, Modern, Nic, bits, find_virtio

MAC = "52:54:00:00:00:09"

# What a type needs to be made without anybody at the other end.
TYPES = {
    "dgram": "local.type=unix,local.path={dir}/a,remote.type=unix,remote.path={dir}/b",
    "hubport": "hubid=4",
    "l2tpv3": "src=127.0.0.1,dst=127.0.0.1,udp=on,srcport=0,dstport=9,txsession=1",
    "socket": "listen=127.0.0.1:0",
    "stream": "server=on,addr.type=unix,addr.path={dir}/s",
    "tap": "ifname=t0,script=no,downscript=no",
    "user": "restrict=on,hostfwd=tcp:127.0.0.1:0-:22,hostfwd=udp:127.0.0.1:0-:53",
}


def known_types(t):
    status, out, err = run(t, "-netdev", "help")
    eq((status, err), (0, ""), "-netdev help")
    return out.split("\n", 1)[1].split()


def options(t, kind):
    if kind not in known_types(t):
        raise Skip(f"this emulator has no {kind}")
    return f"{kind},{TYPES[kind].format(dir=t.dir)}"


@case("net-nic-option/help")
def help_of_all(t):
    for kind in known_types(t):
        want = run(t, "-netdev", f"{kind},help")
        eq((want[0], want[2]), (0, ""), f"-netdev {kind},help")
        check(want[1].startswith(f"{kind} options"), f"-netdev {kind},help: {want[1][:80]}")
        for option in ("-nic", "-net"):
            eq(run(t, option, f"{kind},help"), want, f"{option} {kind},help")
    for option in ("-nic", "-net"):
        status, out, _ = run(t, option, "help")
        eq(status, 0, f"{option} help")
        check(all(f"\n{kind}\n" in out for kind in known_types(t)), f"{option} help: {out}")
        status, out, err = run(t, option, "pigeon,help")
        eq((status, out, len(err.splitlines())), (1, "", 1), f"{option} pigeon,help")


def add_type(kind):
    @case(f"net-nic-option/{kind}", needs=("root", "tun"))
    def one_type(t):
        vm = t.vm("-nic", f"{options(t, kind)},model=virtio-net-pci,mac={MAC}", qmp=True)
        info = Qmp(vm.qmp_path).cmd("human-monitor-command", command_line="info network")
        check(re.search(rf"nic-netdev0: type={kind}\b", info) or kind == "hubport" and "hub 4" in info, info)
        check(f"macaddr={MAC}" in info, info)
        nic = Nic(Modern(find_virtio(vm)[0])).start()
        eq(nic.mac(), bytes.fromhex(MAC.replace(":", "")), "MAC address")
        vm.close()
        vm.ended = True
        if kind == "hubport":
            return
        vm = t.vm("-net", f"nic,macaddr={MAC}", "-net", options(t, kind), qmp=True)
        info = Qmp(vm.qmp_path).cmd("human-monitor-command", command_line="info network")
        check(re.search(rf"^hub 0\r?\n.*\n \\ hub0port1: net-netdev1: type={kind}\b", info), info)

    @case(f"net-nic-option/one-pair/{kind}", needs=("root", "tun"))
    def one_pair(t):
        vm = t.vm("-netdev", options(t, kind) + ",id=n0", "-device", f"virtio-net-pci,netdev=n0,mac={MAC},mq=on")
        if kind != "tap":
            eq(vm.log().count("mq=on: netdev 'n0' has one queue, so there is one queue pair"), 1, f"warning: {vm.log()}")
        nic = Nic(Modern(find_virtio(vm)[0]))
        nic.start(BASIC | CTRL | bits(F_MQ))
        eq(nic.max_pairs(), 1, "max_virtqueue_pairs")
        check(nic.command(4, 0, b"\2\0") != 0, "two pairs were taken")
        check(nic.healthy(), "NEEDS_RESET")


for name in TYPES:
    add_type(name)
