# SPDX-License-Identifier: GPL-2.0-or-later
"""Objects, types, machines and CPUs by QMP: every type, every object, every property."""

import itertools
import subprocess

from qmplib import Qmp, QmpError
from qtestlib import WAIT_S, Failure, case, check, eq

DEVICES = ("-device", "virtio-net-pci,id=net0", "-device", "virtio-net-pci", "-device",
           "isa-debug-exit,id=exit0", "-chardev", "null,id=c0", "-device", "isa-serial,id=ser0,chardev=c0",
           "-object", "iothread,id=io0", "-object", "memory-backend-ram,id=ram0,size=1M", "-smp", "3,maxcpus=8,dies=2")
HOSTILE = (None, True, False, 0, -1, 2 ** 31, 2 ** 32, 2 ** 63, 2 ** 64, -2 ** 63, -2 ** 64, 10 ** 400, 1.5, 1e300,
           -0.0, "", "on", "0", "x" * 100000, "\u0000", "\ud7ff\U0010ffff", "../../etc/passwd", "%s%n",
           "18446744073709551616", "1E", [], {}, [[[[[[]]]]]],
           {"a": {"b": [{"c": None}]}}, [1, "2", None], {"type": "x", "": ""})


def start(t, *args, machine="pc"):
    vm = t.vm(*args, qmp=True, machine=machine, memory=machine == "pc")
    return vm, Qmp(vm.qmp_path)


def refused(qmp, what, cls, text, name, **arguments):
    """The command fails with that class and a text that has TEXT in it."""
    try:
        qmp.cmd(name, **arguments)
    except QmpError as e:
        check(e.cls == cls and text in e.desc, f"{what}: {e}")
        return e.desc
    raise Failure(f"{what} is accepted")


def qom_set(qmp, path, name, value):
    return qmp.cmd("qom-set", path=path, property=name, value=value)


def types(qmp, implements=None, abstract=False):
    arguments = {"implements": implements} if implements else {}
    return {x["name"]: x for x in qmp.cmd("qom-list-types", abstract=abstract, **arguments)}


def walk(qmp, path="/"):
    """Each object of the tree: its path and what qom-list says of it."""
    found = qmp.cmd("qom-list", path=path)
    yield path, found
    for item in found:
        if item["type"].startswith("child<"):
            yield from walk(qmp, f"{path.rstrip('/')}/{item['name']}")


MACHINES = {"pc": DEVICES, "none": ("-object", "iothread,id=io0", "-chardev", "null,id=c0")}


def on_each_machine(name):
    """A case for each machine; the function gets the test, the machine's process and its QMP."""
    def mark(func):
        for machine, args in MACHINES.items():
            @case(f"qom/{name}/{machine}")
            def run(t, machine=machine, args=args):
                vm, qmp = start(t, *args, machine=machine)
                func(qmp, machine)
                eq(qmp.cmd("qom-get", path="/machine", property="type"),
                   {"pc": "pc-i440fx-7.2-machine", "none": "none-machine"}[machine], "the machine afterwards")
                check(vm.alive(), "the emulator ended")
        return func
    return mark


@on_each_machine("every-type")
def every_type(qmp, _):
    all_types = types(qmp, abstract=True)
    devices = types(qmp, "device")
    check({"virtio-net-pci", "isa-serial", "PIIX4_PM", "host-x86_64-cpu"} <= set(devices), f"devices {sorted(devices)}")
    for implements, some in (("user-creatable", {"iothread", "memory-backend-file"}), ("machine", {"none-machine"}),
                             ("cpu", {"qemu64-x86_64-cpu"}), ("accel", {"kvm-accel", "qtest-accel"}),
                             ("chardev", {"chardev-socket"}), ("bus", {"PCI", "ISA"})):
        got = types(qmp, implements)
        check(some <= set(got), f"{implements}: {sorted(got)}")
        eq([n for n, x in got.items() if x.get("abstract")], [], f"abstract types that implement {implements}")
    for name, info in all_types.items():
        check("parent" not in info or all_types[info["parent"]], f"parent of {name}")
        eq(name in types(qmp, info.get("parent", name), True), True, f"{name} among its parent's")
        props = {p["name"]: p for p in qmp.cmd("qom-list-properties", typename=name)}
        eq(props["type"]["type"], "string", f"type of {name}")
        if name in devices:
            options = qmp.cmd("device-list-properties", typename=name)
            eq([p for p in options if p["name"] not in props], [], f"options of {name} that are no properties")
            check({"realized", "hotplugged", "hotpluggable"} <= set(props), f"{name} lacks a common property")
        else:
            refused(qmp, name, "GenericError", "Parameter 'typename' expects a non-abstract device type",
                    "device-list-properties", typename=name)
    refused(qmp, "a type that is not there", "DeviceNotFound", "Class 'tribble' not found",
            "qom-list-properties", typename="tribble")
    refused(qmp, "a device that is not there", "DeviceNotFound", "Device 'tribble' not found",
            "device-list-properties", typename="tribble")
    eq(qmp.cmd("qom-list-types", implements="tribble"), [], "types that implement nothing known")


