# SPDX-License-Identifier: GPL-2.0-or-later
"""Reference pages in reStructuredText, from the documentation blocks."""

import os
import re

from qapi.schema import ListType

PLAIN = {'str': 'string', 'bool': 'boolean', 'any': 'any value',
         'int': 'integer', 'number': 'number', 'size': 'size in bytes',
         'null': 'null', 'QType': 'QType'}


def escape(text):
    """Plain text to reST; ``literals`` stay what they are."""
    parts = re.split(r'(``[^`]+``)', text)
    return ''.join(part if i % 2 else re.sub(r'([\\*`|_])', r'\\\1', part)
                   for i, part in enumerate(parts))


def indent(lines, depth):
    return [' ' * depth + line if line else '' for line in lines]


def dedent(lines):
    depth = min(len(line) - len(line.lstrip()) for line in lines
                if line.strip())
    return [line[depth:] for line in lines]


def heading(text, underline):
    return [text, underline * len(text), '']


def paragraphs(lines):
    """Runs of lines between empty ones."""
    run = []
    for line in list(lines) + ['']:
        if line.strip():
            run.append(line.rstrip())
        elif run:
            yield run
            run = []


class Reference:
    """page(module): the text about all that qapi/MODULE.json defines."""

    def __init__(self, schema):
        self.schema = schema
        self._labels = {}
        self._items = {}  # module: what it defines, with its texts
        for doc in schema.texts:
            self._place(doc.where, 'text', doc)
        for type_ in schema.types.values():
            if type_.kind != 'builtin' and not getattr(type_, 'implicit', 0):
                self._add('type', type_)
        for call in schema.commands:
            self._add('command', call)
        for call in schema.events:
            self._add('event', call)
        for items in self._items.values():
            items.sort(key=lambda item: item[0])

    def _place(self, where, kind, entity):
        module = os.path.basename(where.path).removesuffix('.json')
        self._items.setdefault(module, []).append((where.line, kind, entity))

    def _add(self, kind, entity):
        label = re.sub('[^a-z0-9]+', '-', entity.name.lower())
        self._labels[str(entity.name)] = f'qapi-{kind}-{label}'
        self._place(entity.where, kind, entity)

    def modules(self):
        """Those that define something."""
        return [module for module, items in self._items.items()
                if any(kind != 'text' for _, kind, _ in items)]

    def page(self, module):
        """All of one page."""
        lines = []
        for _, kind, entity in self._items.get(module, ()):
            lines += self._free_text(entity) if kind == 'text' \
                else self._entity(kind, entity)
        return '\n'.join(lines) + '\n'

    def index(self, kind):
        """A list of all commands, events or types."""
        table = {'command': self.schema.commands, 'event': self.schema.events,
                 'type': [type_ for type_ in self.schema.types.values()
                          if type_.name in self._labels]}[kind]
        names = sorted(str(entity.name) for entity in table
                       if self._labels[entity.name].startswith(f'qapi-{kind}'))
        return '\n'.join(f'- {self._link(name)}' for name in names) + '\n'

    # Text

    def _link(self, name):
        return f':ref:`{name} <{self._labels[name]}>`'

    def _inline(self, lines):
        """Joined lines of a paragraph, with links where names stand."""
        def name(match):
            known = match.group(1) in self._labels
            return self._link(match.group(1)) if known \
                else f'``{match.group(1)}``'

        parts = re.split(r'(?<!\w)(@[A-Za-z](?:[A-Za-z0-9_.-]*[A-Za-z0-9])?)',
                         ' '.join(line.strip() for line in lines))
        text = ''
        for i, part in enumerate(parts):
            if i % 2:
                # Inline markup ends where no letter follows.
                part = re.sub('@(.*)', name, part)
                after = parts[i + 1]
                text += part + ('\\ ' if re.match(r'\w', after) else '')
            else:
                text += escape(part)
        return text

    def _body(self, lines, literal=True):
        """A text of several paragraphs."""
        result = []
        for run in paragraphs(lines):
            if literal and run[0].startswith(' '):
                result += ['::', '', *indent(dedent(run), 4), '']
            elif re.match(r'\s*- ', run[0]):
                result += self._list(run)
            else:
                result += [self._inline(run), '']
        return result

    def _list(self, run):
        items = []
        for line in run:
            if re.match(r'\s*- ', line):
                items.append([line.strip()[2:]])
            else:
                items[-1].append(line)
        return [f'- {self._inline(item)}' for item in items] + ['']

    def _free_text(self, doc):
        result = []
        rest = []
        for line in doc.body:
            title = re.match(r'(=+) (.*)', line)
            if title:
                result += self._body(rest)
                rest = []
                result += heading(escape(title.group(2)),
                                  '=-~'[min(len(title.group(1)), 3) - 1])
            else:
                rest.append(line)
        return result + self._body(rest)

    # Definitions

    def _type(self, type_):
        if isinstance(type_, ListType):
            return f'array of {self._type(type_.element)}'
        if type_.kind == 'builtin':
            return PLAIN.get(str(type_.name), str(type_.name))
        return self._link(str(type_.name))

    def _entity(self, kind, entity):
        title = {'command': 'Command', 'event': 'Event'}.get(
            kind, getattr(entity, 'kind', '').capitalize())
        doc = entity.doc
        result = [f'.. _{self._labels[entity.name]}:', '',
                  *heading(f'{title} ``{entity.name}``', '-')]
        result += self._body(doc.body if doc else ())
        result += self._contents(kind, entity)
        for section in (self._features(entity), doc and self._tags(entity),
                        self._condition(entity), self._flags(entity)):
            result += section or []
        return result

    def _features(self, entity):
        """Of the entity and of its members."""
        texts = dict(entity.doc.features) if entity.doc else {}
        for feature in entity.features:
            texts.setdefault(feature.name, ())
        return self._fields('Features', (
            (f'``{name}``', text) for name, text in texts.items()))

    def _tags(self, entity):
        doc = entity.doc
        result = []
        if 'Errors' in doc.tags:
            result += self._fields('Errors', [('', doc.tags['Errors'])])
        for tag, text in doc.notes:
            result += [f'**{tag}**', '']
            if tag.startswith('Example'):
                lines = '\n'.join(text).strip('\n').split('\n')
                result += ['::', '', *indent(dedent(lines), 4), '']
            else:
                result += self._body(text)
        if 'Since' in doc.tags:
            result += [f'Since {" ".join(doc.tags["Since"]).strip()}.', '']
        return result

    @staticmethod
    def _condition(entity):
        return [f'Only where ``{entity.cond}``.', ''] if entity.cond else []

    @staticmethod
    def _flags(entity):
        flags = getattr(entity, 'flags', None) or {}
        says = []
        if flags.get('allow-oob'):
            says.append('It may be executed out of band.')
        if flags.get('allow-preconfig'):
            says.append('It may be used before the machine is made '
                        '(``-preconfig``).')
        if not flags.get('success-response', True):
            says.append('On success there is no answer.')
        return [' '.join(says), ''] if says else []

    def _fields(self, title, fields):
        """A definition list: pairs of a term and a text's lines."""
        result = []
        for term, text in fields:
            lines = list(text)
            if lines and any(line.strip() for line in lines[1:]):
                lines[1:] = dedent(lines[1:])
            body = self._body(lines)
            if term:
                result += [term, *(indent(body, 4) or ['    \\', ''])]
            else:
                result += indent(body, 4)
        return [f'**{title}**', '', *result] if result else []

    def _member(self, member):
        says = [self._type(member.type)]
        if member.optional:
            says.append('optional')
        says += [str(feature.name) for feature in member.features]
        if member.cond:
            says.append(f'only where ``{member.cond}``')
        return f'``{member.name}`` ({", ".join(says)})'

    def _members(self, title, members):
        return self._fields(title, ((self._member(member), member.doc or ())
                                    for member in members))

    def _contents(self, kind, entity):
        if kind in ('command', 'event'):
            return self._call(kind, entity)
        if entity.kind == 'enum':
            return self._fields('Values', (
                (', '.join([f'``{value.name}``'] + [
                    str(feature.name) for feature in value.features]),
                 value.doc or ()) for value in entity.values))
        if entity.kind == 'alternate':
            return self._members('One of', entity.members)
        result = self._members('Members', entity.own_members)
        if entity.base:
            result += [f'And the members of {self._type(entity.base)}.', '']
        for branch in entity.variants or ():
            result += [f'- with ``{entity.tag.name}`` ``{branch.name}``: the '
                       f'members of {self._type(branch.type)}']
        return result + [''] if entity.variants else result

    def _call(self, kind, entity):
        title = 'Arguments' if kind == 'command' else 'Data'
        type_ = entity.arg_type
        result = []
        if type_ and getattr(type_, 'implicit', False):
            result = self._members(title, type_.own_members)
        elif type_:
            result = [f'**{title}**', '',
                      f'    The members of {self._type(type_)}.', '']
        returns = entity.doc.tags.get('Returns', ()) if entity.doc else ()
        if entity.ret_type or returns:
            term = self._type(entity.ret_type) if entity.ret_type else ''
            result += self._fields('Returns', [(term, returns)])
        return result
