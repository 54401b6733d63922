"""Random access to the pairs of a set of shards."""

from __future__ import annotations

import bisect
import hashlib
import mmap
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from clipbench.contracts import Image, IntArray, Pair, Progress, no_progress
from clipbench.errors import CorruptData, OnError
from clipbench.fetching.sources import expand
from clipbench.files import fields
from clipbench.images.encoding import decode, image_size
from clipbench.shards import index as indexing
from clipbench.shards import manifest as manifests
from clipbench.shards.handles import OpenFiles
from clipbench.shards.hashes import refuse_others, shard_hashes
from clipbench.shards.opening import LeftKeys, Pairs, Shard, changed, indexed
from clipbench.shards.refusals import refuse_empty, refuse_incomplete

_FEW = 64  # from so many captions of one shard on, mapping it beats reading one by one


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
        stored: Pairs,
        cache: Path | None = None,
        *,
        caption_field: str | None = None,
        incomplete: Sequence[indexing.Incomplete] = (),
        left_out: Mapping[int, LeftKeys] | None = None,
    ) -> None:
        self.source = source
        self.cache = cache
        self.caption_field = caption_field
        self.incomplete = tuple(incomplete)
        self.left_out: Mapping[int, LeftKeys] = left_out or {}
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
        self._known_in = indexing.cache_folders(paths, cache)
        self._order: npt.NDArray[np.int64] | None = None
        self._as_listed: list[str] | None = None  # hashes that no manifest contradicts
        self.manifest = manifests.of_shards(paths, whole_folder=_is_folder(source))

    @classmethod
    def open(
        cls,
        source: str | Path,
        cache: Path | None = None,
        progress: Progress = no_progress,
        *,
        caption_field: str | None = None,
        on_incomplete: OnError = "fail",
    ) -> ShardSet:
        """Open a folder, a tar, a brace pattern, or several of them joined by ``::``.

        Args:
            source: e.g. ``data/``, ``data/00000.tar``, ``a/{00000..00099}.tar::b/{000..009}.tar``.
            cache: where the index goes if it can't lie beside the shards.
            progress: told about the first indexing, which reads every tar header once.
            caption_field: field of the JSON that holds captions; None: they are in ``KEY.txt``.
            on_incomplete: whether keys without image or caption are left out, or an error.

        Raises:
            MissingData: a file or folder is not there, can't be read, or holds no tar.
            CorruptData: a tar is cut off or damaged, a pair incomplete, a key not unique.
        """
        paths = expand(source)
        folders = indexing.cache_folders(paths, cache)
        stored = indexing.load(paths, folders, caption_field)
        pairs: Pairs
        incomplete: Sequence[indexing.Incomplete]
        if stored is not None:
            pairs, incomplete = stored, stored.incomplete
        else:
            pairs, incomplete = indexed(paths, folders, caption_field, progress)
        if on_incomplete == "fail":
            refuse_incomplete(incomplete, paths)
        index = pairs.index if isinstance(pairs, indexing.Stored) else pairs[0]
        refuse_empty(index, paths, incomplete)
        return cls(
            str(source), paths, pairs, cache, caption_field=caption_field, incomplete=incomplete
        )

    # ----------------------------------------------------------------- single pairs

    def __len__(self) -> int:
        return len(self.index)

    def key(self, index: int) -> str:
        """Return the key of pair `index`."""
        return self._row(index)[8].decode(errors="surrogateescape")

    def caption(self, index: int) -> str:
        """Return the caption of pair `index`."""
        row = self._row(index)
        return self._text(self._read(row, row[3], row[4], row[10]), index)

    def image_bytes(self, index: int) -> bytes:
        """Return the encoded image of pair `index`."""
        row = self._row(index)
        return self._read(row, row[1], row[2], row[9])

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

    def image_shape(self, index: int) -> tuple[int, int]:
        """Return height and width of the image of pair `index`, as its file's header states them.

        Raises:
            CorruptData: it is no image.
        """
        try:
            width, height = image_size(self.image_bytes(index))
        except CorruptData as error:
            raise CorruptData(f"Image of {self.where(index)}: {error}") from error
        return height, width

    def metadata(self, index: int) -> dict[str, object]:
        """Return what the JSON of pair `index` says; empty if it has none."""
        text = self.metadata_bytes(index)
        if text is None:
            return {}
        try:
            value = fields.read(text)
        except (ValueError, RecursionError) as error:
            raise CorruptData(f"JSON of {self.where(index)} is damaged: {error}.") from error
        if not isinstance(value, dict):
            raise CorruptData(f"JSON of {self.where(index)} is not an object.")
        return value

    def raw(self, shard: int, start: int, size: int) -> bytes:
        """Return bytes of a shard's file; whether they are what they were nobody looks at."""
        return self._files.read(shard, start, size)

    def metadata_bytes(self, index: int) -> bytes | None:
        """Return the JSON of pair `index` as it is stored; None if it has none."""
        row = self._row(index)
        return self._read(row, row[5], row[6], row[11]) if row[5] else None

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
        found = self.find_all(key)
        if not found:
            raise KeyError(key)
        return found[0]

    def find_all(self, key: str) -> list[int]:
        """Return the numbers of all pairs with `key`, in order; joined sets may have several."""
        wanted, column = key.encode(errors="surrogateescape"), self.index["key"]
        if not self._sorted and self._order is None:
            self._order = np.argsort(column, kind="stable")
        order = range(len(self)) if self._order is None else self._order
        first = bisect.bisect_left(order, wanted, key=column.__getitem__)
        end = bisect.bisect_right(order, wanted, first, key=column.__getitem__)
        return [int(number) for number in order[first:end]]

    def find_in(self, shard: int, key: str) -> int:
        """Return the number of the pair with `key` in one shard.

        Raises:
            KeyError: the shard has none.
        """
        place, wanted = self.shards[shard], key.encode(errors="surrogateescape")
        rows = np.flatnonzero(
            self.index["key"][place.first : place.first + place.num_pairs] == wanted
        )
        if not len(rows):
            raise KeyError(key)
        return place.first + int(rows[0])

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
        numbers, sums = wanted.tolist(), rows["caption_crc"].tolist()
        if len(numbers) < _FEW:
            for place, number in zip(places, numbers, strict=True):
                found[place] = self.caption(number)
            return
        handle = self._files.handle(shard)
        with mmap.mmap(handle.descriptor, 0, access=mmap.ACCESS_READ) as content:
            each = zip(places, starts, sizes, numbers, sums, strict=True)
            for place, start, size, number, crc in each:
                text = content[start : start + size]
                if len(text) != size:
                    raise self._files.cut_off(shard)
                if zlib.crc32(text) != crc:
                    raise changed(self.shards[shard].path, self.key(number))
                found[place] = self._text(text, number)

    # ----------------------------------------------------------------- hashes

    def hashes(self, progress: Progress = no_progress) -> list[str]:
        """Return the SHA-256 of every shard, computed once for a state of its file.

        Raises:
            CorruptData: a shard is not the one that the manifest beside it lists.
        """
        paths = [shard.path for shard in self.shards]
        found = shard_hashes(paths, self._known_in, progress)
        if found != self._as_listed:  # looked at once, unless a shard changes
            refuse_others(dict(zip(paths, found, strict=True)))
            self._as_listed = found
        return found

    def view_hashes(self, progress: Progress = no_progress) -> list[str]:
        """Return for every shard a hash of the pairs of it that this set has."""
        return [
            hashlib.sha256(f"{value} {self.left_out[number].digest}".encode()).hexdigest()
            if number in self.left_out
            else value
            for number, value in enumerate(self.hashes(progress))
        ]

    def content_sha256(self) -> str:
        """Return the hash of the set: over the hashes of its shards, in order."""
        return manifests.content_sha256(self.hashes())

    def pairs_sha256(self) -> str:
        """Return the hash of the pairs that this set has: of the set, where it has all of them."""
        return manifests.content_sha256(self.view_hashes())

    # ----------------------------------------------------------------- machinery

    def _row(self, index: int) -> indexing.Row:
        if not 0 <= index < len(self.index):
            raise IndexError(f"pairs are numbered 0 to {len(self) - 1}, not {index}")
        row: indexing.Row = self.index[index].item()
        return row

    def _read(self, row: indexing.Row, start: int, size: int, crc: int) -> bytes:
        """Return what a row of the index points to.

        Raises:
            ChangedData: it is not what it was when the index was made.
        """
        content = self._files.read(row[0], start, size)
        if zlib.crc32(content) != crc:
            key = row[8].decode(errors="surrogateescape")
            raise changed(self.shards[row[0]].path, key)
        return content

    def _text(self, content: bytes, index: int) -> str:
        """Return a caption from the file that holds it."""
        return fields.caption_in(content, self.caption_field, lambda: self.where(index))

    def __getstate__(self) -> dict[str, object]:
        state = {**self.__dict__, "_order": None}
        if self._index_path is not None:
            state["index"] = None  # mapped again where it is unpickled
        return state

    def __setstate__(self, state: dict[str, object]) -> None:
        self.__dict__.update(state)
        if self._index_path is not None:
            stored = indexing.read_index(self._index_path, opened=True)
            if stored is None or [s.size for s in stored.stamps] != [s.size for s in self.shards]:
                raise CorruptData(f"{self._index_path} changed while it was in use; start again.")
            self.index = stored.index

    def __repr__(self) -> str:
        return f"ShardSet({self.source!r}, {len(self)} pairs in {len(self.shards)} shards)"


def _is_folder(source: str) -> bool:
    try:
        return Path(source).is_dir()
    except OSError:  # many paths joined are longer than a path may be
        return False
