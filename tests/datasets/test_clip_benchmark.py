"""CLIP_benchmark's webdataset layout: what it reads, clipbench reads."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import webdataset as wds
from held_out_layouts import (
    clip_benchmark_captions,
    clip_benchmark_classes,
    photograph,
    tar,
    text,
    webp,
)

from clipbench.errors import BadInput, BadSetting
from clipbench_datasets.clip_benchmark import ClipBenchmark


def test_evaluating_a_checkpoint_on_classes(tmp_path: Path, evaluate: Any) -> None:
    """The whole way: two shards of webp images and labels, names and templates from text files."""
    root = clip_benchmark_classes(tmp_path / "wds_colors")
    result = evaluate(f"clip_benchmark:root={root}")
    assert result["data"] == "colors"
    assert result["metrics"]["zeroshot_top1"]["n"] == 20


def test_evaluating_a_checkpoint_on_captions(tmp_path: Path, evaluate: Any) -> None:
    """A retrieval set has a recall of its images and of all of its captions."""
    result = evaluate(f"clip_benchmark:root={clip_benchmark_captions(tmp_path)}")
    assert result["metrics"]["image_to_text_r5"]["n"] == 9
    assert result["metrics"]["text_to_image_r5"]["n"] == 27


# webdataset leaves the shards it has read to the garbage collector.
UNCLOSED = (
    "ignore:unclosed file:ResourceWarning",
    "ignore::pytest.PytestUnraisableExceptionWarning",
)


@pytest.mark.filterwarnings(*UNCLOSED)
def test_classes_equal_what_webdataset_reads(tmp_path: Path) -> None:
    """Images and labels are, in order, those that another reader of the same shards gives."""
    root = clip_benchmark_classes(tmp_path)
    urls = [str(root / "test" / f"{number}.tar") for number in range(2)]
    pipeline = wds.WebDataset(urls, shardshuffle=False, empty_check=False)
    expected = list(pipeline.decode("rgb8").to_tuple("webp", "cls"))
    task = ClipBenchmark(root).evaluation().classification
    assert task is not None
    assert task.test.labels.tolist() == [label for _, label in expected]
    for image, (other, _) in zip(task.test.images, expected, strict=True):
        assert (image == other).all()
    assert task.classes.names[1] == "a dark thing"
    assert task.classes.templates == ("a photo of {}.", "{}", "some {}?")
    assert task.train is not None
    assert len(task.train) == 30


@pytest.mark.filterwarnings(*UNCLOSED)
def test_captions_equal_what_webdataset_reads(tmp_path: Path) -> None:
    """Captions are the lines of the text members."""
    root = clip_benchmark_captions(tmp_path)
    pipeline = wds.WebDataset(str(root / "test" / "0.tar"), shardshuffle=False, empty_check=False)
    expected = [sample["txt"].decode().splitlines() for sample in pipeline]
    task = ClipBenchmark(root).evaluation().retrieval
    assert task is not None
    assert [list(several) for several in task.captions] == expected
    with pytest.raises(BadSetting, match="no classes"):
        ClipBenchmark(root).targets()


def test_a_linear_probe_learns_from_the_training_split(tmp_path: Path, evaluate: Any) -> None:
    """With --metric a set with training images has a probe's accuracy, one without is an error."""
    root = clip_benchmark_classes(tmp_path / "with")
    result = evaluate(f"clip_benchmark:root={root}", "--metric", "linear_probe")
    assert result["metrics"]["linear_probe_top1"]["n"] == 20
    assert result["metrics"]["linear_probe_images"]["value"] == 30
    assert result["metric_plugins"][0]["name"] == "linear_probe"
    assert result["metric_plugins"][0]["parameters"]["validation"] == 0.2
    bare = clip_benchmark_classes(tmp_path / "without", train=0)
    status, error = evaluate(f"clip_benchmark:root={bare}", "--metric", "linear_probe")
    assert status == 2
    assert "'linear_probe' has nothing to measure on without" in error


