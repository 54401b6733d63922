"""What a result must look like, field by field.

Fields that are not named here are tolerated: later versions and plugins may say more.
"""

from __future__ import annotations

from typing import Any

from clipbench.errors import CorruptData
from clipbench.evaluation.outcomes import count
from clipbench.evaluation.statistics import Proportion
from clipbench.files import checks
from clipbench.files.checks import Objection

SCHEMA = "clipbench.result/1"
PROPORTIONS = (
    "attack_success",
    "attack_success_control",
    "attack_success_top5",
    "poisoned_accuracy",
    "zeroshot_top1",
    "zeroshot_top5",
    "text_to_image_r1",
    "text_to_image_r5",
    "text_to_image_r10",
    "image_to_text_r1",
    "image_to_text_r5",
    "image_to_text_r10",
    "poison_kept",
)
SCALARS = ("attack_margin", "mean_per_class_recall", "score_auroc", "score_auprc")


def _proportion(field: str, value: Any) -> None:
    checks.table(field, value)
    try:
        Proportion.from_json(value)
    except CorruptData as error:
        raise Objection(field, f"must be a share with its interval ({error})", value) from error
    if "parts" in value:
        _parts(f"{field}.parts", value["parts"], value["n"])
        checks.text(f"{field}.parts_by", value.get("parts_by", "trigger"))
    if "outcomes" in value:
        try:
            succeeded = count(value["outcomes"], value["n"])
        except CorruptData as error:
            raise Objection(f"{field}.outcomes", f"are damaged ({error})", value) from error
        if succeeded != value["k"]:
            raise Objection(f"{field}.outcomes", f"must have {value['k']} successes", succeeded)


def _parts(field: str, value: Any, n: int) -> None:
    checks.items(_PART)(field, value)
    if sum(part["n"] for part in value) != n:
        raise Objection(field, f"must be of all {n} trials", value)
    if len({part["name"] for part in value}) < len(value):
        raise Objection(field, "must have a name of its own each", value)


def _metrics(field: str, value: Any) -> None:
    checks.table(field, value)
    for name, part in value.items():
        here = f"{field}.{name}"
        checks.table(here, part)
        if name in PROPORTIONS or part.get("k") is not None:
            _proportion(here, part)
        else:
            checks.fields({"value": checks.number()})(here, part)


def _evaluations(field: str, value: Any) -> None:
    if not isinstance(value, list):
        raise Objection(field, "must be a list", value)
    for position, entry in enumerate(value):
        _EVALUATION(f"{field}[{position}]", entry)


def _plugins(field: str, value: Any) -> None:
    if not isinstance(value, list):
        raise Objection(field, "must be a list", value)
    for position, entry in enumerate(value):
        _METRIC_PLUGIN(f"{field}[{position}]", entry)


def _flags(field: str, value: Any) -> None:
    if not isinstance(value, list):
        raise Objection(field, "must be a list", value)
    for position, flag in enumerate(value):
        checks.text(f"{field}[{position}]", flag)


def _threads(field: str, value: Any) -> None:
    if not isinstance(value, list):
        raise Objection(field, "must be a list", value)
    for position, number in enumerate(value):
        checks.count(f"{field}[{position}]", number)


def _history(field: str, value: Any) -> None:
    if not isinstance(value, list):
        raise Objection(field, "must be a list", value)
    before = -1
    for position, entry in enumerate(value):
        here = f"{field}[{position}]"
        _EPOCH(here, entry)
        if entry["epoch"] <= before:
            raise Objection(f"{here}.epoch", f"must come after epoch {before}", entry["epoch"])
        before = entry["epoch"]
        kept, total = entry.get("poisons_in_safe_set"), entry.get("safe_set_size")
        if kept is not None and total is not None and kept > total:
            raise Objection(f"{here}.poisons_in_safe_set", f"must be at most {total}", kept)


def _attack(field: str, value: Any) -> None:
    _ATTACK(field, value)
    if (value["name"] == "none") != (value["count"] == 0):
        raise Objection(f"{field}.count", "must be 0 for attack 'none' alone", value["count"])


