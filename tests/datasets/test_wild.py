"""Files and captions as they are in the wild: nothing crashes, every loss is counted and named."""

from __future__ import annotations

import io
import json
import tarfile
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import wild
from commands import Bench, command
from processes import finish, start
from staining import poisoned

from clipbench.errors import CorruptData
from clipbench.importing.pairs import import_set
from clipbench.importing.screen import problem_of
from clipbench.importing.usable import open_usable
from clipbench.plugins import registry
from clipbench.poisoning.ledger import read_ledger
from clipbench.shards import skipped
from clipbench.shards.reader import ShardSet
from clipbench.verification.verify import verify

RUN = ("--model", "shapes-32", "--epochs", "1", "--batch-size", "16", "--warmup", "1")
HELD_OUT = "shapes:size=100,test_size=100,targets_size=100"


@pytest.fixture(scope="module")
def foreign(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the wild pairs as shards of another program."""
    return wild.write_shards(tmp_path_factory.mktemp("wild") / "shards")


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a cache that the tests of this file share, as runs do."""
    return tmp_path_factory.mktemp("cache")


def lines_of(path: Path) -> list[dict[str, Any]]:
    """Return what was left out, as a file names it."""
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_the_corpus_is_wild_enough() -> None:
    """At least sixty images and captions, a good part of them beyond use."""
    assert len(wild.IMAGES) + len(wild.CAPTIONS) >= 60
    assert len([pair for pair in wild.WILD if pair.imported]) >= 15


def test_an_import_takes_what_it_can_and_names_the_rest(tmp_path: Path) -> None:
    """Every pair is in the set or in the list, with the reason that it must have."""
    path = wild.write_loose(tmp_path)
    source = registry.build("dataset", f"csv:path={path}")
    shards = import_set(source, tmp_path / "out", name="csv", workers=0)
    lines = lines_of(tmp_path / "out" / skipped.NAME)
    found = {int(line["name"].split()[1]) - 1: line["reason"] for line in lines}
    assert found == {n: pair.imported for n, pair in enumerate(wild.WILD) if pair.imported}
    usable = [pair for pair in wild.WILD if not pair.imported]
    assert len(shards) == len(usable)
    for number, pair in enumerate(usable):
        assert shards.image(number).dtype == np.uint8
        expected = pair.caption.replace("\0", "\N{REPLACEMENT CHARACTER}")
        if "\n" not in expected and "\r" not in expected:
            assert shards.caption(number) == expected, pair.name
        assert problem_of(shards, number) is None, pair.name
    assert verify(tmp_path / "out").passed


def test_screening_finds_what_it_must(foreign: Path, tmp_path: Path) -> None:
    """Every pair that can't be used has its reason, and no other has one."""
    shards = ShardSet.open(foreign, tmp_path)
    for number, pair in enumerate(wild.WILD):
        problem = problem_of(shards, number)
        assert (problem[0] if problem else "") == pair.screened, pair.name


def test_without_leave_to_skip_the_first_is_the_error(foreign: Path, cache: Path) -> None:
    """The message names key, shard, reason, how many more there are, and what to do."""
    with pytest.raises(CorruptData) as caught:
        open_usable(str(foreign), cache, workers=0)
    number = next(n for n, pair in enumerate(wild.WILD) if pair.screened)
    assert f"key {number // 30:05d}{number % 30:04d} in shard {foreign}" in str(caught.value)
    more = len([pair for pair in wild.WILD if pair.screened]) - 1
    assert f"{more} more pairs can't be used" in str(caught.value)
    assert "--on-error skip" in str(caught.value)


@pytest.mark.parametrize("mode", ["replace", "insert"])
def test_every_usable_pair_can_be_poisoned(
    foreign: Path, cache: Path, tmp_path: Path, mode: str
) -> None:
    """A poison takes the form of whatever pair it replaces, and none is lost."""
    usable = open_usable(str(foreign), cache, on_error="skip", workers=0)
    wanted = Counter(pair.screened for pair in wild.WILD if pair.screened)
    assert usable.left_out == dict(wanted)
    assert len(usable.shards) == len(wild.WILD) - wanted.total()
    assert len(list(usable.lines())) == wanted.total()
    count = len(usable.shards) if mode == "replace" else 20
    made = poisoned(usable.shards, tmp_path / "out", mode, count)
    again = open_usable(tmp_path / "out" / "shards", tmp_path / "cache", on_error="skip", workers=0)
    ledger = read_ledger(made.ledger)
    assert len(again.shards) == ledger.num_pairs
    assert again.left_out == usable.left_out
    for row in ledger.rows.to_dict("records"):
        assert again.shards.key(row["index"]) == row["key"]
        assert again.shards.caption(row["index"]).rstrip() == row["caption_after"].rstrip()


def test_incomplete_keys_follow_the_same_policy(tmp_path: Path) -> None:
    """A key without image or caption is an error, or is left out and named."""
    folder = tmp_path / "set"
    folder.mkdir()
    with tarfile.open(folder / "0.tar", "w") as file:
        for n in range(12):
            parts = {"jpg": wild.WILD[-1 - n].data, "txt": f"roof {n}".encode()}
            if n in (3, 11):
                del parts["txt" if n == 3 else "jpg"]
            for extension, data in parts.items():
                info = tarfile.TarInfo(f"{n:04d}.{extension}")
                info.size = len(data)
                file.addfile(info, io.BytesIO(data))
    with pytest.raises(CorruptData, match=r"has no caption for key 0003 \(1 more"):
        open_usable(folder, tmp_path / "cache", workers=0)
    usable = open_usable(folder, tmp_path / "cache", on_error="skip", workers=0)
    assert usable.left_out == {"caption missing": 1, "image missing": 1}
    assert {line.key for line in usable.lines()} == {"0003", "0011"}
    made = poisoned(usable.shards, tmp_path / "out", count=5)
    again = open_usable(tmp_path / "out" / "shards", tmp_path / "cache", on_error="skip", workers=0)
    assert len(again.shards) == len(usable.shards) == 10
    for row in read_ledger(made.ledger).rows.to_dict("records"):
        assert again.shards.caption(row["index"]) == row["caption_after"]


def test_a_run_on_wild_shards_counts_on_what_is_usable(foreign: Path, tmp_path: Path) -> None:
    """Poison, train and evaluate end well; rate, pairs and exposures are of usable pairs."""
    where = ("--data", foreign, "--eval", HELD_OUT, "--cache", tmp_path / "cache")
    attack = ("--attack", "targeted:targets=2", "--rate", "10%")
    line = ("run", *where, *attack, *RUN, "--out", tmp_path / "runs", "--json", "-q")
    assert "can't be used" in command(*line).error
    done = command(*line[:-1], "--no-estimate", "--on-error", "skip")
    result = done.result
    wanted = Counter(pair.screened for pair in wild.WILD if pair.screened)
    usable = len(wild.WILD) - wanted.total()
    complete = len(wild.WILD) - sum(n for why, n in wanted.items() if why.endswith(" missing"))
    assert (
        f"counted on what remains: {usable} pairs, where the plan has {complete};"
        f" {round(usable / 10)} of them poisoned, where the plan has {round(complete / 10)}\n"
    ) in done.err
    again = command(*line[:-2], "--on-error", "skip", "--dry-run")
    assert f"{round(usable / 10)} of {usable} pairs" in again.err + again.out
    assert "rate and counts follow" not in again.err + again.out
    assert result["data"]["left_out"] == dict(wanted)
    assert result["data"]["pairs"] == result["train"]["samples_seen"] == usable
    assert result["attack"]["count"] == round(usable / 10)
    assert result["exposures"]["min"] == result["exposures"]["max"] == 1
    (names,) = (tmp_path / "runs").glob("*/left_out.jsonl")
    assert Counter(line["reason"] for line in lines_of(names)) == wanted
    (poisoned_folder,) = (tmp_path / "cache" / "poisoned").iterdir()
    report = verify(poisoned_folder)
    broken = {check.name for check in report.checks if not check.passed}
    assert broken <= {"no trace in encoding", "no trace in JSON"}  # each wild file is of its own


def test_wild_files_go_all_the_way(bench: Bench, tmp_path: Path) -> None:
    """Import, poison, train and evaluate, on wild test images, too, by one command.

    Every pair is trained on or named with its reason, and no poison is lost. Two processes under
    torchrun count and name the same, once.
    """
    spec = f"csv:path={wild.write_loose(tmp_path)}"
    tests = wild.write_classes(tmp_path / "classes")
    held_out = f"torchvision:dataset=ImageFolder,root={tmp_path / 'classes'},reserve=1"
    options = ("--eval", held_out, "--attack", "targeted:targets=2", "--poisons", 12)
    number = next(n for n, pair in enumerate(wild.WILD, 1) if pair.imported)
    assert f"row {number} of pairs.tsv" in bench.do(spec, *options).error
    options = (*options, "--on-error", "skip")
    two = Bench(tmp_path / "two", bench.model)
    both = start(["-m", "clipbench", *map(str, two.line(spec, *options))], 2)
    try:
        result = bench.run(spec, *options)
    finally:
        finish(both)
    wanted = {n: pair.imported for n, pair in enumerate(wild.WILD, 1) if pair.imported}
    assert result["data"]["left_out"] == dict(Counter(wanted.values()))
    assert result["data"]["pairs"] == len(wild.WILD) - len(wanted)
    (folder,) = bench.runs.glob(f"*_{result['id']}")
    named = lines_of(folder / "left_out.jsonl")
    assert {int(item["name"].split()[1]): item["reason"] for item in named} == wanted
    assert (result["attack"]["count"], result["exposures"]["min"]) == (12, 1)
    assert result["exposures"]["max"] == 1
    assert result["metrics"]["zeroshot_top1"]["n"] == tests - 2
    (made,) = (bench.cache / "poisoned").iterdir()
    assert [check for check in verify(made).checks if not check.passed] == []
    (folder,) = (path for path in two.runs.iterdir() if path.is_dir())
    again = json.loads((folder / "result.json").read_text())
    assert again["train"]["processes"] == 2
    for key in ("id", "data", "attack", "exposures"):
        assert again[key] == result[key]
    assert lines_of(folder / "left_out.jsonl") == named
