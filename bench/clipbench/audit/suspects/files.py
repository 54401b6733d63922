"""The files of suspects: scores of all pairs, and the first of them for a spreadsheet."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from clipbench.audit.suspects.found import Suspect, Suspects
from clipbench.custody.record import note_file
from clipbench.files.json_files import sha256_file
from clipbench.leaderboard.render import to_csv
from clipbench.system.durable import atomic_file, make_folder

FIRST_SPLIT = "first_split.parquet"  # similarities by which SafeCLIP parts pairs at first
HEAD = ("list", "rank", "rank of supplier", "key", "shard", "index", "supplier", "caption")


def write_scores(
    path: Path, scores: Mapping[str, npt.NDArray[np.float32]], ranks: npt.NDArray[np.int64]
) -> str:
    """Write a row per pair, and return the hash of the file.

    Args:
        path: the Parquet file.
        scores: ``(N,)`` by method; low is suspicious.
        ranks: ``(N,)``; 1 is the most suspicious.
    """
    _write_table(path, {"index": np.arange(len(ranks), dtype=np.int64), **scores, "rank": ranks})
    note_file(path)
    return sha256_file(path)


def write_splits(path: Path, splits: Mapping[int, npt.NDArray[np.float32]]) -> str:
    """Write the similarities at SafeCLIP's first split, and return the hash of the file.

    Args:
        path: the Parquet file.
        splits: ``(N,)`` by seed, of the pairs without canaries; NaN: that epoch did not have it.
    """
    _write_table(path, {split_of(seed): values for seed, values in splits.items()})
    return sha256_file(path)


def split_of(seed: int) -> str:
    """Return the column with the similarities of a seed."""
    return f"seed{seed}"


def _write_table(path: Path, columns: Mapping[str, npt.NDArray[Any]]) -> None:
    """Write columns of equal length, ``(N,)``, as a Parquet file."""
    make_folder(path.parent)
    with atomic_file(path) as file:
        pd.DataFrame(columns).to_parquet(file, index=False)


def write_csv(path: Path, found: Suspects) -> None:
    """Write the pairs to look at for a spreadsheet: the first suspects, and those drawn at random.

    No text in it is a formula.

    Args:
        path: the file.
        found: the list.
    """
    rows = []
    for name, suspects in (("first", found.first), ("random", found.sampled)):
        for place, one in _placed(suspects):
            row = [name, one.rank, place, one.key, one.shard, one.index, one.supplier, one.caption]
            row += [round(100 * one.scores[method], 3) for method in found.methods]
            rows.append([*row, "; ".join(one.reasons)])
    shares = [f"at least as suspicious, % ({name})" for name in found.methods]
    table = pd.DataFrame(rows, columns=[*HEAD, *shares, "reason"])
    with atomic_file(path) as file:
        file.write(to_csv(table).encode("utf-8", "replace"))
    note_file(path)


def _placed(suspects: list[Suspect]) -> Iterator[tuple[int, Suspect]]:
    """Yield suspects with their place among those of their supplier in the list."""
    seen: dict[str, int] = {}
    for one in suspects:
        seen[one.supplier] = seen.get(one.supplier, 0) + 1
        yield seen[one.supplier], one
