"""One run: clean shards, poison, train, evaluate, record; a step that is done is not done again."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from clipbench import registry
from clipbench.config import RunConfig, exact_rate
from clipbench.contracts import Attack, EvaluationSet, Metric, Probes, TrainingSource
from clipbench.errors import BadSetting, CorruptData
from clipbench.evaluation import plugins
from clipbench.evaluation.encoder import Encoder
from clipbench.evaluation.evaluator import evaluate_sets
from clipbench.evaluation.history import history_of
from clipbench.heldout import HeldOut
from clipbench.leaderboard.result import config_hash, environment, read_result, write_result
from clipbench.models import WEIGHTS_FILE, create_model, image_size_of, load_weights, model_config
from clipbench.progress import Reporter, duration
from clipbench.shards.ledger import Ledger, ledger_path, read_head, read_ledger, trigger_sha256
from clipbench.shards.overlay import write_poisoned
from clipbench.shards.rate import poison_count
from clipbench.shards.screen import is_foreign
from clipbench.shards.usable import NAME as LEFT_OUT
from clipbench.shards.usable import UsablePairs, caption_field_of, open_usable
from clipbench.specs import SpecLike
from clipbench.training.distributed import Processes, join_processes, pick_device
from clipbench.training.session import TrainingRecord, train_on

RESULT = "result.json"


@dataclass(frozen=True)
class Parts:
    """The plugins of a run, built, and the counts that follow from them.

    Args:
        dataset: the training source, large enough for the rate.
        held_out: the evaluation sources.
        attack: the attack.
        defense: the defence.
        num_pairs: pairs of the clean set.
        count: poisoned pairs; 0 for a clean run.
        metrics: metrics beside those that every run has, by name.
        usable: the clean pairs that can be used; None before they were looked at.
    """

    dataset: TrainingSource
    held_out: HeldOut
    attack: Attack
    defense: Any
    num_pairs: int
    count: int
    metrics: Mapping[str, Metric]
    usable: UsablePairs | None = None

    @classmethod
    def of(cls, config: RunConfig) -> Parts:
        """Build the plugins of a run, and refuse what cannot be done before work is spent."""
        dataset: TrainingSource = registry.build("dataset", config.data)
        held_out = HeldOut.of(config.data, config.evals)
        attack: Attack = registry.build("attack", config.attack)
        num_pairs = dataset.num_pairs()
        count = _num_poisons(config, attack, num_pairs)
        defense = registry.build("defense", config.defense)
        metrics = plugins.built(config.metrics)
        return cls(dataset, held_out, attack, defense, num_pairs, count, metrics)

    def prepared(self, config: RunConfig, cache: Path, reporter: Reporter) -> Parts:
        """Return these parts with the clean pairs made and looked at, and counts that are exact.

        Raises:
            CorruptData: pairs can't be used, and the run does not leave them out.
        """
        clean = self.dataset.prepare(cache, reporter.progress)
        usable = open_usable(
            clean,
            cache,
            caption_field=caption_field_of(self.dataset),
            on_error=config.on_error,
            progress=reporter.progress,
        )
        num_pairs = len(usable.shards)
        count = _num_poisons(config, self.attack, num_pairs)
        return replace(self, usable=usable, num_pairs=num_pairs, count=count)

    @property
    def pairs_after(self) -> int:
        """Pairs of the set that is trained on."""
        return self.num_pairs + (self.count if self.attack.mode == "insert" else 0)

    def probes(self, seed: int) -> Probes | None:
        """Return what the attack wants misread; None for clean data."""
        return self.attack.probes(self.held_out.scene(self.count, seed)) if self.count else None


def _num_poisons(config: RunConfig, attack: Attack, num_pairs: int) -> int:
    """Return how many poisons a run has among `num_pairs` clean pairs."""
    if config.is_clean:
        return 0
    if not num_pairs:  # not known before the pairs are there
        return config.poisons or 0
    count = config.poisons or poison_count(exact_rate(config), num_pairs, attack.mode)
    if count > num_pairs:
        raise BadSetting(f"{count} poisons do not fit into {num_pairs} pairs.")
    attack.num_targets(count)  # refuses more targets than poisons
    return count


@dataclass(frozen=True)
class Plan:
    """What a run will do, before it does it."""

    config: RunConfig
    parts: Parts
    done: bool
    seconds: float | None
    folder: Path

    def lines(self) -> list[str]:
        """Return the plan for people, a fact a line."""
        config, parts = self.config, self.parts
        train = config.train
        if not parts.num_pairs:
            return [
                f"run {config.id}: {config.attack_name} / {config.defense_name} / seed"
                f" {config.seed}",
                f"  data     {config.data_name}, counted when it is fetched",
                f"  folder   {self.folder}",
            ]
        per_epoch = min(train.pairs_per_epoch or parts.pairs_after, parts.pairs_after)
        seen = per_epoch * train.epochs
        targets = parts.attack.num_targets(parts.count) if parts.count else 0
        poison = "clean data"
        if parts.count:
            poison = (
                f"{parts.count:,} of {parts.pairs_after:,} pairs"
                f" (rate {parts.count / parts.pairs_after:.3g},"
                f" {parts.count / parts.pairs_after:.6%}), {targets} target(s),"
                f" {parts.count / targets:.3g} each, mode {parts.attack.mode}"
            )
        lines = [
            f"run {config.id}: {config.attack_name} / {config.defense_name} / seed {config.seed}",
            f"  data     {config.data_name}, {parts.num_pairs:,} pairs",
            f"  attack   {config.attack_name}: {poison}",
            f"  training {train.model}, {train.epochs} epochs of {per_epoch:,} pairs, "
            f"{seen / parts.pairs_after:.3g} passes over the data",
            f"  folder   {self.folder}",
        ]
        if self.done:
            return [*lines, "  time     done already"]
        if self.seconds is not None:
            lines.append(f"  time     about {duration(self.seconds)} of training on this machine")
        return lines


def plan(
    config: RunConfig,
    cache: Path,  # noqa: ARG001
    out: Path,
    controls: bool,  # noqa: ARG001
) -> Plan:
    """Return what `execute` will do with the same arguments, with an estimate of the time."""
    from clipbench.estimate import training_seconds  # noqa: PLC0415 - builds the model

    parts = Parts.of(config)
    folder = out / config.id
    if (folder / RESULT).is_file() or not parts.num_pairs:
        return Plan(config, parts, (folder / RESULT).is_file(), None, folder)
    per_epoch = min(config.train.pairs_per_epoch or parts.pairs_after, parts.pairs_after)
    seconds = training_seconds(config.train, parts.defense, per_epoch)
    return Plan(config, parts, False, seconds, folder)


# --------------------------------------------------------------------------- the steps


def poisoned_set(
    config: RunConfig, parts: Parts, cache: Path, reporter: Reporter, out: Path | None = None
) -> tuple[str | Path, Path | None]:
    """Return the shards to train on, and the ledger if they are poisoned; `parts` are prepared."""
    assert parts.usable is not None
    base = parts.usable.shards
    if not parts.count:
        return base.source, None
    scene = parts.held_out.scene(parts.count, config.seed)
    if out is None:
        wanted = {
            "data": config.data,
            "evals": list(config.evals),
            "attack": config.attack,
            "code": {kind: config.code[kind] for kind in config.code if kind != "defense"},
            "count": parts.count,
            "seed": config.seed,
            "base": base.content_sha256(),
        }
        if base.left_out:
            wanted["usable"] = base.view_hashes()
        out = cache / "poisoned" / config_hash(wanted)[:16]
    made = write_poisoned(
        base,
        parts.attack,
        scene,
        out,
        attack_name=str(config.attack["name"]),
        attack_parameters=config.attack_parameters,
        dataset=config.data,
        evals=config.evals,
        left_out=parts.usable.left_out,
        progress=reporter.progress,
    )
    if is_foreign(parts.usable.full):
        _check_usable(config, parts, out, made.ledger, cache, reporter)
    parts.usable.write_names(made.ledger.with_name(LEFT_OUT))
    return out / "shards", made.ledger


def _check_usable(
    config: RunConfig, parts: Parts, out: Path, ledger: Path, cache: Path, reporter: Reporter
) -> None:
    """Look at the shards that were written; no poison may get lost among what is left out."""
    pairs = open_usable(
        out / "shards",
        cache,
        caption_field=caption_field_of(parts.dataset),
        on_error=config.on_error,
        progress=reporter.progress,
    )
    wanted = read_head(ledger)[0].num_pairs
    if len(pairs.shards) != wanted:
        raise CorruptData(
            f"Of {out / 'shards'} {len(pairs.shards):,} pairs can be used, not {wanted:,} as its"
            f" ledger says; remove {out} to poison again."
        )


@dataclass(frozen=True)
class Poisoned:
    """A poisoned set as the command line shows it."""

    shards_folder: Path
    ledger: Path


def poison(config: RunConfig, *, cache: Path, out: Path | None, reporter: Reporter) -> Poisoned:
    """Write the poisoned set of a run.

    Raises:
        BadSetting: the run has no attack.
    """
    if config.is_clean:
        raise BadSetting("There is nothing to poison: name an attack with --attack.")
    parts = Parts.of(config).prepared(config, cache, reporter)
    _tell_left_out(parts.usable, reporter)
    shards, ledger = poisoned_set(config, parts, cache, reporter, out)
    assert ledger is not None
    return Poisoned(Path(shards), ledger)


def train(config: RunConfig, shards: Path, out: Path, *, cache: Path, reporter: Reporter) -> Path:
    """Train a defence on any folder of shards and return the weights file."""
    pairs = open_usable(
        shards,
        cache,
        caption_field=caption_field_of(registry.build("dataset", config.data)),
        on_error=config.on_error,
        progress=reporter.progress,
    )
    _tell_left_out(pairs, reporter)
    content = pairs.shards.content_sha256()
    name = hashlib.sha256(f"{config.sha256()} {content}".encode()).hexdigest()[:16]
    processes = join_processes(config.train.device)
    train_on(shards, config, out / name, cache, processes, reporter)
    pairs.write_names(out / name / LEFT_OUT)
    return out / name / "model" / WEIGHTS_FILE


def _tell_left_out(usable: UsablePairs | None, reporter: Reporter) -> None:
    if usable is not None and usable.left_out:
        reporter.note(f"of {usable.full.source}: {usable.summary()}")


def execute(
    config: RunConfig, *, cache: Path, out: Path, controls: bool, reporter: Reporter
) -> dict[str, Any]:
    """Do a run to its end and return its result; what is done already is taken from `out`.

    Args:
        config: the run.
        cache: folder of clean and poisoned shards and decoded images.
        out: folder of the runs.
        controls: also do what the row needs to be judged: the same defence on clean data, and no
            defence on the poisoned data.
        reporter: told about progress.
    """
    processes = join_processes(config.train.device)
    folder = out / config.id
    if (folder / RESULT).is_file():
        reporter.note(f"run {config.id} is done already: {folder / RESULT}")
        result = _with_missing_metrics(config, folder, processes)
    else:
        result = _do(config, folder, cache, processes, reporter)
    if config.is_clean:
        return result
    clean = config.without_attack()
    if controls:
        execute(clean, cache=cache, out=out, controls=False, reporter=reporter)
        undefended = config.with_defense("none")
        if undefended.id != config.id:
            execute(undefended, cache=cache, out=out, controls=False, reporter=reporter)
    is_missing = plugins.lacks_control(result["metrics"])
    if is_missing and (out / clean.id / RESULT).is_file() and processes.is_first:
        parts = replace(Parts.of(config), count=result["attack"]["count"])
        result["metrics"] |= plugins.control_metrics(
            out / clean.id / "model",
            clean.train.model,
            parts.held_out.sets,
            parts.probes(config.seed),
            config.metrics,
            config.seed,
            processes,
        )
        result["control"] = {"id": clean.id}
        write_result(folder / RESULT, result)
    processes.barrier()
    return read_result(folder / RESULT)


def _with_missing_metrics(config: RunConfig, folder: Path, processes: Processes) -> dict[str, Any]:
    """Return the result of a run that is done, with the metrics that were not asked for then."""
    result = read_result(folder / RESULT)
    missing = plugins.missing(config.metrics, result)
    if missing and processes.is_first:
        parts = replace(Parts.of(config), count=result["attack"]["count"])
        sets, probes = parts.held_out.sets, parts.probes(config.seed)
        plugins.add_missing(result, missing, folder / "model", sets, probes, processes)
        write_result(folder / RESULT, result)
    processes.barrier()
    return read_result(folder / RESULT)


def _do(
    config: RunConfig, folder: Path, cache: Path, processes: Processes, reporter: Reporter
) -> dict[str, Any]:
    parts = Parts.of(config)
    if processes.is_first:  # the others find everything made and screened
        parts = parts.prepared(config, cache, reporter)
        assert parts.usable is not None
        _tell_left_out(parts.usable, reporter)
        poisoned_set(config, parts, cache, reporter)
        _claim(folder, config)
        parts.usable.write_names(folder / LEFT_OUT)
    processes.barrier()
    if parts.usable is None:
        parts = parts.prepared(config, cache, reporter)
    shards, ledger = poisoned_set(config, parts, cache, reporter)
    record = train_on(shards, config, folder, cache, processes, reporter)
    if processes.is_first:
        result = _evaluate_and_describe(config, parts, folder, ledger, record, reporter)
        write_result(folder / RESULT, result)
    processes.barrier()
    return read_result(folder / RESULT)


def _claim(folder: Path, config: RunConfig) -> None:
    """Write the configuration into the run's folder; refuse a folder of another run."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "config.json"
    text = json.dumps(config.to_json(), indent=2)
    if path.exists():
        try:
            other = RunConfig.from_json(json.loads(path.read_text(encoding="utf-8")))
        except ValueError as error:
            raise CorruptData(f"{path.resolve()} is damaged; delete the folder.") from error
        if other.sha256() != config.sha256():
            raise BadSetting(f"{folder.resolve()} holds another run; choose another --out.")
        return
    temporary = path.with_suffix(".tmp")
    temporary.write_text(text + "\n", encoding="utf-8")
    temporary.replace(path)


