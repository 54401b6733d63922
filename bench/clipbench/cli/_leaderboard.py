"""The leaderboard as commands print it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from clipbench import registry
from clipbench.plugins import Kind

if TYPE_CHECKING:
    import pandas as pd

_KINDS: Mapping[str, Kind] = {"attack": "attack", "defense": "defense", "data": "dataset"}


def defaults(kind: str, name: str) -> dict[str, Any] | None:
    """Return the default parameters of the attack, defence or data set of a result, if known."""
    return registry.defaults(_KINDS[kind], name)


def frame_of(results: Iterable[Mapping[str, Any]], eligible_at: float = 0.5) -> pd.DataFrame:
    """Return the leaderboard of results; parameters at their defaults are not in the labels.

    Args:
        results: result objects.
        eligible_at: least success of the undefended attack for a row to count, in [0, 1].
    """
    from clipbench.leaderboard.tables import leaderboard  # noqa: PLC0415 - heavy

    return leaderboard(results, eligible_at=eligible_at, defaults=defaults)


def table(results: Iterable[Mapping[str, Any]]) -> str:
    """Return the leaderboard of results as text."""
    from clipbench.leaderboard.render import to_text  # noqa: PLC0415 - heavy

    return to_text(frame_of(results))
