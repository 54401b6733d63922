"""Figures in the text of docs/catalogue.md are those of the rows in results/shapes.

Rows are made again now and then, and tables with them; text is not. Each case writes figures of the
text anew from the rows and looks for them with the words around them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from functools import cache
from pathlib import Path
from statistics import median

import pytest

from clipbench.evaluation.outcomes import unpack
from clipbench.evaluation.statistics import Proportion, pool, wilson
from clipbench.leaderboard.tables import leaderboard
from clipbench.results.model import Result
from clipbench.results.store import load_results

ROOT = Path(__file__).parents[2]
SEEDS = (0, 1, 2)
NEIGHBORS = ("dao", "slof", "kdist", "lid")
DETECTING = ("dao", "slof", "kdist", "isolation_forest")
LONG = 15  # epochs of SafeCLIP, and of some rows of `clip`


@cache
def text() -> str:
    """Return the catalogue, with one blank where there are several or a line ends."""
    return " ".join((ROOT / "docs" / "catalogue.md").read_text(encoding="utf-8").split())


@cache
def rows() -> dict[tuple[str, str, int], Result]:
    """Return the results by attack, defense and seed, but for `clip` for as long as SafeCLIP."""
    found: dict[tuple[str, str, int], Result] = {}
    for result in load_results([ROOT / "results" / "shapes" / "rows"]):
        assert result.seed is not None
        assert result.train is not None
        key = result.attack.name, result.defense.name, result.seed
        if result.defense.name == "clip" and result.train.epochs == LONG:
            continue
        assert key not in found
        found[key] = result
    return found


def run(attack: str, defense: str, seed: int = 0) -> Result:
    return rows()[attack, defense, seed]


def share(attack: str, defense: str, seed: int = 0, name: str = "attack_success") -> Proportion:
    """Return a share that was measured."""
    found = run(attack, defense, seed).metrics[name].share
    assert found is not None
    return found


def pooled(attack: str, defense: str) -> str:
    """Return attack success over three seeds in whole percent."""
    return f"{100 * pool(share(attack, defense, seed) for seed in SEEDS).value:.0f}%"


def percent(attack: str, defense: str, digits: int = 0) -> str:
    return f"{100 * share(attack, defense).value:.{digits}f}%"


def three(values: Iterable[object]) -> str:
    """Return values of three seeds as text: ``0, 25, and 6``."""
    first, second, third = values
    return f"{first}, {second}, and {third}"


def counts(attack: str, defense: str, name: str = "attack_success") -> str:
    return three(f"{share(attack, defense, seed, name).k:,}" for seed in SEEDS)


def auroc(attack: str, defense: str, seed: int = 0) -> float:
    return run(attack, defense, seed).metrics["score_auroc"].value


def aurocs(attack: str, digits: int) -> str:
    return three(f"{auroc(attack, 'safeclip', seed):.{digits}f}" for seed in SEEDS)


def safe(attack: str, which: Callable[[list[int]], int]) -> str:
    """Return poisoned pairs in SafeCLIP's first or last safe set, of three seeds."""
    told = [
        [e.poisons_in_safe_set for e in run(attack, "safeclip", seed).history] for seed in SEEDS
    ]
    return three(which([count for count in counts if count is not None]) for counts in told)


def first(values: list[int]) -> int:
    return values[0]


def last(values: list[int]) -> int:
    return values[-1]


def by_trigger(defense: str) -> str:
    """Return how often each of the three triggers of `multi_trigger` succeeds at seed 0."""
    metric = run("multi_trigger", defense).metrics["attack_success"]
    assert metric.n is not None
    outcomes = unpack(metric.outcomes, metric.n)
    parts = iter(metric.parts or ())
    ends: list[int] = []
    for part in parts:
        ends.append((ends[-1] if ends else 0) + part.n)
    starts = [0, *ends[:-1]]
    return three(f"{outcomes[a:b].sum():,}" for a, b in zip(starts, ends, strict=True))


def attacked(defense: str) -> list[str]:
    """Return the attacks that a defense was run under at seed 0."""
    return sorted(a for a, name, seed in rows() if (name, seed) == (defense, 0) and a != "none")


