"""Published results: each row is sound, and the tables are what the rows give."""

from __future__ import annotations

import io
import json
from contextlib import redirect_stdout
from copy import deepcopy
from functools import cache
from pathlib import Path

import pytest

from clipbench.cli import main
from clipbench.cli._leaderboard import frame_of
from clipbench.leaderboard.footing import is_control, mismatches
from clipbench.leaderboard.matrix import to_matrix
from clipbench.leaderboard.ranking.markdown import to_ranking
from clipbench.leaderboard.tables import leaderboard, write_all
from clipbench.results.labels import precision_of
from clipbench.results.model import Result, records
from clipbench.results.side_by_side import different_sets
from clipbench.results.store import load_results
from clipbench.sweep.grid import read_grid

RESULTS = Path(__file__).parents[2] / "results"
SETS = sorted(path.parent for path in RESULTS.glob("*/grid.yaml"))
PUBLISHED = sorted(path.parent for path in RESULTS.glob("*/rows"))
# whose grids have other names, and how many these are
STUDIES = {"dose": 4, "icons": 1, "mixture": 1, "noise": 1, "safeclip": 1, "worlds": 1}
ARCHIVE = "iconify-json-2.2.535.tgz"  # 104 MB, which tests do without


def printed(*arguments: str) -> str:
    out = io.StringIO()
    with redirect_stdout(out):
        assert main([*arguments, "--quiet"]) == 0
    return out.getvalue()


@cache
def asked_for(folder: Path) -> set[str]:
    """Return the ids of all runs of a grid; to resolve some hundred takes seconds."""
    return {config.id for config in read_grid(folder / "grid.yaml").configs}


def crossings(results: list[Result]) -> list[str]:
    """Say which rows' control, cost or eligibility is of another precision, recipe or machine.

    A machine that the row is marked for is none of them, nor the epochs of a defense's own recipe,
    which stand in a column, where no baseline has as many. A control whose clean run is not there
    could be of anything.
    """
    of_run, alike = {result.id: result for result in results}, same_numbers(results)
    found = []

    def kinds(runs: list[Result]) -> set[str]:
        return {alike.get(processor(run), processor(run)) for run in runs}

    for row in leaderboard(results).to_dict("records"):
        runs = [of_run[run] for run in row["runs"].split()]
        told, marked = f"{row['attack']}, {row['defense']}", (row["other_machine"] or "").split()
        for run in runs:
            control = of_run.get(run.control_id or "")
            if control is None:
                if "attack_success_control" in run.metrics:
                    found.append(f"control of {told}: not there")
                continue
            found += [f"control of {told}: {what}" for what in mismatches(run, control)]
            another = kinds([control]) != kinds([run]) or not is_control(control, run)
            if another and "control" not in marked:
                found.append(f"control of {told}: machine")
        for use, column in (("cost", "cost_runs"), ("eligible", "judge_runs")):
            judges = [of_run[run] for run in (row[column] or "").split()]
            found += [f"{use} of {told}: {what}" for run in runs for what in apart(run, judges)]
            strange = judges and not kinds(runs) <= kinds(judges)
            if use == "eligible" and strange and "eligible" not in marked:
                found.append(f"{use} of {told}: machine")
            own = set().union(*map(processors, runs))
            if use == "cost" and not all(own & processors(judge) for judge in judges):
                found.append(f"{use} of {told}: machine")
    return found


def same_numbers(results: list[Result]) -> dict[str, str]:
    """Return a name for processors on which ten runs and more were made, all with the same numbers.

    Here all runs of a folder are of one model, version and number of threads.
    """
    pairs: dict[frozenset[str], list[bool]] = {}
    for result in results:
        for note in result.again:
            both = frozenset({processor(result), note.environment.hardware.cpu})
            pairs.setdefault(both, []).append(not note.differs)
    alike = [both for both, same in pairs.items() if len(both) == 2 and all(same) and same[9:]]
    return {name: " = ".join(sorted(both)) for both in alike for name in both}


def processor(result: Result) -> str:
    """Return what a model was trained on, as its result says it."""
    return result.environment.hardware.cpu


def processors(result: Result) -> set[str]:
    """Return all that a run was trained on, made again or not."""
    return {processor(result), *(note.environment.hardware.cpu for note in result.again)}


