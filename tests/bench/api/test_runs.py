"""`cb.Run` and `cb.run`: the run that the command line does, under the same id."""

from __future__ import annotations

import importlib
import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from as_json import record_in
from small_runs import DATA, Place
from tiny_runs import command, numbers

import clipbench as cb
from clipbench.configuration.config import RunConfig
from clipbench.configuration.resolution import resolve
from clipbench.errors import BadSetting, MissingData, UnknownName
from clipbench_attacks.targeted import Targeted
from clipbench_datasets.shapes import Shapes
from clipbench_defenses.safeclip import SafeCLIP

EXAMPLES = Path(__file__).parents[3] / "docs" / "examples"
SUBSET = EXAMPLES / "random_subset.py"
TRAIN = {"epochs": 1, "batch_size": 64, "warmup": 1}
RUN = cb.Run(data=DATA, attack=Targeted(targets=2), poisons=6, train=TRAIN)


def test_a_run_equals_the_command_and_neither_does_what_the_other_has_done(
    place: Place, trainings: list[Path]
) -> None:
    """The result has the command's id and numbers, and both doors lead to one folder of runs."""
    result = cb.run(RUN, out=place.out, cache=place.cache, progress=False)
    line = ["run", "--data", DATA, "--attack", "targeted:targets=2", "--poisons", "6", "-q"]
    line += ["--epochs", "1", "--batch-size", "64", "--warmup", "1", "--cache", str(place.cache)]
    other = place.folder / "other"
    assert command(*line, "--out", other).status == 0
    (twin,) = other.glob(f"*_{result.id}/result.json")
    assert numbers({**result.record}) == numbers(record_in(twin))
    assert len(trainings) == 2
    assert command(*line, "--out", place.out, "--controls").status == 0
    assert len(trainings) == 3  # the clean control alone
    judged = cb.run(RUN, out=place.out, cache=place.cache, controls=True, progress=False)
    assert len(trainings) == 3
    assert judged.metrics["attack_success_control"].n == 2
    assert judged.folder is not None
    measured = cb.evaluate(judged.folder / "model", "shapes-32", data=DATA, progress=False)
    assert measured.metrics["zeroshot_top1"] == judged.metrics["zeroshot_top1"]


@pytest.mark.parametrize(
    ("given", "typed"),
    [
        ({"data": Shapes(size=300)}, {"data": "shapes:size=300"}),
        ({"data": Path("/nowhere/shards")}, {"data": "/nowhere/shards", "evals": [DATA]}),
        (
            {"attack": Targeted(targets=4, mode="insert"), "rate": 0.014},
            {"attack": "targeted:targets=4,mode=insert", "rate": "1.4%"},
        ),
        ({"attack": "badnets", "rate": "2%"}, {"attack": {"name": "badnets"}, "rate": "0.02"}),
        (
            {"defense": EXAMPLES / "random_subset.py"},
            {"defense": str(EXAMPLES / "random_subset.py")},
        ),
    ],
)
def test_objects_paths_and_text_are_the_same_run(
    given: dict[str, Any], typed: dict[str, Any]
) -> None:
    """However a plugin is given, the configuration is the one that text gives."""
    evals = {"evals": typed["evals"]} if "evals" in typed else {}
    assert cb.Run(**given, **evals).config() == resolve(**typed)


def test_a_published_recipe_is_beneath_what_is_given() -> None:
    """It names attack, defense and amount where nobody else does, as on the command line."""
    line = ("run", "--recipe", "roclip", "--data", DATA, "--dry-run", "--json")
    (typed,) = json.loads(command(*line).out)
    config = cb.Run(data=DATA, recipe="roclip").config()
    assert config == RunConfig.from_json(typed)
    assert config.defense_name == "roclip"
    assert cb.Run(data=DATA, recipe="roclip", defense="none").config().defense_name == "none"


def test_an_object_is_taken_as_it_is_and_text_is_completed_by_the_recipe() -> None:
    """`SafeCLIP()` has the parameters of its class, `safeclip` those that suit the data."""
    plain, suited = cb.Run(defense=SafeCLIP()).config(), cb.Run(defense="safeclip").config()
    assert plain.defense.parameters["unimodal_epochs"] == SafeCLIP().unimodal_epochs
    assert plain.defense.parameters != suited.defense.parameters


def test_a_plugin_imported_from_a_file_is_known_by_what_the_file_holds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As `--defense my_defense.py` is: a change of the file is another run."""
    file = tmp_path / "my_own_subset.py"
    file.write_text(SUBSET.read_text(encoding="utf-8"), encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    plugin = importlib.import_module("my_own_subset").RandomSubset(share=0.25)
    config = cb.Run(data=DATA, defense=plugin).config()
    assert config == resolve(data=DATA, defense=f"{file}:share=0.25")
    assert config.code
    del sys.modules["my_own_subset"]


def test_a_plugin_that_no_other_process_would_find_is_refused() -> None:
    """One of a notebook cell or of a function: its code could change under the same id."""

    @dataclass(frozen=True)
    class Mine:
        def start(self, facts: object) -> None: ...

    with pytest.raises(BadSetting, match=r"Mine is defined in .* ends with `DEFENSE = Mine`"):
        cb.Run(defense=Mine()).config()  # type: ignore[arg-type]
    with pytest.raises(BadSetting, match=r"write Targeted\(\.\.\.\)"):
        cb.Run(attack=Targeted, poisons=3).config()  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("choices", "error", "words"),
    [
        ({"attack": "badnet", "rate": "1%"}, UnknownName, "Did you mean 'badnets'"),
        ({"attack": "badnets"}, BadSetting, "needs a rate"),
        ({"defense": "none,clip"}, BadSetting, "asks for 2 runs, and a Run is one"),
        ({"train": {"epoch": 3}}, UnknownName, "Did you mean 'epochs'"),
        ({"trusted": DATA}, BadSetting, "trusted would be ignored"),
        ({"data": "nowhere/at/all", "evals": [DATA]}, MissingData, "nowhere/at/all"),
    ],
)
def test_what_cannot_be_done_is_refused_before_work(
    place: Place, choices: dict[str, Any], error: type[Exception], words: str
) -> None:
    """With the errors of the command line, and nothing written."""
    with pytest.raises(error, match=words):
        cb.run(cb.Run(**{"data": DATA, **choices}), out=place.out, cache=place.cache)
    assert not place.out.exists()
