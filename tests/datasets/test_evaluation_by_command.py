"""Every evaluation source by command: its numbers, and what is told of wrong ones."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import held_out_layouts as layouts
import loose_layouts
import pytest
from commands import Bench
from PIL import Image as Pil

from clipbench_datasets.imagenet import synsets_in_order

SEVERAL = [layouts.SYNSETS[number % 4] for number in range(8)]  # of the flat folder's images


def in_folders(root: Path) -> str:
    """ImageNet in a folder a synset."""
    return f"imagenet:root={layouts.imagenet_folders(root / 'folders')}"


def with_kit(root: Path) -> str:
    """ImageNet in one folder, with the development kit's ground truth and a list of synsets."""
    order = layouts.kit_order(synsets_in_order())
    number_of = {synset: number for number, synset in order.items()}
    truth = layouts.text(root / "truth.txt", [number_of[synset] for synset in SEVERAL])
    lines = [f"{synset} {number} a_word" for number, synset in order.items()]
    names = layouts.text(root / "map_clsloc.txt", lines)
    return f"imagenet:root={layouts.imagenet_flat(root / 'flat')},labels={truth},synsets={names}"


def with_list(root: Path) -> str:
    """ImageNet in one folder, with Kaggle's list of files and classes."""
    flat = layouts.imagenet_flat(root / "flat")
    pairs = zip(sorted(flat.iterdir()), SEVERAL, strict=True)
    lines = [f"{path.stem},{synset} 1 2 3 4" for path, synset in pairs]
    labels = layouts.text(root / "LOC_val_solution.csv", ["ImageId,PredictionString", *lines])
    return f"imagenet:root={flat},labels={labels}"


def images(root: Path) -> Sequence[Path]:
    """Return the images of the flat folder in order."""
    return sorted((root / "flat").iterdir())


def test_every_layout_of_imagenet_has_the_same_numbers(tmp_path: Path, evaluate: Any) -> None:
    """Class folders, the development kit's labels, Kaggle's list and Caffe's: one data set."""
    kit = with_kit(tmp_path)
    meta = layouts.meta_mat(tmp_path / "meta.mat", layouts.kit_order(synsets_in_order()))
    lines = [f"{file.name} {layouts.CLASSES[n % 4]}" for n, file in enumerate(images(tmp_path))]
    caffe = layouts.text(tmp_path / "val.txt", lines)
    others = [
        kit,
        kit.replace("map_clsloc.txt", meta.name),
        with_list(tmp_path),
        f"imagenet:root={tmp_path / 'flat'},labels={caffe}",
    ]
    result = evaluate(in_folders(tmp_path), *(w for spec in others for w in ("--eval", spec)))
    found = result["evaluations"]
    assert [item["name"] for item in found] == [
        *("imagenet", "imagenet (2)", "imagenet (3)", "imagenet (4)", "imagenet (5)")
    ]
    assert found[0]["metrics"]["zeroshot_top1"]["n"] == 8
    assert found[0]["metrics"]["mean_per_class_recall"]["n"] == 4
    # Every layout has the same images, not in the same order.
    assert all(item["metrics"] == found[0]["metrics"] for item in found)
    assert result["metrics"] == found[0]["metrics"]


def test_a_run_measures_on_classes_and_captions_of_different_sets(
    bench: Bench, tmp_path: Path
) -> None:
    """The attack is read among the classes, retrieval comes from the captions, in one result."""
    classes = layouts.clip_benchmark_classes(tmp_path / "wds_colors")
    (tmp_path / "coco").mkdir()
    coco = layouts.coco(tmp_path / "coco")
    evals = (
        *("--eval", f"coco_retrieval:images={coco},karpathy={coco}/dataset_coco.json"),
        *("--eval", f"clip_benchmark:root={classes},reserve=1"),
        *("--eval", f"torchvision:dataset=FashionMNIST,root={layouts.fashion_mnist(tmp_path)}"),
    )
    data = loose_layouts.SMALL["shards"](tmp_path)
    result = bench.run(data, *evals, "--attack", "targeted:targets=1", "--poisons", 1)
    assert [item["name"] for item in result["evaluations"]] == [
        "coco_retrieval",
        "colors",
        "fashionmnist",
    ]
    metrics = result["metrics"]
    assert (metrics["zeroshot_top1"]["n"], metrics["attack_success"]["n"]) == (15, 1)
    assert metrics["text_to_image_r1"]["n"] == 22


# --------------------------------------------------------------------------- wrong variants


def changed(spec: Callable[[Path], str], change: Callable[[Path], object]) -> Callable[[Path], str]:
    """Return what makes a source's files, changes them in their folder, and gives the spec."""

    def make(root: Path) -> str:
        text = spec(root)
        change(root)
        return text

    return make


def moved(name: str) -> Callable[[Path], object]:
    """Return a change that takes a file or folder away."""
    return lambda root: (root / name).rename(root / "moved")


def suffixed(pattern: str, suffix: str) -> Callable[[Path], object]:
    """Return a change of the suffix of some files."""
    return lambda root: [p.rename(p.with_suffix(suffix)) for p in sorted(root.glob(pattern))]


def thin(root: Path) -> None:
    """Put a picture of one column among the test images: fitted to a square it takes gigabytes."""
    Pil.new("RGB", (1, 60_000)).save(root / "test" / "hen" / "1.jpg")


def twice(root: Path) -> None:
    """Put an image of ImageNet beside itself under another suffix."""
    layouts.jpeg(root / "flat" / "ILSVRC2012_val_00000003.png", 2)


