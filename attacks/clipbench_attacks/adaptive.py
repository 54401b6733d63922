"""Adaptive: keep the poisoned pairs of another attack that similarity-based defenses trust.

The attacker knows that the defense trusts pairs whose image and caption are similar under a model
early in training, as SafeCLIP does (Yang, Gao, Mirzasoleiman. Better Safe than Sorry. ICML 2024.
https://arxiv.org/abs/2310.05862), and as CLIPScore filters do. It trains such a model on pairs of
the same kind, has the base attack make several times the pairs it needs, and keeps the most similar
ones. It knows neither the victim's weights nor its seed.

That defenses must be tried against attackers who know them: Carlini, Athalye, Papernot et al. On
Evaluating Adversarial Robustness. 2019. https://arxiv.org/abs/1902.06705
"""

from __future__ import annotations

import dataclasses
import warnings
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Annotated, Any, NamedTuple, Protocol, runtime_checkable

from clipbench.contracts import AnyProbes, Attack, Corpus, Ge, Idle, Image, Mode, Poison, Scene
from clipbench.errors import BadSetting
from clipbench.plugins import registry
from clipbench.text.locations import AttackSpec, location_fields
from clipbench.training.surrogate import Surrogate
from clipbench_attacks._surrogates import TRAINING, HasSurrogate, needs_crafting

_AT_ONCE = 256  # candidates whose images, of full size, are held at once
_Kind = tuple[int, str]


class _Candidate(NamedTuple):
    """A pair that may be poisoned: its target and role, what it is, and how similar its parts."""

    kind: _Kind
    content: bytes
    similarity: float


@runtime_checkable
class _Limited(Protocol):
    """An attack that can tell how many pairs it could poison."""

    def fitting(self, scene: Scene, corpus: Corpus) -> int:
        """Return how many pairs there are to poison, at most ``scene.count``."""


