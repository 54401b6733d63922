"""Images that an attacker puts in as the victim's pipeline stores them.

An import with ``image_size`` resizes whatever it is given. Left as they are, the images that an
attacker puts in would be the only large ones of the set.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial

from clipbench.contracts import Image, LabelledImages, Scene
from clipbench.images.lazy import LazyImages
from clipbench.images.normalize import shrunk
from clipbench.shards.reader import ShardSet


def longest_short_side(base: ShardSet) -> int | None:
    """Return the longest that the shorter side of an image of a set may be, in pixels.

    None: it may be any, or nobody knows, as of a set that other programs wrote.
    """
    source = {} if base.manifest is None else base.manifest.source
    size = source.get("image_size") if "import" in source else None  # of drawings it is no limit
    return size if type(size) is int and size > 0 else None


def scene_as_stored(scene: Scene, base: ShardSet) -> Scene:
    """Return what an attacker knows, with the images to be put in as large as `base` stores them.

    Probes are of the scene as it is: an image that is tested is not imported.

    Args:
        scene: what the attacker knows.
        base: the clean set.
    """
    size = longest_short_side(base)
    if size is None:
        return scene

    def held_out() -> LabelledImages:
        found = scene.targets
        images = LazyImages(range(len(found)), partial(_shrunk, found, size))
        return LabelledImages(images, found.labels)

    return replace(scene, held_out=held_out)


def _shrunk(found: LabelledImages, size: int, number: int) -> Image:
    return shrunk(found.images[number], size)