def test_several_sets_are_measured_at_once(tmp_path: Path, evaluate: Any) -> None:
    """Captions and classes of different sets stand side by side, each under its own name."""
    captions = clip_benchmark_captions(tmp_path / "words")
    classes = clip_benchmark_classes(tmp_path / "colors", train=0)
    result = evaluate(f"clip_benchmark:root={captions}", "--eval", f"clip_benchmark:root={classes}")
    assert result["data"] == "colors+words"
    assert [item["name"] for item in result["evaluations"]] == ["words", "colors"]
    joined = {
        key: value for item in result["evaluations"] for key, value in item["metrics"].items()
    }
    assert result["metrics"] == joined


def test_reserved_images_are_targets_and_no_test_images(tmp_path: Path) -> None:
    """reserve=1 takes the first image of each class out of the test images."""
    source = ClipBenchmark(clip_benchmark_classes(tmp_path), reserve=1)
    targets, test = source.targets(), source.evaluation().test
    assert targets.labels.tolist() == [0, 1, 2, 3, 4]
    assert len(test) == 15
    seen = {np.asarray(image).tobytes() for image in test.images}
    assert not seen & {np.asarray(image).tobytes() for image in targets.images}


def test_a_copy_of_a_reserved_image_is_neither_a_test_image_nor_a_second_target(
    tmp_path: Path,
) -> None:
    """Copies, byte for byte, would be tested though trained on; one target would have two goals."""
    image, others = [webp(photograph(number)) for number in (0, 1)], range(2, 6)
    stored = [image[0], image[0], image[1], image[0], image[1]]
    stored += [webp(photograph(number)) for number in others]
    labels = [0, 1, 1, 0, 1, 0, 0, 1, 1]
    text(tmp_path / "classnames.txt", ["one", "two"])
    text(tmp_path / "zeroshot_classification_templates.txt", ["{c}"])
    text(tmp_path / "test" / "nshards.txt", [1])
    members: dict[str, bytes] = {}
    for number, (content, label) in enumerate(zip(stored, labels, strict=True)):
        members |= sample(f"s{number}", cls=b"%d" % label, webp=content)
    tar(tmp_path / "test" / "0.tar", members)
    source = ClipBenchmark(tmp_path, reserve=1)
    assert source.targets().labels.tolist() == [0]
    assert source.evaluation().test.labels.tolist() == [1, 1, 0, 0, 1, 1]  # all but the first's
    source = ClipBenchmark(tmp_path, reserve=2)
    targets, test = source.targets(), source.evaluation().test
    assert targets.labels.tolist() == [0, 1]
    assert test.labels.tolist() == [0, 0, 1, 1]
    seen = [np.asarray(one).tobytes() for one in (*targets.images, *test.images)]
    assert len({*seen}) == len(seen)


def test_a_set_with_a_copy_of_a_reserved_image_is_known_by_another_name(tmp_path: Path) -> None:
    """A run of an earlier version measured on the copy: it has other numbers, and another id."""

    def names(folder: str, number: int) -> set[str]:
        root = tmp_path / folder
        text(root / "classnames.txt", ["one", "two"])
        text(root / "zeroshot_classification_templates.txt", ["{c}"])
        text(root / "test" / "nshards.txt", [1])
        members: dict[str, bytes] = {}
        for place, other in enumerate((0, 1, 2, number)):
            members |= sample(f"s{place}", cls=b"%d" % (place % 2), webp=webp(photograph(other)))
        tar(root / "test" / "0.tar", members)
        return {name for name, _ in ClipBenchmark(root, reserve=1).files() if ".tar" in name}

    assert names("once", 3) == {"test/0.tar"}
    assert names("twice", 0) == {"apart/test/0.tar"}


def sample(key: str = "s1", **members: bytes) -> dict[str, bytes]:
    """Return the members of one sample."""
    return {f"{key}.{extension}": content for extension, content in members.items()}


GOOD = webp(photograph(0))


