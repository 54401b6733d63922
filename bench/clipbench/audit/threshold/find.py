"""Thresholds for the ranked list: with the labels that there are, and without."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec
import numpy as np

from clipbench.audit.request import AuditRequest
from clipbench.audit.stage import kept
from clipbench.audit.suspects.files import FIRST_SPLIT
from clipbench.audit.suspects.found import Suspects
from clipbench.audit.suspects.plan import SUSPECTS, folder_of
from clipbench.audit.threshold import mixture
from clipbench.audit.threshold.bounds import Review, clopper_pearson, learn_then_test, thresholds
from clipbench.audit.threshold.found import Bound, Reviewed, Step, Threshold, Unlabelled
from clipbench.audit.threshold.labels import Label, check_form, read_labels, review_of
from clipbench.custody.record import note_used
from clipbench.errors import BadSetting
from clipbench.files import sums
from clipbench.files.json_files import sha256_file

VERSION = 2  # raise it with every change of what is found
ALPHAS = (0.1, 0.2, 0.5)  # shares of good pairs among the flagged
CONFIDENCE = 0.9


def threshold(request: AuditRequest, suspects: Suspects) -> Threshold:
    """Return what is known of thresholds for a ranked list.

    Args:
        request: the audit, with labels or without.
        suspects: the list.

    Raises:
        MissingData, CorruptData: the labels can't be used.
    """
    path = request.labels
    labels = None if path is None else read_labels(path, suspects, request.usable.shards)
    sha256 = None if path is None else sha256_file(path)
    if sha256 is not None:
        note_used("labels", sha256)
    listed = sums.of_json(msgspec.to_builtins(suspects))
    key = {"version": VERSION, "suspects": listed, "labels": sha256}

    def found() -> Threshold:
        reviewed = None if labels is None else _reviewed(labels, suspects)
        fitted = mixture.fitted(folder_of(request) / FIRST_SPLIT, suspects)
        return Threshold(unlabelled=_unlabelled(suspects), mixture=fitted, reviewed=reviewed)

    return kept(request.out / "threshold" / "threshold.json", Threshold, key, found)[0]


def check_before(request: AuditRequest) -> None:
    """Refuse labels of no list, or in no form that can be read, before any work.

    Raises:
        MissingData, CorruptData: the file is not there, or is no such table.
        BadSetting: the audit has no list yet that they could be of.
    """
    if request.labels is None:
        return
    check_form(request.labels)
    if not (folder_of(request) / SUSPECTS).is_file():
        raise BadSetting(
            f"{request.labels} judges a list that {request.out} does not have yet; run the audit"
            " without --labels first, and review its suspects/review.html."
        )


def check_labels(request: AuditRequest, suspects: Suspects) -> None:
    """Find out whether labels are of this list, before hours of other work.

    Raises:
        MissingData, CorruptData: they can't be used.
    """
    if request.labels is not None:
        read_labels(request.labels, suspects, request.usable.shards)


def _unlabelled(suspects: Suspects) -> list[Unlabelled]:
    ranks = np.array(suspects.canaries.ranks)
    steps = []
    for share in suspects.flagged:
        flagged = max(1, round(share * suspects.pairs))
        steps.append(
            Unlabelled(
                share=share,
                flagged=flagged,
                canaries=int((ranks <= flagged).sum()),
                planted=suspects.canaries.planted,
                agreement=suspects.agreement.get(f"{share:g}"),
            )
        )
    return steps


def _reviewed(labels: Mapping[int, Label], suspects: Suspects) -> Reviewed:
    review = review_of(labels, suspects)
    told = [label.says for label in labels.values()]
    return Reviewed(
        good=told.count("good"),
        bad=told.count("bad"),
        unsure=told.count("unsure"),
        census=len(review.census),
        drawn=len(review.ranks),
        region=review.region,
        steps=[step_of(review, flagged) for flagged in thresholds(review)],
        bounds=[
            Bound(
                alpha=alpha,
                confidence=CONFIDENCE,
                flagged=learn_then_test(review, alpha, 1 - CONFIDENCE),
            )
            for alpha in ALPHAS
        ],
    )


def step_of(review: Review, flagged: int) -> Step:
    """Return what labels say of one threshold.

    The intervals are those of Clopper and Pearson for the part of which a sample was judged; what
    is known one by one adds no doubt.

    Args:
        review: judged pairs.
        flagged: pairs that the threshold sets aside.
    """
    known = min(len(review.census), flagged)
    certain = int(review.census[:flagged].sum())
    judged, bad = review.counts(known + 1, flagged)
    hidden = flagged - known
    low, high = clopper_pearson(bad, judged)
    share = bad / judged if judged else (low + high) / 2
    caught, least, most = _caught(review, flagged)
    return Step(
        flagged=flagged,
        judged=known + judged,
        bad=certain + bad,
        precision=(certain + hidden * share) / flagged,
        low=(certain + hidden * low) / flagged,
        high=(certain + hidden * high) / flagged,
        caught=caught,
        caught_low=least,
        caught_high=most,
    )


def _caught(review: Review, flagged: int) -> tuple[float | None, float, float]:
    """Return the share of the region's bad pairs that is flagged, and its interval.

    The bad pairs on each side of the threshold have an interval of 97.5%, so that both hold at once
    with 95%.
    """
    known = min(len(review.census), review.region)
    inside, outside = float(review.census[:flagged].sum()), float(review.census[flagged:].sum())
    sides = (known + 1, max(known, flagged)), (max(known, flagged) + 1, review.region)
    counts = []
    for (first, last), certain in zip(sides, (inside, outside), strict=True):
        judged, bad = review.counts(first, last)
        size = max(0, last - first + 1)
        low, high = clopper_pearson(bad, judged, 0.975)
        share = bad / judged if judged else 0.0
        counts.append((certain + size * share, certain + size * low, certain + size * high))
    (some, few, many), (rest, rest_few, rest_many) = counts
    caught = some / (some + rest) if some + rest else None
    least = few / (few + rest_many) if few + rest_many else 0.0
    most = many / (many + rest_few) if many + rest_few else 1.0
    return caught, least, most
