"""What every registered defense owes the bench (contracts.Defense), built-in or not."""

import copy
import dataclasses
from typing import Any

import pytest
import torch
from known_pairs import KnownPairs
from torch.nn import functional as F

from clipbench.boundary.defenses import stages_of
from clipbench.boundary.imaginary import ImaginaryView
from clipbench.contracts import DefenseRun, Features, Phase, Reference, TrainingFacts
from clipbench.plugins import registry

NAMES = registry.names("defense")
PAIRS, EPOCHS, BATCH, SIZE = 64, 12, 16, 8
FACTS = TrainingFacts(
    PAIRS, PAIRS, EPOCHS, BATCH, SIZE, torch.device("cpu"), seed=5, trusted_pairs=PAIRS
)


def known() -> KnownPairs:
    """Return pairs of which a quarter do not match."""
    generator = torch.Generator().manual_seed(1)
    scores = 0.6 + 0.1 * torch.randn(PAIRS, generator=generator)
    scores[: PAIRS // 4] -= 0.6
    drawn = F.normalize(torch.randn(2, PAIRS, SIZE, generator=generator), dim=2)
    stored = ImaginaryView(PAIRS)
    return KnownPairs(scores, drawn[0], drawn[1], stored.images, stored.captions())


def features(views: int, step: int) -> Features:
    generator = torch.Generator().manual_seed(step)
    image, text, *earlier = F.normalize(
        torch.randn(4, views, BATCH, SIZE, generator=generator), dim=3
    )
    return Features(
        image.requires_grad_(),
        text.requires_grad_(),
        torch.tensor(10.0, requires_grad=True),
        Reference(*earlier),
    )


def play(run: DefenseRun, epochs: range) -> list[tuple[int, str, float]]:
    """Let the defense run and return every loss."""
    losses = []
    for epoch in epochs:
        for number, phase in enumerate(run.phases(epoch, known())):
            for step in range(2):
                loss = phase.loss(features(phase.views, 100 * epoch + 10 * number + step))
                losses.append((epoch, phase.name, loss.item()))
    return losses


def phases_of(name: str) -> list[Phase]:
    run = registry.build("defense", name).start(FACTS)
    return [phase for epoch in range(length(run)) for phase in run.phases(epoch, known())]


def length(run: DefenseRun) -> int:
    """Return the epochs of all stages."""
    return sum(stage.epochs for stage in stages_of(run, EPOCHS))


@pytest.mark.parametrize("name", NAMES)
def test_a_defense_is_its_parameters(name: str) -> None:
    """It is a frozen dataclass that can be made again from what the record says of it."""
    defense: Any = registry.build("defense", name)
    assert type(defense).__dataclass_params__.frozen
    assert type(defense)(**dataclasses.asdict(defense)) == defense


@pytest.mark.parametrize("name", NAMES)
def test_every_loss_is_finite_and_both_towers_are_taught(name: str) -> None:
    """Each phase's loss is a finite scalar that teaches a tower; no tower is never taught."""
    taught = set()
    for phase in phases_of(name):
        given = features(phase.views, 0)
        loss = phase.loss(given)
        assert loss.shape == ()
        assert torch.isfinite(loss)
        loss.backward()  # type: ignore[no-untyped-call]
        learns = set()
        for modality, values in (("image", given.image), ("text", given.text)):
            if values.grad is not None and values.grad[phase.detached_views :].abs().sum() > 0:
                learns.add(modality)
        assert learns
        taught |= learns
    assert taught == {"image", "text"}


@pytest.mark.parametrize("name", NAMES)
def test_masks_and_rates_are_sound(name: str) -> None:
    """A mask is over the epoch's pairs; a learning-rate share is positive; views are enough."""
    for phase in phases_of(name):
        assert phase.keep is None or (
            phase.keep.shape == (PAIRS,) and phase.keep.dtype == torch.bool
        )
        assert phase.lr_scale > 0
        assert phase.views > phase.detached_views >= 0


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("stop", [1, 3, 7, 12, 13])
def test_a_defense_taken_up_from_its_state_goes_on_the_same(name: str, stop: int) -> None:
    """What it learned is in its state: the losses after a restart are those without one."""
    first = registry.build("defense", name).start(FACTS)
    epochs = length(first)
    stop = min(stop, epochs - 1)
    whole = play(registry.build("defense", name).start(FACTS), range(epochs))
    before = play(first, range(stop))
    second = registry.build("defense", name).start(FACTS)
    second.load_state_dict(copy.deepcopy(first.state_dict()))
    assert before + play(second, range(stop, epochs)) == whole
