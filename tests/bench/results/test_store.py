from __future__ import annotations

import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from as_json import of_json

from clipbench.errors import BadInput, CorruptData, MissingData
from clipbench.results.model import records
from clipbench.results.result import write_result
from clipbench.results.store import load_results, newest, read_all

newest = of_json(newest)

Result = dict[str, Any]
MakeResult = Callable[..., Result]


def test_finds_results_wherever_they_lie(tmp_path: Path, make_result: MakeResult) -> None:
    """Run folders, folders of published rows and single files give their results, each once."""
    made = [make_result(seed=seed) for seed in range(4)]
    write_result(tmp_path / "runs" / "a" / "result.json", made[0])
    write_result(tmp_path / "runs" / "deep" / "b" / "result.json", made[1])
    write_result(tmp_path / "published" / "shapes" / "row.json", made[2])
    single = write_result(tmp_path / "elsewhere.txt", made[3])

    found = load_results([tmp_path / "runs", tmp_path / "published", single, single])

    assert records(found) == sorted(made, key=lambda result: result["id"])


def test_leaves_other_files_alone(tmp_path: Path, make_result: MakeResult) -> None:
    """Beside results, manifests and whatever lies in a run folder or is hidden do not count."""
    write_result(tmp_path / "run" / "result.json", make_result())
    (tmp_path / "run" / "config.json").write_text("{not even json")
    (tmp_path / "run" / "shards").mkdir()
    (tmp_path / "run" / "shards" / "result.json").write_text("{}")
    (tmp_path / "sizes.json").write_text('{"00000.tar": 10000}')
    (tmp_path / "all.json").write_text(json.dumps([make_result(seed=8)]))
    (tmp_path / ".half.json").write_text('{"schema"')
    (tmp_path / "notes.txt").write_text("clipbench.result/1")

    assert len(load_results([tmp_path])) == 1


def test_a_list_of_results_is_read_where_named(tmp_path: Path, make_result: MakeResult) -> None:
    """A file with a list, as ``--json`` prints one, is read when it is given itself."""
    path = tmp_path / "printed.json"
    path.write_text(json.dumps([make_result(seed=0), make_result(seed=1)]))

    assert len(load_results([path])) == 2

    path.write_text(json.dumps([make_result(seed=0), {"id": "?"}]))
    with pytest.raises(CorruptData, match=r"printed\.json"):
        load_results([path])


def test_newest_of_one_id_wins(tmp_path: Path, make_result: MakeResult) -> None:
    """Of two results of one configuration the later counts, across time zones and file order."""
    old = make_result(created="2026-03-01T12:00:00+02:00", seconds=1.0)
    new = make_result(created="2026-03-01T11:00:00Z", seconds=2.0)
    oldest = make_result(created="2026-03-01T09:59:59", seconds=3.0)
    write_result(tmp_path / "a.json", new)
    write_result(tmp_path / "b.json", old)

    assert records(load_results([tmp_path])) == [new]
    assert newest([oldest, new, old]) == newest([old, new, oldest])
    assert records(newest([old, new, oldest])) == [new]
    twin = new | {"history": [{"epoch": 3}]}
    assert newest([twin, new]) == newest([new, twin])


def test_of_one_time_the_result_with_more_metrics_wins(make_result: MakeResult) -> None:
    """A control that was added to a run is not dropped for the copy that was handed in before."""
    full = make_result()
    before = copy.deepcopy(full)
    del before["metrics"]["attack_success_control"]
    for later in (full, {**full, "aaa": "first by its text"}, {**full, "zzz": "last by it"}):
        for results in ([before, later], [later, before]):
            assert records(newest(results)) == [later]


def test_results_of_one_run_with_other_numbers_are_told(
    tmp_path: Path, make_result: MakeResult
) -> None:
    """As of another machine: the newest counts, and not without a word; equal ones are no news."""
    old, new = make_result(success=(9, 16)), make_result(success=(7, 16))
    new["created"] = "2099-01-01T00:00:00+00:00"
    assert old["id"] == new["id"]
    write_result(tmp_path / "a.json", old)
    write_result(tmp_path / "b.json", new)
    told: list[str] = []
    assert records(load_results([tmp_path], warn=told.append)) == [new]
    (said,) = told
    assert f"run {new['id']} has 2 results with other numbers, of attack_success" in said
    assert "the newest, of 2099-01-01T00:00:00+00:00, counts" in said
    fewer = {**new, "metrics": {"attack_success": new["metrics"]["attack_success"]}}
    write_result(tmp_path / "a.json", fewer)  # they agree in what both have
    load_results([tmp_path, tmp_path / "b.json"], warn=told.append)
    assert len(told) == 1


