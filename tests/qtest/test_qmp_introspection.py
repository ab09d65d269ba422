# SPDX-License-Identifier: GPL-2.0-or-later
"""query-qmp-schema: the answer is what it says an answer looks like, and true."""

from qmplib import Qmp, QmpError
from qmpschema import Mismatch, QmpSchema, validate
from qtestlib import Failure, case, check, eq

# A schema with every kind of type, for the validator itself.
SMALL = [
    {"name": "str", "meta-type": "builtin", "json-type": "string"},
    {"name": "int", "meta-type": "builtin", "json-type": "int"},
    {"name": "number", "meta-type": "builtin", "json-type": "number"},
    {"name": "bool", "meta-type": "builtin", "json-type": "boolean"},
    {"name": "null", "meta-type": "builtin", "json-type": "null"},
    {"name": "any", "meta-type": "builtin", "json-type": "value"},
    {"name": "[int]", "meta-type": "array", "element-type": "int"},
    {"name": "0", "meta-type": "object", "members": []},
    {"name": "1", "meta-type": "enum", "members": [{"name": "a"}, {"name": "b"}], "values": ["a", "b"]},
    {"name": "2", "meta-type": "object", "members": [{"name": "m", "type": "int"},
                                                     {"name": "o", "type": "str", "default": None}]},
    {"name": "3", "meta-type": "object", "members": [{"name": "t", "type": "1"}], "tag": "t",
     "variants": [{"case": "a", "type": "0"}, {"case": "b", "type": "2"}]},
    {"name": "4", "meta-type": "alternate", "members": [{"type": "int"}, {"type": "[int]"}, {"type": "null"}]},
    {"name": "EV", "meta-type": "event", "arg-type": "2"},
    {"name": "cmd", "meta-type": "command", "arg-type": "0", "ret-type": "3"},
]
FITS = [("str", ""), ("int", -1), ("number", 1), ("number", 0.5), ("bool", False), ("null", None), ("any", [{}]),
        ("[int]", []), ("[int]", [1, 2]), ("0", {}), ("1", "b"), ("2", {"m": 1}), ("2", {"m": 1, "o": "x"}),
        ("3", {"t": "a"}), ("3", {"t": "b", "m": 2}), ("4", 5), ("4", [5]), ("4", None)]
MISFITS = [("str", 1, "string"), ("int", 1.5, "int"), ("int", True, "int"), ("number", True, "number"),
           ("bool", 0, "boolean"), ("null", False, "null"), ("[int]", {}, "array"), ("[int]", [1, "2"], "value[1]"),
           ("0", [], "object"), ("0", {"x": 1}, "member 'x'"), ("1", "c", "one of a, b"), ("1", 0, "one of"),
           ("2", {}, "'m' is missing"), ("2", {"m": 1, "o": None}, "value.o"), ("3", {}, "'t' is missing"),
           ("3", {"t": "c"}, "value.t"), ("3", {"t": "a", "m": 2}, "member 'm'"), ("3", {"t": "b"}, "'m' is missing"),
           ("4", "5", "none of"), ("4", ["5"], "none of"), ("9", 1, "no type '9'")]


def mismatch(func, *args):
    try:
        func(*args)
    except Mismatch as e:
        return str(e)
    return None


@case("qmp/introspection/validator")
def validator(test):
    """What other cases rely on: right values pass, wrong ones do not."""
    schema = QmpSchema(SMALL)
    for name, value in FITS:
        eq(mismatch(validate, value, name, schema), None, f"{value} as {name}")
    for name, value, part in MISFITS:
        text = mismatch(validate, value, name, schema)
        check(text and part in text, f"{value} as {name}: {text}")
    schema.check_event({"event": "EV", "data": {"m": 1}})
    check(mismatch(schema.check_event, {"event": "EV"}), "an event without its data")
    check(mismatch(schema.check_event, {"event": "EW"}), "an event that there is not")
    schema.check_arguments("cmd", {})
    schema.check_result("cmd", {"t": "a"})
    check(mismatch(schema.check_result, "cmd", {}), "a result that does not fit")
    try:
        QmpSchema(SMALL + SMALL[:1])
    except Failure:
        return
    raise Failure("a schema with a type twice passes")


def ask(test, *args, **kw):
    vm = test.vm(*args, qmp=True, **kw)
    qmp = Qmp(vm.qmp_path)
    return qmp, QmpSchema(qmp.cmd("query-qmp-schema"))


def references(entry):
    """The names of types that an entry uses."""
    names = [entry[key] for key in ("element-type", "arg-type", "ret-type") if key in entry]
    for part in [*entry.get("members", ()), *entry.get("variants", ())]:
        names += [part["type"]] if "type" in part else []
    return names


