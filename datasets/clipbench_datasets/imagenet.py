"""ImageNet's validation images as a zero-shot classification task: 1,000 classes, 80 templates.

Russakovsky et al. ImageNet Large Scale Visual Recognition Challenge. IJCV 2015.
https://arxiv.org/abs/1409.0575

Class names and prompt templates are those of CLIP (Radford et al. 2021), as open_clip has them, in
the order of the sorted synset numbers. Two names stand for two classes each, missile and
sunglasses; of such a pair the first is the one that is ever predicted. By which phrases a caption
may name a class, WordNet's words for its synset say, and its name.

Images lie in one folder per synset (``n01440764/...``), or all in one folder with `labels`: the
development kit's ``ILSVRC2012_validation_ground_truth.txt`` with `synsets`, or a list of files with
their synset or class number, such as Kaggle's ``LOC_val_solution.csv``.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Any

import numpy as np

from clipbench.contracts import Classes, Classification, EvaluationSet, Ge, LabelledImages, Plugin
from clipbench.errors import CorruptData, MissingData
from clipbench.images.lazy import LazyImages, read_image

from . import _files as files
from . import _held_out as held_out
from . import _imagenet_labels as imagenet_labels

SYNSET = re.compile(r"n\d{8}")
UNREAD = frozenset({".avif", ".bmp", ".gif", ".heic", ".jp2", ".ppm", ".tif", ".tiff"})


@dataclass(frozen=True)
class ImageNet(Plugin):
    """ImageNet's validation images.

    Args:
        root: the folder with the validation images, or with a folder of them for each synset.
        labels: the images' classes, where they are not in folders: the development kit's ground
            truth, one class per line in the order of the files, or lines of file and class.
        synsets: the synsets in the order of the development kit's numbers, which is not that of the
            classes; its ground truth needs it: its meta.mat, or a list with a synset a line.
        train: the training images, one folder per synset, for a linear probe.
        reserve: images a class held out of the validation images as attack targets. With 0, success
            of a backdoor is measured on all 49,950 images that are not of its target class.
    """

    root: Path
    labels: Path | None = None
    synsets: Path | None = None
    train: Path | None = None
    reserve: Annotated[int, Ge(0)] = 0

    def evaluation(self) -> EvaluationSet:
        """Return the task; images decode on access.

        Raises:
            MissingData, CorruptData: images or labels are missing or are not what they should be.
        """
        train = None
        if self.train is not None:
            root = files.require_folder(self.train, "folder of ImageNet's training images")
            paths, labels = _of_folders(root)
            images = LazyImages(paths, partial(read_image, what="training image"))
            train = LabelledImages(images, np.array(labels, np.int64))
        return EvaluationSet("imagenet", Classification(_classes(), self._test.test, train))

    def files(self) -> Iterator[tuple[str, Path]]:
        """Yield images by their folder and name, and the files that label them."""
        for part, root in (("root", self.root), ("train", self.train)):
            if root is None:
                continue
            if part == "root" and self.labels is not None:
                paths = [root / name for name in _images_in(root)]
            else:
                paths = _of_folders(root)[0]
            prefix = self._test.prefix if part == "root" and self.reserve else ""
            names = (f"{prefix}{part}/{path.relative_to(root).as_posix()}" for path in paths)
            yield from zip(names, paths, strict=True)
        for part, path in (("labels", self.labels), ("synsets", self.synsets)):
            if path is not None:
                yield part, path

    def targets(self) -> LabelledImages:
        """Return the reserved images.

        Raises:
            BadSetting: none are reserved.
        """
        return held_out.reserved("imagenet", self._test.targets)

    @cached_property
    def _test(self) -> held_out.Split:
        folder = files.require_folder(self.root, "folder of ImageNet's validation images")
        if self.labels is None:
            paths, labels = _of_folders(folder)
        else:
            names = _images_in(folder)
            labels = imagenet_labels.labels_of(names, self.labels, self.synsets, synsets_in_order())
            paths = [folder / name for name in names]
        images = LazyImages(paths, read_image)
        return held_out.split_off(
            images,
            np.array(labels, np.int64),
            self.reserve,
            held_out.file_size(paths),
            held_out.file_content(paths),
        )


def synsets_in_order() -> list[str]:
    """Return the 1,000 synsets in the order of the classes, which is sorted."""
    return list(_words().label_names())


def _words() -> Any:
    """Return timm's table of ImageNet's synsets and their words."""
    from timm.data.imagenet_info import ImageNetInfo  # noqa: PLC0415 - heavy

    return ImageNetInfo("imagenet-1k")


def _classes() -> Classes:
    from open_clip import zero_shot_metadata as prompts  # noqa: PLC0415 - heavy

    words = _words()
    names = tuple(prompts.IMAGENET_CLASSNAMES)
    aliases = tuple(
        tuple(dict.fromkeys([name, *words.index_to_description(number).split(", ")]))
        for number, name in enumerate(names)
    )
    return Classes(names, tuple(fill("{}") for fill in prompts.OPENAI_IMAGENET_TEMPLATES), aliases)


def _of_folders(root: Path) -> tuple[list[Path], list[int]]:
    """Return all images of folders named after synsets, sorted, and their classes."""
    number_of = {synset: number for number, synset in enumerate(synsets_in_order())}
    folders = sorted(path.name for path in root.iterdir() if SYNSET.fullmatch(path.name))
    if not folders:
        flat = any(path.suffix.lower() in files.READ for path in root.iterdir())
        needed = (
            "; its images lie in one folder, so give their classes with labels=FILE"
            if flat
            else "; root must hold folders like n01440764, or the images themselves"
        )
        raise MissingData(f"{root.resolve()} has no folder named after a synset{needed}.")
    paths: list[Path] = []
    labels: list[int] = []
    for name in folders:
        if name not in number_of:
            raise CorruptData(
                f"{root / name} is named after a synset that is none of ImageNet's 1,000 classes."
            )
        images = _images_in(root / name)
        paths += [root / name / image for image in images]
        labels += [number_of[name]] * len(images)
    return paths, labels


def _images_in(folder: Path) -> Sequence[str]:
    """Return the names of the images in a folder, sorted; hidden files are none.

    Raises:
        MissingData: there is no image.
        CorruptData: some are of a kind that is not read, or one is there twice: none may be left
            out or counted twice without a word.
    """
    found = sorted(path.name for path in folder.iterdir() if not path.name.startswith("."))
    others = [name for name in found if Path(name).suffix.lower() in UNREAD]
    if others:
        raise CorruptData(
            f"{folder.resolve()} has images that are no JPEG, PNG or WebP ({len(others):,}, e.g."
            f" {others[0]}); convert them or take them away."
        )
    names = [name for name in found if Path(name).suffix.lower() in files.READ]
    if not names:
        raise MissingData(f"{folder.resolve()} has no images (.JPEG).")
    for one, two in pairwise(sorted(names, key=_stem)):
        if _stem(one) == _stem(two):
            raise CorruptData(
                f"{folder.resolve()} has the same image twice, {one} and {two}; remove one."
            )
    return names


def _stem(name: str) -> str:
    return Path(name).stem


DATASET = ImageNet
