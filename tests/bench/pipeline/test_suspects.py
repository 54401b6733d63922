"""The page of suspicious pairs: who is on it, in which order, and that nothing on it acts."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from shard_pairs import caption, picture, write_members

from clipbench.images.encoding import encode_jpeg
from clipbench.pipeline.suspects import LETTERS, write_page
from clipbench.shards.reader import ShardSet

HOSTILE = "</style></p><img src=x onerror=alert(1)>\u202e"


@pytest.fixture
def pairs(tmp_path: Path) -> ShardSet:
    """Four pairs; the caption of the second would act, and that of the third has no end."""
    captions = [caption(0), HOSTILE, "long " * LETTERS, caption(3)]
    members = []
    for number, text in enumerate(captions):
        members.append((f"{number:09d}.jpg", encode_jpeg(picture(number))))
        members.append((f"{number:09d}.txt", text.encode()))
    return ShardSet.open(write_members(tmp_path / "set" / "00000.tar", members).parent)


def test_the_least_trusted_come_first_and_what_was_not_scored_never(
    pairs: ShardSet, tmp_path: Path
) -> None:
    """Each method has its list, of as many as were asked for."""
    scores = {
        "one": np.array([0.5, -1.25, 3.0, 1.0], np.float32),
        "two": np.array([np.nan, np.nan, 0.1, np.nan], np.float32),
    }
    write_page(tmp_path / "page.html", pairs, scores, 3)
    page = (tmp_path / "page.html").read_text()
    one, two = re.findall("<ol>(.*?)</ol>", page, re.DOTALL)
    facts = r'class="facts">([^<]*)</p>'
    assert re.findall(facts, one) == [
        "1. 000000001, score -1.25",
        "2. 000000000, score 0.5",
        "3. 000000003, score 1",
    ]
    assert re.findall(facts, two) == ["1. 000000002, score 0.1"]
    assert f"{('long ' * LETTERS)[:LETTERS]}…</p>" in two
    assert re.findall('href="#(.*?)"', page) == re.findall('<h2 id="(.*?)"', page)


def test_a_caption_cannot_act(pairs: ShardSet, tmp_path: Path) -> None:
    """It is text, its invisible characters are shown, and the policy would stop what slips by."""
    write_page(tmp_path / "page.html", pairs, {HOSTILE: np.arange(4, dtype=np.float32)}, 4)
    page = (tmp_path / "page.html").read_text()
    assert "onerror=alert(1)&gt;\\u202e" in page
    assert len(re.findall("<img ", page)) == 4
    assert all(
        source.startswith("data:image/jpeg;base64,")
        for source in re.findall('<img [^>]*src="([^"]*)"', page)
    )
    assert "unsafe" not in page
    assert "script-src &#39;none&#39;" in page
