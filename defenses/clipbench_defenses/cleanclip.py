"""CleanCLIP: fine-tune on trusted pairs while each modality is also contrasted with itself.

Bansal, Singhi, Yang, Yin, Grover, Chang. CleanCLIP: Mitigating Data Poisoning Attacks in Multimodal
Contrastive Learning. ICCV 2023, section 3. https://arxiv.org/abs/2303.03323

Differs from the paper: both views are augmented, as the data set's recipe says; the paper contrasts
unaugmented images and captions with views from AutoAugment and EDA.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from torch import Tensor

from clipbench.contracts import Features, Ge
from clipbench.toolkit.losses import clip_loss, info_nce
from clipbench_defenses._clean_up import CleanUp


@dataclass(frozen=True)
class CleanCLIP(CleanUp):
    """Pre-train on all pairs, then unlearn spurious associations on trusted pairs.

    Args:
        cross_modal_weight: weight of the CLIP loss in the clean-up (lambda 1 of the paper).
        unimodal_weight: weight of the loss within each modality (lambda 2).
    """

    name = "cleanclip"
    views = 2

    cross_modal_weight: Annotated[float, Ge(0)] = 1.0
    unimodal_weight: Annotated[float, Ge(0)] = 1.0

    def clean_up_loss(self, features: Features) -> Tensor:
        """Return the weighted sum of the losses across and within modalities."""
        image, text, scale, _ = features
        across = clip_loss(image[0], text[0], scale)
        within = info_nce(image[0], image[1], scale) + info_nce(text[0], text[1], scale)
        return self.cross_modal_weight * across + self.unimodal_weight * within / 2


DEFENSE = CleanCLIP
