"""Plans as commands tell them: at once what will be done, then how long it takes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from clipbench.api.work import check_plans, is_first_process
from clipbench.cli._output import columns, print_result
from clipbench.system.progress import Reporter
from clipbench.system.threads import news
from clipbench.text.visible import visible

if TYPE_CHECKING:
    from clipbench.configuration.config import RunConfig
    from clipbench.configuration.protocol import PublishedRecipe
    from clipbench.planning.estimate import Estimate
    from clipbench.planning.plan import Plan


def tell_lines(lines: Sequence[str], reporter: Reporter, *, dry: bool) -> None:
    """Print a plan: as the result where it is all that was asked for."""
    for line in lines:
        if dry:
            print_result(visible(line))
        else:
            reporter.note(line)


def tell_plans(
    plans: Sequence[Plan], reporter: Reporter, cache: Path, *, dry: bool, timed: bool
) -> None:
    """Print what runs will do, and then how long they take.

    Args:
        plans: the runs.
        reporter: told the plan where it is not the result.
        cache: remembers speeds.
        dry: whether the plan is all that was asked for.
        timed: whether anybody wants to know how long it takes.

    Raises:
        UnknownName, BadSetting, MissingData, CorruptData: something that a run needs can't be used.
        PluginFault: a plugin is sure to fail.
    """
    for plan in plans:
        tell_lines(plan.lines(), reporter, dry=dry)
    check_plans(plans, but_estimated=timed)
    if timed:
        left = [plan for plan in plans if not plan.done and plan.parts.num_pairs]
        tell_times([(p.label, partial(p.estimate, cache)) for p in left], reporter, dry=dry)


def tell_recipe(
    recipe: PublishedRecipe | None, configs: Sequence[RunConfig], reporter: Reporter, *, dry: bool
) -> None:
    """Print which published protocol runs follow; of a dry run, each setting beside the paper's.

    Args:
        recipe: the protocol; none: nothing is printed.
        configs: the runs.
        reporter: told where the plan is not the result.
        dry: whether the plan is all that was asked for.
    """
    if recipe is None:
        return
    line = f"recipe {recipe.name}: {recipe.title}"
    if not dry:
        reporter.note(line)
        return
    from clipbench.configuration.protocol_table import compared  # noqa: PLC0415 - with a recipe alone

    print_result(visible(line))
    head = ("  setting", "paper", "code", "this run")
    shown: dict[str, tuple[str, ...]] = {}
    for config in configs:
        for setting, *rest in compared(recipe, config):
            shown.setdefault(setting, (f"  {setting}", *rest))
    print_result(columns([head, *shown.values()]))


def tell_times(
    estimates: Sequence[tuple[str, Callable[[], Estimate]]], reporter: Reporter, *, dry: bool
) -> None:
    """Measure and print how long runs take; the first process does, for all.

    Args:
        estimates: what measures each of them, by a label.
        reporter: told what is being done, and of other work on the machine.
        dry: whether the plan is all that was asked for.
    """
    if not estimates or not is_first_process():
        return
    from clipbench.planning import timing  # noqa: PLC0415 - heavy

    reporter.note("timing this machine ...")
    times = [timing.timed(label, estimate) for label, estimate in estimates]
    tell_lines(timing.lines(times), reporter, dry=dry)
    if found := news():
        reporter.note(f"  note     {found}")
