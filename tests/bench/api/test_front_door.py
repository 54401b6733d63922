"""`import clipbench as cb`: quick, and the same names however the rooms were imported."""

from __future__ import annotations

import importlib
import subprocess
import sys

import pytest

import clipbench as cb

HEAVY = ("torch", "pandas", "numpy", "click")


def test_importing_clipbench_imports_nothing_heavy() -> None:
    """Nor does asking what there is; a name is imported when it is used."""
    code = (
        "import sys, clipbench as cb; names = dir(cb);"
        f"print([m for m in {HEAVY} if m in sys.modules], 'run' in names);"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[] True\n"


@pytest.mark.parametrize("name", cb.__all__)
def test_every_name_of_the_front_door_is_there_and_documented(name: str) -> None:
    """Each has a docstring, or is a package that has one."""
    assert getattr(cb, name).__doc__


def test_a_name_that_is_not_there_is_an_attribute_error() -> None:
    """As of any module."""
    with pytest.raises(AttributeError, match="no attribute 'leaderbord'"):
        _ = cb.leaderbord


def test_leaderboard_is_a_function_and_a_package() -> None:
    """Importing the package of that name takes nothing away, and the other way round."""
    room = importlib.import_module("clipbench.leaderboard")
    tables = importlib.import_module("clipbench.leaderboard.tables")
    assert room.tables is tables
    assert "defense" in str(cb.leaderboard(published="rates"))
