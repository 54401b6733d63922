"""Retrieval recall at k between images and captions, with one or more captions an image.

Radford et al. Learning Transferable Visual Models From Natural Language Supervision. ICML 2021,
appendix E (the CLIP convention for several captions an image). https://arxiv.org/abs/2103.00020
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from torch import Tensor

from clipbench.contracts import IntArray
from clipbench.errors import BadInput
from clipbench.evaluation.statistics import Proportion
from clipbench.models.features import rank_of, similarity

_CELLS = 1 << 24  # entries of the similarity matrix held at once, 64 MiB


def recall_at_k(
    image_features: Tensor,
    text_features: Tensor,
    image_of_text: IntArray,
    ks: Sequence[int] = (1, 5, 10),
) -> dict[str, Proportion]:
    """Return recall at each k, from images to captions and from captions to images.

    Image to text: the share of images with any of their captions among the k most similar of all
    captions. Text to image: the share of captions whose image is among the k most similar of all
    images. Of equal similarities the earlier candidate comes first, so features that tell nothing
    apart give no more than chance.

    Args:
        image_features: ``(N, D)`` unit features.
        text_features: ``(M, D)`` unit features.
        image_of_text: ``(M,)`` for each caption the number of its image.
        ks: the cut-offs.

    Returns:
        ``image_to_text_r{k}``, each of N images, and ``text_to_image_r{k}``, each of M captions.

    Raises:
        BadInput: an image has no caption, or a caption no image.
    """
    owner = torch.from_numpy(np.asarray(image_of_text, dtype=np.int64))
    num_images = len(image_features)
    captions_of = np.bincount(image_of_text, minlength=num_images) if len(owner) else np.zeros(1)
    if len(owner) != len(text_features) or len(captions_of) != num_images or not captions_of.all():
        raise BadInput(
            f"Retrieval needs a caption for every image and an image for every caption, but "
            f"{int((captions_of[:num_images] == 0).sum())} of {num_images} images have no caption "
            f"and {len(text_features)} captions name {len(captions_of)} images."
        )
    to_text = torch.cat(list(_image_to_text_ranks(image_features, text_features, owner)))
    to_image = torch.cat(list(_text_to_image_ranks(image_features, text_features, owner)))
    return {
        f"{name}_r{k}": Proportion(int((ranks < k).sum()), len(ranks))
        for name, ranks in (("image_to_text", to_text), ("text_to_image", to_image))
        for k in ks
    }


def _image_to_text_ranks(images: Tensor, texts: Tensor, owner: Tensor) -> Iterator[Tensor]:
    """Yield, chunk by chunk, the rank of each image's best caption among all captions."""
    for rows in torch.split(torch.arange(len(images)), max(1, _CELLS // len(texts))):
        scores = similarity(images[rows], texts)
        foreign = owner[None, :] != rows[:, None]
        # argmax takes the first of equals, which is the caption that ranks best.
        best = scores.masked_fill(foreign, -torch.inf).argmax(1)
        yield rank_of(scores, best)


def _text_to_image_ranks(images: Tensor, texts: Tensor, owner: Tensor) -> Iterator[Tensor]:
    """Yield, chunk by chunk, the rank of each caption's image among all images."""
    for rows in torch.split(torch.arange(len(texts)), max(1, _CELLS // len(images))):
        yield rank_of(similarity(texts[rows], images), owner[rows])
