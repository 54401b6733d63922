"""What the page says of what was found, for the person who decides."""

from collections.abc import Sequence

import msgspec

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
    name: str,
    succeeded: Sequence[int],
    *,
    right: int = 600,
    times: float = 1.0,
    aside: int = 0,
    epochs: int = 12,
) -> Defended:
    """Return a defense; `succeeded` is of 16 at two doses, and of 100 with a pattern."""
    small, large, pattern = succeeded
    return Defended(
        defense=name,
        epochs=epochs,
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
    return Exposure(defended=items, candidates=1_000, pairs=19_800)


PLAIN = defended("none", (5, 14, 90))
CLIP = defended("clip", (4, 12, 80))
SAFE = defended("safeclip", (0, 0, 2), times=2.3, aside=600, epochs=20)


def test_success_is_told_in_counts_with_intervals_and_beside_its_control() -> None:
    """For the largest dose, with and without each defense."""
    text = " ".join(exposure_section(PLAN, found(PLAIN, SAFE)).said)
    assert "places 8 pairs among 19,800 (a sample of your 200,000)" in text
    assert "14 of 16 trials (88%, 64 to 97%) with plain training (12 epochs)" in text
    assert "without the attack it happens in 0 of 16" in text
    assert "With SafeCLIP (20 epochs) it is 0 of 16 (0%, 0 to 19%)" in text
    assert "200 pairs" in text
    assert "90 of 100 (90%, 83 to 94%) with plain training (12 epochs), and 1 without" in text


def test_a_defense_is_advised_where_intervals_leave_no_doubt() -> None:
    """And advised against where the attack succeeds as before."""
    (helps,) = exposure_section(PLAN, found(PLAIN, SAFE)).advice
    assert "Consider training with SafeCLIP (20 epochs)" in helps
    assert "chosen images and a pattern than plain training (12 epochs);" in helps
    assert "augmented images and captions alone do as much was not measured" in helps
    (useless,) = exposure_section(PLAN, found(PLAIN, defended("safeclip", (5, 13, 88)))).advice
    assert "Do not rely on SafeCLIP" in useless


def test_a_defense_is_held_against_augmentation_alone() -> None:
    """Both augment; what a defense adds to that is what it is advised for."""
    clip = "clip (augmented images and captions alone, 12 epochs)"
    (helps,) = exposure_section(PLAN, found(PLAIN, CLIP, SAFE)).advice
    assert f"than plain training (12 epochs) and than {clip};" in helps
    augmented = defended("clip", (0, 1, 4))
    first, second = exposure_section(PLAN, found(PLAIN, augmented, SAFE)).advice
    assert first.startswith(f"Consider training with {clip}: it leaves clearly less")
    assert "not measured" not in first
    assert second == (
        "Attacks by chosen images and a pattern succeed clearly less often with SafeCLIP (20"
        " epochs) than with plain training (12 epochs), but not clearly less often than with"
        f" {clip}: augmentation may be all that helps."
    )


def test_a_defense_that_adds_to_augmentation_in_one_attack_is_advised_for_that_one() -> None:
    """And it is said that it does not in the other."""
    augmented = defended("clip", (0, 1, 80))
    _, helps, not_more = exposure_section(PLAN, found(PLAIN, augmented, SAFE)).advice
    assert "clearly less to attacks by a pattern than plain training" in helps
    assert not_more.startswith("Attacks by chosen images succeed clearly less often with SafeCLIP")


def test_augmentation_that_is_too_weak_is_no_yardstick() -> None:
    """It learned nothing, so that no attack succeeds against it."""
    weak = defended("clip", (0, 0, 0), right=101)
    (helps,) = exposure_section(PLAN, found(PLAIN, weak, SAFE)).advice
    assert "Consider training with SafeCLIP" in helps
    assert "was not measured" in helps


def test_doses_that_share_a_training_are_told_to() -> None:
    """One of few pairs is planted among those of many."""
    text = " ".join(exposure_section(PLAN, found(PLAIN)).said)
    assert "All doses (2 and 8 pairs per image) were planted in one training: 160 poisoned" in text
    one = msgspec.structs.replace(PLAN, doses=(8,))
    assert "All doses" not in " ".join(exposure_section(one, found(PLAIN)).said)


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
    assert "19,800 of your 200,000 pairs" in cannot
    assert "once an epoch at most, with plain training (12 epochs)" in cannot


def test_names_of_classes_and_suppliers_are_escaped() -> None:
    """They come from captions and URLs of strangers."""
    exposure = Exposure(defended=(PLAIN,), candidates=9, suppliers=(Supplier("<i>shop</i>", 9, 1),))
    evidence = exposure_section(PLAN, exposure).evidence
    assert "&lt;b&gt;boat" in evidence
    assert "&lt;i&gt;shop" in evidence


def test_price_says_against_what_it_was_measured() -> None:
    """With the epochs of both sides, and pairs of those that were trained on."""
    section = price_section(found(PLAIN, CLIP, SAFE))
    text = " ".join(section.said)
    assert "With plain training (12 epochs) the small model reads 600 of 1,000 held-out" in text
    assert "-2.0 points, -4.1 to +0.2" in text
    assert "against clip (augmented images and captions alone, 12 epochs): it reads 600" in text
    told = "SafeCLIP (20 epochs) takes 2.3 times as long as plain training (12 epochs): if yours"
    assert told in text
    assert "10 hours, expect about 23" in text
    assert "600 of the 19,800 pairs that it was trained on aside (3%); how many" in text
    assert "sound" not in text
    assert "this machine" not in section.evidence
    assert "set aside of 19,800" in section.evidence
    assert "seconds do not carry over" in " ".join(section.cannot)
