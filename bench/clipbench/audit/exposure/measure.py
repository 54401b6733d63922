"""Doing the runs of a plan, and reading from them what an attacker gains and a defense costs."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from clipbench.api.work import check_plans, do_all
from clipbench.audit.exposure import reading
from clipbench.audit.exposure.found import Defended, Difference, Exposure, Success, Trials
from clipbench.audit.exposure.found import Usefulness as Useful
from clipbench.audit.exposure.plan import (
    BACKDOOR,
    CLEAN,
    TARGETED,
    ExposurePlan,
    folder_of,
    key_of,
    run_of,
)
from clipbench.audit.request import AuditRequest
from clipbench.audit.stage import kept
from clipbench.compare.paired import PairedCounts, compare
from clipbench.configuration.config import RunConfig
from clipbench.configuration.heldout import HeldOut
from clipbench.configuration.identity import identify
from clipbench.contracts import Probes
from clipbench.evaluation.encoder import Encoder
from clipbench.evaluation.outcomes import unpack
from clipbench.parallel.bench import Bench
from clipbench.pipeline.poison import training_set
from clipbench.planning.parts import Parts
from clipbench.planning.plan import plan as plan_run
from clipbench.poisoning.ledger import Ledger, read_ledger
from clipbench.results import folders
from clipbench.results.measured import Metric
from clipbench.results.model import Result

VERSION = 1  # raise it with every change that finds something else in the same runs


@dataclass(frozen=True)
class _Done:
    """A run that is done.

    Args:
        config: the run.
        result: of it.
        folder: where its model lies.
    """

    config: RunConfig
    result: Result
    folder: Path


def measure_exposure(request: AuditRequest, plan: ExposurePlan) -> Exposure:
    """Do the runs of a plan, as far as they are not done, and return what they show.

    Raises:
        ClipbenchError: a run failed.
    """
    key = {**key_of(request), "measured": VERSION, "size": plan.size, "epochs": _epochs(plan)}
    path = folder_of(request) / "exposure.json"
    return kept(path, Exposure, key, lambda: _measured(request, plan))[0]


def _epochs(plan: ExposurePlan) -> list[int]:
    return [run.epochs for run in plan.runs]


def _measured(request: AuditRequest, plan: ExposurePlan) -> Exposure:
    if plan.refused:
        return Exposure(refused=plan.refused)
    done = _run_all(request, plan)
    held_out = HeldOut.of(done[CLEAN, request.defenses[0]].config.data, ())
    ledger, probes = _attack(request, done[TARGETED, request.defenses[0]])
    captions = _captions(ledger, len(probes))
    candidates = reading.candidates_of(held_out.primary)
    outcomes: dict[str, reading.Outcomes] = {}
    firsts: dict[tuple[str, str], reading.BoolArray] = {}
    for defense in request.defenses:
        for attack in (CLEAN, TARGETED):
            encoder = _encoder(request, done[attack, defense])
            firsts[attack, defense] = reading.attacker_first(
                encoder, probes.images, captions, candidates
            )
            if attack == CLEAN:
                outcomes[defense] = reading.outcomes_of(encoder, held_out.primary)
    labels = held_out.primary.test.labels
    largest = float(np.bincount(labels).max() / len(labels))
    return Exposure(
        defended=tuple(
            Defended(
                defense=defense,
                epochs=_whole_epochs(done[CLEAN, defense].result),
                seconds=sum(_seconds(done[attack, defense].result) for attack in _ATTACKS),
                targeted=_by_dose(
                    done[TARGETED, defense].result,
                    firsts[TARGETED, defense],
                    firsts[CLEAN, defense],
                    plan.doses,
                ),
                backdoor=_of_backdoor(done[BACKDOOR, defense].result),
                useful=_useful(outcomes[defense], outcomes.get("clip"), largest),
                set_aside=_set_aside(done[CLEAN, defense].result),
                canaries_set_aside=_canaries_set_aside(done[TARGETED, defense].result),
            )
            for defense in request.defenses
        ),
        candidates=len(candidates),
    )


_ATTACKS = (CLEAN, TARGETED, BACKDOOR)


def _run_all(request: AuditRequest, plan: ExposurePlan) -> dict[tuple[str, str], _Done]:
    """Do all runs, clean ones first, for they are the controls of the others."""
    which = [(run.attack, run.defense) for run in plan.runs]
    configs = [run_of(request, plan, attack, defense).config() for attack, defense in which]
    out, cache, reporter = request.out / "runs", request.cache, request.reporter
    check_plans([plan_run(c, out, cache=cache, progress=reporter.progress) for c in configs])
    results = do_all(configs, cache=cache, out=out, reporter=reporter)
    found = {}
    for name, config, result in zip(which, configs, results, strict=True):
        known = identify(config, cache, reporter.progress)
        found[name] = _Done(known, result, folders.folder_of(known, out))
    return found


def _attack(request: AuditRequest, done: _Done) -> tuple[Ledger, Probes]:
    """Return what was poisoned, and the images that shall be misread."""
    bench = Bench(request.cache, reporter=request.reporter)
    parts = Parts.of(done.config).prepared(done.config, bench)
    ledger = training_set(done.config, parts, bench)[1]
    probes = parts.probes(done.config.seed_of_poison)
    assert ledger is not None and isinstance(probes, Probes)  # noqa: PT018 - it has an attack
    return read_ledger(ledger), probes


def _captions(ledger: Ledger, targets: int) -> list[list[str]]:
    """Return the captions that the attacker gave each target."""
    found: dict[int, list[str]] = defaultdict(list)
    for target, caption in zip(ledger.rows["target"], ledger.rows["caption_after"], strict=True):
        found[int(target)].append(str(caption))
    return [found[target] for target in range(targets)]


def _encoder(request: AuditRequest, done: _Done) -> Encoder:
    return reading.encoder_of(done.folder, done.config.train.model, request.reporter)


def _by_dose(
    result: Result, found: reading.BoolArray, control: reading.BoolArray, doses: Sequence[int]
) -> tuple[Success, ...]:
    """Return success by dose; each has as many targets, those of a dose one after another."""
    read, before = (
        unpack(metric.outcomes, len(found))
        for metric in (result.metrics["attack_success"], result.metrics["attack_success_control"])
    )
    of_doses = (np.split(outcomes, len(doses)) for outcomes in (read, before, found, control))
    return tuple(
        Success(
            poisons=dose,
            read=_counted(mine),
            read_control=_counted(its),
            found=_counted(mine_first),
            found_control=_counted(its_first),
        )
        for dose, mine, its, mine_first, its_first in zip(doses, *of_doses, strict=True)
    )


def _of_backdoor(result: Result) -> Success:
    success, clean = (
        _trials(result.metrics[name]) for name in ("attack_success", "attack_success_control")
    )
    return Success(poisons=result.attack.count, read=success, read_control=clean)


def _trials(metric: Metric) -> Trials:
    assert metric.k is not None and metric.n is not None  # noqa: PT018 - it is a share
    return Trials(metric.k, metric.n)


def _useful(own: reading.Outcomes, clip: reading.Outcomes | None, largest: float) -> Useful:
    other = None if clip is own else clip
    return Useful(
        read=_counted(own.read),
        largest=largest,
        to_text=_counted(own.to_text),
        to_text_10=_counted(own.to_text_10),
        read_to_clip=None if other is None else _difference(own.read, other.read),
        to_text_to_clip=None if other is None else _difference(own.to_text, other.to_text),
    )


def _counted(outcomes: reading.BoolArray) -> Trials:
    return Trials(int(outcomes.sum()), len(outcomes))


def _difference(first: reading.BoolArray, second: reading.BoolArray) -> Difference:
    found = compare([PairedCounts.of(first, second)])
    return Difference(found.difference, found.low, found.high)


def _seconds(result: Result) -> float:
    """Return the seconds of a training run: of the processor, which other work does not lengthen.

    Those of a GPU are the clock's.
    """
    train = result.train
    assert train is not None  # it was trained here
    return (train.cpu_seconds or train.seconds) if train.device == "cpu" else train.seconds


def _whole_epochs(result: Result) -> int:
    assert result.train is not None  # it was trained here
    return round(result.train.epochs)


def _set_aside(result: Result) -> int:
    """Return how many pairs of the last epoch no loss matched with their captions."""
    safe = result.history[-1].safe_set_size if result.history else None
    return 0 if safe is None else result.data.pairs - safe


def _canaries_set_aside(result: Result) -> Trials | None:
    """Return how many poisoned pairs that were; None: the defense sets none aside."""
    kept = result.history[-1].poisons_in_safe_set if result.history else None
    count = result.attack.count
    return None if kept is None else Trials(count - kept, count)
