# SPDX-License-Identifier: GPL-2.0-or-later
"""PCI devices that come and go while the machine exists: device_add and device_del,
and the registers by which a guest takes part (docs/devel/hotplug.rst)."""

import json
import os
import random
import re

from netlib import BROADCAST, HOST_MAC, Host, raw_frame
from qmplib import Qmp, QmpError
from qtestlib import Failure, PciDevice, Skip, case, check, eq, pci_scan, wait_for
from virtiolib import BASIC, CTRL, F_MQ, MAC, MAC_TEXT, Modern, Nic, bits, find_virtio, tap_args

TUN = ("root", "tun")
UP, DOWN, EJECT, REMOVABLE, BUS, INDEX, STATUS = (0xae00 + 4 * i for i in range(7))
GPE_STATUS, GPE_ENABLE, PM_CONTROL, SCI = 0xafe0, 0xafe2, 0x604, 9
EVENT = 1 << 1
TAP = ("-netdev", "tap,id=n0,ifname=t0,script=no,downscript=no")
CHIPSET = {0, 8, 11}


class Machine:
    """A VM, its monitor, and the guest's part in hot-plug."""

    def __init__(self, t, *args, **kw):
        self.vm = t.vm(*args, qmp=True, **kw)
        self.qmp = Qmp(self.vm.qmp_path)

    def acpi_on(self):
        """As an operating system does at its start."""
        self.vm.intercept_irqs()
        self.vm.port_out(0xb2, 1, 0xf1)
        self.vm.port_out(GPE_ENABLE, 2, EVENT)

    def take_event(self):
        """The event's method: (slots plugged, slots to empty)."""
        check(self.vm.port_in(GPE_STATUS, 2) & EVENT, "no event")
        self.vm.port_out(GPE_STATUS, 2, EVENT)
        self.vm.port_out(BUS, 4, 0)
        return self.vm.port_in(UP, 4), self.vm.port_in(DOWN, 4)

    def quiet(self):
        return not self.vm.port_in(GPE_STATUS, 2) & EVENT

    def eject(self, slot):
        self.vm.port_out(BUS, 4, 0)
        self.vm.port_out(EJECT, 4, 1 << slot)

    def add(self, driver="virtio-net-pci", **arguments):
        self.qmp.cmd("device_add", arguments_={"driver": driver, **arguments})

    def ask(self, ident):
        self.qmp.cmd("device_del", id=ident)

    def deleted(self, ident, path=None, parts=("virtio-backend",)):
        """The events of a device that is gone, its parts' first."""
        path = path or f"/machine/peripheral/{ident}"
        for part in parts:
            eq(self.qmp.event("DEVICE_DELETED")["data"], {"path": f"{path}/{part}"}, "event of a part")
        want = {"path": path, **({"device": ident} if ident else {})}
        eq(self.qmp.event("DEVICE_DELETED")["data"], want, "event of the device")

    def remove(self, ident, slot):
        """All of it: the request, the guest's consent, the events."""
        self.qmp.events.clear()
        self.ask(ident)
        eq(self.take_event()[1], 1 << slot, "slots to empty")
        self.eject(slot)
        self.deleted(ident)

    def refuse(self, command, what, text, cls="GenericError", **arguments):
        """The command fails with TEXT and changes nothing."""
        before, events = self.state(), list(self.qmp.events)
        try:
            self.qmp.cmd(command, arguments_=arguments)
        except QmpError as e:
            eq(e.cls, cls, f"{what}: class of '{e.desc}'")
            check(text in e.desc and "\n" not in e.desc, f"{what}: '{e.desc}', expected '{text}'")
        else:
            raise Failure(f"{what}: not refused")
        eq(self.state(), before, f"{what}: state after the error")
        eq(self.qmp.events, events, f"{what}: events")

    def state(self):
        """What a refused command must not change."""
        tree = self.qmp.cmd("human-monitor-command", command_line="info qom-tree")
        qtree = self.qmp.cmd("human-monitor-command", command_line="info qtree")
        network = self.qmp.cmd("human-monitor-command", command_line="info network")
        return (self.functions(), tree, qtree, network, self.vm.fds(), sorted(self.vm.thread_names().values()),
                self.vm.port_in(DOWN, 4), self.vm.port_in(REMOVABLE, 4))

    def functions(self):
        """{devfn: id} as query-pci tells it."""
        return {d["slot"] << 3 | d["function"]: d["qdev_id"] for d in self.qmp.cmd("query-pci")[0]["devices"]}

    def get(self, path, name):
        return self.qmp.cmd("qom-get", path=path, property=name)


