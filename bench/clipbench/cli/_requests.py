"""From the options of a command to what it asks for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import click
from click.core import ParameterSource

from clipbench.api import work
from clipbench.cli._options import TRAIN_OPTIONS
from clipbench.configuration.config import RunConfig
from clipbench.configuration.request import (
    KEYS,
    Request,
    combine,
    read_yaml,
)
from clipbench.configuration.settings import TrainSettings, check_train_fields
from clipbench.errors import BadSetting, OnError
from clipbench.fetching import pipes
from clipbench.parameters.values import coerce, field_types
from clipbench.plugins.spec import spec_like


def on_error_of(text: str) -> OnError:
    """Return what ``--on-error`` says.

    Raises:
        BadSetting: it is neither skip nor fail.
    """
    policy: OnError = coerce(text, OnError, "--on-error")
    return policy


def asks(ctx: click.Context) -> bool:
    """Return whether an option, variable or file says what to run."""
    deciding = {*KEYS, *TRAIN_OPTIONS, "evals", "metrics", "settings", "config"}
    deciding -= {"out", "cache", "threads", "on_error", "controls"}
    return any(
        ctx.get_parameter_source(name) in (ParameterSource.COMMANDLINE, ParameterSource.ENVIRONMENT)
        for name in deciding & set(ctx.params)
    )


def request_of(ctx: click.Context) -> Request:
    """Return what the options of a command, its YAML file and the environment ask for."""
    line, environment = dict[str, object](), dict[str, object]()
    train: dict[ParameterSource, dict[str, object]] = {}
    layers = {ParameterSource.COMMANDLINE: line, ParameterSource.ENVIRONMENT: environment}
    others: dict[ParameterSource, Mapping[str, object]] = {}
    for name, value in ctx.params.items():
        source = ctx.get_parameter_source(name)
        if source not in layers:
            continue
        layer = layers[source]
        if name in KEYS:
            layer[name] = value
        elif name == "evals":
            layer["eval"] = value
        elif name == "metrics":
            layer["metric"] = value
        elif name in TRAIN_OPTIONS:
            train.setdefault(source, {})[name] = value
        elif name == "settings":
            others[source] = check_train_fields(assignments(value, "--set"))
    for source, settings in others.items():
        own = train.setdefault(source, {})
        _check_once(own, settings)
        own.update(settings)
    for source, layer in layers.items():
        layer["train"] = train.get(source, {})
    named = [spec_like(line[key], key) for key in ("data", "trusted") if key in line]
    work.allow_commands(named)
    file, allowed = ctx.params.get("config"), ctx.params.get("allowed", ())
    if allowed:
        refuse_unused("--config", "allowed", unless=file is not None)
    allow_commands(allowed)
    read = {} if file is None else read_yaml(file, allowed=allowed)
    owned = {param.name for param in ctx.command.params}
    of_attack = {
        "attack",
        "rate",
        "poisons",
        "poison_seed",
    }  # which commands that train alone have nothing of
    takes = [key for key in KEYS if key in owned or key not in {*of_attack, "defense"}]
    request = combine(line, read, environment, takes=takes)
    if "pretrained" in owned:
        request.check_start()
    return request


def _check_once(options: Mapping[str, object], settings: Mapping[str, object]) -> None:
    """Refuse a training setting that an option and ``--set`` give different values.

    Raises:
        BadSetting: naming it.
    """
    hints = field_types(TrainSettings)
    for name in options.keys() & settings.keys():
        values = [coerce(of[name], hints[name], f"train.{name}") for of in (options, settings)]
        if values[0] != values[1]:
            flag = f"--{name.replace('_', '-')}"
            raise BadSetting(
                f"{name} is given twice, {options[name]} by {flag} and {settings[name]} by --set;"
                " give it once."
            )


def given(ctx: click.Context, names: Sequence[str]) -> tuple[dict[str, object], dict[str, object]]:
    """Return what a person gave of some parameters: on the command line, and by the environment."""
    by_source = {name: ctx.get_parameter_source(name) for name in names}
    return (
        {n: ctx.params[n] for n in names if by_source[n] is ParameterSource.COMMANDLINE},
        {n: ctx.params[n] for n in names if by_source[n] is ParameterSource.ENVIRONMENT},
    )


def refuse_unused(wanted: str, *names: str, unless: bool) -> None:
    """Refuse options that would be ignored: whoever typed one thinks that it does something.

    Args:
        wanted: what they need, for the message.
        names: parameters of the command.
        unless: whether that is so.

    Raises:
        BadSetting: one of them is on the command line, and it is not.
    """
    ctx = click.get_current_context()
    typed = [n for n in names if ctx.get_parameter_source(n) is ParameterSource.COMMANDLINE]
    if typed and not unless:
        flags = {item.name: item.opts[0] for item in ctx.command.params}
        raise BadSetting(f"{flags[typed[0]]} would be ignored: it needs {wanted}.")


def refuse_unused_trusted(configs: Sequence[RunConfig]) -> None:
    """Refuse ``--trusted`` where no run has a defense that is given such pairs.

    Raises:
        BadSetting: it would be ignored.
    """
    wanted = "a defense that needs pairs known to be clean, such as cleanclip"
    refuse_unused(wanted, "trusted", unless=any(config.trusted for config in configs))


def allow_commands(typed: Sequence[str]) -> None:
    """Let the shell commands be run that were typed as what a file may name."""
    pipes.allow(typed)


def assignments(values: tuple[str, ...], name: str) -> dict[str, str]:
    """Return ``FIELD=VALUE`` texts as a mapping."""
    found: dict[str, str] = {}
    for text in values:
        key, equals, value = text.partition("=")
        if not equals or not key.strip():
            raise BadSetting(f"{name} takes FIELD=VALUE. Got {text!r}.")
        key, value = key.strip(), value.strip()
        if found.setdefault(key, value) != value:
            raise BadSetting(
                f"{key} is given twice, {found[key]} and {value} by {name}; give it once."
            )
    return found
