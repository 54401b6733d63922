"""Everything in a folder of the oddest name: the cache, sets, ledgers, configurations, runs."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from clipbench.cli import main

SHAPES = "shapes:size=200,test_size=100,targets_size=50"
# No UTF-8, and all that some syntax here splits at: sources, specifications, patterns, lines.
ODD = os.fsdecode(b"-caf\xe9::a,b=c:d {0..1};|$'\"%41 #?&*[x]~ \x1b[2J\xe2\x80\xae\xff\t\n")
TRAINING = ["--model", "shapes-32", "--epochs", "1", "--batch-size", "64", "--warmup", "0"]


@pytest.mark.parametrize("name", [ODD])
def test_all_commands_go_on_to_the_end(
    name: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfdbinary: pytest.CaptureFixture[bytes],
) -> None:
    """What one writes there the next one reads; every file is whole, and JSON is JSON."""
    base = tmp_path / name
    base.mkdir()
    monkeypatch.setenv("CLIPBENCH_CACHE", str(base / "cache"))
    monkeypatch.chdir(base)

    def do(*words: str | Path) -> str:
        status = main([*map(str, words)])
        said = capfdbinary.readouterr()
        assert status == 0, ascii(said.err)
        return os.fsdecode(said.out)

    attack, evals = ["--attack", "badnets", "--poisons", "5"], ["--eval", SHAPES]
    do("data", SHAPES, "--out", base / "set", "-q")
    do("run", "-q", "--data", SHAPES, *attack, *TRAINING, "--out", base / "runs")
    config = base / "config.yaml"
    train = {"model": "shapes-32", "epochs": 1, "batch_size": 64, "warmup": 0}
    content = {"data": str(base / "set"), "eval": [SHAPES], "out": str(base / "b"), "train": train}
    config.write_text(json.dumps(content))
    (planned,) = json.loads(do("run", "--json", "--dry-run", "--config", config))
    assert planned["data"]["path"] == str(base / "set")
    made = json.loads(
        do("poison", "-q", "--json", "--data", base / "set", *evals, *attack, "--out", base / "p")
    )
    assert made["shards"] == str(base / "p" / "shards")
    do("verify", base / "p", "--base", base / "set", "-q")
    shards, ledger = ["--shards", made["shards"]], ["--ledger", made["ledger"]]
    do("train", "-q", "--data", SHAPES, *shards, *TRAINING, "--out", base / "t")
    method = ["--method", "dao", *TRAINING]
    found = json.loads(
        do("detect", "-q", "--json", "--data", SHAPES, *shards, *ledger, *method, "--out", "d")
    )
    assert Path(found["table"]).is_file()
    (weights,) = (base / "t").rglob("*.safetensors")
    places = ["--checkpoint", weights, "--model", "shapes-32", *ledger]
    (measured,) = json.loads(do("evaluate", "-q", "--json", *places, *evals))
    assert measured["metrics"]["zeroshot_top1"]["n"] == 100
    do("leaderboard", "-q", base / "runs", "--write", base / "tables", "--html", base / "page.html")
    assert (base / "tables" / "leaderboard.csv").read_text().count("\n") > 1
    (row,) = json.loads(do("submit", base / "runs", "--json", "--to", base / "board", "-q"))
    assert Path(row["path"]).is_file()
