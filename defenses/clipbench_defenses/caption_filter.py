"""Caption filter: drop the pairs whose captions look wrong, and train on the rest.

Rules used for crawled sets. Length: Gadre et al. DataComp. NeurIPS 2023, section 3.5 and appendix,
"basic filtering". https://arxiv.org/abs/2304.14108

Not from a paper on poisoning, but common practice before training on crawled data.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal

import numpy as np
import torch
from torch import Tensor

from clipbench.contracts import DefenseRun, EpochPairs, Ge, Phase, Plugin, TrainingFacts
from clipbench.errors import BadSetting
from clipbench.rng import generator
from clipbench.text.locations import Word
from clipbench.toolkit.captions import caption_hash
from clipbench_defenses._plain import loss


@dataclass(frozen=True)
class CaptionFilter(Plugin):
    """Drop captions that are too short, too long, repeated, or that do not match a pattern.

    Args:
        min_words: smallest number of words in a caption.
        max_words: largest number of words in a caption; none: no limit.
        pattern: regular expression that must match somewhere in the caption, as in
            pattern="[a-z]"; none: any caption.
        letters: alphabet of all letters in a caption: any, ascii or latin.
        repeats: largest number of pairs with the same caption, ignoring case and space; which ones
            are kept is drawn from the seed. none: no limit.
    """

    min_words: Annotated[int, Ge(0)] = 3
    max_words: Annotated[int, Ge(1)] | None = None
    pattern: Word | None = None
    letters: Literal["any", "ascii", "latin"] = "any"
    repeats: Annotated[int, Ge(1)] | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.max_words is not None and self.max_words < self.min_words:
            raise BadSetting(
                f"caption_filter.max_words must be at least min_words. Got {self.max_words}."
            )
        try:
            re.compile(self.pattern or "")
        except re.error as error:
            raise BadSetting(
                f"caption_filter.pattern is no regular expression: {error}. Got {self.pattern!r}."
            ) from error

    def start(self, facts: TrainingFacts) -> DefenseRun:
        """Return the filter for one training run."""
        return CaptionFilterRun(self, facts.seed)

    def passes(self, caption: str) -> bool:
        """Return whether a caption passes the rules that concern it alone."""
        words = len(caption.split())
        last = _LAST[self.letters]
        return (
            self.min_words <= words
            and (self.max_words is None or words <= self.max_words)
            and (self.pattern is None or re.search(self.pattern, caption) is not None)
            and all(ord(character) <= last for character in caption if character.isalpha())
        )


_LAST = {"any": 0x10FFFF, "ascii": 0x7F, "latin": 0x24F}  # code points of the last letters


class CaptionFilterRun:
    """The filter during one training run; it reads all captions before the first epoch."""

    def __init__(self, config: CaptionFilter, seed: int) -> None:
        self._config, self._seed = config, seed
        self._keep: Tensor | None = None

    def phases(self, epoch: int, pairs: EpochPairs) -> Iterator[Phase]:  # noqa: ARG002
        """Yield the one phase of an epoch; before the first, read all captions."""
        if self._keep is None:
            self._keep = self._kept(pairs.whole_set.captions())
        yield Phase("kept", loss, keep=self._keep[torch.from_numpy(pairs.numbers)])

    def _kept(self, captions: Sequence[str]) -> Tensor:
        sound = np.fromiter((self._config.passes(caption) for caption in captions), dtype=bool)
        most = self._config.repeats
        if most is not None:
            seen: Counter[str] = Counter()
            texts = [caption_hash(caption) for caption in captions]
            for number in generator(self._seed, "caption_filter").permutation(len(texts)).tolist():
                if sound[number]:
                    seen[texts[number]] += 1
                    sound[number] = seen[texts[number]] <= most
        return torch.from_numpy(sound)

    def state_dict(self) -> dict[str, object]:
        """Return the pairs to keep."""
        return {"keep": self._keep}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue from a saved state."""
        self._keep = state["keep"]


DEFENSE = CaptionFilter
