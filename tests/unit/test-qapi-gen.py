#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""The schema compiler: what it accepts, and how it says what it does not."""

import os
import re
import sys
import tempfile
import unittest

sys.dont_write_bytecode = True
SOURCE_ROOT = os.path.dirname(os.path.dirname(os.path.dirname(
    os.path.abspath(__file__))))
sys.path[0] = os.path.join(SOURCE_ROOT, 'scripts')

# pylint: disable=wrong-import-position
from qapi.calls import CommandGenerator, EventGenerator  # noqa: E402
from qapi.cgen import Generator  # noqa: E402
from qapi.doc import first_paragraph  # noqa: E402
from qapi.docgen import Reference  # noqa: E402
from qapi.error import SchemaError  # noqa: E402
from qapi.introspect import Introspection, IntrospectGenerator  # noqa: E402
from qapi.names import c_enum_const, c_name  # noqa: E402
from qapi.schema import Schema  # noqa: E402

ENUM = "{ 'enum': 'E', 'data': [ 'a', 'b' ] }\n"
STRUCT = "{ 'struct': 'Sa', 'data': { 'm': 'int' } }\n"

# (schema, LINE:COLUMN, part of the message)
BAD = [
    # Text
    ('x', '1:1', 'expected one of {, }, [, ], :, comma, a string'),
    ('"enum"', '1:1', 'single quotes'),
    ("{ 'enum", '1:3', "no closing '"),
    ("{ 'en\\um': 'E' }", '1:6', 'printable ASCII'),
    ("'enum'", '1:1', "expected '{', not string 'enum'"),
    ("{ 'enum' 'E' }", '1:10', "expected ':' after the key 'enum', not "
     "string 'E'"),
    ("{ 'enum': 'E' 'data': [] }", '1:15', "expected ',' or '}'"),
    ("{ 'enum': 'E', }", '1:16', 'expected a key in single quotes'),
    ("{ 'enum': 'E', 'data': [ 'a' 'b' ] }", '1:30', "expected ',' or ']'"),
    ("{ 'enum': 'E',\n  'data': [ 'a', ] }", '2:18', 'expected a string, '
     "true, false, '{' or '[', not ']'"),
    ("{ 'enum': 'E'", '1:14', 'not end of file'),
    ("{ 'enum': 'E', 'enum': 'F' }", '1:16', "'enum' is there twice"),
    ("{ 'enum': 'E', 'data': " + '[' * 40, '1:40', 'nested more than'),
    # Top level
    ("{ 'include': 'missing.json' }", '1:14', 'cannot read'),
    ("{ 'include': [ ] }", '1:3', 'must be a file name'),
    ("{ 'include': 'bad.json' }", '1:14', "'bad.json' includes itself"),
    ("{ 'include': 'x', 'pragma': { } }", '1:1', 'stand alone'),
    ("{ 'pragma': { 'speed': true } }", '1:15', "unknown key 'speed'"),
    ("{ 'pragma': { 'doc-required': 'yes' } }", '1:15', 'true or false'),
    ("{ 'pragma': [ ] }", '1:3', "'pragma' must be an object"),
    ("{ 'pragma': { 'member-name-exceptions': 'Sa' } }", '1:15',
     'must be a list of names'),
    ("{ 'pragma': { 'member-name-exceptions': [ 'Sa', true ] } }", '1:15',
     'must be a list of names'),
    ("{ 'pragma': { 'member-name-exceptions': [ 'Sa' ] } }", '1:43',
     "there is no type, command or event 'Sa'"),
    ("{ 'pragma': { 'member-name-exceptions': [ 'Sa' ] } }\n"
     "{ 'struct': 'Sa', 'data': { 'U.U': 'str' } }", '2:29',
     "expected a name of letters, digits, '-' and '_'"),
    ("{ 'pragma': { 'member-name-exceptions': [ 'Sb' ] } }\n"
     "{ 'struct': 'Sa', 'data': { 'UUID': 'str' } }\n"
     "{ 'struct': 'Sb', 'data': { 'UUID': 'str' } }", '2:29',
     "the member's name 'UUID' is not valid"),
    ('{ }', '1:1', 'exactly one of'),
    ("[ ]", '1:1', "expected '{', not '['"),
    ("{ true: 'x' }", '1:3', 'expected a key in single quotes, not true'),
    ("{ 'enum': 'E', 'data': [ nothing ] }", '1:26', "not 'n'"),
    ("{ 'structure': 'S' }", '1:1', "exactly one of 'enum', 'struct'"),
    ("{ 'enum': 'E', 'struct': 'Sa' }", '1:1', 'exactly one of'),
    ("{ 'struct': [ ] }", '1:13', "the struct's name must be a string"),
    ("{ 'struct': 'small', 'data': {} }", '1:13', "the struct's name 'small' "
     'is not valid: expected a name in CamelCase'),
    ("{ 'struct': 'NodeList', 'data': {} }", '1:13', 'kept for generated'),
    ("{ 'command': 'Do', 'data': {} }", '1:14', "the command's name 'Do'"),
    ("{ 'event': 'done' }", '1:12', 'CAPITALS_WITH_UNDERSCORES'),
    ("{ 'struct': 'Sa' }", '1:1', "struct 'Sa' lacks the key 'data'"),
    ("{ 'struct': 'Sa', 'data': {}, 'size': 'x' }", '1:31',
     "unknown key 'size': expected 'struct', 'data', 'base'"),
    (STRUCT + STRUCT, '2:13', "'Sa' is defined twice, first at"),
    ("{ 'command': 'x' }\n{ 'event': 'XX' }\n{ 'command': 'x' }", '3:14',
     "'x' is defined twice"),
    # Conditions and features
    ("{ 'event': 'E', 'if': 'config' }", '1:23', 'name of a macro'),
    ("{ 'event': 'E', 'if': [ 'A' ] }", '1:23', "'if' must be"),
    ("{ 'event': 'E', 'if': { 'and': [ 'A' ] } }", '1:25',
     "expected 'all', 'any' or 'not'"),
    ("{ 'event': 'E', 'if': { 'all': [ ] } }", '1:25', 'not empty'),
    ("{ 'event': 'E', 'features': 'x' }", '1:17', 'must be a list'),
    ("{ 'event': 'E', 'features': [ 'X' ] }", '1:31', "a feature's name 'X'"),
    ("{ 'event': 'E', 'features': [ { 'if': 'A' } ] }", '1:31',
     "the feature lacks the key 'name'"),
    ("{ 'event': 'E', 'features': [ { 'name': 'f', 'since': 'A' } ] }",
     '1:46', "unknown key 'since'"),
    ("{ 'event': 'E', 'features': [ { 'name': 'f', 'if': 'a' } ] }", '1:52',
     'name of a macro'),
    ("{ 'event': 'E', 'features': [ 'f', 'g', 'f' ] }", '1:41',
     "the feature 'f' is there twice"),
    ("{ 'event': 'E', 'if': true }", '1:23', "'if' must be"),
    ("{ 'event': 'E', 'if': { } }", '1:23', "'if' must be"),
    ("{ 'event': 'E', 'if': { 'not': [ 'A' ] } }", '1:32', "'if' must be"),
    ("{ 'event': 'E', 'if': { 'any': [ 'A', { 'not': 'b' } ] } }", '1:48',
     'name of a macro'),
    ("{ 'struct': 'Sa', 'data': { 'm': { 'type': 'int', 'if': 'b' } } }",
     '1:57', 'name of a macro'),
    ("{ 'enum': 'E', 'data': [ { 'name': 'a', 'if': [ ] } ] }", '1:47',
     "'if' must be"),
    ("{ 'enum': 'E', 'data': [ { 'value': 'a' } ] }", '1:28',
     "the value has an unknown key 'value'"),
    # Enums
    ("{ 'enum': 'E', 'data': { } }", '1:16', 'must be a list'),
    ("{ 'enum': 'E', 'data': [ 'a b' ] }", '1:26', "a value's name 'a b'"),
    ("{ 'enum': 'E', 'data': [ 'a', 'a' ] }", '1:31', "clashes with 'a'"),
    ("{ 'enum': 'E', 'data': [ 'a-b', 'a_b' ] }", '1:33', 'clashes'),
    ("{ 'enum': 'E', 'data': [ [ ] ] }", '1:26', 'must be a string'),
    # Members
    ("{ 'struct': 'Sa', 'data': [ ] }", '1:27', "'data' must be an object"),
    ("{ 'struct': 'Sa', 'data': { 'm': true } }", '1:34',
     "member 'm': expected a type's name or ['TYPE']"),
    ("{ 'struct': 'Sa', 'data': { 'm': [ 'int', 'str' ] } }", '1:34',
     "['TYPE']"),
    ("{ 'struct': 'Sa', 'data': { 'm': { 'kind': 'int' } } }", '1:36',
     "unknown key 'kind': expected 'type'"),
    ("{ 'struct': 'Sa', 'data': { 'm': 'Nothing' } }", '1:34',
     "there is no type 'Nothing'"),
    ("{ 'struct': 'Sa', 'data': { 'has_m': 'int' } }", '1:29', 'reserved'),
    ("{ 'struct': 'Sa', 'data': { 'M': 'int' } }", '1:29', "name 'M'"),
    ("{ 'struct': 'Sa', 'data': { 'a-b': 'int', 'a_b': 'int' } }", '1:43',
     "'a_b' clashes with 'a-b'"),
    ("{ 'struct': 'Sa', 'data': { 'm': [ 'null' ] } }", '1:34', 'no use'),
    # Bases
    ("{ 'struct': 'Sa', 'base': 'Sa', 'data': {} }", '1:27', 'its own base'),
    (ENUM + "{ 'struct': 'Sa', 'base': 'E', 'data': {} }", '2:27',
     'must be a struct'),
    (STRUCT + "{ 'struct': 'Sb', 'base': 'Sa', 'data': { 'm': 'int' } }",
     '2:43', "member 'm' clashes with 'm'"),
    # Unions
    (ENUM + "{ 'union': 'Un', 'base': { 't': 'E' }, 'data': { } }", '2:1',
     "lacks the key 'discriminator'"),
    (ENUM + "{ 'union': 'Un', 'base': { 't': 'E' }, 'discriminator': 'x',\n"
     " 'data': { } }", '2:57', "'x' is not a member of the base"),
    (ENUM + "{ 'union': 'Un', 'base': { '*t': 'E' }, 'discriminator': 't',\n"
     " 'data': { } }", '2:58', 'mandatory member of an enum type'),
    ("{ 'union': 'Un', 'base': { 't': 'str' }, 'discriminator': 't',\n"
     " 'data': { } }", '1:59', 'mandatory member of an enum type'),
    (ENUM + STRUCT + "{ 'union': 'Un', 'base': { 't': 'E' },\n"
     "  'discriminator': 't', 'data': { 'c': 'Sa' } }", '4:35',
     "branch 'c' is not a value of 'E'"),
    (ENUM + "{ 'union': 'Un', 'base': { 't': 'E' },\n"
     "  'discriminator': 't', 'data': { 'a': 'int' } }", '3:35',
     'must be of a struct or union type'),
    (ENUM + STRUCT + "{ 'union': 'Un', 'base': { 't': 'E', 'm': 'int' },\n"
     "  'discriminator': 't', 'data': { 'a': 'Sa' } }", '4:35',
     "member 'm' of branch 'a' clashes with the base"),
    (ENUM + "{ 'union': 'Un', 'base': { 't': 'E' },\n"
     "  'discriminator': 't', 'data': { 'a': 'Un' } }", '2:12',
     "union 'Un' contains itself"),
    # Alternates
    ("{ 'alternate': 'Al', 'data': { } }", '1:22', 'must not be empty'),
    ("{ 'alternate': 'Al', 'data': { 'a': 'int', 'b': 'number' } }", '1:44',
     "branches 'b' and 'a' are both a JSON number"),
    ("{ 'alternate': 'Al', 'data': { 'a': 'any' } }", '1:32',
     'cannot be told'),
    # Commands and events
    ("{ 'command': 'x', 'boxed': 'yes' }", '1:19', 'true or false'),
    ("{ 'command': 'x', 'boxed': true }", '1:19', "'boxed' needs 'data'"),
    ("{ 'command': 'x', 'boxed': true, 'data': {} }", '1:34',
     "must be a type's name"),
    ("{ 'command': 'x', 'allow-oob': 'true' }", '1:19', 'true or false'),
    ("{ 'command': 'x', 'data': [ 'Sa' ] }", '1:27',
     "'data': expected a type's name"),
    ("{ 'command': 'x', 'data': 'Missing' }", '1:27',
     "there is no type 'Missing'"),
    ("{ 'command': 'x', 'data': 'int' }", '1:27', 'must be a struct'),
    ("{ 'command': 'x', 'returns': [ 'Missing' ] }", '1:32',
     "there is no type 'Missing'"),
    ("{ 'command': 'x', 'returns': { 'a': 'int' } }", '1:30',
     "expected a type's name or ['TYPE']"),
    ("{ 'command': 'x', 'data': { 'a': 'int', '*a': 'int' } }", '1:41',
     "member 'a' clashes with 'a'"),
    ("{ 'command': 'x', 'data': { 'u': 'int' } }", '1:29', 'reserved'),
    ("{ 'command': 'x', 'returns': [ ] }", '1:30', "written as ['TYPE']"),
    ("{ 'command': 'x-' }", '1:14', "the command's name 'x-'"),
    ("{ 'command': '2x' }", '1:14', 'begins with a letter'),
    (ENUM + STRUCT + "{ 'union': 'Un', 'base': { 't': 'E' },\n"
     "  'discriminator': 't', 'data': { 'a': 'Sa' } }\n"
     "{ 'command': 'x', 'data': 'Un' }", '5:27', "must be a struct"),
    ("{ 'event': 'EV', 'data': 'Missing' }", '1:26', 'there is no type'),
    ("{ 'event': 'EV', 'data': { 'A': 'int' } }", '1:28',
     "the member's name 'A'"),
    ("{ 'event': 'EV', 'allow-oob': true }", '1:18',
     "unknown key 'allow-oob'"),
    ("{ 'event': 'EV', 'boxed': true }", '1:18', "'boxed' needs 'data'"),
    ("{ 'event': 'EV', 'boxed': true, 'data': { } }", '1:33',
     "must be a type's name"),
    (ENUM + "{ 'event': 'EV', 'boxed': true, 'data': 'E' }", '2:41',
     'must be a struct or union'),
    ("{ 'event': 'EV' }\n{ 'event': 'EV' }", '2:12', "'EV' is defined twice"),
    (ENUM + "{ 'command': 'x', 'data': 'E' }", '2:27', 'must be a struct'),
    ("{ 'command': 'x', 'returns': true }", '1:30', "'returns'"),
    ("{ 'event': 'E', 'returns': 'int' }", '1:17', "unknown key 'returns'"),
    # Documentation
    ('##\n# @E:\n#\n', '1:1', "no closing '##'"),
    ('##\n# @E:\n text\n##\n', '3:1', "expected '# TEXT'"),
    ('##\n# @E: text\n##\n' + ENUM, '2:3', "'@NAME:' alone"),
    ('##\n# @F:\n##\n' + ENUM, '2:4', "documentation of 'F' stands before the "
     "definition of 'E'"),
    ('##\n# @E:\n##\n', '2:4', "'E' is not before its definition"),
    ('##\n# @E:\n# @c: x\n##\n' + ENUM, '3:4', "'c' is documented but is not "
     'a member'),
    ('##\n# @E:\n# @a: x\n# @a: y\n##\n' + ENUM, '4:4', 'documented twice'),
    ('##\n# @E:\n# @a:\n# @b: x\n##\n' + ENUM, '3:4', 'expected a text'),
    ('##\n# @E:\n# @a x\n##\n' + ENUM, '3:3', "expected '@NAME: TEXT'"),
    ('##\n# @E:\n# Since: soon\n##\n' + ENUM, '3:3',
     "expected a version after 'Since:'"),
    ('##\n# @E:\n# Since: 1.0\n# Since: 2.0\n##\n' + ENUM, '4:3',
     "'Since' is documented twice"),
    ('##\n# @E:\n# Returns: it\n##\n' + ENUM, '3:3',
     "'Returns:' is for commands, and 'E' is of kind enum"),
    ("##\n# @EV:\n# Errors: it\n##\n{ 'event': 'EV' }", '3:3',
     "'Errors:' is for commands"),
    ("##\n# @x:\n# Returns:\n#\n##\n{ 'command': 'x' }", '3:3',
     "expected a text after 'Returns:'"),
    ("##\n# @x:\n# Note:\n##\n{ 'command': 'x' }", '3:3',
     "expected a text after 'Note:'"),
    ("##\n# @x:\n# Return: it\n##\n{ 'command': 'x' }", '3:3',
     "expected 'Returns:', not 'Return:'"),
    ("##\n# @x:\n# Arguments:\n##\n{ 'command': 'x' }", '3:3',
     "expected '@NAME:', not 'Arguments:'"),
    ("##\n# @x:\n# TODO: more\n##\n{ 'command': 'x' }", '3:3',
     'has no place in it'),
    ("##\n# @x:\n# @a: it\n##\n{ 'command': 'x', 'data': { 'b': 'int' } }",
     '3:4', "'a' is documented but is not a member of 'x'"),
    ("##\n# @x:\n# Features:\n# @f: it\n##\n{ 'command': 'x' }", '4:4',
     "'f' is documented but is not a feature of 'x'"),
    ("{ 'pragma': { 'doc-required': true } }\n##\n# @x:\n##\n"
     "{ 'command': 'x', 'data': { 'b': 'int' } }", '5:29',
     "member 'b' of 'x' is not documented"),
    ("{ 'pragma': { 'doc-required': true } }\n##\n# @x:\n# @b: it\n##\n"
     "{ 'command': 'x',\n  'data': { 'b': { 'type': 'int', "
     "'features': [ 'f' ] } } }", '7:49',
     "feature 'f' of 'x' is not documented"),
    ("{ 'pragma': { 'doc-required': true } }\n{ 'command': 'x' }", '2:1',
     "command 'x' has no documentation"),
    ('##\n# @E:\n##\n' + "{ 'pragma': { 'doc-required': true } }\n",
     '2:4', "'E' is not before its definition"),
    ("{ 'pragma': { 'doc-required': true } }\n" + ENUM, '2:1',
     "enum 'E' has no documentation"),
    ("{ 'pragma': { 'doc-required': true } }\n##\n# @E:\n# @a: x\n##\n" + ENUM,
     '6:31', "member 'b' of 'E' is not documented"),
    ("{ 'pragma': { 'doc-required': true } }\n##\n# @EV:\n##\n"
     "{ 'event': 'EV', 'features': [ 'f' ] }", '5:32',
     "feature 'f' of 'EV' is not documented"),
]

