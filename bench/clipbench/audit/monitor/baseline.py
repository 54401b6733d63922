"""The baseline: what an audit leaves for the monitor, so that the audited shards need not stay.

It holds a model that was trained on the audited pairs, features and hashes of pairs that the model
never saw, hashes of all others, and features of suspects. No image is in it and no caption.

A baseline is a claim: it is read within limits, without running anything in it, and every file must
have the hash that ``baseline.json`` says.
"""

from __future__ import annotations

import io
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt

from clipbench.audit.monitor.pairs import Features, Hashes, Pairs
from clipbench.errors import BadSetting, CorruptData
from clipbench.files.checks import Objection
from clipbench.files.json_files import read_json, sha256_file, write_summed
from clipbench.files.typed import read_as
from clipbench.models.openclip import CONFIG_FILE
from clipbench.models.weights import WEIGHTS_FILE
from clipbench.system.durable import atomic_file, make_folder
from clipbench.tensors.arrays import read_arrays

VERSION = 2  # raise it with every change of what is kept
FOLDER, HEAD = "baseline", "baseline.json"
_MODEL = ("model/" + CONFIG_FILE, "model/" + WEIGHTS_FILE)
_HELD_OUT, _KNOWN, _SUSPECTS = "held_out.npz", "known.npz", "suspects.npz"
_FEATURES = ("image", "text")
_KINDS = {
    **dict.fromkeys(_FEATURES, "f"),
    **dict.fromkeys(("image_hash", "caption_sha256", "size", "supplier", "words"), "u"),
    "starts": "i",
}
_KNOWN_KINDS = dict.fromkeys(("image_hash", "supplier"), "u")
_UNIT = 0.01  # how far from 1 the norm of a unit feature may lie in half precision
_REMEDY = "make the baseline again with clipbench audit"


class Head(msgspec.Struct, frozen=True, kw_only=True):
    """What ``baseline.json`` says.

    Args:
        version: of the baseline's form.
        pairs: that were audited.
        held_out: pairs among them that the model never saw, and that deliveries are compared with.
        dimensions: of a feature.
        content_sha256: of the audited set.
        caption_field: of the JSON that holds captions; None: they are in ``KEY.txt``.
        supplier: field of the JSON that names suppliers; None: see `suppliers_by`.
        suppliers_by: what names suppliers.
        threshold: similarity below which a pair counts as fitting badly.
        made_of: hash of all that decides the baseline.
        files: SHA-256 of each file, by its name.
    """

    version: int
    pairs: int
    held_out: int
    dimensions: int
    content_sha256: str
    caption_field: str | None
    supplier: str | None
    suppliers_by: str
    threshold: float
    made_of: str
    files: dict[str, str]


@dataclass(frozen=True)
class Known:
    """Audited pairs that are not held out.

    Args:
        image_hash: ``(M,)`` perceptual hashes.
        supplier: hashes of all names, each once.
    """

    image_hash: Hashes
    supplier: Hashes


@dataclass(frozen=True)
class Baseline:
    """A baseline.

    Args:
        folder: where it lies.
        head: what it says of itself.
        sha256: of ``baseline.json``.
        held_out: pairs that the model never saw.
        known: all others.
        suspects: ``(S, D)`` unit features of images and of captions of the audit's suspects.
    """

    folder: Path
    head: Head
    sha256: str
    held_out: Pairs
    known: Known
    suspects: tuple[Features, Features]

    @property
    def model(self) -> tuple[str, Path]:
        """Configuration and weights of the model."""
        config, weights = (self.folder / name for name in _MODEL)
        return str(config), weights


# ------------------------------------------------------------------------------ writing


def write(
    folder: Path,
    model: Path,
    head: Mapping[str, Any],
    held_out: Pairs,
    known: Known,
    suspects: tuple[Features, Features],
) -> Head:
    """Write a baseline; its head comes last, and is its word that all else is there.

    Args:
        folder: where to.
        model: folder with the model's weights and configuration.
        head: what the head says beside sizes and hashes.
        held_out: pairs that the model never saw.
        known: all others.
        suspects: features of images and captions.
    """
    make_folder(folder / "model")
    (folder / HEAD).unlink(missing_ok=True)
    for name in _MODEL:
        with atomic_file(folder / name) as file, (model / Path(name).name).open("rb") as source:
            shutil.copyfileobj(source, file)
    half = {name: getattr(held_out, name).astype(np.float16) for name in _FEATURES}
    _write_arrays(folder / _HELD_OUT, {**vars(held_out), **half})
    _write_arrays(folder / _KNOWN, vars(known))
    both = zip(_FEATURES, suspects, strict=True)
    _write_arrays(folder / _SUSPECTS, {name: rows.astype(np.float16) for name, rows in both})
    names = (*_MODEL, _HELD_OUT, _KNOWN, _SUSPECTS)
    made = Head(
        **head,
        version=VERSION,
        held_out=len(held_out),
        dimensions=held_out.image.shape[1],
        files={name: sha256_file(folder / name) for name in names},
    )
    write_summed(folder / HEAD, msgspec.to_builtins(made))
    return made


