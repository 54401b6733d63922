"""How much is trained in the time that there is."""

import pytest

from clipbench.audit.exposure import recipe
from clipbench.audit.exposure.plan import ExposurePlan, fitted
from clipbench.planning.estimate import Estimate

SPEED = 1_500.0  # pairs per second, on two cores


def whole(pairs: int, budget_s: float) -> ExposurePlan:
    return ExposurePlan(
        pairs=pairs,
        size=pairs,
        all_pairs=True,
        epochs=recipe.epochs_for(pairs),
        model="shapes-32",
        budget_s=budget_s,
    )


def speeds(pairs: int) -> dict[str, Estimate]:
    """Return what three defenses take, the last three times as long as the others."""
    seen = pairs * recipe.epochs_for(pairs)
    return {
        name: Estimate(pairs / 5_000, times * seen / SPEED, 10.0, recipe.epochs_for(pairs))
        for name, times in (("none", 1), ("clip", 1), ("safeclip", 3))
    }


def test_a_small_set_is_trained_on_whole() -> None:
    """Six thousand pairs fit into two hours on two cores."""
    plan = fitted(whole(6_000, 4_800), 300, speeds(6_000))
    assert (plan.size, plan.all_pairs) == (6_000, True)
    assert plan.seconds <= 4_800


@pytest.mark.parametrize("pairs", [150_000, 2_000_000])
def test_a_large_set_is_sampled_until_it_fits_the_budget(pairs: int) -> None:
    """The sample is as large as there is time for, and the plan says that it is one."""
    plan = fitted(whole(pairs, 4_800), 1_000, speeds(pairs))
    assert plan.size < pairs
    assert 0.7 * 4_800 < plan.seconds <= 4_800
    assert "a random sample" in "\n".join(plan.lines())


def test_too_little_time_leaves_the_least_that_says_anything_and_tells_so() -> None:
    """Two thousand pairs, a few epochs, and a sentence."""
    plan = fitted(whole(20_000, 10), 1_000, speeds(20_000))
    assert 2_000 <= plan.size < 2_300
    assert plan.epochs == 3
    assert "more than the 10 s there are; this is the least" in plan.lines()[-1]


def test_fewer_pairs_are_trained_on_more_often() -> None:
    """A model learns by steps; but no pair is seen more often than a paper's epochs."""
    epochs = [recipe.epochs_for(pairs) for pairs in (500, 5_000, 20_000, 100_000)]
    assert epochs == sorted(epochs, reverse=True)
    assert (epochs[0], epochs[-1]) == (recipe.MOST, recipe.FEWEST)


def test_parameters_that_were_given_stay() -> None:
    """Of a defense whose other parameters are chosen for short trainings."""
    spec = recipe.defense_spec("safeclip:growth=0.005", 5_000, 40)
    assert spec["growth"] == "0.005"
    assert spec["cross_modal_lr_scale"] == 1.0
