"""What a plan tells, and what it refuses before any work."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from icon_layouts import icon_sets, write_archive
from shard_pairs import caption, picture, write_members
from small_runs import TRAIN, Place, config_of

from clipbench.api.work import check_plans
from clipbench.errors import BadSetting, CorruptData, MissingData
from clipbench.images.encoding import encode_png
from clipbench.importing.pairs import import_set
from clipbench.models.openclip import model_config
from clipbench.planning.estimate import Amounts
from clipbench.planning.timing import timed
from clipbench.plugins import registry
from clipbench_datasets.shards import Shards


@pytest.mark.parametrize(
    ("choices", "part"),
    [
        ({"attack": "badnets", "rate": "0.0024"}, "use at least 0.0025 here"),
        ({"attack": "badnets", "poisons": 201}, "201 poisons do not fit into 200 pairs"),
        ({"attack": "targeted:targets=4", "poisons": 3}, "4 targets but 3 poisoned pairs"),
    ],
)
def test_what_cannot_be_done_is_refused_before_work(
    place: Place, choices: dict[str, Any], part: str
) -> None:
    """Counts that make no sense are refused by the plan, before anything is written."""
    with pytest.raises(BadSetting, match=part):
        place.plan(config_of(**choices))
    assert not place.cache.exists()


def test_the_plan_says_all_a_person_decides_by(place: Place) -> None:
    """Pairs, poisons as count, rate and percentage, targets, and passes; the time comes later."""
    config = config_of(attack="targeted:targets=2", train={**TRAIN, "pairs_per_epoch": 50})
    plan = place.plan(config)
    text = "\n".join(plan.lines())
    assert f"run {config.id}: targeted / none / seed 0" in text
    assert "shapes, 200 pairs" in text
    assert "6 of 200 pairs (rate 0.03, 3%), 2 targets, 3 each, mode replace" in text
    assert "1 epoch of 50 pairs, 0.25 passes over the data" in text
    assert "time" not in text
    assert not place.folder.joinpath("runs").exists()


def test_the_plan_says_what_a_person_may_not_expect(place: Place) -> None:
    """One step an epoch, and parameters of a defense that it does not have by default."""
    told = "a batch of 256 holds the whole epoch, which is one step"
    large = config_of(defense="random_removal:drop=0.3", train={**TRAIN, "batch_size": 256})
    lines = place.plan(large).lines()
    assert f"  note     {told}" in lines
    assert "  defense  random_removal with drop=0.3, by the recipe or as given" in lines
    # Four steps of 64 pairs and a warm-up of four: before hours of work, not when training begins.
    slow = config_of(train={**TRAIN, "batch_size": 64, "epochs": 1, "warmup": 4})
    told = "warms up for 4 steps, but training has about 4: the model hardly learns; lower"
    assert any(told in line for line in place.plan(slow).lines())
    usual = "\n".join(place.plan(config_of(defense="random_removal")).lines())
    assert "  note" not in usual
    assert "  defense" not in usual


def test_the_plan_says_whose_pairs_are_known_to_be_clean(place: Place) -> None:
    """Nothing where a defense needs none."""
    own = "\n".join(place.plan(config_of(defense="par:trusted_size=20")).lines())
    assert "trusted  20 pairs known to be clean, held out by shapes, as --data says" in own
    given = config_of(defense="par:trusted_size=20", trusted="shapes:size=50,seed=9")
    assert "20 pairs known to be clean, of shapes, as --trusted says" in "\n".join(
        place.plan(given).lines()
    )
    assert "trusted" not in "\n".join(place.plan(config_of(defense="clip")).lines())


def test_too_few_trusted_pairs_are_told_before_work(place: Place) -> None:
    """Not after poison is made, or after hours of the defenses that come before."""
    config = config_of(defense="par:trusted_size=60", trusted="shapes:size=50,seed=9")
    with pytest.raises(
        BadSetting, match=r"wants 60 trusted pairs, but shapes \(--trusted\) has 50;"
    ):
        place.plan(config)
    assert not place.cache.exists()


def test_too_few_trusted_shards_are_told_with_their_place(place: Place, shared: Place) -> None:
    """There are two sets of shards, and the error says which it is about."""
    where = shared.poison(config_of(attack="badnets", seed=3)).shards_folder
    config = config_of(defense="par:trusted_size=201", trusted=str(where))
    with pytest.raises(BadSetting, match=rf"but shards {where} \(--trusted\) has 200; set its"):
        place.plan(config)


def test_more_trusted_pairs_than_a_data_set_holds_out_are_told_before_work(
    place: Place, tmp_path: Path
) -> None:
    """Whatever it says of their number is asked of what it holds out, before any is made."""
    archive = write_archive(tmp_path, icon_sets())
    few = {"data": f"icons:archive={archive},size=60", "attack": "badnets", "rate": "5%"}
    assert place.plan(config_of(**few, defense="par:trusted_size=12")).parts.num_pairs == 60
    with pytest.raises(BadSetting, match=r"at most 72 icons .* 73 are wanted, trusted ones among"):
        place.plan(config_of(**few, defense="par:trusted_size=13"))
    assert not place.cache.exists()


def in_part(place: Place) -> str:
    """Return shards of which one pair has no caption."""
    pairs = [(f"{number}.png", encode_png(picture(number))) for number in range(40)]
    captions = [(f"{number}.txt", caption(number).encode()) for number in range(39)]
    return str(write_members(place.folder / "set" / "0.tar", sorted([*pairs, *captions])).parent)


def imported_in_part(place: Place) -> str:
    """Return shards that an import wrote without one of the pairs."""
    out = place.folder / "imported"
    import_set(Shards(in_part(place)), out, name="shards", workers=0)
    return str(out)


@pytest.mark.parametrize(
    ("data", "said"),
    [(in_part, "no caption for key 39"), (imported_in_part, "Of 40 pairs 1 left out")],
)
def test_pairs_that_are_known_to_be_left_out_are_told_before_the_plan(
    place: Place, data: Callable[[Place], str], said: str
) -> None:
    """They were refused when the plan was printed, the machine timed, and the pairs were due."""
    path = data(place)
    with pytest.raises(CorruptData, match=said):
        place.plan(config_of(data=path, evals=["shapes:size=200"]))
    plan = place.plan(config_of(data=path, evals=["shapes:size=200"], on_error="skip"))
    assert plan.parts.num_pairs == 39
    told = "  note     1 left out (1 caption missing)"  # of an import all is known
    assert (told in plan.lines()) == (data is imported_in_part)


@pytest.mark.parametrize(("data", "final"), [(in_part, False), (imported_in_part, True)])
def test_counts_that_are_not_final_say_so(
    place: Place, data: Callable[[Place], str], final: bool
) -> None:
    """Images are looked at when a run begins; what an import wrote, it has looked at."""
    counted = config_of(data=data(place), evals=["shapes:size=200"], on_error="skip")
    note = "  note     pairs that can't be used are left out; rate and counts follow what remains"
    assert (note in place.plan(counted).lines()) == (not final)


def test_missing_weights_to_start_from_are_told_before_work(place: Place) -> None:
    """Weights that are not there end a run before its data is made, timed or not."""
    config = config_of(train={**TRAIN, "pretrained": str(place.folder / "weights.pt")})
    with pytest.raises(MissingData, match=r"There is no checkpoint .*weights\.pt"):
        place.plan(config).check()
    assert not place.cache.exists()


def test_a_model_that_cannot_be_trained_is_told_before_work(place: Place) -> None:
    """One that has more than two towers, or that takes images of no square."""
    oblong = place.folder / "oblong.json"
    config: dict[str, Any] = {**model_config("shapes-32")}
    oblong.write_text(json.dumps({**config, "vision_cfg": {"image_size": [32, 64], "layers": 1}}))
    for model, said in (("coca_ViT-B-32", "has a text decoder"), (str(oblong), "not square")):
        with pytest.raises(BadSetting, match=said):
            place.plan(config_of(train={**TRAIN, "model": model}))


def write_typo(place: Place) -> str:
    """Write a description that no model can be made of; return its path."""
    typo = place.folder / "typo.json"
    config: dict[str, Any] = {**model_config("shapes-32")}
    config["vision_cfg"] = {**config["vision_cfg"], "timm_model_name": "resnet99z"}
    typo.write_text(json.dumps(config))
    return str(typo)


def test_a_description_that_no_model_can_be_made_of_is_told_before_work(place: Place) -> None:
    """Whether the run is timed or not; it was told when the pairs had been poisoned."""
    plan = place.plan(config_of(train={**TRAIN, "model": write_typo(place)}))
    with pytest.raises(BadSetting, match=r"Unknown model \(resnet99z\)\. Mend its description"):
        plan.check()
    with pytest.raises(BadSetting, match="Mend its description"):
        timed("none", lambda: plan.estimate(place.cache))


def test_it_is_told_before_pairs_are_fetched(place: Place) -> None:
    """Of which nothing can be estimated until they are there."""
    far = {"data": "shards:path=https://shards.invalid/{0..1}.tar", "evals": ["shapes:size=200"]}
    plan = place.plan(config_of(**far, train={**TRAIN, "model": write_typo(place)}))
    assert plan.parts.num_pairs == 0
    for timed_too in (True, False):
        with pytest.raises(BadSetting, match="Mend its description"):
            check_plans([plan], but_estimated=timed_too)


@pytest.mark.parametrize("name", registry.names("defense"))
def test_every_defense_can_be_planned(place: Place, name: str) -> None:
    """The rehearsal takes a step of each kind of phase, whatever the defense needs for it."""
    plan = place.plan(config_of(defense=name, train={**TRAIN, "epochs": 8}))
    time = plan.estimate(place.cache)
    assert time.training > 0
    assert time.epochs == plan.epochs >= 8


@pytest.mark.parametrize("name", sorted(set(registry.names("attack")) - {"none"}))
def test_every_attack_can_be_planned(place: Place, name: str) -> None:
    """Also one whose trigger is yet to be learned from pairs that are not there."""
    place.plan(config_of(attack=name, poisons=16)).check()


def test_the_time_of_an_attack_that_learns_its_trigger_is_told_before_it_does(
    place: Place,
) -> None:
    """Only the number of its probes is needed, which is that of any backdoor."""
    images = [
        Amounts.of(plan.config, plan.parts, plan.epochs).images
        for plan in (place.plan(config_of(attack=name)) for name in ("badclip", "badnets"))
    ]
    assert images[0] == images[1]
