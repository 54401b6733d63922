"""The most that numbers and texts of plugins and settings may be."""

from __future__ import annotations

from collections.abc import Mapping

from clipbench.errors import BadSetting
from clipbench.parameters.values import MOST_ITEMS, brief
from clipbench.text.locations import location_fields

# The most that a setting may be: far more than anybody has used, and little enough that whatever is
# counted or made of it before the work fits into memory. These of training, and by their names
# those of any plugin; another whole number of a plugin is at most `MOST`.
MOST = 10**9
MOST_EPOCHS = 100_000
MOST_SEED = 2**63 - 1
LONGEST_TEXT = 10_000  # characters
LONGEST_PLACE = 1_000_000  # of paths joined by `::`
_MOST: Mapping[str, int] = {
    "block": 2**16,  # whose square is held
    "pool_size": 10**6,  # all held in memory
    "trees": 10**5,
    "iterations": 10**7,
    "cells": 2**14,
    "at_size": 2**14,
    "image_size": 2**14,
}
_LONGEST: Mapping[str, int] = {"patch": 2**24}  # pixels in hex


def check_amounts(cls: type, values: Mapping[str, object], owner: str) -> None:
    """Refuse numbers and texts of a plugin that nobody means, as a file of others may have them.

    Args:
        cls: the plugin.
        values: its parameters.
        owner: its name, for the message.

    Raises:
        BadSetting: naming the parameter.
    """
    places = location_fields(cls)
    for name, value in values.items():
        if isinstance(value, (list, tuple)) and len(value) > MOST_ITEMS:
            raise BadSetting(f"{owner}.{name} must have at most {MOST_ITEMS:,} items.")
        for item in value if isinstance(value, (list, tuple)) else (value,):
            if isinstance(item, int) and item > (most := _most(name)):
                raise BadSetting(f"{owner}.{name} must be at most {most:,}. Got {brief(item)}.")
            longest = LONGEST_PLACE if name in places else _LONGEST.get(name, LONGEST_TEXT)
            if isinstance(item, str) and len(item) > longest:
                raise BadSetting(
                    f"{owner}.{name} must have at most {longest:,} characters. Got {len(item):,}."
                )


def _most(name: str) -> int:
    if name.endswith("seed"):
        return MOST_SEED
    return MOST_EPOCHS if name.endswith("epochs") else _MOST.get(name, MOST)
