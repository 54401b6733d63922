"""The run that a result is of, resolved again from the configuration it holds.

A result comes from a stranger. Nothing it names is imported but plugins that are installed here,
and those that the person at the keyboard named.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from clipbench import checks, registry
from clipbench.checks import Objection
from clipbench.config import RunConfig, resolve
from clipbench.errors import BadSetting, CorruptData, UnknownName
from clipbench.plugins import Kind

_KINDS: Mapping[str, Kind] = {
    "data": "dataset",
    "evals": "dataset",
    "trusted": "dataset",
    "attack": "attack",
    "defense": "defense",
}
_REMOTE = re.compile("://|pipe:|hf-hub:|local-dir:", re.IGNORECASE)
_CODE = {"data": "dataset"}  # what `RunConfig.code` calls it, where that is another name


def _specs(field: str, value: Any) -> None:
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
    {"trusted": checks.maybe(_SPEC), "on_error": checks.one_of("skip", "fail")},
)


def resolved(result: Mapping[str, Any], allowed: Sequence[str] = ()) -> RunConfig:
    """Return the run of a result as this version resolves it.

    Settings that do not count for the hash are at their defaults. The hash may be another than the
    recorded one: then this version reads the configuration otherwise.

    Args:
        result: a valid result.
        allowed: plugins that are not installed and may be used: paths of files, each of which is
            used where a result has the hash of its content, and ``module:object``.

    Raises:
        CorruptData: its configuration is none.
        UnknownName, BadSetting: it names what is not there, not allowed, or out of range here.
    """
    config = result["config"]
    try:
        _CONFIG("config", config)
    except Objection as error:
        raise CorruptData(f"Result {result['id']} has no run's configuration: {error}.") from error
    files = {registry.code_sha256(name): name for name in allowed if name.endswith(".py")}
    files.pop(None, None)
    specs = {
        (key, number): _usable(_KINDS[key], spec, config["code"].get(slot), files, allowed)
        for key, number, slot, spec in _slots(config)
    }
    with registry.registered_only(allowed):  # a parameter may name a plugin, too
        return resolve(
            data=specs["data", 0],
            evals=[specs["evals", number] for number in range(len(config["evals"]))],
            attack=specs["attack", 0],
            defense=specs["defense", 0],
            rate=config["rate_text"],
            poisons=config["poisons"],
            seed=config["seed"],
            train=config["train"],
            metrics=_metrics(result, files, allowed),
            on_error=config.get("on_error", "fail"),
            trusted=specs.get(("trusted", 0)),
        )


def remote_sources(config: RunConfig) -> list[str]:
    """Return what a run would fetch its data or model from, and commands it would run."""
    specs = [config.data, *config.evals, *([config.trusted] if config.trusted else [])]
    specs += [config.attack, config.defense]  # which may name models, too
    texts = [str(value) for spec in specs for value in spec.values()]
    texts += [config.train.model, config.train.pretrained or ""]
    return sorted({text for text in texts if _REMOTE.search(text)})


def _slots(config: Mapping[str, Any]) -> Iterator[tuple[str, int, str, Mapping[str, Any]]]:
    """Yield key, number, name in ``code``, and spec of each plugin of a configuration."""
    for key in ("data", "attack", "defense", "trusted"):
        if config.get(key) is not None:
            yield key, 0, _CODE.get(key, key), config[key]
    for number, spec in enumerate(config["evals"]):
        yield "evals", number, f"evals[{number}]", spec


def _usable(
    kind: Kind,
    spec: Mapping[str, Any],
    sha256: str | None,
    files: Mapping[str | None, str],
    allowed: Sequence[str],
) -> dict[str, Any]:
    """Return a spec whose plugin may be imported."""
    name = str(spec["name"])
    if sha256 is not None:
        if sha256 not in files:
            raise BadSetting(
                f"The {kind} {name!r} is a file of its own (SHA-256 {sha256[:16]}...); read that"
                " file, and name it with --allow to have it run."
            )
        return {**spec, "name": files[sha256]}
    known = registry.names(kind)
    if name in known or (name in allowed and not name.endswith(".py")):
        return dict(spec)
    if ":" in name and not Path(name).suffix == ".py":
        raise BadSetting(
            f"The {kind} {name!r} is code of no registered plugin; name it with --allow to have it"
            " run."
        )
    raise UnknownName(kind, name, known)


def _metrics(
    result: Mapping[str, Any], files: Mapping[str | None, str], allowed: Sequence[str]
) -> list[dict[str, Any]]:
    """Return the specs of a result's metric plugins."""
    found = []
    for item in result.get("metric_plugins", []):
        spec = {**item["parameters"], "name": item["name"]}
        found.append(_usable("metric", spec, item["code_sha256"], files, allowed))
    return found


def same_json(one: Any, other: Any) -> bool:
    """Tell whether two values are the same JSON, whatever the order of names in objects."""
    return json.dumps(one, sort_keys=True) == json.dumps(other, sort_keys=True)
