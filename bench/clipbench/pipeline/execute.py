"""A run from its first stage to its result; a stage that is done is not done again."""

from __future__ import annotations

import json
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TextIO

from clipbench.configuration.config import RunConfig
from clipbench.configuration.identity import identify, located, named
from clipbench.configuration.places import unsealed, write_sealed
from clipbench.errors import BadSetting, CorruptData
from clipbench.evaluation import plugins
from clipbench.evaluation.evaluator import Measurements
from clipbench.importing.usable import NAME as LEFT_OUT
from clipbench.parallel.bench import Bench
from clipbench.parallel.group import Processes
from clipbench.pipeline.evaluate import Trained, evaluate_run
from clipbench.pipeline.hold import held
from clipbench.pipeline.look import look_at_tests
from clipbench.pipeline.poison import tell_left_out, training_set
from clipbench.pipeline.record import RESULT, result_of
from clipbench.planning.packages import warn_of_other_code
from clipbench.planning.parts import Parts, Prepared, with_crafted
from clipbench.poisoning.ledger import read_ledger
from clipbench.results.added import taken_names, with_measured
from clipbench.results.folders import folder_of, has_result
from clipbench.results.model import Result
from clipbench.results.noted import note_results, written_at
from clipbench.results.result import read_result, write_result
from clipbench.system.durable import make_folder
from clipbench.system.progress import Reporter
from clipbench.text.words import counted
from clipbench.training.session import train_on


def execute(config: RunConfig, *, cache: Path, out: Path, reporter: Reporter) -> Result | None:
    """Do a run to its end and return its result; what is done already is taken from `out`.

    Where the clean control of an attacked run is done, its model gives the control metrics. Of
    several processes the first alone evaluates; the others get no result as soon as the training is
    over.

    Args:
        config: the run.
        cache: folder of clean and poisoned shards and decoded images.
        out: folder of the runs.
        reporter: told about progress.
    """
    with _each_warning_once():
        return _executed(config, cache, out, reporter)


def _executed(config: RunConfig, cache: Path, out: Path, reporter: Reporter) -> Result | None:
    """Do what `execute` does."""
    bench = Bench.joined(config.train.device, cache, reporter)
    processes = bench.processes
    config, folder = _known(config, out, bench)
    before = written_at(folder / RESULT)
    if _is_done(folder, processes):
        reporter.note(f"run {config.id} is done already: {folder / RESULT}")
        if bench.is_first:
            warn_of_other_code([(config, read_result(folder / RESULT))], reporter)
    else:
        parts = _prepared(config, bench)
        with held(folder, bench):
            if not _is_done(folder, processes):  # by whoever held the folder before
                _do(config, parts, folder, bench)
    processes.part()
    if not processes.is_first:
        return None
    alone = bench.alone()
    _add_missing_metrics(config, folder, alone)
    if not config.is_clean:
        _add_control(config, folder, out, alone)
    result = read_result(folder / RESULT)
    if written_at(folder / RESULT) != before:  # else nothing was done
        note_results([result])
    return result


@contextmanager
def _each_warning_once() -> Iterator[None]:
    """Show each warning once: what a metric says of a test set, it says of the control again."""
    with warnings.catch_warnings():
        show, said = warnings.showwarning, set[tuple[type[Warning], str]]()

        def show_new(
            message: Warning | str,
            category: type[Warning],
            filename: str,
            lineno: int,
            file: TextIO | None = None,
            line: str | None = None,
        ) -> None:
            if (category, str(message)) not in said:
                said.add((category, str(message)))
                show(message, category, filename, lineno, file, line)

        warnings.showwarning = show_new
        yield


def _known(config: RunConfig, out: Path, bench: Bench) -> tuple[RunConfig, Path]:
    """Return a run known by what its data hold, and its folder; the first process decides both."""
    name = ""
    if bench.is_first:
        config = identify(config, bench.cache, bench.progress)
        name = folder_of(config, out).name
    contents = bench.processes.told(config.contents)
    return replace(config, contents=contents), out / bench.processes.told(name)


def _is_done(folder: Path, processes: Processes) -> bool:
    return processes.told(processes.is_first and has_result(folder, clear=True))


def _prepared(config: RunConfig, bench: Bench) -> Prepared:
    """Make the pairs of a run, poisoned where it has an attack, and return its parts."""

    def make() -> Prepared:
        parts = Parts.of(config)
        if bench.is_first:
            look_at_tests(config, parts.held_out, bench)
        prepared = parts.prepared(config, bench)
        if bench.is_first:
            tell_left_out(prepared.usable, bench.reporter)
            _tell_counts(parts, prepared, bench.reporter)
        if bench.processes.makes:
            training_set(config, prepared, bench)
        return prepared

    return bench.processes.in_turn(make)


