"""`clipbench power`: a plan as a sentence and as JSON, and what it refuses."""

from __future__ import annotations

import json

import pytest

from clipbench.cli import main


def test_a_plan_in_seeds(capsys: pytest.CaptureFixture[str]) -> None:
    """Telling 0% from 5% takes 157 trials, which are 10 seeds of 16 targets."""
    assert main(["power", "--share", "0", "--against", "5%"]) == 0
    out = capsys.readouterr().out
    assert out.startswith("157 trials tell 0% from 5% with a power of 80%")
    assert "160 trials, 10 seeds of 16 targets: power 81.6%" in out


def test_the_power_of_what_one_has(capsys: pytest.CaptureFixture[str]) -> None:
    """With ``--trials`` the power of so many is told, and what 0 of them leaves."""
    arguments = ["power", "--share", "0", "--against", "0.05", "--trials", "48"]
    assert main(arguments) == 0
    out = capsys.readouterr().out
    assert out.startswith("48 trials, 3 seeds of 16 targets: power 3.2%.")
    assert "up to 7.4% (Wilson)" in out


def test_a_plan_as_json(capsys: pytest.CaptureFixture[str]) -> None:
    """``--json`` prints every number, fractions in [0, 1]."""
    arguments = ["--share", "10%", "--against", "30%", "--correlation", "0.4", "--level", "1%"]
    assert main(["power", *arguments, "--power", "90%", "--targets", "8", "--json"]) == 0
    plan = json.loads(capsys.readouterr().out)
    assert (plan["share"], plan["against"], plan["correlation"], plan["level"]) == (
        0.1,
        0.3,
        0.4,
        0.01,
    )
    assert plan["trials"] == 8 * plan["seeds"] >= plan["fewest_trials"]
    assert plan["power"] >= 0.9


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--share", "0"], "--against"),
        (["--share", "5", "--against", "0"], "write 5% or 0.05"),
        (["--share", "x", "--against", "0"], "'x' is no share"),
        (["--share", "0", "--against", "0%"], "equal shares"),
        (["--share", "0", "--against", "5%", "--power", "100%"], "--power is 1"),
    ],
)
def test_a_plan_without_meaning_is_refused(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """One line on standard error, and status 2."""
    assert main(["power", *arguments]) == 2
    err = capsys.readouterr().err
    assert message in err
    assert err.count("\n") == 1
