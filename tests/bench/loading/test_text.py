from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import open_clip
import pytest

from clipbench.errors import BadSetting
from clipbench.loading.text import CaptionTable
from clipbench.rng import RowStreams, generator

LENGTH = 24
TOKENIZER = open_clip.SimpleTokenizer(context_length=LENGTH)
SYNONYMS = {"red": ["crimson", "scarlet"], "circle": ["disc"], "unseen": ["never"]}

# Each of these once went through the tokenizers of CLIP forks differently than through CLIP's own.
ODD = [
    "",
    " ",
    "\t\n \r\x0b\x0c",
    "\x1c\x1d\x1e\x1f",
    "\x85\xa0\u2003\u3000",
    "a\x00b\x07c\x1bd\x7fe",
    "\x1b[31mred\x1b[0m text",
    "line one\nline two\r\nline three",
    "  leading and trailing  ",
    "a\u200bzero\u200dwidth\u2060joiner\ufeff",
    "soft\xadhyphen",
    "UPPER Case MiXeD",
    "it's they've I'm we'll he'd don't O'Neil's 'tis 'S 'T",
    "it’s “quoted” ‘single’ …",
    "punctuation!?.,;:--()[]{}<>@#$%^&*~`|\\/_+=",
    "!!!???... --- ___",
    "under_score and-dash and/slash",
    "a 2-pack of 10 x 3.5mm, 1,000,000 pcs",
    "½ ² ⅷ ٣ ४",
    "fish &amp; chips",
    "fish &amp;amp; chips &lt;b&gt; &quot;x&quot; &#39;y&#39; &nbsp; &eacute; &#x1F600; &bogus; &",
    "&amp;amp;amp;amp;amp;lt; five times",
    "&amp;amp;amp;amp;lt;&amp;amp;amp;amp;gt;",
    "<b>bold</b> <img src=x> a < b > c",
    "http://example.org/a?b=c&d=e#f www.x.y",
    "naïve café façade Ångström Zürich İstanbul ſtraße ﬁne",
    "cafe\u0301 decomposed",
    "schÃ¶n â€œmojibakeâ€\x9d Ã©tÃ© doesnâ€™t",
    "Ã", "â€", "ã©", "Â £5", "ÃƒÂ©",
    "日本語のキャプション 中文说明 한국어 캡션",
    "مرحبا بالعالم שלום עולם हिन्दी ไทย",
    "Ünïcödé ΑΒΓ Ωμέγα ПРИВЕТ ΣΊΣΥΦΟΣ",
    "😀 👍🏽 👨‍👩‍👧‍👦 🇩🇪 ❤️ text🎉text",
    "\U0001d4d0\U0001d4d1 ＦＵＬＬ　ＷＩＤＴＨ",
    "<start_of_text> hello <end_of_text>",
    "<START_OF_TEXT><end_of_text>x",
    "pre<end_of_text>post 0",
    "word " * 200,
    "x" * 500,
    "supercalifragilisticexpialidocious" * 20,
    "😀" * 60,
    ". " * 80,
]  # fmt: skip

PIECES = [
    *"abcXYZ0189éßñÅ日語한😀🎉'’\"“&;#<>/\\-_.,!?%()[]{}@~^`|+=*$§°²½",
    *(" ", " ", " ", "  ", "\n", "\t", "\r", "\xa0", "\u200b", "\u3000", "\x00", "\x1c", "\x85"),
    "&amp;", "&lt;", "&#39;", "&eacute;", "&amp;amp;", "amp;", "lt;", "'s", "'LL", "Ã©", "â€™", "Â",
    "the", "Photo", "of", "dogs", "running", "RED", "circle", "http://", "<br>", "\u0301", "\ufe0f",
    "<end_of_text>", "<start_of_text>", "İ", "ſ", "ﬁ", "Ǆ", "\x1b[0m", "\ud7ff", "\ufffd",
]  # fmt: skip


