"""A run is done once, gets its control when that is there, and keeps to its folder."""

from __future__ import annotations

import dataclasses
import io
import json
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from as_json import typed
from small_runs import TRAIN, Place, config_of

from clipbench.configuration.config import RunConfig
from clipbench.errors import BadSetting, CorruptData
from clipbench.pipeline.execute import execute
from clipbench.poisoning.ledger import read_ledger
from clipbench.results.result import write_result
from clipbench.submit.contradictions import check_against_itself, check_against_ledger
from clipbench.system.locks import try_folder
from clipbench.system.progress import Reporter

DOUBTING = '''
import warnings
from dataclasses import dataclass


@dataclass(frozen=True)
class Doubting:
    """Doubts the test images."""

    def measure(self, measured):
        warnings.warn(f"{measured.evaluation.name} is odd")
        found = {"doubts": 1}
        return found if measured.probes is None else {**found, "doubts_attack_success": 0.5}


METRIC = Doubting
'''

# Of its own learning rate, so that no other test does its clean control first.
JUDGED_LATER: dict[str, Any] = {"attack": "badnets", "train": {**TRAIN, "lr": 1e-3}}


def test_a_run_that_is_done_is_read_not_done_again(shared: Place, trainings: list[Path]) -> None:
    """The second time the result is taken from its folder, and the plan says so."""
    config = config_of()
    first = shared.execute(config)
    assert shared.execute(config) == first
    assert trainings == [shared.folder_of(config)]
    plan = shared.plan(config)
    assert (plan.done, plan.lines()[-1]) == (True, "  time     done already")


def test_the_control_is_added_when_the_clean_run_is_there(shared: Place) -> None:
    """An attacked run done before its clean control gets the control's success afterwards."""
    config = config_of(**JUDGED_LATER)
    alone = shared.execute(config)
    assert "attack_success_control" not in alone["metrics"]
    assert "control" not in alone
    clean = shared.execute(config.without_attack())
    judged = shared.execute(config)
    control = judged["metrics"].pop("attack_success_control")
    assert control["n"] == alone["metrics"]["attack_success"]["n"] == 99
    assert judged.pop("control") == {"id": clean["id"], "created": clean["created"]}
    assert judged == alone


def test_what_is_odd_about_test_images_is_said_once_a_run(place: Place) -> None:
    """A metric is measured on a run's model and on its control's, and says it both times."""
    file = place.folder / "doubting.py"
    file.write_text(DOUBTING)
    config = config_of(attack="badnets", metrics=[str(file)])
    for run in (config.without_attack(), config):
        with pytest.warns(UserWarning, match="is odd") as said:
            result = place.execute(run)
        assert [str(warning.message) for warning in said] == ["shapes is odd"]
    assert "doubts_attack_success_control" in result["metrics"]


def test_seeds_of_poison_and_of_training_are_two(shared: Place) -> None:
    """The result tells both, and its control is the clean run of its seed of training."""
    config = config_of(**{**JUDGED_LATER, "attack": "targeted:doses=1+2", "poison_seed": 4})
    clean = shared.execute(config.without_attack())
    result = shared.execute(config)
    assert (result["seed"], result["poison_seed"]) == (0, 4)
    assert result["control"] == {"id": clean["id"], "created": clean["created"]}
    assert shared.folder_of(config).name.startswith("targeted_6poisons_none_s0p4_")
    for name in ("attack_success", "attack_success_control"):
        told = result["metrics"][name]
        assert [(part["name"], part["n"]) for part in told["parts"]] == [("1", 2), ("2", 2)]
    (folder,) = {
        path.parents[1]
        for path in shared.cache.glob("poisoned/*/ledger/ledger.json")
        if read_ledger(path).sha256 == result["attack"]["ledger_sha256"]
    }
    assert read_ledger(folder).per_target == [1, 1, 2, 2]
    check_against_itself(typed(result))
    check_against_ledger(typed(result), read_ledger(folder))
    other = shared.execute(config_of(**{**JUDGED_LATER, "attack": "targeted:targets=6"}))
    assert "poison_seed" not in other
    assert other["attack"]["ledger_sha256"] != result["attack"]["ledger_sha256"]


def test_a_run_after_its_controls_is_judged_by_them(place: Place, trainings: list[Path]) -> None:
    """Each is trained once; a clean run is the control of its defense; the poison is the same."""
    config = config_of(attack="badnets", defense="clip")
    runs = [*config.controls(), config]
    clean, clean_undefended, undefended, attacked = results = [place.execute(run) for run in runs]
    assert trainings == [place.folder_of(run) for run in runs]
    for result, control in ((attacked, clean), (undefended, clean_undefended)):
        assert result["metrics"]["attack_success_control"]["n"] == 99
        assert result["control"] == {"id": control["id"], "created": control["created"]}
    ledgers = [result["attack"]["ledger_sha256"] for result in results]
    assert ledgers[:2] == [None, None]
    assert ledgers[2] == ledgers[3]


def of_another(config: RunConfig) -> str:
    """Return the configuration of another run."""
    return json.dumps(dataclasses.replace(config, seed=9).to_json())


@pytest.mark.parametrize(
    ("content", "kind", "part"),
    [
        (of_another, BadSetting, "holds another run; choose another --out"),
        (lambda _: "[]", CorruptData, "is damaged; delete the folder"),
    ],
)
def test_a_folder_of_another_run_is_refused(
    place: Place,
    trainings: list[Path],
    content: Callable[[RunConfig], str],
    kind: type[Exception],
    part: str,
) -> None:
    """What lies in the run's folder must be of this run; it is refused before training."""
    config = config_of()
    place.folder_of(config).mkdir(parents=True)
    (place.folder_of(config) / "config.json").write_text(content(config))
    with pytest.raises(kind, match=part):
        place.execute(config)
    assert trainings == []


def waiting(monkeypatch: pytest.MonkeyPatch, meanwhile: Callable[[], None]) -> None:
    """Have something happen while a command waits for another."""
    clock = SimpleNamespace(sleep=lambda _: meanwhile())
    monkeypatch.setattr("clipbench.pipeline.hold.time", clock)


@pytest.mark.parametrize("finished", [False, True])
def test_of_two_commands_at_one_run_the_second_waits(
    place: Place, trainings: list[Path], monkeypatch: pytest.MonkeyPatch, finished: bool
) -> None:
    """It takes the result that the first leaves, or does the run where that was stopped."""
    config = config_of()
    folder = place.folder_of(config)
    result = Place(place.folder / "first").execute(config) if finished else None
    del trainings[:]
    handle = try_folder(folder)
    assert handle is not None

    def first_ends() -> None:
        assert list(folder.iterdir()) == []
        if result is not None:
            write_result(folder / "result.json", result)
        handle.release()

    waiting(monkeypatch, first_ends)
    told = io.StringIO()
    reporter = Reporter(quiet=True, stream=told)
    found = execute(config, cache=place.cache, out=place.out, reporter=reporter)
    assert told.getvalue() == (
        f"warning: another command works in {folder}; waiting until it is done\n"
    )
    assert found is not None
    assert found.record == (result or found.record)
    assert trainings == ([] if finished else [folder])


def test_a_run_that_is_done_is_read_whoever_holds_it(shared: Place) -> None:
    """Nothing is written, so there is nothing to wait for, and a disk may be read-only."""
    config = config_of()
    first = shared.execute(config)
    handle = try_folder(shared.folder_of(config))
    assert handle is not None
    assert shared.execute(config) == first
    handle.release()
