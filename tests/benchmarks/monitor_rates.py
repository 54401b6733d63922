"""How often the monitor gives an alarm: clean deliveries, backdoors, a supplier who mixes captions.

An audited set of drawn scenes, a model trained on it, and deliveries that neither trained the model
nor are in the baseline. False alarms are counted twice. With a new baseline for every delivery the
rate is at most the stated one. With one baseline for all of them, which is what somebody has who
audited once, it is that on average over the baselines that might have been drawn: deliveries share
the baseline's accidents, and the rate of one baseline may be higher or lower. A new baseline is a
new draw of the held-out pairs: model, other audited pairs and suspects stay. Deliveries are drawn
from the same pairs, so that they overlap.

Suspects are those of a third set whose captions fit worst, so that all questions are asked.

    python tests/benchmarks/monitor_rates.py [--deliveries 200] [--pairs 20000] [--size 1000]
"""

from __future__ import annotations

import argparse
import io
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import redirect_stdout
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

import clipbench as cb
from clipbench.audit.inventory import pairs as inventory
from clipbench.audit.inventory.take import take_inventory
from clipbench.audit.monitor import baseline as baselines
from clipbench.audit.monitor.asked import Names
from clipbench.audit.monitor.baseline import Baseline
from clipbench.audit.monitor.encode import COLUMNS, encoded
from clipbench.audit.monitor.keep import write_baseline
from clipbench.audit.monitor.pairs import Pairs, hash_of, joined
from clipbench.audit.monitor.watch import answer, ask
from clipbench.audit.request import AuditRequest
from clipbench.cli import main as clipbench
from clipbench.evaluation.statistics import Proportion
from clipbench.poisoning.ledger import read_ledger
from clipbench.system.progress import Reporter
from clipbench_datasets._shapes_recipe import TRAIN
from clipbench_datasets.shapes import Shapes

ALPHA = 0.05
SUPPLIERS = ("north", "south", "east", "west", "center")
NAMES = Names({}, {hash_of(name): name for name in SUPPLIERS})
POISON = 0.005
SUSPECTS = 200
TRAINED = {**TRAIN, "epochs": 6, "warmup": 50, "model": "shapes-32"}


