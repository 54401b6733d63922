"""Visual Genome: regions of images with a phrase each.

Krishna et al. Visual Genome: Connecting Language and Vision Using Crowdsourced Dense Image
Annotations. IJCV 2017. https://arxiv.org/abs/1602.07332

A region makes a pair of its phrase with the part of the image it describes (``regions=crop``) or
with the whole image (``whole``). Images are looked for in the folders in which they are published,
``VG_100K`` and ``VG_100K_2``, and in ``images`` itself.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from clipbench.contracts import Ge
from clipbench.errors import CorruptData
from clipbench.importing.pairs import Entry

from . import _files as files
from . import _json as streams
from . import _training as training

FOLDERS = ("VG_100K", "VG_100K_2", "")


@dataclass(frozen=True)
class VisualGenome(training.LooseTraining):
    """Regions of Visual Genome with their phrases.

    Args:
        annotations: region_descriptions.json.
        images: folder that holds VG_100K and VG_100K_2, or the images.
        regions: crop, the region alone; whole, the image it lies in.
        image_size: the longest that the shorter side of a stored image may be; none: any.
        outside: whether images may lie elsewhere, by a link.
    """

    annotations: Path
    images: Path
    regions: Literal["crop", "whole"] = "crop"
    image_size: Annotated[int, Ge(1)] | None = None
    outside: bool = False

    def identity(self) -> Mapping[str, object]:
        """Return what decides the pairs: the annotations' content, and what of the image counts."""
        found: dict[str, object] = {
            "format": "visual_genome",
            **training.annotation(self.annotations, "annotation file"),
            "regions": self.regions,
        }
        return {**found, "outside": True} if self.outside else found

    def entries(self) -> Iterator[Entry]:
        """Yield a pair for every region, in the order of the file.

        Raises:
            MissingData: the annotations or the folder are not there.
            CorruptData: the annotations are not in Visual Genome's form.
        """
        files.require_file(self.annotations, "annotation file")
        files.require_folder(self.images, "folder of images")
        folders = [self.images / name for name in FOLDERS if (self.images / name).is_dir()]
        if len(folders) == 1:  # neither of those in which images are published
            files.require_images(self.images, "folder of images (with VG_100K in it)")
        listed = streams.items(self.annotations, "", "Visual Genome's region descriptions")
        for position, image in enumerate(listed):
            name = f"image {position} of the list"
            try:
                number = streams.whole(image, "id", self.annotations)
                regions = image.get("regions")
                if not isinstance(regions, list):
                    raise CorruptData(f"{self.annotations} has no regions for image {number}.")
            except CorruptData as error:
                if position == 0:  # it is another file, then
                    raise
                yield _damaged(name, error)
                continue
            paths = [folder / f"{number}.jpg" for folder in folders]
            path = next((path for path in paths if files.is_file(str(path))), None)
            missing = None if path else ("image missing", f"no {number}.jpg in {self.images}")
            if path and missing is None:
                _, missing = training.inside(
                    self.images, f"{path.relative_to(self.images)}", self.outside
                )
            for place, region in enumerate(regions):
                try:
                    yield self._entry(number, region, str(path or paths[0]), missing)
                except CorruptData as error:
                    yield _damaged(f"region {place} of image {number}", error)

    def _entry(
        self, image: int, region: object, path: str, problem: tuple[str, str] | None
    ) -> Entry:
        if not isinstance(region, dict):
            raise CorruptData(f"{self.annotations} has {str(region)[:60]!r} for a region.")
        number = streams.whole(region, "region_id", self.annotations)
        return Entry(
            f"region {number} of image {image}",
            path,
            streams.text(region, "phrase", self.annotations),
            box=self._box(region) if self.regions == "crop" else None,
            problem=problem,
        )

    def _box(self, region: Mapping[str, object]) -> tuple[int, int, int, int]:
        left, top, width, height = (
            streams.whole(region, name, self.annotations) for name in ("x", "y", "width", "height")
        )
        return left, top, width, height


def _damaged(name: str, error: CorruptData) -> Entry:
    return Entry(name, "", None, problem=("annotation damaged", str(error)))


DATASET = VisualGenome
