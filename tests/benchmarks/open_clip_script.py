"""Throughput of open_clip's own training script."""

from __future__ import annotations

import re
import statistics
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from clipbench.configuration.settings import TrainSettings

# `open_clip` of clipbench registers the small models; the script itself is as open_clip ships it.
PROGRAM = """
import sys
from clipbench.models.openclip import open_clip
open_clip()
from open_clip_train.main import main
main(sys.argv[1:])
"""
RATE = re.compile(r"Batch \(t\): ([\d.]+), ([\d.]+)/s")


class NoRate(RuntimeError):
    """The script failed, or ended before it told a rate."""


def open_clip_rate(
    python: str,
    shards: Path,
    pairs: int,
    settings: TrainSettings,
    logs: Path,
    *,
    device: str,
    workers: int,
    epochs: int = 2,
    every: int = 10,
    more: Mapping[str, Any] | None = None,
) -> float:
    """Return pairs/s, the median of the script's own lines after the first epoch.

    Args:
        python: of an environment with open_clip's training and webdataset 0.2.86 or older.
        shards: folder of tars.
        pairs: how many they hold.
        settings: model, batch size, precision and learning rate.
        logs: folder that the script may fill.
        device: cpu or cuda.
        workers: processes that load.
        epochs: to train; the first is not counted.
        every: how many steps between two lines.
        more: further options of the script.

    Raises:
        NoRate: see there.
    """
    names = sorted(path.stem for path in shards.glob("*.tar"))
    arguments = {
        "train-data": str(shards / f"{{{names[0]}..{names[-1]}}}.tar"),
        "train-num-samples": pairs,
        "dataset-type": "webdataset",
        "model": settings.model,
        "batch-size": settings.batch_size,
        "epochs": epochs,
        "lr": settings.lr,
        "wd": settings.wd,
        "warmup": settings.warmup,
        "workers": workers,
        "precision": {"bf16": "amp_bf16", "fp32": "fp32"}[settings.precision],
        "device": device,
        "log-every-n-steps": every,
        "logs": logs,
        **(more or {}),
    }
    flat = [part for name, value in arguments.items() for part in (f"--{name}", str(value))]
    line = [python, "-c", PROGRAM, *flat]
    done = subprocess.run(line, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise NoRate(f"open_clip's training failed: {done.stderr[-500:]}")
    lines = [line for line in done.stderr.splitlines() if "Train Epoch: 0" not in line]
    rates = [float(found[2]) for line in lines if (found := RATE.search(line))]
    if not rates:
        raise NoRate("open_clip's training told no rate after its first epoch.")
    return statistics.median(rates)