# ---- registers ----

@case("hotplug/registers")
def registers(t):
    m = Machine(t)
    vm = m.vm
    for port in (UP, DOWN, EJECT, INDEX, BUS, STATUS):
        eq(vm.port_in(port, 4), 0, f"register {port:#x} of a new machine")
    eq(vm.port_in(REMOVABLE, 4), 0xfffffffc, "slots that can be emptied")
    for slot in (0, 1, 2, 31):
        m.eject(slot)
    vm.port_out(EJECT, 4, 0xffffffff)
    eq(set(m.functions()), CHIPSET, "functions after the guest emptied all slots")
    m.add("pvpanic-pci", id="p", addr="9", **{"acpi-index": 77})
    for size in (1, 2):
        eq((vm.port_in(UP, size), vm.port_in(DOWN, size)), (0, 0), f"reads of {size} bytes")
    vm.port_out(BUS, 4, 1)
    eq((vm.port_in(BUS, 4), vm.port_in(UP, 4), vm.port_in(REMOVABLE, 4)), (1, 0, 0), "another bus")
    vm.port_out(EJECT, 4, 1 << 9)
    check(9 << 3 in m.functions(), "a slot of another bus was emptied")
    vm.port_out(BUS, 4, 0)
    vm.port_out(EJECT, 2, 1 << 9)
    check(9 << 3 in m.functions(), "a slot was emptied by a write of two bytes")
    eq((vm.port_in(UP, 4), vm.port_in(UP, 4)), (1 << 9, 0), "the slot that was filled, read twice")
    for slot, index in ((9, 77), (10, 0), (0, 0), (32, 0), (0xffffffff, 0)):
        vm.port_out(INDEX, 4, slot)
        eq(vm.port_in(INDEX, 4), index, f"acpi-index in slot {slot}")
    for slot in (9, 3, 32, 0xffffffff):
        vm.port_out(INDEX, 4, slot)
        vm.port_out(STATUS, 4, 1)
    eq(m.qmp.events, [], "events of a guest that refuses what nobody asked for")


@case("hotplug/event-reaches-the-guest")
def sci(t):
    m = Machine(t)
    m.add("pvpanic-pci", id="p0", addr="4")
    check(not m.quiet(), "no event without ACPI")
    m.acpi_on()
    check(m.vm.irq_level(SCI), "no interrupt for the event that waits")
    eq(m.take_event(), (1 << 4, 0), "slots plugged, slots to empty")
    check(not m.vm.irq_level(SCI), "the interrupt stays")
    m.add("pvpanic-pci", id="p1", addr="1f")
    check(m.vm.irq_level(SCI), "no interrupt for a new device")
    m.ask("p0")
    eq(m.take_event(), (1 << 31, 1 << 4), "slots plugged, slots to empty")
    check(not m.vm.irq_level(SCI), "the interrupt stays")


@case("hotplug/hostile-writes")
def hostile(t):
    m = Machine(t, *TAP) if os.geteuid() == 0 else Machine(t)
    rng = random.Random(5)
    for i in range(6):
        if len(m.functions()) < 6:
            m.add("virtio-net-pci" if i % 2 else "pvpanic-pci", id=f"d{i}")
        commands = []
        for _ in range(400):
            size = rng.choice("bwl")
            value = rng.choice((0, 1, 1 << rng.randrange(32), 0xffffffff)) & {"b": 0xff, "w": 0xffff}.get(size, 0xffffffff)
            port = UP + rng.randrange(0x1c)
            commands.append(f"out{size} {port:#x} {value:#x}" if rng.randrange(3) else f"in{size} {port:#x}")
        check(all(a.startswith("OK") for a in m.vm.qtest.batch(commands)), "an answer that is not OK")
        m.vm.port_out(BUS, 4, 0)
    check(CHIPSET <= set(m.functions()), "the chipset is gone")


# ---- the life of a device ----

def find(vm, slot):
    pci = PciDevice(vm, slot)
    eq(pci.read(0, 2), 0x1af4, f"vendor in slot {slot}")
    pci.enable()
    return pci