@case("qmp/introspection/describes-itself")
def describes_itself(test):
    """The answer, checked against the type that it gives for itself."""
    _, schema = ask(test)
    check(len(schema.commands) > 20 and len(schema.types) > 60, "the schema is small")
    schema.check_result("query-qmp-schema", schema.answer)


@case("qmp/introspection/references")
def all_references(test):
    """Each type that is used is explained, and each that is explained is used."""
    _, schema = ask(test)
    used = set()
    for entry in schema.answer:
        for name in references(entry):
            check(name in schema.types, f"{entry['name']} uses the type '{name}', which there is not")
            used.add(name)
    eq(sorted(set(schema.types) - used), [], "types that nothing uses")
    for entry in [*schema.commands.values(), *schema.events.values()]:
        eq(schema.types[entry["arg-type"]]["meta-type"], "object", f"arguments of {entry['name']}")


def check_names(entry):
    """Built-in types and arrays have names that say it, the rest has numbers."""
    name, meta = entry["name"], entry["meta-type"]
    if meta == "builtin":
        check(name in ("str", "int", "number", "bool", "null", "any"), f"built-in type '{name}'")
    elif meta == "array":
        eq(name, f"[{entry['element-type']}]", "name of an array")
    else:
        check(name.isdecimal(), f"{meta} '{name}' tells its name")


def check_union(entry, schema):
    tag = next(m for m in entry["members"] if m["name"] == entry["tag"])
    check("default" not in tag, f"the tag of {entry['name']} is optional")
    values = [m["name"] for m in schema.types[tag["type"]]["members"]]
    eq(sorted(v["case"] for v in entry["variants"]), sorted(values), f"cases of object {entry['name']}")
    for variant in entry["variants"]:
        eq(schema.types[variant["type"]]["meta-type"], "object", f"variant of object {entry['name']}")


def check_alternate(entry, schema):
    kinds = []
    for member in entry["members"]:
        target = schema.types[member["type"]]
        kind = target.get("json-type") or {"enum": "string"}.get(target["meta-type"], target["meta-type"])
        kinds.append("number" if kind == "int" else kind)
    eq(len(kinds), len(set(kinds)), f"JSON types of the alternatives {kinds}")


@case("qmp/introspection/types")
def types(test):
    """Names are masked; enums, unions and alternates hold together."""
    _, schema = ask(test)
    unions = 0
    for entry in schema.types.values():
        check_names(entry)
        eq("tag" in entry, "variants" in entry, f"tag and variants of {entry['name']}")
        if entry["meta-type"] == "enum":
            eq(entry["values"], [m["name"] for m in entry["members"]], f"values of enum {entry['name']}")
        if "tag" in entry:
            check_union(entry, schema)
            unions += 1
        if entry["meta-type"] == "alternate":
            check_alternate(entry, schema)
        names = [m["name"] for m in entry["members"]] if entry["meta-type"] == "object" else []
        eq(len(names), len(set(names)), f"members of object {entry['name']}: {names}")
        for part in entry.get("members", ()):
            eq(part.get("default"), None, f"default in {entry['name']}")
            check(part.get("features") != [], f"an empty list of features in {entry['name']}")
    check(unions > 0, "there is no union")


@case("qmp/introspection/commands")
def commands(test):
    """query-commands and the schema know the same commands."""
    qmp, schema = ask(test)
    listed = [c["name"] for c in qmp.cmd("query-commands")]
    eq(sorted(listed), sorted(schema.commands), "commands")
    for name, entry in schema.commands.items():
        if name.startswith("x-"):
            check("unstable" in entry.get("features", ()), f"{name} is not marked unstable")
        check(entry.get("allow-oob") in (None, True), f"allow-oob of {name}")


@case("qmp/introspection/known-shapes")
def known_shapes(test):
    """What clients look for is where they look for it."""
    _, schema = ask(test)
    eq(schema.types[schema.commands["query-qmp-schema"]["ret-type"]]["meta-type"], "array", "query-qmp-schema")
    info = schema.types[schema.types[schema.commands["query-qmp-schema"]["ret-type"]]["element-type"]]
    eq(info["tag"], "meta-type", "tag of SchemaInfo")
    eq({v["case"] for v in info["variants"]},
       {"builtin", "enum", "array", "object", "alternate", "command", "event"}, "kinds of SchemaInfo")
    enum = schema.types[next(v["type"] for v in info["variants"] if v["case"] == "enum")]
    values = next(m for m in enum["members"] if m["name"] == "values")
    eq(values.get("features"), ["deprecated"], "features of values")
    args = schema.types[schema.commands["query-command-line-options"]["arg-type"]]
    eq(args["members"], [{"name": "option", "type": "str", "default": None}], "an optional argument")
    empty = schema.types[schema.commands["query-qmp-schema"]["arg-type"]]
    eq((empty["members"], "tag" in empty), ([], False), "arguments of a command that has none")


