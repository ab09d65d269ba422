# SPDX-License-Identifier: GPL-2.0-or-later
"""Expressions to types, commands and events that refer to each other."""

from qapi.error import SchemaError
from qapi.expr import check_expression, check_keys
from qapi.names import c_enum_const, c_name
from qapi.parser import Flag, List, Object, Parser, Text


def condition(value):
    """An `if` as a C preprocessor expression; None when there is none."""
    if value is None:
        return None
    if isinstance(value, Text):
        return f'defined({value})'
    key, argument = next(iter(value.items()))
    if key == 'not':
        return f'!{condition(argument)}'
    joint = ' && ' if key == 'all' else ' || '
    return '(' + joint.join(condition(part) for part in argument) + ')'


class Named:
    """Anything with a name, a condition and features."""

    doc = None  # a Doc; of a member or value: its text, a list of lines

    def __init__(self, name, cond=None, features=(), where=None):
        self.name = name
        self.cond = cond
        self.features = features
        self.where = where or getattr(name, 'where', None)


class Type(Named):
    """json: the kind of JSON value, for alternates; pointer: as a member."""

    kind = None
    json = 'object'
    pointer = False

    def c_type(self):
        return c_name(self.name)

    def c_member_type(self):
        return self.c_type() + (' *' if self.pointer else ' ')

    def table_name(self):
        """What follows `qapi_type_` in the name of its table."""
        return c_name(self.name)


class BuiltinType(Type):
    def __init__(self, name, ctype, json):
        super().__init__(name)
        self.kind = 'builtin'
        self.ctype = ctype
        self.json = json
        self.pointer = ctype.endswith('*')

    def c_type(self):
        return self.ctype

    def c_member_type(self):
        return self.ctype if self.pointer else self.ctype + ' '


class EnumType(Type):
    kind = 'enum'
    json = 'string'
    values = ()
    prefix = None

    def constant(self, value):
        return c_enum_const(self.prefix, self.name, value)


class StructType(Type):
    """members: all, those of the base first. Also the base of UnionType."""

    kind = 'struct'
    pointer = True
    base = None
    members = ()
    variants = None
    tag = None
    implicit = False  # made for the arguments of a command or event


class UnionType(StructType):
    kind = 'union'


class AlternateType(Type):
    kind = 'alternate'
    json = 'any'
    pointer = True
    members = ()


class ListType(Type):
    kind = 'list'
    json = 'array'

    def __init__(self, element):
        super().__init__(element.name + 'List', element.cond)
        self.element = element


class Member(Named):
    def __init__(self, name, type_, optional=False, **common):
        super().__init__(name, **common)
        self.type = type_
        self.optional = optional

    def has_flag(self):
        return self.optional and not self.type.pointer


class Call(Named):
    """A command or an event."""

    arg_type = None
    ret_type = None
    flags = None


BUILTINS = [BuiltinType(*row) for row in (
    ('str', 'char *', 'string'), ('any', 'json_object *', 'any'),
    ('bool', 'bool', 'boolean'), ('null', 'QapiNull', 'null'),
    ('number', 'double', 'number'), ('int', 'int64_t', 'number'),
    ('size', 'uint64_t', 'number'), ('QType', 'QType', 'string'))
] + [BuiltinType(f'{sign}int{bits}', f'{sign}int{bits}_t', 'number')
     for sign in ('', 'u') for bits in (8, 16, 32, 64)]


