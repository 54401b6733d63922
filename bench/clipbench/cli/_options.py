"""Options that several commands share, and the request that they make up."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any, TypeVar

import click

from clipbench.cli._help import write_options
from clipbench.configuration.request import DEFAULT_OUT, default_cache
from clipbench.configuration.settings import TrainSettings
from clipbench.files.bundled import PUBLISHED, published_rows
from clipbench.parameters.limits import ranges
from clipbench.parameters.values import field_types, type_text
from clipbench.plugins.describe import arguments_of, own_doc, text_of

PREFIX = "CLIPBENCH"
F = TypeVar("F", bound=Callable[..., object])

# Training settings with an option of their own; `--set` reaches the others.
TRAIN_OPTIONS = (
    "model",
    "pretrained",
    "epochs",
    "batch_size",
    "lr",
    "wd",
    "warmup",
    "precision",
    "compile",
    "workers",
    "device",
    "save_frequency",
    "grad_clip_norm",
    "lr_schedule",
    "tensorboard",
)


def option(*names: str, **keywords: Any) -> Callable[[F], F]:
    """Return an option that shows its default and its variable, ``CLIPBENCH_`` and its name."""
    name = names[0].split("/")[0].lstrip("-")
    keywords.setdefault("envvar", f"{PREFIX}_{name.upper().replace('-', '_')}")
    return click.option(*names, **{"show_default": True, "show_envvar": True, **keywords})


def _set_traceback(ctx: click.Context, param: click.Parameter, value: bool) -> None:  # noqa: ARG001
    if value:
        ctx.ensure_object(dict)["traceback"] = True


traceback_option = option(
    "--traceback",
    is_flag=True,
    expose_value=False,
    is_eager=True,
    callback=_set_traceback,
    help="Show where an error came from.",
)


class Command(click.Command):
    """A command that also accepts ``--traceback``, at the end of the line."""

    def __init__(self, *arguments: Any, **keywords: Any) -> None:
        super().__init__(*arguments, **keywords)
        traceback_option(self)  # click appends to the parameters of a command

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the options, in groups if there are many."""
        write_options(self, ctx, formatter)

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Read the words of the line; accept --defence, and say how several values are given."""
        words = [re.sub(r"^--defence(?==|$)", "--defense", word) for word in args]
        try:
            return super().parse_args(ctx, list(words))
        except click.UsageError as error:
            hint = self._hint(words, error.message)
            if not hint:
                raise
            raise click.UsageError(error.message + hint, ctx) from error

    def _hint(self, words: list[str], message: str) -> str:
        """Return how several values are given, where the words that are too many are such."""
        found = re.search(r"unexpected extra arguments? \(([^\s)]+)", message)
        several = {
            name
            for param in self.params
            if isinstance(param, click.Option) and param.multiple
            for name in param.opts
        }
        for option, value, extra in zip(words, words[1:], words[2:], strict=False):
            if found and option in several and extra == found[1]:
                return f" Several values are a list with commas: {option} {value},{extra}."
        return ""


def stack(*options: Callable[[Any], object]) -> Callable[[F], F]:
    """Return a decorator that adds options in the order in which they are given."""

    def decorate(function: F) -> F:
        for add in reversed(options):
            function = add(function)
        return function

    return decorate


data_option = option("--data", default="shapes", metavar="SPEC", help="Training pairs.")
eval_option = option(
    "--eval",
    "evals",
    multiple=True,
    metavar="SPEC",
    show_default="what --data holds out",
    help="Test images and captions. Repeatable, or a list with commas.",
)
trusted_option = option(
    "--trusted",
    metavar="SPEC",
    show_default="what --data holds out",
    help="Pairs known to be clean, for defenses that need some.",
)
metric_option = option(
    "--metric",
    "metrics",
    multiple=True,
    metavar="SPEC",
    show_default="none",
    help="Additional metrics, e.g. linear_probe. Repeatable, or a list with commas.",
)
on_error_option = option(
    "--on-error",
    default="fail",
    metavar="skip|fail",
    help="Unusable pairs: leave them out and list them, or stop.",
)
json_option = option("--json", "as_json", is_flag=True, help="Print JSON and nothing else.")
quiet_option = option("--quiet", "-q", is_flag=True, help="Report warnings and errors only.")
cache_option = option(
    "--cache",
    type=click.Path(path_type=Path, file_okay=False),
    default=default_cache,
    show_default="~/.cache/clipbench",
    help="Folder of clean shards and indexes; may be shared and deleted.",
)
config_option = option(
    "--config",
    type=click.Path(path_type=Path),
    metavar="FILE|NAME",
    show_default="none",
    help="YAML file with any of these settings, training settings under `train:`; or the name of"
    " one that comes with clipbench: quickstart, main_job (`clipbench list configs`).",
)

recipe_option = option(
    "--recipe",
    metavar="NAME",
    show_default="none",
    help="Published protocol: training settings, and parameters and rates of its attacks and"
    " defenses. Whatever you set takes precedence (`clipbench list recipes`).",
)


def allowing(what: str, metavar: str = "NAME") -> Callable[[F], F]:
    """Return the option for what a file that may be somebody else's may name; `what` is help."""
    return option(
        "--allow",
        "allowed",
        multiple=True,
        metavar=metavar,
        envvar=None,  # each is named by whoever starts the command
        show_default="none",
        help=f"{what} Repeatable.",
    )


