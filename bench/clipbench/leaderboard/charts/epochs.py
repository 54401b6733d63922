"""The charts by epoch: which poisons a defense takes for safe, and how success grows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from clipbench.evaluation.statistics import Proportion
from clipbench.leaderboard.charts.axes import linear, percent
from clipbench.leaderboard.charts.by_attack import SUCCESS, Looks, title
from clipbench.leaderboard.charts.chart import Chart, Point, Series
from clipbench.leaderboard.curves import Curve, Panel


def safe_set(key: str, panel: Panel, looks: Looks) -> Chart | None:
    """Return a chart of the poisons in the safe set; None where no defense has one.

    The dashed line is the share of all pairs in the safe set: a split that knew nothing would have
    the two on one line.

    Args:
        key: makes the ids of its elements unique in a page.
        panel: as `curves.panels` returns it.
        looks: how each defense is drawn, by its label.
    """
    curves = [curve for curve in panel.curves if curve.poisons_kept]
    series = [_dashed(curve, looks) for curve in curves if curve.safe_share]
    series += [_kept(curve, looks) for curve in curves]
    return _chart(key, panel, "share in the safe set (%)", series)


def success(key: str, panel: Panel, looks: Looks) -> Chart | None:
    """Return a chart of attack success by epoch; None where that was not measured.

    Args:
        key: makes the ids of its elements unique in a page.
        panel: as `curves.panels` returns it.
        looks: how each defense is drawn, by its label.
    """
    series = [_success(curve, looks) for curve in panel.curves if curve.success]
    return _chart(key, panel, SUCCESS, series)


def _chart(key: str, panel: Panel, what: str, series: Sequence[Series]) -> Chart | None:
    if not series:
        return None
    epochs = [point.x for item in series for point in item.points]
    seeds = max(curve.seeds for curve in panel.curves)
    about = title(panel.attack, panel.rate, panel.count, panel.model, panel.data, seeds)
    return Chart(key, about, linear("epoch", epochs, whole=True), percent(what), series)


def _kept(curve: Curve, looks: Looks) -> Series:
    return _line(curve, looks, curve.poisons_kept, "of the poisons")


def _dashed(curve: Curve, looks: Looks) -> Series:
    return _line(curve, looks, curve.safe_share, "of all pairs", dashed=True)


def _line(
    curve: Curve, looks: Looks, shares: Mapping[int, float], what: str, *, dashed: bool = False
) -> Series:
    points = tuple(
        Point(
            epoch,
            100 * share,
            curve.defense,
            f"{curve.defense}, epoch {epoch}: {100 * share:.1f}% {what}",
        )
        for epoch, share in shares.items()
    )
    return Series(looks[curve.defense], points, joined=True, dashed=dashed)


def _success(curve: Curve, looks: Looks) -> Series:
    points = tuple(
        _measured(curve.defense, epoch, share, curve.bounds[epoch])
        for epoch, share in curve.success.items()
    )
    return Series(looks[curve.defense], points, joined=True)


def _measured(defense: str, epoch: int, share: Proportion, bounds: tuple[float, float]) -> Point:
    low, high = (100 * bound for bound in bounds)
    told = f"{defense}, epoch {epoch}: {100 * share.value:.1f}% [{low:.1f}, {high:.1f}]"
    return Point(epoch, 100 * share.value, defense, told, None, (low, high))
