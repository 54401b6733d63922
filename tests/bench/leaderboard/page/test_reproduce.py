"""The command of a row: typed, it asks for the very configuration of the result."""

from __future__ import annotations

import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
import pytest
from as_json import of_json

from clipbench.cli import cli
from clipbench.cli._requests import request_of
from clipbench.configuration.config import RunConfig
from clipbench.leaderboard.page.reproduce import commands
from clipbench.plugins import registry

commands = of_json(commands)

Result = dict[str, Any]
AsRun = Callable[..., Result]


def typed(text: str) -> list[RunConfig]:
    """Return the runs that a command line asks for, as the program itself reads it."""
    program, command, *words = shlex.split(text)
    assert program == "clipbench"
    group = click.Context(cli, info_name=program)
    found = cli.get_command(group, command)
    assert found is not None
    return request_of(found.make_context(command, words, parent=group)).configs()


@pytest.mark.parametrize(
    ("layer", "text"),
    [
        ({}, "clipbench run --data shapes --attack none --defense none --seed 0"),
        (
            {"attack": "badnets", "rate": "0.5%", "defense": "safeclip", "seed": "3"},
            "clipbench run --data shapes --attack badnets --rate 0.005 --defense safeclip --seed 3",
        ),
        (
            {"attack": "targeted:targets=16", "poisons": 32, "data": "shapes:size=300"},
            "clipbench run --data shapes:size=300 --attack targeted:targets=16 --poisons 32"
            " --defense none --seed 0",
        ),
        (
            {"train": {"epochs": "2", "grad_clip_norm": "none"}, "on_error": "skip"},
            "clipbench run --data shapes --attack none --defense none --on-error skip"
            " --set epochs=2 --set grad_clip_norm=none --seed 0",
        ),
    ],
)
def test_only_what_differs_is_named(as_run: AsRun, layer: dict[str, Any], text: str) -> None:
    """Parameters at defaults or at the recipe are left out, whoever set them."""
    (command,) = commands([as_run(**layer)])
    assert (command.text, command.reason) == (text, "")


@pytest.mark.parametrize(
    "layer",
    [
        {"attack": "multi_trigger:triggers=(badnets,sig)", "rate": "1e-2"},
        {"attack": "blended:pattern=text,text='a, b (c)'", "rate": "2%"},
        {"attack": 'blended:pattern=text,text="it\'s $HOME; x=1"', "rate": "2%"},
        {"defense": "safeclip:symmetric=yes,growth=0.25", "data": "shapes:image_size=64"},
        {"defense": "roclip", "train": {"model": "RN50", "lr": "1e-5", "epochs": "3"}},
        {"defense": "finetune", "trusted": "shapes:seed=7,size=500"},
        {"eval": "shapes:seed=5", "metric": "linear_probe"},
        {"attack": "badnets", "rate": "0.0001%", "data": "shapes:size=2000000"},
        *({"defense": name} for name in registry.names("defense")),
        *({"attack": n, "rate": "1%"} for n in registry.names("attack") if n != "none"),
    ],
    ids=str,
)
def test_a_command_that_is_typed_gives_the_configuration(
    as_run: AsRun, layer: dict[str, Any]
) -> None:
    """Read by the program's own options, the command asks for one run of the result's hash."""
    result = as_run(**layer)
    (command,) = commands([result])
    assert command.reason == ""
    (config,) = typed(command.text)
    assert config.sha256() == result["config_sha256"]


def test_seeds_share_a_command(as_run: AsRun) -> None:
    """Runs that differ in the seed alone are one command, and others are not."""
    runs = [as_run(seed=seed) for seed in (0, 4)]
    shared, other = commands([*runs, as_run(defense="clip", seed=1)])
    assert (shared.seeds, other.seeds) == ((0, 4), (1,))
    assert [config.sha256() for config in typed(shared.text)] == [r["config_sha256"] for r in runs]


def test_seeds_of_poison_share_the_command_of_their_seed(as_run: AsRun) -> None:
    """A command runs all combinations, so each that it names was run, and no other."""
    asked = {"attack": "badnets", "rate": "1%"}
    pairs = [(0, 0), (0, 5), (1, 0), (1, 5), (2, 5)]
    runs = [as_run(**asked, seed=seed, poison_seed=drawn) for seed, drawn in pairs]
    crossed, alone = commands(runs)
    assert crossed.text.endswith("--seed 0 --seed 1 --poison-seed 0 --poison-seed 5")
    assert (alone.seeds, alone.poison_seeds) == ((2,), (5,))
    again = {config.sha256() for each in (crossed, alone) for config in typed(each.text)}
    assert again == {run["config_sha256"] for run in runs}


def test_further_metrics_are_named(as_run: AsRun) -> None:
    """Metrics are not in the configuration, yet the command measures them again."""
    result = as_run()
    result["metric_plugins"] = [
        {
            "name": "linear_probe",
            "parameters": registry.defaults("metric", "linear_probe"),
            "code_sha256": None,
        }
    ]
    assert "--metric linear_probe " in commands([result])[0].text


def test_a_plugin_of_its_own_file_has_no_command(as_run: AsRun) -> None:
    """A result does not hold the code of a plugin that is a file, so that no command is right."""
    example = Path(__file__).parents[4] / "docs" / "examples" / "random_subset.py"
    (command,) = commands([as_run(defense=str(example))])
    assert command.text == ""
    assert "files of their own" in command.reason


def test_a_foreign_configuration_has_no_command(
    make_result: AsRun, as_run: AsRun, tmp_path: Path
) -> None:
    """What no request leads to is said to be so, and nothing that it names is run."""
    evil = tmp_path / "evil.py"
    evil.write_text(f"open({str(tmp_path / 'ran')!r}, 'w')\n")
    strange = as_run(attack="multi_trigger", rate="1%")
    strange["config"]["attack"]["triggers"] = [str(evil)]
    named = as_run(attack="badnets", rate="1%")
    named["config"]["attack"] = {"name": str(evil)}
    broken = as_run()
    broken["config"]["data"] = 7
    for result in (make_result(), strange, named, broken):
        (command,) = commands([result])
        assert command.text == ""
        assert command.reason
    assert not (tmp_path / "ran").exists()


def test_a_command_that_would_ask_for_another_run_is_withheld(as_run: AsRun) -> None:
    """A configuration whose hash this version does not reach is not given a wrong command."""
    result, other = as_run(), as_run(seed=1)
    result["config_sha256"] = "0" * 64
    other["seed"] = 2
    assert "another configuration" in commands([result])[0].reason
    assert "another seed" in commands([other])[0].reason
