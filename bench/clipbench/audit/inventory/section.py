"""What the page says of the inventory: sentences for the person who decides, and the evidence."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from clipbench.audit.inventory.figure import lengths_figure
from clipbench.audit.inventory.model import MANY, Burst, Inventory, Spread, Supplier
from clipbench.audit.inventory.suppliers import shown_name
from clipbench.audit.section import Section
from clipbench.text.markup import Markup
from clipbench.text.templates import render
from clipbench.text.visible import visible
from clipbench.text.words import counted

_PACKAGE = __package__ or ""
_BY = {
    "field": "the field of the JSON that was named",
    "host": "the host of the URL in the JSON",
    "folder": "the folder of the shard",
    "none": "nothing: the set does not say",
}
_SUPPLIERS, _EACH = 8, 4  # rows of tables on the page
_FEW = 3  # pairs of one image or caption that are worth a sentence
_SHORT = 70  # characters of a caption
_OTHERS = 6  # scripts and reasons that are named one by one


def section(inventory: Inventory) -> Section:
    """Return what the page says of the pairs that there are."""
    return Section(
        "inventory",
        "What is in the data",
        [*_said(inventory)],
        _evidence(inventory),
        [*_cannot(inventory)],
        [*_advice(inventory)],
    )


def _said(inventory: Inventory) -> Iterator[str]:
    pairs = inventory.pairs
    files = counted(inventory.shards, "file")
    yield f"{counted(pairs, 'pair')} of image and caption in {files} can be used."
    if inventory.left_out:
        missing = sum(inventory.left_out.values())
        reason = max(inventory.left_out, key=lambda name: inventory.left_out[name])
        yield (
            f"{_share(missing, pairs + missing)} more can't be used and are left out; the most"
            f" frequent reason: {reason} ({inventory.left_out[reason]:,})."
        )
    yield _copies(inventory)
    yield from _bursts(inventory)
    yield from _suppliers(inventory)


def _copies(inventory: Inventory) -> str:
    if not inventory.alike.pairs:
        return "No image comes twice, to the byte or to the eye."
    exact, all_ = inventory.exact.pairs, inventory.alike.pairs
    how = f"{exact:,} of them to the byte, {all_ - exact:,} to the eye alone"
    if exact in {0, all_}:
        how = "to the byte" if exact else "to the eye, though no two files are the same"
    return f"{_share(all_, inventory.pairs)} have an image that another pair has, too, {how}."


def _bursts(inventory: Inventory) -> Iterator[str]:
    """Say which image and which caption come most often, where that is more than by chance."""
    most = max(inventory.contested, key=lambda one: one.captions, default=None)
    if most is not None and most.captions >= _FEW:
        where = counted(most.pairs, "pair")
        one_image = "One image comes" if most.files == 1 else "Images that look the same come"
        yield (
            f"{inventory.many:,} images come with {MANY} or more different captions each; one of"
            f" them has {most.captions:,} captions in {where}."
            if inventory.many > 1
            else f"{one_image} with {most.captions:,} different captions (in {where})."
        )
    one = inventory.repeats[0] if inventory.repeats else None
    if one is not None and one.pairs >= max(_FEW, inventory.pairs / 1_000):
        images = "one image" if one.images == 1 else f"{one.images:,} different images"
        yield (
            f"The most frequent caption, “{short(one.caption)}”, is that of"
            f" {_share(one.pairs, inventory.pairs)}, with {images}."
        )


def _suppliers(inventory: Inventory) -> Iterator[str]:
    """Say who delivers most, where that is known."""
    if inventory.suppliers_by == "none":
        yield "Nothing in the data says who delivered which pair."
        return
    named = [one for one in inventory.suppliers if one.name]
    by = _BY[inventory.suppliers_by]
    count = inventory.suppliers_count - bool(inventory.unnamed)
    if count == 1:
        yield f"{_share(named[0].pairs, inventory.pairs)} come from {_name(named[0])}, by {by}."
    else:
        yield (
            f"Pairs come from {count:,} suppliers, told apart by {by}; {_name(named[0])} delivers"
            f" most: {_share(named[0].pairs, inventory.pairs)}."
        )
    if inventory.unnamed:
        yield f"No supplier is named for {_share(inventory.unnamed, inventory.pairs)}."
    if inventory.alike.shared:
        yield f"More than one supplier delivers {counted(inventory.alike.shared, 'image')}."


def _cannot(inventory: Inventory) -> Iterator[str]:
    yield (
        "Copies of an image that were cropped, mirrored, recolored or drawn over count as other"
        " images; drawings that differ in a detail may count as the same."
    )
    yield "An image or a caption that comes often is no proof of an attack: shops repeat both."
    if inventory.suppliers_by in ("host", "field"):
        yield "Who delivered a pair is what the data itself says, and whoever made it could lie."


def _advice(inventory: Inventory) -> Iterator[str]:
    pairs = inventory.pairs
    if inventory.many:
        yield (
            "Look at the images that come with many captions (inventory/copies.csv) before you"
            " train: an attacker who wants one image misread repeats it under many captions."
        )
    if inventory.repeats and inventory.repeats[0].pairs * 2 >= pairs > 1:
        yield (
            "Half of the pairs or more have one caption; from these a model learns next to"
            " nothing. Check how captions were made."
        )
    extra = inventory.alike.pairs - inventory.alike.groups
    if extra * 20 >= pairs:
        yield (
            f"Keep one pair of each image: {_share(extra, pairs)} are further copies, which cost"
            " training time and give whoever repeats an image more weight."
        )
    missing = sum(inventory.left_out.values())
    if missing * 100 >= pairs + missing:
        yield (
            "Have the pairs that can't be used delivered again (inventory/left_out.jsonl names"
            " them, with the reason of each)."
        )
    if inventory.suppliers_by == "none":
        yield (
            "Have deliveries say who they come from, in a field of the JSON (--supplier FIELD) or"
            " by a folder per supplier: then a bad supplier can be told from the others."
        )


# ---------------------------------------------------------------------------- evidence


class _Row(NamedTuple):
    """A supplier in the table."""

    name: str
    cells: Sequence[str]


def _evidence(inventory: Inventory) -> Markup:
    return render(
        _PACKAGE,
        "inventory.html",
        facts=[*_facts(inventory)],
        figure=lengths_figure(inventory.lengths),
        by=_BY[inventory.suppliers_by],
        suppliers=[*_rows(inventory)],
        bursts=_listed(inventory),
        repeats=inventory.repeats[:_EACH],
        several=inventory.suppliers_count > 1,
        left_out=bool(inventory.left_out),
        short=short,
        counted=counted,
    )


def _facts(inventory: Inventory) -> Iterator[tuple[str, str]]:
    pairs = inventory.pairs
    yield "pairs that can be used", f"{pairs:,}"
    yield "pairs that can't", _tally(inventory.left_out) or "0"
    yield "images", f"{_tally(inventory.extensions)}; {_size(inventory.image_bytes)}"
    yield "shorter side, pixels", _spread(inventory.sides)
    yield "exact copies", _found(inventory.exact.groups, inventory.exact.pairs, "image")
    yield "look the same", _found(inventory.alike.groups, inventory.alike.pairs, "image")
    yield "words of a caption", _spread(inventory.words)
    yield "different captions", f"{inventory.captions:,}"
    yield (
        "repeated captions",
        _found(inventory.repeated.groups, inventory.repeated.pairs, "caption"),
    )
    yield "scripts of captions", _tally(inventory.scripts)


def _rows(inventory: Inventory) -> Iterator[_Row]:
    shown = inventory.suppliers[:_SUPPLIERS]
    for one in shown:
        counts = one.alike, one.shared, one.repeated
        yield _Row(_name(one), [f"{one.pairs:,}", *(_percent(k, one.pairs) for k in counts)])
    others = inventory.suppliers_count - len(shown)
    if others:
        rest = inventory.pairs - sum(one.pairs for one in shown)
        yield _Row(f"{others:,} others", [f"{rest:,}", "", "", ""])


def _listed(inventory: Inventory) -> list[Burst]:
    """Return the images that most pairs have, and those with most captions, each once."""
    both = [*inventory.bursts[:_EACH], *inventory.contested[:_EACH]]
    return [*{(one.shard, one.key): one for one in both}.values()]


def short(caption: str) -> str:
    """Return the beginning of a caption, on one line."""
    text = visible(caption)
    return text if len(text) <= _SHORT else f"{text[: _SHORT - 1]}…"


def _name(supplier: Supplier) -> str:
    return shown_name(supplier.name)


def _found(groups: int, pairs: int, noun: str) -> str:
    return f"{counted(groups, noun)} in {counted(pairs, 'pair')}" if groups else "none"


def _tally(counts: Mapping[str, int]) -> str:
    """Return counts by name, the largest first: ``Latin 5,990, Han 10``."""
    ordered = sorted(counts.items(), key=lambda item: -item[1])
    parts = [f"{visible(name)} {count:,}" for name, count in ordered[:_OTHERS]]
    rest = sum(count for _, count in ordered[_OTHERS:])
    return ", ".join([*parts, *([f"others {rest:,}"] if rest else [])])


def _spread(spread: Spread) -> str:
    if spread.least == spread.most:
        return f"all {spread.most:,}"
    return (
        f"{spread.middle:,} in the middle, nine tenths {spread.low:,} to {spread.high:,},"
        f" all {spread.least:,} to {spread.most:,}"
    )


def _share(k: int, n: int) -> str:
    return f"{counted(k, 'pair')} ({_percent(k, n)})"


def _percent(k: int, n: int) -> str:
    share = 100 * k / n if n else 0.0
    if 0 < share < 0.1:
        return "under 0.1%"
    return "over 99.9%" if 99.9 < share < 100 else f"{share:.1f}%".replace(".0%", "%")


def _size(size: int) -> str:
    """Return bytes in words."""
    for unit, factor in (("TB", 10**12), ("GB", 10**9), ("MB", 10**6)):
        if size >= factor:
            return f"{size / factor:.1f} {unit}"
    return f"{size / 1000:.0f} kB"
