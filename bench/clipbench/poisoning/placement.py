"""Where poisoned pairs go, and under which keys, so that neither gives them away.

Replacing is simple: a poison takes the place and the key of a clean pair. Inserting must leave
keys, order and shard sizes as an ordinary writer would have made them:

- where the keys of a shard have gaps (downloads that failed), a poison takes a free number between
  them;
- where they have none, it takes the place and key of a random pair, and that pair moves to the end
  of the set under the next key (it is the clean pair that moved, then, whose identifiers are
  new), opening a new shard if the last one is as full as the others;
- where keys are no numbers, it gets one of the same alphabet and length, in order if they are in
  order.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from clipbench.errors import BadSetting
from clipbench.poisoning.keys import Keys, Move, Place
from clipbench.rng import generator
from clipbench.shards.reader import ShardSet


@dataclass(frozen=True)
class Placement:
    """Where all poisons go, in the order they were made, and what made room for them."""

    places: tuple[Place, ...]
    moves: tuple[Move, ...] = ()


def replacing(base: ShardSet, wanted: Sequence[int | None], seed: int) -> Placement:
    """Let every poison take the place of a clean pair.

    Args:
        base: the clean set.
        wanted: for every poison the pair it replaces; None: any other, drawn from the seed.
        seed: the run's seed.

    Raises:
        BadSetting: two poisons want one place, a place is out of range, or places run out.
    """
    fixed: set[int] = set()
    for pair in wanted:
        if pair is None:
            continue
        if not 0 <= pair < len(base):
            raise BadSetting(f"A poison replaces pair {pair}, but {base.source} has {len(base)}.")
        if pair in fixed:
            raise BadSetting(f"Two poisons replace the same pair, {base.where(pair)}.")
        fixed.add(pair)
    if len(wanted) > len(base):
        raise BadSetting(f"{len(wanted)} poisons can't replace {len(base)} pairs.")
    rng = generator(seed, "overlay", "replace")
    drawn = rng.choice(len(base), len(wanted), replace=False).tolist()
    free = (pair for pair in drawn if pair not in fixed)
    pairs = [next(free) if pair is None else pair for pair in wanted]
    return Placement(tuple(Place(pair, base.key(pair)) for pair in pairs))


def inserting(base: ShardSet, count: int, seed: int) -> Placement:
    """Put every poison at a random place beside the clean pairs.

    Raises:
        BadSetting: there are more poisons than clean pairs.
    """
    if count > len(base):
        raise BadSetting(
            f"{count} poisons can't be inserted among {len(base)} pairs; use a rate of at most 0.5."
        )
    rng = generator(seed, "overlay", "insert")
    keys = Keys(base, rng)
    places: list[Place] = []
    moves: list[Move] = []
    for pair in map(int, rng.choice(len(base), count, replace=False)):
        place = keys.free_place(base.shard_of(pair))
        if place is None:
            move = keys.end_place(pair, len(moves))
            moves.append(move)
            place = Place(pair, base.key(pair))
        places.append(place)
    return Placement(tuple(places), tuple(moves))
