"""What a board shows, in sentences that are computed from its rows."""

from __future__ import annotations

from collections.abc import Sequence

from clipbench.leaderboard.cells import ELIGIBLE
from clipbench.leaderboard.ranking.board import Board
from clipbench.leaderboard.ranking.standing import Ranking, Standing, leaders
from clipbench.text.words import counted, listed

_MOST_NAMED = 3  # tied defenses whose names stand in a sentence
_TELLING = 0.01  # least worst case that is worth a word


def findings(board: Board, ranked: Ranking) -> list[str]:
    """Return who holds best with clean pairs and without, and what that gains and costs.

    Args:
        board: rows of one model and data set.
        ranked: its defenses.

    Returns:
        At most three sentences; none where nothing was attacked.
    """
    if not board.attacks:
        return []
    if ELIGIBLE not in {attack.verdict for attack in board.attacks}:
        return ["No defense can be ranked: no attack is known to succeed by itself."]
    if not board.counted:
        return [
            "No defense can be ranked: under none of the attacks that succeed were more than half"
            " of the defenses run."
        ]
    kinds = {
        f"given {_pairs(ranked.trusting)} known to be clean": ranked.trusting,
        "given no clean pairs": ranked.others,
    }
    best = [_best(what, kind, board) for what, kind in kinds.items() if kind]
    return [sentence for sentence in (*best, _on_average(board, ranked)) if sentence]


def percent(share: float) -> str:
    """Return a fraction as people read it."""
    return f"{100 * share:.1f}%"


def interval(one: Standing) -> str:
    """Return the interval of a defense's worst case, in percent."""
    return f"[{100 * one.low:.1f}, {100 * one.high:.1f}]"


def span(values: tuple[float, float] | None, scale: float, digits: int, unit: str) -> str:
    """Return the lowest and highest of some values, once where they look the same.

    Args:
        values: lowest and highest; None: not measured.
        scale: what they are multiplied by.
        digits: how many are shown behind the point.
        unit: what stands behind them.
    """
    if values is None:
        return ""
    low, high = (f"{scale * value:.{digits}f}" for value in values)
    return f"{low}{unit}" if low == high else f"{low}–{high}{unit}"


def _pairs(standings: Sequence[Standing]) -> str:
    sizes = sorted({one.trusted for one in standings})
    if len(sizes) < 2:
        return "".join(counted(size, "pair") for size in sizes)
    return f"{sizes[0]:,} to {counted(sizes[-1], 'pair')}"


def _best(what: str, kind: Sequence[Standing], board: Board) -> str:
    """Return which defenses of a kind may be the best, and what gets past them."""
    alone = len(kind) == 1
    among = f"Among the {len(kind)} defenses {what}, "
    first = leaders(kind)
    if not first:
        subject = (
            f"The one defense {what}, {kind[0].name}, was not" if alone else f"{among}none was"
        )
        return f"{subject} run under all {counted(len(board.counted), 'attack')}."
    named = first[:_MOST_NAMED]
    names = listed([one.name for one in named])
    more = f" (and {len(first) - len(named)} more)" if len(first) > len(named) else ""
    if alone:
        subject = f"The one defense {what} is {names}"
    elif len(first) == 1:
        subject = f"{among}{names} is best"
    else:
        subject = f"{among}{names}{more} tie for best"
    worst = listed([f"{percent(o.success)} {interval(o)} ({_attack(o)})" for o in named])
    whose = "its worst attack succeeds" if len(first) == 1 else "their worst attacks succeed"
    return f"{subject}: {whose} on {worst} of test inputs."


def _attack(one: Standing) -> str:
    assert one.worst is not None, "what has a rank was attacked"
    return one.worst.label


def _on_average(board: Board, ranked: Ranking) -> str:
    """Return the mean success without a defense and with the best of each kind, and their price."""
    bare = [one for one in ranked.baselines if _is(one, "none", board)][:1]
    shown = [f"{percent(one.mean)} without a defense" for one in bare]
    augmented = [one for one in ranked.baselines if _is(one, "clip", board)]
    as_long = [one for one in augmented if bare and _epochs(one, board) == _epochs(bare[0], board)]
    shown += [
        f"{percent(one.mean)} with augmentation alone ({one.name})"
        for one in (as_long or augmented)[:1]
    ]
    for kind in (ranked.trusting, ranked.others):
        shown += [f"{percent(o.mean)} with {o.name}{_price(o)}" for o in leaders(kind)[:1]]
    attacks = counted(len(board.counted), "attack")
    told = f"Attack success averaged over these {attacks} is {', '.join(shown)}" if shown else ""
    everyone = [one for one in ranked.trusting + ranked.others if one.ranks is not None]
    least = min((one.success for one in everyone), default=0.0)
    telling = len(everyone) > 1 and least >= _TELLING
    end = f"; no defense keeps every attack below {percent(least)}" if telling else ""
    return f"{told}{end}." if told else ""


def _is(one: Standing, name: str, board: Board) -> bool:
    """Return whether a standing is of a baseline, under all attacks that count."""
    own = {row.defense_name for row in board.rows(one.defense)}
    return own == {name} and one.attacks == len(board.counted)


def _epochs(one: Standing, board: Board) -> set[float | None]:
    return {row.epochs for row in board.rows(one.defense)}


def _price(one: Standing) -> str:
    accuracy, cost = span(one.top1, 100, 1, "%"), span(one.cost, 1, 2, "×")
    parts = (accuracy and f"clean accuracy {accuracy}", cost and f"training time {cost}")
    told = ", ".join(part for part in parts if part)
    return f" ({told})" if told else ""
