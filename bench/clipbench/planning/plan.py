"""What a run will do, told before it does it, and before what takes seconds is imported."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from clipbench.boundary import attacks
from clipbench.configuration.config import RunConfig
from clipbench.configuration.identity import Identifier
from clipbench.configuration.places import places
from clipbench.contracts import Progress, is_prepared, no_progress, trusted_size
from clipbench.importing.usable import caption_field_of, is_unscreened, known_left_out
from clipbench.planning.models import check_models, try_model
from clipbench.planning.parts import Parts
from clipbench.planning.tried import try_plugins
from clipbench.planning.work import epochs_of
from clipbench.plugins import registry
from clipbench.plugins.faults import before_work
from clipbench.results.folders import folder_of, has_result, words
from clipbench.results.names import CHECKPOINT, RESULT
from clipbench.results.result import read_result
from clipbench.shards import skipped
from clipbench.text import locations
from clipbench.text.words import amount, counted

if TYPE_CHECKING:
    from clipbench.planning.estimate import Estimate

UNSCREENED = "pairs that can't be used are left out; rate and counts follow what remains"


@dataclass(frozen=True)
class Plan:
    """What a run will do.

    Args:
        config: the run.
        parts: its plugins and counts.
        done: whether its result is there already.
        epochs: of all stages of the training together; 0: nobody knows how many pairs there are.
        begun: of them, those that are done in a training run that was stopped.
        folder: where everything about it goes; None: the run is named after what its pairs are, and
            these are not there yet.
        out: folder of the runs.
        left_out: what an import left out of the pairs, by reason.
        unscreened: whether more may be left out, so that no count is final.
    """

    config: RunConfig
    parts: Parts
    done: bool
    epochs: int
    begun: int
    folder: Path | None
    out: Path
    left_out: Mapping[str, int] = field(default_factory=dict)
    unscreened: bool = False

    @property
    def label(self) -> str:
        """Attack, defense and seed, which tell the runs of a command apart."""
        config = self.config
        return f"{config.attack_name} / {config.defense_name} / {config.seeds}"

    def lines(self) -> list[str]:
        """Return the plan for people, a fact a line."""
        config, parts = self.config, self.parts
        run = "run" if self.folder is None else f"run {config.id}"
        head = f"{run}: {self.label}"
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
            *([f"  note     {skipped.summary(self.left_out)}"] if self.left_out else []),
            *([f"  note     {UNSCREENED}"] if self.unscreened else []),
            f"  attack   {config.attack_name}: {self._poison()}",
            f"  training {config.train.model}, {epochs} of {counted(per_epoch, 'pair')},"
            f" {passes:.3g} {'pass' if passes == 1 else 'passes'} over the data"
            f"{added_stages(config, self.epochs)}",
            *special(config, per_epoch),
            folder,
        ]
        if self.done:
            lines.append("  time     done already")
        elif self.begun:
            lines.append(f"  resumes  at epoch {self.begun + 1} of {self.epochs}")
        return lines

    def check(self) -> None:
        """Find what is missing before work begins, where no estimate has looked for it.

        Raises:
            UnknownName, BadSetting, MissingData, CorruptData: the model, the weights to start from
                or the held-out data cannot be used, or lack what the attack needs.
        """
        if self.done:
            return
        parts = self.parts
        self.try_model()
        _ = parts.held_out.sets
        parts.planned_probes(self.config.seed_of_poison)

    def try_model(self) -> None:
        """Find out whether the model can be made, which needs no pairs.

        Raises:
            BadSetting, MissingData, CorruptData: it can't.
        """
        if not self.done:
            try_model(self.config)

    def try_plugins(self) -> None:
        """Try the plugins that are no part of clipbench, on a few pairs that are nowhere.

        Raises:
            PluginFault: one of them is sure to fail, whatever the pairs.
        """
        if not self.done:
            try_plugins(self.config, self.parts)

    def estimate(self, cache: Path) -> Estimate:
        """Return how long the run takes from where it is; the number of pairs is known.

        Args:
            cache: remembers speeds.
        """
        from clipbench.planning.estimate import estimate  # noqa: PLC0415 - heavy

        time = estimate(self.config, self.parts, cache)
        if not self.begun:
            return time
        left = 1 - self.begun / max(self.epochs, self.begun)
        return replace(time, data=0.0, training=time.training * left)

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
    """Return what `execute` will do.

    Args:
        config: the run.
        out: folder of the runs.
        cache: folder of what is fetched and imported; nothing is, for a plan.
        progress: told about files that must be read to know which run it is.

    Raises:
        UnknownName, BadSetting, MissingData: a plugin, the model or a count can't be used, or the
            defense refuses the run's settings.
        CorruptData: the data are known to lack pairs, and the run does not leave them out.
    """
    with before_work():
        parts = Parts.of(config)
        check_models(config)
        epochs = epochs_of(config, parts.defense, parts.pairs_after) if parts.num_pairs else 0
    known = Identifier(cache, progress).identified(config)
    if known is None:
        return Plan(config, parts, False, epochs, 0, None, out)
    folder = folder_of(known, out)
    done = has_result(folder)
    left_out = {} if done else _left_out(config, cache)
    begun, unscreened = begun_epochs(folder), _is_unscreened(config, cache)
    if done and unscreened:
        parts, unscreened = _as_counted(parts, folder), False
    return Plan(known, parts, done, epochs, begun, folder, out, left_out, unscreened)


def _left_out(config: RunConfig, cache: Path) -> Mapping[str, int]:
    """Return what an import left out of a run's pairs, by reason, as far as that is known."""
    where = is_prepared(config.data.plugin, cache)
    if where is None or cache in Path(where).parents:  # what lies there is made again
        return {}
    captions = caption_field_of(config.data.plugin)
    return known_left_out(where, cache, caption_field=captions, on_error=config.on_error)


