"""The ranking as Markdown: what was found, and a table that is narrow enough for a phone."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from clipbench.errors import MissingData
from clipbench.leaderboard.cells import MISSING
from clipbench.leaderboard.ranking.board import Board, boards, is_baseline
from clipbench.leaderboard.ranking.findings import findings, interval, percent, span
from clipbench.leaderboard.ranking.standing import Ranking, Standing, ranking
from clipbench.leaderboard.record import elsewhere, records_of
from clipbench.leaderboard.render import markdown_line
from clipbench.text.sinks import markdown
from clipbench.text.words import counted, listed

HEAD = ("defense", "worst attack", "mean success", "clean top-1", "training time")


def to_ranking(frame: pd.DataFrame, *, eligible_at: float = 0.5) -> str:
    """Return what was found and the defenses in order, for each model and data set.

    Args:
        frame: what `tables.leaderboard` returns.
        eligible_at: the share of successes for which the frame was made, for the note.

    Raises:
        MissingData: no row has an attack with a measured success.
    """
    found = [board for board in boards(records_of(frame)) if board.attacks]
    if not found:
        raise MissingData("No result has an attack whose success was measured; none can be ranked.")
    parts = []
    for board in found:
        title = [markdown(f"Model {board.model}, data {board.data}."), ""] if len(found) > 1 else []
        parts += [*title, *_part(board, ranking(board), eligible_at), ""]
    return "\n".join(parts)


def kinds(ranked: Ranking) -> list[tuple[str, Sequence[Standing]]]:
    """Return the defenses of a ranking under headings, those that are given clean pairs first."""
    sizes = {one.trusted for one in ranked.trusting}
    pairs = counted(max(sizes), "clean pair") if len(sizes) == 1 else "clean pairs"
    found = [
        (f"Given {pairs}", ranked.trusting),
        ("Given no clean pairs", ranked.others),
        ("For comparison", ranked.baselines),
    ]
    return [(title, standings) for title, standings in found if standings]


def place(one: Standing) -> str:
    """Return a rank: ``3``, or ``1–2`` where intervals overlap; empty: there is none."""
    return "" if one.ranks is None else span((one.ranks[0], one.ranks[1]), 1, 0, "")


def note(board: Board, eligible_at: float) -> str:
    """Return what the ranking rests on and what its columns mean."""
    return (
        f"Ranked by the worst of {len(board.counted)} of {counted(len(board.attacks), 'attack')}:"
        f" those that by themselves succeed on at least {100 * eligible_at:g}% of test inputs,"
        " beyond clean control and chance, and that more than half of the defenses were run"
        " under. Worst attack: the highest success rate; the worst case lies in the 95% interval"
        " with it. Ranks are within a group, and a range where these intervals overlap; defenses of"
        " one range are in the order of their mean. Mean: over the same attacks. Clean top-1"
        " (zero-shot accuracy) and training time (no defense ="
        f" 1.00×): after training on clean data, over numeric formats. {MISSING}: not measured."
        f"{_once(board)}{elsewhere(board.cells.values())}"
    )


def _once(board: Board) -> str:
    """Return which ranked defenses have rows of one seed, whose interval knows the probes alone."""
    rows = {
        name: [row for attack in board.counted if (row := board.cells.get((name, attack.key)))]
        for name in board.names
    }
    ranked = {name: of for name, of in rows.items() if of and not all(map(is_baseline, of))}
    once = [board.names[name] for name, of in ranked.items() if any(row.seeds == 1 for row in of)]
    if not once:
        return ""
    which = "all of them" if len(once) == len(ranked) else listed(once)
    return (
        " With one seed, an interval is about that trained model alone, and another seed may rank a"
        f" defense otherwise: this concerns {which}."
    )


def cells(one: Standing, attacks: int) -> list[str]:
    """Return the texts of a line, see `HEAD`, the name without its rank.

    Args:
        one: a defense.
        attacks: how many attacks count.
    """
    worst = mean = MISSING
    if one.worst is not None:
        worst = f"{percent(one.success)} {interval(one)} {one.worst.label}"
        mean = percent(one.mean)
        if one.attacks < attacks:
            mean = f"{mean} ({one.attacks} of {counted(attacks, 'attack')})"
    top1, cost = span(one.top1, 100, 1, "%"), span(one.cost, 1, 2, "×")
    return [one.name, worst, mean, top1 or MISSING, cost or MISSING]


def _part(board: Board, ranked: Ranking, eligible_at: float) -> list[str]:
    lines = [f"- {markdown(sentence)}" for sentence in findings(board, ranked)]
    lines += ["", markdown_line(HEAD), markdown_line("---" for _ in HEAD)]
    for title, standings in kinds(ranked):
        lines.append(markdown_line([f"**{title}**", *[""] * (len(HEAD) - 1)]))
        for one in standings:
            name, *others = cells(one, len(board.counted))
            ranks = f"{place(one)}. " if one.ranks else ""
            lines.append(markdown_line(markdown(text) for text in (ranks + name, *others)))
    return [*lines, "", markdown(note(board, eligible_at))]
