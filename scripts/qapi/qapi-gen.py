#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""qapi-gen.py -o OUTDIR [-p PREFIX] SCHEMA: writes
PREFIXqapi-{types,commands,events,introspect}.[ch]."""

import argparse
import os
import sys

# This folder is a package; its modules are not to be found by bare names.
sys.dont_write_bytecode = True
sys.path[0] = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))

# pylint: disable=wrong-import-position
from qapi.calls import CommandGenerator, EventGenerator  # noqa: E402
from qapi.cgen import Generator  # noqa: E402
from qapi.error import SchemaError  # noqa: E402
from qapi.introspect import IntrospectGenerator  # noqa: E402
from qapi.schema import Schema  # noqa: E402


def main():
    parser = argparse.ArgumentParser(
        description='Compile a QAPI schema to C types and tables.')
    parser.add_argument('schema', help='the schema, FILE.json')
    parser.add_argument('-o', '--output-dir', required=True, metavar='OUTDIR')
    parser.add_argument('-p', '--prefix', default='',
                        help='what the names of the files begin with')
    args = parser.parse_args()
    try:
        schema = Schema(args.schema)
        files = {}
        for name, generator in (('types', Generator),
                                ('commands', CommandGenerator),
                                ('events', EventGenerator),
                                ('introspect', IntrospectGenerator)):
            output = generator(schema, args.prefix)
            files[f'qapi-{name}.h'] = output.header()
            files[f'qapi-{name}.c'] = output.source()
        os.makedirs(args.output_dir, exist_ok=True)
        for name, text in files.items():
            path = os.path.join(args.output_dir, args.prefix + name)
            with open(path, 'w', encoding='utf-8') as output:
                output.write(text)
    except SchemaError as error:
        print(error, file=sys.stderr)
        return 1
    except OSError as error:
        print(f'{error.filename}: {error.strerror}', file=sys.stderr)
        return 1
    return 0


if __name__ == '__main__':
    sys.exit(main())
