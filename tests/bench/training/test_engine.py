from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import open_clip
import pytest
import torch
from msgspec import UNSET, structs
from tiny_training import SEED, shapes, tiny_model, tiny_trainer
from torch import Tensor

from clipbench.checkpoints.stages import SharedStages
from clipbench.checkpoints.trace import read_trace
from clipbench.contracts import (
    Defense,
    DefenseRun,
    EpochPairs,
    Features,
    Phase,
    Stage,
    StatelessRun,
    TrainingFacts,
)
from clipbench.errors import BadSetting, BrokenContract
from clipbench.loading.order import batches, epoch_pairs
from clipbench.parallel.group import Processes
from clipbench.rng import derive_seed
from clipbench.toolkit.losses import clip_loss
from clipbench.training.engine import Trainer
from clipbench.training.plan import kept
from clipbench.training.resume import way_of
from clipbench_defenses.cleanclip import CleanCLIP
from clipbench_defenses.clip import AugmentedClip
from clipbench_defenses.clipscore import ClipScore
from clipbench_defenses.dao import DAO
from clipbench_defenses.finetune import FineTune
from clipbench_defenses.none import NoDefense
from clipbench_defenses.par import PAR
from clipbench_defenses.random_removal import RandomRemoval
from clipbench_defenses.roclip import RoCLIP
from clipbench_defenses.safeclip import SafeCLIP

SAFECLIP = SafeCLIP(
    unimodal_epochs=1, cross_modal_epochs=1, pool_size=40, first_ratio=0.5, growth=0.1, cap=0.7
)
# (defense, epochs): as few epochs as have every kind of phase, and every transition between them.
DEFENSES: dict[str, tuple[Defense, int]] = {
    "none": (NoDefense(), 2),
    "clip": (AugmentedClip(), 2),
    "clip crossed": (AugmentedClip(cross_aug=True), 1),
    "safeclip": (SAFECLIP, 4),
    "safeclip official": (
        SafeCLIP(
            unimodal_epochs=1,
            cross_modal_epochs=1,
            pool_size=1000,
            symmetric=True,
            score_augmented=True,
            rank_by="posterior",
            cross_aug=True,
            lr_schedule="official",
            threshold=0.5,
        ),
        3,
    ),
    "safeclip that reuses scores": (replace(SAFECLIP, reuse_scores=True), 4),
    "roclip": (RoCLIP(pool_size=40), 2),
    "filter": (DAO(scoring_epochs=1, k=4, block=32), 1),
    "filter by trusted pairs": (ClipScore(trusted_size=40), 1),
    "clean-up": (CleanCLIP(trusted_size=40, clean_up_epochs=2), 1),
    "clean-up with a reference": (
        PAR(trusted_size=40, clean_up_epochs=2, clean_up_batch_size=16),
        1,
    ),
}
pytestmark = pytest.mark.filterwarnings("ignore:safeclip. the mixture:UserWarning")


class Killed(BaseException):
    """What stands for SIGKILL: nothing in the engine may catch it."""


def kill_after(calls: int) -> Callable[[str, int, int], None]:
    """Progress that raises at the call after `calls`; the engine calls it before it saves."""
    left = iter(range(calls))

    def progress(what: str, done: int, total: int) -> None:
        if next(left, None) is None:
            raise Killed(what, done, total)

    return progress


def kill_in_epoch(trainer: Trainer, epoch: int) -> None:
    """Kill after the first two steps of a phase of the epoch of this number."""

    def progress(*_: Any) -> None:
        if trainer.state.epoch == epoch and trainer.state.step == 2:
            raise Killed

    trainer._progress = progress


def outcome(trainer: Trainer, folder: Path) -> dict[str, Any]:
    """Everything a finished training leaves, bit by bit, except how long it took."""
    history = [structs.replace(entry, seconds=UNSET) for entry in trainer.state.history]
    traces: dict[str, list[Any]] = {}
    for file in sorted((folder / "trace").glob("*.npz")):
        with np.load(file) as trace:
            traces[file.name] = [trace[name].tolist() for name in sorted(trace)]
    state = structs.replace(trainer.state, history=history, seconds=0.0, cpu_seconds=0.0)
    return {
        "state": state,
        "exposures": trainer.exposures.tolist(),
        "traces": traces,
        "model": bits(trainer.learner.model.state_dict()),
        "optimizer": bits(trainer.learner.optimizer.state_dict()["state"]),
        "defense": bits(trainer._run.state_dict()),
    }