def _exposures(field: str, value: Any) -> None:
    checks.fields({name: checks.number(0) for name in ("mean", "min", "max")})(field, value)
    slack = 1e-9 * (1 + value["max"])  # a mean of equal numbers may be off by rounding
    if not value["min"] - slack <= value["mean"] <= value["max"] + slack:
        raise Objection(f"{field}.mean", "must lie between min and max", value["mean"])


_PART = checks.fields({"name": checks.text, "n": checks.count})
_RATIO = checks.number(0, 1)
_PLUGIN = {"name": checks.text, "parameters": checks.table}
_EVALUATION = checks.fields({"name": checks.text, "metrics": _metrics})
_METRIC_PLUGIN = checks.fields({**_PLUGIN, "code_sha256": checks.maybe(checks.hexadecimal(64))})
_EPOCH = checks.fields(
    {"epoch": checks.count},
    {
        "safe_set_size": checks.maybe(checks.count),
        "poisons_in_safe_set": checks.maybe(checks.count),
        "score_auroc": checks.maybe(_RATIO),
        "score_auprc": checks.maybe(_RATIO),
        "attack_success": checks.maybe(_proportion),
        "zeroshot_top1": checks.maybe(_proportion),
        "lr": checks.maybe(checks.number(0)),
        "loss": checks.maybe(checks.table_of(checks.maybe(checks.number()))),
    },
)
_ATTACK = checks.fields(
    {
        "name": checks.text,
        "parameters": checks.maybe(checks.table),
        "rate": checks.maybe(_RATIO),
        "count": checks.count,
        "targets": checks.maybe(checks.count),
        "per_target": checks.maybe(checks.number(0)),
        "mode": checks.maybe(checks.one_of("replace", "insert")),
        "ledger_sha256": checks.maybe(checks.hexadecimal(64)),
        "trigger_sha256": checks.maybe(checks.hexadecimal(64)),
    },
    {"crafted": checks.table},
)
_TRAIN = checks.fields(
    {
        "epochs": checks.number(0),
        "samples_seen": checks.count,
        "steps": checks.count,
        "seconds": checks.number(0),
        "pairs_per_second": checks.number(0),
        "peak_memory_bytes": checks.maybe(checks.count),
        "device": checks.text,
        "precision": checks.text,
        "processes": checks.count,
    },
    {
        "seconds_shared": checks.number(0),
        "cpu_seconds": checks.number(0),
        "threads": _threads,
    },
)
_DATA = checks.fields(
    {
        **_PLUGIN,
        "pairs": checks.count,
        "content_sha256": checks.hexadecimal(64),
        "evaluation": checks.fields(
            {
                "name": checks.text,
                "classes_sha256": checks.maybe(checks.hexadecimal(64)),
                "templates_sha256": checks.maybe(checks.hexadecimal(64)),
            }
        ),
    }
)
_FIELDS = checks.fields(
    {
        "schema": checks.one_of(SCHEMA),
        "id": checks.hexadecimal(16),
        "created": checks.time,
        "status": checks.one_of("complete"),
        "config": checks.table,
        "config_sha256": checks.hexadecimal(64),
        "data": _DATA,
        "attack": _attack,
        "defense": checks.fields(_PLUGIN),
        "model": checks.fields(
            {"name": checks.text, "parameters": checks.count, "image_size": checks.size}
        ),
        "seed": checks.maybe(checks.integer),
        "train": checks.maybe(_TRAIN),
        "exposures": checks.maybe(_exposures),
        "metrics": _metrics,
        "history": _history,
        "environment": checks.fields({"clipbench": checks.text, "python": checks.text}),
    },
    {
        "evaluations": _evaluations,
        "metric_plugins": _plugins,
        "flags": _flags,
        "names": checks.table_of(checks.text),
        "poison_seed": checks.integer,
    },
)


def _result(field: str, value: Any) -> None:
    _FIELDS(field, value)
    poisons, pairs = value["attack"]["count"], value["data"]["pairs"]
    if poisons > pairs:
        raise Objection("attack.count", f"must be at most the {pairs} of data.pairs", poisons)


RESULT: checks.Check = _result
