"""Text of strangers: what of it is seen, and what of it no file can hold."""

import pytest

from clipbench.text.visible import escaped, has_visible, unmistakable


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


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("a cat", "a cat"),
        ("ca\xf1\u00f3n \U0001f600", "ca\xf1\u00f3n \U0001f600"),
        ("caf\udce9", r"caf\xe9"),
        ("caf\udcc3\udca9", "caf\xe9"),  # two bytes that are UTF-8 together
        ("\ud800", r"\ud800"),
        ("a\udc7f\udce9\udfffb\xe9", r"a\udc7f\xe9\udfffb" + "\xe9"),
    ],
)
def test_what_no_codec_takes_is_written_out(text: str, shown: str) -> None:
    """Bytes of the name of a file, and any half of a pair of surrogates, which JSON can hold."""
    assert escaped(text) == shown
    shown.encode()


@pytest.mark.parametrize(
    "name", ["safeclip", "ViT-B-32", "hf-hub:timm/ViT-B-16", "./my_defense.py", "~/a+b@c.tar"]
)
def test_a_plain_name_stays_as_it_is(name: str) -> None:
    """ASCII letters and digits, and the marks that names of files and models have."""
    assert unmistakable(name) == name


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("n\u043ene", r'"n\u043ene"'),  # a Cyrillic letter
        ("\u0440\u0430r", r'"\u0440\u0430r"'),
        ("\uff4eone", r'"\uff4eone"'),  # a letter of full width
        ("none\xa0", r'"none\u00a0"'),
        ("none ", '"none "'),
        ("no\u200bne", r'"no\u200bne"'),
        ("\u202eenon", r'"\u202eenon"'),
        ("cafe\u0301", r'"cafe\u0301"'),  # a mark beside its letter
        ("caf\xe9", '"caf\xe9"'),  # and in one with it
        ("\u9632\u5fa1", '"\u9632\u5fa1"'),
        ("\uf96e", r'"\uf96e"'),  # a second code of a Chinese letter
        ("\U0001d5c7one", r'"\ud835\uddc7one"'),
        ("clip (epochs=9)", '"clip (epochs=9)"'),
        ('"none"', r'"\"none\""'),
        ("", '""'),
    ],
)
def test_a_name_that_may_pass_for_another_is_quoted(name: str, shown: str) -> None:
    """What looks the same is written out; what no plain name has is left."""
    assert unmistakable(name) == shown
