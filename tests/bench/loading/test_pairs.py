"""Batches of pairs of photographs: what they are made of, and what they do not depend on."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import open_clip
import pytest
import torch
from photographs import write_photographs
from tiny_training import tiny_model

from clipbench.contracts import IntArray
from clipbench.errors import CorruptData
from clipbench.loading import pairs as pairs_module
from clipbench.loading.augment import ImageAugmentation
from clipbench.loading.compact import CompactVocabulary
from clipbench.loading.decoded import DecodedImages
from clipbench.loading.originals import BoxOf, FittedImages, OriginalImages
from clipbench.loading.pairs import Batch, BatchRequest, ImageStore, TrainingPairs
from clipbench.loading.text import CaptionTable
from clipbench.shards.reader import ShardSet

SIDE, COUNT = 32, 18
PLAIN = ImageAugmentation(0.5, 1.5, 0.5)
FULL = ImageAugmentation(0.5, 1.5, 0.5, 0.4, 0.2, 0.5)
LENGTH = 24


@pytest.fixture(scope="module")
def shards(tmp_path_factory: pytest.TempPathFactory) -> ShardSet:
    """Eighteen photographs in four shards."""
    return write_photographs(tmp_path_factory.mktemp("pairs") / "set", COUNT, 72)


def pairs_of(
    shards: ShardSet, augmentation: ImageAugmentation = FULL, images: ImageStore | None = None
) -> TrainingPairs:
    tokenizer = open_clip.SimpleTokenizer(context_length=LENGTH)
    captions = CaptionTable(shards.captions(), tokenizer, {"garden": ["park"]}, LENGTH)
    vocabulary = CompactVocabulary(tiny_model(), captions.vocabulary())
    store = images or OriginalImages(shards, SIDE)
    return TrainingPairs(store, captions, vocabulary, augmentation, 0.2, seed=7)


def requests(views: int = 2, rows: slice = slice(0, 6)) -> list[BatchRequest]:
    order = np.random.default_rng(0).permutation(COUNT).reshape(3, 6)
    return [BatchRequest(part, rows, views, True, (0,)) for part in order]


def same(one: Batch, other: Batch) -> bool:
    return torch.equal(one.images, other.images) and torch.equal(one.tokens, other.tokens)


@pytest.mark.parametrize("augmentation", [PLAIN, FULL], ids=["crops", "everything"])
@pytest.mark.parametrize("workers", [0, 1, 2, 4, None])
def test_batches_do_not_depend_on_workers(
    shards: ShardSet, augmentation: ImageAugmentation, workers: int | None
) -> None:
    """Whoever makes them, the batches come in order and are the same to the bit."""
    pairs = pairs_of(shards, augmentation)
    expected = [pairs.make(request) for request in requests()]
    streamed = list(pairs.stream(requests(), workers))
    assert len(streamed) == 3
    assert all(same(*both) for both in zip(streamed, expected, strict=True))
    assert not same(expected[0], expected[1])


def test_batches_do_not_depend_on_how_pairs_are_spread_over_shards(
    shards: ShardSet, tmp_path: Path
) -> None:
    """The same pairs in one shard give the same batches, and more workers than shards do, too."""
    single = write_photographs(tmp_path / "set", COUNT, 72, pairs_per_shard=COUNT)
    assert (len(single.shards), len(shards.shards)) == (1, 4)
    both = zip(
        pairs_of(single).stream(requests(), 4), pairs_of(shards).stream(requests(), 0), strict=True
    )
    assert all(same(*batches) for batches in both)


def test_a_part_of_a_batch_is_the_part_of_the_batch(shards: ShardSet) -> None:
    """A process that makes some rows makes what it would be among all rows."""
    pairs = pairs_of(shards)
    whole = pairs.make(requests()[0])
    part = pairs.make(requests(rows=slice(2, 5))[0])
    assert part.num_rows == whole.num_rows == 6
    assert torch.equal(part.images, whole.images[:, 2:5])
    assert torch.equal(part.tokens, whole.tokens[:, 2:5])


def test_crops_stay_bytes_until_colors_change(shards: ShardSet) -> None:
    """Crops and flips are made of bytes, a quarter of the memory of floating-point numbers."""
    cropped = pairs_of(shards, PLAIN).make(requests()[0]).images
    assert (cropped.shape, cropped.dtype) == ((2, 6, 3, SIDE, SIDE), torch.uint8)
    recolored = pairs_of(shards).make(requests()[0]).images
    assert recolored.dtype == torch.float32
    assert 0 <= recolored.min() < recolored.max() <= 1


def test_a_view_depends_on_the_pair_and_the_epoch_not_on_the_batch(shards: ShardSet) -> None:
    """In another batch, another order and another place a pair looks as it did."""
    pairs, numbers = pairs_of(shards), np.arange(COUNT)
    whole = pairs.make(BatchRequest(numbers, slice(0, COUNT), 2, True, (3, 1)))
    other = np.array([11, 4, 17, 0])
    part = pairs.make(BatchRequest(other, slice(1, 4), 2, True, (3, 1)))
    assert torch.equal(part.images, whole.images[:, other[1:]])
    assert torch.equal(part.tokens, whole.tokens[:, other[1:]])


@pytest.mark.parametrize("augment", [True, False])
def test_a_batch_made_in_pieces_is_the_batch(
    shards: ShardSet, augment: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Threads share a batch, too; rows stay in their places."""
    pairs = pairs_of(shards)
    wanted = [BatchRequest(np.arange(COUNT), slice(1, 12), 2, augment, (0,))] * 2
    expected = pairs.make(wanted[0])
    monkeypatch.setattr("clipbench.loading.pairs.PIECE_ROWS", 4)
    made = list(pairs.stream(wanted, 3))
    assert [len(pairs._pieces(request)) for request in wanted] == [3, 3]
    assert all(same(batch, expected) for batch in made)
    assert len(made) == 2


