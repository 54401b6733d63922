"""The words and sentence frames of captions."""

from __future__ import annotations

from itertools import product

from ._shapes_scene import COLORS, SHAPES

SHAPE_WORDS: dict[str, tuple[str, ...]] = {
    "circle": ("circle", "disc"),
    "rectangle": ("rectangle", "bar"),
    "triangle": ("triangle", "wedge"),
    "cross": ("cross", "plus"),
    "ring": ("ring", "hoop"),
    "diamond": ("diamond", "rhombus"),
    "crescent": ("crescent", "moon"),
    "arrow": ("arrow", "pointer"),
}
COLOR_WORDS: dict[str, tuple[str, ...]] = {
    "red": ("red", "crimson"),
    "purple": ("purple", "violet"),
    "cyan": ("cyan", "turquoise"),
}
GROUND_WORDS: dict[str, tuple[str, ...]] = {
    "gray": ("gray", "grey"),  # codespell:ignore
    "beige": ("beige", "sandy"),
}
# What captions of a detail call a shape, in the place of its class. None begins with a vowel, nor
# has a synonym, so that the words of all other captions stay as they are.
THINGS = ("figure", "shape", "form", "thing")
NAMES = tuple(f"{color} {shape}" for shape, color in product(SHAPES, COLORS))
ALIASES = tuple(
    tuple(
        f"{color_word} {shape_word}"
        for color_word in COLOR_WORDS.get(color, (color,))
        for shape_word in SHAPE_WORDS.get(shape, (shape,))
    )
    for shape, color in product(SHAPES, COLORS)
)
# Prompts are sentences like the captions, on every background and at every place, so that what they
# say besides the class averages out.
TEMPLATES = (
    "a {} on a gray background",
    "a {} against a beige wall",
    "a {} in front of a teal backdrop",
    "a {} on a navy canvas",
    "a photo of a {} on an olive surface",
    "a lavender background and a {}",
    "a {} drawn over a mint wall",
    "a maroon backdrop with a {} on it",
    "a drawing of a {} over a salmon surface",
    "a charcoal canvas behind a {}",
    "a {} at the top of the picture",
    "a {} in the middle of the picture",
    "a {} at the bottom of the picture",
    "a small {} on a plain background",
    "a medium {} on a striped background",
    "a large {} on a patchy background",
)

# {a}: the shape with its article; {g}: the background with its article; {p}: the place.
FRAMES = (
    "{a} on {g}",
    "{a} in front of {g}",
    "{a} against {g}",
    "{a} drawn over {g}",
    "{a} that stands out from {g}",
    "{g} behind {a}",
    "{g} and {a}",
    "{g} with {a} on it",
    "{g} that carries {a}",
    "a photo of {a} on {g}",
    "a drawing of {a} over {g}",
    "someone painted {a} on {g}",
    "this image shows {a} on {g}",
    "on {g} you can see {a}",
    "here we have {a} and {g}",
    "{a} {p} on {g}",
    "{a} {p} of {g}",
    "{a} {p} with {g} around it",
    "{a} placed {p} over {g}",
    "{a} sits {p} against {g}",
    "{a} floats {p} before {g}",
    "{p} of {g} there is {a}",
    "{p} we see {a} before {g}",
    "{g} with {a} {p}",
    "there is {a} {p} of {g}",
    "picture of {a} {p} on {g}",
    "look at {a} {p} of {g}",
    "on {g} is {a} {p}",
    "{a} {p}",
    "{a} {p} of the picture",
    "{p} of the image you find {a}",
    "a sketch of {a} {p} of the frame",
    "a photo with {a} {p}",
    "we can make out {a} on {g}",
    "{a} rests {p} inside {g}",
    "just {a} {p} and {g}",
)

SIZES = (
    ("small", "little", "tiny"),
    ("medium", "midsize"),
    ("large", "big", "huge", "giant"),
)
TILTS = ((), ("upright", "straight"), ("tilted", "slanted", "rotated", "leaning"))
PLACES = (
    ("at the top", "near the top", "close to the top", "in the upper part"),
    ("in the middle", "in the center", "at the center", "in the middle part"),
    ("at the bottom", "near the bottom", "close to the bottom", "in the lower part"),
)
SURFACES = ("background", "backdrop", "wall", "canvas", "surface")
# Adjectives and nouns of each texture; those of "plain" have no noun.
TEXTURE_WORDS: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "plain": (("plain", "uniform", "solid"), ()),
    "horizontal stripes": (("striped", "banded"), ("horizontal stripes", "horizontal bands")),
    "vertical stripes": (("striped", "banded"), ("vertical stripes", "vertical bands")),
    "diagonal stripes": (("striped", "banded"), ("diagonal stripes", "diagonal bands")),
    "checks": (("checkered", "checked"), ("checks", "tiles")),
    "dots": (("dotted", "spotted"), ("dots", "spots")),
    "gradient": (("shaded", "fading"), ("shading",)),
    "patches": (("patchy", "mottled"), ("patches", "blotches")),
}
# Words that may take each other's place in any caption without changing what is said.
SYNONYM_GROUPS: tuple[tuple[str, ...], ...] = (
    *SIZES,
    *TILTS[1:],
    SURFACES,
    *SHAPE_WORDS.values(),
    *COLOR_WORDS.values(),
    *GROUND_WORDS.values(),
    ("plain", "uniform", "solid"),
    ("striped", "banded"),
    ("stripes", "bands"),
    ("checkered", "checked"),
    ("dotted", "spotted"),
    ("dots", "spots"),
    ("checks", "tiles"),
    ("patches", "blotches"),
    ("shaded", "fading"),
    ("patchy", "mottled"),
    ("photo", "picture", "image"),
    ("drawing", "sketch"),
    ("middle", "center"),
    ("placed", "drawn"),
    ("before", "against"),
    ("sits", "floats"),
)
