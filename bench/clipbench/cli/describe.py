"""``clipbench describe``: what a plugin does, its parameters, and its paper."""

from __future__ import annotations

import dataclasses
import textwrap

import click

from clipbench import registry
from clipbench.cli import _options as options
from clipbench.cli._output import columns, print_json, print_result
from clipbench.errors import BadInput, UnknownName
from clipbench.plugins import KINDS, Kind

WIDTH = 100


@click.command("describe", cls=options.Command)
@click.argument("name")
@options.option(
    "--kind",
    type=click.Choice(list(KINDS)),
    envvar=None,
    show_default="any",
    help="What NAME is, where two kinds share it.",
)
@options.json_option
def command(name: str, kind: Kind | None, as_json: bool) -> None:
    """Show what a plugin does, its parameters and its paper.

    NAME is a name that `clipbench list` shows, module:object, or the path of a .py file.
    """
    found = {item: registry.describe(cls) for item, cls in _find(name, kind).items()}
    if as_json:
        print_json([{"kind": item, "name": name, **text.to_json()} for item, text in found.items()])
    else:
        print_result("\n\n".join(_text(item, name, text) for item, text in found.items()))


def _find(name: str, kind: Kind | None) -> dict[Kind, type]:
    """Return the classes of that name by kind; a name may be a plugin of several kinds."""
    if kind is not None:
        return {kind: registry.load(kind, name)}
    named: list[Kind] = [item for item in KINDS if name in registry.names(item)]
    if named:
        return {item: registry.load(item, name) for item in named}
    if ":" not in name and not name.endswith(".py"):
        raise UnknownName("plugin", name, {n for item in KINDS for n in registry.names(item)})
    found: dict[Kind, type] = {}
    problems: list[BadInput] = []
    for item in KINDS:
        try:
            found[item] = registry.load(item, name)
        except BadInput as error:
            problems.append(error)
    if not found:
        raise problems[0]
    if len(found) > 1:
        found.pop("metric", None)  # of which nothing is asked, so that anything could be one
    return found


def _without_markup(text: registry.Description) -> registry.Description:
    """Return the text without the backticks of reStructuredText, which terminals do not render."""
    parameters = (
        dataclasses.replace(item, meaning=item.meaning.replace("``", ""))
        for item in text.parameters
    )
    return dataclasses.replace(
        text,
        title=text.title.replace("``", ""),
        paper=text.paper.replace("``", ""),
        notes=tuple(note.replace("``", "") for note in text.notes),
        parameters=tuple(parameters),
    )


def _text(kind: str, name: str, text: registry.Description) -> str:
    text = _without_markup(text)
    parts = [f"{registry.short_name(name)} ({kind})", textwrap.fill(text.title, WIDTH)]
    parts += [textwrap.fill(part, WIDTH) for part in (text.paper, *text.notes) if part]
    if not text.parameters:
        return "\n\n".join([*parts, "No parameters."])
    head = ("parameter", "type", "default", "meaning")
    rows = [
        (item.name, item.type, "required" if item.default is None else item.default, item.meaning)
        for item in text.parameters
    ]
    return "\n\n".join([*parts, columns([head, *rows], WIDTH)])
