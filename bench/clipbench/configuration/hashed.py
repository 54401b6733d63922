"""What of a configuration decides the numbers of a run, and so its hash and its id."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from clipbench.plugins import codes

# These change where and how fast a run works, not what it computes.
NOT_HASHED = frozenset(
    {"device", "workers", "decode_cache_gb", "tensorboard", "checkpoint_every_s"}
)
_PARTS = {"dataset": "data", "attack": "attack", "defense": "defense"}


def hashed(content: dict[str, Any], code: Mapping[str, str]) -> dict[str, object]:
    """Return everything that decides a run's numbers, and nothing else.

    What was not asked for is left out, as it was before there was a choice.

    Args:
        content: a configuration by its content, see `RunConfig.by_content`; it is changed.
        code: hashes of plugins that are files, see `clipbench.plugins.codes`.
    """
    del content["explicit"], content["metrics"]
    if content["on_error"] == "fail":  # then all pairs are used
        del content["on_error"]
    if content["trusted"] is None:
        del content["trusted"]
    if not content["train"]["compile"]:
        del content["train"]["compile"]
    for name in NOT_HASHED:
        del content["train"][name]
    specs = {slot: content[key] for slot, key in _PARTS.items()}
    specs |= {f"evals[{number}]": spec for number, spec in enumerate(content["evals"])}
    if "trusted" in content:
        specs["trusted"] = content["trusted"]
    for slot, spec in specs.items():
        codes.shorten(slot, spec, code)
    return content
