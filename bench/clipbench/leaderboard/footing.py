"""What a row is held against, and whether that is of its own precision, recipe and machine.

A control is the row's own run on clean data, a cost a ratio to defense ``none``, and eligibility a
judgment of the attack under ``none`` or ``clip``. Another precision or recipe makes each of them a
comparison of two things at once, and other processors round otherwise.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from statistics import mean

from clipbench.files.typed import Json
from clipbench.leaderboard.rows import Row, baseline, common_settings
from clipbench.results.labels import canonical, precision_of, settings
from clipbench.results.model import Control, Result
from clipbench.results.provenance import Again, Training
from clipbench.results.side_by_side import Context
from clipbench.text.locations import get

BARE, AUGMENTED = "none", "clip"  # defenses: nothing at all, and the augmentation all others have
ENOUGH = 10  # runs made again: if one in four differed, all of ten would be the same in 6 of 100


def machine_of(result: Result | Again) -> str | None:
    """Return the kind of machine a model was trained on; None: it was not trained here.

    It is the name of the processor, with its generation and vector instructions where the result
    has them, and those of the GPUs: what decides how a model rounds. A training that was stopped
    and went on elsewhere is of both.
    """
    if not result.train:
        return None
    hardware, several = result.environment.hardware, machines_of_ways(result.train)
    return canonical([result.train.device, hardware.cpu, hardware.gpus, *several])


class Machines:
    """Which kinds of machines are one kind, for they are known to give the same numbers.

    Two are, for one model in one precision, if at least `ENOUGH` runs were made on both, see
    `Again`, and none of them has other numbers. Runs count that had the same versions, threads and
    processes, each once however often it was made again.

    Args:
        results: those of the table.
    """

    def __init__(self, results: Iterable[Result]) -> None:
        found: dict[_Task, dict[frozenset[str], dict[str, bool]]] = defaultdict(
            lambda: defaultdict(dict)
        )
        for result in {each.id: each for each in results}.values():
            for again in result.again:
                kinds = frozenset(filter(None, (machine_of(result), machine_of(again))))
                if len(kinds) > 1 and _computed(result) == _computed(again):
                    same = found[_task(result)][kinds]
                    same[result.id] = same.get(result.id, True) and not again.differs
        alike = {
            task: _joined(
                kinds for kinds, same in pairs.items() if len(same) >= ENOUGH and all(same.values())
            )
            for task, pairs in found.items()
        }
        self._alike = {task: groups for task, groups in alike.items() if groups}

    def kind_of(self, result: Result) -> str | None:
        """Return the kind of machine a model was trained on, the first of those that are alike."""
        kind = machine_of(result)
        groups = self._alike.get(_task(result), ()) if self._alike else ()  # mostly there are none
        return next((min(group) for group in groups if kind in group), kind)


_Task = tuple[str, str | None]  # a model and a precision


def _task(result: Result) -> _Task:
    return canonical(Context.of(result).model), precision_of(result)


def _computed(result: Result | Again) -> object:
    """Return what, beside the machine, decides how a training rounds."""
    train, used = result.train, result.environment
    told = train and (train.precision, train.processes, train.threads)
    return told, used.torch, used.numpy, used.sklearn


def _joined(pairs: Iterable[frozenset[str]]) -> list[frozenset[str]]:
    """Return sets that have no element in common, of which each pair is in one."""
    found: list[frozenset[str]] = []
    for pair in pairs:
        near = [group for group in found if group & pair]
        found = [group for group in found if group not in near] + [pair.union(*near)]
    return found


def machines_of_ways(train: Training) -> list[str]:
    """Return on what a training was done, each kind once, where that was on several; else none."""
    found = list(dict.fromkeys(way.partition(" on ")[2] for way in train.ways))
    return found if len(found) > 1 else []


def fair(row: Row, augmented: Sequence[Row], bare: Sequence[Row]) -> list[Result]:
    """Return the runs with augmentation alone that a row is held against.

    They are those of the settings of the runs of defense ``none`` that it is held against, so that
    all defenses of one table are judged by the same runs, and one that trains longer by no others;
    where there are none of these, those of its own settings; else as `rows.baseline` has it.
    """
    held = {result.id for result in baseline(row, bare)}
    of_bare = [common_settings(other) for other in bare if held & {r.id for r in other.results}]
    for wanted in (of_bare, [common_settings(row)]):
        found = [other for other in augmented if common_settings(other) in wanted]
        if found:
            return [result for other in found for result in other.results]
    return baseline(row, augmented)


def other_machines(
    row: Row, judges: Iterable[Result], controls: Mapping[str, Result], machines: Machines
) -> tuple[str, ...]:
    """Return what of a row comes from another kind of machine: "control", "eligible".

    Kinds that give the same numbers are one. Runs of several kinds, such as a seed on each, are
    judged by runs of each of these. Of a control whose clean run was done again since, nothing is
    known; it counts as one of those.
    Costs never come from another, see `rows.relative_cost`.

    Args:
        row: of the leaderboard.
        judges: the runs by which its eligibility is judged.
        controls: clean results by their ids.
        machines: which kinds are one.
    """
    kind_of, found = machines.kind_of, []
    if any(
        (clean := control_of(result, controls)) is not None
        and (kind_of(clean) != kind_of(result) or not is_control(clean, result))
        for result in row.results
    ):
        found.append("control")
    own, of_judges = ({kind_of(one) for one in runs} for runs in (row.results, judges))
    if of_judges and not own <= of_judges:
        found.append("eligible")
    return tuple(found)


def is_control(clean: Result, result: Result) -> bool:
    """Return whether a control was measured on this training of its clean run, if that is told."""
    told = result.control.created if isinstance(result.control, Control) else None
    return told is None or told == clean.created


def control_of(result: Result, controls: Mapping[str, Result]) -> Result | None:
    """Return the clean run that a result's control was measured on, if it is among `controls`."""
    return controls.get(result.control_id or "")


