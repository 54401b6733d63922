"""Small sets of training pairs in the formats in which they are published, of real photographs."""

from __future__ import annotations

import csv
import io
import json
import tarfile
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from PIL import Image as Pil
from sklearn.datasets import load_sample_images

PHOTO = load_sample_images().images[1]
COUNT = 7


def photograph(number: int, height: int = 30, width: int = 40) -> Pil.Image:
    """Return a crop of a photograph, another for each number."""
    top, left = 29 * number % (PHOTO.shape[0] - height), 53 * number % (PHOTO.shape[1] - width)
    return Pil.fromarray(PHOTO[top : top + height, left : left + width])


def jpeg(number: int) -> bytes:
    """Return that crop as JPEG."""
    buffer = io.BytesIO()
    photograph(number).save(buffer, "JPEG", quality=92)
    return buffer.getvalue()


def write_images(folder: Path, names: Sequence[str]) -> None:
    """Write one image under each name."""
    for number, name in enumerate(names):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(jpeg(number))


def csv_file(root: Path, separator: str = "\t", count: int = COUNT) -> Path:
    """Write open_clip's CSV with its images and return its path."""
    names = [f"images/{number}.jpg" for number in range(count)]
    write_images(root, names)
    path = root / "pairs.csv"
    with path.open("w", encoding="utf-8", newline="") as file:
        rows = csv.writer(file, delimiter=separator)
        rows.writerow(["filepath", "title"])
        rows.writerows([name, f'a "flower", number {n}'] for n, name in enumerate(names))
    return path


def coco(root: Path, count: int = 3) -> Path:
    """Write COCO's captions of a split, five an image in mixed order, and return their path."""
    names = [f"{number:012d}.jpg" for number in (9, 25, 30)[:count]]
    write_images(root / "train2017", names)
    images = [
        {"license": 3, "file_name": name, "id": int(name[:12]), "height": 30, "width": 40}
        for name in names
    ]
    captions = [
        {"image_id": image["id"], "id": 100 + 7 * view % 5 * count + n, "caption": f"view {view}"}
        for view in range(5)
        for n, image in enumerate(images)
    ]
    path = root / "annotations" / "captions_train2017.json"
    path.parent.mkdir()
    path.write_text(json.dumps({"info": {}, "images": images, "annotations": captions}))
    return path


def visual_genome(root: Path) -> Path:
    """Write Visual Genome's region descriptions, with images in both folders."""
    write_images(root, ["VG_100K/1.jpg", "VG_100K_2/2.jpg"])
    regions = [
        {"region_id": 10 * image + n, "image_id": image, "phrase": f"petal {n} of flower {image}"}
        | {"x": 4 * n, "y": 3 * n, "width": 20, "height": 15}
        for image in (1, 2)
        for n in range(3)
    ]
    content = [{"id": i, "regions": [r for r in regions if r["image_id"] == i]} for i in (1, 2)]
    path = root / "region_descriptions.json"
    path.write_text(json.dumps(content))
    return path


def cc3m(root: Path, count: int = COUNT) -> Path:
    """Write Google's TSV, with images named by row in folders of their own."""
    write_images(root / "images", [f"{n % 2}/{n:07d}.jpg" for n in range(count)])
    path = root / "Train_GCC-training.tsv"
    lines = [f'a "red" flower {n}\thttp://example.org/{n}.jpg\n' for n in range(count)]
    path.write_text("".join(lines))
    return path


def shards(root: Path, *, count: int = COUNT, first: int = 0, in_json: str | None = None) -> Path:
    """Write two shards as img2dataset does, and return their folder."""
    root.mkdir(parents=True, exist_ok=True)
    for shard in range(2):
        with tarfile.open(root / f"{shard:05d}.tar", "w") as file:
            for number in range(count):
                key, image = f"{shard:05d}{number:04d}", jpeg(first + count * shard + number)
                caption = f"flower {first + count * shard + number}"
                fields = {"url": f"http://example.org/{key}.jpg", "key": key}
                fields[in_json or "caption"] = caption
                members = {"jpg": image, "json": json.dumps(fields).encode()}
                if in_json is None:
                    members["txt"] = caption.encode()
                for extension, data in members.items():
                    info = tarfile.TarInfo(f"{key}.{extension}")
                    info.size = len(data)
                    file.addfile(info, io.BytesIO(data))
    return root


def same_pixels(one: np.ndarray, two: np.ndarray, within: float = 0) -> bool:
    """Tell whether two images are equal, or differ by `within` gray levels on average."""
    return one.shape == two.shape and float(np.abs(one.astype(int) - two).mean()) <= within


# Each makes the files of a small form of a data set and returns its spec.
SMALL: dict[str, Callable[[Path], str]] = {
    "csv": lambda root: f"csv:path={csv_file(root)}",
    "coco": lambda root: f"coco:annotations={coco(root)},images={root / 'train2017'}",
    "visual_genome": lambda root: f"visual_genome:annotations={visual_genome(root)},images={root}",
    "cc3m": lambda root: f"cc3m:path={cc3m(root)},images={root / 'images'}",
    "shards": lambda root: f"shards:path={shards(root / 'shards')}",
}
