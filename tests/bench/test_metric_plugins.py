"""Metrics by plugin in a run: measured, controlled, and added to a run that is done."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from as_json import of_json

from clipbench.configuration.config import RunConfig
from clipbench.configuration.resolution import resolve
from clipbench.errors import BadInput, BadSetting
from clipbench.files import sums
from clipbench.leaderboard.export import to_clip_benchmark
from clipbench.pipeline.execute import execute as do
from clipbench.planning.parts import Parts
from clipbench.system.progress import Reporter

to_clip_benchmark = of_json(to_clip_benchmark)

DATA = "shapes:size=200,test_size=100,targets_size=50"
BRIGHTNESS = '''
from dataclasses import dataclass

from clipbench.evaluation.statistics import Proportion


@dataclass(frozen=True)
class First:
    """How many features of test images have a positive first number.

    Args:
        scale: factor of the mean that is returned.
    """

    scale: float = 1.0

    def measure(self, measured):
        task, probes = measured.evaluation.classification, measured.probes
        if task is None:
            return {}
        features = measured.image_features(task.test.images)
        found = {"first_mean": self.scale * float(features[:, 0].mean())}
        if probes is not None:
            first = measured.image_features(probes.images)[:, 0]
            found["first_attack_success"] = Proportion(int((first > 0).sum()), len(first))
        return found


METRIC = First
'''


@pytest.fixture(scope="module")
def metric(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the file of a metric."""
    file = tmp_path_factory.mktemp("metrics") / "first.py"
    file.write_text(BRIGHTNESS, encoding="utf-8")
    return file


def renamed(metric: Path, file: Path, names: Mapping[str, str]) -> Path:
    """Write a copy of the metric that gives its entries under other names."""
    file.parent.mkdir()
    text = metric.read_text(encoding="utf-8")
    for old, new in names.items():
        text = text.replace(f'"{old}"', f'"{new}"')
    file.write_text(text, encoding="utf-8")
    return file


def config_of(*metrics: str, attack: str = "badnets") -> RunConfig:
    """Return a small run."""
    poisons = {} if attack == "none" else {"poisons": 6}
    train = {"epochs": 1, "batch_size": 64, "warmup": 1}
    return resolve(data=DATA, attack=attack, train=train, metrics=metrics, **poisons)  # type: ignore[arg-type]


def execute(config: RunConfig, folder: Path) -> dict[str, Any]:
    """Do a run."""
    quiet = Reporter(quiet=True)
    result = do(config, cache=folder / "cache", out=folder / "runs", reporter=quiet)
    assert result is not None
    return dict(result.record)


def test_a_metric_is_no_other_run(metric: Path) -> None:
    """What is measured does not decide what is trained: id and hash are those without."""
    plain, measured = config_of(), config_of(str(metric))
    assert plain.id == measured.id
    assert RunConfig.from_json(measured.to_json()).metrics == measured.metrics
    assert measured.without_attack().metrics == measured.metrics
    assert measured.with_defense("clip").metrics == measured.metrics


def test_the_same_metric_twice_is_refused(metric: Path) -> None:
    """Its entries would have the same names."""
    with pytest.raises(BadSetting, match="'first' is asked for twice"):
        Parts.of(config_of(str(metric), f"{metric}:scale=2"))


def test_a_metric_is_added_to_a_run_that_is_done(
    metric: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without the metric, then with it and its control: trained once, and no number moves.

    With another parameter it is measured again; asked for again it is there.
    """
    plain = execute(config_of(), tmp_path)
    assert plain["metric_plugins"] == []
    clean = execute(config_of(attack="none"), tmp_path)
    trained: list[object] = []
    monkeypatch.setattr("clipbench.pipeline.execute.train_on", lambda *_: trained.append(1))

    result = execute(config_of(str(metric)), tmp_path)
    added = {name for name in result["metrics"] if name not in plain["metrics"]}
    assert added == {
        "first_mean",
        "first_attack_success",
        "first_attack_success_control",
        "attack_success_control",
    }
    success, control = (result["metrics"][f"first_attack_success{end}"] for end in ("", "_control"))
    assert success["n"] == control["n"] == result["metrics"]["attack_success"]["n"] == 99
    assert {name: result["metrics"][name] for name in plain["metrics"]} == plain["metrics"]
    assert result["metric_plugins"][0]["parameters"] == {"scale": 1.0}
    assert "first_mean" in result["evaluations"][0]["metrics"]
    assert result["control"] == {"id": clean["id"], "created": clean["created"]}
    assert execute(config_of(str(metric)), tmp_path) == result

    doubled = execute(config_of(f"{metric}:scale=2"), tmp_path)
    mean = result["metrics"]["first_mean"]["value"]
    assert doubled["metrics"]["first_mean"]["value"] == pytest.approx(2 * mean)
    assert [item["parameters"] for item in doubled["metric_plugins"]] == [{"scale": 2.0}]
    assert trained == []
    (file,) = tmp_path.glob(f"runs/*_{result['id']}/result.json")
    assert json.loads(file.read_text()) == sums.summed(doubled)
    assert len(to_clip_benchmark(doubled)) == 2  # classes and captions of the one set


def test_a_metric_that_was_edited_replaces_all_that_it_gave(metric: Path, tmp_path: Path) -> None:
    """A name that it gives no more is gone, for no code that is known measured it."""
    execute(config_of(attack="none"), tmp_path)
    before = execute(config_of(str(metric)), tmp_path)
    assert before["metric_plugins"][0]["metrics"] == ["first_mean", "first_attack_success"]
    names = {"first_attack_success": "second_attack_success"}
    other = renamed(metric, tmp_path / "edited" / metric.name, names)
    after = execute(config_of(str(other)), tmp_path)
    new = after["metrics"].keys()
    assert before["metrics"].keys() - new == {
        "first_attack_success",
        "first_attack_success_control",
    }
    assert {"second_attack_success", "second_attack_success_control"} <= new
    assert "first_attack_success" not in after["evaluations"][0]["metrics"]
    assert after["metric_plugins"][0]["metrics"] == ["first_mean", "second_attack_success"]


def test_a_metric_that_is_added_takes_no_others_name(metric: Path, tmp_path: Path) -> None:
    """Neither that of a metric that every run has nor of another plugin's."""
    before = execute(config_of(str(metric)), tmp_path)
    for taken in ("attack_success", "first_attack_success"):
        names = {"first_mean": "mean", "first_attack_success": taken}
        other = renamed(metric, tmp_path / taken / "another.py", names)
        with pytest.raises(BadInput, match=f"'another' returns '{taken}', a name that is taken"):
            execute(config_of(str(other)), tmp_path)
    assert execute(config_of(str(metric)), tmp_path) == before
