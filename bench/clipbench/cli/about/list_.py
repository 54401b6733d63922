"""``clipbench list``: what there is to choose from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, TypedDict

import click

from clipbench.api.work import reporter_for
from clipbench.cli import _options as options
from clipbench.cli._output import columns, print_json, print_result
from clipbench.files import bundled
from clipbench.plugins import registry
from clipbench.plugins.find import Kind
from clipbench.text.visible import visible

PLURALS: Mapping[str, Kind] = {
    "attacks": "attack",
    "defenses": "defense",
    "datasets": "dataset",
    "metrics": "metric",
}
MODELS = "models"
CONFIGS, EXAMPLES, RECIPES = "configs", "examples", "recipes"


if TYPE_CHECKING:
    _Choice = click.Choice[str]
else:
    _Choice = click.Choice  # generic from click 8.2 on


class _Kind(_Choice):
    """The kinds of plugins; as people write them, too."""

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> str:
        """Return the kind; British spelling is accepted."""
        american = "defenses" if value == "defences" else value  # codespell:ignore
        return super().convert(american, param, ctx)


@click.command("list", cls=options.Command)
@click.argument("kind", required=False, type=_Kind([*PLURALS, MODELS, CONFIGS, EXAMPLES, RECIPES]))
@options.json_option
def command(kind: str | None, as_json: bool) -> None:
    """List plugins, models, recipes, configurations, examples.

    Without KIND, lists attacks, defenses, data sets and metrics. models: all models, of which
    open_clip has many; configs: configurations for --config; recipes: published protocols for
    --recipe; examples: files for `clipbench example`. A plugin that cannot be used is a warning.
    """
    found: dict[str, Sequence[str] | Sequence[_Listed]] = {}
    with reporter_for(quiet=False) as reporter:
        for plural, single in PLURALS.items():
            if kind in (None, plural):
                listed = registry.survey(single)
                found[plural] = [_entry(item, item.cls) for item in listed if item.cls]
                for item in listed:
                    if item.problem:
                        reporter.warning(item.problem)
    if kind == MODELS:
        from clipbench.models.openclip import model_names  # noqa: PLC0415 - heavy

        found[MODELS] = model_names()
    if kind in (CONFIGS, EXAMPLES):
        found[kind] = _bundled(kind)
    if kind == RECIPES:
        recipes = bundled.recipes().items()
        found[kind] = [_Listed(name=n, title=bundled.comment(p), origin=str(p)) for n, p in recipes]
    if as_json:
        print_json(found)
    elif kind is not None:
        print_result(_text(found[kind]))
    else:
        blocks = [f"{plural}\n{_text(items)}" for plural, items in found.items() if items]
        print_result("\n\n".join(blocks))


class _Listed(TypedDict):
    """What stands in a list of plugins, files or recipes."""

    name: str
    title: str
    origin: str


class _Plugin(_Listed):
    parameters: list[str]


def _entry(item: registry.Listed, cls: type) -> _Plugin:
    text = registry.describe(cls)
    names = [parameter.name for parameter in text.parameters]
    return {"name": item.name, "title": text.title, "origin": item.origin, "parameters": names}


def _bundled(kind: str) -> list[_Listed]:
    """Return the files of a kind that come with clipbench."""
    configs = bundled.configurations()
    return [
        {"name": item.name, "title": item.title, "origin": str(item.path)}
        for item in bundled.examples().values()
        if (item.name in configs) == (kind == CONFIGS)
    ]


def _text(items: Sequence[str] | Sequence[_Listed]) -> str:
    names = [visible(item) for item in items if isinstance(item, str)]
    rows = [("  " + item["name"], item["title"]) for item in items if not isinstance(item, str)]
    return "\n".join(names) or (columns(rows) if rows else "none")
