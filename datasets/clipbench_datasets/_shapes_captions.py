"""Captions of scenes: sentences that name the class and some of the other attributes.

A caption is a frame whose slots are filled with phrases, each drawn from a table of equally likely
ones; a phrase that shall be likelier stands in its table several times. Captions have no
punctuation, never speak of left and right (training mirrors images), and always hold one of the
phrases of `ALIASES` for their class and none of another class. Captions of a detail have a word for
anything in the place of the class, with its color or without, and so no phrase of any class.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from itertools import product

import numpy as np

from ._shapes_hash import Draws, Split
from ._shapes_scene import COLORS, GROUNDS, TEXTURES, Scenes
from ._shapes_words import (
    ALIASES,
    COLOR_WORDS,
    FRAMES,
    GROUND_WORDS,
    PLACES,
    SIZES,
    SURFACES,
    SYNONYM_GROUPS,
    TEXTURE_WORDS,
    THINGS,
    TILTS,
)

FRAME_STEP = 7  # from one variant to the next; prime to the number of frames


def synonyms() -> dict[str, tuple[str, ...]]:
    """Return for each word that has synonyms all of them, itself left out."""
    return {
        word: tuple(other for other in group if other != word)
        for group in SYNONYM_GROUPS
        for word in group
    }


def captions(
    scenes: Scenes, seed: int, split: Split, variant: int = 0, *, detail: float = 0.0
) -> list[str]:
    """Return a caption of each scene.

    Args:
        scenes: scenes of `split`.
        seed: the data seed.
        split: the split.
        variant: which of the many captions of a scene; captions of up to ``len(FRAMES)`` variants
            use different frames.
        detail: share of captions that tell of details alone, and do not name the class.
    """
    draws = Draws(seed, split, scenes.index)

    def pick(count: int, part: str) -> list[int]:
        chosen: list[int] = draws.choice(count, "caption", part, variant).tolist()
        return chosen

    leads, grounds = lead_table(), ground_table()
    names = [name_table()[label] for label in scenes.label.tolist()]
    if detail:
        chosen = draws.uniform("caption", "detail", variant) < detail
        for place in np.flatnonzero(chosen).tolist():
            names[place] = thing_table()[int(scenes.color[place])]
    frames = draws.choice(len(FRAMES), "caption", "frame") + FRAME_STEP * variant
    columns = zip(
        (frames % len(FRAMES)).tolist(), names, pick(NAME_PHRASES, "name"),
        scenes.size_class.tolist(), scenes.tilt.tolist(), pick(LEADS, "lead"),
        scenes.ground.tolist(), scenes.texture.tolist(), pick(GROUND_PHRASES, "ground"),
        scenes.place.tolist(), pick(len(PLACES[0]), "place"),
        strict=True,
    )  # fmt: skip
    texts = []
    for frame, called, n, size, tilt, lead, ground, texture, g, place, p in columns:
        shape = leads[size][tilt][lead] + called[n]
        filled = FRAMES[frame].format(a=shape, g=grounds[ground][texture][g], p=PLACES[place][p])
        texts.append(filled)
    return texts


# --------------------------------------------------------------------------- phrase tables

LEADS = 64
NAME_PHRASES = 12
GROUND_PHRASES = 120
VOWELS = ("a", "e", "i", "o", "up")  # "upright", but not "uniform"


@lru_cache(maxsize=1)
def name_table() -> tuple[tuple[str, ...], ...]:
    """Return `NAME_PHRASES` a class: its name in at least 8 of them, its aliases in the rest."""
    return tuple(_spread(names[:1], 8) + _spread(names[1:] or names, 4) for names in ALIASES)


@lru_cache(maxsize=1)
def thing_table() -> tuple[tuple[str, ...], ...]:
    """Return `NAME_PHRASES` for each color of a shape: half name the color, and none the shape."""
    half = NAME_PHRASES // 2
    return tuple(
        _spread([f"{word} {thing}" for word, thing in product(words, THINGS)], half)
        + _spread(THINGS, half)
        for words in (COLOR_WORDS.get(color, (color,)) for color in COLORS)
    )


@lru_cache(maxsize=1)
def lead_table() -> tuple[tuple[tuple[str, ...], ...], ...]:
    """Return `LEADS` beginnings ("a large tilted ") for each size and tilt.

    A quarter each name neither, the size, the tilt, both. Where the tilt can't be seen, three
    quarters name the size.
    """
    share = LEADS // 4
    table = []
    for sizes in SIZES:
        row = []
        for tilts in TILTS:
            both = [f"{size} {tilt}" for size, tilt in product(sizes, tilts)]
            named = (sizes, tilts, both) if tilts else (sizes,) * 3
            adjectives = ("",) * share + sum((_spread(words, share) for words in named), ())
            row.append(tuple(with_article(words + " ") if words else "a " for words in adjectives))
        table.append(tuple(row))
    return tuple(table)


@lru_cache(maxsize=1)
def ground_table() -> tuple[tuple[tuple[str, ...], ...], ...]:
    """Return `GROUND_PHRASES` phrases for each background color and texture."""
    return tuple(
        tuple(_ground_phrases(ground, texture) for texture in TEXTURES) for ground in GROUNDS
    )


def _ground_phrases(ground: str, texture: str) -> tuple[str, ...]:
    """Return ways to speak of a background: all of it, its color alone, its texture alone."""
    colors = GROUND_WORDS.get(ground, (ground,))
    adjectives, nouns = TEXTURE_WORDS[texture]
    full = [
        with_article(f"{adjective} {color} {surface}")
        for color, adjective, surface in product(colors, adjectives, SURFACES)
    ]
    patterned = [
        with_article(f"{color} {surface} with {noun}")
        for color, noun, surface in product(colors, nouns, SURFACES)
    ]
    color_alone = [
        with_article(f"{color} {surface}") for color, surface in product(colors, SURFACES)
    ]
    texture_alone = [
        with_article(f"{adjective} {surface}")
        for adjective, surface in product(adjectives, SURFACES)
    ]
    rich = _spread(full, 36) + _spread(patterned or full, 40)
    return rich + _spread(color_alone, 28) + _spread(texture_alone, 16)


def _spread(phrases: Sequence[str], count: int) -> tuple[str, ...]:
    """Return `count` phrases, evenly taken from those given."""
    return tuple(phrases[position * len(phrases) // count] for position in range(count))


def with_article(phrase: str) -> str:
    """Put "a" or "an" before a phrase."""
    return f"{'an' if phrase.startswith(VOWELS) else 'a'} {phrase}"
