"""Results on disk: found, checked, each run once."""

from __future__ import annotations

import json
from collections.abc import Callable, Container, Iterable, Iterator, Sequence
from datetime import datetime
from pathlib import Path

from clipbench.errors import BadInput, CorruptData, MissingData
from clipbench.files.checks import parse_time
from clipbench.files.typed import Json
from clipbench.files.walk import walk_once
from clipbench.results.model import Result
from clipbench.results.result import checked, parse_json
from clipbench.text.visible import visible
from clipbench.text.words import listed

RUN_RESULT = "result.json"  # a folder that holds it is the folder of one run
Skipped = Callable[[BadInput], object]
_SHOWN = 3  # metrics that are named


def load_results(
    paths: Sequence[Path],
    *,
    skip_damaged: Skipped | None = None,
    may_lack: Container[Path] = (),
    warn: Callable[[str], object] | None = None,
) -> list[Result]:
    """Return the results in files and folders, each run once, in the order of their ids.

    A file holds one result or a list of them. In a folder, at any depth, ``result.json`` is the
    result of a run and all else beside and below it is left alone; elsewhere every ``*.json`` that
    says it is a result counts. Of two results of one id the newer wins.

    Args:
        paths: files and folders.
        skip_damaged: where given, is told of each file in a folder that is damaged, or a link to
            nothing, and of each damaged file; they are then left out.
        may_lack: folders that need hold no result.
        warn: where given, is told of each run that has several results with other numbers.

    Raises:
        MissingData: if a path does not exist, or a folder holds no result.
        CorruptData: naming the first damaged file, unless damaged files are left out.
    """
    results = read_all(paths, skip_damaged=skip_damaged, may_lack=may_lack)
    if warn is not None:
        for text in contradicting(results):
            warn(text)
    return newest(results)


def read_all(
    paths: Sequence[Path],
    *,
    skip_damaged: Skipped | None = None,
    may_lack: Container[Path] = (),
) -> list[Result]:
    """Return the results in files and folders as `load_results` finds them, all of each id.

    Args:
        paths: files and folders, in whose order the results are.
        skip_damaged: see `load_results`.
        may_lack: likewise.

    Raises:
        MissingData, CorruptData: see `load_results`.
    """
    results: list[Result] = []
    for path in paths:
        files = list(files_of(path))
        found = 0
        for file in files:
            try:
                read = _read(file, explicit=file == path)
            except (CorruptData, MissingData) as error:
                if skip_damaged is None:
                    raise
                skip_damaged(error)
                found += 1
            else:
                results += read
                found += len(read)
        if not found and path not in may_lack:
            raise MissingData(f"There are no results in {path}; make some with `clipbench run`.")
    return results


def newest(results: Iterable[Result]) -> list[Result]:
    """Return one result per id, the one created last, in the order of their ids.

    A run keeps the time it was created at when metrics or a control are added to it, so that of two
    results of one time the one that has more metrics is the newer.
    """
    return [several[-1] for several in _by_id(results)]


def contradicting(results: Iterable[Result]) -> list[str]:
    """Say which runs have several results with other numbers, and which of them counts.

    The same run on another machine is one, and so is a metric that was measured anew.

    Args:
        results: as `read_all` returns them, all of each id.

    Returns:
        A sentence for each run, empty where its results agree in all that they have.
    """
    found = []
    for *older, last in _by_id(results):
        apart = {
            name
            for other in older
            for name in other.metrics.keys() & last.metrics.keys()
            if other.metrics[name] != last.metrics[name]
        }
        if apart:
            names = sorted(apart)
            more = [f"{len(names) - _SHOWN} more"] if len(names) > _SHOWN else []
            found.append(
                visible(
                    f"run {last.id} has {1 + len(older)} results with other numbers, of"
                    f" {listed([*names[:_SHOWN], *more])}; the newest, of {last.created}, counts."
                    " Remove those that are wrong."
                )
            )
    return found


def _by_id(results: Iterable[Result]) -> list[list[Result]]:
    """Return the results of each id, the newest last, in the order of the ids."""
    found: dict[str, list[Result]] = {}
    for result in results:
        found.setdefault(result.id, []).append(result)
    return [
        found[key] if len(found[key]) == 1 else sorted(found[key], key=_age)
        for key in sorted(found)
    ]


def _age(result: Result) -> tuple[datetime, int, str]:
    """Return what orders results of one id; the text decides where nothing else does."""
    text = json.dumps(result.record, sort_keys=True)
    return parse_time(result.created), len(result.metrics), text


def files_of(path: Path) -> Iterator[Path]:
    """Yield the files that may hold results or reported numbers; of the folder of a run, its own.

    Links to folders are followed, as of runs that were moved to another disk; each folder is read
    once, whatever links lead to it.

    Raises:
        MissingData: there is nothing at `path`.
    """
    if not path.is_dir():
        if not path.exists():
            raise MissingData(f"There is no file or folder {path}; check the path.")
        yield path
        return
    for folder, below, names in walk_once(path):
        if RUN_RESULT in names:
            below.clear()
            yield Path(folder, RUN_RESULT)
            continue
        for name in names:
            if name.endswith(".json") and not name.startswith("."):
                yield Path(folder, name)


def _read(file: Path, *, explicit: bool) -> list[Result]:
    """Return the results of a file; none if it was met in a folder and is something else."""
    content = parse_json(file)
    if explicit and isinstance(content, list):
        return [checked(result, file) for result in content]
    if explicit or file.name == RUN_RESULT or _claims_to_be_result(content):
        return [checked(content, file)]
    return []


def _claims_to_be_result(content: Json) -> bool:
    return isinstance(content, dict) and str(content.get("schema")).startswith("clipbench.result/")
