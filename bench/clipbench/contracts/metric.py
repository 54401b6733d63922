"""Interface of metrics, and the objects they are handed.

Letters in shapes: ``B`` batch, ``V`` views, ``D`` feature size, ``N`` images, ``H W`` pixels.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Protocol, runtime_checkable

from clipbench.contracts.attack import AnyProbes
from clipbench.contracts.data import EvaluationSet, Image, IntArray

if TYPE_CHECKING:
    from torch import Tensor


class Measured(Protocol):
    """What a metric can use: one set's held-out data, and one checkpoint's features of them.

    Features are computed on request, once per checkpoint, and shared with all other metrics: pass
    the very sequences that `evaluation` and `probes` hold.
    """

    @property
    def evaluation(self) -> EvaluationSet:
        """The evaluation set."""

    @property
    def probes(self) -> AnyProbes | None:
        """The attack's probes on this set; None: no attack."""

    @property
    def seed(self) -> int:
        """The run's seed, for all random numbers."""

    def image_features(self, images: Sequence[Image]) -> Tensor:
        """Return unit features ``(N, D)`` of images, float32 on the CPU."""

    def text_features(self, texts: Sequence[str]) -> Tensor:
        """Return unit features ``(N, D)`` of texts, float32 on the CPU."""

    def classifier(self) -> Tensor:
        """Return the zero-shot classifier ``(D, C)`` of this set's classes, unit columns."""


class Metric(Protocol):
    """Measures a checkpoint on an evaluation set; a frozen dataclass of its parameters."""

    def measure(self, measured: Measured) -> Mapping[str, object]:
        """Return values by name; none if the set lacks the data that the metric needs.

        A value is a `clipbench.evaluation.statistics.Proportion` if it is a share of a count,
        otherwise a finite number. An entry whose name ends in ``attack_success`` gets a control:
        the same entry for a model trained on clean data.
        """


@runtime_checkable
class HasNeeds(Protocol):
    """A metric that can tell what it needs of a set; it is asked before there is a model."""

    def can_measure(self, evaluation: EvaluationSet) -> bool:
        """Return whether a set has the data that the metric needs.

        Raises:
            BadSetting: it has such data, but too few.
        """


@runtime_checkable
class LearnsFromTraining(Protocol):
    """A metric that reads training images of a set; they are decoded before there is a model."""

    def training_numbers(self, evaluation: EvaluationSet, seed: int) -> IntArray:
        """Return the numbers of the training images that it will read, of a set that has some."""