@on_each_machine("every-object")
def every_object(qmp, machine):
    tree = dict(walk(qmp))
    for path in ("/objects/io0", "/chardevs/c0", "/machine/unattached", "/machine/peripheral"):
        check(path in tree, f"{path} is not in {sorted(tree)}")
    for path, found in tree.items():
        eq(len({i["name"] for i in found}), len(found), f"names in {path}")
        for item in found:
            value = qmp.cmd("qom-get", path=path, property=item["name"])
            kind = item["type"].split("<")[0]
            if kind == "child":
                eq(value, f"{path.rstrip('/')}/{item['name']}", "path of a child")
            elif kind == "link" and value:
                check(value in tree, f"{path}.{item['name']} leads to {value}")
            elif kind in ("bool", "str", "string"):
                eq(type(value), bool if kind == "bool" else str, f"{path}.{item['name']}")
            elif kind.endswith("List"):
                eq(type(value), list, f"{path}.{item['name']}")
            elif kind.startswith(("int", "uint", "size")):
                eq(type(value), int, f"{path}.{item['name']}")
    if machine == "pc":
        eq(qmp.cmd("qom-get", path="net0", property="parent_bus"), qmp.cmd("qom-get", path="/machine/peripheral-anon/"
           "device[0]", property="parent_bus"), "bus of both NICs")
        eq(qmp.cmd("qom-get", path="net0/virtio-backend", property="mq"), False, "a property by a partial path")
        eq(qmp.cmd("qom-get", path="net0", property="mq"), False, "a property of the device behind")
        bus = qmp.cmd("qom-get", path="net0", property="parent_bus")
        on_bus = [qmp.cmd("qom-get", path=bus, property=i["name"]) for i in tree[bus] if i["type"].startswith("link<")]
        check("/machine/peripheral/net0" in on_bus, f"on the bus: {on_bus}")


@on_each_machine("hostile-values")
def hostile(qmp, machine):
    tree = dict(walk(qmp))
    requests = []
    for path, found in tree.items():
        for item in found:
            requests += [{"path": path, "property": item["name"], "value": v} for v in HOSTILE]
    taken = []
    for request in requests:
        answer = qmp.raw({"execute": "qom-set", "arguments": request})
        if "error" not in answer:
            taken.append((request["path"].rsplit("/", 1)[1], request["property"], request["value"]))
        else:
            check(answer["error"]["class"] in ("GenericError", "DeviceNotFound"), answer)
            check(0 < len(answer["error"]["desc"]) < 1000, f"message {answer['error']['desc'][:2000]}")
    live = {"poll-max-ns", "poll-grow", "poll-shrink", "aio-max-batch", "thread-pool-min", "thread-pool-max",
            "cpu-affinity"}
    nic_live = {"stall-timeout"} | {f"{d}-{n}" for d in ("rx", "tx") for n in
                                    ("bytes-per-second", "packets-per-second", "burst-bytes", "burst-packets")}
    nics = {"net0", "device[0]", "virtio-backend"} if machine == "pc" else set()
    eq({(path, name) for path, name, _ in taken}, {("io0", n) for n in live} | {(o, n) for o in nics for n in nic_live},
       "what changed in a running machine")
    eq({str(v) for _, name, v in taken if name == "stall-timeout"} <= {"0"}, True, f"values taken: {taken}")
    lists = {str(v) for _, name, v in taken if name == "cpu-affinity"}
    eq(lists <= {"", "[]", "0"}, True, f"lists taken: {lists}")
    eq({str(v) for _, name, v in taken if name != "cpu-affinity"} <= {"0", str(2 ** 31), str(2 ** 32)}, True,
       f"values taken: {taken}")
    eq(dict(walk(qmp)), tree, "the tree afterwards")


