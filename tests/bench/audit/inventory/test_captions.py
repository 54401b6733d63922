"""Captions as they are counted: words and scripts."""

from __future__ import annotations

import pytest

from clipbench.audit.inventory.captions import count_words, script_of


@pytest.mark.parametrize(
    ("caption", "words"),
    [
        ("a black cat", 3),
        ("  a\tblack\n cat ", 3),
        ("", 0),
        ("café — crème", 3),
        ("黑色的猫", 4),
        ("a 猫 cat", 3),
        ("ねこ cat", 3),
        ("แมว", 3),
        ("고양이 한 마리", 3),
        ("x" * 60_000, 1),
        ("猫" * 20_000, 20_000),
    ],
)
def test_words_are_parted_by_space_where_a_script_has_any(caption: str, words: int) -> None:
    """Of scripts without, each character counts."""
    assert count_words(caption) == words


@pytest.mark.parametrize(
    ("caption", "script"),
    [
        ("a cat", "Latin"),
        ("Łódź, café", "Latin"),
        ("кот", "Cyrillic"),
        ("γάτα", "Greek"),
        ("قطة", "Arabic"),
        ("חתול", "Hebrew"),
        ("猫 cat", "Latin"),
        ("黑色的猫 cat", "Han"),
        ("黒い猫", "Japanese"),
        ("고양이", "Hangul"),
        ("บิลลี่", "Thai"),
        ("बिल्ली", "Devanagari"),
        ("2024 — 🐈", "no letters"),
        ("5", "no letters"),
        ("𝒶𝒷", "no letters"),
        ("", "no letters"),
    ],
)
def test_the_script_of_a_caption_is_that_of_most_of_its_letters(caption: str, script: str) -> None:
    """Digits, signs and pictures are of none."""
    assert script_of(caption) == script
