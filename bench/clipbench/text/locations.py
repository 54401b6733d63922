"""Parameters that name something, by their types; places are recorded by what lies there.

A path, an address or a command is no name: the same data lie at several, and one holds other data
tomorrow. So a record, and the hash that a run is known by, has the SHA-256 of the content in the
place of such a value, ``sha256:HEX``. Which parameters those are is said by their types alone:
`pathlib.Path`, and the types of this module. Others name plugins, or nothing at all; what a result
of a stranger may name is decided by the same types, in `clipbench.configuration.naming`. It stays
light, for the command line imports it.
"""

from __future__ import annotations

import dataclasses
import re
import typing
import urllib.parse
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Literal

Kind = Literal["data", "weights", "model"]


@dataclass(frozen=True)
class Located:
    """Marks a type whose values say where something lies.

    Args:
        kind: data, files that are read as they are; weights, a checkpoint or the folder of a run or
            model; model, a configuration of a model, or the name of one, which is no location.
    """

    kind: Kind = "data"


@dataclass(frozen=True)
class Names:
    """Marks a type whose values are plugins, with their parameters if need be.

    Args:
        kind: what they are.
    """

    kind: Literal["attack", "defense", "dataset", "metric"]


@dataclass(frozen=True)
class Plain:
    """Marks a type whose texts name nothing that is opened, fetched or run, whatever they are."""


Mark = Located | Names | Plain

Location = Annotated[str, Located()]  # a path, a pattern of paths, an address or a command
Weights = Annotated[str, Located("weights")]  # a checkpoint, or the folder of a run or of a model
Model = Annotated[str, Located("model")]  # a model's name, or the path of its configuration
AttackSpec = Annotated[str, Names("attack")]  # an attack as it is typed: NAME:PARAMETER=VALUE
Word = Annotated[str, Plain()]  # a caption, a label, a column: text that is only compared or shown

# Metadata of a plugin's field that came after rows were published: no record says it where it is at
# its default, and such a run has the id that it had before. ``field(default=0, metadata=UNSAID)``.
UNSAID: Mapping[str, bool] = MappingProxyType({"clipbench.unsaid": True})

_CONTENT = re.compile(r"sha256:([0-9a-f]{64})")
_FIELD = re.compile(r"(\w+)(?:\[(\d{1,6})\])?\.(\w+)")
_SCHEME = re.compile(r"[a-z][a-z0-9+.-]*://", re.IGNORECASE)
_PIPE = "pipe:"
_FOLDER = "local-dir:"  # open_clip's prefix of a folder with a model in it
_LONGEST = 80  # characters of a short name
_JOINT = "::"  # between several locations in one text


def location_fields(cls: type) -> dict[str, Located]:
    """Return those fields of a dataclass that say where something lies, by their types."""
    return {name: mark for name, mark in marks(cls).items() if isinstance(mark, Located)}


def marks(cls: type) -> dict[str, Mark | None]:
    """Return what the values of each field of a dataclass name, by their types.

    None: it has texts of which its type does not say what they name. Numbers, truth values and
    choices are plain.
    """
    hints = typing.get_type_hints(cls, include_extras=True)
    return {item.name: _mark(hints[item.name]) for item in dataclasses.fields(cls) if item.init}


def _mark(hint: object) -> Mark | None:
    """Return the mark of a type: of what it is made of, the one that opens most."""
    if hint is Path:
        return Located()
    for mark in getattr(hint, "__metadata__", ()):
        if isinstance(mark, Located | Names | Plain):
            return mark
    if hasattr(hint, "__metadata__"):  # marks of other kinds
        return _mark(typing.get_args(hint)[0])
    if hint in (int, float, bool, None, type(None)) or typing.get_origin(hint) is Literal:
        return Plain()
    found = [_mark(part) for part in typing.get_args(hint) if part is not Ellipsis]
    naming = [mark for mark in found if not isinstance(mark, Plain)]
    if not found or None in naming:
        return None
    return naming[0] if naming else Plain()


# ------------------------------------------------------------------------------ several


def split(text: str) -> list[str]:
    """Return the locations of a text, which ``::`` joins.

    A folder may have ``::`` in its name, and so the cache, where clean shards lie: two parts that
    are, with their joint, the name of something that is there are one location.
    """
    found: list[str] = []
    for part in text.split(_JOINT):
        if found and _is_there(found[-1], part):
            found[-1] = f"{found[-1]}{_JOINT}{part}"
        else:
            found.append(part)
    return found


