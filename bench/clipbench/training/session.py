"""From a folder of shards and a configuration to a trained model: all that training may see.

Nothing here knows of attacks or ledgers.
"""

from __future__ import annotations

import hashlib
import json
import resource
import shutil
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from clipbench import registry
from clipbench.config import RunConfig
from clipbench.contracts import Defense, HasTrusted, TrainingSource, trusted_size
from clipbench.errors import BadSetting, CorruptData
from clipbench.models import WEIGHTS_FILE, create_model, model_config, save_model
from clipbench.progress import Reporter
from clipbench.shards.files import atomic_file, clear_leftovers, write_json
from clipbench.shards.reader import ShardSet
from clipbench.shards.usable import caption_field_of, open_usable
from clipbench.training.distributed import Processes
from clipbench.training.engine import Trainer
from clipbench.training.inputs import training_pairs
from clipbench.training.pairs import TrainingPairs
from clipbench.training.text import check_text_tower
from clipbench.training.trace import read_trace

IntArray = npt.NDArray[np.int64]


@dataclass(frozen=True)
class TrainingRecord:
    """What a finished training says of itself.

    Args:
        num_pairs: pairs of the set.
        content_sha256: hash of the set.
        epochs: epochs trained.
        samples_seen: pairs that went through an optimiser step, counted as often as they did.
        steps: optimiser steps.
        seconds: of training, scoring included, over all resumptions.
        peak_memory_bytes: resident memory of this process at its highest; of the GPU where used.
        device: where it ran.
        precision: fp32 or bf16.
        processes: how many processes trained.
        history: an entry for each phase of each epoch.
        exposures: ``(num_pairs,)`` how often each pair reached a loss that ties image to caption.
    """

    num_pairs: int
    content_sha256: str
    epochs: int
    samples_seen: int
    steps: int
    seconds: float
    peak_memory_bytes: int
    device: str
    precision: str
    processes: int
    history: list[dict[str, Any]]
    exposures: IntArray

    def to_json(self) -> dict[str, Any]:
        """Return the fields of ``result.json``'s ``train`` object."""
        return {
            "epochs": self.epochs,
            "samples_seen": self.samples_seen,
            "steps": self.steps,
            "seconds": round(self.seconds, 3),
            "pairs_per_second": round(self.samples_seen / max(self.seconds, 1e-9), 1),
            "peak_memory_bytes": self.peak_memory_bytes,
            "device": self.device,
            "precision": self.precision,
            "processes": self.processes,
        }


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
    record = _read_record(folder / "train", fingerprint)
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
        _write_record(folder / "train", record, fingerprint)  # last: it says that all is there
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
        raise BadSetting(
            f"The defence {config.defense_name!r} scores no pairs; name one that does, such as"
            " dao, slof, kdist, lid, isolation_forest, clipscore or safeclip."
        )
    return scores


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
    )
    return _Session(pairs, model, architecture, trainer)


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
        BadSetting: there are none.
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
    return _usable(given.prepare(cache), given, config, cache, reporter)


def _silent(what: str, done: int, total: int) -> None:
    """Report nothing: another process speaks."""


def _fingerprint(config: RunConfig, sets: Sequence[ShardSet]) -> str:
    """Return a hash of everything that decides the training's numbers."""
    content = config.hashed()
    for key in ("attack", "rate_text", "poisons"):
        del content[key]
    content["code"] = {kind: code for kind, code in content["code"].items() if kind != "attack"}
    text = json.dumps([content, *(shards.content_sha256() for shards in sets)], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


def _write_record(folder: Path, record: TrainingRecord, fingerprint: str) -> None:
    """Write the record; its presence says that the training is finished."""
    clear_leftovers(folder)
    with atomic_file(folder / "exposures.npy") as file:
        np.save(file, record.exposures, allow_pickle=False)
    content = {"fingerprint": fingerprint, **asdict(record)}
    del content["exposures"]
    write_json(folder / "record.json", content, indent=None)


def _read_record(folder: Path, fingerprint: str) -> TrainingRecord | None:
    """Return the record of this training if it is finished."""
    path = folder / "record.json"
    if not path.is_file():
        return None
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        if content.pop("fingerprint") != fingerprint:
            return None
        exposures = np.load(folder / "exposures.npy", allow_pickle=False)
        return TrainingRecord(**content, exposures=exposures)
    except (ValueError, KeyError, TypeError, OSError) as error:
        raise CorruptData(
            f"{path.resolve()} is damaged ({error}). Delete its folder; the training starts anew."
        ) from error


def peak_memory(device: torch.device) -> int:
    """Return the highest memory use so far in bytes: of the GPU, or resident of this process."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def device_name(device: torch.device) -> str:
    """Return ``cpu``, or the name of the GPU."""
    return "cpu" if device.type == "cpu" else torch.cuda.get_device_name(device)


def write_tensorboard(folder: Path, record: TrainingRecord) -> None:
    """Write the training's curves for TensorBoard, in place of those of a killed process."""
    from torch.utils.tensorboard import SummaryWriter  # noqa: PLC0415 - optional

    shutil.rmtree(folder, ignore_errors=True)
    with SummaryWriter(str(folder)) as writer:
        for item in record.history:
            name = item["phase"].replace(" ", "_")
            for key in ("loss", "lr", "pairs"):
                if item.get(key) is not None:
                    writer.add_scalar(f"train/{name}/{key}", item[key], item["epoch"])
