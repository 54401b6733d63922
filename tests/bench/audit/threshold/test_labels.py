"""Labels are read from a CSV file, and refused in one line where they are not of this list."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import msgspec
import pytest
from audited import Audited

from clipbench.audit.suspects.found import Canaries
from clipbench.audit.threshold.find import check_before, threshold
from clipbench.audit.threshold.labels import Label, read_labels, review_of
from clipbench.errors import BadInput, BadSetting, CorruptData, MissingData

HEAD = "key,index,label,review_sha256"
Edit = Callable[[list[str]], list[str]]


def written(path: Path, audited: Audited, labels: list[str], edit: Edit = list) -> Path:
    """Write labels of the first suspects, in the order of the list."""
    rows = [
        f"{one.key},{one.index},{label},{audited.found.review_sha256}"
        for one, label in zip(audited.found.first, labels, strict=False)
    ]
    path.write_text("\n".join(edit([HEAD, *rows])) + "\n", encoding="utf-8")
    return path


def read(path: Path, audited: Audited) -> dict[int, Label]:
    return read_labels(path, audited.found, audited.request.usable.shards)


def test_labels_are_read_by_the_number_of_the_pair(audited: Audited, tmp_path: Path) -> None:
    labels = read(written(tmp_path / "l.csv", audited, ["bad", "good", "unsure"]), audited)
    first = audited.found.first
    assert [labels[one.index].says for one in first[:3]] == ["bad", "good", "unsure"]
    assert len(labels) == 3


@pytest.mark.parametrize(
    "edit",
    [
        lambda lines: [lines[0], *reversed(lines[1:])],
        lambda lines: [line.replace(",", ";") for line in lines],
        lambda lines: ["\ufeff" + lines[0], *lines[1:], "", lines[1]],
    ],
    ids=["reordered", "semicolons", "byte order mark, empty line, twice the same"],
)
def test_what_a_spreadsheet_does_to_a_file_is_no_harm(
    edit: Edit, audited: Audited, tmp_path: Path
) -> None:
    expected = read(written(tmp_path / "a.csv", audited, ["bad", "good"]), audited)
    assert read(written(tmp_path / "b.csv", audited, ["bad", "good"], edit), audited) == expected


@pytest.mark.parametrize(
    ("edit", "error", "says"),
    [
        (lambda lines: lines[:1], BadSetting, "judges no pair"),
        (lambda lines: ["key,index", *lines[1:]], CorruptData, "lack the column 'label'"),
        (
            lambda lines: [*lines, lines[1].replace(",bad,", ",good,")],
            CorruptData,
            "calls the pair",
        ),
        (lambda lines: [lines[0], lines[1].replace(",bad,", ",evil,")], CorruptData, "'evil'"),
        (lambda lines: [lines[0], f"x{lines[1]}"], CorruptData, "does not have"),
        (lambda lines: [lines[0], lines[1][:-8] + "00000000"], CorruptData, "another list"),
        (lambda lines: [*lines, "a,b"], CorruptData, "has 2 cells"),
        (lambda lines: [*lines, 'a,"b' + "x" * 200_000], CorruptData, "line"),
    ],
    ids=["none", "column", "contradiction", "label", "key", "hash", "cells", "cell"],
)
def test_a_file_that_cannot_be_used_is_refused_in_one_line(
    edit: Edit, error: type[BadInput], says: str, audited: Audited, tmp_path: Path
) -> None:
    """It names file and line, and says what to do; the exit status of such an error is 2."""
    path = written(tmp_path / "labels.csv", audited, ["bad", "good"], edit)
    with pytest.raises(error, match=says) as caught:
        read(path, audited)
    assert "\n" not in str(caught.value)
    assert str(path) in str(caught.value)
    assert caught.value.exit_status == 2


def test_labels_are_refused_before_any_work_where_there_is_no_list(
    audited: Audited, tmp_path: Path
) -> None:
    """Nothing is trained for labels that nobody can use; those of the list pass."""
    path = written(tmp_path / "labels.csv", audited, ["bad"])
    check_before(replace(audited.request, labels=path))
    check_before(audited.request)
    with pytest.raises(BadSetting, match="does not have yet"):
        check_before(replace(audited.request, labels=path, out=tmp_path / "new"))
    path.write_text("a,b\n")
    with pytest.raises(CorruptData, match="lack the column"):
        check_before(replace(audited.request, labels=path))


def test_a_file_that_is_not_there_is_said_so(audited: Audited, tmp_path: Path) -> None:
    with pytest.raises(MissingData, match="No such file"):
        read(tmp_path / "none.csv", audited)


def test_a_pair_that_was_passed_over_counts_as_good(audited: Audited) -> None:
    """In the random sample up to the last judged there; in the first list it ends the census."""
    found = audited.found
    bad, unsure = Label("bad", True), Label("unsure", True)
    labels = {one.index: Label("bad", False) for one in [*found.first[:3], found.first[4]]}
    review = review_of(labels, found)
    assert review.census.tolist() == [True] * 3
    assert not len(review.ranks)  # a pair of the first list is no draw, also if it was drawn
    drawn = [one.index for one in found.sampled]
    labels = {drawn[0]: bad, drawn[4]: bad, drawn[2]: unsure}
    review = review_of(labels, found)
    known = len(review.census)
    drawn = [one for one in found.sampled[:5] if one.rank > known]
    assert review.ranks.tolist() == [one.rank for one in drawn]
    assert review.bad.tolist() == [labels.get(one.index) == bad for one in drawn]


def test_labels_give_thresholds_and_no_labels_give_what_canaries_tell(
    audited: Audited, tmp_path: Path
) -> None:
    """With 100 pairs judged bad, at least those are known to be worth setting aside."""
    without = threshold(audited.request, audited.found)
    assert without.reviewed is None
    assert [step.flagged for step in without.unlabelled] == sorted(
        step.flagged for step in without.unlabelled
    )
    path = written(tmp_path / "labels.csv", audited, ["bad"] * 100)
    told = threshold(replace(audited.request, labels=path), audited.found)
    assert told.unlabelled == without.unlabelled
    assert told.reviewed is not None
    assert (told.reviewed.bad, told.reviewed.census) == (100, 100)
    assert [bound.alpha for bound in told.reviewed.bounds] == [0.1, 0.2, 0.5]
    for bound in told.reviewed.bounds:
        assert bound.flagged is not None
        assert 100 <= bound.flagged <= 100 / (1 - bound.alpha)  # though all beyond were good


def test_labels_of_another_draw_are_refused(audited: Audited, tmp_path: Path) -> None:
    """Though scores are the same: the sample, its order and its region decide what labels say."""
    path, found = written(tmp_path / "l.csv", audited, ["bad"]), audited.found
    pairs = audited.request.usable.shards
    for fields in (
        {"sampled": found.sampled[::-1]},
        {"sampled": found.sampled[1:]},
        {"region": found.region - 1},
    ):
        other = msgspec.structs.replace(found, **fields)
        with pytest.raises(CorruptData, match="another list"):
            read_labels(path, other, pairs)
    assert read_labels(path, found, pairs)


def test_thresholds_are_found_again_where_the_list_is_another(
    audited: Audited, tmp_path: Path
) -> None:
    """Also where its scores are the same: other canaries, another region."""
    shutil.copytree(audited.request.out, tmp_path / "out")
    asked = replace(audited.request, out=tmp_path / "out")
    assert threshold(asked, audited.found) == threshold(audited.request, audited.found)
    first = Canaries(planted=3, ranks=[1, 1, 1])
    told = threshold(asked, msgspec.structs.replace(audited.found, canaries=first))
    assert [(step.canaries, step.planted) for step in told.unlabelled] == [(3, 3)] * 6
    path = written(asked.out / "labels.csv", audited, ["bad"])
    asked, shorter = replace(asked, labels=path), msgspec.structs.replace(audited.found, region=110)
    written(path, replace(audited, found=shorter), ["bad"])
    reviewed = threshold(asked, shorter).reviewed
    assert reviewed is not None
    assert reviewed.region == 110
