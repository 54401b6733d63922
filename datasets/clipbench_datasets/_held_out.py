"""What sources of test images have in common: reserved targets, text files, prompt templates."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from clipbench.contracts import Classes, IntArray, LabelledImages
from clipbench.errors import BadInput, BadSetting, CorruptData, MissingData
from clipbench.files.foreign import MOST_IMAGE, TooLarge, opened_regular, read_regular
from clipbench.images.lazy import Item, LazyImages
from clipbench.text.visible import has_visible

from . import _files as files

MAX_TEXT = 1 << 26  # bytes of a text file


class Split(NamedTuple):
    """Images of which some are reserved.

    Args:
        test: the test images.
        targets: the reserved images.
        prefix: of the names of the files, where a reserved image is there again: earlier versions
            measured on the copy, and no run of today may have the id of one with other numbers.
    """

    test: LabelledImages
    targets: LabelledImages
    prefix: str


def split_off(
    images: LazyImages[Item],
    labels: IntArray,
    reserve: int,
    size: Callable[[int], int],
    content: Callable[[int], bytes],
) -> Split:
    """Return the test images, and the first images of each class, held out as attack targets.

    A model is trained on targets under captions that lie. So no test image is a copy of one, byte
    for byte, nor is a target there twice, which would have two goals.

    Args:
        images: all images, in the order that is theirs on every machine.
        labels: ``(N,)`` their classes.
        reserve: images a class held out; 0: none.
        size: gives how large an image is as it is stored: copies have one size.
        content: gives an image as it is stored.

    Raises:
        BadSetting: no test image would be left.
    """
    held = np.zeros(len(labels), dtype=bool)
    if reserve:
        for label in np.unique(labels):
            held[np.flatnonzero(labels == label)[:reserve]] = True
    copies = _copies(np.flatnonzero(held).tolist(), len(labels), size, content)
    targets = held & ~copies
    held |= copies
    if held.all():
        raise BadSetting(
            f"reserve={reserve} leaves none of {len(labels)} test images; reserve fewer."
        )

    def part(mask: npt.NDArray[np.bool_]) -> LabelledImages:
        numbers = np.flatnonzero(mask)
        return LabelledImages(LazyImages(numbers.tolist(), images.__getitem__), labels[numbers])

    test = part(~held) if reserve else LabelledImages(images, labels)
    return Split(test, part(targets), "apart/" if copies.any() else "")


def _copies(
    held: Sequence[int], total: int, size: Callable[[int], int], content: Callable[[int], bytes]
) -> npt.NDArray[np.bool_]:
    """Return which images are what one of `held` is that comes before in it, ``(N,)``."""
    found = np.zeros(total, dtype=bool)
    if not held:
        return found
    sizes = [_or_none(size, number) for number in range(total)]
    wanted = {sizes[number] for number in held} - {None}
    several = {one for one, times in Counter(sizes).items() if times > 1} & wanted
    first, originals = {*held}, set[bytes]()
    for number in dict.fromkeys([*held, *range(total)]):
        if sizes[number] not in several or (stored := _or_none(content, number)) is None:
            continue
        digest = hashlib.sha256(stored).digest()
        if digest in originals:
            found[number] = True
        elif number in first:
            originals.add(digest)
    return found


def _or_none(read: Callable[[int], Item], number: int) -> Item | None:
    """Return what is read of an image; None where that can't be: it is named when it is decoded."""
    try:
        return read(number)
    except (OSError, BadInput, TooLarge):
        return None


def file_size(paths: Sequence[Path]) -> Callable[[int], int]:
    """Return what gives the size of an image that is a file."""
    return lambda number: paths[number].stat().st_size


def file_content(paths: Sequence[Path]) -> Callable[[int], bytes]:
    """Return what gives the content of an image that is a file."""
    return lambda number: read_regular(paths[number], MOST_IMAGE)


def reserved(source: str, targets: LabelledImages) -> LabelledImages:
    """Return the targets.

    Raises:
        BadSetting: none are held out.
    """
    if not len(targets):
        raise BadSetting(
            f"{source} holds no images out that could be attack targets; give reserve=1, e.g."
            f" --eval {source}:...,reserve=1, to hold one of each class out of the test images."
        )
    return targets


def lines_of(path: Path, what: str, *, blank: bool = False) -> list[str]:
    """Return the lines of a text file, without those at its end that are empty.

    Form feeds and the line and paragraph separators of Unicode belong to a line, and end none.

    Args:
        path: the file.
        what: what it should be, for messages.
        blank: whether lines may be blank, which are then returned as empty.

    Raises:
        MissingData: it cannot be read.
        CorruptData: it is no text, empty, or far too large; or a line is blank, and the lines
            behind it would stand for other classes.
    """
    readable(path, what)
    try:
        text = read_regular(path, MAX_TEXT).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise CorruptData(f"{path} is no text; it should be {what}.") from error
    lines = [line.strip() if has_visible(line) else "" for line in line_fed(text.rstrip())]
    if not any(lines):
        raise CorruptData(f"{path} is empty; it should be {what}.")
    if not blank and "" in lines:
        raise CorruptData(
            f"Line {lines.index('') + 1} of {path} is blank; it should be {what}. Remove that line,"
            " or write what belongs there."
        )
    return lines


def line_fed(text: str) -> list[str]:
    """Return the lines of a text: parted at line feeds, carriage returns or both, at no else."""
    return text.replace("\r\n", "\n").replace("\r", "\n").split("\n")


def readable(path: Path, what: str) -> None:
    """Check that a file can be read, and is not so large that it must be something else.

    Raises:
        MissingData: it cannot be read.
        CorruptData: it is far too large.
    """
    try:
        with opened_regular(path) as file:
            size = file.seek(0, 2)
    except OSError as error:
        raise MissingData(f"{path} cannot be read: {error.strerror}; it should be {what}.") from (
            error
        )
    if size > MAX_TEXT:
        raise CorruptData(f"{path} has more than {MAX_TEXT:,} bytes and cannot be {what}.")


def templates_of(path: Path) -> tuple[str, ...]:
    """Return the prompt templates in a file, one a line, with ``{c}`` or ``{}`` for the name.

    Raises:
        MissingData, CorruptData: it cannot be read, or a line has not exactly one slot.
    """
    lines = lines_of(path, "a list of prompt templates, one a line")
    for number, line in enumerate(lines, 1):
        # Nothing else in braces: a template is filled by `str.format`, and comes from strangers.
        if not _has_one_slot(line):
            raise CorruptData(
                f"Line {number} of {path} is no prompt template: it must hold {{c}} once and no"
                f" other braces, but is {line[:80]!r}."
            )
    return tuple(line.replace("{c}", "{}") for line in lines)


def _has_one_slot(line: str) -> bool:
    plain = line.replace("{c}", "{}")
    return plain.count("{}") == 1 and not set("{}") & set(plain.replace("{}", ""))


def classes_of(names: Sequence[str], templates: Sequence[str]) -> Classes:
    """Return classes that captions name by their names alone."""
    return Classes(tuple(names), tuple(templates), tuple((name,) for name in names))


def inside(folder: Path, name: str, listed_in: Path) -> Path:
    """Return the path of a file that a list names.

    Raises:
        CorruptData: the name leads out of the folder.
    """
    path = files.path_in(folder, name)
    if path is None:
        raise CorruptData(f"{listed_in} names the file {name!r}, which is not below {folder}.")
    return Path(path)
