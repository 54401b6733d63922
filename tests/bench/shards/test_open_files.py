"""Sets of more shards than a process may hold files open."""

from __future__ import annotations

import pickle
import resource
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from shard_pairs import Stain, caption, picture, scene, write_members

from clipbench.images.encoding import encode_png
from clipbench.importing.usable import open_usable
from clipbench.loading.decoded import DecodedImages
from clipbench.poisoning.overlay import write_poisoned
from clipbench.shards import handles
from clipbench.shards.reader import ShardSet
from clipbench.system import descriptors
from clipbench.verification.verify import verify

SHARDS = 150


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder of 150 shards of two pairs each."""
    folder: Path = tmp_path_factory.mktemp("many")
    for shard in range(SHARDS):
        members = []
        for number in (2 * shard, 2 * shard + 1):
            members.append((f"{shard:05d}{number % 2:04d}.png", encode_png(picture(number))))
            members.append((f"{shard:05d}{number % 2:04d}.txt", caption(number).encode()))
        write_members(folder / f"{shard:05d}.tar", members)
    return folder


@pytest.fixture(autouse=True)
def few_files() -> Iterator[None]:
    """Let this process have 40 files open beside those it has."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    opened = Path("/proc/self/fd")
    highest = max(int(one.name) for one in opened.iterdir()) if opened.is_dir() else 64
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(highest + 40, hard), hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_every_pair_is_read_in_any_order(folder: Path, tmp_path: Path) -> None:
    """Captions, pictures and screening, with two more sets open beside."""
    shards = open_usable(folder, tmp_path / "cache", workers=0).shards
    others = [ShardSet.open(folder) for _ in range(2)]
    order = np.random.default_rng(0).permutation(2 * SHARDS).tolist()
    for number in order:
        for one in (shards, *others):
            assert one.caption(number) == caption(number)
        np.testing.assert_array_equal(shards.image(number), picture(number))


def test_decoded_pictures_are_gathered_from_all_shards(folder: Path, tmp_path: Path) -> None:
    """In batches that take one from each, and after a journey to another process."""
    shards = ShardSet.open(folder)
    decoded = DecodedImages.open(shards, 12, tmp_path / "decoded", workers=0)
    order = np.random.default_rng(1).permutation(2 * SHARDS)
    wanted = np.stack([decoded[number] for number in range(2 * SHARDS)])
    for images in (decoded, pickle.loads(pickle.dumps(decoded))):
        np.testing.assert_array_equal(images.gather(order), wanted[order])
        np.testing.assert_array_equal(images.gather(order[:40]), wanted[order[:40]])


def test_sets_are_poisoned_and_verified(folder: Path, tmp_path: Path) -> None:
    """Poisons in many shards, all others linked; then each pair is compared with the clean set."""
    base = ShardSet.open(folder)
    write_poisoned(
        base,
        Stain(bases=range(0, 200, 2)),
        scene(100),
        tmp_path / "out",
        attack_name="stain",
        attack_parameters={},
        dataset={"name": "tiny"},
    )
    report = verify(tmp_path / "out", base=base)
    assert [check.message for check in report.checks if not check.passed] == []


def test_the_limit_is_raised_as_far_as_the_system_allows() -> None:
    """A command starts with that; where it is not allowed, it stays."""
    before, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    descriptors.raise_limit()
    after, same = resource.getrlimit(resource.RLIMIT_NOFILE)
    assert same == hard
    assert after == max(before, min(hard, 1 << 16)) if hard != resource.RLIM_INFINITY else after
    descriptors.raise_limit()
    assert resource.getrlimit(resource.RLIMIT_NOFILE)[0] == after


def test_a_file_too_many_closes_one_and_not_all(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In random order a read opens a file as often as the files that may be open are too few."""
    files = handles.OpenFiles(sorted(folder.glob("*.tar")))
    files._most = 20
    opened = 0

    def open_one(make: Callable[[], object]) -> object:
        nonlocal opened
        opened += 1
        return make()

    monkeypatch.setattr(handles, "opened", open_one)
    for number in np.random.default_rng(0).integers(25, size=2_000).tolist():
        files.read(number, 0, 1)
    assert 0.15 < opened / 2_000 < 0.25  # five in twenty-five
    assert len(files._open) == 20
