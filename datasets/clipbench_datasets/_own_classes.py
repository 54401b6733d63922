"""Classes that captions speak of: their frequent nouns, found without a dictionary.

A word or a pair of words counts as a noun by its place: nouns end what is said of a thing ("a red
**car** with ...", "..., **harbor at** dawn", the last word), adjectives and verbs are followed by
more of it. That is no grammar: whoever knows the classes gives them in a file.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from clipbench.contracts import Classes

TEMPLATES = ("{}", "a photo of a {}", "a picture of the {}")
MOST = 50  # classes that are chosen
LEAST = 20  # captions that must name a class
WIDEST = 0.3  # share of the captions above which a word tells nothing, such as "photo"
NOUN = 0.5  # share of its places that must be a noun's
JOINED = 0.5  # share of a word's places above which it is one with the word before it
_SHORTEST = 3  # letters
_TOKEN = re.compile(r"[^\W\d_]+(?:['\u2019-][^\W\d_]+)*|[^\w\s]")
_WORDS = (
    "a about above across after against all along also am among an and another any are around as at"
    " away back be because been before behind being below beneath beside between beyond both but by"
    " can could did do does down during each either every few for from had has have he her here"
    " hers him his how i if in inside into is it its itself just many may me more most much must my"
    " near next no nor not now of off on once one only onto or other our out outside over own per"
    " same several she should since so some such than that the their them then there these they"
    " this those through till to together toward towards two under until up upon us very via was we"
    " were what when where which while who whom whose why will with within without would yet you"
    " your"
)
_FUNCTION = frozenset(_WORDS.split())  # after such a word another thing is spoken of


class _Seen(NamedTuple):
    """How often a phrase was met, in singular or plural."""

    captions: Counter[str]  # that hold it
    places: Counter[str]
    ends: Counter[str]  # places at which it ends what is said of a thing
    forms: dict[str, set[str]]


def classes_in(captions: Iterable[str], most: int = MOST) -> Classes:
    """Return the classes that captions name most often, the most frequent first.

    Args:
        captions: all of them.
        most: how many classes at most.

    Returns:
        Classes whose aliases are singular and plural; none where captions have no frequent nouns.
    """
    listed = list(captions)
    seen = _count(listed)
    allowed = max(LEAST, int(WIDEST * len(listed)))
    nouns = {
        noun
        for noun, count in seen.captions.items()
        if LEAST <= count <= allowed and seen.ends[noun] >= NOUN * seen.places[noun]
    }
    # "truck" is no class of its own where it is nearly always a "fire truck".
    parts = {
        word
        for noun in nouns
        if " " in noun
        for word in noun.split()
        if seen.places[noun] > JOINED * seen.places[word]
    }
    ranked = sorted(nouns - parts, key=lambda noun: (-seen.captions[noun], noun))
    names = tuple(ranked[:most])
    return Classes(names, TEMPLATES, tuple(tuple(sorted(seen.forms[name])) for name in names))


def classes_of(names: Sequence[str]) -> Classes:
    """Return classes that somebody listed."""
    return Classes(tuple(names), TEMPLATES, tuple((name,) for name in names))


def _count(captions: Iterable[str]) -> _Seen:
    """Count phrases; those that differ by an s at the end are one, the shorter."""
    met = [list(_phrases(caption)) for caption in captions]
    known = {phrase for phrases in met for phrase, _ in phrases}
    singular = {
        phrase: phrase[:-1] if phrase[-1] == "s" and phrase[:-1] in known else phrase
        for phrase in known
    }
    seen = _Seen(Counter(), Counter(), Counter(), {})
    for phrase, name in singular.items():
        seen.forms.setdefault(name, set()).add(phrase)
    for phrases in met:
        seen.captions.update({singular[phrase] for phrase, _ in phrases})
        seen.places.update(singular[phrase] for phrase, _ in phrases)
        seen.ends.update(singular[phrase] for phrase, is_end in phrases if is_end)
    return seen


def _phrases(caption: str) -> Iterator[tuple[str, bool]]:
    """Yield words and pairs of words that may be nouns, and whether nothing more follows."""
    tokens = [*_TOKEN.findall(caption.casefold()), "."]
    before = ""
    for token, after in zip(tokens, tokens[1:], strict=False):
        if not _is_content(token):
            before = ""
            continue
        is_end = not _is_content(after)
        yield token, is_end
        if before:
            yield f"{before} {token}", is_end
        before = token


def _is_content(token: str) -> bool:
    return token[0].isalpha() and len(token) >= _SHORTEST and token not in _FUNCTION
