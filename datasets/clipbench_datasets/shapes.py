"""The embedded data set: drawn scenes with captions, in any size and resolution, from a seed.

One colored shape an image (10 shapes times 10 colors: 100 classes), of varied size, place and
tilt, on plain or patterned backgrounds, with noise; captions are varied sentences that name the
class and, mostly, some of the rest. Everything is computed: no network, no download, no license.

Scene i of a split is the same whatever the size of the set and whoever draws it. The splits
(training, test, attack targets) are drawn from different random streams.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Annotated, Literal, cast

import numpy as np
import numpy.typing as npt

from clipbench.contracts import (
    UNSAID,
    Classes,
    Classification,
    EvaluationSet,
    Ge,
    Image,
    IntArray,
    LabelledImages,
    Le,
    Plugin,
    Progress,
    Recipe,
    Retrieval,
    no_progress,
)
from clipbench.errors import BadSetting
from clipbench.images.encoding import decode, encode_jpeg, encode_png
from clipbench.images.lazy import LazyImages
from clipbench.rng import derive_seed
from clipbench.shards.reader import ShardSet
from clipbench.shards.shard_writer import Sample
from clipbench.shards.writer import write_set
from clipbench_datasets._shapes_recipe import (
    ATTACKS,
    CLEAN_UP,
    EPOCHS,
    ROCLIP,
    ROCLIP_EPOCHS,
    SAFECLIP,
    SAFECLIP_EPOCHS,
    TRAIN,
)

from . import _shapes_captions as _captions
from . import _shapes_draw as _draw
from . import _shapes_noise as _noise
from . import _shapes_scene as _scene
from . import _shapes_words as _words
from ._shapes_hash import Split

Encoding = Literal["jpg", "png"]
Images = npt.NDArray[np.uint8]  # (n, H, W, 3)

GENERATOR_VERSION = 4  # raise it with every change that moves a pixel or a word
DEFAULT_SIZE = 20_000
PAIRS_PER_SHARD = 10_000
RETRIEVAL_IMAGES = 1_000
CAPTIONS_PER_IMAGE = 5
PROBE_IMAGES = 2_000  # of the training scenes, as drawn, that a linear probe learns from
# Held-out images go through the encoding of the shards: all splits show the same artifacts.
ENCODERS: Mapping[Encoding, Callable[[Image], bytes]] = {
    "jpg": partial(encode_jpeg, quality=95, subsampling=0),
    "png": encode_png,
}


@dataclass(frozen=True)
class Shapes(Plugin):
    """Drawn scenes with captions.

    Args:
        size: training pairs; none leaves it open: 20,000, or as many as a poison rate needs.
        image_size: height and width in pixels.
        seed: data seed; another seed gives other scenes.
        test_size: test images, a multiple of 100, so that every class is as frequent.
        targets_size: held-out images an attacker may target.
        encoding: image format in shards; jpg is of quality 95 without chroma subsampling.
        caption_noise: share of training pairs whose captions are swapped among one another, so that
            they do not fit; 0, or at least 0.002.
        caption_detail: share of training captions that tell true details, such as color, size,
            place and background, and do not name the class.
    """

    size: Annotated[int, Ge(1), Le(10**9)] | None = None
    image_size: Annotated[int, Ge(16), Le(1024)] = 32
    seed: Annotated[int, Ge(0), Le(2**63 - 1)] = 0
    test_size: Annotated[int, Ge(_scene.NUM_CLASSES), Le(10**6)] = 2_000
    targets_size: Annotated[int, Ge(1), Le(10**6)] = 1_000
    encoding: Encoding = "jpg"
    caption_noise: Annotated[float, Ge(0), Le(1)] = field(default=0.0, metadata=UNSAID)
    caption_detail: Annotated[float, Ge(0), Le(1)] = field(default=0.0, metadata=UNSAID)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.test_size % _scene.NUM_CLASSES:
            raise BadSetting(
                f"shapes.test_size must be a multiple of {_scene.NUM_CLASSES}, the number of"
                f" classes. Got {self.test_size}."
            )
        if 0 < self.caption_noise < _noise.LEAST:
            raise BadSetting(
                f"shapes.caption_noise must be 0, or at least {_noise.LEAST}: captions are swapped"
                f" among {_noise.AMONG:,} pairs. Got {self.caption_noise}."
            )

    def with_pairs(self, minimum: int) -> Shapes:
        """Return a set of at least `minimum` pairs if the size was left open, else itself."""
        if self.size is not None:
            return self
        return replace(self, size=max(DEFAULT_SIZE, minimum))

    def num_pairs(self) -> int:
        """Return how many training pairs there are."""
        return DEFAULT_SIZE if self.size is None else self.size

    def prepare(self, cache: Path, progress: Progress = no_progress) -> Path:
        """Return the folder of training shards under `cache`, written if it is not there yet."""
        name = (
            f"v{GENERATOR_VERSION}-{self.num_pairs()}-{self.image_size}px-{self.encoding}"
            f"-seed{self.seed}"
        )
        name += f"-noise{self.caption_noise}" if self.caption_noise else ""
        name += f"-detail{self.caption_detail}" if self.caption_detail else ""
        folder = cache / "shapes" / name
        self.write_to(folder, progress)
        return folder

    def write_to(
        self, folder: Path, progress: Progress = no_progress, workers: int | None = None
    ) -> ShardSet:
        """Write the training shards as `folder`, or open it if it holds them already.

        Args:
            folder: the set's folder; it appears when everything is in it.
            progress: told after every shard.
            workers: processes; 0: this one; None: one a processor.

        Raises:
            BadSetting: `folder` holds something else.
            ClipbenchError: the disk is full.
        """
        source = {"generator": "shapes", "version": GENERATOR_VERSION, **self._source()}
        return write_set(
            folder,
            self.num_pairs(),
            TrainingSamples(self),
            name="shapes",
            source=source,
            pairs_per_shard=PAIRS_PER_SHARD,
            workers=workers,
            progress=progress,
            own=True,
        )

    def _source(self) -> dict[str, object]:
        """Return the settings that training pairs depend on."""
        left_out = {"test_size", "targets_size"}
        left_out |= {name for name in ("caption_noise", "caption_detail") if not vars(self)[name]}
        return {
            key: value
            for key, value in asdict(replace(self, size=self.num_pairs())).items()
            if key not in left_out
        }

    def evaluation(self) -> EvaluationSet:
        """Return the test set: every class as often, five captions for each retrieval image."""
        images, labels = self._held_out("test", self.test_size)
        scenes = _scene.scenes(self.seed, "test", 0, min(self.test_size, RETRIEVAL_IMAGES))
        variants = [
            _captions.captions(scenes, self.seed, "test", variant)
            for variant in range(CAPTIONS_PER_IMAGE)
        ]
        return EvaluationSet(
            name="shapes",
            classification=Classification(
                Classes(_words.NAMES, _words.TEMPLATES, _words.ALIASES),
                LabelledImages(images, labels),
                self._training(),
            ),
            retrieval=Retrieval(images[: len(scenes)], list(zip(*variants, strict=True))),
        )

    def targets(self) -> LabelledImages:
        """Return the images an attacker may target; each run of 100 has every class once."""
        return LabelledImages(*self._held_out("targets", self.targets_size))

    def _training(self) -> LabelledImages:
        """Return the first training images with their labels, drawn when looked at: no poison."""
        count = min(self.num_pairs(), PROBE_IMAGES)
        labels = _scene.scenes(self.seed, "train", 0, count).label
        return LabelledImages(LazyImages(range(count), _Drawn(self, count)), labels)

    def trusted(self, size: int) -> Shapes:
        """Return pairs of scenes that are in no split of this set: those of another seed.

        Known to be clean, they have captions that fit.
        """
        seed = derive_seed(self.seed, "shapes", "trusted") % 2**63
        return replace(self, size=size, seed=seed, caption_noise=0.0)

    def synonyms(self) -> Mapping[str, Sequence[str]]:
        """Return the words that may take each other's place in captions."""
        return _captions.synonyms()

    def recipe(self) -> Recipe:
        """Return how this data set is trained on."""
        # A small set trains for few steps, of which the warm-up takes the same share.
        warmup = max(1, TRAIN["warmup"] * min(self.num_pairs(), DEFAULT_SIZE) // DEFAULT_SIZE)
        return Recipe(
            train={
                **TRAIN,
                "warmup": warmup,
                "model": self._model(),
                **self._length(EPOCHS),
            },
            defenses={
                "safeclip": {**SAFECLIP, "train": self._length(SAFECLIP_EPOCHS)},
                "roclip": {**ROCLIP, "train": self._length(ROCLIP_EPOCHS)},
                **dict.fromkeys(("finetune", "cleanclip", "par"), CLEAN_UP),
                "clipscore": {"trusted_size": 2_000, "scoring_warmup": TRAIN["warmup"]},
            },
            attacks=ATTACKS,
        )

    def _model(self) -> str:
        return "shapes-32" if self.image_size < 64 else "shapes-64"

    def _length(self, epochs: int) -> dict[str, int | None]:
        """Return epochs and their length.

        More pairs do not mean more work in proportion: a large set is seen once, in as many epochs
        as a small one, each a part of the pass.
        """
        parts = -(-self.num_pairs() // epochs)
        longer = self.num_pairs() > DEFAULT_SIZE
        return {
            "epochs": epochs,
            "pairs_per_epoch": max(DEFAULT_SIZE, parts) if longer else None,
        }

    def arrays(self, split: Split, start: int, stop: int) -> tuple[Images, IntArray, list[str]]:
        """Return images as drawn ``(n, H, W, 3)``, classes ``(n,)`` and captions of a range."""
        scenes = _scene.scenes(self.seed, split, start, stop)
        images = np.empty((len(scenes), self.image_size, self.image_size, 3), np.uint8)
        block = _draw.block_size(self.image_size)
        for first in range(0, len(scenes), block):
            part = scenes[first : first + block]
            images[first : first + block] = _draw.draw(part, self.image_size, self.seed, split)
        return images, scenes.label, self._captions(scenes, split, start, stop)

    def _captions(self, scenes: _scene.Scenes, split: Split, start: int, stop: int) -> list[str]:
        """Return the captions of a range, those of training pairs with noise and details."""
        if split != "train":
            return _captions.captions(scenes, self.seed, split)
        if self.caption_noise:
            scenes = _noise.captioned(self.seed, start, stop, self.caption_noise)
        return _captions.captions(scenes, self.seed, split, detail=self.caption_detail)

    def _held_out(self, split: Split, size: int) -> tuple[Sequence[Image], IntArray]:
        """Return images and classes of a held-out split, encoded and decoded as shards are."""
        images, labels, _ = self.arrays(split, 0, size)
        encode = ENCODERS[self.encoding]
        for image in images:
            image[:] = decode(encode(image))
        return cast("Sequence[Image]", images), labels


class _Drawn:
    """Draws the first training images all at once, when the first of them is asked for."""

    def __init__(self, data: Shapes, count: int) -> None:
        self._data, self._count = data, count
        self._lock = threading.Lock()
        self._images: Sequence[Image] | None = None

    def __call__(self, number: int) -> Image:
        with self._lock:
            if self._images is None:
                self._images = self._data._held_out("train", self._count)[0]
        return self._images[number]


@dataclass(frozen=True)
class TrainingSamples:
    """Makes ranges of training samples; travels to worker processes."""

    data: Shapes

    def __call__(self, start: int, stop: int) -> Iterator[Sample]:
        """Yield samples `start` to `stop`."""
        side, extension = self.data.image_size, self.data.encoding
        # Nothing of the scene: a pair that is poisoned later must not contradict its own record.
        metadata = {"width": side, "height": side}
        encode, block = ENCODERS[extension], _draw.block_size(side)
        for first in range(start, stop, block):
            images, _, captions = self.data.arrays("train", first, min(first + block, stop))
            for image, caption in zip(images, captions, strict=True):
                yield Sample(encode(image), extension, caption, metadata)


DATASET = Shapes
