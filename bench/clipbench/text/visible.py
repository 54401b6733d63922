"""Text of strangers, made fit for a terminal, a table or a page."""

from __future__ import annotations

import json
import re
import unicodedata

# Blank, control, format and combining characters; what is not assigned may be new, and visible.
_UNSEEN = frozenset({"Zs", "Zl", "Zp", "Cc", "Cf", "Mn", "Me"})
# Letters and symbols that are drawn as nothing: Hangul fillers, the empty Braille pattern, and the
# head of a note that has none.
_BLANK = frozenset("\u115f\u1160\u3164\uffa0\u2800\U0001d159")
# These, and marks that nothing shows: two names that differ by them look the same.
_HIDDEN = re.compile(
    f"[{''.join(sorted(_BLANK))}\u034f\u17b4\u17b5\u180b-\u180d\u180f\ufe00-\ufe0f\U000e0100-\U000e01ef]"
)

# What a name may hold that nobody takes for another, or for a name with parameters behind it.
_PLAIN_NAME = re.compile(r"[A-Za-z0-9_./~@][A-Za-z0-9_./~@:+-]*")

_HALVES = re.compile("[\ud800-\udc7f\udd00-\udfff]")  # of surrogates that stand for no byte


def has_visible(text: str) -> bool:
    """Return whether any character of `text` is seen by itself.

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
    r"""Return a name for a table or a page: what of it is no UTF-8 is written out.

    Bytes of the name of a file are shown as ``\xe9``, other halves of a pair of surrogates, which
    JSON can hold, as ``\ud800``.
    """
    if text.isascii():
        return text
    try:
        text.encode()
    except UnicodeEncodeError:
        whole = _HALVES.sub(lambda half: f"\\u{ord(half[0]):04x}", text)
        return whole.encode(errors="surrogateescape").decode(errors="backslashreplace")
    return text


def visible(text: str) -> str:
    r"""Return `text` on one line, with control and invisible characters written out as ``\x..``.

    They would break rows apart, drive a terminal, or make two different names look the same. What
    is visible stays as it is, so that doing it twice changes nothing.
    """
    if text.isprintable() and not _HIDDEN.search(text):
        return text
    return "".join(
        character.encode("unicode_escape").decode() if _is_unsafe(character) else character
        for character in text
    )


def _is_unsafe(character: str) -> bool:
    return (
        unicodedata.category(character)[0] == "C"
        or character in "\u2028\u2029"
        or _HIDDEN.match(character) is not None
    )


def unmistakable(name: str) -> str:
    r"""Return a name so that no other name looks the same beside it.

    A plain name, of ASCII letters, digits and ``_./~@:+-``, stays as it is. Any other is put in
    quotes, with the characters written out that may pass for others: Cyrillic letters for Latin
    ones, a no-break space for a space. So `none` with a Cyrillic *o* is ``"n\u043ene"``, and a name
    that spells out parameters, ``"clip (epochs=9)"``, is none with parameters.
    """
    return name if _PLAIN_NAME.fullmatch(name) else quoted(name)


def quoted(text: str) -> str:
    """Return a text in quotes, as JSON has it, without a character that may pass for another.

    Chinese, Japanese and Korean letters stay, and Western European ones with accents: none of them
    looks like a letter of ASCII.
    """
    kept = (char if _is_distinct(char) else json.dumps(char)[1:-1] for char in text)
    return f'"{"".join(kept)}"'


def _is_distinct(char: str) -> bool:
    if "\u00c0" <= char <= "\u00ff":
        return char.isalpha()
    is_wide = unicodedata.east_asian_width(char) == "W" and unicodedata.category(char) == "Lo"
    return is_wide and char not in _BLANK and unicodedata.is_normalized("NFKC", char)
