"""Whether a poisoned set differs from its clean one in just the pairs that its ledger names."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence

from clipbench.contracts import Progress
from clipbench.errors import ClipbenchError
from clipbench.poisoning.assembly import base_identity
from clipbench.poisoning.ledger import Ledger
from clipbench.poisoning.ledger_rows import LedgerRow
from clipbench.shards.reader import ShardSet
from clipbench.text.visible import escaped
from clipbench.verification.fresh import Base
from clipbench.verification.set_checks import Check


class BaseChecks:
    """The checks of a poisoned set against its clean one.

    Args:
        shards: the set, opened from its shards alone.
        hashes: the SHA-256 of every shard.
        ledger: what was poisoned.
        named: the rows of the ledger whose pair is there, by the pair's number.
        base: the clean set.
        as_made: poisons that were made again and are what is there, even where that is the very
            pair they took the place of.
        progress: told about shards compared.
    """

    def __init__(
        self,
        shards: ShardSet,
        hashes: Sequence[str],
        ledger: Ledger,
        named: Mapping[int, LedgerRow],
        base: Base,
        as_made: Collection[int],
        progress: Progress,
    ) -> None:
        self._shards, self._hashes, self._ledger = shards, hashes, ledger
        self._named, self._as_made, self._progress = named, as_made, progress
        self._base, self._clean = base, base.shards
        self._old_key = {str(new): str(old) for old, new in ledger.moved}
        self._away = set(self._old_key.values())  # keys of clean pairs that made room
        self._seen = 0  # pairs of the clean set that are accounted for

    def __iter__(self) -> Iterator[Check]:
        """Yield the checks."""
        well = f"the clean set that the ledger names, {len(self._clean)} pairs"
        yield Check.of("clean set", list(self._head_problems()), well)
        named = list(self._row_problems())
        yield Check.of("named pairs", named, "each differs from the clean pair as its row says")
        others = list(self._pair_problems())
        if self._seen != len(self._clean):
            total = len(self._clean)
            others.insert(0, f"{self._seen} pairs of the clean set are accounted for, of {total}")
        yield Check.of("other pairs", others, "every one as in the clean set")
        yield self._time_check()

    # ----------------------------------------------------------------- the head

    def _head_problems(self) -> Iterator[str]:
        told, base = self._ledger.base, self._base
        if told.num_pairs not in (None, len(self._clean)):
            yield (
                f"the ledger gives the clean set {told.num_pairs} pairs, it has {len(self._clean)}"
            )
        if self._clean.manifest is not None:
            name, source = base_identity(self._clean)
            if (told.name, told.source) != (name, source):
                yield f"the clean set is {name!r} by its manifest, and another one by the ledger"
        if dict(self._ledger.left_out) != dict(base.left_out):
            yield (
                f"the ledger says that {dict(self._ledger.left_out)} were left out of the clean"
                f" set, and it is {dict(base.left_out)}"
            )

    # ----------------------------------------------------------------- pairs that are named

    def _row_problems(self) -> Iterator[str]:
        for pair, row in self._named.items():
            where = self._shards.where(pair)
            try:
                if self._ledger.mode == "replace":
                    yield from self._replaced(pair, row, where)
                else:
                    yield from self._inserted(pair, row, where)
            except ClipbenchError as error:
                yield str(error)

    def _replaced(self, pair: int, row: LedgerRow, where: str) -> Iterator[str]:
        clean, old = self._clean, row.base_index
        if not self._same_place(pair, old):
            yield f"{where} did not take the place of pair {old} of the clean set"
            return
        before = clean.caption(old)
        if escaped(before) != row.caption_before:
            yield f"{where} had another caption before than its ledger row says"
        same = (
            self._shards.caption(pair) == before
            and self._shards.image_bytes(pair) == clean.image_bytes(old)
            and pair not in self._as_made
        )
        if same:
            yield f"{where} is named as a poison and is the clean pair"

    def _same_place(self, pair: int, old: int) -> bool:
        if not 0 <= old < len(self._clean):
            return False
        shards, clean = self._shards, self._clean
        one, other = shards.shard_of(pair), clean.shard_of(old)
        in_shard = pair - shards.shards[one].first, old - clean.shards[other].first
        return (one, in_shard[0], shards.key(pair)) == (other, in_shard[1], clean.key(old))

    def _inserted(self, pair: int, row: LedgerRow, where: str) -> Iterator[str]:
        key, shard = self._shards.key(pair), self._shards.shard_of(pair)
        if row.caption_before is not None:
            yield f"{where} was inserted and has a caption before it in its ledger row"
        if not -1 <= row.base_index < len(self._clean):
            yield f"{where} was made from pair {row.base_index}, which the clean set lacks"
        if key not in self._away and self._find(shard, key) is not None:
            yield f"{where} is named as inserted and has the key of a clean pair that stayed"

    # ----------------------------------------------------------------- all other pairs

    def _pair_problems(self) -> Iterator[str]:
        """Go through both sets side by side; pairs keep their order."""
        for number, shard in enumerate(self._shards.shards):
            self._progress("comparing pairs", number, len(self._shards.shards))
            pairs = range(shard.first, shard.first + shard.num_pairs)
            known = self._base.hashes
            same = number < len(known) and known[number] == self._hashes[number]
            if same and not any(pair in self._named for pair in pairs):
                self._seen += self._clean.shards[number].num_pairs
            else:
                yield from self._shard_problems(number, pairs)
        self._progress("comparing pairs", len(self._shards.shards), len(self._shards.shards))

    def _shard_problems(self, number: int, pairs: range) -> Iterator[str]:
        clean = self._clean
        place = clean.shards[number] if number < len(clean.shards) else None
        next_, end = (place.first, place.first + place.num_pairs) if place else (0, 0)
        for pair in pairs:
            key = self._shards.key(pair)
            here = next_ < end and clean.key(next_) == key
            if pair in self._named:
                if here and (self._ledger.mode == "replace" or key in self._away):
                    self._seen += self._ledger.mode == "replace"  # else where it moved to
                    next_ += 1
                continue
            if key in self._old_key and not here:
                if self._is_any(pair, clean.find_all(self._old_key[key])):
                    self._seen += 1
                else:
                    yield f"{self._shards.where(pair)} is no poison but differs from the clean pair"
                continue
            found = next_ if here else self._find(number, key)
            if found is None:
                yield f"{self._shards.where(pair)} is no poison, and the clean set has no such pair"
                continue
            self._seen += 1
            if found < next_:
                yield f"{self._shards.where(pair)} is not where the clean set has it"
            next_ = max(next_, found + 1)
            if not self._equal(pair, found):
                yield f"{self._shards.where(pair)} is no poison but differs from the clean pair"

    def _find(self, shard: int, key: str) -> int | None:
        try:
            return self._clean.find_in(shard, key) if shard < len(self._clean.shards) else None
        except KeyError:
            return None

    def _is_any(self, pair: int, candidates: Sequence[int]) -> bool:
        """Return whether a pair that moved is one of these; it got other identifiers."""
        return any(self._equal(pair, other, moved=True) for other in candidates)

    def _equal(self, pair: int, other: int, *, moved: bool = False) -> bool:
        shards, clean = self._shards, self._clean
        try:
            return (
                shards.image_bytes(pair) == clean.image_bytes(other)
                and shards.caption(pair) == clean.caption(other)
                and (moved or shards.metadata_bytes(pair) == clean.metadata_bytes(other))
            )
        except ClipbenchError:
            return False

    # ----------------------------------------------------------------- files

    def _time_check(self) -> Check:
        """Compare file times with the clean set's, where the other shards still have theirs."""
        touched = {self._shards.shard_of(pair) for pair in self._named}
        pairs = list(zip(self._shards.shards, self._clean.shards, strict=False))
        others = [pair for number, pair in enumerate(pairs) if number not in touched]
        found = [
            f"{own.path} was changed at another time than its clean form"
            for number, (own, clean) in enumerate(pairs)
            if number in touched and own.mtime_ns != clean.mtime_ns
        ]
        kept = all(own.mtime_ns == clean.mtime_ns for own, clean in others)
        if found and not (others and kept):
            why = "not compared: the files were copied, or made again, without them"
            return Check("file times", passed=True, message=why, is_note=True)
        return Check.of("file times", found, "poisoned shards have none of their own")
