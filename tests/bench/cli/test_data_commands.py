"""``clipbench data``: short and long form, and importing pairs that lie in files."""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
from pathlib import Path

import pytest

from clipbench.cli import main
from clipbench.images.encoding import encode_jpeg
from clipbench.shards.reader import ShardSet
from clipbench_datasets.shapes import Shapes


def command(*words: object) -> tuple[int, str, str]:
    """Run a command line; return exit status, output and messages."""
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        status = main([str(word) for word in words])
    return status, out.getvalue(), err.getvalue()


@pytest.fixture
def listed(tmp_path: Path) -> Path:
    """Return a TSV of ten pairs, of which the fourth has no image and the last no caption."""
    images, _, captions = Shapes(image_size=32).arrays("train", 0, 10)
    rows = ["filepath\ttitle"]
    for number, (image, text) in enumerate(zip(images, captions, strict=True)):
        if number != 3:
            (tmp_path / f"{number}.jpg").write_bytes(encode_jpeg(image))
        rows.append(f"{number}.jpg\t{'' if number == 9 else text}")
    path = tmp_path / "pairs.tsv"
    path.write_text("\n".join(rows) + "\n")
    return path


def test_write_may_be_left_out(tmp_path: Path) -> None:
    """``data shapes`` and ``data write shapes`` are one command, wherever its options stand."""
    cache = ("--cache", tmp_path / "cache")
    folders = [
        command("data", "shapes", "--size", 100, *cache),
        command("data", "write", "shapes", "--size", 100, *cache),
        command("data", "--size", 100, *cache, "shapes"),
    ]
    assert [status for status, _, _ in folders] == [0, 0, 0]
    assert len({out for _, out, _ in folders}) == 1


def test_import_stops_or_leaves_out(listed: Path, tmp_path: Path) -> None:
    """The same command with ``--on-error skip`` goes on and tells what is missing."""
    line = ("data", "import", f"csv:path={listed}", "--out", tmp_path / "out", "--workers", 0)
    status, out, err = command(*line, "-q")
    assert (status, out) == (2, "")
    assert err.startswith("clipbench: error: row 4 of pairs.tsv can't be used, image missing")
    assert err.count("\n") == 1
    status, out, err = command(*line, "--on-error", "skip", "--json")
    assert status == 0, err
    assert json.loads(out) == {
        "shards": str(tmp_path / "out"),
        "pairs": 8,
        "left_out": {"caption empty": 1, "image missing": 1},
    }
    assert "2 left out (1 caption empty, 1 image missing); named in" in err
    assert len(ShardSet.open(tmp_path / "out")) == 8
    status, _, err = command(*line)
    assert status == 2
    assert "Of 10 pairs 2 left out" in err


def test_import_resizes_when_asked(listed: Path, tmp_path: Path) -> None:
    """The shorter side of stored images is at most ``--image-size``."""
    line = ("data", "import", f"csv:path={listed}", "--on-error", "skip", "--workers", 0, "-q")
    assert command(*line, "--out", tmp_path / "small", "--image-size", 16)[0] == 0
    assert command(*line, "--out", tmp_path / "whole")[0] == 0
    assert ShardSet.open(tmp_path / "small").image(0).shape == (16, 16, 3)
    stored = ShardSet.open(tmp_path / "whole").image_bytes(0)
    assert (
        hashlib.sha256(stored).digest()
        == hashlib.sha256((tmp_path / "0.jpg").read_bytes()).digest()
    )


@pytest.mark.parametrize(
    ("words", "part"),
    [
        (("shapes", "--out", "o"), "nothing to import; use `clipbench data write shapes`"),
        (("csv:path=gone.tsv", "--out", "o"), "There is no CSV file"),
        (("csv:path=gone.tsv",), "Missing option '--out'"),
        (("csv:path=gone.tsv", "--out", "o", "--on-error", "ask"), "--on-error must be"),
        (("/no/such/shards", "--out", "o"), "no shard or folder /no/such/shards"),
    ],
)
def test_a_wrong_import_is_one_line(
    words: tuple[str, ...], part: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What can't be imported is told with status 2, and nothing is written."""
    monkeypatch.chdir(tmp_path)
    status, out, err = command("data", "import", *words)
    assert (status, out, err.count("\n")) == (2, "", 1)
    assert part in err
    assert list(tmp_path.iterdir()) == []


def test_shards_may_be_written_where_one_is(
    listed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """``--out .`` is the folder one is in, as long as it is empty."""
    for name, words in (
        ("written", ("data", "shapes", "--size", 100, "--cache", tmp_path / "cache")),
        ("imported", ("data", "import", f"csv:path={listed}", "--on-error", "skip")),
    ):
        (tmp_path / name).mkdir()
        monkeypatch.chdir(tmp_path / name)
        status, out, err = command(*words, "--out", ".", "-q")
        assert (status, out) == (0, ".\n"), err
        assert len(ShardSet.open(tmp_path / name))


def test_a_size_given_twice_is_refused(tmp_path: Path) -> None:
    """By its own option and by ``--set``, with different values."""
    words = ("--size", 100, "--set", "size=200", "--cache", tmp_path)
    status, _, err = command("data", "shapes", *words)
    assert status == 2
    assert "size is given twice, 100 by --size and 200 by --set" in err
