"""Names that are no text: keys, shards and folders of bytes that no codec takes."""

from __future__ import annotations

import io
import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from shard_pairs import Stain, caption, picture, scene, write_members

from clipbench.cli import main
from clipbench.images.encoding import encode_jpeg
from clipbench.importing.pairs import import_set
from clipbench.importing.usable import open_usable
from clipbench.pipeline.detect import table_of
from clipbench.pipeline.suspects import write_page
from clipbench.plugins import registry
from clipbench.poisoning.ledger import read_ledger
from clipbench.poisoning.overlay import write_poisoned
from clipbench.shards.reader import ShardSet
from clipbench.verification.verify import verify

COUNT = 24
ODD = os.fsdecode(b"caf\xe9")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a folder of such a name, with a shard of such a name, of pairs with such keys."""
    members = []
    for number in range(COUNT):
        key = f"{ODD}_{number:05d}"
        members.append((f"{key}.jpg", encode_jpeg(picture(number))))
        members.append((f"{key}.json", json.dumps({"uid": number}).encode()))
        members.append((f"{key}.txt", caption(number).encode()))
    return write_members(tmp_path / ODD / f"{ODD}_00000.tar", members).parent


def test_pairs_are_read_screened_and_imported(folder: Path, tmp_path: Path) -> None:
    """Every key is found under the name that Python gives it."""
    shards = open_usable(folder, tmp_path / ODD / "cache", workers=0).shards
    assert shards.find(f"{ODD}_00007") == 7
    source = registry.build("dataset", {"name": "shards", "path": str(folder)})
    assert len(import_set(source, tmp_path / "new", name="shards", workers=0)) == COUNT


@pytest.mark.parametrize("mode", ["replace", "insert"])
def test_poisons_are_in_the_ledger_under_escaped_keys(
    folder: Path, tmp_path: Path, mode: Any
) -> None:
    """The table is text that every reader takes, and verification finds each poison by it."""
    base = ShardSet.open(folder)
    made = write_poisoned(
        base,
        Stain(mode),
        scene(4),
        tmp_path / ODD / "out",
        attack_name="stain",
        attack_parameters={},
        dataset={"path": str(folder)},
    )
    rows = read_ledger(made.ledger).rows
    assert all(key.startswith("caf\\xe9_") for key in rows["key"])
    assert set(rows["shard"]) == {"caf\\xe9_00000.tar"}
    report = verify(tmp_path / ODD / "out", base=base)
    assert [check.message for check in report.checks if not check.passed] == []


def test_scores_are_listed_under_escaped_keys(folder: Path, tmp_path: Path) -> None:
    """In the table and on the page of suspicious pairs."""
    shards = ShardSet.open(folder)
    scores = {"kdist": np.arange(COUNT, dtype=np.float32)}
    table = table_of(shards, scores)
    table.to_parquet(tmp_path / "scores.parquet", index=False)
    assert table["key"][3] == "caf\\xe9_00003"
    write_page(tmp_path / "page.html", shards, scores, 5)
    assert "caf\\udce9_00003" in (tmp_path / "page.html").read_text(encoding="utf-8")


def test_commands_print_such_names(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A path leaves as the bytes it has; JSON has them escaped, and is UTF-8."""

    def said(*words: str) -> bytes:
        out = io.TextIOWrapper(io.BytesIO(), encoding="utf-8")  # as a terminal's
        monkeypatch.setattr("sys.stdout", out)
        assert main([*words]) == 0
        out.flush()
        content: bytes = out.buffer.getvalue()  # type: ignore[attr-defined]
        return content

    words = ["data", "import", f"shards:path={folder}", "--workers", "0", "-q", "--out"]
    assert said(*words, str(tmp_path / ODD / "a")) == os.fsencode(tmp_path / ODD / "a") + b"\n"
    found = json.loads(said(*words, str(tmp_path / ODD / "b"), "--json").decode())
    assert found["shards"] == str(tmp_path / ODD / "b")
    assert b"24 pairs in 1 shard" in said("verify", str(folder))
