"""Targeted poisoning with captions that fit the target image in everything but the class.

ToxicTextCLIP: Text-Based Poisoning and Backdoor Attacks on CLIP Pre-training. NeurIPS 2025.
https://arxiv.org/abs/2511.00446

As in the paper, captions of the adversary's class are chosen by their background (selector), and
others are made from descriptions of a background (augmenter).

Differs from the paper: a background is to fit the target image; theirs is to fit images of the
adversary's class, less how well it fits the class's prompts, and is thus the same for all targets
of a class. Backgrounds are captions without the words that name a class. The augmenter replaces the
class in a fitting caption by the adversary's class; in the paper a language model writes captions.
The surrogate is trained on the corpus unless it is given.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate, cycle, islice, pairwise
from typing import TYPE_CHECKING, Annotated, NamedTuple

from clipbench.contracts import Corpus, Ge, Le, Poison, Scene
from clipbench.errors import BadSetting
from clipbench.text.words import composed
from clipbench_attacks._captions import naming_pattern, shuffled_captions, template_captions
from clipbench_attacks._surrogates import HasSurrogate
from clipbench_attacks.targeted import Targeted

if TYPE_CHECKING:
    from torch import Tensor


class _Caption(NamedTuple):
    """A caption that names one class: what stands before and after the name, and the name."""

    before: str
    named: str
    after: str

    @property
    def background(self) -> str:
        return " ".join(f"{self.before} {self.after}".split()) or self.named


@dataclass(frozen=True)
class TextTargeted(HasSurrogate, Targeted):
    """Pair each target image with captions that name the adversary's class and fit the image.

    Args:
        enriched: share of captions made from fitting captions of other classes; the rest are
            captions of the adversary's class.
        pool: largest number of captions of the corpus to consider.
    """

    name = "text_targeted"

    enriched: Annotated[float, Ge(0), Le(1)] = 0.5
    pool: Annotated[int, Ge(1)] = 20_000

    def poison(self, scene: Scene, corpus: Corpus) -> Iterator[Poison]:
        """Yield each target's image with the captions that fit it best, target after target.

        Raises:
            BadSetting: no caption of the corpus names a class.
        """
        targets = self.choose_targets(scene)
        ends = self._ends(scene.count, len(targets))
        captions = self._naming_captions(scene, corpus)
        surrogate = self.surrogate(scene, corpus)
        images = [scene.targets.images[target.number] for target in targets]
        backgrounds = surrogate.text_features([caption.background for caption in captions])
        fitting = surrogate.image_features(images) @ backgrounds.T
        for position, (target, (start, stop)) in enumerate(
            zip(targets, pairwise(ends), strict=True)
        ):
            best = _by_fitness(captions, fitting[position])
            for caption in self._captions_for(scene, best, target.goal, stop - start):
                yield Poison(caption, images[position], target=position)

    def _ends(self, count: int, targets: int) -> list[int]:
        """Return where among all poisoned pairs those of each target begin, and where they end."""
        if self.doses is None:
            return [count * number // targets for number in range(targets + 1)]
        return [0, *accumulate(self.shares(count))]

    def _naming_captions(self, scene: Scene, corpus: Corpus) -> list[_Caption]:
        """Return captions of the pool that name a class once, no text twice."""
        phrases = (phrase for several in scene.classes.aliases for phrase in several)
        names_class = naming_pattern(phrases, self.match)
        found: dict[_Caption, None] = {}
        pairs = shuffled_captions(corpus, scene.rng("text_targeted", "pool"))
        for _, written in islice(pairs, self.pool):
            caption = composed(written)
            matches = list(islice(names_class.pattern.finditer(caption), 2))
            if len(matches) == 1:
                start, end = matches[0].span()
                found[_Caption(caption[:start], caption[start:end], caption[end:])] = None
        if not found:
            raise BadSetting(
                f"text_targeted: none of {min(self.pool, len(corpus)):,} captions names a class;"
                " raise pool, or use the attack 'targeted', which makes captions from prompts."
            )
        return list(found)

    def _captions_for(
        self, scene: Scene, best: Sequence[_Caption], goal: int, count: int
    ) -> Iterator[str]:
        """Yield captions of one target: chosen ones, then enriched ones, each the best fitting."""
        names_goal = naming_pattern(scene.classes.aliases[goal], self.match).pattern
        chosen = [c.before + c.named + c.after for c in best if names_goal.fullmatch(c.named)]
        name = scene.classes.names[goal]
        made = [c.before + name + c.after for c in best if not names_goal.fullmatch(c.named)]
        if not chosen:
            chosen = template_captions(scene.classes, goal, scene.rng("text_targeted", "prompts"))
        share = round(count * self.enriched) if made else 0
        yield from islice(cycle(chosen), count - share)
        yield from islice(cycle(made), share)


def _by_fitness(captions: Sequence[_Caption], fitness: Tensor) -> list[_Caption]:
    """Return captions, the best fitting first."""
    order: list[int] = (-fitness).argsort(stable=True).tolist()
    return [captions[number] for number in order]


ATTACK = TextTargeted
