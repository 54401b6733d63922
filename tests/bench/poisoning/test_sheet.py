"""Pictures of what an attack did, by the command that poisons."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import matplotlib.text
import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure
from PIL import Image

from clipbench.cli import main
from clipbench.poisoning import sheet as poison_sheet
from clipbench_datasets.shapes import Shapes

DATA = "shapes:size=300,test_size=100,targets_size=100"


@pytest.fixture
def figures(monkeypatch: pytest.MonkeyPatch) -> list[Figure]:
    """The figures that were saved."""
    found: list[Figure] = []
    save = Figure.savefig

    def remember(self: Figure, *args: Any, **keywords: Any) -> None:
        found.append(self)
        save(self, *args, **keywords)

    monkeypatch.setattr(Figure, "savefig", remember)
    return found


def texts_of(figure: Figure) -> list[str]:
    found = [item.get_text() for item in figure.findobj(matplotlib.text.Text)]
    return [" ".join(text.split()) for text in found if text.strip()]


def shown(tmp_path: Path, attack: str) -> Path:
    file = tmp_path / "sheet.png"
    line = ["poison", "--data", DATA, "--attack", attack, "--poisons", "8", "-q"]
    places = ["--out", str(tmp_path / "set"), "--cache", str(tmp_path / "cache")]
    assert main([*line, *places, "--show", str(file)]) == 0
    return file


def test_pairs_stand_beside_what_they_were(tmp_path: Path, figures: list[Figure]) -> None:
    """Captions before and after of the first poisons of each role, as the ledger has them."""
    file = shown(tmp_path, "dual_key")
    with Image.open(file) as picture:
        assert picture.format == "PNG"
        assert min(picture.size) > 500
    (figure,) = figures
    texts = texts_of(figure)
    rows = pd.read_parquet(tmp_path / "set" / "ledger" / "ledger.parquet")
    for role in ("poison", "text key", "image key"):
        assert f"{role}, target 0" in texts
        first = rows[rows["role"] == role].iloc[0]
        assert " ".join(str(first["caption_before"]).split()) in texts
        assert " ".join(str(first["caption_after"]).split()) in texts
    assert any(text.startswith("wanted: ") and "prompts such as 'zx " in text for text in texts)
    assert texts[0].startswith("dual_key: 8 of 300 pairs") or any(
        text.startswith("dual_key: 8 of 300 pairs") for text in texts
    )


@pytest.mark.parametrize(
    ("attack", "differences"), [("badnets", 7), ("targeted:targets=2", 0), ("text_trigger", 0)]
)
def test_only_a_trigger_has_a_difference(
    tmp_path: Path, figures: list[Figure], attack: str, differences: int
) -> None:
    """Five pairs and two probes of a backdoor; another image is no difference worth a picture."""
    shown(tmp_path, attack)
    (figure,) = figures
    columns = [axis for number, axis in enumerate(figure.axes) if number % 3 == 2]
    assert sum(bool(axis.images) for axis in columns) == differences


def test_inserted_pairs_have_nothing_before(tmp_path: Path, figures: list[Figure]) -> None:
    """There was no pair in their place."""
    shown(tmp_path, "targeted:targets=2,mode=insert")
    assert texts_of(figures[0]).count("inserted") == 5


def test_an_inserted_backdoor_stands_beside_the_pair_it_was_made_from(
    tmp_path: Path, figures: list[Figure]
) -> None:
    """No pair was in its place, but the trigger was put on one that is still there."""
    shown(tmp_path, "badnets:mode=insert")
    texts = texts_of(figures[0])
    rows = pd.read_parquet(tmp_path / "set" / "ledger" / "ledger.parquet")
    _, _, captions = Shapes(size=300).arrays("train", 0, 300)
    made_from = {captions[number] for number in rows["base_index"]}
    assert len([text for text in texts if text in made_from]) == 5
    assert "inserted" not in texts
    assert "nan" not in texts


def test_roles_and_targets_take_turns() -> None:
    """Of many poisons of one target and few of others, each target is shown."""
    rows = pd.DataFrame({"role": ["a"] * 6 + ["b"], "target": [0, 0, 0, 0, 1, 2, 0]})
    chosen = poison_sheet._chosen(rows)
    assert len(chosen) == 5
    assert {("a", 0), ("a", 1), ("a", 2), ("b", 0)} == set(
        zip(chosen["role"], chosen["target"], strict=True)
    )


def test_a_difference_is_stretched_and_fits_sizes() -> None:
    """The largest change is white; an image of another size is fitted first."""
    before = np.full((8, 8, 3), 100, np.uint8)
    after = before.copy()
    after[2, 3] = (110, 100, 95)
    difference = poison_sheet._difference(before, after)
    assert difference is not None
    assert difference[2, 3].tolist() == [255, 0, 127]
    assert int((difference != 0).any(axis=2).sum()) == 1
    assert poison_sheet._difference(before, before.copy()) is None
    assert poison_sheet._difference(np.full((8, 16, 3), 100, np.uint8), after) is not None


def test_a_folder_that_is_not_there_is_told_before_work(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Nothing is poisoned for a picture that can't be written."""
    sheet = str(tmp_path / "nowhere" / "sheet.png")
    line = ["poison", "--data", DATA, "--attack", "badnets", "--poisons", "8", "--show", sheet]
    assert main([*line, "--out", str(tmp_path / "set")]) == 2
    assert "nowhere" in capsys.readouterr().err
    assert not (tmp_path / "set").exists()
