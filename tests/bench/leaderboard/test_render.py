from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Callable
from typing import Any

import pytest
from as_json import of_json

from clipbench.leaderboard.tables import leaderboard, to_csv, to_latex, to_markdown, to_text
from clipbench.text.visible import unmistakable

leaderboard = of_json(leaderboard)

Result = dict[str, Any]
MakeResult = Callable[..., Result]

HOSTILE = "a|b\n& 50% of_$x$ #1 {~^} \\input{/etc/passwd} <script> [x](http://y) \x1b[31m\u202e"


def lines_with(text: str, word: str) -> list[str]:
    """Return the lines of a table that hold a word."""
    return [line for line in text.splitlines() if word in line]


def test_text_reads_as_a_table(bench: list[Result]) -> None:
    """The terminal table has aligned columns, k/n with interval, control, spread, cost, verdict."""
    lines = to_text(leaderboard(bench)).splitlines()

    assert lines[0] == "Model shapes-tiny, data shapes."
    heads = "attack|rate (count)|defense|seeds|success [95%]|control|top-1 %|R@1 i2t/t2i %"
    assert re.split(" {2,}", lines[1]) == [*heads.split("|"), "cost", "eligible"]
    none, clip, safeclip, clean = lines[3:7]
    assert re.search(r"0\.8% \(160\) +none +3 +47/48 97\.9% \[89\.1, 99\.6\] +0/48 0\.0%", none)
    assert re.search(r"72\.1 ±0\.1 +64\.1/63\.0 +1\.00× +yes$", none)
    assert re.search(r"clip +3 +47/48 .* 84\.7 ±0\.2 .* 1\.39× +yes$", clip)
    assert re.search(r"safeclip +3 +0/48 0\.0% \[0\.0, 7\.4\] .* 3\.00× +yes$", safeclip)
    assert re.search(r"none \(clean\) +— +none +1 +— +— +86\.0 .* —$", clean)
    assert len({line.index("/48") for line in (none, clip)}) == 1
    assert max(map(len, lines)) <= 140


def test_every_format_says_what_the_interval_is(bench: list[Result]) -> None:
    """Below or above each table stands what the bounds are, with several seeds as with one."""
    frame = leaderboard(bench)
    plain = to_text(frame, legend=True)
    for text in (plain, to_markdown(frame), to_latex(frame).replace("\\%", "%")):
        words = " ".join(text.split())
        assert "interval: 95% Wilson, of fewer trials and by Student's t where seeds vary" in words


def test_partial_cells_say_their_seeds(make_result: MakeResult) -> None:
    """A cell that rests on fewer seeds than its row says on how many; an empty one is a dash."""
    absent = {"attack_success_control": None, "text_to_image_r1": None}
    made = [
        make_result(seed=0, success=(2, 16), metrics={"image_to_text_r1": None}),
        make_result(seed=1, success=(2, 16), top1=None, metrics=absent),
    ]
    made[1]["exposures"] = None
    frame = leaderboard(made)

    row = lines_with(to_text(frame), "targeted")[0]
    assert "0/16 0.0% (1/2 seeds)" in row
    assert "85.0 (1/2 seeds)" in row
    assert "64.1/63.0 (1/2 seeds)" in row
    assert "no (12.5%)" in row
    full = lines_with(to_markdown(frame), "targeted")[0]
    assert "| 20.0 (1/2 seeds) |" in full
    assert "| no (undefended 12.5%) |" in full
    assert "| — |" not in full
    nothing = make_result(metrics=dict.fromkeys(("image_to_text_r1", "text_to_image_r1")))
    assert "  —  " in lines_with(to_text(leaderboard([nothing])), "targeted")[0]


def test_rates_read_as_people_write_them(make_result: MakeResult) -> None:
    """Tiny rates are powers of ten, others percent, both with the exact count."""
    frame = leaderboard(
        [
            make_result(rate=rate, count=count)
            for rate, count in ((1e-6, 1), (0.005, 100), (1e-4, 2))
        ]
    )

    text = to_text(frame)
    assert [found for found in ("1e-6 (1)", "0.5% (100)", "0.01% (2)") if found not in text] == []


