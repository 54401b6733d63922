"""Poison rates, and the ledger's files."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from clipbench.errors import CorruptData, MissingData
from clipbench.poisoning.ledger import (
    Base,
    BaseShard,
    LedgerHead,
    LedgerRow,
    read_ledger,
    trigger_sha256,
    write_ledger,
)

ROWS = [
    LedgerRow(7, "000000007", "00000.tar", 1, "poison", "before", "after", "ab" * 32, 7),
    LedgerRow(2, "000000002", "00000.tar", 0, "cover", None, "grün", "cd" * 32, -1),
]
HEAD = LedgerHead(
    base=Base(
        name="tiny",
        source={"format": "tiny"},
        content_sha256="ef" * 32,
        num_pairs=None,
        shards=(BaseShard("00000.tar", "23" * 32),),
    ),
    content_sha256="01" * 32,
    attack="stain",
    parameters={"a": [1, None, "x"]},
    dataset={"name": "tiny"},
    evals=[{"name": "pictures"}],
    seed=3,
    rate=0.2,
    count=2,
    num_pairs=10,
    targets=2,
    per_target=[1, 1],
    mode="replace",
    trigger_sha256=None,
    trigger_probe=None,
    moved=[],
    versions={"clipbench": "0"},
)


def test_ledger_comes_back_as_written(tmp_path: Path) -> None:
    """Head and rows are read as they were written, rows in order of index."""
    path = write_ledger(tmp_path / "ledger", HEAD, ROWS)
    for where in (path, tmp_path / "ledger", tmp_path):
        ledger = read_ledger(where)
        assert {field: getattr(ledger, field) for field in vars(HEAD)} == vars(HEAD)
        assert list(ledger.rows["index"]) == [2, 7]
        assert list(ledger.rows["caption_after"]) == ["grün", "after"]
        assert ledger.rows["caption_before"].tolist() == [None, "before"]
    again = write_ledger(tmp_path / "again", HEAD, ROWS[::-1])
    assert again.read_bytes() == path.read_bytes()
    assert read_ledger(again).sha256 == read_ledger(path).sha256


def test_ledger_hash_stands_for_the_rows(tmp_path: Path) -> None:
    """Another caption in one row gives another hash of the ledger."""
    one = write_ledger(tmp_path / "one", HEAD, ROWS)
    two = write_ledger(tmp_path / "two", HEAD, [replace(ROWS[0], caption_after="x"), ROWS[1]])
    assert read_ledger(one).sha256 != read_ledger(two).sha256


@pytest.mark.parametrize(
    ("head", "rows", "words"),
    [
        (replace(HEAD, count=3), ROWS, "per_target must add up to 3, but is 2"),
        (replace(HEAD, count=3, per_target=[2, 1]), ROWS, "has 2 rows, and 3 poisons"),
        (replace(HEAD, targets=10**9), ROWS, "per_target must have 1000000000 items"),
        (replace(HEAD, num_pairs=1), ROWS, "count must be at most 1"),
        (replace(HEAD, per_target=[2, 0]), ROWS, "spread over the targets"),
        (replace(HEAD, num_pairs=7), ROWS, "does not have"),
        (HEAD, [ROWS[0], replace(ROWS[1], index=7)], "names a pair twice"),
        (HEAD, [ROWS[0], replace(ROWS[1], key=ROWS[0].key)], "names a pair twice"),
    ],
)
def test_ledger_that_contradicts_itself_is_corrupt(
    tmp_path: Path, head: LedgerHead, rows: list[LedgerRow], words: str
) -> None:
    """Counts, targets, numbers and keys must fit together."""
    path = write_ledger(tmp_path, head, rows)
    with pytest.raises(CorruptData, match=words) as caught:
        read_ledger(path)
    assert str(tmp_path / "ledger.") in str(caught.value)


def test_damaged_ledger_is_corrupt(tmp_path: Path) -> None:
    """Rows of another ledger, a cut-off JSON, a missing field and another version are refused."""
    path = write_ledger(tmp_path, HEAD, ROWS)
    rows, text = tmp_path / "ledger.parquet", path.read_text()
    whole = rows.read_bytes()
    rows.write_bytes(whole[:-1])
    with pytest.raises(CorruptData, match="not the one"):
        read_ledger(path)
    rows.unlink()
    with pytest.raises(MissingData, match=r"ledger\.parquet"):
        read_ledger(path)
    rows.write_bytes(whole)
    value = json.loads(text)
    damaged = [text[:50], "[]", json.dumps({**value, "version": 9})]
    damaged.append(json.dumps({name: value[name] for name in value if name != "attack"}))
    damaged.append(json.dumps({**value, "surprise": 1}))
    for content in damaged:
        path.write_text(content)
        with pytest.raises(CorruptData, match=r"ledger\.json"):
            read_ledger(path)


def test_missing_ledger_is_told(tmp_path: Path) -> None:
    """A folder without ledger and a path that is not there are named."""
    with pytest.raises(MissingData, match=r"holds no ledger\.json"):
        read_ledger(tmp_path)
    with pytest.raises(MissingData, match=r"gone\.json"):
        read_ledger(tmp_path / "gone.json")


def test_trigger_hash_tells_triggers_apart() -> None:
    """The same function gives the same hash; another function or image size another."""
    one = trigger_sha256(np.invert, (16, 16))
    assert trigger_sha256(lambda image: 255 - image, (16, 16)) == one
    assert trigger_sha256(lambda image: image, (16, 16)) != one
    assert trigger_sha256(np.invert, (16, 17)) != one


def test_a_ledger_that_changed_since_it_was_written_is_refused(tmp_path: Path) -> None:
    """Its hash stands beside it, as sha256sum takes it; without that nobody knows."""
    path = write_ledger(tmp_path, HEAD, ROWS)
    told = (tmp_path / "ledger.sha256").read_text()
    assert told == f"{read_ledger(path).sha256}  ledger.json\n"
    path.write_text(path.read_text().replace('"seed": 3', '"seed": 1'))
    with pytest.raises(CorruptData, match=r"not the one that ledger.sha256 beside it"):
        read_ledger(path)
    (tmp_path / "ledger.sha256").unlink()
    assert read_ledger(path).seed == 1
