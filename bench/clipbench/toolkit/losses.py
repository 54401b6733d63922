"""Contrastive losses on unit features.

Radford et al., Learning Transferable Visual Models From Natural Language Supervision, ICML 2021;
Dwibedi et al., With a Little Help from My Friends: Nearest-Neighbor Contrastive Learning of Visual
Representations, ICCV 2021 (NNCLR).
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from clipbench.contracts import Features


def info_nce(query: Tensor, key: Tensor, logit_scale: Tensor) -> Tensor:
    """Cross-entropy of each query against its own key among all keys.

    Args:
        query: unit vectors, ``(B, D)``.
        key: unit vectors, ``(B, D)``; row i belongs to query i.
        logit_scale: scalar, already exponentiated.

    Returns:
        Mean loss, a scalar.

    Example:
        >>> info_nce(torch.eye(2), torch.eye(2), torch.tensor(100.0)).item() < 1e-6
        True
    """
    logits = logit_scale * query @ key.T
    return F.cross_entropy(logits, torch.arange(len(query), device=query.device))


def clip_loss(image: Tensor, text: Tensor, logit_scale: Tensor) -> Tensor:
    """Symmetric InfoNCE between images and their captions (Radford et al. 2021, Figure 3).

    Args:
        image: unit features, ``(B, D)``.
        text: unit features, ``(B, D)``; row i is the caption of image i.
        logit_scale: scalar, already exponentiated.

    Returns:
        Mean of the image-to-text and the text-to-image loss, a scalar.
    """
    logits = logit_scale * image @ text.T
    labels = torch.arange(len(image), device=image.device)
    return (F.cross_entropy(logits, labels) + F.cross_entropy(logits.T, labels)) / 2


def crossed_clip_loss(features: Features) -> Tensor:
    """Contrastive loss between view 1 of one modality and view 2 of the other, both ways.

    SafeCLIP's released code trains with it (``cross_aug``).

    Args:
        features: of two views or more.

    Returns:
        Mean of the image-to-text and the text-to-image loss, a scalar.
    """
    image, text, scale = features.image, features.text, features.logit_scale
    return (info_nce(image[0], text[1], scale) + info_nce(text[0], image[1], scale)) / 2
