"""How long things take on this machine, and the file that remembers it for the next plan."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import platform
import sys
import time
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from functools import cache as remembered
from pathlib import Path
from typing import TypeVar

import msgspec
import torch

from clipbench.checkpoints.record import device_name
from clipbench.configuration.config import RunConfig
from clipbench.contracts import Defense
from clipbench.errors import ClipbenchError
from clipbench.files.json_files import read_json, write_summed
from clipbench.files.typed import Positive
from clipbench.parallel.devices import num_processes, pick_device
from clipbench.planning.work import Kind, Work
from clipbench.plugins.codes import slot_of
from clipbench.system import threads

SCHEMA = "clipbench.speeds/1"
MEASURED = (  # rooms whose code is timed
    "evaluation",
    "images",
    "loading",
    "models",
    "parallel",
    "pipeline",
    "planning",
    "poisoning",
    "shards",
    "toolkit",
    "training",
)
GOOD_FOR_S = 7 * 86_400.0
GOOD_FOR_BUSY_S = 600.0  # of what was measured beside other work
# Settings that change what a training run does, not how long a pair takes in it.
_NOT_OF_A_PAIR = frozenset(
    {"epochs", "pairs_per_epoch", "lr", "wd", "beta1", "beta2", "eps", "warmup", "grad_clip_norm"}
    | {"lr_schedule", "save_frequency", "checkpoint_every_s", "tensorboard"}
)


@dataclass(frozen=True)
class TrainingSpeeds:
    """Seconds that things take in training: a pair; of `model`, once.

    Args:
        model: making a model.
        decode: decoding a picture into the cache; about 0 where batches decode their own.
        caption: reading and tokenizing a caption.
        steps: training on a pair, by kind of phase.
        scores: scoring a pair, by whether it is augmented.
    """

    model: float
    decode: float
    caption: float
    steps: Mapping[Kind, float]
    scores: Mapping[bool, float]


@dataclass(frozen=True)
class Speeds(TrainingSpeeds):
    """Seconds that things take in a run: a pair, a picture, a text; of `held_out`, once.

    Args:
        held_out: opening the held-out data.
        picture: getting a picture from its source.
        encode: encoding a picture for a shard.
        write: writing a pair into a shard.
        image: encoding a test image.
        text: encoding a test text.
    """

    held_out: float
    picture: float
    encode: float
    write: float
    image: float
    text: float


SpeedsType = TypeVar("SpeedsType", bound=TrainingSpeeds)


@dataclass(frozen=True)
class KeptSpeeds:
    """Speeds that were measured before, of one kind of run on this machine.

    What does not fit, is old, or can't be read is as good as nothing; nor is it an error if nothing
    can be kept.

    Args:
        path: the file.
    """

    path: Path

    @classmethod
    def of(
        cls, cache: Path, config: RunConfig, defense: Defense, num_pairs: int, what: str
    ) -> KeptSpeeds:
        """Return where the speeds of a run are kept.

        Args:
            cache: they lie in its ``speeds/``.
            config: the run; its attack and its seed decide none.
            defense: its defense, whose code does.
            num_pairs: of the set; whether its pictures fit the cache depends on them.
            what: a whole run or a training run alone.
        """
        content = config.to_json()
        decisive = {
            "data": content["data"],
            "evals": content["evals"],
            "defense": content["defense"],
            "trusted": content["trusted"],
            "code": {k: v for k, v in content["code"].items() if slot_of(k) != "attack"},
        }
        train = {k: v for k, v in content["train"].items() if k not in _NOT_OF_A_PAIR}
        device = pick_device(config.train.device)
        machine = [platform.node(), device_name(device), os.cpu_count(), torch.get_num_threads()]
        program = [torch.__version__, _program(), _code_of(defense)]
        key = [SCHEMA, what, decisive, train, num_pairs, machine, num_processes(), program]
        text = json.dumps(key, sort_keys=True, default=str)
        name = hashlib.sha256(text.encode()).hexdigest()[:16]
        return cls(cache / "speeds" / f"{name}.json")

    def find(self, kind: type[SpeedsType], work: Work) -> SpeedsType | None:
        """Return the speeds, if they are fresh and tell of all that the work consists of."""
        try:
            content = read_json(self.path)
            age = time.time() - self.path.stat().st_mtime
            good_for = GOOD_FOR_BUSY_S if content.pop("busy") else GOOD_FOR_S
            if content.pop("schema") != SCHEMA or not 0 <= age < good_for:
                return None
            steps = dict(msgspec.convert(content.pop("steps"), list[tuple[Kind, Positive]]))
            scores = dict(msgspec.convert(content.pop("scores"), list[tuple[bool, Positive]]))
            rest = msgspec.convert(content, dict[str, Positive])
            found = kind(**rest, steps=steps, scores=scores)
        except (ClipbenchError, OSError, ValueError, TypeError, KeyError, AttributeError):
            return None
        known = _has(found.steps, work.passes) and _has(found.scores, work.scorings)
        return found if known else None

    def keep(self, speeds: TrainingSpeeds) -> None:
        """Write the speeds, just measured."""
        content: dict[str, object] = {
            item.name: getattr(speeds, item.name) for item in dataclasses.fields(speeds)
        }
        content["steps"] = [[key, value] for key, value in speeds.steps.items()]
        content["scores"] = [[key, value] for key, value in speeds.scores.items()]
        content |= {"schema": SCHEMA, "busy": bool(threads.news())}
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            write_summed(self.path, content, sync=False)
        except (OSError, ClipbenchError):
            return


def _has(found: Collection[object], wanted: Collection[object]) -> bool:
    return set(wanted) <= set(found)


@remembered
def _program() -> str:
    """Return a hash of the modules whose speed is measured."""
    package = Path(__file__).parents[1]
    files = [file for room in MEASURED for file in (package / room).glob("*.py")]
    parts = [path.read_bytes() for path in sorted(files)]
    return hashlib.sha256(b"\0".join(parts)).hexdigest()


def _code_of(defense: Defense) -> str:
    """Return a hash of the file that a defense is written in."""
    file = getattr(sys.modules.get(type(defense).__module__), "__file__", None)
    return hashlib.sha256(Path(file).read_bytes()).hexdigest() if file else ""
