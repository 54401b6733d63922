"""Evaluation sets in the exact layouts of their originals, tiny, of crops of real photographs."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import pickle
import struct
import tarfile
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image as Pil
from scipy.io import savemat
from sklearn.datasets import load_sample_images

from clipbench.contracts import Image
from clipbench.images.encoding import encode_jpeg, encode_png

SYNSETS = ("n01440764", "n02099601", "n03000684", "n15075141")  # classes 0, 207, 491 and 999
CLASSES = (0, 207, 491, 999)


@cache
def _photographs() -> Sequence[Image]:
    images: Sequence[Image] = load_sample_images().images
    return images


def photograph(number: int, height: int = 40, width: int = 52) -> Image:
    """Return a crop of a real photograph; another one for every number."""
    rng = np.random.default_rng(number)
    whole = _photographs()[number % 2]
    top, left = (int(rng.integers(whole.shape[side] - 60)) for side in (0, 1))
    return whole[top : top + height, left : left + width].copy()


def jpeg(path: Path, number: int) -> Path:
    """Write a photograph and return its path."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(encode_jpeg(photograph(number)))
    return path


def text(path: Path, lines: Sequence[object]) -> Path:
    """Write lines and return the path."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    return path


# --------------------------------------------------------------------------- ImageNet


def imagenet_folders(root: Path, per_class: int = 2) -> Path:
    """A folder a synset, as most people arrange the validation images."""
    for position, synset in enumerate(SYNSETS):
        for number in range(per_class):
            name = f"ILSVRC2012_val_{number * 4 + position + 1:08d}.JPEG"
            jpeg(root / synset / name, number * 4 + position)
    return root


def imagenet_flat(root: Path, count: int = 8) -> Path:
    """All validation images in one folder, as the archive unpacks; image i is of class i mod 4."""
    for number in range(count):
        jpeg(root / f"ILSVRC2012_val_{number + 1:08d}.JPEG", number)
    return root


def kit_order(synsets: Sequence[str]) -> dict[int, str]:
    """Return the synsets by a number that is not their place in the order of classes."""
    return dict(enumerate(reversed(synsets), 1))


def meta_mat(path: Path, order: Mapping[int, str]) -> Path:
    """The development kit's meta.mat: numbers, synsets, and inner nodes after the leaves."""
    kind = [
        ("ILSVRC2012_ID", "O"),
        ("WNID", "O"),
        ("words", "O"),
        ("gloss", "O"),
        ("num_children", "O"),
    ]
    leaves = [(float(i), synset, "a word", "a gloss", 0.0) for i, synset in order.items()]
    inner = [(float(len(order) + 1), "n00001740", "entity", "a gloss", 3.0)]
    rows = np.array([*leaves, *inner], dtype=kind).reshape(-1, 1)
    savemat(path, {"synsets": rows})
    return path


# --------------------------------------------------------------------------- COCO


def coco(root: Path, count: int = 6) -> Path:
    """Images of val2014, Karpathy's split and COCO's captions; the last two are not of the test.

    Image i has five captions, every third one six.
    """
    images, annotations, short = [], [], []
    for number in range(count):
        coco_id = 391895 + number * 7
        name = f"COCO_val2014_{coco_id:012d}.jpg"
        jpeg(root / "val2014" / name, number)
        captions = [f"picture {number} seen in way {way}" for way in range(5 + (number % 3 == 0))]
        split = "test" if number < count - 2 else ("val", "restval")[number % 2]
        images.append(
            {
                "filepath": "val2014",
                "sentids": list(range(number * 10, number * 10 + len(captions))),
                "filename": name,
                "imgid": number,
                "split": split,
                "cocoid": coco_id,
                "sentences": [
                    {"tokens": raw.split(), "raw": raw, "imgid": number, "sentid": number * 10 + n}
                    for n, raw in enumerate(captions)
                ],
            }
        )
        annotations += [
            {"image_id": coco_id, "id": 1000 - number * 10 + n, "caption": f"{raw} \n"}
            for n, raw in enumerate(captions)
        ]
        if split == "test":
            short.append({"image": f"val2014/{name}", "caption": captions})
    files: dict[str, Any] = {
        "dataset_coco.json": {"images": images, "dataset": "coco"},
        "captions_val2014.json": {
            "info": {},
            "images": [],
            "licenses": [],
            "annotations": annotations[::-1],
        },
        "coco_test_karpathy.json": short,
    }
    for file, content in files.items():
        (root / file).write_text(json.dumps(content), encoding="utf-8")
    return root


# --------------------------------------------------------------------------- CLIP_benchmark


def tar(path: Path, members: Mapping[str, bytes]) -> None:
    """Write a tar with these files."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w") as file:
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            file.addfile(info, io.BytesIO(content))


def clip_benchmark_classes(root: Path, per_class: int = 4, train: int = 6) -> Path:
    """Five classes, two test shards and one of training images."""
    text(root / "classnames.txt", ["red", "a dark thing", "grass", "sky", "wall"])
    text(root / "zeroshot_classification_templates.txt", ["a photo of {c}.", "{c}", "some {c}?"])
    for split, count in (("test", per_class * 5), ("train", train * 5)):
        if not count:
            continue
        halves = (
            [range(count // 2), range(count // 2, count)] if split == "test" else [range(count)]
        )
        text(root / split / "nshards.txt", [len(halves)])
        for shard, numbers in enumerate(halves):
            members: dict[str, bytes] = {}
            for number in numbers:
                image = photograph(number + (1000 if split == "train" else 0))
                image = image // 2 + np.uint8(25 * (number % 5))  # a class is a brightness
                members[f"s{number:07d}.cls"] = str(number % 5).encode()
                members[f"s{number:07d}.webp"] = webp(image)
            tar(root / split / f"{shard}.tar", members)
    return root


def clip_benchmark_captions(root: Path, count: int = 9) -> Path:
    """Images with several captions, a line each."""
    text(root / "dataset_type.txt", ["retrieval"])
    text(root / "test" / "nshards.txt", [1])
    members: dict[str, bytes] = {}
    for number in range(count):
        members[f"s{number:07d}.jpg"] = encode_jpeg(photograph(number))
        lines = [f"the number {number} in words {way}" for way in range(2 + number % 3)]
        members[f"s{number:07d}.txt"] = "\n".join(lines).encode()
    tar(root / "test" / "0.tar", members)
    return root


def webp(image: Image) -> bytes:
    """Return an image as lossless WebP, as CLIP_benchmark's export writes it."""
    buffer = io.BytesIO()
    Pil.fromarray(image).save(buffer, "WEBP", lossless=True)
    return buffer.getvalue()


