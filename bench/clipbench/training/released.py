"""The similarity of image and caption of all pairs under a model that others trained."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from clipbench.evaluation.features import image_features, text_features
from clipbench.models import create_model, load_weights
from clipbench.training.distributed import Processes
from clipbench.training.pairs import PairSource
from clipbench.training.stored import StoredPairs

BLOCK = 4096  # pairs that a process takes at a time


def released_similarity(
    model: str, weights: str, source: PairSource, processes: Processes
) -> Tensor:
    """Return the cosine similarity of each pair, ``(N,)`` float32 on the CPU.

    Images and captions are encoded as evaluation encodes them. Blocks of pairs are dealt out to the
    processes.

    Args:
        model: an open_clip model, as `clipbench.models.create_model` takes it.
        weights: the file of its weights.
        source: the pairs as they are stored, N of them.
        processes: this process among all.

    Raises:
        UnknownName, BadSetting: there is no such model.
        MissingData, CorruptData: the weights can't be read, or are another model's.
    """
    network, tokenizer = create_model(model, 0, None)
    load_weights(network, Path(weights))
    network.eval()
    found, device = torch.zeros(len(source)), processes.device
    step = BLOCK * processes.count
    for start in range(processes.rank * BLOCK, len(source), step):
        numbers = np.arange(start, min(start + BLOCK, len(source)))
        pairs = StoredPairs(source, numbers)
        images = image_features(network, pairs.images, device=device)
        texts = text_features(network, tokenizer, [*pairs.captions()], device=device)
        found[torch.from_numpy(numbers)] = (images * texts).sum(dim=1)
    processes.barrier()  # which has no deadline
    return processes.sum_of(found)
