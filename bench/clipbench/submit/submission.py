"""A result is taken into a folder of results: checked against itself, this version, its ledger.

What contradicts itself is refused. What cannot be vouched for is flagged: the flag stays with the
result, in its field ``flags``.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Literal, NoReturn

from clipbench.contracts import Mode
from clipbench.errors import BadInput, BadSetting, CorruptData, Torn
from clipbench.evaluation.plugins import lacks_control
from clipbench.files import sums
from clipbench.files.typed import Json
from clipbench.parameters.rate import Rate
from clipbench.reproduce.resolved import resolved, same_json
from clipbench.results.files import write_atomic
from clipbench.results.labels import seeds_of
from clipbench.results.model import Result
from clipbench.results.result import checked, read_result
from clipbench.results.side_by_side import place_of
from clipbench.results.store import load_results
from clipbench.submit.standing import Standing, standing
from clipbench.text.locations import content_in, has_secret
from clipbench.text.visible import visible

if TYPE_CHECKING:
    from clipbench.poisoning.ledger import Ledger

_PATH = re.compile(r"[/~]|\.{1,2}/|pipe:|[a-z][a-z0-9+.-]*://", re.IGNORECASE)


@dataclass(frozen=True)
class Submission:
    """A result that may be taken in.

    Args:
        result: the result with its flags.
        path: where it belongs.
        before: what is there already; None: nothing.
        adds: whether it says more than what is there, and nothing else of what that says.
    """

    result: Result
    path: Path
    before: Result | None
    adds: bool

    @property
    def flags(self) -> list[str]:
        """What cannot be vouched for."""
        return list(self.result.flags)

    @property
    def done(self) -> Literal["added", "completed", "kept"]:
        """What becomes of the file: it is new, or gains measurements, or stays as it is."""
        if self.before is None:
            return "added"
        return "completed" if self.adds else "kept"


def prepare(
    results: Sequence[Result],
    folder: Path,
    ledgers: Sequence[Ledger] = (),
    names: Mapping[str, str] | None = None,
) -> list[Submission]:
    """Check results, all of them before any is written.

    A result that says the same as the one there, and more, takes its place: measurements may be
    added to a run at any time, as a clean control. It keeps the names that the other has.

    Args:
        results: valid results.
        folder: where they shall go, each as ``ID.json``.
        ledgers: ledgers of some of them.
        names: short names for what lies somewhere, by field of the configuration.

    Raises:
        BadSetting: a result has no field that is named, or holds a secret.
        CorruptData: one contradicts itself, its ledger, or a result of the same run with other
            numbers; or a ledger belongs to none of them.
    """
    known = {ledger.sha256: ledger for ledger in ledgers}
    named = {result.attack.ledger_sha256 for result in results}
    for sha256, ledger in known.items():
        if sha256 not in named:
            raise CorruptData(
                f"Ledger {ledger.path} (SHA-256 {sha256[:16]}...) is that of no result given; the"
                f" results name {', '.join(sorted(n[:16] for n in named if n)) or 'none'}."
            )
    found: dict[str, Submission] = {}
    there: list[Result] = []
    if folder.is_dir():  # of damaged files `leaderboard` tells
        there = load_results([folder], skip_damaged=lambda _: None, may_lack=[folder])
    places = {place_of(result): result for result in there}
    for given in results:
        _refuse_secrets(given)
        path = folder / f"{given.id}.json"
        before = _there(path)
        kept = {} if before is None else before.names
        known_names = {name: kept[name] for name in kept.keys() & given.names.keys()}
        result = renamed(given, {**known_names, **(names or {})})
        check_against_itself(result)
        ledger_of = known.get(result.attack.ledger_sha256 or "")
        if ledger_of is not None:
            check_against_ledger(result, ledger_of)
        rival = places.setdefault(place_of(result), result)
        if rival.id != result.id and rival.metrics != result.metrics:
            raise CorruptData(
                f"Result {result.id} is of the same combination and seed as {rival.id} in {folder},"
                " with other numbers: a table has one of them, and nothing is replaced. Find out"
                " which is right, and remove the other."
            )
        earlier = found[result.id].result if result.id in found else before
        beside = Standing.MORE if earlier is None else standing(result, earlier)
        if beside is Standing.OTHER:
            raise CorruptData(
                f"There is a result {result.id} with other numbers, {path}; nothing is replaced."
                " Find out which is right, and remove the other."
            )
        if beside is Standing.MORE:
            flagged = result.updated(flags=flags_of(result))
            found[result.id] = Submission(flagged, path, before, adds=True)
        elif earlier is not None and result.id not in found:
            found[result.id] = Submission(earlier, path, before, adds=False)
    return list(found.values())


def renamed(result: Result, names: Mapping[str, str]) -> Result:
    """Return a result with other short names for what lies somewhere, by field.

    Raises:
        BadSetting: it has no such field.
    """
    known = result.names
    if unknown := sorted(names.keys() - known.keys()):
        raise BadSetting(
            f"Result {result.id} has nothing to name at {', '.join(unknown)}; it has"
            f" {', '.join(sorted(known)) or 'none'}."
        )
    return result.updated(names={**known, **names}) if names else result


def _refuse_secrets(result: Result) -> None:
    """Refuse a result that an earlier clipbench wrote with a command or a password in it."""
    if any(map(has_secret, paths_in(result.config))):
        raise BadSetting(
            f"Result {result.id} holds a command, or an address that may hold a password or a"
            " token, and what is submitted may be read by anybody; do the run again, for this"
            " clipbench writes none into results."
        )


def write(submission: Submission) -> Path:
    """Write a result as canonical JSON: names sorted, one newline at the end.

    Raises:
        ClipbenchError: the file system refuses.
    """
    record = sums.summed(submission.result.record)
    text = json.dumps(record, sort_keys=True, indent=2, allow_nan=False)
    checked(json.loads(text), submission.path)
    return write_atomic(submission.path, f"{text}\n".encode())


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


def flags_of(result: Result) -> list[str]:
    """Return what cannot be vouched for, a sentence each; empty: nothing."""
    flags = []
    try:
        config = resolved(result)
    except BadInput as error:
        flags.append(f"its configuration cannot be resolved here: {error}")
    else:
        if config.sha256() != result.config_sha256:
            made = result.environment.clipbench
            flags.append(
                f"made by another version ({made}): here its configuration is run {config.id}"
            )
    if str(result.environment.git or "").endswith("-dirty"):
        flags.append("made by code with changes that are in no commit")
    if result.attack.count and lacks_control(result.metrics):
        flags.append("no clean control: success without attack is not known")
    if paths_in(result.config):
        flags.append("it names its data by a path, so that other data may have the same id")
    return [visible(" ".join(flag.split())) for flag in flags]


def paths_in(value: Json) -> list[str]:
    """Return the texts in a configuration that look like paths, addresses or commands."""
    if isinstance(value, Mapping):
        return [text for part in value.values() for text in paths_in(part)]
    if isinstance(value, (list, tuple)):
        return [text for part in value for text in paths_in(part)]
    return [value] if isinstance(value, str) and _PATH.match(value) else []


def _there(path: Path) -> Result | None:
    try:
        return read_result(path) if path.exists() else None
    except Torn:  # what is handed in takes its place
        return None


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
