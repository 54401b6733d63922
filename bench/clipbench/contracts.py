"""What an attack, a defence and a data set owe the bench, and what they get from it.

This module imports nothing of ours but names of errors and generators, and every plugin imports it.
Letters of shapes: ``B`` batch, ``V`` views, ``D`` feature size, ``N`` images, ``H W`` pixels.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt

from clipbench.errors import BadSetting
from clipbench.rng import generator

if TYPE_CHECKING:
    import torch
    from torch import Tensor

Image = npt.NDArray[np.uint8]  # (H, W, 3), RGB, 0..255
IntArray = npt.NDArray[np.int64]
Mode = Literal["replace", "insert"]
Progress = Callable[[str, int, int], None]  # (what, done, total), called often, cheap


def no_progress(what: str, done: int, total: int) -> None:
    """Report to nobody."""


@dataclass(frozen=True)
class Pair:
    """One image with its caption, under a key unique in its set."""

    key: str
    image: Image
    caption: str


# --------------------------------------------------------------------------- data sets


@dataclass(frozen=True)
class LabelledImages:
    """Images with class labels.

    Args:
        images: N images; an ``(N, H, W, 3)`` array, or any sequence that decodes on access, from
            several threads at once.
        labels: ``(N,)`` class indices.
    """

    images: Sequence[Image]
    labels: IntArray

    def __len__(self) -> int:
        return len(self.labels)


@dataclass(frozen=True)
class Classes:
    """The classes a zero-shot classifier tells apart, and how captions speak of them.

    Args:
        names: one name a class; its position is the class index.
        templates: prompt templates with one ``{}`` slot for the name.
        aliases: for each class, all phrases by which a caption may name it, the name included.
    """

    names: tuple[str, ...]
    templates: tuple[str, ...]
    aliases: tuple[tuple[str, ...], ...]

    def __len__(self) -> int:
        return len(self.names)

    @cached_property
    def firsts(self) -> IntArray:
        """The first class of each class's name, ``(C,)``.

        Classes of one name, such as ImageNet's two missiles, have the same prompts and are told
        apart by nothing: of such the first is ever predicted, and only it can be an attack's goal.
        """
        first_of = {name: number for number, name in reversed(list(enumerate(self.names)))}
        return np.array([first_of[name] for name in self.names], dtype=np.int64)

    @property
    def predictable(self) -> list[int]:
        """The classes that a classifier can predict: those that are first of their name."""
        return sorted(set(self.firsts.tolist()))


@dataclass(frozen=True)
class Classification:
    """A zero-shot classification task.

    Args:
        classes: the classes told apart.
        test: labelled test images.
        train: labelled images that a read-out may learn from, such as a linear probe; disjoint
            from test images and attack targets. None: there are none.
    """

    classes: Classes
    test: LabelledImages
    train: LabelledImages | None = None


@dataclass(frozen=True)
class Retrieval:
    """A retrieval task between images and captions.

    Args:
        images: the images; often the same object as the test images of a classification.
        captions: for each image, its captions (one or more).
    """

    images: Sequence[Image]
    captions: Sequence[Sequence[str]]


@dataclass(frozen=True)
class EvaluationSet:
    """Held-out data: a classification task, a retrieval task, or both.

    Args:
        name: name written into results.
        classification: classes and test images; None: there are no classes.
        retrieval: images and captions; None: there are no captions.
    """

    name: str
    classification: Classification | None = None
    retrieval: Retrieval | None = None

    @property
    def classes(self) -> Classes:
        """The classes told apart.

        Raises:
            BadSetting: there are none.
        """
        return self._classification().classes

    def retrieved(self, who: str) -> Retrieval:
        """Return the retrieval task.

        Args:
            who: asks for it, in the message.

        Raises:
            BadSetting: there is none.
        """
        if self.retrieval is None:
            raise BadSetting(
                f"{who} needs test captions, and the evaluation set {self.name} has none; add one"
                " that has with --eval, e.g. --eval coco_retrieval:root=FOLDER."
            )
        return self.retrieval

    @property
    def test(self) -> LabelledImages:
        """The labelled test images.

        Raises:
            BadSetting: there are none.
        """
        return self._classification().test

    def _classification(self) -> Classification:
        if self.classification is None:
            raise BadSetting(
                f"The evaluation set {self.name} has no classes, and an attack's success is read"
                " among classes; add one that has with --eval, e.g. --eval imagenet:root=FOLDER."
            )
        return self.classification


@dataclass(frozen=True)
class Recipe:
    """How a data set is attacked and trained on. Nothing of a defense depends on the attack.

    Args:
        train: training settings by field name of `clipbench.config.TrainSettings`.
        defenses: for each defense, its parameters and, under ``"train"``, its training settings.
        attacks: for each attack, its parameters, e.g. the size of a patch on small images.
    """

    train: Mapping[str, Any] = field(default_factory=dict)
    defenses: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    attacks: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)


class TrainingSource(Protocol):
    """A source of training pairs; a frozen dataclass of its parameters.

    A source whose captions stand in a field of the pairs' JSON has that field's name in an
    attribute `caption_field`. One whose pairs lie in single files may have them imported, see
    `clipbench.shards.importing.LooseSource`.
    """

    def with_pairs(self, minimum: int) -> TrainingSource:
        """Return this source with at least `minimum` pairs, where its size is free to choose.

        A source of a given size returns itself, however small.
        """

    def num_pairs(self) -> int:
        """Return how many training pairs there are, quickly.

        Of pairs that were not looked at yet, some may turn out not to be usable; runs count those
        that are. 0: not known before `prepare`.
        """

    def prepare(self, cache: Path, progress: Progress = no_progress) -> str | Path:
        """Return the clean training shards, made under `cache` if they must be.

        A folder, or anything else that `clipbench.shards.reader.ShardSet.open` takes.
        """

    def synonyms(self) -> Mapping[str, Sequence[str]]:
        """Return synonyms of single lower-case words, for text augmentation; may be empty."""

    def recipe(self) -> Recipe:
        """Return how this source is trained on."""


@runtime_checkable
class HasPrepared(Protocol):
    """A training source that can tell whether its shards are there already."""

    def prepared(self, cache: Path) -> str | Path | None:
        """Return what `prepare` would, if nothing has to be made for it; else None."""


def is_prepared(source: object, cache: Path) -> str | Path | None:
    """Return the shards of a training source that are there already; None: nobody knows."""
    return source.prepared(cache) if isinstance(source, HasPrepared) else None


@runtime_checkable
class HasFiles(Protocol):
    """A source of held-out data that can tell which files it reads.

    Their content is what the data are known by, wherever they lie. Of a source that can't tell, it
    is all files that lie where its parameters say.
    """

    def files(self) -> Iterable[tuple[str, Path]]:
        """Yield each file, with a name that says what it is for and not where it lies."""


@runtime_checkable
class HasTrusted(Protocol):
    """A training source that can tell pairs it trusts, none of which is in the set."""

    def trusted(self, size: int) -> TrainingSource:
        """Return a source of `size` pairs of the same kind, held out and never poisoned."""


class EvaluationSource(Protocol):
    """A source of held-out data; a frozen dataclass of its parameters."""

    def evaluation(self) -> EvaluationSet:
        """Return the held-out test set; disjoint from training pairs and attack targets."""

    def targets(self) -> LabelledImages:
        """Return held-out images an attacker may target; disjoint from all other splits.

        Raises:
            BadSetting: this source holds none out.
        """


# --------------------------------------------------------------------------- attacks


class Corpus(Protocol):
    """Random access to the clean training pairs, for attacks; nothing is held in memory."""

    def __len__(self) -> int: ...

    def caption(self, index: int) -> str:
        """Return the caption of pair `index`."""

    def image(self, index: int) -> Image:
        """Return the decoded image of pair `index`."""


@dataclass(frozen=True)
class Scene:
    """What an attacker knows besides the corpus, the same for poisoning and for testing.

    Args:
        evaluation: the victim's test set (classes and images).
        held_out: returns the held-out images an attacker may target; asked only if it does.
        count: number of poisoned pairs.
        seed: the run's seed; attacks draw through `rng` only.
    """

    evaluation: EvaluationSet
    held_out: Callable[[], LabelledImages]
    count: int
    seed: int

    @property
    def targets(self) -> LabelledImages:
        """Held-out images an attacker may target.

        Raises:
            BadSetting: the evaluation source holds none out.
        """
        return self.held_out()

    @property
    def classes(self) -> Classes:
        """The classes of the victim's zero-shot classifier."""
        return self.evaluation.classes

    def rng(self, *scope: str | int) -> np.random.Generator:
        """Return the generator of one named stream of this attack."""
        return generator(self.seed, "attack", *scope)


