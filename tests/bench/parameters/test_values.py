"""Values: what people type and programs give becomes what a field asks for, or is refused."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Optional

import pytest

from clipbench.errors import BadSetting
from clipbench.parameters.values import coerce, field_types, type_text


@pytest.mark.parametrize(
    ("value", "hint", "expected"),
    [
        ("16", int, 16),
        ("20_000", int, 20_000),
        ("1e6", int, 1_000_000),
        (3.0, int, 3),
        ("1e-6", float, 1e-6),
        (1, float, 1.0),
        ("yes", bool, True),
        ("Off", bool, False),
        (True, bool, True),
        ("none", int | None, None),
        ("4", Optional[int], 4),  # noqa: UP045 - the older spelling must work too
        ("none", str | None, None),
        ("None of it", str | None, "None of it"),
        ("0.5", float | str, 0.5),
        ("half", float | str, "half"),
        ("3", int | float, 3),
        (3.0, int | float, 3.0),
        ("true", int | bool, True),
        ("insert", Literal["replace", "insert"], "insert"),
        ("2", Literal[1, 2], 2),
        ("(1, 2)", tuple[int, ...], (1, 2)),
        ("7", tuple[int, ...], (7,)),
        ("()", tuple[int, ...], ()),
        ([1, 2], tuple[int, float], (1, 2.0)),
        ("['a', 'b']", tuple[str, ...], ("a", "b")),
        ("a/b", Path, Path("a/b")),
        ("anything", Any, "anything"),
    ],
)
def test_values_become_what_the_field_is(value: Any, hint: Any, expected: Any) -> None:
    """A value is turned into its field's annotated type, type and all."""
    actual = coerce(value, hint, "x.y")
    assert (actual, type(actual)) == (expected, type(expected))


@pytest.mark.parametrize(
    ("value", "hint", "allowed"),
    [
        ("x", int, "int"),
        ("1.5", int, "int"),
        (2.5, int, "int"),
        (True, int, "int"),
        ("1e99", int, "int"),
        ("nan", float, "a finite number"),
        ("inf", float, "a finite number"),
        (True, float, "float"),
        ([], float, "float"),
        ("maybe", bool, "bool"),
        (3, str, "str"),
        ("x", int | None, "int | none"),
        ("drop", Literal["replace", "insert"], "'replace' | 'insert'"),
        (True, Literal[1], "1"),
        ("1,x", tuple[int, ...], "tuple[int, ...]"),
        ([1], tuple[int, int], "tuple[int, int]"),
        ([1, 2], tuple[int], "tuple[int]"),
        (3, tuple[int, ...], "tuple[int, ...]"),
        ("", Path, "Path"),
        ("x", bytes, "bytes"),
    ],
)
def test_misfits_are_refused_with_what_is_allowed(value: Any, hint: Any, allowed: str) -> None:
    """A value that does not fit is refused; the message names field, allowed type and value."""
    with pytest.raises(BadSetting) as caught:
        coerce(value, hint, "plugin.field")
    assert str(caught.value) == f"plugin.field must be {allowed}. Got {value!r}."


def test_types_read_like_python() -> None:
    """Annotations are shown as people read them."""
    assert type_text(float | None) == "float | none"
    assert type_text(dict[str, int]) == "dict[str, int]"


def test_annotations_that_do_not_exist_at_run_time_are_named() -> None:
    """A plugin whose annotations cannot be resolved is told what is missing."""

    @dataclass
    class Broken:
        size: Missing  # type: ignore[name-defined]  # noqa: F821

    with pytest.raises(BadSetting, match="name 'Missing' is not defined"):
        field_types(Broken)
