"""What the page says of exposure: sentences for the person who decides, and the evidence."""

from __future__ import annotations

from collections.abc import Iterator

from clipbench.audit.exposure.figure import success_figure
from clipbench.audit.exposure.found import Defended, Exposure, Success
from clipbench.audit.exposure.plan import ExposurePlan
from clipbench.audit.exposure.words import (
    augmented,
    called,
    name_of,
    percent,
    plain,
    told,
    trained,
)
from clipbench.audit.section import Section
from clipbench.text.markup import Markup
from clipbench.text.templates import render
from clipbench.text.words import counted, listed

_PACKAGE = __package__ or ""
_MOST_SUPPLIERS = 10  # that the page lists


def exposure_section(plan: ExposurePlan, exposure: Exposure) -> Section:
    """Return what the page says of what an attacker would gain."""
    heading = "What an attacker would gain"
    if exposure.refused:
        said = [f"What an attacker would gain was not measured: {exposure.refused}"]
        return Section("exposure", heading, said, Markup(""), [_UNMEASURED])
    said = [*_chosen_images(plan, exposure), *_backdoor(plan, exposure)]
    return Section(
        "exposure",
        heading,
        said,
        _evidence(plan, exposure),
        [*_cannot(plan, exposure)],
        [*_advice(exposure)],
    )


_UNMEASURED = "Nothing here says how easily a model that is trained on these pairs is attacked."


def _chosen_images(plan: ExposurePlan, exposure: Exposure) -> Iterator[str]:
    """Say what happens to images that an attacker chooses, at the largest dose."""
    base = plain(exposure) or exposure.defended[0]
    if base.useful.weak:
        yield _weak(base)
        return
    worst = base.targeted[-1]
    yield (
        f"An attacker who places {counted(worst.poisons, 'pair')} among {exposure.pairs:,}"
        f" ({_which(plan)})"
        f" has a chosen image misread in {told(worst.read, 'trials')} with {trained(base)};"
        f" without the attack it happens in {worst.read_control.k} of {worst.read_control.n}."
    )
    if len(plan.doses) > 1:
        yield _together(plan)
    if worst.found is not None and worst.found_control is not None:
        yield (
            f"The image finds one of the attacker's captions before all {exposure.candidates:,}"
            f" held-out captions in {told(worst.found)}, and in {worst.found_control.k} of"
            f" {worst.found_control.n} without the attack."
        )
    for item in exposure.defended:
        if item is not base:
            yield _with(item, item.targeted[-1])
    if not _works(worst):
        yield (
            "That is too rare to be told from chance: at these doses and in so short a training"
            " nothing can be concluded of attacks on chosen images."
        )


def _together(plan: ExposurePlan) -> str:
    """Say that the doses of a training are not apart from each other."""
    return (
        f"All doses ({listed(map(str, plan.doses))} pairs per image) were planted in one training:"
        f" {counted(plan.poisons, 'poisoned pair')} for {plan.each * len(plan.doses)} images"
        " together, where an attacker of one image would place only its own."
    )


def _with(item: Defended, success: Success) -> str:
    if item.useful.weak:
        return _weak(item)
    return (
        f"With {trained(item)} it is {told(success.read)}, and"
        f" {success.read_control.k} of {success.read_control.n} without the attack."
    )


def _weak(item: Defended) -> str:
    """Say that a model learned too little for anything to follow from it."""
    read, largest = item.useful.read, item.useful.largest
    return (
        f"With {called(item.defense)} the model is too weak on these pairs for anything to be"
        f" concluded: it reads {told(read)} held-out images as what their captions name, and"
        f" always to say the most frequent class would be right for {100 * largest:.0f}%."
    )


def _backdoor(plan: ExposurePlan, exposure: Exposure) -> Iterator[str]:
    """Say what a trigger does."""
    sound = [item for item in exposure.defended if not item.useful.weak]
    if not sound:
        return
    parts = [
        f"{told(item.backdoor.read)} with {trained(item)}, and"
        f" {item.backdoor.read_control.k:,} without the attack"
        for item in sound
    ]
    yield (
        f"An attacker who puts a small pattern on {plan.backdoor:,} pairs has images that carry"
        f" the pattern read as one chosen thing: {'; '.join(parts)}."
    )


