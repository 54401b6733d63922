"""Whether results that stand side by side were given the same poison."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable

from clipbench.results.labels import canonical, rate_text, seeds_of
from clipbench.results.model import Result
from clipbench.text.visible import visible

_Setting = tuple[str, float, int, tuple[object, ...]]  # attack, rate, seed, and all else
SHOWN = 4  # defenses of a set that are named


def different_sets(results: Iterable[Result]) -> list[str]:
    """Say of which attack, rate and seed there are results on several poisoned sets.

    Defenses are compared on one set. An attack that learns from a model (`badclip`, `adaptive`)
    writes another one where a processor rounds otherwise, and a plugin does when its code changes.

    Args:
        results: as they are stored.

    Returns:
        A sentence for each, empty where all results can be compared.
    """
    found: dict[_Setting, dict[str, list[str]]] = defaultdict(lambda: defaultdict(list))
    for result in results:
        attack, data, (_, seed) = result.attack, result.data, seeds_of(result)
        if not attack.count or not attack.ledger_sha256 or seed is None:
            continue
        others = canonical(attack.parameters or {}), attack.count
        pairs = data.name, canonical(data.parameters), data.pairs
        sets = found[attack.name, result.rate, seed, (*others, *pairs)]
        sets[attack.ledger_sha256].append(result.defense.name)
    return [
        visible(
            f"{name} at {rate_text(rate)}, seed {seed}, has results on {len(sets)} different"
            f" poisoned sets: {'; '.join(_names(defenses) for defenses in sets.values())}. These"
            " do not compare; run them on one machine, with one version of the attack."
        )
        for (name, rate, seed, _), sets in found.items()
        if len(sets) > 1
    ]


def _names(defenses: Iterable[str]) -> str:
    names = sorted({*defenses})
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return f"{', '.join(names[:SHOWN])}{more}"
