"""Perceptual hashes: what they see through, and that near ones are found without comparing all."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from matplotlib import cbook
from PIL import Image as Pil

from clipbench.contracts import Image
from clipbench.images.encoding import decode, encode_jpeg, encode_png
from clipbench.poisoning.disguise import image_like
from clipbench.toolkit import lookalikes
from clipbench.toolkit.lookalikes import Hashes, Links, alike, bits_of, hashes_of, phash
from clipbench_datasets.shapes import Shapes


def photograph() -> Image:
    with Pil.open(cbook.get_sample_data("grace_hopper.jpg", asfileobj=False)) as file:
        return np.asarray(file.convert("RGB"))


def drawings(count: int) -> Sequence[Image]:
    return list(Shapes(size=count).arrays("train", 0, count)[0])


def apart(one: Image, two: Image) -> int:
    return (phash(one) ^ phash(two)).bit_count()


def test_a_photograph_keeps_its_hash_through_what_crawlers_do() -> None:
    """JPEG, another size, another brightness: a few bits of 64; another picture: some thirty."""
    image = photograph()
    smaller = np.asarray(Pil.fromarray(image).resize((120, 140), Pil.Resampling.BICUBIC))
    brighter = (image * 0.8 + 40).astype(np.uint8)
    assert apart(image, decode(encode_jpeg(image, 30, 2))) <= 3
    assert apart(image, smaller) <= 3
    assert apart(image, brighter) <= 3
    assert apart(image, image[:, ::-1]) > 16
    assert apart(image, image[200:400, 100:300]) > 16


@pytest.mark.parametrize("quality", [20, 40, 75, 95, None])
def test_a_poison_is_known_again_however_its_neighbors_are_saved(quality: int | None) -> None:
    """Poisons are saved as the files whose places they take; copies of one stay within 3 bits."""
    image = photograph()[:224, :224]
    other = np.ascontiguousarray(photograph()[200:400, 100:400])
    reference = encode_png(other) if quality is None else encode_jpeg(other, quality, 2)
    saved = image_like(image, reference)
    assert saved != reference
    assert apart(image, decode(saved)) <= 3


def test_near_hashes_are_found_as_by_comparing_all() -> None:
    """Through the blocks that near hashes share, in chains; against the pairs one by one."""
    rng = np.random.default_rng(3)
    hashes = rng.integers(0, 2**63, 300, dtype=np.uint64)
    for number in range(0, 60, 2):  # up to four bits from another
        for bit in rng.integers(0, 64, rng.integers(1, 5)):
            hashes[number] = hashes[number + 1] ^ np.uint64(1 << int(bit))
    hashes[70] = hashes[71]
    for distance in range(4):
        groups = alike(hashes, distance)
        bits = np.array([[(int(a) ^ int(b)).bit_count() for b in hashes] for a in hashes])
        together = groups[:, None] == groups[None]
        assert together[bits <= distance].all()
        for group in np.unique(groups):  # and nobody is in a group without a neighbor there
            members = np.flatnonzero(groups == group)
            near = (bits[np.ix_(members, members)] <= distance).sum(axis=1)
            assert len(members) == 1 or (near > 1).all()


def crowd(count: int) -> Hashes:
    """Return hashes that are equal in two blocks, as those of drawings in the middle of white."""
    return np.random.default_rng(6).integers(0, 2**38, count, dtype=np.uint64) << np.uint64(13)


def test_hashes_that_share_much_are_not_all_compared(monkeypatch: pytest.MonkeyPatch) -> None:
    """Twice as many take twice as many comparisons, not four times."""
    compared = {}
    for count in (5_000, 10_000):
        seen = list[int]()

        def counting(words: Hashes, seen: list[int] = seen) -> Links:
            seen.append(len(words))
            return bits_of(words)

        monkeypatch.setattr(lookalikes, "bits_of", counting)
        alike(crowd(count), 3)
        compared[count] = sum(seen)
    assert compared[10_000] < 2.1 * compared[5_000]


@pytest.mark.parametrize("bits", [(63,), (13,), (49, 50), (20, 63), (12, 51)])
def test_hashes_that_share_much_are_found_up_to_two_bits_apart(
    bits: tuple[int, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whichever these are, and however many others lie between them in order."""
    monkeypatch.setattr(lookalikes, "_STEPS", 4)
    monkeypatch.setattr(lookalikes, "_FLIPPED", 10_000)
    hashes = crowd(2_000)
    flips = np.uint64(sum(1 << bit for bit in bits))
    groups = alike(np.concatenate([hashes, hashes[:50] ^ flips]), 2)
    assert (groups[:50] == groups[2_000:]).all()
    assert len(np.unique(groups)) == 2_000
    if len(bits) == 2:
        assert len(np.unique(alike(np.concatenate([hashes, hashes[:50] ^ flips]), 1))) == 2_050


def test_drawings_are_told_apart() -> None:
    """Of 500 different drawings hardly one looks like another to the hash."""
    groups = alike(hashes_of(drawings(500)), 0)
    assert len(np.unique(groups)) >= 495


def test_what_is_connected_stays_so_when_links_are_many(monkeypatch: pytest.MonkeyPatch) -> None:
    """Links are replaced by what they connect, so that a burst takes no more memory."""
    rng = np.random.default_rng(4)
    centers = rng.integers(0, 2**63, 5, dtype=np.uint64)
    bits = np.uint64(1) << rng.integers(0, 64, (5, 60), dtype=np.uint64)
    hashes = np.concatenate([centers, (centers[:, None] ^ bits).reshape(-1)])
    groups = alike(hashes, 3)
    monkeypatch.setattr(lookalikes, "_MOST_LINKS", 10)
    again = alike(hashes, 3)
    assert len(np.unique(groups)) == 5
    assert ((groups[:, None] == groups) == (again[:, None] == again)).all()


def test_bits_are_counted() -> None:
    """Of none, one and all."""
    words = np.array([0, 1, 2**63, 2**64 - 1, 0xF0F0], np.uint64)
    assert bits_of(words).tolist() == [0, 1, 1, 64, 8]


def test_hundreds_of_thousands_are_grouped_at_once() -> None:
    """Nearly all of them different; each tenth has a near one."""
    rng = np.random.default_rng(5)
    hashes = rng.integers(0, 2**63, 100_000, dtype=np.uint64)
    hashes[:10_000] = hashes[50_000:60_000] ^ np.uint64(0b10101)
    groups = alike(hashes, 3)
    assert len(np.unique(groups)) == 90_000
    assert (groups[:10_000] == groups[50_000:60_000]).all()
