"""What comes with clipbench by name: configurations, examples, published rows."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path

import pytest

from clipbench.cli import main
from clipbench.configuration.request import combine, read_yaml
from clipbench.errors import MissingData, UnknownName
from clipbench.files import bundled
from clipbench.results import store
from clipbench.sweep.grid import read_grid

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib  # pytest needs it there

ROOT = Path(__file__).parents[3]


def test_a_configuration_is_found_by_its_name_from_any_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """``--config main_job`` needs no clone: it is the run of 16 targets under three defenses."""
    monkeypatch.chdir(tmp_path)
    assert main(["run", "--config", "main_job", "--dry-run", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert [run["defense"]["name"] for run in found] == ["none", "clip", "safeclip"]
    assert {run["attack"]["targets"] for run in found} == {16}


def test_a_file_goes_before_a_configuration_of_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever has a file called main_job means it."""
    monkeypatch.chdir(tmp_path)
    Path("main_job").write_text("seed: 7\n")
    assert combine(read_yaml(Path("main_job"))).seeds == (7,)


def test_an_unknown_configuration_is_answered_with_those_there_are() -> None:
    """The nearest name is suggested, and all are listed."""
    with pytest.raises(UnknownName, match=r"'main_jbo'.*'main_job'.*Known: .*shapes_grid"):
        bundled.configuration(Path("main_jbo"))


@pytest.mark.parametrize("path", ["docs/examples/main_job.yaml", "main_job.yaml"])
def test_a_path_to_nothing_is_no_name_but_is_told_of_one(
    path: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What looks like a path is never read as something else."""
    monkeypatch.chdir(tmp_path)
    with pytest.raises(MissingData, match=r"no configuration file .*`main_job` alone names"):
        bundled.configuration(Path(path))


def test_every_named_configuration_is_one_and_says_what_it_is() -> None:
    """Each is a file for ``--config`` or for ``clipbench sweep`` that begins with a sentence."""
    for name, file in bundled.configurations().items():
        if "\ngrid:" in file.read_text():
            assert read_grid(Path(name), others=("bands",)).configs
        else:
            assert combine(read_yaml(Path(name))).configs()
        assert bundled.example(name).title.endswith(".")


@pytest.mark.parametrize("kind", ["attack", "defense", "dataset"])
def test_an_example_of_each_kind_is_printed_and_can_be_used_as_it_is(
    kind: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """What ``clipbench example KIND`` prints is a plugin of that kind."""
    monkeypatch.chdir(tmp_path)
    assert main(["example", kind]) == 0
    Path("mine.py").write_text(capsys.readouterr().out)
    assert main(["describe", "mine.py"]) == 0
    source = (ROOT / "docs" / "examples" / f"{bundled.KINDS[kind]}.py").read_text()
    assert Path("mine.py").read_text() == source


def test_examples_are_listed_with_what_they_are(capsys: pytest.CaptureFixture[str]) -> None:
    """Without a name, and by ``list``, one sees what there is to print."""
    assert main(["example"]) == 0
    assert re.search(r"random_subset +Random subset: train", capsys.readouterr().out)
    assert main(["list", "examples"]) == 0
    examples = capsys.readouterr().out
    assert "solid_patch" in examples
    assert "main_job" not in examples
    assert main(["list", "configs"]) == 0
    assert "main_job" in capsys.readouterr().out


def test_an_unknown_example_is_answered_with_the_nearest(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Status 2, and one line."""
    assert main(["example", "random_subst"]) == 2
    assert "Did you mean 'random_subset'?" in capsys.readouterr().err


def test_published_rows_are_tabled_from_any_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """``leaderboard --published`` reads what ``results`` has."""
    monkeypatch.chdir(tmp_path)
    assert main(["leaderboard", "--published", "rates", "--format", "matrix"]) == 0
    assert capsys.readouterr().out == (ROOT / "results" / "rates" / "matrix.md").read_text()


@pytest.mark.parametrize("name", bundled.PUBLISHED)
def test_the_wheel_copies_what_is_read_by_name(name: str) -> None:
    """Every folder of the clone that stands in for a part of the wheel is copied into it."""
    content = tomllib.loads((ROOT / "pyproject.toml").read_text())
    copied = content["tool"]["hatch"]["build"]["targets"]["wheel"]["force-include"]
    assert copied["docs/examples"] == "clipbench/examples"
    assert copied[f"results/{name}/rows"] == f"clipbench/published/{name}/rows"
    assert copied[f"results/{name}/grid.yaml"] == f"clipbench/published/{name}/grid.yaml"
    assert all((ROOT / source).exists() for source in copied)
    rows = bundled.published_rows(name)
    assert len(store.load_results([rows])) == len(list(rows.glob("*.json")))
