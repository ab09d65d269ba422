# SPDX-License-Identifier: GPL-2.0-or-later
"""What the options of a NIC and its netdev do: refused ones in one line, hints
that cost nothing, help, and features that a property takes away."""

import re
import subprocess

from netlib import GSO_UDP, Host, NEEDS_CSUM, net_hdr, raw_frame
from qtestlib import WAIT_S, case, check, eq
from virtiolib import (BASIC, CTRL, F_CTRL_MAC_ADDR, F_CTRL_RX, F_CTRL_VLAN, F_CTRL_VQ, F_GUEST_ANNOUNCE, F_MQ,
                       F_SPEED_DUPLEX, Modern, Nic, bits, find_virtio, tap_args)

TUN = ("root", "tun")
TAP = "tap,id=n0,ifname=t0,script=no,downscript=no"


def run(t, *args):
    """Exit status, stdout and stderr of a command line that ends by itself."""
    r = subprocess.run([t.emulator, "-nodefaults", "-display", "none", "-accel", "qtest", *args], text=True,
                       stdin=subprocess.DEVNULL, capture_output=True, timeout=WAIT_S, check=False)
    return r.returncode, r.stdout, r.stderr


REFUSED = {
    "host_mtu=67": "host_mtu=67",
    "speed=-2": "speed=-2",
    "duplex=some": "duplex=some.*'half'",
    "tx=timer": "tx=timer.*'bh'",
    "rx_queue_size=100": "rx_queue_size",
    "tx_queue_size=7": "tx_queue_size",
    "netdev=nobody": "nobody",
    "mac=nonsense": "mac",
    "vectors=-1": "vectors",
    "nosuch=on": "nosuch",
    "disable-legacy=on,disable-modern=on": "disable-",
}


@case("virtio-net/options/refused-in-one-line", needs=TUN)
def refused(t):
    for options, what in REFUSED.items():
        device = f"virtio-net-pci,{options}" + ("" if "netdev=" in options else ",netdev=n0")
        status, out, err = run(t, "-netdev", TAP, "-device", device)
        eq((status, out), (1, ""), f"{options}: status and stdout; {err}")
        eq(len(err.splitlines()), 1, f"{options}: lines on stderr: {err}")
        check(re.search(what, err), f"{options}: nothing about {what}: {err}")
    status, _, err = run(t, "-netdev", TAP, "-netdev", TAP.replace("t0", "t1"))
    check(status == 1 and "Duplicate ID 'n0'" in err, f"the same id twice: {status} {err}")
    status, _, err = run(t, "-netdev", TAP, "-device", "virtio-net-pci,netdev=n0", "-device", "virtio-net-pci,netdev=n0")
    check(status == 1 and "n0" in err, f"one netdev for two devices: {status} {err}")


@case("virtio-net/options/hints-about-queues", needs=TUN)
def hints(t):
    vm = t.vm(*tap_args(queues=4, nic_opts=",vectors=3"))
    check("3 interrupt vectors for 4 queue pairs" in vm.log(), f"few vectors: {vm.log()}")
    vm = t.vm("-netdev", TAP.replace("t0", "t1") + ",queues=2", "-device", "virtio-net-pci,netdev=n0")
    check("has 2 queues but the device uses one" in vm.log(), f"queues without mq: {vm.log()}")


@case("virtio-net/options/help-forms")
def help_forms(t):
    for args, what in ((("-nic", "model=help"), "virtio-net-pci"), (("-nic", "tap,model=help"), "virtio-net-pci"),
                       (("-net", "nic,model=help"), "virtio-net-pci"), (("-netdev", "help"), "tap"),
                       (("-netdev", "tap,help"), "vnet_hdr"), (("-netdev", "bridge,help"), "helper"),
                       (("-nic", "help"), "bridge"), (("-device", "virtio-net-pci,help"), "rx_queue_size")):
        status, out, err = run(t, *args)
        eq((status, err), (0, ""), f"{' '.join(args)}: status and stderr")
        check(what in out, f"{' '.join(args)}: nothing about {what}: {out}")


@case("virtio-net/options/duplex-and-speed", needs=TUN)
def duplex(t):
    for n, (text, value) in enumerate((("half", 0), ("full", 1))):
        vm = t.vm(*tap_args(name=f"t{n}", nic_opts=f",speed=1000,duplex={text}"))
        nic = Nic(Modern(find_virtio(vm)[0]))
        check(nic.t.offered() >> F_SPEED_DUPLEX & 1, "SPEED_DUPLEX is not offered")
        nic.start(BASIC | bits(F_SPEED_DUPLEX))
        eq((nic.t.config(12, 4), nic.t.config(16, 1)), (1000, value), f"speed and duplex={text}")


@case("virtio-net/options/ctrl_vq-off-takes-what-needs-it", needs=TUN)
def no_ctrl(t):
    vm = t.vm(*tap_args(queues=2, nic_opts=",ctrl_vq=off"))
    nic, host = Nic(Modern(find_virtio(vm)[0])), Host("t0")
    gone = bits(F_CTRL_VQ, F_CTRL_RX, F_CTRL_VLAN, F_CTRL_MAC_ADDR, F_GUEST_ANNOUNCE, F_MQ)
    eq(nic.t.offered() & gone, 0, "features that need a control queue")
    nic.start()
    nic.both_ways(host)


@case("virtio-net/5.1.6.2/tx-ufo-follows-its-feature", needs=TUN)
def tx_ufo(t):
    vm = t.vm(*tap_args(nic_opts=",host_ufo=off"))
    nic, host = Nic(Modern(find_virtio(vm)[0])), Host("t0", vnet_hdr=True)
    nic.start(BASIC | CTRL | bits(0))
    frame = raw_frame(b"\2" * 6, size=3000)
    nic.send(0, frame, net_hdr(NEEDS_CSUM, GSO_UDP, 42, 1400, 34, 6))
    check(host.recv(0.03) is None, "a UFO frame, which was not negotiated, reached the host")
    check(nic.healthy(), "NEEDS_RESET")
