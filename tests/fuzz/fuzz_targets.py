"""What reads the files of strangers: each reader with its seeds, and what a right answer is.

A reader may return, or raise an error of clipbench's. Where another reader knows the right answer,
it is asked.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import tarfile
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from random import Random

import fuzz_mutate as mutate
import fuzz_seeds as seeds
import numpy as np
from PIL import Image as Pil

from clipbench.checkpoints.record import read_record
from clipbench.checkpoints.trace import read_trace
from clipbench.errors import ClipbenchError
from clipbench.files.tar import members
from clipbench.images import png
from clipbench.images.encoding import calm, decode, encode_like, image_size, jpeg_components
from clipbench.images.normalize import normalized
from clipbench.importing.screen import problem_of
from clipbench.models.openclip import model_config
from clipbench.poisoning.ledger import read_ledger
from clipbench.results.reported import read_csv
from clipbench.results.result import read_result
from clipbench.shards import index as indexing
from clipbench.shards import manifest as manifests
from clipbench.shards import sizes, skipped
from clipbench.shards.reader import ShardSet
from clipbench.shards.scan import groups
from clipbench.tensors.files import NotTensors, read_tensors
from clipbench.verification.set_checks import set_checks
from clipbench_datasets.cc3m import CC3M
from clipbench_datasets.coco import Coco
from clipbench_datasets.csv import Csv
from clipbench_datasets.visual_genome import VisualGenome

_LONGEST = 5000  # characters of a message
_LARGE = 1 << 20  # pixels


class Wrong(AssertionError):
    """A reader gave another answer than the one that is right."""


@dataclass(frozen=True)
class Target:
    """A reader.

    Args:
        seeds: makes sound files.
        mutators: make others of them.
        read: reads a content; it is given an empty folder, too.
    """

    seeds: Callable[[], list[bytes]]
    mutators: Sequence[mutate.Mutator]
    read: Callable[[bytes, Path], None]

    @cached_property
    def sound(self) -> list[bytes]:
        """Sound files, made once."""
        return self.seeds()

    def spoiled(self, rng: Random) -> bytes:
        """Return another file, made of one of them."""
        return rng.choice(self.mutators)(self.sound, rng)


@contextlib.contextmanager
def refusals() -> Iterator[None]:
    """Let pass what says in clipbench's own words what is wrong; what prints it escapes it."""
    try:
        yield
    except (ClipbenchError, NotTensors) as error:
        if len(str(error)) > _LONGEST:
            raise Wrong(f"a message of {len(str(error))} characters") from error


def _file(folder: Path, name: str, content: bytes) -> Path:
    path = folder / name
    path.write_bytes(content)
    return path


def _tar(content: bytes, folder: Path) -> None:
    path = _file(folder, "00000.tar", content)
    with refusals():
        found = list(members(path))
        _compare_with_tarfile(path, found)
    with refusals():
        for group in groups(path):
            group.words(), group.image(), group.other_image()


def _compare_with_tarfile(path: Path, found: Sequence[object]) -> None:
    """Raise `Wrong` where tarfile sees other members of a tar that it reads to its end."""
    try:
        with tarfile.open(path, "r:", errors="surrogateescape") as file:
            theirs = [
                (one.name, one.size, one.offset_data)
                for one in file
                if one.isreg() and not one.issparse()
            ]
            whole = file.fileobj is not None and file.offset >= 512
    except (tarfile.TarError, ValueError, OverflowError, UnicodeError, EOFError, TypeError):
        return
    ours = [
        (one.name.decode(errors="surrogateescape").rstrip("/"), one.size, one.offset)
        for one in found
        if not one.is_sparse  # type: ignore[attr-defined]
    ]
    theirs = [(name.rstrip("/"), size, at) for name, size, at in theirs]
    # It ends at a header that it can't read without a word, and then has fewer.
    if whole and [one[1:] for one in ours[: len(theirs)]] != [one[1:] for one in theirs]:
        raise Wrong(f"members {ours[:5]}, and {theirs[:5]} by tarfile")


def _shard_set(content: bytes, folder: Path) -> None:
    _file(folder, "00000.tar", content)
    for field in (None, "caption"):
        with refusals():
            shards = ShardSet.open(folder, caption_field=field, on_incomplete="skip")
            with refusals():
                shards.captions()
            for pair in range(min(3, len(shards))):
                with refusals():
                    problem_of(shards, pair)
                shards.key(pair), shards.where(pair)


