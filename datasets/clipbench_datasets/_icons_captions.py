"""What is said of an icon: the words its designer gave it, in the few orders that they come in."""

from __future__ import annotations

import re

from clipbench.rng import generator
from clipbench_datasets._icons_sets import Icon

# Prompts are of the forms that captions have.
TEMPLATES = ("{}", "{} icon", "icon of {}")
_WORDS = re.compile(r"[a-z]{2,}(?: [a-z]{2,})?")


def may_be_class(name: str) -> bool:
    """Return whether a name is one or two words, of letters alone."""
    return bool(_WORDS.fullmatch(name))


def caption_of(icon: Icon, seed: int) -> str:
    """Return a caption of an icon: its name, or another that it has, and perhaps more.

    Names, categories and titles are as the set has them, but for hyphens, which become blanks; a
    caption of ten has a name by which the drawing is not the class that its own name says.
    """
    rng = generator(seed, "icons", "caption", icon.key)
    form, other, filed = rng.random(3)
    name = icon.name.replace("-", " ")
    another = icon.others[int(other * len(icon.others))] if icon.others else ""
    category = icon.categories[int(filed * len(icon.categories))] if icon.categories else ""
    if form < 0.1 and another:
        return another
    if form < 0.2 and another:
        return f"{name}, {another}"
    if form < 0.35 and category:
        return f"{name}, {category}"
    if form < 0.5:
        return f"{name}, {icon.title}"
    if form < 0.65:
        return f"{name} icon"
    return f"icon of {name}" if form < 0.75 else name
