"""The folder of a run: a name that people can read, with the run's id at its end."""

from __future__ import annotations

import re
import warnings
from collections.abc import Sequence
from pathlib import Path

from clipbench.configuration.config import RunConfig
from clipbench.errors import Torn
from clipbench.results.names import CHECKPOINT, RESULT
from clipbench.results.result import read_result

_UNSAFE = re.compile(r"[^A-Za-z0-9_.+-]+")
_LONGEST = 24  # characters of each word, of which there are at most four beside the id


def folder_of(config: RunConfig, out: Path) -> Path:
    """Return the folder of a run in `out`: the one that is there, or the one to make.

    Args:
        config: the run, known by its content.
        out: folder of the runs.
    """
    return named_folder(out, words(config), config.id)


def named_folder(out: Path, words: Sequence[str], id_: str) -> Path:
    """Return the folder of what has an id, e.g. ``targeted_1.4pct_safeclip_s0_109b0b7c29d18194``.

    What counts is the id at the end of the name: a folder named after that alone, as clipbench once
    did, is found, and so is one that a person gave another beginning. Any file system takes the
    name: letters, digits and ``+ - . _``, at most 120 of them.

    Args:
        out: where it lies.
        words: what its name says, at most four.
        id_: its id.
    """
    wanted = out / "_".join([*map(_safe, words), id_])
    there = [out / id_, wanted, *sorted(out.glob(f"*_{id_}"))]
    return next((folder for folder in there if folder.is_dir()), wanted)


def words(config: RunConfig) -> list[str]:
    """Return what the name of a run's folder says of it: attack and amount, defense, seed."""
    attack = ["clean"] if config.is_clean else [config.attack_name, _amount(config)]
    return [_safe(word) for word in (*attack, config.defense_name, _seeds(config))]


def _seeds(config: RunConfig) -> str:
    apart = "" if config.poison_seed is None else f"p{config.poison_seed}"
    return f"s{config.seed}{apart}"


def _amount(config: RunConfig) -> str:
    if config.rate is None:
        return f"{config.poisons}poisons"
    return f"{config.rate.percent}pct"


def _safe(word: str) -> str:
    return _UNSAFE.sub("-", word)[:_LONGEST].strip("-.") or "x"


def has_result(folder: Path, *, clear: bool = False) -> bool:
    """Return whether a run's folder holds its result; one that is cut off is none.

    Args:
        folder: the run's folder.
        clear: remove one that is cut off, and say so, for it is about to be made again; beside a
            whole one remove the training's checkpoint, which a power cut may have brought back.

    Raises:
        CorruptData: it is whole, and no result.
    """
    path = folder / RESULT
    if not path.is_file():
        return False
    try:
        read_result(path)
    except Torn:
        if clear:
            warnings.warn(f"{path} was cut off, as by a power cut; it is made again", stacklevel=2)
            path.unlink(missing_ok=True)
        return False
    if clear:
        (folder / "train" / CHECKPOINT).unlink(missing_ok=True)
    return True
