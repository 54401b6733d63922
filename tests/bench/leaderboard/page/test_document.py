"""The page: whole in one file, the same for the same results, and harmless whatever they say."""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from as_json import of_json

from clipbench.errors import CorruptData
from clipbench.leaderboard.page.document import to_html, write_page
from clipbench.leaderboard.ranking.board import Board, boards
from clipbench.leaderboard.ranking.findings import findings
from clipbench.leaderboard.ranking.standing import Ranking, ranking
from clipbench.leaderboard.record import records_of
from clipbench.leaderboard.tables import leaderboard
from clipbench.results.result import checked

to_html = of_json(to_html)
write_page = of_json(write_page)
leaderboard = of_json(leaderboard)

Result = dict[str, Any]
VOID = frozenset({"br", "img", "input", "link", "meta", "wbr"})
LOADS = frozenset({"src", "srcset", "data", "action", "poster", "xlink:href", "formaction"})


@dataclass
class Node:
    """An element as a browser would see it."""

    name: str
    attributes: dict[str, str | None]
    children: list[Node | str] = field(default_factory=list)

    @property
    def text(self) -> str:
        return "".join(part if isinstance(part, str) else part.text for part in self.children)

    def all(self, name: str = "", **attributes: str) -> list[Node]:
        """Return the elements below this one of a name, with some attributes."""
        found = []
        for part in self.children:
            if isinstance(part, Node):
                if name in ("", part.name) and attributes.items() <= part.attributes.items():
                    found.append(part)
                found += part.all(name, **attributes)
        return found

    def one(self, name: str = "", **attributes: str) -> Node:
        (found,) = self.all(name, **attributes)
        return found


