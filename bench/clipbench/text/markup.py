"""HTML in which every text is escaped unless it was made here.

Names, labels, captions and parameters come out of results, and results come from strangers. What is
not `Markup` is escaped where it enters, so that forgetting to escape is not possible.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from clipbench.text.sinks import html

# Elements that have no content and no end; and those of SVG, which may end themselves.
_VOID = frozenset({"br", "col", "img", "input", "link", "meta", "wbr"})
_ENDED = frozenset({"circle", "line", "path", "polygon", "polyline", "rect"})


class Markup(str):
    """HTML that is safe to insert as it is; only this module makes some."""

    __slots__ = ()

    def __html__(self) -> str:
        """Tell Jinja that it need not be escaped."""
        return self


Content = str | Markup | None


def escaped(text: str) -> Markup:
    """Return a text as HTML that shows it, with control and invisible characters written out."""
    return Markup(html(text))


def join(parts: Iterable[Content], separator: str = "") -> Markup:
    """Return parts one after another, texts escaped; None is left out."""
    return Markup(_inserted(separator).join(_inserted(part) for part in parts if part is not None))


def tag(name: str, /, *content: Content, **attributes: str | float | bool | None) -> Markup:
    """Return an element.

    Args:
        name: of the element.
        content: texts, which are escaped, and markup, which is not; None is left out.
        attributes: values by name, ``_`` at the end of a name dropped and inside it ``-``. True
            gives the bare name; None and False leave the attribute out.
    """
    given = "".join(
        _attribute(key.rstrip("_").replace("_", "-"), value)
        for key, value in attributes.items()
        if value is not None and value is not False
    )
    if name in _VOID:
        return Markup(f"<{name}{given}>")
    if name in _ENDED and not content:
        return Markup(f"<{name}{given}/>")
    return Markup(f"<{name}{given}>{join(content)}</{name}>")


def breakable(text: str) -> Markup:
    """Return a name that may be broken into lines where its parts meet."""
    return join(re.split(r"(?<=[_,/=])(?=\S)", text), separator=tag("wbr"))


def trusted(text: str) -> Markup:
    """Return a text of our own, such as a file of this package, as HTML."""
    return Markup(text)


def lines(parts: Iterable[Content]) -> Markup:
    """Return parts each on a line of its own."""
    return Markup("\n".join(_inserted(part) for part in parts if part is not None))


def number(value: float) -> str:
    """Return a coordinate in as few digits as are seen."""
    return "0" if abs(value) < 0.05 else f"{value:.1f}".removesuffix(".0")


def _inserted(part: str) -> str:
    return part if isinstance(part, Markup) else escaped(part)


def _attribute(name: str, value: str | float | bool) -> str:
    if value is True:
        return f" {name}"
    text = value if isinstance(value, str) else number(value)
    return f' {name}="{escaped(text)}"'
