"""A part of the page: what it adds to the summary, its evidence, and what it cannot say."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from clipbench.text.markup import Markup


@dataclass(frozen=True)
class Section:
    """A part of the page.

    Args:
        anchor: of its heading; a word.
        heading: of the evidence.
        said: sentences for the summary, for a person who decides and knows no machine learning;
            numbers in them are those of the evidence.
        evidence: tables, figures (SVG) and pictures (``data:``), without a heading.
        cannot: sentences that say what may not be concluded.
        advice: sentences that say what to do next, where something follows from what was found.
    """

    anchor: str
    heading: str
    said: Sequence[str]
    evidence: Markup
    cannot: Sequence[str] = ()
    advice: Sequence[str] = ()
