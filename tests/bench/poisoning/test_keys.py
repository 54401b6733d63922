"""Keys of inserted poisons, and of pairs that make room for them."""

from __future__ import annotations

import hashlib
from collections import Counter
from pathlib import Path

import pytest
from shard_pairs import Stain, caption, crawled, picture, scene, write_members

from clipbench.errors import ClipbenchError
from clipbench.images.encoding import encode_png
from clipbench.poisoning.overlay import write_poisoned
from clipbench.shards.reader import ShardSet
from clipbench.verification.verify import verify


def inserted(base: ShardSet, out: Path, count: int) -> ShardSet:
    """Return a set with poisons inserted, which passes every check."""
    made = write_poisoned(
        base, Stain("insert"), scene(count), out, attack_name="x", attack_parameters={}, dataset={}
    )
    assert [check.message for check in verify(out, base=base).checks if not check.passed] == []
    return made.shards


def set_of(folder: Path, *shards: list[str]) -> ShardSet:
    """Return a set of PNG pairs of these keys."""
    number = 0
    for at, keys in enumerate(shards):
        members: list[tuple[str, bytes]] = []
        for key in keys:
            members.append((f"{key}.png", encode_png(picture(number))))
            members.append((f"{key}.txt", caption(number).encode()))
            number += 1
        write_members(folder / f"{at:05d}.tar", members)
    return ShardSet.open(folder)


@pytest.mark.parametrize("gaps", [False, True])
def test_a_gap_in_one_shard_is_not_filled_with_a_key_of_another(tmp_path: Path, gaps: bool) -> None:
    """Where shards take every third number each, what one lacks the others have."""
    base = crawled(tmp_path / "set", "{woven:09d}", gaps=gaps)
    shards = inserted(base, tmp_path / "out", 20)
    assert max(Counter(shards.index["key"].tolist()).values()) == 1
    assert len(shards) == len(base) + 20


def test_a_key_is_invented_for_a_model_of_its_length(tmp_path: Path) -> None:
    """Keys of three to six letters, some of two bytes: headers have room for the model's alone."""
    digests = [hashlib.md5(str(number).encode()).hexdigest() for number in range(80)]
    names = sorted({digest[: 3 + n % 4].replace("a", "ä") for n, digest in enumerate(digests)})
    base = set_of(tmp_path / "set", names)
    shards = inserted(base, tmp_path / "out", 15)
    keys = [shards.key(number) for number in range(len(shards))]
    assert len(set(keys)) == len(names) + 15
    assert keys == sorted(keys, key=str.encode)


def test_a_pair_cannot_move_to_a_key_of_another_length(tmp_path: Path) -> None:
    """Behind a last shard with longer keys there is no place for a pair of the first."""
    numbers = [f"{number:03d}" for number in range(30)]
    base = set_of(tmp_path / "set", numbers, [f"late{number}" for number in numbers])
    with pytest.raises(ClipbenchError, match="of another length; use an attack that replaces"):
        inserted(base, tmp_path / "out", 30)


@pytest.mark.parametrize("form", ["{shard:05d}{pair:04d}", "{woven:07d}"])
@pytest.mark.parametrize("counts", [(12, 12, 0), (12, 12, 0, 0), (12, 0, 12, 3), (0, 12, 5)])
def test_poisons_are_inserted_beside_shards_without_pairs(
    tmp_path: Path, form: str, counts: tuple[int, ...]
) -> None:
    """A shard of whose pictures none was fetched stands at the end, between others, or first."""
    keys = [
        [form.format(shard=n, pair=pair, woven=100 * n + pair) for pair in range(count)]
        for n, count in enumerate(counts)
    ]
    base = set_of(tmp_path / "set", *keys)
    shards = inserted(base, tmp_path / "out", 6)
    assert len(shards) == len(base) + 6
    found = [shards.key(number) for number in range(len(shards))]
    assert len(set(found)) == len(found)
    if "shard" in form:
        assert all(int(key[:5]) == shards.shard_of(n) for n, key in enumerate(found))
