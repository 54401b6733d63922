"""Your own pairs, a part of them held out: attacks and defenses tried on what you will train on.

``path`` is a set of WebDataset shards as for ``shards``. Pairs drawn at random are held out for
tests and as attack targets, and a sample of the others is copied into the cache for training; your
shards are read and nothing else. Classes are what captions name most often, or the lines of a file.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Annotated, ClassVar, Literal

import numpy as np

from clipbench.contracts import (
    Classes,
    Classification,
    EvaluationSet,
    Ge,
    IntArray,
    LabelledImages,
    Le,
    Matches,
    Retrieval,
)
from clipbench.errors import BadSetting, CorruptData
from clipbench.fetching.remote import is_remote
from clipbench.fetching.sources import expand
from clipbench.images.lazy import LazyImages
from clipbench.importing.pairs import Entry
from clipbench.rng import generator
from clipbench.shards.reader import ShardSet
from clipbench.text.locations import Location, Word

from . import _own_classes as nouns
from ._held_out import lines_of
from ._own_labels import labels_of, labels_of_pictures
from ._own_parts import HeldOut, digest, entry, image
from ._training import LooseTraining
from .shards import Shards, lacking

VERSION = 1  # raise it with every change that puts a pair elsewhere, or names another class
SMALLEST = 200  # pairs of a set of which a part can be held out
SHARE = 0.1  # held out at most, for tests; half as many as targets
_SHARDS = Matches(r".*\S.*", "a folder, a tar or a pattern of tars")
_Stamps = tuple[tuple[Path, int, int], ...]  # path, size and time of each shard


@dataclass(frozen=True)
class Own(LooseTraining):
    """Your own pairs, a part of them held out.

    Args:
        path: folder, tar, brace pattern, or several of these joined by `::`.
        caption_field: field of the JSON that holds captions; none: they are in KEY.txt.
        size: training pairs, drawn at random; none: all that are not held out.
        test: pairs held out for tests; at most a tenth of all.
        targets_size: pairs held out as attack targets; at most a twentieth of all.
        classes: file with a class per line; none: what captions name most often.
        most_classes: how many classes are taken from captions at most.
        several: class of a caption that names several: `none`, or the `first` that it names;
            classes are then what captions name first.
        image_size: largest shorter side of a training image in pixels; larger ones are resized;
            none: any.
        seed: of what is drawn.
    """

    identity_has_pictures: ClassVar[bool] = True

    path: Annotated[Location, _SHARDS]
    caption_field: Word | None = None
    size: Annotated[int, Ge(1)] | None = None
    test: Annotated[int, Ge(10)] = 2_000
    targets_size: Annotated[int, Ge(1)] = 1_000
    classes: Path | None = None
    most_classes: Annotated[int, Ge(2), Le(1_000)] = nouns.MOST
    several: Literal["none", "first"] = "none"
    image_size: Annotated[int, Ge(16)] | None = None
    seed: Annotated[int, Ge(0), Le(2**63 - 1)] = 0

    def num_pairs(self) -> int:
        """Return how many training pairs there are, those that can't be used among them."""
        return len(self.parts[2])

    def entries(self) -> Iterator[Entry]:
        """Yield the training pairs in the order of the set, and what can't be used of the others.

        A pair whose image is that of a held-out pair, byte for byte, is left out. Pairs that are
        incomplete are in no part, and of those that are held out some can't be used: an import
        refuses them all, or counts them, as it does those that would be trained on.
        """
        shards = self._shards
        held_out = np.concatenate([self._tests.pairs, self._targets.pairs])
        sizes = {int(shards.index[pair]["image_size"]) for pair in held_out.tolist()}
        images = {*self._tests.digests, *self._targets.digests}
        for pair in self.parts[2].tolist():
            if int(shards.index[pair]["image_size"]) in sizes and digest(shards, pair) in images:
                continue
            yield entry(shards, pair)
        for one in shards.incomplete:
            yield lacking(one, shards.shards[one.shard].path)
        for part in (self._tests, self._targets):
            yield from part.unusable

    def identity(self) -> Mapping[str, object]:
        """Return what decides the training pairs, and what is told of those left out."""
        tells = bool(self._shards.incomplete or self._tests.unusable or self._targets.unusable)
        return {
            **({"tells": "all that is left out"} if tells else {}),  # earlier versions did not
            "format": "own",
            "version": VERSION,
            "content_sha256": self._shards.content_sha256(),
            "caption_field": self.caption_field,
            "size": self.size,
            "test": self.test,
            "targets_size": self.targets_size,
            "seed": self.seed,
        }

    def files(self) -> Iterable[tuple[str, Path]]:
        """Yield the shards, and the file of classes.

        Earlier versions read held-out pairs as they are stored, took an image of several pairs for
        several images, and had tests among the targets. Where that made others, the shards have
        other names here, so that no run of today has the id of one with other numbers.
        """
        parts = self._tests, self._targets
        told = "" if all(part.as_stored for part in parts) else "as imported/"
        told += "once/" if any(part.repeats for part in parts) else ""
        told += "" if self._targets.apart_from(self._tests).all() else "apart/"
        for number, path in enumerate(expand(self._source.source)):
            yield f"{told}{number}/{path.name}", path
        if self.classes is not None:
            yield "classes", self.classes.expanduser()

    def evaluation(self) -> EvaluationSet:
        """Return the held-out pairs: found by their captions, and classified by what these name.

        An image that several pairs have is one image, with the captions of all of them.

        Raises:
            BadSetting: there are too few pairs, or no classes.
        """
        tests = self._tests
        first = {caption: place for place, caption in reversed([*enumerate(tests.captions)])}
        found: dict[int, list[str]] = {}
        for place in sorted(first.values()):  # a caption that several images share finds the first
            found.setdefault(int(tests.pictures[place]), []).append(tests.captions[place])
        places = sorted(found)
        return EvaluationSet(
            name="own",
            classification=Classification(self._classes, self._labelled(tests, "test")),
            retrieval=Retrieval(
                self._images(tests.pairs[places]), [found[place] for place in places]
            ),
        )

    def targets(self) -> LabelledImages:
        """Return the held-out images that an attacker may target.

        One that another of its captions puts among the tests is none: it would be trained on.

        Raises:
            BadSetting: none of them is of a class.
        """
        return self._labelled(self._targets, "targets_size", self._tests)

    @property
    def _source(self) -> Shards:
        return Shards(self.path, self.caption_field)

    @cached_property
    def _shards(self) -> ShardSet:
        source = self._source
        if is_remote(source.source):
            raise BadSetting(
                "Remote shards have no part held out; fetch them, and give their folder."
            )
        return ShardSet.open(source.source, caption_field=self.caption_field, on_incomplete="skip")

    @cached_property
    def parts(self) -> tuple[IntArray, IntArray, IntArray]:
        """The pairs of tests, targets and training, each in the order of the set.

        Raises:
            BadSetting: there are too few.
        """
        total = len(self._shards)
        if total < SMALLEST:
            raise BadSetting(
                f"{self.path} has {total} pairs; of fewer than {SMALLEST} none are held out."
                " Measure on other images with --data shards:path=... and --eval."
            )
        order = generator(self.seed, "own").permutation(total)
        test = min(self.test, int(SHARE * total))
        stop = test + min(self.targets_size, int(SHARE * total / 2))
        end = total if self.size is None else min(total, stop + self.size)
        parts = order[:test], order[test:stop], order[stop:end]
        first, second, third = (np.sort(part).astype(np.int64) for part in parts)
        return first, second, third

    @cached_property
    def _classes(self) -> Classes:
        """The classes.

        Raises:
            BadSetting: captions name none often enough.
            MissingData, CorruptData: the file of classes can't be used.
        """
        if self.classes is not None:
            path = self.classes.expanduser()
            return nouns.classes_of(lines_of(path, "a list of classes, one a line"))
        found = _classes_in(self, self._stamps)
        if len(found) < 2:
            raise BadSetting(
                f"The captions of {self.path} name {len(found)} classes often enough, two are"
                " needed; list classes in a file and give it with classes=FILE."
            )
        return found

    @cached_property
    def _tests(self) -> HeldOut:
        return _held_out(self, 0, self._stamps)

    @cached_property
    def _targets(self) -> HeldOut:
        return _held_out(self, 1, self._stamps)

    @property
    def _stamps(self) -> _Stamps:
        """What tells a set that has changed, which is read again."""
        paths = expand(self._source.source)
        return tuple((path, path.stat().st_size, path.stat().st_mtime_ns) for path in paths)

    def _labelled(
        self, held_out: HeldOut, parameter: str, besides: HeldOut | None = None
    ) -> LabelledImages:
        pairs, first = held_out.pairs, self.several == "first"
        named = labels_of(held_out.captions, self._classes, first=first)
        labels = labels_of_pictures(named, held_out.pictures, first=first)
        known = (labels >= 0) & (True if besides is None else held_out.apart_from(besides))
        if not known.any():
            one, way = ("any", "") if first else ("exactly one", "set several=first, ")
            raise BadSetting(
                f"No caption of {len(pairs)} held-out pairs names {one} of {len(self._classes)}"
                f" classes; {way}raise {parameter}, or give others, classes=FILE."
            )
        return LabelledImages(self._images(pairs[known]), labels[known])

    def _images(self, pairs: IntArray) -> LazyImages[int]:
        return LazyImages(pairs.tolist(), functools.partial(image, self._shards))


@functools.lru_cache(maxsize=16)
def _held_out(source: Own, part: int, stamps: _Stamps) -> HeldOut:  # noqa: ARG001
    """Return the pairs of a part that could be trained on; those of a source are found once."""
    return HeldOut.of(source._shards, source.parts[part])


@functools.lru_cache(maxsize=8)
def _classes_in(source: Own, stamps: _Stamps) -> Classes:  # noqa: ARG001
    """Return the classes that training captions name; those of a source are counted once."""
    find = nouns.subjects_in if source.several == "first" else nouns.classes_in
    return find(_readable(source._shards, source.parts[2]), source.most_classes)


def _readable(shards: ShardSet, pairs: IntArray) -> Iterator[str]:
    for pair in pairs.tolist():
        try:
            yield shards.caption(pair)
        except CorruptData:  # left out of training
            continue


DATASET = Own
