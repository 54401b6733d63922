"""What a result says, as objects: its fields, what each must be, and what must fit together.

`Result.of` reads the object that ``result.json`` holds. Fields that are not named here are
tolerated, for later versions and plugins may say more; a result keeps the object it was read from,
`Result.record`, so that nothing of them is lost where it is written again.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Annotated, Literal, NamedTuple

from msgspec import Meta, Struct, structs

from clipbench.evaluation.measured import Epoch, Evaluation, MetricPlugin, Metrics, check_shares
from clipbench.files import checks
from clipbench.files.checks import Objection
from clipbench.files.typed import (
    Count,
    Json,
    Object,
    Positive,
    Sha256,
    Share,
    Text,
    read_as,
)
from clipbench.results.provenance import Again, Environment, Training

SCHEMA = "clipbench.result/1"
Id = Annotated[
    str,
    Meta(pattern="^[0-9a-f]{16}$", max_length=16, description="16 lower-case hexadecimal digits"),
]


class TestSet(Struct, frozen=True):
    """The evaluation set that comes first.

    Args:
        name: its name.
        classes_sha256: hash of the names of its classes; null: it has none.
        templates_sha256: hash of its prompt templates; null: it has none.
    """

    __test__ = False  # no test of pytest

    name: Text
    classes_sha256: Sha256 | None
    templates_sha256: Sha256 | None


class Data(Struct, frozen=True):
    """The training pairs.

    Args:
        name: of the data set.
        parameters: those of the data set.
        pairs: how many there are, poisoned ones included.
        content_sha256: hash of what they hold.
        evaluation: the evaluation set that comes first.
    """

    name: Text
    parameters: Object
    pairs: Count
    content_sha256: Sha256
    evaluation: TestSet


class Attack(Struct, frozen=True, kw_only=True):
    """What was poisoned.

    Args:
        name: of the attack; ``none``: the data are clean.
        parameters: those of the attack.
        crafted: what the attack learned before it poisoned.
        rate: share of all pairs that are poisoned; null: none.
        count: number of poisoned pairs.
        targets: how many targets they have.
        per_target: poisoned pairs per target.
        mode: whether they took the place of clean pairs.
        ledger_sha256: hash of the ledger of the poisoned set.
        trigger_sha256: hash of the trigger on a probe image.
    """

    name: Text
    parameters: Object | None
    crafted: Object = {}
    rate: Share | None
    count: Count
    targets: Count | None
    per_target: Positive | None
    mode: Literal["replace", "insert"] | None
    ledger_sha256: Sha256 | None
    trigger_sha256: Sha256 | None

    def __post_init__(self) -> None:
        if (self.name == "none") != (self.count == 0):
            raise Objection("count", "must be 0 for attack 'none' alone", self.count)


class Defense(Struct, frozen=True):
    """The defense, with its parameters."""

    name: Text
    parameters: Object


class Model(Struct, frozen=True):
    """The model.

    Args:
        name: its name.
        parameters: how many it has.
        image_size: side of its images in pixels, or height and width.
    """

    name: Text
    parameters: Count
    image_size: Count | Annotated[tuple[Count, ...], Meta(min_length=1)]


class Exposures(Struct, frozen=True):
    """How often a poisoned pair reached a loss that ties image to caption."""

    mean: Positive
    min: Positive
    max: Positive

    def __post_init__(self) -> None:
        slack = 1e-9 * (1 + self.max)  # a mean of equal numbers may be off by rounding
        if not self.min - slack <= self.mean <= self.max + slack:
            raise Objection("mean", "must lie between min and max", self.mean)


class Control(Struct, frozen=True):
    """The clean run on which the controls of a result were measured.

    Args:
        id: the run's.
        created: when its result was; another one of that id is of another training.
    """

    id: Text
    created: Text | None = None


class Kind(NamedTuple):
    """A part of an attack's probes: by what it is one, its name, and its place among all."""

    by: str
    name: str
    number: int


