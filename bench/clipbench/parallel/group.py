"""Several processes that train as one: the same global batch, the same losses, one result.

Every process computes the loss of the whole batch from gathered features, and only its own rows
carry gradient; gradients are then summed over processes. So the loss and its gradient are those of
one process with the same global batch, whatever the loss is.
"""

from __future__ import annotations

import atexit
import json
import os
import sys
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import timedelta
from itertools import pairwise
from typing import TypeVar

import torch
import torch.distributed as dist
from torch import Tensor
from torch.distributed.distributed_c10d import PrefixStore, Store
from torch.distributed.rendezvous import rendezvous

from clipbench.errors import LostProcess
from clipbench.parallel.devices import num_processes, pick_device
from clipbench.parallel.line import Line, connect
from clipbench.system.streams import print_text
from clipbench.text.visible import visible

Result = TypeVar("Result")
Value = TypeVar("Value")  # what JSON can hold


@dataclass(frozen=True)
class Processes:
    """This process among all of the run.

    Args:
        rank: number of this process; 0 writes files.
        count: how many there are.
        device: where this process computes.
        line: to the first process; None: this one is alone.
        makes: whether it makes what its cache lacks, for those that share it.
    """

    rank: int = 0
    count: int = 1
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))
    line: Line | None = field(default=None, compare=False)
    makes: bool = True

    @property
    def is_first(self) -> bool:
        """Whether this process writes files and prints."""
        return self.rank == 0

    def rows(self, num_rows: int) -> slice:
        """Return this process's rows of a global batch; shares differ by at most one row."""
        return slice(num_rows * self.rank // self.count, num_rows * (self.rank + 1) // self.count)

    def gather(self, own: Tensor, num_rows: int) -> Tensor:
        """Return the rows of all processes in global order; only the own rows carry gradient.

        Args:
            own: ``(V, B_own, ...)``, this process's rows of the global batch.
            num_rows: B, rows of the global batch.

        Returns:
            ``(V, B, ...)``.
        """
        if self.count == 1:
            return own
        bounds = [num_rows * rank // self.count for rank in range(self.count + 1)]
        sizes = [stop - start for start, stop in pairwise(bounds)]
        padded = own.detach().new_zeros((own.shape[0], max(sizes), *own.shape[2:]))
        padded[:, : own.shape[1]] = own.detach()
        parts = [torch.empty_like(padded) for _ in range(self.count)]
        with watched():
            dist.all_gather(parts, padded)
        rows = [part[:, :size] for part, size in zip(parts, sizes, strict=True)]
        rows[self.rank] = own
        return torch.cat(rows, dim=1)

    def sum_of(self, values: Tensor) -> Tensor:
        """Return the sum of a CPU tensor over all processes."""
        if self.count == 1:
            return values
        total = values.to(self.device)
        with watched():
            dist.all_reduce(total)
        return total.cpu()

    def spread(self, tensors: Iterable[Tensor]) -> None:
        """Give tensors on this process's device the values of the first process's, in place."""
        self.barrier()  # the others may come late, and an operation of all has a deadline
        for tensor in tensors if self.count > 1 else ():
            values = tensor.detach().contiguous()
            with watched():
                dist.broadcast(values, 0)
            tensor.detach().copy_(values)

    def share_of_common(self, value: Tensor) -> Tensor:
        """Return `value` with its gradient divided, so that the sum over processes is right.

        For what every process computes in full, such as the logit scale.
        """
        if self.count == 1:
            return value
        return value / self.count + (value * (1 - 1 / self.count)).detach()

    def barrier(self) -> None:
        """Wait for all processes, however long one of them takes."""
        if self.line is not None:
            self.line.barrier()

    def told(self, value: Value) -> Value:
        """Return the first process's value in all of them; what the others give is not looked at.

        Args:
            value: what JSON can hold.
        """
        if self.line is None:
            return value
        text = self.line.told(json.dumps(value).encode() if self.is_first else b"")
        found: Value = json.loads(text)
        return found

    def each(self, value: Value) -> list[Value]:
        """Return the values of all processes in all of them, by their numbers.

        Args:
            value: what JSON can hold.
        """
        if self.line is None:
            return [value]
        given = self.line.collected(json.dumps(value).encode())
        return self.told([json.loads(one) for one in given])

    def handed(self, content: bytes) -> bytes:
        """Return the first process's bytes in all of them, as `told` does."""
        return content if self.line is None else self.line.told(content)

    def any_of(self, answer: bool) -> bool:
        """Return in all processes whether one of them says yes."""
        return any(self.each(answer))

    def in_turn(self, make: Callable[[], Result]) -> Result:
        """Return what `make` returns, where it looks for what it makes before it makes it.

        One process for each cache makes; the others wait for all of these, and find it made.
        """
        if self.makes:
            made = make()
            self.barrier()
            return made
        self.barrier()
        return make()

    def sum_when_ready(self, values: Tensor) -> Tensor:
        """Return the sum over all processes, of what may take one of them much longer."""
        self.barrier()  # which has no deadline
        return self.sum_of(values)

    def part(self) -> None:
        """End the group, together with all others: what is left the first process does alone."""
        if self.line is not None and dist.is_initialized():
            self.barrier()
            dist.destroy_process_group()

    def leave(self) -> None:
        """End what this process has to do with the others; all of them call this.

        On one machine a process leaves at once. Of several, all stay until the first is ready: an
        agent of torchrun takes the others with it when it ends.
        """
        if self.line is None:
            return
        if len(self.line.nodes) > 1:
            self.barrier()
        self.line.leave()

    @contextmanager
    def training(self) -> Iterator[None]:
        """Have every step done by all processes: none outlives another while this lasts."""
        if self.line is None:
            yield
            return
        before = self.line.advice
        with self.line.bound():
            yield
        self.line.advice = before

    def can_resume(self) -> None:
        """Let messages say that the training goes on from a checkpoint: there is one."""
        if self.line is not None:
            self.line.advice = (
                "Start the same command again; the training resumes from its last checkpoint."
            )


@dataclass
class _Joined:
    """What lasts from joining to the end of the program.

    Args:
        processes: this process among those that torchrun started.
        store: that all of them see.
        groups: that there were: one for each training run.
    """

    processes: Processes
    store: Store
    groups: int = 0


_joined: _Joined | None = None


@contextmanager
def watched() -> Iterator[None]:
    """Turn the failure of a collective operation into an error that says which process is gone."""
    try:
        yield
    except RuntimeError as error:
        line = None if _joined is None else _joined.processes.line
        if line is None:
            raise
        raise line.lost(error) from error


@contextmanager
def _waiting(count: int, patience_s: float = 5.0) -> Iterator[None]:
    """Say what is waited for, if it takes long."""
    place = f"{os.environ['MASTER_ADDR']}:{os.environ['MASTER_PORT']}"
    text = f"waiting at {place} until all {count} processes are there (WORLD_SIZE)"
    timer = threading.Timer(patience_s, lambda: print_text(visible(text), sys.stderr))
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


def join_processes(device: str, timeout_s: float = 1800.0) -> Processes:
    """Join the processes that torchrun started; alone if it started none.

    They stay joined until the program ends, which may do several runs, with a group for each.

    Args:
        device: see `pick_device`.
        timeout_s: how long one waits for the others to come, and then for an operation of all. What
            one does alone has no limit.
    """
    global _joined  # noqa: PLW0603 - a program joins once
    count = num_processes()
    chosen = pick_device(device)
    if count == 1:
        return Processes(device=chosen)
    if chosen.type == "cuda":
        torch.cuda.set_device(chosen)
    if _joined is None:
        rank, timeout = int(os.environ["RANK"]), timedelta(seconds=timeout_s)
        with _waiting(count):
            store = next(rendezvous("env://", rank, count, timeout=timeout))[0]
            store.set_timeout(timeout)
            line = connect(rank, count, store, timeout_s)
        _joined = _Joined(Processes(rank, count, chosen, line, makes=rank == 0), store)
        atexit.register(_end_group)
    processes = replace(_joined.processes, device=chosen)
    if not dist.is_initialized():
        processes.barrier()  # the first may still be at work for the group before
        _joined.groups += 1
        dist.init_process_group(
            "nccl" if chosen.type == "cuda" else "gloo",
            store=PrefixStore(f"group {_joined.groups}", _joined.store),
            rank=processes.rank,
            world_size=count,
            timeout=timedelta(seconds=timeout_s),
        )
    return processes


def _end_group() -> None:
    if dist.is_initialized():
        dist.destroy_process_group()


@contextmanager
def joined(device: str) -> Iterator[Processes]:
    """Join the processes of a command for as long as it lasts; see `join_processes`.

    Where one ends with an error the others learn what it was.
    """
    processes = join_processes(device)
    try:
        yield processes
    except LostProcess:
        raise
    except BaseException as error:
        if processes.line is not None:
            processes.line.fail(" ".join(str(error).split()) or type(error).__name__)
        raise
    processes.leave()
