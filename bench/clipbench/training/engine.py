"""The training loop: epochs of phases, as the defense says; it knows no defense by name."""

from __future__ import annotations

import json
import time
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from clipbench.boundary import defenses
from clipbench.checkpoints.checkpoint import load_checkpoint, save_checkpoint
from clipbench.checkpoints.stages import Place, SharedStages
from clipbench.checkpoints.trace import write_trace
from clipbench.configuration.settings import TrainSettings
from clipbench.contracts import (
    Defense,
    Phase,
    Progress,
    Stage,
    TrainingFacts,
)
from clipbench.errors import BadSetting, CorruptData
from clipbench.loading.order import EpochOrder, batches
from clipbench.loading.pairs import BatchRequest, TrainingPairs
from clipbench.parallel.group import Processes
from clipbench.rng import derive_seed
from clipbench.system import stopping
from clipbench.toolkit.schedule import cosine_after_warmup, warmup_cosine
from clipbench.training.decided import content_of_first, phases_of_first, state_of_first
from clipbench.training.learner import Learner
from clipbench.training.passing import PassScores
from clipbench.training.seen import SeenPairs
from clipbench.training.state import Clock, State
from clipbench.training.tally import Tally

LOOK_EVERY_S = 1.0  # that several processes agree on whether a checkpoint is due
MOST_STEPS = 1_000  # until they look again


def no_news(text: str) -> None:
    """Tell nobody."""