def _evaluate_and_describe(
    config: RunConfig,
    parts: Parts,
    folder: Path,
    ledger_file: Path | None,
    record: TrainingRecord,
    reporter: Reporter,
) -> dict[str, Any]:
    """Measure the trained model and return the whole result object (design, 5.5)."""
    ledger = read_ledger(ledger_file) if ledger_file else None
    check_trigger(parts.attack, ledger)
    model, tokenizer = create_model(config.train.model, config.seed)
    load_weights(model, folder / "model")
    evaluation, probes = parts.held_out.primary, parts.probes(config.seed)
    device = pick_device(config.train.device)
    encoder = Encoder(model, tokenizer, device=device, progress=reporter.progress)
    measured = evaluate_sets(encoder, parts.held_out.sets, probes, parts.metrics, seed=config.seed)
    history, detection = history_of(record, ledger, model, tokenizer, evaluation, probes, folder)
    config_object = config.hashed()
    sha256 = config_hash(config_object)
    exposures = None
    if ledger is not None:
        seen = record.exposures[ledger.rows["index"].to_numpy()]
        exposures = {"mean": float(seen.mean()), "min": int(seen.min()), "max": int(seen.max())}
    return {
        "schema": "clipbench.result/1",
        "id": sha256[:16],
        "created": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "status": "complete",
        "config": config_object,
        "config_sha256": sha256,
        "data": {
            "name": config.data_name,
            "parameters": config.data_parameters,
            "pairs": record.num_pairs,
            "content_sha256": record.content_sha256,
            "left_out": dict(parts.usable.left_out) if parts.usable else {},
            "evaluation": _evaluation_object(evaluation),
        },
        "attack": _attack_object(config, parts, ledger),
        "defense": {"name": config.defense_name, "parameters": config.defense_parameters},
        "model": {
            "name": config.train.model,
            "parameters": sum(p.numel() for p in model.parameters()),
            "image_size": image_size_of(model_config(config.train.model)),
        },
        "seed": config.seed,
        "train": record.to_json(),
        "exposures": exposures,
        "metrics": {**measured.metrics, **detection},
        "evaluations": measured.evaluations,
        "metric_plugins": plugins.records(config.metrics),
        "history": history,
        "environment": environment(),
    }


