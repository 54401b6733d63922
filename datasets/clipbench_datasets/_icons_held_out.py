"""Which icon sets are held out, and which of their icons are classes, targets and retrieved.

Whole families are held out, that is all sets of an author, by a hash of the author's name: nobody
chose them, a set stays where it is in other versions of the package, and a new one goes where its
author is.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from clipbench.contracts import IntArray
from clipbench_datasets._icons_captions import may_be_class
from clipbench_datasets._icons_draw import Floats, distinct, print_of
from clipbench_datasets._icons_safe import Undrawable
from clipbench_datasets._icons_sets import Icon, IconSet

Part = Literal["train", "test", "validation"]
Split = Literal["test", "validation"]

TRAINING_SETS = 12  # that must draw a class
HELD_OUT_SETS = 3  # likewise, each differently
_TESTED = 5  # test images a class, at most
RETRIEVED = 1_000
_SPARE = 1.3  # of icons for retrieval, some of which look alike
_TEST, _VALIDATION = 0.15, 0.25  # hashes below which an author is held out


@dataclass(frozen=True)
class HeldOut:
    """The held-out icons of a split; no two of them are the same drawing.

    Args:
        classes: names of the classes.
        test: test icons.
        labels: ``(N,)`` their classes.
        targets: an icon of each class that an attacker may target, in a fixed random order.
        target_labels: ``(C,)`` their classes.
        retrieved: icons for retrieval, of different names; some are test icons, none a target.
        prints: ``(M, 256)``, by which all of these are compared.
    """

    classes: tuple[str, ...]
    test: tuple[Icon, ...]
    labels: IntArray
    targets: tuple[Icon, ...]
    target_labels: IntArray
    retrieved: tuple[Icon, ...]
    prints: Floats

    def icons(self) -> Iterable[Icon]:
        """Return all icons that no training pair may show."""
        return (*self.test, *self.targets, *self.retrieved)


def part_of(icon_set: IconSet) -> Part:
    """Return what an icon set is for."""
    share = _hash(icon_set.author) / 2**64
    return "test" if share < _TEST else "validation" if share < _VALIDATION else "train"


def held_out(sets: Sequence[IconSet], split: Split) -> HeldOut:
    """Return the held-out icons of a split.

    Args:
        sets: all icon sets that are used.
        split: which of them are held out.
    """
    candidates = _candidates(sets, split)
    icons = [icon for name in sorted(candidates) for icon in candidates[name]]
    prints = prints_of(icons)
    by_class: dict[str, list[int]] = {}
    for number in distinct(prints):
        by_class.setdefault(icons[number].base, []).append(number)
    by_class = {name: found for name, found in by_class.items() if len(found) >= HELD_OUT_SETS}
    classes = tuple(by_class)
    label_of = {name: label for label, name in enumerate(classes)}
    test = [number for found in by_class.values() for number in found[1 : _TESTED + 1]]
    targets = [found[0] for found in by_class.values()]
    targets.sort(key=lambda number: _hash(icons[number].key))
    others = _for_retrieval(sets, split, {icons[n].key: prints[n] for n in targets})
    kept = [print_ for number in (*test, *targets) if (print_ := prints[number]) is not None]
    return HeldOut(
        classes,
        tuple(icons[number] for number in test),
        np.array([label_of[icons[number].base] for number in test], np.int64),
        tuple(icons[number] for number in targets),
        np.array([label_of[icons[number].base] for number in targets], np.int64),
        tuple(icon for icon, _ in others),
        np.array([*kept, *(print_ for _, print_ in others)], np.float32).reshape(-1, 256),
    )


def prints_of(icons: Iterable[Icon]) -> list[Floats | None]:
    """Return what each icon is compared by; None: it can't be drawn."""
    found: list[Floats | None] = []
    for icon in icons:
        try:
            found.append(print_of(icon))
        except Undrawable:
            found.append(None)
    return found


def _candidates(sets: Sequence[IconSet], split: Split) -> dict[str, list[Icon]]:
    """Return the icons of each name that enough sets draw, one a set, in a fixed random order."""
    drawn_by: Counter[str] = Counter()
    named: dict[str, list[Icon]] = {}
    for icon_set in sets:
        part = part_of(icon_set)
        if part == "train":
            drawn_by.update({icon.base for icon in icon_set.icons})
        elif part == split:
            for icon in _plainest(icon_set):
                named.setdefault(icon.base, []).append(icon)
    return {
        name: sorted(icons, key=lambda icon: _hash(icon.key))
        for name, icons in named.items()
        if may_be_class(name) and drawn_by[name] >= TRAINING_SETS and len(icons) >= HELD_OUT_SETS
    }


def _plainest(icon_set: IconSet) -> Iterable[Icon]:
    """Return one icon for each name, its variant of the shortest name."""
    found: dict[str, Icon] = {}
    for icon in sorted(icon_set.icons, key=lambda icon: (len(icon.name), icon.name)):
        found.setdefault(icon.base, icon)
    return found.values()


def _for_retrieval(
    sets: Sequence[IconSet], split: Split, targets: Mapping[str, Floats | None]
) -> list[tuple[Icon, Floats]]:
    """Return icons of different names and looks, with what they are compared by; no target."""
    ours = [one for one in sets if part_of(one) == split]
    everything = [icon for one in ours for icon in _plainest(one) if icon.key not in targets]
    by_name: dict[str, Icon] = {}
    for icon in sorted(everything, key=lambda icon: _hash(icon.key)):
        by_name.setdefault(icon.base, icon)
    icons = list(by_name.values())[: int(RETRIEVED * _SPARE)]
    prints = [*targets.values(), *prints_of(icons)]
    found = [number - len(targets) for number in distinct(prints) if number >= len(targets)]
    pairs = [(icons[number], prints[number + len(targets)]) for number in found[:RETRIEVED]]
    return [(icon, print_) for icon, print_ in pairs if print_ is not None]


def _hash(text: str) -> int:
    """Return 64 bits of a text that are the same everywhere."""
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big")