@case("qmp/introspection/arguments")
def refuses_arguments(test):
    """The command checks its own arguments, for nobody else does."""
    qmp, schema = ask(test)
    try:
        qmp.cmd("query-qmp-schema", x=1)
    except QmpError as e:
        eq(e.cls, "GenericError", "class")
        check("'x'" in e.desc, f"the text does not name the argument: {e.desc}")
    else:
        raise Failure("query-qmp-schema takes any argument")
    eq(qmp.cmd("query-qmp-schema"), schema.answer, "the answer the second time")


@case("qmp/introspection/any-machine")
def any_machine(test):
    """The answer is the same whatever the machine is, and before there is one."""
    _, schema = ask(test)
    vm = test.vm(machine="none", memory=False, qmp=True)
    eq(Qmp(vm.qmp_path).cmd("query-qmp-schema"), schema.answer, "answer on machine none")
    early = test.vm("-preconfig", qmp=True)
    qmp = Qmp(early.qmp_path)
    eq(qmp.cmd("query-qmp-schema"), schema.answer, "answer before the machine is made")
    schema.check_result("query-command-line-options", qmp.cmd("query-command-line-options"))


@case("qmp/introspection/query-results")
def query_results(test):
    """What each query-* answers is of the type that the schema gives it."""
    qmp, schema = ask(test, "-device", "virtio-net-pci,id=n0", "-object", "iothread,id=io0",
                      "-chardev", "null,id=c0", "-smp", "2", "-name", "guest=g")
    done = []
    for name, entry in sorted(schema.commands.items()):
        needed = [m["name"] for m in schema.types[entry["arg-type"]]["members"] if "default" not in m]
        if not name.startswith(("query-", "x-query-")) or needed:
            continue
        try:
            schema.check_result(name, qmp.cmd(name))
            done.append(name)
        except QmpError as e:
            eq(e.cls, "GenericError", f"{name}: {e.desc}")
    check(len(done) > 15, f"only {done} were answered")


@case("qmp/introspection/events")
def events(test):
    """Events that come are of the types that the schema gives them."""
    qmp, schema = ask(test)
    for command, event in (("stop", "STOP"), ("cont", "RESUME"), ("system_reset", "RESET")):
        schema.check_result(command, qmp.cmd(command))
        schema.check_event(qmp.event(event))
    for message in qmp.events:
        schema.check_event(message)


@case("qmp/command-line-options")
def command_line_options(test):
    """Options by their documented names, with parameters and types."""
    qmp, schema = ask(test)
    answer = qmp.cmd("query-command-line-options")
    schema.check_result("query-command-line-options", answer)
    options = {o["option"]: {p["name"]: p["type"] for p in o["parameters"]} for o in answer}
    eq(len(options), len(answer), "options, each once")
    for option, parameter, kind in (
            ("machine", "kernel", "string"), ("machine", "dump-guest-core", "boolean"), ("smp-opts", "cpus", "number"),
            ("memory", "size", "size"), ("memory", "maxmem", "size"), ("boot-opts", "strict", "boolean"),
            ("name", "debug-threads", "boolean"), ("msg", "timestamp", "boolean"), ("fw_cfg", "file", "string"),
            ("overcommit", "mem-lock", "boolean"), ("action", "reboot", "string"), ("rtc", "base", "string"),
            ("mon", "chardev", "string"), ("accel", "accel", "string"), ("global", "driver", "string"),
            ("chardev", "logfile", "string"), ("add-fd", "fd", "number"), ("netdev", "queues", "number")):
        eq(options.get(option, {}).get(parameter), kind, f"-{option} {parameter}=")
    for option in ("device", "object", "net", "nic"):
        eq(options.get(option), {}, f"parameters of -{option}")
    one = qmp.cmd("query-command-line-options", option="smp-opts")
    eq([o["option"] for o in one], ["smp-opts"], "one option")
    for bad in ("smp", "spice", "", "-machine"):
        try:
            qmp.cmd("query-command-line-options", option=bad)
        except QmpError as e:
            eq((e.cls, e.desc), ("GenericError", f"invalid option name: {bad}"), "error")
        else:
            raise Failure(f"option '{bad}' is told about")
