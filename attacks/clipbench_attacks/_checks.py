"""Checks of attack parameters that more than one attack needs."""

from __future__ import annotations

from typing import Any, get_args

from clipbench.errors import BadSetting


def check_choice(attack: str, parameter: str, value: object, choices: Any) -> None:
    """Raise `BadSetting` unless the value is one of a ``Literal`` type's choices."""
    known = get_args(choices)
    if value not in known:
        raise BadSetting(f"{attack}.{parameter} must be one of {', '.join(known)}. Got {value!r}.")
