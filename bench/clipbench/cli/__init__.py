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
from clipbench.cli._custody import log_option
from clipbench.cli._errors import report
from clipbench.cli._options import PREFIX, traceback_option
from clipbench.cli._output import print_result
from clipbench.errors import ClipbenchError, UnknownName
from clipbench.system import concealed
from clipbench.system.descriptors import raise_limit
from clipbench.system.durable import clear_scratch
from clipbench.system.stopping import listening
from clipbench.system.streams import lost_output, screens, show_warning
from clipbench.system.threads import share_processors

COMMANDS = {  # command -> module of this package
    "run": "running.run",
    "sweep": "running.sweep",
    "poison": "running.poison",
    "train": "running.train",
    "evaluate": "running.evaluate",
    "detect": "running.detect",
    "audit": "running.audit",
    "monitor": "running.monitor",
    "data": "sets.data",
    "verify": "sets.verify",
    "croissant": "sets.croissant",
    "log": "sets.log",
    "leaderboard": "results.leaderboard",
    "compare": "results.compare",
    "power": "results.power",
    "check": "results.check",
    "submit": "results.submit",
    "reproduce": "results.reproduce",
    "list": "about.list_",  # a module called `list` would hide the built-in in this one
    "describe": "about.describe",
    "example": "about.example",
    "new": "about.new",
    "doctor": "about.doctor",
}
GROUPS = {  # folder of this package -> heading in the help
    "running": "Run",
    "sets": "Data",
    "results": "Results",
    "about": "Help",
}
EXAMPLES = {  # command -> a line to begin with; the first of each group stands in the help
    "run": "run --attack badnets --rate 0.5% --defense none,safeclip",
    "sweep": "sweep shapes_grid --jobs 2",
    "check": "check --junit check.xml",
    "poison": "poison --attack badnets --rate 0.5% --out poisoned",
    "train": "train --shards poisoned/shards --defense safeclip",
    "evaluate": "evaluate --checkpoint weights.pt --model ViT-B-32",
    "leaderboard": "leaderboard runs --html leaderboard.html",
    "compare": "compare runs --defense clip,safeclip",
    "power": "power --share 0 --against 5%",
    "submit": "submit runs/FOLDER --to board",
    "reproduce": "reproduce board/0123456789abcdef.json",
    "list": "list defenses",
    "describe": "describe safeclip",
    "example": "example defense > my_defense.py",
    "new": "new defense my_defense",
    "verify": "verify poisoned",
    "log": "log verify runs/audit.jsonl",
    "croissant": "croissant poisoned --license URL --creator NAME --url URL",
    "detect": "detect --data /data/cc3m --method dao,safeclip",
    "audit": "audit --data shards --budget 2h --out audit",
    "monitor": "monitor --baseline audit --data /data/delivery",
    "data": "data import csv:path=pairs.tsv --out my-shards",
    "doctor": "doctor",
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
        command.epilog = f"Example: clipbench {EXAMPLES[cmd_name]}"
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the commands in groups, each with an example."""
        for folder, heading in GROUPS.items():
            names = [name for name, module in COMMANDS.items() if module.startswith(f"{folder}.")]
            with formatter.section(heading):
                formatter.write_dl(
                    [
                        (f"{name:<11}", self.get_command(ctx, name).get_short_help_str(80))
                        for name in names
                    ]
                )
                formatter.write_text(f"$ clipbench {EXAMPLES[names[0]]}")


@click.group(
    cls=_LazyGroup,
    invoke_without_command=True,
    context_settings={
        "auto_envvar_prefix": PREFIX,
        "help_option_names": ["-h", "--help"],
        "max_content_width": 100,
    },
    epilog="`clipbench COMMAND --help` has all options. Results go to standard output, everything"
    " else to standard error. Exit status: 0 done, 1 the work or a check failed, 2 the command was"
    " wrong, 3 verify could not decide.",
)
@click.version_option(__version__, prog_name="clipbench")
@log_option
@traceback_option
@click.pass_context
def cli(ctx: click.Context) -> None:
    """Benchmark of data-poisoning and backdoor attacks on CLIP pre-training, and of defenses."""
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
