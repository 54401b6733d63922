"""Test images are looked at before a run begins, once."""

from __future__ import annotations

import io
import re
import shutil
import tarfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from own_set import write_test_set
from small_runs import Place, config_of

from clipbench.configuration.config import RunConfig
from clipbench.configuration.identity import identify
from clipbench.contracts import Progress
from clipbench.errors import CorruptData
from clipbench.parallel.bench import Bench
from clipbench.pipeline.look import look_at_tests
from clipbench.planning.parts import Parts

DRAWN_AND_READ = """
from dataclasses import dataclass
from pathlib import Path
from clipbench_datasets.clip_benchmark import ClipBenchmark
from clipbench_datasets.shapes import Shapes

PAIRS = Shapes(size=200, test_size=100, targets_size=50)

@dataclass(frozen=True)
class DrawnAndRead:
    root: Path

    def evaluation(self):
        return ClipBenchmark(self.root).evaluation()

    def with_pairs(self, minimum):
        return self

    def num_pairs(self):
        return PAIRS.num_pairs()

    def prepare(self, cache, progress):
        return PAIRS.prepare(cache, progress)

    def targets(self):
        return PAIRS.targets()

    def recipe(self):
        return PAIRS.recipe()

    def synonyms(self):
        return {}

DATASET = DrawnAndRead
"""
LAST = "s0000023.png"


def damage(root: Path, split: str = "test") -> None:
    """Cut the last of 24 images off, in a tar that is whole."""
    path, buffer = root / split / "0.tar", io.BytesIO()
    with tarfile.open(path) as old, tarfile.open(fileobj=buffer, mode="w") as new:
        for info in old:
            file = old.extractfile(info)
            assert file is not None
            content = file.read()
            content = content[: len(content) // 2] if info.name == LAST else content
            info.size = len(content)
            new.addfile(info, io.BytesIO(content))
    path.write_bytes(buffer.getvalue())


def run_on(root: Path, **choices: Any) -> RunConfig:
    """Return a run that is measured on the images in a folder."""
    return config_of(evals=[f"clip_benchmark:root={root}"], **choices)


def counting(cache: Path) -> tuple[Bench, list[tuple[str, int, int]]]:
    """Return a bench, and what it is told about progress."""
    told: list[tuple[str, int, int]] = []

    class Counting(Bench):
        @property
        def progress(self) -> Progress:
            return lambda *step: told.append(step)

    return Counting(cache), told


def test_a_damaged_test_image_is_named_before_anything_is_made(
    place: Place, trainings: list[Path], tmp_path: Path
) -> None:
    """After the training it would cost that: without the image it is another run."""
    root = write_test_set(tmp_path / "tests", per_class=6)
    damage(root)
    with pytest.raises(CorruptData, match=f"The test image .*{re.escape(LAST)} is damaged"):
        place.execute(run_on(root))
    assert trainings == []
    assert not place.out.exists()


def test_a_damaged_image_that_a_probe_learns_from_is_named_before_anything_is_made(
    place: Place, trainings: list[Path], tmp_path: Path
) -> None:
    """The linear probe reads training images of the set, and is fitted after the training."""
    root = write_test_set(tmp_path / "tests", per_class=6)
    shutil.copytree(root / "test", root / "train")
    damage(root, "train")
    with pytest.raises(CorruptData, match=f"The training image .*{re.escape(LAST)} is damaged"):
        place.execute(run_on(root, metrics=["linear_probe"]))
    assert trainings == []
    assert not place.out.exists()


def test_a_damaged_image_of_a_data_set_of_ones_own_is_named_before_anything_is_made(
    place: Place, trainings: list[Path], tmp_path: Path
) -> None:
    """A training source that holds out test images itself has them looked at as well."""
    root = write_test_set(tmp_path / "tests", per_class=6)
    damage(root)
    file = tmp_path / "drawn_and_read.py"
    file.write_text(DRAWN_AND_READ)
    with pytest.raises(CorruptData, match=f"{re.escape(LAST)} is damaged"):
        place.execute(config_of(data=f"{file}:root={root}"))
    assert trainings == []
    assert not place.out.exists()


def test_images_of_one_content_are_looked_at_once(tmp_path: Path) -> None:
    """As in a sweep; what changed is another content, and looked at by itself."""
    root = write_test_set(tmp_path / "tests", per_class=6)
    config = identify(run_on(root), tmp_path / "cache")
    bench, told = counting(tmp_path / "cache")
    look_at_tests(config, Parts.of(config).held_out, bench)
    assert told == [("looking at test images", 0, 24), ("looking at test images", 24, 24)]
    damage(root)
    look_at_tests(config, Parts.of(config).held_out, bench)
    assert len(told) == 2
    changed = identify(run_on(root), tmp_path / "cache")
    with pytest.raises(CorruptData, match="is damaged"):
        look_at_tests(changed, Parts.of(changed).held_out, bench)


def test_of_several_commands_that_begin_together_one_looks(tmp_path: Path) -> None:
    """Jobs of a sweep do, each of which would decode every image."""
    root = write_test_set(tmp_path / "tests", per_class=6)
    config = identify(run_on(root), tmp_path / "cache")
    held_out, several = Parts.of(config).held_out, [counting(tmp_path / "cache") for _ in range(4)]
    with ThreadPoolExecutor(len(several)) as pool:
        [*pool.map(lambda one: look_at_tests(config, held_out, one[0]), several)]
    steps = [step for _, told in several for step in told]
    assert steps.count(("looking at test images", 24, 24)) == 1
    assert [path.suffix for path in (tmp_path / "cache" / "screened").iterdir()] == [".json"]


def test_a_probe_has_only_the_images_looked_at_that_it_reads(tmp_path: Path) -> None:
    """Two of each of four classes; those of another seed are others, all of them are the same."""
    root = write_test_set(tmp_path / "tests", per_class=6)
    shutil.copytree(root / "test", root / "train")
    bench, told = counting(tmp_path / "cache")

    def look(metric: str, seed: int) -> list[tuple[str, int]]:
        told.clear()
        config = identify(run_on(root, metrics=[metric], seed=seed), tmp_path / "cache")
        look_at_tests(config, Parts.of(config).held_out, bench)
        return [(what.removeprefix("looking at "), total) for what, _, total in told[1::2]]

    learned = "images that metrics learn from"
    assert look("linear_probe:shots=2", 0) == [("test images", 24), (learned, 8)]
    assert look("linear_probe:shots=2", 0) == []
    assert look("linear_probe:shots=2", 1) == [(learned, 8)]
    assert look("linear_probe", 0) == [(learned, 24)]
    assert look("linear_probe", 1) == []


def test_images_that_are_drawn_are_not_looked_at(tmp_path: Path) -> None:
    """Those of the embedded data set are as its code makes them."""
    config = config_of()
    look_at_tests(config, Parts.of(config).held_out, Bench(tmp_path / "cache"))
    assert not (tmp_path / "cache").exists()
