from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from clipbench.cli import main
from clipbench.configuration.config import RunConfig
from clipbench.configuration.request import combine
from clipbench.errors import BadSetting
from clipbench.plugins.part import Part
from clipbench.plugins.used import check_used
from clipbench_attacks.sig import Sig


def configured(**layer: Any) -> RunConfig:
    layer = {"data": "shapes", "defense": "none", **layer}
    if layer.get("attack", "none") != "none":
        layer.setdefault("rate", "1%")
    return combine(layer).config()


@pytest.mark.parametrize(
    ("attack", "message"),
    [
        ("sig:clean_label=true,captions=templates", r"sig\.captions has no .* clean_label=true"),
        ("badnets:pattern_seed=1", r"badnets\.pattern_seed .* pattern=checkerboard"),
        ("badnets:pattern=noise,dark=9", r"badnets\.dark .* with pattern=noise"),
        ("label_consistent:pattern=stripes,light=9", r"label_consistent\.light"),
        ("dual_key:pattern=dots,pattern_seed=9", r"dual_key\.pattern_seed"),
        ("blended:text=Mine", r"blended\.text .* with pattern=noise.*or set pattern=text\.$"),
        ("blended:pattern=par_triangles,pattern_seed=2", r"blended\.pattern_seed"),
        ("badclip:surrogate_weights=w.pt,surrogate_epochs=2", r"badclip\.surrogate_epochs"),
        ("text_targeted:surrogate_weights=w.pt,surrogate_lr=1e-3", r"text_targeted\.surrogate_lr"),
        ("adaptive:candidates=1,surrogate_pairs=9", r"adaptive\.surrogate_pairs .* candidates=1"),
        ("badclip:patch=000000,steps=9", r"badclip\.steps .* patch is given"),
        ("badclip:triplet_weight=0,margin=2", r"badclip\.margin .* triplet_weight=0"),
        ("text_trigger:match=substring", r"text_trigger\.match .* hit=image.*or set hit=class\.$"),
    ],
)
def test_a_parameter_of_an_attack_that_does_nothing_is_refused(attack: str, message: str) -> None:
    """The message says what does nothing, what makes it so, and what to do."""
    with pytest.raises(BadSetting, match=message) as caught:
        configured(attack=attack)
    assert "\n" not in str(caught.value)
    assert "Leave" in str(caught.value)


@pytest.mark.parametrize(
    ("defense", "message"),
    [
        ("safeclip:threshold=0.8", r"safeclip\.threshold .* first_ratio=0\.5, .*first_ratio=none"),
        ("safeclip:floor=0.2", r"safeclip\.floor .* first_ratio=0\.5"),
        ("safeclip:cross_modal_epochs=0,cross_modal_lr_scale=0.5", r"cross_modal_lr_scale has no"),
        ("roclip:match_every=1,cross_aug=true", r"roclip\.cross_aug .* match_every=1"),
        (
            "clipscore:weights=w.pt,model=RN50,trusted_size=0,scoring_warmup=9",
            r"clipscore\.scoring_warmup .* weights are given",
        ),
    ],
)
def test_a_parameter_of_a_defense_that_does_nothing_is_refused(defense: str, message: str) -> None:
    """Beside a value of the data set's recipe, too, which the message names."""
    with pytest.raises(BadSetting, match=message):
        configured(defense=defense)


@pytest.mark.parametrize(
    ("attack", "message"),
    [
        ("multi_trigger:triggers=(badnets:mode=insert,filter)", r"badnets\.mode .* multi_trigger"),
        ("multi_trigger:triggers=(filter,badnets:dark=9,blended:text=Mine)", r"blended\.text"),
        ("adaptive:base='sig:clean_label=true,captions=templates'", r"sig\.captions"),
        (
            "adaptive:base='multi_trigger:triggers=[badnets:mode=insert,filter]'",
            r"badnets\.mode .* give it to multi_trigger",
        ),
    ],
)
def test_a_parameter_within_a_parameter_is_looked_at(attack: str, message: str) -> None:
    """An attack made of others refuses what it overrides, and what does nothing there anyway."""
    with pytest.raises(BadSetting, match=message):
        configured(attack=attack)


@pytest.mark.parametrize(
    ("attack", "defense"),
    [
        ("sig:clean_label=true,captions=corpus", "none"),
        ("sig:captions=templates,clean_label=false", "none"),
        ("multi_trigger:triggers=(badnets:mode=replace,filter),mode=insert", "none"),
        ("adaptive:base=badnets:mode=insert", "none"),
        # What the recipe sets is none of a person's doing.
        ("badclip:surrogate_weights=w.pt", "safeclip:cross_modal_epochs=0"),
        ("none", "clipscore:weights=w.pt,model=RN50,trusted_size=0"),
        ("none", "safeclip:first_ratio=none,threshold=0.8,floor=0.2"),
        ("none", "safeclip:first_ratio=0.03,floor=0.01"),
    ],
)
def test_defaults_and_what_recipes_set_are_no_fault(attack: str, defense: str) -> None:
    """Nor is what does something."""
    config = configured(attack=attack, defense=defense)
    assert (config.attack.name, config.defense.name) == (
        attack.partition(":")[0],
        defense.partition(":")[0],
    )


def test_a_published_recipe_is_no_fault_either() -> None:
    """Its 7,850 steps stay in the configuration of a run whose patch is given."""
    config = configured(attack="badclip:patch=000000", recipe="badclip")
    assert config.attack.parameters["steps"] == 7850


def test_a_record_is_read_whatever_it_holds() -> None:
    """Rows of before have what nobody refused then; the object does, too."""
    plugin = Sig(clean_label=True, captions="templates")
    part = Part.holding("attack", "sig", plugin)
    check_used("attack", part, plugin)
    told = configured(attack="sig:clean_label=true").to_json()
    told["attack"]["captions"] = "templates"
    assert RunConfig.from_json(told).attack.plugin == plugin


@pytest.mark.parametrize(
    "line",
    [
        "run --attack sig:clean_label=true,captions=templates --rate 1%",
        "poison --attack sig:clean_label=true,captions=templates --rate 1%",
        "detect --method safeclip:first_ratio=0.5,threshold=0.8",
        "train --shards . --defense safeclip:first_ratio=0.5,threshold=0.8",
        "describe sig:clean_label=true,captions=templates --show trigger.png",
        "describe sig:clean_label=true,captions=templates --check",
    ],
)
def test_a_command_ends_with_one_line_and_status_2(
    line: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before anything is written."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("CLIPBENCH_CACHE", str(tmp_path / "cache"))
    assert main(line.split()) == 2
    said = capsys.readouterr()
    assert said.out == ""
    (told,) = said.err.splitlines()
    assert "has no effect" in told
    assert not [*tmp_path.iterdir()]
