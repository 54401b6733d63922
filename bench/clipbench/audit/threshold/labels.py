"""Labels of reviewed pairs: a CSV file that the review page exports, or a person writes.

A row says of one pair whether it is good, bad, or whether the person could not tell, whether it was
judged among the first suspects or in the random sample, and of which lists it is, by the hash of
what the page showed.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np

from clipbench.audit.suspects.found import Suspects
from clipbench.audit.threshold.bounds import Review
from clipbench.errors import BadSetting, CorruptData, MissingData
from clipbench.files.foreign import TooLarge, read_regular
from clipbench.shards.reader import ShardSet
from clipbench.text.sinks import csv_cell
from clipbench.text.visible import escaped, visible

COLUMNS = ("key", "index", "label", "review_sha256")
LABELS = ("good", "bad", "unsure")
LISTS = FIRST, RANDOM = "first", "random"
MOST_BYTES = 1 << 26
_SHOWN = 60  # characters of what a message repeats


class Label(NamedTuple):
    """What a person says of a pair.

    Args:
        says: one of `LABELS`.
        in_sample: whether that was said when the random sample was gone through.
    """

    says: str
    in_sample: bool


def read_labels(path: Path, found: Suspects, pairs: ShardSet) -> dict[int, Label]:
    """Return the label of each judged pair, by its number.

    Args:
        path: the file.
        found: the list that was reviewed.
        pairs: of the audit.

    Raises:
        MissingData: there is no such file.
        CorruptData: it is no such table, judges another list, names pairs that are not there, or
            contradicts itself.
    """
    labels: dict[int, Label] = {}
    for line, row in _rows(path):
        where = f"{path} line {line}"
        if row["review_sha256"] != found.review_sha256:
            raise CorruptData(
                f"{where} judges a pair of another list ({_shown(row['review_sha256'])}, here"
                f" {found.review_sha256[:12]}); export labels from this audit's review.html."
            )
        index = _index_of(row, pairs, where)
        label = row["label"].strip().lower()
        if label not in LABELS:
            raise CorruptData(
                f"{where}: the label is {_shown(row['label'])}; it must be one of"
                f" {', '.join(LABELS)}."
            )
        place = row.get("list", RANDOM).strip().lower()
        if place not in LISTS:
            raise CorruptData(
                f"{where}: the list is {_shown(place)}; it must be one of {', '.join(LISTS)}."
            )
        before = labels.get(index)
        if before is not None and before.says != label:
            raise CorruptData(
                f"{where} calls the pair {_shown(row['key'])} {label}, an earlier line"
                f" {before.says}; remove one of them."
            )
        in_sample = place == RANDOM or (before is not None and before.in_sample)
        labels[index] = Label(label, in_sample)
    if not labels:
        raise BadSetting(f"{path} judges no pair; review some with review.html and export them.")
    return labels


def check_form(path: Path) -> None:
    """Find out whether a file can be read as labels, of whichever list.

    Raises:
        MissingData, CorruptData: it is not there, or is no such table.
    """
    for _ in _rows(path):
        pass


def review_of(labels: Mapping[int, Label], found: Suspects) -> Review:
    """Return what labels say of thresholds; a pair that nobody could judge counts as good.

    Judged pairs of the first list count up to the first that is not judged, those of the random
    sample up to the last that was judged there: an unjudged pair before it counts as good, for
    whoever passes over the hard ones would have drawn no random sample.

    Args:
        labels: by number of the pair.
        found: the list.
    """
    order = [one.index for one in found.first]
    known = next((place for place, pair in enumerate(order) if pair not in labels), len(order))
    bad = {pair for pair, label in labels.items() if label.says == "bad"}
    census = np.array([pair in bad for pair in order[:known]], dtype=bool)
    last = max(
        (
            place
            for place, one in enumerate(found.sampled)
            if one.rank > known and one.index in labels and labels[one.index].in_sample
        ),
        default=-1,
    )
    beyond = [one for one in found.sampled[: last + 1] if one.rank > known]
    return Review(
        census=census,
        ranks=np.array([one.rank for one in beyond], dtype=np.int64),
        bad=np.array([one.index in bad for one in beyond], dtype=bool),
        region=found.region,
    )


def _rows(path: Path) -> Iterator[tuple[int, dict[str, str]]]:
    """Yield number and fields of each line that is not empty.

    Raises:
        MissingData, CorruptData: the file is not there, or is no table.
    """
    try:
        text = read_regular(path, MOST_BYTES).decode("utf-8-sig")
    except OSError as error:
        raise MissingData(f"The labels {path} can't be read: {error.strerror}.") from error
    except (TooLarge, UnicodeDecodeError) as error:
        raise CorruptData(f"The labels {path} are no CSV file in UTF-8: {error}.") from error
    head = text.partition("\n")[0]
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=";" if ";" in head else ",")
    try:
        names = [name.strip().lower() for name in next(reader, [])]
        missing = [name for name in COLUMNS if name not in names]
        if missing:
            raise CorruptData(
                f"The labels {path} lack the column {missing[0]!r}; the first line must name"
                f" {', '.join(COLUMNS)}."
            )
        for row in reader:
            if len(row) == len(names):
                yield reader.line_num, dict(zip(names, row, strict=True))
            elif any(cell.strip() for cell in row):
                raise CorruptData(
                    f"{path} line {reader.line_num} has {len(row)} cells, the first line"
                    f" {len(names)}; export the labels again."
                )
    except csv.Error as error:
        raise CorruptData(f"{path} line {reader.line_num} is no CSV: {error}.") from error


def _index_of(row: Mapping[str, str], pairs: ShardSet, where: str) -> int:
    """Return the number of the pair that a line names.

    Raises:
        CorruptData: the set has no such pair.
    """
    text, key = row["index"].strip(), row["key"]
    if text.isascii() and text.isdigit() and len(text) < 20 and int(text) < len(pairs):
        index = int(text)
        own = visible(escaped(pairs.key(index)))
        if key in (own, csv_cell(own)):
            return index
    raise CorruptData(
        f"{where} names a pair that the set does not have: key {_shown(key)}, index"
        f" {_shown(text)}; export the labels again."
    )


def _shown(text: str) -> str:
    """Return what a message repeats of a stranger's text."""
    return repr(visible(text[:_SHOWN])) if text else "empty"
