"""What was found on a GPU: written after each part, so that a cut loses one part."""

from __future__ import annotations

import json
import time
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from clipbench.results.result import environment
from clipbench.system.durable import atomic_file, make_folder

SIDE_OF_REPOSITORY = Path(__file__).parents[3]


@dataclass(frozen=True)
class Sizes:
    """How much of everything.

    Args:
        pairs: of a set on which CPU and GPU are compared, and of its trusted pairs.
        batch: its batches; an epoch of it is the first steps of a stage.
        defenses: which are compared; empty: all.
        repeated: of them, those that are trained twice, in two formats, and timed.
        batches: at which the embedded tower is timed.
        steps: timed, after as many that warm up.
        photographs: JPEG files written to time towers on.
        towers: names of models, each with its batch size.
        million: pairs of the set at 1e-6.
        targets: target images, one poison each.
        precision: of the timed trainings.
    """

    pairs: int = 1280
    batch: int = 64
    defenses: tuple[str, ...] = ()
    repeated: tuple[str, ...] = ("clip", "safeclip")
    batches: tuple[int, ...] = (256, 1024, 4096)
    steps: int = 20
    photographs: int = 16_384
    towers: tuple[tuple[str, int], ...] = (("RN50", 512), ("ViT-B-32", 1024))
    million: int = 1_000_000
    targets: int = 64
    precision: str = "bf16"


class Findings:
    """A JSON file that grows.

    Args:
        path: the file; what it held is replaced.
        seconds: how long everything may take.
        device: what is tried.
    """

    def __init__(self, path: Path, seconds: float, device: torch.device) -> None:
        self.path, self._until = path, time.monotonic() + seconds
        self._started, self._seconds = time.monotonic(), seconds
        self.reserved = 0.0  # of all the time, the share that later parts shall find
        self.content: dict[str, Any] = {"machine": machine(device), "parts": {}}
        self._write()

    def left(self) -> float:
        """Return how many seconds are left."""
        return self._until - time.monotonic()

    def add(self, part: str, name: str, values: Mapping[str, Any]) -> None:
        """Write down what was found, and print it."""
        self.content["parts"].setdefault(part, {})[name] = dict(values)
        self.content["seconds"] = round(time.monotonic() - self._started, 1)
        self._write()
        print(
            f"[{self.content['seconds']:6.1f} s] {part}: {name}: {json.dumps(values)}", flush=True
        )

    def attempt(self, part: str, name: str, find: Callable[[], Mapping[str, Any]]) -> None:
        """Write down what `find` returns, or why it failed; the rest goes on.

        Where the time that is left is reserved for later parts, nothing is tried.
        """
        if self.left() < self.reserved * self._seconds:
            self.add(part, name, {"skipped": "for want of time"})
            return
        try:
            self.add(part, name, find())
        except Exception as error:  # noqa: BLE001 - one part must not cost the others
            last = traceback.extract_tb(error.__traceback__)[-1]
            where = f"{Path(last.filename).name}:{last.lineno}"
            told = f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}"
            self.add(part, name, {"passed": False, "error": f"{told} ({where})"})

    def failures(self) -> list[str]:
        """Return the names of what did not pass."""
        return [
            f"{part}: {name}"
            for part, found in self.content["parts"].items()
            for name, values in found.items()
            if values.get("passed") is False
        ]

    def _write(self) -> None:
        make_folder(self.path.parent)
        with atomic_file(self.path) as file:
            file.write(json.dumps(self.content, indent=1).encode() + b"\n")


def machine(device: torch.device) -> dict[str, Any]:
    """Return what a machine is, as far as speed and bits depend on it."""
    known = environment()
    found: dict[str, Any] = {
        "device": "cpu",
        "processors": known["hardware"]["cores"],
        "torch": known["torch"],
        "commit": known["git"],
    }
    if device.type == "cuda":
        properties = torch.cuda.get_device_properties(device)
        found |= {
            "device": properties.name,
            "memory_gb": round(properties.total_memory / 1e9, 1),
            "cuda": torch.version.cuda,
            "cudnn": torch.backends.cudnn.version(),
        }
    return found
