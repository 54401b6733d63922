"""An audit of a crawl that nobody here made, by the command: its page, its files, its promises."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from html import unescape
from pathlib import Path
from typing import Any

import chromium
import pytest
from own_set import CLASSES, write_crawl
from tiny_runs import Done, command


@dataclass(frozen=True)
class Audit:
    """An audit that was done.

    Args:
        crawl: the user's shards.
        before: their bytes and times before it.
        out: its folder.
        args: of the command.
        done: what it printed.
    """

    crawl: Path
    before: dict[str, tuple[str, int]]
    out: Path
    args: tuple[object, ...]
    done: Done

    def words(self) -> str:
        """Return the text of the page."""
        page = (self.out / "audit.html").read_text().partition("<body>")[2].replace("<wbr>", "")
        return re.sub(r"\s+", " ", unescape(re.sub(r"<[^>]+>", " ", page)))


def state_of(folder: Path) -> dict[str, tuple[str, int]]:
    """Return every file of a folder, with the hash of its bytes and its time."""
    return {
        str(file.relative_to(folder)): (
            hashlib.sha256(file.read_bytes()).hexdigest(),
            file.stat().st_mtime_ns,
        )
        for file in sorted(folder.rglob("*"))
        if file.is_file()
    }


@pytest.fixture(scope="module")
def audit(tmp_path_factory: pytest.TempPathFactory) -> Audit:
    """An audit of 240 pairs with two defenses."""
    folder = tmp_path_factory.mktemp("audit")
    crawl = write_crawl(folder / "crawl", (100, 140))
    before, out = state_of(crawl), folder / "out"
    args = (
        *("audit", "--data", crawl, "--out", out, "--cache", folder / "cache"),
        *("--defense", "none,clip", "--budget", "30m", "--threads", "1"),
    )
    return Audit(crawl, before, out, args, command(*args))


def test_the_command_prints_the_summary_and_where_the_page_is(audit: Audit) -> None:
    """Sentences first, and then the files to open."""
    assert audit.done.status == 0, audit.done.err
    lines = audit.done.out.splitlines()
    assert lines[0].startswith("Before anybody trains on them, 240 pairs")
    assert lines[-2:] == [
        f"page           {audit.out / 'audit.html'}",
        f"for reviewers  {audit.out / 'suspects' / 'review.html'}",
    ]


def test_the_page_says_what_the_command_said(audit: Audit) -> None:
    """The summary is the same, to the letter."""
    said = [line for line in audit.done.out.splitlines()[:-3] if line]
    words = audit.words()
    assert not [line for line in said if line not in words]


def test_the_users_shards_are_as_they_were(audit: Audit) -> None:
    """To the byte and to the nanosecond, with no file beside them that was not there."""
    assert state_of(audit.crawl) == audit.before


def test_classes_come_from_captions(audit: Audit) -> None:
    """Nobody listed them."""
    told = json.loads((audit.out / "audit.json").read_text())
    assert set(CLASSES) <= set(told["plan"]["exposure"]["classes"])


def test_the_same_command_finds_everything_done(audit: Audit) -> None:
    """It prints the same, and leaves every file as it is, the log included."""
    before = state_of(audit.out)
    again = command(*audit.args)
    assert (again.status, again.out) == (0, audit.done.out)
    assert "training (pairs)" not in again.err
    after = state_of(audit.out)
    changed = {name for name in before | after if before.get(name, ("",))[0] != after[name][0]}
    assert not changed


def test_the_log_of_an_audit_is_whole(audit: Audit) -> None:
    """It names the pairs that went in, and the page that came out."""
    checked = command("log", "verify", audit.out / "audit.jsonl")
    assert checked.status == 0, checked.err
    line = json.loads((audit.out / "audit.jsonl").read_text().splitlines()[-1])
    assert line["command"] == "audit"
    assert "pairs" in line["used"]
    assert "audit.html" in line["made"]


def test_the_runs_are_a_leaderboard(audit: Audit) -> None:
    """Whoever wants to know more reads them as any others."""
    table = command("leaderboard", audit.out / "runs")
    assert table.status == 0
    assert "badnets" in table.out
    assert "targeted" in table.out


def test_a_plan_is_printed_without_work(audit: Audit, tmp_path: Path) -> None:
    """Its time, too."""
    told = command(*audit.args[:4], tmp_path / "out", *audit.args[5:], "--dry-run")
    assert told.status == 0
    assert re.search(r"^time: about .* of the 30 min there are$", told.out, re.MULTILINE)
    assert not (tmp_path / "out" / "audit.html").exists()


def test_a_plan_is_printed_as_json_and_nothing_else(audit: Audit, tmp_path: Path) -> None:
    """For programs: what is trained, for how long, and nothing on standard error."""
    words = (*audit.args[:4], tmp_path / "out", *audit.args[5:])
    told = command(*words, "--dry-run", "--json")
    assert (told.status, told.err) == (0, "")
    plan = json.loads(told.out)
    assert (plan["pairs"], plan["budget_s"], plan["left_out"]) == (240, 1_800, {})
    assert {run["defense"] for run in plan["exposure"]["runs"]} == {"none", "clip"}
    assert plan["seconds"] == plan["suspects"]["seconds"] + seconds_of(plan["exposure"])
    assert not (tmp_path / "out" / "audit.jsonl").exists()


def seconds_of(plan: dict[str, Any]) -> float:
    """Return the seconds that the runs of a plan take."""
    return float(plan["data_s"]) + sum(run["seconds"] for run in plan["runs"])


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (("--budget", "soon"), "is no time; write 2h, 90m or 600s"),
        (("--budget", "2s"), "an audit takes a minute at least"),
        (("--defense", "shield"), "Unknown defense 'shield'"),
        (("--seed", "0,1"), "--seed takes one whole number"),
        (("--supplier", "vendor"), "vendor"),
    ],
)
def test_what_cannot_be_done_is_refused_in_one_line(
    audit: Audit, tmp_path: Path, given: tuple[str, str], said: str
) -> None:
    """Before any work, with exit status 2."""
    out = tmp_path / "out"
    refused = command("audit", "--data", audit.crawl, "--out", out, "-q", *given, *audit.args[5:7])
    assert (refused.status, said in refused.error) == (2, True), refused.err
    assert not (out / "audit.html").exists()


@pytest.mark.slow
def test_an_audit_that_is_killed_ends_with_the_page_of_one_that_was_not(
    audit: Audit, tmp_path: Path
) -> None:
    """At whatever moment, as often as one likes; seconds that were measured differ, of course."""
    out = tmp_path / "out"
    line = [sys.executable, "-m", "clipbench", *map(str, audit.args[:4]), str(out)]
    line += ["--cache", str(tmp_path / "cache"), *map(str, audit.args[7:])]
    for seconds in (4, 7, 10, 5):
        with subprocess.Popen(line, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as work:
            time.sleep(seconds)
            work.kill()
    assert subprocess.run(line, capture_output=True, check=False).returncode == 0
    whole, again = ((folder / "audit.html").read_text() for folder in (audit.out, out))
    assert timeless(again).replace(str(out), "OUT") == timeless(whole).replace(
        str(audit.out), "OUT"
    )


def timeless(page: str) -> str:
    """Return a page without the times that training took."""
    return re.sub(r"\d+\.\d+×|\d+(\.\d+)? (s|min)\b|takes \S+ times[^<]*", "T", page)


@pytest.fixture(scope="module")
def browser(audit: Audit) -> Iterator[Any]:
    """A browser that shows the page."""
    with chromium.started() as driver:
        driver.get(f"file://{audit.out / 'audit.html'}")
        yield driver


@chromium.needs_chromium
def test_a_phone_shows_the_page_without_scrolling_it_sideways(browser: Any) -> None:
    """Wide tables scroll by themselves."""
    chromium.screen(browser, 390)
    width = browser.execute_script("return document.documentElement.scrollWidth")
    assert width <= 390


@chromium.needs_chromium
def test_the_page_prints_on_at_most_eight_sheets(browser: Any) -> None:
    """As a report for whoever decides, pictures and all."""
    told = browser.execute_cdp_cmd("Page.printToPDF", {"preferCSSPageSize": True})
    pages = re.findall(rb"/Type\s*/Page\b(?!s)", base64.b64decode(told["data"]))
    assert 2 <= len(pages) <= 8


@chromium.needs_chromium
def test_the_browser_has_nothing_to_complain_of(browser: Any) -> None:
    """Nothing that the page's policy forbids is in it."""
    assert browser.get_log("browser") == []


@chromium.needs_chromium
@chromium.needs_axe
@pytest.mark.parametrize(("width", "scheme"), [(390, "dark"), (1280, "light")])
def test_axe_finds_nothing(browser: Any, width: int, scheme: str) -> None:
    """The rules of axe-core for accessible pages hold."""
    chromium.screen(browser, width, scheme)
    assert chromium.violations(browser) == []
