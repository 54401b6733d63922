"""Questions on what images show, what captions say, and what comes more than once."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from scipy.sparse import csr_array

from clipbench.audit.monitor import traits
from clipbench.audit.monitor.asked import (
    Asked,
    Question,
    Told,
    best_trait,
    counts,
    expected,
    quoted,
    shown,
    told_share,
)
from clipbench.audit.monitor.differences import (
    Bools,
    Concentration,
    Ints,
    MeanFeatures,
    Repeated,
    SeenBefore,
    fourier_features,
)
from clipbench.audit.monitor.pairs import Features
from clipbench.audit.monitor.permutation import Outcome
from clipbench.evaluation.statistics import Proportion
from clipbench.rng import generator
from clipbench.text.words import counted

RARE = 0.01  # neighborhoods that are all new by chance


def of_content(asked: Asked) -> Iterator[Question]:
    """Yield the questions on images and captions."""
    pairs = asked.pairs
    yield _of_features(asked, "images", "What images show", pairs.image)
    yield _of_features(asked, "captions", "What captions say", pairs.text)
    found, names = traits.words(pairs)
    meanings = [f"name {quoted(asked.names.words.get(int(name), '?'))}" for name in names]
    yield of_traits(
        asked, "words", "Words of captions", found, meanings, "A word comes more often than before"
    )
    near = traits.neighborhoods(pairs.image, _neighborhood(asked.new), asked.seed)
    meanings = ["look much alike to the model"] * near.shape[1]
    lead = "More images look alike than before"
    yield of_traits(asked, "look_alikes", "Images that look much alike", near, meanings, lead)
    sizes, values = traits.matrix(np.arange(len(pairs)), pairs.size, len(pairs))
    meanings = [f"are {size >> 32} x {size & 0xFFFFFFFF} pixels large" for size in values.tolist()]
    lead = "More images are of one size than before"
    yield of_traits(asked, "sizes", "Sizes of images", sizes, meanings, lead)


def _neighborhood(new: Bools) -> int:
    """Return how many pairs make a neighborhood that is hardly ever all new by chance."""
    share = float(new.mean())
    return int(np.clip(np.ceil(np.log(len(new) / RARE) / -np.log(share)), 8, 64))


def _of_features(asked: Asked, name: str, title: str, features: Features) -> Question:
    rng = generator(asked.seed, "fourier", name)
    mapped = fourier_features(features, rng)
    new = asked.new

    def told(found: Outcome) -> Told:
        apart = mapped[new].mean(axis=0) - mapped[~new].mean(axis=0)
        order = np.argsort(-(mapped @ apart), kind="stable").astype(np.int64)
        return Told(
            f"As a whole, the {name} are unlike earlier ones: their distance is"
            f" {found.value / max(found.usual, 1e-9):.1f} times what random parts of the same pairs"
            " stay below in 95 of 100 cases.",
            shown(order[new[order]]),
        )

    return Question(name, title, MeanFeatures(mapped), told)


def of_traits(
    asked: Asked, name: str, title: str, found: csr_array, meanings: Sequence[str], lead: str
) -> Question:
    """Return the question whether new pairs share a trait that earlier ones have seldom.

    Args:
        asked: new and earlier pairs.
        name: of the question, for programs.
        title: of it, for people.
        found: ``(N, T)``, 1 where a pair has a trait.
        meanings: of the traits, as what is said of pairs.
        lead: what an alarm says first, a sentence of its own.
    """
    difference = Concentration(found)

    def told(_: Outcome) -> Told:
        best, rows = best_trait(difference, asked.new)
        return Told(
            f"{lead}: {counted(len(rows), 'pair')} {meanings[best]}, and of them"
            f" {counts(asked, rows)}.",
            rows[asked.new[rows]],
        )

    return Question(name, title, difference, told)


def of_copies(asked: Asked) -> Iterator[Question]:
    """Yield the questions on what comes more than once, or came before."""
    _, captions = np.unique(asked.pairs.caption_sha256, return_inverse=True)
    captions = captions.reshape(-1).astype(np.int64)
    for what, group, verb in (
        ("images", asked.images, "look like"),
        ("captions", captions, "equal"),
    ):
        yield _of_repeats(asked, what, group, f"{verb} that of another new pair")

    seen = SeenBefore(asked.images, asked.known)
    again = _again(asked)

    def told(found: Outcome) -> Told:
        share, _ = asked.share(again)
        lead = (
            "Every image of the delivery looks like one that was audited before"
            if share.k == share.n
            else "More images than before look like one that was audited"
        )
        return Told(f"{lead}: {told_share(share)}; {expected(found)}.", np.flatnonzero(again))

    yield Question("seen_before", "Images that were audited before", seen, told)


def _again(asked: Asked) -> Bools:
    """Return which new pairs look like an earlier one."""
    earlier = np.unique(asked.images[~asked.new])
    return asked.new & (asked.known | np.isin(asked.images, earlier))


def _of_repeats(asked: Asked, what: str, group: Ints, like: str) -> Question:
    """Return the question how many images or captions repeat one another.

    Args:
        asked: new and earlier pairs.
        what: images or captions.
        group: ``(N,)``, equal for those that repeat each other.
        like: what is said of those that do.
    """
    new = asked.new

    def told(found: Outcome) -> Told:
        counts = np.bincount(group[new], minlength=int(group.max()) + 1)
        size = np.where(new, counts[group], 0)
        rows = np.argsort(-size, kind="stable").astype(np.int64)
        rows = rows[size[rows] > 1]
        share = Proportion(len(rows), int(new.sum()))
        largest = int(size.max(initial=0))
        return Told(
            f"More {what} than before are repeated within the delivery: {told_share(share)} {like},"
            f" the same up to {largest} times; {expected(found)}.",
            rows,
        )

    title = f"{what.capitalize()} that come more than once"
    return Question(f"repeated_{what}", title, Repeated(group), told)
