"""What a defense owes the bench, and what it gets from it.

Letters of shapes: ``B`` batch, ``V`` views, ``D`` feature size, ``N`` images, ``H W`` pixels.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, runtime_checkable

from clipbench.contracts.data import Image, IntArray

if TYPE_CHECKING:
    import torch
    from torch import Tensor


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
    """Some epochs of a training, with a learning-rate schedule and an optimizer of their own.

    Args:
        epochs: how many.
        trusted: train on the trusted pairs of the defense, not on the set.
        fresh: go back to the weights that the training started from.
        lr_scale: factor on the learning rate.
        warmup: steps of linear warm-up, for a stage that is much shorter than a pre-training; None:
            as many as the settings say.
        batch_size: global batch size; None: that of the settings.
        wd: weight decay; None: that of the settings.
        like: name of what is trained, of a first stage that other defenses begin with, too: stages
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
    """What a defense is told about the training it takes part in; nothing about poison.

    Args:
        num_pairs: pairs in the set.
        pairs_per_epoch: pairs in one epoch; fewer than `num_pairs` when epochs are parts of a pass.
        epochs: number of epochs that the settings ask for; stages may make it more.
        batch_size: global batch size.
        feature_size: D.
        device: where features live.
        seed: for the defense's own generators; tells nothing of those the attack drew from.
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
    """A defense at work in one training: its phases and what it has learned."""

    def phases(self, epoch: int, pairs: EpochPairs) -> Iterable[Phase]:
        """Return the phases of epoch 0, 1, ...; called once an epoch, in order."""

    def state_dict(self) -> dict[str, Any]:
        """Return everything learned: tensors, numbers, strings, and lists and dicts of them."""

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
    """A defense that is given pairs that are known to be clean, from outside the set."""

    @property
    def trusted_size(self) -> int:
        """How many."""


class Defense(Protocol):
    """Pre-trains on poisoned pairs without being told which; a frozen dataclass of parameters."""

    def start(self, facts: TrainingFacts) -> DefenseRun:
        """Return the defense at work in one training."""


def trusted_size(defense: Defense) -> int:
    """Return how many trusted pairs a defense is given."""
    return defense.trusted_size if isinstance(defense, NeedsTrusted) else 0


class StatelessRun:
    """A defense at work that learns nothing: the same phases every epoch."""

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
