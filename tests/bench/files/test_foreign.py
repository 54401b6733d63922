"""Files that could hang a command or fill its memory, and JSON that readers take differently."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from clipbench.errors import BadInput, CorruptData, MissingData
from clipbench.files.foreign import MOST_DEPTH, TooLarge, opened_regular, parsed, read_regular
from clipbench.files.json_files import read_json, sha256_file
from clipbench.files.tar import members
from clipbench.images.lazy import read_image
from clipbench.models.openclip import model_config
from clipbench.models.weights import weights_file
from clipbench.poisoning import ledger
from clipbench.results.result import parse_json
from clipbench.shards import index, manifest, skipped
from clipbench.tensors.files import NotTensors, read_tensors


def pipe(path: Path) -> None:
    """Make a named pipe that nobody writes to."""
    os.mkfifo(path)


def device(path: Path) -> None:
    """Make a link to a device without end."""
    path.symlink_to("/dev/zero")


def bound(path: Path) -> None:
    """Make a socket."""
    here = Path.cwd()
    os.chdir(path.parent)  # a socket's name is short
    try:
        with socket.socket(socket.AF_UNIX) as one:
            one.bind(path.name)
    finally:
        os.chdir(here)


READERS: dict[str, Callable[[Path], Any]] = {
    "ledger.json": ledger.read_ledger,
    "manifest.json": lambda path: manifest.read(path.parent),
    "skipped.jsonl": lambda path: skipped.first(path.parent),
    "result.json": parse_json,
    "sizes.json": read_json,
    "open_clip_config.json": lambda path: model_config(str(path)),
    "weights.pt": read_tensors,
    "weights.safetensors": read_tensors,
    "checkpoint.pt": weights_file,
    "00000.tar": lambda path: list(members(path)),
    "00001.tar": sha256_file,
    "0.jpg": read_image,
}


@pytest.mark.parametrize("make", [pipe, device, bound])
@pytest.mark.parametrize("name", READERS)
def test_what_is_no_file_is_refused_at_once(
    name: str, make: Callable[[Path], None], tmp_path: Path
) -> None:
    """Nobody waits for the other end of a pipe, nor for the end of a device."""
    make(tmp_path / name)
    with pytest.raises((BadInput, NotTensors)) as caught:
        READERS[name](tmp_path / name)
    assert "\n" not in str(caught.value)


def test_an_index_that_is_a_pipe_is_none(tmp_path: Path) -> None:
    """It is made again elsewhere."""
    pipe(tmp_path / "index.bin")
    assert index.read_index(tmp_path / "index.bin") is None


def test_a_file_of_rows_that_is_a_pipe_is_named(tmp_path: Path) -> None:
    """A ledger has two files."""
    pipe(tmp_path / "x")
    with (
        pytest.raises(OSError, match="it is a named pipe, not a file"),
        opened_regular(tmp_path / "x"),
    ):
        pass


def test_a_file_of_more_bytes_than_any_is_not_read(tmp_path: Path) -> None:
    """Whether it says so, or goes on where it said to end, as files of /proc do."""
    with (tmp_path / "large").open("wb") as file:
        file.truncate(1 << 40)
    with pytest.raises(TooLarge, match="more than the"):
        read_regular(tmp_path / "large")
    with pytest.raises(TooLarge):
        read_regular(Path("/proc/self/maps"), most=10)
    with pytest.raises(CorruptData, match="more than the"):
        read_json(tmp_path / "large")


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("[" * 100_000, "nested too deeply"),
        ("[" * (MOST_DEPTH + 1) + "]" * (MOST_DEPTH + 1), "nested too deeply"),
        ('{"a":' * 5_000, "nested too deeply"),
        ('{"a": 1, "a": 2}', "has 'a' twice"),
        ('{"a": NaN}', "NaN is not a JSON number"),
        ('{"a": 1e999}', "1e999 is not a JSON number"),
        ('{"a": ' + "9" * 5_000 + "}", "digits"),
        ("{} {}", "Extra data"),
        (b"\xff", "utf-8"),
    ],
)
def test_json_that_readers_take_differently_is_none(text: str | bytes, why: str) -> None:
    """Of two names alike one reader takes the first and another the last."""
    with pytest.raises(ValueError, match=why):
        parsed(text)


def test_json_is_what_it_says() -> None:
    """Also behind a byte-order mark."""
    assert parsed(b'\xef\xbb\xbf{"a": [1, 2.5, null, "\xc3\xa9"]}') == {"a": [1, 2.5, None, "é"]}
    deep: Any = parsed("[" * MOST_DEPTH + "]" * MOST_DEPTH)
    assert deep != []


def test_a_missing_file_is_missing(tmp_path: Path) -> None:
    """As before."""
    with pytest.raises(MissingData, match="no file"):
        read_json(tmp_path / "none.json")
