"""What the search for suspects says, as it is kept in ``suspects.json``."""

from __future__ import annotations

import msgspec

from clipbench.files import sums


class Neighbor(msgspec.Struct, frozen=True):
    """A pair whose image is like another's.

    Args:
        index: its number.
        key: its key.
        caption: its caption.
    """

    index: int
    key: str
    caption: str


class Suspect(msgspec.Struct, frozen=True, kw_only=True):
    """A pair that a person should look at.

    Args:
        rank: among all pairs, 1 is the most suspicious.
        index: its number in the set.
        key: its key.
        shard: file that holds it.
        supplier: who delivered it.
        caption: its caption.
        scores: share of all pairs that are at least as suspicious, by method.
        reasons: why, in words.
        neighbors: pairs whose images are most like its own.
    """

    rank: int
    index: int
    key: str
    shard: str
    supplier: str
    caption: str
    scores: dict[str, float]
    reasons: list[str]
    neighbors: list[Neighbor]


class SupplierShare(msgspec.Struct, frozen=True, kw_only=True):
    """How many of the first suspects come from a supplier.

    Args:
        supplier: who.
        pairs: it delivered.
        first: of them, among the first suspects.
        expected: that would be, if suspects were spread evenly.
        chance: probability of `first` or more, if they were.
    """

    supplier: str
    pairs: int
    first: int
    expected: float
    chance: float


class Canaries(msgspec.Struct, frozen=True, kw_only=True):
    """Pairs with a caption of another pair, planted in a copy to see how many are found.

    Args:
        planted: how many.
        ranks: where each would stand among the pairs, rising; 1 is the most suspicious.
    """

    planted: int
    ranks: list[int]


class Suspects(msgspec.Struct, frozen=True, kw_only=True):
    """The ranked list.

    Args:
        pairs: in the set.
        methods: that scored them.
        epochs: of each kind of training run.
        per_epoch: pairs in an epoch; None: all.
        seeds: of the training runs.
        scores_sha256: of ``scores.parquet``.
        first_split_sha256: of ``first_split.parquet``.
        first: the most suspicious pairs.
        region: of so many first ranks `sampled` were drawn.
        sampled: pairs drawn at random among the first `region`, in the order of the draw.
        suppliers: those with most suspects among the first hundredth, the most surprising first.
        suppliers_count: suppliers of the whole set; those of pairs that name none count as one.
        canaries: planted pairs, and where they ended.
        flagged: shares of all pairs for which `agreement` is known.
        agreement: for each of them, as text, the share that two seeds flag alike.
        doubts: sentences on what makes the list worth less here.
    """

    pairs: int
    methods: list[str]
    epochs: dict[str, int]
    per_epoch: int | None
    seeds: list[int]
    scores_sha256: str
    first_split_sha256: str
    first: list[Suspect]
    region: int
    sampled: list[Suspect]
    suppliers: list[SupplierShare]
    suppliers_count: int
    canaries: Canaries
    flagged: list[float]
    agreement: dict[str, float]
    doubts: list[str]

    @property
    def review_sha256(self) -> str:
        """Hash of what reviewers are shown: of both lists, in order, of which pairs and where from.

        A judgment counts as one of the random sample because of how that was drawn: labels of
        another draw, or from another region, are none of this list, also if scores are the same.
        """
        lists = [
            [[one.rank, one.index, one.key] for one in each] for each in (self.first, self.sampled)
        ]
        return sums.of_json([self.scores_sha256, self.pairs, self.region, lists])
