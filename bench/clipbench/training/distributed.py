"""Several processes that train as one: the same global batch, the same losses, one result.

Every process computes the loss of the whole batch from gathered features, and only its own rows
carry gradient; gradients are then summed over processes. So the loss and its gradient are those of
one process with the same global batch, whatever the loss is.
"""

from __future__ import annotations

import atexit
import os
import socket
import sys
import threading
import time
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from functools import cache
from itertools import pairwise
from pathlib import Path

import torch
import torch.distributed as dist
from torch import Tensor, nn

from clipbench.errors import BadSetting, LostProcess
from clipbench.streams import print_text
from clipbench.visible import visible


@dataclass(frozen=True)
class Processes:
    """This process among all of the run.

    Args:
        rank: number of this process; 0 writes files.
        count: how many there are.
        device: where this process computes.
    """

    rank: int = 0
    count: int = 1
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))

    @property
    def is_first(self) -> bool:
        """Whether this process writes files and speaks to the user."""
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

    def sum_gradients(self, parameters: Sequence[nn.Parameter]) -> None:
        """Replace every gradient by its sum over all processes."""
        if self.count == 1:
            return
        gradients = [p.grad for p in parameters if p.grad is not None]
        flat = torch.cat([gradient.flatten() for gradient in gradients])
        with watched():
            dist.all_reduce(flat)
        parts = torch.split(flat, [gradient.numel() for gradient in gradients])
        for gradient, part in zip(gradients, parts, strict=True):
            gradient.copy_(part.view_as(gradient))

    def sum_of(self, values: Tensor) -> Tensor:
        """Return the sum of a CPU tensor over all processes."""
        if self.count == 1:
            return values
        total = values.to(self.device)
        with watched():
            dist.all_reduce(total)
        return total.cpu()

    def share_of_common(self, value: Tensor) -> Tensor:
        """Return `value` with its gradient divided, so that the sum over processes is right.

        For what every process computes in full, such as the logit scale.
        """
        if self.count == 1:
            return value
        return value / self.count + (value * (1 - 1 / self.count)).detach()

    def barrier(self) -> None:
        """Wait for all processes."""
        if self.count > 1:
            with watched():
                dist.barrier()


@contextmanager
def watched() -> Iterator[None]:
    """Turn the failure of a collective operation into an error that says which process is gone."""
    try:
        yield
    except RuntimeError as error:
        gone = [f"process {rank} (pid {_peers()[rank][1]})" for rank in _gone()]
        reason = f"{' and '.join(gone)} ended" if gone else str(error).splitlines()[0].rstrip(".")
        raise LostProcess(
            f"Process {dist.get_rank()} of {dist.get_world_size()} of this run cannot go on:"
            f" {reason}. Start the same command again; it resumes."
        ) from error


@cache
def _peers() -> tuple[tuple[int, int], ...]:
    """Return host (hashed) and process id of every process; the first call is a collective one."""
    own = torch.tensor([zlib.crc32(socket.gethostname().encode()), os.getpid()])
    if dist.get_backend() == "nccl":
        own = own.cuda()
    parts = [torch.empty_like(own) for _ in range(dist.get_world_size())]
    dist.all_gather(parts, own)
    return tuple((int(part[0]), int(part[1])) for part in parts)


def _gone(patience_s: float = 2.0) -> list[int]:
    """Return the processes of this host that have ended; one just failing gets some time."""
    peers = _peers()
    here = peers[dist.get_rank()][0]
    deadline = time.monotonic() + patience_s
    while True:
        gone = [rank for rank, (host, pid) in enumerate(peers) if host == here and _has_ended(pid)]
        if gone or time.monotonic() > deadline:
            return gone
        time.sleep(0.05)


def _has_ended(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    except PermissionError:
        return False
    status = Path(f"/proc/{pid}/stat")  # an ended process stays known until its parent asks
    return status.is_file() and status.read_text().rpartition(")")[2].split()[0] in "ZX"


def pick_device(name: str) -> torch.device:
    """Return the device called `name`; ``auto`` is the GPU where there is one."""
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise BadSetting(f"device must be auto, cpu, cuda or cuda:N. Got {name!r}.") from error
    if device.type == "cuda" and not torch.cuda.is_available():
        raise BadSetting("device is 'cuda' but torch sees no GPU here. Use --device cpu.")
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise BadSetting(
            f"device is {name!r} but torch sees {torch.cuda.device_count()} GPUs, numbered from 0."
        )
    if device.type not in ("cpu", "cuda"):
        raise BadSetting(f"device must be auto, cpu, cuda or cuda:N. Got {name!r}.")
    return device


def num_processes() -> int:
    """Return how many processes train together, as torchrun says.

    Raises:
        BadSetting: a part of what torchrun says is missing, as where a variable was left over.
    """
    text = os.environ.get("WORLD_SIZE", "1")
    if not text.isdigit() or int(text) < 1:
        raise BadSetting(f"WORLD_SIZE must be a number of processes. Got {text!r}; unset it.")
    missing = [name for name in ("RANK", "MASTER_ADDR", "MASTER_PORT") if name not in os.environ]
    if int(text) > 1 and missing:
        raise BadSetting(
            f"WORLD_SIZE is {text}, but {' and '.join(missing)} not set: start the processes with"
            " torchrun, or unset WORLD_SIZE to train with one."
        )
    return int(text)


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

    The group lasts until the program ends, so that one program may do several runs.
    """
    count = num_processes()
    chosen = pick_device(device)
    if count == 1:
        return Processes(device=chosen)
    if chosen.type == "cuda":
        chosen = torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0")))
        torch.cuda.set_device(chosen)
    if not dist.is_initialized():
        backend = "nccl" if chosen.type == "cuda" else "gloo"
        with _waiting(count):
            dist.init_process_group(backend, timeout=timedelta(seconds=timeout_s))
        atexit.register(dist.destroy_process_group)
        _peers()
    return Processes(int(os.environ["RANK"]), count, chosen)
