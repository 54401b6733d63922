"""Success against poisoned pairs per image, a curve per defense."""

from __future__ import annotations

import math
from collections.abc import Sequence

from clipbench.audit.exposure.found import Defended, Trials
from clipbench.audit.exposure.words import told
from clipbench.leaderboard.charts.axes import Axis, percent
from clipbench.leaderboard.charts.chart import LARGE, Chart, Point, Series
from clipbench.leaderboard.charts.looks import Look, looks_of
from clipbench.leaderboard.charts.svg import figure, legend
from clipbench.text.markup import Markup, join

_ROOM, _NAMES = 1.25, 1.8  # factors by which the axis goes beyond the doses, for marks and names
_APART = 1.05  # likewise between defenses, so that whiskers do not hide each other


def success_figure(defended: Sequence[Defended]) -> Markup:
    """Return the figure; of one dose it is a row of marks."""
    doses = [success.poisons for success in defended[0].targeted]
    looks = looks_of(item.defense for item in defended)
    series = [
        _curve(item, looks[item.defense], _APART ** (place - (len(defended) - 1) / 2))
        for place, item in enumerate(defended)
    ]
    across = Axis(
        "poisoned pairs per chosen image",
        min(doses) / _ROOM,
        max(doses) * _NAMES,
        tuple(doses),
        lambda value: f"{value:.0f}",
        math.log,
    )
    title = "How often a chosen image is misread as the attacker wants, with 95% intervals"
    chart = Chart("exposure", title, across, percent("misread (%)"), series, LARGE)
    return join([figure(chart), legend(looks, hollow=False)])


def _curve(item: Defended, look: Look, shift: float) -> Series:
    points = [
        _point(item.defense, success.poisons, success.poisons * shift, success.read)
        for success in item.targeted
    ]
    return Series(look, tuple(points), joined=True)


def _point(defense: str, dose: int, x: float, trials: Trials) -> Point:
    share = trials.share
    return Point(
        x,
        100 * share.value,
        defense,
        f"{defense}, {dose} per image: {told(trials)}",
        upwards=(100 * share.low, 100 * share.high),
    )
