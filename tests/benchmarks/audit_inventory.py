"""What an inventory costs on a large set, and which copies of an image it finds.

    python tests/benchmarks/audit_inventory.py scale FOLDER [PAIRS]
    python tests/benchmarks/audit_inventory.py copies SHARDS
    python tests/benchmarks/audit_inventory.py drawings [PAIRS]

The first draws JPEGs of 256 pixels with img2dataset's JSON into FOLDER, one in twenty of them drawn
before, and prints CPU seconds of one process and its peak memory. The second saves 500 images of a
set again, smaller and with losses, and prints the share of copies that are seen to look the same.
The third draws spots in the middle of white, which have most bits of a hash in common, adds a JPEG
of each hundredth, and prints CPU seconds of comparing them, and how many JPEGs are found.
"""

from __future__ import annotations

import io
import json
import resource
import sys
import tarfile
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image as Pil
from PIL import ImageDraw

from clipbench.audit.inventory.near import Sketches, look_alike, sketch, slopes
from clipbench.audit.inventory.pairs import READ_SIDE
from clipbench.audit.inventory.take import take_inventory
from clipbench.audit.request import AuditRequest
from clipbench.contracts import Image
from clipbench.images.encoding import decode, encode_jpeg, encode_png
from clipbench.images.reduced import decode_reduced
from clipbench.shards.reader import ShardSet
from clipbench.system.progress import Reporter
from clipbench.toolkit.lookalikes import Hashes, phash_of_gray

PAIRS, PER_SHARD, POOL, COPIED = 200_000, 10_000, 300, 0.05
SPOTS, AGAIN = 6, 100  # of a drawing; drawings of which one is saved again
TRIED = 500
WORDS = ("red", "cat", "dog", "street", "in", "park", "with", "old", "man", "of", "city", "tree")


def scale(folder: Path, pairs: int) -> None:
    """Print what an inventory of drawn pairs costs."""
    if not folder.exists():
        write(folder, pairs)
    with tempfile.TemporaryDirectory() as place, Reporter() as reporter:
        asked = AuditRequest(
            data=str(folder), out=Path(place, "out"), cache=Path(place, "cache"), reporter=reporter
        )
        usable, began = len(asked.usable.shards), time.process_time()
        inventory = take_inventory(asked, workers=0)
    seconds = time.process_time() - began
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(
        f"{usable:,} pairs, {inventory.alike.pairs:,} with copies:"
        f" {seconds:.0f} CPU s, {peak:.0f} MB"
    )


def write(folder: Path, pairs: int) -> None:
    """Write shards of drawn pairs."""
    folder.mkdir(parents=True)
    rng = np.random.default_rng(0)
    pool = [drawn(rng) for _ in range(POOL)]
    for first in range(0, pairs, PER_SHARD):
        with tarfile.open(folder / f"{first // PER_SHARD:05d}.tar", "w") as file:
            for number in range(first, min(pairs, first + PER_SHARD)):
                image = pool[rng.integers(POOL)] if rng.random() < COPIED else drawn(rng)
                caption = " ".join(rng.choice(WORDS, rng.integers(2, 14)))
                url = f"https://img{rng.zipf(1.6) % 40}.example.org/{number}.jpg"
                fields = json.dumps({"url": url, "caption": caption})
                members = ("jpg", image), ("json", fields.encode()), ("txt", caption.encode())
                for extension, content in members:
                    info = tarfile.TarInfo(f"{number:09d}.{extension}")
                    info.size = len(content)
                    file.addfile(info, io.BytesIO(content))


def drawn(rng: np.random.Generator) -> bytes:
    """Return colors that flow into one another, as JPEG."""
    colors = Pil.fromarray(rng.integers(0, 256, (12, 12, 3), dtype=np.uint8))
    return encode_jpeg(np.asarray(colors.resize((256, 256), Pil.Resampling.BICUBIC)), 85, 2)


