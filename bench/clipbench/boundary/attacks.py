"""Calls into an attack: what it makes is checked, and what it was handed is what it was."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import count, islice

import numpy as np

from clipbench.boundary import readonly
from clipbench.contracts import (
    AnyProbes,
    Attack,
    Corpus,
    Crafted,
    Image,
    IntArray,
    Poison,
    Probes,
    Scene,
    TextProbes,
)
from clipbench.errors import BadInput
from clipbench.plugins.faults import Call, kind_of
from clipbench.text.visible import has_visible

_END = object()
AGAIN = 3  # poisons that are made a second time, to be compared


def num_targets(attack: Attack, poisons: int) -> int:
    """Return over how many targets `poisons` are spread.

    Raises:
        BrokenContract: it is no whole number, or negative.
    """
    call = Call("attack", attack, "num_targets")
    with call:
        found: object = attack.num_targets(poisons)
    if isinstance(found, bool) or not isinstance(found, (int, np.integer)) or found < 0:
        raise call.broken(f"it must return how many targets there are. Got {found!r}.")
    return int(found)


def crafted(attack: Attack, scene: Scene, corpus: Corpus) -> Attack:
    """Return the attack with what it learned from the corpus, if it learns anything.

    Raises:
        BrokenContract: it returns something else, or changed the test images.
    """
    if not isinstance(attack, Crafted):
        return attack
    call, handed = Call("attack", attack, "crafted"), readonly.scene(scene)
    seal = readonly.Seal.of(handed)
    with call:
        made: object = attack.crafted(handed, readonly.corpus(corpus))
    seal.check(call)
    if type(made) is not type(attack):
        name = type(attack).__name__
        raise call.broken(f"it must return a {name} with other parameters. Got {kind_of(made)}.")
    learned: Attack = made
    return learned


def poisons(attack: Attack, scene: Scene, corpus: Corpus) -> Iterator[Poison]:
    """Yield the poisons of an attack, each checked.

    Raises:
        BrokenContract: what it yields is no sound poison, or it changed the test images.
    """
    call, handed = Call("attack", attack, "poison"), readonly.scene(scene)
    given = readonly.corpus(corpus)
    seal = readonly.Seal.of(handed)
    with call:
        made: object = attack.poison(handed, given)
    if not hasattr(made, "__iter__"):
        raise call.broken(f"it must yield poisons, one after another. Got {kind_of(made)}.")
    iterator = iter(made)
    for number in count():
        with call:
            poison = next(iterator, _END)
        if poison is _END:
            break
        yield _sound(call, poison, number, len(given))
    seal.check(call)


def check_repeats(attack: Attack, scene: Scene, corpus: Corpus, made: list[Poison]) -> None:
    """Make the first poisons again, and refuse an attack that makes others the second time.

    Args:
        attack: the attack.
        scene: what it knew.
        corpus: the pairs.
        made: its first poisons.

    Raises:
        BrokenContract: they differ.
    """
    again = list(islice(poisons(attack, scene, corpus), len(made)))
    call = Call("attack", attack, "poison")
    for number, (one, two) in enumerate(zip(made, again, strict=True)):
        for what in ("caption", "base", "target", "role", "image"):
            first, second = getattr(one, what), getattr(two, what)
            if not np.array_equal(first, second):
                seen = "" if what == "image" else f" ({first!r}, then {second!r})"
                raise call.broken(
                    f"asked twice, it makes poison {number} with another {what}{seen}; draw random"
                    " numbers from scene.rng('your name', 'what for') alone."
                )


def probes(attack: Attack, scene: Scene, *, look: bool = True) -> AnyProbes:
    """Return what an attack wants misclassified, checked and fixed.

    Args:
        attack: the attack.
        scene: the held-out data.
        look: whether a first image is looked at. One that is yet to learn its trigger has none.

    Raises:
        BrokenContract: it is no sound set of probes, or the attack changed the test images.
    """
    call, handed = Call("attack", attack, "probes"), readonly.scene(scene)
    seal = readonly.Seal.of(handed)
    with call:
        found: object = attack.probes(handed)
    seal.check(call)
    return readonly.probes(check_probes(call, found, look=look))


def check_probes(call: Call, found: object, *, look: bool = True) -> AnyProbes:
    """Return what an attack gave as probes, if they are sound ones.

    Raises:
        BrokenContract: of another type, or labels, goals and images are not one for each.
    """
    if not isinstance(found, (Probes, TextProbes)):
        raise call.broken(f"it must return Probes or TextProbes. Got {kind_of(found)}.")
    queries = found.texts if isinstance(found, TextProbes) else found.images
    pictures = found.candidates if isinstance(found, TextProbes) else found.images
    _check_numbers(call, found, "labels", len(queries), "probe")
    _check_numbers(call, found, "goals", len(queries), "probe")
    if isinstance(found, TextProbes) and found.groups is not None:
        _check_numbers(call, found, "groups", len(pictures), "candidate")
    if look and len(pictures):
        check_image(call, pictures[0], "the first image")
    if isinstance(found, Probes):
        if found.parts and (
            min(found.parts.values()) < 1 or sum(found.parts.values()) != len(queries)
        ):
            raise call.broken(
                f"parts must say of each trigger how many of the {len(queries)} probes are its own."
                f" Got {dict(found.parts)}."
            )
        for variant in found.variants.values():
            check_probes(call, variant, look=look)
    return found


def _check_numbers(call: Call, found: AnyProbes, name: str, count: int, each: str) -> None:
    values: object = getattr(found, name)
    if (
        not isinstance(values, np.ndarray)
        or not np.issubdtype(values.dtype, np.integer)
        or values.shape != (count,)
    ):
        raise call.broken(
            f"{name} must be an integer array of shape ({count},), one for each {each}. Got"
            f" {kind_of(values)}."
        )


def trigger(attack: Attack) -> Callable[[Image], Image] | None:
    """Return the trigger of an attack, which checks what it makes; None: it has none.

    Raises:
        BrokenContract: it is no function.
    """
    call = Call("attack", attack, "trigger")
    with call:
        function: object = attack.trigger()
    if function is None or isinstance(function, CheckedTrigger):
        return function
    if not callable(function):
        raise call.broken(
            f"it must return a function of an image, or None. Got {kind_of(function)}."
        )
    told = getattr(attack, "at_size", None)  # of an attack made of others, what each of them says
    sides = told if isinstance(told, tuple) else (told,)
    return CheckedTrigger(call, function, [s if isinstance(s, int) else None for s in sides])


class CheckedTrigger:
    """A trigger that is held to what it owes: a pure function, ``(H, W, 3) -> (H, W, 3)`` uint8.

    Args:
        call: the call it came from.
        function: the trigger.
        sides: of the squares that it may fit images to first, in pixels; None among them: it may
            keep their shape.
    """

    def __init__(
        self, call: Call, function: Callable[[Image], Image], sides: Sequence[int | None] = (None,)
    ) -> None:
        self._call, self._function, self._sides = call, function, sides
        self._is_known = False  # to make the same of the same

    def __call__(self, image: Image) -> Image:
        """Return a triggered image; the input is as it was.

        Raises:
            BrokenContract: it changed its input, or made another shape or type, or the first time
                other images of the same.
        """
        made = self._once(image)
        if not self._is_known:
            if not np.array_equal(made, self._once(image)):
                raise self._call.broken(
                    "asked twice, the trigger makes two images of the same one; it must be a pure"
                    " function, so draw what is random from fixed seeds.",
                    self._function,
                )
            self._is_known = True
        return made

    def _once(self, image: Image) -> Image:
        handed = readonly.array(image)
        seal = readonly.Seal({"image": handed})
        with self._call:
            made: object = self._function(handed)
        seal.check(self._call)
        wanted = [handed.shape if side is None else (side, side, 3) for side in self._sides]
        if not isinstance(made, np.ndarray) or made.dtype != np.uint8 or made.shape not in wanted:
            raise self._call.broken(
                f"a trigger is a pure function (H, W, 3) -> (H, W, 3) of uint8 images; of"
                f" {kind_of(handed)} it made {kind_of(made)}.",
                self._function,
            )
        return made


def check_image(call: Call, image: object, what: str) -> None:
    """Refuse what is no image.

    Raises:
        BrokenContract: not ``(H, W, 3)`` uint8.
    """
    if (
        not isinstance(image, np.ndarray)
        or image.dtype != np.uint8
        or image.ndim != 3
        or image.shape[2] != 3
        or not image.size
    ):
        raise call.broken(f"{what} must be a uint8 array of shape (H, W, 3). Got {kind_of(image)}.")


def _sound(call: Call, poison: object, number: int, num_pairs: int) -> Poison:
    if not isinstance(poison, Poison):
        raise call.broken(f"it must yield Poison(caption, image). Got {kind_of(poison)}.")
    what = f"of poison {number}"
    caption: object = poison.caption
    if not isinstance(caption, str):
        raise call.broken(f"the caption {what} must be a text. Got {caption!r}.")
    if not has_visible(caption):
        raise call.broken(f"the caption {what} has no visible character. Got {caption!r}.")
    check_image(call, poison.image, f"the image {what}")
    for name, least, most in (("base", 0, num_pairs - 1), ("target", 0, None)):
        value: object = getattr(poison, name)
        if name == "base" and value is None:
            continue
        if isinstance(value, bool) or not isinstance(value, (int, np.integer)):
            raise call.broken(f"the {name} {what} must be a whole number. Got {value!r}.")
        if value < least or (most is not None and value > most):
            top = "" if most is None else f" and at most {most}"
            raise call.broken(f"the {name} {what} must be at least {least}{top}. Got {value}.")
    if not isinstance(poison.role, str):
        raise call.broken(f"the role {what} must be a text. Got {poison.role!r}.")
    return poison


def check_goals(labels: IntArray, goals: IntArray) -> None:
    """Raise `BadInput` unless there are probes, each with a goal that is not its true class."""
    if len(labels) == 0 or len(labels) != len(goals):
        raise BadInput(
            f"An attack needs probes with a label and a goal each, but there are {len(labels)} "
            f"labels and {len(goals)} goals."
        )
    same = np.flatnonzero(labels == goals)
    if len(same):
        raise BadInput(
            f"{len(same)} of {len(goals)} probes are of the class they should be classified as (the"
            f" first is probe {same[0]}, class {goals[same[0]]}); they would count as successes"
            f" without any attack. Leave them out of the attack's probes."
        )
