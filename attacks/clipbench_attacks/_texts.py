"""Triggers in captions: an inserted word or sentence."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal

from clipbench.contracts import Matches, Plugin
from clipbench.text.locations import Word

Position = Literal["start", "middle", "end"]


_WORD = Matches(r"[^{}]*[^{}\s][^{}]*", "a word or a sentence without braces")


@dataclass(frozen=True)
class WordTrigger(Plugin):
    """An attack whose trigger is a word or a sentence in the caption.

    Args:
        word: the word or sentence.
        position: where in the caption it is inserted: at the start, where truncating a long
            caption never removes it, after half of the words, or at the end.
    """

    name: ClassVar[str]  # of the attack, in messages

    word: Annotated[Word, _WORD] = "zx"
    position: Position = "start"

    def put_in(self, caption: str) -> str:
        """Return a caption with the trigger in, a pure function of the caption."""
        words = caption.split()
        place = {"start": 0, "middle": (len(words) + 1) // 2, "end": len(words)}[self.position]
        return " ".join([*words[:place], self.word.strip(), *words[place:]])