@case("hotplug/add-use-remove", needs=TUN)
def life(t):
    m = Machine(t, *TAP)
    m.acpi_on()
    eq(m.get("/machine/unattached/device[0]", "hotplugged"), False, "hotplugged of the chipset")
    for again in range(3):
        m.add(id="nic", netdev="n0", mac=MAC_TEXT, addr=0x28, vectors=5, mrg_rxbuf=True, rx_queue_size=512)
        eq(m.take_event(), (1 << 5, 0), "slots plugged, slots to empty")
        path = "/machine/peripheral/nic"
        eq([m.get(path, p) for p in ("realized", "hotplugged", "hotpluggable")], [True] * 3, "properties")
        eq(m.get(f"{path}/virtio-backend", "rx_queue_size"), 512, "a number from JSON")
        check("nic" in [p["name"] for p in m.qmp.cmd("qom-list", path="/machine/peripheral")], "qom-list")
        eq(m.functions()[5 << 3], "nic", "query-pci")
        check('id "nic"' in m.qmp.cmd("human-monitor-command", command_line="info qtree"), "info qtree")
        pci = find(m.vm, 5)
        pci.msix_setup()
        nic, host = Nic(Modern(pci)), Host("t0")
        nic.start(vectors=True)
        eq((nic.mac(), nic.status_field()), (MAC, 1), "address and link")
        nic.both_ways(host, tag=b"%d" % again)
        pci.msix_wait(1)
        m.remove("nic", 5)
        check(m.quiet(), "an event after the removal")
        eq(m.vm.port_in(DOWN, 4), 0, "slots to empty")
        eq(PciDevice(m.vm, 5).read(0, 4), 0xffffffff, "configuration space of an empty slot")
        eq(m.vm.read(nic.t.common, 4), 0xffffffff, "registers of a device that is gone")
        eq(set(m.functions()), CHIPSET, "query-pci")
        eq(m.qmp.cmd("qom-list", path="/machine/peripheral"), [{"name": "type", "type": "string"}], "qom-list")
        check("nic" not in m.qmp.cmd("human-monitor-command", command_line="info qtree"), "info qtree")


@case("hotplug/cold-plugged-devices-go-as-well", needs=TUN)
def cold(t):
    m = Machine(t, *tap_args(), "-device", '{"driver":"virtio-net-pci","id":"j0","addr":"8"}',
                "-device", "virtio-net-pci,addr=9", "-device", "pvpanic-pci,id=p0,addr=a", "-nic", "none")
    pci = find(m.vm, 2)
    nic, host = Nic(Modern(pci)), Host("t0")
    nic.start()
    nic.both_ways(host)
    eq(m.get("/machine/peripheral/j0", "hotplugged"), False, "hotplugged")
    eq(m.get("/machine/peripheral/j0", "hotpluggable"), True, "hotpluggable")
    m.remove("j0", 8)
    for slot in (2, 9):  # no ids
        path = "/machine/peripheral-anon/device[0]" if slot == 2 else "/machine/peripheral-anon/device[1]"
        m.ask(path)
        eq(m.take_event()[1], 1 << slot, "slots to empty")
        m.eject(slot)
        m.deleted(None, path)
    m.ask("p0")
    eq(m.take_event()[1], 1 << 10, "slots to empty")
    m.eject(10)
    m.deleted("p0", parts=())
    eq(set(m.functions()), CHIPSET, "functions")
    m.add(netdev="n0", id="again", mac=MAC_TEXT)
    nic = Nic(Modern(find(m.vm, 2)))
    nic.start()
    nic.both_ways(host)


@case("hotplug/guest-lets-go-unasked")
def unasked(t):
    m = Machine(t)
    m.add(id="d0", addr="3")
    m.add(id="d1", addr="4")
    m.take_event()
    m.vm.port_out(EJECT, 4, 1 << 3 | 1 << 4)
    m.deleted("d0")
    m.deleted("d1")
    eq(set(m.functions()), CHIPSET, "functions")


