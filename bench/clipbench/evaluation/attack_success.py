"""How often an attack's probes are classified as the attacker wants.

Attack success: Carlini, Terzis. Poisoning and Backdooring Contrastive Learning. ICLR 2022.
https://arxiv.org/abs/2106.09667. It is counted over probes alone, and no probe is of the class it
should be classified as: such an image would be a success without any attack.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from clipbench.boundary.attacks import check_goals
from clipbench.contracts import IntArray
from clipbench.evaluation.measured import Metric
from clipbench.evaluation.outcomes import pack
from clipbench.evaluation.statistics import measured_cutoffs
from clipbench.evaluation.zeroshot import label_ranks, top_k_correct


def attack_success_metrics(logits: Tensor, labels: IntArray, goals: IntArray) -> dict[str, Metric]:
    """Return the metrics of an attack's probes.

    Args:
        logits: ``(M, C)`` cosine similarity of each probe to each class.
        labels: ``(M,)`` true classes.
        goals: ``(M,)`` classes the attacker wants read.

    Returns:
        ``attack_success`` and, of more than five classes, ``attack_success_top5``, the shares of
        probes whose goal is the most similar class or among the five; ``poisoned_accuracy``, the
        share still read as the true class; ``attack_margin``, see `attack_margin`.
        ``attack_success`` says of each probe whether it was one, see `outcomes`.

    Raises:
        BadInput: there is no probe, a goal or label is no class, or a goal is the true class.
    """
    check_goals(labels, goals)
    goal_ranks = label_ranks(logits, goals)
    margin = attack_margin(logits, goals)
    within = {
        f"attack_success_top{k}": Metric.of(top_k_correct(goal_ranks, k))
        for k in measured_cutoffs((5,), logits.shape[1])
    }
    return {
        "attack_success": Metric.of(top_k_correct(goal_ranks, 1), pack(goal_ranks < 1)),
        **within,
        "attack_margin": Metric(value=margin, n=len(goals)),
        "poisoned_accuracy": Metric.of(top_k_correct(label_ranks(logits, labels), 1)),
    }


def retrieval_success_metrics(
    scores: Tensor, labels: IntArray, goals: IntArray, groups: IntArray | None = None
) -> dict[str, Metric]:
    """Return the metrics of captions that shall find an image among candidates.

    Args:
        scores: ``(M, C)`` cosine similarity of each caption to each candidate.
        labels: ``(M,)`` which candidate is the caption's own.
        goals: ``(M,)`` which one the attacker wants found.
        groups: ``(C,)`` which candidates count as one; None: each for itself.

    Returns:
        Those of `attack_success_metrics`, and of more than ten candidates
        ``attack_success_top10``, the share of captions that find the goal among ten. A group is as
        similar as its most similar candidate, so other candidates of the goal's group take no
        place before it.

    Raises:
        BadInput: there is no probe, or a goal is of the label's group.
    """
    if groups is not None:
        # In the order of their last candidates: of equal similarities the earlier comes first, and
        # a model that tells nothing apart shall not find a large group by that alone.
        last = {group: place for place, group in enumerate(groups.tolist())}
        order = {group: number for number, group in enumerate(sorted(last, key=last.__getitem__))}
        number = np.array([order[group] for group in groups.tolist()], dtype=np.int64)
        members = torch.from_numpy(number).expand(len(scores), -1)
        best = scores.new_full((len(scores), len(order)), -torch.inf)
        scores = best.scatter_reduce(1, members, scores, "amax")
        labels, goals = number[labels], number[goals]
    found = attack_success_metrics(scores, labels, goals)
    ranks = label_ranks(scores, goals)
    for k in measured_cutoffs((10,), scores.shape[1]):
        found[f"attack_success_top{k}"] = Metric.of(top_k_correct(ranks, k))
    return found


def attack_margin(logits: Tensor, goals: IntArray) -> float:
    """Return by how much probes are more similar to their goal than to the best other class.

    The mean over probes, in cosine; the true class is among the others. Positive: read as the goal.

    Args:
        logits: ``(M, C)`` cosine similarity of each probe to each of at least two classes.
        goals: ``(M,)``.
    """
    goal = torch.from_numpy(goals.astype(np.int64))[:, None]
    best_other = logits.scatter(1, goal, -torch.inf).amax(1)
    return float((logits.gather(1, goal)[:, 0] - best_other).double().mean())
