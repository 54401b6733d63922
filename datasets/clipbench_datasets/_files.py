"""Files and folders that parameters and lists name: they must be there, and be what they should."""

from __future__ import annotations

import functools
import os
from pathlib import Path

from clipbench.errors import BadSetting, MissingData

READ = frozenset({".jpeg", ".jpg", ".png", ".webp"})  # suffixes of images that are read as they are
IMAGES = READ | {".bmp", ".gif", ".tif", ".tiff"}  # of those that an import reads


def require_file(path: Path, what: str) -> Path:
    """Return `path` if it is a file.

    Args:
        path: what was given.
        what: what it should be, for messages.

    Raises:
        MissingData: there is nothing.
        BadSetting: it is something else.
    """
    return _require(path, what, "file", path.is_file())


def require_folder(path: Path, what: str) -> Path:
    """Return `path` if it is a folder.

    Args:
        path: what was given.
        what: what it should be, for messages.

    Raises:
        MissingData: there is nothing.
        BadSetting: it is something else.
    """
    return _require(path, what, "folder", path.is_dir())


def _require(path: Path, what: str, kind: str, is_so: bool) -> Path:
    if is_so:
        return path
    if path.exists():
        raise BadSetting(f"{path.absolute()} is no {kind}; it must be the {what}.")
    raise MissingData(f"There is no {what} {path.absolute()}; check the path.")


def require_images(folder: Path, what: str) -> Path:
    """Return `folder` if images lie in it.

    Args:
        folder: what was given.
        what: what it should be, for messages.

    Raises:
        MissingData: it is not there, or no image lies in it, but perhaps in a folder in it.
        BadSetting: it is no folder.
    """
    require_folder(folder, what)
    with os.scandir(folder) as entries:
        has_any = any(Path(entry.name).suffix.lower() in IMAGES for entry in entries)
    if not has_any:
        inner = sorted(path.name for path in folder.iterdir() if path.is_dir())[:3]
        lead = f" but the folders {', '.join(inner)}" if inner else ""
        raise MissingData(
            f"The {what} {folder.absolute()} has no image (.jpg) in it{lead}; name the folder that"
            " has them."
        )
    return folder


def path_in(folder: Path, name: str) -> str | None:
    """Return the path of a file that a list names, or None where it is not below `folder`.

    Lists come from strangers: none may name a file outside the folder that was given. An absolute
    name is outside, unless it is spelled as below the folder.
    """
    if not name or "\0" in name:
        return None
    path = os.path.normpath(folder / name)
    return path if Path(path).is_relative_to(os.path.normpath(folder)) else None


def leads_out(folder: Path, path: str) -> bool:
    """Return whether a file below `folder` is, by a link, one that lies elsewhere."""
    place, name = os.path.split(path)
    real = os.path.join(_real(place), name)  # noqa: PTH118 - for a million names
    if os.path.islink(real):  # noqa: PTH114 - likewise
        real = os.path.realpath(real)
    return not Path(real).is_relative_to(_real(str(folder)))


@functools.lru_cache(maxsize=1 << 12)
def _real(folder: str) -> str:
    """Return a folder without links; one has many files."""
    return os.path.realpath(folder)


def is_file(path: str) -> bool:
    """Return whether a name that a list gives is a file; it may be too long for any."""
    try:
        return Path(path).is_file()
    except (OSError, ValueError):
        return False
