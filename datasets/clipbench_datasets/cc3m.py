"""Conceptual Captions (CC3M): Google's TSV of captions and addresses, with images fetched before.

Sharma, Ding, Goodman, Soricut. Conceptual Captions. ACL 2018.

Google gives no images, and names none. Where ``mapping`` is not set, the image of row n of the TSV
(the first is row 0) is the file whose name without suffix is n, with or without leading zeros, in
any folder below ``images``. Otherwise ``mapping`` is a TSV of address and file name, one pair a
line. Rows without file are images that are gone from the web; they are counted as such.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from clipbench.contracts import Ge
from clipbench.errors import CorruptData, MissingData
from clipbench.importing.pairs import Entry

from . import _files as files
from . import _tables as tables
from . import _training as training

_SUFFIXES = files.IMAGES | {""}


@dataclass(frozen=True)
class CC3M(training.LooseTraining):
    """Pairs of a Conceptual Captions TSV.

    Args:
        path: Google's TSV, a caption, a tab and an address a line, without header.
        images: folder of the images that were fetched.
        mapping: TSV of address and file name relative to `images`; none: files are named by row.
        image_size: the longest that the shorter side of a stored image may be; none: any.
        outside: whether images may lie elsewhere, by an absolute path, ``..`` or a link.
    """

    path: Path
    images: Path
    mapping: Path | None = None
    image_size: Annotated[int, Ge(1)] | None = None
    outside: bool = False

    def identity(self) -> Mapping[str, object]:
        """Return what decides the pairs: the content of the TSV and of the mapping."""
        found: dict[str, object] = {"format": "cc3m"}
        found |= training.annotation(self.path, "TSV")
        if self.mapping is not None:
            found |= training.annotation(self.mapping, "mapping")
        return {**found, "outside": True} if self.outside else found

    def entries(self) -> Iterator[Entry]:
        """Yield a pair for every line of the TSV.

        Raises:
            MissingData: the TSV, the mapping or the folder is not there, or no file fits a row.
            CorruptData: a line has no tab, or the file is not UTF-8.
        """
        files.require_file(self.path, "TSV")
        files.require_folder(self.images, "folder of images")
        by_url = None if self.mapping is None else _read_mapping(self.mapping)
        by_row = _files_by_row(self.images) if by_url is None else {}
        for number, (caption, url) in enumerate(_lines(self.path)):
            name = f"row {number} of {self.path.name}"
            if url is None:
                problem = ("row too short", f"it has no tab: {caption[:80]!r}")
                yield Entry(name, "", None, problem=problem)
                continue
            file = by_row.get(number) if by_url is None else by_url.get(url)
            metadata = {"url": url}
            if file is None:
                problem = ("image missing", f"no file for {url[:200]}")
                yield Entry(name, "", caption, metadata=metadata, problem=problem)
                continue
            path, wrong = training.inside(self.images, file, self.outside)
            yield Entry(name, path, caption, metadata=metadata, problem=wrong)


def _lines(path: Path) -> Iterator[tuple[str, str | None]]:
    """Yield the two fields of every line; quotes are nothing special in these files.

    A line without a tab has no second field, but for the first: the file is another one, then.
    """
    try:
        with path.open(encoding="utf-8-sig", newline="\n") as file:
            for number, line in enumerate(file):
                one, tab, two = line.rstrip("\r\n").partition("\t")
                if not tab and number == 0:
                    raise CorruptData(
                        f"Row {number} of {path} has no tab; it must be two fields with a tab"
                        " between them."
                    )
                yield one, two.strip() if tab else None
    except UnicodeDecodeError as error:
        raise tables.not_utf8(path) from error


def _read_mapping(path: Path) -> dict[str, str]:
    files.require_file(path, "mapping")
    found: dict[str, str] = {}
    for number, (url, file) in enumerate(_lines(path)):
        if file is None:
            raise CorruptData(
                f"Row {number} of {path} has no tab; it must be an address and a file with a tab"
                " between them."
            )
        found[url] = file
    return found


def _files_by_row(folder: Path) -> dict[int, str]:
    """Return the file, relative to `folder`, of every row number that a file is named by.

    Raises:
        MissingData: no file is named by a number.
        CorruptData: two files are named by the same one.
    """
    found: dict[int, str] = {}
    for where, folders, names in os.walk(folder):
        folders.sort()
        for name in sorted(names):
            path = Path(where, name)
            stem = path.stem
            if not (stem.isascii() and stem.isdigit() and path.suffix.lower() in _SUFFIXES):
                continue
            file = str(path.relative_to(folder))
            if int(stem) in found:
                raise CorruptData(
                    f"Row {int(stem)} has two images in {folder}: {found[int(stem)]} and {file};"
                    " remove one."
                )
            found[int(stem)] = file
    if not found:
        raise MissingData(
            f"No image in {folder} is named by a row of the TSV (0.jpg, 000001.jpg, ...); rename"
            " them or give mapping=FILE."
        )
    return found


DATASET = CC3M
