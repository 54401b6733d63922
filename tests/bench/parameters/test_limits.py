"""Ranges of parameters: declared beside the field, refused with one sentence, shown everywhere."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Annotated, Any, Literal

import numpy as np
import pytest

from clipbench.contracts import Ge, Gt, Le, Lt, Matches, Plugin
from clipbench.errors import BadSetting
from clipbench.parameters.limits import Range
from clipbench.plugins.describe import describe


@dataclass(frozen=True)
class Patch(Plugin):
    """Ranges of all kinds.

    Args:
        size: share of the side.
    """

    size: Annotated[float, Gt(0), Le(1)] = 0.25
    count: Annotated[int, Ge(1)] | None = None
    shades: tuple[Annotated[int, Ge(0), Le(255)], ...] = (0, 255)
    word: Annotated[str, Matches("[a-z]+", "a lower-case word")] = "zx"
    place: Literal["corner", "center"] = "corner"

    name = "patch"


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"size": 2.0}, "patch.size must be in (0, 1]. Got 2.0."),
        ({"size": 0}, "patch.size must be in (0, 1]. Got 0.0."),
        ({"size": float("nan")}, "patch.size must be a finite number. Got nan."),
        ({"count": 0}, "patch.count must be at least 1. Got 0."),
        ({"count": True}, "patch.count must be int | none. Got True."),
        ({"shades": (0, 256)}, "patch.shades must be from 0 to 255. Got (0, 256)."),
        ({"word": "Zx"}, "patch.word must be a lower-case word. Got 'Zx'."),
        ({"place": "left"}, "patch.place must be 'corner' | 'center'. Got 'left'."),
    ],
)
def test_every_value_out_of_range_is_refused_with_the_same_sentence(
    values: dict[str, Any], message: str
) -> None:
    """It names the plugin, the parameter, the range and the value."""
    with pytest.raises(BadSetting) as caught:
        Patch(**values)
    assert str(caught.value) == message


def test_values_in_range_become_what_their_fields_are() -> None:
    """A whole number is a float where one is asked for, so that both are the same plugin."""
    patch = Patch(size=1, count=np.int64(3), shades=[1, 2])  # type: ignore[arg-type]
    assert (type(patch.size), patch.count, patch.shades) == (float, 3, (1, 2))
    assert type(patch.count) is int
    assert replace(patch, count=None).count is None


@pytest.mark.parametrize(
    ("hint", "words", "inside", "outside"),
    [
        (Annotated[float, Ge(0), Lt(1)], "in [0, 1)", (0, 0.999), (-1e-9, 1)),
        (Annotated[float, Gt(0)], "above 0", (1e-9, 1e9), (0, -1)),
        (Annotated[int, Le(10**6)], "at most 1,000,000", (-1, 10**6), (10**6 + 1,)),
        (Annotated[float, Lt(2)] | None, "below 2", (None, 1.9), (2,)),
        (Annotated[int, Ge(1), Le(100_000)], "from 1 to 100,000", (1, 100_000), (0, 100_001)),
        (float | None, "", (None, -1e300), ()),
    ],
)
def test_a_range_says_what_it_holds(
    hint: Any, words: str, inside: tuple[Any, ...], outside: tuple[Any, ...]
) -> None:
    """The words are those of messages, help and documentation."""
    allowed = Range.of(hint)
    assert str(allowed) == words
    assert all(value in allowed for value in inside)
    assert not any(value in allowed for value in outside)


def test_a_description_has_the_range_of_each_parameter() -> None:
    """`clipbench describe` shows it beside the type."""
    assert [(item.type, item.allowed) for item in describe(Patch).parameters[:2]] == [
        ("float", "in (0, 1]"),
        ("int | none", "at least 1"),
    ]
