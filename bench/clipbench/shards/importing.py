"""Turn pairs that lie in files into shards: in parallel, resumable, and whatever the images are.

A source lists its pairs as entries: where the image is, and what the caption says. They are spooled
to one file first, so that a million of them take no memory and a worker finds its own; then every
shard is made from its own range of entries. An entry that can't be used leaves a gap in the keys
and a line in ``skipped.jsonl``; no other pair's key depends on it.
"""

from __future__ import annotations

import hashlib
import json
from array import array
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from clipbench.arrays import arrays_in
from clipbench.boundary.faults import Call, kind_of
from clipbench.contracts import Progress, no_progress
from clipbench.disk import may_pass, unreadable
from clipbench.durable import atomic_file, make_folder
from clipbench.errors import BadSetting, CorruptData
from clipbench.foreign import MOST_CAPTION, MOST_IMAGE, TooLarge, opened_regular, read_regular
from clipbench.settings import OnError
from clipbench.shards import manifest as manifests
from clipbench.shards import skipped
from clipbench.shards.files import is_vacant
from clipbench.shards.normalise import Box, UnusableImage, normalised
from clipbench.shards.reader import ShardSet
from clipbench.shards.shard_writer import LeftOut, Sample
from clipbench.shards.writer import remove_damaged, write_set
from clipbench.visible import has_visible

VERSION = 2  # raise it with every change that gives other shards for the same entries
HIDDEN = ".clipbench"  # folder in a set's folder, for what stays on this machine
_STATE = "imported.npy"
_MOST_STATE = 1 << 34  # bytes: of two billion pairs
_EVERY = 10_000  # entries between two reports


@dataclass(frozen=True)
class Entry:
    """A pair as its source lists it.

    Args:
        name: what the source calls it, for messages, e.g. ``row 17 of pairs.csv``.
        image: path of the file that holds the image.
        caption: its caption; None: there is none.
        box: the part of the image that is meant: left, top, width, height in pixels.
        span: offset and size of the image in its file; None: the whole file.
        metadata: further fields of the pair's JSON.
        problem: why it can't be used, where the source knows: a reason and details.
    """

    name: str
    image: str
    caption: str | None
    box: Box | None = None
    span: tuple[int, int] | None = None
    metadata: Mapping[str, Any] = field(default_factory=dict)
    problem: tuple[str, str] | None = None


class LooseSource(Protocol):
    """A training source whose pairs are listed one by one."""

    def entries(self) -> Iterable[Entry]:
        """Yield all pairs, the same in the same order whenever asked."""

    def identity(self) -> Mapping[str, Any]:
        """Return what decides the entries, e.g. parameters and hashes of annotation files."""


def import_set(
    source: LooseSource,
    folder: Path,
    *,
    name: str,
    image_size: int | None = None,
    on_error: OnError = "skip",
    workers: int | None = None,
    progress: Progress = no_progress,
    own: bool = False,
) -> ShardSet:
    """Write the pairs of a source as a folder of shards, or open the folder if it holds them.

    Args:
        source: lists the pairs.
        folder: the set's folder; it appears when everything is in it. A killed call of the same
            source goes on where it stopped.
        name: the set's name, for its manifest.
        image_size: the longest that the shorter side of an image may be; None: any.
        on_error: whether a pair that can't be used is left out, or ends the call.
        workers: processes; 0: this one; None: one a processor. The result does not depend on it.
        progress: told about entries listed and pairs written.
        own: whether the folder is one of the cache, see `write_set`.

    Raises:
        CorruptData: a pair can't be used and `on_error` is ``fail``; or no pair can be used.
        BadSetting: `folder` holds something else, or the source lists nothing.
    """
    wanted = {"import": VERSION, "image_size": image_size, **source.identity()}
    if own and _is_damaged(folder, name, wanted):
        remove_damaged(folder)
    if _is_finished(folder, name, wanted):
        if is_stale(source, folder):
            raise BadSetting(
                f"{folder} holds an import of files that have changed since, or of others that lie"
                " elsewhere; remove it, or choose another folder."
            )
    else:
        state = state_of(source)
        with _listed(source, folder, progress) as (listing, count):
            write_set(
                folder,
                count,
                _Make(listing, image_size, on_error),
                name=name,
                source=wanted,
                workers=workers,
                progress=progress,
                own=own,
            )
        make_folder(folder / HIDDEN)
        with atomic_file(folder / HIDDEN / _STATE) as file:
            np.save(file, state, allow_pickle=False)
    if on_error == "fail":
        refuse_left_out(folder)
    return ShardSet.open(folder)


