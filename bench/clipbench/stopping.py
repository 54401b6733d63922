"""Being told to stop: by Ctrl-C, by Slurm or Kubernetes (SIGTERM), by a terminal that closes.

A training ends after the step it is at and leaves a checkpoint; everything else stops at once. A
second signal stops a training at once, too.
"""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType

_NAMES = ("SIGINT", "SIGTERM", "SIGHUP")


class Stopped(KeyboardInterrupt):
    """Somebody told this program to stop.

    Args:
        number: of the signal.
        saved: what was kept of a training, for people; empty: nothing that was not there.
    """

    def __init__(self, number: int, saved: str = "") -> None:
        super().__init__(number, saved)
        self.number, self.saved = number, saved

    @property
    def exit_status(self) -> int:
        """What shells expect of a program that a signal ended."""
        return 128 + self.number


@dataclass
class _State:
    """What signals do now: whether a training is at a step, and which signal it has been told."""

    at_step: bool = False
    asked: int | None = None


_state = _State()


@contextmanager
def listening() -> Iterator[None]:
    """Turn signals that end programs into `Stopped`, while it lasts.

    Signals that this process ignores (nohup), or that somebody else listens to, are left alone; so
    are all in another thread, and where several processes train, for one that waits for others
    hears nothing and must end all the same.
    """
    several = os.environ.get("WORLD_SIZE", "1") not in ("", "1")
    if several or threading.current_thread() is not threading.main_thread():
        yield
        return
    usual = (signal.SIG_DFL, signal.default_int_handler)
    numbers = [getattr(signal, name) for name in _NAMES if hasattr(signal, name)]
    before = {n: signal.getsignal(n) for n in numbers if signal.getsignal(n) in usual}
    for number in before:
        signal.signal(number, _hear)
    try:
        yield
    finally:
        _state.at_step, _state.asked = False, None
        for number, handler in before.items():
            signal.signal(number, handler)


def _hear(number: int, _: FrameType | None) -> None:
    if not _state.at_step or _state.asked is not None:
        raise Stopped(number)
    _state.asked = number
    os.write(2, b"\nstopping after this step, with a checkpoint; once more stops at once\n")


@contextmanager
def between_steps() -> Iterator[None]:
    """Keep a signal while it lasts, for whoever looks at `asked` after each step.

    Raises:
        Stopped: one came after the last look.
    """
    _state.at_step = True
    try:
        yield
    finally:
        _state.at_step = False
    if _state.asked is not None:
        raise Stopped(_state.asked)


def asked() -> int | None:
    """Return the signal that the training was told to stop by; None: it goes on."""
    return _state.asked
