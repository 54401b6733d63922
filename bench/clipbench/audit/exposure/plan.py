"""What is trained to measure exposure and price, and how long it takes, told before any work."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import msgspec

from clipbench.api.runs import Run
from clipbench.audit.exposure import recipe
from clipbench.audit.exposure.doses import Doses, backdoor_poisons, doses_for
from clipbench.audit.request import AuditRequest
from clipbench.audit.stage import kept
from clipbench.configuration.heldout import HeldOut
from clipbench.errors import BadSetting
from clipbench.files.json_files import sha256_file
from clipbench.files.typed import Json
from clipbench.planning.estimate import Estimate
from clipbench.planning.plan import plan as plan_run
from clipbench.system.progress import duration
from clipbench.text.visible import visible
from clipbench.text.words import counted

VERSION = 2  # raise it with every change that plans other runs for the same request
CLEAN, TARGETED, BACKDOOR = "none", "targeted", "badnets"
_SHARE = 2 / 3  # of the audit's budget
_SMALLEST = 200  # pairs of a set of which `own` holds some out
_LEAST = 2_000  # pairs of a sample, however short the time
_PATIENT = 2 / 3  # of the epochs, with which a larger sample is worth more than all of them
_FEWER = (12, 8, 5, 3)  # epochs, where even the least sample takes too long
_CLASSES = 2  # that held-out images must be of, or nothing can be misread
_SHOWN = 8  # classes that a plan names
_DATA = 3  # sets that are made ready: the clean one, and one per attack


class PlannedRun(msgspec.Struct, frozen=True, kw_only=True):
    """A training run.

    Args:
        attack: ``none``, ``targeted`` or ``badnets``.
        defense: as it was asked for.
        epochs: of it.
        seconds: that it is expected to take.
    """

    attack: str
    defense: str
    epochs: int
    seconds: float


class ExposurePlan(msgspec.Struct, frozen=True, kw_only=True):
    """What is trained.

    Args:
        pairs: usable pairs of the user's set.
        size: of them, those that are trained on; 0: nothing is trained.
        all_pairs: whether these are all that are not held out.
        epochs: of plain training; some defenses get more.
        model: that is trained.
        doses: poisoned pairs per target.
        each: targets of each dose.
        backdoor: poisoned pairs of the backdoor.
        classes: among which images are read.
        listed: whether the user listed them; else they are taken from captions.
        data_s: seconds until the pairs are ready.
        runs: in their order.
        budget_s: seconds that there were.
        refused: why nothing is trained; empty: something is.
    """

    pairs: int
    size: int = 0
    all_pairs: bool = False
    epochs: int = 0
    model: str = ""
    doses: tuple[int, ...] = ()
    each: int = 0
    backdoor: int = 0
    classes: tuple[str, ...] = ()
    listed: bool = False
    data_s: float = 0.0
    runs: tuple[PlannedRun, ...] = ()
    budget_s: float = 0.0
    refused: str = ""

    @property
    def seconds(self) -> float:
        """Seconds that all of it is expected to take."""
        return self.data_s + sum(run.seconds for run in self.runs)

    @property
    def poisons(self) -> int:
        """Poisoned pairs of all targets together."""
        return self.each * sum(self.doses)

    def lines(self) -> list[str]:
        """Return the plan for people, a fact a line."""
        if self.refused:
            return [f"exposure: left out: {self.refused}"]
        which = "all that are not held out" if self.all_pairs else "a random sample"
        doses = "+".join(map(str, self.doses))
        lines = [
            f"exposure: {self.model} on {counted(self.size, 'pair')}, {which}",
            f"  chosen images: {counted(self.poisons, 'poisoned pair')} for"
            f" {counted(self.each * len(self.doses), 'image')}, {doses} per image;"
            f" backdoor: {counted(self.backdoor, 'poisoned pair')}",
            f"  {self._classes()}",
        ]
        for defense in dict.fromkeys(run.defense for run in self.runs):
            runs = [run for run in self.runs if run.defense == defense]
            lines.append(
                f"  {defense}: {counted(len(runs), 'run')} of {counted(runs[0].epochs, 'epoch')},"
                f" about {duration(sum(run.seconds for run in runs))}"
            )
        told = f"  in all about {duration(self.seconds)}"
        if self.seconds > self.budget_s:
            told += f", more than the {duration(self.budget_s)} there are; this is the least"
        return [*lines, told]

    def _classes(self) -> str:
        source = "from the file" if self.listed else "from captions"
        first, more = ", ".join(self.classes[:_SHOWN]), len(self.classes) - _SHOWN
        rest = f" and {more} more" if more > 0 else ""
        return visible(f"classes {source}: {first}{rest}")


def plan_exposure(request: AuditRequest) -> ExposurePlan:
    """Return what is trained, from speeds that are measured here; the same when asked again.

    Raises:
        MissingData, CorruptData: the shards or the file of classes can't be used.
        UnknownName, BadSetting: a defense or the model does not exist or refuses its settings.
    """
    key = key_of(request)
    path = folder_of(request) / "plan.json"
    with request.untouched():
        return kept(path, ExposurePlan, key, lambda: _planned(request))[0]


def folder_of(request: AuditRequest) -> Path:
    """Return where what is found of exposure lies."""
    return request.out / "exposure"


def key_of(request: AuditRequest) -> dict[str, Json]:
    """Return what decides which runs there are."""
    classes = request.classes
    return {
        "version": VERSION,
        "content_sha256": request.usable.shards.content_sha256(),
        "caption_field": request.caption_field,
        "classes": None if classes is None else sha256_file(classes.expanduser()),
        "defenses": list(request.defenses),
        "model": request.model,
        "budget_s": request.budget_s,
        "seed": request.seed,
    }


def run_of(request: AuditRequest, plan: ExposurePlan, attack: str, defense: str) -> Run:
    """Return one of the runs of a plan, as a program asks for it."""
    epochs = recipe.epochs_of(defense, plan.epochs)
    poisons = {TARGETED: plan.poisons, BACKDOOR: plan.backdoor}.get(attack)
    spec = recipe.attack_spec(attack, plan.model)
    if attack == TARGETED:
        spec = f"{attack}:doses={'+'.join(map(str, plan.doses))}"
    return Run(
        data=data_of(request, None if plan.all_pairs else plan.size),
        attack=None if attack == CLEAN else spec,
        poisons=poisons,
        defense=recipe.defense_spec(defense, plan.size, epochs),
        seed=request.seed,
        train=recipe.train_settings(plan.model, plan.size, epochs),
        on_error="skip",
    )


def data_of(request: AuditRequest, size: int | None) -> dict[str, str | int]:
    """Return the data set of the runs: images no larger than a model's random crops need."""
    return {**request.own(size=size, image_size=2 * recipe.side_of(request.model))}


