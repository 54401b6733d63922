"""Poisoned sets: shared where they may be, written where they are asked for."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from small_runs import Place, config_of

from clipbench.errors import BadSetting
from clipbench.planning.parts import Parts
from clipbench.poisoning.ledger import read_ledger
from clipbench.shards.reader import ShardSet


def test_poison_depends_on_attack_and_seed_and_not_on_the_defense(shared: Place) -> None:
    """Defenses share a poisoned set; other parameters, counts or seeds make another."""
    base = shared.poison(config_of(attack="badnets"))
    assert shared.poison(config_of(attack="badnets", defense="clip")) == base
    others = [
        shared.poison(config_of(attack="badnets:size=0.5")),
        shared.poison(config_of(attack="badnets", poisons=5)),
        shared.poison(config_of(attack="badnets", seed=1)),
    ]
    assert len({base.ledger, *(other.ledger for other in others)}) == 4
    assert read_ledger(others[1].ledger).count == 5


def test_poison_has_a_seed_of_its_own(shared: Place) -> None:
    """With it the set, its targets and its ledger are those of that seed, whatever the run's is."""
    drawn = shared.poison(config_of(attack="targeted:targets=3", seed=1))
    apart = config_of(attack="targeted:targets=3", seed=0, poison_seed=1)
    assert shared.poison(apart) == drawn
    assert read_ledger(drawn.ledger).seed == 1
    probes = [
        Parts.of(run).probes(run.seed_of_poison)
        for run in (apart, config_of(attack="targeted:targets=3", seed=1))
    ]
    np.testing.assert_array_equal(*(found.goals for found in probes if found is not None))


def test_a_poisoned_set_can_be_written_anywhere(shared: Place, tmp_path: Path) -> None:
    """Shards and ledger lie apart in the folder that was asked for; another set is refused."""
    made = shared.poison(config_of(attack="badnets"), tmp_path / "set")
    assert made.shards_folder == tmp_path / "set" / "shards"
    assert made.ledger == tmp_path / "set" / "ledger" / "ledger.json"
    assert len(ShardSet.open(made.shards_folder)) == 200
    with pytest.raises(BadSetting, match=r"another poisoned set: its seed is 0, not 1"):
        shared.poison(config_of(attack="badnets", seed=1), tmp_path / "set")
    with pytest.raises(BadSetting, match="nothing to poison: name an attack with --attack"):
        shared.poison(config_of(), tmp_path / "other")


def test_an_attack_that_was_edited_in_its_package_poisons_anew(
    shared: Place, edited: Callable[[str], str]
) -> None:
    """A run is not known by a package's code, so poison of the old code may lie in the cache."""
    found = []
    for words in ("before", "behind"):
        made = shared.poison(config_of(attack=edited(words)))
        found += set(read_ledger(made.ledger).rows["caption_after"])
    assert found == ["before", "behind"]


def test_poison_of_an_attack_before_it_was_edited_is_not_taken_for_its_own(
    shared: Place, edited: Callable[[str], str], tmp_path: Path
) -> None:
    """A folder that was asked for holds what the code of that day made, and says so."""
    run, out = config_of(attack=edited("before")), tmp_path / "set"
    made = shared.poison(run, out)
    assert shared.poison(run, out) == made
    assert list(read_ledger(made.ledger).packages) == ["said_by_a_test"]
    again = config_of(attack=edited("behind"))
    with pytest.raises(
        BadSetting, match=r"poisoned by other code of said_by_a_test than .* remove it"
    ):
        shared.poison(again, out)
    ours = shared.poison(config_of(attack="badnets"), tmp_path / "ours")
    assert read_ledger(ours.ledger).packages == {}