def _is_there(before: str, part: str) -> bool:
    """Return whether two parts with their joint are a path, or begin one up to the next slash."""
    if any(_SCHEME.match(text) or text.lower().startswith(_PIPE) for text in (before, part)):
        return False
    try:
        return Path(f"{before}{_JOINT}{part.partition('/')[0]}").expanduser().exists()
    except (OSError, RuntimeError, ValueError):  # a name that no file can have, a home of nobody
        return False


# ------------------------------------------------------------------------------ content


def by_content(sha256: str) -> str:
    """Return what a record says in the place of a location."""
    return f"sha256:{sha256}"


def content_in(value: object) -> str | None:
    """Return the hash where a value is a content and no location."""
    if isinstance(value, (list, tuple)) and len(value) == 1:
        return content_in(value[0])
    match = _CONTENT.fullmatch(str(value)) if isinstance(value, (str, Path)) else None
    return match[1] if match else None


def put(content: Mapping[str, object], field: str, value: object) -> None:
    """Set a field of a configuration, such as ``evals[0].root``, if the configuration has it."""
    spec, name = _spec(content, field)
    if isinstance(spec, dict) and name in spec:
        is_list = isinstance(spec[name], (list, tuple)) and not isinstance(value, list)
        spec[name] = [value] if is_list else value


def get(content: Mapping[str, object], field: str) -> object:
    """Return a field of a configuration, such as ``evals[0].root``; None: it has none."""
    spec, name = _spec(content, field)
    return spec.get(name) if isinstance(spec, Mapping) else None


def _spec(content: Mapping[str, object], field: str) -> tuple[object, str]:
    """Return the part of a configuration that a field is in, and its name there."""
    match = _FIELD.fullmatch(field)
    if match is None:
        return None, field
    spec = content.get(match[1])
    if match[2] is None:
        return spec, match[3]
    number, several = int(match[2]), spec if isinstance(spec, (list, tuple)) else ()
    return several[number] if number < len(several) else None, match[3]


# ------------------------------------------------------------------------------ what is shown


def short(text: str) -> str:
    """Return a short name of what lies somewhere: the last part of each path or address."""
    names = _JOINT.join(map(_last, split(text)))
    return names if len(names) <= _LONGEST else f"{names[: _LONGEST - 1]}…"


def _last(part: str) -> str:
    if part.lower().startswith(_PIPE):
        return "pipe"
    if _SCHEME.match(part):
        try:
            path = urllib.parse.urlsplit(part).path
        except ValueError:
            path = ""
        return urllib.parse.unquote(path.rstrip("/").rpartition("/")[2]) or "address"
    return Path(part.removeprefix(_FOLDER)).expanduser().absolute().resolve().name or "root"


def redacted(text: str) -> str:
    """Return a location as a record may hold it: without what may open doors.

    Of an address, user and password, query and fragment are left out (but for ``#sha256=``); of a
    command all but the program. Nothing is put in their place that could be guessed back, as the
    hash of a short password could: that two records mean the same data, their content says.
    """
    return _JOINT.join(map(_without_secret, split(text)))


def _without_secret(part: str) -> str:
    if part.lower().startswith(_PIPE):
        program = part[len(_PIPE) :].strip().split(None, 1)[:1]
        known = re.fullmatch(r"[\w./+-]+", program[0]) if program else None
        return f"{_PIPE}{known[0] if known else '...'} (redacted)"
    if not _SCHEME.match(part):
        return part
    address, hash_mark, fragment = part.partition("#")
    address, mark, _ = address.partition("?")
    scheme, _, rest = address.partition("://")
    host, slash, path = rest.partition("/")
    host = host.rpartition("@")[2]
    kept = f"{scheme}://{host}{slash}{path}{'?(redacted)' if mark else ''}"
    if not hash_mark:
        return kept
    return kept + (f"#{fragment}" if re.fullmatch("sha256=[0-9a-f]{64}", fragment) else "")


def absolute(text: str) -> str:
    """Return a location so that it means the same in every folder; addresses stay as they are."""
    return _JOINT.join(map(_absolute, split(text)))


def _absolute(part: str) -> str:
    if _SCHEME.match(part) or part.lower().startswith(_PIPE) or content_in(part):
        return part
    prefix = _FOLDER if part.startswith(_FOLDER) else ""
    return f"{prefix}{Path(part.removeprefix(_FOLDER)).expanduser().absolute()}"


def has_secret(text: str) -> bool:
    """Return whether a location holds what no record may hold."""
    return redacted(text) != text


def texts(value: object) -> Iterator[str]:
    """Yield the locations in the value of a field, which may have several."""
    if isinstance(value, (list, tuple)):
        for item in value:
            yield from texts(item)
    elif value is not None:
        yield str(value)
