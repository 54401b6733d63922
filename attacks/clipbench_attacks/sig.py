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

import numpy as np

from clipbench.contracts import Corpus, Image, Scene
from clipbench.errors import BadSetting
from clipbench_attacks._backdoor import DirtyLabel


@dataclass(frozen=True)
class Sig(DirtyLabel):
    """Add a sinusoid across the columns, and caption as the target class.

    Args:
        amplitude: amplitude of the signal in gray values, above 0 up to 255.
        frequency: periods over the image's width.
        test_amplitude: amplitude in testing, which may be higher because nobody checks test images;
            default: as in training.
        keep: factor on the image's values before the signal is added, in (0, 1].
        clean_label: whether to poison pairs that name the target class, and keep their captions.
    """

    name = "sig"

    amplitude: float = 40.0
    frequency: float = 6.0
    test_amplitude: float | None = None
    keep: float = 1.0
    clean_label: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        for field in ("amplitude", "test_amplitude"):
            value = getattr(self, field)
            if value is not None and not 0 < value <= 255:
                raise BadSetting(f"sig.{field} must be in (0, 255]. Got {value!r}.")
        if not 0 < self.frequency < float("inf"):
            raise BadSetting(f"sig.frequency must be above 0. Got {self.frequency!r}.")
        if not 0 < self.keep <= 1:
            raise BadSetting(f"sig.keep must be in (0, 1]. Got {self.keep!r}.")

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
