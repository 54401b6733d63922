"""From what a user types to a list of shard files."""

from __future__ import annotations

import itertools
import os
import re
from pathlib import Path

import braceexpand

from clipbench.errors import BadSetting, MissingData
from clipbench.text.locations import split

_IMAGES = frozenset({".bmp", ".gif", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp"})
_A_LOOK = 200  # entries of a folder; there may be millions
_PACKED = re.compile(r"\.(tar\.(gz|bz2|xz|zst|lz4|z)|tgz|tbz2?|txz)$", re.IGNORECASE)
_REMOTE = re.compile(r"^(pipe:|[a-z][a-z0-9+.-]*://)", re.IGNORECASE)


def expand(source: str | Path) -> list[Path]:
    """Return the shards that `source` names, in order.

    Args:
        source: a folder (its ``*.tar`` in order of name), a tar, a brace pattern, or several of
            these joined by ``::``.

    Raises:
        BadSetting: a part is remote, or its braces don't match.
        MissingData: a part is not there, or a folder without tars.
    """
    parts = [source] if isinstance(source, Path) else split(source)
    paths = [path for part in parts for path in _expand_part(part)]
    seen: dict[str, Path] = {}
    folders: dict[Path, str] = {}  # without links and dots: of many shards there are few
    for path in paths:
        if path.parent not in folders:
            folders[path.parent] = os.path.realpath(path.parent)
        real = os.path.join(folders[path.parent], path.name)  # noqa: PTH118 - for thousands
        before = seen.setdefault(os.path.realpath(real) if path.is_symlink() else real, path)
        if before is not path:
            also = "" if before == path else f", also as {before}"
            raise BadSetting(f"Shard {path} is named twice in {source}{also}; name it once.")
    return paths


def _expand_part(part: str | Path) -> list[Path]:
    path = Path(part)
    try:
        if path.is_dir():
            return _in_folder(path)
        if path.is_file():
            return [path]
    except OSError as error:
        raise MissingData(f"{path} can't be read: {error.strerror}.") from error
    text = str(part)
    if not text:
        raise BadSetting("The source of shards has an empty part; give folders or tars.")
    if _REMOTE.match(text):
        raise BadSetting(
            f"{text} is remote, and pairs are read by number from local shards; give it as"
            " --data shards:path=..., which fetches it first."
        )
    try:
        names = list(braceexpand.braceexpand(text))
    except ValueError as error:
        raise BadSetting(f"The braces of {text} don't match ({error}).") from error
    for name in names:
        if not Path(name).is_file():
            raise MissingData(f"There is no shard or folder {name}; check the path.")
    return [Path(name) for name in names]


def _in_folder(folder: Path) -> list[Path]:
    try:
        names = sorted(path for path in folder.iterdir() if path.suffix == ".tar")
    except OSError as error:
        raise MissingData(f"Folder {folder} can't be read: {error.strerror}.") from error
    for path in names:
        if path.is_symlink() and not path.exists():
            raise MissingData(
                f"Shard {path} is a link to {path.readlink()}, where nothing is; mend or remove"
                " the link."
            )
    if names:
        return names
    if any((folder / "shards").glob("*.tar")):
        raise MissingData(f"Folder {folder} holds no tar; its shards are in {folder / 'shards'}.")
    if not any(folder.iterdir()):
        raise MissingData(f"Folder {folder} is empty; it must hold shards (*.tar).")
    raise MissingData(f"Folder {folder} holds no shards (*.tar); {_way_out(folder)}.")


def _way_out(folder: Path) -> str:
    """Return how a folder without shards may be given, after a look at a few of its files."""
    here = list(itertools.islice(folder.iterdir(), _A_LOOK))
    packed = next((path.name for path in here if _PACKED.search(path.name)), None)
    if packed is not None:
        return (
            f"unpack {packed} and its like, so that each is a .tar again: pairs are read by place"
        )
    folders = [path for path in here if path.is_dir()]
    paired = next((path for path in sorted(folders)[:3] if _has_pairs(path)), None)
    if paired is not None:
        return (
            f"images and captions lie as single files in folders such as {paired}, which the"
            " example paired_files reads (`clipbench example paired_files > FILE.py`, --data"
            f" FILE.py:folder={folder}); img2dataset writes shards with output_format=webdataset"
        )
    if any(_has_images(path) or any(map(_has_images, _some(path))) for path in folders[:3]):
        return (
            "if its folders are classes, give it as test images with --eval"
            f" torchvision:dataset=ImageFolder,root={folder}"
        )
    tables = [path for path in here if path.suffix.lower() in (".csv", ".tsv")]
    if tables:
        return f"give {tables[0]}, or {folder}/... as another data set (`clipbench list datasets`)"
    if any(path.suffix.lower() in _IMAGES for path in here):
        return (
            "images with captions in files beside them are read by the example paired_files"
            " (`clipbench example paired_files > FILE.py`, --data FILE.py:folder=...)"
        )
    return "check the path"


def _some(folder: Path) -> list[Path]:
    return list(itertools.islice((path for path in folder.iterdir() if path.is_dir()), 3))


def _has_pairs(folder: Path) -> bool:
    """Return whether an image lies in a folder with a text file of its name beside it."""
    names = sorted(itertools.islice(folder.iterdir(), _A_LOOK))
    images = {path.stem for path in names if path.suffix.lower() in _IMAGES}
    return any(path.suffix == ".txt" and path.stem in images for path in names)


def _has_images(folder: Path) -> bool:
    files = itertools.islice(folder.iterdir(), _A_LOOK) if folder.is_dir() else ()
    return any(path.suffix.lower() in _IMAGES for path in files)


def parts_of(folder: Path) -> tuple[Path, Path | None]:
    """Return the folder of shards and that of the ledger, of shards or of a poisoned set.

    A folder that holds shards itself has no ledger: what trains on it must not find one.
    """
    if any(folder.glob("*.tar")) or not (folder / "shards").is_dir():
        return folder, None
    ledger = folder / "ledger"
    return folder / "shards", ledger if ledger.is_dir() else None
