"""Comparing a delivery with a baseline."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from clipbench.audit.inventory import pairs as inventory
from clipbench.audit.inventory.suppliers import check_field
from clipbench.audit.inventory.take import FOLDER as INVENTORY
from clipbench.audit.inventory.take import take_inventory
from clipbench.audit.monitor.asked import Asked, Names
from clipbench.audit.monitor.baseline import Baseline, Head
from clipbench.audit.monitor.differences import Bools, Floats, Ints
from clipbench.audit.monitor.encode import COLUMNS, encoded
from clipbench.audit.monitor.pairs import Features, Pairs, hash_of, joined, words_of
from clipbench.audit.monitor.permutation import compare, divisions
from clipbench.audit.monitor.questions import not_asked
from clipbench.audit.monitor.questions import questions as questions_to
from clipbench.audit.monitor.report import TOO_FEW, Finding, Report, Share, Supplier
from clipbench.audit.request import AuditRequest
from clipbench.custody.record import note_used
from clipbench.errors import BadSetting
from clipbench.evaluation.statistics import Proportion
from clipbench.rng import generator
from clipbench.text.locations import redacted
from clipbench.text.visible import visible
from clipbench.toolkit.lookalikes import MOST_APART, alike

MOST_NEW = 10_000  # pairs of a delivery that are compared
_MOST_SUPPLIERS = 50  # that are listed
_ROWS = 2_048  # pairs whose similarity to suspects is computed at once


@dataclass(frozen=True)
class Watched:
    """What was found, and which pairs make it.

    Args:
        report: what is said.
        rows: for each alarm, pairs to look at: numbers among the delivery's usable pairs.
        request: the delivery.
    """

    report: Report
    rows: Mapping[str, Ints]
    request: AuditRequest


def watch(
    baseline: Baseline,
    request: AuditRequest,
    *,
    alpha: float,
    signed_by: Mapping[str, str] | None = None,
) -> Watched:
    """Compare a delivery with a baseline.

    Args:
        baseline: what an audit left.
        request: the delivery, and a folder for its inventory.
        alpha: chance of an alarm for a delivery like the baseline's pairs, at most.
        signed_by: who signed, of each folder of the delivery; None: nobody asked.

    Raises:
        MissingData, CorruptData: the delivery can't be read.
        BadSetting: the delivery is the audited set itself, or no pair has the field that was to
            name suppliers.
    """
    shards = request.usable.shards
    if shards.content_sha256() == baseline.head.content_sha256:
        raise BadSetting(
            f"{visible(redacted(request.data))} is, byte for byte, the set that was audited; give"
            " the pairs that were delivered since with --data."
        )
    by = take_inventory(request).suppliers_by
    path = request.out / INVENTORY / inventory.NAME
    table = inventory.read_pairs(path, COLUMNS)
    note_used("baseline", baseline.sha256)
    note_used("delivery", shards.content_sha256())
    rows = np.arange(len(shards), dtype=np.int64)
    notes = []
    if len(rows) > MOST_NEW:
        drawn = generator(request.seed, "delivery").permutation(len(rows))[:MOST_NEW]
        rows = np.sort(drawn).astype(np.int64)
        notes.append(
            f"{MOST_NEW:,} pairs, drawn at random, were compared with the baseline; of them are the"
            " pairs that are listed."
        )
    comparable = by == baseline.head.suppliers_by and by in ("field", "host")
    if not comparable and baseline.head.suppliers_by in ("field", "host"):
        field = baseline.head.supplier
        notes.append(
            "Suppliers were not compared: the delivery does not name them as the audited pairs do"
            + (f", in the field {visible(field)}." if field else ".")
        )
    new = encoded(shards, rows, table, baseline.model, request.reporter.progress)
    some = table.take(rows)
    names = _names(shards.captions(rows), some["supplier"].unique().to_pylist())
    asked = ask(baseline, new, names, seed=request.seed, suppliers=comparable)
    findings, looked_at = answer(asked, alpha)
    if findings and (why := not_asked(asked)):
        notes.append(why)
    again = asked.new & (asked.known | np.isin(asked.images, asked.images[~asked.new]))
    bad = asked.pairs.similarity < baseline.head.threshold
    report = Report(
        data=request.data,
        pairs=len(shards),
        left_out=dict(request.usable.left_out),
        compared=len(rows),
        earlier=len(baseline.held_out),
        alpha=alpha,
        divisions=divisions(len(findings), alpha) if findings else 0,
        content_sha256=shards.content_sha256(),
        baseline_sha256=baseline.sha256,
        signed_by=None if signed_by is None else dict(signed_by),
        below=_share_of(bad, asked.new & ~asked.known),
        below_earlier=_share_of(bad, ~asked.new & ~asked.known),
        seen_before=_share(int(again.sum()), len(new)),
        findings=findings,
        suppliers=_suppliers(baseline, asked) if comparable else [],
        notes=notes,
    )
    first = len(baseline.held_out)
    return Watched(report, {n: rows[found - first] for n, found in looked_at.items()}, request)


def as_audited(request: AuditRequest, head: Head) -> AuditRequest:
    """Return a request that reads suppliers where the audit did, if the delivery names them there.

    Where nobody asked for a field and the delivery lacks the audit's, suppliers are not compared;
    a field that somebody asked for must be there.

    Args:
        request: the delivery.
        head: of the baseline.

    Raises:
        MissingData, CorruptData: the delivery can't be read.
    """
    if request.supplier is not None or head.supplier is None:
        return request
    try:
        check_field(request.usable.shards, head.supplier)
    except BadSetting:
        return request
    return replace(request, supplier=head.supplier)


def ask(baseline: Baseline, new: Pairs, names: Names, *, seed: int, suppliers: bool) -> Asked:
    """Return what is asked of new pairs.

    Args:
        baseline: what they are compared with.
        new: the pairs.
        names: what hashes stand for.
        seed: of what is drawn.
        suppliers: whether these are compared.
    """
    pairs = joined(baseline.held_out, new)
    is_new = np.arange(len(pairs)) >= len(baseline.held_out)
    known = baseline.known
    groups = alike(np.concatenate([pairs.image_hash, known.image_hash]), MOST_APART)
    images = groups[: len(pairs)]
    near = None if not len(baseline.suspects[0]) else _nearest_suspect(pairs, baseline.suspects)
    return Asked(
        pairs=pairs,
        new=is_new,
        images=images,
        known=np.isin(images, groups[len(pairs) :]),
        to_suspects=near,
        known_suppliers=known.supplier if suppliers else None,
        names=names,
        seed=seed,
    )


def answer(asked: Asked, alpha: float) -> tuple[list[Finding], dict[str, Ints]]:
    """Return an answer to each question, and for each alarm the pairs that make it.

    Args:
        asked: new and earlier pairs.
        alpha: chance of an alarm, if they are alike, at most.

    Returns:
        Findings; none where pairs are too few. Of each alarm, numbers among all pairs.
    """
    if min(asked.new.sum(), (~asked.new).sum()) < TOO_FEW:
        return [], {}
    # Traits may depend on the order of pairs, as clusters and ties do; it must not say who is new.
    order = generator(asked.seed, "order").permutation(len(asked.new)).astype(np.int64)
    asked = asked.take(order)
    questions = {one.name: one for one in questions_to(asked)}
    differences = {name: one.difference for name, one in questions.items()}
    count = divisions(len(questions), alpha)
    found = compare(differences, asked.new, count, asked.seed)
    findings, rows = [], {}
    for name, outcome in found.items():
        alarm = outcome.p_family <= alpha
        told = questions[name].tell(outcome) if alarm else None
        if told is not None:
            rows[name] = order[told.rows]
        findings.append(
            Finding(
                name=name,
                title=questions[name].title,
                alarm=alarm,
                p_family=outcome.p_family,
                p=outcome.p,
                value=outcome.value,
                usual=outcome.usual,
                sentence="" if told is None else told.sentence,
                pairs=0 if told is None else len(told.rows),
            )
        )
    return findings, rows


def _names(captions: Sequence[str], suppliers: Sequence[str]) -> Names:
    words = {hash_of(word): word for caption in captions for word in words_of(caption)}
    return Names(words, {hash_of(name): name or "no named supplier" for name in suppliers})


def _nearest_suspect(pairs: Pairs, suspects: tuple[Features, Features]) -> Floats:
    """Return the similarity of each pair to the nearest suspect: the mean of image and caption."""
    found = []
    for start in range(0, len(pairs), _ROWS):
        part = slice(start, start + _ROWS)
        both = pairs.image[part] @ suspects[0].T + pairs.text[part] @ suspects[1].T
        found.append(both.max(axis=1) / 2)
    return np.asarray(np.concatenate(found), np.float64).round(6)


def _share(k: int, n: int) -> Share:
    share = Proportion(k, n)
    return Share(k, n, share.value, share.low, share.high)


def _share_of(has: Bools, among: Bools) -> Share | None:
    """Return the share of some pairs that have something; None: there are none of them."""
    return _share(int((has & among).sum()), int(among.sum())) if among.any() else None


def _suppliers(baseline: Baseline, asked: Asked) -> list[Supplier]:
    """Return the suppliers with most new pairs."""
    new, supplier = asked.new, asked.pairs.supplier
    values, counts = np.unique(supplier[new], return_counts=True)
    order = np.argsort(-counts, kind="stable")[:_MOST_SUPPLIERS]
    found = []
    for one in values[order]:
        own = supplier == one
        found.append(
            Supplier(
                name=asked.names.suppliers[int(one)],
                new=_share(int((own & new).sum()), int(new.sum())),
                earlier=_share(int((own & ~new).sum()), int((~new).sum())),
                known=bool(np.isin(one, baseline.known.supplier)),
                similarity=_median_fit(asked, own & new),
                similarity_earlier=_median_fit(asked, own & ~new),
            )
        )
    return found


def _median_fit(asked: Asked, among: Bools) -> float | None:
    """Return the median similarity of some pairs, those left out that look audited."""
    fit = asked.pairs.similarity[among & ~asked.known]
    return float(np.median(fit)) if len(fit) else None