# Schemas that are fine.
GOOD = [
    '',
    '# nothing\n',
    "{ 'pragma': { 'doc-required': false } }\n" + ENUM,
    "{ 'pragma': { 'member-name-exceptions': [ 'Sa', 'x', 'EV' ] } }\n"
    "{ 'struct': 'Sa', 'data': { 'UUID': 'str', 'E2': 'int' } }\n"
    "{ 'command': 'x', 'data': { 'Arg': 'int' } }\n"
    "{ 'event': 'EV', 'data': { 'Arg': 'int' } }",
    "{ 'command': 'device_add', 'data': {} }",
    "{ 'command': 'x-query-it', 'returns': [ 'str' ], 'features': "
    "[ 'unstable', { 'name': 'f', 'if': { 'not': 'A' } } ] }",
    "{ 'command': 'x', 'returns': 'any', 'gen': false, 'coroutine': true,\n"
    "  'allow-oob': false, 'allow-preconfig': true,\n"
    "  'success-response': false }",
    STRUCT + "{ 'command': 'x', 'data': 'Sa', 'returns': 'Sa' }",
    STRUCT + "{ 'event': 'EV', 'boxed': true, 'data': 'Sa', 'if': 'A' }",
    ENUM + STRUCT + "{ 'union': 'Un', 'base': { 't': 'E' },\n"
    "  'discriminator': 't', 'data': { 'a': { 'type': 'Sa', 'if': 'A' } } }\n"
    "{ 'command': 'x', 'boxed': true, 'data': 'Un' }\n"
    "{ 'event': 'EV', 'boxed': true, 'data': 'Un' }",
    "{ 'struct': 'Sa', 'data': { '*next': 'Sa', '*all': [ 'Sa' ] } }",
    "{ 'enum': 'E', 'data': [ ] }",
    "{ 'enum': 'E', 'prefix': 'THE_E', 'data': [ '1', 'x.y', 'A-b_c' ],\n"
    "  'if': { 'all': [ 'A', { 'any': [ 'B', 'C2_D' ] } ] } }",
    "##\n# @x:\n#\n# What it does.\n#\n# @a: an argument\n#\n# Features:\n"
    "# @f: a feature\n#\n# Returns: a thing\n#\n# Errors: never\n#\n"
    "# Note: one\n#\n# Note: two\n#\n# Example:\n#\n#     lines\n#\n"
    "# Since: 8.2.1\n##\n{ 'command': 'x', 'features': [ 'f' ],\n"
    "  'data': { 'a': 'int' }, 'returns': 'int' }",
]

