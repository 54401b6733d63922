"""How far one seed is from the next: runs that differ in nothing but the seed, two at a time."""

from __future__ import annotations

import runpy
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from as_json import of_json
from made_results import make_result

from clipbench.results.store import load_results

__all__ = ["make_result"]
Result = dict[str, Any]
ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "results" / "shapes"
SEEDS = runpy.run_path(str(FOLDER / "seeds.py"))
tables, cells, ranks = (of_json(SEEDS[name]) for name in ("tables", "cells", "ranks"))
pairs, correlation = SEEDS["pairs"], SEEDS["correlation"]


def lines(table: str) -> list[list[str]]:
    """Return the cells of a table's lines."""
    return [line.strip("| ").split(" | ") for line in table.splitlines()[2:]]


def test_two_seeds_are_apart_where_their_probes_do_not_explain_it(
    make_result: Callable[..., Result],
) -> None:
    """60 and 40% of 1,000 images are; of 10 targets they are not, nor are two equal shares."""
    shares = {"many": [(600, 1000), (400, 1000), (600, 1000)], "few": [(6, 10), (4, 10)]}
    for name, several in shares.items():
        runs = [make_result(seed=s, success=share) for s, share in enumerate(several)]
        found = pairs(cells(runs))
        assert [(round(pair.points), pair.beyond) for pair in found] == {
            "many": [(20, True), (0, False), (20, True)],
            "few": [(20, False)],
        }[name]


def test_runs_that_differ_in_more_than_the_seed_are_not_held_against_each_other(
    make_result: Callable[..., Result],
) -> None:
    """As those of another rate, or of more epochs."""
    runs = [
        make_result(seed=0),
        make_result(seed=1, rate=0.1),
        make_result(seed=2, train={"epochs": 3}),
        make_result(seed=0, defense="clip"),
    ]
    assert cells(runs) == []


def test_seeds_that_are_apart_by_chance_alone_are_said_to_be_so_one_time_in_twenty(
    make_result: Callable[..., Result],
) -> None:
    """Of models that misclassify 30% of all images, asked 2,000 of them each."""
    drawn = np.random.default_rng(0).binomial(2000, 0.3, size=60)
    of = cells([make_result(seed=s, success=(int(k), 2000)) for s, k in enumerate(drawn)])
    found = pairs(of)
    assert len(found) == 60 * 59 / 2
    assert 0.02 < sum(pair.beyond for pair in found) / len(found) < 0.08


@pytest.mark.parametrize("true", [0.0, 0.02, 0.3])
def test_the_correlation_of_probes_is_found_again(
    make_result: Callable[..., Result], true: float
) -> None:
    """Of models whose shares are drawn from a beta distribution, under attacks of all strengths."""
    rng = np.random.default_rng(3)
    runs = []
    for strength in np.linspace(0.05, 0.95, 40):
        scale = (1 - true) / true if true else np.inf
        for s in range(3):
            share = rng.beta(strength * scale, (1 - strength) * scale) if true else strength
            k = int(rng.binomial(2000, share))
            runs.append(make_result(attack=f"a{strength:.2f}", seed=s, success=(k, 2000)))
    whole, low, high = correlation(cells(runs))
    assert abs(whole - true) < 0.2 * true + 0.001
    assert low <= max(0.0, whole) <= high < true + 0.1


def test_where_all_probes_succeed_or_one_attack_decides_nothing_is_said_of_their_correlation(
    make_result: Callable[..., Result],
) -> None:
    """Not that there is none: shares of 0 and 1 alone have no variance that could be shared."""
    whole = [make_result(seed=s, success=(1000, 1000)) for s in (0, 1)]
    other = [make_result(seed=s, attack="sig", success=(k, 1000)) for s, k in ((0, 900), (1, 300))]
    assert all(np.isnan(correlation(cells(whole))))
    found = correlation(cells([*whole, *other]))
    assert found[0] > 0.1
    assert all(np.isnan(found[1:]))


def test_success_is_told_by_how_many_probes_there_are_and_by_defense(
    make_result: Callable[..., Result],
) -> None:
    """Targets, of which there are few, have their own line, and are not in the second table."""
    runs = [
        *(make_result(seed=s, success=(k, 1000)) for s, k in enumerate((900, 500))),
        *(make_result(seed=s, defense="clip", success=(k, 1000)) for s, k in enumerate((80, 90))),
        *(make_result(seed=s, rate=0.1, success=(k, 16)) for s, k in enumerate((16, 15))),
    ]
    above, by_defense, _ = map(lines, tables(runs).split("\n\n"))
    assert above[0][1:6] == ["2", "1 (50%)", "1", "20.5", "40.0"]
    assert above[1][1:6] == ["1", "0 (0%)", "0", "6.2", "6.2"]
    assert above[2][1:6] == ["3", "0 (0%)", "0", "0.0", "0.0"]
    assert [line[0] for line in by_defense] == ["none", "clip"]


