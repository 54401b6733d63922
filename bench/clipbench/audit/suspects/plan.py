"""What the search for suspects will do, so that it fits the time it has."""

from __future__ import annotations

from pathlib import Path

import msgspec

from clipbench.audit.request import AuditRequest
from clipbench.audit.stage import kept
from clipbench.audit.suspects.canaries import num_canaries
from clipbench.audit.suspects.models import EARLY, SAFECLIP, config_of
from clipbench.planning.estimate import estimate_training
from clipbench.planning.work import work_for
from clipbench.text.words import counted

VERSION = 1  # raise it with every change that scores pairs otherwise
SHARE = 1 / 3  # of an audit's time
METHODS = ("similarity", "neighbors", "dao", "safeclip")
SAMPLES = 160_000  # pairs that a model sees in all, where there is time: it learns little more then
FEWEST_EPOCHS, MOST_EPOCHS = 4, 30
OVERHEAD = 1.25  # features, neighbors, files


class SuspectsPlan(msgspec.Struct, frozen=True, kw_only=True):
    """What will be done.

    Args:
        pairs: that are scored, canaries not among them.
        canaries: that are planted beside them.
        epochs: of each training run.
        per_epoch: pairs in an epoch; None: all.
        seeds: of the training runs; their ranks are averaged, and compared.
        seconds: that it takes, as far as a rehearsal tells.
    """

    pairs: int
    canaries: int
    epochs: int
    per_epoch: int | None
    seeds: list[int]
    seconds: float

    def lines(self) -> list[str]:
        """Return the plan for people, a fact a line."""
        part = "" if self.per_epoch is None else f", each of {counted(self.per_epoch, 'pair')}"
        planted = counted(self.canaries, "canary", "canaries")
        return [
            f"suspects: {counted(self.pairs, 'pair')} and {planted} scored by {', '.join(METHODS)}",
            f"  {counted(len(self.seeds), 'seed')}, {counted(self.epochs, 'epoch')}{part}",
        ]


def plan_suspects(request: AuditRequest) -> SuspectsPlan:
    """Return what `find_suspects` will do within its share of the audit's time.

    A rehearsal takes another time each time, so that the plan is kept: an audit that is taken up
    again goes on with what it began.

    Args:
        request: the audit.
    """
    key = {
        "version": VERSION,
        "pairs": request.usable.shards.content_sha256(),
        "model": request.model,
        "budget_s": request.budget_s,
        "seed": request.seed,
    }
    path = folder_of(request) / "plan.json"
    return kept(path, SuspectsPlan, key, lambda: _planned(request))[0]


def folder_of(request: AuditRequest) -> Path:
    """Return the folder of what is found."""
    return request.out / "suspects"


def _planned(request: AuditRequest) -> SuspectsPlan:
    total = len(request.usable.shards)
    canaries = num_canaries(total)
    wanted = max(FEWEST_EPOCHS, min(MOST_EPOCHS, round(SAMPLES / total)))
    one = _seconds(request, wanted) / wanted  # of an epoch, about
    budget = SHARE * request.budget_s
    seeds = [request.seed, request.seed + 1]
    if one * wanted * len(seeds) > budget:
        seeds = seeds[:1]
    epochs = max(FEWEST_EPOCHS, min(wanted, int(budget / (one * len(seeds)))))
    per_epoch = None
    if one * epochs > budget:
        per_epoch = max(2, min(total, int(total * budget / (one * epochs))))
    share = 1.0 if per_epoch is None else per_epoch / total
    return SuspectsPlan(
        pairs=total,
        canaries=canaries,
        epochs=epochs,
        per_epoch=per_epoch,
        seeds=seeds,
        seconds=one * epochs * share * len(seeds),
    )


def _seconds(request: AuditRequest, epochs: int) -> float:
    """Return how long one seed takes."""
    pairs, total = request.usable.shards, 0.0
    for defense, length in (("clip", epochs), ("clip", EARLY), (SAFECLIP, epochs)):
        config = config_of(request, request.data, defense, length, None, request.seed)
        work = work_for(config, config.defense.plugin, len(pairs), until_scored=defense != "clip")
        found = estimate_training(config, pairs, work, request.cache)
        total += found.data + found.training
    return OVERHEAD * total
