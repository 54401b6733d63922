"""Numbers and nouns as people write them."""

from __future__ import annotations

import pytest

from clipbench.text.words import amount, counted, listed


@pytest.mark.parametrize(
    ("told", "text"),
    [
        (counted(0, "pair"), "0 pairs"),
        (counted(1, "pair"), "1 pair"),
        (counted(20_000, "pair"), "20,000 pairs"),
        (counted(1, "pass", "passes"), "1 pass"),
        (counted(2, "pass", "passes"), "2 passes"),
    ],
)
def test_a_noun_goes_with_its_number(told: str, text: str) -> None:
    """One of a thing is one thing."""
    assert told == text


@pytest.mark.parametrize(
    ("number", "text"),
    [(3, "3"), (17.5, "17.5"), (20_000, "20,000"), (1 / 3, "0.33")],
)
def test_an_amount_has_no_more_decimals_than_it_needs(number: float, text: str) -> None:
    """And no power of ten."""
    assert amount(number) == text


@pytest.mark.parametrize(
    ("words", "text"),
    [("", ""), ("a", "a"), ("ab", "a and b"), ("abc", "a, b and c"), ("abcd", "a, b, c and d")],
)
def test_words_are_listed_as_a_sentence_has_them(words: str, text: str) -> None:
    """Commas, and an and before the last."""
    assert listed(words) == text
