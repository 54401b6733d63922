"""Run a command line of clipbench again and again, killed on the way.

    python disturbed.py FOLDER '[{"kill": "rename .*/ledger.json"}, {}]' run --data ...

For each item of the list a process of its own runs the command, one after the other. Items may hold

    kill     a pattern; the process ends itself with SIGKILL just before the first moment whose text
             the pattern is found in
    number   before that one of these moments instead of the first
    delay    seconds to wait before the kill

A moment is something the process asks of the file system under FOLDER: opening, renaming, linking
or removing a file, or making a folder. Its text is ``open w /file``, without FOLDER. Printed is a
JSON list with ``"killed"`` or the exit status for each item. With an empty list the command runs to
its end undisturbed, and printed is the list of all moments.
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

from clipbench.cli import main

WATCHED = frozenset({"open", "os.rename", "os.link", "os.mkdir", "os.remove", "os.rmdir"})


@dataclass(frozen=True)
class Trouble:
    """What happens to a process; see the text above."""

    kill: str | None = None
    number: int = 1
    delay: float = 0.0


class Watch:
    """An audit hook that lists moments, or kills the process at one of them."""

    def __init__(self, folder: str, trouble: Trouble) -> None:
        self.folder, self.trouble = folder, trouble
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
        if self.trouble.kill is None:
            self.seen.append(text)
        elif re.search(self.trouble.kill, text):
            self.seen.append(text)
            if len(self.seen) == self.trouble.number:
                self._kill()

    def _kill(self) -> None:
        if self.trouble.delay:
            threading.Timer(self.trouble.delay, os.kill, (os.getpid(), signal.SIGKILL)).start()
        else:
            os.kill(os.getpid(), signal.SIGKILL)


def run(folder: str, trouble: Trouble, command: list[str]) -> str | int:
    """Run the command in a process of its own; return ``"killed"`` or its exit status."""
    child = os.fork()
    if child == 0:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        if trouble.kill is not None:
            sys.addaudithook(Watch(folder, trouble))
        os._exit(main(command))
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    return "killed" if code == -signal.SIGKILL else code


def moments(folder: str, command: list[str]) -> list[str]:
    """Run the command to its end and return all its moments."""
    watch = Watch(folder, Trouble())
    sys.addaudithook(watch)
    stdout = os.dup(1)
    os.dup2(2, 1)
    status = main(command)
    sys.stdout.flush()
    os.dup2(stdout, 1)
    assert status == 0, status
    return list(watch.seen)


if __name__ == "__main__":
    # Once for all processes: importing is most of their time.
    import clipbench.pipeline.execute
    import clipbench.planning.plan  # noqa: F401

    where, wanted, *line = sys.argv[1:]
    items = [Trouble(**item) for item in json.loads(wanted)]
    print(json.dumps([run(where, item, line) for item in items] or moments(where, line)))
