# SPDX-License-Identifier: GPL-2.0-or-later
"""Pairs that a vDPA device serves: what it is told, in which order, and that it starts and stops as a whole."""

import errno
import os
import struct

from netlib import HOST_MAC, raw_frame
from qmplib import Qmp, QmpError
from qtestlib import case, check, eq, wait_for
from vdpalib import (B_BATCH, B_ENABLE_AFTER_DRIVER_OK, B_MSG_V2, B_SUSPEND, BACKEND, F_ACCESS_PLATFORM, FEATURES, INVALIDATE, UPDATE,
                     USUAL, Device, Refusal)
from virtiolib import (BASIC, CTRL, CTRL_MAC, CTRL_MQ, CTRL_OFFLOADS, CTRL_RX, CTRL_VLAN, DRIVER_OK, ERR,
                       F_CTRL_GUEST_OFFLOADS, F_CTRL_MAC_ADDR, F_CTRL_RX, F_CTRL_VLAN, F_CTRL_VQ, F_EVENT_IDX, F_GUEST_CSUM, F_GUEST_TSO4,
                       F_INDIRECT, F_MQ, F_MRG_RXBUF, F_MTU, F_PACKED, F_RING_RESET, F_STATUS, F_VERSION_1, FEATURES_OK,
                       MAC, NEEDS_RESET, OK, Modern, Nic, bits, find_virtio)

ALL = BASIC | CTRL | bits(F_MQ, F_CTRL_VLAN, F_CTRL_GUEST_OFFLOADS, F_GUEST_CSUM, F_GUEST_TSO4)
OTHER_MAC = bytes.fromhex("525400abcdef")


def text(mac):
    return ":".join(f"{b:02x}" for b in mac)


class Vdpa:
    """A machine with a NIC, nic0, on the netdev n0, a device of ours."""

    def __init__(self, t, netdev_opts="", nic_opts="", fd=False, **device):
        self.t, self.dev = t, Device(t, **device)
        where = f"vhostdev={self.dev.file}"
        fds = ()
        if fd:
            fds = (os.open(self.dev.file, os.O_RDWR),)
            where = f"vhostfd={fds[0]}"
        self.vm = self.dev.start_vm("-netdev", f"vhost-vdpa,id=n0,{where}{netdev_opts}", "-device",
                                    f"virtio-net-pci,netdev=n0,id=nic0,mq=on{nic_opts}", qmp=True, pass_fds=fds)
        for f in fds:
            os.close(f)
        self.qmp = Qmp(self.vm.qmp_path)
        self.pci = find_virtio(self.vm)[0]
        self.pci.msix_setup()
        self.nic = Nic(Modern(self.pci))

    def start(self, features=ALL, pairs=None, active=None, **kw):
        pairs = pairs or (self.dev.pairs_told if features & bits(F_MQ) else 1)
        self.nic.start(features & self.nic.t.offered(), pairs=pairs, vectors=True, **kw)
        if features & bits(F_MQ) and pairs > 1:
            self.nic.set_pairs(active or pairs)
        self.dev.wait_runs(2 * pairs)
        return self

    def frames(self, tag=b"", n=3):
        for pair in range(self.dev.active()):
            self.dev.both_ways(self.nic, pair, tag, n)

    def stop_cont(self):
        self.dev.commands.clear()
        self.qmp.cmd("stop")
        self.dev.wait(lambda: self.dev.status == 0, "a device that is reset")
        self.qmp.cmd("cont")

    def names(self, since=0):
        with self.dev.lock:
            return [m.name for m in self.dev.messages[since:]]

    def close(self):
        self.vm.close()
        self.vm.ended = True
        self.dev.finish()


# ---- frames ----

@case("net-vdpa/frames-both-ways")
def both_ways(t):
    v = Vdpa(t, pairs=1).start(BASIC)
    v.frames()
    big = raw_frame(MAC, HOST_MAC, b"several buffers", size=9000)
    v.dev.send(big)
    v.nic.expect(0, big, "a frame in several buffers")
    check(v.dev.accepted & bits(F_ACCESS_PLATFORM, F_VERSION_1) == bits(F_ACCESS_PLATFORM, F_VERSION_1),
          "features that are agreed upon beside the driver's")
    v.close()


