"""Triggers in captions: an inserted word or sentence."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

from clipbench.errors import BadSetting
from clipbench.text.locations import Word
from clipbench_attacks._checks import check_choice

Position = Literal["start", "middle", "end"]


@dataclass(frozen=True)
class WordTrigger:
    """An attack whose trigger is a word or a sentence in the caption.

    Args:
        word: the word or sentence.
        position: where in the caption it is inserted: at the start, where truncating a long
            caption never removes it, after half of the words, or at the end.
    """

    name: ClassVar[str]  # of the attack, in messages

    word: Word = "zx"
    position: Position = "start"

    def __post_init__(self) -> None:
        if not self.word.strip() or set("{}") & set(self.word):
            raise BadSetting(
                f"{self.name}.word must be a word or a sentence without braces. Got {self.word!r}."
            )
        check_choice(self.name, "position", self.position, Position)

    def put_in(self, caption: str) -> str:
        """Return a caption with the trigger in, a pure function of the caption."""
        words = caption.split()
        place = {"start": 0, "middle": (len(words) + 1) // 2, "end": len(words)}[self.position]
        return " ".join([*words[:place], self.word.strip(), *words[place:]])
