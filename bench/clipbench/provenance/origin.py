"""What a poisoned set came from, found from its ledger: its clean set, its attack, what that knew.

A ledger comes from a stranger. What it names is used where it is built in or installed and says
nothing of where anything lies; all else is for the person at the keyboard to name.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from clipbench import registry
from clipbench.architectures import architecture_names
from clipbench.contracts import Attack, Crafted, Scene
from clipbench.errors import BadSetting
from clipbench.heldout import HeldOut
from clipbench.locations import by_content, location_fields
from clipbench.pipeline.identity import contents_of
from clipbench.plugins import Kind, missing_members
from clipbench.provenance.clean_set import CleanSet, judged
from clipbench.shards import made_again
from clipbench.shards import manifest as manifests
from clipbench.shards.fresh import Base
from clipbench.shards.ledger import Ledger
from clipbench.shards.poison_checks import Again
from clipbench.shards.reader import ShardSet
from clipbench.shards.set_checks import Check
from clipbench.specs import Spec

_AGAIN, _LEARNED = "made again", "learned"
_PLACE = re.compile(r"[/\\\\]|\.py\b|\w:\w+://|pipe:|hf-hub:|local-dir:", re.IGNORECASE)
_LARGE = 2 * 10**9  # bytes of test images that are drawn on the word of a ledger


class _OpenQuestion(Exception):
    """Nobody can tell here; the message says why."""


@dataclasses.dataclass(frozen=True)
class LedgerOrigin:
    """The origin of a poisoned set, found from its ledger and from what a person named.

    Args:
        clean: finds the clean set.
        evals: sources of the test images that a person named, as ``--eval`` takes them.
        allowed: file of the attack, which must have the hash that the ledger records.
        whole: whether the whole set is written again, and attacks learn again.
    """

    clean: CleanSet
    evals: Sequence[str] = ()
    allowed: Sequence[str] = ()
    whole: bool = False

    def base(
        self, ledger: Ledger, shards: ShardSet, known: Mapping[tuple[int, int], str]
    ) -> Base | Check:
        """Return the clean set, see `CleanSet.find`."""
        return self.clean.find(ledger, shards, known)

    def again(self, ledger: Ledger, shards: ShardSet, base: Base) -> Sequence[Again]:
        """Return what is found where the poisons are made again, and of the data set named."""
        self._check_evals(ledger)
        data = Again(self.clean.check(ledger, shards, base))
        try:
            with registry.registered_only(self.allowed):
                attack, scene = self._attack(ledger), self._scene(ledger, shards)
                return [*self._made(ledger, shards, base, attack, scene), data]
        except _OpenQuestion as reason:
            return [Again(Check.undecided(_AGAIN, f"it can't be told here: {reason}")), data]
        except made_again.MISMADE as error:
            why = f"{ledger.attack} with the ledger's parameters does not make it: {error}"
            return [Again(judged(_AGAIN, ledger, [why])), data]

    def _made(
        self, ledger: Ledger, shards: ShardSet, base: Base, attack: Attack, scene: Scene
    ) -> list[Again]:
        learns, clean = _learns(attack), base.shards
        if self.whole:
            made = made_again.whole(
                ledger, clean, attack, scene, self.clean.cache, self.clean.reporter.progress
            )
            problems, sound = made_again.differences(ledger, shards, made)
            well = "the whole set was written again from what the ledger says: every byte agrees"
            if not problems or not learns:
                return [Again(judged(_AGAIN, ledger, problems, well), sound)]
            if not ledger.crafted:
                return [Again(Check.undecided(_AGAIN, _rounding(ledger, problems)), sound)]
        elif learns and not ledger.crafted:
            raise _OpenQuestion(f"{ledger.attack} trains a model first; --all has it trained again")
        taught: Any = attack
        if ledger.crafted:
            taught = dataclasses.replace(taught, **ledger.crafted)
        made = made_again.by_sample(clean, taught, scene, self.clean.reporter.progress)
        problems, sound = made_again.differences(ledger, shards, made)
        well = (
            f"{ledger.count} poisons are where the ledger's parameters and seed put them;"
            f" {len(made.files)} of them were made again, to the byte"
        )
        found = [Again(judged(_AGAIN, ledger, problems, well), sound)]
        if learns:
            found.append(Again(Check.undecided(_LEARNED, self._not_learned(ledger))))
        return found

    def _not_learned(self, ledger: Ledger) -> str:
        names = ", ".join(ledger.crafted)
        if self.whole:
            return (
                f"{ledger.attack} learns another {names} here, as it may on another processor;"
                " whether the ledger's was learned from the clean set can't be told"
            )
        return (
            f"the ledger's word for the {names} that {ledger.attack} learned from the clean set;"
            " --all has it learned again"
        )

    def _attack(self, ledger: Ledger) -> Attack:
        """Return the attack of a ledger, before it learned anything."""
        name = self._usable("attack", ledger.attack, ledger.code.get("attack"))
        spec = {**ledger.parameters, "name": name}
        cls = registry.load("attack", Spec(name))
        for field, mark in location_fields(cls).items():
            value = spec.get(field)
            if mark.kind != "model" and value not in (None, (), []):
                raise _OpenQuestion(f"{ledger.attack} reads a file, {field}, that was not named")
            if mark.kind == "model" and value not in architecture_names():
                raise _OpenQuestion(f"{ledger.attack} has a {field} that is no model known by name")
        place = next(filter(_PLACE.search, _texts(ledger.parameters)), None)
        if place is not None:
            raise _OpenQuestion(f"a parameter of {ledger.attack} may name a place, {place!r}")
        attack: Attack = registry.build("attack", spec)
        fields = {item.name for item in dataclasses.fields(cls)}
        if ledger.crafted and not (isinstance(attack, Crafted) and set(ledger.crafted) <= fields):
            raise BadSetting(f"it learns no {', '.join(ledger.crafted)}")
        return attack

    def _usable(self, kind: Kind, name: str, sha256: str | None) -> str:
        """Return the name of a plugin that may be imported."""
        if sha256 is not None:
            for file in self.allowed:
                if registry.code_sha256(file) == sha256:
                    return file
            raise _OpenQuestion(
                f"the {kind} {name!r} is a file of its own (SHA-256 {sha256[:16]}...), which is"
                " not run; read it, and name it with --allow"
            )
        if name in registry.names(kind) or (name in self.allowed and ":" in name):
            return name
        raise _OpenQuestion(f"the {kind} {name!r} is not installed, and is not run")

    def _scene(self, ledger: Ledger, shards: ShardSet) -> Scene:
        """Return what the attacker of a ledger knew."""
        evals = list(map(dict, ledger.evals))
        if self.evals:
            return HeldOut.of(self.evals[0], self.evals).scene(ledger.count, ledger.seed)
        typed_source = None if evals else self._typed_source(ledger)
        if typed_source is not None:
            return HeldOut.of(typed_source, ()).scene(ledger.count, ledger.seed)
        for spec in evals or [dict(ledger.dataset)]:
            self._refuse_unknown(spec, shards)
        return HeldOut.of(dict(ledger.dataset), evals).scene(ledger.count, ledger.seed)

    def _check_evals(self, ledger: Ledger) -> None:
        """Refuse test images that a person named and that are not those of the ledger.

        Raises:
            BadSetting: they are others.
        """
        typed: list[dict[str, Any]] = [registry.resolve("dataset", spec) for spec in self.evals]
        if typed and _recorded(typed, self.clean.cache) != list(map(dict, ledger.evals)):
            raise BadSetting(f"--eval names other test images than {ledger.path}.")

    def _typed_source(self, ledger: Ledger) -> dict[str, Any] | None:
        """Return the source that a person named with --base, where the ledger names its kind."""
        spec = self.clean.of_kind(ledger)
        if spec is None:
            return None
        lacks = missing_members(registry.load("dataset", spec), "EvaluationSource")
        found: dict[str, Any] = registry.resolve("dataset", spec)
        return None if lacks else found

    def _refuse_unknown(self, spec: Mapping[str, Any], shards: ShardSet) -> None:
        """Refuse test images that are not there for whoever knows their name and parameters."""
        name = str(spec.get("name"))
        if name not in registry.names("dataset"):
            raise _OpenQuestion(f"the data set {name!r} is not installed, and is not run")
        cls = registry.load("dataset", Spec(name))
        if any(spec.get(field) not in (None, (), []) for field in location_fields(cls)):
            raise _OpenQuestion(
                f"the test images of {name} are known by their content alone; name them with --eval"
            )
        if missing_members(cls, "EvaluationSource"):
            raise _OpenQuestion(f"the data set {name!r} has no test images")
        height, width = shards.image_shape(0)
        counts = [value for key, value in spec.items() if key in ("test_size", "targets_size")]
        if sum(value for value in counts if isinstance(value, int)) * height * width * 3 > _LARGE:
            raise _OpenQuestion(f"the data set {name!r} would have too many test images")


def _texts(value: Any) -> Iterator[str]:
    """Yield all texts in a value out of JSON."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for item in value.values():
            yield from _texts(item)
    elif isinstance(value, (list, tuple)):
        for item in value:
            yield from _texts(item)


def _learns(attack: Attack) -> bool:
    """Tell whether an attack trains a model of its own, or makes something by a given one."""
    return isinstance(attack, Crafted) or any(
        mark.kind == "model" for mark in location_fields(type(attack)).values()
    )


def _rounding(ledger: Ledger, problems: Sequence[str]) -> str:
    return (
        f"{ledger.attack} trains a model first, which rounds otherwise on another processor:"
        f" {problems[0]} ({len(problems)} differences)"
    )


def _recorded(specs: Sequence[Mapping[str, Any]], cache: Path) -> list[dict[str, Any]]:
    """Return sources as a ledger speaks of them."""
    found = []
    for spec, content in zip(specs, contents_of(specs, cache), strict=True):
        said = manifests.plain(spec, "The evaluation source")
        for field in location_fields(registry.load("dataset", spec)):
            if content is not None and said.get(field) not in (None, (), []):
                told = by_content(content)
                said[field] = [told] if isinstance(said[field], list) else told
        found.append(said)
    return found