def apart(run: Result, judges: list[Result]) -> set[str]:
    """Return in what some runs differ from another in training and data, but for epochs."""
    found = set()
    for judge in judges:
        ours, theirs = run.config["train"], judge.config["train"]
        found |= {
            name for name in ours.keys() | theirs.keys() if ours.get(name) != theirs.get(name)
        }
        found |= set() if precision_of(run) == precision_of(judge) else {"precision"}
        found |= set() if run.data.parameters == judge.data.parameters else {"data"}
    return found - {"epochs"}


def test_there_are_results() -> None:
    """The patterns of this file find what is known to be there."""
    assert RESULTS / "shapes" in SETS


@pytest.mark.parametrize("folder", SETS, ids=lambda path: path.name)
def test_rows_are_runs_of_the_grid(folder: Path) -> None:
    """Each is a valid result under its id, and a run that the grid's file asks for today."""
    known = asked_for(folder)
    for result in load_results([folder / "rows"]):
        assert (folder / "rows" / f"{result.id}.json").is_file()
        assert result.id in known
        assert not result.flags  # what a reader would be warned of


@pytest.mark.parametrize("name", STUDIES)
def test_rows_of_a_study_are_runs_of_its_grids(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each grid can be read; there may be runs whose rows are still to come."""
    monkeypatch.chdir(tmp_path)
    Path(ARCHIVE).touch()  # a grid is read without it, but not if it is not there
    grids = sorted((RESULTS / name).glob("*.yaml"))
    assert len(grids) == STUDIES[name]
    configs = [config for grid in grids for config in read_grid(grid).configs]
    rows = RESULTS / name / "rows"
    results = load_results([rows]) if rows.is_dir() else []
    hashes = {str(result.data.parameters.get("archive")) for result in results}
    assert len(hashes) <= 1  # all rows are of one archive
    for sha256 in hashes - {"None"}:
        configs = [c.known_by({"data.archive": sha256.removeprefix("sha256:")}) for c in configs]
    known = {config.id for config in configs}
    for result in results:
        assert result.id in known
        assert not result.flags


@pytest.mark.parametrize("folder", SETS, ids=lambda path: path.name)
def test_the_whole_grid_is_there(folder: Path) -> None:
    """No run of the grid lacks its row."""
    runs = asked_for(folder)
    assert [run for run in runs if not (folder / "rows" / f"{run}.json").is_file()] == []


@pytest.mark.parametrize("folder", PUBLISHED, ids=lambda path: path.name)
def test_defenses_were_given_the_same_poison(folder: Path) -> None:
    """Of one attack, rate and seed all rows are of one ledger."""
    assert different_sets(load_results([folder / "rows"])) == []


def test_rows_tell_the_exposures_of_a_filters_final_model() -> None:
    """As docs/formats.md says: by what it kept; a first model saw every pair once an epoch."""
    seen = set()
    for result in load_results([folder / "rows" for folder in SETS]):
        kept = [entry for entry in result.history if "kept" in entry.loss]
        if not kept or result.exposures is None:
            continue
        final = sum(entry.poisons_in_safe_set or 0 for entry in kept) / result.attack.count
        others = [entry for entry in result.history if "kept" not in entry.loss]
        first = sum(entry.cross_modal_pairs > 0 for entry in others)
        assert result.exposures.mean == pytest.approx(first + final)
        seen.add(result.defense.name)
    assert {"dao", "clipscore", "isolation_forest", "random_removal"} <= seen


@pytest.mark.parametrize("folder", PUBLISHED, ids=lambda path: path.name)
def test_no_control_cost_or_eligibility_is_of_another_precision_recipe_or_machine(
    folder: Path,
) -> None:
    """Nor is any row marked for the machine: runs are judged by others of their own kind of it.

    Or of one that gave the same numbers, whenever a run was made on both.
    """
    rows = load_results([folder / "rows"])
    assert crossings(rows) == []
    assert set(leaderboard(rows)["other_machine"]) == {None}


@pytest.mark.parametrize("kind", ["precision", "recipe", "machine"])
def test_a_row_held_against_another_kind_is_found(
    kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The test above fails on a clean row that is changed: its control's precision, rate or CPU."""
    rows = load_results([RESULTS / "rates" / "rows"])
    assert crossings(rows) == []
    doctored = deepcopy(records(rows))
    ids = {row.control_id for row in rows}
    clean = next(row for row in doctored if row["id"] in ids)
    if kind == "precision":
        clean["train"]["precision"] = "fp16"
    elif kind == "recipe":
        clean["config"]["train"]["lr"] *= 2
    else:  # found, and marked; a table without the mark would not be sound
        clean["environment"]["hardware"]["cpu"] = "Another"
        assert crossings([*map(Result.of, doctored)]) == []
        monkeypatch.setattr("clipbench.leaderboard.tables.other_machines", lambda *_: ())
    told = crossings([*map(Result.of, doctored)])
    assert any(f": {kind if kind != 'recipe' else 'train.lr'}" in complaint for complaint in told)


@pytest.mark.parametrize("folder", SETS, ids=lambda path: path.name)
def test_tables_are_what_the_rows_give(folder: Path, tmp_path: Path) -> None:
    """Made again from the rows, every table has the same bytes."""
    results = load_results([folder / "rows"])
    frame = frame_of(results)
    write_all(frame, results, tmp_path)
    for name in ("leaderboard.md", "leaderboard.csv", "leaderboard.tex"):
        assert (tmp_path / name).read_bytes() == (folder / name).read_bytes()
    assert json.loads((tmp_path / "leaderboard.json").read_text())
    for name, cell in (("matrix", "attack_success"), ("detection", "score_auroc")):
        assert to_matrix(frame, cell) == (folder / f"{name}.md").read_text()
    assert to_ranking(frame) == (folder / "ranking.md").read_text()


def test_runs_made_again_have_the_same_numbers() -> None:
    """As the page of the drawn set says, which has as many rows as it says."""
    page = (RESULTS / "shapes" / "README.md").read_text(encoding="utf-8")
    rows = load_results([RESULTS / "shapes" / "rows"])
    twice = [row for row in rows if row.again]
    assert {note.differs for row in twice for note in row.again} == {()}
    assert f"\n{len(twice)} runs were made on both, with the same losses" in page
    assert f"\nAll {len(rows)} runs of the grid are here" in page


def test_every_attack_meets_every_defense_at_three_seeds() -> None:
    """As a row of one seed says little of the next; `clip` for longer is what the page says."""
    seeds: dict[tuple[str, str], set[int | None]] = {}
    for row in load_results([RESULTS / "shapes" / "rows"]):
        assert row.train is not None
        if (row.defense.name, row.train.epochs) != ("clip", 15):
            seeds.setdefault((row.attack.name, row.defense.name), set()).add(row.seed)
    assert len(seeds) == 15 * 14
    assert {frozenset(found) for found in seeds.values()} == {frozenset({0, 1, 2})}


def test_readme_tells_what_the_ranking_tells() -> None:
    """Its finding, that of all defenses, and its rows are lines of the ranking."""
    lines = (RESULTS / "shapes" / "ranking.md").read_text().splitlines()
    readme = (RESULTS.parent / "README.md").read_text()
    section = readme.partition("## Which defense holds\n")[2].partition("\n## ")[0].splitlines()
    assert [line for line in section if line.startswith("- ")] == [lines[2]]
    table = [line for line in section if line.startswith("| ")]
    assert len([line for line in table if "| **" not in line]) == 2 + 6
    assert set(table) <= set(lines)


@pytest.mark.parametrize("folder", SETS, ids=lambda path: path.name)
def test_comparisons_are_what_the_rows_give(folder: Path) -> None:
    """Two defenses held against each other, pair of rows by pair of rows."""
    files = sorted(folder.glob("compare_*_*.txt"))
    assert folder / "compare_none_safeclip.txt" in files
    for file in files:
        _, first, second = file.stem.split("_")
        chosen = ["--defense", first, "--defense", second]
        assert printed("compare", str(folder / "rows"), *chosen) == file.read_text()


def test_limits_name_the_rows_whose_poison_has_a_seed_of_its_own() -> None:
    """Of all others, training and poison have one seed."""
    made_with = {
        folder.name
        for folder in PUBLISHED
        if any(row.poison_seed is not None for row in load_results([folder / "rows"]))
    }
    limits = (RESULTS.parent / "docs" / "methods.md").read_text(encoding="utf-8")
    (name,) = made_with
    assert f"only those of [`{name}`](../results/{name}/README.md) were made with it." in limits


def test_the_index_of_results_names_every_folder_and_how_many_rows_it_has() -> None:
    """A reader of the folder sees what there is, and a row that is added is counted."""
    page = (RESULTS / "README.md").read_text(encoding="utf-8")
    lines = [line.strip("| ").split(" | ") for line in page.splitlines() if line.startswith("| [")]
    told = {line[0][1:].partition("]")[0]: line[3:] for line in lines}
    there = {path.parent for path in RESULTS.glob("*/README.md")}
    counts = {folder.name: len(list(folder.glob("rows/*.json"))) for folder in there}
    assert told == {name: [str(rows)] if rows else [] for name, rows in counts.items()}
