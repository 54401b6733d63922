"""A result is taken into a folder of results: checked against itself, this version, its ledger.

What contradicts itself is refused. What cannot be vouched for is flagged: the flag stays with the
result, in its field ``flags``.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from clipbench.errors import BadInput, BadSetting, CorruptData, Torn
from clipbench.evaluation.plugins import lacks_control
from clipbench.files import sums
from clipbench.files.typed import Json
from clipbench.reproduce.resolved import resolved
from clipbench.results.files import write_atomic
from clipbench.results.model import Result
from clipbench.results.provenance import Again
from clipbench.results.result import checked, read_result
from clipbench.results.side_by_side import place_of
from clipbench.results.store import load_results
from clipbench.submit.again import noted, with_again
from clipbench.submit.contradictions import check_against_itself, check_against_ledger
from clipbench.submit.standing import Standing, standing
from clipbench.text.locations import has_secret
from clipbench.text.visible import visible

if TYPE_CHECKING:
    from clipbench.poisoning.ledger import Ledger

_PATH = re.compile(r"[/~]|\.{1,2}/|pipe:|[a-z][a-z0-9+.-]*://", re.IGNORECASE)


@dataclass(frozen=True)
class Submission:
    """A result that may be taken in.

    Args:
        result: the result with its flags.
        path: where it belongs.
        before: what is there already; None: nothing.
        adds: whether it says more than what is there, and nothing else of what that says.
    """

    result: Result
    path: Path
    before: Result | None
    adds: bool

    @property
    def flags(self) -> list[str]:
        """What cannot be vouched for."""
        return list(self.result.flags)

    @property
    def noted(self) -> list[Again]:
        """Other trainings of the run that were not known here."""
        known = () if self.before is None else self.before.again
        return [each for each in self.result.again if each not in known]

    @property
    def done(self) -> Literal["added", "completed", "kept"]:
        """What becomes of the file: it is new, or gains measurements, or stays as it is."""
        if self.before is None:
            return "added"
        return "completed" if self.adds else "kept"


def prepare(
    results: Sequence[Result],
    folder: Path,
    ledgers: Sequence[Ledger] = (),
    names: Mapping[str, str] | None = None,
) -> list[Submission]:
    """Check results, all of them before any is written.

    A result that says the same as the one there, and more, takes its place: measurements may be
    added to a run at any time, as a clean control. It keeps the names that the other has.

    Args:
        results: valid results.
        folder: where they shall go, each as ``ID.json``.
        ledgers: ledgers of some of them.
        names: short names for what lies somewhere, by field of the configuration.

    Raises:
        BadSetting: a result has no field that is named, or holds a secret.
        CorruptData: one contradicts itself, its ledger, or a result of the same run with other
            numbers; or a ledger belongs to none of them.
    """
    known = {ledger.sha256: ledger for ledger in ledgers}
    named = {result.attack.ledger_sha256 for result in results}
    for sha256, ledger in known.items():
        if sha256 not in named:
            raise CorruptData(
                f"Ledger {ledger.path} (SHA-256 {sha256[:16]}...) is that of no result given; the"
                f" results name {', '.join(sorted(n[:16] for n in named if n)) or 'none'}."
            )
    found: dict[str, Submission] = {}
    there: list[Result] = []
    if folder.is_dir():  # of damaged files `leaderboard` tells
        there = load_results([folder], skip_damaged=lambda _: None, may_lack=[folder])
    places = {place_of(result): result for result in there}
    for given in results:
        _refuse_secrets(given)
        path = folder / f"{given.id}.json"
        before = _there(path)
        kept = {} if before is None else before.names
        known_names = {name: kept[name] for name in kept.keys() & given.names.keys()}
        result = renamed(given, {**known_names, **(names or {})})
        check_against_itself(result)
        ledger_of = known.get(result.attack.ledger_sha256 or "")
        if ledger_of is not None:
            check_against_ledger(result, ledger_of)
        rival = places.setdefault(place_of(result), result)
        if rival.id != result.id and rival.metrics != result.metrics:
            raise CorruptData(
                f"Result {result.id} is of the same combination and seed as {rival.id} in {folder},"
                " with other numbers: a table has one of them, and nothing is replaced. Find out"
                " which is right, and remove the other."
            )
        earlier = found[result.id].result if result.id in found else before
        beside = Standing.MORE if earlier is None else standing(result, earlier)
        if beside is Standing.OTHER:
            raise CorruptData(
                f"There is a result {result.id} with other numbers, {path}; nothing is replaced."
                " Find out which is right, and remove the other; or note in it that the run was"
                " made again, with --again."
            )
        if beside is Standing.MORE:
            flagged = result.updated(flags=flags_of(result))
            kept_notes = earlier.again if earlier else ()
            joined = with_again(flagged, kept_notes)
            found[result.id] = Submission(joined, path, before, adds=True)
        elif earlier is not None:
            joined = with_again(earlier, result.again)
            adds = joined is not earlier or (result.id in found and found[result.id].adds)
            found[result.id] = Submission(joined, path, before, adds)
    return list(found.values())


def prepare_again(results: Sequence[Result], folder: Path) -> list[Submission]:
    """Note in rows that their runs were made again, see `clipbench.submit.again`.

    Args:
        results: valid results of runs that the folder has.
        folder: of the rows.

    Raises:
        BadSetting: the folder has no row of a run, or it tells of no training.
        CorruptData: a result contradicts itself, or has no metric of its row.
    """
    found: dict[str, Submission] = {}
    for result in results:
        _refuse_secrets(result)
        path = folder / f"{result.id}.json"
        before = _there(path)
        if before is None:
            raise BadSetting(
                f"There is no result {result.id} in {folder} that was made again; submit it"
                " without --again."
            )
        row = found[result.id].result if result.id in found else before
        told = noted(result, row, path)
        found[result.id] = Submission(told, path, before, adds=told.again != before.again)
    return list(found.values())


def renamed(result: Result, names: Mapping[str, str]) -> Result:
    """Return a result with other short names for what lies somewhere, by field.

    Raises:
        BadSetting: it has no such field.
    """
    known = result.names
    if unknown := sorted(names.keys() - known.keys()):
        raise BadSetting(
            f"Result {result.id} has nothing to name at {', '.join(unknown)}; it has"
            f" {', '.join(sorted(known)) or 'none'}."
        )
    return result.updated(names={**known, **names}) if names else result


def _refuse_secrets(result: Result) -> None:
    """Refuse a result that an earlier clipbench wrote with a command or a password in it."""
    if any(map(has_secret, paths_in(result.config))):
        raise BadSetting(
            f"Result {result.id} holds a command, or an address that may hold a password or a"
            " token, and what is submitted may be read by anybody; do the run again, for this"
            " clipbench writes none into results."
        )


def write(submission: Submission) -> Path:
    """Write a result as canonical JSON: names sorted, one newline at the end.

    Raises:
        ClipbenchError: the file system refuses.
    """
    record = sums.summed(submission.result.record)
    text = json.dumps(record, sort_keys=True, indent=2, allow_nan=False)
    checked(json.loads(text), submission.path)
    return write_atomic(submission.path, f"{text}\n".encode())


def flags_of(result: Result) -> list[str]:
    """Return what cannot be vouched for, a sentence each; empty: nothing."""
    flags = []
    try:
        config = resolved(result)
    except BadInput as error:
        flags.append(f"its configuration cannot be resolved here: {error}")
    else:
        if config.sha256() != result.config_sha256:
            made = result.environment.clipbench
            flags.append(
                f"made by another version ({made}): here its configuration is run {config.id}"
            )
    if str(result.environment.git or "").endswith("-dirty"):
        flags.append("made by code with changes that are in no commit")
    if result.attack.count and lacks_control(result.metrics):
        flags.append("no clean control: success without attack is not known")
    if paths_in(result.config):
        flags.append("it names its data by a path, so that other data may have the same id")
    return [visible(" ".join(flag.split())) for flag in flags]


def paths_in(value: Json) -> list[str]:
    """Return the texts in a configuration that look like paths, addresses or commands."""
    if isinstance(value, Mapping):
        return [text for part in value.values() for text in paths_in(part)]
    if isinstance(value, (list, tuple)):
        return [text for part in value for text in paths_in(part)]
    return [value] if isinstance(value, str) and _PATH.match(value) else []


def _there(path: Path) -> Result | None:
    try:
        return read_result(path) if path.exists() else None
    except Torn:  # what is handed in takes its place
        return None
