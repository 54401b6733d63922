"""A row of a stranger: whatever it names, nothing outside is opened, fetched or run."""

from __future__ import annotations

import copy
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch  # noqa: F401 - it starts a program when it is imported, which no row asked for
from tiny_runs import command
from watching import Watch

import clipbench
from clipbench.configuration.naming import PLUGINS
from clipbench.configuration.settings import TrainSettings
from clipbench.files.bundled import published_rows
from clipbench.plugins import registry
from clipbench.plugins.find import KINDS
from clipbench.results.result import config_hash
from clipbench.system.threads import processors
from clipbench.text.locations import Located, Mark, Names, by_content, marks

ROOT = Path(clipbench.__file__).parents[2]
INSTALLED = (
    *(ROOT, Path(sys.prefix), Path(sys.base_prefix)),
    *(Path("/proc"), Path("/usr/share/zoneinfo")),
    *(Path(entry) for entry in sys.path if entry),  # where imports look
)
Row = dict[str, Any]


@pytest.fixture(autouse=True)
def _temporary_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the folder that commands clear of what killed ones left be the test's own."""
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))


@pytest.fixture(scope="module")
def watch() -> Watch:
    """A watch over this process."""
    return Watch()


@pytest.fixture(scope="module")
def outside(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with what a row may name: if it were used, that would be seen in `ran` or a line."""
    folder = tmp_path_factory.mktemp("outside")
    (folder / "evil.py").write_text(f"open({str(folder / 'ran')!r}, 'w')\n")
    config = {"embed_dim": 8, "vision_cfg": {}, "text_cfg": {}}
    for name in ("model.json", "open_clip_config.json"):
        (folder / name).write_text(json.dumps(config))
    return folder


@pytest.fixture(scope="module")
def row() -> Row:
    """A published row of an attack, which this version resolves to the same run."""
    files = sorted(published_rows("shapes").glob("*.json"))
    rows = (json.loads(file.read_text()) for file in files)
    # Of a defense whose code brings no library that looks around when it is imported.
    wanted = ("badnets", "clip")
    found = next(r for r in rows if (r["attack"]["name"], r["defense"]["name"]) == wanted)
    found.pop("sha256_of_rest", None)  # who edits a row by hand takes it out
    return found


def texts(folder: Path) -> list[str]:
    """Return names of what lies outside, of each kind that a field may have."""
    return [
        str(folder / "model.json"),
        str(folder),
        f"local-dir:{folder}",
        f"../{folder.name}/model.json",
        "hf-hub:stranger/model",
        "http://127.0.0.1:9/0.tar",
        f"pipe:touch {folder / 'ran'}",
        f"/data/x::{folder}",
    ]


def code(folder: Path) -> list[str]:
    """Return plugins that are not installed, as a spec names them."""
    file = folder / "evil.py"
    return [str(file), "evil:ATTACK", f"{file}:size=3", f"adaptive:base={file}"]


def naming_fields() -> Iterator[tuple[str, str | None, str, Mark]]:
    """Yield part of a configuration, plugin, field and mark of each that names something."""
    for name, mark in marks(TrainSettings).items():
        if isinstance(mark, Located | Names):
            yield "train", None, name, mark
    for kind in KINDS:
        part = next(key for key, item in PLUGINS.items() if item == kind)
        for listed in registry.survey(kind):
            if listed.cls is not None and listed.cls.__module__.startswith("clipbench"):
                for name, mark in marks(listed.cls).items():
                    if isinstance(mark, Located | Names):
                        yield part, listed.name, name, mark


def put(row: Row, part: str, plugin: str | None, values: dict[str, Any]) -> Row:
    """Return a row whose part names a plugin with these parameters, or has these settings."""
    changed = copy.deepcopy(row)
    spec = values if plugin is None else {"name": plugin, **values}
    if part == "metrics":
        entry = {"name": plugin, "parameters": values, "code_sha256": None}
        changed["metric_plugins"] = [entry]
        return changed
    if part == "train":
        spec = {**changed["config"]["train"], **values}
    changed["config"][part] = [spec] if part == "evals" else spec
    changed.pop("control", None)
    sha256 = config_hash(changed["config"])
    return {**changed, "config_sha256": sha256, "id": sha256[:16]}


def one_at_a_time(row: Row, folder: Path) -> Iterator[tuple[str, str, Row]]:
    """Yield the field, what it names, and the row, for each field and each kind of name."""
    for part, plugin, field, mark in naming_fields():
        for text in code(folder) if isinstance(mark, Names) else texts(folder):
            yield f"{part}.{field}", text, put(row, part, plugin, {field: text})
    for part, kind in PLUGINS.items():
        for text in code(folder)[: 4 if kind == "attack" else 3]:
            name, _, base = text.partition(":base=")
            yield part, text, put(row, part, name, {"base": base} if base else {})


def everything(row: Row, folder: Path) -> Row:
    """Return a row in which every part names something outside at once."""
    text = str(folder / "model.json")
    for part, plugin, field, _ in naming_fields():
        row = put(row, part, plugin, {field: text})
    settings = {name: text for part, _, name, _ in naming_fields() if part == "train"}
    return put(row, "train", None, settings)


def test_reproduce_refuses_a_row_that_names_anything_outside(
    row: Row, outside: Path, watch: Watch, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In every field, one at a time: status 2, a line with field and option, nothing opened."""
    monkeypatch.chdir(tmp_path)
    (modules := tmp_path / "modules").mkdir()  # where code of that name could be imported from
    (modules / "evil.py").write_text((outside / "evil.py").read_text())
    monkeypatch.syspath_prepend(str(modules))
    command("reproduce", "nothing.json")  # imports what is needed
    file, count = tmp_path / "row.json", 0
    rows = [*one_at_a_time(row, outside), ("config", "all at once", everything(row, outside))]
    for field, text, hostile in rows:
        file.write_text(json.dumps(hostile))
        with watch.watched() as seen:
            done = command("reproduce", file, "--out", tmp_path / "again", "-q")
        what = f"{field} names {text}: {done.err}"
        assert done.status == 2, what
        assert "--allow" in done.error, what
        last = field.rpartition(".")[2]
        assert last in done.error or "metric_plugins" in done.error or text == "all at once", what
        assert (seen.started, seen.outside(tmp_path, *INSTALLED)) == ([], []), what
        count += 1
    assert count > 200
    assert not (outside / "ran").exists()
    assert not (tmp_path / "again").exists()


SHOWING = (
    ("leaderboard",),
    ("leaderboard", "--format", "csv"),
    ("leaderboard", "--format", "markdown"),
    ("compare", "--defense", "none,safeclip"),  # of which there are no two to compare
)


def test_what_only_shows_rows_looks_at_nothing_that_they_name(
    row: Row, outside: Path, watch: Watch, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Tables, page and submission open nothing; a submission says which field names what."""
    monkeypatch.chdir(tmp_path)
    told_once = {
        "train.pretrained",
        "evals",
        "trusted",
        "metrics",
    }  # so that nothing contradicts it
    names = (str(outside / "model.json"), str(outside / "evil.py"))
    rows = {field: r for field, text, r in one_at_a_time(row, outside) if text in names}
    shown = [r for field, r in rows.items() if field in told_once | {"data", "attack", "defense"}]
    boards = {"all": [*shown, everything(row, outside)], "sent": [rows[f] for f in told_once]}
    for name, some in boards.items():
        (tmp_path / name).mkdir()
        for number, hostile in enumerate(some):
            (tmp_path / name / f"{number}.json").write_text(json.dumps(hostile))
    lines: list[tuple[object, ...]] = [(*line, tmp_path / "all") for line in SHOWING]
    lines += [("leaderboard", tmp_path / "all", "--html", tmp_path / "page.html")]
    lines += [("submit", tmp_path / "sent", "--to", tmp_path / "board")]
    for line in lines:
        with watch.watched() as seen:
            done = command(*line)
        status = 2 if line[0] == "compare" else 0
        assert (done.status, seen.started) == (status, []), (line, done.err[-500:])
        assert seen.outside(tmp_path, *INSTALLED) == [], line
    assert f"config.train.pretrained names '{outside / 'model.json'}'" in done.err
    assert not (outside / "ran").exists()


def test_a_configuration_that_came_with_a_row_is_not_believed(
    row: Row, outside: Path, watch: Watch, tmp_path: Path
) -> None:
    """It may name any place of this machine; what a row is made of is asked for instead."""
    hostile = put(row, "train", None, {"pretrained": by_content("0" * 64)})
    (tmp_path / "result.json").write_text(json.dumps(hostile))
    told = {"train": {"pretrained": str(outside / "model.json")}}
    with watch.watched() as counting:  # a row says how many threads it was made with
        processors()
    of_machine = map(Path, counting.opened)
    known = (tmp_path, Path.home() / ".cache" / "clipbench", *INSTALLED, *of_machine)
    for seal in (None, "0" * 64):
        (tmp_path / "config.json").write_text(json.dumps({**told, "seal": seal}))
        with watch.watched() as seen:
            done = command("reproduce", tmp_path, "--out", tmp_path / "again", "-q")
        assert done.status == 2
        assert "--where train.pretrained=PATH" in done.error
        assert seen.started == []
        assert seen.outside(*known) == []


@pytest.mark.parametrize("name", ["run --config", "poison --config", "sweep", "check"])
@pytest.mark.parametrize(
    ("text", "field"),
    [
        ("attack: {evil}\npoisons: 3", "attack"),
        ("defense: [none, 'evil:DEFENSE']", "defense"),
        ("attack: adaptive:base={evil}\npoisons: 3", "base"),
        ("data: http://127.0.0.1:9/0.tar", "data"),
        ("eval: 'imagenet:root=http://127.0.0.1:9/x'", "eval"),
        ("train: {{model: 'hf-hub:stranger/model'}}", "model"),
    ],
)
def test_a_configuration_file_of_others_runs_and_fetches_nothing(
    name: str,
    text: str,
    field: str,
    outside: Path,
    watch: Watch,
    tmp_path: Path,
) -> None:
    """Code and addresses are named by whoever starts the command, or refused with the option."""
    file = tmp_path / "grid.yaml"
    file.write_text(text.format(evil=outside / "evil.py"))
    with watch.watched() as seen:
        done = command(*name.split(), file)
    assert done.status == 2
    assert field in done.error
    assert "--allow " in done.error
    assert (seen.started, seen.outside(tmp_path, *INSTALLED)) == ([], [])
    assert not (outside / "ran").exists()
