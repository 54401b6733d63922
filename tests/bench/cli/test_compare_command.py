"""`clipbench compare`: the table and the JSON of two defenses, and what it refuses."""

from __future__ import annotations

import copy
import hashlib
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from clipbench.cli import main
from clipbench.compare.paired import tango_interval
from clipbench.evaluation.outcomes import pack
from clipbench.evaluation.statistics import Proportion
from clipbench.results.model import SCHEMA
from clipbench.results.result import config_hash, write_result

DIGEST = hashlib.sha256(b"content").hexdigest()
BASE: dict[str, Any] = {
    "schema": SCHEMA,
    "created": "2026-03-01T12:00:00+00:00",
    "status": "complete",
    "data": {
        "name": "shapes",
        "parameters": {"size": 300},
        "pairs": 300,
        "content_sha256": DIGEST,
        "evaluation": {"name": "shapes", "classes_sha256": DIGEST, "templates_sha256": DIGEST},
    },
    "attack": {
        "name": "targeted",
        "parameters": {"targets": 16},
        "rate": 0.01,
        "count": 32,
        "targets": 16,
        "per_target": 2.0,
        "mode": "replace",
        "ledger_sha256": DIGEST,
        "trigger_sha256": None,
    },
    "model": {"name": "shapes-32", "parameters": 900000, "image_size": 32},
    "train": None,
    "exposures": None,
    "history": [],
    "environment": {"clipbench": "0.1.0", "python": "3.11.9"},
}


def write(folder: Path, defense: str, seed: int, succeeded: int, *, outcomes: bool = True) -> None:
    """Write the result of a run of which the first probes succeeded."""
    config = {"attack": {"name": "targeted"}, "defense": {"name": defense}, "seed": seed}
    sha = config_hash(config)
    success = Proportion(succeeded, 16).to_json()
    if outcomes:
        success["outcomes"] = pack(np.arange(16) < succeeded)
    result = copy.deepcopy(BASE) | {
        "id": sha[:16],
        "config": config,
        "config_sha256": sha,
        "defense": {"name": defense, "parameters": {}},
        "seed": seed,
        "metrics": {
            "attack_success": success,
            "zeroshot_top1": Proportion(85, 100).to_json(),
        },
    }
    write_result(folder / f"{defense}{seed}" / "result.json", result)


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    """A folder with the results of two defenses at two seeds."""
    for seed in range(2):
        write(tmp_path / "runs", "none", seed, 15)
        write(tmp_path / "runs", "clip", seed, 2)
    return tmp_path / "runs"


def test_two_defenses_are_compared(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The table has both counts, the difference in points with interval, p and seeds."""
    assert main(["compare", str(runs), "--defense", "none", "--defense", "clip"]) == 0
    captured = capsys.readouterr()
    low, high = tango_interval(26, 0, 32)
    told, _, _, row, *below = captured.out.splitlines()
    assert told == (
        "Model shapes-32, data shapes (size=300), A none, B clip; attack targeted (targets=16)."
    )
    assert "30/32  4/32" in row
    assert f"+81.2 [{100 * low:+.1f}, {100 * high:+.1f}]  <0.0001" in row
    assert re.search(r"0\.5000 +2 ", row)
    assert "exact sign-flip" in " ".join(below)
    assert captured.err == ""


def test_runs_is_the_default_folder(
    runs: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without paths the results are those of the folder ``runs``; the attack can be chosen."""
    monkeypatch.chdir(runs.parent)
    sides = ["--defense", "none", "--defense", "clip", "--attack", "targeted"]
    assert main(["compare", *sides]) == 0
    assert "30/32" in capsys.readouterr().out


def test_comparisons_as_json(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """``--json`` prints a list with every number."""
    assert main(["compare", str(runs), "--defense", "clip", "--defense", "none", "--json"]) == 0
    (found,) = json.loads(capsys.readouterr().out)
    assert (found["first"], found["second"], found["seeds"]) == ("clip", "none", [0, 1])
    success = found["attack_success"]
    assert (success["n"], success["first"], success["second"]) == (32, 4, 30)
    assert success["difference"] == -26 / 32
    assert success["by_trials"] == [success["low"], success["high"]]
    assert success["counts"] == {"both": 4, "only_first": 0, "only_second": 26, "neither": 2}
    assert success["sign_flip"] == 0.5
    assert found["zeroshot_top1"]["difference"] == 0.0


def test_what_is_left_out_is_a_warning(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A seed without outcomes is told in one line; the other seed is compared."""
    write(runs, "clip", 1, 2, outcomes=False)
    assert main(["compare", str(runs), "--defense", "none", "--defense", "clip", "-q"]) == 0
    captured = capsys.readouterr()
    assert captured.err.startswith("warning: none and clip under targeted")
    assert "seed 1 are left out: clip has no outcomes" in captured.err
    assert captured.err.count("\n") == 1
    assert "15/16  2/16" in captured.out


@pytest.mark.parametrize(
    ("sides", "message"),
    [
        (["none"], "give --defense twice"),
        (["none", "clip", "x"], "give --defense twice"),
        (["none", "clpi"], "Did you mean 'clip'?"),
        (["none", "none"], "both name 'none'"),
        ([], "--defense"),
    ],
)
def test_a_wrong_choice_is_refused(
    runs: Path, sides: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """One line on standard error says what to give, and the status is 2."""
    arguments = [word for side in sides for word in ("--defense", side)]
    assert main(["compare", str(runs), *arguments]) == 2
    captured = capsys.readouterr()
    assert message in captured.err
    assert captured.out == ""


def test_nothing_to_compare_is_an_error(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Runs without a seed in common are told of, with status 2."""
    write(tmp_path, "none", 0, 3)
    write(tmp_path, "clip", 1, 3)
    assert main(["compare", str(tmp_path), "--defense", "none", "--defense", "clip"]) == 2
    assert "can be compared" in capsys.readouterr().err
