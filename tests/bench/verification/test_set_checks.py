"""What is checked of a set, whether it is poisoned or not."""

from __future__ import annotations

from pathlib import Path

import pytest
from shard_pairs import caption, picture, write_members

from clipbench.images.encoding import encode_png
from clipbench.importing.usable import open_usable
from clipbench.verification.set_checks import set_checks


@pytest.mark.parametrize(
    ("lacking", "said"),
    [
        ((), "4 pairs in 1 shard, all complete"),
        (("1.txt", "2.png"), "2 pairs in 1 shard, beside 2 keys that can't be used"),
    ],
)
def test_pairs_that_are_left_out_are_not_called_complete(
    lacking: tuple[str, ...], said: str, tmp_path: Path
) -> None:
    """The pairs that are checked are those that can be used; of the others it is told."""
    pairs = [(f"{n}.png", encode_png(picture(n))) for n in range(4)]
    pairs += [(f"{n}.txt", caption(n).encode()) for n in range(4)]
    members = [(name, content) for name, content in sorted(pairs) if name not in lacking]
    folder = write_members(tmp_path / "set" / "0.tar", members).parent
    usable = open_usable(folder, tmp_path / "cache", on_error="skip").shards
    assert next(iter(set_checks(folder, usable, [""]))).message == said
