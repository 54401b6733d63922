"""How long a run will take: all of its stages, from what was timed in a rehearsal."""

from __future__ import annotations

import dataclasses
import io
import shutil
import time
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from held_out_layouts import tar
from own_set import write_test_set
from PIL import Image as Pil
from small_runs import TRAIN, Place, config_of
from torch import Tensor, nn

from clipbench.configuration.config import RunConfig
from clipbench.configuration.heldout import HeldOut
from clipbench.contracts import (
    DefenseRun,
    EvaluationSet,
    Features,
    Image,
    IntArray,
    Phase,
    StatelessRun,
    TrainingFacts,
)
from clipbench.images.lazy import LazyImages
from clipbench.loading.pairs import Batch, TrainingPairs
from clipbench.planning import pace, rehearsal
from clipbench.planning import work as work_module
from clipbench.planning.estimate import Amounts, combined, estimate, estimate_training
from clipbench.planning.parts import Parts
from clipbench.planning.rehearsal import rehearse, rehearse_training
from clipbench.planning.speeds import Speeds
from clipbench.planning.work import Work, work_for
from clipbench.shards.reader import ShardSet
from clipbench.toolkit.losses import clip_loss
from clipbench.training.learner import Learner

KIND = ("all", 1, 0, True)
WORK = Work({KIND: 3.0}, {False: 2}, 0.001, {}, 3)
SPEEDS = Speeds(
    held_out=0.5,
    model=1.0,
    picture=0.002,
    encode=0.003,
    write=0.004,
    decode=0.005,
    caption=0.006,
    steps={KIND: 0.01},
    scores={False: 0.02},
    image=0.03,
    text=0.04,
)
AMOUNTS = Amounts(
    num_pairs=40_000,
    pairs_after=40_002,
    pairs_per_epoch=10_000,
    poisons=2,
    images=100,
    texts=50,
    models=3,
    looks=3_000,
)


@dataclass(frozen=True)
class SlowLoss:
    """A defense whose loss takes 50 ms a batch."""

    def start(self, facts: TrainingFacts) -> DefenseRun:  # noqa: ARG002
        def loss(features: Features) -> Tensor:
            time.sleep(0.05)
            return clip_loss(features.image[0], features.text[0], features.logit_scale)

        return StatelessRun(Phase("slow", loss))


@dataclass(frozen=True)
class SlowPictures:
    """An evaluation source whose pictures take 4 ms each to read."""

    real: EvaluationSet

    def evaluation(self) -> EvaluationSet:
        classification, retrieval = self.real.classification, self.real.retrieval
        assert classification is not None
        assert retrieval is not None
        images = LazyImages(range(len(classification.test)), self._read)
        test = replace(classification.test, images=images)
        return replace(self.real, classification=replace(classification, test=test))

    def _read(self, number: int) -> Image:
        time.sleep(0.004)
        return self.real.test.images[number]

    def targets(self) -> Any:
        raise AssertionError("nobody asks for targets")


def work_of_training(config: RunConfig, pairs: ShardSet, *, until_scored: bool = False) -> Work:
    """Return what the defense of a training does."""
    defense = config.defense.plugin
    return work_for(config, defense, len(pairs), until_scored=until_scored)


def test_seconds_are_amounts_times_speeds() -> None:
    """Shards are shared by processors, batches by processes; every stage has its seconds."""
    found = combined(WORK, SPEEDS, AMOUNTS, processors=8, processes=2)
    clean = 40_000 * 0.009 / 4  # four shards keep four processors busy
    poison = 2 * 0.005 + 40_002 * 2 / 4 * 0.004  # two poisons, in two of four shards
    ready = 40_002 * (0.006 + 0.005 / 4)
    looked = 3_000 * 0.002 / 8
    assert found.data == pytest.approx(looked + clean + poison + ready)
    assert found.training == pytest.approx(10_000 * ((3 * 0.01 + 2 * 0.02) / 2 + 0.001))
    assert found.evaluation == pytest.approx(0.5 + 3 * 1.0 + 100 * 0.03 + 50 * 0.04)
    assert found.total == found.data + found.training + found.evaluation


