"""Run a command line of clipbench and kill it with SIGKILL at chosen moments.

    python kill_at.py FOLDER '[{"at": "rename .*/ledger.json", "number": 1, "delay": 0}]' run --data ...

A moment is something the process asks of the file system under FOLDER: opening, renaming, linking or
removing a file, or making a folder. Its text is ``open w /file``, without FOLDER. For each item of the
list a process of its own runs the command; it kills itself just before moment number `number` whose
text the pattern `at` is found in, or `delay` seconds after. Printed is a JSON list with one of
``"killed"`` or an exit status for each. With an empty list the command runs to its end, and all
moments are printed as a JSON list.
"""

from __future__ import annotations

import json
import os
import re
import signal
import sys
import threading
from dataclasses import dataclass
from typing import Any

WATCHED = frozenset({"open", "os.rename", "os.link", "os.mkdir", "os.remove", "os.rmdir"})


@dataclass(frozen=True)
class Moment:
    """When to kill: before the given moment, or `delay` seconds after it."""

    at: str
    number: int = 1
    delay: float = 0.0


class Watch:
    """An audit hook that lists moments, or kills the process at one of them."""

    def __init__(self, folder: str, moment: Moment | None) -> None:
        self.folder, self.moment = folder, moment
        self.seen: list[str] = []

    def __call__(self, event: str, arguments: tuple[Any, ...]) -> None:
        """Look at one audit event."""
        if event not in WATCHED or not isinstance(arguments[0], (str, bytes)):
            return
        path = os.path.abspath(os.fsdecode(arguments[0]))  # noqa: PTH100 - pathlib makes events
        if not path.startswith(self.folder):
            return
        mode = f" {arguments[1]}" if event == "open" and arguments[1] else ""
        text = f"{event.removeprefix('os.')}{mode} {path[len(self.folder) :]}"
        if self.moment is None:
            self.seen.append(text)
        elif re.search(self.moment.at, text):
            self.seen.append(text)
            if len(self.seen) == self.moment.number:
                self._kill(self.moment.delay)

    def _kill(self, delay: float) -> None:
        if delay:
            threading.Timer(delay, os.kill, (os.getpid(), signal.SIGKILL)).start()
        else:
            os.kill(os.getpid(), signal.SIGKILL)


def run_and_kill(folder: str, moment: Moment, command: list[str]) -> str | int:
    """Run the command in a process of its own; return ``"killed"`` or its exit status."""
    from clipbench.cli import main

    child = os.fork()
    if child == 0:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        sys.addaudithook(Watch(folder, moment))
        os._exit(main(command))
    status = os.waitpid(child, 0)[1]
    was_killed = os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL
    return "killed" if was_killed else os.waitstatus_to_exitcode(status)


def list_moments(folder: str, command: list[str]) -> list[str]:
    """Run the command to its end and return all its moments."""
    from clipbench.cli import main

    watch = Watch(folder, None)
    sys.addaudithook(watch)
    stdout = os.dup(1)
    os.dup2(2, 1)
    status = main(command)
    os.dup2(stdout, 1)
    assert status == 0, status
    return watch.seen


if __name__ == "__main__":
    import clipbench.pipeline  # noqa: F401 - once for all processes, which is most of their time

    where, moments, *line = sys.argv[1:]
    wanted = [Moment(**item) for item in json.loads(moments)]
    found = [run_and_kill(where, moment, line) for moment in wanted] or list_moments(where, line)
    print(json.dumps(found))
