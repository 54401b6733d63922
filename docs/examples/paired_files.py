"""Paired files: FOLDER/NAME.jpg (jpeg, png, webp), each with its caption beside it in NAME.txt."""
# ruff: noqa: D102  (what each method owes stands in clipbench.importing.pairs)

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from clipbench.errors import MissingData
from clipbench.importing.loose import LooseTraining
from clipbench.importing.pairs import Entry

SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".webp"})
VERSION = 1  # raise it when other entries come of the same files


@dataclass(frozen=True)
class PairedFiles(LooseTraining):
    """Images of a folder, with the text files that have their names.

    Args:
        folder: holds both.
        image_size: the longest that the shorter side of a stored image may be; none: any.
    """

    folder: Path
    image_size: int | None = None

    def entries(self) -> Iterator[Entry]:
        if not self.folder.is_dir():
            raise MissingData(f"There is no folder {self.folder.absolute()}; check the path.")
        for image in sorted(self.folder.iterdir()):
            if image.suffix.lower() in SUFFIXES:
                text = image.with_suffix(".txt")
                # Bytes that are no UTF-8 make an entry that the import names and leaves out.
                caption = text.read_text("utf-8", "surrogateescape") if text.is_file() else None
                yield Entry(image.name, str(image), caption)

    def identity(self) -> Mapping[str, Any]:
        listed = repr([(entry.image, entry.caption) for entry in self.entries()])
        return {
            "format": "paired_files",
            "version": VERSION,
            "entries_sha256": hashlib.sha256(listed.encode()).hexdigest(),
        }


DATASET = PairedFiles
