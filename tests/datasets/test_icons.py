"""The data set of open icons: pairs, held-out sets, overlap, and drawings that are refused."""

from __future__ import annotations

import itertools
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import icon_layouts as layouts
import numpy as np
import pytest
import torch
from icon_layouts import NAMES, icon_set, icon_sets, star, write_archive, write_folder

from clipbench.errors import BadInput, BadSetting, CorruptData, MissingData
from clipbench.models.openclip import create_model
from clipbench.shards import manifest as manifests
from clipbench.shards.reader import ShardSet
from clipbench.testing import check_dataset
from clipbench_datasets import _icons_archive as archives
from clipbench_datasets import _icons_choice as choice
from clipbench_datasets import _icons_opened as opened
from clipbench_datasets._icons_archive import read_archive
from clipbench_datasets._icons_choice import SAME_BODY, SAME_LOOK
from clipbench_datasets._icons_draw import drawn, is_near, print_of
from clipbench_datasets._icons_held_out import held_out
from clipbench_datasets._icons_safe import Undrawable, check_body
from clipbench_datasets._icons_sets import Icon
from clipbench_datasets.icons import Icons, TrainingSamples

DOT = '<circle cx="12" cy="12" r="9"/>'


def icon_of(body: str, box: tuple[float, float, float, float] = (0, 0, 24, 24)) -> Icon:
    """Return an icon of a drawing."""
    return Icon("set", "name", "name", body, box, (), (), "Set")


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the tiny package as ``npm pack`` writes it."""
    return write_archive(tmp_path_factory.mktemp("icons"), icon_sets())


def pairs_of(data: Icons, folder: Path) -> list[tuple[str, bytes]]:
    """Return captions and pixels of the training pairs, in order."""
    shards = data.write_to(folder, workers=0)
    return [(shards.caption(n), shards.image(n).tobytes()) for n in range(len(shards))]


def source_of(data: Icons, folder: Path) -> dict[str, Any]:
    """Return what the manifest of the training pairs says of them."""
    data.write_to(folder, workers=0)
    manifest = manifests.read(folder)
    assert manifest is not None
    return dict(manifest.source)


def test_it_keeps_the_contract(archive: Path) -> None:
    """The plugin is a data set as everybody's tests check it."""
    assert check_dataset(f"icons:archive={archive},size=60")


@pytest.mark.parametrize(
    "settings",
    [{"size": 0}, {"size": True}, {"image_size": 8}, {"seed": -1}, {"start": -1}],
)
def test_settings_without_meaning_are_refused(settings: dict[str, Any]) -> None:
    """A setting out of range is an error that names it and the value given."""
    ((name, value),) = settings.items()
    with pytest.raises(BadSetting, match=rf"icons\.{name} .*{value!r}"):
        Icons(Path("icons.tgz"), **settings)


# ------------------------------------------------------------------------------ pairs


def test_the_file_and_its_folder_give_the_same_pairs(archive: Path, tmp_path: Path) -> None:
    """Whether the package is unpacked changes no pair."""
    folder = write_folder(tmp_path, icon_sets())
    packed = pairs_of(Icons(archive, size=20), tmp_path / "packed")
    assert pairs_of(Icons(folder, size=20), tmp_path / "a") == packed
    assert pairs_of(Icons(folder.parent, size=20), tmp_path / "b") == packed


def test_a_smaller_set_is_the_beginning_of_a_larger_one(archive: Path, tmp_path: Path) -> None:
    """Pair i is the same at every size; another seed gives other pairs."""
    large = pairs_of(Icons(archive, size=40), tmp_path / "large")
    assert pairs_of(Icons(archive, size=15), tmp_path / "small") == large[:15]
    assert pairs_of(Icons(archive, size=15, seed=1), tmp_path / "other") != large[:15]


def test_trusted_pairs_come_after_those_of_the_set(archive: Path, tmp_path: Path) -> None:
    """They are the next ones in the same order, so none is in the set."""
    data = Icons(archive, size=30)
    both = pairs_of(Icons(archive, size=40), tmp_path / "both")
    assert pairs_of(data.trusted(10), tmp_path / "trusted") == both[30:]


