"""What can't be read for a moment is not called damaged, and nobody is told to delete it."""

from __future__ import annotations

import errno
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import pytest

from clipbench.errors import ClipbenchError, CorruptData, MissingData
from clipbench.leaderboard.result import read_result
from clipbench.training.record import read_record
from clipbench.training.trace import read_trace, write_trace


def record(folder: Path) -> Any:
    """Read a record."""
    (folder / "record.json").write_text('{"fingerprint": "mine"}')
    np.save(folder / "exposures.npy", np.arange(3))
    return read_record(folder, "mine")


def trace(folder: Path) -> Any:
    """Read a trace."""
    path = folder / "trace" / "0000.npz"
    write_trace(path, np.arange(3), (), None)
    return read_trace(path)


def result(folder: Path) -> Any:
    """Read a result."""
    (folder / "result.json").write_text("{}")
    return read_result(folder / "result.json")


FAULTS = [
    OSError(errno.EIO, "Input/output error"),
    PermissionError(errno.EACCES, "Permission denied"),
    MemoryError(),
]


@pytest.mark.parametrize("fault", FAULTS, ids=["disk", "permission", "memory"])
@pytest.mark.parametrize("read", [record, trace])
def test_what_a_training_left_is_not_damaged_by_a_bad_moment(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    read: Callable[[Path], Any],
    fault: Exception,
) -> None:
    """A disk that does not answer, a file of another user, want of memory: it can't be read now."""

    def fails(*_: object, **__: object) -> NoReturn:
        raise fault

    monkeypatch.setattr(np, "load", fails)
    with pytest.raises(ClipbenchError, match="can't be read now") as caught:
        read(tmp_path)
    assert not isinstance(caught.value, CorruptData)
    assert "elete" not in str(caught.value)


def test_a_result_that_cannot_be_read_now_is_not_damaged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The message says so, and no more."""

    def fails(*_: object, **__: object) -> NoReturn:
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr("clipbench.leaderboard.result.read_regular", fails)
    with pytest.raises(MissingData, match=r"result.json cannot be read: Input/output error\.$"):
        result(tmp_path)