def mismatches(result: Result, control: Result) -> list[str]:
    """Return in what a result and the clean run of its control differ, beyond the poison.

    That is nothing where both are of one configuration: its precision, defense, data, seed and all
    settings.
    """
    found = [] if precision_of(result) == precision_of(control) else ["precision"]
    own, clean = (_without_poison(item) for item in (result, control))
    apart = {key for key in own.keys() | clean.keys() if own.get(key) != clean.get(key)}
    if result.seed != control.seed:
        apart.add("seed")
    return found + sorted(apart)


def _without_poison(result: Result) -> dict[str, Json]:
    told = settings({k: v for k, v in result.config.items() if k not in ("attack", "rate")})
    if told.get("train.precision") == "auto":  # as older configurations have it
        told["train.precision"] = precision_of(result)
    return {k: v for k, v in told.items() if not k.startswith("code.attack")}


def given(row: Row) -> dict[str, object]:
    """Return what a row's training was given: epochs, passes over the data, and trusted pairs.

    A pass counts a pair once, whatever its views; those of a first model and of a stage on trusted
    pairs count, too.
    """
    trained = [(result, result.train) for result in row.results if result.train is not None]
    epochs = {_count(get(result.config, "train.epochs")) for result, _ in trained}
    passes = [
        train.samples_seen / pairs for result, train in trained if (pairs := result.data.pairs)
    ]
    trusted = {_count(result.defense.parameters.get("trusted_size") or 0) for result in row.results}
    return {
        "epochs": epochs.pop() if len(epochs) == 1 else None,
        "passes": mean(passes) if passes else None,
        "trusted_pairs": trusted.pop() if len(trusted) == 1 else None,
    }


def _count(value: Json) -> int | None:
    """Return what a configuration gives as a count; None: a stranger's says something else."""
    if not isinstance(value, int) or isinstance(value, bool):
        return None
    return value if 0 <= value < 2**63 else None
