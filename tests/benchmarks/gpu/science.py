"""A million pairs with 64 false ones: a rate of 1e-6 for each of 64 target images.

Drawing and poisoning the set takes a processor's minutes, which a process of its own spends while
the GPU is held against the CPU.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

from correctness import Silent
from findings import Findings, Sizes

from clipbench.configuration import resolution as configuration
from clipbench.configuration.config import RunConfig
from clipbench.pipeline.execute import execute

DEFENSES = ("none", "safeclip")
BATCH = 1024
AFTER = 40.0  # seconds kept for opening the set and for evaluation, of each run


class Preparation:
    """The set of a million, made beside other work.

    Args:
        folder: for its cache.
        sizes: how much.
    """

    def __init__(self, folder: Path, sizes: Sizes) -> None:
        self._log = folder / "prepare.log"
        folder.mkdir(parents=True, exist_ok=True)
        line = [sys.executable, "-m", "clipbench", "poison", *options(sizes)]
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                [*line, "--cache", str(folder / "cache"), "--quiet"], stdout=log, stderr=log
            )

    def wait(self, seconds: float) -> None:
        """Wait until the set is there.

        Raises:
            RuntimeError: it is not, after so many seconds, or could not be made.
        """
        try:
            status = self._process.wait(max(0.0, seconds))
        except subprocess.TimeoutExpired:
            self.stop()
            raise RuntimeError("the set of a million was not ready in time") from None
        if status:
            raise RuntimeError(f"making the set failed: {self._log.read_text()[-300:]}")

    def stop(self) -> None:
        """End it, whatever it has made."""
        if self._process.poll() is None:
            self._process.terminate()
            self._process.wait()


def options(sizes: Sizes) -> list[str]:
    """Return what `clipbench poison` is told."""
    targets = f"targeted:targets={sizes.targets}"
    data = f"shapes:size={sizes.million}"
    return ["--data", data, "--attack", targets, "--poisons", str(sizes.targets)]


def run_of(sizes: Sizes, defense: str, device: str, passes: float) -> RunConfig:
    """Return a run of so many passes over the set, in the recipe's number of epochs."""
    data, attack = f"shapes:size={sizes.million}", f"targeted:targets={sizes.targets}"
    how = {"precision": sizes.precision, "device": device}
    how["batch_size"] = BATCH if sizes.million >= 20_000 else 64
    parts = {"data": data, "attack": attack, "poisons": sizes.targets, "defense": defense}
    epochs = configuration.resolve(**parts, train=how).train.epochs
    each = min(sizes.million, max(2 * how["batch_size"], int(passes * sizes.million / epochs)))
    return configuration.resolve(**parts, train={**how, "pairs_per_epoch": each})


def check(
    findings: Findings, folder: Path, out: Path, sizes: Sizes, device: str, made: Preparation
) -> None:
    """Train without a defense and with SafeCLIP for as long as the time allows."""
    try:
        made.wait(findings.left() - 60)
    except RuntimeError as error:
        findings.add("science", "the set", {"passed": False, "error": str(error)})
        return
    for left, name in zip((2, 1), DEFENSES, strict=True):
        seconds = max(1.0, findings.left() / left - AFTER)
        how = partial(train, folder, out, sizes, name, device, seconds, rates(findings))
        findings.attempt("science", name, how)


def rates(findings: Findings) -> Mapping[str, float]:
    """Return pairs/s of whole epochs by defense, as they were measured at this batch size."""
    speed = findings.content["parts"].get("speed", {})
    found = {}
    for name in DEFENSES:
        like = "clip" if name == "none" else name
        told = speed.get(f"embedded tower, {like}, batch {BATCH}", {})
        found[name] = float(told.get("epoch_pairs_per_second", 10_000.0))
    return found


def train(
    folder: Path,
    out: Path,
    sizes: Sizes,
    name: str,
    device: str,
    seconds: float,
    known: Mapping[str, float],
) -> Mapping[str, Any]:
    """Do one run, and keep its row."""
    passes = 0.9 * seconds * known[name] / sizes.million
    config = run_of(sizes, name, device, passes)
    runs, quiet = folder / "runs", Silent()
    result = execute(config, cache=folder / "cache", out=runs, reporter=quiet)
    assert result is not None
    assert result.train is not None
    (out / "rows").mkdir(parents=True, exist_ok=True)
    (row,) = (path for path in runs.rglob("result.json") if result.id in path.parent.name)
    shutil.copy(row, out / "rows" / f"{name}.json")
    wanted = ("attack_success", "zeroshot_top1", "image_to_text_r1")
    found = {key: result.metrics[key] for key in wanted}
    return {
        "passes": round(result.train.samples_seen / sizes.million, 2),
        "seconds": result.train.seconds,
        "pairs_per_second": result.train.pairs_per_second,
        **{
            key: {part: getattr(told, part) for part in ("value", "k", "n")}
            for key, told in found.items()
        },
    }
