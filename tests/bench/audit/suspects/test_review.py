"""The review page in a real browser: a person judges pairs, by mouse, keys or thumb, and exports.

Skipped where Chromium or its driver is missing; in CI, which installs them, that is a failure.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import chromium
import msgspec
import pytest
from audited import Audited
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.wait import WebDriverWait as Wait

from clipbench.audit.suspects.found import Suspects
from clipbench.audit.suspects.review import write_review
from clipbench.audit.threshold.labels import read_labels

pytestmark = chromium.needs_chromium
HOSTILE = "<img src=x onerror=alert(1)> =1+1\u202e"
SHOWN = "return [...document.querySelectorAll('article')].filter(a => a.checkVisibility())"


@pytest.fixture(scope="module")
def downloads(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("downloads")


@pytest.fixture(scope="module")
def driver(downloads: Path) -> Iterator[Any]:
    with chromium.started(downloads) as started:
        yield started


@pytest.fixture
def page(driver: Any, audited: Audited) -> Iterator[Any]:
    """The page of the audit, with nothing judged, of which nothing may complain or load."""
    chromium.screen(driver, 1280)
    driver.get((audited.request.out / "suspects" / "review.html").as_uri())
    driver.execute_script("localStorage.clear()")
    driver.refresh()
    yield driver
    assert driver.get_log("browser") == []
    assert driver.execute_script("return performance.getEntriesByType('resource').length") == 0


def current(page: Any) -> int:
    """Return the number of the one pair that is shown."""
    (article,) = page.execute_script(SHOWN)
    return int(article.get_attribute("data-index"))


def press(page: Any, *keys: str) -> None:
    for key in keys:
        page.find_element("css selector", "body").send_keys(key)


def exported(page: Any, downloads: Path) -> Path:
    """Return the file that the page saves."""
    path = downloads / "labels.csv"
    path.unlink(missing_ok=True)
    page.find_element("id", "export").click()
    Wait(page, 5).until(lambda _: path.is_file() and path.stat().st_size)
    return path


def test_pairs_are_judged_by_keys_and_exported_as_labels(
    page: Any, audited: Audited, downloads: Path
) -> None:
    """g, b and u judge and go on, arrows move; the audit reads what the page exports."""
    first = audited.found.first
    assert current(page) == first[0].index
    press(page, "b", "g", Keys.ARROW_RIGHT, "u", Keys.ARROW_LEFT)
    assert current(page) == first[3].index
    labels = read_labels(exported(page, downloads), audited.found, audited.request.usable.shards)
    assert {index: label.says for index, label in labels.items()} == {
        first[0].index: "bad",
        first[1].index: "good",
        first[3].index: "unsure",
    }
    assert not any(label.in_sample for label in labels.values())
    assert page.find_element("id", "progress").text == (
        f"Exported labels.csv. Pair 4 of {len(first)}; 3 judged here, 3 in all."
    )


def test_a_button_says_what_was_judged_and_a_reload_keeps_it(page: Any, audited: Audited) -> None:
    """A pair of both lists is judged once; a judgment can be changed."""
    both = next(one.index for one in audited.found.first if one in audited.found.sampled)
    place = [one.index for one in audited.found.first].index(both)
    press(page, *[Keys.ARROW_RIGHT] * place)
    button = page.execute_script(SHOWN)[0].find_element("css selector", "button[value=bad]")
    button.click()
    page.refresh()
    pressed = page.execute_script(
        "return [...document.querySelectorAll(`article[data-index='${arguments[0]}']"
        " button[aria-pressed=true]`)].map(button => button.value)",
        both,
    )
    assert pressed == ["bad", "bad"]


def test_the_random_list_is_shown_in_the_order_of_the_draw(
    page: Any, audited: Audited, downloads: Path
) -> None:
    """And says that none may be skipped; each list remembers its place."""
    press(page, Keys.ARROW_RIGHT)
    page.find_element("css selector", "[data-show=random]").click()
    assert current(page) == audited.found.sampled[0].index
    assert "skip none" in page.find_element("css selector", ".hint[data-of=random]").text
    press(page, "b")
    labels = read_labels(exported(page, downloads), audited.found, audited.request.usable.shards)
    assert labels == {audited.found.sampled[0].index: ("bad", True)}
    assert current(page) == audited.found.sampled[1].index
    page.find_element("css selector", "[data-show=first]").click()
    assert current(page) == audited.found.first[1].index


def test_where_a_browser_keeps_nothing_the_page_says_so(page: Any) -> None:
    """As in a private window: judging works, and the person is told to export."""
    page.execute_script("Storage.prototype.setItem = () => { throw new Error('full'); }")
    press(page, "g")
    assert "export before you close" in page.find_element("id", "progress").text


def test_a_phone_shows_pair_and_buttons_without_scrolling_sideways(page: Any) -> None:
    """Buttons are large enough for a thumb."""
    chromium.screen(page, 360, "dark")
    assert page.execute_script("return document.documentElement.scrollWidth") <= 360
    (article,) = page.execute_script(SHOWN)
    for button in article.find_elements("css selector", ".judge button"):
        assert button.rect["height"] >= 44
        assert button.is_displayed()


def test_texts_of_strangers_are_shown_and_do_nothing(
    driver: Any, audited: Audited, downloads: Path, tmp_path: Path
) -> None:
    """Neither as markup in the page nor as a formula in the export."""
    (one, *_) = audited.found.first
    hostile = msgspec.structs.replace(one, caption=HOSTILE, key='=1+"1', reasons=[HOSTILE])
    found: Suspects = msgspec.structs.replace(audited.found, first=[hostile], sampled=[])
    write_review(tmp_path / "page.html", found, audited.request.usable.shards)
    driver.get((tmp_path / "page.html").as_uri())
    assert driver.execute_script("return document.querySelectorAll('[onerror]').length") == 0
    caption = driver.find_element("css selector", "figcaption").text
    assert caption == "<img src=x onerror=alert(1)> =1+1\\u202e"
    press(driver, "b")
    line = exported(driver, downloads).read_text().splitlines()[1]
    assert line.startswith('"\'=1+""1",')
    assert driver.get_log("browser") == []


@chromium.needs_axe
@pytest.mark.parametrize(("width", "scheme"), [(1280, "light"), (390, "dark")])
def test_axe_finds_nothing(page: Any, width: int, scheme: str) -> None:
    """The rules of axe-core for accessible pages hold."""
    chromium.screen(page, width, scheme)
    press(page, "b")
    assert chromium.violations(page) == []