def state_of(source: LooseSource) -> npt.NDArray[np.uint64]:
    """Return for each entry of a source what changes when its file does; 0: there is none.

    ``(entries,)``: of size, time of change and number of the file.
    """
    found = array("Q")
    for entry in source.entries():
        try:
            status = Path(entry.image).stat() if entry.image else None
        except (OSError, ValueError):  # it is not there; a name with a NUL is a ValueError
            status = None
        if status is None:
            found.append(0)
            continue
        stamp = f"{status.st_size} {status.st_mtime_ns} {status.st_ino}"
        found.append(int.from_bytes(hashlib.sha256(stamp.encode()).digest()[:8], "big") | 1)
    return np.frombuffer(found, np.uint64)


def is_stale(source: LooseSource, folder: Path) -> bool:
    """Tell whether a file that a set was imported from has changed, or come, since.

    Files that are gone do not count, for what they held is in the set. Of a set that an earlier
    clipbench imported, nobody knows; it is taken for what it was.
    """
    try:
        known = arrays_in(read_regular(folder / HIDDEN / _STATE), {"state": "u"}, single=True)[
            "state"
        ]
    except (OSError, ValueError):
        return False
    now = state_of(source)
    return len(now) != len(known) or bool(((now != known) & (now != 0)).any())


def refuse_left_out(folder: Path) -> None:
    """Raise CorruptData, naming the first pair, if pairs were left out of a set."""
    stats = skipped.read_stats(folder)
    if stats is not None:
        one = skipped.first(folder)
        raise CorruptData(
            f"Of {stats['count']:,} pairs {skipped.summary(stats)}; the first is {one['name']}:"
            f" {one['detail']}. All are named in {folder / skipped.NAME}; mend them and remove that"
            " folder, or leave them out with --on-error skip."
        )


def _is_damaged(folder: Path, name: str, source: Mapping[str, Any]) -> bool:
    try:
        _is_finished(folder, name, source)
    except CorruptData:
        return True
    return False


def _is_finished(folder: Path, name: str, source: Mapping[str, Any]) -> bool:
    if is_vacant(folder) or folder.with_name(f"{folder.name}.partial").exists():
        return False
    manifest = manifests.read(folder) if folder.is_dir() else None
    if manifest is None:
        raise BadSetting(
            f"{folder} exists but is no set written by clipbench; choose another folder."
        )
    made_of = {key: value for key, value in manifest["source"].items() if key != "images"}
    if (manifest["name"], made_of) != (name, manifests.plain(source, name)):
        raise BadSetting(f"{folder} holds another set; choose another folder or remove it.")
    for shard in manifests.records(manifest):
        path = folder / shard.name
        if not path.is_file() or path.stat().st_size != shard.bytes:
            raise CorruptData(f"Shard {path} is missing or cut off; remove {folder} to rewrite it.")
    return True


@contextmanager
def _listed(
    source: LooseSource, folder: Path, progress: Progress
) -> Iterator[tuple[_Listing, int]]:
    """Spool the entries of a source to a file beside `folder`; it is gone when all is done."""
    make_folder(folder.parent)
    lines = folder.with_name(f".{folder.name}.listing.jsonl")
    listing = _Listing(lines, lines.with_suffix(".npy"))
    offsets = array("Q", [0])
    with atomic_file(listing.lines) as file:
        for entry in source.entries():
            if not isinstance(entry, Entry):
                raise Call("dataset", source, "entries").broken(
                    f"it must yield an Entry a pair. Got {kind_of(entry)}."
                )
            text = json.dumps({**vars(entry), "metadata": dict(entry.metadata)}).encode()
            file.write(text + b"\n")
            offsets.append(offsets[-1] + len(text) + 1)
            if len(offsets) % _EVERY == 0:
                progress("listing pairs", len(offsets) - 1, 0)
    if len(offsets) == 1:
        listing.lines.unlink()
        raise BadSetting(f"The source of {folder.name} lists no pair; check its annotations.")
    with atomic_file(listing.offsets) as file:
        np.save(file, np.frombuffer(offsets, np.uint64), allow_pickle=False)
    yield listing, len(offsets) - 1
    # Not after an error: another process may be at work on the same set with the same listing.
    listing.lines.unlink(missing_ok=True)
    listing.offsets.unlink(missing_ok=True)


