"""Which weights decay."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
from tiny_training import tiny_model, tiny_trainer
from torch import Tensor, nn

from clipbench.configuration.settings import TrainSettings
from clipbench.contracts import DefenseRun, Features, Phase, StatelessRun, TrainingFacts
from clipbench.toolkit.losses import clip_loss
from clipbench.training.learner import make_optimizer


def test_weight_decay_is_for_weights_alone() -> None:
    """Norms, biases and the logit scale have none; matrices, filters and embeddings have it."""
    model = tiny_model()
    optimizer = make_optimizer(model, TrainSettings(wd=0.3))
    decay = {
        id(p): group["weight_decay"] for group in optimizer.param_groups for p in group["params"]
    }
    assert len(decay) == len(list(model.parameters()))
    exempt = ("bn", "ln_", "bias", "logit_scale", "downsample.1")
    for name, parameter in model.named_parameters():
        assert decay[id(parameter)] == (0.0 if any(e in name for e in exempt) else 0.3), name


def test_decay_moves_weights_without_gradient(tmp_path: Path) -> None:
    """One step at a rate of 0.1 and a decay of 0.5 shrinks a matrix without gradient by 5%."""

    @dataclass(frozen=True)
    class TextOnly:
        def start(self, facts: TrainingFacts) -> DefenseRun:  # noqa: ARG002
            def loss(features: Features) -> Tensor:
                text = features.text[0]
                return clip_loss(text, text.roll(1, 0), features.logit_scale)

            return StatelessRun(Phase("text", loss, lr_factor=lambda step, steps: 1.0))  # noqa: ARG005

    trainer = tiny_trainer(tmp_path, TextOnly(), count=16, epochs=1, lr=0.1, wd=0.5)
    visual: nn.Module = trainer.learner.model.visual  # type: ignore[assignment]
    before = {name: p.detach().clone() for name, p in visual.named_parameters()}
    for parameter in visual.parameters():
        parameter.grad = torch.zeros_like(parameter)
    trainer.learner.optimizer.zero_grad = lambda set_to_none=True: None  # type: ignore[assignment,misc] # noqa: ARG005
    trainer.train()
    for name, parameter in visual.named_parameters():
        share = 0.95 if parameter.ndim >= 2 else 1.0
        torch.testing.assert_close(parameter.detach(), before[name] * share, msg=name)
