"""Images that look the same: perceptual hashes, and the groups of images whose hashes are near.

The perceptual hash pHash: Zauner. Implementation and Benchmarking of Perceptual Image Hash
Functions. Master's thesis, Upper Austria University of Applied Sciences, Hagenberg, 2010, section
3.2.1. https://www.phash.org/docs/pubs/thesis_zauner.pdf

Near hashes by blocks: Manku, Jain, Das Sarma. Detecting Near-Duplicates for Web Crawling. WWW 2007,
section 3. https://doi.org/10.1145/1242572.1242592
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import combinations

import numpy as np
import numpy.typing as npt
from PIL import Image as Pil
from scipy.fft import dctn
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from clipbench.contracts import Image

Hashes = npt.NDArray[np.uint64]
Links = npt.NDArray[np.int64]  # ``(2, M)``: of two hashes each
SIDE = 32  # pixels of the gray image that is transformed
LOW = 8  # rows and columns of lowest frequencies that make the 64 bits
MOST_APART = 3  # bits; so far apart, two hashes are equal in two of their five blocks
_BLOCKS = ((0, 13), (13, 13), (26, 13), (39, 13), (52, 12))  # first bit and bits of each
_MOST_LINKS = 1 << 22  # that are held before they are replaced by what they connect
_STEPS = 256  # hashes with the same two blocks that each is compared with
_FLIPPED = 1 << 20  # hashes with a bit flipped that are sorted at once, if they spread evenly


def phash(image: Image) -> int:
    """Return a 64-bit hash of an image, ``(H, W, 3)`` uint8: see `phash_of_gray`."""
    return phash_of_gray(Pil.fromarray(image).convert("L"))


def phash_of_gray(image: Pil.Image) -> int:
    """Return a 64-bit hash of a gray image: which of its low frequencies exceed their median."""
    gray = image.resize((SIDE, SIDE), Pil.Resampling.LANCZOS)
    # Of the two-dimensional cosine transform, without the first row and column: the thesis leaves
    # out the lowest frequencies, which tell brightness and slope of light.
    low = dctn(np.asarray(gray, dtype=np.float64))[1 : LOW + 1, 1 : LOW + 1]
    return int.from_bytes(np.packbits(low > np.median(low)).tobytes(), "big")


def hashes_of(images: Iterable[Image]) -> Hashes:
    """Return the hash of each image, ``(N,)``."""
    return np.fromiter((phash(image) for image in images), dtype=np.uint64)


def alike(hashes: Hashes, distance: int) -> npt.NDArray[np.int64]:
    """Return the group of each image, ``(N,)``: images connected by chains of similar hashes.

    Two hashes that differ in at most three bits are equal in two of their five blocks, so only
    hashes that share two blocks are compared. Of 200,000 random hashes hardly any two do; of
    drawings on white many do. Where more than some hundreds share two, each is compared with the
    next hundreds in order, and all that differ in one or two bits are found by the hashes that they
    share when a bit is flipped: of two that differ in three bits, it may be missed there that they
    are similar, unless a chain of others connects them. The time grows with the number of hashes,
    and not with its square.

    Args:
        hashes: ``(N,)`` of 64 bits.
        distance: most bits in which similar hashes differ, 0 to `MOST_APART`.
    """
    distinct, of_image = np.unique(hashes, return_inverse=True)
    links = _near(distinct, distance) if distance else ()
    return connected(links, len(distinct))[of_image.reshape(-1)]


def connected(links: Iterable[Links], count: int) -> npt.NDArray[np.int64]:
    """Return the group of each of `count` things, those that links connect in one.

    Args:
        links: in parts; when many are held, they are replaced by what they connect.
        count: things, numbered from 0.
    """
    held, total = list[Links](), 0
    for part in links:
        held.append(part)
        total += part.shape[1]
        if total > _MOST_LINKS + count:
            group = _components(held, count)
            held, total = [np.stack([np.arange(count), _first_of(group)[group]])], count
    return _components(held, count)


def _components(links: Sequence[Links], count: int) -> npt.NDArray[np.int64]:
    first, second = np.concatenate([np.zeros((2, 0), np.int64), *links], axis=1)
    graph = coo_array((np.ones(len(first), bool), (first, second)), shape=(count, count))
    group: npt.NDArray[np.int64] = connected_components(graph, directed=False)[1].astype(np.int64)
    return group


def _first_of(group: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Return the first member of each group."""
    return np.unique(group, return_index=True)[1].astype(np.int64)


