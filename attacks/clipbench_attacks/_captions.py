"""Captions that name a class: found in the corpus, or made from prompt templates."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import cycle, islice
from typing import Literal

import numpy as np

from clipbench.contracts import Classes, Corpus
from clipbench.errors import BadSetting
from clipbench.text.words import composed
from clipbench_attacks._corpora import read_captions

Match = Literal["word", "substring"]

_CHUNK = 1024  # captions read at once; small, for most searches end within a few thousand


@dataclass(frozen=True)
class Naming:
    """Finds phrases in captions, however Unicode composes their letters.

    Args:
        pattern: of the phrases.
    """

    pattern: re.Pattern[str]

    def search(self, caption: str) -> re.Match[str] | None:
        """Return where a caption names one of the phrases; None: nowhere."""
        return self.pattern.search(composed(caption))


def naming_pattern(phrases: Iterable[str], match: Match = "word") -> Naming:
    """Return a case-insensitive pattern that finds any of the phrases.

    Args:
        phrases: words or phrases; a space in one stands for any white space.
        match: ``"word"`` finds whole words alone, so that 'suit' is not found in 'suitcase';
            ``"substring"`` finds the phrase anywhere.

    Raises:
        BadSetting: there is no phrase, or an empty one, which any caption would match.
    """
    longest_first = sorted(set(phrases), key=lambda phrase: (-len(phrase), phrase))
    if not longest_first or not longest_first[-1].split():
        raise BadSetting("A class has no phrase by which captions may name it, or an empty one.")
    found = "|".join(
        r"\s+".join(map(re.escape, composed(phrase).split())) for phrase in longest_first
    )
    # Not \b: it asks for a word character inside the phrase, and names such as 'C++' end in none.
    whole = rf"(?<!\w)(?:{found})(?!\w)" if match == "word" else f"(?:{found})"
    return Naming(re.compile(whole, re.IGNORECASE))


def shuffled_captions(corpus: Corpus, rng: np.random.Generator) -> Iterator[tuple[int, str]]:
    """Yield (pair number, caption) of every pair in random order, reading as far as asked."""
    order = rng.permutation(len(corpus))
    for start in range(0, len(order), _CHUNK):
        chunk: list[int] = order[start : start + _CHUNK].tolist()
        yield from zip(chunk, read_captions(corpus, chunk), strict=True)


def corpus_captions(
    corpus: Corpus,
    classes: Classes,
    wanted: Mapping[int, int],
    match: Match,
    rng: np.random.Generator,
) -> dict[int, list[str]]:
    """Find captions of the corpus that name the wanted classes, no caption twice for a class.

    Pairs are looked at in random order until every class has enough, so what is found is a uniform
    sample of the pairs that name the class.

    Args:
        corpus: the clean pairs.
        classes: the phrases by which captions may name each class.
        wanted: how many captions each class needs.
        match: what counts as naming; see `naming_pattern`.
        rng: decides the order in which pairs are looked at.

    Returns:
        For each wanted class its captions; fewer than wanted where the corpus has no more.
    """
    # The order is the same whichever classes are wanted: dicts keep what was found first, first.
    found: dict[int, dict[str, None]] = {goal: {} for goal in wanted}
    patterns = {
        goal: naming_pattern(classes.aliases[goal], match)
        for goal, count in wanted.items()
        if count > 0
    }
    if not patterns:
        return {goal: [] for goal in wanted}
    names_any = naming_pattern((p for goal in patterns for p in classes.aliases[goal]), match)
    for _, caption in shuffled_captions(corpus, rng):
        if names_any.search(caption) is None:
            continue
        for goal in [goal for goal, pattern in patterns.items() if pattern.search(caption)]:
            found[goal][caption] = None
            if len(found[goal]) == wanted[goal]:
                del patterns[goal]
        if not patterns:
            break
    return {goal: list(captions) for goal, captions in found.items()}


def template_captions(classes: Classes, goal: int, rng: np.random.Generator) -> list[str]:
    """Return every prompt template filled with the class's name, in random order.

    Raises:
        BadSetting: there is no template.
    """
    if not classes.templates:
        raise BadSetting("The data set has no prompt templates, but captions are made from them.")
    order = rng.permutation(len(classes.templates))
    return [classes.templates[number].format(classes.names[goal]) for number in order]


def captions_naming(
    corpus: Corpus,
    classes: Classes,
    wanted: Mapping[int, int],
    match: Match,
    rng: np.random.Generator,
) -> dict[int, list[str]]:
    """Return as many captions for each wanted class as asked.

    They come from the corpus, a different one each time while they last, then from the prompt
    templates, and only when those are used up too do they repeat.
    """
    found = corpus_captions(corpus, classes, wanted, match, rng)
    for goal, count in wanted.items():
        if len(found[goal]) < count:
            filled = dict.fromkeys(found[goal] + template_captions(classes, goal, rng))
            found[goal] = list(islice(cycle(filled), count))
    return found