@case("hotplug/eject-in-the-middle-of-traffic", needs=TUN)
def busy(t):
    m = Machine(t, *TAP, "-object", "iothread,id=io0")
    for i in range(6):
        mapping = {"queue-mapping": [{"pair": 0, "backend": "iothread", "iothread": "io0"}]} if i % 2 else {}
        m.add(id="nic", netdev="n0", mac=MAC_TEXT, addr="3", **mapping)
        nic, host = Nic(Modern(find(m.vm, 3))), Host("t0")
        nic.start(posted=100)
        for k in range(60):
            host.send(raw_frame(MAC, payload=b"%d" % k, size=1000))
            nic.send(0, raw_frame(HOST_MAC, MAC, size=1000), wait=False)
        if i < 4:
            m.ask("nic")
        m.eject(3)
        m.deleted("nic")
        used = nic.rx[0].used_idx
        host.send(raw_frame(BROADCAST, size=60))
        m.vm.port_in(UP, 4)
        eq(nic.rx[0].used_idx, used, "used index of a ring after its device is gone")


@case("hotplug/nic-whose-netdev-is-gone", needs=TUN)
def orphan(t):
    m = Machine(t, *TAP)
    tap = {"type": "tap", "id": "n0", "ifname": "t0", "script": "no", "downscript": "no"}
    for _ in range(3):
        m.add(id="nic", netdev="n0", mac=MAC_TEXT, addr="3")
        m.take_event()
        nic = Nic(Modern(find(m.vm, 3)))
        nic.start()
        nic.both_ways(Host("t0"))
        m.qmp.cmd("netdev_del", id="n0")
        m.remove("nic", 3)
        m.qmp.cmd("netdev_add", **tap)
        text = m.qmp.cmd("human-monitor-command", command_line="info network")
        check("n0" in text and "nic" not in text, f"info network: {text}")


# ---- requests that wait ----

def reset_by_guest(m):
    m.vm.port_out(0xcf9, 1, 6)


def reset_by_host(m):
    m.qmp.cmd("system_reset")


@case("hotplug/pending-until-reset")
def pending(t):
    for reset in (reset_by_host, reset_by_guest):
        m = Machine(t, "-device", "virtio-net-pci,id=d0,addr=3", "-device", "virtio-net-pci,id=stays")
        m.ask("d0")
        m.refuse("device_del", "a second request", "already in the process of unplug", id="d0")
        eq(m.functions()[3 << 3], "d0", "the device that is pending")
        m.refuse("device_add", "the name of a device that is pending", "Duplicate ID", driver="virtio-net-pci", id="d0")
        eq(m.take_event(), (0, 1 << 3), "slots plugged, slots to empty")
        m.ask("d0")  # the guest took the request, or lost it
        eq(m.take_event(), (0, 1 << 3), "slots to empty, asked again")
        reset(m)
        m.deleted("d0")
        m.qmp.event("RESET")
        eq(m.vm.port_in(DOWN, 4), 0, "slots to empty after the reset")
        check(m.quiet(), "an event after the reset")
        eq(set(m.functions().values()), {"", "stays"}, "devices after the reset")
        m.add(id="d0", addr="3")
        m.vm.port_out(GPE_STATUS, 2, EVENT)
        reset(m)
        m.qmp.event("RESET")
        eq(m.vm.port_in(UP, 4), 0, "slots plugged after the reset")
        eq(m.functions()[3 << 3], "d0", "a device that nobody asked for")
        eq(m.get("/machine/peripheral/d0", "hotplugged"), True, "hotplugged after the reset")
        eq(m.qmp.events, [], "further events")


@case("hotplug/pending-while-the-machine-is-stopped", needs=TUN)
def stopped(t):
    m = Machine(t, *TAP, "-S")
    m.add(id="nic", netdev="n0", mac=MAC_TEXT, addr="3")
    eq(m.get("/machine/peripheral/nic", "hotplugged"), True, "hotplugged before the start")
    m.qmp.cmd("cont")
    nic, host = Nic(Modern(find(m.vm, 3))), Host("t0")
    nic.start()
    nic.both_ways(host)
    m.qmp.cmd("stop")
    m.ask("nic")
    m.refuse("device_del", "a second request", "already in the process of unplug", id="nic")
    m.qmp.cmd("cont")
    nic.both_ways(host)
    eq(m.take_event(), (1 << 3, 1 << 3), "slots plugged, slots to empty")
    m.qmp.events.clear()
    m.eject(3)
    m.deleted("nic")


