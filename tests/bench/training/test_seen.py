"""What a defense asks about pairs is computed once, and is what it asked for."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from tiny_training import tiny_trainer

from clipbench.contracts import (
    DefenseRun,
    EpochPairs,
    Features,
    Phase,
    Stage,
    StatelessRun,
    TrainingFacts,
)
from clipbench.loading.pairs import Batch
from clipbench.toolkit.losses import clip_loss
from clipbench.training.scoring import Scoring
from clipbench.training.seen import PassScores, SeenPairs
from clipbench_defenses.clip import AugmentedClip
from clipbench_defenses.safeclip import SafeCLIP


def test_plain_and_augmented_similarities_are_told_apart(tmp_path: Path) -> None:
    """Whichever was asked for first, each is what it is when it is asked for alone.

    Each is computed once, and whoever is handed it may write into it.
    """
    trainer = tiny_trainer(tmp_path, AugmentedClip())

    def seen() -> SeenPairs:
        return SeenPairs(Scoring(trainer.learner, trainer._pairs, 0), np.arange(96), None)

    both = seen()
    augmented, plain = both.similarity(augment=True), both.similarity()
    computed = dict(both.values)
    both.similarity(augment=True).zero_()
    assert torch.equal(both.similarity(augment=True), augmented)
    assert all(both.values[name] is value for name, value in computed.items())
    assert not torch.equal(augmented, plain)
    assert torch.equal(augmented, seen().similarity(augment=True))
    assert torch.equal(plain, seen().similarity())


def test_each_score_of_the_set_is_what_was_asked_for(tmp_path: Path) -> None:
    """Of two in one epoch the second is not the first again, and the last one is recorded.

    A training that is taken up is told the same, though its model may be another by then.
    """
    trainer = tiny_trainer(tmp_path, AugmentedClip())
    scoring = Scoring(trainer.learner, trainer._pairs, 0, tmp_path)

    def of_images(images: torch.Tensor, _: torch.Tensor) -> torch.Tensor:
        return images[:, 0]

    def of_captions(_: torch.Tensor, captions: torch.Tensor) -> torch.Tensor:
        return captions[:, 0]

    pairs = SeenPairs(scoring, np.arange(96)[::-1].copy(), None)
    image, caption = pairs.score_set(of_images), pairs.score_set(of_captions)
    alone = SeenPairs(scoring, np.arange(96), None)
    assert torch.equal(alone.score_set(of_captions), caption)
    assert not torch.equal(image, caption)
    traced = pairs.for_trace()
    assert traced is not None
    assert torch.equal(traced, caption.flip(0))

    def never(*_: torch.Tensor) -> torch.Tensor:
        raise AssertionError

    again = SeenPairs(scoring, np.arange(96), pairs.values)
    assert torch.equal(again.score_set(never), image)
    assert torch.equal(again.score_set(never), caption)


def test_only_pairs_that_no_step_scored_are_scored_when_scores_are_reused(tmp_path: Path) -> None:
    """Others have what their step computed; without such steps it is what scoring gives."""
    trainer = tiny_trainer(tmp_path, AugmentedClip())
    order = np.random.default_rng(0).permutation(96)
    passed = PassScores()
    passed.note(order[:60], torch.linspace(2, 3, 60), 96)

    def seen() -> SeenPairs:
        numbers = np.arange(96)[::-1].copy()
        scoring = Scoring(trainer.learner, trainer._pairs, 0, tmp_path)
        return SeenPairs(scoring, numbers, None, passed)

    scored = seen().similarity()
    torch.testing.assert_close(seen().similarity(reuse=True), scored)  # the epoch is not over
    passed.turn()
    found = seen().similarity(reuse=True).flip(0)
    torch.testing.assert_close(found[torch.from_numpy(order[:60])], torch.linspace(2, 3, 60))
    rest = torch.from_numpy(order[60:])
    torch.testing.assert_close(found[rest], scored.flip(0)[rest])
    assert torch.equal(seen().similarity(), scored)
    passed.turn()
    torch.testing.assert_close(seen().similarity(reuse=True), scored)  # that was two epochs ago


def test_steps_note_the_similarity_of_the_views_that_they_saw(tmp_path: Path) -> None:
    """Of every pair of a phase that scores, as the model had it in that step; of no other."""
    defense = SafeCLIP(
        unimodal_epochs=0, cross_modal_epochs=1, pool_size=40, first_ratio=0.5, reuse_scores=True
    )
    trainer = tiny_trainer(tmp_path, defense, epochs=2)
    seen: list[torch.Tensor] = []
    step = trainer.learner.step

    def watched(phase: Phase, batch: Batch, rate: float, where: str) -> torch.Tensor:
        with torch.no_grad():
            trainer.learner.model.train()
            features = trainer.learner._encoder.features(batch, 0)
        loss = step(phase, batch, rate, where)
        if phase.scores:
            seen.append((features.image[0] * features.text[0]).sum(1))
        return loss

    trainer.learner.step = watched  # type: ignore[method-assign]
    trainer.train()
    trainer._passed.turn()
    noted = trainer._passed.of(np.arange(96))
    assert int(noted.isnan().sum()) == 48
    expected = torch.cat(seen).sort().values
    torch.testing.assert_close(noted[~noted.isnan()].sort().values, expected)


def test_of_another_stage_nothing_is_reused(tmp_path: Path) -> None:
    """Its model may be a fresh one, and its pairs the trusted ones, with numbers of theirs."""
    asked: list[torch.Tensor] = []

    def loss(features: Features) -> torch.Tensor:
        return clip_loss(features.image[0], features.text[0], features.logit_scale)

    class Staged(StatelessRun):
        stages = (Stage(2, trusted=True), Stage(1, fresh=True))

        def phases(self, epoch: int, pairs: EpochPairs) -> Iterator[Phase]:
            similarity = pairs.similarity(reuse=True)
            if epoch == 2:
                asked.extend((similarity, pairs.similarity()))
            yield Phase("all", loss, scores=True)

    class Defense:
        trusted_size = 40

        def start(self, facts: TrainingFacts) -> DefenseRun:  # noqa: ARG002
            return Staged()

    tiny_trainer(tmp_path, Defense(), epochs=1).train()
    reused, scored = asked
    assert torch.equal(reused, scored)
