"""Keys for inserted pairs that fit the existing numbering of a set."""

from __future__ import annotations

import re
from bisect import bisect
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from clipbench.errors import ClipbenchError
from clipbench.shards.reader import ShardSet

_SHARD_DIGITS = 5  # of img2dataset's keys: shard number, then number in the shard
_KEY_DIGITS = 9
_NUMBERED = re.compile(r"(.*?)([0-9]+)")
_SPARSE = 100  # a numbering that uses less than one number in so many is none
_TRIES = 10_000


@dataclass(frozen=True)
class Place:
    """Where one poison goes.

    Args:
        model: pair of the base whose file form and JSON it takes over.
        key: its key.
        before: pair of the base before which it is put; None: in the model's own place.
    """

    model: int
    key: str
    before: int | None = None


@dataclass(frozen=True)
class Move:
    """A clean pair that made room.

    Args:
        pair: its number in the base.
        key: its new key.
        shard: the shard it moves to the end of; may be beyond those there are.
        step: how many pairs moved before it.
    """

    pair: int
    key: str
    shard: int
    step: int


@dataclass(frozen=True)
class Numbering:
    """Keys that are a fixed beginning and a number of fixed width."""

    head: str
    width: int

    @classmethod
    def of(cls, keys: Sequence[str]) -> Numbering | None:
        """Return the numbering all keys follow, if they do."""
        match = _NUMBERED.fullmatch(keys[0])
        if match is None:
            return None
        own = cls(match[1], len(match[2]))
        return own if all(own.number(key) is not None for key in keys) else None

    def number(self, key: str) -> int | None:
        """Return the number of a key; None if it does not follow this numbering."""
        digits = key[len(self.head) :]
        fits = key.startswith(self.head) and len(digits) == self.width
        return int(digits) if fits and digits.isascii() and digits.isdigit() else None

    def key(self, number: int) -> str:
        """Return the key of a number."""
        return f"{self.head}{number:0{self.width}d}"


@dataclass(frozen=True)
class _ShardKeys:
    """The keys of one shard.

    Args:
        keys: in order of position.
        is_sorted: whether they rise.
        numbering: how they are numbered, if they are.
        free: numbers between the lowest and the highest that no pair has, in random order.
    """

    keys: list[str]
    is_sorted: bool
    numbering: Numbering | None
    free: list[int]


