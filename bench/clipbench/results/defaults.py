"""What parameters are when nobody sets them, so that labels can leave them out.

It decorates labels and decides nothing: whatever is not known is shown, and nothing here ends a
command. Results come from strangers, so no plugin of their choice is loaded, and no text of theirs,
which may be a path, an address or a command, is handed to one that is.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from clipbench.configuration import naming
from clipbench.files.typed import Json, Object
from clipbench.plugins import registry
from clipbench.plugins.find import Kind
from clipbench.plugins.spec import Spec
from clipbench.results.labels import Defaults, canonical
from clipbench.results.model import Result
from clipbench.text.locations import by_content, get, location_fields

# What building or using a registered plugin may end in where a stranger chose its parameters. One
# such row must not cost table or page: it goes without its short label, picture or command.
# A plugin is other people's code, which may raise what it likes.
REFUSALS = (Exception,)

_NOWHERE = by_content("0" * 64)
_KINDS: Mapping[str, Kind] = {"attack": "attack", "defense": "defense", "data": "dataset"}


def defaults_of(results: Iterable[Result]) -> Defaults:
    """Return what gives the parameters that a plugin has when nobody sets them.

    Those of an attack or a defense are what the recipes of all data sets of the results agree in,
    so that a label names what a person chose and not the recipe. Where all results are of one
    model, that is an attack's surrogate, too.
    """
    results = list(results)
    models = {canonical(model): model for model in map(_model, results)}  # may be anything
    data = {
        canonical([result.data.name, result.data.parameters]): result.data for result in results
    }
    recipes = [_recipe(found.name, found.parameters) for found in data.values()]
    known: dict[tuple[str, str], dict[str, Json] | None] = {}

    def defaults(kind: str, name: str) -> dict[str, Json] | None:
        if (kind, name) not in known:
            found = _defaults(_KINDS[kind], name)
            if found is not None and kind != "data":
                found |= _agreed([recipe[kind].get(name, {}) for recipe in recipes])
            if found is not None and kind == "attack" and len(models) == 1:
                found |= dict.fromkeys(_open_models(name, found), next(iter(models.values())))
            known[kind, name] = found
        return known[kind, name]

    return defaults


def _defaults(kind: Kind, name: str) -> dict[str, Json] | None:
    try:
        with naming.registered_only():
            return registry.defaults(kind, name)
    except REFUSALS:
        return None


def _model(result: Result) -> Json:
    """Return the model that a result was trained with, as its configuration names it."""
    return get(result.config, "train.model")


def _open_models(name: str, defaults: Object) -> list[str]:
    """Return which models of an attack are the run's own unless somebody names another."""
    marks = location_fields(registry.load("attack", Spec(name)))
    return [key for key, mark in marks.items() if mark.kind == "model" and defaults[key] is None]


_Parameters = Mapping[str, Object]  # by the name of a plugin


def _recipe(name: str, parameters: Object) -> Mapping[str, _Parameters]:
    """Return what a data set sets of each attack and defense; nothing where it can't be said here.

    A recipe may depend on the size of the set, so numbers are those of the result. What must be
    given is a place that is nowhere.
    """
    try:
        with naming.registered_only():
            cls = registry.load("dataset", Spec(name))
            must = dict.fromkeys(registry.required(cls), _NOWHERE)
            safe = {k: v for k, v in parameters.items() if isinstance(v, (bool, int, float))}
            recipe = registry.build("dataset", {**must, **safe, "name": name}).recipe()
            defenses = {one: _without_train(found) for one, found in recipe.defenses.items()}
            return {"attack": dict(recipe.attacks), "defense": defenses}
    except REFUSALS:
        return {"attack": {}, "defense": {}}


def _without_train(parameters: Object) -> dict[str, Json]:
    return {key: value for key, value in parameters.items() if key != "train"}


def _agreed(tables: list[Object]) -> dict[str, Json]:
    """Return what all tables have, with the same value."""
    if not tables:
        return {}
    first, *others = tables
    return {
        key: value
        for key, value in first.items()
        if all(key in other and canonical(other[key]) == canonical(value) for other in others)
    }
