"""One rank from the scores of several methods."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt
from scipy.stats import rankdata

Scores = Mapping[str, npt.NDArray[np.float32]]
FloatArray = npt.NDArray[np.float64]


def shares(scores: npt.NDArray[np.floating]) -> FloatArray:
    """Return the share of pairs that are at least as suspicious as each.

    Args:
        scores: ``(N,)``, low is suspicious; NaN: not scored.

    Returns:
        ``(N,)`` in (0, 1]; equal scores share their mean rank; 1 where a pair was not scored.
    """
    known = ~np.isnan(scores)
    found = np.ones(len(scores))
    if known.any():
        found[known] = rankdata(scores[known]) / known.sum()
    return found


def combined(scores: Scores) -> npt.NDArray[np.int64]:
    """Return the rank of each pair over all methods, ``(N,)``; 1 is the most suspicious.

    Args:
        scores: ``(N,)`` by method.
    """
    order = np.argsort(risk(scores), kind="stable")
    ranks = np.empty(len(order), np.int64)
    ranks[order] = np.arange(1, len(order) + 1)
    return ranks


def risk(scores: Scores) -> FloatArray:
    """Return how suspicious each pair is over all methods, ``(N,)``; low is suspicious.

    It is the mean of the logarithms of the shares, as in Fisher's method: that one method finds a
    pair most unusual weighs more than that the others find it usual, for each kind of poison is
    seen by some methods and not by others. A method that did not score a pair is left out.
    """
    every = np.stack([np.log(shares(values)) for values in scores.values()])
    known = ~np.isnan(np.stack([*scores.values()]))
    total: FloatArray = (every * known).sum(axis=0) / np.maximum(1, known.sum(axis=0))
    return total
