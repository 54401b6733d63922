"""The page of an audit: a summary for who decides, then evidence, then how to repeat it."""

import re
from dataclasses import replace
from html import unescape

from clipbench.audit.page.document import Cover, page_of
from clipbench.audit.section import Section
from clipbench.text.markup import tag

COVER = Cover(
    title="Audit of pairs",
    tried=["4,000 pairs were looked at."],
    facts=[("pairs", "0123")],
    commands=[("Again", "clipbench audit --data pairs")],
    files=[("suspects/suspects.csv", "what to look at")],
)
EXPOSURE = Section(
    anchor="exposure",
    heading="What an attacker gains",
    said=["14 of 16 images were misread."],
    evidence=tag("table", tag("tr", tag("td", "14/16"))),
    cannot=["Other attacks were not tried."],
    advice=["Train with safeclip."],
)


def words_of(page: str) -> str:
    body = page.partition("<body>")[2].replace("<wbr>", "")
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", body))


def test_the_summary_comes_before_the_evidence() -> None:
    """What was tried, what was found, what to do, what cannot be said; then tables."""
    words = words_of(page_of(COVER, [EXPOSURE]))
    order = [
        "4,000 pairs were looked at.",
        "14 of 16 images were misread.",
        "Train with safeclip.",
        "Other attacks were not tried.",
        "14/16",
        "clipbench audit --data pairs",
        "suspects/suspects.csv",
        "0123",
    ]
    places = [words.index(part) for part in order]
    assert places == sorted(places)


def test_a_part_that_found_nothing_to_say_is_not_in_the_summary() -> None:
    """Its evidence is there all the same."""
    page = page_of(COVER, [replace(EXPOSURE, said=[], cannot=[], advice=[])])
    assert "<dt>" not in page
    assert "What to do next" not in page
    assert "What this cannot say" not in page
    assert "14/16" in page


def test_texts_of_strangers_are_escaped() -> None:
    """Suppliers and captions come out of the shards."""
    bad = "<script>alert(1)</script>"
    page = page_of(
        replace(COVER, title=bad, tried=[bad], facts=[(bad, bad)], files=[(bad, bad)]),
        [replace(EXPOSURE, heading=bad, said=[bad], cannot=[bad], advice=[bad])],
    )
    assert "<script" not in page


def test_the_page_loads_and_runs_nothing() -> None:
    """Its policy allows its own style sheet, and pictures inside it."""
    page = page_of(COVER, [EXPOSURE])
    assert "default-src 'none'; script-src 'none';" in unescape(page)
    assert not re.search(r"\s(style|on\w+)=", page)


def test_links_in_the_page_lead_somewhere() -> None:
    """Every part has its heading."""
    page = page_of(COVER, [EXPOSURE])
    assert set(re.findall(r'href="#([^"]+)"', page)) <= set(re.findall(r'id="([^"]+)"', page))
