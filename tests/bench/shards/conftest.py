"""Small sets of shards for the tests of this folder."""

import sys
from pathlib import Path

import pytest

# Worker processes must be able to import what makes the pairs, so it is a module of its own.
sys.path.insert(0, str(Path(__file__).parent / "helpers"))

from shard_pairs import MakePairs

from clipbench.shards.reader import ShardSet
from clipbench.shards.writer import write_set


@pytest.fixture
def clean(tmp_path: Path) -> ShardSet:
    """Return 50 PNG pairs in five shards."""
    return write_set(
        tmp_path / "clean",
        50,
        MakePairs(),
        name="tiny",
        source={"made by": "tests"},
        pairs_per_shard=10,
        workers=0,
    )
