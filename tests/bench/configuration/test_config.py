"""Run configurations: resolved by priority, hashed by what decides the numbers."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest

from clipbench.configuration.config import RunConfig
from clipbench.configuration.hashed import hashed
from clipbench.configuration.resolution import resolve
from clipbench.errors import BadSetting, CorruptData, UnknownName
from clipbench.parameters.rate import Rate
from clipbench.plugins.part import Part

DATA = '''"""A data set whose recipe depends on its size."""

from dataclasses import dataclass, replace

from clipbench.contracts import Recipe


@dataclass(frozen=True)
class Tiny:
    size: int | None = None

    def with_pairs(self, minimum):
        return self if self.size else replace(self, size=max(100, minimum))

    def num_pairs(self):
        return self.size or 100

    def recipe(self):
        return Recipe(
            train={"model": "shapes-32", "epochs": 20 if self.num_pairs() < 999 else 2, "lr": 0.2},
            defenses={"mine": {"strength": 0.25, "train": {"epochs": 31}}},
        )

    def prepare(self, cache, progress=None): ...
    def evaluation(self): ...
    def targets(self): ...
    def synonyms(self): ...


DATASET = Tiny
'''
ATTACK = '''"""An attack."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Poke:
    targets: int = 16
    mode: str = "replace"

    def num_targets(self, count): ...
    def poison(self, scene, corpus): ...
    def probes(self, scene): ...
    def trigger(self): ...


