"""Same configuration and seed, same bytes and same numbers, however many workers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from tiny_runs import SAFECLIP, Place, numbers

Grid = tuple[Place, list[dict[str, Any]]]
ResultOf = Callable[[str, str], dict[str, Any]]


@pytest.mark.parametrize(
    ("attack", "defense", "workers"),
    [("targeted:targets=2", SAFECLIP, 2), ("badnets", "clip", 0)],
    ids=["targeted, two workers", "badnets, none"],
)
def test_two_runs_of_one_seed_are_equal(
    *, place: Place, grid: Grid, result_of: ResultOf, workers: int, attack: str, defense: str
) -> None:
    """Byte-identical shards, ledger and weights, equal numbers; loader workers change nothing."""
    line = ("--attack", attack, "--poisons", "8", "--defense", defense, "--epochs", "3")
    (result,) = place.run(*line, "--workers", workers)
    reference = result_of(attack.partition(":")[0], defense.partition(":")[0])
    assert numbers(result) == numbers(reference)
    assert (
        len(place.shards()) == 4 + 7
    )  # clean set; poisoned set with its ledger and that one's hash
    assert place.shards().items() <= grid[0].shards().items()
    weights = [
        (there.run_folder(result) / "model" / "open_clip_model.safetensors").read_bytes()
        for there in (place, grid[0])
    ]
    assert weights[0] == weights[1]


def test_another_seed_gives_other_poison_and_other_numbers(
    place: Place, grid: Grid, result_of: ResultOf
) -> None:
    """The seed decides the poison, the weights and the order of training; not the clean set."""
    line = ("--attack", "badnets", "--poisons", "8", "--epochs", "3", "--seed", "1")
    (result,) = place.run(*line)
    mine, other = place.shards(), grid[0].shards()
    same = {name.split("/")[0] for name, value in mine.items() if other.get(name) == value}
    assert same == {"shapes"}
    assert not {name for name in mine if name.startswith("poisoned")} & set(other)
    losses = [entry["loss"] for entry in result["history"]]
    assert losses != [entry["loss"] for entry in result_of("badnets", "none")["history"]]
