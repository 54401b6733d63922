"""What of a configuration decides the numbers of a run, and so its hash and its id."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypedDict, cast

from clipbench.errors import OnError
from clipbench.plugins import codes

# These change where and how fast a run works, not what it computes.
NOT_HASHED = frozenset(
    {"device", "workers", "decode_cache_gb", "tensorboard", "checkpoint_every_s"}
)


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


def hashed(content: ContentMore, code: Mapping[str, str]) -> HashedMore:
    """Return everything that decides a run's numbers, and nothing else.

    What was not asked for is left out, as it was before there was a choice.

    Args:
        content: a configuration by its content, see `RunConfig.by_content`; its plugins get short
            names.
        code: hashes of plugins that are files, see `clipbench.plugins.codes`.
    """
    trusted, train = content["trusted"], content["train"]
    aside = {"explicit", "metrics"}
    aside |= {"on_error"} if content["on_error"] == "fail" else set()  # then all pairs are used
    aside |= {"trusted"} if trusted is None else set()
    left_out = NOT_HASHED if train["compile"] else {*NOT_HASHED, "compile"}
    # A field that is added some day decides the id until somebody says that it does not.
    found = cast("HashedMore", {k: v for k, v in content.items() if k not in aside})
    found["train"] = {name: value for name, value in train.items() if name not in left_out}
    specs = {"dataset": found["data"], "attack": found["attack"], "defense": found["defense"]}
    specs |= {f"evals[{number}]": spec for number, spec in enumerate(found["evals"])}
    specs |= {} if trusted is None else {"trusted": trusted}
    for slot, spec in specs.items():
        codes.shorten(slot, spec, code)
    return found
