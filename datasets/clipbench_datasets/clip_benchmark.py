"""Evaluation sets in CLIP_benchmark's webdataset layout, classification and retrieval.

CLIP_benchmark, LAION. https://github.com/LAION-AI/CLIP_benchmark

A folder holds ``test/nshards.txt``, ``test/0.tar`` and so on; for classification ``classnames.txt``
and ``zeroshot_classification_templates.txt`` with ``{c}`` where the name goes; for retrieval
``dataset_type.txt`` that says so. Members are an image and ``cls`` (the class) or ``txt`` (a
caption a line). ``train/`` of the same form, where it is there, is what a linear probe learns from.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Annotated, NamedTuple

import numpy as np

from clipbench.contracts import (
    Classification,
    EvaluationSet,
    Ge,
    Image,
    IntArray,
    LabelledImages,
    Matches,
    Plugin,
    Retrieval,
)
from clipbench.errors import BadSetting, CorruptData, MissingData
from clipbench.files.tar import Member
from clipbench.images.lazy import LazyImages, decoded
from clipbench.shards.handles import OpenFiles
from clipbench.shards.index import EXTENSIONS
from clipbench.shards.refusals import key_text
from clipbench.shards.scan import groups
from clipbench.text.locations import Word
from clipbench.text.visible import has_visible

from . import _files as files
from . import _held_out as held_out

NAMES = "classnames.txt"
TEMPLATES = "zeroshot_classification_templates.txt"
TYPE = "dataset_type.txt"
MOST_SHARDS = 1_000_000


_FOLDER = Matches(r"(?!\.$)[^/]+", "the name of a folder")


@dataclass(frozen=True)
class ClipBenchmark(Plugin):
    """Test images in CLIP_benchmark's layout.

    Args:
        root: the folder with test/nshards.txt in it.
        split: the split that is measured on.
        reserve: images a class held out of the test images as attack targets.
    """

    root: Path
    split: Annotated[Word, _FOLDER] = "test"
    reserve: Annotated[int, Ge(0)] = 0

    def evaluation(self) -> EvaluationSet:
        """Return the classification or the retrieval task of the split; images decode on access.

        Raises:
            MissingData, CorruptData: a file of the layout is missing or damaged.
            BadSetting: the set has several labels an image.
        """
        name = self.root.resolve().name.removeprefix("wds_")
        kind = self._kind()
        if kind == "retrieval":
            images, captions = self._captions(_Split(self.root / self.split))
            return EvaluationSet(name, retrieval=Retrieval(images, captions))
        test = self._test.test
        classes = held_out.classes_of(
            held_out.lines_of(self.root / NAMES, "a list of class names, one a line"),
            held_out.templates_of(self.root / TEMPLATES),
        )
        train = None
        if self.split != "train" and (self.root / "train" / "nshards.txt").is_file():
            split = _Split(self.root / "train", "training image")
            train = LabelledImages(split.images, split.labels(len(classes)))
        return EvaluationSet(name, Classification(classes, test, train))

    def files(self) -> Iterator[tuple[str, Path]]:
        """Yield the shards of the splits that are read, and what says the classes."""
        reserves = self.reserve and self._kind() == "classification"
        prefix = self._test.prefix if reserves else ""
        splits = dict.fromkeys((self.split, "train"))
        for split in splits:
            if split == self.split or (self.root / split / "nshards.txt").is_file():
                for path in _shards(self.root / split):
                    part = f"{prefix}test" if split == self.split else "train"
                    yield f"{part}/{path.name}", path
        for name in (NAMES, TEMPLATES, TYPE):
            if (self.root / name).is_file():
                yield name, self.root / name

    def targets(self) -> LabelledImages:
        """Return the reserved images.

        Raises:
            BadSetting: none are reserved, or the set has no classes.
        """
        if self._kind() == "retrieval":
            raise BadSetting(f"{self.root} is a retrieval set: its images have no classes.")
        return held_out.reserved("clip_benchmark", self._test.targets)

    @cached_property
    def _test(self) -> held_out.Split:
        split = _Split(self.root / self.split)
        names = held_out.lines_of(self.root / NAMES, "a list of class names, one a line")
        return held_out.split_off(
            split.images, split.labels(len(names)), self.reserve, split.size, split.content
        )

    def _kind(self) -> str:
        files.require_folder(self.root, f"folder with {self.split}/nshards.txt in it")
        path = self.root / TYPE
        kind = held_out.lines_of(path, "a type")[0] if path.is_file() else "classification"
        if kind not in ("classification", "retrieval"):
            raise BadSetting(
                f"{path} says {kind!r}; only classification with one label per image and retrieval"
                " can be measured."
            )
        return kind

    def _captions(self, split: _Split) -> tuple[LazyImages[_Place], list[list[str]]]:
        captions = []
        for place in split.places:
            # Line feeds alone part captions: `str.splitlines` would part one at U+2028, too.
            lines = held_out.line_fed(split.text(place, "txt"))
            captions.append([line.strip() for line in lines if has_visible(line)])
            if not captions[-1]:
                raise CorruptData(f"{split.name(place)}.txt holds no caption.")
        return split.images, captions


class _Place(NamedTuple):
    """Where an image lies: its shard's number, its key, and its members by extension."""

    shard: int
    key: bytes
    image: str
    members: dict[str, Member]