def _planned(request: AuditRequest) -> ExposurePlan:
    pairs = len(request.usable.shards)
    base = ExposurePlan(pairs=pairs, budget_s=_SHARE * request.budget_s)
    if pairs < _SMALLEST:
        few = f"the set has {counted(pairs, 'pair')}; of fewer than {_SMALLEST} none are held out."
        return msgspec.structs.replace(base, refused=few)
    base = msgspec.structs.replace(base, model=request.model, listed=request.classes is not None)
    try:
        whole, images = _of_data(request, base, None)
        speeds = {defense: _estimate(request, whole, defense) for defense in request.defenses}
        found = fitted(whole, images, speeds)
        if found.all_pairs:
            return found
        sample = _of_data(request, base, found.size)[0]  # its captions may name other classes
        return _timed(msgspec.structs.replace(sample, epochs=found.epochs), whole, speeds)
    except _NothingToMisreadError as error:
        return msgspec.structs.replace(base, refused=str(error))


class _NothingToMisreadError(Exception):
    """There are no classes among which held-out images could be misread."""


def _of_data(
    request: AuditRequest, base: ExposurePlan, size: int | None
) -> tuple[ExposurePlan, int]:
    """Return the plan of so many pairs, without its runs, and the images that may be attacked.

    Args:
        request: the audit.
        base: what is known of the plan.
        size: pairs of a sample; None: all.

    Raises:
        _NothingToMisreadError: there are no classes, or held-out images are of one alone.
    """
    config = Run(data=data_of(request, size)).config()
    held_out = HeldOut.of(config.data, ())
    try:
        images, evaluation = len(held_out.targets), held_out.primary
    except BadSetting as error:
        why = str(error).replace("raise targets_size, or ", "")
        why = why.replace("classes=FILE", "--classes FILE")  # as an audit takes it
        raise _NothingToMisreadError(why) from error
    found = _of_size(base, config.data.plugin.num_pairs(), images)
    if found is None or len({*evaluation.test.labels.tolist()}) < _CLASSES:
        raise _NothingToMisreadError(
            "held-out captions name fewer than two classes; list others in a file and give it"
            " with --classes FILE."
        )
    names = evaluation.classes.names
    return msgspec.structs.replace(found, all_pairs=size is None, classes=names), images


