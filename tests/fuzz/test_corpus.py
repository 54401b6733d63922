"""Every input that a reader once failed on, and a few new ones; many come from `tests/fuzz`."""

from __future__ import annotations

import time
import warnings
from pathlib import Path
from random import Random

import pytest
from fuzz_targets import TARGETS
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

CORPUS = Path(__file__).parent / "corpus"
FOUND = sorted(path for path in CORPUS.glob("*/*"))


@pytest.mark.parametrize("path", FOUND, ids=lambda path: f"{path.parent.name}-{path.name}")
def test_what_was_found_once_is_read_or_refused(path: Path, tmp_path: Path) -> None:
    """In a second, in clipbench's own words, and with the answer that others give."""
    start = time.process_time()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of odd tars and pictures
        TARGETS[path.parent.name].read(path.read_bytes(), tmp_path)
    assert time.process_time() - start < 2


def test_each_reader_has_sound_files_which_it_reads(tmp_path: Path) -> None:
    """Else what is made of them would show nothing."""
    for name, target in TARGETS.items():
        for number, content in enumerate(target.sound):
            folder = tmp_path / f"{name}-{number}"
            folder.mkdir()
            target.read(content, folder)


@pytest.mark.parametrize("name", TARGETS)
@settings(
    max_examples=10,
    deadline=None,
    database=None,
    derandomize=True,
    suppress_health_check=list(HealthCheck),
)
@given(rng=st.randoms(use_true_random=False))
def test_spoiled_files_are_read_or_refused(
    name: str, rng: Random, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """A few, always the same; `python tests/fuzz` tries more."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        target = TARGETS[name]
        target.read(target.spoiled(rng), tmp_path_factory.mktemp("spoiled"))
