"""Packages other than clipbench that a run has plugins of: it is not known by their code.

So a result that older code made is that of the run, too; it says which code that was.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from clipbench.configuration.config import RunConfig
from clipbench.plugins import codes
from clipbench.plugins.part import Part
from clipbench.results.model import Result
from clipbench.system.progress import Reporter


def packages_of(parts: Sequence[Part[object]]) -> dict[str, str]:
    """Return the SHA-256 of the code of each package that one of these plugins is of, by name."""
    found: dict[str, str] = {}
    for part in parts:
        found |= codes.packages(part.kind, part.to_json())
    return found


def of_run(config: RunConfig) -> dict[str, str]:
    """Return those that decide a run's numbers; a metric decides none but its own.

    The result has the code of a metric beside its name, and other code measures it anew.
    """
    trusted = [] if config.trusted is None else [config.trusted]
    return packages_of([config.data, *config.evals, config.attack, config.defense, *trusted])


def changed(config: RunConfig, result: Result) -> list[str]:
    """Return the packages whose code is not that which a result was made with.

    Args:
        config: the run.
        result: its result; a package that it does not name is not compared.
    """
    recorded = result.environment.packages
    if not recorded:  # as in nearly all results, and to load plugins takes time
        return []
    now = of_run(config)
    return [name for name, sha256 in recorded.items() if now.get(name, sha256) != sha256]


def warn_of_other_code(done: Iterable[tuple[RunConfig, Result]], reporter: Reporter) -> None:
    """Tell a person which results other code made than is installed.

    Args:
        done: runs that are not done again, and their results.
        reporter: gets a line for each package.
    """
    found: dict[str, list[str]] = {}
    for config, result in done:
        for name in changed(config, result):
            found.setdefault(name, []).append(config.id)
    for name, runs in found.items():
        which = f"run {runs[0]} is" if len(runs) == 1 else f"{len(runs)} runs are"
        reporter.warning(
            f"{which} done already, with other code of {name} than is installed; use another"
            " --out to do it again with this code"
        )
