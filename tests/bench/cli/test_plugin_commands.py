"""`clipbench list`, `describe`, `data` and `doctor`."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from clipbench.cli import main
from clipbench.cli._machine import _numbers, examine
from clipbench.cli._output import columns

DEFENSE = '''"""Mine: a defense.

Somebody. A Paper. 2024. https://example.org/paper
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Mine:
    """Train.

    Args:
        strength: how ``strong`` it is, told at such length that the text has to be broken into more
            lines than one when it is shown to a person.
    """

    strength: float = 0.5

    def start(self, facts): ...


DEFENSE = Mine
'''


def run(capsys: pytest.CaptureFixture[str], *args: str) -> tuple[int, str, str]:
    """Return exit status, standard output and standard error of a command line."""
    status = main(args)
    captured = capsys.readouterr()
    return status, captured.out, captured.err


def test_list_shows_all_kinds(capsys: pytest.CaptureFixture[str]) -> None:
    """Without a kind there are attacks, defenses, data sets and metrics, with a title each."""
    status, out, _ = run(capsys, "list")
    assert status == 0
    assert [line for line in out.splitlines() if not line.startswith("  ") and line] == [
        "attacks",
        "defenses",
        "datasets",
        "metrics",
    ]
    assert "  shapes  " in out


def test_list_as_json_is_for_programs(capsys: pytest.CaptureFixture[str]) -> None:
    """JSON names each plugin with title, origin and parameters."""
    status, out, _ = run(capsys, "list", "datasets", "--json")
    assert status == 0
    (shapes,) = [item for item in json.loads(out)["datasets"] if item["name"] == "shapes"]
    assert shapes["origin"] == "clipbench_datasets.shapes"
    assert "size" in shapes["parameters"]


def test_list_warns_of_a_broken_plugin_and_shows_the_others(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A broken plugin is a warning with its distribution; status and output are as without it."""
    info = tmp_path / "broken-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: broken\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[clipbench.attacks]\nbad = not_there_at_all:Bad\n")
    monkeypatch.syspath_prepend(tmp_path)
    status, out, err = run(capsys, "list", "attacks")
    assert status == 0
    names = [line.split()[0] for line in out.splitlines()]
    assert "bad" not in names
    assert "none" in names
    assert err.startswith("warning: The attack 'bad' of broken 1.0 (not_there_at_all:Bad)")
    assert "No module named 'not_there_at_all'" in err


def test_list_knows_both_spellings_of_defense(capsys: pytest.CaptureFixture[str]) -> None:
    """British spelling is accepted."""
    assert run(capsys, "list", "defences") == run(capsys, "list", "defenses")  # codespell:ignore


def test_list_of_nothing_says_none(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """An empty kind is said to be empty."""
    monkeypatch.setattr("clipbench.plugins.find._built_in", lambda _kind: [])
    assert run(capsys, "list", "metrics")[:2] == (0, "none\n")


def test_describe_shows_parameters_and_paper(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """A plugin, here of a file, is shown with its paper and a table of its parameters."""
    file = tmp_path / "mine.py"
    file.write_text(DEFENSE)
    status, out, _ = run(capsys, "describe", str(file))
    assert status == 0
    assert out.startswith("mine (defense)\n\nMine: a defense.\n\nSomebody. A Paper. 2024.")
    assert "strength   float  0.5      how strong it is, told at" in out
    assert max(map(len, out.splitlines())) <= 100


def test_describe_as_json(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """JSON holds the same as the text, in lists and dicts."""
    file = tmp_path / "mine.py"
    file.write_text(DEFENSE)
    _, out, _ = run(capsys, "describe", str(file), "--json")
    (found,) = json.loads(out)
    assert (found["kind"], found["title"]) == ("defense", "Mine: a defense.")
    assert found["parameters"][0]["default"] == "0.5"


def test_describe_shows_every_plugin_of_a_shared_name(capsys: pytest.CaptureFixture[str]) -> None:
    """A name of two kinds shows both, and one when the kind is given."""
    _, out, _ = run(capsys, "describe", "none")
    assert "none (attack)" in out
    assert "none (defense)" in out
    _, out, _ = run(capsys, "describe", "none", "--kind", "attack")
    assert "none (defense)" not in out
    assert "No parameters." in out


def test_describe_finds_module_and_object(capsys: pytest.CaptureFixture[str]) -> None:
    """``module:object`` is described as what it is."""
    assert run(capsys, "describe", "clipbench_defenses.none:DEFENSE")[1].startswith(
        "DEFENSE (defense)"
    )


def test_describe_of_what_is_not_there(capsys: pytest.CaptureFixture[str]) -> None:
    """A missing file is an error of status 2 that names it."""
    status, out, err = run(capsys, "describe", "absent.py")
    assert (status, out) == (2, "")
    assert "There is no plugin file" in err


@pytest.mark.parametrize("name", ["badnets:foo=1", "badnets:size=0.5", "dao:k=3"])
def test_describe_takes_no_parameters_that_it_would_ignore(
    capsys: pytest.CaptureFixture[str], name: str
) -> None:
    """Neither wrong ones nor right ones: what is described is the plugin."""
    status, out, err = run(capsys, "describe", name)
    assert (status, out) == (2, "")
    assert f"{name} has parameters" in err


def test_data_writes_a_folder_for_any_program(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """The shards are written where asked, whole or not at all, and the folder is printed."""
    out = tmp_path / "new" / "shards"
    args = ["data", "shapes", "--size", "100", "--set", "image_size=16", "--out", str(out)]
    status, printed, _ = run(capsys, *args, "--cache", str(tmp_path / "cache"))
    assert (status, printed) == (0, f"{out}\n")
    assert (out / "00000.tar").stat().st_size > 100_000
    assert (out / "manifest.json").is_file()
    assert list(out.parent.iterdir()) == [out]
    status, printed, _ = run(capsys, *args)  # the same set is there already
    assert (status, printed) == (0, f"{out}\n")
    args[3] = "200"
    status, _, err = run(capsys, *args)
    assert status == 2
    assert "is not empty; choose another" in err


def test_data_without_a_folder_stays_in_the_cache(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """Without ``--out`` the shards stay in the cache, whose folder is printed."""
    status, out, _ = run(capsys, "data", "shapes:size=100", "--cache", str(tmp_path))
    assert status == 0
    folder = Path(out.strip())
    assert tmp_path in folder.parents
    assert (folder / "00000.tar").is_file()


@pytest.mark.parametrize(
    ("args", "part"),
    [
        (["shape"], "Did you mean 'shapes'?"),
        (["shapes", "--set", "image-siz=3"], "Did you mean 'image_size'?"),
        (["shapes", "--set", "image_size"], "--set takes FIELD=VALUE"),
        (["shapes", "--size", "many"], "shapes.size must be int | none. Got 'many'."),
    ],
)
def test_data_refuses_what_it_does_not_know(
    capsys: pytest.CaptureFixture[str], args: list[str], part: str
) -> None:
    """Unknown data sets and parameters are named with the nearest known."""
    status, _, err = run(capsys, "data", *args)
    assert status == 2
    assert part in err


def test_doctor_looks_at_everything(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """A machine that runs the tests passes, and each thing is reported with what was found."""
    status, out, _ = run(capsys, "doctor", "--json", "--cache", str(tmp_path / "cache"))
    report = json.loads(out)
    assert (status, report["passed"]) == (0, True)
    names = [check["name"] for check in report["checks"]]
    assert {"python", "torch", "open_clip", "pandas", "processor", "gpus"} <= set(names)
    assert "load " in next(c["message"] for c in report["checks"] if c["name"] == "other work")
    assert {"memory", "cache", "disk", "hard links"} <= set(names)
    assert list(Path(tmp_path / "cache").iterdir()) == []


def test_doctor_fails_on_a_cache_that_cannot_be_written(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """A cache below a file is a problem, told with what to do, and the exit status is 1."""
    (tmp_path / "file").write_text("")
    status, out, _ = run(capsys, "doctor", "--cache", str(tmp_path / "file" / "cache"))
    assert status == 1
    assert "PROBLEM  cache" in out
    assert "choose another with --cache" in out


def test_doctor_notices_missing_and_old_packages(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A package that is absent or too old is a problem that says what to install."""
    monkeypatch.setattr(
        "clipbench.cli._machine.PACKAGES",
        {"click": ("click", "8.1"), "no_such": ("no-such", "1"), "yaml": ("PyYAML", "99.1")},
    )
    findings = {finding.name: finding for finding in examine(tmp_path)}
    assert findings["click"].passed
    assert not findings["no_such"].passed
    assert findings["no_such"].message.endswith("; install no-such again")
    assert not findings["yaml"].passed
    assert findings["yaml"].message.endswith("; install 99.1 or newer")


@pytest.mark.parametrize(
    ("version", "numbers"),
    [("2.15.0+cpu", (2, 15, 0)), ("2.6.0a0", (2, 6, 0)), ("1.0rc1", (1, 0)), ("unknown", ())],
)
def test_versions_are_compared_by_their_numbers(version: str, numbers: tuple[int, ...]) -> None:
    """A version is its leading numbers; what follows does not count."""
    assert _numbers(version) == numbers


def test_columns_are_aligned_and_broken() -> None:
    """Columns are as wide as their widest cell; the last is broken into lines where asked."""
    rows = [("a", "bb", "one two"), ("ccc", "d", "")]
    assert columns(rows) == "a    bb  one two\nccc  d"
    text = columns([("a", "word " * 20)], width=40)
    assert text.splitlines()[1] == "   word word word word word word word"


def test_verify_accepts_sound_shards_and_refuses_damaged_ones(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """A sound set passes; one changed byte fails a check by name, with exit status 1."""
    folder = tmp_path / "set"
    assert main(["data", "shapes:size=100", "--out", str(folder), "--cache", str(tmp_path)]) == 0
    capsys.readouterr()
    status, out, _ = run(capsys, "verify", str(folder))
    assert status == 0
    assert out.startswith("ok")
    shard = folder / "00000.tar"
    content = bytearray(shard.read_bytes())
    content[len(content) // 2] ^= 255
    shard.unlink()  # the file is a hard link to the one in the cache
    shard.write_bytes(content)
    status, out, _ = run(capsys, "verify", str(folder), "--json")
    report = json.loads(out)
    assert (status, report["passed"]) == (1, False)
    failed = [check["message"] for check in report["checks"] if not check["passed"]]
    assert any("00000.tar" in message for message in failed)
    assert "FAILED" in run(capsys, "verify", str(folder))[1]


def test_verify_of_no_folder_is_status_2(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """A folder that is not there is an error that names it."""
    status, _, err = run(capsys, "verify", str(tmp_path / "absent"))
    assert status == 2
    assert "absent" in err


@pytest.mark.parametrize("command", [["describe", "badnets"], ["poison", "--attack", "badnets"]])
def test_a_picture_is_not_written_under_the_name_of_another_format(
    command: list[str], capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """sheet.xyz would be a PNG; that is said before anything is drawn or poisoned."""
    status, _, err = run(capsys, *command, "--show", str(tmp_path / "sheet.xyz"))
    assert status == 2
    assert "must end in one of .png, .pdf" in err
    assert not list(tmp_path.iterdir())
