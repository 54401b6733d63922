"""What every set of shards must hold: its manifest, sizes, keys and captions are checked."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from clipbench.contracts import Progress
from clipbench.errors import ClipbenchError
from clipbench.files.json_files import read_json, sha256_file
from clipbench.files.typed import Object, items, table
from clipbench.importing.screen import is_foreign
from clipbench.shards import manifest as manifests
from clipbench.shards.reader import ShardSet
from clipbench.text.words import counted, listed
from clipbench.verification import traces


@dataclass(frozen=True)
class Check:
    """One thing that was checked, and what was found.

    Args:
        name: what was checked.
        passed: whether nothing speaks against it.
        message: what was found.
        is_note: whether it could not be checked, which is no fault.
        is_open: whether nobody can tell here, so that it is neither passed nor failed.
    """

    name: str
    passed: bool
    message: str
    is_note: bool = False
    is_open: bool = False

    @classmethod
    def of(cls, name: str, problems: Sequence[str], well: str) -> Check:
        """Return a check: failed with its first problem, or passed with what was seen."""
        more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
        return cls(name, not problems, f"{problems[0]}{more}" if problems else well)

    @classmethod
    def undecided(cls, name: str, why: str) -> Check:
        """Return a check that cannot be decided here."""
        return cls(name, passed=True, message=why, is_open=True)


def fresh_hashes(
    shards: ShardSet, progress: Progress, known: Mapping[tuple[int, int], str] | None = None
) -> list[str]:
    """Return the SHA-256 of every shard as it is now, whatever is known of it.

    Args:
        shards: the set.
        progress: told about every shard.
        known: hashes that were computed just now, by device and number of the file: of a poisoned
            set, many shards are links to the clean ones.
    """
    hashes = []
    for number, shard in enumerate(shards.shards):
        progress("hashing shards", number, len(shards.shards))
        hashes.append((known or {}).get(file_number(shard.path)) or sha256_file(shard.path))
    progress("hashing shards", len(shards.shards), len(shards.shards))
    return hashes


def file_number(path: Path) -> tuple[int, int]:
    """Return device and number of a file, which all links to it share."""
    status = path.stat()
    return status.st_dev, status.st_ino


def set_checks(
    folder: Path, shards: ShardSet, hashes: Sequence[str], *, described: bool = False
) -> Iterator[Check]:
    """Yield the checks of a set.

    Args:
        folder: where it lies.
        shards: the set, opened from its shards alone.
        hashes: the SHA-256 of every shard.
        described: whether its description must be there, as beside a ledger; else a set of another
            program need have none.
    """
    well = f"{counted(len(shards), 'pair')} in {counted(len(shards.shards), 'shard')}"
    left = sum(len(one.keys) for one in shards.left_out.values())
    how = f"beside {counted(left, 'key')} that can't be used" if left else "all complete"
    yield Check.of("pairs", [], f"{well}, {how}")
    described = described or (folder / manifests.NAME).exists()
    if described:
        manifest = list(_manifest_problems(folder, shards, hashes))
        yield Check.of("manifest", manifest, "hashes and counts agree")
    else:
        message = f"not written by clipbench (no {manifests.NAME}): hashes not checked"
        yield Check("manifest", passed=True, message=message, is_note=True)
    yield _size_check(folder, shards, described=described)
    unique = "unique in each shard" if manifests.is_joined(folder) else "unique"
    yield Check.of("keys", list(_key_problems(shards)), f"{unique} and well formed")
    yield Check.of("captions", list(_caption_problems(shards)), "all readable")
    yield Check.of("folder", traces.in_folder(folder), "shards and their description only")


def _manifest_problems(folder: Path, shards: ShardSet, hashes: Sequence[str]) -> Iterator[str]:
    manifest = shards.manifest
    if manifest is None:
        yield f"{folder / manifests.NAME} is missing or lists other shards"
        return
    all_shards = zip(shards.shards, manifest.shards, hashes, strict=True)
    for number, (shard, record, digest) in enumerate(all_shards):
        if record.sha256 != digest or record.bytes != shard.size:
            yield f"{shard.path} has sha256 {digest[:12]}, not {record.sha256[:12]}"
        if record.num_pairs != _complete(shards, number):
            yield f"{shard.path} holds {_complete(shards, number)} pairs, not {record.num_pairs}"


def _size_check(folder: Path, shards: ShardSet, *, described: bool) -> Check:
    """Return the check of the files that tell how many pairs are in each shard."""
    readers: dict[str, Callable[[Object], Object]] = {"sizes.json": dict, "_info.json": _lengths}
    there = {name: read for name, read in readers.items() if described or (folder / name).exists()}
    if not there:
        return Check("sizes", passed=True, message="no sizes.json: not checked", is_note=True)
    counts = {
        shard.path.name: _complete(shards, number) for number, shard in enumerate(shards.shards)
    }
    problems = []
    for name, read in there.items():
        try:
            if read(read_json(folder / name)) != counts:
                problems.append(f"{folder / name} does not give the pairs of each shard")
        except (ClipbenchError, KeyError, TypeError, ValueError) as error:
            problems.append(f"{name} can't be read: {error}")
    return Check.of("sizes", problems, f"the counts of {listed(there)} hold")


def _lengths(info: Object) -> Object:
    split = table(table(info["splits"])["train"])
    names = map(str, items(split["filenames"]))
    return dict(zip(names, items(split["shard_lengths"]), strict=True))


def _key_problems(shards: ShardSet) -> Iterator[str]:
    # Their being unique was seen by `scan`. Names that other programs gave need be no UTF-8.
    form = "replace" if is_foreign(shards) else "strict"
    for key in shards.index["key"].tolist():
        try:
            if not key.decode(errors=form).isprintable():
                yield f"key {key!r} holds control characters"
        except UnicodeDecodeError:
            yield f"key {key!r} is not UTF-8"


def _caption_problems(shards: ShardSet) -> Iterator[str]:
    try:
        shards.captions()
    except ClipbenchError as error:
        yield str(error)


def _complete(shards: ShardSet, number: int) -> int:
    """Return how many complete pairs a shard holds, those left out included."""
    left = shards.left_out.get(number)
    return shards.shards[number].num_pairs + (0 if left is None else left.complete)
