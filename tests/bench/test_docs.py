"""What the documentation says can be followed: links, command lines, settings, examples, tests."""

from __future__ import annotations

import ast
import os
import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
import pytest
import yaml

from clipbench.check.bands import read_baseline
from clipbench.cli import cli
from clipbench.cli._options import PREFIX
from clipbench.cli._requests import request_of
from clipbench.configuration.request import combine, read_yaml
from clipbench.files import bundled
from clipbench.sweep.grid import read_grid

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
MADE = DOCS / "reference"  # by the site's build
OWN = {page for page in DOCS.rglob("*.md") if MADE not in page.parents}
STUDIES = sorted((ROOT / "results").rglob("README.md"))
ABOVE = [ROOT / name for name in ("README.md", "CONTRIBUTING.md", "SECURITY.md")]
PAGES = [*ABOVE, *sorted(OWN), *STUDIES]
EXAMPLES = sorted((DOCS / "examples").iterdir())
SHELLS = frozenset({"bash", "sh", "shell", "console"})
AFTER_COMMAND = frozenset({"|", "||", "&", "&&", ";", ">", ">>"})

_FENCE = re.compile(r"^```(\w*)[^\n]*\n(.*?)^```$", re.DOTALL | re.MULTILINE)
_LINK = re.compile(r"!?\[[^\]]*\]\(([^)\s]+)\)")
_TEST = re.compile(r"\btests/[\w/]+\.py(?:::\w+)?")
_OF_RESULTS = re.compile(r"(?<![\w/.-])results/[\w/]+\.(?:py|ya?ml|md)\b")
_VARIABLE = re.compile(rf"({PREFIX}_\w+)=(.*)", re.DOTALL)


@dataclass(frozen=True)
class Block:
    """A fenced block of a page."""

    page: Path
    language: str
    text: str


@dataclass(frozen=True)
class Line:
    """A command line of clipbench that stands in a page.

    Args:
        page: where it stands.
        variables: environment variables that stand before it.
        words: what follows the program's name.
        into: the file that its output goes into.
    """

    page: Path
    variables: tuple[tuple[str, str], ...]
    words: tuple[str, ...]
    into: str | None = None

    def __str__(self) -> str:
        return f"{self.page.name}: {' '.join(self.words)}"


def blocks_of(page: Path) -> list[Block]:
    """Return the fenced blocks of a page."""
    found = _FENCE.findall(page.read_text(encoding="utf-8"))
    return [Block(page, language, text) for language, text in found]


def command_lines(block: Block) -> Iterator[Line]:
    """Yield the command lines of clipbench in a shell block."""
    for line in block.text.replace("\\\n", " ").splitlines():
        reader = shlex.shlex(line.removeprefix("$ "), posix=True, punctuation_chars="|&;<>")
        reader.whitespace_split = True
        words = list(reader)
        cut = next((i for i, word in enumerate(words) if word in AFTER_COMMAND), len(words))
        into = words[cut + 1] if words[cut : cut + 1] == [">"] else None
        words, variables = words[:cut], []
        while words and (match := _VARIABLE.fullmatch(words[0])):
            variables.append((match[1], match[2]))
            words = words[1:]
        if words[:1] == ["torchrun"] and "-m" in words:
            words = words[words.index("-m") + 1 :]
        if words and Path(words[0]).name == "clipbench":
            yield Line(block.page, tuple(variables), tuple(words[1:]), into)


BLOCKS = [block for page in PAGES for block in blocks_of(page)]
LINES = [line for block in BLOCKS if block.language in SHELLS for line in command_lines(block)]
YAML = [block for block in BLOCKS if block.language in ("yaml", "yml")]
PYTHON = [block for block in BLOCKS if block.language in ("python", "py")]


def parsed(words: tuple[str, ...]) -> click.Context | None:
    """Return the context of a command that was parsed but not run; None where it asks for help."""
    group = click.Context(cli, info_name="clipbench", auto_envvar_prefix=PREFIX)
    command = cli.get_command(group, words[0])
    assert command is not None
    try:
        return command.make_context(words[0], list(words[1:]), parent=group)
    except click.exceptions.Exit:
        return None
    except click.BadParameter as error:
        if "does not exist" in error.message:  # a folder that an earlier line would have made
            return None
        raise


