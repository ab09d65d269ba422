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
    # Returns: what a command returns
    #
    # Errors: when it fails
    #
    # Note: what else there is to know; also Notes:
    #
    # Example:
    #
    #     lines that are shown as they are; also Examples:
    #
    # Since: 1.0
    ##

A block whose first text is not `@Symbol:` is free text; its lines `= Title`
and `== Title` begin chapters. In any text, @name is a name of the schema,
paragraphs stand between empty lines, indented ones are shown as they are, and
those that begin with `- ` are items of a list.
"""

import re

from qapi.error import SchemaError, Where

ONCE = ('Returns', 'Errors', 'Since')
OFTEN = ('Note', 'Notes', 'Example', 'Examples')
WRONG = {'Return': 'Returns', 'Error': 'Errors', 'Feature': 'Features',
         'Members': '@NAME', 'Arguments': '@NAME', 'Argument': '@NAME'}


class DocName(str):
    where = None


class Doc:
    """symbol (None: free text), body, members and features (name to text),
    tags (Returns, Errors, Since to text), notes (pairs of tag and text).
    A text is a list of lines."""

    def __init__(self, token):
        self.where = token.where
        self.symbol = None
        self.body = []
        self.members = {}
        self.features = {}
        self.tags = {}
        self.notes = []
        self._section = self.body
        self._ends = False  # the section, at a line that is not indented
        self._in_features = False
        lines = token.value
        while lines and not lines[0][1]:
            lines = lines[1:]
        if lines and lines[0][1].startswith('@'):
            self._symbol(*lines[0])
            for row, line in lines[1:]:
                self._line(row, line)
            self._check_texts()
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
        tag = re.match(r'([A-Za-z]+):(?:\s+(.*))?$', line)
        if member:
            sections = self.features if self._in_features else self.members
            name = self._unique(row, 1, member.group(1), sections)
            sections[name] = self._begin(member.group(2), True)
        elif line.startswith('@'):
            raise SchemaError(self._where(row), "expected '@NAME: TEXT'")
        elif line == 'Features:':
            self._in_features = True
            self._begin('', True)
        elif tag:
            self._tag(row, line, *tag.groups())
        else:
            self._text(line)

    def _tag(self, row, line, tag, text):
        if tag in ONCE:
            name = self._unique(row, 0, tag, self.tags)
            self.tags[name] = self._begin(text, True)
        elif tag in OFTEN:
            self.notes.append((self._name(row, 0, tag),
                               self._begin(text, False)))
        elif tag in WRONG:
            raise SchemaError(self._where(row), f"expected '{WRONG[tag]}:', "
                              f"not '{tag}:'")
        elif tag in ('TODO', 'FIXME'):
            raise SchemaError(self._where(row), 'documentation is of what is '
                              f"done: '{tag}:' has no place in it")
        else:
            self._text(line)

    def _text(self, line):
        plain = line and not line.startswith(' ')
        if plain and self._ends and self._section and not self._section[-1]:
            self._section = self.body
            self._section.append('')
            self._ends = False
        self._section.append(line)

    def _unique(self, row, column, name, sections):
        name = self._name(row, column, name)
        if name in sections:
            raise SchemaError(name.where, f"'{name}' is documented twice")
        return name

    def _begin(self, text, ends):
        self._section = [text] if text else []
        self._ends = ends
        return self._section

    def _check_texts(self):
        for name, text in list(self.tags.items()) + self.notes:
            if not any(text):
                raise SchemaError(name.where, f"expected a text after "
                                  f"'{name}:'")
        since = self.tags.get('Since')
        if since and not re.fullmatch(r'\d+\.\d+(\.\d+)?',
                                      ' '.join(since).strip()):
            raise SchemaError(
                next(tag.where for tag in self.tags if tag == 'Since'),
                "expected a version after 'Since:', like 6.2")

    def check(self, kind, entity, members, features, required):
        """Compares with what is defined: names of members and features."""
        if self.symbol != entity.name:
            raise SchemaError(
                self.symbol.where, f"documentation of '{self.symbol}' stands "
                f"before the definition of '{entity.name}'")
        for tag in self.tags:
            if tag != 'Since' and kind != 'command':
                raise SchemaError(tag.where, f"'{tag}:' is for commands, and "
                                  f"'{entity.name}' is of kind {kind}")
        self._check_names(self.members, members, 'member', entity, required)
        self._check_names(self.features, features, 'feature', entity, required)

    def _check_names(self, sections, defined, what, entity, required):
        for name, text in sections.items():
            if name not in defined:
                raise SchemaError(name.where, f"'{name}' is documented but is "
                                  f"not a {what} of '{entity.name}'")
            if not any(text):
                raise SchemaError(name.where,
                                  f"expected a text about {what} '{name}'")
        for name in defined:
            if required and name not in sections:
                raise SchemaError(getattr(name, 'where', self.where),
                                  f"{what} '{name}' of '{entity.name}' is "
                                  'not documented')


def first_paragraph(lines):
    """The first paragraph on one line, @ and "(since ...)" removed."""
    text = []
    for line in lines:
        if not line.strip() and text:
            break
        text += line.split()
    text = re.sub(r'@([A-Za-z])', r'\1', ' '.join(text))
    text = re.sub(r' ?\(since [0-9.]+\)', '', text)
    return re.sub(r'\(since [0-9.]+[;,] |[;,] since [0-9.]+(?=\))',
                  lambda match: '(' if match.group(0)[0] == '(' else '', text)
