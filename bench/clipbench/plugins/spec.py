"""How a plugin and its parameters are written.

On the command line a plugin is ``targeted:targets=16,mode=insert``, in YAML also
``{name: targeted, targets: 16, mode: insert}``. Either way `clipbench.parameters.values` turns a
value into the type that the plugin's dataclass field is annotated with, or refuses it by name.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from clipbench.errors import BadSetting
from clipbench.parameters.values import BRIEF, brief, underscored

_OBJECT = re.compile(r"[A-Za-z_][\w.]*")
_PARAMETER = re.compile(
    r"""\s*(?P<key>[^=,]+?)\s*=\s*
        (?P<value>"[^"]*"|'[^']*'|\([^()]*\)|\[[^\[\]]*\]|(?:\{[^{}]*\}|[^,])*)
        \s*(?P<end>,|$)""",
    re.VERBOSE,
)


@dataclass(frozen=True)
class Spec:
    """A plugin by name, with the parameters that were set.

    Args:
        name: a registered name, ``module:object`` or the path of a ``.py`` file.
        parameters: values by parameter, as written or already typed.
    """

    name: str
    parameters: Mapping[str, object] = field(default_factory=dict)


SpecLike = str | Mapping[str, object] | Spec


def spec_like(value: object, where: str) -> SpecLike:
    """Return a value that was read as what names a plugin.

    Raises:
        BadSetting: it is neither text nor a mapping.
    """
    if isinstance(value, (str, Mapping, Spec)):
        return value
    raise BadSetting(f"{where}: a plugin is a name like 'targeted:targets=16'. Got {brief(value)}.")


def parse_spec(value: SpecLike, known: Collection[str] = ()) -> Spec:
    """Return the plugin and parameters that `value` names.

    Args:
        value: ``NAME``, ``NAME:PARAMETER=VALUE,...``, ``module:object[:...]``,
            ``path/to/file.py[:...]``, or a mapping with a ``name`` and parameters.
        known: registered names; one of them is never read as the module of ``module:object``.

    Raises:
        BadSetting: it is none of these.
    """
    if isinstance(value, Spec):
        return value
    if isinstance(value, Mapping):
        parameters = underscored(value, f" of {value.get('name')!r}")
        name = parameters.pop("name", None)
        if not isinstance(name, str) or not name.strip():
            raise BadSetting(f"A plugin needs a name. Got {brief(value)}; write {{name: ...}}.")
        return Spec(name.strip(), parameters)
    if not isinstance(value, str) or not value.strip():
        raise BadSetting(f"A plugin is a name like 'targeted:targets=16'. Got {brief(value)}.")
    name, rest = _split_name(value.strip(), known)
    return Spec(name, _split_parameters(rest, value.strip()))


def is_path(text: str, known: Collection[str] = ()) -> bool:
    """Return whether a text is the path of data rather than a plugin, e.g. ``/data/cc3m``.

    It is one if it starts with ``/`` or ``~``, has a slash before any colon and equals sign, is the
    name of a tar, or is remote; and if no part of it ends in ``.py``.
    """
    text = text.strip()
    if re.search(r"\.py(?=:|$)", text) or text.partition(":")[0] in known:
        return False
    before, slash, _ = text.partition("/")
    is_relative = bool(slash) and not re.search("[:=]", before)
    if re.match(r"[a-z][a-z0-9+.-]*://|pipe:", text):
        return True
    return text.startswith(("/", "~")) or is_relative or bool(re.fullmatch(r"[^:=]+\.tar", text))


def _split_name(text: str, known: Collection[str]) -> tuple[str, str]:
    """Split at the colon that ends the name; paths and ``module:object`` may hold others."""
    for match in re.finditer(r"\.py(?=:|$)", text):
        path, rest = text[: match.end()], text[match.end() + 1 :]
        if "=" not in path or Path(path).exists():
            return path, rest
    head, _, rest = text.partition(":")
    member, _, after = rest.partition(":")
    if member and head not in known and _OBJECT.fullmatch(member):
        return f"{head}:{member}", after
    return head, rest


def _split_parameters(text: str, whole: str) -> dict[str, str]:
    """Split ``a=1,b=(2,3)`` at the commas that are not inside quotes or brackets."""
    parameters: dict[str, str] = {}
    position = 0
    while position < len(text):
        match = _PARAMETER.match(text, position)
        if match is None:
            raise BadSetting(
                f"In {brief(whole)}, {brief(text[position:])} is not PARAMETER=VALUE, such as"
                " path=FOLDER; separate parameters with commas and put values that hold commas in"
                " quotes or brackets."
            )
        key = match["key"].replace("-", "_")
        if key in parameters:
            raise BadSetting(f"In {brief(whole)}, {key[:BRIEF]} is given twice; give it once.")
        value = match["value"].strip()
        quoted = len(value) >= 2 and value[0] in "\"'" and value[-1] == value[0]
        parameters[key] = value[1:-1] if quoted else value
        position = match.end()
    return parameters
