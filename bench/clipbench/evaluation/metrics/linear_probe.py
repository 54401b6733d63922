"""Linear probe: multinomial logistic regression on frozen, unit image features.

Radford et al. Learning Transferable Visual Models From Natural Language Supervision. ICML 2021,
appendix A.3. https://arxiv.org/abs/2103.00020

It learns from the labelled training images of an evaluation set alone (`train` of its
classification) and never from test images or attack targets; the L2 strength is chosen on a part of
the training images, after which the probe is fitted to all of them. A set without training images
gives nothing. With an attack, its probes are read by the same classifier: success through a linear
probe can differ much from zero-shot success. Whose splits overlap has learned test images by heart;
test images that are training images, too, are counted, and a warning says so.

Differs from the paper: features have unit length, as zero-shot classification has them; the
validation part is drawn from the training images where the paper uses an official one if there is.
"""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
import numpy.typing as npt

from clipbench.contracts import (
    EvaluationSet,
    Ge,
    Gt,
    Image,
    IntArray,
    LabelledImages,
    Lt,
    Measured,
    Plugin,
    Probes,
)
from clipbench.errors import BadSetting
from clipbench.images.lazy import LazyImages
from clipbench.rng import generator

if TYPE_CHECKING:
    from clipbench.evaluation.statistics import Proportion

COARSE = tuple(float(exponent) for exponent in range(-6, 7, 2))  # log10 of C, inverse L2 strength
FINEST = 0.125  # of a decade
ALIKE = 1 - 1e-5  # cosine from which on images may be equal
ROWS = 256  # test images that are held against all training images at once


@dataclass(frozen=True)
class LinearProbe(Plugin):
    """Train a linear classifier on frozen features.

    Args:
        shots: training images a class, drawn from the seed; none: all.
        validation: share of each class's training images on which the L2 strength is chosen.
        iterations: most iterations of L-BFGS in a fit.
    """

    shots: Annotated[int, Ge(2)] | None = None
    validation: Annotated[float, Gt(0), Lt(1)] = 0.2
    iterations: Annotated[int, Ge(1)] = 1000

    def can_measure(self, evaluation: EvaluationSet) -> bool:
        """Return whether a set has training images.

        Raises:
            BadSetting: a class has fewer than two training images, or there is one class.
        """
        task = evaluation.classification
        if task is None or task.train is None:
            return False
        _check_train(task.train, len(task.classes), evaluation.name)
        return True

    def training_numbers(self, evaluation: EvaluationSet, seed: int) -> IntArray:
        """Return the numbers of the training images that a probe of a seed learns from.

        Raises:
            BadSetting: a class has fewer than two training images, or there is one class.
        """
        task = evaluation.classification
        if task is None or task.train is None:
            return np.zeros(0, dtype=np.int64)
        return self._used(evaluation, task.train, seed)[0]

    def measure(self, measured: Measured) -> Mapping[str, Proportion | float]:
        """Return the probe's accuracy on test images and, where there is an attack, its success.

        Returns:
            ``linear_probe_top1``, ``linear_probe_top5``, ``linear_probe_c`` (the inverse L2
            strength chosen), ``linear_probe_images`` (training images used) and
            ``linear_probe_copies`` (test images that are among them, pixel for pixel); with an
            attack ``linear_probe_attack_success``, ``linear_probe_poisoned_accuracy`` and
            ``linear_probe_attack_copies`` (images that it wants misclassified, among them).

        Raises:
            BadSetting: a class has fewer than two training images, or there is one class.
        """
        import torch  # noqa: PLC0415 - heavy

        from clipbench.evaluation.statistics import measured_cutoffs  # noqa: PLC0415
        from clipbench.evaluation.zeroshot import label_ranks, top_k_correct  # noqa: PLC0415

        task = measured.evaluation.classification
        if task is None or task.train is None:
            return {}
        used, rng = self._used(measured.evaluation, task.train, measured.seed)
        images = LazyImages(used.tolist(), task.train.images.__getitem__)
        features = measured.image_features(images).numpy()
        labels = task.train.labels[used]
        fit, exponent = self._fit(features, labels, rng)

        test, train = (
            measured.image_features(task.test.images),
            (images, torch.from_numpy(features)),
        )
        ranks = label_ranks(_scores(fit, test), task.test.labels)
        name = measured.evaluation.name
        copies = _told(
            (task.test.images, test), train, f"test images of {name}", "accuracy is too high"
        )
        found: dict[str, Proportion | float] = {
            f"linear_probe_top{k}": top_k_correct(ranks, k)
            for k in measured_cutoffs((1, 5), len(task.classes))
        }
        found |= {
            "linear_probe_c": 10.0**exponent,
            "linear_probe_images": float(len(used)),
            "linear_probe_copies": float(copies),
        }
        probes = measured.probes
        if isinstance(probes, Probes) and len(probes):
            read = measured.image_features(probes.images)
            scores = _scores(fit, read)
            copies = _told(
                (probes.images, read), train, "images of the attack", "success is too low"
            )
            found["linear_probe_attack_copies"] = float(copies)
            goals = label_ranks(scores, probes.goals)
            found["linear_probe_attack_success"] = top_k_correct(goals, 1)
            truth = label_ranks(scores, probes.labels)
            found["linear_probe_poisoned_accuracy"] = top_k_correct(truth, 1)
        return found

    def _used(
        self, evaluation: EvaluationSet, train: LabelledImages, seed: int
    ) -> tuple[IntArray, np.random.Generator]:
        """Return the training images used, all or so many of each class, and what draws the rest.

        The images are in their order.
        """
        classes, rng = len(evaluation.classes), generator(seed, "linear_probe")
        _check_train(train, classes, evaluation.name)
        if self.shots is None:
            return np.arange(len(train.labels)), rng
        order = rng.permutation(len(train.labels))
        firsts = [order[train.labels[order] == label][: self.shots] for label in range(classes)]
        return np.sort(np.concatenate(firsts)), rng

    def _fit(
        self, features: Any, labels: IntArray, rng: np.random.Generator
    ) -> tuple[object, float]:
        """Return the probe fitted to all images at the best L2 strength, and log10 of its C.

        The paper's search: a coarse sweep over 1e-6 .. 1e6, then around the best with half the
        distance, until there are eight values a decade. Of equal accuracies the stronger L2 wins.
        """
        held = _part_of_each_class(labels, self.validation, rng)
        accuracy: dict[float, float] = {}

        def best_of(exponents: tuple[float, ...]) -> float:
            for exponent in exponents:
                if COARSE[0] <= exponent <= COARSE[-1] and exponent not in accuracy:
                    probe = self._fitted(features[~held], labels[~held], exponent)
                    accuracy[exponent] = float(probe.score(features[held], labels[held]))
            return max(accuracy, key=lambda exponent: (accuracy[exponent], -exponent))

        best, step = best_of(COARSE), 1.0
        while step >= FINEST:
            best = best_of((best - step, best + step))
            step /= 2
        return self._fitted(features, labels, best), best

    def _fitted(self, features: Any, labels: IntArray, exponent: float) -> Any:
        from sklearn.exceptions import ConvergenceWarning  # noqa: PLC0415 - heavy
        from sklearn.linear_model import LogisticRegression  # noqa: PLC0415 - heavy

        probe = LogisticRegression(C=10.0**exponent, max_iter=self.iterations)
        with warnings.catch_warnings():
            # With almost no L2 the optimum lies far away; the paper stops there as well.
            warnings.simplefilter("ignore", ConvergenceWarning)
            probe.fit(features.astype(np.float64), labels)
        return probe


