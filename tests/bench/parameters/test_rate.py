"""Poison rates: exact, from the text a person writes to a count of pairs."""

from __future__ import annotations

from decimal import Decimal

import pytest

from clipbench.contracts import Mode
from clipbench.errors import BadSetting
from clipbench.parameters.rate import Rate


@pytest.mark.parametrize(
    ("given", "number", "text"),
    [
        ("1e-6", 1e-6, "0.000001"),
        ("0.0001%", 1e-6, "0.000001"),
        ("0.01", 0.01, "0.01"),
        ("0.0100", 0.01, "0.01"),
        (0.01, 0.01, "0.01"),
        (" 1 % ", 0.01, "0.01"),
        ("1", 1.0, "1"),
        ("100%", 1.0, "1"),
        ("0.1", 0.1, "0.1"),
    ],
)
def test_rates_keep_their_exact_decimals(given: str | float, number: float, text: str) -> None:
    """A rate is the same however it is written, and its decimals are exact."""
    rate = Rate.of(given)
    assert (float(rate), str(rate)) == (number, text)


@pytest.mark.parametrize(
    "given",
    ["0", "-0.1", "1.5", "101%", "nan", "inf", "1e-400", "1e-99999999", "x", "", "%", "1/2"],
)
def test_impossible_rates_are_refused(given: str) -> None:
    """A rate outside (0, 1], or no number, is refused with what was given."""
    with pytest.raises(BadSetting, match="The rate must be") as caught:
        Rate.of(given)
    assert repr(given) in str(caught.value)


def test_a_percentage_without_its_sign_gets_a_hint() -> None:
    """A rate between 1 and 100 is probably a percentage, and the message says how to write one."""
    with pytest.raises(BadSetting, match="Write 3% for a percentage"):
        Rate.of("3")


@pytest.mark.parametrize(
    ("rate", "num_pairs", "count"),
    [
        (1e-6, 1_000_000, 1),
        (1e-6, 500_000, 1),  # a half rounds up
        (1e-6, 1_499_999, 1),
        (1e-6, 1_500_000, 2),
        (1e-6, 3_000_000, 3),
        (0.01, 20_000, 200),
        (0.005, 20_000, 100),
        (0.29, 100, 29),  # 0.29 * 100 is 28.999... in binary
        (0.285, 1000, 285),
        (0.145, 100, 15),  # 14.5 exactly, though the binary product is below
        (1.005, 0, None),
        (1, 50, 50),
        ("1e-6", 1_000_000, 1),
        (Decimal("0.0000015"), 1_000_000, 2),
        (1e-4, 2_905_954, 291),
    ],
)
def test_count_is_the_rate_of_all_pairs(rate: float, num_pairs: int, count: int | None) -> None:
    """The count is r N, in exact decimal arithmetic, halves up; a rate above one is refused."""
    if count is None:
        with pytest.raises(BadSetting, match=r"in \(0, 1\]"):
            Rate.of(rate).count(num_pairs)
    else:
        assert Rate.of(rate).count(num_pairs) == count


@pytest.mark.parametrize("rate", [1e-6, 0.001, 0.01, 0.0333, 0.25, 0.5])
@pytest.mark.parametrize("num_pairs", [1_000_000, 1_234_567])
def test_inserted_count_is_the_rate_after_insertion(rate: float, num_pairs: int) -> None:
    """With insertion, count is r (B + count), rounded half up."""
    count = Rate.of(rate).count(num_pairs, "insert")
    assert abs(Decimal(str(rate)) * (num_pairs + count) - count) <= Decimal("0.5")
    assert Rate.of(0.5).count(30, "insert") == 30


@pytest.mark.parametrize("mode", ["replace", "insert"])
@pytest.mark.parametrize(("rate", "num_pairs"), [(1e-6, 499_999), (1e-6, 20_000), (0.001, 30)])
def test_no_poison_at_all_names_what_would_do(rate: float, num_pairs: int, mode: Mode) -> None:
    """The smallest rate and the smallest set are named, give one poison, and less gives none."""
    if mode == "insert" and num_pairs == 499_999:
        num_pairs = 499_998
    with pytest.raises(BadSetting) as caught:
        Rate.of(rate).count(num_pairs, mode)
    enough, pairs = Rate.smallest(num_pairs, mode), Rate.of(rate).smallest_set(mode)
    assert str(enough) in str(caught.value)
    assert str(pairs) in str(caught.value)
    assert Rate.of(enough).count(num_pairs, mode) == 1
    assert Rate.of(rate).count(pairs, mode) == 1
    with pytest.raises(BadSetting):
        Rate.of(rate).count(pairs - 1, mode)
    with pytest.raises(BadSetting):
        Rate.of(float(enough) * 0.99).count(num_pairs, mode)


def test_smallest_rate_and_set_of_the_papers_rate() -> None:
    """One poison in a million at 1e-6; half a million pairs are the fewest."""
    assert Rate.of(1e-6).smallest_set() == 500_000
    assert Rate.smallest(1_000_000) == Rate.of("5e-07")
    assert Rate.smallest(30_000) == Rate.of("1.67e-05")


@pytest.mark.parametrize("rate", [0, -0.1, 1.01, float("nan"), float("inf"), "many", True])
def test_rate_out_of_range_is_refused(rate: float) -> None:
    """A rate is a number above 0 and at most 1."""
    with pytest.raises(BadSetting):
        Rate.of(rate).count(1000)


def test_rate_one_cannot_be_inserted() -> None:
    """No number of insertions makes all pairs poison."""
    with pytest.raises(BadSetting, match="no clean pair"):
        Rate.of(1).count(1000, "insert")
