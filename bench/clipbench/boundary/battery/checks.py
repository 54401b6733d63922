"""One check of a plugin, and what is checked of all of them."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from clipbench.errors import BadSetting, ClipbenchError
from clipbench.plugins.faults import Call
from clipbench.plugins.find import Kind

PAIRS = 64
POISONS = 8
EPOCHS = 8
SIZE = 16  # of features


@dataclass(frozen=True)
class Check:
    """One thing that a plugin owes.

    Args:
        owes: what, in a few words.
        problem: why it does not; empty: it does, or it could not be tried.
        untried: why it could not be tried, as where 64 pairs are too few for a plugin; else empty.
    """

    owes: str
    problem: str = ""
    untried: str = ""


def checked(owes: str, action: Callable[[], object]) -> Check:
    """Return whether something works that a plugin owes."""
    try:
        action()
    except BadSetting as error:
        return Check(owes, untried=str(error))
    except ClipbenchError as error:
        return Check(owes, str(error))
    return Check(owes)


def is_frozen(kind: Kind, plugin: Any) -> None:
    """Refuse a plugin that is no frozen dataclass of its parameters.

    Raises:
        BrokenContract: saying what to write.
    """
    call = Call(kind, plugin, "__init__")
    if not type(plugin).__dataclass_params__.frozen:
        name = type(plugin).__name__
        raise call.broken(f"write @dataclass(frozen=True) above class {name}.")
    values = {f.name: getattr(plugin, f.name) for f in dataclasses.fields(plugin) if f.init}
    if type(plugin)(**values) != plugin:
        raise call.broken("made again from its parameters it is another.")
