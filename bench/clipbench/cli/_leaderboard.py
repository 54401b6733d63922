"""The leaderboard as commands print it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from clipbench.leaderboard.defaults import defaults_of

if TYPE_CHECKING:
    import pandas as pd


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
