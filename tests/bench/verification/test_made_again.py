"""Poisons of every mode, in sets of every form, are what is made again of their ledger."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from shard_pairs import Stain, crawled, scene

from clipbench.contracts import no_progress
from clipbench.poisoning.ledger import LedgerHead, read_ledger, write_ledger
from clipbench.poisoning.ledger_rows import LedgerRow
from clipbench.poisoning.overlay import PoisonedSet, write_poisoned
from clipbench.shards.reader import ShardSet
from clipbench.verification.made_again import by_sample, differences, whole
from clipbench.verification.verify import verify

POISONS = 9
_OF_THE_FILE = ("path", "sha256", "rows")  # of a ledger, and not of its content
FORMS: dict[str, dict[str, Any]] = {
    "gaps in the keys": {},
    "no gaps": {"gaps": False},
    "keys that are no numbers": {"key": "k{odd:04d}x"},
    "shards that take turns": {"key": "{woven:09d}", "gaps": False},
    "captions in the JSON": {"caption_field": "text"},
}


@pytest.fixture(params=FORMS.values(), ids=FORMS)
def form(request: pytest.FixtureRequest) -> Mapping[str, Any]:
    """The form of a set of three shards."""
    found: Mapping[str, Any] = request.param
    return found


def poisoned(base: ShardSet, attack: Stain, out: Path) -> PoisonedSet:
    """Return a set with poisons."""
    return write_poisoned(
        base,
        attack,
        scene(POISONS),
        out,
        attack_name="stain",
        attack_parameters={},
        dataset={"caption_field": base.caption_field},
    )


@pytest.mark.parametrize("mode", ["replace", "insert"])
def test_they_come_out_to_the_byte(tmp_path: Path, form: Mapping[str, Any], mode: Any) -> None:
    """And another seed, another attack or a row less do not."""
    base = crawled(tmp_path / "set", **form)
    attack = Stain(mode)
    made = poisoned(base, attack, tmp_path / "out")
    ledger = read_ledger(made.ledger)
    again = by_sample(base, attack, scene(POISONS), no_progress)
    found, sound = differences(ledger, made.shards, again)
    assert found == []
    assert sound == set(ledger.rows["index"])
    assert len(again.files) == POISONS
    complete = whole(ledger, base, attack, scene(POISONS), tmp_path, no_progress)
    assert differences(ledger, made.shards, complete)[0] == []
    for other in (Stain(mode, text="another dog"), Stain(mode, targets=3)):
        made_otherwise = by_sample(base, other, scene(POISONS), no_progress)
        assert differences(ledger, made.shards, made_otherwise)[0]
    elsewhere = by_sample(base, attack, scene(POISONS, seed=1), no_progress)
    assert differences(ledger, made.shards, elsewhere)[0]


@pytest.mark.parametrize("mode", ["replace", "insert"])
def test_a_row_that_is_not_there_is_missed(
    tmp_path: Path, form: Mapping[str, Any], mode: Any
) -> None:
    """The clean set tells of the pair that no row names, wherever the poison was put."""
    base = crawled(tmp_path / "set", **form)
    made = poisoned(base, Stain(mode), tmp_path / "out")
    assert verify(tmp_path / "out", base=base).passed
    book = read_ledger(made.ledger)
    head = {name: value for name, value in vars(book).items() if name not in _OF_THE_FILE}
    rows = [LedgerRow(**row) for row in book.rows.to_dict("records")][1:]
    per_target = [sum(row.target == target for row in rows) for target in range(book.targets)]
    less: dict[str, Any] = {"count": len(rows), "per_target": per_target}
    less["rate"] = len(rows) / book.num_pairs
    if mode == "insert":
        less["base"] = replace(book.base, num_pairs=len(base) + 1)
    write_ledger(made.ledger.parent, replace(LedgerHead(**head), **less), rows)
    report = verify(tmp_path / "out", base=base)
    failed = {check.name for check in report.checks if not check.passed}
    assert "other pairs" in failed
    assert "ledger" not in failed