@case("qom/hostile-paths")
def paths(t):
    vm, qmp = start(t, *DEVICES)
    for path in ("", "x", "/x", "/machine/x", "/objects/io0/x", "/machine/peripheral/net0/parent_bus/child[99]",
                 "x" * 10000, "/" + "x/" * 5000, "/" * 10 ** 6, "/..",
                 "net0" + "/parent_bus/child[0]" * 10 ** 5, "/objects/../objects", "\u00e4\n",
                 "/machine/peripheral/net0/mq"):
        for name, more in (("qom-list", {}), ("qom-get", {"property": "type"}),
                           ("qom-set", {"property": "type", "value": 1})):
            refused(qmp, path[:100], "DeviceNotFound", "Device '", name, path=path, **more)
    refused(qmp, "two objects of a name", "GenericError", "Path 'device[0]' is ambiguous", "qom-list", path="device[0]")
    for path in ("/", "//", "///machine//peripheral/net0/", "machine", "peripheral/net0", "net0",
                 "net0/parent_bus/child[0]"):
        eq(qmp.cmd("qom-list", path=path)[0]["name"] != "", True, path)
    refused(qmp, "an unknown property", "GenericError", "Property 'virtio-net-pci.x' not found", "qom-get",
            path="net0", property="x")
    for name in ("type", "realized", "parent_bus", "virtio-backend"):
        refused(qmp, name, "GenericError", f"Property 'virtio-net-pci.{name}' is read-only", "qom-set", path="net0",
                property=name, value=True)
    check(vm.alive(), "the emulator ended")


@case("qom/set/live-and-fixed")
def settings(t):
    _, qmp = start(t, *DEVICES)
    for name in ("poll-max-ns", "poll-grow", "poll-shrink"):
        qom_set(qmp, "/objects/io0", name, 12345)
        eq(qmp.cmd("qom-get", path="io0", property=name), 12345, name)
        refused(qmp, "a string", "GenericError", f"'{name}'", "qom-set", path="io0", property=name, value="much")
        refused(qmp, "a list", "GenericError", f"'{name}', expected: integer", "qom-set", path="io0", property=name,
                value=[])
        refused(qmp, "a negative number", "GenericError", name, "qom-set", path="io0", property=name, value=-1)
        eq(qmp.cmd("qom-get", path="io0", property=name), 12345, f"{name} after the errors")
    for path, name, value in (("net0", "mac", "52:54:00:00:00:01"), ("net0", "vectors", 3), ("ser0", "irq", 4),
                              ("ram0", "size", 4096), ("/machine", "acpi", False)):
        text = refused(qmp, f"{path}.{name}", "GenericError", "cannot change any more", "qom-set", path=path,
                       property=name, value=value)
        check(f".{name}'" in text, text)


def add_args(n):
    return {"a": {"qom-type": "iothread", "id": "a", "poll-max-ns": n},
            "b": {"qom-type": "memory-backend-ram", "id": "b", "size": 1 << 20},
            "c": {"qom-type": "memory-backend-memfd", "id": "c", "size": 1 << 21, "share": False}}


@on_each_machine("object-add-and-del")
def add_and_del(qmp, _):
    def objects():
        return {i["name"]: i["type"] for i in qmp.cmd("qom-list", path="/objects") if i["type"].startswith("child<")}

    before = objects()
    for order in itertools.permutations("abc"):
        for back in itertools.permutations("abc"):
            for i in order:
                qmp.cmd("object-add", arguments_=add_args(len(order))[i])
                refused(qmp, "a name twice", "GenericError", f"Duplicate ID '{i}'", "object-add",
                        arguments_=add_args(1)[i])
            eq(set(objects()) - set(before), set("abc"), "objects")
            eq(qmp.cmd("qom-get", path="/objects/a", property="poll-max-ns"), 3, "a property that was given")
            for i in back:
                qmp.cmd("object-del", id=i)
                refused(qmp, "removing twice", "GenericError", f"object '{i}' not found", "object-del", id=i)
    eq(objects(), before, "objects afterwards")