def bits(value: Any) -> Any:
    if isinstance(value, Tensor):
        content = value.contiguous().numpy().tobytes()
        return value.dtype, value.shape, hashlib.sha256(content).hexdigest()
    if isinstance(value, dict):
        return {key: bits(item) for key, item in value.items()}
    return [bits(item) for item in value] if isinstance(value, list) else value


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Any]]:
    """The outcome of each defense's training when nothing happens to it."""
    found = {}
    for name, (defense, epochs) in DEFENSES.items():
        folder = tmp_path_factory.mktemp("uninterrupted")
        trainer = tiny_trainer(folder, defense, epochs=epochs)
        trainer.train()
        found[name] = outcome(trainer, folder)
    return found


# ------------------------------------------------------------------------ killed and resumed


@pytest.mark.parametrize("name", DEFENSES)
def test_killed_at_every_step_it_ends_the_same(
    name: str, tmp_path: Path, uninterrupted: dict[str, Any]
) -> None:
    """With a checkpoint after each step and a kill during each next one, not a bit differs."""
    defense, epochs = DEFENSES[name]
    starts = 0
    while True:
        trainer = tiny_trainer(
            tmp_path, defense, epochs=epochs, checkpoint_every_s=0, progress=kill_after(1)
        )
        starts += 1
        try:
            trainer.train()
            break
        except Killed:
            continue
    assert starts == trainer.state.total_steps  # each start kept one step, the last did the last
    assert outcome(trainer, tmp_path) == uninterrupted[name]


@pytest.mark.parametrize("name", ["clip", "safeclip", "filter", "clean-up with a reference"])
def test_killed_in_every_epoch_it_ends_the_same(
    name: str, tmp_path: Path, uninterrupted: dict[str, Any]
) -> None:
    """With checkpoints between epochs alone, a kill in the midst of each epoch changes nothing."""
    defense, epochs = DEFENSES[name]
    for epoch in range(uninterrupted[name]["state"].epoch):
        trainer = tiny_trainer(tmp_path, defense, epochs=epochs)
        kill_in_epoch(trainer, epoch)
        with pytest.raises(Killed):
            trainer.train()
        assert (trainer.state.epoch, trainer.state.step) == (epoch, 2)
    trainer = tiny_trainer(tmp_path, defense, epochs=epochs)
    trainer.train()
    assert outcome(trainer, tmp_path) == uninterrupted[name]


