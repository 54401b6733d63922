"""Text of strangers, made fit for a terminal, a table or a page."""

from __future__ import annotations

import unicodedata


def visible(text: str) -> str:
    r"""Return `text` on one line, with control and invisible characters written out as ``\x..``.

    They would break rows apart, drive a terminal, or make two different names look the same.
    """
    return "".join(
        character.encode("unicode_escape").decode()
        if unicodedata.category(character)[0] == "C" or character in "\u2028\u2029"
        else character
        for character in text
    )
