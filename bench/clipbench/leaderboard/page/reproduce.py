"""The command that makes a result again, from its configuration alone."""

from __future__ import annotations

import dataclasses
import re
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypedDict

from clipbench.configuration import naming
from clipbench.configuration.config import RunConfig
from clipbench.configuration.request import combine
from clipbench.configuration.resolution import resolve
from clipbench.configuration.settings import TrainSettings
from clipbench.errors import BadInput, BadSetting
from clipbench.files.typed import table
from clipbench.parameters.rate import Rate
from clipbench.plugins import registry
from clipbench.plugins.part import Part
from clipbench.results.defaults import REFUSALS
from clipbench.results.labels import seeds_of
from clipbench.results.model import Result
from clipbench.text.locations import content_in

_FROM_FILES = "it used plugins that are files of their own, and a result does not hold their code"
_ELSEWHERE = (
    "it names its data by their content, and not where they lie; with the files at hand,"
    " `clipbench reproduce RESULT --data PATH` makes it again"
)
_OTHERWISE = "this version of clipbench resolves its settings to another configuration"


@dataclass(frozen=True)
class Command:
    """How some runs that differ in their seeds alone are made again.

    Args:
        seeds: theirs.
        poison_seeds: those of their attacks' draws, each with each seed; empty: they are the seeds.
        text: the command, to paste into a shell; empty: there is none.
        reason: why there is none.
    """

    seeds: tuple[int | None, ...]
    text: str = ""
    poison_seeds: tuple[int | None, ...] = ()
    reason: str = ""


def commands(results: Sequence[Result]) -> list[Command]:
    """Return the commands that make results again, one for all that differ in the seed alone.

    A command names what differs from defaults and recipe, and is given only if clipbench resolves
    it to the very configuration of the result, by its hash.
    """
    words: dict[tuple[str, ...], list[tuple[int | None, int | None]]] = {}
    failed: dict[str, list[int | None]] = {}
    for result in results:
        try:
            with naming.registered_only():
                words.setdefault(tuple(_words(result)), []).append(seeds_of(result))
        except REFUSALS as error:
            reason = str(error) if isinstance(error, BadInput) else _OTHERWISE
            failed.setdefault(reason, []).append(result.seed)
    found = []
    for parts, pairs in words.items():
        for seeds, drawn in _crossed(pairs):
            line = [*parts, *(word for seed in seeds for word in ("--seed", str(seed)))]
            line += [word for seed in drawn for word in ("--poison-seed", str(seed))]
            found.append(Command(seeds, f"clipbench run {shlex.join(line)}", poison_seeds=drawn))
    return found + [Command(tuple(seeds), reason=reason) for reason, seeds in failed.items()]


_Seeds = tuple[int | None, ...]


def _crossed(pairs: Sequence[tuple[int | None, int | None]]) -> list[tuple[_Seeds, _Seeds]]:
    """Return seeds of training and of poison that give these pairs as all of their combinations."""
    if all(seed == drawn for seed, drawn in pairs):
        return [(tuple(seed for seed, _ in pairs), ())]
    by_seed: dict[int | None, list[int | None]] = {}
    for seed, drawn in pairs:
        by_seed.setdefault(seed, []).append(drawn)
    by_drawn: dict[_Seeds, list[int | None]] = {}
    for seed, several in by_seed.items():
        by_drawn.setdefault(tuple(several), []).append(seed)
    return [(tuple(seeds), drawn) for drawn, seeds in by_drawn.items()]


def _words(result: Result) -> list[str]:
    """Return the options of the run, without its seeds.

    Raises:
        BadInput: there are none that lead to this configuration.
    """
    config = RunConfig.from_json(result.config)
    if (config.seed, config.seed_of_poison) != seeds_of(result):
        raise BadSetting("its configuration has another seed than it says")
    plugins = result.metric_plugins
    if config.code or any(plugin.code_sha256 for plugin in plugins):
        raise BadSetting(_FROM_FILES)
    parts: list[Part[object]] = [config.data, *config.evals, config.attack]
    parts += [] if config.trusted is None else [config.trusted]
    named = [*(part.parameters for part in parts), vars(config.train)]
    if any(content_in(value) for values in named for value in values.values()):
        raise BadSetting(_ELSEWHERE)
    metrics = [Part[object](item.name, item.parameters, kind="metric") for item in plugins]
    layer = _layer(config, metrics)
    seeds = {"seed": (config.seed,)}
    if config.poison_seed is not None:
        seeds["poison_seed"] = (config.poison_seed,)
    again = combine({**layer, **seeds}).configs()
    if [run.sha256() for run in again] != [result.config_sha256]:
        raise BadSetting(_OTHERWISE)
    return _options(layer)


