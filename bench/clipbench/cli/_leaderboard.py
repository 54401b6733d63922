"""The leaderboard as commands print it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any

from clipbench import registry
from clipbench.plugins import Kind

if TYPE_CHECKING:
    import pandas as pd

Defaults = Callable[[str, str], "dict[str, Any] | None"]

_KINDS: Mapping[str, Kind] = {"attack": "attack", "defense": "defense", "data": "dataset"}


def defaults_of(results: Iterable[Mapping[str, Any]]) -> Defaults:
    """Return what gives the parameters that a plugin has when nobody sets them.

    Those of a defence are its data set's recipe where all results are of one data set, so that a
    label names what a person chose and not the recipe.
    """
    data = {str(result["data"]["name"]) for result in results}
    recipe: Mapping[str, Mapping[str, Any]] = {}
    if len(data) == 1 and (name := data.pop()) in registry.names("dataset"):
        recipe = registry.build("dataset", name).recipe().defenses

    def defaults(kind: str, name: str) -> dict[str, Any] | None:
        with registry.registered_only():  # results come from strangers: no file of their choice
            plain = registry.defaults(_KINDS[kind], name)
        if plain is None or kind != "defense":
            return plain
        special = {key: value for key, value in recipe.get(name, {}).items() if key != "train"}
        return {**plain, **special}

    return defaults


def frame_of(results: Iterable[Mapping[str, Any]], eligible_at: float = 0.5) -> pd.DataFrame:
    """Return the leaderboard of results; parameters at their defaults are not in the labels.

    Args:
        results: result objects.
        eligible_at: least success of the undefended attack for a row to count, in [0, 1].
    """
    from clipbench.leaderboard.tables import leaderboard  # noqa: PLC0415 - heavy

    results = list(results)
    return leaderboard(results, eligible_at=eligible_at, defaults=defaults_of(results))


def table(results: Iterable[Mapping[str, Any]]) -> str:
    """Return the leaderboard of results as text."""
    from clipbench.leaderboard.render import to_text  # noqa: PLC0415 - heavy

    return to_text(frame_of(results))
