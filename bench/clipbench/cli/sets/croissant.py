"""``clipbench croissant``: describe a set of shards for data catalogs and loaders."""

from __future__ import annotations

import datetime
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import click

from clipbench.cli import _options as options
from clipbench.cli._output import columns, print_json, print_result

F = TypeVar("F", bound=Callable[..., object])


def _about(
    name: str, meaning: str, *, metavar: str = "TEXT", default: str = ""
) -> Callable[[F], F]:
    return options.option(
        f"--{name}",
        metavar=metavar,
        envvar=None,
        required=not default,
        show_default=default or False,
        help=meaning,
    )


@click.command("croissant", cls=options.Command)
@click.argument("folder", type=click.Path(path_type=Path, exists=True, file_okay=False))
@_about("license", "License under which the set is published.", metavar="URL")
@_about("creator", "Person or group that publishes it.")
@_about("url", "Web page of the set.", metavar="URL")
@options.option(
    "--published",
    type=click.DateTime(["%Y-%m-%d"]),
    metavar="YYYY-MM-DD",
    envvar=None,
    show_default="today",
    help="Day of publication.",
)
@_about("name", "Name of the set.", default="that of its manifest, and the attack")
@_about("description", "Description of the set.", default="made of manifest and ledger")
@_about(
    "files",
    "Address of the folder where shards and ledger are published.",
    metavar="URL",
    default="beside the metadata",
)
@options.json_option
def command(
    *,
    folder: Path,
    license: str,  # noqa: A002 - the name of the option
    creator: str,
    url: str,
    published: datetime.datetime | None,
    name: str | None,
    description: str | None,
    files: str | None,
    as_json: bool,
) -> None:
    """Write Croissant metadata beside a set of shards.

    FOLDER holds shards, or a poisoned set with its ledger; metadata.json is written into it. The
    metadata of a poisoned set names the attack, its parameters, the clean set, and the poisoned
    pairs. To publish shards that do not reveal them, publish only the folder of shards.
    """
    from clipbench.croissant.metadata import About, write_croissant  # noqa: PLC0415 - heavy

    day = datetime.date.today() if published is None else published.date()
    about = About(license, creator, url, day, name, description, files)
    path = write_croissant(folder, about)
    if as_json:
        print_json({"metadata": str(path)})
    else:
        print_result(columns([("metadata", str(path))]))