def _tell_counts(planned: Parts, prepared: Prepared, reporter: Reporter) -> None:
    """Tell a person what became of a plan that counted pairs before any were looked at."""
    if planned.num_pairs in (0, prepared.num_pairs):
        return
    found = counted(prepared.pairs_after, "pair")
    text = f"counted on what remains: {found}, where the plan has {planned.pairs_after:,}"
    if prepared.count:
        text += f"; {prepared.count:,} of them poisoned, where the plan has {planned.count:,}"
    reporter.note(text)


def _do(config: RunConfig, parts: Prepared, folder: Path, bench: Bench) -> None:
    """Do the stages of a run after its pairs, and write its result."""
    processes = bench.processes
    if processes.is_first:
        identify(config, bench.cache, bench.progress, fresh=True)
        _claim(folder, config)
        parts.usable.write_names(folder / LEFT_OUT)
    processes.barrier()
    shards, ledger_file = training_set(config, parts, bench)
    record = train_on(shards, config, folder, bench)
    processes.part()
    if processes.is_first:
        assert record is not None  # only others are told nothing
        ledger = read_ledger(ledger_file) if ledger_file else None
        parts = with_crafted(parts, ledger.crafted if ledger else {})
        trained = Trained(config, parts, folder, ledger, record)
        measured = evaluate_run(trained, bench)
        write_result(folder / RESULT, result_of(trained, measured))


def _claim(folder: Path, config: RunConfig) -> None:
    """Write the configuration into the run's folder; refuse a folder of another run."""
    make_folder(folder)
    path = folder / "config.json"
    try:
        told = json.loads(path.read_bytes()) if path.exists() else None
    except ValueError:
        warnings.warn(f"{path} was cut off, as by a power cut; it is made again", stacklevel=2)
        told = None
    if told is None:
        write_sealed(path, located(config))
        return
    try:
        other = RunConfig.from_json(unsealed(told))
    except ValueError as error:
        raise CorruptData(f"{path.resolve()} is damaged; delete the folder.") from error
    if other.sha256() != config.sha256():
        raise BadSetting(f"{folder.resolve()} holds another run; choose another --out.")


def _add_missing_metrics(config: RunConfig, folder: Path, bench: Bench) -> None:
    """Measure on a run that is done what was not asked for then."""
    told = config.by_content()["metrics"]
    lacking = plugins.missing(config.metrics, told, read_result(folder / RESULT).metric_plugins)
    if not lacking:
        return
    with held(folder, bench):
        result = read_result(folder / RESULT)  # as whoever held the folder before left it
        lacking = plugins.missing(config.metrics, told, result.metric_plugins)
        if lacking:
            trained = _trained(config, result, folder)
            asked = [part for part, _ in lacking]
            taken = taken_names(result, [part.label for part in asked])
            found = plugins.measure_plugins(trained, asked, bench.processes, taken)
            added = with_measured(result, found, [record for _, record in lacking])
            names = named(config) | dict(result.names)
            write_result(folder / RESULT, added.updated(names=names))


def _trained(config: RunConfig, result: Result, folder: Path) -> plugins.TrainedModel:
    """Return the model of a run that is done, with what it was measured on then.

    Args:
        config: the run.
        result: its result.
        folder: of the run whose weights they are: the run's own, or its control's.
    """
    parts = replace(Parts.of(config), count=result.attack.count)
    parts = with_crafted(parts, result.attack.crafted)
    probes, sets = parts.probes(config.seed_of_poison), parts.held_out.sets
    return plugins.TrainedModel(folder / "model", config.train.model, sets, probes, config.seed)


def _add_control(config: RunConfig, folder: Path, out: Path, bench: Bench) -> None:
    """Measure attack success on the clean control, if that is done and the result lacks it."""
    control = config.without_attack()
    clean = folder_of(control, out)
    lacks = plugins.lacks_control(read_result(folder / RESULT).metrics)
    if not lacks or not (clean / RESULT).is_file():
        return
    with held(folder, bench):
        result = read_result(folder / RESULT)  # as whoever held the folder before left it
        if plugins.lacks_control(result.metrics):
            trained = _trained(config, result, clean)
            controls = plugins.control_metrics(trained, config.metrics, bench.processes)
            added = with_measured(result, Measurements(controls, ()))
            made = {"id": control.id, "created": read_result(clean / RESULT).created}
            write_result(folder / RESULT, added.updated(control=made))
