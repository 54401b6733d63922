# ruff: noqa: ARG005 - every walk is handed the same two things
"""Every command that prints, with text of strangers in all that it reads: nothing shown acts."""

from __future__ import annotations

import csv
import io
import json
import tarfile
from collections.abc import Callable, Iterator, Mapping
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import click
import numpy as np
import pytest
from safetensors.numpy import save_file

from clipbench.cli import cli, main
from clipbench.files.bundled import published_rows
from clipbench.images.encoding import encode_jpeg
from clipbench.results.result import config_hash
from clipbench.text.visible import visible

MARK = "FORGED"
# Moves of the cursor and titles, one-byte controls, directions, what is not seen, a line that
# passes for one of ours; a formula; markup of every kind.
TEXT = (
    "=x\x1b]0;t\x07\x1b[2J\x9b31m\u202e\u2066\u200b\ufe0f\u3164\r\x08\x7f\n"
    f"{MARK} <b>&amp;</b> [l](javascript:a) `c` $x_{{$ \\input{{p}} %"
)
KEY = TEXT.replace(".", "").replace("\\", "")
SMALL = "shapes:size=200,test_size=100,targets_size=50"

CODES = TEXT.replace("\n", " ").replace("\r", " ").encode("unicode_escape").decode()
PLUGIN = f'''"""Mine{CODES}.

Notes.
"""
import logging, sys, warnings
from dataclasses import dataclass

TEXT = {TEXT!r}
print(TEXT.replace(chr(10), ""))  # a plugin may print lines
print(TEXT.replace(chr(10), ""), file=sys.stderr)
logging.getLogger("mine").warning(TEXT.replace(chr(10), ""))
warnings.warn(TEXT, stacklevel=1)


@dataclass(frozen=True)
class Mine:
    """Train.

    Args:
        strength: how strong.
    """

    strength: str = TEXT

    def __post_init__(self):
        raise ValueError(TEXT)

    def start(self, facts): ...
    def poison(self, pair, rng): ...


DEFENSE = ATTACK = DATASET = METRIC = Mine
'''


class Folder:
    """What a stranger handed over."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.rows, self.set, self.plugin = root / "rows", root / "set", root / "plugin.py"
        self.plugin.write_text(PLUGIN, encoding="utf-8")
        self.rows.mkdir()
        picked = ("none", "safeclip")
        for number, defense in enumerate(picked):
            (self.rows / f"{number}.json").write_text(json.dumps(_row(defense, number)))
        self.row = self.rows / "0.json"
        (self.rows / f"{KEY[:60].replace('/', '')}.json").write_text("{")
        self.table = root / "reported.csv"
        with self.table.open("w", newline="") as file:
            names = ("attack", "defense", "metric", "paper", "table", "value")
            csv.writer(file).writerows([names, [TEXT] * 5 + ["0.5"]])
        _write_set(self.set / "00000.tar")
        _write_set(self.set / "00001.tar", broken=True)
        self.sound = root / "sound"
        _write_set(self.sound / "00000.tar")
        self.weights = root / "weights.safetensors"
        save_file({TEXT: np.zeros(2, np.float32)}, self.weights, metadata={TEXT: TEXT})
        self.config = root / "config.yaml"
        self.config.write_text(json.dumps({TEXT: TEXT, "train": {TEXT: 1}}))
        self.ledger = root / "ledger"
        self.ledger.mkdir()
        (self.ledger / "ledger.json").write_text(json.dumps({"schema": TEXT, TEXT: TEXT}))
        self.log = root / "audit.jsonl"
        entry = {"line": TEXT, "command": TEXT, "outcome": TEXT, "used": {TEXT: TEXT}, "made": TEXT}
        self.log.write_text(f"{json.dumps(entry)}\n")
        self.index = root / "indexed"
        _write_set(self.index / "00000.tar")
        (self.index / "manifest.json").write_text(
            json.dumps({"shards": [{"name": TEXT, "sha256": TEXT}], TEXT: 1})
        )
        (self.index / ".clipbench").mkdir()
        (self.index / ".clipbench" / "index-0.bin").write_bytes(TEXT.encode())


def _row(defense: str, number: int) -> dict[str, Any]:
    """Return a published row whose texts are a stranger's; those of two defenses can be paired."""
    rows = (json.loads(path.read_text()) for path in sorted(published_rows("rates").glob("*.json")))
    row: dict[str, Any] = next(
        item
        for item in rows
        if (item["defense"]["name"], item["attack"]["name"]) == (defense, "targeted")
        and (item["attack"]["rate"], item["seed"]) == (0.002, 0)
    )
    row["attack"]["name"] = row["config"]["attack"]["name"] = TEXT
    if number:
        row["defense"] = {"name": TEXT, "parameters": {}}
        row["config"]["defense"] = {"name": TEXT}
    row["model"]["name"] = row["config"]["train"]["model"] = TEXT
    row["data"]["name"] = row["config"]["data"]["name"] = TEXT
    row["data"]["evaluation"]["name"] = TEXT
    row["metrics"][TEXT] = {"value": 0.5}
    row["flags"] = [TEXT]
    row["names"] = {"data.path": TEXT}
    row["environment"]["platform"] = TEXT
    row["config_sha256"] = config_hash(row["config"])
    row["id"] = row["config_sha256"][:16]
    return row


