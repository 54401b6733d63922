"""torchvision's classification sets from a local folder."""

from __future__ import annotations

import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest
import torchvision
from held_out_layouts import (
    cifar10,
    fashion_mnist,
    food101,
    gtsrb,
    image_folder,
    jpeg,
    photograph,
    text,
)
from PIL import Image

from clipbench.errors import BadInput, CorruptData
from clipbench.plugins import registry
from clipbench_datasets.torchvision import Name, Torchvision


@pytest.fixture(autouse=True)
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever is missing, nothing is fetched."""

    def refuse(*_: Any, **__: Any) -> None:
        raise AssertionError("a test of local files opened a connection")

    monkeypatch.setattr(socket, "create_connection", refuse)
    monkeypatch.setattr(socket.socket, "connect", refuse)


def test_evaluating_a_checkpoint(tmp_path: Path, evaluate: Any) -> None:
    """The whole way, on the files of FashionMNIST."""
    result = evaluate(f"torchvision:dataset=FashionMNIST,root={fashion_mnist(tmp_path)}")
    assert result["data"] == "fashionmnist"
    assert result["metrics"]["zeroshot_top1"]["n"] == 10


FORMS: dict[str, tuple[Callable[[Path], Any], list[int], int | None, str]] = {
    # set -> maker of its files, test labels, number of training images, name of class 0
    "FashionMNIST": (fashion_mnist, list(range(10)), 20, "T-shirt/top"),
    "ImageFolder": (image_folder, [0, 0, 1, 1, 2, 2], 9, "guinea pig"),
    "Food101": (food101, [0, 0, 1, 1], 4, "apple pie"),
}


@pytest.mark.parametrize("name", FORMS)
def test_a_set_is_what_torchvision_gives(tmp_path: Path, name: Any) -> None:
    """Images, labels and names are those of torchvision's own class on the same files."""
    make, labels, train, first = FORMS[name]
    root = make(tmp_path)
    task = Torchvision(name, root).evaluation().classification
    assert task is not None
    assert task.test.labels.tolist() == labels
    assert task.classes.names[0] == first
    assert (None if task.train is None else len(task.train)) == train
    if name == "ImageFolder":
        opened = torchvision.datasets.ImageFolder(str(root / "test"))
    else:
        split = {"train": False} if name == "FashionMNIST" else {"split": "test"}
        opened = getattr(torchvision.datasets, name)(str(root), **split)
    assert [label for _, label in opened] == labels
    for image, (other, _) in zip(task.test.images, opened, strict=True):
        assert image.dtype == np.uint8
        assert (image == np.asarray(other.convert("RGB"))).all()