@case("net-vdpa/frames-on-four-pairs-of-a-descriptor")
def four_pairs(t):
    v = Vdpa(t, pairs=4, fd=True).start()
    v.frames()
    eq(v.nic.max_pairs(), 4, "pairs without queues=")
    check("vhost-vdpa at fd=" in v.qmp.cmd("human-monitor-command", arguments_={"command-line": "info network"}),
          "info network")
    v.close()


@case("net-vdpa/ring-features")
def ring_features(t):
    for features in (0, bits(F_MRG_RXBUF), bits(F_INDIRECT, F_EVENT_IDX)):
        v = Vdpa(t, features=FEATURES & ~bits(F_MRG_RXBUF, F_INDIRECT, F_EVENT_IDX) | features)
        offered = v.nic.t.offered() & bits(F_MRG_RXBUF, F_INDIRECT, F_EVENT_IDX)
        eq(offered, features, "what the guest is offered of what the device has")
        v.start(bits(F_VERSION_1) | features)
        v.frames(b"%x" % features)
        v.close()


# ---- start and stop ----

@case("net-vdpa/3.1.1/order-of-a-start")
def order(t):
    v = Vdpa(t)
    since = v.dev.mark()
    v.start()
    names = v.names(since)
    told = [m.payload[0] for m in v.dev.told("SET_STATUS", since)]
    eq(told, [0, 1, 3, 3 | FEATURES_OK, 3 | FEATURES_OK | DRIVER_OK], "statuses")
    at = {n: names.index(n) for n in ("SET_FEATURES", "MESSAGE", "SET_VRING_NUM", "SET_VRING_ENABLE")}
    ok = len(names) - 1 - names[::-1].index("SET_STATUS")
    check(at["SET_FEATURES"] < at["MESSAGE"] < at["SET_VRING_NUM"] < at["SET_VRING_ENABLE"] < ok, f"{names}")
    eq(names[ok:].count("SET_VRING_ENABLE"), 0, "rings enabled after DRIVER_OK")
    v.frames()
    v.close()
    what = [m.payload[33] for m in v.dev.told("MESSAGE") if m.payload[33] in (UPDATE, INVALIDATE)]
    check(what.count(UPDATE) == what.count(INVALIDATE) >= 2, f"mapped and taken away: {what}")
    eq(v.dev.told("SET_STATUS")[-1].payload[0], 0, "status at the end")


@case("net-vdpa/rings-wait-for-commands-where-they-can")
def enable_late(t):
    v = Vdpa(t, backend=BACKEND | bits(B_ENABLE_AFTER_DRIVER_OK)).start()
    eq(v.nic.command(CTRL_VLAN, 0, struct.pack("<H", 7)), OK, "VLAN_ADD")
    v.stop_cont()
    v.dev.wait_runs(4)
    v.frames(b"late")
    names = v.names()
    ok = len(names) - 1 - names[::-1].index("SET_STATUS")
    eq(names[ok:].count("SET_VRING_ENABLE"), 4, "rings enabled after DRIVER_OK")
    check((CTRL_VLAN, 0, struct.pack("<H", 7)) in v.dev.told_commands(), "a VLAN told anew")
    v.close()


@case("net-vdpa/rings-that-cannot-be-enabled-late")
def enable_late_fails(t):
    def pairs_not(d, r):
        if d.status & DRIVER_OK:
            raise Refusal(errno.EIO)
        return USUAL
    v = Vdpa(t, backend=BACKEND | bits(B_ENABLE_AFTER_DRIVER_OK), answers={"SET_VRING_ENABLE": pairs_not})
    v.nic.start(ALL & v.nic.t.offered(), pairs=2, driver_ok=False)
    v.nic.t.add_status(DRIVER_OK)
    check(v.nic.t.status & NEEDS_RESET, "NEEDS_RESET")
    check("SET_VRING_ENABLE" in v.vm.log(), "no reason in the log")
    v.dev.answers.clear()
    v.start().frames(b"after")
    v.close()


@case("net-vdpa/stop-and-cont-go-on-where-it-was")
def stop_cont(t):
    for backend in (BACKEND, bits(B_MSG_V2), bits(B_MSG_V2, B_BATCH)):
        v = Vdpa(t, backend=backend).start()
        for i in range(3):
            v.frames(b"%d" % i)
            v.stop_cont()
            v.dev.wait_runs(4)
            eq("SUSPEND" in v.names(), bool(backend & bits(B_SUSPEND)), "SUSPEND")
        v.frames(b"last")
        v.nic.t.reset()
        v.dev.wait(lambda v=v: v.dev.status == 0 and not v.dev.maps, "a device that is reset, with nothing mapped")
        v.start().frames(b"again")
        v.close()