REFERENCE = """##
# = A *title*
#
# About @it-all.
#
# == Part
#
# - one
#   more
# - two_
##

{ 'enum': 'E', 'data': [ 'a', { 'name': 'b', 'features': [ 'f' ] } ] }

##
# @it-all:
#
# With @E, @E-like, @x_y. and ``a_b*``.
#
#     literal *text*
#
# @x_y: first
#     second
#
#     Another.
#
# @z: w
#
# Back in the body.
#
# Features:
# @f: @z is.
#
# Returns: a list
#
# Errors: never
#
# Note: mind
#
# this
#
# Example:
#
#     -> { }
#
# Since: 8.0
##
{ 'command': 'it-all', 'if': 'CONFIG_A', 'allow-oob': true,
  'allow-preconfig': true, 'success-response': false, 'returns': [ 'E' ],
  'data': { 'x_y': 'E', '*z': { 'type': [ 'uint8' ], 'features': [ 'f' ] } } }
{ 'struct': 'Sa', 'data': { 'v': 'any' } }
{ 'event': 'DONE', 'data': 'Sa' }
"""

REFERENCE_PAGE = """A \\*title\\*
===========

About :ref:`it-all <qapi-command-it-all>`.

Part
----

- one more
- two\\_

.. _qapi-type-e:

Enum ``E``
----------

**Values**

``a``
    \\

``b``, f
    \\

.. _qapi-command-it-all:

Command ``it-all``
------------------

With :ref:`E <qapi-type-e>`, ``E-like``, ``x_y``. and ``a_b*``.

::

    literal *text*

Back in the body.

**Arguments**

``x_y`` (:ref:`E <qapi-type-e>`)
    first second

    Another.

``z`` (array of uint8, optional, f)
    w

**Returns**

array of :ref:`E <qapi-type-e>`
    a list

**Features**

``f``
    ``z`` is.

**Errors**

    never

**Note**

mind

this

**Example**

::

    -> { }

Since 8.0.

Only where ``defined(CONFIG_A)``.

It may be executed out of band. It may be used before the machine is made \
(``-preconfig``). On success there is no answer.

.. _qapi-type-sa:

Struct ``Sa``
-------------

**Members**

``v`` (any value)
    \\

.. _qapi-event-done:

Event ``DONE``
--------------

**Data**

    The members of :ref:`Sa <qapi-type-sa>`.

"""


