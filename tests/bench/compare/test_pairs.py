"""Which results of two defenses are paired, which are left out and why, and the table of it."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest
from as_json import of_json

from clipbench.compare.paired import PairedCounts, compare
from clipbench.compare.pairs import Compared, compare_defenses
from clipbench.compare.text import to_text
from clipbench.errors import BadSetting, MissingData, UnknownName
from clipbench.evaluation.clustered import unpaired_difference
from clipbench.evaluation.outcomes import pack
from clipbench.evaluation.statistics import Proportion
from clipbench.results.result import checked

compare_defenses = of_json(compare_defenses)

Result = dict[str, Any]
MakeResult = Callable[..., Result]
Make = Callable[..., Result]


@pytest.fixture
def make(make_result: MakeResult) -> Make:
    """Return a factory of results that say which of their 16 probes succeeded."""

    def result(defense: str, succeeded: Sequence[int], **more: Any) -> Result:
        outcomes = np.isin(np.arange(16), list(succeeded))
        made = make_result(defense=defense, success=(int(outcomes.sum()), 16), **more)
        made["metrics"]["attack_success"]["outcomes"] = pack(outcomes)
        made["attack"]["ledger_sha256"] = f"{made['seed'] or 0:064x}"
        checked(made)
        return made

    return result


def compared(results: list[Result], *sides: str, **more: Any) -> tuple[list[Compared], list[str]]:
    """Return the comparisons and the warnings."""
    warnings: list[str] = []
    found = compare_defenses(results, *(sides or ("none", "clip")), warn=warnings.append, **more)
    return found, warnings


def test_shared_seeds_are_paired_probe_by_probe(make: Make) -> None:
    """The counts are those of single probes, over the seeds that both defenses have."""
    results = [
        make("none", range(12), seed=0),
        make("none", range(16), seed=1),
        make("none", range(16), seed=2),
        make("clip", range(8, 16), seed=0, top1=(8000, 10000)),
        make("clip", range(3), seed=1, top1=(8100, 10000)),
    ]

    (only,), warnings = compared(results)

    assert warnings == []
    assert (only.first, only.second, only.seeds) == ("none", "clip", (0, 1))
    assert (only.attack, only.rate, only.count) == ("targeted", 0.008, 160)
    assert only.success == compare([PairedCounts(4, 8, 4, 0), PairedCounts(3, 13, 0, 0)])
    plain = [Proportion(8500, 10000)] * 2
    assert only.top1 == unpaired_difference(
        plain, [Proportion(8000, 10000), Proportion(8100, 10000)]
    )


def test_runs_of_one_poison_are_paired(make: Make) -> None:
    """Of one seed of training, those whose poison was drawn from the same seed."""
    results = []
    for defense, drawn, successes in (("none", 1, 16), ("none", 2, 12), ("clip", 2, 3)):
        made = make(defense, range(successes), settings={"poison_seed": drawn})
        results.append({**made, "poison_seed": drawn})
    (only,), _ = compared(results)
    assert only.success.difference == 9 / 16


def test_exchanging_the_sides_turns_the_difference_round(make: Make) -> None:
    """First less second, in the order in which they are named."""
    results = [make("none", range(12)), make("clip", range(3))]
    (one,), _ = compared(results, "none", "clip")
    (other,), _ = compared(results, "clip", "none")
    assert one.success.difference == -other.success.difference == 9 / 16
    assert one.success.mcnemar == other.success.mcnemar


def test_each_attack_rate_model_and_data_is_compared_by_itself(make: Make) -> None:
    """What differs in one of them is another comparison; what one side lacks is none."""
    results = [
        make(defense, range(k), **where)
        for where in ({}, {"rate": 0.1, "count": 2000}, {"model": "RN50"}, {"attack": "badnets"})
        for defense, k in (("none", 12), ("clip", 3))
    ]
    results += [make("none", range(5), data="cc3m")]

    found, warnings = compared(results)
    assert [(item.attack, item.rate, item.model) for item in found] == [
        ("badnets", 0.008, "shapes-tiny"),
        ("targeted", 0.008, "RN50"),
        ("targeted", 0.008, "shapes-tiny"),
        ("targeted", 0.1, "shapes-tiny"),
    ]
    assert warnings == []
    assert [item.attack for item in compared(results, attack="badnets")[0]] == ["badnets"]


def damage(result: Result, *path: str, value: Any) -> None:
    """Set a value somewhere in a result; None removes it."""
    for key in path[:-1]:
        result = result[key]
    if value is None:
        del result[path[-1]]
    else:
        result[path[-1]] = value


@pytest.mark.parametrize(
    ("path", "value", "why"),
    [
        (("metrics", "attack_success", "outcomes"), None, "clip has no outcomes of single probes"),
        (("metrics", "attack_success"), None, "clip has no outcomes of single probes"),
        (("attack", "ledger_sha256"), "f" * 64, "their ledgers differ"),
        (("attack", "trigger_sha256"), "f" * 64, "their triggers differ"),
        (("data", "content_sha256"), "f" * 64, "other data"),
        (("data", "evaluation", "classes_sha256"), "f" * 64, "other classes"),
        (("data", "evaluation", "templates_sha256"), "f" * 64, "other templates"),
    ],
)
def test_what_cannot_be_paired_is_left_out_with_a_reason(
    make: Make, path: tuple[str, ...], value: Any, why: str
) -> None:
    """One line names defenses, attack, seeds and the reason; the other seeds are compared."""
    results = [make(name, range(9), seed=seed) for seed in range(3) for name in ("none", "clip")]
    for result in results[3::2]:
        damage(result, *path, value=value)

    (only,), warnings = compared(results)

    assert only.seeds == (0,)
    (line,) = warnings
    assert line.startswith("none and clip under targeted at 0.8%, seeds 1, 2 are left out: ")
    assert why in line
    assert "\n" not in line


def test_other_probes_are_left_out(make: Make) -> None:
    """Outcomes of another number of probes are of other probes."""
    other = make("clip", range(3))
    other["metrics"]["attack_success"] = Proportion(3, 8).to_json() | {
        "outcomes": pack(np.arange(8) < 3)
    }
    warnings: list[str] = []
    with pytest.raises(MissingData, match="Nothing of 'none' and 'clip'"):
        compare_defenses([make("none", range(3)), other], "none", "clip", warn=warnings.append)
    assert "other probes" in warnings[0]


def test_nothing_says_that_two_runs_saw_the_same_poison(make: Make) -> None:
    """Two results without a ledger are not taken to be of one poisoned set."""
    results = [make(name, range(3)) for name in ("none", "clip")]
    for result in results:
        result["attack"]["ledger_sha256"] = None
    warnings: list[str] = []
    with pytest.raises(MissingData):
        compare_defenses(results, "none", "clip", warn=warnings.append)
    assert "no ledger" in warnings[0]


def test_nothing_to_compare_is_an_error(make: Make, make_result: MakeResult) -> None:
    """Clean runs, runs without a seed, and runs without a seed in common are nothing."""
    clean = [make_result(attack="none", defense=name) for name in ("none", "clip")]
    no_seed = [make(name, range(3), seed=None) for name in ("none", "clip")]
    apart = [make("none", range(3), seed=0), make("clip", range(3), seed=1)]
    for results in (clean, no_seed, apart):
        with pytest.raises(MissingData, match="same attack, rate, model, data and seeds"):
            compared(results)


def test_defenses_are_named_as_in_the_leaderboard_or_with_parameters(make: Make) -> None:
    """A name is all rows of it; a label or NAME:PARAMETER=VALUE is one."""
    results = [make("none", range(9))]
    results += [
        make("safeclip", range(k), defense_parameters={"pool": k, "slow": False, "cap": 0.5})
        for k in (2, 3)
    ]

    both, _ = compared(results, "none", "safeclip")
    assert [item.second for item in both] == ["safeclip (pool=2)", "safeclip (pool=3)"]
    for text in ("safeclip (pool=3)", "safeclip:pool=3", "safeclip:pool=3,slow=False,cap=0.50"):
        (one,), _ = compared(results, "none", text)
        assert one.success.counts.second == 3
    (between,), _ = compared(results, "safeclip:pool=2", "safeclip:pool=3")
    assert between.success.counts.first == 2


def test_rows_of_equal_settings_are_held_against_each_other(make: Make) -> None:
    """Where both were trained short and long, short stands against short."""
    results = [
        make(name, range(3), train={"epochs": epochs})
        for name in ("none", "clip")
        for epochs in (20, 40)
    ]
    found, _ = compared(results)
    assert [(item.first, item.second) for item in found] == [
        ("none (epochs=20)", "clip (epochs=20)"),
        ("none (epochs=40)", "clip (epochs=40)"),
    ]
    own = [make("none", range(3)), make("clip", range(3), train={"epochs": 31})]
    assert len(compared(own)[0]) == 1


def test_a_defense_that_is_not_there_is_an_error(make: Make) -> None:
    """An unknown name is told with the nearest known one; the same side twice is refused."""
    results = [make("none", range(3)), make("clip", range(3))]
    with pytest.raises(UnknownName, match="Did you mean 'clip'"):
        compared(results, "none", "clipp")
    with pytest.raises(UnknownName, match="Unknown attack in these results 'badnets'"):
        compared(results, attack="badnets")
    with pytest.raises(UnknownName):
        compared(results, "none", "clip:pool=3")
    with pytest.raises(BadSetting, match="both name 'clip'"):
        compared(results, "clip", "clip")


def test_accuracy_is_missing_where_a_run_has_none(make: Make) -> None:
    """Without top-1 on either side there is no difference of it."""
    (only,), _ = compared([make("none", range(3)), make("clip", range(3), top1=None)])
    assert only.top1 is None
    assert only.to_json()["zeroshot_top1"] is None


def test_the_table_says_each_number_once(make: Make) -> None:
    """What all rows share stands above; counts, points, p and seeds in a row each."""
    results = [
        make(name, range(k), seed=seed, **where)
        for where in ({}, {"attack": "badnets"})
        for name, k in (("none", 16), ("clip", 1))
        for seed in range(3)
    ]
    found, _ = compared(results)

    told, head, _, *lines = to_text(found).splitlines()[:5]
    assert told == "Model shapes-tiny, data shapes, A none, B clip."
    heads, first, second = (re.split(" {2,}", line) for line in (head, *lines))
    assert heads[:4] == ["attack", "rate (count)", "A k/n", "B k/n"]
    row = dict(zip(heads, first, strict=True))
    assert row["attack"] == "badnets"
    assert (row["A k/n"], row["B k/n"], row["seeds"]) == ("48/48", "3/48", "3")
    low, high = (100 * bound for bound in found[0].success.by_trials)
    assert row["A − B [95%]"] == f"+93.8 [{low:+.1f}, {high:+.1f}]"
    assert (row["McNemar p"], row["seeds p"]) == ("<0.0001", "0.2500")
    assert row["top-1 A − B [95%]"].startswith("+0.0 [-")
    assert second[0] == "targeted"


def test_hostile_names_stay_on_their_line(make: Make) -> None:
    """Names with line ends or terminal codes are written out."""
    name = "x\n\x1b[31m"
    results = [make("none", range(3), attack=name), make("clip", range(3), attack=name)]
    found, _ = compared(results)
    text = to_text(found)
    assert "\x1b" not in text
    assert text.splitlines()[3].startswith('"x\\n\\u001b[31m"  ')


def test_parameters_that_all_rows_of_an_attack_share_stand_above(make: Make) -> None:
    """Once, and the column holds its name."""
    results = [
        make(defense, range(3), attack="mine.py", attack_parameters={"side": 8, "cells": 2})
        for defense in ("none", "clip")
    ]
    found = compare_defenses(results, "none", "clip", defaults=lambda *_: {}, warn=pytest.fail)
    text = to_text(found)
    assert "; attack mine.py (cells=2, side=8)." in text.splitlines()[0]
    assert text.splitlines()[3].startswith("mine.py  ")


def test_a_comparison_fits_its_terminal(make: Make) -> None:
    """Names are broken and columns left out; the difference never is."""
    name = "a_file_of_somebody_with_a_long_name"
    found, _ = compared([make(side, range(3), attack=name) for side in ("none", "clip")])
    assert name in to_text(found)
    for width in (120, 100, 80):
        text = to_text(found, width)
        assert max(map(len, text.splitlines())) <= width
        assert "+0.0 [" in text
    assert "Left out at this width: top-1 A − B [95%]" in text


def test_other_numbers_of_threads_are_told_of(make: Make) -> None:
    """A probe at an edge may fall otherwise by rounding alone; results that do not say are mute."""
    results = [make("none", range(12)), make("clip", range(8))]
    results[0]["train"]["threads"] = [1]
    assert compared(results)[1] == []
    results[1]["train"]["threads"] = [1]
    assert compared(results)[1] == []
    results[1]["train"]["threads"] = [2, 4]
    (warning,) = compared(results)[1]
    assert "numbers of threads differ, none with 1 and clip with 2, 4" in warning


def test_other_numbers_of_processes_are_told_of(make: Make) -> None:
    """Each sums gradients of its own rows first, which rounds otherwise; of several in turn all."""
    results = [make("none", range(12)), make("clip", range(8))]
    results[1]["train"]["processes"] = 4
    (warning,) = compared(results)[1]
    assert "numbers of processes differ, none by 1 and clip by 4" in warning
    results[0]["train"] |= {"processes": 4, "ways": ["1 process on a CPU", "4 processes on a CPU"]}
    (warning,) = compared(results)[1]
    assert "none by 1 and then 4 and clip by 4" in warning
    results[1]["train"]["ways"] = results[0]["train"]["ways"]
    assert compared(results)[1] == []


def test_other_kinds_of_machines_are_told_of(make: Make) -> None:
    """The leaderboard marks such rows; another processor rounds otherwise, and so does a GPU."""
    results = [make("none", range(12)), make("clip", range(8))]
    hardware = results[1]["environment"]["hardware"]
    results[1]["environment"]["hardware"] = {**hardware, "cpu": "Other CPU"}
    (warning,) = compared(results)[1]
    assert "kinds of machines differ, none on Example CPU and clip on Other CPU" in warning
    results[1]["train"]["device"] = "NVIDIA H200"
    (warning,) = compared(results)[1]
    assert "none on Example CPU and clip on NVIDIA H200" in warning
    results[0]["train"]["device"] = "NVIDIA H200"
    results[0]["environment"]["hardware"] = results[1]["environment"]["hardware"]
    assert compared(results)[1] == []


def test_a_machine_on_which_a_training_began_is_told_of(make: Make) -> None:
    """The one on which it ended is what the result says of its hardware."""
    results = [make("none", range(12)), make("clip", range(8))]
    results[1]["train"]["ways"] = ["1 process on Other CPU", "1 process on Example CPU"]
    (warning,) = compared(results)[1]
    assert "none on Example CPU and clip on Other CPU and then Example CPU" in warning
