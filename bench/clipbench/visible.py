"""Text of strangers, made fit for a terminal, a table or a page."""

from __future__ import annotations

import unicodedata

# Blank, control, format and combining characters; what is not assigned may be new, and visible.
_UNSEEN = frozenset({"Zs", "Zl", "Zp", "Cc", "Cf", "Mn", "Me"})
# Letters and symbols that are drawn as nothing: Hangul fillers, the empty Braille pattern, and the
# head of a note that has none.
_BLANK = frozenset("\u115f\u1160\u3164\uffa0\u2800\U0001d159")


def has_visible(text: str) -> bool:
    """Tell whether any character of `text` is seen by itself.

    White space, control and format characters (zero-width ones, marks of direction, tags),
    combining marks without a letter to stand on, and letters that are drawn blank are not.
    """
    return any(
        character not in _BLANK and unicodedata.category(character) not in _UNSEEN
        for character in text
    )


def hashable(text: str) -> bytes:
    r"""Return the bytes of a text for a hash, be it the name of a file that is no UTF-8.

    Python stands ``\udc80`` to ``\udcff`` for the bytes of such a name, which no codec takes.
    """
    return text.encode(errors="surrogatepass")


def escaped(text: str) -> str:
    r"""Return a name for a table or a page: bytes of it that are no UTF-8 as ``\xe9``."""
    if text.isascii():
        return text
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode(errors="surrogateescape").decode(errors="backslashreplace")
    return text


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
