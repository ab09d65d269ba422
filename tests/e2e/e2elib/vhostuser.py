# SPDX-License-Identifier: GPL-2.0-or-later
"""Cases: queue pairs whose rings DPDK's testpmd serves, and what a Linux guest sees of it when testpmd dies.

testpmd has a vhost port for each NIC and joins it, queue by queue, to a port on the NIC's tap. So the host's kernel is at
the other end, as with -netdev tap, and counts the packets of each pair. The first NIC comes to testpmd's socket, and
testpmd comes to that of the second.
"""

from . import counters
from .report import Stalled, expect
from .session import Config, Nic

QUEUES = 4
LIVE = 0xF          # ACKNOWLEDGE, DRIVER, FEATURES_OK and DRIVER_OK: a device that needs a reset has more
MIB = 1             # of one round of the load, each way

PROGRAM = (
    "exec dpdk-testpmd --no-huge -m 128 --no-pci --no-telemetry --no-shconf --lcores 0@0,1@0 "
    + " ".join(f"--vdev net_vhost{i},iface={{state}}/vu{i},queues={QUEUES}{how} "
               f"--vdev net_tap{i},iface=tap{i},mac=02:00:00:00:01:0{i}" for i, how in enumerate(("", ",client=1")))
    + f" -- --no-mlockall --total-num-mbufs=4096 --rxd=128 --txd=128 --disable-link-check --forward-mode=io "
    f"--nb-cores=1 --rxq={QUEUES} --txq={QUEUES}")
KILL = "if [ -e {state}/testpmd.pid ]; then kill -9 $(cat {state}/testpmd.pid); rm -f {state}/testpmd.pid {state}/vu0; fi"
# The other end of its standard input stays open, for its end would be testpmd's.
START = (
    "[ -p {state}/testpmd.in ] || mkfifo {state}/testpmd.in; "
    f"{{{{ sh -c 'echo $$ >{{state}}/testpmd.pid; {PROGRAM}' <>{{state}}/testpmd.in >{{state}}/testpmd.log 2>&1 & }}}}; "
    "n=0; while [ ! -S {state}/vu0 ] && [ $n -lt 300 ]; do n=$((n + 1)); sleep 0.1; done; "
    "[ -S {state}/vu0 ] || {{ cat {state}/testpmd.log; false; }}")


def config():
    """Two NICs, one each way of connecting, with split and with packed rings, and guest memory that testpmd can map."""
    nics = [Nic(QUEUES, netdev=f"vhost-user,id={{id}},chardev=c{i},queues={QUEUES}", props=props, joined=True)
            for i, props in enumerate(({}, {"packed": "on"}))]
    return Config(nics, objects=["memory-backend-memfd,id=ram,size=512M,share=on"], before=[KILL, START], after=[KILL],
                  programs=("dpdk-testpmd",),
                  args=["-machine", "memory-backend=ram", "-chardev", "socket,id=c0,path={state}/vu0,reconnect=1",
                        "-chardev", "socket,id=c1,path={state}/vu1,server=on,wait=off"])


def _host(s, command):
    return s.host.check(command.format(state=s.host.state_dir), 60)


def _each_nic(s):
    return range(len(s.config.nics))


class Load:
    """TCP both ways on each NIC, every byte compared, round after round until it is stopped."""

    def __init__(self, s):
        self.s = s
        s.guest.check("rm -f /tmp/stop")
        for nic in _each_nic(s):
            s.background(f"while [ ! -e /tmp/stop ]; do {s.xfer_command('both', MIB, QUEUES, nic)} || exit 1; done",
                         f"load{nic}")
        self.all_pairs()

    def _counters(self):
        return [counters.guest_queues(self.s.guest, f"eth{nic}", QUEUES) for nic in _each_nic(self.s)]

    def all_pairs(self):
        """Returns when every pair has moved packets both ways, from now on."""
        before, idle = self._counters(), ["not seen"]

        def moved():
            idle[:] = [f"eth{nic} pair {q}: received {d.rx}, sent {d.tx}"
                       for nic, (new, old) in enumerate(zip(self._counters(), before))
                       for q, d in enumerate(counters.difference(new, old)) if d.rx <= 0 or d.tx <= 0]
            return not idle
        try:
            self.s.wait_until(moved, "traffic on all pairs", 60)
        except Stalled as e:
            raise Stalled(f"{e}: {', '.join(idle)}") from e

    def stop(self):
        """All that was begun ends, and was right."""
        self.s.guest.check(": >/tmp/stop")
        for nic in _each_nic(self.s):
            status, text = self.s.wait_background(120, f"load{nic}")
            expect(status == 0, f"traffic of eth{nic}: {text[-300:]}")


def _expect_carrier(s, value):
    for nic in _each_nic(s):
        s.wait_until(lambda n=nic: s.guest.run(f"cat /sys/class/net/eth{n}/carrier")[1].strip() == str(value),
                     f"carrier {value} of eth{nic}")


def _die(s):
    """testpmd dies; the guest sees its links go down, and QMP tells."""
    mark = s.events_mark()
    _host(s, KILL)
    _expect_carrier(s, 0)
    _expect_events(s, "NETDEV_VHOST_USER_DISCONNECTED", mark)


def _return(s):
    """Another testpmd; the links go up."""
    mark = s.events_mark()
    _host(s, START)
    _expect_carrier(s, 1)
    _expect_events(s, "NETDEV_VHOST_USER_CONNECTED", mark)


def _expect_events(s, name, mark):
    want = [f"n{nic}" for nic in _each_nic(s)]
    s.wait_until(lambda: len(s.events(name, mark)) >= len(want), name)
    seen = sorted(e["netdev-id"] for e in s.events(name, mark))
    expect(seen == want, f"{name} of {seen}")


def _expect_no_reset(s):
    for nic in _each_nic(s):
        status = int(s.guest.check(f"cat /sys/class/net/eth{nic}/device/status"), 16)
        expect(status == LIVE, f"device status of eth{nic}: {status:#x}")


def restart(s):
    """testpmd is killed under load and started again: links go down and up, and the same connections go on, on all pairs."""
    load = Load(s)
    _die(s)
    _return(s)
    load.all_pairs()
    load.stop()
    _expect_no_reset(s)


def reload_alone(s):
    """The driver goes and comes while testpmd is away; another testpmd finds what the new one has set up."""
    _die(s)
    s.guest.run("modprobe -r virtio_net")
    s.guest.check("! [ -e /sys/class/net/eth0 ] && modprobe virtio_net && [ -e /sys/class/net/eth0 ]")
    s.setup_network()
    _expect_carrier(s, 0)
    _return(s)
    Load(s).stop()
