"""Text of strangers: what of it is seen."""

import pytest

from clipbench.text.visible import has_visible


@pytest.mark.parametrize(
    "text",
    [
        "",
        " \t\n\xa0\u3000",
        "\u200b\u200c\u200d\ufeff\u2060",  # zero width
        "\u202e\u2066\u200f",  # direction
        "\xad",  # soft hyphen
        "\u0301\ufe0f\u034f",  # combining marks and variation selectors
        "\U000e0061\U000e007f",  # tags
        "\u3164\uffa0\u115f\u1160",  # Hangul fillers, letters by their category
        "\u2800",  # the Braille pattern without a dot
        "\x00\x07\x1b",
    ],
)
def test_text_of_which_nothing_is_seen(text: str) -> None:
    """Whatever it consists of."""
    assert not has_visible(text)


@pytest.mark.parametrize(
    "text", ["a", ".", "  \u200b7", "\u05d0", "\U0001f600", "e\u0301", "\ufffd"]
)
def test_text_of_which_something_is_seen(text: str) -> None:
    """One character is enough."""
    assert has_visible(text)