@case("hotplug/guest-refuses")
def guest_error(t):
    m = Machine(t, "-device", "virtio-net-pci,id=f0,addr=3.0,multifunction=on", "-device", "pvpanic-pci,addr=3.1",
                "-device", "virtio-net-pci,id=f2,addr=3.2")
    m.ask("f2")
    m.ask("/machine/peripheral-anon/device[0]")
    m.take_event()
    m.vm.port_out(INDEX, 4, 3)
    m.vm.port_out(STATUS, 4, 0x81)
    eq(m.qmp.event("DEVICE_UNPLUG_GUEST_ERROR")["data"], {"path": "/machine/peripheral-anon/device[0]"}, "event")
    eq(m.qmp.event("DEVICE_UNPLUG_GUEST_ERROR")["data"], {"device": "f2", "path": "/machine/peripheral/f2"}, "event")
    eq(m.vm.port_in(DOWN, 4), 0, "slots to empty")
    m.vm.port_out(STATUS, 4, 0x81)
    m.qmp.cmd("system_reset")
    m.qmp.event("RESET")
    eq(m.qmp.events, [], "further events")
    eq(m.functions()[3 << 3 | 2], "f2", "the device that stays")
    m.ask("f2")
    m.eject(3)
    m.deleted("f2")


# ---- what is refused ----

REFUSED = [
    # arguments of device_add, a part of the message
    ({}, "Parameter 'driver' is missing"),
    ({"driver": 5}, "Invalid parameter type for 'driver', expected: string"),
    ({"driver": ""}, "'' is not a valid device model name"),
    ({"driver": "nosuch"}, "'nosuch' is not a valid device model name"),
    ({"driver": "iothread"}, "'iothread' is not a valid device model name"),
    ({"driver": "pci-device"}, "non-abstract device type"),
    ({"driver": "PIIX3"}, "pluggable device type"),
    ({"driver": "virtio-net-device"}, "pluggable device type"),
    ({"driver": "pvpanic"}, "Bus 'isa.0' does not support hotplugging"),
    ({"driver": "isa-debug-exit", "id": "x"}, "Bus 'isa.0' does not support hotplugging"),
    ({"id": "d0"}, "Duplicate ID 'd0'"),
    ({"id": "0x"}, "id"),
    ({"id": "a/b"}, "id"),
    ({"id": 7}, "Invalid parameter type for 'id', expected: string"),
    ({"bus": "pci.1"}, "Bus 'pci.1' not found"),
    ({"bus": "isa.0"}, "isa.0"),
    ({"bus": None}, "Invalid parameter type for 'bus', expected: string"),
    ({"nosuch": 1}, "nosuch"),
    ({"mq": "maybe"}, "mq"),
    ({"mq": {}}, "mq"),
    ({"mac": "nonsense"}, "mac"),
    ({"netdev": "nobody"}, "nobody"),
    ({"netdev": "n1"}, "in use by 'd0'"),
    ({"vectors": 5000}, "vectors"),
    ({"vectors": -1}, "vectors"),
    ({"rx_queue_size": 100}, "rx_queue_size"),
    ({"realized": True}, "realized"),
    ({"hotplugged": False}, "hotplugged"),
    ({"disable-legacy": "on", "disable-modern": True}, "disable-"),
    ({"netdev": "n0", "queue-mapping": [{"pair": 3, "backend": "iothread"}]}, "pair 3"),
    ({"netdev": "n0", "queue-mapping": [{"pair": 0, "backend": "iothread", "iothread": "nobody"}]}, "nobody"),
    ({"acpi-index": 16384}, "acpi-index"),
    ({"acpi-index": 7}, "acpi-index"),
    ({"addr": "20"}, "addr"),
    ({"addr": "3.8"}, "addr"),
    ({"addr": 256}, "addr"),
    ({"addr": "0"}, "taken by"),
    ({"addr": "1.3"}, "taken by PIIX4_PM"),
    ({"addr": "1.5"}, "function 0 is PIIX3"),
    ({"addr": "4"}, "taken by d0"),
    ({"addr": "4.1"}, "function 1 of slot 04"),
    ({"addr": "5.1"}, "function 1 of slot 05"),
]


@case("hotplug/device_add-errors", needs=TUN)
def add_errors(t):
    m = Machine(t, *TAP, "-netdev", "tap,id=n1,ifname=t1,script=no,downscript=no", "-object", "iothread,id=io0",
                "-device", "virtio-net-pci,id=d0,netdev=n1,addr=4,acpi-index=7",
                "-device", "pvpanic-pci,id=d1,addr=5,multifunction=on")
    for arguments, text in REFUSED:
        if arguments and "driver" not in arguments:
            arguments = {"driver": "virtio-net-pci", **arguments}
        m.refuse("device_add", json.dumps(arguments), text, **arguments)
        check(m.quiet(), f"{arguments}: an event for the guest")
    m.add(id="good", netdev="n0", addr="6")


