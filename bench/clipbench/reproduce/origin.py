"""What a poisoned set came from, found from its ledger: its clean set, its attack, what that knew.

A ledger comes from a stranger. What it names is used where it is built in or installed and says
nothing of where anything lies; all else is for the person at the keyboard to name.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path

from clipbench.configuration.heldout import HeldOut
from clipbench.configuration.identity import contents_of
from clipbench.configuration.naming import Allowed, registered_only
from clipbench.contracts import Attack, Crafted, Scene
from clipbench.errors import BadSetting, UnknownName
from clipbench.plugins import registry
from clipbench.plugins.find import missing_members
from clipbench.plugins.part import Part
from clipbench.poisoning.ledger import Ledger
from clipbench.reproduce.clean_set import CleanSet, judged
from clipbench.shards import manifest as manifests
from clipbench.shards.reader import ShardSet
from clipbench.text.locations import by_content, content_in, location_fields
from clipbench.verification import made_again
from clipbench.verification.fresh import Base
from clipbench.verification.poison_checks import Again
from clipbench.verification.set_checks import Check

_AGAIN, _LEARNED = "made again", "learned"
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
            with registered_only(self.allowed, places=True):  # what is named was looked at
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
        crafted = ledger.crafted
        taught = registry.with_parameters(attack, crafted) if crafted else attack
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
        told = {**ledger.parameters, "name": ledger.attack}
        try:
            spec = Allowed.of(self.allowed).usable(
                "attack", told, ledger.code, "attack", "the ledger's attack"
            )
        except (BadSetting, UnknownName) as error:
            raise _OpenQuestion(str(error)) from error
        cls = registry.load("attack", spec)
        for field in location_fields(cls):
            if content_in(spec.get(field)):
                raise _OpenQuestion(f"{ledger.attack} reads a file, {field}, that lies elsewhere")
        attack: Attack = registry.build("attack", spec)
        fields = {item.name for item in dataclasses.fields(cls)}
        if ledger.crafted and not (isinstance(attack, Crafted) and set(ledger.crafted) <= fields):
            raise BadSetting(f"it learns no {', '.join(ledger.crafted)}")
        return attack

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
        typed: list[Part[object]] = [Part.of("dataset", spec) for spec in self.evals]
        if typed and _recorded(typed, self.clean.cache) != list(map(dict, ledger.evals)):
            raise BadSetting(f"--eval names other test images than {ledger.path}.")

    def _typed_source(self, ledger: Ledger) -> Part[object] | None:
        """Return the source that a person named with --base, where the ledger names its kind."""
        spec = self.clean.of_kind(ledger)
        if spec is None:
            return None
        part: Part[object] = Part.of("dataset", spec)
        return None if missing_members(part.cls, "EvaluationSource") else part

    def _refuse_unknown(self, spec: Mapping[str, object], shards: ShardSet) -> None:
        """Refuse test images that are not there for whoever knows their name and parameters."""
        name = str(spec.get("name"))
        try:
            Allowed().check("dataset", spec, "the ledger's test images")
        except (BadSetting, UnknownName) as error:
            raise _OpenQuestion(str(error)) from error
        cls = registry.load("dataset", spec)
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


def _learns(attack: Attack) -> bool:
    """Return whether an attack trains a model of its own, or makes something by a given one."""
    return isinstance(attack, Crafted) or any(
        mark.kind == "model" for mark in location_fields(type(attack)).values()
    )


def _rounding(ledger: Ledger, problems: Sequence[str]) -> str:
    return (
        f"{ledger.attack} trains a model first, which rounds otherwise on another processor:"
        f" {problems[0]} ({len(problems)} differences)"
    )


def _recorded(parts: Sequence[Part[object]], cache: Path) -> list[dict[str, object]]:
    """Return sources as a ledger speaks of them."""
    found = []
    for part, content in zip(parts, contents_of(parts, cache), strict=True):
        said = manifests.plain(part.to_json(), "The evaluation source")
        for field in location_fields(part.cls):
            if content is not None and said.get(field) not in (None, (), []):
                told = by_content(content)
                said[field] = [told] if isinstance(said[field], list) else told
        found.append(said)
    return found
