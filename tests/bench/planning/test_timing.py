"""How long a run takes: measured once, told after the plan, and never the end of a run."""

from __future__ import annotations

import json
import os
import resource
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, cast

import pytest
import torch
from small_runs import TRAIN, Place, config_of
from torch import Tensor

from clipbench.configuration.settings import TrainSettings
from clipbench.contracts import DefenseRun, Features, Phase, StatelessRun, TrainingFacts
from clipbench.errors import BadSetting
from clipbench.planning import rehearsal
from clipbench.planning.estimate import Estimate
from clipbench.planning.pace import Pace
from clipbench.planning.plan import Plan
from clipbench.planning.speeds import KeptSpeeds, TrainingSpeeds
from clipbench.planning.timing import Timed, lines, timed
from clipbench.planning.work import Work

KIND = ("all", 1, 0, True)
WORK = Work({KIND: 3.0}, {False: 2}, 0.001, {}, 3)
SPEEDS = TrainingSpeeds(1.0, 0.005, 0.006, steps={KIND: 0.01}, scores={False: 0.02})
SAFECLIP = "safeclip:unimodal_epochs=1,cross_modal_epochs=1,first_ratio=0.5"


@dataclass(frozen=True)
class Refusing:
    """A defense that refuses its settings in the middle of an epoch."""

    def start(self, facts: TrainingFacts) -> DefenseRun:  # noqa: ARG002
        def loss(_: Features) -> Tensor:
            raise BadSetting("these views are too few")

        return StatelessRun(Phase("refusing", loss))


@contextmanager
def no_file_above(size: int) -> Iterator[None]:
    """Let no file grow beyond `size` bytes, as on a disk that is full."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.fixture
def rehearsals(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return a list that gets the defense of every rehearsal."""
    done: list[str] = []

    def noting(config: Any, *rest: Any) -> Any:
        done.append(config.defense_name)
        return rehearsal.rehearse(config, *rest)

    monkeypatch.setattr("clipbench.planning.estimate.rehearse", noting)
    return done


def test_no_room_for_a_rehearsal_leaves_the_time_unknown(place: Place) -> None:
    """And names the folder that is full, which is not one that a person gave."""
    plan = place.plan(config_of())
    with no_file_above(10_000):
        found = timed("", partial(plan.estimate, place.cache))
    assert found.time is None
    assert found.text().startswith("unknown: no space left in ")
    assert "TMPDIR" in found.text()