# --------------------------------------------------------------------------- torchvision


def fashion_mnist(root: Path) -> Path:
    """The four files of FashionMNIST, as torchvision unpacks them: 10 test, 20 training images."""
    raw = root / "FashionMNIST" / "raw"
    raw.mkdir(parents=True)
    for prefix, count in (("t10k", 10), ("train", 20)):
        pixels = np.stack([photograph(n, 28, 28)[:, :, 0] for n in range(count)])
        labels = (np.arange(count) % 10).astype(np.uint8)
        images = struct.pack(">IIII", 2051, count, 28, 28) + pixels.tobytes()
        classes = struct.pack(">II", 2049, count) + labels.tobytes()
        for kind, content in (("images-idx3", images), ("labels-idx1", classes)):
            (raw / f"{prefix}-{kind}-ubyte").write_bytes(content)
            (raw / f"{prefix}-{kind}-ubyte.gz").write_bytes(gzip.compress(content))
    return root


def cifar10(root: Path) -> dict[str, list[Any]]:
    """CIFAR10's batches with a few images each; return the lists of files with their hashes.

    torchvision reads no other files than those with the hashes of its lists.
    """
    folder = root / "cifar-10-batches-py"
    folder.mkdir(parents=True)
    names = ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship"]

    def write(name: str, content: Any) -> list[str]:
        data = pickle.dumps(content)
        (folder / name).write_bytes(data)
        return [name, hashlib.md5(data).hexdigest()]

    def batch(first: int) -> dict[str, Any]:
        pixels = [photograph(n, 32, 32).transpose(2, 0, 1).ravel() for n in range(first, first + 4)]
        return {"data": np.stack(pixels), "labels": [n % 10 for n in range(first, first + 4)]}

    meta = write("batches.meta", {"label_names": [*names, "truck"]})
    return {
        "train_list": [write(f"data_batch_{n}", batch(n * 4)) for n in range(1, 6)],
        "test_list": [write("test_batch", batch(0))],
        "meta": [{"filename": meta[0], "key": "label_names", "md5": meta[1]}],
    }


def image_folder(root: Path) -> Path:
    """Three classes with two test and three training images each."""
    for split, count in (("test", 2), ("train", 3)):
        for label, name in enumerate(("guinea_pig", "hen", "yak")):
            for number in range(count):
                jpeg(root / split / name / f"{number}.jpg", label * 10 + number)
    return root


def food101(root: Path) -> Path:
    """Food101 with two dishes."""
    meta: dict[str, dict[str, list[str]]] = {"train": {}, "test": {}}
    for label, dish in enumerate(("apple_pie", "miso_soup")):
        for split in ("train", "test"):
            names = [f"{dish}/{label}{number}{len(split)}" for number in range(2)]
            meta[split][dish] = names
            for number, name in enumerate(names):
                jpeg(root / "food-101" / "images" / f"{name}.jpg", label * 10 + number)
    (root / "food-101" / "meta").mkdir()
    for split, content in meta.items():
        (root / "food-101" / "meta" / f"{split}.json").write_text(json.dumps(content))
    return root


def gtsrb(root: Path) -> Path:
    """GTSRB's test images, in a format that no other set has."""
    folder = root / "gtsrb" / "GTSRB" / "Final_Test" / "Images"
    folder.mkdir(parents=True)
    lines = ["Filename;Width;Height;Roi.X1;Roi.Y1;Roi.X2;Roi.Y2;ClassId"]
    for number in range(4):
        Pil.fromarray(photograph(number)).save(folder / f"{number:05d}.ppm")
        lines.append(f"{number:05d}.ppm;52;40;5;5;48;36;{number * 14}")
    text(root / "gtsrb" / "GT-final_test.csv", lines)
    return root


def pictures(root: Path, names: Sequence[str]) -> None:
    """Write a PNG for each name."""
    for number, name in enumerate(names):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(encode_png(photograph(number)))


# --------------------------------------------------------------------------- small forms


def _imagenet(folder: Path) -> str:
    return f"imagenet:root={imagenet_folders(folder)},reserve=1"


def _coco_retrieval(folder: Path) -> str:
    root = coco(folder)
    return f"coco_retrieval:images={root},karpathy={root / 'dataset_coco.json'}"


def _clip_benchmark(folder: Path) -> str:
    return f"clip_benchmark:root={clip_benchmark_classes(folder)},reserve=1"


def _torchvision(folder: Path) -> str:
    return f"torchvision:dataset=ImageFolder,root={image_folder(folder)},reserve=1"


SMALL: dict[str, Callable[[Path], str]] = {
    "imagenet": _imagenet,
    "coco_retrieval": _coco_retrieval,
    "clip_benchmark": _clip_benchmark,
    "torchvision": _torchvision,
}
