"""Results side by side are of the same poison, and each is in a place of its own, or it is said."""

from __future__ import annotations

from typing import Any

import pytest
from as_json import of_json
from made_results import make_result

from clipbench.results.side_by_side import (
    different_pairs,
    different_sets,
    mixed_code,
    rivals,
    warnings_of,
)

__all__ = ["make_result"]
different_sets = of_json(different_sets)
rivals = of_json(rivals)
mixed_code = of_json(mixed_code)
different_pairs = of_json(different_pairs)
warnings_of = of_json(warnings_of)


def result(defense: str, ledger: str | None, **changes: Any) -> dict[str, Any]:
    """Return what is looked at of a result."""
    attack = {"name": "badclip", "parameters": {"size": 0.25}, "rate": 0.005, "count": 100}
    data = {"name": "shapes", "parameters": {"size": 20000}, "pairs": 20000}
    return {
        "attack": {**attack, "ledger_sha256": ledger and ledger * 16, **changes.pop("attack", {})},
        "data": {**data, **changes.pop("data", {})},
        "defense": {"name": defense},
        "seed": 0,
        **changes,
    }


def test_defenses_on_different_sets_are_named() -> None:
    """With attack, rate and seed; of many defenses some."""
    others = [result(name, "bbbb") for name in ("slof", "dao", "kdist", "lid", "par", "roclip")]
    (said,) = different_sets([result("none", "aaaa"), *others, result("clip", "aaaa")])
    assert said.startswith("badclip at 0.5%, seed 0, has results on 2 different poisoned sets: ")
    assert "clip, none; dao, kdist, lid, par and 2 more. These do not compare;" in said


@pytest.mark.parametrize(
    "changes",
    [
        {"seed": 1},
        {"poison_seed": 1},
        {"seed": None},
        {"attack": {"rate": 0.01, "count": 200}},
        {"attack": {"parameters": {"size": 0.5}}},
        {"data": {"pairs": 300}},
        {"attack": {"name": "none", "count": 0}},
    ],
    ids=str,
)
def test_sets_that_are_to_differ_are_not_told_of(changes: dict[str, Any]) -> None:
    """Another seed, rate, parameter or data set is another set; clean data has no poison."""
    assert different_sets([result("none", "aaaa"), result("clip", "bbbb", **changes)]) == []


def test_one_set_and_results_without_a_ledger_are_fine() -> None:
    """Results from elsewhere may not tell it."""
    results = [result("none", "aaaa"), result("clip", "aaaa"), result("dao", None)]
    assert different_sets(results) == []


def test_names_from_elsewhere_drive_no_terminal() -> None:
    """Escapes in a plugin's name are shown as such."""
    (said,) = different_sets([result("none", "aaaa"), result("\x1b[2J", "bbbb")])
    assert "\x1b" not in said


def test_results_in_one_place_are_named_with_the_one_that_counts(make_result: Any) -> None:
    """A setting that decides no number makes another run, and not another row of a table."""
    kept = {"train": {"save_frequency": 1}}
    old = make_result(success=(0, 16))
    new = make_result(success=(16, 16), created="2099-01-01T00:00:00+00:00", **kept)
    (said,) = rivals([new, make_result(seed=1), old])
    assert f"{old['id']} of 2026-03-01T12:00:00+00:00 gives way to {new['id']} of 2099-" in said
    assert rivals([old, make_result(success=(0, 16), **kept)]) == []
    other = make_result(success=(16, 16), train={"epochs": 30})
    assert rivals([old, other, make_result(seed=None), make_result(seed=None, **kept)]) == []


def test_clean_results_on_several_sets_of_pairs_are_named(make_result: Any) -> None:
    """Under the same parameters another version of a data set may make other pairs."""

    def clean(content: str, version: str = "0.1.0", **more: Any) -> dict[str, Any]:
        one = make_result(attack="none", **more)
        one["environment"] = {**one["environment"], "clipbench": version}
        one["data"]["content_sha256"] = content * 64
        return one

    old, new = clean("a"), clean("b", "0.2.0", seed=1, defense="clip")
    (said,) = different_pairs([old, clean("a", seed=2), new])
    assert said.startswith("shapes of 20,000 pairs has clean results on 2 different sets of pairs:")
    assert "none (clipbench 0.1.0); clip (clipbench 0.2.0). These do not compare" in said
    assert different_pairs([old, clean("a", "0.2.0", seed=1), clean("b", data="cc3m")]) == []
    assert different_pairs([old, make_result(seed=1)]) == []  # a poisoned set is another
    assert said in warnings_of([old, new])


def test_seeds_that_other_code_of_a_package_made_are_named(make_result: Any) -> None:
    """A table would put them together: a run is known by the code of files, not of packages."""

    def made(seed: int, **packages: str) -> dict[str, Any]:
        one = make_result(seed=seed)
        return {**one, "environment": {**one["environment"], "packages": packages}}

    old, new = "a" * 64, "b" * 64
    (said,) = mixed_code([made(0, mine=old), made(1, mine=new), made(2, mine=old), made(3)])
    assert "targeted at 0.8%, none, has seeds that other code of mine made" in said
    assert "0, 2 of code aaaaaaaa; 1 of code bbbbbbbb" in said
    assert mixed_code([made(0, mine=new), made(1, mine=new, other=old), made(2)]) == []
    clean = make_result(attack="none")
    clean["environment"] = {**clean["environment"], "packages": {"mine": old}}
    assert mixed_code([clean, made(1, mine=new)]) == []
