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
from typing import Any, Literal

from clipbench.rng import generator
from clipbench.shards.importing import Entry

from . import _files as files
from . import _json as streams
from . import _training as training


@dataclass(frozen=True)
class Coco(training.LooseTraining):
    """Images of COCO with their captions.

    Args:
        annotations: the captions' file, e.g. annotations/captions_train2017.json.
        images: folder of the images, e.g. train2017.
        captions: all, each caption a pair; first, or random, one pair an image.
        seed: seed of the random caption.
        image_size: the longest that the shorter side of a stored image may be; none: any.
    """

    annotations: Path
    images: Path
    captions: Literal["all", "first", "random"] = "all"
    seed: int = 0
    image_size: int | None = None

    def __post_init__(self) -> None:
        training.check_image_size("coco", self.image_size)

    def identity(self) -> Mapping[str, Any]:
        """Return what decides the pairs: the annotations' content, and the choice of captions."""
        found = {
            "format": "coco",
            **training.annotation(self.annotations, "annotation file"),
            "images": str(self.images.absolute()),
            "captions": self.captions,
        }
        return {**found, "seed": self.seed} if self.captions == "random" else found

    def entries(self) -> Iterator[Entry]:
        """Yield the pairs, images in the order of the file, captions in that of their ids.

        Raises:
            MissingData: the annotations or the folder are not there.
            CorruptData: the annotations are not in COCO's form.
        """
        files.require_file(self.annotations, "annotation file")
        files.require_folder(self.images, "folder of images")
        captions = self._captions()
        listed = streams.items(self.annotations, "images", "COCO's captions")
        for position, image in enumerate(listed):
            number = streams.whole(image, "id", self.annotations)
            path, wrong = training.inside(
                self.images, streams.text(image, "file_name", self.annotations)
            )
            if position == 0 and wrong is None and not Path(path).is_file():
                files.require_images(self.images, "folder of images")
            for caption_id, caption in self._chosen(number, sorted(captions.pop(number, []))):
                name = f"annotation {caption_id} of image {number}"
                yield Entry(name, path, caption, problem=wrong)
        for number, left in captions.items():
            for caption_id, caption in self._chosen(number, sorted(left)):
                name = f"annotation {caption_id} of image {number}"
                problem = ("image not listed", f"the annotations list no image {number}")
                yield Entry(name, "", caption, problem=problem)

    def _captions(self) -> dict[int, list[tuple[int, str]]]:
        """Return ids and captions by image."""
        found: dict[int, list[tuple[int, str]]] = {}
        for item in streams.items(self.annotations, "annotations", "COCO's captions"):
            pair = (
                streams.whole(item, "id", self.annotations),
                streams.text(item, "caption", self.annotations),
            )
            found.setdefault(streams.whole(item, "image_id", self.annotations), []).append(pair)
        return found

    def _chosen(self, image: int, captions: list[tuple[int, str]]) -> list[tuple[int, str]]:
        if self.captions == "all" or not captions:
            return captions
        if self.captions == "first":
            return captions[:1]
        rng = generator(self.seed, "coco", "caption", image)
        return [captions[int(rng.integers(len(captions)))]]


DATASET = Coco
