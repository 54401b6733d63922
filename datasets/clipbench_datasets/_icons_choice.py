"""Which icons are trained on: the seed orders them, and what a held-out icon shows is none."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import msgspec
import numpy as np
from msgspec import Struct

from clipbench.contracts import Progress
from clipbench.errors import BadSetting, CorruptData, MissingData
from clipbench.files.json_files import read_json, write_summed
from clipbench.rng import generator
from clipbench.system.durable import make_folder
from clipbench.system.processes import in_processes
from clipbench_datasets._icons_draw import Floats, is_near, print_of
from clipbench_datasets._icons_held_out import HeldOut, part_of
from clipbench_datasets._icons_safe import Undrawable
from clipbench_datasets._icons_sets import Icon, IconSet

SAME_BODY = "byte for byte a held-out icon"
SAME_LOOK = "looks like a held-out icon"
_BLOCK = 1_000  # icons that a process looks at


@dataclass(frozen=True)
class Choice:
    """The icons of training pairs.

    Args:
        icons: in the order of the pairs.
        looked_at: how many were looked at to find them.
        left_out: how many of those are no pairs, by reason.
    """

    icons: tuple[Icon, ...]
    looked_at: int
    left_out: Counter[str]


class _Kept(Struct):
    """A choice as it is kept: the keys of its icons."""

    icons: list[str]
    looked_at: int
    left_out: dict[str, int]


@dataclass(frozen=True)
class _Looks:
    """What processes look at, and what they look for."""

    icons: Sequence[Icon]
    prints: Floats
    bodies: frozenset[str]


def candidates(sets: Sequence[IconSet], seed: int) -> list[Icon]:
    """Return all icons of training sets in the order that the seed gives them.

    Variants of one icon, as a bold one is, come one after another in the whole, not side by side:
    the first of each name in a set, then the second of each.
    """
    icons = [icon for one in sets if part_of(one) == "train" for icon in one.icons]
    places = generator(seed, "icons", "order").permutation(len(icons))
    times: Counter[tuple[str, str]] = Counter()
    ranks = np.empty(len(icons), np.int64)
    for turn, place in enumerate(places.tolist()):
        name = (icons[place].prefix, icons[place].base)
        ranks[turn] = times[name]
        times[name] += 1
    order = places[np.argsort(ranks, kind="stable")]
    return [icons[place] for place in order.tolist()]


def choose_once(
    kept: Path, of: Mapping[str, object], ordered: Sequence[Icon], make: Callable[[], Choice]
) -> Choice:
    """Return the choice that an interrupted run has made and kept, or make and keep it.

    Args:
        kept: the file that it is kept in.
        of: what decides the choice; one of something else is made anew.
        ordered: the candidates.
        make: makes it.
    """
    try:
        found = read_json(kept)
    except (CorruptData, MissingData):
        found = {}
    if found.get("of") == dict(of):
        icons, before = {icon.key: icon for icon in ordered}, msgspec.convert(found, _Kept)
        chosen = tuple(icons[key] for key in before.icons)
        return Choice(chosen, before.looked_at, Counter(before.left_out))
    choice = make()
    make_folder(kept.parent)
    keys = [icon.key for icon in choice.icons]
    told = {"looked_at": choice.looked_at, "left_out": dict(choice.left_out)}
    write_summed(kept, {"of": dict(of), "icons": keys, **told}, indent=None)
    return choice


def choose(
    ordered: Sequence[Icon],
    held_out: Sequence[HeldOut],
    count: int,
    progress: Progress,
    workers: int | None,
) -> Choice:
    """Return the first icons that can be drawn and show no held-out icon.

    Args:
        ordered: the candidates.
        held_out: the icons of all splits.
        count: icons wanted.
        progress: told about icons that were looked at.
        workers: processes; 0: this one; None: one a processor.

    Raises:
        BadSetting: there are fewer.
    """
    prints = np.concatenate([one.prints for one in held_out])
    bodies = frozenset(icon.body for one in held_out for icon in one.icons())
    icons: list[Icon] = []
    left_out: Counter[str] = Counter()
    start = 0
    while len(icons) < count and start < len(ordered):
        part = ordered[start : start + (count - len(icons)) * 9 // 8 + _BLOCK]
        looks = _Looks(part, prints, bodies)
        found: dict[int, list[str | None]] = {}
        blocks = range(-(-len(part) // _BLOCK))
        seen, bad = start, left_out.total()
        with closing(in_processes(_look, looks, blocks, workers)) as each:
            for number, verdicts in each:
                found[number] = verdicts
                looked = min(_BLOCK * len(found), len(part))
                progress("looking for held-out icons", looked, len(part))
                seen += len(verdicts)
                bad += sum(verdict is not None for verdict in verdicts)
                if len(ordered) - bad < count:  # told now, not when all were looked at
                    raise _too_few_of(len(ordered), bad, seen, count)
        for place, verdict in enumerate(one for number in sorted(found) for one in found[number]):
            if len(icons) == count:
                break
            start += 1
            if verdict is None:
                icons.append(part[place])
            else:
                left_out[verdict] += 1
    if len(icons) < count:
        raise too_few(f"{len(icons):,}", count)
    return Choice(tuple(icons), start, left_out)


def _too_few_of(number: int, bad: int, seen: int, wanted: int) -> BadSetting:
    """Return the error that says how many of some icons can be used, when some were looked at."""
    if seen == number:
        return too_few(f"{number - bad:,}", wanted)
    good = number * (seen - bad) // seen
    step = 10 ** max(0, len(str(good)) - 2)
    about = f", about {good // step * step:,} by those looked at"
    return too_few(f"at most {number - bad:,}", wanted, about)


def too_few(found: str, wanted: int, about: str = "") -> BadSetting:
    """Return the error that says how many icons there are, and how many were asked for."""
    return BadSetting(
        f"The archive has {found} icons for training pairs{about}, and {wanted:,} are wanted,"
        " trusted ones among them; set a smaller icons.size, or trusted_size of the defense."
    )


def _look(looks: _Looks, number: int) -> tuple[int, list[str | None]]:
    """Return for each icon of a block why it is no training pair; None: it is one."""
    part = looks.icons[number * _BLOCK : (number + 1) * _BLOCK]
    verdicts: list[str | None] = [None] * len(part)
    prints = []
    for place, icon in enumerate(part):
        if icon.body in looks.bodies:
            verdicts[place] = SAME_BODY
            continue
        try:
            prints.append((place, print_of(icon)))
        except Undrawable as error:
            verdicts[place] = str(error)
    if prints:
        near = is_near(np.stack([one for _, one in prints]), looks.prints)
        for (place, _), same in zip(prints, near.tolist(), strict=True):
            if same:
                verdicts[place] = SAME_LOOK
    return number, verdicts
