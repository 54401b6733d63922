"""One run, asked for by a program: the same request, plan and stages as those of the command."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from clipbench.api.results import RunResult
from clipbench.api.work import allow_commands, check_plans, do_all, reporter_for, warn_of_secrets
from clipbench.configuration import preflight
from clipbench.configuration.request import DEFAULT_OUT, Request, combine
from clipbench.errors import BadSetting, OnError
from clipbench.plugins.find import Kind
from clipbench.plugins.objects import spec_for
from clipbench.plugins.spec import SpecLike
from clipbench.results.folders import named_folder
from clipbench.system.stopping import listening
from clipbench.system.threads import share_processors, use_threads

if TYPE_CHECKING:
    from clipbench.configuration.config import RunConfig
    from clipbench.contracts import Attack, Defense, EvaluationSource, Metric, TrainingSource
    from clipbench.system.progress import Reporter


@dataclass(frozen=True, kw_only=True)
class Run:
    """What to run: data, an attack, a defense.

    A plugin is given by the text that the command line takes, ``"targeted:targets=16"``, by a
    mapping, ``{"name": "targeted", "targets": 16}``, by the path of its file, or as an object,
    ``Targeted(targets=16)``. What text and mappings leave open is filled in from the recipe of the
    data set, as on the command line; an object is taken as it is, with all its parameters.

    Args:
        data: training pairs: a data set, or the path of shards or of a table.
        attack: the attack; None: that of `recipe`, else none, and the data stay clean.
        rate: share of all pairs that are poisoned: ``"1.4%"``, ``"1e-6"`` or 0.014.
        poisons: the number of poisoned pairs instead.
        defense: the defense; None: that of `recipe`, else none.
        evals: evaluation sources; empty: what `data` holds out.
        metrics: metrics beside those that every run has.
        trusted: pairs known to be clean, for defenses that need some; none: what `data` holds out.
        seed: the only integer from which all generators come, but see `poison_seed`.
        poison_seed: the integer from which the attack's generators come; None: `seed`.
        train: training settings, such as ``{"epochs": 9}``; all others are the recipe's.
        on_error: whether pairs that can't be used are left out, ``skip``, or an error, ``fail``.
        recipe: a published protocol beneath all that is given, see ``clipbench list recipes``.
    """

    data: SpecLike | Path | TrainingSource = "shapes"
    attack: SpecLike | Path | Attack | None = None
    rate: str | float | None = None
    poisons: int | None = None
    defense: SpecLike | Path | Defense | None = None
    evals: Sequence[SpecLike | Path | EvaluationSource] = ()
    metrics: Sequence[SpecLike | Path | Metric] = ()
    trusted: SpecLike | Path | TrainingSource | None = None
    seed: int = 0
    poison_seed: int | None = None
    train: Mapping[str, object] = field(default_factory=dict)
    on_error: OnError = "fail"
    recipe: str | None = None

    def config(self) -> RunConfig:
        """Return the run with every choice made; nothing is read or written.

        Data that lie somewhere are known by what they hold as soon as they are read, so that the
        id of the result is another than that of this configuration.

        Raises:
            UnknownName: a plugin, a parameter or a setting that does not exist.
            BadSetting: a value out of range, or more than one run.
        """
        configs = self.request().configs()
        if len(configs) > 1:
            raise BadSetting(
                f"This asks for {len(configs)} runs, and a Run is one; make one for each."
            )
        return configs[0]

    def request(self, **more: object) -> Request:
        """Return what the command line would make of it.

        Args:
            more: settings of the command that are no part of the run, such as ``out``.
        """
        plugins: dict[str, tuple[Kind, object]] = {
            "data": ("dataset", self.data),
            "trusted": ("dataset", self.trusted),
            "attack": ("attack", self.attack),
            "defense": ("defense", self.defense),
        }
        layer: dict[str, object] = {
            "rate": self.rate,
            "poisons": self.poisons,
            "recipe": self.recipe,
            "seed": self.seed,
            "poison_seed": self.poison_seed,
            "train": self.train,
            "on_error": self.on_error,
            "eval": specs_for("dataset", self.evals) or None,
            "metric": specs_for("metric", self.metrics) or None,
            **{
                name: None if plugin is None else spec_for(kind, plugin)
                for name, (kind, plugin) in plugins.items()
            },
            **more,
        }
        return combine({name: value for name, value in layer.items() if value is not None})


def specs_for(kind: Kind, plugins: object) -> list[SpecLike]:
    """Return what names plugins, of which there may be one or a sequence."""
    several = plugins if isinstance(plugins, (list, tuple)) else [plugins]
    return [spec_for(kind, plugin) for plugin in several]


def run(
    spec: Run,
    *,
    out: str | Path = DEFAULT_OUT,
    cache: str | Path | None = None,
    controls: bool = False,
    threads: int | None = None,
    progress: bool = True,
) -> RunResult:
    """Poison, train, evaluate, and return the result; what is done already is not done again.

    The same run by the command ``clipbench run`` has the same id and the same numbers, and each
    goes on where the other was stopped.

    Args:
        spec: what to run.
        out: folder of the runs, one folder each.
        cache: folder of clean shards and indexes; None: that of the command.
        controls: whether to run first what the run is judged by: its defense on clean data, and no
            defense on the poisoned data and on the clean. Their results are in `out`, too.
        threads: to compute with; None: all processors. Another number may change last digits.
        progress: whether to report progress on standard error, in a notebook by a bar.

    Returns:
        The result. Where several processes train together (torchrun) the first alone gets it; that
        of the others has an empty `record`.

    Raises:
        BadInput: what is asked for cannot be done, which is found before any work.
        ClipbenchError: the work failed.
    """
    share_processors()  # before a plugin loads torch
    request = spec.request(out=out, cache=cache, threads=threads)
    allow_commands(source for source in (request.data, request.trusted) if source is not None)
    request.check_start()
    preflight.check(request, outputs=[request.out])
    config = spec.config()
    if spec.trusted is not None and not config.trusted:
        raise BadSetting(
            "trusted would be ignored: it needs a defense that needs pairs known to be clean, such"
            " as cleanclip."
        )
    use_threads(request.threads)
    with listening(), reporter_for(not progress) as reporter:
        return _done([*(config.controls() if controls else []), config], request, reporter)


def _done(configs: Sequence[RunConfig], request: Request, reporter: Reporter) -> RunResult:
    """Do runs and return the result of the last."""
    from clipbench.parallel.group import joined  # noqa: PLC0415 - heavy
    from clipbench.planning.plan import plan  # noqa: PLC0415

    cache, out = request.cache, request.out
    with joined(configs[0].train.device) as processes:
        warn_of_secrets(configs, reporter)
        if processes.is_first:
            check_plans([plan(c, out, cache=cache, progress=reporter.progress) for c in configs])
        results = do_all(configs, cache=cache, out=out, reporter=reporter)
    if not results:
        return RunResult(None)
    return RunResult(results[-1], named_folder(out, (), results[-1].id))
