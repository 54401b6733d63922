"""``clipbench describe``: what a plugin does, its parameters and paper, how its trigger looks."""

from __future__ import annotations

import dataclasses
import textwrap
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import click

from clipbench.cli import _options as options
from clipbench.cli import _requests as requests
from clipbench.cli._output import columns, print_json, print_result
from clipbench.configuration.settings import TrainSettings
from clipbench.errors import BadInput, BadSetting, ClipbenchError, MissingData, UnknownName
from clipbench.files import bundled
from clipbench.files.named_files import check_picture
from clipbench.plugins import registry
from clipbench.plugins.find import KINDS, Kind
from clipbench.plugins.used import check_used
from clipbench.text.visible import visible

if TYPE_CHECKING:
    from clipbench.contracts import Image

WIDTH = 100
RECIPE_WIDTH = 160
SHOWN = 4  # images of a data set on a contact sheet
MEANINGS = {
    "psnr": "triggered against clean, dB; higher is harder to see",
    "ssim": "structural similarity of triggered and clean; 1: equal",
    "changed": "share of pixels the trigger changes",
    "jpeg_psnr": "triggered against itself after JPEG, dB",
    "jpeg_kept": "share of the trigger's difference that JPEG leaves",
    "visible": "share of the changed pixels inside a random crop, on average",
    "cut_off": "share of random crops with less than half of the changed pixels",
}


@click.command("describe", cls=options.Command)
@click.argument("name")
@options.option(
    "--kind",
    type=click.Choice([*KINDS, "recipe"]),
    envvar=None,
    show_default="any",
    help="Kind of NAME, if two kinds share it.",
)
@options.option(
    "--show",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE.png",
    envvar=None,
    show_default="none",
    help="Draw an attack's trigger, and print how well it survives encoding and augmentation.",
)
@options.option(
    "--image",
    "files",
    type=click.Path(path_type=Path),
    multiple=True,
    metavar="FILE",
    envvar=None,
    show_default="test images of --data",
    help="With --show: put the trigger on this image. Repeatable.",
)
@options.option(
    "--check",
    is_flag=True,
    envvar=None,
    help="Check the plugin against its interface on 64 pairs; exit status 1 if a check fails.",
)
@options.option(
    "--schema",
    is_flag=True,
    envvar=None,
    help="Print the JSON schema of a file; NAME is result or reported.",
)
@options.option(
    "--markdown",
    is_flag=True,
    envvar=None,
    help="Print a recipe's table as in the documentation.",
)
@options.data_option
@options.option(
    "--quality",
    type=click.IntRange(1, 100),
    default=95,
    help="With --show: JPEG quality.",
)
@options.option(
    "--set",
    "settings",
    multiple=True,
    metavar="FIELD=VALUE",
    show_default="none",
    help="With --show: the victim's augmentation, e.g. crop_scale=0.5. Repeatable.",
)
@options.json_option
def command(
    name: str,
    kind: Kind | Literal["recipe"] | None,
    show: Path | None,
    check: bool,
    schema: bool,
    markdown: bool,
    as_json: bool,
    **other: Any,
) -> None:
    """Show a plugin's parameters and paper, a recipe, or the schema of a file.

    NAME is a name from `clipbench list`, module:object, or the path of a .py file. With --show or
    --check it may have parameters: badnets:size=0.07. A recipe is shown beside its paper and code.
    """
    if schema:
        from clipbench.results.schema import json_schema  # noqa: PLC0415

        others = ("kind", "show", "check", "files", "data", "markdown")
        requests.refuse_unused("a plugin", *others, unless=False)
        print_json(json_schema(name))
        return
    if kind == "recipe" or (kind is None and _is_recipe_alone(name)):
        requests.refuse_unused("a plugin", "show", "check", "files", "data", unless=False)
        _describe_recipe(name, as_json=as_json, markdown=markdown)
        return
    requests.refuse_unused("--kind recipe", "markdown", unless=False)
    if check:
        _check(name, kind, as_json, data=other["data"])
        return
    if show is not None:
        _show(name, show, as_json, **other)
        return
    requests.refuse_unused("--show", "files", "data", "quality", "settings", unless=False)
    kinds = _find(name, kind)
    if given := [item for item in kinds if registry.parse(item, name).parameters]:
        raise BadSetting(
            f"{name} has parameters, which change nothing of what is described; leave them out, or"
            f" try them with --check{' or --show FILE.png' if 'attack' in given else ''}."
        )
    found = {item: registry.describe(cls) for item, cls in kinds.items()}
    if as_json:
        print_json([{"kind": item, "name": name, **text.to_json()} for item, text in found.items()])
    else:
        print_result("\n\n".join(_text(item, name, text) for item, text in found.items()))


