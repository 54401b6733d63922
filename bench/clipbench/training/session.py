"""From a folder of shards and a configuration to a trained model: all that training may see.

Nothing here knows of attacks or ledgers.
"""

from __future__ import annotations

import socket
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from msgspec import UNSET
from torch import nn

from clipbench.checkpoints.fingerprint import fingerprint_of, shared_stages
from clipbench.checkpoints.record import (
    TrainingRecord,
    device_name,
    forget_peak_memory,
    peak_memory,
    read_record,
    write_record,
    write_tensorboard,
)
from clipbench.checkpoints.trace import read_trace
from clipbench.configuration.config import RunConfig
from clipbench.errors import BadSetting, CorruptData, Torn
from clipbench.loading.inputs import training_pairs
from clipbench.loading.opened import opened
from clipbench.loading.pairs import TrainingPairs
from clipbench.loading.text import check_text_tower
from clipbench.models.openclip import (
    Architecture,
    create_model,
    model_config,
    save_model,
)
from clipbench.models.weights import WEIGHTS_FILE
from clipbench.parallel.bench import Bench
from clipbench.parallel.group import Processes
from clipbench.plugins import codes
from clipbench.shards.reader import ShardSet
from clipbench.tensors.files import is_cut_off
from clipbench.training.engine import Trainer
from clipbench.training.plan import Method
from clipbench.training.resume import Checkpoints


@dataclass(frozen=True)
class _Session:
    """A training run that is set up: what it trains on, and what it is known by."""

    pairs: TrainingPairs
    model: nn.Module
    architecture: Architecture
    trainer: Trainer


def train_on(
    where: str | Path,
    config: RunConfig,
    folder: Path,
    bench: Bench,
) -> TrainingRecord | None:
    """Train on a folder of shards, or take up the training where it stopped.

    Args:
        where: the pairs: a folder of shards, or what else `ShardSet.open` takes.
        config: the run; of its attack nothing is read.
        folder: the run's folder; ``train/`` and ``model/`` go into it.
        bench: where decoded images and indexes go.

    Returns:
        What the training says of itself; None where the first process found it finished, and this
        one is another.
    """
    processes, sets = bench.processes, opened(where, config, bench)
    shards, fingerprint = sets[0], _agreed_fingerprint(config, sets, processes)
    record = _finished(folder, fingerprint) if processes.is_first else None
    if processes.told(record is not None):
        _drop_checkpoint(folder, processes)  # which a power cut may have brought back
        return record
    forget_peak_memory(processes.device)
    session = _set_up(sets, config, fingerprint, folder, bench)
    trainer = session.trainer
    with processes.training():
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
        threads=state.threads,
        ways=() if state.ways is UNSET else state.ways,
        packages=_packages(config),
        history=state.history,
        exposures=trainer.exposures,
    )
    if processes.is_first:
        session.pairs.vocabulary.expand(session.model)
        save_model(session.model, session.architecture, folder / "model")
        if config.train.tensorboard:
            write_tensorboard(folder / "tensorboard", record)
        write_record(folder / "train", record, fingerprint)  # last: it says that all is there
    _drop_checkpoint(folder, processes)
    return record


def _packages(config: RunConfig) -> dict[str, str]:
    """Return the code of other packages that training runs: by it no training is known."""
    found: dict[str, str] = {}
    for part in (config.data, config.defense):
        found |= codes.packages(part.kind, part.to_json())
    return found


def _agreed_fingerprint(config: RunConfig, sets: Sequence[ShardSet], processes: Processes) -> str:
    """Return what a training run is known by, which must be the same in all processes.

    Raises:
        CorruptData: another process has other pairs than the first.
    """
    own = fingerprint_of(config, sets)
    if processes.told(own) != own:
        raise CorruptData(
            f"{sets[0].source} holds other pairs here, on {socket.gethostname()}, than on the"
            " machine of the first process, as where an attack learned something else from them on"
            " another processor. Name a folder that all machines share with --cache."
        )
    return own


def _drop_checkpoint(folder: Path, processes: Processes) -> None:
    if processes.is_first:
        (folder / "train" / "checkpoint.pt").unlink(missing_ok=True)


def _finished(folder: Path, fingerprint: str) -> TrainingRecord | None:
    """Return the record of a finished training run; None: there is something left to train.

    What it left and its later readers need must be whole; else it is trained again.
    """
    weights, traces = folder / "model" / WEIGHTS_FILE, folder / "train" / "trace"
    try:
        record = read_record(folder / "train", fingerprint)
        if record is None or not weights.is_file():
            return None
        for path in (weights, *sorted(traces.glob("[0-9]*.npz"))):
            if is_cut_off(path):
                raise Torn(f"{path} is cut off.")
    except CorruptData:
        what = (
            f"what is left of a training run in {folder} is damaged or cut off, as by a power cut"
        )
        warnings.warn(f"{what}; it is trained again", stacklevel=2)
        return None
    return record


def score_on(
    where: str | Path,
    config: RunConfig,
    folder: Path,
    bench: Bench,
) -> npt.NDArray[np.float32]:
    """Train as far as the run's defense needs to score the pairs, and return their last scores.

    Args:
        where: the pairs.
        config: the run.
        folder: of the training, which can be taken up again.
        bench: where decoded images and indexes go.

    Returns:
        ``(num_pairs,)``, the lower the more suspicious; NaN where a pair was never scored, for its
        epochs hold a part of the set only. Empty in processes that write no trace.

    Raises:
        BadSetting: the defense scores nothing.
    """
    processes, sets = bench.processes, opened(where, config, bench)
    fingerprint = _agreed_fingerprint(config, sets, processes)
    trainer = _set_up(sets, config, fingerprint, folder, bench).trainer
    with processes.training():
        state = trainer.train(until_scored=True)
    if trainer.set_scores is not None:
        return trainer.set_scores.numpy()
    if not processes.is_first:
        return np.empty(0, np.float32)
    scores = np.full(len(sets[0]), np.nan, dtype=np.float32)
    for epoch in range(state.epoch):
        trace = read_trace(folder / "train" / "trace" / f"{epoch:04d}.npz")
        if len(trace.scores):
            scores[trace.pairs] = trace.scores
    if np.isnan(scores).all():
        raise scores_nothing(config)
    return scores


def scores_nothing(config: RunConfig) -> BadSetting:
    """Return the refusal of a defense that cannot tell which pairs are suspicious."""
    return BadSetting(
        f"The defense {config.defense_name!r} scores no pairs; name one that does, such as"
        " dao, slof, kdist, lid, isolation_forest, clipscore or safeclip."
    )


def _set_up(
    sets: Sequence[ShardSet],
    config: RunConfig,
    fingerprint: str,
    folder: Path,
    bench: Bench,
) -> _Session:
    """Return the training of a set, at its start or where it stopped."""
    settings = config.train
    architecture = model_config(settings.model)
    check_text_tower(settings.model, architecture)
    model, tokenizer = create_model(settings.model, config.seed, settings.pretrained)
    if bench.is_first and (note := settings.warmup_note(len(sets[0]))):
        bench.reporter.warning(note)
    given = training_pairs(sets, model, tokenizer, config, bench)
    method = Method(config.defense.plugin, settings, config.seed)
    shared = shared_stages(config, sets[0], given[0], bench)
    every_s, processes = settings.checkpoint_every_s, bench.processes
    checkpoints = Checkpoints(folder / "train", fingerprint, every_s, processes, shared)
    trainer = Trainer(model, given, method, checkpoints, bench)
    return _Session(given[0], model, architecture, trainer)
