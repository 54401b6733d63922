"""Open icons with the names that their designers gave them, from the npm package ``@iconify/json``.

A set of real pairs that anybody can have in a minute: version 2.2.535 has 243 icon sets of 168
authors with 390,629 icons, 104 MB. ``archive`` is the file that ``npm pack @iconify/json@2.2.535``
writes, or its folder; nothing is downloaded.

Icons are drawn in any size, in an ink and on a ground that the seed decides; icons with colors of
their own keep them. Captions are made of names, further names, categories and titles of sets as
they are. Whole families of icon sets are held out, for tests and for choosing recipes; what a
held-out icon shows is shown by no training pair, whoever drew it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any

import numpy as np

from clipbench.contracts import (
    Classes,
    Classification,
    EvaluationSet,
    Ge,
    LabelledImages,
    Le,
    Plugin,
    Progress,
    Recipe,
    Retrieval,
    no_progress,
)
from clipbench.errors import CorruptData
from clipbench.images.encoding import encode_png
from clipbench.shards import manifest as manifests
from clipbench.shards.reader import ShardSet
from clipbench.shards.shard_writer import Sample
from clipbench.shards.writer import write_set

from . import _icons_archive as archives
from . import _icons_recipe as recipes
from ._icons_archive import Archive
from ._icons_captions import TEMPLATES, caption_of
from ._icons_choice import Choice, candidates, choose, choose_once, too_few
from ._icons_draw import image_of, need_resvg
from ._icons_held_out import HeldOut, Split, part_of
from ._icons_opened import archive_at, content_at, held_out_at, held_out_in, most_pairs
from ._icons_sets import Icon, IconSet

GENERATOR_VERSION = 1  # raise it with every change that moves a pixel, a word or a pair
DEFAULT_SIZE = 60_000
PAIRS_PER_SHARD = 5_000


@dataclass(frozen=True)
class Icons(Plugin):
    """Open icons with the names that their designers gave them.

    Args:
        archive: the file that `npm pack @iconify/json@2.2.535` writes, or the folder in it.
        size: training pairs; none leaves it open: 60,000, or as many as a poison rate needs.
        image_size: height and width in pixels.
        seed: data seed; another seed gives other icons, colors and captions, and the same held-out
            icons.
        split: which held-out icon sets are measured on; recipes are chosen on validation.
        noncommercial: whether icon sets are used whose license forbids commercial use.
        start: pairs at the beginning of the seed's order that are left out.
    """

    archive: Path
    size: Annotated[int, Ge(1), Le(10**7)] | None = None
    image_size: Annotated[int, Ge(16), Le(1024)] = 32
    seed: Annotated[int, Ge(0), Le(2**63 - 1)] = 0
    split: Split = "test"
    noncommercial: bool = False
    start: Annotated[int, Ge(0), Le(10**7)] = 0

    def with_pairs(self, minimum: int) -> Icons:
        """Return a set of at least `minimum` pairs if the size was left open, else itself."""
        if self.size is not None:
            return self
        return replace(self, size=max(DEFAULT_SIZE, minimum))

    def num_pairs(self) -> int:
        """Return how many training pairs there are.

        Raises:
            BadSetting: the archive is known to have fewer.
            MissingData, CorruptData: the archive is not there, or is none.
        """
        path, wanted = self._path(), self.start + self._size
        most = most_pairs(path, archives.stamps(path), self.noncommercial)
        if most < wanted:
            raise too_few(f"at most {most:,}", wanted)
        return self._size

    @property
    def _size(self) -> int:
        return DEFAULT_SIZE if self.size is None else self.size

    def prepare(self, cache: Path, progress: Progress = no_progress) -> Path:
        """Return the folder of training shards under `cache`, made if it is not there yet."""
        folder = self._folder(cache)
        if not _is_whole(folder):
            self.write_to(folder, progress, own=True)
        return folder

    def prepared(self, cache: Path) -> Path | None:
        """Return the folder of training shards if it is there; else None."""
        folder = self._folder(cache)
        return folder if _is_whole(folder) else None

    def write_to(
        self,
        folder: Path,
        progress: Progress = no_progress,
        workers: int | None = None,
        *,
        own: bool = False,
    ) -> ShardSet:
        """Write the training shards as `folder`, or open it if it holds them already.

        Args:
            folder: the set's folder; it appears when everything is in it.
            progress: told about icons, and after every shard.
            workers: processes; 0: this one; None: one a processor.
            own: whether the folder is one of the cache, and is made again where it is damaged.

        Raises:
            BadSetting: `folder` holds something else, there are fewer icons, or resvg is missing.
            MissingData, CorruptData: the archive is not there, or is none.
            ClipbenchError: the disk is full.
        """
        need_resvg()
        archive = self._read()
        sets = self._used(archive)
        ordered = candidates(sets, self.seed)

        def choice_of() -> Choice:
            parts: tuple[Split, ...] = ("test", "validation")
            held, path = [], self._path()
            for number, part in enumerate(parts):
                progress("drawing held-out icons", number, len(parts))
                held.append(held_out_in(path, archives.stamps(path), part, self.noncommercial))
            progress("drawing held-out icons", len(parts), len(parts))
            return choose(ordered, held, self.start + self._size, progress, workers)

        kept = folder.with_name(f"{folder.name}.chosen.json")
        choice = choose_once(kept, self._decides(archive), ordered, choice_of)
        archive_at.cache_clear()  # half a gigabyte of drawings
        written = write_set(
            folder,
            self._size,
            TrainingSamples(choice.icons[self.start :], self.image_size, self.seed),
            name="icons",
            source=self._source(archive, sets, choice),
            pairs_per_shard=PAIRS_PER_SHARD,
            workers=workers,
            progress=progress,
            own=own,
        )
        kept.unlink(missing_ok=True)
        return written

    def _decides(self, archive: Archive) -> dict[str, object]:
        """Return what decides the pairs."""
        return {
            "generator": "icons",
            "version": GENERATOR_VERSION,
            "package": f"@iconify/json@{archive.version}",
            "content": archive.content,
            "size": self._size,
            "image_size": self.image_size,
            "seed": self.seed,
            "noncommercial": self.noncommercial,
            "start": self.start,
        }

    def _source(
        self, archive: Archive, sets: Sequence[IconSet], choice: Choice
    ) -> dict[str, object]:
        """Return what decides the pairs, what was left out, and whose drawings they are."""
        training = {one.prefix: one for one in sets if part_of(one) == "train"}
        used = sorted({icon.prefix for icon in choice.icons[self.start :]})
        before = sum((one.left_out for one in training.values()), start=choice.left_out.__class__())
        return {
            **self._decides(archive),
            "left_out_unseen": dict(sorted(before.items())),
            "looked_at": choice.looked_at,
            "left_out": dict(sorted(choice.left_out.items())),
            "icon_sets": {
                prefix: {
                    "title": training[prefix].title,
                    "author": training[prefix].author,
                    "license": training[prefix].license,
                }
                for prefix in used
            },
        }

    def evaluation(self) -> EvaluationSet:
        """Return the held-out icons of the split: classes, and icons to be found by caption.

        Raises:
            BadSetting: resvg is missing, or the archive has no classes.
            MissingData, CorruptData: the archive is not there, or is none.
        """
        found, version = self._held_out()
        names = tuple((name,) for name in found.classes)
        return EvaluationSet(
            name="-".join(["icons", *self._odd(version)]),
            classification=Classification(
                Classes(found.classes, TEMPLATES, names), self._labelled(found.test, found.labels)
            ),
            retrieval=Retrieval(
                self._images(found.retrieved),
                [[caption_of(icon, self.seed)] for icon in found.retrieved],
            ),
        )

    def targets(self) -> LabelledImages:
        """Return a held-out icon of each class, which an attacker may target."""
        found, _ = self._held_out()
        return self._labelled(found.targets, found.target_labels)

    def files(self) -> Iterable[tuple[str, Path]]:
        """Yield the files that hold the icons."""
        path = self._path()
        archives.check_there(path)
        return archives.names_of_files(path) if path.is_dir() else [("archive", path)]

    def trusted(self, size: int) -> Icons:
        """Return pairs that are not in this set: those that come next in the order of the seed.

        `num_pairs` of them refuses more than the archive has.
        """
        return replace(self, size=size, start=self.start + self._size)

    def synonyms(self) -> Mapping[str, Sequence[str]]:
        """Return none; text augmentation then swaps, drops and repeats words."""
        return {}

    def recipe(self) -> Recipe:
        """Return how this data set is trained on."""
        # A small set trains for few steps, of which the warm-up takes the same share.
        pairs = min(self._size, DEFAULT_SIZE)
        warmup = max(1, recipes.TRAIN["warmup"] * pairs // DEFAULT_SIZE)
        return Recipe(
            train={**recipes.TRAIN, "warmup": warmup},
            defenses=recipes.DEFENSES,
            attacks=recipes.ATTACKS,
        )

    def _odd(self, version: str) -> list[str]:
        """Return what the name of the evaluation set says beside the set's own."""
        other = [] if version == archives.VERSION else [version]
        return other + ([] if self.split == "test" else [self.split])

    def _path(self) -> Path:
        return self.archive.expanduser()

    def _read(self) -> Archive:
        path = self._path()
        return archive_at(path, archives.stamps(path))

    def _used(self, archive: Archive) -> list[IconSet]:
        return [one for one in archive.sets if self.noncommercial or not one.is_noncommercial]

    def _held_out(self) -> tuple[HeldOut, str]:
        path = self._path()
        return held_out_at(path, archives.stamps(path), self.split, self.noncommercial)

    def _images(self, icons: Sequence[Icon]) -> Any:
        """Return icons as ``(n, side, side, 3)``."""
        side = self.image_size
        images = np.empty((len(icons), side, side, 3), np.uint8)
        for number, icon in enumerate(icons):
            images[number] = image_of(icon, side, self.seed)
        return images

    def _labelled(self, icons: Sequence[Icon], labels: Any) -> LabelledImages:
        return LabelledImages(self._images(icons), labels)

    def _folder(self, cache: Path) -> Path:
        """Return where the shards go: the archive's content is part of the name."""
        path = self._path()
        archives.check_there(path)
        licenses = "-nc" if self.noncommercial else ""
        return (
            cache
            / "icons"
            / (
                f"v{GENERATOR_VERSION}-{self._size}-from{self.start}-{self.image_size}px"
                f"-seed{self.seed}{licenses}-{content_at(path, archives.stamps(path))[:16]}"
            )
        )


@dataclass(frozen=True)
class TrainingSamples:
    """Draws ranges of training samples; travels to worker processes."""

    icons: tuple[Icon, ...]
    image_size: int
    seed: int

    def __call__(self, start: int, stop: int) -> Iterator[Sample]:
        """Yield samples `start` to `stop`."""
        # Nothing of the icon: a pair that is poisoned later must not contradict its own record.
        metadata = {"width": self.image_size, "height": self.image_size}
        for icon in self.icons[start:stop]:
            image = encode_png(image_of(icon, self.image_size, self.seed))
            yield Sample(image, "png", caption_of(icon, self.seed), metadata)


def _is_whole(folder: Path) -> bool:
    """Return whether a set of the cache is there, and as long as when it was written."""
    if not folder.is_dir() or folder.with_name(f"{folder.name}.partial").exists():
        return False
    try:
        manifest = manifests.read(folder)
    except CorruptData:
        return False
    shards = () if manifest is None else manifest.shards
    files = [folder / shard.name for shard in shards]
    return bool(shards) and all(
        file.is_file() and file.stat().st_size == shard.bytes
        for file, shard in zip(files, shards, strict=True)
    )


DATASET = Icons
