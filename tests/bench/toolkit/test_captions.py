"""When two captions are the same."""

from clipbench.toolkit.captions import caption_hash


def test_captions_are_the_same_but_for_case_and_space() -> None:
    """Of any script; half of a pair of surrogates is hashed as well."""
    assert caption_hash("A  Cat\n") == caption_hash("a cat") != caption_hash("a cats")
    assert caption_hash("КОТ") == caption_hash("кот")
    assert caption_hash("STRASSE") == caption_hash("straße")
    assert len(caption_hash("\ud800")) == 16
