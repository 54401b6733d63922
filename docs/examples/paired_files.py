"""Paired files: images in FOLDER or below, each with its caption beside it in NAME.txt."""
# ruff: noqa: D102  (what each method owes stands in clipbench.importing.pairs)

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from clipbench.errors import MissingData
from clipbench.importing.loose import LooseTraining
from clipbench.importing.pairs import Entry

SUFFIXES = frozenset({".bmp", ".gif", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp"})
VERSION = 2  # raise it when other entries come of the same files


@dataclass(frozen=True)
class PairedFiles(LooseTraining):
    """Images of a folder and of those in it, with the text files that have their names.

    A text file without an image is named, too: its image may be of a kind that is not read.

    Args:
        folder: holds both.
        image_size: the longest that the shorter side of a stored image may be; none: any.
    """

    folder: Path
    image_size: int | None = None

    def entries(self) -> Iterator[Entry]:
        if not self.folder.is_dir():
            raise MissingData(f"There is no folder {self.folder.absolute()}; check the path.")
        files = sorted(path for path in self.folder.rglob("*") if path.is_file())
        images = [path for path in files if path.suffix.lower() in SUFFIXES]
        with_image = {path.with_suffix(".txt") for path in images}
        for path in files:
            name = str(path.relative_to(self.folder))
            if path.suffix.lower() in SUFFIXES:
                text = path.with_suffix(".txt")
                # Bytes that are no UTF-8 make an entry that the import names and leaves out.
                caption = text.read_text("utf-8", "surrogateescape") if text.is_file() else None
                yield Entry(name, str(path), caption)
            elif path.suffix == ".txt" and path not in with_image:
                problem = ("image missing", f"no {path.stem}{{{','.join(sorted(SUFFIXES))}}}")
                yield Entry(name, "", None, problem=problem)

    def identity(self) -> Mapping[str, Any]:
        listed = repr([(entry.name, entry.caption) for entry in self.entries()])
        return {
            "format": "paired_files",
            "version": VERSION,
            "entries_sha256": hashlib.sha256(listed.encode()).hexdigest(),
        }


DATASET = PairedFiles
