"""The published JSON schemas: up to date, true of every published row, and as strict as reading."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from changed import changed

from clipbench.cli import main
from clipbench.errors import CorruptData
from clipbench.results.result import checked
from clipbench.results.schema import DIALECT, SCHEMAS, json_schema

ROOT = Path(__file__).parents[3]
TYPES = {
    "object": dict,
    "array": list,
    "string": str,
    "number": (int, float),
    "integer": int,
    "boolean": bool,
    "null": type(None),
}
TEXTS = {"title", "description", "default", "$schema", "$defs"}


LEAVES: dict[str, Callable[[Any, Any], bool]] = {  # keyword -> whether a value keeps the rule
    "type": lambda rule, value: isinstance(value, TYPES[rule]) and value is not True,
    "enum": lambda rule, value: value in rule,
    "minimum": lambda rule, value: value >= rule,
    "maximum": lambda rule, value: value <= rule,
    "minLength": lambda rule, value: len(value) >= rule,
    "maxLength": lambda rule, value: len(value) <= rule,
    "minItems": lambda rule, value: len(value) >= rule,
    "pattern": lambda rule, value: re.search(rule, value) is not None,
}


def faults(schema: dict[str, Any], value: Any, root: dict[str, Any], at: str = "$") -> list[str]:
    """Return where a value is not of a schema; a keyword that is not known here is an error."""
    found: list[str] = []
    for key in sorted(schema.keys() - TEXTS, key=lambda key: key != "type"):
        rule = schema[key]
        if key in LEAVES:
            found += [] if LEAVES[key](rule, value) else [at]
        elif key == "anyOf":
            found += [at] if all(faults(one, value, root, at) for one in rule) else []
        elif key == "required":
            found += [f"{at}.{name}" for name in rule if name not in value]
        else:
            for name, inner, part in inside(key, rule, value, root):
                found += faults(inner, part, root, f"{at}{name}")
        if found:  # of another type, the other keywords mean nothing
            return found
    return found


def inside(key: str, rule: Any, value: Any, root: dict[str, Any]) -> list[tuple[str, Any, Any]]:
    """Return the parts of a value that a keyword has a schema for: name, schema and part."""
    if key == "$ref":
        return [("", root["$defs"][rule.rpartition("/")[2]], value)]
    if key == "properties":
        return [(f".{name}", rule[name], value[name]) for name in rule.keys() & value.keys()]
    if key == "additionalProperties":
        return [(f".{name}", rule, part) for name, part in value.items()]
    assert key == "items", key
    return [(f"[{number}]", rule, part) for number, part in enumerate(value)]


@pytest.mark.parametrize("name", SCHEMAS)
def test_the_published_schema_is_up_to_date(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    """It is what the command prints, and every field of it has a meaning."""
    assert main(["describe", name, "--schema"]) == 0
    printed = capsys.readouterr().out
    assert printed == (ROOT / "docs" / "schemas" / f"{name}.json").read_text()
    schema = json.loads(printed)
    assert schema["$schema"] == DIALECT
    assert all(part["description"] for part in schema["$defs"].values())


def test_every_published_row_is_of_the_schema() -> None:
    """All grids, fields of other versions included."""
    schema = json_schema("result")
    rows = [*ROOT.glob("results/*/rows/*.json")]
    assert len(rows) > 300
    wrong = {row.name: faults(schema, json.loads(row.read_text()), schema) for row in rows}
    assert {name: told for name, told in wrong.items() if told} == {}


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("attack.count", -1),
        ("attack.rate", 1.5),
        ("data.content_sha256", "XYZ"),
        ("metrics.attack_success.k", "15"),
        ("model.name", ""),
        ("model.image_size", []),
        ("history", None),
        ("seed", ...),
    ],
)
def test_what_the_schema_refuses_reading_refuses(
    make_result: Callable[..., dict[str, Any]], field: str, value: Any
) -> None:
    """At the same field; a row that neither refuses is there to tell."""
    schema, whole = json_schema("result"), make_result()
    assert faults(schema, whole, schema) == []
    row = changed(whole, field, value)
    assert faults(schema, row, schema) == [f"$.{field}"]
    with pytest.raises(CorruptData, match=re.escape(field)):
        checked(row)


def test_there_is_no_schema_of_what_is_no_file(capsys: pytest.CaptureFixture[str]) -> None:
    """The names there are are told; options of plugins are refused beside it."""
    assert main(["describe", "results", "--schema"]) == 2
    assert "Did you mean 'result'?" in capsys.readouterr().err
    assert main(["describe", "result", "--schema", "--check"]) == 2
    assert "--check would be ignored" in capsys.readouterr().err
