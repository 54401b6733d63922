"""What every plugin of a kind owes, tried in seconds on a few pairs: each check says one thing.

The same checks hold the built-in plugins to their contracts in the tests.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any

import numpy as np
import torch
from torch.nn import functional as F

from clipbench import registry
from clipbench.boundary import attacks, datasets, defenses
from clipbench.boundary.faults import Call, is_ours
from clipbench.boundary.metrics import measure
from clipbench.contracts import (
    AnyProbes,
    Attack,
    Corpus,
    Defense,
    EvaluationSet,
    Features,
    Image,
    LabelledImages,
    Measured,
    Metric,
    Phase,
    Poison,
    Probes,
    Reference,
    Retrieval,
    Scene,
    TextProbes,
    TrainingFacts,
)
from clipbench.errors import BadSetting, BrokenContract, ClipbenchError, PluginFault
from clipbench.evaluation.attack_success import check_probes
from clipbench.imaginary import ImaginaryPairs, TooManyPairsError, imagined
from clipbench.plugins import Kind
from clipbench.rng import generator

PAIRS = 64
POISONS = 8
EPOCHS = 8
SIZE = 16  # of features


@dataclass(frozen=True)
class Check:
    """One thing that a plugin owes.

    Args:
        owes: what, in a few words.
        problem: why it does not; empty: it does, or it could not be tried.
        untried: why it could not be tried, as where 64 pairs are too few for a plugin; else empty.
    """

    owes: str
    problem: str = ""
    untried: str = ""


def checked(owes: str, action: Callable[[], object]) -> Check:
    """Return whether something works that a plugin owes."""
    try:
        action()
    except BadSetting as error:
        return Check(owes, untried=str(error))
    except ClipbenchError as error:
        return Check(owes, str(error))
    return Check(owes)


# --------------------------------------------------------------------------- attacks


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
    yield checked("is a frozen dataclass", lambda: _is_frozen("attack", attack))
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


def _is_frozen(kind: Kind, plugin: Any) -> None:
    call = Call(kind, plugin, "__init__")
    if not type(plugin).__dataclass_params__.frozen:
        name = type(plugin).__name__
        raise call.broken(f"write @dataclass(frozen=True) above class {name}.")
    values = {f.name: getattr(plugin, f.name) for f in dataclasses.fields(plugin) if f.init}
    if type(plugin)(**values) != plugin:
        raise call.broken("made again from its parameters it is another.")


def _probes(attack: Attack, scene: Scene) -> AnyProbes:
    probes = attacks.probes(attack, scene)
    check_probes(probes.labels, probes.goals)
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
    """Refuse probes of the class they shall be read as; of few test images there may be none."""
    probes = attacks.probes(attack, scene)
    if (probes.labels == probes.goals).any():
        check_probes(probes.labels, probes.goals)


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
        BadInput: a probe is of the class that it shall be read as.
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


# --------------------------------------------------------------------------- defenses

FACTS = TrainingFacts(
    PAIRS, PAIRS, EPOCHS, 16, SIZE, torch.device("cpu"), seed=5, trusted_pairs=PAIRS
)


def of_defense(defense: Defense) -> Iterator[Check]:
    """Try a defense on imaginary pairs."""
    yield checked("is a frozen dataclass", lambda: _is_frozen("defense", defense))
    yield checked("has phases in every epoch", lambda: list(_played(defense, FACTS)))
    yield checked("has losses that teach the model", lambda: _losses(defense))
    yield checked("trains on pairs", lambda: _trains(defense))
    yield checked("goes on the same from its state", lambda: _resumes(defense))


def before_training(defense: Defense, facts: TrainingFacts) -> None:
    """Refuse a defense from outside that is sure to fail, before any work.

    Its epochs are played on an imaginary set. What it makes of the pairs there tells nothing of
    others, so from the first such answer on only broken contracts count.

    Raises:
        PluginFault: it fails whatever the pairs are.
    """
    if is_ours(defense):
        return
    known, trained = True, False
    for pairs, phases in _played(defense, facts, strict=False):
        known &= not pairs.depends_on_data
        trained |= any(phase.keep is None or bool(phase.keep.any()) for phase in phases)
        for phase in phases:
            phase.loss(random_features(phase, facts))
    if known and not trained:
        raise defenses.start(defense, facts).trains_nothing(facts.epochs)


Played = tuple[ImaginaryPairs, list[Phase]]


def _played(defense: Defense, facts: TrainingFacts, *, strict: bool = True) -> Iterator[Played]:
    """Yield the imaginary pairs and the phases of every epoch.

    Args:
        defense: the defense.
        facts: what it is told.
        strict: whether an error is one where it may be the fault of the imaginary pairs; else the
            epochs end there.
    """
    try:
        yield from _epochs(defense, facts, strict=strict)
    except TooManyPairsError:
        few = replace(facts, num_pairs=facts.pairs_per_epoch)
        yield from _epochs(defense, few, strict=strict)


def _epochs(
    defense: Defense,
    facts: TrainingFacts,
    run: defenses.CheckedRun | None = None,
    first: int = 0,
    *,
    strict: bool = True,
) -> Iterator[Played]:
    run = run or defenses.start(defense, facts)
    epochs = [stage for stage in run.stages(facts.epochs) for _ in range(stage.epochs)]
    for epoch in range(first, len(epochs)):
        pairs = imagined(facts, epochs[epoch], epoch)
        try:
            phases = run.phases(epoch, pairs)
        except BrokenContract:
            raise
        except PluginFault:
            if strict or not pairs.depends_on_data:
                raise
            yield pairs, []  # what it would do on other pairs, nobody knows
            return
        yield pairs, phases


def random_features(phase: Phase, facts: TrainingFacts) -> Features:
    """Return unit features of a batch, as a phase asks for them."""
    drawn = torch.Generator().manual_seed(1)
    shape = (4, phase.views, facts.batch_size, facts.feature_size)
    image, text, *earlier = F.normalize(torch.randn(shape, generator=drawn), dim=3).to(facts.device)
    return Features(
        image.requires_grad_(),
        text.requires_grad_(),
        torch.tensor(10.0, device=facts.device, requires_grad=True),
        Reference(*earlier) if phase.reference else None,
    )


def _losses(defense: Defense) -> None:
    taught: set[str] = set()
    for _, phases in _played(defense, FACTS):
        for phase in phases:
            given = random_features(phase, FACTS)
            loss = phase.loss(given)
            call = Call("defense", defense, "loss", f"phase {phase.name!r}")
            if not torch.isfinite(loss):
                raise call.broken(f"of random features it is {loss.item()}.", phase.loss)
            loss.backward()  # type: ignore[no-untyped-call]
            values = {"image": given.image, "text": given.text}
            taught |= {n for n, v in values.items() if v.grad is not None and v.grad.any()}
    if taught != {"image", "text"}:
        missing = " and ".join(sorted({"image", "text"} - taught))
        raise Call("defense", defense, "loss").broken(f"no loss teaches the {missing} tower.")


def _trains(defense: Defense) -> None:
    played = list(_played(defense, FACTS))
    phases = [phase for _, several in played for phase in several]
    if not any(phase.keep is None or bool(phase.keep.any()) for phase in phases):
        raise defenses.start(defense, FACTS).trains_nothing(len(played))


def _resumes(defense: Defense) -> None:
    """Play on from the state at each of a few epochs, and compare masks and losses."""
    whole = [_outcome(phases) for _, phases in _epochs(defense, FACTS)]
    for stop in sorted({1, len(whole) // 2, len(whole) - 1} - {0}):
        first = defenses.start(defense, FACTS)
        for played in islice(_epochs(defense, FACTS, first), stop):
            _outcome(played[1])
        second = defenses.start(defense, FACTS)
        second.load_state_dict(first.state_dict())
        rest = [_outcome(phases) for _, phases in _epochs(defense, FACTS, second, stop)]
        if rest != whole[stop:]:
            raise Call("defense", defense, "load_state_dict").broken(
                f"stopped after epoch {stop} and taken up from its state, it goes on otherwise;"
                " state_dict must hold all it learnt."
            )


def _outcome(phases: Sequence[Phase]) -> list[tuple[str, bytes, float]]:
    return [
        (
            phase.name,
            b"" if phase.keep is None else phase.keep.numpy().tobytes(),
            float(phase.loss(random_features(phase, FACTS)).detach()),
        )
        for phase in phases
    ]


# --------------------------------------------------------------------------- data sets, metrics


def of_dataset(source: Any) -> Iterator[Check]:
    """Try a data set, as far as that costs seconds: nothing is prepared."""
    yield checked("is a frozen dataclass", lambda: _is_frozen("dataset", source))
    if hasattr(source, "prepare"):
        yield checked("tells how many pairs it has", lambda: datasets.num_pairs(source))
        yield checked("can be asked for more pairs", lambda: datasets.with_pairs(source, 1))
        yield checked("has a recipe and synonyms", lambda: _recipe(source))
    if hasattr(source, "evaluation"):
        yield checked("holds out data that is labelled", lambda: datasets.evaluation(source))
        yield checked("holds out targets that are no test images", lambda: _targets(source))


def _recipe(source: Any) -> None:
    datasets.recipe(source)
    wrong = [word for word in datasets.synonyms(source) if word != word.lower()]
    if wrong:
        raise Call("dataset", source, "synonyms").broken(f"{wrong[0]!r} is not in lower case.")


def _targets(source: Any) -> None:
    try:
        targets = datasets.targets(source)
    except BadSetting:
        return  # it holds none out, which is its right
    evaluation = datasets.evaluation(source)
    if evaluation.classification is None:
        return
    seen = {image.tobytes() for image in evaluation.test.images[:PAIRS]}
    if any(image.tobytes() in seen for image in targets.images[:PAIRS]):
        raise Call("dataset", source, "targets").broken("a target is a test image, too.")


class _Imagined:
    """Held-out data with random features, see `clipbench.contracts.Measured`."""

    def __init__(self, evaluation: EvaluationSet, probes: AnyProbes | None) -> None:
        self.evaluation, self.probes, self.seed = evaluation, probes, 0

    def image_features(self, images: Sequence[Image]) -> torch.Tensor:
        return self._drawn(len(images), "images")

    def text_features(self, texts: Sequence[str]) -> torch.Tensor:
        return self._drawn(len(texts), "texts")

    def classifier(self) -> torch.Tensor:
        return self._drawn(len(self.evaluation.classes), "classes").T

    def _drawn(self, count: int, what: str) -> torch.Tensor:
        drawn = generator(0, "imaginary features", what).standard_normal((count, SIZE))
        return F.normalize(torch.from_numpy(drawn.astype(np.float32)), dim=1)


def of_metric(metric: Metric, evaluation: EvaluationSet) -> Iterator[Check]:
    """Try a metric on random features of a held-out set."""
    given: Measured = _Imagined(evaluation, None)
    yield checked("is a frozen dataclass", lambda: _is_frozen("metric", metric))
    yield checked("measures numbers by name", lambda: measure(metric, given))
    yield checked("measures the same twice", lambda: _same_values(metric, given))


def _same_values(metric: Metric, given: Measured) -> None:
    one, two = (measure(metric, given) for _ in range(2))
    if dict(one) != dict(two):
        raise Call("metric", metric, "measure").broken(
            "asked twice, it measures other numbers; draw random numbers from measured.seed."
        )


def before_measuring(metric: Metric, sets: Sequence[EvaluationSet]) -> None:
    """Refuse a metric from outside that is sure to fail, before there is a model to measure.

    Raises:
        BrokenContract: it broke one.
    """
    if is_ours(metric):
        return
    for evaluation in sets:
        try:
            measure(metric, _Imagined(evaluation, None))
        except BrokenContract:
            raise
        except (PluginFault, BadSetting):
            continue  # such as for want of probes


def of_plugin(kind: Kind, spec: str, scenery: EvaluationSet, held_out: Any) -> list[Check]:
    """Try any plugin.

    Args:
        kind: what it is.
        spec: its name, perhaps with parameters.
        scenery: held-out data for attacks and metrics.
        held_out: returns the images that an attacker may target.
    """
    plugin = registry.build(kind, spec)
    scene = thinned(Scene(scenery, held_out, POISONS, 3))
    tries: Mapping[Kind, Callable[[], Iterator[Check]]] = {
        "attack": lambda: of_attack(plugin, scene, HeldOutCorpus(scene.evaluation)),
        "defense": lambda: of_defense(plugin),
        "dataset": lambda: of_dataset(plugin),
        "metric": lambda: of_metric(plugin, scenery),
    }
    return list(tries[kind]())
