"""How a training that was stopped goes on, to the same bits as if it had not been.

A checkpoint holds all that a step depends on: weights, the optimizer's moments, where the training
stands, the defense's state, and exposures, which no later step could tell. Random numbers need not
be kept, for each is a function of seed, epoch and place.

In the middle of an epoch one thing is missing: the phases themselves, which are functions of the
defense's own and cannot be written down. So the checkpoint holds the defense's state *twice*: as it
is now, and as it was before the epoch began. To resume,

1. the defense gets the state from before the epoch, and is asked for the epoch's phases again;
2. what it asked the model meanwhile is answered from the checkpoint (``scores``): the weights that
   gave those scores are gone;
3. the defense gets its present state, and the training goes on with the next batch.

Only the first process writes and reads; what it read is handed to the others, whose folders may lie
on other machines (`clipbench.training.decided`). A first stage that defenses share (`Stage.like`)
is kept and taken up in the same way, in the cache instead of the run's folder.
"""

from __future__ import annotations

import time
import warnings
from collections.abc import Mapping
from pathlib import Path

import torch
from msgspec import UNSET, structs
from torch import Tensor

from clipbench.checkpoints.checkpoint import load_checkpoint, save_checkpoint
from clipbench.checkpoints.content import Checkpoint, FirstStage, content_as
from clipbench.checkpoints.record import device_name
from clipbench.checkpoints.stages import SharedStages
from clipbench.contracts import Stage
from clipbench.errors import CorruptData
from clipbench.parallel.group import Processes
from clipbench.system.processor import processor
from clipbench.text.words import counted, listed
from clipbench.training.decided import content_of_first
from clipbench.training.state import State

LOOK_EVERY_S = 1.0  # that several processes agree on whether a checkpoint is due
MOST_STEPS = 1_000  # until they look again


class Checkpoints:
    """The checkpoint of one training, and its first stage where others begin alike.

    Args:
        folder: of the training.
        fingerprint: identifies data, defense and settings; another training's is refused.
        every_s: seconds between two checkpoints in the middle of an epoch.
        processes: this process among all.
        shared: first stages that other training runs went through; None: nothing is shared.
    """

    def __init__(
        self,
        folder: Path,
        fingerprint: str,
        every_s: float,
        processes: Processes,
        shared: SharedStages | None = None,
    ) -> None:
        self.folder = folder
        self._path = folder / "checkpoint.pt"
        self._fingerprint = fingerprint
        self._every_s = every_s
        self._processes = processes
        self._shared = shared
        self._is_one_way = True  # to compute: of another machine, number of threads or code is none
        self._is_other_code = False  # than what the training was begun with
        self._written = self._looked = time.monotonic()
        self._look_every, self._steps_to_look = 1, 0  # steps from look to look at the clock

    def is_due(self) -> bool:
        """Whether to write a checkpoint now.

        A checkpoint of one process must be one of all, and their clocks differ: every few steps
        the first says whether one is due, and when it will say so again.
        """
        now = time.monotonic()
        due = now - self._written >= self._every_s
        if self._processes.count == 1 or self._steps_to_look:
            self._steps_to_look = max(0, self._steps_to_look - 1)
            return due and self._processes.count == 1
        a_step = max(now - self._looked, 1e-9) / max(1, self._look_every)
        wanted = min(LOOK_EVERY_S, self._every_s)
        every = min(max(1, int(wanted / a_step)), 2 * self._look_every, MOST_STEPS)
        told, self._look_every = self._processes.told([due, every])
        self._looked, self._steps_to_look = now, self._look_every - 1
        return bool(told)

    def save(self, content: Checkpoint) -> None:
        """Write the checkpoint, in the first process; the one before is replaced."""
        self._written = time.monotonic()
        self._processes.can_resume()
        if self._processes.is_first:
            computed = self._computed if self._is_one_way else ""
            content = structs.replace(content, computed=computed, code=self._code)
            save_checkpoint(
                self._path, {"fingerprint": self._fingerprint, **structs.asdict(content)}
            )

    def load(self) -> Checkpoint | None:
        """Return what the first process finds here, in all of them; None: nothing to go on from."""
        content = self._found() if self._processes.is_first else None
        content = content_of_first(content, self._path, self._fingerprint, self._processes)
        if content is None:
            return None
        self._processes.can_resume()
        found = content_as(Checkpoint, content, self._path)
        self._is_one_way = found.computed == self._computed
        self._is_other_code = bool(found.code) and found.code != self._code
        return found

    def way(self, processes: Processes) -> str:
        """Return how the training goes on from what was loaded: `way_of`, or by other code."""
        way = way_of(processes)
        return way.replace(" on ", " with other code on ", 1) if self._is_other_code else way

    @property
    def _computed(self) -> str:
        return "" if self._shared is None else self._shared.base

    @property
    def _code(self) -> str:
        return "" if self._shared is None else self._shared.code

    def _found(self) -> dict[str, object] | None:
        try:
            return load_checkpoint(self._path, self._fingerprint)
        except CorruptData:
            what = f"{self._path} is damaged or cut off, as by a power cut"
            warnings.warn(f"{what}; the training starts over", stacklevel=2)
            return None

    def keep_stage(self, first: Stage, content: FirstStage) -> None:
        """Keep the first stage, just trained, for defenses that begin alike.

        One that was stopped and went on otherwise, with more threads or after an upgrade, is none
        that anybody else would train.
        """
        may = self._is_one_way and first.like is not None and self._processes.is_first
        if self._shared is not None and may:
            self._shared.keep(first, self._path.parent, structs.asdict(content))

    def take_stage(self, first: Stage) -> FirstStage | None:
        """Return what another training kept of the same first stage; None: nothing."""
        shared = self._shared
        if shared is None or first.like is None:
            return None
        content = shared.take(first, self._path.parent) if self._processes.is_first else None
        path = shared.path(first)
        content = content_of_first(content, path, shared.key(first), self._processes)
        return None if content is None else content_as(FirstStage, content, path)


def copied(state: Mapping[str, object]) -> dict[str, object]:
    """Return a deep copy of a state of tensors, numbers, lists and dicts."""
    return {key: _copied(item) for key, item in state.items()}


def _copied(value: object) -> object:
    if isinstance(value, Tensor):
        return value.clone()
    if isinstance(value, dict):
        return copied(value)
    return [_copied(item) for item in value] if isinstance(value, list) else value


def way_of(processes: Processes) -> str:
    """Return by how many processes a training is done, and on what, as the first one sees it."""
    device = processes.device
    name = processor() if device.type == "cpu" else device_name(device)
    return f"{counted(processes.count, 'process', 'processes')} on {name}"


def where_it_goes_on(state: State, num_epochs: int, way: str) -> str:
    """Return where a training goes on, and what its numbers may owe to that.

    Args:
        state: where it stands; how it goes on has not been noted yet.
        num_epochs: of all its stages.
        way: see `way_of`.
    """
    step = f", step {state.step + 1}" if state.step else ""
    told = f"resumes at epoch {state.epoch + 1} of {num_epochs}{step}"
    if state.epoch >= num_epochs:
        told = "resumes after its last epoch"
    now = torch.get_num_threads()
    if state.threads and state.threads != [now]:
        several = listed(map(str, state.threads))
        told += f"; so far on {several} threads and now on {now}: last digits may differ"
    if state.ways is not UNSET and state.ways != [way]:
        told += (
            f"; so far by {listed(state.ways)}, now by {way}: digits may differ, and its seconds"
            " compare with no other training's"
        )
    return told
