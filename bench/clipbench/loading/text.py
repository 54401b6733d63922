"""Captions as token arrays, with EDA augmentation redrawn for every view."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import numpy.typing as npt

from clipbench.errors import BadSetting
from clipbench.loading.eda import Captions, augment_words, places
from clipbench.loading.words import WordTable, byte_pairs, check_tokenizer, word_table
from clipbench.models.openclip import Architecture, Tokenizer
from clipbench.rng import RowStreams

IntArray = npt.NDArray[np.int64]
WordArray = npt.NDArray[np.int32]


def check_text_tower(name: str, config: Architecture) -> None:
    """Refuse a model that can be measured and not trained, before anything is made of it.

    Args:
        name: the model, for the message.
        config: its open_clip configuration.

    Raises:
        BadSetting: its tokenizer, or its text tower, is one of Hugging Face's transformers, whose
            captions could not be augmented; or it is a CoCa, whose decoder no loss here trains.
    """
    if "multimodal_cfg" in config:
        raise BadSetting(
            f"The model {name!r} has a text decoder, which is not trained here; it can be measured"
            " (`clipbench evaluate`) and score pairs. Choose one of two towers alone, e.g. RN50 or"
            " ViT-B-32."
        )
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
        self._synonyms = table.alternatives()
        pairs = byte_pairs(tokenizer)
        self._start_token, self._end_token = int(pairs.sot_token_id), int(pairs.eot_token_id)

    def __len__(self) -> int:
        return len(self._starts) - 1

    def vocabulary(self) -> IntArray:
        """Return every token a caption or its augmentation can have, sorted, padding included."""
        return np.unique(
            np.concatenate([self._all_tokens, [0, self._start_token, self._end_token]])
        )

    def words(self, indices: IntArray) -> Captions:
        """Return the words of captions, at most twice as many as a context holds tokens."""
        starts = self._starts[indices]
        counts = self._starts[indices + 1] - starts
        return Captions(self._words[places(starts, counts)], counts)

    def tokens(self, indices: IntArray) -> IntArray:
        """Return the tokens of captions as they are, ``(B, L)``."""
        return self._encode(self.words(indices))

    def augmented(self, indices: IntArray, alpha: float, streams: RowStreams) -> IntArray:
        """Return the tokens of freshly augmented captions, ``(B, L)``.

        Args:
            indices: numbers of the captions, ``(B,)``.
            alpha: strength of EDA; 0 leaves captions as they are.
            streams: those of the captions, ``(B,)``; they decide the augmentation.
        """
        words = self.words(indices)
        if alpha > 0:
            words = augment_words(words, self._synonyms, alpha, streams)
        return self._encode(words)

    def _encode(self, captions: Captions) -> IntArray:
        """Lay out the tokens of each caption as open_clip does: start, words, end, zeros."""
        words, counts = captions
        lengths = self._token_counts[words]
        so_far = np.concatenate([[0], np.cumsum(lengths)])
        first = so_far[captions.starts]
        own = so_far[captions.starts + counts] - first
        room = self.context_length - 2
        shown = np.minimum(own, room)
        rows = np.repeat(np.arange(len(counts)), shown)
        columns = places(np.ones_like(shown), shown)
        tokens = np.zeros((len(counts), self.context_length), dtype=np.int64)
        tokens[:, 0] = self._start_token
        laid = self._all_tokens[places(self._token_starts[words], lengths)]
        tokens[rows, columns] = laid[places(first, shown)]
        tokens[np.arange(len(counts)), 1 + shown] = self._end_token
        return tokens