@cache
def fuzzed(count: int = 4000) -> tuple[str, ...]:
    """Captions of random pieces, among them everything that cleaning treats specially."""
    rng = generator(0, "fuzzed captions")
    lengths = rng.integers(0, 30, count)
    return tuple(
        "".join(PIECES[piece] for piece in rng.integers(0, len(PIECES), length))
        for length in lengths
    )


def table(captions: list[str], synonyms: Any = None, length: int = LENGTH) -> CaptionTable:
    return CaptionTable(captions, TOKENIZER, synonyms or {}, length)


def assert_same_tokens(captions: list[str], tokenizer: Any, length: int) -> None:
    made = CaptionTable(captions, tokenizer, SYNONYMS, length)
    actual = made.tokens(np.arange(len(captions)))
    expected = tokenizer(captions, context_length=length).numpy()
    for caption, ours, theirs in zip(captions, actual, expected, strict=True):
        assert ours.tolist() == theirs.tolist(), repr(caption)
    assert set(np.unique(actual)) <= set(made.vocabulary().tolist())


def streams(count: int, *scope: int) -> RowStreams:
    return RowStreams.named(0, *scope, keys=np.arange(count))


@pytest.mark.parametrize("length", [8, LENGTH, 77])
def test_tokens_of_odd_captions_are_open_clips(length: int) -> None:
    """Punctuation, entities, accents, CJK, emoji, control characters, nothing, far too much."""
    assert_same_tokens(ODD, TOKENIZER, length)


def test_tokens_of_thousands_of_random_captions_are_open_clips() -> None:
    """4,000 captions put together from pieces that cleaning and splitting treat specially."""
    assert_same_tokens(list(fuzzed()), TOKENIZER, LENGTH)


@pytest.mark.parametrize("clean", ["whitespace", "canonicalize"])
def test_other_cleanings_of_the_tokenizer_are_kept(clean: str) -> None:
    """A model configured to keep case, or to drop punctuation, gets its own tokens."""
    tokenizer = open_clip.SimpleTokenizer(context_length=LENGTH, clean=clean)
    plain = ["A Red Circle, on_a plain ground.", "it's {}", "UPPER"]
    assert_same_tokens([*plain, *ODD, *fuzzed()[:500]], tokenizer, LENGTH)


def test_captions_without_a_word_are_start_and_end() -> None:
    """A set of nothing but empty captions can be tokenized and augmented."""
    made = table(["", "  ", "\n"])
    start, end = TOKENIZER.sot_token_id, TOKENIZER.eot_token_id
    expected = [[start, end] + [0] * (LENGTH - 2)] * 3
    assert made.tokens(np.arange(3)).tolist() == expected
    assert made.augmented(np.arange(3), 0.5, streams(3)).tolist() == expected


def test_rows_come_in_the_order_asked_for() -> None:
    """Any indices, repeated and in any order, give the rows of their captions."""
    captions = ["a red circle", "", "two blue squares on white"]
    order = np.array([2, 0, 0, 1, 2])
    expected = TOKENIZER([captions[i] for i in order], context_length=LENGTH).numpy()
    assert table(captions).tokens(order).tolist() == expected.tolist()
    assert len(table(captions)) == 3
    assert table(captions).tokens(order[:0]).shape == (0, LENGTH)


def test_the_vocabulary_covers_every_augmentation() -> None:
    """It holds the tokens of all words and synonyms, start, end and padding, and no more."""
    used = table(["a red circle"], SYNONYMS).vocabulary()
    words = ["a", "red", "circle", "crimson", "scarlet", "disc", "unseen", "never"]
    expected = {token for word in words for token in TOKENIZER.encode(word)}
    expected |= {0, TOKENIZER.sot_token_id, TOKENIZER.eot_token_id}
    assert used.tolist() == sorted(expected)