@dataclass(frozen=True)
class Poison:
    """One poisoned pair.

    Args:
        caption: its caption.
        image: its image.
        base: number of the clean pair it was made from and, in mode ``replace``, takes the place
            of. None: any pair's place, drawn by the machinery from the run's seed.
        target: which of the attack's targets it serves, 0 .. targets - 1.
        role: what it is for, e.g. ``"poison"``; written to the ledger.
    """

    caption: str
    image: Image
    base: int | None = None
    target: int = 0
    role: str = "poison"


@dataclass(frozen=True)
class Probes:
    """Test images the attacker wants misread, and as what.

    Args:
        images: M images; may be made on access.
        labels: ``(M,)`` true classes.
        goals: ``(M,)`` classes the attacker wants read; never equal to the label.
        clean_images: the same images as they are without the attack's trigger, for pictures.
        prompt: what the attacker makes of the prompt templates, of which it leaves the slot for
            the class; None: they are the victim's.
        variants: other probes by name, such as those with a part of the trigger, whose success is
            told as ``NAME_attack_success``.
        parts: of an attack with several triggers, how many probes each has, by its name, in the
            order of the probes; tables then tell of each trigger by itself. Empty: they are one.
    """

    images: Sequence[Image]
    labels: IntArray
    goals: IntArray
    clean_images: Sequence[Image] | None = None
    prompt: Callable[[str], str] | None = None
    variants: Mapping[str, Probes] = field(default_factory=dict)
    parts: Mapping[str, int] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.labels)


