"""A published protocol lies beneath all that a person gives, and above the data's own recipe."""

from __future__ import annotations

from pathlib import Path

import pytest

from clipbench.configuration.config import RunConfig
from clipbench.configuration.protocol import recipe
from clipbench.configuration.request import combine, read_yaml
from clipbench.errors import BadSetting, UnknownName
from clipbench.parameters.rate import Rate
from clipbench.sweep.grid import read_grid


def run(**layer: object) -> RunConfig:
    """Return the only run that a layer asks for."""
    (config,) = combine(layer).configs()
    return config


def test_a_recipe_alone_is_a_whole_run() -> None:
    """Attack, amount, defense, their parameters and the training, whatever `shapes` would have."""
    config = run(recipe="safeclip-paper")
    assert (config.attack_name, config.poisons, config.defense_name) == ("targeted", 16, "safeclip")
    assert config.attack.parameters["targets"] == 16
    assert (config.defense.parameters["first_ratio"], config.defense.parameters["growth"]) == (
        None,
        0.01,
    )
    assert (config.train.model, config.train.epochs, config.train.lr) == ("RN50", 32, 5e-4)


def test_an_attack_and_a_defense_that_a_person_names_have_the_recipes_parameters() -> None:
    """``--recipe huang --attack blended`` is Huang's `blended`, at its rate."""
    config = run(recipe="huang", attack="blended", defense="lid")
    assert (config.attack.parameters["target_label"], config.attack.parameters["detail"]) == (
        "banana",
        224,
    )
    assert config.rate == Rate.of("0.001")
    assert (config.defense.parameters["k"], config.defense.parameters["block"]) == (64, 1024)


@pytest.mark.parametrize("amount", [{"rate": "2%"}, {"poisons": 7}])
def test_what_a_person_gives_goes_before_the_recipe(amount: dict[str, object]) -> None:
    """Parameters one by one, a rate or number in place of the other, training settings, lists."""
    config = run(
        recipe="huang",
        attack="badnets:size=0.2",
        train={"epochs": 2, "model": "shapes-32"},
        **amount,
    )
    assert (config.attack.parameters["size"], config.attack.parameters["target_label"]) == (
        0.2,
        "banana",
    )
    assert config.rate == (None if "poisons" in amount else Rate.of("0.02"))
    assert config.poisons == amount.get("poisons")
    assert (config.train.epochs, config.train.model, config.train.wd) == (2, "shapes-32", 0.2)


def test_each_attack_of_a_grid_has_its_own_amount() -> None:
    """The paper's rate of each, and none of clean data."""
    found = combine({"recipe": "huang", "attack": ["none", "badnets", "wanet"]}).configs()
    assert [config.rate and str(config.rate) for config in found] == [None, "0.0001", "0.001"]


def test_a_plugin_that_the_recipe_does_not_name_is_as_it_is() -> None:
    """Its rate must be given, as always."""
    with pytest.raises(BadSetting, match="needs a rate"):
        run(recipe="huang", attack="dual_key")
    assert (
        run(recipe="huang", attack="dual_key", rate="1%").attack.parameters["target_label"] is None
    )


def test_a_run_with_a_recipe_is_the_run_with_all_of_it_typed() -> None:
    """The recipe's name is nowhere: it is a shorthand, and controls are trained as the run is."""
    short = run(recipe="carlini", seed=3)
    own = recipe("carlini")
    typed = run(
        attack={"name": "targeted", "targets": 1, "mode": "insert", "match": "word"},
        poisons=3,
        seed=3,
        train=dict(own.train),
    )
    assert short.id == typed.id
    undefended = run(recipe="huang").controls()[-1]
    assert undefended.defense_name == "none"
    assert undefended.train == run(recipe="huang").train


def test_a_file_and_a_grid_may_name_a_recipe(tmp_path: Path) -> None:
    """As the command line may; each block of a grid may name its own."""
    file = tmp_path / "mine.yaml"
    file.write_text("recipe: roclip\ntrain: {epochs: 3}\n")
    (config,) = combine({"seed": 1}, read_yaml(file)).configs()
    assert (config.defense.parameters["pool_size"], config.train.epochs, config.seed) == (
        21_845,
        3,
        1,
    )
    file.write_text("data: shapes\ngrid: [{recipe: roclip}, {recipe: huang, model: [RN50, RN101]}]")
    found = read_grid(file).configs
    assert [(c.defense_name, c.train.model) for c in found] == [
        *(("roclip", "RN50"), ("dao", "RN50"), ("dao", "RN101")),
    ]


def test_an_unknown_recipe_is_answered_with_the_nearest() -> None:
    """In one line with all there are."""
    with pytest.raises(UnknownName, match=r"recipe 'safeclip_papr'.*'safeclip-paper'.*carlini"):
        combine({"recipe": "safeclip_papr"})


def test_a_recipe_that_fine_tunes_needs_the_model_it_starts_from(tmp_path: Path) -> None:
    """A rate of 1e-6 from random weights would train nothing."""
    with pytest.raises(BadSetting, match=r"badclip starts from a released model.*--pretrained"):
        combine({"recipe": "badclip"}).check_start()
    combine({"recipe": "badclip", "train": {"pretrained": "w.pt"}}).check_start()
    combine({"recipe": "huang"}).check_start()
    file = tmp_path / "grid.yaml"
    file.write_text("recipe: par\n")
    with pytest.raises(BadSetting, match="par starts from a released model"):
        read_grid(file)
