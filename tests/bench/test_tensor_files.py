"""Files of tensors from strangers: what may be read of them, and what is never run."""

from __future__ import annotations

import errno
import os
import zipfile
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save

from clipbench.errors import ClipbenchError, CorruptData
from clipbench.models import create_model, load_weights
from clipbench.tensor_files import NotTensors, read_tensors
from clipbench.tensor_pickle import TensorPickle
from clipbench.training.checkpoint import load_checkpoint, save_checkpoint

# BUILD of an OrderedDict with (None, {}) is a TypeError to the restricted unpickler and sound to
# Python's own; what comes behind it is run by the latter alone.
SECOND_TRY = b"\x80\x02ccollections\nOrderedDict\n)RN}\x86b0"
PLAIN = b"\x80\x02"


def crafted(path: Path, start: bytes, mark: Path) -> Path:
    """Write a checkpoint that makes the file `mark` when it is unpickled without restriction."""
    command = f"touch '{mark}'".encode()
    call = b"cos\nsystem\nX" + len(command).to_bytes(4, "little") + command + b"\x85R0}."
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        archive.writestr("archive/data.pkl", start + call)
        archive.writestr("archive/version", "3\n")
        archive.writestr("archive/byteorder", "little")
    return path


@pytest.mark.parametrize("forced", [False, True], ids=["default", "forced by the environment"])
@pytest.mark.parametrize("start", [PLAIN, SECOND_TRY], ids=["plain", "for a second try"])
@pytest.mark.parametrize("name", ["weights.pt", "weights.bin", "weights"])
def test_nothing_in_a_checkpoint_is_run(
    name: str, start: bytes, forced: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is read once and restricted, also where the environment asks PyTorch for the opposite."""
    if forced:
        monkeypatch.setenv("TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD", "1")
    mark = tmp_path / "ran"
    file = crafted(tmp_path / name, start, mark)
    model, _ = create_model("shapes-32", seed=0)
    with pytest.raises(CorruptData):
        load_weights(model, file)
    with pytest.raises(CorruptData):
        load_checkpoint(file, "any")
    assert not mark.exists()


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
