"""`make gpu` from its first part to its last, on the CPU and with little of everything."""

import json
import runpy
import sys
from pathlib import Path

import pytest

from clipbench.results.store import load_results

sys.path.insert(0, str(Path(__file__).parents[1] / "benchmarks" / "gpu"))
import table
import wheels

SCRIPT = Path(table.__file__).parent


@pytest.fixture
def found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """What a rehearsal leaves; all of it passed."""
    options = ["--device", "cpu", "--small", "--out", str(tmp_path), "--open-clip-python", ""]
    options += ["--seconds", "3000"]  # on a machine with other work nothing is left out
    monkeypatch.setattr(sys, "argv", [str(SCRIPT), *options])
    with pytest.raises(SystemExit) as end:
        runpy.run_path(str(SCRIPT), run_name="__main__")
    assert end.value.code == 0
    return tmp_path


def test_a_rehearsal_does_all_parts_in_their_order(found: Path) -> None:
    """Correctness, speed and science, each with what it is there to tell, and rows of the bench."""
    parts = json.loads((found / "findings.json").read_text())["parts"]
    assert list(parts) == ["correctness", "speed", "science"]
    checks = parts["correctness"]
    assert all(check["passed"] for check in checks.values())
    assert checks["safeclip, fp32"]["steps"] == 6
    assert {"safeclip, bf16", "evaluation", "safeclip, twice", "safeclip, resumed"} <= set(checks)
    embedded = parts["speed"]["embedded tower, safeclip, batch 64"]
    told = embedded["unimodal warm-up"]
    assert told["pairs_per_second"] > 0
    assert 0 < told["share_of_peak"] < 1.5
    assert embedded["epoch_pairs_per_second"] > 0
    assert [run["attack_success"]["n"] for run in parts["science"].values()] == [4, 4]
    rows = load_results([found / "rows"])
    assert {row.defense.name for row in rows} == {"none", "safeclip"}
    shown = table.page(found)
    for told in ("safeclip, resumed", "unimodal warm-up", "| none |"):
        assert told in shown


def test_published_tables_of_a_gpu_are_what_its_findings_give() -> None:
    """The page beside the findings is made of them; without any it says that there are none."""
    folder = Path(__file__).parents[2] / "results" / "gpu"
    assert (folder / "README.md").read_text() == table.page(folder)


@pytest.mark.parametrize("python", wheels.PYTHONS)
def test_every_package_to_carry_is_locked(python: str) -> None:
    """What a GPU machine lacks is packed in the versions that everybody has."""
    names = [item.split("==")[0] for item in wheels.wanted(python)]
    assert sorted(names) == sorted([*wheels.LACKING, "webdataset"])