@pytest.mark.parametrize("name", [field.name for field in dataclasses.fields(Speeds)])
def test_nothing_that_was_timed_is_left_out(name: str) -> None:
    """Whatever gets slower makes the run longer."""
    value = getattr(SPEEDS, name)
    slower = (
        {key: 2 * item for key, item in value.items()} if isinstance(value, dict) else 2 * value
    )
    changed = combined(WORK, replace(SPEEDS, **{name: slower}), AMOUNTS, 2, 1)
    assert changed.total > combined(WORK, SPEEDS, AMOUNTS, 2, 1).total


def test_amounts_are_those_of_the_run() -> None:
    """Test images, probes of the last weights, of the control and of kept weights, and prompts."""
    clean = config_of()
    parts = Parts.of(clean)
    found = Amounts.of(clean, parts, clean.train.epochs)
    evaluation = parts.held_out.primary
    assert evaluation.retrieval is not None
    texts = sum(map(len, evaluation.retrieval.captions))
    texts += len(evaluation.classes) * len(evaluation.classes.templates)
    assert found == Amounts(200, 200, 200, 0, images=100 + 100, texts=texts, models=2)
    kept = config_of(
        attack="badnets:mode=insert",
        train={**TRAIN, "epochs": 4, "save_frequency": 2, "pairs_per_epoch": 50},
    )
    found = Amounts.of(kept, Parts.of(kept), kept.train.epochs)
    assert found == Amounts(200, 206, 50, 6, images=200 + 4 * 99, texts=texts, models=3)


def test_held_out_images_that_are_decoded_first_are_amounts_too(tmp_path: Path) -> None:
    """Those in files once, and those that a probe learns from; they are also encoded, twice."""
    root = write_test_set(tmp_path / "tests", per_class=6)
    shutil.copytree(root / "test", root / "train")
    config = config_of(evals=[f"clip_benchmark:root={root}"])
    found = Amounts.of(config, Parts.of(config), 1)
    assert (found.looks, found.images) == (24, 24)
    config = config_of(evals=[f"clip_benchmark:root={root}"], metrics=["linear_probe:shots=2"])
    found = Amounts.of(config, Parts.of(config), 1)
    assert (found.looks, found.images) == (24 + 8, 24 + 2 * 8)


def test_the_loss_of_a_defense_counts() -> None:
    """Two epochs of 200 pairs in batches of 64, 50 ms each, take at least as long as that."""
    config = config_of(train={**TRAIN, "epochs": 2})
    found = estimate(config, replace(Parts.of(config), defense=SlowLoss()))
    assert found.training >= 2 * 200 / 64 * 0.05


def test_pictures_that_are_slow_to_read_count() -> None:
    """200 pairs whose pictures take 4 ms each take at least as long as that to be made shards."""
    config = config_of()
    parts = Parts.of(config)
    slow = HeldOut((SlowPictures(parts.held_out.primary),))
    found = estimate(config, replace(parts, held_out=slow))
    assert found.data >= 200 * 0.004


