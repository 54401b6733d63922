"""``clipbench verify`` is not talked out of a poison: ledgers and shards that lie in one thing.

Every lie has its hashes and counts made right. It fails, with status 1, or, where what it claims
can't be looked at here, is answered with status 3; never with 0.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from forged import Head, Rows, forge, recount
from tiny_runs import DATA, command

from clipbench.shards.reader import ShardSet

POISONS = 20
Lie = Callable[[Head, Rows], Rows | None]


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a cache."""
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="module")
def made(cache: Path) -> Path:
    """Return a poisoned set."""
    return poison(cache, "badnets")


def poison(cache: Path, attack: str, data: str = DATA, out: str = "") -> Path:
    folder = cache / (out or attack.partition(":")[0])
    what = ("--data", data, "--attack", attack, "--poisons", POISONS)
    done = command("poison", "-q", *what, "--out", folder, "--cache", cache)
    assert done.status == 0, done.err
    return folder


def checked(folder: Path, cache: Path, *more: object) -> tuple[int, dict[str, dict[str, Any]]]:
    """Return the status of `verify`, and the checks that did not pass, by name."""
    done = command("verify", "-q", folder, "--cache", cache, "--json", *more)
    assert done.out, done.err
    answer = json.loads(done.out)
    assert answer["passed"] == (done.status == 0)
    assert answer["undecided"] == (done.status == 3)
    return done.status, {one["name"]: one for one in answer["checks"] if not one["passed"]}


def test_the_truth_passes(made: Path, cache: Path) -> None:
    """By a sample and whole; the clean set is the one that the ledger names, made by itself."""
    assert checked(made, cache) == (0, {})
    assert checked(made, cache, "--all") == (0, {})
    clean = next((cache / "shapes").iterdir())
    assert checked(made, cache, "--base", clean) == (0, {})
    assert checked(made, cache, "--base", DATA) == (0, {})


def setting(name: str, value: Any) -> Lie:
    """Return a lie in one field of the ledger."""

    def lie(head: Head, rows: Rows) -> None:  # noqa: ARG001
        *path, last = name.split(".")
        spot = head
        for part in path:
            spot = spot[part]
        assert spot.get(last) != value
        spot[last] = value

    return lie


def column(name: str, change: Callable[[Any], Any]) -> Lie:
    """Return a lie in one column of one row."""

    def lie(head: Head, rows: Rows) -> None:  # noqa: ARG001
        rows.loc[3, name] = change(rows.loc[3, name])

    return lie


def hidden(keep: int) -> Lie:
    return lambda head, rows: recount(head, rows.iloc[:keep])


def a_clean_pair_too(head: Head, rows: Rows) -> Rows:
    """Call a clean pair a poison, too."""
    return recount(head, pd.concat([rows, clean_row(rows)]).sort_values("index"))


def a_clean_pair_instead(head: Head, rows: Rows) -> Rows:
    """Call a clean pair a poison in the place of one."""
    return recount(head, pd.concat([rows.iloc[1:], clean_row(rows)]).sort_values("index"))


def clean_row(rows: Rows) -> Rows:
    pair = next(number for number in range(400) if number not in set(rows["index"]))
    folder = Path(rows.attrs["folder"])
    shards = ShardSet.open(folder / "shards")
    row = rows.iloc[[0]].copy()
    row["index"] = row["base_index"] = pair
    row["key"], row["shard"] = shards.key(pair), "00000.tar"
    row["caption_before"] = row["caption_after"] = shards.caption(pair)
    row["image_sha256"] = hashlib.sha256(shards.image_bytes(pair)).hexdigest()
    return row


def another_base(head: Head, rows: Rows) -> None:  # noqa: ARG001
    """Name another clean set, whose hashes fit together."""
    head["base"]["shards"][0]["sha256"] = "a" * 64
    head["base"]["content_sha256"] = hashlib.sha256(f"{'a' * 64}\n".encode()).hexdigest()


def inserted(head: Head, rows: Rows) -> None:
    """Say that poisons were inserted, with all that belongs to it."""
    head["mode"], head["base"]["num_pairs"] = "insert", 380
    rows["caption_before"] = None


def of_other_versions(lie: Lie) -> Lie:
    """Return a lie that is put down to the versions of programs."""

    def both(head: Head, rows: Rows) -> Rows | None:
        head["versions"]["numpy"] = "1.0"
        return lie(head, rows)

    return both


def two_targets(head: Head, rows: Rows) -> Rows:
    """Say that poisons are spread over two targets."""
    head["targets"] = 2
    rows.loc[rows.index[:5], "target"] = 1
    return recount(head, rows)