def _advice(exposure: Exposure) -> Iterator[str]:
    """Say which defense helps, where intervals leave no doubt."""
    base, other = plain(exposure), augmented(exposure)
    if base is None or base.useful.weak:
        yield (
            "Let the audit train longer (--budget) or on more pairs before you conclude anything"
            " about attacks."
        )
        return
    other = None if other is None or other.useful.weak else other
    for item in exposure.defended:
        if item is not base and not item.useful.weak:
            yield from _advice_on(item, base, None if item is other else other)


def _advice_on(item: Defended, base: Defended, other: Defended | None) -> Iterator[str]:
    """Say whether a defense helps against plain training, and against augmentation alone.

    Args:
        item: the defense.
        base: plain training.
        other: training on augmented pairs; None: it was not run, is too weak, or is the defense.
    """
    helps = _clearly_less(item, base)
    more = (
        helps if other is None else [what for what in _clearly_less(item, other) if what in helps]
    )
    is_augmented = name_of(item.defense) == "clip"
    if more:
        than = trained(base) if other is None else f"{trained(base)} and than {trained(other)}"
        said = (
            f"Consider training with {trained(item)}: it leaves clearly less to attacks by"
            f" {listed(more)} than {than}; what it costs stands below."
        )
        if other is None and not is_augmented:
            said += (
                " Whether augmented images and captions alone do as much was not measured; clip"
                " among the defenses measures it."
            )
        yield said
    if other is not None and (rest := [what for what in helps if what not in more]):
        yield (
            f"Attacks by {listed(rest)} succeed clearly less often with {trained(item)} than with"
            f" {trained(base)}, but not clearly less often than with {trained(other)}:"
            " augmentation may be all that helps."
        )
    if not helps and not is_augmented and (_works(base.targeted[-1]) or _works(base.backdoor)):
        yield f"Do not rely on {trained(item)} here: no clear protection was measured."


def _clearly_less(item: Defended, base: Defended) -> list[str]:
    """Return the attacks that succeed less often, beyond what intervals leave open."""
    attacks = (
        ("chosen images", base.targeted[-1], item.targeted[-1]),
        ("a pattern", base.backdoor, item.backdoor),
    )
    return [what for what, own, its in attacks if its.read.share.high < own.read.share.low]


def _works(success: Success) -> bool:
    """Return whether an attack succeeds more often than without it, beyond chance."""
    return success.read.share.low > success.read_control.share.high


def _cannot(plan: ExposurePlan, exposure: Exposure) -> Iterator[str]:
    epochs = listed([trained(item) for item in exposure.defended])
    yield (
        f"How much your own model would be attacked was not measured: {plan.model} is small, and"
        f" it saw a poisoned pair once an epoch at most, with {epochs}. A model that sees each"
        " pair more often or has more parameters may be attacked more easily, one that sees it once"
        " less."
    )
    yield (
        "Attacks were two simple ones that know nothing of defenses; an attacker who knows which"
        " defense you use may do better."
    )
    yield (
        "Each number is of one training; intervals count images, and another training on the same"
        " pairs can differ by more than they say."
    )
    if not plan.all_pairs:
        yield (
            f"{exposure.pairs:,} of your {plan.pairs:,} pairs were trained on; whether as few"
            " poisoned pairs do as much among all of them was not measured."
        )


def _which(plan: ExposurePlan) -> str:
    """Return which of the user's pairs are trained on."""
    which = "those that are not held out" if plan.all_pairs else "a sample"
    return f"{which} of your {plan.pairs:,}"


def _evidence(plan: ExposurePlan, exposure: Exposure) -> Markup:
    return render(
        _PACKAGE,
        "exposure.html",
        plan=plan,
        exposure=exposure,
        figure=success_figure(exposure.defended),
        rows=[
            (dose, [(item.defense, item.targeted[place]) for item in exposure.defended])
            for place, dose in enumerate(plan.doses)
        ],
        percent=percent,
        among=f"{counted(exposure.pairs, 'pair')}, {_which(plan)}",
        most=_MOST_SUPPLIERS,
    )
