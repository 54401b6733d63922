"""Files of tensors from strangers: what may be read of them, and what is never run."""

from __future__ import annotations

import errno
import os
import sys
import time
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from crafted_checkpoints import crafted
from safetensors.torch import save
from torch import nn

from clipbench.checkpoints.checkpoint import load_checkpoint, save_checkpoint
from clipbench.checkpoints.record import forget_peak_memory, peak_memory
from clipbench.errors import ClipbenchError, CorruptData
from clipbench.models.openclip import load_weights
from clipbench.tensors.files import NotTensors, read_tensors
from clipbench.tensors.pickles import TensorPickle

CPU = torch.device("cpu")

# What no reader of a file does: run programs, look up what a pickle names, ask the network.
FORBIDDEN = (
    "os.system",
    "os.exec",
    "os.posix_spawn",
    "os.fork",
    "subprocess.",
    "pickle.",
    "socket.",
)
_SMALL = 10_000  # bytes
watched: list[str] | None = None  # what happened while a file was read; None: nobody watches


def watch(event: str, arguments: tuple[Any, ...]) -> None:
    """Note what happens; a hook stays for as long as the process does."""
    if watched is None:
        return
    if event.startswith(FORBIDDEN):
        watched.append(event)
    elif event == "open" and isinstance(arguments[1], str) and set(arguments[1]) & set("wax+"):
        watched.append(f"write {arguments[0]}")


@pytest.fixture(scope="module")
def hook() -> None:
    """Watch this process."""
    sys.addaudithook(watch)


class Tiny(nn.Module):
    """A model of one weight."""

    def __init__(self) -> None:
        super().__init__()
        self.w = nn.Parameter(torch.ones(1))


@pytest.mark.usefixtures("hook")
@pytest.mark.parametrize(
    "variable", ["", "TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD", "TORCH_FORCE_WEIGHTS_ONLY_LOAD"]
)
def test_nothing_in_a_crafted_checkpoint_is_run(
    variable: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each is told in one line, in bounded time and memory, also where PyTorch is to unpickle."""
    global watched
    if variable:
        monkeypatch.setenv(variable, "1")
    forget_peak_memory(CPU)  # what other tests took hides what this one takes
    mark, before = tmp_path / "ran", peak_memory(CPU)
    count = 0
    for name, content in crafted(mark):
        if variable and len(content) > _SMALL:
            continue  # it would run nothing
        file = tmp_path / name
        file.write_bytes(content)
        watched, start = [], time.process_time()
        readers = [partial(load_weights, Tiny())]
        if len(content) < _SMALL:  # a checkpoint of one's own may hold long lists
            readers.append(partial(load_checkpoint, fingerprint="x"))
        try:
            for read in readers:
                with pytest.raises(CorruptData) as caught:
                    read(file)
                assert "\n" not in str(caught.value), name
        finally:
            seen, watched = watched, None
        assert seen == [], name
        assert time.process_time() - start < 10, name
        file.unlink()
        count += 1
    assert count >= 150
    assert not mark.exists()
    assert list(tmp_path.iterdir()) == []
    assert peak_memory(CPU) - before < 200 * 1024 * 1024


@pytest.mark.parametrize(
    "error",
    [
        OSError(errno.EIO, "Input/output error"),
        PermissionError(errno.EACCES, "Permission denied"),
        MemoryError(),
        RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: 12 bytes"),
    ],
    ids=["disk", "permission", "memory", "PyTorch's memory"],
)
def test_what_cannot_be_read_now_is_not_called_damaged(
    error: Exception, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody is told to delete hours of work because a disk did not answer."""
    save_checkpoint(tmp_path / "checkpoint.pt", {"fingerprint": "own"})

    def fail(*_: Any, **__: Any) -> None:
        raise error

    monkeypatch.setattr(TensorPickle, "read", fail)
    with pytest.raises(ClipbenchError, match="can't be read now") as caught:
        load_checkpoint(tmp_path / "checkpoint.pt", "own")
    assert caught.value.exit_status == 1
    assert "elete" not in str(caught.value)


def test_a_file_of_something_else_holds_no_tensors(tmp_path: Path) -> None:
    """Whatever its name says."""
    for name in ("page.pt", "page.safetensors"):
        (tmp_path / name).write_text("<html>not found</html>")
        with pytest.raises(NotTensors):
            read_tensors(tmp_path / name)


def test_weights_in_a_folder_whose_name_is_no_text_are_read(tmp_path: Path) -> None:
    """Safetensors' own reader takes names in UTF-8 alone."""
    folder = tmp_path / os.fsdecode(b"ru\xe9ns")
    folder.mkdir()
    (folder / "a.safetensors").write_bytes(save({"weight": torch.arange(3)}))
    assert read_tensors(folder / "a.safetensors")["weight"].tolist() == [0, 1, 2]
