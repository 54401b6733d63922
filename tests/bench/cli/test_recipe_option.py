"""``--recipe``: a published protocol by name, on the command line."""

from __future__ import annotations

import json

import pytest

from clipbench.cli import main

SMALL = ("--data", "shapes:size=64,test_size=100,targets_size=100")


def found(capsys: pytest.CaptureFixture[str], *words: str) -> list[dict[str, object]]:
    """Return the runs of a dry run."""
    assert main([*words, "--dry-run", "--json"]) == 0
    configs: list[dict[str, object]] = json.loads(capsys.readouterr().out)
    return configs


def test_the_line_and_the_environment_go_before_the_recipe(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The recipe may stand in a variable, too."""
    monkeypatch.setenv("CLIPBENCH_RECIPE", "roclip")
    monkeypatch.setenv("CLIPBENCH_EPOCHS", "7")
    (config,) = found(capsys, "run", "--lr", "0.1", "--set", "flip=0")
    train = config["train"]
    assert isinstance(train, dict)
    assert [train[n] for n in ("epochs", "lr", "flip", "batch_size")] == [7, 0.1, 0.0, 512]


def test_commands_that_only_train_take_nothing_of_the_attack(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """The pairs are what they are; method and training are the recipe's."""
    (config,) = found(capsys, "detect", *SMALL, "--method", "lid", "--recipe", "huang")
    assert config["attack"] == {"name": "none"}
    assert config["defense"]["k"] == 64  # type: ignore[index]
    (config,) = found(capsys, "train", *SMALL, "--shards", ".", "--recipe", "huang")
    assert (config["attack"], config["poisons"]) == ({"name": "none"}, None)


def test_a_dry_run_shows_each_setting_beside_paper_and_code(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """With what a person changed as it is then."""
    words = ("--recipe", "carlini", "--model", "shapes-32", "--epochs", "1", "--no-estimate")
    assert main(["run", *SMALL, *words, "--dry-run"]) == 0
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert ["train.epochs", "30", "-", "1"] in lines
    assert ["train.lr", "0.0002", "-", "0.0002"] in lines
    assert ["attacks.targeted.targets", "1", "-", "1"] in lines


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("run --recipe roclpi --dry-run", "Unknown recipe 'roclpi'. Did you mean 'roclip'?"),
        ("run --recipe par --dry-run", "The recipe par starts from a released model"),
        ("describe badnets --markdown", "--markdown would be ignored: it needs --kind recipe"),
        (
            "describe roclip --kind recipe --show a.png",
            "--show would be ignored: it needs a plugin",
        ),
        ("describe roclpi --kind recipe", "Unknown recipe 'roclpi'."),
    ],
)
def test_what_can_not_be_done_is_refused_in_a_line(
    line: str, told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """With status 2, before any work."""
    assert main(line.split()) == 2
    (said,) = capsys.readouterr().err.splitlines()
    assert told in said


def test_recipes_are_listed_and_described(capsys: pytest.CaptureFixture[str]) -> None:
    """Each with a sentence; a name that is also a plugin's needs ``--kind``."""
    assert main(["list", "recipes"]) == 0
    assert "SafeCLIP as its authors ran it." in capsys.readouterr().out
    assert main(["describe", "safeclip-paper"]) == 0
    assert "91488ce" in capsys.readouterr().out
    assert main(["describe", "roclip"]) == 0
    assert "roclip (defense)" in capsys.readouterr().out
    assert main(["describe", "roclip", "--kind", "recipe", "--json"]) == 0
    (told,) = json.loads(capsys.readouterr().out)
    assert (told["kind"], told["defense"], told["train"]["epochs"]) == ("recipe", "roclip", 24)
