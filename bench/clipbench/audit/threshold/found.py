"""What a threshold costs and catches, as it is kept in ``threshold.json``."""

from __future__ import annotations

import msgspec


class Step(msgspec.Struct, frozen=True, kw_only=True):
    """One threshold, by labels.

    Args:
        flagged: pairs that it sets aside.
        judged: of them, by a person.
        bad: of those.
        precision: share of the flagged pairs that is bad, estimated.
        low: exact 95% interval of it.
        high: the same.
        caught: share of the bad pairs of the region that is flagged, estimated; None: there is
            none.
        caught_low: interval of it, 95% or more.
        caught_high: the same.
    """

    flagged: int
    judged: int
    bad: int
    precision: float
    low: float
    high: float
    caught: float | None
    caught_low: float
    caught_high: float


class Bound(msgspec.Struct, frozen=True, kw_only=True):
    """The largest threshold that is known to hold.

    Args:
        alpha: at most this share of the flagged pairs is good.
        confidence: with which that is said.
        flagged: pairs that it sets aside; None: none is known to hold.
    """

    alpha: float
    confidence: float
    flagged: int | None


class Reviewed(msgspec.Struct, frozen=True, kw_only=True):
    """What labels say.

    Args:
        good: pairs judged good.
        bad: pairs judged bad.
        unsure: pairs that a person could not judge; they count as good.
        census: first pairs of the list that are all judged.
        drawn: judged pairs beyond them that were drawn at random.
        region: last rank among which was drawn.
        steps: thresholds, rising.
        bounds: by the share of good pairs that is allowed.
    """

    good: int
    bad: int
    unsure: int
    census: int
    drawn: int
    region: int
    steps: list[Step]
    bounds: list[Bound]


class Unlabelled(msgspec.Struct, frozen=True, kw_only=True):
    """One threshold, without labels.

    Args:
        share: of all pairs that it sets aside.
        flagged: pairs.
        canaries: planted pairs that it would set aside.
        planted: of so many.
        agreement: share of the flagged pairs that another seed flags, too; None: there is one seed.
    """

    share: float
    flagged: int
    canaries: int
    planted: int
    agreement: float | None


class Fit(msgspec.Struct, frozen=True, kw_only=True):
    """A mixture fitted to the similarities of one seed.

    Args:
        seed: of the training.
        components: of the mixture.
        safe: share of the pairs whose posterior reaches each of `Mixture.thresholds`, of those that
            were in that epoch.
    """

    seed: int
    components: int
    safe: list[float]


class Mixture(msgspec.Struct, frozen=True, kw_only=True):
    """SafeCLIP's mixture on these pairs, canaries not among them.

    Args:
        thresholds: of the posterior.
        fits: by seed and number of components.
        separation: difference of the two means over their pooled standard deviation, of the first
            seed whose mixture can't be trusted, or of the first.
        bic_gain: by how much two components beat one, BIC per pair, of the same seed.
        low_share: weight of the component of low similarity, of the same seed.
        growth: safe shares after training, by growth and cap: ``[growth, cap, share]``.
        trusted: whether there are two humps that a threshold between them parts, under every seed.
        why: in words.
    """

    thresholds: list[float]
    fits: list[Fit]
    separation: float
    bic_gain: float
    low_share: float
    growth: list[list[float]]
    trusted: bool
    why: str


class Threshold(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of thresholds.

    Args:
        unlabelled: what planted pairs and seeds tell, by share flagged.
        mixture: SafeCLIP's own way to find one.
        reviewed: what labels say; None: there are none.
    """

    unlabelled: list[Unlabelled]
    mixture: Mixture
    reviewed: Reviewed | None
