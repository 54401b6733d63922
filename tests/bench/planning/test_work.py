"""What a defense does in a whole training, counted on an imaginary set."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import replace

import pytest
import torch

from clipbench.contracts import DefenseRun, EpochPairs, Phase, StatelessRun, TrainingFacts
from clipbench.planning import work
from clipbench.planning.work import seconds_each, work_of
from clipbench_defenses.dao import DAO
from clipbench_defenses.none import NoDefense
from clipbench_defenses.safeclip import SafeCLIP

FACTS = TrainingFacts(1000, 500, 5, 64, 8, torch.device("cpu"), 0)


def plain(features: object) -> torch.Tensor:
    """Return a loss; nothing is trained here."""
    del features
    return torch.zeros(())


class Curious(StatelessRun):
    """A defense that asks twice for scores in every epoch but the first, and thinks for 10 ms."""

    def __init__(self) -> None:
        super().__init__(Phase("all", plain))

    def start(self, facts: TrainingFacts) -> DefenseRun:  # noqa: ARG002
        return self

    def phases(self, epoch: int, pairs: EpochPairs) -> Iterator[Phase]:
        time.sleep(0.01)
        if epoch:
            first, second = (pairs.similarity(augment=True) for _ in range(2))
            assert first.shape == second.shape == (500,)
        yield Phase("all", plain, keep=torch.arange(500) < 100)


def test_without_a_defense_every_epoch_is_one_pass() -> None:
    """Five epochs train five times on every pair; nothing is scored."""
    work = work_of(NoDefense(), FACTS)
    assert list(work.passes.values()) == [5.0]
    assert work.scorings == {}
    (phase,) = work.examples.values()
    assert (phase.views, phase.keep) == (1, None)


def test_safeclip_trains_on_what_it_keeps_and_scores_every_pair_after_its_warmup() -> None:
    """Shares of the safe and the risky set add up over epochs; each split needs all scores."""
    defense = SafeCLIP(unimodal_epochs=1, cross_modal_epochs=1, first_ratio=0.5, growth=0.1)
    work = work_of(defense, FACTS)
    passes = {name: count for (name, *_), count in work.passes.items()}
    assert passes == {
        "unimodal warm-up": 1.0,
        "cross-modal warm-up": 1.0,
        "risky": pytest.approx(0.5 + 0.4 + 0.3),
        "safe": pytest.approx(0.5 + 0.6 + 0.7),
    }
    assert work.scorings == {False: 3}
    augmented = work_of(replace(defense, score_augmented=True), FACTS)
    assert augmented.scorings == {True: 3}
    reusing = work_of(replace(defense, reuse_scores=True), FACTS)
    assert reusing.scorings == {False: pytest.approx(1 + 0.5 + 0.4)}


def test_scores_are_counted_once_an_epoch_and_thinking_takes_time() -> None:
    """The engine remembers an epoch's scores; what a defense does with them is in the plan."""
    work = work_of(Curious(), FACTS)
    assert work.scorings == {True: 4}
    assert list(work.passes.values()) == [pytest.approx(5 * 0.2)]
    assert work.planning * FACTS.pairs_per_epoch >= 5 * 0.01


def test_until_the_set_is_scored_a_filter_trains_its_first_model_alone() -> None:
    """Two epochs and the scoring of all 1,000 pairs in epochs of 500, of seven epochs in all."""
    whole = work_of(DAO(scoring_epochs=2), FACTS, whole=2.0)
    scored = work_of(DAO(scoring_epochs=2), FACTS, whole=2.0, until_scored=True)
    assert (whole.epochs, scored.epochs) == (7, 2)
    assert sum(scored.passes.values()) == 2.0
    assert scored.scorings == {False: 2.0}
    assert sum(whole.passes.values()) > 6.0


def test_what_never_scores_the_whole_set_is_planned_to_its_end() -> None:
    """SafeCLIP scores pairs epoch by epoch, so all of them are wanted."""
    defense = SafeCLIP(unimodal_epochs=1, cross_modal_epochs=1, first_ratio=0.5, growth=0.1)
    assert work_of(defense, FACTS, until_scored=True).passes == work_of(defense, FACTS).passes


@pytest.mark.parametrize(("patience", "counts"), [(0.0, [2]), (1e9, [2, 50])])
def test_slow_actions_are_timed_on_a_few_things(
    patience: float, counts: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(work, "PATIENCE_S", patience)
    done: list[int] = []
    assert seconds_each(done.append, 50) > 0
    assert done == counts


def test_fewer_things_than_are_tried_first_are_timed_once() -> None:
    done: list[int] = []
    assert seconds_each(done.append, 1) > 0
    assert done == [1]
