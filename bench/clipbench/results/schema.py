"""The JSON schemas of the files that results are, made from the types that check them."""

from __future__ import annotations

import inspect

import msgspec

from clipbench.errors import UnknownName
from clipbench.files.typed import LARGEST
from clipbench.plugins.describe import arguments_of
from clipbench.results.model import Result
from clipbench.results.reported import Reported

DIALECT = "https://json-schema.org/draft/2020-12/schema"
SCHEMAS: dict[str, type[msgspec.Struct]] = {"result": Result, "reported": Reported}


def json_schema(name: str) -> dict[str, object]:
    """Return the JSON schema of a file.

    A field has the meaning that the docstring of its type gives; the words that say what it must be
    are those of the message that refuses it. What must fit together, such as counts and intervals,
    a schema cannot say.

    Args:
        name: one of `SCHEMAS`.

    Raises:
        UnknownName: there is no such schema.
    """
    if name not in SCHEMAS:
        raise UnknownName("schema", name, SCHEMAS)
    (top,), parts = msgspec.json.schema_components([SCHEMAS[name]], ref_template="#/$defs/{name}")
    for part in parts.values():
        text = part.get("description")
        part["description"] = inspect.cleandoc(text or "").partition("\n\n")[0]
        for field, meaning in arguments_of(text).items():
            part["properties"][field] = _told(part["properties"][field], meaning)
    return {"$schema": DIALECT, **top, "$defs": {key: _plain(parts[key]) for key in sorted(parts)}}


def _told(schema: dict[str, object], meaning: str) -> dict[str, object]:
    """Return the schema of a field with its meaning in place of what it must be."""
    must = schema.get("description")
    return {"description": f"{meaning} It is {must}." if must else meaning, **_without(schema)}


def _without(schema: dict[str, object]) -> dict[str, object]:
    return {key: value for key, value in schema.items() if key != "description"}


def _plain(schema: object) -> object:
    """Return a schema without bounds that every number of JSON keeps."""
    if isinstance(schema, dict):
        kept = {key: value for key, value in schema.items() if value not in (LARGEST, -LARGEST)}
        return {key: _plain(value) for key, value in kept.items()}
    return [_plain(item) for item in schema] if isinstance(schema, list) else schema
