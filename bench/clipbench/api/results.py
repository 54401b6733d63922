"""Results as objects: thin over the JSON that ``result.json`` holds, and a frame of many."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, overload

from clipbench.errors import BadSetting
from clipbench.evaluation.measured import Metric, Metrics
from clipbench.files.bundled import published_rows
from clipbench.results import store
from clipbench.results.labels import rate_text, seeds_of, seeds_text
from clipbench.results.model import Result
from clipbench.results.names import RESULT
from clipbench.text.visible import visible

if TYPE_CHECKING:
    import pandas as pd

    from clipbench.pipeline.evaluate import MeasuredCheckpoint

Where = str | Path | Iterable[str | Path]
_ID = 16  # digits at the end of the name of a run's folder


@dataclass(frozen=True)
class Measurement:
    """One measured number.

    Args:
        value: the number; of a share k/n, in [0, 1]. None: it could not be measured.
        k: successes, where it is a share of counted trials.
        n: trials, likewise.
        low: lower bound of the 95% Wilson interval, likewise.
        high: upper bound, likewise.
    """

    value: float | None
    k: int | None = None
    n: int | None = None
    low: float | None = None
    high: float | None = None

    def __str__(self) -> str:
        if self.value is None:
            return "not measured"
        if self.low is None or self.high is None:
            return f"{self.value:.4g}"
        return f"{self.k}/{self.n} = {self.value:.1%} [{self.low:.1%}, {self.high:.1%}]"

    @classmethod
    def of(cls, metric: Metric) -> Measurement:
        """Return what a result says of a metric."""
        return cls(metric.value, metric.k, metric.n, metric.low, metric.high)


def _measurements(metrics: Metrics) -> dict[str, Measurement]:
    return {name: Measurement.of(metric) for name, metric in metrics.items()}


def _lines(head: str, metrics: Mapping[str, Measurement]) -> str:
    width = max(map(len, metrics), default=0)
    lines = [head, *(f"  {name:{width}}  {metric}" for name, metric in metrics.items())]
    return "\n".join(map(visible, lines))


@dataclass(frozen=True)
class RunResult:
    """The result of one run.

    Args:
        result: what ``result.json`` says, as objects; None: another process has the result.
        folder: the run's folder, with its model and traces; None: the result is in no such folder.
    """

    result: Result | None = field(repr=False)
    folder: Path | None = None

    @property
    def told(self) -> Result:
        """What ``result.json`` says, as objects."""
        if self.result is None:
            raise BadSetting("The result of this run is with the first process; ask that.")
        return self.result

    @property
    def record(self) -> Mapping[str, object]:
        """The object that ``result.json`` holds, field by field in docs/formats.md."""
        return {} if self.result is None else self.result.record

    @property
    def id(self) -> str:
        """The first 16 digits of the hash of the configuration."""
        return self.told.id

    @property
    def config(self) -> Mapping[str, object]:
        """Everything that decides the run's numbers."""
        return self.told.config

    @property
    def data(self) -> str:
        """The name of the data set."""
        return self.told.data.name

    @property
    def attack(self) -> str:
        """The name of the attack; ``none``: the data are clean."""
        return self.told.attack.name

    @property
    def rate(self) -> float:
        """The share of all pairs that are poisoned, in [0, 1]; 0: the data are clean."""
        return self.told.rate

    @property
    def count(self) -> int:
        """The number of poisoned pairs."""
        return self.told.attack.count

    @property
    def defense(self) -> str:
        """The name of the defense."""
        return self.told.defense.name

    @property
    def model(self) -> str:
        """The name of the model."""
        return self.told.model.name

    @property
    def seed(self) -> int | None:
        """The seed."""
        return self.told.seed

    @property
    def poison_seed(self) -> int | None:
        """The seed of the attack's draws: `seed`, unless the run has one apart."""
        return seeds_of(self.told)[1]

    @cached_property
    def metrics(self) -> Mapping[str, Measurement]:
        """What was measured, by name, such as ``attack_success``."""
        metrics = {} if self.result is None else self.result.metrics
        return _measurements(metrics)

    def __repr__(self) -> str:
        if self.result is None:
            return "<RunResult of another process>"
        return f"<RunResult {self.id}: {self._label()}>"

    def __str__(self) -> str:
        if self.result is None:
            return repr(self)
        return _lines(f"{self._label()} ({self.id})", self.metrics)

    def _label(self) -> str:
        amount = f" {rate_text(self.rate)}" if self.count else ""
        return visible(
            f"{self.data} / {self.attack}{amount} / {self.defense} / {self.model} /"
            f" seed {seeds_text(self.told)}"
        )