def _evaluation_object(evaluation: EvaluationSet) -> dict[str, Any]:
    """Return name of the evaluation set, and hashes of its classes and templates if it has any."""
    if evaluation.classification is None:
        return {"name": evaluation.name, "classes_sha256": None, "templates_sha256": None}
    classes = evaluation.classes
    return {
        "name": evaluation.name,
        "classes_sha256": config_hash({"names": classes.names}),
        "templates_sha256": config_hash({"templates": classes.templates}),
    }


def _attack_object(config: RunConfig, parts: Parts, ledger: Ledger | None) -> dict[str, Any]:
    return {
        "name": config.attack_name,
        "parameters": config.attack_parameters,
        "rate": ledger.rate if ledger else None,
        "rate_requested": config.rate_text,
        "count": parts.count,
        "targets": ledger.targets if ledger else None,
        "per_target": ledger.count / ledger.targets if ledger else None,
        "mode": ledger.mode if ledger else None,
        "ledger_sha256": ledger.sha256 if ledger else None,
        "trigger_sha256": ledger.trigger_sha256 if ledger else None,
    }


def check_trigger(attack: Attack, ledger: Ledger | None) -> None:
    """Refuse to measure with another trigger than the one that poisoned.

    Raises:
        BadSetting: the attack's trigger is not the ledger's.
    """
    if ledger is None or ledger.trigger_sha256 is None or ledger.trigger_probe is None:
        return
    trigger = attack.trigger()
    height, width = ledger.trigger_probe
    if trigger is None or trigger_sha256(trigger, (height, width)) != ledger.trigger_sha256:
        raise BadSetting(
            f"The trigger of {ledger.attack} is not the one that {ledger.path} was poisoned with;"
            " evaluate with the version of clipbench and the attack's file that made the set."
        )


