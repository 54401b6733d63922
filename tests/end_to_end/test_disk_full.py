"""A full disk is one line and status 1, spoils nothing, and the same command goes on afterwards."""

from __future__ import annotations

import resource
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from tiny_runs import SAFECLIP, Place, numbers

Grid = tuple[Place, list[dict[str, Any]]]
ResultOf = Callable[[str, str], dict[str, Any]]
RUN = ("--attack", "targeted:targets=2", "--poisons", "8", "--defense", SAFECLIP, "--epochs", "3")


@contextmanager
def room_for(size: int) -> Iterator[None]:
    """Let no file become larger than `size` bytes, which is what a full disk looks like."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_full_disk_is_told_and_spoils_nothing(
    place: Place, grid: Grid, result_of: ResultOf
) -> None:
    """No room for shards, then for a checkpoint, then for weights, then enough: the same run."""
    reference = result_of("targeted", "safeclip")
    shard = grid[0].only("cache/shapes/*/00000.tar").stat().st_size
    weights = grid[0].run_folder(reference) / "model" / "open_clip_model.safetensors"
    for size, where in (
        (shard // 2, place.cache / "shapes"),
        (shard + 1, place.out / weights.parents[1].name),
        (weights.stat().st_size - 1, place.out / weights.parents[1].name),
    ):
        with room_for(size):
            done = place.do("run", "-q", *RUN)
        assert (done.status, done.out) == (1, "")
        assert done.err.count("\n") == 1
        assert done.error.startswith(f"No space left to write {where}")
        assert "run the same command again" in done.error
        assert not [*place.folder.rglob("*.tmp")]
    (result,) = place.run(*RUN)
    assert numbers(result) == numbers(reference)
    assert place.shards().items() <= grid[0].shards().items()