@dataclass(frozen=True)
class TextProbes:
    """Test captions for which the attacker wants another image found than their own.

    Args:
        texts: M captions, with the attack's trigger.
        candidates: C images among which the most similar to a caption is looked for.
        labels: ``(M,)`` which candidate is the caption's own.
        goals: ``(M,)`` which one the attacker wants found; never equal to the label.
        clean_texts: the same captions without the trigger.
        groups: ``(C,)`` which candidates count as one, those of one number: to find any of them is
            to find the label or the goal among them. None: each counts for itself.
    """

    texts: Sequence[str]
    candidates: Sequence[Image]
    labels: IntArray
    goals: IntArray
    clean_texts: Sequence[str] | None = None
    groups: IntArray | None = None

    def __len__(self) -> int:
        return len(self.labels)


AnyProbes = Probes | TextProbes


class Attack(Protocol):
    """Says which pairs are poisoned and how, and which test images shall be misread.

    A frozen dataclass whose fields are its parameters, checked in ``__post_init__``.
    """

    @property
    def mode(self) -> Mode:
        """Whether poisons replace clean pairs or are inserted beside them."""

    def num_targets(self, count: int) -> int:
        """Return over how many targets `count` poisons are spread."""

    def poison(self, scene: Scene, corpus: Corpus) -> Iterator[Poison]:
        """Yield exactly ``scene.count`` poisons; the same for the same scene and corpus."""

    def probes(self, scene: Scene) -> AnyProbes:
        """Return what shall be misread in testing; the same for the same scene."""

    def trigger(self) -> Callable[[Image], Image] | None:
        """Return the trigger as a pure function of a uint8 image, or None if there is none."""


@runtime_checkable
class Crafted(Protocol):
    """An attack that learns from the corpus first, such as one with an optimised trigger."""

    def crafted(self, scene: Scene, corpus: Corpus) -> Attack:
        """Return this attack with what it learnt in its parameters, from which it can be rebuilt.

        `Attack.poison`, `Attack.probes` and `Attack.trigger` are asked of what is returned; of the
        attack before, only how many probes there are.
        """


# --------------------------------------------------------------------------- metrics


class Measured(Protocol):
    """What a metric may look at: held-out data of one set, and one checkpoint's features of them.

    Features are computed when they are asked for, once a checkpoint, and shared with all other
    metrics: ask with the very sequences that `evaluation` and `probes` hold.
    """

    @property
    def evaluation(self) -> EvaluationSet:
        """The evaluation set."""

    @property
    def probes(self) -> AnyProbes | None:
        """What an attack wants misread on this set; None: nothing."""

    @property
    def seed(self) -> int:
        """The run's seed, for everything random."""

    def image_features(self, images: Sequence[Image]) -> Tensor:
        """Return unit features ``(N, D)`` of images, float32 on the CPU."""

    def text_features(self, texts: Sequence[str]) -> Tensor:
        """Return unit features ``(N, D)`` of texts, float32 on the CPU."""

    def classifier(self) -> Tensor:
        """Return the zero-shot classifier ``(D, C)`` of this set's classes, unit columns."""


