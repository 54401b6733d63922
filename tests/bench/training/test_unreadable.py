"""What can't be read for a moment is not called damaged, and nobody is told to delete it."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import pytest
from as_json import record_in

from clipbench.checkpoints.record import TrainingRecord, read_record, write_record
from clipbench.checkpoints.trace import read_trace, write_trace
from clipbench.errors import ClipbenchError, CorruptData, MissingData
from clipbench.loading.order import EpochOrder


def record(folder: Path) -> Callable[[], Any]:
    """Write a record; the function returned reads it."""
    written = TrainingRecord(
        **dict.fromkeys(("epochs", "samples_seen", "steps", "peak_memory_bytes", "processes"), 1),
        **dict.fromkeys(("seconds", "seconds_shared", "cpu_seconds"), 1.0),
        num_pairs=3,
        content_sha256="0" * 64,
        device="cpu",
        precision="fp32",
        history=[],
        exposures=np.arange(3),
    )
    write_record(folder, written, "mine")
    return lambda: read_record(folder, "mine")


def trace(folder: Path) -> Callable[[], Any]:
    """Write a trace; the function returned reads it."""
    path = folder / "trace" / "0000.npz"
    write_trace(path, EpochOrder(3, 3, 0, 0), (), None)
    return lambda: read_trace(path)


def result(folder: Path) -> Any:
    """Read a result."""
    (folder / "result.json").write_text("{}")
    return record_in(folder / "result.json")


FAULTS = [
    OSError(errno.EIO, "Input/output error"),
    PermissionError(errno.EACCES, "Permission denied"),
    MemoryError(),
]


@pytest.mark.parametrize("fault", FAULTS, ids=["disk", "permission", "memory"])
@pytest.mark.parametrize("written", [record, trace])
def test_what_a_training_left_is_not_damaged_by_a_bad_moment(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    written: Callable[[Path], Callable[[], Any]],
    fault: Exception,
) -> None:
    """A disk that does not answer, a file of another user, want of memory: it can't be read now."""
    read, really = written(tmp_path), os.open
    assert read() is not None

    def fails(path: Any, *arguments: Any, **others: Any) -> int:
        if Path(path).suffix in {".npy", ".npz"}:
            raise fault
        return really(path, *arguments, **others)

    monkeypatch.setattr(os, "open", fails)
    with pytest.raises(ClipbenchError, match="can't be read now") as caught:
        read()
    assert not isinstance(caught.value, CorruptData)
    assert "elete" not in str(caught.value)


def test_a_result_that_cannot_be_read_now_is_not_damaged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The message says so, and no more."""

    def fails(*_: object, **__: object) -> NoReturn:
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr("clipbench.results.result.read_regular", fails)
    with pytest.raises(MissingData, match=r"result.json cannot be read: Input/output error\.$"):
        result(tmp_path)
