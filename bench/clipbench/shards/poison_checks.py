"""Whether a poisoned set is poisoned as its ledger says, and in no other way."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Iterator, Sequence

from clipbench.contracts import Progress
from clipbench.errors import ClipbenchError
from clipbench.shards import manifest as manifests
from clipbench.shards import traces
from clipbench.shards.ledger import Ledger
from clipbench.shards.reader import ShardSet
from clipbench.shards.set_checks import Check
from clipbench.visible import escaped


class PoisonChecks:
    """The checks of a poisoned set, which share what they find about its poisons.

    Args:
        shards: the set, opened from its shards alone.
        hashes: the SHA-256 of every shard.
        ledger: what was poisoned.
        base: the clean set it was made from; None: other pairs are not compared.
        progress: told about shards compared.
    """

    def __init__(
        self,
        shards: ShardSet,
        hashes: Sequence[str],
        ledger: Ledger,
        base: ShardSet | None,
        progress: Progress,
    ) -> None:
        self._shards, self._hashes, self._ledger = shards, hashes, ledger
        self._base, self._progress = base, progress
        self._poisons: dict[int, list[int]] = defaultdict(list)  # by shard
        self._broken: set[int] = set()  # shards with poisons that can't be read

    def __iter__(self) -> Iterator[Check]:
        """Yield the checks, in order: later ones need what earlier ones found."""
        whole = f"whole; poisoned pairs: {self._ledger.count}"
        yield Check.of("ledger", list(self._ledger_problems()), whole)
        yield Check.of("poisons", list(self._poison_problems()), "every one as its row says")
        yield Check.of("other shards", list(self._linked_problems()), "as in the clean set")
        if self._base is not None:
            others = list(self._clean_problems(self._base))
            yield Check.of("other pairs", others, "as in the clean set")
            times = list(self._time_problems(self._base))
            yield Check.of("file times", times, "poisoned shards have none of their own")
        readable = [item for item in self._poisons.items() if item[0] not in self._broken]
        for name, look in traces.LOOKS.items():
            found = [text for item in readable for text in self._seen(look, *item)]
            yield Check.of(f"no trace in {name}", found, "poisons look like their neighbours")

    def _ledger_problems(self) -> Iterator[str]:
        ledger, base = self._ledger, self._base
        if ledger.num_pairs != len(self._shards):
            yield f"{ledger.path} counts {ledger.num_pairs} pairs, the shards {len(self._shards)}"
        if ledger.content_sha256 != manifests.content_sha256(self._hashes):
            yield f"{ledger.path} was written with other shards"
        if base is not None and base.content_sha256() != ledger.base["content_sha256"]:
            yield f"{base.source} is not the set that {ledger.path} names as its base"

    def _poison_problems(self) -> Iterator[str]:
        for row in self._ledger.rows.to_dict("records"):
            pair = int(row["index"])
            if pair >= len(self._shards) or escaped(self._shards.key(pair)) != row["key"]:
                yield f"pair {pair} does not have the key {row['key']} of its ledger row"
                continue
            where = self._shards.where(pair)
            shard = self._shards.shard_of(pair)
            self._poisons[shard].append(pair)
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
        for number, record in enumerate(self._ledger.base["shards"]):
            if number >= len(self._shards.shards):
                yield f"shard {record['name']} of the clean set is not there"
            elif number not in touched and record["sha256"] != self._hashes[number]:
                yield f"{self._shards.shards[number].path} has no poison but is not the clean one"

    def _end_shards(self) -> set[int]:
        """Return the shards at the end of the set that took in pairs which made room."""
        return {self._shards.shard_of(self._shards.find(new)) for _, new in self._ledger.moved}

    def _clean_problems(self, base: ShardSet) -> Iterator[str]:
        """Compare all pairs that are no poison, in shards that differ, with the clean set."""
        old_key = {new: old for old, new in self._ledger.moved}
        clean_hashes = base.hashes()
        poisons = {pair for pairs in self._poisons.values() for pair in pairs}
        seen = self._ledger.count if self._ledger.mode == "replace" else 0
        for number, shard in enumerate(self._shards.shards):
            self._progress("comparing pairs", number, len(self._shards.shards))
            same = number < len(clean_hashes) and clean_hashes[number] == self._hashes[number]
            for pair in range(shard.first, shard.first + shard.num_pairs):
                if pair in poisons:
                    continue
                seen += 1
                key = self._shards.key(pair)
                if not same and not self._equal(pair, base, old_key.get(key, key), number):
                    yield f"{self._shards.where(pair)} is no poison but differs from the clean pair"
        if seen != len(base):
            yield f"{seen} pairs of the clean set are accounted for, of {len(base)}"

    def _time_problems(self, base: ShardSet) -> Iterator[str]:
        """Compare file times with the clean set's, if the other shards still have theirs."""
        pairs = list(zip(self._shards.shards, base.shards, strict=False))
        others = [pair for number, pair in enumerate(pairs) if number not in self._poisons]
        if all(own.mtime_ns == clean.mtime_ns for own, clean in others):
            for number in self._poisons:
                if number < len(pairs) and pairs[number][0].mtime_ns != pairs[number][1].mtime_ns:
                    yield f"{pairs[number][0].path} was changed at another time than its clean form"

    def _seen(self, look: traces.Look, shard: int, pairs: list[int]) -> list[str]:
        try:
            return look(self._shards, shard, pairs)
        except (ClipbenchError, ValueError) as error:
            return [f"{self._shards.shards[shard].path}: {error}"]

    def _equal(self, pair: int, base: ShardSet, key: str, shard: int) -> bool:
        """Tell whether a pair is the base's of that key; one that moved got other identifiers."""
        shards = self._shards
        moved = shards.key(pair) != key
        try:
            return any(
                shards.image_bytes(pair) == base.image_bytes(other)
                and shards.caption(pair) == base.caption(other)
                and (moved or shards.metadata_bytes(pair) == base.metadata_bytes(other))
                for other in _candidates(base, key, None if moved else shard)
            )
        except ClipbenchError:
            return False


def _candidates(base: ShardSet, key: str, shard: int | None) -> list[int]:
    """Return the pairs with `key`: of one shard, or of all; joined sets may have several."""
    if shard is None or shard >= len(base.shards):
        return base.find_all(key)
    try:
        return [base.find_in(shard, key)]
    except KeyError:
        return []
