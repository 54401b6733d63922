"""The training loop: epochs of phases, as the defense says; it knows no defense by name."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt
import torch
from msgspec import structs
from torch import Tensor, nn

from clipbench.boundary import defenses
from clipbench.checkpoints.checkpoint import save_checkpoint
from clipbench.checkpoints.content import Checkpoint, FirstStage
from clipbench.checkpoints.stages import Place
from clipbench.checkpoints.trace import write_trace
from clipbench.contracts import Features, Phase, Stage, TrainingFacts
from clipbench.errors import BadSetting
from clipbench.loading.order import EpochOrder
from clipbench.loading.pairs import BatchRequest, TrainingPairs
from clipbench.parallel.bench import Bench
from clipbench.rng import derive_seed
from clipbench.system import stopping
from clipbench.training.decided import phases_of_first, state_of_first
from clipbench.training.learner import Learner
from clipbench.training.plan import EpochPlan, Method, batch_size_of, kept, parts_of
from clipbench.training.resume import Checkpoints, copied, where_it_goes_on
from clipbench.training.scoring import Scoring
from clipbench.training.seen import PassScores, SeenPairs
from clipbench.training.state import Clock, State
from clipbench.training.tally import Tally


class Trainer:
    """Trains one model on one set of pairs with one defense.

    Args:
        model: an open_clip model on its device; its token table may be compact.
        sets: the pairs, of which it is not known here what is poisoned; and, where the defense
            needs some, pairs that are known to be clean.
        method: the defense, the settings and the seed.
        checkpoints: where the training is left, and taken up; the trace goes there, too.
        bench: the processes that train, and who is told.
    """

    def __init__(
        self,
        model: nn.Module,
        sets: Sequence[TrainingPairs],
        method: Method,
        checkpoints: Checkpoints,
        bench: Bench,
    ) -> None:
        pairs, settings = sets[0], method.settings
        trusted = sets[1] if len(sets) > 1 else None
        self._pairs, self._trusted = pairs, trusted
        self._settings, self._seed = settings, method.seed
        self._checkpoints, self._folder = checkpoints, checkpoints.folder
        self._processes = bench.processes
        self._progress, self._resuming = bench.progress, bench.resuming
        self._pairs_per_epoch = settings.epoch_size(len(pairs))
        self.learner = Learner(model, pairs, settings, bench.processes)
        self._run = defenses.start(method.defense, self._facts())
        self._stages = self._run.stages(settings.epochs)
        if any(stage.trusted for stage in self._stages) and trusted is None:
            raise BadSetting("The defense has a stage on trusted pairs, but there are none.")
        if self._stages[0].wd is not None:
            self.learner.restart(wd=self._stages[0].wd)
        self._start: dict[str, Tensor] | None = None
        if any(stage.fresh for stage in self._stages[1:]):
            weights = self.learner.model.state_dict()
            self._start = {name: tensor.clone() for name, tensor in weights.items()}
        self.state = State()
        self.exposures = np.zeros(len(pairs), dtype=np.int64)
        self.set_scores: Tensor | None = None  # of all pairs, the last that were asked for
        self._passed = PassScores()
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
            warmup=self._settings.warmup,
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
        resumed = self._restore()
        clock = Clock(self.state)
        for epoch in range(self.state.epoch, self._num_epochs):
            self.state.epoch = epoch
            plan, resumed = self._plan(epoch, resumed), None
            if until_scored and self.set_scores is not None:
                break
            self._begin(plan)
            for number in range(self.state.phase, len(plan.phases)):
                self.state.phase = number
                self._train_on(plan, number, clock)
                self.state.step = 0
            self._end(plan, clock)
        if not self.state.total_steps and not until_scored:
            raise self._run.trains_nothing(self.state.epoch)
        return self.state

    def _train_on(self, plan: EpochPlan, number: int, clock: Clock) -> None:
        """Train once on the pairs of one phase, from the batch where the training stands."""
        phase, state = plan.phases[number], self.state
        parts = plan.parts(number)
        if not parts:
            self._warn_of_idle(
                phase.name,
                f"phase {phase.name!r} of epoch {state.epoch + 1} keeps"
                f" {len(plan.kept(number))} of {len(plan.indices):,} pairs",
            )
        tally = Tally(phase.name, state.history[-1].losses if state.step else ())
        if not state.step:
            state.history.append(plan.record(number, state.epoch + 1))
        requests = [self._request(phase, part, number) for part in parts]
        stream = plan.pairs.stream(requests[state.step :], self._settings.workers)
        with stopping.between_steps():
            for step, batch in enumerate(stream, start=state.step):
                rate = plan.rate(number, step, len(parts), state.stage_steps)
                where = f"epoch {state.epoch + 1}, step {step + 1}"
                self._seed_dropout(number, step)
                drawing = self._with_seed(phase, number, step)
                tally.add(self.learner.step(drawing, batch, rate, where), where)
                if phase.scores:
                    assert self.learner.similarities is not None  # the step computed them
                    self._passed.note(parts[step], self.learner.similarities, len(plan.pairs))
                state.count(step, batch.num_rows)
                clock.write(state)
                entry = state.history[-1]
                entry.lr, entry.losses, entry.seconds = rate, tally.losses, state.seconds
                self._report(plan.done(number, step, len(parts)))
                self._save_if_wanted(plan, tally, where)
        tally.look()
        clock.write(state)
        state.end_phase(tally.losses)
        if phase.cross_modal and not plan.place.stage.trusted:
            # An epoch that crosses from one pass into the next can hold a pair twice.
            np.add.at(self.exposures, np.concatenate([plan.indices[:0], *parts]), 1)

    # ------------------------------------------------------------------ an epoch

    def _plan(self, epoch: int, resumed: Checkpoint | None) -> EpochPlan:
        """Return what an epoch is; `resumed` is the checkpoint in its midst, if there is one."""
        place = Place.of(epoch, self._stages)
        pairs, size = self._set_of(place.stage), self._epoch_size(place.stage)
        first = epoch - place.epoch if place.stage.fresh else 0
        order = EpochOrder(len(pairs), size, epoch, self._seed, first)
        if self.state.phase == self.state.step == 0:
            if place.epoch:
                self._passed.turn()
            else:
                self._passed.clear()
        indices, scores = order.pairs(), None if resumed is None else resumed.scores
        scoring = Scoring(self.learner, pairs, epoch, self._folder)
        seen = SeenPairs(scoring, indices, scores, self._passed)
        before = {} if resumed is None else resumed.defense_at_epoch_start
        at_start = copied(before or self._run.state_dict())
        phases = self._phases(epoch, seen, place.stage)
        if resumed is not None and resumed.defense:  # the phases were asked for again: see `resume`
            self._run.load_state_dict(resumed.defense)
        if self._processes.is_first:
            path = self._folder / "trace" / f"{epoch:04d}.npz"
            if place.stage.trusted:  # the trace covers the set, not this stage
                write_trace(path, order._replace(pairs_per_epoch=0), (), None)
            else:
                write_trace(path, order, phases, seen.for_trace())
        self.set_scores = self.set_scores if seen.set_scores is None else seen.set_scores
        return EpochPlan(place, pairs, indices, phases, seen, at_start, self._settings, size)

    def _phases(self, epoch: int, seen: SeenPairs, stage: Stage) -> list[Phase]:
        """Return the phases of an epoch: those that the first process's defense decided on."""
        numbers, batch_size = seen.numbers, batch_size_of(stage, self._settings)

        def steps(phase: Phase) -> int:
            return len(parts_of(kept(numbers, phase), batch_size))

        with warnings.catch_warnings():
            if not self._processes.is_first:  # that one has said it
                warnings.simplefilter("ignore")
            own = self._run.phases(epoch, seen)
        phases = phases_of_first(own, self._run, steps, self._processes)
        state_of_first(self._run, self._processes)
        return phases

    def _begin(self, plan: EpochPlan) -> None:
        """Begin a stage: with another optimizer than the stage before, and what its phases need."""
        place = plan.place
        if not plan.phases:
            self._warn_of_idle("", f"epoch {self.state.epoch + 1} has no phase")
        if place.epoch or self.state.phase or self.state.step:
            return
        if place.is_new_stage:
            self.learner.restart(self._start if place.stage.fresh else None, place.stage.wd)
            self.state.stage_steps = 0
        if any(phase.reference for phase in plan.phases):
            self.learner.remember()
        else:
            self.learner.forget()

    def _end(self, plan: EpochPlan, clock: Clock) -> None:
        """End an epoch: keep what is to be kept of it, and the checkpoint."""
        state = self.state
        state.phase, state.epoch = 0, state.epoch + 1
        clock.write(state)
        self._keep_weights(state.epoch)
        if plan.place.ends_first:
            self._checkpoints.keep_stage(self._stages[0], self._done())
        self._save(self._run.state_dict())

    def _set_of(self, stage: Stage) -> TrainingPairs:
        """Return the pairs a stage trains on."""
        if stage.trusted:
            assert self._trusted is not None  # looked at in the constructor
            return self._trusted
        return self._pairs

    def _epoch_size(self, stage: Stage) -> int:
        return len(self._set_of(stage)) if stage.trusted else self._pairs_per_epoch

    @property
    def _num_epochs(self) -> int:
        return sum(stage.epochs for stage in self._stages)

    # ------------------------------------------------------------------ small parts

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

    def _with_seed(self, phase: Phase, number: int, step: int) -> Phase:
        """Return a phase whose loss, where it draws, draws the same in all processes.

        Each computes the loss of the whole batch and gives its own rows a gradient: of losses that
        drew otherwise, the sum of these would be the gradient of none.
        """
        seed = derive_seed(self._seed, "loss", self.state.epoch, number, step) % 2**63

        def loss(features: Features) -> Tensor:
            torch.manual_seed(seed)
            return phase.loss(features)

        return replace(phase, loss=loss)

    def _request(self, phase: Phase, part: npt.NDArray[np.int64], number: int) -> BatchRequest:
        rows = self._processes.rows(len(part))
        scope = (self.state.epoch, number)
        return BatchRequest(part, rows, phase.views, phase.augment, scope)

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

    def _done(self) -> FirstStage:
        """Return what has been trained."""
        return FirstStage(
            model=self.learner.model.state_dict(),
            state=self.state.to_text(),
            exposures=torch.from_numpy(self.exposures),
        )

    def _save(self, defense: dict[str, object], within: EpochPlan | None = None) -> None:
        """Write the checkpoint, which within an epoch holds what replays the epoch's start."""
        content = Checkpoint(
            **structs.asdict(self._done()),
            optimizer=self.learner.optimizer.state_dict(),
            reference=self.learner.remembered(),
            defense=defense if within else None,
            defense_at_epoch_start=within.at_start if within else defense,
            scores=within.seen.values if within else None,
            passed=self._passed.state(),
        )
        self._checkpoints.save(content)

    def _save_if_wanted(self, plan: EpochPlan, tally: Tally, where: str) -> None:
        """Write a checkpoint between two steps where one is due, and stop where that is asked.

        Raises:
            Stopped: the process was told to stop.
        """
        signal, wanted = stopping.asked(), stopping.checkpoint_wanted()
        if signal is not None or wanted or self._checkpoints.is_due():
            tally.look()
            self._save(self._run.state_dict(), plan)
        if signal is not None:
            raise stopping.Stopped(signal, f"a checkpoint was written at {where}")

    def _restore(self) -> Checkpoint | None:
        """Go on from the checkpoint, or from a first stage that another training run went through.

        Returns:
            The checkpoint, for the first epoch is replayed from it; None: there is none.
        """
        content = self._checkpoints.load()
        taken = self._checkpoints.take_stage(self._stages[0]) if content is None else content
        if taken is not None:
            self.learner.model.load_state_dict(taken.model)
            self.state = State.of_text(taken.state)
            self.exposures = taken.exposures.numpy()
        if content is None:
            self.state.seconds_shared = self.state.seconds  # they count as this training's own
        else:
            self.learner.optimizer.load_state_dict(content.optimizer)
            if content.reference is not None:
                self.learner.remember(content.reference)
            self._passed.load(content.passed, self._processes.device)
            self._run.load_state_dict(content.defense_at_epoch_start)
            way = self._checkpoints.way(self._processes)
            self._resuming(where_it_goes_on(self.state, self._num_epochs, way))
        self.state.note_way(self._checkpoints.way(self._processes), torch.get_num_threads())
        return content