def _image(content: bytes, folder: Path) -> None:  # noqa: ARG001
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Pillow's, of odd files
        size, pixels = None, None
        with refusals():
            size = image_size(content)
        if size is not None and size[0] * size[1] > _LARGE:
            return  # decoding takes what so many pixels take, which MAX_PIXELS bounds
        with refusals():
            normalized(content, 8)
        jpeg_components(content)
        with refusals():
            pixels = decode(content)
        if pixels is None:
            return
        if size != (pixels.shape[1], pixels.shape[0]):
            raise Wrong(f"{size} by its header, {pixels.shape} decoded")
        _compare_with_pillow(content, pixels)
        with refusals():
            data, _ = encode_like(pixels, content)
            if decode(data).shape != pixels.shape:
                raise Wrong("another size when it was encoded again")
        if content[:8] == png.SIGNATURE:
            png.chunks(content)


def _compare_with_pillow(content: bytes, pixels: np.ndarray) -> None:  # type: ignore[type-arg]
    try:
        with Pil.open(io.BytesIO(calm(content)), formats=("JPEG", "PNG", "WEBP")) as image:
            size = image.size
            image.load()
    except Exception:  # noqa: BLE001 - Pillow may read less than we do, and fails in many ways
        return
    if size != (pixels.shape[1], pixels.shape[0]):
        raise Wrong(f"{pixels.shape}, and {size} by Pillow")


def _sidecar(content: bytes, folder: Path) -> None:
    with tarfile.open(folder / "00000.tar", "w") as made:
        parts = {"0.jpg": TARGETS["jpeg"].sound[0], "0.json": content, "0.txt": b"x"}
        for name, part in parts.items():
            info = tarfile.TarInfo(name)
            info.size = len(part)
            made.addfile(info, io.BytesIO(part))
    for field in (None, "caption"):
        with refusals():
            shards = ShardSet.open(folder, caption_field=field, on_incomplete="skip")
            with refusals():
                shards.metadata(0)
            with refusals():
                shards.caption(0)
            problem_of(shards, 0)


def _table(content: bytes, folder: Path) -> None:
    path = _file(folder, "pairs.csv", content)
    for quotes in ("csv", "plain"):
        with refusals():
            for _ in Csv(path, quotes=quotes).entries():  # type: ignore[arg-type]
                pass


def _list(content: bytes, folder: Path) -> None:
    path = _file(folder, "pairs.tsv", content)
    mapping = _file(folder, "map.tsv", b"http://x/0.jpg\t0.jpg\nhttp://x/1.jpg\t../1.jpg\n")
    _file(folder, "0.jpg", b"")
    for given in (None, mapping):
        with refusals():
            list(CC3M(path, folder, given).entries())
    with refusals():
        list(CC3M(mapping, folder, path).entries())


def _coco(content: bytes, folder: Path) -> None:
    path = _file(folder, "captions.json", content)
    _file(folder, "0.jpg", b"")
    for captions in ("all", "first", "random"):
        with refusals():
            list(Coco(path, folder, captions).entries())  # type: ignore[arg-type]


def _genome(content: bytes, folder: Path) -> None:
    path = _file(folder, "region_descriptions.json", content)
    _file(folder, "1.jpg", b"")
    with refusals():
        list(VisualGenome(path, folder).entries())


def _head(content: bytes, folder: Path) -> None:
    _file(folder, "ledger.parquet", TARGETS["parquet"].sound[0])
    with refusals():
        read_ledger(_file(folder, "ledger.json", content))


def _rows(content: bytes, folder: Path) -> None:
    _file(folder, "ledger.parquet", content)
    head = json.loads(TARGETS["ledger"].sound[0])
    head["rows_sha256"] = hashlib.sha256(content).hexdigest()
    with refusals():
        read_ledger(_file(folder, "ledger.json", json.dumps(head).encode()))


def _manifest(content: bytes, folder: Path) -> None:
    _file(folder, "manifest.json", content)
    shard = _file(folder, "00000.tar", TARGETS["tar"].sound[0])
    with refusals():
        manifests.read(folder)
    with refusals():
        manifests.is_joined(folder)
    with refusals():
        manifests.of_shards([shard], whole_folder=True)


