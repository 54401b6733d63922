"""Captions as an inventory counts them: their words and their script."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from functools import lru_cache

NO_LETTERS = "no letters"
# Of scripts that put no space between words, each character counts as one.
_UNSPACED = re.compile(
    "[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff\U00020000-\U0003ffff]"
)
_WORDS = re.compile(rf"{_UNSPACED.pattern}|[^\s{_UNSPACED.pattern[1:-1]}]+")
# The first word of a letter's name in Unicode, where that is not the name of its script.
_SCRIPTS = {
    "CJK": "Han",
    "KANGXI": "Han",
    "IDEOGRAPHIC": "Han",
    "FULLWIDTH": "Latin",
    "FEMININE": "Latin",
    "MASCULINE": "Latin",
    "MICRO": "Greek",
    "OHM": "Greek",
    "KELVIN": "Latin",
    "ANGSTROM": "Latin",
    "HALFWIDTH": "Katakana",
    "KATAKANA-HIRAGANA": "Katakana",
}
_NO_SCRIPT = frozenset({"MODIFIER", "MATHEMATICAL", "DOUBLE-STRUCK", "SCRIPT", "BLACK-LETTER"})


def count_words(caption: str) -> int:
    """Return how many words a caption has, by white space.

    Chinese, Japanese, Thai, Lao, Burmese and Khmer put none between words: of them, each character
    counts.
    """
    return len(caption.split() if caption.isascii() else _WORDS.findall(caption))


def script_of(caption: str) -> str:
    """Return the script that most letters of a caption are of, as Unicode names them.

    Japanese mixes three scripts, which count as one.
    """
    if caption.isascii():
        return "Latin" if any(map(str.isalpha, caption)) else NO_LETTERS
    letters = Counter(filter(None, map(_script, filter(str.isalpha, caption))))
    kana = letters.pop("Hiragana", 0) + letters.pop("Katakana", 0)
    if kana:
        letters["Japanese"] = kana + letters.pop("Han", 0)
    return max(letters, key=lambda script: (letters[script], script)) if letters else NO_LETTERS


@lru_cache(1 << 16)
def _script(letter: str) -> str:
    """Return the script of a letter; empty: it has none."""
    name = unicodedata.name(letter, "").partition(" ")[0]
    return "" if name in _NO_SCRIPT else _SCRIPTS.get(name, name.capitalize())
