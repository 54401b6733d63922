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


def mean_of(attack: str, *defenses: str) -> float:
    """Return success under the first defense over the seeds that all of them have, in percent."""
    seeds = [seed for seed in SEEDS if all((attack, name, seed) in rows() for name in defenses)]
    assert seeds
    return 100 * pool(share(attack, defenses[0], seed) for seed in seeds).value


def pooled(attack: str, *defenses: str) -> str:
    """Return it in whole percent."""
    return f"{mean_of(attack, *defenses):.0f}%"


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
    """Return how often each of the three triggers of `multi_trigger` succeeds, over three seeds."""
    left = [0, 0, 0]
    for seed in SEEDS:
        metric = run("multi_trigger", defense, seed).metrics["attack_success"]
        assert metric.n is not None
        outcomes, start = unpack(metric.outcomes, metric.n), 0
        for number, part in enumerate(metric.parts or ()):
            left[number] += int(outcomes[start : start + part.n].sum())
            start += part.n
    return three(f"{count:,}" for count in left)


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
    return max(mean_of(attack, defense) for attack in attacks)


def over(defense: str, attack: str) -> int:
    """Return the successes of three seeds together."""
    return sum(share(attack, defense, seed).k for seed in SEEDS)


def spread(values: Iterable[float], digits: int = 1) -> str:
    """Return the lowest and the highest: ``73.5 to 80.1``."""
    several = [*values]
    return f"{min(several):.{digits}f} to {max(several):.{digits}f}"


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
    control = "attack_success_control"
    yield (
        f"on {counts('badclip', 'safeclip')} of 1,980 images with poison, and on "
        f"{counts('badclip', 'safeclip', control)} without"
    )
    for defense in ("clipscore", "par"):
        yield (
            f"`{defense}` leaves {counts('badclip', defense)} "
            f"({counts('badclip', defense, control)}"
        )
    kept = [share("badclip", "clipscore", seed, "poison_kept").k for seed in SEEDS]
    assert kept == [0, kept[1], 0]
    yield f"`clipscore` keeps {kept[1]} of 100 at seed 1, and none at the others."
    detected = [share("badclip", name, seed).k for name in DETECTING for seed in SEEDS]
    yield f"`isolation_forest` leave {min(detected)} to {max(detected)}"
    told = ("safeclip", "clipscore", "par", "roclip", *DETECTING)
    others = [
        share("badclip", defense, seed).k
        for (attack, defense, seed) in rows()
        if attack == "badclip" and defense not in told
    ]
    yield f"every other defense but `roclip` leaves {min(others):,} or more"


