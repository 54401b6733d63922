"""ImageNet's validation images in the layouts people have."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import open_clip
import pytest
import torch
from held_out_layouts import (
    CLASSES,
    SYNSETS,
    imagenet_flat,
    imagenet_folders,
    jpeg,
    kit_order,
    meta_mat,
    text,
)

from clipbench.contracts import (
    Classes,
    Classification,
    EvaluationSet,
    Image,
    LabelledImages,
    Scene,
)
from clipbench.errors import BadInput
from clipbench.evaluation.zeroshot import zeroshot_classifier
from clipbench.images.lazy import LazyImages
from clipbench.models.openclip import create_model
from clipbench.plugins import registry
from clipbench_attacks.badnets import BadNets
from clipbench_datasets.imagenet import ImageNet, synsets_in_order

FLAT = [CLASSES[number % 4] for number in range(8)]  # of the images of `imagenet_flat`


def labels_of(**parameters: Any) -> list[int]:
    """Return the labels of the test images in order."""
    labels: list[int] = ImageNet(**parameters).evaluation().test.labels.tolist()
    return labels


def test_names_templates_and_aliases_are_the_published_ones(tmp_path: Path) -> None:
    """1,000 names of CLIP in the order of synsets, 80 templates, and WordNet's other words."""
    classes = ImageNet(imagenet_folders(tmp_path)).evaluation().classes
    assert len(classes) == len(set(synsets_in_order())) == 1000
    assert len(set(classes.templates)) == 80
    assert (classes.names[0], classes.names[207]) == ("tench", "Golden Retriever")
    assert classes.aliases[0] == ("tench", "Tinca tinca")
    assert classes.aliases[639][0] == "one-piece bathing suit"
    assert "maillot" in classes.aliases[639][1]
    assert {name for name in classes.names if classes.names.count(name) > 1} == {
        "missile",
        "sunglasses",
    }


def test_prompts_give_open_clips_classifier(tmp_path: Path) -> None:
    """Templates as text fill as open_clip's functions do: the weights are equal to 1e-5."""
    classes = ImageNet(imagenet_folders(tmp_path)).evaluation().classes
    few = Classes(classes.names[100:105], classes.templates, classes.aliases[100:105])
    model, tokenizer = create_model("shapes-32", 0)
    expected = open_clip.build_zero_shot_classifier(
        model.eval(),
        tokenizer,
        open_clip.IMAGENET_CLASSNAMES[100:105],
        open_clip.OPENAI_IMAGENET_TEMPLATES,
    )
    torch.testing.assert_close(
        zeroshot_classifier(model, tokenizer, few), expected, atol=1e-5, rtol=0
    )
    assert (expected[:, 0] - expected[:, 1]).abs().max() > 1e-3


def test_the_development_kits_numbers_are_translated(tmp_path: Path) -> None:
    """The kit's order is not that of classes; meta.mat and lists of synsets say what it is."""
    order = kit_order(synsets_in_order())
    number_of = {synset: number for number, synset in order.items()}
    truth = [number_of[SYNSETS[number % 4]] for number in range(8)]
    assert truth[:4] != [number + 1 for number in CLASSES]
    root = imagenet_flat(tmp_path / "val")
    labels = text(tmp_path / "ILSVRC2012_validation_ground_truth.txt", truth)
    bare = text(tmp_path / "synsets.txt", [order[number] for number in sorted(order)])
    numbered = text(
        tmp_path / "map_clsloc.txt",
        [f"{synset} {number} a_word" for number, synset in order.items()],
    )
    for synsets in (bare, numbered, meta_mat(tmp_path / "meta.mat", order)):
        assert labels_of(root=root, labels=labels, synsets=synsets) == FLAT


