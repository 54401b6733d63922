"""What a run will do, told before it does it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from clipbench import locations
from clipbench.boundary import attacks
from clipbench.config import RunConfig
from clipbench.contracts import Progress, no_progress
from clipbench.pipeline.estimate import Estimate, estimate
from clipbench.pipeline.folders import folder_of, words
from clipbench.pipeline.identity import Identifier, places
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
        folder: where everything about it goes; None: the run is named after what its pairs are, and
            these are not there yet.
        out: folder of the runs.
    """

    config: RunConfig
    parts: Parts
    done: bool
    time: Estimate | None
    folder: Path | None
    out: Path

    def lines(self) -> list[str]:
        """Return the plan for people, a fact a line."""
        config, parts = self.config, self.parts
        run = "run" if self.folder is None else f"run {config.id}"
        head = f"{run}: {config.attack_name} / {config.defense_name} / seed {config.seed}"
        if self.folder is None:
            beginning = self.out / "_".join(words(config))
            folder = f"  folder   {beginning}_..., named when its pairs are there and read"
        else:
            folder = f"  folder   {self.folder}"
        if not parts.num_pairs:
            return [head, f"  data     {self._data()}, counted when it is fetched", folder]
        per_epoch = parts.pairs_per_epoch(config)
        passes = per_epoch * config.train.epochs / parts.pairs_after
        epochs = counted(config.train.epochs, "epoch")
        lines = [
            head,
            f"  data     {self._data()}, {counted(parts.num_pairs, 'pair')}",
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

    def _data(self) -> str:
        """Return the data set's name, and where it lies if it has a place."""
        found = [place for place in places(self.config) if place.field.startswith("data.")]
        where = [locations.redacted(text) for p in found for text in locations.texts(p.value)]
        return " ".join([self.config.data_name, *where])

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


def plan(config: RunConfig, out: Path, *, cache: Path, progress: Progress = no_progress) -> Plan:
    """Return what `execute` will do, with an estimate of the time.

    Args:
        config: the run.
        out: folder of the runs.
        cache: folder of what is fetched and imported; nothing is, for a plan.
        progress: told about files that must be read to know which run it is.
    """
    parts = Parts.of(config)
    known = Identifier(cache, progress).identified(config)
    folder = None if known is None else folder_of(known, out)
    done = folder is not None and (folder / RESULT).is_file()
    time = None if done or not parts.num_pairs else estimate(config, parts)
    return Plan(known or config, parts, done, time, folder, out)
