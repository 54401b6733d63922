from __future__ import annotations

import hashlib
import io
import shutil
import tarfile
from pathlib import Path

import numpy as np
import pytest
import torch
from held_out_layouts import tar
from own_set import CLASSES, patch, write_crawl
from PIL import Image

from clipbench.cli import main
from clipbench.errors import BadSetting, CorruptData, MissingData
from clipbench.evaluation.retrieval import recall_at_k
from clipbench.importing import staleness
from clipbench.importing.usable import open_usable
from clipbench.shards.reader import ShardSet
from clipbench.testing import check_dataset
from clipbench_datasets._own_classes import classes_in, classes_of, subjects_in
from clipbench_datasets._own_labels import labels_of, labels_of_pictures
from clipbench_datasets.own import Own


@pytest.fixture(scope="module")
def crawl(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Somebody's 400 pairs in two shards."""
    return write_crawl(tmp_path_factory.mktemp("own") / "crawl", (250, 150))


@pytest.fixture
def own(crawl: Path) -> Own:
    return Own(path=str(crawl))


def state(folder: Path) -> dict[str, tuple[int, str]]:
    """Return what lies in a folder: times and hashes."""
    return {
        path.name: (path.stat().st_mtime_ns, hashlib.sha256(path.read_bytes()).hexdigest())
        for path in folder.iterdir()
        if path.name != ".clipbench"  # the index
    }


def test_it_is_a_data_set(own: Own) -> None:
    """The checks that anybody's data set must pass."""
    check_dataset(own)


def test_no_pair_is_in_two_parts(own: Own, tmp_path: Path) -> None:
    """A tenth is for tests, a twentieth for targets; the rest is trained on, as it was."""
    trained = ShardSet.open(own.prepare(tmp_path))
    evaluation = own.evaluation()
    assert evaluation.retrieval is not None
    tests, targets = evaluation.retrieval.images, own.targets().images
    assert [len(part) for part in own.parts] == [40, 20, 340]
    assert 10 <= len(targets) <= 20  # those whose captions name one class
    assert (len(tests), len(trained)) == (40, 340)
    seen = [
        {hashlib.sha256(image.tobytes()).hexdigest() for image in part}
        for part in (tests, targets, [trained.image(pair) for pair in range(len(trained))])
    ]
    assert len(set.union(*seen)) == 380 + len(targets)


def test_the_seed_decides_what_is_held_out(own: Own, crawl: Path) -> None:
    """The same for the same seed, and other pairs for another."""

    def held_out(source: Own) -> list[str]:
        retrieval = source.evaluation().retrieval
        assert retrieval is not None
        return [texts[0] for texts in retrieval.captions]

    assert held_out(own) == held_out(Own(path=str(crawl)))
    assert held_out(own) != held_out(Own(path=str(crawl), seed=1))


def test_a_sample_is_drawn_where_a_size_is_given(crawl: Path, tmp_path: Path) -> None:
    """A larger one holds a smaller one of the same seed."""
    small, large = (
        ShardSet.open(Own(path=str(crawl), size=size).prepare(tmp_path)) for size in (50, 100)
    )
    assert (len(small), len(large)) == (50, 100)
    assert set(small.captions()) < set(large.captions())


def test_the_shards_of_the_user_are_not_touched(crawl: Path, tmp_path: Path) -> None:
    """Neither a byte of them, nor a time, nor is anything but an index added to their folder."""
    before = state(crawl)
    words = ["poison", "--data", f"own:path={crawl}", "--attack", "targeted:targets=2"]
    status = main(
        [*words, "--rate", "5%", "--out", str(tmp_path / "p"), "--cache", str(tmp_path / "c"), "-q"]
    )
    assert status == 0
    assert state(crawl) == before


def test_an_image_of_a_test_is_not_trained_on(crawl: Path, tmp_path: Path) -> None:
    """Where the crawl has it twice, byte for byte."""
    other = tmp_path / "again"
    other.mkdir()
    shutil.copy(crawl / "00000.tar", other / "00000.tar")
    path = f"{crawl}/00000.tar::{other}"
    source = Own(path=path)
    trained = ShardSet.open(source.prepare(tmp_path / "cache"))
    evaluation = source.evaluation()
    images = [trained.image_bytes(pair) for pair in range(len(trained))]
    shards = ShardSet.open(path)
    held_out = {shards.image_bytes(pair) for part in source.parts[:2] for pair in part.tolist()}
    assert not held_out & set(images)
    assert 350 < len(images) < source.num_pairs() == 425
    assert len(evaluation.test) <= 50


ODD = {  # pairs that the crawl has in each hundred, beside plain ones
    "sideways": ("jpg", (200, 100, 50)),
    "see-through": ("png", (200, 100, 50)),
    "sixteen bits": ("png", (200, 200, 200)),
    "strip": ("png", (0, 0, 0)),
    "silent": ("png", (0, 0, 0)),
}


def odd_file(kind: str) -> bytes:
    """Return an image that a careless reader shows otherwise than its maker meant it."""
    side, color = 48, ODD[kind][1]
    buffer, exif = io.BytesIO(), Image.Exif()
    exif[0x0112] = 6  # to be turned by a quarter
    wide = np.zeros((side, 2 * side, 3), np.uint8)
    wide[:, :side] = color
    if kind == "sideways":
        Image.fromarray(wide).save(buffer, "JPEG", quality=95, exif=exif)
    elif kind == "see-through":
        logo = np.zeros((side, side, 4), np.uint8)
        logo[16:32, 16:32] = (*color, 255)
        Image.fromarray(logo).save(buffer, "PNG")
    elif kind == "sixteen bits":
        Image.fromarray(np.full((side, side), color[0] * 257, np.uint16)).save(buffer, "PNG")
    elif kind == "strip":
        Image.new("RGB", (1, 1000)).save(buffer, "PNG")
    else:
        patch(1).save(buffer, "PNG")
    return buffer.getvalue()


def write_odd(folder: Path, pairs: int) -> Path:
    """Write a crawl in which every kind of odd pair comes as often; each file has other bytes."""
    members = {}
    for number in range(pairs):
        kind = list(ODD)[number % len(ODD)]
        text = "\u200b" if kind == "silent" else f"a {kind} {CLASSES[number % 4]} of {number}"
        image = odd_file(kind) + b"%d" % number  # what stands behind an image is not looked at
        members |= {f"{number:06d}.{ODD[kind][0]}": image, f"{number:06d}.txt": text.encode()}
    tar(folder / "00000.tar", members)
    return folder


def test_all_that_cannot_be_used_is_counted_or_refused(crawl: Path, tmp_path: Path) -> None:
    """Also pairs that are in no part, for they lack a caption, and what is held out.

    Of those nothing was said, not even where anything that can't be used is an error.
    """
    members = dict[str, bytes]()
    for shard in sorted(crawl.glob("*.tar")):
        with tarfile.open(shard) as file:
            for info in file:
                if (content := file.extractfile(info)) is not None:
                    members[info.name] = content.read()
    del members["000000007.txt"]
    tar((folder := tmp_path / "crawl") / "0.tar", members)
    shards, parts = ShardSet.open(folder, on_incomplete="skip"), Own(path=str(folder)).parts
    for part in parts:  # tests, targets and what is trained on
        members[f"{shards.key(int(part[3]))}.jpg"] = b""
    tar(folder / "0.tar", members)
    made = Own(path=str(folder)).prepare(tmp_path / "cache")
    usable = open_usable(made, tmp_path / "cache", on_error="skip")
    told = {"caption missing": 1, "image empty": 3}
    assert (len(usable.shards), usable.left_out) == (len(parts[2]) - 1, told)
    with pytest.raises(CorruptData, match="4 left out"):
        open_usable(made, tmp_path / "cache", on_error="fail")


def test_held_out_pairs_are_read_as_those_that_are_trained_on(tmp_path: Path) -> None:
    """Upright, on white, in 8 bits; and what an import leaves out, no test has either."""
    (tmp_path / "classes.txt").write_text("\n".join(CLASSES) + "\n")
    source = Own(path=str(write_odd(tmp_path / "odd", 400)), classes=tmp_path / "classes.txt")
    trained = ShardSet.open(source.prepare(tmp_path / "cache"))
    retrieval = source.evaluation().retrieval
    assert retrieval is not None

    def shown(image: np.ndarray, text: str) -> tuple[str, tuple[int, ...], str]:
        kind = next((kind for kind in ODD if kind in text), "silent")
        return kind, image.shape, hashlib.sha256(image.tobytes()).hexdigest()

    seen = {shown(trained.image(n), trained.caption(n)) for n in range(len(trained))}
    tested = zip(retrieval.images, retrieval.captions, strict=True)
    assert {shown(image, texts[0]) for image, texts in tested} == seen
    assert {kind for kind, _, _ in seen} == {"sideways", "see-through", "sixteen bits"}
    targets = source.targets().images
    assert {hashlib.sha256(image.tobytes()).hexdigest() for image in targets} == {
        digest for _, _, digest in seen
    }


CAPTIONS = 5  # of an image, each a pair, as an import of COCO leaves them


def write_captioned(folder: Path, pairs: int) -> Path:
    """Write a crawl in which every image comes with several captions, each a pair of its own."""
    members = {}
    for number in range(pairs):
        buffer, picture = io.BytesIO(), number // CAPTIONS
        patch(picture).save(buffer, "PNG")
        text = f"{number % CAPTIONS} times a {CLASSES[picture % 4]} of lot {picture}"
        members |= {f"{number:06d}.png": buffer.getvalue(), f"{number:06d}.txt": text.encode()}
    tar(folder / "00000.tar", members)
    return folder


def test_an_image_with_several_captions_is_one_image(tmp_path: Path) -> None:
    """A model that makes no mistake finds all of them: no image competes with itself."""
    (tmp_path / "classes.txt").write_text("\n".join(CLASSES) + "\n")
    folder = write_captioned(tmp_path / "captioned", 400)
    source = Own(path=str(folder), test=80, classes=tmp_path / "classes.txt")
    tests, retrieval = source.evaluation().test, source.evaluation().retrieval
    assert retrieval is not None
    lots = [{text.rpartition(" ")[2] for text in several} for several in retrieval.captions]
    captions = [text for several in retrieval.captions for text in several]
    assert len(captions) == 40 > len(lots) == len(set.union(*lots))
    owners = np.repeat(np.arange(len(lots)), [len(several) for several in retrieval.captions])
    numbers = {lot: number for number, [lot] in enumerate(lots)}
    perfect = torch.eye(len(lots))
    of_texts = perfect[[numbers[text.rpartition(" ")[2]] for text in captions]]
    shares = recall_at_k(perfect, of_texts, owners)
    assert {share.value for share in shares.values()} == {1.0}
    for images in (retrieval.images, tests.images, source.targets().images):
        assert len({image.tobytes() for image in images}) == len(images)
    assert len(tests) == len(lots)
    assert next(iter(source.files()))[0] == "once/apart/0/00000.tar"


def test_an_image_of_a_test_is_no_target(tmp_path: Path) -> None:
    """Whatever caption of it is among the targets: an attack would put a test into the training."""
    (tmp_path / "classes.txt").write_text("\n".join(CLASSES) + "\n")
    folder = write_captioned(tmp_path / "captioned", 400)
    source = Own(path=str(folder), test=80, classes=tmp_path / "classes.txt")
    shards = ShardSet.open(str(folder))
    tests, targets = ({shards.image_bytes(pair) for pair in part} for part in source.parts[:2])
    assert tests & targets, "the parts have pairs of one image"
    tested = {image.tobytes() for image in source.evaluation().test.images}
    targeted = {image.tobytes() for image in source.targets().images}
    assert targeted
    assert not tested & targeted


def test_an_image_whose_captions_name_several_classes_has_the_first_or_none() -> None:
    """As a caption that names several."""
    named, pictures = np.array([1, -1, 2, 0, 0, 1]), np.array([0, 1, 0, 3, 3, 1])
    of = labels_of_pictures
    assert of(named, pictures).tolist() == [-1, 1, -1, 0, -1, -1]
    assert of(named, pictures, first=True).tolist() == [1, 1, -1, 0, -1, -1]


def test_runs_whose_tests_were_read_otherwise_get_another_id(crawl: Path, tmp_path: Path) -> None:
    """Results of earlier versions are not taken for theirs; all other runs keep their ids."""
    odd = write_odd(tmp_path / "odd", 400)
    assert [name for name, _ in Own(path=str(crawl)).files()] == ["0/00000.tar", "1/00001.tar"]
    assert [name for name, _ in Own(path=str(odd)).files()] == ["as imported/0/00000.tar"]


def test_shards_that_were_touched_are_not_imported_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A copy, or a disk that is mounted anew, has other times and numbers, and the same pairs."""
    monkeypatch.setattr(staleness, "_MOST_COMPARED", 10)  # more are imported again
    crawl, cache = write_crawl(tmp_path / "crawl", (200,)), tmp_path / "cache"
    source = Own(path=str(crawl))
    first = source.prepare(cache)
    copy = shutil.copy(crawl / "00000.tar", tmp_path / "copy.tar")
    Path(copy).replace(crawl / "00000.tar")
    listed: list[Own] = []
    entries = Own.entries
    monkeypatch.setattr(Own, "entries", lambda self: listed.append(self) or entries(self))
    again = Own(path=str(crawl))
    assert (again.prepared(cache), again.prepare(cache)) == (first, first)
    assert listed == []  # nor is each pair looked at to know that
    write_crawl(tmp_path / "other", (201,))
    (tmp_path / "other" / "00000.tar").replace(crawl / "00000.tar")
    assert Own(path=str(crawl)).prepared(cache) is None


def test_classes_are_what_captions_name(own: Own) -> None:
    """Test images have the class that their caption names."""
    evaluation = own.evaluation()
    assert set(CLASSES) < set(evaluation.classes.names)  # "antique" stands like a noun, too
    retrieval = evaluation.retrieval
    assert retrieval is not None
    shown = zip(retrieval.images, retrieval.captions, strict=True)
    caption_of = {image.tobytes(): texts[0] for image, texts in shown}
    assert len(evaluation.test) > 20
    for image, label in zip(evaluation.test.images, evaluation.test.labels, strict=True):
        assert evaluation.classes.names[label] in caption_of[image.tobytes()]
    assert len(set(own.targets().labels.tolist())) >= len(CLASSES)


def test_classes_may_be_listed(crawl: Path, tmp_path: Path) -> None:
    """A line each; what no file says is one sentence."""
    listed = tmp_path / "classes.txt"
    listed.write_text("quartz\nlichen\n")
    evaluation = Own(path=str(crawl), classes=listed).evaluation()
    assert evaluation.classes.names == ("quartz", "lichen")
    assert 0 < len(evaluation.test) < 40
    with pytest.raises(MissingData, match="a list of classes"):
        Own(path=str(crawl), classes=tmp_path / "none.txt").evaluation()


def test_a_letter_with_an_accent_is_the_same_in_both_forms_of_unicode() -> None:
    """Else one word would be two classes of one look, of which a model says the first alone."""
    captions = ["a blue caf\u00e9.", "a red cafe\u0301."] * 20
    names = classes_in([*captions, *["a red b\u00e4r."] * 100]).names
    assert "caf\u00e9" in names
    assert "cafe" not in names
    assert set(labels_of(captions, classes_of(["b\u00e4r", "cafe\u0301"])).tolist()) == {1}
    assert set(labels_of(captions, classes_of(["cafe"])).tolist()) == {-1}
    assert classes_of(["caf\u00e9", "cafe\u0301"]).names == ("caf\u00e9",)


def test_classes_that_no_caption_tells_apart_are_one(crawl: Path, tmp_path: Path) -> None:
    """A model reads both alike and says the first: it would be wrong about all images of one."""
    listed = tmp_path / "classes.txt"
    listed.write_text("Quartz\nlichen\nquartz\nlichen\u00a0 \u2014 lot\n")
    evaluation = Own(path=str(crawl), classes=listed).evaluation()
    assert evaluation.classes.names == ("Quartz", "lichen", "lichen \u2014 lot")
    assert set(evaluation.test.labels.tolist()) == {0, 2}  # every lichen is one of a lot


def test_captions_without_classes_are_told(crawl: Path, tmp_path: Path) -> None:
    """With what to do about it."""
    listed = tmp_path / "classes.txt"
    listed.write_text("unicorn\n")
    told = (
        "No caption of 40 held-out pairs names exactly one of 1 classes; set several=first, raise"
    )
    with pytest.raises(BadSetting, match=told):
        Own(path=str(crawl), classes=listed).evaluation()


def test_of_few_pairs_none_are_held_out(tmp_path: Path) -> None:
    """It is said at once, with the other way."""
    folder = write_crawl(tmp_path / "few", (50,))
    with pytest.raises(BadSetting, match="has 50 pairs; of fewer than 200 none are held out"):
        Own(path=str(folder)).num_pairs()


def test_one_caption_for_all_names_no_classes(tmp_path: Path) -> None:
    """Nothing can be told apart by it."""
    source = Own(path=str(write_crawl(tmp_path / "same", (200,), text="a photo of a dog")))
    with pytest.raises(BadSetting, match="name 0 classes often enough"):
        source.evaluation()


NOUNS = [
    *["a red car with open doors", "two small cars in the rain", "an old car."] * 12,
    *["a red fire truck at night", "the fire truck, parked", "fire trucks on a road"] * 12,
    *["a tall green tree", "trees in the fog"] * 15,
    *["a red bicycle of wood"] * 19,  # too few
    *["photo"] * 400,  # too many
]


def test_nouns_are_found_by_their_places() -> None:
    """No adjective, no word that nearly all captions have, no part of another noun."""
    classes = classes_in(NOUNS)
    assert classes.aliases[:3] == (
        ("car", "cars"),
        ("fire truck", "fire trucks"),
        ("tree", "trees"),
    )
    names = " ".join(classes.names).split()
    assert not {"red", "small", "green", "photo", "bicycle", "truck", "with", "the"} & {*names[3:]}


SENTENCES = [
    *["a red heart on a wall", "you see a small heart at the top of a canvas", "two hearts"] * 12,
    *["a star rests on a wall", "you see a blue star near the top of a canvas"] * 12,
    *["near the top of the photo you see a ring", "a photo of a ring on a wall"] * 12,
    *["untitled"] * 100,  # too many to tell anything
]


def test_subjects_are_what_captions_name_first() -> None:
    """Not where it is, what it does, who sees it, or the picture; and they name every caption."""
    classes = subjects_in(SENTENCES)
    assert {*classes.names} == {"heart", "star", "ring"}
    assert classes.aliases[0] == ("heart", "hearts")
    labels = labels_of(SENTENCES, classes, first=True)
    assert [classes.names[label] for label in labels[[0, 1, 2, 36, 37, 60, 61]].tolist()] == [
        *["heart"] * 3,
        *["star"] * 2,
        *["ring"] * 2,
    ]


def test_a_kind_of_a_subject_is_no_class_of_its_own() -> None:
    """Hearts of every color are hearts."""
    colors = ("red", "blue", "green", "pink")
    captions = [f"a {color} heart on a wall" for color in colors] * 25
    captions += ["a star on a wall"] * 400
    assert subjects_in(captions).names == ("heart",)


def test_held_out_images_of_several_classes_have_the_first_where_that_is_asked_for(
    crawl: Path,
) -> None:
    """Else they are left out, and may all be."""
    words = crawl.parent / "classes.txt"
    words.write_text("\n".join([*CLASSES, "lot"]) + "\n")
    with pytest.raises(BadSetting, match="No caption of 40 held-out pairs names exactly one"):
        Own(path=str(crawl), classes=words).evaluation()
    first = Own(path=str(crawl), classes=words, several="first").evaluation().test
    assert len(first) == 40
    assert "lot" not in {CLASSES[label] for label in first.labels.tolist()}


def test_captions_name_one_class_or_none() -> None:
    """The longer of two that stand at one place; whole words, whatever their case."""
    classes = classes_of(["truck", "fire truck", "tree"])
    captions = [
        "A TREE",
        "a fire  truck",
        "a truck",
        "a truck under a tree",
        "street",
        "trees",
        "",
    ]
    np.testing.assert_array_equal(labels_of(captions, classes), [2, 1, 0, -1, -1, -1, -1])


def test_captions_name_no_class_where_there_is_none() -> None:
    """As where no noun of theirs is frequent enough."""
    none = classes_of([])
    for first in (False, True):
        assert labels_of(["a cup", ""], none, first=first).tolist() == [-1, -1]
    assert len(subjects_in(["one of a kind", "nothing said twice"])) == 0
