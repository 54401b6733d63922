"""Random access to the pairs of a set of shards."""

from __future__ import annotations

import bisect
import json
import mmap
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from clipbench.contracts import Image, IntArray, Pair, Progress, no_progress
from clipbench.errors import CorruptData
from clipbench.shards import index as indexing
from clipbench.shards import manifest as manifests
from clipbench.shards.encoding import decode
from clipbench.shards.handles import OpenFiles
from clipbench.shards.hashes import shard_hashes
from clipbench.shards.scan import scan
from clipbench.shards.sources import expand

_FEW = 64  # from so many captions of one shard on, mapping it beats reading one by one


@dataclass(frozen=True)
class Shard:
    """A shard of an opened set: its file, its pairs, and the number of its first pair."""

    path: Path
    num_pairs: int
    first: int
    size: int
    mtime_ns: int


class ShardSet:
    """Pairs of image and caption, by number, straight from WebDataset tars.

    Pairs are numbered 0 .. len - 1 in the order of shards and of members within them. The index is
    mapped, not loaded; files are opened when first read and read by position, so that a set may be
    pickled, forked and read by several threads. Use `open` to get one.
    """

    def __init__(
        self,
        source: str,
        paths: Sequence[Path],
        stored: indexing.Stored | tuple[indexing.Index, Sequence[indexing.Stamp]],
        cache: Path | None = None,
    ) -> None:
        self.source = source
        self.cache = cache
        self._index_path: Path | None = None
        if isinstance(stored, indexing.Stored):
            self.index: indexing.Index = stored.index
            stamps: Sequence[indexing.Stamp] = stored.stamps
            self._sorted, self._index_path = stored.is_sorted, stored.path
        else:
            self.index, stamps = stored
            self._sorted = indexing.is_sorted(self.index)
        firsts = np.cumsum([0, *(stamp.num_pairs for stamp in stamps)]).tolist()
        self.shards: tuple[Shard, ...] = tuple(
            Shard(path, stamp.num_pairs, first, stamp.size, stamp.mtime_ns)
            for path, stamp, first in zip(paths, stamps, firsts[:-1], strict=True)
        )
        self._firsts: list[int] = firsts[:-1]
        self._files = OpenFiles(paths)
        self._order: npt.NDArray[np.int64] | None = None
        self.manifest = manifests.of_shards(paths, whole_folder=Path(source).is_dir())

    @classmethod
    def open(
        cls, source: str | Path, cache: Path | None = None, progress: Progress = no_progress
    ) -> ShardSet:
        """Open a folder, a tar, a brace pattern, or several of them joined by ``::``.

        Args:
            source: e.g. ``data/``, ``data/00000.tar``, ``a/{00000..00099}.tar::b/{000..009}.tar``.
            cache: where the index goes if it can't lie beside the shards.
            progress: told about the first indexing, which reads every tar header once.

        Raises:
            MissingData: a file or folder is not there, can't be read, or holds no tar.
            CorruptData: a tar is cut off or damaged, a pair incomplete, a key not unique.
        """
        paths = expand(source)
        folders = indexing.cache_folders(paths, cache)
        stored = indexing.load(paths, folders)
        if stored is not None:
            return cls(str(source), paths, stored, cache)
        index, stamps = scan(paths, progress)
        where = indexing.save(index, stamps, folders)
        stored = indexing.read_index(where) if where is not None else None
        return cls(str(source), paths, stored or (index, stamps), cache)

    # ----------------------------------------------------------------- single pairs

    def __len__(self) -> int:
        return len(self.index)

    def key(self, index: int) -> str:
        """Return the key of pair `index`."""
        return self._row(index)[8].decode(errors="surrogateescape")

    def caption(self, index: int) -> str:
        """Return the caption of pair `index`."""
        row = self._row(index)
        return self._text(self._files.read(row[0], row[3], row[4]), index)

    def image_bytes(self, index: int) -> bytes:
        """Return the encoded image of pair `index`."""
        row = self._row(index)
        return self._files.read(row[0], row[1], row[2])

    def image(self, index: int) -> Image:
        """Return the decoded image of pair `index`, ``(H, W, 3)`` RGB uint8.

        Raises:
            CorruptData: it can't be decoded, or is too large to be decoded safely.
        """
        try:
            return decode(self.image_bytes(index))
        except CorruptData as error:
            raise CorruptData(
                f"Image of {self.where(index)}: {error} Fetch the shard again or remove the key."
            ) from error

    def metadata(self, index: int) -> dict[str, Any]:
        """Return what the JSON of pair `index` says; empty if it has none."""
        text = self.metadata_bytes(index)
        if text is None:
            return {}
        try:
            value = json.loads(text)
        except ValueError as error:
            raise CorruptData(f"JSON of {self.where(index)} is damaged: {error}.") from error
        if not isinstance(value, dict):
            raise CorruptData(f"JSON of {self.where(index)} is not an object.")
        return value

    def raw(self, shard: int, start: int, size: int) -> bytes:
        """Return bytes of a shard's file."""
        return self._files.read(shard, start, size)

    def metadata_bytes(self, index: int) -> bytes | None:
        """Return the JSON of pair `index` as it is stored; None if it has none."""
        row = self._row(index)
        return self._files.read(row[0], row[5], row[6]) if row[5] else None

    def pair(self, index: int) -> Pair:
        """Return pair `index`, decoded."""
        return Pair(self.key(index), self.image(index), self.caption(index))

    def extension(self, index: int) -> str:
        """Return the image's extension in lower case: jpg, png, jpeg or webp."""
        return indexing.EXTENSIONS[self._row(index)[7]]

    def shard_of(self, index: int) -> int:
        """Return the number of the shard that holds pair `index`."""
        return self._row(index)[0]

    def where(self, index: int) -> str:
        """Return shard and key of pair `index`, for messages."""
        return f"key {self.key(index)} in shard {self.shards[self.shard_of(index)].path}"

    def find(self, key: str) -> int:
        """Return the number of the pair with `key`.

        Raises:
            KeyError: no pair has it.
        """
        wanted, column = key.encode(errors="surrogateescape"), self.index["key"]
        if self._sorted:
            at = bisect.bisect_left(column, wanted)
        else:
            if self._order is None:
                self._order = np.argsort(column, kind="stable")
            place = bisect.bisect_left(self._order, wanted, key=column.__getitem__)
            at = int(self._order[place]) if place < len(self) else len(self)
        if at >= len(self) or column[at] != wanted:
            raise KeyError(key)
        return at

    # ----------------------------------------------------------------- many pairs

    def captions(self, indices: IntArray | Sequence[int] | range | None = None) -> list[str]:
        """Return the captions of many pairs, in the order asked for; of all pairs if None."""
        wanted = np.arange(len(self)) if indices is None else np.asarray(indices, np.int64)
        if len(wanted) and (wanted.min() < 0 or wanted.max() >= len(self)):
            raise IndexError(f"pairs are numbered 0 to {len(self) - 1}")
        found: list[str] = [""] * len(wanted)
        shard = np.searchsorted(self._firsts, wanted, side="right") - 1
        order = np.argsort(shard, kind="stable")
        cuts = np.flatnonzero(np.diff(shard[order])) + 1
        for part in np.split(order, cuts) if len(order) else []:
            self._captions_of(int(shard[part[0]]), wanted[part], part.tolist(), found)
        return found

    def _captions_of(
        self, shard: int, wanted: IntArray, places: list[int], found: list[str]
    ) -> None:
        rows = self.index[wanted]
        starts, sizes = rows["caption_offset"].tolist(), rows["caption_size"].tolist()
        numbers = wanted.tolist()
        if len(numbers) < _FEW:
            for place, start, size, number in zip(places, starts, sizes, numbers, strict=True):
                found[place] = self._text(self._files.read(shard, start, size), number)
            return
        handle = self._files.handle(shard)
        with mmap.mmap(handle.descriptor, 0, access=mmap.ACCESS_READ) as content:
            for place, start, size, number in zip(places, starts, sizes, numbers, strict=True):
                text = content[start : start + size]
                if len(text) != size:
                    raise self._files.cut_off(shard)
                try:
                    found[place] = text.decode()
                except UnicodeDecodeError:
                    found[place] = self._text(text, number)

    # ----------------------------------------------------------------- hashes

    def hashes(self, progress: Progress = no_progress) -> list[str]:
        """Return the SHA-256 of every shard.

        The manifest's, for shards whose size it gives right; others are computed and remembered.
        """
        paths = [shard.path for shard in self.shards]
        stamps = [(shard.size, shard.mtime_ns) for shard in self.shards]
        folders = indexing.cache_folders(paths, self.cache)
        return shard_hashes(paths, stamps, self._listed(), folders, progress)

    def content_sha256(self) -> str:
        """Return the hash of the set: over the hashes of its shards, in order."""
        return manifests.content_sha256(self.hashes())

    def _listed(self) -> list[manifests.ShardRecord]:
        manifest = self.manifest
        if manifest is None and len({shard.path.parent for shard in self.shards}) == 1:
            manifest = manifests.read(self.shards[0].path.parent)  # of more shards than these
        return [] if manifest is None else manifests.records(manifest)

    # ----------------------------------------------------------------- machinery

    def _row(self, index: int) -> indexing.Row:
        if not 0 <= index < len(self.index):
            raise IndexError(f"pairs are numbered 0 to {len(self) - 1}, not {index}")
        row: indexing.Row = self.index[index].item()
        return row

    def _text(self, content: bytes, index: int) -> str:
        try:
            return content.decode()
        except UnicodeDecodeError as error:
            raise CorruptData(
                f"Caption of {self.where(index)} is not UTF-8: {error}. Write it again as UTF-8 or"
                " remove the key."
            ) from error

    def __getstate__(self) -> dict[str, Any]:
        state = {**self.__dict__, "_order": None}
        if self._index_path is not None:
            state["index"] = None  # mapped again where it is unpickled
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        if self._index_path is not None:
            stored = indexing.read_index(self._index_path)
            if stored is None or [s.size for s in stored.stamps] != [s.size for s in self.shards]:
                raise CorruptData(f"{self._index_path} changed while it was in use; start again.")
            self.index = stored.index

    def __repr__(self) -> str:
        return f"ShardSet({self.source!r}, {len(self)} pairs in {len(self.shards)} shards)"
