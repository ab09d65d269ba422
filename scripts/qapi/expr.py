# SPDX-License-Identifier: GPL-2.0-or-later
"""The shape of each expression by itself: keys, names, kinds of value."""

import re

from qapi.error import SchemaError
from qapi.parser import Flag, List, Object, Text

# kind: (keys that must be there, keys that may be)
KEYS = {
    'enum': (('data',), ('if', 'features', 'prefix')),
    'struct': (('data',), ('base', 'if', 'features')),
    'union': (('base', 'discriminator', 'data'), ('if', 'features')),
    'alternate': (('data',), ('if', 'features')),
    'command': ((), ('data', 'returns', 'boxed', 'gen', 'success-response',
                     'allow-oob', 'allow-preconfig', 'coroutine', 'if',
                     'features')),
    'event': ((), ('data', 'boxed', 'if', 'features')),
}
FLAGS = ('boxed', 'gen', 'success-response', 'allow-oob', 'allow-preconfig',
         'coroutine')

TYPE_NAME = (re.compile(r'[A-Z][A-Za-z0-9]*'),
             'a name in CamelCase')
COMMAND_NAME = (re.compile(r'[a-z][a-z0-9]*([-_][a-z0-9]+)*'),
                "a name of a-z, 0-9, '-' and '_' that begins with a letter")
EVENT_NAME = (re.compile(r'[A-Z][A-Z0-9]*(_[A-Z0-9]+)*'),
              'a name in CAPITALS_WITH_UNDERSCORES')
ENUM_NAME = (re.compile(r'[A-Za-z0-9]+([-_.][A-Za-z0-9]+)*'),
             "a name of letters, digits, '-', '_' and '.'")
MEMBER_NAME = (re.compile(r'[A-Za-z][A-Za-z0-9]*([-_][A-Za-z0-9]+)*'),
               "a name of letters, digits, '-' and '_' that begins with a "
               'letter')
NAMES = {'enum': TYPE_NAME, 'struct': TYPE_NAME, 'union': TYPE_NAME,
         'alternate': TYPE_NAME, 'command': COMMAND_NAME, 'event': EVENT_NAME}


def check_name(name, rule, what):
    pattern, expected = rule
    if not isinstance(name, Text):
        raise SchemaError(name.where, f'{what} must be a string')
    if not pattern.fullmatch(name):
        raise SchemaError(name.where,
                          f"{what} '{name}' is not valid: expected {expected}")


def check_member_name(key, what, rule=COMMAND_NAME):
    """The name of a member without its `*`."""
    name = Text(key[1:] if key.startswith('*') else key, key.where)
    check_name(name, rule, what)
    if name == 'u' or re.match('has[-_]', name):
        raise SchemaError(key.where, f"{what} '{name}' is reserved for the "
                          'generated code')


def check_exception_name(key, what):
    """The name of a member of what the pragma 'member-name-exceptions'
    lists: capitals are fine."""
    check_member_name(key, what, MEMBER_NAME)


def check_keys(value, required, optional, what):
    for key in value:
        if key not in required and key not in optional:
            expected = ', '.join(f"'{k}'" for k in required + optional)
            raise SchemaError(key.where, f"{what} has an unknown key '{key}': "
                              f'expected {expected}')
    for key in required:
        if key not in value:
            raise SchemaError(value.where, f"{what} lacks the key '{key}'")


def check_condition(value):
    """'CONFIG_X', {'all': [...]}, {'any': [...]} or {'not': ...}"""
    if isinstance(value, Text):
        if not re.fullmatch('[A-Z][A-Z0-9_]*', value):
            raise SchemaError(value.where, "expected the name of a macro, like "
                              f"'CONFIG_LINUX', not '{value}'")
        return
    if not isinstance(value, Object) or len(value) != 1:
        raise SchemaError(value.where, "'if' must be a macro's name or an "
                          "object with one of 'all', 'any', 'not'")
    key, argument = next(iter(value.items()))
    if key == 'not':
        check_condition(argument)
    elif key in ('all', 'any'):
        if not isinstance(argument, List) or not argument:
            raise SchemaError(key.where, f"'{key}' must be a list that is not "
                              'empty')
        for part in argument:
            check_condition(part)
    else:
        raise SchemaError(key.where, f"expected 'all', 'any' or 'not', not "
                          f"'{key}'")


