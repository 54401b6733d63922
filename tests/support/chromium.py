"""A headless Chromium for tests of pages.

Tests are skipped where it or its driver is missing; in CI, which installs them, that is a failure.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.resources import files
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from selenium import webdriver

CHROME = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), ""
)
DRIVER = shutil.which("chromedriver")
AXE = find_spec("axe_playwright_python")  # for its copy of axe-core; see the Makefile
needs_chromium = pytest.mark.skipif(
    not (CHROME and DRIVER) and not os.environ.get("CI"),
    reason="there is no Chromium with its chromedriver",
)
needs_axe = pytest.mark.skipif(not AXE and not os.environ.get("CI"), reason="there is no axe-core")


@contextmanager
def started(downloads: Path | None = None) -> Iterator[Any]:
    """Start a browser, and end it.

    Args:
        downloads: where it puts what a page saves; None: it saves nothing.
    """
    options = webdriver.ChromeOptions()
    options.binary_location = CHROME
    for argument in ("--headless=new", "--no-sandbox", "--disable-dev-shm-usage"):
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    # What the page asks to be shown in a dialog would be found by the tests.
    options.set_capability("unhandledPromptBehavior", "ignore")
    if downloads is not None:
        options.add_experimental_option("prefs", {"download.default_directory": str(downloads)})
    service = webdriver.ChromeService(executable_path=DRIVER)
    driver = webdriver.Chrome(options=options, service=service)
    try:
        yield driver
    finally:
        driver.quit()


def screen(driver: Any, width: int, scheme: str = "light") -> None:
    """Give a browser a screen of some width, in light or dark; a narrow one is a phone's."""
    media = {"media": "", "features": [{"name": "prefers-color-scheme", "value": scheme}]}
    driver.execute_cdp_cmd("Emulation.setEmulatedMedia", media)
    size = {"width": width, "height": 800, "deviceScaleFactor": 1, "mobile": width < 500}
    driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)


def violations(driver: Any) -> list[str]:
    """Return what axe-core finds wrong with the accessibility of the page that is shown."""
    source = files(AXE.name if AXE else "").joinpath("axe.min.js")
    driver.execute_script(source.read_text(encoding="utf-8"))
    found: list[str] = driver.execute_async_script(
        "const done = arguments[0];"
        "axe.run({resultTypes: ['violations']}).then(told => done(told.violations.map("
        "one => `${one.id}: ${one.nodes[0].html} ${one.nodes[0].failureSummary}`)))"
    )
    return found
