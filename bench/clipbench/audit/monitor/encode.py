"""Pairs as the monitor keeps them: encoded by the baseline's model, with the inventory's hashes."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from clipbench.audit.monitor.differences import Ints
from clipbench.audit.monitor.pairs import Hashes, Pairs, hash_of, word_hashes
from clipbench.contracts import Progress
from clipbench.images.lazy import LazyImages
from clipbench.models.features import image_features, text_features
from clipbench.models.openclip import create_model
from clipbench.shards.reader import ShardSet

if TYPE_CHECKING:
    import pyarrow as pa

COLUMNS = ("supplier", "width", "height", "image_hash", "caption_sha256")


def encoded(
    shards: ShardSet, rows: Ints, table: pa.Table, model: tuple[str, Path], progress: Progress
) -> Pairs:
    """Return some pairs of a set.

    Args:
        shards: the set.
        rows: ``(N,)`` numbers of the pairs.
        table: ``pairs.parquet`` of the set, with at least `COLUMNS`.
        model: name or configuration, and weights.
        progress: told about encoding.

    Raises:
        CorruptData: a pair can't be read, or the weights are of another model.
    """
    network, tokenizer = create_model(model[0], 0, str(model[1]))
    captions = shards.captions(rows)
    words = [word_hashes(caption) for caption in captions]
    images = LazyImages(rows.tolist(), shards.image)
    some = table.take(rows)
    size = np.asarray(some["width"], np.uint64) << np.uint64(32)
    return Pairs(
        image=image_features(network, images, progress=progress).numpy(),
        text=text_features(network, tokenizer, captions, progress=progress).numpy(),
        image_hash=np.asarray(some["image_hash"], np.uint64),
        caption_sha256=hashes_in(some, "caption_sha256"),
        size=size | np.asarray(some["height"], np.uint64),
        supplier=np.array([hash_of(name) for name in some["supplier"].to_pylist()], np.uint64),
        words=np.array([word for own in words for word in own], np.uint64),
        starts=np.append(0, np.cumsum([len(own) for own in words])).astype(np.int64),
    )


def hashes_in(table: pa.Table, column: str) -> Hashes:
    """Return a column of 16 hexadecimal digits as numbers, ``(N,)``."""
    digits = table[column].to_pylist()
    return np.fromiter((int(text, 16) for text in digits), np.uint64, len(digits))
