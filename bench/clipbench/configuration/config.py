"""The configuration of one run: everything that decides its numbers, resolved and hashed.

What a person asked for, possibly several runs at once, is in `clipbench.configuration.request`;
here each choice has been made, by `clipbench.configuration.resolution`.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import msgspec
from msgspec import Struct

from clipbench.configuration.choices import NO_ATTACK, check_amount, check_seed
from clipbench.configuration.hashed import ContentMore, HashedMore, hashed
from clipbench.configuration.settings import TrainSettings
from clipbench.errors import CorruptData, OnError
from clipbench.files.typed import Object
from clipbench.parameters.rate import Rate
from clipbench.parameters.values import coerce
from clipbench.plugins import codes
from clipbench.plugins.part import Part
from clipbench.plugins.spec import SpecLike
from clipbench.text import locations

if TYPE_CHECKING:
    from clipbench.contracts import (
        Attack,
        Defense,
        EvaluationSource,
        Metric,
        Mode,
        TrainingSource,
    )

SCHEMA = 1


@dataclass(frozen=True)
class RunConfig:
    """One run, resolved.

    Args:
        data: the training source.
        evals: the evaluation sources; empty: what the training source holds out.
        attack: the attack; ``none`` for clean data.
        defense: the defense.
        rate: share of all pairs that are poison; none: see `poisons`.
        poisons: the number of poisons, where that was given instead of a rate.
        seed: the only integer from which all generators come; see `poison_seed`.
        train: the training settings.
        code: SHA-256 of each plugin that is a file of its own, by where it is named, see
            `clipbench.plugins.codes`.
        explicit: the training settings that were asked for, as opposed to recipe and defaults;
            not part of the hash, needed to resolve a control in the same way.
        metrics: further metrics; not part of the hash, since they can be measured on a model that
            is trained already.
        on_error: whether pairs that can't be used are left out, or an error.
        trusted: the source of the pairs known to be clean that the defense is given; none: it
            needs none, or gets those that the training source holds out.
        poison_seed: the integer from which the generators of the attack come, where that is another
            than `seed`; None: it is `seed`, or the run has no attack.
        contents: SHA-256 of what lies where the configuration says, by field, e.g. ``data.path``;
            these take the place of paths in what is hashed. None: nobody has looked yet.
    """

    data: Part[TrainingSource]
    evals: tuple[Part[EvaluationSource], ...]
    attack: Part[Attack]
    defense: Part[Defense]
    rate: Rate | None
    poisons: int | None
    seed: int
    train: TrainSettings
    code: Mapping[str, str] = field(default_factory=dict)
    explicit: Mapping[str, object] = field(default_factory=dict)
    metrics: tuple[Part[Metric], ...] = ()
    on_error: OnError = "fail"
    trusted: Part[TrainingSource] | None = None
    poison_seed: int | None = None
    contents: Mapping[str, str] | None = None

    def __post_init__(self) -> None:
        coerce(self.on_error, OnError, "on_error")
        check_seed("seed", self.seed)
        check_amount(self.attack.name, self.rate, self.poisons, self.poison_seed)
        if self.poison_seed == self.seed:  # as it is if nobody says so
            object.__setattr__(self, "poison_seed", None)

    @property
    def is_clean(self) -> bool:
        """Whether this run attacks nothing."""
        return self.attack.name == NO_ATTACK

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
        return self.data.label

    @property
    def attack_name(self) -> str:
        """The attack's name as tables show it."""
        return self.attack.label

    @property
    def defense_name(self) -> str:
        """The defense's name as tables show it."""
        return self.defense.label

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
        clean: Part[Attack] = Part.of("attack", NO_ATTACK)
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
        from clipbench.configuration.resolution import resolve  # noqa: PLC0415 - it makes runs

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
        """Return what this run is judged by, clean runs before the runs they are the controls of.

        That is its defense on clean data, and its poison undefended with a control of its own: no
        attacked run is without one.
        """
        if self.is_clean:
            return []
        undefended = self.with_defense("none")
        found = [self.without_attack(), undefended.without_attack(), undefended]
        unlike = {control.sha256(): control for control in found}
        return [control for sha256, control in unlike.items() if sha256 != self.sha256()]

    def to_json(self) -> ContentMore:
        """Return the configuration as plain lists and dicts."""
        content: ContentMore = {
            "schema": SCHEMA,
            "data": self.data.to_json(),
            "evals": [part.to_json() for part in self.evals],
            "attack": self.attack.to_json(),
            "defense": self.defense.to_json(),
            "rate_text": None if self.rate is None else str(self.rate),
            "poisons": self.poisons,
            "seed": self.seed,
            "train": dataclasses.asdict(self.train),
            "code": dict(self.code),
            "explicit": dict(self.explicit),
            "metrics": [part.to_json() for part in self.metrics],
            "on_error": self.on_error,
            "trusted": None if self.trusted is None else self.trusted.to_json(),
        }
        if self.poison_seed is not None:
            content["poison_seed"] = self.poison_seed
        if self.contents is not None:
            content["contents"] = dict(self.contents)
        return content

    def known_by(self, contents: Mapping[str, str]) -> RunConfig:
        """Return this run known by what lies where it says.

        Args:
            contents: SHA-256 by field, e.g. ``data.path``.
        """
        return dataclasses.replace(self, contents=dict(contents))

    def by_content(self) -> ContentMore:
        """Return `to_json` with what lies there in the place of every location."""
        content = self.to_json()
        for name, sha256 in content.pop("contents", {}).items():
            locations.put(content, name, locations.by_content(sha256))
        return content

    @classmethod
    def from_json(cls, value: Mapping[str, object]) -> RunConfig:
        """Return the configuration that `to_json` wrote.

        Raises:
            CorruptData: it is none, or was written by an incompatible version.
        """
        try:
            if value["schema"] != SCHEMA:
                raise CorruptData(
                    f"This run configuration has schema {value['schema']!r}, not {SCHEMA}."
                )
            told = msgspec.convert(value, _Read)
            trusted, rate = told.trusted, told.rate_text
            return cls(
                data=Part.from_json("dataset", told.data),
                evals=tuple(Part.from_json("dataset", spec) for spec in told.evals),
                attack=Part.from_json("attack", told.attack),
                defense=Part.from_json("defense", told.defense),
                rate=None if rate is None else Rate.of(rate),
                poisons=told.poisons,
                seed=told.seed,
                train=TrainSettings.from_mapping(told.train),
                code=told.code,
                explicit=told.explicit,
                metrics=tuple(Part.from_json("metric", spec) for spec in told.metrics),
                on_error=told.on_error,
                trusted=None if trusted is None else Part.from_json("dataset", trusted),
                poison_seed=told.poison_seed,
                contents=told.contents,
            )
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            if isinstance(error, CorruptData):
                raise
            raise CorruptData(f"This is no run configuration: {error}.") from error

    def hashed(self) -> HashedMore:
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


class _Read(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What `RunConfig.to_json` wrote, now or in an earlier version."""

    schema: int
    data: Object
    evals: list[Object]
    attack: Object
    defense: Object
    rate_text: str | float | None
    poisons: int | None
    seed: int
    train: Object
    code: dict[str, str] = {}
    explicit: Object = {}
    metrics: list[Object] = []
    on_error: OnError = "fail"
    trusted: Object | None = None
    poison_seed: int | None = None
    contents: dict[str, str] | None = None


def _without(contents: Mapping[str, str], prefix: str) -> dict[str, str]:
    return {name: value for name, value in contents.items() if not name.startswith(prefix)}