def main() -> None:
    """Print how often there is an alarm."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--deliveries", type=int, default=200)
    parser.add_argument("--pairs", type=int, default=20_000, help="that are audited")
    parser.add_argument("--size", type=int, default=1_000, help="pairs of a clean delivery")
    parser.add_argument("--attacked", type=int, default=10, help="deliveries of each attack")
    parser.add_argument("--attacked-size", type=int, default=4_000, help="pairs of each")
    parser.add_argument("--folder", type=Path, help="keeps what is made")
    given = parser.parse_args()
    with TemporaryDirectory() as scratch:
        _measure(given, given.folder or Path(scratch))


def _measure(given: argparse.Namespace, folder: Path) -> None:
    started = time.time()
    cache, reporter = folder / "cache", Reporter(quiet=True)
    data = Shapes(size=given.pairs).prepare(cache)
    audit = AuditRequest(data=str(data), out=folder / "audit", cache=cache, reporter=reporter)
    if not (folder / "audit" / "baseline" / "baseline.json").is_file():
        clean = cb.Run(data=dict(audit.own()), defense="clip", train=TRAINED)
        trained = cb.run(clean, out=folder / "runs", cache=cache, progress=False).folder
        assert trained is not None
        write_baseline(audit, trained, audit.own())
    one = baselines.read(folder / "audit")
    rng = np.random.default_rng(0)
    one = replace(one, held_out=_supplied(one.held_out, rng))
    fresh = _supplied(_encoded(one, Shapes(size=12_000, seed=1).prepare(cache), folder), rng)
    other = _encoded(one, Shapes(size=4_000, seed=2).prepare(cache), folder)
    worst = other.take(np.argsort(other.similarity, kind="stable")[:SUSPECTS])
    one = replace(one, suspects=(worst.image, worst.text))
    print(f"{len(one.held_out):,} held-out pairs, {len(fresh):,} others, {_since(started)}")

    everything = joined(one.held_out, fresh)
    looks = ask(one, fresh, NAMES, seed=0, suppliers=True)
    new, earlier = looks.unknown
    print(f"do not look audited: {earlier:,} held-out pairs, {new:,} others", flush=True)

    def anew() -> Iterator[tuple[Baseline, Pairs]]:
        for _ in range(given.deliveries):
            order = rng.permutation(len(everything))
            held_out = everything.take(order[: len(one.held_out)])
            delivered = order[len(one.held_out) : len(one.held_out) + given.size]
            yield replace(one, held_out=held_out), everything.take(delivered)

    def same() -> Iterator[tuple[Baseline, Pairs]]:
        for _ in range(given.deliveries):
            yield one, fresh.take(rng.permutation(len(fresh))[: given.size])

    def shuffled() -> Iterator[tuple[Baseline, Pairs]]:
        for _ in range(given.attacked):
            yield one, _mixed(fresh.take(rng.permutation(len(fresh))[: given.attacked_size]), rng)

    _tell(f"clean, {given.size:,} pairs, a new baseline for each", anew)
    _tell(f"a fifth of {given.attacked_size:,} pairs with shuffled captions", shuffled)
    for attack in ("badnets", "blended", "label_consistent"):
        name = f"{attack}, {POISON:.1%} of {given.attacked_size:,} pairs"
        _tell(name, lambda attack=attack: _attacked(one, attack, given, folder, rng))
    _tell(f"clean, {given.size:,} pairs, one baseline", same)


def _tell(name: str, deliveries: Callable[[], Iterator[tuple[Baseline, Pairs]]]) -> None:
    """Print for a kind of delivery how many give an alarm, and which."""
    started, alarms, trials, which = time.time(), 0, 0, Counter[str]()
    for number, (before, new) in enumerate(deliveries()):
        asked = ask(before, new, NAMES, seed=number, suppliers=True)
        found = [one.name for one in answer(asked, ALPHA)[0] if one.alarm]
        alarms, trials = alarms + bool(found), trials + 1
        which.update(found)
    share = Proportion(alarms, trials)
    by = ", ".join(f"{one} {count}" for one, count in which.most_common(4))
    print(
        f"{name}: {share.k}/{share.n} alarms [{share.low:.1%}, {share.high:.1%}]; {by or '-'};"
        f" {_since(started)}",
        flush=True,
    )


def _attacked(
    one: Baseline, attack: str, given: argparse.Namespace, folder: Path, rng: np.random.Generator
) -> Iterator[tuple[Baseline, Pairs]]:
    for seed in range(given.attacked):
        out = folder / f"{attack}{seed}"
        if not out.is_dir():
            data = f"shapes:size={given.attacked_size},seed={100 + seed}"
            _poison(data, attack, seed, out, folder / "cache")
        new = _encoded(one, out / "shards", folder)
        assert read_ledger(out / "ledger").count == round(POISON * len(new))
        yield one, _supplied(new, rng)


def _poison(data: str, attack: str, seed: int, out: Path, cache: Path) -> None:
    words = ["poison", "--data", data, "--attack", attack, "--rate", str(POISON), "-q"]
    words += ["--seed", str(seed), "--out", str(out), "--cache", str(cache)]
    with redirect_stdout(io.StringIO()):
        assert clipbench(words) == 0


def _encoded(one: Baseline, data: Path, folder: Path) -> Pairs:
    """Return all pairs of a set as the baseline's model sees them."""
    request = AuditRequest(
        data=str(data),
        out=folder / "seen" / data.parent.name / data.name,
        cache=folder / "cache",
        reporter=Reporter(quiet=True),
    )
    take_inventory(request)
    table = inventory.read_pairs(request.out / "inventory" / inventory.NAME, COLUMNS)
    shards = request.usable.shards
    rows = np.arange(len(shards), dtype=np.int64)
    return encoded(shards, rows, table, one.model, request.reporter.progress)


def _supplied(pairs: Pairs, rng: np.random.Generator) -> Pairs:
    """Return pairs that come from suppliers by chance."""
    names = np.array([hash_of(name) for name in SUPPLIERS], np.uint64)
    return replace(pairs, supplier=names[rng.integers(len(names), size=len(pairs))])


def _mixed(pairs: Pairs, rng: np.random.Generator) -> Pairs:
    """Return pairs of which those of one supplier have each other's captions."""
    rows = np.flatnonzero(pairs.supplier == hash_of(SUPPLIERS[0]))
    order = np.arange(len(pairs), dtype=np.int64)
    order[rows] = rng.permutation(rows)
    images = ("image", "image_hash", "size", "supplier")
    return replace(pairs.take(order), **{name: getattr(pairs, name) for name in images})


def _since(started: float) -> str:
    return f"{time.time() - started:.0f} s"


if __name__ == "__main__":
    main()
