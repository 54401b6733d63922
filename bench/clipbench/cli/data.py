"""``clipbench data``: write a data set's clean shards for any program."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import click

from clipbench import registry
from clipbench.cli import _options as options
from clipbench.cli._output import print_result, reporter_for
from clipbench.errors import BadSetting


@click.command("data", cls=options.Command)
@click.argument("spec", metavar="DATASET")
@options.option(
    "--size", metavar="N", envvar=None, show_default="the data set's", help="Number of pairs."
)
@options.option(
    "--set",
    "settings",
    multiple=True,
    envvar=f"{options.PREFIX}_DATA_SET",
    metavar="PARAMETER=VALUE",
    show_default="none",
    help="Any other parameter of the data set. Repeatable.",
)
@options.option(
    "--out",
    type=click.Path(path_type=Path, file_okay=False),
    envvar=None,
    show_default="in the cache",
    help="Folder to write the shards into; must be new or empty.",
)
@options.cache_option
@options.quiet_option
def command(
    *,
    spec: str,
    size: str | None,
    settings: tuple[str, ...],
    out: Path | None,
    cache: Path,
    quiet: bool,
) -> None:
    """Write the clean shards of a data set.

    DATASET is a name with parameters, e.g. shapes or shapes:image_size=64. The shards are for any
    program that reads WebDataset; their folder is printed.
    """
    parsed = registry.parse("dataset", spec)
    given: dict[str, Any] = {**parsed.parameters, **options.assignments(settings, "--set")}
    if size is not None:
        given["size"] = size
    if out is not None and out.is_dir() and any(out.iterdir()):
        raise BadSetting(f"The folder {out.resolve()} is not empty; choose another.")
    dataset = registry.build("dataset", {**given, "name": parsed.name})
    with reporter_for(quiet) as reporter:
        folder = dataset.prepare(cache, reporter.progress)
        if out is not None:
            folder = _publish(folder, out)
    print_result(str(folder))


def _publish(folder: Path, out: Path) -> Path:
    """Give `out` the files of `folder`, all at once; hard links where the system can."""
    from clipbench.shards.files import link_or_copy  # noqa: PLC0415 - imports numpy

    out.parent.mkdir(parents=True, exist_ok=True)
    temporary = out.with_name(f".{out.name}.tmp")
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir()
    try:
        for file in sorted(folder.iterdir()):
            if file.is_file() and not file.name.startswith("."):
                link_or_copy(file, temporary / file.name)
        temporary.replace(out)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return out
