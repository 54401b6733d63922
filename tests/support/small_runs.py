"""Runs that are done in a second, and a place for them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from clipbench.configuration.config import RunConfig
from clipbench.configuration.resolution import resolve
from clipbench.pipeline.execute import execute
from clipbench.pipeline.poison import Poisoned, poison
from clipbench.pipeline.train import TrainingPlan, plan_training, train
from clipbench.planning.plan import Plan, plan
from clipbench.results.folders import folder_of
from clipbench.system.progress import Reporter

DATA = "shapes:size=200,test_size=100,targets_size=50"
TRAIN = {"epochs": 1, "batch_size": 64, "warmup": 1}
QUIET = Reporter(quiet=True)


def config_of(**choices: Any) -> RunConfig:
    """Return a small run; poisoned if `attack` is given."""
    if choices.get("attack", "none") != "none" and "rate" not in choices:
        choices.setdefault("poisons", 6)
    return resolve(**{"data": DATA, "train": TRAIN, **choices})


@dataclass(frozen=True)
class Place:
    """A cache and a folder of runs."""

    folder: Path

    @property
    def cache(self) -> Path:
        """The cache."""
        return self.folder / "cache"

    @property
    def out(self) -> Path:
        """The folder of the runs."""
        return self.folder / "runs"

    def execute(self, config: RunConfig) -> dict[str, Any]:
        """Do a run."""
        result = execute(config, cache=self.cache, out=self.out, reporter=QUIET)
        assert result is not None
        return dict(result.record)

    def plan(self, config: RunConfig) -> Plan:
        """Plan a run."""
        return plan(config, self.out, cache=self.cache)

    def folder_of(self, config: RunConfig) -> Path:
        """Return the folder of a run."""
        return folder_of(config, self.out)

    def poison(self, config: RunConfig, out: Path | None = None) -> Poisoned:
        """Write the poisoned set of a run."""
        return poison(config, cache=self.cache, out=out, reporter=QUIET)

    def train(self, config: RunConfig, shards: Path) -> Path:
        """Train on any shards."""
        return train(self.plan_training(config, shards), cache=self.cache, reporter=QUIET)

    def plan_training(self, config: RunConfig, shards: Path) -> TrainingPlan:
        """Plan to train on any shards."""
        return plan_training(config, shards, self.out, cache=self.cache, reporter=QUIET)
