"""Whether what is suspected is like what is clean, where clean ones tell; one facet at a time.

Where clean pairs differ much among themselves, a new one may well have a feature never seen: the
chance is about the share of pairs whose feature is unique (Good, 1953). So a feature that no clean
pair has says something only where few clean pairs have a feature of their own. Pairs of the web
differ in everything taken together; they differ less in the format of their images alone, and it
gives a poison away as well. So where all facets together tell nothing, each is looked at by itself,
the finest value first that tells. Of many poisons and facets some are odd by chance; how many, the
clean pairs say that would be odd themselves if they were left out.
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
_UNIQUE = 0.01  # share of clean pairs with a value of their own, above which a value tells nothing
_CHANCE = 0.02  # that so many are odd by chance, above which they are not held to be poison's trace


@dataclass(frozen=True)
class Findings:
    """What a look at the poisons of a shard says.

    Args:
        found: what gives poisons away, in words.
        odd: what may do so, and may be chance, in words.
        expected: how many are odd by chance.
        untold: the facets of which nobody can tell, in words.
    """

    found: list[str] = field(default_factory=list)
    odd: list[str] = field(default_factory=list)
    expected: float = 0.0
    untold: list[str] = field(default_factory=list)


def joined(findings: Sequence[Findings]) -> Findings:
    """Return the findings of all shards as one; what is odd is found, unless it may be chance."""
    found = [text for one in findings for text in one.found]
    odd = [text for one in findings for text in one.odd]
    untold = [text for one in findings for text in one.untold]
    expected = sum(one.expected for one in findings)
    if odd and _at_least(len(odd), expected) <= _CHANCE:
        return Findings(found + odd, [], expected, untold)
    return Findings(found, odd, expected, untold)


def _at_least(count: int, expected: float) -> float:
    """Return the chance of so many or more where so many are expected (Poisson)."""
    from scipy.stats import poisson  # noqa: PLC0415 - slow to import

    return float(poisson.sf(count - 1, expected))


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
    if not seen:
        return Findings()
    look = _Look.at(suspects, seen)
    if look.odd or look.untold:
        seen += islice(rest, _SECOND_LOOK - FIRST_LOOK)
        look = _Look.at(suspects, seen)
    left = _left_by(rest, look.odd)
    odd = [text.format(key=key) for key in suspects if key in left]
    if look.is_whole:
        return Findings(found=odd)
    return Findings([], odd, look.chance * len(suspects), look.untold)


# Of a key: the facets, each with the number of its value, that no clean pair has; "" is all.
_Odd = dict[str, dict[tuple[str, int], Hashable]]


@dataclass(frozen=True)
class _Look:
    """What some clean pairs say of suspects.

    Args:
        odd: what no clean pair has.
        untold: the facets that tell nothing.
        chance: that a pair like the clean ones is odd.
        is_whole: whether all facets taken together tell.
    """

    odd: _Odd
    untold: list[str]
    chance: float
    is_whole: bool

    @classmethod
    def at(cls, suspects: Mapping[str, Facets], clean: Sequence[Facets]) -> _Look:
        """Return it of these pairs."""
        odd: _Odd = {}
        alone: set[int] = set()  # clean pairs that would be odd themselves
        if _tells("", 0, suspects, clean, odd, alone):
            return cls(odd, [], 0.0, is_whole=True)
        untold: list[str] = []
        names = {
            name: len(values)
            for facets in (*clean, *suspects.values())
            for name, values in facets.items()
        }
        for name, levels in names.items():
            if not any(_tells(name, at, suspects, clean, odd, alone) for at in range(levels)):
                untold.append(name)
        return cls(odd, untold, (len(alone) + 1) / (len(clean) + 1), is_whole=False)


def _tells(
    name: str,
    level: int,
    suspects: Mapping[str, Facets],
    clean: Sequence[Facets],
    odd: _Odd,
    alone: set[int],
) -> bool:
    """Return whether a value means anything; if so, note those that have one like no clean pair."""
    values = [value_of(facets, name, level) for facets in clean]
    counts = Counter(values)
    unique = {number for number, value in enumerate(values) if counts[value] == 1}
    if len(unique) > _UNIQUE * len(values):
        return False
    alone |= unique
    for key, facets in suspects.items():
        value = value_of(facets, name, level)
        if value not in counts:
            odd.setdefault(key, {})[name, level] = value
    return True


def value_of(facets: Facets, name: str, level: int) -> Hashable:
    """Return a value of a facet; of all together, if it has no name."""
    if not name:
        return frozenset((key, values[0]) for key, values in facets.items())
    values = facets.get(name, ())
    return values[level] if level < len(values) else None


def _left_by(clean: Iterator[Facets], odd: _Odd) -> _Odd:
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
