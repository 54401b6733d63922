"""MS-COCO captions: the annotation file of a split and its folder of images.

Chen, Fang, Lin, Vedantam, Gupta, Dollar, Zitnick. Microsoft COCO Captions: Data Collection and
Evaluation Server. 2015. https://arxiv.org/abs/1504.00325

Every image has five captions or a few more. ``captions`` says whether each makes a pair, or one of
them; ``random`` draws it from ``seed``, the same for the same image whatever else the file holds.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from clipbench.contracts import Ge
from clipbench.errors import CorruptData
from clipbench.importing.pairs import Entry
from clipbench.rng import generator

from . import _files as files
from . import _json as streams
from . import _training as training

_Caption = tuple[int, str | None]  # id and text; None: it has none


@dataclass(frozen=True)
class Coco(training.LooseTraining):
    """Images of COCO with their captions.

    Args:
        annotations: the captions' file, e.g. annotations/captions_train2017.json.
        images: folder of the images, e.g. train2017.
        captions: all, each caption a pair; first, or random, one pair per image.
        seed: seed of the random caption.
        image_size: the longest that the shorter side of a stored image may be; none: any.
        outside: whether images may lie elsewhere, by an absolute path, ``..`` or a link.
    """

    annotations: Path
    images: Path
    captions: Literal["all", "first", "random"] = "all"
    seed: int = 0
    image_size: Annotated[int, Ge(1)] | None = None
    outside: bool = False

    def identity(self) -> Mapping[str, object]:
        """Return what decides the pairs: the annotations' content, and the choice of captions."""
        found: dict[str, object] = {
            "format": "coco",
            **training.annotation(self.annotations, "annotation file"),
            "captions": self.captions,
        }
        found |= {"seed": self.seed} if self.captions == "random" else {}
        return {**found, "outside": True} if self.outside else found

    def entries(self) -> Iterator[Entry]:
        """Yield the pairs, images in the order of the file, captions in that of their ids.

        Raises:
            MissingData: the annotations or the folder are not there.
            CorruptData: the annotations are not in COCO's form.
        """
        files.require_file(self.annotations, "annotation file")
        files.require_folder(self.images, "folder of images")
        wrong: list[Entry] = []
        captions = self._captions(wrong)
        listed = streams.items(self.annotations, "images", "COCO's captions")
        for position, image in enumerate(listed):
            try:
                number = streams.whole(image, "id", self.annotations)
                file = streams.text(image, "file_name", self.annotations)
            except CorruptData as error:
                wrong.append(_damaged(f"image {position} of the list", error))
                continue
            path, unfit = training.inside(self.images, file, self.outside)
            if position == 0 and unfit is None and not files.is_file(path):
                files.require_images(self.images, "folder of images")
            yield from self._pairs(number, captions.pop(number, []), path, unfit)
        for number, left in captions.items():
            problem = ("image not listed", f"the annotations list no image {number}")
            yield from self._pairs(number, left, "", problem)
        yield from wrong

    def _pairs(
        self, image: int, captions: list[_Caption], path: str, problem: tuple[str, str] | None
    ) -> Iterator[Entry]:
        """Yield those of an image's captions that make pairs, and those that are none."""
        in_order = sorted(captions, key=lambda one: (one[0], one[1] or ""))
        chosen = self._chosen(image, [(n, text) for n, text in in_order if text is not None])
        for number, text in chosen:
            yield Entry(f"annotation {number} of image {image}", path, text, problem=problem)
        for number, caption in in_order:
            if caption is None:
                name, why = f"annotation {number} of image {image}", "its 'caption' is no text"
                yield Entry(name, path, None, problem=problem or ("caption missing", why))

    def _captions(self, wrong: list[Entry]) -> dict[int, list[_Caption]]:
        """Return ids and captions by image; what can't be read goes into `wrong`."""
        found: dict[int, list[_Caption]] = {}
        listed = streams.items(self.annotations, "annotations", "COCO's captions")
        for position, item in enumerate(listed):
            try:
                number = streams.whole(item, "id", self.annotations)
                image = streams.whole(item, "image_id", self.annotations)
            except CorruptData as error:
                wrong.append(_damaged(f"annotation {position} of the list", error))
                continue
            caption = item.get("caption")
            found.setdefault(image, []).append(
                (number, caption if isinstance(caption, str) else None)
            )
        return found

    def _chosen(self, image: int, captions: list[tuple[int, str]]) -> list[tuple[int, str]]:
        if self.captions == "all" or not captions:
            return captions
        if self.captions == "first":
            return captions[:1]
        rng = generator(self.seed, "coco", "caption", image)
        return [captions[int(rng.integers(len(captions)))]]


def _damaged(name: str, error: CorruptData) -> Entry:
    return Entry(name, "", None, problem=("annotation damaged", str(error)))


DATASET = Coco
