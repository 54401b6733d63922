"""A run that was killed and started again ends with the numbers of one that was left alone."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import pytest
from tiny_runs import PAIRS, SAFECLIP, Place, hash_of, numbers

Grid = tuple[Place, list[dict[str, Any]]]
ResultOf = Callable[[str, str], dict[str, Any]]

RUN = ("--attack", "targeted:targets=2", "--poisons", "8", "--defense", SAFECLIP, "--epochs", "3")
EVERY_STEP = ("--set", "checkpoint_every_s=0")
UNDISTURBED: dict[str, Any] = {}
CHECKPOINT = r"rename .*/train/\.checkpoint\.pt\."


def checkpoint(number: int) -> dict[str, Any]:
    """Kill when this checkpoint of the process is written, but not yet in place."""
    return {"kill": CHECKPOINT, "number": number}


STAGES = (
    "clean shards",
    "ledger",
    "unimodal warm-up",
    "cross-modal warm-up",
    "risky set",
    "safe set",
    "evaluation",
)

# 400 pairs in batches of 128 are four steps an epoch, after each a checkpoint, and one at its end;
# half of them are risky, half safe: two steps each. Every process goes on where the last one ended.
ONE_AFTER_ANOTHER = {
    "clean shards": {"kill": r"rename .*/shards/\.00000\.tar\."},
    "naming the clean set": {"kill": r"rename /cache/shapes/.*\.partial/shards$"},
    "poisoned shards": {"kill": r"rename /cache/poisoned/.*/shards/\.00000\.tar\."},
    "ledger": {"kill": r"rename .*/ledger/\.ledger\.json\."},
    "decoding": {"kill": r"rename /cache/decoded/"},
    "unimodal warm-up": checkpoint(3),  # two of four steps are kept
    "cross-modal warm-up": checkpoint(6),  # the other two, the epoch, two of four steps
    "before the split": {"kill": r"rename .*/trace/\.0002\."},
    "risky set": checkpoint(2),  # one of two steps
    "safe set": checkpoint(3),  # the other, one of two steps
    "weights": {"kill": r"rename .*/model/\.open_clip_model\.safetensors\."},
    "between training and record": {"kill": r"rename .*/train/\.record\.json\."},
    "evaluation": {"kill": r"open /[^ ]*/ledger/ledger\.parquet", "delay": 0.02},
    "result": {"kill": r"rename /runs/[^/]+/\.result\.json\."},
}


def assert_same(place: Place, grid: Grid, reference: dict[str, Any]) -> None:
    """Compare all that a run leaves with what an undisturbed one left."""
    assert numbers(place.result()) == numbers(reference)
    weights = grid[0].run_folder(reference) / "model" / "open_clip_model.safetensors"
    assert place.weights() == hash_of(weights)
    assert place.shards().items() <= grid[0].shards().items()
    assert not [*place.folder.rglob("*.partial")]
    assert not [*place.out.rglob("*checkpoint*")]


@pytest.mark.parametrize(
    "stages", [STAGES, pytest.param(tuple(ONE_AFTER_ANOTHER), marks=pytest.mark.slow)], ids=len
)
def test_a_run_killed_in_stage_after_stage_is_the_same_run(
    place: Place, grid: Grid, result_of: ResultOf, stages: tuple[str, ...]
) -> None:
    """Killed in each stage, one after another, a run ends with the bits of one left alone."""
    troubles = [*(ONE_AFTER_ANOTHER[stage] for stage in stages), UNDISTURBED]
    ends = place.disturbed(troubles, *RUN, *EVERY_STEP)
    assert ends == [*("killed" for _ in stages), 0]
    assert_same(place, grid, result_of("targeted", "safeclip"))


@pytest.mark.slow
def test_a_checkpoint_holds_the_middle_of_a_phase(place: Place) -> None:
    """Killed in the middle of the safe set's phase, training goes on there, not at the epoch."""
    stop = {"kill": CHECKPOINT, "number": 2 * 5 + 2 + 2}  # the safe set's second step
    steps = {"kill": CHECKPOINT, "number": 3}  # that step again, the epoch; there is no third
    ends = place.disturbed([stop, steps], *RUN, *EVERY_STEP)
    assert ends == ["killed", 0]
    assert place.result()["train"]["samples_seen"] == 3 * PAIRS


@pytest.mark.slow
def test_without_checkpoints_of_its_own_an_epoch_starts_again(
    place: Place, grid: Grid, result_of: ResultOf
) -> None:
    """Killed before the first checkpoint is due, the epoch is done again, to the same numbers."""
    stop = {"kill": r"rename .*/trace/\.0001\."}
    ends = place.disturbed([stop, checkpoint(2), UNDISTURBED], *RUN)
    assert ends == ["killed", "killed", 0]
    assert_same(place, grid, result_of("targeted", "safeclip"))


@pytest.fixture(scope="module")
def num_moments(tmp_path_factory: pytest.TempPathFactory) -> int:
    """Return how many moments a run has in which it can be killed."""
    place = Place(tmp_path_factory.mktemp("moments"))
    return len(place.disturbed([], *RUN, *EVERY_STEP))


@pytest.mark.slow
@pytest.mark.parametrize("number", range(20))
def test_a_run_killed_at_any_moment_is_the_same_run(
    place: Place, grid: Grid, result_of: ResultOf, num_moments: int, number: int
) -> None:
    """Killed at moments drawn at random from all that there are, a run ends the same."""
    rng = random.Random(f"killed at a moment {number}")
    stop = {"kill": "", "number": rng.randint(1, num_moments)}
    ends = place.disturbed([stop, UNDISTURBED], *RUN, *EVERY_STEP)
    assert ends == ["killed", 0]
    assert_same(place, grid, result_of("targeted", "safeclip"))


@pytest.mark.slow
@pytest.mark.parametrize("number", range(10))
def test_a_run_killed_at_any_time_is_the_same_run(
    place: Place, grid: Grid, result_of: ResultOf, number: int
) -> None:
    """Killed again and again after random times, in between all moments, a run ends the same."""
    rng = random.Random(f"killed at a time {number}")
    stops = [{"kill": "", "delay": rng.uniform(0.05, 1.5)} for _ in range(3)]
    ends = place.disturbed([*stops, UNDISTURBED], *RUN, "--set", "checkpoint_every_s=0.1")
    assert ends[0] == "killed"
    assert ends[-1] == 0
    assert_same(place, grid, result_of("targeted", "safeclip"))


@pytest.mark.slow
def test_workers_of_a_killed_run_leave_and_their_shards_are_kept(place: Place) -> None:
    """Killed while several processes write shards, a run leaves none of them behind and goes on."""
    data = ("--data", "shapes:size=30000,test_size=100,targets_size=100")
    line = (*data, "--attack", "badnets", "--poisons", "30", "--epochs", "1")
    plan = {"kill": r"rename .*\.partial/\.plan\.json\.", "delay": 12.0}
    ends = place.disturbed([plan, UNDISTURBED, UNDISTURBED], *line)
    assert ends == ["killed", 0, 0]
    other = Place(place.folder / "alone")
    other.run(*line)
    assert place.shards() == other.shards()
    assert numbers(place.result()) == numbers(other.result())
