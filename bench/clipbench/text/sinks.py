"""Where text is shown: one function for each kind of place, so that nothing shown can act there.

Names, keys, captions, paths and messages may be a stranger's. A terminal obeys control characters,
a spreadsheet computes what begins with ``=``, a browser runs markup, TeX reads files. Whoever
writes into one of these takes the function of the place, at the last moment, for all text that is
not a constant of this package. All of them show control and invisible characters written out, as
`clipbench.text.visible.visible` does; that one is also the function for a name on a line of a
terminal or of a log. Bytes do not go through here: they are for programs.
"""

from __future__ import annotations

import html as _html
import json
import re

from clipbench.text.visible import visible

_KEPT = re.compile(r"([\n\t]+)")  # in text that is laid out in lines
# What spreadsheets take for the beginning of a formula; where a comma is a decimal point, a
# semicolon begins the next cell.
_FORMULA = re.compile(r"(^|;)(?=\s*[=+\-@\uff1d\uff0b\uff0d\uff20])")
_MARKDOWN = re.compile(r"([\\`*_<>|~$])")
_ADDRESS = re.compile(r"(?i)(:)(?=//)|(www)(?=\.)")
_LATEX = {
    "\\": "\\textbackslash{}",
    "~": "\\textasciitilde{}",
    "^": "\\textasciicircum{}",
    "<": "\\textless{}",
    ">": "\\textgreater{}",
    "|": "\\textbar{}",
    "[": "{[}",  # after a line's end a bracket or a star would be an option of it
    "*": "{*}",
    "—": "---",
    "±": "$\\pm$",
    "×": "$\\times$",
    **{char: f"\\{char}" for char in "{}$&#%_"},
}


def terminal(text: str) -> str:
    """Return text of several lines as a terminal shows it; lines and tabs stay, all else is shown.

    Names in it must be on one line each before, by `visible`: what breaks a line here was meant to.
    """
    return "".join(
        part if number % 2 else visible(part) for number, part in enumerate(_KEPT.split(text))
    )


def json_text(value: object, indent: int | None = 2) -> str:
    """Return a value as JSON that says the same and drives no terminal: what would is escaped."""
    text = json.dumps(value, indent=indent, ensure_ascii=False)
    return "\n".join(line if visible(line) == line else _ascii(line) for line in text.split("\n"))


def _ascii(line: str) -> str:
    """Return a line of JSON without what is not seen, which stands inside texts alone."""
    return "".join(char if visible(char) == char else json.dumps(char)[1:-1] for char in line)


def csv_cell(value: object) -> object:
    """Return what a cell of a CSV file holds: numbers as they are, no text that is a formula.

    Text that a spreadsheet would compute begins with an apostrophe, which it shows as text.
    """
    return _FORMULA.sub(r"\1'", visible(value)) if isinstance(value, str) else value


def markdown(text: str) -> str:
    """Return text that Markdown shows as it is: no markup, no formula, no link."""
    escaped = _MARKDOWN.sub(r"\\\1", visible(text).replace("&", "&amp;"))
    return _ADDRESS.sub(r"\1\2\\", escaped).replace("](", "]\\(")


def latex(text: str) -> str:
    """Return text that LaTeX sets as it is."""
    return "".join(_LATEX.get(char, char) for char in visible(text))


def html(text: str) -> str:
    """Return text that HTML shows as it is, between tags or as an attribute in quotes."""
    return _html.escape(visible(text))


def xml(text: str) -> str:
    """Return text for `xml.etree`, which quotes markup, and lets pass what no XML may hold."""
    return visible(text)


def mathtext(text: str) -> str:
    """Return text that matplotlib draws as it is: no formulas, no letters its font lacks."""
    plain = visible(text).encode("latin-1", "backslashreplace").decode("latin-1")
    plain = plain.replace("$", r"\$")
    return f" {plain}" if plain.startswith("_") else plain  # a legend leaves out names in _
