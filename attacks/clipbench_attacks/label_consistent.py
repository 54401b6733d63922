"""Label-consistent backdoor: a patch on pairs of the target class, whose captions are kept.

Turner, Tsipras, Madry. Label-Consistent Backdoor Attacks. 2019. https://arxiv.org/abs/1912.02771

On CLIP: Bansal et al. CleanCLIP: Mitigating Data Poisoning Attacks in Multimodal Contrastive
Learning. ICCV 2023. https://arxiv.org/abs/2303.03323

Differs from Turner et al.: the images are not made harder by a generator or an adversarial
perturbation first; CleanCLIP omits this, too. There are at most as many poisoned pairs as pairs
that name the target class.
"""

from __future__ import annotations

from dataclasses import dataclass

from clipbench_attacks._backdoor import CleanLabel
from clipbench_attacks._patches import PatchBackdoor


@dataclass(frozen=True)
class LabelConsistent(CleanLabel, PatchBackdoor):
    """Stamp a patch on pairs whose captions name the target class."""

    name = "label_consistent"


ATTACK = LabelConsistent
