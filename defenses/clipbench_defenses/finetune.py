"""Fine-tuning: continue training on trusted pairs; the control of every clean-up.

Not from one paper; CleanCLIP and later work compare with it, e.g. Bansal et al. CleanCLIP:
Mitigating Data Poisoning Attacks in Multimodal Contrastive Learning. ICCV 2023, section 4.
https://arxiv.org/abs/2303.03323
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from clipbench.contracts import Features
from clipbench_defenses._clean_up import CleanUp
from clipbench_defenses._plain import loss


@dataclass(frozen=True)
class FineTune(CleanUp):
    """Pre-train on all pairs, then continue with the CLIP loss on trusted pairs."""

    name = "finetune"

    def clean_up_loss(self, features: Features) -> Tensor:
        """Return the CLIP loss."""
        return loss(features)


DEFENSE = FineTune
