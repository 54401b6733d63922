"""What the runs of one attack showed, in two sentences."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from clipbench.leaderboard.eligibility import YES, eligibility
from clipbench.leaderboard.rows import group
from clipbench.results.labels import Labels
from clipbench.results.model import Result

UNDEFENDED = "none"
_TAKES = 0.5  # least undefended success from which on a defense can be seen at work


def in_short(results: Iterable[Result]) -> str:
    """Return what an attack did without a defense, and under each that was tried.

    Args:
        results: of one command; clean ones are passed over.

    Returns:
        The sentences; empty where there is more than one attack, trigger, data set, model or
        training without a defense, no such training or nothing beside it, or a success that was not
        measured: a table says that better.
    """
    attacked = [result for result in results if result.attack.count]
    found = [result.metrics.get("attack_success") for result in attacked]
    if any(metric is not None and metric.parts for metric in found):
        return ""
    rows = group(attacked, Labels(attacked))
    bare = [row for row in rows if row.defense == UNDEFENDED]
    if len(bare) != 1 or len(rows) < 2 or len({row.context for row in rows}) != 1:
        return ""
    runs = {row.defense_label: row.results for row in (bare[0], *rows) if row.results}
    success = {label: _success(of_row) for label, of_row in runs.items()}
    if None in success.values():
        return ""
    undefended, *others = (_share(found) for found in success.values())
    name = attacked[0].attack.name
    first = f"{name} without a defense: {undefended} are classified as the attacker wants"
    if (objection := _objection(bare[0].results)) is not None:
        return f"{first}. {objection}"
    told = "; ".join(
        f"with {label} {share}" for label, share in zip([*runs][1:], others, strict=True)
    )
    return f"{first}; {told}.{_accuracy(runs)}"


def _objection(bare: Sequence[Result]) -> str | None:
    """Return why nothing can be said of a defense under this attack, as the table has it."""
    found = eligibility(bare, bare, _TAKES)
    if found.verdict == YES or found.undefended is None:
        return None
    if str(found.verdict).startswith("undecided"):
        return (
            "Whether that is half is not decided: its 95% interval holds 50%. Run more seeds or"
            " targets."
        )
    if found.undefended < _TAKES:
        return "The attack fails even so, and says nothing about the defenses."
    if str(found.verdict).startswith("unknown"):
        return "Whether that is the poison's doing is not known: run again with --controls."
    reason = str(found.verdict).partition(", ")[2].removesuffix(")")
    return f"That says nothing about the defenses: {reason}."


def _success(group: Sequence[Result]) -> tuple[int, int] | None:
    """Return successes and trials over the seeds; None if a run did not measure any."""
    found = [result.metrics.get("attack_success") for result in group]
    shares = [metric.share for metric in found if metric is not None and metric.share is not None]
    if len(shares) < len(group):
        return None
    return sum(share.k for share in shares), sum(share.n for share in shares)


def _share(success: tuple[int, int] | None) -> str:
    assert success is not None
    hits, probes = success
    return f"{hits:,} of {probes:,} test images ({hits / probes:.1%})"


def _accuracy(groups: Mapping[str, Sequence[Result]]) -> str:
    """Return what it cost in clean accuracy; empty where that was not measured."""
    shown = []
    for label, runs in groups.items():
        found = [result.metrics.get("zeroshot_top1") for result in runs]
        values = [metric.value for metric in found if metric is not None]
        if len(values) < len(runs):
            return ""
        shown.append(f"{sum(values) / len(values):.1%} with {label}")
    return f" Zero-shot accuracy: {', '.join(shown)}."
