"""Text of strangers, for each place in which it is shown."""

from __future__ import annotations

import csv
import io
import json
import unicodedata
from html.parser import HTMLParser
from xml.etree import ElementTree as ET

import pandas as pd
import pytest
from matplotlib.figure import Figure

from clipbench.leaderboard.render import to_csv
from clipbench.text import sinks
from clipbench.text.visible import visible

ACTING = "".join(chr(code) for code in (*range(32), *range(0x7F, 0xA0)) if code != 10)
UNSEEN = "\u202a\u202e\u2066\u2069\u200b\u200d\ufeff\u2028\u2029\xad\U000e0041\u3164\u2800\ufe0f"
MARKUP = "<b>&\"'</b> [a](http://x) ![i](y) `c` *e* _e_ ~s~ | $x$ \\input{p} www.x.y #1 % ^^M {}"


@pytest.mark.parametrize(
    "sink",
    [sinks.terminal, sinks.markdown, sinks.latex, sinks.html, sinks.xml, sinks.mathtext, visible],
)
def test_nothing_that_acts_or_hides_comes_through(sink: object) -> None:
    """Whatever the place."""
    assert callable(sink)
    for char in ACTING.replace("\t", "") + UNSEEN + "\udce9":
        shown = sink(f"a{char}b")
        assert char not in shown
        assert "a" in shown
        assert "b" in shown


def test_doing_it_twice_changes_nothing_of_what_is_seen() -> None:
    """A name may be made visible where it is read, and again where it is shown."""
    text = f"é 中 {ACTING}{UNSEEN} \\x1b"
    assert visible(visible(text)) == visible(text)
    assert visible("é 中 \U0001f600 שלום") == "é 中 \U0001f600 שלום"


def test_lines_and_tabs_of_a_layout_stay() -> None:
    """A table has lines; a name in it has none, for it was made visible before."""
    assert sinks.terminal("a\n\tb\r\n") == "a\n\tb\\r\n"
    assert sinks.terminal(f"name {visible(chr(10))}") == "name \\n"


def test_json_says_the_same_and_stays_json() -> None:
    """What would drive a terminal is escaped as JSON escapes it, and letters stay letters."""
    value = {f"{ACTING}{UNSEEN}\n\udce9": ["é 中 \U0001f600", -1.5, None]}
    text = sinks.json_text(value)
    assert json.loads(text) == value
    assert "é 中 \U0001f600" in text
    assert {unicodedata.category(char)[0] for char in text.replace("\n", "")} & {"C"} == set()


@pytest.mark.parametrize(
    "text",
    ["=1+1", "+1", "-1", "@SUM(A1)", " =1", "\uff1d1", "=cmd|'/C calc'!A0", "a;=1+1", "a; -1", "-"],
)
def test_text_is_no_formula(text: str) -> None:
    """Not at the beginning of a cell, nor where a semicolon ends one."""
    shown = str(sinks.csv_cell(text))
    assert all(not part.lstrip().startswith(("=", "+", "-", "@")) for part in shown.split(";"))
    assert shown.replace("'", "") == text.replace("'", "")


def test_numbers_of_a_table_stay_numbers() -> None:
    """Negative ones, too; and text that is none stays as it is."""
    frame = pd.DataFrame({"=name": ["-x", "none (a=-1)"], "cost": [-1.5, None]}, dtype=object)
    text = to_csv(frame)
    assert list(csv.reader(io.StringIO(text))) == [
        ["'=name", "cost"],
        ["'-x", "-1.5"],
        ["none (a=-1)", ""],
    ]


class _Text(HTMLParser):
    """The tags and the text of a page."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(f"{tag}{attrs}")

    def handle_data(self, data: str) -> None:
        self.text += data


def test_markup_is_shown_and_not_obeyed_by_a_browser() -> None:
    """Between tags and in an attribute."""
    page = _Text()
    page.feed(f'<p title="{sinks.html(MARKUP)}">{sinks.html(MARKUP)}</p>')
    assert page.text == MARKUP
    assert page.tags == [f"p{[('title', MARKUP)]}"]


def test_markup_is_shown_and_not_obeyed_by_xml() -> None:
    """The tree quotes it, and nothing is left that XML may not hold."""
    text = ET.tostring(ET.Element("a", {"b": sinks.xml(f"{MARKUP}{ACTING}{UNSEEN}\udce9")}))
    assert ET.fromstring(text).attrib["b"].startswith(MARKUP)


def test_markdown_and_tex_are_quoted() -> None:
    """No character that means something to them stands alone."""
    shown = sinks.markdown(MARKUP)
    for char in "<>`*_~|$":
        assert f"\\{char}" in shown
        assert shown.count(char) == shown.count(f"\\{char}")
    assert "](" not in shown
    assert "://" not in shown
    assert "www." not in shown
    set_ = sinks.latex(MARKUP)
    assert "\\input" not in set_
    assert "^^" not in set_
    assert set_.count("%") == set_.count("\\%")


def test_a_formula_is_drawn_as_text() -> None:
    """Matplotlib would refuse a broken one, and leaves out of a legend what begins with _."""
    text = Figure().text(0, 0, sinks.mathtext("$\\frac{$ _"))
    assert text._preprocess_math(text.get_text())[1] is False  # type: ignore[attr-defined]
    assert sinks.mathtext("_x") == " _x"
