# SPDX-License-Identifier: GPL-2.0-or-later
"""Documentation blocks.

    ##
    # @Symbol:
    #
    # What it is.
    #
    # @member: what it means (since 1.0)
    #
    # Features:
    # @feature: what it says
    #
    # Returns: ... / Since: ... / Note: ... / Example: ...
    ##

A block whose first text is not `@Symbol:` is free text, for a chapter.
"""

import re

from qapi.error import SchemaError, Where

TAGS = ('Returns', 'Errors', 'Since', 'Note', 'Notes', 'Example', 'Examples')


class DocName(str):
    where = None


class Doc:
    """symbol (None: free text), body, members, features: name to text."""

    def __init__(self, token):
        self.where = token.where
        self.symbol = None
        self.body = []
        self.members = {}
        self.features = {}
        self.tags = {}
        self._section = self.body
        self._in_features = False
        lines = token.value
        while lines and not lines[0][1]:
            lines = lines[1:]
        if lines and lines[0][1].startswith('@'):
            self._symbol(*lines[0])
            for row, line in lines[1:]:
                self._line(row, line)
        else:
            self.body += [line for _, line in lines]

    def _where(self, row, column=0):
        return Where(self.where.path, row + 1, column + 3,
                     self.where.included_from)

    def _name(self, row, column, text):
        name = DocName(text)
        name.where = self._where(row, column)
        return name

    def _symbol(self, row, line):
        match = re.fullmatch(r'@([^: ]+):', line)
        if not match:
            raise SchemaError(self._where(row), "expected '@NAME:' alone on "
                              'the first line of the documentation')
        self.symbol = self._name(row, 1, match.group(1))

    def _line(self, row, line):
        member = re.match(r'@([A-Za-z0-9_.-]+):\s*(.*)', line)
        tag = re.match(r'([A-Z][a-z]+):\s*(.*)', line)
        if member:
            self._begin(row, 1, member.group(1), member.group(2),
                        self.features if self._in_features else self.members)
        elif line.startswith('@'):
            raise SchemaError(self._where(row), "expected '@NAME: TEXT'")
        elif line == 'Features:':
            self._in_features = True
            self._section = []
        elif tag and tag.group(1) in TAGS:
            self._begin(row, 0, tag.group(1), tag.group(2), self.tags)
        else:
            self._section.append(line)

    def _begin(self, row, column, name, text, sections):
        name = self._name(row, column, name)
        if name in sections:
            raise SchemaError(name.where, f"'{name}' is documented twice")
        self._section = sections[name] = [text] if text else []

    def check(self, expression_name, members, features, required):
        """Compares with what is defined: names of members and features."""
        if self.symbol != expression_name:
            raise SchemaError(
                self.symbol.where, f"documentation of '{self.symbol}' stands "
                f"before the definition of '{expression_name}'")
        for sections, defined, what in (
                (self.members, members, 'member'),
                (self.features, features, 'feature')):
            for name, text in sections.items():
                if name not in defined:
                    raise SchemaError(name.where, f"'{name}' is documented "
                                      f'but is not a {what} of '
                                      f"'{expression_name}'")
                if not any(text):
                    raise SchemaError(name.where, 'expected a text about '
                                      f"{what} '{name}'")
            for name in defined:
                if required and name not in sections:
                    raise SchemaError(getattr(name, 'where', self.where),
                                      f"{what} '{name}' of "
                                      f"'{expression_name}' is not documented")
