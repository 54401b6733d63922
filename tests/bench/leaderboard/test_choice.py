"""Rows that are named by the words that `clipbench run` takes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from as_json import of_json

from clipbench.errors import MissingData, UnknownName
from clipbench.leaderboard.choice import choose
from clipbench.leaderboard.matrix import to_matrix
from clipbench.leaderboard.tables import leaderboard, of_runs

choose = of_json(choose)
leaderboard = of_json(leaderboard)

Result = dict[str, Any]
MakeResult = Callable[..., Result]


def on(result: Result, name: str, **parameters: Any) -> Result:
    """Return a result with another data set."""
    config = {**result["config"], "data": {"name": name, **parameters}}
    data = {**result["data"], "name": name, "parameters": parameters}
    return {**result, "config": config, "data": data, "id": f"{result['id'][:8]}{len(name):08x}"}


@pytest.fixture
def mixed(make_result: MakeResult) -> list[Result]:
    """Return runs of two attacks, three defenses, two models and two data sets."""
    made = [
        make_result(attack=attack, attack_parameters=parameters, defense=defense, model=model)
        for attack, parameters in (
            ("badnets", {"size": 0.25, "place": "corner"}),
            ("badnets", {"size": 0.5, "place": "corner"}),
            ("my/checker.py", {"side": 8, "even": True}),
            ("none", {}),
        )
        for defense in ("none", "clip", "my/lowsim.py")
        for model in ("ViT-B-32", "RN50")
    ]
    crawl = [on(one, "shards", path="./crawl") for one in made if one["model"]["name"] == "RN50"]
    return [*made, *crawl]


def shown(results: list[Result], **wanted: Any) -> set[tuple[str, str, str, str]]:
    """Return attack, defense, model and data of the rows that are chosen."""
    found = choose(results, {key: [text] for key, text in wanted.items()})
    frame = of_runs(leaderboard(found.results), found.runs)
    return {
        (row["attack_name"], row["defense_name"], row["model"], row["data"])
        for row in frame.to_dict("records")
    }


@pytest.mark.parametrize(
    ("wanted", "names"),
    [
        ({"attack": "badnets"}, {"badnets"}),
        ({"attack": "my/checker.py"}, {"my/checker.py"}),
        ({"attack": "./my/checker.py"}, {"my/checker.py"}),
        ({"attack": "my/checker.py:side=8,even=true"}, {"my/checker.py"}),
        ({"attack": "none"}, {"none"}),
    ],
)
def test_an_attack_is_named_as_it_was_typed(
    mixed: list[Result], wanted: dict[str, str], names: set[str]
) -> None:
    """A name, the path of a file, and either with parameters."""
    found = shown(mixed, **wanted)
    assert {row[0] for row in found} == names
    assert len({row[1:] for row in found}) == 9


def test_parameters_choose_among_rows_of_a_name(mixed: list[Result]) -> None:
    """A number is the same however it is written."""
    assert choose(mixed, {"attack": ["badnets:size=0.50"]}).runs == (
        choose(mixed, {"attack": ["badnets:size=0.5,place=corner"]}).runs
    )
    one, two = (choose(mixed, {"attack": [f"badnets:size={size}"]}).runs for size in (0.25, 0.5))
    assert len(one) == len(two) == 9
    assert not one & two


@pytest.mark.parametrize("text", ["./crawl", "crawl/../crawl/../crawl", "shards:path=./crawl"])
def test_shards_are_named_by_their_path(
    mixed: list[Result], text: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """As it was typed, or in another spelling; nothing need be there."""
    monkeypatch.chdir(tmp_path)
    if ".." in text:
        text = str(tmp_path / "crawl")
    assert {row[3] for row in shown(mixed, data=text)} == {"shards"}


def test_a_place_is_named_by_its_last_part_where_a_record_has_its_content(
    make_result: MakeResult,
) -> None:
    """Wherever the same data lie, and whatever lies there now."""
    content = f"sha256:{'5' * 64}"
    results = [
        {**on(make_result(defense=name), "shards", path=content), "names": {"data.path": "crawl"}}
        for name in ("none", "clip")
    ]
    for text in (
        "./crawl",
        "/elsewhere/crawl/",
        "shards:path=data/crawl",
        f"shards:path={content}",
    ):
        assert len(choose(results, {"data": [text]}).runs) == 2, text
    with pytest.raises(UnknownName):
        choose(results, {"data": ["./other"]})


def test_kinds_are_put_together(mixed: list[Result]) -> None:
    """Of several names of a kind any will do; of several kinds all must."""
    assert shown(mixed, attack="badnets", defense="my/lowsim.py", model="rn50", data="shards") == {
        ("badnets", "my/lowsim.py", "RN50", "shards")
    }
    several = choose(mixed, {"defense": ["none", "clip"], "model": ["ViT-B/32"]})
    assert len(several.runs) == 8


def test_a_row_is_judged_by_rows_that_are_not_shown(mixed: list[Result]) -> None:
    """Its cost and eligibility come from the undefended row all the same."""
    found = choose(mixed, {"defense": ["clip"], "attack": ["badnets"]})
    frame = of_runs(leaderboard(found.results), found.runs)
    assert set(frame["defense_name"]) == {"clip"}
    assert set(frame["eligible"]) == {"yes"}
    assert None not in set(frame["cost"])


def test_what_is_not_there_is_named(mixed: list[Result]) -> None:
    """A name of nothing with what there is; names that no row has together."""
    with pytest.raises(UnknownName, match=r"attack in these results 'badnet'.*badnets"):
        choose(mixed, {"attack": ["badnet"]})
    with pytest.raises(UnknownName, match="defense in these results"):
        choose(mixed, {"defense": ["my/other.py"]})
    with pytest.raises(MissingData, match="data shards, model ViT-B-32 at once"):
        choose(mixed, {"data": ["shards"], "model": ["ViT-B-32"]})


def test_no_file_that_is_named_is_run(mixed: list[Result], tmp_path: Path) -> None:
    """A filter looks for words in results."""
    evil = tmp_path / "evil.py"
    evil.write_text("raise SystemExit(3)\n")
    with pytest.raises(UnknownName):
        choose(mixed, {"attack": [str(evil)]})


def test_a_matrix_is_one_square_a_model_and_data_set(mixed: list[Result]) -> None:
    """Each with its heading, and one note for all."""
    text = to_matrix(leaderboard(mixed))
    heads = [line for line in text.splitlines() if line.startswith("Model ")]
    assert heads == [
        "Model RN50, data shapes.",
        "Model RN50, data shards.",
        "Model ViT-B-32, data shapes.",
    ]
    assert text.count("| defense |") == 3
    assert text.count("Shares are pooled over seeds") == 1


def test_a_matrix_of_one_attack_has_its_clean_rows(mixed: list[Result]) -> None:
    """Clean accuracy stands beside the cells, though no clean row was asked for."""
    wanted = {"attack": ["my/checker.py"], "model": ["ViT-B-32"]}
    found = choose(mixed, wanted, with_clean=True)
    text = to_matrix(of_runs(leaderboard(found.results), found.runs))
    assert "badnets" not in text
    assert text.count("| 85.0 | 1.00× |") == 3


def test_a_name_that_is_no_text_is_no_name(mixed: list[Result]) -> None:
    """A configuration of a stranger may have a list there."""
    strange = on(mixed[0], "odd", size=1)
    strange["config"]["data"]["name"] = [None, {"name": 5}]
    assert len(shown([*mixed, strange], data="odd:size=1")) == 1
