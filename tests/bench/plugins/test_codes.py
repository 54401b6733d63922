"""Plugins that are files, also those that a parameter names: known by content, not by path."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from clipbench.configuration.config import RunConfig
from clipbench.configuration.naming import Allowed
from clipbench.configuration.resolution import resolve
from clipbench.errors import BadSetting

EXAMPLE = Path(__file__).parents[3] / "docs" / "examples" / "solid_patch.py"


def run_of(file: Path, more: str = "") -> RunConfig:
    """A run whose attack is made of one in a file."""
    attack = {"name": "adaptive", "base": f"{file}{more}"}
    return resolve(attack=attack, poisons=8, data="shapes:size=400")


def test_a_file_that_a_parameter_names_is_known_by_what_it_holds(tmp_path: Path) -> None:
    """By another path it is the same run, with other code another; no record has the path."""
    copy = tmp_path / "solid_patch.py"
    shutil.copy(EXAMPLE, copy)
    one, other = run_of(EXAMPLE, ":side=9"), run_of(copy, ":side=9")
    assert one.sha256() == other.sha256()
    assert one.hashed()["attack"]["base"] == "solid_patch:side=9"
    assert list(one.code) == ["attack.base[0]"]
    assert str(tmp_path) not in str(other.hashed())
    assert other.attack.parameters["base"] == f"{copy}:side=9"  # which is what is run
    copy.write_text(copy.read_text() + "\n# changed\n")
    assert run_of(copy, ":side=9").sha256() != one.sha256()
    assert run_of(EXAMPLE).sha256() != one.sha256()
    assert one.without_attack().code == {}


def test_a_record_with_such_a_file_needs_the_one_of_that_content(tmp_path: Path) -> None:
    """Whoever uses it names the file, wherever that lies here; another of its name is not run."""
    record = run_of(EXAMPLE, ":side=9").hashed()
    copy = tmp_path / "mine.py"
    shutil.copy(EXAMPLE, copy)
    with pytest.raises(BadSetting, match=r"'solid_patch' is a file of its own .* --allow"):
        Allowed().usable("attack", record["attack"], record["code"], "attack")
    may = Allowed.of([str(copy)])
    found = may.usable("attack", record["attack"], record["code"], "attack")
    assert found["base"] == f"{copy}:side=9"
    copy.write_text(copy.read_text() + "\n# changed\n")
    with pytest.raises(BadSetting, match="is a file of its own"):
        may.usable("attack", record["attack"], record["code"], "attack")


def test_each_of_several_has_its_own_hash(tmp_path: Path) -> None:
    """In the order of the list; those that are installed have none."""
    file = tmp_path / "mine.py"
    file.write_text("from clipbench_attacks.badnets import BadNets as ATTACK\n")
    attack = {"name": "multi_trigger", "triggers": ["sig", f"{file}:size=0.3", "filter"]}
    run = resolve(attack=attack, poisons=8, data="shapes:size=400")
    assert list(run.code) == ["attack.triggers[1]"]
    assert run.hashed()["attack"]["triggers"] == ["sig", "mine:size=0.3", "filter"]
