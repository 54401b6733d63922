"""Images decoded once into memory-mapped arrays."""

import io
import os
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from open_clip.transform import image_transform
from PIL import Image
from shard_pairs import HEIGHT, WIDTH, MakePairs, Stain, picture, scene

from clipbench.errors import BadSetting, ClipbenchError, CorruptData
from clipbench.images.decoders import decoders
from clipbench.images.encoding import encode_png
from clipbench.images.fit import fit
from clipbench.loading.decoded import DecodedImages
from clipbench.poisoning.overlay import write_poisoned
from clipbench.shards.reader import ShardSet
from clipbench.shards.writer import Sample, write_set


@pytest.mark.parametrize("shape", [(12, 16), (16, 12), (33, 20), (20, 33), (8, 8), (5, 40)])
@pytest.mark.parametrize("size", [8, 13])
def test_images_fit_as_open_clip_fits_them(shape: tuple[int, int], size: int) -> None:
    """Resizing and cropping give the pixels of open_clip's evaluation transform."""
    transform = image_transform(size, is_train=False, mean=(0, 0, 0), std=(1, 1, 1))
    image = picture(3, *shape)
    wanted = (transform(Image.fromarray(image)) * 255).round().to(torch.uint8)
    np.testing.assert_array_equal(fit(image, size), wanted.permute(1, 2, 0).numpy())


@pytest.mark.parametrize("workers", [0, 2])
def test_every_image_is_decoded_in_its_place(clean: ShardSet, tmp_path: Path, workers: int) -> None:
    """Row i of the decoded set is image i, resized and cropped, whoever decoded it."""
    images = DecodedImages.open(clean, 8, tmp_path / "cache", workers=workers)
    assert len(images) == 50
    assert images.nbytes == 50 * 8 * 8 * 3
    for number in (0, 9, 10, 49):
        np.testing.assert_array_equal(images[number], fit(picture(number), 8))


def test_images_of_the_right_size_are_left_alone(tmp_path: Path) -> None:
    """A square image of the wanted size keeps its pixels."""
    make = [Sample(_png(picture(n, 10, 10)), "png", "x", {}) for n in range(3)]
    shards = write_set(tmp_path / "set", 3, lambda *_: make, name="x", source={}, workers=0)
    images = DecodedImages.open(shards, 10, tmp_path / "cache", workers=0)
    for number in range(3):
        np.testing.assert_array_equal(images[number], picture(number, 10, 10))


def _png(image: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, "PNG")
    return buffer.getvalue()


@pytest.mark.parametrize("count", [0, 1, 7, 200])
def test_gather_returns_rows_in_the_order_asked_for(
    clean: ShardSet, tmp_path: Path, count: int
) -> None:
    """Few or many indices, in any order and with repeats, give their images in that order."""
    images = DecodedImages.open(clean, 6, tmp_path / "cache", workers=0)
    wanted = np.random.default_rng(count).integers(0, 50, count)
    found = images.gather(wanted)
    assert found.shape == (count, 6, 6, 3)
    assert found.flags.writeable
    for place, number in enumerate(wanted):
        np.testing.assert_array_equal(found[place], images[int(number)])


@pytest.mark.parametrize("number", [-1, 50])
def test_gather_refuses_numbers_out_of_range(clean: ShardSet, tmp_path: Path, number: int) -> None:
    """No index wraps round."""
    images = DecodedImages.open(clean, 6, tmp_path / "cache", workers=0)
    with pytest.raises(IndexError, match="0 to 49"):
        images.gather(np.array([3, number]))
    with pytest.raises(IndexError, match="0 to 49"):
        images[number]


def test_decoded_set_travels_to_other_processes(clean: ShardSet, tmp_path: Path) -> None:
    """A pickled copy maps the same files and is small."""
    images = DecodedImages.open(clean, 6, tmp_path / "cache", workers=0)
    traveling = pickle.dumps(images)
    assert len(traveling) < 2000
    np.testing.assert_array_equal(pickle.loads(traveling)[33], images[33])


