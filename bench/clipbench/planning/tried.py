"""Plugins that are no part of clipbench, tried on pairs that are nowhere, before there is any work.

Metrics of clipbench itself are asked whether they have anything to measure on.

What is sure to fail is told in seconds, and not after hours of fetching, poisoning or training.
"""

from __future__ import annotations

from collections.abc import Mapping

from clipbench.configuration.config import RunConfig
from clipbench.configuration.heldout import HeldOut
from clipbench.contracts import Defense, HasNeeds, Metric
from clipbench.errors import BadSetting
from clipbench.evaluation.evaluator import nothing_to_measure
from clipbench.planning.parts import Parts
from clipbench.planning.work import IMAGINARY, facts_of
from clipbench.plugins.faults import before_work, is_ours
from clipbench.plugins.part import Part


def try_plugins(config: RunConfig, parts: Parts) -> None:
    """Try all plugins of a run that are no part of clipbench.

    Args:
        config: the run.
        parts: its plugins and counts.

    Raises:
        PluginFault: one of them is sure to fail, whatever the pairs.
    """
    try_defense(config, parts.defense, parts.pairs_after)
    try_attack(config, parts)
    try_metrics(parts.metrics, parts.held_out)


def try_defense(config: RunConfig, defense: Defense, num_pairs: int = 0) -> None:
    """Try a defense.

    Args:
        config: the run.
        defense: its defense.
        num_pairs: of the set that is trained on; 0: not known yet, and what the defense says of
            its number is left to be found out.

    Raises:
        PluginFault: it is sure to fail.
    """
    if is_ours(defense):
        return
    from clipbench.boundary import battery  # noqa: PLC0415 - heavy

    facts = facts_of(config, defense, num_pairs or IMAGINARY, "cpu")
    with before_work():
        try:
            battery.before_training(defense, facts)
        except BadSetting:
            if num_pairs:
                raise


def try_attack(config: RunConfig, parts: Parts) -> None:
    """Try the attack of a run.

    Args:
        config: the run.
        parts: its plugins and counts.

    Raises:
        PluginFault: it is sure to fail.
    """
    if config.is_clean or is_ours(parts.attack):
        return
    from clipbench.boundary import battery  # noqa: PLC0415 - heavy

    count = parts.count or config.poisons or battery.POISONS  # a rate of nobody knows how many
    with before_work():
        battery.before_poisoning(parts.attack, parts.held_out.scene(count, config.seed_of_poison))


def try_metrics(metrics: Mapping[str, Metric], held_out: HeldOut) -> None:
    """Try metrics on random features of the held-out data.

    Args:
        metrics: by the names they are shown by.
        held_out: the evaluation sources.

    Raises:
        PluginFault: one of them is sure to fail.
        BadSetting: one has nothing to measure on any set, or too little on one.
    """
    for name, metric in metrics.items():
        if isinstance(metric, HasNeeds) and not any([*map(metric.can_measure, held_out.sets)]):
            raise nothing_to_measure(name, held_out.sets)
    outside = [metric for metric in metrics.values() if not is_ours(metric)]
    if not outside:
        return
    from clipbench.boundary import battery  # noqa: PLC0415 - heavy

    with before_work():
        for metric in outside:
            battery.before_measuring(metric, held_out.sets)


def outside_of(config: RunConfig) -> list[Part[object]]:
    """Return the attack, the defense and the metrics of a run that are no part of clipbench."""
    parts: list[Part[object]] = [config.attack, config.defense, *config.metrics]
    return [part for part in parts if not is_ours(part.cls)]