def test_each_seed_ranks_the_defenses_anew(make_result: Callable[..., Result]) -> None:
    """Each defense is better at one seed; over both, neither is. A seed may lack a defense."""
    left = {"dao": ((100, 1000), (700, 1000)), "slof": ((700, 1000), (100, 1000))}
    runs = [make_result(seed=s, success=(990, 1000)) for s in (0, 1)]
    runs += [make_result(seed=s, defense="clip", success=(980, 1000)) for s in (0, 1)]
    runs += [
        make_result(seed=s, defense=name, success=share)
        for name, shares in left.items()
        for s, share in enumerate(shares)
    ]
    runs.append(make_result(seed=0, defense="kdist", success=(300, 1000)))
    found = {line[0]: line[1:] for line in lines(ranks(runs))}
    assert found["dao"] == ["1 of 3 (10.0%)", "2 of 2 (70.0%)", "1–3 of 3 (40.0%)"]
    assert found["slof"] == ["3 of 3 (70.0%)", "1 of 2 (10.0%)", "1–3 of 3 (40.0%)"]
    assert found["kdist"] == ["2 of 3 (30.0%)", "—", "1–3 of 3 (30.0%)"]


def attacked(rows: list[Any]) -> list[Any]:
    """Return the rows with poison."""
    return [row for row in rows if row.attack.name != "none"]


def claims() -> Iterator[str]:
    """Say what the page of statistics says of the rows."""
    rows = load_results([FOLDER / "rows"])
    found = SEEDS["cells"](attacked(rows))
    kinds = [
        [cell for cell in found if (cell.probes >= SEEDS["MANY"]) == many] for many in (True, False)
    ]
    many, few = map(pairs, kinds)
    assert {cell.probes for cell in kinds[1]} == {16, 20}
    assert min(cell.probes for cell in kinds[0]) == 1000
    beyond, far = sum(p.beyond for p in many), sum(p.points > SEEDS["FAR"] for p in many)
    yield f"in {beyond} of {len(many)} pairs of runs ({100 * beyond / len(many):.0f}%"
    yield f"and by more than 20 points in {far}."
    assert sum(p.beyond for p in few) < 0.05 * len(few)
    once = pairs([cell for cell in kinds[0] if cell.attack != "multi_trigger"])
    yield f"without it, in {100 * sum(p.beyond for p in once) / len(once):.0f}%."
    (of_many, *bounds), (of_few, *others) = map(correlation, kinds)
    yield "is {:.2f} [{:.2f}, {:.2f}], and".format(of_many, *bounds)
    yield "and {:.2f} [{:.2f}, {:.2f}] where there are 16 or 20".format(of_few, *others)
    effect = 1 + 1979 * of_many
    yield f"as {1980 / effect:.0f} independent ones, and its interval should be about "
    yield f"about {effect**0.5:.0f} times as wide"
    clean = pairs(SEEDS["cells"](rows, "zeroshot_top1"))
    yield f"in {sum(p.beyond for p in clean)} of {len(clean)} pairs, and by "
    learning = [row for row in rows if row.defense.name != "roclip"]
    most = max(p.points for p in pairs(SEEDS["cells"](learning, "zeroshot_top1")))
    yield f"by {max(p.points for p in clean):.1f} points at most ({most:.1f} but for `roclip`)."
    most = others[1]
    yield f"have at most {most:.2f} for targets, which makes it {1 + 15 * most:.1f} at most."


def test_the_published_tables_are_those_of_the_rows() -> None:
    """And the figures of the text."""
    rows = load_results([FOLDER / "rows"])
    assert (FOLDER / "seeds.md").read_text(encoding="utf-8") == SEEDS["tables"](rows) + "\n"
    page = " ".join((ROOT / "docs" / "statistics.md").read_text(encoding="utf-8").split())
    assert [claim for claim in claims() if claim not in page] == []
    many = [cell for cell in SEEDS["cells"](attacked(rows)) if cell.probes >= SEEDS["MANY"]]
    beyond = [pair.beyond for pair in pairs(many)]
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert f"explain in {100 * sum(beyond) / len(beyond):.0f}% of cases" in readme
