"""What the page says of what was found, for the person who decides."""

from collections.abc import Sequence

from clipbench.audit.exposure.found import (
    Defended,
    Difference,
    Exposure,
    Success,
    Supplier,
    Trials,
    Usefulness,
)
from clipbench.audit.exposure.plan import ExposurePlan
from clipbench.audit.exposure.price import price_section
from clipbench.audit.exposure.section import exposure_section

PLAN = ExposurePlan(
    pairs=200_000,
    size=20_000,
    epochs=12,
    model="shapes-32",
    doses=(2, 8),
    each=16,
    backdoor=200,
    classes=("car", "<b>boat</b>"),
)


def defended(
    name: str, succeeded: Sequence[int], *, right: int = 600, times: float = 1.0, aside: int = 0
) -> Defended:
    """Return a defense; `succeeded` is of 16 at two doses, and of 100 with a pattern."""
    small, large, pattern = succeeded
    return Defended(
        defense=name,
        epochs=12,
        seconds=100 * times,
        targeted=tuple(
            Success(
                poisons=dose,
                read=Trials(k, 16),
                read_control=Trials(0, 16),
                found=Trials(k, 16),
                found_control=Trials(0, 16),
            )
            for dose, k in ((2, small), (8, large))
        ),
        backdoor=Success(poisons=200, read=Trials(pattern, 100), read_control=Trials(1, 100)),
        useful=Usefulness(
            read=Trials(right, 1_000),
            largest=0.1,
            to_text=Trials(right // 2, 1_000),
            to_text_10=Trials(right if right > 200 else 12, 1_000),
            read_to_clip=Difference(-0.02, -0.041, 0.002),
            to_text_to_clip=Difference(0.0, -0.02, 0.02),
        ),
        set_aside=aside,
    )


def found(*items: Defended) -> Exposure:
    return Exposure(defended=items, candidates=1_000)


PLAIN = defended("none", (5, 14, 90))
SAFE = defended("safeclip", (0, 0, 2), times=2.3, aside=600)


def test_success_is_told_in_counts_with_intervals_and_beside_its_control() -> None:
    """For the largest dose, with and without each defense."""
    text = " ".join(exposure_section(PLAN, found(PLAIN, SAFE)).said)
    assert "places 8 pairs among 20,000 (a sample of your 200,000)" in text
    assert "14 of 16 trials (88%, 64 to 97%)" in text
    assert "without the attack it happens in 0 of 16" in text
    assert "With SafeCLIP it is 0 of 16 (0%, 0 to 19%)" in text
    assert "200 pairs" in text
    assert "90 of 100" in text


def test_a_defense_is_advised_where_intervals_leave_no_doubt() -> None:
    """And advised against where the attack succeeds as before."""
    (helps,) = exposure_section(PLAN, found(PLAIN, SAFE)).advice
    assert "Consider training with SafeCLIP" in helps
    assert "chosen images and a pattern" in helps
    (useless,) = exposure_section(PLAN, found(PLAIN, defended("safeclip", (5, 13, 88)))).advice
    assert "Do not rely on SafeCLIP" in useless


def test_nothing_is_concluded_from_a_model_that_learned_nothing() -> None:
    """No attack succeeds against it, and that is no protection."""
    weak = defended("safeclip", (0, 0, 0), right=101)
    section = exposure_section(PLAN, found(PLAIN, weak))
    assert "With SafeCLIP the model is too weak" in " ".join(section.said)
    assert not section.advice
    alone = exposure_section(PLAN, found(defended("none", (0, 0, 0), right=101)))
    assert "too weak" in alone.said[0]
    assert "longer" in " ".join(alone.advice)


def test_an_attack_that_failed_is_no_safety() -> None:
    """The page says that nothing follows."""
    text = " ".join(exposure_section(PLAN, found(defended("none", (0, 1, 1)))).said)
    assert "nothing can be concluded" in text


def test_what_a_sample_cannot_say_is_said() -> None:
    """And that one's own model is another."""
    cannot = " ".join(exposure_section(PLAN, found(PLAIN)).cannot)
    assert "20,000 of your 200,000 pairs" in cannot
    assert "12 times" in cannot


def test_names_of_classes_and_suppliers_are_escaped() -> None:
    """They come from captions and URLs of strangers."""
    exposure = Exposure(defended=(PLAIN,), candidates=9, suppliers=(Supplier("<i>shop</i>", 9, 1),))
    evidence = exposure_section(PLAN, exposure).evidence
    assert "&lt;b&gt;boat" in evidence
    assert "&lt;i&gt;shop" in evidence


def test_price_is_extrapolated_and_says_how() -> None:
    """Pairs in proportion, time by its ratio alone."""
    section = price_section(PLAN, found(PLAIN, SAFE))
    text = " ".join(section.said)
    assert "With plain training the small model reads 600 of 1,000 held-out images" in text
    assert "-2.0 points, -4.1 to +0.2" in text
    assert "2.3 times as long" in text
    assert "12 epochs" in text
    assert "10 hours, expect about 23" in text
    assert "6,000 of your 200,000 pairs aside" in text
    assert "seconds do not carry over" in " ".join(section.cannot)
