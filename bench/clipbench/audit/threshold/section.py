"""What the page says of thresholds: sentences for the person who decides, and the evidence."""

from __future__ import annotations

from collections.abc import Iterator

from clipbench.audit.section import Section
from clipbench.audit.suspects.found import Suspects
from clipbench.audit.threshold.figures import mixture_figure, precision_figure
from clipbench.audit.threshold.found import Bound, Reviewed, Step, Threshold, Unlabelled
from clipbench.evaluation.statistics import Proportion
from clipbench.text.templates import render
from clipbench.text.words import counted

ROWS = 8  # thresholds in the table
TENTH = 0.1


def threshold_section(suspects: Suspects, found: Threshold) -> Section:
    """Return what the page says of how many pairs to set aside."""
    reviewed = found.reviewed
    page = render(
        __package__,
        "threshold.html",
        reviewed=reviewed,
        steps=[] if reviewed is None else _rows(reviewed, suspects.pairs),
        precision=None if reviewed is None else precision_figure(reviewed),
        unlabelled=[_unlabelled(one) for one in found.unlabelled],
        mixture=found.mixture,
        curves=mixture_figure(found.mixture) if found.mixture.fits else None,
    )
    return Section(
        "threshold",
        "How many pairs to set aside",
        [*_said(suspects, found)],
        page,
        [*_cannot(suspects, found)],
        [*_advice(found)],
    )


def _said(suspects: Suspects, found: Threshold) -> Iterator[str]:
    reviewed = found.reviewed
    if reviewed is None:
        yield "Nobody has judged any pairs yet, so how many to set aside is not known."
        if suspects.canaries.planted:
            yield _caught(found)
    else:
        yield (
            f"{reviewed.bad} of {counted(_judged(reviewed), 'judged pair')} are bad"
            f" ({reviewed.unsure} were not clear and count as good)."
        )
        yield from (_bound(one, suspects.pairs) for one in reversed(reviewed.bounds))
    if not found.mixture.trusted:
        yield f"SafeCLIP's own way to find a threshold is not to be used here. {found.mixture.why}"


def _caught(found: Threshold) -> str:
    """Return how many planted pairs a tenth of the list catches."""
    best = next((one for one in found.unlabelled if one.share >= TENTH), found.unlabelled[-1])
    return (
        f"Of {counted(best.planted, 'planted pair')} with a wrong caption, {best.canaries} would be"
        f" caught by setting aside the {counted(best.flagged, 'most suspicious pair')}"
        f" ({100 * best.share:.0f}%)."
    )


def _bound(bound: Bound, pairs: int) -> str:
    parts = f"{100 * bound.alpha:.0f} in 100"
    if bound.flagged is None:
        return (
            f"No threshold is known at which at most {parts} of the pairs set aside are good: the"
            " list is not that good, or there are too few labels."
        )
    return (
        f"If you set aside the first {bound.flagged:,} pairs of the list"
        f" ({100 * bound.flagged / pairs:.1f}% of all), at most {parts} of them are good ones"
        f" (confidence {100 * bound.confidence:.0f}%)."
    )


def _judged(reviewed: Reviewed) -> int:
    return reviewed.good + reviewed.bad + reviewed.unsure


def _advice(found: Threshold) -> Iterator[str]:
    reviewed = found.reviewed
    if reviewed is None:
        return  # the section of suspects says it
    if all(bound.flagged is None for bound in reviewed.bounds):
        yield (
            "Judge more pairs of the random sample before you set any aside, or set aside none:"
            " what was judged does not show that the list is better than chance."
        )
        return
    told = [
        f"the first {bound.flagged:,} if {100 * bound.alpha:.0f} in 100 of them may be good"
        for bound in reviewed.bounds
        if bound.flagged is not None
    ]
    yield (
        f"Decide how many good pairs you can spare, and set aside {', or '.join(told)} (column rank"
        " of suspects/scores.parquet). Keep a list of them."
    )


def _cannot(suspects: Suspects, found: Threshold) -> Iterator[str]:
    if found.reviewed is not None:
        yield (
            f"The sample was drawn among the {suspects.region:,} most suspicious pairs: how many"
            " bad ones are among the others it does not tell."
        )
        yield (
            "Each statement about a threshold holds by itself with its confidence, if the random"
            " sample was judged from its first pair, and its end was not chosen by what it showed."
        )


def _rows(reviewed: Reviewed, pairs: int) -> list[dict[str, str]]:
    """Return some thresholds for the table, evenly apart."""
    steps = reviewed.steps
    every = max(1, -(-len(steps) // ROWS))
    chosen = [*steps[::every][: ROWS - 1], steps[-1]] if steps else []
    return [_row(step, pairs) for step in dict.fromkeys(chosen)]


def _row(step: Step, pairs: int) -> dict[str, str]:
    caught = "none seen" if step.caught is None else f"{100 * step.caught:.0f}%"
    return {
        "flagged": f"{step.flagged:,} ({100 * step.flagged / pairs:.1f}%)",
        "judged": f"{step.bad}/{step.judged}",
        "precision": f"{100 * step.precision:.0f}% ({100 * step.low:.0f} to {100 * step.high:.0f})",
        "caught": f"{caught} ({100 * step.caught_low:.0f} to {100 * step.caught_high:.0f})",
    }


def _unlabelled(one: Unlabelled) -> dict[str, str]:
    caught = "—"
    if one.planted:
        share = Proportion(one.canaries, one.planted)
        caught = f"{share.k}/{share.n} ({100 * share.low:.0f} to {100 * share.high:.0f}%)"
    return {
        "flagged": f"{one.flagged:,} ({100 * one.share:g}%)",
        "canaries": caught,
        "agreement": "—" if one.agreement is None else f"{100 * one.agreement:.0f}%",
    }
