"""A question to a delivery, what is known to answer it, and the words of the answers."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import numpy as np

from clipbench.audit.monitor.differences import (
    Bools,
    Concentration,
    Difference,
    Floats,
    Ints,
)
from clipbench.audit.monitor.pairs import Hashes, Pairs
from clipbench.audit.monitor.permutation import Outcome
from clipbench.evaluation.statistics import Proportion

SHOWN = 200  # pairs of an alarm that are listed where no trait chooses them


@dataclass(frozen=True)
class Told:
    """What was found about one question.

    Args:
        sentence: for people.
        rows: new pairs to look at, the most telling first; numbers among all pairs.
    """

    sentence: str
    rows: Ints


@dataclass(frozen=True)
class Question:
    """A question.

    Args:
        name: of it, for programs.
        title: of it, for people.
        difference: what is measured.
        tell: says what was found.
    """

    name: str
    title: str
    difference: Difference
    tell: Callable[[Outcome], Told]


@dataclass(frozen=True)
class Names:
    """What hashes stand for, as far as the delivery says.

    Args:
        words: by hash.
        suppliers: by hash.
    """

    words: Mapping[int, str]
    suppliers: Mapping[int, str]


@dataclass(frozen=True)
class Asked:
    """New and earlier pairs, and what else is known of them.

    Args:
        pairs: all of them, N.
        new: ``(N,)``, which are new.
        images: ``(N,)`` number of the group of images that look the same.
        known: ``(N,)``, which look like an image that was audited and is not among the pairs.
        to_suspects: ``(N,)`` similarity to the nearest suspect of the audit; None: there are none.
        known_suppliers: hashes of all that delivered audited pairs; None: suppliers are not named.
        names: what hashes stand for.
        seed: of what is drawn.
    """

    pairs: Pairs
    new: Bools
    images: Ints
    known: Bools
    to_suspects: Floats | None
    known_suppliers: Hashes | None
    names: Names
    seed: int

    def take(self, rows: Ints) -> Asked:
        """Return some of the pairs, or all of them in another order."""
        return replace(
            self,
            pairs=self.pairs.take(rows),
            new=self.new[rows],
            images=self.images[rows],
            known=self.known[rows],
            to_suspects=None if self.to_suspects is None else self.to_suspects[rows],
        )

    @property
    def unknown(self) -> tuple[int, int]:
        """How many new and how many earlier pairs do not look audited."""
        return int((self.new & ~self.known).sum()), int((~self.new & ~self.known).sum())

    def share(self, has: Bools) -> tuple[Proportion, Proportion]:
        """Return the share of new pairs that have something, and that of earlier ones."""
        new = int(self.new.sum())
        return (
            Proportion(int((has & self.new).sum()), new),
            Proportion(int((has & ~self.new).sum()), len(self.new) - new),
        )


def best_trait(difference: Concentration, new: Bools) -> tuple[int, Ints]:
    """Return the trait of the highest score, and the pairs that have it."""
    best = int(difference.scores(new[None])[0].argmax())
    column = np.asarray(difference.traits[:, [best]].todense()).reshape(-1)
    return best, np.flatnonzero(column).astype(np.int64)


def counts(asked: Asked, rows: Ints) -> str:
    """Return how many of some pairs are new, and how many would be by chance."""
    share = Proportion(int(asked.new[rows].sum()), len(rows))
    expected = len(rows) * asked.new.mean()
    return f"{told_share(share)} are new, about {expected:.0f} expected"


def expected(found: Outcome) -> str:
    """Return what a count would be if new pairs were like earlier ones."""
    return f"of a random part of the same pairs it is at most {found.usual:.0f} in 95 of 100 cases"


def told_share(share: Proportion) -> str:
    """Return a share in words, with its 95% interval."""
    return f"{share.k:,} of {share.n:,} ({share.low:.1%} to {share.high:.1%})"


def quoted(word: str) -> str:
    """Return a word in quotation marks."""
    return f"“{word}”"


def shown(rows: Ints) -> Ints:
    """Return the first pairs of an order, where no trait chooses them."""
    return rows[:SHOWN]
