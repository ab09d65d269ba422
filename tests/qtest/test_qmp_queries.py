# SPDX-License-Identifier: GPL-2.0-or-later
"""Commands that only ask: what they return, for what the command line says."""

import os

from qmplib import Qmp, QmpError
from qtestlib import MIB, PciDevice, case, check, eq, wait_for

UUID = "6f2a1c88-0d5e-4b7a-9c11-00aa55ff1234"


def machine(t, *args, **kw):
    vm = t.vm(*args, qmp=True, **kw)
    return vm, Qmp(vm.qmp_path)


@case("queries/name-and-uuid")
def name(t):
    _, qmp = machine(t, "-name", "guest=Bob's machine", "-uuid", UUID)
    eq(qmp.cmd("query-name"), {"name": "Bob's machine"}, "query-name")
    eq(qmp.cmd("query-uuid"), {"UUID": UUID}, "query-uuid")
    _, qmp = machine(t)
    eq(qmp.cmd("query-name"), {}, "query-name of a machine without")
    eq(qmp.cmd("query-uuid"), {"UUID": "00000000-0000-0000-0000-000000000000"}, "query-uuid of a machine without")


@case("queries/target-and-kvm")
def target(t):
    _, qmp = machine(t)
    eq(qmp.cmd("query-target"), {"arch": "x86_64"}, "query-target")
    eq(qmp.cmd("query-kvm"), {"enabled": False, "present": True}, "query-kvm under qtest")


@case("queries/iothreads")
def iothreads(t):
    _, qmp = machine(t)
    eq(qmp.cmd("query-iothreads"), [], "query-iothreads without any")
    vm, qmp = machine(t, "-object", "iothread,id=one", "-object",
                      "iothread,id=two,poll-max-ns=5000,poll-grow=2,poll-shrink=3,aio-max-batch=7")
    got = qmp.cmd("query-iothreads")
    tids = [thread.pop("thread-id") for thread in got]
    check(len(set(tids)) == 2 and set(tids) <= set(vm.thread_names()), f"thread ids {tids}")
    default = got[0].pop("poll-max-ns")
    check(isinstance(default, int) and default >= 0, f"default poll-max-ns {default}")
    eq(got, [{"id": "one", "poll-grow": 0, "poll-shrink": 0, "aio-max-batch": 0},
             {"id": "two", "poll-max-ns": 5000, "poll-grow": 2, "poll-shrink": 3, "aio-max-batch": 7}], "iothreads")


@case("queries/memdev")
def memdev(t):
    _, qmp = machine(t, "-object", "memory-backend-memfd,id=other,size=2M,prealloc=on,merge=off,dump=off")
    common = {"host-nodes": [], "policy": "default"}
    eq(qmp.cmd("query-memdev"), [
        {"id": "mem", "size": 64 * MIB, "merge": True, "dump": True, "prealloc": False, "share": True,
         "reserve": True, **common},
        {"id": "other", "size": 2 * MIB, "merge": False, "dump": False, "prealloc": True, "share": True,
         "reserve": True, **common}], "query-memdev")
    _, qmp = machine(t, memory=False)
    got = qmp.cmd("query-memdev")
    eq([(m["id"], m["size"], m["share"]) for m in got], [("pc.ram", 64 * MIB, False)], "memory of the machine's own")


@case("queries/memory-size-summary")
def memory_size(t):
    for size in (64 * MIB, 5 << 30):
        _, qmp = machine(t, ram=size, memory=False)
        eq(qmp.cmd("query-memory-size-summary"), {"base-memory": size, "plugged-memory": 0}, "sizes")


def pci_devices(qmp):
    buses = qmp.cmd("query-pci")
    eq([bus["bus"] for bus in buses], [0], "buses")
    for device in buses[0]["devices"]:
        want = {"bus", "slot", "function", "class_info", "id", "irq_pin", "qdev_id", "regions"}
        eq(set(device) - {"irq"}, want, "members of a device")
        eq(("irq" in device), device["irq_pin"] != 0, "irq where there is a pin")
    return {(d["slot"], d["function"]): d for d in buses[0]["devices"]}


@case("queries/pci/chipset")
def pci_chipset(t):
    _, qmp = machine(t)
    devices = pci_devices(qmp)
    eq(sorted(devices), [(0, 0), (1, 0), (1, 3)], "places")
    eq([devices[k]["id"]["device"] for k in sorted(devices)], [0x1237, 0x7000, 0x7113], "device ids")
    eq(devices[(0, 0)]["class_info"], {"desc": "Host bridge", "class": 0x600}, "class of the host bridge")
    eq(devices[(1, 3)]["irq_pin"], 1, "pin of power management")