class Metric(Protocol):
    """Measures a checkpoint on an evaluation set; a frozen dataclass of its parameters."""

    def measure(self, measured: Measured) -> Mapping[str, Any]:
        """Return what was measured, by name; nothing where the set lacks what is needed.

        A value is a `clipbench.evaluation.statistics.Proportion` where it is a share of a count,
        else a finite number. An entry whose name ends in ``attack_success`` gets a control, the
        same entry of a model trained on clean data.
        """


# --------------------------------------------------------------------------- defences


class Reference(NamedTuple):
    """Unit features of a batch under the model as it was when the stage began, without gradient.

    Args:
        image: ``(V, B, D)``.
        text: ``(V, B, D)``.
    """

    image: Tensor
    text: Tensor


class Features(NamedTuple):
    """Unit features of a batch.

    Args:
        image: ``(V, B, D)``.
        text: ``(V, B, D)``; row b of view v belongs to the same pair as row b of ``image[v]``.
        logit_scale: scalar, already exponentiated.
        reference: the same views under an earlier model, where the phase asks for them.
    """

    image: Tensor
    text: Tensor
    logit_scale: Tensor
    reference: Reference | None = None


@dataclass(frozen=True)
class Phase:
    """A part of an epoch: train once on these pairs with this loss.

    Args:
        name: shown in logs and records.
        loss: mean loss of a batch of features, a scalar.
        keep: ``(num_pairs,)`` bool, which of the epoch's pairs to train on; None: all.
        lr_scale: factor on the scheduled learning rate.
        views: augmented views of each pair the loss is given.
        detached_views: how many of the first views need no gradient; they are computed without.
        augment: whether views are augmented; False gives plain pairs.
        cross_modal: whether the loss ties images to captions; such phases count as exposures.
        lr_factor: replaces the engine's schedule: ``(step, steps of this phase) -> factor of lr``.
        reference: whether the loss is given features of the model as it was when the stage began,
            too; said by a phase of the stage's first epoch, or not at all in that stage.
        scores: whether the similarity of image and caption that its steps computed anyway is kept,
            of the first view of each pair, for `EpochPairs.similarity` of the next epoch.
    """

    name: str
    loss: Callable[[Features], Tensor]
    keep: torch.Tensor | None = None
    lr_scale: float = 1.0
    views: int = 1
    detached_views: int = 0
    augment: bool = True
    cross_modal: bool = True
    lr_factor: Callable[[int, int], float] | None = None
    reference: bool = False
    scores: bool = False


Score = Callable[["Tensor", "Tensor"], "Tensor"]  # (images (N, D), texts (N, D)) -> (N,)


class PairsView(Protocol):
    """Captions and images of some pairs, read when they are looked at; nothing is held.

    A pair is what a person sees of it: never a key, a path, a header or other fields.
    """

    def __len__(self) -> int: ...

    def captions(self) -> Sequence[str]:
        """Return the captions; going through them reads many at once."""

    def image(self, index: int) -> Image:
        """Return the image of pair `index` as it is stored, decoded; it can't be written to."""

    @property
    def images(self) -> Sequence[Image]:
        """The images; going through them decodes some ahead, in several threads."""


class EpochPairs(PairsView, Protocol):
    """The pairs of an epoch, and what the model as it stands makes of them, computed when asked.

    Captions and images are those of the epoch's pairs, in the order of `numbers`.
    """

    @property
    def numbers(self) -> IntArray:
        """Which pairs of the set the epoch has, in its order, ``(num_pairs,)``."""

    @property
    def whole_set(self) -> PairsView:
        """All pairs of the set, in its order: ``numbers`` says which of them the epoch has."""

    def similarity(self, augment: bool = False, reuse: bool = False) -> Tensor:
        """Return the cosine similarity of image and caption of each of the epoch's pairs.

        ``(num_pairs,)`` float32 on the CPU; of plain or of freshly augmented pairs. It is computed
        once an epoch. With `reuse` only pairs are scored that no phase with `Phase.scores` trained
        on in the epoch before; of the others stands what their step computed, of an augmented view
        and the model as it was then.
        """

    def released_similarity(self, model: str, weights: str) -> Tensor:
        """Return the cosine similarity of all pairs of the set under a model of others.

        ``(pairs of the set,)`` float32 on the CPU, in the order of the set, of images and captions
        as evaluation sees them. It is the set's score, as that of `score_set` is.

        Args:
            model: an open_clip model: its name, or the path of its configuration.
            weights: the file of its weights.
        """

    def score_set(
        self, score: Score, *, unit: bool = True, blocks: Sequence[Tensor] | None = None
    ) -> Tensor:
        """Return a score of all pairs of the set, in the order of the set, the lower the worse.

        It is computed once an epoch. Where several processes train, `score` is called by the first
        of them; of blocks, by each for its own.

        Args:
            score: gets the features of images and captions of all pairs, ``(N, D)`` each, on the
                CPU, and returns ``(N,)`` float32; where there are blocks, those of a block.
            unit: whether the features are brought to unit length, as the CLIP loss sees them, or
                are what the towers return.
            blocks: the pairs that are looked at together, ``(B,)`` int64 each, every pair of the
                set in one; None: all of them are. Of large sets a block's features have been
                rounded to half precision.
        """


