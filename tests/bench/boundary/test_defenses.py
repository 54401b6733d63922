"""What a defense can't do by mistake, and what it is told where it tries."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from mistaken import FACTS, line_of, with_mistake

from clipbench.boundary import defenses
from clipbench.boundary.imaginary import ImaginaryPairs
from clipbench.contracts import EpochPairs, Features, Phase, StatelessRun, TrainingFacts
from clipbench.errors import BrokenContract, PluginFault
from clipbench.system.arithmetic import computing

YIELD = 'yield Phase("kept", self.loss, keep=keep)'
LOSS = "return clip_loss(features.image[0], features.text[0], features.logit_scale)"


def phases_of(defense: Any, epoch: int = 0) -> list[Phase]:
    pairs = ImaginaryPairs(FACTS, epoch, 8, 1.0, 8)
    return defenses.start(defense, FACTS).phases(epoch, pairs)


def features() -> Features:
    image, text = torch.nn.functional.normalize(torch.randn(2, 1, 4, 4), dim=3)
    return Features(image.requires_grad_(), text.requires_grad_(), torch.tensor(10.0))


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        (YIELD.replace("yield", "return"), "it must yield phases. Got a Phase. Write yield"),
        ("pass", "it must yield phases. Got None"),
        ("yield self.loss", "it must yield Phase.name, loss.. Got a method"),
        (YIELD.replace("keep=keep", "keep=keep[:5]"), r"shape \(8,\), .* Got bool of shape \(5,\)"),
        (YIELD.replace("keep=keep", "keep=keep.float()"), r"Got float32 of shape \(8,\)"),
        (YIELD.replace("keep=keep", "keep=keep.tolist()"), "Got a list"),
        (YIELD.replace("self.loss", "1.0"), "the loss of phase 'kept' must be a function. Got 1.0"),
        (YIELD.replace("keep=keep", "views=0"), "more views than detached ones. Got views 0"),
        (YIELD.replace("keep=keep", "lr_scale=float('nan')"), "a positive number. Got nan"),
        ("raise KeyError('boom')", "KeyError: 'boom'"),
    ],
)
def test_phases_that_are_none_are_told_with_file_line_and_epoch(
    tmp_path: Path, wrong: str, words: str
) -> None:
    """What was wanted and what came, in the epoch in which it came."""
    defense = with_mistake("random_subset", YIELD, wrong, tmp_path)
    with pytest.raises(PluginFault, match=words) as told:
        phases_of(defense, epoch=1)
    assert re.search(r"mine\.py:\d+, phases of defense mine, epoch 2: ", str(told.value))


def test_what_a_defense_decides_is_computed_in_fp32() -> None:
    """Whatever the steps are computed in, and whatever torch is set to."""
    seen: list[tuple[bool, bool]] = []

    class Deciding(StatelessRun):
        def phases(self, epoch: int, pairs: EpochPairs) -> Iterator[Phase]:  # noqa: ARG002
            seen.append((torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32))
            yield Phase("all", lambda given: given.logit_scale)

    class Defense:
        def start(self, facts: TrainingFacts) -> StatelessRun:  # noqa: ARG002
            return Deciding()

    with computing("tf32"):
        phases_of(Defense())
    assert seen == [(False, False)]


def test_an_error_of_the_plugin_names_the_line_it_came_from(tmp_path: Path) -> None:
    """The innermost line of the plugin, not the method it was called by."""
    defense = with_mistake("random_subset", YIELD, "self.lost()", tmp_path)
    with pytest.raises(PluginFault) as told:
        phases_of(defense)
    assert f"mine.py:{line_of(tmp_path, 'self.lost()')}, phases of" in str(told.value)


def test_a_mask_of_numpy_is_taken(tmp_path: Path) -> None:
    """There is one thing it can mean."""
    wrong = YIELD.replace("keep=keep", "keep=keep.numpy()")
    (phase,) = phases_of(with_mistake("random_subset", YIELD, wrong, tmp_path))
    assert phase.keep is not None
    assert phase.keep.dtype == torch.bool
    assert int(phase.keep.sum()) == 4


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ("return 1.0", "must return a scalar tensor, the mean loss of the batch. Got 1.0"),
        (
            "return (features.image[0] * features.text[0]).sum(-1)",
            r"Got float32 of shape \(4,\). Take its mean",
        ),
        (LOSS + ".detach()", "it has no gradient, so the model would learn nothing"),
        ("return features.images", "AttributeError: .* 'images'"),
    ],
)
def test_a_loss_is_a_scalar_tensor_with_a_gradient(tmp_path: Path, wrong: str, words: str) -> None:
    """Told where the loss is written, in the phase that it is of."""
    (phase,) = phases_of(with_mistake("random_subset", LOSS, wrong, tmp_path))
    with pytest.raises(PluginFault, match=words) as told:
        phase.loss(features())
    where = f"mine.py:{line_of(tmp_path, 'def loss')}"
    if "AttributeError" not in words:
        assert f"{where}, loss of defense mine, epoch 1, phase 'kept': " in str(told.value)


def test_a_learning_rate_factor_is_a_number(tmp_path: Path) -> None:
    """Not a number, it would end in weights that are none."""
    wrong = YIELD.replace("keep=keep", "lr_factor=lambda step, steps: float('nan')")
    (phase,) = phases_of(with_mistake("random_subset", YIELD, wrong, tmp_path))
    assert phase.lr_factor is not None
    with pytest.raises(BrokenContract, match=r"at least 0\. Got nan in step 3 of 9"):
        phase.lr_factor(2, 9)


@pytest.mark.parametrize(
    ("right", "wrong", "words"),
    [
        ("def phases(", "def phase(", "RandomSubsetRun has no phases, .* Rename its phase to"),
        ("return RandomSubsetRun(", "RandomSubsetRun(", "the defense at work, .* Got None"),
        ("return RandomSubsetRun(self.share, facts)", "return self", "lacks phases, state_dict"),
        ("RandomSubsetRun(self.share, facts)", "RandomSubsetRun(facts)", "TypeError: .*'facts'"),
    ],
)
def test_what_is_no_defense_at_work_does_not_start(
    tmp_path: Path, right: str, wrong: str, words: str
) -> None:
    """A misspelled `phases` would train nothing and look like the best of all defenses."""
    defense = with_mistake("random_subset", right, wrong, tmp_path)
    with pytest.raises(PluginFault, match=words) as told:
        defenses.start(defense, FACTS)
    assert re.search(r"mine\.py:\d+, start of defense mine: ", str(told.value))


def test_a_state_holds_what_a_checkpoint_can_keep() -> None:
    """A state that could not be read again would be found out when the run is taken up."""

    class Remembering(StatelessRun):
        def __init__(self, state: Any) -> None:
            super().__init__(Phase("all", lambda given: given.image.mean()))
            self._state = state

        def state_dict(self) -> dict[str, Any]:
            return {"pool": [1, {"kept": self._state}]}

    class Remembers:
        def __init__(self, state: Any) -> None:
            self._state = state

        def start(self, facts: Any) -> Remembering:  # noqa: ARG002
            return Remembering(self._state)

    assert defenses.start(Remembers(torch.ones(2)), FACTS).state_dict()["pool"][0] == 1
    with pytest.raises(BrokenContract, match=r"state\['pool'\]\[1\]\['kept'\] is float64 of shape"):
        defenses.start(Remembers(np.ones(3)), FACTS).state_dict()
