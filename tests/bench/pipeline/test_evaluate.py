"""Measuring: with the trigger that poisoned, on the data that the ledger names."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest
from small_runs import QUIET, Place, config_of

from clipbench.configuration.places import PLACES, write_sealed
from clipbench.errors import BadInput, BadSetting, MissingData
from clipbench.parallel.bench import Bench
from clipbench.pipeline.evaluate import (
    Checkpoint,
    MeasuredCheckpoint,
    check_trigger,
    evaluate_checkpoint,
)
from clipbench.planning.parts import Parts
from clipbench.poisoning.ledger import read_ledger


def test_another_trigger_than_the_poisons_is_refused(shared: Place, tmp_path: Path) -> None:
    """Attack success is not measured with a trigger that is not the one that poisoned."""
    made = shared.poison(config_of(attack="badnets"), tmp_path / "set")
    attack = Parts.of(config_of(attack="badnets")).attack
    ledger = read_ledger(made.ledger)
    check_trigger(attack, ledger)
    check_trigger(attack, None)
    other = Parts.of(config_of(attack="badnets:size=0.5")).attack
    without = Parts.of(config_of(attack="targeted")).attack
    for wrong in (other, without):
        with pytest.raises(BadSetting, match="trigger of badnets is not the one"):
            check_trigger(wrong, ledger)


def test_evaluating_takes_data_and_attack_from_the_ledger(shared: Place) -> None:
    """A ledger names the data set and attack it was made with; data that are named go before."""
    config = config_of(attack="badnets")
    result, made = shared.execute(config), shared.poison(config)

    def measured(data: str | None) -> MeasuredCheckpoint:
        return evaluate_checkpoint(
            Checkpoint(
                shared.folder_of(config) / "model",
                config.train.model,
                data=data,
                ledger=made.ledger.parent,
            ),
            Bench(shared.cache, reporter=QUIET),
            "auto",
        )

    found = measured(None)
    assert measured("shapes:test_size=300").metrics["zeroshot_top1"].n == 300
    assert found.metrics["zeroshot_top1"].n == 100
    assert found.metrics["attack_success"].to_json() == result["metrics"]["attack_success"]
    assert found.to_json()["attack"] == {
        "name": "badnets",
        "ledger_sha256": result["attack"]["ledger_sha256"],
    }


def test_code_that_a_ledger_names_is_not_run_unless_that_is_allowed(
    shared: Place, tmp_path: Path
) -> None:
    """A ledger of a stranger may name a file; it is imported if its reader names the very one."""
    config = config_of(attack="badnets")
    shared.execute(config)
    weights = shared.folder_of(config) / "model"
    made = shared.poison(config, tmp_path / "set")
    trap, proof = tmp_path / "trap.py", tmp_path / "proof"
    trap.write_text(
        f"from pathlib import Path\nPath({str(proof)!r}).touch()\n"
        "from clipbench_attacks.badnets import BadNets as ATTACK\n"
    )
    head = json.loads(made.ledger.read_text())

    def measured(*allowed: str, **told: Any) -> MeasuredCheckpoint:
        made.ledger.write_text(json.dumps({**head, **told}))
        made.ledger.with_suffix(".sha256").unlink(missing_ok=True)
        return evaluate_checkpoint(
            Checkpoint(weights, config.train.model, ledger=made.ledger, allowed=allowed),
            Bench(shared.cache, reporter=QUIET),
            "auto",
        )

    sha256 = hashlib.sha256(trap.read_bytes()).hexdigest()
    with pytest.raises(BadSetting, match=r"trap\.py' and not its SHA-256"):
        measured(str(trap), attack=str(trap))
    with pytest.raises(BadSetting, match=r"file of its own .*--allow"):
        measured(attack="trap", code={"attack": sha256})
    with pytest.raises(BadSetting, match=r"file of its own .*--allow"):
        measured(str(trap), attack="trap", code={"attack": "0" * 64})
    assert not proof.exists()
    found = measured(str(trap), attack="trap", code={"attack": sha256})
    assert found.metrics["attack_success"].n > 0
    assert proof.exists()


def test_places_that_came_with_a_ledger_are_not_looked_at(shared: Place, tmp_path: Path) -> None:
    """They are believed where this user's own run wrote them, by its seal."""
    config = config_of(attack="badnets")
    shared.execute(config)
    made = shared.poison(config, tmp_path / "set")
    told = {"data": {"name": "imagenet", "root": "/etc"}, "evals": [], "attack": {}}

    def measured() -> MeasuredCheckpoint:
        return evaluate_checkpoint(
            Checkpoint(shared.folder_of(config) / "model", config.train.model, ledger=made.ledger),
            Bench(shared.cache, reporter=QUIET),
            "auto",
        )

    (made.ledger.parent / PLACES).write_text(json.dumps(told))
    assert measured().data == "shapes"
    write_sealed(made.ledger.parent / PLACES, told)
    with pytest.raises(MissingData, match="/etc"):
        measured()


@pytest.mark.parametrize(
    ("field", "value", "said"),
    [
        ("dataset", {"name": "imagenet", "root": "/etc"}, "dataset of .*root names '/etc'"),
        ("dataset", {"name": "os:system"}, "dataset of .* names 'os:system'"),
        ("evals", [{"name": "csv", "path": "http://h/x"}], "path names 'http://h/x'"),
        ("attack", "antigravity:fly", "attack of .* names 'antigravity:fly'"),
    ],
)
def test_a_ledger_names_what_is_installed_alone(
    shared: Place, tmp_path: Path, field: str, value: Any, said: str
) -> None:
    """In every field that names something; the field is told before a model is read."""
    made = shared.poison(config_of(attack="badnets"), tmp_path / "set")
    made.ledger.write_text(json.dumps({**json.loads(made.ledger.read_text()), field: value}))
    made.ledger.with_suffix(".sha256").unlink()
    with pytest.raises(BadInput, match=said):
        evaluate_checkpoint(
            Checkpoint(tmp_path / "no weights", "shapes-32", ledger=made.ledger),
            Bench(shared.cache, reporter=QUIET),
            "auto",
        )
