"""The registry: plugins from everywhere, found by name and built from text."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from clipbench.configuration.naming import registered_only
from clipbench.errors import BadInput, BadSetting, MissingData, PluginFault, UnknownName
from clipbench.plugins import registry
from clipbench.plugins.part import Part

DEFENSE = '''"""Mine: a defense that trains on everything.

Somebody. A Paper. Venue 2024. https://example.org/paper

Differs from the paper: it is shorter.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from clipbench.errors import BadSetting


@dataclass(frozen=True)
class Mine:
    """Train on everything.

    Args:
        strength: how strong,
            over two lines.
        mode: which way.
        sizes: some sizes.
        pool: how many; none: all.
    """

    strength: float = 0.5
    mode: Literal["fast", "slow"] = "fast"
    sizes: tuple[int, ...] = (1, 2)
    pool: int | None = None
    loud: bool = False

    def __post_init__(self) -> None:
        if self.strength < 0:
            raise BadSetting(f"mine.strength must be at least 0. Got {self.strength}.")
        if self.strength > 9:
            raise ValueError("far too strong")

    def start(self, facts):
        return facts


DEFENSE = Mine
'''


@pytest.fixture
def plugin(tmp_path: Path) -> Path:
    """A third-party defense in a file of its own."""
    file = tmp_path / "mine.py"
    file.write_text(DEFENSE)
    return file


def install(site: Path, name: str, module: str, code: str, points: dict[str, str]) -> None:
    """Put a package as pip would into `site`: a module, and a dist-info with entry points."""
    (site / f"{module}.py").write_text(code)
    info = site / f"{name}-1.2.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.2\n")
    lines = [f"[{group}]\n{point}" for group, point in points.items()]
    (info / "entry_points.txt").write_text("\n".join(lines) + "\n")


def test_a_file_is_a_plugin(plugin: Path) -> None:
    """A path with parameters builds the plugin that the file ends with."""
    built = registry.build("defense", f"{plugin}:strength=2,mode=slow,sizes=(3,4),pool=none")
    assert registry.spec_of(built) == {
        "strength": 2.0,
        "mode": "slow",
        "sizes": [3, 4],
        "pool": None,
        "loud": False,
    }


def test_an_edited_file_is_loaded_anew_and_an_unchanged_one_is_not(
    plugin: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The class of a file is the same object until the file changes, be it within a second.

    Python itself keeps compiled code by size and whole seconds, where it may write it.
    """
    monkeypatch.setattr(sys, "dont_write_bytecode", False)
    first = registry.load("defense", str(plugin))
    assert registry.load("defense", str(plugin)) is first
    plugin.write_text(DEFENSE.replace("0.5", "0.7"))
    assert registry.load("defense", str(plugin))().strength == 0.7


def test_module_and_object_is_a_plugin(
    plugin: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """``module:object`` with parameters builds that object."""
    plugin.rename(tmp_path / "clipbench_test_module.py")
    monkeypatch.syspath_prepend(tmp_path)
    built = registry.build("defense", "clipbench_test_module:Mine:strength=3")
    assert built.strength == 3.0


def test_installed_packages_are_found_by_entry_point(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An installed package's entry point is listed, without import, and built by its name."""
    install(tmp_path, "other", "other_mine", DEFENSE, {"clipbench.defenses": "m = other_mine:Mine"})
    monkeypatch.syspath_prepend(tmp_path)
    assert "m" in registry.names("defense")
    assert "other_mine" not in sys.modules
    assert registry.build("defense", "m:loud=yes").loud is True


def test_a_broken_package_is_reported_with_its_name_and_harms_no_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What fails to import is named with distribution and reason; the others are still there."""
    points = {"clipbench.defenses": "bad = other_bad:Bad"}
    install(tmp_path, "broken-dist", "other_bad", "raise RuntimeError('no\\nluck')", points)
    monkeypatch.syspath_prepend(tmp_path)
    listed = {item.name: item for item in registry.survey("defense")}
    assert listed["bad"].cls is None
    assert "broken-dist 1.2" in listed["bad"].problem
    assert "RuntimeError: no luck" in listed["bad"].problem
    assert listed["none"].cls is not None
    with pytest.raises(BadInput, match=r"broken-dist 1\.2"):
        registry.load("defense", "bad")


def test_two_plugins_of_one_name_are_refused_by_both_names(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A name that two packages claim is refused, and the message names both."""
    for name in ("first", "second"):
        points = {"clipbench.defenses": f"same = {name}_mine:Mine"}
        install(tmp_path, name, f"{name}_mine", DEFENSE, points)
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(BadInput, match=r"first 1\.2.* and second 1\.2"):
        registry.load("defense", "same")
    listed = {item.name: item.problem for item in registry.survey("defense")}
    assert "Two plugins" in listed["same"]


@pytest.mark.parametrize("name", ["mine.py", "mine:DEFENSE", "none"])
def test_names_from_strangers_load_registered_plugins_alone(
    name: str, plugin: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Within `registered_only` a file and ``module:object`` are refused, and never run."""
    plugin.write_text(f"{DEFENSE}\nraise SystemExit('it ran')")
    monkeypatch.chdir(plugin.parent)
    monkeypatch.syspath_prepend(str(plugin.parent))
    with registered_only():
        if name == "none":
            registry.build("defense", name)
        else:
            with pytest.raises(BadSetting, match=r"names 'mine.*--allow mine"):
                registry.build("defense", name)
            with pytest.raises(UnknownName):
                registry.load("defense", name)
    with pytest.raises(BadInput, match="it ran"):
        registry.load("defense", "mine.py")


def test_no_parameter_of_a_stranger_loads_a_file(tmp_path: Path) -> None:
    """A plugin that is named by a parameter of a registered one is held to the same rule."""
    evil = tmp_path / "evil.py"
    evil.write_text(f"open({str(tmp_path / 'ran')!r}, 'w')\n")
    with registered_only(), pytest.raises(BadSetting, match=r"triggers names .*evil\.py"):
        registry.build("attack", {"name": "multi_trigger", "triggers": [str(evil)]})
    assert not (tmp_path / "ran").exists()


def test_metrics_are_found_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The group of metrics works as the others do."""
    code = "import dataclasses\n@dataclasses.dataclass\nclass Score:\n    k: int = 1\n"
    code += "    def measure(self, measured):\n        return {}\n"
    install(tmp_path, "scores", "other_score", code, {"clipbench.metrics": "s = other_score:Score"})
    monkeypatch.syspath_prepend(tmp_path)
    assert registry.build("metric", "s:k=3").k == 3


def test_built_in_plugins_are_the_files_of_their_packages() -> None:
    """The names are those of the files; what begins with an underscore is no plugin."""
    assert {"none"} <= set(registry.names("attack"))
    assert {"none", "clip"} <= set(registry.names("defense"))
    assert {"shapes"} <= set(registry.names("dataset"))
    assert not [name for name in registry.names("attack") if name.startswith("_")]


def test_names_import_no_plugin() -> None:
    """Listing names imports neither a plugin package nor anything heavy."""
    code = (
        "import sys; from clipbench.plugins import registry; registry.names('attack');"
        "print([m for m in sys.modules if m.startswith('clipbench_') or m in ('numpy', 'torch')])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize(
    ("text", "kind", "part"),
    [
        ("nome", UnknownName, "Unknown defense 'nome'. Did you mean 'none'?"),
        ("no/such/file.py", MissingData, "no/such/file.py"),
        ("no_such_module_x:Thing", BadInput, "No module named 'no_such_module_x'"),
        ("clipbench.errors:NoSuch", BadInput, "has no NoSuch"),
        ("clipbench.errors:BadInput", BadInput, "must be a dataclass"),
        ("clipbench.contracts:Pair", BadInput, "lacks start"),
    ],
)
def test_what_cannot_be_loaded_says_why(text: str, kind: type[BadInput], part: str) -> None:
    """Asking for what is not there, or is no plugin, is an error that says what is wrong."""
    with pytest.raises(kind) as caught:
        registry.load("defense", text)
    assert part in str(caught.value)


@pytest.mark.parametrize(
    ("code", "part"),
    [
        ("def broken(:", "SyntaxError"),
        ("import sys; sys.exit('bye')", "SystemExit: bye"),
        ("X = 1", "end the file with a line like `DEFENSE = ClassName`"),
        (DEFENSE.replace("    loud:", "    name: str = ''\n    loud:"), "parameter 'name'"),
    ],
)
def test_a_file_that_is_no_plugin_says_why(tmp_path: Path, code: str, part: str) -> None:
    """A file that cannot be a plugin is refused in one sentence, and leaves no module behind."""
    file = tmp_path / "odd_one.py"
    file.write_text(code)
    before = set(sys.modules)
    with pytest.raises(BadInput) as caught:
        registry.load("defense", str(file))
    assert part in str(caught.value)
    if "SyntaxError" in part or "SystemExit" in part:
        assert not [name for name in set(sys.modules) - before if "odd_one" in name]


@pytest.mark.parametrize(
    ("parameters", "kind", "message"),
    [
        ("strenght=1", UnknownName, "Did you mean 'strength'?"),
        ("strength=x", BadSetting, "mine.strength must be float. Got 'x'."),
        ("mode=medium", BadSetting, "mine.mode must be 'fast' | 'slow'. Got 'medium'."),
        ("pool=many", BadSetting, "mine.pool must be int | none. Got 'many'."),
        ("strength=-1", BadSetting, "mine.strength must be at least 0. Got -1.0."),
        ("strength=99", BadSetting, "The defense 'mine' refuses its parameters: far too strong."),
    ],
)
def test_bad_parameters_are_named(
    plugin: Path, parameters: str, kind: type[BadInput], message: str
) -> None:
    """A wrong parameter is refused with plugin, field, and what is allowed."""
    with pytest.raises(kind) as caught:
        registry.build("defense", f"{plugin}:{parameters}")
    assert message in str(caught.value)


def test_a_parameter_without_default_must_be_given(tmp_path: Path) -> None:
    """A plugin whose parameter has no default says so instead of failing inside."""
    file = tmp_path / "strict.py"
    file.write_text(DEFENSE.replace("strength: float = 0.5", "strength: float"))
    with pytest.raises(BadSetting, match=r"strict\.strength must be given"):
        registry.build("defense", str(file))
    assert registry.build("defense", {"name": str(file), "strength": 1}).strength == 1.0
    assert registry.required(registry.load("defense", str(file))) == ["strength"]


def test_defaults_are_those_of_what_need_not_be_given(tmp_path: Path) -> None:
    """A parameter that must be set has no default; the others have theirs all the same."""
    file = tmp_path / "strict.py"
    file.write_text(DEFENSE)
    every = registry.defaults("defense", str(file))
    assert every is not None
    assert every["strength"] == 0.5
    file.write_text(DEFENSE.replace("strength: float = 0.5", "strength: float"))
    others = registry.defaults("defense", str(file))
    assert others == {key: value for key, value in every.items() if key != "strength"}
    assert registry.defaults("defense", "nothing-of-this-name") is None


def test_recipes_fill_what_the_spec_leaves_open(plugin: Path) -> None:
    """Fallback parameters apply where the spec sets none, and are checked like any."""
    fallback = {"strength": 2, "mode": "slow"}
    built = registry.build("defense", f"{plugin}:mode=fast", fallback)
    assert (built.strength, built.mode) == (2.0, "fast")
    with pytest.raises(UnknownName, match="strange"):
        registry.build("defense", str(plugin), {"strange": 1})


def test_resolved_specs_build_the_same_plugin(plugin: Path) -> None:
    """A resolved spec holds every parameter and gives the same plugin back."""
    resolved = Part[Any].of("defense", f"{plugin}:sizes=(5,)").to_json()
    assert resolved["name"] == str(plugin)
    assert resolved["sizes"] == [5]
    assert registry.build("defense", resolved) == registry.build("defense", f"{plugin}:sizes=(5,)")


@pytest.mark.parametrize(
    ("name", "shown"), [("targeted", "targeted"), ("a/b/mine.py", "mine"), ("a.b:Mine", "Mine")]
)
def test_short_names(name: str, shown: str) -> None:
    """Tables show a file by its stem and an object by its name."""
    assert registry.short_name(name) == shown


def test_only_files_have_a_hash_of_their_code(plugin: Path) -> None:
    """The hash of a plugin file follows its content; plugins of packages have none."""
    before = registry.code_sha256(str(plugin))
    plugin.write_text(DEFENSE + "\n")
    assert None not in (before, registry.code_sha256(str(plugin)))
    assert before != registry.code_sha256(str(plugin))
    assert registry.code_sha256("none") is None


def test_descriptions_come_from_the_docstrings(plugin: Path) -> None:
    """Title, paper, notes and the meaning of each parameter are read from the file."""
    text = registry.describe(registry.load("defense", str(plugin)))
    assert text.title == "Mine: a defense that trains on everything."
    assert text.paper == "Somebody. A Paper. Venue 2024. https://example.org/paper"
    assert text.notes == ("Differs from the paper: it is shorter.",)
    shown: list[tuple[Any, ...]] = [
        (item.name, item.type, item.default, item.meaning) for item in text.parameters
    ]
    assert shown == [
        ("strength", "float", "0.5", "how strong, over two lines."),
        ("mode", "'fast' | 'slow'", "fast", "which way."),
        ("sizes", "tuple[int, ...]", "(1, 2)", "some sizes."),
        ("pool", "int | none", "none", "how many; none: all."),
        ("loud", "bool", "false", ""),
    ]


def test_a_class_without_docstrings_is_described_by_its_fields(tmp_path: Path) -> None:
    """Where nothing is written, nothing is made up: dataclass's own docstring is left out."""
    file = tmp_path / "bare.py"
    file.write_text(
        "from dataclasses import dataclass, field\n@dataclass\nclass Bare:\n"
        "    sizes: list = field(default_factory=lambda: [1])\n    n: int = 1\n"
        "    def start(self, facts): ...\nDEFENSE = Bare\n"
    )
    text = registry.describe(registry.load("defense", str(file)))
    assert (text.title, text.paper, text.notes) == ("", "", ())
    assert [item.default for item in text.parameters] == ["[1]", "1"]


@pytest.mark.parametrize(
    ("made", "typed", "parsed"),
    [
        ("crawl/", "crawl", ("shards", "crawl")),
        ("00000.tar", "00000.tar", ("shards", "00000.tar")),
        ("pairs.csv", "pairs.csv", ("csv", "pairs.csv")),
        ("pairs.TSV", "./pairs.TSV", ("csv", "./pairs.TSV")),
        ("gone/", "./shapes", ("shards", "./shapes")),
        ("crawl/", "crawl::crawl/../crawl", ("shards", "crawl::crawl/../crawl")),
    ],
)
def test_a_data_set_may_be_the_name_of_what_is_there(
    made: str,
    typed: str,
    parsed: tuple[str, str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A folder beside one is a path without a slash, too, or several; a table is read as one."""
    monkeypatch.chdir(tmp_path)
    Path(made).mkdir() if made.endswith("/") else Path(made).touch()
    found = registry.parse("dataset", typed)
    assert (found.name, found.parameters["path"]) == parsed


def test_the_name_of_a_data_set_goes_before_a_folder_of_that_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a command means does not change with what lies in the folder it is typed in."""
    monkeypatch.chdir(tmp_path)
    Path("shapes").mkdir()
    assert registry.parse("dataset", "shapes").name == "shapes"
    Path("safeclip").mkdir()
    assert registry.parse("defense", "safeclip").name == "safeclip"
    with pytest.raises(UnknownName):
        registry.load("dataset", "nothing_of_that_name")


@pytest.mark.parametrize(
    ("right", "wrong", "words"),
    [
        ("    loud: bool = False", "    loud = False", "write loud: bool = False, or, for a const"),
        ("    loud: bool = False", "    WORDS = (1, 2)", ""),
        ("    loud: bool = False", "    trusted_size = 5", ""),
        ("    loud: bool = False", "    loud: ClassVar[bool] = False", ""),
        ("@dataclass(frozen=True)\n", "", r"add @dataclass\(frozen=True\) above class Mine"),
        ("DEFENSE = Mine\n", "DEFENSE = 3\n", "it is 3; end the file with the name of a class"),
    ],
)
def test_a_class_that_is_nearly_a_plugin_is_told_what_to_write(
    tmp_path: Path, right: str, wrong: str, words: str
) -> None:
    """A value without a type would be no parameter; constants and fixed answers are none, too."""
    text = DEFENSE.replace(right, wrong).replace("import Literal", "import ClassVar, Literal")
    assert text != DEFENSE
    file = tmp_path / "mine.py"
    file.write_text(text)
    if not words:
        assert registry.load("defense", str(file)).__name__ == "Mine"
        return
    with pytest.raises(BadInput, match=words):
        registry.load("defense", str(file))


def test_an_error_in_the_checks_of_a_plugin_names_its_line(tmp_path: Path) -> None:
    """What is neither a refusal nor a wrong value is a mistake of the plugin."""
    file = tmp_path / "mine.py"
    file.write_text(DEFENSE.replace("if self.strength < 0:", "if self.strenght < 0:"))
    with pytest.raises(
        PluginFault, match=r"mine\.py:35, __post_init__ of defense mine: Attribu"
    ) as told:
        registry.build("defense", str(file))
    assert told.value.exit_status == 2


def test_a_declared_range_needs_no_code_in_the_plugin(tmp_path: Path) -> None:
    """A plain dataclass that derives from nothing is checked where it is named."""
    path = tmp_path / "ranged.py"
    path.write_text(
        "from dataclasses import dataclass\n"
        "from typing import Annotated\n"
        "from clipbench.contracts import Ge\n"
        "@dataclass(frozen=True)\n"
        "class Ranged:\n"
        "    words: Annotated[int, Ge(1)] = 3\n"
        "    def start(self, facts): ...\n"
        "DEFENSE = Ranged\n",
        encoding="utf-8",
    )
    with pytest.raises(BadSetting, match=r"ranged.words must be at least 1. Got 0\."):
        registry.build("defense", f"{path}:words=0")