class Result(Struct, frozen=True, kw_only=True, dict=True):
    """The result of one run.

    Args:
        schema: of this object.
        id: the first 16 digits of `config_sha256`.
        created: when, ISO 8601.
        status: a result is of a finished run.
        config: everything that decides the run's numbers.
        config_sha256: hash of the configuration.
        data: the training pairs.
        attack: what was poisoned.
        defense: what was done against it.
        model: what was trained.
        seed: the only integer from which all generators come, but for `poison_seed`.
        poison_seed: that of the attack's draws, where it has one apart.
        train: the training run; null: nothing was trained here.
        exposures: how often poisoned pairs were seen; null: there are none.
        metrics: what was measured on the last weights, by name.
        evaluations: what was measured on each evaluation set.
        metric_plugins: metrics beside those that every run has.
        names: short names of what lies somewhere, by field of the configuration.
        history: an entry for each epoch.
        environment: versions and hardware.
        control: the clean run on which the metrics that end in ``_control`` were measured.
        again: other trainings of the run, as on other machines; no table has their numbers.
        flags: what cannot be vouched for.
    """

    schema: Literal["clipbench.result/1"]
    id: Id
    created: Text
    status: Literal["complete"]
    config: Object
    config_sha256: Sha256
    data: Data
    attack: Attack
    defense: Defense
    model: Model
    seed: int | None
    poison_seed: int | None = None
    train: Training | None
    exposures: Exposures | None
    metrics: Metrics
    evaluations: tuple[Evaluation, ...] = ()
    metric_plugins: tuple[MetricPlugin, ...] = ()
    names: Mapping[str, Text] = {}
    history: tuple[Epoch, ...]
    environment: Environment
    control: Control | Text | None = None
    again: tuple[Again, ...] = ()
    flags: tuple[Text, ...] = ()

    def __post_init__(self) -> None:
        checks.time("created", self.created)
        check_shares(self.metrics)
        before = -1
        for position, entry in enumerate(self.history):
            if entry.epoch <= before:
                here = f"history[{position}].epoch"
                raise Objection(here, f"must come after epoch {before}", entry.epoch)
            before = entry.epoch
        if self.attack.count > self.data.pairs:
            must = f"must be at most the {self.data.pairs} of data.pairs"
            raise Objection("attack.count", must, self.attack.count)

    @property
    def control_id(self) -> str | None:
        """The id of the clean run on which the controls were measured; None: there is none."""
        return self.control.id if isinstance(self.control, Control) else self.control

    @property
    def rate(self) -> float:
        """The share of all pairs that are poisoned; 0: the data are clean."""
        return self.attack.rate or 0.0

    @classmethod
    def of(cls, record: Json) -> Result:
        """Return the result that an object of JSON is.

        Raises:
            Objection: naming the first field that is not what it must be.
        """
        result = read_as(cls, record)
        vars(result)["record"] = record
        return result

    @property
    def record(self) -> Object:
        """The object that ``result.json`` holds, with all that other versions say in it."""
        found: Object = vars(self)["record"]
        return found

    def updated(self, **fields: Json) -> Result:
        """Return the result with other fields at its top, each as JSON has it.

        Raises:
            Objection: they make no result.
        """
        return Result.of({**self.record, **fields})

    @property
    def part(self) -> Kind | None:
        """Which part of its attack's probes it is of, see `narrowed`; None: of all."""
        part: Kind | None = vars(self).get("part")
        return part

    def narrowed(self, attack: Attack, metrics: Metrics, part: Kind | None) -> Result:
        """Return what the result says of a part of its attack; its record is of all of it."""
        result = structs.replace(self, attack=attack, metrics=metrics)
        vars(result).update(record=self.record, part=part)
        return result


def records(results: Iterable[Result]) -> list[Mapping[str, object]]:
    """Return the objects of JSON that results were read from."""
    return [result.record for result in results]
