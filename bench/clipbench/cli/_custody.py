"""Where commands keep the log of what they make and judge."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import click

from clipbench.api.work import is_first_process
from clipbench.cli._options import option


def _set_log(ctx: click.Context, param: click.Parameter, value: Path | None) -> None:  # noqa: ARG001
    if value is not None:
        ctx.ensure_object(dict)["log"] = value


log_option = option(
    "--log",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    expose_value=False,
    callback=_set_log,
    show_default="audit.jsonl in --out",
    help="Log of what is made and judged; see `clipbench log`.",
)


@contextmanager
def logged(command: str, folder: Path | None, **settings: object) -> Iterator[None]:
    """Add a line to the log when the work inside ends.

    Args:
        command: as it is typed.
        folder: what the command writes into, where the log is unless ``--log`` names another file;
            None: without ``--log`` there is none.
        settings: what decides the work.
    """
    from clipbench.custody import log  # noqa: PLC0415 - brings numpy
    from clipbench.custody.record import recorded  # noqa: PLC0415

    named = (click.get_current_context().find_root().obj or {}).get("log")
    path = named or (None if folder is None else folder / log.NAME)
    with recorded(path if is_first_process() else None, command, settings):
        yield
