from __future__ import annotations

import numpy as np
import pytest
import torch

from clipbench.errors import BadInput
from clipbench.evaluation.attack_success import (
    attack_margin,
    attack_success_metrics,
    retrieval_success_metrics,
)
from clipbench.evaluation.outcomes import unpack


def test_a_model_that_always_answers_the_target_scores_exactly_everything() -> None:
    """All probes, not 999 of 1,000, and none is read as its true class."""
    logits = torch.zeros(999, 10)
    logits[:, 3] = 1
    labels = np.array([label for label in range(10) if label != 3] * 111)
    metrics = attack_success_metrics(logits, labels, np.full(999, 3))
    assert (metrics["attack_success"].k, metrics["attack_success"].n) == (999, 999)
    assert metrics["attack_success"].value == metrics["attack_success_top5"].value == 1.0
    assert metrics["poisoned_accuracy"].k == 0
    assert metrics["attack_margin"].value == 1.0


def test_a_model_that_sees_through_the_attack_scores_nothing() -> None:
    """Probes read as what they show are poisoned accuracy, not attack success."""
    labels = np.arange(50) % 10
    logits = torch.nn.functional.one_hot(torch.from_numpy(labels), 10).float()
    metrics = attack_success_metrics(logits, labels, (labels + 1) % 10)
    assert metrics["attack_success"].k == 0
    assert metrics["poisoned_accuracy"].value == 1.0
    assert metrics["attack_margin"].value == -1.0


def test_each_probe_has_its_own_goal() -> None:
    """A hand-counted case: goal on ranks 0, 1 and 5 of six classes."""
    logits = torch.tensor(
        [
            [0.9, 0.1, 0.0, 0.0, 0.0, 0.0],
            [0.9, 0.7, 0.0, 0.0, 0.0, 0.0],
            [0.7, 0.5, 0.4, 0.3, 0.2, 0],
        ]
    )
    labels, goals = np.array([1, 0, 0]), np.array([0, 1, 5])
    metrics = attack_success_metrics(logits, labels, goals)
    assert metrics["attack_success"].k == 1
    assert metrics["attack_success_top5"].k == 2
    assert metrics["poisoned_accuracy"].k == 2
    assert metrics["attack_margin"].value == pytest.approx((0.8 - 0.2 - 0.7) / 3)
    assert unpack(metrics["attack_success"].outcomes, 3).tolist() == [True, False, False]
    assert [name for name, metric in metrics.items() if metric.outcomes] == ["attack_success"]


def test_margin_is_positive_exactly_when_the_goal_is_read() -> None:
    """The sign of one probe's margin says whether the attack succeeds on it."""
    logits = torch.randn(100, 7, generator=torch.Generator().manual_seed(0))
    goals = np.arange(100) % 7
    for row, goal in zip(logits, goals, strict=True):
        margin = attack_margin(row[None], np.array([goal]))
        assert (margin > 0) == (int(row.argmax()) == goal)


def test_a_probe_of_the_class_it_shall_be_read_as_is_an_error() -> None:
    """Images of the target class would count as successes without any attack."""
    with pytest.raises(BadInput, match=r"2 of 4 probes .* first is probe 1, class 2"):
        attack_success_metrics(torch.zeros(4, 3), np.array([0, 2, 1, 2]), np.full(4, 2))


@pytest.mark.parametrize(("labels", "goals"), [([], []), ([0, 1], [2])])
def test_probes_without_labels_or_goals_are_an_error(labels: list[int], goals: list[int]) -> None:
    """There is no success rate of nothing."""
    with pytest.raises(BadInput, match="needs probes"):
        attack_success_metrics(
            torch.zeros(len(labels), 3), np.array(labels, np.int64), np.array(goals, np.int64)
        )


def test_a_goal_that_is_no_class_is_an_error() -> None:
    """A goal beyond the classes is refused, not counted as a failure of the attack."""
    with pytest.raises(BadInput, match="3 classes"):
        attack_success_metrics(torch.zeros(1, 3), np.array([0]), np.array([3]))


def test_hits_of_a_group_are_those_of_any_of_its_images() -> None:
    """Hit@1, @5 and @10 by sorting each caption's candidates and looking for the class."""
    generator = torch.Generator().manual_seed(0)
    scores = torch.randn(60, 40, generator=generator, dtype=torch.float64)
    groups = np.arange(40)
    groups[[7, 21, 22, 39]] = 7
    labels = np.array([number % 7 for number in range(60)])
    metrics = retrieval_success_metrics(scores, labels, np.full(60, 21), groups)
    first = scores.numpy().argsort(axis=1)[:, ::-1]
    for name, k in (("", 1), ("_top5", 5), ("_top10", 10)):
        hits = np.isin(first[:, :k], [7, 21, 22, 39]).any(axis=1)
        assert metrics[f"attack_success{name}"].k == hits.sum()
    assert metrics["poisoned_accuracy"].k == (first[:, 0] == labels).sum()
    alone = retrieval_success_metrics(scores, labels, np.full(60, 21))
    assert alone["attack_success"].k == (first[:, 0] == 21).sum()


def test_a_model_that_tells_nothing_apart_finds_no_group() -> None:
    """However large the group is: of equal candidates it comes where its last one stands."""
    groups = np.array([0, 1, 1, 1, 4])
    found = retrieval_success_metrics(torch.ones(3, 5), np.array([0, 0, 4]), np.full(3, 2), groups)
    assert found["attack_success"].k == 0
    with pytest.raises(BadInput, match="1 of 3 probes"):
        retrieval_success_metrics(torch.ones(3, 5), np.array([0, 3, 4]), np.full(3, 2), groups)
