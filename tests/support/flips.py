"""One byte turned in a file that is kept, its size and times as they were: what comes of it?

A disk that rots does just that. What reads the file afterwards must notice, and make it again or
refuse it in a line, or the byte must be one that decides nothing.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import random
import shutil
import warnings
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import pandas as pd
import torch
from small_runs import TRAIN, Place, config_of

from clipbench.checkpoints.checkpoint import load_checkpoint, save_checkpoint
from clipbench.checkpoints.record import read_record
from clipbench.checkpoints.stages import SharedStages
from clipbench.checkpoints.trace import read_trace
from clipbench.configuration.identity import write_places
from clipbench.configuration.places import PLACES, read_sealed
from clipbench.contracts import Stage
from clipbench.errors import ClipbenchError
from clipbench.files.contents import FileHashes
from clipbench.files.sums import FIELD
from clipbench.importing.screen import screen
from clipbench.loading.decoded import DecodedImages
from clipbench.loading.originals import FittedImages
from clipbench.models.openclip import create_model, load_weights
from clipbench.poisoning.ledger import read_ledger
from clipbench.poisoning.overlay import write_poisoned
from clipbench.results.store import load_results
from clipbench.shards.reader import ShardSet
from clipbench.training import resume

SIDE = 32
RUN: dict[str, Any] = {
    "attack": "badnets",
    "defense": "clip",
    "data": "shapes:size=80,test_size=100,targets_size=10",
    "train": {**TRAIN, "batch_size": 40, "save_frequency": 1},
}


@dataclass
class Home:
    """A run that is done, with all that it left, and the checkpoint that it wrote on the way.

    Args:
        place: its cache and folder.
        run: its own folder.
        checkpoint: a copy of its checkpoint.
        kept: content and state of every file.
    """

    place: Place
    run: Path
    checkpoint: Path
    kept: dict[Path, tuple[bytes, os.stat_result]] = field(default_factory=dict)

    @classmethod
    def make(cls, folder: Path) -> Home:
        """Do the run."""
        place, config, checkpoint = Place(folder), config_of(**RUN), folder / "checkpoint.pt"

        def saving(path: Path, content: dict[str, Any]) -> None:
            save_checkpoint(path, content)
            if path.name == checkpoint.name:
                shutil.copy(path, checkpoint)

        with mock.patch.object(resume, "save_checkpoint", saving):
            place.execute(config)
        home = cls(place, place.folder_of(config), checkpoint)
        for shards in (home.clean, home.poisoned):
            opened = ShardSet.open(shards)
            screen(opened, place.cache / "screened", workers=0)
            DecodedImages.open(opened, SIDE, place.cache / "decoded", workers=0)
        FileHashes(place.cache).of_file(checkpoint)
        os.utime(checkpoint, (0, 0))
        FileHashes(place.cache).of_file(checkpoint)
        write_places(dataclasses.replace(config, code={"attack": "0"}), home.ledger.parent)
        home.kept = {path: (path.read_bytes(), path.stat()) for path in files_in(folder)}
        return home

    @property
    def clean(self) -> Path:
        """The clean set."""
        return next((self.place.cache / "shapes").glob("v*"))

    @property
    def poisoned(self) -> Path:
        """The poisoned set."""
        return next((self.place.cache / "poisoned").glob("*/shards"))

    @property
    def ledger(self) -> Path:
        """Its ledger."""
        return self.poisoned.with_name("ledger") / "ledger.json"

    def known(self, file: Path, content: Mapping[str, Any]) -> dict[str, Any]:
        """Return what an object says under the names that it had; of others nobody reads."""
        names = json.loads(self.kept[file][0]) if file in self.kept else content
        return {name: content.get(name) for name in names if name != FIELD}

    def restore(self, turned: Path | None = None) -> None:
        """Put every file back as it was, under its number, and remove what has come since.

        Args:
            turned: the file that has changed though its size and times say that it has not.
        """
        for path in files_in(self.place.folder):
            if path not in self.kept:
                path.unlink()
        for path, (content, status) in self.kept.items():
            if path != turned and path.exists():
                now = path.stat()
                if (now.st_mtime_ns, now.st_ino) == (status.st_mtime_ns, status.st_ino):
                    continue
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()
            path.write_bytes(content)
            os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))


def files_in(folder: Path) -> list[Path]:
    """Return all files in a folder, hidden ones too."""
    return sorted(path for path in folder.rglob("*") if path.is_file())


# --------------------------------------------------------------------------- what reads them


def of_pairs(folder: Path, home: Home, *, decoded: bool) -> Any:
    """Return all that is read of a set."""
    shards = ShardSet.open(folder)
    numbers = np.arange(len(shards))
    store = FittedImages(shards, SIDE)
    if decoded:
        store = DecodedImages.open(shards, SIDE, home.place.cache / "decoded", workers=0)  # type: ignore[assignment]
    return [
        shards.content_sha256(),
        home.known(
            folder / "manifest.json", {} if shards.manifest is None else shards.manifest.to_json()
        ),
        shards.index["key"].tolist(),
        shards.captions(),
        [shards.metadata(number) for number in numbers.tolist()],
        store.gather(numbers).copy(),
    ]


def of_result(home: Home) -> Any:
    """Return what a row says."""
    return [home.known(home.run / "result.json", row.record) for row in load_results([home.run])]


def of_poisoning(home: Home) -> Any:
    """Return what a clean set becomes where it is poisoned anew."""
    config = config_of(**RUN)
    base, out = ShardSet.open(home.clean), home.place.folder / "again"
    from clipbench.planning.parts import Parts  # noqa: PLC0415

    parts = Parts.of(config)
    made = write_poisoned(
        base,
        parts.attack,
        parts.held_out.scene(6, 0),
        out,
        attack_name="badnets",
        attack_parameters={},
        dataset={},
    )
    found = [made.shards.content_sha256(), read_ledger(made.ledger).sha256]
    shutil.rmtree(out)
    return found


def of_ledger(home: Home) -> Any:
    """Return all that a ledger says."""
    return vars(read_ledger(home.ledger))


def of_weights(path: Path) -> Any:
    """Return the weights of a file."""
    model = _model()
    load_weights(model, path)
    return model.state_dict()


@cache
def _model() -> torch.nn.Module:
    return create_model("shapes-32", 0)[0]


def of_stage(home: Home) -> Any:
    """Return what is taken over of a stage; None where it must be trained again."""
    (kept,) = (home.place.cache / "stages").iterdir()
    with mock.patch.object(SharedStages, "key", return_value=_fingerprint(home)):
        shared = SharedStages(kept.parent, "base")
        folder = home.place.folder / "taken"
        shutil.rmtree(folder, ignore_errors=True)
        if (content := shared.take(Stage(2), folder)) is None:
            return None
        traces = [read_trace(path) for path in sorted(folder.glob("trace/*"))]
        return content, [vars(trace) for trace in traces]


def _fingerprint(home: Home) -> str:
    (file,) = (path for path in home.kept if path.name == "stage.pt")
    at = home.kept[file][0].find(file.parent.name.encode())
    return home.kept[file][0][at : at + 64].decode()


def of_record(home: Home) -> Any:
    """Return what a finished training says."""
    fingerprint = json.loads(home.kept[home.run / "train" / "record.json"][0])["fingerprint"]
    record = read_record(home.run / "train", fingerprint)
    return record and vars(record)


def of_checkpoint(home: Home) -> Any:
    """Return what a training goes on from."""
    fingerprint = json.loads(home.kept[home.run / "train" / "record.json"][0])["fingerprint"]
    return load_checkpoint(home.checkpoint, fingerprint)


@dataclass(frozen=True)
class Kind:
    """A kind of file.

    Args:
        files: which they are.
        look: what reads them.
        without: names of what is removed before.
    """

    files: Callable[[Home], list[Path]]
    look: Callable[[Home], Any]
    without: tuple[str, ...] = ()


def _in(pattern: str) -> Callable[[Home], list[Path]]:
    return lambda home: sorted(home.place.folder.glob(pattern))


def _pairs(name: str, *, decoded: bool) -> Callable[[Home], Any]:
    return lambda home: of_pairs(getattr(home, name), home, decoded=decoded)


_NO_CACHE = ("decoded", ".clipbench")
_CLEAN, _POISONED = "cache/shapes/*/*.tar", "cache/poisoned/*/shards/*.tar"
KINDS = {
    "clean shard, decoded": Kind(_in(_CLEAN), _pairs("clean", decoded=True)),
    "clean shard, indexed": Kind(_in(_CLEAN), _pairs("clean", decoded=False)),
    "clean shard, to be decoded": Kind(_in(_CLEAN), _pairs("clean", decoded=True), ("decoded",)),
    "clean shard, alone": Kind(_in(_CLEAN), _pairs("clean", decoded=True), _NO_CACHE),
    "clean shard, poisoned anew": Kind(_in(_CLEAN), of_poisoning),
    "poisoned shard, decoded": Kind(_in(_POISONED), _pairs("poisoned", decoded=True)),
    "poisoned shard, indexed": Kind(_in(_POISONED), _pairs("poisoned", decoded=False)),
    "poisoned shard, alone": Kind(_in(_POISONED), _pairs("poisoned", decoded=True), _NO_CACHE),
    "manifest.json": Kind(
        _in("cache/*/**/manifest.json"),
        lambda home: [
            of_pairs(folder, home, decoded=True) for folder in (home.clean, home.poisoned)
        ],
    ),
    "ledger.json": Kind(_in("cache/poisoned/*/ledger/ledger.json"), of_ledger),
    "ledger.parquet": Kind(_in("cache/poisoned/*/ledger/ledger.parquet"), of_ledger),
    "ledger.sha256": Kind(_in("cache/poisoned/*/ledger/ledger.sha256"), of_ledger),
    "index": Kind(_in("cache/shapes/*/.clipbench/index-*"), _pairs("clean", decoded=False)),
    "hashes.json": Kind(
        _in("cache/shapes/*/.clipbench/hashes.json"), _pairs("clean", decoded=True)
    ),
    "decoded images": Kind(_in("cache/decoded/*.npy"), _pairs("poisoned", decoded=True)),
    "stage": Kind(_in("cache/stages/*/**/*.*"), of_stage),
    "checkpoint": Kind(lambda home: [home.checkpoint], of_checkpoint),
    "weights": Kind(_in("runs/*/model/*.safetensors"), lambda home: of_weights(home.run)),
    "weights of an epoch": Kind(
        _in("runs/*/train/epochs/0001.pt"),
        lambda home: of_weights(home.run / "train" / "epochs" / "0001.pt"),
    ),
    "exposures": Kind(_in("runs/*/train/exposures.npy"), of_record),
    "record.json": Kind(_in("runs/*/train/record.json"), of_record),
    "trace": Kind(
        _in("runs/*/train/trace/0000.npz"),
        lambda home: vars(read_trace(home.run / "train" / "trace" / "0000.npz")),
    ),
    "result.json": Kind(_in("runs/*/result.json"), of_result),
    "screened": Kind(
        _in("cache/screened/*"),
        lambda home: [
            [
                vars(one)
                for one in screen(ShardSet.open(folder), home.place.cache / "screened", workers=0)
            ]
            for folder in (home.clean, home.poisoned)
        ],
    ),
    "hashes of files": Kind(
        _in("cache/hashes/*"), lambda home: FileHashes(home.place.cache).of_file(home.checkpoint)
    ),
    "places.json": Kind(
        _in("cache/poisoned/*/ledger/places.json"),
        lambda home: read_sealed(home.ledger.with_name(PLACES)),
    ),
}


# --------------------------------------------------------------------------- turning bytes


def turned(home: Home, kind: Kind, places: int, seed: int) -> Counter[str]:
    """Return how often a turned byte was noticed, refused or without influence; or else what else.

    Args:
        home: the run.
        kind: the files.
        places: bytes to turn, one after another.
        seed: decides which.
    """
    draw, found = random.Random(seed), Counter[str]()
    wanted = digest(look(home, kind)[1])
    path: Path | None = None
    for _ in range(places):
        home.restore(path)
        files = kind.files(home)
        path = draw.choices(files, [file.stat().st_size for file in files])[0]
        place, by = draw.randrange(path.stat().st_size), draw.randrange(1, 256)
        turn(path, place, by)
        said, value = look(home, kind)
        if said.startswith("unexpected"):
            found[f"{said} ({path.name} {place} {by})"] += 1
        elif said == "refused":
            found[said] += 1
        elif digest(value) == wanted:
            found["made again" if said else "no influence"] += 1
        elif value is None:
            found["made again"] += 1
        else:
            found[f"SILENT ({path.name} {place} {by})"] += 1
    home.restore(path)
    return found


def look(home: Home, kind: Kind) -> tuple[str, Any]:
    """Return what a reader says of a kind of file, and what it makes of it."""
    for name in kind.without:
        for folder in home.place.cache.rglob(name):
            shutil.rmtree(folder)
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        try:
            value = kind.look(home)
        except ClipbenchError as error:
            return ("refused" if "\n" not in str(error) else f"unexpected lines: {error}"), None
        except Exception as error:  # noqa: BLE001 - what this is about
            return f"unexpected {type(error).__name__}: {error}", None
    return "; ".join(str(one.message) for one in told), value


def turn(path: Path, place: int, by: int) -> None:
    """Turn a byte of a file and nothing else of it."""
    status = path.stat()
    with path.open("r+b") as file:
        file.seek(place)
        (old,) = file.read(1)
        file.seek(place)
        file.write(bytes([old ^ by]))
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))


def digest(value: Any) -> str:
    """Return a hash of nested containers of arrays, tensors, frames and plain values."""
    return hashlib.sha256("\n".join(_texts(value)).encode(errors="surrogatepass")).hexdigest()


def _texts(value: Any) -> list[str]:
    if isinstance(value, torch.Tensor):
        value = value.numpy()
    if isinstance(value, np.ndarray):
        content = np.ascontiguousarray(value).tobytes()
        return [f"{value.dtype} {value.shape} {hashlib.sha256(content).hexdigest()}"]
    if isinstance(value, pd.DataFrame):
        return [value.to_json()]
    if isinstance(value, Mapping):
        return [text for key in value for text in (repr(key), *_texts(value[key]))]
    if isinstance(value, list | tuple):
        return [text for item in value for text in ("-", *_texts(item))]
    return [repr(value)]
