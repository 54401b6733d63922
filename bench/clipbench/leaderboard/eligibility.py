"""Whether an attack worked at all, so that a defense can be judged by it.

Undefended success alone does not say so: a model that has learned nothing, or that answers one
class to every image, classifies triggered images "as the adversary wants" as often as any others.
The attack must do more than chance and more than the same model without the poison, and the model
must be one.

Success and control are held apart by the 95% interval of their difference, Newcombe's hybrid score
interval (Statistics in Medicine 17, 1998, method 10): two intervals that overlap may be of shares
that differ (Schenker, Gentleman. On Judging the Significance of Differences by Examining the
Overlap Between Confidence Intervals. The American Statistician 55, 2001). Success and control are
of the same probes, which makes it careful. Of several seeds each share has the interval that knows
that trials of a seed go together, see `clipbench.evaluation.clustered`.

Success is held against the bar by its 95% interval, too: one that holds the bar decides nothing.
The interval of one seed knows its probes alone, so that what is said then is said of that training.

Where there is no control, what the undefended model misreads of clean tests stands for it: as the
adversary wants it reads no more of them. Probes are images or captions, so of classification and
retrieval the one that is misread more counts. That asks more, and where success is not apart from
it nothing is known.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from clipbench.evaluation.clustered import clustered_interval, unpaired_difference
from clipbench.evaluation.measured import Metric, Metrics
from clipbench.evaluation.statistics import Proportion, pool
from clipbench.results.model import Result

SUCCESS, CONTROL, TOP1 = "attack_success", "attack_success_control", "zeroshot_top1"
CAPTIONS = "text_to_image_r1"
YES = "yes"


@dataclass(frozen=True)
class Eligibility:
    """What is said of a row.

    Args:
        verdict: "yes", "no (...)", "undecided (...)" or "unknown (...)", with the reason; None
            without an attack.
        undefended: attack success without a defense, pooled over seeds; None: not measured.
    """

    verdict: str | None
    undefended: float | None


def eligibility(
    results: Sequence[Result],
    reference: Sequence[Result],
    eligible_at: float,
    *,
    called: str = "undefended",
) -> Eligibility:
    """Return whether the attack of a row succeeds in the runs it is held against, and by itself.

    The bar is passed where the whole 95% interval of success lies at or above it, and missed where
    it lies below; between, it is undecided.

    Args:
        results: of the row, one a seed, attacked.
        reference: the runs it is held against, undefended or with augmentation alone.
        eligible_at: least attack success of these, a fraction.
        called: what these are called in the reason.
    """
    if not reference:
        return Eligibility(f"unknown (no {called} row)", None)
    success = shares_of(reference, SUCCESS)
    if not success:
        return Eligibility(f"unknown ({called} row has no attack success)", None)
    share = pool(success).value
    control = shares_of(reference, CONTROL) or shares_of(results, CONTROL)
    if (failure := _failure(success, control, reference, eligible_at)) is not None:
        verdict = f"no ({called} {_percent(share)}{failure})"
    elif not control and not _above(success, _misread(reference)):
        verdict = "unknown (no control)"
    elif at_chance(results):
        verdict = "no (model at chance)"
    elif (bounds := clustered_interval(success))[0] < eligible_at:
        low, high = (f"{100 * bound:.1f}" for bound in bounds)
        verdict = f"undecided ({called} {_percent(share)} [{low}, {high}])"
    else:
        verdict = YES
    return Eligibility(verdict, share)


def _failure(
    success: Sequence[Proportion],
    control: Sequence[Proportion],
    reference: Sequence[Result],
    eligible_at: float,
) -> str | None:
    """Return what undefended success falls short of, beside its value; None if of nothing."""
    chance = _chance(reference)
    if at_chance(reference):
        return ", that model at chance"
    if clustered_interval(success)[1] < eligible_at:
        return ""
    if chance is not None and clustered_interval(success)[0] <= chance:
        return f", chance {_percent(chance)}"
    if control and not _above(success, control):
        return f", control {_percent(pool(control).value)}"
    return None


def _above(success: Sequence[Proportion], other: Sequence[Proportion]) -> bool:
    """Tell whether the interval of the difference lies above 0; False if there is no other."""
    return bool(other) and unpaired_difference(success, other)[1] > 0


def _misread(results: Sequence[Result]) -> list[Proportion]:
    """Return how many clean test images, or captions, were read as anything but what they are."""
    tests = [shares_of(results, name) for name in (TOP1, CAPTIONS)]
    wrong = [[Proportion(share.n - share.k, share.n) for share in test] for test in tests if test]
    return max(wrong, key=lambda shares: pool(shares).value, default=[])


def at_chance(results: Sequence[Result]) -> bool:
    """Tell whether zero-shot top-1 is not above 1 / classes; False where either is not known."""
    top1, chance = shares_of(results, TOP1), _chance(results)
    return bool(top1) and chance is not None and clustered_interval(top1)[0] <= chance


def shares_of(results: Iterable[Result], name: str) -> list[Proportion]:
    """Return a share of each result that has it; none if one says a value without its counts."""
    return counts_of([result.metrics[name] for result in results if name in result.metrics])


def counts_of(metrics: Sequence[Metric]) -> list[Proportion]:
    """Return the shares of metrics; none if one of them says a value without its counts."""
    shares = [metric.share for metric in metrics]
    known = [share for share in shares if share is not None]
    return known if len(known) == len(shares) else []


def _chance(results: Iterable[Result]) -> float | None:
    """Return one over the fewest classes that have test images, None where no result says it."""
    counts = [_classes(result.metrics) for result in results]
    known = [count for count in counts if count]
    return 1 / min(known) if known else None


def _classes(metrics: Metrics) -> int | None:
    """Return how many classes a mean recall is the mean of."""
    recall = metrics.get("mean_per_class_recall")
    return None if recall is None else recall.n


def _percent(share: float) -> str:
    return f"{100 * share:.1f}%"
