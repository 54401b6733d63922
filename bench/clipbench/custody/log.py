"""The log of what commands made and judged: lines of JSON, each with the hash of the one before.

An edited, removed, added or moved line breaks the chain, for everybody who has the file. What the
chain cannot show is that lines are missing at its end, or that all of it was written anew: for that
the file beside it holds the number and hash of the last line under this user's seal, see
`clipbench.files.seal`; and whoever kept a head (`clipbench log head`) can hold the log against it.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import IO

from clipbench.errors import BadSetting, ClipbenchError, MissingData
from clipbench.files.foreign import opened_regular, parsed, refuse_special
from clipbench.files.json_files import read_json, write_json
from clipbench.files.seal import is_sealed, seal
from clipbench.system.disk import is_full, no_space, unwritable
from clipbench.system.durable import make_folder
from clipbench.system.locks import NO_LOCKS

NAME = "audit.jsonl"
FIRST = "0" * 64  # stands for the hash before the first line
_LONGEST = 1 << 22  # bytes of a line that are read


@dataclass(frozen=True)
class Head:
    """The end of a log.

    Args:
        lines: how many there are.
        sha256: of the last one, in hex.
    """

    lines: int = 0
    sha256: str = FIRST

    @classmethod
    def of(cls, text: str) -> Head:
        """Return the head that `str` made a text of.

        Raises:
            BadSetting: it is none.
        """
        lines, _, digest = text.strip().partition(":")
        if not (lines.isdecimal() and len(digest) == 64 and set(digest) <= set("0123456789abcdef")):
            raise BadSetting(f"A head is LINES:SHA256, as `clipbench log head` says. Got {text!r}.")
        return cls(int(lines), digest)

    def __str__(self) -> str:
        return f"{self.lines}:{self.sha256}"


@dataclass(frozen=True)
class Line:
    """A line of a log as it was found.

    Args:
        number: where it stands, from 1.
        sha256: of its bytes, without the line's end.
        entry: what it says; None: no JSON object.
    """

    number: int
    sha256: str
    entry: Mapping[str, object] | None


@dataclass(frozen=True)
class Verdict:
    """What became of checking a log.

    Args:
        head: its end.
        broken: what was tampered with, a sentence each.
        open: what can't be decided here, a sentence each.
    """

    head: Head
    broken: Sequence[str]
    open: Sequence[str]


def append(path: Path, entry: Mapping[str, object]) -> Head:
    """Add a line to a log, and return the new end; processes that do so at once take turns.

    Args:
        path: the log; made where there is none.
        entry: what JSON can hold; number, time and hash of the line before are added.

    Raises:
        MissingData: it can't be written.
        ClipbenchError: the disk is full.
    """
    make_folder(path.parent)
    try:
        with _opened(path) as file, _locked(file):
            return _append(path, file, entry)
    except OSError as error:
        raise no_space(path, None) if is_full(error) else unwritable(path, error) from error


def _append(path: Path, file: IO[bytes], entry: Mapping[str, object]) -> Head:
    size = os.fstat(file.fileno()).st_size
    end, whole = Head(), 0
    told = _sealed_head(path)
    passed = told == Head()
    for line, stop in _lines(file):
        if stop is None:
            break
        end, whole = Head(line.number, line.sha256), stop
        passed |= end == told
    value: dict[str, object] = {
        "line": end.lines + 1,
        "time": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        **entry,
    }
    if whole < size:  # a command was killed while it wrote; what it did is not known
        value["cut_off"] = size - whole
        file.truncate(whole)
    if told is not None and not passed:  # for good: a later seal must not hide it
        value["expected"] = str(told)
    value["before"] = end.sha256
    text = json.dumps(value, ensure_ascii=True, allow_nan=False).encode()
    file.write(text + b"\n")
    file.flush()
    os.fsync(file.fileno())
    head = Head(end.lines + 1, hashlib.sha256(text).hexdigest())
    write_json(_beside(path), {"head": str(head), "seal": seal([str(head).encode()])})
    return head


def read(path: Path) -> list[Line]:
    """Return the lines of a log, the last one also if it is cut off.

    Raises:
        MissingData: there is none.
    """
    try:
        with opened_regular(path) as file:
            return [line for line, _ in _lines(file)]
    except OSError as error:
        raise MissingData(f"The log {path} can't be read: {error.strerror}.") from error


def verify(path: Path, kept: Head | None = None) -> Verdict:
    """Check a log.

    Args:
        path: the log.
        kept: an end that it had at some time, as somebody wrote it down.

    Raises:
        MissingData: there is none.
    """
    broken: list[str] = []
    unclear: list[str] = []
    lines = read(path)
    before = Head()
    ends = {str(before)}
    for line in lines:
        broken += _objections(line, before)
        before = Head(line.number, line.sha256)
        ends.add(str(before))
    if kept is not None and str(kept) not in ends:
        broken.append(f"line {kept.lines} is not the one of the head that was kept")
    told = _sealed_head(path)
    if told is None:
        if kept is None or kept.lines < before.lines:
            unclear.append(
                "the end is not sealed by this user, so nothing shows whether lines are missing"
                " there; compare it with a head that was kept (--head)"
            )
    elif str(told) not in ends:
        broken.append(f"there were {told.lines} lines when it was last written")
    elif told.lines < before.lines:
        unclear.append(
            f"the seal ends at line {told.lines}: a command was killed while it wrote the rest,"
            " or somebody else added it"
        )
    return Verdict(before, broken, unclear)


def _objections(line: Line, before: Head) -> Iterator[str]:
    entry = line.entry
    if entry is None:
        yield f"line {line.number} is no whole line of a log"
        return
    if entry.get("line") != line.number:
        yield f"line {line.number} says that it is line {str(entry.get('line'))[:20]}"
    if entry.get("before") != before.sha256:
        what = "it, or the one before, was changed, moved or removed"
        yield f"line {line.number} does not follow from what is before it: {what}"
    if "expected" in entry:
        yield f"at line {line.number} the log no longer had the end that it was left with"


def _lines(file: IO[bytes]) -> Iterator[tuple[Line, int | None]]:
    """Yield lines, and where each ends in the file; None: it is cut off."""
    file.seek(0)
    number, place = 0, 0
    while text := file.readline(_LONGEST):
        number, place = number + 1, place + len(text)
        whole = text.endswith(b"\n")
        digest = hashlib.sha256(text.rstrip(b"\n")).hexdigest()
        try:
            entry = parsed(text) if whole else None
        except ValueError:
            entry = None
        known = entry if isinstance(entry, dict) else None
        yield Line(number, digest, known), place if whole else None


def _beside(path: Path) -> Path:
    return path.with_name(f"{path.name}.seal")


def _sealed_head(path: Path) -> Head | None:
    """Return the end that this user's clipbench left; None: it left none."""
    try:
        told = read_json(_beside(path))
        head = Head.of(str(told["head"]))
    except (ClipbenchError, KeyError):
        return None
    return head if is_sealed([str(head).encode()], told.get("seal")) else None


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[IO[bytes]]:
    """Open a regular file for reading, and for adding to its end."""
    flags = os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY
    with os.fdopen(os.open(path, flags, 0o666), "a+b") as file:
        refuse_special(os.fstat(file.fileno()), path)
        yield file


@contextlib.contextmanager
def _locked(file: IO[bytes]) -> Iterator[None]:
    """Hold an open file against other processes, where the file system can."""
    import fcntl  # noqa: PLC0415  (POSIX only)

    try:
        fcntl.flock(file, fcntl.LOCK_EX)
    except OSError as error:
        if error.errno not in NO_LOCKS:
            raise
    yield  # closing the file lets go
