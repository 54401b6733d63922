"""What a run is made of where nobody said so, and what cannot go together."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from clipbench.errors import BadSetting
from clipbench.parameters.rate import Rate
from clipbench.plugins import registry
from clipbench.plugins.find import Kind, missing_members
from clipbench.plugins.spec import SpecLike
from clipbench.text import locations


def with_model(attack: dict[str, Any], model: str) -> dict[str, Any]:
    """Return an attack whose models, where they are left open, are the one that is trained."""
    marks = locations.location_fields(registry.load("attack", attack))
    models = [name for name, mark in marks.items() if mark.kind == "model"]
    return attack | {name: model for name in models if attack[name] is None}


def check_training_source(spec: SpecLike, option: str) -> None:
    """Refuse a source of test images alone."""
    if missing_members(registry.load("dataset", spec), "TrainingSource"):
        name = registry.short_name(registry.parse("dataset", spec).name)
        raise BadSetting(
            f"The data set {name!r} has test images and no training pairs; give it with --eval,"
            f" and training pairs with {option}."
        )


def trusted_source(
    trusted: SpecLike | None, dataset: Any, specs: Mapping[Kind, Mapping[str, Any]]
) -> dict[str, Any] | None:
    """Return the source of trusted pairs, where the defense needs one and one was given.

    Raises:
        BadSetting: the defense needs trusted pairs, and there are none.
    """
    from clipbench.contracts import HasTrusted, trusted_size  # noqa: PLC0415 - brings numpy

    size = trusted_size(registry.build("defense", specs["defense"]))
    if not size:
        return None
    if trusted is not None:
        check_training_source(trusted, "--trusted")
        found: dict[str, Any] = registry.resolve("dataset", trusted)
        return found
    if not isinstance(dataset, HasTrusted):
        name = registry.short_name(specs["defense"]["name"])
        data = registry.short_name(specs["dataset"]["name"])
        raise BadSetting(
            f"The defense {name!r} needs {size:,} pairs that are known to be clean, and the data"
            f" set {data!r} holds none out; give some with --trusted, e.g. --trusted clean-shards/."
        )
    return None


def sized(dataset: Any, rate: Rate | None, poisons: int | None) -> Any:
    """Return the data set at its final size, large enough for one poison.

    Recipes may depend on the size, and a run is the same whether its size was written out or not.
    """
    from clipbench.boundary import datasets  # noqa: PLC0415 - brings numpy

    return datasets.with_pairs(dataset, poisons or 1 if rate is None else rate.one_in)