@case("queries/pci/bars-as-the-guest-places-them")
def pci_bars(t):
    vm, qmp = machine(t, "-device", "virtio-net-pci,id=nic,addr=5", "-device", "pvpanic-pci,addr=6")
    before = pci_devices(qmp)[(5, 0)]
    eq([r["address"] for r in before["regions"]], [-1] * len(before["regions"]), "addresses that are not decoded")
    for slot, vendor in ((5, 0x1af4), (6, 0x1b36)):
        pci = PciDevice(vm, slot)
        pci.enable()
        pci.write(0x3c, 1, 10 + slot)
        got = pci_devices(qmp)[(slot, 0)]
        eq(got["id"], {"vendor": vendor, "device": pci.read(2, 2), "subsystem-vendor": pci.read(0x2c, 2),
                       "subsystem": pci.read(0x2e, 2)}, "ids")
        eq(got["class_info"]["class"], pci.read(0xa, 2), "class")
        eq((got["irq_pin"], got.get("irq")), (pci.read(0x3d, 1), 10 + slot if pci.read(0x3d, 1) else None), "interrupt")
        eq(got["qdev_id"], "nic" if slot == 5 else "", "id")
        want = []
        for index, bar in sorted(pci.bars.items()):
            region = {"bar": index, "type": "io" if bar.port else "memory", "address": bar.addr, "size": bar.size}
            if not bar.port:
                region.update(prefetch=bar.prefetch, mem_type_64=bar.wide)
            want.append(region)
        eq(got["regions"], want, "regions")
        check(want, "no BAR to look at")


@case("queries/block-devices-and-jobs-there-are-none")
def block(t):
    _, qmp = machine(t)
    eq(qmp.cmd("query-block"), [], "query-block")
    eq(qmp.cmd("query-named-block-nodes"), [], "query-named-block-nodes")
    eq(qmp.cmd("query-named-block-nodes", flat=True), [], "query-named-block-nodes flat")
    eq(qmp.cmd("query-blockstats"), [], "query-blockstats")
    eq(qmp.cmd("query-blockstats", query_nodes=True), [], "query-blockstats query-nodes")
    eq(qmp.cmd("query-jobs"), [], "query-jobs")


def capabilities(qmp):
    return {c["capability"]: c["state"] for c in qmp.cmd("query-migrate-capabilities")}


def set_capabilities(qmp, **states):
    return qmp.cmd("migrate-set-capabilities",
                   capabilities=[{"capability": k.replace("_", "-"), "state": v} for k, v in states.items()])


@case("queries/migrate-is-blocked")
def migrate_blocked(t):
    """What management programs ask before they try to save a machine."""
    qmp = Qmp(t.vm(qmp=True).qmp_path)
    eq(qmp.cmd("query-migrate"), {"blocked-reasons": ["this emulator cannot migrate or save a machine"]}, "answer")


@case("queries/migrate-capabilities")
def migrate(t):
    _, qmp = machine(t)
    first = capabilities(qmp)
    check(len(first) == 23 and {"events", "multifd", "x-colo", "dirty-limit"} <= set(first), f"names {sorted(first)}")
    check(not any(first.values()), "a capability is on at the start")
    eq(set_capabilities(qmp, events=True, multifd=False), {}, "events on")
    eq(capabilities(qmp), {**first, "events": True}, "states")
    for name_ in set(first) - {"events"}:
        try:
            set_capabilities(qmp, events=False, **{name_: True})
        except QmpError as e:
            check(f"'{name_}'" in e.desc and e.cls == "GenericError", f"error {e}")
        else:
            check(False, f"{name_} was switched on")
    eq(capabilities(qmp), {**first, "events": True}, "states after what was refused")
    set_capabilities(qmp, events=False)
    eq(capabilities(qmp), first, "states at the end")


@case("queries/machine-none")
def machine_none(t):
    path = t.dir / "qmp-none"
    command = [t.emulator, "-machine", "none", "-nodefaults", "-display", "none", "-S", "-qmp",
               f"unix:{path},server=on,wait=on"]
    pid = os.posix_spawn(command[0], [str(c) for c in command], os.environ)
    try:
        qmp = _connect(path)
        eq(qmp.cmd("query-pci"), [], "query-pci")
        eq(qmp.cmd("query-memdev"), [], "query-memdev")
        eq(qmp.cmd("query-memory-size-summary")["base-memory"], 0, "memory")
        eq(qmp.cmd("query-status"), {"running": False, "singlestep": False, "status": "prelaunch"}, "query-status")
        qmp.cmd("quit")
        eq(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), 0, "exit status")
        pid = 0
    finally:
        if pid:
            os.kill(pid, 9)
            os.waitpid(pid, 0)


def _connect(path):
    def attempt():
        try:
            return Qmp(path)
        except (FileNotFoundError, ConnectionRefusedError):
            return None
    return wait_for(attempt, "the QMP socket")
