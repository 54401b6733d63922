"""Other trainings of a run that a folder of results has, as on another machine, noted in its row.

Numbers stay those of the first; what a later one found, and on what, stands beside them.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from msgspec import to_builtins

from clipbench.errors import BadSetting, CorruptData
from clipbench.files.typed import Json
from clipbench.results.model import Result
from clipbench.results.provenance import Again
from clipbench.submit.contradictions import check_against_itself
from clipbench.submit.standing import differences


def noted(result: Result, row: Result, path: Path) -> Result:
    """Return a row in which another training of its run is noted; itself, if that is its own.

    Args:
        result: the result of the other training.
        row: the result that counts.
        path: where the row lies.

    Raises:
        BadSetting: the result tells of no training.
        CorruptData: it contradicts itself, or shares no metric with the row.
    """
    check_against_itself(result)
    if result.train is None:
        raise BadSetting(f"Result {result.id} tells of no training; only trainings are noted.")
    if not result.metrics.keys() & row.metrics.keys():
        raise CorruptData(f"Result {result.id} has no metric of {path}, so that nothing compares.")
    again = Again(
        created=result.created,
        train=result.train,
        environment=result.environment,
        differs=tuple(differences(result, row)),
    )
    return with_again(row, [again])


def with_again(row: Result, others: Sequence[Again]) -> Result:
    """Return a row with other trainings of its run, each once; of its own it has no note."""
    known = {each.created: each for each in row.again}
    found = known | {each.created: each for each in others if each.created != row.created}
    if found == known:
        return row
    told: list[Json] = [to_builtins(found[created]) for created in sorted(found)]
    return row.updated(again=told)
