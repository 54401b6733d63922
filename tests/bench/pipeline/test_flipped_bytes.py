"""A byte that changes in a file that is kept is noticed, refused, or decides nothing."""

from __future__ import annotations

import zlib
from collections.abc import Iterator

import pytest
from flips import KINDS, Home, turned

FEW, MANY = 4, 200
_SOUND = {"refused", "made again", "no influence"}


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Home]:
    """Return a run with all that it left."""
    return Home.make(tmp_path_factory.mktemp("flips"))


@pytest.mark.parametrize(
    "places", [FEW, pytest.param(MANY, marks=pytest.mark.slow)], ids=["few", "many"]
)
@pytest.mark.parametrize("name", KINDS)
def test_a_turned_byte_changes_no_number_in_silence(home: Home, name: str, places: int) -> None:
    """Its size and times are as they were, so that nothing but the bytes can tell."""
    found = turned(home, KINDS[name], places, seed=zlib.crc32(name.encode()))
    print(f"{name:28} {dict(sorted(found.items()))}")
    assert found.keys() <= _SOUND
    assert found.total() == places
