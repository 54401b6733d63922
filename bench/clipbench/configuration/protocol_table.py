"""The table of a published protocol: each setting as paper, code and a run here have it."""

from __future__ import annotations

from collections.abc import Mapping

from clipbench.configuration.config import RunConfig
from clipbench.configuration.protocol import AMOUNTS, Entry, PublishedRecipe, Value
from clipbench.configuration.request import combine
from clipbench.errors import BadSetting
from clipbench.parameters.rate import Rate
from clipbench.parameters.values import NONE_TEXTS
from clipbench.plugins.part import Part

# Real pairs, whose recipe is that of the authors; nothing is read of a set to resolve a run.
REAL = "shards:path=PAIRS"
HEAD = ("setting", "paper", "code", "here", "default", "why")
NOT_TOLD = "-"


def resolved(recipe: PublishedRecipe, *, used: bool = True) -> dict[str, object]:
    """Return what runs on real pairs have, by the settings of a table that are settings here.

    Args:
        recipe: whose table.
        used: whether the runs are with the recipe, or have the defaults of its attacks and
            defenses, and of training with its defense; an amount has no default and is left out.
    """
    runs: dict[tuple[str, str], RunConfig] = {}
    found = {}
    for entry in recipe.table:
        part, _, rest = entry.setting.partition(".")
        if part not in _PARTS:
            continue
        name = rest.partition(".")[0] if part != "train" else ""
        if (part, name) not in runs:
            runs[part, name] = _run(recipe, part, name, used=used)
        if not used and part == "attacks" and entry.setting.rpartition(".")[2] in AMOUNTS:
            continue
        found[entry.setting] = value_in(runs[part, name], entry.setting)
    return found


def _run(recipe: PublishedRecipe, part: str, name: str, *, used: bool) -> RunConfig:
    """Return a run with or without a recipe, of an attack or a defense of its table."""
    layer: dict[str, object] = {"data": REAL, "trusted": REAL, "defense": recipe.defense}
    if used:
        layer["recipe"] = recipe.name
    elif part == "attacks":
        layer["rate"] = "1%"
    if part == "attacks":
        layer |= {"attack": name, "defense": "none"}
    elif part == "defenses":
        layer |= {"attack": "none", "defense": name}
    (config,) = combine(layer).configs()
    return config


def value_in(config: RunConfig, setting: str) -> object:
    """Return what a run has of a setting as tables name it.

    Raises:
        BadSetting: the run has no such setting, e.g. has another attack.
    """
    part, _, rest = setting.partition(".")
    if part == "train" and hasattr(config.train, rest):
        return getattr(config.train, rest)
    name, _, parameter = rest.partition(".")
    parts: dict[str, Part[object]] = {"attacks": config.attack, "defenses": config.defense}
    own = parts.get(part)
    if own is not None and own.name == name:
        if part == "attacks" and parameter in AMOUNTS:
            return config.rate if parameter == "rate" else config.poisons
        if parameter in own.parameters:
            return own.parameters[parameter]
    raise BadSetting(f"A run of {config.attack_name} and {config.defense_name} has no {setting}.")


def same(value: object, expected: Value, setting: str) -> bool:
    """Return whether a run has what a table says.

    Args:
        value: what the run has.
        expected: what stands in the table.
        setting: of which setting.
    """
    if str(expected).lower() in NONE_TEXTS:
        return value is None
    if setting.endswith(".rate"):
        return value is not None and Rate.of(str(value)) == Rate.of(str(expected))
    return bool(value == expected)


def compared(recipe: PublishedRecipe, config: RunConfig) -> list[tuple[str, ...]]:
    """Return a recipe's table beside what a run has: setting, paper, code, this run."""
    rows: list[tuple[str, ...]] = []
    for entry in recipe.table:
        try:
            own = value_in(config, entry.setting)
        except BadSetting:
            continue
        here = shown(own, entry)
        if own is None and entry.setting.startswith("attacks.") and entry.setting.endswith(AMOUNTS):
            here = f"{config.poisons:,} pairs" if config.poisons else f"a rate of {config.rate}"
        rows.append((entry.setting, _text(entry.paper), _text(entry.code), here))
    return rows


def lines(recipe: PublishedRecipe) -> list[tuple[str, ...]]:
    """Return the lines of a recipe's table under `HEAD`."""
    values, defaults = resolved(recipe), resolved(recipe, used=False)
    return [
        (
            entry.setting,
            _text(entry.paper),
            _text(entry.code),
            shown(values.get(entry.setting, entry.ours), entry),
            shown(defaults[entry.setting], entry) if entry.setting in defaults else NOT_TOLD,
            entry.why,
        )
        for entry in recipe.table
    ]


def markdown(recipe: PublishedRecipe) -> str:
    """Return a recipe's table as documentation has it."""
    rows: list[tuple[str, ...]] = [HEAD, ("---",) * len(HEAD)]
    rows += [(f"`{row[0]}`" if _is_setting(row[0]) else row[0], *row[1:]) for row in lines(recipe)]
    return "\n".join(f"| {' | '.join(row)} |".replace("  |", " |") for row in rows)


def _is_setting(text: str) -> bool:
    return text.partition(".")[0] in _PARTS


_PARTS = ("train", "attacks", "defenses")


def shown(value: object, entry: Entry) -> str:
    """Return a value as a table shows it."""
    if entry.setting.endswith(".rate") and value is not None:
        return f"{Rate.of(str(value)).percent}%"
    return "none" if value is None else _text(value)


def _text(value: object) -> str:
    if value is None:
        return NOT_TOLD
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, (list, tuple)):
        return ", ".join(str(item).partition(":")[0] for item in value)  # plugins by name
    return f"{value:,}" if isinstance(value, int) else str(value)


def to_json(recipe: PublishedRecipe) -> dict[str, object]:
    """Return a recipe as plain lists and dicts: its settings, and its table."""
    parts: Mapping[str, object] = {
        name: getattr(recipe, name)
        for name in ("name", "title", "paper", "code", "attack", "defense", "released")
    }
    table = [dict(zip(HEAD, row, strict=True)) for row in lines(recipe)]
    own = {"train": recipe.train, "attacks": recipe.attacks, "defenses": recipe.defenses}
    return {"kind": "recipe", **parts, **own, "table": table}
