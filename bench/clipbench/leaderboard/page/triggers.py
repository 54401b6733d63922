"""Pictures of triggers: test images without and with them, made anew from what results say."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from clipbench.configuration import naming
from clipbench.plugins import registry
from clipbench.results.defaults import REFUSALS
from clipbench.results.labels import Labels, canonical
from clipbench.results.model import Result

if TYPE_CHECKING:
    from clipbench.contracts import Image

EMBEDDED = "shapes"  # the data set whose test images are computed
LARGEST = 256  # side in pixels of what is drawn; a page is no place for larger ones
_SCENE = ("image_size", "seed", "encoding")  # parameters that test images depend on
_SHOWN = 2  # images an attack


@dataclass(frozen=True)
class Trigger:
    """A figure of a trigger.

    Args:
        label: of the attack.
        pairs: test images without and with it, PNG in base64.
    """

    label: str
    pairs: Sequence[tuple[str, str]]


def pictures(results: Iterable[Result], labels: Labels) -> list[Trigger]:
    """Return a figure for each attack that has a trigger and can be built here.

    An attack that is not registered is never loaded, and one whose parameters are refused, or whose
    data set has no images here, is left out.

    Args:
        results: results in the order of the leaderboard.
        labels: what the attacks are called.
    """
    found: dict[str, Trigger | None] = {}
    for result in results:
        key = canonical([result.attack.name, result.attack.parameters])
        attacked = result.attack.count and result.data.name == EMBEDDED
        if attacked and found.get(key) is None:
            found[key] = _figure(result, labels.of("attack", result))
    return [figure for figure in found.values() if figure is not None]


def _figure(result: Result, label: str) -> Trigger | None:
    try:
        with naming.registered_only():
            pairs = _pairs(result)
    except REFUSALS:
        return None
    if not pairs:
        return None
    return Trigger(label, [(_png(clean), _png(triggered)) for clean, triggered in pairs])


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


def _png(image: Image) -> str:
    from clipbench.images.encoding import encode_png  # noqa: PLC0415 - heavy

    return base64.b64encode(encode_png(image)).decode()
