"""Reported numbers: read from CSV, kept whole, shown apart, never part of a measured row."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from clipbench.cli import main
from clipbench.errors import BadInput, CorruptData, MissingData
from clipbench.leaderboard.render import plain_markdown
from clipbench.leaderboard.text_table import fit
from clipbench.results.reported import TITLE, cells, load_reported, read_csv, write_reported
from clipbench.results.result import write_result
from clipbench.results.store import load_results

HEAD = "attack,rate,defense,metric,value,k,n,paper,table"
ROWS = (
    "badnets,0.5%,safeclip,attack_success,12.5%,,,A Paper,Table 1",
    'targeted,1e-4,none,attack_success,,15,16,"Another, Longer",Table 2',
    "badnets,,clip,attack_margin,-0.25,,,A Paper,Table 1",
)


def table(tmp_path: Path, *rows: str, head: str = HEAD) -> Path:
    file = tmp_path / "reported.csv"
    file.write_text("\n".join([head, *rows, ""]))
    return file


def loaded(folder: Path) -> list[dict[str, Any]]:
    def refuse(error: BadInput) -> None:
        raise error

    return load_reported([folder], skip_damaged=refuse)


def test_rows_come_back_as_they_were_read(tmp_path: Path) -> None:
    """Values, percentages and counts; a rate, model or data set that is not given is none."""
    rows = read_csv(table(tmp_path, *ROWS))
    assert [(row.value, row.k, row.n) for row in rows] == [
        (0.125, None, None),
        (0.9375, 15, 16),
        (-0.25, None, None),
    ]
    assert [row.rate for row in rows] == [0.005, 0.0001, None]
    write_reported(rows, tmp_path / "board")
    assert sorted(map(str, loaded(tmp_path / "board"))) == sorted(map(str, rows))


def test_the_same_again_changes_nothing_and_another_number_is_refused(tmp_path: Path) -> None:
    """A table of a paper reports one number; a refused file leaves nothing behind."""
    board = tmp_path / "board"
    first = write_reported(read_csv(table(tmp_path, *ROWS)), board)
    assert [is_new for _, is_new in first] == [True] * 3
    before = {path: path.read_bytes() for path, _ in first}
    again = write_reported(read_csv(table(tmp_path, *ROWS)), board)
    assert [is_new for _, is_new in again] == [False] * 3
    new = ROWS[0].replace("Table 1", "Table 9")
    other = read_csv(table(tmp_path, new, ROWS[0].replace("12.5%", "13%")))
    with pytest.raises(CorruptData, match="nothing is replaced"):
        write_reported(other, board)
    assert {path: path.read_bytes() for path in board.iterdir()} == before


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("badnets,1%,clip,attack_success,12.5,,,P,T", "12.5% for per cent"),
        ("badnets,1%,clip,attack_success,,,,P,T", "either a value, or k and n"),
        ("badnets,1%,clip,attack_success,0.5,1,2,P,T", "either a value, or k and n"),
        ("badnets,1%,clip,attack_success,,3,2,P,T", "3 successes in 2 trials"),
        ("badnets,1%,clip,attack_success,much,,,P,T", "must be numbers"),
        ("badnets,1%,clip,attack_margin,nan,,,P,T", "finite"),
        ("badnets,200%,clip,attack_success,0.5,,,P,T", "rate"),
        (",1%,clip,attack_success,0.5,,,P,T", "attack"),
        ("badnets,1%,clip,attack_success,0.5,,,,T", "paper"),
        ("badnets,1%,clip,attack_success,0.5,,,P,T,more", "more cells"),
    ],
)
def test_a_row_that_says_no_number_is_refused(tmp_path: Path, row: str, message: str) -> None:
    """The line of the file is named, and what is wrong."""
    with pytest.raises(CorruptData, match=message) as raised:
        read_csv(table(tmp_path, ROWS[0], row))
    assert "line 3 of" in str(raised.value)


def test_a_file_that_is_no_table_is_refused(tmp_path: Path) -> None:
    """Not there, not text, other columns, no rows."""
    with pytest.raises(MissingData, match=r"nothing\.csv"):
        read_csv(tmp_path / "nothing.csv")
    (tmp_path / "binary.csv").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(CorruptData, match=r"binary\.csv"):
        read_csv(tmp_path / "binary.csv")
    with pytest.raises(CorruptData, match="unknown: asr"):
        read_csv(table(tmp_path, ROWS[0], head=HEAD.replace("value", "asr")))
    with pytest.raises(CorruptData, match="must be rows"):
        read_csv(table(tmp_path))


def test_what_papers_are_called_breaks_no_table(tmp_path: Path) -> None:
    """Names are on one line and escaped."""
    nasty = 'bad|nets,1%,<b>,attack_success,0.5,,,"[x](http://y)\x1b[31m",T'
    lines = cells(read_csv(table(tmp_path, nasty)))
    text, markdown = fit(lines, None, names=()), plain_markdown(lines)
    assert "\x1b" not in text + markdown
    assert "bad\\|nets" in markdown
    assert "](http" not in markdown
    assert len(markdown.splitlines()) == 3


def test_reported_numbers_are_below_the_table_and_not_in_it(
    tmp_path: Path,
    make_result: Callable[..., dict[str, Any]],
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Every other output of the leaderboard is the same with and without them."""
    board = tmp_path / "board"
    for defense in ("none", "safeclip"):
        write_result(board / f"{defense}.json", make_result(defense=defense))
    styles = ("text", "markdown", "csv", "latex")

    def printed() -> list[str]:
        outputs = []
        for more in [*(["--format", style] for style in styles), ["--json"]]:
            assert main(["leaderboard", str(board), *more]) == 0
            outputs.append(capsys.readouterr().out)
        return outputs

    before = printed()
    line = ["submit", "--reported", str(table(tmp_path, *ROWS)), "--to", str(board)]
    assert main(line) == 0
    assert capsys.readouterr().out.count("added ") == 3
    assert len(load_results([board])) == 2
    after = printed()
    for own, both in zip(before[:2], after[:2], strict=True):
        head, _, below = both.partition(TITLE)
        assert head.rstrip("\n") == own.rstrip("\n")
        assert "15/16 93.75%" in below
        assert "A Paper, Table 1" in below
    assert before[2:] == after[2:]
    assert main(["leaderboard", str(board), "--write", str(tmp_path / "w")]) == 0
    assert "Another, Longer" in (tmp_path / "w" / "reported.md").read_text()
    assert "Another, Longer" not in (tmp_path / "w" / "leaderboard.md").read_text()