class _Amount(TypedDict):
    """How much is poisoned, and the seeds, as `resolve` takes them."""

    rate: Rate | None
    poisons: int | None
    seed: int
    poison_seed: int | None


def _layer(config: RunConfig, metrics: Sequence[Part[object]]) -> dict[str, object]:
    """Return what a person would ask for to get a configuration, by the keys of a request."""
    amount: _Amount = {
        "rate": config.rate,
        "poisons": config.poisons,
        "seed": config.seed,
        "poison_seed": config.poison_seed,
    }
    attack = _spec(config.attack, _assumed_attack(config, amount))
    data = _spec(config.data, _assumed_data(config, attack, amount))
    layer: dict[str, object] = {"data": data, "attack": (attack,), "on_error": config.on_error}
    trusted = None if config.trusted is None else _spec(config.trusted)
    layer |= {} if trusted is None else {"trusted": trusted}
    recipe = resolve(
        data=data,
        attack=attack,
        defense=config.defense.name,
        trusted=trusted,
        **amount,
    )
    layer["defense"] = (_spec(config.defense, recipe.defense.parameters),)
    layer["eval"] = tuple(_spec(part) for part in config.evals)
    layer["metric"] = tuple(_spec(part) for part in metrics)
    layer["train"] = _differing_settings(config.train, recipe.train)
    given = {"rate": config.rate and (str(config.rate),), "poisons": config.poisons}
    layer |= {key: value for key, value in given.items() if value is not None}
    return {key: value for key, value in layer.items() if value not in ((), "fail")}


def _assumed_attack(config: RunConfig, amount: _Amount) -> Mapping[str, object] | None:
    """Return what the parameters of the attack are if none is given; None: some must be."""
    try:
        return resolve(data=config.data, attack=config.attack.name, **amount).attack.parameters
    except BadInput:
        return None


def _assumed_data(config: RunConfig, attack: str, amount: _Amount) -> Mapping[str, object] | None:
    """Return what the parameters of the data set are if none is given; None: some must be."""
    try:
        return resolve(data=config.data.name, attack=attack, **amount).data.parameters
    except BadInput:
        return None


def _differing_settings(chosen: TrainSettings, recipe: TrainSettings) -> dict[str, str]:
    found = {}
    for item in dataclasses.fields(TrainSettings):
        value = getattr(chosen, item.name)
        # A setting that is not in the hash is not in the result's configuration either.
        if value != getattr(recipe, item.name):
            found[item.name] = _text(value)
    return found


def _spec(part: Part[object], assumed: Mapping[str, object] | None = None) -> str:
    """Return a plugin as it is written on the command line.

    Args:
        part: the plugin.
        assumed: what they are unless they are given; None: the defaults of its class.
    """
    known = _defaults(part) if assumed is None else assumed
    given = ",".join(
        f"{key}={_parameter(value)}"
        for key, value in part.parameters.items()
        if not (key in known and known[key] == value)
    )
    return f"{part.name}:{given}" if given else part.name


def _defaults(part: Part[object]) -> dict[str, object]:
    """Return the defaults of a plugin's fields that have one, as JSON has them."""
    found = {}
    for item in dataclasses.fields(registry.load(part.kind, part)):
        value = item.default
        if item.default_factory is not dataclasses.MISSING:
            value = item.default_factory()
        if value is not dataclasses.MISSING:
            found[item.name] = list(value) if isinstance(value, tuple) else value
    return found


def _parameter(value: object) -> str:
    """Return a parameter as `specs.parse_spec` reads it back."""
    if isinstance(value, (list, tuple)):
        return f"({','.join(map(_text, value))})"
    text = _text(value)
    if re.fullmatch(r"[^\s,\"'()\[\]{}]+", text):
        return text
    return f"'{text}'" if '"' in text else f'"{text}"'


def _text(value: object) -> str:
    if value is None:
        return "none"
    return str(value).lower() if isinstance(value, bool) else str(value)


def _options(layer: Mapping[str, object]) -> list[str]:
    """Return a layer as options of the command line."""
    order = ("data", "trusted", "eval", "attack", "rate", "poisons", "defense", "metric")
    words = []
    for key in (*order, "on_error"):
        value = layer.get(key, ())
        for one in value if isinstance(value, tuple) else (value,):
            words += [f"--{key.replace('_', '-')}", str(one)]
    for name, text in table(layer.get("train", {})).items():
        words += ["--set", f"{name}={text}"]
    return words