@pytest.mark.parametrize(
    ("members", "message"),
    [
        (sample(cls=b"5", webp=GOOD), r"0.tar/s1.cls is '5'.*from 0 to 4"),
        (sample(cls=b"-1", webp=GOOD), "is '-1'"),
        (sample(webp=GOOD), r"0.tar/s1 has no member .cls; it has .webp"),
        (
            sample(cls=b"0", npy=b"x", webp=GOOD, txt=b"x") | sample("s2", txt=b"b"),
            "no image for key s2",
        ),
        (
            sample(cls=b"0", webp=GOOD) | sample("s2", cls=b"1", tif=b"II*\0"),
            r"no image for key s2; it has \.cls, \.tif\. Images must be one of jpg, png, jpeg",
        ),
    ],
)
def test_a_wrong_sample_is_named(tmp_path: Path, members: dict[str, bytes], message: str) -> None:
    """A label that is no class, and members that are not there."""
    root = clip_benchmark_classes(tmp_path, train=0)
    tar(root / "test" / "0.tar", members)
    with pytest.raises(BadInput, match=message) as caught:
        ClipBenchmark(root).evaluation()
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "lines", "message"),
    [
        ("zeroshot_classification_templates.txt", ["a {c} of {c}"], "Line 1 .* is no prompt"),
        ("zeroshot_classification_templates.txt", ["{c}", "{0.__class__}"], "Line 2 .* is no"),
        ("zeroshot_classification_templates.txt", ["{c} {"], "Line 1 .* is no prompt"),
        ("classnames.txt", [], "classnames.txt is empty"),
        ("classnames.txt", ["", "red", "dark", "grass", "sky"], "Line 1 of .* is blank"),
        ("classnames.txt", ["red", "dark", "\u200b", "sky", "wall"], "Line 3 of .* is blank"),
        ("zeroshot_classification_templates.txt", ["{c}", "", "a {c}"], "Line 2 of .* is blank"),
        ("test/nshards.txt", ["many"], "it must be the number of shards"),
        ("test/nshards.txt", [3], "Shard .*2.tar cannot be read"),
        ("dataset_type.txt", ["multilabel"], "only classification with one label"),
    ],
)
def test_a_wrong_file_is_named(
    tmp_path: Path, name: str, lines: list[object], message: str
) -> None:
    """Text files that are not what they should be; a template can do nothing but be filled."""
    root = clip_benchmark_classes(tmp_path, train=0)
    text(root / name, lines)
    with pytest.raises(BadInput, match=message):
        ClipBenchmark(root).evaluation()


SEPARATORS = ("\u2028", "\u2029", "\x85", "\x0b", "\x0c", "\x1c", "\x1e")


def test_separators_within_a_caption_part_it_in_no_two(tmp_path: Path) -> None:
    """A caption is a line; what Unicode counts as the end of a line besides is a part of it."""
    root = clip_benchmark_captions(tmp_path, count=1)
    captions = [f"a red{mark}square" for mark in SEPARATORS]
    lines = "\r\n".join([*captions, "", "another"])
    tar(root / "test" / "0.tar", sample(jpg=GOOD, txt=lines.encode()))
    retrieval = ClipBenchmark(root).evaluation().retrieval
    assert retrieval is not None
    assert list(retrieval.captions) == [[*captions, "another"]]


def test_separators_within_a_class_name_shift_no_class(tmp_path: Path) -> None:
    """The class of a name is the number of its line."""
    root = clip_benchmark_classes(tmp_path, train=0)
    names = ["red", "a\x85dark thing", "gr\x0cass", "sky\u2028", "wall"]
    (root / "classnames.txt").write_text("\n".join(names) + "\n\n", encoding="utf-8")
    task = ClipBenchmark(root).evaluation().classification
    assert task is not None
    assert list(task.classes.names) == [name.strip() for name in names]


def test_another_folder_and_a_broken_image_are_one_line(tmp_path: Path, evaluate: Any) -> None:
    """On the command line both end with status 2 and say where."""
    status, error = evaluate(f"clip_benchmark:root={tmp_path}")
    assert status == 2
    assert "nshards.txt" in error
    root = clip_benchmark_classes(tmp_path / "set", train=0)
    tar(root / "test" / "1.tar", sample("bad", cls=b"0", webp=GOOD[:100]))
    status, error = evaluate(f"clip_benchmark:root={root}")
    assert status == 2
    assert "1.tar/bad.webp is damaged" in error
