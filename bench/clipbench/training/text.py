"""Captions as token arrays, with EDA augmentation redrawn for every view.

open_clip's tokenizer works on one string at a time. Here each distinct word is tokenised once, and
a caption is the concatenation of its words' tokens, which is the same because open_clip's pattern
never matches across white space (a test holds the two against each other).
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Mapping, Sequence
from copy import copy
from itertools import chain
from typing import Any, cast

import numpy as np
import numpy.typing as npt

from clipbench.errors import BadSetting
from clipbench.models import Tokenizer
from clipbench.training.eda import Synonyms, augment_words

_LONGEST_TOKEN = 33  # characters; the longest of CLIP's vocabulary has 32
IntArray = npt.NDArray[np.int64]
WordArray = npt.NDArray[np.int32]


def check_text_tower(name: str, config: Mapping[str, Any]) -> None:
    """Refuse a model whose captions could not be augmented, before anything is made of it.

    Args:
        name: the model, for the message.
        config: its open_clip configuration.

    Raises:
        BadSetting: its tokenizer, or its text tower, is one of Hugging Face's transformers.
    """
    text = config["text_cfg"]
    foreign = text.get("hf_model_name") or text.get("hf_tokenizer_name")
    if foreign:
        raise BadSetting(
            f"Training needs open_clip's byte-pair tokenizer; the model {name!r} takes that of"
            f" {foreign}. Choose a model with OpenAI's tokenizer, e.g. RN50 or ViT-B-32."
        )


class CaptionTable:
    """All captions of a set as word numbers, and the tokens of each word.

    Args:
        captions: the captions, in the order of the set.
        tokenizer: open_clip's byte-pair tokenizer.
        synonyms: synonyms of single lower-case words, for augmentation.
        context_length: L, tokens of a caption, start and end included.
    """

    def __init__(
        self,
        captions: Iterable[str],
        tokenizer: Tokenizer,
        synonyms: Mapping[str, Sequence[str]],
        context_length: int,
    ) -> None:
        if not hasattr(tokenizer, "bpe"):
            raise BadSetting(
                f"Training needs open_clip's byte-pair tokenizer; this model uses"
                f" {type(tokenizer).__name__}. Choose a model with OpenAI's tokenizer."
            )
        if getattr(tokenizer, "reduction_fn", None) is not None:
            raise BadSetting(
                "Training cannot follow the tokenizer's own reduction of long captions."
                " Remove reduction_mask from the model's configuration."
            )
        self.context_length = context_length
        self._tokenizer = cast("Any", tokenizer)
        self._lowers = self._tokenizer.clean_fn("A_b-c.") == "a_b-c."
        # Words are cleaned as part of their caption; cleaning one again could change it further.
        self._splitter = cast("Any", copy(tokenizer))
        self._splitter.clean_fn = str
        self._numbers: dict[str, int] = {"": 0}  # stands for padding, and has no tokens
        self._tokens: list[list[int]] = [[]]
        self._read(captions)
        self._synonyms = self._synonym_table(synonyms)
        self._pack()

    def __len__(self) -> int:
        return len(self._starts) - 1

    def _read(self, captions: Iterable[str]) -> None:
        flat = array("i")  # a list of a million captions' words would take gigabytes
        starts = [0]
        for caption in captions:
            flat.extend(self._number(word) for word in self._clean(caption).split())
            starts.append(len(flat))
        self._words: WordArray = np.frombuffer(flat, dtype=np.int32)
        self._starts: IntArray = np.asarray(starts, dtype=np.int64)

    def _clean(self, caption: str) -> str:
        if self._lowers and caption.isascii() and caption.isprintable() and "&" not in caption:
            return caption.lower()  # what the tokenizer's cleaning leaves of plain text
        return str(self._tokenizer.clean_fn(caption))

    def _number(self, word: str) -> int:
        number = self._numbers.get(word)
        if number is None:
            number = self._numbers[word] = len(self._tokens)
            # No caption holds more tokens, and one endless word must not cost every word memory.
            # Nor is more looked at than could be its tokens: the time taken grows with its square.
            seen = word[: self.context_length * _LONGEST_TOKEN]
            self._tokens.append(self._splitter.encode(seen)[: self.context_length])
        return number

    def _synonym_table(self, synonyms: Mapping[str, Sequence[str]]) -> Synonyms:
        numbered = {
            self._number(self._clean(word)): [self._number(self._clean(other)) for other in others]
            for word, others in sorted(synonyms.items())
            if others
        }
        width = max((len(others) for others in numbered.values()), default=1)
        table = np.zeros((len(self._tokens), width), dtype=np.int32)
        counts = np.zeros(len(self._tokens), dtype=np.int32)
        for word, others in numbered.items():
            table[word, : len(others)] = others
            counts[word] = len(others)
        return Synonyms(table, counts)

    def _pack(self) -> None:
        counts = [len(tokens) for tokens in self._tokens]
        self._token_counts = np.asarray(counts, dtype=np.int64)
        self._token_starts = np.cumsum([0, *counts[:-1]])
        self._all_tokens = np.fromiter(chain.from_iterable(self._tokens), np.int64, sum(counts))
        self._start_token = int(self._tokenizer.sot_token_id)
        self._end_token = int(self._tokenizer.eot_token_id)

    def vocabulary(self) -> IntArray:
        """Return every token a caption or its augmentation can have, sorted, padding included."""
        used = {token for tokens in self._tokens for token in tokens}
        return np.asarray(sorted(used | {0, self._start_token, self._end_token}), dtype=np.int64)

    def words(self, indices: IntArray) -> tuple[WordArray, IntArray]:
        """Return the words of captions, ``(B, W)`` padded with 0, and their counts ``(B,)``."""
        counts = self._starts[indices + 1] - self._starts[indices]
        width = max(1, int(counts.max(initial=1)))
        place = self._starts[indices][:, None] + np.arange(width)
        inside = np.arange(width) < counts[:, None]
        words = np.zeros(place.shape, dtype=np.int32)
        words[inside] = self._words[place[inside]]
        return words, counts

    def tokens(self, indices: IntArray) -> IntArray:
        """Return the tokens of captions as they are, ``(B, L)``."""
        return self._encode(*self.words(indices))

    def augmented(self, indices: IntArray, alpha: float, rng: np.random.Generator) -> IntArray:
        """Return the tokens of freshly augmented captions, ``(B, L)``.

        Args:
            indices: numbers of the captions, ``(B,)``.
            alpha: strength of EDA; 0 leaves captions as they are.
            rng: decides the augmentation; its draws depend on the batch alone.
        """
        words, counts = self.words(indices)
        if alpha > 0:
            words, counts = augment_words(words, counts, self._synonyms, alpha, rng)
        return self._encode(words, counts)

    def _encode(self, words: WordArray, counts: IntArray) -> IntArray:
        """Lay out the tokens of each row as open_clip does: start, words, end, zeros."""
        inside = np.arange(words.shape[1]) < counts[:, None]
        lengths = np.where(inside, self._token_counts[words], 0)
        ends = np.cumsum(lengths, axis=1) + 1
        place = ends - lengths
        length = self.context_length
        tokens = np.zeros((len(words), length), dtype=np.int64)
        tokens[:, 0] = self._start_token
        for part in range(int(lengths.max(initial=0))):
            row, column = np.nonzero((lengths > part) & (place + part < length - 1))
            token = self._all_tokens[self._token_starts[words[row, column]] + part]
            tokens[row, place[row, column] + part] = token
        last = np.minimum(ends[:, -1], length - 1)
        tokens[np.arange(len(words)), last] = self._end_token
        return tokens
