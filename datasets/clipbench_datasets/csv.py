"""CSV or TSV of image files and captions, as open_clip reads with ``--dataset-type csv``.

The first row names the columns, whose names default to open_clip's, and shows the separator. Image
files are relative to the folder ``images``, by default the one the CSV lies in.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from clipbench.contracts import Ge
from clipbench.errors import BadSetting, CorruptData
from clipbench.importing.pairs import Entry
from clipbench.text.locations import Word

from . import _files as files
from . import _tables as tables
from . import _training as training

_NAMES = {"tab": "\t", "comma": ",", "semicolon": ";", "space": " ", "pipe": "|"}
_SPELLINGS = {**_NAMES, "\\t": "\t", "": ","}  # a comma by itself ends a parameter of a --data
_FOUND = ("tab", "comma", "semicolon")  # looked for in the first row, in this order


@dataclass(frozen=True)
class Csv(training.LooseTraining):
    """Pairs listed in a CSV or TSV file.

    Args:
        path: the file, in UTF-8; its first row names the columns.
        images: folder that relative image paths start from; none: the folder of the file.
        separator: auto, a tab, comma or semicolon as the first row has it; or one character, or
            tab, comma, semicolon, space, pipe.
        img_key: column of image paths.
        caption_key: column of captions.
        quotes: csv, a field may stand in quotation marks; plain, they are text like any other.
        image_size: the longest that the shorter side of a stored image may be; none: any.
        outside: whether images may lie elsewhere, by an absolute path, ``..`` or a link.
    """

    path: Path
    images: Path | None = None
    separator: Word = "auto"
    img_key: Word = "filepath"
    caption_key: Word = "title"
    quotes: tables.Quotes = "csv"
    image_size: Annotated[int, Ge(1)] | None = None
    outside: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        given = _SPELLINGS.get(self.separator, self.separator)
        if given != "auto" and (len(given) != 1 or given in '"\r\n'):
            raise BadSetting(
                f"csv.separator must be auto, one character, or {', '.join(sorted(_NAMES))}."
                f" Got {self.separator!r}."
            )

    def identity(self) -> Mapping[str, object]:
        """Return what decides the pairs: the file's content, and how it is read."""
        found: dict[str, object] = {
            "format": "csv",
            **training.annotation(self.path, "CSV file"),
            "separator": self._delimiter(),
            "columns": [self.img_key, self.caption_key],
        }
        found |= {} if self.quotes == "csv" else {"quotes": self.quotes}
        return {**found, "outside": True} if self.outside else found

    def reading(self) -> str:
        """Return how the file is read, where that was found and not given; else nothing."""
        if self.separator != "auto":
            return ""
        return f"{self.path} is read with {_name_of(self._delimiter())} as its separator"

    @property
    def _folder(self) -> Path:
        return self.path.parent if self.images is None else self.images

    def entries(self) -> Iterator[Entry]:
        """Yield a pair for every row.

        Raises:
            MissingData: the file or the folder of images is not there.
            CorruptData: the file is no UTF-8, or lacks a column.
        """
        files.require_folder(self._folder, "folder of images")
        delimiter = self._delimiter()
        with self._lines() as lines:
            header = _header(lines, delimiter)
            image, caption = self._columns(header, delimiter)

            def is_row(cells: Sequence[str]) -> bool:
                return len(cells) > max(image, caption) and _names_image(cells[image])

            found = tables.rows(
                lines, delimiter, self.quotes, first=2, width=len(header), is_row=is_row
            )
            for number, row in enumerate(found, 1):
                if row.cells or row.problem:
                    yield self._entry(number, row, (image, caption), len(header))

    @contextmanager
    def _lines(self) -> Iterator[Iterator[str]]:
        """Open the file; what is no UTF-8 is told as such."""
        files.require_file(self.path, "CSV file")
        try:
            with self.path.open(encoding="utf-8-sig", newline="") as file:
                yield file
        except UnicodeDecodeError as error:
            raise tables.not_utf8(self.path) from error

    def _delimiter(self) -> str:
        """Return the separator, where none is given the one with which the columns are there."""
        if self.separator != "auto":
            return _SPELLINGS.get(self.separator, self.separator)
        with self._lines() as lines:
            first = next(lines, "")
        headers = {name: _header([first], _NAMES[name]) for name in _FOUND}
        wanted = {self.img_key, self.caption_key}
        fits = [name for name in _FOUND if wanted <= set(headers[name])]
        return _NAMES[fits[0] if fits else max(_FOUND, key=lambda name: len(headers[name]))]

    def _columns(self, cells: Sequence[str], delimiter: str) -> tuple[int, int]:
        for key, option in ((self.img_key, "img_key"), (self.caption_key, "caption_key")):
            if key not in cells:
                found = ", ".join(map(repr, cells)) or "none"
                raise CorruptData(
                    f"{self.path} has no column {key!r}; its columns are {found[:200]}, with"
                    f" {_name_of(delimiter)} as separator. Name it with {option}=..., or the"
                    " separator with separator=..."
                )
        return cells.index(self.img_key), cells.index(self.caption_key)

    def _entry(self, number: int, found: tables.Row, columns: tuple[int, int], width: int) -> Entry:
        """Return the pair of a row; `columns` are those of image and caption, of `width` in all."""
        name, row = f"row {number} of {self.path.name}", found.cells
        image, caption = columns
        if found.problem is not None:
            problem = ("wrongly quoted", f"in line {found.line} {found.problem}")
            return Entry(name, "", None, problem=problem)
        if len(row) <= max(image, caption):
            problem = ("row too short", f"{len(row)} columns")
            return Entry(name, "", None, problem=problem)
        if any(row[width:]):  # a separator in a caption that is not quoted cuts the caption
            problem = ("row too long", f"{len(row)} columns for {width}; quote captions")
            return Entry(name, "", None, problem=problem)
        path, wrong = training.inside(self._folder, row[image], self.outside)
        return Entry(name, path, row[caption], problem=wrong)


def _header(lines: Iterable[str], delimiter: str) -> list[str]:
    """Return the columns that the first of some lines names."""
    return next(tables.rows(itertools.islice(lines, 1), delimiter), tables.Row(1, [])).cells


def _names_image(text: str) -> bool:
    return Path(text).suffix.lower() in files.IMAGES


def _name_of(delimiter: str) -> str:
    return next((f"a {name}" for name, one in _NAMES.items() if one == delimiter), repr(delimiter))


DATASET = Csv
