"""The documentation as a site: `make docs` builds it, every warning an error.

Pages of attacks, defenses, data sets and metrics are written from their docstrings when the site is
built; README and SECURITY become pages, their links turned.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from clipbench import __version__
from clipbench.plugins import registry
from clipbench.plugins.find import KINDS, Kind

project = "clipbench"
author = "the clipbench developers"
release = __version__
extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
autodoc_member_order = "bysource"
autodoc_typehints_format = "short"
autodoc_preserve_defaults = True
autodoc_type_aliases = {name: name for name in ("Image", "IntArray", "SpecLike")}
python_use_unqualified_type_names = True
default_role = "literal"  # what docstrings have between backticks
html_theme = "furo"
html_title = f"clipbench {release}"
html_show_copyright = False
html_static_path: list[str] = []
root_doc = "index"
exclude_patterns = ["examples"]
myst_enable_extensions = ["tasklist"]
myst_heading_anchors = 4
nitpicky = True
nitpick_ignore_regex = [("py:.*", ".*")]  # types of other packages have no pages here

HERE = Path(__file__).parent
REFERENCE = HERE / "reference"  # written here, not kept in the repository
TOP_PAGES = ("README", "SECURITY", "CONTRIBUTING")  # at the top of the repository
TITLES = {
    "attack": "Attacks",
    "defense": "Defenses",
    "dataset": "Data sets",
    "metric": "Metrics",
}


def write_reference(*_: Any) -> None:
    """Write a page for each plugin, a page that lists them, and the README as a page."""
    for kind in KINDS:
        names = registry.names(kind)
        folder = REFERENCE / kind
        for name in names:
            _write(folder / f"{name}.md", plugin_page(kind, name))
        entries = "\n".join([f"{kind}/{name}" for name in names])
        rows = [f"- [`{name}`]({kind}/{name}.md): {_title(kind, name)}" for name in names]
        text = "\n".join(
            [
                f"# {TITLES[kind]}\n",
                *rows,
                f"\n```{{toctree}}\n:hidden:\n\n{entries}\n```\n",
            ]
        )
        _write(REFERENCE / f"{kind}s.md", text)
    for page in TOP_PAGES:
        text = (HERE.parent / f"{page}.md").read_text(encoding="utf-8")
        text = re.sub(r"\[([^\]]+)\]\((results/|CITATION)[^)]*\)", r"`\1`", text)  # not on the site
        for other in TOP_PAGES:
            text = text.replace(f"]({other}.md", f"]({other.lower()}.md")
        _write(REFERENCE / f"{page.lower()}.md", text.replace("](docs/", "](../"))


def _write(path: Path, text: str) -> None:
    """Write a page, unless it says that already: what did not change is not built again."""
    if not path.is_file() or path.read_text(encoding="utf-8") != text:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")


def _title(kind: Kind, name: str) -> str:
    title = registry.describe(registry.load(kind, name)).title
    return escaped(title.partition(": ")[2] or title)


def plugin_page(kind: Kind, name: str) -> str:
    """Return what a plugin's docstrings say, as Markdown."""
    found = registry.describe(registry.load(kind, name))
    parts = [f"# {name}", escaped(found.title), escaped(found.paper)]
    parts += [escaped(note) for note in found.notes]
    if found.parameters:
        rows = [
            f"| `{item.name}` | {cell(item.values)} |"
            f" {'must be given' if item.default is None else f'`{item.default}`'} |"
            f" {cell(item.meaning)} |"
            for item in found.parameters
        ]
        table = ["| parameter | type | default | meaning |", "| --- | --- | --- | --- |", *rows]
        parts += ["## Parameters", "\n".join(table)]
    return "\n\n".join(part for part in parts if part) + "\n"


def escaped(text: str) -> str:
    """Return a docstring's text as Markdown: its links bare, its code in code, nothing else."""
    text = re.sub(r"``([^`]+)``", r"`\1`", text)
    text = re.sub(r"(?<!<)(https?://\S+?)(?=[.,;)]?(?:\s|$))", r"<\1>", text)
    return re.sub(r"([*_\[\]])(?![^`]*`(?:[^`]*`[^`]*`)*[^`]*$)", r"\\\1", text)


def cell(text: str) -> str:
    """Return text as a table's cell has it."""
    return escaped(text).replace("|", r"\|")


def turn_links(app: Any, name: str, source: list[str]) -> None:  # noqa: ARG001
    """Let links to pages at the top of the repository lead to them; give the index its contents."""
    for page in TOP_PAGES:
        source[0] = source[0].replace(f"](../{page}.md", f"](reference/{page.lower()}.md")
    folder = (HERE / name).parent
    source[0] = re.sub(
        r"\[([^\]]+)\]\((\.\./[^)#]+)\)",
        lambda link: link[0] if is_on_the_site(folder / link[2]) else link[1],
        source[0],
    )
    if name == root_doc:
        source[0] += contents(source[0])


def is_on_the_site(target: Path) -> bool:
    """Return whether a link can lead there: to a page of ours, or to a file, not to a folder."""
    return HERE in target.resolve().parents or (target.is_file() and target.suffix != ".md")


def contents(index: str) -> str:
    """Return the site's contents: a section for each heading of the index, with its links."""
    sections = []
    for section in index.split("\n## ")[1:]:
        heading, _, body = section.partition("\n")
        pages = dict.fromkeys(re.findall(r"^- .*", body, re.MULTILINE))
        links = [link for line in pages for link in re.findall(r"\]\(([\w/-]+)\.md\)", line)]
        sections.append((heading, links))
    sections.insert(2, ("On the bench", [f"reference/{kind}s" for kind in KINDS]))
    sections.insert(0, ("Overview", ["reference/readme"]))
    return "".join(
        "\n```{toctree}\n:hidden:\n:caption: " + heading + "\n\n" + "\n".join(links) + "\n```\n"
        for heading, links in sections
        if links
    )


def shorten_types(*event: Any) -> tuple[str | None, str | None]:
    """Return signature and return type of a name with types as the code writes them."""
    shown = [None if text is None else _short(text) for text in event[-2:]]
    return shown[0], shown[1]


def _short(text: str) -> str:
    text = re.sub(r"TypeAliasForwardRef\('(\w+)'\)", r"\1", text)
    return re.sub(r"~(?:\w+\.)+(?=\w)", "", text)


def setup(app: Any) -> dict[str, Any]:
    """Have the pages written before the site is."""
    app.connect("builder-inited", write_reference)
    app.connect("source-read", turn_links)
    app.connect("autodoc-process-signature", shorten_types)
    return {"parallel_read_safe": True}
