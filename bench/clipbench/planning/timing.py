"""How long what is planned will take, told after the plan; it never ends a run.

What is wrong with the command is found before, by the plan; here settings that a defense refuses in
the middle of its epochs are all that can be. Anything else, a full folder of temporary files or a
damaged picture among those looked at, leaves the time unknown and the work as it was.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from clipbench.errors import BadSetting, PluginFault, UnknownName
from clipbench.planning.estimate import Estimate
from clipbench.system.disk import full_disk
from clipbench.system.progress import duration


@dataclass(frozen=True)
class Timed:
    """How long a run takes.

    Args:
        label: says which run, where there are several.
        time: how long; None: unknown.
        why: why it is unknown.
    """

    label: str
    time: Estimate | None
    why: str = ""

    def text(self) -> str:
        """Return the time for people."""
        if self.time is None:
            return f"unknown: {self.why}"
        text = f"about {duration(self.time.total)} on this machine"
        if self.time.training == self.time.total:
            return text
        return f"{text}, {duration(self.time.training)} of it training"


def timed(label: str, estimate: Callable[[], Estimate]) -> Timed:
    """Return how long a run takes, or why nobody knows.

    Args:
        label: says which run.
        estimate: measures it.

    Raises:
        BadSetting, UnknownName, PluginFault: the defense refuses the run's settings, or fails.
    """
    try:
        return Timed(label, estimate())
    except (BadSetting, UnknownName, PluginFault):
        raise
    except Exception as error:  # noqa: BLE001 - a guess is no reason not to work
        return Timed(label, None, _reason(error))


def _reason(error: Exception) -> str:
    full = full_disk(error)
    place = tempfile.gettempdir()
    if full is not None:
        return f"no space left in {place} to measure it in (TMPDIR names another folder)"
    if type(error).__name__ in ("OutOfMemoryError", "MemoryError"):
        return "measuring it took more memory than there is; training may, too"
    text = " ".join(str(error).split()).rstrip(".") or type(error).__name__
    return f"{text} (measured in {place})" if isinstance(error, OSError) else text


def lines(times: Sequence[Timed]) -> list[str]:
    """Return times for people: a line for each run, and one for all where there are several."""
    if len(times) == 1:
        return [f"  time     {times[0].text()}"]
    width = max(len(item.label) for item in times)
    found = [f"  time     {item.label:{width}}  {item.text()}" for item in times]
    known = [item.time.total for item in times if item.time is not None]
    if len(known) > 1:
        which = f"all {len(known)}" if len(known) == len(times) else f"{len(known)} of {len(times)}"
        total = duration(sum(known))
        found.append(f"  time     {which:{width}}  about {total}, less what they share")
    return found
