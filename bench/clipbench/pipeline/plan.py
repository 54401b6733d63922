"""What a run will do, told before it does it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from clipbench.boundary import attacks
from clipbench.config import RunConfig
from clipbench.pipeline.estimate import Estimate, estimate
from clipbench.pipeline.parts import Parts
from clipbench.pipeline.record import RESULT
from clipbench.progress import duration
from clipbench.words import amount, counted


@dataclass(frozen=True)
class Plan:
    """What a run will do.

    Args:
        config: the run.
        parts: its plugins and counts.
        done: whether its result is there already.
        time: how long it takes; None: it is done, or nobody knows how many pairs there are.
        folder: where everything about it goes.
    """

    config: RunConfig
    parts: Parts
    done: bool
    time: Estimate | None
    folder: Path

    def lines(self) -> list[str]:
        """Return the plan for people, a fact a line."""
        config, parts = self.config, self.parts
        head = f"run {config.id}: {config.attack_name} / {config.defense_name} / seed {config.seed}"
        folder = f"  folder   {self.folder}"
        if not parts.num_pairs:
            return [head, f"  data     {config.data_name}, counted when it is fetched", folder]
        per_epoch = parts.pairs_per_epoch(config)
        passes = per_epoch * config.train.epochs / parts.pairs_after
        epochs = counted(config.train.epochs, "epoch")
        lines = [
            head,
            f"  data     {config.data_name}, {counted(parts.num_pairs, 'pair')}",
            f"  attack   {config.attack_name}: {self._poison()}",
            f"  training {config.train.model}, {epochs} of {counted(per_epoch, 'pair')},"
            f" {passes:.3g} {'pass' if passes == 1 else 'passes'} over the data"
            f"{self.time.added_stages(config) if self.time else ''}",
            folder,
        ]
        if self.done:
            lines.append("  time     done already")
        elif self.time is not None:
            training = duration(self.time.training)
            total = duration(self.time.total)
            lines.append(f"  time     about {total} on this machine, {training} of it training")
        return lines

    def _poison(self) -> str:
        parts = self.parts
        if not parts.count:
            return "clean data"
        share, targets = (
            parts.count / parts.pairs_after,
            attacks.num_targets(parts.attack, parts.count),
        )
        return (
            f"{parts.count:,} of {counted(parts.pairs_after, 'pair')} (rate {share:.3g},"
            f" {100 * share:.3g}%), {counted(targets, 'target')}, {amount(parts.count / targets)}"
            f" each, mode {parts.attack.mode}"
        )


def plan(config: RunConfig, out: Path) -> Plan:
    """Return what `execute` will do, with an estimate of the time.

    Args:
        config: the run.
        out: folder of the runs.
    """
    parts = Parts.of(config)
    folder = out / config.id
    done = (folder / RESULT).is_file()
    time = None if done or not parts.num_pairs else estimate(config, parts)
    return Plan(config, parts, done, time, folder)
