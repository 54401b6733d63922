"""Zero-shot classification with prompt ensembling.

Radford et al. Learning Transferable Visual Models From Natural Language Supervision. ICML 2021,
section 3.1.4. https://arxiv.org/abs/2103.00020
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from clipbench.contracts import Classes, IntArray, Progress, no_progress
from clipbench.errors import BadInput
from clipbench.evaluation.statistics import Proportion
from clipbench.models.features import rank_of, text_features
from clipbench.models.openclip import Tokenizer


def zeroshot_classifier(
    model: nn.Module,
    tokenizer: Tokenizer,
    classes: Classes,
    *,
    batch_size: int = 512,
    device: torch.device | str | None = None,
    progress: Progress = no_progress,
) -> Tensor:
    """Return the class embeddings: encode each prompt, normalize, average, normalize.

    Args:
        model: an open_clip model.
        tokenizer: the model's tokenizer.
        classes: C class names and T templates.
        batch_size: prompts encoded at once.
        device: where to encode; default: where the model is.
        progress: called after each batch.

    Returns:
        ``(D, C)`` unit columns, float32 on the CPU.
    """
    prompts = [template.format(name) for name in classes.names for template in classes.templates]
    features = text_features(
        model, tokenizer, prompts, batch_size=batch_size, device=device, progress=progress
    )
    prompts_of_class = features.view(len(classes), len(classes.templates), -1)
    return F.normalize(prompts_of_class.mean(1), dim=-1).T


def label_ranks(logits: Tensor, labels: IntArray) -> IntArray:
    """Return the rank of each image's label among all classes; 0 is best.

    Args:
        logits: ``(N, C)``, higher is more similar. Of equal logits the lower class comes first.
        labels: ``(N,)`` class indices.

    Returns:
        ``(N,)``.

    Raises:
        BadInput: a label is no class.
    """
    num_classes = logits.shape[1]
    if len(labels) and not (labels.min() >= 0 and labels.max() < num_classes):
        raise BadInput(
            f"Labels of test images run from {labels.min()} to {labels.max()}, but there are "
            f"{num_classes} classes, counted from 0."
        )
    ranks: IntArray = rank_of(logits, torch.from_numpy(labels.astype(np.int64))).numpy()
    return ranks


def top_k_correct(ranks: IntArray, k: int) -> Proportion:
    """Return the share of images whose label is among the k best classes."""
    return Proportion(int((ranks < k).sum()), len(ranks))


def mean_per_class_recall(ranks: IntArray, labels: IntArray) -> float:
    """Return the mean over classes of the share of a class's images read as it (top-1).

    Classes without test images have no recall and are left out.
    """
    images = np.bincount(labels)
    hits = np.bincount(labels[ranks == 0], minlength=len(images))
    return float((hits[images > 0] / images[images > 0]).mean())
