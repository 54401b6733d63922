"""Options that say where work on shards, or runs, is done, and what they name."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

import click

from clipbench.cli import _options as options
from clipbench.cli import _requests as requests
from clipbench.executors import chosen

F = TypeVar("F", bound=Callable[..., object])

executor_option = options.option(
    "--executor",
    default=chosen.LOCAL,
    metavar="local|slurm|dask:ADDRESS|MODULE:FUNCTION",
    help="Where jobs run: processes of this machine, Slurm (through submitit), workers of a Dask"
    " cluster, or your own concurrent.futures.Executor.",
)
slurm_option = options.option(
    "--slurm",
    "slurm_settings",
    multiple=True,
    metavar="KEY=VALUE",
    show_default="none",
    help="With --executor slurm: a setting of sbatch, e.g. partition=gpu. Repeatable.",
)
_tasks_option = options.option(
    "--tasks",
    type=click.IntRange(min=1),
    default=8,
    metavar="N",
    help="With an --executor other than local: number of tasks that share the shards.",
)


def check(executor: str) -> None:
    """Refuse options of an executor that is not the one named, and what names none.

    Raises:
        BadSetting: saying which, and what it needs.
    """
    chosen.check(executor)
    slurm = executor == chosen.SLURM
    requests.refuse_unused("--executor slurm", "slurm_settings", unless=slurm)


def shards_options(command: F) -> F:
    """Add the options that say where work on shards is done."""
    return options.stack(executor_option, slurm_option, _tasks_option)(command)


@contextmanager
def spread(
    executor: str, slurm_settings: tuple[str, ...], tasks: int, cache: Path
) -> Iterator[None]:
    """Have work on shards done where these options say, for as long as this lasts.

    Args:
        executor: as `executor_option` takes it.
        slurm_settings: as `slurm_option` does.
        tasks: that shards are dealt out to.
        cache: folder that all machines see; job scripts and logs go to ``slurm/`` in it.

    Raises:
        BadSetting: the executor can't be used here.
    """
    check_spread(executor)
    if executor == chosen.LOCAL:
        yield
        return
    settings = requests.assignments(slurm_settings, "--slurm")
    from clipbench.system.processes import Elsewhere, spread_over  # noqa: PLC0415 - heavy

    with (
        chosen.opened(executor, cache / "slurm", settings=settings) as opened,
        spread_over(Elsewhere(opened, tasks)),
    ):
        yield


def check_spread(executor: str) -> None:
    """Refuse what `check` does, and tasks that nobody would be given.

    Raises:
        BadSetting: saying which.
    """
    check(executor)
    requests.refuse_unused(
        "another --executor than local", "tasks", unless=executor != chosen.LOCAL
    )
