"""The executor that a person names: ``local``, ``slurm``, ``dask:ADDRESS`` or ``module:object``.

All are what `concurrent.futures.Executor` says; a site's own is a function that returns one.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterator, Mapping
from concurrent.futures import Executor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from clipbench.errors import BadSetting

LOCAL, SLURM, DASK = "local", "slurm", "dask"
DASK_WAIT_S = 10  # for a scheduler to answer


def check(text: str) -> None:
    """Refuse what names no executor.

    Raises:
        BadSetting: saying what does.
    """
    name, colon, rest = text.partition(":")
    if name in (LOCAL, SLURM) and not colon:
        return
    if not (name and rest) or name in (LOCAL, SLURM):
        raise BadSetting(
            f"--executor is local, slurm, dask:ADDRESS, e.g. dask:tcp://node1:8786, or"
            f" module:function, which returns a concurrent.futures.Executor. Got {text!r}."
        )


@contextmanager
def opened(
    text: str, folder: Path, *, settings: Mapping[str, str], processors: int = 1
) -> Iterator[Executor]:
    """Open the executor of that name; what is not done when an error ends this is cancelled.

    Args:
        text: its name; not ``local``.
        folder: for job scripts and logs, where there are such.
        settings: of sbatch, with ``slurm``.
        processors: of each job.

    Raises:
        BadSetting: what it needs is not installed, or does not answer.
    """
    check(text)
    name, _, rest = text.partition(":")
    if name == DASK:
        with _dask(rest) as cluster:
            yield cluster
        return
    if name == SLURM:
        from clipbench.executors.slurm import SlurmExecutor  # noqa: PLC0415 - not always needed

        executor: Executor = SlurmExecutor(folder, settings=settings, processors=processors)
    else:
        executor = _own(name, rest)
    try:
        yield executor
    except BaseException:
        executor.shutdown(wait=True, cancel_futures=True)
        raise
    executor.shutdown(wait=True)


@contextmanager
def _dask(address: str) -> Iterator[Executor]:
    """Open an executor of a Dask cluster; one that cancels where another has a word for it."""
    try:
        from distributed import Client  # noqa: PLC0415 - optional
    except ImportError as error:
        raise BadSetting(
            "--executor dask needs distributed; install it with `pip install 'clipbench[dask]'`."
        ) from error
    try:
        client = Client(address, timeout=DASK_WAIT_S, set_as_default=False)
    except (OSError, ValueError, TypeError) as error:
        raise BadSetting(
            f"No Dask scheduler answers at {address} ({type(error).__name__}); start one with"
            " `dask scheduler`, and name its address."
        ) from error
    with client:
        executor: Executor = client.get_executor(pure=False)  # what is done again is done
        try:
            yield executor
        except BaseException:
            executor.shutdown(wait=False)  # which cancels; it knows no `cancel_futures`
            raise
        executor.shutdown(wait=True)


def _own(module: str, name: str) -> Executor:
    try:
        make: Any = getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError) as error:
        raise BadSetting(f"--executor {module}:{name} can't be imported: {error}.") from error
    found = make()
    if not isinstance(found, Executor):
        raise BadSetting(
            f"--executor {module}:{name} must return a concurrent.futures.Executor. Got"
            f" {type(found).__name__}."
        )
    return found
