"""The page in a real browser: sorting, filtering, keyboard, phone, dark mode, hostile results.

Skipped where Chromium or its driver is missing; in CI, which installs them, that is a failure.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import chromium
import pytest
from as_json import of_json
from selenium.common.exceptions import NoAlertPresentException as NoAlert
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.wait import WebDriverWait as Wait

from clipbench.leaderboard.page.document import write_page

write_page = of_json(write_page)

pytestmark = chromium.needs_chromium
Result = dict[str, Any]
SUCCESS = 4  # column
ROWS = "#board tbody tr[data-attack]"
SHOWN = f"return [...document.querySelectorAll('{ROWS}')].filter(row => !row.hidden)"


@pytest.fixture(scope="module")
def driver() -> Iterator[Any]:
    """A headless browser."""
    with chromium.started() as started:
        yield started


class Browser:
    """A browser that shows a page of results."""

    def __init__(self, driver: Any, folder: Path) -> None:
        self.driver = driver
        self._folder = folder

    def show(self, results: list[Result], width: int = 1280, scheme: str = "light") -> None:
        """Open the page of results on a screen of some width, in light or dark."""
        chromium.screen(self.driver, width, scheme)
        self.driver.get(write_page(results, self._folder / "page.html").as_uri())

    def unfold(self) -> None:
        """Show the rows of all attacks in one table."""
        self.driver.find_element("name", "fold").click()

    def run(self, script: str, *arguments: Any) -> Any:
        """Return what a script returns, which the driver runs past the policy of the page."""
        return self.driver.execute_script(script, *arguments)

    def column(self, number: int) -> list[str]:
        """Return the texts of a column of the rows shown."""
        return self.run(f"{SHOWN}.map(row => row.cells[{number}].textContent)")

    def keys(self, number: int) -> list[str | None]:
        """Return what the rows shown are sorted by in a column; None is missing."""
        return self.run(f"{SHOWN}.map(row => row.cells[{number}].dataset.sort ?? null)")

    def head(self, number: int) -> Any:
        """Return the button in a header."""
        return self.driver.find_elements("css selector", "#board thead button")[number]

    def sorted_by(self, number: int) -> str | None:
        """Return the value of aria-sort of a header."""
        return self.run(f"return document.querySelectorAll('#board thead th')[{number}].ariaSort")


@pytest.fixture
def browser(driver: Any, tmp_path: Path) -> Iterator[Browser]:
    """A browser in which nothing may be complained about, loaded, or shown in a dialog."""
    yield Browser(driver, tmp_path)
    assert driver.get_log("browser") == []
    loaded = driver.execute_script("return performance.getEntriesByType('resource').length")
    assert loaded == 0


def numbers(keys: list[str | None]) -> list[float]:
    """Return the keys that are there, as numbers."""
    return [float(key) for key in keys if key is not None]


def test_a_click_sorts_numbers_and_leaves_missing_ones_last(
    browser: Browser, told: list[Result]
) -> None:
    """Ascending, then descending, by value and not by letters; dashes stay at the end."""
    browser.show(told)
    for direction, descending in (("ascending", False), ("descending", True)):
        browser.head(SUCCESS).click()
        keys = browser.keys(SUCCESS)
        assert numbers(keys) == sorted(numbers(keys), reverse=descending)
        assert len(set(numbers(keys))) > 3
        assert keys[-1] is None
        assert None not in keys[: len(numbers(keys))]
        assert browser.sorted_by(SUCCESS) == direction
        assert browser.sorted_by(0) is None


@pytest.mark.parametrize("key", ["ENTER", "SPACE"])
def test_the_keyboard_sorts(browser: Browser, told: list[Result], key: str) -> None:
    """A header that has the focus, which is seen, sorts by Enter and by the space bar."""
    browser.show(told)
    button = browser.head(0)
    browser.run("arguments[0].focus({focusVisible: true})", button)
    assert button.value_of_css_property("outline-style") == "solid"
    button.send_keys(getattr(Keys, key))
    assert browser.sorted_by(0) == "ascending"
    assert browser.column(0) == sorted(browser.column(0))
    browser.driver.switch_to.active_element.send_keys(getattr(Keys, key))
    assert browser.sorted_by(0) == "descending"


def test_the_tab_key_leads_to_the_table_first(browser: Browser, told: list[Result]) -> None:
    """The first stop is a link past everything else, which is out of sight until then."""
    browser.show(told)
    body = browser.driver.find_element("css selector", "body")
    link = browser.driver.find_element("css selector", ".skip")
    assert link.rect["x"] < 0
    body.send_keys(Keys.TAB)
    assert browser.driver.switch_to.active_element == link
    assert link.rect["x"] >= 0
    link.send_keys(Keys.ENTER)
    assert browser.run("return location.hash") == "#table"


def test_filters_hide_rows_and_say_how_many_are_left(browser: Browser, told: list[Result]) -> None:
    """Boxes and words narrow the rows together; a polite live region says the number."""
    browser.show(told)
    browser.unfold()
    total = len(browser.column(0))
    shown = browser.driver.find_element("id", "shown")
    assert shown.text == f"{total} of {total} rows"
    assert browser.run("return arguments[0].role", shown) == "status"
    boxes = {
        box.get_attribute("name"): box
        for box in browser.driver.find_elements("css selector", "#filters select")
    }
    assert set(boxes) == {"attack", "defense", "data", "verdict"}
    boxes["verdict"].send_keys("not eligible")
    assert set(browser.column(0)) == {"wanet"}
    boxes["defense"].send_keys("safeclip")
    assert shown.text == f"1 of {total} rows"
    browser.driver.find_element("css selector", "#filters [type=reset]").click()
    Wait(browser.driver, 5).until(lambda _: shown.text == f"{total} of {total} rows")
    text = browser.driver.find_element("css selector", "#filters [type=search]")
    text.send_keys("SAFECLIP target")
    assert set(browser.column(0)) == {"targeted"}
    assert browser.column(2) == ["safeclip (pool=4096)"]
    text.send_keys(" nothing of this kind")
    assert shown.text == f"0 of {total} rows"


def test_rows_are_folded_by_attack_until_they_are_asked_for(
    browser: Browser, told: list[Result]
) -> None:
    """A button opens the rows of its attack, a filter those that fit, sorting puts all in one."""
    browser.show(told)
    assert browser.column(0) == []
    buttons = browser.driver.find_elements("css selector", "#board tbody button")
    assert buttons[0].text == "sig 0.8% (160) 1 row, success 12.5 to 12.5%"
    assert [button.get_attribute("aria-expanded") for button in buttons] == ["false"] * 5
    buttons[0].send_keys(Keys.ENTER)
    assert browser.column(0) == ["sig"]
    assert buttons[0].get_attribute("aria-expanded") == "true"
    text = browser.driver.find_element("css selector", "#filters [type=search]")
    text.send_keys("safeclip")
    assert {name.partition(" ")[0] for name in browser.column(2)} == {"safeclip"}
    assert [button.is_displayed() for button in buttons] == [False, False, True, True, False]
    text.clear()
    browser.head(0).click()
    assert len(browser.column(0)) == len(browser.driver.find_elements("css selector", ROWS))
    assert not browser.driver.find_element("name", "fold").is_selected()
    assert not browser.driver.find_elements("css selector", "#board tbody button")


def test_a_cell_of_the_heat_map_leads_to_its_runs(browser: Browser, bench: list[Result]) -> None:
    """Color repeats the number, in light and dark; the details of the row open."""
    fills = {}
    for scheme in ("light", "dark"):
        browser.show(bench, scheme=scheme)
        fills[scheme] = browser.run(
            "return [...document.querySelectorAll('.heat td a')].map("
            "cell => [cell.querySelector('strong').textContent,"
            " getComputedStyle(cell).backgroundColor])"
        )
        assert [text for text, _ in fills[scheme]] == ["0/48", "47/48", "47/48"]
        assert len({fill for _, fill in fills[scheme]}) == 2
    assert fills["light"] != fills["dark"]
    cell = browser.driver.find_element("css selector", ".heat td a")
    cell.click()
    Wait(browser.driver, 5).until(
        lambda driver: len(driver.find_elements("css selector", "details.row[open]")) == 1
    )


@chromium.needs_axe
@pytest.mark.parametrize(
    ("results", "width", "scheme"), [("told", 1280, "light"), ("hostile", 390, "dark")]
)
def test_axe_finds_nothing(
    browser: Browser, request: pytest.FixtureRequest, results: str, width: int, scheme: str
) -> None:
    """The rules of axe-core for accessible pages hold, with everything open."""
    browser.show(request.getfixturevalue(results), width=width, scheme=scheme)
    browser.unfold()
    browser.run("for (const part of document.querySelectorAll('details')) part.open = true")
    assert chromium.violations(browser.driver) == []


def test_hostile_results_run_nothing(browser: Browser, hostile: list[Result]) -> None:
    """No dialog opens, no element comes of a name, and sorting and filtering still work."""
    browser.show(hostile)
    browser.head(0).click()
    browser.driver.find_element("css selector", "#filters select").send_keys("<")
    for details in browser.driver.find_elements("css selector", "details"):
        browser.run("arguments[0].open = true", details)
    with pytest.raises(NoAlert):
        browser.driver.switch_to.alert.accept()
    assert browser.run("return document.querySelectorAll('img, [onerror]').length") == 0
    assert browser.run("return document.scripts.length") == 1
    assert "<img src=x onerror=alert(1)>" in browser.column(0)[0]


def test_the_policy_stops_what_would_slip_through(browser: Browser, told: list[Result]) -> None:
    """Were an element injected all the same, its handler would be refused."""
    browser.show(told)
    browser.run(
        "const image = document.createElement('div');"
        'image.innerHTML = \'<img src="data:," onerror="window.ran = 1">\';'
        "document.body.append(image)"
    )
    log: list[dict[str, Any]] = []
    Wait(browser.driver, 5).until(lambda driver: log.extend(driver.get_log("browser")) or log)
    assert "Content Security Policy" in log[0]["message"]
    assert browser.run("return window.ran ?? null") is None


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_phone_never_scrolls_the_page_sideways(
    browser: Browser, told: list[Result], hostile: list[Result], scheme: str
) -> None:
    """At 360 pixels the table scrolls inside its container, with all details open."""
    for results in (told, hostile):
        browser.show(results, width=360, scheme=scheme)
        browser.run("for (const part of document.querySelectorAll('details')) part.open = true")
        assert browser.run("return document.documentElement.scrollWidth") == 360
        board = "const board = document.querySelector('.board');"
        assert browser.run(f"{board} return board.scrollWidth > board.clientWidth")
        assert browser.run(f"{board} return board.getBoundingClientRect().right") <= 360


def test_dark_and_light(browser: Browser, told: list[Result]) -> None:
    """Paper and ink change places with what the system prefers, in the drawings as well."""
    found = {}
    for scheme in ("light", "dark"):
        browser.show(told, scheme=scheme)
        found[scheme] = browser.run(
            "return [getComputedStyle(document.body).backgroundColor,"
            " getComputedStyle(document.body).color,"
            " getComputedStyle(document.querySelector('.plot .mark')).fill]"
        )
    assert found["light"] == ["rgb(255, 255, 255)", "rgb(27, 27, 27)", "rgb(27, 27, 27)"]
    assert found["dark"] == ["rgb(22, 24, 27)", "rgb(232, 232, 230)", "rgb(232, 232, 230)"]


def test_links_open_the_details(browser: Browser, told: list[Result]) -> None:
    """The link of a row leads to its details and opens them, and no others."""
    browser.show(told)
    browser.unfold()
    browser.driver.find_element("css selector", "#board tbody a").click()
    Wait(browser.driver, 5).until(
        lambda driver: len(driver.find_elements("css selector", "details[open]")) == 1
    )
    assert browser.run("return document.querySelector('details[open] :target') !== null")


def test_details_are_open_on_paper(browser: Browser, told: list[Result]) -> None:
    """Printing opens all that is folded and leaves the filters out; then all is as before."""
    browser.show(told)
    browser.run("document.querySelector('details.row').open = true")
    count = "return document.querySelectorAll('details.row[open]').length"
    closed = "return document.querySelectorAll('details:not([open])').length"
    browser.run("dispatchEvent(new Event('beforeprint'))")
    assert browser.run(count) == len(browser.column(0)) > 5
    assert browser.run(closed) == 0
    browser.run("dispatchEvent(new Event('afterprint'))")
    assert browser.run(count) == 1
    assert browser.column(0) == []
    browser.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "print"})
    assert not browser.driver.find_element("id", "filters").is_displayed()
    scroll = "return getComputedStyle(document.querySelector('.board')).overflowX"
    assert browser.run(scroll) == "visible"


def test_without_script_there_is_a_plain_table(browser: Browser, told: list[Result]) -> None:
    """Where scripts are off, all rows are there, and nothing that would not work."""
    off = "Emulation.setScriptExecutionDisabled"
    browser.driver.execute_cdp_cmd(off, {"value": True})
    try:
        browser.show(told)
        find = browser.driver.find_elements
        assert not find("id", "filters")[0].is_displayed()
        assert find("css selector", "#board thead button") == []
        assert len(find("css selector", "#board tbody tr")) > 5
    finally:
        browser.driver.execute_cdp_cmd(off, {"value": False})
