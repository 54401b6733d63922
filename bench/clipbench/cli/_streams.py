"""Standard streams that were closed, as by ``>&-``, and names of files that are no text."""

from __future__ import annotations

import io
import os
import sys

_NAMES = ("stdin", "stdout", "stderr")


def open_streams() -> None:
    """Let a closed standard stream be as one from, or to, nowhere.

    Python has None for it, which nobody who prints expects; and the first file that is opened gets
    its number, so that a library which writes to standard output writes into that file.
    """
    for number, name in enumerate(_NAMES):
        if getattr(sys, name) is not None:
            continue
        nowhere = os.open(os.devnull, os.O_RDWR)
        if nowhere == number:
            os.set_inheritable(nowhere, True)  # processes that are started have it, too
        setattr(sys, name, os.fdopen(nowhere, "r" if number == 0 else "w", encoding="utf-8"))
    if isinstance(sys.stdout, io.TextIOWrapper) and sys.stdout.errors == "strict":
        sys.stdout.reconfigure(errors="surrogateescape")  # a folder's name leaves as it came
