"""Which class a caption names."""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np

from clipbench.contracts import Classes, IntArray
from clipbench.text.words import composed


def labels_of(captions: Sequence[str], classes: Classes, *, first: bool = False) -> IntArray:
    """Return the class of each caption, ``(N,)``; -1 where it names none, or several.

    Of two classes at one place the longer counts: a "fire truck" is no "truck".

    Args:
        captions: the captions.
        classes: the phrases by which they may name each class.
        first: whether a caption that names several has the class that it names first.
    """
    named = {
        composed(alias).casefold(): number
        for number, row in enumerate(classes.aliases)
        for alias in row
    }
    labels = np.full(len(captions), -1, dtype=np.int64)
    if not named:
        return labels
    longest_first = sorted(named, key=len, reverse=True)
    either = "|".join(re.sub(r"\\?\s+", r"\\s+", re.escape(alias)) for alias in longest_first)
    pattern = re.compile(rf"(?<!\w)(?:{either})(?!\w)")
    for place, caption in enumerate(captions):
        phrases = pattern.findall(composed(caption).casefold())
        found = [named[" ".join(phrase.split())] for phrase in phrases]
        if found and (first or len({*found}) == 1):
            labels[place] = found[0]
    return labels


def labels_of_pictures(labels: IntArray, pictures: IntArray, *, first: bool = False) -> IntArray:
    """Return the class of each picture, ``(N,)``, where its first caption stands; else -1.

    Args:
        labels: ``(N,)`` the class that each caption names; -1: none, or several.
        pictures: ``(N,)`` for each caption the place of the first one of the same picture.
        first: whether a picture whose captions name several classes has the one that is named
            first; else it has none.
    """
    found = np.full(len(labels), -1, dtype=np.int64)
    several = np.zeros(len(labels), dtype=np.bool_)
    for label, picture in zip(labels.tolist(), pictures.tolist(), strict=True):
        if label >= 0:
            several[picture] |= found[picture] not in (-1, label)
            found[picture] = label if found[picture] < 0 else found[picture]
    if not first:
        found[several] = -1
    return found
