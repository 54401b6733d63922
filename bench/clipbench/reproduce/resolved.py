"""The run that a result is of, resolved again from the configuration it holds.

A result comes from a stranger. Nothing it names is used but what is installed here, and what the
person at the keyboard named.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from clipbench.configuration.config import RunConfig
from clipbench.configuration.naming import PLUGINS, Allowed, check_settings, registered_only
from clipbench.configuration.resolution import resolve
from clipbench.errors import CorruptData
from clipbench.files import checks
from clipbench.files.checks import Objection
from clipbench.files.typed import Json
from clipbench.results.model import Result

_CODE = {"data": "dataset"}  # what `RunConfig.code` calls it, where that is another name


def _specs(field: str, value: object) -> None:
    if not isinstance(value, list):
        raise Objection(field, "must be a list", value)
    for position, spec in enumerate(value):
        _SPEC(f"{field}[{position}]", spec)


_SPEC = checks.fields({"name": checks.text})
_CONFIG = checks.fields(
    {
        "schema": checks.count,
        "data": _SPEC,
        "evals": _specs,
        "attack": _SPEC,
        "defense": _SPEC,
        "rate_text": checks.maybe(checks.text),
        "poisons": checks.maybe(checks.count),
        "seed": checks.count,
        "train": checks.table,
        "code": checks.table_of(checks.hexadecimal(64)),
    },
    {
        "trusted": checks.maybe(_SPEC),
        "on_error": checks.one_of("skip", "fail"),
        "poison_seed": checks.count,
    },
)


def resolved(result: Result, allowed: Sequence[str] = ()) -> RunConfig:
    """Return the run of a result as this version resolves it.

    Settings that do not count for the hash are at their defaults. The hash may be another than the
    recorded one: then this version reads the configuration otherwise.

    Args:
        result: a valid result.
        allowed: what it may name beside what is installed: paths of files with a plugin, each of
            which is used where a result has the hash of its content, ``module:object``, addresses,
            and places of data, weights and models.

    Raises:
        CorruptData: its configuration is none.
        UnknownName, BadSetting: it names what is not there, not allowed, or out of range here.
    """
    config: Mapping[str, Any] = result.config
    try:
        _CONFIG("config", config)
    except Objection as error:
        raise CorruptData(f"Result {result.id} has no run's configuration: {error}.") from error
    may = Allowed.of(allowed)
    specs = {
        (key, number): may.usable(
            PLUGINS[key],
            spec,
            config["code"],
            slot,
            f"config.{slot if key == 'evals' else key}",
        )
        for key, number, slot, spec in _slots(config)
    }
    metrics = [
        may.usable(
            "metric",
            {**item.parameters, "name": item.name},
            {} if item.code_sha256 is None else {"metric": item.code_sha256},
            "metric",
            f"metric_plugins[{number}]",
        )
        for number, item in enumerate(result.metric_plugins)
    ]
    check_settings(config["train"], may, "config.train")
    with registered_only(allowed):  # what the plugins themselves make of their parameters
        return resolve(
            data=specs["data", 0],
            evals=[specs["evals", number] for number in range(len(config["evals"]))],
            attack=specs["attack", 0],
            defense=specs["defense", 0],
            rate=config["rate_text"],
            poisons=config["poisons"],
            seed=config["seed"],
            poison_seed=config.get("poison_seed"),
            train=config["train"],
            metrics=metrics,
            on_error=config.get("on_error", "fail"),
            trusted=specs.get(("trusted", 0)),
        )


def _slots(config: Mapping[str, Any]) -> Iterator[tuple[str, int, str, Mapping[str, object]]]:
    """Yield key, number, name in ``code``, and spec of each plugin of a configuration."""
    for key in ("data", "attack", "defense", "trusted"):
        if config.get(key) is not None:
            yield key, 0, _CODE.get(key, key), config[key]
    for number, spec in enumerate(config["evals"]):
        yield "evals", number, f"evals[{number}]", spec


def same_json(one: Json, other: Json) -> bool:
    """Return whether two values are the same JSON, whatever the order of names in objects."""
    return json.dumps(one, sort_keys=True) == json.dumps(other, sort_keys=True)
