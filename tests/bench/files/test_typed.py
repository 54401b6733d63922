"""Structs read from JSON: what is wrong is named by field, in the words of its type."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

import pytest
from msgspec import Meta, Struct

from clipbench.files.checks import Objection
from clipbench.files.typed import Count, Number, Object, Sha256, Share, Text, read_as


class Inner(Struct, frozen=True):
    """A part."""

    low: Number
    high: Number

    def __post_init__(self) -> None:
        if self.low > self.high:
            raise Objection("low", f"must be at most {self.high:g}", self.low)


class Outer(Struct, frozen=True, kw_only=True):
    """What is read."""

    name: Text
    mode: Literal["replace", "insert"] = "replace"
    count: Count | None = None
    share: Share = 0.0
    hash: Sha256 | None = None
    size: Count | Annotated[tuple[Count, ...], Meta(min_length=1)] = 1
    inner: Inner | None = None
    several: tuple[Inner, ...] = ()
    by_name: Mapping[str, Inner] = {}
    free: Object = {}


def test_what_is_there_is_read_and_what_is_unknown_is_tolerated() -> None:
    """Numbers of one kind are of one type; what is open stays as it is."""
    record = {"name": "a", "share": 1, "inner": {"low": 1, "high": 2}, "free": {"x": [None]}}
    read = read_as(Outer, {**record, "of a later version": {"y": 1}})
    assert (read.share, read.inner, read.free) == (1.0, Inner(1.0, 2.0), {"x": [None]})


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"name": ""}, "name must be a text that is not empty, but is ''"),
        ({"name": ...}, "name is missing"),
        ({"mode": "append"}, "mode must be 'replace' or 'insert', but is 'append'"),
        ({"count": True}, "count must be a whole number from 0, but is True"),
        ({"count": 2**63}, "count must be a whole number from 0, but is 9223372036854775808"),
        ({"share": float("nan")}, "share must be a finite number from 0 to 1, but is nan"),
        ({"share": 10**400}, "must be a finite number from 0 to 1, but is a number of hundreds"),
        ({"hash": "0" * 64 + "\n"}, "hash must be 64 lower-case hexadecimal digits, but is"),
        ({"size": []}, "size must be a whole number from 0 or a list, but is []"),
        ({"inner": 3}, "inner must be an object, but is 3"),
        ({"inner": {"low": 1}}, "inner.high is missing"),
        ({"inner": {"low": 3, "high": 2}}, "inner.low must be at most 2, but is 3"),
        ({"several": {}}, "several must be a list, but is {}"),
        ({"several": [{"low": 1, "high": 2}, {"low": "1", "high": 2}]}, "several[1].low must be a"),
        ({"by_name": {"a": {"low": 1, "high": 1}, "b\x1b": 5}}, "by_name.b\\x1b must be an object"),
        ({"by_name": {"a": {"low": 1, "high": 0}}}, "by_name.a.low must be at most 0, but is 1"),
        ({"free": None}, "free must be an object, but is None"),
    ],
)
def test_what_is_wrong_is_named_in_one_line(change: dict[str, Any], message: str) -> None:
    """By its place, whatever holds it, with what it must be and what it is."""
    record = {key: value for key, value in {"name": "a", **change}.items() if value is not ...}
    with pytest.raises(Objection) as caught:
        read_as(Outer, record)
    assert message in str(caught.value)
    assert str(caught.value).isprintable()


@pytest.mark.parametrize("value", [None, [], 3, "text"])
def test_what_is_no_object_is_none(value: Any) -> None:
    """As a file may hold anything."""
    with pytest.raises(Objection, match="it must be an object"):
        read_as(Outer, value)
