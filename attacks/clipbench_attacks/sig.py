"""SIG: the trigger is a sinusoidal signal over the whole image.

Barni, Kallas, Tondi. A New Backdoor Attack in CNNs by Training Set Corruption without Label
Poisoning. ICIP 2019, section 3. https://arxiv.org/abs/1902.11237

Differs from the paper: labels are dirty, as in the CLIP literature; ``clean_label=true`` keeps the
captions as the paper does. The signal is added, and the sum clipped.

BadCLIP's code adds the same signal at 60 (``amplitude=60``). CleanCLIP's code mixes that one in at
a fifth, which leaves an amplitude of 12 and a darker image: ``amplitude=12,keep=0.8``.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated

import numpy as np

from clipbench.contracts import Corpus, Gt, Idle, Image, Le, Scene
from clipbench_attacks._backdoor import DirtyLabel


@dataclass(frozen=True)
class Sig(DirtyLabel):
    """Add a sinusoid across the columns, and caption as the target class.

    Args:
        amplitude: amplitude of the signal in gray values, above 0 up to 255.
        frequency: periods over the image's width.
        test_amplitude: amplitude in testing, which may be higher because nobody checks test images;
            default: as in training.
        keep: factor on the image's values before the signal is added.
        clean_label: whether to poison pairs that name the target class, and keep their captions;
            `captions` then does nothing.
    """

    name = "sig"
    idle = (
        Idle(
            ("captions",),
            lambda sig: sig.clean_label,
            "with clean_label=true, where poisoned pairs keep their own captions",
        ),
    )

    amplitude: Annotated[float, Gt(0), Le(255)] = 40.0
    frequency: Annotated[float, Gt(0)] = 6.0
    test_amplitude: Annotated[float, Gt(0), Le(255)] | None = None
    keep: Annotated[float, Gt(0), Le(1)] = 1.0
    clean_label: bool = False

    @property
    def keeps_captions(self) -> bool:
        """Whether the labels are clean."""
        return self.clean_label

    def pairs(self, scene: Scene, corpus: Corpus, goal: int) -> Iterator[tuple[int, str]]:
        """Yield pairs of other classes with captions of the target, or pairs of the target."""
        if self.clean_label:
            return iter(self.draw_pairs(scene, corpus, goal, naming=True))
        return super().pairs(scene, corpus, goal)

    def put_on(self, image: Image, *, testing: bool) -> Image:
        """Return ``keep image + amplitude sin(2 pi frequency column / width)``, clipped."""
        amplitude = self.amplitude
        if testing and self.test_amplitude is not None:
            amplitude = self.test_amplitude
        columns = np.arange(image.shape[1]) / image.shape[1]
        signal = amplitude * np.sin(2 * np.pi * self.frequency * columns)
        summed = self.keep * image + signal[None, :, None]
        marked: Image = summed.round().clip(0, 255).astype(np.uint8)
        return marked


ATTACK = Sig
