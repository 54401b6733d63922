"""The embedded data set as shards."""

from __future__ import annotations

import json
import tarfile
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from clipbench.errors import BadSetting
from clipbench.shards.reader import ShardSet
from clipbench_datasets.shapes import Shapes


def _content(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir()) if path.is_file()}


def test_shards_hold_the_drawn_samples(tmp_path: Path) -> None:
    """Any tar reader finds each pair's image, caption and record, in order, as they were drawn."""
    data = Shapes(size=150, seed=2, encoding="png")
    folder = data.prepare(tmp_path)
    images, _, captions = data.arrays("train", 0, 150)
    with tarfile.open(folder / "00000.tar") as shard:
        members = shard.getmembers()
        assert len(members) == 3 * 150
        for number in (0, 7, 149):
            record, image, caption = (
                shard.extractfile(member).read()  # type: ignore[union-attr]
                for member in members[3 * number : 3 * number + 3]
            )
            np.testing.assert_array_equal(np.asarray(Image.open(BytesIO(image))), images[number])
            assert caption.decode() == captions[number]
            assert json.loads(record)["width"] == 32


def test_records_say_nothing_of_the_scene(tmp_path: Path) -> None:
    """A pair's record holds no class or other attribute that a poisoned pair would contradict."""
    shards = ShardSet.open(Shapes(size=20).prepare(tmp_path))
    known = {"caption", "key", "status", "width", "height", "sha256"}
    assert all(set(shards.metadata(index)) == known for index in range(20))


@pytest.mark.parametrize("encoding", ["jpg", "png"])
def test_images_decode_as_held_out_images_do(tmp_path: Path, encoding: str) -> None:
    """Images of shards keep what was drawn: exactly as PNG, nearly as JPEG."""
    data = Shapes(size=30, image_size=64, encoding=encoding)  # type: ignore[arg-type]
    shards = ShardSet.open(data.prepare(tmp_path))
    drawn = data.arrays("train", 0, 30)[0].astype(int)
    read = np.stack([shards.image(index) for index in range(30)]).astype(int)
    assert np.abs(read - drawn).mean() < (4 if encoding == "jpg" else 1e-9)


def test_a_set_is_the_same_whoever_wrote_it(tmp_path: Path) -> None:
    """One process and two write byte-identical shards and manifests."""
    data = Shapes(size=10_040)
    alone = data.write_to(tmp_path / "alone", workers=0)
    together = data.write_to(tmp_path / "together", workers=2)
    assert len(alone) == len(together) == 10_040
    assert _content(tmp_path / "alone") == _content(tmp_path / "together")


def test_a_prepared_set_is_not_written_again(tmp_path: Path) -> None:
    """A second call, also one with other held-out sizes, gives the same folder untouched."""
    first = Shapes(size=25).prepare(tmp_path)
    times = {path.name: path.stat().st_mtime_ns for path in first.iterdir()}
    second = Shapes(size=25, test_size=300, targets_size=5).prepare(tmp_path)
    assert second == first
    assert {path.name: path.stat().st_mtime_ns for path in second.iterdir()} == times


def test_every_setting_that_moves_a_pair_names_another_folder(tmp_path: Path) -> None:
    """Size, resolution, seed and encoding each have a folder of their own in the cache."""
    sets = [
        Shapes(size=10),
        Shapes(size=11),
        Shapes(size=10, image_size=48),
        Shapes(size=10, seed=1),
        Shapes(size=10, encoding="png"),
    ]
    assert len({data.prepare(tmp_path) for data in sets}) == len(sets)


def test_a_folder_of_another_set_is_left_alone(tmp_path: Path) -> None:
    """Writing into a folder that holds a different set is refused, and it stays as it was."""
    Shapes(size=10).write_to(tmp_path / "set", workers=0)
    before = _content(tmp_path / "set")
    with pytest.raises(BadSetting, match="holds another set"):
        Shapes(size=10, seed=1).write_to(tmp_path / "set", workers=0)
    assert _content(tmp_path / "set") == before
