from __future__ import annotations

import json
import zipfile
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace
from tiny_training import tiny_trainer

from clipbench.boundary.defenses import stages_of
from clipbench.checkpoints.stages import Place, SharedStages
from clipbench.contracts import Defense, Stage
from clipbench.errors import BadSetting
from clipbench.training.engine import Trainer
from clipbench_defenses.cleanclip import CleanCLIP
from clipbench_defenses.clip import AugmentedClip
from clipbench_defenses.dao import DAO
from clipbench_defenses.none import NoDefense
from clipbench_defenses.par import PAR

FILTER = DAO(k=4, block=32)
DEFENSES: dict[str, Defense] = {
    "filter": FILTER,
    "clean-up": CleanCLIP(trusted_size=40, clean_up_epochs=1),
    "reference": PAR(trusted_size=40, clean_up_epochs=2, clean_up_batch_size=16),
    "clip": AugmentedClip(),
}


class Staged:
    """A defense at work, as far as its stages go."""

    def __init__(self, *stages: Stage) -> None:
        self.stages = stages


def weights(trainer: Trainer) -> dict[str, Any]:
    return {name: value.tolist() for name, value in trainer.learner.model.state_dict().items()}


def files(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.glob("trace/*.npz"))}


# --------------------------------------------------------------------------- where an epoch lies


def test_epochs_are_counted_through_all_stages() -> None:
    """Each epoch knows its stage, its number there, and where a stage begins or the first ends."""
    stages = (Stage(2), Stage(1, fresh=True))
    places = [Place.of(epoch, stages) for epoch in range(3)]
    assert [place.epoch for place in places] == [0, 1, 0]
    assert [place.is_new_stage for place in places] == [False, False, True]
    assert [place.ends_first for place in places] == [False, True, False]
    with pytest.raises(IndexError):
        Place.of(3, stages)


@pytest.mark.parametrize(
    "stages",
    [
        (),
        (Stage(0),),
        (Stage(1, lr_scale=0),),
        (Stage(1), Stage(1, batch_size=1)),
        (Stage(1), Stage(1, wd=-0.1)),
        (Stage(1, warmup=-1),),
        (Stage(1), Stage(1, like="clip")),
    ],
)
def test_stages_that_make_no_sense_are_refused(stages: tuple[Stage, ...]) -> None:
    """None, one that is empty, does not learn or warms up backwards, a second one like others."""
    with pytest.raises(BadSetting):
        stages_of(Staged(*stages), 1)


def test_a_run_without_stages_has_one() -> None:
    """It is as long as the settings say, and like no other."""
    assert stages_of(object(), 7) == (Stage(7),)
    with pytest.raises(BadSetting, match="first stage"):
        stages_of(Staged(Stage(1, trusted=True, like="clip")), 1)


# --------------------------------------------------------------------------- trained once


@pytest.mark.parametrize("name", ["filter", "clean-up", "reference", "clip"])
def test_what_begins_like_another_training_takes_that_up(name: str, tmp_path: Path) -> None:
    """After `clip`, the first stage is not trained again, and nothing differs but the time."""
    defense: Defense = DEFENSES[name]
    alone = tiny_trainer(tmp_path / "alone", defense)
    alone.train()
    shared = SharedStages(tmp_path / "stages", "base")
    tiny_trainer(tmp_path / "clip", AugmentedClip(), shared=shared).train()

    steps: list[int] = []
    other = tiny_trainer(tmp_path / "other", defense, shared=shared)
    other._progress = lambda *_: steps.append(other.state.epoch)
    other.train()
    assert [epoch for epoch in steps if epoch < 2] == []
    assert weights(other) == weights(alone)
    assert other.exposures.tolist() == alone.exposures.tolist()
    assert files(tmp_path / "other") == files(tmp_path / "alone")
    told = [[replace(entry, seconds=0.0) for entry in t.state.history] for t in (other, alone)]
    assert told[0] == told[1]
    assert other.state.total_steps == alone.state.total_steps


def test_the_seconds_of_a_shared_stage_count(tmp_path: Path) -> None:
    """A defense costs what it would cost alone; what it did not spend itself is told apart."""
    shared = SharedStages(tmp_path / "stages", "base")
    clip = tiny_trainer(tmp_path / "clip", AugmentedClip(), shared=shared)
    clip.train()
    other = tiny_trainer(tmp_path / "other", FILTER, shared=shared)
    other.train()
    kept = json.loads(json.dumps(other.state.seconds_shared))
    assert kept == pytest.approx(clip.state.seconds)
    assert clip.state.seconds_shared == 0 < kept < other.state.seconds