DEL_REFUSED = [
    ("nosuch", "DeviceNotFound", "Device 'nosuch' not found"),
    ("", "DeviceNotFound", "not found"),
    ("/machine/peripheral/nosuch", "DeviceNotFound", "not found"),
    ("/", "GenericError", "is not a hotpluggable device"),
    ("/machine", "GenericError", "is not a hotpluggable device"),
    ("/objects/io0", "GenericError", "is not a hotpluggable device"),
    ("/machine/peripheral/d0/virtio-backend", "GenericError", "does not support hotplugging"),
    ("/machine/unattached/device[0]", "GenericError", "does not support hotplugging"),
    ("i0", "GenericError", "Bus 'isa.0' does not support hotplugging"),
    ("s1", "GenericError", "in slot 01 with PIIX3"),
    ("d0" * 400, "DeviceNotFound", "not found"),
]


@case("hotplug/device_del-errors")
def del_errors(t):
    m = Machine(t, "-object", "iothread,id=io0", "-device", "virtio-net-pci,id=d0", "-device", "pvpanic,id=i0",
                "-device", "virtio-net-pci,id=s1,addr=1.5")
    for ident, cls, text in DEL_REFUSED:
        m.refuse("device_del", ident[:60], text, cls, id=ident)
    m.refuse("device_del", "no id", "id")
    m.refuse("device_del", "a number", "id", id=3)
    types = [m.get(p, "type") for p in (f"/machine/unattached/device[{i}]" for i in range(4))]
    for i, name in enumerate(types):
        if name in ("i440FX", "PIIX3", "PIIX4_PM"):
            m.refuse("device_del", name, "does not support hotplugging", id=f"/machine/unattached/device[{i}]")
            eq(m.get(f"/machine/unattached/device[{i}]", "hotpluggable"), False, f"hotpluggable of {name}")
    m.vm.port_out(EJECT, 4, 2)
    check("s1" in m.functions().values(), "a device in the chipset's slot was removed")


@case("hotplug/bus-full")
def full(t):
    m = Machine(t)
    for i in range(30):
        m.add("pvpanic-pci", id=f"p{i}")
    eq(m.vm.port_in(UP, 4), 0xfffffffc, "slots plugged")
    m.refuse("device_add", "one too many", "is full", driver="pvpanic-pci")
    m.ask("p7")
    m.eject(9)
    m.deleted("p7", parts=())
    m.add("pvpanic-pci", id="again")
    eq(m.functions()[9 << 3], "again", "the free slot")


@case("hotplug/where-it-is-off")
def off(t):
    for args, bus in ((("-machine", "acpi=off"), "pci.0"), (("-global", "PIIX4_PM.acpi-root-pci-hotplug=off"), "pci.0")):
        m = Machine(t, *args, "-device", "virtio-net-pci,id=d0")
        m.refuse("device_add", f"{args}", f"Bus '{bus}' does not support hotplugging", driver="pvpanic-pci")
        m.refuse("device_del", f"{args}", f"Bus '{bus}' does not support hotplugging", id="d0")
        eq(m.get("/machine/peripheral/d0", "hotpluggable"), False, f"hotpluggable with {args}")
        eq(m.vm.port_in(REMOVABLE, 4), 0, "slots that can be emptied")
        m.vm.port_out(EJECT, 4, 0xffffffff)
        check("d0" in m.functions().values(), f"removed although {args}")
    m = t.vm(machine="none", memory=False, qmp=True)
    qmp = Qmp(m.qmp_path)
    for command, arguments, text in (("device_add", {"driver": "virtio-net-pci"}, "No 'PCI' bus"),
                                     ("device_del", {"id": "d0"}, "not found")):
        try:
            qmp.cmd(command, arguments_=arguments)
        except QmpError as e:
            check(text in e.desc, f"machine none: {e}")
        else:
            raise Failure(f"{command} on machine none")


# ---- several functions ----

