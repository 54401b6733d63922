"""Where a training run stands, and how long it has taken so far."""

from __future__ import annotations

import json
import time

import msgspec
import numpy as np
from msgspec import UNSET, Struct, UnsetType

from clipbench.checkpoints.record import PhaseRecord


class State(Struct):
    """Where a training run stands; all of it goes into the checkpoint."""

    epoch: int = 0
    phase: int = 0
    step: int = 0  # batches done of the current phase
    stage_steps: int = 0  # steps of the current stage
    total_steps: int = 0
    samples_seen: int = 0
    seconds: float = 0.0
    seconds_shared: float = 0.0  # of these, in a first stage that another training run went through
    cpu_seconds: float = 0.0  # of processors, all threads of this process
    history: list[PhaseRecord] = []
    threads: list[int] = []  # that it was computed with, in this order
    ways: list[str] | UnsetType = UNSET  # likewise, by how many processes on what

    def count(self, step: int, rows: int) -> None:
        """Count a step of the current phase that was done on so many pairs."""
        self.step, self.total_steps = step + 1, self.total_steps + 1
        self.stage_steps += 1
        self.samples_seen += rows

    def end_phase(self, losses: list[float]) -> None:
        """Enter the losses of a phase that is over, all of which are known now."""
        entry = self.history[-1]
        if losses:
            entry.seconds = self.seconds
        entry.loss = float(np.mean(losses)) if losses else None
        entry.losses = losses[:20]

    def note_way(self, way: str, threads: int) -> None:
        """Write down how the training goes on.

        Args:
            way: by how many processes, and on what.
            threads: of each of them.
        """
        if threads not in self.threads:
            self.threads.append(threads)
        known = [] if self.ways is UNSET else self.ways
        if way not in known:
            self.ways = [*known, way]

    def to_text(self) -> str:
        """Return the state as a checkpoint holds it."""
        return json.dumps(msgspec.to_builtins(self))  # msgspec's own JSON has no infinity

    @classmethod
    def of_text(cls, text: str) -> State:
        """Return the state that `to_text` wrote."""
        return msgspec.convert(json.loads(text), cls)


class Clock:
    """Counts the seconds of a training run on from where it stopped."""

    def __init__(self, state: State) -> None:
        self._wall = time.perf_counter() - state.seconds
        self._cpu = time.process_time() - state.cpu_seconds

    def write(self, state: State) -> None:
        """Write down the seconds until now."""
        state.seconds = time.perf_counter() - self._wall
        state.cpu_seconds = time.process_time() - self._cpu
