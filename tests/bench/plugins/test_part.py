"""Parts: a plugin of a run as text, parameters and object, which is one thing."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from clipbench.errors import BadSetting, UnknownName
from clipbench.plugins.part import Part


def test_text_becomes_an_object_once_and_the_same_part_again() -> None:
    """The JSON of a part is the part, with all parameters filled in."""
    part: Part[Any] = Part.of("attack", "targeted:targets=16")
    assert part.plugin.targets == 16
    assert part.plugin is part.plugin
    written = json.loads(json.dumps(part.to_json()))
    assert written == {"name": "targeted", "targets": 16, "mode": "replace", "match": "word"}
    again: Part[Any] = Part.from_json("attack", written)
    assert again == part
    assert again.plugin == part.plugin


def test_a_part_is_taken_wherever_a_plugin_is_named() -> None:
    """It is itself: nothing is filled in, and nothing is built again."""
    part: Part[Any] = Part.of("defense", "safeclip:growth=0.02")
    assert Part.of("defense", part, {"cap": 0.5}) is part


def test_of_a_file_nothing_is_built_before_the_object_is_asked_for(tmp_path: Path) -> None:
    """A record may name what is not there, or no longer allowed: it is read all the same."""
    part: Part[Any] = Part.from_json("attack", {"name": str(tmp_path / "gone.py"), "side": 8})
    assert (part.label, part.parameters) == ("gone", {"side": 8})
    with pytest.raises(BadSetting, match="must be at least 1"):
        _ = Part[Any].from_json("attack", {"name": "targeted", "targets": 0}).plugin
    with pytest.raises(UnknownName):
        _ = Part[Any].from_json("attack", {"name": "targetedd"}).plugin


def test_an_object_is_the_part_of_its_parameters() -> None:
    """A plugin that is built already is held, not built again."""
    plugin: Any = Part[Any].of("attack", "targeted").plugin
    part = Part.holding("attack", "targeted", plugin)
    assert part.plugin is plugin
    assert part == Part.of("attack", "targeted")


def test_a_part_without_a_name_is_refused() -> None:
    """The JSON of a plugin has one."""
    with pytest.raises(BadSetting, match="needs a name"):
        Part.from_json("attack", {"targets": 1})
