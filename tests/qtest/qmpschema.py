# SPDX-License-Identifier: GPL-2.0-or-later
"""Checks JSON values against what query-qmp-schema says of their types.

    schema = QmpSchema(qmp.cmd("query-qmp-schema"))
    schema.check_result("query-status", qmp.cmd("query-status"))
    validate(value, "[int]", schema)
"""

from qtestlib import Failure

JSON_TYPES = {
    "string": lambda v: isinstance(v, str),
    "number": lambda v: isinstance(v, (int, float)) and not isinstance(v, bool),
    "int": lambda v: isinstance(v, int) and not isinstance(v, bool),
    "boolean": lambda v: isinstance(v, bool),
    "null": lambda v: v is None,
    "object": lambda v: isinstance(v, dict),
    "array": lambda v: isinstance(v, list),
    "value": lambda v: True,
}


class Mismatch(Failure):
    """A value is not of the type it should be."""


class QmpSchema:
    """The answer of query-qmp-schema, by name: .types, .commands and .events."""

    def __init__(self, answer):
        self.answer = answer
        self.types, self.commands, self.events = {}, {}, {}
        for entry in answer:
            table = {"command": self.commands, "event": self.events}.get(entry["meta-type"], self.types)
            if entry["name"] in table:
                raise Failure(f"the schema has '{entry['name']}' twice")
            table[entry["name"]] = entry

    def check_arguments(self, command, arguments):
        validate(arguments, self.commands[command]["arg-type"], self, f"{command} arguments")

    def check_result(self, command, value):
        validate(value, self.commands[command]["ret-type"], self, command)

    def check_event(self, message):
        """MESSAGE: a whole event as it came."""
        name = message["event"]
        if name not in self.events:
            raise Mismatch(f"event {name}: the schema does not have it")
        validate(message.get("data", {}), self.events[name]["arg-type"], self, name)

    def members(self, type_name, value):
        """The members that the object VALUE of that type may have, by name."""
        entry = self.types[type_name]
        found = {m["name"]: m for m in entry["members"]}
        tag = value.get(entry.get("tag"))
        for variant in entry.get("variants", ()):
            if variant["case"] == tag:
                found.update(self.members(variant["type"], value))
        return found


def validate(value, type_name, schema, path="value"):
    """Raises Mismatch unless VALUE is of the type TYPE_NAME of SCHEMA."""
    entry = schema.types.get(type_name)
    if entry is None:
        raise Mismatch(f"{path}: there is no type '{type_name}'")
    KINDS[entry["meta-type"]](value, entry, schema, path)


def _expect(good, value, path, what):
    if not good:
        raise Mismatch(f"{path}: {value!r:.200} is not {what}")


def _builtin(value, entry, _schema, path):
    _expect(JSON_TYPES[entry["json-type"]](value), value, path, f"of JSON type {entry['json-type']}")


def _enum(value, entry, _schema, path):
    names = [m["name"] for m in entry["members"]]
    _expect(isinstance(value, str) and value in names, value, path, f"one of {', '.join(names)}")


def _array(value, entry, schema, path):
    _expect(isinstance(value, list), value, path, "an array")
    for i, element in enumerate(value):
        validate(element, entry["element-type"], schema, f"{path}[{i}]")


def _object(value, entry, schema, path):
    _expect(isinstance(value, dict), value, path, "an object")
    members = schema.members(entry["name"], value)
    for name in value:
        if name not in members:
            raise Mismatch(f"{path}: the schema does not know the member '{name}'")
    for name, member in members.items():
        if name in value:
            validate(value[name], member["type"], schema, f"{path}.{name}")
        elif "default" not in member:
            raise Mismatch(f"{path}: the member '{name}' is missing")


def _alternate(value, entry, schema, path):
    reasons = []
    for member in entry["members"]:
        try:
            return validate(value, member["type"], schema, path)
        except Mismatch as e:
            reasons.append(str(e))
    raise Mismatch(f"{path}: none of the alternatives: {'; '.join(reasons)}")


KINDS = {"builtin": _builtin, "enum": _enum, "array": _array, "object": _object, "alternate": _alternate}
