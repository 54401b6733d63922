"""Runs of the real program that several tests of this folder look at."""

from pathlib import Path
from typing import Any

import pytest
from tiny_runs import GRID, Place


@pytest.fixture
def place(tmp_path: Path) -> Place:
    """Return an empty place."""
    return Place(tmp_path)


@pytest.fixture(scope="session")
def grid(tmp_path_factory: pytest.TempPathFactory) -> tuple[Place, list[dict[str, Any]]]:
    """Return a place where both attacks met three defenses, with controls, and the results."""
    place = Place(tmp_path_factory.mktemp("grid"))
    return place, place.run(*GRID)


@pytest.fixture
def result_of(grid: tuple[Place, list[dict[str, Any]]]) -> Any:
    """Return a function from attack and defense to result."""

    def find(attack: str, defense: str) -> dict[str, Any]:
        (found,) = [
            result
            for result in grid[1]
            if (result["attack"]["name"], result["defense"]["name"]) == (attack, defense)
        ]
        return found

    return find
