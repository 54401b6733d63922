"""What the sources of training pairs have in common: how they are trained on, and their import."""

from __future__ import annotations

import functools
import hashlib
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol, TypeVar

from clipbench import registry
from clipbench.contracts import Progress, Recipe, no_progress
from clipbench.errors import BadSetting, MissingData
from clipbench.shards.files import sha256_file
from clipbench.shards.importing import Entry, import_set

# SafeCLIP's published settings (Yang et al., ICML 2024, and the authors' released defaults): 32
# epochs of batch 128 at 5e-4, 5 of them unimodal, 1 cross-modal at a hundredth of the rate, a
# posterior of 0.9 for the first safe set, which grows by 1% of the pairs up to 85%.
RECIPE = Recipe(
    train={"model": "RN50"},
    defenses={
        "safeclip": {
            "unimodal_epochs": 5,
            "cross_modal_epochs": 1,
            "cross_modal_lr_scale": 0.01,
            "threshold": 0.9,
            "growth": 0.01,
            "cap": 0.85,
        }
    },
)


class _Listed(Protocol):
    """What `LooseTraining` needs of the dataclass that derives from it."""

    image_size: int | None

    def __hash__(self) -> int: ...

    def entries(self) -> Iterable[Entry]: ...

    def identity(self) -> Mapping[str, Any]: ...


Self = TypeVar("Self")


class LooseTraining:
    """A training source whose pairs lie in single files; a dataclass of parameters derives from it.

    It must have a field ``image_size`` and the methods of `clipbench.shards.importing.LooseSource`.
    """

    def with_pairs(self: Self, minimum: int) -> Self:  # noqa: ARG002
        """Return this source: its size is given."""
        return self

    def num_pairs(self: _Listed) -> int:
        """Return how many pairs are listed; what can't be used is found only when it is read."""
        return _count(self, _stamp(self))

    def prepare(self: _Listed, cache: Path, progress: Progress = no_progress) -> Path:
        """Return the folder of shards under `cache`, made if it is not there yet.

        What can't be used is left out, and named in ``skipped.jsonl``; the caller decides whether
        that is an error.
        """
        name = type(self).__module__.rpartition(".")[2]
        text = repr(sorted({**self.identity(), "image_size": self.image_size}.items()))
        folder = cache / name / hashlib.sha256(text.encode()).hexdigest()[:16]
        import_set(self, folder, name=name, image_size=self.image_size, progress=progress)
        return folder

    def synonyms(self) -> Mapping[str, Sequence[str]]:
        """Return none; text augmentation then swaps, drops and repeats words."""
        return {}

    def recipe(self) -> Recipe:
        """Return the settings of SafeCLIP's authors."""
        return RECIPE


def _stamp(source: _Listed) -> tuple[tuple[str, int, int], ...]:
    """Return what changes when one of the source's files does."""
    stamps = []
    for value in registry.spec_of(source).values():
        if isinstance(value, str) and Path(value).is_file():
            status = Path(value).stat()
            stamps.append((value, status.st_size, status.st_mtime_ns))
    return tuple(stamps)


@functools.lru_cache(maxsize=16)
def _count(source: _Listed, stamp: object) -> int:  # noqa: ARG001
    return sum(1 for _ in source.entries())


def annotation(path: Path, what: str) -> dict[str, str]:
    """Return a file of annotations by its hash, for a source's identity.

    Raises:
        MissingData: it is not there.
    """
    require_file(path, what)
    return {f"{what} sha256": sha256_file(path)}


def require_file(path: Path, what: str) -> Path:
    """Return `path` if it is a file.

    Raises:
        MissingData: it is not.
    """
    if not path.is_file():
        raise MissingData(f"There is no {what} {path.absolute()}; check the path.")
    return path


def require_folder(path: Path, what: str) -> Path:
    """Return `path` if it is a folder.

    Raises:
        MissingData: it is not.
    """
    if not path.is_dir():
        raise MissingData(f"There is no {what} {path.absolute()}; check the path.")
    return path


def check_image_size(source: str, image_size: int | None) -> None:
    """Refuse an image size that no image can have.

    Raises:
        BadSetting: it is less than 1.
    """
    if image_size is not None and image_size < 1:
        raise BadSetting(f"{source}.image_size must be at least 1. Got {image_size}.")


def inside(folder: Path, name: str) -> tuple[str, tuple[str, str] | None]:
    """Return the path of a file in `folder`, and what is wrong with its name.

    Annotations come from strangers: none may name a file outside the folder that was given.
    """
    path = os.path.normpath(folder / name)
    if not name or "\0" in name:
        return "", ("image missing", "its file has no name")
    if Path(path).is_relative_to(os.path.normpath(folder)):
        return path, None
    return path, ("image outside the folder", f"{name} does not lie in {folder}")
