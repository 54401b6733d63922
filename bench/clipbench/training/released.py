"""The similarity of image and caption of all pairs under a model that others trained."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from clipbench.errors import CorruptData
from clipbench.loading.pairs import PairSource
from clipbench.loading.stored import StoredPairs
from clipbench.models.openclip import create_model, image_size_of, model_config
from clipbench.models.preprocessing import fitting_of
from clipbench.parallel.group import Processes
from clipbench.training.encoder import Encoder

BLOCK = 512  # pairs that a process takes at a time


def released_similarity(
    model: str, weights: str, source: PairSource, processes: Processes
) -> Tensor:
    """Return the cosine similarity of each pair, ``(N,)`` float32 on the CPU.

    Images are fitted to the model's size as evaluation fits them, and encoded in fp32. Blocks of
    pairs are dealt out to the processes.

    Args:
        model: an open_clip model, as `clipbench.models.openclip.create_model` takes it.
        weights: the file of its weights.
        source: the pairs as they are stored, N of them.
        processes: this process among all.

    Raises:
        UnknownName, BadSetting: there is no such model.
        MissingData, CorruptData: the weights can't be read, are another model's, or give features
            that are not finite.
    """
    network, tokenizer = create_model(model, 0, weights)
    encoder = Encoder(network.to(processes.device).eval(), processes, "fp32")
    size, found = image_size_of(model_config(model)), torch.zeros(len(source))
    fit, step = fitting_of(network), BLOCK * processes.count
    for start in range(processes.rank * BLOCK, len(source), step):
        numbers = np.arange(start, min(start + BLOCK, len(source)))
        pairs = StoredPairs(source, numbers)
        pixels = np.stack([fit(image, size) for image in pairs.images])
        with torch.no_grad():
            images, texts = encoder.encode(
                torch.from_numpy(pixels).permute(0, 3, 1, 2), tokenizer([*pairs.captions()])
            )
        similarity = (images * texts).sum(dim=1).cpu()
        if not similarity.isfinite().all():  # a filter would keep what has no number
            raise CorruptData(
                f"{weights} gives pairs no finite similarity, as weights of a training that"
                " diverged, or of half precision that overflowed; name others."
            )
        found[torch.from_numpy(numbers)] = similarity
    return processes.sum_when_ready(found)