def test_a_prepared_set_is_not_made_again(
    archive: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither is the archive read for it, unless a shard is cut off."""
    data = Icons(archive, size=10)
    assert data.prepared(tmp_path) is None
    folder = data.prepare(tmp_path)
    before = ShardSet.open(folder).content_sha256()
    with monkeypatch.context() as patch:
        patch.setattr(Icons, "write_to", None)
        assert data.prepare(tmp_path) == data.prepared(tmp_path) == folder
    shard = folder / "00000.tar"
    shard.write_bytes(shard.read_bytes()[:5_000])
    with pytest.warns(UserWarning, match="made again"):
        data.prepare(tmp_path)
    assert ShardSet.open(folder).content_sha256() == before


def test_a_set_that_was_stopped_goes_on_with_the_icons_it_had_chosen(
    archive: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They are looked through once; the finished set keeps no note of them."""
    data = Icons(archive, size=10)
    whole = pairs_of(data, tmp_path / "whole")
    with monkeypatch.context() as patch:
        patch.setattr(TrainingSamples, "__call__", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            data.write_to(tmp_path / "set", workers=0)
    assert (tmp_path / "set.chosen.json").is_file()
    with monkeypatch.context() as patch:
        patch.setattr("clipbench_datasets.icons.held_out_in", None)
        assert pairs_of(data, tmp_path / "set") == whole
    assert not list(tmp_path.glob("*.json"))


def test_without_resvg_one_line_says_what_to_install(
    archive: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The renderer is in an extra, for no other data set needs it."""
    monkeypatch.setitem(sys.modules, "resvg_py", None)
    with pytest.raises(BadSetting, match=r"pip install 'clipbench\[icons\]'"):
        Icons(archive, size=10).prepare(tmp_path)


def test_captions_are_made_of_what_the_set_says(tmp_path: Path) -> None:
    """Names, further names, categories and titles; a mirrored drawing lends no name."""
    sets = icon_sets()
    for number in range(layouts.COUNTS["train"]):
        sets[f"train{number}"]["aliases"] = {
            "house": {"parent": "home"},
            "doorbell": {"parent": "bell", "hFlip": True},
        }
        sets[f"train{number}"]["categories"] = {"Buildings": ["home"], "": ["bell"]}
    data = Icons(write_archive(tmp_path, sets), size=60)
    captions = [caption for caption, _ in pairs_of(data, tmp_path / "set")]
    text = " | ".join(captions)
    assert "house" in text
    assert "Buildings" in text
    assert "doorbell" not in text
    known = [*NAMES, "house"]
    assert all(any(name in caption for name in known) for caption in captions)


def test_more_pairs_than_there_are_icons_are_refused(archive: Path, tmp_path: Path) -> None:
    """One line says how many there are."""
    with pytest.raises(BadSetting, match=r"has 72 icons for training pairs, and 100 are wanted"):
        Icons(archive, size=100).write_to(tmp_path / "set", workers=0)


def test_too_few_icons_are_told_as_soon_as_that_is_sure(
    archive: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not when all were looked at, which for 240,000 takes minutes."""
    monkeypatch.setattr(choice, "_BLOCK", 4)
    sets = read_archive(archive).sets
    held = held_out(sets, "test")
    good = choice.candidates(sets, 0)
    ordered = [icon for pair in zip(held.test[:8], good, strict=False) for icon in pair]
    ordered += good[8:]
    looked: list[int] = []
    message = r"at most 74 icons for training pairs, about 40 by those looked at, and 75 are wanted"
    with pytest.raises(BadSetting, match=message):
        choice.choose(ordered, [held], 75, lambda _, done, __: looked.append(done), 0)
    assert looked == [4, 8, 12]
    found = choice.choose(ordered, [held], 72, lambda *_: None, 0)
    assert len(found.icons) == 72


@pytest.mark.parametrize(
    "data",
    [Icons(Path(), size=73), Icons(Path(), start=13, size=60), Icons(Path(), size=60).trusted(13)],
)
def test_more_pairs_than_there_are_icons_are_told_before_one_is_drawn(
    data: Icons, archive: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A plan asks for their number; for that the archive is read, and without resvg."""
    monkeypatch.setitem(sys.modules, "resvg_py", None)
    data = replace(data, archive=archive)
    with pytest.raises(BadSetting, match=r"at most 72 icons for training pairs, and 73 are wanted"):
        data.num_pairs()
    assert replace(data, size=data.size - 1).num_pairs() == data.size - 1


def test_the_archive_is_read_once_for_the_number_of_pairs_and_what_is_held_out(
    archive: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whichever is asked for first: it takes seconds to read, and is let go in between."""
    data = Icons(archive, size=60)
    read: list[Path] = []
    monkeypatch.setattr(
        archives, "read_archive", lambda path: (read.append(path), read_archive(path))[1]
    )
    for first, then in ((data.num_pairs, data.targets), (data.targets, data.num_pairs)):
        for cached in (opened.archive_at, opened.most_pairs, opened.held_out_at):
            cached.cache_clear()
        first()
        then()
    assert read == [archive, archive]


def test_held_out_icons_are_drawn_once_for_pairs_and_evaluation_and_that_is_told(
    archive: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They take tens of seconds: a person sees that something goes on."""
    drawn_for: list[str] = []
    monkeypatch.setattr(
        opened, "held_out", lambda sets, part: (drawn_for.append(part), held_out(sets, part))[1]
    )
    for cached in (opened.held_out_at, opened.held_out_in):
        cached.cache_clear()
    data, told = Icons(archive, size=60), []
    data.evaluation()
    data.write_to(tmp_path / "set", lambda *what: told.append(what), workers=0)
    assert sorted(drawn_for) == ["test", "validation"]
    assert told[:3] == [("drawing held-out icons", done, 2) for done in range(3)]


def test_the_manifest_says_whose_drawings_they_are(archive: Path, tmp_path: Path) -> None:
    """Title, author and license of each icon set, and of which package."""
    source = source_of(Icons(archive, size=60), tmp_path / "set")
    assert source["package"] == "@iconify/json@0.0.1"
    assert source["icon_sets"]["train3"] == {
        "title": "Set 3",
        "author": layouts.author("train", 3),
        "license": "MIT",
    }


def test_the_recipe_names_a_tower_of_some_million_parameters(archive: Path) -> None:
    """It takes the images of the set, and is larger than that of `shapes`."""
    recipe = Icons(archive).recipe()
    model, _ = create_model(recipe.train["model"], 0)
    assert 2e6 < sum(one.numel() for one in model.parameters()) < 5e6
    assert model.encode_image(torch.zeros(2, 3, 32, 32)).shape == (2, 256)


def test_a_small_set_warms_up_for_few_steps(archive: Path) -> None:
    """The warm-up takes the same share of a training, whatever its length."""
    steps = [Icons(archive, size=n).recipe().train["warmup"] for n in (60, 6_000, 60_000)]
    assert steps == [1, 10, 100]


# ------------------------------------------------------------------------------ left out


def test_hidden_animated_and_blank_icons_are_left_out_and_counted(tmp_path: Path) -> None:
    """The manifest says how many of each kind there were."""
    sets = icon_sets()
    sets["train0"]["icons"] |= {
        "gone": {"body": DOT, "hidden": True},
        "spinner": {"body": '<circle r="3"><animate attributeName="r" values="3;5"/></circle>'},
        "nothing": {"body": '<path d=""/>'},
    }
    source = source_of(Icons(write_archive(tmp_path, sets), size=72), tmp_path / "set")
    assert source["left_out_unseen"] == {"animated": 1, "hidden": 1}
    assert set(source["left_out"]) <= {"blank"}
    assert source["looked_at"] == 72 + source["left_out"].get("blank", 0)


def test_sets_that_forbid_commercial_use_are_used_when_asked_for(tmp_path: Path) -> None:
    """By default they are neither trained on nor tested on."""
    sets = icon_sets()
    sets["train11"] = icon_set("train", 11, "CC-BY-NC-SA-4.0")
    path = write_archive(tmp_path, sets)
    source = source_of(Icons(path, size=66, noncommercial=True), tmp_path / "all")
    assert "train11" in source["icon_sets"]
    with pytest.raises(BadSetting, match="has 66 icons"):
        Icons(path, size=67).write_to(tmp_path / "set", workers=0)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda body: body, SAME_BODY),
        (lambda body: f'<g transform="translate(6 3) scale(.5)">{body}</g>', SAME_LOOK),
        (lambda body: body.replace("currentColor", "#2a6"), SAME_LOOK),
    ],
    ids=["copied", "smaller and elsewhere", "in a color"],
)
def test_no_training_pair_shows_what_a_held_out_icon_shows(
    change: Any, reason: str, tmp_path: Path
) -> None:
    """Whoever drew it, in whatever size and color, it is left out and counted."""
    sets = icon_sets()
    body = sets["test0"]["icons"]["bell"]["body"]
    sets["train5"]["icons"]["borrowed"] = {"body": change(body)}
    path = write_archive(tmp_path, sets)
    with pytest.raises(BadSetting, match="has 72 icons"):
        Icons(path, size=73).write_to(tmp_path / "all", workers=0)
    source = source_of(Icons(path, size=72), tmp_path / "set")
    if source["looked_at"] == 73:
        assert source["left_out"] == {reason: 1}


# ------------------------------------------------------------------------------ held out


def test_classes_are_names_that_enough_sets_draw(tmp_path: Path) -> None:
    """Twelve training sets and three held-out ones; a name of one fewer is no class."""
    sets = icon_sets()
    del sets["train0"]["icons"]["cloud"]
    for number in range(2):
        del sets[f"test{number}"]["icons"]["star"]
    classes = Icons(write_archive(tmp_path, sets)).evaluation().classes
    assert set(classes.names) == set(NAMES) - {"cloud", "star"}


def test_variants_count_as_one_name(tmp_path: Path) -> None:
    """What a set declares as the mark of a variant is no part of the name."""
    sets = icon_sets()
    for content in sets.values():
        content["suffixes"] = {"bold": "Bold", "": "Regular"}
        content["icons"]["bell-bold"] = content["icons"].pop("bell")
    classes = Icons(write_archive(tmp_path, sets)).evaluation().classes
    assert "bell" in classes.names
    assert "bell bold" not in classes.names


def test_targets_and_test_icons_are_of_held_out_sets_and_apart(archive: Path) -> None:
    """One target a class; no drawing is in two of training, test, targets and validation."""
    sets = read_archive(archive).sets
    splits = {split: held_out(sets, split) for split in ("test", "validation")}
    for split, found in splits.items():
        assert sorted(found.target_labels.tolist()) == list(range(len(NAMES)))
        assert {icon.prefix.rstrip("0123456789") for icon in found.icons()} == {split}
        assert not {icon.key for icon in found.test} & {icon.key for icon in found.targets}
        named = [found.classes[label] for label in found.labels]
        assert named == [icon.base for icon in found.test]
    bodies = [{icon.body for icon in found.icons()} for found in splits.values()]
    assert not bodies[0] & bodies[1]


def test_the_seed_changes_colors_of_held_out_icons_and_not_which_they_are(archive: Path) -> None:
    """So that runs of different data are measured on the same drawings."""
    first, second = (Icons(archive, seed=seed).evaluation() for seed in (0, 1))
    assert first.test.labels.tolist() == second.test.labels.tolist()
    assert not np.array_equal(first.test.images[0], second.test.images[0])


def test_icons_for_retrieval_have_different_names_and_are_no_targets(archive: Path) -> None:
    """Each is to be found by its own caption."""
    found = held_out(read_archive(archive).sets, "test")
    names = [icon.base for icon in found.retrieved]
    assert len({*names}) == len(names) >= 1
    assert not {icon.key for icon in found.retrieved} & {icon.key for icon in found.targets}


def test_another_version_is_named_in_results(archive: Path) -> None:
    """The evaluation set says it, and whether it is the one for choosing recipes."""
    assert Icons(archive).evaluation().name == "icons-0.0.1"
    assert Icons(archive, split="validation").evaluation().name == "icons-0.0.1-validation"


# ------------------------------------------------------------------------------ drawings


def test_an_icon_is_drawn_in_any_size_and_keeps_its_shape() -> None:
    """A wide icon fills the width, is centered, and is mirrored in no direction."""
    wide = icon_of('<rect width="40" height="20"/><rect width="5" height="5" fill="#fff"/>')
    wide = wide._replace(box=(0, 0, 40, 20))
    for side in (16, 64, 100):
        opacity = drawn(wide, side, margin=0)[..., 3]
        assert opacity.shape == (side, side)
        covered = np.flatnonzero(opacity.mean(1) > 0.5) / side
        assert covered.min() == pytest.approx(0.25, abs=1 / side)
        assert covered.max() == pytest.approx(0.75 - 1 / side, abs=1 / side)


def test_two_drawings_are_the_same_or_not_whatever_their_size_and_color() -> None:
    """The print of an icon is that of its shape."""
    same = [
        icon_of(star(1)),
        icon_of(star(1).replace("currentColor", "#e33")),
        icon_of(star(1), (-24, -24, 72, 72)),
    ]
    prints = np.stack([print_of(icon) for icon in same])
    for one, other in itertools.combinations(range(3), 2):
        assert is_near(prints[one : one + 1], prints[other : other + 1])[0]
    assert not is_near(prints, np.stack([print_of(icon_of(star(2)))])).any()


def bomb(depth: int) -> str:
    """Return a drawing that doubles with each of its parts."""
    parts = [f'<g id="p0">{DOT}</g>']
    for number in range(depth):
        use = f'<use href="#p{number}"/>'
        parts.append(f'<g id="p{number + 1}">{use}{use}</g>')
    return "".join(parts)


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ('<image href="/etc/passwd" width="9" height="9"/>', "with <image>"),
        ('<use href="/etc/hostname#a"/>', "refers outside"),
        ('<use xlink:href="http://localhost/a.svg#a"/>', "refers outside"),
        ('<path fill="url(file:///etc/passwd)" d="M0 0h9v9z"/>', "refers outside"),
        ('<path style="fill:url( \'a.svg#b\' )" d="M0 0h9v9z"/>', "refers outside"),
        ("<text>name</text>", "with <text>"),
        ("<style>@import url(http://localhost)</style>", "with <style>"),
        ("<script>1</script>", "with <script>"),
        ('<!DOCTYPE a [<!ENTITY b "c">]><path d="M0 0"/>', "not plain"),
        ("<path", "no XML"),
        ("</svg><svg>", "no XML"),
        (5_000 * "<g>" + DOT + 5_000 * "</g>", "intricate"),
        (bomb(40), "intricate"),
        ('<g id="a"><use href="#a"/></g>', "circular"),
    ],
)
def test_a_drawing_that_is_not_bounded_or_not_by_itself_is_refused(body: str, reason: str) -> None:
    """Nothing outside is read, and nothing takes longer than a large icon."""
    with pytest.raises(Undrawable, match=f"^{reason}$"):
        check_body(body)


def test_parts_of_a_drawing_may_be_used_in_it() -> None:
    """Gradients, masks and uses of its own are what icons are made of."""
    check_body(bomb(3) + '<path fill="url(#p0)" d="M0 0h9v9z"/><use xlink:href="#p1"/>')


# ------------------------------------------------------------------------------ archives


def test_what_is_no_package_of_icons_is_an_error_of_one_line(archive: Path, tmp_path: Path) -> None:
    """It names the file, and how to fetch it."""
    content = archive.read_bytes()
    (tmp_path / "cut.tgz").write_bytes(content[: len(content) // 2])
    (tmp_path / "text.tgz").write_text("no archive")
    (tmp_path / "empty").mkdir()
    for name in ("cut.tgz", "text.tgz", "empty", "missing.tgz"):
        with pytest.raises(BadInput, match=f"{name}.*npm pack") as caught:
            Icons(tmp_path / name).evaluation()
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("json/train0.json", "{"),
        ("json/train0.json", "[]"),
        ("json/train0.json", '{"icons": {}}'),
        ("json/train0.json", '{"a": 1, "a": 2}'),
        ("package.json", "{}"),
    ],
)
def test_a_file_that_is_no_icon_set_is_named(name: str, text: str, tmp_path: Path) -> None:
    """Broken JSON, or JSON of another kind, is told with its file."""
    folder = write_folder(tmp_path, icon_sets())
    (folder / name).write_text(text)
    with pytest.raises(CorruptData, match=name) as caught:
        Icons(folder).evaluation()
    assert "\n" not in str(caught.value)


def test_an_archive_that_unpacks_to_no_end_is_refused(
    archive: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is read no further than any package goes."""
    monkeypatch.setattr(archives, "_MOST_TOTAL", 5_000)
    with pytest.raises(CorruptData, match="unpacks to more than 5,000 bytes"):
        read_archive(archive)


def test_the_pinned_version_must_hold_the_pinned_icons(tmp_path: Path) -> None:
    """An archive that calls itself that and has other icons is no such archive."""
    path = write_archive(tmp_path, icon_sets(), archives.VERSION)
    with pytest.raises(CorruptData, match="not those of that"):
        read_archive(path)


def test_no_archive_is_an_error_before_anything_is_made(tmp_path: Path) -> None:
    """A wrong path leaves no folder behind."""
    with pytest.raises(MissingData, match="npm pack"):
        Icons(tmp_path / "nowhere.tgz").prepare(tmp_path / "cache")
    assert not (tmp_path / "cache").exists()