class Reader(HTMLParser):
    """Reads a page and objects to elements that are not closed in the order they were opened."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.root = Node("", {})
        self.open = [self.root]

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        names = [name for name, _ in attrs]
        assert len(names) == len(set(names)), f"an attribute of {tag} is given twice"
        node = Node(tag, dict(attrs))
        self.open[-1].children.append(node)
        if tag not in VOID:
            self.open.append(node)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.open[-1].children.append(Node(tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop().name == tag

    def handle_data(self, data: str) -> None:
        self.open[-1].children.append(data)


def read(page: str) -> Node:
    """Return a page as a tree."""
    reader = Reader()
    reader.feed(page)
    reader.close()
    assert reader.open == [reader.root]
    return reader.root


def cells(row: Node) -> list[str]:
    """Return the texts of a row of a table."""
    return [part.text for part in row.children if isinstance(part, Node)]


@pytest.fixture
def page(told: list[Result]) -> Node:
    """The page of results with several attacks, rates, seeds, and histories."""
    return read(to_html(told))


def ranked(results: list[Result]) -> tuple[Board, Ranking]:
    """Return the one board of some results, and its ranking."""
    (board,) = boards(records_of(leaderboard(results)))
    return board, ranking(board)


def rows_of(page: Node) -> list[Node]:
    """Return the rows of the leaderboard."""
    bodies = page.one("table", id="board").all("tbody")
    return [row for body in bodies for row in body.all("tr") if "data-attack" in row.attributes]


def test_rows_are_those_of_the_leaderboard(page: Node, told: list[Result]) -> None:
    """There is a row a row of the frame, in its order, with attack, defense and success."""
    frame = leaderboard(told)
    rows = rows_of(page)
    assert len(rows) == len(frame)
    for row, (_, expected) in zip(rows, frame.iterrows(), strict=True):
        found = cells(row)
        assert found[0].startswith(expected["attack"])
        assert found[2] == expected["defense"]
        k, n = expected["attack_success_k"], expected["attack_success_n"]
        assert (f"{k}/{n}" in found[4]) if n else found[4] == "—"


def test_missing_cells_are_dashes_without_a_sorting_key(page: Node) -> None:
    """What was not measured shows as a dash, and has nothing it could be sorted by."""
    clean = rows_of(page)[-1]
    assert cells(clean)[4] == cells(clean)[5] == "—"
    for row in rows_of(page):
        for cell in row.all("td")[:-1]:  # the last tells apart what is no number
            assert (cell.text == "—") == ("data-sort" not in cell.attributes)


def test_success_is_drawn_beside_its_numbers(page: Node) -> None:
    """The bar has its point where the share lies between 0 and 100%, inside its whisker."""
    for row in rows_of(page):
        bars = row.all("svg")
        key = row.all("td")[3].attributes.get("data-sort")
        assert len(bars) == (0 if key is None else 1)
        if key is None:
            continue
        x = float(str(bars[0].one("circle").attributes["cx"]))
        assert x == pytest.approx(4 + 70 * float(key), abs=0.06)
        path = str(bars[0].one("path", **{"class": "whisker ink"}).attributes["d"])
        low, high = (float(end) for end in re.findall(r"M([\d.]+),5", path))
        assert low <= x <= high


def test_rows_that_are_not_eligible_say_so(page: Node) -> None:
    """A row whose undefended attack fails, or is not known, is dimmed and says why in words."""
    by_verdict: dict[str, list[Node]] = {}
    for row in rows_of(page):
        by_verdict.setdefault(str(row.attributes["data-verdict"]), []).append(row)
        dimmed = row.attributes.get("class") == "dimmed"
        assert dimmed == (row.attributes["data-verdict"] in ("not eligible", "unknown"))
    assert {row.attributes["data-attack"] for row in by_verdict["not eligible"]} == {"wanet"}
    assert all("undefended 6.2%" in row.text for row in by_verdict["not eligible"])
    assert cells(by_verdict["unknown"][0])[-1] == "unknown no undefended row"
    assert all(cells(row)[-1] == "yes" for row in by_verdict["eligible"])
    assert "defended" not in re.sub("undefended", "", page.one("table", id="board").text)


def test_a_row_of_which_nothing_is_decided_is_dimmed_and_gives_the_interval(
    make_result: Callable[..., Result],
) -> None:
    """Half of sixteen, and a bar of a half."""
    page = read(to_html([make_result(success=(8, 16))]))
    (row,) = rows_of(page)
    assert row.attributes["data-verdict"] == "undecided"
    assert row.attributes["class"] == "dimmed"
    assert "undecided undefended 50.0% [28.0, 72.0]" in row.text


def test_every_link_and_reference_leads_somewhere(page: Node) -> None:
    """Anchors, labels and descriptions name ids that are there, each once."""
    ids = [str(node.attributes["id"]) for node in page.all() if "id" in node.attributes]
    assert len(ids) == len(set(ids))
    named = [str(a.attributes["href"]) for a in page.all("a")]
    assert all(target.startswith("#") for target in named)
    wanted = {target[1:] for target in named}
    for node in page.all():
        for name in ("aria-labelledby", "aria-describedby"):
            wanted |= set(str(node.attributes.get(name) or "").split())
    assert wanted <= set(ids)


def test_the_page_opens_with_what_was_found(bench: list[Result], make_result: Any) -> None:
    """Findings, then attacks by defenses, the ranking, and one chart, before everything else."""
    bench.append(make_result(attack="none", defense="safeclip", defense_parameters={"pool": 4096}))
    page = read(to_html(bench))
    found = page.one("section", **{"class": "found"})
    assert found.one("h2").text == "What was found"
    assert [item.text for item in found.all("li")] == findings(*ranked(bench))
    assert [node.attributes["id"] for node in found.all("h3")] == ["heat", "ranking", "security"]
    sections = page.one("main").children
    assert [node for node in sections if isinstance(node, Node)][1] is found


def test_a_cell_of_the_heat_map_says_all_without_color(told: list[Result]) -> None:
    """Success, interval, and why it is not eligible; the worst attack of a line is marked."""
    page = read(to_html(told))
    lines = {
        row.one("th").text: row.all("td")
        for row in page.all("table")[0].all("tr")[3:]
        if len(row.all("th")) == 1 and row.all("td")
    }
    by_class = {cell.text: str(cell.attributes["class"]) for cell in lines["none"] if cell.all("a")}
    (failing,) = (text for text in by_class if "wanet" in text)
    assert failing == "none under wanet 0.8% (160): 1/16 1–28 not eligible"
    assert by_class[failing] == "apart"
    assert [cell.text for cell in lines["safeclip"] if not cell.all("a")] == ["—"] * 3
    page = read(to_html([one for one in told if one["attack"]["name"] == "targeted"]))
    (worst,) = page.all("td", **{"class": "heat-0 worst"})
    assert worst.text.endswith("0/48 0.0–7.4, the worst attack")


def test_charts_say_in_words_what_they_show(page: Node) -> None:
    """A chart is an image with a title and a description that holds every number."""
    charts = page.all("svg", role="img")
    kinds = {str(chart.attributes["aria-labelledby"]).partition("-")[0] for chart in charts}
    assert kinds == {"acc", "cost", "rate", "safe", "epoch"}
    for chart in charts:
        title, description = chart.all("title")[0], chart.one("desc")
        assert title.text
        marks = [path.one("title").text for path in chart.all("path") if path.all("title")]
        assert marks
        assert all(mark in description.text for mark in marks)
    accuracy = next(c for c in charts if str(c.attributes["aria-labelledby"]).startswith("acc"))
    assert "safeclip (pool=4096): success 0.0% [0.0, 7.4], top-1 80.9%" in accuracy.one("desc").text


def test_charts_name_model_and_data_where_they_differ(
    bench: list[Result], make_result: Any
) -> None:
    """What all rows share the page says once, at its head."""

    def captions(results: list[Result]) -> list[str]:
        return [caption.text for caption in read(to_html(results)).all("figcaption")]

    assert captions(bench)
    assert not [text for text in captions(bench) if "shapes-tiny" in text]
    other = [make_result(model="RN50", defense=defense) for defense in ("none", "clip")]
    told = captions([*bench, *other])
    assert all(text.endswith((": RN50", ": shapes-tiny")) for text in told)
    other += [make_result(data="csv", defense=defense) for defense in ("none", "clip")]
    assert all(" on shapes" in text or " on csv" in text for text in captions([*bench, *other]))


def test_details_hold_runs_metrics_and_command(page: Node, told: list[Result]) -> None:
    """Below a row stand the ids of its seeds, each metric with its interval, and its ledger."""
    link = rows_of(page)[0].one("a")
    body = page.one("div", id=str(link.attributes["href"])[1:])
    runs, metrics = (table for table in body.all("table"))
    assert runs.text.count("replace") == 1
    text = body.text
    shown = next(r for r in told if f"r-{r['id']}" == body.attributes["id"])
    for part in (
        shown["id"],
        shown["config_sha256"][:12],
        shown["attack"]["ledger_sha256"][:12],
        shown["environment"]["python"],
        "shapes-tiny",
    ):
        assert part in text
    for name, metric in shown["metrics"].items():
        (row,) = (row for row in metrics.all("tr") if cells(row)[0] == name)
        assert ("[" in row.text) == ("k" in metric)


def test_details_show_what_people_read(page: Node, told: list[Result]) -> None:
    """Of a hash the beginning, with the whole of it at hand; of bytes how many GiB they are."""
    link = rows_of(page)[0].one("a")
    body = page.one("div", id=str(link.attributes["href"])[1:])
    shown = next(r for r in told if f"r-{r['id']}" == body.attributes["id"])
    whole = shown["attack"]["ledger_sha256"]
    assert whole not in body.text
    assert any(code.attributes.get("title") == whole for code in body.all("code"))
    assert "1.00 GiB (1,073,741,824)" in body.text


def test_no_result_gives_the_same_bytes_in_another_order(told: list[Result]) -> None:
    """The same results in any order make the same page, which holds no date of its own."""
    assert to_html(told) == to_html(told[::-1])


def test_nothing_is_loaded_from_anywhere(page: Node) -> None:
    """Neither an address nor a file is named that a browser would fetch."""
    for node in page.all():
        for name in LOADS & node.attributes.keys():
            assert str(node.attributes[name]).startswith("data:image/png;base64,")
    assert page.one("link").attributes == {"rel": "icon", "href": "data:,"}
    for sheet in page.all("style"):
        assert "url(" not in sheet.text
        assert "@import" not in sheet.text


def test_the_policy_allows_what_is_in_the_page_alone(page: Node) -> None:
    """Script and style run by their hashes; no inline handler or style would be let through."""
    policy = str(
        page.one("meta", **{"http-equiv": "Content-Security-Policy"}).attributes["content"]
    )
    assert "unsafe" not in policy
    rules = dict(rule.strip().split(" ", 1) for rule in policy.split(";"))
    assert rules["default-src"] == rules["base-uri"] == rules["form-action"] == "'none'"
    for element, rule in (("script", "script-src"), ("style", "style-src")):
        digest = hashlib.sha256(page.one(element).text.encode()).digest()
        assert rules[rule] == f"'sha256-{base64.b64encode(digest).decode()}'"
    for node in page.all():
        assert not [name for name in node.attributes if name.startswith("on") or name == "style"]


def test_hostile_texts_stay_texts(hostile: list[Result], told: list[Result]) -> None:
    """Names, labels and parameters make no element, attribute or address of their own."""
    plain, page = read(to_html(told)), read(to_html(hostile))
    elements = {node.name for node in plain.all()} | {"h4", "wbr"}
    assert {node.name for node in page.all()} <= elements
    assert page.all("img") == []
    attributes = {name for node in plain.all() for name in node.attributes}
    assert {name for node in page.all() for name in node.attributes} <= attributes
    assert len(page.all("script")) == len(page.all("style")) == 1
    assert page.one("script").text == plain.one("script").text
    assert "onerror=alert(1)" in page.one("table", id="board").text  # shown, as what it is
    assert "\u202e" not in page.text


def test_one_row_makes_a_page(told: list[Result]) -> None:
    """Where there is nothing to compare there is a table and its details, and no empty part."""
    page = read(to_html(told[:1]))
    assert len(rows_of(page)) == 1
    assert page.all("svg", role="img") == []
    assert [heading.text for heading in page.all("h2")] == ["Table", "Details"]


def test_a_page_is_written_whole(told: list[Result], tmp_path: Path) -> None:
    """The file holds the page, folders are made, and eligibility is as asked for."""
    path = write_page(told, tmp_path / "new" / "page.html", eligible_at=0.01)
    assert path.read_text() == to_html(told, eligible_at=0.01) != to_html(told)
    assert [file.name for file in path.parent.iterdir()] == ["page.html"]


def test_one_strange_row_does_not_cost_the_page(make_result: Any) -> None:
    """Seconds that nobody has measured give no cost; poisons of no pairs are no result at all."""
    none, clip = make_result(), make_result(defense="clip")
    none["train"]["cpu_seconds"], clip["train"]["cpu_seconds"] = 1e-308, 1e308
    checked(clip)
    assert "clip" in to_html([none, clip])
    none["data"]["pairs"] = 0
    with pytest.raises(CorruptData, match=r"attack\.count must be at most the 0 of data\.pairs"):
        checked(none)
