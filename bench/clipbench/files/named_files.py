"""Files that a person named: written to what stands there, whatever it is.

A regular file is replaced whole, as `clipbench.system.durable.atomic_file` does it; behind a link,
what it points to is, and the link stays. A pipe, a device or an open descriptor such as
``/dev/stdout`` can't be replaced by a file without taking it from whoever holds its other end: the
bytes go straight into it.
"""

from __future__ import annotations

import os
import re
import stat
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from clipbench.errors import BadSetting, MissingData
from clipbench.system.durable import atomic_file

if TYPE_CHECKING:
    from matplotlib.figure import Figure

PICTURES = ("png", "pdf", "svg", "jpg", "jpeg", "webp")  # what matplotlib writes, by extension
# What tells when and by what a picture was made: without it the same input gives the same bytes.
NO_METADATA: dict[str, dict[str, None]] = {
    "png": {"Software": None},
    "svg": {"Date": None, "Creator": None},
    "pdf": {"CreationDate": None, "Creator": None, "Producer": None},
}
_DESCRIPTOR = re.compile(r"/(?:dev|proc/(?:self|\d+))/fd/(\d+)")
_MOST_LINKS = 40  # as the kernel has it


@contextmanager
def named_file(path: Path) -> Iterator[IO[bytes]]:
    """Open the file that a person named for writing; a regular one appears only when it is whole.

    Raises:
        ClipbenchError: the disk is full; nothing is left behind.
        OSError: the file system refuses otherwise.
    """
    number = _descriptor(path)
    if number is not None:
        for stream in (sys.stdout, sys.stderr):
            if stream is not None:
                stream.flush()  # what was printed before comes before
        with os.fdopen(os.dup(number), "wb") as file:
            yield file
    elif is_special(path):
        with path.open("wb") as file:
            yield file
    else:
        with atomic_file(Path(os.path.realpath(path))) as file:
            yield file


def is_special(path: Path) -> bool:
    """Return whether something is there that is no regular file: a pipe, a device, a socket."""
    try:
        mode = path.stat().st_mode
    except OSError:
        return False
    return not (stat.S_ISREG(mode) or stat.S_ISDIR(mode))


def check_picture(path: Path) -> None:
    """Refuse a picture that could not be written, before work begins.

    Raises:
        BadSetting: its name ends in no form of pictures that can be written.
        MissingData: there is no folder to write it into.
    """
    _form(path)
    folder = Path(os.path.realpath(path)).parent
    if not is_special(path) and not folder.is_dir():
        raise MissingData(f"There is no folder {folder} to write {path.name} into.")


def write_picture(figure: Figure, path: Path, **options: Any) -> None:
    """Write a figure in the form that the name of the file says; a pipe or a device gets a PNG."""
    form = _form(path)
    with named_file(path) as file:
        figure.savefig(file, format=form, metadata=NO_METADATA.get(form), **options)


def _form(path: Path) -> str:
    form = path.suffix.lower().removeprefix(".")
    if is_special(path) or _descriptor(path) is not None:
        return "png"
    if form not in PICTURES:
        known = ", ".join(f".{name}" for name in PICTURES)
        raise BadSetting(f"{path.name} is no picture's name: it must end in one of {known}.")
    return form


def _descriptor(path: Path) -> int | None:
    """Return the number of this process's open descriptor that a path stands for, if any.

    Opened by its path, standard output that is a file would be written from its beginning, over
    what has been printed.
    """
    place = path.absolute()
    for _ in range(_MOST_LINKS):
        if found := _DESCRIPTOR.fullmatch(str(place)):
            return int(found[1])
        if not place.is_symlink():
            return None
        place = place.parent / place.readlink()
    return None
