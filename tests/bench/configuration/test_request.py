"""Requests: layers of command line, file and environment, and the grid they ask for."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from clipbench.configuration.request import Request, combine, default_cache, read_yaml
from clipbench.errors import BadInput, BadSetting, MissingData, UnknownName
from clipbench.parameters.rate import Rate

POKE = """
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
"""


@pytest.fixture
def poke(tmp_path: Path) -> str:
    """The path of a third-party attack."""
    file = tmp_path / "poke.py"
    file.write_text(POKE)
    return str(file)


def test_stronger_layers_go_first_and_training_settings_one_by_one() -> None:
    """A key is taken from the first layer that has it; training settings are merged singly."""
    request = combine(
        {"seed": ("1", "2"), "train": {"lr": "0.1"}},
        {"seed": 3, "defense": ["none", "clip"], "train": {"lr": 0.2, "batch-size": 64}},
        {"defense": "safeclip", "cache": "c", "train": {"epochs": "3"}},
    )
    assert request.seeds == (1, 2)
    assert request.defenses == ("none", "clip")
    assert request.cache == Path("c")
    assert request.train == {"lr": "0.1", "batch_size": 64, "epochs": "3"}


def test_a_number_of_poisons_replaces_a_rate_of_a_weaker_layer() -> None:
    """Rate and number of poisons are one choice, made by the strongest layer that makes it."""
    request = combine({"poisons": "3"}, {"rate": 0.01})
    assert (request.poisons, request.rates) == (3, ())
    request = combine({"rate": ("1e-3",)}, {"poisons": 3})
    assert (request.poisons, request.rates) == (None, ("1e-3",))


def test_nothing_asked_for_gives_the_defaults() -> None:
    """Without any layer the request is the default one."""
    assert combine() == Request()
    assert Request().cache == default_cache()


@pytest.mark.parametrize(
    ("layer", "part"),
    [
        ({"seed": "x"}, "seed must be int"),
        ({"poisons": 1.5}, "poisons must be int"),
        ({"controls": "maybe"}, "controls must be bool"),
        ({"attack": []}, "attack must name at least one"),
        ({"train": {"epoch": 1}}, "Did you mean 'epochs'?"),
        ({"sed": 1}, "Did you mean 'seed'?"),
    ],
)
def test_bad_layers_are_refused(layer: dict[str, Any], part: str) -> None:
    """A value or key that a request cannot have is named."""
    with pytest.raises(BadInput) as caught:
        combine(layer)
    assert part in str(caught.value)


def test_several_choices_make_the_product(poke: str) -> None:
    """Attacks, rates, seeds and defenses multiply; `none` is run once, without a rate."""
    request = Request(
        attacks=("none", poke),
        rates=("0.01", "1%", "0.02"),
        defenses=("none", "clip"),
        seeds=(0, 1),
    )
    found = [
        (config.attack_name, config.rate and str(config.rate), config.seed, config.defense_name)
        for config in request.configs()
    ]
    assert found == [
        *[("none", None, seed, defense) for seed in (0, 1) for defense in ("none", "clip")],
        *[
            ("poke", rate, seed, defense)
            for rate in ("0.01", "0.02")
            for seed in (0, 1)
            for defense in ("none", "clip")
        ],
    ]


def test_each_seed_of_poison_is_run_with_each_seed(poke: str) -> None:
    """Clean runs have none, and are run once; a list with commas is several."""
    request = combine({"attack": ["none", poke], "poisons": 3, "seed": "0,1", "poison_seed": "1,2"})
    found = [(config.seed, config.seed_of_poison) for config in request.configs()]
    assert found == [(0, 0), (1, 1), (0, 1), (0, 2), (1, 1), (1, 2)]


def test_a_number_of_poisons_stands_for_the_rate(poke: str) -> None:
    """With a number of poisons, attacked runs have it and clean ones do not."""
    configs = Request(attacks=("none", poke), poisons=3).configs()
    assert [config.poisons for config in configs] == [None, 3]


def test_controls_come_once_and_before_the_runs_they_judge(poke: str) -> None:
    """With controls the grid holds the undefended run, and the clean one of each defense."""
    request = Request(attacks=(poke,), rates=("0.01",), defenses=("clip", "none"), controls=True)
    assert [(run.attack_name, run.defense_name) for run in request.configs()] == [
        ("none", "clip"),
        ("none", "none"),
        ("poke", "none"),
        ("poke", "clip"),
    ]


def test_a_single_run_is_one(poke: str) -> None:
    """A request for one run gives it; one for several is refused where one is needed."""
    assert Request(attacks=(poke,), rates=("0.01",)).config().attack_name == "poke"
    with pytest.raises(BadSetting, match="asks for 2 runs"):
        Request(seeds=(0, 1)).config()


@pytest.mark.parametrize(
    ("change", "part"),
    [
        ({"rates": (), "poisons": None}, "needs a rate"),
        ({"poisons": 3}, "--rate or --poisons, not both"),
        ({"attacks": ("none",)}, "takes no rate"),
        ({"attacks": ("none",), "rates": (), "poison_seeds": (1,)}, "leave --poison-seed out"),
        ({"poison_seeds": (-1,)}, "poison_seed must be from 0"),
    ],
)
def test_grids_without_meaning_are_refused(poke: str, change: dict[str, Any], part: str) -> None:
    """A missing, a doubled and a superfluous rate are refused with what to do."""
    with pytest.raises(BadSetting) as caught:
        Request(**{"attacks": (poke,), "rates": ("0.01",), **change}).configs()
    assert part in str(caught.value)


def test_yaml_holds_everything_a_request_has(poke: str, tmp_path: Path) -> None:
    """A file may set data, plugins with parameters, grid, folders and training settings."""
    file = tmp_path / "run.yaml"
    file.write_text(
        f"""
