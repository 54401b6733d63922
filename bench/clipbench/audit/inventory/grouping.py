"""Counting in groups: pairs, and different values among them, by what they have in common."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from clipbench.audit.inventory.model import Copies, Spread

Codes = npt.NDArray[np.int64]


def codes_of(column: Any) -> tuple[Codes, list[str]]:
    """Return the values of a column of pyarrow as numbers, ``(N,)``, and what they stand for."""
    encoded = column.combine_chunks().dictionary_encode()
    if hasattr(encoded, "combine_chunks"):  # of a chunked array, in some versions
        encoded = encoded.combine_chunks()
    codes = encoded.indices.to_numpy(zero_copy_only=False).astype(np.int64)
    return codes, encoded.dictionary.to_pylist()


@dataclass(frozen=True)
class Groups:
    """Pairs that have something in common.

    Args:
        codes: ``(N,)`` the group of each pair, from 0; every number up to the highest is one.
    """

    codes: Codes

    @cached_property
    def sizes(self) -> Codes:
        """Return the pairs of each group, ``(G,)``."""
        return np.bincount(self.codes).astype(np.int64)

    @cached_property
    def firsts(self) -> Codes:
        """Return the first pair of each group, ``(G,)``."""
        return np.unique(self.codes, return_index=True)[1].astype(np.int64)

    @cached_property
    def is_repeated(self) -> npt.NDArray[np.bool_]:
        """Return which pairs are not alone in their group, ``(N,)``."""
        found: npt.NDArray[np.bool_] = self.sizes[self.codes] > 1
        return found

    def different(self, values: Codes) -> Codes:
        """Return how many different values the pairs of each group have, ``(G,)``.

        Args:
            values: ``(N,)`` of each pair, from 0.
        """
        span = int(values.max(initial=0)) + 1
        both = np.unique(self.codes * span + values)
        return np.bincount(both // span, minlength=len(self.sizes)).astype(np.int64)

    def copies(self, suppliers: Codes) -> Copies:
        """Return how many groups have several pairs, and how many several suppliers."""
        several = self.sizes > 1
        return Copies(
            groups=int(several.sum()),
            pairs=int(self.sizes[several].sum()),
            shared=int((self.different(suppliers) > 1).sum()),
        )

    def largest(self, by: Codes, count: int) -> Sequence[int]:
        """Return the groups of several pairs for which a number is highest, at most `count`.

        Args:
            by: ``(G,)`` the number; of equal ones more pairs go first, then what comes first.
            count: how many.
        """
        several = np.flatnonzero((self.sizes > 1) & (by > 1))
        order = np.lexsort((self.firsts[several], -self.sizes[several], -by[several]))
        found: list[int] = several[order[:count]].tolist()
        return found


def spread_of(values: npt.NDArray[np.integer[Any]]) -> Spread:
    """Return how numbers are spread."""
    least, low, middle, high, most = np.quantile(
        values, (0, 0.05, 0.5, 0.95, 1), method="inverted_cdf"
    ).tolist()
    return Spread(
        least=int(least), low=int(low), middle=int(middle), high=int(high), most=int(most)
    )
