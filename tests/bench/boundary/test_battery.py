"""Plugins that are tried: each mistake fails the check that is about it, before any work."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from mistaken import FACTS, scene, with_mistake

from clipbench.boundary import battery
from clipbench.cli import main
from clipbench.errors import BadInput, PluginFault
from clipbench.models.openclip import create_model, model_config, save_model

YIELD = 'yield Phase("kept", self.loss, keep=keep)'
SMALL = "shapes:size=64,test_size=100,targets_size=100"
EXAMPLES = Path(__file__).parents[3] / "docs" / "examples"


def failed(checks: list[battery.Check]) -> list[str]:
    return [check.owes for check in checks if check.problem]


@pytest.mark.parametrize(
    ("right", "wrong", "owes"),
    [
        (
            "np.full(len(others), goal, dtype=np.int64)",
            "np.random.default_rng().integers(len(scene.classes), size=len(others))",
            "wants the same probes of the same scene",
        ),
        ("self.side :] = self.gray", "self.side :] += 0", "has a trigger that is pure and seen"),
        ("test.labels != goal", "test.labels >= 0", "wants probes misread, none as its own"),
        ("scene.count].tolist()", "scene.count - 1].tolist()", "makes the 8 poisons it is asked"),
    ],
)
def test_a_mistaken_attack_fails_the_check_about_it(
    tmp_path: Path, right: str, wrong: str, owes: str
) -> None:
    """Each mistake by itself; random goals that are unseeded end in a success of zero."""
    attack = with_mistake("solid_patch", right, wrong, tmp_path)
    given = battery.thinned(scene())
    found = failed(list(battery.of_attack(attack, given, battery.HeldOutCorpus(given.evaluation))))
    assert any(item.startswith(owes) for item in found), found


@pytest.mark.parametrize(
    ("right", "wrong", "owes"),
    [
        ("frozen=True", "frozen=False", "is a frozen dataclass"),
        (YIELD, "return ()", "trains on pairs"),
        ('"random_subset", epoch)', '"random_subset", id(object()))', "goes on the same from its"),
        ("features.text[0]", "features.text[0].detach()", "has losses that teach the model"),
    ],
)
def test_a_mistaken_defense_fails_the_check_about_it(
    tmp_path: Path, right: str, wrong: str, owes: str
) -> None:
    """Each mistake by itself."""
    defense = with_mistake("random_subset", right, wrong, tmp_path)
    found = failed(list(battery.of_defense(defense)))
    assert any(item.startswith(owes) for item in found), found


def test_a_loss_may_draw_from_the_generator_that_training_seeds(tmp_path: Path) -> None:
    """It is the same loss again when the training is taken up."""
    right, wrong = "features.text[0]", "features.text[0] * torch.rand(len(features.text[0]), 1)"
    defense = with_mistake("random_subset", right, wrong, tmp_path)
    assert failed(list(battery.of_defense(defense))) == []


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ("return ()", "no optimizer step"),
        (YIELD.replace("keep=keep", "keep=keep & False"), "no optimizer step"),
        (YIELD.replace("keep=keep", "keep=keep[:5]"), "must be a bool tensor"),
        ("raise KeyError('boom')", "boom"),
        (YIELD.replace("self.loss", "lambda given: given.image.mean(-1)"), "a scalar tensor"),
    ],
)
def test_a_defense_that_is_sure_to_fail_is_refused_before_work(
    tmp_path: Path, wrong: str, words: str
) -> None:
    """Played on imaginary pairs; one that trains on nothing whatever they are, too."""
    with pytest.raises(PluginFault, match=words):
        battery.before_training(with_mistake("random_subset", YIELD, wrong, tmp_path), FACTS)


@pytest.mark.parametrize(
    "wrong",
    [
        YIELD.replace("keep=keep", "keep=pairs.similarity() > 7"),
        YIELD.replace("keep=keep", "keep=torch.tensor(['cat' in c for c in pairs.captions()])"),
        "yield Phase('x', self.loss, keep={}[pairs.captions()[0]])",
    ],
)
def test_what_depends_on_the_pairs_is_left_to_them(tmp_path: Path, wrong: str) -> None:
    """Imaginary pairs of which nothing is kept, or which a defense can't take, tell nothing."""
    battery.before_training(with_mistake("random_subset", YIELD, wrong, tmp_path), FACTS)


def test_a_defense_may_look_at_a_million_pairs_in_a_plan(tmp_path: Path) -> None:
    """Those of an imaginary epoch stand for them, so a plan takes no longer."""
    wrong = YIELD.replace("keep=keep", "keep=self.some(pairs)") + (
        "\n\n    def some(self, pairs):\n        whole = [len(c) > 9 for c in"
        " pairs.whole_set.captions()]\n        return torch.tensor(whole)[pairs.numbers]"
    )
    many = replace(FACTS, num_pairs=10**6, device=torch.device("cpu"))
    battery.before_training(with_mistake("random_subset", YIELD, wrong, tmp_path), many)


