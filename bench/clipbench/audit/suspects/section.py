"""What the page says of suspects: sentences for the person who decides, and the evidence."""

from __future__ import annotations

from collections.abc import Iterator

from clipbench.audit.inventory.suppliers import shown_name
from clipbench.audit.request import AuditRequest
from clipbench.audit.section import Section
from clipbench.audit.suspects.describe import first_part
from clipbench.audit.suspects.found import SupplierShare, Suspects
from clipbench.evaluation.statistics import Proportion
from clipbench.pipeline.suspects import picture
from clipbench.text.templates import render
from clipbench.text.words import counted

SHOWN = 10  # pairs on the page
_MANY = 0.5  # share of planted pairs that is found where few others fit badly
SUPPLIERS = 6
LONGEST = 120  # characters of a caption on the page
THUMBNAIL = 64  # pixels
SURE = 0.001  # chance below which a supplier stands out, shared among all of the set
MEANING = {
    "similarity": "caption against image, to a model that has seen each pair a few times",
    "neighbors": "caption against the captions of the ten images most like its own",
    "dao": "how far the image lies from the images around it, to a model trained to the end",
    "safeclip": "caption against image, to SafeCLIP's model, which trains on pairs that agree",
}


def suspects_section(request: AuditRequest, found: Suspects) -> Section:
    """Return what the page says of the ranked list."""
    page = render(
        __package__,
        "suspects.html",
        found=found,
        meaning=[(name, MEANING[name]) for name in found.methods],
        seeds=counted(len(found.seeds), "seed"),
        epochs=", ".join(f"{kind} {count}" for kind, count in found.epochs.items()),
        shown=[
            {
                "rank": one.rank,
                "caption": _short(one.caption),
                "key": one.key,
                "supplier": shown_name(one.supplier) if one.supplier else "",
                "why": one.reasons[0],
                "picture": picture(request.usable.shards, one.index, THUMBNAIL),
            }
            for one in found.first[:SHOWN]
        ],
        suppliers=[_row(one) for one in found.suppliers[:SUPPLIERS]],
        first=first_part(found.pairs),
    )
    return Section(
        "suspects", "Which pairs to look at", [*_said(found)], page, [*_cannot()], [*_advice(found)]
    )


def _said(found: Suspects) -> Iterator[str]:
    yield (
        f"All {found.pairs:,} pairs are ranked by how suspicious they are; the first"
        f" {len(found.first)} can be looked at in suspects/review.html."
    )
    yield from found.doubts
    if found.canaries.planted:
        yield _found_canaries(found)
    first = first_part(found.pairs)
    for one in _standing_out(found):
        share = 100 * one.pairs / found.pairs
        yield (
            f"Supplier {shown_name(one.supplier)} delivered {share:.0f}% of the pairs"
            f" and {one.first} of the {first} most suspicious ones: more than chance explains."
        )


def _found_canaries(found: Suspects) -> str:
    """Return how many planted pairs are as suspicious as the first hundredth."""
    flagged = first_part(found.pairs)
    share = Proportion(
        sum(rank <= flagged for rank in found.canaries.ranks), found.canaries.planted
    )
    told = (
        f"As a test, {share.n:,} pairs were planted beside them with the caption of another pair:"
        f" {share.k:,} of these ({100 * share.value:.0f}%, {100 * share.low:.0f} to"
        f" {100 * share.high:.0f}%) are as suspicious as the first {flagged:,}, where chance would"
        f" give {share.n * flagged / found.pairs:.1f}."
    )
    if share.high < _MANY:
        told += (
            " So few are found where the list is poor, or where many of your own pairs fit"
            " as badly."
        )
    return told


def _advice(found: Suspects) -> Iterator[str]:
    yield (
        "Have a person judge the pairs of suspects/review.html, the random sample above all, and"
        " run the audit again with --labels labels.csv: it then says how many pairs to set aside."
    )
    for one in _standing_out(found):
        yield f"Ask supplier {shown_name(one.supplier)} how its captions are made."


def _cannot() -> Iterator[str]:
    yield (
        "Suspicious is not poisoned: rare images and unusual captions look like it, and a person"
        " has to judge."
    )
    yield (
        "The planted test pairs have wrong captions. Bad pairs whose captions fit, and whose images"
        " carry something that was put there, are mostly not found in this way."
    )


def _standing_out(found: Suspects) -> list[SupplierShare]:
    """Return suppliers that have more suspects than chance explains.

    Each supplier of the set might have had too many, also those that have none among the first.
    """
    sure = SURE / found.suppliers_count
    return [one for one in found.suppliers if one.supplier and one.chance < sure][:3]


def _row(one: SupplierShare) -> dict[str, str]:
    return {
        "supplier": shown_name(one.supplier),
        "pairs": f"{one.pairs:,}",
        "first": f"{one.first:,}",
        "expected": f"{one.expected:.1f}",
        "chance": "below 0.0001" if one.chance < 1e-4 else f"{one.chance:.4f}",
    }


def _short(caption: str) -> str:
    return caption if len(caption) <= LONGEST else f"{caption[:LONGEST]}…"