LEDGER: list[tuple[str, Lie, int, str]] = [
    ("19 of 20 poisons hidden", hidden(1), 1, "other pairs"),
    ("one poison hidden", hidden(19), 1, "other pairs"),
    ("rate", setting("rate", 1e-9), 1, "ledger"),
    ("rate of another count", setting("rate", 0.01), 1, "ledger"),
    ("attack", setting("attack", "blended"), 1, "made again"),
    ("attack that makes the same count of targets", setting("attack", "sig"), 1, "made again"),
    ("size of the patch", setting("parameters.size", 0.5), 1, "made again"),
    ("target class", setting("parameters.target_label", "red circle"), 1, "made again"),
    ("parameter that there is not", setting("parameters.strength", 3), 1, "made again"),
    ("seed", setting("seed", 99), 1, "made again"),
    ("mode alone", setting("mode", "insert"), 1, "ledger"),
    ("mode with all that belongs to it", inserted, 1, "clean set"),
    ("hash of the trigger", setting("trigger_sha256", "0" * 64), 1, "made again"),
    ("no trigger", setting("trigger_sha256", None), 1, "made again"),
    ("shape of the trigger's probes", setting("trigger_probe", [64, 64]), 1, "made again"),
    ("clean set", another_base, 1, "clean set"),
    ("hash of the clean set alone", setting("base.content_sha256", "b" * 64), 1, "ledger"),
    ("pairs of the clean set", setting("base.num_pairs", 500), 1, "ledger"),
    ("name of the clean set", setting("base.name", "cc3m"), 1, "clean set"),
    ("where the clean set is from", setting("base.source", {"seed": 1}), 1, "clean set"),
    ("seed of the data set", setting("dataset.seed", 7), 1, "clean set"),
    ("size of the data set", setting("dataset.size", 300), 1, "clean set"),
    ("a data set of a billion pairs", setting("dataset.size", 10**9), 1, "clean set"),
    ("pictures of the data set", setting("dataset.image_size", 1024), 1, "clean set"),
    ("data set that must be named", setting("dataset", {"name": "cc3m", "root": "x"}), 3, "clean"),
    ("data set of no such name", setting("dataset.name", "unheard"), 3, "clean set"),
    ("data set that is a file", setting("code", {"dataset": "c" * 64}), 3, "clean set"),
    ("targets", two_targets, 1, "made again"),
    ("caption before", column("caption_before", lambda text: text + " indeed"), 1, "named pairs"),
    ("caption after", column("caption_after", lambda text: text + " indeed"), 1, "poisons"),
    ("hash of an image", column("image_sha256", lambda _: "d" * 64), 1, "poisons"),
    ("clean pair it was", column("base_index", lambda number: number + 1), 1, "named pairs"),
    ("clean pair out of range", column("base_index", lambda _: 10**6), 1, "named pairs"),
    ("role", column("role", lambda _: "bystander"), 1, "made again"),
    ("place", column("index", lambda number: number + 1), 1, "poisons"),
    ("key", column("key", lambda _: "000000399"), 1, "poisons"),
    ("shard", column("shard", lambda _: "00001.tar"), 1, "poisons"),
    ("a clean pair called a poison, too", a_clean_pair_too, 1, "named pairs"),
    ("a clean pair called a poison instead", a_clean_pair_instead, 1, "named pairs"),
    ("what made room", setting("moved", [["000000001", "000000400"]]), 1, "ledger"),
    ("what was left out", setting("left_out", {"image missing": 4}), 1, "clean set"),
    ("what it learned", setting("crafted", {"patch": "00"}), 1, "made again"),
    ("hash of the shards", setting("content_sha256", "e" * 64), 1, "ledger"),
    ("an attack that is a file", setting("code", {"attack": "f" * 64}), 3, "made again"),
    ("an attack that is not installed", setting("attack", "unheard"), 3, "made again"),
    ("an attack that is a path", setting("attack", "/tmp/attack.py"), 3, "made again"),
    ("seed, by other versions", of_other_versions(setting("seed", 99)), 3, "made again"),
    ("poisons hidden, by other versions", of_other_versions(hidden(1)), 1, "other pairs"),
]


@pytest.mark.parametrize(
    ("lie", "status", "check"), [one[1:] for one in LEDGER], ids=[one[0] for one in LEDGER]
)
def test_a_ledger_that_lies_is_told(
    made: Path, cache: Path, tmp_path: Path, lie: Lie, status: int, check: str
) -> None:
    """In every field and column, by the check that is about it."""
    folder = Path(shutil.copytree(made, tmp_path / "set"))

    def with_place(head: Head, rows: Rows) -> Rows | None:
        rows.attrs["folder"] = str(folder)
        return lie(head, rows)

    forge(folder, with_place)
    found, told = checked(folder, cache)
    assert found == status, told
    assert any(name.startswith(check) for name in told), told
