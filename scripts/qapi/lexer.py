# SPDX-License-Identifier: GPL-2.0-or-later
"""Text of a schema file to tokens."""

import re

from qapi.error import SchemaError, Where


class Token:
    """kind is one of { } [ ] : , 'string' 'bool' 'doc' 'end'."""

    __slots__ = ('kind', 'value', 'where')

    def __init__(self, kind, value, where):
        self.kind = kind
        self.value = value
        self.where = where

    def describe(self):
        if self.kind == 'string':
            return f"string '{self.value}'"
        if self.kind == 'bool':
            return str(self.value).lower()
        if self.kind == 'doc':
            return 'documentation block'
        if self.kind == 'end':
            return 'end of file'
        return f"'{self.kind}'"


class Lexer:
    """Iterates over the tokens of one file; the last is of kind 'end'."""

    def __init__(self, path, text, included_from=None):
        self.path = path
        self.lines = text.removesuffix('\n').split('\n')
        self.included_from = included_from
        self.row = 0
        self.col = 0

    def where(self, row=None, col=None):
        return Where(self.path,
                     (self.row if row is None else row) + 1,
                     (self.col if col is None else col) + 1,
                     self.included_from)

    def error(self, message):
        return SchemaError(self.where(), message)

    def tokens(self):
        while self.row < len(self.lines):
            line = self.lines[self.row]
            if self.col == 0 and line.rstrip() == '##':
                yield self._doc()
            elif self.col >= len(line) or line[self.col] == '#':
                self.row += 1
                self.col = 0
            elif line[self.col] in ' \t\r':
                self.col += 1
            else:
                yield self._token(line)
        self.row = len(self.lines) - 1
        self.col = len(self.lines[-1])
        yield Token('end', None, self.where())

    def _token(self, line):
        where = self.where()
        char = line[self.col]
        if char in '{}[]:,':
            self.col += 1
            return Token(char, char, where)
        if char == "'":
            return self._string(line, where)
        word = re.match(r'[A-Za-z0-9_.-]+', line[self.col:])
        if word and word.group(0) in ('true', 'false'):
            self.col += len(word.group(0))
            return Token('bool', word.group(0) == 'true', where)
        if char == '"':
            raise self.error('strings are written in single quotes')
        raise self.error('expected one of {, }, [, ], :, comma, a string in '
                         f"single quotes, true or false, not '{char}'")

    def _string(self, line, where):
        end = line.find("'", self.col + 1)
        if end < 0:
            raise self.error("the string has no closing ' on its line")
        value = line[self.col + 1:end]
        bad = re.search(r'[^ -~]|\\', value)
        if bad:
            self.col += 1 + bad.start()
            raise self.error('a string is printable ASCII without backslash')
        self.col = end + 1
        return Token('string', value, where)

    def _doc(self):
        """From a line `##` to the next one: the lines between, unmarked."""
        where = self.where()
        text = []
        self.row += 1
        while self.row < len(self.lines):
            line = self.lines[self.row].rstrip()
            if line == '##':
                self.row += 1
                return Token('doc', text, where)
            if line == '#':
                text.append((self.row, ''))
            elif line.startswith('# '):
                text.append((self.row, line[2:]))
            else:
                raise self.error("in a documentation block, expected '# TEXT' "
                                 "or the closing '##'")
            self.row += 1
        raise SchemaError(where, "the documentation block has no closing '##'")