@case("hotplug/multifunction")
def functions(t):
    m = Machine(t)
    m.add(id="f1", addr="6.1")
    m.add(id="f7", addr="6.7", multifunction=True)
    check(m.quiet(), "an event before function 0 came")
    eq(m.vm.port_in(UP, 4), 0, "slots plugged before function 0 came")
    m.refuse("device_add", "function 0 without multifunction", "multifunction", driver="virtio-net-pci", addr="6")
    m.add(id="f0", addr="6", multifunction=True)
    eq(m.take_event(), (1 << 6, 0), "slots plugged")
    eq({d.devfn for d in pci_scan(m.vm)} - CHIPSET, {0x30, 0x31, 0x37}, "functions that the guest finds")
    m.refuse("device_add", "a function after function 0", "function 3 of slot 06", driver="virtio-net-pci", addr="6.3")
    m.ask("f1")
    eq(m.take_event()[1], 1 << 6, "slots to empty")
    m.eject(6)
    for ident in ("f7", "f1", "f0"):
        m.deleted(ident)
    eq(set(m.functions()), CHIPSET, "functions")
    m.add(id="f1", addr="6.1")
    m.ask("f1")  # which the guest has not even seen
    m.refuse("device_add", "function 0 of a slot that is pending", "about to be emptied", driver="virtio-net-pci",
             addr="6", multifunction=True)
    m.eject(6)
    m.deleted("f1")


# ---- names, numbers, text ----

@case("hotplug/default-mac-is-free-again")
def macs(t):
    m = Machine(t, "-device", "virtio-net-pci,id=a,mac=52:54:00:12:34:57", "-device", "virtio-net-pci,id=b")

    def mac(ident):
        return m.get(f"/machine/peripheral/{ident}", "mac")
    eq(mac("b"), "52:54:00:12:34:56", "the first default address")
    m.add(id="c", addr="9")
    eq(mac("c"), "52:54:00:12:34:58", "the next one")
    for _ in range(3):
        m.remove("c", 9)
        m.add(id="c", addr="9")
        eq(mac("c"), "52:54:00:12:34:58", "after the device went and came")
        m.take_event()


@case("hotplug/human-monitor", needs=TUN)
def human(t):
    m = Machine(t, *TAP)

    def run(line):
        return m.qmp.cmd("human-monitor-command", command_line=line).replace("\r\n", "\n")
    eq(run("device_add virtio-net-pci,netdev=n0,id=nic,addr=7,mq=on,mac=" + MAC_TEXT), "", "device_add")
    eq(m.take_event(), (1 << 7, 0), "slots plugged")
    nic = Nic(Modern(find(m.vm, 7)))
    nic.start()
    nic.both_ways(Host("t0"))
    eq(run('device_add {"driver":"pvpanic-pci","id":"p","addr":"8"}'), "", "device_add with JSON")
    before = m.state()
    for line in ("device_add nosuch", "device_add virtio-net-pci,id=nic", "device_add virtio-net-pci,x=y", "device_add help",
                 "device_add", "device_del", "device_del nosuch", "device_add ,", "device_add {", "device_add pvpanic",
                 "device_del /machine", "device_add virtio-net-pci,addr=7"):
        check(run(line).startswith("Error: "), f"{line}: {run(line)!r}")
    eq(m.state(), before, "state after all these errors")
    m.take_event()
    eq(run("device_del nic"), "", "device_del")
    check("already in the process of unplug" in run("device_del nic"), "device_del again")
    eq(run("device_del /machine/peripheral/p"), "", "device_del of a path")
    m.vm.port_out(EJECT, 4, 3 << 7)
    m.deleted("nic")
    m.deleted("p", parts=())


# ---- what is left behind ----

def rss(vm):
    with open(f"/proc/{vm.process.pid}/smaps_rollup", encoding="ascii") as f:
        return sum(int(line.split()[1]) for line in f if line.startswith("Private_Dirty:"))


BLOCKS = 5
LEAK_KIB = 8  # each cycle; a device with its rings is far more