data: {{name: shapes, size: 300}}
attack: [none, {{name: {poke}, targets: 2}}]
rate: [1e-2, 0.5%]
defense: clip
seed: [0, 1]
controls: true
out: there
threads: 2
train:
  batch-size: 32
  lr: 1e-3
"""
    )
    with pytest.raises(BadSetting, match=r"attack in .*run\.yaml names .*--allow .*poke\.py"):
        read_yaml(file)
    request = combine(read_yaml(file, allowed=[poke]))
    configs = request.configs()
    assert len(configs) == 2 * (2 + 4)  # defended and not: clean, and attacked
    assert configs[-1].attack.parameters["targets"] == 2
    assert configs[-1].rate == Rate.of("0.005")
    assert configs[-1].data.parameters["size"] == 300
    assert (configs[-1].train.batch_size, configs[-1].train.lr) == (32, 0.001)
    assert (request.controls, request.out, request.threads) == (True, Path("there"), 2)


def test_an_empty_file_asks_for_nothing(tmp_path: Path) -> None:
    """An empty file is a layer without values."""
    (tmp_path / "empty.yaml").write_text("# nothing yet\n")
    assert read_yaml(tmp_path / "empty.yaml") == {}


@pytest.mark.parametrize(
    ("text", "kind", "part"),
    [
        ("atack: none", UnknownName, "Did you mean 'attack'?"),
        ("epochs: 3", UnknownName, "Did you mean 'train.epochs'?"),
        ("train: {epoch: 3}", UnknownName, "Did you mean 'epochs'?"),
        ("train: 3", BadSetting, "must hold training settings"),
        ("- a\n- b", BadSetting, "must hold keys and values"),
        ("a: [", BadSetting, "is no valid YAML"),
        ("a: !!python/object:os.system {}", BadSetting, "is no valid YAML"),
    ],
)
def test_bad_files_are_named(tmp_path: Path, text: str, kind: type[BadInput], part: str) -> None:
    """What is wrong with a file is said with the file's path; code in it is never run."""
    file = tmp_path / "run.yaml"
    file.write_text(text)
    with pytest.raises(kind) as caught:
        read_yaml(file)
    assert part in str(caught.value)
    assert str(file) in str(caught.value)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    """A file that is not there is named in full."""
    with pytest.raises(MissingData, match=r"absent\.yaml"):
        read_yaml(tmp_path / "absent.yaml")


def test_numbers_mean_in_yaml_what_they_mean_on_the_command_line(tmp_path: Path) -> None:
    """YAML 1.1 reads 010 in eights and 1:30 in sixties; nobody who types them means that."""
    file = tmp_path / "settings.yaml"
    file.write_text("seed: 010\n")
    assert combine(read_yaml(file)).seeds == combine({"seed": "010"}).seeds == (10,)
    for text in ("seed: 1:30", "train: {lr: 1:30.5}"):
        file.write_text(text)
        with pytest.raises(BadSetting, match=r"Got '1:30"):
            combine(read_yaml(file)).configs()


def test_threads_are_no_fewer_than_one() -> None:
    """They may stand in a file, where nothing else looks at their number."""
    with pytest.raises(BadSetting, match="threads must be at least 1"):
        combine({"threads": 0})
    assert combine({"threads": 3}, {"threads": 1}).threads == 3
