"""``clipbench reproduce``: do the run of a result again and hold the two together."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import click

from clipbench.api.work import is_first_process, reporter_for
from clipbench.cli import _options as options
from clipbench.cli import _requests as requests
from clipbench.cli._errors import FAILED
from clipbench.cli._output import columns, print_json, print_result
from clipbench.cli._plans import tell_plans
from clipbench.errors import BadSetting, MissingData
from clipbench.system.threads import processors, use_threads
from clipbench.text.visible import visible

if TYPE_CHECKING:
    from clipbench.configuration.config import RunConfig
    from clipbench.results.model import Result
    from clipbench.system.progress import Reporter


@click.command("reproduce", cls=options.Command)
@click.argument("result", metavar="RESULT")
@options.option(
    "--from",
    "folder",
    type=click.Path(path_type=Path),
    metavar="FOLDER",
    envvar=None,
    show_default="none",
    help="Folder of results in which RESULT is an id.",
)
@options.allowing(
    "What the result may name besides installed plugins: a plugin's file (with the recorded"
    " hash), module:object, an address, or a path."
)
@options.option(
    "--data",
    metavar="PATH",
    envvar=None,
    show_default="where the run's config.json says",
    help="Path of the training pairs; their content must be as recorded.",
)
@options.option(
    "--where",
    "places",
    multiple=True,
    metavar="FIELD=PATH",
    envvar=None,
    show_default="where the run's config.json says",
    help="Path of anything else with recorded content, e.g. evals[0].root=FOLDER. Repeatable.",
)
@options.option(
    "--out",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("reproduced"),
    help="Folder for the new runs.",
)
@options.option(
    "--cache",
    type=click.Path(path_type=Path, file_okay=False),
    show_default="OUT/cache, so that nothing of the first run is used",
    help="Folder of shards and indexes.",
)
@options.recorded_threads_option
@options.json_option
@options.quiet_option
@click.pass_context
def command(
    ctx: click.Context,
    /,
    result: str,
    folder: Path | None,
    allowed: tuple[str, ...],
    data: str | None,
    places: tuple[str, ...],
    out: Path,
    cache: Path | None,
    threads: int | None,
    as_json: bool,
    quiet: bool,
) -> None:
    """Run a result again and compare; fail if it differs.

    RESULT is a result file, the folder of a run, or with --from an id. Its clean control is run
    too. Exits with status 1 unless pairs and ledger are the same and every counted share lies in
    the recorded 95% interval. A result may name installed plugins and what --allow names; nothing
    else is opened, fetched or run. It records the content of data and weights, not their places:
    give those with --data and --where, unless the config.json of your own run has them.
    """
    from clipbench.configuration.naming import registered_only  # noqa: PLC0415
    from clipbench.parallel.group import joined  # noqa: PLC0415 - heavy
    from clipbench.reproduce.reproduction import causes, compare  # noqa: PLC0415
    from clipbench.reproduce.resolved import resolved  # noqa: PLC0415

    old = _recorded(result, folder)
    typed = _typed(data, places, allowed)
    config = resolved(old, allowed)
    _check(config, old, out)
    use_threads(threads or _recorded_threads(old))
    # Where things lie is what was typed, or what this user's run left: the result says none of it.
    device, named = config.train.device, registered_only(allowed, places=True)
    with reporter_for(quiet) as reporter, named, joined(device):
        known = {} if folder is not None else _known_places(Path(result))
        config = _placed(config, typed, known, cache or out / "cache", reporter)
        new = _made_anew(config, cache or out / "cache", out, reporter)
    if new is None:  # the first process has the result
        return
    rows = compare(old, new)
    passed = all(row.passed for row in rows)
    apart = causes(old, new)
    if as_json:
        checks = [{**vars(row), "passed": row.passed} for row in rows]
        other = [dict(zip(("name", "recorded", "found"), item, strict=True)) for item in apart]
        told = {"id": old.id, "reproduced": passed, "checks": checks, "differences": other}
        print_json(told)
    else:
        head = ("", "recorded", "reproduced", "")
        body = [(row.name, row.recorded, row.found, row.verdict) for row in rows]
        print_result(columns([head, *body]))
        if apart and any(row.verdict != "equal" for row in rows):
            why = "; ".join(f"{name}: {recorded}, now {found}" for name, recorded, found in apart)
            print_result(f"\nNumbers may differ by what they were computed with ({visible(why)}).")
        print_result(f"\n{visible(old.id)} is {'' if passed else 'not '}reproduced.")
    if not passed:
        ctx.exit(FAILED)


def _recorded_threads(old: Result) -> int | None:
    """Return the threads that a result was computed with, where there are as many processors."""
    told = () if old.train is None else old.train.threads
    return told[0] if len(told) == 1 and 1 <= told[0] <= processors() else None


def _recorded(text: str, folder: Path | None) -> Result:
    """Return the one result that is meant."""
    from clipbench.results.store import load_results, read_all  # noqa: PLC0415

    if folder is None:
        found = read_all([Path(text)])
    else:
        found = [result for result in load_results([folder]) if result.id == text]
        if not found:
            raise MissingData(f"There is no result {text!r} in {folder}; an id has 16 digits.")
    if len(found) > 1:
        raise BadSetting(f"{text} holds {len(found)} results; name one by its id, with --from.")
    return found[0]


def _typed(data: str | None, places: tuple[str, ...], allowed: tuple[str, ...]) -> dict[str, str]:
    """Return what a person says of where things lie, by field; `data` stands for the only one."""
    from clipbench.fetching import pipes  # noqa: PLC0415

    typed = requests.assignments(places, "--where")
    if data is not None:
        typed["data"] = data
    pipes.allow([*typed.values(), *allowed])
    return typed


def _known_places(path: Path) -> Mapping[str, object]:
    """Return the configuration with its places that this user's run left beside its result.

    One that came with the result names places of its sender's choice, and is not looked at.
    """
    from clipbench.configuration.places import read_sealed  # noqa: PLC0415 - heavy

    return read_sealed((path if path.is_dir() else path.parent) / "config.json") or {}


def _placed(
    config: RunConfig,
    typed: dict[str, str],
    known: Mapping[str, object],
    cache: Path,
    reporter: Reporter,
) -> RunConfig:
    """Return a run with all that it is made of where it lies here, of the recorded content.

    Raises:
        BadSetting: nobody says where something lies, or something else lies there.
    """
    from clipbench.configuration.identity import identify, put_in_place  # noqa: PLC0415 - heavy

    placed = put_in_place(config, typed, known)
    found = identify(placed, cache, reporter.progress)
    wanted = identify(config, cache, given=True).contents or {}
    for field, sha256 in (found.contents or {}).items():
        if wanted.get(field, sha256) != sha256:
            raise BadSetting(
                f"What is named for {field} is not what the result was made with: its content has"
                f" the hash {sha256[:16]}..., not {wanted[field][:16]}...."
            )
    return found


def _check(config: RunConfig, old: Result, out: Path) -> None:
    """Refuse what would be another run, or no run at all."""
    from clipbench.pipeline.record import RESULT  # noqa: PLC0415
    from clipbench.results.folders import folder_of  # noqa: PLC0415
    from clipbench.results.result import read_result  # noqa: PLC0415

    if config.sha256() != old.config_sha256:
        made = old.environment
        raise BadSetting(
            f"This version reads the configuration of {old.id} as another run, {config.id};"
            f" install the version it was made with: {made.clipbench}, commit {made.git}."
        )
    path = folder_of(config, out) / RESULT
    if path.is_file() and read_result(path).created == old.created:
        raise BadSetting(f"{path} is the recorded result itself; choose another --out.")


def _made_anew(config: RunConfig, cache: Path, out: Path, reporter: Reporter) -> Result | None:
    """Do a run after its clean control."""
    from clipbench.pipeline.execute import execute  # noqa: PLC0415 - heavy
    from clipbench.planning.plan import plan  # noqa: PLC0415 - heavy

    configs = [config] if config.is_clean else [config.without_attack(), config]
    planned = configs if is_first_process() else ()
    plans = [plan(each, out, cache=cache, progress=reporter.progress) for each in planned]
    tell_plans(plans, reporter, cache, dry=False, timed=not reporter.quiet)
    return [execute(each, cache=cache, out=out, reporter=reporter) for each in configs][-1]
