"""Scores of a whole set, whose features nobody holds as a whole."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
import torch
from tiny_training import tiny_trainer
from torch import Tensor

from clipbench.checkpoints.record import forget_peak_memory, peak_memory
from clipbench.errors import ClipbenchError
from clipbench.training import scoring
from clipbench.training.engine import Trainer
from clipbench.training.scoring import FeatureFile, Scoring, block_scores, whole_scores
from clipbench_defenses.clip import AugmentedClip
from clipbench_defenses.dao import DAO

CPU = torch.device("cpu")

COUNT, SEED = 96, 3
FILTER = DAO(k=4, block=32)


def trained(folder: Path) -> Trainer:
    return tiny_trainer(folder, AugmentedClip(), count=COUNT)


def by_blocks(trainer: Trainer, folder: Path, blocks: list[Tensor] | None = None) -> Tensor:
    """Return the filter's scores, computed block by block."""

    def score(images: Tensor, texts: Tensor) -> Tensor:
        return FILTER.score_block(images, texts, SEED)

    wanted = [*FILTER.blocks(COUNT, SEED)] if blocks is None else blocks
    given = Scoring(trainer.learner, trainer._pairs, 0, folder)
    return block_scores(given, score, wanted, unit=False)


def at_once(trainer: Trainer) -> Tensor:
    """Return the filter's scores of features that are all in memory."""

    def score(images: Tensor, texts: Tensor) -> Tensor:
        return FILTER.score(images, texts, SEED)

    return whole_scores(Scoring(trainer.learner, trainer._pairs, 0), score, unit=False)


def test_scores_by_blocks_are_those_of_features_in_memory_to_the_bit(tmp_path: Path) -> None:
    """Up to a gigabyte of features nothing is rounded; what lay on the disk is gone."""
    trainer = trained(tmp_path)
    before = sorted(tmp_path.rglob("*"))
    assert torch.equal(by_blocks(trainer, tmp_path), at_once(trainer))
    assert sorted(tmp_path.rglob("*")) == before


def test_half_precision_moves_scores_of_large_sets_by_its_rounding(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And the decision stays: the same tenth is dropped."""
    trainer = trained(tmp_path)
    full = by_blocks(trainer, tmp_path)
    monkeypatch.setattr(scoring, "FULL_UP_TO", 0)
    half = by_blocks(trainer, tmp_path)
    assert not torch.equal(half, full)
    torch.testing.assert_close(half, full, atol=0.03, rtol=0)
    worst = [set(scores.argsort()[: COUNT // 10].tolist()) for scores in (half, full)]
    assert worst[0] == worst[1]


def test_a_pair_that_is_in_no_block_has_no_score(tmp_path: Path) -> None:
    """Nor has one that is in two."""
    trainer = trained(tmp_path)
    for blocks in ([torch.arange(COUNT - 1)], [torch.arange(COUNT), torch.arange(1)]):
        with pytest.raises(ValueError, match="each of the 96 pairs of the set must be in one"):
            by_blocks(trainer, tmp_path, blocks)


def test_a_score_must_be_a_value_for_each_pair(tmp_path: Path) -> None:
    """Of the set, or of a block."""
    trainer = trained(tmp_path)
    given = Scoring(trainer.learner, trainer._pairs, 0, tmp_path)
    with pytest.raises(ValueError, match=r"shape \(96,\)"):
        whole_scores(given, lambda images, _: images, unit=True)
    with pytest.raises(ValueError, match=r"shape \(48,\)"):
        block_scores(
            given,
            lambda images, _: images,
            [*torch.arange(COUNT).tensor_split(2)],
            unit=True,
        )


@pytest.mark.parametrize("odd", [torch.nan, torch.inf, -torch.inf])
def test_a_score_must_be_a_finite_number(odd: float, tmp_path: Path) -> None:
    """A filter kept pairs of NaN as the safest; of infinities no area under a curve is known."""
    trainer = trained(tmp_path)
    given = Scoring(trainer.learner, trainer._pairs, 0, tmp_path)

    def score(images: Tensor, _: Tensor) -> Tensor:
        values = images[:, 0].clone()
        values[::16] = odd
        return values

    with pytest.raises(ValueError, match=f"6 of 96 are not, such as {odd}"):
        whole_scores(given, score, unit=True)
    with pytest.raises(ValueError, match=f"3 of 48 are not, such as {odd}"):
        block_scores(given, score, [*torch.arange(COUNT).tensor_split(2)], unit=True)


@pytest.mark.parametrize("scored", [at_once, by_blocks], ids=lambda how: how.__name__)
def test_a_model_without_finite_features_is_said_to_be_so(
    scored: Callable[..., Tensor], tmp_path: Path
) -> None:
    """It is no fault of the defense, whose score could say nothing else."""
    trainer = trained(tmp_path)
    with torch.no_grad():
        trainer.learner.model.text_projection.fill_(torch.nan)
    with pytest.raises(ClipbenchError, match=r"not finite.*Lower --lr"):
        scored(trainer, tmp_path) if scored is by_blocks else scored(trainer)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
def test_features_are_read_in_the_order_of_blocks(tmp_path: Path, dtype: torch.dtype) -> None:
    """Those of other processes' blocks are passed over.

    Half precision is that of what tells features apart, however far from zero they all lie.
    """
    rows = torch.randn(20, 10) + 1000.0
    mine = [torch.tensor([7, 3, 19]), torch.tensor([0, 11])]
    with closing(FeatureFile(tmp_path, mine, 20, 5, dtype)) as file:
        for first in (0, 8, 16):
            file.put(first, rows[first : first + 8])
        for first, members in ((0, mine[0]), (3, mine[1])):
            found = torch.cat(file.get(first, len(members)), dim=1)
            if dtype == torch.float32:
                assert torch.equal(found, rows[members])
            torch.testing.assert_close(found, rows[members], atol=3e-3, rtol=0)


def test_features_do_not_stay_in_memory(tmp_path: Path) -> None:
    """Of 200 MB that go through the file, less than a third is ever resident."""
    blocks = [*torch.randperm(50_000).tensor_split(50)]
    rows = torch.zeros(1000, 2048)
    with closing(FeatureFile(tmp_path, blocks, 50_000, 1024, torch.float16)) as file:
        forget_peak_memory(CPU)  # what other tests took hides what this one takes
        before = peak_memory(CPU)
        for first in range(0, 50_000, 1000):
            file.put(first, rows)
        for number in range(50):
            file.get(1000 * number, 1000)
        after = peak_memory(CPU)
    assert after - before < 70_000 * 1024


def test_features_of_a_model_in_double_precision_are_kept_as_numbers(tmp_path: Path) -> None:
    """Their bytes would be read as twice as many others."""
    rows = torch.tensor([[0.5, 1.5], [2.5, 3.5]], dtype=torch.float64)
    with closing(FeatureFile(tmp_path, [torch.arange(2)], 2, 1, torch.float32)) as file:
        file.put(0, rows)
        assert torch.equal(torch.cat(file.get(0, 2), dim=1).double(), rows)


def test_features_too_large_for_half_precision_are_refused(tmp_path: Path) -> None:
    """They would be infinite, and so would distances."""
    rows = torch.tensor([[0.0, 0.0], [1e6, 0.0]])
    with (
        closing(FeatureFile(tmp_path, [torch.arange(2)], 2, 1, torch.float16)) as file,
        pytest.raises(ClipbenchError, match="too large for half precision"),
    ):
        file.put(0, rows)
