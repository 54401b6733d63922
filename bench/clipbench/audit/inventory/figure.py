"""How many captions have how many words, as a small drawing."""

from __future__ import annotations

from collections.abc import Sequence

from clipbench.text.markup import Markup, tag

_WIDTH, _HEIGHT, _LEFT, _BOTTOM = 300, 120, 4, 18
_EVERY = 5  # words between two numbers


def lengths_figure(lengths: Sequence[int]) -> Markup:
    """Return a column for each number of words.

    Args:
        lengths: pairs with 0, 1, 2, ... words; the last column are those with as many or more.
    """
    largest = max(lengths, default=0) or 1
    step = (_WIDTH - 2 * _LEFT) / len(lengths)
    base = _HEIGHT - _BOTTOM
    columns = [
        tag(
            "rect",
            tag("title", f"{_words(words, lengths)}: {count:,} pairs"),
            class_="column blue",
            x=_LEFT + words * step,
            y=base - (base - 12) * count / largest,
            width=step - 1,
            height=(base - 12) * count / largest,
        )
        for words, count in enumerate(lengths)
        if count
    ]
    ticks = [
        tag(
            "text",
            f"{words}{'+' if words == len(lengths) - 1 else ''}",
            class_="tick middle",
            x=_LEFT + (words + 0.5) * step,
            y=_HEIGHT - 6,
        )
        for words in range(0, len(lengths), _EVERY)
    ]
    return tag(
        "svg",
        tag("title", _in_words(lengths)),
        *columns,
        tag("line", class_="axis", x1=_LEFT, x2=_WIDTH - _LEFT, y1=base, y2=base),
        *ticks,
        tag("text", f"{largest:,} pairs", class_="tick start", x=_LEFT, y=9),
        viewBox=f"0 0 {_WIDTH} {_HEIGHT}",
        role="img",
    )


def _words(words: int, lengths: Sequence[int]) -> str:
    return f"{words} or more words" if words == len(lengths) - 1 else f"{words} words"


def _in_words(lengths: Sequence[int]) -> str:
    """Return what the drawing shows, for who can't see it."""
    parts = [f"{_words(n, lengths)}: {count:,}" for n, count in enumerate(lengths) if count]
    return f"Pairs by words of their caption; {'; '.join(parts)}"
