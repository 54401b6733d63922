"""How work is done, for a program and for the command line alike."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from clipbench.fetching import pipes
from clipbench.plugins import registry
from clipbench.plugins.spec import SpecLike
from clipbench.system.progress import Reporter

if TYPE_CHECKING:
    from clipbench.configuration.config import RunConfig
    from clipbench.planning.plan import Plan
    from clipbench.results.model import Result


def is_first_process() -> bool:
    """Return whether this process speaks for all; under torchrun that is the one of rank 0."""
    return os.environ.get("RANK", "0") == "0"


def reporter_for(quiet: bool) -> Reporter:
    """Return a reporter of progress; processes of higher rank only warn."""
    return Reporter(quiet=quiet or not is_first_process())


def allow_commands(sources: Iterable[SpecLike]) -> None:
    """Let the shell commands be run that a person typed as sources of shards; no others are."""
    for source in sources:
        if pipes.PREFIX in str(source).lower():
            pipes.allow(map(str, registry.parse("dataset", source).parameters.values()))


def warn_of_secrets(configs: Iterable[RunConfig], reporter: Reporter) -> None:
    """Say of each location that holds a password or a command how records will speak of it."""
    from clipbench.configuration.identity import secrets  # noqa: PLC0415 - heavy

    found = {(field, said) for config in configs for field, said in secrets(config).items()}
    for field, said in sorted(found) if is_first_process() else ():
        reporter.warning(
            f"{field} may hold a password or a token; what is recorded is {said} and the hash of"
            " what lies there"
        )


def check_plans(plans: Sequence[Plan], *, but_estimated: bool = False) -> None:
    """Try the plugins of runs, and find what else is missing before work begins.

    Args:
        plans: the runs.
        but_estimated: whether an estimate of their time looks for what is missing.

    Raises:
        UnknownName, BadSetting, MissingData, CorruptData: something that a run needs can't be used.
        PluginFault: a plugin is sure to fail.
    """
    for plan in plans:
        plan.try_plugins()
        if not plan.parts.num_pairs:  # which are still to be fetched, and are not estimated
            plan.try_model()
    for plan in plans if not but_estimated else ():
        if plan.parts.num_pairs:  # else nobody knows yet what there will be
            plan.check()


def do_all(
    configs: Sequence[RunConfig], *, cache: Path, out: Path, reporter: Reporter
) -> list[Result]:
    """Do runs one after another and return their results; see `clipbench.pipeline.execute`.

    Of several processes the first alone gets them.
    """
    from clipbench.pipeline.execute import execute  # noqa: PLC0415 - heavy

    results: list[Result] = []
    for number, config in enumerate(configs, start=1):
        if len(configs) > 1:
            name = f"{config.attack_name} / {config.defense_name} / {config.seeds}"
            reporter.note(f"run {number} of {len(configs)}: {name}")
        result = execute(config, cache=cache, out=out, reporter=reporter)
        results += [] if result is None else [result]
    return results
