"""From what a person asked for to one run with every choice made.

The priority is: what was asked for, then the data set's recipe for this defense, then the defaults.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from clipbench.configuration.choices import (
    NO_ATTACK,
    check_training_source,
    sized,
    trusted_source,
    with_model,
)
from clipbench.configuration.config import RunConfig
from clipbench.configuration.precision import settled
from clipbench.configuration.settings import TrainSettings, check_train_fields
from clipbench.errors import OnError
from clipbench.files.typed import table
from clipbench.parameters.rate import Rate
from clipbench.parameters.values import coerce
from clipbench.plugins import codes, registry
from clipbench.plugins.find import Kind
from clipbench.plugins.part import Part
from clipbench.plugins.spec import SpecLike

if TYPE_CHECKING:
    from clipbench.contracts import (
        Attack,
        Defense,
        EvaluationSource,
        TrainingSource,
    )


def resolve(
    *,
    data: SpecLike = "shapes",
    evals: Sequence[SpecLike] = (),
    attack: SpecLike = NO_ATTACK,
    defense: SpecLike = "none",
    rate: Rate | str | float | None = None,
    poisons: int | None = None,
    seed: int = 0,
    poison_seed: int | None = None,
    train: Mapping[str, object] | None = None,
    metrics: Sequence[SpecLike] = (),
    on_error: OnError = "fail",
    trusted: SpecLike | None = None,
) -> RunConfig:
    """Return the configuration of one run with every choice made.

    Args:
        data: training source, as text or mapping, with the parameters that should differ from its
            defaults.
        evals: evaluation sources, likewise; empty: what the training source holds out.
        attack: attack, likewise; ``none`` for clean data.
        defense: defense, likewise.
        rate: share of all pairs that are poison: ``"1e-6"``, ``"0.0001%"`` or a number.
        poisons: the number of poisons instead.
        seed: the run's seed.
        poison_seed: the seed of the attack's draws, where that is another than `seed`.
        train: training settings that take precedence over recipe and defaults.
        metrics: metrics beside those that every run has, as text or mapping.
        on_error: whether pairs that can't be used are left out, or an error.
        trusted: source of pairs known to be clean, as text or mapping; none: what the training
            source holds out. Only of defenses that need some.

    Raises:
        UnknownName: a plugin, parameter or training setting that does not exist.
        BadSetting: a value out of range, or a missing or superfluous rate.
    """
    share = None if rate is None else Rate.of(rate)
    count = None if poisons is None else coerce(poisons, int, "poisons")
    check_training_source(data, "--data")
    pairs: Part[TrainingSource] = Part.of("dataset", data)
    source = sized(pairs, share, count)
    from clipbench.boundary import datasets  # noqa: PLC0415 - brings numpy

    recipe = datasets.recipe(source.plugin)
    special = dict(recipe.defenses.get(_label("defense", defense), {}))
    explicit = dict(check_train_fields(train or {}))
    settings = {**recipe.train, **table(special.pop("train", {})), **explicit}
    attacker: Part[Attack] = Part.of("attack", attack, recipe.attacks.get(_label("attack", attack)))
    defender: Part[Defense] = Part.of("defense", defense, special)
    held_out: tuple[Part[EvaluationSource], ...] = tuple(Part.of("dataset", spec) for spec in evals)
    clean = trusted_source(trusted, source, defender)
    chosen = TrainSettings.from_mapping(settings)
    chosen = dataclasses.replace(chosen, precision=settled(chosen.precision, chosen.device))
    attacker = with_model(attacker, chosen.model)
    slots: list[tuple[str, Part[object]]] = [
        ("dataset", source),
        ("attack", attacker),
        ("defense", defender),
        *((f"evals[{number}]", part) for number, part in enumerate(held_out)),
        *([] if clean is None else [("trusted", clean)]),
    ]
    code: dict[str, str] = {}
    for slot, part in slots:
        code |= codes.hashes(part.kind, slot, part.to_json())
    return RunConfig(
        data=source,
        evals=held_out,
        attack=attacker,
        defense=defender,
        rate=share,
        poisons=count,
        seed=coerce(seed, int, "seed"),
        train=chosen,
        code=code,
        explicit=explicit,
        metrics=tuple(Part.of("metric", spec) for spec in metrics),
        on_error=on_error,
        trusted=clean,
        poison_seed=coerce(poison_seed, int | None, "poison_seed"),
    )


def _label(kind: Kind, spec: SpecLike) -> str:
    return registry.short_name(registry.parse(kind, spec).name)
