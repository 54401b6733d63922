"""Whether results that stand side by side were given the same poison."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Any

from clipbench.results.labels import canonical, rate_text, seeds_of
from clipbench.text.visible import visible

SHOWN = 4  # defenses of a set that are named


def different_sets(results: Iterable[Mapping[str, Any]]) -> list[str]:
    """Say of which attack, rate and seed there are results on several poisoned sets.

    Defenses are compared on one set. An attack that learns from a model (`badclip`, `adaptive`)
    writes another one where a processor rounds otherwise, and a plugin does when its code changes.

    Args:
        results: as they are stored.

    Returns:
        A sentence for each, empty where all results can be compared.
    """
    found: dict[tuple[Any, ...], dict[str, list[str]]] = defaultdict(lambda: defaultdict(list))
    for result in results:
        attack, data = result["attack"], result["data"]
        if not attack["count"] or not attack["ledger_sha256"] or seeds_of(result)[1] is None:
            continue
        what = attack["name"], canonical(attack["parameters"] or {}), attack["rate"] or 0.0
        pairs = data["name"], canonical(data["parameters"]), data["pairs"], attack["count"]
        found[(*what, *pairs, seeds_of(result)[1])][attack["ledger_sha256"]].append(
            result["defense"]["name"]
        )
    return [
        visible(
            f"{name} at {rate_text(rate)}, seed {seed}, has results on {len(sets)} different"
            f" poisoned sets: {'; '.join(_names(defenses) for defenses in sets.values())}. These"
            " do not compare; run them on one machine, with one version of the attack."
        )
        for (name, _, rate, *_, seed), sets in found.items()
        if len(sets) > 1
    ]


def _names(defenses: Iterable[str]) -> str:
    names = sorted({*defenses})
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return f"{', '.join(names[:SHOWN])}{more}"
