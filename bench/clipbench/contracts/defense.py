"""Interface of defenses, and the objects they are handed.

Letters in shapes: ``B`` batch, ``V`` views, ``D`` feature size, ``N`` images, ``H W`` pixels.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple, Protocol, runtime_checkable

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
        reference: the same views under an earlier model, if the phase asks for them.
    """

    image: Tensor
    text: Tensor
    logit_scale: Tensor
    reference: Reference | None = None


@dataclass(frozen=True)
class Phase:
    """Part of an epoch: train once on these pairs with this loss.

    Args:
        name: shown in logs and records.
        loss: mean loss of a batch of features, a scalar.
        keep: ``(num_pairs,)`` bool, which of the epoch's pairs to train on; None: all.
        lr_scale: factor on the scheduled learning rate.
        views: number of augmented views of each pair that the loss is given.
        detached_views: number of views, from the first, that are computed without gradient.
        augment: whether views are augmented; False: pairs as they are.
        cross_modal: whether the loss ties images to captions; such phases count as exposures.
        lr_factor: replaces the engine's schedule: ``(step, steps of this phase) -> factor of lr``.
        reference: whether the loss is also given features of the model as it was when the stage
            began; must be requested by a phase of the stage's first epoch.
        scores: whether to keep the similarity of image and caption that the steps compute anyway,
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
    """Captions and images of some pairs, read on access and not kept in memory.

    Only what a person would see of a pair: no key, path, header or other field.
    """

    def __len__(self) -> int: ...

    def captions(self) -> Sequence[str]:
        """Return the captions; iterating reads many at once."""

    def image(self, index: int) -> Image:
        """Return the decoded image of pair `index`, read-only."""

    @property
    def images(self) -> Sequence[Image]:
        """The images; iterating decodes ahead, in several threads."""


class EpochPairs(PairsView, Protocol):
    """One epoch's pairs, with scores under the current model, computed on request.

    Captions and images are those of the epoch's pairs, in the order of `numbers`.
    """

    @property
    def numbers(self) -> IntArray:
        """The epoch's pairs, as numbers within the set, ``(num_pairs,)``, in the epoch's order."""

    @property
    def whole_set(self) -> PairsView:
        """All pairs of the set, in the set's order; `numbers` indexes it."""

    def similarity(self, augment: bool = False, reuse: bool = False) -> Tensor:
        """Return the cosine similarity of image and caption of each of the epoch's pairs.

        ``(num_pairs,)`` float32 on the CPU, computed once per epoch.

        Args:
            augment: score freshly augmented pairs, rather than pairs as they are.
            reuse: score only pairs that no phase with `Phase.scores` trained on in the previous
                epoch. The others keep the value that their training step computed, from an
                augmented view and the model at that step.
        """

    def released_similarity(self, model: str, weights: str) -> Tensor:
        """Return the cosine similarity of all pairs of the set under a released model.

        ``(pairs of the set,)`` float32 on the CPU, in the order of the set, of images and captions
        as evaluation sees them. Recorded as the set's score, as for `score_set`.

        Args:
            model: an open_clip model: its name, or the path of its configuration.
            weights: the file of its weights.
        """

    def score_set(
        self, score: Score, *, unit: bool = True, blocks: Sequence[Tensor] | None = None
    ) -> Tensor:
        """Return a score for every pair of the set, in the order of the set; low is suspicious.

        Each call is a score of its own; of several in an epoch the last is recorded, as what is
        shown and judged. With several processes, the first one calls `score`; with blocks, each
        process calls it for its own blocks.

        Args:
            score: receives the features of images and captions, ``(N, D)`` each, on the CPU, of all
                pairs or of one block, and returns ``(N,)`` float32.
            unit: whether features are normalized to unit length, as the CLIP loss sees them, or as
                the towers return them.
            blocks: pairs to score together, ``(B,)`` int64 each; every pair of the set is in
                exactly one. None: all pairs together. In large sets, the features of a block have
                been rounded to half precision.
        """


@dataclass(frozen=True)
class Stage:
    """Some epochs of a training run, with their own learning-rate schedule and optimizer.

    Args:
        epochs: number of epochs.
        trusted: train on the trusted pairs of the defense, not on the set.
        fresh: start from the initial weights of the training run again.
        lr_scale: factor on the learning rate.
        warmup: steps of linear warm-up, for stages much shorter than pre-training; None: as in the
            settings.
        batch_size: global batch size; None: as in the settings.
        wd: weight decay; None: as in the settings.
        like: name of a first stage that several defenses share: first stages with the same name
            and equal fields must have the same phases, and are trained once.
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
    """What a defense is told about a training run; nothing about poisoning.

    Args:
        num_pairs: pairs in the set.
        pairs_per_epoch: pairs in one epoch; fewer than `num_pairs` when epochs are parts of a pass.
        epochs: number of epochs in the settings; stages may add to it.
        batch_size: global batch size.
        feature_size: D.
        device: where features live.
        seed: for the defense's own generators; unrelated to those of the attack.
        trusted_pairs: number of pairs known to be clean, on which a stage may train.
        warmup: steps of linear warm-up in the settings, for defenses with a schedule of their own.
    """

    num_pairs: int
    pairs_per_epoch: int
    epochs: int
    batch_size: int
    feature_size: int
    device: torch.device
    seed: int
    trusted_pairs: int = 0
    warmup: int = 0


class DefenseRun(Protocol):
    """A defense during one training run: its phases and its state."""

    def phases(self, epoch: int, pairs: EpochPairs) -> Iterable[Phase]:
        """Return the phases of epoch 0, 1, ...; called once per epoch, in order."""

    def state_dict(self) -> dict[str, object]:
        """Return the state: tensors, numbers, strings, and lists and dicts of them."""

    def load_state_dict(self, state: dict[str, object]) -> None:
        """Continue from what `state_dict` returned, as if never interrupted."""


@runtime_checkable
class StagedRun(Protocol):
    """A defense run with several stages; other runs have one stage, of `settings.epochs` epochs."""

    @property
    def stages(self) -> Sequence[Stage]:
        """The stages, fixed from the start; epochs are numbered across all of them."""


@runtime_checkable
class NeedsTrusted(Protocol):
    """A defense that needs pairs known to be clean, from outside the set."""

    @property
    def trusted_size(self) -> int:
        """Number of trusted pairs."""


class Defense(Protocol):
    """Pre-trains on pairs without knowing which are poisoned; a frozen dataclass of parameters."""

    def start(self, facts: TrainingFacts) -> DefenseRun:
        """Return the defense's state for one training run."""


def trusted_size(defense: Defense) -> int:
    """Return the number of trusted pairs that a defense needs."""
    return defense.trusted_size if isinstance(defense, NeedsTrusted) else 0


class StatelessRun:
    """A defense run without state: the same phases every epoch."""

    def __init__(self, *phases: Phase) -> None:
        self._phases = phases

    @property
    def has_phases(self) -> bool:
        """Whether phases were given; a subclass without any overrides `phases`."""
        return bool(self._phases)

    def phases(self, epoch: int, pairs: EpochPairs) -> Iterable[Phase]:  # noqa: ARG002
        """Return the given phases, in every epoch."""
        return self._phases

    def state_dict(self) -> dict[str, object]:
        """Return an empty state."""
        return {}

    def load_state_dict(self, state: dict[str, object]) -> None:
        """Accept the empty state."""
