"""How many poisoned pairs an attacker is given."""

import pytest

from clipbench.audit.exposure.doses import backdoor_poisons, doses_for


def test_a_large_set_has_sixteen_images_of_each_of_five_doses() -> None:
    """Sixteen of sixteen leave an interval whose lower end is above three quarters."""
    doses = doses_for(20_000, 1_000)
    assert doses is not None
    assert (doses.doses, doses.each, doses.poisons) == ((1, 2, 4, 8, 16), 16, 496)


@pytest.mark.parametrize("pairs", [150, 400, 1_000, 5_000, 20_000, 200_000])
def test_no_more_than_a_twentyfifth_of_the_pairs_is_poisoned(pairs: int) -> None:
    """More would make it another set, and defenses would face what no attacker does."""
    doses = doses_for(pairs, 1_000)
    assert doses is not None
    assert doses.poisons <= 0.04 * pairs
    assert 0 < backdoor_poisons(pairs) <= max(1, 0.04 * pairs)


def test_a_small_set_has_fewer_doses_rather_than_fewer_images_per_dose() -> None:
    """Two of three say nothing."""
    doses = doses_for(5_000, 1_000)
    assert doses is not None
    assert doses.doses == (1, 2, 4, 8)
    assert doses.each >= 10


def test_few_images_of_known_class_are_shared_among_few_doses() -> None:
    """An image is attacked once."""
    doses = doses_for(20_000, 12)
    assert doses is not None
    assert doses.targets <= 12
    assert doses.each >= 10


def test_without_an_image_to_attack_there_are_no_doses() -> None:
    """No held-out caption named a class."""
    assert doses_for(20_000, 0) is None
