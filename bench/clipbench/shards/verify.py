"""Check a set of shards against its manifest, and a poisoned one against its ledger.

Nothing is taken from a cache: every tar header is read and every shard hashed again.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from clipbench.contracts import Progress, no_progress
from clipbench.durable import scratch_folder
from clipbench.errors import ClipbenchError
from clipbench.shards import manifest as manifests
from clipbench.shards.ledger import ledger_path, read_head, read_ledger
from clipbench.shards.poison_checks import PoisonChecks
from clipbench.shards.reader import ShardSet
from clipbench.shards.scan import refuse_empty, scan
from clipbench.shards.screen import screen
from clipbench.shards.set_checks import Check, fresh_hashes, set_checks
from clipbench.shards.sources import expand, parts_of
from clipbench.shards.usable import without


@dataclass(frozen=True)
class VerifyReport:
    """What was checked in a set.

    Args:
        folder: the folder of shards.
        checks: all checks made, in order.
        num_pairs: pairs found; 0 if the shards can't be read.
        num_poisons: poisons the ledger lists; 0 without ledger.
    """

    folder: Path
    checks: tuple[Check, ...]
    num_pairs: int
    num_poisons: int

    @property
    def passed(self) -> bool:
        """Whether every check passed."""
        return all(check.passed for check in self.checks)


def verify(
    folder: Path,
    ledger: Path | None = None,
    base: ShardSet | None = None,
    progress: Progress = no_progress,
) -> VerifyReport:
    """Check a set, and with its ledger also that it is poisoned as that says and in no other way.

    Args:
        folder: a folder of shards; or of a poisoned set, whose ledger is then taken, too.
        ledger: the set's ledger.
        base: the clean set it was made from; all other pairs are then compared with it.
        progress: told about shards hashed and compared.
    """
    folder, inside = parts_of(folder)
    ledger = ledger or inside
    try:
        shards = _opened(folder, expand(folder), ledger, progress)
    except ClipbenchError as error:
        return VerifyReport(folder, (Check("pairs", passed=False, message=str(error)),), 0, 0)
    hashes = fresh_hashes(shards, progress)
    checks = list(set_checks(folder, shards, hashes, described=ledger is not None))
    if ledger is None and not (folder / manifests.NAME).exists():
        checks.append(_usable_check(shards, progress))
    poisons = 0
    if ledger is not None:
        try:
            book = read_ledger(ledger)
        except ClipbenchError as error:
            checks.append(Check("ledger", passed=False, message=str(error)))
        else:
            checks += PoisonChecks(shards, hashes, book, base, progress)
            poisons = book.count
    return VerifyReport(folder, tuple(checks), len(shards), poisons)


def _usable_check(shards: ShardSet, progress: Progress) -> Check:
    """Return the check that nothing of a set would be left out; what clipbench wrote is usable."""
    with scratch_folder("verify") as fresh:
        found = screen(shards, fresh, progress=progress)
    problems = [f"{shards.where(one.pair)}: {one.reason}, {one.detail}" for one in found]
    return Check.of("usable", problems, "every image is decoded, every caption has something seen")


def _opened(
    folder: Path, paths: Sequence[Path], ledger: Path | None, progress: Progress
) -> ShardSet:
    """Open a set from its shards alone, without the pairs that its ledger says are left out."""
    field, leaves_out = _reading(ledger)
    found = scan(paths, progress, caption_field=field, joined=manifests.is_joined(folder))
    if not leaves_out:
        found.refuse_incomplete(paths)
    refuse_empty(found.index, paths)
    full = ShardSet(
        str(folder),
        paths,
        (found.index, found.stamps),
        caption_field=field,
        incomplete=found.incomplete,
    )
    if not leaves_out:
        return full
    with scratch_folder("verify") as fresh:
        unusable = screen(full, fresh, progress=progress)
        return without(full, [one.pair for one in unusable], None)


def _reading(ledger: Path | None) -> tuple[str | None, bool]:
    """Return where the set of a ledger has its captions, and whether pairs are left out."""
    try:
        head = None if ledger is None else read_head(ledger_path(ledger))[0]
    except ClipbenchError:  # told when the ledger is checked
        head = None
    if head is None:
        return None, False
    field = head.dataset.get("caption_field")
    return field if isinstance(field, str) else None, bool(head.left_out)
