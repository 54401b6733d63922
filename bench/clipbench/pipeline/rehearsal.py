"""How fast this machine does what a run repeats: the run's own code, timed on a few pairs.

The pairs are held-out pictures, which are of the kind that is trained on, written as shards into a
temporary folder. Nothing of the run is touched, and no random state that it could see.
"""

from __future__ import annotations

import itertools
import tempfile
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from clipbench.config import RunConfig
from clipbench.contracts import (
    EvaluationSet,
    Image,
    Phase,
    TrainingFacts,
    trusted_size,
)
from clipbench.evaluation.features import image_features, text_features
from clipbench.models import Tokenizer, create_model, image_size_of, model_config
from clipbench.pipeline.parts import Parts
from clipbench.pipeline.work import IMAGINARY, Kind, Work, timed, work_of
from clipbench.progress import Reporter
from clipbench.settings import TrainSettings
from clipbench.shards.encoding import encode_jpeg
from clipbench.shards.reader import ShardSet
from clipbench.shards.shard_writer import Sample
from clipbench.shards.writer import write_set
from clipbench.training.distributed import Processes, pick_device
from clipbench.training.inputs import image_store, training_pairs
from clipbench.training.learner import Learner
from clipbench.training.pairs import BatchRequest, TrainingPairs

PICTURES = 256  # at most, that everything is timed on
PATIENCE_S = 1.0  # that one timed step may take, where fewer pairs than a batch's can tell
FIRST_ROWS = 16


@dataclass(frozen=True)
class Speeds:
    """Seconds that things take: a pair, a picture, a text; of `held_out` and `model`, once.

    Args:
        held_out: opening the held-out data.
        model: making a model.
        picture: getting a picture from its source.
        encode: encoding a picture for a shard.
        write: writing a pair into a shard.
        decode: decoding a picture into the cache; about 0 where batches decode their own.
        caption: reading and tokenising a caption.
        steps: training on a pair, by kind of phase.
        scores: scoring a pair, by whether it is augmented.
        image: encoding a test image.
        text: encoding a test text.
    """

    held_out: float
    model: float
    picture: float
    encode: float
    write: float
    decode: float
    caption: float
    steps: Mapping[Kind, float]
    scores: Mapping[bool, float]
    image: float
    text: float


def rehearse(config: RunConfig, parts: Parts) -> tuple[Work, Speeds]:
    """Return what the training will do, and how long each part of the run takes.

    Args:
        config: the run.
        parts: its plugins and counts; the number of pairs is known.

    Raises:
        UnknownName, BadSetting, MissingData, CorruptData: the model, the defence, the weights to
            start from or the held-out data cannot be used.
    """
    device = pick_device(config.train.device)
    graphics = [device] if device.type == "cuda" else []
    with tempfile.TemporaryDirectory() as folder, torch.random.fork_rng(devices=graphics):
        return _Rehearsal(config, parts, device, Path(folder)).held()


