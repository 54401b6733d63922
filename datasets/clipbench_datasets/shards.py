"""WebDataset shards as img2dataset writes them: CC3M, CC12M or any other crawl, as they are.

``path`` is a folder, a tar, a brace pattern such as ``cc3m-train-{0000..0575}.tar``, or several of
these joined by ``::``. A path alone means the same: ``--data /data/cc3m``. Images are jpg, jpeg,
png or webp; captions are read from ``KEY.txt``, or from a field of ``KEY.json``. Shards at a URL or
behind a command (``pipe:``) are fetched into the cache before anything else.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, ClassVar

from clipbench.contracts import Matches, Plugin, Progress, Recipe, no_progress
from clipbench.errors import BadSetting, CorruptData
from clipbench.fetching.remote import fetch, fetched, is_remote
from clipbench.fetching.sources import expand
from clipbench.files.fields import read as read_fields
from clipbench.importing.pairs import Entry
from clipbench.shards import sizes
from clipbench.shards.index import Incomplete
from clipbench.shards.reader import ShardSet
from clipbench.shards.scan import Group, groups
from clipbench.text.locations import Location, Word, split

from . import _training as training

_LARGE = 10**9  # bytes; the headers of less are read in no time
_OF_THE_PAIR = frozenset({"caption", "key", "status", "sha256", "width", "height"})


_SHARDS = Matches(r".*\S.*", "a folder, a tar or a pattern of tars")


@dataclass(frozen=True)
class Shards(Plugin):
    """Pairs in WebDataset tars.

    Args:
        path: folder, tar, brace pattern, or several of these joined by ``::``.
        caption_field: field of the JSON that holds captions; none: they are in KEY.txt.
    """

    identity_has_pictures: ClassVar[bool] = True

    path: Annotated[Location, _SHARDS]
    caption_field: Word | None = None

    @property
    def source(self) -> str:
        """The path with the home folder in place of ``~``."""
        parts = split(self.path)
        return "::".join(str(Path(p).expanduser()) if p.startswith("~") else p for p in parts)

    def with_pairs(self, minimum: int) -> Shards:  # noqa: ARG002
        """Return this source: its size is given."""
        return self

    def num_pairs(self) -> int:
        """Return how many complete pairs there are, whether all can be used or not.

        Of large sets taken from ``sizes.json`` where that lists every shard, else counted. 0 for
        remote shards, which are counted when they are fetched.
        """
        if is_remote(self.source):
            return 0
        paths = tuple(expand(self.source))
        stamps = tuple((path.stat().st_size, path.stat().st_mtime_ns) for path in paths)
        return _count(self.source, self.caption_field, paths, stamps)

    def prepare(self, cache: Path, progress: Progress = no_progress) -> str:
        """Return the shards themselves; remote ones are fetched into `cache` first."""
        if is_remote(self.source):
            return "::".join(map(str, fetch(self.source, cache / "remote", progress)))
        expand(self.source)  # tells what is not there
        return self.source

    def prepared(self, cache: Path) -> str | None:
        """Return the shards where they are on this machine; None: some must be fetched."""
        if not is_remote(self.source):
            return self.prepare(cache)
        found = fetched(self.source, cache / "remote")
        return None if found is None else "::".join(map(str, found))

    def synonyms(self) -> Mapping[str, Sequence[str]]:
        """Return none; text augmentation then swaps, drops and repeats words."""
        return {}

    def recipe(self) -> Recipe:
        """Return the settings of SafeCLIP's authors."""
        return training.RECIPE

    def identity(self) -> Mapping[str, object]:
        """Return what decides the pairs: the content of the shards, and where captions are."""
        shards = self._opened()
        return {
            "format": "shards",
            "content_sha256": shards.content_sha256(),
            "caption_field": self.caption_field,
        }

    def entries(self) -> Iterator[Entry]:
        """Yield the pairs, for an import that writes clean shards of them."""
        shards = self._opened()
        by_shard: dict[int, list[Incomplete]] = {}
        for one in shards.incomplete:
            by_shard.setdefault(one.shard, []).append(one)
        for number, shard in enumerate(shards.shards):
            incomplete = by_shard.get(number, [])
            others = _convertible(shard.path, incomplete)
            for one in incomplete:
                entry = lacking(one, shard.path)
                if one.key in others:
                    entry = self._converted(entry.name, shard.path, others[one.key])
                yield entry
            for pair in range(shard.first, shard.first + shard.num_pairs):
                yield entry_of(shards, pair, str(shard.path))

    def _converted(self, name: str, path: Path, group: Group) -> Entry:
        """Return a pair whose image is in a format that shards don't have."""
        image = group.other_image()
        captions = "txt" if self.caption_field is None else "json"
        assert image is not None
        if not group.has(captions):
            return Entry(name, str(path), None, problem=("caption missing", group.words()))
        member = group.members[captions]
        with path.open("rb") as file:
            file.seek(member.offset)
            content = file.read(member.size)
        try:
            text = content.decode() if self.caption_field is None else self._field(content)
        except (CorruptData, ValueError, RecursionError) as error:
            return Entry(name, str(path), None, problem=("caption unreadable", str(error)))
        return Entry(name, str(path), text, span=(image.offset, image.size))

    def _field(self, content: bytes) -> str:
        fields = read_fields(content)
        value = fields.get(self.caption_field) if isinstance(fields, dict) else None
        if not isinstance(value, str):
            raise CorruptData(f"the JSON has no text {self.caption_field!r}")
        return value

    def _opened(self) -> ShardSet:
        if is_remote(self.source):
            raise BadSetting("Remote shards can't be imported; fetch them, and give their folder.")
        return ShardSet.open(self.source, caption_field=self.caption_field, on_incomplete="skip")


