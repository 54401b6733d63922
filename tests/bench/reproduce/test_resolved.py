"""Configurations of results: resolved to the same run, and nothing unknown is imported for it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from as_json import of_json

from clipbench.errors import BadInput, BadSetting, CorruptData, UnknownName
from clipbench.reproduce.resolved import resolved

resolved = of_json(resolved)

Result = dict[str, Any]
MakeResult = Callable[..., Result]
Seal = Callable[[Result], Result]
PLUGIN = """
from dataclasses import dataclass
from pathlib import Path

Path({marker!r}).touch()

@dataclass(frozen=True)
class Mine:
    share: float = 0.5
    def start(self, facts):
        raise NotImplementedError("no test trains with it")

DEFENSE = Mine
"""


@pytest.mark.parametrize(
    "asked",
    [
        {},
        {"attack": "none"},
        {"attack": "targeted:targets=4", "defense": "safeclip", "seed": 3},
        {"attack": "badnets", "seed": 3, "poison_seed": 1},
        {"defense": "clipscore", "trusted": "shapes:size=500,seed=9"},
        {"train": {"epochs": 3, "lr": 0.1, "device": "cpu"}, "on_error": "skip"},
        {"evals": ["shapes:test_size=200"]},
    ],
)
def test_a_result_of_this_version_resolves_to_its_own_hash(
    make_result: MakeResult, asked: dict[str, Any]
) -> None:
    """Whatever was chosen, the configuration that a result holds gives the run back."""
    result = make_result(**asked)
    config = resolved(result)
    assert config.sha256() == result["config_sha256"]
    assert config.train.device == "auto"


def test_metric_plugins_are_asked_for_again(make_result: MakeResult) -> None:
    """They are not part of the hash, and stand beside the configuration."""
    entry = {"name": "linear_probe", "parameters": {}, "code_sha256": None}
    config = resolved({**make_result(), "metric_plugins": [entry]})
    assert [metric.name for metric in config.metrics] == ["linear_probe"]


@pytest.fixture
def plugin(tmp_path: Path) -> tuple[Path, Path]:
    """A defense in a file, and the file that appears when it is imported."""
    file, marker = tmp_path / "mine.py", tmp_path / "imported"
    file.write_text(PLUGIN.format(marker=str(marker)))
    return file, marker


def test_a_file_runs_only_if_it_is_named_and_is_the_one(
    make_result: MakeResult, plugin: tuple[Path, Path]
) -> None:
    """A result made with a file needs that file named, with the content of that time."""
    file, marker = plugin
    result = make_result(defense=str(file))
    marker.unlink()
    with pytest.raises(BadSetting, match=r"'mine' is a file of its own .* --allow"):
        resolved(result)
    assert resolved(result, [str(file)]).sha256() == result["config_sha256"]
    file.write_text(f"{file.read_text()}\nraise SystemExit\n")
    marker.unlink(missing_ok=True)
    with pytest.raises(BadSetting, match="is a file of its own"):
        resolved(result, [str(file)])
    assert not marker.exists()


@pytest.mark.parametrize("shape", ["{file}", "{stem}:DEFENSE", "os:system", "antigravity:fly"])
def test_a_name_that_is_code_is_never_imported(
    make_result: MakeResult,
    seal: Seal,
    plugin: tuple[Path, Path],
    monkeypatch: pytest.MonkeyPatch,
    shape: str,
) -> None:
    """A path or module in place of a registered name is refused, allowed file or not."""
    file, marker = plugin
    monkeypatch.syspath_prepend(file.parent)
    result = make_result()
    result["config"]["defense"] = {"name": shape.format(file=file, stem=file.stem)}
    with pytest.raises(BadInput):
        resolved(seal(result), [str(file)])
    assert not marker.exists()


@pytest.mark.parametrize(
    "attack",
    [
        {"name": "adaptive", "base": "{file}"},
        {"name": "multi_trigger", "triggers": "{file}+badnets"},
    ],
)
def test_a_parameter_that_names_code_has_none_imported(
    make_result: MakeResult, seal: Seal, plugin: tuple[Path, Path], attack: dict[str, str]
) -> None:
    """A registered attack may be made of others; a file among them is as foreign as one alone."""
    file, marker = plugin
    result = make_result()
    result["config"]["attack"] = {key: text.format(file=file) for key, text in attack.items()}
    with pytest.raises(BadInput):
        resolved(seal(result))
    assert not marker.exists()


def test_a_module_that_is_named_may_be_used(
    make_result: MakeResult, plugin: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """`module:object` is allowed by the same text."""
    file, _ = plugin
    monkeypatch.syspath_prepend(file.parent)
    result = make_result(defense="mine:Mine")
    with pytest.raises(BadSetting, match="--allow"):
        resolved(result)
    assert resolved(result, ["mine:Mine"]).sha256() == result["config_sha256"]


def test_what_this_version_does_not_know_is_named(make_result: MakeResult, seal: Seal) -> None:
    """An attack, a parameter or a training setting of another version."""
    other = make_result()
    other["config"]["attack"]["name"] = "badnetz"
    with pytest.raises(UnknownName, match="badnets"):
        resolved(seal(other))
    other = make_result()
    other["config"]["attack"]["sise"] = 1
    with pytest.raises(UnknownName, match="size"):
        resolved(seal(other))
    other = make_result()
    other["config"]["train"]["epoch"] = 1
    with pytest.raises(UnknownName, match="epochs"):
        resolved(seal(other))


@pytest.mark.parametrize(
    "change",
    [{"data": "shapes"}, {"evals": "shapes"}, {"seed": -1}, {"train": None}, {"code": {"a": "b"}}],
)
def test_what_is_no_configuration_is_refused(
    make_result: MakeResult, seal: Seal, change: dict[str, Any]
) -> None:
    """The field is named."""
    result = make_result()
    result["config"] |= change
    with pytest.raises(CorruptData, match=f"config.{next(iter(change))}"):
        resolved(seal(result))


@pytest.mark.parametrize(
    "text",
    ["hf-hub:a/b", "local-dir:/home/me", "/etc/passwd", "http://h/x", "pipe:touch x", "../x"],
)
@pytest.mark.parametrize(
    ("part", "changed"),
    [
        ("train.model", {"train": {"model": "TEXT"}}),
        ("train.pretrained", {"train": {"pretrained": "TEXT"}}),
        ("data.path", {"data": {"name": "shards", "path": "TEXT"}}),
        ("evals[0].root", {"evals": [{"name": "imagenet", "root": "TEXT"}]}),
        ("trusted.annotations", {"trusted": {"name": "coco", "annotations": "TEXT"}}),
        ("attack.surrogate_model", {"attack": {"name": "badclip", "surrogate_model": "TEXT"}}),
        ("attack.surrogate_weights", {"attack": {"name": "adaptive", "surrogate_weights": "TEXT"}}),
        (
            "attack.base.surrogate_weights",
            {"attack": {"name": "adaptive", "base": "badclip:surrogate_weights='TEXT'"}},
        ),
    ],
)
def test_a_result_names_nothing_outside_in_any_field(
    make_result: MakeResult, seal: Seal, part: str, changed: dict[str, Any], text: str
) -> None:
    """The field and the option are told, before anything is looked at."""
    result = make_result()
    filled = json.loads(json.dumps(changed).replace("TEXT", text))
    result["config"] |= {
        key: {**result["config"]["train"], **value} if key == "train" else value
        for key, value in filled.items()
    }
    with pytest.raises(BadSetting) as caught:
        resolved(seal(result))
    assert f"config.{part} names {text!r}" in str(caught.value)
    assert "--allow " in str(caught.value)


def test_what_a_reader_allows_by_name_may_be_named(make_result: MakeResult) -> None:
    """The very text, and no other."""
    result = make_result(attack="badclip:surrogate_weights=/data/w.pt")
    with pytest.raises(BadSetting, match=r"surrogate_weights names '/data/w\.pt'"):
        resolved(result, ["/data"])
    assert resolved(result, ["/data/w.pt"]).sha256() == result["config_sha256"]
