"""Names of the folders of runs: readable, safe on every file system, with the id at their end."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from small_runs import config_of

from clipbench.results.folders import folder_of, named_folder


@pytest.mark.parametrize(
    ("choices", "beginning"),
    [
        ({}, "clean_none_s0"),
        ({"attack": "targeted:targets=2", "rate": "1.4%", "defense": "safeclip"}, None),
        ({"attack": "badnets", "rate": "1e-6"}, "badnets_0.0001pct_none_s0"),
        ({"attack": "badnets", "poisons": 3, "seed": 12}, "badnets_3poisons_none_s12"),
        ({"attack": "multi_trigger", "poisons": 9}, "multi_trigger_9poisons_none_s0"),
    ],
)
def test_a_folder_says_what_its_run_is(
    tmp_path: Path, choices: dict[str, Any], beginning: str | None
) -> None:
    """Attack and amount, defense, seed, and the run's id at the end."""
    config = config_of(**choices)
    wanted = beginning or "targeted_1.4pct_safeclip_s0"
    assert folder_of(config, tmp_path) == tmp_path / f"{wanted}_{config.id}"


def test_any_file_system_takes_the_name(tmp_path: Path) -> None:
    """Whatever plugins are called and however large a seed is."""
    words = ["clip/../CON:*?", "9" * 300, "ätt ack\n", "...", ""]
    name = named_folder(tmp_path, words[:4], "0" * 16).name
    assert re.fullmatch(r"[A-Za-z0-9_.+-]+_0{16}", name)
    assert len(name) <= 120


def test_folders_of_other_names_are_found_by_the_id(tmp_path: Path) -> None:
    """The bare id of earlier versions first, then the name, then any beginning."""
    config = config_of(seed=3)
    wanted = folder_of(config, tmp_path)
    for name in (f"renamed_{config.id}", wanted.name, config.id):
        (tmp_path / name).mkdir()
        assert folder_of(config, tmp_path) == tmp_path / name
