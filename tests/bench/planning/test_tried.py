"""What is sure to fail is told before there is any work."""

from __future__ import annotations

from pathlib import Path

import pytest
from own_set import write_test_set
from small_runs import Place, config_of

from clipbench.errors import BadSetting


@pytest.mark.parametrize(
    ("per_class", "message"),
    [(0, "'linear_probe' has nothing to measure on held_out; .* what it needs"), (1, "are 1")],
)
def test_a_metric_without_the_images_it_needs_is_refused_by_the_plan(
    place: Place, tmp_path: Path, per_class: int, message: str
) -> None:
    """After the training it would end the run without a result."""
    root = write_test_set(tmp_path / "held_out", per_class=2)
    if per_class:
        learned_from = write_test_set(tmp_path / "train", per_class=per_class)
        (learned_from / "test").rename(root / "train")
    config = config_of(evals=[f"clip_benchmark:root={root}"], metrics=["linear_probe"])
    with pytest.raises(BadSetting, match=message):
        place.plan(config).try_plugins()


def test_a_metric_that_one_of_several_sets_is_enough_for_is_not(
    place: Place, tmp_path: Path
) -> None:
    """A second set, of tests alone, takes nothing from the first."""
    root = write_test_set(tmp_path / "held_out", per_class=2)
    evals = ["shapes:test_size=100,targets_size=50", f"clip_benchmark:root={root}"]
    place.plan(config_of(evals=evals, metrics=["linear_probe"])).try_plugins()