def test_models_get_a_column_only_if_they_differ(make_result: MakeResult) -> None:
    """What all rows share stands once above the table, what differs in a column."""
    frame = leaderboard([make_result(), make_result(model="RN50")])

    for text in (to_text(frame), to_markdown(frame), to_latex(frame)):
        assert "Data shapes." in text
        assert "RN50" in lines_with(text, "targeted")[0]
        assert "shapes-tiny" in lines_with(text, "targeted")[1]


def test_csv_is_complete_and_plain(bench: list[Result], make_result: MakeResult) -> None:
    """CSV holds fractions at full precision, parameters as JSON, and nothing where none is."""
    hostile = make_result(defense=HOSTILE, defense_parameters={"k": 'say "hi", you\r\n'})
    text = to_csv(leaderboard([*bench, hostile]))

    rows = list(csv.DictReader(io.StringIO(text, newline="")))
    assert len(text.splitlines()) == len(rows) + 1 == 6
    none = rows[0]
    assert float(none["attack_success"]) == 47 / 48
    assert (none["attack_success_k"], none["rate"], none["cost"]) == ("47", "0.008", "1.0")
    assert none["score_auroc_mean"] == none["attack_success_top5"] == ""
    assert rows[-1]["attack_success"] == rows[-1]["eligible"] == ""
    odd = next(row for row in rows if "script" in row["defense"])
    assert json.loads(odd["defense_parameters"]) == {"k": 'say "hi", you\r\n'}


def test_hostile_names_stay_in_their_cell(make_result: MakeResult) -> None:
    """Names with separators, line ends, markup or terminal codes break no table."""
    tame = leaderboard([make_result(), make_result(defense="x", seed=0)])
    frame = leaderboard([make_result(), make_result(defense=HOSTILE, seed=0)])

    for render in (to_text, to_markdown, to_latex):
        text = render(frame)
        assert len(text.splitlines()) == len(render(tame).splitlines())
        assert "\x1b" not in text
        assert "\u202e" not in text
    row = lines_with(to_markdown(frame), "script")[0]
    assert len(re.findall(r"(?<!\\)\|", row)) == 21
    assert "\\<script\\>" in row
    assert "](" not in row


def test_latex_escapes_everything(make_result: MakeResult) -> None:
    """Every special of LaTeX in a name is written so that it prints, and starts no command."""
    frame = leaderboard([make_result(attack="[2ex] " + HOSTILE, attack_parameters={})])
    row = lines_with(to_latex(frame), "script")[0]

    assert row.startswith('"{[}2ex]')
    assert r"\& 50\% of\_\$x\$ \#1 \{\textasciitilde{}\textasciicircum{}\}" in row
    assert r"\textbackslash{}input\{/etc/passwd\}" in row
    assert r"\textless{}script\textgreater{}" in row
    assert row.endswith(r" \\")
    assert len(re.findall(r"(?<!\\)&", row)) == 9
    assert re.findall(r"(?<!\\)[%#$_]", row.replace(r"$\pm$", "").replace(r"$\times$", "")) == []


def test_latex_is_booktabs_with_a_caption(bench: list[Result]) -> None:
    """The LaTeX table has booktabs rules, and its caption names the statistics."""
    text = to_latex(leaderboard(bench))

    for part in (r"\toprule", r"\midrule", r"\bottomrule", r"\end{table}"):
        assert part in text
    caption = lines_with(text, r"\caption")[0]
    assert r"interval: 95\% Wilson" in caption
    assert "standard deviation over seeds" in caption
    assert all(line.count(" & ") == 9 for line in lines_with(text, r" \\"))


@pytest.mark.parametrize("name", ["数据", "é́", "x" * 500])
def test_text_keeps_its_columns_whatever_the_letters(make_result: MakeResult, name: str) -> None:
    """Wide, combined and long names are measured in terminal columns; none is cut."""
    lines = to_text(leaderboard([make_result(), make_result(defense=name)])).splitlines()
    wide = {"数": 1, "据": 1, "\u0301": -1}

    ends = [
        line.index("15/16") + sum(wide.get(char, 0) for char in line[: line.index("15/16")])
        for line in lines
        if "15/16" in line
    ]

    assert len(ends) == 2
    assert ends[0] == ends[1]
    assert any(unmistakable(name) in line for line in lines)
