"""What a training run takes in: the pairs of a set of shards, ready for its batches."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from torch import nn

from clipbench.configuration.config import RunConfig
from clipbench.configuration.settings import TrainSettings
from clipbench.contracts import Progress
from clipbench.loading.augment import ImageAugmentation
from clipbench.loading.compact import CompactVocabulary
from clipbench.loading.decoded import DecodedImages
from clipbench.loading.originals import FittedImages, OriginalImages
from clipbench.loading.pairs import ImageStore, TrainingPairs
from clipbench.loading.resident import resident
from clipbench.loading.text import CaptionTable
from clipbench.loading.word_files import stored_words
from clipbench.models.openclip import Tokenizer, image_size_of, model_config
from clipbench.parallel.group import Processes
from clipbench.shards.reader import ShardSet
from clipbench.system.progress import Reporter

SMALLEST_ORIGINAL = 128  # pixels; a model of smaller images is trained on squares decoded once


def training_pairs(
    sets: Sequence[ShardSet],
    synonyms: Mapping[str, Sequence[str]],
    model: nn.Module,
    tokenizer: Tokenizer,
    config: RunConfig,
    cache: Path,
    processes: Processes,
    reporter: Reporter,
) -> list[TrainingPairs]:
    """Return the pairs of each set, read and decoded as far as that is done once.

    Args:
        sets: the sets; one model is trained on all of them.
        synonyms: synonyms of single words, for text augmentation.
        model: the model that will be trained; its token table is cut to what captions can hold.
        tokenizer: its tokenizer.
        config: the run; of its attack nothing is read.
        cache: where decoded squares and caption tables go.
        processes: this process among all.
        reporter: told about decoding.
    """
    settings = config.train
    architecture = model_config(settings.model)
    tables = []
    for shards in sets:
        given = (shards, tokenizer, synonyms, architecture, cache, reporter.progress)
        tables.append(processes.in_turn(partial(caption_table, *given, check=processes.makes)))
    used = np.unique(np.concatenate([table.vocabulary() for table in tables]))
    vocabulary = CompactVocabulary(model, used)
    size, augmentation = image_size_of(architecture), ImageAugmentation.of(settings)
    found = []
    for shards, table in zip(sets, tables, strict=True):
        images = image_store(shards, size, settings, cache, processes, reporter)
        more = (augmentation, settings.eda, config.seed, processes.device)
        found.append(TrainingPairs(images, table, vocabulary, *more, source=shards))
    return found


def caption_table(
    shards: ShardSet,
    tokenizer: Tokenizer,
    synonyms: Mapping[str, Sequence[str]],
    architecture: Mapping[str, Any],
    cache: Path,
    progress: Progress,
    *,
    check: bool = True,
) -> CaptionTable:
    """Return a set's captions as a model of this architecture reads them; made where they lack.

    Args:
        shards: the set.
        tokenizer: the model's.
        synonyms: synonyms of single words, for text augmentation.
        architecture: the model's open_clip configuration.
        cache: where tables go.
        progress: told about shards that were read.
        check: see `stored_words`.
    """
    context_length = architecture["text_cfg"].get("context_length", 77)
    given = (shards, tokenizer, synonyms, context_length, cache / "captions", progress)
    words = stored_words(*given, check=check)
    return CaptionTable(words, tokenizer, synonyms, context_length)


def image_store(
    shards: ShardSet,
    size: int,
    settings: TrainSettings,
    cache: Path,
    processes: Processes,
    reporter: Reporter,
) -> ImageStore:
    """Return the images of a set as the settings want them.

    Squares that are kept, on the disk or on a GPU with room for them, and squares that are made for
    each batch are the same to the bit.

    Args:
        shards: the set.
        size: side of the model's images, in pixels.
        settings: of them, `crop_from` and `decode_cache_gb`.
        cache: where decoded squares go.
        processes: this process among all.
        reporter: told about decoding.
    """
    crop_from = settings.crop_from
    if crop_from == "auto":
        crop_from = "original" if size >= SMALLEST_ORIGINAL else "square"
    if crop_from == "original":
        return OriginalImages(shards, size)
    if len(shards) * size * size * 3 > settings.decode_cache_gb * 1e9:
        return FittedImages(shards, size)
    return resident(_decoded(shards, size, cache, processes, reporter), processes.device)


def _decoded(
    shards: ShardSet, size: int, cache: Path, processes: Processes, reporter: Reporter
) -> DecodedImages:
    """Open the decoded images; one process for each cache makes them, the others wait."""
    return processes.in_turn(
        lambda: DecodedImages.open(shards, size, cache / "decoded", progress=reporter.progress)
    )