def test_pickles_are_read_only_where_their_hash_is_known(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """CIFAR10's batches are pickles: torchvision opens those of its own list and no others."""
    lists = cifar10(tmp_path)
    with pytest.raises(BadInput, match=r"finds no CIFAR10 in .*not found or corrupted"):
        Torchvision("CIFAR10", tmp_path).evaluation()
    for name in ("train_list", "test_list"):
        monkeypatch.setattr(torchvision.datasets.CIFAR10, name, lists[name])
    monkeypatch.setattr(torchvision.datasets.CIFAR10, "meta", lists["meta"][0])
    task = Torchvision("CIFAR10", tmp_path).evaluation().classification
    assert task is not None
    assert task.test.labels.tolist() == [0, 1, 2, 3]
    assert (task.test.images[1] == photograph(1, 32, 32)).all()
    assert task.classes.names[9] == "truck"
    assert task.train is not None
    assert len(task.train) == 20


def test_names_and_prompts_can_be_given(tmp_path: Path) -> None:
    """GTSRB's files have no names; without a list that is an error, with one it is a task."""
    root = gtsrb(tmp_path)
    with pytest.raises(BadInput, match=r"GTSRB have no class names.*classnames=FILE"):
        Torchvision("GTSRB", root).evaluation()
    names = text(tmp_path / "names.txt", [f"sign {number}" for number in range(43)])
    templates = text(tmp_path / "prompts.txt", ["a {c} by the road", "{}"])
    task = Torchvision("GTSRB", root, names, templates).evaluation().classification
    assert task is not None
    assert task.test.labels.tolist() == [0, 14, 28, 42]
    assert task.classes.templates == ("a {} by the road", "{}")
    assert (task.test.images[2] == photograph(2)).all()
    assert task.train is None  # this folder has no training images


def test_too_few_names_are_refused(tmp_path: Path) -> None:
    """A label without a name is found before anything is measured."""
    names = text(tmp_path / "names.txt", ["sign"] * 42)
    with pytest.raises(BadInput, match="labels from 0 to 42, but 42 class names"):
        Torchvision("GTSRB", gtsrb(tmp_path), names).evaluation()


def test_reserved_images_are_targets(tmp_path: Path) -> None:
    """One image of each class is held out; without reserve there are no targets."""
    source = Torchvision("ImageFolder", image_folder(tmp_path), reserve=1)
    assert source.targets().labels.tolist() == [0, 1, 2]
    assert source.evaluation().test.labels.tolist() == [0, 1, 2]
    with pytest.raises(BadInput, match="give reserve=1"):
        Torchvision("ImageFolder", tmp_path).targets()


def test_a_copy_of_a_reserved_image_is_no_test_image(tmp_path: Path) -> None:
    """Whether images are files or lie in one, as those of FashionMNIST."""
    root = image_folder(tmp_path / "folders")
    (root / "test" / "yak" / "9.jpg").write_bytes((root / "test" / "hen" / "0.jpg").read_bytes())
    source = Torchvision("ImageFolder", root, reserve=1)
    assert source.targets().labels.tolist() == [0, 1, 2]
    assert source.evaluation().test.labels.tolist() == [0, 1, 2]
    assert next(name for name, _ in source.files()).startswith("apart/root/")
    root = fashion_mnist(tmp_path / "digits")
    raw = root / "FashionMNIST" / "raw"
    pixels, labels = raw / "t10k-images-idx3-ubyte", raw / "t10k-labels-idx1-ubyte"
    images, side = pixels.read_bytes(), 28 * 28
    pixels.write_bytes(images[:-side] + images[16 : 16 + side])  # the last is what the first is
    labels.write_bytes(labels.read_bytes()[:-2] + bytes([0, 0]))
    source = Torchvision("FashionMNIST", root, reserve=1)
    assert len(source.targets()) == 8
    assert source.evaluation().test.labels.tolist() == [0]


def test_an_image_of_more_than_8_bits_is_refused(tmp_path: Path) -> None:
    """In RGB it would be white."""
    root = image_folder(tmp_path)
    scan = root / "test" / "yak" / "scan.tif"
    Image.fromarray(np.linspace(0, 65535, 1024).reshape(32, 32).astype(np.uint16)).save(scan)
    test = Torchvision("ImageFolder", root).evaluation().test
    with pytest.raises(BadInput, match=r"scan\.tif has values of more than 8 bits"):
        [test.images[number] for number in range(len(test))]


def test_class_folders_alone_are_test_images(tmp_path: Path) -> None:
    """A folder of class folders has no training part."""
    for name in ("cat", "dog"):
        jpeg(tmp_path / name / "0.jpg", 1)
    task = Torchvision("ImageFolder", tmp_path).evaluation().classification
    assert task is not None
    assert (task.classes.names, len(task.test), task.train) == (("cat", "dog"), 2, None)


@pytest.mark.parametrize("name", get_args(Name))
def test_what_is_not_there_is_one_line(tmp_path: Path, name: Any) -> None:
    """Every set that can be named exists in torchvision, and its absence is said in one line."""
    with pytest.raises(BadInput, match=f"(finds no|further package for) {name}") as caught:
        Torchvision(name, tmp_path).evaluation()
    assert "\n" not in str(caught.value)
    assert "download=True" not in str(caught.value)


def test_unknown_sets_and_folders_are_named(tmp_path: Path) -> None:
    """A set torchvision does not have, and a folder that is not there."""
    with pytest.raises(BadInput, match=r"torchvision.dataset must be .*'CIFAR10'.* Got 'CIFAR11'"):
        registry.build("dataset", f"torchvision:dataset=CIFAR11,root={tmp_path}")
    with pytest.raises(BadInput, match="There is no folder"):
        Torchvision("CIFAR10", tmp_path / "gone").evaluation()


def test_a_broken_image_is_named(tmp_path: Path, evaluate: Any) -> None:
    """It is found when it is measured on, in one line with its file."""
    root = image_folder(tmp_path)
    (root / "test" / "hen" / "1.jpg").write_bytes(b"\xff\xd8\xff no image")
    status, error = evaluate(f"torchvision:dataset=ImageFolder,root={root}")
    assert status == 2
    assert "hen/1.jpg is damaged" in error


def test_folders_of_different_classes_are_refused(tmp_path: Path) -> None:
    """A label is the place of a folder among its neighbors: bee would be learned as cat."""
    for split, names in (("test", ("ant", "cat")), ("train", ("ant", "bee"))):
        for name in names:
            (tmp_path / split / name).mkdir(parents=True)
            jpeg(tmp_path / split / name / "1.jpg", 0)
    with pytest.raises(BadInput, match=r"different folders of classes .*'bee'"):
        Torchvision("ImageFolder", tmp_path).evaluation()
    test = Torchvision("ImageFolder", tmp_path / "test").evaluation().classification
    assert test is not None
    assert test.classes.names == ("ant", "cat")
    assert test.train is None


def test_pickles_of_an_old_torchvision_are_not_read(tmp_path: Path) -> None:
    """It would read them where they lie, by a reader that runs what is in them in PyTorch 2.5."""
    folder = tmp_path / "MNIST" / "processed"
    folder.mkdir(parents=True)
    for name in ("training.pt", "test.pt"):
        (folder / name).write_bytes(b"cos\nsystem\n.")
    with pytest.raises(CorruptData, match=r"processed has pickles .* remove that folder"):
        registry.build("dataset", f"torchvision:dataset=MNIST,root={tmp_path}").evaluation()
