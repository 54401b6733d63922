from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from clipbench.custody import log
from clipbench.custody.log import Head, append, verify
from clipbench.custody.record import note_used, recorded
from clipbench.errors import BadSetting, MissingData


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A log of five lines."""
    path = tmp_path / "runs" / log.NAME
    for number in range(5):
        append(path, {"command": f"poison {number}", "made": {"set": str(number) * 64}})
    return path


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def rewrite(path: Path, entries: list[dict[str, Any]]) -> None:
    """Write a log whose chain is whole, as anybody can."""
    before, text = log.FIRST, ""
    for number, entry in enumerate(entries, start=1):
        line = json.dumps({**entry, "line": number, "before": before})
        before = hashlib.sha256(line.encode()).hexdigest()
        text += f"{line}\n"
    path.write_text(text)


def test_a_log_that_nobody_touched_is_whole(path: Path) -> None:
    """Every line has its number, its time and the hash of the line before."""
    verdict = verify(path)
    assert (verdict.head.lines, verdict.broken, verdict.open) == (5, [], [])
    texts = path.read_bytes().splitlines()
    before = [log.FIRST, *(hashlib.sha256(text).hexdigest() for text in texts)]
    assert [entry["before"] for entry in lines(path)] == before[:-1]
    assert str(verdict.head) == f"5:{before[-1]}"


def edited(path: Path) -> None:
    path.write_text(path.read_text().replace("poison 2", "poison 9"))


def last_edited(path: Path) -> None:
    path.write_text(path.read_text().replace("poison 4", "poison 9"))


def removed(path: Path) -> None:
    path.write_text("".join(path.read_text().splitlines(keepends=True)[i] for i in (0, 1, 3, 4)))


def last_removed(path: Path) -> None:
    path.write_text("".join(path.read_text().splitlines(keepends=True)[:4]))


def moved(path: Path) -> None:
    path.write_text("".join(path.read_text().splitlines(keepends=True)[i] for i in (0, 2, 1, 3, 4)))


def repeated(path: Path) -> None:
    path.write_text("".join(path.read_text().splitlines(keepends=True)[i] for i in (0, 1, 1, 2, 3)))


def written_anew(path: Path) -> None:
    rewrite(path, [{**entry, "command": "verify"} for entry in lines(path)])


def emptied(path: Path) -> None:
    path.write_text("")


WAYS = (edited, last_edited, removed, last_removed, moved, repeated, written_anew, emptied)


@pytest.mark.parametrize("tamper", WAYS, ids=lambda way: way.__name__)
def test_what_somebody_else_changed_is_found(path: Path, tamper: Callable[[Path], None]) -> None:
    """Also where the end is missing, or the chain was made whole again."""
    tamper(path)
    assert verify(path).broken


@pytest.mark.parametrize("tamper", WAYS, ids=lambda way: way.__name__)
def test_a_later_line_hides_nothing(path: Path, tamper: Callable[[Path], None]) -> None:
    """The next command adds its line and its seal; what was changed before is found."""
    tamper(path)
    append(path, {"command": "run"})
    assert verify(path).broken


def test_a_line_that_somebody_added_is_told(path: Path) -> None:
    """It may also be that of a command that was killed before it sealed: nobody can tell here."""
    rewrite_last = {"line": 6, "command": "run", "before": verify(path).head.sha256}
    with path.open("a") as file:
        file.write(f"{json.dumps(rewrite_last)}\n")
    verdict = verify(path)
    assert not verdict.broken
    assert [text.startswith("the seal ends at line 5") for text in verdict.open] == [True]


def test_a_line_that_breaks_off_is_no_line(path: Path) -> None:
    """A command was killed while it wrote: that is told, and the next command's line says it."""
    whole = path.read_bytes()
    path.write_bytes(whole + b'{"line": 6, "comm')
    assert verify(path).broken == ["line 6 is no whole line of a log"]
    append(path, {"command": "run"})
    assert lines(path)[-1]["cut_off"] == 17
    assert path.read_bytes().startswith(whole)
    assert not verify(path).broken


def test_the_end_is_sealed_by_a_user(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """For others nothing shows that no line is missing there, but a head that they kept."""
    head = verify(path).head
    monkeypatch.setattr("clipbench.files.seal._key", lambda: b"another user's key, 32 bytes long")
    assert verify(path).open[0].startswith("the end is not sealed by this user")
    assert verify(path, head) == log.Verdict(head, [], [])
    last_removed(path)
    assert verify(path, head).broken == ["line 5 is not the one of the head that was kept"]


def test_an_early_head_vouches_for_what_was_before_it(path: Path) -> None:
    """Lines may be added after it; none before may change."""
    head = verify(path).head
    append(path, {"command": "run"})
    assert not verify(path, head).broken
    written_anew(path)
    assert "line 5 is not the one of the head that was kept" in verify(path, head).broken


@pytest.mark.parametrize("text", ["", "5", "5:abc", f"x:{'a' * 64}", f"5:{'G' * 64}"])
def test_what_is_no_head_is_refused(text: str) -> None:
    """With one sentence that says where heads come from."""
    with pytest.raises(BadSetting, match="as `clipbench log head` says"):
        Head.of(text)


def test_processes_take_turns(path: Path) -> None:
    """Three that write at once leave one chain with all their lines."""
    program = (
        "import sys; from pathlib import Path; from clipbench.custody.log import append\n"
        "for number in range(20): append(Path(sys.argv[1]), {'command': sys.argv[2]})"
    )
    started = [subprocess.Popen([sys.executable, "-c", program, str(path), name]) for name in "abc"]
    assert [process.wait(60) for process in started] == [0, 0, 0]
    assert (verify(path).head.lines, verify(path).broken) == (65, [])
    assert sorted(entry["command"] for entry in lines(path)[5:]) == sorted("abc" * 20)


def test_work_that_failed_is_logged_too(tmp_path: Path) -> None:
    """With what it had noted, and the reason on one line."""
    path = tmp_path / log.NAME
    with suppress(ValueError), recorded(path, "run", {"seed": 1}):
        note_used("data", "0" * 64)
        raise ValueError("no such\nthing")
    (entry,) = lines(path)
    assert (entry["outcome"], entry["settings"]) == ("failed: no such thing", {"seed": 1})
    assert entry["used"] == {"data": "0" * 64}
    assert entry["versions"]["torch"]


def test_what_cannot_be_a_log_is_refused(tmp_path: Path) -> None:
    """A folder, or nothing at all: one sentence, and nothing hangs."""
    with pytest.raises(MissingData):
        append(tmp_path, {})
    with pytest.raises(MissingData, match="can't be read"):
        verify(tmp_path / "none")
