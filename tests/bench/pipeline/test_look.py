"""Test images are looked at before a run begins, once."""

from __future__ import annotations

import io
import re
import tarfile
from pathlib import Path

import pytest
from own_set import write_test_set
from small_runs import Place, config_of

from clipbench.configuration.config import RunConfig
from clipbench.configuration.identity import identify
from clipbench.errors import CorruptData
from clipbench.parallel.bench import Bench
from clipbench.pipeline.look import look_at_tests
from clipbench.planning.parts import Parts

LAST = "s0000023.png"


def damage(root: Path) -> None:
    """Cut the last of 24 images off, in a tar that is whole."""
    path, buffer = root / "test" / "0.tar", io.BytesIO()
    with tarfile.open(path) as old, tarfile.open(fileobj=buffer, mode="w") as new:
        for info in old:
            file = old.extractfile(info)
            assert file is not None
            content = file.read()
            content = content[: len(content) // 2] if info.name == LAST else content
            info.size = len(content)
            new.addfile(info, io.BytesIO(content))
    path.write_bytes(buffer.getvalue())


def run_on(root: Path) -> RunConfig:
    """Return a run that is measured on the images in a folder."""
    return config_of(evals=[f"clip_benchmark:root={root}"])


def test_a_damaged_test_image_is_named_before_anything_is_made(
    place: Place, trainings: list[Path], tmp_path: Path
) -> None:
    """After the training it would cost that: without the image it is another run."""
    root = write_test_set(tmp_path / "tests", per_class=6)
    damage(root)
    with pytest.raises(CorruptData, match=f"{re.escape(LAST)} is damaged"):
        place.execute(run_on(root))
    assert trainings == []
    assert not place.out.exists()


def test_images_of_one_content_are_looked_at_once(tmp_path: Path) -> None:
    """As in a sweep; what changed is another content, and looked at by itself."""
    root, told = write_test_set(tmp_path / "tests", per_class=6), list[tuple[int, int]]()
    config = identify(run_on(root), tmp_path / "cache")

    class Counting(Bench):
        @property
        def progress(self) -> object:  # type: ignore[override]
            return lambda _, done, total: told.append((done, total))

    bench = Counting(tmp_path / "cache")
    look_at_tests(config, Parts.of(config).held_out, bench)
    assert told == [(0, 24), (24, 24)]
    damage(root)
    look_at_tests(config, Parts.of(config).held_out, bench)
    assert len(told) == 2
    changed = identify(run_on(root), tmp_path / "cache")
    with pytest.raises(CorruptData, match="is damaged"):
        look_at_tests(changed, Parts.of(changed).held_out, bench)


def test_images_that_are_drawn_are_not_looked_at(tmp_path: Path) -> None:
    """Those of the embedded data set are as its code makes them."""
    config = config_of()
    look_at_tests(config, Parts.of(config).held_out, Bench(tmp_path / "cache"))
    assert not (tmp_path / "cache").exists()
