"""What comes with the package beside its code: named configurations, examples, published rows.

Configurations are always in the package. Examples lie in ``docs/examples`` and published rows in
``results``; the wheel carries a copy of both, and in a clone they are read from where they lie.
"""

from __future__ import annotations

import ast
import keyword
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from clipbench.errors import BadSetting, MissingData, UnknownName

_PACKAGE = Path(__file__).parents[1]
_CLONE = _PACKAGE.parents[1]
CONFIGS = _PACKAGE / "configs"
RECIPES = _PACKAGE / "recipes"
BASELINE = _PACKAGE / "check" / "shapes.yaml"
PUBLISHED = ("shapes", "rates")
_GRID = "grid.yaml"
SCRIPTS = "scripts"  # examples that are run, in a folder of the others
# The example that stands for a kind of plugin.
KINDS: Mapping[str, str] = {
    "attack": "solid_patch",
    "defense": "random_subset",
    "dataset": "tiny_folder",
    "metric": "worst_class",
}


@dataclass(frozen=True)
class Example:
    """A file to start one's own from.

    Args:
        name: what it is asked for by.
        title: what it is, in one sentence; may be empty.
        path: where it lies.
    """

    name: str
    title: str
    path: Path


def configurations() -> dict[str, Path]:
    """Return the configurations that have a name, and their files."""
    found = {file.stem: file for file in CONFIGS.glob("*.yaml")}
    grids = {f"{name}_grid": _published(name) / _GRID for name in PUBLISHED}
    found |= {name: file for name, file in grids.items() if file.is_file()}
    return dict(sorted({**found, "baseline": BASELINE}.items()))


def recipes() -> dict[str, Path]:
    """Return the published protocols that ``--recipe`` names, and their files."""
    return {file.stem: file for file in sorted(RECIPES.glob("*.yaml"))}


def configuration(path: Path) -> Path:
    """Return the file that ``--config`` or another option for a YAML file means.

    A file that is there is meant, whatever its name; what looks like no path is a name.

    Args:
        path: as a person typed it.

    Raises:
        UnknownName: it is neither a file nor a name.
        MissingData: it is a path, and no file is there.
    """
    if path.is_file():
        return path
    known = configurations()
    if path.name == str(path) and not path.suffix:
        if path.name not in known:
            raise UnknownName("configuration", path.name, known)
        return known[path.name]
    bundled = f" `{path.stem}` alone names the one that comes with clipbench."
    raise MissingData(
        f"There is no configuration file {path.absolute()}.{bundled if path.stem in known else ''}"
    )


def examples() -> dict[str, Example]:
    """Return the example plugins, scripts and named configurations, by name."""
    folder = _beside("examples", "docs/examples")
    files = {file.stem: file for file in folder.glob("*.py")}
    files |= {file.stem: file for file in folder.joinpath(SCRIPTS).glob("*.py")}
    # The folder is the name where the file must have that of a plugin that is there already.
    files |= {
        file.parent.name: file for file in folder.glob("*/*.py") if file.parent.name != SCRIPTS
    }
    found = [Example(name, _docstring(file), file) for name, file in sorted(files.items())]
    found += [Example(name, comment(file), file) for name, file in configurations().items()]
    return {example.name: example for example in found}


def example(name: str) -> Example:
    """Return an example by its name, or the one that stands for a kind of plugin.

    Raises:
        UnknownName: there is none.
    """
    known = examples()
    found = known.get(KINDS.get(name, name))
    if found is None:
        raise UnknownName("example", name, [*KINDS, *known])
    return found


def starting_file(kind: str, name: str) -> str:
    """Return the file of a new plugin: the example of its kind, under another name.

    Args:
        kind: one of `KINDS`.
        name: the plugin's name, which is that of its file; lower case, with underscores.

    Raises:
        BadSetting: the name is no identifier, or the file needs it for something else.
    """
    if not re.fullmatch(r"[a-z][a-z0-9_]*", name) or keyword.iskeyword(name):
        raise BadSetting(
            f"The name of a plugin has lower-case letters, digits and underscores, like my_{kind}."
            f" Got {name!r}."
        )
    example = KINDS[kind]
    text = _beside("examples", "docs/examples").joinpath(f"{example}.py").read_text("utf-8")
    if {_camel(name), f"{_camel(name)}Run"} & {*re.findall(r"\w+", text)}:
        raise BadSetting(f"A class of {name}.py would hide another one; choose another name.")
    text = text.replace(example, name).replace(_camel(example), _camel(name))
    text = text.replace(_title(example), _title(name))
    head = (
        f"# Written by `clipbench new {kind} {name}`; it works as it is.\n"
        "# Change, from the top: the text above, which `clipbench describe` shows; the\n"
        "# parameters; and what the methods do."
    )
    return re.sub(r"# ruff: noqa[^(]*\(what ([^)]*)\)\n", rf"{head}\n# What \1.\n", text, count=1)


def _camel(name: str) -> str:
    return "".join(part.capitalize() for part in name.split("_"))


def _title(name: str) -> str:
    return name.replace("_", " ").capitalize()


def published_rows(name: str) -> Path:
    """Return the folder of the published rows of a grid, one of `PUBLISHED`.

    Raises:
        MissingData: this installation has none.
    """
    folder = _published(name) / "rows"
    if not folder.is_dir():
        raise MissingData(f"This installation has no published rows of {name}.")
    return folder


def _published(name: str) -> Path:
    return _beside(f"published/{name}", f"results/{name}")


def _beside(installed: str, cloned: str) -> Path:
    """Return where files lie that the wheel copies into the package."""
    inside = _PACKAGE / installed
    return inside if inside.is_dir() else _CLONE / cloned


def _docstring(file: Path) -> str:
    """Return the first line of a Python file's docstring, read and not run."""
    text = ast.get_docstring(ast.parse(file.read_text(encoding="utf-8"))) or ""
    return text.partition("\n")[0]


def comment(file: Path) -> str:
    """Return the first sentence of the comment that a YAML file begins with; empty without one."""
    words: list[str] = []
    for line in file.read_text(encoding="utf-8").splitlines():
        if not line.startswith("#"):
            break
        words += line.removeprefix("#").split()
    sentence, stop, _ = " ".join(words).partition(". ")
    return sentence + stop.strip()