def test_strength_zero_changes_nothing() -> None:
    """Augmentation at alpha 0 gives the tokens of the captions as they are."""
    captions = list(fuzzed()[:300])
    made = table(captions, SYNONYMS)
    rows = np.arange(300)
    assert np.array_equal(made.augmented(rows, 0.0, streams(300)), made.tokens(rows))


def test_augmented_captions_are_captions() -> None:
    """Each is the tokens of words of the caption and of their synonyms, between start and end."""
    captions = ["a red circle on a plain ground", "red red red", "nothing to replace here at all"]
    made = table(captions, SYNONYMS)
    rows = np.repeat(np.arange(3), 200)
    tokens = made.augmented(rows, 0.2, streams(600))
    others = {"red": "crimson scarlet", "circle": "disc"}
    changed = 0
    for row, line in zip(rows, tokens.tolist(), strict=True):
        end = line.index(TOKENIZER.eot_token_id)
        assert line[0] == TOKENIZER.sot_token_id
        assert set(line[end + 1 :]) <= {0}
        words = TOKENIZER.decode(line[1:end]).split()
        own = captions[row].split()
        allowed = {*own, *(other for word in own for other in others.get(word, "").split())}
        assert set(words) <= allowed
        changed += words != own
    assert changed > 300


def test_draws_depend_on_the_streams_alone() -> None:
    """The same streams give the same captions, whatever else the table holds."""
    captions = ["a red circle", "the red disc there", "circle circle"]
    alone = table(captions, SYNONYMS)
    among = table([*captions, "something else entirely", *fuzzed()[:50]], SYNONYMS)
    rows = np.tile(np.arange(3), 40)
    expected = alone.augmented(rows, 0.3, streams(120, 7))
    assert np.array_equal(among.augmented(rows, 0.3, streams(120, 7)), expected)
    assert not np.array_equal(alone.augmented(rows, 0.3, streams(120, 8)), expected)


def test_synonyms_are_cleaned_like_captions() -> None:
    """A synonym written in capitals or of two words is what the tokenizer makes of it."""
    made = table(["red"], {"red": ["Bright SCARLET"]})
    seen = {tuple(line) for line in made.augmented(np.zeros(200, int), 0.9, streams(200)).tolist()}
    expected = TOKENIZER(["red", "bright scarlet", "bright scarlet red", "red bright scarlet"])
    assert seen == {tuple(line) for line in expected.tolist()}


def test_a_tokenizer_of_another_kind_is_refused() -> None:
    """A model without open_clip's byte-pair tokenizer cannot be trained, and the error says so."""

    class WordTokenizer:
        def __call__(self, texts: list[str]) -> Any:
            raise AssertionError(texts)

    with pytest.raises(BadSetting, match="byte-pair tokenizer; this model uses WordTokenizer"):
        CaptionTable(["a"], WordTokenizer(), {}, LENGTH)


def test_a_tokenizer_that_shortens_captions_in_its_own_way_is_refused() -> None:
    """Token reduction, drawn at random by open_clip, is not silently left out."""
    tokenizer = open_clip.SimpleTokenizer(context_length=LENGTH, reduction_mask="random")
    with pytest.raises(BadSetting, match="reduction"):
        CaptionTable(["a"], tokenizer, {}, LENGTH)


def test_of_an_endless_caption_no_more_is_kept_than_a_context_can_hold() -> None:
    """Its tokens are open_clip's, and what is augmented are twice as many words as tokens fit."""
    words = [f"w{number}" for number in range(3000)]
    assert_same_tokens([" ".join(words), "a red circle"], TOKENIZER, LENGTH)
    made = table([" ".join(words), "a red circle"])
    assert made.words(np.arange(2)).counts.tolist() == [2 * LENGTH, 3]
    seen = made.augmented(np.zeros(50, int), 0.5, streams(50))
    shown = TOKENIZER.encode(" ".join(words[: 2 * LENGTH]))
    assert set(seen[:, 1:-1].ravel().tolist()) <= {*shown}
