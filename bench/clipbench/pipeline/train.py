"""Training alone, on any folder of shards: no attack, no ledger, no evaluation."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from pathlib import Path

from clipbench.checkpoints.record import packages_of
from clipbench.configuration.config import RunConfig
from clipbench.configuration.identity import identify
from clipbench.custody.record import note_file, note_used
from clipbench.importing.usable import NAME as LEFT_OUT
from clipbench.importing.usable import UsablePairs
from clipbench.loading.opened import check_contrast, check_trusted, usable
from clipbench.models.weights import WEIGHTS_FILE
from clipbench.parallel.bench import Bench
from clipbench.pipeline.hold import held
from clipbench.pipeline.poison import tell_left_out
from clipbench.planning.estimate import Estimate, estimate_training
from clipbench.planning.models import check_models, try_model
from clipbench.planning.packages import of_run
from clipbench.planning.plan import added_stages, begun_epochs, special
from clipbench.planning.tried import try_defense
from clipbench.planning.work import Work, work_for
from clipbench.plugins.faults import before_work
from clipbench.results.folders import named_folder
from clipbench.shards.hashes import content_of
from clipbench.system.progress import Reporter
from clipbench.tensors.files import is_cut_off
from clipbench.text.words import counted
from clipbench.training.session import train_on


@dataclass(frozen=True)
class TrainingPlan:
    """What `train` will do.

    Args:
        config: the run, known by what its pairs and weights hold; of its attack nothing is read.
        shards: the pairs.
        usable: those that can be used.
        folder: of the training, named after configuration and pairs.
        done: whether the weights are there already.
        work: what the defense does.
        begun: epochs that are done in a training run that was stopped.
    """

    config: RunConfig
    shards: Path
    usable: UsablePairs
    folder: Path
    done: bool
    work: Work
    begun: int

    def lines(self) -> list[str]:
        """Return the plan for people, a fact a line."""
        train, num_pairs = self.config.train, len(self.usable.shards)
        per_epoch = train.epoch_size(num_pairs)
        epochs = counted(train.epochs, "epoch")
        stages = added_stages(self.config, self.work.epochs)
        lines = [
            f"train: {self.config.defense_name} / seed {self.config.seed}",
            f"  data     {self.usable.shards.source}, {counted(num_pairs, 'pair')}",
            f"  training {train.model}, {epochs} of {counted(per_epoch, 'pair')}{stages}",
            *special(self.config, per_epoch),
            f"  folder   {self.folder}",
        ]
        if self.done:
            lines.append("  time     done already")
        elif self.begun:
            lines.append(f"  resumes  at epoch {self.begun + 1} of {self.work.epochs}")
        return lines

    def estimate(self, cache: Path) -> Estimate:
        """Return how long the training takes from where it is; `cache` remembers speeds."""
        time = estimate_training(self.config, self.usable.shards, self.work, cache)
        left = 1 - self.begun / max(self.work.epochs, self.begun)
        return replace(time, training=time.training * left)

    def check(self) -> None:
        """Find out whether the model can be made and has its weights, where no estimate has.

        Raises:
            BadSetting, MissingData, CorruptData: it can't, or hasn't.
        """
        if not self.done:
            try_model(self.config)


def plan_training(
    config: RunConfig, shards: Path, out: Path, *, cache: Path, reporter: Reporter
) -> TrainingPlan:
    """Return what `train` will do.

    Args:
        config: the run; of its attack nothing is read.
        shards: the pairs.
        out: the training gets a folder of its own in it.
        cache: for indexes.
        reporter: told about progress.

    Raises:
        UnknownName, BadSetting, MissingData: the model or the pairs can't be used, or the defense
            refuses the settings.
        PluginFault: the defense is sure to fail.
    """
    check_models(config)
    check_trusted(config)
    defense = config.defense.plugin
    try_defense(config, defense)
    pairs = usable(shards, config, Bench(cache, reporter=reporter))
    tell_left_out(pairs, reporter)
    check_contrast(pairs.shards)
    content = content_of(shards, cache / "index", reporter.progress)
    config = identify(config, cache, reporter.progress, pairs=content)
    id_ = hashlib.sha256(f"{config.sha256()} {content}".encode()).hexdigest()[:16]
    folder = named_folder(out, ["train", config.defense_name, f"s{config.seed}"], id_)
    weights = folder / "model" / WEIGHTS_FILE
    done = weights.is_file() and not is_cut_off(weights)
    if done:
        _warn_of_other_code(config, folder, reporter)
    with before_work():
        work = work_for(config, defense, len(pairs.shards))
    return TrainingPlan(config, shards, pairs, folder, done, work, begun_epochs(folder))


def _warn_of_other_code(config: RunConfig, folder: Path, reporter: Reporter) -> None:
    """Tell a person that a training that is not done again was done by other code."""
    recorded, now = packages_of(folder / "train"), of_run(config)
    for name in (name for name, sha256 in recorded.items() if now.get(name, sha256) != sha256):
        reporter.warning(
            f"{folder} is trained already, with other code of {name} than is installed; use another"
            " --out to train with this code"
        )


def train(plan: TrainingPlan, *, cache: Path, reporter: Reporter) -> Path:
    """Train a defense on any folder of shards and return the weights file.

    Args:
        plan: what is trained on what.
        cache: for decoded images and indexes.
        reporter: told about progress.
    """
    config, folder = plan.config, plan.folder
    bench = Bench.joined(config.train.device, cache, reporter)
    processes = bench.processes
    pairs = content_of(plan.shards, cache / "index", reporter.progress)
    identify(config, cache, reporter.progress, pairs=pairs, fresh=True)
    processes.told(config.contents)
    processes.told(folder.name)
    with held(folder, bench):
        train_on(plan.shards, config, folder, bench)
        plan.usable.write_names(folder / LEFT_OUT)
    processes.part()
    weights = folder / "model" / WEIGHTS_FILE
    note_used("shards", pairs)
    note_file(weights)
    return weights


def follow_training(
    config: RunConfig, shards: Path, out: Path, *, cache: Path, reporter: Reporter
) -> Path:
    """Do what `train` does, in a process that is not the first: that one plans, and tells.

    Args:
        config: the run.
        shards: the pairs.
        out: as for `plan_training`.
        cache: for decoded images and indexes.
        reporter: told about progress.
    """
    bench = Bench.joined(config.train.device, cache, reporter)
    processes = bench.processes
    config = replace(config, contents=processes.told(config.contents))
    folder = out / processes.told("")
    with held(folder, bench):
        train_on(shards, config, folder, bench)
    processes.part()
    weights: Path = folder / "model" / WEIGHTS_FILE
    return weights
