"""An option that would be ignored is refused: whoever typed it thinks that it does something."""

from __future__ import annotations

import pytest

from clipbench.cli import main

TRUSTED = ("--trusted", "shapes", "--dry-run")
UNUSED = {
    "check --write new.yaml --junit report.xml": "--junit would be ignored: it needs no --write",
    "check --write new.yaml --json": "--json would be ignored: it needs no --write",
    "describe badnets --quality 90": "--quality would be ignored: it needs --show",
    "describe badnets --set crop_scale=0.5": "--set would be ignored: it needs --show",
    "detect --method dao --drop 0.2 --dry-run": "--drop would be ignored: it needs --ledger",
    "detect --method dao --trusted shapes --dry-run": "--trusted would be ignored",
    "evaluate --checkpoint f --model RN50 --allow x.py": "--allow would be ignored",
    "evaluate --checkpoint f --model RN50 --data shapes --eval shapes": "--data would be ignored",
    "leaderboard results --cell score_auroc": "--cell would be ignored: it needs --format matrix",
    "run --trusted shapes --dry-run": "--trusted would be ignored: it needs a defense that needs",
    "submit --to board --reported r.csv --name data.path=x": "--name would be ignored",
    "sweep grid.yaml --slurm partition=gpu": "--slurm would be ignored: it needs --executor slurm",
    "sweep grid.yaml --executor slurm --jobs 2": "--jobs would be ignored",
    "train --shards . --trusted shapes --dry-run": "--trusted would be ignored",
}


@pytest.mark.parametrize("line", UNUSED)
def test_an_option_that_would_be_ignored_is_refused(
    line: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """In one line that says what it needs, with status 2, before any work."""
    assert main(line.split()) == 2
    said = capsys.readouterr()
    assert said.out == ""
    (told,) = said.err.splitlines()
    assert UNUSED[line] in told


def test_what_is_in_the_environment_may_be_for_other_commands(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A variable is set for all commands, so one that does not use it goes on."""
    monkeypatch.setenv("CLIPBENCH_QUALITY", "90")
    assert main(["describe", "badnets"]) == 0
    assert "badnets" in capsys.readouterr().out