allow_option = allowing(
    "Code (file or module), address or command that the configuration file is allowed to name."
)
out_option = option(
    "--out",
    type=click.Path(path_type=Path, file_okay=False),
    default=DEFAULT_OUT,
    help="Folder of runs, one folder per run.",
)

published_option = option(
    "--published",
    type=click.Choice(PUBLISHED),
    is_flag=False,
    flag_value=PUBLISHED[0],
    envvar=None,
    show_default="none",
    metavar=f"[{'|'.join(PUBLISHED)}]",
    help=f"Rows that come with clipbench, those of {PUBLISHED[0]} unless named, in place of the"
    " folder runs or beside PATHS.",
)


def results_at(paths: Sequence[Path], published: str | None) -> list[Path]:
    """Return the places of the results that a command is about; without any, the folder of runs."""
    rows = [] if published is None else [published_rows(published)]
    return [*paths, *rows] or [DEFAULT_OUT]


class _Jobs(click.IntRange):
    """A number of runs, or None for ``auto``."""

    name = "integer or auto"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        return None if str(value).lower() == "auto" else super().convert(value, param, ctx)


estimate_option = option(
    "--estimate/--no-estimate", default=True, help="Estimate the time before anything starts."
)
jobs_option = option(
    "--jobs",
    type=_Jobs(1),
    metavar="N|auto",
    default=1,
    help="Runs at once. auto: one per GPU, or without a GPU one per --threads (1) processors."
    " Memory is not checked.",
)


def _threads(default: str, text: str) -> Callable[[F], F]:
    return option("--threads", type=click.IntRange(1), show_default=default, help=text)


threads_option = _threads(
    "the processors, dealt out",
    "Threads per run. Another number may change the last digits of results.",
)
own_threads_option = _threads(
    "OpenMP's: all processors",
    "Threads to compute with. Another number may change the last digits of results.",
)

recorded_threads_option = _threads(
    "as recorded, where there are as many processors",
    "Threads to compute with. Another number may change the last digits of results.",
)


def _choice(name: str, default: str, text: str, metavar: str, several: bool) -> Callable[[F], F]:
    return option(
        name,
        multiple=several,
        default=(default,) if several and default else default or None,
        show_default=default or "none",
        metavar=metavar,
        help=f"{text} Repeatable, or a list with commas." if several else text,
    )


def attack_option(*, several: bool = False) -> Callable[[F], F]:
    """Return ``--attack``, which may be given several times if `several`."""
    return _choice("--attack", "none", "Attack, e.g. targeted:targets=16.", "SPEC", several)


def rate_option(*, several: bool = False) -> Callable[[F], F]:
    """Return ``--rate``, which may be given several times if `several`."""
    return _choice(
        "--rate", "", "Poisoned share of all pairs, e.g. 1e-6 or 0.0001%.", "RATE", several
    )


def defense_option(*, several: bool = False) -> Callable[[F], F]:
    """Return ``--defense``, which may be given several times if `several`."""
    return _choice("--defense", "none", "Defense, e.g. safeclip.", "SPEC", several)


def seed_option(*, several: bool = False) -> Callable[[F], F]:
    """Return ``--seed``, which may be given several times if `several`."""
    return _choice("--seed", "0", "Seed of all random numbers.", "N", several)


def poison_seed_option(*, several: bool = False) -> Callable[[F], F]:
    """Return ``--poison-seed``, which may be given several times if `several`."""
    told = {"metavar": "N", "show_default": "that of --seed", "multiple": several}
    return option("--poison-seed", help="Seed of the attack's draws (pairs, targets...).", **told)


poisons_option = option(
    "--poisons",
    metavar="N",
    show_default="none",
    help="Number of poisoned pairs, instead of --rate.",
)


def train_options() -> Callable[[F], F]:
    """Return an option for each of the usual training settings, and ``--set`` for the others."""
    meanings, hints = arguments_of(own_doc(TrainSettings)), field_types(TrainSettings)
    allowed = ranges(TrainSettings)
    defaults = {item.name: item.default for item in fields(TrainSettings)}
    options = []
    for name in TRAIN_OPTIONS:
        flag = f"--{name.replace('_', '-')}"
        fallback = text_of(defaults[name])
        keywords: dict[str, object] = {
            "default": None,
            # docstrings are gone under python -OO
            "help": _sentence(meanings.get(name, ""), str(allowed[name])),
            "show_default": f"recipe, else {fallback}",
        }
        if hints[name] is bool:
            options.append(option(f"{flag}/--no-{flag[2:]}", name, **keywords))
        else:
            metavar = type_text(hints[name]).replace(" ", "").replace("'", "").upper()
            options.append(option(flag, name, metavar=metavar, **keywords))
    others = option(
        "--set",
        "settings",
        multiple=True,
        metavar="FIELD=VALUE",
        show_default="none",
        help="Any other training setting, e.g. crop_scale=0.5. Repeatable.",
    )
    return stack(*options, others)


def _sentence(text: str, allowed: str) -> str:
    return f"{text[:1].upper()}{text[1:]}{f' Must be {allowed}.' if allowed else ''}"


def work_options() -> Callable[[F], F]:
    """Return the options of a command that plans training runs and does them."""
    return stack(
        out_option,
        on_error_option,
        cache_option,
        recipe_option,
        config_option,
        allow_option,
        option("--dry-run", is_flag=True, help="Print the plan and stop."),
        estimate_option,
        own_threads_option,
        json_option,
        quiet_option,
        train_options(),
    )
