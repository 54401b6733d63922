"""A configuration as JSON, which is written and hashed: its fields and their order."""

from __future__ import annotations

from typing import TypedDict

from clipbench.errors import OnError

Told = dict[str, object]  # a plugin's name and all its parameters


class Hashed(TypedDict):
    """What decides the numbers of a run; what was not asked for is left out."""

    schema: int
    data: Told
    evals: list[Told]
    attack: Told
    defense: Told
    rate_text: str | None
    poisons: int | None
    seed: int
    train: dict[str, object]
    code: dict[str, str]


class HashedMore(Hashed, total=False):
    """With what is there where it was asked for."""

    on_error: OnError
    trusted: Told
    poison_seed: int


class Content(Hashed):
    """All of a configuration, see `RunConfig`."""

    explicit: dict[str, object]
    metrics: list[Told]
    on_error: OnError
    trusted: Told | None


class ContentMore(Content, total=False):
    """With what is there where it is known."""

    poison_seed: int
    contents: dict[str, str]