def test_a_training_knows_by_how_many_processes_and_on_what_it_was_done(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of one that was stopped and went on otherwise both are in the record."""
    killed = tiny_trainer(tmp_path, AugmentedClip(), checkpoint_every_s=0.0)
    kill_in_epoch(killed, 1)
    with pytest.raises(Killed):
        killed.train()
    monkeypatch.setattr("clipbench.training.resume.way_of", lambda _: "9 processes on a GPU")
    told: list[str] = []
    resumed = tiny_trainer(tmp_path, AugmentedClip(), resuming=told.append)
    resumed.train()
    assert resumed.state.ways == [way_of(Processes()), "9 processes on a GPU"]
    assert "now by 9 processes on a GPU" in told[0]


def test_a_training_knows_whether_it_went_on_by_other_code(tmp_path: Path) -> None:
    """As after an upgrade: it is the training of neither, and nothing said so."""
    way = way_of(Processes())
    for later, also in (("one", []), ("two", [way.replace(" on ", " with other code on ")])):
        folder = tmp_path / later
        begun = SharedStages(folder / "stages", "base", code="one")
        killed = tiny_trainer(folder, AugmentedClip(), checkpoint_every_s=0.0, shared=begun)
        kill_in_epoch(killed, 1)
        with pytest.raises(Killed):
            killed.train()
        told: list[str] = []
        now = SharedStages(folder / "stages", "base", code=later)
        resumed = tiny_trainer(folder, AugmentedClip(), shared=now, resuming=told.append)
        resumed.train()
        assert resumed.state.ways == [way, *also]
        assert ("digits may differ" in told[0]) == bool(also)


def test_killed_between_the_last_step_and_the_end_of_an_epoch(
    tmp_path: Path, uninterrupted: dict[str, Any]
) -> None:
    """A checkpoint after an epoch's last step, with nothing left to do, counts nothing twice."""
    defense, epochs = DEFENSES["safeclip"]
    for epoch in range(epochs):
        trainer = tiny_trainer(tmp_path, defense, epochs=epochs, checkpoint_every_s=0)

        def die(done: int, last: int = epoch + 1) -> None:
            if done == last:
                raise Killed

        trainer._keep_weights = die  # type: ignore[method-assign]
        with pytest.raises(Killed):
            trainer.train()
    trainer = tiny_trainer(tmp_path, defense, epochs=epochs)
    trainer.train()
    assert outcome(trainer, tmp_path) == uninterrupted["safeclip"]


def test_a_finished_training_is_not_trained_again(tmp_path: Path) -> None:
    """Started once more, it does no step and gives the same state."""
    tiny_trainer(tmp_path, NoDefense(), epochs=1).train()
    again = tiny_trainer(tmp_path, NoDefense(), epochs=1, progress=kill_after(0))
    assert again.train().total_steps == 3


def test_a_checkpoint_of_another_training_is_refused(tmp_path: Path) -> None:
    """A folder with the checkpoint of other settings is an error, not a start from its weights."""
    tiny_trainer(tmp_path, NoDefense(), epochs=1, fingerprint="other").train()
    with pytest.raises(BadSetting, match="other settings"):
        tiny_trainer(tmp_path, NoDefense(), epochs=1).train()


# ------------------------------------------------------------------------ the same numbers


@pytest.mark.parametrize("name", DEFENSES)
def test_workers_change_no_bit(name: str, tmp_path: Path, uninterrupted: dict[str, Any]) -> None:
    """Batches made ahead by two threads train exactly what batches made on demand do."""
    defense, epochs = DEFENSES[name]
    trainer = tiny_trainer(tmp_path, defense, epochs=epochs, workers=2)
    trainer.train()
    assert outcome(trainer, tmp_path) == uninterrupted[name]


def test_global_generators_do_not_matter(tmp_path: Path, uninterrupted: dict[str, Any]) -> None:
    """Whatever torch's and numpy's global generators hold, the training is the same."""
    trainer = tiny_trainer(tmp_path, AugmentedClip(), epochs=2)
    torch.manual_seed(987)
    np.random.seed(987)  # noqa: NPY002 - the global state is what must not matter
    trainer.train()
    assert outcome(trainer, tmp_path) == uninterrupted["clip"]


def test_one_step_is_the_textbooks(tmp_path: Path) -> None:
    """The first loss and the weights after one step are those of a plain loop on the same batch."""
    settings = {"wd": 0.2, "beta2": 0.98, "eps": 1e-6, "grad_clip_norm": 1.0}
    trainer = tiny_trainer(tmp_path, NoDefense(), epochs=1, batch_size=96, **settings)
    trainer.train()

    model: Any = tiny_model()
    images, captions = shapes(96)
    pairs = epoch_pairs(96, 96, 0, SEED)
    pixels = torch.from_numpy(images.gather(pairs)).permute(0, 3, 1, 2) / 255
    mean, std = (
        torch.tensor(part).view(1, 3, 1, 1)
        for part in (open_clip.OPENAI_DATASET_MEAN, open_clip.OPENAI_DATASET_STD)
    )
    image = model.encode_image((pixels - mean) / std, normalize=True)
    text = model.encode_text(torch.from_numpy(captions.tokens(pairs)), normalize=True)
    loss = clip_loss(image, text, model.logit_scale.exp())
    assert trainer.state.history[0].losses == pytest.approx([loss.item()], rel=1e-5)
    optimizer = torch.optim.AdamW(
        [
            {"params": [p for p in model.parameters() if p.ndim < 2], "weight_decay": 0.0},
            {"params": [p for p in model.parameters() if p.ndim >= 2], "weight_decay": 0.2},
        ],
        lr=1e-3 / 2,  # the first of two steps of warm-up
        betas=(0.9, 0.98),
        eps=1e-6,
    )
    loss.backward()
    torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    optimizer.step()
    actual, expected = trainer.learner.model.state_dict(), model.state_dict()
    for name in set(expected) - {"token_embedding.weight"}:
        torch.testing.assert_close(actual[name], expected[name], rtol=1e-3, atol=2e-5, msg=name)


# ------------------------------------------------------------------------ what is trained on


@dataclass(frozen=True)
class Halves:
    """Even pairs cross-modally, then odd pairs unimodally, then every third again."""

    def start(self, facts: TrainingFacts) -> DefenseRun:
        """Return the run."""
        return HalvesRun(facts)


class HalvesRun:
    """Says which pairs by their numbers; the engine's masks are by place in the epoch."""

    def __init__(self, facts: TrainingFacts) -> None:
        self._facts = facts

    def phases(self, epoch: int, pairs: EpochPairs) -> Iterable[Phase]:
        facts = self._facts
        expected = epoch_pairs(facts.num_pairs, facts.pairs_per_epoch, epoch, SEED)
        np.testing.assert_array_equal(pairs.numbers, expected)
        numbers = torch.from_numpy(pairs.numbers)

        def loss(features: Features) -> Tensor:
            return clip_loss(features.image[0], features.text[0], features.logit_scale)

        yield Phase("even", loss, keep=numbers % 2 == 0)
        yield Phase("odd", loss, keep=numbers % 2 == 1, cross_modal=False)
        yield Phase("third", loss, keep=numbers % 3 == 0)
        yield Phase("nobody", loss, keep=numbers < 0)

    def state_dict(self) -> dict[str, Any]:
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        assert state == {}


def test_exposures_count_cross_modal_phases_alone(tmp_path: Path) -> None:
    """After 3 epochs of half the set each pair's count is what its number and the order say."""
    trainer = tiny_trainer(tmp_path, Halves(), epochs=3, pairs_per_epoch=48)
    with pytest.warns(UserWarning, match="phase 'nobody' of epoch 1 keeps 0 of 48 pairs"):
        state = trainer.train()
    expected = np.zeros(96, np.int64)
    for epoch in range(3):
        for number in epoch_pairs(96, 48, epoch, SEED):
            expected[number] += int(number % 2 == 0) + int(number % 3 == 0)
    assert trainer.exposures.tolist() == expected.tolist()
    sizes = [entry.pairs for entry in state.history]
    assert [entry.phase for entry in state.history] == ["even", "odd", "third", "nobody"] * 3
    assert state.samples_seen == sum(sizes)
    assert [entry.cross_modal for entry in state.history[:4]] == [True, False, True, True]
    assert state.history[3].loss is None
    assert sizes[3] == 0


def test_undefended_training_exposes_every_pair_once_an_epoch(tmp_path: Path) -> None:
    """Without a mask each pair reaches the loss once an epoch, 33 to a batch or 10."""
    for size in (33, 10):
        folder = tmp_path / str(size)
        trainer = tiny_trainer(folder, NoDefense(), count=67, batch_size=size)
        state = trainer.train()
        assert trainer.exposures.tolist() == [2] * 67
        assert state.samples_seen == 2 * 67
        assert state.total_steps == 2 * -(-67 // size)


def test_safeclips_exposures_are_those_of_its_traces(tmp_path: Path) -> None:
    """A pair's count is the warm-up epoch and its epochs in the safe set, as the trace has them."""
    trainer = tiny_trainer(tmp_path, SAFECLIP, epochs=5)
    trainer.train()
    expected = np.zeros(96, np.int64)
    sizes = []
    for file in sorted((tmp_path / "trace").glob("*.npz")):
        trace = read_trace(file)
        expected[trace.pairs[trace.cross_modal]] += 1
        sizes.append(int(trace.cross_modal.sum()))
        assert len(trace.scores) == (96 if len(sizes) > 2 else 0)
    assert sizes == [0, 96, 48, 57, 67]
    assert trainer.exposures.tolist() == expected.tolist()


def test_a_lone_pair_is_no_batch(tmp_path: Path) -> None:
    """A phase of a single pair has no contrast: it is skipped and not counted as exposed."""

    def loss(features: Features) -> Tensor:
        raise AssertionError(features)

    keep = torch.zeros(8, dtype=torch.bool)
    keep[3] = True

    @dataclass(frozen=True)
    class One:
        def start(self, facts: TrainingFacts) -> DefenseRun:  # noqa: ARG002
            return StatelessRun(Phase("one", loss, keep=keep))

    trainer = tiny_trainer(tmp_path, One(), count=8, epochs=1)
    with (
        pytest.warns(UserWarning, match="phase 'one' of epoch 1 keeps 1 of 8 pairs"),
        pytest.raises(BrokenContract, match="there is no optimizer step"),
    ):
        trainer.train()
    assert trainer.state.samples_seen == 0
    assert trainer.exposures.sum() == 0


def test_views_are_as_the_phase_says(tmp_path: Path) -> None:
    """A phase gets as many views as it asks for, as unit vectors; they differ if augmented."""
    seen: list[tuple[Any, ...]] = []

    def loss(features: Features) -> Tensor:
        norms = torch.cat([features.image.norm(dim=2), features.text.norm(dim=2)])
        torch.testing.assert_close(norms, torch.ones_like(norms))
        changes = [float((part[0] - part[-1]).detach().abs().max()) for part in features[:2]]
        seen.append((features.image.shape, features.text.shape, changes))
        return clip_loss(features.image[0], features.text[-1], features.logit_scale)

    @dataclass(frozen=True)
    class Views:
        def start(self, facts: TrainingFacts) -> DefenseRun:
            assert (facts.num_pairs, facts.pairs_per_epoch, facts.epochs) == (32, 32, 1)
            assert (facts.batch_size, facts.feature_size) == (32, 16)
            assert facts.seed == derive_seed(SEED, "defense") != SEED
            return StatelessRun(
                Phase("three", loss, views=3, detached_views=2),
                Phase("plain", loss, views=2, augment=False),
            )

    tiny_trainer(tmp_path, Views(), count=32, epochs=1).train()
    (three, text, (image_change, text_change)), (two, _, same) = seen
    assert three == text == (3, 32, 16)
    assert two == (2, 32, 16)
    assert image_change > 0.01
    assert text_change > 0.01
    assert same == pytest.approx([0, 0], abs=1e-6)


# ------------------------------------------------------------------------ the learning rate


def rates(folder: Path, defense: Defense, **settings: Any) -> list[tuple[str, float]]:
    """The phase and the learning rate of each step."""
    found = []

    def progress(*_: Any) -> None:
        lr = trainer.learner.optimizer.param_groups[0]["lr"]
        found.append((trainer.state.history[-1].phase, lr))

    trainer = tiny_trainer(folder, defense, progress=progress, **settings)
    trainer.train()
    return found


def test_the_rate_of_one_phase_warms_up_to_its_peak_and_falls_to_zero(tmp_path: Path) -> None:
    """Four of nine steps rise to the rate that was asked for, five fall from there."""
    found = [lr for _, lr in rates(tmp_path, NoDefense(), epochs=3, lr=0.01, warmup=4)]
    fall = [0.01 * (1 + math.cos(math.pi * step / 5)) / 2 for step in range(5)]
    assert found == pytest.approx([0.0025, 0.005, 0.0075, 0.01, *fall])


def test_every_stage_reaches_its_own_peak(tmp_path: Path) -> None:
    """After pre-training of 9 steps, 3 epochs on 40 trusted pairs in batches of 16: 9 steps."""
    defense = FineTune(
        trusted_size=40,
        clean_up_epochs=3,
        clean_up_lr_scale=0.1,
        clean_up_warmup=2,
        clean_up_batch_size=16,
        clean_up_wd=None,
    )
    found = [lr for _, lr in rates(tmp_path, defense, epochs=3, lr=0.01, warmup=4)]
    assert len(found) == 18
    assert [max(found[:9]), max(found[9:])] == pytest.approx([0.01, 0.001])
    assert found[9:12] == pytest.approx([0.0005, 0.001, 0.001])


def test_phases_that_leave_pairs_out_share_one_warmup(tmp_path: Path) -> None:
    """After half of the pairs are gone a step is a larger share, and the rate jumps nowhere."""
    defense = RandomRemoval(drop=0.5)
    found = [lr for _, lr in rates(tmp_path, defense, epochs=4, lr=0.01, warmup=6)]
    assert max(found) == pytest.approx(0.01)
    assert max(abs(b - a) for a, b in zip(found, found[1:], strict=False)) < 0.006
    assert found[-1] < 0.002


def test_the_rate_that_published_rows_had_stays_below_its_peak(tmp_path: Path) -> None:
    """`lr_schedule=cosine`: the cosine at a step's share of the training, times the warm-up."""
    schedule: Any = {"lr": 0.01, "warmup": 4, "lr_schedule": "cosine"}
    found = [lr for _, lr in rates(tmp_path, NoDefense(), epochs=3, **schedule)]
    expected = [
        0.01 * min(1, (step + 1) / 4) * (1 + math.cos(math.pi * step / 9)) / 2 for step in range(9)
    ]
    assert found == pytest.approx(expected)


def test_the_rate_of_safeclip_falls_to_zero(tmp_path: Path) -> None:
    """Its own share removed, the rate falls across all phases and ends next to zero."""
    lr, share = 0.01, SAFECLIP.cross_modal_lr_scale
    found = rates(tmp_path, SAFECLIP, epochs=8, lr=lr, warmup=0, count=128)
    plain = [rate / (share if phase == "cross-modal warm-up" else 1) for phase, rate in found]
    assert all(later < earlier for earlier, later in zip(plain, plain[1:], strict=False))
    assert plain[0] == lr
    assert plain[-1] < 0.01 * lr
    assert found[4] == ("cross-modal warm-up", pytest.approx(share * plain[4]))


def test_the_official_rate_does_not_end_at_zero(tmp_path: Path) -> None:
    """`lr_schedule=official` counts steps as the authors' code does, and ends where that ends."""
    official = SafeCLIP(
        unimodal_epochs=1, cross_modal_epochs=1, first_ratio=0.5, lr_schedule="official"
    )
    found = rates(tmp_path, official, epochs=6, lr=0.01, warmup=10_000)
    assert found[-1][1] > found[0][1]
    # The cross-modal warm-up is at a constant rate.
    warm = [rate for phase, rate in found if phase == "cross-modal warm-up"]
    assert warm == [0.01 * 0.01] * 3


def test_a_constant_schedule_stays_after_its_warmup(tmp_path: Path) -> None:
    """`lr_schedule=constant` rises for the warm-up and never falls."""
    found = [
        lr
        for _, lr in rates(
            tmp_path, NoDefense(), epochs=2, lr=0.01, warmup=3, lr_schedule="constant"
        )
    ]
    assert found == pytest.approx([0.01 / 3, 0.02 / 3, 0.01, 0.01, 0.01, 0.01])


# ------------------------------------------------------------------------ small parts


def test_progress_is_told_in_pairs(tmp_path: Path) -> None:
    """The total is epochs times pairs, and what is done grows up to it."""
    told: list[tuple[int, int]] = []

    def progress(what: str, done: int, total: int) -> None:
        assert what == "training (pairs)"
        told.append((done, total))

    tiny_trainer(tmp_path, SAFECLIP, epochs=3, progress=progress).train()
    assert {total for _, total in told} == {3 * 96}
    assert [done for done, _ in told] == sorted(done for done, _ in told)
    assert 2 * 96 < told[-1][0] <= 3 * 96


def test_weights_are_kept_by_epoch_when_asked(tmp_path: Path) -> None:
    """`save_frequency` 2 keeps every second epoch's, with the whole token table."""
    tiny_trainer(tmp_path, NoDefense(), epochs=5, save_frequency=2, count=32).train()
    files = sorted((tmp_path / "epochs").iterdir())
    assert [file.name for file in files] == ["0002.pt", "0004.pt"]
    state = torch.load(files[0], weights_only=True)["model"]
    tiny_model().load_state_dict(state)
    assert state["token_embedding.weight"].shape == (49408, 16)


def test_kept_is_a_mask_over_the_epoch() -> None:
    """A phase without a mask trains on every pair of the epoch, else on those it keeps."""
    indices = np.array([5, 3, 9])
    keep = torch.tensor([True, False, True])
    assert kept(indices, Phase("all", lambda f: f.logit_scale)).tolist() == [5, 3, 9]
    assert kept(indices, Phase("some", lambda f: f.logit_scale, keep=keep)).tolist() == [5, 9]


def test_batches_of_a_phase_are_all_of_it(tmp_path: Path) -> None:
    """Every pair of a phase is in exactly one of its batches, in the epoch's order."""
    requests: list[Any] = []
    trainer = tiny_trainer(tmp_path, SAFECLIP, epochs=3, processes=Processes())
    make = trainer._pairs.make

    def noting(request: Any) -> Any:
        requests.append(request)
        return make(request)

    trainer._pairs.make = noting  # type: ignore[method-assign]
    trainer.train()
    safe = [request.pairs for request in requests if request.scope[:2] == (2, 1)]
    risky = [request.pairs for request in requests if request.scope[:2] == (2, 0)]
    epoch = epoch_pairs(96, 96, 2, SEED)
    assert sorted(np.concatenate([*safe, *risky]).tolist()) == list(range(96))
    for parts in (safe, risky):
        together = np.concatenate(parts)
        assert together.tolist() == [pair for pair in epoch if pair in together]
        assert [len(part) for part in parts] == [len(part) for part in batches(together, 32)]


# ------------------------------------------------------------------------ stages


def test_each_stage_has_a_schedule_of_its_own(tmp_path: Path) -> None:
    """Two stages of 3 steps: each warms up and falls along its own cosine, the second scaled."""
    defense = FineTune(
        trusted_size=96,
        clean_up_epochs=1,
        clean_up_lr_scale=0.5,
        clean_up_warmup=2,
        clean_up_batch_size=None,
    )
    found = [rate for _, rate in rates(tmp_path, defense, epochs=1)]
    assert len(found) == 6
    assert found[:3] == [rate for _, rate in rates(tmp_path / "alone", NoDefense(), epochs=1)]
    assert found[3:] == pytest.approx([rate / 2 for rate in found[:3]])


@pytest.mark.parametrize("first", [True, False], ids=["first", "second"])
def test_a_stage_may_have_its_own_batches_and_weight_decay(first: bool, tmp_path: Path) -> None:
    """Steps are of its batches; its optimizer decays by its own, on the same weights."""
    own = Stage(1, batch_size=24, wd=0.7)
    stages = (own, Stage(1)) if first else (Stage(1), own)
    decays = []

    @dataclass(frozen=True)
    class Staged:
        def start(self, facts: TrainingFacts) -> DefenseRun:  # noqa: ARG002
            return StagedRun()

    class StagedRun(StatelessRun):
        def __init__(self) -> None:
            super().__init__(Phase("clip", lambda f: clip_loss(f.image[0], f.text[0], 10.0)))
            self.stages = stages

    def progress(*_: Any) -> None:
        groups = trainer.learner.optimizer.param_groups
        decays.append([group["weight_decay"] for group in groups])

    settings = {"epochs": 2, "batch_size": 48, "wd": 0.2}
    trainer = tiny_trainer(tmp_path, Staged(), progress=progress, **settings)
    state = trainer.train()
    assert state.total_steps == 4 + 2
    told = [[0.7, 0.0]] * 4, [[0.2, 0.0]] * 2
    expected = [*told[0], *told[1]] if first else [*told[1], *told[0]]
    assert [decay for decay in decays if decay] == expected


def test_a_fresh_stage_is_a_training_from_the_start(tmp_path: Path) -> None:
    """Weights and optimizer of the first stage are forgotten: only what it says of pairs is kept.

    The same phases on the same epochs' pairs, without the stage before, give the same weights.
    """
    trainer = tiny_trainer(tmp_path, DAO(scoring_epochs=2, k=4, block=32), epochs=1)
    trainer.train()
    keep = trainer._run.state_dict()["keep"]
    assert int((~keep).sum()) == round(0.1 * 96)

    @dataclass(frozen=True)
    class Waiting:
        """Trains on nothing for two epochs, then on the kept pairs."""

        def start(self, facts: TrainingFacts) -> DefenseRun:
            return WaitingRun(facts, keep)

    alone = tiny_trainer(tmp_path / "alone", Waiting(), epochs=1)
    with pytest.warns(UserWarning, match="phase 'kept' of epoch 1 keeps 0 of 96 pairs"):
        alone.train()
    assert bits(alone.learner.model.state_dict()) == bits(trainer.learner.model.state_dict())


class WaitingRun(StatelessRun):
    def __init__(self, facts: TrainingFacts, keep: Tensor) -> None:
        super().__init__()
        self._nothing = torch.zeros(facts.pairs_per_epoch, dtype=torch.bool)
        self._keep = keep

    @property
    def stages(self) -> tuple[Stage, ...]:
        return Stage(2), Stage(1)

    def phases(self, epoch: int, pairs: EpochPairs) -> Iterable[Phase]:
        def loss(features: Features) -> Tensor:
            return clip_loss(features.image[0], features.text[0], features.logit_scale)

        keep = self._nothing if epoch < 2 else self._keep[torch.from_numpy(pairs.numbers)]
        return [Phase("kept", loss, keep=keep)]


def test_trusted_pairs_are_no_exposures_and_leave_no_trace_of_pairs(tmp_path: Path) -> None:
    """Only pairs of the set count as exposed; epochs on trusted pairs trace no pair of the set."""
    defense = FineTune(trusted_size=40, clean_up_epochs=2)
    trainer = tiny_trainer(tmp_path, defense, epochs=1)
    state = trainer.train()
    assert trainer.exposures.tolist() == [1] * 96
    assert state.epoch == 3
    assert state.samples_seen == 96 + 2 * 40
    assert [entry.trusted for entry in state.history] == [False, True, True]
    assert [entry.pairs for entry in state.history] == [96, 40, 40]
    for epoch, pairs in enumerate([96, 0, 0]):
        assert len(read_trace(tmp_path / "trace" / f"{epoch:04d}.npz").pairs) == pairs


def test_a_filter_is_traced_with_its_scores_and_keeps_the_same_pairs_all_along(
    tmp_path: Path,
) -> None:
    """Scores of the epoch's pairs lie with them; pairs dropped have the lowest and stay dropped."""
    trainer = tiny_trainer(tmp_path, DAO(scoring_epochs=1, k=4, block=32), epochs=2)
    trainer.train()
    dropped = []
    for epoch in (1, 2):
        trace = read_trace(tmp_path / "trace" / f"{epoch:04d}.npz")
        kept_here = trace.cross_modal
        dropped.append(set(trace.pairs[~kept_here].tolist()))
        if epoch == 1:
            assert trace.scores[~kept_here].max() <= trace.scores[kept_here].min()
        else:
            assert len(trace.scores) == 0
    assert dropped[0] == dropped[1]
    assert len(dropped[0]) == 10


def test_random_removal_drops_its_share_and_trains_once(tmp_path: Path) -> None:
    """A quarter of the pairs is never met, whatever the epoch; there is one stage."""
    trainer = tiny_trainer(tmp_path, RandomRemoval(drop=0.25), epochs=3)
    trainer.train()
    assert sorted(set(trainer.exposures.tolist())) == [0, 3]
    assert int((trainer.exposures == 0).sum()) == 24


def test_a_stage_on_trusted_pairs_needs_some(tmp_path: Path) -> None:
    """Without trusted pairs the training is refused before it starts; so is an empty stage."""

    @dataclass(frozen=True)
    class Staged:
        stage: Stage

        def start(self, facts: TrainingFacts) -> DefenseRun:  # noqa: ARG002
            return StagedRun(self.stage)

    class StagedRun(StatelessRun):
        def __init__(self, stage: Stage) -> None:
            super().__init__(Phase("all", lambda features: features.image.sum()))
            self.stages = (stage,)

    for stage, message in (
        (Stage(1, trusted=True), "there are none"),
        (Stage(0), "at least 1 epoch"),
        (Stage(1, lr_scale=0.0), "positive lr_scale"),
    ):
        with pytest.raises(BadSetting, match=message):
            tiny_trainer(tmp_path, Staged(stage))


def test_the_reference_is_the_model_as_the_stage_found_it(tmp_path: Path) -> None:
    """In the first step of the clean-up features equal their reference; later they have moved."""
    distances: list[float] = []

    @dataclass(frozen=True)
    class Watching(PAR):
        def clean_up_loss(self, features: Features) -> Tensor:
            assert features.reference is not None
            moved = features.text.detach() - features.reference.text
            distances.append(float(moved.abs().max()))
            assert not features.reference.image.requires_grad
            return super().clean_up_loss(features)

    defense = Watching(
        trusted_size=64, clean_up_epochs=2, clean_up_lr_scale=1.0, clean_up_batch_size=None
    )
    tiny_trainer(tmp_path, defense, epochs=1).train()
    assert len(distances) == 4
    assert distances[0] < 1e-5
    assert distances[-1] > 1e-3


# --------------------------------------------------------------------------- stages that are short


@pytest.mark.parametrize(
    ("defense", "peak"),
    [
        (FineTune(trusted_size=96, clean_up_epochs=40, clean_up_batch_size=None), 0.02),
        (ClipScore(trusted_size=96, scoring_epochs=40), 1.0),
    ],
    ids=["clean-up", "scoring model"],
)
def test_a_stage_on_trusted_pairs_reaches_its_rate(
    defense: Defense, peak: float, tmp_path: Path
) -> None:
    """Pre-training on real data warms up for 10,000 steps; these stages have 120."""
    found = []

    def progress(*_: Any) -> None:
        if trainer.state.history[-1].trusted:
            found.append(trainer.learner.optimizer.param_groups[0]["lr"])

    trainer = tiny_trainer(tmp_path, defense, progress=progress, epochs=1, lr=0.01, warmup=10_000)
    trainer.train()
    assert 0.5 * 0.01 * peak < max(found) <= 0.01 * peak


def test_a_model_that_begins_anew_begins_with_a_whole_pass(tmp_path: Path) -> None:
    """Where epochs are thirds of a pass, what is kept is seen once in three, and not by chance."""
    filtering = DAO(scoring_epochs=2, k=4, block=32, drop=0.1)
    trainer = tiny_trainer(tmp_path, filtering, count=96, epochs=3, pairs_per_epoch=32)
    trainer.train()
    scoring = np.zeros(96, np.int64)
    for epoch in range(2):
        np.add.at(scoring, epoch_pairs(96, 32, epoch, SEED), 1)
    retraining = trainer.exposures - scoring
    assert sorted(np.unique(retraining).tolist()) == [0, 1]
    assert retraining.sum() == 96 - 10


# --------------------------------------------------------------------------- chance in a model


def dropping_model(seed: int = 0) -> torch.nn.Module:
    """A transformer that sees half of the patches of each image."""
    torch.manual_seed(seed)
    vision = {"image_size": 32, "layers": 1, "width": 16, "head_width": 8, "patch_size": 8}
    text = {"context_length": 24, "vocab_size": 49408, "width": 16, "heads": 2, "layers": 1}
    model: torch.nn.Module = open_clip.CLIP(
        16, {**vision, "patch_dropout": 0.5}, text, output_dict=True
    )
    return model


def test_what_a_model_drops_is_the_seeds_doing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Killed and taken up after others drew random numbers, it ends with the same bits."""
    monkeypatch.setattr("tiny_training.tiny_model", dropping_model)
    whole = tiny_trainer(tmp_path / "whole", AugmentedClip())
    whole.train()
    torch.rand(7)
    killed = tiny_trainer(tmp_path / "killed", AugmentedClip(), checkpoint_every_s=0.0)
    kill_in_epoch(killed, 1)
    with pytest.raises(Killed):
        killed.train()
    torch.rand(3)
    resumed = tiny_trainer(tmp_path / "killed", AugmentedClip())
    resumed.train()
    assert outcome(resumed, tmp_path / "killed") == outcome(whole, tmp_path / "whole")
