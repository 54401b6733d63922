"""Sets opened from their shards alone: no index and no hash that was kept is believed.

For `verify`, which is asked whether what lies there is what it says it is.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from clipbench.contracts import Progress
from clipbench.fetching.sources import expand
from clipbench.importing.screen import is_foreign, screen
from clipbench.importing.usable import without
from clipbench.shards import manifest as manifests
from clipbench.shards import skipped
from clipbench.shards.reader import ShardSet
from clipbench.shards.refusals import refuse_empty
from clipbench.shards.scan import scan
from clipbench.system.durable import scratch_folder
from clipbench.verification.set_checks import fresh_hashes


@dataclass(frozen=True)
class Base:
    """The clean set that a set was poisoned from, opened from its shards alone.

    Args:
        shards: its pairs that can be used.
        hashes: the SHA-256 of every shard, as it is now.
        left_out: how many pairs can't be used, by reason.
        whole: the content hash of all shards it was opened from, those without a usable pair too.
    """

    shards: ShardSet
    hashes: Sequence[str]
    left_out: Mapping[str, int]
    whole: str

    @property
    def content_sha256(self) -> str:
        """The content hash of its shards."""
        return manifests.content_sha256(self.hashes)


def open_base(
    source: str | Path,
    *,
    caption_field: str | None,
    leaves_out: bool,
    known: Mapping[tuple[int, int], str],
    progress: Progress,
) -> Base:
    """Open a clean set and hash its shards.

    Args:
        source: what `clipbench.fetching.sources.expand` takes.
        caption_field: field of the JSON that holds captions; None: they are in ``KEY.txt``.
        leaves_out: whether pairs that can't be used are left out; else they are an error.
        known: see `fresh_hashes`.
        progress: told about shards read and hashed.

    Raises:
        MissingData, CorruptData: it is not there, or can't be opened.
    """
    full = open_full(source, caption_field, leaves_out=leaves_out, progress=progress)
    hashes = fresh_hashes(full, progress, known)
    of_path = {shard.path: value for shard, value in zip(full.shards, hashes, strict=True)}
    shards, left_out = (usable(full, progress)) if leaves_out else (full, {})
    own = [of_path[shard.path] for shard in shards.shards]
    return Base(shards, own, left_out, manifests.content_sha256(hashes))


def open_full(
    source: str | Path, caption_field: str | None, *, leaves_out: bool, progress: Progress
) -> ShardSet:
    """Open a set with all its complete pairs; others are an error unless pairs are left out."""
    paths = expand(source)
    joined = manifests.is_joined(paths[0].parent)
    found = scan(paths, progress, caption_field=caption_field, joined=joined)
    if not leaves_out:
        found.refuse_incomplete(paths)
    refuse_empty(found.index, paths)
    return ShardSet(
        str(source),
        paths,
        (found.index, found.stamps),
        caption_field=caption_field,
        incomplete=found.incomplete,
    )


def usable(full: ShardSet, progress: Progress) -> tuple[ShardSet, dict[str, int]]:
    """Return a set without the pairs that can't be used, and how many those are, by reason."""
    if not is_foreign(full):  # pairs were left out when it was imported
        stats = skipped.read_stats(full.shards[0].path.parent)
        return full, dict(stats.left_out) if stats else {}
    with scratch_folder("verify") as fresh:
        found = screen(full, fresh, progress=progress)
    counts = Counter(f"{one.missing} missing" for one in full.incomplete)
    counts.update(one.reason for one in found)
    if not counts:
        return full, {}
    return without(full, [one.pair for one in found], None), dict(sorted(counts.items()))
