"""What commands that read a person's own pairs refuse before any work: one line, status 2."""

from __future__ import annotations

from pathlib import Path

import pytest
from own_set import write_crawl
from tiny_runs import command

from clipbench.cli._pairs import LARGEST_SEED, one_seed
from clipbench.errors import BadSetting


@pytest.fixture(scope="module")
def crawl(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_crawl(tmp_path_factory.mktemp("own") / "crawl", (30,))


def words_of(name: str, crawl: Path, folder: Path) -> list[object]:
    """Return a command that would work."""
    words: list[object] = [name, "--data", crawl, "--out", folder / "out", "-q"]
    words += ["--cache", folder / "cache"]
    return [*words, "--baseline", folder / "audit"] if name == "monitor" else words


def refusal(words: list[object], folder: Path) -> str:
    """Return the one line in which a command is refused."""
    done = command(*words)
    assert done.status == 2
    assert len(done.err.splitlines()) == 1
    assert (done.out, (folder / "out").exists()) == ("", False)
    return done.error


@pytest.mark.parametrize("seed", [0, 7, LARGEST_SEED])
def test_a_seed_may_be_any_that_a_generator_takes(seed: int) -> None:
    """From 0 to the largest of 63 bits."""
    assert one_seed(str(seed)) == seed


@pytest.mark.parametrize("name", ["audit", "monitor"])
@pytest.mark.parametrize("seed", ["-1", str(2**70), "0,1", "1.5", "seed", ""])
def test_another_seed_is_refused(name: str, seed: str, crawl: Path, tmp_path: Path) -> None:
    """Negative, too large, several, or no number."""
    with pytest.raises(BadSetting):
        one_seed(seed)
    words = [*words_of(name, crawl, tmp_path), f"--seed={seed}"]
    assert "--seed takes one whole number in [0, 2**63 - 1]. Got" in refusal(words, tmp_path)


@pytest.mark.parametrize("name", ["audit", "monitor"])
@pytest.mark.parametrize(
    ("data", "way"),
    [
        ("csv:path=pairs.csv", "clipbench data import csv:path=pairs.csv --out FOLDER"),
        ("mine.py:folder=pairs", "clipbench data import mine.py:folder=pairs --out FOLDER"),
        ("own:path=crawl", "give the path alone: --data crawl."),
    ],
)
def test_a_data_set_that_is_no_set_of_shards_is_told_how_to_become_one(
    name: str, data: str, way: str, crawl: Path, tmp_path: Path
) -> None:
    """`run` takes it; these commands said that there is no such file."""
    words = words_of(name, crawl, tmp_path)
    words[2] = data
    assert f"clipbench {name} reads shards, and {data} is a data set; " in (
        told := refusal(words, tmp_path)
    )
    assert way in told


@pytest.mark.parametrize("name", ["audit", "monitor"])
def test_torchrun_starts_neither(
    name: str, crawl: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each process would do all of the work, in the same folder."""
    for variable, value in (("WORLD_SIZE", "2"), ("RANK", "1"), ("LOCAL_RANK", "1")):
        monkeypatch.setenv(variable, value)
    told = refusal(words_of(name, crawl, tmp_path), tmp_path)
    assert told == (
        f"clipbench {name} works in one process, and WORLD_SIZE is 2; start it without torchrun,"
        " or unset WORLD_SIZE."
    )


@pytest.mark.parametrize("name", ["audit", "monitor"])
@pytest.mark.parametrize("inside", ["", "out", "deeper/out"])
def test_nothing_is_written_among_the_shards(
    name: str, inside: str, crawl: Path, tmp_path: Path
) -> None:
    """They are read and nothing else, so that results lie elsewhere."""
    before = sorted(crawl.rglob("*"))
    words = [*words_of(name, crawl, tmp_path), "--out", crawl / inside]
    assert "a folder of shards, in which nothing is written" in refusal(words, tmp_path)
    assert sorted(crawl.rglob("*")) == before


@pytest.mark.parametrize("name", ["audit", "monitor"])
def test_a_folder_that_cannot_be_made_is_refused_before_work(
    name: str, crawl: Path, tmp_path: Path
) -> None:
    """Such as one below a file."""
    (tmp_path / "file").write_text("")
    words = [*words_of(name, crawl, tmp_path), "--out", tmp_path / "file" / "out"]
    assert "can't be written" in refusal(words, tmp_path)


def test_a_file_of_signers_that_is_not_there_is_named(crawl: Path, tmp_path: Path) -> None:
    """Before anything is read of the pairs."""
    words = [*words_of("audit", crawl, tmp_path), "--signers", tmp_path / "nobody"]
    assert f"no file of allowed signers {tmp_path / 'nobody'}" in refusal(words, tmp_path)
