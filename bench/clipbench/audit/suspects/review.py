"""A page on which a person judges pairs: one file, without network, that exports labels."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from pathlib import Path

from clipbench.audit.inventory.suppliers import shown_name
from clipbench.audit.suspects.found import Suspect, Suspects
from clipbench.pipeline.suspects import thumbnail
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
    page = render(
        __package__,
        "review.html",
        **head(__package__, style="review.css", script="review.js"),
        title="Review of suspicious pairs",
        scores_sha256=found.scores_sha256,
        region=f"{found.region:,}",
        first=_cards(found.first, pairs),
        random=_cards(found.sampled, pairs),
    )
    with atomic_file(path) as file:
        file.write(page.encode("utf-8", "replace"))


def _cards(suspects: Sequence[Suspect], pairs: ShardSet) -> list[dict[str, object]]:
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
            "csv_shard": csv_cell(one.shard),
            "supplier": shown_name(one.supplier),
            "caption": one.caption,
            "picture": _picture(pairs, one.index, LARGE),
            "reasons": one.reasons,
            "neighbors": [
                {
                    "key": near.key,
                    "caption": near.caption,
                    "picture": _picture(pairs, near.index, SMALL),
                }
                for near in one.neighbors
            ],
        }
        for place, one in enumerate(suspects, 1)
    ]


def _picture(pairs: ShardSet, index: int, side: int) -> str:
    return base64.b64encode(thumbnail(pairs, index, side)).decode()
