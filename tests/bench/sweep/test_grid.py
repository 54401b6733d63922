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
    """Attacks by rates by seeds by defenses, block after block, a run of two blocks once."""
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
    found = [(config.data.parameters["size"], config.train.model) for config in grid.configs]
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
        ({"poison_seed": 1}, 6),
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


def test_runs_of_one_seed_of_poison_are_selected(tmp_path: Path) -> None:
    """Where none is said it is that of the run; groups are of one poisoned set and one seed."""
    block = {"attack": "badnets", "rate": "1%", "defense": ["none", "clip"], "poison_seed": [0, 1]}
    assert [len(group) for group in grid_of(tmp_path, {"grid": [block]}).groups] == [2, 2]
    left = grid_of(tmp_path, {"grid": [block], "exclude": [{"poison_seed": 0}]}).configs
    assert [config.poison_seed for config in left] == [1, 1]


def test_an_excluded_run_brings_no_controls(tmp_path: Path) -> None:
    """Controls are those of the runs that are left."""
    block = {"attack": "badnets", "rate": "1%", "defense": ["none", "clip"], "seed": [0, 1]}
    exclude = [{"defense": "clip", "seed": 1, "attack": "badnets"}]
    found = labels(grid_of(tmp_path, {"controls": True, "grid": [block], "exclude": exclude}))
    assert "none / clip / seed 0" in found
    assert not [name for name in found if "clip / seed 1" in name]


def test_controls_that_are_excluded_are_not_done(tmp_path: Path) -> None:
    """An entry drops whatever it matches, whoever asked for it."""
    block = {"attack": "badnets", "rate": "1%", "defense": ["none", "clip"]}
    exclude = [{"attack": "none", "defense": "clip"}]
    found = labels(grid_of(tmp_path, {"controls": True, "grid": [block], "exclude": exclude}))
    assert "none / none / seed 0" in found
    assert "none / clip / seed 0" not in found


def test_groups_are_runs_on_the_same_pairs_and_clean_ones_come_first(tmp_path: Path) -> None:
    """A group's runs share shards, poison and what defenses begin with."""
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


def test_a_run_of_two_blocks_has_the_metrics_of_both(tmp_path: Path) -> None:
    """Its controls too; what is measured of a run does not make it another."""
    block = {"attack": "badnets", "rate": "1%", "controls": True}
    grid = grid_of(tmp_path, {"grid": [block, {**block, "metric": "linear_probe"}]})
    assert [[metric.name for metric in config.metrics] for config in grid.configs] == [
        ["linear_probe"]
    ] * len(grid.configs)


def test_a_model_counts_where_it_is_given(tmp_path: Path) -> None:
    """That of a block's training settings goes before that of the top; one place has one."""
    block = {"attack": "badnets", "rate": "1%", "train": {"model": "ViT-B-32"}}
    grid = grid_of(tmp_path, {"model": "RN50", "grid": [block]})
    assert [config.train.model for config in grid.configs] == ["ViT-B-32"]
    with pytest.raises(BadSetting, match=r"model or train\.model"):
        grid_of(tmp_path, {"grid": [{**block, "model": "RN50"}]})


def test_keys_may_have_dashes_everywhere(tmp_path: Path) -> None:
    """As options have them: at the top and in blocks."""
    block = {"attack": "badnets", "rate": "1%"}
    for content in ({"grid": [{**block, "on-error": "skip"}]}, {**block, "on-error": "skip"}):
        (config,) = grid_of(tmp_path, content).configs
        assert config.on_error == "skip"


@pytest.mark.parametrize("key", ["out", "cache"])
def test_a_sweep_has_one_folder(tmp_path: Path, key: str) -> None:
    """A block that names its own is refused, not put into that of the first."""
    with pytest.raises(UnknownName, match=key):
        grid_of(tmp_path, {"grid": [{"attack": "badnets", "rate": "1%", key: "a"}]})


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("attack: badnets\nattack: sig\nrate: 1%\n", "'attack' is there twice"),
        ("attack: badnets\nrate: 1%\ntrain: {epochs: 2, epochs: 5}\n", "'epochs' is there twice"),
        ("attack: badnets\nrate: 1%\non-error: skip\non_error: fail\n", "two spellings"),
        ("grid: [{attack: badnets, rate: 1%, on-error: skip, on_error: fail}]\n", "two spellings"),
        ("attack: badnets\nrate: 1%\ntrain: {batch-size: 2, batch_size: 4}\n", "two spellings"),
        ("attack: {name: wanet, grid-size: 4, grid_size: 8}\nrate: 1%\n", "two spellings"),
        ("attack: badnets\nrate: 1%\nout: 2026-02-30\n", "no valid YAML"),
        (f"attack: badnets\nrate: 1%\nseed: {'1' * 5000}\n", "no valid YAML"),
        (f"attack: badnets\nrate: 1%\nseed: 0x{'f' * 5000}\n", "no valid YAML"),
        ("attack: !!bool perhaps\n", "no valid YAML"),
        ("attack: !!timestamp today\n", "no valid YAML"),
        ("[" * 3000, "no valid YAML"),
        ("grid: [{attack: badnets, rate: 1%, train: 5}]\n", "must hold training settings"),
    ],
)
def test_what_would_be_read_by_halves_is_refused(tmp_path: Path, text: str, message: str) -> None:
    """What YAML would drop, and what it chokes on, is bad input like any other."""
    file = tmp_path / "grid.yaml"
    file.write_text(text)
    with pytest.raises(BadSetting, match=message):
        read_grid(file)


def test_an_anchor_may_be_merged_and_changed_twice(tmp_path: Path) -> None:
    """A key that replaces one which `<<` brings in is no key that is there twice."""
    file = tmp_path / "grid.yaml"
    file.write_text(
        "grid:\n- &a {attack: badnets, rate: 1%}\n- &b {<<: *a, rate: 2%}\n- {<<: *b, rate: 3%}\n"
    )
    assert len(read_grid(file).configs) == 3


def test_threads_stand_at_the_top_and_the_command_line_goes_before(tmp_path: Path) -> None:
    """A small model computes best on one thread; that belongs to the grid, not to who types it."""
    assert grid_of(tmp_path, {"threads": 1}).threads == 1
    assert grid_of(tmp_path, {"threads": 1}, threads=2).threads == 2
    assert grid_of(tmp_path, {}).threads is None
    with pytest.raises(UnknownName, match="threads"):
        grid_of(tmp_path, {"grid": [{"threads": 1}]})
