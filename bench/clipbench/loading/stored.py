"""The pairs of a training run as they are stored, for a defense that looks at them.

Captions and images alone: of a pair's key, its place and the rest of its JSON a defense is told
nothing.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import overload

import numpy as np

from clipbench.boundary import readonly
from clipbench.contracts import Image, IntArray
from clipbench.loading.pairs import PairSource
from clipbench.system import threads

_CAPTIONS = 10_000  # read at once
_IMAGES = 16  # decoded by a thread at once


class StoredPairs:
    """See `clipbench.contracts.PairsView`.

    Args:
        source: the set.
        numbers: which of its pairs, in which order, ``(N,)``; None: all, in its order.
    """

    def __init__(self, source: PairSource, numbers: IntArray | None = None) -> None:
        self._source = source
        self._numbers = np.arange(len(source), dtype=np.int64) if numbers is None else numbers

    def __len__(self) -> int:
        return len(self._numbers)

    def captions(self) -> StoredCaptions:
        """Return the captions, read when they are looked at."""
        return StoredCaptions(self._source, self._numbers)

    def image(self, index: int) -> Image:
        """Return the image of pair `index`, ``(H, W, 3)`` RGB uint8; it can't be written to."""
        return self.images[index]

    @property
    def images(self) -> StoredImages:
        """The images, decoded when they are looked at."""
        return StoredImages(self._source, self._numbers)


class StoredCaptions(Sequence[str]):
    """Captions of a set by number; going through them reads thousands at once."""

    def __init__(self, source: PairSource, numbers: IntArray) -> None:
        self._source, self._numbers = source, numbers

    def __len__(self) -> int:
        return len(self._numbers)

    @overload
    def __getitem__(self, index: int) -> str: ...
    @overload
    def __getitem__(self, index: slice) -> StoredCaptions: ...
    def __getitem__(self, index: int | slice) -> str | StoredCaptions:
        if isinstance(index, slice):
            return StoredCaptions(self._source, self._numbers[index])
        return self._source.captions([int(self._numbers[index])])[0]

    def __iter__(self) -> Iterator[str]:
        for start in range(0, len(self), _CAPTIONS):
            yield from self._source.captions(self._numbers[start : start + _CAPTIONS])


class StoredImages(Sequence[Image]):
    """Images of a set by number, none of which can be written to.

    Going through them decodes a few ahead, in as many threads as this process has processors.
    """

    def __init__(self, source: PairSource, numbers: IntArray) -> None:
        self._source, self._numbers = source, numbers

    def __len__(self) -> int:
        return len(self._numbers)

    @overload
    def __getitem__(self, index: int) -> Image: ...
    @overload
    def __getitem__(self, index: slice) -> StoredImages: ...
    def __getitem__(self, index: int | slice) -> Image | StoredImages:
        if isinstance(index, slice):
            return StoredImages(self._source, self._numbers[index])
        return readonly.array(self._source.image(int(self._numbers[index])))

    def __iter__(self) -> Iterator[Image]:
        count = threads.own_processors()
        parts = iter(range(0, len(self), _IMAGES))
        with ThreadPoolExecutor(count, thread_name_prefix="decode") as pool:
            ahead: deque[Future[list[Image]]] = deque()
            try:
                for start in parts:
                    ahead.append(pool.submit(self._some, start))
                    if len(ahead) > 2 * count:
                        yield from ahead.popleft().result()
                while ahead:
                    yield from ahead.popleft().result()
            finally:
                for future in ahead:  # where the caller stops early or an image fails
                    future.cancel()

    def _some(self, start: int) -> list[Image]:
        return [self[number] for number in range(start, min(start + _IMAGES, len(self)))]