def test_whatever_happens_in_a_rehearsal_the_run_goes_on(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A folder of temporary files that is not there is told of, no more."""
    monkeypatch.setattr("tempfile.tempdir", str(place.folder / "absent"))
    found = timed("", partial(place.plan(config_of()).estimate, place.cache))
    assert found.time is None
    assert "absent" in found.why


def test_settings_that_are_refused_late_are_refused_before_work(place: Place) -> None:
    """What a defense says of the settings is no trouble of the rehearsal."""
    plan = place.plan(config_of())
    refusing = replace(plan, parts=replace(plan.parts, defense=Refusing()))
    with pytest.raises(BadSetting, match="these views are too few"):
        timed("", partial(refusing.estimate, place.cache))


@pytest.mark.parametrize("defense", ["none", SAFECLIP])
def test_a_second_plan_takes_no_rehearsal(
    place: Place, rehearsals: list[str], defense: str
) -> None:
    """Whatever its attack, its seed, its epochs and its learning rate."""
    first = place.plan(config_of(defense=defense, train={**TRAIN, "epochs": 4}))
    known = first.estimate(place.cache)
    again = first.estimate(place.cache)
    assert len(rehearsals) == 1
    assert again.evaluation == known.evaluation
    others = {"attack": "badnets", "seed": 1, "train": {**TRAIN, "epochs": 8, "lr": 1e-4}}
    longer = place.plan(config_of(defense=defense, **others)).estimate(place.cache)
    assert len(rehearsals) == 1
    assert longer.training > known.training


@pytest.mark.parametrize(
    "changed",
    [
        {"defense": "clip"},
        {"train": {**TRAIN, "batch_size": 32}},
        {"train": {**TRAIN, "flip": 0.0}},
        {"data": "shapes:size=300,test_size=100,targets_size=50"},
    ],
)
def test_another_kind_of_run_is_measured_anew(
    shared: Place, rehearsals: list[str], changed: dict[str, Any]
) -> None:
    """Speeds are of defense, model, batches, augmentation and data."""
    shared.plan(config_of()).estimate(shared.cache)
    del rehearsals[:]
    shared.plan(config_of(**changed)).estimate(shared.cache)
    assert len(rehearsals) == 1


def _old(file: Path) -> None:
    week = time.time() - 8 * 86_400
    os.utime(file, (week, week))


def _busy(file: Path) -> None:
    file.write_text(json.dumps({**json.loads(file.read_text()), "busy": True}))
    hour = time.time() - 3_600
    os.utime(file, (hour, hour))


def _endless(file: Path) -> None:
    file.write_text(json.dumps({**json.loads(file.read_text()), "model": float("inf")}))


def _other(file: Path) -> None:
    file.write_text(json.dumps({**json.loads(file.read_text()), "more": 1.0}))


def _without_steps(file: Path) -> None:
    file.write_text(json.dumps({**json.loads(file.read_text()), "steps": []}))


@pytest.mark.parametrize(
    "spoil",
    [_old, _busy, _endless, _other, _without_steps, lambda file: file.write_text("[1")],
)
def test_speeds_that_are_old_or_spoilt_are_none(place: Place, spoil: Callable[[Path], Any]) -> None:
    """A file of them is believed no further than it can be checked."""
    kept = KeptSpeeds(place.folder / "speeds.json")
    kept.keep(SPEEDS)
    assert kept.find(TrainingSpeeds, WORK) == SPEEDS
    spoil(kept.path)
    assert kept.find(TrainingSpeeds, WORK) is None


def test_speeds_that_cannot_be_kept_are_no_error(place: Place, rehearsals: list[str]) -> None:
    """The cache may be a folder that only others write."""
    place.cache.mkdir()
    (place.cache / "speeds").write_text("in the way")
    assert place.plan(config_of()).estimate(place.cache).training > 0
    assert len(rehearsals) == 1


def test_of_a_training_that_was_stopped_the_rest_is_counted(place: Place) -> None:
    """The plan says where it goes on."""
    plan = place.plan(config_of(train={**TRAIN, "epochs": 4}))
    whole = plan.estimate(place.cache)
    train = plan.folder / "train"
    (train / "trace").mkdir(parents=True)
    for number in range(3):  # the third epoch has begun, and two are done
        (train / "trace" / f"{number:04d}.npz").write_bytes(b"")
    assert place.plan(plan.config).begun == 0  # without a checkpoint it starts anew
    (train / "checkpoint.pt").write_bytes(b"")
    resumed: Plan = place.plan(plan.config)
    assert "  resumes  at epoch 3 of 4" in resumed.lines()
    left = resumed.estimate(place.cache)
    assert 0.2 < left.training / whole.training < 0.8
    assert left.data == 0


def test_several_runs_have_a_total() -> None:
    """Of those whose time is known; alone a run has a line without a name."""
    known = Timed("targeted / none / seed 0", Estimate(10.0, 60.0, 30.0, 5))
    unknown = Timed("targeted / clip / seed 0", None, "no space left")
    alone = Timed("", Estimate(0.0, 60.0, 0.0, 5))
    assert lines([alone]) == ["  time     about 60 s on this machine"]
    assert lines([known, unknown, known]) == [
        "  time     targeted / none / seed 0  about 2 min on this machine, 60 s of it training",
        "  time     targeted / clip / seed 0  unknown: no space left",
        "  time     targeted / none / seed 0  about 2 min on this machine, 60 s of it training",
        "  time     2 of 3                    about 3 min, less what they share",
    ]


class Quick:
    """A learner as quick as one on a GPU, which counts the rows of its largest step."""

    most_rows = 0

    def step(self, _: Phase, batch: Any, *__: Any) -> None:
        self.most_rows = max(self.most_rows, batch)


class Rows:
    """Pairs whose batches are how many rows they have."""

    def __len__(self) -> int:
        return 256

    def stream(self, requests: Any, _: Any) -> Iterator[int]:
        for request in requests:
            yield len(request.pairs[request.rows])


@pytest.mark.parametrize(("processes", "most"), [(1, 8192), (8, 1024)])
def test_a_rehearsal_tries_no_more_rows_than_the_training_gives_a_process(
    processes: int, most: int
) -> None:
    """A batch of all processes would not fit the memory that one has."""
    learner: Any = Quick()
    settings = TrainSettings(batch_size=8192, workers=0)
    pace = Pace(learner, cast("Any", Rows()), settings, torch.device("cpu"), processes)
    pace.step(Phase("all", lambda features: features.logit_scale))
    assert most / 2 < learner.most_rows <= most


@pytest.mark.parametrize("error", [torch.OutOfMemoryError("CUDA out of memory"), MemoryError()])
def test_an_estimate_that_runs_out_of_memory_is_none(error: Exception) -> None:
    """The run is not ended by what was only to be measured."""

    def estimate() -> Estimate:
        raise error

    assert timed("", estimate).text() == (
        "unknown: measuring it took more memory than there is; training may, too"
    )
