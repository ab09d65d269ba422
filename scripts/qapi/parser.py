# SPDX-License-Identifier: GPL-2.0-or-later
"""Tokens to expressions: objects, lists and strings that know their place."""

import os

from qapi.doc import Doc
from qapi.error import SchemaError
from qapi.lexer import Lexer

MAX_DEPTH = 16


class Text(str):
    """A string of the schema, and where it stands."""

    where = None

    def __new__(cls, value, where):
        text = super().__new__(cls, value)
        text.where = where
        return text


class Flag:
    """true or false, and where it stands."""

    def __init__(self, value, where):
        self.value = value
        self.where = where


class Object(dict):
    """Keys are Text."""

    def __init__(self, where):
        super().__init__()
        self.where = where

    def key(self, name):
        """The key equal to @name, as it was written."""
        return next(key for key in self if key == name)


class List(list):
    def __init__(self, where):
        super().__init__()
        self.where = where


class Expression:
    """One top-level { ... } with the documentation before it (or None)."""

    def __init__(self, value, doc):
        self.value = value
        self.doc = doc


class Parser:
    """Reads @path and what it includes, each file once, into expressions.

    texts: documentation blocks that belong to no expression; files: absolute
    paths of all files, in the order in which they were met.
    """

    def __init__(self, path, included_from=None, files=None, stack=()):
        self.path = path
        self.files = files if files is not None else []
        self.stack = stack + (os.path.abspath(path),)
        self.files.append(os.path.abspath(path))
        self.expressions = []
        self.texts = []
        self.pragmas = []
        with open(path, encoding='utf-8') as schema:
            self.lexer = Lexer(path, schema.read(), included_from)
        self.token_source = self.lexer.tokens()
        self.token = next(self.token_source)
        self._parse()

    def _next(self):
        token = self.token
        if token.kind != 'end':
            self.token = next(self.token_source)
        return token

    def _expect(self, kind, what):
        if self.token.kind != kind:
            raise SchemaError(self.token.where,
                              f'expected {what}, not {self.token.describe()}')
        return self._next()

    def _parse(self):
        doc = None
        while self.token.kind != 'end':
            if self.token.kind == 'doc':
                self._check_used(doc)
                doc = Doc(self._next())
                if not doc.symbol:
                    self.texts.append(doc)
                    doc = None
                continue
            if self.token.kind != '{':
                raise SchemaError(
                    self.token.where,
                    f"expected '{{', not {self.token.describe()}")
            value = self._value(0)
            if 'include' in value or 'pragma' in value:
                self._check_used(doc)
                self._directive(value)
            else:
                self.expressions.append(
                    Expression(value, doc))
            doc = None
        self._check_used(doc)

    @staticmethod
    def _check_used(doc):
        if doc:
            raise SchemaError(doc.symbol.where, 'the documentation of '
                              f"'{doc.symbol}' is not before its definition")

    def _value(self, depth):
        token = self.token
        if depth > MAX_DEPTH:
            raise SchemaError(token.where,
                              f'nested more than {MAX_DEPTH} deep')
        if token.kind == '{':
            return self._object(depth)
        if token.kind == '[':
            return self._list(depth)
        if token.kind == 'string':
            return Text(self._next().value, token.where)
        if token.kind == 'bool':
            return Flag(self._next().value, token.where)
        raise SchemaError(token.where, "expected a string, true, false, '{' or "
                          f"'[', not {token.describe()}")

    def _object(self, depth):
        result = Object(self._next().where)
        if self.token.kind == '}':
            self._next()
            return result
        while True:
            token = self._expect('string', 'a key in single quotes')
            key = Text(token.value, token.where)
            if key in result:
                raise SchemaError(key.where, f"the key '{key}' is there twice")
            self._expect(':', f"':' after the key '{key}'")
            result[key] = self._value(depth + 1)
            if self.token.kind == '}':
                self._next()
                return result
            self._expect(',', "',' or '}'")

    def _list(self, depth):
        result = List(self._next().where)
        if self.token.kind == ']':
            self._next()
            return result
        while True:
            result.append(self._value(depth + 1))
            if self.token.kind == ']':
                self._next()
                return result
            self._expect(',', "',' or ']'")

    def _directive(self, value):
        if len(value) != 1:
            raise SchemaError(value.where,
                              'include and pragma stand alone in their object')
        key, argument = next(iter(value.items()))
        if key == 'pragma':
            if not isinstance(argument, Object):
                raise SchemaError(key.where, "'pragma' must be an object")
            self.pragmas.append(argument)
        else:
            self._include(key, argument)

    def _include(self, key, name):
        if not isinstance(name, Text):
            raise SchemaError(key.where, "'include' must be a file name")
        path = os.path.join(os.path.dirname(self.path), name)
        if os.path.abspath(path) in self.stack:
            raise SchemaError(name.where, f"'{name}' includes itself")
        if os.path.abspath(path) in self.files:
            return
        try:
            child = Parser(path, name.where, self.files, self.stack)
        except OSError as error:
            raise SchemaError(
                name.where,
                f"cannot read '{path}': {error.strerror}") from error
        self.expressions += child.expressions
        self.texts += child.texts
        self.pragmas += child.pragmas
