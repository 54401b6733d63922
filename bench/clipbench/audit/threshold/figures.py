"""Figures of thresholds."""

from __future__ import annotations

from clipbench.audit.threshold.found import Fit, Mixture, Reviewed
from clipbench.leaderboard.charts.axes import linear, percent
from clipbench.leaderboard.charts.chart import Chart, Point, Series
from clipbench.leaderboard.charts.looks import Look, looks_of
from clipbench.leaderboard.charts.svg import figure
from clipbench.text.markup import Markup


def precision_figure(reviewed: Reviewed) -> Markup:
    """Return the share of bad pairs among the flagged, against how many are flagged."""
    look = looks_of(["bad"])["bad"]
    points = tuple(
        Point(
            float(step.flagged),
            100 * step.precision,
            "bad",
            f"{step.flagged:,} flagged: {100 * step.precision:.0f}% bad"
            f" ({100 * step.low:.0f} to {100 * step.high:.0f}%)",
            upwards=(100 * step.low, 100 * step.high),
        )
        for step in reviewed.steps
    )
    across = linear("pairs set aside", [point.x for point in points], zero=True, whole=True)
    title = "Share of bad pairs among those set aside, with exact 95% intervals"
    series = [Series(look, points, joined=True)]
    return figure(Chart("precision", title, across, percent("bad (%)"), series))


def mixture_figure(mixture: Mixture) -> Markup:
    """Return how many pairs SafeCLIP's mixture calls safe, against its threshold."""
    names = {_name(fit): fit for fit in mixture.fits}
    looks = looks_of(names)
    across = linear("threshold of the posterior", mixture.thresholds)
    series = [_curve(fit, name, mixture, looks[name]) for name, fit in names.items()]
    title = "Share of pairs that SafeCLIP's mixture calls safe at first"
    return figure(Chart("mixture", title, across, percent("safe (%)"), series))


def _name(fit: Fit) -> str:
    return f"seed {fit.seed}, {fit.components} parts"


def _curve(fit: Fit, name: str, mixture: Mixture, look: Look) -> Series:
    points = tuple(
        Point(threshold, 100 * safe, name, f"{name}, {threshold:g}: {100 * safe:.0f}% safe")
        for threshold, safe in zip(mixture.thresholds, fit.safe, strict=True)
    )
    return Series(look, points, joined=True)