@pytest.mark.parametrize(
    "settings", [{}, {"decode_cache_gb": 0.0}, {"crop_from": "original", "workers": 2}]
)
def test_a_rehearsal_times_everything_and_leaves_no_trace(
    settings: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Wherever pictures are decoded; random numbers that come after are those without it."""
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", None)
    config = config_of(
        defense="safeclip:unimodal_epochs=1,cross_modal_epochs=1,first_ratio=0.5,pool_size=64",
        train={**TRAIN, "epochs": 4, **settings},
    )
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    parts = Parts.of(config)
    work = work_for(config, parts.defense, parts.pairs_after)
    speeds = rehearse(config, parts, work)
    assert torch.equal(torch.rand(3), expected)
    assert set(speeds.steps) == set(work.passes)
    assert set(speeds.scores) == set(work.scorings) == {False}
    numbers = [*speeds.steps.values(), *speeds.scores.values()]
    numbers += [value for value in vars(speeds).values() if isinstance(value, float)]
    assert len(numbers) == 4 + 1 + 9
    assert all(np.isfinite(number) and number > 0 for number in numbers)
    assert [*tmp_path.iterdir()] == []


def test_a_slow_model_is_rehearsed_on_a_few_things(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the first few are slow they have told enough: nobody waits minutes for a guess.

    A filter has two kinds of steps, of its first model and of its own.
    """
    counts: dict[str, list[int]] = defaultdict(list)
    step, similarity = Learner.step, Learner.similarity
    images, texts = rehearsal.image_features, rehearsal.text_features

    def stepped(learner: Learner, phase: Phase, batch: Batch, *others: Any) -> Any:
        counts["step"].append(batch.num_rows)
        return step(learner, phase, batch, *others)

    def scored(learner: Learner, pairs: TrainingPairs, indices: IntArray, *others: Any) -> Any:
        counts["score"].append(len(indices))
        return similarity(learner, pairs, indices, *others)

    def seen(model: nn.Module, pictures: Sequence[Image]) -> Any:
        counts["image"].append(len(pictures))
        return images(model, pictures)

    def read(model: nn.Module, tokenizer: Any, captions: Sequence[str]) -> Any:
        counts["text"].append(len(captions))
        return texts(model, tokenizer, captions)

    monkeypatch.setattr(Learner, "step", stepped)
    monkeypatch.setattr(Learner, "similarity", scored)
    monkeypatch.setattr(rehearsal, "image_features", seen)
    monkeypatch.setattr(rehearsal, "text_features", read)
    for module in (work_module, pace):
        monkeypatch.setattr(module, "PATIENCE_S", 0.0)
    config = config_of(defense="dao:scoring_epochs=1,block=64", train={**TRAIN, "epochs": 4})
    parts = Parts.of(config)
    rehearse(config, parts, work_for(config, parts.defense, parts.pairs_after))
    assert counts == {"step": [2, 2], "score": [2], "image": [2], "text": [2]}


def test_a_training_on_given_pairs_is_rehearsed_on_some_of_them(shared: Place) -> None:
    """Decoding, captions, steps and scoring are timed; nothing of a run's evaluation is."""
    config = config_of(defense="dao:scoring_epochs=1,block=64", train={**TRAIN, "epochs": 4})
    made = shared.poison(config_of(attack="badnets:mode=insert"))
    pairs = ShardSet.open(made.shards_folder)
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    work = work_of_training(config, pairs, until_scored=True)
    speeds = rehearse_training(config, pairs, work)
    assert torch.equal(torch.rand(3), expected)
    assert work.epochs == 1
    assert set(speeds.steps) == set(work.passes)
    assert set(speeds.scores) == set(work.scorings) == {False}
    numbers = [*speeds.steps.values(), *speeds.scores.values()]
    numbers += [speeds.model, speeds.decode, speeds.caption]
    assert all(np.isfinite(number) and number > 0 for number in numbers)


def test_a_training_on_images_that_are_called_jpeg_is_rehearsed(tmp_path: Path) -> None:
    """Shards of other programs have such names; `train`, `detect` and `audit` ended there."""
    image = io.BytesIO()
    Pil.new("RGB", (32, 32), "red").save(image, "JPEG")
    members = {
        f"{number:03d}.{end}": content
        for number in range(64)
        for end, content in (("jpeg", image.getvalue()), ("txt", b"a red square"))
    }
    tar(tmp_path / "set" / "0.tar", members)
    config = config_of()
    pairs = ShardSet.open(tmp_path / "set")
    speeds = rehearse_training(config, pairs, work_of_training(config, pairs))
    assert speeds.decode > 0


def test_scoring_takes_less_than_the_whole_training(shared: Place) -> None:
    """A filter that is stopped when it has scored trains one epoch of five."""
    config = config_of(defense="dao:scoring_epochs=1,block=64", train={**TRAIN, "epochs": 4})
    pairs = ShardSet.open(shared.poison(config_of(attack="badnets")).shards_folder)
    work = work_of_training(config, pairs, until_scored=True)
    scored = estimate_training(config, pairs, work)
    whole = estimate_training(config, pairs, work_of_training(config, pairs))
    assert (work.epochs, scored.epochs, whole.epochs) == (1, 1, 5)
    assert scored.evaluation == whole.evaluation == 0.0
    assert scored.data > 0
    assert 0 < scored.training < whole.training