def _convertible(path: Path, incomplete: Sequence[Incomplete]) -> dict[str, Group]:
    """Return those of a shard's incomplete keys, which it may have, whose image is only foreign."""
    keys = {one.key for one in incomplete if one.missing == "image" and one.found}
    if not keys:
        return {}
    found = ((group.key.decode(errors="replace"), group) for group in groups(path))
    return {key: group for key, group in found if key in keys and group.other_image() is not None}


def lacking(one: Incomplete, path: Path) -> Entry:
    """Return an incomplete pair of a shard as it is listed for an import, which leaves it out."""
    problem = (f"{one.missing} missing", one.found or "the key is incomplete")
    return Entry(f"key {one.key} in shard {path}", str(path), None, problem=problem)


def entry_of(shards: ShardSet, pair: int, path: str) -> Entry:
    """Return a pair of shards as it is listed for an import."""
    name, row = shards.where(pair), shards.index[pair]
    span = (int(row["image_offset"]), int(row["image_size"]))
    try:
        caption = shards.caption(pair)
    except CorruptData as error:
        return Entry(name, path, None, problem=("caption unreadable", str(error)))
    try:
        fields = shards.metadata(pair)
    except CorruptData:
        fields = {}  # the import writes a JSON of its own
    plain = {key: value for key, value in fields.items() if key not in _OF_THE_PAIR}
    return Entry(name, path, caption, span=span, metadata=plain)


@functools.lru_cache(maxsize=16)
def _count(
    source: str,
    caption_field: str | None,
    paths: tuple[Path, ...],
    stamps: object,  # noqa: ARG001 - makes a changed set another one
) -> int:
    told = {folder: sizes.read(folder) for folder in {path.parent for path in paths}}
    counts = [told[path.parent].get(path.name) for path in paths]
    known: list[int] = [count for count in counts if type(count) is int]
    total = sum(known)
    large = sum(path.stat().st_size for path in paths) > _LARGE
    if large and caption_field is None and len(known) == len(counts) and total > 0:
        return total
    return len(ShardSet.open(source, caption_field=caption_field, on_incomplete="skip"))


DATASET = Shards
