"""PAR: push the model away from its poisoned state on trusted pairs, then let it recover.

Singh, Croce, Hein. Perturb and Recover: Fine-tuning for Effective Backdoor Removal from CLIP. 2024.
https://arxiv.org/abs/2412.00727

Differs from the paper: images are augmented as the data set's recipe says, not by noise and CutOut;
the learning rate follows one cosine, not a linear decay and then a cosine.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import torch
from torch import Tensor

from clipbench.contracts import Features, Ge, Gt, Le
from clipbench_defenses._clean_up import CleanUp
from clipbench_defenses._plain import loss


@dataclass(frozen=True)
class PAR(CleanUp):
    """Pre-train on all pairs, then fine-tune on trusted pairs away from the pre-trained model.

    Args:
        tau: mean squared distance of a modality's features from those before the clean-up, up to
            which they are pushed away, in (0, 4].
        weight: weight of the distance relative to the CLIP loss.
    """

    name = "par"
    reference = True

    trusted_size: Annotated[int, Ge(2)] = 250_000
    clean_up_lr_scale: Annotated[float, Gt(0)] = 0.06
    clean_up_warmup: Annotated[int, Ge(0)] = 0
    clean_up_batch_size: Annotated[int, Ge(2)] | None = 2_048
    clean_up_wd: Annotated[float, Ge(0)] | None = 1e-4
    tau: Annotated[float, Gt(0), Le(4)] = 2.15
    weight: Annotated[float, Gt(0)] = 1.0

    def clean_up_loss(self, features: Features) -> Tensor:
        """Return the CLIP loss less half of both modalities' distances that are below tau."""
        assert features.reference is not None
        moved = self._distance(features.image[0], features.reference.image[0])
        moved = moved + self._distance(features.text[0], features.reference.text[0])
        return loss(features) - self.weight * moved / 2

    def _distance(self, now: Tensor, before: Tensor) -> Tensor:
        distance = (now - before).square().sum(dim=1).mean()
        return torch.where(distance > self.tau, torch.zeros_like(distance), distance)


DEFENSE = PAR