@dataclass(frozen=True)
class _Listing:
    """Spooled entries.

    Args:
        lines: an entry a line.
        offsets: where each line starts, and the end.
    """

    lines: Path
    offsets: Path

    def read(self, start: int, stop: int) -> Iterator[Entry]:
        """Yield entries start .. stop - 1."""
        at = np.load(self.offsets, mmap_mode="r", allow_pickle=False)
        with self.lines.open("rb") as file:
            file.seek(int(at[start]))
            for _ in range(start, stop):
                yield Entry(**json.loads(file.readline()))


@dataclass(frozen=True)
class _Make:
    """Makes the samples of a range of entries; travels to worker processes."""

    listing: _Listing
    image_size: int | None
    on_error: OnError

    def __call__(self, start: int, stop: int) -> Iterator[Sample | LeftOut]:
        """Yield a sample, or why there is none, for entries start .. stop - 1."""
        # Captions of one image often follow each other.
        last: tuple[object, Sample | UnusableImage | None] = (None, None)
        for entry in self.listing.read(start, stop):
            key = (entry.image, entry.span, entry.box)
            if entry.problem is not None:
                last = (None, UnusableImage(*entry.problem))
            elif last[0] != key:
                last = (key, _image_of(entry, self.image_size))
            made = last[1]
            assert made is not None
            sample = _with_caption(entry, made) if isinstance(made, Sample) else made
            if isinstance(sample, Sample):
                yield sample
                continue
            if self.on_error == "fail":
                raise CorruptData(
                    f"{entry.name} can't be used, {sample.reason}: {sample.detail}. Mend or remove"
                    " it, or leave out what can't be used with --on-error skip."
                )
            yield LeftOut(entry.name, sample.reason, sample.detail, entry.image)


def _image_of(entry: Entry, image_size: int | None) -> Sample | UnusableImage:
    """Return a sample without caption, or why there is none."""
    path = Path(entry.image)
    try:
        if entry.span is None:
            data = read_regular(path, MOST_IMAGE)
        else:
            with opened_regular(path) as file:
                file.seek(entry.span[0])
                data = file.read(entry.span[1])
    except FileNotFoundError:
        return UnusableImage("image missing", f"there is no file {path}")
    except TooLarge as error:
        return UnusableImage("image too large", f"{path}: {error}")
    except (OSError, ValueError) as error:  # a path with a NUL is a ValueError
        if isinstance(error, OSError) and may_pass(error):
            raise unreadable(path, error) from error
        reason = error.strerror if isinstance(error, OSError) else str(error)
        return UnusableImage("image unreadable", f"{path}: {reason}")
    try:
        image = normalised(data, image_size, None if entry.box is None else _box(entry.box))
    except UnusableImage as error:
        return UnusableImage(error.reason, f"{path}: {error.detail}")
    size = {"width": image.width, "height": image.height}
    return Sample(image.data, image.extension, "", size)


def _box(box: Iterable[int]) -> Box:
    left, top, width, height = box
    return left, top, width, height


def _with_caption(entry: Entry, image: Sample) -> Sample | UnusableImage:
    caption = entry.caption
    if caption is None:
        return UnusableImage("caption missing", "there is none")
    if not has_visible(caption):
        return UnusableImage("caption empty", "it has no visible character")
    try:
        size = len(caption.encode())
    except UnicodeEncodeError as error:
        return UnusableImage("caption not Unicode text", str(error))
    if size > MOST_CAPTION:
        return UnusableImage(
            "caption too long", f"it has {size:,} bytes, more than {MOST_CAPTION:,}"
        )
    return Sample(
        image.image, image.extension, caption, {**dict(entry.metadata), **dict(image.metadata)}
    )
