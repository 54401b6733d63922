"""What a training is known by: a hash of everything that decides its numbers."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from functools import cache as remembered
from pathlib import Path
from typing import Any

import torch

import clipbench
from clipbench.codes import slot_of
from clipbench.config import RunConfig
from clipbench.shards.reader import ShardSet
from clipbench.training.distributed import Processes
from clipbench.training.pairs import TrainingPairs
from clipbench.training.record import device_name
from clipbench.training.stages import SharedStages


def fingerprint_of(config: RunConfig, sets: Sequence[ShardSet]) -> str:
    """Return a hash of everything that decides the training's numbers.

    Args:
        config: the run; its attack is no part of it.
        sets: the set to train on and, where the defence is given some, the trusted pairs.
    """
    return _hash(_decisive(config, "attack"), sets)


def shared_stages(
    config: RunConfig,
    shards: ShardSet,
    pairs: TrainingPairs,
    cache: Path,
    processes: Processes,
) -> SharedStages:
    """Return the first stages that trainings of the same pairs and settings share.

    Those of another way to compute are not shared, for their bits would differ, nor those of
    another state of the code that trains.

    Args:
        config: the run.
        shards: the set to train on.
        pairs: the same, as the trainer reads it.
        cache: they lie in its ``stages/``.
        processes: this process among all.
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
    content["code"] = {k: code for k, code in content["code"].items() if slot_of(k) not in but}
    return content


def _hash(content: dict[str, Any], sets: Sequence[ShardSet]) -> str:
    text = json.dumps([content, *(shards.content_sha256() for shards in sets)], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()
