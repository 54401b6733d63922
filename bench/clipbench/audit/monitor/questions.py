"""What is asked of a delivery.

Each question is a difference, of which `clipbench.audit.monitor.permutation` says how unusual it
is, and a look at the pairs that make it, which says what it is about.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from clipbench.audit.monitor import traits
from clipbench.audit.monitor.asked import (
    Asked,
    Question,
    Told,
    expected,
    told_share,
)
from clipbench.audit.monitor.content import of_content, of_copies, of_traits
from clipbench.audit.monitor.differences import (
    Count,
    Floats,
    GroupShift,
)
from clipbench.audit.monitor.fit import of_fit
from clipbench.audit.monitor.pairs import Hashes
from clipbench.audit.monitor.permutation import Outcome
from clipbench.text.words import counted

SUSPICIOUS = 0.01  # share of pairs that lie nearest to suspects


def questions(asked: Asked) -> Iterator[Question]:
    """Yield the questions, those first that a person asks first."""
    yield from of_fit(asked)
    yield from of_content(asked)
    yield from of_copies(asked)
    if asked.known_suppliers is not None:
        yield from _of_suppliers(asked, asked.known_suppliers)
    if asked.to_suspects is not None:
        yield _of_suspects(asked, asked.to_suspects)


def _of_suppliers(asked: Asked, earlier_ones: Hashes) -> Iterator[Question]:
    pairs = asked.pairs
    found, values = traits.matrix(np.arange(len(pairs)), pairs.supplier, len(pairs), most=1.0)
    names = [asked.names.suppliers.get(int(one), "a supplier of the baseline") for one in values]
    known = np.isin(values, earlier_ones)
    meanings = [
        f"come from {name}" + ("" if old else ", who delivered none of the audited pairs")
        for name, old in zip(names, known.tolist(), strict=True)
    ]
    yield of_traits(
        asked, "suppliers", "Shares of suppliers", found, meanings, "A supplier delivers more"
    )
    fit = pairs.similarity
    shift = GroupShift(fit, found)

    def told(_: Outcome) -> Told:
        best = int(shift.shifts(asked.new[None])[0].argmax())
        own = np.asarray(found[:, [best]].todense()).reshape(-1) > 0
        new, earlier = own & asked.new, own & ~asked.new
        before = fit[earlier] if earlier.sum() >= traits.LEAST else fit[~asked.new]
        whose = "earlier" if earlier.sum() >= traits.LEAST else "that of all earlier pairs"
        rows = np.flatnonzero(new)
        return Told(
            f"Captions from {names[best]} fit their images worse than before: the median"
            f" similarity of its {counted(len(rows), 'new pair')} is {np.median(fit[new]):.3f},"
            f" {whose} {np.median(before):.3f}.",
            rows[np.argsort(fit[rows], kind="stable")].astype(np.int64),
        )

    yield Question("supplier_fit", "Fit of captions by supplier", shift, told)


def _of_suspects(asked: Asked, near: Floats) -> Question:
    close = near >= np.quantile(near, 1 - SUSPICIOUS)

    def told(found: Outcome) -> Told:
        share, _ = asked.share(close)
        rows = np.flatnonzero(close & asked.new)
        return Told(
            f"Pairs are close to suspects of the audit: {told_share(share)} are as close to one as"
            f" only one of a hundred pairs is; {expected(found)}.",
            rows[np.argsort(-near[rows], kind="stable")].astype(np.int64),
        )

    return Question("near_suspects", "Pairs like the audit's suspects", Count(close), told)
