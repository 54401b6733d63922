"""What is asked of a delivery.

Each question is a difference, of which `clipbench.audit.monitor.permutation` says how unusual it
is, and a look at the pairs that make it, which says what it is about.

Some questions are about the model: whether captions fit their images, and which pairs are close to
suspects. What the model was trained on it knows by heart, so that copies of it fit well whatever
the rest of a delivery is. These questions are asked of pairs that look like none of the pairs that
it was trained on, among new and earlier ones alike.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

import numpy as np
from scipy.sparse import csr_array

from clipbench.audit.monitor import traits
from clipbench.audit.monitor.asked import Asked, Question, Told, counts
from clipbench.audit.monitor.content import of_content, of_copies, of_traits
from clipbench.audit.monitor.differences import Among, Concentration, GroupShift, Ints
from clipbench.audit.monitor.fit import of_fit
from clipbench.audit.monitor.pairs import Hashes
from clipbench.audit.monitor.permutation import Outcome
from clipbench.audit.monitor.report import TOO_FEW
from clipbench.text.words import counted

SUSPICIOUS = 0.01  # share of pairs that lie nearest to suspects


def questions(asked: Asked) -> Iterator[Question]:
    """Yield the questions, those first that a person asks first."""
    yield from _of_model(asked, of_fit)
    yield from of_content(asked)
    yield from of_copies(asked)
    if asked.known_suppliers is not None:
        yield _of_suppliers(asked, asked.known_suppliers)
        yield from _of_model(asked, _of_supplier_fit)
    if asked.to_suspects is not None:
        yield from _of_model(asked, _of_suspects)


def not_asked(asked: Asked) -> str:
    """Return why nothing is asked about the model; empty: it is."""
    if min(asked.unknown) >= TOO_FEW:
        return ""
    new, earlier = asked.unknown
    return (
        "How well captions fit their images, and which pairs are close to suspects, was not asked:"
        f" it needs {TOO_FEW} pairs of either kind that look like none that the model was trained"
        f" on, and there {'is' if new == 1 else 'are'} {new:,} in the delivery and {earlier:,}"
        " among the earlier pairs."
    )


def _of_model(asked: Asked, ask: Callable[[Asked], Iterator[Question]]) -> Iterator[Question]:
    """Yield questions about the model, of pairs that look like none of those it was trained on."""
    if not_asked(asked):
        return
    rows = np.flatnonzero(~asked.known).astype(np.int64)
    for one in ask(asked.take(rows)):
        yield replace(one, difference=Among(one.difference, rows), tell=_among_all(one.tell, rows))


def _among_all(tell: Callable[[Outcome], Told], rows: Ints) -> Callable[[Outcome], Told]:
    """Return an answer whose pairs are numbered among all."""

    def told(found: Outcome) -> Told:
        own = tell(found)
        return Told(own.sentence, rows[own.rows])

    return told


def _of_suppliers(asked: Asked, earlier_ones: Hashes) -> Question:
    found, values, names = _suppliers(asked)
    known = np.isin(values, earlier_ones)
    meanings = [
        f"come from {name}" + ("" if old else ", who delivered none of the audited pairs")
        for name, old in zip(names, known.tolist(), strict=True)
    ]
    return of_traits(
        asked,
        "suppliers",
        "Shares of suppliers",
        found,
        meanings,
        "A supplier delivers more than before",
    )


def _suppliers(asked: Asked) -> tuple[csr_array, Hashes, list[str]]:
    """Return which pairs come from which supplier, the suppliers' hashes and their names."""
    pairs = asked.pairs
    found, values = traits.matrix(np.arange(len(pairs)), pairs.supplier, len(pairs), most=1.0)
    names = [asked.names.suppliers.get(int(one), "a supplier of the baseline") for one in values]
    return found, values, names


def _of_supplier_fit(asked: Asked) -> Iterator[Question]:
    found, _, names = _suppliers(asked)
    fit = asked.pairs.similarity
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


def _of_suspects(asked: Asked) -> Iterator[Question]:
    near = asked.to_suspects
    assert near is not None  # else nobody asks
    close = near >= np.quantile(near, 1 - SUSPICIOUS)
    difference = Concentration(csr_array(close[:, None].astype(np.float64)))

    def told(_: Outcome) -> Told:
        rows = np.flatnonzero(close).astype(np.int64)
        found = rows[asked.new[rows]]
        return Told(
            "More pairs are close to suspects of the audit than before: of the"
            f" {counted(len(rows), 'pair')} that are closest to one, {counts(asked, rows)}.",
            found[np.argsort(-near[found], kind="stable")],
        )

    yield Question("near_suspects", "Pairs like the audit's suspects", difference, told)
