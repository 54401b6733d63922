"""The command line as a program: quick help, one-line errors, exit statuses."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from clipbench import __version__
from clipbench.cli import COMMANDS, EXAMPLES, GROUPS, cli, main
from clipbench.cli._errors import report
from clipbench.cli._options import TRAIN_OPTIONS, train_options
from clipbench.configuration.settings import TrainSettings
from clipbench.errors import BadSetting, ClipbenchError
from clipbench.files.json_files import write_json
from clipbench.results.files import write_atomic

HEAVY = ("torch", "numpy", "pandas", "open_clip", "webdataset", "yaml")

SLOW = """
import time
from dataclasses import dataclass

@dataclass(frozen=True)
class Slow:
    def with_pairs(self, minimum): ...
    def num_pairs(self): ...
    def evaluation(self): ...
    def targets(self): ...
    def synonyms(self): ...
    def recipe(self): ...
    def prepare(self, cache, progress=None):
        print("ready", flush=True)
        time.sleep(60)

DATASET = Slow
"""


def clipbench(*args: str, env: Mapping[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    """Run the program as a person would."""
    return subprocess.run(
        [sys.executable, "-m", "clipbench", *args],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, **(env or {})},
    )


@pytest.mark.parametrize("args", [["--help"], ["run", "--help"], ["--version"], ["doctor", "-h"]])
def test_help_imports_nothing_heavy(args: list[str]) -> None:
    """Help and version answer at once, because nothing heavy is imported for them."""
    code = (
        "import sys; from clipbench.cli import main; status = main(sys.argv[1:]);"
        f"print('heavy:', [m for m in {HEAVY} if m in sys.modules], status)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, *args], capture_output=True, text=True, check=True
    )
    assert done.stdout.splitlines()[-1] == "heavy: [] 0"


def test_help_names_every_command() -> None:
    """The program without arguments, and its help, show what can be done."""
    done = clipbench("--help")
    assert done.returncode == 0
    assert all(f"\n  {command} " in done.stdout for command in COMMANDS)
    assert clipbench().stdout == done.stdout
    assert clipbench("--version").stdout == f"clipbench, version {__version__}\n"


def test_help_groups_the_commands_and_cuts_no_sentence() -> None:
    """Each command stands in one group, whole at 80 columns, and each group has an example."""
    text = CliRunner().invoke(cli, ["--help"]).output
    assert {module.partition(".")[0] for module in COMMANDS.values()} == GROUPS.keys()
    assert all(f"\n{heading}:\n" in text for heading in GROUPS.values())
    assert text.count("  $ clipbench ") == len(GROUPS)
    assert "..." not in text.partition("\nRun:")[2]
    assert max(map(len, text.splitlines())) < 80


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_ends_its_help_with_an_example_that_can_be_typed(
    command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The words of the example are options and arguments of the command."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "poisoned").mkdir()
    found = cli.get_command(click.Context(cli), command)
    example = EXAMPLES[command].partition(" > ")[0].split()
    assert example[0] == command
    with click.Context(found, info_name=command) as ctx:
        assert found.get_help(ctx).endswith(f"Example: clipbench {EXAMPLES[command]}")
    assert found.make_context(command, example[1:]).command is found


@pytest.mark.parametrize("command", ["run", "train", "poison", "detect"])
def test_long_lists_of_options_are_in_groups_and_none_is_lost(command: str) -> None:
    """Every option stands once, under a heading; training settings under one of their own."""
    found = cli.get_command(click.Context(cli), command)
    with click.Context(found, info_name=command) as ctx:
        text = found.get_help(ctx)
        records = [parameter.get_help_record(ctx) for parameter in found.get_params(ctx)]
    options = [record[0] for record in records if record is not None]
    assert [text.count(f"\n  {option}") for option in options] == [1] * len(options)
    headings = [line for line in text.splitlines() if line.endswith(":") and line[0] != " "]
    assert headings[0] == "Data:"
    assert headings[-1] == "Other options:"
    if command != "poison":
        training = text.partition("\nTraining:\n")[2].partition("\n\n")[0]
        assert all(f"--{name.replace('_', '-')}" in training for name in TRAIN_OPTIONS)


@pytest.mark.parametrize("command", COMMANDS)
def test_every_option_shows_default_and_variable(command: str) -> None:
    """Each option of each command shows its environment variable, and its default if it has one."""
    found = cli.get_command(click.Context(cli), command)
    with click.Context(found, info_name=command, auto_envvar_prefix="CLIPBENCH") as ctx:
        for parameter in found.params:
            if not isinstance(parameter, click.Option):
                continue
            record = parameter.get_help_record(ctx)
            assert record is not None
            assert "[env var: CLIPBENCH_" in record[1]
            if not (parameter.required or parameter.is_flag):
                assert "default: " in record[1], parameter.name


@pytest.mark.parametrize(
    ("args", "status", "part"),
    [
        (["rnu"], 2, "Unknown command 'rnu'. Did you mean 'run'?"),
        (["run", "--epocs", "3"], 2, "No such option"),
        (["run", "--rate", "1%"], 2, "takes no rate"),
        (["run", "--rate", "0"], 2, "must be in (0, 1]"),
        (["evaluate"], 2, "Missing option '--checkpoint'"),
        (["describe", "tageted"], 2, "Did you mean 'targeted'?"),
        (["leaderboard", "no/such/folder"], 2, "no/such/folder"),
    ],
)
def test_a_wrong_command_is_one_line_and_status_2(args: list[str], status: int, part: str) -> None:
    """What is wrong with the command is one line on standard error; standard output is empty."""
    done = clipbench(*args)
    assert done.returncode == status
    assert done.stdout == ""
    assert done.stderr.startswith("clipbench: error: ")
    assert done.stderr.count("\n") == 1
    assert part in done.stderr


@pytest.mark.parametrize(
    "args", [["--traceback", "describe", "x"], ["describe", "x", "--traceback"]]
)
def test_traceback_shows_where_an_error_came_from(args: list[str]) -> None:
    """With ``--traceback``, before or after the command, the rest is shown; the line comes last."""
    done = clipbench(*args)
    assert done.returncode == 2
    assert "Traceback (most recent call last)" in done.stderr
    assert done.stderr.splitlines()[-1].startswith("clipbench: error: Unknown plugin 'x'")


def test_traceback_can_be_asked_for_by_variable() -> None:
    """The environment variable does the same as the option."""
    done = clipbench("describe", "x", env={"CLIPBENCH_TRACEBACK": "1"})
    assert "Traceback (most recent call last)" in done.stderr


# A shell makes what it starts in the background deaf to interrupts, and children inherit that.
HEARING = """
import signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)
from clipbench.cli import main
sys.exit(main(sys.argv[1:]))
"""


def test_an_interrupt_is_one_line_and_status_130(tmp_path: Path) -> None:
    """Ctrl-C ends the program with one line and the status that shells expect."""
    file = tmp_path / "slow.py"
    file.write_text(SLOW)
    process = subprocess.Popen(
        [sys.executable, "-c", HEARING, "data", str(file), "--cache", str(tmp_path)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    time.sleep(0.1)
    process.send_signal(signal.SIGINT)
    _, error = process.communicate(timeout=60)
    assert process.returncode == 130
    assert error.startswith("clipbench: error: interrupted")
    assert error.count("\n") == 1


def test_a_reader_that_goes_away_is_no_error() -> None:
    """The work was done: status 0, without a word, as `head` wants it."""
    read, write = os.pipe()
    os.close(read)
    with os.fdopen(write, "w") as closed:
        done = subprocess.run(
            [sys.executable, "-m", "clipbench", "run", "--help"],
            stdout=closed,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
    assert done.stderr == ""
    assert done.returncode == 0


def _caused(error: Exception, cause: Exception) -> Exception:
    error.__cause__ = cause
    return error


@pytest.mark.parametrize(
    ("error", "status", "line"),
    [
        (BadSetting("a\nb"), 2, "a b"),
        (ClipbenchError("it failed"), 1, "it failed"),
        (OSError(errno.ENOSPC, "No space", "/d/f"), 1, "no space left at /d/f. Free some space"),
        (
            _caused(RuntimeError("writer"), OSError(errno.EDQUOT, "Quota")),
            1,
            "no space left. Free some space",
        ),
        (MemoryError(), 1, "out of memory (MemoryError). Choose a smaller --batch-size"),
        (PermissionError(13, "Denied", "/d"), 1, "/d: Denied. Check the path"),
        (ZeroDivisionError(), 1, "unexpected ZeroDivisionError (clipbench --traceback"),
        (KeyboardInterrupt(), 130, "interrupted"),
        (click.Abort(), 130, "interrupted"),
    ],
)
def test_every_error_is_one_line(
    capsys: pytest.CaptureFixture[str], error: BaseException, status: int, line: str
) -> None:
    """Whatever ends a command is told in one line, with the exit status of its kind."""
    assert report(error, show_traceback=False) == status
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith(f"clipbench: error: {line}")
    assert captured.err.count("\n") == 1


def test_main_returns_the_status(capsys: pytest.CaptureFixture[str]) -> None:
    """`main` returns the exit status instead of ending the process."""
    assert main(["--version"]) == 0
    assert main(["nonsense"]) == 2
    assert "Unknown command" in capsys.readouterr().err


def test_the_shell_can_complete_commands() -> None:
    """Completion, as click's shell scripts ask for it, names the commands."""
    env = {"_CLIPBENCH_COMPLETE": "bash_complete", "COMP_WORDS": "clipbench le", "COMP_CWORD": "1"}
    assert clipbench(env=env).stdout == "plain,leaderboard\n"


