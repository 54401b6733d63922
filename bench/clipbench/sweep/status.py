"""What a person sees of a sweep: a line for each run that ends, and one that says how it stands."""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping
from typing import TextIO

from clipbench.configuration.config import RunConfig
from clipbench.sweep.workers import Event
from clipbench.system.progress import LINE_EVERY_S, duration, width_of
from clipbench.system.streams import draw
from clipbench.text.visible import visible
from clipbench.text.words import counted


def label(config: RunConfig) -> str:
    """Return what a run is, briefly."""
    amount = str(config.rate) if config.poisons is None else f"{config.poisons} poisons"
    attack = config.attack_name if config.is_clean else f"{config.attack_name} {amount}"
    return f"{attack} / {config.defense_name} / {config.seeds}"


class Status:
    """Tells how a sweep stands, on standard error.

    On a terminal the last line is drawn again and again; elsewhere it is written now and then.

    Args:
        configs: all runs, by id.
        to_do: how many of them are to be done; the others were done before.
        quiet: tell of failures alone.
        stream: where to write.
    """

    def __init__(
        self,
        configs: Mapping[str, RunConfig],
        to_do: int,
        *,
        quiet: bool = False,
        stream: TextIO | None = None,
    ) -> None:
        self._configs, self._to_do, self._quiet = configs, to_do, quiet
        self._stream = sys.stderr if stream is None else stream
        self._running: dict[str, str] = {}
        self._begun: dict[str, float] = {}
        self._done = 0
        self.failed: dict[str, str] = {}
        self._started = self._written = time.monotonic()
        self._drawn = False

    def tell(self, event: Event) -> None:
        """Take in what happened to a run, and say so."""
        name = label(self._configs[event.run])
        if event.kind == "started":
            self._running[event.run], self._begun[event.run] = "starts", time.monotonic()
        elif event.kind == "progress":
            self._running[event.run] = event.text
        elif event.kind == "note":
            self._line(f"{name}: {event.text}")
        elif event.kind == "warning":
            self._line(f"warning: {name}: {event.text}", always=True)
        else:
            self._running.pop(event.run, None)
            self._end(event, name)
        self._draw()

    def _end(self, event: Event, name: str) -> None:
        began = self._begun.pop(event.run, None)  # of a job on another machine nobody knows
        took = "" if began is None else duration(time.monotonic() - began)
        if event.kind == "failed":
            self.failed[event.run] = event.text
            after = f" after {took}" if took else ""
            self._line(f"failed{after}: {name}: {event.text}", always=True)
            return
        self._done += 1
        self._line(f"done{f' in {took}' if took else ''}: {name}")

    def close(self) -> None:
        """End the line that is drawn."""
        if self._drawn:
            draw(self._stream, "\n")
        self._drawn = False

    def _summary(self) -> str:
        ended, total = self._done + len(self.failed), len(self._configs)
        parts = [f"{total - self._to_do + self._done} of {counted(total, 'run')} done"]
        if self.failed:
            parts.append(f"{len(self.failed)} failed")
        if ended:
            left = (time.monotonic() - self._started) / ended * max(0, self._to_do - ended)
            parts.append(f"about {duration(left)} left")
        parts += [f"{label(self._configs[run])}: {text}" for run, text in self._running.items()]
        return visible(" | ".join(parts))

    def _draw(self) -> None:
        if self._quiet:
            return
        if self._stream.isatty():
            width = width_of(self._stream) - 1
            draw(self._stream, "\r\x1b[K" + self._summary()[:width])
            self._stream.flush()
            self._drawn = True
        elif time.monotonic() - self._written >= LINE_EVERY_S * 3:
            self._line(self._summary())

    def _line(self, text: str, *, always: bool = False) -> None:
        if self._quiet and not always:
            return
        text = visible(" ".join(text.split()))
        draw(self._stream, f"\r\x1b[K{text}\n" if self._drawn else f"{text}\n")
        self._stream.flush()
        self._written = time.monotonic()
