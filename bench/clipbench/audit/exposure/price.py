"""What the page says of the price of each defense: usefulness, time, pairs set aside."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from clipbench.audit.exposure.found import Defended, Exposure
from clipbench.audit.exposure.plan import ExposurePlan
from clipbench.audit.exposure.words import called, name_of, percent, plain, points, told
from clipbench.audit.section import Section
from clipbench.system.progress import duration
from clipbench.text.markup import Markup
from clipbench.text.templates import render

_PACKAGE = __package__ or ""
_HOURS = 10  # of a training without a defense, as an example


@dataclass(frozen=True)
class Price:
    """What a defense costs.

    Args:
        found: what was measured of it.
        times: seconds of training relative to plain training; None: that was not run.
        whole_s: seconds of one training run on all pairs on this machine.
        aside: pairs of the whole set that it would not match with their captions.
    """

    found: Defended
    times: float | None
    whole_s: float
    aside: int


def prices(plan: ExposurePlan, exposure: Exposure) -> list[Price]:
    """Return what each defense costs."""
    base, scale = plain(exposure), plan.pairs / max(1, plan.size)
    return [
        Price(
            item,
            item.seconds / base.seconds if base is not None and base.seconds else None,
            item.seconds / 3 * scale,
            round(item.set_aside * scale),
        )
        for item in exposure.defended
    ]


def price_section(plan: ExposurePlan, exposure: Exposure) -> Section:
    """Return what the page says of what defenses cost."""
    heading = "What each defense costs"
    if exposure.refused:
        said = [f"What defenses cost was not measured: {exposure.refused}"]
        return Section("price", heading, said, Markup(""))
    found = prices(plan, exposure)
    evidence = render(
        _PACKAGE,
        "price.html",
        plan=plan,
        prices=found,
        candidates=exposure.defended[0].useful.to_text.n,
        percent=percent,
        points=points,
        duration=duration,
    )
    return Section("price", heading, [*_said(plan, found)], evidence, _CANNOT)


_CANNOT = [
    "Hours of your own training can't be told from here: ratios of time are taken to carry over"
    " from the small model to yours, which holds where a defense does the same passes over the"
    " same pairs; seconds do not carry over.",
    "Usefulness was measured with a small model after a short training; a long training may lose"
    " less to a defense that sets pairs aside, or more.",
]


def _said(plan: ExposurePlan, found: list[Price]) -> Iterator[str]:
    for price in found:
        item = price.found
        if name_of(item.defense) == "none" and not item.useful.weak:
            yield (
                f"With {called(item.defense)} the small model reads"
                f" {told(item.useful.read, 'held-out images')} as what their captions name, and"
                f" {told(item.useful.to_text)} find their own caption first."
            )
        if name_of(item.defense) in ("none", "clip"):
            continue
        if item.useful.weak:
            yield f"What {called(item.defense)} costs in usefulness can't be said here."
        elif item.useful.read_to_clip is not None and item.useful.to_text_to_clip is not None:
            yield (
                f"{called(item.defense)} changes the share of held-out images read right by"
                f" {points(item.useful.read_to_clip)}, and of those that find their own caption by"
                f" {points(item.useful.to_text_to_clip)}, against training with the same augmented"
                f" images and captions ({told(item.useful.read)} read right)."
            )
        else:
            yield f"With {called(item.defense)} {told(item.useful.read)} images are read right."
        if price.times is not None:
            yield (
                f"It takes {price.times:.1f} times as long as plain training"
                f" ({item.epochs} epochs here, and {plan.epochs} of plain training): if yours takes"
                f" {_HOURS} hours, expect about {_HOURS * price.times:.0f}."
            )
        if price.aside:
            yield (
                f"At the end it leaves {price.aside:,} of your {plan.pairs:,} pairs aside"
                f" ({100 * price.aside / plan.pairs:.0f}%), most of them sound; how many is"
                " a setting of the defense."
            )