def cycles(t, arguments, netdev="", pairs=4, n=50, args=(), check_memory=True):
    """Plugs, uses and empties N times; fds, threads and memory are as they were."""
    m = Machine(t, "-netdev", f"tap,id=n0,ifname=t0,script=no,downscript=no,queues={pairs}{netdev}", *args)
    heap = m.vm.heap
    host = None

    def cycle():
        nonlocal host
        m.vm.heap = heap
        m.add(id="nic", netdev="n0", mac=MAC_TEXT, addr="3", mq=True, **arguments)
        m.take_event()
        pci = find(m.vm, 3)
        m.vm.next_mem, m.vm.next_port = 0xe0000000, 0xc000
        pci.msix_setup()
        nic = Nic(Modern(pci))
        host = host or Host("t0")
        nic.start(BASIC | CTRL | bits(F_MQ), pairs=pairs, vectors=True)
        nic.set_pairs(pairs)
        nic.both_ways(host, n=1)
        m.remove("nic", 3)
        host.drain()
    for _ in range(3):
        cycle()
    before = m.vm.fds(), sorted(m.vm.thread_names().values())
    memory = [rss(m.vm)]
    for _ in range(BLOCKS):
        for _ in range(n // BLOCKS):
            cycle()
        memory.append(rss(m.vm))
    wait_for(lambda: (m.vm.fds(), sorted(m.vm.thread_names().values())) == before, f"fds and threads as before, {before}", 5)
    # A leak shows in every block; the allocator's arenas grow or shrink by a MiB once in a while.
    grown = [after - earlier for earlier, after in zip(memory, memory[1:])]
    check(not check_memory or min(grown) < LEAK_KIB * (n // BLOCKS), f"private memory grew each time, KiB: {grown}")


def sanitized(t):
    """A sanitizer's own memory grows; it looks for leaks itself."""
    with open(t.emulator, "rb") as f:
        return re.search(b"__[at]san_init", f.read()) is not None


@case("hotplug/no-leak/own-threads", needs=TUN)
def leak_own(t):
    cycles(t, {}, check_memory=not sanitized(t))


@case("hotplug/no-leak/mapped-iothreads", needs=TUN)
def leak_mapped(t):
    mapping = [{"pair": i, "backend": "iothread", "iothread": f"io{i % 2}"} for i in range(4)]
    cycles(t, {"queue-mapping": mapping}, args=("-object", "iothread,id=io0", "-object", "iothread,id=io1"),
           check_memory=not sanitized(t))


@case("hotplug/no-leak/vhost", needs=TUN)
def leak_vhost(t):
    if not os.access("/dev/vhost-net", os.R_OK | os.W_OK):
        raise Skip("needs /dev/vhost-net")
    cycles(t, {}, ",vhost=on", check_memory=not sanitized(t))


@case("hotplug/no-leak/with-the-netdev", needs=TUN)
def leak_netdev(t):
    """The whole network card and its cable come and go; others stay as they are."""
    m = Machine(t, *tap_args("t9", ident="n9", mac="52:54:00:aa:aa:02"))
    witness, host9 = Nic(Modern(find(m.vm, 2))), Host("t9")
    witness.start()
    state = None

    def left():
        return m.functions(), m.vm.fds(), sorted(m.vm.thread_names().values()), m.qmp.events

    for _ in range(12):
        m.qmp.cmd("netdev_add", type="tap", id="n0", ifname="t0", script="no", downscript="no", queues=2)
        m.add(id="nic", netdev="n0", mac=MAC_TEXT, addr="3", mq=True)
        m.take_event()
        nic, host = Nic(Modern(find(m.vm, 3))), Host("t0")
        nic.start(BASIC | CTRL | bits(F_MQ), pairs=2)
        nic.set_pairs(2)
        nic.both_ways(host, n=1)
        m.remove("nic", 3)
        m.qmp.cmd("netdev_del", id="n0")
        host.sock.close()
        witness.both_ways(host9, mac=bytes.fromhex("525400aaaa02"), n=1)
        state = state or left()
    wait_for(lambda: left() == state, "what there was after the first time", 5)


@case("hotplug/no-leak/refused-devices", needs=TUN)
def leak_refused(t):
    m = Machine(t, *TAP, "-object", "iothread,id=io0")
    bad = [{"netdev": "n0", "vectors": 5000}, {"netdev": "n0", "addr": "0"}, {"netdev": "n0", "rx_queue_size": 3},
           {"netdev": "n0", "queue-mapping": [{"pair": 0, "backend": "iothread", "iothread": "io0"},
                                              {"pair": 1, "backend": "iothread"}]}]
    for _ in range(2):
        before = m.state()
        for _ in range(20):
            for arguments in bad:
                m.refuse("device_add", f"{arguments}", "", driver="virtio-net-pci", **arguments)
        eq(m.state(), before, "state after many errors")
    m.qmp.cmd("object-del", id="io0")