def _write_arrays(path: Path, arrays: Mapping[str, npt.NDArray[np.generic]]) -> None:
    content = io.BytesIO()
    flat: dict[str, Any] = {name: array.reshape(-1) for name, array in arrays.items()}
    np.savez(content, **flat)
    with atomic_file(path) as file:
        file.write(content.getvalue())


# ------------------------------------------------------------------------------ reading


def check_apart(place: Path, out: Path) -> None:
    """Refuse a folder for results in which an audit or its baseline lies: they would be replaced.

    Args:
        place: of the baseline, or of the audit that it lies in.
        out: folder for results.

    Raises:
        BadSetting: they are the same, or results would lie in the baseline.
    """
    folder, results = _folder_of(place).resolve(), out.expanduser().resolve()
    if (results / FOLDER / HEAD).is_file() or folder in (results, *results.parents):
        raise BadSetting(
            f"--out {out} is the folder of an audit or of its baseline, which results would"
            " replace; choose another."
        )


def _folder_of(place: Path) -> Path:
    """Return the folder of a baseline, which may lie in that of an audit."""
    is_audit = not (place / HEAD).is_file() and (place / FOLDER).is_dir()
    return place / FOLDER if is_audit else place


def read(folder: Path) -> Baseline:
    """Return a baseline.

    Args:
        folder: of the baseline, or of the audit that it lies in.

    Raises:
        MissingData: there is none.
        CorruptData: it is damaged, contradicts itself, or is another clipbench's.
    """
    folder = _folder_of(folder)
    path = folder / HEAD
    told = read_json(path)
    try:
        if told.get("version") != VERSION:
            raise ValueError(f"it has version {str(told.get('version'))[:40]!r}, not {VERSION}")
        head = read_as(Head, told)
        _check_files(folder, head)
        held_out = _pairs(folder / _HELD_OUT, head)
        arrays = read_arrays(folder / _KNOWN, _KNOWN_KINDS)
        known = Known(**{name: array.astype(np.uint64) for name, array in arrays.items()})
        suspects = _features(read_arrays(folder / _SUSPECTS, dict.fromkeys(_FEATURES, "f")), head)
    except (Objection, OSError, ValueError) as error:
        raise CorruptData(f"The baseline {path} can't be used: {error}; {_REMEDY}.") from error
    return Baseline(folder, head, sha256_file(path), held_out, known, suspects)


def _check_files(folder: Path, head: Head) -> None:
    """Refuse a baseline of which a file is not the one that it says.

    Raises:
        ValueError: one is another, or not named.
    """
    if set(head.files) != {*_MODEL, _HELD_OUT, _KNOWN, _SUSPECTS}:
        raise ValueError("it names other files than a baseline has")
    for name, sha256 in head.files.items():
        if not (folder / name).is_file():
            raise ValueError(f"{name} is missing")
        if sha256_file(folder / name) != sha256:
            raise ValueError(f"{name} has changed since it was written")


def _pairs(path: Path, head: Head) -> Pairs:
    """Return the pairs in a file.

    Raises:
        ValueError: their numbers contradict each other.
    """
    arrays = read_arrays(path, _KINDS)
    starts = arrays["starts"].astype(np.int64)
    image, text = _features({name: arrays[name] for name in _FEATURES}, head)
    rest = {
        name: array.astype(np.uint64)
        for name, array in arrays.items()
        if name not in {*_FEATURES, "starts"}
    }
    lengths = {len(image), len(text), len(starts) - 1}
    lengths |= {len(array) for name, array in rest.items() if name != "words"}
    is_rising = len(starts) > 0 and starts[0] == 0 and bool((np.diff(starts) >= 0).all())
    if lengths != {head.held_out} or not is_rising or starts[-1] != len(rest["words"]):
        raise ValueError(f"{path.name} contradicts itself")
    return Pairs(image=image, text=text, starts=starts, **rest)


def _features(
    arrays: Mapping[str, npt.NDArray[np.generic]], head: Head
) -> tuple[Features, Features]:
    """Return unit features of images and captions, normalized anew after half precision.

    Raises:
        ValueError: they are no unit features of the size that the head says.
    """
    if head.dimensions < 1:
        raise ValueError(f"dimensions must be at least 1, but is {head.dimensions}")
    found = []
    for name in _FEATURES:
        if len(arrays[name]) % head.dimensions:
            raise ValueError(f"{name} has not {head.dimensions} numbers for each pair")
        rows = arrays[name].astype(np.float32).reshape(-1, head.dimensions)
        norms = np.linalg.norm(rows, axis=1, keepdims=True)
        if not bool((np.abs(norms - 1) < _UNIT).all()):
            raise ValueError(f"{name} are no unit features")
        found.append((rows / norms).astype(np.float32))
    return found[0], found[1]
