"""The command line: one thin module per command, imported when the command is named.

Heavy packages are imported when a command runs, so that help is quick.
"""

from __future__ import annotations

import importlib
import os
import sys
import warnings
from collections.abc import Sequence

import click

from clipbench import __version__
from clipbench.cli._errors import report, show_warning
from clipbench.cli._options import PREFIX, traceback_option
from clipbench.cli._output import print_result
from clipbench.errors import ClipbenchError, UnknownName
from clipbench.system import concealed
from clipbench.system.descriptors import raise_limit
from clipbench.system.durable import clear_scratch
from clipbench.system.stopping import listening
from clipbench.system.streams import lost_output, screens
from clipbench.system.threads import share_processors

COMMANDS = {  # command -> module of this package
    "run": "running.run",
    "sweep": "running.sweep",
    "check": "results.check",
    "poison": "running.poison",
    "train": "running.train",
    "evaluate": "running.evaluate",
    "leaderboard": "results.leaderboard",
    "compare": "results.compare",
    "power": "results.power",
    "submit": "results.submit",
    "reproduce": "results.reproduce",
    "list": "about.list_",  # a module called `list` would hide the built-in in this one
    "describe": "about.describe",
    "example": "about.example",
    "new": "about.new",
    "verify": "sets.verify",
    "croissant": "sets.croissant",
    "detect": "running.detect",
    "data": "sets.data",
    "doctor": "about.doctor",
}


class _LazyGroup(click.Group):
    """A group that imports the module of a command when the command is asked for."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command:  # noqa: ARG002
        if cmd_name not in COMMANDS:
            raise UnknownName("command", cmd_name, COMMANDS)
        command = importlib.import_module(f"clipbench.cli.{COMMANDS[cmd_name]}").command
        assert isinstance(command, click.Command)
        return command


@click.group(
    cls=_LazyGroup,
    invoke_without_command=True,
    context_settings={
        "auto_envvar_prefix": PREFIX,
        "help_option_names": ["-h", "--help"],
        "max_content_width": 100,
    },
    epilog="Results go to standard output, all else to standard error. Exit status: 0 done,"
    " 1 the work failed or a check fell short, 2 the command was wrong,"
    " 3 verify could not tell.",
)
@click.version_option(__version__, prog_name="clipbench")
@traceback_option
@click.pass_context
def cli(ctx: click.Context) -> None:
    """Attacks on, and defenses of, contrastive image-text pre-training on one bench."""
    if ctx.invoked_subcommand is None:
        print_result(ctx.get_help())


def main(args: Sequence[str] | None = None) -> int:
    """Run a command line and return its exit status; no error leaves as a raw traceback.

    Args:
        args: the arguments; None: those of this process.
    """
    if f"_{PREFIX}_COMPLETE" in os.environ:
        cli.main(prog_name="clipbench")  # the shell asks for completions; this exits
    words = sys.argv[1:] if args is None else args
    concealed.note([*words, *(v for k, v in os.environ.items() if k.startswith(PREFIX))])
    with screens():
        status = _run(words)
        lost = lost_output()
        if lost is not None and not status:
            why = lost.strerror or str(lost)
            return report(
                ClipbenchError(
                    f"standard output could not be written ({why}), but the work is done: the same"
                    " command prints it again."
                ),
                show_traceback=False,
            )
    return status


def _run(args: Sequence[str]) -> int:
    """Run a command line and return its exit status."""
    state = {"traceback": False}
    share_processors()  # before a command loads torch
    raise_limit()
    clear_scratch()  # of commands that were killed
    try:
        with listening(), warnings.catch_warnings():
            warnings.showwarning = show_warning
            with cli.make_context("clipbench", list(args), obj=state) as ctx:
                cli.invoke(ctx)
    except click.exceptions.Exit as stop:
        return stop.exit_code
    except (Exception, KeyboardInterrupt) as error:  # noqa: BLE001 - this is where they all end
        return report(error, show_traceback=state["traceback"])
    return 0