def _of_size(base: ExposurePlan, size: int, images: int) -> ExposurePlan | None:
    """Return a plan of so many pairs, without its runs; None: there is no image to target."""
    doses: Doses | None = doses_for(size, images)
    if doses is None:
        return None
    return msgspec.structs.replace(
        base,
        size=size,
        all_pairs=base.all_pairs and size == base.size,
        epochs=recipe.epochs_for(size),
        doses=doses.doses,
        each=doses.each,
        backdoor=backdoor_poisons(size),
    )


def fitted(whole: ExposurePlan, images: int, speeds: Mapping[str, Estimate]) -> ExposurePlan:
    """Return the plan of the most pairs that take no longer than there is time.

    Where even the fewest pairs and epochs take longer, it is the plan of those.

    Args:
        whole: of all pairs, without its runs.
        images: held-out images that an attacker may choose.
        speeds: of a run on all pairs, by defense.
    """
    found = whole
    for plan in _candidates(whole, images):
        found = _timed(plan, whole, speeds)
        if found.seconds <= found.budget_s:
            break
    return found


def _candidates(whole: ExposurePlan, images: int) -> Iterator[ExposurePlan]:
    """Yield plans of ever less work."""
    least = whole
    for size in _sizes(whole.size):
        found = _of_size(whole, size, images)
        if found is not None:
            least = found
            yield found
            yield msgspec.structs.replace(found, epochs=round(_PATIENT * found.epochs))
    for epochs in _FEWER:
        if epochs < round(_PATIENT * least.epochs):
            yield msgspec.structs.replace(least, epochs=epochs)


def _sizes(pool: int) -> Sequence[int]:
    """Return sizes of samples, from all pairs to the least, in steps of a tenth."""
    sizes = [pool]
    while (smaller := int(sizes[-1] * 0.9)) >= _LEAST:
        sizes.append(smaller // 100 * 100)
    return sizes


def _estimate(request: AuditRequest, plan: ExposurePlan, defense: str) -> Estimate:
    config = run_of(request, plan, TARGETED, defense).config()
    runs = request.out / "runs"
    found = plan_run(config, runs, cache=request.cache, progress=request.reporter.progress)
    found.try_plugins()
    return found.estimate(request.cache)


def _timed(plan: ExposurePlan, whole: ExposurePlan, speeds: Mapping[str, Estimate]) -> ExposurePlan:
    """Return a plan with its runs, timed by those of the whole set."""
    share = plan.size / whole.size
    runs = tuple(
        PlannedRun(
            attack=attack,
            defense=defense,
            epochs=recipe.epochs_of(defense, plan.epochs),
            seconds=time.training * share * plan.epochs / whole.epochs + time.evaluation,
        )
        for attack in (CLEAN, TARGETED, BACKDOOR)
        for defense, time in speeds.items()
    )
    data = _DATA * share * max(time.data for time in speeds.values())
    return msgspec.structs.replace(plan, runs=runs, data_s=data)
