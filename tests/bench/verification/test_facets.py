"""What is odd among things that differ, and when nobody can tell."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import pytest

from clipbench.verification import facets
from clipbench.verification.facets import Facets, Findings, compared, joined

TEXT = "{key} is odd"


def told(suspects: dict[str, Facets], clean: Iterable[Facets]) -> tuple[list[str], list[str]]:
    """Return what is found, and the facets that tell nothing, of one shard alone."""
    findings = joined([compared(suspects, clean, TEXT)])
    return findings.found, findings.untold


def pairs(*values: tuple[object, ...], name: str = "tables") -> list[Facets]:
    """Return the facets of clean pairs: one format, and one facet with these values."""
    return [{"format": ("JPEG",), name: value} for value in values]


ALIKE = pairs(*[("q95",)] * 60)
VARIED = pairs(*[(f"q{n}",) for n in range(60)])
ROUNDED = pairs(*[(f"q{n}", n // 10) for n in range(60)])


def test_among_equal_ones_whatever_differs_is_odd() -> None:
    """All facets together tell, and the finest value of each."""
    suspects: dict[str, Facets] = {"a": ALIKE[0], "b": {"format": ("JPEG",), "tables": ("q90",)}}
    assert told(suspects, ALIKE) == (["b is odd"], [])


def test_among_varied_ones_a_facet_that_does_not_vary_tells() -> None:
    """Sixty qualities say nothing of a sixty-first; that all are JPEG says much of a PNG."""
    png: Facets = {"format": ("PNG",), "chunks": ("IDAT",)}
    assert told({"a": png}, VARIED) == (["a is odd"], ["tables"])
    other: Facets = {"format": ("JPEG",), "tables": ("q99",)}
    assert told({"a": other}, VARIED) == ([], ["tables"])


def test_where_fine_values_vary_coarse_ones_tell() -> None:
    """No quality is twice, but each of ten qualities is there."""
    known: Facets = {"format": ("JPEG",), "tables": ("q44 and a half", 4)}
    strange: Facets = {"format": ("JPEG",), "tables": ("q88", 8)}
    assert told({"a": known}, ROUNDED) == ([], [])
    assert told({"b": strange}, ROUNDED) == (["b is odd"], [])


def test_one_strange_clean_pair_makes_a_small_shard_open() -> None:
    """Of ten pairs one is of its own; a tenth of new ones would be, too."""
    few = [*ALIKE[:9], VARIED[7]]
    suspect: Facets = {"format": ("JPEG",), "tables": ("q8",)}
    assert told({"a": suspect}, few) == ([], ["tables"])


def test_without_clean_pairs_there_is_nothing_to_compare_with() -> None:
    """Every pair of the shard is poison."""
    assert told({"a": ALIKE[0]}, []) == ([], [])


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

    assert told({"a": pairs(("rare",))[0]}, clean())[0] == found
    assert asked == (200 if at is None else at + 1)


def test_where_all_is_well_a_few_clean_pairs_do(monkeypatch: pytest.MonkeyPatch) -> None:
    """A shard of ten thousand pictures is not read for it."""
    monkeypatch.setattr(facets, "FIRST_LOOK", 20)
    clean = iter(ALIKE)
    assert told({"a": ALIKE[0]}, clean) == ([], [])
    assert len(list(clean)) == 40


def test_what_chance_explains_is_not_found() -> None:
    """Of many poisons among few clean pairs one is odd now and then: its own was the only such."""
    odd: Facets = {"format": ("PNG",), "tables": ("q8",)}
    usual: Facets = {"format": ("JPEG",), "tables": ("q8",)}
    many = {"a": odd, **{str(number): usual for number in range(11)}}
    findings = joined([compared(many, VARIED, TEXT)])
    assert (findings.found, findings.odd) == ([], ["a is odd"])
    assert findings.expected == pytest.approx(12 / 61)
    two = {"a": odd, "b": odd, **{str(number): usual for number in range(10)}}
    assert joined([compared(two, VARIED, TEXT)]).found == ["a is odd", "b is odd"]


def test_shards_are_judged_together() -> None:
    """One in sixty is odd in each of fifty shards, so one in all of them is nothing."""
    odd: Facets = {"format": ("PNG",), "tables": ("q8",)}
    one = compared({"a": odd}, VARIED, TEXT)
    none = Findings(expected=one.expected)
    assert joined([one]).found == ["a is odd"]
    assert joined([one, *[none] * 49]).found == []
    assert len(joined([one] * 10 + [none] * 40).found) == 10


def test_many_odd_ones_are_found_however_many() -> None:
    """Two hundred where one is expected are no chance, nor a number that is too large."""
    png: Facets = {"format": ("PNG",), "chunks": ("IDAT",)}
    found, _ = told({f"{number}": png for number in range(200)}, VARIED)
    assert len(found) == 200
    many = Findings([], [f"{number}" for number in range(1000)], 800.0, [])
    assert len(joined([many]).found) == 1000
    likely = Findings([], [f"{number}" for number in range(800)], 800.0, [])
    assert joined([likely]).found == []
