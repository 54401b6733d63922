"""One rank from the scores of several methods."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt
from scipy.special import gammainc, gammaincc
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

    By Fisher's method (Fisher. Statistical Methods for Research Workers. 4th edition, 1932, section
    21.1): the sum of the logarithms of the shares, so that one method that finds a pair most
    unusual weighs more than others that find it usual, for each kind of poison is seen by some
    methods and not by others. Of k methods the negative sum is of the gamma distribution with shape
    k, if they agree by chance alone. What is returned is the logarithm of its upper tail, by which
    pairs that fewer methods scored compare with those that all did: of the sum itself, or of the
    mean, few numbers make the extremes more likely. 0: no method scored the pair.
    """
    known = ~np.isnan(np.stack([*scores.values()]))
    every = -np.log(np.stack([shares(values) for values in scores.values()]))
    return _log_tail(known.sum(axis=0), np.where(known, every, 0.0).sum(axis=0))


def _log_tail(shape: npt.NDArray[np.integer], values: FloatArray) -> FloatArray:
    """Return the logarithm of the gamma distribution's upper tail, 0 where the shape is 0.

    It is exact to the last digits at both ends: by the tail where that is small, else by the rest.
    """
    shape = np.maximum(shape, 1)  # of no method the sum is 0, whose tail is 1
    tail = gammaincc(shape, values)
    is_small = tail < 0.5
    found: FloatArray = np.log(tail, where=is_small, out=np.zeros(len(tail)))
    found[~is_small] = np.log1p(-gammainc(shape, values)[~is_small])
    return found
