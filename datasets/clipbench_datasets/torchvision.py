"""Classification sets of torchvision from a local folder, in the layout torchvision reads.

torchvision datasets. https://pytorch.org/vision/stable/datasets.html

Nothing is downloaded. The test split is measured on and the training split is what a linear probe
learns from; EuroSAT, SUN397 and Caltech101 have no splits, so all their images are test images.
``ImageFolder`` reads ``ROOT/test`` or ``ROOT/val``, and ``ROOT/train``, with one folder per class,
or such folders in ROOT itself.

Class names are those of the files, with spaces for underscores, and prompts are the seven short
ones that open_clip has for ImageNet: published numbers need the prompts they were made with.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple

import numpy as np

from clipbench.contracts import (
    Classes,
    Classification,
    EvaluationSet,
    Ge,
    Image,
    IntArray,
    LabelledImages,
    Plugin,
)
from clipbench.errors import BadInput, BadSetting, CorruptData, MissingData
from clipbench.files.contents import tree
from clipbench.images.encoding import to_rgb
from clipbench.images.lazy import LazyImages
from clipbench.images.normalize import check_size

from . import _files as files
from . import _held_out as held_out
from . import _image_folder as image_folder

Name = Literal[
    "CIFAR10",
    "CIFAR100",
    "Caltech101",
    "Country211",
    "DTD",
    "EuroSAT",
    "FGVCAircraft",
    "FashionMNIST",
    "Flowers102",
    "Food101",
    "GTSRB",
    "ImageFolder",
    "KMNIST",
    "MNIST",
    "OxfordIIITPet",
    "PCAM",
    "RenderedSST2",
    "STL10",
    "SUN397",
    "SVHN",
    "StanfordCars",
]


_FOLDERS: Mapping[str, str] = {  # in root, where torchvision looks for the files of a set
    "CIFAR10": "cifar-10-batches-py",
    "CIFAR100": "cifar-100-python",
    "Caltech101": "caltech101",
    "Country211": "country211",
    "DTD": "dtd",
    "EuroSAT": "eurosat",
    "FGVCAircraft": "fgvc-aircraft-2013b",
    "FashionMNIST": "FashionMNIST/raw",
    "Flowers102": "flowers-102",
    "Food101": "food-101",
    "GTSRB": "gtsrb",
    "ImageFolder": ".",
    "KMNIST": "KMNIST/raw",
    "MNIST": "MNIST/raw",
    "OxfordIIITPet": "oxford-iiit-pet",
    "PCAM": "pcam",
    "RenderedSST2": "rendered-sst2",
    "STL10": "stl10_binary",
    "SUN397": "SUN397",
    "SVHN": ".",  # of which only its own files are looked at
    "StanfordCars": "stanford_cars",
}


class _Form(NamedTuple):
    """How a set is opened: the arguments that choose test and training split; None: no splits."""

    test: Mapping[str, Any]
    train: Mapping[str, Any] | None


_FLAG = _Form({"train": False}, {"train": True})
_SPLIT = _Form({"split": "test"}, {"split": "train"})
_WITH_VALIDATION = _Form({"split": "test"}, {"split": "trainval"})
_WHOLE = _Form({}, None)
_FORMS: Mapping[str, _Form] = {
    **dict.fromkeys(("CIFAR10", "CIFAR100", "FashionMNIST", "KMNIST", "MNIST"), _FLAG),
    **dict.fromkeys(("FGVCAircraft", "OxfordIIITPet"), _WITH_VALIDATION),
    **dict.fromkeys(("Caltech101", "EuroSAT", "SUN397"), _WHOLE),
}
_ONCE_PICKLED = frozenset({"FashionMNIST", "KMNIST", "MNIST"})
_DIGITS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
_NAMES: Mapping[str, Sequence[str]] = {
    "MNIST": _DIGITS,
    "SVHN": _DIGITS,
    "PCAM": ("lymph node", "lymph node containing metastatic tumor tissue"),
    "RenderedSST2": ("negative", "positive"),
}


@dataclass(frozen=True)
class Torchvision(Plugin):
    """A classification set of torchvision.

    Args:
        dataset: torchvision's name of it.
        root: the folder that torchvision is given as root.
        classnames: a file with a class name a line, in the order of the classes; none: the names
            that the set's files have.
        templates: a file with a prompt template a line, {} or {c} where the name goes; none: seven
            short ones.
        reserve: images a class held out of the test images as attack targets.
    """

    dataset: Name
    root: Path
    classnames: Path | None = None
    templates: Path | None = None
    reserve: Annotated[int, Ge(0)] = 0

    def evaluation(self) -> EvaluationSet:
        """Return the task; images decode on access.

        Raises:
            MissingData: torchvision does not find the set under root.
            CorruptData: labels and class names do not fit.
            BadSetting: the set's files have no class names and none are given.
        """
        classes = self._classes(self._opened[0])
        train = self._opened[1]
        return EvaluationSet(
            self.dataset.lower(),
            Classification(
                classes,
                self._test.test,
                None if train is None else LabelledImages(*self._images(train)),
            ),
        )

    def files(self) -> Iterator[tuple[str, Path]]:
        """Yield the files in the set's own folder, and those that name classes and prompts."""
        folder = self.root / _FOLDERS[self.dataset]
        if not folder.is_dir():
            raise MissingData(f"There is no folder {folder.resolve()}; check root.")
        prefix = self._test.prefix if self.reserve else ""
        if self.dataset == "SVHN":
            yield from ((prefix + path.name, path) for path in sorted(folder.glob("*_32x32.mat")))
        else:
            yield from ((f"{prefix}root/{name}", path) for name, path in tree(folder))
        for part, file in (("classnames", self.classnames), ("templates", self.templates)):
            if file is not None:
                yield part, file

    def targets(self) -> LabelledImages:
        """Return the reserved images.

        Raises:
            BadSetting: none are reserved.
        """
        return held_out.reserved("torchvision", self._test.targets)

    @cached_property
    def _opened(self) -> tuple[object, object]:
        """The test split, and the training split if there is one."""
        files.require_folder(self.root, f"folder of torchvision's {self.dataset}")
        if self.dataset == "ImageFolder":
            root, train = image_folder.splits(self.root)
            test = self._open(root, {"loader": image_folder.read})
            if train is None:
                return test, None
            learned = partial(image_folder.read, what="training image")
            learn = self._open(train, {"loader": learned})
            if odd := sorted(set(test.classes) ^ set(learn.classes)):  # a label is a place in each
                raise CorruptData(
                    f"{root.resolve()} and {train.resolve()} have different folders of classes"
                    f" (the first that one lacks is {odd[0]!r}); give both the same, or name the"
                    " test images alone as root."
                )
            return test, learn
        form = _FORMS.get(self.dataset, _SPLIT)
        test = self._open(self.root, form.test)
        if form.train is None:
            return test, None
        try:
            return test, self._open(self.root, form.train)
        except MissingData:  # only a linear probe needs it, and says so
            return test, None

    def _open(self, root: Path, arguments: Mapping[str, object]) -> Any:
        from torchvision import datasets  # noqa: PLC0415 - heavy

        processed = root / self.dataset / "processed"
        if self.dataset in _ONCE_PICKLED and processed.is_dir():
            raise CorruptData(
                f"{processed.resolve()} has pickles of an old torchvision, which are not read;"
                " remove that folder, and let the published files lie in raw beside it."
            )
        try:
            return getattr(datasets, self.dataset)(root=str(root), **arguments)
        except ImportError as error:
            raise MissingData(
                f"torchvision needs a further package for {self.dataset}: {error}."
            ) from error
        except (RuntimeError, OSError, ValueError, KeyError) as error:
            reason = " ".join(str(error).split()).partition(" You can use download")[0].rstrip(".")
            raise MissingData(
                f"torchvision finds no {self.dataset} in {root.resolve()} ({reason[:200]}); fetch"
                " it there and unpack it, as torchvision's documentation says."
            ) from error

    @cached_property
    def _test(self) -> held_out.Split:
        images, labels = self._images(self._opened[0])
        opened, in_order = self._opened[0], self._numbers(self._opened[0])
        paths = [path for number in in_order if (path := _path(opened, number)) is not None]
        if len(paths) == len(in_order):
            size, content = held_out.file_size(paths), held_out.file_content(paths)
        else:  # images that are no files of their own are compared as they are decoded
            size, content = (lambda _: 1), (lambda number: _content(images[number]))
        return held_out.split_off(images, labels, self.reserve, size, content)

    def _numbers(self, opened: Any) -> list[int]:
        """Return torchvision's numbers of the images of a split, in an order that is everywhere."""
        numbers = list(range(len(opened)))
        if self.dataset == "SUN397":  # torchvision lists its files in the order of the disk
            numbers.sort(key=lambda number: str(opened._image_files[number]))
        return numbers

    def _images(self, opened: Any) -> tuple[LazyImages[int], IntArray]:
        """Return images and labels of a split, in an order that every machine has."""
        labels = _labels(opened)
        numbers = self._numbers(opened)
        count = len(self._classes(opened))
        if len(labels) and not 0 <= int(labels.min()) <= int(labels.max()) < count:
            raise CorruptData(
                f"{self.dataset} in {self.root} has labels from {labels.min()} to {labels.max()},"
                f" but {count} class names; give a file with one a class with classnames=FILE."
            )
        return LazyImages(numbers, partial(_load, opened, self.dataset)), labels[numbers]

    def _classes(self, opened: object) -> Classes:
        names: Sequence[str]
        if self.classnames is not None:
            names = held_out.lines_of(self.classnames, "a list of class names, one a line")
        else:
            found = getattr(opened, "categories", None) or getattr(opened, "classes", None)
            names = _NAMES.get(self.dataset) or [str(n).replace("_", " ") for n in found or ()]
        if not names:
            raise BadSetting(
                f"The files of {self.dataset} have no class names; give a file with one a line, in"
                " the order of the classes, with classnames=FILE."
            )
        if self.templates is not None:
            return held_out.classes_of(names, held_out.templates_of(self.templates))
        from open_clip import zero_shot_metadata as prompts  # noqa: PLC0415 - heavy

        short = [fill("{}") for fill in prompts.SIMPLE_IMAGENET_TEMPLATES]
        return held_out.classes_of(names, short)


