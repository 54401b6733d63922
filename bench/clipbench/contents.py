"""What files hold: their hashes, each computed once for a state of the file, and of many as one."""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from clipbench.contracts import Progress, no_progress
from clipbench.errors import ClipbenchError, MissingData
from clipbench.shards.files import read_json, sha256_file, write_json
from clipbench.shards.seal import is_sealed, seal

_SETTLED_NS = 2 * 10**9  # clocks of file systems are as coarse as that
_READ_HERE: dict[tuple[Any, ...], str] = {}  # by name and state, what was read afresh here


class HashMemory:
    """SHA-256 of files, remembered by the state of each: its size, time of change and number.

    The device is no part of the state: machines of one cluster give one file system different
    numbers, and would read everything again in turns. What is remembered carries a seal, for
    others could lay such a file beside theirs, and a byte of it may change.

    Args:
        places: files to remember them in, the best place first.
        progress: told about files that are read.
        what: what it is told.
        fresh: whether files are read whatever is remembered, once in this process.
    """

    def __init__(
        self,
        places: Sequence[Path],
        progress: Progress = no_progress,
        what: str = "hashing files",
        *,
        fresh: bool = False,
    ) -> None:
        self._places, self._progress, self._what = places, progress, what
        self._fresh = fresh

    def hashes(self, files: Sequence[tuple[str, Path]]) -> list[str]:
        """Return the hashes of files, each with the name that it is remembered by.

        Raises:
            MissingData: one can't be read.
        """
        known = self._recall()
        found, is_new = [], False
        for number, (name, path) in enumerate(files):
            try:
                status = path.stat()
            except OSError as error:
                raise MissingData(f"{path} can't be read: {error.strerror}.") from error
            state, old = _state(status), known.get(name)
            here = (os.path.abspath(path), *state)  # noqa: PTH100 - links are left as they are
            value = _READ_HERE.get(here) if self._fresh else None
            if not self._fresh and old is not None and old[:3] == state:
                value = str(old[3])
            if value is None:
                self._progress(self._what, number, len(files))
                value = sha256_file(path)
                is_settled = time.time_ns() - status.st_mtime_ns > _SETTLED_NS
                if is_settled and self._fresh:
                    _READ_HERE[here] = value
                if is_settled and old != [*state, value]:
                    known[name], is_new = [*state, value], True
            found.append(value)
        if is_new:
            self._progress(self._what, len(files), len(files))
            self._remember(known)
        return found

    def keep(self, files: Sequence[tuple[str, Path]], hashes: Sequence[str]) -> None:
        """Remember what whoever wrote these files knows of them, and nothing else."""
        pairs = zip(files, hashes, strict=True)
        self._remember({name: [*_state(path.stat()), value] for (name, path), value in pairs})

    def _recall(self) -> dict[str, list[Any]]:
        for place in self._places:
            try:
                content = read_json(place)
            except ClipbenchError:  # only a memory: what is lost is computed again
                continue
            if is_sealed([_text(content.get("hashes"))], content.get("seal")):
                return dict(content["hashes"])
        return {}

    def _remember(self, known: Mapping[str, list[Any]]) -> None:
        for place in self._places:
            try:
                place.parent.mkdir(parents=True, exist_ok=True)
                write_json(place, {"hashes": known, "seal": seal([_text(known)])}, sync=False)
            except (OSError, ClipbenchError):  # read-only or full: they can be computed again
                continue
            return


def _state(status: os.stat_result) -> list[int]:
    return [status.st_size, status.st_mtime_ns, status.st_ino]


def _text(known: object) -> bytes:
    return json.dumps(known, sort_keys=True).encode()


class FileHashes:
    """SHA-256 of any files.

    Args:
        cache: folder to remember them in.
        progress: told about files that are read.
        fresh: see `HashMemory`; for files that are about to be used.
    """

    def __init__(
        self, cache: Path, progress: Progress = no_progress, *, fresh: bool = False
    ) -> None:
        self._folder, self._progress, self._fresh = cache / "hashes", progress, fresh

    def of_file(self, path: Path) -> str:
        """Return the hash of one file.

        Raises:
            MissingData: it can't be read.
        """
        return self._hashes([path], path)[0]

    def of_files(self, files: Iterable[tuple[str, Path]], home: Path) -> str:
        """Return a hash of many files: over their names and hashes, in the order of names.

        Args:
            files: a name that does not depend on where the files lie, and the file.
            home: where they lie, by which they are remembered.

        Raises:
            MissingData: one can't be read.
        """
        listed = sorted(files)
        hashes = self._hashes([path for _, path in listed], home)
        lines = [f"{value}  {name}" for (name, _), value in zip(listed, hashes, strict=True)]
        return hashlib.sha256("\n".join(lines).encode(errors="surrogateescape")).hexdigest()

    def _hashes(self, paths: Sequence[Path], home: Path) -> list[str]:
        name = hashlib.sha256(os.fsencode(home.absolute())).hexdigest()[:24]
        memory = HashMemory([self._folder / f"{name}.json"], self._progress, fresh=self._fresh)
        # Names of any bytes, also of those that are no text.
        return memory.hashes([(json.dumps(str(path.absolute())), path) for path in paths])


def tree(folder: Path) -> Iterator[tuple[str, Path]]:
    """Yield the files below a folder by their paths in it, without hidden ones.

    Links are followed, but not in circles.
    """
    seen: set[str] = set()
    for where, folders, names in os.walk(folder, followlinks=True):
        real = os.path.realpath(where)
        if real in seen:
            folders.clear()
            continue
        seen.add(real)
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(names):
            path = Path(where, name)
            if not name.startswith(".") and path.is_file():
                yield path.relative_to(folder).as_posix(), path
