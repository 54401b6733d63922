from __future__ import annotations

import numpy as np
import open_clip
import pytest
import torch

from clipbench.contracts import Classes
from clipbench.errors import BadInput
from clipbench.evaluation.zeroshot import (
    label_ranks,
    mean_per_class_recall,
    top_k_correct,
    zeroshot_classifier,
)

TOKENIZER = open_clip.SimpleTokenizer(context_length=24)
CLASSES = Classes(
    names=("red circle", "blue square", "cat", "dog", "car"),
    templates=("a photo of a {}.", "a drawing of a {}.", "{}"),
    aliases=(("red circle",), ("blue square",), ("cat",), ("dog",), ("car",)),
)


@pytest.mark.parametrize("batch_size", [4, 512])
def test_the_classifier_equals_open_clips(batch_size: int) -> None:
    """Class embeddings are those of open_clip's builder, whatever the batch size."""
    torch.manual_seed(0)
    model = open_clip.CLIP(
        32,
        {"image_size": 32, "patch_size": 8, "width": 32, "head_width": 16, "layers": 1},
        {"context_length": 24, "vocab_size": 49408, "width": 32, "heads": 2, "layers": 1},
    ).eval()
    expected = open_clip.build_zero_shot_classifier(
        model, TOKENIZER, CLASSES.names, CLASSES.templates
    )
    actual = zeroshot_classifier(model, TOKENIZER, CLASSES, batch_size=batch_size)
    assert actual.shape == (32, 5)
    torch.testing.assert_close(actual, expected, atol=1e-5, rtol=0)
    # The classes differ by much more than the tolerance, so the comparison means something.
    assert (expected[:, 0] - expected[:, 1]).abs().max() > 1e-2


def test_top_k_counts_labels_among_the_k_best() -> None:
    """A hand-made case: labels on ranks 0, 1 and 2."""
    logits = torch.tensor([[3.0, 2, 1], [3.0, 2, 1], [3.0, 2, 1]])
    ranks = label_ranks(logits, np.array([0, 1, 2]))
    assert ranks.tolist() == [0, 1, 2]
    assert [top_k_correct(ranks, k).k for k in (1, 2, 3, 5)] == [1, 2, 3, 3]
    assert top_k_correct(ranks, 1).n == 3


def test_the_best_class_is_what_argmax_says() -> None:
    """Without ties, rank 0 is the argmax."""
    logits = torch.randn(200, 10, generator=torch.Generator().manual_seed(0))
    labels = np.arange(200) % 10
    correct = logits.argmax(1).numpy() == labels
    assert (correct == (label_ranks(logits, labels) == 0)).all()


def test_a_model_that_tells_nothing_apart_is_right_by_chance() -> None:
    """Equal logits give chance for top-1 and top-5, not everything and not nothing."""
    ranks = label_ranks(torch.zeros(100, 10), np.arange(100) % 10)
    assert (top_k_correct(ranks, 1).k, top_k_correct(ranks, 5).k) == (10, 50)


def test_mean_per_class_recall_weighs_classes_equally() -> None:
    """Three of three and none of one are a half; a class without images does not count."""
    labels = np.array([0, 0, 0, 3])
    assert mean_per_class_recall(np.array([0, 0, 0, 1]), labels) == 0.5
    assert mean_per_class_recall(np.array([0, 1, 1, 0]), labels) == pytest.approx(2 / 3)


@pytest.mark.parametrize("label", [-1, 3])
def test_a_label_that_is_no_class_is_an_error(label: int) -> None:
    """Labels out of range are refused, not counted as wrong."""
    with pytest.raises(BadInput, match="3 classes"):
        label_ranks(torch.zeros(2, 3), np.array([0, label]))
