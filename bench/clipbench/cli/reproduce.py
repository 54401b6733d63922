"""``clipbench reproduce``: do the run of a result again and hold the two together."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from clipbench.cli import _options as options
from clipbench.cli._errors import FAILED
from clipbench.cli._output import columns, print_json, print_result, reporter_for
from clipbench.errors import BadSetting, MissingData

if TYPE_CHECKING:
    from clipbench.config import RunConfig
    from clipbench.progress import Reporter


@click.command("reproduce", cls=options.Command)
@click.argument("result", metavar="RESULT")
@options.option(
    "--from",
    "folder",
    type=click.Path(path_type=Path),
    metavar="FOLDER",
    envvar=None,
    show_default="none",
    help="Results among which RESULT is an id.",
)
@options.option(
    "--allow",
    "allowed",
    multiple=True,
    metavar="PLUGIN",
    envvar=None,
    show_default="none",
    help="File or module:object that the result may use, or address its data or model may come"
    " from; a file must have the hash that is recorded. Repeatable.",
)
@options.option(
    "--out",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("reproduced"),
    help="Folder of the runs that are made anew.",
)
@options.option(
    "--cache",
    type=click.Path(path_type=Path, file_okay=False),
    show_default="OUT/cache, so that nothing of the first run is used",
    help="Folder of shards and indexes.",
)
@options.json_option
@options.quiet_option
@click.pass_context
def command(
    ctx: click.Context,
    /,
    result: str,
    folder: Path | None,
    allowed: tuple[str, ...],
    out: Path,
    cache: Path | None,
    as_json: bool,
    quiet: bool,
) -> None:
    """Do the run of a result again, with its clean control; exit with status 1 if it differs.

    RESULT is a result file, the folder of a run, or with --from an id. Pairs and ledger must be the
    same, and every counted share must lie in the recorded 95% interval. Code that is no installed
    plugin is not run unless it is named with --allow.
    """
    from clipbench.provenance.configuration import resolved  # noqa: PLC0415
    from clipbench.provenance.reproduction import compare  # noqa: PLC0415
    from clipbench.registry import registered_only  # noqa: PLC0415

    old = _recorded(result, folder)
    config = resolved(old, allowed)
    _check(config, old, allowed, out)
    with reporter_for(quiet) as reporter, registered_only(allowed):
        new = _made_anew(config, cache or out / "cache", out, reporter)
    rows = compare(old, new)
    passed = all(row.passed for row in rows)
    if as_json:
        checks = [{**vars(row), "passed": row.passed} for row in rows]
        print_json({"id": old["id"], "reproduced": passed, "checks": checks})
    else:
        head = ("", "recorded", "made anew", "")
        body = [(row.name, row.recorded, row.found, row.verdict) for row in rows]
        print_result(columns([head, *body]))
        print_result(f"\n{old['id']} is {'' if passed else 'not '}reproduced.")
    if not passed:
        ctx.exit(FAILED)


def _recorded(text: str, folder: Path | None) -> dict[str, Any]:
    """Return the one result that is meant."""
    from clipbench.leaderboard.store import load_results, read_all  # noqa: PLC0415

    if folder is None:
        found = read_all([Path(text)])
    else:
        found = [result for result in load_results([folder]) if result["id"] == text]
        if not found:
            raise MissingData(f"There is no result {text!r} in {folder}; an id has 16 digits.")
    if len(found) > 1:
        raise BadSetting(f"{text} holds {len(found)} results; name one by its id, with --from.")
    return found[0]


def _check(config: RunConfig, old: dict[str, Any], allowed: tuple[str, ...], out: Path) -> None:
    """Refuse what would be another run, or no run at all, or come from anywhere."""
    from clipbench.leaderboard.result import read_result  # noqa: PLC0415
    from clipbench.pipeline.record import RESULT  # noqa: PLC0415
    from clipbench.provenance.configuration import remote_sources  # noqa: PLC0415

    if config.sha256() != old["config_sha256"]:
        made = old["environment"]
        raise BadSetting(
            f"This version reads the configuration of {old['id']} as another run, {config.id};"
            f" install the version it was made with: {made['clipbench']}, commit {made.get('git')}."
        )
    for address in remote_sources(config):
        if address not in allowed:
            raise BadSetting(
                f"The run takes data or a model from {address}; allow that with --allow {address}."
            )
    path = out / config.id / RESULT
    if path.is_file() and read_result(path)["created"] == old["created"]:
        raise BadSetting(f"{path} is the recorded result itself; choose another --out.")


def _made_anew(config: RunConfig, cache: Path, out: Path, reporter: Reporter) -> dict[str, Any]:
    """Do a run after its clean control."""
    from clipbench.pipeline.execute import execute  # noqa: PLC0415 - heavy
    from clipbench.pipeline.plan import plan  # noqa: PLC0415 - heavy

    configs = [config] if config.is_clean else [config.without_attack(), config]
    for each in configs:
        for line in plan(each, out, cache=cache, progress=reporter.progress).lines():
            reporter.note(line)
    return [execute(each, cache=cache, out=out, reporter=reporter) for each in configs][-1]