def _write_set(path: Path, *, broken: bool = False) -> None:
    path.parent.mkdir(exist_ok=True)
    with tarfile.open(path, "w", format=tarfile.PAX_FORMAT) as tar:
        for number in range(120):
            picture = np.full((32, 32, 3), number % 250, np.uint8)
            text = b"\xff\xfe" if broken and number == 5 else f"{TEXT} {number}".encode()
            key = f"{path.stem}{number:04}{KEY.replace('/', '')}"
            for end, content in (("jpg", encode_jpeg(picture)), ("txt", text)):
                info = tarfile.TarInfo(f"{key}.{end}")
                info.size = len(content)
                tar.addfile(info, io.BytesIO(content))


@pytest.fixture(scope="module")
def given(tmp_path_factory: pytest.TempPathFactory) -> Folder:
    """Return the folder of a stranger."""
    return Folder(tmp_path_factory.mktemp("given"))


Words = list[str]
# What each command is given, and what it is to write into, as lines of words.
WALKS: Mapping[str, Callable[[Folder, str], list[Words]]] = {
    "run": lambda f, out: [
        ["--config", str(f.config)],
        ["--attack", str(f.plugin), "--poisons", "5", "--data", SMALL, "--out", out],
        ["--defense", str(f.plugin), "--data", SMALL, "--out", out],
        ["--data", f"shards:path={f.sound}", "--eval", SMALL, *_dry(), "--out", out],
        ["--model", TEXT],
        ["--pretrained", str(f.weights), "--data", SMALL, *_dry(), "--out", out],
    ],
    "sweep": lambda f, out: [[str(f.config)], [f"{f.root}/{TEXT.replace('/', '')}"]],
    "check": lambda f, out: [[str(f.config)], [str(f.config), "--junit", f"{out}/junit.xml"]],
    "poison": lambda f, out: [
        ["--data", str(f.sound), "--eval", SMALL, *_attack(), "--out", f"{out}/poisoned"],
        ["--data", str(f.set), "--eval", SMALL, *_attack(), "--out", f"{out}/b"],
        ["--data", str(f.sound), "--attack", f"{f.plugin}", "--poisons", "5", "--out", out],
    ],
    "train": lambda f, out: [
        ["--shards", str(f.set), "--data", SMALL, *_dry(), "--out", out],
        ["--shards", str(f.sound), "--data", SMALL, *_dry(), "--out", out],
        ["--shards", str(f.sound), "--data", SMALL, "--defense", str(f.plugin), "--out", out],
    ],
    "evaluate": lambda f, out: [
        ["--checkpoint", str(f.weights), "--model", "shapes-32", "--data", SMALL],
        ["--checkpoint", str(f.row), "--model", TEXT],
        ["--checkpoint", str(f.weights), "--model", "shapes-32", "--ledger", str(f.ledger)],
    ],
    "leaderboard": lambda f, out: [
        [str(f.rows), "--write", f"{out}/tables", "--html", f"{out}/page.html", "--legend"],
        *([str(f.rows), "--format", form] for form in ("markdown", "csv", "latex", "matrix")),
        [str(f.rows), "--format", "matrix", "--cell", f"metrics.{visible(TEXT)}"],
        [str(f.root / "board"), "--write", f"{out}/reported"],
        [str(f.rows), "--attack", TEXT],
    ],
    "compare": lambda f, out: [
        ["--defense", "none", "--defense", visible(TEXT), str(f.rows)],
        ["--defense", "none,clip", "--attack", TEXT, str(f.rows)],
    ],
    "power": lambda f, out: [
        ["--share", TEXT, "--against", "0.5"],
        ["--share", "1/2", "--against", "0.9"],
    ],
    "log show": lambda f, out: [[str(f.log)]],
    "log verify": lambda f, out: [[str(f.log)], [str(f.log), "--head", TEXT]],
    "log head": lambda f, out: [[str(f.root / f"{TEXT.replace('/', '')}.jsonl")]],
    "submit": lambda f, out: [
        [str(f.rows / "1.json"), "--to", f"{out}/board"],
        ["--reported", str(f.table), "--to", str(f.root / "board")],
        [str(f.row), "--ledger", str(f.ledger), "--to", f"{out}/c"],
        [str(f.config), "--to", f"{out}/d"],
    ],
    "reproduce": lambda f, out: [
        [str(f.row), "--out", out],
        [str(f.rows / "1.json"), "--out", out, "--allow", TEXT],
        [str(f.config)],
    ],
    "list": lambda f, out: [[TEXT], [], ["configs"]],
    "describe": lambda f, out: [[str(f.plugin)], [str(f.plugin), "--check"], [TEXT]],
    "example": lambda f, out: [[TEXT], []],
    "new": lambda f, out: [["attack", TEXT], [TEXT, "mine"]],
    "verify": lambda f, out: [
        [str(f.set)],
        [str(f.sound)],
        [str(f.index)],
        [str(f.sound), "--ledger", str(f.ledger)],
    ],
    "croissant": lambda f, out: [
        [*_published(TEXT), str(f.index)],
        [*_published("https://example.org"), str(f.sound)],
        [*_published("https://example.org"), str(f.ledger)],
    ],
    "detect": lambda f, out: [
        ["--data", SMALL, "--shards", str(f.sound), *_method(), "--out", f"{out}/suspects"],
        [
            "--data",
            SMALL,
            "--shards",
            str(f.set),
            *_method(),
            "--dry-run",
            "--no-estimate",
            "--out",
            out,
        ],
        ["--data", SMALL, "--shards", str(f.sound), "--method", str(f.plugin), "--out", out],
    ],
    "audit": lambda f, out: [
        ["--data", str(f.set), "--out", f"{out}/a"],
        ["--data", str(f.set), "--out", f"{out}/a", "--supplier", TEXT, "--dry-run"],
        ["--data", f"{f.root}/{TEXT.replace('/', '')}", "--out", f"{out}/a"],
        ["--data", str(f.set), "--out", f"{out}/a", "--budget", TEXT],
        ["--data", str(f.set), "--out", f"{out}/a", "--labels", str(f.table)],
    ],
    "monitor": lambda f, out: [
        ["--baseline", str(f.root), "--data", str(f.set), "--out", f"{out}/m"],
        ["--baseline", f"{f.root}/{TEXT.replace('/', '')}", "--data", str(f.set), "--out", out],
    ],
    "data write": lambda f, out: [[str(f.plugin), "--out", f"{out}/w"], [TEXT], ["shards:path=a"]],
    "data import": lambda f, out: [
        [f"shards:path={f.set}", "--out", f"{out}/i", "--on-error", "skip", "--workers", "0"],
        [f"shards:path={f.set}", "--out", f"{out}/j", "--workers", "0"],
        [f"csv:path={f.table}", "--out", f"{out}/k", "--workers", "0"],
    ],
    "data index": lambda f, out: [
        [f"shards:path={f.set}", "--on-error", "skip", "--model", "shapes-32"],
        [f"shards:path={f.set}"],
        [str(f.plugin)],
        [TEXT],
    ],
    "doctor": lambda f, out: [["--cache", f"{f.row}/{TEXT.replace('/', '')}"]],
}


