"""All images of a set decoded once into memory-mapped arrays, so that training never decodes.

One file per shard, named after the shard's content and the versions of what decodes it: a poisoned
set shares the arrays of all shards it has in common with its clean base.
"""

from __future__ import annotations

import threading
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from clipbench.contracts import Image, IntArray, Progress, no_progress
from clipbench.errors import BadSetting, CorruptData
from clipbench.files.json_files import sha256_file
from clipbench.images.decoders import decoders
from clipbench.images.fit import Fitting, fit
from clipbench.shards.opening import Shard
from clipbench.shards.reader import ShardSet
from clipbench.system.descriptors import register, share
from clipbench.system.durable import atomic_file, clear_leftovers, make_folder
from clipbench.system.processes import in_processes
from clipbench.tensors.blocks import BlockFile

_MADE = "squares 1"  # raise it with every change of what a square is
_PART = 4  # of the files a process may hold open
_AT_ONCE = 1 << 25  # bytes of pixels a worker holds before it writes them


@dataclass(frozen=True)
class _Plan:
    shards: ShardSet
    hashes: tuple[str, ...]
    files: tuple[BlockFile, ...]
    fitting: Fitting


class DecodedImages:
    """The images of a set as uint8 squares, mapped from disk. Use `open` to get one.

    A block of images whose checksum does not fit is not used: its shard is decoded again.
    """

    def __init__(
        self, files: Sequence[BlockFile], image_size: int, plan: _Plan | None = None
    ) -> None:
        self.image_size = image_size
        self._files, self._plan = tuple(files), plan
        self._firsts = np.cumsum([0, *(file.count for file in files)])
        self._blocks = np.cumsum([0, *(file.num_blocks for file in files)])
        self._per_block = files[0].per_block
        self._sound = np.zeros(self._blocks[-1], bool)  # blocks that were looked at
        self._mending = threading.Lock()
        self._sums: dict[int, npt.NDArray[np.uint32]] = {}
        self._most = share(_PART, len(files))
        self._maps: dict[int, npt.NDArray[np.uint8]] = {}
        register(self)
        for number in range(min(len(files), self._most)):
            self._mapped(number)

    @classmethod
    def open(
        cls,
        shards: ShardSet,
        image_size: int,
        cache: Path,
        *,
        fitting: Fitting = fit,
        workers: int | None = None,
        progress: Progress = no_progress,
    ) -> DecodedImages:
        """Return the decoded images of `shards`, decoding those shards that never were.

        Args:
            shards: the set.
            image_size: S.
            cache: the folder of the arrays, which may serve many sets.
            fitting: makes squares of images of other sizes.
            workers: processes; 0: this one; None: one a processor.
            progress: told after every shard.

        Raises:
            CorruptData: an image can't be decoded; names shard and key.
            ClipbenchError: the disk is full.
        """
        if image_size < 1:
            raise BadSetting(f"image_size must be at least 1, not {image_size}.")
        make_folder(cache)
        clear_leftovers(cache)
        hashes, made = shards.view_hashes(progress), decoders(_MADE)
        counts = [shard.num_pairs for shard in shards.shards]
        files = tuple(
            BlockFile(cache / f"{value}-{made}-{image_size}{fitting.name}.npy", count, image_size)
            for value, count in zip(hashes, counts, strict=True)
        )
        missing = [number for number, file in enumerate(files) if not _is_whole(file)]
        done, total = sum(counts) - sum(counts[number] for number in missing), len(shards)
        if missing:
            progress("decoding images", done, total)
        plan = _Plan(shards, tuple(shards.hashes()), files, fitting)
        for number in in_processes(_decode, plan, missing, workers):
            done += counts[number]
            progress("decoding images", done, total)
        return cls(files, image_size, plan)

    def __len__(self) -> int:
        return int(self._firsts[-1])

    @property
    def nbytes(self) -> int:
        """Bytes of all pixels."""
        return len(self) * self.image_size**2 * 3

    def gather(self, indices: IntArray) -> npt.NDArray[np.uint8]:
        """Return images by number of pair.

        Args:
            indices: ``(B,)``, in any order, repeats allowed.

        Returns:
            ``(B, S, S, 3)`` uint8, row b is the image of pair ``indices[b]``.
        """
        wanted = np.asarray(indices, np.int64)
        if len(wanted) and (wanted.min() < 0 or wanted.max() >= len(self)):
            raise IndexError(f"pairs are numbered 0 to {len(self) - 1}")
        size = self.image_size
        out = np.empty((len(wanted), size, size, 3), np.uint8)
        shard = np.searchsorted(self._firsts, wanted, side="right") - 1
        rows = wanted - self._firsts[shard]
        self._look_at(self._blocks[shard] + rows // self._per_block)
        if len(wanted) <= 4 * len(self._files):  # few to a shard: one by one is fastest
            maps = self._maps
            for place, (number, row) in enumerate(zip(shard.tolist(), rows.tolist(), strict=True)):
                found = maps.get(number)  # most are there, and a call takes as long as the copy
                out[place] = (self._mapped(number) if found is None else found)[row]
            return out
        order = np.lexsort((rows, shard))
        for part in np.split(order, np.flatnonzero(np.diff(shard[order])) + 1):
            out[part] = self._mapped(int(shard[part[0]]))[rows[part]]
        return out

    def __getitem__(self, index: int) -> Image:
        """Return the image of pair `index`, ``(S, S, 3)``; a copy, for a view would hold a file."""
        if not 0 <= index < len(self):
            raise IndexError(f"pairs are numbered 0 to {len(self) - 1}, not {index}")
        image: Image = self.gather(np.array([index]))[0]
        return image

    def let_go(self) -> None:
        """Unmap what nobody is reading."""
        self._maps.clear()

    def _look_at(self, blocks: IntArray) -> None:
        """Hold blocks against their checksums, each once, and decode again what is damaged."""
        for block in np.unique(blocks[~self._sound[blocks]]).tolist():
            number = int(np.searchsorted(self._blocks, block, side="right")) - 1
            if not self._is_sound(number, block):
                self._mend(number, block)
            self._sound[block] = True

    def _is_sound(self, number: int, block: int) -> bool:
        """Return whether a block is as it was written; it lies in that shard."""
        file, pixels = self._files[number], self._mapped(number)
        told = self._sums.get(number)
        if told is None:
            found = file.sums()
            if found is None:
                return False
            told = self._sums[number] = found
        own = block - int(self._blocks[number])
        return file.is_sound(pixels, own, int(told[own]))

    def _mend(self, number: int, block: int) -> None:
        """Decode a shard again of which a block is damaged, unless another thread just has.

        Raises:
            CorruptData: that does not help, or this process does not know the shard.
        """
        file = self._files[number].path
        with self._mending:
            if self._is_sound(number, block):
                return
            if self._plan is not None:
                warnings.warn(f"{file} was damaged; its images are decoded again", stacklevel=2)
                _decode(self._plan, number)
                self._maps.pop(number, None)
                self._sums.pop(number, None)
                self._sound[self._blocks[number] : self._blocks[number + 1]] = False
            if self._plan is None or not self._is_sound(number, block):
                raise CorruptData(f"{file} is damaged; remove it, and it is made again.")

    def _mapped(self, number: int) -> npt.NDArray[np.uint8]:
        """Return the images of one shard; a mapping keeps a file open, so not all may stay."""
        found = self._maps.get(number)
        if found is None:
            while len(self._maps) >= self._most:
                self._maps.pop(next(iter(self._maps)), None)
            found = self._files[number].mapped()
            self._maps[number] = found
        return found

    def __getstate__(self) -> tuple[Sequence[BlockFile], int]:
        return self._files, self.image_size

    def __setstate__(self, state: tuple[Sequence[BlockFile], int]) -> None:
        DecodedImages.__init__(self, *state)


def _is_whole(file: BlockFile) -> bool:
    try:
        return file.sums() is not None
    except OSError:  # it is made again, and takes the place of what can't be read, if it can
        return False


def _decode(plan: _Plan, number: int) -> int:
    """Decode one shard into its file, a part at a time.

    The file is named after what the shard is known to hold. So that is looked at now: a bit that
    rots changes no time of change, and its picture would outlive the shard's repair.

    Raises:
        CorruptData: the shard does not hold what it is known by, or an image can't be decoded.
    """
    shard, file = plan.shards.shards[number], plan.files[number]
    if sha256_file(shard.path) != plan.hashes[number]:
        raise CorruptData(
            f"Shard {shard.path} does not hold what it did when it was first read, though its size"
            " and time of change are the same; fetch or write it again."
        )
    with atomic_file(file.path, file.nbytes, sync=False) as out:
        file.write(out, _parts(plan, shard, file))
    return number


def _parts(plan: _Plan, shard: Shard, file: BlockFile) -> Iterator[npt.NDArray[np.uint8]]:
    """Yield the images of a shard, as many at once as a worker may hold, in whole blocks."""
    whole = max(1, _AT_ONCE // (file.size * file.size * 3) // file.per_block)
    step = whole * file.per_block
    for start in range(0, shard.num_pairs, step):
        stop = min(start + step, shard.num_pairs)
        pixels = np.empty((stop - start, *file.shape[1:]), np.uint8)
        for row in range(stop - start):
            pixels[row] = _image(plan, shard.first + start + row, file.size)
        yield pixels


def _image(plan: _Plan, index: int, size: int) -> Image:
    image = plan.shards.image(index)
    if 0 in image.shape:
        raise CorruptData(f"Image of {plan.shards.where(index)} has no pixels.")
    return plan.fitting(image, size)