def check_common(value):
    """'if' and 'features', wherever they may stand."""
    if 'if' in value:
        check_condition(value['if'])
    if 'features' not in value:
        return
    features = value['features']
    if not isinstance(features, List):
        raise SchemaError(value.key('features').where,
                          "'features' must be a list")
    seen = set()
    for feature in features:
        if isinstance(feature, Object):
            check_keys(feature, ('name',), ('if',), 'the feature')
            check_common(feature)
            feature = feature['name']
        check_name(feature, COMMAND_NAME, "a feature's name")
        if feature in seen:
            raise SchemaError(feature.where,
                              f"the feature '{feature}' is there twice")
        seen.add(feature)


def check_type_use(value, what, allow_list=True):
    """'T' or ['T']"""
    if isinstance(value, Text):
        return
    if allow_list and isinstance(value, List):
        if len(value) == 1 and isinstance(value[0], Text):
            return
        raise SchemaError(value.where, f'{what}: an array is written as '
                          "['TYPE']")
    expected = "a type's name or ['TYPE']" if allow_list else "a type's name"
    raise SchemaError(value.where, f'{what}: expected {expected}')


def check_members(value, what, check_key=check_member_name, star=True,
                  allow_list=True):
    if not isinstance(value, Object):
        raise SchemaError(value.where, f'{what} must be an object')
    for key, member in value.items():
        if key.startswith('*') and not star:
            raise SchemaError(key.where, f"{what}: '{key}' cannot be optional")
        check_key(key, "the member's name")
        where = f"member '{key.lstrip('*')}'"
        if isinstance(member, Object):
            check_keys(member, ('type',), ('if', 'features'), where)
            check_common(member)
            member = member['type']
        check_type_use(member, where, allow_list)


def check_branch_name(key, what):
    check_name(key, ENUM_NAME, what)


def check_enum(value, _check_key):
    data = value['data']
    if not isinstance(data, List):
        raise SchemaError(value.key('data').where,
                          "'data' of an enum must be a list")
    for item in data:
        if isinstance(item, Object):
            check_keys(item, ('name',), ('if', 'features'), 'the value')
            check_common(item)
            item = item['name']
        check_name(item, ENUM_NAME, "a value's name")
    if 'prefix' in value:
        check_name(value['prefix'], EVENT_NAME, 'the prefix')


def check_struct(value, check_key):
    check_members(value['data'], "'data'", check_key)
    if 'base' in value:
        check_type_use(value['base'], "'base'", allow_list=False)


def check_union(value, check_key):
    base = value['base']
    if isinstance(base, Object):
        check_members(base, "'base'", check_key)
    else:
        check_type_use(base, "'base'", allow_list=False)
    if not isinstance(value['discriminator'], Text):
        raise SchemaError(value.key('discriminator').where,
                          "'discriminator' must be the name of a member")
    check_members(value['data'], "'data'", check_branch_name, star=False,
                  allow_list=False)


def check_alternate(value, _check_key):
    check_members(value['data'], "'data'", check_branch_name, star=False)
    if not value['data']:
        raise SchemaError(value.key('data').where,
                          "'data' of an alternate must not be empty")


def check_call(value, check_key):
    """Commands and events."""
    for flag in FLAGS:
        if flag in value and not isinstance(value[flag], Flag):
            raise SchemaError(value.key(flag).where,
                              f"'{flag}' must be true or false")
    boxed = 'boxed' in value and value['boxed'].value
    if 'data' in value:
        if isinstance(value['data'], Object):
            if boxed:
                raise SchemaError(value.key('data').where, "with 'boxed', "
                                  "'data' must be a type's name")
            check_members(value['data'], "'data'", check_key)
        else:
            check_type_use(value['data'], "'data'", allow_list=False)
    elif boxed:
        raise SchemaError(value.key('boxed').where, "'boxed' needs 'data'")
    if 'returns' in value:
        check_type_use(value['returns'], "'returns'")


CHECKS = {'enum': check_enum, 'struct': check_struct, 'union': check_union,
          'alternate': check_alternate, 'command': check_call,
          'event': check_call}


def check_expression(value, exceptions=()):
    """Checks @value; returns its kind ('enum'...) and its name. @exceptions:
    what may have members with capitals in their names."""
    kinds = [key for key in value if key in KEYS]
    if len(kinds) != 1:
        expected = ', '.join(f"'{kind}'" for kind in KEYS)
        raise SchemaError(value.where, f'expected exactly one of {expected}, '
                          "'include', 'pragma'")
    kind = kinds[0]
    name = value[kind]
    check_name(name, NAMES[kind], f"the {kind}'s name")
    required, optional = KEYS[kind]
    check_keys(value, (kind,) + required, optional, f"{kind} '{name}'")
    check_common(value)
    CHECKS[kind](value, check_exception_name if name in exceptions
                 else check_member_name)
    return str(kind), name
