"""The programs of the dose study, which import one another from their folder."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

STUDY = Path(__file__).parents[2] / "results" / "dose"
MODULES = ("curves", "figure", "n50", "slopes", "fit", "simulate")


@pytest.fixture(scope="module")
def modules() -> Iterator[dict[str, ModuleType]]:
    """All of them by name."""
    sys.path.insert(0, str(STUDY))
    yield {name: importlib.import_module(name) for name in MODULES}
    sys.path.remove(str(STUDY))
    for name in MODULES:
        del sys.modules[name]


@pytest.fixture(scope="module")
def fit(modules: dict[str, ModuleType]) -> ModuleType:
    """The program that prints the tables."""
    return modules["fit"]