class Schema:
    """types: by name, in the order of the files; commands; events; texts: the
    documentation that is of no definition; modules: the files' paths."""

    def __init__(self, path):
        self.types = {type_.name: type_ for type_ in BUILTINS}
        self.lists = {}
        self.commands = []
        self.events = []
        self._calls = {}
        self._bodies = []
        self._doc_checks = []
        parser = Parser(path)
        self.texts = parser.texts
        self.modules = parser.files
        self._doc_required = False
        self._exceptions = []  # may have members with capitals
        for pragma in parser.pragmas:
            self._pragma(pragma)
        for expression in parser.expressions:
            self._declare(expression)
        self._check_exceptions()
        for body in self._bodies:  # it grows meanwhile
            body()
        for check in self._doc_checks:
            check()

    def _pragma(self, value):
        check_keys(value, (), ('doc-required', 'member-name-exceptions'),
                   'the pragma')
        for key, setting in value.items():
            if key == 'member-name-exceptions':
                self._exceptions += self._name_list(key, setting)
            elif isinstance(setting, Flag):
                self._doc_required = setting.value
            else:
                raise SchemaError(key.where, f"'{key}' must be true or false")

    @staticmethod
    def _name_list(key, value):
        if not isinstance(value, List) or not all(
                isinstance(name, Text) for name in value):
            raise SchemaError(key.where, f"'{key}' must be a list of names")
        return value

    def _check_exceptions(self):
        for name in self._exceptions:
            if name not in self.types and name not in self._calls:
                raise SchemaError(name.where, f"there is no type, command or "
                                  f"event '{name}'")

    # First pass: names. Second pass (the _define methods): what they refer to.

    def _declare(self, expression):
        value = expression.value
        kind, name = check_expression(value, self._exceptions)
        common = self._common(value)
        if kind in ('command', 'event'):
            entity = Call(name, **common)
            self._add_unique(self._calls, entity)
            (self.commands if kind == 'command' else self.events).append(entity)
        else:
            entity = {'enum': EnumType, 'struct': StructType,
                      'union': UnionType,
                      'alternate': AlternateType}[kind](name, **common)
            self._add_unique(self.types, entity)
        define = getattr(self, '_define_' +
                         ('call' if kind in ('command', 'event') else kind))
        if kind == 'enum':
            define(entity, value)
        else:
            self._bodies.append(lambda: define(entity, value))
        self._doc_checks.append(
            lambda: self._check_doc(expression, kind, entity))

    @staticmethod
    def _add_unique(table, entity):
        if entity.name in table:
            other = table[entity.name].where
            first = f', first at {other}' if other else ' as a built-in type'
            raise SchemaError(entity.where,
                              f"'{entity.name}' is defined twice{first}")
        if entity.name.endswith('List'):
            raise SchemaError(entity.where, f"the name '{entity.name}' is kept "
                              'for generated lists')
        table[entity.name] = entity

    @staticmethod
    def _common(value):
        features = []
        for feature in value.get('features', ()):
            if isinstance(feature, Object):
                feature = Named(feature['name'], condition(feature.get('if')))
            else:
                feature = Named(feature)
            features.append(feature)
        return {'cond': condition(value.get('if')), 'features': features}

    def _check_doc(self, expression, kind, entity):
        entity.doc = doc = expression.doc
        value = expression.value
        if doc is None:
            if self._doc_required:
                raise SchemaError(value.where, f"{kind} '{entity.name}' has no "
                                  'documentation block before it')
            return
        members = self._documented_members(kind, entity, value)
        for member in members:
            member.doc = doc.members.get(member.name)
        features = [feature.name for feature in entity.features]
        for source in members:
            features += [feature.name for feature in source.features
                         if feature.name not in features]
        doc.check(kind, entity, [member.name for member in members], features,
                  self._doc_required)

    @staticmethod
    def _documented_members(kind, entity, value):
        """The members, values or branches that @value itself has."""
        if kind == 'enum':
            return entity.values
        if kind == 'alternate':
            return entity.members
        if kind in ('struct', 'union'):
            return entity.own_members
        return entity.arg_type.own_members \
            if isinstance(value.get('data'), Object) and entity.arg_type else ()

    def _lookup(self, name):
        if name not in self.types:
            raise SchemaError(name.where, f"there is no type '{name}'")
        return self.types[name]

    def _type_use(self, value):
        if isinstance(value, List):
            element = self._lookup(value[0])
            if element.name in ('null', 'QType'):
                raise SchemaError(value.where,
                                  f"an array of '{element.name}' is no use")
            if element.name not in self.lists:
                self.lists[element.name] = ListType(element)
            return self.lists[element.name]
        return self._lookup(value)

    def _members(self, value):
        members = []
        for key, use in value.items():
            common = self._common(use) if isinstance(use, Object) else {}
            name = Text(key.lstrip('*'), key.where)
            use = use['type'] if isinstance(use, Object) else use
            members.append(Member(name, self._type_use(use),
                                  key.startswith('*'), **common))
        return members

    @staticmethod
    def _check_clash(members, what, also=()):
        """C names of @members, and of the generated has_ flags, differ."""
        taken = {c_name(name): name for name in also}
        for member in members:
            name = c_name(member.name)
            if name in taken:
                raise SchemaError(member.where, f"{what} '{member.name}' "
                                  f"clashes with '{taken[name]}'")
            taken[name] = member.name

    def _define_enum(self, entity, value):
        entity.prefix = value.get('prefix')
        entity.values = []
        seen = {entity.constant('-max'): '_MAX'}
        for item in value['data']:
            common = self._common(item) if isinstance(item, Object) else {}
            name = item['name'] if isinstance(item, Object) else item
            constant = entity.constant(name)
            if constant in seen:
                raise SchemaError(name.where, f"value '{name}' clashes with "
                                  f"'{seen[constant]}'")
            seen[constant] = name
            entity.values.append(Named(name, **common))

    def _base_members(self, use):
        base = self._lookup(use)
        if base.kind != 'struct':
            raise SchemaError(use.where,
                              f"the base '{use}' must be a struct")
        return base

    def _define_struct(self, entity, value):
        entity.own_members = self._members(value['data'])
        if 'base' in value:
            entity.base = self._base_members(value['base'])
            entity.base_where = value['base'].where
        self._bodies.append(lambda: self._flatten(entity))

    def _flatten(self, entity, below=()):
        """Puts the members of all bases before the struct's own."""
        if entity.members:
            return
        if entity in below:
            raise SchemaError(entity.base_where,
                              f"'{entity.name}' is its own base")
        base = []
        if entity.base:
            self._flatten(entity.base, below + (entity,))
            base = entity.base.members
        self._check_clash(entity.own_members, 'member',
                          [member.name for member in base])
        entity.members = tuple(base) + tuple(entity.own_members)

    def _define_union(self, entity, value):
        if isinstance(value['base'], Object):
            entity.own_members = self._members(value['base'])
        else:
            entity.base = self._base_members(value['base'])
            entity.base_where = value['base'].where
            entity.own_members = ()
        branches = self._members(value['data'])
        self._bodies.append(
            lambda: self._finish_union(entity, value, branches))

    def _finish_union(self, entity, value, branches):
        self._flatten(entity)
        name = value['discriminator']
        entity.tag = next((member for member in entity.members
                           if member.name == name), None)
        if entity.tag is None:
            raise SchemaError(name.where, f"discriminator '{name}' is not a "
                              'member of the base')
        if entity.tag.type.kind != 'enum' or entity.tag.optional:
            raise SchemaError(name.where, f"discriminator '{name}' must be a "
                              'mandatory member of an enum type')
        known = [item.name for item in entity.tag.type.values]
        for branch in branches:
            if branch.name not in known:
                raise SchemaError(branch.where, f"branch '{branch.name}' is "
                                  f"not a value of '{entity.tag.type.name}'")
            if branch.type.kind not in ('struct', 'union'):
                raise SchemaError(branch.where, f"branch '{branch.name}' must "
                                  'be of a struct or union type')
        self._check_clash(branches, 'branch')
        entity.variants = branches
        self._bodies.append(lambda: self._check_branches(entity))

    def _all_names(self, type_, below=()):
        """Member names of a struct or union with all its branches."""
        if type_ in below:
            raise SchemaError(below[0].where,
                              f"union '{below[0].name}' contains itself")
        names = [member.name for member in type_.members]
        for branch in type_.variants or ():
            names += self._all_names(branch.type, below + (type_,))
        return names

    def _check_branches(self, entity):
        own = {member.name for member in entity.members}
        for branch in entity.variants:
            for name in self._all_names(branch.type, (entity,)):
                if name in own:
                    raise SchemaError(branch.where, f"member '{name}' of "
                                      f"branch '{branch.name}' clashes with "
                                      'the base')

    def _define_alternate(self, entity, value):
        members = self._members(value['data'])
        self._check_clash(members, 'branch')
        seen = {}
        for member in members:
            json = member.type.json
            if json == 'any':
                raise SchemaError(member.where, f"branch '{member.name}' "
                                  'cannot be told from the others')
            if json in seen:
                raise SchemaError(member.where, f"branches '{member.name}' and "
                                  f"'{seen[json]}' are both a JSON {json}")
            seen[json] = member.name
        entity.members = tuple(members)

    def _define_call(self, entity, value):
        entity.flags = {key: flag.value for key, flag in value.items()
                        if isinstance(flag, Flag)}
        data = value.get('data')
        if isinstance(data, Object):
            if data:
                name = Text(f'q_obj_{c_name(entity.name)}_arg', data.where)
                args = StructType(name, entity.cond)
                args.implicit = True
                args.own_members = self._members(data)
                self.types[name] = args
                self._bodies.append(lambda: self._flatten(args))
                entity.arg_type = args
        elif data is not None:
            entity.arg_type = self._lookup(data)
            allowed = ('struct', 'union') if entity.flags.get('boxed') \
                else ('struct',)
            if entity.arg_type.kind not in allowed:
                raise SchemaError(data.where, f"'data' of '{entity.name}' must "
                                  'be a ' + ' or '.join(allowed))
        if 'returns' in value:
            entity.ret_type = self._type_use(value['returns'])
