"""Every error clipbench raises on purpose.

    ClipbenchError                     the work failed: exit status 1
    ├── BadInput                       the command or its input was wrong: exit status 2
    │   ├── UnknownName                a plugin, model or parameter that does not exist
    │   ├── BadSetting                 a value out of range, a combination without meaning
    │   ├── MissingData                a folder, shard or file that is not there
    │   ├── CorruptData                a shard, checkpoint, ledger or result that cannot be trusted
    │   │   └── Torn                   one that is empty or breaks off
    │   ├── ChangedData                a file that is not what it was when it was first read
    │   └── Unsigned                   a delivery that nobody who may has signed
    ├── PluginFault                    a plugin raised an error of its own
    │   └── BrokenContract             a plugin returned, or changed, what it must not
    ├── FailedChecks                   a plugin fails the checks of `clipbench.testing`
    └── LostProcess                    another process of a distributed run went away

A message is one sentence or two: what is wrong, where, and what to do.
"""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches
from typing import Literal

LONGEST_NAME = 100
MOST_NAMES = 40  # that a message lists; there are hundreds of models
OnError = Literal["skip", "fail"]  # what is done about pairs that cannot be used


class ClipbenchError(Exception):
    """The work failed; the message says what, where and what to do."""

    exit_status = 1


class BadInput(ClipbenchError, ValueError):
    """The command or the data handed to it is wrong."""

    exit_status = 2


class UnknownName(BadInput, LookupError):
    """A name that is not known, with the nearest one that is."""

    def __init__(self, kind: str, name: str, known: Iterable[str], more: str = "") -> None:
        choices = sorted(known)
        if len(name) > LONGEST_NAME:  # to be compared with all that are known
            name = f"{name[:LONGEST_NAME]}..."
        self._arguments = (kind, name, choices, more)
        near = _nearest(name, choices)
        hint = f" Did you mean {near[0]!r}?" if near else ""
        shown = choices if len(choices) <= MOST_NAMES else near[1:]
        names = f"Known: {', '.join(shown) or 'none'}."
        if len(choices) > len(shown):
            others = f", among them {', '.join(shown)}" if shown else ""
            names = f"{len(choices)} are known{others}."
        super().__init__(" ".join(f"Unknown {kind} {name!r}.{hint} {more} {names}".split()))

    def __reduce__(self) -> tuple[type[UnknownName], tuple[str, str, list[str], str]]:
        """Travel between processes, as exceptions of worker processes do."""
        return type(self), self._arguments


def _nearest(name: str, choices: list[str]) -> list[str]:
    """Return the choices that a name may stand for; capitals and hyphens make no difference."""
    plain = {_plain(choice): choice for choice in choices}
    return [plain[text] for text in get_close_matches(_plain(name), plain, n=5, cutoff=0.5)]


def _plain(name: str) -> str:
    return name.casefold().replace("-", "_")


class BadSetting(BadInput):
    """A setting out of range, or settings that contradict each other."""


class MissingData(BadInput):
    """A folder, shard or file that is not there."""


class CorruptData(BadInput):
    """A file whose content is not what it must be."""


class Torn(CorruptData):
    """A file that is empty or breaks off, as a power cut leaves one that was being written."""


class ChangedData(BadInput):
    """A file that is not what it was when it was first read, though its size and time say so.

    It is no `CorruptData`: what is left out for its damage is left out of every run alike.
    """


class Unsigned(BadInput):
    """A delivery without a signature, or with one that does not fit it or is not allowed."""


class PluginFault(ClipbenchError):
    """An error inside somebody's plugin; the message names its file and line.

    The exit status is that of failed work, or 2 where the fault was found before any.
    """


class BrokenContract(PluginFault):
    """A plugin returned what it must not, or changed what it was handed."""


class FailedChecks(ClipbenchError, AssertionError):
    """A plugin that was tried owes something."""

    def __init__(self, kind: str, tried: int, failed: Iterable[str]) -> None:
        self.kind, self.tried, self.failed = kind, tried, tuple(failed)
        head = f"{len(self.failed)} of {tried} checks of the {kind} failed"
        super().__init__("\n  ".join([f"{head}:", *self.failed]))

    def __reduce__(self) -> tuple[type[FailedChecks], tuple[str, int, tuple[str, ...]]]:
        """Travel between processes, as exceptions of worker processes do."""
        return type(self), (self.kind, self.tried, self.failed)


class LostProcess(ClipbenchError):
    """A peer of a distributed run stopped answering."""
