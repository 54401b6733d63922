"""A page on which a person judges pairs: one file, without network, that exports labels."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache, partial
from pathlib import Path

from clipbench.audit.inventory.suppliers import shown_name
from clipbench.audit.suspects.found import Suspect, Suspects
from clipbench.pipeline.suspects import picture
from clipbench.shards.reader import ShardSet
from clipbench.system.durable import atomic_file
from clipbench.text.sinks import csv_cell
from clipbench.text.templates import head, render

LARGE, SMALL = 320, 96  # pixels, the longer side


def write_review(path: Path, found: Suspects, pairs: ShardSet) -> None:
    """Write the page of the first suspects and of those drawn at random.

    Args:
        path: the HTML file.
        found: both lists.
        pairs: of the audit.
    """
    # A pair may be in both lists, and beside several others: it is decoded once for each size.
    picture_of = cache(partial(picture, pairs))
    page = render(
        __package__,
        "review.html",
        **head(__package__, style="review.css", script="review.js"),
        title="Review of suspicious pairs",
        review_sha256=found.review_sha256,
        region=f"{found.region:,}",
        first=_cards(found.first, picture_of),
        random=_cards(found.sampled, picture_of),
    )
    with atomic_file(path) as file:
        file.write(page.encode("utf-8", "replace"))


def _cards(
    suspects: Sequence[Suspect], picture_of: Callable[[int, int], str]
) -> list[dict[str, object]]:
    """Return what the template shows of each pair."""
    return [
        {
            "place": place,
            "of": len(suspects),
            "index": one.index,
            "rank": f"{one.rank:,}",
            "key": one.key,
            "csv_key": csv_cell(one.key),
            "shard": one.shard,
            "supplier": shown_name(one.supplier),
            "caption": one.caption,
            "picture": picture_of(one.index, LARGE),
            "reasons": one.reasons,
            "neighbors": [
                {
                    "key": near.key,
                    "caption": near.caption,
                    "picture": picture_of(near.index, SMALL),
                }
                for near in one.neighbors
            ],
        }
        for place, one in enumerate(suspects, 1)
    ]