@pytest.fixture(scope="module")
def outside(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder outside the clone, with the files that lines of the pages write plugins into."""
    folder = tmp_path_factory.mktemp("outside")
    for line in LINES:
        if line.words[:1] == ("example",) and line.into:
            text = bundled.example(line.words[1]).path.read_text(encoding="utf-8")
            (folder / line.into).write_text(text, encoding="utf-8")
        if line.words[:1] == ("new",):
            kind, name = line.words[1:3]
            text = bundled.starting_file(kind, name)
            (folder / f"{name}.py").write_text(text, encoding="utf-8")
    page = (DOCS / "add_your_own.md").read_text(encoding="utf-8")
    saved = re.findall(r"Save this as `([^`]+)`:\n\n```python\n(.*?)```", page, re.DOTALL)
    assert saved
    for name, code in saved:
        (folder / name).write_text(code, encoding="utf-8")
    return folder


@pytest.fixture(autouse=True)
def at_home(monkeypatch: pytest.MonkeyPatch, outside: Path) -> None:
    """Work where a person types the commands: in no clone, with no setting of this machine."""
    monkeypatch.chdir(outside)
    for name in [name for name in os.environ if name.startswith(f"{PREFIX}_")]:
        monkeypatch.delenv(name)


def test_there_is_something_to_check() -> None:
    """The patterns of this file find what the pages are known to hold."""
    assert {line.words[0] for line in LINES if line.words} >= {
        *("run", "poison", "train", "evaluate", "verify"),
        *("leaderboard", "data", "list", "describe", "doctor"),
        *("check", "submit", "reproduce"),
    }
    assert any(line.variables for line in LINES)
    assert YAML
    assert PYTHON


@pytest.mark.parametrize("line", LINES, ids=str)
def test_command_lines_can_be_typed(line: Line, monkeypatch: pytest.MonkeyPatch) -> None:
    """Commands, options, plugins, parameters and settings of a command line exist."""
    for name, value in line.variables:
        monkeypatch.setenv(name, value)
    if not line.words or line.words[0].startswith("-"):
        assert line.words in ((), ("--help",), ("--version",))
        return
    context = parsed(line.words)
    if context is None:
        return
    known = {param.envvar for param in context.command.params if isinstance(param, click.Option)}
    assert {name for name, _ in line.variables} <= known
    if "defense" in context.params or "attack" in context.params:
        assert request_of(context).configs()


def ci_scripts(content: dict[str, Any]) -> list[str] | None:
    """Return what a file for GitHub Actions or GitLab CI runs; None if it is no such file."""
    if "jobs" in content:
        steps = [step for job in content["jobs"].values() for step in job["steps"]]
        assert all({"uses", "run"} & step.keys() for step in steps)
        return [step["run"] for step in steps if "run" in step]
    jobs = [job for job in content.values() if isinstance(job, dict) and "script" in job]
    return [line for job in jobs for line in job["script"]] if jobs else None


@pytest.mark.parametrize("block", YAML, ids=lambda block: block.page.name)
def test_yaml_can_be_given(block: Block, tmp_path: Path) -> None:
    """A YAML block is a file for ``--config``, a grid, a baseline, or a CI file with lines."""
    content = yaml.safe_load(block.text)
    scripts = ci_scripts(content)
    if scripts is not None:
        lines = list(command_lines(Block(block.page, "sh", "\n".join(scripts))))
        assert lines
        assert all(parsed(line.words) for line in lines)
        return
    file = tmp_path / "settings.yaml"
    file.write_text(block.text, encoding="utf-8")
    if "bands" in content:
        assert all(read_baseline(file))
    elif "grid" in content:
        assert read_grid(file).configs
    else:
        assert combine(read_yaml(file)).configs()


@pytest.mark.parametrize("file", EXAMPLES, ids=lambda file: file.name)
def test_example_files_are_sound(file: Path) -> None:
    """Python examples compile, YAML examples are files for ``--config``."""
    if file.suffix == ".py":
        compile(file.read_text(encoding="utf-8"), str(file), "exec")
    elif file.suffix == ".yaml":
        assert combine(read_yaml(file)).configs()


@pytest.mark.parametrize("block", PYTHON, ids=lambda block: block.page.name)
def test_python_blocks_compile(block: Block) -> None:
    """A block of Python is Python."""
    compile(block.text, str(block.page), "exec")


def slug(heading: str) -> str:
    """Return the anchor GitHub gives a heading."""
    plain = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading).strip().lower()
    return re.sub(r"[^\w\- ]", "", plain).replace(" ", "-")


def headings(page: Path) -> set[str]:
    """Return the anchors of a page."""
    text = _FENCE.sub("", page.read_text(encoding="utf-8"))
    return {slug(heading) for heading in re.findall(r"^#+ (.*)$", text, re.MULTILINE)}


def links_of(page: Path) -> list[str]:
    """Return the targets of a page's links that lead into this repository."""
    text = _FENCE.sub("", page.read_text(encoding="utf-8"))
    return [link for link in _LINK.findall(text) if not re.match(r"[a-z]+:", link)]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    """Every relative link leads to a file or folder that exists, and to a heading in it."""
    for link in links_of(page):
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        assert target.exists(), link
        if anchor:
            assert anchor in headings(target), link


def test_long_pages_begin_with_their_contents() -> None:
    """A page of more than 300 lines links each of its sections before the first one."""
    long = [page for page in OWN if len(page.read_text(encoding="utf-8").splitlines()) > 300]
    assert DOCS / "guide.md" in long
    for page in long:
        top, *sections = _FENCE.sub("", page.read_text(encoding="utf-8")).split("\n## ")
        wanted = {f"#{slug(section.partition(chr(10))[0])}" for section in sections}
        assert wanted <= set(_LINK.findall(top)), page.name


def test_every_page_can_be_reached() -> None:
    """From the index one finds every page of the documentation."""
    seen: set[Path] = set()
    waiting = [DOCS / "index.md"]
    while waiting:
        page = waiting.pop()
        seen.add(page)
        targets = {(page.parent / link.partition("#")[0]).resolve() for link in links_of(page)}
        waiting += [t for t in targets if t.suffix == ".md" and DOCS in t.parents and t not in seen]
    assert seen >= OWN


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_files_of_the_results_that_are_named_exist(page: Path) -> None:
    """As scripts, grids, and tables; or the module of the package that is called so."""
    for name in _OF_RESULTS.findall(page.read_text(encoding="utf-8")):
        assert any((top / name).is_file() for top in (ROOT, ROOT / "bench" / "clipbench")), name


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_tests_that_are_named_exist(page: Path) -> None:
    """A test that a page calls as a witness is there."""
    for name in _TEST.findall(page.read_text(encoding="utf-8")):
        file, _, function = name.partition("::")
        assert (ROOT / file).is_file(), name
        tree = ast.parse((ROOT / file).read_text(encoding="utf-8"))
        defined = {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}
        assert not function or function in defined, name
