"""What files hold: their hashes, each computed once for a state of the file, and of many as one."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from clipbench.contracts import Progress, no_progress
from clipbench.errors import ClipbenchError, MissingData
from clipbench.files.json_files import read_json, sha256_file, write_json
from clipbench.files.seal import is_sealed, seal
from clipbench.files.walk import walk_once
from clipbench.system.processes import in_processes, is_elsewhere, is_spread

_SETTLED_NS = 2 * 10**9  # clocks of file systems are as coarse as that
_KEEP_EVERY_S = 5.0  # what is read, so that who is stopped goes on from there
_READ_HERE: dict[tuple[object, ...], str] = {}  # by name and state, what was read afresh here


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
        states = [_state(_status(path)) for _, path in files]
        found = [self._known(one, state, known) for one, state in zip(files, states, strict=True)]
        missing = [number for number, value in enumerate(found) if value is None]
        is_new, kept = False, time.monotonic()
        for done, (number, value) in enumerate(self._read(files, missing, states)):
            self._progress(self._what, len(files) - len(missing) + done + 1, len(files))
            found[number] = value
            (name, path), state = files[number], states[number]
            is_settled = time.time_ns() - state[1] > _SETTLED_NS
            if is_settled and self._fresh:
                _READ_HERE[_here(path, state)] = value
            if is_settled and known.get(name) != [*state, value]:
                known[name], is_new = [*state, value], True
            if is_new and time.monotonic() - kept > _KEEP_EVERY_S:
                self._remember(known)
                is_new, kept = False, time.monotonic()
        if is_new:
            self._remember(known)
        if missing and not self._fresh:
            self._drop_parts()
        return [str(value) for value in found]

    def _known(
        self, file: tuple[str, Path], state: list[int], known: Mapping[str, list[object]]
    ) -> str | None:
        """Return the hash of a file as it is, where it is remembered."""
        name, path = file
        if self._fresh:
            return _READ_HERE.get(_here(path, state))
        old = known.get(name)
        return str(old[3]) if old is not None and old[:3] == state else None

    def _read(
        self, files: Sequence[tuple[str, Path]], missing: Sequence[int], states: Sequence[list[int]]
    ) -> Iterator[tuple[int, str]]:
        """Yield number and hash of files that must be read, as they are done."""
        is_kept = is_elsewhere() and not self._fresh
        plan = _Reading(tuple(files), tuple(self._places) if is_kept else ())
        if missing:
            self._progress(self._what, len(files) - len(missing), len(files))
        workers = None if is_spread(sum(states[number][0] for number in missing)) else 0
        return in_processes(_read_one, plan, missing, workers)

    def keep(self, files: Sequence[tuple[str, Path]], hashes: Sequence[str]) -> None:
        """Remember what whoever wrote these files knows of them, and nothing else."""
        pairs = zip(files, hashes, strict=True)
        self._remember({name: [*_state(path.stat()), value] for (name, path), value in pairs})

    def _recall(self) -> dict[str, list[object]]:
        """Return what is remembered, with what tasks left of which one was killed."""
        known: dict[str, list[object]] = {}
        for place in reversed(self._places):
            for file in [*sorted(_parts_of(place).glob("*.json")), place]:
                known.update(_recalled(file))
        return known

    def _drop_parts(self) -> None:
        for place in self._places:
            shutil.rmtree(_parts_of(place), ignore_errors=True)

    def _remember(self, known: Mapping[str, list[object]]) -> None:
        for place in self._places:
            try:
                place.parent.mkdir(parents=True, exist_ok=True)
                write_json(place, {"hashes": known, "seal": seal([_text(known)])}, sync=False)
            except (OSError, ClipbenchError):  # read-only or full: they can be computed again
                continue
            return


@dataclass(frozen=True)
class _Reading:
    """Files that are hashed, and where each hash is kept at once, by whatever process; (): not."""

    files: tuple[tuple[str, Path], ...]
    places: tuple[Path, ...]


def _read_one(plan: _Reading, number: int) -> tuple[int, str]:
    name, path = plan.files[number]
    digest = hashlib.sha256(name.encode()).hexdigest()[:24]
    places = [_parts_of(place) / f"{digest}.json" for place in plan.places]
    if not places:
        return number, sha256_file(path)
    return number, HashMemory(places).hashes([(name, path)])[0]


def _parts_of(place: Path) -> Path:
    """Return the folder for hashes of single files, a file each, until `place` has them all."""
    return place.with_suffix(".parts")


def _recalled(file: Path) -> dict[str, list[object]]:
    try:
        content = read_json(file)
    except ClipbenchError:  # only a memory: what is lost is computed again
        return {}
    hashes = content.get("hashes")
    is_ours = is_sealed([_text(hashes)], content.get("seal"))
    return dict(hashes) if is_ours and isinstance(hashes, dict) else {}


def _status(path: Path) -> os.stat_result:
    try:
        return path.stat()
    except OSError as error:
        raise MissingData(f"{path} can't be read: {error.strerror}.") from error


def _here(path: Path, state: Sequence[int]) -> tuple[object, ...]:
    return (os.path.abspath(path), *state)  # noqa: PTH100 - links are left as they are


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
    for where, _, names in walk_once(folder):
        for name in names:
            path = Path(where, name)
            if not name.startswith(".") and path.is_file():
                yield path.relative_to(folder).as_posix(), path
