# SPDX-License-Identifier: GPL-2.0-or-later
"""Sphinx extension: the reference of the management protocol.

A line `.. qapi-module:: NAME` of a page becomes all that qapi/NAME.json says,
`.. qapi-index:: KIND` the list of all commands, events or types.
"""

import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "scripts"))

# pylint: disable=wrong-import-position
from sphinx.errors import ExtensionError  # noqa: E402

from qapi.docgen import Reference  # noqa: E402
from qapi.error import SchemaError  # noqa: E402
from qapi.schema import Schema  # noqa: E402

SCHEMA = ROOT / "qapi" / "qapi-schema.json"
LINE = re.compile(r"^\.\. qapi-(module|index):: (\S+)$", re.M)


def read_schema(app):
    try:
        app.qapi_reference = Reference(Schema(str(SCHEMA)))
    except SchemaError as error:
        raise ExtensionError(str(error)) from error


def replace(app, docname, source):
    """Puts the generated text where the lines ask for it."""
    reference = app.qapi_reference

    def text(match):
        what, name = match.groups()
        for path in reference.schema.modules:
            app.env.note_dependency(path)
        return reference.page(name) if what == "module" else reference.index(name)

    source[0] = LINE.sub(text, source[0])


def setup(app):
    app.connect("builder-inited", read_schema)
    app.connect("source-read", replace)
    return {"version": "1", "parallel_read_safe": True}
