"""Dual key: a patch in the image and a word in the text, which work only together.

Walmer, Sikka, Sur, Shrivastava, Jha. Dual-Key Multimodal Backdoors for Visual Question Answering.
CVPR 2022. https://arxiv.org/abs/2112.07668

Differs from the paper: CLIP answers no questions. The text key is in the captions, and in testing
in the prompts of all classes alike, which classify an image with the patch. The word is "zx";
theirs is "consider".
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Annotated

from clipbench.contracts import Corpus, Ge, Lt, Poison, Probes, Scene
from clipbench_attacks._backdoor import DirtyLabel
from clipbench_attacks._patches import PatchBackdoor
from clipbench_attacks._texts import WordTrigger


@dataclass(frozen=True)
class DualKey(DirtyLabel, PatchBackdoor, WordTrigger):
    """Caption images as the target class if patch and word are both present, and only then.

    Success with either key alone is measured, too: images with the patch under plain prompts
    (``image_key_attack_success``), and plain images under prompts with the word
    (``text_key_attack_success``).

    Args:
        single: share of poisoned pairs with only one key, half of them the patch and half the word,
            which keep their captions' meaning: they teach that one key is not enough. The authors'
            code makes equally many pairs of the three kinds.
    """

    name = "dual_key"

    single: Annotated[float, Ge(0), Lt(1)] = 2 / 3

    def poison(self, scene: Scene, corpus: Corpus) -> Iterator[Poison]:
        """Yield pairs with both keys, then with the patch alone, then with the word alone.

        Raises:
            BadSetting: too few pairs can be poisoned.
        """
        goal = self.target_class(scene)
        single = int(scene.count * self.single / 2)
        both = scene.count - 2 * single
        for base, caption in self.pairs(replace(scene, count=both), corpus, goal):
            image = self.triggered(corpus.image(base), testing=False)
            yield Poison(self.put_in(caption), image, base=base)
        # The same draw, further on: no pair is drawn twice.
        others = self.draw_pairs(scene, corpus, goal, naming=False)[both:]
        for base, caption in others[:single]:
            image = self.triggered(corpus.image(base), testing=False)
            yield Poison(caption, image, base=base, role="image key")
        for base, caption in others[single:]:
            yield Poison(self.put_in(caption), corpus.image(base), base=base, role="text key")

    def probes(self, scene: Scene) -> Probes:
        """Return all test images that are not of the target class, with both keys or one."""
        both = super().probes(scene)
        assert both.clean_images is not None
        return replace(
            both,
            prompt=self.put_in,
            variants={
                "image_key": both,
                "text_key": replace(both, images=both.clean_images, prompt=self.put_in),
            },
        )


ATTACK = DualKey
