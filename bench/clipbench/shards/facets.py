"""Whether what is suspected is like what is clean, where clean ones tell; one facet at a time.

Where clean pairs differ much among themselves, a new one may well have a feature never seen: the
chance is about the share of pairs whose feature is unique (Good, 1953). So a feature that nobody
clean has says something only where few clean ones have a feature of their own. Pairs of the web
differ in everything taken together; they differ less in the format of their images alone, and it
gives a poison away as well. So where all facets together tell nothing, each is looked at by itself,
the finest value first that tells.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice

# A name for each facet, and its values, the finest first, each a function of the one before.
Facets = Mapping[str, tuple[Hashable, ...]]

FIRST_LOOK = 200  # clean pairs that are looked at first
_SECOND_LOOK = 2_000  # where those are too few to tell
_CHANCE = 0.01


@dataclass(frozen=True)
class Findings:
    """What a look at the poisons of a shard says.

    Args:
        found: what gives poisons away, in words.
        untold: the facets of which nobody can tell, in words.
    """

    found: list[str] = field(default_factory=list)
    untold: list[str] = field(default_factory=list)


def compared(suspects: Mapping[str, Facets], clean: Iterable[Facets], text: str) -> Findings:
    """Return which of some pairs have what no clean pair has, where that means anything.

    Args:
        suspects: facets by key.
        clean: those of the clean pairs beside them; as many are asked for as it takes to tell, and
            all of them before anything is found. Any first part must lie all over them.
        text: says what was found, with ``{key}`` in the place of the key.
    """
    rest = iter(clean)
    seen = list(islice(rest, FIRST_LOOK))
    odd, untold = _odd(suspects, seen)
    if odd or untold:
        seen += islice(rest, _SECOND_LOOK - FIRST_LOOK)
        odd, untold = _odd(suspects, seen)
    left = _without_those(rest, odd)
    found = [text.format(key=key) for key in suspects if key in left]
    return Findings(found, untold)


# Of a key: the facets, each with the number of its value, that no clean pair has; "" is all.
_Odd = dict[str, dict[tuple[str, int], Hashable]]


def _odd(suspects: Mapping[str, Facets], clean: Sequence[Facets]) -> tuple[_Odd, list[str]]:
    """Return what is odd about which suspects, and the facets that tell nothing."""
    odd: _Odd = {}
    untold: list[str] = []

    def tells(name: str, level: int) -> bool:
        """Note the suspects whose value is odd, if that means anything."""
        counts = Counter(value_of(facets, name, level) for facets in clean)
        unique = sum(1 for times in counts.values() if times == 1)
        if not clean or unique > _CHANCE * counts.total():
            return False
        for key, facets in suspects.items():
            value = value_of(facets, name, level)
            if value not in counts:
                odd.setdefault(key, {})[name, level] = value
        return True

    if not clean or tells("", 0):
        return odd, untold
    names = {name: len(values) for facets in clean for name, values in facets.items()}
    names |= {name: len(values) for facets in suspects.values() for name, values in facets.items()}
    for name, levels in names.items():
        if not any(tells(name, level) for level in range(levels)):
            untold.append(name)
    return odd, untold


def value_of(facets: Facets, name: str, level: int) -> Hashable:
    """Return a value of a facet; of all together, if it has no name."""
    if not name:
        return frozenset((key, values[0]) for key, values in facets.items())
    values = facets.get(name, ())
    return values[level] if level < len(values) else None


def _without_those(clean: Iterator[Facets], odd: _Odd) -> _Odd:
    """Return what stays odd when the rest of the clean pairs has been looked at, too."""
    for facets in clean if odd else ():
        for key, values in list(odd.items()):
            kept = {
                place: value for place, value in values.items() if value_of(facets, *place) != value
            }
            odd[key] = kept
            if not kept:
                del odd[key]
        if not odd:
            break
    return odd
