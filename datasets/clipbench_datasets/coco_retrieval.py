"""MSCOCO captions as a retrieval task: the 5,000 test images of Karpathy's split, all captions.

Lin et al. Microsoft COCO: Common Objects in Context. ECCV 2014. https://arxiv.org/abs/1405.0312

Split: Karpathy, Fei-Fei. Deep Visual-Semantic Alignments for Generating Image Descriptions. CVPR
2015. https://arxiv.org/abs/1412.2306

The split is a file: Karpathy's ``dataset_coco.json``, or the shorter list of images with their
captions that goes round as ``coco_test_karpathy.json``. Captions come from it, or, with `captions`,
from COCO's own annotations, of the images that are in the split. An image has five captions or
more; all are kept.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from clipbench.contracts import EvaluationSet, LabelledImages, Retrieval
from clipbench.errors import BadSetting, CorruptData, MissingData
from clipbench.images.lazy import LazyImages, read_image
from clipbench.text.locations import Word
from clipbench.text.visible import has_visible

from . import _files as files
from . import _held_out as held_out
from . import _json

SPLIT_FILE = "a split of COCO, like dataset_coco.json"


@dataclass(frozen=True)
class CocoRetrieval:
    """COCO images and captions of one split.

    Args:
        images: the folder with val2014 in it, or the images themselves.
        karpathy: the file with the split, dataset_coco.json or coco_test_karpathy.json.
        captions: COCO's annotations, captions_val2014.json, whose captions shall be used; none:
            those in the file with the split.
        split: the split that is measured on.
    """

    images: Path
    karpathy: Path
    captions: Path | None = None
    split: Word = "test"

    def evaluation(self) -> EvaluationSet:
        """Return the retrieval task; images decode on access.

        Raises:
            MissingData, CorruptData: a file is missing or is not what it should be.
            BadSetting: the split has no image.
        """
        files.require_folder(self.images, "folder of COCO's images, which has val2014 in it")
        entries = list(self._entries())
        if not entries:
            raise BadSetting(f"{self.karpathy} has no image of split {self.split!r}.")
        paths = [self._found(name) for name, _, _ in entries]
        captions = [several for _, _, several in entries]
        if self.captions is not None:
            captions = _of_annotations(self.captions, [number for _, number, _ in entries])
        return EvaluationSet(
            "coco_retrieval", retrieval=Retrieval(LazyImages(paths, read_image), captions)
        )

    def files(self) -> Iterator[tuple[str, Path]]:
        """Yield the images of the split by their names, and the files that caption them."""
        for name, _, _ in self._entries():
            yield f"images/{Path(name).name}", self._found(name)
        yield "karpathy", self.karpathy
        if self.captions is not None:
            yield "captions", self.captions

    def targets(self) -> LabelledImages:
        """Refuse: captions are no classes.

        Raises:
            BadSetting: always.
        """
        raise BadSetting(
            "coco_retrieval has captions and no classes, so it holds out no attack targets; name a"
            " set with classes before it, e.g. --eval imagenet:root=FOLDER,reserve=1."
        )

    def _entries(self) -> Iterator[tuple[str, int, list[str]]]:
        """Yield file, COCO's number of the image and captions of the split's images, in order."""
        files.require_file(self.karpathy, "file of COCO's split (dataset_coco.json)")
        with self.karpathy.open("rb") as file:
            is_list = file.read(64).lstrip()[:1] == b"["
        if is_list:
            for item in _json.items(self.karpathy, "", SPLIT_FILE):
                name = _json.text(item, "image", self.karpathy)
                yield name, _number(name, self.karpathy), self._texts(item, item.get("caption"))
            return
        for item in _json.items(self.karpathy, "images", SPLIT_FILE):
            if _json.text(item, "split", self.karpathy) != self.split:
                continue
            name = _json.text(item, "filename", self.karpathy)
            folder = item.get("filepath", "")
            sentences = item.get("sentences")
            raw = [
                sentence.get("raw") if isinstance(sentence, Mapping) else None
                for sentence in (sentences if isinstance(sentences, list) else [])
            ]
            number = (
                _json.whole(item, "cocoid", self.karpathy)
                if "cocoid" in item
                else _number(name, self.karpathy)
            )
            yield f"{folder}/{name}" if folder else name, number, self._texts(item, raw)

    def _texts(self, item: Mapping[str, object], found: object) -> list[str]:
        several = found if isinstance(found, list) else []
        if not several or not all(isinstance(text, str) and has_visible(text) for text in several):
            name = item.get("filename", item.get("image"))
            raise CorruptData(f"{self.karpathy} has no captions, or empty ones, for {name!r}.")
        return [text.strip() for text in several]

    def _found(self, name: str) -> Path:
        """Return the file of an image, which may lie in its folder or without one."""
        path = held_out.inside(self.images, name, self.karpathy)
        flat = self.images / path.name
        if path.is_file():
            return path
        if flat.is_file():
            return flat
        raise MissingData(
            f"There is no image {path}, nor {flat}; images must be the folder that holds COCO's"
            " val2014, or that folder itself."
        )


def _number(name: str, path: Path) -> int:
    """Return COCO's number of an image, the digits at the end of its name."""
    digits = Path(name).stem.rpartition("_")[2]
    if not (digits.isascii() and digits.isdigit()):
        raise CorruptData(f"{path} names the image {name!r}, whose name ends in no COCO number.")
    return int(digits)


def _of_annotations(path: Path, numbers: list[int]) -> list[list[str]]:
    """Return the captions of images from COCO's annotations, in the order of their numbers."""
    files.require_file(path, "file of COCO's captions (captions_val2014.json)")
    found: dict[int, list[tuple[int, str]]] = {number: [] for number in numbers}
    for item in _json.items(path, "annotations", "COCO's captions, like captions_val2014.json"):
        number = _json.whole(item, "image_id", path)
        if number in found:
            text, own = _json.text(item, "caption", path).strip(), _json.whole(item, "id", path)
            if not has_visible(text):
                raise CorruptData(f"{path} has an empty caption: {own}, of image {number}.")
            found[number].append((own, text))
    bare = [number for number, captions in found.items() if not captions]
    if bare:
        raise CorruptData(
            f"{path} has no caption of {len(bare)} of {len(found)} images of the split, e.g. image"
            f" {bare[0]}; the split is of COCO 2014's val images."
        )
    return [[text for _, text in sorted(found[number])] for number in numbers]


DATASET = CocoRetrieval
