"""Optimizer steps and scores: what they are, and within which bounds."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tiny_training import shapes, tiny_model, tiny_pairs, tiny_trainer
from torch import Tensor

from clipbench.configuration.settings import TrainSettings
from clipbench.contracts import DefenseRun, Features, Phase, StatelessRun, TrainingFacts
from clipbench.errors import ClipbenchError
from clipbench.loading.pairs import BatchRequest
from clipbench.parallel.group import Processes
from clipbench.toolkit.losses import clip_loss
from clipbench.training import learner as learning
from clipbench.training.encoder import Encoder, mean_and_std
from clipbench.training.engine import Trainer
from clipbench.training.learner import LOGIT_SCALE_MAX
from clipbench_defenses.none import NoDefense
from clipbench_defenses.safeclip import SafeCLIP

DEFAULT = (False, True)  # what torch rounds to TF32 unless told otherwise: products, convolutions


def test_detached_views_get_no_gradient(tmp_path: Path) -> None:
    """A loss of detached views alone moves no weight but the logit scale."""

    @dataclass(frozen=True)
    class Detached:
        def start(self, facts: TrainingFacts) -> DefenseRun:  # noqa: ARG002
            def loss(features: Features) -> Tensor:
                return clip_loss(features.image[0], features.text[0], features.logit_scale)

            return StatelessRun(Phase("detached", loss, views=2, detached_views=1))

    trainer = tiny_trainer(tmp_path, Detached(), count=32, epochs=1, wd=0.0)
    before = {name: p.detach().clone() for name, p in trainer.learner.model.named_parameters()}
    trainer.train()
    changed = {
        n for n, p in trainer.learner.model.named_parameters() if not torch.equal(p, before[n])
    }
    assert changed == {"logit_scale"}


def test_similarity_is_the_cosine_of_each_pair(tmp_path: Path) -> None:
    """Scores are those of single pairs one at a time, in the order asked for; training goes on."""
    trainer = tiny_trainer(tmp_path, NoDefense(), count=40, epochs=1)
    trainer.train()
    indices = np.random.default_rng(0).permutation(40)
    given = trainer._pairs
    scores = trainer.learner.similarity(given, indices, augment=False, epoch=1)
    model: Any = trainer.learner.model.eval()
    mean, std = (torch.tensor(value).view(1, 3, 1, 1) for value in mean_and_std(model))
    pairs = tiny_pairs(tiny_model(), TrainSettings(), 40)
    images, captions = shapes(40)
    for index, score in zip(indices, scores.tolist(), strict=True):
        one = np.array([index])
        pixels = torch.from_numpy(images.gather(one)).permute(0, 3, 1, 2) / 255
        tokens = torch.from_numpy(pairs.vocabulary.compact(captions.tokens(one)))
        with torch.no_grad():
            image = model.encode_image((pixels - mean) / std, normalize=True)
            text = model.encode_text(tokens, normalize=True)
        assert score == pytest.approx(float((image * text).sum()), abs=1e-5)
    assert scores.dtype == torch.float32
    augmented = trainer.learner.similarity(given, indices, augment=True, epoch=1)
    assert (augmented - scores).abs().max() > 1e-3
    assert torch.equal(augmented, trainer.learner.similarity(given, indices, augment=True, epoch=1))


def test_the_logit_scale_stays_within_its_bounds(tmp_path: Path) -> None:
    """However strongly the loss pulls, the scale is at most 100 and at least 1 after each step."""
    found = []
    for sign in (1.0, -1.0):

        @dataclass(frozen=True)
        class Pull:
            way: float = sign

            def start(self, facts: TrainingFacts) -> DefenseRun:  # noqa: ARG002
                way = self.way

                def loss(features: Features) -> Tensor:
                    zero = 0 * (features.image.sum() + features.text.sum())
                    return way * features.logit_scale + zero

                return StatelessRun(Phase("pull", loss))

        trainer = tiny_trainer(tmp_path / str(sign), Pull(), epochs=2, lr=10.0)
        trainer.train()
        found.append(trainer.learner.model.logit_scale.item())  # type: ignore[operator]
    assert found == [0.0, pytest.approx(LOGIT_SCALE_MAX)]
    assert math.exp(LOGIT_SCALE_MAX) == pytest.approx(100.0)


def test_gradients_are_clipped_to_their_norm(tmp_path: Path) -> None:
    """No step is taken with a gradient longer than `grad_clip_norm`; none lets it be."""
    norms: dict[float | None, list[float]] = {}
    for limit in (0.05, None):
        trainer = tiny_trainer(tmp_path / str(limit), NoDefense(), epochs=1, grad_clip_norm=limit)
        step, seen = trainer.learner.optimizer.step, norms.setdefault(limit, [])

        def noting(step: Any = step, seen: list[float] = seen, trainer: Trainer = trainer) -> None:
            grads = [p.grad for p in trainer.learner._parameters if p.grad is not None]
            seen.append(float(torch.stack([g.norm() for g in grads]).norm()))
            step()

        trainer.learner.optimizer.step = noting  # type: ignore[method-assign,assignment]
        trainer.train()
    assert norms[0.05] == pytest.approx([0.05] * 3, rel=1e-3)
    assert min(norms[None]) > 0.1


@pytest.mark.parametrize("lr", [1e20, 1e30])
def test_a_loss_that_is_no_number_is_one_sentence(tmp_path: Path, lr: float) -> None:
    """A training that diverges says so in one line: the phase, epoch, step, and what to do."""
    trainer = tiny_trainer(tmp_path, NoDefense(), epochs=4, lr=lr, warmup=0)
    with pytest.raises(ClipbenchError) as caught:
        trainer.train()
    message = str(caught.value)
    assert "phase 'clip' is nan in epoch" in message
    assert "Lower --lr" in message
    assert "\n" not in message
    assert caught.value.exit_status == 1


def test_bf16_trains_much_like_fp32(tmp_path: Path) -> None:
    """The half-precision forward pass gives losses within a few percent, and other bits."""
    losses = []
    for precision in ("fp32", "bf16"):
        trainer = tiny_trainer(tmp_path / precision, NoDefense(), epochs=1, precision=precision)
        assert trainer.learner.precision == precision
        losses.append(trainer.train().history[0].losses)
    assert losses[0] != losses[1]
    assert losses[1] == pytest.approx(losses[0], rel=0.05)


@pytest.mark.parametrize(("precision", "rounds"), [("fp32", False), ("tf32", True)])
def test_whatever_a_training_multiplies_is_in_its_precision(
    precision: str, rounds: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Towers, loss and gradients, and scores; torch's own switches disagree with each other."""
    monkeypatch.setattr(learning, "refuse_without_tf32", lambda *_: None)  # this is a processor
    monkeypatch.setattr(learning, "settled", lambda precision, _: precision)
    seen: dict[str, set[tuple[bool, bool]]] = {}

    def note(where: str) -> None:
        matmul, convolutions = torch.backends.cuda.matmul, torch.backends.cudnn
        seen.setdefault(where, set()).add((matmul.allow_tf32, convolutions.allow_tf32))

    trainer = tiny_trainer(tmp_path, SafeCLIP(1, 1), count=32, epochs=3, precision=precision)
    visual: Any = trainer.learner.model.visual
    visual.conv1.register_forward_hook(lambda module, *_: note(f"training {module.training}"))
    visual.conv1.weight.register_hook(lambda _: note("backward"))
    trainer.train()
    places = ["training True", "training False", "backward"]
    assert seen == {place: {(rounds, rounds)} for place in places}
    assert (torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32) == DEFAULT


