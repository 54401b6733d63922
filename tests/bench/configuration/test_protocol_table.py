"""What ``--recipe`` sets is what paper and code have, or the table says why not."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from clipbench.configuration import protocol_table as table
from clipbench.configuration.protocol import PublishedRecipe, recipe
from clipbench.configuration.request import combine
from clipbench.configuration.settings import TrainSettings
from clipbench.files import bundled

NAMES = sorted(bundled.recipes())
PAGE = Path(__file__).parents[3] / "docs" / "protocols.md"
# Where and how fast a run works, what it keeps, and what a set of any size has.
NO_PROTOCOL = {
    *(
        "pretrained",
        "pairs_per_epoch",
        "precision",
        "compile",
        "crop_from",
        "workers",
        "decode_cache_gb",
    ),
    *("device", "save_frequency", "checkpoint_every_s", "tensorboard"),
}
AUGMENTATION = {"crop_scale", "crop_scale_max", "flip", "color_jitter", "grayscale", "blur", "eda"}


@pytest.fixture(scope="module", params=NAMES)
def published(request: pytest.FixtureRequest) -> PublishedRecipe:
    """Each recipe."""
    return recipe(request.param)


def test_the_papers_of_the_bench_have_a_recipe() -> None:
    """One for each protocol that rows are held against."""
    wanted = {"safeclip-paper", "carlini", "roclip", "cleanclip", "huang", "par", "badclip"}
    assert set(NAMES) >= wanted


def test_a_run_with_a_recipe_has_what_its_table_says(published: PublishedRecipe) -> None:
    """Every setting, resolved as a run on real pairs resolves it: a changed default fails here."""
    values = table.resolved(published)
    wrong = {
        entry.setting: (values[entry.setting], entry.expected)
        for entry in published.table
        if entry.setting in values
        and not table.same(values[entry.setting], entry.expected, entry.setting)
    }
    assert wrong == {}


def test_every_setting_of_a_recipe_stands_in_its_table(published: PublishedRecipe) -> None:
    """Nothing is set that the table doesn't hold against paper and code."""
    parts = {"attacks": published.attacks, "defenses": published.defenses}
    given = {f"train.{name}" for name in published.train}
    given |= {
        f"{part}.{plugin}.{name}"
        for part, plugins in parts.items()
        for plugin, own in plugins.items()
        for name in own
    }
    assert given <= {entry.setting for entry in published.table}


@pytest.mark.parametrize(
    ("name", "other"),
    [
        ("safeclip-paper", {"pool_size", "score_augmented", "rank_by", "cross_aug", "lr_schedule"}),
        ("roclip", set()),
    ],
)
def test_pairs_of_ones_own_are_trained_on_as_the_authors_did_without_a_recipe(
    name: str, other: set[str]
) -> None:
    """SafeCLIP and RoCLIP: but for what the code does other than the paper means (methods)."""
    with_it, without = (table.resolved(recipe(name), used=used) for used in (True, False))
    settings = [key for key in without if not key.startswith("attacks.")]
    assert settings
    parted = {key for key in settings if with_it[key] != without[key]}
    assert {key.rpartition(".")[2] for key in parted} == other


def test_detectors_are_the_authors_without_a_recipe() -> None:
    """All parameters of Huang et al.'s five, on any pairs of one's own."""
    with_it, without = (table.resolved(recipe("huang"), used=used) for used in (True, False))
    own = [key for key in without if key.startswith("defenses.")]
    assert own
    assert [key for key in own if with_it[key] != without[key]] == []


def test_what_differs_says_why(published: PublishedRecipe) -> None:
    """A value of ours beside another of paper or code has a reason, and only such a value."""
    for entry in published.table:
        assert (entry.ours is not None) == bool(entry.why), entry.setting
        assert entry.expected is not None, entry.setting


@pytest.mark.parametrize("name", ["safeclip-paper", "roclip", "cleanclip", "huang"])
def test_the_whole_training_is_in_the_table(name: str) -> None:
    """Protocols from random weights with public code: all training settings but where and how."""
    told = {entry.setting.removeprefix("train.") for entry in recipe(name).table}
    assert {item.name for item in dataclasses.fields(TrainSettings)} - NO_PROTOCOL <= told
    assert told >= AUGMENTATION


def test_a_table_that_says_something_else_is_told_apart() -> None:
    """Rates are compared as numbers, none with none; another value is another."""
    assert table.same("0.0001", "0.01%", "attacks.badnets.rate")
    assert not table.same("0.001", "0.01%", "attacks.badnets.rate")
    assert table.same(None, "none", "train.grad_clip_norm")
    assert not table.same(1.0, "none", "train.grad_clip_norm")
    assert not table.same(0.98, 0.999, "train.beta2")


def test_a_run_is_shown_beside_the_paper_with_what_a_person_changed() -> None:
    """Only the settings that the run has, as it has them."""
    (config,) = combine(
        {"recipe": "huang", "attack": "badnets", "defense": "slof:k=8", "train": {"lr": 0.1}}
    ).configs()
    shown = {row[0]: row[1:] for row in table.compared(recipe("huang"), config)}
    assert shown["train.lr"] == ("-", "0.001", "0.1")
    assert shown["defenses.slof.k"] == ("-", "16, read as the 17th", "8")
    assert shown["attacks.badnets.rate"] == ("0.01%", "0.01%", "0.01%")
    (config,) = combine({"recipe": "huang", "poisons": 7}).configs()
    assert ("attacks.badnets.rate", "0.01%", "0.01%", "7 pairs") in table.compared(
        recipe("huang"), config
    )
    assert not [name for name in shown if name.startswith(("defenses.dao", "attacks.wanet"))]


def test_the_page_has_the_tables(published: PublishedRecipe) -> None:
    """As ``clipbench describe NAME --kind recipe --markdown`` prints them."""
    assert table.markdown(published) in PAGE.read_text(encoding="utf-8")
