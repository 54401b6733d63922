"""Specs: plugins and parameters as people write them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from clipbench.errors import BadSetting
from clipbench.plugins.spec import Spec, parse_spec


@pytest.mark.parametrize(
    ("text", "name", "parameters"),
    [
        ("none", "none", {}),
        ("targeted:targets=16,mode=insert", "targeted", {"targets": "16", "mode": "insert"}),
        ("targeted: targets = 16 , mode=insert ", "targeted", {"targets": "16", "mode": "insert"}),
        ("badnets:target-label=dog", "badnets", {"target_label": "dog"}),
        ("x:label='a, b',n=1", "x", {"label": "a, b", "n": "1"}),
        ("x:sizes=(1,2,3),n=1", "x", {"sizes": "(1,2,3)", "n": "1"}),
        ("x:sizes=[1,2]", "x", {"sizes": "[1,2]"}),
        ("x:label=it's,n=1", "x", {"label": "it's", "n": "1"}),
        ("x:path=s3://a/b:c", "x", {"path": "s3://a/b:c"}),
        ("x:path=plugin.py", "x", {"path": "plugin.py"}),
        ("x:label=", "x", {"label": ""}),
        ("my.attacks:Mine", "my.attacks:Mine", {}),
        ("my.attacks:Mine:opt=1", "my.attacks:Mine", {"opt": "1"}),
        ("path/to/file.py", "path/to/file.py", {}),
        ("path/to/file.py:opt=1,b=c.py", "path/to/file.py", {"opt": "1", "b": "c.py"}),
    ],
)
def test_text_is_split_into_name_and_parameters(
    text: str, name: str, parameters: dict[str, str]
) -> None:
    """Every documented way to write a plugin gives its name and its parameters."""
    assert parse_spec(text, known=["x", "targeted"]) == Spec(name, parameters)


def test_a_path_may_hold_an_equals_sign_if_it_exists(tmp_path: Path) -> None:
    """A file in a folder such as ``lr=1`` is read as a path, not as a parameter."""
    file = tmp_path / "lr=1" / "mine.py"
    file.parent.mkdir()
    file.write_text("")
    assert parse_spec(f"{file}:opt=1") == Spec(str(file), {"opt": "1"})


def test_mappings_are_specs() -> None:
    """The YAML form names the plugin under ``name`` and keeps typed values."""
    spec = parse_spec({"name": "targeted", "target-label": "dog", "targets": 16})
    assert spec == Spec("targeted", {"target_label": "dog", "targets": 16})


@pytest.mark.parametrize(
    ("value", "part"),
    [
        ("", "name"),
        ("targeted:targets", "'targets' is not PARAMETER=VALUE"),
        ("targeted:targets=1,2", "'2' is not PARAMETER=VALUE"),
        ("targeted:a=1,a=2", "a is given twice"),
        ({"targets": 3}, "needs a name"),
        ({"name": 3}, "needs a name"),
        (7, "Got 7"),
    ],
)
def test_what_is_no_spec_is_refused(value: Any, part: str) -> None:
    """Text or mappings that name no plugin are refused with the offending part."""
    with pytest.raises(BadSetting) as caught:
        parse_spec(value, known=["targeted"])
    assert part in str(caught.value)
