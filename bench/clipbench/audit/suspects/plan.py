"""What the search for suspects will do, so that it fits the time it has."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import msgspec

from clipbench.audit.request import AuditRequest
from clipbench.audit.stage import kept
from clipbench.audit.suspects.canaries import num_canaries
from clipbench.audit.suspects.models import config_of
from clipbench.files.typed import Json
from clipbench.planning.estimate import estimate_training
from clipbench.planning.work import work_for
from clipbench.text.words import counted

VERSION = 3  # raise it with every change that scores pairs otherwise
SHARE = 1 / 3  # of an audit's time
METHODS = ("similarity", "neighbors", "dao", "safeclip")
# Pairs that a model sees in all, where there is time. DAO looks for what a model has learned too
# well, which takes long; the others for what does not fit the rest, and a model that has learned
# single pairs by heart finds that everything fits.
SAMPLES = {"early": 12_000, "safeclip": 60_000, "dao": 120_000}
LEAST_EPOCHS = {"early": 2, "safeclip": 5, "dao": 3}
MOST_EPOCHS = 30
SEEDS = 2  # where there is time
SUSPECTS = "suspects.json"
OVERHEAD = 1.25  # features, neighbors, files


class SuspectsPlan(msgspec.Struct, frozen=True, kw_only=True):
    """What will be done.

    Args:
        pairs: that are scored, canaries not among them.
        canaries: that are planted beside them.
        epochs: of each kind of training run.
        per_epoch: pairs in an epoch; None: all.
        seeds: of the training runs; their ranks are averaged, and compared.
        seconds: that it takes, as far as a rehearsal tells.
    """

    pairs: int
    canaries: int
    epochs: dict[str, int]
    per_epoch: int | None
    seeds: list[int]
    seconds: float

    def lines(self) -> list[str]:
        """Return the plan for people, a fact a line."""
        part = "" if self.per_epoch is None else f", each of {counted(self.per_epoch, 'pair')}"
        planted = counted(self.canaries, "canary", "canaries")
        runs = ", ".join(f"{kind} {count}" for kind, count in self.epochs.items())
        return [
            f"suspects: {counted(self.pairs, 'pair')} and {planted} scored by {', '.join(METHODS)}",
            f"  {counted(len(self.seeds), 'seed')}; epochs: {runs}{part}",
        ]


def plan_suspects(request: AuditRequest) -> SuspectsPlan:
    """Return what `find_suspects` will do within its share of the audit's time.

    A rehearsal takes another time each time, so that the plan is kept: an audit that is taken up
    again goes on with what it began.

    Args:
        request: the audit.
    """
    key: dict[str, Json] = {
        "version": VERSION,
        "pairs": list[Json](request.usable.shards.view_hashes()),
        "caption_field": request.caption_field,
        "model": request.model,
        "budget_s": request.budget_s,
        "seed": request.seed,
    }
    path = folder_of(request) / "plan.json"
    with request.untouched():
        return kept(path, SuspectsPlan, key, lambda: _planned(request))[0]


def folder_of(request: AuditRequest) -> Path:
    """Return the folder of what is found."""
    return request.out / "suspects"


def _planned(request: AuditRequest) -> SuspectsPlan:
    total = len(request.usable.shards)
    wanted = {kind: _epochs(kind, total) for kind in SAMPLES}
    each = {kind: _seconds(request, kind, epochs) / epochs for kind, epochs in wanted.items()}
    budget = SHARE * request.budget_s

    def taken(epochs: Mapping[str, int]) -> float:
        return OVERHEAD * sum(each[kind] * count for kind, count in epochs.items())

    several = taken(wanted) * SEEDS <= budget
    seeds = [request.seed + number for number in range(SEEDS if several else 1)]
    part = min(1.0, budget / taken(wanted))
    epochs = {kind: max(LEAST_EPOCHS[kind], int(part * count)) for kind, count in wanted.items()}
    share = min(1.0, budget / taken(epochs))
    return SuspectsPlan(
        pairs=total,
        canaries=num_canaries(total),
        epochs=epochs,
        per_epoch=None if share == 1.0 else max(2, int(share * total)),
        seeds=seeds,
        seconds=taken(epochs) * share * len(seeds),
    )


def _epochs(kind: str, pairs: int) -> int:
    """Return how many epochs a model is trained where there is time."""
    return max(LEAST_EPOCHS[kind], min(MOST_EPOCHS, round(SAMPLES[kind] / pairs)))


def _seconds(request: AuditRequest, kind: str, epochs: int) -> float:
    """Return how long one training of a kind takes."""
    pairs = request.usable.shards
    spec = "safeclip" if kind == "safeclip" else "clip"
    config = config_of(request, request.data, spec, epochs, None, request.seed)
    work = work_for(config, config.defense.plugin, len(pairs), until_scored=kind == "safeclip")
    found = estimate_training(config, pairs, work, request.cache)
    return found.data + found.training
