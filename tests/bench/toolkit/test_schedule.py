from __future__ import annotations

import math

import pytest

from clipbench.toolkit.schedule import cosine_after_warmup, cosine_of_steps, warmup_cosine


def test_warmup_rises_by_equal_steps_to_one() -> None:
    """Of 10 warm-up steps the first has a tenth of the rate, the tenth all of it."""
    factors = [warmup_cosine(step, 0.0, 10) for step in range(15)]
    assert factors == pytest.approx([min(1.0, (step + 1) / 10) for step in range(15)])


def test_the_cosine_falls_from_one_to_zero() -> None:
    """Without warm-up it falls from 1 at the start through 1/2 half-way to 0 at the end."""
    factors = [warmup_cosine(step, step / 1000, 0) for step in range(1001)]
    assert factors[0] == 1.0
    assert factors[500] == pytest.approx(0.5)
    assert factors[250] == pytest.approx((1 + math.cos(math.pi / 4)) / 2)
    assert factors[-1] == 0.0
    assert all(later < earlier for earlier, later in zip(factors, factors[1:], strict=False))


def test_it_never_rises_again_past_the_end() -> None:
    """Progress beyond 1 keeps the factor at 0."""
    assert warmup_cosine(10_000, 1.2, 100) == 0.0


def test_a_warmup_longer_than_the_training_still_ends_at_zero() -> None:
    """A short run under a long warm-up neither exceeds its share nor ends above zero."""
    factors = [warmup_cosine(step, step / 50, 10_000) for step in range(51)]
    assert max(factors) < 51 / 10_000
    assert factors[-1] == 0.0


def test_the_schedule_by_steps_is_that_of_the_authors() -> None:
    """Linear, a twentieth more each step, then a cosine to 0 at `total`."""
    assert cosine_of_steps(0, 100, 20) == 0.05
    assert cosine_of_steps(9, 100, 20) == 0.5
    assert cosine_of_steps(19, 100, 20) == cosine_of_steps(20, 100, 20) == 1.0
    assert cosine_of_steps(60, 100, 20) == pytest.approx(0.5)
    assert cosine_of_steps(100, 100, 20) == pytest.approx(0.0)


def test_the_schedule_by_steps_rises_again_past_its_end() -> None:
    """It keeps the defect it is there to reproduce (the authors count past the total)."""
    assert cosine_of_steps(180, 100, 20) == pytest.approx(1.0)
    assert cosine_of_steps(110, 100, 20) > cosine_of_steps(101, 100, 20) > 0


def test_a_total_within_the_warmup_does_not_divide_by_zero() -> None:
    """A stage as long as its own warm-up gives a finite factor at every step."""
    assert all(0 <= cosine_of_steps(step, 20, 20) <= 1 for step in range(40))


@pytest.mark.parametrize(("steps", "warmup"), [(1000, 0), (1000, 1), (1000, 300), (31, 10)])
def test_after_the_warmup_the_rate_is_at_its_peak_and_then_falls(steps: int, warmup: int) -> None:
    """Step for step what open_clip and the authors of SafeCLIP have; zero is next."""
    found = [cosine_after_warmup(step / steps, 1 / steps, warmup / steps) for step in range(steps)]
    assert found == pytest.approx([cosine_of_steps(step, steps, warmup) for step in range(steps)])
    assert max(found) == pytest.approx(1.0)
    assert found[-1] > cosine_after_warmup(1.0, 1 / steps, warmup / steps) == 0.0


def test_the_product_of_warmup_and_cosine_stays_below_the_peak() -> None:
    """By a quarter where the warm-up is a third; that is what rows of `cosine` were trained at."""
    found = [warmup_cosine(step, step / 31_250, 10_000) for step in range(31_250)]
    assert max(found) == pytest.approx(0.768, abs=5e-4)
    peaks = [cosine_after_warmup(s / 31_250, 1 / 31_250, 0.32) for s in range(31_250)]
    assert max(peaks) == pytest.approx(1.0)


def test_a_training_within_its_warmup_only_rises() -> None:
    """It does not reach the peak, does not jump, and does not fall."""
    found = [cosine_after_warmup(step / 50, 1 / 50, 2.0) for step in range(50)]
    assert found == pytest.approx([(step + 1) / 100 for step in range(50)])