COCO, FOLDER = layouts.SMALL["coco_retrieval"], layouts.SMALL["torchvision"]
CLASSES = layouts.SMALL["clip_benchmark"]


def captions(root: Path) -> str:
    """A retrieval set of CLIP_benchmark."""
    return f"clip_benchmark:root={layouts.clip_benchmark_captions(root)}"


SAMPLE = {"s0000000.cls": b"0", "s0000000.txt": b"a word"}

WRONG: dict[str, tuple[Callable[[Path], str], Sequence[str]]] = {
    "imagenet: nothing there": (
        changed(in_folders, moved("folders")),
        ["There is no folder of ImageNet's validation images {0}/folders", "check the path"],
    ),
    "imagenet: flat without labels": (
        lambda root: with_kit(root).partition(",")[0],
        ["{0}/flat has no folder named after a synset", "labels=FILE"],
    ),
    "imagenet: no annotation": (
        changed(with_kit, moved("truth.txt")),
        ["{0}/truth.txt cannot be read: No such file", "classes of the validation images"],
    ),
    "imagenet: the kit's numbers alone": (
        lambda root: with_kit(root).partition(",synsets")[0],
        ["{0}/truth.txt has the development kit's class numbers", "synsets=FILE"],
    ),
    "imagenet: an image less than labels": (
        changed(with_kit, moved("flat/ILSVRC2012_val_00000003.JPEG")),
        ["{0}/truth.txt has 8 lines for 7 images", "one for each image"],
    ),
    "imagenet: an image less than listed": (
        changed(with_list, moved("flat/ILSVRC2012_val_00000003.JPEG")),
        ["lists images that are not there (1, e.g. ILSVRC2012_val_00000003)", "fetch them"],
    ),
    "imagenet: mixed extensions": (
        changed(in_folders, suffixed("folders/n01440764/*1.JPEG", ".bmp")),
        [
            "{0}/folders/n01440764 has images that are no JPEG",
            "1, e.g. ",
            "00000001.bmp",
            "convert them",
        ],
    ),
    "imagenet: one image twice": (
        changed(with_list, twice),
        ["{0}/flat has the same image twice", "3.JPEG and ILSVRC2012_val_00000003.png", "remove"],
    ),
    "coco_retrieval: no images": (
        lambda root: COCO(root).replace(f"images={root}", f"images={root}/gone"),
        ["There is no folder of COCO's images", "{0}/gone", "check the path"],
    ),
    "coco_retrieval: no annotation": (
        changed(COCO, moved("dataset_coco.json")),
        ["There is no file of COCO's split", "{0}/dataset_coco.json", "check the path"],
    ),
    "coco_retrieval: mixed extensions": (
        changed(COCO, suffixed("val2014/*2.jpg", ".png")),
        ["There is no image {0}/val2014/COCO_val2014_000000391902.jpg", "must be the folder"],
    ),
    "coco_retrieval: another file": (
        lambda root: COCO(root).replace("dataset_coco", "captions_val2014"),
        ["{0}/captions_val2014.json is not a split of COCO", "no list 'images'"],
    ),
    "clip_benchmark: nothing there": (
        lambda root: f"clip_benchmark:root={root}/gone",
        ["There is no folder with test/nshards.txt in it {0}/gone", "check the path"],
    ),
    "clip_benchmark: no annotation": (
        changed(CLASSES, moved("classnames.txt")),
        ["{0}/classnames.txt cannot be read", "a list of class names, one a line"],
    ),
    "clip_benchmark: a shard less": (
        changed(CLASSES, moved("test/1.tar")),
        ["{0}/test/1.tar cannot be read: No such file", "nshards.txt counts it"],
    ),
    "clip_benchmark: no images": (
        changed(CLASSES, lambda root: layouts.tar(root / "test" / "0.tar", SAMPLE)),
        ["{0}/test/0.tar has no image for key s0000000"],
    ),
    "clip_benchmark: labels where captions should be": (
        changed(
            captions,
            lambda root: layouts.tar(root / "test" / "0.tar", {"a.cls": b"0", "a.jpg": b"x"}),
        ),
        ["{0}/test/0.tar/a has no member .txt; it has .cls, .jpg"],
    ),
    "torchvision: nothing there": (
        lambda root: f"torchvision:dataset=CIFAR10,root={root}/gone",
        ["There is no folder of torchvision's CIFAR10 {0}/gone", "check the path"],
    ),
    "torchvision: another layout": (
        lambda root: f"torchvision:dataset=Food101,root={layouts.image_folder(root)}",
        ["torchvision finds no Food101 in {0}", "unpack it"],
    ),
    "torchvision: mixed extensions": (
        changed(FOLDER, suffixed("test/hen/0.jpg", ".gif")),
        ["{0}/test has images that torchvision does not read (1, e.g. hen/0.gif)", "convert them"],
    ),
    "torchvision: an image of one column": (
        changed(FOLDER, thin),
        ["{0}/test/hen/1.jpg", "too narrow", "1 x 60000 pixels", "Remove it"],
    ),
}


@pytest.mark.parametrize("variant", WRONG)
def test_a_wrong_variant_is_one_line(variant: str, tmp_path: Path, evaluate: Any) -> None:
    """It says what is wrong, where, and what to do, with status 2."""
    make, parts = WRONG[variant]
    status, error = evaluate(make(tmp_path))
    assert status == 2
    missing = [part.format(tmp_path) for part in parts if part.format(tmp_path) not in error]
    assert not missing, error