def evaluate_checkpoint(
    checkpoint: Path,
    model: str,
    *,
    data: SpecLike,
    evals: Sequence[SpecLike] = (),
    ledger: Path | None,
    device: str,
    reporter: Reporter,
    metrics: Sequence[SpecLike] = (),
) -> dict[str, Any]:
    """Measure any open_clip checkpoint; with a ledger, the attack's success too.

    Args:
        checkpoint: weights file, or a folder written by clipbench.
        model: open_clip model name or configuration file.
        data: the training source whose held-out sets are used where `evals` is empty; both of a
            ledger take precedence.
        evals: the evaluation sources.
        ledger: ledger of the poisoned set the model was trained on.
        device: auto, cpu or cuda.
        reporter: told about progress.
        metrics: metrics beside those that every run has.
    """
    specs = [registry.resolve("metric", spec) for spec in metrics]
    extra = plugins.built(specs)
    net, tokenizer = create_model(model, 0)
    load_weights(net, checkpoint)
    probes = None
    book = read_ledger(ledger_path(ledger)) if ledger else None
    held_out = HeldOut.of(book.dataset, book.evals) if book else HeldOut.of(data, evals)
    if book:
        attack: Attack = registry.build("attack", {"name": book.attack, **book.parameters})
        check_trigger(attack, book)
        probes = attack.probes(held_out.scene(book.count, book.seed))
    encoder = Encoder(net, tokenizer, device=pick_device(device), progress=reporter.progress)
    seed = book.seed if book else 0
    measured = evaluate_sets(encoder, held_out.sets, probes, extra, seed=seed)
    return {
        "checkpoint": str(checkpoint),
        "model": model,
        "data": held_out.primary.name,
        "attack": None if book is None else {"name": book.attack, "ledger_sha256": book.sha256},
        "metrics": measured.metrics,
        "evaluations": measured.evaluations,
        "metric_plugins": plugins.records(specs),
    }
