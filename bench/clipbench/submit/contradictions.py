"""What a result contradicts: itself, or the ledger of its poisoned set."""

from __future__ import annotations

import math
from collections.abc import Mapping
from itertools import pairwise
from typing import TYPE_CHECKING, NoReturn

from clipbench.contracts import Mode
from clipbench.errors import BadInput, BadSetting, CorruptData
from clipbench.files.typed import Json
from clipbench.parameters.rate import Rate
from clipbench.reproduce.resolved import resolved, same_json
from clipbench.results.labels import seeds_of
from clipbench.results.model import Result
from clipbench.submit.standing import amounts
from clipbench.text.locations import content_in

if TYPE_CHECKING:
    from clipbench.poisoning.ledger import Ledger


def check_against_itself(result: Result) -> None:
    """Refuse a result whose parts tell different things of the run.

    Raises:
        CorruptData: naming the first contradiction.
    """
    attack, pairs, metrics = result.attack, result.data.pairs, result.metrics
    for name, told, own in _told_twice(result):
        if not same_json(told, own):
            _refuse(result, f"{name} is {told!r}, but {own!r} in its config")
    if (attack.ledger_sha256 is None) != (attack.count == 0):
        has = "no hash of a ledger" if attack.count else "a ledger"
        _refuse(result, f"{attack.count} poisons, but {has}")
    if attack.count and abs((attack.rate or 0) - attack.count / pairs) > 1e-9:
        _refuse(result, f"rate {attack.rate}, but {attack.count} poisons of {pairs} pairs")
    success, control = (metrics.get(f"attack_success{end}") for end in ("", "_control"))
    if success and control and success.n != control.n:
        _refuse(result, f"{success.n} probes, but {control.n} of its control")
    _check_amount(result)
    _check_metrics(result)
    _check_control(result)
    _check_again(result)
    for entry in result.history:
        for name, most in (("poisons_in_safe_set", attack.count), ("safe_set_size", pairs)):
            if (number := getattr(entry, name) or 0) > most:
                _refuse(result, f"{name} is {number} of {most} at epoch {entry.epoch}")


def _check_amount(result: Result) -> None:
    """Refuse a number of poisons that is not what the configuration asks for, or its targets."""
    attack, config = result.attack, result.config
    count, targets, each = attack.count, attack.targets, attack.per_target
    if (poisons := config.get("poisons")) is not None and count and poisons != count:
        _refuse(result, f"{count} poisons, but {poisons} in its config")
    if (rate := config.get("rate_text")) is not None and count:
        mode: Mode = "insert" if attack.mode == "insert" else "replace"
        clean = result.data.pairs - (count if mode == "insert" else 0)
        try:
            asked = Rate.of(str(rate)).count(clean, mode)
        except BadSetting as error:
            _refuse(result, f"{count} poisons at a rate of {rate!r} in its config ({error})")
        if asked != count:
            _refuse(result, f"{count} poisons, but {asked} of {clean} pairs by its config's {rate}")
    if targets is not None and targets > count:
        _refuse(result, f"{targets} targets of {count} poisons")
    if targets and each is not None and not math.isclose(each * targets, count, rel_tol=1e-9):
        _refuse(result, f"{count} poisons, but {targets} targets of {each:g} each")


_IN_ORDER = (  # of each, what succeeds by the first succeeds by the next
    ("attack_success", "attack_success_top5", "attack_success_top10"),
    ("zeroshot_top1", "zeroshot_top5"),
    ("image_to_text_r1", "image_to_text_r5", "image_to_text_r10"),
    ("text_to_image_r1", "text_to_image_r5", "text_to_image_r10"),
)


def _check_metrics(result: Result) -> None:
    """Refuse shares that cannot be true together, and a metric that no evaluation set has."""
    metrics, evaluations = result.metrics, result.evaluations
    for names in _IN_ORDER:
        for few, many in pairwise(name for name in names if name in metrics):
            if metrics[few].value > metrics[many].value:
                _refuse(result, f"{few} is more than {many}")
    for name, metric in metrics.items():
        told = [item.metrics[name] for item in evaluations if name in item.metrics]
        if told and metric not in told:
            _refuse(result, f"{name} has another value in its evaluations")


def _check_control(result: Result) -> None:
    """Refuse the clean control of another run.

    Where this version reads the configuration as another run, it cannot tell what the control is.
    """
    control = result.control_id
    if control is None:
        return
    try:
        config = resolved(result)
    except BadInput:
        return
    wanted = config.without_attack().id
    if config.sha256() == result.config_sha256 and control != wanted:
        _refuse(result, f"its clean control is {control!r}, but must be {wanted!r}")


def _check_again(result: Result) -> None:
    """Refuse a note of another training that was of other length, and says that nothing differs."""
    for each in result.again:
        own = amounts(result.train) if result.train else {}
        told = [name for name, value in amounts(each.train).items() if own.get(name) != value]
        if told and "train" not in each.differs:
            _refuse(
                result, f"{told[0]} differs in its note of {each.created}, which does not say so"
            )


def check_against_ledger(result: Result, ledger: Ledger) -> None:
    """Refuse a result that counts otherwise than the ledger of its poisoned set.

    Args:
        result: a result that names the ledger's hash.
        ledger: the ledger.

    Raises:
        CorruptData: naming the first number that differs.
    """
    attack, data = result.attack, result.data
    told = {
        "attack.count": (attack.count, ledger.count),
        "attack.targets": (attack.targets, ledger.targets),
        "attack.mode": (attack.mode, ledger.mode),
        "attack.rate": (attack.rate, ledger.rate),
        "attack.trigger_sha256": (attack.trigger_sha256, ledger.trigger_sha256),
        "data.pairs": (data.pairs, ledger.num_pairs),
        "data.content_sha256": (data.content_sha256, ledger.content_sha256),
        "seed": (seeds_of(result)[1], ledger.seed),
    }
    for name, (own, theirs) in told.items():
        if own != theirs:
            _refuse(result, f"{name} is {own!r}, but {theirs!r} in its ledger {ledger.path}")


def _told_twice(result: Result) -> list[tuple[str, Json, Json]]:
    """Return what a result says of its plugins beside its configuration, and what that says."""
    config = result.config
    found: list[tuple[str, Json, Json]] = []
    parts = (("data", result.data), ("attack", result.attack), ("defense", result.defense))
    for name, part in parts:
        spec = config.get(name)
        if isinstance(spec, Mapping) and isinstance(spec.get("name"), str):
            own = {key: value for key, value in spec.items() if key != "name"}
            of_object = spec["name"].rpartition(":")[2]  # of module:object the object
            found.append((f"{name}.name", part.name, of_object))
            found.append((f"{name}.parameters", part.parameters or {}, own))
    if "seed" in config:
        found.append(("seed", result.seed, config["seed"]))
    found.append(("poison_seed", result.poison_seed, config.get("poison_seed")))
    train = config.get("train")
    is_name = isinstance(train, Mapping) and isinstance(train.get("model"), str)
    if isinstance(train, Mapping) and is_name and not content_in(train["model"]):
        found.append(("model.name", result.model.name, train["model"]))
    return found


def _refuse(result: Result, what: str) -> NoReturn:
    raise CorruptData(f"Result {result.id} contradicts itself: {what}; it is not taken in.")
