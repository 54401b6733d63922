"""Which rows a defense may be judged by: the attack does more than chance and than its control."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from as_json import of_json

from clipbench.leaderboard.cells import COMPACT
from clipbench.leaderboard.eligibility import Eligibility, at_chance, eligibility
from clipbench.leaderboard.record import records_of
from clipbench.leaderboard.tables import leaderboard

at_chance = of_json(at_chance)
eligibility = of_json(eligibility)
leaderboard = of_json(leaderboard)

MakeResult = Callable[..., dict[str, Any]]
LEARNED = (85, 100)


@pytest.fixture
def verdict(make_result: MakeResult) -> Callable[..., str | None]:
    """Return a function from what was counted, undefended, to what is said of a defended row."""

    def judge(
        success: tuple[int, int],
        control: tuple[int, int] | None,
        top1: tuple[int, int] | None = LEARNED,
        *,
        classes: int | None = 100,
        own: tuple[int, int] | None = LEARNED,
        own_control: tuple[int, int] | None = None,
        eligible_at: float = 0.5,
    ) -> str | None:
        recall = None if classes is None else {"value": 0.5, "k": None, "n": classes}
        made = []
        for name, top, held in (("none", top1, control), ("clip", own, own_control)):
            result = make_result(
                defense=name, success=success, top1=top, metrics={"attack_success_control": held}
            )
            result["metrics"].pop("mean_per_class_recall")
            if recall is not None:
                result["metrics"]["mean_per_class_recall"] = recall
            made.append(result)
        return eligibility(made[1:], made[:1], eligible_at).verdict

    return judge


def test_an_attack_that_does_what_its_control_does_not_judges_a_defense(
    verdict: Callable[..., str | None],
) -> None:
    """Sixteen of sixteen against none, and as few as four of four."""
    assert verdict((16, 16), (0, 16)) == "yes"
    assert verdict((4, 4), (0, 4)) == "yes"


def test_an_interval_that_holds_the_bar_decides_nothing(
    verdict: Callable[..., str | None],
) -> None:
    """Above it as below it: three of four may be a third of all, and seven of sixteen half."""
    assert verdict((3, 4), (0, 4)) == "undecided (undefended 75.0% [30.1, 95.4])"
    assert verdict((7, 16), (0, 16)) == "undecided (undefended 43.8% [23.1, 66.8])"
    assert verdict((3, 16), (0, 100)) == "no (undefended 18.8%)"
    assert verdict((3, 4), (0, 4), eligible_at=0.3) == "yes"


def test_a_model_that_always_answers_one_class_judges_nobody(
    verdict: Callable[..., str | None],
) -> None:
    """Its top-1 is that of chance, however often the adversary's class comes out."""
    told = verdict((24, 24), (24, 24), (8, 32), classes=4)
    assert told == "no (undefended 100.0%, that model at chance)"
    assert verdict((24, 24), (0, 24), (8, 32), classes=4) == told
    assert verdict((24, 24), (0, 24), (20, 32), classes=4) == "yes"


def test_success_must_be_apart_from_its_control(verdict: Callable[..., str | None]) -> None:
    """Images that are read so without any poison show no attack."""
    assert verdict((21, 24), (23, 24)) == "no (undefended 87.5%, control 95.8%)"
    assert verdict((14, 24), (10, 24)) == "no (undefended 58.3%, control 41.7%)"
    assert verdict((24, 24), (10, 24)) == "yes"


def test_intervals_may_overlap_where_the_difference_is_apart_from_nothing(
    verdict: Callable[..., str | None],
) -> None:
    """[49, 73] and [29, 53] do, and yet the difference lies in [3, 36] points."""
    assert verdict((37, 60), (25, 60), eligible_at=0.45) == "yes"


def test_success_must_be_apart_from_chance(verdict: Callable[..., str | None]) -> None:
    """Of two classes a coin gets half."""
    told = verdict((14, 24), (0, 24), (90, 100), classes=2)
    assert told == "no (undefended 58.3%, chance 50.0%)"
    assert verdict((18, 24), (0, 24), (90, 100), classes=10) == "yes"


def test_without_a_control_what_is_misread_of_clean_images_stands_for_it(
    verdict: Callable[..., str | None],
) -> None:
    """No more of them is read as the adversary wants; where that says nothing, nothing does.

    The captions of these results are misread more often, 37% of them, and probes may be captions.
    """
    assert verdict((16, 16), None, (85, 100)) == "yes"
    assert verdict((9, 16), None, (85, 100)) == "unknown (no control)"
    assert verdict((10, 16), None, (50, 100)) == "unknown (no control)"
    assert verdict((16, 16), None, None) == "yes"  # by captions alone


def test_a_control_of_the_defense_itself_is_one_too(verdict: Callable[..., str | None]) -> None:
    """It is of the same probes; that of the undefended model comes first."""
    assert verdict((13, 16), None, (50, 100), own_control=(0, 16)) == "yes"
    assert verdict((16, 16), (0, 16), own_control=(16, 16)) == "yes"
    assert verdict((2, 16), None) == "no (undefended 12.5%)"


def test_a_defended_model_at_chance_defends_nothing(verdict: Callable[..., str | None]) -> None:
    """A defense under which nothing is learned is not judged by the attack that nothing learned."""
    assert verdict((16, 16), (0, 16), own=(1, 100)) == "no (model at chance)"


def test_where_nothing_says_how_many_classes_there_are_chance_is_not_asked(
    verdict: Callable[..., str | None], make_result: MakeResult
) -> None:
    """Nor where no accuracy was measured."""
    assert verdict((16, 16), (0, 16), (1, 100), classes=None) == "yes"
    assert verdict((16, 16), (0, 16), None) == "yes"
    assert not at_chance([make_result(top1=None)])


def test_seeds_are_put_together(make_result: MakeResult) -> None:
    """Seeds that vary more than chance give no more than they say together."""

    def judged(*successes: int) -> Eligibility:
        runs = [
            make_result(seed=seed, success=(k, 16), metrics={"attack_success_control": (5, 16)})
            for seed, k in enumerate(successes)
        ]
        return eligibility(runs, runs, 0.5)

    assert judged(14, 14, 14) == Eligibility("yes", 42 / 48)
    assert judged(16, 16, 0) == Eligibility("no (undefended 66.7%, control 31.2%)", 32 / 48)


def test_the_short_table_keeps_the_reason(make_result: MakeResult) -> None:
    """With fewer words; why nothing is known is in the long one, but for what can be mended."""

    def cell(**counts: Any) -> str:
        (row,) = records_of(leaderboard([make_result(**counts)]))
        return COMPACT["eligible"](row)

    assert cell(metrics={"attack_success_control": (15, 16)}) == "no (93.8%, control 93.8%)"
    unknown = dict.fromkeys(("attack_success_control", "text_to_image_r1"))
    assert cell(top1=None, metrics=unknown) == "unknown (no control)"
    assert cell(success=(1, 16)) == "no (6.2%)"
    assert cell(defense="clip") == "unknown"
