"""What a stage of an audit found is kept, and sought again when what decides it changed."""

from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from clipbench.audit.stage import kept


class Counted(msgspec.Struct, frozen=True):
    """What a small stage finds."""

    pairs: int
    share: float


class Stage:
    """A stage that says how often it was asked."""

    def __init__(self) -> None:
        self.asked = 0

    def __call__(self) -> Counted:
        self.asked += 1
        return Counted(pairs=7, share=1 / 3)


def test_what_was_found_is_read_and_not_sought_again(tmp_path: Path) -> None:
    """A float comes back as it was, to the bit."""
    stage = Stage()
    first = kept(tmp_path / "stage.json", Counted, {"pairs": "a"}, stage)
    assert first == (Counted(7, 1 / 3), True)
    assert kept(tmp_path / "stage.json", Counted, {"pairs": "a"}, stage) == (first[0], False)
    assert stage.asked == 1


def test_other_pairs_are_looked_at_again(tmp_path: Path) -> None:
    """The key is what decides the findings; another one makes the file again."""
    stage = Stage()
    for key in ({"pairs": "a"}, {"pairs": "b"}, {"pairs": "b", "version": 2}):
        assert kept(tmp_path / "stage.json", Counted, key, stage)[1]
    assert stage.asked == 3


@pytest.mark.parametrize(
    "damage",
    [
        lambda text: text[: len(text) // 2],
        lambda text: text.replace(b"7", b"8"),
        lambda _: b"",
        lambda _: b"[]",
        lambda _: b"\xff\xfe",
    ],
    ids=["cut off", "changed", "empty", "a list", "no text"],
)
def test_a_damaged_file_is_made_again(tmp_path: Path, damage: Callable[[bytes], bytes]) -> None:
    """Nothing of it is believed, and nobody has to delete it."""
    path, stage = tmp_path / "stage.json", Stage()
    kept(path, Counted, {}, stage)
    path.write_bytes(damage(path.read_bytes()))
    assert kept(path, Counted, {}, stage) == (Counted(7, 1 / 3), True)


def test_findings_of_another_shape_are_made_again(tmp_path: Path) -> None:
    """A file of an earlier version that lacks a field is no finding of this one."""

    class Longer(Counted, frozen=True):
        more: int

    path = tmp_path / "stage.json"
    kept(path, Counted, {}, Stage())
    assert kept(path, Longer, {}, lambda: Longer(1, 0.5, 2)) == (Longer(1, 0.5, 2), True)
