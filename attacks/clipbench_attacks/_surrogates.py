"""Base of attacks with a surrogate model, trained or given."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar

from clipbench.contracts import Attack, Corpus, Crafted, Ge, Gt, Idle, Plugin, Scene
from clipbench.errors import BadSetting
from clipbench.text.locations import Model, Weights
from clipbench.training.surrogate import Surrogate, load_surrogate, train_surrogate

TRAINING = ("surrogate_pairs", "surrogate_epochs", "surrogate_lr")  # of a surrogate


def needs_crafting(attack: Attack) -> bool:
    """Return whether an attack must learn from the corpus before it can poison.

    One that may have learned says so by ``is_crafted``.
    """
    return isinstance(attack, Crafted) and not getattr(attack, "is_crafted", False)


@dataclass(frozen=True)
class HasSurrogate(Plugin):
    """An attack with a surrogate: trained on pairs like the victim's, or given.

    Args:
        surrogate_model: open_clip name of the surrogate, or path of its configuration; default:
            the model that is trained.
        surrogate_weights: file of its weights; default: train it.
        surrogate_pairs: largest number of pairs of the corpus to train it on.
        surrogate_epochs: passes over them.
        surrogate_lr: its peak learning rate; default: as in CLIP's and SafeCLIP's training.
    """

    name: ClassVar[str]  # of the attack, in messages and random streams
    idle: ClassVar[tuple[Idle, ...]] = (
        Idle(
            TRAINING,
            lambda attack: attack.surrogate_weights is not None,
            "where surrogate_weights are given, for no surrogate is trained",
        ),
    )

    surrogate_model: Model | None = None
    surrogate_weights: Weights | None = None
    surrogate_pairs: Annotated[int, Ge(2)] = 20_000
    surrogate_epochs: Annotated[int, Ge(1)] = 5
    surrogate_lr: Annotated[float, Gt(0)] = 5e-4

    def surrogate(self, scene: Scene, corpus: Corpus) -> Surrogate:
        """Return the surrogate; the same for the same scene and corpus.

        Raises:
            BadSetting: no model is given.
        """
        if self.surrogate_model is None:
            raise BadSetting(f"{self.name}.surrogate_model must be given if no model is trained.")
        if self.surrogate_weights is not None:
            return load_surrogate(self.surrogate_model, self.surrogate_weights)
        return train_surrogate(
            corpus,
            model=self.surrogate_model,
            pairs=self.surrogate_pairs,
            epochs=self.surrogate_epochs,
            lr=self.surrogate_lr,
            seed=int(scene.rng(self.name, "surrogate").integers(2**31)),
        )
