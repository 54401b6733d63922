"""Training alone, on any folder of shards: no attack, no ledger, no evaluation."""

from __future__ import annotations

import hashlib
from pathlib import Path

from clipbench import registry
from clipbench.config import RunConfig
from clipbench.models import WEIGHTS_FILE
from clipbench.pipeline.hold import held
from clipbench.pipeline.poison import tell_left_out
from clipbench.progress import Reporter
from clipbench.shards.usable import NAME as LEFT_OUT
from clipbench.shards.usable import caption_field_of, open_usable
from clipbench.training.distributed import join_processes
from clipbench.training.session import train_on


def train(config: RunConfig, shards: Path, out: Path, *, cache: Path, reporter: Reporter) -> Path:
    """Train a defence on any folder of shards and return the weights file.

    Args:
        config: the run; of its attack nothing is read.
        shards: the pairs.
        out: the training gets a folder of its own in it, named after configuration and pairs.
        cache: for decoded images and indexes.
        reporter: told about progress.
    """
    pairs = open_usable(
        shards,
        cache,
        caption_field=caption_field_of(registry.build("dataset", config.data)),
        on_error=config.on_error,
        progress=reporter.progress,
    )
    tell_left_out(pairs, reporter)
    content = pairs.shards.content_sha256()
    name = hashlib.sha256(f"{config.sha256()} {content}".encode()).hexdigest()[:16]
    processes = join_processes(config.train.device)
    with held(out / name, processes, reporter):
        train_on(shards, config, out / name, cache, processes, reporter)
        pairs.write_names(out / name / LEFT_OUT)
    return out / name / "model" / WEIGHTS_FILE