class _Rehearsal:
    """A rehearsal in a folder of its own."""

    def __init__(self, config: RunConfig, parts: Parts, device: torch.device, folder: Path) -> None:
        self._config, self._parts, self._folder = config, parts, folder
        self._device, self._processes = device, Processes(device=device)
        self._seconds: dict[str, float] = {}

    @contextmanager
    def _noting(self, name: str, count: int = 1) -> Iterator[None]:
        """Note the seconds that each of `count` things takes which are done meanwhile."""
        started = time.perf_counter()
        yield
        self._seconds[name] = (time.perf_counter() - started) / count

    def held(self) -> tuple[Work, Speeds]:
        """Hold the rehearsal, in the order of the run."""
        train = self._config.train
        pictures = self._pictures()
        captions = [*itertools.islice(_texts(self._parts.held_out.sets), len(pictures))]
        shards = self._written(pictures, captions)
        with self._noting("model"):
            model, tokenizer = create_model(train.model, self._config.seed, train.pretrained)
        pairs = self._ready(shards, model, tokenizer)
        learner = Learner(model, pairs, train, self._processes)
        pace = _Pace(learner, pairs, train, self._device)
        whole = self._parts.pairs_after / self._parts.pairs_per_epoch(self._config)
        work = work_of(self._parts.defense, self._facts(learner.feature_size()), whole)
        steps = {kind: pace.step(phase) for kind, phase in work.examples.items()}
        scores = {augment: pace.score(augment) for augment in work.scorings}
        pairs.vocabulary.expand(model)
        with self._noting("image", len(pictures)):
            image_features(model, pictures)
        with self._noting("text", len({*captions})):
            text_features(model, tokenizer, captions)
        return work, Speeds(**self._seconds, steps=steps, scores=scores)

    def _pictures(self) -> list[Image]:
        """Return a few held-out pictures."""
        with self._noting("held_out"):
            sets = self._parts.held_out.sets
        images = next(_images(sets))
        count = min(PICTURES, len(images))
        with self._noting("picture", count):
            pictures = [images[number] for number in range(count)]
        self._seconds["picture"] += self._seconds["held_out"] / sum(map(len, _images(sets)))
        return pictures

    def _written(self, pictures: Sequence[Image], captions: Sequence[str]) -> ShardSet:
        """Return pairs as a set of shards."""
        with self._noting("encode", len(pictures)):
            files = [encode_jpeg(picture) for picture in pictures]

        def make(start: int, stop: int) -> Iterator[Sample]:
            for file, caption in zip(files[start:stop], captions[start:stop], strict=True):
                yield Sample(file, "jpg", caption, {})

        folder = self._folder / "set"
        with self._noting("write", len(files)):
            return write_set(folder, len(files), make, name="rehearsal", source={}, workers=0)

    def _ready(self, shards: ShardSet, model: nn.Module, tokenizer: Tokenizer) -> TrainingPairs:
        """Return the pairs of the set as the run's training takes them."""
        settings, quiet = self._config.train, Reporter(quiet=True)
        # Of a few pairs more would fit into the cache than of all.
        room = settings.decode_cache_gb * len(shards) / self._parts.pairs_after
        config = replace(self._config, train=replace(settings, decode_cache_gb=room))
        side = image_size_of(model_config(settings.model))
        with self._noting("decode", len(shards)):
            image_store(shards, side, config.train, self._folder, self._processes, quiet)
        synonyms = self._parts.dataset.synonyms()
        where = (self._folder, self._processes, quiet)
        with self._noting("caption", len(shards)):
            return training_pairs([shards], synonyms, model, tokenizer, config, *where)[0]

    def _facts(self, feature_size: int) -> TrainingFacts:
        settings, pairs = self._config.train, self._parts.pairs_per_epoch(self._config)
        imagined = min(pairs, IMAGINARY)
        trusted = trusted_size(self._parts.defense)
        return TrainingFacts(
            num_pairs=self._parts.pairs_after,  # pools may grow with it
            pairs_per_epoch=imagined,
            trusted_pairs=-(-trusted * imagined // pairs),
            epochs=settings.epochs,
            batch_size=settings.batch_size,
            feature_size=feature_size,
            device=self._device,
            seed=0,
        )


class _Pace:
    """Times a learner."""

    def __init__(
        self,
        learner: Learner,
        pairs: TrainingPairs,
        settings: TrainSettings,
        device: torch.device,
    ) -> None:
        self._learner, self._pairs, self._device = learner, pairs, device
        self._batch_size, self._workers = settings.batch_size, settings.workers

    def step(self, phase: Phase) -> float:
        """Return the seconds of training on one pair; of whole batches, unless they are slow."""
        rows = min(self._batch_size, FIRST_ROWS)
        if phase.reference:
            self._learner.remember()
        self._steps(phase, rows, 1)  # the first allocates and chooses algorithms
        first = self._steps(phase, rows, 1)
        rows = max(rows, min(self._batch_size, int(rows * PATIENCE_S / first)))
        count = 2 if first * rows / FIRST_ROWS < PATIENCE_S / 2 else 1
        return self._steps(phase, rows, count) / (count * rows)

    def _steps(self, phase: Phase, rows: int, count: int) -> float:
        indices = self._indices(rows)
        requests = [
            BatchRequest(indices, slice(0, rows), phase.views, phase.augment, ("rehearsal", number))
            for number in range(count)
        ]

        def train() -> None:
            for batch in self._pairs.stream(requests, self._workers):
                self._learner.step(phase, batch, 0.0, "a rehearsal")
            self._finish()

        return timed(train)[1]

    def score(self, augment: bool) -> float:
        """Return the seconds of scoring one pair."""
        indices = self._indices(min(len(self._pairs), self._batch_size))

        def score() -> None:
            self._learner.similarity(self._pairs, indices, augment, 0)
            self._finish()

        return timed(score)[1] / len(indices)

    def _indices(self, count: int) -> np.ndarray[Any, np.dtype[np.int64]]:
        return np.arange(count, dtype=np.int64) % len(self._pairs)

    def _finish(self) -> None:
        if self._device.type == "cuda":
            torch.cuda.synchronize(self._device)


def _images(sets: Iterable[EvaluationSet]) -> Iterator[Sequence[Image]]:
    """Yield all sequences of test images."""
    for item in sets:
        if item.classification is not None:
            yield item.classification.test.images
        if item.retrieval is not None:
            yield item.retrieval.images


def _texts(sets: Iterable[EvaluationSet]) -> Iterator[str]:
    """Yield texts such as are read in evaluation, captions first, without end."""
    captions = [
        text for s in sets if s.retrieval for several in s.retrieval.captions for text in several
    ]
    prompts = [
        template.format(name)
        for s in sets
        if s.classification
        for name in s.classes.names
        for template in s.classes.templates
    ]
    return itertools.cycle(captions or prompts)