BAD_OBJECTS = (
    ({}, "qom-type"), ({"qom-type": "iothread"}, "id"), ({"qom-type": "tribble", "id": "x"}, "tribble"),
    ({"qom-type": "virtio-net-pci", "id": "x"}, "virtio-net-pci"), ({"qom-type": "iothread", "id": "1x"}, "1x"),
    ({"qom-type": "iothread", "id": ""}, "id"), ({"qom-type": "iothread", "id": "x", "colour": "red"}, "colour"),
    ({"qom-type": "iothread", "id": "x", "poll-max-ns": -1}, "poll-max-ns"),
    ({"qom-type": "iothread", "id": "x", "poll-max-ns": "1"}, "poll-max-ns"),
    ({"qom-type": "iothread", "id": 1}, "id"), ({"qom-type": ["iothread"], "id": "x"}, "qom-type"),
    ({"qom-type": "memory-backend-ram", "id": "x"}, "size"),
    ({"qom-type": "memory-backend-ram", "id": "x", "size": 0}, "size"),
    ({"qom-type": "memory-backend-ram", "id": "x", "size": 1000}, "size"),
    ({"qom-type": "memory-backend-ram", "id": "x", "size": 2 ** 63}, "room"),
    ({"qom-type": "memory-backend-ram", "id": "x", "size": 2 ** 64 - 4096}, "room"),
    ({"qom-type": "memory-backend-file", "id": "x", "size": 4096}, "mem-path"),
    ({"qom-type": "memory-backend-file", "id": "x", "size": 4096, "mem-path": "/nowhere/x"}, "/nowhere/x"),
    ({"qom-type": "memory-backend-file", "id": "x", "size": 4096, "mem-path": "/nowhere/" + "x" * 9000}, "mem-path"))


@case("qom/object-add/errors")
def bad_objects(t):
    _, qmp = start(t, *DEVICES)
    before = qmp.cmd("qom-list", path="/objects")
    for arguments, text in BAD_OBJECTS:
        answer = qmp.raw({"execute": "object-add", "arguments": arguments})
        check("error" in answer and text in answer["error"]["desc"], f"{str(arguments)[:200]}: {str(answer)[:500]}")
    eq(qmp.cmd("qom-list", path="/objects"), before, "objects")


@case("qom/object-del/in-use")
def in_use(t):
    _, qmp = start(t)
    text = refused(qmp, "the machine's RAM", "GenericError", "in use", "object-del", id="mem")
    check("'mem'" in text, text)
    for name in ("io9", "machine", "../machine", ""):
        refused(qmp, name, "GenericError", f"object '{name}' not found", "object-del", id=name)


@case("qom/help/every-device")
def device_help(t):
    _, qmp = start(t)
    for name, wanted in [(n, 0) for n in types(qmp, "device")] + [("tribble", 1), ("device", 1), ("iothread", 1)]:
        run = subprocess.run([t.emulator, "-device", f"{name},help"], capture_output=True, text=True, timeout=WAIT_S,
                             check=False)
        eq(run.returncode, wanted, f"-device {name},help: {run.stderr}")
        if wanted == 0:
            options = [p["name"] for p in qmp.cmd("device-list-properties", typename=name)]
            lines = run.stdout.splitlines()
            eq(lines[0], f"{name} options:", "first line")
            eq([line.split("=")[0].strip() for line in lines[1:]], options, f"options of {name}")
    for name in types(qmp, "user-creatable"):
        text = subprocess.run([t.emulator, "-object", f"{name},help"], capture_output=True, text=True,
                              check=True).stdout
        check(text.startswith(f"{name} options:"), text)


