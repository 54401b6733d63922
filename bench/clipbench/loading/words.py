"""Captions as numbers of words, and the tokens of each word: what a caption table is made of.

open_clip's tokenizer works on one string at a time. Here each distinct word is tokenized once, and
a caption is the concatenation of its words' tokens, which is the same because open_clip's pattern
never matches across white space (a test holds the two against each other).
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from copy import copy
from dataclasses import dataclass
from itertools import chain
from typing import NamedTuple, Protocol, cast

import numpy as np
import numpy.typing as npt

from clipbench.errors import BadSetting
from clipbench.loading.eda import Synonyms
from clipbench.models.openclip import Tokenizer

_LONGEST_TOKEN = 33  # characters; the longest of CLIP's vocabulary has 32
IntArray = npt.NDArray[np.int64]
WordArray = npt.NDArray[np.int32]


class BytePairs(Protocol):
    """What is used of open_clip's byte-pair tokenizer.

    Args:
        clean_fn: cleans a text before it is split.
        encoder: the number of each token.
        bpe_ranks: in which order neighbors are joined.
        pat: what a text is split by.
        sot_token_id: the token before a text.
        eot_token_id: the token behind it.
    """

    clean_fn: Callable[[str], str]
    encoder: Mapping[str, int]
    bpe_ranks: Mapping[tuple[str, str], int]
    pat: object
    sot_token_id: int
    eot_token_id: int

    def encode(self, text: str) -> list[int]:
        """Return the tokens of a text."""


def byte_pairs(tokenizer: Tokenizer) -> BytePairs:
    """Return a tokenizer that `check_tokenizer` has let pass as what it is."""
    return cast("BytePairs", tokenizer)


class WordTable(NamedTuple):
    """The captions of a set as numbers of words, and the tokens of each word.

    Word 0 stands for padding and has no tokens. Arrays may be mapped from files.

    Args:
        words: ``(W,)`` the words of all captions, one after another.
        starts: ``(N + 1,)`` where those of each caption start, and where the last one's end.
        token_counts: ``(V,)`` tokens of each word.
        tokens: ``(T,)`` the tokens of all words, one after another.
        synonym_words: ``(V * S,)`` S synonyms of each word, padded beyond its count.
        synonym_counts: ``(V,)`` synonyms of each word.
    """

    words: WordArray
    starts: IntArray
    token_counts: IntArray
    tokens: IntArray
    synonym_words: WordArray
    synonym_counts: WordArray

    def alternatives(self) -> Synonyms:
        """Return what may stand for each word."""
        table = self.synonym_words.reshape(len(self.synonym_counts), -1)
        return Synonyms(table, self.synonym_counts)


def check_tokenizer(tokenizer: Tokenizer) -> None:
    """Refuse a tokenizer whose captions can't be put together from words.

    Raises:
        BadSetting: it is not open_clip's, or shortens captions in a way of its own.
    """
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


@dataclass(frozen=True)
class Cleaning:
    """How a tokenizer cleans captions before it splits them.

    Args:
        clean: the tokenizer's own function.
        lowers: whether that makes all letters small and leaves the rest of plain text as it is.
    """

    clean: Callable[[str], str]
    lowers: bool

    @classmethod
    def of(cls, tokenizer: Tokenizer) -> Cleaning:
        """Return how a tokenizer cleans."""
        clean = byte_pairs(tokenizer).clean_fn
        return cls(clean, clean("A_b-c.") == "a_b-c.")

    def __call__(self, caption: str) -> str:
        """Return a caption as the tokenizer would split it."""
        if self.lowers and caption.isascii() and caption.isprintable() and "&" not in caption:
            return caption.lower()  # what the tokenizer's cleaning leaves of plain text
        return str(self.clean(caption))


class Numbering:
    """Numbers words in the order in which they come; 0 stands for padding."""

    def __init__(self) -> None:
        self._numbers: dict[str, int] = {"": 0}

    def __len__(self) -> int:
        return len(self._numbers)

    def __iter__(self) -> Iterator[str]:
        """Yield all words in the order of their numbers."""
        return iter(self._numbers)

    def number(self, word: str) -> int:
        """Return the number of a word."""
        return self._numbers.setdefault(word, len(self._numbers))

    def read(
        self, captions: Iterable[str], cleaning: Cleaning, context_length: int
    ) -> tuple[WordArray, IntArray]:
        """Return the words of captions, ``(W,)``, and how many each caption has, ``(N,)``.

        Of more than twice as many words as a context holds tokens no model sees any, and few that
        deletion could pull in; but augmentation would take its time over all of them.
        """
        most = 2 * context_length
        flat, counts = array("i"), array("q")  # lists of a million captions take gigabytes
        for caption in captions:
            words = cleaning(caption).split()[:most]
            flat.extend(map(self.number, words))
            counts.append(len(words))
        return np.frombuffer(flat, dtype=np.int32), np.frombuffer(counts, dtype=np.int64)


def tokens_of(
    words: Iterable[str], tokenizer: Tokenizer, context_length: int
) -> tuple[IntArray, IntArray]:
    """Return how many tokens words have, ``(V,)``, and all of them, ``(T,)``.

    Args:
        words: cleaned as part of their captions; cleaning one again could change it further.
        tokenizer: open_clip's byte-pair tokenizer.
        context_length: no caption holds more tokens, and one endless word must not cost memory.
    """
    splitter = byte_pairs(copy(tokenizer))
    splitter.clean_fn = str
    # Nor is more looked at than could be its tokens: the time taken grows with its square.
    longest = context_length * _LONGEST_TOKEN
    found = [splitter.encode(word[:longest])[:context_length] if word else [] for word in words]
    counts = [len(tokens) for tokens in found]
    flat = np.fromiter(chain.from_iterable(found), np.int64, sum(counts))
    return np.asarray(counts, dtype=np.int64), flat


def numbered_synonyms(
    synonyms: Mapping[str, Sequence[str]], numbering: Numbering, cleaning: Cleaning
) -> Synonyms:
    """Return the synonyms of all words by number, once all captions are read."""

    def number(word: str) -> int:
        return numbering.number(cleaning(word))

    numbered = {
        number(word): [*map(number, others)] for word, others in sorted(synonyms.items()) if others
    }
    width = max((len(others) for others in numbered.values()), default=1)
    table = np.zeros((len(numbering), width), dtype=np.int32)
    counts = np.zeros(len(numbering), dtype=np.int32)
    for word, others in numbered.items():
        table[word, : len(others)] = others
        counts[word] = len(others)
    return Synonyms(table, counts)


def word_table(
    captions: Iterable[str],
    tokenizer: Tokenizer,
    synonyms: Mapping[str, Sequence[str]],
    context_length: int,
) -> WordTable:
    """Return the table of captions, in memory.

    Args:
        captions: the captions, in the order of the set.
        tokenizer: open_clip's byte-pair tokenizer.
        synonyms: synonyms of single lower-case words, for augmentation.
        context_length: tokens of a caption, start and end included.

    Raises:
        BadSetting: see `check_tokenizer`.
    """
    check_tokenizer(tokenizer)
    cleaning, numbering = Cleaning.of(tokenizer), Numbering()
    words, counts = numbering.read(captions, cleaning, context_length)
    table = numbered_synonyms(synonyms, numbering, cleaning)
    token_counts, tokens = tokens_of(numbering, tokenizer, context_length)
    starts = np.concatenate([np.zeros(1, np.int64), np.cumsum(counts)])
    return WordTable(words, starts, token_counts, tokens, table.words.ravel(), table.counts)
