"""Checksums of JSON and of weights: what is changed is told, what has none is taken as it is."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import safetensors
import torch
from safetensors.torch import load_file, save_file

from clipbench.errors import CorruptData
from clipbench.files import sums
from clipbench.models.openclip import create_model, load_weights, save_model
from clipbench.tensors.files import NotTensors, read_tensors

STATE = {"a": torch.arange(6.0).reshape(2, 3), "b": torch.ones(3, dtype=torch.int64)}


@pytest.mark.parametrize(
    "content", [{}, {"a": 1, "b": [1.5, None, {"c": "é"}]}, {"a": (1, 2)}, {1: 2}, {"a": "\ud800"}]
)
def test_an_object_of_json_is_sound_as_it_was_written(content: dict[Any, Any]) -> None:
    """As it is read back, whatever the order of its names."""
    read = json.loads(json.dumps(sums.summed(content)))
    assert sums.is_sound(read)
    assert sums.is_sound(dict(reversed(read.items())))
    assert sums.summed(read)[sums.FIELD] == read[sums.FIELD]  # an old one does not count


def test_any_change_of_an_object_of_json_is_told() -> None:
    """Be it in a name, a number, a text or the checksum itself; without one nobody knows."""
    read = json.loads(json.dumps(sums.summed({"a": 1, "b": {"c": "text"}})))
    changes: list[dict[str, Any]] = [
        {"a": 2},
        {"a": 1.0},
        {"b": {"c": "test"}},
        {"d": 1},
        {sums.FIELD: "0" * 64},
        {sums.FIELD: None},
        {"a": float("nan")},
    ]
    for change in changes:
        assert not sums.is_sound({**read, **change}), change
    assert sums.is_sound({"a": 1})


def test_weights_are_a_plain_safetensors_file(tmp_path: Path) -> None:
    """Any reader takes them; the checksum is in the metadata."""
    path = tmp_path / "x.safetensors"
    with path.open("wb") as file:
        sums.write_weights(file, STATE)
    assert {key: value.tolist() for key, value in load_file(path).items()} == {
        key: value.tolist() for key, value in STATE.items()
    }
    with safetensors.safe_open(path, "pt") as opened:
        assert list(opened.metadata()) == ["clipbench_crc32"]
    with path.open("rb") as file:
        assert sums.is_sound_weights(file)


def test_every_byte_of_weights_is_looked_at(tmp_path: Path) -> None:
    """But for the name of the checksum, without which there is none to hold them against."""
    path = tmp_path / "x.safetensors"
    with path.open("wb") as file:
        sums.write_weights(file, STATE)
    content, name = path.read_bytes(), b"clipbench_crc32"
    start = content.index(b'"' + name)
    for place in range(len(content)):
        path.write_bytes(content[:place] + bytes([content[place] ^ 8]) + content[place + 1 :])
        if start <= place < start + len(name) + 4:  # with its quotes and what follows them
            continue
        with pytest.raises(NotTensors):
            read_tensors(path)
    save_file(STATE, path)  # another program's
    assert torch.equal(read_tensors(path)["a"], STATE["a"])


def test_a_model_that_rotted_is_refused(tmp_path: Path) -> None:
    """One bit of one weight, in a line."""
    model, _ = create_model("shapes-32", 0)
    path = save_model(model, {"embed_dim": 1}, tmp_path)
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    with pytest.raises(CorruptData, match=r"cannot be read as a checkpoint \(its checksum does"):
        load_weights(model, path)


def test_the_checksums_of_pytorch_are_looked_at(tmp_path: Path) -> None:
    """Its own reader does not; where its writer was told to leave them out there are none."""
    path = tmp_path / "x.pt"
    torch.save(STATE, path)
    content = path.read_bytes()
    at = content.index(STATE["a"].numpy().tobytes())
    path.write_bytes(content[:at] + b"\x01" + content[at + 1 :])
    assert not torch.equal(torch.load(path, weights_only=True)["a"], STATE["a"])
    with pytest.raises(NotTensors):
        read_tensors(path)
    option = getattr(torch.serialization, "set_crc32_options", None)
    if option is None:  # before torch 2.6
        return
    option(False)
    try:
        torch.save(STATE, path)
    finally:
        option(True)
    assert torch.equal(read_tensors(path)["a"], STATE["a"])
