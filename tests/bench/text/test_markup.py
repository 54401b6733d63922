"""Markup: what is not markup is escaped wherever it enters."""

from __future__ import annotations

import pytest

from clipbench.text.markup import Markup, breakable, join, number, tag


def test_texts_are_escaped_and_markup_is_not() -> None:
    """Content and attributes are escaped; an element inside another one is not."""
    inner = tag("b", "<&>")
    assert inner == "<b>&lt;&amp;&gt;</b>"
    assert tag("p", inner, '"', title="\"'<") == (
        '<p title="&quot;&#x27;&lt;"><b>&lt;&amp;&gt;</b>&quot;</p>'
    )


def test_a_text_that_was_made_of_markup_is_none() -> None:
    """Formatting markup gives a plain text again, so that it can't carry others' texts in."""
    assert not isinstance(f"{Markup('<b>')}<i>", Markup)
    assert join([Markup("<b>") + "<i>"]) == "&lt;b&gt;&lt;i&gt;"


def test_invisible_characters_are_written_out() -> None:
    """Characters that would turn the writing round, or are no characters, are shown as codes."""
    assert tag("p", "a\u202eb\x00\ud800") == "<p>a\\u202eb\\x00\\ud800</p>"


def test_attributes_without_value() -> None:
    """True gives the bare name; None and False leave it out; underscores become dashes."""
    made = tag("td", hidden=True, lang=None, open=False, data_sort="1", class_="x")
    assert made == '<td hidden data-sort="1" class="x"></td>'


def test_elements_without_content_have_no_end() -> None:
    """Void elements and shapes are written the way HTML and SVG want them."""
    assert tag("img", alt="x") == '<img alt="x">'
    assert tag("path", d="M0") == '<path d="M0"/>'
    assert breakable("a_b<c") == "a_<wbr>b&lt;c"


@pytest.mark.parametrize(
    ("value", "text"), [(1.0, "1"), (-0.04, "0"), (2.25, "2.2"), (10, "10"), (-3.15, "-3.1")]
)
def test_coordinates_have_one_digit(value: float, text: str) -> None:
    """A tenth of a pixel is not seen; zero has no sign."""
    assert number(value) == text
