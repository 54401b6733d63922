"""What a run is made of where nobody said so, and what cannot go together."""

from __future__ import annotations

from typing import TYPE_CHECKING

from clipbench.errors import BadSetting
from clipbench.parameters.amounts import MOST, MOST_SEED
from clipbench.parameters.rate import Rate
from clipbench.parameters.values import brief, coerce
from clipbench.plugins import registry
from clipbench.plugins.find import missing_members
from clipbench.plugins.part import Part
from clipbench.plugins.spec import SpecLike
from clipbench.plugins.used import check_used
from clipbench.text import locations

if TYPE_CHECKING:
    from clipbench.configuration.config import RunConfig
    from clipbench.contracts import Attack, Defense, TrainingSource

NO_ATTACK = "none"


def check_seed(name: str, value: object) -> None:
    """Refuse what is no seed.

    Raises:
        BadSetting: it is no whole number from 0 to 2**63 - 1.
    """
    if not 0 <= coerce(value, int, name) <= MOST_SEED:
        raise BadSetting(f"{name} must be from 0 to 2**63 - 1. Got {brief(value)}.")


def check_amount(
    attack: str, rate: Rate | None, poisons: int | None, poison_seed: int | None
) -> None:
    """Refuse an attack without an amount of poison, with two, and poison without an attack.

    Args:
        attack: its name.
        rate: share of all pairs that are poison; None: not given.
        poisons: their number; None: not given.
        poison_seed: seed of the attack's draws; None: that of the run.

    Raises:
        BadSetting: naming what is missing, or what is not needed.
    """
    if poisons is not None and not 1 <= coerce(poisons, int, "poisons") <= MOST:
        raise BadSetting(f"poisons must be from 1 to {MOST:,}. Got {brief(poisons)}.")
    if rate is not None and poisons is not None:
        raise BadSetting("Give a rate or a number of poisons, not both.")
    has_amount = rate is not None or poisons is not None
    if attack == NO_ATTACK and has_amount:
        raise BadSetting(f"The attack {NO_ATTACK!r} poisons nothing and takes no rate.")
    if attack == NO_ATTACK and poison_seed is not None:
        raise BadSetting(f"The attack {NO_ATTACK!r} poisons nothing and takes no poison_seed.")
    if attack != NO_ATTACK and not has_amount:
        name = registry.short_name(attack)
        raise BadSetting(f"The attack {name!r} needs a rate: give --rate 1e-4 or --poisons 3.")
    if poison_seed is not None:
        check_seed("poison_seed", poison_seed)


def with_model(attack: Part[Attack], model: str) -> Part[Attack]:
    """Return an attack whose models, where they are left open, are the one that is trained."""
    marks = locations.location_fields(attack.cls)
    models = [name for name, mark in marks.items() if mark.kind == "model"]
    found = {name: model for name in models if attack.parameters.get(name) is None}
    if not found:
        return attack
    return Part.holding("attack", attack.name, registry.with_parameters(attack.plugin, found))


def check_asked(config: RunConfig, attack: SpecLike, defense: SpecLike) -> None:
    """Refuse parameters that a person set and that do nothing in the run that came of it.

    Args:
        config: the run.
        attack: its attack as a person asked for it, without what recipes fill in.
        defense: its defense, likewise.

    Raises:
        BadSetting: naming the parameter.
    """
    check_used("attack", attack, config.attack.plugin)
    check_used("defense", defense, config.defense.plugin)


def check_training_source(spec: SpecLike, option: str) -> None:
    """Refuse a source of test images alone."""
    if missing_members(registry.load("dataset", spec), "TrainingSource"):
        name = registry.short_name(registry.parse("dataset", spec).name)
        raise BadSetting(
            f"The data set {name!r} has test images and no training pairs; give it with --eval,"
            f" and training pairs with {option}."
        )


def trusted_source(
    trusted: SpecLike | None, data: Part[TrainingSource], defense: Part[Defense]
) -> Part[TrainingSource] | None:
    """Return the source of trusted pairs, where the defense needs one and one was given.

    Raises:
        BadSetting: the defense needs trusted pairs, and there are none.
    """
    from clipbench.contracts import HasTrusted, trusted_size  # noqa: PLC0415 - brings numpy

    size = trusted_size(defense.plugin)
    if not size:
        return None
    if trusted is not None:
        check_training_source(trusted, "--trusted")
        return Part.of("dataset", trusted)
    if not isinstance(data.plugin, HasTrusted):
        raise BadSetting(
            f"The defense {defense.label!r} needs {size:,} pairs that are known to be clean, and"
            f" the data set {data.label!r} holds none out; give some with --trusted, e.g."
            " --trusted clean-shards/."
        )
    return None


def sized(
    data: Part[TrainingSource], rate: Rate | None, poisons: int | None
) -> Part[TrainingSource]:
    """Return the data set at its final size, large enough for one poison.

    Recipes may depend on the size, and a run is the same whether its size was written out or not.
    """
    from clipbench.boundary import datasets  # noqa: PLC0415 - brings numpy

    pairs = poisons or 1 if rate is None else rate.one_in
    plugin = datasets.with_pairs(data.plugin, pairs)
    return data if plugin is data.plugin else Part.holding("dataset", data.name, plugin)
