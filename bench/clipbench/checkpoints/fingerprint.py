"""What a training run is known by: a hash of everything that decides its numbers."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from functools import cache as remembered
from pathlib import Path

import torch

from clipbench.checkpoints.stages import SharedStages
from clipbench.configuration.config import RunConfig
from clipbench.configuration.precision import settled
from clipbench.loading.pairs import TrainingPairs
from clipbench.parallel.bench import Bench
from clipbench.plugins import codes
from clipbench.shards.reader import ShardSet
from clipbench.system.arithmetic import of_device
from clipbench.system.versions import version_of

PACKAGE = Path(__file__).parents[1]  # clipbench

# Those that decode, draw, tokenize, build towers and compute.
_DECISIVE = (
    "numpy",
    "open_clip_torch",
    "pillow",
    "scikit-learn",
    "scipy",
    "simplejpeg",
    "timm",
    "torch",
    "torchvision",
)

# The rooms whose code a training runs: one is missing here as soon as training imports another.
ROOMS = (
    "boundary",
    "checkpoints",
    "configuration",
    "contracts",
    "fetching",
    "files",
    "images",
    "importing",
    "loading",
    "models",
    "parallel",
    "parameters",
    "plugins",
    "shards",
    "system",
    "tensors",
    "text",
    "toolkit",
    "training",
)


def fingerprint_of(config: RunConfig, sets: Sequence[ShardSet]) -> str:
    """Return a hash of everything that decides the training's numbers.

    Args:
        config: the run; its attack is no part of it.
        sets: the set to train on and, where the defense is given some, the trusted pairs.
    """
    return _hash(_decisive(config, "attack"), sets)


def shared_stages(
    config: RunConfig, shards: ShardSet, pairs: TrainingPairs, bench: Bench
) -> SharedStages:
    """Return the first stages that training runs of the same pairs and settings share.

    Those of another way to compute are not shared, for their bits would differ: of another
    processor or GPU, another number of threads or processes, other versions. Nor are those of
    another state of the code that trains, or of defenses of another author: that a stage is like
    another is what a defense says of itself, and believed among those that lie together.

    Args:
        config: the run.
        shards: the set to train on.
        pairs: the same, as the trainer reads it.
        bench: they lie in ``stages/`` of its cache.
    """
    content = _decisive(config, "attack", "defense", "trusted")
    processes, device = bench.processes, bench.processes.device
    threads = torch.get_num_threads() if device.type == "cpu" else None
    content["machine"] = [*of_device(device), threads, processes.count]
    code: dict[str, object] = {
        "versions": {name: version_of(name) for name in _DECISIVE},
        "program": _program(),
        "defenses": codes.beside(config.defense.cls.__module__),
        "dataset": codes.beside(config.data.cls.__module__),  # synonyms
    }
    content |= code
    # Trusted pairs may bring words that the set does not have, and with them rows of the model.
    content["vocabulary"] = hashlib.sha256(pairs.vocabulary.used.tobytes()).hexdigest()
    each = processes.each(_hash(content, [shards]))  # machines may differ
    base = each[0] if len(each) == 1 else hashlib.sha256("".join(each).encode()).hexdigest()
    return SharedStages(bench.cache / "stages", base, _hash(code, []))


@remembered
def _program() -> str:
    """Return a hash of the modules that read pairs and train on them, and all that they use."""
    folders = (PACKAGE, *(PACKAGE / room for room in ROOMS))
    modules = [path for folder in folders for path in folder.glob("*.py")]
    return codes.of_files([*modules, *PACKAGE.glob("model_configs/*.json")])


def _decisive(config: RunConfig, *but: str) -> dict[str, object]:
    """Return what decides a training run's numbers, without the plugins of some kinds."""
    told = config.hashed()
    # Old configurations have `auto`, which is two formats on two machines.
    precision = settled(config.train.precision, config.train.device)
    code = {key: sha256 for key, sha256 in told["code"].items() if codes.slot_of(key) not in but}
    content = {**told, "train": {**told["train"], "precision": precision}, "code": code}
    left_out = {"rate_text", "poisons", *but}
    return {key: value for key, value in content.items() if key not in left_out}


def _hash(content: dict[str, object], sets: Sequence[ShardSet]) -> str:
    text = json.dumps([content, *(shards.pairs_sha256() for shards in sets)], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()
