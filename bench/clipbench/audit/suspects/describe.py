"""Why a pair is suspicious, in words, and from whom suspects come."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from functools import cached_property

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy.stats import hypergeom

from clipbench.audit.inventory.pairs import SAME_IMAGE
from clipbench.audit.request import AuditRequest
from clipbench.audit.suspects.combine import shares
from clipbench.audit.suspects.found import Neighbor, SupplierShare, Suspect
from clipbench.audit.suspects.models import Features
from clipbench.text.visible import escaped
from clipbench.text.words import counted

IntArray = npt.NDArray[np.int64]
FloatArray = npt.NDArray[np.float32]
LONGEST = 1_000  # characters of a caption that are kept
SHOWN = 3  # neighbors
LOW = 0.05  # share of pairs: a method that ranks one among them gives a reason
FIRST, LEAST_FIRST = 0.01, 10  # share and number of pairs that are looked at first
MOST_SUPPLIERS = 20
ONE_CAPTION = 0.5  # share of pairs with one caption, from which on similarity says little
FEW_PAIRS = 1_000
WORDS = {
    "similarity": "caption fits the image worse than {rest} of all captions fit theirs",
    "neighbors": "caption is unlike the captions of the images that look most like this one"
    " ({rest} agree better)",
    "dao": "image lies apart from the images around it, more than {rest} of all images",
    "safeclip": "caption fits the image worse than {rest}, to a model that sees mainly pairs that"
    " it takes for safe",
}


class Describer:
    """Describes pairs of a set.

    Args:
        request: the audit.
        table: rows of the usable pairs.
        scores: ``(N,)`` by method.
        ranks: ``(N,)``.
        features: of all pairs, canaries last.
    """

    def __init__(
        self,
        request: AuditRequest,
        table: pd.DataFrame,
        scores: Mapping[str, FloatArray],
        ranks: IntArray,
        features: Features,
    ) -> None:
        self._pairs, self._table, self._ranks = request.usable.shards, table, ranks
        self._shares = {name: shares(values) for name, values in scores.items()}
        self._features = features

    def suspects(self, pairs: IntArray) -> list[Suspect]:
        """Return pairs as they are shown, in the order given.

        Args:
            pairs: ``(M,)`` their numbers.
        """
        nearest = self._features.nearest(pairs, SHOWN, np.arange(len(self._ranks)))
        return [self._suspect(int(pair), nearest, row) for row, pair in enumerate(pairs)]

    def _suspect(self, pair: int, nearest: IntArray, row: int) -> Suspect:
        line = self._table.iloc[pair]
        near = [
            Neighbor(other, self._key(other), self._caption(other))
            for other in nearest[row].tolist()
        ]
        return Suspect(
            rank=int(self._ranks[pair]),
            index=pair,
            key=self._key(pair),
            shard=str(line["shard"]),
            supplier=str(line["supplier"]),
            caption=self._caption(pair),
            scores={name: float(values[pair]) for name, values in self._shares.items()},
            reasons=self._reasons(pair),
            neighbors=near,
        )

    def _reasons(self, pair: int) -> list[str]:
        """Return why a pair is suspicious, the strongest reason first."""
        ordered = sorted((float(values[pair]), name) for name, values in self._shares.items())
        low = [(share, name) for share, name in ordered if share <= LOW] or ordered[:1]
        reasons = [WORDS[name].format(rest=_rest(share)) for share, name in low]
        return [*reasons, *self._repeated(pair)]

    def _repeated(self, pair: int) -> list[str]:
        """Return what of a pair other pairs share."""
        found = []
        images = self._counted[SAME_IMAGE][pair] - 1
        captions = self._counted["caption_sha256"][pair] - 1
        if images:
            same = self._table[SAME_IMAGE] == self._table[SAME_IMAGE].iloc[pair]
            texts = int(self._table.loc[same, "caption_sha256"].nunique())
            others = f", with {counted(texts, 'caption')} in all" if texts > 1 else ""
            found.append(
                f"the image looks like that of {counted(int(images), 'other pair')}{others}"
            )
        if captions:
            found.append(f"the caption is also that of {counted(int(captions), 'other pair')}")
        return found

    @cached_property
    def _counted(self) -> dict[str, IntArray]:
        """How many pairs share an image or a caption with each, by column."""
        return {
            column: self._table.groupby(column)[column].transform("size").to_numpy(np.int64)
            for column in (SAME_IMAGE, "caption_sha256")
        }

    def _key(self, pair: int) -> str:
        return escaped(self._pairs.key(pair))

    def _caption(self, pair: int) -> str:
        caption = self._pairs.caption(pair)
        return caption if len(caption) <= LONGEST else f"{caption[:LONGEST]}…"


def _rest(share: float) -> str:
    """Return how many pairs are less suspicious, in words."""
    return "over 99.9%" if share < 0.001 else f"{100 * (1 - share):.1f}%"


def first_part(pairs: int) -> int:
    """Return how many of so many pairs are counted as the first: a hundredth, at least ten."""
    return min(pairs, max(LEAST_FIRST, round(FIRST * pairs)))


def suppliers(table: pd.DataFrame, ranks: IntArray) -> list[SupplierShare]:
    """Return the suppliers of the first hundredth of the ranks, the most surprising first.

    Args:
        table: rows of the usable pairs.
        ranks: ``(N,)``.
    """
    most = first_part(len(ranks))
    names = table["supplier"].astype(str)
    every, first = Counter(names), Counter(names[ranks <= most])
    found = [
        SupplierShare(
            supplier=name,
            pairs=every[name],
            first=count,
            expected=most * every[name] / len(ranks),
            chance=float(hypergeom.sf(count - 1, len(ranks), every[name], most)),
        )
        for name, count in first.items()
    ]
    return sorted(found, key=lambda one: (one.chance, -one.first, one.supplier))[:MOST_SUPPLIERS]


def doubts(table: pd.DataFrame, scores: Mapping[str, FloatArray]) -> list[str]:
    """Return sentences on what makes a ranked list worth less.

    Args:
        table: rows of the usable pairs.
        scores: ``(N,)`` by method.
    """
    found = []
    captions = table["caption_sha256"].value_counts(normalize=True)
    if captions.iloc[0] > ONE_CAPTION:
        found.append(
            f"{100 * captions.iloc[0]:.0f}% of the pairs have one caption, so whether a caption"
            " fits its image cannot be told from them: the list says little here."
        )
    if len(table) < FEW_PAIRS:
        found.append(
            f"A model learns little from {counted(len(table), 'pair')}: the list may be hardly"
            " better than chance."
        )
    unscored = sum(int(np.isnan(values).any()) for values in scores.values())
    if unscored:
        found.append(f"{counted(unscored, 'method')} could not score every pair in the time given.")
    return found
