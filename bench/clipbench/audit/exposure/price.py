"""What the page says of the price of each defense: usefulness, time, pairs set aside."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from clipbench.audit.exposure.found import Defended, Exposure
from clipbench.audit.exposure.words import (
    augmented,
    called,
    percent,
    plain,
    points,
    told,
    trained,
)
from clipbench.audit.section import Section
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
    """

    found: Defended
    times: float | None


def prices(exposure: Exposure) -> list[Price]:
    """Return what each defense costs."""
    base = plain(exposure)
    return [
        Price(item, item.seconds / base.seconds if base is not None and base.seconds else None)
        for item in exposure.defended
    ]


def price_section(exposure: Exposure) -> Section:
    """Return what the page says of what defenses cost."""
    heading = "What each defense costs"
    if exposure.refused:
        said = [f"What defenses cost was not measured: {exposure.refused}"]
        return Section("price", heading, said, Markup(""))
    found = prices(exposure)
    evidence = render(
        _PACKAGE,
        "price.html",
        prices=found,
        pairs=exposure.pairs,
        candidates=exposure.defended[0].useful.to_text.n,
        percent=percent,
        points=points,
    )
    return Section("price", heading, [*_said(exposure, found)], evidence, _CANNOT)


_CANNOT = [
    "Hours of your own training can't be told from here: ratios of time are taken to carry over"
    " from the small model to yours, which holds where a defense does the same passes over the"
    " same pairs; seconds do not carry over.",
    "Usefulness was measured with a small model after a short training; a long training may lose"
    " less to a defense that sets pairs aside, or more.",
]


def _said(exposure: Exposure, found: list[Price]) -> Iterator[str]:
    base, clip = plain(exposure), augmented(exposure)
    for price in found:
        item = price.found
        if item is base and not item.useful.weak:
            yield (
                f"With {trained(item)} the small model reads"
                f" {told(item.useful.read, 'held-out images')} as what their captions name, and"
                f" {told(item.useful.to_text)} find their own caption first."
            )
        if item in (base, clip):
            continue
        if item.useful.weak:
            yield f"What {called(item.defense)} costs in usefulness can't be said here."
        elif clip is not None and item.useful.read_to_clip and item.useful.to_text_to_clip:
            yield (
                f"{trained(item)} changes the share of held-out images read right by"
                f" {points(item.useful.read_to_clip)}, and of those that find their own caption by"
                f" {points(item.useful.to_text_to_clip)}, against {trained(clip)}:"
                f" it reads {told(item.useful.read)} right."
            )
        else:
            yield f"With {trained(item)} {told(item.useful.read)} images are read right."
        if price.times is not None and base is not None:
            yield (
                f"{trained(item)} takes {price.times:.1f} times as long as {trained(base)}: if"
                f" yours takes {_HOURS} hours, expect about {_HOURS * price.times:.0f} with epochs"
                " in the same proportion."
            )
        if item.set_aside:
            yield (
                f"At the end it leaves {item.set_aside:,} of the {exposure.pairs:,} pairs that it"
                f" was trained on aside ({100 * item.set_aside / exposure.pairs:.0f}%); how many is"
                " a setting of the defense."
            )