@pytest.mark.parametrize(
    ("first", "second", "base"),
    [(NoDefense(), FILTER, "base"), (AugmentedClip(), FILTER, "other")],
)
def test_what_differs_is_not_shared(
    first: Defense, second: Defense, base: str, tmp_path: Path
) -> None:
    """Neither a stage that is like no other, nor one of other pairs or settings."""
    tiny_trainer(tmp_path / "first", first, shared=SharedStages(tmp_path / "s", "base")).train()
    trainer = tiny_trainer(tmp_path / "second", second, shared=SharedStages(tmp_path / "s", base))
    trainer.train()
    assert trainer.state.seconds_shared == 0


@pytest.mark.parametrize(("later", "kept"), [("base", True), ("more threads", False)])
def test_a_stage_that_went_on_otherwise_than_it_began_is_not_kept(
    tmp_path: Path, later: str, kept: bool
) -> None:
    """Stopped in its midst and finished with other threads or code: nobody else would train it."""

    def kill(_: str, done: int, total: int) -> None:
        if 2 * done > total:
            raise KeyboardInterrupt

    shared = SharedStages(tmp_path / "s", "base")
    with pytest.raises(KeyboardInterrupt):
        tiny_trainer(tmp_path / "c", AugmentedClip(), shared=shared, progress=kill).train()
    assert (tmp_path / "c" / "checkpoint.pt").is_file()
    shared = SharedStages(tmp_path / "s", later)
    tiny_trainer(tmp_path / "c", AugmentedClip(), shared=shared).train()
    other = tiny_trainer(tmp_path / "other", FILTER, shared=shared)
    other.train()
    assert (other.state.seconds_shared > 0) is kept


def test_other_epochs_are_another_stage(tmp_path: Path) -> None:
    """A scoring model of fewer epochs than the other training's is trained."""
    shared = SharedStages(tmp_path / "stages", "base")
    tiny_trainer(tmp_path / "clip", AugmentedClip(), shared=shared).train()
    short = DAO(scoring_epochs=1, k=4, block=32)
    trainer = tiny_trainer(tmp_path / "short", short, shared=shared)
    trainer.train()
    assert trainer.state.seconds_shared == 0


@pytest.mark.parametrize("name", ["stage.pt", "trace/0000.npz"])
def test_a_damaged_stage_is_trained_again(name: str, tmp_path: Path) -> None:
    """A byte that changed in what can be made again costs a warning and the time, no number."""
    shared = SharedStages(tmp_path / "stages", "base")
    tiny_trainer(tmp_path / "clip", AugmentedClip(), shared=shared).train()
    whole = tiny_trainer(tmp_path / "whole", FILTER, shared=shared)
    whole.train()
    assert whole.state.seconds_shared > 0
    (file,) = (tmp_path / "stages").glob(f"*/{name}")
    content = bytearray(file.read_bytes())
    place = len(content) // 2
    if file.suffix == ".npz":  # not in what zip tells of a file beside its content
        with zipfile.ZipFile(file) as parts:
            place = parts.infolist()[1].header_offset - 1
    content[place] ^= 64
    file.write_bytes(content)
    again = tiny_trainer(tmp_path / "again", FILTER, shared=shared)
    with pytest.warns(UserWarning, match=f"{file.parents[name.count('/')]} was damaged"):
        again.train()
    assert again.state.seconds_shared == 0
    assert weights(again) == weights(whole)
    third = tiny_trainer(tmp_path / "third", FILTER, shared=shared)
    third.train()  # what was trained again is kept
    assert third.state.seconds_shared > 0


def test_a_stage_that_two_trainings_finish_is_kept_once(tmp_path: Path) -> None:
    """The second to finish leaves what the first kept, and no trace of its own."""
    shared = SharedStages(tmp_path / "stages", "base")
    stage = Stage(2, like="clip")
    shared.keep(stage, tmp_path / "a", {"state": "first"})
    shared.keep(stage, tmp_path / "b", {"state": "second"})
    found = shared.take(stage, tmp_path / "c")
    assert found is not None
    assert found["state"] == "first"
    assert len(list((tmp_path / "stages").iterdir())) == 1
