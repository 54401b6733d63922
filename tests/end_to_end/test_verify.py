"""``clipbench verify`` on what ``clipbench`` wrote, whole and tampered with."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from tiny_runs import PAIRS, Place, command

from clipbench.files.json_files import write_summed
from clipbench.shards.reader import ShardSet

Grid = tuple[Place, list[dict[str, Any]]]


@pytest.fixture
def poisoned(grid: Grid, tmp_path: Path) -> Path:
    """Return a copy of a poisoned set."""
    first = min(grid[0].cache.glob("poisoned/*"))
    return Path(shutil.copytree(first, tmp_path / "poisoned"))


def test_what_was_written_verifies(grid: Grid, poisoned: Path) -> None:
    """Clean and poisoned sets pass every check, the poisoned one those for traces, too."""
    clean = command("verify", grid[0].only("cache/shapes/*"))
    assert clean.status == 0
    assert f"{PAIRS} pairs in 1 shard," in clean.out
    done = command("verify", poisoned, "--json")
    answer = json.loads(done.out)
    assert (done.status, answer["passed"]) == (0, True)
    names = [check["name"] for check in answer["checks"]]
    assert {"poisons", "ledger", "manifest"} <= set(names)
    assert [name for name in names if name.startswith("no trace in")]


def caption(folder: Path) -> None:
    """Change a poison's caption by a bit."""
    pair = int(pd.read_parquet(folder / "ledger" / "ledger.parquet")["index"][0])
    row = ShardSet.open(folder / "shards").index[pair]
    path = folder / "shards" / "00000.tar"
    content = bytearray(path.read_bytes())
    content[int(row["caption_offset"])] ^= 1
    path.write_bytes(content)


def cut_shard(folder: Path) -> None:
    """Cut the shard off."""
    path = folder / "shards" / "00000.tar"
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def ledger_row(folder: Path) -> None:
    """Take a poison out of the ledger."""
    path = folder / "ledger" / "ledger.parquet"
    pd.read_parquet(path).iloc[1:].to_parquet(path)


def ledger_beside(folder: Path) -> None:
    """Leave the ledger among the shards."""
    shutil.copy(folder / "ledger" / "ledger.json", folder / "shards")


def manifest(folder: Path) -> None:
    """Give the manifest another size of the shard."""
    path = folder / "shards" / "manifest.json"
    content = json.loads(path.read_text())
    content["shards"][0]["bytes"] += 1
    write_summed(path, content)


@pytest.mark.parametrize(
    ("tamper", "failed"),
    [
        (caption, "poisons"),
        (cut_shard, "pairs"),
        (ledger_row, "ledger"),
        (ledger_beside, "folder"),
        (manifest, "manifest"),
    ],
)
def test_what_was_tampered_with_fails(
    poisoned: Path, tamper: Callable[[Path], None], failed: str
) -> None:
    """A changed set fails with status 1, and the check that noticed is named."""
    tamper(poisoned)
    done = command("verify", poisoned)
    assert done.status == 1
    lines = [line.split(maxsplit=2) for line in done.out.splitlines()]
    assert failed in {line[1] for line in lines if line[0] == "FAILED"}
    assert str(poisoned) in done.out
