"""What the page says of suspects and thresholds: plain sentences, and every number with its n."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import msgspec
from audited import PAIRS, Audited

from clipbench.audit.suspects.found import SupplierShare, Suspects
from clipbench.audit.suspects.section import suspects_section
from clipbench.audit.threshold.find import threshold
from clipbench.audit.threshold.section import threshold_section


def changed(found: Suspects, **fields: object) -> Suspects:
    return msgspec.structs.replace(found, **fields)


def test_the_summary_counts_planted_pairs(audited: Audited) -> None:
    """How many of how many are found, with an interval; the pictures are in the page."""
    section = suspects_section(audited.request, audited.found)
    said = " ".join(section.said)
    assert f"All {PAIRS} pairs are ranked" in said
    assert re.search(r"12 pairs were planted .* \(\d+%, \d+ to \d+%\)", said)
    assert section.evidence.count("data:image/jpeg;base64,") == 10
    assert "style=" not in section.evidence


def test_a_small_set_is_said_to_teach_a_model_little(audited: Audited) -> None:
    assert any("learns little from 120 pairs" in one for one in audited.found.doubts)
    assert audited.found.doubts[0] in suspects_section(audited.request, audited.found).said


def test_a_supplier_stands_out_only_beyond_chance(audited: Audited) -> None:
    """Three times as many suspects as expected may be chance; a thousand to one is not."""

    def share(name: str, chance: float) -> SupplierShare:
        return SupplierShare(supplier=name, pairs=10, first=5, expected=1.5, chance=chance)

    both = [share("<b>a", 1e-9), share("b", 0.02)]
    found = changed(audited.found, suppliers=both, suppliers_count=2)
    section = suspects_section(audited.request, found)
    told = [one for one in section.said if one.startswith("Supplier")]
    assert len(told) == 1
    assert told[0].startswith("Supplier <b>a delivered")
    assert "&lt;b&gt;a" in section.evidence  # a text of a stranger is no markup
    assert "<b>a" not in section.evidence


def test_chance_is_shared_among_all_suppliers_of_the_set(audited: Audited) -> None:
    """Of a thousand, one has a chance of one in ten thousand by chance; of two it has not.

    How many of them are among the first suspects does not matter: one alone may be all that is.
    """
    one = SupplierShare(supplier="a", pairs=10, first=5, expected=0.1, chance=1e-4)
    for count, told in ((2, 2), (1_000, 0)):
        found = changed(audited.found, suppliers=[one], suppliers_count=count)
        section = suspects_section(audited.request, found)
        sentences = [*section.said, *section.advice]
        assert sum("upplier a " in sentence for sentence in sentences) == told
        assert "Suppliers of the" in section.evidence


def test_suppliers_of_the_set_are_counted(audited: Audited) -> None:
    """The scenes name none, which counts as one."""
    assert audited.found.suppliers_count == 1
    assert "Suppliers of the" not in suspects_section(audited.request, audited.found).evidence


def test_without_labels_no_threshold_is_recommended(audited: Audited) -> None:
    found = threshold(audited.request, audited.found)
    section = threshold_section(audited.found, found)
    assert section.said[0].startswith("Nobody has judged any pairs yet")
    assert not section.advice


def test_with_labels_the_summary_says_how_many_to_set_aside(
    audited: Audited, tmp_path: Path
) -> None:
    """With its confidence, for each share of good pairs; the advice names the largest."""
    path = tmp_path / "labels.csv"
    rows = [
        f"{one.key},{one.index},bad,{audited.found.review_sha256}" for one in audited.found.first
    ]
    path.write_text("\n".join(["key,index,label,review_sha256", *rows]))
    found = threshold(replace(audited.request, labels=path), audited.found)
    section = threshold_section(audited.found, found)
    assert "at most 10 in 100 of them are good ones (confidence 90%)" in " ".join(section.said)
    # 100 of the 120 pairs of the set are known to be bad, so that half of them are, at any rate.
    assert "or the first 120 if 50 in 100 of them may be good" in section.advice[0]
    assert 'class="plot"' in section.evidence


def test_labels_that_find_nothing_advise_to_set_nothing_aside(
    audited: Audited, tmp_path: Path
) -> None:
    path = tmp_path / "labels.csv"
    one = audited.found.first[0]
    row = f"{one.key},{one.index},good,{audited.found.review_sha256}"
    path.write_text(f"key,index,label,review_sha256\n{row}\n")
    found = threshold(replace(audited.request, labels=path), audited.found)
    section = threshold_section(audited.found, found)
    assert sum(line.startswith("No threshold is known") for line in section.said) == 3
    assert section.advice[0].startswith("Judge more pairs")


def test_a_mixture_without_two_humps_is_not_to_be_used(audited: Audited) -> None:
    """The page says so, and why; with fewer than 200 pairs it is not even fitted."""
    found = threshold(audited.request, audited.found)
    assert not found.mixture.trusted
    assert "do not use it here" in threshold_section(audited.found, found).evidence
