"""What the text of others may name: what is built in or installed, and what the reader allowed.

A result, a ledger or a configuration names plugins, models, weights, data. Each such name may be
the path of a file, a module, an address or a command, and whoever uses it opens, fetches or runs
that. So nothing is named by the text of others but what the reader's own installation has by that
name, and what the reader typed. Which fields name something is said by their types
(`clipbench.text.locations`); a text whose type does not say so is refused, too, unless it is
the default.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

from clipbench.configuration.settings import TrainSettings
from clipbench.errors import BadSetting, UnknownName
from clipbench.models.architectures import architecture
from clipbench.parameters.values import coerce, field_types
from clipbench.plugins import codes, registry
from clipbench.plugins.find import Kind
from clipbench.plugins.spec import Spec, SpecLike
from clipbench.text.locations import Located, Names, Plain, content_in, marks, texts

# Of a run's configuration: the parts that are plugins, one or a list of them, and what they are.
PLUGINS: Mapping[str, Kind] = {
    "data": "dataset",
    "evals": "dataset",
    "trusted": "dataset",
    "attack": "attack",
    "defense": "defense",
    "metrics": "metric",
}
_ELSEWHERE = re.compile(r"(^|::)\s*([a-z][a-z0-9+.-]*://|pipe:|hf-hub:)", re.IGNORECASE)
_NUMBER = re.compile(r"[+-]?[\d._]+(e[+-]?\d+)?|none|true|false", re.IGNORECASE)
_LONGEST = 100  # characters of a name in a message


@dataclass(frozen=True)
class Allowed:
    """What may be named beside what is built in and installed.

    Args:
        names: files, modules, addresses and commands, as a person typed them.
        files: whether files and folders of this machine may be read as data, weights or a model,
            too; of them no code is run, and nothing is fetched.
    """

    names: frozenset[str] = frozenset()
    files: bool = False

    @classmethod
    def of(cls, typed: Iterable[str], *, files: bool = False) -> Allowed:
        """Return what a person allows who typed these names."""
        given = frozenset(typed)
        paths = {str(Path(name).expanduser()) for name in given if name.startswith("~")}
        return cls(given | paths, files)

    def check(self, kind: Kind, spec: SpecLike, field: str) -> None:
        """Refuse a plugin that may not be named, or that names what may not be.

        No plugin is imported but one that may be, and nothing that is named is looked at.

        Args:
            kind: what it is.
            spec: its name and parameters, as they were read.
            field: where they were read, for the message.

        Raises:
            BadSetting: naming the field, and what to type.
            UnknownName: no plugin has this name.
        """
        try:
            parsed = registry.parse(kind, spec)
        except BadSetting as error:
            raise BadSetting(f"{field}: {error}") from error
        name, known = parsed.name, registry.names(kind)
        if name not in known and name not in self.names:
            if not name.endswith(".py") and ":" not in name:
                raise UnknownName(f"{kind} in {field}", _shown(name), known)
            self._refuse(name, field, f"the code of no installed {kind}")
        if any(self._may_name(value) for value in parsed.parameters.values()):
            self.check_values(registry.load(kind, parsed), parsed.parameters, field)

    def _may_name(self, value: object) -> bool:
        """Return whether a value may name anything; what is none of it spares an import."""
        if self.files and isinstance(value, str):
            return not _NUMBER.fullmatch(value)
        if isinstance(value, (list, tuple)):
            return any(map(self._may_name, value))
        return not (value is None or isinstance(value, (bool, int, float)))

    def usable(
        self,
        kind: Kind,
        spec: Mapping[str, object],
        code: Mapping[str, str],
        slot: str,
        field: str = "",
    ) -> dict[str, object]:
        """Return a spec of a record, whose plugin and all that it names may be used.

        Args:
            kind: what it is.
            spec: its name and parameters.
            code: SHA-256 of plugins that are files, by where they are named, see
                `clipbench.plugins.codes`; records tell the content, not the path.
            slot: where the spec stands in the configuration.
            field: where the spec was read, for the message; empty: `slot`.

        Raises:
            BadSetting: naming the field, and what to type.
            UnknownName: no plugin has this name.
        """
        name, field = str(spec["name"]), field or slot
        files = {registry.code_sha256(f): f for f in self.names if f.endswith(".py")}

        def file_of(named: str, sha256: str) -> str:
            if sha256 not in files:
                raise BadSetting(
                    f"The {kind} {named!r} is a file of its own (SHA-256 {sha256[:16]}...); read"
                    " that file, and name it with --allow to have it run."
                )
            return files[sha256]

        if slot in code:
            name = file_of(name, code[slot])
        elif name.endswith(".py"):
            raise BadSetting(
                f"{field} names the file {_shown(name)!r} and not its SHA-256, so that nobody can"
                " tell what code it was; not even --allow has it run."
            )
        found = {**spec, "name": name}
        codes.rename(slot, found, code, file_of)
        self.check(kind, found, field)
        return found

    def check_values(self, cls: type, values: Mapping[str, object], field: str) -> None:
        """Refuse what the values of a dataclass's fields name and may not.

        Args:
            cls: a plugin's class, or the training settings.
            values: by field; those that it has not are for others to refuse.
            field: where they were read, for the message.

        Raises:
            BadSetting: naming the field, and what to type.
        """
        types = field_types(cls)
        for name, mark in marks(cls).items():
            if name not in values or isinstance(mark, Plain):
                continue
            where = f"{field}.{name}"
            value = coerce(values[name], types[name], where)
            if mark is None and value == getattr(cls, name, None):
                continue
            for text in _as_written(values[name], value):
                self._check_text(mark, text, where)

    def _check_text(self, mark: Located | Names | None, text: str, field: str) -> None:
        if isinstance(mark, Names):
            self.check(mark.kind, text, field)
        elif mark is None:
            if not self.files:
                self._require(text, field, "text, and its type does not say what it names")
        elif mark.kind == "model":
            if architecture(text) is None:
                self._require_place(text, field, "no model that is built in")
        else:
            self._require_place(text, field, "a place outside what is installed")

    def _require_place(self, text: str, field: str, what: str) -> None:
        if content_in(text) is None and not (self.files and not _ELSEWHERE.search(text)):
            self._require(text, field, what)

    def _require(self, name: str, field: str, what: str) -> None:
        if name not in self.names:
            self._refuse(name, field, what)

    def _refuse(self, name: str, field: str, what: str) -> NoReturn:
        shown = _shown(name)
        who = "a file, which may be somebody else's," if self.files else "what comes from others"
        raise BadSetting(
            f"{field} names {shown!r}, which is {what}; {who} may name that only if you do, too:"
            f" --allow {shlex.quote(shown)}."
        )


def _as_written(raw: object, value: object) -> Iterator[str]:
    """Yield the texts of a field as they were read, for a path loses a slash of an address."""
    is_list = isinstance(value, tuple) and isinstance(raw, str)  # "(a,b)" for two of them
    yield from texts(value if is_list else raw)


def _shown(name: str) -> str:
    return name if len(name) <= _LONGEST else f"{name[:_LONGEST]}..."


def check_settings(values: Mapping[str, object], allowed: Allowed, field: str = "train") -> None:
    """Refuse what training settings name and may not."""
    allowed.check_values(TrainSettings, values, field)


@contextmanager
def registered_only(allowed: Iterable[str] = (), *, places: bool = False) -> Iterator[None]:
    """Refuse, while it lasts, to build a plugin that may not be named, or that names what may not.

    For names and parameters out of results and ledgers, which come from strangers: a parameter may
    name a plugin, too, or a file.

    Args:
        allowed: files, ``module:object`` and addresses that may be used all the same.
        places: whether places may be named, because those that are were looked at before.
    """
    may = Allowed.of(allowed)

    def check(kind: Kind, spec: Spec) -> None:
        may.check(kind, spec, f"{kind} {registry.short_name(spec.name)}")

    with registry.only(may.names, None if places else check):
        yield
