"""Configurations of results: resolved to the same run, and nothing unknown is imported for it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from clipbench.config import resolve
from clipbench.errors import BadInput, BadSetting, CorruptData, UnknownName
from clipbench.provenance.configuration import remote_sources, resolved

Result = dict[str, Any]
MakeResult = Callable[..., Result]
Seal = Callable[[Result], Result]
DATA = "shapes:size=400"
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
    assert [metric["name"] for metric in config.metrics] == ["linear_probe"]


@pytest.fixture
def plugin(tmp_path: Path) -> tuple[Path, Path]:
    """A defence in a file, and the file that appears when it is imported."""
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


def test_addresses_of_data_are_found() -> None:
    """Whoever reproduces a result must know where its data would come from."""
    far = "https://example.org/{00..01}.tar"
    config = resolve(data=far, evals=[DATA], attack="badnets", poisons=3)
    assert remote_sources(config) == [far]
    assert remote_sources(resolve(data=DATA)) == []


@pytest.mark.parametrize("name", ["hf-hub:a/b", "HF-Hub:a/b", "local-dir:/home/me/models"])
def test_a_model_from_elsewhere_is_found(name: str) -> None:
    """A stranger's result makes no one ask a hub, nor look into a folder of its choice."""
    assert remote_sources(resolve(data=DATA, train={"model": name})) == [name]
    crafted = {"name": "badclip", "surrogate_model": name}
    assert remote_sources(resolve(data=DATA, attack=crafted, poisons=40)) == [name]