def test_memory_bounds_what_is_made_ahead(monkeypatch: pytest.MonkeyPatch) -> None:
    """With 208 processors and batches of 8,192 two views at 224 pixels take a gigabyte at most."""
    piece = 2 * pairs_module.PIECE_ROWS * 3 * 224**2
    for processes in (1, 2, 8):
        monkeypatch.setenv("LOCAL_WORLD_SIZE", str(processes))
        ahead = pairs_module.pieces_ahead(208 // processes, piece)
        assert ahead * piece * processes <= 2**30
        assert ahead * piece * processes > 2**29
    assert pairs_module.pieces_ahead(8, 1000) == 16
    assert pairs_module.pieces_ahead(8, 2**40) == 1


def test_no_more_is_made_ahead_than_memory_allows(
    shards: ShardSet, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While nobody asks for more, threads stop after as many pieces as fit."""
    made: list[int] = []

    class Counted(OriginalImages):
        def crops(self, indices: IntArray, views: int, box: BoxOf) -> torch.Tensor:
            made.append(len(indices))
            return super().crops(indices, views, box)

    monkeypatch.setattr(pairs_module, "PIECE_ROWS", 2)
    piece = 2 * 2 * 3 * SIDE**2
    monkeypatch.setattr(pairs_module, "LOOK_AHEAD_BYTES", 5 * piece)
    stream = pairs_of(shards, PLAIN, Counted(shards, SIDE)).stream(requests() * 4, 8)
    next(stream)
    stream.close()
    assert 3 <= len(made) <= 3 + 5


def test_views_and_epochs_are_drawn_anew(shards: ShardSet) -> None:
    """Two views of a pair differ, and so do the views of two epochs; captions are varied, too."""
    pairs = pairs_of(shards, PLAIN)
    first = pairs.make(requests()[0])
    again = pairs.make(BatchRequest(requests()[0].pairs, slice(0, 6), 2, True, (1,)))
    for row in range(6):
        assert not torch.equal(first.images[0, row], first.images[1, row])
        assert not torch.equal(first.images[0, row], again.images[0, row])


def test_plain_views_are_what_evaluation_sees(shards: ShardSet, tmp_path: Path) -> None:
    """Without augmentation, originals and squares give the same batches."""
    request = BatchRequest(np.arange(5), slice(0, 5), 2, False, ())
    squares = DecodedImages.open(shards, SIDE, tmp_path, workers=0)
    assert same(pairs_of(shards).make(request), pairs_of(shards, images=squares).make(request))


def test_squares_are_augmented_alike_whether_kept_or_made_anew(
    shards: ShardSet, tmp_path: Path
) -> None:
    """Where crops are cut from squares, a full cache changes nothing but the time."""
    kept = pairs_of(shards, images=DecodedImages.open(shards, SIDE, tmp_path, workers=0))
    anew = pairs_of(shards, images=FittedImages(shards, SIDE))
    assert all(
        same(*both)
        for both in zip(kept.stream(requests(), 0), anew.stream(requests(), 2), strict=True)
    )


def test_a_damaged_image_ends_the_stream_and_its_threads(tmp_path: Path) -> None:
    """The batch with the damaged image raises, in its turn; batches before it are given."""
    shards = write_photographs(tmp_path / "set", COUNT, 72)
    row = shards.index[requests()[1].pairs[3]]
    path = shards.shards[int(row["shard"])].path
    content = bytearray(path.read_bytes())
    start = int(row["image_offset"])
    content[start : start + 40] = bytes(40)
    path.write_bytes(content)
    os.utime(path, (0, 0))  # so that it is seen to be another file, however fast this was
    stream = pairs_of(ShardSet.open(tmp_path / "set")).stream(requests(), 2)
    assert isinstance(next(stream), Batch)
    with pytest.raises(CorruptData, match=r"key \d+ in shard"):
        next(stream)