class Trainer:
    """Trains one model on one set of pairs with one defense.

    Args:
        model: an open_clip model on its device; its token table may be compact.
        pairs: the pairs; what is poisoned among them is not known here.
        defense: the defense.
        settings: training settings, all resolved.
        seed: the run's seed.
        folder: where the checkpoint and the trace go.
        fingerprint: identifies data, defense and settings; guards the checkpoint.
        processes: this process among all.
        progress: told about steps.
        resuming: told where a training run goes on that was stopped.
        trusted: pairs that are known to be clean, where the defense needs some.
        shared: first stages that other training runs went through; None: nothing is shared.
    """

    def __init__(
        self,
        model: nn.Module,
        pairs: TrainingPairs,
        defense: Defense,
        settings: TrainSettings,
        *,
        seed: int,
        folder: Path,
        fingerprint: str,
        processes: Processes,
        progress: Progress,
        resuming: Callable[[str], object] = no_news,
        trusted: TrainingPairs | None = None,
        shared: SharedStages | None = None,
    ) -> None:
        self._shared = shared
        self._pairs = pairs
        self._trusted = trusted
        self._settings = settings
        self._seed = seed
        self._folder = folder
        self._fingerprint = fingerprint
        self._processes = processes
        self._progress, self._resuming = progress, resuming
        self._pairs_per_epoch = settings.epoch_size(len(pairs))
        self.learner = Learner(model, pairs, settings, processes)
        self._run = defenses.start(defense, self._facts())
        self._stages = self._run.stages(settings.epochs)
        if any(stage.trusted for stage in self._stages) and trusted is None:
            raise BadSetting("The defense has a stage on trusted pairs, but there are none.")
        if self._stages[0].wd is not None:
            self.learner.restart(wd=self._stages[0].wd)
        self._start: dict[str, Tensor] | None = None
        if any(stage.fresh for stage in self._stages[1:]):
            self._start = _copied(self.learner.model.state_dict())
        self.state = State()
        self.exposures = np.zeros(len(pairs), dtype=np.int64)
        self.set_scores: Tensor | None = None  # of all pairs, the last that were asked for
        self._passed = PassScores()
        self._checkpointed = self._looked = time.monotonic()
        self._look_every, self._steps_to_look = 1, 0  # steps from look to look at the clock
        self._idle: set[str] = set()  # phases that once kept nothing

    def _facts(self) -> TrainingFacts:
        return TrainingFacts(
            num_pairs=len(self._pairs),
            pairs_per_epoch=self._pairs_per_epoch,
            epochs=self._settings.epochs,
            batch_size=self._settings.batch_size,
            feature_size=self.learner.feature_size(),
            device=self._processes.device,
            # Not the run's seed itself: from that one the attack drew, too.
            seed=derive_seed(self._seed, "defense"),
            trusted_pairs=0 if self._trusted is None else len(self._trusted),
        )

    # ------------------------------------------------------------------ the loop

    def train(self, *, until_scored: bool = False) -> State:
        """Train to the end, from the checkpoint if there is one.

        Args:
            until_scored: stop as soon as the defense has scored the whole set, before it trains on
                what it makes of that; `set_scores` then holds the scores.

        Raises:
            BrokenContract: the defense did what it must not, such as to train on no pair at all.
        """
        resumed = self._load()
        if resumed:
            self._resuming(self._where())
        self.state.note_threads(torch.get_num_threads())
        clock = Clock(self.state)
        for epoch in range(self.state.epoch, sum(stage.epochs for stage in self._stages)):
            self.state.epoch = epoch
            place = Place.of(epoch, self._stages)
            pairs = self._set_of(place.stage)
            size = self._epoch_size(place.stage)
            first = epoch - place.epoch if place.stage.fresh else 0
            order = EpochOrder(len(pairs), size, epoch, self._seed, first)
            indices = order.pairs()
            seen = self._seen(place, epoch, indices, resumed.get("scores"))
            at_start = resumed.get("defense_at_epoch_start") or self._run.state_dict()
            at_start = _copied(at_start)
            phases = self._phases(epoch, seen, place.stage)
            if resumed.get("defense"):
                self._run.load_state_dict(resumed["defense"])
            resumed = {}
            if self._processes.is_first:
                path = self._folder / "trace" / f"{epoch:04d}.npz"
                if place.stage.trusted:  # the trace covers the set, not this stage
                    write_trace(path, order._replace(pairs_per_epoch=0), (), None)
                else:
                    write_trace(path, order, phases, seen.for_trace())
            self.set_scores = seen.values.get("set", self.set_scores)
            if until_scored and self.set_scores is not None:
                break
            if not phases:
                self._warn_of_idle("", f"epoch {epoch + 1} has no phase")
            if place.epoch == 0 and self.state.phase == self.state.step == 0:
                self._begin(place, phases)
            for number in range(self.state.phase, len(phases)):
                self.state.phase = number
                self._run_phase(phases, number, place, indices, at_start, seen, clock)
                self.state.step = 0
            self.state.phase = 0
            self.state.epoch = epoch + 1
            clock.write(self.state)
            self._keep_weights(epoch + 1)
            if place.ends_first:
                self._keep_stage()
            self._save(self._run.state_dict(), None)
        if not self.state.total_steps and not until_scored:
            raise self._run.trains_nothing(self.state.epoch)
        return self.state

    def _seen(
        self,
        place: Place,
        epoch: int,
        indices: npt.NDArray[np.int64],
        scores: dict[str, Tensor] | None,
    ) -> SeenPairs:
        """Return what the defense is told of an epoch's pairs, of which some may be known."""
        if self.state.phase == self.state.step == 0:
            if place.epoch:
                self._passed.turn()
            else:
                self._passed.clear()
        passed, folder, pairs = self._passed, self._folder, self._set_of(place.stage)
        return SeenPairs(self.learner, pairs, epoch, indices, scores, folder, passed)

    def _phases(self, epoch: int, seen: SeenPairs, stage: Stage) -> list[Phase]:
        """Return the phases of an epoch: those that the first process's defense decided on."""
        numbers = seen.numbers

        def steps(phase: Phase) -> int:
            return len(self._parts(kept(numbers, phase), stage))

        with warnings.catch_warnings():
            if not self._processes.is_first:  # that one has said it
                warnings.simplefilter("ignore")
            own = self._run.phases(epoch, seen)
        phases = phases_of_first(own, self._run, steps, self._processes)
        state_of_first(self._run, self._processes)
        return phases

    def _begin(self, place: Place, phases: Sequence[Phase]) -> None:
        """Begin a stage: with another optimizer than the stage before, and what its phases need."""
        if place.is_new_stage:
            self.learner.restart(self._start if place.stage.fresh else None, place.stage.wd)
            self.state.stage_steps = 0
        if any(phase.reference for phase in phases):
            self.learner.remember()
        else:
            self.learner.forget()

    def _set_of(self, stage: Stage) -> TrainingPairs:
        """Return the pairs a stage trains on."""
        if stage.trusted:
            assert self._trusted is not None  # looked at in the constructor
            return self._trusted
        return self._pairs

    def _epoch_size(self, stage: Stage) -> int:
        return len(self._set_of(stage)) if stage.trusted else self._pairs_per_epoch

    def _batch_size(self, stage: Stage) -> int:
        return stage.batch_size or self._settings.batch_size

    def _run_phase(
        self,
        phases: Sequence[Phase],
        number: int,
        place: Place,
        indices: npt.NDArray[np.int64],
        at_start: dict[str, Any],
        seen: SeenPairs,
        clock: Clock,
    ) -> None:
        """Train once on the pairs of one phase."""
        phase, state = phases[number], self.state
        sizes = [len(kept(indices, other)) for other in phases]
        pairs = kept(indices, phase)
        parts = self._parts(pairs, place.stage)
        if not parts:
            self._warn_of_idle(
                phase.name,
                f"phase {phase.name!r} of epoch {state.epoch + 1} keeps {len(pairs)} of"
                f" {len(indices):,} pairs",
            )
        tally = Tally(phase.name, state.history[-1]["losses"] if state.step else ())
        if not state.step:
            state.history.append(self._entry(phase, place.stage, len(pairs)))
        requests = [self._request(phase, part, number) for part in parts]
        own = self._set_of(place.stage)
        stream = own.stream(requests[state.step :], self._settings.workers)
        total = max(1, sum(sizes))
        with stopping.between_steps():
            for step, batch in enumerate(stream, start=state.step):
                before = sum(sizes[:number]) + sizes[number] * step / len(parts)
                done = before / total
                rate = self._learning_rate(phase, place, step, len(parts), done)
                where = f"epoch {state.epoch + 1}, step {step + 1}"
                self._seed_dropout(number, step)
                tally.add(self.learner.step(phase, batch, rate, where), where)
                if phase.scores:
                    assert self.learner.similarities is not None  # the step computed them
                    self._passed.note(parts[step], self.learner.similarities, len(own))
                state.step, state.total_steps = step + 1, state.total_steps + 1
                state.stage_steps += 1
                state.samples_seen += batch.num_rows
                clock.write(state)
                state.history[-1].update(lr=rate, losses=tally.losses, seconds=state.seconds)
                self._report(done)
                signal = stopping.asked()
                wanted = stopping.checkpoint_wanted()
                if signal is not None or wanted or self._checkpoint_is_due():
                    tally.look()
                    self._save(self._run.state_dict(), (at_start, seen.values))
                if signal is not None:
                    raise stopping.Stopped(signal, f"a checkpoint was written at {where}")
        self._close(tally, clock)
        if phase.cross_modal and not place.stage.trusted:
            # An epoch that crosses from one pass into the next can hold a pair twice.
            np.add.at(self.exposures, np.concatenate([indices[:0], *parts]), 1)

    # ------------------------------------------------------------------ small parts

    def _close(self, tally: Tally, clock: Clock) -> None:
        """Enter the losses of a phase that is over, and the time until they were known."""
        tally.look()
        clock.write(self.state)
        entry, losses = self.state.history[-1], tally.losses
        if losses:
            entry["seconds"] = self.state.seconds
        entry["loss"] = float(np.mean(losses)) if losses else None
        entry["losses"] = losses[:20]

    def _parts(self, pairs: npt.NDArray[np.int64], stage: Stage) -> list[npt.NDArray[np.int64]]:
        """Return the batches of a phase; a pair alone contrasts with nothing."""
        return [part for part in batches(pairs, self._batch_size(stage)) if len(part) > 1]

    def _where(self) -> str:
        """Return where a training run goes on, and what its numbers may owe to that."""
        state, before = self.state, self.state.threads
        epochs = sum(stage.epochs for stage in self._stages)
        step = f", step {state.step + 1}" if state.step else ""
        told = f"resumes at epoch {state.epoch + 1} of {epochs}{step}"
        if state.epoch >= epochs:
            told = "resumes after its last epoch"
        now = torch.get_num_threads()
        if before and before != [now]:
            several = " and ".join(map(str, before))
            told += f"; so far on {several} threads and now on {now}: last digits may differ"
        return told

    def _warn_of_idle(self, phase: str, why: str) -> None:
        """Tell a person, once a phase, that nothing is trained where something could be."""
        if self._processes.is_first and phase not in self._idle:
            self._idle.add(phase)
            warnings.warn(f"{why}: it trains nothing", stacklevel=2)

    def _seed_dropout(self, number: int, step: int) -> None:
        """Make what a model drops at random a function of seed and step alone, as views are."""
        rank = self._processes.rank
        seed = derive_seed(self._seed, "dropout", self.state.epoch, number, step, rank)
        torch.manual_seed(seed % 2**63)

    def _request(self, phase: Phase, part: npt.NDArray[np.int64], number: int) -> BatchRequest:
        rows = self._processes.rows(len(part))
        scope = (self.state.epoch, number)
        return BatchRequest(part, rows, phase.views, phase.augment, scope)

    def _learning_rate(
        self, phase: Phase, place: Place, step: int, steps: int, done: float
    ) -> float:
        """Return the learning rate of a step; `done` is the share of the epoch done before it."""
        base = self._settings.lr * place.stage.lr_scale * phase.lr_scale
        if phase.lr_factor is not None:
            return base * phase.lr_factor(step, steps)
        before, warmup = self.state.stage_steps, place.stage.warmup
        if warmup is None:
            warmup = self._settings.warmup
        if self._settings.lr_schedule == "constant":
            return base * min(1.0, (before + 1) / max(1, warmup))
        progress = (place.epoch + done) / place.stage.epochs
        if self._settings.lr_schedule == "cosine":
            return base * warmup_cosine(before, progress, warmup)
        one_step = 1 / self._whole_steps(place.stage)
        return base * cosine_after_warmup(progress, one_step, warmup * one_step)

    def _whole_steps(self, stage: Stage) -> int:
        """Return how many steps a stage has if every epoch trains once on all of its pairs."""
        return stage.epochs * -(-self._epoch_size(stage) // self._batch_size(stage))

    def _entry(self, phase: Phase, stage: Stage, num_pairs: int) -> dict[str, Any]:
        return {
            "epoch": self.state.epoch + 1,
            "phase": phase.name,
            "pairs": num_pairs,
            "cross_modal": phase.cross_modal,
            "trusted": stage.trusted,
            "losses": [],
        }

    def _report(self, done: float) -> None:
        sizes = [self._epoch_size(stage) for stage in self._stages for _ in range(stage.epochs)]
        epoch = self.state.epoch
        seen = int(sum(sizes[:epoch]) + done * sizes[epoch])
        self._progress("training (pairs)", min(sum(sizes), seen), sum(sizes))

    def _keep_weights(self, epoch: int) -> None:
        every = self._settings.save_frequency
        if every and epoch % every == 0 and self._processes.is_first:
            full = self._pairs.full_state(self.learner.model)
            state = {key: value.cpu() for key, value in full.items()}
            save_checkpoint(self._folder / "epochs" / f"{epoch:04d}.pt", {"model": state})

    # ------------------------------------------------------------------ checkpoints

    def _checkpoint_is_due(self) -> bool:
        """Whether to write a checkpoint now.

        A checkpoint of one process must be one of all, and their clocks differ: every few steps
        the first says whether one is due, and when it will say so again.
        """
        now = time.monotonic()
        due = now - self._checkpointed >= self._settings.checkpoint_every_s
        if self._processes.count == 1 or self._steps_to_look:
            self._steps_to_look = max(0, self._steps_to_look - 1)
            return due and self._processes.count == 1
        a_step = max(now - self._looked, 1e-9) / max(1, self._look_every)
        wanted = min(LOOK_EVERY_S, self._settings.checkpoint_every_s)
        every = min(max(1, int(wanted / a_step)), 2 * self._look_every, MOST_STEPS)
        told, self._look_every = self._processes.told([due, every])
        self._looked, self._steps_to_look = now, self._look_every - 1
        return bool(told)

    def _save(self, defense: dict[str, Any], midway: tuple[dict[str, Any], Any] | None) -> None:
        """Write the checkpoint; midway through an epoch with what replays the epoch's start."""
        self._checkpointed = time.monotonic()
        self._processes.can_resume()
        if not self._processes.is_first:
            return
        content = {
            "fingerprint": self._fingerprint,
            "model": self.learner.model.state_dict(),
            "optimizer": self.learner.optimizer.state_dict(),
            "state": json.dumps(vars(self.state)),
            "exposures": torch.from_numpy(self.exposures),
            "reference": self.learner.remembered(),
            "defense": defense if midway else None,
            "defense_at_epoch_start": midway[0] if midway else defense,
            "scores": midway[1] if midway else None,
            "passed": self._passed.state(),
        }
        save_checkpoint(self._folder / "checkpoint.pt", content)

    def _load(self) -> dict[str, Any]:
        """Continue from the checkpoint; return what the first epoch needs to be replayed."""
        path = self._folder / "checkpoint.pt"
        content = self._checkpoint(path) if self._processes.is_first else None
        content = content_of_first(content, path, self._fingerprint, self._processes)
        if content is None:
            self._take_stage()
            return {}
        self._processes.can_resume()
        self.learner.model.load_state_dict(content["model"])
        self.learner.optimizer.load_state_dict(content["optimizer"])
        if content["reference"] is not None:
            self.learner.remember(content["reference"])
        self.state = State(**json.loads(content["state"]))
        self.exposures = content["exposures"].numpy()
        self._passed.load(content["passed"], self._processes.device)
        self._run.load_state_dict(content["defense_at_epoch_start"])
        return content

    def _checkpoint(self, path: Path) -> dict[str, Any] | None:
        """Return the checkpoint that lies here; None: there is none that can be read."""
        try:
            return load_checkpoint(path, self._fingerprint)
        except CorruptData:
            what = f"{path} is damaged or cut off, as by a power cut"
            warnings.warn(f"{what}; the training starts over", stacklevel=2)
            return None

    def _keep_stage(self) -> None:
        """Keep the first stage, just trained, for defenses that begin alike."""
        first = self._stages[0]
        if self._shared is None or first.like is None or not self._processes.is_first:
            return
        content = {
            "model": self.learner.model.state_dict(),
            "state": json.dumps(vars(self.state)),
            "exposures": torch.from_numpy(self.exposures),
        }
        self._shared.keep(first, self._folder, content)

    def _take_stage(self) -> None:
        """Begin after the first stage where another training run went through the same.

        Its seconds count as this training's own.
        """
        first, shared = self._stages[0], self._shared
        if shared is None or first.like is None:
            return
        content = shared.take(first, self._folder) if self._processes.is_first else None
        path, key = shared.path(first), shared.key(first)
        content = content_of_first(content, path, key, self._processes)
        if content is not None:
            self.learner.model.load_state_dict(content["model"])
            self.state = State(**json.loads(content["state"]))
            self.state.seconds_shared = self.state.seconds
            self.exposures = content["exposures"].numpy()


def kept(indices: npt.NDArray[np.int64], phase: Phase) -> npt.NDArray[np.int64]:
    """Return the pairs of the epoch that a phase trains on."""
    return indices if phase.keep is None else indices[phase.keep.numpy()]


def _copied(value: Any) -> Any:
    """Return a deep copy of a state of tensors, numbers, lists and dicts."""
    if isinstance(value, Tensor):
        return value.clone()
    if isinstance(value, dict):
        return {key: _copied(item) for key, item in value.items()}
    return [_copied(item) for item in value] if isinstance(value, list) else value
