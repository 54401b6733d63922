"""Whether a poisoned set is poisoned as its ledger says, and in no other way."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

from clipbench.contracts import Progress
from clipbench.errors import ClipbenchError
from clipbench.poisoning.ledger import Ledger
from clipbench.poisoning.ledger_rows import LedgerRow
from clipbench.shards import manifest as manifests
from clipbench.shards.reader import ShardSet
from clipbench.text.visible import escaped
from clipbench.verification import traces
from clipbench.verification.base_checks import BaseChecks
from clipbench.verification.facets import Findings, joined
from clipbench.verification.fresh import Base
from clipbench.verification.set_checks import Check, file_number

NO_BASE = (
    "the ledger agrees with itself; without the clean set nobody can tell whether it names every"
    " poison"
)


class Origin(Protocol):
    """What a poisoned set came from: its clean set, and how its poisons were made."""

    def base(
        self, ledger: Ledger, shards: ShardSet, known: Mapping[tuple[int, int], str]
    ) -> Base | Check:
        """Return the clean set that the ledger names, or a check that says why there is none.

        Args:
            ledger: what was poisoned.
            shards: the poisoned set.
            known: hashes of its files, see `clipbench.verification.set_checks.fresh_hashes`.
        """

    def again(self, ledger: Ledger, shards: ShardSet, base: Base) -> Sequence[Again]:
        """Return what is found where the poisons are made again; nothing: it was not asked for."""


@dataclass(frozen=True)
class Again:
    """What was found where poisons were made again.

    Args:
        check: the check.
        as_made: poisons, by number of the pair, that are to the byte what was made.
    """

    check: Check
    as_made: frozenset[int] = frozenset()


class PoisonChecks:
    """The checks of a poisoned set, which share what they find about its poisons.

    Args:
        shards: the set, opened from its shards alone.
        hashes: the SHA-256 of every shard.
        ledger: what was poisoned.
        origin: finds the clean set and makes the poisons again.
        progress: told about shards compared.
    """

    def __init__(
        self,
        shards: ShardSet,
        hashes: Sequence[str],
        ledger: Ledger,
        origin: Origin,
        progress: Progress,
    ) -> None:
        self._shards, self._hashes, self._ledger = shards, hashes, ledger
        self._origin, self._progress = origin, progress
        self._poisons: dict[int, list[int]] = defaultdict(list)  # by shard
        self._named: dict[int, LedgerRow] = {}  # rows of the poisons that are there, by pair
        self._broken: set[int] = set()  # shards with poisons that can't be read

    def __iter__(self) -> Iterator[Check]:
        """Yield the checks, in order: later ones need what earlier ones found."""
        whole = f"whole; poisoned pairs: {self._ledger.count}"
        yield Check.of("ledger", list(self._ledger_problems()), whole)
        yield Check.of("poisons", list(self._poison_problems()), "every one as its row says")
        yield Check.of("other shards", list(self._linked_problems()), "as in the clean set")
        yield from self._origin_checks()
        readable = [item for item in self._poisons.items() if item[0] not in self._broken]
        for name, look in traces.LOOKS.items():
            yield _trace_check(f"no trace in {name}", [self._seen(look, *i) for i in readable])

    def _origin_checks(self) -> Iterator[Check]:
        """Hold the set against its clean one, and against its poisons made again."""
        shards, ledger = self._shards, self._ledger
        known = {
            file_number(shard.path): value
            for shard, value in zip(shards.shards, self._hashes, strict=True)
        }
        base = self._origin.base(ledger, shards, known)
        if isinstance(base, Check):
            yield base
            return
        again = list(self._origin.again(ledger, shards, base))
        made = again[0].as_made if again else frozenset()
        yield from BaseChecks(shards, self._hashes, ledger, self._named, base, made, self._progress)
        yield from (one.check for one in again)

    def _ledger_problems(self) -> Iterator[str]:
        ledger = self._ledger
        if ledger.num_pairs != len(self._shards):
            yield f"{ledger.path} counts {ledger.num_pairs} pairs, the shards {len(self._shards)}"
        if ledger.content_sha256 != manifests.content_sha256(self._hashes):
            yield f"{ledger.path} was written with other shards"
        yield from _base_problems(ledger)

    def _poison_problems(self) -> Iterator[str]:
        for row in self._ledger.rows.to_dict("records"):
            pair = int(row["index"])
            if pair >= len(self._shards) or escaped(self._shards.key(pair)) != row["key"]:
                yield f"pair {pair} does not have the key {row['key']} of its ledger row"
                continue
            where = self._shards.where(pair)
            shard = self._shards.shard_of(pair)
            self._poisons[shard].append(pair)
            self._named[pair] = LedgerRow(**{str(name): value for name, value in row.items()})
            try:
                self._shards.image(pair)
                caption = self._shards.caption(pair)
            except ClipbenchError as error:
                self._broken.add(shard)
                yield str(error)
                continue
            image = hashlib.sha256(self._shards.image_bytes(pair)).hexdigest()
            if escaped(self._shards.shards[shard].path.name) != row["shard"]:
                yield f"{where} should be in shard {row['shard']}"
            if caption != row["caption_after"]:
                yield f"{where} has another caption than its ledger row"
            if image != row["image_sha256"]:
                yield f"{where} has another image than its ledger row"

    def _linked_problems(self) -> Iterator[str]:
        """Compare shards without poison by their hash."""
        touched = {*self._poisons, *self._end_shards()}
        for number, record in enumerate(self._ledger.base.shards):
            if number >= len(self._shards.shards):
                yield f"shard {record.name} of the clean set is not there"
            elif number not in touched and record.sha256 != self._hashes[number]:
                yield f"{self._shards.shards[number].path} has no poison but is not the clean one"

    def _end_shards(self) -> set[int]:
        """Return the shards at the end of the set that took in pairs which made room."""
        shards = self._shards
        places = (pair for _, new in self._ledger.moved for pair in shards.find_all(str(new)))
        return {shards.shard_of(pair) for pair in places}

    def _seen(self, look: traces.Look, shard: int, pairs: list[int]) -> Findings:
        """Return what one look at the poisons of a shard says."""
        path = self._shards.shards[shard].path
        try:
            findings = look(self._shards, shard, pairs)
        except (ClipbenchError, ValueError) as error:
            return Findings([f"{path}: {error}"])
        return replace(findings, untold=[f"{facet} in {path}" for facet in findings.untold])


def _trace_check(name: str, findings: Sequence[Findings]) -> Check:
    """Return a check: failed, passed, or open where clean pairs differ too much to tell."""
    all_ = joined(findings)
    if all_.odd and not all_.found:
        why = f"{all_.odd[0]}{_more(all_.odd)}, and {all_.expected:.2g} are expected by chance"
    elif all_.untold and not all_.found:
        why = f"clean pairs differ too much in {all_.untold[0]}{_more(all_.untold)}"
    else:
        return Check.of(name, all_.found, "poisons look like their neighbors")
    return Check.undecided(name, f"cannot be decided here: {why}")


def _more(texts: Sequence[str]) -> str:
    return f" (and {len(texts) - 1} more)" if len(texts) > 1 else ""


def _base_problems(ledger: Ledger) -> Iterator[str]:
    """Yield where a ledger contradicts itself about its clean set."""
    base = ledger.base
    listed = [shard.sha256 for shard in base.shards]
    if manifests.content_sha256(listed) != base.content_sha256:
        yield f"{ledger.path} gives the clean set another hash than its shards have together"
    added = ledger.count if ledger.mode == "insert" else 0
    if base.num_pairs is not None and base.num_pairs + added != ledger.num_pairs:
        yield (
            f"{ledger.path} counts {base.num_pairs} clean pairs, {ledger.num_pairs} poisoned"
            f" ones and {ledger.count} in mode {ledger.mode}"
        )
    if ledger.moved and ledger.mode != "insert":
        yield f"{ledger.path} has pairs that made room, and nothing was inserted"
