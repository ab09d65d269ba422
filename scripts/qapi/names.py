# SPDX-License-Identifier: GPL-2.0-or-later
"""Names of the schema to names of C."""

import re

# Words that cannot be a C identifier here: keywords up to C23, the operators'
# names, and what compilers define as macros.
RESERVED = frozenset('''
auto break case char const continue default do double else enum extern float
for goto if inline int long register restrict return short signed sizeof static
struct switch typedef union unsigned void volatile while
_Alignas _Alignof _Atomic _Bool _Complex _Generic _Imaginary _Noreturn
_Static_assert _Thread_local alignas alignof bool constexpr false nullptr
static_assert thread_local true typeof typeof_unqual asm
and and_eq bitand bitor compl not not_eq or or_eq xor xor_eq
unix linux i386 errno stdin stdout stderr
'''.split())


def c_name(name):
    """@name as a C identifier."""
    name = re.sub('[^A-Za-z0-9_]', '_', name)
    if name in RESERVED or name[0].isdigit():
        return 'q_' + name
    return name


def upper(name):
    """CamelCase, also with an acronym in it, to CAPITALS_WITH_UNDERSCORES."""
    name = re.sub('([a-z0-9])([A-Z])', r'\1_\2', name)
    name = re.sub('([A-Z])([A-Z][a-z])', r'\1_\2', name)
    return re.sub('[^A-Za-z0-9]', '_', name).upper()


def c_enum_const(prefix, type_name, value):
    """The constant of an enum's value: NET_CLIENT_DRIVER_TAP."""
    value = re.sub('[^A-Za-z0-9]', '_', value).upper()
    return f'{prefix or upper(type_name)}_{value}'
