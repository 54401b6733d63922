"""The last stage of a run, measuring a model; and the same for any checkpoint of open_clip."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from msgspec import to_builtins

from clipbench.boundary import attacks
from clipbench.checkpoints.record import TrainingRecord
from clipbench.configuration.config import RunConfig
from clipbench.configuration.heldout import HeldOut
from clipbench.configuration.identity import contents_of, training_content
from clipbench.configuration.naming import Allowed, registered_only
from clipbench.configuration.places import PLACES, read_sealed
from clipbench.contracts import AnyProbes, Attack, EvaluationSource, Metric
from clipbench.custody.record import note_made, note_used
from clipbench.errors import BadInput, BadSetting
from clipbench.evaluation import plugins
from clipbench.evaluation.encoder import Encoder
from clipbench.evaluation.evaluator import evaluate_sets
from clipbench.evaluation.history import history_of
from clipbench.evaluation.measured import Epoch, Evaluation, MetricPlugin, Metrics, metrics_json
from clipbench.files.contents import FileHashes
from clipbench.files.typed import Object, items
from clipbench.models.openclip import create_model, load_weights
from clipbench.models.weights import weights_file
from clipbench.parallel.bench import Bench
from clipbench.parallel.devices import pick_device
from clipbench.planning.models import use_once
from clipbench.planning.parts import Prepared
from clipbench.planning.tried import try_metrics
from clipbench.plugins.find import Kind
from clipbench.plugins.part import Part
from clipbench.plugins.spec import SpecLike, spec_like
from clipbench.poisoning.ledger import Ledger, ledger_path, read_ledger, trigger_sha256
from clipbench.text.locations import content_in, location_fields, short


@dataclass(frozen=True)
class Measured:
    """What was measured of a trained model.

    Args:
        num_parameters: parameters of the model.
        metrics: those of its last weights and of the defense's last scores.
        evaluations: for each evaluation set its name and its own metrics.
        history: an entry for each epoch.
        given: names of the metrics that each plugin gave, by its name.
    """

    num_parameters: int
    metrics: Metrics
    evaluations: Sequence[Evaluation]
    history: Sequence[Epoch]
    given: Mapping[str, tuple[str, ...]]


@dataclass(frozen=True)
class MeasuredCheckpoint:
    """What was measured of a checkpoint.

    Args:
        checkpoint: what it is called.
        checkpoint_sha256: hash of its weights.
        model: what it is.
        data: name of the evaluation set that comes first.
        ledger: what was poisoned; None: no ledger was named.
        metrics: by name, those of the sets that come first.
        evaluations: for each evaluation set its name and its own metrics.
        metric_plugins: the metrics beside those that every run has.
    """

    checkpoint: str
    checkpoint_sha256: str
    model: str
    data: str
    ledger: Ledger | None
    metrics: Metrics
    evaluations: Sequence[Evaluation]
    metric_plugins: Sequence[MetricPlugin]

    def to_json(self) -> dict[str, object]:
        """Return the object that ``clipbench evaluate --json`` prints."""
        book = self.ledger
        return {
            "checkpoint": self.checkpoint,
            "checkpoint_sha256": self.checkpoint_sha256,
            "model": self.model,
            "data": self.data,
            "attack": None if book is None else {"name": book.attack, "ledger_sha256": book.sha256},
            "metrics": metrics_json(self.metrics),
            "evaluations": [item.to_json() for item in self.evaluations],
            "metric_plugins": to_builtins(self.metric_plugins),
        }


class Trained(NamedTuple):
    """A run that is trained, before it is measured.

    Args:
        config: the run.
        parts: its plugins and counts.
        folder: its folder, with the model, traces and the weights kept by epoch.
        ledger: what was poisoned; None for clean data.
        record: what training left.
    """

    config: RunConfig
    parts: Prepared
    folder: Path
    ledger: Ledger | None
    record: TrainingRecord


def evaluate_run(trained: Trained, bench: Bench) -> Measured:
    """Measure the model of a run.

    Raises:
        BadSetting: the attack's trigger is not the one that poisoned.
    """
    config, parts, folder, ledger, record = trained
    check_trigger(parts.attack, ledger)
    model, tokenizer = create_model(config.train.model, config.seed)
    load_weights(model, folder / "model")
    evaluation, probes = parts.held_out.primary, parts.probes(config.seed_of_poison)
    device = pick_device(config.train.device)
    encoder = Encoder(model, tokenizer, device=device, progress=bench.progress)
    found = evaluate_sets(encoder, parts.held_out.sets, probes, parts.metrics, seed=config.seed)
    history, detection = history_of(record, ledger, model, tokenizer, evaluation, probes, folder)
    size = sum(p.numel() for p in model.parameters())
    metrics = {**found.metrics, **detection}
    return Measured(size, metrics, found.evaluations, history, found.given)


@dataclass(frozen=True)
class Checkpoint:
    """A checkpoint that is to be measured, and on what.

    Args:
        weights: weights file, or a folder written by clipbench.
        model: open_clip model name or configuration file.
        data: the training source whose held-out sets are used where `evals` is empty; None: that of
            the ledger, else `shapes`.
        evals: the evaluation sources; empty: those of the ledger, unless `data` is given.
        ledger: ledger of the poisoned set the model was trained on.
        metrics: metrics beside those that every run has.
        allowed: what the ledger may name beside what is installed: plugins' files of the content
            that it records, ``module:object``, places of data and weights.
    """

    weights: Path
    model: str
    data: SpecLike | None = None
    evals: Sequence[SpecLike] = ()
    ledger: Path | None = None
    metrics: Sequence[SpecLike] = ()
    allowed: Sequence[str] = ()


def evaluate_checkpoint(asked: Checkpoint, bench: Bench, device: str) -> MeasuredCheckpoint:
    """Measure any open_clip checkpoint; with a ledger, the attack's success too.

    Args:
        asked: the checkpoint.
        bench: to remember hashes of files in.
        device: auto, cpu or cuda.

    Raises:
        BadSetting: the ledger names something else.
        PluginFault: a metric is sure to fail.
    """
    asked_for: list[Part[Metric]] = [Part.of("metric", spec) for spec in asked.metrics]
    extra = plugins.built(asked_for)
    book = read_ledger(ledger_path(asked.ledger)) if asked.ledger else None
    typed = asked.data or asked.evals
    sources = (asked.data or "shapes", asked.evals) if book is None or typed else None
    may = Allowed.of(asked.allowed)
    told = None if book is None else _named_by(book, may, sources=sources is None)
    net, tokenizer = create_model(asked.model, 0, str(asked.weights))
    use_once(net, tokenizer, asked.model, str(asked.weights))
    if book and told:
        with registered_only(asked.allowed, places=True):  # none but what was named and looked at
            held_out, probes = _of_ledger(book, told, sources, bench)
    else:
        assert sources is not None
        held_out, probes = HeldOut.of(*sources), None
    try_metrics(extra, held_out)
    encoder = Encoder(net, tokenizer, device=pick_device(device), progress=bench.progress)
    seed = book.seed if book else 0
    measured = evaluate_sets(encoder, held_out.sets, probes, extra, seed=seed)
    sha256 = FileHashes(bench.cache, fresh=True).of_file(weights_file(asked.weights))
    note_used("weights", sha256)
    for name, metric in measured.metrics.items():
        note_made(name, repr(metric.value))
    return MeasuredCheckpoint(
        checkpoint=short(str(asked.weights)),
        checkpoint_sha256=sha256,
        model=asked.model,
        data=held_out.primary.name,
        ledger=book,
        metrics=measured.metrics,
        evaluations=measured.evaluations,
        metric_plugins=plugins.records([part.to_json() for part in asked_for], measured.given),
    )


_Sources = tuple[SpecLike, Sequence[SpecLike]]  # of training and of evaluation


class _Named(NamedTuple):
    """What a ledger names, all of which may be used."""

    sources: _Sources | None  # None: a person named others
    attack: SpecLike


def _named_by(book: Ledger, may: Allowed, *, sources: bool) -> _Named:
    """Return the attack that a ledger names, and its sources, before anything of them is used.

    Raises:
        BadSetting: one of them, or what it names, is not installed, nor allowed.
    """

    def usable(kind: Kind, spec: Mapping[str, object], slot: str) -> SpecLike:
        return may.usable(kind, spec, book.code, slot, f"{slot} of {book.path}")

    attack = usable("attack", {"name": book.attack, **book.parameters, **book.crafted}, "attack")
    if not sources:
        return _Named(None, attack)
    evals = [usable("dataset", spec, f"evals[{n}]") for n, spec in enumerate(book.evals)]
    return _Named((usable("dataset", book.dataset, "dataset"), evals), attack)


def _of_ledger(
    book: Ledger,
    told: _Named,
    asked: _Sources | None,
    bench: Bench,
) -> tuple[HeldOut, AnyProbes]:
    """Return the held-out data and the probes of the set that a ledger is of.

    Args:
        book: the ledger.
        told: what it names.
        asked: training and evaluation sources that a person named instead of the ledger's.
        bench: to remember hashes of files in; its reporter is told where what was named is not what
            the ledger was made with.
    """
    if told.sources is not None:
        asked = _of_places(book, told.sources, bench)
    elif asked and not _hold_out_the_same(book, asked, bench):
        bench.reporter.warning(
            "the test data named are not those that the ledger was made with; success is"
            " measured on others"
        )
    assert asked is not None
    held_out = HeldOut.of(*asked)
    attack = Part[Attack].of("attack", told.attack).plugin
    check_trigger(attack, book)
    return held_out, attacks.probes(attack, held_out.scene(book.count, book.seed))


def _hold_out_the_same(book: Ledger, sources: _Sources, bench: Bench) -> bool:
    """Return whether sources hold out the test data that a ledger was made with.

    Of what lies somewhere the content is compared, and all other parameters by name, for they may
    choose other images of it.
    """
    data, evals = sources
    if bool(evals) != bool(book.evals):
        return False
    told = book.evals or [book.dataset]
    typed = [Part[EvaluationSource].of("dataset", spec) for spec in (evals or [data])]
    if len(typed) != len(told) or any(map(_differ, typed, told)):
        return False
    if not (recorded := _contents(told)):
        return [part.name for part in typed] == [spec["name"] for spec in told]
    progress = bench.reporter.progress
    if evals:
        return contents_of(typed, bench.cache) == recorded
    return [training_content(typed[0], bench.cache, progress, holds_out=True)] == recorded


def _differ(part: Part[EvaluationSource], told: Mapping[str, object]) -> bool:
    """Return whether a source has other parameters than a ledger tells, places aside.

    What one of them does not have is of another version.
    """
    own, lie = part.parameters, location_fields(part.cls)
    return any(own[name] != told[name] for name in own.keys() & told.keys() - lie.keys())


def _contents(specs: Sequence[Mapping[str, object]]) -> list[str | None]:
    """Return the contents that specifications of a ledger name; empty: they name none."""
    found = [next(filter(None, map(content_in, spec.values())), None) for spec in specs]
    return found if any(found) else []


def _of_places(book: Ledger, told: _Sources, bench: Bench) -> _Sources:
    """Return the sources of a ledger where they lie on this machine.

    Raises:
        BadSetting: nobody knows where, or other data lie there now.
    """
    placed = read_sealed(book.path.parent / PLACES)  # by this user's own run
    sources = told if placed is None else _sources_in(placed)
    if _contents(book.evals or [book.dataset]):
        names = "--eval" if book.evals else "--data"
        if placed is None:
            raise BadSetting(
                f"{book.path} says what its test data are, and not where they lie here; name them"
                f" with {names}."
            )
        try:
            same = _hold_out_the_same(book, sources, bench)
        except BadInput:  # they are gone, or something else lies in their place
            same = False
        if not same:
            raise BadSetting(
                f"The test data of {book.path} are not where they were any more, or have changed;"
                f" name those to measure on with {names}."
            )
    return sources


def _sources_in(placed: Object) -> _Sources:
    evals = [spec_like(spec, "evals") for spec in items(placed["evals"])]
    return spec_like(placed["data"], "data"), evals


def check_trigger(attack: Attack, ledger: Ledger | None) -> None:
    """Refuse to measure with another trigger than the one that poisoned.

    Raises:
        BadSetting: the attack's trigger is not the ledger's.
    """
    if ledger is None or ledger.trigger_sha256 is None or ledger.trigger_probe is None:
        return
    trigger = attacks.trigger(attack)
    height, width = ledger.trigger_probe
    if trigger is None or trigger_sha256(trigger, (height, width)) != ledger.trigger_sha256:
        raise BadSetting(
            f"The trigger of {ledger.attack} is not the one that {ledger.path} was poisoned with;"
            " evaluate with the version of clipbench and the attack's file that made the set."
        )
