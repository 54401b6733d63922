"""Captions as token arrays, with EDA augmentation redrawn for every view."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, cast

import numpy as np
import numpy.typing as npt

from clipbench.errors import BadSetting
from clipbench.models import Tokenizer
from clipbench.training.eda import augment_words
from clipbench.training.words import WordTable, check_tokenizer, word_table

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
    """All captions of a set, as tokens.

    Args:
        captions: the captions, in the order of the set, or the table that was made of them.
        tokenizer: open_clip's byte-pair tokenizer.
        synonyms: synonyms of single lower-case words, for augmentation; a table has its own.
        context_length: L, tokens of a caption, start and end included.

    Raises:
        BadSetting: captions of another tokenizer can't be put together from words.
    """

    def __init__(
        self,
        captions: Iterable[str] | WordTable,
        tokenizer: Tokenizer,
        synonyms: Mapping[str, Sequence[str]],
        context_length: int,
    ) -> None:
        check_tokenizer(tokenizer)
        self.context_length = context_length
        if not isinstance(captions, WordTable):
            captions = word_table(captions, tokenizer, synonyms, context_length)
        table = captions
        self._words, self._starts = table.words, table.starts
        self._token_counts, self._all_tokens = table.token_counts, table.tokens
        self._token_starts = np.cumsum(table.token_counts) - table.token_counts
        self._synonyms = table.synonyms()
        self._start_token = int(cast("Any", tokenizer).sot_token_id)
        self._end_token = int(cast("Any", tokenizer).eot_token_id)

    def __len__(self) -> int:
        return len(self._starts) - 1

    def vocabulary(self) -> IntArray:
        """Return every token a caption or its augmentation can have, sorted, padding included."""
        return np.unique(
            np.concatenate([self._all_tokens, [0, self._start_token, self._end_token]])
        )

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