def test_the_group_works_under_clicks_own_runner() -> None:
    """The group is an ordinary click command, for programs that embed it."""
    done = CliRunner().invoke(cli, ["list", "attacks"])
    assert done.exit_code == 0
    assert "none" in done.stdout


@pytest.mark.parametrize("closed", [">&-", "2>&-", "<&-", ">&- 2>&- <&-"])
def test_a_closed_stream_is_as_one_to_nowhere(closed: str, tmp_path: Path) -> None:
    """Whoever closes standard output gets status 0; and nothing is printed into another file."""
    board = tmp_path / "board.md"
    line = f'"{sys.executable}" -m clipbench list configs {closed}'
    assert subprocess.run(["bash", "-c", line], capture_output=True, check=False).returncode == 0
    code = (
        "import os, sys; from clipbench.cli import main;"
        f" status = main(['example']); file = open({str(board)!r}, 'w');"
        " os.write(1, b'a library that prints'); file.write('mine'); file.close(); sys.exit(status)"
    )
    line = f'"{sys.executable}" -c "{code}" {closed}'
    assert subprocess.run(["bash", "-c", line], capture_output=True, check=False).returncode == 0
    assert board.read_text() == "mine"


def test_without_docstrings_options_have_no_help_and_all_else_works(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Images of containers set PYTHONOPTIMIZE=2, under which Python throws docstrings away."""
    monkeypatch.setattr(TrainSettings, "__doc__", None)

    @train_options()
    def nothing(**_: object) -> None:
        return None

    done = CliRunner().invoke(click.command("nothing")(nothing), ["--help"])
    assert done.exit_code == 0
    assert "--batch-size" in done.output


@pytest.mark.parametrize(
    ("number", "advice"),
    [
        (errno.EACCES, "a folder you may write to"),
        (errno.EROFS, "on a disk that can be written to"),
        (errno.ENOSPC, "free some space"),
        (errno.EISDIR, "a folder has that name"),
        (errno.ENAMETOOLONG, "a shorter name"),
        (errno.EIO, "check the path"),
    ],
)
def test_what_can_not_be_written_is_told_with_what_helps(
    number: int, advice: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who lacks permission is not told to free space."""

    def refuse(self: Path, *_: object, **__: object) -> None:
        raise OSError(number, os.strerror(number), str(self))

    monkeypatch.setattr(Path, "open", refuse)
    with pytest.raises(ClipbenchError, match=f"(?i){advice}"):
        write_atomic(tmp_path / "table.md", b"")
    with pytest.raises(ClipbenchError, match=f"(?i){advice}"):
        write_json(tmp_path / "sizes.json", {})
