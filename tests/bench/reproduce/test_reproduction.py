"""Reproduction: what is equal, what lies in the recorded interval, and what does neither."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest
from as_json import of_json

from clipbench.evaluation.statistics import Proportion, wilson
from clipbench.reproduce.reproduction import causes, compare

causes = of_json(causes)
compare = of_json(compare)

Result = dict[str, Any]
MakeResult = Callable[..., Result]


def share(k: int, n: int) -> dict[str, Any]:
    low, high = wilson(k, n)
    return {"value": k / n, "k": k, "n": n, "low": low, "high": high}


def verdicts(old: Result, new: Result) -> dict[str, str]:
    return {row.name: row.verdict for row in compare(old, new)}


def passes(old: Result, new: Result) -> bool:
    return all(row.passed for row in compare(old, new))


def test_a_result_is_equal_to_itself(make_result: MakeResult) -> None:
    """Pairs, ledger, test set and every metric are compared, and are the same to the bit."""
    result = make_result()
    found = verdicts(result, copy.deepcopy(result))
    assert set(found) == {"pairs", "ledger", "test set", *result["metrics"]}
    assert set(found.values()) == {"equal"}
    assert "ledger" not in verdicts(make_result(attack="none"), make_result(attack="none"))


def test_a_share_passes_within_the_recorded_interval(make_result: MakeResult) -> None:
    """The interval is that of the recorded result; its neighbors outside fail."""
    old = make_result(success=50)
    low, high = wilson(50, 99)
    for k in range(100):
        new = make_result(success=k)
        expected = "equal" if k == 50 else "inside" if low <= k / 99 <= high else "OUTSIDE"
        assert verdicts(old, new)["attack_success"] == expected
        assert passes(old, new) == (expected != "OUTSIDE")


def test_a_number_without_an_interval_is_not_judged(make_result: MakeResult) -> None:
    """It is shown; whether it is near enough nobody can say."""
    old, new = make_result(), make_result()
    new["metrics"]["mean_per_class_recall"] = {"value": 0.1}
    assert verdicts(old, new)["mean_per_class_recall"] == "not judged"
    assert passes(old, new)


def test_a_cutoff_that_is_measured_no_longer_is_not_judged(make_result: MakeResult) -> None:
    """Of five classes all are among the first five, which earlier versions told as a share."""
    old, new = make_result(), make_result()
    old["metrics"]["zeroshot_top5"] = share(10, 10)
    assert "zeroshot_top5" not in new["metrics"]
    assert verdicts(old, new)["zeroshot_top5"] == "not judged"
    assert passes(old, new)
    old["metrics"]["zeroshot_top5"] = share(9, 10)
    assert not passes(old, new)


@pytest.mark.parametrize(
    ("part", "name"),
    [("data", "content_sha256"), ("attack", "ledger_sha256")],
)
def test_other_pairs_or_another_ledger_are_a_failure(
    make_result: MakeResult, part: str, name: str
) -> None:
    """Numbers that agree on other pairs reproduce nothing."""
    old, new = make_result(), make_result()
    new[part][name] = "0" * 64
    assert not passes(old, new)


def test_a_ledger_that_names_other_versions_is_not_judged(make_result: MakeResult) -> None:
    """It cannot have the same hash; that the pairs are the same is what counts."""
    old, new = make_result(), make_result()
    new["environment"]["numpy"] = "2.1.0"
    new["attack"]["ledger_sha256"] = "0" * 64
    assert verdicts(old, new)["ledger"] == "not judged"
    assert passes(old, new)
    new["data"]["content_sha256"] = "0" * 64
    assert verdicts(old, new)["ledger"] == "DIFFERS"


def test_another_test_set_or_number_of_probes_is_a_failure(make_result: MakeResult) -> None:
    """Shares of other trials do not compare."""
    old, new = make_result(), make_result()
    new["metrics"]["attack_success"] = Proportion(45, 50).to_json()
    assert verdicts(old, new)["attack_success"] == "DIFFERS"
    new = make_result()
    new["data"]["evaluation"]["classes_sha256"] = "0" * 64
    assert verdicts(old, new)["test set"] == "DIFFERS"
    new = make_result(control=None)
    assert verdicts(old, new)["attack_success_control"] == "DIFFERS"
    assert not passes(old, new)


def test_every_evaluation_set_is_compared(make_result: MakeResult) -> None:
    """Where there are several, under their names."""
    old, new = make_result(), make_result()
    for result, k in ((old, 50), (new, 5)):
        share = {"zeroshot_top1": Proportion(k, 100).to_json()}
        result["evaluations"] = [
            {"name": "shapes", "metrics": {}},
            {"name": "other", "metrics": share},
        ]
    assert verdicts(old, new)["other: zeroshot_top1"] == "OUTSIDE"
    assert not passes(old, new)


def test_sets_of_one_name_are_compared_in_their_order(make_result: MakeResult) -> None:
    """As older results have them: a result is equal to itself."""
    old = make_result()
    old["evaluations"] = [
        {"name": "imagefolder", "metrics": {"zeroshot_top1": Proportion(k, 100).to_json()}}
        for k in (90, 30)
    ]
    assert passes(old, old)


def test_what_rounding_depends_on_is_named_where_it_differs(make_result: MakeResult) -> None:
    """Threads, processor and versions; what an older result does not say is said to be missing."""
    old, new = make_result(), make_result()
    assert causes(old, new) == []
    old["train"], new["train"] = {}, {"threads": [2]}
    assert causes(old, new) == [("threads", "not recorded", "2")]
    old["train"]["threads"] = [2]
    assert causes(old, new) == []
    old["train"]["threads"], new["environment"]["torch"] = [2, 1], "2.9.0"
    assert causes(old, new) == [
        ("threads", "2 and 1", "2"),
        ("torch", "not recorded", "2.9.0"),
    ]


def test_a_training_that_went_on_otherwise_is_named(make_result: MakeResult) -> None:
    """As where it was stopped, and went on with as many processes as the one made again."""
    old, new = make_result(), make_result()
    ways = ["1 process on a CPU", "2 processes on a CPU"]
    old["train"], new["train"] = {"processes": 2, "ways": ways}, {"processes": 2}
    by = "by 1 process on a CPU and 2 processes on a CPU, one after the other"
    assert causes(old, new) == [("trained", by, "in one way")]
    assert causes(old, copy.deepcopy(old)) == []


def test_other_code_of_a_package_is_named(make_result: MakeResult) -> None:
    """Numbers of an attack from a package may differ because that was edited or upgraded."""
    old, new = make_result(), make_result()
    old["environment"]["packages"] = {"said": "a" * 64, "sung": "b" * 64}
    new["environment"]["packages"] = {"said": "c" * 64, "sung": "b" * 64}
    assert causes(old, new) == [("code of said", "a" * 16, "c" * 16)]
    new["environment"]["packages"] = {}
    assert causes(old, new)[1] == ("code of sung", "b" * 16, "not recorded")


def test_other_code_of_a_metrics_package_is_named(make_result: MakeResult) -> None:
    """A metric may have been measured with other code than the attack beside it."""
    old, new = make_result(), make_result()
    plugin = {"name": "loud", "parameters": {}, "code_sha256": None}
    for result, digit in ((old, "b"), (new, "c")):
        result["environment"]["packages"] = {"said": "a" * 64}
        result["metric_plugins"] = [{**plugin, "packages": {"said": digit * 64}}]
    assert causes(old, new) == [("code of said for loud", "b" * 16, "c" * 16)]
