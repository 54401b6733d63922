"""What every attack owes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import islice

import numpy as np

from clipbench.boundary import attacks
from clipbench.boundary.attacks import check_goals
from clipbench.boundary.battery.checks import (
    PAIRS,
    POISONS,
    Check,
    checked,
    is_frozen,
)
from clipbench.contracts import (
    AnyProbes,
    Attack,
    Corpus,
    EvaluationSet,
    Image,
    LabelledImages,
    Poison,
    Probes,
    Retrieval,
    Scene,
    TextProbes,
)
from clipbench.errors import BadSetting, BrokenContract, PluginFault
from clipbench.plugins.faults import Call, is_ours


class HeldOutCorpus:
    """Held-out pictures as the corpus of an attack that is tried.

    Args:
        evaluation: has the pictures, and captions or classes.
        size: how many pairs.
    """

    def __init__(self, evaluation: EvaluationSet, size: int = PAIRS) -> None:
        task = evaluation.classification
        retrieval = evaluation.retrieval
        shown: Sequence[Image] = ()
        if task is not None:
            shown = task.test.images
        elif retrieval is not None:
            shown = retrieval.images
        self._images, self._size = shown, min(size, len(shown))
        self._evaluation = evaluation

    def __len__(self) -> int:
        return self._size

    def caption(self, index: int) -> str:
        """Return the caption of a picture, or a prompt of its class."""
        task, retrieval = self._evaluation.classification, self._evaluation.retrieval
        if task is None:
            assert retrieval is not None
            return retrieval.captions[index][0]
        classes, label = task.classes, int(task.test.labels[index])
        template = classes.templates[index % len(classes.templates)]
        return template.format(classes.names[label])

    def image(self, index: int) -> Image:
        """Return a picture."""
        return self._images[index]


def thinned(scene: Scene, size: int = PAIRS, count: int = POISONS) -> Scene:
    """Return a scene with a few of its test images, and of few poisons."""
    whole = scene.evaluation
    task, retrieval = whole.classification, whole.retrieval
    if task is not None:
        few = LabelledImages(task.test.images[:size], task.test.labels[:size])
        task = replace(task, test=few)
    if retrieval is not None:
        retrieval = Retrieval(retrieval.images[:size], retrieval.captions[:size])
    small = replace(whole, classification=task, retrieval=retrieval)
    return replace(scene, evaluation=small, count=count)


def of_attack(attack: Attack, scene: Scene, corpus: Corpus) -> Iterator[Check]:
    """Try an attack.

    Args:
        attack: the attack.
        scene: what it knows; its poisons are made.
        corpus: the clean pairs.
    """
    yield checked("is a frozen dataclass", lambda: is_frozen("attack", attack))
    made: list[Poison] = []
    ready: list[Attack] = []

    def poisons() -> None:
        ready.append(attacks.crafted(attack, scene, corpus))
        made.extend(islice(attacks.poisons(ready[0], scene, corpus), scene.count + 1))
        call = Call("attack", attack, "poison")
        if len(made) != scene.count:
            raise call.broken(f"it must make {scene.count} poisons. Got {len(made)}.")
        targets = attacks.num_targets(attack, scene.count)
        if {poison.target for poison in made} - set(range(targets)):
            raise call.broken(f"a poison is for none of its {targets} targets.")

    yield checked(f"makes the {scene.count} poisons it is asked for", poisons)
    tried = ready[0] if ready else attack
    if made:
        yield checked(
            "makes the same poisons of the same scene",
            lambda: attacks.check_repeats(tried, scene, corpus, made),
        )
    yield checked("wants probes misread, none as its own class", lambda: _probes(tried, scene))
    yield checked("wants the same probes of the same scene", lambda: _same_probes(tried, scene))
    yield checked("has a trigger that is pure and seen, or none", lambda: _trigger(tried, scene))


def _probes(attack: Attack, scene: Scene) -> AnyProbes:
    probes = attacks.probes(attack, scene)
    check_goals(probes.labels, probes.goals)
    choices = len(probes.candidates) if isinstance(probes, TextProbes) else len(scene.classes)
    if probes.goals.min() < 0 or probes.goals.max() >= choices:
        raise Call("attack", attack, "probes").broken(
            f"goals must be 0 to {choices - 1}. Got {probes.goals.min()} to {probes.goals.max()}."
        )
    return probes


def _same_probes(attack: Attack, scene: Scene) -> None:
    one, two = (attacks.probes(attack, scene) for _ in range(2))
    same = np.array_equal(one.goals, two.goals) and np.array_equal(one.labels, two.labels)
    if same and isinstance(one, TextProbes) and isinstance(two, TextProbes):
        same = list(one.texts) == list(two.texts) and _equal(one.candidates, two.candidates)
    elif same and isinstance(one, Probes) and isinstance(two, Probes):
        same = _equal(one.images, two.images)
    if not same:
        raise Call("attack", attack, "probes").broken(
            "asked twice, it wants other probes; draw random numbers from"
            " scene.rng('your name', 'what for') alone."
        )


def _own_class(attack: Attack, scene: Scene) -> None:
    """Refuse probes of the class they should be classified as; few test images may have none."""
    probes = attacks.probes(attack, scene)
    if (probes.labels == probes.goals).any():
        check_goals(probes.labels, probes.goals)


def _equal(one: Sequence[Image], two: Sequence[Image]) -> bool:
    return len(one) == len(two) and all(map(np.array_equal, one[:PAIRS], two[:PAIRS]))


def _trigger(attack: Attack, scene: Scene) -> None:
    trigger = attacks.trigger(attack)
    if trigger is None:
        return
    image = scene.evaluation.test.images[0]
    if np.array_equal(trigger(image), image):
        raise Call("attack", attack, "trigger").broken("the trigger changes nothing in an image.")


def before_poisoning(attack: Attack, scene: Scene) -> None:
    """Refuse an attack from outside that is sure to fail, before its pairs are made.

    It is tried on a few test images. What could be the fault of those is left to be found out.

    Raises:
        BrokenContract: it broke one.
        BadInput: a probe is of the class that it should be classified as.
    """
    if is_ours(attack):
        return
    trigger = attacks.trigger(attack)
    if trigger is not None and scene.evaluation.classification is not None:
        trigger(scene.evaluation.test.images[0])
    small = thinned(scene, count=scene.count)
    for action in (
        lambda: _same_probes(attack, small),
        lambda: _own_class(attack, small),
        lambda: list(islice(attacks.poisons(attack, small, HeldOutCorpus(small.evaluation)), 2)),
    ):
        try:
            action()
        except BrokenContract:
            raise
        except (PluginFault, BadSetting):
            continue  # such as too few pairs of a class