def near_pairs(
    hashes: Hashes, distance: int, steps: int, within: npt.NDArray[np.generic] | None = None
) -> Iterator[Links]:
    """Yield pairs of similar hashes, equal ones among them, some of them more than once.

    Hashes that share two blocks are compared, each with the next `steps` of them in order: all,
    unless more share two.

    Args:
        hashes: ``(N,)`` of 64 bits.
        distance: most bits in which similar hashes differ, 0 to `MOST_APART`.
        steps: hashes that each is compared with, for each two blocks.
        within: ``(N,)`` what decides the order of equal hashes; None: their numbers.
    """
    ties = np.arange(len(hashes)) if within is None else within
    for mask in _masks():
        order = np.lexsort((ties, hashes, hashes & mask)).astype(np.int64)
        ordered = hashes[order]
        keys = ordered & mask
        places = np.arange(len(keys))
        for step in range(1, steps + 1):  # with the next of the same key, the one after it, ...
            places = places[places + step < len(keys)]
            places = places[keys[places] == keys[places + step]]
            if not len(places):
                break
            near = places[bits_of(ordered[places] ^ ordered[places + step]) <= distance]
            yield np.stack([order[near], order[near + step]])


def _masks() -> list[np.uint64]:
    """Return the bits of each two blocks."""
    bits = [((1 << count) - 1) << first for first, count in _BLOCKS]
    return [np.uint64(one | other) for one, other in combinations(bits, 2)]


def _crowded(hashes: Hashes) -> npt.NDArray[np.int64]:
    """Return the hashes that share two blocks with more than `_STEPS` others."""
    is_crowded = np.zeros(len(hashes), bool)
    for mask in _masks():
        _, of_hash, counts = np.unique(hashes & mask, return_inverse=True, return_counts=True)
        is_crowded |= counts[of_hash.reshape(-1)] > _STEPS + 1
    return np.flatnonzero(is_crowded)


def _near(hashes: Hashes, distance: int) -> Iterator[Links]:
    """Yield pairs of similar hashes that connect those that `alike` says.

    Args:
        hashes: ``(N,)``, each once.
        distance: most bits in which similar hashes differ, from 1.
    """
    yield from near_pairs(hashes, distance, _STEPS)
    crowded = _crowded(hashes)
    for links in _by_flips(hashes[crowded], distance):
        yield crowded[links]


def _by_flips(hashes: Hashes, distance: int) -> Iterator[Links]:
    """Yield pairs that connect all hashes that differ in one or two bits, as far as `distance` has.

    Two such hashes share one when a bit of one of them, or of each, is flipped. All with a bit
    flipped are sorted in parts, by bits of which it is known where flipping leads.

    Args:
        hashes: ``(N,)``, each once.
        distance: most bits in which similar hashes differ.
    """
    flips = np.concatenate([[0], 1 << np.arange(64, dtype=np.uint64)]).astype(np.uint64)
    parts = 1 << min(16, (len(flips) * len(hashes) // _FLIPPED).bit_length())
    part_of, leads = (_folded(words) & np.uint64(parts - 1) for words in (hashes, flips))
    order = np.argsort(part_of, kind="stable").astype(np.int64)
    starts = np.searchsorted(part_of[order], np.arange(parts + 1, dtype=np.uint64))
    for part in range(parts if len(hashes) else 0):
        origins = [part ^ int(lead) for lead in leads]
        sources = [order[starts[origin] : starts[origin + 1]] for origin in origins]
        flipped = np.concatenate([hashes[s] ^ flip for s, flip in zip(sources, flips, strict=True)])
        by_value = np.argsort(flipped, kind="stable")  # what is not flipped comes first
        source, value = np.concatenate(sources)[by_value], flipped[by_value]
        is_first = np.append(True, value[1:] != value[:-1])[: len(value)]
        first = source[np.flatnonzero(is_first)][np.cumsum(is_first) - 1]
        is_near = ~is_first & (bits_of(hashes[source] ^ hashes[first]) <= distance)
        yield np.stack([first[is_near], source[is_near]])


def _folded(words: Hashes) -> Hashes:
    """Return 16 bits of each word: of two words' difference they are the difference."""
    for bits in (32, 16):
        words = words ^ (words >> np.uint64(bits))
    return words


def bits_of(words: Hashes) -> npt.NDArray[np.int64]:
    """Return how many bits of each 64-bit word are set; NumPy 2 has a function for it."""
    pairs = words - ((words >> np.uint64(1)) & np.uint64(0x5555555555555555))
    low = np.uint64(0x3333333333333333)
    fours = (pairs & low) + ((pairs >> np.uint64(2)) & low)
    eights = (fours + (fours >> np.uint64(4))) & np.uint64(0x0F0F0F0F0F0F0F0F)
    total: Hashes = (eights * np.uint64(0x0101010101010101)) >> np.uint64(56)
    return total.astype(np.int64)
