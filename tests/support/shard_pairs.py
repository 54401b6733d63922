"""Pairs for shards, and attacks that put poisons among them."""

import io
import json
import os
import signal
import tarfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from clipbench.contracts import (
    Classes,
    Classification,
    Corpus,
    EvaluationSet,
    Image,
    LabelledImages,
    Mode,
    Poison,
    Probes,
    Scene,
)
from clipbench.images.encoding import encode_jpeg, encode_png
from clipbench.shards.reader import ShardSet
from clipbench.shards.writer import Sample

HEIGHT, WIDTH = 12, 16


def picture(number: int, height: int = HEIGHT, width: int = WIDTH) -> Image:
    """Return an image with a little structure that no other number gives."""
    rng = np.random.default_rng(number)
    ramp = np.linspace(0, 200, width)[None, :, None] + np.zeros((height, 1, 3))
    noise = rng.integers(0, 55, (height, width, 3))
    return (ramp + noise).astype(np.uint8)


def caption(number: int) -> str:
    """Return a caption that no other number gives."""
    return f"a photo of thing number {number}"


def write_members(
    path: Path,
    members: Iterable[tuple[str, bytes]],
    form: int = tarfile.GNU_FORMAT,
    **header: Any,
) -> Path:
    """Write a tar of these names and contents; further fields are put into all headers."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w", format=form) as file:
        for name, content in members:
            info = tarfile.TarInfo(name)
            info.size = len(content)
            for field, value in header.items():
                setattr(info, field, value)
            file.addfile(info, io.BytesIO(content))
    return path


@dataclass(frozen=True)
class MakePairs:
    """Makes pairs; can be told to fail or to be killed when it comes to one of them."""

    extension: str = "png"
    fail_at: int = -1
    kill_at: int = -1
    diary: Path | None = None
    too_many: int = 0

    def __call__(self, start: int, stop: int) -> Iterator[Sample]:
        """Yield the samples of pairs start .. stop - 1."""
        if self.diary is not None:
            with self.diary.open("a") as file:
                file.write(f"{start}\n")
        for number in range(start, stop + self.too_many):
            if number == self.fail_at:
                raise RuntimeError("the source broke off")
            if number == self.kill_at:
                os.kill(os.getpid(), signal.SIGKILL)
            encode = encode_png if self.extension == "png" else encode_jpeg
            yield Sample(encode(picture(number)), self.extension, caption(number), {"uid": number})


def scene(count: int, seed: int = 0) -> Scene:
    """Return a scene of two classes."""
    labelled = LabelledImages([picture(-1 % 999), picture(998)], np.array([0, 1]))
    classes = Classes(("cat", "dog"), ("a {}",), (("cat",), ("dog",)))
    evaluation = EvaluationSet("tiny", Classification(classes, labelled))
    return Scene(evaluation, lambda: labelled, count, seed)


@dataclass(frozen=True)
class Stain:
    """Inverts images and says so, or poisons the pairs it is given."""

    mode: Mode = "replace"
    bases: Sequence[int] | None = None
    extra: int = 0
    text: str = "a stained dog"
    targets: int = 2

    def num_targets(self, count: int) -> int:
        """Return over how many targets poisons are spread."""
        return min(self.targets, count)

    def poison(self, scene: Scene, corpus: Corpus) -> Iterator[Poison]:
        """Yield inverted images."""
        for number in range(scene.count + self.extra):
            base = self.bases[number] if self.bases is not None else None
            image = 255 - corpus.image(number % len(corpus) if base is None else base)
            yield Poison(f"{self.text} {number}", image, base, number % self.targets)

    def probes(self, scene: Scene) -> Probes:
        """Refuse: these tests ask for no probes."""
        raise NotImplementedError(f"no test asks for probes of {scene}")

    def trigger(self) -> Callable[[Image], Image]:
        """Return the inversion."""
        return np.invert


def crawled(
    folder: Path,
    key: str = "{shard:05d}{number:04d}",
    gaps: bool = True,
    caption_field: str | None = None,
) -> ShardSet:
    """Return a set of 3 shards with fields that identify pairs, and perhaps gaps in its keys.

    A key may be made of shard, number in it, total number, an odd one or, with shards taking turns,
    a woven one.

    With a `caption_field`, captions are in that field of the JSON alone.
    """
    folder.mkdir()
    for shard in range(3):
        with tarfile.open(folder / f"part-{shard:03d}.tar", "w") as file:
            for number in range(40):
                if gaps and number % 4 == 1:
                    continue
                total = 40 * shard + number
                name = key.format(
                    shard=shard,
                    number=number,
                    total=total,
                    odd=total * 7919 % 8000,
                    woven=3 * number + shard,
                )
                fields = {
                    "key": name,
                    caption_field or "caption": caption(total),
                    "url": f"http://e.org/a{total}.jpg",
                }
                parts = {
                    "jpg": encode_jpeg(picture(total)),
                    "json": json.dumps(fields).encode(),
                }
                if caption_field is None:
                    parts["txt"] = caption(total).encode()
                for extension, content in parts.items():
                    info = tarfile.TarInfo(f"{name}.{extension}")
                    info.size = len(content)
                    file.addfile(info, io.BytesIO(content))
    return ShardSet.open(folder, caption_field=caption_field)
