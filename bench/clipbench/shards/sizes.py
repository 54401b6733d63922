"""``sizes.json``: how many pairs each shard has, as open_clip takes it, and whether that is so."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path

from clipbench.errors import ClipbenchError
from clipbench.files.json_files import read_json
from clipbench.shards.reader import ShardSet

NAME = "sizes.json"


def read(folder: Path) -> Mapping[str, object]:
    """Return what a folder's file says, by the names of shards; nothing where there is none."""
    try:
        return read_json(folder / NAME)
    except ClipbenchError:  # not there or damaged: the shards themselves tell
        return {}


def wrong(pairs: ShardSet) -> Iterator[str]:
    """Yield a sentence for each folder whose file counts other pairs than its shards have.

    Args:
        pairs: the set with all complete pairs; those that are incomplete may be counted or not.
    """
    incomplete = Counter(one.shard for one in pairs.incomplete)
    told: dict[Path, Mapping[str, object]] = {}
    said, found, differ = Counter[Path](), Counter[Path](), set[Path]()
    for number, shard in enumerate(pairs.shards):
        folder = shard.path.parent
        if folder not in told:
            told[folder] = read(folder)
        count = told[folder].get(shard.path.name)
        if type(count) is not int:
            continue
        said[folder] += count
        found[folder] += shard.num_pairs
        if not shard.num_pairs <= count <= shard.num_pairs + incomplete[number]:
            differ.add(folder)
    for folder in sorted(differ):
        yield (
            f"{folder / NAME} counts {said[folder]:,} pairs in shards that have {found[folder]:,};"
            " what is there counts, and that file is of other shards or of an earlier state"
        )