@case("qom/device/errors")
def device_errors(t):
    for args, text in ((("virtio-net-pci,mq=maybe",), "mq"),
                       (("virtio-net-pci,x=1",), "Property 'virtio-net-pci.x' not found"),
                       (("virtio-net-pci,type=x",), "Property 'virtio-net-pci.type' is read-only"),
                       (("virtio-net-pci,realized=off",), "Property 'virtio-net-pci.realized' is read-only"),
                       (("virtio-net-pci,rx_queue_size=3",), "rx_queue_size"), (("isa-serial",), "chardev"),
                       (("virtio-net-pci,addr=2", "virtio-net-pci,addr=2"), "addr"), (("device",), "non-abstract"),
                       (("qemu64-x86_64-cpu",), "pluggable"), (("tribble",), "not a valid device model name")):
        command = [t.emulator, "-machine", "pc", "-accel", "qtest", "-nodefaults", "-display", "none"]
        for a in args:
            command += ["-device", a]
        run = subprocess.run(command, capture_output=True, text=True, timeout=WAIT_S, check=False)
        eq(run.returncode, 1, f"{args}: {run.stderr}")
        check(text in run.stderr and len(run.stderr.splitlines()) == 1, f"{args}: {run.stderr}")


@case("qom/machines-and-cpus")
def machines(t):
    _, qmp = start(t, *DEVICES)
    found = {m["name"]: m for m in qmp.cmd("query-machines")}
    eq(set(found), {"pc-i440fx-7.2", "none"}, "machines")
    pc = found["pc-i440fx-7.2"]
    eq((pc["alias"], pc["is-default"], pc["acpi"], found["none"].get("is-default")), ("pc", True, True, None), "pc")
    models = {m["name"]: m for m in qmp.cmd("query-cpu-definitions")}
    eq(set(models), {"host", "max", "qemu64"}, "models")
    eq(set(m["typename"] for m in models.values()), set(types(qmp, "cpu")), "types of CPUs")
    cpus = qmp.cmd("query-cpus-fast")
    eq([c["cpu-index"] for c in cpus], [0, 1, 2], "CPUs")
    for c in cpus:
        eq((c["target"], qmp.cmd("qom-get", path=c["qom-path"], property="type")),
           ("x86_64", pc["default-cpu-type"]), "CPU")
        eq({n: qmp.cmd("qom-get", path=c["qom-path"], property=n) for n in c["props"]}, c["props"], "place")
    places = qmp.cmd("query-hotpluggable-cpus")
    eq([p.get("qom-path") for p in places], [c["qom-path"] for c in cpus] + [None] * 5, "places")
    eq(len({str(p["props"]) for p in places}), 8, "places that differ")
    eq({p["type"] for p in places}, {pc["default-cpu-type"]}, "types of places")
    _, qmp = start(t, machine="none")
    eq(qmp.cmd("query-cpus-fast"), [], "CPUs of machine none")
    refused(qmp, "places of machine none", "GenericError", "no places for CPUs", "query-hotpluggable-cpus")


@case("qom/machine/properties")
def machine_properties(t):
    _, qmp = start(t, "-machine", "acpi=off,dump-guest-core=off,vmport=off,graphics=off")
    want = {"type": "pc-i440fx-7.2-machine", "accel": "qtest", "memory-backend": "mem", "acpi": False,
            "dump-guest-core": False, "mem-merge": True, "vmport": "off", "graphics": False, "kernel": ""}
    eq({n: qmp.cmd("qom-get", path="/machine", property=n) for n in want}, want, "properties")
    eq(qmp.cmd("qom-get", path="/machine/accelerator", property="type"), "qtest-accel", "accelerator")


@case("qom/preconfig")
def preconfig(t):
    _, qmp = start(t, "-preconfig", "-smp", "2,maxcpus=4")
    qmp.cmd("object-add", arguments_=add_args(1)["a"])
    eq(qmp.cmd("qom-get", path="/objects/a", property="poll-max-ns"), 1, "an object made before the machine")
    places = qmp.cmd("query-hotpluggable-cpus")
    eq([p.get("qom-path") for p in places], [None] * 4, "places before the machine")
    check("virtio-net-pci" in types(qmp, "device"), "types")
    refused(qmp, "query-cpus-fast", "GenericError", "after machine initialization", "query-cpus-fast")
    qmp.cmd("x-exit-preconfig")
    eq(len(qmp.cmd("query-cpus-fast")), 2, "CPUs")
    eq([{k: v for k, v in p.items() if k != "qom-path"} for p in qmp.cmd("query-hotpluggable-cpus")], places, "places")
    eq(qmp.cmd("qom-get", path="/objects/a", property="poll-max-ns"), 1, "the object afterwards")
