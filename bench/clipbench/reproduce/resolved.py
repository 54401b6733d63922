"""The run that a result is of, resolved again from the configuration it holds.

A result comes from a stranger. Nothing it names is used but what is installed here, and what the
person at the keyboard named.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence

import msgspec
from msgspec import Struct

from clipbench.configuration.config import RunConfig
from clipbench.configuration.naming import PLUGINS, Allowed, check_settings, registered_only
from clipbench.configuration.resolution import resolve
from clipbench.errors import CorruptData, OnError
from clipbench.files import checks
from clipbench.files.checks import Objection
from clipbench.files.typed import Json, Object
from clipbench.results.model import Result


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


class _Config(Struct, frozen=True, kw_only=True):
    """What of a configuration is resolved anew, of a result that `_CONFIG` has found sound."""

    data: Object
    evals: list[Object]
    attack: Object
    defense: Object
    rate_text: str | None
    poisons: int | None
    seed: int
    train: Object
    code: dict[str, str]
    trusted: Object | None = None
    on_error: OnError = "fail"
    poison_seed: int | None = None

    def slots(self) -> Iterator[tuple[str, int, str, Object]]:
        """Yield key, number, name in ``code``, and spec of each plugin."""
        yield "data", 0, "dataset", self.data
        yield "attack", 0, "attack", self.attack
        yield "defense", 0, "defense", self.defense
        if self.trusted is not None:
            yield "trusted", 0, "trusted", self.trusted
        for number, spec in enumerate(self.evals):
            yield "evals", number, f"evals[{number}]", spec


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
    try:
        _CONFIG("config", result.config)
    except Objection as error:
        raise CorruptData(f"Result {result.id} has no run's configuration: {error}.") from error
    config = msgspec.convert(result.config, _Config)
    may = Allowed.of(allowed)
    specs = {
        (key, number): may.usable(
            PLUGINS[key],
            spec,
            config.code,
            slot,
            f"config.{slot if key == 'evals' else key}",
        )
        for key, number, slot, spec in config.slots()
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
    check_settings(config.train, may, "config.train")
    with registered_only(allowed):  # what the plugins themselves make of their parameters
        return resolve(
            data=specs["data", 0],
            evals=[specs["evals", number] for number in range(len(config.evals))],
            attack=specs["attack", 0],
            defense=specs["defense", 0],
            rate=config.rate_text,
            poisons=config.poisons,
            seed=config.seed,
            poison_seed=config.poison_seed,
            train=config.train,
            metrics=metrics,
            on_error=config.on_error,
            trusted=specs.get(("trusted", 0)),
        )


def same_json(one: Json, other: Json) -> bool:
    """Return whether two values are the same JSON, whatever the order of names in objects."""
    return json.dumps(one, sort_keys=True) == json.dumps(other, sort_keys=True)
