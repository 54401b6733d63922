"""The same pairs through other people's programs."""

import gc
import io
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import webdataset as wds
from PIL import Image
from shard_pairs import MakePairs, Stain, caption, picture, scene

from clipbench.images.encoding import encode_jpeg
from clipbench.poisoning.overlay import write_poisoned
from clipbench.shards.reader import ShardSet
from clipbench.shards.writer import write_set

# webdataset and open_clip leave files to the garbage collector.
pytestmark = [
    pytest.mark.filterwarnings("ignore:unclosed file:ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]

Read = list[tuple[str, str, np.ndarray]]


@pytest.fixture(autouse=True)
def collected() -> Iterator[None]:
    """Let the files go here, where their warning is expected, and not in a later test."""
    yield
    gc.collect()


@pytest.fixture(params=["png", "jpg"])
def shards(request: pytest.FixtureRequest, tmp_path: Path) -> ShardSet:
    """Return 25 pairs in three shards."""
    make = MakePairs(request.param)
    return write_set(tmp_path / "set", 25, make, name="x", source={}, pairs_per_shard=10, workers=0)


def ours(shards: ShardSet) -> Read:
    """Read with our reader."""
    return [(p.key, p.caption, p.image) for p in map(shards.pair, range(len(shards)))]


def assert_same(found: Read, wanted: Read) -> None:
    """Compare keys, captions and pixels."""
    assert [pair[:2] for pair in found] == [pair[:2] for pair in wanted]
    for one, two in zip(found, wanted, strict=True):
        np.testing.assert_array_equal(one[2], two[2])


def by_webdataset(shards: ShardSet) -> Read:
    """Read with the webdataset package."""
    paths = [str(shard.path) for shard in shards.shards]
    stream = wds.WebDataset(paths, shardshuffle=False).decode("pilrgb")
    found = []
    for sample in stream:
        (image,) = (sample[ending] for ending in ("jpg", "png") if ending in sample)
        assert sample["json"]["key"] == sample["__key__"]
        found.append((sample["__key__"], sample["txt"], np.asarray(image)))
    return found


def by_open_clip(shards: ShardSet) -> Read:
    """Read with the stages of open_clip's training pipeline, shuffling left out.

    Newer webdataset marks the end of a shard with an empty sample, on which open_clip's grouping
    breaks off; it gets the members without those marks.
    """
    data = pytest.importorskip("open_clip_train.data")
    urls = ({"url": str(shard.path)} for shard in shards.shards)
    files = data.tar_file_expander(data.url_opener(urls))
    grouped = data.group_by_keys_nothrow(file for file in files if "fname" in file)
    complete = filter(data.filter_no_caption_or_no_image, grouped)
    decoded = wds.decode("pilrgb")(complete)
    named = wds.rename(image="jpg;png;jpeg;webp", text="txt")(decoded)
    return [(sample["__key__"], sample["text"], np.asarray(sample["image"])) for sample in named]


def test_webdataset_reads_the_same_pairs(shards: ShardSet) -> None:
    """The real webdataset package gives our keys, captions and pixels, in our order."""
    assert_same(by_webdataset(shards), ours(shards))


def test_open_clip_reads_the_same_pairs(shards: ShardSet) -> None:
    """The stages of open_clip's own training loader give the same pairs."""
    assert_same(by_open_clip(shards), ours(shards))


@pytest.mark.parametrize("mode", ["replace", "insert"])
def test_poisoned_set_reads_alike_everywhere(shards: ShardSet, tmp_path: Path, mode: str) -> None:
    """A poisoned set is as good a set as a clean one for webdataset and open_clip."""
    poisoned = write_poisoned(
        shards,
        Stain(mode),
        scene(4),
        tmp_path / "out",
        attack_name="stain",
        attack_parameters={},
        dataset={},
    ).shards
    wanted = ours(poisoned)
    assert sum("stained" in text for _, text, _ in wanted) == 4
    assert_same(by_webdataset(poisoned), wanted)
    assert_same(by_open_clip(poisoned), wanted)


def test_open_clip_finds_the_number_of_pairs(shards: ShardSet) -> None:
    """open_clip takes the length of an epoch from sizes.json."""
    data = pytest.importorskip("open_clip_train.data")
    assert data.get_dataset_size(shards.source + "/{00000..00002}.tar") == (25, 3)


def test_open_clips_whole_pipeline_trains_on_our_shards(shards: ShardSet) -> None:
    """open_clip's get_wds_dataset yields each pair once, under the webdataset it was made for.

    webdataset 1.x ends shards with an empty sample, on which open_clip 3.3 breaks off; `make` puts
    the last one before it beside the environment, and the pipeline runs there.
    """
    folder = Path(sys.prefix, "webdataset-0.2")
    paths = [str(folder), *sys.path]
    if not folder.is_dir() and not os.environ.get("CI"):
        pytest.skip(f"{folder} has no webdataset 0.2.86 for open_clip's pipeline; `make` puts it")
    done = subprocess.run(
        [sys.executable, "-c", PIPELINE, shards.source + "/{00000..00002}.tar"],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(paths)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["webdataset"] < "1"
    assert sorted(found["captions"]) == sorted(shards.captions())


PIPELINE = """
import argparse, json, sys
import numpy as np
import webdataset
from open_clip_train.data import get_wds_dataset

args = argparse.Namespace(
    train_data=sys.argv[1], train_num_samples=None, train_data_upsampling_factors=None,
    dataset_resampled=False, seed=0, workers=0, world_size=1, batch_size=5,
)
seen = []
info = get_wds_dataset(
    args, np.asarray, is_train=True, tokenizer=lambda text: [seen.append(text) or 0]
)
pairs = sum(len(numbers) for _, numbers in info.dataloader)
assert pairs == len(seen), (pairs, len(seen))
print(json.dumps({"webdataset": webdataset.__version__, "captions": seen}))
"""


def test_img2dataset_like_set_is_read(tmp_path: Path) -> None:
    """A set as img2dataset writes it, with webdataset's TarWriter and gaps in keys, is read."""
    folder = tmp_path / "crawl"
    folder.mkdir()
    for prefix in ("00000", "00001"):
        with wds.TarWriter(str(folder / f"{prefix}.tar")) as writer:
            for sample in crawl():
                if sample["__key__"].startswith(prefix):
                    writer.write(sample)
    shards = ShardSet.open(folder)
    keys = [sample["__key__"] for sample in crawl()]
    assert [shards.key(number) for number in range(len(shards))] == keys
    assert shards.metadata(1)["url"] == "https://example.org/2.jpg"
    assert_same(by_webdataset(shards), ours(shards))


def crawl() -> Iterator[dict[str, Any]]:
    """Yield pairs of two shards; every fourth download failed."""
    for number in range(20):
        if number % 4 == 1:
            continue
        key = f"{number // 10:05d}{number % 10:04d}"
        fields = {
            "url": f"https://example.org/{number}.jpg",
            "key": key,
            "caption": caption(number),
        }
        yield {
            "__key__": key,
            "jpg": encode_jpeg(picture(number)),
            "txt": caption(number),
            "json": json.dumps(fields, indent=4).encode(),
        }


def test_image_equals_what_pillow_makes_of_it(shards: ShardSet) -> None:
    """A decoded image is ``PIL.Image.open(...).convert("RGB")``, as open_clip's loader has it."""
    for number in range(3):
        with Image.open(io.BytesIO(shards.image_bytes(number))) as image:
            np.testing.assert_array_equal(np.asarray(image.convert("RGB")), shards.image(number))
