"""A page with the pairs that look most suspicious: one file, without scripts and network."""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image as Pil

from clipbench.shards.reader import ShardSet
from clipbench.system.durable import atomic_file
from clipbench.text.templates import head, render

THUMBNAIL = 160  # pixels, the longer side
LETTERS = 300  # of a caption that are shown


@dataclass(frozen=True)
class _Pair:
    """A pair as it is shown."""

    key: str
    caption: str
    score: str
    picture: str


@dataclass(frozen=True)
class _Method:
    """What a method trusts least, the least first."""

    name: str
    pairs: Sequence[_Pair]


def write_page(
    path: Path, pairs: ShardSet, scores: Mapping[str, npt.NDArray[np.float32]], shown: int
) -> None:
    """Write the pairs of lowest score of each method, with picture and caption.

    Args:
        path: the HTML file.
        pairs: the set.
        scores: by method, a score of each pair; NaN: not scored.
        shown: pairs for each method.
    """
    methods = [_method(pairs, name, values, shown) for name, values in scores.items()]
    page = render(
        __package__,
        "suspects.html",
        **head(__package__, style="suspects.css"),
        title="Suspicious pairs",
        total=f"{len(pairs):,}",
        methods=methods,
    )
    with atomic_file(path) as file:
        file.write(page.encode("utf-8", "replace"))


def _method(pairs: ShardSet, name: str, values: npt.NDArray[np.float32], shown: int) -> _Method:
    order = np.argsort(values, kind="stable")  # what was not scored comes last
    lowest = [index for index in order[:shown].tolist() if not np.isnan(values[index])]
    return _Method(name, [_pair(pairs, index, float(values[index])) for index in lowest])


def _pair(pairs: ShardSet, index: int, score: float) -> _Pair:
    caption = pairs.caption(index)
    return _Pair(
        key=pairs.key(index),
        caption=caption if len(caption) <= LETTERS else f"{caption[:LETTERS]}…",
        score=f"{score:.4g}",
        picture=picture(pairs, index, THUMBNAIL),
    )


def picture(pairs: ShardSet, index: int, side: int) -> str:
    """Return `thumbnail` in Base64, as a page holds it."""
    return base64.b64encode(thumbnail(pairs, index, side)).decode()


def thumbnail(pairs: ShardSet, index: int, side: int) -> bytes:
    """Return a pair's picture as a small JPEG, made again: no byte of the file is passed on.

    Args:
        pairs: the set.
        index: number of the pair.
        side: pixels, the longer side.
    """
    small = Pil.fromarray(pairs.image(index))
    small.thumbnail((side, side))
    memory = io.BytesIO()
    small.save(memory, "JPEG", quality=90)
    return memory.getvalue()