def test_a_damaged_number_is_a_warning(tmp_path: Path) -> None:
    """It is named and left out; a share that k and n do not give is damaged, too."""
    board = tmp_path / "board"
    (path, _), *_ = write_reported(read_csv(table(tmp_path, ROWS[1])), board)
    path.write_text(json.dumps({**json.loads(path.read_text()), "value": 0.1}))
    told: list[BadInput] = []
    assert load_reported([board], skip_damaged=told.append) == []
    assert path.name in str(told[0])


def test_rows_are_found_at_any_depth_and_once(tmp_path: Path) -> None:
    """Where results are looked for, and so neither in hidden folders nor in those of runs."""
    write_reported(read_csv(table(tmp_path, ROWS[0])), tmp_path / "board" / "rows")
    for place, row in ((".hidden", ROWS[1]), ("run", ROWS[2])):
        write_reported(read_csv(table(tmp_path, row)), tmp_path / "board" / place)
    (tmp_path / "board" / "run" / "result.json").write_text("{}")
    assert [row.attack for row in loaded(tmp_path / "board")] == ["badnets"]
    both = [tmp_path / "board", tmp_path / "board" / "rows"]
    assert len(load_reported(both, skip_damaged=print)) == 1


def test_a_board_of_reported_rows_alone_is_shown(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """There is nothing above them, and no table of results is written."""
    write_reported(read_csv(table(tmp_path, *ROWS)), tmp_path / "board")
    line = ["leaderboard", str(tmp_path / "board"), "--write", str(tmp_path / "w")]
    assert main(line) == 0
    out = capsys.readouterr().out
    assert out.startswith(f"{TITLE}\n")
    assert "A Paper, Table 1" in out
    assert [path.name for path in (tmp_path / "w").iterdir()] == ["reported.md"]
    assert main(["leaderboard", str(tmp_path / "nowhere"), *line[1:]]) == 2