class Keys:
    """Finds keys that fit the numbering of this set."""

    def __init__(self, base: ShardSet, rng: np.random.Generator) -> None:
        self._base, self._rng = base, rng
        self._shards: dict[int, _ShardKeys] = {}
        self._taken: set[str] = set()
        self._away = {key for left in base.left_out.values() for key in left.keys}
        self._last = len(base.shards) - 1
        # The last shard may be empty, as where nothing of its pictures was fetched.
        self._tail = max(n for n, shard in enumerate(base.shards) if shard.num_pairs)
        self._held = base.shards[-1].num_pairs
        self._end_key: str | None = None
        counts = [shard.num_pairs for shard in base.shards]
        even = len(counts) > 1 and len(set(counts[:-1])) == 1 and counts[-1] <= counts[0]
        self._capacity = counts[0] if even else None
        self._by_shard = _has_shard_numbers(base)

    def _of(self, shard: int) -> _ShardKeys:
        if shard not in self._shards:
            self._shards[shard] = self._read(shard)
        return self._shards[shard]

    def _read(self, shard: int) -> _ShardKeys:
        place = self._base.shards[shard]
        column = self._base.index["key"][place.first : place.first + place.num_pairs]
        keys = [key.decode(errors="surrogateescape") for key in column.tolist()]
        ordered = all(one < two for one, two in pairwise(keys))
        numbering, free = Numbering.of(keys), []
        if numbering is not None:
            numbers = {numbering.number(key) or 0 for key in keys}
            span = range(min(numbers), max(numbers) + 1)
            if len(span) > _SPARSE * len(numbers):
                numbering = None  # random numbers, not a numbering with gaps
            else:
                numbers |= {numbering.number(key) or 0 for key in self._left_out(shard)}
                free = [number for number in span if number not in numbers]
                self._rng.shuffle(free)
        return _ShardKeys(keys, ordered, numbering, free)

    def _left_out(self, shard: int) -> list[str]:
        """Return keys that are in the shard though the set leaves their pairs out."""
        left = self._base.left_out.get(shard)
        keys = () if left is None else left.keys
        return sorted(key.decode(errors="surrogateescape") for key in keys)

    def free_place(self, shard: int) -> Place | None:
        """Return a place under a free key in this shard; None if its numbering has no gap."""
        own = self._of(shard)
        key = self._invented(shard) if own.numbering is None else self._unused(own)
        if key is None:
            return None
        first = self._base.shards[shard].first
        at = bisect(own.keys, key) if own.is_sorted else int(self._rng.integers(len(own.keys)))
        models: Sequence[int] = range(len(own.keys))
        if own.numbering is None:  # headers are the model's, with a key of the same length
            models = [row for row, other in enumerate(own.keys) if _size(other) == _size(key)]
        return Place(first + models[int(self._rng.integers(len(models)))], key, first + at)

    def _unused(self, own: _ShardKeys) -> str | None:
        """Return the key of a free number that no other shard has either; None if there is none."""
        assert own.numbering is not None
        while own.free:
            key = own.numbering.key(own.free.pop())
            if key not in self._taken and not self._exists(key):
                self._taken.add(key)
                return key
        return None

    def _invented(self, shard: int) -> str:
        """Return a new key of the length and, letter by letter, the alphabet of the shard's."""
        own = self._of(shard)
        for _ in range(_TRIES):
            model = own.keys[int(self._rng.integers(len(own.keys)))]
            peers = [key for key in own.keys if len(key) == len(model)]
            drawn = self._rng.integers(len(peers), size=len(model)).tolist()
            key = "".join(peers[row][at] for at, row in enumerate(drawn))
            is_last = own.is_sorted and key > own.keys[-1]
            fits = _size(key) == _size(model) and not is_last
            if fits and key not in self._taken and not self._exists(key):
                self._taken.add(key)
                return key
        raise ClipbenchError(
            f"Shard {self._base.shards[shard].path} has no free key of the form of "
            f"{own.keys[0]!r}; use an attack that replaces pairs."
        )

    def _exists(self, key: str) -> bool:
        """Return whether any shard has a pair of that key, be it one that the set leaves out."""
        if key.encode(errors="surrogateescape") in self._away:
            return True
        try:
            self._base.find(key)
        except KeyError:
            return False
        return True

    def end_place(self, pair: int, step: int) -> Move:
        """Return where `pair` goes when a poison takes its place: the end of the set."""
        key = self._next_key()
        is_full = self._capacity is not None and self._held >= self._capacity
        if is_full or (self._by_shard and int(key[:_SHARD_DIGITS]) != self._last):
            self._last, self._held = self._last + 1, 0
            if self._by_shard:
                key = _first_key(self._last)
        if _size(key) != _size(self._base.key(pair)):
            raise ClipbenchError(
                f"{self._base.where(pair)} can't get the key {key!r}, of another length; use an "
                "attack that replaces pairs."
            )
        self._end_key, self._held = key, self._held + 1
        return Move(pair, key, self._last, step)

    def _next_key(self) -> str:
        numbering = self._of(self._tail).numbering
        if self._end_key is None:
            column = self._base.index["key"]
            start = self._base.shards[-1].first if self._by_shard else 0
            others = [key for left in self._base.left_out.values() for key in left.keys]
            if self._by_shard:
                others = [
                    key.encode(errors="surrogateescape") for key in self._left_out(self._last)
                ]
            found = [*column[start:].tolist(), *others]
            if not found:
                return _first_key(self._last)
            self._end_key = max(found).decode(errors="surrogateescape")
        number = numbering.number(self._end_key) if numbering is not None else None
        if numbering is None or number is None or number + 1 == 10**numbering.width:
            raise ClipbenchError(
                f"No key of {self._base.source} can follow {self._end_key!r}; "
                "use an attack that replaces pairs."
            )
        return numbering.key(number + 1)


def _first_key(shard: int) -> str:
    """Return the first key that img2dataset gives in a shard."""
    return f"{shard:0{_SHARD_DIGITS}d}{0:0{_KEY_DIGITS - _SHARD_DIGITS}d}"


def _size(key: str) -> int:
    return len(key.encode(errors="surrogateescape"))


def _has_shard_numbers(base: ShardSet) -> bool:
    """Return whether keys are shard number and number in the shard, as img2dataset gives them."""
    for number, shard in enumerate(base.shards):
        if not shard.num_pairs:
            continue
        for pair in (shard.first, shard.first + shard.num_pairs - 1):
            key = base.key(pair)
            if not (len(key) == _KEY_DIGITS and key.isdigit()):
                return False
            if int(key[:_SHARD_DIGITS]) != number:
                return False
    return True
