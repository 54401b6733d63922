"""An image that an attacker puts in is as large as the set's import stores what it is given."""

from __future__ import annotations

from pathlib import Path

import loose_layouts as layouts
import numpy as np
import pytest

from clipbench.contracts import (
    Classes,
    Classification,
    EvaluationSet,
    LabelledImages,
    Scene,
    no_progress,
)
from clipbench.plugins import registry
from clipbench.poisoning.as_stored import longest_short_side, scene_as_stored
from clipbench.poisoning.ledger import read_ledger
from clipbench.poisoning.overlay import write_poisoned
from clipbench.shards.reader import ShardSet
from clipbench.verification.made_again import by_sample
from clipbench_attacks.targeted import Targeted

STORED = 20  # pixels of the shorter side, of 30
TARGETS = 2


@pytest.fixture
def scene() -> Scene:
    """What an attacker knows who targets two photographs, each larger than those of the set."""
    images = [np.asarray(layouts.photograph(number, 60, 80)) for number in range(TARGETS)]
    labelled = LabelledImages(images, np.arange(TARGETS))
    names = ("flower", "number")
    classes = Classes(names, ("a {}",), tuple((name,) for name in names))
    return Scene(EvaluationSet("two", Classification(classes, labelled)), lambda: labelled, 4, 0)


def imported(folder: Path, image_size: int | None) -> ShardSet:
    """Return 40 pairs of images of 30 x 40 pixels as an import stores them."""
    path = layouts.csv_file(folder / "files", count=40)
    limit = "none" if image_size is None else image_size
    source = registry.build("dataset", f"csv:path={path},image_size={limit}")
    return ShardSet.open(source.prepare(folder / "cache"))


def test_a_target_is_put_in_as_the_import_resizes(scene: Scene, tmp_path: Path) -> None:
    """Else the poisoned pairs are the set's only large images; a probe stays as it is."""
    base, attack = imported(tmp_path, STORED), Targeted(targets=TARGETS)
    made = write_poisoned(
        base,
        attack,
        scene,
        tmp_path / "set",
        attack_name="targeted",
        attack_parameters={},
        dataset={"name": "csv"},
    )
    rows = read_ledger(made.ledger).rows.to_dict("records")
    assert len(rows) == scene.count
    for number in range(len(base)):
        assert made.shards.image_shape(number) == (STORED, 27)
    assert {attack.probes(scene).images[n].shape for n in range(TARGETS)} == {(60, 80, 3)}
    again = by_sample(base, attack, scene, no_progress).rows
    hashes = {again[row["shard"], row["key"]]["image_sha256"] for row in rows}
    assert hashes == {row["image_sha256"] for row in rows}


def test_where_nothing_is_resized_a_target_is_as_it_is(scene: Scene, tmp_path: Path) -> None:
    """Of an import without a limit, and of shards of another program, of which nobody knows."""
    for base in (imported(tmp_path, None), ShardSet.open(layouts.shards(tmp_path / "crawl"))):
        assert longest_short_side(base) is None
        assert scene_as_stored(scene, base) is scene
    drawings = registry.build("dataset", "shapes:size=200").prepare(tmp_path / "cache")
    assert longest_short_side(ShardSet.open(drawings)) is None  # of a square of a fixed size
