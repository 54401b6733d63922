"""Suspects are found, ranked, described and written to files."""

from __future__ import annotations

import csv
import shutil
import weakref
from collections import Counter
from dataclasses import replace
from pathlib import Path

import msgspec
import pandas as pd
import pytest
from audited import PAIRS, Audited
from delivered_pairs import request, shard
from shard_pairs import picture

from clipbench.audit.suspects.find import find_suspects, read_rows
from clipbench.audit.suspects.models import Features, Trainer
from clipbench.audit.suspects.plan import plan_suspects
from clipbench.audit.suspects.review import write_review
from clipbench.contracts import Image
from clipbench.files.json_files import sha256_file
from clipbench.images.encoding import encode_png
from clipbench.shards.reader import ShardSet


def stamps(folder: Path) -> dict[str, tuple[int, int]]:
    """Return size and time of every file in a folder."""
    files = [path for path in sorted(folder.rglob("*")) if path.is_file()]
    return {str(path): (path.stat().st_size, path.stat().st_mtime_ns) for path in files}


def test_every_pair_has_scores_and_a_rank_of_its_own(audited: Audited) -> None:
    """The table has a row per pair, low scores are suspicious, and ranks are 1 to N."""
    path = audited.request.out / "suspects" / "scores.parquet"
    table = pd.read_parquet(path)
    assert table["index"].tolist() == list(range(PAIRS))
    assert sorted(table["rank"]) == list(range(1, PAIRS + 1))
    assert [*table.columns] == ["index", *audited.found.methods, "rank"]
    assert not table.isna().any(axis=None)
    assert audited.found.scores_sha256 == sha256_file(path)


def test_a_list_says_why_each_pair_is_on_it_and_what_it_looks_like(audited: Audited) -> None:
    """Ranks rise from 1; each pair has a reason and three other pairs that look like it."""
    first = audited.found.first
    assert [one.rank for one in first] == list(range(1, len(first) + 1))
    for one in first:
        assert one.reasons
        assert len(one.neighbors) == 3
        assert one.index not in [near.index for near in one.neighbors]
        assert all(near.index < PAIRS for near in one.neighbors)  # no canary among them
    shards = audited.request.usable.shards
    assert [one.caption for one in first] == [shards.caption(one.index) for one in first]


def test_pairs_for_the_threshold_are_drawn_at_random_from_the_region(audited: Audited) -> None:
    """Each once, none ranked behind the region, and not in the order of their ranks."""
    found = audited.found
    ranks = [one.rank for one in found.sampled]
    assert len(set(ranks)) == len(ranks)
    assert max(ranks) <= found.region
    assert ranks != sorted(ranks)


def test_the_spreadsheet_has_both_lists(audited: Audited) -> None:
    """A row per suspect, with its reasons and its place among those of its supplier."""
    path = audited.request.out / "suspects" / "suspects.csv"
    with path.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    found = audited.found
    assert [row["list"] for row in rows] == ["first"] * len(found.first) + ["random"] * len(
        found.sampled
    )
    assert rows[0]["key"].lstrip("'") == found.first[0].key
    assert rows[0]["reason"]


def test_what_was_found_is_not_sought_again(audited: Audited) -> None:
    """The same request gives the same findings at once, and touches no shard of the user."""
    data = Path(audited.request.data)
    before = stamps(data), stamps(audited.request.out)
    assert find_suspects(audited.request, audited.plan) == audited.found
    assert (stamps(data), stamps(audited.request.out)) == before


def test_scores_that_were_changed_are_not_believed(audited: Audited) -> None:
    """Whoever edits the table is not asked: it is made again, as it was."""
    path = audited.request.out / "suspects" / "scores.parquet"
    before = path.read_bytes()
    table = pd.read_parquet(path)
    table.assign(rank=table["rank"].to_numpy()[::-1]).to_parquet(path, index=False)
    assert find_suspects(audited.request, audited.plan) == audited.found
    assert path.read_bytes() == before


def test_a_first_split_that_was_changed_is_made_again(audited: Audited) -> None:
    """Thresholds are read from it."""
    path = audited.request.out / "suspects" / "first_split.parquet"
    before = path.read_bytes()
    (pd.read_parquet(path) * 0.5).to_parquet(path, index=False)
    assert find_suspects(audited.request, audited.plan) == audited.found
    assert path.read_bytes() == before


def test_another_seed_is_another_list_in_the_same_folder(audited: Audited, tmp_path: Path) -> None:
    """What was trained for the first is in nobody's way, and goes."""
    out = tmp_path / "out"
    shutil.copytree(audited.request.out, out)
    request = replace(audited.request, out=out, seed=1)
    plan = msgspec.structs.replace(audited.plan, seeds=[1])
    found = find_suspects(request, plan)
    assert found.scores_sha256 != audited.found.scores_sha256
    assert len([*(out / "suspects" / "work").iterdir()]) == 1


def test_a_file_that_was_lost_is_made_again_the_same(audited: Audited) -> None:
    """Training runs that are done are not done again, and give the same bytes."""
    path = audited.request.out / "suspects" / "scores.parquet"
    before = path.read_bytes()
    path.unlink()
    (canaries,) = path.parent.glob("work/*/canaries")
    shutil.rmtree(canaries)
    assert find_suspects(audited.request, audited.plan) == audited.found
    assert path.read_bytes() == before


def test_features_of_one_seed_are_gone_when_those_of_the_next_come(
    audited: Audited, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They take most of the memory, and only those of the first seed are needed to the end."""
    (audited.request.out / "suspects" / "scores.parquet").unlink()
    made, features = list["weakref.ref[Features]"](), Trainer.features

    def watched(trainer: Trainer, name: str, pairs: ShardSet, epochs: int) -> Features:
        assert [one() for one in made] == [None] * len(made)
        found = features(trainer, name, pairs, epochs)
        made.append(weakref.ref(found))
        return found

    monkeypatch.setattr(Trainer, "features", watched)
    assert find_suspects(audited.request, audited.plan) == audited.found
    assert len(made) == 2


def test_the_review_page_decodes_each_picture_once(
    audited: Audited, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In each of its two sizes, though a pair is in both lists and beside several others."""
    decoded, image = Counter[int](), ShardSet.image

    def counted(pairs: ShardSet, index: int) -> Image:
        decoded[index] += 1
        return image(pairs, index)

    monkeypatch.setattr(ShardSet, "image", counted)
    write_review(tmp_path / "page.html", audited.found, audited.request.usable.shards)
    assert max(decoded.values()) == 2


def test_what_spreadsheets_are_for_is_not_read(audited: Audited, tmp_path: Path) -> None:
    """Which images look the same is in the rows, also where somebody removed the list of copies."""
    shutil.copytree(audited.request.out / "inventory", tmp_path / "inventory")
    (tmp_path / "inventory" / "copies.csv").unlink()
    assert read_rows(replace(audited.request, out=tmp_path)).equals(read_rows(audited.request))


def test_a_plan_is_of_the_pairs_that_can_be_used(tmp_path: Path) -> None:
    """Another field of captions leaves other pairs out of the same shards."""
    each = [
        (
            encode_png(picture(number)),
            "a cat",
            {"one": "a dog", **({"two": "cat"} if number else {})},
        )
        for number in range(24)
    ]
    shard(tmp_path / "set" / "0.tar", *each)
    planned = [
        plan_suspects(request(tmp_path / "set", tmp_path, caption_field=field)).pairs
        for field in ("one", "two", None)
    ]
    assert planned == [24, 23, 24]
