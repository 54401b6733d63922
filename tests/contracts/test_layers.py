"""The import rule is the threat model: who may import whom, and what lies where."""

import ast
import re
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

from clipbench.checkpoints.fingerprint import ROOMS

ROOT = Path(__file__).parents[2]
ROOTS = {"bench": "clipbench", "attacks": "clipbench_attacks", "defenses": "clipbench_defenses"} | {
    "datasets": "clipbench_datasets"
}
PLUGINS = ("clipbench_attacks", "clipbench_defenses", "clipbench_datasets")
TRAINS = ("checkpoints", "loading", "parallel", "toolkit", "training")
KNOW_THE_POISON = tuple(
    f"clipbench.{room}" for room in ("poisoning", "verification", "evaluation", "pipeline")
)


def imports(path: Path) -> set[str]:
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return found


def modules(folder: str) -> list[Path]:
    files = sorted((ROOT / folder).rglob("*.py"))
    assert files, f"no modules under {folder}"
    return files


@pytest.mark.parametrize("root", ROOTS)
def test_no_module_lies_directly_in_a_root(root: str) -> None:
    """Nothing is importable under the bare names bench, attacks, defenses or datasets."""
    assert list((ROOT / root).glob("*.py")) == []
    assert [item.name for item in (ROOT / root).iterdir() if item.is_dir()] == [ROOTS[root]]


@pytest.mark.parametrize("path", modules("bench"), ids=lambda path: path.stem)
def test_the_core_imports_no_plugin_package(path: Path) -> None:
    """The core finds plugins by name; it imports none."""
    assert not [name for name in imports(path) if name.startswith(PLUGINS)]


@pytest.mark.parametrize(
    ("root", "package"), [item for item in ROOTS.items() if item[0] != "bench"]
)
def test_plugin_packages_do_not_import_each_other(root: str, package: str) -> None:
    """A defense cannot look into an attack, nor an attack into a defense."""
    others = tuple(name for name in PLUGINS if name != package)
    assert not [name for path in modules(root) for name in imports(path) if name.startswith(others)]


@pytest.mark.parametrize("folder", [*(f"bench/clipbench/{room}" for room in TRAINS), "defenses"])
def test_what_trains_cannot_read_what_was_poisoned(folder: str) -> None:
    """Training and defenses import no room that poisons, looks at poison or measures success."""
    for path in modules(folder):
        assert not [name for name in imports(path) if name.startswith(KNOW_THE_POISON)], path


def test_nothing_that_a_training_runs_knows_the_poison() -> None:
    """Not by way of any other room, either; and a shared stage is known by all of this code."""
    reached = {name.split(".")[1] for name in closure("clipbench.training.session") if "." in name}
    assert not reached & {room.split(".")[1] for room in KNOW_THE_POISON}
    assert reached - {"errors", "rng"} == {*ROOMS}


def arrows() -> dict[str, set[str]]:
    """Return the rooms that each room imports."""
    into: dict[str, set[str]] = {}
    for path in modules("bench"):
        room = path.relative_to(ROOT / "bench" / "clipbench").parts[0].removesuffix(".py")
        names = {name.split(".")[1] for name in imports(path) if name.startswith("clipbench.")}
        into.setdefault(room, set()).update(names - {room})
    return into


def test_rooms_import_downwards_alone() -> None:
    """No room imports one that imports it, by whatever way: there is an order in which to read."""
    assert [*TopologicalSorter(arrows()).static_order()]


def rooms() -> dict[str, str]:
    """Return each room with the first line of its docstring."""
    found = {}
    for path in sorted((ROOT / "bench" / "clipbench").glob("*/__init__.py")):
        text = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8")))
        assert text, path
        found[path.parent.name] = text.splitlines()[0]
    return found


def test_the_architecture_page_describes_every_room_as_its_docstring_does() -> None:
    """The table of docs/architecture.md is what the packages say of themselves."""
    page = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    path = "../bench/clipbench"
    rows = [f"| [`{room}`]({path}/{room}) | {line} |" for room, line in rooms().items()]
    table = "\n".join(["| room | what is in it |", "| --- | --- |", *rows, ""])
    assert table in page, f"The table should be:\n{table}"


def test_the_architecture_page_draws_every_room_above_what_it_imports() -> None:
    """In its drawing no room stands below one that it imports."""
    page = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    drawing = page.partition("```text\n")[2].partition("```")[0]
    floors = [re.findall(r"\w+", line.partition("|")[2]) for line in drawing.splitlines()]
    floor = {room: number for number, names in enumerate(floors) for room in names}
    assert set(rooms()) | {"errors", "rng"} <= floor.keys()
    upwards = [
        f"{room} -> {other}"
        for room, others in arrows().items()
        for other in others & floor.keys()
        if room in floor and floor[other] < floor[room]
    ]
    assert upwards == []


def test_no_room_holds_more_than_fifteen_files() -> None:
    """Nothing lies loose beside the rooms but errors and random numbers."""
    package = ROOT / "bench" / "clipbench"
    assert {path.stem for path in package.glob("*.py")} == {"__init__", "__main__", "errors", "rng"}
    folders = {path.parent for path in modules("bench")} - {package}
    assert [folder.name for folder in folders if len([*folder.glob("*.py")]) > 15] == []


def test_no_module_is_longer_than_one_reads() -> None:
    """What is longer holds two things."""
    long = [
        path.name
        for root in ROOTS
        for path in modules(root)
        if len(path.read_text(encoding="utf-8").splitlines()) > 350
    ]
    assert long == []


def closure(start: str) -> set[str]:
    """Return all modules of the core that one imports, at once or inside its functions."""
    root = ROOT / "bench"
    known = {
        ".".join(path.relative_to(root).with_suffix("").parts).removesuffix(".__init__"): path
        for path in modules("bench")
    }
    reached: set[str] = set()
    ahead = [start]
    while ahead:
        if (name := ahead.pop()) in known and name not in reached:
            reached.add(name)
            ahead += imports(known[name])
    return reached


# Methods of plugins, and who may call them otherwise than through `clipbench.boundary`.
OF_PLUGINS = {"poison", "probes", "trigger", "crafted", "num_targets", "phases", "measure"} | {
    "evaluation",
    "targets",
    "recipe",
    "prepare",
    "synonyms",
    "with_pairs",
}
SAME_NAMES = {
    "parts": "`Parts.probes` is of the core, and calls through the boundary",
    "triggers": "pictures of built-in attacks on built-in data",
    "defaults": "a label at most hangs on it",
}


@pytest.mark.parametrize("path", modules("bench"), ids=lambda path: path.stem)
def test_plugins_are_called_at_the_boundary_alone(path: Path) -> None:
    """What a plugin is handed and what it returns passes one place that looks at it."""
    if {"boundary", "croissant"} & {*path.parts} or path.stem in SAME_NAMES:
        return
    called = [
        f"{ast.unparse(node.func)}, line {node.lineno}"
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and node.func.attr in OF_PLUGINS
    ]
    by_hand = [
        text
        for text in called
        if not text.startswith(
            ("attacks.", "datasets.", "defenses.", "self._run.", "parts.probes", "report.measure")
        )
    ]
    assert by_hand == []
