"""Training alone, on any folder of shards."""

from __future__ import annotations

from pathlib import Path

from small_runs import Place, config_of

from clipbench.models import WEIGHTS_FILE


def test_training_on_given_shards_has_a_folder_for_each_set(
    shared: Place, trainings: list[Path]
) -> None:
    """Other shards train in another folder, the same ones are not trained on twice."""
    config = config_of()
    sets = [shared.poison(config_of(attack="badnets", seed=seed)) for seed in (0, 1)]
    weights = [shared.train(config, made.shards_folder) for made in sets]
    assert weights[0] != weights[1]
    written = weights[0].stat().st_mtime_ns
    assert shared.train(config, sets[0].shards_folder) == weights[0]
    assert weights[0].stat().st_mtime_ns == written
    assert weights[0].name == WEIGHTS_FILE
    assert weights[0].read_bytes() != weights[1].read_bytes()
    assert len({*trainings}) == 2
