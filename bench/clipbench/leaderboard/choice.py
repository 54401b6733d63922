"""Rows and results that a person names, by the words that `clipbench run` takes."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from clipbench.errors import BadInput, MissingData, UnknownName
from clipbench.files.typed import Json, Object
from clipbench.leaderboard.rows import Row, group
from clipbench.plugins import find as plugins
from clipbench.plugins import registry
from clipbench.plugins.spec import Spec
from clipbench.results.labels import KINDS, Defaults, Kind, Labels, part_of
from clipbench.results.model import Model, Result
from clipbench.results.store import newest
from clipbench.text.locations import content_in, short

_PLUGINS: Mapping[str, plugins.Kind] = {"attack": "attack", "defense": "defense", "data": "dataset"}


@dataclass(frozen=True)
class Choice:
    """Rows to show, and what is needed to judge them.

    Args:
        results: of every row of the attacks, models and data sets that are shown.
        runs: ids of the results of the rows that are shown.
    """

    results: list[Result]
    runs: frozenset[str]


def choose(
    results: Iterable[Result],
    wanted: Mapping[Kind, Sequence[str]],
    *,
    defaults: Defaults | None = None,
    with_clean: bool = False,
) -> Choice:
    """Return the results of the rows that are named.

    Of each kind a row is of one of those named; of a kind of which none is named, any will do.

    Args:
        results: results in any order.
        wanted: what was named of each of `KINDS`; see `named`.
        defaults: see `tables.leaderboard`.
        with_clean: whether the clean rows of the same models, data and defenses are shown, too.

    Raises:
        UnknownName: nothing is of one of the names.
        MissingData: nothing is of all kinds at once.
    """
    unique = newest(results)
    labels = Labels(unique, defaults)
    rows = group(unique, labels)
    kept = rows
    for kind in KINDS:
        texts = wanted.get(kind, ())
        found = [row for text in texts for row in named(rows, kind, text, labels)]
        if texts:
            clean = with_clean and kind == "attack"
            kept = [
                row
                for row in kept
                if any(row is one for one in found) or (clean and _is_clean(row))
            ]
    if not kept:
        told = ", ".join(f"{kind} {' or '.join(texts)}" for kind, texts in wanted.items() if texts)
        raise MissingData(f"No result is of {told} at once.")
    contexts = {row.context for row in kept}
    needed = [result for row in rows if row.context in contexts for result in row.results]
    return Choice(needed, frozenset(result.id for row in kept for result in row.results))


def named(rows: Sequence[Row], kind: Kind, text: str, labels: Labels) -> list[Row]:
    """Return the rows whose attack, defense, data set or model a text names.

    Args:
        rows: of the leaderboard.
        kind: one of `KINDS`.
        text: its label in the leaderboard, its name, or what `clipbench run` was given:
            ``NAME:PARAMETER=VALUE``, the file of a plugin, the path of shards.
        labels: those of the leaderboard.

    Raises:
        UnknownName: no row is of it.
    """

    def label(row: Row) -> str:
        return row.defense_label if kind == "defense" else labels.of(kind, row.results[0])

    is_it = _matcher(kind, text)
    found = [row for row in rows if text == label(row)] or [
        row for row in rows if is_it(row.results[0])
    ]
    if not found:
        raise UnknownName(f"{kind} in these results", text, {label(row) for row in rows})
    return found


def _matcher(kind: Kind, text: str) -> Callable[[Result], bool]:
    if kind == "model":
        return lambda result: _model(result.model.name) == _model(text)
    try:
        spec = registry.parse(_PLUGINS[kind], text)
    except BadInput:
        spec = Spec(text)

    def is_it(result: Result) -> bool:
        part = part_of(kind, result)
        parameters = {} if isinstance(part, Model) else part.parameters or {}
        given = result.config.get(kind, {})
        told = [part.name, given.get("name") if isinstance(given, Mapping) else None]
        names = [name for name in told if isinstance(name, str)]  # a stranger's may be anything
        known = any(_equal(name, spec.name) for name in names)
        places = {
            field.removeprefix(f"{kind}."): name
            for field, name in result.names.items()
            if field.startswith(f"{kind}.")
        }
        return (known or text in names) and all(
            _is(parameters, key, value, places.get(key)) for key, value in spec.parameters.items()
        )

    return is_it


def _model(name: str) -> str:
    return name.replace("/", "-").lower()


def _is(parameters: Object, key: str, wanted: Json, place: str | None) -> bool:
    """Return whether a parameter has the value that was typed.

    A record has the content of what lies somewhere, and the last part of where it lay: that names
    it, and what lies there now is not read.
    """
    if key not in parameters:
        return False
    if content_in(parameters[key]) and place is not None:
        return wanted == parameters[key] or short(str(wanted)) == place
    return any(_equal(parameters[key], one) for one in (wanted, _typed(wanted)))


def _equal(found: Json, wanted: Json) -> bool:
    """Return whether two values are one, or two spellings of one path."""
    if found == wanted:
        return True
    if not (isinstance(found, str) and isinstance(wanted, str)) or "/" not in found + wanted:
        return False
    return Path(found).expanduser().absolute() == Path(wanted).expanduser().absolute()


def _typed(text: Json) -> Json:
    if not isinstance(text, str):
        return text
    try:
        return json.loads({"none": "null"}.get(text.lower(), text.lower()))
    except ValueError:
        return text


def _is_clean(row: Row) -> bool:
    return not row.results[0].attack.count