@case("net-vdpa/a-device-that-lies-about-its-place")
def lies(t):
    v = Vdpa(t, answers={"GET_VRING_BASE": lambda d, r: struct.pack("<II", r.pair[0], 0x8000)}).start()
    v.frames(b"before")
    v.stop_cont()
    v.dev.wait_runs(4)
    v.frames(b"after")
    v.close()


@case("net-vdpa/2.6.1/reset-of-one-queue")
def queue_reset(t):
    v = Vdpa(t).start(ALL | bits(F_RING_RESET))
    v.nic.t.queue_reset(0)
    v.dev.wait_runs(3)
    v.dev.both_ways(v.nic, 1, b"the other pair", n=1)
    v.nic.rx[0] = v.nic.t.make_ring(0, None, 1)
    v.dev.wait_runs(4)
    v.nic.post(0, 16)
    v.frames(b"after")
    v.close()


@case("net-vdpa/packed-rings-need-positions")
def packed(t):
    features = FEATURES | bits(F_PACKED)
    v = Vdpa(t, features=features, backend=bits(B_MSG_V2), nic_opts=",packed=on")
    eq(v.nic.t.offered() & bits(F_PACKED), 0, "packed rings without SUSPEND")
    v.close()
    v = Vdpa(t, features=features, nic_opts=",packed=on", pairs=1,
             answers={"GET_VRING_BASE": lambda d, r: struct.pack("<II", r.pair[0], 0x80058005)})
    v.nic.start(bits(F_VERSION_1, F_PACKED, F_CTRL_VQ, F_CTRL_VLAN), vectors=True)
    v.dev.wait_runs(2)
    eq([m.pair[1] & 0xffffffff for m in v.dev.told("SET_VRING_BASE")], [0x80008000] * 3, "positions")
    for vlan in range(100):
        eq(v.nic.command(CTRL_VLAN, 0, struct.pack("<H", vlan)), OK, f"VLAN_ADD {vlan}")
    since = v.dev.mark()
    v.stop_cont()
    v.dev.wait_runs(2)
    eq(v.nic.command(CTRL_VLAN, 1, b"\1\0"), OK, "VLAN_DEL")
    eq([c[2][0] for c in v.dev.told_commands(CTRL_VLAN)], [*range(100), 1], "VLANs that are told anew")
    eq([m.pair[1] & 0xffffffff for m in v.dev.told("SET_VRING_BASE", since)][:2], [0x80058005] * 2, "positions after it")
    v.close()


@case("net-vdpa/netdev-leaves-and-comes-back")
def hot(t):
    v = Vdpa(t).start()
    before = v.vm.fds()
    for i in range(2):
        v.frames(b"%d" % i)
        v.qmp.cmd("netdev_del", id="n0")
        v.dev.wait(lambda: v.dev.status == 0 and not v.dev.maps, "a device that nobody has")
        eq(v.nic.status_field() & 1, 0, "link without a netdev")
        v.dev.commands.clear()
        v.qmp.cmd("netdev_add", type="vhost-vdpa", id="n0", vhostdev=str(v.dev.file))
        v.dev.wait_runs(4)
    v.qmp.cmd("netdev_del", id="n0")
    for what, value, expected in (("features", FEATURES & ~bits(F_MRG_RXBUF), "MRG_RXBUF"), ("ring_max", 128, "have 128"),
                                  ("pairs_told", 1, "2 queue pairs")):
        old = getattr(v.dev, what)
        setattr(v.dev, what, value)
        try:
            v.qmp.cmd("netdev_add", type="vhost-vdpa", id="n0", vhostdev=str(v.dev.file))
            raise AssertionError(f"{what}: there is no error")
        except QmpError as e:
            check("cannot have it again" in str(e) and expected in str(e), f"{expected!r} in {e}")
        setattr(v.dev, what, old)
    v.dev.commands.clear()
    v.qmp.cmd("netdev_add", type="vhost-vdpa", id="n0", vhostdev=str(v.dev.file))
    v.dev.wait_runs(4)
    v.frames(b"back")
    eq(v.vm.fds(), before, "files")
    v.qmp.cmd("device_del", id="nic0")
    v.close()


# ---- the control queue ----