def _is_unscreened(config: RunConfig, cache: Path) -> bool:
    """Return whether a plan counts pairs that nobody has looked at, and a run leaves some out."""
    if config.on_error == "fail":
        return False
    where = is_prepared(config.data.plugin, cache)
    return where is None or is_unscreened(where)


def _as_counted(parts: Parts, folder: Path) -> Parts:
    """Return the parts of a run that is done, with the counts of its result."""
    result = read_result(folder / RESULT)
    added = result.attack.count if parts.attack.mode == "insert" else 0
    return replace(parts, num_pairs=result.data.pairs - added, count=result.attack.count)


def special(config: RunConfig, per_epoch: int) -> list[str]:
    """Return lines of a plan about what a person may not expect of a training run.

    Args:
        config: the run.
        per_epoch: pairs of an epoch.
    """
    found, size = [], config.train.batch_size
    usual = registry.defaults("defense", config.defense.name) or {}
    own = {k: v for k, v in config.defense.parameters.items() if usual.get(k, v) != v}
    if own:
        values = ", ".join(f"{name}={value}" for name, value in own.items())
        found.append(f"  defense  {config.defense_name} with {values}, by the recipe or as given")
    if told := trusted(config):
        found.append(f"  trusted  {told}")
    if size > per_epoch:
        found.append(f"  note     a batch of {size:,} holds the whole epoch, which is one step")
    if note := config.train.warmup_note(per_epoch):
        found.append(f"  note     {note}")
    return found


def trusted(config: RunConfig) -> str:
    """Say whose the pairs are that a defense is told are clean; nothing where it needs none.

    Shards that are trained on may be anybody's, and these pairs are those of a data set.
    """
    count = trusted_size(config.defense.plugin)
    if not count:
        return ""
    held_out = f"held out by {config.data_name}, as --data says"
    whose = held_out if config.trusted is None else f"of {config.trusted.name}, as --trusted says"
    return f"{counted(count, 'pair')} known to be clean, {whose}"


def added_stages(config: RunConfig, epochs: int) -> str:
    """Say how long a training run is where its defense adds stages to it; else nothing."""
    if epochs in (0, config.train.epochs):
        return ""
    return f"; {counted(epochs, 'epoch')} with all stages of {config.defense_name}"


def begun_epochs(folder: Path) -> int:
    """Return how many epochs of a training run that was stopped are done.

    Args:
        folder: of the run.
    """
    train = folder / "train"
    if not (train / CHECKPOINT).is_file():
        return 0
    # An epoch leaves its trace when it begins, and the one before it its checkpoint.
    return max((int(path.stem) for path in (train / "trace").glob("[0-9]*.npz")), default=0)
