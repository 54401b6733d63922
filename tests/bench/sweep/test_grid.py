"""Grids: which runs a file of blocks asks for, and in which groups."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from clipbench.errors import BadSetting, MissingData, UnknownName
from clipbench.sweep.grid import Grid, read_grid
from clipbench.sweep.status import label

SMALL: dict[str, Any] = {"data": "shapes:size=400"}


def grid_of(tmp_path: Path, content: dict[str, Any], **above: Any) -> Grid:
    file = tmp_path / "grid.yaml"
    file.write_text(yaml.safe_dump({**SMALL, **content}))
    return read_grid(file, above)


def labels(grid: Grid) -> list[str]:
    return [label(config) for config in grid.configs]


def test_each_block_is_a_product_and_the_sweep_is_all_of_them(tmp_path: Path) -> None:
    """Attacks by rates by seeds by defences, block after block, a run of two blocks once."""
    blocks = [
        {"attack": "badnets", "rate": ["1%", "2%"], "defense": ["none", "clip"], "seed": [0, 1]},
        {"attack": ["badnets", "sig"], "rate": "1%", "defense": "none"},
    ]
    found = labels(grid_of(tmp_path, {"grid": blocks}))
    assert len(found) == len(set(found)) == 9
    assert found[0] == "badnets 0.01 / none / seed 0"
    assert found[-1] == "sig 0.01 / none / seed 0"


def test_the_top_is_what_blocks_have_in_common(tmp_path: Path) -> None:
    """A block goes before the top, the command line before both; training settings singly."""
    content = {
        "attack": "badnets",
        "poisons": 8,
        "train": {"epochs": 2, "lr": 0.1},
        "out": "there",
        "grid": [{"defense": "clip", "train": {"lr": 0.2}}, {"attack": "sig", "rate": "1%"}],
    }
    grid = grid_of(tmp_path, content, cache=str(tmp_path))
    assert labels(grid) == ["badnets 8 poisons / clip / seed 0", "sig 0.01 / none / seed 0"]
    assert [config.train.lr for config in grid.configs] == [0.2, 0.1]
    assert [config.train.epochs for config in grid.configs] == [2, 2]
    assert (grid.out, grid.cache) == (Path("there"), tmp_path)


def test_several_models_and_data_sets(tmp_path: Path) -> None:
    """Blocks are products over them, too."""
    content = {"data": ["shapes:size=400", "shapes:size=500"], "model": ["shapes-32", "RN50"]}
    grid = grid_of(tmp_path, {"grid": [content]})
    found = [(config.data["size"], config.train.model) for config in grid.configs]
    assert found == [(400, "shapes-32"), (400, "RN50"), (500, "shapes-32"), (500, "RN50")]


def test_without_blocks_the_top_is_the_grid(tmp_path: Path) -> None:
    """A file for `run --config` is a grid of its own."""
    content = {"attack": "badnets", "poisons": 8, "defense": ["none", "clip"]}
    assert len(grid_of(tmp_path, content).configs) == 2


@pytest.mark.parametrize(
    ("entry", "left"),
    [
        ({"attack": "sig"}, 8),
        ({"attack": "badnets"}, 4),  # however it is set
        ({"attack": "badnets:size=0.5"}, 8),
        ({"attack": "badnets:size=0.25"}, 8),  # its default
        ({"attack": "badnets", "defense": ["none", "clip"], "seed": 1}, 8),
        ({"defense": "clip", "seed": 1}, 9),
        ({"poisons": 8}, 12),
        ({"rate": "0.01", "model": "shapes-32"}, 0),
        ({"data": "shapes:size=400", "seed": [0, 1]}, 0),
    ],
)
def test_what_is_excluded(tmp_path: Path, entry: dict[str, Any], left: int) -> None:
    """A run is left out when all keys of an entry match, whichever of their values does."""
    attacks = ["badnets", "badnets:size=0.5", "sig"]
    block = {"attack": attacks, "rate": "1%", "defense": ["none", "clip"], "seed": [0, 1]}
    content = {"grid": [block], "exclude": [entry]}
    if left:
        assert len(grid_of(tmp_path, content).configs) == left
    else:
        with pytest.raises(BadSetting, match="leaves no run"):
            grid_of(tmp_path, content)


def test_an_excluded_run_brings_no_controls(tmp_path: Path) -> None:
    """Controls are those of the runs that are left."""
    block = {"attack": "badnets", "rate": "1%", "defense": ["none", "clip"], "seed": [0, 1]}
    exclude = [{"defense": "clip", "seed": 1, "attack": "badnets"}]
    found = labels(grid_of(tmp_path, {"controls": True, "grid": [block], "exclude": exclude}))
    assert "none / clip / seed 0" in found
    assert not [name for name in found if "clip / seed 1" in name]


def test_groups_are_runs_on_the_same_pairs_and_clean_ones_come_first(tmp_path: Path) -> None:
    """A group's runs share shards, poison and what defences begin with."""
    block = {"attack": ["badnets", "sig"], "rate": "1%", "defense": ["none", "clip"]}
    grid = grid_of(tmp_path, {"controls": True, "seed": [0, 1], "grid": [block]})
    groups = grid.groups
    assert [len(group) for group in groups] == [2] * 6
    assert [group[0].is_clean for group in groups] == [True, True, False, False, False, False]
    for group in groups:
        assert len({(config.attack_name, config.seed) for config in group}) == 1


@pytest.mark.parametrize(
    ("content", "error", "message"),
    [
        ({"grid": {"attack": "badnets"}}, BadSetting, "list of blocks"),
        ({"grid": [{"atack": "badnets"}]}, UnknownName, "atack"),
        ({"exclude": [{"epochs": 3}]}, UnknownName, "epochs"),
        ({"grids": []}, UnknownName, "grids"),
        ({"grid": [{"attack": "badnets"}]}, BadSetting, "needs a rate"),
        ({"grid": [{"attack": [], "rate": "1%"}]}, BadSetting, "at least one"),
    ],
)
def test_a_file_that_is_no_grid_is_refused(
    tmp_path: Path, content: dict[str, Any], error: type[Exception], message: str
) -> None:
    """One line says what is wrong and where."""
    with pytest.raises(error, match=message):
        grid_of(tmp_path, content)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    """The path is in the message."""
    with pytest.raises(MissingData, match=r"nothing\.yaml"):
        read_grid(tmp_path / "nothing.yaml")
