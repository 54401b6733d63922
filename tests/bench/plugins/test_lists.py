"""Lists as people type them: one grammar on the command line, in the environment and in YAML."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from clipbench.cli import main
from clipbench.configuration.request import combine
from clipbench.errors import BadSetting
from clipbench.plugins import lists


@pytest.mark.parametrize(
    ("text", "items"),
    [
        ("none", ["none"]),
        ("none,clip", ["none", "clip"]),
        ("none, safeclip:growth=0.1", ["none", "safeclip:growth=0.1"]),
        (
            "clipscore:drop=0.1,scoring_epochs=2,clip",
            ["clipscore:drop=0.1,scoring_epochs=2", "clip"],
        ),
        ("a:box=(1,2),b", ["a:box=(1,2)", "b"]),
        ("a:text='x,y',b", ["a:text='x,y'", "b"]),
        ("shards:path={0..3}.tar,b", ["shards:path={0..3}.tar", "b"]),
        ("shards:path={a,b}.tar", ["shards:path={a,b}.tar"]),
        ("package.module:Class,clip", ["package.module:Class", "clip"]),
        ("it's,b", ["it's", "b"]),
        ("https://example.org/a,b.tar", ["https://example.org/a,b.tar"]),
        ("pipe:curl -H a,b x", ["pipe:curl -H a,b x"]),
    ],
)
def test_commas_separate_plugins_and_their_parameters(text: str, items: list[str]) -> None:
    """A part that is PARAMETER=VALUE belongs to the plugin before it; any other begins one."""
    assert lists.split_specs(text, "defense") == items


def test_a_comma_in_the_name_of_a_file_separates_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever is there under the whole name is one item, as it was before there were lists."""
    monkeypatch.chdir(tmp_path)
    Path("mine,new.py").touch()
    Path("a,b").mkdir()
    assert lists.split_specs("mine,new.py:drop=1,clip", "x") == ["mine,new.py:drop=1", "clip"]
    assert lists.split_specs("./a,b/{0..1}.tar,shapes", "x") == ["./a,b/{0..1}.tar", "shapes"]


@pytest.mark.parametrize("text", ["none,", ",none", "none,,clip"])
def test_a_comma_too_many_is_refused(text: str) -> None:
    """An empty item is a slip of the keyboard, which may have eaten a name."""
    with pytest.raises(BadSetting, match="has an empty item"):
        lists.split_specs(text, "defense")


@pytest.mark.parametrize("text", ["1,5%", "1%,2"])
def test_a_rate_that_may_have_a_decimal_comma_is_refused(text: str) -> None:
    """1,5% must not become the rates 100% and 5%."""
    with pytest.raises(BadSetting, match="decimal comma"):
        lists.split_rates(text)


@pytest.mark.parametrize("layer", ["line", "yaml", "environment"])
def test_every_layer_reads_the_same_list(
    layer: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Commas mean the same wherever a setting comes from."""
    given = {"defense": "none,isolation_forest:drop=0.2,scoring_epochs=1,clip", "seed": "0,1"}
    words = ["run", "--dry-run", "--json"]
    if layer == "line":
        words += [word for name, value in given.items() for word in (f"--{name}", value)]
    elif layer == "environment":
        for name, value in given.items():
            monkeypatch.setenv(f"CLIPBENCH_{name.upper()}", value)
    else:
        file = tmp_path / "my.yaml"
        file.write_text("".join(f"{name}: '{value}'\n" for name, value in given.items()))
        words += ["--config", str(file)]
    assert main(words) == 0
    runs = json.loads(capsys.readouterr().out)
    names = ["none", "isolation_forest", "clip"]
    assert [(r["seed"], r["defense"]["name"]) for r in runs] == [
        (s, n) for s in (0, 1) for n in names
    ]
    assert runs[1]["defense"]["drop"] == 0.2


def test_a_list_with_commas_is_the_option_repeated() -> None:
    """Which is how lists were given before, and may be still."""
    assert combine({"rate": ("1%,2%",)}) == combine({"rate": ("1%", "2%")})
    assert combine({"eval": "shapes,shapes:seed=2"}).evals == ("shapes", "shapes:seed=2")


def test_values_with_a_blank_between_them_are_told_how_to_be_a_list(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """``--defense none clip`` is the command line's most likely slip."""
    assert main(["run", "--defense", "none", "clip"]) == 2
    assert "Several values are a list with commas: --defense none,clip." in capsys.readouterr().err


def test_the_other_spelling_of_defense_is_taken(capsys: pytest.CaptureFixture[str]) -> None:
    """British spelling is accepted."""
    assert main(["run", "--defence", "clip", "--dry-run", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)[0]["defense"]["name"] == "clip"
    assert main(["run", "--defence=clip", "--dry-run", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)[0]["defense"]["name"] == "clip"


@pytest.mark.parametrize(
    ("option", "typed", "meant"),
    [("--defense", "SafeCLIP", "safeclip"), ("--attack", "Dual-Key", "dual_key")],
)
def test_the_spelling_of_a_paper_finds_the_name(
    option: str, typed: str, meant: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Capitals and hyphens make no other name, so the right one is suggested."""
    assert main(["run", option, typed, "--rate", "1%", "--attack", "badnets"]) == 2
    assert f"Did you mean {meant!r}?" in capsys.readouterr().err