def test_the_command_checks_a_file_and_says_what_failed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A line a check; exit status 1 where one failed, 0 where none did."""
    with_mistake("solid_patch", "stamped = image.copy()", "stamped = image", tmp_path)
    assert main(["describe", str(tmp_path / "mine.py"), "--check", "--data", SMALL]) == 1
    out = capsys.readouterr().out.splitlines()
    assert out[0] == "ok      is a frozen dataclass"
    assert any(line.startswith("FAILED  makes the 8 poisons") for line in out)
    assert main(["describe", str(EXAMPLES / "random_subset.py:share=0.4"), "--check"]) == 0
    assert {line[:8] for line in capsys.readouterr().out.splitlines()} == {"ok      "}


def test_a_run_refuses_a_mistaken_plugin_before_it_makes_data(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """One line, exit status 2, and nothing in the cache."""
    with_mistake("random_subset", YIELD, "yield Phase('x', self.loss, keep=0)", tmp_path)
    mine, cache = str(tmp_path / "mine.py"), tmp_path / "cache"
    given = ["run", "--data", SMALL, "--defense", mine, "--cache", str(cache), "--no-estimate"]
    assert main([*given, "--out", str(tmp_path / "runs")]) == 2
    told = capsys.readouterr().err.splitlines()[-1]
    assert "phases of defense mine, epoch 1: keep of phase 'x' must be a bool tensor" in told
    assert not (cache / "shapes").exists()


@pytest.mark.parametrize(
    "line",
    [
        "detect --method {mine} --data {small} --out {0}/found",
        "train --defense {mine} --shards {0}/none --out {0}/runs",
    ],
)
def test_no_command_makes_data_for_a_defense_that_is_sure_to_fail(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], line: str
) -> None:
    """Not even one whose pairs are another's, of which none is looked at."""
    with_mistake("random_subset", YIELD, "yield Phase('x', self.loss, keep=0)", tmp_path)
    (tmp_path / "none").mkdir()
    given = line.format(tmp_path, mine=tmp_path / "mine.py", small=SMALL)
    assert main([*given.split(), "--cache", str(tmp_path / "cache"), "--no-estimate"]) == 2
    told = capsys.readouterr().err.splitlines()[-1]
    assert "phases of defense mine, epoch 1: keep of phase 'x' must be a bool tensor" in told
    assert not (tmp_path / "cache" / "shapes").exists()


@pytest.mark.parametrize("amount", ["--rate=10%", "--poisons=6"])
def test_no_pairs_are_made_for_an_attack_that_is_sure_to_fail(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], amount: str
) -> None:
    """`poison` tries it on test images, as `run` does."""
    with_mistake("solid_patch", "return stamped\n", "return stamped[:16]\n", tmp_path)
    given = ["poison", "--data", SMALL, "--attack", str(tmp_path / "mine.py"), amount]
    assert main([*given, "--cache", str(tmp_path / "cache")]) == 2
    assert "a trigger is a pure function" in capsys.readouterr().err.splitlines()[-1]
    assert not (tmp_path / "cache" / "shapes").exists()


METRIC = """
from dataclasses import dataclass

@dataclass(frozen=True)
class Mine:
    def measure(self, measured):
        return "much"

METRIC = Mine
"""


def test_nothing_is_measured_for_a_metric_that_is_sure_to_fail(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """`evaluate` tries it on random features before it encodes anything."""
    (tmp_path / "mine.py").write_text(METRIC)
    model, _ = create_model("shapes-32", 0)
    save_model(model, model_config("shapes-32"), tmp_path / "model")
    given = ["evaluate", "--checkpoint", str(tmp_path / "model"), "--model", "shapes-32"]
    more = ["--data", SMALL, "--metric", str(tmp_path / "mine.py")]
    assert main([*given, *more, "--cache", str(tmp_path / "cache")]) == 2
    assert "measure of metric mine" in capsys.readouterr().err.splitlines()[-1]


@pytest.mark.parametrize(
    ("right", "wrong", "words"),
    [
        (
            "test.labels != goal",
            "test.labels >= 0",
            "probes are of the class they should be classified",
        ),
        ("return stamped\n", "return stamped[:16]\n", "a trigger is a pure function"),
        ("yield Poison(caption", "yield Poison('?' * 0", "has no visible character"),
        ("stamped = image.copy()", "stamped = image", "What a plugin is handed is read-only"),
    ],
)
def test_an_attack_that_is_sure_to_fail_is_refused_before_its_pairs_are_made(
    tmp_path: Path, right: str, wrong: str, words: str
) -> None:
    """Tried on a few test images; what could be the fault of those is left to be found out."""
    with pytest.raises((PluginFault, BadInput), match=words):
        battery.before_poisoning(with_mistake("solid_patch", right, wrong, tmp_path), scene())
    picky = 'rng = scene.rng("solid_patch", "x")\n        {}[len(corpus)]'
    sound = with_mistake(
        "solid_patch", "for base in rng", f"{picky}\n        for base in rng", tmp_path
    )
    battery.before_poisoning(sound, scene())