def test_nothing_is_decoded_twice(clean: ShardSet, tmp_path: Path) -> None:
    """A second opening only maps; damaged or missing files alone are made again."""
    cache = tmp_path / "cache"
    DecodedImages.open(clean, 6, cache, workers=0)
    files = sorted(cache.glob("*-6.npy"))
    assert [file.name.split("-")[0] for file in files] == sorted(clean.hashes())
    before = {file: file.stat().st_mtime_ns for file in files}
    files[1].unlink()
    os.truncate(files[3], 100)
    told: list[tuple[int, int]] = []
    images = DecodedImages.open(
        clean, 6, cache, workers=0, progress=lambda _, done, total: told.append((done, total))
    )
    assert told == [(30, 50), (40, 50), (50, 50)]
    changed = {file for file in files if file.stat().st_mtime_ns != before[file]}
    assert changed == {files[1], files[3]}
    np.testing.assert_array_equal(images[17], fit(picture(17), 6))


def test_pixels_of_another_version_are_not_taken(
    clean: ShardSet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After an upgrade of what decodes, squares that are kept are those that are made anew."""
    DecodedImages.open(clean, 6, tmp_path, workers=0)
    monkeypatch.setattr("clipbench.images.decoders.version_of", lambda name: f"{name} 99")
    decoders.cache_clear()
    told: list[int] = []
    how: dict[str, Any] = {"workers": 0, "progress": lambda _, done, __: told.append(done)}
    DecodedImages.open(clean, 6, tmp_path, **how)
    assert told == [0, 10, 20, 30, 40, 50]
    monkeypatch.undo()
    decoders.cache_clear()
    DecodedImages.open(clean, 6, tmp_path, **how)
    assert len(told) == 6


def test_poisoned_set_shares_all_other_shards(clean: ShardSet, tmp_path: Path) -> None:
    """Decoding a poisoned set decodes the shards with poison and no other."""
    cache = tmp_path / "cache"
    DecodedImages.open(clean, 6, cache, workers=0)
    poisoned = write_poisoned(
        clean,
        Stain(bases=[3, 27]),
        scene(2),
        tmp_path / "out",
        attack_name="stain",
        attack_parameters={},
        dataset={},
    ).shards
    images = DecodedImages.open(poisoned, 6, cache, workers=0)
    assert len(list(cache.glob("*-6.npy"))) == 5 + 2
    np.testing.assert_array_equal(images[27], fit(255 - picture(27), 6))
    np.testing.assert_array_equal(images[26], fit(picture(26), 6))


def test_image_that_cannot_be_decoded_is_named(tmp_path: Path) -> None:
    """The error names shard and key, from a worker process as well."""
    shards = write_set(
        tmp_path / "set", 30, MakePairs(), name="x", source={}, pairs_per_shard=10, workers=0
    )
    row = shards.index[14]
    with shards.shards[1].path.open("r+b") as file:
        file.seek(int(row["image_offset"]) + 45)
        file.write(b"\xff" * (int(row["image_size"]) - 60))
    (tmp_path / "set" / "manifest.json").unlink()
    shards = ShardSet.open(tmp_path / "set")  # as another program may have written it
    for workers in (0, 2):
        with pytest.raises(CorruptData, match=r"key 000010004 in shard .*00001\.tar"):
            DecodedImages.open(shards, 6, tmp_path / "cache", workers=workers)


def test_size_must_be_positive(clean: ShardSet, tmp_path: Path) -> None:
    """An image has at least one pixel."""
    with pytest.raises(BadSetting):
        DecodedImages.open(clean, 0, tmp_path / "cache")


def test_cache_that_cannot_be_made_is_told(clean: ShardSet, tmp_path: Path) -> None:
    """A cache folder in the way of a file is an error in one line."""
    (tmp_path / "file").write_text("x")
    with pytest.raises(ClipbenchError, match="can't be written"):
        DecodedImages.open(clean, HEIGHT + WIDTH, tmp_path / "file" / "cache", workers=0)


# --------------------------------------------------------------------------- checksums


def flipped(path: Path, place: int) -> None:
    """Turn a bit of a file that keeps its size and times, as a disk does it."""
    status, content = path.stat(), bytearray(path.read_bytes())
    content[place] ^= 16
    path.write_bytes(content)
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))


@pytest.mark.parametrize("place", [40, 128 + 3 * 100_000, -20, -1], ids=str)
def test_a_damaged_file_is_decoded_again(tmp_path: Path, place: int) -> None:
    """Be it in its header, its pixels, its checksums or the end: the images are the shard's."""
    make = [Sample(_png(picture(n, 90, 90)), "png", "x", {}) for n in range(20)]
    shards = write_set(tmp_path / "set", 20, lambda *_: make, name="x", source={}, workers=0)
    whole = DecodedImages.open(shards, 90, tmp_path / "cache", workers=0).gather(np.arange(20))
    (file,) = (tmp_path / "cache").glob("*.npy")
    before = file.read_bytes()
    flipped(file, place)
    images = DecodedImages.open(shards, 90, tmp_path / "cache", workers=0)
    if place == 128 + 3 * 100_000:  # found when it is used, and not before
        assert file.read_bytes() != before
        np.testing.assert_array_equal(images[0], whole[0])
        with pytest.warns(UserWarning, match="was damaged; its images are decoded again"):
            found = images.gather(np.arange(20))
    else:
        found = images.gather(np.arange(20))
    np.testing.assert_array_equal(found, whole)
    assert file.read_bytes() == before


def test_a_damaged_file_that_cannot_be_made_again_is_named(clean: ShardSet, tmp_path: Path) -> None:
    """Another process knows the files and not the shards; it uses no damaged image."""
    DecodedImages.open(clean, 8, tmp_path / "cache", workers=0)
    file = min((tmp_path / "cache").glob("*.npy"))
    flipped(file, 200)
    images = pickle.loads(pickle.dumps(DecodedImages.open(clean, 8, tmp_path / "cache", workers=0)))
    with pytest.raises(CorruptData, match=rf"{file} is damaged; remove it"):
        images.gather(np.arange(50))


def test_decoded_images_are_a_file_of_numpy(clean: ShardSet, tmp_path: Path) -> None:
    """Its checksums lie behind the pixels, where NumPy's reader does not look."""
    images = DecodedImages.open(clean, 8, tmp_path / "cache", workers=0)
    (file,) = (tmp_path / "cache").glob(f"{clean.hashes()[0]}-*-8.npy")
    np.testing.assert_array_equal(np.load(file), images.gather(np.arange(10)))


@pytest.mark.parametrize("own", [True, False])
def test_a_shard_that_changed_in_place_is_no_longer_what_it_was(tmp_path: Path, own: bool) -> None:
    """Neither its old squares nor its old hash are taken; beside a manifest it is refused."""
    make = MakePairs()
    shards = write_set(tmp_path / "set", 4, make, name="x", source={}, workers=0)
    if not own:
        (tmp_path / "set" / "manifest.json").unlink()  # another program's
        shards = ShardSet.open(tmp_path / "set")
    before = shards.content_sha256()
    DecodedImages.open(shards, 8, tmp_path / "decoded", workers=0)
    path, row = shards.shards[0].path, shards.index[2]
    other = encode_png(picture(99)).ljust(int(row["image_size"]), b"\0")
    content = bytearray(path.read_bytes())
    place = slice(int(row["image_offset"]), int(row["image_offset"]) + int(row["image_size"]))
    content[place] = other[: place.stop - place.start]
    path.write_bytes(content)  # of the same size, with another time
    found = ShardSet.open(tmp_path / "set")
    if own:
        with pytest.raises(CorruptData, match=r"00000.tar is not the one that .* lists"):
            DecodedImages.open(found, 8, tmp_path / "decoded", workers=0)
        return
    assert found.content_sha256() != before
    squares = DecodedImages.open(found, 8, tmp_path / "decoded", workers=0)
    np.testing.assert_array_equal(squares[2], fit(found.image(2), 8))
    np.testing.assert_array_equal(squares[2], fit(picture(99), 8))
