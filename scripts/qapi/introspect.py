# SPDX-License-Identifier: GPL-2.0-or-later
"""What query-qmp-schema tells: the schema as clients see it on the wire.

Names of commands, events and built-in types are told; other types are numbered
in the order in which they are met, so that no client comes to rely on names
that are the emulator's own business. What no command or event leads to is not
there.
"""

from qapi.calls import Calls
from qapi.cgen import ORIGIN, SPDX, both, guarded
from qapi.schema import ListType, Named, StructType

QTYPES = ('none', 'qnull', 'qnum', 'qstring', 'qdict', 'qlist', 'qbool')
JSON_TYPES = {'any': 'value', 'int': 'int'}


class Item(Named):
    """A member, a value of an enum, or a case of a variant object."""

    def __init__(self, name, type_=None, optional=False, **common):
        super().__init__(name, **common)
        self.type = type_
        self.optional = optional


class Entry(Named):
    """One SchemaInfo. type: what json-type, element-type, tag or arg-type
    says, depending on meta."""

    def __init__(self, meta, name, of, type_=None, members=()):
        super().__init__(name, of.cond, of.features)
        self.meta = meta
        self.type = type_
        self.members = list(members)
        self.variants = []
        self.ret_type = None
        self.allow_oob = False


class Introspection:
    """entries: one for each command, event, and type that they lead to."""

    def __init__(self, schema):
        self._names = {}  # of each type met: what clients call it
        self._numbered = 0
        self._told = set()
        self._met = []
        self._empty = StructType('')
        self.entries = []
        for call in schema.commands:
            entry = Entry('command', call.name, call, self._arguments(call))
            entry.ret_type = self._use(call.ret_type or self._empty)
            entry.allow_oob = call.flags.get('allow-oob', False)
            self.entries.append(entry)
        for call in schema.events:
            self.entries.append(
                Entry('event', call.name, call, self._arguments(call)))
        for type_ in self._met:  # it grows meanwhile
            self.entries.append(getattr(self, '_' + type_.kind)(type_))

    def _arguments(self, call):
        return self._use(call.arg_type or self._empty)

    def _use(self, type_):
        """The name of @type_, which the answer then explains."""
        if type_.name in self._names:
            return self._names[type_.name]
        if isinstance(type_, ListType):
            name = f'[{self._use(type_.element)}]'
        elif type_.kind == 'builtin' and type_.name != 'QType':
            name = 'int' if 'int' in type_.name or type_.name == 'size' \
                else str(type_.name)
        else:
            name = str(self._numbered)
            self._numbered += 1
        self._names[type_.name] = name
        if name not in self._told:
            self._told.add(name)
            self._met.append(type_)
        return name

    def _builtin(self, type_):
        name = self._names[type_.name]
        if type_.name == 'QType':
            return Entry('enum', name, type_, None, map(Item, QTYPES))
        return Entry('builtin', name, type_, JSON_TYPES.get(name, type_.json))

    def _enum(self, type_):
        return Entry('enum', self._names[type_.name], type_, None, (
            Item(value.name, cond=value.cond, features=value.features)
            for value in type_.values))

    def _list(self, type_):
        return Entry('array', self._names[type_.name], type_,
                     self._use(type_.element))

    def _struct(self, type_):
        return Entry('object', self._names[type_.name], type_, None, (
            Item(member.name, self._use(member.type), member.optional,
                 cond=member.cond, features=member.features)
            for member in type_.members))

    def _union(self, type_):
        entry = self._struct(type_)
        entry.type = type_.tag.name
        branches = {branch.name: branch for branch in type_.variants}
        for value in type_.tag.type.values:
            branch = branches.get(value.name)
            if branch:
                entry.variants.append(Item(
                    value.name, self._use(branch.type),
                    cond=both(value.cond, branch.cond)))
            if not branch or branch.cond not in (None, value.cond):
                without = f'!({branch.cond})' if branch else None
                entry.variants.append(Item(value.name, self._use(self._empty),
                                           cond=both(value.cond, without)))
        return entry

    def _alternate(self, type_):
        return Entry('alternate', self._names[type_.name], type_, None, (
            Item(None, self._use(member.type), cond=member.cond)
            for member in type_.members))


def text(value):
    return f'"{value}"' if value is not None else 'NULL'


class IntrospectGenerator(Calls):
    """qapi-introspect.h, and .c: the entries as a table."""

    def header(self):
        """qapi-introspect.h"""
        guard = f'{self.symbol.upper()}QAPI_INTROSPECT_H'
        return (SPDX + ORIGIN + f'#ifndef {guard}\n#define {guard}\n\n'
                '#include "qapi/qapi-schema.h"\n\n'
                '/* Ends with an entry whose name is NULL. */\n'
                f'extern const QapiSchemaEntry {self.symbol}qapi_schema[];\n'
                '\n#endif\n')

    def source(self):
        """qapi-introspect.c"""
        before = ''
        table = (f'const QapiSchemaEntry {self.symbol}qapi_schema[] = {{\n')
        for number, entry in enumerate(Introspection(self.schema).entries):
            tables, row = self._entry(number, entry)
            before += guarded(entry.cond, tables) if tables else ''
            table += guarded(entry.cond, row)
        return (SPDX + ORIGIN + '#include "util/osdep.h"\n'
                f'#include "{self.prefix}qapi-introspect.h"\n\n' + before +
                '\n' + table + '    { .name = NULL },\n};\n')

    def _items(self, name, items):
        before = ''
        table = f'static const QapiSchemaItem {name}[] = {{\n'
        for item in items:
            features, reference = self.features.table(item)
            before += guarded(item.cond, features) if features else ''
            table += guarded(
                item.cond, f'    {{ {text(item.name)}, {text(item.type)}, '
                f'{str(item.optional).lower()}, {reference} }},\n')
        return before + table + '};\n'

    def _entry(self, number, entry):
        """(tables that it refers to, its row)"""
        before, features = self.features.table(entry)
        row = (f'    {{ .name = "{entry.name}",\n'
               f'      .meta_type = QAPI_META_{entry.meta.upper()},\n'
               f'      .type = {text(entry.type)},\n'
               f'      .ret_type = {text(entry.ret_type)},\n'
               f'      .allow_oob = {str(entry.allow_oob).lower()},\n')
        for what in ('members', 'variants'):
            items = getattr(entry, what)
            if items:
                before += self._items(f'{what}_{number}', items)
                row += (f'      .{what} = {what}_{number},\n'
                        f'      .n_{what} = ARRAY_SIZE({what}_{number}),\n')
        return before, row + f'      .features = {features} }},\n'
