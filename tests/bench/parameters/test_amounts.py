"""Numbers and texts that nobody means: refused before anything is counted or made of them."""

from __future__ import annotations

import time
import typing
from typing import Any

import pytest

from clipbench.configuration.resolution import resolve
from clipbench.configuration.settings import TrainSettings
from clipbench.errors import BadInput, UnknownName
from clipbench.parameters.values import field_types
from clipbench.plugins import registry
from clipbench.plugins.find import KINDS

HUGE = (10**12 + 1, 10**18, -(10**18), 10**5000)
BASE = {"data": "shapes:size=300", "attack": "badnets", "poisons": 3}
PARTS = {"dataset": "data", "attack": "attack", "defense": "defense"}


@pytest.fixture(scope="module", autouse=True)
def _imported() -> None:
    """Import what any run takes, so that no test is timed for it."""
    resolve(data="shapes:size=300", attack="badnets", poisons=3)


def whole_numbers() -> list[tuple[str, str, str]]:
    """Return kind, plugin and parameter of every whole number that is no seed."""
    return [
        (kind, listed.name, name)
        for kind in KINDS
        for listed in registry.survey(kind)
        if listed.cls is not None and listed.cls.__module__.startswith("clipbench")
        for name, hint in field_types(listed.cls).items()
        if "int" in str(hint) and not name.endswith("seed")
    ]


@pytest.mark.parametrize(("kind", "plugin", "name"), whole_numbers())
def test_no_plugin_is_given_a_number_that_nobody_means(kind: Any, plugin: str, name: str) -> None:
    """A trillion, as a row or a ledger of others may have it."""
    cls = registry.load(kind, plugin)
    hints = {key: field_types(cls)[key] for key in registry.required(cls)}
    choices = {key: typing.get_args(hint) for key, hint in hints.items()}
    required = {key: options[0] if options else "x" for key, options in choices.items()}
    for number in HUGE[:2]:
        with pytest.raises(BadInput, match=r"must|at most") as caught:
            registry.build(kind, {"name": plugin, **required, name: number})
        assert name in str(caught.value)


@pytest.mark.parametrize("number", HUGE, ids=["trillion", "10**18", "negative", "10**5000"])
@pytest.mark.parametrize(
    "name", [n for n, hint in field_types(TrainSettings).items() if "int" in str(hint)]
)
def test_no_training_is_given_a_number_that_nobody_means(name: str, number: int) -> None:
    """Epochs, steps, pairs, threads: each has a most and a least, in one table."""
    with pytest.raises(BadInput, match=rf"train\.{name} must be") as caught:
        TrainSettings.from_mapping({name: number})
    assert len(str(caught.value)) < 200


CHANGES: dict[str, dict[str, Any]] = {
    "poisons": {"poisons": 10**18},
    "negative poisons": {"poisons": -(10**18)},
    "poisons of thousands of digits": {"poisons": 10**5000},
    "seed": {"seed": 10**19},
    "negative seed": {"seed": -1},
    "seed of thousands of digits": {"seed": 10**5000},
    "seed that is a truth value": {"seed": True},
    "small rate": {"poisons": None, "rate": f"0.{'0' * 100_000}1"},
    "large rate": {"poisons": None, "rate": "9" * 100_000},
    "rate that is none": {"poisons": None, "rate": float("nan")},
    "long model": {"train": {"model": "x" * 10_000_000}},
    "learning rate of thousands of digits": {"train": {"lr": 10**5000}},
    "epochs in thousands of digits": {"train": {"epochs": "9" * 5000}},
    "long attack": {"attack": "x" * 10_000_000},
    "long label": {"attack": {"name": "badnets", "target_label": "x" * 10_000_000}},
    "long parameter": {"attack": {"name": "badnets", "x" * 10_000_000: 1}},
    "long spec": {"attack": f"badnets:{'a' * 1_000_000}"},
    "many items": {"attack": {"name": "multi_trigger", "triggers": ["badnets"] * 1_000_000}},
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_what_nobody_means_is_refused_in_a_moment(change: dict[str, Any]) -> None:
    """One line of a length that can be read, in under a second (two, for a busy machine)."""
    asked = {**BASE, **change}
    started = time.process_time()
    with pytest.raises(BadInput) as caught:
        resolve(**asked)
    assert time.process_time() - started < 2
    assert len(str(caught.value)) < 2_000


def test_a_long_name_is_not_held_against_all_that_are_known() -> None:
    """Which would take minutes; the beginning is told."""
    error = UnknownName("attack", "badnet" * 100_000, ["badnets"])
    assert "badnetbadnet" in str(error)
    assert len(str(error)) < 300