class _Split:
    """The shards of one split, listed.

    Args:
        folder: with ``nshards.txt`` and ``0.tar`` and so on.
        what: what an image of it is for, for messages.
    """

    def __init__(self, folder: Path, what: str = "test image") -> None:
        self._what = what
        self.shards = _shards(folder)
        self._files = OpenFiles(self.shards)
        self.places = [place for number in range(len(self.shards)) for place in self._scan(number)]
        if not self.places:
            raise CorruptData(f"{folder.resolve()} has shards without images; fetch it again.")
        self.images = LazyImages(self.places, self._load)

    def _scan(self, number: int) -> list[_Place]:
        found = []
        try:
            for group in groups(self.shards[number], others={"cls"}):
                image = group.image()
                if image is None:
                    key = key_text(group.key)
                    beside = f"; {words}" if (words := group.words()) else ""
                    raise CorruptData(
                        f"Shard {self.shards[number]} has no image for key {key}{beside}. Images"
                        f" must be one of {', '.join(EXTENSIONS)}, each a file of its own."
                    )
                found.append(_Place(number, group.key, image, group.members))
        except OSError as error:
            raise MissingData(
                f"Shard {self.shards[number]} cannot be read: {error.strerror}; nshards.txt counts"
                " it."
            ) from error
        return found

    def _load(self, place: _Place) -> Image:
        name = f"{self.name(place)}.{place.image}"
        return decoded(self._read(place, place.image), name, self._what)

    def _read(self, place: _Place, extension: str) -> bytes:
        if extension not in place.members:
            raise CorruptData(
                f"{self.name(place)} has no member .{extension}; it has"
                f" {', '.join('.' + item for item in place.members)}."
            )
        member = place.members[extension]
        return self._files.read(place.shard, member.offset, member.size)

    def size(self, number: int) -> int:
        """Return how large an image is as it is stored."""
        place = self.places[number]
        return place.members[place.image].size

    def content(self, number: int) -> bytes:
        """Return an image as it is stored."""
        place = self.places[number]
        return self._read(place, place.image)

    def text(self, place: _Place, extension: str) -> str:
        """Return a text member of a sample."""
        try:
            return self._read(place, extension).decode()
        except UnicodeDecodeError as error:
            raise CorruptData(f"{self.name(place)}.{extension} is no UTF-8 text.") from error

    def name(self, place: _Place) -> str:
        """Return a sample's name for messages."""
        return f"{self.shards[place.shard]}/{place.key.decode(errors='replace')}"

    def labels(self, classes: int) -> IntArray:
        """Return the class of each image ``(N,)``.

        Raises:
            CorruptData: one is no class.
        """
        found = np.empty(len(self.places), np.int64)
        for number, place in enumerate(self.places):
            text = self.text(place, "cls").strip()
            if not (text.isascii() and text.isdigit() and int(text) < classes):
                raise CorruptData(
                    f"{self.name(place)}.cls is {text[:40]!r}; it must be a class number from 0 to"
                    f" {classes - 1}, as {NAMES} has {classes} names."
                )
            found[number] = int(text)
        return found


def _shards(folder: Path) -> list[Path]:
    path = folder / "nshards.txt"
    if not path.is_file():
        raise MissingData(
            f"There is no {path.resolve()}; root must be a folder in CLIP_benchmark's webdataset"
            " layout, and split one of its folders."
        )
    text = held_out.lines_of(path, "the number of shards")[0]
    if not (text.isascii() and text.isdigit() and 0 < int(text) <= MOST_SHARDS):
        raise CorruptData(f"{path} says {text[:40]!r}; it must be the number of shards.")
    return [folder / f"{number}.tar" for number in range(int(text))]


DATASET = ClipBenchmark
