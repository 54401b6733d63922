"""Check a set of shards against its manifest, and a poisoned one against its ledger.

Nothing is taken from a cache: every tar header is read and every shard hashed again.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from clipbench.contracts import Progress, no_progress
from clipbench.custody.signatures import Signers
from clipbench.errors import ClipbenchError, Unsigned
from clipbench.fetching.sources import parts_of
from clipbench.importing.screen import screen
from clipbench.poisoning.ledger import Ledger, LedgerHead, ledger_path, read_head, read_ledger
from clipbench.shards import manifest as manifests
from clipbench.shards.reader import ShardSet
from clipbench.system.durable import scratch_folder
from clipbench.verification.fresh import Base, open_base, open_full, usable
from clipbench.verification.poison_checks import NO_BASE, Again, Origin, PoisonChecks
from clipbench.verification.set_checks import Check, fresh_hashes, set_checks


@dataclass(frozen=True)
class VerifyReport:
    """What was checked in a set.

    Args:
        folder: the folder of shards.
        checks: all checks made, in order.
        num_pairs: pairs found; 0 if the shards can't be read.
        num_poisons: poisons the ledger lists; 0 without ledger.
        content_sha256: of the shards as they were found; empty if they can't be read.
    """

    folder: Path
    checks: tuple[Check, ...]
    num_pairs: int
    num_poisons: int
    content_sha256: str = ""

    @property
    def passed(self) -> bool:
        """Whether no check failed."""
        return all(check.passed for check in self.checks)

    @property
    def is_open(self) -> bool:
        """Whether no check failed, and some could not be decided here."""
        return self.passed and any(check.is_open for check in self.checks)


class _Given:
    """The origin of a set whose clean one is at hand, or not, and that is not made again."""

    def __init__(self, shards: ShardSet | None, progress: Progress) -> None:
        self._shards, self._progress = shards, progress

    def base(
        self,
        ledger: Ledger,
        shards: ShardSet,  # noqa: ARG002 - of the protocol
        known: Mapping[tuple[int, int], str],
    ) -> Base | Check:
        """Return the clean set that was given, opened from its shards alone."""
        if self._shards is None:
            return Check.undecided("clean set", f"{NO_BASE}; give it with --base")
        field, leaves_out = reading_of(ledger)
        found = open_base(
            self._shards.source,
            caption_field=field,
            leaves_out=leaves_out,
            known=known,
            progress=self._progress,
        )
        if found.content_sha256 != ledger.base.content_sha256:
            said = f"{self._shards.source} is not the set that {ledger.path} names as its base"
            return Check("clean set", passed=False, message=said)
        return found

    def again(self, ledger: Ledger, shards: ShardSet, base: Base) -> Sequence[Again]:  # noqa: ARG002
        """Return nothing."""
        return ()


def verify(
    folder: Path,
    ledger: Path | None = None,
    base: ShardSet | None = None,
    progress: Progress = no_progress,
    origin: Origin | None = None,
    signers: Path | None = None,
) -> VerifyReport:
    """Check a set, and with its ledger also that it is poisoned as that says and in no other way.

    Args:
        folder: a folder of shards; or of a poisoned set, whose ledger is then taken, too.
        ledger: the set's ledger.
        base: the clean set it was made from; all pairs are then compared with it.
        progress: told about shards hashed and compared.
        origin: finds the clean set, in the place of `base`, and makes the poisons again.
        signers: file of those who may sign a manifest; None: signatures are not looked at.
    """
    folder, inside = parts_of(folder)
    ledger = ledger or inside
    try:
        shards = _opened(folder, ledger, progress)
    except ClipbenchError as error:
        return VerifyReport(folder, (Check("pairs", passed=False, message=str(error)),), 0, 0)
    hashes = fresh_hashes(shards, progress)
    checks = list(set_checks(folder, shards, hashes, described=ledger is not None))
    if signers is not None:
        checks.append(_signature_check(folder, signers))
    if ledger is None and not (folder / manifests.NAME).exists():
        checks.append(_usable_check(shards, progress))
    poisons = 0
    if ledger is not None:
        try:
            book = read_ledger(ledger)
        except ClipbenchError as error:
            checks.append(Check("ledger", passed=False, message=str(error)))
        else:
            checks += PoisonChecks(shards, hashes, book, origin or _Given(base, progress), progress)
            poisons = book.count
    content = manifests.content_sha256(hashes)
    return VerifyReport(folder, tuple(checks), len(shards), poisons, content)


def _signature_check(folder: Path, signers: Path) -> Check:
    """Return the check that a set's manifest is signed; another one compares shards with that."""
    manifest = folder / manifests.NAME
    try:
        if not manifest.is_file():
            raise Unsigned(f"there is no {manifests.NAME} that could be signed")
        signer = Signers(signers).signer_of(manifest)
    except Unsigned as error:
        return Check("signature", passed=False, message=str(error))
    return Check("signature", passed=True, message=f"{manifests.NAME} is signed by {signer}")


def _usable_check(shards: ShardSet, progress: Progress) -> Check:
    """Return the check that nothing of a set would be left out; what clipbench wrote is usable."""
    with scratch_folder("verify") as fresh:
        found = screen(shards, fresh, progress=progress)
    problems = [f"{shards.where(one.pair)}: {one.reason}, {one.detail}" for one in found]
    return Check.of("usable", problems, "every image is decoded, every caption has something seen")


def _opened(folder: Path, ledger: Path | None, progress: Progress) -> ShardSet:
    """Open a set from its shards alone, without the pairs that its ledger says are left out."""
    field, leaves_out = _reading(ledger)
    full = open_full(folder, field, leaves_out=leaves_out, progress=progress)
    return usable(full, progress)[0] if leaves_out else full


def _reading(ledger: Path | None) -> tuple[str | None, bool]:
    """Return where the set of a ledger has its captions, and whether pairs are left out."""
    try:
        head = None if ledger is None else read_head(ledger_path(ledger))[0]
    except ClipbenchError:  # told when the ledger is checked
        head = None
    return (None, False) if head is None else reading_of(head)


def reading_of(head: LedgerHead) -> tuple[str | None, bool]:
    """Return where the set of a ledger has its captions, and whether pairs are left out."""
    field = head.dataset.get("caption_field")
    return field if isinstance(field, str) else None, bool(head.left_out)
