"""Words for people, put together from numbers, and words of people, each in one form."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable


def counted(number: int, noun: str, several: str | None = None) -> str:
    """Return how many of something there are: ``1 pair``, ``20,000 pairs``.

    Args:
        number: how many.
        noun: what one of them is called.
        several: what several are, where that is not `noun` with an s.
    """
    return f"{number:,} {noun if number == 1 else several or f'{noun}s'}"


def listed(words: Iterable[str]) -> str:
    """Return words as a sentence has them: ``a``, ``a and b``, ``a, b and c``; of none, nothing."""
    *first, last = [*words] or [""]
    return f"{', '.join(first)} and {last}" if first else last


def amount(number: float) -> str:
    """Return a number that may be whole, with no more than two decimals: ``17.5``, ``20,000``."""
    return f"{number:,.2f}".rstrip("0").rstrip(".")


def composed(text: str) -> str:
    """Return a text in Unicode's composed form (NFC), as CLIP's tokenizer reads it.

    A letter with an accent is one character or two, as on file systems of Apple; to people, and to
    a model, it is the same.
    """
    return text if text.isascii() else unicodedata.normalize("NFC", text)