def percents(defense: str, name: str) -> list[float]:
    """Return a share of all rows of a defense, clean ones included."""
    return [
        100 * result.metrics[name].value for (_, of, _), result in rows().items() if of == defense
    ]


def highest(defense: str, attacks: Iterable[str]) -> float:
    """Return the highest success of attacks, each over three seeds, in percent."""
    return max(100 * pool(share(a, defense, seed) for seed in SEEDS).value for a in attacks)


def over(defense: str, attack: str) -> int:
    """Return the successes of three seeds together."""
    return sum(share(attack, defense, seed).k for seed in SEEDS)


def spread(values: Iterable[float], digits: int = 1) -> str:
    """Return the lowest and the highest: ``73.5 to 80.1``."""
    several = [*values]
    return f"{min(several):.{digits}f} to {max(several):.{digits}f}"


def top1(defense: str, attack: str = "none") -> str:
    return f"{100 * share(attack, defense, name='zeroshot_top1').value:.1f}%"


def counted(defense: str) -> str:
    """Return accuracy on clean data at three seeds."""
    found = (share("none", defense, seed, "zeroshot_top1").value for seed in SEEDS)
    return three(f"{100 * value:.1f}" for value in found)


def safeclip() -> Iterator[str]:
    """Say what SafeCLIP stops and does not."""
    control = "attack_success_control"
    yield (
        f"`badnets` succeeds on {counts('badnets', 'safeclip')} of 1,980 images "
        f"(clean control: {counts('badnets', 'safeclip', control)})"
    )
    for attack, of in (("sig", "1,980"), ("multi_trigger", "5,940")):
        without = counts(attack, "safeclip", control)
        yield f"`{attack}` on {counts(attack, 'safeclip')} of {of} ({without})"
    yield (
        "`wanet` and `filter` at 5% still succeed on "
        f"{pooled('wanet', 'safeclip')} and {pooled('filter', 'safeclip')}, although"
    )
    lowest = min(auroc(a, "safeclip", seed) for a in ("wanet", "filter") for seed in SEEDS)
    yield f"(AUROC at least {int(1000 * lowest) / 1000} at each seed)"
    yield f"the score says little (AUROC {aurocs('label_consistent', 2)})"
    yield f"{safe('label_consistent', last)} of 180 poisoned pairs end in the safe set"
    yield (
        f"success is {pooled('label_consistent', 'safeclip')}, against "
        f"{pooled('label_consistent', 'none')} without a defense"
    )
    yield f"The first safe set has {safe('text_trigger', first)} of them"
    yield (
        f"the last has {safe('text_trigger', last)}, and final success is "
        f"{counts('text_trigger', 'safeclip')} of 1,000"
    )
    yield f"`text_targeted` has {safe('text_targeted', last)} of its 280 poisoned pairs in the last"
    yield f"and {counts('text_targeted', 'safeclip')} of its 16 targets are misclassified"
    yield f"`adaptive` has {safe('adaptive', last)} (`targeted`: {safe('targeted', last)})"
    yield f"(AUROC {aurocs('adaptive', 3)}, against {aurocs('targeted', 3)})"
    all_three = pool(share("adaptive", "safeclip", seed) for seed in SEEDS)
    targeted = pool(share("targeted", "safeclip", seed) for seed in SEEDS)
    low, high = wilson(all_three.k, all_three.n)
    assert targeted.k == 0
    yield (
        f"succeeds on {all_three.k} of {all_three.n} targets "
        f"({counts('adaptive', 'safeclip')} of 16; {100 * all_three.value:.1f}% "
        f"[{100 * low:.1f}, {100 * high:.1f}]; `targeted` on none, "
        f"0 to {100 * wilson(0, targeted.n)[1]:.1f}%)"
    )