ATTACK = Poke
'''
DEFENSE = '''"""A defense."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Mine:
    strength: float = 0.5
    mode: str = "fast"

    def start(self, facts): ...


DEFENSE = Mine
'''


@pytest.fixture
def plugins(tmp_path: Path) -> dict[str, Any]:
    """Files of a third-party data set, attack and defense, as arguments of `resolve`."""
    paths = {}
    for kind, name, code in (
        ("data", "tiny", DATA),
        ("attack", "poke", ATTACK),
        ("defense", "mine", DEFENSE),
    ):
        file = tmp_path / f"{name}.py"
        file.write_text(code)
        paths[kind] = str(file)
    return paths


def test_explicit_settings_go_before_the_recipe_and_that_before_defaults(
    plugins: dict[str, Any],
) -> None:
    """What was asked for wins, then the recipe for the defense, then the recipe, then defaults."""
    config = resolve(**plugins, rate="0.01", train={"lr": "0.1"})
    assert config.train.lr == 0.1
    assert config.train.epochs == 31
    assert config.train.model == "shapes-32"
    assert config.train.beta2 == 0.999
    assert config.defense.parameters == {"strength": 0.25, "mode": "fast"}
    explicit = resolve(**{**plugins, "defense": f"{plugins['defense']}:strength=1"}, rate="0.01")
    assert explicit.defense.parameters["strength"] == 1.0


def test_recipes_see_a_data_set_large_enough_for_the_rate(plugins: dict[str, Any]) -> None:
    """A size left open is settled by the rate, and the recipe is that of the settled size."""
    plugins["defense"] = "none"
    assert resolve(**plugins, rate="0.01").train.epochs == 20
    large = resolve(**plugins, rate="1e-4")
    assert large.train.epochs == 2
    assert large.data.parameters == {"size": 10_000}
    assert resolve(data=plugins["data"]).data.parameters == {"size": 100}
    assert resolve(**plugins, poisons=5000).train.epochs == 2


def test_every_parameter_is_in_the_configuration(plugins: dict[str, Any]) -> None:
    """Names and all parameters of data, attack and defense are there, defaults included."""
    config = resolve(**plugins, poisons=3, seed=7)
    names = (config.data_name, config.attack_name, config.defense_name)
    assert names == ("tiny", "poke", "mine")
    assert config.attack.parameters == {"targets": 16, "mode": "replace"}
    assert (config.rate, config.poisons, config.seed) == (None, 3, 7)
    assert sorted(config.code) == ["attack", "dataset", "defense"]


def test_the_rate_is_kept_exactly(plugins: dict[str, Any]) -> None:
    """The rate is there as a number and as exact decimals, the same for each way to write it."""
    one, other = resolve(**plugins, rate="0.0001%"), resolve(**plugins, rate="1e-6")
    assert one == other
    assert one.rate == Rate.of("0.000001")


def test_configurations_survive_json(plugins: dict[str, Any]) -> None:
    """A configuration written as JSON and read again is the same, hash included."""
    config = resolve(**plugins, rate="1e-3", seed=3, train={"pairs_per_epoch": None, "lr": "1e-3"})
    again = RunConfig.from_json(json.loads(json.dumps(config.to_json())))
    assert again == config
    assert again.sha256() == config.sha256()
    assert config.id == config.sha256()[:16]


@pytest.mark.parametrize(
    "change",
    [
        {"seed": 1},
        {"poison_seed": 1},
        {"rate": "0.02"},
        {"rate": None, "poisons": 3},
        {"train": {"lr": 0.1}},
        {"train": {"eda": 0.0}},
        {"train": {"precision": "bf16"}},
        {"defense": "none"},
        {"data": "shapes"},
    ],
)
def test_what_changes_numbers_changes_the_hash(
    plugins: dict[str, Any], change: dict[str, Any]
) -> None:
    """Seed, rate, plugins and training settings that matter are all in the hash."""
    base = {**plugins, "rate": "0.01"}
    assert resolve(**base).sha256() != resolve(**{**base, **change}).sha256()


def test_a_run_whose_poison_is_drawn_from_its_seed_is_the_same_run(plugins: dict[str, Any]) -> None:
    """The seed written out once more is no other run, and a run without it says nothing of it."""
    plain = resolve(**plugins, rate="0.01", seed=2)
    assert resolve(**plugins, rate="0.01", seed=2, poison_seed=2) == plain
    assert "poison_seed" not in plain.hashed()
    apart = resolve(**plugins, rate="0.01", seed=2, poison_seed=5)
    assert (apart.seed_of_poison, apart.seeds) == (5, "seed 2, poison seed 5")
    assert RunConfig.from_json(json.loads(json.dumps(apart.to_json()))).sha256() == apart.sha256()


def test_all_seeds_of_poison_have_one_clean_control(plugins: dict[str, Any]) -> None:
    """Clean data have no poison; the undefended control has that of its run."""
    one, other = (resolve(**plugins, rate="0.01", poison_seed=seed) for seed in (1, 2))
    assert one.without_attack() == other.without_attack()
    assert one.with_defense("none").poison_seed == 1


def test_a_field_that_nobody_thought_of_decides_the_hash(plugins: dict[str, Any]) -> None:
    """Of two runs that differ in it alone, neither passes for the other."""
    config = resolve(**plugins, rate="0.01")
    content: Any = {**config.by_content(), "moon": "full"}
    assert hashed(content, config.code) == {**config.hashed(), "moon": "full"}


def test_parameters_of_plugins_and_the_code_of_files_are_in_the_hash(
    plugins: dict[str, Any],
) -> None:
    """A parameter and an edit of a file change the hash; writing out a default does not."""
    base = {**plugins, "rate": "0.01"}
    before = resolve(**base).sha256()
    spelled = resolve(**{**base, "attack": f"{plugins['attack']}:targets=16"})
    assert spelled.sha256() == before
    other = resolve(**{**base, "attack": f"{plugins['attack']}:targets=8"})
    assert other.sha256() != before
    Path(plugins["attack"]).write_text(ATTACK + "# edited\n")
    assert resolve(**base).sha256() != before


def test_the_place_of_a_plugin_file_is_not_in_the_hash(
    plugins: dict[str, Any], tmp_path: Path
) -> None:
    """The same file in another folder is the same run."""
    before = resolve(**plugins, rate="0.01").sha256()
    moved = tmp_path / "elsewhere" / "poke.py"
    moved.parent.mkdir()
    Path(plugins["attack"]).rename(moved)
    assert resolve(**{**plugins, "attack": str(moved)}, rate="0.01").sha256() == before


@pytest.mark.parametrize(
    "train",
    [
        {"device": "cpu"},
        {"workers": 2},
        {"tensorboard": True},
        {"checkpoint_every_s": 1},
    ],
)
def test_what_changes_no_numbers_is_not_in_the_hash(
    plugins: dict[str, Any], train: dict[str, Any]
) -> None:
    """Where and how a run works does not make it another run."""
    base = {**plugins, "rate": "0.01"}
    assert resolve(**base).sha256() == resolve(**base, train=train).sha256()


def test_the_clean_control_differs_in_the_attack_alone(plugins: dict[str, Any]) -> None:
    """The control without attack keeps data, defense and training."""
    config = resolve(**plugins, rate="1e-4", train={"lr": 0.1})
    control = config.without_attack()
    assert control.is_clean
    assert (control.rate, control.poisons) == (None, None)
    assert (control.train, control.defense, control.data) == (
        config.train,
        config.defense,
        config.data,
    )
    assert "attack" not in control.code


def test_controls_are_the_clean_runs_and_the_undefended_one(plugins: dict[str, Any]) -> None:
    """No attacked run is without a clean one: an undefended run has its own, and a clean run none.

    With controls of its controls it would have no more of them.
    """
    config = resolve(**plugins, rate="0.01")
    controls = config.controls()
    names = [(run.attack_name, run.defense_name) for run in controls]
    assert names == [("none", "mine"), ("none", "none"), ("poke", "none")]
    known = {run.sha256() for run in controls}
    assert {more.sha256() for run in controls for more in run.controls()} <= known
    undefended = resolve(**{**plugins, "defense": "none"}, rate="0.01")
    assert [run.is_clean for run in undefended.controls()] == [True]
    assert config.without_attack().controls() == []
    assert (
        config.without_attack().sha256()
        == resolve(data=plugins["data"], defense=plugins["defense"]).sha256()
    )


def test_another_defense_gets_its_own_recipe_and_the_same_wishes(plugins: dict[str, Any]) -> None:
    """The control without defense follows its own recipe, and what was asked for holds for it."""
    config = resolve(**plugins, rate="0.01", seed=5, train={"lr": 0.1})
    control = config.with_defense("none")
    assert (control.defense_name, control.train.epochs, control.train.lr) == ("none", 20, 0.1)
    assert (control.attack, control.rate, control.seed) == (config.attack, Rate.of("0.01"), 5)


def test_auto_precision_is_settled_before_a_run_is_known(plugins: dict[str, Any]) -> None:
    """What `auto` stands for is in the configuration and the hash, as if it had been asked for."""
    base = {**plugins, "rate": "0.01"}
    auto = resolve(**base, train={"device": "cpu"})
    assert auto.train.precision == "fp32"
    assert auto.sha256() == resolve(**base, train={"precision": "fp32"}).sha256()


def test_controls_keep_the_precision_of_their_run(plugins: dict[str, Any]) -> None:
    """A control of a run in bf16 is one in bf16, also where this machine would take another."""
    made_elsewhere = resolve(**plugins, rate="0.01", train={"precision": "bf16"})
    recorded = RunConfig.from_json({**made_elsewhere.to_json(), "explicit": {}})
    assert {run.train.precision for run in recorded.controls()} == {"bf16"}


@pytest.mark.parametrize(
    ("change", "part"),
    [
        ({}, "needs a rate: give --rate 1e-4 or --poisons 3"),
        ({"rate": "0.01", "poisons": 3}, "not both"),
        ({"rate": "2"}, "must be in (0, 1]"),
        ({"poisons": 0}, "poisons must be from 1"),
        ({"poisons": "few"}, "poisons must be int"),
        ({"rate": "0.01", "seed": -1}, "seed must be from 0"),
        ({"rate": "0.01", "attack": "none"}, "takes no rate"),
        ({"rate": "0.01", "train": {"epochs": 0}}, "train.epochs must be from 1"),
    ],
)
def test_configurations_without_meaning_are_refused(
    plugins: dict[str, Any], change: dict[str, Any], part: str
) -> None:
    """Missing, doubled and impossible choices are refused with what to do."""
    with pytest.raises(BadSetting) as caught:
        resolve(**{**plugins, **change})
    assert part in str(caught.value)


@pytest.mark.parametrize(
    ("change", "part"),
    [
        ({"attack": "no_such_attack"}, "Unknown attack 'no_such_attack'"),
        ({"defense": "nome"}, "Did you mean 'none'?"),
        ({"data": "shape"}, "Did you mean 'shapes'?"),
        ({"train": {"epoch": 3}}, "Did you mean 'epochs'?"),
    ],
)
def test_unknown_names_are_refused(
    plugins: dict[str, Any], change: dict[str, Any], part: str
) -> None:
    """Unknown plugins and settings are refused with the nearest known name."""
    with pytest.raises(UnknownName) as caught:
        resolve(**{**plugins, **change}, rate="0.01")
    assert part in str(caught.value)


@pytest.mark.parametrize(
    "damage",
    [
        {"schema": 99},
        {"train": {"epochs": -1}},
        {"train": None},
        {"surprise": 1},
        {"rate_text": "3"},
    ],
)
def test_damaged_configurations_are_refused(
    plugins: dict[str, Any], damage: dict[str, Any]
) -> None:
    """JSON that is no configuration of this version is called corrupt."""
    written = resolve(**plugins, rate="0.01").to_json()
    with pytest.raises(CorruptData):
        RunConfig.from_json({**written, **damage})
    with pytest.raises(CorruptData):
        RunConfig.from_json({key: value for key, value in written.items() if key != "attack"})


def test_configurations_are_frozen(plugins: dict[str, Any]) -> None:
    """A configuration cannot be changed after its folder was named after it."""
    config = resolve(**plugins, rate="0.01")
    with pytest.raises(dataclasses.FrozenInstanceError):
        config.seed = 3  # type: ignore[misc]


# --------------------------------------------------------------------------- trusted pairs


def test_trusted_pairs_are_of_the_defenses_that_need_some() -> None:
    """What is given is resolved and hashed for a defense that needs it, and ignored for others."""
    given = "shapes:size=50,seed=9"
    own, other = (resolve(defense="cleanclip", trusted=trusted) for trusted in (None, given))
    assert own.trusted is None
    assert other.trusted == Part.of("dataset", given)
    assert own.sha256() != other.sha256()
    plain = [resolve(defense="clip", trusted=trusted) for trusted in (None, given)]
    assert plain[0].sha256() == plain[1].sha256()
    assert RunConfig.from_json(json.loads(json.dumps(other.to_json()))).trusted == other.trusted
    assert other.without_attack().trusted == other.trusted
    assert other.with_defense("none").trusted is None


def test_a_data_set_that_holds_no_trusted_pairs_out_needs_some(tmp_path: Path) -> None:
    """One sentence names the defense, the data set and the option; test images are no pairs."""
    with pytest.raises(BadSetting, match=r"'clipscore' needs 2,000 pairs .*'shards'.*--trusted"):
        resolve(data=f"shards:path={tmp_path}", defense="clipscore")
    with pytest.raises(BadSetting, match=r"'imagenet' has test images .* with --trusted"):
        resolve(defense="finetune", trusted=f"imagenet:root={tmp_path}")