@dataclass(frozen=True)
class Stage:
    """Some epochs of a training, with a learning-rate schedule and an optimiser of their own.

    Args:
        epochs: how many.
        trusted: train on the trusted pairs of the defence, not on the set.
        fresh: go back to the weights that the training started from.
        lr_scale: factor on the learning rate.
        warmup: steps of linear warm-up, for a stage that is much shorter than a pre-training; None:
            as many as the settings say.
        batch_size: global batch size; None: that of the settings.
        wd: weight decay; None: that of the settings.
        like: name of what is trained, of a first stage that other defences begin with, too: stages
            of one name and equal fields have the same phases, and are trained once.
    """

    epochs: int
    trusted: bool = False
    fresh: bool = False
    lr_scale: float = 1.0
    warmup: int | None = None
    batch_size: int | None = None
    wd: float | None = None
    like: str | None = None


@dataclass(frozen=True)
class TrainingFacts:
    """What a defence is told about the training it takes part in; nothing about poison.

    Args:
        num_pairs: pairs in the set.
        pairs_per_epoch: pairs in one epoch; fewer than `num_pairs` when epochs are parts of a pass.
        epochs: number of epochs that the settings ask for; stages may make it more.
        batch_size: global batch size.
        feature_size: D.
        device: where features live.
        seed: for the defence's own generators; tells nothing of those the attack drew from.
        trusted_pairs: pairs that are known to be clean, which a stage may train on; 0: none.
    """

    num_pairs: int
    pairs_per_epoch: int
    epochs: int
    batch_size: int
    feature_size: int
    device: torch.device
    seed: int
    trusted_pairs: int = 0


class DefenseRun(Protocol):
    """A defence at work in one training: its phases and what it has learnt."""

    def phases(self, epoch: int, pairs: EpochPairs) -> Iterable[Phase]:
        """Return the phases of epoch 0, 1, ...; called once an epoch, in order."""

    def state_dict(self) -> dict[str, Any]:
        """Return everything learnt: tensors, numbers, strings, and lists and dicts of them."""

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue from what `state_dict` returned, as if never stopped."""


@runtime_checkable
class StagedRun(Protocol):
    """A run of several stages; any other run is one stage, as long as the settings say."""

    @property
    def stages(self) -> Sequence[Stage]:
        """The stages, known from the start; epochs are counted through all of them."""


@runtime_checkable
class NeedsTrusted(Protocol):
    """A defence that is given pairs that are known to be clean, from outside the set."""

    @property
    def trusted_size(self) -> int:
        """How many."""


class Defense(Protocol):
    """Pre-trains on poisoned pairs without being told which; a frozen dataclass of parameters."""

    def start(self, facts: TrainingFacts) -> DefenseRun:
        """Return the defence at work in one training."""


def trusted_size(defense: Defense) -> int:
    """Return how many trusted pairs a defence is given."""
    return defense.trusted_size if isinstance(defense, NeedsTrusted) else 0


class StatelessRun:
    """A defence at work that learns nothing: the same phases every epoch."""

    def __init__(self, *phases: Phase) -> None:
        self._phases = phases

    @property
    def has_phases(self) -> bool:
        """Whether phases were given; a class that gives none says its own."""
        return bool(self._phases)

    def phases(self, epoch: int, pairs: EpochPairs) -> Iterable[Phase]:  # noqa: ARG002
        """Return the given phases, whatever the epoch."""
        return self._phases

    def state_dict(self) -> dict[str, Any]:
        """Return nothing: there is nothing to remember."""
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Accept the empty state."""
