"""Defaults of plugins for labels: known where a name suffices, never at a stranger's word."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from as_json import of_json

from clipbench.leaderboard.tables import leaderboard
from clipbench.plugins import registry
from clipbench.results.defaults import defaults_of

leaderboard = of_json(leaderboard)
defaults_of = of_json(defaults_of)

MakeResult = Callable[..., dict[str, Any]]
SAFECLIP = {"unimodal_epochs": 5, "cross_modal_epochs": 1, "cross_modal_lr_scale": 0.01}
OF_PHOTOGRAPHS = {"threshold": 0.9, "growth": 0.01, "cap": 0.85, **SAFECLIP}


def on(make_result: MakeResult, name: str, **parameters: Any) -> dict[str, Any]:
    """Return the result of an undefended run on a data set with these parameters."""
    result = make_result(data=name, attack="badnets", attack_parameters={})
    return {**result, "data": {**result["data"], "parameters": parameters}}


TRAINING = {
    "shards": {"path": "/nowhere/own", "caption_field": None},
    "csv": {"path": "/nowhere/pairs.tsv", "separator": "tab"},
    "coco": {"annotations": "/nowhere/c.json", "images": "/nowhere/images"},
    "cc3m": {"path": "/nowhere/cc3m.tsv", "images": "/nowhere/images"},
    "visual_genome": {"annotations": "/nowhere/regions.json", "images": "/nowhere/images"},
}


@pytest.mark.parametrize("name", TRAINING)
def test_results_of_one_data_set_with_a_required_parameter_are_a_table(
    name: str, make_result: MakeResult
) -> None:
    """Its recipe is known by the specification, and by no file of it."""
    result = on(make_result, name, **TRAINING[name])
    defaults = defaults_of([result])
    found = defaults("defense", "safeclip")
    assert found is not None
    assert found.items() >= OF_PHOTOGRAPHS.items()
    assert leaderboard([result], defaults=defaults)["attack"].tolist() == ["badnets"]


def test_what_need_not_be_set_is_known_of_a_data_set_with_a_required_parameter(
    make_result: MakeResult,
) -> None:
    """So its label has the path, which somebody typed, and not the rest."""
    result = on(make_result, "shards", path="own", caption_field=None)
    (label,) = leaderboard([result], defaults=defaults_of([result]))["data"]
    assert label == "shards (path=own)"


@pytest.mark.parametrize(
    ("surrogate", "label"),
    [("ViT-B-32", "badclip"), ("RN50", "badclip (surrogate_model=RN50)")],
)
def test_a_surrogate_of_the_runs_own_model_is_not_worth_a_word(
    surrogate: str, label: str, make_result: MakeResult
) -> None:
    """It is what an attack takes when nobody names another."""
    own = make_result(attack="badclip", attack_parameters={"surrogate_model": surrogate})
    own = {**own, "config": {**own["config"], "train": {"model": "ViT-B-32"}}}
    assert defaults_of([own])("attack", "badclip")["surrogate_model"] == "ViT-B-32"
    found = leaderboard([own], defaults=defaults_of([own]))["attack"].tolist()
    assert found == [label]


def test_a_model_that_is_no_name_ends_nothing(make_result: MakeResult) -> None:
    """A configuration of a stranger holds anything; results beside it keep their defaults."""
    own = make_result(attack="badclip", attack_parameters={}, train={"model": [None, {"a": 1}]})
    assert defaults_of([own, make_result()])("defense", "safeclip") is not None
    assert len(leaderboard([own, make_result()], defaults=defaults_of([own]))) == 2


def test_a_recipe_counts_where_all_data_sets_agree(make_result: MakeResult) -> None:
    """Two of one recipe have it; with a third of another, a label shows the parameters."""
    photographs = [on(make_result, name, **TRAINING[name]) for name in ("shards", "csv")]
    alike = defaults_of(photographs)("defense", "safeclip")
    assert alike is not None
    assert alike["cap"] == 0.85
    drawings = on(make_result, "shapes", size=300)
    of_drawings = defaults_of([drawings])("defense", "safeclip")
    mixed = defaults_of([*photographs, drawings])("defense", "safeclip")
    assert of_drawings is not None
    assert mixed is not None
    assert (
        of_drawings["growth"]
        != mixed["growth"]
        == registry.defaults("defense", "safeclip")["growth"]
    )


PLUGIN = """
from dataclasses import dataclass
from pathlib import Path

from clipbench.contracts import Recipe


class TooLarge(Exception):
    pass


@dataclass(frozen=True)
class Reader:
    folder: Path
    note: str = "own"
    size: int = 3

    def __post_init__(self):
        (Path(__file__).parent / "seen.txt").write_text(f"{self.folder} {self.note} {self.size}")
        if self.size > 100:
            raise TooLarge(self.size)

    def recipe(self):
        return Recipe(train={}, defenses={"safeclip": {"growth": self.size / 100}})

    def prepare(self, cache, progress=None): ...
    def num_pairs(self): ...
    def with_pairs(self, minimum): ...
    def synonyms(self): ...


DATASET = Reader
"""


@pytest.fixture
def reader(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Register a data set of somebody else that looks at its folder at once."""
    (tmp_path / "reader_plugin.py").write_text(PLUGIN)
    monkeypatch.syspath_prepend(str(tmp_path))
    source = registry.Source("reader", "somebody's", "reader_plugin", "DATASET")
    known = registry.sources
    monkeypatch.setattr(
        registry,
        "sources",
        lambda kind: {**known(kind), **({"reader": [source]} if kind == "dataset" else {})},
    )
    monkeypatch.delitem(sys.modules, "reader_plugin", raising=False)
    return tmp_path / "seen.txt"


def test_no_text_of_a_result_reaches_a_plugin(reader: Path, make_result: MakeResult) -> None:
    """It may be a path, an address or a command; numbers, which a recipe may ask, do."""
    result = on(make_result, "reader", folder="/etc/shadow", note="pipe:rm", size=7)
    found = defaults_of([result])("defense", "safeclip")
    assert found is not None
    assert found["growth"] == 0.07
    assert reader.read_text() == f"sha256:{'0' * 64} own 7"


def test_a_data_set_that_can_not_be_built_is_still_a_label(
    reader: Path, make_result: MakeResult
) -> None:
    """A recipe decorates; without one the parameters are shown."""
    result = on(make_result, "reader", folder="f", size=1000)
    assert defaults_of([result])("defense", "safeclip") == registry.defaults("defense", "safeclip")
    assert reader.exists()
    unknown = on(make_result, "gone", folder="f")
    (label,) = leaderboard([unknown], defaults=defaults_of([unknown]))["data"]
    assert label == "gone (folder=f)"
