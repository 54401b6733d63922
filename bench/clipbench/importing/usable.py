"""The pairs of a set that can be used: what attacks, rates, training and exposures count on.

What can't be used is an error, or is left out and named, as ``--on-error`` says. Leaving out moves
nothing: shards stay as they are, and the set is opened without these pairs.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec
import numpy as np
import numpy.typing as npt

from clipbench.contracts import Progress, no_progress
from clipbench.errors import ClipbenchError, CorruptData, OnError
from clipbench.fetching.sources import expand
from clipbench.importing.pairs import refuse_left_out
from clipbench.importing.screen import Unusable, is_anothers, is_foreign, screen
from clipbench.shards import index as indexing
from clipbench.shards import manifest as manifests
from clipbench.shards import skipped
from clipbench.shards.opening import LeftKeys
from clipbench.shards.reader import ShardSet
from clipbench.shards.refusals import refuse_incomplete
from clipbench.shards.skipped import Skipped
from clipbench.system.durable import atomic_file

NAME = "left_out.jsonl"


@dataclass(frozen=True)
class UsablePairs:
    """A set with unusable pairs removed, and the list of removed pairs.

    Args:
        shards: the set.
        left_out: how many pairs were left out, by reason.
        full: the set with all complete pairs.
        unusable: those of them that are left out.
        imported: lists of what was left out when the set, or a part of it, was imported.
    """

    shards: ShardSet
    left_out: Mapping[str, int]
    full: ShardSet
    unusable: tuple[Unusable, ...] = ()
    imported: tuple[Path, ...] = ()

    def lines(self) -> Iterator[Skipped]:
        """Yield everything that was left out."""
        for path in self.imported:
            yield from skipped.lines(path)
        for one in self.full.incomplete:
            shard = str(self.full.shards[one.shard].path)
            yield Skipped(one.key, shard, f"{one.missing} missing", one.found)
        for pair in self.unusable:
            shard = str(self.full.shards[self.full.shard_of(pair.pair)].path)
            yield Skipped(self.full.key(pair.pair), shard, pair.reason, pair.detail)

    def write_names(self, path: Path) -> None:
        """Write what was left out to a file, a line each; no file where nothing was."""
        if self.left_out:
            with atomic_file(path) as file:
                for line in self.lines():
                    file.write(json.dumps(msgspec.to_builtins(line)).encode() + b"\n")

    def summary(self) -> str:
        """Return the counts in words."""
        return skipped.summary(self.left_out)


def caption_field_of(source: object) -> str | None:
    """Return the JSON field that a training source has its captions in; None: ``KEY.txt``."""
    field = getattr(source, "caption_field", None)
    return field if isinstance(field, str) else None


def open_usable(
    source: str | Path,
    cache: Path,
    *,
    caption_field: str | None = None,
    on_error: OnError = "fail",
    workers: int | None = None,
    progress: Progress = no_progress,
) -> UsablePairs:
    """Open a set without the pairs that can't be used.

    Args:
        source: what `ShardSet.open` takes.
        cache: for indexes, and for what is known of shards that were screened before.
        caption_field: field of the JSON that holds captions; None: they are in ``KEY.txt``.
        on_error: whether such pairs are left out, or an error.
        workers: processes that screen; 0: this one; None: one a processor.
        progress: told about indexing and screening.

    Raises:
        MissingData: a shard is not there.
        CorruptData: a shard is damaged; a pair can't be used and `on_error` is ``fail``; or no pair
            can be used.
    """
    full = ShardSet.open(
        source,
        cache / "index",
        progress,
        caption_field=caption_field,
        on_incomplete=on_error,
    )
    imported = _imported([shard.path for shard in full.shards], foreign=is_foreign(full))
    if imported and on_error == "fail":
        refuse_left_out(next(iter(imported)))
    lists = tuple(folder / skipped.NAME for folder in imported)
    before = _summed(imported.values())
    if not is_foreign(full):
        return UsablePairs(full, dict(before), full, imported=lists)
    found = tuple(screen(full, cache / "screened", workers=workers, progress=progress))
    if found and on_error == "fail":
        raise CorruptData(_refusal(full, found))
    counts = Counter(f"{one.missing} missing" for one in full.incomplete)
    counts.update(one.reason for one in found)
    left_out = dict(sorted((before + counts).items()))
    if not counts:
        return UsablePairs(full, left_out, full, imported=lists)
    view = without(full, [one.pair for one in found], cache / "views")
    return UsablePairs(view, left_out, full, found, lists)


def known_left_out(
    source: str | Path, cache: Path, *, caption_field: str | None = None, on_error: OnError = "fail"
) -> Mapping[str, int]:
    """Return what an import left out of a set, by reason, before any of it is read.

    Args:
        source: what `ShardSet.open` takes.
        cache: for indexes, of which none is made.
        caption_field: field of the JSON that holds captions; None: they are in ``KEY.txt``.
        on_error: whether pairs that can't be used are left out, or an error.

    Raises:
        MissingData: a shard is not there.
        CorruptData: an import left out pairs, or the index has incomplete ones, and `on_error` is
            ``fail``.
    """
    paths = expand(source)
    manifest = manifests.of_shards(paths, whole_folder=False)
    imported = _imported(paths, foreign=is_anothers(manifest))
    if on_error == "skip":
        return _summed(imported.values())
    for folder in imported:
        refuse_left_out(folder)
    folders = indexing.cache_folders(paths, cache / "index")
    if (stored := indexing.load(paths, folders, caption_field)) is not None:
        refuse_incomplete(stored.incomplete, paths)
    return {}


def is_unscreened(source: str | Path) -> bool:
    """Return whether a set, or a part of it, is not of clipbench, so that pairs may be unusable.

    Args:
        source: what `ShardSet.open` takes.
    """
    return is_anothers(manifests.of_shards(expand(source), whole_folder=False))


def _summed(imported: Iterable[skipped.Stats]) -> Counter[str]:
    """Return what several imports left out, by reason, in the order of the reasons."""
    found = Counter[str]()
    for stats in imported:
        found.update(stats.left_out)
    return Counter(dict(sorted(found.items())))


def _imported(paths: Sequence[Path], *, foreign: bool) -> dict[Path, skipped.Stats]:
    """Return the counts of what was left out when a set was imported, or sets that are joined.

    Of a folder of which only some shards are named, nobody knows what was left out of these.
    """
    found = dict[Path, skipped.Stats]()
    for folder, count in Counter(path.parent for path in paths).items():
        is_whole = count == sum(1 for _ in folder.glob("*.tar"))
        if (is_whole or not foreign) and (stats := skipped.read_stats(folder)):
            found[folder] = stats
    return found


def _refusal(shards: ShardSet, found: Sequence[Unusable]) -> str:
    one = found[0]
    more = f" ({len(found) - 1:,} more pairs can't be used)" if len(found) > 1 else ""
    what = "Image" if "image" in one.reason else "Pair"
    return (
        f"{what} of {shards.where(one.pair)} can't be used, {one.reason}: {one.detail}{more}."
        " Fetch the shard again, remove the key, or leave out such pairs with --on-error skip."
    )


def without(full: ShardSet, pairs: Sequence[int], cache: Path | None) -> ShardSet:
    """Return a set without some pairs, and without shards that are left with none.

    Args:
        full: the set.
        pairs: numbers of the pairs that are left out, beside those that are incomplete.
        cache: folder for the index of what is left; None: it is kept in memory.
    """
    keep = np.ones(len(full), bool)
    keep[list(pairs)] = False
    incomplete: dict[int, list[bytes]] = {}
    for one in full.incomplete:
        incomplete.setdefault(one.shard, []).append(one.key.encode(errors="surrogateescape"))
    paths, stamps, spans = list[Path](), list[indexing.Stamp](), list[slice]()
    left: dict[int, LeftKeys] = {}
    names = indexing.shard_names([shard.path for shard in full.shards])
    for number, shard in enumerate(full.shards):
        span = slice(shard.first, shard.first + shard.num_pairs)
        kept = keep[span]
        if not kept.any():
            continue
        away = full.index["key"][span][~kept].tolist()
        before = full.left_out.get(number)  # where the set is itself one without some pairs
        keys = frozenset([*away, *incomplete.get(number, []), *(before.keys if before else ())])
        if keys:
            digest = hashlib.sha256(b"\n".join(sorted(keys))).hexdigest()
            complete = len(away) + (before.complete if before else 0)
            left[len(paths)] = LeftKeys(keys, complete, digest)
        spans.append(span)
        paths.append(shard.path)
        count = int(kept.sum())
        stamps.append(indexing.Stamp(names[number], shard.size, shard.mtime_ns, count))
    if not paths:
        raise CorruptData(f"{full.source} has no usable pair; give other shards.")
    parts = _Rows(full.index, keep, spans)
    stored = None if cache is None else _stored(full, parts, stamps, left, cache)
    return ShardSet(
        full.source,
        paths,
        stored or (indexing.join(parts), stamps),
        full.cache,
        caption_field=full.caption_field,
        left_out=left,
    )


@dataclass(frozen=True)
class _Rows:
    """The rows that are left of an index, shard by shard; one shard's at a time is in memory.

    Args:
        index: of the whole set.
        keep: ``(N,)`` which of its rows are left.
        spans: the rows of each shard of which any is left.
    """

    index: indexing.Index
    keep: npt.NDArray[np.bool_]
    spans: Sequence[slice]

    def __iter__(self) -> Iterator[indexing.Index]:
        """Yield the rows of each shard, under its new number."""
        for number, span in enumerate(self.spans):
            part = self.index[span][self.keep[span]]
            part["shard"] = number
            yield part


def _stored(
    full: ShardSet,
    parts: _Rows,
    stamps: Sequence[indexing.Stamp],
    left: Mapping[int, LeftKeys],
    cache: Path,
) -> indexing.Stored | None:
    """Put the index of a view into a file, so that worker processes map it; None if it can't be."""
    # Hashes, for a poisoned shard has name, time and perhaps size of its clean form.
    what: list[object] = [full.caption_field, [vars(stamp) for stamp in stamps], full.hashes()]
    what += [[number, one.digest] for number, one in left.items()]
    name = hashlib.sha256(json.dumps(what).encode()).hexdigest()[:16]
    path = cache / f"{name}.bin"
    stored = indexing.read_index(path) if path.is_file() else None
    if (
        stored is not None
        and list(stored.stamps) == list(stamps)
        and len(stored.index) == sum(stamp.num_pairs for stamp in stamps)
    ):
        return stored
    try:
        cache.mkdir(parents=True, exist_ok=True)
        indexing.write(path, parts, stamps)
    except (OSError, ClipbenchError):  # read-only or full: the index stays in memory
        return None
    return indexing.read_index(path)
