"""How many trials tell two shares apart, before anything is trained.

Power of the exact McNemar test: a trial is discordant with chance p10 + p01, and of m discordant
trials those of one side are binomial with p10 / (p10 + p01); the test rejects by m alone. Duffy.
Asymptotic and Exact Power for the McNemar Test and Its Analogue With R Controls per Case.
Biometrics 40, 1984.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, TypedDict

from clipbench.errors import BadSetting
from clipbench.evaluation.statistics import wilson
from clipbench.parameters.limits import Ge, Gt, Le, Lt, check_fields

MOST_TRIALS = 10**6


@dataclass(frozen=True)
class Design:
    """Two shares that a paired comparison shall tell apart.

    Args:
        share: success of the one defense.
        against: success of the other.
        correlation: of their outcomes on one probe (phi); 0: a probe that the one lets through is
            let through by the other as often as any.
        level: at which the two-sided exact McNemar test rejects.

    Raises:
        BadSetting: a number is out of range, the shares are equal, or no two outcomes of these
            shares have such a correlation.
    """

    share: Annotated[float, Ge(0), Le(1)]
    against: Annotated[float, Ge(0), Le(1)]
    correlation: float = 0.0
    level: Annotated[float, Gt(0), Lt(1)] = 0.05

    def __post_init__(self) -> None:
        check_fields(self, "power")
        if self.share == self.against:
            raise BadSetting(f"Both shares are {self.share}; nothing tells equal shares apart.")
        if self.correlation and {self.share, self.against} & {0, 1}:
            raise BadSetting(
                "Outcomes of which one side never varies (a share of 0 or 1) have no correlation;"
                " leave it out."
            )
        if min(self.cells) < -1e-12:
            raise BadSetting(
                f"Outcomes of shares {self.share} and {self.against} cannot have a correlation of"
                f" {self.correlation}; choose one nearer to 0."
            )

    @property
    def cells(self) -> tuple[float, float, float, float]:
        """Chances of a trial that succeeds on both sides, on either alone, and on neither."""
        a, b = self.share, self.against
        both = a * b + self.correlation * math.sqrt(a * (1 - a) * b * (1 - b))
        return both, a - both, b - both, 1 - a - b + both


def power(design: Design, trials: int) -> float:
    """Return how likely the exact McNemar test tells the two shares apart.

    Args:
        design: the shares, the correlation and the level.
        trials: paired trials, taken as independent; up to a million.

    Raises:
        BadSetting: the number of trials is out of range.
    """
    import numpy as np  # noqa: PLC0415 - heavy
    from scipy.stats import binom  # noqa: PLC0415

    if not 1 <= trials <= MOST_TRIALS:
        raise BadSetting(f"There are {trials} trials; there must be 1 to {MOST_TRIALS}.")
    one, other = (max(0.0, cell) for cell in design.cells[1:3])
    chance = min(1.0, one + other)
    low, high = binom.ppf((1e-15, 1 - 1e-15), trials, chance)
    discordant = np.arange(int(low), min(int(high) + 1, trials) + 1)
    # The most discordant trials of the rarer side with which the test still rejects; -1: none.
    most = binom.ppf(design.level / 2, discordant, 0.5)
    most = np.where(2 * binom.cdf(most, discordant, 0.5) > design.level, most - 1, most)
    share = one / chance
    rejects = binom.cdf(most, discordant, share) + binom.cdf(most, discordant, 1 - share)
    return float(min(1.0, (binom.pmf(discordant, trials, chance) * rejects).sum()))


def trials_needed(design: Design, wanted: float = 0.8, step: int = 1) -> int:
    """Return the fewest trials, a multiple of `step`, from which on the power is as wanted.

    Power falls a little here and there as trials are added, since the test is discrete; the number
    returned is the first after which a run of four times `step`, at least 12 trials, has it.

    Args:
        design: the shares, the correlation and the level.
        wanted: power, in (0, 1).
        step: trials that come together, such as the targets of one seed.

    Raises:
        BadSetting: wanted or step is out of range, or a million trials do not suffice.
    """
    if not 0 < wanted < 1:
        raise BadSetting(f"power is {wanted}; it must lie strictly between 0 and 1.")
    if not 1 <= step <= MOST_TRIALS:
        raise BadSetting(f"There are {step} targets; there must be 1 to {MOST_TRIALS}.")
    least, enough = 0, 1
    while power(design, _within(enough * step)) < wanted:
        least, enough = enough, 2 * enough
    while enough - least > 1:
        middle = (least + enough) // 2
        fits = power(design, middle * step) >= wanted
        least, enough = (least, middle) if fits else (middle, enough)
    while (dip := _last_dip(design, wanted, enough, step)) is not None:
        enough = dip + 1
    return enough * step


def zero_bound(trials: int, level: float = 0.05) -> float:
    """Return the upper bound of Wilson's interval that 0 of `trials` leaves.

    Raises:
        BadSetting: there are no trials, or the level is not in (0, 1).
    """
    return wilson(0, trials, 1 - level)[1]


def _last_dip(design: Design, wanted: float, enough: int, step: int) -> int | None:
    """Return the last of the next numbers of steps that lacks power; None if none does."""
    lacking = [n for n in _next(enough, step) if power(design, n * step) < wanted]
    return lacking[-1] if lacking else None


def _next(enough: int, step: int) -> Iterator[int]:
    last = min(enough + max(4, math.ceil(12 / step)), MOST_TRIALS // step)
    yield from range(enough, last + 1)


def _within(trials: int) -> int:
    if trials > MOST_TRIALS:
        raise BadSetting(
            f"More than {MOST_TRIALS} trials would be needed; choose shares further apart, or less"
            " power."
        )
    return trials


class Power(TypedDict):
    """What a number of trials is good for."""

    share: float
    against: float
    correlation: float
    level: float
    trials: int
    targets: int
    seeds: int
    power: float
    zero_upper_bound: float


def to_json(design: Design, trials: int, targets: int) -> Power:
    """Return what a number of trials is good for, under plain names."""
    return {
        "share": design.share,
        "against": design.against,
        "correlation": design.correlation,
        "level": design.level,
        "trials": trials,
        "targets": targets,
        "seeds": math.ceil(trials / targets),
        "power": power(design, trials),
        "zero_upper_bound": zero_bound(trials, design.level),
    }
