"""CSV or TSV of image files and captions, as open_clip reads with ``--dataset-type csv``.

The first row names the columns; separator and column names default to open_clip's. Image files are
relative to the folder ``images``, by default the one the CSV lies in.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from clipbench.errors import BadSetting, CorruptData
from clipbench.shards.importing import Entry

from . import _files as files
from . import _training as training

_NAMES = {"tab": "\t", "\\t": "\t", "comma": ",", "semicolon": ";", "space": " ", "pipe": "|"}
_MOST = 1 << 24  # characters of one field


@dataclass(frozen=True)
class Csv(training.LooseTraining):
    """Pairs listed in a CSV or TSV file.

    Args:
        path: the file, in UTF-8; its first row names the columns.
        images: folder that relative image paths start from; none: the folder of the file.
        separator: one character, or tab, comma, semicolon, space, pipe.
        img_key: column of image paths.
        caption_key: column of captions.
        image_size: the longest that the shorter side of a stored image may be; none: any.
    """

    path: Path
    images: Path | None = None
    separator: str = "tab"
    img_key: str = "filepath"
    caption_key: str = "title"
    image_size: int | None = None

    def __post_init__(self) -> None:
        training.check_image_size("csv", self.image_size)
        if len(self._delimiter) != 1:
            raise BadSetting(
                f"csv.separator must be one character, or {', '.join(sorted(_NAMES))}."
                f" Got {self.separator!r}."
            )

    @property
    def _delimiter(self) -> str:
        return _NAMES.get(self.separator, self.separator)

    def identity(self) -> Mapping[str, Any]:
        """Return what decides the pairs: the file's content, and how it is read."""
        folder = self._folder.absolute()
        return {
            "format": "csv",
            **training.annotation(self.path, "CSV file"),
            "images": str(folder),
            "separator": self._delimiter,
            "columns": [self.img_key, self.caption_key],
        }

    @property
    def _folder(self) -> Path:
        return self.path.parent if self.images is None else self.images

    def entries(self) -> Iterator[Entry]:
        """Yield a pair for every row.

        Raises:
            MissingData: the file or the folder of images is not there.
            CorruptData: the file is no UTF-8, or lacks a column.
        """
        files.require_file(self.path, "CSV file")
        files.require_folder(self._folder, "folder of images")
        csv.field_size_limit(_MOST)
        try:
            with self.path.open(encoding="utf-8-sig", newline="") as file:
                rows = csv.reader((_bare(line) for line in file), delimiter=self._delimiter)
                image, caption = self._columns(next(rows, []))
                for number, row in enumerate(rows, 1):
                    if row:
                        yield self._entry(number, row, image, caption)
        except UnicodeDecodeError as error:
            raise CorruptData(f"{self.path} is not UTF-8 ({error}); convert it.") from error
        except csv.Error as error:
            raise CorruptData(f"{self.path} can't be read as CSV: {error}.") from error

    def _columns(self, header: list[str]) -> tuple[int, int]:
        for key, option in ((self.img_key, "img_key"), (self.caption_key, "caption_key")):
            if key not in header:
                found = ", ".join(map(repr, header)) or "none"
                raise CorruptData(
                    f"{self.path} has no column {key!r}; its columns are {found[:200]}. Name it"
                    f" with {option}=..., or the separator with separator=comma."
                )
        return header.index(self.img_key), header.index(self.caption_key)

    def _entry(self, number: int, row: list[str], image: int, caption: int) -> Entry:
        name = f"row {number} of {self.path.name}"
        if len(row) <= max(image, caption):
            problem = ("row too short", f"{len(row)} columns")
            return Entry(name, "", None, problem=problem)
        if Path(row[image]).is_absolute():
            return Entry(name, row[image], row[caption])
        path, wrong = training.inside(self._folder, row[image])
        return Entry(name, path, row[caption], problem=wrong)


def _bare(line: str) -> str:
    return line.replace("\0", "\N{REPLACEMENT CHARACTER}")  # which the csv module of 3.10 refuses


DATASET = Csv
