"""Which fields of a configuration say where something lies, and a sealed file of such places."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from clipbench.configuration.config import RunConfig
from clipbench.configuration.settings import TrainSettings
from clipbench.errors import ClipbenchError
from clipbench.files import seal
from clipbench.files.json_files import read_json, write_json
from clipbench.models.openclip import configuration_file
from clipbench.plugins.part import Part
from clipbench.text import locations

PLACES = "places.json"  # beside a ledger; it stays on this machine
_SEAL = "seal"


class Place(NamedTuple):
    """A field of a configuration that says where something lies.

    Args:
        field: e.g. ``evals[0].root``.
        mark: of what kind it is.
        value: what it says.
    """

    field: str
    mark: locations.Located
    value: object


class Slot(NamedTuple):
    """A plugin of a configuration: where it stands, and what it is."""

    name: str
    part: Part[object]


def slots(config: RunConfig) -> Iterator[Slot]:
    """Yield all plugins of a configuration."""
    yield Slot("data", config.data)
    yield from (Slot(f"evals[{number}]", part) for number, part in enumerate(config.evals))
    if config.trusted is not None:
        yield Slot("trusted", config.trusted)
    yield Slot("attack", config.attack)
    yield Slot("defense", config.defense)
    yield from (Slot(f"metrics[{number}]", part) for number, part in enumerate(config.metrics))


def places(config: RunConfig) -> list[Place]:
    """Return all fields of a configuration that say where something lies, as far as they do."""
    found = [place for slot in slots(config) for place in places_of(slot)]
    marks = locations.location_fields(TrainSettings)
    return found + list(filled("train", marks, vars(config.train)))


def released(config: RunConfig) -> Iterator[tuple[str, Path]]:
    """Yield the models that others trained and a configuration names, each with its weights."""
    given = [
        (locations.location_fields(slot.part.cls), slot.part.parameters) for slot in slots(config)
    ]
    given.append((locations.location_fields(TrainSettings), vars(config.train)))
    for marks, values in given:
        named = {
            kind: [
                values[name]
                for name, mark in marks.items()
                if mark.kind == kind and values.get(name)
            ]
            for kind in ("model", "weights")
        }
        pairs = list(itertools.product(named["model"], named["weights"]))
        known = any(map(locations.content_in, itertools.chain(*named.values())))
        if len(pairs) == 1 and not known:
            yield str(pairs[0][0]), Path(str(pairs[0][1])).expanduser()


def places_of(slot: Slot) -> list[Place]:
    """Return the fields of a plugin that say where something lies."""
    marks = locations.location_fields(slot.part.cls)
    return list(filled(slot.name, marks, slot.part.parameters))


def filled(
    slot: str, marks: Mapping[str, locations.Located], values: Mapping[str, object]
) -> Iterator[Place]:
    """Yield those fields that say something, of a plugin or the settings.

    Args:
        slot: names the plugin.
        marks: fields that may say where something lies.
        values: what the fields say.
    """
    for name, mark in marks.items():
        value = values.get(name)
        is_there = mark.kind != "model" or bool(
            configuration_file(str(value)) or locations.content_in(value)
        )
        if value not in (None, (), []) and is_there:
            yield Place(f"{slot}.{name}", mark, value)


def write_sealed(path: Path, places: Mapping[str, object]) -> None:
    """Write where things lie on this machine, sealed: whoever reads it opens what it names."""
    write_json(path, {**places, _SEAL: seal.seal(_to_seal(places))}, indent=2)


def read_sealed(path: Path) -> dict[str, object] | None:
    """Return what `write_sealed` wrote here; None: nothing, or others, who may name any place."""
    try:
        found = read_json(path)
    except ClipbenchError:  # of another program
        return None
    told = found.pop(_SEAL, None)
    return found if seal.is_sealed(_to_seal(found), told) else None


def unsealed(content: object) -> Any:
    """Return what `write_sealed` was given, of a file that need not be this user's."""
    return (
        {k: v for k, v in content.items() if k != _SEAL} if isinstance(content, dict) else content
    )


def _to_seal(places: Mapping[str, object]) -> list[bytes]:
    return [b"places", json.dumps(places, sort_keys=True).encode()]
