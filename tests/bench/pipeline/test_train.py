"""Training alone, on any folder of shards."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from small_runs import Place, config_of

from clipbench.errors import BadSetting
from clipbench.models.weights import WEIGHTS_FILE
from clipbench.parallel.bench import Bench
from clipbench.pipeline import train as training
from clipbench.pipeline.detect import plan_detection
from clipbench.system.progress import Reporter


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


def test_the_plan_names_pairs_and_folder_and_what_is_done(shared: Place) -> None:
    """Nothing is written before but speeds; afterwards the time is that it is done."""
    config = config_of(defense="cleanclip:trusted_size=20,clean_up_epochs=3")
    made = shared.poison(config_of(attack="badnets", seed=2))
    plan = shared.plan_training(config, made.shards_folder)
    assert not plan.folder.exists()
    assert plan.estimate(shared.cache).training > 0
    said = "\n".join(plan.lines())
    assert f"{made.shards_folder}, 200 pairs" in said
    assert "1 epoch of 200 pairs; 4 epochs with all stages of cleanclip" in said
    assert "trusted  20 pairs known to be clean, held out by shapes, as --data says" in said
    assert f"folder   {plan.folder}" in said
    assert "time" not in said
    assert shared.train(config, made.shards_folder).parent.parent == plan.folder
    assert "time     done already" in shared.plan_training(config, made.shards_folder).lines()[-1]


def test_a_training_that_other_code_of_a_package_did_says_so(
    shared: Place, edited: Callable[[str], str]
) -> None:
    """It is not done again, as a run is not; with the code that did it nothing is said."""
    made = shared.poison(config_of(attack="badnets", seed=2)).shards_folder
    for words, told in (("before", False), ("before", False), ("behind", True)):
        edited(words)
        said = io.StringIO()
        config = config_of(defense="said_by_a_test.defense:Trained")
        reporter = Reporter(quiet=True, stream=said)
        place: dict[str, Any] = {"cache": shared.cache, "reporter": reporter}
        training.train(training.plan_training(config, made, shared.out, **place), **place)
        assert ("with other code of said_by_a_test than is installed" in said.getvalue()) is told


def test_too_few_trusted_pairs_are_told_before_training(shared: Place) -> None:
    """A plan of several methods may train for hours before the one that they are for."""
    made = shared.poison(config_of(attack="badnets", seed=2)).shards_folder
    config = config_of(defense="clipscore:trusted_size=60", trusted="shapes:size=50,seed=9")
    told = r"wants 60 trusted pairs, but shapes \(--trusted\) has 50;"
    with pytest.raises(BadSetting, match=told):
        shared.plan_training(config, made)
    with pytest.raises(BadSetting, match=told):
        plan_detection([config], Bench(shared.cache), shards=made)


def test_the_plan_of_a_detection_says_that_models_will_hardly_learn(shared: Place) -> None:
    """Scores of a model that did not get beyond its warm-up are no scores of the pairs."""
    made = shared.poison(config_of(attack="badnets", seed=2)).shards_folder
    slow = {"epochs": 1, "batch_size": 64, "warmup": 4}
    for train, notes in ((slow, 1), ({**slow, "warmup": 1}, 0)):
        config = config_of(defense="dao", train=train)
        lines = plan_detection([config], Bench(shared.cache), shards=made).lines()
        assert (
            sum("note: the learning rate warms up for 4 steps" in line for line in lines) == notes
        )
