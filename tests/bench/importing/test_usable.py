"""What can be used of a set, and what was left out of it before."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from clipbench.errors import CorruptData
from clipbench.images.encoding import encode_png
from clipbench.importing.entries import Entry
from clipbench.importing.pairs import import_set
from clipbench.importing.usable import open_usable


@dataclass(frozen=True)
class Pictures:
    """Six pictures of which the third is not there, and the fifth has no caption."""

    folder: Path

    def entries(self) -> Iterator[Entry]:
        for number in range(6):
            caption = None if number == 4 else f"picture {number}"
            yield Entry(f"{self.folder.name} {number}", str(self.folder / f"{number}.png"), caption)

    def identity(self) -> Mapping[str, object]:
        return {"format": "pictures", "folder": self.folder.name}


def imported(place: Path, name: str) -> Path:
    """Return a folder of shards that lacks two of its six pairs."""
    (folder := place / name).mkdir()
    draw = np.random.default_rng(len(name))
    for number in (0, 1, 3, 4, 5):
        pixels = draw.integers(0, 256, (8, 8, 3)).astype(np.uint8)
        (folder / f"{number}.png").write_bytes(encode_png(pixels))
    import_set(Pictures(folder), out := place / f"{name}-shards", name=name, workers=0)
    return out


LEFT_OUT = {"caption missing": 1, "image missing": 1}


def test_what_an_import_left_out_is_counted_and_named(tmp_path: Path) -> None:
    """Whoever opens the set learns how many pairs its source had beside these."""
    usable = open_usable(imported(tmp_path, "one"), tmp_path / "cache", on_error="skip")
    assert (len(usable.shards), usable.left_out) == (4, LEFT_OUT)
    assert [line.name for line in usable.lines()] == ["one 2", "one 4"]


@pytest.mark.parametrize("way", ["{one}::{two}", "{one}/00000.tar::{two}"])
def test_of_imports_that_are_joined_all_are_counted_and_named(way: str, tmp_path: Path) -> None:
    """A set of several folders was read as if nothing had been left out of any."""
    one, two = imported(tmp_path, "one"), imported(tmp_path, "three")
    joined = way.format(one=one, two=two)
    usable = open_usable(joined, tmp_path / "cache", on_error="skip")
    assert len(usable.shards) == 8
    assert usable.left_out == dict.fromkeys(LEFT_OUT, 2)
    assert [line.name for line in usable.lines()] == ["one 2", "one 4", "three 2", "three 4"]
    refusal = re.escape(f"{one / 'skipped.jsonl'}; mend them, remove that folder and import again")
    with pytest.raises(CorruptData, match=f"Of 6 pairs 2 left out .*{refusal}"):
        open_usable(joined, tmp_path / "cache", on_error="fail")
