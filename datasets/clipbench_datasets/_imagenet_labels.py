"""Classes of ImageNet's validation images where these lie in one folder.

The development kit numbers classes in an order of its own. So its ground truth means nothing
without its list of synsets, and is refused without.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from clipbench.errors import BadSetting, CorruptData

from . import _held_out as held_out

_SYNSET = re.compile(r"n\d{8}")
_WORD = re.compile(r'"([^"]+)"|([^,;\s]+)')
_WHAT = "the classes of the validation images"


def labels_of(
    files: Sequence[str], labels: Path, synsets: Path | None, order: Sequence[str]
) -> list[int]:
    """Return the class of each file.

    Args:
        files: names of the images, sorted.
        labels: one number per line, of the development kit; or lines of file and class, which is a
            synset or a number from 0 in the order of the classes.
        synsets: the synsets in the order of the development kit's numbers.
        order: the synsets in the order of the classes.

    Raises:
        BadSetting: the ground truth is given without synsets.
        MissingData, CorruptData: a file is not there, or is not what it should be.
    """
    numbered = held_out.lines_of(labels, _WHAT, blank=True)
    rows = [row for row in enumerate(numbered, 1) if row[1]]
    lines = [line for _, line in rows]
    number_of = {synset: number for number, synset in enumerate(order)}
    if not all(line.isascii() and line.isdigit() for line in lines):
        return _of_list(files, labels, rows, number_of)
    if synsets is None:
        raise BadSetting(
            f"{labels} has the development kit's class numbers, whose order is its own; give its"
            " meta.mat, or a list of its synsets in that order, with synsets=FILE."
        )
    if len(lines) < len(numbered):
        raise CorruptData(
            f"Line {numbered.index('') + 1} of {labels} is blank; there must be a class for each"
            " image, in the order of the names."
        )
    if len(lines) != len(files):
        raise CorruptData(
            f"{labels} has {len(lines):,} lines for {len(files):,} images; there must be one for"
            " each image, in the order of the names."
        )
    kit = _kit_order(synsets)
    found = []
    for line, number in enumerate(map(int, lines), 1):
        synset = kit.get(number)
        if synset is None or synset not in number_of:
            raise CorruptData(
                f"Line {line} of {labels} is {number}, which {synsets} gives none of ImageNet's"
                " 1,000 synsets."
            )
        found.append(number_of[synset])
    return found


def _of_list(
    files: Sequence[str], path: Path, lines: Sequence[tuple[int, str]], number_of: dict[str, int]
) -> list[int]:
    """Return the class of each file from lines of file and class; there may be a header.

    Either may stand in quotation marks. A file may be listed twice, with one class.
    """
    class_of: dict[str, int] = {}
    line_of: dict[str, int] = {}
    for line, text in lines:
        words = [quoted or plain for quoted, plain in _WORD.findall(text)]
        name, given = (words[0], words[1]) if len(words) > 1 else ("", "")
        if given in number_of:
            found = number_of[given]
        elif given.isascii() and given.isdigit() and int(given) < len(number_of):
            found = int(given)
        elif line == lines[0][0] and not _SYNSET.fullmatch(given):
            continue  # a header
        else:
            raise CorruptData(
                f"Line {line} of {path} must hold a file and its class, a synset or a number from 0"
                f" to {len(number_of) - 1}, but is {text[:80]!r}."
            )
        stem = Path(name).stem
        if class_of.setdefault(stem, found) != found:
            raise CorruptData(
                f"{path} gives {name} two classes, {class_of[stem]} in line {line_of[stem]} and"
                f" {found} in line {line}; remove the one that is wrong."
            )
        line_of.setdefault(stem, line)
    missing = [name for name in files if Path(name).stem not in class_of]
    if missing:
        raise CorruptData(
            f"{path} has no class for {len(missing):,} of {len(files):,} images, e.g. {missing[0]}."
        )
    absent = sorted(class_of.keys() - {Path(name).stem for name in files})
    if absent:
        raise CorruptData(
            f"{path} lists images that are not there ({len(absent):,}, e.g. {absent[0]}); fetch"
            " them, or give a list of the images that are there."
        )
    return [class_of[Path(name).stem] for name in files]


def _kit_order(path: Path) -> dict[int, str]:
    """Return synset by number, of meta.mat or of a list of synsets.

    A line of a list starts with a synset; a number behind it, as in ``map_clsloc.txt``, is its
    number, else the line's number is.
    """
    if path.suffix == ".mat":
        return _of_meta(path)
    found: dict[int, str] = {}
    for line, text in enumerate(held_out.lines_of(path, "a list of synsets"), 1):
        words = text.replace(",", " ").split()
        if not words or not _SYNSET.fullmatch(words[0]):
            raise CorruptData(f"Line {line} of {path} starts with no synset: {text[:80]!r}.")
        numbered = len(words) > 1 and words[1].isascii() and words[1].isdigit()
        found[int(words[1]) if numbered else line] = words[0]
    return found


def _of_meta(path: Path) -> dict[int, str]:
    """Return synset by number from the development kit's ``meta.mat``."""
    from scipy.io import loadmat  # noqa: PLC0415 - heavy

    held_out.readable(path, "the development kit's meta.mat")
    try:
        rows = loadmat(str(path), squeeze_me=True)["synsets"]
        return {
            int(row["ILSVRC2012_ID"]): str(row["WNID"])
            for row in rows
            if int(row["num_children"]) == 0
        }
    except Exception as error:  # the reader fails in its own ways on what is no such file
        raise CorruptData(
            f"{path} is not the development kit's meta.mat ({type(error).__name__}); fetch it"
            " again."
        ) from error
