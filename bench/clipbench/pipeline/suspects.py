"""A page with the pairs that look most suspicious: one file, without scripts and network."""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image as Pil

from clipbench.shards.reader import ShardSet
from clipbench.system.durable import atomic_file
from clipbench.text.sinks import html

THUMBNAIL = 160  # pixels, the longer side
LETTERS = 300  # of a caption that are shown

_HEAD = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy"
 content="default-src 'none'; img-src data:; style-src 'unsafe-inline'">
<title>Suspicious pairs</title>
<style>
:root { color-scheme: light dark; font: 15px/1.4 system-ui, sans-serif; }
body { margin: 0 auto; max-width: 76rem; padding: 1rem; }
nav a { margin-right: 1rem; }
ol { display: grid; gap: 1rem; list-style: none; padding: 0;
     grid-template-columns: repeat(auto-fill, minmax(11rem, 1fr)); }
li { border: 1px solid #8886; border-radius: .4rem; padding: .6rem; overflow-wrap: anywhere; }
img { display: block; height: 8rem; margin: 0 auto .5rem; max-width: 100%; object-fit: contain;
      image-rendering: pixelated; }
p { margin: .2rem 0; }
.facts { color: GrayText; font-size: .85em; }
</style>
</head>
<body>
<h1>Suspicious pairs</h1>
"""


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
    parts = [_HEAD]
    links = " ".join(f'<a href="#m{number}">{html(name)}</a>' for number, name in enumerate(scores))
    parts.append(
        f"<p>Of {len(pairs):,} pairs, those that each method trusts least. Suspicious is not"
        f" poisoned: rare pictures look like it, too.</p>\n<nav>{links}</nav>\n"
    )
    for number, (name, values) in enumerate(scores.items()):
        order = np.argsort(values, kind="stable")  # what was not scored comes last
        lowest = [index for index in order[:shown].tolist() if not np.isnan(values[index])]
        parts.append(f'<h2 id="m{number}">{html(name)}</h2>\n<ol>\n')
        parts += [_pair(pairs, index, rank, values) for rank, index in enumerate(lowest, 1)]
        parts.append("</ol>\n")
    parts.append("</body>\n</html>\n")
    with atomic_file(path) as file:
        file.write("".join(parts).encode("utf-8", "replace"))


def _pair(pairs: ShardSet, index: int, rank: int, values: npt.NDArray[np.float32]) -> str:
    caption = pairs.caption(index)
    text = caption if len(caption) <= LETTERS else f"{caption[:LETTERS]}…"
    source = base64.b64encode(_thumbnail(pairs, index)).decode()
    return (
        f'<li><img alt="" src="data:image/jpeg;base64,{source}"><p>{html(text)}</p>'
        f'<p class="facts">{rank}. {html(pairs.key(index))}, score'
        f" {float(values[index]):.4g}</p></li>\n"
    )


def _thumbnail(pairs: ShardSet, index: int) -> bytes:
    """Return a pair's picture as a small JPEG, made anew: no byte of the file is passed on."""
    picture = Pil.fromarray(pairs.image(index))
    picture.thumbnail((THUMBNAIL, THUMBNAIL))
    memory = io.BytesIO()
    picture.save(memory, "JPEG", quality=90)
    return memory.getvalue()
