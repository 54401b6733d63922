"""A baseline of one's own: bands around what was found, wide enough for another machine.

Other processors round otherwise, and a training run that rounds otherwise ends elsewhere; an
interval of the probes alone knows nothing of that. So no band of a share is narrower than `SLACK`
to either side.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path

from clipbench.check.bands import BANDS, COST, undefended
from clipbench.check.verdict import Results, cost_of
from clipbench.configuration.config import RunConfig
from clipbench.configuration.request import KEYS, read_yaml
from clipbench.errors import BadSetting
from clipbench.evaluation.measured import Metric
from clipbench.plugins import registry
from clipbench.plugins.part import Part
from clipbench.results.files import write_atomic
from clipbench.sweep.grid import GRID_KEYS, Grid, matches
from clipbench.sweep.status import label

SLACK = 0.05  # of a share, to either side
COST_FACTOR = 1.5  # of the cost, upwards; what is cheaper is no regression
METRICS = ("attack_success", "zeroshot_top1", "score_auroc", "poison_kept")
_HEAD = "# Written by `clipbench check --write`: bands around what was found then"


def write_baseline(
    path: Path,
    source: Path,
    grid: Grid,
    results: Results,
    allowed: Collection[str] = (),
) -> Path:
    """Write a baseline with the grid of another file and bands around these results.

    Args:
        path: the new file.
        source: the file that the grid is from; its bands are left out.
        grid: its runs.
        results: their results, of all of them.
        allowed: code, addresses and commands that the other file may name.

    Raises:
        BadSetting: the new file is there already.
        ClipbenchError: the file system refuses.
    """
    import yaml  # noqa: PLC0415 - needed here alone

    check_free(path)
    content = read_yaml(source, (*KEYS, *GRID_KEYS, BANDS), allowed)
    content = {key: value for key, value in content.items() if key != BANDS}
    top = yaml.safe_dump(content, sort_keys=False, allow_unicode=True)
    lines = [
        f"  - {yaml.safe_dump(band, sort_keys=False, default_flow_style=True, width=1000).strip()}"
        for band in bands_around(grid.configs, results)
    ]
    text = "\n".join([f"{_HEAD}{_threads(results)}.\n{top}{BANDS}:", *lines, ""])
    return write_atomic(path, text.encode())


def _threads(results: Results) -> str:
    """Say how many threads the runs had; rounding, and so the edge of a band, depends on it."""
    trained = [result.train for result in results.values() if result.train is not None]
    told = {number for train in trained for number in train.threads}
    if not told:
        return ""
    return f", with {' or '.join(map(str, sorted(told)))} thread{'' if told == {1} else 's'} a run"


def check_free(path: Path) -> None:
    """Refuse to write over a baseline.

    Raises:
        BadSetting: there is something at `path`.
    """
    if path.exists():
        raise BadSetting(f"{path} is there already; name a new file with --write.")


def bands_around(configs: Sequence[RunConfig], results: Results) -> Iterator[dict[str, object]]:
    """Yield the bands of all runs as they stand in a file.

    A counted share gets its 95% Wilson interval, and `SLACK` to either side where that is wider;
    another share `SLACK`; the cost `COST_FACTOR` times what it was.

    Raises:
        BadSetting: no band could tell two of the runs apart.
    """
    for config in configs:
        cell, result = _cell(config, configs), results[config.id]
        if sum(matches(other, cell) for other in configs) > 1:
            raise BadSetting(
                f"Several runs of the grid are {label(config)} and differ in settings that no band"
                " can name; give them grids of their own."
            )
        for name in METRICS:
            if name in result.metrics:
                ends = _around(result.metrics[name])
                if ends:
                    yield {**cell, "metric": name, **ends}
        references = [results[other.id] for other in undefended(config, configs)]
        cost, _ = cost_of(result, references)
        if cost is not None and config.defense_name != "none":
            yield {**cell, "metric": COST, "at_most": round(COST_FACTOR * cost, 2)}


def _around(metric: Metric) -> dict[str, float]:
    """Return the ends of a band around a share; an end that no share lies beyond is left out."""
    value = metric.value
    low, high = value - SLACK, value + SLACK
    if (share := metric.share) is not None:
        low, high = min(low, share.low), max(high, share.high)
    # Outwards to three digits; what is three digits long already stays.
    floor, ceiling = math.floor(round(1000 * low, 6)), math.ceil(round(1000 * high, 6))
    ends = {"at_least": floor / 1000, "at_most": ceiling / 1000}
    return {name: end for name, end in ends.items() if 0 < end < 1}


def _whole(key: str, config: RunConfig) -> dict[str, object]:
    """Return a plugin of a run with those parameters, too, that records leave out at a default."""
    part: Part[object] = getattr(config, key)
    return {**(registry.defaults(part.kind, part.name) or {}), **part.to_json()}


def _cell(config: RunConfig, configs: Sequence[RunConfig]) -> dict[str, object]:
    """Return what selects one run of a grid and no other."""
    cell: dict[str, object] = {}
    for key in ("attack", "defense", "data"):
        spec = _whole(key, config)
        same = [_whole(key, other) for other in configs]
        parameters = {
            name: value
            for name, value in spec.items()
            if any(other[name] != value for other in same if other["name"] == spec["name"])
        }
        if key != "data" or any(other != spec for other in same):
            cell[key] = {"name": spec["name"], **parameters} if parameters else spec["name"]
    if config.rate is not None:
        cell["rate"] = str(config.rate)
    if config.poisons is not None:
        cell["poisons"] = config.poisons
    cell["seed"] = config.seed
    if any(other.poison_seed is not None for other in configs) and not config.is_clean:
        cell["poison_seed"] = config.seed_of_poison
    if any(other.train.model != config.train.model for other in configs):
        cell["model"] = config.train.model
    return cell
