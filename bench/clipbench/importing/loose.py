"""A training source whose pairs lie in single files: all that such sources have in common.

A data set derives from `LooseTraining` and says what its pairs are, `entries`, and what decides
them, `identity`. Then ``clipbench data import`` takes it, and so does every command as ``--data``.
"""

from __future__ import annotations

import functools
import hashlib
import inspect
import re
import warnings
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Protocol, TypeVar

from clipbench.contracts import Plugin, Progress, Recipe, no_progress
from clipbench.importing.entries import Entry
from clipbench.importing.pairs import import_set
from clipbench.importing.staleness import is_stale
from clipbench.plugins import registry
from clipbench.text.locations import location_fields, texts

Self = TypeVar("Self")
_LATER = re.compile(r"[0-9a-f]{16}-(\d{1,9})")  # of an import of files that had changed


class _Listed(Protocol):
    """What `LooseTraining` needs of the dataclass that derives from it."""

    def __hash__(self) -> int: ...

    def entries(self) -> Iterable[Entry]: ...

    def identity(self) -> Mapping[str, object]: ...


class LooseTraining(Plugin):
    """A training source whose pairs lie in single files; a frozen dataclass derives from it.

    It must have the methods of `clipbench.importing.pairs.LooseSource`, and may have a field
    ``image_size``, the longest that the shorter side of a stored image may be.
    """

    def with_pairs(self: Self, minimum: int) -> Self:  # noqa: ARG002
        """Return this source: its size is given."""
        return self

    def num_pairs(self: _Listed) -> int:
        """Return how many pairs are listed; what can't be used is found only when it is read."""
        return _count(self, _stamp(self))

    def prepare(self: _Listed, cache: Path, progress: Progress = no_progress) -> Path:
        """Return the folder of shards under `cache`, made if it is not there yet.

        What can't be used is left out, and named in ``skipped.jsonl``; the caller decides whether
        that is an error. Once such a file was mended, or the picture in any other has changed, the
        set is imported again, into a folder of its own: training runs may be reading the one
        before.
        """
        name, image_size = _name_of(self), getattr(self, "image_size", None)
        last = _last(self, cache)
        wanted = _current(self, last)
        if wanted != last:
            warnings.warn(
                f"files that {last} was imported from have changed; they are imported again, into"
                f" {wanted}. Remove the first when no training reads it",
                stacklevel=2,
            )
        import_set(self, wanted, name=name, image_size=image_size, progress=progress, own=True)
        return wanted

    def prepared(self: _Listed, cache: Path) -> Path | None:
        """Return the folder of shards if it is there, of the files as they are now; else None."""
        folder = _current(self, _last(self, cache))
        there = folder.is_dir() and not folder.with_name(f"{folder.name}.partial").exists()
        return folder if there else None

    def synonyms(self) -> Mapping[str, Sequence[str]]:
        """Return none; text augmentation then swaps, drops and repeats words."""
        return {}

    def recipe(self) -> Recipe:
        """Return nothing: the defaults of all settings hold."""
        return Recipe()


def _current(source: _Listed, last: Path) -> Path:
    """Return the folder of the import of a source's files as they are now, there or to be made."""
    if last.is_dir() and is_stale(source, last, getattr(source, "image_size", None)):
        base, _, number = last.name.partition("-")
        return last.with_name(f"{base}-{int(number or 1) + 1}")
    return last


def _last(source: _Listed, cache: Path) -> Path:
    """Return the folder of the last import of a source that was finished, or else of the first."""
    first = _folder(source, cache)
    found = {
        int(match[1]): path
        for path in first.parent.glob(f"{first.name}-*")
        if (match := _LATER.fullmatch(path.name)) and path.is_dir()
    }
    return found[max(found)] if found else first


def _folder(source: _Listed, cache: Path) -> Path:
    """Return where the import of a source goes."""
    places = {
        name: [str(Path(text).absolute()) for text in texts(getattr(source, name))]
        for name in location_fields(type(source))
    }
    size = getattr(source, "image_size", None)
    text = repr(sorted({**source.identity(), "image_size": size, "places": places}.items()))
    return cache / _name_of(source) / hashlib.sha256(text.encode()).hexdigest()[:16]


def _name_of(source: object) -> str:
    """Return the name of a source's sets: that of its file, as the plugin's is."""
    return Path(inspect.getfile(type(source))).stem


def _stamp(source: object) -> tuple[tuple[str, int, int], ...]:
    """Return what changes when a file or folder that a source's parameters name does."""
    stamps = []
    for value in registry.spec_of(source).values():
        if isinstance(value, str) and Path(value).exists():
            status = Path(value).stat()
            stamps.append((value, status.st_size, status.st_mtime_ns))
    return tuple(stamps)


@functools.lru_cache(maxsize=16)
def _count(source: _Listed, stamp: object) -> int:  # noqa: ARG001
    return sum(1 for _ in source.entries())
