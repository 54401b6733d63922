"""From a folder of shards and a configuration to a trained model: all that training may see.

Nothing here knows of attacks or ledgers.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache as remembered
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

import clipbench
from clipbench import registry
from clipbench.config import RunConfig
from clipbench.contracts import Defense, HasTrusted, TrainingSource, trusted_size
from clipbench.errors import BadSetting
from clipbench.models import WEIGHTS_FILE, create_model, model_config, save_model
from clipbench.progress import Reporter
from clipbench.rng import generator
from clipbench.settings import TrainSettings
from clipbench.shards.reader import ShardSet
from clipbench.shards.usable import caption_field_of, open_usable, without
from clipbench.training.distributed import Processes
from clipbench.training.engine import Trainer
from clipbench.training.inputs import training_pairs
from clipbench.training.pairs import TrainingPairs
from clipbench.training.record import (
    TrainingRecord,
    device_name,
    peak_memory,
    read_record,
    write_record,
    write_tensorboard,
)
from clipbench.training.stages import SharedStages
from clipbench.training.text import check_text_tower
from clipbench.training.trace import read_trace


@dataclass(frozen=True)
class _Session:
    """A training that is set up: what it trains on, and what it is known by."""

    pairs: TrainingPairs
    model: nn.Module
    architecture: dict[str, Any]
    trainer: Trainer


def train_on(
    where: str | Path,
    config: RunConfig,
    folder: Path,
    cache: Path,
    processes: Processes,
    reporter: Reporter,
) -> TrainingRecord:
    """Train on a folder of shards, or take up the training where it stopped.

    Args:
        where: the pairs: a folder of shards, or what else `ShardSet.open` takes.
        config: the run; of its attack nothing is read.
        folder: the run's folder; ``train/`` and ``model/`` go into it.
        cache: for decoded images and indexes.
        processes: this process among all.
        reporter: told about progress.
    """
    sets = _opened(where, config, cache, processes, reporter)
    shards, fingerprint = sets[0], _fingerprint(config, sets)
    record = read_record(folder / "train", fingerprint)
    if record is not None and (folder / "model" / WEIGHTS_FILE).is_file():
        return record
    session = _set_up(sets, config, folder, cache, processes, reporter)
    trainer = session.trainer
    state = trainer.train()
    record = TrainingRecord(
        num_pairs=len(shards),
        content_sha256=shards.content_sha256(),
        epochs=state.epoch,
        samples_seen=state.samples_seen,
        steps=state.total_steps,
        seconds=state.seconds,
        seconds_shared=state.seconds_shared,
        cpu_seconds=state.cpu_seconds,
        peak_memory_bytes=peak_memory(processes.device),
        device=device_name(processes.device),
        precision=trainer.learner.precision,
        processes=processes.count,
        history=state.history,
        exposures=trainer.exposures,
    )
    if processes.is_first:
        session.pairs.vocabulary.expand(session.model)
        save_model(session.model, session.architecture, folder / "model")
        if config.train.tensorboard:
            write_tensorboard(folder / "tensorboard", record)
        write_record(folder / "train", record, fingerprint)  # last: it says that all is there
        (folder / "train" / "checkpoint.pt").unlink(missing_ok=True)
    processes.barrier()
    return record


def score_on(
    where: str | Path,
    config: RunConfig,
    folder: Path,
    cache: Path,
    processes: Processes,
    reporter: Reporter,
) -> npt.NDArray[np.float32]:
    """Train as far as the run's defence needs to score the pairs, and return their last scores.

    Args:
        where: the pairs.
        config: the run.
        folder: of the training, which can be taken up again.
        cache: for decoded images and indexes.
        processes: this process among all.
        reporter: told about progress.

    Returns:
        ``(num_pairs,)``, the lower the more suspicious; NaN where a pair was never scored, for its
        epochs hold a part of the set only.

    Raises:
        BadSetting: the defence scores nothing.
    """
    sets = _opened(where, config, cache, processes, reporter)
    trainer = _set_up(sets, config, folder, cache, processes, reporter).trainer
    state = trainer.train(until_scored=True)
    if trainer.set_scores is not None:
        return trainer.set_scores.numpy()
    scores = np.full(len(sets[0]), np.nan, dtype=np.float32)
    for epoch in range(state.epoch):
        trace = read_trace(folder / "train" / "trace" / f"{epoch:04d}.npz")
        if len(trace.scores):
            scores[trace.pairs] = trace.scores
    if np.isnan(scores).all():
        raise scores_nothing(config)
    return scores


def scores_nothing(config: RunConfig) -> BadSetting:
    """Return the refusal of a defence that cannot tell which pairs are suspicious."""
    return BadSetting(
        f"The defence {config.defense_name!r} scores no pairs; name one that does, such as"
        " dao, slof, kdist, lid, isolation_forest, clipscore or safeclip."
    )


def _opened(
    where: str | Path,
    config: RunConfig,
    cache: Path,
    processes: Processes,
    reporter: Reporter,
) -> list[ShardSet]:
    """Return the set to train on and, where the defence is given some, the trusted pairs."""
    source: TrainingSource = registry.build("dataset", config.data)
    sets = [_usable(where, source, config, cache, reporter)]
    if len(sets[0]) < 2:
        raise BadSetting(f"{where} holds one pair; a contrast needs at least two.")
    if size := trusted_size(registry.build("defense", config.defense)):
        sets.append(_trusted(source, size, config, cache, processes, reporter))
    return sets


def _usable(
    where: str | Path, source: TrainingSource, config: RunConfig, cache: Path, reporter: Reporter
) -> ShardSet:
    """Return the pairs of a source that can be used."""
    return open_usable(
        where,
        cache,
        caption_field=caption_field_of(source),
        on_error=config.on_error,
        progress=reporter.progress,
    ).shards


def _set_up(
    sets: Sequence[ShardSet],
    config: RunConfig,
    folder: Path,
    cache: Path,
    processes: Processes,
    reporter: Reporter,
) -> _Session:
    """Return the training of a set, at its start or where it stopped."""
    settings = config.train
    source: TrainingSource = registry.build("dataset", config.data)
    architecture = model_config(settings.model)
    check_text_tower(settings.model, architecture)
    defense: Defense = registry.build("defense", config.defense)
    model, tokenizer = create_model(settings.model, config.seed, settings.pretrained)
    if processes.is_first:
        _warn_of_warmup(settings, len(sets[0]), reporter)
    pairs, *trusted = training_pairs(
        sets, source.synonyms(), model, tokenizer, config, cache, processes, reporter
    )
    trainer = Trainer(
        model,
        pairs,
        defense,
        settings,
        seed=config.seed,
        folder=folder / "train",
        fingerprint=_fingerprint(config, sets),
        processes=processes,
        progress=reporter.progress if processes.is_first else _silent,
        trusted=trusted[0] if trusted else None,
        shared=_shared_stages(config, sets[0], pairs, cache, processes),
    )
    return _Session(pairs, model, architecture, trainer)


def _warn_of_warmup(settings: TrainSettings, num_pairs: int, reporter: Reporter) -> None:
    """Say that a recipe made for millions of pairs teaches nothing with a few thousand."""
    per_epoch = min(settings.pairs_per_epoch or num_pairs, num_pairs)
    steps = settings.epochs * -(-per_epoch // settings.batch_size)
    if settings.warmup >= steps:
        reporter.warning(
            f"the learning rate warms up for {settings.warmup:,} steps, but training has about"
            f" {steps:,}: the model hardly learns; lower --warmup (to {steps // 10}, say) or raise"
            " --epochs"
        )


def _trusted(
    source: TrainingSource,
    size: int,
    config: RunConfig,
    cache: Path,
    processes: Processes,
    reporter: Reporter,
) -> ShardSet:
    """Return the pairs that are known to be clean: those that were given, or that are held out.

    Raises:
        BadSetting: there are none, or fewer of the given ones than the defence wants.
    """
    if config.trusted is not None:
        given: TrainingSource = registry.build("dataset", config.trusted)
    elif isinstance(source, HasTrusted):
        given = source.trusted(size)
    else:
        raise BadSetting(f"The defence {config.defense_name!r} needs pairs known to be clean.")
    if processes.is_first:  # the others find them made
        given.prepare(cache, reporter.progress)
    processes.barrier()
    found = _usable(given.prepare(cache), given, config, cache, reporter)
    if len(found) < size:
        raise BadSetting(
            f"The defence {config.defense_name!r} wants {size:,} trusted pairs, but {found.source}"
            f" has {len(found):,} that can be used; set its trusted_size to at most that."
        )
    left_out = generator(config.seed, "trusted").permutation(len(found))[size:]
    return without(found, left_out.tolist(), cache) if len(left_out) else found


def _silent(what: str, done: int, total: int) -> None:
    """Report nothing: another process speaks."""


def _fingerprint(config: RunConfig, sets: Sequence[ShardSet]) -> str:
    """Return a hash of everything that decides the training's numbers."""
    return _hash(_decisive(config, "attack"), sets)


