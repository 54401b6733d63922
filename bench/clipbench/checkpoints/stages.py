"""Training stages, and a cache for first stages shared by several defenses."""

from __future__ import annotations

import hashlib
import json
import shutil
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from clipbench.checkpoints.checkpoint import load_checkpoint, save_checkpoint
from clipbench.checkpoints.trace import read_trace
from clipbench.contracts import Stage
from clipbench.errors import CorruptData
from clipbench.files.json_files import link_or_copy
from clipbench.system.durable import clear_leftovers, make_folder, publish, unfinished
from clipbench.tensors.files import NotTensors, read_tensors

_PARTS = ("trace", "epochs")  # folders of a training run that its later readers need


@dataclass(frozen=True)
class Place:
    """Where an epoch lies: its stage, its number in it.

    Args:
        stage: the stage.
        epoch: number of the epoch in its stage.
        is_new_stage: whether this is the first epoch of a stage, and not of the training.
        ends_first: whether this is the last epoch of the first stage.
    """

    stage: Stage
    epoch: int
    is_new_stage: bool
    ends_first: bool

    @classmethod
    def of(cls, epoch: int, stages: Sequence[Stage]) -> Place:
        """Return where epoch 0, 1, ... of the training lies."""
        within = epoch
        for stage in stages:
            if within < stage.epochs:
                return cls(
                    stage,
                    within,
                    is_new_stage=within == 0 and epoch > 0,
                    ends_first=epoch == stages[0].epochs - 1,
                )
            within -= stage.epochs
        raise IndexError(epoch)


@dataclass(frozen=True)
class SharedStages:
    """First stages that were trained, kept for other defenses that begin alike.

    Args:
        folder: where they are kept.
        base: identifies everything but the stage that decides its numbers: set, seed, settings,
            the code that trains, and the machine's way of computing.
        code: identifies of that the code, with the versions of packages; empty: not known.
    """

    folder: Path
    base: str
    code: str = ""

    def key(self, stage: Stage) -> str:
        """Return what identifies a stage, its place in the training being the first."""
        text = json.dumps([self.base, asdict(stage)], sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()

    def path(self, stage: Stage) -> Path:
        """Return where a stage's weights lie if it is kept."""
        return self.folder / self.key(stage)[:16] / "stage.pt"

    def take(self, stage: Stage, folder: Path) -> dict[str, object] | None:
        """Return what `keep` kept of a stage, or None; its traces are put into `folder`.

        What was kept and is damaged goes, for it can be made again.
        """
        path, key = self.path(stage), self.key(stage)
        kept = path.parent
        try:
            content = load_checkpoint(path, key)
            for name in _PARTS:
                _refuse_damaged(kept / name)
        except (CorruptData, NotTensors):
            warnings.warn(f"{kept} was damaged; that stage is trained again", stacklevel=2)
            shutil.rmtree(kept, ignore_errors=True)
            return None
        if content is None:
            return None
        for name in _PARTS:
            _link_files(kept / name, folder / name)
        return content

    def keep(self, stage: Stage, folder: Path, content: Mapping[str, object]) -> None:
        """Keep a stage that was trained in `folder`, unless it is kept already."""
        path, key = self.path(stage), self.key(stage)
        kept = path.parent
        if kept.exists():
            return
        make_folder(self.folder)
        clear_leftovers(self.folder)
        fresh = unfinished(kept)
        for name in _PARTS:
            _link_files(folder / name, fresh / name)
        save_checkpoint(fresh / path.name, {"fingerprint": key, **content})
        try:
            publish(fresh, kept)
        except OSError:  # another process kept it meanwhile
            shutil.rmtree(fresh)


def _refuse_damaged(folder: Path) -> None:
    """Refuse traces, and weights kept of epochs, that are not what was written.

    Raises:
        CorruptData, NotTensors: one is not.
    """
    for file in sorted(folder.glob("*.npz")):
        read_trace(file)
    for file in sorted(folder.glob("*.pt")):
        read_tensors(file, own=True)


def _link_files(source: Path, target: Path) -> None:
    """Give a folder the files of another, whole and under their names."""
    for file in sorted(source.glob("*")) if source.is_dir() else ():
        if file.name.startswith("."):
            continue
        target.mkdir(parents=True, exist_ok=True)
        (target / file.name).unlink(missing_ok=True)
        link_or_copy(file, target / file.name)
