"""Doing the runs of a plan, and reading from them what an attacker gains and a defense costs."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from clipbench.api.work import do_all
from clipbench.audit.exposure import reading
from clipbench.audit.exposure.found import (
    Defended,
    Difference,
    Exposure,
    Success,
    Trials,
    Usefulness,
)
from clipbench.audit.exposure.plan import (
    BACKDOOR,
    CLEAN,
    TARGETED,
    ExposurePlan,
    folder_of,
    key_of,
    run_of,
)
from clipbench.audit.exposure.suppliers import canaries_by_supplier
from clipbench.audit.exposure.words import name_of
from clipbench.audit.request import AuditRequest
from clipbench.audit.stage import kept
from clipbench.compare.paired import PairedCounts, compare
from clipbench.configuration.config import RunConfig
from clipbench.configuration.identity import identify
from clipbench.contracts import EvaluationSet, Image, Probes
from clipbench.evaluation.measured import Metric
from clipbench.evaluation.outcomes import unpack
from clipbench.files.typed import Json
from clipbench.parallel.bench import Bench
from clipbench.pipeline.poison import training_set
from clipbench.planning.parts import Parts, Prepared
from clipbench.poisoning.ledger import Ledger, read_ledger
from clipbench.results import folders
from clipbench.results.model import Result

VERSION = 2  # raise it with every change that finds something else in the same runs


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


_AllDone = Mapping[tuple[str, str], _Done]  # by attack and defense


def measure_exposure(request: AuditRequest, plan: ExposurePlan) -> Exposure:
    """Do the runs of a plan, as far as they are not done, and return what they show.

    Raises:
        ClipbenchError: a run failed.
    """
    planned: Json = msgspec.to_builtins(plan)
    key = {**key_of(request), "measured": VERSION, "plan": planned, "supplier": request.supplier}
    path = folder_of(request) / "exposure.json"
    with request.untouched():
        return kept(path, Exposure, key, lambda: _measured(request, plan))[0]


def _measured(request: AuditRequest, plan: ExposurePlan) -> Exposure:
    if plan.refused:
        return Exposure(refused=plan.refused)
    done = _run_all(request, plan)
    first = request.defenses[0]
    parts, ledger = _planted(request, done[TARGETED, first])
    chosen = _chosen(request, parts, ledger)
    readings = {defense: _read(request, done, defense, chosen) for defense in request.defenses}
    clip = next((own for name, own in readings.items() if name_of(name) == "clip"), None)
    source: Any = parts.dataset  # ``own`` lists its pairs
    ledgers = [ledger, _planted(request, done[BACKDOOR, first])[1]]
    return Exposure(
        defended=tuple(
            _defended(plan, done, defense, reading, clip) for defense, reading in readings.items()
        ),
        pairs=done[CLEAN, first].result.data.pairs,
        candidates=len(chosen.candidates),
        suppliers=canaries_by_supplier(request, source, parts.usable.shards, ledgers),
    )


@dataclass(frozen=True)
class _Chosen:
    """What the models of all defenses are shown.

    Args:
        evaluation: held-out pairs.
        images: that the attacker chose.
        captions: for each those that the attacker gave it.
        candidates: held-out captions.
    """

    evaluation: EvaluationSet
    images: Sequence[Image]
    captions: Sequence[Sequence[str]]
    candidates: Sequence[str]


@dataclass(frozen=True)
class _Reading:
    """What the models of one defense make of it.

    Args:
        outcomes: of the model of clean pairs.
        first: ``(T,)`` images that find the attacker's caption first.
        control: ``(T,)`` likewise, by the model of clean pairs.
    """

    outcomes: reading.Outcomes
    first: reading.BoolArray
    control: reading.BoolArray


def _chosen(request: AuditRequest, parts: Prepared, ledger: Ledger) -> _Chosen:
    probes, evaluation = parts.probes(request.seed), parts.held_out.primary
    assert isinstance(probes, Probes)  # images, of an attack
    captions = _captions(ledger, len(probes))
    return _Chosen(evaluation, probes.images, captions, reading.candidates_of(evaluation))


def _read(request: AuditRequest, done: _AllDone, defense: str, chosen: _Chosen) -> _Reading:
    clean, attacked = (
        reading.encoder_of(one.folder, one.config.train.model, request.reporter)
        for one in (done[CLEAN, defense], done[TARGETED, defense])
    )
    control, first = (
        reading.attacker_first(encoder, chosen.images, chosen.captions, chosen.candidates)
        for encoder in (clean, attacked)
    )
    return _Reading(reading.outcomes_of(clean, chosen.evaluation), first, control)


def _defended(
    plan: ExposurePlan, done: _AllDone, defense: str, own: _Reading, clip: _Reading | None
) -> Defended:
    clean, targeted, backdoor = (done[attack, defense].result for attack in _ATTACKS)
    return Defended(
        defense=defense,
        epochs=_whole_epochs(clean),
        seconds=sum(map(_seconds, (clean, targeted, backdoor))),
        targeted=_by_dose(targeted, own.first, own.control, plan.doses),
        backdoor=_of_backdoor(backdoor),
        useful=_useful(own.outcomes, None if clip is own else clip),
        set_aside=_set_aside(clean),
        canaries_set_aside=_canaries_set_aside(targeted),
    )


_ATTACKS = (CLEAN, TARGETED, BACKDOOR)


def _run_all(request: AuditRequest, plan: ExposurePlan) -> _AllDone:
    """Do all runs, clean ones first, for they are the controls of the others."""
    which = [(run.attack, run.defense) for run in plan.runs]
    configs = [run_of(request, plan, attack, defense).config() for attack, defense in which]
    out, cache, reporter = request.out / "runs", request.cache, request.reporter
    results = do_all(configs, cache=cache, out=out, reporter=reporter)
    found = {}
    for name, config, result in zip(which, configs, results, strict=True):
        known = identify(config, cache, reporter.progress)
        found[name] = _Done(known, result, folders.folder_of(known, out))
    return found


def _planted(request: AuditRequest, done: _Done) -> tuple[Prepared, Ledger]:
    """Return the parts of an attacked run, and what was poisoned for it."""
    bench = Bench(request.cache, reporter=request.reporter)
    parts = Parts.of(done.config).prepared(done.config, bench)
    ledger = training_set(done.config, parts, bench)[1]
    assert ledger is not None  # it has an attack
    return parts, read_ledger(ledger)


def _captions(ledger: Ledger, targets: int) -> list[list[str]]:
    """Return the captions that the attacker gave each target."""
    found: dict[int, list[str]] = defaultdict(list)
    for target, caption in zip(ledger.rows["target"], ledger.rows["caption_after"], strict=True):
        found[int(target)].append(str(caption))
    return [found[target] for target in range(targets)]


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


def _useful(own: reading.Outcomes, clip: _Reading | None) -> Usefulness:
    other = None if clip is None else clip.outcomes
    return Usefulness(
        read=_counted(own.read),
        largest=own.largest,
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
