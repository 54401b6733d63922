"""A crawl of one's own, as img2dataset leaves it, and test images in CLIP_benchmark's layout.

Patches of photographs, roughened, with captions that no drawing has: nothing of the embedded data
set is in them.
"""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from PIL import Image
from sklearn.datasets import load_sample_images

CLASSES = ("wicker", "quartz", "lichen", "gingham")
_WORDS = ("damp", "sunlit & torn", "naïve", "two-tone", "“antique”", "50% off,", "matte")
SIDE = 48
# What sets the classes apart: how much of red, green and blue a patch keeps.
_TINTS = np.array([(1, 0.6, 0.3), (0.5, 0.6, 1), (0.4, 1, 0.4), (1, 0.4, 0.9)])


def patch(number: int, side: int = SIDE) -> Image.Image:
    """Return a patch of a photograph with noise on it, of class ``number % 4``."""
    draw = np.random.default_rng(number)
    photograph = load_sample_images().images[number % 2]
    top, left = (draw.integers(0, size - side) for size in photograph.shape[:2])
    pixels = photograph[top : top + side, left : left + side] * _TINTS[number % len(_TINTS)]
    noisy = pixels + draw.normal(0, 12, pixels.shape)
    return Image.fromarray(noisy.clip(0, 255).astype(np.uint8))


def caption(number: int, classes: Sequence[str] = CLASSES) -> str:
    """Return a caption that names the class of a pair."""
    word = _WORDS[number % len(_WORDS)]
    return f"{word} {classes[number % len(classes)]} — lot no. {number}"


def _encoded(picture: Image.Image, form: str) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, form, quality=90)
    return buffer.getvalue()


def _add(tar: tarfile.TarFile, members: Mapping[str, bytes]) -> None:
    for name, content in members.items():
        item = tarfile.TarInfo(name)
        item.size, item.mtime = len(content), 1_600_000_000
        tar.addfile(item, io.BytesIO(content))


def write_crawl(
    folder: Path,
    sizes: tuple[int, ...],
    text: str | None = None,
    *,
    side: int = SIDE,
    classes: Sequence[str] = CLASSES,
) -> Path:
    """Write a shard of each size, with img2dataset's fields in the JSON; return the folder.

    Args:
        folder: to be made.
        sizes: pairs of each shard.
        text: the caption of all pairs; None: each has its own.
        side: of an image, in pixels.
        classes: four names, which captions have in turn.
    """
    folder.mkdir(parents=True)
    number = 0
    for shard, size in enumerate(sizes):
        with tarfile.open(folder / f"{shard:05d}.tar", "w") as tar:
            for place in range(size):
                key, said = f"{shard:05d}{place:04d}", text or caption(number, classes)
                about = {
                    "caption": said,
                    "url": f"https://img.example.org/{number}.jpg?w={side}",
                    "key": key,
                    "status": "success",
                    "error_message": None,
                    "width": side,
                    "height": side,
                    "exif": "{}",
                }
                image = _encoded(patch(number, side), "JPEG")
                told = json.dumps(about, ensure_ascii=False).encode()
                _add(tar, {f"{key}.jpg": image, f"{key}.json": told, f"{key}.txt": said.encode()})
                number += 1
        (folder / f"{shard:05d}_stats.json").write_text(json.dumps({"count": size}))
    return folder


def write_test_set(
    folder: Path, per_class: int, *, side: int = SIDE, classes: Sequence[str] = CLASSES
) -> Path:
    """Write held-out patches with their classes, and return the folder."""
    (folder / "test").mkdir(parents=True)
    (folder / "classnames.txt").write_text("\n".join(classes) + "\n")
    (folder / "zeroshot_classification_templates.txt").write_text("a photo of {c}\n{c}, lot\n")
    (folder / "test" / "nshards.txt").write_text("1\n")
    with tarfile.open(folder / "test" / "0.tar", "w") as tar:
        for number in range(per_class * len(classes)):
            image = _encoded(patch(100_000 + number, side), "PNG")
            label = str((100_000 + number) % len(classes)).encode()
            _add(tar, {f"s{number:07d}.cls": label, f"s{number:07d}.png": image})
    return folder
