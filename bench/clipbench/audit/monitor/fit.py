"""Questions on how captions fit their images: of all pairs, of the worst, and by supplier."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from scipy.sparse import csr_array, hstack

from clipbench.audit.monitor import traits
from clipbench.audit.monitor.asked import (
    Asked,
    Question,
    Told,
    best_trait,
    counts,
    shown,
)
from clipbench.audit.monitor.differences import (
    Concentration,
    Distribution,
    Ints,
)
from clipbench.audit.monitor.permutation import Outcome
from clipbench.text.words import listed

CLUSTERS = 64  # of captions that say much the same
WORST = (32, 128, 512)  # pairs of worst fit whose captions are looked at, at most a fifth of all
LEAST_WORST = 16  # pairs


def of_fit(asked: Asked) -> Iterator[Question]:
    """Yield the questions on fit."""
    fit, new = asked.pairs.similarity, asked.new
    order = np.argsort(fit, kind="stable").astype(np.int64)

    def told(_: Outcome) -> Told:
        after, before = np.median(fit[new]), np.median(fit[~new])
        word = "worse" if after < before else "better"
        return Told(
            f"Captions fit their images {word} than before: the median similarity is {after:.3f},"
            f" earlier {before:.3f}.",
            shown(order[new[order]][:: 1 if after < before else -1]),
        )

    yield Question("fit", "How well captions fit their images", Distribution(fit), told)
    worst = Concentration(_nested(order))

    def told_worst(_: Outcome) -> Told:
        best = int(worst.scores(new[None])[0].argmax())
        rows = order[: int(worst.traits[:, [best]].sum())]
        found = rows[new[rows]]
        return Told(
            f"Of the {len(rows)} pairs whose captions fit worst, {counts(asked, rows)}.", found
        )

    yield Question("worst_fit", "Pairs whose captions fit worst", worst, told_worst)
    yield _worst_captions(asked, order)


def _nested(order: Ints) -> csr_array:
    """Return for 16, 32, 64, ... pairs of worst fit which they are, up to a tenth of all."""
    sizes, size = [], LEAST_WORST
    while size <= max(len(order) // 10, LEAST_WORST):
        sizes.append(min(size, len(order)))
        size *= 2
    columns = [np.isin(np.arange(len(order)), order[:size]) for size in sizes]
    return csr_array(np.stack(columns, axis=1).astype(np.float64))


def _worst_captions(asked: Asked, order: Ints) -> Question:
    """Return the question whether badly fitting captions say the same, as an attack's do."""
    parts, meanings = list[csr_array](), list[str]()
    words = asked.names.words
    cluster = traits.clusters(asked.pairs.text, CLUSTERS, asked.seed)
    for size in sorted({min(size, max(LEAST_WORST, len(order) // 5)) for size in WORST}):
        among = np.zeros(len(order), bool)
        among[order[:size]] = True
        found, named = traits.word_pairs(asked.pairs, among)
        parts.append(found)
        meanings += [_words_in([words.get(one, "") for one in both]) for both in named]
        rows = np.flatnonzero(among).astype(np.int64)
        alike, _ = traits.matrix(rows, cluster[rows], len(order))
        parts.append(alike)
        meanings += ["say much the same"] * alike.shape[1]
    difference = Concentration(csr_array(hstack(parts, format="csr")))

    def told(_: Outcome) -> Told:
        best, rows = best_trait(difference, asked.new)
        return Told(
            "Captions that fit their images badly say the same again and again, as those of an"
            f" attack on one class would: {len(rows)} such captions {meanings[best]}, and of them"
            f" {counts(asked, rows)}.",
            order[np.isin(order, rows) & asked.new[order]],
        )

    return Question("worst_captions", "What badly fitting captions say", difference, told)


def _words_in(words: Sequence[str]) -> str:
    named = sorted({f"“{word}”" for word in words if word})
    return f"name {listed(named)}" if named else "share words"
