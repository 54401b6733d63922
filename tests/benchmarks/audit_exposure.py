"""How far the exposure that an audit states lies from the real success of an attack it never saw.

    python tests/benchmarks/audit_exposure.py FOLDER [--size 4000] [--defenses none,safeclip]

For each attack a set of `shapes` is poisoned, with as many poisoned pairs as the audit plants
itself, and given to the audit as plain shards: what it states is what its own canaries did among
classes that it took from captions. The real success is that of the hidden attack: a model that is
trained on all pairs of the poisoned set, with the settings of the audit's, and read among the true
classes. Writes ``exposure.json`` and ``exposure.md`` after each attack; runs that are done are not
done again.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import clipbench as cb
from clipbench.audit.exposure import recipe
from clipbench.audit.exposure.doses import Doses, backdoor_poisons, doses_for
from clipbench.audit.exposure.measure import measure_exposure
from clipbench.audit.exposure.plan import ExposurePlan, plan_exposure
from clipbench.audit.request import AuditRequest
from clipbench.evaluation.statistics import Proportion
from clipbench.pipeline.poison import poison
from clipbench.system.progress import Reporter

TRAINED = 0.85  # of the pairs, which an audit holds a part out of
ATTACKS = ("targeted", "badnets", "label_consistent")
Row = dict[str, Any]


def hidden(attack: str, size: int, model: str) -> cb.Run:
    """Return the hidden attack on a set of so many pairs, with the audit's number of poisons.

    One that keeps captions can't poison more pairs than name its class, a hundredth of `shapes`.
    """
    if attack == "targeted":
        doses = audited_doses(size)
        spec, poisons = f"targeted:targets={doses.each}", doses.each * doses.doses[-1]
    else:
        spec = recipe.attack_spec(attack, model)
        poisons = size // 125 if attack == "label_consistent" else audited_backdoor(size)
    return cb.Run(data=f"shapes:size={size}", attack=spec, poisons=poisons)


def audited_doses(size: int) -> Doses:
    """Return the doses that an audit of so many pairs gives."""
    doses = doses_for(int(TRAINED * size), size)
    assert doses is not None
    return doses


def audited_backdoor(size: int) -> int:
    """Return how many pairs of a set the audit's backdoor poisons."""
    return backdoor_poisons(int(TRAINED * size))


def trained(run: cb.Run, defense: str, plan: ExposurePlan) -> cb.Run:
    """Return a run trained as the audit's are."""
    epochs = recipe.epochs_of(defense, plan.epochs)
    return replace(
        run,
        defense=recipe.defense_spec(defense, plan.size, epochs),
        train=recipe.train_settings(plan.model, plan.size, epochs),
    )


def rows_of(attack: str, size: int, defenses: tuple[str, ...], folder: Path) -> list[Row]:
    """Return what is stated and what is real, a row per defense."""
    reporter, cache = Reporter(), folder / "cache"
    request = AuditRequest(
        data=str(folder / attack / "shards"),
        out=folder / f"audit-{attack}",
        cache=cache,
        reporter=reporter,
        defenses=defenses,
    )
    unseen = hidden(attack, size, request.model)
    poison(unseen.config(), cache=cache, out=folder / attack, reporter=reporter)
    plan = plan_exposure(request)
    exposure = measure_exposure(request, plan)
    rows = []
    for found in exposure.defended:
        stated = found.backdoor
        if attack == "targeted":
            stated = found.targeted[-1]
        run = trained(unseen, found.defense, plan)
        metrics = cb.run(run, out=folder / "real", cache=cache, controls=False).metrics
        success = metrics["attack_success"]
        rows.append(
            {
                "attack": attack,
                "poisons": unseen.poisons,
                "defense": found.defense,
                "stated": [stated.read.k, stated.read.n],
                "stated_found": None if stated.found is None else [stated.found.k, stated.found.n],
                "real": [success.k, success.n],
            }
        )
    return rows


def table(rows: list[Row]) -> str:
    """Return rows as Markdown."""
    lines = [
        "| hidden attack | poisoned pairs | defense | stated | stated, by captions | real |",
        "| --- | --: | --- | --- | --- | --- |",
    ]
    for row in rows:
        cells = [share(row[name]) for name in ("stated", "stated_found", "real")]
        lines.append(
            f"| {row['attack']} | {row['poisons']} | {row['defense']} | {' | '.join(cells)} |"
        )
    return "\n".join(lines) + "\n"


def share(counts: list[int] | None) -> str:
    """Return a share with its 95% interval."""
    if counts is None:
        return "—"
    found = Proportion(*counts)
    return f"{found.k}/{found.n} = {found.value:.0%} [{found.low:.0%}, {found.high:.0%}]"


def main() -> None:
    """Do what the command asks for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--size", type=int, default=4_000)
    parser.add_argument("--defenses", default="none,safeclip")
    parser.add_argument("--attacks", default=",".join(ATTACKS))
    given = parser.parse_args()
    given.folder.mkdir(parents=True, exist_ok=True)
    rows: list[Row] = []
    for attack in given.attacks.split(","):
        rows += rows_of(attack, given.size, tuple(given.defenses.split(",")), given.folder)
        (given.folder / "exposure.json").write_text(json.dumps(rows, indent=1) + "\n")
        (given.folder / "exposure.md").write_text(table(rows))


if __name__ == "__main__":
    main()
