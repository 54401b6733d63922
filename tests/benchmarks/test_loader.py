"""The loader on JPEG photographs at 224 pixels, against open_clip's and against bare decoding.

Compare the rows of a group; each is one epoch of the same pairs on all processors. The photographs
are pieces of those that scikit-learn and matplotlib bring, stored as img2dataset stores them (JPEG,
quality 95, 4:2:0). open_clip's loader does not run with every webdataset; to give it another one:

    pip install --no-deps --target old 'webdataset<=0.2.86'
    CLIPBENCH_WEBDATASET=old python -m pytest tests/benchmarks/test_loader.py --benchmark-only
"""

from __future__ import annotations

import io
import multiprocessing
import os
import sys
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import open_clip
import pytest
import torch
from PIL import Image

sys.path.insert(0, str(Path(__file__).parents[1] / "support"))

from photographs import photograph, shape_of

from clipbench.images.encoding import encode_jpeg
from clipbench.loading.augment import ImageAugmentation
from clipbench.loading.compact import CompactVocabulary
from clipbench.loading.originals import OriginalImages
from clipbench.loading.pairs import BatchRequest, TrainingPairs
from clipbench.loading.text import CaptionTable
from clipbench.shards.reader import ShardSet
from clipbench.shards.shard_writer import Sample
from clipbench.shards.writer import write_set
from clipbench.training.encoder import Normalization

SIZE, BATCH, PAIRS = 224, 64, 2048
CORES = os.cpu_count() or 1
KINDS = {
    "224 x 224": (224, True),
    "shorter side 256": (256, False),
    "shorter side 512": (512, False),
}


@pytest.fixture(scope="module", params=KINDS)
def kind(request: pytest.FixtureRequest) -> str:
    """What size the photographs are stored in."""
    return str(request.param)


@pytest.fixture(scope="module")
def shards(kind: str, tmp_path_factory: pytest.TempPathFactory) -> ShardSet:
    """The photographs in shards of 64."""
    side, square = KINDS[kind]

    def make(start: int, stop: int) -> list[Sample]:
        shapes = ((side, side) if square else shape_of(n, side) for n in range(start, stop))
        return [
            Sample(encode_jpeg(photograph(n, *shape), 95, 2), "jpg", f"a photo of view {n}", {})
            for n, shape in enumerate(shapes, start)
        ]

    folder = tmp_path_factory.mktemp("photographs") / "set"
    made = write_set(
        folder, PAIRS, make, name="photographs", source={}, pairs_per_shard=64, workers=0
    )
    for index in range(PAIRS):  # so that nobody is measured against a cold disk
        made.image_bytes(index)
    return made


@pytest.fixture(autouse=True, scope="module")
def one_thread() -> Any:
    """Let no tensor operation take more than its own processor: the loaders use all of them."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(autouse=True)
def grouped(benchmark: Any, kind: str) -> None:
    """Show together what loads the same photographs."""
    benchmark.group = f"{PAIRS:,} photographs, {kind}, to {SIZE} on {CORES} processors"


def test_clipbench(benchmark: Any, shards: ShardSet) -> None:
    """Random crops, flips and captions, as normalized batches."""
    tokenizer = open_clip.get_tokenizer("ViT-B-32")
    captions = CaptionTable(shards.captions(), tokenizer, {}, 77)
    model = open_clip.CLIP(
        8,
        {"image_size": 32, "patch_size": 32, "width": 8, "head_width": 8, "layers": 1},
        {"context_length": 77, "vocab_size": 49408, "width": 8, "heads": 1, "layers": 1},
    )
    vocabulary = CompactVocabulary(model, captions.vocabulary())
    augmentation = ImageAugmentation(crop_scale=0.75, flip=0.5)
    pairs = TrainingPairs(OriginalImages(shards, SIZE), captions, vocabulary, augmentation, 0.0, 0)
    normalize = Normalization(open_clip.OPENAI_DATASET_MEAN, open_clip.OPENAI_DATASET_STD)
    images = torch.empty(BATCH, 3, SIZE, SIZE)
    order = np.random.default_rng(0).permutation(PAIRS).reshape(-1, BATCH)
    requests = [
        BatchRequest(part, slice(0, BATCH), 1, True, (0, n)) for n, part in enumerate(order)
    ]

    def epoch() -> int:
        count = 0
        for batch in pairs.stream(requests, CORES):
            count += len(normalize(batch.images[0], images))
        return count

    assert benchmark.pedantic(epoch, rounds=3, warmup_rounds=1) == PAIRS


def test_open_clip(benchmark: Any, shards: ShardSet, monkeypatch: pytest.MonkeyPatch) -> None:
    """open_clip's training loader with its training transform, one process a processor."""
    if "CLIPBENCH_WEBDATASET" in os.environ:
        monkeypatch.syspath_prepend(os.environ["CLIPBENCH_WEBDATASET"])
    data = pytest.importorskip("open_clip_train.data")
    paths = [str(shard.path) for shard in shards.shards]
    arguments = SimpleNamespace(
        train_data="::".join(paths),
        train_num_samples=PAIRS,
        train_data_upsampling_factors=None,
        dataset_resampled=False,
        batch_size=BATCH,
        workers=CORES,
        world_size=1,
        seed=0,
    )
    transform = open_clip.image_transform(SIZE, is_train=True)
    loader = data.get_wds_dataset(
        arguments, transform, True, tokenizer=open_clip.get_tokenizer("ViT-B-32")
    ).dataloader

    def epoch() -> int:
        return sum(len(images) for images, _ in loader)

    # Its epochs are rounded up to whole batches of every worker.
    assert benchmark.pedantic(epoch, rounds=3, warmup_rounds=1) >= PAIRS


FILES: list[bytes] = []  # processes that are forked have them without a copy


def decode_all(core: int) -> int:
    """Decode this processor's share of the images as anybody would."""
    own = FILES[core::CORES]
    for data in own:
        np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))
    return len(own)


def test_bare_decoding(benchmark: Any, shards: ShardSet) -> None:
    """Nothing but Pillow decoding files from memory, in a loop in each of the processes."""
    FILES[:] = [shards.image_bytes(index) for index in range(PAIRS)]
    with ProcessPoolExecutor(CORES, multiprocessing.get_context("fork")) as pool:

        def everything() -> int:
            return sum(pool.map(decode_all, range(CORES)))

        assert benchmark.pedantic(everything, rounds=3, warmup_rounds=1) == PAIRS