def _is_recipe_alone(name: str) -> bool:
    """Return whether a recipe and no plugin has this name."""
    return name in bundled.recipes() and not any(name in registry.names(item) for item in KINDS)


def _describe_recipe(name: str, *, as_json: bool, markdown: bool) -> None:
    """Print a published protocol: its settings beside those of paper and code."""
    from clipbench.configuration import protocol_table as table  # noqa: PLC0415 - plugins are imported
    from clipbench.configuration.protocol import recipe  # noqa: PLC0415

    found = recipe(name)
    if as_json:
        print_json([table.to_json(found)])
    elif markdown:
        print_result(table.markdown(found))
    else:
        head = f"{found.name} (recipe)\n\n{found.title}"
        sources = columns([("paper", found.paper), ("code", found.code)])
        rows = columns([table.HEAD, *table.lines(found)], RECIPE_WIDTH)
        print_result("\n\n".join([head, sources, rows]))


def _check(name: str, kind: Kind | None, as_json: bool, *, data: str) -> None:
    """Try a plugin, and print a line for each thing that it owes."""
    from clipbench import testing  # noqa: PLC0415 - heavy

    found = next(iter(_find(name, kind)))
    if registry.parse(found, name).parameters:
        check_used(found, name, registry.build(found, name))
    spec = testing.SMALL if registry.parse("dataset", data).name == "shapes" else data
    checks = testing.checks_of(found, name, data=spec)
    if as_json:
        print_json([dataclasses.asdict(check) for check in checks])
    else:
        for check in checks:
            word = "FAILED" if check.problem else "untried" if check.untried else "ok"
            why = check.problem or check.untried
            print_result(visible(f"{word:7} {check.owes}{': ' if why else ''}{why}"))
    failed = sum(bool(check.problem) for check in checks)
    if failed:
        raise ClipbenchError(f"{failed} of {len(checks)} checks of {name} failed.")


def _show(
    name: str,
    out: Path,
    as_json: bool,
    *,
    files: tuple[Path, ...],
    data: str,
    quality: int,
    settings: tuple[str, ...],
) -> None:
    """Write the contact sheet of an attack's trigger and print its measures."""
    check_picture(out)
    from clipbench.boundary import attacks  # noqa: PLC0415 - brings numpy
    from clipbench.poisoning import trigger_report as report  # noqa: PLC0415 - heavy

    attack = registry.build("attack", name)
    check_used("attack", name, attack)
    trigger = attacks.trigger(attack)
    if trigger is None:
        raise BadSetting(f"The attack {name!r} has no trigger that could be shown.")
    train = TrainSettings.from_mapping(requests.assignments(settings, "--set"))
    images = [_read(file) for file in files] if files else _test_images(data)
    pairs = report.pairs_of(trigger, images)
    measures = report.measure(pairs, train, quality).to_json()
    report.contact_sheet(pairs, train, out, f"{name}, JPEG quality {quality}", quality)
    if as_json:
        print_json({"attack": name, "images": len(pairs), "quality": quality, **measures})
        return
    rows = [
        (key, "equal" if value is None else f"{value:.3f}", MEANINGS[key])
        for key, value in measures.items()
    ]
    print_result(
        f"{columns([('measure', 'mean', 'meaning'), *rows], WIDTH)}\n\n{visible(str(out))}"
    )


def _read(file: Path) -> Image:
    from clipbench.images.encoding import decode  # noqa: PLC0415 - heavy

    try:
        return decode(file.read_bytes())
    except OSError as error:
        raise MissingData(f"{file} can't be read: {error.strerror}.") from error
    except BadInput as error:
        raise type(error)(f"{file}: {error}") from error


def _test_images(data: str) -> list[Image]:
    source = registry.build("dataset", data)
    if not hasattr(source, "evaluation"):
        raise BadSetting(f"{data} has no test images; give photographs with --image FILE.")
    from clipbench.boundary import datasets  # noqa: PLC0415 - brings numpy

    images = datasets.evaluation(source).test.images
    return [images[number] for number in range(min(SHOWN, len(images)))]


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
    if not found:  # what a file is not says nothing; what is wrong with what it is, does
        telling = [
            error for error in problems if ": end the file with a line like" not in str(error)
        ]
        raise (telling or problems)[0]
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
    parts = [visible(f"{registry.short_name(name)} ({kind})"), textwrap.fill(text.title, WIDTH)]
    parts += [textwrap.fill(part, WIDTH) for part in (text.paper, *text.notes) if part]
    if not text.parameters:
        return "\n\n".join([*parts, "No parameters."])
    head = ("parameter", "type", "default", "meaning")
    rows = [
        (
            item.name,
            item.values,
            "required" if item.default is None else item.default,
            item.meaning,
        )
        for item in text.parameters
    ]
    return "\n\n".join([*parts, columns([head, *rows], WIDTH)])