@case("net-vdpa/5.1.6.5/commands-reach-the-device")
def commands(t):
    v = Vdpa(t).start(active=2)
    flags = {m: 0 for m in range(6)}
    eq(v.dev.told_commands(CTRL_MQ), [(CTRL_MQ, 0, b"\2\0")], "pairs")
    eq(v.nic.command(CTRL_MAC, 1, OTHER_MAC), OK, "MAC_ADDR_SET")
    eq(v.nic.command(CTRL_RX, 0, b"\0"), OK, "promiscuous off")
    table = struct.pack("<I", 1) + OTHER_MAC + struct.pack("<I", 1) + b"\1\0\x5e\0\0\1"
    eq(v.nic.command(CTRL_MAC, 0, table), OK, "MAC_TABLE_SET")
    for vlan in range(1, 71):
        eq(v.nic.command(CTRL_VLAN, 0, struct.pack("<H", vlan)), OK, "VLAN_ADD")
    eq(v.nic.command(CTRL_VLAN, 1, struct.pack("<H", 70)), OK, "VLAN_DEL")
    eq(v.nic.command(CTRL_OFFLOADS, 0, struct.pack("<Q", bits(F_GUEST_CSUM))), OK, "GUEST_OFFLOADS_SET")

    def expect(what):
        told = v.dev.told_commands()
        eq([c for c in told if c[:2] == (CTRL_MAC, 1)][-1][2], OTHER_MAC, f"address {what}")
        eq([c for c in told if c[:2] == (CTRL_MAC, 0)][-1][2], table, f"tables {what}")
        for cls, cmd, data in told:
            if cls == CTRL_RX:
                flags[cmd] = data[0]
        eq(flags, {m: 0 for m in range(6)}, f"modes {what}")
        vlans = set()
        for cls, cmd, data in told:
            if cls == CTRL_VLAN:
                (vlans.add if cmd == 0 else vlans.discard)(struct.unpack("<H", data)[0])
        eq(vlans, set(range(1, 70)), f"VLANs {what}")
        eq(told[-1][:2] if what == "at once" else told[-2][:2], (CTRL_OFFLOADS, 0), f"offloads {what}")
        eq(v.dev.active(), 2, f"pairs {what}")
    expect("at once")
    v.stop_cont()
    v.dev.wait_runs(4)
    expect("anew")
    v.frames(b"anew")
    eq(v.nic.command(CTRL_MAC, 0, struct.pack("<I", 65) + bytes(6 * 65) + struct.pack("<I", 0)), OK, "a long table")
    eq(v.dev.told_commands(CTRL_RX)[-4], (CTRL_RX, 2, b"\1"), "all unicast addresses instead of them")
    v.close()


@case("net-vdpa/5.1.6.5/a-refusal-is-the-drivers")
def refusals(t):
    v = Vdpa(t).start(active=1)
    v.dev.refuse = {CTRL_MAC, CTRL_MQ, CTRL_VLAN}
    eq(v.nic.command(CTRL_MAC, 1, OTHER_MAC), ERR, "an address that the device refuses")
    eq(v.nic.mac(), MAC, "address after that")
    eq(v.nic.command(CTRL_MQ, 0, b"\2\0"), ERR, "pairs that the device refuses")
    eq([q["active"] for q in v.qmp.cmd("query-net-queues")], [True, False], "active pairs")
    eq(v.nic.command(CTRL_VLAN, 0, b"\1\0"), ERR, "a VLAN that the device refuses")
    eq(v.nic.command(CTRL_RX, 1, b"\1"), ERR, "filters of which the device refuses one")
    v.dev.refuse = set()
    eq(v.nic.command(CTRL_MAC, 1, OTHER_MAC), OK, "an address that the device takes")
    v.frames(b"after")
    v.close()


@case("net-vdpa/a-device-that-does-not-answer-commands")
def mute(t):
    v = Vdpa(t).start()
    v.dev.mute = True
    eq(v.nic.command(CTRL_VLAN, 0, b"\1\0"), ERR, "a command without an answer")
    for _ in range(20):  # these are not waited for
        eq(v.nic.command(CTRL_VLAN, 0, b"\1\0"), ERR, "a command after that")
    v.frames(b"mute")
    check("not used any more: no answer in time" in v.vm.log(), "no warning")
    v.dev.mute = False
    v.stop_cont()
    v.dev.wait_runs(4)
    eq(v.nic.command(CTRL_VLAN, 0, b"\1\0"), OK, "a command after a new start")
    v.close()