def learned() -> Iterator[str]:
    """Say how an attack fares that learns its patch from a model."""
    yield (
        f"on {counts('badclip', 'safeclip')} of 1,980 images with poison, and on "
        f"{counts('badclip', 'safeclip', 'attack_success_control')} without"
    )
    for defense in ("clipscore", "par"):
        control = share("badclip", defense, name="attack_success_control").k
        kept = share("badclip", defense).k
        yield f"`{defense}` leaves {kept} ({control}"
    detected = [share("badclip", name).k for name in DETECTING]
    yield f"`isolation_forest` leave {min(detected)} to {max(detected)}"
    stopped = ("safeclip", "clipscore", "par", *DETECTING)
    others = [
        share("badclip", defense).k
        for (attack, defense, seed) in rows()
        if (attack, seed) == ("badclip", 0) and defense not in stopped
    ]
    yield f"every other defense leaves {min(others):,} or more"


def filters() -> Iterator[str]:
    """Say what filters detect, and what they leave."""
    single = {share(a, "clipscore").k for a in ("targeted", "text_targeted", "adaptive")}
    yield f"it lets {' or '.join(map(str, sorted(single)))} of 16 targets through"
    yield f"leaves every backdoor at {100 * max(left_by_clipscore()):.1f}% or less"
    whole = ("badnets", "badclip", "sig")
    lowest = min(auroc(attack, name) for attack in whole for name in DETECTING)
    kept = max(share(attack, n, name="poison_kept").k for attack in whole for n in DETECTING)
    most = max(share(attack, name).k for attack in whole for name in DETECTING)
    yield (
        f"with an AUROC of at least {int(100 * lowest) / 100}, as Huang et al. report of patches: "
        f"they keep at most {kept} of 100 poisoned pairs, and at most {most} of 1,980 images"
    )
    values = three(f"{auroc(attack, 'lid'):.2f}" for attack in whole)
    yield f"does not ({values}, and success on {three(percent(a, 'lid') for a in whole)})"
    both = " and ".join(f"{auroc('dual_key', name):.2f}" for name in ("kdist", "isolation_forest"))
    left = " and ".join(f"{share('dual_key', name).k}" for name in ("kdist", "isolation_forest"))
    yield f"also detect `dual_key` at 2% ({both}), and leave {left} of 1,980"
    left = " and ".join(f"{share('dual_key', name).k:,}" for name in ("dao", "slof"))
    yield f"`dao` and `slof` leave {left}, more than `clip` ({share('dual_key', 'clip').k:,})"
    for attack in ("blended", "wanet", "filter", "label_consistent"):
        left = [100 * share(attack, name).value for name in (*NEIGHBORS, "isolation_forest")]
        yield (
            f"`{attack}` at {min(left):.0f} to {max(left):.0f}% "
            f"({percent(attack, 'random_removal')} with `random_removal`)"
        )
    yield f"`lid` ranks them as the *least* suspicious ({auroc('targeted', 'lid'):.2f})"
    left = [100 * share("multi_trigger", name).value for name in DETECTING]
    yield (
        f"All but `lid` leave `multi_trigger` at {min(left):.0f} to {max(left):.0f}%, against "
        f"{percent('multi_trigger', 'clip')} under `clip`"
    )
    yield f"`clip`'s model misclassifies {by_trigger('clip')} of the 1,980 images"
    yield f"`dao`'s {by_trigger('dao')}."
    found = [auroc("text_trigger", name) for name in (*NEIGHBORS, "isolation_forest")]
    yield f"(AUROC {spread(found, 2)}; `lid` is the lowest)"
    assert min(found) == auroc("text_trigger", "lid")


def left_by_clipscore() -> list[float]:
    """Return success of the backdoors, whose probes are more than a few images."""
    shares = [share(attack, "clipscore") for attack in attacked("clipscore")]
    return [found.value for found in shares if found.n > 100]


