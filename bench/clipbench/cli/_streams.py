"""Standard streams that whoever started the command has closed, as ``>&-`` does."""

from __future__ import annotations

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
