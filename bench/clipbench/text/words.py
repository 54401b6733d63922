"""Words for people, put together from numbers."""

from __future__ import annotations


def counted(number: int, noun: str, several: str | None = None) -> str:
    """Return how many of something there are: ``1 pair``, ``20,000 pairs``.

    Args:
        number: how many.
        noun: what one of them is called.
        several: what several are, where that is not `noun` with an s.
    """
    return f"{number:,} {noun if number == 1 else several or f'{noun}s'}"


def amount(number: float) -> str:
    """Return a number that may be whole, with no more than two decimals: ``17.5``, ``20,000``."""
    return f"{number:,.2f}".rstrip("0").rstrip(".")