def test_compiled_towers_compute_the_same_for_any_number_of_rows(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """One compilation serves whole batches, the last one of an epoch, and pairs that are scored."""
    captured: list[Any] = []
    compile_with = torch.compile

    def traced(function: Any, **how: Any) -> Any:
        """What is captured, without the minutes that native code takes."""
        captured.append(function.__name__)
        return compile_with(function, backend="eager", fullgraph=True, **how)

    monkeypatch.setattr(torch, "compile", traced)
    model = tiny_model()
    pairs = tiny_pairs(model, TrainSettings(), 24)
    plain = Encoder(model, Processes(), "fp32")
    compiled = Encoder(model, Processes(), "fp32", compiled=True)
    for number, rows in enumerate((16, 5, 9)):
        request = BatchRequest(np.arange(rows), slice(0, rows), 1, False, ())
        batch = pairs.make(request)
        model.train(mode=number < 2)
        for one, other in zip(
            plain.encode(batch.images[0], batch.tokens[0]),
            compiled.encode(batch.images[0], batch.tokens[0]),
            strict=True,
        ):
            torch.testing.assert_close(one, other)
    assert captured == ["encode_image", "encode_text"]
    assert torch._dynamo.utils.counters["frames"]["ok"] <= 4  # towers, training and measuring
