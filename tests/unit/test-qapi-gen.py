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
from qapi.calls import EventGenerator  # noqa: E402
from qapi.cgen import Generator  # noqa: E402
from qapi.error import SchemaError  # noqa: E402
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
    ("{ 'pragma': { 'doc-required': true } }\n" + ENUM, '2:1',
     "enum 'E' has no documentation"),
    ("{ 'pragma': { 'doc-required': true } }\n##\n# @E:\n# @a: x\n##\n" + ENUM,
     '6:31', "member 'b' of 'E' is not documented"),
    ("{ 'pragma': { 'doc-required': true } }\n##\n# @EV:\n##\n"
     "{ 'event': 'EV', 'features': [ 'f' ] }", '5:32',
     "feature 'f' of 'EV' is not documented"),
]


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


if __name__ == '__main__':
    unittest.main()
