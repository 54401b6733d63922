"""``clipbench example``: a file to start one's own from."""

from __future__ import annotations

import click

from clipbench.cli import _options as options
from clipbench.cli._output import columns, print_result
from clipbench.errors import ClipbenchError
from clipbench.files import bundled


@click.command("example", cls=options.Command)
@click.argument("name", required=False)
def command(name: str | None) -> None:
    r"""Print an example plugin or a named configuration.

    Without NAME, lists the names; attack, defense and dataset are the simplest of each. Redirect
    the output to a file, and give its path in place of a name:

    \b
        clipbench example defense > my_defense.py
        clipbench run --attack badnets --rate 1% --defense my_defense.py
    """
    if name is None:
        print_result(listed())
        return
    found = bundled.example(name)
    try:
        text = found.path.read_text(encoding="utf-8")
    except OSError as error:
        raise ClipbenchError(f"{found.path} can't be read: {error.strerror}.") from error
    print_result(text.removesuffix("\n"))


def listed() -> str:
    """Return the names of the examples, each with what it is."""
    return columns(("  " + item.name, item.title) for item in bundled.examples().values())