@pytest.mark.parametrize(
    "line",
    [
        "{stem},{synset} 85 1 499 272",
        "{stem}.JPEG {number}",
        "{stem}.JPEG,{synset}",
        '"{stem}.JPEG","{number}"',
        '"{stem}.JPEG";"{synset}"',
    ],
    ids=["LOC_val_solution.csv", "val.txt", "csv", "quoted numbers", "quoted synsets"],
)
def test_lists_of_files_are_read(tmp_path: Path, line: str) -> None:
    """Lines of file and class may be in any order, with a header or without."""
    root = imagenet_flat(tmp_path / "val")
    lines = [
        line.format(
            stem=f"ILSVRC2012_val_{number + 1:08d}",
            synset=SYNSETS[number % 4],
            number=CLASSES[number % 4],
        )
        for number in reversed(range(8))
    ]
    header = ["ImageId,PredictionString"] if "85" in line else []
    assert labels_of(root=root, labels=text(tmp_path / "list", [*header, *lines])) == FLAT


def test_reserved_images_are_targets_and_no_test_images(tmp_path: Path) -> None:
    """With reserve=1 the first image of each class is a target; without, targets are refused."""
    root = imagenet_folders(tmp_path, per_class=3)
    source = ImageNet(root, reserve=1)
    targets, test = source.targets(), source.evaluation().test
    assert targets.labels.tolist() == list(CLASSES)
    assert len(test) == 8
    everything = ImageNet(root).evaluation().test
    assert len(everything) == 12
    images = [np.asarray(image).tobytes() for image in [*targets.images, *test.images]]
    assert sorted(images) == sorted(np.asarray(image).tobytes() for image in everything.images)
    with pytest.raises(BadInput, match="give reserve=1"):
        ImageNet(root).targets()


def test_a_copy_of_a_reserved_image_is_no_test_image(tmp_path: Path) -> None:
    """The photograph that a model is trained on under lies would count for its accuracy."""
    root = imagenet_folders(tmp_path, per_class=3)
    assert not [name for name, _ in ImageNet(root, reserve=1).files() if name.startswith("apart")]
    first = min((root / SYNSETS[0]).iterdir())
    copy = root / SYNSETS[2] / "ILSVRC2012_val_00049999.JPEG"
    copy.write_bytes(first.read_bytes())
    source = ImageNet(root, reserve=1)
    assert source.targets().labels.tolist() == list(CLASSES)
    assert source.evaluation().test.labels.tolist() == [n for n in CLASSES for _ in range(2)]
    assert {name.partition("/")[0] for name, _ in source.files()} == {"apart"}
    assert len(ImageNet(root).evaluation().test) == 13


def test_nothing_is_decoded_before_it_is_looked_at(tmp_path: Path) -> None:
    """A damaged image is found when it is looked at, and named; the others can be used."""
    root = imagenet_folders(tmp_path)
    broken = sorted((root / SYNSETS[1]).iterdir())[0]
    broken.write_bytes(broken.read_bytes()[:200])
    images = ImageNet(root).evaluation().test.images
    assert images[0].shape == (40, 52, 3)
    with pytest.raises(BadInput, match=f"{re.escape(str(broken))} is damaged"):
        images[2]


def test_a_backdoor_is_probed_on_every_other_image_and_none_is_held() -> None:
    """Of 50,000 images 49,950 are not of the target class; listing them decodes not one."""
    labels = np.repeat(np.arange(1000), 50)

    def never(number: int) -> Image:
        raise AssertionError(f"image {number} was decoded")

    names = tuple(f"class {number}" for number in range(1000))
    classes = Classes(names, ("{}",), tuple((name,) for name in names))
    test = LabelledImages(LazyImages(range(50_000), never), labels)
    held_out = EvaluationSet("large", Classification(classes, test))
    probes = BadNets(target_label="class 7").probes(Scene(held_out, lambda: test, 1, 0))
    assert len(probes) == len(probes.images) == 49_950
    assert 7 not in probes.labels
    assert set(probes.goals.tolist()) == {7}


