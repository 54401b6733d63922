"""What the models of the runs make of held-out pairs and of the attacker's images."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch

from clipbench.contracts import EvaluationSet, Image
from clipbench.evaluation.encoder import Encoder
from clipbench.evaluation.zeroshot import label_ranks
from clipbench.models.features import rank_of, similarity
from clipbench.models.openclip import create_model, load_weights
from clipbench.parallel.devices import pick_device
from clipbench.system.progress import Reporter

BoolArray = npt.NDArray[np.bool_]
CANDIDATES = 1_000  # held-out captions, at most, among which an attacker's must come first


@dataclass(frozen=True)
class Outcomes:
    """What a model of clean pairs gets right, image by image.

    Args:
        read: ``(N,)`` test images read as their class.
        to_text: ``(M,)`` images whose own caption comes first.
        to_text_10: ``(M,)`` images whose own caption is among the first ten.
        largest: share of test images of the class that has the most.
    """

    read: BoolArray
    to_text: BoolArray
    to_text_10: BoolArray
    largest: float


def encoder_of(folder: Path, model: str, reporter: Reporter) -> Encoder:
    """Return the model of a run.

    Args:
        folder: of the run.
        model: what it is.
        reporter: told about progress.
    """
    net, tokenizer = create_model(model, 0)
    load_weights(net, folder / "model")
    return Encoder(net, tokenizer, device=pick_device("auto"), progress=reporter.progress)


def outcomes_of(encoder: Encoder, evaluation: EvaluationSet) -> Outcomes:
    """Return what a model of clean pairs gets right."""
    test, retrieval = evaluation.test, evaluation.retrieved("an audit")
    logits = similarity(encoder.images(test.images), encoder.classifier(evaluation.classes).T)
    images = encoder.images(retrieval.images)
    texts = encoder.texts([several[0] for several in retrieval.captions])
    ranks = rank_of(similarity(images, texts), torch.arange(len(images))).numpy()
    largest = float(np.bincount(test.labels).max() / len(test))
    return Outcomes(label_ranks(logits, test.labels) < 1, ranks < 1, ranks < 10, largest)


def candidates_of(evaluation: EvaluationSet) -> list[str]:
    """Return the held-out captions that compete with an attacker's, each once."""
    captions = evaluation.retrieved("an audit").captions
    return list(dict.fromkeys(several[0] for several in captions))[:CANDIDATES]


def attacker_first(
    encoder: Encoder,
    images: Sequence[Image],
    captions: Sequence[Sequence[str]],
    candidates: Sequence[str],
) -> BoolArray:
    """Return which images find one of the attacker's captions before all held-out ones, ``(T,)``.

    Of equal similarities the held-out caption comes first. A held-out caption that is the
    attacker's, too, does not compete with it.

    Args:
        encoder: the model.
        images: T images that the attacker chose.
        captions: for each the captions that the attacker gave it, at least one.
        candidates: held-out captions.
    """
    features = encoder.images(images)
    flat = [caption for several in captions for caption in several]
    own = similarity(features, encoder.texts(flat))
    others = similarity(features, encoder.texts(candidates))
    ends = np.cumsum([len(several) for several in captions])
    found = []
    for place, (several, end) in enumerate(zip(captions, ends.tolist(), strict=True)):
        compete = torch.tensor([caption not in several for caption in candidates])
        best = own[place, end - len(several) : end].max()
        found.append(bool(best > others[place].masked_fill(~compete, -torch.inf).max()))
    return np.array(found, dtype=np.bool_)
