"""What files hold: their hashes, each computed once for a state of the file, and of many as one."""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

from clipbench.contracts import Progress, no_progress
from clipbench.errors import ClipbenchError, MissingData
from clipbench.shards.files import read_json, sha256_file, write_json

_SETTLED_NS = 2 * 10**9  # clocks of file systems are as coarse as that


class FileHashes:
    """SHA-256 of files; a file of the same size, time of change and number is not read again.

    Args:
        cache: folder to remember them in.
        progress: told about files that are read.
    """

    def __init__(self, cache: Path, progress: Progress = no_progress) -> None:
        self._folder, self._progress = cache / "hashes", progress

    def of_file(self, path: Path) -> str:
        """Return the hash of one file.

        Raises:
            MissingData: it can't be read.
        """
        return next(iter(self._hashes([path], path)))

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

    def _hashes(self, paths: list[Path], home: Path) -> list[str]:
        name = hashlib.sha256(os.fsencode(home.absolute())).hexdigest()[:24]
        memory = self._folder / f"{name}.json"
        try:
            known = read_json(memory)
        except ClipbenchError:  # only a memory: what is lost is computed again
            known = {}
        found, fresh = [], False
        for number, path in enumerate(paths):
            try:
                status = path.stat()
            except OSError as error:
                raise MissingData(f"{path} can't be read: {error.strerror}.") from error
            stamp = [status.st_size, status.st_mtime_ns, status.st_ino]
            key = json.dumps(str(path.absolute()))  # of any name, also of one that is no text
            old = known.get(key)
            if not (isinstance(old, list) and len(old) == 4 and old[:3] == stamp):
                self._progress("hashing files", number, len(paths))
                old = [*stamp, sha256_file(path)]
                if time.time_ns() - status.st_mtime_ns > _SETTLED_NS:
                    known[key], fresh = old, True
            found.append(str(old[3]))
        if fresh:
            self._progress("hashing files", len(paths), len(paths))
            self._remember(memory, known)
        return found

    def _remember(self, memory: Path, known: dict[str, object]) -> None:
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            write_json(memory, known, indent=None, sync=False)
        except (OSError, ClipbenchError):  # read-only or full: they can be computed again
            return


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