def copies(source: str) -> None:
    """Print which copies of images are found."""
    with tempfile.TemporaryDirectory() as place:
        shards = ShardSet.open(source, Path(place), on_incomplete="skip")
        numbers = np.linspace(0, len(shards) - 1, min(TRIED, len(shards))).astype(int).tolist()
        images = [shards.image(number) for number in numbers]
    seen: dict[str, list[bool]] = {}
    for image in images:
        for name, copy in saved_again(image):
            seen.setdefault(name, []).append(are_alike(encode_png(image), copy))
    for name, found in seen.items():
        print(f"{name:>12}  {sum(found)} of {len(found)} ({100 * np.mean(found):.0f}%)")


def saved_again(image: Image) -> Iterator[tuple[str, bytes]]:
    """Yield copies of an image by how they are saved."""
    for quality in (95, 75, 40, 20):
        yield f"quality {quality}", encode_jpeg(image, quality, 2)
    for share in (1.5, 0.75, 0.5):
        size = tuple(max(8, round(side * share)) for side in image.shape[1::-1])
        resized = Pil.fromarray(image).resize(size, Pil.Resampling.BICUBIC)
        yield f"sides x {share}", encode_jpeg(np.asarray(resized), 85, 2)


def drawings(pairs: int) -> None:
    """Print what comparing drawings on white costs, and which copies among them are found."""
    rng = np.random.default_rng(0)
    seen = [looked_at(spots(rng)) for _ in range(pairs)]
    rng = np.random.default_rng(0)
    for number in range(pairs):
        image = spots(rng)
        if number % AGAIN == 0:
            seen.append(looked_at(decode(encode_jpeg(image, 75, 2))))
    phashes, rises, sketches = map(np.array, zip(*seen, strict=True))
    hashes = phashes.astype(np.uint64), rises.astype(np.uint64)
    began = time.process_time()
    groups = look_alike(hashes, np.arange(len(seen)), lambda number: sketches[number])
    seconds = time.process_time() - began
    found = groups[:pairs:AGAIN] == groups[pairs:]
    both = ((number * AGAIN, pairs + number) for number in range(len(found)))
    alone = sum(is_one([kind[[*two]] for kind in hashes], sketches[[*two]]) for two in both)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(
        f"{pairs:,} drawings: {seconds:.0f} CPU s, {peak:.0f} MB; {found.sum():,} copies found"
        f" of {len(found):,}, of which {alone:,} are found where nothing is beside them;"
        f" {len(np.unique(groups[:pairs])):,} drawings told apart"
    )


def spots(rng: np.random.Generator) -> Image:
    """Return colored spots in the middle of white."""
    image = Pil.new("RGB", (64, 64), "white")
    for left, top, width, height in rng.integers((14, 14, 3, 3), (42, 42, 8, 8), (SPOTS, 4)):
        color = tuple(rng.integers(0, 200, 3).tolist())
        box = (int(left), int(top), int(left + width), int(top + height))
        ImageDraw.Draw(image).ellipse(box, fill=color)
    return np.asarray(image)


def looked_at(image: Image) -> tuple[int, int, npt.NDArray[np.uint8]]:
    """Return both hashes and the sketch of an image."""
    gray = Pil.fromarray(image).convert("L")
    return phash_of_gray(gray), slopes(gray), sketch(encode_png(image))


def are_alike(one: bytes, two: bytes) -> bool:
    """Return whether an inventory would say that two images look the same."""
    files = (one, two)
    gray = [decode_reduced(file, READ_SIDE, "L") for file in files]
    hashes = [
        np.array([kind(image) for image in gray], np.uint64) for kind in (phash_of_gray, slopes)
    ]
    return is_one(hashes, [sketch(file) for file in files])


def is_one(hashes: Sequence[Hashes], sketches: Sequence[Sketches]) -> bool:
    """Return whether two images look the same by what is known of them."""
    one, other = look_alike(hashes, np.arange(2), lambda number: sketches[number])
    return bool(one == other)


if __name__ == "__main__":
    if sys.argv[1] == "scale":
        scale(Path(sys.argv[2]), int(sys.argv[3]) if len(sys.argv) > 3 else PAIRS)
    elif sys.argv[1] == "drawings":
        drawings(int(sys.argv[2]) if len(sys.argv) > 2 else PAIRS)
    else:
        copies(sys.argv[2])
