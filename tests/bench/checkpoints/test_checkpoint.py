from __future__ import annotations

import os
import pickle
from pathlib import Path
from typing import Any

import pytest
import torch

from clipbench.checkpoints.checkpoint import load_checkpoint, save_checkpoint
from clipbench.errors import BadSetting, CorruptData


def content(**changes: Any) -> dict[str, Any]:
    state = {"weights": torch.arange(1000.0), "nested": {"list": [1, 2.5, "text", None]}}
    return {"fingerprint": "mine", **state, **changes}


def test_what_is_saved_is_loaded(tmp_path: Path) -> None:
    """Tensors, numbers, text, lists and dicts come back equal, from a folder made on the way."""
    path = tmp_path / "new" / "checkpoint.pt"
    save_checkpoint(path, content())
    loaded = load_checkpoint(path, "mine")
    assert loaded is not None
    assert torch.equal(loaded["weights"], torch.arange(1000.0))
    assert loaded["nested"] == {"list": [1, 2.5, "text", None]}
    assert os.listdir(path.parent) == ["checkpoint.pt"]  # noqa: PTH208 - names are what is asked


def test_no_checkpoint_is_none(tmp_path: Path) -> None:
    """A training that has not begun has nothing to load, and that is no error."""
    assert load_checkpoint(tmp_path / "checkpoint.pt", "mine") is None


def test_a_failed_write_keeps_the_old_checkpoint(tmp_path: Path) -> None:
    """When writing breaks off midway the checkpoint in place stays whole."""
    path = tmp_path / "checkpoint.pt"
    save_checkpoint(path, content(number=1))
    with pytest.raises((pickle.PicklingError, AttributeError, TypeError)):
        save_checkpoint(path, content(number=2, broken=lambda: None))
    loaded = load_checkpoint(path, "mine")
    assert loaded is not None
    assert loaded["number"] == 1
    save_checkpoint(path, content(number=3))  # over what the failed write left
    loaded = load_checkpoint(path, "mine")
    assert loaded is not None
    assert loaded["number"] == 3


def test_a_cut_off_checkpoint_is_refused(tmp_path: Path) -> None:
    """Cut at any of ten lengths it is one sentence that names the file and what to do."""
    path = tmp_path / "checkpoint.pt"
    save_checkpoint(path, content())
    whole = path.read_bytes()
    for tenth in range(10):
        path.write_bytes(whole[: len(whole) * tenth // 10])
        with pytest.raises(CorruptData, match="is damaged") as caught:
            load_checkpoint(path, "mine")
        assert str(path) in str(caught.value)
        assert "Delete it" in str(caught.value)
        assert "\n" not in str(caught.value)


def test_code_in_a_checkpoint_is_not_run(tmp_path: Path) -> None:
    """A pickle that would run a command when loaded is refused and does nothing."""

    class Evil:
        def __reduce__(self) -> tuple[Any, tuple[str]]:
            return os.mkdir, (str(tmp_path / "harm"),)

    path = tmp_path / "checkpoint.pt"
    torch.save({"format": 1, "fingerprint": "mine", "x": Evil()}, path)
    with pytest.raises(CorruptData):
        load_checkpoint(path, "mine")
    assert not (tmp_path / "harm").exists()


@pytest.mark.parametrize("other", [{"weights": torch.ones(2)}, {"format": 99}, [1, 2]])
def test_a_file_of_something_else_is_refused(tmp_path: Path, other: Any) -> None:
    """A readable file that is no checkpoint of this version is not taken for one."""
    path = tmp_path / "checkpoint.pt"
    torch.save(other, path)
    with pytest.raises(CorruptData, match="no checkpoint of this version"):
        load_checkpoint(path, "mine")


def test_a_checkpoint_of_another_training_is_refused(tmp_path: Path) -> None:
    """Other data, defense or settings never continue from here."""
    path = tmp_path / "checkpoint.pt"
    save_checkpoint(path, content())
    with pytest.raises(BadSetting, match="other settings"):
        load_checkpoint(path, "yours")
