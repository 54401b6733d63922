"""Options and checks of commands that read a person's own pairs: ``audit`` and ``monitor``."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import click

from clipbench.cli import _options as options
from clipbench.configuration.preflight import check_writable
from clipbench.errors import BadSetting
from clipbench.fetching.sources import expand
from clipbench.plugins import registry

LARGEST_SEED = 2**63 - 1


def pairs_options(*, supplier: str, captions: str) -> Callable[[options.F], options.F]:
    """Return ``--supplier``, ``--caption-field`` and ``--signers``.

    Args:
        supplier: what names suppliers if nobody says so, in words.
        captions: where captions are, likewise.
    """
    return options.stack(
        options.option(
            "--supplier",
            metavar="FIELD",
            show_default=supplier,
            help="Field of the pairs' JSON that names who supplied them.",
        ),
        options.option(
            "--caption-field",
            metavar="FIELD",
            show_default=captions,
            help="Field of the pairs' JSON that holds captions.",
        ),
        options.option(
            "--signers",
            type=click.Path(path_type=Path, dir_okay=False),
            metavar="FILE",
            show_default="signatures are not checked",
            help="Allowed signers, see ssh-keygen(1); one of them must have signed the"
            " manifest.json of every folder of shards, or nothing is read.",
        ),
    )


def one_seed(text: str) -> int:
    """Return the one seed that was typed.

    Raises:
        BadSetting: it is no whole number, several, or out of range.
    """
    try:
        seed = int(text)
    except ValueError:
        seed = -1
    if not 0 <= seed <= LARGEST_SEED:
        raise BadSetting(f"--seed takes one whole number in [0, 2**63 - 1]. Got {text[:40]}.")
    return seed


def refuse_processes(command: str) -> None:
    """Refuse to be started by torchrun: each process would do all of the work in the same folder.

    Raises:
        BadSetting: there are several processes.
    """
    count = os.environ.get("WORLD_SIZE", "1")
    if count not in ("", "1"):
        raise BadSetting(
            f"clipbench {command} works in one process, and WORLD_SIZE is {count[:40]}; start it"
            " without torchrun, or unset WORLD_SIZE."
        )


def refuse_sources(command: str, data: str) -> None:
    """Refuse the name of a data set in the place of shards, and say how to get shards of it.

    Raises:
        BadSetting: it is one.
    """
    name, mark, rest = data.partition(":")
    is_source = mark and (name in registry.names("dataset") or name.endswith(".py"))
    if not is_source or Path(data).exists():
        return
    if name in (registry.SHARDS, "own") and rest.startswith("path=") and "," not in rest:
        way = f"give the path alone: --data {rest.removeprefix('path=')}"
    else:
        way = f"make some with clipbench data import {data} --out FOLDER, and give --data FOLDER"
    raise BadSetting(f"clipbench {command} reads shards, and {data} is a data set; {way}.")


def check_out(out: Path, data: str) -> None:
    """Refuse a folder for results that can't be written, or lies among the shards.

    Args:
        out: the folder.
        data: the shards; remote ones are refused where they are opened.

    Raises:
        BadSetting: it lies among the shards.
        MissingData: it can't be written, or there are no shards.
    """
    check_writable(out)
    from clipbench.fetching.remote import is_remote  # noqa: PLC0415 - brings numpy

    if is_remote(data):
        return
    place = out.expanduser().resolve()
    for home in dict.fromkeys(path.parent for path in expand(data)):
        if home.resolve() in (place, *place.parents):
            raise BadSetting(
                f"--out {out} lies in {home}, a folder of shards, in which nothing is written;"
                " choose one outside of it."
            )