def _labels(opened: Any) -> IntArray:
    """Return the labels without decoding images, where the set has them apart."""
    for name in ("targets", "labels", "_labels", "y"):
        found = getattr(opened, name, None)
        if found is not None and len(found) == len(opened):
            return np.asarray(found, dtype=np.int64)
    samples = getattr(opened, "_samples", None)
    if samples is not None and len(samples) == len(opened):
        return np.array([label for _, label in samples], dtype=np.int64)
    return np.array([int(opened[number][1]) for number in range(len(opened))], dtype=np.int64)


def _load(opened: Any, name: str, number: int) -> Image:
    """Return image `number` as ``(H, W, 3)`` uint8."""
    try:
        picture = opened[number][0]
        check_size(picture.width, picture.height)
        return np.asarray(to_rgb(picture))
    except BadInput:
        raise
    except Exception as error:  # files of many formats fail in many ways
        file = _path(opened, number)
        where = "" if file is None else f", {file},"
        reason = " ".join(str(error).split())[:160]
        raise CorruptData(
            f"Test image {number} of {name}{where} cannot be read ({type(error).__name__}:"
            f" {reason}). Fetch it again."
        ) from error


def _content(image: Image) -> bytes:
    return repr(image.shape).encode() + image.tobytes()


def _path(opened: Any, number: int) -> Path | None:
    """Return which file an image is, where the set says it."""
    for name in ("samples", "_samples", "_image_files", "_images"):
        found = getattr(opened, name, None)
        if found is not None and len(found) == len(opened):
            item = found[number]
            return Path(item[0] if isinstance(item, tuple) else item)
    return None


DATASET = Torchvision
