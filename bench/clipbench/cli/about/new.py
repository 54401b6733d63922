"""``clipbench new``: the first version of one's own plugin."""

from __future__ import annotations

from pathlib import Path

import click

from clipbench.api.work import reporter_for
from clipbench.cli import _options as options
from clipbench.cli._output import print_place
from clipbench.errors import BadSetting, ClipbenchError
from clipbench.files import bundled
from clipbench.plugins import registry
from clipbench.plugins.find import Kind

# What to try a new plugin with.
_TRIALS = {
    "attack": "--attack {file}",
    "defense": "--defense none,{file}",
    "metric": "--metric {file}",
}


@click.command("new", cls=options.Command)
@click.argument("kind", type=click.Choice([*_TRIALS]))
@click.argument("name")
@options.quiet_option
def command(kind: Kind, name: str, quiet: bool) -> None:
    """Write NAME.py, a plugin to start your own from.

    The file works as it is and passes `clipbench describe NAME.py --check`; its comments say what
    to change. Existing files are never overwritten. For a data set, start from
    `clipbench example dataset`.
    """
    name = name.removesuffix(".py").replace("-", "_")
    text = bundled.starting_file(kind, name)
    if name in registry.names(kind):
        raise BadSetting(
            f"There is {'an' if kind == 'attack' else 'a'} {kind} {name!r} already, and tables"
            " could not tell the two apart; choose another name."
        )
    path = Path(f"{name}.py")
    try:
        with path.open("x", encoding="utf-8") as file:
            file.write(text)
    except FileExistsError as error:
        raise BadSetting(f"{path.absolute()} exists; choose another name.") from error
    except OSError as error:
        raise ClipbenchError(f"{path.absolute()} can't be written: {error.strerror}.") from error
    with reporter_for(quiet) as reporter:
        reporter.note(f"check it: clipbench describe {path} --check")
        trial = _TRIALS[kind].format(file=path)
        reporter.note(f"try it:   clipbench run --config quickstart {trial}")
    print_place(path)