def clean_ups() -> Iterator[str]:
    """Say what trusted pairs and RoCLIP do and cost."""
    yield (
        f"`badnets` succeeds on {counts('badnets', 'par')} of 1,980 images over three seeds, "
        f"`badclip` on {counts('badclip', 'par')}, `sig` on {counts('sig', 'par')}, "
        f"`multi_trigger` on {counts('multi_trigger', 'par')} of 5,940, and `text_trigger` on "
        f"{counts('text_trigger', 'par')} of 1,000"
    )
    told = ("badnets", "badclip", "sig", "multi_trigger", "text_trigger", "mismatch")
    rest = [a for a in attacked("par") if a not in told and share(a, "par").n > 16]
    yield f"Every other backdoor is at {highest('par', rest):.1f}% or less"
    few = three(over("par", attack) for attack in ("targeted", "text_targeted", "adaptive"))
    yield f"`targeted`, `text_targeted`, and `adaptive` leave {few} of 48 targets"
    clean = [counted("par"), counted("clip")]
    yield f"Its top-1 on clean data is {clean[0]}%, against {clean[1]}% under `clip`"
    for name, phrase in (("image_to_text_r1", "is"), ("text_to_image_r1", "text to image")):
        both = (spread(percents("par", name)), spread(percents("clip", name)))
        yield f"{phrase} {both[0]}, against {both[1]}"
    yield f"**`cleanclip`** leaves `badnets` at {counts('badnets', 'cleanclip')} of 1,980, contrary"
    of_both = (pooled("text_trigger", name) for name in ("cleanclip", "finetune"))
    yield "except on `text_trigger` ({} against {} over three seeds)".format(*of_both)
    few = three(over("finetune", attack) for attack in ("targeted", "text_targeted", "adaptive"))
    yield f"leaves {few} of 48 targets"
    forgotten = ("blended", "filter", "wanet", "label_consistent")
    left, alone = ([pooled(attack, name) for attack in forgotten] for name in ("finetune", "clip"))
    yield "({}, {}, {}, and {}, against".format(*left)
    yield "against {}, {}, {}, and {} under `clip`)".format(*alone)
    names = ("blended", "label_consistent", "text_trigger", "filter", "badclip")
    leaves = [f"{percent(name, 'roclip')} of `{name}`" for name in names]
    yield f"leaves {', '.join(leaves)}, and half of `targeted`"
    yield f"at 18 epochs ({top1('roclip')} against {top1('none')};"
    accuracy = [100 * share(a, "roclip", name="zeroshot_top1").value for a in attacked("roclip")]
    yield f"with poison, accuracy is {spread(accuracy)}%"


def controls() -> Iterator[str]:
    """Say what removal at random and augmentation alone do."""
    shares = [
        f"`{name}` {percent(name, 'random_removal')} against {percent(name, 'clip')}"
        for name in ("wanet", "blended", "text_trigger", "multi_trigger")
    ]
    few = [share("text_targeted", name).k for name in ("random_removal", "clip")]
    yield f"({', '.join(shares)}, `text_targeted` {few[0]} against {few[1]} of 16)"
    yield (
        f"makes `label_consistent` stronger ({pooled('label_consistent', 'clip')} against "
        f"{pooled('label_consistent', 'none')})"
    )
    yield f"{counts('dual_key', 'clip')} of 1,980, against "
    found = counts("mismatch", "clip"), counts("mismatch", "none")
    yield f"{found[0]} of 20, against {found[1]} without a defense"


def costs() -> Iterator[str]:
    """Say what trainings cost."""
    told = leaderboard(load_results([ROOT / "results" / "shapes" / "rows"])).to_dict("records")
    for defense, form in (
        ("safeclip", "(median of {n} rows {middle:.2f})"),
        ("clip", "({middle:.2f})"),
    ):
        mine = [row for row in told if row["defense_name"] == defense and row["cost"]]
        mine = [row for row in mine if (defense, row["epochs"]) != ("clip", LONG)]
        found = {row["runs"]: row["cost"] for row in mine}.values()  # once for several triggers
        middle = form.format(n=len(found), middle=median(found))
        yield f"{spread(found, 2)} for `{defense}` {middle}"


@pytest.mark.parametrize(
    "claims", [safeclip, learned, filters, clean_ups, controls, costs], ids=lambda c: c.__name__
)
def test_figures_of_the_text_are_those_of_the_rows(claims: Callable[[], Iterator[str]]) -> None:
    """A row that is made again does not leave its old number in a sentence."""
    assert [claim for claim in claims() if claim not in text()] == []