def _dry() -> Words:
    return ["--dry-run", "--no-estimate", "--model", "shapes-32"]


def _published(text: str) -> Words:
    return ["--license", text, "--url", text, "--creator", TEXT, "--name", TEXT]


def _attack() -> Words:
    return ["--attack", "badnets", "--poisons", "5"]


def _method() -> Words:
    settings = ["model=shapes-32", "epochs=1", "batch_size=64", "warmup=0"]
    return ["--method", "dao", *(word for item in settings for word in ("--set", item))]


def _commands(group: click.Group, before: str = "") -> Iterator[str]:
    """Yield every command by its words."""
    context = click.Context(group)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        if isinstance(command, click.Group):
            yield from _commands(command, f"{before}{name} ")
        else:
            yield f"{before}{name}"


def _options(words: str) -> set[str]:
    command: click.Command = cli
    for word in words.split():
        assert isinstance(command, click.Group)
        found = command.get_command(click.Context(command), word)
        assert found is not None
        command = found
    return {name for parameter in command.params for name in parameter.opts}


def test_every_command_is_walked() -> None:
    """Whoever adds one says here what a stranger can hand to it."""
    assert set(WALKS) == set(_commands(cli))


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("command", WALKS)
def test_what_is_shown_does_not_act(
    command: str, given: Folder, tmp_path: Path, capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    """Neither on the two streams, as text and as JSON, nor in any file that is written."""
    monkeypatch.setenv("CLIPBENCH_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    seen, options = 0, _options(command)
    for number, words in enumerate(WALKS[command](given, str(tmp_path))):
        again: Words = []
        for _ in range(2):  # once more as JSON, or with where the error came from
            into = [word.replace(str(tmp_path), f"{tmp_path}/{number}{again}") for word in words]
            status = main([*command.split(), *into, *again])
            said = capfd.readouterr()
            if status == 0 and again:
                assert json.loads(said.out) is not None
            for text in (said.out, said.err):
                check_lines(text)
                seen += text.count(MARK)
            if "csv" in words and not again:
                check_csv(said.out)
            again = ["--traceback"] if status else ["--json"]
            if not options.issuperset(again):
                break
    assert seen, "the walk shows nothing of the stranger's"
    for file in tmp_path.rglob("*"):
        check_file(file)


def check_lines(text: str) -> None:
    """Nothing moves the cursor, hides, or begins a line that looks like one of ours."""
    for line in text.split("\n"):
        assert visible(line) == line
        assert not line.startswith(MARK)


def check_csv(text: str) -> None:
    """No cell is a formula, and there is one that would be."""
    assert any(MARK in cell for cell in check_cells(text))


def check_cells(text: str) -> list[str]:
    """No cell of a table is a formula; some tables, as of suppliers, may name no stranger."""
    cells = [cell for line in csv.reader(io.StringIO(text)) for cell in line]
    assert not [cell for cell in cells if cell[:1] in "=+-@\t\r" and not _is_number(cell)]
    return cells


def _is_number(cell: str) -> bool:
    try:
        float(cell or 0)
    except ValueError:
        return False
    return True


class _Tags(HTMLParser):
    """The tags of a page that a stranger's markup would make."""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert tag != "b"
        assert not [value for _, value in attrs if (value or "").startswith("javascript:")]


def check_file(file: Path) -> None:
    """A file that is read by people, or by programs that would obey it, holds nothing that acts."""
    if not file.is_file() or file.suffix not in {".csv", ".html", ".md", ".tex", ".xml"}:
        return
    text = file.read_text(encoding="utf-8")
    for line in text.split("\n"):
        assert visible(line.replace("\t", "")) == line.replace("\t", "")
    if file.suffix == ".csv":
        check_cells(text)
    elif file.suffix == ".html":
        _Tags().feed(text)
    elif file.suffix == ".xml":
        ET.fromstring(text)
    elif file.suffix == ".md":
        assert "<b>" not in text
        assert "](" not in text.replace("\\](", "").replace("]\\(", "")
    else:
        assert "\\input" not in text
