"""Pairs as a source lists them: why one can't be used."""

from __future__ import annotations

import unicodedata
from pathlib import Path

from clipbench.importing.entries import Entry, samples
from clipbench.shards.shard_writer import LeftOut


def left_out(image: Path) -> LeftOut:
    """Return why a pair of an image and a caption is left out."""
    (found,) = samples([Entry("row 1", str(image), "a bear")], None, "skip")
    assert isinstance(found, LeftOut)
    return found


def test_a_file_whose_name_only_looks_the_same_is_told(tmp_path: Path) -> None:
    """A list from one system, files from another: to people the two names are one."""
    assert left_out(tmp_path / "b.jpg").detail == f"there is no file {tmp_path / 'b.jpg'}"
    composed, apart = (
        tmp_path / unicodedata.normalize(form, "b\u00e4r.jpg") for form in ("NFC", "NFD")
    )
    apart.touch()
    if composed.exists():  # file systems of Apple take both for one
        return
    told = left_out(composed)
    assert told.reason == "image missing"
    assert told.detail == (
        f"there is no file {composed}, but one with accents in Unicode's other form (NFD);"
        " rename it"
    )
