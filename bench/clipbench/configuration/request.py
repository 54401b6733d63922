"""What a person asked for: one run or a grid of them, from command line, YAML and environment.

A value on the command line goes before the same in the file given with ``--config``, that before
an environment variable, that before the published recipe of ``--recipe``, and that before the data
set's recipe and the defaults.
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from clipbench.configuration.choices import NO_ATTACK, check_asked, check_training_source
from clipbench.configuration.config import RunConfig
from clipbench.configuration.naming import Allowed, check_settings
from clipbench.configuration.protocol import PublishedRecipe, recipe
from clipbench.configuration.resolution import resolve
from clipbench.configuration.settings import TrainSettings, check_train_fields
from clipbench.errors import BadSetting, OnError, UnknownName
from clipbench.files.bundled import configuration
from clipbench.parameters.values import coerce, underscored
from clipbench.plugins import lists, registry
from clipbench.plugins.find import Kind
from clipbench.plugins.part import Part
from clipbench.plugins.spec import SpecLike, spec_like

if TYPE_CHECKING:
    from clipbench.contracts import EvaluationSource, TrainingSource

KEYS = (
    "recipe",
    "data",
    "eval",
    "metric",
    "trusted",
    "attack",
    "rate",
    "poisons",
    "defense",
    "seed",
    "poison_seed",
    "controls",
    "on_error",
    "out",
    "cache",
    "threads",
    "train",
)
_PLUGIN_KEYS: Mapping[str, Kind] = {
    "data": "dataset",
    "eval": "dataset",
    "trusted": "dataset",
    "metric": "metric",
    "attack": "attack",
    "defense": "defense",
}
DEFAULT_OUT = Path("runs")


def default_cache() -> Path:
    """Return where clean shards and indexes are kept when no one says otherwise."""
    if folder := os.environ.get("CLIPBENCH_CACHE"):
        return Path(folder)
    return Path.home() / ".cache" / "clipbench"


@dataclass(frozen=True)
class Request:
    """A grid of runs.

    Args:
        data: the training source.
        evals: the evaluation sources; empty: what the training source holds out.
        metrics: metrics beside those that every run has.
        trusted: the source of pairs known to be clean; none: what the training source holds out.
        attacks: the attacks; each but ``none`` is run at each rate.
        rates: poison rates as written.
        poisons: the number of poisons instead of rates.
        defenses: the defenses.
        seeds: the seeds.
        poison_seeds: seeds of the attacks' draws apart from those; empty: they are the seeds.
        train: training settings asked for, which go before recipes and defaults.
        controls: whether to run the controls too.
        on_error: whether pairs that can't be used are left out, or an error.
        out: folder of the runs.
        cache: folder of clean shards.
        threads: to compute with; none: as many as there are processors.
        recipe: the published protocol that fills in parameters and amounts; none: none does.
    """

    data: SpecLike = "shapes"
    evals: tuple[SpecLike, ...] = ()
    metrics: tuple[SpecLike, ...] = ()
    trusted: SpecLike | None = None
    attacks: tuple[SpecLike, ...] = (NO_ATTACK,)
    rates: tuple[str, ...] = ()
    poisons: int | None = None
    defenses: tuple[SpecLike, ...] = ("none",)
    seeds: tuple[int, ...] = (0,)
    poison_seeds: tuple[int, ...] = ()
    train: Mapping[str, object] = field(default_factory=dict)
    controls: bool = False
    on_error: OnError = "fail"
    out: Path = DEFAULT_OUT
    cache: Path = field(default_factory=default_cache)
    threads: int | None = None
    recipe: PublishedRecipe | None = None

    def configs(self) -> list[RunConfig]:
        """Return the runs, each once, controls before the run that is judged by them.

        Raises:
            UnknownName, BadSetting: what `clipbench.configuration.config.resolve` refuses.
        """
        if self.rates and self.poisons is not None:
            raise BadSetting("Give --rate or --poisons, not both.")
        attacked = [attack for attack in self.attacks if _name(attack) != NO_ATTACK]
        if not attacked and (self.rates or self.poisons is not None):
            raise BadSetting(
                f"The attack {NO_ATTACK!r} poisons nothing and takes no rate; name an attack with"
                " --attack, or leave the rate out."
            )
        if not attacked and self.poison_seeds:
            raise BadSetting(
                f"The attack {NO_ATTACK!r} poisons nothing and takes no poison seed; name an attack"
                " with --attack, or leave --poison-seed out."
            )
        found: dict[str, RunConfig] = {}
        check_training_source(self.data, "--data")
        # The runs share it, and what it reads.
        data: Part[TrainingSource] = Part.of("dataset", self.data)
        evals: list[Part[EvaluationSource]] = [Part.of("dataset", spec) for spec in self.evals]
        for attack in self.attacks:
            rates, poisons = self._amounts(attack)
            drawn = self.poison_seeds if _name(attack) != NO_ATTACK else ()
            for rate, seed, poison_seed, defense in itertools.product(
                rates, self.seeds, drawn or (None,), self.defenses
            ):
                config = resolve(
                    data=data,
                    evals=evals,
                    attack=self._filled("attack", attack),
                    defense=self._filled("defense", defense),
                    rate=rate,
                    poisons=poisons,
                    seed=seed,
                    poison_seed=poison_seed,
                    train=self.train,
                    metrics=self.metrics,
                    trusted=self.trusted,
                    on_error=self.on_error,
                )
                check_asked(config, attack, defense)
                for run in [*(config.controls() if self.controls else []), config]:
                    found.setdefault(run.sha256(), run)
        return list(found.values())

    def _amounts(self, attack: SpecLike) -> tuple[Sequence[str | None], int | None]:
        """Return the rates and the number of poisons of an attack."""
        if _name(attack) == NO_ATTACK:
            return (None,), None
        if self.rates or self.poisons is not None or self.recipe is None:
            return self.rates or (None,), self.poisons
        return self.recipe.amount(attack)

    def _filled(self, kind: Kind, spec: SpecLike) -> SpecLike:
        return spec if self.recipe is None else self.recipe.filled(kind, spec)

    def check_start(self) -> None:
        """Refuse to train from random weights what a recipe's authors trained from a model.

        Raises:
            BadSetting: naming the option.
        """
        if self.recipe and self.recipe.released and self.train.get("pretrained") is None:
            raise BadSetting(
                f"The recipe {self.recipe.name} starts from a released model; give the file of its"
                " weights with --pretrained."
            )

    def config(self) -> RunConfig:
        """Return the only run asked for.

        Raises:
            BadSetting: several were.
        """
        configs = self.configs()
        if len(configs) > 1:
            raise BadSetting(
                f"This asks for {len(configs)} runs; give one attack, rate, defense and seed, or"
                " use `clipbench run`."
            )
        return configs[0]


def _name(attack: SpecLike) -> str:
    return registry.parse("attack", attack).name


def combine(*layers: Mapping[str, object], takes: Collection[str] = KEYS) -> Request:
    """Return the request made of several layers, the first the strongest.

    Args:
        layers: values by the names in `KEYS`; training settings count one by one, a rate and a
            number of poisons as the same thing. The recipe that one names is the weakest layer.
        takes: keys that a recipe may set; the others are not for who asks.

    Raises:
        UnknownName: a key, a training setting or a recipe that does not exist.
        BadSetting: a value that a key cannot take.
    """
    merged: dict[str, object] = {}
    train: dict[str, object] = {}
    name = next((layer["recipe"] for layer in layers if layer.get("recipe") is not None), None)
    published = None if name is None else recipe(coerce(name, str, "recipe"))
    own = {} if published is None else published.layer
    layers = (*layers, {key: value for key, value in own.items() if key in takes})
    for layer in layers:
        amount_known = "rate" in merged or "poisons" in merged
        for key, value in layer.items():
            if key == "recipe":
                continue
            if key == "train":
                train = {**check_train_fields(value), **train}
            elif key not in merged and not (amount_known and key in ("rate", "poisons")):
                merged[key] = value
    given: dict[str, Any] = {"train": train, "recipe": published}
    for key, value in merged.items():
        if key not in _READERS:
            raise UnknownName("setting", key, KEYS)
        given[_READERS[key][0]] = _READERS[key][1](value, key)
    return Request(**given)


def several(value: object, key: str) -> tuple[object, ...]:
    """Return a list as it is and anything else as a list of one."""
    if not isinstance(value, (list, tuple)):
        return (value,)
    if not value:
        raise BadSetting(f"{key} must name at least one. Got an empty list.")
    return tuple(value)


def _specs(value: object, key: str) -> tuple[object, ...]:
    return lists.each(several(value, key), key)


def _seeds(value: object, key: str) -> tuple[int, ...]:
    texts = [lists.split_plain(v, key) if isinstance(v, str) else [v] for v in several(value, key)]
    return tuple(coerce(seed, int, key) for seed in itertools.chain.from_iterable(texts))


def _rates(value: object, key: str) -> tuple[str, ...]:
    return tuple(rate for text in several(value, key) for rate in lists.split_rates(str(text)))


def _threads(value: object, key: str) -> int | None:
    threads: int | None = coerce(value, int | None, key)
    if threads is not None and threads < 1:
        raise BadSetting(f"{key} must be at least 1. Got {threads}.")
    return threads


# Key of a layer -> field of `Request`, and how its value is read.
_READERS: Mapping[str, tuple[str, Callable[[object, str], object]]] = {
    "data": ("data", lambda value, key: value),  # noqa: ARG005
    "eval": ("evals", _specs),
    "metric": ("metrics", _specs),
    "trusted": ("trusted", lambda value, key: value),  # noqa: ARG005
    "attack": ("attacks", _specs),
    "rate": ("rates", _rates),
    "poisons": ("poisons", lambda value, key: coerce(value, int | None, key)),
    "defense": ("defenses", _specs),
    "seed": ("seeds", _seeds),
    "poison_seed": ("poison_seeds", _seeds),
    "controls": ("controls", lambda value, key: coerce(value, bool, key)),
    "on_error": ("on_error", lambda value, key: coerce(value, OnError, key)),
    "out": ("out", lambda value, key: coerce(value, Path, key)),
    "cache": ("cache", lambda value, key: coerce(value, Path, key)),
    "threads": ("threads", _threads),
}


def check_names(layer: Mapping[str, object], allowed: Collection[str], where: str) -> None:
    """Refuse a layer out of a file that names code, an address or a command which nobody allowed.

    A configuration may be somebody else's. It says which files of this machine are read, as it
    must; what it has run or fetched is named by whoever starts the command.

    Args:
        layer: values by the names in `KEYS`, or of a block, of ``exclude`` or of ``bands``.
        allowed: files, ``module:object``, addresses and commands that were typed.
        where: the place in the file, for the message.

    Raises:
        BadSetting: naming the key, and what to type.
    """
    may = Allowed.of(allowed, files=True)
    for key, kind in _PLUGIN_KEYS.items():
        for value in several(layer[key], key) if layer.get(key) is not None else ():
            is_list = key not in ("data", "trusted") and isinstance(value, str)
            for spec in lists.each((value,), key) if is_list else (value,):
                may.check(kind, spec_like(spec, key), f"{key}{where}")
    for model in several(layer["model"], "model") if "model" in layer else ():
        check_settings({"model": model}, may, f"train{where}")
    train = layer.get("train")
    if isinstance(train, Mapping):
        check_settings(train, may, f"train{where}")


def read_yaml(
    path: Path, keys: Sequence[str] = KEYS, allowed: Collection[str] = ()
) -> dict[str, object]:
    """Return the layer that a YAML file holds.

    Args:
        path: the file, or the name of a configuration that comes with clipbench.
        keys: what it may have at its top.
        allowed: code, addresses and commands that it may name.

    Raises:
        MissingData: there is no such file.
        BadSetting: it is no YAML mapping, has a key twice, or names what is not allowed.
        UnknownName: there is no such name, or the file has a key that does not exist.
    """
    from clipbench.files import yaml_files  # noqa: PLC0415 - needed with a file alone

    path = configuration(path)
    where = path.resolve()
    content = yaml_files.read(path)
    if content is None:
        return {}
    if not isinstance(content, dict):
        raise BadSetting(f"{where} must hold keys and values, e.g. `attack: targeted`.")
    layer = underscored(content, f" in {where}")
    known = [*keys, *(f"train.{item.name}" for item in fields(TrainSettings))]
    for key in layer:
        if key not in keys:
            raise UnknownName(f"key in {where}", key, known)
    if "train" in layer:
        if not isinstance(layer["train"], dict):
            raise BadSetting(f"train in {where} must hold training settings, e.g. `epochs: 20`.")
        layer["train"] = dict(check_train_fields(layer["train"], f" in {where}"))
    check_names(layer, allowed, f" in {where}")
    return layer