def _shared_stages(
    config: RunConfig,
    shards: ShardSet,
    pairs: TrainingPairs,
    cache: Path,
    processes: Processes,
) -> SharedStages:
    """Return the first stages that trainings of the same pairs and settings share.

    Those of another way to compute are not shared, for their bits would differ, nor those of
    another state of the code that trains.
    """
    content = _decisive(config, "attack", "defense", "trusted")
    device = processes.device
    threads = torch.get_num_threads() if device.type == "cpu" else None
    content["machine"] = [device_name(device), threads, processes.count, torch.__version__]
    content["program"] = _program()
    # Trusted pairs may bring words that the set does not have, and with them rows of the model.
    content["vocabulary"] = hashlib.sha256(pairs.vocabulary.used.tobytes()).hexdigest()
    return SharedStages(cache / "stages", _hash(content, [shards]))


@remembered
def _program() -> str:
    """Return a hash of the modules that train."""
    package = Path(clipbench.__file__).parent
    files = [*(package / "training").glob("*.py"), package / "models.py", package / "towers.py"]
    parts = [path.read_bytes() for path in sorted(files)]
    return hashlib.sha256(b"\0".join(parts)).hexdigest()


def _decisive(config: RunConfig, *but: str) -> dict[str, Any]:
    """Return what decides a training's numbers, without the plugins of some kinds."""
    content = config.hashed()
    for key in ("rate_text", "poisons", *but):
        content.pop(key, None)
    content["code"] = {kind: code for kind, code in content["code"].items() if kind not in but}
    return content


def _hash(content: dict[str, Any], sets: Sequence[ShardSet]) -> str:
    text = json.dumps([content, *(shards.content_sha256() for shards in sets)], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()
