"""BadNets: a patch makes the model classify any image as the target class.

Gu, Dolan-Gavitt, Garg. BadNets: Identifying Vulnerabilities in the Machine Learning Model Supply
Chain. 2017. https://arxiv.org/abs/1708.06733

On CLIP (with captions in place of labels): Carlini, Terzis. Poisoning and Backdooring Contrastive
Learning. ICLR 2022. https://arxiv.org/abs/2106.09667

Differs from the paper: the label is a caption that names the target class; the patch is a share of
the image, not a number of pixels, and is at a random place by default, because random crops in
training cut off a patch in the corner.

The patch is `_patches.PatchBackdoor.stamp`, the captions are `_backdoor.DirtyLabel`.

Published patterns: ``pattern=dots,test_place=center`` is that of Huang et al. (ICLR 2025),
``pattern=par_stripes`` the stripes of Singh et al. (Perturb and Recover, 2024). CleanCLIP draws
noise around the image's mean color anew for every image, and lets it wrap around;
``pattern=noise,cells=16`` is fixed noise of the same grain.
"""

from __future__ import annotations

from dataclasses import dataclass

from clipbench_attacks._backdoor import DirtyLabel
from clipbench_attacks._patches import PatchBackdoor


@dataclass(frozen=True)
class BadNets(DirtyLabel, PatchBackdoor):
    """Stamp a patch on images of other classes and caption them as the target class."""

    name = "badnets"


ATTACK = BadNets
