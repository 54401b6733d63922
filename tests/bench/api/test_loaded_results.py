"""`cb.load_results` and `cb.leaderboard`: what files hold, as objects and as tables."""

from __future__ import annotations

from pathlib import Path

import pytest
from made_results import build
from tiny_runs import command

import clipbench as cb
from clipbench.errors import MissingData
from clipbench.results.result import write_result


@pytest.fixture(scope="module")
def rates() -> cb.Results:
    return cb.load_results(published="rates")


def test_published_results_are_objects(rates: cb.Results) -> None:
    """A result names what was run, and a metric has value, count and interval."""
    result = next(item for item in rates if item.attack == "targeted" and item.defense == "none")
    share = result.metrics["attack_success"]
    assert share.k is not None
    assert share.n
    assert share.value == share.k / share.n
    assert str(share).startswith(f"{share.k}/{share.n} = ")
    assert "targeted" in repr(result)
    assert "attack_success" in str(result)
    assert isinstance(rates[:2], cb.Results)
    assert repr(rates[:2]) == "<2 results>"


def test_the_result_of_another_process_is_empty_and_says_so() -> None:
    """Under torchrun the first process alone measures."""
    result = cb.RunResult(None)
    assert str(result) == repr(result) == "<RunResult of another process>"
    assert result.metrics == {}


def test_a_frame_has_a_row_per_run_and_numbers_are_numbers(rates: cb.Results) -> None:
    """Means can be taken at once, and every row says which run it is."""
    frame = rates.to_frame()
    assert list(frame["id"]) == [result.id for result in rates]
    assert str(frame["attack_success"].dtype) == "float64"
    assert str(frame["attack_success_k"].dtype) == "Int64"
    by_defense = frame.groupby("defense")["attack_success"].mean()
    assert 0 <= by_defense["safeclip"] <= 1
    clean = frame[frame["attack"] == "none"]
    assert clean["attack_success"].isna().all()


def test_no_results_are_an_empty_frame_with_the_columns() -> None:
    """A filter that leaves nothing is no error."""
    frame = cb.Results([]).to_frame()
    assert len(frame) == 0
    assert "defense" in frame.columns


def test_the_leaderboard_is_that_of_the_command(rates: cb.Results) -> None:
    """The same text in every format, from results and from places."""
    board = cb.leaderboard(rates)
    for style, text in {
        "text": f"{board}\n",
        "markdown": board.to_markdown(),
        "csv": board.to_csv(),
        "latex": board.to_latex(),
        "matrix": board.to_matrix(),
        "ranking": board.to_ranking(),
    }.items():
        done = command("leaderboard", "--published", "rates", "--format", style)
        assert done.out == text, style
    assert cb.leaderboard(published="rates").to_csv() == board.to_csv()


def test_a_notebook_shows_a_table_in_which_no_name_is_markup() -> None:
    """Names come from files of others."""
    result = build(defense="<b>mine")
    shown = cb.leaderboard([result])._repr_html_()
    assert "<table>" in shown
    assert "&lt;b&gt;mine" in shown
    assert "<b>mine" not in shown


def test_results_of_a_folder_know_their_folders_and_damage_is_a_warning(
    tmp_path: Path,
) -> None:
    """A file that is cut off is left out, and said."""
    result = build()
    write_result(tmp_path / f"targeted_{result['id']}" / "result.json", result)
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "result.json").write_text("{")
    with pytest.warns(UserWarning, match="broken"):
        (found,) = cb.load_results(tmp_path)
    assert found.folder == tmp_path / f"targeted_{result['id']}"
    with pytest.raises(MissingData, match="no file or folder"):
        cb.load_results(tmp_path / "absent")
