"""How many poisoned pairs an attacker is given: per target, and altogether."""

from __future__ import annotations

from dataclasses import dataclass

# The largest that fits is taken: a share of the set that no attacker would have to poison changes
# the set, and fewer targets per dose than a handful say nothing.
_DOSES = ((1, 2, 4, 8, 16), (1, 2, 4, 8), (1, 3, 8), (2, 8), (4,), (2,), (1,))
_MOST = 16  # targets per dose
_LEAST = 10  # likewise, if there is a dose that has as many
_SHARE = 0.04  # of the pairs that are poisoned at most
_BACKDOOR_SHARE, _BACKDOOR_LEAST, _BACKDOOR_MOST = 0.01, 50, 300


@dataclass(frozen=True)
class Doses:
    """Poisoned pairs of chosen images.

    Args:
        doses: poisoned pairs per target.
        each: targets of each dose.
    """

    doses: tuple[int, ...]
    each: int

    @property
    def targets(self) -> int:
        """All targets."""
        return self.each * len(self.doses)

    @property
    def poisons(self) -> int:
        """All poisoned pairs."""
        return self.each * sum(self.doses)


def doses_for(pairs: int, images: int) -> Doses | None:
    """Return what fits into a set; None: there is not even one target.

    Args:
        pairs: training pairs.
        images: held-out images that an attacker may choose.
    """
    found = [Doses(doses, _each(doses, pairs, images)) for doses in _DOSES]
    enough = next((item for item in found if item.each >= _LEAST), None)
    most = max(found, key=lambda item: item.each)
    return enough or (most if most.each else None)


def backdoor_poisons(pairs: int) -> int:
    """Return how many pairs of a set carry the trigger of a backdoor."""
    wanted = max(_BACKDOOR_LEAST, int(_BACKDOOR_SHARE * pairs))
    return max(1, min(wanted, _BACKDOOR_MOST, int(_SHARE * pairs)))


def _each(doses: tuple[int, ...], pairs: int, images: int) -> int:
    """Return how many targets each dose has; all doses have as many."""
    return min(_MOST, int(_SHARE * pairs) // sum(doses), images // len(doses))
