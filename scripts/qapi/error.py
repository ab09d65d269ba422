# SPDX-License-Identifier: GPL-2.0-or-later
"""Where something stands in a schema, and what is wrong with it."""


class Where:
    """A place: file, line, column (from 1), and the include that led there."""

    __slots__ = ('path', 'line', 'column', 'included_from')

    def __init__(self, path, line, column, included_from=None):
        self.path = path
        self.line = line
        self.column = column
        self.included_from = included_from

    def __str__(self):
        return f'{self.path}:{self.line}:{self.column}'


class SchemaError(Exception):
    """One mistake; its text is "FILE:LINE:COLUMN: what is wrong"."""

    def __init__(self, where, message):
        super().__init__(message)
        self.where = where
        self.message = message

    def __str__(self):
        lines = []
        parent = self.where.included_from
        while parent:
            lines.insert(0, f'In file included from {parent}:')
            parent = parent.included_from
        lines.append(f'{self.where}: {self.message}')
        return '\n'.join(lines)
