"""Pictures of triggers: test images without and with them, made anew from what results say."""

from __future__ import annotations

import base64
from collections.abc import Iterable
from typing import TYPE_CHECKING

from clipbench.configuration import naming
from clipbench.plugins import registry
from clipbench.results.foreign import REFUSALS
from clipbench.results.labels import Labels, canonical
from clipbench.results.model import Result
from clipbench.text.markup import Markup, tag

if TYPE_CHECKING:
    from clipbench.contracts import Image

EMBEDDED = "shapes"  # the data set whose test images are computed
LARGEST = 256  # side in pixels of what is drawn; a page is no place for larger ones
_SCENE = ("image_size", "seed", "encoding")  # parameters that test images depend on
_SHOWN = 2  # images an attack


def pictures(results: Iterable[Result], labels: Labels) -> list[Markup]:
    """Return a figure for each attack that has a trigger and can be built here.

    An attack that is not registered is never loaded, and one whose parameters are refused, or whose
    data set has no images here, is left out.

    Args:
        results: results in the order of the leaderboard.
        labels: what the attacks are called.
    """
    found: dict[str, Markup | None] = {}
    for result in results:
        key = canonical([result.attack.name, result.attack.parameters])
        attacked = result.attack.count and result.data.name == EMBEDDED
        if attacked and found.get(key) is None:
            found[key] = _figure(result, labels.of("attack", result))
    return [figure for figure in found.values() if figure is not None]


def _figure(result: Result, label: str) -> Markup | None:
    try:
        with naming.registered_only():
            pairs = _pairs(result)
    except REFUSALS:
        return None
    if not pairs:
        return None
    shown = [
        tag("span", _picture(clean, f"test image {number}"), _picture(triggered, "with trigger"))
        for number, (clean, triggered) in enumerate(pairs, start=1)
    ]
    return tag("figure", tag("div", *shown, class_="pairs"), tag("figcaption", label))


def _pairs(result: Result) -> list[tuple[Image, Image]]:
    """Return test images without and with the trigger; none where there is none."""
    from clipbench.poisoning.trigger_report import pairs_of  # noqa: PLC0415 - heavy

    attack = result.attack
    given = {**(attack.parameters or {}), **attack.crafted}
    trigger = registry.build("attack", {**given, "name": attack.name}).trigger()
    if trigger is None:
        return []
    chosen = {key: result.data.parameters.get(key) for key in _SCENE}
    scene = {key: value for key, value in chosen.items() if value is not None}
    size = scene.get("image_size", 0)
    if not isinstance(size, (int, float)) or size > LARGEST:
        return []
    test = registry.build("dataset", {**scene, "name": EMBEDDED}).evaluation().test
    # The next image is of another class.
    return pairs_of(trigger, [test.images[number] for number in range(_SHOWN)])


def _picture(image: Image, text: str) -> Markup:
    from clipbench.images.encoding import encode_png  # noqa: PLC0415 - heavy

    data = base64.b64encode(encode_png(image)).decode()
    return tag(
        "img", src=f"data:image/png;base64,{data}", alt=text, title=text, width="96", height="96"
    )