def _counts(content: bytes, folder: Path) -> None:
    _file(folder, "00000.tar", TARGETS["tar"].sound[0])
    for name in ("sizes.json", "_info.json", "_stats.json"):
        _file(folder, name, content)
    with refusals():
        shards = ShardSet.open(folder, on_incomplete="skip")
        list(sizes.wrong(shards))
        list(set_checks(folder, shards, ["00" * 32]))
    with refusals():
        if (stats := skipped.read_stats(folder)) is not None:
            skipped.summary(stats.left_out)


def _left_out(content: bytes, folder: Path) -> None:
    path = _file(folder, skipped.NAME, content)
    with refusals():
        list(skipped.lines(path))
    with refusals():
        skipped.first(folder)


def _result(content: bytes, folder: Path) -> None:
    with refusals():
        read_result(_file(folder, "result.json", content))


def _reported(content: bytes, folder: Path) -> None:
    with refusals():
        read_csv(_file(folder, "reported.csv", content))


def _record(content: bytes, folder: Path) -> None:
    _file(folder, "exposures.npy", TARGETS["array"].sound[0])
    _file(folder, "record.json", content)
    with refusals():
        read_record(folder, "x")


def _array(content: bytes, folder: Path) -> None:
    _file(folder, "exposures.npy", content)
    _file(folder, "record.json", TARGETS["record"].sound[0])
    with refusals():
        read_record(folder, "x")


def _trace(content: bytes, folder: Path) -> None:
    with refusals():
        read_trace(_file(folder, "0000.npz", content))


def _index(content: bytes, folder: Path) -> None:
    path = _file(folder, "index.bin", content)
    for opened in (False, True):
        with refusals():
            found = indexing.read_index(path, opened=opened)
            if found is not None and not opened and found.index.tobytes() != _sound_index():
                raise Wrong("an index that nobody sealed is believed")


def _sound_index() -> bytes:
    return TARGETS["index"].sound[0][-2 * indexing.index_dtype(5).itemsize :]


def _weights(content: bytes, folder: Path) -> None:
    for name in ("weights.pt", "weights.safetensors"):
        with refusals():
            read_tensors(_file(folder, name, content))


def _configuration(content: bytes, folder: Path) -> None:
    with refusals():
        model_config(str(_file(folder, "model.json", content)))


TARGETS = {
    "tar": Target(seeds.tars, (mutate.tar, mutate.spoiled), _tar),
    "shards": Target(seeds.tars, (mutate.tar, mutate.spoiled), _shard_set),
    "jpeg": Target(seeds.jpegs, (mutate.spoiled,), _image),
    "png": Target(seeds.pngs, (mutate.png, mutate.spoiled), _image),
    "webp": Target(seeds.webps, (mutate.spoiled,), _image),
    "sidecar": Target(seeds.sidecars, (mutate.json_text, mutate.spoiled), _sidecar),
    "csv": Target(seeds.tables, (mutate.spoiled,), _table),
    "cc3m": Target(seeds.lists, (mutate.spoiled,), _list),
    "coco": Target(seeds.annotations, (mutate.json_text, mutate.spoiled), _coco),
    "genome": Target(seeds.regions, (mutate.json_text, mutate.spoiled), _genome),
    "ledger": Target(seeds.heads, (mutate.json_text, mutate.spoiled), _head),
    "parquet": Target(seeds.rows, (mutate.spoiled,), _rows),
    "manifest": Target(seeds.manifests, (mutate.json_text, mutate.spoiled), _manifest),
    "counts": Target(seeds.counts, (mutate.json_text, mutate.spoiled), _counts),
    "left_out": Target(seeds.left_out, (mutate.spoiled,), _left_out),
    "result": Target(seeds.results, (mutate.json_text,), _result),
    "reported": Target(seeds.reported, (mutate.spoiled,), _reported),
    "record": Target(seeds.records, (mutate.json_text, mutate.spoiled), _record),
    "array": Target(seeds.arrays, (mutate.spoiled,), _array),
    "trace": Target(seeds.traces, (mutate.spoiled,), _trace),
    "index": Target(seeds.indexes, (mutate.spoiled,), _index),
    "weights": Target(seeds.weights, (mutate.spoiled,), _weights),
    "configuration": Target(seeds.configurations, (mutate.json_text,), _configuration),
}