@dataclass(frozen=True)
class Evaluation:
    """What was measured of a checkpoint.

    Args:
        measured: what was measured, as objects.
    """

    measured: MeasuredCheckpoint = field(repr=False)

    @cached_property
    def record(self) -> Mapping[str, object]:
        """The object that ``clipbench evaluate --json`` prints."""
        return self.measured.to_json()

    @cached_property
    def metrics(self) -> Mapping[str, Measurement]:
        """What was measured on the sets that come first, by name."""
        return _measurements(self.measured.metrics)

    @cached_property
    def by_set(self) -> Mapping[str, Mapping[str, Measurement]]:
        """What was measured on each evaluation set, by its name."""
        return {item.name: _measurements(item.metrics) for item in self.measured.evaluations}

    def __str__(self) -> str:
        return _lines(f"{self.measured.checkpoint} on {self.measured.data}", self.metrics)


class Results(Sequence[RunResult]):
    """Results of several runs, in order.

    Args:
        results: the results.
    """

    def __init__(self, results: Iterable[RunResult]) -> None:
        self._results = tuple(results)

    @overload
    def __getitem__(self, index: int) -> RunResult: ...

    @overload
    def __getitem__(self, index: slice) -> Results: ...

    def __getitem__(self, index: int | slice) -> RunResult | Results:
        if isinstance(index, slice):
            return Results(self._results[index])
        return self._results[index]

    def __len__(self) -> int:
        return len(self._results)

    def __iter__(self) -> Iterator[RunResult]:
        return iter(self._results)

    def __repr__(self) -> str:
        return f"<{len(self)} results>"

    def to_frame(self) -> pd.DataFrame:
        """Return one row per run: what was run, what it cost, and every metric.

        A metric ``M`` is column ``M``, and where it is a share of counted trials also ``M_k``,
        ``M_n``, ``M_low`` and ``M_high``; shares are in [0, 1]. What was not measured is missing.
        Numbers are numbers: counts of dtype ``Int64``, all else ``float64``.
        """
        from clipbench.api.frames import frame_of_runs  # noqa: PLC0415 - heavy

        return frame_of_runs(self)


def places_of(where: Where) -> list[Path]:
    """Return one place or several as paths."""
    return [Path(where)] if isinstance(where, (str, Path)) else [Path(item) for item in where]


def load_results(where: Where | None = None, *, published: str | None = None) -> Results:
    """Return the results in files and folders, each run once, in the order of their ids.

    A damaged file in a folder is a warning, and is left out; so is the older of two results of one
    run that have other numbers.

    Args:
        where: files and folders, at any depth; None: the folder ``runs``, unless published results
            are asked for.
        published: results that come with clipbench, of the grid ``shapes`` or ``rates``.

    Raises:
        MissingData: a path does not exist, or a folder holds no result.
        CorruptData: a file that is named is damaged.
    """
    rows = [] if published is None else [published_rows(published)]
    places = [*([] if where is None else places_of(where)), *rows] or [Path("runs")]

    def damaged(error: Exception) -> None:
        warnings.warn(str(error), stacklevel=3)

    def several(text: str) -> None:
        warnings.warn(text, stacklevel=3)

    folders = {
        file.parent.name[-_ID:]: file.parent
        for place in places
        for file in store.files_of(place)
        if file.name == RESULT
    }
    found = store.load_results(places, skip_damaged=damaged, warn=several)
    return Results(RunResult(result, folders.get(result.id)) for result in found)