def test_a_backdoors_probes_are_made_when_looked_at(tmp_path: Path) -> None:
    """A probe is the decoded test image with the trigger on."""
    source = ImageNet(imagenet_folders(tmp_path))
    evaluation = source.evaluation()
    attack = BadNets(target_label="tench", place="corner")
    probes = attack.probes(Scene(evaluation, source.targets, 1, 0))
    assert probes.labels.tolist() == [207, 207, 491, 491, 999, 999]
    assert (probes.images[0] == attack.trigger()(evaluation.test.images[2])).all()
    assert (probes.images[0] != evaluation.test.images[2]).any()


def test_training_images_are_for_probes(tmp_path: Path) -> None:
    """The folder of training images becomes the part that a linear probe learns from."""
    root = imagenet_folders(tmp_path / "val")
    train = imagenet_folders(tmp_path / "train", per_class=3)
    task = ImageNet(root, train=train).evaluation().classification
    assert task is not None
    assert task.train is not None
    assert len(task.train) == 12
    assert ImageNet(root).evaluation().classification.train is None  # type: ignore[union-attr]


def test_wrong_layouts_are_one_line(tmp_path: Path) -> None:
    """Each way to give the wrong thing says what is wrong and what to do."""
    flat, folders = imagenet_flat(tmp_path / "flat"), imagenet_folders(tmp_path / "folders")
    numbers = text(tmp_path / "truth.txt", [1] * 8)
    order = text(tmp_path / "order.txt", synsets_in_order())
    short = text(tmp_path / "short.txt", [1] * 7)
    beyond = text(tmp_path / "beyond.txt", [1001] * 8)
    few = text(tmp_path / "few.csv", [f"ILSVRC2012_val_00000001,{SYNSETS[0]}"])
    nonsense = text(tmp_path / "nonsense.csv", ["a,n01440764", "", "b,n99999999"])
    twice = text(tmp_path / "twice.csv", ["a.JPEG,0", "b.JPEG,1", "", "a.JPEG,217"])
    (tmp_path / "meta.mat").write_bytes(b"not a mat file")
    jpeg(tmp_path / "alien" / "n99999999" / "a.JPEG", 0)
    cases = {
        f"root={tmp_path / 'nowhere'}": "There is no folder",
        f"root={flat}": "give their classes with labels=FILE",
        f"root={tmp_path / 'alien'}": "none of ImageNet's 1,000 classes",
        f"root={flat},labels={numbers}": "whose order is its own.*synsets=FILE",
        f"root={flat},labels={short},synsets={order}": "7 lines for 8 images",
        f"root={flat},labels={beyond},synsets={order}": "Line 1 of .*1001",
        f"root={flat},labels={few}": "no class for 7 of 8 images.*00000002",
        f"root={flat},labels={nonsense}": "Line 3 of .*must hold a file and its class",
        f"root={flat},labels={twice}": "gives a.JPEG two classes, 0 in line 1 and 217 in line 4",
        f"root={flat},labels={numbers},synsets={few}": "Line 1 of .* starts with no synset",
        f"root={flat},labels={numbers},synsets={tmp_path / 'meta.mat'}": "is not the development",
        f"root={flat},labels={tmp_path / 'gone'}": "cannot be read",
        f"root={folders},reserve=2": "leaves none of 8 test images",
        f"root={folders},reserve=-1": "reserve must be at least 0",
    }
    for spec, message in cases.items():
        with pytest.raises(BadInput, match=message) as caught:
            registry.build("dataset", f"imagenet:{spec}").evaluation()
        assert "\n" not in str(caught.value)


def test_the_command_reports_a_wrong_layout(tmp_path: Path, evaluate: Any) -> None:
    """On the command line that is exit status 2 and one line."""
    status, error = evaluate(f"imagenet:root={imagenet_flat(tmp_path)}")
    assert status == 2
    assert "labels=FILE" in error
