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
from clipbench.text.words import composed

from ._own_labels import labels_of

TEMPLATES = ("{}", "a photo of a {}", "a picture of the {}")
MOST = 50  # classes that are chosen
LEAST = 20  # captions that must name a class
WIDEST = 0.3  # share of the captions above which a word tells nothing, such as "photo"
NOUN = 0.5  # share of its places that must be a noun's
JOINED = 0.5  # share of a word's places above which it is one with the word before it
SUBJECT = 0.5  # share of the captions naming a class that must name it first, where that counts
LED = 0.2  # share of its places at which an article must lead to a subject, where captions have any
_ROUNDS = 10  # of leaving out what is seldom a subject; few are needed
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
_LEADING = "a an the this that these those some two his her its our their your"
_SHOWING = (  # words for the picture, of which captions speak first and mean what it shows
    "art artwork clipart drawing icon illustration image logo painting photo photograph picture"
    " portrait render sketch stock vector view wallpaper"
)
_ARTICLES, _PICTURES = frozenset(_LEADING.split()), frozenset(_SHOWING.split())


class _Seen(NamedTuple):
    """How often a phrase was met, in singular or plural."""

    captions: Counter[str]  # that hold it
    places: Counter[str]
    ends: Counter[str]  # places at which it ends what is said of a thing
    led: Counter[str]  # places at which an article leads to it
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
    nouns = _nouns(seen, len(listed))
    return _as_classes(sorted(nouns, key=lambda noun: (-seen.captions[noun], noun))[:most], seen)


def subjects_in(captions: Iterable[str], most: int = MOST) -> Classes:
    """Return the classes that captions name first most often, the most frequent first.

    In "a heart on a wall" that is the heart. What captions rarely name first is no class, nor what
    no article leads to where captions have articles, such as "see" in "you see a heart", nor a word
    for the picture itself.

    Args:
        captions: all of them.
        most: how many classes at most.

    Returns:
        See `classes_in`.
    """
    listed = list(captions)
    seen = _count(listed)
    named = {noun for noun in _nouns(seen, len(listed)) if not _PICTURES & {*noun.split()}}
    if sum(seen.led.values()) > LED * sum(seen.places.values()):
        named = {noun for noun in named if seen.led[noun] >= LED * seen.places[noun]}
    named -= {noun for noun in named if " " in noun and noun.split()[-1] in named}  # a kind of it
    first: Counter[str] = Counter()
    for _ in range(_ROUNDS):
        ranked = sorted(named, key=lambda noun: (-seen.captions[noun], noun))
        labels = labels_of(listed, _as_classes(ranked, seen), first=True)
        first = Counter(ranked[label] for label in labels[labels >= 0].tolist())
        seldom = {noun for noun in named if first[noun] < SUBJECT * seen.captions[noun]}
        # Only then is it seen how often the others come first.
        seldom = seldom or {noun for noun in named if first[noun] < LEAST}
        if not seldom:
            break
        named -= seldom
    return _as_classes(sorted(named, key=lambda noun: (-first[noun], noun))[:most], seen)


def _nouns(seen: _Seen, captions: int) -> set[str]:
    """Return the nouns that neither too few nor too many captions hold."""
    allowed = max(LEAST, int(WIDEST * captions))
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
    return nouns - parts


def _as_classes(names: Sequence[str], seen: _Seen) -> Classes:
    forms = tuple(tuple(sorted(seen.forms[name])) for name in names)
    return Classes(tuple(names), TEMPLATES, forms)


def classes_of(names: Sequence[str]) -> Classes:
    """Return classes that somebody listed.

    Those that differ in white space or capital letters alone are one, the first: a caption does not
    tell which of them it names, nor does a model, which would be wrong about half of them.
    """
    listed: dict[str, str] = {}
    for name in names:
        plain = " ".join(composed(name).split())
        listed.setdefault(plain.casefold(), plain)
    found = tuple(listed.values())
    return Classes(found, TEMPLATES, tuple((name,) for name in found))


def _count(captions: Iterable[str]) -> _Seen:
    """Count phrases; those that differ by an s at the end are one, the shorter."""
    met = [list(_phrases(caption)) for caption in captions]
    known = {phrase for phrases in met for phrase, _, _ in phrases}
    singular = {
        phrase: phrase[:-1] if phrase[-1] == "s" and phrase[:-1] in known else phrase
        for phrase in known
    }
    seen = _Seen(Counter(), Counter(), Counter(), Counter(), {})
    for phrase, name in singular.items():
        seen.forms.setdefault(name, set()).add(phrase)
    for phrases in met:
        seen.captions.update({singular[phrase] for phrase, _, _ in phrases})
        seen.places.update(singular[phrase] for phrase, _, _ in phrases)
        seen.ends.update(singular[phrase] for phrase, is_end, _ in phrases if is_end)
        seen.led.update(singular[phrase] for phrase, _, is_led in phrases if is_led)
    return seen


def _phrases(caption: str) -> Iterator[tuple[str, bool, bool]]:
    """Yield words and pairs of words that may be nouns.

    With each, whether nothing more follows, and whether an article leads to it.
    """
    tokens = [*_TOKEN.findall(composed(caption).casefold()), "."]
    before, is_led = "", False
    for token, after in zip(tokens, tokens[1:], strict=False):
        if not _is_content(token):
            before, is_led = "", token in _ARTICLES
            continue
        is_end = not _is_content(after)
        yield token, is_end, is_led
        if before:
            yield f"{before} {token}", is_end, is_led
        before = token


def _is_content(token: str) -> bool:
    return token[0].isalpha() and len(token) >= _SHORTEST and token not in _FUNCTION