def _check_train(train: LabelledImages, classes: int, name: str) -> None:
    counts = np.bincount(train.labels, minlength=classes)
    if classes < 2 or len(counts) != classes or counts.min() < 2:
        raise BadSetting(
            f"linear_probe needs two or more classes with at least two training images each,"
            f" but the fewest of {classes} classes of {name} are {counts.min()}."
        )


def _part_of_each_class(
    labels: IntArray, share: float, rng: np.random.Generator
) -> npt.NDArray[np.bool_]:
    """Return a mask that holds a share of each class, at least one image and not all of them."""
    held = np.zeros(len(labels), dtype=bool)
    for label in np.unique(labels):
        members = rng.permutation(np.flatnonzero(labels == label))
        size = min(max(1, round(share * len(members))), len(members) - 1)
        held[members[:size]] = True
    return held


_Images = tuple[Sequence[Image], Any]  # N images, and their unit features (N, D)


def _told(some: _Images, train: _Images, what: str, effect: str) -> int:
    """Return how many images are training images as well, pixel for pixel; and warn of them.

    Equal images have equal features up to rounding, so only images whose features meet are decoded.

    Args:
        some: images that the probe reads.
        train: those that it learns from.
        what: what the images are.
        effect: what becomes of the number that they give.
    """
    import torch  # noqa: PLC0415 - heavy

    meets = torch.zeros(len(train[1]), dtype=torch.bool)
    met = torch.zeros(len(some[1]), dtype=torch.bool)
    for start in range(0, len(met), ROWS):
        alike = some[1][start : start + ROWS] @ train[1].T > ALIKE
        met[start : start + ROWS] = alike.any(dim=1)
        meets |= alike.any(dim=0)
    known = {_pixels(train[0][number]) for number in meets.nonzero().flatten().tolist()}
    found = sum(_pixels(some[0][number]) in known for number in met.nonzero().flatten().tolist())
    if found:
        warnings.warn(
            f"of {len(met):,} {what} {found:,} are among the training images of linear_probe, pixel"
            f" for pixel: its {effect}; take them out of one of the two",
            stacklevel=3,
        )
    return found


def _pixels(image: Image) -> bytes:
    return hashlib.sha256(repr(image.shape).encode() + image.tobytes()).digest()


def _scores(probe: Any, features: Any) -> Any:
    """Return ``(N, C)`` scores of classes 0 .. C - 1 as a tensor; higher is more likely."""
    import torch  # noqa: PLC0415 - heavy

    scores = probe.decision_function(features.numpy().astype(np.float64))
    if scores.ndim == 1:  # two classes have one score
        scores = np.stack([-scores, scores], axis=1)
    return torch.from_numpy(scores)


METRIC = LinearProbe
