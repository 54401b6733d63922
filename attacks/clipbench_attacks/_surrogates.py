"""Base of attacks with a surrogate model, trained or given."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from clipbench.contracts import Corpus, Scene
from clipbench.errors import BadSetting
from clipbench.text.locations import Model, Weights
from clipbench.training.surrogate import Surrogate, load_surrogate, train_surrogate


@dataclass(frozen=True)
class HasSurrogate:
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

    surrogate_model: Model | None = None
    surrogate_weights: Weights | None = None
    surrogate_pairs: int = 20_000
    surrogate_epochs: int = 5
    surrogate_lr: float = 5e-4

    def __post_init__(self) -> None:
        for field, least in (("surrogate_pairs", 2), ("surrogate_epochs", 1)):
            value = getattr(self, field)
            if value < least:
                raise BadSetting(f"{self.name}.{field} must be at least {least}. Got {value!r}.")
        if not 0 < self.surrogate_lr < float("inf"):
            raise BadSetting(
                f"{self.name}.surrogate_lr must be above 0. Got {self.surrogate_lr!r}."
            )

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
