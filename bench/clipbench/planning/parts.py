"""What a run is made of: its plugins, built, and the counts that follow from them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TypeVar

from clipbench.boundary import attacks, datasets
from clipbench.configuration.config import RunConfig
from clipbench.configuration.heldout import HeldOut
from clipbench.contracts import AnyProbes, Attack, Crafted, Defense, Metric, TrainingSource
from clipbench.errors import BadSetting
from clipbench.evaluation import plugins
from clipbench.importing.usable import UsablePairs
from clipbench.loading.opened import check_trusted
from clipbench.loading.opened import usable as usable_of
from clipbench.parallel.bench import Bench
from clipbench.plugins import registry

PartsType = TypeVar("PartsType", bound="Parts")


@dataclass(frozen=True)
class Parts:
    """The plugins of a run, built, and the counts that follow from them.

    Args:
        dataset: the training source, large enough for the rate.
        held_out: the evaluation sources.
        attack: the attack.
        defense: the defense.
        num_pairs: pairs of the clean set; 0: not known before they are there.
        count: poisoned pairs; 0 for a clean run.
        metrics: metrics beside those that every run has, by name.
    """

    dataset: TrainingSource
    held_out: HeldOut
    attack: Attack
    defense: Defense
    num_pairs: int
    count: int
    metrics: Mapping[str, Metric]

    @classmethod
    def of(cls, config: RunConfig) -> Parts:
        """Build the plugins of a run, and refuse what cannot be done before work is spent."""
        held_out = HeldOut.of(config.data, config.evals)
        num_pairs = datasets.num_pairs(config.data.plugin)
        attack = config.attack.plugin
        count = _num_poisons(config, attack, num_pairs)
        check_trusted(config)
        return cls(
            config.data.plugin,
            held_out,
            attack,
            config.defense.plugin,
            num_pairs,
            count,
            plugins.built(config.metrics),
        )

    def prepared(self, config: RunConfig, bench: Bench) -> Prepared:
        """Return these parts with the clean pairs made and looked at, and counts that are exact.

        Raises:
            CorruptData: pairs can't be used, and the run does not leave them out.
        """
        where = datasets.prepare(self.dataset, bench.cache, bench.reporter.progress)
        usable = usable_of(where, config, bench)
        num_pairs = len(usable.shards)
        exact = {"num_pairs": num_pairs, "count": _num_poisons(config, self.attack, num_pairs)}
        return Prepared(**{**vars(self), **exact, "usable": usable})

    @property
    def pairs_after(self) -> int:
        """Pairs of the set that is trained on."""
        return self.num_pairs + (self.count if self.attack.mode == "insert" else 0)

    def pairs_per_epoch(self, config: RunConfig) -> int:
        """Return how many pairs one epoch has."""
        return config.train.epoch_size(self.pairs_after)

    def probes(self, seed: int) -> AnyProbes | None:
        """Return what the attack wants misclassified; None for clean data.

        Where the attack learns from the corpus, `with_crafted` comes before this.
        """
        scene = self.held_out.scene(self.count, seed)
        return attacks.probes(self.attack, scene) if self.count else None

    def planned_probes(self, seed: int) -> AnyProbes | None:
        """Return `probes` for a plan, which comes before an attack learns from the corpus.

        Of an attack that does there is no trigger yet, and so nothing but the probes' number.
        """
        scene = self.held_out.scene(self.count, seed)
        look = not isinstance(self.attack, Crafted)
        return attacks.probes(self.attack, scene, look=look) if self.count else None


def with_crafted(parts: PartsType, crafted: Mapping[str, object]) -> PartsType:
    """Return parts whose attack has what it learned when it poisoned; {}: it learned nothing."""
    if not crafted:
        return parts
    return replace(parts, attack=registry.with_parameters(parts.attack, crafted))


@dataclass(frozen=True)
class Prepared(Parts):
    """The parts of a run whose clean pairs are there.

    Args:
        usable: the clean pairs that can be used.
    """

    usable: UsablePairs


def _num_poisons(config: RunConfig, attack: Attack, num_pairs: int) -> int:
    """Return how many poisons a run has among `num_pairs` clean pairs."""
    if config.is_clean:
        return 0
    if not num_pairs:  # not known before the pairs are there
        return config.poisons or 0
    count = config.count(num_pairs, attack.mode)
    if count > num_pairs:
        raise BadSetting(f"{count} poisons do not fit into {num_pairs} pairs.")
    attacks.num_targets(attack, count)  # refuses more targets than poisons
    return count
