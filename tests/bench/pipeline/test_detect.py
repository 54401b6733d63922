"""`detect` and the ledger that it is judged by: its numbers must mean the pairs that are scored."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from shard_pairs import Stain, caption, picture, scene, write_members
from small_runs import DATA, QUIET, TRAIN

from clipbench.configuration.resolution import resolve
from clipbench.errors import BadSetting
from clipbench.images.encoding import encode_jpeg
from clipbench.importing.usable import open_usable
from clipbench.parallel.bench import Bench
from clipbench.pipeline.detect import plan_detection
from clipbench.poisoning.overlay import write_poisoned

COUNT = 20


def test_a_ledger_of_pairs_that_are_read_otherwise_is_refused(tmp_path: Path) -> None:
    """One pair lacks the JSON that had the captions, another the text that is read now.

    As many can be used in either way, but from the first such pair on they have other numbers.
    """
    members = []
    for number in range(COUNT):
        key = f"{number:09d}"
        members.append((f"{key}.jpg", encode_jpeg(picture(number))))
        if number != 3:
            members.append((f"{key}.json", json.dumps({"alt": caption(number)}).encode()))
        if number != 15:
            members.append((f"{key}.txt", caption(number).encode()))
    path = write_members(tmp_path / "set" / "00000.tar", members).parent
    base = open_usable(path, tmp_path / "cache", caption_field="alt", on_error="skip", workers=0)
    made = write_poisoned(
        base.shards,
        Stain(bases=[8]),
        scene(1),
        tmp_path / "out",
        attack_name="stain",
        attack_parameters={},
        dataset={},
    )
    config = resolve(data=DATA, defense="dao", train=TRAIN, on_error="skip")
    bench = Bench(tmp_path / "cache", reporter=QUIET)
    with pytest.raises(BadSetting, match="would mark the wrong ones") as caught:
        plan_detection([config], bench, shards=tmp_path / "out" / "shards", ledger=made.ledger)
    assert "numbers 19 pairs" in str(caught.value)
