"""`clipbench new`: a file that is a plugin of the kind at once, under the name that was chosen."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from commands import command

from clipbench.cli.about.new import _TRIALS
from clipbench.files import bundled
from clipbench.plugins import registry
from clipbench.plugins.find import Kind
from clipbench.testing import Check, check_attack, check_defense, check_metric

KINDS: dict[Kind, Callable[..., list[Check]]] = {
    "attack": check_attack,
    "defense": check_defense,
    "metric": check_metric,
}


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Work in an empty folder."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("kind", KINDS)
def test_a_new_plugin_passes_every_check_at_once(kind: Kind, folder: Path) -> None:
    """File, class and texts have the new name, and nothing is left of that of the example."""
    done = command("new", kind, "my-first")
    assert (done.status, done.out) == (0, "my_first.py\n")
    assert (
        f"clipbench run --config quickstart {_TRIALS[kind].format(file='my_first.py')}" in done.err
    )
    checks = KINDS[kind](folder / "my_first.py")
    assert [check for check in checks if check.untried] == []
    text = (folder / "my_first.py").read_text(encoding="utf-8")
    example = bundled.KINDS[kind]
    assert example not in text
    assert example.replace("_", " ") not in text.lower()
    assert registry.load(kind, "my_first.py").__name__ == "MyFirst"
    assert registry.describe(registry.load(kind, "my_first.py")).title.startswith("My first: ")
    assert f"documented in clipbench.contracts.{kind.capitalize()}" in text
    assert max(map(len, text.splitlines())) <= 100


def test_a_file_that_exists_is_never_overwritten(folder: Path) -> None:
    """Whatever it holds."""
    (folder / "mine.py").write_text("precious")
    assert "mine.py exists; choose another name" in command("new", "attack", "mine").error
    assert (folder / "mine.py").read_text() == "precious"


@pytest.mark.parametrize(
    ("words", "part"),
    [
        (("attack", "badnets"), "There is an attack 'badnets' already"),
        (("defense", "my defense"), "lower-case letters, digits and underscores, like my_defense"),
        (("metric", "../mine"), "Got '../mine'"),
        (("attack", "class"), "Got 'class'"),
        (("attack", "scene"), "would hide another one"),
        (("defense", "stateless"), "would hide another one"),
        (("datset", "mine"), "is not one of 'attack', 'defense', 'metric'"),
    ],
)
def test_a_name_that_cannot_be_is_refused(words: tuple[str, str], part: str, folder: Path) -> None:
    """In one line, and nothing is written."""
    assert part in command("new", *words).error
    assert list(folder.iterdir()) == []


def test_a_failed_check_is_an_error_of_a_test_that_names_it(folder: Path) -> None:
    """Given by name, by path or as an object, to a test of one's own."""
    command("new", "attack", "mine", "-q")
    text = (folder / "mine.py").read_text(encoding="utf-8")
    (folder / "mine.py").write_text(text.replace("[: scene.count]", "[: scene.count - 1]"))
    wrong: Any = registry.build("attack", "mine.py")
    for attack in ("mine.py", Path("mine.py"), wrong):
        with pytest.raises(AssertionError, match=r"1 of \d checks of the attack failed") as failed:
            check_attack(attack)
        assert "makes the 8 poisons it is asked for: mine.py:" in str(failed.value)
