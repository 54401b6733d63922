"""Who makes what a cache lacks, where several machines share one or have their own."""

from __future__ import annotations

from pathlib import Path

import pytest

from clipbench.parallel.caches import _makers, _told, at_cache
from clipbench.parallel.group import Processes
from clipbench.system.progress import Reporter

TWO_NODES = ["a 0", "a 0", "b 1", "b 1"]


@pytest.mark.parametrize(
    ("nodes", "own", "makers"),
    [
        (TWO_NODES, ["", "", "", ""], [0]),  # all see what the first wrote
        (TWO_NODES, ["", "", "/c", "/c"], [0, 2]),
        (TWO_NODES, ["", "", "/c", "/d"], [0, 2, 3]),
        (["a 0", "b 1", "c 2"], ["", "/c", "/c"], [0, 1, 2]),  # one name on two machines
        (["a 0"], [""], [0]),
    ],
)
def test_the_first_of_each_cache_makes(nodes: list[str], own: list[str], makers: list[int]) -> None:
    """Which of the caches that are not the first process's are one, machine and name tell."""
    assert _makers(nodes, own) == makers


def test_it_is_told_what_was_found() -> None:
    """With what to do where pairs are made more than once."""
    assert _told(Path("/c"), 2, 1) == "2 machines share the cache /c"
    assert "2 machines with 2 caches" in _told(Path("/c"), 2, 2)
    assert "--cache" in _told(Path("/c"), 2, 2)


def test_one_process_makes_for_itself(tmp_path: Path) -> None:
    """And asks nobody."""
    alone = Processes()
    assert at_cache(alone, tmp_path / "cache", Reporter(quiet=True)) is alone
    assert alone.makes
    assert not (tmp_path / "cache").exists()