@case("net-vdpa/a-device-that-breaks-its-control-queue")
def broken_ctrl(t):
    v = Vdpa(t).start()
    for used_id in (5, 64, 0xffffffff):
        v.dev.used_id = used_id
        for _ in range(2):
            eq(v.nic.command(CTRL_VLAN, 0, b"\1\0"), ERR, f"a command that is answered as {used_id}")
        v.frames(b"%d" % used_id)
        v.dev.used_id = None
        v.stop_cont()
        v.dev.wait_runs(4)
        eq(v.nic.command(CTRL_VLAN, 0, b"\1\0"), OK, "a command after a new start")
    eq(v.vm.log().count("not used any more"), 3, "warnings")
    v.close()


@case("net-vdpa/a-device-without-a-control-queue")
def no_ctrl(t):
    v = Vdpa(t, features=FEATURES & ~bits(F_CTRL_VQ, F_MQ))
    eq(v.nic.max_pairs(), 1, "pairs")
    eq(v.nic.t.offered() & bits(F_MQ, F_CTRL_RX, F_CTRL_MAC_ADDR, F_CTRL_GUEST_OFFLOADS), 0, "what needs commands")
    v.start(BASIC).frames()
    v.close()


# ---- configuration ----

@case("net-vdpa/5.1.4/link-address-and-mtu-are-the-devices")
def config(t):
    v = Vdpa(t, mac=OTHER_MAC, mtu=3000, features=FEATURES | bits(F_MTU)).start(ALL | bits(F_MTU, F_STATUS))
    eq((v.nic.mac(), v.nic.t.config(10, 2), v.nic.status_field() & 1), (OTHER_MAC, 3000, 1), "configuration")
    since = v.dev.mark()
    for up in (False, True):
        v.pci.msix_clear()
        v.dev.change(link=up)
        v.pci.msix_wait(0, "configuration interrupt")
        eq(v.nic.status_field() & 1, int(up), "link")
        v.frames(b"%d" % up, n=1)
    eq(v.dev.told("SET_STATUS", since), [], "statuses: pairs go on")
    v.dev.change(link=False)
    wait_for(lambda: not v.nic.status_field() & 1, "link down")
    v.stop_cont()
    v.dev.wait_runs(4)
    eq(v.nic.status_field() & 1, 0, "link after that")
    v.close()


@case("net-vdpa/set-link-stops-the-device")
def set_link(t):
    v = Vdpa(t).start()
    for name in ("nic0", "n0"):
        v.dev.commands.clear()
        v.qmp.cmd("set_link", arguments_={"name": name, "up": False})
        v.dev.wait(lambda: v.dev.status == 0, "a device that is reset")
        eq(v.nic.command(CTRL_MQ, 0, b"\1\0"), OK, "pairs while it is down")
        eq(v.dev.told_commands(), [], "commands to a device that is down")
        v.qmp.cmd("set_link", arguments_={"name": name, "up": True})
        v.dev.wait_runs(4)
        v.frames(name.encode())
        v.nic.set_pairs(2)
        v.frames(name.encode())
    v.close()


@case("net-vdpa/address-of-the-users-choice")
def own_mac(t):
    v = Vdpa(t, mac=OTHER_MAC, nic_opts=f",mac={text(MAC)}").start()
    eq((v.nic.mac(), v.dev.told_commands(CTRL_MAC)[0]), (MAC, (CTRL_MAC, 1, MAC)), "address")
    v.frames()
    v.close()


@case("net-vdpa/a-device-that-needs-a-reset")
def needs_reset(t):
    v = Vdpa(t).start()
    v.dev.fail()
    v.nic.wait_broken("the device's failure")
    v.dev.commands.clear()
    v.start().frames(b"after a reset")
    v.close()


# ---- what goes wrong ----

@case("net-vdpa/a-start-that-fails-is-the-drivers-to-see")
def failing_start(t):
    def no_features(d, r):
        d.set_status(r)
        d.status &= ~FEATURES_OK

    def refuse(code):
        def answer(d, r):
            raise Refusal(code)
        return answer

    def no_memory(d, r):
        if r.payload[33] == UPDATE:
            raise Refusal(errno.ENOMEM)
        return USUAL
    for name, answer, what in (("SET_STATUS", no_features, "does not accept the features"),
                               ("MESSAGE", no_memory, "ulimit -l"),
                               ("SET_VRING_ADDR", refuse(errno.EINVAL), "SET_VRING_ADDR"),
                               ("SET_VRING_ENABLE", refuse(errno.EIO), "control queue")):
        v = Vdpa(t)
        v.dev.answers[name] = answer
        v.nic.start(ALL & v.nic.t.offered(), pairs=2, driver_ok=False)
        v.nic.t.add_status(DRIVER_OK)
        check(v.nic.t.status & NEEDS_RESET, f"NEEDS_RESET after {name}")
        check(what in v.vm.log(), f"{what!r} in {v.vm.log()}")
        v.dev.answers.clear()
        v.start().frames(b"after")
        v.close()


