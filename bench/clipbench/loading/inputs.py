"""What a training run takes in: the pairs of a set of shards, ready for its batches."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from torch import nn

from clipbench.boundary import datasets
from clipbench.configuration.config import RunConfig
from clipbench.configuration.settings import TrainSettings
from clipbench.images.fit import Fitting, fit
from clipbench.loading.augment import ImageAugmentation
from clipbench.loading.compact import CompactVocabulary
from clipbench.loading.decoded import DecodedImages
from clipbench.loading.originals import FittedImages, OriginalImages
from clipbench.loading.pairs import ImageStore, TrainingPairs
from clipbench.loading.resident import resident
from clipbench.loading.text import CaptionTable
from clipbench.loading.word_files import Reading, stored_words
from clipbench.models.openclip import Tokenizer, image_size_of, model_config
from clipbench.models.preprocessing import fitting_of
from clipbench.parallel.bench import Bench
from clipbench.shards.reader import ShardSet

SMALLEST_ORIGINAL = 128  # pixels; a model of smaller images is trained on squares decoded once


def training_pairs(
    sets: Sequence[ShardSet],
    model: nn.Module,
    tokenizer: Tokenizer,
    config: RunConfig,
    bench: Bench,
) -> list[TrainingPairs]:
    """Return the pairs of each set, read and decoded as far as that is done once.

    Args:
        sets: the sets; one model is trained on all of them.
        model: the model that will be trained; its token table is cut to what captions can hold.
        tokenizer: its tokenizer.
        config: the run; of its attack nothing is read.
        bench: where decoded squares and caption tables go.
    """
    settings = config.train
    architecture = model_config(settings.model)
    reading = Reading.of(architecture, tokenizer, datasets.synonyms(config.data.plugin))
    tables = [caption_table(shards, reading, bench) for shards in sets]
    used = np.unique(np.concatenate([table.vocabulary() for table in tables]))
    vocabulary = CompactVocabulary(model, used)
    size, augmentation = image_size_of(architecture), ImageAugmentation.of(settings)
    found = []
    for shards, table in zip(sets, tables, strict=True):
        images = image_store(shards, size, settings, bench, fitting_of(model))
        more = (augmentation, settings.eda, config.seed, bench.processes.device)
        found.append(TrainingPairs(images, table, vocabulary, *more, source=shards))
    return found


def caption_table(shards: ShardSet, reading: Reading, bench: Bench) -> CaptionTable:
    """Return a set's captions as a model reads them; made where they lack.

    Args:
        shards: the set.
        reading: how the model reads captions.
        bench: where tables go; one process for each cache makes them, the others wait.
    """
    check = bench.processes.makes

    def made() -> CaptionTable:
        folder, progress = bench.cache / "captions", bench.reporter.progress
        words = stored_words(shards, reading, folder, progress, check=check)
        return CaptionTable(words, *reading)

    return bench.processes.in_turn(made)


def image_store(
    shards: ShardSet, size: int, settings: TrainSettings, bench: Bench, fitting: Fitting = fit
) -> ImageStore:
    """Return the images of a set as the settings want them.

    Squares that are kept, on the disk or on a GPU with room for them, and squares that are made for
    each batch are the same to the bit.

    Args:
        shards: the set.
        size: side of the model's images, in pixels.
        settings: of them, `crop_from` and `decode_cache_gb`.
        bench: where decoded squares go.
        fitting: makes squares of whole pictures, as the model is evaluated with them.
    """
    crop_from = settings.crop_from
    if crop_from == "auto":
        crop_from = "original" if size >= SMALLEST_ORIGINAL else "square"
    if crop_from == "original":
        return OriginalImages(shards, size, fitting)
    if len(shards) * size * size * 3 > settings.decode_cache_gb * 1e9:
        return FittedImages(shards, size, fitting)
    return resident(_decoded(shards, size, bench, fitting), bench.processes.device)


def _decoded(shards: ShardSet, size: int, bench: Bench, fitting: Fitting) -> DecodedImages:
    """Open the decoded images; one process for each cache makes them, the others wait."""
    folder, progress = bench.cache / "decoded", bench.reporter.progress
    return bench.processes.in_turn(
        lambda: DecodedImages.open(shards, size, folder, fitting=fitting, progress=progress)
    )
