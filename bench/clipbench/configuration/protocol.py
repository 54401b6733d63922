"""A published protocol as a setting: what ``--recipe NAME`` puts beneath all that a person gives.

A recipe is a file of this package. It names an attack and a defense, which stand where nobody names
others, training settings, and parameters of attacks and defenses by name, with the rate or number
of poisons that the paper has. All of it is resolved into a run's configuration, in which nothing
tells that it was not typed; so it goes before the recipe of a data set and the defaults. Beside the
settings stands what paper and code have, see `clipbench.configuration.protocol_table`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from clipbench.errors import UnknownName
from clipbench.files import bundled
from clipbench.parameters.values import coerce
from clipbench.plugins import registry
from clipbench.plugins.find import Kind
from clipbench.plugins.spec import Spec, SpecLike

Value = str | float | bool | None  # of a setting in a table
AMOUNTS = ("rate", "poisons")  # of an attack: no parameters of it


@dataclass(frozen=True)
class Entry:
    """One line of a protocol's table: a setting, as paper, code and this package have it.

    Args:
        setting: ``train.NAME``, ``attacks.ATTACK.PARAMETER`` or ``defenses.DEFENSE.PARAMETER``; or
            words, for what is no setting here.
        paper: what the paper says; none: not read there.
        code: what the authors' code does; none: there is none, or it says nothing.
        ours: what it is here, where neither value can stand for it.
        why: what parts the one from the other.
    """

    setting: str
    paper: Value = None
    code: Value = None
    ours: Value = None
    why: str = ""

    @property
    def expected(self) -> Value:
        """What a run with the recipe must have."""
        return next((v for v in (self.ours, self.code, self.paper) if v is not None), None)


@dataclass(frozen=True)
class PublishedRecipe:
    """A whole published protocol.

    Args:
        name: what it is asked for by.
        title: whose it is, in one sentence.
        paper: address of the paper.
        code: address and commit of the authors' code.
        attack: the attack where none is named.
        defense: the defense where none is named.
        released: whether the authors start from a released model.
        train: training settings.
        attacks: parameters, rate and number of poisons by attack.
        defenses: parameters by defense.
        table: the settings against paper and code.
    """

    name: str
    title: str
    paper: str
    code: str
    attack: str
    defense: str
    released: bool = False
    train: Mapping[str, object] = field(default_factory=dict)
    attacks: Mapping[str, Mapping[str, object]] = field(default_factory=dict)
    defenses: Mapping[str, Mapping[str, object]] = field(default_factory=dict)
    table: tuple[Entry, ...] = ()

    @property
    def layer(self) -> dict[str, object]:
        """The settings as a layer beneath those of a person."""
        return {"attack": self.attack, "defense": self.defense, "train": dict(self.train)}

    def filled(self, kind: Kind, spec: SpecLike) -> SpecLike:
        """Return an attack or a defense with the protocol's parameters where it has none."""
        parsed = registry.parse(kind, spec)
        found = (self.attacks if kind == "attack" else self.defenses).get(parsed.name, {})
        own = {name: value for name, value in found.items() if name not in AMOUNTS}
        return Spec(parsed.name, {**own, **parsed.parameters}) if own else spec

    def amount(self, attack: SpecLike) -> tuple[tuple[str | None], int | None]:
        """Return the rate and the number of poisons that the protocol has for an attack, if any."""
        found = self.attacks.get(registry.parse("attack", attack).name, {})
        rate, poisons = (found.get(name) for name in AMOUNTS)
        count: int | None = coerce(poisons, int | None, "poisons")
        return (None if rate is None else str(rate),), count


def recipe(name: str) -> PublishedRecipe:
    """Return a published protocol.

    Raises:
        UnknownName: there is none of this name.
    """
    from clipbench.files import yaml_files  # noqa: PLC0415 - needed with a recipe alone

    known = bundled.recipes()
    if name not in known:
        raise UnknownName("recipe", name, known)
    path = known[name]
    content = yaml_files.read(path)
    table = tuple(Entry(setting, **values) for setting, values in content.pop("table", {}).items())
    return PublishedRecipe(name, bundled.comment(path), table=table, **content)
