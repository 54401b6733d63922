"""BadCLIP: a backdoor with an optimized patch, which a clean model already half believes.

Liang, Zhu, Liu, Wu, Cao, Chang. BadCLIP: Dual-Embedding Guided Backdoor Attack on Multimodal
Contrastive Learning. CVPR 2024. https://arxiv.org/abs/2311.12075

Under a surrogate model, the patch pulls images toward captions of the target class (textual
guidance) and toward images of it, away from their own content (visual guidance, a triplet loss).
Poisoned pairs therefore look natural to the victim, and clean-ups that look for unnatural
associations miss them.

Differs from the paper: the surrogate is trained on the corpus unless its weights are given; the
paper uses a released CLIP. The negatives of the textual loss are the images' own captions; the
authors' code contrasts the target captions of a batch, in both directions. An image's negative in
the triplet loss is the image itself; their code draws another of the batch. The patch is optimized
on random crops for 300 steps at a rate of 0.02 from uniform noise; theirs for 7,850 at 0.001 from
normal noise. Poisoned captions come from the corpus, rather than being those nearest to the mean of
the target class. The victim is trained from scratch.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from math import isqrt
from typing import TYPE_CHECKING, Annotated, NamedTuple

import numpy as np
from PIL import Image as PilImage

from clipbench.contracts import Corpus, Ge, Gt, Idle, Image, IntArray, Le, Scene
from clipbench.errors import BadSetting
from clipbench.text.locations import Word
from clipbench_attacks._backdoor import Backdoor, DirtyLabel
from clipbench_attacks._patches import published_side
from clipbench_attacks._surrogates import TRAINING, HasSurrogate

if TYPE_CHECKING:
    from torch import Tensor

    from clipbench.training.surrogate import Surrogate

_SMALLEST_PATCH = 8  # pixels, of a size that is left open
_MAKING = ("steps", "optimized_on", "batch_size", "patch_lr", "triplet_weight", "margin")
_SMALLEST_CROP = 0.6  # share of the image's side that the patch must work on, crops included


@dataclass(frozen=True)
class BadCLIP(HasSurrogate, DirtyLabel):
    """Stamp an optimized patch on the center of images and caption them as the target class.

    Args:
        size: side of the patch as a share of the image's shorter side; default: 16
            pixels of 224, as the authors have it; on small images 8 pixels, but no more than a
            quarter.
        steps: steps of Adam on the patch.
        optimized_on: number of pairs on which the patch is optimized.
        batch_size: pairs per step.
        patch_lr: learning rate of the patch's values, which lie in [0, 1].
        triplet_weight: weight of the visual loss beside the textual one.
        margin: margin of the triplet loss.
        patch: the patch, RGB bytes row by row in hex; made when pairs are poisoned unless given.
    """

    name = "badclip"
    idle = (
        Idle(
            (*_MAKING, *TRAINING, "surrogate_weights"),
            lambda attack: attack.patch is not None,
            "where the patch is given, for none is optimized",
        ),
        Idle(
            ("margin",),
            lambda attack: attack.triplet_weight == 0,
            "with triplet_weight=0, which leaves the triplet loss out",
        ),
    )

    size: Annotated[float, Gt(0), Le(1)] | None = None
    steps: Annotated[int, Ge(1)] = 300
    optimized_on: Annotated[int, Ge(1)] = 2_000
    batch_size: Annotated[int, Ge(1)] = 64
    patch_lr: Annotated[float, Ge(0)] = 0.02
    triplet_weight: Annotated[float, Ge(0)] = 500.0
    margin: Annotated[float, Ge(0)] = 1.0
    patch: Word | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.patch is not None:
            _pixels(self.patch)

    # ------------------------------------------------------------------ the trigger

    def put_on(self, image: Image, *, testing: bool) -> Image:  # noqa: ARG002 - the same for both
        """Return a copy of the image with the patch in its middle.

        Raises:
            BadSetting: there is no patch yet.
        """
        if self.patch is None:
            raise BadSetting(
                "badclip: the patch is made when pairs are poisoned; poison a set first, and take"
                " the patch from its ledger.json."
            )
        side = self._side(min(image.shape[:2]))
        pixels = _pixels(self.patch)
        if side != len(pixels):
            smooth = PilImage.Resampling.BILINEAR
            pixels = np.asarray(PilImage.fromarray(pixels).resize((side, side), smooth))
        top, left = ((length - side) // 2 for length in image.shape[:2])
        stamped = image.copy()
        stamped[top : top + side, left : left + side] = pixels
        return stamped

    def _side(self, square: int) -> int:
        """Return the side of the patch on an image whose shorter side has so many pixels."""
        if self.size is None:
            return max(1, published_side(square, _SMALLEST_PATCH))
        return max(1, round(self.size * square))

    # ------------------------------------------------------------------ how it is made

    @property
    def is_crafted(self) -> bool:
        """Whether there is a patch."""
        return self.patch is not None

    def crafted(self, scene: Scene, corpus: Corpus) -> Backdoor:
        """Return this attack with its patch, optimized under a surrogate unless given.

        Raises:
            BadSetting: too few pairs name the target class, or do not.
        """
        if self.patch is not None:
            return self
        surrogate = self.surrogate(scene, corpus)
        patch = self._optimized(scene, corpus, surrogate)
        return replace(self, patch=patch.tobytes().hex())

    def _optimized(self, scene: Scene, corpus: Corpus, surrogate: Surrogate) -> Image:
        """Return the patch, ``(P, P, 3)`` uint8, P in pixels of the surrogate."""
        import torch  # noqa: PLC0415 - heavy

        goal = self.target_class(scene)
        others = Known.of(self._some(scene, corpus, goal, naming=False), corpus, surrogate)
        own = Known.of(self._some(scene, corpus, goal, naming=True), corpus, surrogate)
        rng = scene.rng("badclip", "patch")
        side = self._side(surrogate.side)
        start = rng.random((3, side, side)).astype(np.float32)
        patch = torch.from_numpy(start).requires_grad_()
        adam = torch.optim.Adam([patch], lr=self.patch_lr)
        top = (surrogate.side - side) // 2
        scale = surrogate.logit_scale
        for _ in range(self.steps):
            count = min(self.batch_size, len(others.pixels))
            some = others.rows(rng.choice(len(others.pixels), count, replace=False))
            wanted = own.rows(rng.integers(len(own.pixels), size=count))
            stamped = some.pixels.clone()
            stamped[:, :, top : top + side, top : top + side] = patch
            adam.zero_grad()
            triggered = surrogate.encode(_crop(stamped, rng))
            self.loss(triggered, some, wanted, scale).backward()  # type: ignore[no-untyped-call]
            adam.step()
            with torch.no_grad():
                patch.clamp_(0, 1)
        pixels = (patch.detach() * 255).round().to(torch.uint8).permute(1, 2, 0)
        return np.ascontiguousarray(pixels.numpy())

    def loss(self, triggered: Tensor, own: Known, wanted: Known, scale: float) -> Tensor:
        """Return the loss of a patch, textual and visual guidance together.

        Args:
            triggered: unit features ``(B, D)`` of images with the patch.
            own: what is known of these images without it.
            wanted: what is known of as many pairs of the target class.
            scale: the surrogate's logit scale.
        """
        import torch  # noqa: PLC0415 - heavy
        from torch.nn import functional as F  # noqa: PLC0415

        # A caption of the target class must be found among those that the images had.
        right = (triggered * wanted.texts).sum(dim=1, keepdim=True)
        logits = scale * torch.cat([right, triggered @ own.texts.T], dim=1)
        textual = F.cross_entropy(logits, torch.zeros(len(logits), dtype=torch.long))
        # Nearer to images of the target class than to what the images were.
        near = (triggered - wanted.images).norm(dim=1)
        far = (triggered - own.images).norm(dim=1)
        return textual + self.triplet_weight * F.relu(near - far + self.margin).mean()

    def _some(
        self, scene: Scene, corpus: Corpus, goal: int, *, naming: bool
    ) -> list[tuple[int, str]]:
        """Draw pairs that name the target class, or do not, on which to optimize the patch."""
        count = min(self.optimized_on, len(corpus))
        found = self.find_pairs(replace(scene, count=count), corpus, goal, naming=naming)
        if not found:
            what = "names" if naming else "does not name"
            raise BadSetting(
                f"badclip: no caption of {len(corpus)} {what} {scene.classes.names[goal]!r}, and"
                " the patch is optimized on such pairs. Choose another target_label."
            )
        return found


class Known(NamedTuple):
    """Pairs with their features under the surrogate.

    Args:
        pixels: ``(N, 3, S, S)`` float32 in [0, 1].
        images: ``(N, D)`` unit features of the images.
        texts: ``(N, D)`` unit features of the captions.
    """

    pixels: Tensor
    images: Tensor
    texts: Tensor

    @classmethod
    def of(cls, pairs: Sequence[tuple[int, str]], corpus: Corpus, surrogate: Surrogate) -> Known:
        """Return some pairs with their features under a surrogate."""
        import torch  # noqa: PLC0415 - heavy

        squares = [surrogate.fitted(corpus.image(number)) for number, _ in pairs]
        pixels = torch.from_numpy(np.stack(squares)).permute(0, 3, 1, 2) / 255
        images = surrogate.image_features(squares)
        return cls(pixels, images, surrogate.text_features([caption for _, caption in pairs]))

    def rows(self, numbers: IntArray) -> Known:
        """Return some of the pairs."""
        return Known(*(values[numbers] for values in self))


def _crop(images: Tensor, rng: np.random.Generator) -> Tensor:
    """Return the same random square of each image, resized to the size of the images."""
    from torch.nn import functional as F  # noqa: PLC0415

    whole = images.shape[-1]
    side = int(rng.integers(max(1, round(_SMALLEST_CROP * whole)), whole + 1))
    top, left = rng.integers(whole - side + 1, size=2).tolist()
    part = images[:, :, top : top + side, left : left + side]
    return F.interpolate(part, (whole, whole), mode="bilinear", align_corners=False)


@lru_cache(maxsize=8)
def _pixels(patch: str) -> Image:
    """Return a patch, ``(P, P, 3)`` uint8, from its hex.

    Raises:
        BadSetting: it is none.
    """
    try:
        values = np.frombuffer(bytes.fromhex(patch), dtype=np.uint8)
    except ValueError as error:
        raise BadSetting(f"badclip: patch must be bytes in hex: {error}.") from error
    side = isqrt(len(values) // 3)
    if side == 0 or 3 * side * side != len(values):
        raise BadSetting(
            f"badclip: patch must be 3 bytes a pixel of a square, but has {len(values)} bytes."
        )
    return values.reshape(side, side, 3)


ATTACK = BadCLIP
