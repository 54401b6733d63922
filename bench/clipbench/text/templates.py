"""Templates of pages, in which every text is escaped unless it was made by us.

Names, labels, captions and parameters come out of results, and results come from strangers. Jinja
escapes what a template inserts, and control and invisible characters are written out on the way, as
`clipbench.text.sinks.html` does, so that forgetting either is not possible. A name that a template
uses and nobody gave is an error.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping
from importlib.resources import files

from jinja2 import ChoiceLoader, Environment, PackageLoader, StrictUndefined

from clipbench.text.markup import Markup, breakable, escaped, trusted


def render(package: str, name: str, **values: object) -> Markup:
    """Return a template filled in.

    Args:
        package: that has a folder ``templates`` with it; ``base.html`` lies beside this module.
        name: of its file.
        values: what it inserts.
    """
    environment = Environment(
        loader=ChoiceLoader([PackageLoader(package), PackageLoader(__package__)]),
        autoescape=True,
        finalize=_shown,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=False,
    )
    environment.filters["breakable"] = breakable
    return trusted(environment.get_template(name).render(values))


def head(package: str, *, style: str, script: str = "") -> Mapping[str, Markup | str]:
    """Return style, script and content security policy of a page that is one file.

    Nothing runs, loads or is sent but what stands in the page: a style sheet and a script, by their
    hashes, and pictures as data.

    Args:
        package: that has a folder ``assets`` with both.
        style: file name of the style sheet.
        script: file name of the script; empty: there is none.
    """
    texts = {
        kind: files(package).joinpath("assets", file).read_text(encoding="utf-8") if file else ""
        for kind, file in (("style", style), ("script", script))
    }
    allowed = {kind: _hash(text) if text else "'none'" for kind, text in texts.items()}
    policy = (
        f"default-src 'none'; script-src {allowed['script']}; style-src {allowed['style']};"
        " img-src data:; base-uri 'none'; form-action 'none'"
    )
    return {"policy": policy, **{kind: trusted(text) for kind, text in texts.items()}}


def _hash(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


def _shown(value: object) -> object:
    """Return what a template inserts, a text escaped as all HTML of ours is."""
    return value if hasattr(value, "__html__") else escaped(str(value))
