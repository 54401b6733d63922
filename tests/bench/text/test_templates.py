"""Templates: what they insert is escaped, and the policy of a page allows what is in it alone."""

from __future__ import annotations

import base64
import hashlib
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from jinja2 import UndefinedError

from clipbench.text.markup import tag
from clipbench.text.templates import head, render


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A package with a template, a style sheet and a script; forgotten when its folder goes."""
    folder = tmp_path / "of_ours"
    for part, text in (
        (
            "templates/page.html",
            '{% extends "base.html" %}{% block body %}'
            '<p title="{{ text }}">{{ text }}{{ made }}{{ number }}</p>{% endblock %}',
        ),
        ("assets/a.css", "p > b { color: red }"),
        ("assets/a.js", "if (1 < 2 && 'x') {}"),
        ("__init__.py", ""),
    ):
        (folder / part).parent.mkdir(parents=True, exist_ok=True)
        (folder / part).write_text(text)
    monkeypatch.syspath_prepend(tmp_path)
    yield folder.name
    sys.modules.pop(folder.name, None)


def test_texts_are_escaped_and_markup_is_not(package: str) -> None:
    """In content and attributes, with characters that nobody sees written out."""
    page = render(
        package,
        "page.html",
        **head(package, style="a.css"),
        title="<t>",
        text="\"'<\u202e\n>",
        made=tag("b", "<"),
        number=3,
    )
    shown = "&quot;&#x27;&lt;\\u202e\\n&gt;"
    assert f'<p title="{shown}">{shown}<b>&lt;</b>3</p>' in page
    assert "<title>&lt;t&gt;</title>" in page
    assert "<script" not in page


def test_what_nobody_gave_is_an_error(package: str) -> None:
    """Rather than a page with a hole."""
    with pytest.raises(UndefinedError, match="'text' is undefined"):
        render(package, "page.html", **head(package, style="a.css"), title="", made="", number=1)


def test_style_and_script_run_by_their_hashes(package: str) -> None:
    """As they stand in the page; where there is no script none is allowed."""
    parts = head(package, style="a.css", script="a.js")
    page = render(package, "page.html", **parts, title="", text="", made="", number=0)
    for text in ("<style>p > b { color: red }</style>", "if (1 < 2 && 'x') {}</script>"):
        assert text in page
    for name in ("style", "script"):
        digest = base64.b64encode(hashlib.sha256(parts[name].encode()).digest()).decode()
        assert f"{name}-src 'sha256-{digest}'" in parts["policy"]
    assert "script-src 'none'" in head(package, style="a.css")["policy"]