def bad_device(t, expected, netdev="", nic="", **device):
    """One line that says what is wrong, and nothing left."""
    dev = Device(t, **device)
    vm = dev.start_vm(qmp=True)
    qmp = Qmp(vm.qmp_path)
    before = vm.fds()
    try:
        qmp.cmd("netdev_add", type="vhost-vdpa", id="x", vhostdev=str(dev.file), **(netdev or {}))
        qmp.cmd("device_add", arguments_={"driver": "virtio-net-pci", "netdev": "x", **(nic or {})})
        raise AssertionError(f"{expected}: there is no error")
    except QmpError as e:
        check(expected in str(e) and "\n" not in str(e), f"{expected!r} in {e}")
    if nic:
        qmp.cmd("netdev_del", id="x")
    # The connection to this test is not the emulator's.
    eq({k: n - (k == "socket") for k, n in vm.fds().items()}, before, f"files after {expected}")
    vm.close()
    vm.ended = True
    dev.finish()


@case("net-vdpa/devices-that-are-refused")
def refused(t):
    def refuse(d, r):
        raise Refusal(errno.ENOTTY)
    bad_device(t, "is no vhost-vdpa device", answers={"GET_DEVICE_ID": refuse})
    bad_device(t, "device id is 2, and a network device has 1", device_id=2)
    bad_device(t, "too old", backend=0)
    bad_device(t, "lacks VIRTIO_F_VERSION_1", features=FEATURES & ~bits(F_VERSION_1))
    bad_device(t, "outside of what the vDPA device reaches", iova=(1 << 20, 1 << 40))
    bad_device(t, "queues=3: the vDPA device has 2", netdev={"queues": 3})
    bad_device(t, "has 0 queue pairs", pairs=0)
    bad_device(t, "takes no other", nic={"mac": text(OTHER_MAC)}, features=FEATURES & ~bits(F_CTRL_MAC_ADDR))
    bad_device(t, "host_mtu=1600: the vDPA device's MTU is 1500", nic={"host_mtu": 1600}, mtu=1500,
               features=FEATURES | bits(F_MTU))
    bad_device(t, "rx_queue_size=1024: the vDPA device's rings have 512", nic={"rx_queue_size": 1024}, ring_max=512)


@case("net-vdpa/what-it-cannot-do-is-refused")
def cannot(t):
    v = Vdpa(t).start()
    v.qmp.cmd("object-add", **{"qom-type": "iothread", "id": "io"})
    for command, arguments, expected in (
            ("object-add", {"qom-type": "filter-dump", "id": "f", "netdev": "n0", "file": str(t.dir / "f")},
             "takes no filters"),
            ("virtio-net-set-queue-mapping", {"id": "nic0", "mapping": [
                {"pair": 0, "backend": "iothread", "iothread": "io"}]}, "its device alone serves it"),
            ("qom-set", {"path": "/machine/peripheral/nic0", "property": "rx-packets-per-second", "value": 1000},
             "rate limit")):
        try:
            v.qmp.cmd(command, arguments_=arguments)
            raise AssertionError(f"{command}: there is no error")
        except QmpError as e:
            check(expected in str(e), f"{expected!r} in {e}")
    v.frames(b"after")
    v.close()


@case("net-vdpa/monitors-see-it")
def monitors(t):
    v = Vdpa(t).start()
    path = v.qmp.cmd("x-query-virtio")[0]["path"]
    status = v.qmp.cmd("x-query-virtio-status", path=path)
    eq((status["vhost-started"], status["vhost-dev"]["nvqs"]), (True, 2), "vhost's status")
    check(status["vhost-dev"]["n-mem-sections"] >= 1, "memory that it was told of")
    eq([q["owner"] for q in v.qmp.cmd("query-net-queues")], ["vhost", "vhost"], "owners")
    v.qmp.cmd("x-query-virtio-vhost-queue-status", path=path, queue=2)
    v.close()
