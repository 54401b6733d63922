"""What every defense owes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import islice

import torch
from torch.nn import functional as F

from clipbench.boundary import defenses
from clipbench.boundary.battery.checks import (
    EPOCHS,
    PAIRS,
    SIZE,
    Check,
    checked,
    is_frozen,
)
from clipbench.boundary.imaginary import ImaginaryPairs, TooManyPairsError, imagined
from clipbench.contracts import (
    Defense,
    Features,
    Phase,
    Reference,
    TrainingFacts,
)
from clipbench.errors import BrokenContract, PluginFault
from clipbench.plugins.faults import Call, is_ours
from clipbench.text.words import listed

FACTS = TrainingFacts(
    PAIRS, PAIRS, EPOCHS, 16, SIZE, torch.device("cpu"), seed=5, trusted_pairs=PAIRS
)


def of_defense(defense: Defense) -> Iterator[Check]:
    """Try a defense on imaginary pairs."""
    yield checked("is a frozen dataclass", lambda: is_frozen("defense", defense))
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
        missing = listed(sorted({"image", "text"} - taught))
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
                " state_dict must hold all it learned."
            )


def _outcome(phases: Sequence[Phase]) -> list[tuple[str, bytes, float]]:
    return [
        (
            phase.name,
            b"" if phase.keep is None else phase.keep.numpy().tobytes(),
            _loss(phase),
        )
        for phase in phases
    ]


def _loss(phase: Phase) -> float:
    """Return the loss of a phase; where it draws, what it draws is the same, as in training."""
    features = random_features(phase, FACTS)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return float(phase.loss(features).detach())
