"""The last stage of a run, measuring a model; and the same for any checkpoint of open_clip."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from clipbench import registry
from clipbench.boundary import attacks
from clipbench.config import RunConfig
from clipbench.contents import FileHashes
from clipbench.contracts import AnyProbes, Attack
from clipbench.errors import BadInput, BadSetting, UnknownName
from clipbench.evaluation import plugins
from clipbench.evaluation.encoder import Encoder
from clipbench.evaluation.evaluator import Metrics, evaluate_sets
from clipbench.evaluation.history import history_of
from clipbench.heldout import HeldOut
from clipbench.locations import content_in, short
from clipbench.models import create_model, load_weights, weights_file
from clipbench.pipeline.identity import contents_of, read_places
from clipbench.pipeline.parts import Parts
from clipbench.pipeline.tried import try_metrics
from clipbench.progress import Reporter
from clipbench.shards.ledger import Ledger, ledger_path, read_ledger, trigger_sha256
from clipbench.specs import SpecLike
from clipbench.training.distributed import pick_device
from clipbench.training.record import TrainingRecord


@dataclass(frozen=True)
class Measured:
    """What was measured of a trained model.

    Args:
        num_parameters: parameters of the model.
        metrics: those of its last weights and of the defence's last scores.
        evaluations: for each evaluation set its name and its own metrics.
        history: an entry for each epoch.
    """

    num_parameters: int
    metrics: Metrics
    evaluations: list[dict[str, Any]]
    history: list[dict[str, Any]]


def evaluate_run(
    config: RunConfig,
    parts: Parts,
    folder: Path,
    ledger: Ledger | None,
    record: TrainingRecord,
    reporter: Reporter,
) -> Measured:
    """Measure the model of a run.

    Args:
        config: the run.
        parts: its plugins and counts.
        folder: its folder, with the model, traces and the weights kept by epoch.
        ledger: what was poisoned; None for clean data.
        record: what training left.
        reporter: told about progress.

    Raises:
        BadSetting: the attack's trigger is not the one that poisoned.
    """
    check_trigger(parts.attack, ledger)
    model, tokenizer = create_model(config.train.model, config.seed)
    load_weights(model, folder / "model")
    evaluation, probes = parts.held_out.primary, parts.probes(config.seed)
    device = pick_device(config.train.device)
    encoder = Encoder(model, tokenizer, device=device, progress=reporter.progress)
    found = evaluate_sets(encoder, parts.held_out.sets, probes, parts.metrics, seed=config.seed)
    history, detection = history_of(record, ledger, model, tokenizer, evaluation, probes, folder)
    size = sum(p.numel() for p in model.parameters())
    return Measured(size, {**found.metrics, **detection}, found.evaluations, history)


def evaluate_checkpoint(
    checkpoint: Path,
    model: str,
    *,
    data: SpecLike | None = None,
    evals: Sequence[SpecLike] = (),
    ledger: Path | None,
    device: str,
    cache: Path,
    reporter: Reporter,
    metrics: Sequence[SpecLike] = (),
    allow_code: bool = False,
) -> dict[str, Any]:
    """Measure any open_clip checkpoint; with a ledger, the attack's success too.

    Args:
        checkpoint: weights file, or a folder written by clipbench.
        model: open_clip model name or configuration file.
        data: the training source whose held-out sets are used where `evals` is empty; None: that of
            the ledger, else `shapes`.
        evals: the evaluation sources; empty: those of the ledger, unless `data` is given.
        ledger: ledger of the poisoned set the model was trained on.
        device: auto, cpu or cuda.
        cache: to remember hashes of files in.
        reporter: told about progress.
        metrics: metrics beside those that every run has.
        allow_code: whether plugins that are files may be run where the ledger names them.

    Raises:
        BadSetting: the ledger names such a plugin, and that is not allowed.
        PluginFault: a metric is sure to fail.
    """
    specs = [registry.resolve("metric", spec) for spec in metrics]
    extra = plugins.built(specs)
    net, tokenizer = create_model(model, 0)
    load_weights(net, checkpoint)
    book = read_ledger(ledger_path(ledger)) if ledger else None
    if book:
        asked = None if data is None and not evals else (data or book.dataset, evals)
        held_out, probes = _of_ledger(book, asked, allow_code, cache, reporter)
    else:
        held_out, probes = HeldOut.of(data or "shapes", evals), None
    try_metrics(extra.values(), held_out)
    encoder = Encoder(net, tokenizer, device=pick_device(device), progress=reporter.progress)
    seed = book.seed if book else 0
    measured = evaluate_sets(encoder, held_out.sets, probes, extra, seed=seed)
    return {
        "checkpoint": short(str(checkpoint)),
        "checkpoint_sha256": FileHashes(cache).of_file(weights_file(checkpoint)),
        "model": model,
        "data": held_out.primary.name,
        "attack": None if book is None else {"name": book.attack, "ledger_sha256": book.sha256},
        "metrics": measured.metrics,
        "evaluations": measured.evaluations,
        "metric_plugins": plugins.records(specs),
    }


def _of_ledger(
    book: Ledger,
    asked: tuple[SpecLike, Sequence[SpecLike]] | None,
    allow_code: bool,
    cache: Path,
    reporter: Reporter,
) -> tuple[HeldOut, AnyProbes]:
    """Return the held-out data and the probes of the set that a ledger is of.

    Args:
        book: the ledger.
        asked: training and evaluation sources that a person named instead of the ledger's.
        allow_code: whether plugins that are files may be run.
        cache: to remember hashes of files in.
        reporter: told where what was named is not what the ledger was made with.
    """
    placed = read_places(book.path.parent) or {}
    with nullcontext() if allow_code else registry.registered_only():
        try:
            if asked is None:
                asked = _of_places(book, placed, cache)
            elif recorded := _contents(book.evals):
                found = contents_of([registry.resolve("dataset", s) for s in asked[1]], cache)
                if found != recorded:
                    reporter.warning(
                        "the test data named are not those that the ledger was made with; success"
                        " is measured on others"
                    )
            held_out = HeldOut.of(*asked)
            name = book.attack
            if "attack" in book.code:
                name = str(placed.get("attack", {}).get("name", name))
                _check_code(name, book.code["attack"])
            spec = {"name": name, **book.parameters, **book.crafted}
            attack: Attack = registry.build("attack", spec)
        except UnknownName as error:
            raise BadSetting(
                f"{book.path} can't be used: {error} A plugin that is a file is run only with"
                " --allow-code, for a ledger may come from anybody."
            ) from error
        check_trigger(attack, book)
        return held_out, attacks.probes(attack, held_out.scene(book.count, book.seed))


def _check_code(name: str, sha256: str) -> None:
    """Refuse an attack's file that is not the one that poisoned.

    Raises:
        BadSetting: it has another content.
    """
    if registry.code_sha256(name) not in (sha256, None):
        raise BadSetting(
            f"{name} is not the file that poisoned the set (SHA-256 {sha256[:16]}...); put it back."
        )


def _contents(specs: Sequence[Mapping[str, Any]]) -> list[str | None]:
    """Return the contents that specifications of a ledger name; empty: they name none."""
    found = [next(filter(None, map(content_in, spec.values())), None) for spec in specs]
    return found if any(found) else []


def _of_places(
    book: Ledger, placed: Mapping[str, Any], cache: Path
) -> tuple[SpecLike, Sequence[SpecLike]]:
    """Return the sources of a ledger where they lie on this machine.

    Raises:
        BadSetting: nobody knows where, or other data lie there now.
    """
    data, evals = placed.get("data", book.dataset), placed.get("evals", book.evals)
    if recorded := _contents(book.evals if book.evals else [book.dataset]):
        names = "--eval" if book.evals else "--data"
        if not placed:
            raise BadSetting(
                f"{book.path} says what its test data are, and not where they lie here; name them"
                f" with {names}."
            )
        try:
            same = not book.evals or contents_of(evals, cache) == recorded
        except BadInput:  # they are gone, or something else lies in their place
            same = False
        if not same:
            raise BadSetting(
                f"The test data of {book.path} are not where they were any more, or have changed;"
                f" name those to measure on with {names}."
            )
    return data, evals


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