def filters() -> Iterator[str]:
    """Say what filters detect, and what they leave."""
    few = three(over("clipscore", attack) for attack in ("targeted", "text_targeted", "adaptive"))
    yield f"`targeted`, `text_targeted`, and `adaptive`, it lets {few} of 48 targets through"
    backdoors = {a for a in attacked("clipscore") if share(a, "clipscore").n > 100}
    most = highest("clipscore", backdoors - {"badclip", "text_trigger"})
    yield f"leaves every backdoor but `badclip` and `text_trigger` at {most:.1f}% or less"
    kept = three(share("text_trigger", "clipscore", seed, "poison_kept").k for seed in SEEDS)
    yield f"keeps {kept}, and {counts('text_trigger', 'clipscore')} of 1,000 captions are misread"
    whole = ("badnets", "badclip", "sig")
    cells = [(attack, name, seed) for attack in whole for name in DETECTING for seed in SEEDS]
    lowest = min(auroc(*cell) for cell in cells)
    most_kept = max(share(*cell, name="poison_kept").k for cell in cells)
    left_of_whole = max(share(*cell).k for cell in cells)
    yield (
        f"with an AUROC of at least {int(100 * lowest) / 100}, as Huang et al. report of patches: "
        f"they keep at most {most_kept} of 100 poisoned pairs, and at most {left_of_whole} of "
        "1,980 images"
    )
    values = three(spread((auroc(a, "lid", seed) for seed in SEEDS), 2) for a in whole)
    yield f"does not ({values}, and success on {three(pooled(a, 'lid') for a in whole)})"
    names = ("kdist", "isolation_forest")
    found = [auroc("dual_key", name, seed) for name in names for seed in SEEDS]
    most = max(share("dual_key", name, seed).k for name in names for seed in SEEDS)
    control = "attack_success_control"
    alone = max(share("dual_key", name, seed, control).k for name in names for seed in SEEDS)
    yield (
        f"also detect `dual_key` at 2% ({spread(found, 2)}), and leave at most {most} of 1,980 "
        f"(after training on clean data, at most {alone})"
    )
    more = [counts("dual_key", name) for name in ("dao", "slof")]
    yield (
        f"`dao` and `slof` leave {more[0]}, and {more[1]}, more than `clip` at each seed "
        f"({counts('dual_key', 'clip')})"
    )
    assert all(
        share("dual_key", name, seed).k > share("dual_key", "clip", seed).k
        for name in ("dao", "slof")
        for seed in SEEDS
    )
    for attack in ("blended", "wanet", "filter", "label_consistent"):
        left = [mean_of(attack, name) for name in (*NEIGHBORS, "isolation_forest")]
        yield (
            f"`{attack}` at {min(left):.0f} to {max(left):.0f}% "
            f"({pooled(attack, 'random_removal')} with `random_removal`)"
        )
    ranked = spread((auroc("targeted", "lid", seed) for seed in SEEDS), 2)
    yield f"`lid` ranks them as the *least* suspicious ({ranked})"
    left = [mean_of("multi_trigger", name) for name in DETECTING]
    yield (
        f"All but `lid` leave `multi_trigger` at {min(left):.0f} to {max(left):.0f}%, against "
        f"{pooled('multi_trigger', 'clip')} under `clip`"
    )
    yield f"`clip`'s model misclassifies {by_trigger('clip')} of the 5,940 images"
    yield f"`dao`'s {by_trigger('dao')}."
    every = (*NEIGHBORS, "isolation_forest")
    found = {n: [auroc("text_trigger", n, seed) for seed in SEEDS] for n in every}
    left_of_it = {
        (n, seed): share("text_trigger", n, seed, "poison_kept").k for n in every for seed in SEEDS
    }
    assert [cell for cell, k in left_of_it.items() if k < 50] == [("kdist", 1)]
    yield (
        f"but for `kdist` at seed 1, which keeps {left_of_it['kdist', 1]} "
        f"(AUROC {spread((v for of in found.values() for v in of), 2)}; `lid` is the lowest)"
    )
    assert all(min(of[seed] for of in found.values()) == found["lid"][seed] for seed in SEEDS)


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
    most = [max(share(a, "roclip", seed).k for seed in SEEDS) for a in ("badnets", "multi_trigger")]
    yield (
        f"stops `badnets` and `multi_trigger` (at most {most[0]} of 1,980, and {most[1]} of 5,940)"
    )
    yield (
        f"leaves {counts('sig', 'roclip')} of 1,980 of `sig`, {counts('dual_key', 'roclip')} of "
        f"`dual_key`, {counts('badclip', 'roclip')} of `badclip`, and "
        f"{counts('text_trigger', 'roclip')} of 1,000 of `text_trigger`"
    )
    names = ("blended", "wanet", "label_consistent", "filter")
    yield ", ".join(f"{pooled(name, 'roclip')} of `{name}`" for name in names[:-1])
    yield f"and {pooled('filter', 'roclip')} of `filter`"
    few = three(over("roclip", attack) for attack in ("targeted", "text_targeted", "adaptive"))
    yield f"of `targeted`, `text_targeted`, and `adaptive`, {few} of 48 targets"
    yield f"({counted('roclip')}%, against {counted('none')}% without a defense;"
    accuracy = [
        100 * share(a, "roclip", seed, "zeroshot_top1").value
        for a in attacked("roclip")
        for seed in SEEDS
    ]
    yield f"with poison, accuracy is {spread(accuracy)}%"


def controls() -> Iterator[str]:
    """Say what removal at random and augmentation alone do."""
    shares = [
        f"`{name}` {pooled(name, 'random_removal')} against "
        f"{pooled(name, 'clip', 'random_removal')}"
        for name in ("wanet", "blended", "text_trigger", "multi_trigger")
    ]
    few = [over(name, "text_targeted") for name in ("random_removal", "clip")]
    yield f"({', '.join(shares)}, `text_targeted` {few[0]} against {few[1]} of 48)"
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
