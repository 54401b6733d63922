"""How fast this machine does what a run repeats: the run's own code, timed on a few pairs.

The pairs are some of the set, or, where that is to be made first, held-out pictures, which are of
the kind that is trained on; they are written as shards into a temporary folder. Nothing of the run
is touched, and no random state that it could see.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from torch import nn

from clipbench.configuration.config import RunConfig
from clipbench.configuration.heldout import HeldOut
from clipbench.contracts import EvaluationSet, Image
from clipbench.images.encoding import encode_jpeg
from clipbench.loading.inputs import image_store, training_pairs
from clipbench.loading.pairs import TrainingPairs
from clipbench.models.features import image_features, text_features
from clipbench.models.openclip import Tokenizer, create_model, image_size_of, model_config
from clipbench.models.preprocessing import fitting_of
from clipbench.parallel.bench import Bench
from clipbench.parallel.devices import num_processes, pick_device
from clipbench.parallel.group import Processes
from clipbench.planning.pace import Pace
from clipbench.planning.parts import Parts
from clipbench.planning.speeds import Speeds, TrainingSpeeds
from clipbench.planning.work import Kind, Work, seconds_each
from clipbench.shards.reader import ShardSet
from clipbench.shards.shard_writer import Sample
from clipbench.shards.writer import write_set
from clipbench.system.durable import scratch_folder
from clipbench.training.learner import Learner

PICTURES = 256  # at most, that everything is timed on


def rehearse(config: RunConfig, parts: Parts, work: Work) -> Speeds:
    """Return how long each part of a run takes.

    Args:
        config: the run.
        parts: its plugins and counts; the number of pairs is known.
        work: what its defense does.

    Raises:
        UnknownName, BadSetting, MissingData, CorruptData: the model, the defense, the weights to
            start from or the held-out data cannot be used.
    """
    with _aside(config) as folder:
        rehearsal = _Rehearsal(config, parts.pairs_after, folder)
        return rehearsal.of_run(parts.held_out, work)


def rehearse_training(config: RunConfig, pairs: ShardSet, work: Work) -> TrainingSpeeds:
    """Return how long each part of a training run on pairs that are there takes.

    Args:
        config: the run; of its attack and its evaluation nothing is read.
        pairs: the set; a few pairs from all over it are read.
        work: what its defense does.

    Raises:
        UnknownName, BadSetting, MissingData: the model, the defense or the weights to start from
            cannot be used.
    """
    with _aside(config) as folder:
        rehearsal = _Rehearsal(config, len(pairs), folder)
        return rehearsal.of_training(pairs, work)


@contextmanager
def _aside(config: RunConfig) -> Iterator[Path]:
    """Give a folder for a while, and leave random state and memory as they were."""
    device = pick_device(config.train.device)
    graphics = [device] if device.type == "cuda" else []
    with scratch_folder("rehearsal") as folder, torch.random.fork_rng(devices=graphics):
        try:
            yield folder
        finally:
            if graphics:  # what was tried here is not to be missing in the training
                torch.cuda.empty_cache()


class _Rehearsal:
    """A rehearsal in a folder of its own.

    Args:
        config: the run.
        num_pairs: of the set that is trained on.
        folder: an empty folder.
    """

    def __init__(self, config: RunConfig, num_pairs: int, folder: Path) -> None:
        self._config, self._num_pairs, self._folder = config, num_pairs, folder
        device = pick_device(config.train.device)
        self._processes = Processes(device=device)
        self._seconds: dict[str, float] = {}

    @contextmanager
    def _noting(self, name: str, count: int = 1) -> Iterator[None]:
        """Note the seconds that each of `count` things takes which are done meanwhile."""
        started = time.perf_counter()
        yield
        self._seconds[name] = (time.perf_counter() - started) / count

    def of_run(self, held_out: HeldOut, work: Work) -> Speeds:
        """Rehearse a whole run, in its order."""
        pictures = self._pictures(held_out)
        captions = [*itertools.islice(_texts(held_out.sets), len(pictures))]
        model, tokenizer = self._model()
        written = self._written(pictures, captions)
        steps, scores = self._trained(written, model, tokenizer, work)
        self._seconds["image"] = seconds_each(
            lambda count: image_features(model, pictures[:count]), len(pictures)
        )
        texts = [*dict.fromkeys(captions)]
        self._seconds["text"] = seconds_each(
            lambda count: text_features(model, tokenizer, texts[:count]), len(texts)
        )
        return Speeds(**self._seconds, steps=steps, scores=scores)

    def of_training(self, pairs: ShardSet, work: Work) -> TrainingSpeeds:
        """Rehearse a training run."""
        model, tokenizer = self._model()
        steps, scores = self._trained(self._sample(pairs), model, tokenizer, work)
        return TrainingSpeeds(**self._seconds, steps=steps, scores=scores)

    def _model(self) -> tuple[nn.Module, Tokenizer]:
        train = self._config.train
        with self._noting("model"):
            return create_model(train.model, self._config.seed, train.pretrained)

    def _trained(
        self, shards: ShardSet, model: nn.Module, tokenizer: Tokenizer, work: Work
    ) -> tuple[dict[Kind, float], dict[bool, float]]:
        """Train a little; the seconds are those of steps and scorings."""
        train = self._config.train
        pairs = self._ready(shards, model, tokenizer)
        learner = Learner(model, pairs, train, self._processes)
        pace = Pace(learner, pairs, train, self._processes.device, num_processes())
        steps = {kind: pace.step(phase) for kind, phase in work.examples.items()}
        scores = {augment: pace.score(augment) for augment in work.scorings}
        pairs.vocabulary.expand(model)
        return steps, scores

    def _pictures(self, held_out: HeldOut) -> list[Image]:
        """Return a few held-out pictures."""
        with self._noting("held_out"):
            sets = held_out.sets
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

        samples = [
            Sample(file, "jpg", caption, {}) for file, caption in zip(files, captions, strict=True)
        ]
        with self._noting("write", len(files)):
            return self._as_set(samples)

    def _sample(self, pairs: ShardSet) -> ShardSet:
        """Return a few pairs from all over a set."""
        numbers = np.linspace(0, len(pairs) - 1, min(PICTURES, len(pairs))).astype(np.int64)
        return self._as_set(
            [
                Sample(pairs.image_bytes(n), pairs.extension(n), pairs.caption(n), {})
                for n in numbers.tolist()
            ]
        )

    def _as_set(self, samples: Sequence[Sample]) -> ShardSet:
        def make(start: int, stop: int) -> Iterator[Sample]:
            yield from samples[start:stop]

        folder = self._folder / "set"
        return write_set(folder, len(samples), make, name="rehearsal", source={}, workers=0)

    def _ready(self, shards: ShardSet, model: nn.Module, tokenizer: Tokenizer) -> TrainingPairs:
        """Return the pairs of the set as the run's training takes them."""
        settings, bench = self._config.train, Bench(self._folder, self._processes)
        # Of a few pairs more would fit into the cache than of all.
        room = settings.decode_cache_gb * len(shards) / self._num_pairs
        config = replace(self._config, train=replace(settings, decode_cache_gb=room))
        side = image_size_of(model_config(settings.model))
        with self._noting("decode", len(shards)):
            image_store(shards, side, config.train, bench, fitting_of(model))
        with self._noting("caption", len(shards)):
            return training_pairs([shards], model, tokenizer, config, bench)[0]


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
