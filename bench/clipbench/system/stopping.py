"""Being told to stop: by Ctrl-C, by Slurm or Kubernetes, by a terminal that closes.

A training run ends after the step it is at and leaves a checkpoint; everything else stops at once.
A second signal stops a training run at once, too. Slurm sends SIGTERM, or what ``sbatch --signal``
names.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from types import FrameType

_ASKED = ("SIGUSR1", "SIGUSR2")  # which nothing sends unless a person, or a cluster, says so
_NAMES = ("SIGINT", "SIGTERM", "SIGHUP", *_ASKED)


class Stopped(KeyboardInterrupt):
    """Somebody told this program to stop.

    Args:
        number: of the signal.
        saved: what was kept of a training run, for people; empty: nothing that was not there.
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
    """What signals do now.

    Args:
        at_step: whether a training run is at a step.
        asked: the signal that told it to stop; None: none did.
        wanted: whether a checkpoint is wanted, and no stop.
    """

    at_step: bool = False
    asked: int | None = None
    wanted: bool = False


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
    hook = sys.unraisablehook

    def unraisable(found: sys.UnraisableHookArgs) -> None:
        if not isinstance(found.exc_value, Stopped):
            hook(found)
            return
        # Raised in a destructor, which nothing leaves: the signal comes again.
        again = (os.getpid(), found.exc_value.number)
        threading.Timer(0.01, os.kill, again).start()

    sys.unraisablehook = unraisable
    try:
        yield
    finally:
        sys.unraisablehook = hook
        _restore(before)


@contextmanager
def handing_on() -> Iterator[None]:
    """Stop a training run, with a checkpoint, by signals that somebody else listens to, too.

    For jobs of submitit, which on SIGUSR2 queues the job again and ends this process wherever that
    is: its handler is called, but when the checkpoint is there. SIGTERM it passes over, for the
    cluster may yet say what it wants: of that a checkpoint is written, and the training goes on.
    """
    numbers = [getattr(signal, name) for name in ("SIGTERM", *_ASKED) if hasattr(signal, name)]
    before = {n: signal.getsignal(n) for n in numbers if callable(signal.getsignal(n))}
    for number in before:
        signal.signal(number, _want if number == signal.SIGTERM else _hear)
    try:
        yield
    except Stopped as stop:
        _restore(before)
        handler = before.get(signal.Signals(stop.number))
        if callable(handler):
            handler(stop.number, None)
        raise
    finally:
        _restore(before)


_Handler = Callable[[int, FrameType | None], object] | int | None  # as `signal.getsignal` has it


def _restore(handlers: Mapping[signal.Signals, _Handler]) -> None:
    _state.at_step, _state.asked, _state.wanted = False, None, False
    for number, handler in handlers.items():
        signal.signal(number, handler)


def _want(number: int, _: FrameType | None) -> None:
    if _state.at_step:
        _state.wanted = True
        name = signal.Signals(number).name.encode()
        os.write(2, b"\n" + name + b": a checkpoint is written after this step\n")


def _hear(number: int, _: FrameType | None) -> None:
    if not _state.at_step or _state.asked is not None:
        raise Stopped(number)
    _state.asked = number
    with suppress(OSError):  # nobody may be there to read it: the terminal has closed
        os.write(2, b"\nstopping after this step, with a checkpoint; once more stops at once\n")


@contextmanager
def unheard() -> Iterator[None]:
    """Start processes meanwhile that hear no terminal: whoever started them ends them.

    A terminal sends its signals to all, and one that is still importing would show where.
    """
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, signal.SIGHUP})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def end_with_parent(end: Callable[[], object]) -> None:
    """Call `end`, in a thread, when the process that started this one is gone, however it went."""
    parent = multiprocessing.parent_process()
    assert parent is not None

    def watch() -> None:
        parent.join()
        end()

    threading.Thread(target=watch, daemon=True).start()


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


def checkpoint_wanted() -> bool:
    """Tell, once, whether somebody wants a checkpoint now of a training run that goes on."""
    wanted, _state.wanted = _state.wanted, False
    return wanted
