"""The configuration of one run: everything that decides its numbers, resolved and hashed.

What a person asked for, possibly several runs at once, is in `clipbench.configuration.request`;
here each choice has been made. The priority is: what was asked for, then the data set's recipe for
this defense, then the defaults.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from clipbench.configuration.choices import (
    NO_ATTACK,
    check_amount,
    check_seed,
    check_training_source,
    sized,
    trusted_source,
    with_model,
)
from clipbench.configuration.hashed import hashed
from clipbench.configuration.precision import settled
from clipbench.configuration.settings import TrainSettings, check_train_fields
from clipbench.errors import CorruptData, OnError
from clipbench.parameters.rate import Rate
from clipbench.parameters.values import coerce
from clipbench.plugins import codes, registry
from clipbench.plugins.find import Kind
from clipbench.plugins.spec import SpecLike
from clipbench.text import locations

if TYPE_CHECKING:
    from clipbench.contracts import Mode

__all__ = ["NO_ATTACK", "RunConfig", "TrainSettings", "resolve"]

SCHEMA = 1


@dataclass(frozen=True)
class RunConfig:
    """One run, resolved.

    Args:
        data: the training source: ``name`` and all parameters.
        evals: the evaluation sources, likewise; empty: what the training source holds out.
        attack: the attack: ``name`` and all parameters; ``none`` for clean data.
        defense: the defense: ``name`` and all parameters.
        rate: share of all pairs that are poison; none: see `poisons`.
        poisons: the number of poisons, where that was given instead of a rate.
        seed: the only integer from which all generators come; see `poison_seed`.
        train: the training settings.
        code: SHA-256 of each plugin that is a file of its own, by where it is named, see
            `clipbench.plugins.codes`.
        explicit: the training settings that were asked for, as opposed to recipe and defaults;
            not part of the hash, needed to resolve a control in the same way.
        metrics: further metrics: ``name`` and all parameters; not part of the hash, since they
            can be measured on a model that is trained already.
        on_error: whether pairs that can't be used are left out, or an error.
        trusted: the source of the pairs known to be clean that the defense is given; none: it
            needs none, or gets those that the training source holds out.
        poison_seed: the integer from which the generators of the attack come, where that is another
            than `seed`; None: it is `seed`, or the run has no attack.
        contents: SHA-256 of what lies where the configuration says, by field, e.g. ``data.path``;
            these take the place of paths in what is hashed. None: nobody has looked yet.
    """

    data: Mapping[str, Any]
    evals: tuple[Mapping[str, Any], ...]
    attack: Mapping[str, Any]
    defense: Mapping[str, Any]
    rate: Rate | None
    poisons: int | None
    seed: int
    train: TrainSettings
    code: Mapping[str, str] = field(default_factory=dict)
    explicit: Mapping[str, Any] = field(default_factory=dict)
    metrics: tuple[Mapping[str, Any], ...] = ()
    on_error: OnError = "fail"
    trusted: Mapping[str, Any] | None = None
    poison_seed: int | None = None
    contents: Mapping[str, str] | None = None

    def __post_init__(self) -> None:
        coerce(self.on_error, OnError, "on_error")
        check_seed("seed", self.seed)
        check_amount(self.attack["name"], self.rate, self.poisons, self.poison_seed)
        if self.poison_seed == self.seed:  # as it is if nobody says so
            object.__setattr__(self, "poison_seed", None)

    @property
    def is_clean(self) -> bool:
        """Whether this run attacks nothing."""
        return bool(self.attack["name"] == NO_ATTACK)

    @property
    def seed_of_poison(self) -> int:
        """The seed that decides which pairs, targets, captions and triggers are drawn."""
        return self.seed if self.poison_seed is None else self.poison_seed

    @property
    def seeds(self) -> str:
        """The seeds for people: ``seed 0``, or ``seed 0, poison seed 3``."""
        apart = "" if self.poison_seed is None else f", poison seed {self.poison_seed}"
        return f"seed {self.seed}{apart}"

    @property
    def data_name(self) -> str:
        """The data set's name as tables show it."""
        return registry.short_name(self.data["name"])

    @property
    def attack_name(self) -> str:
        """The attack's name as tables show it."""
        return registry.short_name(self.attack["name"])

    @property
    def defense_name(self) -> str:
        """The defense's name as tables show it."""
        return registry.short_name(self.defense["name"])

    @property
    def data_parameters(self) -> dict[str, Any]:
        """All parameters of the data set."""
        return _parameters(self.data)

    @property
    def attack_parameters(self) -> dict[str, Any]:
        """All parameters of the attack."""
        return _parameters(self.attack)

    @property
    def defense_parameters(self) -> dict[str, Any]:
        """All parameters of the defense."""
        return _parameters(self.defense)

    def count(self, num_pairs: int, mode: Mode) -> int:
        """Return how many poisoned pairs an attacked run has among so many clean ones.

        Raises:
            BadSetting: none at all.
        """
        if self.poisons is not None:
            return self.poisons
        return 0 if self.rate is None else self.rate.count(num_pairs, mode)

    def without_attack(self) -> RunConfig:
        """Return the clean control: the same data, defense and training, and no poison."""
        clean = registry.resolve("attack", NO_ATTACK)
        code = {k: value for k, value in self.code.items() if codes.slot_of(k) != "attack"}
        contents = None if self.contents is None else _without(self.contents, "attack.")
        return dataclasses.replace(
            self,
            attack=clean,
            rate=None,
            poisons=None,
            poison_seed=None,
            code=code,
            contents=contents,
        )

    def with_defense(self, defense: SpecLike) -> RunConfig:
        """Return the same run under another defense, with that defense's recipe."""
        other = resolve(
            data=self.data,
            evals=self.evals,
            attack=self.attack,
            defense=defense,
            rate=self.rate,
            poisons=self.poisons,
            seed=self.seed,
            poison_seed=self.poison_seed,
            train={**self.explicit, "precision": self.train.precision},
            metrics=self.metrics,
            on_error=self.on_error,
            trusted=self.trusted,
        )
        contents = None if self.contents is None else _without(self.contents, "defense.")
        return dataclasses.replace(other, contents=contents)

    def controls(self) -> list[RunConfig]:
        """Return what this run is judged by: its defense on clean data, its poison undefended."""
        if self.is_clean:
            return []
        found = [self.without_attack(), self.with_defense("none")]
        return [control for control in found if control.sha256() != self.sha256()]

    def to_json(self) -> dict[str, Any]:
        """Return the configuration as plain lists and dicts."""
        content = {"schema": SCHEMA, **dataclasses.asdict(self)}
        rate = None if self.rate is None else str(self.rate)
        content = {("rate_text" if k == "rate" else k): v for k, v in content.items()}
        content["rate_text"] = rate
        for name in ("contents", "poison_seed"):  # as before there were any
            if content[name] is None:
                del content[name]
        return content

    def known_by(self, contents: Mapping[str, str]) -> RunConfig:
        """Return this run known by what lies where it says.

        Args:
            contents: SHA-256 by field, e.g. ``data.path``.
        """
        return dataclasses.replace(self, contents=dict(contents))

    def by_content(self) -> dict[str, Any]:
        """Return `to_json` with what lies there in the place of every location."""
        content = self.to_json()
        content["evals"] = list(content["evals"])
        content["metrics"] = list(content["metrics"])
        for name, sha256 in content.pop("contents", {}).items():
            locations.put(content, name, locations.by_content(sha256))
        return content

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> RunConfig:
        """Return the configuration that `to_json` wrote.

        Raises:
            CorruptData: it is none, or was written by an incompatible version.
        """
        try:
            items = dict(value)
            schema = items.pop("schema")
            if schema != SCHEMA:
                raise CorruptData(f"This run configuration has schema {schema!r}, not {SCHEMA}.")
            train = TrainSettings.from_mapping(items["train"])
            rate = items.pop("rate_text")
            items["rate"] = None if rate is None else Rate.of(rate)
            items["metrics"] = tuple(items.get("metrics", ()))
            return cls(**{**items, "evals": tuple(items["evals"]), "train": train})
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            if isinstance(error, CorruptData):
                raise
            raise CorruptData(f"This is no run configuration: {error}.") from error

    def hashed(self) -> dict[str, Any]:
        """Return everything that decides the run's numbers, and nothing else."""
        return hashed(self.by_content(), self.code)

    def sha256(self) -> str:
        """Return the hash of the canonical JSON of `hashed`."""
        text = json.dumps(self.hashed(), sort_keys=True, separators=(",", ":"), allow_nan=False)
        return hashlib.sha256(text.encode()).hexdigest()

    @property
    def id(self) -> str:
        """The first 16 digits of the hash; the end of the name of the run's folder."""
        return self.sha256()[:16]