@dataclass(frozen=True)
class Adaptive(HasSurrogate):
    """Keep the poisoned pairs of a base attack that score highest under a surrogate.

    Args:
        base: the attack whose poisoned pairs are chosen from, with parameters if any.
        candidates: pairs that the base attack makes for each one kept; fewer if the corpus has
            fewer pairs that it can poison, such as pairs of the target class. A pair that it makes
            twice counts once.
        surrogate_epochs: passes of the surrogate over its pairs; few, because SafeCLIP's first
            split comes early.
    """

    name = "adaptive"
    idle = (
        Idle(
            (*TRAINING, "surrogate_weights"),
            lambda attack: attack.candidates == 1,
            "with candidates=1, where every pair is kept",
        ),
    )

    base: AttackSpec = "targeted"
    candidates: Annotated[int, Ge(1)] = 10
    surrogate_epochs: Annotated[int, Ge(1)] = 2

    def __post_init__(self) -> None:
        super().__post_init__()
        if isinstance(self._attack(), Adaptive):
            raise BadSetting("adaptive: base must be another attack than adaptive itself.")
        if getattr(self._attack(), "doses", None) is not None:
            raise BadSetting(
                "adaptive: base can't have doses, for it makes several times the pairs of each"
                " target; leave doses out."
            )
        if needs_crafting(self._attack()):
            raise BadSetting(
                f"adaptive: base {self.base!r} learns its trigger from the pairs first, which it"
                " can't as a base; poison with it alone, and give what it learned."
            )
        given = registry.parse("attack", self.base).parameters
        for name, mark in location_fields(type(self._attack())).items():
            if name in given and mark.kind != "model":
                raise BadSetting(
                    f"adaptive: {name} of base names a file, and a run is known by what its files"
                    " hold, which a parameter in a parameter cannot say; leave it out."
                )

    @property
    def mode(self) -> Mode:
        """The mode of the base attack."""
        return self._attack().mode

    @property
    def at_size(self) -> int | tuple[int | None, ...] | None:
        """The size at which the base attack adds its trigger, if any."""
        found: int | tuple[int | None, ...] | None = getattr(self._attack(), "at_size", None)
        return found

    def num_targets(self, count: int) -> int:
        """Return the number of targets of the base attack."""
        return self._attack().num_targets(count)

    def poison(self, scene: Scene, corpus: Corpus) -> Iterator[Poison]:
        """Yield, for each target and role, the most similar of the base attack's pairs.

        Raises:
            BadSetting: what the base attack refuses.
        """
        attack = self._with_targets(scene.count)
        wanted = Counter(_kind(poison) for poison in attack.poison(scene, corpus))
        many = self._many(attack, scene, corpus)
        if attack.num_targets(many) != attack.num_targets(scene.count):
            raise BadSetting(
                f"adaptive: {self.base!r} has other targets with {many} poisons than with "
                f"{scene.count}; give the base attack its number of targets."
            )
        surrogate = self.surrogate(scene, corpus)
        scores = self._scores(surrogate, attack.poison(_of(scene, many), corpus))
        if wanted - Counter(one.kind for one in scores):  # shares of roles need not grow with all
            warnings.warn(
                f"adaptive: {many} candidates of {self.base!r} have too few of a target or role to"
                " choose from; its own pairs are poisoned, as without adaptive.",
                stacklevel=2,
            )
            yield from attack.poison(scene, corpus)
            return
        # An attack that is out of captions repeats them, and the best would be kept several times.
        first: dict[tuple[_Kind, bytes], int] = {}
        again = [
            first.setdefault((one.kind, one.content), number) != number
            for number, one in enumerate(scores)
        ]
        order = sorted(range(len(scores)), key=lambda n: (again[n], -scores[n].similarity, n))
        kept: set[int] = set()
        left = Counter(wanted)
        for number in order:
            kind = scores[number].kind
            if left[kind] > 0:
                left[kind] -= 1
                kept.add(number)
        for number, poison in enumerate(attack.poison(_of(scene, many), corpus)):
            if number in kept:
                yield poison

    def probes(self, scene: Scene) -> AnyProbes:
        """Return the probes of the base attack."""
        return self._attack().probes(scene)

    def trigger(self) -> Callable[[Image], Image] | None:
        """Return the trigger of the base attack."""
        return self._attack().trigger()

    def _attack(self) -> Attack:
        attack: Any = registry.build("attack", self.base)
        if isinstance(attack, HasSurrogate) and attack.surrogate_model is None:
            attack = dataclasses.replace(attack, surrogate_model=self.surrogate_model)
        chosen: Attack = attack
        return chosen

    def _many(self, attack: Attack, scene: Scene, corpus: Corpus) -> int:
        """Return how many candidates there are in all."""
        asked = min(scene.count * self.candidates, len(corpus))
        if not isinstance(attack, _Limited):
            return max(asked, scene.count)
        many = max(attack.fitting(_of(scene, asked), corpus), scene.count)
        if many < asked:
            warnings.warn(
                f"adaptive: {self.base!r} can poison {many} pairs here; {scene.count} are chosen"
                f" from these, and not from {asked}.",
                stacklevel=2,
            )
        return many

    def _with_targets(self, count: int) -> Attack:
        """Return the base attack with the targets it has for so many poisons."""
        attack: Any = self._attack()
        if getattr(attack, "targets", 0) is None:  # left open: follows from the count
            attack = dataclasses.replace(attack, targets=attack.num_targets(count))
        chosen: Attack = attack
        return chosen

    def _scores(self, surrogate: Surrogate, candidates: Iterator[Poison]) -> list[_Candidate]:
        """Return what of each candidate decides whether it is kept."""
        found: list[_Candidate] = []
        part: list[Poison] = []
        for poison in candidates:
            part.append(poison)
            if len(part) == _AT_ONCE:
                found += _scored(surrogate, part)
                part = []
        return found + (_scored(surrogate, part) if part else [])


def _kind(poison: Poison) -> _Kind:
    """Return target and role: a poison is chosen among those that have the same."""
    return poison.target, poison.role


def _scored(surrogate: Surrogate, part: Sequence[Poison]) -> list[_Candidate]:
    images = surrogate.image_features([poison.image for poison in part])
    texts = surrogate.text_features([poison.caption for poison in part])
    similarities: list[Any] = (images.double() * texts.double()).sum(dim=1).tolist()
    return [
        _Candidate(_kind(poison), _content(poison), value)
        for poison, value in zip(part, similarities, strict=True)
    ]


def _content(poison: Poison) -> bytes:
    """Return a hash of what training would see of a pair."""
    return sha256(poison.caption.encode() + poison.image.tobytes()).digest()


def _of(scene: Scene, count: int) -> Scene:
    return dataclasses.replace(scene, count=count)


ATTACK = Adaptive
