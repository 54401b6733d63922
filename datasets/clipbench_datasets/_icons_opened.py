"""What is known of an archive once it was read, which takes seconds: read once a process."""

from __future__ import annotations

import functools
from pathlib import Path

from clipbench.errors import BadSetting
from clipbench.files.json_files import sha256_file

from . import _icons_archive as archives
from ._icons_archive import Archive
from ._icons_draw import need_resvg
from ._icons_held_out import HeldOut, Split, held_out, part_of


@functools.lru_cache(maxsize=1)
def archive_at(path: Path, stamps: archives.Stamps) -> Archive:  # noqa: ARG001 - a changed one is another
    return archives.read_archive(path)


@functools.lru_cache(maxsize=4)
def most_pairs(path: Path, stamps: archives.Stamps, noncommercial: bool) -> int:
    """Return how many icons training pairs are chosen from; some of them will be left out."""
    used = (
        one for one in archive_at(path, stamps).sets if noncommercial or not one.is_noncommercial
    )
    return sum(len(one.icons) for one in used if part_of(one) == "train")


@functools.lru_cache(maxsize=4)
def held_out_in(path: Path, stamps: archives.Stamps, split: Split, noncommercial: bool) -> HeldOut:
    """Return the held-out icons of an archive, which take some ten seconds to draw and compare."""
    sets = archive_at(path, stamps).sets
    return held_out([one for one in sets if noncommercial or not one.is_noncommercial], split)


@functools.lru_cache(maxsize=4)
def held_out_at(
    path: Path, stamps: archives.Stamps, split: Split, noncommercial: bool
) -> tuple[HeldOut, str]:
    """Return the held-out icons of an archive to evaluate on, and its version."""
    need_resvg()
    archive = archive_at(path, stamps)
    found = held_out_in(path, stamps, split, noncommercial)
    most_pairs(path, stamps, noncommercial)  # while the archive is there: it takes seconds to read
    archive_at.cache_clear()  # half a gigabyte of drawings
    if not found.classes:
        raise BadSetting(f"No name is drawn by enough icon sets of {path} to be a class.")
    return found, archive.version


@functools.lru_cache(maxsize=4)
def content_at(path: Path, stamps: archives.Stamps) -> str:  # noqa: ARG001 - likewise
    """Return the hash of an archive's files, of which the cached set's name has a part."""
    if not path.is_dir():
        return sha256_file(path)
    return archives.content_of_folder(path)