def _without(contents: Mapping[str, str], prefix: str) -> dict[str, str]:
    return {name: value for name, value in contents.items() if not name.startswith(prefix)}


def _parameters(spec: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in spec.items() if name != "name"}


def resolve(
    *,
    data: SpecLike = "shapes",
    evals: Sequence[SpecLike] = (),
    attack: SpecLike = NO_ATTACK,
    defense: SpecLike = "none",
    rate: Rate | str | float | None = None,
    poisons: int | None = None,
    seed: int = 0,
    poison_seed: int | None = None,
    train: Mapping[str, Any] | None = None,
    metrics: Sequence[SpecLike] = (),
    on_error: OnError = "fail",
    trusted: SpecLike | None = None,
) -> RunConfig:
    """Return the configuration of one run with every choice made.

    Args:
        data: training source, as text or mapping, with the parameters that should differ from its
            defaults.
        evals: evaluation sources, likewise; empty: what the training source holds out.
        attack: attack, likewise; ``none`` for clean data.
        defense: defense, likewise.
        rate: share of all pairs that are poison: ``"1e-6"``, ``"0.0001%"`` or a number.
        poisons: the number of poisons instead.
        seed: the run's seed.
        poison_seed: the seed of the attack's draws, where that is another than `seed`.
        train: training settings that take precedence over recipe and defaults.
        metrics: metrics beside those that every run has, as text or mapping.
        on_error: whether pairs that can't be used are left out, or an error.
        trusted: source of pairs known to be clean, as text or mapping; none: what the training
            source holds out. Only of defenses that need some.

    Raises:
        UnknownName: a plugin, parameter or training setting that does not exist.
        BadSetting: a value out of range, or a missing or superfluous rate.
    """
    share = None if rate is None else Rate.of(rate)
    count = None if poisons is None else coerce(poisons, int, "poisons")
    data_name = registry.parse("dataset", data).name
    check_training_source(data, "--data")
    dataset = sized(registry.build("dataset", data), share, count)
    name = registry.parse("defense", defense).name
    from clipbench.boundary import datasets  # noqa: PLC0415 - brings numpy

    recipe = datasets.recipe(dataset)
    special = dict(recipe.defenses.get(registry.short_name(name), {}))
    explicit = dict(check_train_fields(train or {}))
    settings = {**recipe.train, **special.pop("train", {}), **explicit}
    attacked = registry.short_name(registry.parse("attack", attack).name)
    specs: dict[Kind, dict[str, Any]] = {
        "dataset": {"name": data_name, **registry.spec_of(dataset)},
        "attack": registry.resolve("attack", attack, recipe.attacks.get(attacked)),
        "defense": registry.resolve("defense", defense, special),
    }
    held_out = tuple(registry.resolve("dataset", spec) for spec in evals)
    clean = trusted_source(trusted, dataset, specs)
    chosen = TrainSettings.from_mapping(settings)
    chosen = dataclasses.replace(chosen, precision=settled(chosen.precision, chosen.device))
    specs["attack"] = with_model(specs["attack"], chosen.model)
    coded: list[tuple[Kind, str, Mapping[str, Any]]] = [
        (kind, kind, spec) for kind, spec in specs.items()
    ]
    coded += [("dataset", f"evals[{number}]", spec) for number, spec in enumerate(held_out)]
    if clean is not None:
        coded.append(("dataset", "trusted", clean))
    code: dict[str, str] = {}
    for kind, slot, spec in coded:
        code |= codes.hashes(kind, slot, spec)
    return RunConfig(
        data=specs["dataset"],
        evals=held_out,
        attack=specs["attack"],
        defense=specs["defense"],
        rate=share,
        poisons=count,
        seed=coerce(seed, int, "seed"),
        train=chosen,
        code=code,
        explicit=explicit,
        metrics=tuple(registry.resolve("metric", spec) for spec in metrics),
        on_error=on_error,
        trusted=clean,
        poison_seed=coerce(poison_seed, int | None, "poison_seed"),
    )