class Compiler(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = folder.name

    def write(self, name, text):
        path = os.path.join(self.folder, name)
        with open(path, 'w', encoding='utf-8') as schema:
            schema.write(text)
        return path

    def test_bad_schemas(self):
        for text, place, message in BAD:
            with self.subTest(schema=text):
                path = self.write('bad.json', text)
                with self.assertRaises(SchemaError) as caught:
                    Schema(path)
                lines = str(caught.exception).split('\n')
                self.assertTrue(lines[-1].startswith(f'{path}:{place}: '),
                                lines[-1])
                self.assertIn(message, lines[-1])

    def test_good_schemas(self):
        for text in GOOD:
            with self.subTest(schema=text):
                schema = Schema(self.write('good.json', text))
                for generator in (Generator, CommandGenerator, EventGenerator,
                                  IntrospectGenerator):
                    output = generator(schema, 'p-')
                    self.assertTrue(output.header().endswith('#endif\n'))
                    source = output.source()
                    self.assertEqual(source.count('#if '),
                                     source.count('#endif'))

    def test_error_in_included_file(self):
        inner = self.write('inner.json', "\n{ 'enum': 'e' }")
        outer = self.write('outer.json', "# c\n{ 'include': 'inner.json' }")
        with self.assertRaises(SchemaError) as caught:
            Schema(outer)
        self.assertEqual(
            str(caught.exception).split('\n')[0],
            f'In file included from {outer}:2:14:')
        self.assertIn(f'{inner}:2:11: ', str(caught.exception))

    def test_file_is_included_once(self):
        self.write('e.json', ENUM)
        self.write('b.json', "{ 'include': 'e.json' }")
        top = self.write('top.json', "{ 'include': 'b.json' }\n"
                         "{ 'include': 'e.json' }\n" + STRUCT)
        schema = Schema(top)
        self.assertEqual([name for name in schema.types if len(name) < 3],
                         ['E', 'Sa'])

    def test_names(self):
        self.assertEqual(c_name('poll-us'), 'poll_us')
        self.assertEqual(c_name('default'), 'q_default')
        self.assertEqual(c_name('unix'), 'q_unix')
        self.assertEqual(c_name('2nd'), 'q_2nd')
        self.assertEqual(c_enum_const(None, 'NetClientDriver', 'vhost-user'),
                         'NET_CLIENT_DRIVER_VHOST_USER')
        self.assertEqual(c_enum_const(None, 'SMPConfiguration', 'x'),
                         'SMP_CONFIGURATION_X')
        self.assertEqual(c_enum_const('QT', 'Foo', '-max'), 'QT__MAX')

    def test_members_of_base_come_first(self):
        path = self.write('s.json', "{ 'struct': 'Sb', 'base': 'Sa', "
                          "'data': { '*n': [ 'str' ] } }\n" + STRUCT)
        members = Schema(path).types['Sb'].members
        self.assertEqual([(m.name, m.type.name, m.optional) for m in members],
                         [('m', 'int', False), ('n', 'strList', True)])

    def test_conditions_reach_the_output(self):
        path = self.write('s.json', "{ 'event': 'E', 'if': { 'any': [ 'A', "
                          "{ 'not': 'B' } ] } }")
        source = EventGenerator(Schema(path), '').source()
        self.assertIn('#if (defined(A) || !defined(B))\n    { "E"', source)

    def test_project_schema_is_documented(self):
        path = os.path.join(SOURCE_ROOT, 'qapi', 'qapi-schema.json')
        schema = Schema(path)
        header = Generator(schema, '').header()
        self.assertIn('NET_CLIENT_DRIVER_TAP,', header)
        self.assertTrue(re.search(r'struct Netdev \{\n    char \*id;\n'
                                  r'    NetClientDriver type;\n', header))

    def schema(self, text):
        return Schema(self.write('s.json', text))

    # Introspection

    def entries(self, text):
        """By name; types by what they are called there."""
        return {entry.name: entry
                for entry in Introspection(self.schema(text)).entries}

    def test_introspection_leaves_out_what_nothing_leads_to(self):
        entries = self.entries(ENUM + STRUCT)
        self.assertEqual(entries, {})
        entries = self.entries(ENUM + STRUCT + "{ 'event': 'EV' }")
        self.assertEqual(list(entries), ['EV', '0'])
        self.assertEqual((entries['0'].meta, entries['0'].members),
                         ('object', []))

    def test_introspection_follows_every_way(self):
        entries = self.entries(
            ENUM + STRUCT +
            "{ 'struct': 'Sb', 'data': { 'n': 'number' } }\n"
            "{ 'struct': 'Base', 'data': { 't': 'E', '*q': 'QType' } }\n"
            "{ 'alternate': 'Al', 'data': { 'o': 'Sb', 'l': [ 'size' ] } }\n"
            "{ 'union': 'Un', 'base': 'Base', 'discriminator': 't',\n"
            "  'data': { 'b': 'Sa' } }\n"
            "{ 'command': 'x', 'data': 'Sb', 'returns': [ 'Al' ] }\n"
            "{ 'event': 'EV', 'boxed': true, 'data': 'Un' }")
        kinds = {}
        for entry in entries.values():
            kinds.setdefault(entry.meta, []).append(entry.name)
        self.assertEqual(kinds['command'], ['x'])
        self.assertEqual(kinds['event'], ['EV'])
        self.assertEqual(set(kinds['builtin']), {'int', 'number'})
        self.assertEqual(len(kinds['enum']), 2)
        self.assertEqual(len(kinds['alternate']), 1)
        union = entries[entries['EV'].type]
        self.assertEqual(union.type, 't')
        self.assertEqual([(m.name, m.optional) for m in union.members],
                         [('t', False), ('q', True)])
        self.assertEqual([v.name for v in union.variants], ['a', 'b'])
        self.assertEqual(entries[union.variants[0].type].members, [])
        self.assertEqual(entries[union.variants[1].type].members[0].name, 'm')
        kind = entries[union.members[1].type]
        self.assertEqual(kind.meta, 'enum')
        self.assertEqual(kind.members[1].name, 'qnull')
        array = entries[entries['x'].ret_type]
        self.assertEqual((array.meta, array.name),
                         ('array', f'[{array.type}]'))
        self.assertEqual([item.type for item in entries[array.type].members],
                         [entries['x'].type, '[int]'])

    def test_introspection_of_integers_is_int(self):
        entries = self.entries(
            "{ 'command': 'x', 'data': { 'a': 'uint8', 'b': 'int64', 'c': "
            "'size', 'd': [ 'int16' ], 'e': [ 'uint32' ] } }")
        self.assertEqual([m.type for m in entries['0'].members],
                         ['int', 'int', 'int', '[int]', '[int]'])
        self.assertEqual(list(entries), ['x', '0', '1', 'int', '[int]'])

    def test_introspection_has_conditions(self):
        source = IntrospectGenerator(self.schema(
            "{ 'enum': 'E', 'data': [ 'a', { 'name': 'b', 'if': 'B' } ] }\n" +
            STRUCT + "{ 'union': 'Un', 'base': { 't': 'E' },\n"
            "  'discriminator': 't', 'data': {\n"
            "    'a': { 'type': 'Sa', 'if': 'A' }, 'b': 'Sa' } }\n"
            "{ 'command': 'x', 'boxed': true, 'data': 'Un', 'if': 'X',\n"
            "  'features': [ { 'name': 'f', 'if': 'F' } ] }"), '').source()
        for text in ('#if defined(X)\n    { .name = "x",',
                     '#if defined(F)\n    "f",\n#endif',
                     '#if defined(B)\n    { "b", NULL',
                     '#if defined(A)\n    { "a", "3", false, NULL },\n#endif',
                     '#if !(defined(A))\n    { "a", "1", false, NULL },',
                     '#if defined(B)\n    { "b", "3", false, NULL },'):
            self.assertIn(text, source)

    def test_introspection_tells_flags_and_features(self):
        entries = self.entries(
            "{ 'command': 'x', 'allow-oob': true, 'features': [ 'f' ] }\n"
            "{ 'command': 'y', 'data': { 'm': { 'type': 'int', 'features': "
            "[ 'g' ] } } }")
        self.assertTrue(entries['x'].allow_oob)
        self.assertFalse(entries['y'].allow_oob)
        self.assertEqual([f.name for f in entries['x'].features], ['f'])
        member = entries[entries['y'].type].members[0]
        self.assertEqual([f.name for f in member.features], ['g'])

    # Documentation

    def test_reference_page(self):
        page = Reference(self.schema(REFERENCE)).page('s')
        self.assertEqual(page, REFERENCE_PAGE)

    def test_reference_index(self):
        reference = Reference(self.schema(REFERENCE))
        self.assertEqual(reference.index('command'),
                         '- :ref:`it-all <qapi-command-it-all>`\n')
        self.assertEqual(reference.index('event'),
                         '- :ref:`DONE <qapi-event-done>`\n')
        self.assertEqual(reference.index('type'),
                         '- :ref:`E <qapi-type-e>`\n'
                         '- :ref:`Sa <qapi-type-sa>`\n')
        self.assertEqual(reference.modules(), ['s'])

    def test_help_is_the_first_paragraph(self):
        self.assertEqual(first_paragraph(['']), '')
        self.assertEqual(first_paragraph(['one', '    two @x', '', 'three']),
                         'one two x')
        self.assertEqual(first_paragraph(['a (since 2.7; default: 0)']),
                         'a (default: 0)')
        self.assertEqual(first_paragraph(['a (default: 0; since 2.7)']),
                         'a (default: 0)')
        self.assertEqual(first_paragraph(['a (since 2.7)']), 'a')

    def test_help_reaches_the_tables(self):
        source = Generator(self.schema(
            '##\n# @Sa:\n# @m: say "\\n"\n##\n' + STRUCT), '').source()
        self.assertIn('false, NULL,\n      "say \\"\\\\n\\"" },', source)

    def test_every_module_has_a_page(self):
        schema = Schema(os.path.join(SOURCE_ROOT, 'qapi', 'qapi-schema.json'))
        pages = os.path.join(SOURCE_ROOT, 'docs', 'interop')
        with open(os.path.join(pages, 'index.rst'), encoding='utf-8') as index:
            index = index.read()
        for module in Reference(schema).modules():
            with self.subTest(module=module):
                self.assertIn(f'   qmp/{module}\n', index)
                path = os.path.join(pages, 'qmp', module + '.rst')
                with open(path, encoding='utf-8') as page:
                    self.assertEqual(page.read(),
                                     f'.. qapi-module:: {module}\n')


if __name__ == '__main__':
    unittest.main()