@pytest.mark.parametrize("name", ["result.json", "row.json"])
def test_a_damaged_file_is_named_or_skipped(
    tmp_path: Path, make_result: MakeResult, name: str
) -> None:
    """A damaged file stops the table, unless one asks to be told of it instead."""
    good = write_result(tmp_path / "good" / "result.json", make_result())
    bad = tmp_path / "bad" / name
    bad.parent.mkdir()
    bad.write_bytes(good.read_bytes()[:-100])

    with pytest.raises(CorruptData, match=str(bad)):
        load_results([tmp_path])

    told: list[CorruptData] = []
    assert len(load_results([tmp_path], skip_damaged=told.append)) == 1
    assert [str(bad) in str(error) for error in told] == [True]
    assert load_results([bad.parent], skip_damaged=told.append) == []


def test_a_result_of_another_version_is_damage(tmp_path: Path, make_result: MakeResult) -> None:
    """A result of a schema this program does not know is refused, not overlooked."""
    (tmp_path / "row.json").write_text(
        json.dumps(make_result() | {"schema": "clipbench.result/99"})
    )

    with pytest.raises(CorruptData, match=r"clipbench\.result/99"):
        load_results([tmp_path])


def test_nothing_there(tmp_path: Path) -> None:
    """A path that does not exist and a folder without results are missing data."""
    for path in (tmp_path / "nowhere", tmp_path):
        with pytest.raises(MissingData, match=str(path)):
            load_results([path])


def test_an_infinite_number_is_none(tmp_path: Path, make_result: Any) -> None:
    """1e999 is JSON, and infinity to Python."""
    text = json.dumps({**make_result(), "more": 7654321})
    (tmp_path / "a.json").write_text(text.replace("7654321", "1e999"))
    with pytest.raises(CorruptData, match="1e999 is not a JSON number"):
        load_results([tmp_path])


@pytest.mark.parametrize("name", ["epoch", "\x1b[2J", "a\u202eb"])
def test_no_message_drives_the_terminal(tmp_path: Path, make_result: Any, name: str) -> None:
    """A field is named so that it can be seen, whether it is wrong or lacks something."""
    for metric in (3, {}):
        result = make_result()
        result["metrics"][name] = metric
        (tmp_path / "a.json").write_text(json.dumps(result))
        with pytest.raises(CorruptData) as caught:
            load_results([tmp_path])
        assert str(caught.value).isprintable()


def test_a_link_to_nothing_is_skipped(tmp_path: Path, make_result: Any) -> None:
    """Like a damaged file: told of where damage may be, an error where it may not."""
    result = make_result()
    write_result(tmp_path / "there" / "result.json", result)
    (tmp_path / "gone").mkdir()
    (tmp_path / "gone" / "result.json").symlink_to(tmp_path / "nowhere.json")
    told: list[BadInput] = []
    assert records(load_results([tmp_path], skip_damaged=told.append)) == [result]
    assert "gone/result.json" in str(told[0])
    with pytest.raises(MissingData, match=r"gone/result\.json"):
        load_results([tmp_path])


def test_runs_that_lie_elsewhere_are_found_by_their_links(
    tmp_path: Path, make_result: MakeResult
) -> None:
    """As those moved to a larger disk; each once, and a link that leads back leads nowhere."""
    made = [make_result(seed=seed) for seed in range(3)]
    write_result(tmp_path / "disk" / "moved" / "result.json", made[0])
    write_result(tmp_path / "disk" / "many" / "deep" / "result.json", made[1])
    write_result(tmp_path / "runs" / "here" / "result.json", made[2])
    (tmp_path / "runs" / "moved").symlink_to(tmp_path / "disk" / "moved")
    (tmp_path / "runs" / "many").symlink_to(tmp_path / "disk" / "many")
    (tmp_path / "runs" / "latest").symlink_to(tmp_path / "runs" / "here")
    (tmp_path / "disk" / "many" / "back").symlink_to(tmp_path / "runs")
    found = read_all([tmp_path / "runs"])
    assert sorted(result.seed for result in found) == [0, 1, 2]
