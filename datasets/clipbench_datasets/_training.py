"""What the sources of training pairs have in common: how they are trained on, and their checks."""

from __future__ import annotations

import os
from pathlib import Path

from clipbench.contracts import Recipe
from clipbench.files.json_files import sha256_file
from clipbench.importing import loose

from . import _files as files

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
        },
        # RoCLIP's (Yang et al., NeurIPS 2023): 24 epochs of batch 512 at 5e-5, a fixed pool.
        "roclip": {"pool_size": 21_845, "train": {"epochs": 24, "batch_size": 512, "lr": 5e-5}},
    },
)


class LooseTraining(loose.LooseTraining):
    """A training source whose pairs lie in single files."""

    def recipe(self) -> Recipe:
        """Return the settings of SafeCLIP's authors."""
        return RECIPE


def annotation(path: Path, what: str) -> dict[str, str]:
    """Return a file of annotations by its hash, for a source's identity.

    Raises:
        MissingData, BadSetting: it is not there, or is no file.
    """
    files.require_file(path, what)
    return {f"{what} sha256": sha256_file(path)}


def inside(folder: Path, name: str, outside: bool) -> tuple[str, tuple[str, str] | None]:
    """Return the path of a file in `folder`, and what is wrong with its name.

    Args:
        folder: where it must lie.
        name: what a list calls it.
        outside: whether it may lie elsewhere, too.
    """
    if not name or "\0" in name:
        return "", ("image missing", "its file has no name")
    if outside:
        return os.path.normpath(folder / name), None
    path, leave = files.path_in(folder, name), "outside=true takes in such files"
    if path is None:
        why = f"{name} does not lie in {folder}; {leave}"
        return str(folder / name), ("image outside the folder", why)
    if files.leads_out(folder, path):
        return path, ("image outside the folder", f"{name} is a link out of {folder}; {leave}")
    return path, None
