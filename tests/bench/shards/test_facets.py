"""What is odd among things that differ, and when nobody can tell."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from clipbench.shards import facets
from clipbench.shards.facets import Facets, Findings, compared

TEXT = "{key} is odd"


def pairs(*values: tuple[object, ...], name: str = "tables") -> list[Facets]:
    """Return the facets of clean pairs: one format, and one facet with these values."""
    return [{"format": ("JPEG",), name: value} for value in values]


ALIKE = pairs(*[("q95",)] * 60)
VARIED = pairs(*[(f"q{n}",) for n in range(60)])
ROUNDED = pairs(*[(f"q{n}", n // 10) for n in range(60)])


def test_among_equal_ones_whatever_differs_is_odd() -> None:
    """All facets together tell, and the finest value of each."""
    suspects: dict[str, Facets] = {"a": ALIKE[0], "b": {"format": ("JPEG",), "tables": ("q90",)}}
    assert compared(suspects, ALIKE, TEXT) == Findings(["b is odd"])


def test_among_varied_ones_a_facet_that_does_not_vary_tells() -> None:
    """Sixty qualities say nothing of a sixty-first; that all are JPEG says much of a PNG."""
    png: Facets = {"format": ("PNG",), "chunks": ("IDAT",)}
    assert compared({"a": png}, VARIED, TEXT) == Findings(["a is odd"], ["tables"])
    other: Facets = {"format": ("JPEG",), "tables": ("q99",)}
    assert compared({"a": other}, VARIED, TEXT) == Findings([], ["tables"])


def test_where_fine_values_vary_coarse_ones_tell() -> None:
    """No quality is twice, but each of ten qualities is there."""
    known: Facets = {"format": ("JPEG",), "tables": ("q44 and a half", 4)}
    strange: Facets = {"format": ("JPEG",), "tables": ("q88", 8)}
    assert compared({"a": known, "b": strange}, ROUNDED, TEXT) == Findings(["b is odd"])


def test_one_strange_clean_pair_makes_a_small_shard_open() -> None:
    """Of ten pairs one is of its own; a tenth of new ones would be, too."""
    few = [*ALIKE[:9], VARIED[7]]
    suspect: Facets = {"format": ("JPEG",), "tables": ("q8",)}
    assert compared({"a": suspect}, few, TEXT) == Findings([], ["tables"])


def test_without_clean_pairs_there_is_nothing_to_compare_with() -> None:
    """Every pair of the shard is poison."""
    assert compared({"a": ALIKE[0]}, [], TEXT) == Findings()


@pytest.mark.parametrize(("at", "found"), [(150, []), (None, ["a is odd"])])
def test_nothing_is_found_before_all_clean_pairs_were_looked_at(
    at: int | None, found: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A form that one clean pair in a hundred has need not be among the first few."""
    monkeypatch.setattr(facets, "FIRST_LOOK", 20)
    monkeypatch.setattr(facets, "_SECOND_LOOK", 40)
    asked = 0

    def clean() -> Iterator[Facets]:
        nonlocal asked
        for number in range(200):
            asked += 1
            yield pairs(("rare",) if number == at else ("usual",))[0]

    assert compared({"a": pairs(("rare",))[0]}, clean(), TEXT).found == found
    assert asked == (200 if at is None else at + 1)


def test_where_all_is_well_a_few_clean_pairs_do(monkeypatch: pytest.MonkeyPatch) -> None:
    """A shard of ten thousand pictures is not read for it."""
    monkeypatch.setattr(facets, "FIRST_LOOK", 20)
    clean = iter(ALIKE)
    assert compared({"a": ALIKE[0]}, clean, TEXT) == Findings()
    assert len(list(clean)) == 40
